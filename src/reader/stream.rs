//! Reading a trace as it comes: from a file, a pipe, a socket.
//!
//! The engine is the one that reads slices. Here its input is a buffer that holds one generation;
//! when the next one is due, the names of open tasks and regions are carried over to the front of
//! the buffer, and everything else makes room.

use super::engine::Engine;
use crate::error::Error;
use crate::event::Event;
use crate::ids::{GenerationId, Offset};
use crate::input::{Input, Place, Span};
use crate::num;
use crate::storage::{Growing, Storage};
use crate::wire::{Contents, HEADER_LEN, Head, Version};
use alloc::vec::Vec;
use core::fmt;
use std::io::{self, Read};

/// How much is asked of the source at once, at least: the largest batch.
const CHUNK: usize = 64 << 10;

/// Reads the events of a trace from anything that implements [`Read`], in the order in which they
/// happened (`trace.NewReader`).
///
/// It holds one generation at a time, and gives the events of a generation when it has all of it.
/// Events and what they give out borrow the reader, until the next one is asked for. Sources are
/// read in pieces of 64 KiB and more: a buffered reader around them gains nothing.
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
    /// Carried names, then a generation, then what was read beyond it.
    buffer: Vec<u8>,
    /// Where the generation ends in the buffer.
    end: usize,
    /// How many bytes of the trace stand before the buffer, modulo 2^64: names count as some.
    base: u64,
    /// Nothing follows the generation in the buffer.
    last: bool,
    /// Why the source ended, if it broke.
    broken: Option<io::Error>,
    engine: Engine<S>,
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
    /// Errors: those of the source, of [`Version::from_header`], and
    /// [`OldVersion`](crate::ErrorKind::OldVersion).
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
        let offset = Offset(num::wide(HEADER_LEN));
        Ok(StreamReader {
            source,
            buffer: Vec::new(),
            end: 0,
            base: offset.0,
            last: false,
            broken: None,
            engine: Engine::new(version, Place::default(), offset),
        })
    }

    /// The next event; `None` at the end of the trace and after an error.
    ///
    /// Errors: everything that can be wrong with a trace, as for [`Reader::next`](crate::Reader);
    /// and errors of the source, which come after the events that were read before.
    #[expect(clippy::should_implement_trait, reason = "an event borrows the reader")]
    pub fn next(&mut self) -> Result<Option<Event<'_, '_>>, ReadError> {
        if self.engine.needs_input() && !self.last {
            self.fill();
        }
        let input = Input::new(self.buffer.get(..self.end).unwrap_or(&[])).at(self.base);
        match self.engine.step(&input, self.last) {
            Ok(true) => Ok(Some(self.engine.event(input))),
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

    /// The generation being read: none before the first.
    pub const fn generation(&self) -> Option<GenerationId> {
        self.engine.generation()
    }

    /// The version of the format.
    pub const fn version(&self) -> Version {
        self.engine.version
    }

    /// How far the trace was read: where the generation being read ends.
    pub fn offset(&self) -> Offset {
        self.engine.offset()
    }

    /// The source. What was read beyond the current generation is lost.
    pub fn into_inner(self) -> R {
        self.source
    }

    /// Brings the next generation into the buffer: all of it, or as much as there is.
    fn fill(&mut self) {
        let start = self.carry_names();
        let mut at = start;
        let mut number = None;
        loop {
            let rest = self.buffer.get(at..).unwrap_or(&[]);
            let wanted = match Head::parse(rest) {
                Ok(None) => 1,
                Ok(Some(Head::EndOfGeneration)) => {
                    self.end = at.saturating_add(1);
                    // Before 1.26 there is no such marker: the engine says so.
                    self.last = !self.engine.version.has_end_marker();
                    return;
                }
                Ok(Some(Head::Batch(head))) if rest.len() >= head.total_len() => {
                    let after = at.saturating_add(head.total_len());
                    let data = rest.get(head.header_len..head.total_len()).unwrap_or(&[]);
                    let marker = Contents::of(head.experiment, data) == Contents::EndOfGeneration;
                    let current = *number.get_or_insert(head.generation);
                    if head.generation == current {
                        at = after;
                        if marker {
                            self.end = after;
                            self.last = !self.engine.version.has_end_marker();
                            return;
                        }
                        continue;
                    }
                    let follows = Some(head.generation) == current.next();
                    if follows && !self.engine.version.has_end_marker() {
                        self.end = at;
                        return;
                    }
                    // Out of order: the engine says so.
                    self.end = after;
                    self.last = true;
                    return;
                }
                Ok(Some(Head::Batch(head))) => {
                    // Before 1.26 the next generation's header ends this one, but only the engine's
                    // look at a whole batch tells whether that batch is sound.
                    head.total_len().saturating_sub(rest.len())
                }
                // Damage: the engine says so.
                Err(_) => {
                    self.end = self.buffer.len();
                    self.last = true;
                    return;
                }
            };
            if !self.read_more(wanted) {
                self.end = self.buffer.len();
                self.last = true;
                return;
            }
        }
    }

    /// Moves what outlives the generation to the front of the buffer; gives its length.
    fn carry_names(&mut self) -> usize {
        let mut spans = Vec::new();
        self.engine.names(|span| spans.push(span));
        spans.retain(|span| span.len > 0);
        spans.sort_unstable();
        spans.dedup();
        let mut moved: Vec<u8> = Vec::new();
        let mut places = Vec::with_capacity(spans.len());
        for span in &spans {
            let end = span.at.saturating_add(num::index(span.len));
            places.push(Span {
                at: moved.len(),
                ..*span
            });
            moved.extend_from_slice(self.buffer.get(span.at..end).unwrap_or(&[]));
        }
        let names = moved.len();
        let keep = self.end.min(self.buffer.len());
        self.buffer.splice(..keep, moved);
        let offset = self.engine.offset();
        self.base = offset.0.wrapping_sub(num::wide(names));
        self.end = names;
        self.engine.rebase(
            Place {
                piece: 0,
                at: names,
            },
            |span| {
                let at = spans.binary_search(&span).ok();
                at.and_then(|at| places.get(at))
                    .copied()
                    .unwrap_or_default()
            },
        );
        names
    }

    /// Reads at least one byte into the buffer, and `wanted` if they come at once; says whether the
    /// source goes on.
    fn read_more(&mut self, wanted: usize) -> bool {
        let len = self.buffer.len();
        let more = wanted.max(CHUNK);
        // By a quarter at most: a generation may be large, and room for two of it a burden.
        if self.buffer.capacity().saturating_sub(len) < more {
            self.buffer.reserve_exact(more.max(len.wrapping_shr(2)));
        }
        self.buffer.resize(len.saturating_add(more), 0);
        let read = loop {
            match self
                .source
                .read(self.buffer.get_mut(len..).unwrap_or(&mut []))
            {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let read = read.unwrap_or_else(|error| {
            self.broken = Some(error);
            0
        });
        self.buffer.truncate(len.saturating_add(read));
        read > 0
    }
}

impl<R, S: Storage> fmt::Debug for StreamReader<R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader")
            .field("version", &self.engine.version)
            .field("generation", &self.engine.generation())
            .field("offset", &self.engine.offset())
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
