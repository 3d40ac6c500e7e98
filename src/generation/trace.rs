//! A trace as a whole: its version, its batches, and its generations.

use super::split::{Finish, Split, Splitter};
use super::tables::sync_of;
use crate::error::{Error, ErrorKind};
use crate::ids::{GenerationId, Offset};
use crate::num;
use crate::time::{ClockSnapshot, Frequency, Time, Timestamp};
use crate::wire::Pieces;
use crate::wire::{Batch, Batches, Chunk, Contents, Version};
use core::iter::FusedIterator;

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
    /// those fails with [`NoGenerations`](ErrorKind::NoGenerations).
    ///
    /// Errors: those of [`Version::from_header`], and without `alloc`
    /// [`NoGenerations`](ErrorKind::NoGenerations).
    pub fn new(bytes: &'t [u8]) -> Result<Self, Error> {
        Self::open(Pieces::new(bytes))
    }

    /// The trace in several pieces, which may be cut between any two batches but not inside one:
    /// the slices of a ring, or a flight recorder's snapshot. The header is in the first.
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
                return Err(Error::at(ErrorKind::SplitBatch, missing, at));
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

    /// The batches, in the order in which they are in the trace.
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
        Generations::new(self.version, self.batches())
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
    /// Whether the generation ends where one should: since 1.26 at its marker; before at the next
    /// one or at the end of the trace.
    pub complete: bool,
}

impl Generation {
    /// The one that this batch begins, without it.
    const fn beginning_with(batch: &Batch<'_>) -> Generation {
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

    fn add(&mut self, batch: &Batch<'_>, version: Version) {
        self.batches = self.batches.saturating_add(1);
        self.end = batch.end();
        self.earliest = earliest(self.earliest, batch.head.time);
        if batch.contents() == Contents::Sync {
            // A damaged sync batch is an error when the generation is read.
            let (frequency, snapshot) = sync_of(batch, version).unwrap_or_default();
            self.frequency = self.frequency.or(frequency);
            if let (Some(f), Some(s)) = (self.frequency, snapshot) {
                self.clock = self.clock.or(Some(s.with(f)));
            }
        }
    }

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
    splitter: Splitter,
    /// The first batch of the next generation, met while looking for the end of one.
    ahead: Option<Chunk<'t>>,
    error: Option<Error>,
    done: bool,
}

impl<'t> Generations<'t> {
    pub(crate) const fn new(version: Version, batches: Batches<'t>) -> Self {
        Generations {
            version,
            batches,
            splitter: Splitter::new(version),
            ahead: None,
            error: None,
            done: false,
        }
    }
}

impl Generations<'_> {
    /// The next generation; `None` after the last.
    ///
    /// Errors: those of [`Batches::next`], [`NotABatch`](ErrorKind::NotABatch) for a marker that
    /// ends nothing or that the version does not have,
    /// [`GenerationOrder`](ErrorKind::GenerationOrder) for a number that does not follow,
    /// [`IncompleteGeneration`](ErrorKind::IncompleteGeneration).
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
        loop {
            let chunk = match self.ahead.take() {
                Some(chunk) => chunk,
                None => match self.batches.next() {
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => return self.finish(found),
                    Err(error) => return self.stop(found, error),
                },
            };
            match (self.splitter.chunk(&chunk), chunk) {
                (Ok(Split::Batch { .. }), Chunk::Batch(batch)) => {
                    let version = self.version;
                    found
                        .get_or_insert_with(|| Generation::beginning_with(&batch))
                        .add(&batch, version);
                }
                (Ok(split), chunk) => {
                    let Some(generation) = &mut found else {
                        continue;
                    };
                    generation.complete = true;
                    if let Split::Before(_) = split {
                        self.ahead = Some(chunk);
                    } else {
                        generation.end = self.batches.offset();
                    }
                    return Ok(found);
                }
                (Err(error), _) => return self.stop(found, error),
            }
        }
    }

    /// The end of the trace, after what was found of a generation.
    fn finish(&mut self, found: Option<Generation>) -> Result<Option<Generation>, Error> {
        let Some(mut generation) = found else {
            self.done = true;
            return Ok(None);
        };
        match self.splitter.finish() {
            // As for Go, which before 1.26 does not ask whether anything is missing.
            Finish::Unended { forgiven: true, .. } if !self.version.has_end_marker() => {
                generation.complete = true;
                self.done = true;
            }
            Finish::Closed | Finish::Ends(_) => {
                generation.complete = true;
                self.done = true;
            }
            Finish::Unended { number, .. } => {
                let end = generation.end.0;
                let kind = ErrorKind::IncompleteGeneration;
                self.error = Some(Error::at(kind, number.get(), end));
            }
        }
        Ok(Some(generation))
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
}

/// The earlier of two batch times, where 0 means none yet, as it does for Go.
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

impl FusedIterator for Generations<'_> {}
