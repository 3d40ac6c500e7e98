//! The handles of those who subscribed.

use super::queue::Queue;
use super::subscriber::{Subscriber, hand, shared};
use super::{EndReason, Shared, Signal, Stats, panic_message};
use alloc::sync::Arc;
use core::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};

/// A subscriber that is being fed, and the thread that does it.
///
/// Dropping it asks to leave, as [`leave`](Subscription::leave) does, and waits for nothing: the
/// subscriber gets what it is due on its thread, while the process lives. To wait for that, and to
/// learn how it went, use [`stop`](Subscription::stop) or [`wait`](Subscription::wait).
#[must_use = "dropping a subscription ends it"]
pub struct Subscription<S> {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    worker: Option<JoinHandle<Option<S>>>,
}

/// How a subscription went.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome<S> {
    /// The subscriber; gone if it panicked.
    pub subscriber: Option<S>,
    /// Why it ended.
    pub end: EndReason,
    /// The numbers.
    pub stats: Stats,
}

impl<S: Subscriber + 'static> Subscription<S> {
    pub(super) fn new(
        shared: Arc<Shared>,
        queue: Arc<Queue>,
        subscriber: S,
    ) -> io::Result<Subscription<S>> {
        let fed = Arc::clone(&queue);
        let worker = thread::Builder::new()
            .name("trace subscriber".into())
            .spawn(move || feed(&fed, subscriber))?;
        Ok(Subscription {
            shared,
            queue,
            worker: Some(worker),
        })
    }
}

impl<S> Subscription<S> {
    /// Asks to leave: the current generation is the last; if there is none yet, none will be.
    pub fn leave(&self) {
        self.queue.leave();
        // Where the source cannot be asked, the generation ends when it does.
        let _ = self.shared.control.advance();
    }

    /// Leaves, and waits until the subscriber was given all that it is due (`trace.Stop`).
    ///
    /// That takes until the end of the current generation, about a second; longer if the traced
    /// program stands still.
    pub fn stop(self) -> Outcome<S> {
        let own = self.worker.as_ref().map(|worker| worker.thread().id());
        if own == Some(thread::current().id()) {
            self.leave();
            return self.wait();
        }
        let control = Arc::clone(&self.shared.control);
        control.catch_up();
        self.leave();
        let outcome = self.wait();
        // Who was the last sees the source stopped.
        control.catch_up();
        outcome
    }

    /// Waits for the end of the trace, or of the subscriber.
    ///
    /// On the subscriber's own thread, where that would take forever, gives what there is, without
    /// the subscriber.
    pub fn wait(mut self) -> Outcome<S> {
        let worker = self.worker.take();
        let worker = worker.filter(|worker| worker.thread().id() != thread::current().id());
        let subscriber = worker.and_then(|worker| worker.join().ok().flatten());
        Outcome {
            subscriber,
            end: self.queue.end().unwrap_or(EndReason::Left),
            stats: self.queue.stats(),
        }
    }

    /// Why nothing more will come, if so. What came before it may still be in the queue.
    pub fn end(&self) -> Option<EndReason> {
        self.queue.end()
    }

    /// Whether the subscriber's trace has begun: it is given what is traced from now on.
    pub fn has_begun(&self) -> bool {
        self.queue.has_begun()
    }

    /// The numbers so far.
    pub fn stats(&self) -> Stats {
        self.queue.stats()
    }

    /// Whether the source waits for this subscriber to take something out of its queue, or will when it
    /// waits for no other.
    pub fn is_waited_for(&self) -> bool {
        self.queue.is_waited_for()
    }

    /// For a subscriber that is stuck and holds up the source, and so all others: until it takes something
    /// out of its queue again, the source does not wait for it, and generations that come are dropped and
    /// counted. So is the generation in progress, even if a part of it was taken.
    ///
    /// Gives whether that makes a difference: the queue is full, and the source would wait.
    pub fn pass_over(&self) -> bool {
        self.queue.pass_over()
    }

    /// Whether the subscriber was given everything, or failed.
    pub fn is_finished(&self) -> bool {
        self.worker.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl<S> Drop for Subscription<S> {
    fn drop(&mut self) {
        if self.worker.is_some() {
            self.leave();
        }
    }
}

impl<S> fmt::Debug for Subscription<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("end", &self.end())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Feeds a subscriber until the end; gives it back if it can still be used.
pub(super) fn feed<S: Subscriber>(queue: &Queue, mut subscriber: S) -> Option<S> {
    while let Some(signal) = queue.recv() {
        let handed = catch_unwind(AssertUnwindSafe(|| hand(&mut subscriber, &signal)));
        match handed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                queue.abandon(EndReason::Failed(shared(error)));
                break;
            }
            Err(panic) => {
                queue.abandon(EndReason::Panicked(panic_message(&*panic)));
                // It may panic once more.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(subscriber)));
                return None;
            }
        }
    }
    Some(subscriber)
}

/// A subscription whose holder takes the signals one by one, on whatever thread.
///
/// Dropping it ends it at once.
#[derive(Debug)]
#[must_use = "dropping a receiver ends its subscription"]
pub struct Receiver {
    pub(super) handle: Handle,
}

/// What a receiver is without its documentation.
pub(super) struct Handle {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
}

impl Receiver {
    pub(super) fn new(shared: Arc<Shared>, queue: Arc<Queue>) -> Receiver {
        Receiver {
            handle: Handle { shared, queue },
        }
    }

    /// The next signal, for which it waits; `None` after [`Signal::EndOfTrace`].
    pub fn recv(&self) -> Option<Signal> {
        self.handle.queue.recv()
    }

    /// As [`recv`](Receiver::recv).
    ///
    /// Errors: nothing came for this long.
    #[cfg(not(loom))]
    pub fn recv_timeout(
        &self,
        time: core::time::Duration,
    ) -> Result<Option<Signal>, super::Timeout> {
        self.handle.queue.recv_timeout(time)
    }

    /// Asks to leave: the current generation is the last; if there is none yet, none will be.
    pub fn leave(&self) {
        self.handle.queue.leave();
        let _ = self.handle.shared.control.advance();
    }

    /// Why nothing more will come, if so. What came before it may not have been taken yet.
    pub fn end(&self) -> Option<EndReason> {
        self.handle.queue.end()
    }

    /// The numbers so far.
    pub fn stats(&self) -> Stats {
        self.handle.queue.stats()
    }
}

impl Iterator for Receiver {
    type Item = Signal;

    fn next(&mut self) -> Option<Signal> {
        self.recv()
    }
}

impl Handle {
    /// The number of the source's trace with which it began, from 1 on.
    pub(super) fn first_trace(&self) -> u64 {
        self.queue.first_trace()
    }

    /// Ends the subscription at once.
    pub(super) fn end(&self) {
        self.queue.abandon(EndReason::Left);
        let _ = self.shared.control.advance();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.queue.stats().fmt(f)
    }
}
