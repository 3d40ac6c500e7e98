//! Starting, stopping, configuring.

use super::core::OFF;
use super::local::{self, SHARED, core};
use super::source::Source;
use crate::mux::{QueueConfig, Subscriber, Subscription, TraceMultiplexer, TraceWriter};
use crate::recorder::{SharedError, SharedRecorder};
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;
use std::io::{self, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

/// How this process is traced: see [`configure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How long a generation lasts at most. A recorder drops whole generations, and one that joins
    /// begins with the next. One second if not set.
    pub period: Duration,
    /// How many bytes a generation has, about, at most. 8 MiB if not set.
    pub generation_size: usize,
    /// How many bytes may wait to be written, in buffers and generations that are not handed out yet.
    /// 64 MiB if not set. Threads need 1 KiB each, and what is known of goroutines and names is not
    /// counted.
    pub memory: usize,
    /// Whether events have the stack on which they happened, which takes a microsecond or more for
    /// each.
    #[cfg(feature = "backtrace")]
    pub stacks: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            period: Duration::from_secs(1),
            generation_size: 8 << 20,
            memory: 64 << 20,
            #[cfg(feature = "backtrace")]
            stacks: false,
        }
    }
}

impl Config {
    /// What is set if nothing else is.
    pub fn new() -> Config {
        Config::default()
    }

    /// The same with generations of this length at most.
    pub fn with_period(self, period: Duration) -> Config {
        Config { period, ..self }
    }

    /// The same with generations of so many bytes at most, about.
    pub fn with_generation_size(self, generation_size: usize) -> Config {
        Config {
            generation_size,
            ..self
        }
    }

    /// The same with so many bytes of memory.
    pub fn with_memory(self, memory: usize) -> Config {
        Config { memory, ..self }
    }

    /// The same with or without stacks.
    #[cfg(feature = "backtrace")]
    pub fn with_stacks(self, stacks: bool) -> Config {
        Config { stacks, ..self }
    }
}

/// The tracer is on: it cannot be configured now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running;

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the tracer is on")
    }
}

impl core::error::Error for Running {}

/// What could not be recorded, since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// Events, by a count that is a lower bound: what an event that was lost would have brought with
    /// it is not counted. Annotations of threads that are ending, or that happened within the tracer
    /// itself, are among them.
    pub events: u64,
    /// How often memory was used up.
    pub gaps: u64,
}

/// Sets how this process is traced from the next start on.
///
/// Errors: it is being traced.
pub fn configure(config: Config) -> Result<(), Running> {
    let core = core();
    if core.generation() != OFF {
        return Err(Running);
    }
    // Generations have to be of some use.
    core.configure(config.memory, config.generation_size.max(1 << 10));
    SHARED.set_period(config.period.max(Duration::from_micros(100)));
    #[cfg(feature = "backtrace")]
    core.stacks
        .store(config.stacks, std::sync::atomic::Ordering::Relaxed);
    Ok(())
}

/// Whether this process is being traced (`trace.IsEnabled`): one relaxed load.
#[inline]
pub fn is_enabled() -> bool {
    local::is_on()
}

/// Ends the current generation soon, so that consumers get what was traced (`runtime.traceAdvance`).
pub fn advance() {
    SHARED.advance();
}

/// What could not be recorded so far.
pub fn lost() -> Lost {
    let (events, gaps) = core().lost();
    Lost { events, gaps }
}

/// What feeds all who want this process's trace: for recorders, live readers, and queues other than
/// those of [`start`]. It exists from the first call on, with a thread of its own.
///
/// A subscription made here begins soon, not at once: see [`start`].
///
/// Errors: no thread can be had; this is the child of a traced process.
pub fn multiplexer() -> io::Result<&'static TraceMultiplexer> {
    static MULTIPLEXER: OnceLock<TraceMultiplexer> = OnceLock::new();
    static MAKING: Mutex<()> = Mutex::new(());
    if local::is_child() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the child of a traced process cannot be traced",
        ));
    }
    if let Some(multiplexer) = MULTIPLEXER.get() {
        return Ok(multiplexer);
    }
    let _one = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(multiplexer) = MULTIPLEXER.get() {
        return Ok(multiplexer);
    }
    // The clock is measured before anything is traced.
    core();
    local::claim();
    let made = TraceMultiplexer::new(Source::new())?;
    Ok(MULTIPLEXER.get_or_init(|| made))
}

/// Writes the trace of this process (`trace.Start`): what happens after this has returned, until
/// [`stop`](Subscription::stop) of what it gives.
///
/// The writer has a thread of its own, and gets whole generations. It may be slow for as long as
/// memory lasts.
///
/// Errors: those of [`multiplexer`]; those of the writer end the subscription.
///
/// ```
/// use gotrace::tracer;
/// let trace = tracer::start(Vec::new())?;
/// tracer::log("greeting", "hello");
/// let writer = trace.stop().subscriber.expect("a writer");
/// let bytes = writer.into_inner().expect("a vector");
/// let trace = gotrace::Trace::new(&bytes)?;
/// let mut reader = trace.reader();
/// let mut logs = 0;
/// while let Some(event) = reader.next()? {
///     logs += u32::from(matches!(event.details(), gotrace::Details::Log(_)));
/// }
/// assert_eq!(logs, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn start<W: Write + Send + 'static>(writer: W) -> io::Result<Subscription<TraceWriter<W>>> {
    let multiplexer = multiplexer()?;
    let queue = QueueConfig::default();
    let subscription = multiplexer.subscribe(TraceWriter::new(writer), queue)?;
    wait_for(multiplexer, &subscription);
    Ok(subscription)
}

/// Feeds a flight recorder with the trace of this process (`FlightRecorder.Start`): with what happens
/// after this has returned. See [`TraceMultiplexer::record`].
///
/// Errors: those of [`multiplexer`] and of [`TraceMultiplexer::record`].
pub fn record<A: AsRef<[u8]> + AsMut<[u8]> + Send + 'static>(
    recorder: &Arc<SharedRecorder<A>>,
) -> Result<Subscription<Arc<SharedRecorder<A>>>, SharedError> {
    let multiplexer = multiplexer()?;
    let subscription = multiplexer.record(recorder)?;
    wait_for(multiplexer, &subscription);
    Ok(subscription)
}

/// Waits until a subscription has begun, if it will.
fn wait_for<S: Subscriber + 'static>(mux: &TraceMultiplexer, subscription: &Subscription<S>) {
    SHARED.wait_until(|| subscription.has_begun() || subscription.end().is_some() || mux.is_held());
}
