//! Reading a trace as it comes: from a file, a pipe, a socket.

use super::window::Window;
use crate::error::Error;
use crate::event::Event;
use crate::generation::{Split, Splitter};
use crate::ids::{GenerationId, Offset};
use crate::num;
use crate::tables::{Growing, Storage};
use crate::wire::{HEADER_LEN, Version};
use alloc::vec::Vec;
use core::fmt;
use std::io::{self, Read};

/// How much is asked of the source at once: twice what it gave last, from the one to the other, since
/// what is asked for must be cleared before.
const SMALLEST: usize = 4 << 10;
const LARGEST: usize = 64 << 10;

/// Reads the events of a trace from anything that implements [`Read`], in the order in which they
/// happened (`trace.NewReader`).
///
/// It holds one generation at a time, or a few that are small, and gives the events of a generation
/// when it has all of it. A trace of before Go 1.22 is one piece: it is held as a whole. Events and what they give out borrow the reader, until the next one is
/// asked for. Sources are read in pieces of up to 64 KiB, as large as they give: a buffered reader
/// around them gains nothing.
///
/// ```
/// use gotrace::StreamReader;
///
/// let file = std::fs::File::open("tests/fixtures/gc-go1.23.trace")?;
/// let mut reader = StreamReader::new(file)?;
/// let mut events = 0;
/// while let Some(event) = reader.next()? {
///     events += 1;
/// }
/// assert_eq!(events, 12367);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StreamReader<R, S: Storage = Growing> {
    source: R,
    window: Window<S>,
    splitter: Splitter,
    /// How much to ask for.
    ask: usize,
    /// Why the source ended, if it broke.
    broken: Option<io::Error>,
}

/// What can go wrong while a trace is read from a stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The source could not be read.
    Io(io::Error),
    /// The trace is damaged.
    Trace(Error),
}

impl<R: Read> StreamReader<R> {
    /// A reader with tables that grow. Reads the trace's header.
    ///
    /// Errors: those of the source, and of [`Version::from_header`].
    pub fn new(source: R) -> Result<Self, ReadError> {
        Self::with_storage(source)
    }
}

impl<R: Read, S: Storage> StreamReader<R, S> {
    /// A reader with tables of a storage of your choice; otherwise as [`new`](StreamReader::new).
    pub fn with_storage(mut source: R) -> Result<Self, ReadError> {
        let mut header = Vec::with_capacity(HEADER_LEN);
        source
            .by_ref()
            .take(num::wide(HEADER_LEN))
            .read_to_end(&mut header)?;
        let version = crate::Trace::new(&header)?.version();
        Ok(StreamReader {
            source,
            window: Window::new(version),
            splitter: Splitter::new(version),
            ask: SMALLEST,
            broken: None,
        })
    }

    /// The next event; `None` at the end of the trace and after an error.
    ///
    /// Errors: everything that can be wrong with a trace, as for [`Reader::next`](crate::Reader);
    /// and errors of the source, which come after the events that were read before.
    #[expect(clippy::should_implement_trait, reason = "an event borrows the reader")]
    pub fn next(&mut self) -> Result<Option<Event<'_, '_>>, ReadError> {
        if self.window.is_read() {
            self.fill();
        }
        match self.window.step() {
            Ok(true) => Ok(Some(self.window.event())),
            // What a broken source cut off is not the trace's fault.
            Ok(false) => self
                .broken
                .take()
                .map_or(Ok(None), |error| Err(ReadError::Io(error))),
            Err(error) => Err(self
                .broken
                .take()
                .map_or(ReadError::Trace(error), ReadError::Io)),
        }
    }

    /// Whether the next event has to be waited for, if the source has nothing yet: a good time to
    /// show what was made of the events so far.
    pub fn will_read(&self) -> bool {
        self.window.is_read()
    }

    /// The generation being read: none before the first.
    pub const fn generation(&self) -> Option<GenerationId> {
        self.window.generation()
    }

    /// The version of the format.
    pub const fn version(&self) -> Version {
        self.window.version()
    }

    /// How far the trace was read: where the generation being read ends.
    pub fn offset(&self) -> Offset {
        self.window.offset()
    }

    /// The source. What was read beyond the current generation is lost.
    pub fn into_inner(self) -> R {
        self.source
    }

    /// Brings the next generation into the window: all of it, or as much as there is.
    fn fill(&mut self) {
        let mut at = self.window.advance();
        if !self.version().has_generations() {
            // It is one piece, and its clock's frequency is at the end.
            while self.read_more(0) {}
            return self.window.ends_at(usize::MAX, true);
        }
        loop {
            let wanted = match self.splitter.next(self.window.beyond(at)) {
                Ok(Split::Batch(head)) => {
                    at = at.saturating_add(head.total_len());
                    continue;
                }
                Ok(Split::End { marker_len, .. }) => {
                    self.window.ends_at(at.saturating_add(marker_len), false);
                    return;
                }
                Ok(Split::Need(more)) => more,
                // Damage: the engine says so.
                Err(_) => 0,
            };
            if wanted == 0 || !self.read_more(wanted) {
                self.window.ends_at(usize::MAX, true);
                return;
            }
        }
    }

    /// Reads at least one byte into the buffer, which will have to hold `wanted`; says whether the
    /// source goes on.
    fn read_more(&mut self, wanted: usize) -> bool {
        let buffer = &mut self.window.buffer;
        let len = buffer.len();
        let more = wanted.max(self.ask);
        // By a quarter at most: a generation may be large, and room for two of it a burden.
        if buffer.capacity().saturating_sub(len) < more {
            buffer.reserve_exact(more.max(len.wrapping_shr(2)));
        }
        buffer.resize(len.saturating_add(self.ask), 0);
        let read = loop {
            match self.source.read(buffer.get_mut(len..).unwrap_or(&mut [])) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let read = read.unwrap_or_else(|error| {
            self.broken = Some(error);
            0
        });
        buffer.truncate(len.saturating_add(read));
        let ask = read.saturating_mul(2).next_power_of_two();
        self.ask = ask.clamp(SMALLEST, LARGEST);
        read > 0
    }
}

impl<R, S: Storage> fmt::Debug for StreamReader<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader")
            .field("version", &self.window.version())
            .field("generation", &self.window.generation())
            .field("offset", &self.window.offset())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Io(error) => error.fmt(f),
            ReadError::Trace(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            ReadError::Io(error) => Some(error),
            ReadError::Trace(error) => Some(error),
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Io(error)
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        ReadError::Trace(error)
    }
}
