//! Traces that mean harm cost in proportion to their length: time, but for a logarithm, and memory.
#![cfg(feature = "std")]

use crate::{HEAP, alone, assert_in_proportion, common};

use common::go::Go;
use common::hostile::{CASES, Case};
use common::schedule::Schedule;
use gotrace::{Error, Growing, ReadError, StreamReader, Trace, generation::GenerationTables};
use std::fmt::Write as _;

/// How many times its length a trace may take of memory, while it is read: the dearest bytes are
/// those of a batch of one event, for a thread of its own, of which a table that has just grown
/// holds the state twice.
const MEMORY: usize = 64;
/// And what even the smallest may take.
const SPARE: usize = 1 << 20;

/// Reads a trace to its end, or to the error that ends it.
type Way = fn(&[u8]) -> Result<u64, Error>;

const WAYS: &[(&str, Way)] = &[("slice", slice), ("stream", stream), ("tables", tables)];

fn slice(trace: &[u8]) -> Result<u64, Error> {
    let mut reader = Trace::new(trace)?.reader();
    let mut events = 0;
    while reader.next()?.is_some() {
        events += 1;
    }
    Ok(events)
}

fn stream(trace: &[u8]) -> Result<u64, Error> {
    let mut reader = StreamReader::new(trace).expect("a header");
    let mut events = 0;
    loop {
        match reader.next() {
            Ok(Some(_)) => events += 1,
            Ok(None) => return Ok(events),
            Err(ReadError::Trace(error)) => return Err(error),
            Err(error) => panic!("{error}"),
        }
    }
}

fn tables(trace: &[u8]) -> Result<u64, Error> {
    let trace = Trace::new(trace)?;
    let mut entries = 0;
    for generation in trace.generations() {
        let tables = GenerationTables::<Growing>::load(&trace, &generation?)?;
        entries += tables.strings().count() + tables.stacks().count() + tables.samples().count();
    }
    Ok(entries as u64)
}

#[test]
fn memory_is_a_multiple_of_the_input() {
    alone!();
    for case in CASES {
        for n in [1 << 10, 1 << 13, 1 << 16] {
            let trace = (case.make)(n);
            let bound = MEMORY * trace.len() + SPARE;
            for (way, read) in WAYS {
                let (result, peak) = HEAP.peak_of(|| read(&trace));
                let name = case.name;
                assert!(peak <= bound, "{name}, {way}, {n}: {peak} bytes, {bound}");
                if *way != "tables" {
                    assert_eq!(result.is_ok(), case.accepted, "{name}, {way}: {result:?}");
                }
            }
        }
    }
}

#[test]
fn time_grows_with_the_input() {
    const SMALL: usize = 1500;
    alone!();
    for case in CASES {
        let (small, large) = ((case.make)(SMALL), (case.make)(40 * SMALL));
        for (way, read) in WAYS {
            let work = |trace: &[u8]| {
                let _ = std::hint::black_box(read(trace));
            };
            let name = format!("{}, {way}", case.name);
            assert_in_proportion(&name, || work(&small), || work(&large));
        }
    }
}

fn text(trace: &[u8]) -> Vec<u8> {
    let mut reader = Trace::new(trace).expect("a header").reader();
    let mut text = String::new();
    while let Some(event) = reader.next().expect("an event") {
        writeln!(text, "{event}").expect("writing to a string");
    }
    text.into_bytes()
}

/// Many threads that wait for each other, no two of them at one time: the events are Go's, although
/// they are not found in Go's way.
#[test]
fn many_threads_have_the_events_that_go_gives() {
    let Some(go) = Go::find().map(|go| go.reference()) else {
        return;
    };
    let is_waiting = |case: &&Case| case.go_is_quadratic;
    for case in CASES.iter().filter(is_waiting) {
        for n in [250, 270, 1000] {
            let trace = (case.make)(n);
            let expected = go.events(&trace);
            assert_eq!(expected.error, None, "{}", case.name);
            assert!(text(&trace) == expected.text, "{}, {n}", case.name);
        }
    }
    for seed in 0..12 {
        let schedule = Schedule {
            seed,
            threads: 200 + 50 * seed as usize,
            steps: 10_000,
            lie: 400 * seed,
            lost: None,
        };
        let trace = schedule.make();
        let expected = go.events(&trace);
        assert_eq!(expected.error, None, "{schedule:?}");
        assert!(text(&trace) == expected.text, "{schedule:?}");
    }
}

/// Go's reader accepts and refuses the same, and says the same of broken schedules.
#[test]
fn go_has_the_same_verdicts() {
    let Some(go) = Go::find().map(|go| go.reference()) else {
        return;
    };
    let mut serve = go.serve();
    for case in CASES {
        let verdict = serve.verdict(&(case.make)(2000));
        // Of a program counter that several stacks have, Go looks at one frame only.
        let accepted = case.accepted || case.name == "frames that name no string";
        assert_eq!(verdict.error.is_none(), accepted, "{}", case.name);
    }
    for seed in 0..60 {
        let schedule = Schedule {
            seed,
            threads: 400,
            steps: 6000,
            lie: 50 * seed,
            lost: Some(1 + 70 * seed as usize),
        };
        let trace = schedule.make();
        let verdict = serve.verdict(&trace);
        let (mut events, mut error) = (0, None);
        let mut reader = Trace::new(&trace).expect("a header").reader();
        loop {
            match reader.next() {
                Ok(Some(_)) => events += 1,
                Ok(None) => break,
                Err(found) => error = Some(found),
            }
        }
        assert_eq!(error.is_some(), verdict.error.is_some(), "{schedule:?}");
        assert_eq!(
            events, verdict.events,
            "{schedule:?}: {error:?}, {verdict:?}"
        );
    }
}
