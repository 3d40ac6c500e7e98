//! The ring of batches and the table of generations: what is kept, what is dropped, and in which
//! order it is stored.
//!
//! # Why a stop never loses a complete generation
//!
//! All that a reader of the arena believes hangs on the state with the highest sequence number that
//! checks out. [`Core::publish`] is the only store into a state, and it stores into the copy that
//! does not count; until that store is whole, the checksum refuses it, and the old state counts.
//! Everything else is stored where the state that counts does not look:
//!
//! - a batch goes to [`Core::reserve`]d bytes, which no complete generation and no batch of the one
//!   in progress occupies: if generations had to be dropped for it, a state without them was
//!   published first;
//! - a record goes to a slot that the state does not count among its generations: if all were in
//!   use, a state without the oldest was published first.
//!
//! So the old state's generations are whole until the new state counts, and the new state's were
//! whole before it was stored. What is in memory only ([`Core::tail`]) follows from the state.

use super::FlightRecorderConfig;
use super::layout::{
    Checked, Geometry, NO_WRAP, Prefix, Record, Run, State, Tally, add, barrier, chain, store,
};
use super::status::LossReason;
use crate::generation::earliest;
use crate::num;
use crate::time::Timestamp;
use crate::wire::{BatchHead, EventType, Version, varint};
use core::time::Duration;
use zerocopy::{FromZeros, IntoBytes};

/// The recorder without its input: the same code for every kind of arena, which is handed to each
/// function.
#[derive(Clone)]
pub(super) struct Core {
    pub(super) geometry: Geometry,
    pub(super) state: State,
    /// Where the oldest batch stands.
    pub(super) tail: u64,
    pub(super) config: FlightRecorderConfig,
    /// The trace began anew: what comes does not follow what is kept.
    pub(super) fresh: bool,
}

/// Free bytes for a batch, and the wrap there will be when they are in use.
#[derive(Clone, Copy)]
pub(super) struct Reserved {
    pub(super) at: u64,
    wrap: u64,
}

impl Core {
    /// Makes an arena of any bytes.
    pub(super) fn create(arena: &mut [u8], config: FlightRecorderConfig) -> Core {
        let mut core = Core {
            geometry: Geometry::of(arena.len()),
            state: State::new(arena.len()),
            tail: 0,
            config: config.or_default(),
            fresh: true,
        };
        // Should a recorder's state stand there, the copy that counts goes last: until then all that
        // was recorded can be recovered, and nothing afterwards.
        let counts = State::newest(arena).map_or(0, |state| state.sequence.get());
        for copy in [counts.wrapping_add(1), counts] {
            barrier();
            store(arena, Geometry::state(copy), State::new_zeroed().as_bytes());
        }
        core.publish_all(arena);
        core
    }

    /// Stores all that does not belong to a generation: the prefix, and the state into both copies,
    /// so that one never stored is never taken for a torn one.
    pub(super) fn publish_all(&mut self, arena: &mut [u8]) {
        barrier();
        store(arena, 0, Prefix::CURRENT.as_bytes());
        self.publish(arena);
        self.publish(arena);
    }

    /// Makes the state that is in memory the one that counts.
    pub(super) fn publish(&mut self, arena: &mut [u8]) {
        add(&mut self.state.sequence, 1);
        self.state.seal();
        let at = Geometry::state(self.state.sequence.get());
        barrier();
        store(arena, at, self.state.as_bytes());
        barrier();
    }

    /// The run of a record; of no generation if the record does not check out.
    pub(super) fn run(&self, arena: &[u8], index: u32) -> Run {
        let slot = self.geometry.slot(self.state.first.get(), index);
        Record::read(arena, Geometry::record(slot)).map_or(Run::default(), |record| record.run)
    }

    /// The number of the newest complete generation; 0 if there is none.
    pub(super) fn newest(&self, arena: &[u8]) -> u64 {
        match self.state.count.get().checked_sub(1) {
            Some(last) => self.run(arena, last).number.get(),
            None => 0,
        }
    }

