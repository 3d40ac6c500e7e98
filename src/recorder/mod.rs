//! The flight recorder: the last seconds of a live trace in memory of a fixed size, which survive
//! a crash of the process that records them.
//!
//! A [`FlightRecorder`] is fed with a trace as it comes, and keeps the newest generations of it in
//! an arena: any `&mut [u8]`, a static array, a `Vec`, a memory-mapped file. It mirrors
//! `trace.FlightRecorder` of Go's `runtime/trace`, but what Go takes as a hint is a promise here:
//!
//! - The arena is all the memory there is, bookkeeping included; beside it, a recorder is a value
//!   of less than 1 KiB, and allocates nothing.
//! - A [`Snapshot`] is always a trace: a header, then complete generations in order. What does not
//!   fit is dropped whole and [counted](Status::losses), the oldest generations first; the newest
//!   complete one is kept until the next is complete. If a generation outgrows the arena while it
//!   is being recorded, it is lost as a whole, and the next one is recorded.
//! - Every batch is one slice of the arena, and a snapshot is at most three, which
//!   [`Trace`](crate::Trace) reads in place.
//! - Bad input is an error. It costs the generation that it is part of, never a complete one.
//! - The work for a batch does not depend on what is kept: its header is read, it is copied once
//!   and checksummed once.
//! - A stop at any moment, between any two stores, leaves an arena that
//!   [`recover`](FlightRecorder::recover) reads, with every generation that was complete.
//!
//! ```
//! use gotrace::recorder::{FlightRecorder, FlightRecorderConfig, arena_size_for};
//!
//! let config = FlightRecorderConfig { max_bytes: 64 << 10, ..Default::default() };
//! let mut arena = [0; arena_size_for(64 << 10)];
//! let mut recorder = FlightRecorder::new(&mut arena[..], config)?;
//! for piece in include_bytes!("../../tests/fixtures/annotate-go1.27.trace").chunks(1000) {
//!     recorder.write(piece)?;
//! }
//! let snapshot = recorder.snapshot();
//! assert_eq!(snapshot.trace()?.generations().count(), snapshot.generations().count());
//!
//! // The process dies here. Another one finds the arena.
//! drop(recorder);
//! let recovered = FlightRecorder::recover(&arena)?;
//! assert!(!recovered.snapshot().is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How large an arena
//!
//! A generation lasts about a second, and a busy server fills 5 to 80 MB in one. An arena of
//! [`arena_size_for(max_bytes)`](arena_size_for) loses none while none is larger than `max_bytes`.
//! A smaller one works too: it keeps what it can. But since the newest complete generation is never
//! given up, a large one leaves less room for those that come, and if none of them fits beside it,
//! it stays, and all are lost. [`Status::largest`] says how large the largest generation
//! was, and so what to ask for. To make generations smaller, start the traced program with
//! `GODEBUG=traceadvanceperiod=100000000`: their length in nanoseconds, 10^9 unless it is set.
//!
//! # The window
//!
//! As in Go, older generations are kept beside the newest while the window is under both bounds of
//! its [configuration](FlightRecorderConfig), and the one that crosses a bound is kept. What is
//! dropped for these bounds is not lost; it is counted as [passed](Status::passed). Ages are in time of the trace, because
//! the core has no clock: from the earliest batch of a generation to the latest batch of the newest
//! complete one, which Go writes when the generation ends; that is the moment that Go asks its clock
//! for. While no clock frequency was recorded, there is no bound on the age.
//!
//! The generations of a snapshot follow one another without a gap, as those of every trace before Go
//! 1.26 do. If one is lost, those before it are dropped when the next one is complete, and counted
//! as [lost](LossReason::Gap). When a new trace begins, the window is kept until a generation of the
//! new one is complete, and counts as [replaced](Passed::replaced) then.
//!
//! # The arena
//!
//! All numbers are little-endian; nothing need be aligned. Positions follow from the arena's
//! length, in bytes:
//!
//! | position | what | length |
//! | --- | --- | --- |
//! | 0 | `gotraceR`, layout version 2 (4 bytes), 4 zero bytes | 16 |
//! | 16 | the state, twice | 2 × 256 |
//! | 528 | the table: one record for each 2048 bytes of the arena, 4 to 1024 of them | 48 each |
//! | then | the ring of batches | what is left |
//!
//! The state holds a sequence number; the length of the arena; the place of the oldest record and
//! the number of records in use; the version of the trace that is kept, and of the one that is being
//! recorded, which is 0 before its header and after a recording that ended in good order; the place
//! where the ring is free, and where it last began again at its start; the generation in progress;
//! the clock's frequency; and the counters. Each change is stored into the copy that does not count
//! yet, and counts by its later sequence number once its checksum is right. A record holds a
//! generation's number, where it begins, its length, its number of batches, the earliest and the
//! latest time of a batch, and a checksum that runs over its batches one after the other. All
//! checksums are XXH32; those of states and records are in their last four bytes and have the
//! layout version as their seed.
//!
//! In the ring, batches are as they came off the wire, one after the other; one that does not fit
//! before the end of the ring is at its start. Since nothing is between them, hopping from
//! header to header finds each, and where to cut a generation, should that be wanted one day.
//!
//! The order of stores is kept for what reads the same memory: another process that maps the
//! same file, before or after this one is killed; this processor after a reset that leaves the
//! memory as it is, if its data cache was written back. Nothing is promised for a file when the
//! whole machine stops.

