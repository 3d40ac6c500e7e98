//! One live trace, many subscribers.
//!
//! A [`TraceMultiplexer`] reads one [source](crate::source) on one thread and feeds everyone who
//! subscribed, at any time and from any thread. It is for a live trace what Go's multiplexer
//! (`runtime/trace`, since 1.25) is for the runtime's own, with these promises:
//!
//! - The first subscriber starts the source, the last to leave stops it. Where Go has
//!   `trace.Start(w)`, `trace.Stop()` and `trace.IsEnabled()`, there are
//!   [`start`](TraceMultiplexer::start), [`Subscription::stop`] and
//!   [`enabled`](TraceMultiplexer::enabled); there may be any number of writers and recorders.
//! - A subscriber's trace begins with a header and the first batch of a generation, and ends with a
//!   generation, whenever it joins and leaves. If the source breaks, who is fed batch by batch gets
//!   the half generation, but never its end; [`TraceWriter`] and [`LiveReader`] leave it out.
//! - Batches are shared, not copied for each subscriber ([`SharedBatches`]).
//! - Each subscriber has a thread and a bounded queue of its own. When the queue is full, either no
//!   more is read of the source until there is room ([`WhenFull::Wait`]); or whole generations are
//!   dropped, for this subscriber, and counted ([`WhenFull::DropGenerations`]). What follows a dropped
//!   generation begins a new trace, since events refer to what came before.
//! - Whoever is slow keeps nothing from the others that was read: the source waits when all have it,
//!   and the end of its generation if that was read, too.
//! - Where the source goes on with another trace, because the traced program was started again, every
//!   subscriber is told, and gets a header again ([`Signal::Restart`]).
//! - An error or a panic of a subscriber ends its subscription only, and reaches its handle:
//!   [`Outcome::end`]. Handles report bytes, generations and losses, and unsubscribe when dropped.
//! - Dropping the multiplexer stops its thread and ends all subscriptions; what is in their queues
//!   is still delivered. It waits for a read of the source if that cannot be interrupted (see
//!   [`StreamSource`](crate::source::StreamSource)), and for no subscriber.
//!
//! ```
//! use gotrace::mux::{EndReason, QueueConfig, TraceMultiplexer};
//! use gotrace::source::StreamSource;
//!
//! // In practice, the standard output of a Go program that calls trace.Start(os.Stdout).
//! let trace = std::fs::File::open("tests/fixtures/http-go1.27.trace")?;
//! let mux = TraceMultiplexer::new(StreamSource::new(trace))?;
//!
//! // Both from the first generation on.
//! let hold = mux.hold();
//! let writer = mux.start(Vec::new())?;
//! let mut events = mux.events(QueueConfig::default());
//! drop(hold);
//!
//! let mut tasks = 0;
//! while let Some(event) = events.next()? {
//!     tasks += u32::from(event.kind() == gotrace::EventKind::TaskBegin);
//! }
//! assert_eq!(tasks, 120);
//!
//! let outcome = writer.wait();
//! assert!(matches!(outcome.end, EndReason::Finished));
//! let copy = outcome.subscriber.and_then(|writer| writer.into_inner());
//! assert_eq!(copy, Some(std::fs::read("tests/fixtures/http-go1.27.trace")?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod hub;
mod live;
#[cfg(all(test, loom))]
mod model;
mod queue;
mod recorder;
mod subscriber;
mod subscription;

pub use live::{LiveError, LiveReader};
pub use subscriber::{Callback, Subscriber, SubscriberError, TakeBack, TraceCut, TraceWriter};
pub use subscription::{Outcome, Receiver, Subscription};

use crate::ids::GenerationId;
use crate::source::{AdvanceUnsupported, SharedBatches, SourceControl, SourceError, TraceSource};
use crate::wire::Version;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::any::Any;
use core::fmt;
use hub::Hub;
use queue::Queue;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};

/// Feeds one live trace to any number of subscribers. See [the module](self).
pub struct TraceMultiplexer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What handles share with the multiplexer.
pub(crate) struct Shared {
    hub: Hub,
    control: Arc<dyn SourceControl>,
}

