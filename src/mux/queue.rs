//! The bounded queue between the multiplexer's thread and one subscriber.
//!
//! One thread puts in, one takes out, any other may ask to leave or look at the numbers. What is
//! taken out is always: a header, generations, an end; or, after whole generations were dropped, a
//! note of that, and again a header and generations. Where the source goes on with another trace, that
//! is put in as well, and what came of a generation before it may lack its end.

use super::{EndReason, Lost, QueueConfig, Signal, Stats, WhenFull};
use crate::ids::GenerationId;
use crate::locks::{Condvar, Mutex, MutexGuard, lock, wait};
use crate::num;
use crate::source::{SharedBatches, SourceError};
use crate::wire::Version;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

pub(super) struct Queue {
    config: QueueConfig,
    /// What takes out has no use for batches before their generation is complete.
    patient: bool,
    state: Mutex<State>,
    /// There is enough to take out, or the end was set.
    readable: Condvar,
    /// There is room again, or the end was set.
    writable: Condvar,
}

// To wake a thread costs as much as to copy many kilobytes. So nobody is woken who does not wait; and
// those who wait only when it is worth it: there is room for half a queue, or for whoever is patient,
// a generation or a quarter of a queue.

struct State {
    /// What can be taken out.
    signals: VecDeque<Signal>,
    /// The generation in progress, if it may yet be dropped.
    staged: Vec<SharedBatches>,
    /// Bytes in both.
    bytes: usize,
    /// Version of the trace; none before the subscriber joined.
    version: Option<Version>,
    /// The number of the source's trace that came first.
    first: Option<u64>,
    /// The generation in progress is being dropped.
    dropping: bool,
    /// Until something is taken out, nobody waits for room.
    passed_over: bool,
    /// What was dropped since anything was put in.
    dropped: Lost,
    /// After the current generation, nothing more is wanted.
    leaving: bool,
    /// Nothing more is put in.
    end: Option<EndReason>,
    /// The end was taken out, or there is nothing to take it.
    over: bool,
    /// Somebody waits for something to be put in; for something to be taken out.
    reader_waits: bool,
    writer_waits: bool,
    stats: Stats,
}