    /// Finds room for `len` bytes in one slice, and drops the oldest generations for it; `None` if
    /// there is none even beside the newest alone.
    pub(super) fn reserve(&mut self, arena: &mut [u8], len: usize) -> Option<Reserved> {
        let mut dropped = false;
        let place = loop {
            if let Some(place) = self.fit(num::wide(len)) {
                break Some(place);
            }
            if self.state.count.get() <= 1 {
                break None;
            }
            let run = self.drop_oldest(arena);
            self.lost(LossReason::NoRoom).add(1, run.len.get());
            dropped = true;
        };
        if dropped {
            self.publish(arena);
        }
        place
    }

    fn fit(&mut self, len: u64) -> Option<Reserved> {
        let state = &mut self.state;
        if state.count.get() == 0 && state.progress.number.get() == 0 {
            self.tail = 0;
            state.head.set(0);
            state.wrap.set(NO_WRAP);
        }
        let (head, wrap) = (state.head.get(), state.wrap.get());
        let wrapped = wrap != NO_WRAP;
        let end = if wrapped {
            self.tail
        } else {
            num::wide(self.geometry.capacity)
        };
        if end.saturating_sub(head) >= len {
            Some(Reserved { at: head, wrap })
        } else if !wrapped && self.tail >= len {
            Some(Reserved { at: 0, wrap: head })
        } else {
            None
        }
    }

    /// Makes the `len` reserved bytes, which hold a whole batch, the newest of the generation in
    /// progress.
    pub(super) fn commit(
        &mut self,
        arena: &mut [u8],
        place: Reserved,
        head: &BatchHead,
        len: usize,
    ) {
        let number = head.generation.get();
        if self.state.progress.number.get() == 0 {
            let newest = self.newest(arena);
            let follows = !self.fresh && newest != 0 && newest.wrapping_add(1) == number;
            self.state.follows.set(u32::from(follows));
            self.state.progress.number.set(number);
            self.state.progress.start.set(place.at);
            if self.state.count.get() == 0 {
                self.tail = place.at;
            }
        }
        let bytes = self.append(arena, place, len);
        if head.experiment.is_none()
            && let Some(hertz) = frequency(bytes.get(head.header_len..).unwrap_or(&[]))
        {
            self.state.hertz.set(hertz);
        }
        let run = &mut self.state.progress;
        add(&mut run.batches, 1);
        let time = head.time;
        let first = earliest(Timestamp(run.earliest.get()), time);
        run.earliest.set(first.0);
        run.latest.set(run.latest.get().max(time.0));
        self.publish(arena);
    }