impl TraceMultiplexer {
    /// A multiplexer over a source, with the thread that will read it. Nothing is read yet.
    ///
    /// Errors: no thread can be had.
    pub fn new(mut source: impl TraceSource + 'static) -> io::Result<TraceMultiplexer> {
        let shared = Arc::new(Shared {
            hub: Hub::new(),
            control: source.control(),
        });
        let run = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("trace multiplexer".into())
            .spawn(move || {
                let result = catch_unwind(AssertUnwindSafe(|| run.hub.run(&mut source)));
                if let Err(panic) = result {
                    let error = SourceError::Panicked(panic_message(&*panic));
                    run.hub.close(EndReason::Broken(error));
                    // It may panic once more.
                    let _ = catch_unwind(AssertUnwindSafe(|| drop(source)));
                }
            })?;
        Ok(TraceMultiplexer {
            shared,
            thread: Some(thread),
        })
    }

    /// Feeds a subscriber, on a thread of its own, from the next generation on.
    ///
    /// Errors: no thread can be had. That the source cannot be started is known later, and is the
    /// [end](EndReason::Broken) of the subscription.
    pub fn subscribe<S: Subscriber + 'static>(
        &self,
        subscriber: S,
        config: QueueConfig,
    ) -> io::Result<Subscription<S>> {
        let patient = subscriber.takes_whole_generations();
        let queue = Arc::new(Queue::new(config, patient));
        let shared = Arc::clone(&self.shared);
        let subscription = Subscription::new(shared, Arc::clone(&queue), subscriber)?;
        self.join(queue);
        Ok(subscription)
    }

    /// Writes the trace from the next generation on (`trace.Start`): a [`TraceWriter`] for which the
    /// source waits. [`Subscription::stop`] is `trace.Stop`.
    ///
    /// Errors: as for [`subscribe`](TraceMultiplexer::subscribe). Those of the writer end the
    /// subscription.
    pub fn start<W: Write + Send + 'static>(
        &self,
        writer: W,
    ) -> io::Result<Subscription<TraceWriter<W>>> {
        self.subscribe(TraceWriter::new(writer), QueueConfig::default())
    }

    /// Hands the signals of a subscription to what takes them.
    pub fn channel(&self, config: QueueConfig) -> Receiver {
        self.receiver(config, false)
    }

    fn receiver(&self, config: QueueConfig, patient: bool) -> Receiver {
        let queue = Arc::new(Queue::new(config, patient));
        let receiver = Receiver::new(Arc::clone(&self.shared), Arc::clone(&queue));
        self.join(queue);
        receiver
    }

    /// Reads the events from the next generation on, as generations complete.
    pub fn events(&self, config: QueueConfig) -> LiveReader {
        LiveReader::new(self.receiver(config, true))
    }

    /// Whether anyone is subscribed for whom the source runs (`trace.IsEnabled`).
    pub fn enabled(&self) -> bool {
        self.shared.hub.is_running()
    }

    /// Keeps the source from being started while the guard lives, so that several subscribers begin
    /// with the same generation. A source that runs already goes on.
    pub fn hold(&self) -> Hold {
        self.shared.hub.hold();
        Hold(Arc::clone(&self.shared))
    }

    /// Whether a [`hold`](TraceMultiplexer::hold) keeps the source from being started.
    #[cfg(feature = "tracer")]
    pub(crate) fn is_held(&self) -> bool {
        self.shared.hub.is_held()
    }

    /// Asks the source to end the current generation soon. Joining and leaving ask it, too.
    ///
    /// Errors: it cannot.
    pub fn advance(&self) -> Result<(), AdvanceUnsupported> {
        self.shared.control.advance()
    }

    fn join(&self, queue: Arc<Queue>) {
        self.shared.hub.subscribe(queue);
        // Where the source cannot be asked, the generation ends when it does.
        let _ = self.shared.control.advance();
    }
}

