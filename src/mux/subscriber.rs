//! Those who are fed.

use super::{EndReason, Lost, Signal};
use crate::ids::GenerationId;
use crate::num;
use crate::source::{SharedBatches, SourceError};
use crate::wire::Version;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use std::fs::File;
use std::io::{self, IoSlice, Seek, SeekFrom, Write};

/// Why a subscriber gives up: any error.
pub type SubscriberError = Box<dyn Error + Send + Sync>;

/// Someone who is fed a live trace, on a thread of its own: after
/// [`subscribe`](super::TraceMultiplexer::subscribe) in this order,
///
/// 1. [`header`](Subscriber::header);
/// 2. for each generation [`batches`](Subscriber::batches) any number of times, and
///    [`end_of_generation`](Subscriber::end_of_generation);
/// 3. if generations were dropped, [`lost`](Subscriber::lost), and again from 1. If the subscription was
///    [passed over](super::Subscription::pass_over), the generation before may lack its end;
/// 4. if the source goes on with another trace, [`restart`](Subscriber::restart), and again from 1.
///    The trace before may have ended in the middle of a generation;
/// 5. [`end_of_trace`](Subscriber::end_of_trace). If the source broke, batches without the end of
///    their generation may have come before it.
///
/// The subscription may end before the first of these. An error or a panic ends it at once, and
/// reaches who holds the [`Subscription`](super::Subscription).
pub trait Subscriber: Send {
    /// A trace begins: what comes is of this version. [`Version::header`] gives its first bytes.
    fn header(&mut self, version: Version) -> Result<(), SubscriberError>;

    /// Complete batches of one generation, and its marker if it has one.
    fn batches(&mut self, batches: &SharedBatches) -> Result<(), SubscriberError>;

    /// All of this generation has come.
    fn end_of_generation(&mut self, number: GenerationId) -> Result<(), SubscriberError>;

    /// Whether this has no use for batches before their generation is complete. Asked once, before
    /// everything else: to be given them late costs less. They are in the queue until then, or until
    /// a quarter of it is full.
    fn takes_whole_generations(&self) -> bool {
        false
    }

    /// So much did not fit into the queue, and was dropped; what comes begins a new trace.
    fn lost(&mut self, lost: Lost) -> Result<(), SubscriberError> {
        let _ = lost;
        Ok(())
    }

    /// The trace ended, as it should or, for this reason, in the middle of a generation; the header of
    /// another one comes next, perhaps much later.
    fn restart(&mut self, reason: Option<&SourceError>) -> Result<(), SubscriberError> {
        let _ = reason;
        Ok(())
    }

    /// Nothing more comes, for this reason.
    fn end_of_trace(&mut self, reason: &EndReason) -> Result<(), SubscriberError> {
        let _ = reason;
        Ok(())
    }
}

/// Hands a signal to a subscriber.
pub(super) fn hand(to: &mut impl Subscriber, signal: &Signal) -> Result<(), SubscriberError> {
    match signal {
        Signal::Header(version) => to.header(*version),
        Signal::Batches(batches) => to.batches(batches),
        Signal::EndOfGeneration(number) => to.end_of_generation(*number),
        Signal::Lost(lost) => to.lost(*lost),
        Signal::Restart(reason) => to.restart(reason.as_ref()),
        Signal::EndOfTrace(reason) => to.end_of_trace(reason),
    }
}

/// A subscriber that is a function of each signal.
///
/// ```
/// use gotrace::mux::{Callback, QueueConfig, Signal, TraceMultiplexer};
/// use gotrace::source::Playback;
///
/// let trace = std::fs::read("tests/fixtures/gc-go1.22.trace")?;
/// let mux = TraceMultiplexer::new(Playback::new(trace)?)?;
/// let callback = Callback(|signal: &Signal| {
///     if let Signal::EndOfGeneration(number) = signal {
///         println!("generation {number} is there");
///     }
///     Ok(())
/// });
/// let outcome = mux.subscribe(callback, QueueConfig::default())?.wait();
/// assert_eq!(outcome.stats.generations, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Callback<F>(pub F);

impl<F: FnMut(&Signal) -> Result<(), SubscriberError> + Send> Callback<F> {
    fn call(&mut self, signal: Signal) -> Result<(), SubscriberError> {
        (self.0)(&signal)
    }
}

impl<F: FnMut(&Signal) -> Result<(), SubscriberError> + Send> Subscriber for Callback<F> {
    fn header(&mut self, version: Version) -> Result<(), SubscriberError> {
        self.call(Signal::Header(version))
    }

