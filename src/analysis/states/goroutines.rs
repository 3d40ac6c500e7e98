//! Goroutines: their states, one after the other.

use super::annotations::OpenRegion;
use super::{States, Visitor};
use crate::analysis::names::{NameId, StackRef};
use crate::event::{Event, GoState, GoStep, Label};
use crate::ids::{GoId, ProcId, TaskId, ThreadId};
use crate::tables::NIL;
use crate::time::Time;
use alloc::vec::Vec;

/// A goroutine that lives, or that just ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Goroutine {
    /// The id.
    pub id: GoId,
    /// Which life in the trace this is, of all goroutines, from 1: where an id is used again, as Go
    /// does for threads of C that call into it, the lives differ.
    pub life: u64,
    /// An index for tables of what lives: below the most goroutines that lived at a time. It is used
    /// again when this one has ended.
    pub slot: u32,
    /// The function that it started with; empty as long as no stack of it was seen.
    pub name: NameId,
    /// The goroutine that created it, if the trace shows that.
    pub creator: Option<GoId>,
    /// When it was created; or, if the trace does not show that, when the generation began that
    /// mentions it first.
    pub created: Time,
    /// Whether the trace shows it being created.
    pub is_new: bool,
    /// When it ran for the first time in the trace.
    pub started: Option<Time>,
    /// The task that it works for because its creator did, when it created this one.
    pub inherited_task: Option<TaskId>,
    /// The state.
    pub state: GoState,
    /// Since when it is in it, as far as the trace shows: see [`Stay::from`].
    pub since: Time,
    /// When the trace first said so: see [`Stay::seen`].
    pub seen: Time,
    /// Why, in Go's words.
    pub reason: NameId,
    /// See [`Stay::stack`].
    pub stack: Option<StackRef>,
    /// The last stack of its own that is known, from whatever state.
    pub own_stack: Option<StackRef>,
    /// See [`Stay::by`].
    pub by: Option<GoId>,
    /// The proc on which it runs, or ran last.
    pub proc: Option<ProcId>,
    /// The thread on which it runs, or ran last.
    pub thread: Option<ThreadId>,
    /// See [`Stay::without_proc`].
    pub without_proc: Option<Time>,
    /// The label that the runtime gave it last, as `GC (dedicated)`; empty for none.
    pub label: NameId,
    /// The regions that are open, the innermost last.
    pub regions: Vec<OpenRegion>,
    /// What it spent in each state, the current one not included: see [`Goroutine::sums`].
    pub(super) done: Sums,
}

/// The time that a goroutine spent in each state, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Sums {
    /// Running.
    pub running: i64,
    /// Ready to run, waiting for a processor.
    pub runnable: i64,
    /// Waiting for something else.
    pub waiting: i64,
    /// In system calls, with a processor.
    pub syscall: i64,
    /// In system calls after the processor was taken away to run others.
    pub syscall_without_proc: i64,
}

impl Sums {
    /// All of it.
    pub const fn total(&self) -> i64 {
        self.running
            .saturating_add(self.runnable)
            .saturating_add(self.waiting)
            .saturating_add(self.syscall)
            .saturating_add(self.syscall_without_proc)
    }

    /// What was added since these sums were `earlier`.
    #[must_use]
    pub const fn since(&self, earlier: &Sums) -> Sums {
        Sums {
            running: self.running.saturating_sub(earlier.running),
            runnable: self.runnable.saturating_sub(earlier.runnable),
            waiting: self.waiting.saturating_sub(earlier.waiting),
            syscall: self.syscall.saturating_sub(earlier.syscall),
            syscall_without_proc: self
                .syscall_without_proc
                .saturating_sub(earlier.syscall_without_proc),
        }
    }

    /// These and others together.
    #[must_use]
    pub const fn plus(&self, other: &Sums) -> Sums {
        Sums {
            running: self.running.saturating_add(other.running),
            runnable: self.runnable.saturating_add(other.runnable),
            waiting: self.waiting.saturating_add(other.waiting),
            syscall: self.syscall.saturating_add(other.syscall),
            syscall_without_proc: self
                .syscall_without_proc
                .saturating_add(other.syscall_without_proc),
        }
    }

