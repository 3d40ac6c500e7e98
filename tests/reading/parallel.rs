//! The reader on several threads gives what the reader on one gives: the same events, times and errors.
#![cfg(feature = "std")]

use crate::{cases, common};
use gotrace::reader::{Parallel, parallel::Outcome};
use gotrace::{Error, Trace};
use std::ops::ControlFlow::{self, Break, Continue};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What came of reading a trace.
#[derive(Debug, Default, PartialEq)]
struct Run {
    /// The events, each with its place and everything that it says.
    events: Vec<String>,
    error: Option<Error>,
    explanation: String,
    generations: u64,
}

fn line(event: &gotrace::Event<'_, '_>) -> String {
    format!("{:?} {:?} {event}", event.offset(), event.generation())
}

fn on_one_thread(trace: &Trace<'_>) -> Run {
    let mut reader = trace.reader();
    let mut run = Run::default();
    loop {
        match reader.next() {
            Ok(Some(event)) => run.events.push(line(&event)),
            Ok(None) => break,
            Err(error) => {
                run.error = Some(error);
                run.explanation = format!("{:?}", reader.explain());
            }
        }
    }
    run.generations = reader.generations_read();
    run
}

/// What is read on so many threads, and how many generations were read again.
fn on_threads(trace: &Trace<'_>, threads: usize, in_flight: usize) -> (Run, Option<u64>) {
    let mut run = Run::default();
    let reader = Parallel::new(trace)
        .with_threads(threads)
        .with_generations_in_flight(in_flight);
    let result = reader.fold(
        Vec::new,
        |lines, event| {
            lines.push(line(event));
            Continue(())
        },
        |lines| {
            run.events.extend(lines);
            Continue(())
        },
    );
    let again = match result {
        Ok(outcome) => {
            run.generations = outcome.generations;
            Some(outcome.read_again)
        }
        Err(failed) => {
            run.error = Some(failed.error);
            run.explanation = format!("{:?}", failed.explanation);
            run.generations = failed.generations;
            None
        }
    };
    (run, again)
}

/// Compares both; gives how many generations were read again.
fn same(bytes: &[u8], what: &str) -> Option<u64> {
    let Ok(trace) = Trace::new(bytes) else {
        return None;
    };
    let expected = on_one_thread(&trace);
    let mut all = Vec::new();
    for (threads, in_flight) in [(1, 1), (2, 1), (2, 3), (4, 8)] {
        let (run, again) = on_threads(&trace, threads, in_flight);
        let differs = run
            .events
            .iter()
            .zip(&expected.events)
            .find(|(a, b)| a != b);
        assert_eq!(differs, None, "{what}, {threads} threads");
        assert!(
            run == expected,
            "{what}, {threads} threads: {:?}, not {:?}",
            (
                run.events.len(),
                run.error,
                run.explanation,
                run.generations
            ),
            (
                expected.events.len(),
                expected.error,
                &expected.explanation,
                expected.generations
            )
        );
        if threads > 1 {
            all.push(again);
        }
    }
    all.pop().flatten()
}

/// Traces that Go wrote begin as is assumed: no generation is read again.
#[test]
fn fixtures_are_read_once() {
    let mut several = 0;
    for fixture in common::fixtures() {
        let bytes = fixture.bytes();
        let again = same(&bytes, &fixture.name);
        let trace = Trace::new(&bytes).unwrap();
        if trace.version().has_generations() && trace.generations().count() > 1 {
            several += 1;
            assert_eq!(again, Some(0), "{}", fixture.name);
        }
    }
    assert!(several >= 10, "{several}");
}

/// Every case of the order's rules: among them traces whose generations say what is not so, and leave
/// open what others close.
#[test]
fn cases_are_read_as_on_one_thread() {
    let mut several = 0;
    for case in cases::all() {
        let bytes = case.trace();
        same(&bytes, &case.name);
        let generations = Trace::new(&bytes).map(|trace| trace.generations().count());
        several += usize::from(generations.is_ok_and(|count| count > 1));
    }
    assert!(several > 30, "{several}");
}

fn assemble(text: &str) -> Vec<u8> {
    let text = format!("== case\n{text}");
    let case = cases::Case {
        name: "case".to_owned(),
        text,
        expect: String::new(),
        differs: None,
    };
    case.trace()
}

