//! What stands in an arena, byte for byte, and the one function that stores into it.

use crate::num;
use core::sync::atomic::{Ordering, fence};
use twox_hash::XxHash64;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What an arena begins with.
pub(super) const MAGIC: [u8; 8] = *b"gotraceR";

/// The layout that this describes. It seeds the checksums of all structures, so that none of one
/// layout passes for one of another.
pub(super) const LAYOUT: u32 = 1;

/// In [`State::wrap`]: no batch stands before the oldest one in the ring.
pub(super) const NO_WRAP: u64 = u64::MAX;

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
    pub(super) fn add(&mut self, generations: u64, bytes: u64) {
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
    /// Where the first batch begins in the ring.
    pub(super) start: U64,
    /// The bytes of all batches and of the end marker, without what a wrap leaves unused.
    pub(super) len: U64,
    pub(super) batches: U64,
    /// The earliest and the latest time of a batch, in units of the trace clock.
    pub(super) earliest: U64,
    pub(super) latest: U64,
    /// [`chain`] over the batches and the end marker.
    pub(super) checksum: U64,
}

/// A record of a complete generation.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Record {
    pub(super) run: Run,
    check: U64,
}

/// All that changes from batch to batch: two copies, of which the one with the higher sequence
/// number counts.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct State {
    pub(super) sequence: U64,
    /// The length of the whole arena, from which all positions follow.
    pub(super) arena_len: U64,
    /// The record of the oldest complete generation, and how many there are.
    pub(super) first: U32,
    pub(super) count: U32,
    /// N of `go 1.N`, for the complete generations and for the one in progress; 0 for none.
    pub(super) window_version: U32,
    pub(super) stream_version: U32,
    /// The bytes of all complete generations.
    pub(super) window_bytes: U64,
    /// Where the ring is free, and where what stands before its oldest batch ended when it began
    /// again at its start, or [`NO_WRAP`].
    pub(super) head: U64,
    pub(super) wrap: U64,
    /// The generation in progress.
    pub(super) progress: Run,
    /// Whether it follows the newest complete one, in the same trace.
    pub(super) follows: U32,
    pub(super) reserved: U32,
    /// Units of the trace clock a second; 0 while not known.
    pub(super) hertz: U64,
    /// The largest generation, lost ones included, and all complete ones.
    pub(super) largest: U64,
    pub(super) recorded: Tally,
    /// What was lost, by reason: as many as `LossReason::ALL`.
    pub(super) losses: [Tally; 5],
    check: U64,
}

/// A checksummed structure: its last eight bytes are the checksum of those before.
pub(super) trait Checked:
    IntoBytes + FromBytes + Immutable + KnownLayout + Unaligned
{
    /// The checksum that stands in it.
    fn check(&mut self) -> &mut U64;

    /// The checksum that its contents have.
    fn sum(&self) -> u64 {
        let bytes = self.as_bytes();
        let len = bytes.len().saturating_sub(size_of::<U64>());
        checksum(u64::from(LAYOUT), bytes.get(..len).unwrap_or(&[]))
    }

    fn seal(&mut self) {
        let sum = self.sum();
        self.check().set(sum);
    }

    /// One in an arena; `None` if it does not check out.
    fn read(arena: &[u8], at: usize) -> Option<&Self> {
        let (value, _) = Self::ref_from_prefix(arena.get(at..)?).ok()?;
        let check = value.as_bytes().last_chunk().copied();
        (check == Some(value.sum().to_le_bytes())).then_some(value)
    }
}

impl Checked for State {
    fn check(&mut self) -> &mut U64 {
        &mut self.check
    }
}

impl Checked for Record {
    fn check(&mut self) -> &mut U64 {
        &mut self.check
    }
}

impl Record {
    pub(super) fn new(run: Run) -> Record {
        let check = U64::ZERO;
        let mut record = Record { run, check };
        record.seal();
        record
    }
}

impl State {
    /// That of an arena in which nothing was recorded.
    pub(super) fn new(arena_len: usize) -> State {
        let mut state = State::new_zeroed();
        state.arena_len.set(num::wide(arena_len));
        state.wrap.set(NO_WRAP);
        state
    }

