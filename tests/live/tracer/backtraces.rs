//! Stacks of what happens.

use super::{alone, judged};
use gotrace::tracer::{self, Config};
use gotrace::{Details, Trace};

#[inline(never)]
fn somewhere() {
    tracer::log("here", "now");
    // No tail call.
    std::hint::black_box(());
}

#[test]
fn events_have_the_stack_on_which_they_happened() {
    let _alone = alone();
    let trace = judged(Config::new().with_stacks(true), || {
        for _ in 0..3 {
            somewhere();
        }
    });
    let of = Trace::new(&trace).expect("a header");
    let mut reader = of.reader();
    let mut logs = 0;
    while let Some(event) = reader.next().expect("a valid trace") {
        if !matches!(event.details(), Details::Log(_)) {
            continue;
        }
        logs += 1;
        let stack = event.stack().expect("a stack");
        let names: Vec<String> = stack.frames().map(|frame| frame.func.to_string()).collect();
        assert!(names[0].contains("somewhere"), "{names:?}");
        let test = "events_have_the_stack_on_which_they_happened";
        assert!(names.iter().any(|name| name.contains(test)), "{names:?}");
        let file = stack.frames().next().map(|frame| frame.file.to_string());
        assert!(file.is_some_and(|file| file.ends_with("backtraces.rs")));
    }
    assert_eq!(logs, 3);
}
