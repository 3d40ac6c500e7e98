//! Goroutines: how they are created, run, block, enter system calls, switch and end.

use super::{
    Context, Epoch, Further, Goroutine, Outcome, Scheduler, Sequence, Thread, Verdict, fault, full,
};
use crate::error::{ErrorKind, Table};
use crate::event::{GoState, Raw};
use crate::ids::{GoId, ProcId, ThreadId};
use crate::num;
use crate::tables::NIL;
use crate::tables::Storage;
use crate::wire::{EventType, GoStatus, ProcStatus, TimedEvent};

impl Goroutine {
    pub(super) const fn new(status: GoStatus, epoch: Epoch) -> Goroutine {
        Goroutine {
            sequence: Sequence {
                generation: epoch.generation,
                number: 0,
            },
            status,
            assists: false,
            region: NIL,
            range: NIL,
            #[cfg(feature = "std")]
            carried: false,
            thread: NIL,
        }
    }
}

impl<S: Storage> Scheduler<S> {
    fn add_goroutine(
        &mut self,
        id: GoId,
        status: GoStatus,
        epoch: Epoch,
    ) -> Result<u32, super::Fault> {
        let goroutine = Goroutine::new(status, epoch);
        self.goroutines
            .insert(id.get(), goroutine)
            .map_err(full(Table::Goroutines))
    }

    /// Removes the goroutine that a context runs, with all that is open in it.
    fn remove_running(&mut self, context: Context) {
        let id = GoId::raw(context.go);
        let slot = self.goroutines.slot_of(id, context.go_slot);
        if let Some(&Goroutine { region, range, .. }) = self.goroutines.get(slot) {
            self.free_nodes(region);
            self.free_nodes(range);
            self.goroutines.remove(slot);
        }
    }

    fn runs_on(&mut self, slot: u32, thread: u32) {
        if let Some(goroutine) = self.goroutines.get_mut(slot) {
            goroutine.thread = thread;
        }
    }

    fn unbind_go(&mut self, context: Context) {
        if let Some(thread) = self.thread_of(context) {
            thread.go = None;
        }
    }

    pub(super) fn go_create(
        &mut self,
        context: Context,
        raw: &Raw,
        status: GoStatus,
        epoch: Epoch,
    ) -> Outcome {
        context.need_thread(raw.event.ty)?;
        context.need_proc(raw.event.ty)?;
        // The creator need not be a goroutine; one that is must be running.
        if context.go.is_some()
            && let Ok(creator) = self.running(context)
            && creator.status != GoStatus::RUNNING
        {
            return fault(ErrorKind::GoStateMismatch, GoId::raw(context.go));
        }
        let id = self.new_goroutine(raw)?;
        self.add_goroutine(id, status, epoch)?;
        Ok(Verdict::Pass)
    }

    /// The id of a goroutine being created, which must not exist.
    fn new_goroutine(&self, raw: &Raw) -> Result<GoId, super::Fault> {
        let Some(id) = GoId::new(raw.arg(0)) else {
            return fault(ErrorKind::ReservedId, raw.event.ty.number());
        };
        if self.goroutines.find(id.get()).is_some() {
            return fault(ErrorKind::GoroutineExists, id.get());
        }
        Ok(id)
    }

    /// A goroutine appears in a system call: a thread of C calls into Go.
    pub(super) fn go_create_syscall(
        &mut self,
        context: Context,
        raw: &Raw,
        epoch: Epoch,
    ) -> Outcome {
        context.need_thread(raw.event.ty)?;
        context.need_no_go(raw.event.ty)?;
        let id = self.new_goroutine(raw)?;
        let slot = self.add_goroutine(id, GoStatus::SYSCALL, epoch)?;
        self.runs_on(slot, context.thread_slot);
        if let Some(thread) = self.thread_of(context) {
            thread.bind_go(id, slot);
        }
        Ok(Verdict::Pass)
    }

    #[inline(always)]
    pub(super) fn go_start(&mut self, context: Context, raw: &Raw, epoch: Epoch) -> Outcome {
        let [id, number, ..] = raw.event.args;
        let sequence = Sequence {
            generation: epoch.generation,
            number,
        };
        // Created, stopped or unblocked on a thread that is not so far yet: wait.
        let Some(slot) = self.goroutines.find(id) else {
            return Ok(Verdict::Wait);
        };
        let Some(goroutine) = self.goroutines.get_mut(slot) else {
            return Ok(Verdict::Wait);
        };
        if goroutine.status != GoStatus::RUNNABLE || !goroutine.sequence.is_followed_by(sequence) {
            return Ok(Verdict::Wait);
        }
        context.need_thread(raw.event.ty)?;
        context.need_proc(raw.event.ty)?;
        context.need_no_go(raw.event.ty)?;
        goroutine.status = GoStatus::RUNNING;
        goroutine.sequence = sequence;
        goroutine.thread = context.thread_slot;
        if let (Some(thread), Some(id)) = (self.thread_of(context), GoId::new(id)) {
            thread.bind_go(id, slot);
        }
        Ok(Verdict::Pass)
    }

