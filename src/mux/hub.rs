//! Who is subscribed, and the loop that feeds them.

use super::EndReason;
use super::queue::Queue;
use crate::locks::{Condvar, Mutex, MutexGuard, lock, wait};
use crate::source::{Part, SourceError, TraceSource};
use crate::wire::Version;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What the multiplexer's thread shares with everyone else.
///
/// Locks are taken in this order: the hub's, then a queue's.
pub(super) struct Hub {
    state: Mutex<State>,
    /// There may be a reason to start, or to stop.
    wake: Condvar,
}

struct State {
    /// Those that begin with the next generation.
    joining: Vec<Arc<Queue>>,
    /// Those that are being fed.
    members: Vec<Arc<Queue>>,
    /// How many want the source not to be started yet.
    holds: usize,
    /// Whether the source is started.
    running: bool,
    /// No subscription is taken any more, for this reason.
    closed: Option<EndReason>,
}

impl Hub {
    pub(super) fn new() -> Hub {
        Hub {
            state: Mutex::new(State {
                joining: Vec::new(),
                members: Vec::new(),
                holds: 0,
                running: false,
                closed: None,
            }),
            wake: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Whether the source is started.
    pub(super) fn is_running(&self) -> bool {
        self.lock().running
    }

    /// Adds a subscriber, which begins with the next generation.
    pub(super) fn subscribe(&self, queue: Arc<Queue>) {
        let mut state = self.lock();
        match &state.closed {
            Some(reason) => queue.close(reason.clone()),
            None => {
                // However long the source keeps newcomers waiting, those who left do not gather.
                state.joining.retain(|queue| queue.is_open());
                state.joining.push(queue);
            }
        }
        self.wake.notify_one();
    }

    /// Keeps the source from being started, until [`release`](Self::release).
    pub(super) fn hold(&self) {
        let mut state = self.lock();
        state.holds = state.holds.saturating_add(1);
    }

    /// Whether the source is kept from being started.
    #[cfg(feature = "tracer")]
    pub(super) fn is_held(&self) -> bool {
        let state = self.lock();
        state.holds > 0 && !state.running
    }

    pub(super) fn release(&self) {
        let mut state = self.lock();
        state.holds = state.holds.saturating_sub(1);
        self.wake.notify_one();
    }

    /// Ends all subscriptions, and the loop as soon as it looks.
    pub(super) fn close(&self, reason: EndReason) {
        let mut state = self.lock();
        state.closed.get_or_insert_with(|| reason.clone());
        state.tell_all(&reason);
        self.wake.notify_one();
    }

    /// Starts and reads the source while anyone is subscribed; returns when all is closed.
    pub(super) fn run(&self, source: &mut dyn TraceSource) {
        while self.wait_for_one() {
            let reason = self.feed(source);
            source.stop();
            if let Some(reason) = reason {
                let mut state = self.lock();
                state.running = false;
                state.tell_all(&reason);
            }
        }
    }

    /// Waits until someone is there to be fed; gives false if all is closed.
    fn wait_for_one(&self) -> bool {
        let mut state = self.lock();
        loop {
            if state.closed.is_some() {
                state.running = false;
                return false;
            }
            state.joining.retain(|queue| queue.is_open());
            if state.holds == 0 && !state.joining.is_empty() {
                state.running = true;
                return true;
            }
            state = wait(&self.wake, state);
        }
    }

    /// Feeds the source to its subscribers, until there are none, or for a reason that they are given.
    fn feed(&self, source: &mut dyn TraceSource) -> Option<EndReason> {
        let mut version = match source.start() {
            Ok(version) => version,
            Err(error) => return Some(EndReason::Broken(error)),
        };
        let mut trace = 1u64;
        let mut active = self.turn(Vec::new(), version, trace)?;
        loop {
            // Only now, when all have what was read, with the end of its generation: whoever is slow
            // keeps from the others what is to come, and nothing that is there.
            if !source.is_at_end() {
                active.iter().for_each(|queue| queue.wait_for_room());
            }
            match source.next() {
                // Who has left is forgotten at the end of the generation.
                Ok(Some(Part::Batches(batches))) => active.retain(|queue| queue.push(&batches)),
                Ok(Some(Part::EndOfGeneration(number))) => {
                    active.retain(|queue| queue.end_generation(number));
                    active = self.turn(active, version, trace)?;
                }
                Ok(Some(Part::Restart(reason))) => {
                    // Nobody waits for a generation's end between two traces.
                    active.retain(|queue| queue.restart(reason.clone()));
                    self.members(&active)?;
                }
                Ok(Some(Part::Header(next))) => {
                    version = next;
                    trace = trace.saturating_add(1);
                    active.retain(|queue| queue.join(version, trace));
                    active = self.turn(active, version, trace)?;
                }
                Ok(None) => return Some(EndReason::Finished),
                Err(SourceError::Interrupted) => return Some(EndReason::Stopped),
                Err(error) => return Some(EndReason::Broken(error)),
            }
        }
    }

    /// Between two generations, lets those join who want to; `None` if none is left.
    fn turn(
        &self,
        mut active: Vec<Arc<Queue>>,
        version: Version,
        trace: u64,
    ) -> Option<Vec<Arc<Queue>>> {
        let mut state = self.lock();
        for queue in core::mem::take(&mut state.joining) {
            if queue.join(version, trace) {
                active.push(queue);
            }
        }
        state.are_members(&active).then_some(active)
    }

    /// Those who are fed are these; `None` if that is nobody, and nobody waits to be.
    fn members(&self, active: &[Arc<Queue>]) -> Option<()> {
        let mut state = self.lock();
        state.joining.retain(|queue| queue.is_open());
        let waited_for = !state.joining.is_empty();
        (state.are_members(active) || waited_for).then_some(())
    }
}

impl State {
    /// Those who are fed are these; says whether there are any.
    fn are_members(&mut self, active: &[Arc<Queue>]) -> bool {
        self.members.clear();
        self.members.extend(active.iter().cloned());
        self.running = !active.is_empty();
        self.running
    }

    fn tell_all(&mut self, reason: &EndReason) {
        for queue in self.joining.drain(..).chain(self.members.drain(..)) {
            queue.close(reason.clone());
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::mux::QueueConfig;

    #[test]
    fn those_who_left_before_they_began_do_not_gather() {
        let hub = Hub::new();
        hub.hold();
        for _ in 0..100 {
            let queue = Arc::new(Queue::new(QueueConfig::default(), false));
            hub.subscribe(Arc::clone(&queue));
            queue.leave();
        }
        assert_eq!(hub.lock().joining.len(), 1);
    }
}
