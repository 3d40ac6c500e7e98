//! A trace as a whole: its version, its batches, and its generations.

use super::tables::sync_of;
use crate::error::{Error, ErrorKind};
use crate::ids::{GenerationId, Offset};
use crate::num;
use crate::time::{ClockSnapshot, Frequency, Time, Timestamp};
use crate::wire::Pieces;
use crate::wire::{Batches, Chunk, Contents, Version};

/// A trace in memory: a file map, a DMA buffer, a ring.
///
/// Cheap to copy; everything read from it borrows from the bytes, not from this value.
#[derive(Clone, Copy, Debug)]
pub struct Trace<'t> {
    pub(crate) input: Pieces<'t>,
    version: Version,
}

impl<'t> Trace<'t> {
    /// The trace in one slice. Only its header is read.
    ///
    /// Traces of before Go 1.22 are taken if the feature `alloc` is on: [`Trace::reader`] gives their
    /// events. They have no generations and no batches that stand on their own: all that is about
    /// those fails with [`OldVersion`](ErrorKind::OldVersion).
    ///
    /// Errors: those of [`Version::from_header`], and without `alloc`
    /// [`OldVersion`](ErrorKind::OldVersion).
    pub fn new(bytes: &'t [u8]) -> Result<Self, Error> {
        Self::open(Pieces::new(bytes))
    }

    /// The trace in several pieces, which may be cut between any two batches but not inside one:
    /// the slices of a ring, or a flight recorder's snapshot. The header stands in the first.
    ///
    /// Errors: as for [`new`](Trace::new), and [`SplitBatch`](ErrorKind::SplitBatch) for a trace of
    /// before Go 1.22, which must be in one piece. A batch that is cut is an error when it is reached.
    pub fn from_pieces(pieces: &'t [&'t [u8]]) -> Result<Self, Error> {
        Self::open(Pieces::from_pieces(pieces))
    }

    fn open(input: Pieces<'t>) -> Result<Self, Error> {
        let version = Version::from_header(input.piece(0).unwrap_or(&[]))?;
        if cfg!(not(feature = "alloc")) {
            version.needing_generations()?;
        }
        if !version.has_generations() {
            // Nothing says where one could be cut.
            let first = input.piece(0).map_or(0, <[u8]>::len);
            let missing = input.len().saturating_sub(num::wide(first));
            if missing > 0 {
                let at = num::wide(first);
                return Err(Error::new(ErrorKind::SplitBatch, missing, at));
            }
        }
        Ok(Trace { input, version })
    }

    /// The version of the format.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The length in bytes, header included.
    pub fn len(&self) -> u64 {
        self.input.len()
    }

    /// Whether there is nothing after the header.
    pub fn is_empty(&self) -> bool {
        self.len() <= num::wide(crate::wire::HEADER_LEN)
    }

    /// The batches, in the order in which they stand in the trace.
    pub fn batches(&self) -> Batches<'t> {
        Batches::of_trace(self.input).of_version(self.version)
    }

    /// The batches from an offset on, where one must begin: one that [`Batches::offset`] or a
    /// [`Generation`] gave.
    pub fn batches_from(&self, offset: Offset) -> Batches<'t> {
        Batches::from_offset(self.input, offset.0).of_version(self.version)
    }

    /// The generations, found by one pass over the batch headers.
    pub fn generations(&self) -> Generations<'t> {
        Generations {
            version: self.version,
            batches: self.batches(),
            ahead: None,
            error: None,
            done: false,
        }
    }

    /// The generation of this number; `None` if the trace does not have it.
    ///
    /// Errors: what is wrong with the batch headers before it.
    pub fn generation(&self, number: GenerationId) -> Result<Option<Generation>, Error> {
        let mut generations = self.generations();
        while let Some(generation) = generations.next()? {
            if generation.number == number {
                return Ok(Some(generation));
            }
        }
        Ok(None)
    }
}

/// A generation of a trace: what its batch headers and its sync batch say.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Generation {
    /// The number.
    pub number: GenerationId,
    /// Where the first batch begins.
    pub start: Offset,
    /// Where the last batch, or the marker after it, ends.
    pub end: Offset,
    /// The number of batches.
    pub batches: u64,
    /// The earliest time of a batch.
    pub earliest: Timestamp,
    /// The clock frequency, if a sync batch gives one.
    pub frequency: Option<Frequency>,
    /// The clock snapshot, if a sync batch gives one (since Go 1.25).
    pub clock: Option<ClockSnapshot>,
    /// Whether the generation ends where one should: before 1.26 at the next one or at the end of
    /// the trace, since 1.26 at its marker.
    pub complete: bool,
}

impl Generation {
    /// The earliest time of a batch in nanoseconds; `None` without a clock frequency.
    pub fn start_time(&self) -> Option<Time> {
        self.frequency.map(|f| f.time(self.earliest))
    }

