//! The byte stream of a running Go program as a source.

mod turns;

use super::control::Interrupt;
use super::follow::Followed;
use super::{Part, SharedBatches, SourceControl, SourceError, TraceSource};
use crate::error::{Error, ErrorKind};
use crate::generation::{Finish, Piece, Splitter};
use crate::ids::GenerationId;
use crate::num;
use crate::wire::{HEADER_LEN, Version};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::fs::File;
use std::io::{self, Read, Seek as _};
#[cfg(unix)]
use std::path::Path;
use std::time::Instant;
use turns::Turn;

/// The sizes of buffers: powers of two from one to the other. The largest holds a few of the largest
/// batches, and is small enough to stay in a cache.
const SMALLEST: usize = 4 << 10;
const LARGEST: usize = 256 << 10;

/// How many buffers are kept for when nothing needs what is in them any more.
const SPARES: usize = 64;

/// How long to wait before a source that has nothing is asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// A trace that comes as a stream of bytes, of every version since Go 1.22, whatever the sizes of
/// the reads.
///
/// The stream is split where batches end, and batches are handed out as they come. A generation ends
/// at its marker; before Go 1.26, where the number of the next one begins, or at the end of the
/// stream. (There, Go's last batch of a generation holds strings: a stream that ends at any other
/// batch was cut short.)
///
/// Behind the end of a trace, in a file that is cut short and written anew, and in one that takes its
/// place, another trace may begin with its header: it is [announced](Part::Header), unless the source
/// is for [one](StreamSource::once) only. So it is where a file is damaged, of which the rest is passed
/// over. Damage of a stream ends the source.
///
/// While it is stopped, nothing is read: what writes the stream must wait. A later start goes on
/// with the next generation. A stream that ended cannot be started again.
///
/// An [interruption](SourceControl::interrupt) ends a read that waits, if the source was made by
/// [`polled`](StreamSource::polled) or [`follow`](StreamSource::follow).
pub struct StreamSource<R> {
    reader: R,
    /// Waits until a read would not.
    ready: fn(&mut Waiting, &R, &Interrupt) -> Result<(), SourceError>,
    waiting: Waiting,
    /// What to do at the end of what there is to read.
    at_end: AtEnd,
    interrupt: Arc<Interrupt>,
    /// Filled up to `filled`; batches that were handed out may still be in use.
    buffer: Arc<Vec<u8>>,
    filled: usize,
    /// Where what was not handed out begins, and where what was not looked at does.
    given: usize,
    scanned: usize,
    spares: Vec<Arc<Vec<u8>>>,
    /// The size that the latest reads ask for: what small reads bring must not be in large buffers.
    size: usize,
    /// How many bytes of the stream came before the buffer.
    offset: u64,
    splitter: Option<Splitter>,
    version: Option<Version>,
    /// The end of this generation comes after what was looked at.
    ends: Option<GenerationId>,
    /// Nothing more will be read, for this reason if it is a bad one.
    over: Option<Result<(), SourceError>>,
    /// What is known of a file that is followed.
    file: Option<Followed<R>>,
    /// A second trace is an error.
    once: bool,
    /// One trace has ended, another one is to begin.
    turn: Option<Turn>,
}

/// What [`StreamSource::polled`] waits with.
#[derive(Default)]
struct Waiting {
    #[cfg(unix)]
    wake: Option<std::io::PipeReader>,
}

#[derive(Clone, Copy)]
enum AtEnd {
    /// The stream has ended.
    Over,
    /// More may come, unless nothing did for so long.
    Grows(Option<Duration>),
}

impl<R: Read + Send> StreamSource<R> {
    /// A stream from anything that can be read.
    ///
    /// A read that waits cannot be interrupted: prefer [`polled`](StreamSource::polled) for pipes
    /// and sockets. Where that is not to be had, a read time-out on a socket has the same effect:
    /// after `WouldBlock` and `TimedOut`, the reader is asked again.
    pub fn new(reader: R) -> StreamSource<R> {
        StreamSource {
            reader,
            ready: |_, _, _| Ok(()),
            waiting: Waiting::default(),
            at_end: AtEnd::Over,
            interrupt: Arc::default(),
            buffer: Arc::new(Vec::new()),
            filled: 0,
            given: 0,
            scanned: 0,
            spares: Vec::new(),
            size: SMALLEST,
            offset: 0,
            splitter: None,
            version: None,
            ends: None,
            over: None,
            file: None,
            once: false,
            turn: None,
        }
    }

