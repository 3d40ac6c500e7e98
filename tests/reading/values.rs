//! Values that outlive their reader, and events that no trace has.

use gotrace::event::{EventRecord, GoState, ProcState, Resource, ResourceKind, TestTables};
use gotrace::generation::{Frame, GenerationTables, Stack};
use gotrace::ids::{GenerationId, Offset};
use gotrace::wire::{EventType, GoStatus, TimedEvent, Version};
use gotrace::{Event, EventKind, GoId, Growing, ProcId, ThreadId, Time, Trace};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "trace"))
        .map(|path| (path.display().to_string(), fs::read(path).unwrap()))
        .filter(|(_, bytes)| Version::from_header(bytes).unwrap().has_generations())
        .collect();
    found.sort();
    assert!(found.len() > 20);
    found
}

/// Every event of every fixture is the same when it is looked at after the reading, and its record is
/// where it says.
#[test]
fn records_give_the_same_events_later() {
    for (name, bytes) in fixtures() {
        let trace = Trace::new(&bytes).unwrap();
        let mut reader = trace.reader();
        let mut kept: Vec<(EventRecord, String)> = Vec::new();
        while let Some(event) = reader.next().unwrap() {
            let record = event.record();
            assert_eq!(record.kind(), event.kind());
            assert_eq!(record.time(), event.time());
            assert_eq!(record.offset(), event.offset());
            assert_eq!(record.generation(), event.generation());
            kept.push((record, event.to_string()));
        }
        assert_eq!(kept.last().unwrap().0.generation(), None, "{name}");
        assert_eq!(kept.last().unwrap().0.offset(), reader.offset(), "{name}");
        let mut looked_at = 1;
        for generation in trace.generations() {
            let generation = generation.unwrap();
            let tables = GenerationTables::<Growing>::load(&trace, &generation).unwrap();
            for (record, text) in &kept {
                if record.generation() != Some(generation.number) {
                    assert!(record.event(&tables).is_none());
                    continue;
                }
                let event = record.event(&tables).unwrap();
                assert_eq!(event.to_string(), *text, "{name}");
                assert_eq!(event.offset(), record.offset(), "{name}");
                assert_eq!(event.record().offset(), record.offset(), "{name}");
                assert_eq!(event.record().event(&tables).unwrap().to_string(), *text);
                looked_at += 1;
                let at = event.offset();
                assert!((generation.start..generation.end).contains(&at), "{name}");
                if let Some(ty) = event.wire_type().filter(|ty| ty.timed_args() > 0) {
                    let first = EventType(bytes[at.0 as usize]);
                    let switched = [EventType::GO_SWITCH, EventType::GO_SWITCH_DESTROY];
                    let gone = EventType::GO_DESTROY_SYSCALL;
                    assert!(
                        first == ty || switched.contains(&first) || first == gone,
                        "{name}: {ty} at {at} is {first}"
                    );
                }
            }
        }
        assert_eq!(looked_at, kept.len(), "{name}");
    }
}

/// From a stream, the records are those of the slice, but for names that the stream let go.
#[cfg(feature = "std")]
#[test]
fn records_of_a_stream_are_those_of_the_slice() {
    let mut lost = 0;
    for (name, bytes) in fixtures() {
        let trace = Trace::new(&bytes).unwrap();
        let generations: Vec<_> = trace.generations().map(Result::unwrap).collect();
        let tables: Vec<_> = generations
            .iter()
            .map(|g| GenerationTables::<Growing>::load(&trace, g).unwrap())
            .collect();
        let mut slice = trace.reader();
        let mut stream = gotrace::StreamReader::new(&bytes[..]).unwrap();
        while let Some(event) = slice.next().unwrap() {
            let record = stream.next().unwrap().unwrap().record();
            assert_eq!(record.offset(), event.offset(), "{name}");
            assert_eq!(record.generation(), event.generation(), "{name}");
            let Some(tables) = tables
                .iter()
                .find(|t| Some(t.number()) == record.generation())
            else {
                continue;
            };
            let again = record.event(tables).unwrap().to_string();
            if again != event.to_string() {
                let ends = [EventKind::TaskEnd, EventKind::RangeEnd];
                assert!(ends.contains(&event.kind()), "{name}: {again}");
                lost += 1;
            }
        }
    }
    assert!(lost < 100, "{lost} names were lost");
}