impl Drop for TraceMultiplexer {
    fn drop(&mut self) {
        self.shared.hub.close(EndReason::Stopped);
        self.shared.control.interrupt();
        if let Some(thread) = self.thread.take() {
            // Its panics were caught.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for TraceMultiplexer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceMultiplexer")
            .field("enabled", &self.enabled())
            .finish_non_exhaustive()
    }
}

/// Keeps a source from being started: [`TraceMultiplexer::hold`].
#[must_use = "the source is held while this lives"]
pub struct Hold(Arc<Shared>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.hub.release();
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hold")
    }
}

/// What comes to a subscription; [`Subscriber`] says in which order.
#[derive(Clone, Debug)]
pub enum Signal {
    /// A trace of this version begins.
    Header(Version),
    /// Complete batches of one generation.
    Batches(SharedBatches),
    /// All of this generation has come.
    EndOfGeneration(GenerationId),
    /// The trace ended, as it should or, for this reason, in the middle of a generation. The source
    /// waits for another one, which begins with its header.
    Restart(Option<SourceError>),
    /// So much was dropped, and a new trace begins.
    Lost(Lost),
    /// Nothing more comes.
    EndOfTrace(EndReason),
}

/// How large a queue is, and what happens when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// The most bytes of batches in the queue; and, where the source waits, one part more. The buffers
    /// that they are in may take four times that; what is shared with other subscribers is there
    /// once.
    pub capacity: usize,
    /// What happens when there is no room.
    pub when_full: WhenFull,
}

/// What happens when a queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// No more is read of the source until half of the queue is free. Everyone has by then what was
    /// read before: a slow subscriber delays what comes, for all, and what is there, for none. Batches
    /// are delivered as they come. One that is stuck can be [passed over](Subscription::pass_over).
    Wait,
    /// The generation in progress is dropped for this subscriber. To that end it is delivered when
    /// it is complete: one larger than the queue never is.
    DropGenerations,
}

impl QueueConfig {
    /// A queue of so many bytes for which the source waits.
    pub const fn waiting(capacity: usize) -> QueueConfig {
        QueueConfig {
            capacity,
            when_full: WhenFull::Wait,
        }
    }

    /// A queue of so many bytes that drops generations.
    pub const fn dropping(capacity: usize) -> QueueConfig {
        QueueConfig {
            capacity,
            when_full: WhenFull::DropGenerations,
        }
    }
}

/// 4 MiB for which the source waits.
impl Default for QueueConfig {
    fn default() -> Self {
        QueueConfig::waiting(4 << 20)
    }
}

/// What did not fit into a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Whole generations. One that was being dropped when the trace ended is not counted.
    pub generations: u64,
    /// Bytes of batches.
    pub bytes: u64,
}

impl Lost {
    fn add(&mut self, more: Lost) {
        self.generations = self.generations.saturating_add(more.generations);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

/// The numbers of a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes of batches that were handed to the subscriber; headers are not counted.
    pub bytes: u64,
    /// Complete generations that were handed to it.
    pub generations: u64,
    /// What was dropped.
    pub lost: Lost,
    /// Bytes of batches in the queue now.
    pub queued: u64,
}

/// Why a subscription ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EndReason {
    /// The source ended as it should, after a generation.
    Finished,
    /// The source could not start, or broke.
    Broken(SourceError),
    /// The subscriber left.
    Left,
    /// The multiplexer was dropped.
    Stopped,
    /// The subscriber gave this error.
    Failed(Arc<dyn core::error::Error + Send + Sync>),
    /// The subscriber panicked, with this message.
    Panicked(String),
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndReason::Finished => f.write_str("the trace ended"),
            EndReason::Broken(error) => error.fmt(f),
            EndReason::Left => f.write_str("the subscriber left"),
            EndReason::Stopped => f.write_str("the multiplexer was stopped"),
            EndReason::Failed(error) => error.fmt(f),
            EndReason::Panicked(message) => write!(f, "the subscriber panicked: {message}"),
        }
    }
}

/// Nothing came in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout;

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing came in time")
    }
}

impl core::error::Error for Timeout {}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text.to_string(),
        (None, Some(text)) => text.clone(),
        (None, None) => "no message".to_string(),
    }
}
