//! Reading a trace as it comes: from a file, a pipe, a socket.

use super::engine::mode::{Mode, Strict};
use super::explain::Explanation;
use super::lenient::{Item, Lenient, Losses};
use super::window::Window;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::generation::{Piece, Skip, Splitter};
use crate::ids::{GenerationId, Offset};
use crate::num;
use crate::tables::{Capacities, Growing, Storage};
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
/// when it has all of it. A trace of before Go 1.22 is one piece, and is held as a whole. Events and
/// what they give out borrow the reader, until the next one is asked for. Sources are read in pieces of
/// up to 64 KiB, as large as they give: a buffered reader around them gains nothing.
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
///
/// `M` is the reader's mode: [`Strict`], or [`Lenient`], whose `next` gives an [`Item`].
pub struct StreamReader<R, S: Storage = Growing, M: Mode = Strict> {
    source: R,
    window: Window<S, M>,
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

    /// The same reader in the lenient mode, which reads on behind all damage. To be called before the
    /// first event is read.
    pub fn lenient(self) -> StreamReader<R, S, Lenient> {
        StreamReader {
            source: self.source,
            window: self.window.lenient(),
            splitter: self.splitter,
            ask: self.ask,
            limit: self.limit,
            ended: self.ended,
            starved: self.starved,
            broken: self.broken,
        }
    }

    /// After an error, goes on with the generation after the damaged one, as if the trace began
    /// there; says whether there is one that can be found. Reads on until it is, and holds what it
    /// reads. As [`Reader::skip_generation`](crate::Reader::skip_generation).
    ///
    /// If the source breaks before, the next [`next`](StreamReader::next) gives its error.
    pub fn skip_generation(&mut self) -> bool {
        if !self.version().has_generations() {
            return false;
        }
        let mut at = self.window.start();
        let mut splitter = Splitter::new(self.version());
        loop {
            let Some(head) = self.whole(at) else {
                return false;
            };
            let behind = at.saturating_add(head.total_len());
            match splitter.skip(&head, head.payload(self.window.beyond(at))) {
                // Of what was never looked at, nothing is missed.
                Skip::Over if behind >= LARGEST && self.generation().is_none() => {
                    self.window.discard(behind);
                    at = 0;
                }
                Skip::Over => at = behind,
                Skip::Here => break,
                Skip::Behind if self.whole(behind).is_some() => {
                    at = behind;
                    break;
                }
                Skip::Behind => return false,
            }
        }
        self.window.skip_to(at);
        self.splitter = Splitter::new(self.version());
        true
    }

    /// Before the first event, goes to the first generation of at least this number, as if the trace
    /// began there; says whether there is one. What comes before it is not kept.
    ///
    /// Errors: those of the source, and what is wrong with the headers of batches before.
    pub fn skip_to(&mut self, number: GenerationId) -> Result<bool, ReadError> {
        if !self.version().has_generations() {
            // All of it is generation 1.
            return Ok(number == GenerationId::FIRST);
        }
        loop {
            let at = self.window.start();
            match self.head(at)? {
                Some(Head::Batch(head)) if head.generation >= number => return Ok(true),
                Some(_) if self.skip_generation() => {}
                Some(_) => {
                    // What a broken source cut off is not the trace's fault.
                    let fault = self.window.fault().map(ReadError::Trace);
                    return self.broken.take().or(fault).map_or(Ok(false), Err);
                }
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
        Error::at(error.kind(), error.value(), offset)
    }

    /// What the error that ended the reading is about:
    /// as [`Reader::explain`](crate::Reader::explain).
    pub fn explain(&self) -> Option<Explanation<'_>> {
        self.window.explain()
    }

    /// How the trace ends: to be asked when [`next`](StreamReader::next) gave `None`, or this error. See
    /// [`Ending`](crate::generation::Ending).
    pub fn ending(&self, error: Option<Error>) -> crate::generation::Ending {
        self.window.ending(error)
    }
}

impl<R: Read, S: Storage> StreamReader<R, S, Lenient> {
    /// The next event, or what is missing before it, was made up or left out; `None` at the end of the
    /// trace. As [`Reader::next`](crate::Reader::next) of a lenient reader.
    ///
    /// A generation is given when the header of the batch behind it is there.
    ///
    /// Errors: those of the source, which come after all that was read before; a generation that is too
    /// large; and a table that is full.
    #[expect(clippy::should_implement_trait, reason = "an item borrows the reader")]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, ReadError> {
        if self.window.is_read() {
            self.fill();
        }
        if self.window.step_to_event()? {
            return Ok(Some(self.window.found_event()));
        }
        self.next_slowly()
    }