mod intake;
mod layout;
mod losses;
#[cfg(all(test, loom, feature = "std"))]
mod model;
mod recover;
mod relocate;
mod ring;
#[cfg(feature = "std")]
mod shared;
mod sink;
mod snapshot;
mod status;
#[cfg(test)]
mod tests;
#[cfg(feature = "std")]
pub mod trigger;

pub use losses::{Count, LossReason, Losses, Passed};
pub use recover::{ArenaError, Damage, Incomplete, Recovered};
#[cfg(feature = "std")]
pub use shared::{SharedError, SharedRecorder};
pub use snapshot::{Snapshot, SnapshotGeneration, SnapshotGenerations};
pub use status::{Progress, Status};

use crate::error::Error;
use crate::num;
use crate::wire::{BatchHead, MAX_BATCH_SIZE};
use core::fmt;
use core::time::Duration;
use intake::Intake;
use layout::{Geometry, SMALLEST};
use ring::Core;

/// How much a recorder keeps (`trace.FlightRecorderConfig`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FlightRecorderConfig {
    /// The age up to which generations are kept, if `max_bytes` allows, in whole milliseconds and at
    /// most 49 days; zero means the default, 10 seconds.
    pub min_age: Duration,
    /// The bytes up to which generations are kept, whatever their age; zero means the default,
    /// 10 MiB. The generation that crosses this bound is kept if the arena has room for it.
    pub max_bytes: usize,
}

impl FlightRecorderConfig {
    const DEFAULT: FlightRecorderConfig = FlightRecorderConfig {
        min_age: Duration::from_secs(10),
        max_bytes: num::narrow(10 << 20),
    };

    /// At most `u32::MAX`.
    fn min_age_milliseconds(&self) -> u32 {
        let seconds = num::slot(num::narrow(self.min_age.as_secs()));
        let seconds = seconds.saturating_mul(1000);
        seconds.saturating_add(self.min_age.subsec_millis())
    }

    const fn or_default(self) -> FlightRecorderConfig {
        FlightRecorderConfig {
            min_age: if self.min_age.is_zero() {
                Self::DEFAULT.min_age
            } else {
                self.min_age
            },
            max_bytes: if self.max_bytes == 0 {
                Self::DEFAULT.max_bytes
            } else {
                self.max_bytes
            },
        }
    }
}

