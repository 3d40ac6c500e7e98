//! Traces of before Go 1.22: the same events as Go's own reader makes of them, and the same verdict.
//!
//! `tests/fixtures/README.md` says where the traces in `tests/fixtures/legacy` are from.
#![cfg(feature = "std")]

mod cases;
mod damage;
mod mutants;
mod text;

use crate::common::{self, go::Go};
use gotrace::legacy::{EventType, Records};
use gotrace::{
    Details, ErrorKind, Event, EventKind, Fixed, ReadError, Reader, StreamReader, Trace, wire,
};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Read;

/// A trace of before Go 1.22.
struct Old {
    name: String,
    bytes: Vec<u8>,
}

/// All of them that Go's reader accepts.
fn all() -> Vec<Old> {
    let dir = common::fixtures_dir();
    let entries = std::fs::read_dir(dir.join("legacy")).expect("the traces");
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    let is_trace = |name: &str| name.ends_with(".trace") || name.ends_with("_good");
    paths.retain(|path| is_trace(&path.to_string_lossy()));
    paths.push(dir.join("annotate-go1.21.trace"));
    paths.sort();
    let traces = paths.into_iter().map(|path| Old {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        bytes: std::fs::read(&path).unwrap(),
    });
    traces.collect()
}

/// What is read of a trace: events as in a parsed dump, and the error.
fn events(bytes: &[u8]) -> (Vec<String>, Option<gotrace::Error>) {
    let trace = Trace::new(bytes).unwrap();
    let mut reader = trace.reader();
    let mut all = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(event)) => all.push(event.to_string()),
            Ok(None) => return (all, None),
            Err(error) => return (all, Some(error)),
        }
    }
}

/// The same events without an order among those of different procs at one time, which Go's reader
/// takes from a map: first the times, then what happened on each thread and proc in order, and what
/// happened on none.
fn canonical<'e>(events: impl Iterator<Item = &'e str>) -> String {
    let mut times = String::new();
    let mut places: Vec<(String, String)> = Vec::new();
    let mut nowhere = Vec::new();
    for event in events {
        let event = event.trim_end();
        let (context, rest) = event.split_once(" Time=").expect("a time");
        let (time, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        writeln!(times, "{time}").unwrap();
        let (place, what) = context.split_once(" G=").expect("a goroutine");
        let line = format!("{place} {what} {rest}");
        if place.starts_with("M=-1 ") {
            nowhere.push(line);
        } else {
            places.push((place.to_owned(), line));
        }
    }
    nowhere.sort();
    places.sort_by(|a, b| a.0.cmp(&b.0));
    let lines = nowhere.into_iter().chain(places.into_iter().map(|p| p.1));
    lines.fold(times, |all, line| all + &line + "\n")
}

/// The events of a parsed dump.
fn split(dump: &str) -> Vec<&str> {
    let starts = dump.match_indices("M=").map(|(at, _)| at);
    let mut starts: Vec<usize> = starts
        .filter(|at| *at == 0 || dump.as_bytes()[at - 1] == b'\n')
        .collect();
    starts.push(dump.len());
    let events = starts.windows(2).map(|pair| &dump[pair[0]..pair[1]]);
    events.collect()
}

/// The rows of `legacy/expected.tsv`: the number of events, and a checksum of their canonical form.
fn row(trace: &Old) -> String {
    let (events, error) = events(&trace.bytes);
    assert_eq!(error, None, "{}", trace.name);
    let text = canonical(events.iter().map(String::as_str));
    let sum = common::sha256(text.as_bytes());
    format!("{}\t{}\t{sum}", trace.name, events.len())
}

#[test]
fn events_are_those_of_go() {
    let path = common::fixtures_dir().join("legacy/expected.tsv");
    let expected = std::fs::read_to_string(path).unwrap();
    let rows: Vec<String> = all().iter().map(row).collect();
    assert_eq!(rows.join("\n"), expected.trim_end());
    assert!(rows.len() >= 18);
}

#[test]
fn go_gives_these_events_itself() {
    let Some(go) = Go::find() else { return };
    let reference = go.reference();
    for trace in all() {
        let theirs = reference.events(&trace.bytes);
        assert_eq!(theirs.error, None, "{}", trace.name);
        let theirs = String::from_utf8_lossy(&theirs.text).into_owned();
        let (ours, _) = events(&trace.bytes);
        let theirs = canonical(split(&theirs).into_iter());
        let ours = canonical(ours.iter().map(String::as_str));
        let differs = theirs.lines().zip(ours.lines()).find(|(a, b)| a != b);
        assert_eq!(differs, None, "{}", trace.name);
        assert_eq!(theirs.len(), ours.len(), "{}", trace.name);
    }
}

/// What C calls of a thread that was created by C leave in a trace contradicts itself.
#[test]
fn what_go_refuses_is_refused() {
    let bytes = common::fixture("cgo-go1.21").bytes();
    let (events, error) = events(&bytes);
    let error = error.expect("an error");
    assert_eq!(error.kind(), ErrorKind::NoOrder);
    assert!(error.offset().0 > 16 && error.offset().0 < bytes.len() as u64);
    assert!(events.len() > 100, "{}", events.len());
}

/// A source that gives few bytes at a time.
struct Slowly<'b>(&'b [u8], usize);

