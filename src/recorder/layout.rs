//! What an arena holds, byte for byte, and the one function that stores into it.

use crate::num;
use core::sync::atomic::{Ordering, fence};
use twox_hash::XxHash32;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What an arena begins with.
pub(super) const MAGIC: [u8; 8] = *b"gotraceR";

/// The layout that this describes. It seeds the checksums of all structures, so that none of one
/// layout passes for one of another.
pub(super) const LAYOUT: u32 = 2;

/// The longest arena, in bytes: what follows is not used. So positions fit four bytes.
const LONGEST: usize = num::index(u32::MAX);

/// In [`State::wrap`]: no batch is before the oldest one in the ring.
pub(super) const NO_WRAP: u32 = u32::MAX;

/// The first bytes of an arena.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Prefix {
    pub(super) magic: [u8; 8],
    pub(super) layout: U32,
    pub(super) reserved: U32,
}

impl Prefix {
    pub(super) const CURRENT: Prefix = Prefix {
        magic: MAGIC,
        layout: U32::new(LAYOUT),
        reserved: U32::ZERO,
    };

    pub(super) fn is_current(arena: &[u8]) -> bool {
        arena.starts_with(Prefix::CURRENT.as_bytes())
    }
}

/// How many generations and bytes.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Tally {
    pub(super) generations: U64,
    pub(super) bytes: U64,
}

impl Tally {
    pub(super) fn add(&mut self, generations: u32, bytes: u32) {
        add(&mut self.generations, generations);
        add(&mut self.bytes, bytes);
    }
}

/// The generation that a run of batches makes up.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Run {
    /// The generation's number; 0 for no generation.
    pub(super) number: U64,
    /// The earliest and the latest time of a batch, in units of the trace clock.
    pub(super) earliest: U64,
    pub(super) latest: U64,
    /// The checksum of the last batch or marker, whose seed is that of the one before, and so on: 0
    /// before the first. A batch is one slice, so no state of a half-filled checksum is kept.
    pub(super) checksum: U32,
    /// Where the first batch begins in the ring.
    pub(super) start: U32,
    /// The bytes of all batches and of the end marker, without what a wrap leaves unused.
    pub(super) len: U32,
    pub(super) batches: U32,
}

/// A record of a complete generation.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Record {
    pub(super) run: Run,
    pub(super) reserved: U32,
    pub(super) check: U32,
}

/// All that changes from batch to batch: two copies, of which the one with the later sequence
/// number counts.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct State {
    pub(super) sequence: U64,
    /// The length of the whole arena, from which all positions follow.
    pub(super) arena_len: U32,
    /// The record of the oldest complete generation, and how many there are.
    pub(super) first: U32,
    pub(super) count: U32,
    /// The bytes of all complete generations.
    pub(super) window_bytes: U32,
    /// Where the ring is free, and where what is before its oldest batch ended when it began
    /// again at its start, or [`NO_WRAP`].
    pub(super) head: U32,
    pub(super) wrap: U32,
    /// N of `go 1.N`, for the complete generations and for the one in progress; 0 for none.
    pub(super) window_version: u8,
    pub(super) stream_version: u8,
    /// Whether the generation in progress follows the newest complete one, in the same trace.
    pub(super) follows: u8,
    pub(super) reserved: u8,
    /// Units of the trace clock a second; 0 while not known.
    pub(super) hertz: U32,
    /// The generation in progress.
    pub(super) progress: Run,
    /// The largest generation, lost ones included, and all complete ones.
    pub(super) largest: U64,
    pub(super) recorded: Tally,
    /// What was lost, by reason: as many as `LossReason::ALL`.
    pub(super) losses: [Tally; 6],
    /// What was dropped and is not lost, in the order of [`Why`](super::losses::Why).
    pub(super) passed: [Tally; 3],
    pub(super) padding: U32,
    pub(super) check: U32,
}

/// A checksummed structure: its last four bytes are the checksum of those before.
pub(super) trait Checked:
    IntoBytes + FromBytes + Immutable + KnownLayout + Unaligned
{
    /// Gives it the checksum that its contents have now.
    fn seal(&mut self) {
        let sum = sum(self.as_bytes());
        if let Some(check) = self.as_mut_bytes().last_chunk_mut() {
            *check = sum.to_le_bytes();
        }
    }

    /// The one that is in an arena; `None` if it does not check out.
    fn read(arena: &[u8], at: usize) -> Option<&Self> {
        let (value, _) = Self::ref_from_prefix(arena.get(at..)?).ok()?;
        let check = value.as_bytes().last_chunk();
        (check == Some(&sum(value.as_bytes()).to_le_bytes())).then_some(value)
    }
}

/// The checksum that belongs into the last four bytes.
fn sum(bytes: &[u8]) -> u32 {
    let len = bytes.len().wrapping_sub(size_of::<U32>());
    checksum(LAYOUT, bytes.get(..len).unwrap_or(&[]))
}

impl Checked for State {}

impl Checked for Record {}

impl State {
    /// That of an arena in which nothing was recorded.
    pub(super) fn new(arena_len: usize) -> State {
        let mut state = State::new_zeroed();
        state.arena_len.set(num::slot(arena_len));
        state.wrap.set(NO_WRAP);
        state
    }