impl Queue {
    pub(super) fn new(config: QueueConfig, patient: bool) -> Queue {
        Queue {
            config,
            patient,
            state: Mutex::new(State {
                signals: VecDeque::new(),
                staged: Vec::new(),
                bytes: 0,
                version: None,
                first: None,
                dropping: false,
                passed_over: false,
                dropped: Lost::default(),
                leaving: false,
                end: None,
                over: false,
                reader_waits: false,
                writer_waits: false,
                stats: Stats::default(),
            }),
            readable: Condvar::new(),
            writable: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Lets go of the lock, and wakes who takes out.
    fn wake_reader(&self, mut state: MutexGuard<'_, State>) {
        if core::mem::take(&mut state.reader_waits) {
            drop(state);
            self.readable.notify_one();
        }
    }

    /// Lets go of the lock, and wakes both.
    fn wake_both(&self, mut state: MutexGuard<'_, State>) {
        let (reader, writer) = (state.reader_waits, state.writer_waits);
        (state.reader_waits, state.writer_waits) = (false, false);
        drop(state);
        if reader {
            self.readable.notify_one();
        }
        if writer {
            self.writable.notify_one();
        }
    }

    /// Whether more may be put in.
    pub(super) fn is_open(&self) -> bool {
        self.lock().end.is_none()
    }

    /// A trace begins here for this subscriber, the source's first or a later one. Says whether it is still
    /// there.
    pub(super) fn join(&self, version: Version, trace: u64) -> bool {
        let mut state = self.lock();
        if state.end.is_some() {
            return false;
        }
        state.first.get_or_insert(trace);
        state.version = Some(version);
        state.signals.push_back(Signal::Header(version));
        if !self.patient {
            self.wake_reader(state);
        }
        true
    }

    /// The number of the source's trace with which it began for this subscriber, from 1 on.
    pub(super) fn first_trace(&self) -> u64 {
        self.lock().first.unwrap_or(1)
    }

    /// Whether the trace has begun for this subscriber.
    pub(super) fn has_begun(&self) -> bool {
        self.lock().version.is_some()
    }

    /// Puts in batches, or drops them if they are not waited for and there is no room. Says whether the
    /// subscriber is still there.
    pub(super) fn push(&self, batches: &SharedBatches) -> bool {
        let mut state = self.lock();
        if state.end.is_some() {
            return false;
        }
        let len = batches.len();
        let waits = self.config.when_full == WhenFull::Wait;
        let is_dropped = match waits {
            true => state.passed_over,
            false => state.bytes.saturating_add(len) > self.config.capacity,
        };
        if is_dropped {
            state.drop_generation();
        }
        if state.dropping {
            state.dropped.bytes = state.dropped.bytes.saturating_add(num::wide(len));
            return true;
        }
        state.bytes = state.bytes.saturating_add(len);
        if waits {
            state.tell_loss();
            state.signals.push_back(Signal::Batches(batches.clone()));
            if !self.patient || state.bytes >= self.config.capacity / 4 {
                self.wake_reader(state);
            }
        } else {
            state.staged.push(batches.clone());
        }
        true
    }

    /// Waits until there is room, or the subscriber is gone; not for one who loses what has no room.
    ///
    /// That is done when everyone has what was read: who is not waited for misses nothing of it.
    pub(super) fn wait_for_room(&self) {
        if self.config.when_full != WhenFull::Wait {
            return;
        }
        let mut state = self.lock();
        while state.end.is_none() && !state.passed_over && self.is_full(&state) {
            state.writer_waits = true;
            if core::mem::take(&mut state.reader_waits) {
                self.readable.notify_one();
            }
            state = wait(&self.writable, state);
        }
    }

    fn is_full(&self, state: &State) -> bool {
        state.bytes > 0 && state.bytes >= self.config.capacity
    }

    /// Whether there must be more room before the source is read again.
    pub(super) fn is_waited_for(&self) -> bool {
        self.holds_up(&self.lock())
    }

    fn holds_up(&self, state: &State) -> bool {
        let waits = self.config.when_full == WhenFull::Wait && !state.passed_over;
        waits && state.end.is_none() && (state.writer_waits || self.is_full(state))
    }

    /// Whoever waits for room waits no more, and what comes is dropped, until something is taken out. Says
    /// whether that makes a difference.
    pub(super) fn pass_over(&self) -> bool {
        let mut state = self.lock();
        if !self.holds_up(&state) {
            return false;
        }
        state.passed_over = true;
        if core::mem::take(&mut state.writer_waits) {
            drop(state);
            self.writable.notify_one();
        }
        true
    }

    /// The current generation ends. Says whether the subscriber wants another one.
    pub(super) fn end_generation(&self, number: GenerationId) -> bool {
        let mut state = self.lock();
        if state.end.is_some() {
            return false;
        }
        if state.dropping {
            state.dropping = false;
            state.dropped.generations = state.dropped.generations.saturating_add(1);
        } else {
            state.publish();
            state.signals.push_back(Signal::EndOfGeneration(number));
        }
        if state.leaving {
            state.end(EndReason::Left);
        }
        let stays = state.end.is_none();
        self.wake_reader(state);
        stays
    }

    /// The trace ended, and another one begins. Says whether the subscriber wants it.
    pub(super) fn restart(&self, reason: Option<SourceError>) -> bool {
        let mut state = self.lock();
        if state.end.is_some() {
            return false;
        }
        state.end_trace();
        state.signals.push_back(Signal::Restart(reason));
        // Whoever leaves before the next header is done.
        state.version = None;
        if state.leaving {
            state.end(EndReason::Left);
        }
        let stays = state.end.is_none();
        self.wake_reader(state);
        stays
    }

    /// Nothing more will come, for this reason. What is there can still be taken out.
    pub(super) fn close(&self, reason: EndReason) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.end(reason);
        }
        self.wake_both(state);
    }

    /// Takes out what comes next, and waits for it; `None` after the end.
    pub(super) fn recv(&self) -> Option<Signal> {
        let mut state = self.lock();
        loop {
            if let Some(signal) = self.take(&mut state) {
                return Some(signal);
            }
            if state.over {
                return None;
            }
            state.reader_waits = true;
            state = wait(&self.readable, state);
        }
    }

