//! What must have happened for an event to be possible: for traces of which parts are missing.
//!
//! An event that the model refuses, or that would wait for ever, has causes that the trace does not have.
//! [`Scheduler::cause`] gives them one by one, as events that the model lets pass: a goroutine that starts
//! while it waits was unblocked before. The model's own rules are not touched: an event that is made up
//! goes through [`advance`](Scheduler::advance) like any other.

mod known;
mod toward;

use super::{Collector, Epoch, Fault, Node, Outcome, Scheduler, Verdict};
use crate::error::ErrorKind;
use crate::event::Raw;
use crate::generation::Tables;
use crate::ids::{GoId, ProcId, ThreadId};
use crate::num;
use crate::tables::{NIL, Storage};
use crate::wire::{EventType, GoStatus, Pieces, ProcStatus, Span, TimedEvent};

/// What comes before an event that may not come next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause {
    /// This event on the thread in this slot; [`NIL`] is none.
    Event(TimedEvent, u32),
    /// On the same thread, the end of the innermost region.
    RegionEnd(Misnested),
    /// Nothing: the model was corrected in what is no event. The event is to be tried again.
    Corrected,
    /// Nothing makes it possible, or nothing is needed any more: it is to be left out.
    None,
}

/// A region ends that is not the innermost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Misnested {
    pub(crate) innermost: OpenRegion,
    pub(crate) ending: OpenRegion,
}

/// A region of a goroutine, and the stack on which it began if that is known, or 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenRegion {
    pub(crate) task: u64,
    pub(crate) name: Span,
    pub(crate) began: u64,
}

impl OpenRegion {
    fn of(node: &Node) -> OpenRegion {
        OpenRegion {
            task: node.id,
            name: node.name,
            began: u64::from(node.stack),
        }
    }
}

/// What was made up so far: all that is needed besides what the trace has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    /// A thread for events of goroutines that are nowhere else.
    thread: u32,
    /// How many procs were made up.
    procs: u64,
    /// A goroutine that is to go on running on this thread, for the event being looked at.
    resume: Option<(u32, GoId)>,
}

/// The id of the thread that is made up.
pub(crate) const THREAD: u64 = 4_000_000_000;
/// The ids of procs that are made up begin here.
const FIRST_PROC: u64 = 1000;
/// How many of them are looked at for an idle one.
const TRIES: u64 = 8;
/// What is this many numbers behind was not overtaken.
const LONG_AGO: u64 = 64;
/// How many open regions of a goroutine are looked at.
const DEEPEST: usize = 1024;

impl Made {
    pub(crate) const NONE: Made = Made {
        thread: NIL,
        procs: 0,
        resume: None,
    };

    /// Another event is looked at.
    pub(crate) const fn begin(&mut self) {
        self.resume = None;
    }
}

/// What is to happen before something is so; nothing, if it is.
type Plan = Result<Option<Cause>, Fault>;

/// Gives what is to happen first, if anything.
macro_rules! first {
    ($plan:expr) => {
        if let Some(cause) = $plan? {
            return Ok(Some(cause));
        }
    };
}

use first;

const fn event(ty: EventType, a: u64, b: u64, c: u64) -> TimedEvent {
    TimedEvent::new(ty, 0, [a, b, c, 0])
}

const fn on(thread: u32, ty: EventType) -> Plan {
    Ok(Some(Cause::Event(event(ty, 0, 0, 0), thread)))
}

const CORRECTED: Plan = Ok(Some(Cause::Corrected));
const IMPOSSIBLE: Plan = Ok(Some(Cause::None));

