//! Packets, one after the other: times as differences, texts and stacks said once.

use super::proto;
use crate::analysis::names::{NameId, Names, StackRef};
use crate::generation::Frame;
use crate::num;
use crate::time::{ClockSnapshot, Time};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::string::{String, ToString as _};
use std::vec::Vec;

/// Clocks of Perfetto, and one of the sequence's own that counts from packet to packet.
const REALTIME: u32 = 1;
const MONOTONIC: u32 = 3;
const BOOTTIME: u32 = 6;
const STEPS: u32 = 64;

const SEQUENCE: u32 = 1;
const STATE_CLEARED: u32 = 1;
const NEEDS_STATE: u32 = 2;
/// The one mapping, which all frames are of.
const MAPPING: u64 = 1;

/// The name of a slice or an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// A text of the trace.
    Text(NameId),
    /// Waiting, for this reason.
    Waiting(NameId),
    /// A text of this program.
    Fixed(&'static str),
}

impl Name {
    pub(super) fn text(self, names: &Names) -> String {
        match self {
            Name::Fixed(text) => text.to_string(),
            Name::Text(id) if id.is_empty() => "(unknown)".to_string(),
            Name::Text(id) => names.text(id).to_string(),
            Name::Waiting(id) if id.is_empty() => "Waiting".to_string(),
            Name::Waiting(id) => std::format!("Waiting: {}", names.text(id)),
        }
    }
}

/// What is written once and then named by a number.
#[derive(Debug, Default)]
struct Interned {
    names: BTreeMap<Name, u64>,
    annotations: BTreeMap<&'static str, u64>,
    /// By [`NameId::index`]: whether it is known as a function's name, and as a file's.
    functions: Vec<bool>,
    files: Vec<bool>,
    frames: BTreeMap<(u64, NameId, u64), u64>,
    /// By [`StackRef::index`].
    stacks: Vec<bool>,
}

#[derive(Debug)]
pub(super) struct Packets<W> {
    to: W,
    buffer: Vec<u8>,
    last: u64,
    known: Interned,
    /// What the next packet says besides.
    news: proto::InternedData,
    has_news: bool,
    written: u64,
    count: u64,
    failure: Option<io::Error>,
}

/// A time as Perfetto has it: never negative.
fn nanoseconds(time: Time) -> u64 {
    u64::try_from(time.0).unwrap_or(0)
}

/// Marks what has this index; whether it was not marked before.
fn mark(marks: &mut Vec<bool>, index: usize) -> bool {
    if marks.len() <= index {
        marks.resize(index.saturating_add(1), false);
    }
    let mark = marks.get_mut(index);
    mark.is_some_and(|mark| !core::mem::replace(mark, true))
}

impl<W: Write> Packets<W> {
    pub(super) fn new(to: W) -> Packets<W> {
        Packets {
            to,
            buffer: Vec::new(),
            last: 0,
            known: Interned::default(),
            news: proto::InternedData::default(),
            has_news: false,
            written: 0,
            count: 0,
            failure: None,
        }
    }

    /// The first packet: the clocks, at the time of the first event.
    pub(super) fn begin(&mut self, time: Time, clock: Option<ClockSnapshot>) {
        let time = nanoseconds(time);
        self.last = time;
        let at = |id, timestamp| proto::Clock {
            clock_id: Some(id),
            timestamp: Some(timestamp),
            is_incremental: None,
        };
        let mut clocks = Vec::new();
        match clock {
            Some(clock) => {
                let wall = clock.wall;
                let seconds = u64::try_from(wall.seconds).unwrap_or(0);
                let wall = seconds
                    .saturating_mul(1_000_000_000)
                    .saturating_add(u64::from(wall.nanoseconds));
                let trace = nanoseconds(clock.trace);
                // All at one moment: that of the first event.
                let later = |n: u64| n.saturating_add(time.saturating_sub(trace));
                clocks.push(at(BOOTTIME, time));
                clocks.push(at(MONOTONIC, later(clock.mono)));
                clocks.push(at(REALTIME, later(wall)));
            }
            None => clocks.extend([at(BOOTTIME, time), at(MONOTONIC, time)]),
        }
        clocks.push(proto::Clock {
            is_incremental: Some(true),
            ..at(STEPS, time)
        });
        self.news
            .mappings
            .push(proto::Mapping { iid: Some(MAPPING) });
        self.has_news = true;
        self.write(proto::TracePacket {
            clock_snapshot: Some(proto::ClockSnapshot {
                clocks,
                primary_trace_clock: Some(BOOTTIME),
            }),
            trace_packet_defaults: Some(proto::TracePacketDefaults {
                timestamp_clock_id: Some(STEPS),
            }),
            sequence_flags: Some(STATE_CLEARED),
            incremental_state_cleared: Some(true),
            ..Default::default()
        });
    }

    pub(super) fn track(&mut self, track: proto::TrackDescriptor) {
        self.write(proto::TracePacket {
            track_descriptor: Some(track),
            ..Default::default()
        });
    }

    pub(super) fn event(&mut self, time: Time, event: proto::TrackEvent) {
        self.at(
            time,
            proto::TracePacket {
                track_event: Some(event),
                ..Default::default()
            },
        );
    }