    /// The sound copy with the later sequence number.
    pub(super) fn newest(arena: &[u8]) -> Option<&State> {
        match (State::sane(arena, 0), State::sane(arena, 1)) {
            (Some(a), Some(b)) if is_later(a.sequence.get(), b.sequence.get()) => Some(a),
            (a, b) => b.or(a),
        }
    }

    /// A copy that checks out, and whose records the table has.
    fn sane(arena: &[u8], copy: u64) -> Option<&State> {
        State::read(arena, Geometry::state(copy)).filter(|state| {
            let records = Geometry::of(num::index(state.arena_len.get())).records;
            state.first.get() < records && state.count.get() <= records
        })
    }

    /// The copy whose number is the later, whether it is sound or not.
    pub(super) fn later(arena: &[u8]) -> u64 {
        let sequence = |copy| {
            let state = arena.get(Geometry::state(copy)..).unwrap_or(&[]);
            U64::read_from_prefix(state).map_or(0, |(n, _)| n.get())
        };
        u64::from(is_later(sequence(1), sequence(0)))
    }
}

/// Where things are in an arena of some length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    /// How many records the table has.
    pub(super) records: u32,
    /// Where the ring begins, and its length.
    pub(super) ring: usize,
    pub(super) capacity: u32,
}

/// Where the second copy of the state is.
const SECOND_STATE: usize = size_of::<Prefix>() + size_of::<State>();
/// The bytes before the table of records.
const FIXED: usize = SECOND_STATE + size_of::<State>();
/// One record for so many bytes of arena: less than a generation takes in practice.
const BYTES_A_RECORD: usize = 2048;
const REST_A_RECORD: usize = BYTES_A_RECORD - size_of::<Record>();
const FEWEST_RECORDS: usize = 4;
const MOST_RECORDS: usize = 1024;

/// The smallest arena: an empty generation of a few batches fits.
pub(super) const SMALLEST: usize = FIXED + FEWEST_RECORDS * size_of::<Record>() + 128;

impl Geometry {
    pub(super) const fn of(arena_len: usize) -> Geometry {
        let arena_len = bounded(arena_len, 0, LONGEST);
        let share = arena_len.wrapping_div(BYTES_A_RECORD);
        let records = bounded(share, FEWEST_RECORDS, MOST_RECORDS);
        let ring = FIXED.wrapping_add(records.wrapping_mul(size_of::<Record>()));
        Geometry {
            records: num::slot(records),
            ring,
            capacity: num::slot(arena_len.saturating_sub(ring)),
        }
    }

    /// The length of an arena whose ring has at least this capacity; of the longest, if none has.
    pub(super) const fn arena_for(capacity: usize) -> usize {
        let rest = FIXED.saturating_add(capacity);
        // So many that the table, whose length depends on the whole arena's, is not longer.
        let share = rest.div_ceil(REST_A_RECORD);
        let records = bounded(share, FEWEST_RECORDS, MOST_RECORDS);
        let len = rest.saturating_add(records.saturating_mul(size_of::<Record>()));
        bounded(len, 0, LONGEST)
    }

    /// Where a copy of the state is; an odd number means the second.
    pub(super) const fn state(copy: u64) -> usize {
        if copy & 1 == 0 {
            size_of::<Prefix>()
        } else {
            SECOND_STATE
        }
    }

    /// Where a record is.
    pub(super) const fn record(slot: u32) -> usize {
        FIXED.wrapping_add(num::index(slot).wrapping_mul(size_of::<Record>()))
    }

    /// The record after a number of others, round the table.
    pub(super) const fn slot(&self, first: u32, plus: u32) -> u32 {
        let sum = first.wrapping_add(plus);
        if sum < self.records {
            sum
        } else {
            sum.wrapping_sub(self.records)
        }
    }

    /// Bytes of the ring.
    pub(super) fn slice<'a>(&self, arena: &'a [u8], at: u32, len: u32) -> &'a [u8] {
        let start = self.ring.wrapping_add(num::index(at));
        let end = start.wrapping_add(num::index(len));
        arena.get(start..end).unwrap_or(&[])
    }
}

const fn bounded(n: usize, low: usize, high: usize) -> usize {
    if n < low {
        low
    } else if n > high {
        high
    } else {
        n
    }
}

/// The checksum of `bytes`, XXH32: the one that is fast and small on 32-bit processors too.
pub(super) fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    XxHash32::oneshot(seed, bytes)
}

/// Adds to a counter in a structure, which stays at its end when it gets there.
fn add(n: &mut U64, more: u32) {
    n.set(n.get().saturating_add(u64::from(more)));
}

/// Whether a sequence number comes after another: they begin again at 0 after the last.
const fn is_later(a: u64, b: u64) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

/// Copies `bytes` into the arena. Every store into an arena is one of these; what lies outside is
/// not stored.
///
/// A stop may come amid the copy, with any part of it done. [`barrier`] is between two stores
/// of which the first must be whole before the second begins.
pub(super) fn store(arena: &mut [u8], at: usize, bytes: &[u8]) {
    #[cfg(test)]
    super::tests::log_store(at, bytes);
    if let Some(to) = arena.get_mut(at..) {
        // Unlike `copy_from_slice`, without a panic to link.
        let _ = bytes.write_to_prefix(to);
    }
}

/// Keeps the compiler and the processor from moving a store across it.
pub(super) fn barrier() {
    #[cfg(test)]
    super::tests::log_barrier();
    fence(Ordering::AcqRel);
}
