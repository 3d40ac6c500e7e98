//! The byte stream of a running Go program as a source.

use super::control::Interrupt;
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
use std::io::{self, Read};
use std::time::Instant;

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
        }
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
    /// that becomes shorter is an error.
    pub fn follow(file: File, quiet: Option<Duration>) -> StreamSource<File> {
        let mut source = StreamSource::new(file);
        source.at_end = AtEnd::Grows(quiet);
        source.ready = not_shorter;
        source
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
    use std::io::Seek as _;
    let mut file = file;
    if file.metadata()?.len() < file.stream_position()? {
        return Err(io::Error::other("the file became shorter while it was being read").into());
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
                    if quiet.is_some_and(|quiet| since.elapsed() >= quiet) {
                        return Ok(0);
                    }
                    self.interrupt.wait(PAUSE)?;
                }
                (Ok(read), _) => {
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

    fn begin(&mut self) -> Result<Version, SourceError> {
        while self.filled < HEADER_LEN && self.read(HEADER_LEN)? > 0 {}
        let header = self.buffer.get(..self.filled).unwrap_or(&[]);
        let version = Version::from_header(header)?.needing_generations()?;
        (self.given, self.scanned) = (HEADER_LEN, HEADER_LEN);
        self.splitter = Some(Splitter::new(version));
        self.version = Some(version);
        Ok(version)
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
                Ok(Piece::Need(more)) => more,
                Err(error) => {
                    self.over = Some(Err(error.after(place).into()));
                    continue;
                }
            };
            if self.scanned > self.given {
                return Ok(self.give());
            }
            let before = rest.len();
            let finish = splitter.finish();
            if self.read(missing)? > 0 {
                continue;
            }
            let end = place.wrapping_add(num::wide(before));
            let broken = |kind, value| Err(Error::at(kind, value, end).into());
            self.over = Some(match finish {
                _ if before > 0 => broken(ErrorKind::UnexpectedEnd, num::wide(missing)),
                Finish::Closed => Ok(()),
                Finish::Ends(number) => {
                    self.ends = Some(number);
                    Ok(())
                }
                Finish::Unended { number, .. } => {
                    broken(ErrorKind::IncompleteGeneration, number.get())
                }
            });
        }
    }
}

impl<R: Read + Send> TraceSource for StreamSource<R> {
    fn start(&mut self) -> Result<Version, SourceError> {
        self.interrupt.check()?;
        if self.over.is_some() {
            return Err(SourceError::Ended);
        }
        if let Some(version) = self.version {
            return Ok(version);
        }
        self.begin().inspect_err(|error| {
            self.over = Some(Err(error.clone()));
        })
    }

    fn next(&mut self) -> Result<Option<Part>, SourceError> {
        self.interrupt.check()?;
        self.advance().inspect_err(|error| {
            self.over = Some(Err(error.clone()));
        })
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
