//! A window of complete generations, as slices of the arena.

use super::layout::{NO_WRAP, Run};
use super::ring::Core;
use super::status::version;
use crate::error::Error;
use crate::generation::Trace;
use crate::ids::GenerationId;
use crate::num;
use crate::time::Timestamp;
use crate::wire::Version;
use core::fmt;

/// A trace in an arena: the header, then complete generations in order.
///
/// It borrows the arena; the recorder goes on when it is dropped. At most three slices hold it all,
/// cut between batches only, so that [`Trace::from_pieces`] reads it in place:
///
/// ```
/// # use gotrace::recorder::{FlightRecorder, FlightRecorderConfig};
/// # let mut arena = [0; 65536];
/// # let mut recorder = FlightRecorder::new(&mut arena[..], FlightRecorderConfig::default())?;
/// # let trace = include_bytes!("../../tests/fixtures/annotate-go1.27.trace");
/// # recorder.write(trace)?;
/// let snapshot = recorder.snapshot();
/// for generation in snapshot.trace()?.generations() {
///     assert!(generation?.complete);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Snapshot<'a> {
    pieces: [&'a [u8]; 3],
    generations: SnapshotGenerations<'a>,
    version: Option<Version>,
}

impl<'a> Snapshot<'a> {
    /// That of all complete generations.
    pub(super) fn new(arena: &'a [u8], core: &'a Core) -> Self {
        let state = &core.state;
        Self::of(arena, core, 0, state.count.get(), state.window_bytes.get())
    }

    /// That of `count` generations from the one with this index on.
    pub(super) fn part(arena: &'a [u8], core: &'a Core, first: u32, count: u32) -> Self {
        let runs = (first..first.saturating_add(count)).map(|index| core.run(arena, index));
        let bytes = runs.fold(0u32, |sum, run| sum.wrapping_add(run.len.get()));
        Self::of(arena, core, first, count, bytes)
    }

    fn of(arena: &'a [u8], core: &'a Core, first: u32, count: u32, bytes: u32) -> Self {
        let start = core.run(arena, first).start.get();
        let [before, after] = core.pieces(arena, start, bytes);
        let version = version(&core.state);
        let header = version.map_or(&[][..], |version| version.header());
        Snapshot {
            pieces: [header, before, after],
            generations: SnapshotGenerations {
                arena,
                core,
                next: first,
                end: first.saturating_add(count),
            },
            version,
        }
    }

    /// The slices, in order: the header, and the generations in one or two more. None while there is
    /// no trace: no generation, and no header either.
    pub fn pieces(&self) -> &[&'a [u8]] {
        let used = self.pieces.iter().take_while(|p| !p.is_empty()).count();
        self.pieces.get(..used).unwrap_or(&[])
    }

    /// The length in bytes, header included.
    pub fn len(&self) -> u64 {
        self.pieces
            .iter()
            .fold(0, |sum, p| sum.saturating_add(num::wide(p.len())))
    }

    /// Whether there is no generation.
    pub fn is_empty(&self) -> bool {
        self.generations.next >= self.generations.end
    }

    /// The version of the trace; none while there is no trace.
    pub const fn version(&self) -> Option<Version> {
        self.version
    }

    /// The trace, read in place.
    ///
    /// Errors: [`UnexpectedEnd`](crate::ErrorKind::UnexpectedEnd) while there is no trace.
    pub fn trace(&self) -> Result<Trace<'_>, Error> {
        Trace::from_pieces(self.pieces())
    }

    /// The generations, oldest first.
    pub fn generations(&self) -> SnapshotGenerations<'a> {
        self.generations
    }

    /// Writes the trace, and says how many bytes it has.
    ///
    /// Errors: those of the writer.
    #[cfg(feature = "std")]
    pub fn write_to(&self, mut writer: impl std::io::Write) -> std::io::Result<u64> {
        for piece in self.pieces() {
            writer.write_all(piece)?;
        }
        writer.flush()?;
        Ok(self.len())
    }

    /// Writes the trace, and says how many bytes it has.
    ///
    /// Errors: those of the writer.
    #[cfg(feature = "embedded-io")]
    pub fn write_to_embedded<W: embedded_io::Write>(&self, mut writer: W) -> Result<u64, W::Error> {
        for piece in self.pieces() {
            writer.write_all(piece)?;
        }
        writer.flush()?;
        Ok(self.len())
    }
}

impl fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("version", &self.version)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Snapshot<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "snapshot of {=u64} bytes", self.len());
    }
}

/// A generation in an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotGeneration<'a> {
    /// The number.
    pub number: GenerationId,
    /// The number of batches.
    pub batches: u64,
    /// The length in bytes, the end marker included.
    pub bytes: u64,
    /// The earliest time of a batch.
    pub earliest: Timestamp,
    /// The latest time of a batch: for a generation that Go wrote, close to its end.
    pub latest: Timestamp,
    /// The batches, cut between two of them where the ring began again at its start; otherwise the
    /// second is empty.
    pub pieces: [&'a [u8]; 2],
}

#[cfg(feature = "defmt")]
impl defmt::Format for SnapshotGeneration<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{} of {=u64} bytes", self.number, self.bytes);
    }
}

/// The generations of a snapshot, oldest first.
#[derive(Clone, Copy)]
pub struct SnapshotGenerations<'a> {
    arena: &'a [u8],
    core: &'a Core,
    next: u32,
    end: u32,
}

impl<'a> Iterator for SnapshotGenerations<'a> {
    type Item = SnapshotGeneration<'a>;

    fn next(&mut self) -> Option<SnapshotGeneration<'a>> {
        if self.next >= self.end {
            return None;
        }
        let run = self.core.run(self.arena, self.next);
        self.next = self.next.saturating_add(1);
        Some(SnapshotGeneration {
            number: GenerationId::new(run.number.get())?,
            batches: u64::from(run.batches.get()),
            bytes: u64::from(run.len.get()),
            earliest: Timestamp(run.earliest.get()),
            latest: Timestamp(run.latest.get()),
            pieces: self.core.run_pieces(self.arena, &run),
        })
    }
}

impl fmt::Debug for SnapshotGenerations<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl Core {
    /// The batches of a generation.
    pub(super) fn run_pieces<'a>(&self, arena: &'a [u8], run: &Run) -> [&'a [u8]; 2] {
        self.pieces(arena, run.start.get(), run.len.get())
    }

    /// A run of batches, which goes on at the ring's start if it reaches the wrap.
    fn pieces<'a>(&self, arena: &'a [u8], start: u32, len: u32) -> [&'a [u8]; 2] {
        let slice = |at, len| self.geometry.slice(arena, at, len);
        let wrap = self.state.wrap.get();
        match wrap.checked_sub(start) {
            Some(before) if wrap != NO_WRAP && before > 0 && before < len => {
                [slice(start, before), slice(0, len.wrapping_sub(before))]
            }
            _ => [slice(start, len), &[]],
        }
    }
}