impl Read for Slowly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = self.1.min(buffer.len()).min(self.0.len());
        buffer[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        Ok(len)
    }
}

#[test]
fn streams_give_what_slices_give() {
    let mut traces = all();
    let bytes = common::fixture("cgo-go1.21").bytes();
    traces.push(Old {
        name: "cgo".to_owned(),
        bytes,
    });
    for trace in traces.iter().filter(|trace| trace.bytes.len() < 60_000) {
        let (expected, error) = events(&trace.bytes);
        for size in [1, 1000, usize::MAX] {
            let mut reader = StreamReader::new(Slowly(&trace.bytes, size)).unwrap();
            let mut at = 0;
            let end = loop {
                match reader.next() {
                    Ok(Some(event)) => assert_eq!(event.to_string(), expected[at]),
                    Ok(None) => break None,
                    Err(ReadError::Trace(error)) => break Some(error),
                    Err(error) => panic!("{error}"),
                }
                at += 1;
            };
            assert_eq!((at, end), (expected.len(), error), "{}", trace.name);
            assert!(reader.next().unwrap().is_none());
        }
    }
}

/// Strings, also those of logs, are slices of the trace.
#[test]
fn strings_outlive_the_reader() {
    let bytes = common::fixture("annotate-go1.21").bytes();
    let trace = Trace::new(&bytes).unwrap();
    let mut reader = trace.reader();
    let mut messages = Vec::new();
    while let Some(event) = reader.next().unwrap() {
        if let Details::Log(log) = event.details() {
            messages.push(log.message);
        }
    }
    drop(reader);
    let range = bytes.as_ptr_range();
    let inside = |m: &&gotrace::GoStr<'_>| range.contains(&m.as_bytes().as_ptr());
    let long: Vec<_> = messages
        .iter()
        .filter(|m| !m.as_bytes().is_empty())
        .collect();
    assert!(long.len() > 3 && long.iter().all(inside), "{messages:?}");
}