    pub(super) fn sample(&mut self, time: Time, sample: proto::PerfSample) {
        self.at(
            time,
            proto::TracePacket {
                perf_sample: Some(sample),
                ..Default::default()
            },
        );
    }

    fn at(&mut self, time: Time, mut packet: proto::TracePacket) {
        let time = nanoseconds(time);
        packet.sequence_flags = Some(NEEDS_STATE);
        match time.checked_sub(self.last) {
            Some(step) => {
                packet.timestamp = Some(step);
                self.last = time;
            }
            // What began before the trace says so.
            None => {
                packet.timestamp = Some(time);
                packet.timestamp_clock_id = Some(BOOTTIME);
            }
        }
        self.write(packet);
    }

    fn write(&mut self, mut packet: proto::TracePacket) {
        packet.trusted_packet_sequence_id = SEQUENCE;
        if core::mem::take(&mut self.has_news) {
            packet.interned_data = Some(core::mem::take(&mut self.news));
            packet.sequence_flags = packet.sequence_flags.or(Some(NEEDS_STATE));
        }
        self.buffer.clear();
        // A packet is field 1 of the trace.
        prost::encoding::message::encode(1, &packet, &mut self.buffer);
        self.count = self.count.saturating_add(1);
        self.written = self.written.saturating_add(num::wide(self.buffer.len()));
        if self.failure.is_none() {
            self.failure = self.to.write_all(&self.buffer).err();
        }
    }

    /// The number of a name of slices.
    pub(super) fn name(&mut self, name: Name, names: &Names) -> u64 {
        if let Some(iid) = self.known.names.get(&name) {
            return *iid;
        }
        let iid = num::wide(self.known.names.len()).saturating_add(1);
        self.known.names.insert(name, iid);
        self.news.event_names.push(proto::Name {
            iid: Some(iid),
            name: Some(name.text(names)),
        });
        self.has_news = true;
        iid
    }

    fn annotation(&mut self, name: &'static str) -> u64 {
        if let Some(iid) = self.known.annotations.get(name) {
            return *iid;
        }
        let iid = num::wide(self.known.annotations.len()).saturating_add(1);
        self.known.annotations.insert(name, iid);
        self.news.debug_annotation_names.push(proto::Name {
            iid: Some(iid),
            name: Some(name.to_string()),
        });
        self.has_news = true;
        iid
    }

    pub(super) fn number(&mut self, name: &'static str, value: u64) -> proto::DebugAnnotation {
        proto::DebugAnnotation {
            name_iid: Some(self.annotation(name)),
            uint_value: Some(value),
            string_value: None,
        }
    }

    pub(super) fn text(&mut self, name: &'static str, value: String) -> proto::DebugAnnotation {
        proto::DebugAnnotation {
            name_iid: Some(self.annotation(name)),
            uint_value: None,
            string_value: Some(value),
        }
    }

    /// The number of a call stack.
    pub(super) fn stack(&mut self, stack: StackRef, names: &Names) -> u64 {
        let iid = num::wide(stack.index());
        if !mark(&mut self.known.stacks, stack.index()) {
            return iid;
        }
        let frames = names.numbered_frames(stack).rev();
        let frame_ids = frames
            .map(|(frame, func, file)| self.frame(&frame, func, file))
            .collect();
        self.news.callstacks.push(proto::Callstack {
            iid: Some(iid),
            frame_ids,
        });
        self.has_news = true;
        iid
    }

    fn frame(&mut self, frame: &Frame<'_>, func: NameId, file: NameId) -> u64 {
        let key = (frame.pc, func, frame.line);
        if let Some(iid) = self.known.frames.get(&key) {
            return *iid;
        }
        let iid = num::wide(self.known.frames.len()).saturating_add(1);
        self.known.frames.insert(key, iid);
        // 0 is no number of a text.
        let number = |id: NameId| num::wide(id.index()).saturating_add(1);
        let bytes = |id, text: crate::GoStr<'_>| proto::Bytes {
            iid: Some(number(id)),
            str: Some(text.to_string().into_bytes()),
        };
        if mark(&mut self.known.functions, func.index()) {
            self.news.function_names.push(bytes(func, frame.func));
        }
        if mark(&mut self.known.files, file.index()) {
            self.news.source_paths.push(bytes(file, frame.file));
        }
        self.news.frames.push(proto::Frame {
            iid: Some(iid),
            function_name_id: Some(number(func)),
            mapping_id: Some(MAPPING),
            rel_pc: Some(frame.pc),
            source_path_iid: Some(number(file)),
            line_number: u32::try_from(frame.line).ok(),
        });
        iid
    }

    /// How many packets, and how many bytes.
    pub(super) const fn written(&self) -> (u64, u64) {
        (self.count, self.written)
    }

    /// What is written to, flushed; or the first error.
    pub(super) fn finish(mut self) -> io::Result<W> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.to.flush()?;
        Ok(self.to)
    }

    /// Whether writing failed.
    pub(super) const fn has_failed(&self) -> bool {
        self.failure.is_some()
    }
}
