//! What is written, decoded again, says what the analyses say.

use super::proto::{TracePacket, TrackDescriptor};
use super::{BEGIN, END, Exporter, Options};
use crate::Trace;
use crate::analysis::scope::Scope;
use crate::analysis::states::{Goroutine, States, Stay, Visitor};
use crate::event::{EventKind, GoState};
use crate::select::Filter;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::string::{String, ToString as _};
use std::vec::Vec;
use std::{format, fs, io, path::Path};

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(message, repeated, tag = "1")]
    packet: Vec<TracePacket>,
}

/// The fixtures, those of old formats too.
fn fixtures() -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut found = Vec::new();
    for dir in [dir.clone(), dir.join("legacy")] {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "trace") {
                let bytes = fs::read(&path).unwrap();
                found.push((path.display().to_string(), bytes));
            }
        }
    }
    assert!(found.len() > 40);
    found
}

/// The time that goroutines of a name held a processor.
#[derive(Default)]
struct Held(BTreeMap<String, i64>);

impl Visitor for Held {
    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        if matches!(stay.state, GoState::Running | GoState::Syscall) && stay.proc.is_some() {
            let name = match goroutine.name.is_empty() {
                true => "(unknown)".to_string(),
                false => states.names().text(goroutine.name).to_string(),
            };
            let held = stay.nanoseconds() - stay.nanoseconds_without_proc();
            *self.0.entry(name).or_default() += held;
        }
    }
}

#[derive(Default)]
struct Track {
    descriptor: TrackDescriptor,
    /// When those that are open began, and their names.
    open: Vec<(u64, String)>,
}

/// What was written: tracks, and of the outermost slices of procs the sum of each name.
#[derive(Default)]
struct Written {
    tracks: BTreeMap<u64, Track>,
    on_procs: BTreeMap<String, i64>,
    samples: usize,
    flows: (usize, usize),
}

fn read(name: &str, bytes: &[u8]) -> Written {
    let file = File::decode(bytes).unwrap();
    let mut written = Written::default();
    let (mut names, mut stacks) = (BTreeMap::new(), BTreeSet::new());
    let mut time = 0;
    for packet in file.packet {
        assert_eq!(packet.trusted_packet_sequence_id, 1, "{name}");
        if let Some(snapshot) = packet.clock_snapshot {
            let own = snapshot.clocks.iter().find(|c| c.clock_id == Some(64));
            time = own.unwrap().timestamp.unwrap();
        }
        for new in packet
            .interned_data
            .iter()
            .flat_map(|data| &data.event_names)
        {
            names.insert(new.iid.unwrap(), new.name.clone().unwrap());
        }
        for new in packet
            .interned_data
            .iter()
            .flat_map(|data| &data.callstacks)
        {
            assert!(stacks.insert(new.iid), "{name}: a stack twice");
        }
        if let Some(descriptor) = packet.track_descriptor {
            let parent = descriptor.parent_uuid;
            assert!(
                parent.is_none_or(|p| written.tracks.contains_key(&p)),
                "{name}"
            );
            let track = Track {
                descriptor: descriptor.clone(),
                open: Vec::new(),
            };
            let before = written.tracks.insert(descriptor.uuid.unwrap(), track);
            assert!(before.is_none(), "{name}: a track twice");
        }
        let at = match (packet.timestamp, packet.timestamp_clock_id) {
            (Some(absolute), Some(_)) => absolute,
            (step, _) => {
                time += step.unwrap_or(0);
                time
            }
        };
        if let Some(sample) = packet.perf_sample {
            assert!(stacks.contains(&sample.callstack_iid), "{name}");
            written.samples += 1;
        }
        let Some(event) = packet.track_event else {
            continue;
        };
        let stack = event.callstack_iid;
        assert!(stack.is_none() || stacks.contains(&stack), "{name}");
        written.flows.0 += event.flow_ids.len();
        written.flows.1 += event.terminating_flow_ids.len();
        let track = written.tracks.get_mut(&event.track_uuid.unwrap()).unwrap();
        let is_proc = track.descriptor.parent_uuid == Some(3);
        match event.r#type {
            Some(BEGIN) => {
                let slice = names[&event.name_iid.unwrap()].clone();
                track.open.push((at, slice));
                assert!(!is_proc || track.open.len() <= 2, "{name}");
            }
            Some(END) => {
                let (from, slice) = track.open.pop().unwrap_or_else(|| {
                    panic!("{name}: an end without a beginning: {:?}", track.descriptor)
                });
                assert!(from <= at, "{name}: {slice} ends before it begins");
                if is_proc && track.open.is_empty() {
                    *written.on_procs.entry(slice).or_default() += (at - from) as i64;
                }
            }
            _ => {}
        }
    }
    written
}