    /// For one trace: where it is followed by another, or its file is written anew, that is an error.
    #[must_use]
    pub fn once(mut self) -> StreamSource<R> {
        self.once = true;
        self
    }

    /// Begins with these bytes, which were read already.
    #[cfg(unix)]
    pub(super) fn after(mut self, bytes: &[u8]) -> StreamSource<R> {
        self.buffer = Arc::new(bytes.to_vec());
        self.filled = bytes.len();
        self
    }
}

#[cfg(unix)]
impl<R: Read + Send + std::os::fd::AsFd> StreamSource<R> {
    /// A stream from a pipe, a socket or a terminal, whose reads can be interrupted.
    ///
    /// Errors: a pipe for the interruption cannot be made.
    pub fn polled(reader: R) -> io::Result<StreamSource<R>> {
        let (wake, waker) = io::pipe()?;
        let mut source = StreamSource::new(reader);
        source.waiting.wake = Some(wake);
        source.interrupt.wakes(waker);
        source.ready = poll;
        Ok(source)
    }
}

impl StreamSource<File> {
    /// A file that another process writes: at its end, waits for more.
    ///
    /// Ends when nothing was added for as long as `quiet`, or only when it is interrupted. A file
    /// that becomes shorter is read from its beginning again: another trace is written there.
    pub fn follow(file: File, quiet: Option<Duration>) -> StreamSource<File> {
        let mut source = StreamSource::new(file);
        source.at_end = AtEnd::Grows(quiet);
        source.ready = not_shorter;
        source.file = Some(Followed::file());
        source
    }

    /// As [`follow`](StreamSource::follow), the file with this name: when another one takes its place,
    /// as `rename` does it, that is read once the one before has ended, and has another trace. While
    /// there is none with the name, the one that was there is followed.
    ///
    /// Errors: the file cannot be opened. One that takes its place and cannot be opened ends the source.
    #[cfg(unix)]
    pub fn follow_path(path: &Path, quiet: Option<Duration>) -> io::Result<StreamSource<File>> {
        let mut source = StreamSource::follow(File::open(path)?, quiet);
        source.file = Some(Followed::path(path));
        Ok(source)
    }
}

