//! The events of a live trace.

use super::{EndReason, Lost, Receiver, Signal, Stats};
use crate::error::Error;
use crate::event::Event;
use crate::ids::GenerationId;
use crate::reader::Window;
use crate::source::{SharedBatches, SourceError};
use crate::tables::{Growing, Storage};
use alloc::vec::Vec;
use core::fmt;

/// Yields the events of a live trace in order, each generation's when it is complete.
///
/// The engine is that of [`Reader`](crate::Reader): the events are those of a trace that begins with
/// the first generation after the subscription. Where generations were dropped, another such trace
/// begins, as where the source goes on with another: [`traces`](LiveReader::traces) counts them. A
/// generation that the source left half done gives no events.
///
/// ```
/// use gotrace::EventKind;
/// use gotrace::mux::{QueueConfig, TraceMultiplexer};
/// use gotrace::source::Playback;
///
/// let trace = std::fs::read("tests/fixtures/gc-go1.25.trace")?;
/// let mux = TraceMultiplexer::new(Playback::new(trace)?)?;
/// let mut events = mux.events(QueueConfig::default());
/// let mut collections = 0;
/// while let Some(event) = events.next()? {
///     collections += u32::from(event.kind() == EventKind::RangeBegin);
/// }
/// assert!(collections > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LiveReader<S: Storage = Growing> {
    receiver: Receiver,
    window: Option<Window<S>>,
    /// A header came before the window was read to its end; with the number of its trace.
    next: Option<(Window<S>, u64)>,
    held: Vec<SharedBatches>,
    lost: Lost,
    /// The number of the source's trace.
    traces: u64,
    /// That trace has ended.
    restarted: bool,
    /// What is to be given when the window is read to its end.
    failure: Option<LiveError>,
}

/// Why the events of a live trace end early.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LiveError {
    /// The trace is damaged; the offset counts from the beginning of the subscription's trace.
    Trace(Error),
    /// The source broke.
    Source(SourceError),
}

impl<S: Storage> LiveReader<S> {
    pub(super) fn new(receiver: Receiver) -> LiveReader<S> {
        LiveReader {
            receiver,
            window: None,
            next: None,
            held: Vec::new(),
            lost: Lost::default(),
            traces: 1,
            restarted: false,
            failure: None,
        }
    }

    /// The next event, for which it waits; `None` after the last.
    ///
    /// Errors: the trace is damaged, which ends the subscription; or the source broke, after the
    /// events of all complete generations.
    #[expect(clippy::should_implement_trait, reason = "an event borrows the reader")]
    pub fn next(&mut self) -> Result<Option<Event<'_, '_>>, LiveError> {
        while !self.step()? {
            let Some(signal) = self.receiver.recv() else {
                return self.failure.take().map_or(Ok(None), Err);
            };
            self.take(signal);
        }
        Ok(self.window.as_ref().map(Window::event))
    }

    /// Whether the next event may be long in coming: those of the generations that came are all
    /// given.
    pub fn will_wait(&self) -> bool {
        self.window.as_ref().is_none_or(Window::is_read)
    }

    /// Asks to leave: the events of the current generation are the last.
    pub fn leave(&self) {
        self.receiver.leave();
    }

    /// The generation being read: none before the first.
    pub fn generation(&self) -> Option<GenerationId> {
        self.window.as_ref().and_then(Window::generation)
    }

    /// What was dropped before the events that come next.
    pub const fn lost(&self) -> Lost {
        self.lost
    }

    /// The number of the source's trace that the events are of, from 1 on since the source was started; what
    /// turned out to be no trace has none. When this changes, the event that was given is the first of
    /// another trace: nothing that was known from before holds any more.
    pub const fn traces(&self) -> u64 {
        self.traces
    }

    /// Why nothing more will come, if so. Some events may not have been read yet.
    pub fn end(&self) -> Option<EndReason> {
        self.receiver.end()
    }

    /// The numbers so far.
    pub fn stats(&self) -> Stats {
        self.receiver.stats()
    }

    /// Goes on to the next event that is there; says whether there was one.
    fn step(&mut self) -> Result<bool, LiveError> {
        loop {
            let Some(window) = &mut self.window else {
                return Ok(false);
            };
            if window.is_read() {
                return Ok(false);
            }
            match window.step() {
                Ok(true) => return Ok(true),
                Ok(false) => {
                    let next = self.next.take();
                    self.window = next.map(|(window, number)| {
                        self.traces = number;
                        window
                    });
                }
                Err(error) => {
                    (self.window, self.next, self.failure) = (None, None, None);
                    self.receiver.handle.end();
                    return Err(LiveError::Trace(error));
                }
            }
        }
    }

    fn take(&mut self, signal: Signal) {
        match (signal, &mut self.window) {
            (Signal::Header(version), window) => {
                self.held.clear();
                // After a loss, too, there is a header. Who comes late begins with a later trace.
                let number = match core::mem::take(&mut self.restarted) {
                    true => self.traces.saturating_add(1),
                    false => self.traces.max(self.receiver.handle.first_trace()),
                };
                match window {
                    Some(window) => {
                        window.finish();
                        self.next = Some((Window::new(version), number));
                    }
                    None => (*window, self.traces) = (Some(Window::new(version)), number),
                }
            }
            // What is in the window was read by now.
            (Signal::Restart(_), window) => {
                self.held.clear();
                self.restarted = true;
                match window {
                    Some(window) if window.generation().is_some() => window.finish(),
                    // A trace without a generation is damaged for others.
                    _ => self.window = None,
                }
            }
            (Signal::Batches(batches), _) => self.held.push(batches),
            (Signal::EndOfGeneration(_), Some(window)) => {
                window.put(self.held.iter().map(SharedBatches::as_bytes));
                self.held.clear();
            }
            (Signal::EndOfGeneration(_), None) => {}
            (Signal::Lost(lost), _) => {
                self.lost.add(lost);
            }
            (Signal::EndOfTrace(reason), window) => {
                self.held.clear();
                match window {
                    Some(window) if window.generation().is_some() => window.finish(),
                    // A trace without a generation is damaged for others.
                    _ => self.window = None,
                }
                if let EndReason::Broken(error) = reason {
                    self.failure = Some(LiveError::Source(error));
                }
            }
        }
    }
}

impl<S: Storage> fmt::Debug for LiveReader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveReader")
            .field("generation", &self.generation())
            .field("end", &self.end())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for LiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LiveError::Trace(error) => error.fmt(f),
            LiveError::Source(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for LiveError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            LiveError::Trace(error) => Some(error),
            LiveError::Source(error) => Some(error),
        }
    }
}