/// What is open from one generation to the next, with how many generations are read again.
#[test]
fn what_is_open_across_is_known_or_read_again() {
    let first = "\
EventBatch gen=1 m=0 time=10
ProcStatus dt=1 p=0 pstatus=Running
GoStatus dt=1 g=1 m=0 gstatus=Running
";
    let second = "\
EventBatch gen=2 m=0 time=50
ProcStatus dt=1 p=0 pstatus=Running
GoStatus dt=1 g=1 m=0 gstatus=Running
";
    let cases: &[(&str, &str, &str, Option<u64>)] = &[
        ("nothing", "", "", Some(0)),
        (
            "a task",
            "UserTaskBegin dt=1 task=3 parent_task=0 name_string=1 stack=0\n",
            "UserTaskEnd dt=1 task=3 stack=0\n",
            Some(0),
        ),
        (
            "a task that begins twice",
            "UserTaskBegin dt=1 task=3 parent_task=0 name_string=1 stack=0\n",
            "UserTaskBegin dt=1 task=3 parent_task=0 name_string=1 stack=0\n",
            None,
        ),
        (
            "regions",
            "UserRegionBegin dt=1 task=3 name_string=1 stack=0\n\
             UserRegionBegin dt=1 task=4 name_string=2 stack=0\n",
            "UserRegionEnd dt=1 task=4 name_string=2 stack=0\n\
             UserRegionBegin dt=1 task=5 name_string=3 stack=0\n",
            Some(0),
        ),
        (
            "regions that end in the wrong order",
            "UserRegionBegin dt=1 task=3 name_string=1 stack=0\n\
             UserRegionBegin dt=1 task=4 name_string=2 stack=0\n",
            "UserRegionEnd dt=1 task=3 name_string=1 stack=0\n",
            None,
        ),
        (
            "a stopped world",
            "STWBegin dt=1 kind_string=1 stack=0\n",
            "STWEnd dt=1\n",
            Some(1),
        ),
        (
            "an assist",
            "GCMarkAssistBegin dt=1 stack=0\n",
            "GCMarkAssistActive dt=1 g=1\nGCMarkAssistEnd dt=1\n",
            Some(0),
        ),
        (
            "an assist that is not",
            "",
            "GCMarkAssistActive dt=1 g=1\nGCMarkAssistEnd dt=1\n",
            None,
        ),
        (
            "a sweep",
            "GCSweepBegin dt=1 stack=0\n",
            "GCSweepActive dt=1 p=0\nGCSweepEnd dt=1 swept_value=1 reclaimed_value=1\n",
            Some(0),
        ),
        (
            "a garbage collection",
            "GCBegin dt=1 gc_seq=1 stack=0\n",
            "GCActive dt=1 gc_seq=2\nGCEnd dt=1 gc_seq=3\n",
            Some(0),
        ),
        (
            "a goroutine that nothing is said of",
            "GoCreate dt=1 new_g=7 new_stack=0 stack=0\n",
            "",
            Some(1),
        ),
        (
            "a goroutine that is said to wait, but runs",
            "GoCreate dt=1 new_g=7 new_stack=0 stack=0\n",
            "GoStatus dt=1 g=7 m=-1 gstatus=Waiting\n",
            None,
        ),
        (
            "a system call",
            "GoSyscallBegin dt=1 p_seq=1 stack=0\n",
            "",
            None,
        ),
        (
            "time that goes back",
            "HeapAlloc dt=90 heapalloc_value=1\n",
            "",
            Some(0),
        ),
        (
            "time that goes back, twice at one time",
            "HeapAlloc dt=90 heapalloc_value=1\nHeapAlloc dt=0 heapalloc_value=1\n",
            "",
            Some(1),
        ),
    ];
    for (what, before, after, expected) in cases {
        // A third generation goes on from the second.
        let third = second
            .replace("gen=2", "gen=3")
            .replace("time=50", "time=300");
        let text = format!("{first}{before}{second}{after}{third}");
        let again = same(&assemble(&text), what);
        assert_eq!(again.is_some(), expected.is_some(), "{what}");
        let text = format!("{first}{before}{second}{after}");
        assert_eq!(same(&assemble(&text), what), *expected, "{what}");
    }
}