#[test]
fn what_cannot_be_says_so() {
    let bytes = common::fixture("annotate-go1.21").bytes();
    let trace = Trace::new(&bytes).unwrap();
    assert_eq!(trace.version().minor(), 21);
    assert_eq!(trace.len(), bytes.len() as u64);
    let refused = |error: gotrace::Error| {
        assert_eq!(
            (error.kind(), error.value()),
            (ErrorKind::NoGenerations, 21)
        );
        assert!(error.to_string().contains("go 1.21"), "{error}");
    };
    refused(trace.batches().next().unwrap_err());
    refused(trace.generations().next().unwrap_err());
    let mut fixed: Reader<'_, Fixed<8, 8, 8, 8, 8, 8, 8, 8, 8>> = Reader::new(&trace);
    refused(fixed.next().unwrap_err());
    assert!(fixed.next().unwrap().is_none());
    let mut reader = trace.reader();
    assert!(!reader.skip_generation());
    assert_eq!(reader.generation(), None);
    reader.next().unwrap();
    assert_eq!(reader.generation().map(|g| g.get()), Some(1));
    assert_eq!(reader.offset().0, bytes.len() as u64);

    let (start, rest) = bytes.split_at(100);
    let error = Trace::from_pieces(&[start, rest]).unwrap_err();
    assert_eq!(
        (error.kind(), error.offset().0),
        (ErrorKind::SplitBatch, 100)
    );
    let new = common::fixture("annotate-go1.27").bytes();
    let error = Records::new(&new).unwrap_err();
    assert_eq!(
        (error.kind(), error.value()),
        (ErrorKind::NotAnOldVersion, 26)
    );
}

/// The records of a trace as text.
fn records(bytes: &[u8]) -> String {
    let minor = Trace::new(bytes).unwrap().version().minor();
    let mut text = format!("Trace Go1.{minor}\n");
    for record in Records::new(bytes).unwrap() {
        writeln!(text, "{}", record.unwrap()).unwrap();
    }
    text
}

/// The text of a trace is all of it: it makes the same trace again, but for the lengths that Go pads
/// with zero bits.
#[test]
fn text_makes_the_same_trace_again() {
    for trace in all() {
        let text = records(&trace.bytes);
        let again = text::assemble(&text);
        assert!(records(&again) == text, "{}", trace.name);
        let padding = trace.bytes.len() - again.len();
        let stacks = text
            .lines()
            .filter(|line| line.starts_with("Stack "))
            .count();
        assert!(padding <= 9 * stacks, "{}: {padding}", trace.name);
    }
}

/// No event of a trace whose end is missing has a time: there is an error, and nothing else.
#[test]
fn a_trace_cut_short_gives_an_error() {
    let bytes = common::fixture("annotate-go1.21").bytes();
    let mut all = Records::new(&bytes).unwrap();
    while let Some(record) = all.next().unwrap() {
        if record.ty() == EventType::FREQUENCY {
            break;
        }
    }
    let enough = all.offset().0 as usize;
    assert!(enough > bytes.len() / 4, "{enough}");
    for len in 16..enough {
        let (events, error) = events(&bytes[..len]);
        let error = error.expect("an error");
        assert!(events.is_empty(), "{len}");
        assert!(error.offset().0 <= len as u64, "{len}: {error}");
    }
}

/// As a validator of the converted events: every one follows from the one before it.
#[test]
fn states_follow_from_each_other() {
    use gotrace::event::{Change, GoState, ProcState};
    for trace in all() {
        let name = &trace.name;
        let opened = Trace::new(&trace.bytes).unwrap();
        let mut reader = opened.reader();
        let mut goroutines: HashMap<_, GoState> = HashMap::new();
        let mut procs: HashMap<_, ProcState> = HashMap::new();
        let mut ranges: HashMap<String, u32> = HashMap::new();
        let (mut last, mut syncs, mut kind) = (None, 0, None);
        while let Some(event) = reader.next().unwrap() {
            assert!(last < Some(event.time()), "{name}: {event}");
            last = Some(event.time());
            kind = Some(event.kind());
            match event.details() {
                Details::Sync(sync) => {
                    syncs += 1;
                    assert_eq!((sync.n, sync.clock), (syncs, None), "{name}");
                    assert_eq!(sync.experimental_batches().count(), 0);
                }
                Details::StateTransition(transition) => match transition.change {
                    Change::Goroutine { id, from, to } => {
                        let known = goroutines.insert(id.expect("an id"), to);
                        match known {
                            // Go 1.21 and older announce no goroutine that a proc runs when the
                            // trace begins.
                            None => assert!(
                                matches!(from, GoState::Undetermined | GoState::NotExist),
                                "{name}: {event}"
                            ),
                            Some(known) => assert_eq!(known, from, "{name}: {event}"),
                        }
                        if from == GoState::Running {
                            assert_eq!(event.goroutine(), id, "{name}: {event}");
                        }
                    }
                    Change::Proc { id, from, to } => {
                        let known = procs.insert(id, to);
                        let known = known.unwrap_or(ProcState::Undetermined);
                        assert_eq!(known, from, "{name}: {event}");
                        assert_eq!(event.proc(), id, "{name}: {event}");
                    }
                },
                Details::RangeBegin(range) => {
                    let open = ranges.entry(format!("{} {}", range.name, range.scope));
                    let open = open.or_default();
                    *open += 1;
                    assert_eq!(*open, 1, "{name}: {event}");
                }
                Details::RangeEnd(range, _) => {
                    // A goroutine may have assisted the collector before the trace began.
                    let open = ranges.remove(&format!("{} {}", range.name, range.scope));
                    let assist = range.name == gotrace::event::RangeName::GcMarkAssist;
                    let stop = matches!(range.name, gotrace::event::RangeName::StopTheWorld(_));
                    assert!(open.is_some() || assist || stop, "{name}: {event}");
                }
                _ => {}
            }
        }
        assert_eq!((kind, syncs), (Some(EventKind::Sync), 2), "{name}");
    }
}

