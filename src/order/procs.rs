//! Procs: how threads take them, give them up, and steal them from each other.

use super::{Context, Epoch, Outcome, Proc, Scheduler, Sequence, Verdict, fault, full};
use crate::error::{ErrorKind, Table};
use crate::event::{ProcState, Raw};
use crate::ids::{ProcId, ThreadId};
use crate::num;
use crate::tables::NIL;
use crate::tables::Storage;
use crate::wire::{EventType, ProcStatus};

impl<S: Storage> Scheduler<S> {
    fn bind_proc(&mut self, context: Context, id: ProcId, slot: u32) {
        if let Some(thread) = self.thread_of(context) {
            thread.proc = Some(id);
            thread.proc_slot = slot;
        }
        if let Some(proc) = self.procs.get_mut(slot) {
            proc.owner = context.thread_slot;
        }
    }

    pub(super) fn proc_status(&mut self, context: Context, raw: &mut Raw, epoch: Epoch) -> Outcome {
        let [id, status, ..] = raw.event.args;
        // Like Go, this looks at the low byte only.
        let status = ProcStatus(num::low_byte(status));
        let Some(state) = ProcState::of(status) else {
            return fault(ErrorKind::InvalidStatus, u64::from(status.0));
        };
        let Some(proc) = ProcId::new(id) else {
            return fault(ErrorKind::ReservedId, raw.event.ty.number());
        };
        let sequence = Sequence {
            generation: epoch.generation,
            number: 0,
        };
        let mut owner = None;
        let mut from = state;
        let slot = match self.procs.find(id) {
            Some(slot) => {
                if let Some(proc) = self.procs.get_mut(slot) {
                    match (status, proc.status) {
                        // Its thread was thought lost, but is known after all.
                        (ProcStatus::SYSCALL_ABANDONED, ProcStatus::SYSCALL) => {
                            from = ProcState::Running;
                            raw.event.args = [id, u64::from(ProcStatus::SYSCALL.0), 0, 0];
                            owner = Some(proc.owner);
                        }
                        (now, before) if now != before => {
                            return fault(ErrorKind::ProcStatusMismatch, id);
                        }
                        _ => {}
                    }
                    proc.sequence = sequence;
                }
                slot
            }
            None => {
                from = if epoch.first {
                    ProcState::Undetermined
                } else {
                    ProcState::NotExist
                };
                let proc = Proc {
                    sequence,
                    status,
                    sweeps: false,
                    owner: NIL,
                };
                self.procs.insert(id, proc).map_err(full(Table::Procs))?
            }
        };
        raw.from = from.number();
        if matches!(status, ProcStatus::RUNNING | ProcStatus::SYSCALL) {
            self.bind_proc(context, proc, slot);
        }
        if let Some(owner) = owner {
            // The status of a proc in a system call is told by the thread that is about to steal
            // it: the event belongs to the thread that has it.
            let thread = self.threads.get(owner).filter(|t| t.proc == Some(proc));
            let Some(thread) = thread else {
                return fault(ErrorKind::LostProc, proc.get());
            };
            raw.go = thread.go;
            raw.proc = Some(proc);
            raw.thread = self.threads.id(owner).and_then(ThreadId::new);
        }
        Ok(Verdict::Pass)
    }

    pub(super) fn proc_start(&mut self, context: Context, raw: &Raw, epoch: Epoch) -> Outcome {
        let [id, number, ..] = raw.event.args;
        let sequence = Sequence {
            generation: epoch.generation,
            number,
        };
        // A thread that still has a proc is in a system call out of which that one is about to be
        // stolen.
        if context.proc.is_some() {
            return Ok(Verdict::Wait);
        }
        let Some(slot) = self.procs.find(id) else {
            return Ok(Verdict::Wait);
        };
        let Some(proc) = self.procs.get_mut(slot) else {
            return Ok(Verdict::Wait);
        };
        if proc.status != ProcStatus::IDLE || !proc.sequence.is_followed_by(sequence) {
            return Ok(Verdict::Wait);
        }
        context.need_thread(raw.event.ty)?;
        proc.status = ProcStatus::RUNNING;
        proc.sequence = sequence;
        if let Some(id) = ProcId::new(id) {
            self.bind_proc(context, id, slot);
        }
        Ok(Verdict::Pass)
    }

    pub(super) fn proc_stop(&mut self, context: Context) -> Outcome {
        if context.proc.is_none() {
            return fault(ErrorKind::NeedsProc, EventType::PROC_STOP.number());
        }
        let proc = self.proc_of(context)?;
        if !matches!(proc.status, ProcStatus::RUNNING | ProcStatus::SYSCALL) {
            return fault(ErrorKind::ProcStateMismatch, ProcId::raw(context.proc));
        }
        context.need_thread(EventType::PROC_STOP)?;
        proc.status = ProcStatus::IDLE;
        if let Some(thread) = self.thread_of(context) {
            thread.proc = None;
            thread.proc_slot = NIL;
        }
        Ok(Verdict::Pass)
    }

    pub(super) fn proc_steal(&mut self, context: Context, raw: &mut Raw, epoch: Epoch) -> Outcome {
        let [id, number, victim, _] = raw.event.args;
        let sequence = Sequence {
            generation: epoch.generation,
            number,
        };
        let Some(slot) = self.procs.find(id) else {
            return Ok(Verdict::Wait);
        };
        let Some(proc) = self.procs.get_mut(slot) else {
            return Ok(Verdict::Wait);
        };
        let before = proc.status;
        if !matches!(before, ProcStatus::SYSCALL | ProcStatus::SYSCALL_ABANDONED)
            || !proc.sequence.is_followed_by(sequence)
        {
            return Ok(Verdict::Wait);
        }
        context.need_thread(raw.event.ty)?;
        proc.status = ProcStatus::IDLE;
        proc.sequence = sequence;
        raw.from = before.0;
        if before == ProcStatus::SYSCALL_ABANDONED {
            // Nobody knows where its thread went.
            return Ok(Verdict::Pass);
        }
        let thread = if context.thread.is_some_and(|t| t.get() == victim) {
            self.thread_of(context)
        } else {
            let known = self.threads.find(victim).unwrap_or(NIL);
            let Some(thread) = self.threads.get_mut(known).filter(|t| t.seen) else {
                return fault(ErrorKind::UnknownThread, victim);
            };
            Some(thread)
        };
        // In its system call, the victim learns that it has no proc.
        if let Some(thread) = thread {
            if ProcId::raw(thread.proc) != id {
                return fault(ErrorKind::StolenFromWrongThread, id);
            }
            thread.proc = None;
            thread.proc_slot = NIL;
        }
        Ok(Verdict::Pass)
    }
}
