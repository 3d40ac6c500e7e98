//! Traces written anew: the same events, which everybody accepts.

use crate::common::damage::Damage;
use crate::common::go::{Go, Serve};
use crate::common::schedule::Schedule;
use crate::common::{Fixture, fixture, fixtures, fixtures_dir};
use crate::validator::facts::{Fact, What};
use crate::validator::model::{Trust, Validator};
use gotrace::Trace;
use gotrace::rewrite::{Repaired, Report, Writer};
use gotrace::wire::{Batch, Chunk, Contents, EventType, Record, Version};
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
        // States are learned in the first generation that has events.
        if !matches!(fact.what, What::Sync(..)) {
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

fn today() -> impl Iterator<Item = Fixture> {
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

/// A made-up event can be told from others.
#[test]
fn what_is_made_up_says_so() {
    let bytes = fixture("http-go1.27").bytes();
    let repaired = repair(&bytes[..200_000]).unwrap();
    let trace = Trace::new(&repaired.0).unwrap();
    let mut reader = trace.reader();
    let mut signed = 0;
    while let Some(event) = reader.next().unwrap() {
        let frames = event.stack().map(|stack| stack.frames());
        signed += u64::from(frames.is_some_and(|mut f| {
            f.next()
                .is_some_and(|f| f.func.as_bytes() == b"made up by gotrace")
        }));
    }
    assert!(
        signed > 0 && signed <= repaired.1.written.made_up,
        "{signed}"
    );
}

fn repair(bytes: &[u8]) -> Result<(Vec<u8>, Repaired), String> {
    let trace = Trace::new(bytes).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    let repaired = gotrace::rewrite::repair(&trace, |piece| out.extend_from_slice(piece));
    Ok((out, repaired.map_err(|e| e.to_string())?))
}

/// Repairs a trace, and repairs the result.
fn check(bytes: &[u8], trust: Trust) -> Result<Repaired, String> {
    let (out, repaired) = repair(bytes)?;
    judge(&out, trust)?;
    let (again, report) = repair(&out)?;
    if !report.is_unchanged() || again != out {
        return Err(format!("repairing it again changes something: {report:?}"));
    }
    Ok(repaired)
}

/// How many events a trace has records for, up to a cut: those of whole records.
fn records(bytes: &[u8]) -> u64 {
    let trace = Trace::new(bytes).unwrap();
    let mut batches = trace.batches();
    let mut count = 0;
    let mut add = |batch: Batch<'_>| {
        for record in batch.records().map_while(Result::ok) {
            count += match record {
                Record::Event(event) if event.ty == EventType::CLOCK_SNAPSHOT => 0,
                Record::Event(_) | Record::Sample(_) => 1,
                _ => 0,
            };
        }
    };
    loop {
        match batches.next() {
            Ok(Some(Chunk::Batch(batch))) => add(batch),
            Ok(Some(Chunk::EndOfGeneration(_))) => {}
            _ => break,
        }
    }
    let at = batches.offset();
    if let Some(batch) = Batch::cut(&bytes[at.0 as usize..], at) {
        add(batch);
    }
    count
}

fn cases(few: u32) -> u32 {
    let cases = std::env::var("GOTRACE_CASES").ok();
    cases.and_then(|n| n.parse().ok()).unwrap_or(few)
}

/// Traces that end anywhere keep what they have: as good as all events of the last generation.
#[test]
fn cut_traces_are_repaired() {
    let traces: Vec<(String, Vec<u8>)> = today().map(|f| (f.name.clone(), f.bytes())).collect();
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let (mut whole, mut kept, mut made_up) = (0, 0, 0);
    for n in 0..cases(60) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (name, trace) = &traces[n as usize % traces.len()];
        let cut = 16 + (random % (trace.len() as u64 - 15)) as usize;
        let bytes = &trace[..cut];
        let repaired =
            check(bytes, Trust::Program).unwrap_or_else(|e| panic!("{name} cut at {cut}: {e}"));
        whole += records(bytes);
        kept += repaired.written.events;
        made_up += repaired.written.made_up;
    }
    // A coroutine switch gives three events, and counts as one.
    assert!(kept * 1000 >= whole * 999, "{kept} of {whole}");
    assert!(made_up * 10 <= whole, "{made_up} of {whole}");
}