    /// The length in bytes.
    pub const fn len(&self) -> u64 {
        self.end.0.saturating_sub(self.start.0)
    }

    /// Whether the generation takes no bytes; none that was found does.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The generations of a trace, in order.
///
/// A generation cut short by the end of the trace, or by damage to a batch header, is given with
/// [`complete`](Generation::complete) false, and then the error. After an error there is nothing
/// more.
#[derive(Clone, Debug)]
pub struct Generations<'t> {
    version: Version,
    batches: Batches<'t>,
    /// The first batch of the next generation, met while looking for the end of one.
    ahead: Option<crate::wire::Batch<'t>>,
    error: Option<Error>,
    done: bool,
}

impl Generations<'_> {
    /// The next generation; `None` after the last.
    ///
    /// Errors: those of [`Batches::next`], [`GenerationOrder`](ErrorKind::GenerationOrder) for a
    /// number that does not follow, [`IncompleteGeneration`](ErrorKind::IncompleteGeneration).
    #[expect(
        clippy::should_implement_trait,
        reason = "fallible: see `Iterator` below"
    )]
    pub fn next(&mut self) -> Result<Option<Generation>, Error> {
        if let Some(error) = self.error.take() {
            self.done = true;
            return Err(error);
        }
        if self.done {
            return Ok(None);
        }
        let mut found: Option<Generation> = None;
        if let Some(batch) = self.ahead.take() {
            found = Some(first(&batch));
            self.add(&mut found, &batch);
        }
        loop {
            let chunk = match self.batches.next() {
                Ok(Some(chunk)) => chunk,
                Ok(None) => {
                    if let Some(generation) = &mut found {
                        // Since 1.26 only a marker ends a generation.
                        generation.complete = !self.version.has_end_marker();
                        if !generation.complete {
                            let number = generation.number.get();
                            let end = generation.end.0;
                            self.error =
                                Some(Error::new(ErrorKind::IncompleteGeneration, number, end));
                        }
                    }
                    self.done = self.error.is_none();
                    return Ok(found);
                }
                Err(error) => return self.stop(found, error),
            };
            match (chunk, &mut found) {
                (Chunk::Batch(batch), None) => {
                    found = Some(first(&batch));
                    self.add(&mut found, &batch);
                }
                (Chunk::Batch(batch), Some(generation)) => {
                    let number = batch.head.generation;
                    if number == generation.number {
                        self.add(&mut found, &batch);
                    } else if !self.version.has_end_marker()
                        && Some(number) == generation.number.next()
                    {
                        generation.complete = true;
                        self.ahead = Some(batch);
                        return Ok(found);
                    } else {
                        let error =
                            Error::new(ErrorKind::GenerationOrder, number.get(), batch.offset.0);
                        return self.stop(found, error);
                    }
                }
                (Chunk::EndOfGeneration(at), _) if !self.version.has_end_marker() => {
                    let error = Error::new(ErrorKind::NotABatch, 52, at.0);
                    return self.stop(found, error);
                }
                (Chunk::EndOfGeneration(_), Some(generation)) => {
                    generation.complete = true;
                    generation.end = self.batches.offset();
                    return Ok(found);
                }
                // A marker without a generation before it ends nothing.
                (Chunk::EndOfGeneration(_), None) => {}
            }
        }
    }

    /// What was found before an error goes first.
    fn stop(
        &mut self,
        found: Option<Generation>,
        error: Error,
    ) -> Result<Option<Generation>, Error> {
        if found.is_some() {
            self.error = Some(error);
            return Ok(found);
        }
        self.done = true;
        Err(error)
    }

    fn add(&self, found: &mut Option<Generation>, batch: &crate::wire::Batch<'_>) {
        let Some(generation) = found else { return };
        generation.batches = generation.batches.saturating_add(1);
        generation.end = batch.end();
        generation.earliest = earliest(generation.earliest, batch.head.time);
        if batch.contents() == Contents::Sync {
            // A damaged sync batch is an error when the generation is read.
            let (frequency, snapshot) = sync_of(batch, self.version).unwrap_or_default();
            generation.frequency = generation.frequency.or(frequency);
            if let (Some(f), Some(s)) = (generation.frequency, snapshot) {
                generation.clock = generation.clock.or(Some(s.with(f)));
            }
        }
    }
}

fn first(batch: &crate::wire::Batch<'_>) -> Generation {
    Generation {
        number: batch.head.generation,
        start: batch.offset,
        end: batch.offset,
        batches: 0,
        earliest: Timestamp(0),
        frequency: None,
        clock: None,
        complete: false,
    }
}

/// The earlier of two batch times, where 0 stands for none yet, as it does for Go.
pub(crate) fn earliest(so_far: Timestamp, time: Timestamp) -> Timestamp {
    if so_far.0 == 0 || time < so_far {
        time
    } else {
        so_far
    }
}

impl Iterator for Generations<'_> {
    type Item = Result<Generation, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Generations::next(self).transpose()
    }
}