    fn batches(&mut self, batches: &SharedBatches) -> Result<(), SubscriberError> {
        self.call(Signal::Batches(batches.clone()))
    }

    fn end_of_generation(&mut self, number: GenerationId) -> Result<(), SubscriberError> {
        self.call(Signal::EndOfGeneration(number))
    }

    fn lost(&mut self, lost: Lost) -> Result<(), SubscriberError> {
        self.call(Signal::Lost(lost))
    }

    fn restart(&mut self, reason: Option<&SourceError>) -> Result<(), SubscriberError> {
        self.call(Signal::Restart(reason.cloned()))
    }

    fn end_of_trace(&mut self, reason: &EndReason) -> Result<(), SubscriberError> {
        self.call(Signal::EndOfTrace(reason.clone()))
    }
}

/// A subscriber that writes the trace, as whole generations.
///
/// Made by [`new`](TraceWriter::new), it writes a generation when it has all of it, and flushes; until
/// then it holds the batches, which are shared with all other subscribers. Made by
/// [`at_once`](TraceWriter::at_once), it writes batches as they come, half a megabyte at a time, and
/// takes back a generation that remains half done.
///
/// One writer takes one trace. Another one begins when generations were dropped, and when the source
/// goes on with another: that is the error [`TraceCut`], or, with [`parts`](TraceWriter::parts), one
/// more writer.
pub struct TraceWriter<W> {
    writer: Option<W>,
    /// Gives the writer of the trace with this number, from 0 on.
    open: Option<Open<W>>,
    /// How to take back what was written at once; otherwise batches are held.
    take_back: Option<fn(&mut W, u64) -> io::Result<()>>,
    traces: u64,
    held: Vec<SharedBatches>,
    held_bytes: usize,
    written: u64,
    /// How many of the bytes written are of the generation in progress.
    unfinished: u64,
}

/// What is written at once, about.
const AT_ONCE: usize = 512 << 10;

type Open<W> = Box<dyn FnMut(u64) -> io::Result<W> + Send>;

/// A writer that can take back what was written last.
pub trait TakeBack: Write {
    /// Takes back the last `bytes` bytes, which were written through this.
    ///
    /// Errors: it cannot.
    fn take_back(&mut self, bytes: u64) -> io::Result<()>;
}

impl TakeBack for Vec<u8> {
    fn take_back(&mut self, bytes: u64) -> io::Result<()> {
        self.truncate(self.len().saturating_sub(num::narrow(bytes)));
        Ok(())
    }
}

impl TakeBack for File {
    fn take_back(&mut self, bytes: u64) -> io::Result<()> {
        let end = self.stream_position()?.saturating_sub(bytes);
        self.set_len(end)?;
        self.seek(SeekFrom::Start(end)).map(drop)
    }
}

impl<W: Write + Send> TraceWriter<W> {
    /// Writes one trace.
    pub fn new(writer: W) -> TraceWriter<W> {
        TraceWriter::with(Some(writer))
    }

    const fn with(writer: Option<W>) -> TraceWriter<W> {
        TraceWriter {
            writer,
            open: None,
            take_back: None,
            traces: 0,
            held: Vec::new(),
            held_bytes: 0,
            written: 0,
            unfinished: 0,
        }
    }

    /// Writes one trace, batches as they come: that holds little memory, and costs less for large
    /// generations. If the trace ends in the middle of one, what was written of it is taken back; if
    /// this process is killed there, it stays, as behind Go's own `trace.Start`.
    pub fn at_once(writer: W) -> TraceWriter<W>
    where
        W: TakeBack,
    {
        TraceWriter {
            take_back: Some(W::take_back),
            ..TraceWriter::new(writer)
        }
    }

    /// Writes each trace to a writer of its own, which `open` gives, counting from 0.
    pub fn parts(open: impl FnMut(u64) -> io::Result<W> + Send + 'static) -> TraceWriter<W> {
        TraceWriter {
            open: Some(Box::new(open)),
            ..TraceWriter::with(None)
        }
    }