#[cfg(unix)]
fn poll<R: std::os::fd::AsFd>(
    waiting: &mut Waiting,
    reader: &R,
    interrupt: &Interrupt,
) -> Result<(), SourceError> {
    use rustix::event::{PollFd, PollFlags, poll};
    let Some(wake) = &waiting.wake else {
        return Ok(());
    };
    loop {
        interrupt.check()?;
        let mut both = [
            PollFd::new(reader, PollFlags::IN),
            PollFd::new(wake, PollFlags::IN),
        ];
        match poll(&mut both, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let [reader, _] = both;
        // Also at the end of the stream and after an error, which a read will tell.
        if !reader.revents().is_empty() {
            return interrupt.check();
        }
    }
}

fn not_shorter(_: &mut Waiting, file: &File, _: &Interrupt) -> Result<(), SourceError> {
    let mut file = file;
    if file.metadata()?.len() < file.stream_position()? {
        return Err(SourceError::Rewritten);
    }
    Ok(())
}

impl<R: Read + Send> StreamSource<R> {
    /// The stream. What was read but not handed out is lost.
    pub fn into_inner(self) -> R {
        self.reader
    }

    /// What was read and not handed out: after the end of a stream that was cut short inside a batch,
    /// what there is of that batch.
    pub fn rest(&self) -> &[u8] {
        self.buffer.get(self.given..self.filled).unwrap_or(&[])
    }

    /// Reads once, behind what there is, where `missing` bytes have room; gives how many bytes that
    /// were, 0 at the end.
    fn read(&mut self, missing: usize) -> Result<usize, SourceError> {
        let kept = self.given..self.filled;
        let least = kept.len().saturating_add(missing);
        let size = self.size.max(least.next_power_of_two());
        let buffer = Self::writable(&mut self.buffer, &mut self.spares, kept, size);
        self.offset = self.offset.wrapping_add(num::wide(self.given));
        self.filled = self.filled.saturating_sub(self.given);
        self.scanned = self.scanned.saturating_sub(self.given);
        self.given = 0;
        let mut quiet_since = None;
        loop {
            (self.ready)(&mut self.waiting, &self.reader, &self.interrupt)?;
            self.interrupt.check()?;
            let free = buffer.get_mut(self.filled..).unwrap_or(&mut []);
            match (self.reader.read(free), self.at_end) {
                (Ok(0), AtEnd::Grows(quiet)) => {
                    let since = *quiet_since.get_or_insert_with(Instant::now);
                    // Only when nothing more came of the one that was there.
                    let file = self.file.as_mut();
                    if file.map_or(Ok(false), |file| {
                        file.take_successor(&mut self.reader, self.once)
                    })? {
                        return Ok(0);
                    }
                    if quiet.is_some_and(|quiet| since.elapsed() >= quiet) {
                        return Ok(0);
                    }
                    self.interrupt.wait(PAUSE)?;
                }
                (Ok(read), _) => {
                    // While nothing came, the file may have been written anew, and longer.
                    if let (Some(file), Some(_), false) = (&self.file, quiet_since, self.once)
                        && file.is_another(&self.reader)?
                    {
                        return Err(SourceError::Rewritten);
                    }
                    self.filled = self.filled.saturating_add(read).min(buffer.len());
                    let size = read.saturating_mul(2).next_power_of_two();
                    self.size = size.clamp(SMALLEST, LARGEST);
                    return Ok(read);
                }
                (Err(error), _) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        self.interrupt.wait(Duration::from_millis(1))?;
                    }
                    _ => return Err(error.into()),
                },
            }
        }
    }

    /// A buffer of this size at least that nothing else has, which begins with what was in this
    /// range: the same one if it will do, and all that was handed out of it is done with.
    fn writable<'a>(
        buffer: &'a mut Arc<Vec<u8>>,
        spares: &mut Vec<Arc<Vec<u8>>>,
        kept: core::ops::Range<usize>,
        size: usize,
    ) -> &'a mut [u8] {
        match Arc::get_mut(buffer) {
            Some(own) if own.len() >= size => {
                if kept.start > 0 {
                    own.copy_within(kept, 0);
                }
            }
            _ => {
                let free = spares
                    .iter_mut()
                    .rposition(|spare| spare.len() == size && Arc::get_mut(spare).is_some());
                let mut fresh = match free {
                    Some(at) => spares.remove(at),
                    None => Arc::new(alloc::vec![0; size]),
                };
                let kept = buffer.get(kept).unwrap_or(&[]);
                if let Some(front) = Arc::get_mut(&mut fresh).and_then(|f| f.get_mut(..kept.len()))
                {
                    front.copy_from_slice(kept);
                }
                let used = core::mem::replace(buffer, fresh);
                if spares.len() >= SPARES {
                    spares.remove(0);
                }
                spares.push(used);
            }
        }
        // It is nobody else's by now.
        Arc::get_mut(buffer).map_or(&mut [], |own| own.as_mut_slice())
    }

    /// The batches that were looked at and not handed out.
    fn give(&mut self) -> Option<Part> {
        let range = self.given..self.scanned;
        if let Some(file) = &mut self.file {
            file.remember(self.buffer.get(range.clone()).unwrap_or(&[]));
        }
        self.given = self.scanned;
        let batches = match range.len() {
            0 => return None,
            // Little must not keep a large buffer alive.
            _ if self.filled < self.buffer.len() / 4 => {
                self.buffer.get(range).unwrap_or(&[]).to_vec().into()
            }
            _ => {
                let owner = Arc::<Vec<u8>>::clone(&self.buffer);
                SharedBatches::new(owner, range)
            }
        };
        Some(Part::Batches(batches))
    }

    /// Looks for batches up to the next thing to hand out.
    fn advance(&mut self) -> Result<Option<Part>, SourceError> {
        loop {
            if let Some(number) = self.ends {
                return Ok(self.give().or_else(|| {
                    self.ends = None;
                    Some(Part::EndOfGeneration(number))
                }));
            }
            if let Some(turn) = self.turn.take() {
                return self.turn(turn);
            }
            if let Some(over) = &self.over {
                let over = over.clone();
                return match self.give() {
                    Some(part) => Ok(Some(part)),
                    None => over.map(|()| None),
                };
            }
            let rest = self.buffer.get(self.scanned..self.filled).unwrap_or(&[]);
            let place = self.offset.wrapping_add(num::wide(self.scanned));
            let Some(splitter) = &mut self.splitter else {
                return Err(SourceError::Ended);
            };
            let missing = match splitter.next(rest) {
                Ok(Piece::Batch(len)) => {
                    self.scanned = self.scanned.saturating_add(len);
                    continue;
                }
                Ok(Piece::End { number, marker_len }) => {
                    self.scanned = self.scanned.saturating_add(marker_len);
                    self.ends = number;
                    continue;
                }
                Ok(Piece::Need(more)) => Ok(more),
                Err(error) => next_header(rest).filter(|_| !self.once).ok_or(error),
            };
            let (before, finish) = (rest.len(), splitter.finish());
            if missing == Ok(0) {
                self.end_trace(finish);
                continue;
            }
            if self.scanned > self.given {
                return Ok(self.give());
            }
            let read = match missing {
                Ok(missing) => self.read(missing),
                Err(_) if self.is_written_anew() => Err(SourceError::Rewritten),
                Err(error) => {
                    let error = SourceError::from(error.after(place));
                    if !self.is_damage(&error) {
                        return Err(error);
                    }
                    self.turn = Some(Turn::Damaged(error));
                    continue;
                }
            };
            match read {
                Ok(0) => {}
                Ok(_) => continue,
                Err(SourceError::Rewritten) if !self.once => {
                    self.rewind()?;
                    self.turn = Some(Turn::Ended(Some(SourceError::Rewritten)));
                    continue;
                }
                Err(error) => return Err(error),
            }
            let missing = missing.unwrap_or(0);
            let end = place.wrapping_add(num::wide(before));
            let broken = |kind, value| Err(Error::at(kind, value, end).into());
            let over = match finish {
                _ if before > 0 => broken(ErrorKind::UnexpectedEnd, num::wide(missing)),
                Finish::Closed => Ok(()),
                Finish::Ends(number) => {
                    self.ends = Some(number);
                    Ok(())
                }
                Finish::Unended { number, .. } => {
                    broken(ErrorKind::IncompleteGeneration, number.get())
                }
            };
            match self.takes_successor() {
                true => self.turn = Some(Turn::Ended(over.err())),
                false => self.over = Some(over),
            }
        }
    }
}