impl<S: Storage> Scheduler<S> {
    /// Whether an event contradicts what is known in a way that the model finds out when it has changed
    /// already, or not at all: as where parts of a trace are missing. Where the event's own arguments are
    /// the lesser evidence, they are corrected.
    pub(crate) fn look_ahead(&mut self, raw: &mut Raw, slot: u32) -> Outcome {
        let damaged = self.damaged;
        let [id, ..] = raw.event.args;
        match raw.event.ty {
            EventType::PROC_STEAL => {
                let found = self.procs.find(id).unwrap_or(NIL);
                let Some(proc) = self.procs.get(found).copied() else {
                    return Ok(Verdict::Pass);
                };
                if proc.status == ProcStatus::SYSCALL {
                    match self.holder(id, found) {
                        Some(holder) => {
                            if let Some(thread) = self.threads.id(holder)
                                && let Some(victim) = raw.event.args.get_mut(2)
                            {
                                *victim = thread;
                            }
                        }
                        None => self.set_proc(found, ProcStatus::SYSCALL_ABANDONED),
                    }
                }
            }
            EventType::GO_DESTROY_SYSCALL => {
                let bound = self.threads.get(slot).and_then(|thread| thread.proc);
                if let Some(proc) = bound
                    && self.proc_status_of(proc.get()) != Some(ProcStatus::SYSCALL)
                {
                    return super::fault(ErrorKind::ProcStateMismatch, proc.get());
                }
            }
            EventType::PROC_STATUS => {
                let status = ProcStatus(num::low_byte(raw.arg(1)));
                let found = self.procs.find(id).unwrap_or(NIL);
                let known = self.procs.get(found).map(|proc| proc.status);
                match (status, known) {
                    (ProcStatus::SYSCALL_ABANDONED, Some(ProcStatus::SYSCALL))
                        if self.holder(id, found).is_none() =>
                    {
                        self.set_proc(found, ProcStatus::SYSCALL_ABANDONED);
                    }
                    (ProcStatus::RUNNING | ProcStatus::SYSCALL, known) if damaged => {
                        let bound = self.threads.get(slot).and_then(|thread| thread.proc);
                        let elsewhere = self.holder(id, found).is_some_and(|t| t != slot);
                        let other = bound.is_some_and(|proc| proc.get() != id);
                        if other || (known.is_some() && elsewhere) {
                            return super::fault(ErrorKind::ProcStatusMismatch, id);
                        }
                    }
                    _ => {}
                }
            }
            EventType::GO_STATUS | EventType::GO_STATUS_STACK
                if GoStatus(num::low_byte(raw.arg(2))) == GoStatus::SYSCALL
                    && ThreadId::new(raw.arg(1)).is_none() =>
            {
                return super::fault(ErrorKind::SyscallWithoutThread, id);
            }
            EventType::GO_STATUS | EventType::GO_STATUS_STACK
                if damaged && GoStatus(num::low_byte(raw.arg(2))) == GoStatus::RUNNING =>
            {
                let bound = self.threads.get(slot).and_then(|thread| thread.go);
                let found = self.goroutines.find(id).unwrap_or(NIL);
                let elsewhere = self.runner(id, found).is_some_and(|t| t != slot);
                let other = bound.is_some_and(|go| go.get() != id);
                if elsewhere || other {
                    return super::fault(ErrorKind::GoStatusMismatch, id);
                }
            }
            // There is one world: where it is stopped, it must have started before.
            EventType::STW_BEGIN if damaged && self.who_stopped().is_some() => {
                return Ok(Verdict::Wait);
            }
            _ => {}
        }
        Ok(Verdict::Pass)
    }

    /// The goroutine that has stopped the world: its id and its slot.
    fn who_stopped(&self) -> Option<(u64, u32)> {
        let goroutine = self.goroutines.get(self.stopper)?;
        let id = self.goroutines.id(self.stopper)?;
        (goroutine.range != NIL).then_some((id, self.stopper))
    }