#[test]
fn values_may_be_sent_and_are_small() {
    fn sendable<T: Send + Sync>() {}
    fn kept<T: Send + Sync + Copy + 'static>() {}
    kept::<EventRecord>();
    sendable::<Event<'_, '_>>();
    sendable::<Stack<'_, '_>>();
    sendable::<gotrace::Reader<'_, Growing>>();
    sendable::<GenerationTables<'_, Growing>>();
    assert!(size_of::<EventRecord>() <= 128);
}

/// Keys agree with the frames: across all generations and fixtures, two stacks have the same key if
/// and only if they have the same frames.
#[test]
fn stack_keys_are_equal_for_equal_frames() {
    let mut frames_of: HashMap<_, String> = HashMap::new();
    let mut keys = HashMap::new();
    let mut again = 0;
    for (_, bytes) in fixtures() {
        let trace = Trace::new(&bytes).unwrap();
        for generation in trace.generations() {
            let tables = GenerationTables::<Growing>::load(&trace, &generation.unwrap()).unwrap();
            let mut ids = HashSet::new();
            for stack in tables.stacks() {
                let text = format!("{:?}", stack.frames().collect::<Vec<_>>());
                if let Some(before) = frames_of.insert(stack.key(), text.clone()) {
                    assert_eq!(before, text);
                    again += 1;
                }
                let key = *keys.entry(text).or_insert(stack.key());
                assert_eq!(key, stack.key());
                assert!(ids.insert(stack));
                assert!(!ids.insert(tables.stack(stack.id().unwrap()).unwrap()));
                let (least, most) = stack.frames().size_hint();
                let count = stack.frames().count();
                assert!(least <= count && count <= most.unwrap());
            }
        }
    }
    assert!(again > 0, "no stack came twice");
    assert!(keys.len() > 1000);
}

/// What is announced was in that state before, by the transitions alone; what is a change, was not.
#[test]
fn announcements_change_nothing() {
    let (mut announced, mut first) = (0, 0);
    for (name, bytes) in fixtures() {
        let trace = Trace::new(&bytes).unwrap();
        let mut reader = trace.reader();
        let mut states: HashMap<GoId, GoState> = HashMap::new();
        let mut procs: HashMap<ProcId, ProcState> = HashMap::new();
        while let Some(event) = reader.next().unwrap() {
            let details = event.details();
            let Some(transition) = details.as_state_transition() else {
                continue;
            };
            announced += usize::from(transition.is_announcement());
            first += usize::from(transition.is_first_mention());
            if let Some((id, from, to)) = transition.goroutine() {
                assert_eq!(transition.resource(), id.into());
                assert_eq!(transition.is_announcement(), from == to, "{name}: {event}");
                let before = states.insert(id, to);
                assert_eq!(transition.is_first_mention(), from == GoState::Undetermined);
                if transition.is_first_mention() {
                    assert_eq!(before, None, "{name}: {event}");
                } else if from != GoState::NotExist {
                    assert_eq!(before, Some(from), "{name}: {event}");
                }
            }
            if let Some((id, from, to)) = transition.proc() {
                assert_eq!(transition.resource().kind(), ResourceKind::Proc);
                let before = procs.insert(id, to);
                if transition.is_announcement() {
                    assert_eq!((before, from), (Some(to), to), "{name}: {event}");
                }
            }
        }
    }
    assert!(announced > 100 && first > 100, "{announced} {first}");
}