    /// The running goroutine stops running: it yields or blocks.
    #[inline(always)]
    pub(super) fn go_stop(&mut self, context: Context, ty: EventType, to: GoStatus) -> Outcome {
        context.need_all(ty)?;
        self.running_as(context, GoStatus::RUNNING)?.status = to;
        self.unbind_go(context);
        Ok(Verdict::Pass)
    }

    /// The running goroutine ends.
    pub(super) fn go_destroy(&mut self, context: Context, ty: EventType) -> Outcome {
        context.need_all(ty)?;
        self.running_as(context, GoStatus::RUNNING)?;
        self.remove_running(context);
        self.unbind_go(context);
        Ok(Verdict::Pass)
    }

    /// Anything may unblock a goroutine, whatever its context.
    #[inline(always)]
    pub(super) fn go_unblock(&mut self, raw: &Raw, epoch: Epoch) -> Outcome {
        let [id, number, ..] = raw.event.args;
        let sequence = Sequence {
            generation: epoch.generation,
            number,
        };
        let Some(slot) = self.goroutines.find(id) else {
            return Ok(Verdict::Wait);
        };
        let Some(goroutine) = self.goroutines.get_mut(slot) else {
            return Ok(Verdict::Wait);
        };
        if goroutine.status != GoStatus::WAITING || !goroutine.sequence.is_followed_by(sequence) {
            return Ok(Verdict::Wait);
        }
        goroutine.status = GoStatus::RUNNABLE;
        goroutine.sequence = sequence;
        Ok(Verdict::Pass)
    }

    /// A coroutine hands over: the next one is unblocked, the running one blocks or ends, and the
    /// next one starts. Three events.
    pub(super) fn go_switch(
        &mut self,
        context: Context,
        raw: &Raw,
        epoch: Epoch,
        further: &mut impl Further,
    ) -> Outcome {
        context.need_all(raw.event.ty)?;
        self.running_as(context, GoStatus::RUNNING)?;
        let [id, number, ..] = raw.event.args;
        let sequence = Sequence {
            generation: epoch.generation,
            number,
        };
        let Some(slot) = self.goroutines.find(id) else {
            return Ok(Verdict::Wait);
        };
        let Some(next) = self.goroutines.get_mut(slot) else {
            return Ok(Verdict::Wait);
        };
        if next.status != GoStatus::WAITING || !next.sequence.is_followed_by(sequence) {
            return Ok(Verdict::Wait);
        }
        next.status = GoStatus::RUNNING;
        next.sequence = sequence;
        next.thread = context.thread_slot;
        let of = |ty, args| Raw {
            event: TimedEvent::new(ty, 0, args),
            ..*raw
        };
        if raw.event.ty == EventType::GO_SWITCH {
            self.running(context)?.status = GoStatus::WAITING;
            further.push(of(EventType::GO_BLOCK, [0; 4]));
        } else {
            self.remove_running(context);
            further.push(of(EventType::GO_DESTROY, [0; 4]));
        }
        further.push(Raw {
            go: None,
            ..of(EventType::GO_START, raw.event.args)
        });
        if let (Some(thread), Some(id)) = (self.thread_of(context), GoId::new(id)) {
            thread.bind_go(id, slot);
        }
        Ok(Verdict::Pass)
    }

    #[inline(always)]
    pub(super) fn go_syscall_begin(
        &mut self,
        context: Context,
        raw: &Raw,
        epoch: Epoch,
    ) -> Outcome {
        context.need_all(raw.event.ty)?;
        self.running_as(context, GoStatus::RUNNING)?.status = GoStatus::SYSCALL;
        // The proc's sequence number tells this system call from others out of which the proc may
        // be stolen. The proc is this thread's: there is nothing to wait for.
        let sequence = Sequence {
            generation: epoch.generation,
            number: raw.arg(0),
        };
        let proc = self.proc_of(context)?;
        if !proc.sequence.is_followed_by(sequence) {
            self.take_back(context.go, context.go_slot, GoStatus::RUNNING);
            return fault(ErrorKind::SequenceMismatch, sequence.number);
        }
        proc.status = ProcStatus::SYSCALL;
        proc.sequence = sequence;
        Ok(Verdict::Pass)
    }

    #[inline(always)]
    pub(super) fn go_syscall_end(&mut self, context: Context, ty: EventType) -> Outcome {
        context.need_all(ty)?;
        self.running_as(context, GoStatus::SYSCALL)?.status = GoStatus::RUNNING;
        let proc = self.proc_of(context)?;
        if proc.status != ProcStatus::SYSCALL {
            self.take_back(context.go, context.go_slot, GoStatus::SYSCALL);
            return fault(ErrorKind::ProcStateMismatch, ProcId::raw(context.proc));
        }
        proc.status = ProcStatus::RUNNING;
        Ok(Verdict::Pass)
    }

    /// What is refused has no effect: a lenient reader goes on.
    #[cold]
    #[inline(never)]
    fn take_back(&mut self, go: Option<GoId>, slot: u32, status: GoStatus) {
        let slot = self.goroutines.slot_of(GoId::raw(go), slot);
        if let Some(goroutine) = self.goroutines.get_mut(slot) {
            goroutine.status = status;
        }
    }