    /// Adds the time of a stay.
    #[inline]
    pub fn add(&mut self, stay: &Stay) {
        let without = stay.nanoseconds_without_proc();
        let time = stay.nanoseconds().saturating_sub(without);
        self.count(stay.state, time, without);
    }

    /// Adds a time in a state, and of a system call the time without a processor besides.
    #[inline]
    pub(crate) fn count(&mut self, state: GoState, time: i64, without_proc: i64) {
        let sum = match state {
            GoState::Running => &mut self.running,
            GoState::Runnable => &mut self.runnable,
            GoState::Waiting => &mut self.waiting,
            GoState::Syscall => {
                let sum = &mut self.syscall_without_proc;
                *sum = sum.saturating_add(without_proc);
                &mut self.syscall
            }
            GoState::Undetermined | GoState::NotExist => return,
        };
        *sum = sum.saturating_add(time);
    }
}

/// The time that a goroutine was in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stay {
    /// The goroutine.
    pub id: GoId,
    /// Its [life](Goroutine::life).
    pub life: u64,
    /// Its [slot](Goroutine::slot).
    pub slot: u32,
    /// The state.
    pub state: GoState,
    /// Why it was in it, in Go's words, as `chan receive`; empty if the trace does not say.
    pub reason: NameId,
    /// Since when. If it was in it before the trace mentions it: since the generation began that
    /// mentions it first.
    pub from: Time,
    /// When the trace first said so: later than [`from`](Stay::from) if it was in it before. Earlier if
    /// it was in it before [`States::begin_at`].
    pub seen: Time,
    /// When it left it.
    pub to: Time,
    /// The state that it went to. Of one that is open, the state that it is in.
    pub next: GoState,
    /// The stack of the event that put it in this state: its own if it did so itself, as for waiting
    /// and system calls; if it is runnable, that of the goroutine that woke or created it.
    pub stack: Option<StackRef>,
    /// The last stack of its own: where it was when it came into this state, if that is known. Of a
    /// runnable one, where it had waited.
    pub own_stack: Option<StackRef>,
    /// The goroutine that put it in this state, if it was another: that woke or created it.
    pub by: Option<GoId>,
    /// The goroutine that took it out of this state, if it was another: of a waiting one, its waker.
    pub ended_by: Option<GoId>,
    /// The proc on which it was in this state, or was last.
    pub proc: Option<ProcId>,
    /// The thread on which it was in this state, or was last.
    pub thread: Option<ThreadId>,
    /// Of a system call: since when it has had no processor.
    pub without_proc: Option<Time>,
    /// The trace ended, and it was still in it.
    pub open: bool,
    /// Whether it is to be counted: false of what a [`Scope`](crate::analysis::scope::Scope) leaves out,
    /// which analyses see all the same, to know what goes on.
    pub counts: bool,
}

impl Stay {
    /// How long, in nanoseconds; never negative.
    #[inline]
    pub const fn nanoseconds(&self) -> i64 {
        not_negative(self.to.0.saturating_sub(self.from.0))
    }

    /// Of a system call, for how long it had no processor, in nanoseconds.
    #[inline]
    pub const fn nanoseconds_without_proc(&self) -> i64 {
        match self.without_proc {
            Some(since) => not_negative(self.to.0.saturating_sub(since.0)),
            None => 0,
        }
    }

    /// Whether it was in this state before the trace first mentions it, or before
    /// [`States::begin_at`].
    pub const fn began_before(&self) -> bool {
        self.seen.0 != self.from.0
    }
}

const fn not_negative(n: i64) -> i64 {
    if n < 0 { 0 } else { n }
}