#[test]
fn events_are_made_without_a_trace() {
    let mut tables = TestTables::new();
    let reason = tables.string("chan receive");
    let frame = Frame {
        pc: 1 << 40,
        func: "main.f".into(),
        file: "f.go".into(),
        line: 300,
    };
    let stack = tables.stack(&[frame, Frame { line: 7, ..frame }]);
    let block = [reason.get(), stack.get(), 0, 0];
    let block = EventRecord::new(Time(9), TimedEvent::new(EventType::GO_BLOCK, 0, block))
        .with_thread(ThreadId::new(3))
        .with_proc(ProcId::new(2))
        .with_goroutine(GoId::new(1));
    let event = tables.event(&block);
    assert_eq!(
        event.line().to_string(),
        "M=3 P=2 G=1 StateTransition Time=9 GoID=1 Running->Waiting Reason=\"chan receive\""
    );
    let frames: Vec<_> = event.stack().unwrap().frames().collect();
    assert_eq!(frames, [frame, Frame { line: 7, ..frame }]);
    assert_eq!(tables.stack_of(stack), event.stack());
    assert_eq!(event.generation(), GenerationId::new(1));
    assert_eq!(event.offset(), Offset(0));

    let status = [7, u64::MAX, u64::from(GoStatus::WAITING.0), 0];
    let status = EventRecord::new(Time(9), TimedEvent::new(EventType::GO_STATUS, 0, status));
    let kept = status.with_go_state_before(GoState::Waiting);
    let first = tables
        .event(&status)
        .details()
        .as_state_transition()
        .unwrap();
    assert!(first.is_first_mention() && !first.is_announcement());
    let again = tables.event(&kept).details().as_state_transition().unwrap();
    assert!(again.is_announcement() && !again.is_first_mention());
}

#[test]
fn names_are_parsed_and_compared() {
    for kind in EventKind::ALL {
        assert_eq!(kind.name().parse(), Ok(*kind));
    }
    for state in GoState::ALL {
        assert_eq!(state.name().parse(), Ok(*state));
    }
    for state in ProcState::ALL {
        assert_eq!(state.name().parse(), Ok(*state));
    }
    for version in Version::ALL {
        for text in ["1.", "go1.", "go 1."].map(|start| format!("{start}{}", version.minor())) {
            assert_eq!(text.parse(), Ok(version), "{text}");
        }
    }
    let error = "Nap".parse::<GoState>().unwrap_err();
    assert_eq!(error.to_string(), "no goroutine state of this name");
    assert_eq!(
        Resource::from(ThreadId::new(3).unwrap()).to_string(),
        "Thread(3)"
    );
    for (name, bytes) in fixtures() {
        let trace = Trace::new(&bytes).unwrap();
        let mut reader = trace.reader();
        while let Some(event) = reader.next().unwrap() {
            if let Some(range) = event.details().as_range() {
                let text = range.name.to_string();
                assert!(range.name == *text.as_str(), "{name}: {text}");
                assert!(range.name != "GC", "{name}");
            }
        }
    }
}

/// An accessor gives something for the events of its kinds, and for no others.
#[test]
fn accessors_are_for_their_kinds() {
    for (name, bytes) in fixtures() {
        let trace = Trace::new(&bytes).unwrap();
        let mut reader = trace.reader();
        while let Some(event) = reader.next().unwrap() {
            use EventKind::*;
            let (details, kind) = (event.details(), event.kind());
            for (has, kinds) in [
                (details.as_sync().is_some(), &[Sync][..]),
                (details.as_metric().is_some(), &[Metric]),
                (details.as_label().is_some(), &[Label]),
                (
                    details.as_range().is_some(),
                    &[RangeBegin, RangeActive, RangeEnd],
                ),
                (details.as_range_attributes().is_some(), &[RangeEnd]),
                (details.as_task().is_some(), &[TaskBegin, TaskEnd]),
                (details.as_region().is_some(), &[RegionBegin, RegionEnd]),
                (details.as_log().is_some(), &[Log]),
                (details.as_state_transition().is_some(), &[StateTransition]),
                (details.as_experimental().is_some(), &[Experimental]),
            ] {
                assert_eq!(has, kinds.contains(&kind), "{name}: {event}");
            }
            let made = event.wire_type().map_or(Some(Sync), EventKind::of);
            assert_eq!(made, Some(kind));
        }
    }
    assert_eq!(EventKind::of(EventType::CLOCK_SNAPSHOT), None);
    assert_eq!(EventKind::of(EventType(200)), None);
}
