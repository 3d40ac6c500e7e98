//! The ring of batches and the table of generations: what is kept, what is dropped, and in which
//! order it is stored.
//!
//! # Why a stop never loses a complete generation
//!
//! All that a reader of the arena believes hangs on the state with the latest sequence number that
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
    Checked, Geometry, NO_WRAP, Prefix, Record, Run, State, Tally, barrier, checksum, store,
};
use super::losses::{LossReason, Why};
use crate::generation::earliest;
use crate::num;
use crate::time::Timestamp;
use crate::wire::{BatchHead, EventType, Version, varint};
use zerocopy::{FromZeros, IntoBytes};

/// The recorder without its input: the same code for every kind of arena, which is handed to each
/// function.
#[derive(Clone)]
pub(super) struct Core {
    pub(super) geometry: Geometry,
    pub(super) state: State,
    /// Where the oldest batch is.
    pub(super) tail: u32,
    pub(super) config: FlightRecorderConfig,
    /// The trace began anew: what comes does not follow what is kept.
    pub(super) fresh: bool,
}

/// Free bytes for a batch, and the wrap there will be when they are in use.
#[derive(Clone, Copy)]
pub(super) struct Reserved {
    pub(super) at: u32,
    wrap: u32,
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
        let counts = State::later(arena);
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
        let next = self.state.sequence.get().wrapping_add(1);
        self.state.sequence.set(next);
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

    /// The newest complete generation; none if its number is 0.
    pub(super) fn newest(&self, arena: &[u8]) -> Run {
        match self.state.count.get().checked_sub(1) {
            Some(last) => self.run(arena, last),
            None => Run::default(),
        }
    }

    /// Finds room for `len` bytes in one slice, and drops the oldest generations for it; `None` if
    /// there is none even beside the newest alone.
    pub(super) fn reserve(&mut self, arena: &mut [u8], len: u32) -> Option<Reserved> {
        let mut dropped = false;
        let place = loop {
            if let Some(place) = self.fit(len) {
                break Some(place);
            }
            if self.state.count.get() <= 1 {
                break None;
            }
            let progress = &self.state.progress;
            let (more, now) = (progress.len.get(), progress.latest.get());
            let why = self.outside(arena, more.wrapping_add(len), now);
            self.drop_oldest(arena, why.unwrap_or(Why::Lost(LossReason::NoRoom)));
            dropped = true;
        };
        if dropped {
            self.publish(arena);
        }
        place
    }