/// Slices nest, what begins ends, and times on procs are those of the analyses, to the nanosecond.
#[test]
fn what_is_written_adds_up() {
    for (name, bytes) in fixtures() {
        let trace = Trace::new(&bytes).unwrap();
        for (goroutines, from_the_middle) in [(u64::MAX, false), (3, false), (0, true)] {
            let options = Options::new("test").with_goroutines(goroutines);
            let mut exporter = Exporter::new(Vec::new(), options);
            let (mut reader, mut states) = (trace.reader(), States::new());
            let (mut held, mut samples) = (Held::default(), 0);
            let filter = match from_the_middle {
                true => Filter::new().with_from("500us".parse().unwrap()),
                false => Filter::new(),
            };
            let mut scope = Scope::new(&filter);
            let is_sound = loop {
                let event = match reader.next() {
                    Ok(Some(event)) => event,
                    end => break end.is_ok(),
                };
                let visitor = &mut (&mut exporter, &mut held);
                assert!(scope.add(&event, &mut states, visitor).unwrap());
                exporter.event(&event, &mut states);
                samples +=
                    usize::from(event.kind() == EventKind::StackSample && event.stack().is_some());
            };
            let lives = states.lives();
            scope.finish(&mut states, &mut (&mut exporter, &mut held));
            let done = exporter.finish(&states).unwrap();
            assert_eq!(done.bytes, done.to.len() as u64);
            let written = read(&name, &done.to);
            for track in written.tracks.values() {
                let parent = track.descriptor.parent_uuid;
                // Tasks and ranges may go on; what runs does not.
                let may = [Some(2), Some(4)].contains(&parent);
                assert!(
                    may || track.open.is_empty()
                        || track.descriptor.name.as_deref() == Some("regions"),
                    "{name}: {:?} has {:?}",
                    track.descriptor,
                    track.open
                );
            }
            assert!(written.flows.1 <= written.flows.0, "{name}");
            // In one that Go's reader refuses, two goroutines may run on a proc at a time.
            if !is_sound {
                continue;
            }
            if !from_the_middle {
                assert_eq!(written.samples, samples, "{name}");
                assert_eq!(
                    done.goroutines_left_out,
                    lives.saturating_sub(goroutines),
                    "{name}"
                );
            }
            held.0.retain(|_, time| *time > 0);
            let mut on_procs = written.on_procs;
            on_procs.retain(|_, time| *time > 0);
            let sum = |sums: &BTreeMap<String, i64>| sums.values().sum::<i64>();
            if !trace.version().has_generations() {
                // There, a proc may stop before the system call on it is over.
                assert!(sum(&on_procs) <= sum(&held.0), "{name}");
                continue;
            }
            assert_eq!(sum(&on_procs), sum(&held.0), "{name}");
            // One whose name comes late has a slice of another name before.
            let late = on_procs.contains_key("(unknown)");
            assert!(
                late || on_procs == held.0,
                "{name}: {on_procs:?} is not {:?}",
                held.0
            );
        }
    }
}

/// Fails after so many bytes.
struct Full(usize);

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or_else(|| io::Error::other("full"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_failure_of_the_output_is_told() {
    let bytes = include_bytes!("../../../tests/fixtures/block-go1.27.trace");
    let trace = Trace::new(bytes).unwrap();
    let (mut reader, mut states) = (trace.reader(), States::new());
    let mut exporter = Exporter::new(Full(10_000), Options::new("test"));
    while let Some(event) = reader.next().unwrap() {
        states.add(&event, &mut exporter);
    }
    assert!(exporter.has_failed());
    assert_eq!(
        format!("{}", exporter.finish(&states).err().unwrap()),
        "full"
    );
}

#[test]
fn of_an_empty_trace_there_is_an_empty_one() {
    let states = States::new();
    let exporter = Exporter::new(Vec::new(), Options::new("test"));
    let done = exporter.finish(&states).unwrap();
    assert_eq!((done.packets, done.to.len()), (0, 0));
}