/// Go's: 10 seconds and 10 MiB.
impl Default for FlightRecorderConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The length in bytes of an arena that loses no generation while none is larger than `max_bytes`;
/// zero means the default of [`FlightRecorderConfig::max_bytes`]. It is all the memory that is used.
///
/// It has room for two of them: the newest complete one, which is kept, and the one in progress.
/// When generations are smaller, all that the window holds fits. What is left of the sum is the
/// bookkeeping, about 3 %, and the bytes at the end of the ring that one batch leaves unused, less
/// than 64 KiB.
///
/// ```
/// use gotrace::recorder::arena_size_for;
/// static ARENA: [u8; arena_size_for(16 << 10)] = [0; _];
/// assert_eq!(ARENA.len(), 50_880);
/// ```
pub const fn arena_size_for(max_bytes: usize) -> usize {
    let config = FlightRecorderConfig {
        min_age: Duration::ZERO,
        max_bytes,
    };
    let max_bytes = config.or_default().max_bytes;
    let largest_batch = BatchHead::MAX_LEN.saturating_add(num::narrow(MAX_BATCH_SIZE));
    let unused = if max_bytes < largest_batch {
        max_bytes
    } else {
        largest_batch
    };
    Geometry::arena_for(max_bytes.saturating_mul(2).saturating_add(unused))
}

/// The largest `max_bytes` for which there is an arena that loses no generation of that size: an arena
/// has less than 4 GiB, and room for two of them.
pub const LARGEST_MAX_BYTES: usize = {
    let capacity = num::index(Geometry::of(usize::MAX).capacity);
    let batch = BatchHead::MAX_LEN.saturating_add(num::narrow(MAX_BATCH_SIZE));
    capacity.saturating_sub(batch).wrapping_div(2)
};

/// Keeps the newest generations of a live trace in an arena (`trace.FlightRecorder`).
///
/// `A` is the arena: `&mut [u8]`, or anything that gives one, always the same. See the
/// [module](self) for what is promised.
pub struct FlightRecorder<A> {
    arena: A,
    core: Core,
    intake: Intake,
}

impl FlightRecorder<&mut [u8]> {
    /// What was recorded into an arena whose recorder is gone: killed, or lost in a reset. Also for
    /// a copy of an arena that is being recorded into: what changed while it was copied does not
    /// check out.
    ///
    /// Reads the whole window once.
    ///
    /// Errors: [`ArenaError`], if nothing in it checks out.
    pub fn recover(arena: &[u8]) -> Result<Recovered<'_>, ArenaError> {
        Recovered::new(arena)
    }
}

impl<A: AsRef<[u8]> + AsMut<[u8]>> FlightRecorder<A> {
    /// Makes an arena of this memory, whatever it holds, and records into it.
    ///
    /// Errors: [`ArenaError::TooSmall`]; nothing was stored then.
    pub fn new(mut arena: A, config: FlightRecorderConfig) -> Result<Self, ArenaError> {
        let bytes = arena.as_mut();
        if bytes.len() < SMALLEST {
            return Err(ArenaError::TooSmall { smallest: SMALLEST });
        }
        let core = Core::create(bytes, config);
        Ok(FlightRecorder {
            arena,
            core,
            intake: Intake::new(),
        })
    }