    fn fit(&mut self, len: u32) -> Option<Reserved> {
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
            self.geometry.capacity
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
    pub(super) fn commit(&mut self, arena: &mut [u8], place: Reserved, head: &BatchHead, len: u32) {
        let number = head.generation.get();
        if self.state.progress.number.get() == 0 {
            let newest = self.newest(arena).number.get();
            let follows = !self.fresh && newest != 0 && newest.wrapping_add(1) == number;
            self.state.follows = u8::from(follows);
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
            self.state.hertz.set(num::slot(num::narrow(hertz)));
        }
        self.state.progress.count(head);
        self.publish(arena);
    }

    /// Adds reserved bytes to the generation in progress, in memory only.
    fn append<'a>(&mut self, arena: &'a [u8], place: Reserved, len: u32) -> &'a [u8] {
        let bytes = self.geometry.slice(arena, place.at, len);
        self.state.progress.chain(bytes);
        self.state.head.set(place.at.wrapping_add(len));
        self.state.wrap.set(place.wrap);
        bytes
    }

    /// Ends the generation in progress, with its marker if the version has one, and drops what is
    /// then outside the window. Without room for the marker, the generation is lost.
    pub(super) fn complete(&mut self, arena: &mut [u8]) {
        if self.marked() {
            let Some(place) = self.reserve(arena, 1) else {
                return self.lose(arena, LossReason::TooLarge);
            };
            let marker = [EventType::END_OF_GENERATION.0];
            self.fill(arena, place, 0, &marker);
            self.append(arena, place, 1);
        }
        let follows = self.state.follows != 0;
        let before = if self.fresh {
            Why::Replaced
        } else {
            Why::Lost(LossReason::Gap)
        };
        let (latest, len) = (self.state.progress.latest, self.state.progress.len.get());
        if self.state.count.get() >= self.geometry.records {
            let why = if follows {
                let outside = self.outside(arena, len, latest.get());
                outside.unwrap_or(Why::Lost(LossReason::TableFull))
            } else {
                before
            };
            self.drop_oldest(arena, why);
            // The generation counts as in progress until its record is there.
            self.publish(arena);
        }
        self.write_record(arena);
        while self.state.count.get() > 1 {
            let why = if follows {
                self.outside(arena, 0, latest.get())
            } else {
                Some(before)
            };
            let Some(why) = why else { break };
            self.drop_oldest(arena, why);
        }
        self.state.window_version = self.state.stream_version;
        self.publish(arena);
    }

    /// Moves the generation in progress to the table of complete ones, which is not full.
    fn write_record(&mut self, arena: &mut [u8]) {
        let state = &mut self.state;
        let mut record = Record {
            run: core::mem::take(&mut state.progress),
            ..Record::default()
        };
        record.seal();
        let len = record.run.len.get();
        let slot = self.geometry.slot(state.first.get(), state.count.get());
        store(arena, Geometry::record(slot), record.as_bytes());
        state.count.set(state.count.get().wrapping_add(1));
        state
            .window_bytes
            .set(state.window_bytes.get().wrapping_add(len));
        state.recorded.add(1, len);
        state.saw(u64::from(len));
        self.fresh = false;
    }

    /// Whether the oldest generation is outside the window when those after it have `more` bytes more,
    /// and end at `now`: they are beyond a bound without it.
    fn outside(&self, arena: &[u8], more: u32, now: u64) -> Option<Why> {
        // Ages in milliseconds times the frequency, so that nothing need be divided.
        let hertz = u64::from(self.state.hertz.get());
        let most = hertz.wrapping_mul(u64::from(self.config.min_age_milliseconds()));
        let next = match self.state.count.get() {
            0 | 1 => self.state.progress,
            _ => self.run(arena, 1),
        };
        let age = now.saturating_sub(next.earliest.get());
        if hertz != 0 && (age >= 1 << 54 || age.wrapping_mul(1000) > most) {
            return Some(Why::Aged);
        }
        let oldest = self.run(arena, 0).len.get();
        let rest = self.state.window_bytes.get().wrapping_sub(oldest);
        // In a crafted arena the sum may be any number, and is only compared.
        let rest = num::index(rest).saturating_add(num::index(more));
        (rest > self.config.max_bytes).then_some(Why::Outgrown)
    }

    /// Drops the oldest generation, and counts it.
    fn drop_oldest(&mut self, arena: &[u8], why: Why) {
        let bytes = self.run(arena, 0).len.get();
        let state = &mut self.state;
        state.first.set(self.geometry.slot(state.first.get(), 1));
        state.count.set(state.count.get().wrapping_sub(1));
        state
            .window_bytes
            .set(state.window_bytes.get().wrapping_sub(bytes));
        let [aged, outgrown, replaced] = &mut state.passed;
        let tally = match why {
            Why::Aged => aged,
            Why::Outgrown => outgrown,
            Why::Replaced => replaced,
            Why::Lost(reason) => self.lost(reason),
        };
        tally.add(1, bytes);
        let tail = self.run(arena, 0).start.get();
        // What stood before the wrap is gone.
        if tail < self.tail {
            self.state.wrap.set(NO_WRAP);
        }
        self.tail = tail;
    }

    /// Gives up the generation in progress, if there is one.
    pub(super) fn lose(&mut self, arena: &mut [u8], reason: LossReason) {
        let state = &mut self.state;
        let run = core::mem::take(&mut state.progress);
        if run.number.get() == 0 {
            return;
        }
        let (start, len) = (run.start.get(), run.len.get());
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
        state.saw(u64::from(len));
        self.lost(reason).add(1, len);
        self.publish(arena);
    }

    /// Stores into reserved bytes, from one of them on.
    pub(super) fn fill(&self, arena: &mut [u8], place: Reserved, from: usize, bytes: &[u8]) {
        let at = self.geometry.ring.wrapping_add(num::index(place.at));
        store(arena, at.wrapping_add(from), bytes);
    }

    pub(super) fn lost(&mut self, reason: LossReason) -> &mut Tally {
        // As many as there are reasons, of which the first is as good as any.
        let [first, rest @ ..] = &mut self.state.losses;
        match reason.index().checked_sub(1).and_then(|n| rest.get_mut(n)) {
            Some(tally) => tally,
            None => first,
        }
    }

    /// Whether the trace that is being recorded has markers.
    pub(super) fn marked(&self) -> bool {
        version_of(self.state.stream_version).is_some_and(Version::has_end_marker)
    }
}

impl State {
    /// A generation of so many bytes, which may be the largest.
    pub(super) fn saw(&mut self, bytes: u64) {
        self.largest.set(self.largest.get().max(bytes));
    }
}

impl Run {
    /// Adds a batch's bytes, or the marker's.
    pub(super) fn chain(&mut self, bytes: &[u8]) {
        self.checksum.set(checksum(self.checksum.get(), bytes));
        self.len
            .set(self.len.get().wrapping_add(num::slot(bytes.len())));
    }

    /// Adds a batch's header to the times and the number of batches.
    pub(super) fn count(&mut self, head: &BatchHead) {
        let time = head.time;
        self.batches.set(self.batches.get().wrapping_add(1));
        let first = earliest(Timestamp(self.earliest.get()), time);
        self.earliest.set(first.0);
        self.latest.set(self.latest.get().max(time.0));
    }
}

pub(super) fn version_of(minor: u8) -> Option<Version> {
    Version::from_minor(u64::from(minor))
}

/// The frequency that a batch's payload begins with, if it is a sync batch.
fn frequency(data: &[u8]) -> Option<u64> {
    let data = data.strip_prefix(&[EventType::SYNC.0]).unwrap_or(data);
    let hertz = data.strip_prefix(&[EventType::FREQUENCY.0])?;
    varint::read(hertz).ok().map(|(hertz, _)| hertz)
}
