use super::*;
use crate::event::Details;
use crate::generation::Trace;
use std::format;
use std::vec;

const TRACE: &[u8] = include_bytes!("../../../tests/fixtures/annotate-go1.27.trace");

/// Shows a trace to triggers; gives the times at which they fired.
fn fire(triggers: &mut Triggers<'_>) -> Vec<Fired> {
    let trace = Trace::new(TRACE).unwrap();
    let mut reader = trace.reader();
    let mut fired = Vec::new();
    while let Some(event) = reader.next().unwrap() {
        fired.extend(triggers.see(&event));
    }
    fired
}

fn is_log(event: &Event<'_, '_>) -> bool {
    event.kind() == EventKind::Log
}

#[test]
fn a_cooldown_leaves_out_what_follows_and_counts_it() {
    let mut all = Triggers::new();
    all.add("log", is_log);
    let times: Vec<i64> = fire(&mut all).iter().map(|fired| fired.time.0).collect();
    assert!(times.len() > 2 && all.suppressed() == 0);

    for cooldown in [1, 1000, 100_000, 500_000_000, u64::MAX] {
        let mut triggers = Triggers::new().with_cooldown(Duration::from_nanos(cooldown));
        triggers.add("log", is_log);
        let fired = fire(&mut triggers);
        // Worked out from the list of all.
        let mut expected: Vec<i64> = vec![times[0]];
        let mut suppressed = vec![0];
        let mut since = 0;
        for time in &times[1..] {
            if ((time - expected.last().unwrap()) as u64) < cooldown {
                since += 1;
            } else {
                expected.push(*time);
                suppressed.push(core::mem::take(&mut since));
            }
        }
        let found: Vec<i64> = fired.iter().map(|fired| fired.time.0).collect();
        assert_eq!(found, expected, "{cooldown}");
        let counts: Vec<u64> = fired.iter().map(|fired| fired.suppressed).collect();
        assert_eq!((counts, triggers.suppressed()), (suppressed, since));
    }
}

#[test]
fn the_first_of_several_fires_and_all_see_every_event() {
    let trace = Trace::new(TRACE).unwrap();
    let mut reader = trace.reader();
    let mut events = 0;
    while reader.next().unwrap().is_some() {
        events += 1;
    }
    let mut seen = 0;
    let mut triggers = Triggers::new();
    triggers.add("never", |_: &Event<'_, '_>| false);
    triggers.add("log", is_log);
    triggers.add("also", is_log);
    triggers.add("counts", |_: &Event<'_, '_>| {
        seen += 1;
        false
    });
    assert!(!triggers.is_empty());
    let fired = fire(&mut triggers);
    assert!(fired.iter().all(|f| (&*f.name, f.trigger) == ("log", 1)));
    assert!(fired[0].event.contains("Log"), "{}", fired[0].event);
    assert!(format!("{triggers:?}").contains("never"));
    drop(triggers);
    assert_eq!(seen, events);
}

#[test]
fn another_trace_has_another_clock() {
    struct Counts(u32);
    impl Condition for Counts {
        fn holds(&mut self, event: &Event<'_, '_>) -> bool {
            self.0 += u32::from(matches!(event.details(), Details::Log(_)));
            self.0 == 1
        }

        fn restart(&mut self) {
            self.0 = 0;
        }
    }
    let mut triggers = Triggers::default().with_cooldown(Duration::MAX);
    triggers.add("first", Counts(0));
    assert_eq!(fire(&mut triggers).len(), 1);
    assert_eq!(fire(&mut triggers).len(), 0);
    triggers.restart();
    // Its times are earlier than that of the event that fired.
    assert_eq!(fire(&mut triggers).len(), 1);
}

#[test]
fn a_budget_removes_the_oldest() {
    let mut budget = Budget::new().with_max_count(3).with_max_bytes(1000);
    let mut there: Vec<(std::path::PathBuf, u64)> = Vec::new();
    for n in 0u64..1000 {
        let path = std::path::PathBuf::from(format!("{n}"));
        let bytes = n * 7919 % 700 + u64::from(n == 500) * 5000;
        let removed = budget.add(&path, bytes);
        there.push((path, bytes));
        assert!(
            removed.iter().eq(there
                .drain(..removed.len())
                .map(|(p, _)| p)
                .collect::<Vec<_>>()
                .iter())
        );
        let sum: u64 = there.iter().map(|(_, bytes)| bytes).sum();
        assert!(there.len() == 1 || (there.len() <= 3 && sum <= 1000), "{n}");
        assert_eq!((budget.count(), budget.bytes()), (there.len(), sum));
        // No more than there must be: with the one that went last, it was too much.
        if let Some(last) = removed.last() {
            let last: u64 = last.to_str().unwrap().parse().unwrap();
            let last = last * 7919 % 700 + u64::from(last == 500) * 5000;
            assert!(there.len() == 3 || sum + last > 1000, "{n}");
        }
    }
    let mut all = Budget::new();
    assert!((0..1000).all(|n| all.add(format!("{n}").as_ref(), 1 << 40).is_empty()));
}
