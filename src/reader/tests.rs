//! Parking against Go's way, each also where the number of threads would choose the other.

#[path = "../../tests/common/hostile.rs"]
#[allow(dead_code)]
mod hostile;
#[path = "../../tests/common/schedule.rs"]
mod schedule;

use super::Reader;
use crate::{Error, Fixed, Growing, Trace, tables::Storage};
use hostile::CASES;
use proptest::prelude::*;
use schedule::Schedule;
use std::boxed::Box;
use std::path::PathBuf;
use std::string::{String, ToString};
use std::vec::Vec;

/// What a reader gives: events as text, and the error.
#[derive(Debug, PartialEq)]
struct Run {
    events: Vec<String>,
    error: Option<Error>,
}

/// Reads a trace in Go's way as long as there are so many threads or fewer. Tells too how many
/// events were offered to the model.
fn read<S: Storage>(bytes: &[u8], exact: usize) -> (Run, u64) {
    let trace = Trace::new(bytes).unwrap();
    let mut reader = Box::new(Reader::<S>::new(&trace));
    reader.engine.exact = exact;
    let (mut events, mut error) = (Vec::new(), None);
    loop {
        match reader.next() {
            Ok(Some(event)) => events.push(event.line().to_string()),
            Ok(None) => break,
            Err(found) => error = Some(found),
        }
    }
    (Run { events, error }, reader.engine.offers)
}

const GO: usize = usize::MAX;

fn fixtures() -> impl Iterator<Item = PathBuf> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let paths = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let names = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.filter(move |path| {
        let name = names(path);
        name.ends_with(".trace") && !name.ends_with("1.21.trace")
    })
}

/// The events in any order.
fn without_times(run: Run) -> Vec<String> {
    let words = |event: &String| {
        let words = event.split(' ').filter(|word| !word.starts_with("Time="));
        words.collect::<Vec<_>>().join(" ")
    };
    let mut events: Vec<String> = run.events.iter().map(words).collect();
    events.sort_unstable();
    events
}

#[test]
fn fixtures_have_the_same_events() {
    for path in fixtures() {
        let bytes = std::fs::read(&path).unwrap();
        let (go, parking) = (read::<Growing>(&bytes, GO).0, read::<Growing>(&bytes, 0).0);
        // The one fixture in which an event has to wait whose time is that of another.
        if path.ends_with("syscalls-go1.25.trace") {
            assert_eq!(without_times(go), without_times(parking));
        } else {
            assert!(go == parking, "{}", path.display());
        }
    }
}

/// In the traces that mean harm, threads wait in every way there is.
#[test]
fn hostile_traces_have_the_same_events() {
    type Tables = Fixed<16, 16, 256, 256, 256, 256, 512, 64, 64>;
    for case in CASES.iter().filter(|case| case.go_is_quadratic) {
        let bytes = (case.make)(200);
        let (go, parking) = (read::<Growing>(&bytes, GO).0, read::<Growing>(&bytes, 0).0);
        assert_eq!(go.error, None, "{}", case.name);
        assert_eq!(go, parking, "{}", case.name);
        assert_eq!(read::<Tables>(&bytes, 0).0, parking, "{}", case.name);
    }
}

/// Tries are what Go's way has too many of: here there are a few for each event.
#[test]
fn tries_are_in_proportion_to_events() {
    for case in CASES.iter().filter(|case| case.accepted) {
        let (run, offers) = read::<Growing>(&(case.make)(4000), super::merge::EXACT);
        assert_eq!(run.error, None, "{}", case.name);
        let events = run.events.len() as u64;
        assert!(offers < 5 * events, "{}: {offers} for {events}", case.name);
    }
}

#[test]
fn schedules_make_threads_wait() {
    let schedule = Schedule {
        seed: 1,
        threads: 40,
        steps: 3000,
        lie: 2000,
        lost: None,
    };
    let (run, offers) = read::<Growing>(&schedule.make(), GO);
    let events = run.events.len() as u64;
    assert!(
        events > 1000 && offers > 4 * events,
        "{offers} for {events}"
    );
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let lie = prop_oneof![0..20u64, 0..2000u64];
    (any::<u64>(), 2..40usize, 0..3000usize, lie).prop_map(|(seed, threads, steps, lie)| Schedule {
        seed,
        threads,
        steps,
        lie,
        lost: None,
    })
}

/// Two threads run goroutine 1; one wants to switch to goroutine 2, which waits nowhere yet, when
/// the other stops it.
#[test]
fn a_switch_that_is_put_aside_fails_in_its_own_turn() {
    let text = "Trace Go1.23
EventBatch gen=1 m=18446744073709551615 time=1
Frequency freq=1000000000
EventBatch gen=1 m=0 time=10
ProcStatus dt=1 p=0 pstatus=1
GoStatus dt=1 g=1 m=0 gstatus=2
GoSwitch dt=10 g=2 g_seq=1
EventBatch gen=1 m=1 time=10
ProcStatus dt=2 p=1 pstatus=1
GoStatus dt=2 g=1 m=1 gstatus=2
GoStop dt=20 reason_string=0 stack=0
ProcStop dt=1
";
    let bytes = crate::wire::assemble(text, None).unwrap();
    let (go, parking) = (read::<Growing>(&bytes, GO).0, read::<Growing>(&bytes, 0).0);
    let kind = |run: &Run| run.error.map(|error| error.kind());
    assert_eq!(kind(&go), Some(crate::ErrorKind::GoStateMismatch));
    assert_eq!(kind(&parking), Some(crate::ErrorKind::NoProgress));
    // Until then, what the other thread does comes first.
    assert!(parking.events.len() > go.events.len());
    assert_eq!(parking.events[..go.events.len()], go.events);
}

proptest! {
    #[test]
    fn schedules_have_the_same_events(schedule in schedule()) {
        let bytes = schedule.make();
        let (go, parking) = (read::<Growing>(&bytes, GO).0, read::<Growing>(&bytes, 0).0);
        prop_assert_eq!(go.error, None);
        prop_assert_eq!(go, parking);
    }

    #[test]
    fn broken_schedules_fail_in_the_same_way(
        schedule in schedule(),
        lost in any::<prop::sample::Index>(),
    ) {
        let lost = Some(1 + lost.index(schedule.steps / 2 + 1));
        let bytes = Schedule { lost, ..schedule }.make();
        let (go, parking) = (read::<Growing>(&bytes, GO).0, read::<Growing>(&bytes, 0).0);
        prop_assert_eq!(go, parking);
    }
}