/// The independent validator finds nothing, by those of its rules that hold for converted traces.
#[test]
fn the_validator_finds_nothing() {
    use crate::validator::{model::Trust, validate};
    let failed: Vec<String> = all()
        .iter()
        .filter_map(|trace| {
            let result = validate(&trace.bytes, Trust::Conversion);
            result.err().map(|why| format!("{}: {why}", trace.name))
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Each event says where its record is, also once its reader is gone.
#[test]
fn events_know_their_records() {
    for trace in all() {
        let name = &trace.name;
        let opened = Trace::new(&trace.bytes).unwrap();
        let mut places = HashMap::new();
        let mut records = Records::new(&trace.bytes).unwrap();
        let mut at = records.offset();
        while let Some(record) = records.next().unwrap() {
            places.insert(at, record.ty());
            at = records.offset();
        }
        let mut reader = opened.reader();
        let mut syncs = Vec::new();
        while let Some(event) = reader.next().unwrap() {
            let kept = event.record();
            assert_eq!(kept.offset(), event.offset(), "{name}: {event}");
            assert_eq!(kept.time(), event.time(), "{name}: {event}");
            if event.kind() == EventKind::Sync {
                syncs.push((event.offset().0, event.generation().map(|g| g.get())));
                continue;
            }
            assert_eq!(event.generation().map(|g| g.get()), Some(1));
            let old = places.get(&event.offset());
            let old = *old.unwrap_or_else(|| panic!("{name}: {} of {event}", event.offset()));
            match event.kind() {
                EventKind::Log => assert_eq!(old, EventType::USER_LOG, "{name}: {event}"),
                EventKind::StackSample => assert_eq!(old, EventType::CPU_SAMPLE, "{name}"),
                EventKind::RegionBegin | EventKind::RegionEnd => {
                    assert_eq!(old, EventType::USER_REGION, "{name}: {event}");
                }
                _ => {}
            }
            if event.wire_type() == Some(wire::EventType::GO_SYSCALL_END_BLOCKED) {
                let exits = [EventType::GO_SYS_EXIT, EventType::GO_SYS_EXIT_LOCAL];
                assert!(exits.contains(&old), "{name}: {event}");
            }
        }
        let end = trace.bytes.len() as u64;
        assert_eq!(syncs, [(16, Some(1)), (end, None)], "{name}");
    }
}

/// A trace is held as a whole, so that the limit of a generation is one for all of it.
#[test]
fn a_stream_has_a_limit() {
    let bytes = common::fixture("annotate-go1.21").bytes();
    let len = bytes.len() as u64;
    let read = |limit| {
        let reader = StreamReader::new(&bytes[..]).unwrap();
        let mut reader = reader.with_generation_limit(limit);
        loop {
            match reader.next() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(ReadError::Trace(error)) => return Some((error.kind(), error.value())),
                Err(error) => panic!("{error}"),
            }
        }
    };
    assert_eq!(read(len), None);
    let refused = Some((ErrorKind::GenerationTooLarge, len / 2));
    assert_eq!(read(len / 2), refused);
}

/// All of a trace is generation 1.
#[test]
fn a_stream_begins_with_generation_1() {
    use gotrace::ids::GenerationId;
    let bytes = common::fixture("annotate-go1.21").bytes();
    let mut reader = StreamReader::new(&bytes[..]).unwrap();
    assert!(!reader.skip_generation());
    assert!(!reader.skip_to(GenerationId::new(2).unwrap()).unwrap());
    assert!(reader.skip_to(GenerationId::FIRST).unwrap());
    assert!(reader.next().unwrap().is_some());
    assert_eq!(reader.generations_read(), 1);
    assert_eq!(reader.needs(), gotrace::tables::Capacities::NONE);
    let refused = gotrace::reader::StreamBatches::new(&bytes[..]).unwrap_err();
    assert!(matches!(refused, ReadError::Trace(error) if error.kind() == ErrorKind::NoGenerations));
}

/// An event as a line of the cases.
fn line(event: &Event<'_, '_>) -> String {
    let line = event.line().to_string();
    let (context, rest) = line.split_once(" Time=").unwrap();
    let (context, kind) = context.rsplit_once(' ').unwrap();
    let (time, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let rest = rest.replace(" Reason=\"\"", "");
    let mut line = match kind {
        "Sync" => format!("@{time} {kind} {rest}"),
        "StateTransition" => format!("@{time} {context} {rest}"),
        _ => format!("@{time} {context} {kind} {rest}"),
    };
    let stack = match event.details() {
        Details::StateTransition(transition) => transition.stack,
        _ => event.stack(),
    };
    let Some(stack) = stack else { return line };
    let frames: Vec<String> = stack
        .frames()
        .map(|f| format!("{}@{:x} {}:{}", f.func, f.pc, f.file, f.line))
        .collect();
    let line_end = line.trim_end().len();
    line.truncate(line_end);
    match stack.id().map(|id| id.get()) {
        Some(1) if !frames.is_empty() => line += " Stack=1",
        _ if frames.is_empty() && event.kind() != EventKind::StackSample => {}
        _ => write!(line, " Stack={}", frames.join(", ")).unwrap(),
    }
    line
}

/// All events of a trace as lines of the cases, and the error.
fn lines(bytes: &[u8]) -> String {
    let trace = Trace::new(bytes).unwrap();
    let mut reader = trace.reader();
    let mut all = String::new();
    loop {
        match reader.next() {
            Ok(Some(event)) => writeln!(all, "{}", line(&event)).unwrap(),
            Ok(None) => return all,
            Err(error) => {
                writeln!(all, "error: {error}").unwrap();
                return all;
            }
        }
    }
}

/// Writes `legacy/expected.tsv` anew, from what Go's reader makes of the traces: see there.
#[test]
fn expected_is_what_go_says() {
    let Some(go) = Go::find() else { return };
    let reference = go.reference();
    let mut rows = Vec::new();
    for trace in all() {
        let theirs = reference.events(&trace.bytes);
        let theirs = String::from_utf8_lossy(&theirs.text).into_owned();
        let events = split(&theirs);
        let text = canonical(events.iter().copied());
        let sum = common::sha256(text.as_bytes());
        rows.push(format!("{}\t{}\t{sum}", trace.name, events.len()));
    }
    let path = common::fixtures_dir().join("legacy/expected.tsv");
    if std::env::var_os("GOTRACE_WRITE_EXPECTED").is_some() {
        std::fs::write(&path, rows.join("\n") + "\n").unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap().trim_end(),
        rows.join("\n")
    );
}
