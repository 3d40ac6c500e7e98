//! What happens on a thread: polls, wakes, waits, annotations.

use super::core::{Core, OFF};
use super::goroutines::{Go, Region, Told};
use super::procs::ProcState;
use super::running::Stop;
use super::thread::{Moment, State};
use crate::ids::TaskId;
use crate::wire::{Typed, timed};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How many regions may be open in a goroutine.
const DEEPEST: usize = 1000;

impl State {
    /// A task begins to be polled.
    pub(super) fn poll_begin(&mut self, core: &Core, go: &Arc<Go>) {
        self.polled.push(Arc::clone(go));
        self.run_current(core);
    }

    /// A task was polled: it waits, for `why`, or has ended.
    pub(super) fn poll_end(&mut self, core: &Core, go: &Arc<Go>, why: &'static str) {
        self.end_polling(go);
        let running = self.running.as_ref();
        if running.is_some_and(|running| Arc::ptr_eq(running, go))
            && let Some(at) = self.now(core)
        {
            self.stop_running(core, at, Stop::Block(why));
        }
    }

    /// A task was polled for the last time.
    pub(super) fn poll_last(&mut self, core: &Core, go: &Arc<Go>) {
        self.end_polling(go);
        self.end_goroutine(core, go);
    }

    fn end_polling(&mut self, go: &Arc<Go>) {
        if let Some(place) = self.polled.iter().rposition(|p| Arc::ptr_eq(p, go)) {
            self.polled.truncate(place);
        }
    }

    /// A goroutine is over, wherever it is.
    pub(super) fn end_goroutine(&mut self, core: &Core, go: &Arc<Go>) {
        {
            let mut state = go.lock();
            if state.told == Told::Dead {
                return;
            }
            if state.told == Told::Unborn || state.generation < core.first() {
                // No reader has heard of it.
                state.dead = true;
                drop(state);
                core.alive.remove(go);
                return;
            }
        }
        if !self.running.as_ref().is_some_and(|r| Arc::ptr_eq(r, go)) {
            // It has to run to end.
            self.polled.push(Arc::clone(go));
            self.run_current(core);
            self.polled.pop();
        }
        if self.running.as_ref().is_some_and(|r| Arc::ptr_eq(r, go))
            && let Some(at) = self.now(core)
        {
            self.stop_running(core, at, Stop::End);
        }
        // If that could not be written, the end of a generation says so.
        let before = core::mem::replace(&mut go.lock().dead, true);
        if !before && core.generation() == OFF {
            core.alive.remove(go);
        }
    }

    /// A goroutine that waits becomes ready to run; one that runs will not wait.
    pub(super) fn wake(&mut self, core: &Core, go: &Arc<Go>) {
        let mut state = go.lock();
        if state.dead {
            return;
        }
        if state.generation < core.first() {
            state.begin_trace();
        }
        match state.told {
            Told::Unborn | Told::Runnable | Told::Dead => {}
            Told::Running => state.woken = true,
            Told::Waiting => {
                let Some(at) = self.now(core) else { return };
                if self.mention(core, at, go, &mut state) {
                    self.say_unblocked(core, at, go, &mut state);
                }
            }
        }
    }

    /// A goroutine begins to exist, created by what runs here.
    pub(super) fn create(&mut self, core: &Core, go: &Arc<Go>) {
        core.alive.insert(go);
        let mut at = self.run_current(core);
        let mut state = go.lock();
        // A generation may have ended since.
        if at.is_some() {
            at = self.now(core);
        }
        if let Some(at) = at {
            self.say_created(core, at, go, &mut state);
        }
    }

    pub(super) fn block(&mut self, core: &Core, reason: &'static str) {
        if let Some(at) = self.run_current(core) {
            self.stop_running(core, at, Stop::Block(reason));
            self.stop_proc(core, at);
        }
    }

    /// The thread waits for work: its own goroutine does not run, and its proc is idle.
    #[cfg(any(feature = "tokio", test))]
    pub(super) fn park(&mut self, core: &Core) {
        if (self.running.is_some() || self.proc.is_some())
            && let Some(at) = self.now(core)
        {
            self.stop_running(core, at, super::running::POLLS);
            self.stop_proc(core, at);
        }
    }

    pub(super) fn begin_syscall(&mut self, core: &Core) -> bool {
        let Some(at) = self.run_current(core) else {
            return false;
        };
        let Some(p_seq) = self.proc.as_ref().map(|p| p.sequence.saturating_add(1)) else {
            return false;
        };
        let stack = self.stack_here(core, at);
        if !self.put(core, at, timed::GoSyscallBegin { p_seq, stack }) {
            return false;
        }
        if let Some(proc) = &mut self.proc {
            (proc.sequence, proc.state) = (p_seq, ProcState::Syscall);
        }
        self.in_syscall = true;
        true
    }

    /// What is in a system call runs again. Whether it is in none.
    pub(super) fn end_syscall(&mut self, core: &Core, at: Moment) -> bool {
        if self.in_syscall && self.put(core, at, timed::GoSyscallEnd {}) {
            self.in_syscall = false;
            if let Some(proc) = &mut self.proc {
                proc.state = ProcState::Running;
            }
        }
        !self.in_syscall
    }