    /// Adds reserved bytes to the generation in progress, in memory only.
    fn append<'a>(&mut self, arena: &'a [u8], place: Reserved, len: usize) -> &'a [u8] {
        let len = num::wide(len);
        let bytes = self.geometry.slice(arena, place.at, len);
        let run = &mut self.state.progress;
        run.checksum.set(chain(run.checksum.get(), bytes));
        add(&mut run.len, len);
        self.state.head.set(place.at.saturating_add(len));
        self.state.wrap.set(place.wrap);
        bytes
    }

    /// Ends the generation in progress, with its marker if the version has one, and drops what is
    /// then outside the window. Without room for the marker, the generation is lost.
    pub(super) fn complete(&mut self, arena: &mut [u8]) {
        if self.version().is_some_and(Version::has_end_marker) {
            let Some(place) = self.reserve(arena, 1) else {
                return self.lose(arena, LossReason::TooLarge);
            };
            let at = num::narrow(place.at);
            let marker = [EventType::END_OF_GENERATION.0];
            store(arena, self.geometry.ring.saturating_add(at), &marker);
            self.append(arena, place, 1);
        }
        let (follows, version) = (self.state.follows.get() != 0, self.state.stream_version);
        let reason = if follows {
            LossReason::NoRoom
        } else {
            LossReason::Gap
        };
        if self.state.count.get() >= self.geometry.records {
            let run = self.drop_oldest(arena);
            self.lost(reason).add(1, run.len.get());
            // The generation counts as in progress until its record is there.
            self.publish(arena);
        }
        self.write_record(arena);
        if !follows {
            while self.state.count.get() > 1 {
                let run = self.drop_oldest(arena);
                self.lost(reason).add(1, run.len.get());
            }
            self.state.window_version = version;
        }
        self.trim(arena);
        self.publish(arena);
    }

    /// Moves the generation in progress to the table of complete ones, which is not full.
    fn write_record(&mut self, arena: &mut [u8]) {
        let run = core::mem::take(&mut self.state.progress);
        let state = &mut self.state;
        let slot = self.geometry.slot(state.first.get(), state.count.get());
        store(arena, Geometry::record(slot), Record::new(run).as_bytes());
        state.count.set(state.count.get().saturating_add(1));
        state.follows.set(0);
        self.fresh = false;
        add(&mut state.window_bytes, run.len.get());
        state.recorded.add(1, run.len.get());
        state.largest.set(state.largest.get().max(run.len.get()));
    }

    /// Drops the oldest generations while those after it are beyond a bound without it.
    fn trim(&mut self, arena: &[u8]) {
        let Some(last) = self.state.count.get().checked_sub(1) else {
            return;
        };
        let now = self.run(arena, last).latest.get();
        let oldest_kept = now.checked_sub(self.units(self.config.min_age));
        while self.state.count.get() > 1 {
            let rest = self.run(arena, 0).len.get();
            let rest = self.state.window_bytes.get().saturating_sub(rest);
            let next = self.run(arena, 1).earliest.get();
            if rest <= num::wide(self.config.max_bytes)
                && oldest_kept.is_none_or(|kept| next >= kept)
            {
                return;
            }
            self.drop_oldest(arena);
        }
    }

    /// A duration in units of the trace clock; without end while the frequency is not known.
    fn units(&self, duration: Duration) -> u64 {
        let hertz = self.state.hertz.get();
        if hertz == 0 {
            return u64::MAX;
        }
        let part = u64::from(duration.subsec_nanos()).saturating_mul(hertz);
        let whole = duration.as_secs().saturating_mul(hertz);
        whole.saturating_add(part.wrapping_div(1_000_000_000))
    }

    fn drop_oldest(&mut self, arena: &[u8]) -> Run {
        let run = self.run(arena, 0);
        let count = self.state.count.get().saturating_sub(1);
        let first = self.geometry.slot(self.state.first.get(), 1);
        let bytes = self.state.window_bytes.get().saturating_sub(run.len.get());
        self.state.first.set(first);
        self.state.count.set(count);
        self.state.window_bytes.set(bytes);
        let tail = if count > 0 {
            self.run(arena, 0).start.get()
        } else {
            self.state.progress.start.get()
        };
        // What stood before the wrap is gone.
        if tail < self.tail {
            self.state.wrap.set(NO_WRAP);
        }
        self.tail = tail;
        run
    }

    /// Gives up the generation in progress, if there is one.
    pub(super) fn lose(&mut self, arena: &mut [u8], reason: LossReason) {
        let run = core::mem::take(&mut self.state.progress);
        if run.number.get() == 0 {
            return;
        }
        let (start, len) = (run.start.get(), run.len.get());
        let state = &mut self.state;
        let wrap = state.wrap.get();
        if wrap != NO_WRAP && start == 0 {
            // The ring began again with its first batch.
            state.head.set(wrap);
            state.wrap.set(NO_WRAP);
        } else {
            if start >= state.head.get() {
                // The ring began again within it.
                state.wrap.set(NO_WRAP);
            }
            state.head.set(start);
        }
        state.follows.set(0);
        state.largest.set(state.largest.get().max(len));
        self.lost(reason).add(1, len);
        self.publish(arena);
    }

    pub(super) fn lost(&mut self, reason: LossReason) -> &mut Tally {
        // As many as there are reasons, of which the first is as good as any.
        let [first, rest @ ..] = &mut self.state.losses;
        match reason.index().checked_sub(1).and_then(|n| rest.get_mut(n)) {
            Some(tally) => tally,
            None => first,
        }
    }

    /// The version of the trace that is being recorded.
    pub(super) fn version(&self) -> Option<Version> {
        Version::from_minor(u64::from(self.state.stream_version.get()))
    }
}

/// The frequency that a batch's payload begins with, if it is a sync batch.
fn frequency(data: &[u8]) -> Option<u64> {
    let (&first, mut rest) = data.split_first()?;
    if first == EventType::SYNC.0 {
        let (&second, after) = rest.split_first()?;
        if second != EventType::FREQUENCY.0 {
            return None;
        }
        rest = after;
    } else if first != EventType::FREQUENCY.0 {
        return None;
    }
    varint::read(rest).ok().map(|(hertz, _)| hertz)
}
