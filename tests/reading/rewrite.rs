//! Traces written anew: the same events, which everybody accepts.

use crate::common::go::{Go, Serve};
use crate::common::schedule::Schedule;
use crate::common::{Fixture, fixtures, fixtures_dir};
use crate::validator::facts::{Fact, What};
use crate::validator::model::{Trust, Validator};
use gotrace::Trace;
use gotrace::rewrite::{Report, Writer};
use gotrace::wire::Version;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::{LazyLock, Mutex};

static GO: LazyLock<Option<Mutex<Serve>>> =
    LazyLock::new(|| Some(Mutex::new(Go::find()?.reference().serve())));

/// All events, as they display.
pub fn events(trace: &[u8]) -> Result<String, String> {
    let of = Trace::new(trace).map_err(|e| e.to_string())?;
    let mut reader = of.reader();
    let mut text = String::new();
    while let Some(event) = reader.next().map_err(|e| e.to_string())? {
        writeln!(text, "{event}").unwrap();
    }
    Ok(text)
}

/// What our strict reader, the validator and Go's reader make of a trace that must be valid.
pub fn judge(trace: &[u8], trust: Trust) -> Result<(), String> {
    let of = Trace::new(trace).map_err(|e| e.to_string())?;
    let mut reader = of.reader();
    let mut validator = Validator::new(trust);
    let mut first = None;
    while let Some(event) = reader.next().map_err(|e| format!("ours: {e}"))? {
        let fact = Fact::of(&event);
        // States are learned in the first generation that has events of threads: samples say nothing of them.
        if !matches!(fact.what, What::Sync(..) | What::Sample) {
            first = first.or(reader.generation());
        }
        let first = first.is_none() || first == reader.generation();
        validator.see(Fact { first, ..fact })?;
    }
    validator.end(false)?;
    if let Some(go) = &*GO {
        let mut go = go.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(error) = go.verdict(trace).error {
            return Err(format!("Go's: {error}"));
        }
    }
    Ok(())
}

/// Writes a trace anew.
fn rewrite(trace: &[u8], version: Option<Version>) -> (Vec<u8>, Report) {
    let of = Trace::new(trace).unwrap();
    let mut reader = of.reader();
    let mut writer = Writer::new(version.unwrap_or(of.version())).unwrap();
    let mut out = Vec::new();
    while let Some(event) = reader.next().unwrap() {
        writer.event(&event);
        out.extend_from_slice(writer.bytes());
        writer.clear();
    }
    writer.finish();
    out.extend_from_slice(writer.bytes());
    (out, writer.report())
}

/// The lines in which two texts differ first.
fn difference(a: &str, b: &str) -> Option<String> {
    let (mut a, mut b) = (a.lines(), b.lines());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return None,
            (x, y) if x == y => {}
            (x, y) => return Some(format!("{x:?}\n{y:?}")),
        }
    }
}

pub fn today() -> impl Iterator<Item = Fixture> {
    fixtures().into_iter().filter(|f| f.go_version >= 22)
}

#[test]
fn fixtures_give_the_same_events() {
    for fixture in today() {
        let trace = fixture.bytes();
        let (again, report) = rewrite(&trace, None);
        let name = &fixture.name;
        let expected = Report::default();
        assert_eq!(
            (report.made_up, report.left_out, report.missing_names),
            (expected.made_up, expected.left_out, expected.missing_names),
            "{name}: {report:?}"
        );
        let (before, after) = (events(&trace).unwrap(), events(&again).expect(name));
        if let Some(difference) = difference(&before, &after) {
            panic!("{name}: {difference}");
        }
        judge(&again, Trust::Program).expect(name);
        // Nothing changes any more.
        assert!(rewrite(&again, None).0 == again, "{name}");
    }
}

/// Every trace becomes one of every version. What a version lacks is counted.
#[test]
fn fixtures_become_every_version() {
    for fixture in today() {
        let trace = fixture.bytes();
        let name = &fixture.name;
        for version in [
            Version::Go122,
            Version::Go123,
            Version::Go125,
            Version::Go126,
        ] {
            let (out, report) = rewrite(&trace, Some(version));
            assert_eq!(Trace::new(&out).unwrap().version(), version);
            judge(&out, Trust::Program).unwrap_or_else(|e| panic!("{name} to {version}: {e}"));
            assert_eq!(
                (report.made_up, report.left_out),
                (0, 0),
                "{name} to {version}"
            );
            let older = version < Trace::new(&trace).unwrap().version();
            assert!(older || report.not_in_version == 0, "{name} to {version}");
            let coroutines_or_experiments = name.starts_with("coro") || name.starts_with("alloc");
            let lacks = version == Version::Go122 && coroutines_or_experiments;
            assert_eq!(report.not_in_version > 0, lacks, "{name} to {version}");
        }
    }
}

