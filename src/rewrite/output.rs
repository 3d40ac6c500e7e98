//! Batches of a trace being written, one a thread and one a section, and where they go.

use crate::ids::{Experiment, GenerationId, ThreadId};
use crate::num;
use crate::time::Timestamp;
use crate::varint;
use crate::wire::{BatchHead, Encoder, EventType, MAX_BATCH_SIZE, TimedEvent, Version};
use alloc::vec::Vec;

/// The bytes of a trace that are ready to be taken away.
pub(super) struct Output {
    pub(super) version: Version,
    pub(super) bytes: Vec<u8>,
    pub(super) generation: GenerationId,
}

impl Output {
    pub(super) fn new(version: Version) -> Output {
        Output {
            version,
            bytes: version.header().to_vec(),
            generation: GenerationId::FIRST,
        }
    }

    /// Adds a batch.
    pub(super) fn batch(
        &mut self,
        thread: Option<ThreadId>,
        time: u64,
        experiment: Option<Experiment>,
        payload: &[u8],
    ) {
        let head = BatchHead {
            experiment,
            ..BatchHead::new(self.generation, thread, Timestamp(time))
        };
        let mut buffer = [0; BatchHead::MAX_LEN];
        let mut encoder = Encoder::for_version(&mut buffer, self.version);
        // It has room for any header. A version without experiments gets no such batch.
        if encoder.head(&head, num::wide(payload.len())).is_ok() {
            self.bytes.extend_from_slice(encoder.bytes());
            self.bytes.extend_from_slice(payload);
        }
    }

    /// Adds the marker that ends a generation, where the version has one.
    pub(super) fn end_of_generation(&mut self) {
        if self.version.has_end_marker() {
            self.bytes.push(EventType::END_OF_GENERATION.0);
        }
    }
}

/// Times since the event before that readers add up exactly are less than this: they calculate with 53
/// bits.
pub(super) const EXACT: u64 = 1 << 53;

/// The events of one thread that are not yet in the output.
#[derive(Default)]
pub(super) struct Events {
    payload: Vec<u8>,
    /// When the first and the last of them happened.
    first: u64,
    last: u64,
}

impl Events {
    /// Adds an event of this type, with as many of the arguments as the type has.
    #[inline(always)]
    pub(super) fn add(
        &mut self,
        out: &mut Output,
        thread: Option<ThreadId>,
        time: u64,
        ty: EventType,
        args: &[u64; 4],
    ) {
        let most = num::narrow(MAX_BATCH_SIZE).saturating_sub(TimedEvent::MAX_LEN);
        if self.payload.len() > most || time.saturating_sub(self.last) >= EXACT {
            self.flush(out, thread);
        }
        if self.payload.is_empty() {
            (self.first, self.last) = (time, time);
        }
        let count = ty.timed_args().saturating_sub(1);
        self.payload.push(ty.0);
        put(&mut self.payload, time.saturating_sub(self.last));
        for arg in args.iter().take(count) {
            put(&mut self.payload, *arg);
        }
        self.last = time;
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// When the first of them happened.
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// Moves the events to the output.
    pub(super) fn flush(&mut self, out: &mut Output, thread: Option<ThreadId>) {
        if !self.payload.is_empty() {
            out.batch(thread, self.first, None, &self.payload);
            self.payload.clear();
        }
    }
}

/// A section of a table: what was added and is not yet in the output.
pub(super) struct Section {
    ty: EventType,
    payload: Vec<u8>,
}

impl Section {
    pub(super) const fn new(ty: EventType) -> Section {
        Section {
            ty,
            payload: Vec::new(),
        }
    }

    /// Adds an entry of at most a few kilobytes, which `write` appends.
    pub(super) fn add(
        &mut self,
        out: &mut Output,
        time: u64,
        largest: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let most = num::narrow(MAX_BATCH_SIZE).saturating_sub(largest);
        if self.payload.len() > most {
            self.flush(out, time);
        }
        if self.payload.is_empty() {
            self.payload.push(self.ty.0);
        }
        write(&mut self.payload);
    }

    pub(super) fn flush(&mut self, out: &mut Output, time: u64) {
        if !self.payload.is_empty() {
            out.batch(None, time, None, &self.payload);
            self.payload.clear();
        }
    }
}

/// Appends a number.
#[inline(always)]
pub(super) fn put(bytes: &mut Vec<u8>, number: u64) {
    if let Ok(byte) = u8::try_from(number)
        && byte < 0x80
    {
        bytes.push(byte);
        return;
    }
    let (encoded, len) = varint::encode(number);
    bytes.extend_from_slice(encoded.get(..len).unwrap_or(&[]));
}