    pub(super) fn go_syscall_end_blocked(&mut self, context: Context, ty: EventType) -> Outcome {
        // The event says that the thread lost its proc: until the model has seen that, wait.
        if context.proc.is_some() && self.proc_of(context)?.status == ProcStatus::SYSCALL {
            return Ok(Verdict::Wait);
        }
        context.need_thread(ty)?;
        context.need_go(ty)?;
        self.running_as(context, GoStatus::SYSCALL)?.status = GoStatus::RUNNABLE;
        self.unbind_go(context);
        Ok(Verdict::Pass)
    }

    /// A goroutine that appeared in a system call returns to C. A proc that it still has is lost:
    /// the system may give the thread's id to another, which must not be taken for this one.
    pub(super) fn go_destroy_syscall(
        &mut self,
        context: Context,
        raw: &mut Raw,
        further: &mut impl Further,
    ) -> Outcome {
        context.need_thread(raw.event.ty)?;
        context.need_go(raw.event.ty)?;
        self.running_as(context, GoStatus::SYSCALL)?;
        self.remove_running(context);
        self.unbind_go(context);
        if let Some(id) = context.proc {
            let proc = self.proc_of(context)?;
            if proc.status != ProcStatus::SYSCALL {
                return fault(ErrorKind::ProcStateMismatch, id.get());
            }
            proc.status = ProcStatus::SYSCALL_ABANDONED;
            if let Some(thread) = self.thread_of(context) {
                thread.proc = None;
            }
            // First, as if the thread had stolen it from itself.
            further.push(*raw);
            raw.event = TimedEvent::new(EventType::PROC_STEAL, 0, [id.get(), 0, 0, 0]);
            raw.from = ProcStatus::SYSCALL.0;
        }
        Ok(Verdict::Pass)
    }

    pub(super) fn go_status(&mut self, context: Context, raw: &mut Raw, epoch: Epoch) -> Outcome {
        let [id, thread, status, _] = raw.event.args;
        // Like Go, this looks at the low byte only.
        let status = GoStatus(num::low_byte(status));
        let Some(state) = GoState::of(status) else {
            return fault(ErrorKind::InvalidStatus, u64::from(status.0));
        };
        let Some(go) = GoId::new(id) else {
            return fault(ErrorKind::ReservedId, raw.event.ty.number());
        };
        let slot = match self.goroutines.find(id) {
            Some(slot) => {
                raw.from = state.number();
                #[cfg(feature = "alloc")]
                let doubted = self.damaged;
                #[cfg(not(feature = "alloc"))]
                let doubted = false;
                if let Some(goroutine) = self.goroutines.get_mut(slot) {
                    if goroutine.status != status {
                        // A damaged status said that it is in no state: that is not believed.
                        if !doubted || GoState::of(goroutine.status) != Some(GoState::Undetermined)
                        {
                            return fault(ErrorKind::GoStatusMismatch, id);
                        }
                        goroutine.status = status;
                        raw.from = GoState::Undetermined.number();
                    }
                    goroutine.sequence = Sequence {
                        generation: epoch.generation,
                        number: 0,
                    };
                }
                slot
            }
            None if epoch.first => {
                raw.from = GoState::Undetermined.number();
                self.add_goroutine(go, status, epoch)?
            }
            None => return fault(ErrorKind::LateGoroutine, id),
        };
        match status {
            GoStatus::RUNNING => {
                self.runs_on(slot, context.thread_slot);
                if let Some(thread) = self.thread_of(context) {
                    thread.bind_go(go, slot);
                }
                Ok(Verdict::Pass)
            }
            GoStatus::SYSCALL => {
                let Some(thread) = ThreadId::new(thread) else {
                    return fault(ErrorKind::SyscallWithoutThread, id);
                };
                self.go_status_syscall(context, raw, thread, (go, slot), epoch)
            }
            _ => Ok(Verdict::Pass),
        }
    }

    /// A goroutine sits in a system call on `thread`, which need not be the one that says so.
    fn go_status_syscall(
        &mut self,
        context: Context,
        raw: &mut Raw,
        thread: ThreadId,
        (go, slot): (GoId, u32),
        epoch: Epoch,
    ) -> Outcome {
        if context.thread == Some(thread) {
            // After the first generation the binding must have been seen.
            if !epoch.first && context.go != Some(go) {
                return fault(ErrorKind::WrongThread, go.get());
            }
            self.runs_on(slot, context.thread_slot);
            if let Some(state) = self.thread_of(context) {
                state.bind_go(go, slot);
            }
            return Ok(Verdict::Pass);
        }
        let other = self.thread_slot(thread).map_err(full(Table::Threads))?;
        self.runs_on(slot, other);
        if let Some(state) = self.threads.get_mut(other) {
            if state.seen {
                if state.go != Some(go) {
                    return fault(ErrorKind::WrongThread, go.get());
                }
                raw.go = Some(go);
            } else {
                *state = Thread {
                    seen: true,
                    ..Thread::NEW
                };
                state.bind_go(go, slot);
            }
        }
        raw.thread = Some(thread);
        Ok(Verdict::Pass)
    }
}