/// If another trace begins with these bytes, as far as they show: how many bytes of its header are
/// missing.
fn next_header(bytes: &[u8]) -> Option<usize> {
    const BEGINS: &[u8] = b"go 1.";
    let front = bytes.get(..BEGINS.len()).unwrap_or(bytes);
    if front.is_empty() || !BEGINS.starts_with(front) {
        return None;
    }
    match HEADER_LEN.checked_sub(bytes.len()) {
        Some(missing) if missing > 0 => Some(missing),
        _ => Version::from_header(bytes).is_ok().then_some(0),
    }
}

impl<R: Read + Send> TraceSource for StreamSource<R> {
    fn start(&mut self) -> Result<Version, SourceError> {
        self.interrupt.check()?;
        if self.over.is_some() {
            return Err(SourceError::Ended);
        }
        // Where it was stopped between two traces, the next one's header is to come.
        if let (Some(version), None) = (self.version, &self.turn) {
            return Ok(version);
        }
        let begun = match self.turn.take() {
            Some(Turn::Skip(damage)) => self.skip().and_then(|found| match found {
                true => self.begin(),
                false => Err(damage),
            }),
            _ => self.begin(),
        };
        let begun = match begun {
            // An empty stream is no trace.
            Ok(None) => Version::from_header(&[]).map_err(SourceError::from),
            Ok(Some(version)) => Ok(version),
            Err(error) => Err(error),
        };
        begun.inspect_err(|error| {
            self.over = Some(Err(error.clone()));
        })
    }

    fn next(&mut self) -> Result<Option<Part>, SourceError> {
        self.interrupt.check()?;
        self.advance().inspect_err(|error| {
            self.over = Some(Err(error.clone()));
        })
    }

    fn is_at_end(&self) -> bool {
        let is_ended = matches!(self.turn, Some(Turn::Ended(_) | Turn::Damaged(_)));
        self.given == self.scanned && (self.ends.is_some() || self.over.is_some() || is_ended)
    }

    fn stop(&mut self) {}

    fn control(&self) -> Arc<dyn SourceControl> {
        Arc::<Interrupt>::clone(&self.interrupt)
    }
}

impl<R> fmt::Debug for StreamSource<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSource")
            .field("version", &self.version)
            .field("offset", &self.offset.wrapping_add(num::wide(self.given)))
            .finish_non_exhaustive()
    }
}
