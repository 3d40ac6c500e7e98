//! What takes how much of a trace: records and bytes by type, as `go tool trace -d=footprint`
//! counts them.

use super::batch::{Batch, BatchHead, Chunk, Contents};
use super::event::{TimedEvent, decode};
use super::fields::Fields;
use super::record::Record;
use super::spec::EventType;
use crate::error::Error;
use crate::ids::ThreadId;
use crate::num;
use crate::time::Timestamp;
use crate::varint;

/// How many records of a type there are, and how many bytes they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Tally {
    /// Records.
    pub count: u64,
    /// Bytes, without padding in the headers of batches.
    pub bytes: u64,
}

/// The records of a trace by type, counted in one pass over its batches.
///
/// A batch's header counts as a record, without its payload; an experimental batch counts with it.
/// Go's runtime pads the length in a batch's header to ten bytes, which Go's footprint leaves out:
/// here it is [counted apart](Footprint::padding), so that everything adds up to the length of the
/// trace. Takes 4 KiB.
///
/// ```
/// use gotrace::{Trace, wire::{EventType, Footprint}};
///
/// let bytes = include_bytes!("../../tests/fixtures/cgo-go1.27.trace");
/// let trace = Trace::new(bytes)?;
/// let mut footprint = Footprint::new();
/// for chunk in trace.batches() {
///     footprint.add(&chunk?)?;
/// }
/// assert_eq!(footprint.of(EventType::GO_CREATE_SYSCALL).count, 12);
/// let header = 16;
/// assert_eq!(header + footprint.total().bytes + footprint.padding(), trace.len());
/// # Ok::<(), gotrace::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Footprint {
    tallies: [Tally; 256],
    padding: u64,
}

impl Default for Footprint {
    fn default() -> Self {
        Self::new()
    }
}

impl Footprint {
    /// Nothing counted yet.
    pub const fn new() -> Self {
        Footprint {
            tallies: [Tally { count: 0, bytes: 0 }; 256],
            padding: 0,
        }
    }

    /// Counts a batch and the records in it, or an end of generation. Gives the time of the batch's
    /// last event: the batch's own time if it holds none.
    ///
    /// Errors: all that can be wrong with a single record; those before it are counted.
    pub fn add(&mut self, chunk: &Chunk<'_>) -> Result<Option<Timestamp>, Error> {
        match chunk {
            Chunk::Batch(batch) => self.batch(batch).map(Some),
            Chunk::EndOfGeneration(_) => {
                self.count(EventType::END_OF_GENERATION, 1);
                Ok(None)
            }
        }
    }

    fn batch(&mut self, batch: &Batch<'_>) -> Result<Timestamp, Error> {
        let head = &batch.head;
        let len = canonical_len(head);
        self.padding = self
            .padding
            .wrapping_add(num::wide(head.header_len.saturating_sub(len)));
        if head.experiment.is_some() {
            let len = len.saturating_add(batch.data.len());
            self.count(EventType::EXPERIMENTAL_BATCH, len);
            return Ok(head.time);
        }
        self.count(EventType::EVENT_BATCH, len);

        if batch.contents() == Contents::EndOfGeneration {
            self.count(EventType::END_OF_GENERATION, batch.data.len());
            return Ok(head.time);
        }

        let mut time = head.time.0;
        let mut at = 0usize;
        while at < batch.data.len() {
            let mut event = TimedEvent::default();
            let next = match decode(batch.data, at, &mut event) {
                Ok(next) => next,
                // A section of a table, or damage.
                Err(_) => {
                    let base = batch.data_offset().0.wrapping_add(num::wide(at));
                    let rest = batch.data.get(at..).unwrap_or(&[]);
                    let mut fields = Fields::new(rest, base);
                    let record = fields.record()?;
                    event.ty = record.ty();
                    if let Record::Event(record) = record {
                        event.dt = record.dt;
                    }
                    at.wrapping_add(fields.position())
                }
            };
            self.count(event.ty, next.wrapping_sub(at));
            time = time.wrapping_add(event.dt);
            at = next;
        }
        Ok(Timestamp(time))
    }

    #[inline(always)]
    fn count(&mut self, ty: EventType, bytes: usize) {
        // Every number of eight bits has an entry.
        if let Some(tally) = self.tallies.get_mut(usize::from(ty.0)) {
            tally.count = tally.count.wrapping_add(1);
            tally.bytes = tally.bytes.wrapping_add(num::wide(bytes));
        }
    }

    /// What was counted of a type.
    pub fn of(&self, ty: EventType) -> Tally {
        self.tallies
            .get(usize::from(ty.0))
            .copied()
            .unwrap_or_default()
    }

    /// The types of which there are any, by number.
    pub fn iter(&self) -> impl Iterator<Item = (EventType, Tally)> + '_ {
        (0u8..=u8::MAX)
            .map(EventType)
            .zip(self.tallies.iter().copied())
            .filter(|(_, tally)| tally.count > 0)
    }

    /// Everything together.
    pub fn total(&self) -> Tally {
        self.tallies.iter().fold(Tally::default(), |sum, t| Tally {
            count: sum.count.wrapping_add(t.count),
            bytes: sum.bytes.wrapping_add(t.bytes),
        })
    }

    /// Bytes that the headers of batches are longer than they need be.
    pub const fn padding(&self) -> u64 {
        self.padding
    }
}

/// The length of a batch's header without padding.
fn canonical_len(head: &BatchHead) -> usize {
    let numbers = [
        head.generation.get(),
        ThreadId::raw(head.thread),
        head.time.0,
        num::wide(head.data_len),
    ];
    let first = if head.experiment.is_some() { 2usize } else { 1 };
    numbers
        .into_iter()
        .fold(first, |sum, n| sum.saturating_add(varint::len(n)))
}
