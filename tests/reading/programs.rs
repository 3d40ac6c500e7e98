//! Traces of random programs: read by the strict reader, the lenient one and Go's, whole and damaged.
#![cfg(feature = "std")]

use crate::common;
use common::damage::Damage;
use common::live::RandomReads;
use common::program::Program;
use gotrace::reader::Item;
use gotrace::{Error, ErrorKind, ReadError, StreamReader, Trace};
use std::fmt::Write as _;

/// How many programs there are, unless GOTRACE_CASES says otherwise.
fn cases(usual: u64) -> u64 {
    let asked = std::env::var("GOTRACE_CASES");
    asked.ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// All events as Go prints them, how many they are, and the error.
fn read(bytes: &[u8]) -> (String, u64, Option<Error>) {
    let trace = Trace::new(bytes).unwrap();
    let mut reader = trace.reader();
    let (mut text, mut count) = (String::new(), 0);
    loop {
        match reader.next() {
            Ok(Some(event)) => writeln!(text, "{event}").unwrap(),
            Ok(None) => return (text, count, None),
            Err(error) => return (text, count, Some(error)),
        }
        count += 1;
    }
}

fn read_stream(bytes: &[u8]) -> (String, Option<Error>) {
    let source = RandomReads::new(bytes, bytes.len() as u64);
    let mut reader = StreamReader::new(source).unwrap();
    let mut text = String::new();
    loop {
        match reader.next() {
            Ok(Some(event)) => writeln!(text, "{event}").unwrap(),
            Ok(None) => return (text, None),
            Err(ReadError::Trace(error)) => return (text, Some(error)),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn programs_are_read_alike_by_all_readers() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..cases(300) {
        let program = Program::number(seed);
        let bytes = program.trace();
        let (text, _, error) = read(&bytes);
        assert_eq!(error, None, "{program:?}\n{text}");
        assert!(read_stream(&bytes) == (text.clone(), None), "{program:?}");
        let trace = Trace::new(&bytes).unwrap();
        let mut reader = trace.reader().lenient();
        let mut lenient = String::new();
        while let Some(item) = reader.next().unwrap() {
            let Item::Event(event) = item else {
                panic!("{program:?}: {item:?}")
            };
            seen.extend(event.wire_type());
            writeln!(lenient, "{event}").unwrap();
        }
        assert!(lenient == text, "{program:?}");
    }
    // All types of events with which the model has to do.
    assert!(seen.len() >= 42, "{} {seen:?}", seen.len());
}

#[test]
fn programs_are_read_as_go_reads_them() {
    let Some(go) = common::go::Go::find() else {
        return;
    };
    let programs: Vec<Program> = (0..cases(300)).map(Program::number).collect();
    let traces: Vec<Vec<u8>> = programs.iter().map(|program| program.trace()).collect();
    let all = go.reference().events_of(&traces);
    assert_eq!(all.len(), programs.len());
    for ((program, trace), theirs) in programs.iter().zip(&traces).zip(all) {
        let (text, ..) = read(trace);
        assert_eq!(theirs.error, None, "{program:?}");
        let theirs = String::from_utf8_lossy(&theirs.text);
        let line = text.lines().zip(theirs.lines()).find(|(a, b)| a != b);
        assert!(text == theirs, "{program:?}: {line:?}");
    }
}

/// The differences that are deliberate are those of `src/docs/differences.md`.
#[test]
fn damaged_programs_are_refused_where_go_refuses_them() {
    let Some(go) = common::go::Go::find() else {
        return;
    };
    let reference = go.reference();
    let mut peer = reference.serve();
    let mut refused = 0;
    let cases = cases(2000);
    for seed in 0..cases {
        let program = Program::number(seed);
        let mut random = common::hostile::random(seed + 1);
        let damage = Damage::from_random([(); 4].map(|()| random()));
        let trace = damage.apply(&program.trace());
        let (_, count, error) = read(&trace);
        let theirs = peer.verdict(&trace);
        let kind = error.map(|error| error.kind());
        refused += u64::from(kind.is_some());
        let gained = match kind {
            Some(ErrorKind::ReservedId) if count <= theirs.events => continue,
            Some(
                ErrorKind::UnknownEvent
                | ErrorKind::UntimedEvent
                | ErrorKind::BatchOverrun
                | ErrorKind::VarintOverflow,
            ) => 0..=3,
            _ => 0..=0,
        };
        let silent = theirs.error.is_none() && kind == Some(ErrorKind::BatchOverrun);
        let same = (kind.is_some() == theirs.error.is_some() || silent)
            && count
                .checked_sub(theirs.events)
                .is_some_and(|more| gained.contains(&more));
        assert!(
            same,
            "{program:?} {damage:?}: {count} events and {error:?}, Go gives {theirs:?}"
        );
    }
    assert!(refused > cases / 4, "{refused}");
}
