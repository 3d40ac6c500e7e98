//! Reading a trace as it comes: from a file, a pipe, a socket.

use super::window::Window;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::generation::{Split, Splitter};
use crate::ids::{GenerationId, Offset};
use crate::num;
use crate::tables::{Growing, Storage};
use crate::wire::{HEADER_LEN, Head, Version};
use alloc::vec::Vec;
use core::fmt;
use std::io::{self, Read};

/// How much is asked of the source at once: twice what it gave last, from the one to the other, since
/// what is asked for must be cleared before.
const SMALLEST: usize = 4 << 10;
const LARGEST: usize = 64 << 10;

/// How many bytes a generation of a stream may have without being asked for: 1 GiB. A generation is
/// about a second of the traced program, some hundred megabytes where many processors are busy.
pub const DEFAULT_GENERATION_LIMIT: u64 = 1 << 30;

/// Reads the events of a trace from anything that implements [`Read`], in the order in which they
/// happened (`trace.NewReader`).
///
/// It holds one generation at a time, or a few that are small, and gives the events of a generation
/// when it has all of it. Events and what they give out borrow the reader, until the next one is
/// asked for. Sources are read in pieces of up to 64 KiB, as large as they give: a buffered reader
/// around them gains nothing.
///
/// Memory is that of the largest generation, and of tables that grow with what is in it; it never
/// grows with what a trace only claims. A generation that goes on and on is an
/// [error](ErrorKind::GenerationTooLarge) at [`DEFAULT_GENERATION_LIMIT`], or
/// [another limit](StreamReader::with_generation_limit).
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
    /// The most bytes of one generation.
    limit: usize,
    /// The source gives nothing more.
    ended: bool,
    /// There was no memory for more.
    starved: bool,
    /// Why, if that is not its end.
    broken: Option<ReadError>,
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
        Ok(StreamReader {
            source,
            window: Window::new(version),
            splitter: Splitter::new(version),
            ask: SMALLEST,
            limit: num::narrow(DEFAULT_GENERATION_LIMIT),
            ended: false,
            starved: false,
            broken: None,
        })
    }

    /// Sets the most bytes that one generation may have, in the place of
    /// [`DEFAULT_GENERATION_LIMIT`]; `u64::MAX` is no limit. The first generation that has more is
    /// not read: [`GenerationTooLarge`](ErrorKind::GenerationTooLarge) comes in its place.
    #[must_use]
    pub fn with_generation_limit(mut self, bytes: u64) -> Self {
        self.limit = num::narrow(bytes);
        self
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
            Ok(false) => self.broken.take().map_or(Ok(None), Err),
            Err(error) => Err(self.broken.take().unwrap_or(ReadError::Trace(error))),
        }
    }

    /// After an error, goes on with the generation after the damaged one, as if the trace began
    /// there; says whether there is one that can be found. As
    /// [`Reader::skip_generation`](crate::Reader::skip_generation).
    ///
    /// Reads until the next generation begins. If the source breaks before, the next
    /// [`next`](StreamReader::next) gives its error.
    pub fn skip_generation(&mut self) -> bool {
        matches!(self.skip(), Ok(true))
    }

    /// How many generations were left out.
    pub const fn generations_skipped(&self) -> u64 {
        self.window.skipped()
    }

    /// Before the first event, goes to the first generation of at least this number, as if the trace
    /// began there; says whether there is one. What comes before it is not kept.
    ///
    /// Errors: those of the source, and what is wrong with the headers of batches before.
    pub fn skip_to(&mut self, number: GenerationId) -> Result<bool, ReadError> {
        loop {
            let at = self.window.start();
            match self.head(at)? {
                Some(Head::Batch(head)) if head.generation >= number => return Ok(true),
                Some(_) => match self.skip() {
                    Ok(true) => {}
                    // What a broken source cut off is not the trace's fault.
                    Ok(false) => return self.broken.take().map_or(Ok(false), Err),
                    Err(error) => return Err(self.broken.take().unwrap_or(error.into())),
                },
                None => return self.broken.take().map_or(Ok(false), Err),
            }
        }
    }

    /// The header of a batch at a place in the buffer, read if it must be.
    fn head(&mut self, at: usize) -> Result<Option<Head>, Error> {
        loop {
            let head = Head::parse(self.window.beyond(at));
            match head.map_err(|error| self.located(error, at))? {
                None if self.read_more(1) => {}
                head => return Ok(head),
            }
        }
    }

    /// An error at a place in the buffer.
    fn located(&self, error: Error, at: usize) -> Error {
        let offset = self.window.offset_of(at).wrapping_add(error.offset().0);
        Error::new(error.kind(), error.value(), offset)
    }

    /// Starts again after the generation being read; says whether something follows it.
    fn skip(&mut self) -> Result<bool, Error> {
        let mut at = self.window.start();
        let mut splitter = Splitter::new(self.version());
        let next = loop {
            match splitter.next(self.window.beyond(at)) {
                Ok(Split::Batch(head)) => at = at.saturating_add(head.total_len()),
                Ok(Split::End { marker_len, .. }) => break at.saturating_add(marker_len),
                Ok(Split::Need(more)) => {
                    if !self.read_more(more) {
                        return self.ends_inside(&mut splitter, at, more);
                    }
                }
                // A generation that is not the next one, or one that is not ended: a start.
                Err(error) if error.kind() == ErrorKind::GenerationOrder => break at,
                Err(error) => return Err(self.located(error, at)),
            }
            // Of what was never looked at, nothing is missed.
            if at >= LARGEST && self.generation().is_none() {
                self.window.discard(at);
                at = 0;
            }
        };
        while let Split::Need(more) = self.first_at(next)? {
            if !self.read_more(more) {
                return Ok(false);
            }
        }
        self.window.restart(next);
        self.splitter = Splitter::new(self.version());
        Ok(true)
    }

    /// The source ends, and the generation being passed does not: `more` bytes are missing to what is
    /// at a place in the buffer.
    fn ends_inside(&self, splitter: &mut Splitter, at: usize, more: usize) -> Result<bool, Error> {
        let left = self.window.beyond(at).len();
        let end = self.window.offset_of(at.saturating_add(left));
        if left > 0 {
            return Err(Error::new(ErrorKind::UnexpectedEnd, num::wide(more), end));
        }
        // Before 1.26 this is how the last one ends.
        if self.version().has_end_marker() {
            let finished = splitter.finish();
            finished.map_err(|error| Error::new(error.kind(), error.value(), end))?;
        }
        Ok(false)
    }

    /// What a generation that begins at a place in the buffer begins with.
    fn first_at(&self, at: usize) -> Result<Split, Error> {
        let split = Splitter::new(self.version()).next(self.window.beyond(at));
        split.map_err(|error| self.located(error, at))
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
        let start = at;
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
            let room = self.limit.saturating_sub(at.saturating_sub(start));
            if wanted > room {
                self.refuse(start, self.limit);
                return;
            }
            if wanted == 0 || !self.read_more(wanted) {
                if self.starved {
                    self.refuse(start, at.saturating_sub(start));
                } else {
                    self.window.ends_at(usize::MAX, true);
                }
                return;
            }
        }
    }

    /// Gives an error in the place of the generation that begins at `start`, which takes too much.
    fn refuse(&mut self, start: usize, limit: usize) {
        let offset = self.window.offset_of(start);
        let error = Error::new(ErrorKind::GenerationTooLarge, num::wide(limit), offset);
        self.broken = Some(error.into());
        self.ended = true;
        self.window.buffer.truncate(start);
        self.window.buffer.shrink_to_fit();
        self.window.ends_at(start, true);
    }

    /// Reads at least one byte into the buffer, which will have to hold `wanted`; says whether the
    /// source goes on.
    fn read_more(&mut self, wanted: usize) -> bool {
        if self.ended {
            return false;
        }
        let buffer = &mut self.window.buffer;
        let len = buffer.len();
        let more = wanted.max(self.ask);
        // By a quarter at most: a generation may be large, and room for two of it a burden.
        if buffer.capacity().saturating_sub(len) < more {
            let room = buffer.try_reserve_exact(more.max(len.wrapping_shr(2)));
            // Less may be had.
            if room.is_err() && buffer.try_reserve_exact(more).is_err() {
                self.ended = true;
                self.starved = true;
                return false;
            }
        }
        buffer.resize(len.saturating_add(self.ask), 0);
        let read = loop {
            match self.source.read(buffer.get_mut(len..).unwrap_or(&mut [])) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let read = read.unwrap_or_else(|error| {
            self.broken = Some(error.into());
            0
        });
        buffer.truncate(len.saturating_add(read));
        let ask = read.saturating_mul(2).next_power_of_two();
        self.ask = ask.clamp(SMALLEST, LARGEST);
        self.ended = read == 0;
        !self.ended
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