/// Bytes changed, lost and doubled anywhere.
#[test]
fn damaged_traces_are_read_as_on_one_thread() {
    let cases = std::env::var("GOTRACE_CASES");
    let rounds: u32 = cases.map_or(150, |n| n.parse().expect("a number"));
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |end: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % end.max(1) as u64) as usize
    };
    let traces: Vec<_> = common::fixtures()
        .into_iter()
        .filter(|f| f.name.starts_with("annotate") || f.name.starts_with("profile"))
        .filter(|f| !f.name.ends_with("go1.21"))
        .map(|f| (f.name.clone(), f.bytes()))
        .collect();
    for round in 0..rounds {
        let (name, bytes) = &traces[random(traces.len())];
        let mut bytes = bytes.clone();
        for _ in 0..=random(2) {
            let at = 16 + random(bytes.len() - 16);
            let end = bytes.len().min(at + 1 + random(40));
            match random(5) {
                0 => bytes[at] = random(256) as u8,
                1 => bytes[at] ^= 1 << random(8),
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy);
                }
                _ => bytes.truncate(at.max(64)),
            }
        }
        same(&bytes, &format!("{name}, round {round}"));
    }
}

/// Cut where generations begin, and a byte before and after.
#[test]
fn traces_cut_at_generations_are_read_as_on_one_thread() {
    for name in ["annotate-go1.22", "annotate-go1.27"] {
        let bytes = common::fixture(name).bytes();
        let trace = Trace::new(&bytes).unwrap();
        for generation in trace.generations() {
            let end = generation.unwrap().end.0 as usize;
            for end in [end - 1, end, end + 1] {
                same(&bytes[..end.min(bytes.len())], &format!("{name} to {end}"));
            }
        }
    }
}

fn count_to(limit: u64) -> impl Fn(&mut u64, &gotrace::Event<'_, '_>) -> ControlFlow<()> {
    move |count, _| {
        *count += 1;
        match *count >= limit {
            true => Break(()),
            false => Continue(()),
        }
    }
}

#[test]
fn both_closures_may_have_enough() {
    let bytes = common::fixture("annotate-go1.27").bytes();
    let trace = Trace::new(&bytes).unwrap();
    for threads in [1, 2, 4] {
        let reader = Parallel::new(&trace).with_threads(threads);
        let mut counts = Vec::new();
        let outcome = reader.fold(u64::default, count_to(5), |count| {
            counts.push(count);
            Continue(())
        });
        assert!(outcome.is_ok());
        assert_eq!(counts, [5]);
        let mut values = 0;
        let outcome: Outcome = reader
            .fold(u64::default, count_to(u64::MAX), |_| {
                values += 1;
                Break(())
            })
            .unwrap();
        assert_eq!((values, outcome.read_again), (1, 0));
    }
}

/// A panic in either closure ends all threads, and goes on.
#[test]
fn a_panic_ends_all_threads() {
    let bytes = common::fixture("annotate-go1.27").bytes();
    let trace = Trace::new(&bytes).unwrap();
    let generations = trace.generations().count();
    assert!(generations > 2);
    for threads in [1, 2, 4] {
        let reader = Parallel::new(&trace).with_threads(threads);
        let made = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _ = reader.fold(
                || made.fetch_add(1, Ordering::Relaxed),
                |_, event| {
                    assert!(event.generation().is_none_or(|g| g.get() < 2), "on purpose");
                    Continue(())
                },
                |_| Continue(()),
            );
        }));
        assert!(result.is_err(), "{threads}");
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _ = reader.fold(|| (), |(), _| Continue(()), |()| panic!("on purpose"));
        }));
        assert!(result.is_err(), "{threads}");
    }
}

/// No more generations are held than may be.
#[test]
fn no_more_are_in_flight_than_may_be() {
    let bytes = common::fixture("annotate-go1.27").bytes();
    let trace = Trace::new(&bytes).unwrap();
    for in_flight in [1, 2] {
        let reader = Parallel::new(&trace)
            .with_threads(4)
            .with_generations_in_flight(in_flight);
        let (held, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let outcome = reader.fold(
            || {
                let now = held.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
            },
            |(), _| Continue(()),
            |()| {
                held.fetch_sub(1, Ordering::SeqCst);
                Continue(())
            },
        );
        assert_eq!(outcome.map(|o| o.read_again).ok(), Some(0));
        assert!(most.into_inner() <= in_flight);
    }
}
