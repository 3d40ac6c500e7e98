//! The tracer as a source of live traces: who starts it, ends generations, and stops it.

use super::core::{Core, FULL, OFF};
use super::local::{self, SHARED, core};
use crate::ids::GenerationId;
use crate::source::{
    AdvanceUnsupported, Part, SharedBatches, SourceControl, SourceError, TraceSource,
};
use crate::wire::Version;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What the thread that ends generations shares with all others.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Something is to be done.
    wake: Condvar,
    /// A generation began for the multiplexer.
    turned: Condvar,
}

#[derive(Clone, Copy)]
struct State {
    /// The open generation should end.
    advance: bool,
    /// Someone asks to look whether it should.
    look: bool,
    interrupted: bool,
    /// The source cannot start any more.
    refused: bool,
    /// The generation that is open for the multiplexer; 0 for none.
    open: u64,
    period: Duration,
}

impl Shared {
    pub(super) const fn new() -> Shared {
        Shared {
            state: Mutex::new(State {
                advance: false,
                look: false,
                interrupted: false,
                refused: false,
                open: 0,
                period: Duration::from_secs(1),
            }),
            wake: Condvar::new(),
            turned: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, what: impl FnOnce(&mut State)) {
        what(&mut self.lock());
        self.wake.notify_one();
    }

    /// Asks to see whether the generation is large, or memory is full.
    pub(super) fn look(&self) {
        self.ask(|state| state.look = true);
    }

    /// Asks for the end of the open generation.
    pub(super) fn advance(&self) {
        self.ask(|state| state.advance = true);
    }

    pub(super) fn set_period(&self, period: Duration) {
        self.ask(|state| state.period = period);
    }

    /// What is open for the multiplexer from now on.
    fn turn(&self, open: u64, refused: bool) {
        let mut state = self.lock();
        (state.open, state.refused) = (open, refused);
        drop(state);
        self.turned.notify_all();
    }

    /// Waits until `done` says so, which is asked again at each turn; or until nothing can be traced.
    pub(super) fn wait_until(&self, mut done: impl FnMut() -> bool) {
        let mut state = self.lock();
        while !done() && !state.refused && !state.interrupted {
            // Asked again now and then, since not all that it depends on is told.
            let waited = self
                .turned
                .wait_timeout(state, Duration::from_millis(20))
                .unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
        }
    }

    /// Waits until the multiplexer's generation is the one that is open now, or later.
    fn catch_up(&self, core: &Core) {
        let now = core.latest();
        if now == OFF || local::is_child() {
            return;
        }
        let mut state = self.lock();
        while state.open != 0 && state.open < now && !state.interrupted {
            let waited = self
                .turned
                .wait_timeout(state, Duration::from_millis(20))
                .unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
        }
    }
}

/// The process's tracer.
pub(super) struct Source {
    /// What is to be handed out of a generation that has ended.
    parts: VecDeque<Vec<u8>>,
    ended: Option<GenerationId>,
    began: Instant,
}

impl Source {
    pub(super) fn new() -> Source {
        Source {
            parts: VecDeque::new(),
            ended: None,
            began: Instant::now(),
        }
    }

    /// Waits until the open generation should end.
    fn wait(&self, core: &Core) -> Result<(), SourceError> {
        let mut state = SHARED.lock();
        loop {
            if state.interrupted {
                return Err(SourceError::Interrupted);
            }
            state.look = false;
            let passed = self.began.elapsed();
            let left = state.period.saturating_sub(passed);
            if state.advance || left.is_zero() {
                state.advance = false;
                return Ok(());
            }
            // Handing over takes a lock that is not this one.
            drop(state);
            if core.generation() == FULL || core.is_large() {
                return Ok(());
            }
            state = SHARED.lock();
            if !state.look && !state.advance && !state.interrupted {
                let waited = SHARED.wake.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// Goes on where memory was full. All was handed out: what is left are the buffers of threads.
    fn resume(&mut self, core: &Core) {
        if core.resume() {
            self.began = Instant::now();
            // Should these be too many, generations follow each other as slowly as this.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl TraceSource for Source {
    fn start(&mut self) -> Result<Version, SourceError> {
        if SHARED.lock().interrupted {
            return Err(SourceError::Interrupted);
        }
        let core = core();
        self.began = Instant::now();
        core.start();
        local::switch(true);
        rebuild_interest();
        SHARED.turn(core.latest(), false);
        Ok(Version::CURRENT)
    }

    fn next(&mut self) -> Result<Option<Part>, SourceError> {
        let core = core();
        if self.parts.is_empty() && self.ended.is_none() {
            self.resume(core);
            SHARED.turn(core.latest(), false);
            self.wait(core)?;
            self.began = Instant::now();
            let Some((number, parts)) = core.end_generation() else {
                return Err(SourceError::Ended);
            };
            self.parts = parts.into();
            self.ended = Some(number);
        }
        if let Some(part) = self.parts.pop_front() {
            core.budget.give_back(part.capacity());
            return Ok(Some(Part::Batches(SharedBatches::from(part))));
        }
        Ok(self.ended.take().map(Part::EndOfGeneration))
    }

    fn stop(&mut self) {
        let core = core();
        local::switch(false);
        rebuild_interest();
        core.stop();
        for part in self.parts.drain(..) {
            core.budget.give_back(part.capacity());
        }
        self.ended = None;
        SHARED.turn(0, false);
    }

    fn control(&self) -> Arc<dyn SourceControl> {
        Arc::new(Control)
    }
}

struct Control;

impl SourceControl for Control {
    fn advance(&self) -> Result<(), AdvanceUnsupported> {
        SHARED.advance();
        Ok(())
    }

    fn catch_up(&self) {
        SHARED.catch_up(core());
    }

    fn interrupt(&self) {
        SHARED.ask(|state| state.interrupted = true);
        SHARED.turned.notify_all();
    }
}

/// Callsites of `tracing` are asked again whether they are of interest.
fn rebuild_interest() {
    #[cfg(feature = "tracing")]
    tracing_core::callsite::rebuild_interest_cache();
}
