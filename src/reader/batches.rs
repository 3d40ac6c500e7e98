//! The batches of a trace as it comes.

use super::ReadError;
use crate::error::{Error, ErrorKind};
use crate::ids::Offset;
use crate::num;
use crate::wire::{Batch, Chunk, HEADER_LEN, Head, Version};
use alloc::vec::Vec;
use core::fmt;
use std::io::{self, Read};

/// How much is held: a few of the largest batches.
const BUFFER: usize = 256 << 10;

/// The batches of a trace from anything that implements [`Read`], in the order in which they are
/// in the trace: what [`Trace::batches`](crate::Trace::batches) gives of a slice.
///
/// Nothing but their headers is judged. Takes 256 KiB, however long the trace is. After an error
/// there is nothing more.
///
/// ```
/// use gotrace::{reader::StreamBatches, wire::Footprint};
///
/// let file = std::fs::File::open("tests/fixtures/cgo-go1.27.trace")?;
/// let mut batches = StreamBatches::new(file)?;
/// let mut footprint = Footprint::new();
/// while let Some(chunk) = batches.next()? {
///     footprint.add(&chunk)?;
/// }
/// assert_eq!(footprint.total().bytes + footprint.padding() + 16, 5563);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StreamBatches<R> {
    source: R,
    version: Version,
    /// Filled up to `filled`, given up to `given`.
    buffer: Vec<u8>,
    given: usize,
    filled: usize,
    /// Where what was not given begins in the trace.
    offset: u64,
    done: bool,
}

impl<R: Read> StreamBatches<R> {
    /// The batches of a trace, whose header is read.
    ///
    /// Errors: those of the source, of [`Version::from_header`], and
    /// [`NoGenerations`](ErrorKind::NoGenerations).
    pub fn new(mut source: R) -> Result<Self, ReadError> {
        let mut header = Vec::with_capacity(HEADER_LEN);
        let len = num::wide(HEADER_LEN);
        source.by_ref().take(len).read_to_end(&mut header)?;
        Ok(StreamBatches {
            source,
            version: Version::from_header(&header)?.needing_generations()?,
            buffer: alloc::vec![0; BUFFER],
            given: 0,
            filled: 0,
            offset: len,
            done: false,
        })
    }

    /// The version of the format.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Where the next batch begins, and every one before it ends.
    pub const fn offset(&self) -> Offset {
        Offset(self.offset)
    }

    /// The source. What was read and not given is lost.
    pub fn into_inner(self) -> R {
        self.source
    }

    /// The next batch or end of a generation; `None` at the end of the trace.
    ///
    /// Errors: those of the source, which come after all that was whole before; and of
    /// [`Batches::next`](crate::wire::Batches::next).
    #[expect(clippy::should_implement_trait, reason = "a batch borrows the buffer")]
    pub fn next(&mut self) -> Result<Option<Chunk<'_>>, ReadError> {
        if self.done {
            return Ok(None);
        }
        // Until a whole batch is there.
        self.done = true;
        let head = match self.whole()? {
            Some(head) => head,
            None => return Ok(None),
        };
        self.done = false;
        let offset = Offset(self.offset);
        let (start, len) = (self.given, len_of(&head));
        self.given = start.saturating_add(len);
        self.offset = self.offset.wrapping_add(num::wide(len));
        let bytes = self.buffer.get(start..self.given).unwrap_or(&[]);
        Ok(Some(match head {
            Head::EndOfGeneration => Chunk::EndOfGeneration(offset),
            Head::Batch(head) => Chunk::Batch(Batch {
                head,
                data: bytes.get(head.header_len..).unwrap_or(&[]),
                offset,
            }),
        }))
    }

    /// What there is of the batch that the end of the trace cuts off, after
    /// [`next`](StreamBatches::next) gave the error that says so.
    pub fn cut(&self) -> Option<Batch<'_>> {
        let rest = self.buffer.get(self.given..self.filled)?;
        Batch::cut(rest, Offset(self.offset)).filter(|_| self.done)
    }

    /// The header of what comes next, all of which is in the buffer then.
    fn whole(&mut self) -> Result<Option<Head>, ReadError> {
        loop {
            let rest = self.buffer.get(self.given..self.filled).unwrap_or(&[]);
            let place = self.offset;
            let head = Head::parse(rest)
                .map_err(|e| Error::at(e.kind(), e.value(), place.wrapping_add(e.offset().0)))?;
            let missing = match head {
                Some(head) if len_of(&head) <= rest.len() => return Ok(Some(head)),
                Some(head) => len_of(&head).saturating_sub(rest.len()),
                None => 1,
            };
            let len = num::wide(rest.len());
            if self.read()? > 0 {
                continue;
            }
            if len == 0 {
                return Ok(None);
            }
            let end = place.wrapping_add(len);
            let error = Error::at(ErrorKind::UnexpectedEnd, num::wide(missing), end);
            return Err(error.into());
        }
    }

    /// Reads behind what is there; gives how many bytes, 0 at the end.
    fn read(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.given..self.filled, 0);
        self.filled = self.filled.saturating_sub(self.given);
        self.given = 0;
        let free = self.buffer.get_mut(self.filled..).unwrap_or(&mut []);
        let read = loop {
            match self.source.read(free) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.filled = self.filled.saturating_add(read).min(self.buffer.len());
        Ok(read)
    }
}

/// The length of what a header begins.
fn len_of(head: &Head) -> usize {
    match head {
        Head::Batch(head) => head.total_len(),
        Head::EndOfGeneration => 1,
    }
}

impl<R> fmt::Debug for StreamBatches<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamBatches")
            .field("version", &self.version)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}