    #[cold]
    #[inline(never)]
    fn next_slowly(&mut self) -> Result<Option<Item<'_>>, ReadError> {
        let step = loop {
            match self.window.step_to_item() {
                // What was left of the generation gave nothing.
                Ok(false) if self.window.is_read() => self.fill(),
                step => break step,
            }
        };
        match step {
            Ok(true) => {}
            Ok(false) => return self.broken.take().map_or(Ok(None), Err),
            Err(error) => {
                if let Some(broken) = self.broken.take() {
                    return Err(broken);
                }
                if self.version().has_generations() {
                    return Err(ReadError::Trace(error));
                }
                self.window.lose_rest(error);
            }
        }
        Ok(Some(self.window.item()))
    }

    /// What was given and lost so far: after the last item, of the whole trace.
    pub const fn losses(&self) -> Losses {
        self.window.losses()
    }
}

impl<R, S: Storage, M: Mode> StreamReader<R, S, M> {
    /// How many generations were left out by [`skip_generation`](StreamReader::skip_generation).
    pub const fn generations_skipped(&self) -> u64 {
        self.window.counts().1
    }

    /// How many generations were read, the one being read included. In a trace of Go 1.26 or later
    /// several may have one number.
    pub const fn generations_read(&self) -> u64 {
        self.window.counts().0
    }

    /// Whether the next event has to be waited for, if the source has nothing yet: a good time to
    /// show what was made of the events so far.
    pub fn will_read(&self) -> bool {
        self.window.is_read()
    }

    /// The capacities that the part of the trace needs that was read so far: see
    /// [`Reader::needs`](crate::Reader::needs).
    pub fn needs(&self) -> Capacities {
        self.window.needs()
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
}

impl<R: Read, S: Storage, M: Mode> StreamReader<R, S, M> {
    /// Brings the next generation into the window where it may be damaged.
    fn fill_leniently(&mut self, start: usize) {
        while !self.window.gather(self.ended) {
            let len = self.window.buffer.len().saturating_sub(start);
            if len > self.limit {
                return self.refuse(start, self.limit);
            }
            // At the end, the same is looked at again.
            self.read_more(1);
            if self.starved {
                return self.refuse(start, len);
            }
        }
    }

    /// Brings the next generation into the window: all of it, or as much as there is.
    fn fill(&mut self) {
        let mut at = self.window.advance();
        let start = at;
        if !self.version().has_generations() {
            return self.fill_whole(start);
        }
        if M::LENIENT {
            return self.fill_leniently(start);
        }
        loop {
            let wanted = match self.splitter.next(self.window.beyond(at)) {
                Ok(Piece::Batch(len)) => {
                    at = at.saturating_add(len);
                    continue;
                }
                Ok(Piece::End { marker_len, .. }) => {
                    self.window.ends_at(at.saturating_add(marker_len), false);
                    return;
                }
                Ok(Piece::Need(more)) => more,
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

    /// Brings a trace of before Go 1.22 into the window, which is one piece: its clock's frequency is
    /// at the end.
    fn fill_whole(&mut self, start: usize) {
        loop {
            let len = self.window.buffer.len().saturating_sub(start);
            if len > self.limit {
                return self.refuse(start, self.limit);
            }
            if !self.read_more(1) {
                break;
            }
        }
        if self.starved {
            let len = self.window.buffer.len().saturating_sub(start);
            self.refuse(start, len);
        } else {
            self.window.ends_at(usize::MAX, true);
        }
    }

    /// The header at this place of the buffer, if a whole batch or marker is there or can be read.
    fn whole(&mut self, at: usize) -> Option<Head> {
        loop {
            let bytes = self.window.beyond(at);
            let missing = match Head::parse(bytes).ok()? {
                Some(head) if head.total_len() <= bytes.len() => return Some(head),
                Some(head) => head.total_len().saturating_sub(bytes.len()),
                None => 1,
            };
            if !self.read_more(missing) {
                return None;
            }
        }
    }

    /// Gives an error in the place of the generation that begins at `start`, which takes too much.
    fn refuse(&mut self, start: usize, limit: usize) {
        let offset = self.window.offset_of(start);
        let error = Error::at(ErrorKind::GenerationTooLarge, num::wide(limit), offset);
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

impl<R, S: Storage, M: Mode> fmt::Debug for StreamReader<R, S, M> {
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