    /// Records any piece of a trace, cut anywhere: the header at first, then batches and, since Go
    /// 1.26, the markers that end generations. Before Go 1.26 a generation ends where the next one
    /// begins; at the end of a trace, [`end_generation`](FlightRecorder::end_generation) says so.
    ///
    /// All of the piece is taken, whatever the result.
    ///
    /// Errors, of which each costs the generation it is in:
    /// - [`GenerationOrder`](crate::ErrorKind::GenerationOrder) for a generation number that cannot come
    ///   here: before Go 1.26 any but the next one, since then any other before the marker. Recording
    ///   goes on with the generation after it.
    /// - Those of [`Head::parse`](crate::wire::Head::parse) and of
    ///   [`header`](FlightRecorder::header). Where the next batch begins is then not known: this
    ///   error comes again until a new [`header`](FlightRecorder::header), or
    ///   [`restart`](FlightRecorder::restart).
    pub fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.intake
            .write(&mut self.core, self.arena.as_mut(), piece)
    }

    /// Begins a trace with its header, 16 bytes. A generation in progress is lost; end it before if
    /// it is complete. The window stays until a generation of the new trace is complete.
    ///
    /// Errors: those of [`Version::from_header`](crate::wire::Version::from_header),
    /// [`NoGenerations`](crate::ErrorKind::NoGenerations), and
    /// [`TrailingBytes`](crate::ErrorKind::TrailingBytes). The trace before may then go on.
    pub fn header(&mut self, header: &[u8]) -> Result<(), Error> {
        self.intake
            .header(&mut self.core, self.arena.as_mut(), header)
    }

    /// Records one batch, experimental ones included, or one end marker: a slice that holds just
    /// that.
    ///
    /// Errors, of which each costs the generation in progress but none that is complete:
    /// - those of [`Head::parse`](crate::wire::Head::parse), and
    ///   [`NotABatch`](crate::ErrorKind::NotABatch) for a marker before Go 1.26, or one that ends
    ///   nothing;
    /// - [`UnexpectedEnd`](crate::ErrorKind::UnexpectedEnd) and
    ///   [`TrailingBytes`](crate::ErrorKind::TrailingBytes), if the slice is not as long as the batch
    ///   says;
    /// - [`GenerationOrder`](crate::ErrorKind::GenerationOrder) for a generation number that
    ///   cannot come here, as for [`write`](FlightRecorder::write).
    ///
    /// Recording goes on with the generation after it; what comes of this one is counted as lost,
    /// without further errors. Two errors change nothing:
    /// [`NoHeader`](crate::ErrorKind::NoHeader) before the first header and after a
    /// [`restart`](FlightRecorder::restart), and [`UnexpectedEnd`](crate::ErrorKind::UnexpectedEnd)
    /// while a batch handed to [`write`](FlightRecorder::write) lacks its end.
    pub fn batch(&mut self, batch: &[u8]) -> Result<(), Error> {
        self.intake
            .batch(&mut self.core, self.arena.as_mut(), batch)
    }

    /// Ends the generation in progress, if there is one: with its marker since Go 1.26. Where the
    /// marker was recorded already, this does nothing.
    ///
    /// Errors: the two of [`batch`](FlightRecorder::batch) that change nothing.
    pub fn end_generation(&mut self) -> Result<(), Error> {
        self.intake
            .end_generation(&mut self.core, self.arena.as_mut())
    }

    /// Forgets the stream, not the window: the next piece [written](FlightRecorder::write) begins
    /// another one, with its header. A generation in progress is lost.
    ///
    /// To be called last where a recording ends in good order: then
    /// [`was_recording`](Recovered::was_recording) reads from the arena that it was no crash.
    pub fn restart(&mut self) {
        self.intake.restart(&mut self.core, self.arena.as_mut());
    }

    /// The complete generations that are kept now.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot::new(self.arena.as_ref(), &self.core)
    }

    /// Writes the [`snapshot`](FlightRecorder::snapshot) (`FlightRecorder.WriteTo`), and says how
    /// many bytes it has.
    ///
    /// Errors: those of the writer; [`NotFound`](std::io::ErrorKind::NotFound) before the first
    /// generation is complete, and nothing was written then.
    #[cfg(feature = "std")]
    pub fn write_to(&self, writer: impl std::io::Write) -> std::io::Result<u64> {
        let snapshot = self.snapshot();
        if snapshot.is_empty() {
            let error = "no generation is complete yet";
            return Err(std::io::Error::new(std::io::ErrorKind::NotFound, error));
        }
        snapshot.write_to(writer)
    }

    /// What the recorder holds, has recorded and has lost. Costs the same for any window.
    pub fn status(&self) -> Status {
        self.core.status(self.arena.as_ref())
    }

    /// The arena as it is now.
    pub fn arena(&self) -> &[u8] {
        self.arena.as_ref()
    }

    /// What the arena is in: the value that the recorder was made with.
    pub const fn memory(&self) -> &A {
        &self.arena
    }

    /// Stops recording, and gives the arena back, as it is now.
    pub fn into_arena(self) -> A {
        self.arena
    }
}

impl<A: AsRef<[u8]> + AsMut<[u8]>> fmt::Debug for FlightRecorder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlightRecorder")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<A: AsRef<[u8]> + AsMut<[u8]>> defmt::Format for FlightRecorder<A> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "flight recorder: {}", self.status());
    }
}
