//! Those who are fed.

use super::{EndReason, Lost, Signal};
use crate::ids::GenerationId;
use crate::source::SharedBatches;
use crate::wire::Version;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use std::io::{self, Write};

/// Why a subscriber gives up: any error.
pub type SubscriberError = Box<dyn Error + Send + Sync>;

/// Someone who is fed a live trace, on a thread of its own: after
/// [`subscribe`](super::TraceMultiplexer::subscribe) in this order,
///
/// 1. [`header`](Subscriber::header);
/// 2. for each generation [`batches`](Subscriber::batches) any number of times, and
///    [`end_of_generation`](Subscriber::end_of_generation);
/// 3. if generations were dropped, [`lost`](Subscriber::lost), and again from 1;
/// 4. [`end_of_trace`](Subscriber::end_of_trace). If the source broke, batches without the end of
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

    fn end_of_trace(&mut self, reason: &EndReason) -> Result<(), SubscriberError> {
        self.call(Signal::EndOfTrace(reason.clone()))
    }
}

/// A subscriber that writes the trace: what it has written is, at any time, a trace of whole
/// generations. It writes a generation when it has all of it, and flushes; until then it holds the
/// batches, which are shared with all other subscribers.
///
/// One writer takes one trace. When generations were dropped, another trace begins: that is the
/// error [`TraceCut`], or, with [`parts`](TraceWriter::parts), one more writer.
pub struct TraceWriter<W> {
    writer: Option<W>,
    /// Gives the writer of the trace with this number, from 0 on.
    open: Option<Open<W>>,
    traces: u64,
    held: Vec<SharedBatches>,
    written: u64,
}

type Open<W> = Box<dyn FnMut(u64) -> io::Result<W> + Send>;

impl<W: Write + Send> TraceWriter<W> {
    /// Writes one trace.
    pub fn new(writer: W) -> TraceWriter<W> {
        TraceWriter {
            writer: Some(writer),
            open: None,
            traces: 0,
            held: Vec::new(),
            written: 0,
        }
    }

    /// Writes each trace to a writer of its own, which `open` gives, counting from 0.
    pub fn parts(open: impl FnMut(u64) -> io::Result<W> + Send + 'static) -> TraceWriter<W> {
        TraceWriter {
            writer: None,
            open: Some(Box::new(open)),
            traces: 0,
            held: Vec::new(),
            written: 0,
        }
    }

    /// How many bytes were written, headers included.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// The writer, of the last trace if there were several; none if [`parts`](TraceWriter::parts)
    /// opened none.
    pub fn into_inner(self) -> Option<W> {
        self.writer
    }

    fn write(writer: &mut Option<W>, written: &mut u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(writer) = writer {
            writer.write_all(bytes)?;
            *written = written.saturating_add(crate::num::wide(bytes.len()));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SubscriberError> {
        Ok(self.writer.as_mut().map_or(Ok(()), W::flush)?)
    }
}

impl<W: Write + Send> Subscriber for TraceWriter<W> {
    fn header(&mut self, version: Version) -> Result<(), SubscriberError> {
        match &mut self.open {
            Some(open) => self.writer = Some(open(self.traces)?),
            None if self.traces > 0 => return Err(TraceCut.into()),
            None => {}
        }
        self.traces = self.traces.saturating_add(1);
        Ok(Self::write(
            &mut self.writer,
            &mut self.written,
            version.header(),
        )?)
    }

    fn batches(&mut self, batches: &SharedBatches) -> Result<(), SubscriberError> {
        self.held.push(batches.clone());
        Ok(())
    }

    fn end_of_generation(&mut self, _: GenerationId) -> Result<(), SubscriberError> {
        for batches in self.held.drain(..) {
            Self::write(&mut self.writer, &mut self.written, batches.as_bytes())?;
        }
        self.flush()
    }

    fn takes_whole_generations(&self) -> bool {
        true
    }

    fn end_of_trace(&mut self, _: &EndReason) -> Result<(), SubscriberError> {
        self.held.clear();
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

/// Generations were dropped: what follows does not continue the trace that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceCut;

impl fmt::Display for TraceCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("generations were dropped, and what follows is another trace")
    }
}

impl Error for TraceCut {}

/// An error of a subscriber, shared between those who ask for it.
pub(super) fn shared(error: SubscriberError) -> Arc<dyn Error + Send + Sync> {
    Arc::from(error)
}