impl Goroutine {
    fn new(id: GoId, life: u64, time: Time) -> Goroutine {
        Goroutine {
            id,
            life,
            slot: 0,
            name: NameId::EMPTY,
            creator: None,
            created: time,
            is_new: false,
            started: None,
            inherited_task: None,
            state: GoState::NotExist,
            since: time,
            seen: time,
            reason: NameId::EMPTY,
            stack: None,
            own_stack: None,
            by: None,
            proc: None,
            thread: None,
            without_proc: None,
            label: NameId::EMPTY,
            regions: Vec::new(),
            done: Sums::default(),
        }
    }

    /// What it spent in each state until a moment, in the current one too.
    pub fn sums(&self, until: Time) -> Sums {
        let mut sums = self.done;
        sums.add(&self.stay(until));
        sums
    }

    /// The task that it works for: that of its innermost region, or else the one that it inherited.
    pub fn task(&self) -> Option<TaskId> {
        let region = self.regions.last();
        region.map_or(self.inherited_task, |region| region.task)
    }

    /// Whether it is one of the runtime's own: started with a function of package `runtime` other
    /// than `runtime.main`. Not known of one without a name.
    pub fn is_system(&self, states: &States) -> bool {
        states.names().is_system(self.name)
    }

    /// Its stay in the current state, as if it left it now.
    #[inline]
    pub(crate) fn stay(&self, to: Time) -> Stay {
        Stay {
            id: self.id,
            life: self.life,
            slot: self.slot,
            state: self.state,
            reason: self.reason,
            from: self.since,
            seen: self.seen,
            to,
            next: self.state,
            stack: self.stack,
            own_stack: self.own_stack,
            by: self.by,
            ended_by: None,
            proc: self.proc,
            thread: self.thread,
            without_proc: self.without_proc,
            open: false,
            counts: true,
        }
    }
}

impl States {
    /// A goroutine's transition.
    pub(super) fn go_step(
        &mut self,
        event: &Event<'_, '_>,
        step: GoStep,
        visitor: &mut impl Visitor,
    ) {
        let Some(id) = step.id else { return };
        let known = self.goroutines.find(id.get());
        let is_new = step.from == GoState::NotExist;
        let slot = match known {
            // Nothing changes.
            Some(slot) if step.from == step.to => {
                self.again(event, slot, step);
                return;
            }
            Some(slot) if is_new => {
                // The end of the one before is in no part of the trace that was read.
                self.end(slot, event.time(), None, visitor);
                None
            }
            // What was left out of the trace may have changed it, or not.
            Some(slot) if step.from == GoState::Undetermined => {
                if self
                    .goroutines
                    .get(slot)
                    .is_some_and(|g| g.state == step.to)
                {
                    self.again(event, slot, step);
                    return;
                }
                Some(slot)
            }
            known => known,
        };
        let time = event.time();
        let Some(slot) = slot.or_else(|| self.begin(id, is_new, event)) else {
            return;
        };
        let own = step.own_stack.and_then(|n| self.names.stack_of(event, n));
        let stack = match step.own_stack {
            Some(n) if n == step.stack => own,
            _ => self.names.stack_of(event, step.stack),
        };
        let reason = self.names.reason(event, step.reason);
        let other = event.goroutine().filter(|other| *other != id);
        let sync = self.sync;
        let Some(goroutine) = self.goroutines.get_mut(slot) else {
            return;
        };
        let was = goroutine.state;
        let mut stay = goroutine.stay(time);
        stay.ended_by = other;
        stay.next = step.to;
        if was != GoState::NotExist {
            goroutine.done.add(&stay);
        }
        if let Some(own) = own.filter(|_| goroutine.name.is_empty()) {
            goroutine.name = self.names.root(own);
        }
        goroutine.own_stack = own.or(goroutine.own_stack);
        goroutine.state = step.to;
        goroutine.reason = reason;
        goroutine.stack = stack;
        goroutine.by = other;
        goroutine.seen = time;
        goroutine.since = if was == GoState::NotExist && !is_new {
            sync
        } else {
            time
        };
        goroutine.without_proc = None;
        match step.to {
            GoState::Running => {
                goroutine.started = goroutine.started.or(Some(time));
                goroutine.proc = event.proc();
                goroutine.thread = event.thread();
            }
            GoState::Syscall => {
                goroutine.proc = event.proc();
                goroutine.thread = event.thread();
                if event.proc().is_none() {
                    goroutine.without_proc = Some(goroutine.since);
                }
            }
            _ => {}
        }
        self.bind_proc(stay.proc.filter(|_| was == GoState::Syscall), None, slot);
        self.bind_proc(
            event.proc().filter(|_| step.to == GoState::Syscall),
            Some(slot),
            slot,
        );
        let Some(goroutine) = self.goroutines.get(slot) else {
            return;
        };
        if was == GoState::NotExist {
            visitor.goroutine_began(self, goroutine, event);
        } else {
            visitor.stay(self, goroutine, &stay);
        }
        if step.to == GoState::NotExist {
            visitor.goroutine_ended(self, goroutine);
            self.goroutines.remove(slot);
        }
    }