/// What no one keeps: strings and stacks that nothing names.
#[test]
fn traces_do_not_grow_much() {
    for fixture in today() {
        let trace = fixture.bytes();
        let (out, _) = rewrite(&trace, None);
        assert!(
            out.len() < trace.len() + trace.len() / 3,
            "{}",
            fixture.name
        );
    }
}

pub fn cases(few: u32) -> u32 {
    let cases = std::env::var("GOTRACE_CASES").ok();
    cases.and_then(|n| n.parse().ok()).unwrap_or(few)
}

/// Whatever the scheduler did, the events are the same.
#[test]
fn schedules_are_written_anew() {
    let strategy = (any::<u64>(), 1usize..40, 1usize..600, 0u64..60);
    let mut runner = TestRunner::deterministic();
    for _ in 0..cases(40) {
        let (seed, threads, steps, lie) = strategy.new_tree(&mut runner).unwrap().current();
        let schedule = Schedule {
            seed,
            threads,
            steps,
            lie,
            lost: None,
        };
        let trace = schedule.make();
        let (again, _) = rewrite(&trace, None);
        let (before, after) = (events(&trace).unwrap(), events(&again).unwrap());
        assert_eq!(difference(&before, &after), None, "{schedule:?}");
    }
}

/// Times that are wrong by a factor are right behind it.
#[test]
fn clocks_are_corrected() {
    let path = fixtures_dir().join("faults/f25-windows-1.22-clock.trace");
    let bytes = std::fs::read(path).unwrap();
    let span = |bytes: &[u8]| {
        let trace = Trace::new(bytes).unwrap();
        let mut reader = trace.reader();
        let mut times = Vec::new();
        while let Some(event) = reader.next().unwrap() {
            times.push(event.time());
        }
        times.last().unwrap().since(times[0])
    };
    let trace = Trace::new(&bytes).unwrap();
    let mut reader = trace.reader();
    let mut writer = Writer::new(trace.version()).unwrap().with_time_factor(256);
    while let Some(event) = reader.next().unwrap() {
        writer.event(&event);
    }
    writer.finish();
    let (before, after) = (span(&bytes), span(writer.bytes()));
    assert!((after / 256 - before).abs() < 10, "{before} {after}");
    assert!((3_000_000_000..5_000_000_000).contains(&after), "{after}");
    judge(writer.bytes(), Trust::Program).unwrap();
}

/// A trace from any of its events on: the same events, but for what ends that has no beginning.
#[test]
fn traces_begin_anywhere() {
    let traces: Vec<(String, Vec<u8>)> = today().map(|f| (f.name.clone(), f.bytes())).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    for n in 0..cases(80) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (name, bytes) = &traces[n as usize % traces.len()];
        let trace = Trace::new(bytes).unwrap();
        let mut lines = Vec::new();
        let mut reader = trace.reader();
        while let Some(event) = reader.next().unwrap() {
            lines.push((event.time(), event.line().to_string()));
        }
        let from = random as usize % lines.len();
        let mut reader = trace.reader();
        let mut writer = Writer::new(trace.version()).unwrap();
        let mut read = 0;
        while let Some(event) = reader.next().unwrap() {
            match read < from {
                true => writer.skip(&event),
                false => writer.event(&event),
            }
            read += 1;
        }
        writer.finish();
        let report = writer.report();
        assert_eq!(report.made_up, 0, "{name} from {from}: {report:?}");
        judge(writer.bytes(), Trust::Program).unwrap_or_else(|e| panic!("{name} from {from}: {e}"));
        let kept: HashSet<String> = events(writer.bytes())
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect();
        // Of a record that gives several events all are cut, or none.
        let mut missing = lines[from..]
            .iter()
            .skip(3)
            .filter(|(_, line)| !kept.contains(line));
        // What is known of a task is gone with its beginning; and a world may be stopped already.
        let known = [" Sync ", " TaskEnd ", "stop-the-world"];
        let new = missing.find(|(_, line)| !known.iter().any(|word| line.contains(word)));
        assert_eq!(new, None, "{name} from {from}");
    }
}