    /// As [`recv`](Self::recv), but waits for this long only; the error says that nothing came.
    #[cfg(not(loom))]
    pub(super) fn recv_timeout(
        &self,
        time: core::time::Duration,
    ) -> Result<Option<Signal>, super::Timeout> {
        let end = std::time::Instant::now().checked_add(time);
        let mut state = self.lock();
        loop {
            if let Some(signal) = self.take(&mut state) {
                return Ok(Some(signal));
            }
            if state.over {
                return Ok(None);
            }
            // A time that no clock reaches is no bound.
            let left = end.map_or(time, |end| {
                end.saturating_duration_since(std::time::Instant::now())
            });
            if left.is_zero() {
                return Err(super::Timeout);
            }
            state.reader_waits = true;
            let waited = self.readable.wait_timeout(state, left);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    fn take(&self, state: &mut State) -> Option<Signal> {
        if let Some(signal) = state.signals.pop_front() {
            match &signal {
                Signal::Batches(batches) => {
                    state.bytes = state.bytes.saturating_sub(batches.len());
                    state.passed_over = false;
                    let bytes = num::wide(batches.len());
                    state.stats.bytes = state.stats.bytes.saturating_add(bytes);
                    if state.writer_waits && state.bytes <= self.config.capacity / 2 {
                        state.writer_waits = false;
                        self.writable.notify_one();
                    }
                }
                Signal::EndOfGeneration(_) => {
                    state.stats.generations = state.stats.generations.saturating_add(1);
                }
                _ => {}
            }
            return Some(signal);
        }
        if state.over {
            return None;
        }
        let end = state.end.clone()?;
        state.over = true;
        Some(Signal::EndOfTrace(end))
    }

    /// Nothing is taken out any more, for this reason.
    pub(super) fn abandon(&self, reason: EndReason) {
        let mut state = self.lock();
        if state.over && matches!(reason, EndReason::Left) {
            return;
        }
        state.signals.clear();
        state.staged.clear();
        state.bytes = 0;
        state.end = Some(reason);
        state.over = true;
        self.wake_both(state);
    }

    /// Asks for no generation after the current one.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.leaving = true;
        if state.end.is_none() && state.version.is_none() {
            state.end(EndReason::Left);
        }
        self.wake_both(state);
    }

    /// Why nothing more is put in, if so.
    pub(super) fn end(&self) -> Option<EndReason> {
        self.lock().end.clone()
    }

    pub(super) fn stats(&self) -> Stats {
        let state = self.lock();
        let mut stats = state.stats;
        stats.lost.add(state.dropped);
        stats.queued = num::wide(state.bytes);
        stats
    }
}

impl State {
    /// Drops what came of the current generation, but for what was taken out of it, and what is to come.
    fn drop_generation(&mut self) {
        if self.dropping {
            return;
        }
        let mut len = 0usize;
        // Between those of two generations is the end of one.
        while let Some(Signal::Batches(batches)) = self.signals.back() {
            len = len.saturating_add(batches.len());
            self.signals.pop_back();
        }
        let staged = self.staged.drain(..);
        len = staged.fold(len, |sum, batches| sum.saturating_add(batches.len()));
        self.bytes = self.bytes.saturating_sub(len);
        self.dropped.bytes = self.dropped.bytes.saturating_add(num::wide(len));
        self.dropping = true;
        // Two losses with nothing between them are one.
        let before = self.signals.len().saturating_sub(2);
        let Some(&Signal::Lost(lost)) = self.signals.get(before) else {
            return;
        };
        if let Some(Signal::Header(_)) = self.signals.back() {
            self.signals.truncate(before);
            let sum = &mut self.stats.lost;
            sum.generations = sum.generations.saturating_sub(lost.generations);
            sum.bytes = sum.bytes.saturating_sub(lost.bytes);
            self.dropped.add(lost);
        }
    }

    /// Lets what was staged be taken out; after a loss, as a new trace.
    fn publish(&mut self) {
        self.tell_loss();
        let staged = self.staged.drain(..).map(Signal::Batches);
        self.signals.extend(staged);
    }

    fn tell_loss(&mut self) {
        if self.dropped == Lost::default() {
            return;
        }
        let lost = core::mem::take(&mut self.dropped);
        self.stats.lost.add(lost);
        self.signals.push_back(Signal::Lost(lost));
        self.signals.extend(self.version.map(Signal::Header));
    }

    fn end(&mut self, reason: EndReason) {
        self.end_trace();
        self.end = Some(reason);
    }

    /// Lets what was staged be taken out, which lacks its end, and tells what was lost.
    fn end_trace(&mut self) {
        if !self.staged.is_empty() {
            self.publish();
        }
        self.dropping = false;
        if self.dropped != Lost::default() {
            self.tell_loss();
            // No trace follows.
            if matches!(self.signals.back(), Some(Signal::Header(_))) {
                self.signals.pop_back();
            }
        }
    }
}