    /// As [`parts`](TraceWriter::parts), each written [at once](TraceWriter::at_once).
    pub fn parts_at_once(open: impl FnMut(u64) -> io::Result<W> + Send + 'static) -> TraceWriter<W>
    where
        W: TakeBack,
    {
        TraceWriter {
            take_back: Some(W::take_back),
            ..TraceWriter::parts(open)
        }
    }

    /// How many bytes of headers and whole generations were written.
    pub const fn written(&self) -> u64 {
        self.written.saturating_sub(self.unfinished)
    }

    /// The writer of the trace in progress, or of the last one; none if there is none yet.
    pub const fn writer(&self) -> Option<&W> {
        self.writer.as_ref()
    }

    /// The writer, of the last trace if there were several; none if [`parts`](TraceWriter::parts)
    /// opened none.
    pub fn into_inner(self) -> Option<W> {
        self.writer
    }

    /// Writes what is held, in as few writes as the writer allows: each costs a file system much.
    fn write_held(&mut self) -> io::Result<()> {
        let mut held = core::mem::take(&mut self.held);
        self.held_bytes = 0;
        let mut slices: Vec<_> = held.iter().map(|b| IoSlice::new(b.as_bytes())).collect();
        let result = self.write(&mut slices);
        held.clear();
        self.held = held;
        result
    }

    fn write(&mut self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        let mut rest = slices.iter().fold(0usize, |n, s| n.saturating_add(s.len()));
        while rest > 0 {
            let n = match writer.write_vectored(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => n.min(rest),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            // Counted one by one: an error may come after the first of several.
            self.written = self.written.saturating_add(num::wide(n));
            self.unfinished = self.unfinished.saturating_add(num::wide(n));
            rest = rest.saturating_sub(n);
            IoSlice::advance_slices(&mut slices, n);
        }
        Ok(())
    }

    /// As [`write_held`](Self::write_held); after an error, what is there is a trace, if it can be.
    fn write_or_take_back(&mut self) -> Result<(), SubscriberError> {
        self.write_held().map_err(|error| {
            // The first error is the one to know.
            let _ = self.forget();
            error.into()
        })
    }

    /// Gives up the generation in progress.
    fn forget(&mut self) -> io::Result<()> {
        self.held.clear();
        self.held_bytes = 0;
        let unfinished = core::mem::take(&mut self.unfinished);
        self.written = self.written.saturating_sub(unfinished);
        match (self.take_back, &mut self.writer) {
            (Some(take_back), Some(writer)) if unfinished > 0 => take_back(writer, unfinished),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), SubscriberError> {
        Ok(self.writer.as_mut().map_or(Ok(()), W::flush)?)
    }
}

impl<W: Write + Send> Subscriber for TraceWriter<W> {
    fn header(&mut self, version: Version) -> Result<(), SubscriberError> {
        self.forget()?;
        match &mut self.open {
            Some(open) => self.writer = Some(open(self.traces)?),
            None if self.traces > 0 => return Err(TraceCut.into()),
            None => {}
        }
        self.traces = self.traces.saturating_add(1);
        self.write(&mut [IoSlice::new(version.header())])?;
        self.unfinished = 0;
        Ok(())
    }

    fn batches(&mut self, batches: &SharedBatches) -> Result<(), SubscriberError> {
        self.held.push(batches.clone());
        self.held_bytes = self.held_bytes.saturating_add(batches.len());
        if self.take_back.is_some() && self.held_bytes >= AT_ONCE {
            self.write_or_take_back()?;
        }
        Ok(())
    }

    fn end_of_generation(&mut self, _: GenerationId) -> Result<(), SubscriberError> {
        self.write_or_take_back()?;
        self.unfinished = 0;
        self.flush()
    }

    fn takes_whole_generations(&self) -> bool {
        self.take_back.is_none()
    }

    fn lost(&mut self, _: Lost) -> Result<(), SubscriberError> {
        self.forget()?;
        self.flush()
    }

    fn restart(&mut self, _: Option<&SourceError>) -> Result<(), SubscriberError> {
        self.forget()?;
        self.flush()
    }

    fn end_of_trace(&mut self, _: &EndReason) -> Result<(), SubscriberError> {
        self.forget()?;
        self.flush()
    }
}

impl<W> fmt::Debug for TraceWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceWriter")
            .field("traces", &self.traces)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

/// Generations were dropped, or another trace began: what follows does not continue the one that was
/// written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceCut;

impl fmt::Display for TraceCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what follows is another trace: generations were dropped, or it began anew")
    }
}

impl Error for TraceCut {}

/// An error of a subscriber, shared between those who ask for it.
pub(super) fn shared(error: SubscriberError) -> Arc<dyn Error + Send + Sync> {
    Arc::from(error)
}