/// Whatever is damaged, the repaired trace is valid.
#[test]
fn damaged_traces_are_repaired() {
    let traces: Vec<(String, Vec<u8>)> = today().map(|f| (f.name.clone(), f.bytes())).collect();
    let mut runner = TestRunner::deterministic();
    let strategy = (any::<[u64; 4]>(), any::<prop::sample::Index>());
    for _ in 0..cases(100) {
        let tree = strategy.new_tree(&mut runner).unwrap();
        let (random, index) = tree.current();
        let (name, trace) = index.get(&traces);
        let damage = Damage::from_random(random);
        let bytes = damage.apply(trace);
        if Trace::new(&bytes).is_err() {
            continue;
        }
        check(&bytes, Trust::Nothing).unwrap_or_else(|e| panic!("{name}, {damage:?}: {e}"));
    }
}

/// Whatever the scheduler did, the events are the same; and where one of them is lost, the rest is kept.
#[test]
fn schedules_are_written_anew() {
    let strategy = (
        any::<u64>(),
        1usize..40,
        1usize..600,
        0u64..60,
        any::<prop::sample::Index>(),
    );
    let mut runner = TestRunner::deterministic();
    for _ in 0..cases(40) {
        let (seed, threads, steps, lie, lost) = strategy.new_tree(&mut runner).unwrap().current();
        let mut schedule = Schedule {
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
        schedule.lost = Some(lost.index(steps));
        check(&schedule.make(), Trust::Nothing).unwrap_or_else(|e| panic!("{schedule:?}: {e}"));
    }
}

/// Traces in which something is wrong, and what is left of them.
#[test]
fn faults_are_repaired() {
    let dir = fixtures_dir().join("faults");
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        // At the end of the range of times there is no room to write each later than the one before.
        let is_late = path.ends_with("f26-switch-time.trace");
        if Trace::new(&bytes).is_ok() && !is_late {
            check(&bytes, Trust::Nothing).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
    let killed = fixtures_dir().join("faults/f01-killed-1.27-panic.trace");
    let repaired = check(&std::fs::read(killed).unwrap(), Trust::Program).unwrap();
    assert_eq!(
        (repaired.written.events, repaired.written.left_out),
        (79, 0)
    );
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

/// Reasons for blocking have the same ids in every generation: they are known where the strings of the
/// last one are lost.
#[test]
fn reasons_are_known_from_earlier_generations() {
    let bytes = fixture("flight-go1.27").bytes();
    let trace = Trace::new(&bytes).unwrap();
    let generations: Vec<_> = trace.generations().map(Result::unwrap).collect();
    let last = generations.last().unwrap();
    // All but the strings, which come last.
    let mut batches = trace.batches_from(last.start);
    let mut end = last.start;
    while let Ok(Some(Chunk::Batch(batch))) = batches.next() {
        if batch.contents() == Contents::Events {
            end = batch.end();
        }
    }
    let (out, repaired) = repair(&bytes[..end.0 as usize]).unwrap();
    assert!(repaired.written.missing_names > 0);
    let text = events(&out).unwrap();
    let blocks = text
        .lines()
        .filter(|line| line.contains("Running->Waiting"));
    let reasons: Vec<&str> = blocks
        .filter_map(|line| line.split("Reason=").nth(1))
        .collect();
    assert!(!reasons.is_empty());
    assert!(
        reasons
            .iter()
            .all(|reason| !reason.contains("not recorded")),
        "{reasons:?}"
    );
    assert!(text.contains("(not recorded)"));
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