    /// The sound copy with the higher sequence number.
    pub(super) fn newest(arena: &[u8]) -> Option<&State> {
        match (State::sane(arena, 0), State::sane(arena, 1)) {
            (Some(a), Some(b)) if a.sequence > b.sequence => Some(a),
            (a, b) => b.or(a),
        }
    }

    /// A copy that checks out, and whose records the table has.
    fn sane(arena: &[u8], copy: u64) -> Option<&State> {
        State::read(arena, Geometry::state(copy)).filter(|state| {
            let records = Geometry::of(num::narrow(state.arena_len.get())).records;
            state.first.get() < records && state.count.get() <= records
        })
    }
}

/// Where things stand in an arena of some length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    /// How many records the table has.
    pub(super) records: u32,
    /// Where the ring begins, and its length.
    pub(super) ring: usize,
    pub(super) capacity: usize,
}

/// Where the second copy of the state stands.
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
        let share = arena_len.wrapping_div(BYTES_A_RECORD);
        let records = bounded(share, FEWEST_RECORDS, MOST_RECORDS);
        let ring = FIXED.saturating_add(records.saturating_mul(size_of::<Record>()));
        Geometry {
            records: num::slot(records),
            ring,
            capacity: arena_len.saturating_sub(ring),
        }
    }

    /// The length of an arena whose ring has at least this capacity.
    pub(super) const fn arena_for(capacity: usize) -> usize {
        let rest = FIXED.saturating_add(capacity);
        // So many that the table, whose length depends on the whole arena's, is not longer.
        let share = rest.div_ceil(REST_A_RECORD);
        let records = bounded(share, FEWEST_RECORDS, MOST_RECORDS);
        rest.saturating_add(records.saturating_mul(size_of::<Record>()))
    }

    /// Where a copy of the state stands; an odd number means the second.
    pub(super) const fn state(copy: u64) -> usize {
        if copy & 1 == 0 {
            size_of::<Prefix>()
        } else {
            SECOND_STATE
        }
    }

    /// Where a record stands.
    pub(super) const fn record(slot: u32) -> usize {
        FIXED.saturating_add(num::index(slot).saturating_mul(size_of::<Record>()))
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
    pub(super) fn slice<'a>(&self, arena: &'a [u8], at: u64, len: u64) -> &'a [u8] {
        self.checked(arena, at, len).unwrap_or(&[])
    }

    /// As [`slice`](Geometry::slice); `None` if the arena does not have them.
    pub(super) fn checked<'a>(&self, arena: &'a [u8], at: u64, len: u64) -> Option<&'a [u8]> {
        let end = at.checked_add(len)?;
        if end > num::wide(self.capacity) {
            return None;
        }
        let start = self.ring.saturating_add(num::narrow(at));
        arena.get(start..start.saturating_add(num::narrow(len)))
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

/// The checksum of `bytes`, XXH64.
pub(super) fn checksum(seed: u64, bytes: &[u8]) -> u64 {
    XxHash64::oneshot(seed, bytes)
}

/// The checksum of a generation after one more batch, which stands in `bytes`. A batch is one
/// slice, so no state of a half-filled checksum needs to be kept.
pub(super) fn chain(so_far: u64, bytes: &[u8]) -> u64 {
    checksum(so_far, bytes)
}

/// Adds to a number in a structure.
pub(super) fn add(n: &mut U64, more: u64) {
    n.set(n.get().saturating_add(more));
}

/// Copies `bytes` into the arena. Every store into an arena is one of these; what lies outside is
/// not stored.
///
/// A stop may come amid the copy, with any part of it done. [`barrier`] stands between two stores
/// of which the first must be whole before the second begins.
pub(super) fn store(arena: &mut [u8], at: usize, bytes: &[u8]) {
    #[cfg(test)]
    super::tests::log_store(at, bytes);
    let to = arena.get_mut(at..).unwrap_or_default();
    // In this form no panic is possible that the compiler does not see to be none.
    if let Some(to) = to.get_mut(..bytes.len()) {
        to.copy_from_slice(bytes);
    }
}

/// Keeps the compiler and the processor from moving a store across it.
pub(super) fn barrier() {
    #[cfg(test)]
    super::tests::log_barrier();
    fence(Ordering::AcqRel);
}