    /// The state is said again.
    #[cold]
    fn again(&mut self, event: &Event<'_, '_>, slot: u32, step: GoStep) {
        let own = step.own_stack.and_then(|n| self.names.stack_of(event, n));
        if let Some(goroutine) = self.goroutines.get_mut(slot) {
            goroutine.own_stack = own.or(goroutine.own_stack);
        }
    }

    /// A goroutine that was not known.
    fn begin(&mut self, id: GoId, is_new: bool, event: &Event<'_, '_>) -> Option<u32> {
        let creator = event.goroutine().filter(|_| is_new);
        let created = if is_new { event.time() } else { self.sync };
        let life = self.lives.saturating_add(1);
        let inherited = creator.and_then(|id| self.goroutine(id)?.task());
        let goroutine = Goroutine {
            creator,
            is_new,
            inherited_task: inherited,
            ..Goroutine::new(id, life, created)
        };
        let slot = self.goroutines.insert(id.get(), goroutine).ok()?;
        self.lives = life;
        if let Some(goroutine) = self.goroutines.get_mut(slot) {
            goroutine.slot = slot;
        }
        Some(slot)
    }

    /// A goroutine is gone, at a moment that no event says.
    #[cold]
    fn end(&mut self, slot: u32, time: Time, by: Option<GoId>, visitor: &mut impl Visitor) {
        let Some(goroutine) = self.goroutines.get_mut(slot) else {
            return;
        };
        let mut stay = goroutine.stay(time);
        stay.ended_by = by;
        stay.next = GoState::NotExist;
        goroutine.done.add(&stay);
        goroutine.state = GoState::NotExist;
        goroutine.since = time;
        goroutine.seen = time;
        let proc = goroutine.proc;
        self.bind_proc(proc.filter(|_| stay.state == GoState::Syscall), None, slot);
        if let Some(goroutine) = self.goroutines.get(slot) {
            visitor.stay(self, goroutine, &stay);
            visitor.goroutine_ended(self, goroutine);
        }
        self.goroutines.remove(slot);
    }

    /// A system call begins on a proc, or ends; with no goroutine: if the proc is still bound to
    /// the one in this slot.
    fn bind_proc(&mut self, proc: Option<ProcId>, to: Option<u32>, slot: u32) {
        let Some(proc) = proc.and_then(|id| self.procs.find(id.get())) else {
            return;
        };
        if let Some(proc) = self.procs.get_mut(proc)
            && (to.is_some() || proc.syscall == slot)
        {
            proc.syscall = to.unwrap_or(NIL);
        }
    }

    pub(super) fn label(&mut self, event: &Event<'_, '_>, label: Label<'_>) {
        let text = self.names.string(event, event.string_number());
        let slot = label.resource.goroutine();
        let slot = slot.and_then(|id| self.goroutines.find(id.get()));
        if let Some(goroutine) = slot.and_then(|slot| self.goroutines.get_mut(slot)) {
            goroutine.label = text;
        }
    }
}