    /// What must come before the record in `raw`, of the thread in `slot`, which the model does not let
    /// pass. `again` says whether something came before it already.
    ///
    /// Errors: only a table that is full.
    #[expect(
        clippy::too_many_arguments,
        reason = "all of them are what the model looks at"
    )]
    pub(crate) fn cause(
        &mut self,
        raw: &Raw,
        slot: u32,
        epoch: Epoch,
        again: bool,
        made: &mut Made,
        tables: &Tables<S>,
        input: &Pieces<'_>,
    ) -> Result<Cause, Fault> {
        let plan = self.plan(raw, slot, epoch, again, made, tables, input)?;
        Ok(plan.unwrap_or(Cause::None))
    }

    /// What comes before a thread runs no goroutine.
    pub(crate) fn before_stopped(
        &mut self,
        slot: u32,
        epoch: Epoch,
        made: &mut Made,
    ) -> Result<Cause, Fault> {
        Ok(self.stop_on(slot, epoch, made)?.unwrap_or(Cause::None))
    }

    /// The id of the thread in a slot.
    pub(crate) fn thread_id(&self, slot: u32) -> Option<ThreadId> {
        self.threads.id(slot).and_then(ThreadId::new)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "all of them are what the model looks at"
    )]
    fn plan(
        &mut self,
        raw: &Raw,
        slot: u32,
        epoch: Epoch,
        again: bool,
        made: &mut Made,
        tables: &Tables<S>,
        input: &Pieces<'_>,
    ) -> Plan {
        let ty = raw.event.ty;
        let [id, number, third, _] = raw.event.args;
        if let Some((thread, go)) = made.resume
            && thread == slot
        {
            match self.goroutines.find(go.get()) {
                Some(go) => first!(self.run(go, slot, epoch, made)),
                None => made.resume = None,
            }
        }
        let running = self.threads.get(slot).and_then(|thread| thread.go);
        let proc = self.threads.get(slot).and_then(|thread| thread.proc);
        match ty {
            EventType::GO_START => {
                if GoId::new(id).is_none() || raw.thread.is_none() {
                    return IMPOSSIBLE;
                }
                let Some(go) = self.goroutines.find(id) else {
                    return self.exist(id, epoch, made);
                };
                if !again && self.is_past_go(go, number, epoch) {
                    return IMPOSSIBLE;
                }
                first!(self.ready(go, epoch, made));
                first!(self.stop_on(slot, epoch, made));
                first!(self.lend(slot, epoch, made));
                self.expect_go(go, number, epoch)
            }
            EventType::GO_UNBLOCK => {
                if GoId::new(id).is_none() {
                    return IMPOSSIBLE;
                }
                let Some(go) = self.goroutines.find(id) else {
                    return self.exist(id, epoch, made);
                };
                let next = self.next_go(go, epoch);
                if !again && self.is_past_go(go, number, epoch) {
                    return IMPOSSIBLE;
                }
                let status = self.go_status_of(go);
                let itself = running.is_some_and(|go| go.get() == id);
                if !again && ((status == Some(GoStatus::RUNNABLE) && next == number) || itself) {
                    self.set_go_number(go, number, epoch);
                    return IMPOSSIBLE;
                }
                first!(self.wait(go, epoch, made));
                self.expect_go(go, number, epoch)
            }
            EventType::GO_SWITCH | EventType::GO_SWITCH_DESTROY => {
                if GoId::new(id).is_none() || raw.thread.is_none() {
                    return IMPOSSIBLE;
                }
                let Some(go) = self.goroutines.find(id) else {
                    return self.exist(id, epoch, made);
                };
                if !again && self.is_past_go(go, number, epoch) {
                    return IMPOSSIBLE;
                }
                match running {
                    Some(own) if own.get() != id => first!(self.own(slot, epoch, made)),
                    // What ran is not known; what runs then is.
                    _ => {
                        first!(self.run(go, slot, epoch, made));
                        self.set_go_number(go, number, epoch);
                        return IMPOSSIBLE;
                    }
                }
                first!(self.wait(go, epoch, made));
                self.expect_go(go, number, epoch)
            }
            EventType::GO_CREATE | EventType::GO_CREATE_BLOCKED => {
                if GoId::new(id).is_none() || raw.thread.is_none() {
                    return IMPOSSIBLE;
                }
                if running.is_some() {
                    first!(self.own(slot, epoch, made));
                } else {
                    first!(self.lend(slot, epoch, made));
                }
                self.gone(id, epoch, made)
            }
            EventType::GO_CREATE_SYSCALL => {
                if GoId::new(id).is_none() || raw.thread.is_none() {
                    return IMPOSSIBLE;
                }
                first!(self.stop_on(slot, epoch, made));
                self.gone(id, epoch, made)
            }
            EventType::GO_DESTROY_SYSCALL | EventType::GO_SYSCALL_END_BLOCKED => {
                if running.is_none() {
                    return IMPOSSIBLE;
                }
                if self.running_status(slot) == Some(GoStatus::SYSCALL) {
                    let Some(proc) = proc else { return Ok(None) };
                    let status = self.proc_status_of(proc.get());
                    if ty == EventType::GO_DESTROY_SYSCALL && status == Some(ProcStatus::SYSCALL) {
                        return Ok(None);
                    }
                    return match self.procs.find(proc.get()) {
                        Some(found) => self.idle(found, epoch, made),
                        None => self.unbind_proc(slot),
                    };
                }
                self.enter(slot, epoch, made)
            }
            EventType::GO_SYSCALL_BEGIN => {
                if running.is_none() {
                    return IMPOSSIBLE;
                }
                first!(self.own(slot, epoch, made));
                let Some(found) = self.bound_proc(slot) else {
                    return IMPOSSIBLE;
                };
                // Its number is the first argument.
                self.expect_proc(found, id, epoch)
            }
            EventType::GO_SYSCALL_END => {
                if running.is_none() || made.resume.is_some() {
                    return IMPOSSIBLE;
                }
                self.enter(slot, epoch, made)
            }
            EventType::PROC_START => {
                if ProcId::new(id).is_none() || raw.thread.is_none() {
                    return IMPOSSIBLE;
                }
                let Some(found) = self.procs.find(id) else {
                    let status =
                        event(EventType::PROC_STATUS, id, u64::from(ProcStatus::IDLE.0), 0);
                    return Ok(Some(Cause::Event(status, NIL)));
                };
                if !again && self.is_past_proc(found, number, epoch) {
                    return IMPOSSIBLE;
                }
                first!(self.idle_on(slot, epoch, made));
                first!(self.idle(found, epoch, made));
                self.expect_proc(found, number, epoch)
            }
            EventType::PROC_STOP => match proc {
                Some(_) => {
                    self.unbind_proc(slot)?;
                    IMPOSSIBLE
                }
                None => IMPOSSIBLE,
            },
            EventType::PROC_STEAL => {
                let Some(found) = self.procs.find(id).filter(|_| raw.thread.is_some()) else {
                    return IMPOSSIBLE;
                };
                if !again && self.is_past_proc(found, number, epoch) {
                    return IMPOSSIBLE;
                }
                match self.proc_status_of(id) {
                    Some(ProcStatus::SYSCALL | ProcStatus::SYSCALL_ABANDONED) => {
                        self.expect_proc(found, number, epoch)
                    }
                    Some(ProcStatus::RUNNING) => {
                        let holder = self.holder(id, found);
                        match holder.filter(|t| self.running_status(*t) == Some(GoStatus::RUNNING))
                        {
                            Some(holder) => self.enter(holder, epoch, made),
                            None => self.idle(found, epoch, made),
                        }
                    }
                    _ => {
                        self.set_proc_number(found, number, epoch);
                        IMPOSSIBLE
                    }
                }
            }
            EventType::PROC_STATUS => {
                self.proc_as(id, ProcStatus(num::low_byte(number)), slot, epoch, made)
            }
            EventType::GO_STATUS | EventType::GO_STATUS_STACK => {
                let status = GoStatus(num::low_byte(third));
                let thread = ThreadId::new(number);
                self.go_as(id, status, thread, slot, epoch, made)
            }
            EventType::GC_ACTIVE | EventType::GC_BEGIN | EventType::GC_END => {
                Ok(self.collector(ty, id, slot, again, running.is_some() && proc.is_some()))
            }
            EventType::GC_SWEEP_BEGIN => {
                match self.bound_proc(slot).and_then(|p| self.procs.get(p)) {
                    Some(proc) if proc.sweeps => on(slot, EventType::GC_SWEEP_END),
                    _ => IMPOSSIBLE,
                }
            }
            EventType::GC_MARK_ASSIST_BEGIN => {
                first!(self.own_or_none(slot, epoch, made));
                match self
                    .running_slot(slot)
                    .and_then(|go| self.goroutines.get(go))
                {
                    Some(go) if go.assists => on(slot, EventType::GC_MARK_ASSIST_END),
                    _ => IMPOSSIBLE,
                }
            }
            EventType::STW_BEGIN => {
                first!(self.own_or_none(slot, epoch, made));
                let Some((id, go)) = self.who_stopped() else {
                    return IMPOSSIBLE;
                };
                let thread = match self.runner(id, go) {
                    Some(thread) => thread,
                    None => self.made_up_thread(made)?,
                };
                first!(self.run(go, thread, epoch, made));
                on(thread, EventType::STW_END)
            }
            EventType::USER_TASK_BEGIN => {
                first!(self.own_or_none(slot, epoch, made));
                match self.tasks.find(id) {
                    Some(_) => {
                        let end = event(EventType::USER_TASK_END, id, 0, 0);
                        Ok(Some(Cause::Event(end, slot)))
                    }
                    None => IMPOSSIBLE,
                }
            }
            EventType::USER_REGION_END => {
                first!(self.own_or_none(slot, epoch, made));
                if self.learn_region(raw, slot, tables) {
                    return CORRECTED;
                }
                Ok(self.outer_region(raw, slot, tables, input))
            }
            EventType::HEAP_ALLOC | EventType::HEAP_GOAL => match (raw.thread, running) {
                (None, _) => IMPOSSIBLE,
                (_, None) => self.lend(slot, epoch, made),
                (_, Some(_)) => self.own(slot, epoch, made),
            },
            EventType::GO_STOP
            | EventType::GO_BLOCK
            | EventType::GO_DESTROY
            | EventType::USER_REGION_BEGIN
            | EventType::USER_TASK_END
            | EventType::USER_LOG
            | EventType::PROCS_CHANGE
            | EventType::GO_LABEL => self.own_or_none(slot, epoch, made),
            _ => IMPOSSIBLE,
        }
    }

    fn collector(
        &mut self,
        ty: EventType,
        number: u64,
        slot: u32,
        again: bool,
        all: bool,
    ) -> Option<Cause> {
        let known = self.gc != Collector::Undetermined;
        if known && !again && number <= self.gc_sequence && ty != EventType::GC_ACTIVE {
            return Some(Cause::None);
        }
        let before = number.wrapping_sub(1);
        let follows = self.gc_sequence == before;
        match (ty, self.gc) {
            (EventType::GC_BEGIN, Collector::Running) if all => {
                let end = event(EventType::GC_END, self.gc_sequence.wrapping_add(1), 0, 0);
                Some(Cause::Event(end, slot))
            }
            (EventType::GC_BEGIN, Collector::Idle) | (EventType::GC_ACTIVE, Collector::Running)
                if all && !follows =>
            {
                self.gc_sequence = before;
                Some(Cause::Corrected)
            }
            (EventType::GC_END, Collector::Running) if !follows => {
                self.gc_sequence = before;
                Some(Cause::Corrected)
            }
            (
                EventType::GC_ACTIVE | EventType::GC_END,
                Collector::Idle | Collector::Undetermined,
            ) if all => {
                self.gc_sequence = number.wrapping_sub(2);
                let begin = event(EventType::GC_BEGIN, before, 0, 0);
                Some(Cause::Event(begin, slot))
            }
            _ => {
                // It is left out: only its number counts, and what it says of a collector of which
                // nothing is known. A collection whose end is left out ends before the next one begins.
                self.gc_sequence = number;
                if !known {
                    self.gc = Collector::Idle;
                }
                Some(Cause::None)
            }
        }
    }

    /// The innermost region's name is not known, or that of the one that ends: they are taken for the same.
    fn learn_region(&mut self, raw: &Raw, slot: u32, tables: &Tables<S>) -> bool {
        use crate::generation::Lookup;
        let [task, name, ..] = raw.event.args;
        let go = self
            .running_slot(slot)
            .and_then(|go| self.goroutines.get(go));
        let region = go.map_or(NIL, |go| go.region);
        let (Some(node), Some(name)) =
            (self.nodes.get_mut(num::index(region)), tables.string(name))
        else {
            return false;
        };
        let unknown = [node.name, name]
            .iter()
            .any(|name| name.piece == Span::NAMES);
        let learns = unknown && node.id == task && node.name != name;
        if learns {
            node.name = name;
        }
        learns
    }

    /// A region ends that is not the innermost: the inner ones end first, if it is open at all.
    fn outer_region(
        &self,
        raw: &Raw,
        slot: u32,
        tables: &Tables<S>,
        input: &Pieces<'_>,
    ) -> Option<Cause> {
        use crate::generation::Lookup;
        let [task, name, ..] = raw.event.args;
        let go = self.goroutines.get(self.running_slot(slot)?)?;
        let innermost = self.nodes.get(num::index(go.region))?;
        let name = tables.string(name)?;
        let mut at = innermost.next;
        for _ in 0..DEEPEST {
            let node = self.nodes.get(num::index(at))?;
            if node.id == task && (node.name == name || input.bytes(node.name) == input.bytes(name))
            {
                return Some(Cause::RegionEnd(Misnested {
                    innermost: OpenRegion::of(innermost),
                    ending: OpenRegion::of(node),
                }));
            }
            at = node.next;
        }
        None
    }
}