    #[inline(always)]
    pub(super) fn log(&mut self, core: &Core, task: u64, category: &'static str, text: &[u8]) {
        let Some(at) = self.run_current(core) else {
            return;
        };
        let Some(value_string) = self.text(core, at, text) else {
            return;
        };
        let event = timed::UserLog {
            task: task_id(task),
            key_string: self.string(core, at, category),
            value_string,
            stack: self.stack_here(core, at),
        };
        self.put(core, at, event);
    }

    /// A region begins; gives its number, 0 if it is not in the trace.
    #[inline(always)]
    pub(super) fn begin_region(&mut self, core: &Core, task: u64, name: &'static str) -> u64 {
        self.regions_begun = self.regions_begun.wrapping_add(1);
        let thread = self.number.map_or(0, |m| m.get());
        let number = thread.wrapping_shl(40) ^ self.regions_begun;
        match self.begin_region_as(core, task, name, number) {
            true => number,
            false => 0,
        }
    }

    /// A region begins, by a number of the caller's; whether it is in the trace.
    #[inline(always)]
    pub(super) fn begin_region_as(
        &mut self,
        core: &Core,
        task: u64,
        name: &'static str,
        number: u64,
    ) -> bool {
        let Some(at) = self.run_current(core) else {
            return false;
        };
        if self.regions.len() >= DEEPEST {
            core.lose(1);
            return false;
        }
        let begun = self.put_region(core, at, task, name);
        if begun {
            self.regions.push(Region {
                number,
                task,
                name,
                over: false,
            });
        }
        begun
    }

    /// The number and the task of the innermost open region.
    #[cfg(feature = "tracing")]
    pub(super) fn innermost(&self) -> Option<(u64, u64)> {
        self.regions
            .last()
            .map(|region| (region.number, region.task))
    }

    #[inline(always)]
    pub(super) fn put_region(
        &mut self,
        core: &Core,
        at: Moment,
        task: u64,
        name: &'static str,
    ) -> bool {
        let event = timed::UserRegionBegin {
            task: task_id(task),
            name_string: self.string(core, at, name),
            stack: self.stack_here(core, at),
        };
        self.put(core, at, event)
    }

    #[inline(always)]
    pub(super) fn put_region_end(&mut self, core: &Core, at: Moment, region: &Region) -> bool {
        let event = timed::UserRegionEnd {
            task: task_id(region.task),
            name_string: self.string(core, at, region.name),
            stack: self.stack_here(core, at),
        };
        self.put(core, at, event)
    }

    /// A region ends, if it is open in what runs here.
    #[inline(always)]
    pub(super) fn end_region(&mut self, core: &Core, number: u64) {
        let Some(at) = self.run_current(core) else {
            return;
        };
        if let Some(last) = self.regions.last()
            && last.number == number
        {
            let region = *last;
            if self.put_region_end(core, at, &region) {
                self.regions.pop();
            } else if let Some(last) = self.regions.last_mut() {
                last.over = true;
            }
            if self.regions.last().is_some_and(|region| region.over) {
                self.end_regions_that_are_over(core, at);
            }
            return;
        }
        self.end_inner_region(core, at, number);
    }

    /// A region ends before those that began in it: they end, too, and begin again at once, so that
    /// regions nest.
    #[cold]
    #[inline(never)]
    pub(super) fn end_inner_region(&mut self, core: &Core, at: Moment, number: u64) {
        let place = self.regions.iter().rposition(|r| r.number == number);
        let Some(place) = place else { return };
        if let Some(region) = self.regions.get_mut(place) {
            region.over = true;
        }
        let mut again = Vec::new();
        while self.regions.len() > place {
            let Some(region) = self.regions.last().copied() else {
                break;
            };
            if !self.put_region_end(core, at, &region) {
                break;
            }
            self.regions.pop();
            if !region.over {
                again.push(region);
            }
        }
        for region in again.into_iter().rev() {
            if !self.put_region(core, at, region.task, region.name) {
                break;
            }
            self.regions.push(region);
        }
    }

    /// Ends regions from the innermost on, while they should have ended before.
    pub(super) fn end_regions_that_are_over(&mut self, core: &Core, at: Moment) {
        while let Some(region) = self.regions.last().copied().filter(|r| r.over) {
            if !self.put_region_end(core, at, &region) {
                break;
            }
            self.regions.pop();
        }
    }

    pub(super) fn begin_task(&mut self, core: &Core, id: u64, parent: u64, name: &'static str) {
        if let Some(at) = self.run_current(core) {
            let event = timed::UserTaskBegin {
                task: task_id(id),
                parent_task: task_id(parent),
                name_string: self.string(core, at, name),
                stack: self.stack_here(core, at),
            };
            self.put(core, at, event);
        }
    }

    pub(super) fn end_task(&mut self, core: &Core, id: u64) {
        if let Some(at) = self.run_current(core) {
            let stack = self.stack_here(core, at);
            let task = task_id(id);
            self.put(core, at, timed::UserTaskEnd { task, stack });
        }
    }

    pub(super) fn metric(&mut self, core: &Core, event: impl Typed + Copy) {
        if let Some(at) = self.run_current(core) {
            self.put(core, at, event);
        }
    }
}

#[inline(always)]
fn task_id(number: u64) -> TaskId {
    TaskId::new(number).unwrap_or(TaskId::BACKGROUND)
}
