//! What runs on a thread: its proc, and goroutines.

use super::core::{Core, OFF};
use super::goroutines::{Go, GoState, Told};
use super::procs::{Proc, ProcState};
use super::thread::{Moment, State};
use crate::ids::StackId;
use crate::wire::{GoStatus, ProcStatus, timed};
use alloc::sync::Arc;

/// Why a goroutine stops running.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stop {
    Block(&'static str),
    Yield(&'static str),
    End,
}

/// What a worker's own goroutine waits for while it polls others.
pub(super) const POLLS: Stop = Stop::Block("system goroutine wait");

impl State {
    /// Whether the thread has a proc that runs, from now on.
    pub(super) fn run_proc(&mut self, core: &Core, at: Moment) -> bool {
        let Some(mut proc) = self.proc.take().or_else(|| core.procs.take(at.generation)) else {
            return false;
        };
        let running = self.start_proc(core, at, &mut proc);
        self.proc = Some(proc);
        running
    }

    pub(super) fn start_proc(&mut self, core: &Core, at: Moment, proc: &mut Proc) -> bool {
        let (p, generation) = (proc.id, at.generation);
        match proc.state {
            ProcState::Running | ProcState::Syscall => return true,
            ProcState::Unknown => {
                let pstatus = ProcStatus::RUNNING;
                if !self.put(core, at, timed::ProcStatus { p, pstatus }) {
                    return false;
                }
                (proc.generation, proc.sequence) = (generation, 0);
            }
            ProcState::Idle => {
                if proc.generation != generation {
                    let pstatus = ProcStatus::IDLE;
                    if !self.put(core, at, timed::ProcStatus { p, pstatus }) {
                        return false;
                    }
                    (proc.generation, proc.sequence) = (generation, 0);
                }
                let p_seq = proc.sequence.saturating_add(1);
                if !self.put(core, at, timed::ProcStart { p, p_seq }) {
                    return false;
                }
                proc.sequence = p_seq;
            }
        }
        proc.state = ProcState::Running;
        true
    }

    /// The proc is idle from now on, where no goroutine runs on it.
    pub(super) fn stop_proc(&mut self, core: &Core, at: Moment) {
        let runs = |p: &Proc| p.state == ProcState::Running;
        if self.running.is_none()
            && self.proc.as_ref().is_some_and(runs)
            && self.put(core, at, timed::ProcStop {})
            && let Some(proc) = &mut self.proc
        {
            proc.state = ProcState::Idle;
        }
    }

    pub(super) fn let_go_of_proc(&mut self, core: &Core) {
        if let Some(proc) = self.proc.take_if(|p| p.state == ProcState::Idle) {
            core.procs.give_back(proc);
        }
    }

    /// Says in a generation that a goroutine, which does not run, is there.
    pub(super) fn mention(
        &mut self,
        core: &Core,
        at: Moment,
        go: &Arc<Go>,
        state: &mut GoState,
    ) -> bool {
        if state.generation == at.generation {
            return true;
        }
        let first = core.first();
        if state.generation < first {
            state.begin_trace();
        }
        let before = at.generation.saturating_sub(1);
        if before >= first && state.generation < before {
            core.mention_late(before, go, state);
        }
        let gstatus = match state.told {
            Told::Waiting => GoStatus::WAITING,
            Told::Runnable => GoStatus::RUNNABLE,
            Told::Running | Told::Unborn | Told::Dead => return false,
        };
        let stack = StackId::new(self.stack_of(core, at, &go.name));
        let status = timed::GoStatusStack {
            g: go.id,
            m: None,
            gstatus,
            stack,
        };
        let said = self.put(core, at, status);
        if said {
            (state.generation, state.sequence) = (at.generation, 0);
        }
        said
    }

    /// Says that a goroutine begins to exist. It is ready to run.
    pub(super) fn say_created(
        &mut self,
        core: &Core,
        at: Moment,
        go: &Arc<Go>,
        state: &mut GoState,
    ) -> bool {
        if !self.run_proc(core, at) {
            return false;
        }
        let new_stack = StackId::new(self.stack_of(core, at, &go.name));
        let stack = self.stack_here(core, at);
        let created = timed::GoCreate {
            new_g: go.id,
            new_stack,
            stack,
        };
        let said = self.put(core, at, created);
        if said {
            (state.generation, state.sequence) = (at.generation, 0);
            state.told = Told::Runnable;
        }
        said
    }

    pub(super) fn say_unblocked(
        &mut self,
        core: &Core,
        at: Moment,
        go: &Go,
        state: &mut GoState,
    ) -> bool {
        let unblocked = timed::GoUnblock {
            g: go.id,
            g_seq: state.sequence.saturating_add(1),
            stack: None,
        };
        let said = self.put(core, at, unblocked);
        if said {
            state.sequence = state.sequence.saturating_add(1);
            state.told = Told::Runnable;
        }
        said
    }

    /// A goroutine that does not run begins to, where none does.
    pub(super) fn start_running(
        &mut self,
        core: &Core,
        at: Moment,
        go: &Arc<Go>,
        state: &mut GoState,
    ) -> bool {
        debug_assert!(self.running.is_none());
        if state.generation < core.first() {
            state.begin_trace();
        }
        if !self.run_proc(core, at) {
            return false;
        }
        let known = match state.told {
            Told::Unborn => self.say_created(core, at, go, state),
            Told::Waiting | Told::Runnable => self.mention(core, at, go, state),
            Told::Running | Told::Dead => false,
        };
        if !known || state.told == Told::Waiting && !self.say_unblocked(core, at, go, state) {
            return false;
        }
        let g_seq = state.sequence.saturating_add(1);
        if !self.put(core, at, timed::GoStart { g: go.id, g_seq }) {
            return false;
        }
        state.sequence = g_seq;
        state.told = Told::Running;
        state.woken = false;
        self.running = Some(Arc::clone(go));
        core::mem::swap(&mut self.regions, &mut state.regions);
        if core::mem::replace(&mut state.losses, core.losses()) != core.losses() {
            // Which of them ended meanwhile is not known.
            self.regions
                .iter_mut()
                .for_each(|region| region.over = true);
            self.end_regions_that_are_over(core, at);
        }
        true
    }

    /// What runs here stops, if anything does.
    pub(super) fn stop_running(&mut self, core: &Core, at: Moment, why: Stop) {
        let Some(go) = self.running.take() else {
            return;
        };
        if !self.end_syscall(core, at) {
            self.running = Some(go);
            return;
        }
        let mut state = go.lock();
        let why = match why {
            Stop::End => why,
            _ if state.dead => Stop::End,
            Stop::Block(_) if core::mem::take(&mut state.woken) => Stop::Yield("runtime.Gosched"),
            _ => why,
        };
        let said = match why {
            Stop::Block(reason) => {
                let reason_string = self.string(core, at, reason);
                let stack = self.stack_here(core, at);
                let event = timed::GoBlock {
                    reason_string,
                    stack,
                };
                (self.put(core, at, event), Told::Waiting)
            }
            Stop::Yield(reason) => {
                let reason_string = self.string(core, at, reason);
                let event = timed::GoStop {
                    reason_string,
                    stack: None,
                };
                (self.put(core, at, event), Told::Runnable)
            }
            Stop::End => {
                state.dead = true;
                self.regions
                    .iter_mut()
                    .for_each(|region| region.over = true);
                self.end_regions_that_are_over(core, at);
                let ended = self.regions.is_empty() && self.put(core, at, timed::GoDestroy {});
                (ended, Told::Dead)
            }
        };
        match said {
            (true, told) => {
                state.told = told;
                core::mem::swap(&mut self.regions, &mut state.regions);
                drop(state);
                if told == Told::Dead {
                    core.alive.remove(&go);
                }
            }
            (false, _) => {
                drop(state);
                self.running = Some(go);
            }
        }
    }

    /// What really runs on this thread: a task that is polled, or the thread's own goroutine.
    pub(super) fn current(&mut self, core: &Core) -> Option<Arc<Go>> {
        if let Some(go) = self.polled.last().or(self.own.as_ref()) {
            return Some(Arc::clone(go));
        }
        let own = Go::new(Arc::clone(self.name.as_ref()?))?;
        core.alive.insert(&own);
        self.own = Some(Arc::clone(&own));
        Some(own)
    }

    /// Sees to it that the trace has what really runs on this thread as what does. Nothing if it
    /// cannot: nothing is traced, or memory is full.
    #[inline(always)]
    pub(super) fn run_current(&mut self, core: &Core) -> Option<Moment> {
        if let Some(running) = &self.running
            && let Some(current) = self.polled.last().or(self.own.as_ref())
            && Arc::ptr_eq(running, current)
            && !self.in_syscall
        {
            return self.now(core);
        }
        self.switch_to_current(core)
    }

    #[inline(never)]
    pub(super) fn switch_to_current(&mut self, core: &Core) -> Option<Moment> {
        if core.generation() == OFF {
            return None;
        }
        let current = self.current(core)?;
        if let Some(running) = &self.running
            && Arc::ptr_eq(running, &current)
        {
            let at = self.now(core)?;
            return self.end_syscall(core, at).then_some(at);
        }
        let mut state = current.lock();
        // On another thread, or ended, whatever this one thinks.
        if matches!(state.told, Told::Running | Told::Dead) && state.generation >= core.first() {
            core.lose(1);
            return None;
        }
        let at = self.now(core)?;
        self.stop_running(core, at, self.why_preempted());
        if self.running.is_some() {
            return None;
        }
        self.start_running(core, at, &current, &mut state)
            .then_some(at)
    }

    /// Why what runs stops when something else is to run.
    pub(super) fn why_preempted(&self) -> Stop {
        match (&self.running, &self.own) {
            (Some(running), Some(own)) if Arc::ptr_eq(running, own) => POLLS,
            _ => Stop::Yield("preempted"),
        }
    }
}

impl GoState {
    /// A trace begins that does not know it: it waits.
    pub(super) fn begin_trace(&mut self) {
        if self.told != Told::Unborn {
            self.told = Told::Waiting;
        }
        self.regions.clear();
        self.generation = 0;
    }
}
