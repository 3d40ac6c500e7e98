//! What ends a generation: its clock, its stacks and strings, its marker.

use super::sink::{Length, Sink};
use crate::error::Error;
use crate::ids::GenerationId;
use crate::num;
use crate::string::GoStr;
use crate::time::{Timestamp, WallTime};
use crate::wire::{
    BatchHead, Encoder, EventType, MAX_BATCH_SIZE, MAX_STRING_SIZE, RawFrame, StringRecord, Version,
};

/// The clocks of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Clocks {
    /// A reading of the trace clock: the time of the tables' batches.
    pub time: Timestamp,
    /// The trace clock's units a second.
    pub hertz: u64,
    /// The monotonic clock at that time, in nanoseconds.
    pub mono: u64,
    /// The wall clock at that time.
    pub wall: WallTime,
}

/// The tables that follow a generation's event batches, and the end of the generation.
///
/// Iterators give their entries: they are gone through twice, to know how long what they give is
/// before it is written. Each id must come once. Nothing else is stored: an entry goes from where it
/// is kept to the sink, and a section that exceeds what a batch may have is divided.
///
/// ```
/// use gotrace::emit::{Clocks, TableWriter};
/// use gotrace::ids::GenerationId;
/// use gotrace::time::{Timestamp, WallTime};
/// use gotrace::wire::{RawFrame, StringRecord, Version};
/// use gotrace::GoStr;
///
/// let tables = TableWriter {
///     version: Version::CURRENT,
///     generation: GenerationId::new(1).unwrap(),
///     clocks: Clocks {
///         time: Timestamp(5),
///         hertz: 1_000_000,
///         mono: 5000,
///         wall: WallTime::new(1_700_000_000, 0),
///     },
///     strings: [StringRecord { id: 1, data: GoStr::from("main") }].into_iter(),
///     stacks: [(1, [RawFrame { pc: 1, func: 1, file: 0, line: 7 }])].into_iter(),
/// };
/// let mut bytes = Vec::new();
/// tables.write(&mut bytes);
/// assert_eq!(bytes.len(), tables.encoded_len());
/// ```
#[derive(Clone, Debug)]
pub struct TableWriter<S, K> {
    /// The version to write.
    pub version: Version,
    /// The generation.
    pub generation: GenerationId,
    /// Its clocks.
    pub clocks: Clocks,
    /// The string table. What exceeds [`MAX_STRING_SIZE`] bytes of a string is cut off.
    pub strings: S,
    /// The stack table: ids, and frames, the innermost first, at most
    /// [`MAX_FRAMES`](crate::wire::MAX_FRAMES).
    pub stacks: K,
}

impl<'a, S, K, F> TableWriter<S, K>
where
    S: Iterator<Item = StringRecord<'a>> + Clone,
    K: Iterator<Item = (u64, F)> + Clone,
    F: IntoIterator<Item = RawFrame, IntoIter: ExactSizeIterator + Clone>,
{
    /// How many bytes [`write`](TableWriter::write) writes.
    pub fn encoded_len(&self) -> usize {
        let mut length = Length::default();
        self.write(&mut length);
        length.0
    }

    /// Writes the tables, and from Go 1.26 on the marker. `out` has room for them.
    pub fn write(&self, out: &mut impl Sink) {
        let Clocks {
            hertz, mono, wall, ..
        } = self.clocks;
        self.batch(out, |out| out.sync(hertz, mono, wall));
        let stacks = self.stacks.clone().map(|(id, frames)| StackEntry {
            id,
            frames: frames.into_iter(),
        });
        self.section(out, EventType::STACKS, stacks);
        self.section(out, EventType::STRINGS, self.strings.clone().map(cut));
        if self.version.has_end_marker() {
            out.put(&[EventType::END_OF_GENERATION.0]);
        }
    }

    fn head(&self, size: usize) -> BatchHead {
        BatchHead {
            data_len: size,
            ..BatchHead::new(self.generation, None, self.clocks.time)
        }
    }

    /// A batch of a few bytes.
    fn batch(
        &self,
        out: &mut impl Sink,
        payload: impl FnOnce(&mut Encoder<'_>) -> Result<(), Error>,
    ) {
        let mut buffer = [0; Encoder::SYNC_LEN];
        let mut encoder = Encoder::for_version(&mut buffer, self.version);
        let fits = payload(&mut encoder);
        debug_assert!(fits.is_ok());
        put_head(out, &self.head(encoder.len()));
        out.put(encoder.bytes());
    }

    /// A section of a table, in as many batches as it takes.
    fn section<E: Entry>(
        &self,
        out: &mut impl Sink,
        ty: EventType,
        mut entries: impl Iterator<Item = E> + Clone,
    ) {
        loop {
            let (mut size, mut count) = (1usize, 0usize);
            for entry in entries.clone() {
                let more = size.saturating_add(entry.len());
                if num::wide(more) > MAX_BATCH_SIZE {
                    break;
                }
                size = more;
                count = count.wrapping_add(1);
            }
            if count == 0 {
                break;
            }
            put_head(out, &self.head(size));
            out.put(&[ty.0]);
            entries.by_ref().take(count).for_each(|e| e.write(out));
        }
    }
}

/// Writes the header of a batch, whose payload follows.
pub(super) fn put_head(out: &mut impl Sink, head: &BatchHead) {
    let mut buffer = [0; BatchHead::MAX_LEN];
    let mut encoder = Encoder::new(&mut buffer);
    let fits = encoder.head(head, num::wide(head.data_len));
    debug_assert!(fits.is_ok());
    out.put(encoder.bytes());
}

/// Writes a few bytes that an encoder makes.
fn put_staged(out: &mut impl Sink, write: impl FnOnce(&mut Encoder<'_>) -> Result<(), Error>) {
    let mut buffer = [0; 64];
    let mut encoder = Encoder::new(&mut buffer);
    let fits = write(&mut encoder);
    debug_assert!(fits.is_ok());
    out.put(encoder.bytes());
}

/// An entry of a table.
trait Entry {
    fn len(&self) -> usize;
    fn write(self, out: &mut impl Sink);
}

fn cut(string: StringRecord<'_>) -> StringRecord<'_> {
    let bytes = string.data.as_bytes();
    let most = num::narrow(MAX_STRING_SIZE);
    StringRecord {
        data: GoStr::new(bytes.get(..most).unwrap_or(bytes)),
        ..string
    }
}

impl Entry for StringRecord<'_> {
    fn len(&self) -> usize {
        self.encoded_len()
    }

    fn write(self, out: &mut impl Sink) {
        let bytes = self.data.as_bytes();
        put_staged(out, |out| out.string_head(self.id, num::wide(bytes.len())));
        out.put(bytes);
    }
}

struct StackEntry<F> {
    id: u64,
    frames: F,
}

impl<F: ExactSizeIterator<Item = RawFrame> + Clone> Entry for StackEntry<F> {
    fn len(&self) -> usize {
        let mut length = Length::default();
        let entry = StackEntry {
            id: self.id,
            frames: self.frames.clone(),
        };
        entry.write(&mut length);
        length.0
    }

    fn write(self, out: &mut impl Sink) {
        let depth = num::wide(self.frames.len());
        put_staged(out, |out| out.stack_head(self.id, depth));
        for frame in self.frames {
            put_staged(out, |out| out.frame(&frame));
        }
    }
}
