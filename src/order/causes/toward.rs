//! Toward a state of a goroutine, a proc or a thread, event by event.

use super::super::{Epoch, Scheduler, full};
use super::{CORRECTED, Cause, FIRST_PROC, IMPOSSIBLE, Made, Plan, TRIES, event, first, on};
use crate::error::Table;
use crate::ids::{GoId, ProcId, ThreadId};
use crate::tables::{NIL, Storage};
use crate::wire::{EventType, GoStatus, ProcStatus};

impl<S: Storage> Scheduler<S> {
    /// A goroutine is known.
    pub(super) fn exist(&mut self, id: u64, epoch: Epoch, made: &mut Made) -> Plan {
        if epoch.first {
            let none = ThreadId::raw(None);
            let status = event(
                EventType::GO_STATUS,
                id,
                none,
                u64::from(GoStatus::RUNNABLE.0),
            );
            return Ok(Some(Cause::Event(status, NIL)));
        }
        let thread = self.made_up_thread(made)?;
        first!(self.lend(thread, epoch, made));
        Ok(Some(Cause::Event(
            event(EventType::GO_CREATE, id, 0, 0),
            thread,
        )))
    }

    /// A goroutine is not known any more.
    pub(super) fn gone(&mut self, id: u64, epoch: Epoch, made: &mut Made) -> Plan {
        let Some(go) = self.goroutines.find(id) else {
            return Ok(None);
        };
        match self.runner(id, go) {
            Some(thread) => {
                if self.go_status_of(go) == Some(GoStatus::SYSCALL) {
                    if let Some(proc) = self.bound_proc(thread) {
                        return self.idle(proc, epoch, made);
                    }
                    return on(thread, EventType::GO_DESTROY_SYSCALL);
                }
                first!(self.own(thread, epoch, made));
                on(thread, EventType::GO_DESTROY)
            }
            None => {
                let thread = self.made_up_thread(made)?;
                first!(self.run(go, thread, epoch, made));
                on(thread, EventType::GO_DESTROY)
            }
        }
    }

    /// A goroutine is runnable.
    pub(super) fn ready(&mut self, go: u32, epoch: Epoch, made: &mut Made) -> Plan {
        let id = self.goroutines.id(go).unwrap_or(0);
        match self.go_status_of(go) {
            Some(GoStatus::RUNNABLE) => Ok(None),
            Some(GoStatus::WAITING) => {
                let number = self.next_go(go, epoch);
                let unblock = event(EventType::GO_UNBLOCK, id, number, 0);
                Ok(Some(Cause::Event(unblock, NIL)))
            }
            _ => match self.runner(id, go) {
                Some(thread) => self.stop_on(thread, epoch, made),
                None => {
                    // It runs where nobody knows: from now on, there.
                    let thread = self.made_up_thread(made)?;
                    first!(self.stop_on(thread, epoch, made));
                    if let Some(status @ GoStatus::RUNNING) = self.go_status_of(go) {
                        let on = ThreadId::raw(self.thread_id(thread));
                        let status = event(EventType::GO_STATUS, id, on, u64::from(status.0));
                        return Ok(Some(Cause::Event(status, thread)));
                    }
                    self.bind_go_to(go, thread);
                    CORRECTED
                }
            },
        }
    }

    /// A goroutine waits.
    pub(super) fn wait(&mut self, go: u32, epoch: Epoch, made: &mut Made) -> Plan {
        let id = self.goroutines.id(go).unwrap_or(0);
        match self.go_status_of(go) {
            Some(GoStatus::WAITING) => return Ok(None),
            Some(GoStatus::RUNNING) => {
                if let Some(thread) = self.runner(id, go) {
                    first!(self.own(thread, epoch, made));
                    return on(thread, EventType::GO_BLOCK);
                }
            }
            _ => {}
        }
        first!(self.ready(go, epoch, made));
        let thread = self.made_up_thread(made)?;
        self.run(go, thread, epoch, made)
    }

    /// A goroutine runs on a thread.
    pub(super) fn run(&mut self, go: u32, thread: u32, epoch: Epoch, made: &mut Made) -> Plan {
        let id = self.goroutines.id(go).unwrap_or(0);
        let here = self.runner(id, go) == Some(thread);
        if here && self.go_status_of(go) == Some(GoStatus::RUNNING) {
            return self.lend(thread, epoch, made);
        }
        first!(self.ready(go, epoch, made));
        first!(self.stop_on(thread, epoch, made));
        first!(self.lend(thread, epoch, made));
        let number = self.next_go(go, epoch);
        Ok(Some(Cause::Event(
            event(EventType::GO_START, id, number, 0),
            thread,
        )))
    }

    /// A thread runs no goroutine.
    pub(super) fn stop_on(&mut self, thread: u32, epoch: Epoch, made: &mut Made) -> Plan {
        if self.threads.get(thread).is_none_or(|t| t.go.is_none()) {
            return Ok(None);
        }
        match self.running_status(thread) {
            Some(GoStatus::RUNNING) => {
                first!(self.lend(thread, epoch, made));
                on(thread, EventType::GO_STOP)
            }
            Some(GoStatus::SYSCALL) => match self.bound_proc(thread) {
                Some(proc) => match self.procs.get(proc).map(|p| p.status) {
                    Some(ProcStatus::SYSCALL) => on(thread, EventType::GO_SYSCALL_END),
                    _ => self.idle(proc, epoch, made),
                },
                None => on(thread, EventType::GO_SYSCALL_END_BLOCKED),
            },
            _ => self.unbind_goroutine(thread),
        }
    }

    /// A thread's goroutine runs.
    pub(super) fn own(&mut self, thread: u32, epoch: Epoch, made: &mut Made) -> Plan {
        match self.running_status(thread) {
            Some(GoStatus::RUNNING) => self.lend(thread, epoch, made),
            Some(GoStatus::SYSCALL) => {
                let in_syscall = self
                    .bound_proc(thread)
                    .and_then(|proc| self.procs.get(proc));
                if in_syscall.is_some_and(|proc| proc.status == ProcStatus::SYSCALL) {
                    return on(thread, EventType::GO_SYSCALL_END);
                }
                made.resume = self
                    .threads
                    .get(thread)
                    .and_then(|t| t.go)
                    .map(|go| (thread, go));
                self.stop_on(thread, epoch, made)
            }
            _ => self.unbind_goroutine(thread),
        }
    }

    /// The same, where without a goroutine nothing can be done.
    pub(super) fn own_or_none(&mut self, thread: u32, epoch: Epoch, made: &mut Made) -> Plan {
        match self.threads.get(thread).and_then(|thread| thread.go) {
            Some(_) => self.own(thread, epoch, made),
            None => IMPOSSIBLE,
        }
    }

    /// A thread's goroutine and proc are in a system call.
    pub(super) fn enter(&mut self, thread: u32, epoch: Epoch, made: &mut Made) -> Plan {
        if self.running_status(thread) == Some(GoStatus::SYSCALL) {
            let proc = self
                .bound_proc(thread)
                .and_then(|proc| self.procs.get(proc));
            if proc.is_some_and(|proc| proc.status == ProcStatus::SYSCALL) {
                return Ok(None);
            }
        }
        first!(self.own(thread, epoch, made));
        let Some(proc) = self.bound_proc(thread) else {
            return IMPOSSIBLE;
        };
        let number = self.next_proc(proc, epoch);
        Ok(Some(Cause::Event(
            event(EventType::GO_SYSCALL_BEGIN, number, 0, 0),
            thread,
        )))
    }

    /// A thread has a proc that runs.
    pub(super) fn lend(&mut self, thread: u32, epoch: Epoch, made: &mut Made) -> Plan {
        if self.threads.get(thread).is_none() {
            return IMPOSSIBLE;
        }
        if let Some(proc) = self.threads.get(thread).and_then(|t| t.proc) {
            let found = self.procs.find(proc.get());
            return match found.and_then(|p| Some((p, self.procs.get(p)?.status))) {
                Some((_, ProcStatus::RUNNING)) => Ok(None),
                Some((found, ProcStatus::SYSCALL)) => {
                    if self.running_status(thread) == Some(GoStatus::SYSCALL) {
                        on(thread, EventType::GO_SYSCALL_END)
                    } else {
                        self.idle(found, epoch, made)
                    }
                }
                _ => self.unbind_proc(thread),
            };
        }
        let newest = FIRST_PROC.saturating_add(made.procs);
        for id in newest.saturating_sub(made.procs.min(TRIES))..newest {
            let found = self.procs.find(id).unwrap_or(NIL);
            if self.proc_status_of(id) == Some(ProcStatus::IDLE) {
                let number = self.next_proc(found, epoch);
                let start = event(EventType::PROC_START, id, number, 0);
                return Ok(Some(Cause::Event(start, thread)));
            }
        }
        // One that the trace does not have.
        made.procs = made.procs.saturating_add(1);
        if self.procs.find(newest).is_some() {
            return CORRECTED;
        }
        let status = event(
            EventType::PROC_STATUS,
            newest,
            u64::from(ProcStatus::IDLE.0),
            0,
        );
        Ok(Some(Cause::Event(status, NIL)))
    }

    /// A proc is idle.
    pub(super) fn idle(&mut self, proc: u32, epoch: Epoch, made: &mut Made) -> Plan {
        let id = self.procs.id(proc).unwrap_or(0);
        let status = self.procs.get(proc).map(|proc| proc.status);
        let holder = self.holder(id, proc);
        match (status, holder) {
            (Some(ProcStatus::IDLE), None) | (None, _) => Ok(None),
            (Some(ProcStatus::RUNNING), Some(thread)) => {
                if self.running_status(thread) == Some(GoStatus::RUNNING) {
                    return on(thread, EventType::GO_STOP);
                }
                on(thread, EventType::PROC_STOP)
            }
            (Some(ProcStatus::SYSCALL), Some(thread)) => {
                let victim = self.threads.id(thread).unwrap_or(0);
                let number = self.next_proc(proc, epoch);
                let steal = event(EventType::PROC_STEAL, id, number, victim);
                Ok(Some(Cause::Event(steal, thread)))
            }
            (Some(ProcStatus::SYSCALL_ABANDONED), None) => {
                let thread = self.made_up_thread(made)?;
                let number = self.next_proc(proc, epoch);
                let steal = event(EventType::PROC_STEAL, id, number, 0);
                Ok(Some(Cause::Event(steal, thread)))
            }
            (_, Some(thread)) => self.unbind_proc(thread),
            (Some(status @ (ProcStatus::RUNNING | ProcStatus::SYSCALL)), None) => {
                // As with a goroutine of which nobody knows where it runs.
                let thread = self.made_up_thread(made)?;
                first!(self.idle_on(thread, epoch, made));
                let status = event(EventType::PROC_STATUS, id, u64::from(status.0), 0);
                Ok(Some(Cause::Event(status, thread)))
            }
            // Nothing was known of it.
            (Some(_), None) => {
                self.procs.remove(proc);
                let status = event(EventType::PROC_STATUS, id, u64::from(ProcStatus::IDLE.0), 0);
                Ok(Some(Cause::Event(status, NIL)))
            }
        }
    }

    /// A thread has no proc.
    pub(super) fn idle_on(&mut self, thread: u32, epoch: Epoch, made: &mut Made) -> Plan {
        let Some(proc) = self.threads.get(thread).and_then(|t| t.proc) else {
            return Ok(None);
        };
        match self.procs.find(proc.get()) {
            Some(found) if self.holder(proc.get(), found) == Some(thread) => {
                self.idle(found, epoch, made)
            }
            _ => self.unbind_proc(thread),
        }
    }

    /// A proc has a status on a thread.
    pub(super) fn proc_as(
        &mut self,
        id: u64,
        status: ProcStatus,
        thread: u32,
        epoch: Epoch,
        made: &mut Made,
    ) -> Plan {
        let Some(proc) = self.procs.find(id).filter(|_| ProcId::new(id).is_some()) else {
            return match status {
                ProcStatus::RUNNING | ProcStatus::SYSCALL if ProcId::new(id).is_some() => {
                    self.idle_on(thread, epoch, made)
                }
                _ => IMPOSSIBLE,
            };
        };
        match status {
            ProcStatus::IDLE => self.idle(proc, epoch, made),
            ProcStatus::RUNNING | ProcStatus::SYSCALL if self.threads.get(thread).is_some() => {
                let here = self.holder(id, proc) == Some(thread);
                if !here {
                    first!(self.idle(proc, epoch, made));
                    first!(self.idle_on(thread, epoch, made));
                    // One in a system call would have lost its proc for good.
                    first!(self.stop_on(thread, epoch, made));
                    let number = self.next_proc(proc, epoch);
                    let start = event(EventType::PROC_START, id, number, 0);
                    return Ok(Some(Cause::Event(start, thread)));
                }
                let running = self.threads.get(thread).is_some_and(|t| t.go.is_some());
                let now = self.proc_status_of(id);
                match (status, now) {
                    (ProcStatus::RUNNING, Some(ProcStatus::SYSCALL)) => {
                        self.lend(thread, epoch, made)
                    }
                    (ProcStatus::SYSCALL, Some(ProcStatus::RUNNING)) if running => {
                        self.enter(thread, epoch, made)
                    }
                    _ => IMPOSSIBLE,
                }
            }
            _ => IMPOSSIBLE,
        }
    }

    /// A goroutine has a status; if it runs, on this thread, in a system call on that one.
    pub(super) fn go_as(
        &mut self,
        id: u64,
        status: GoStatus,
        in_syscall: Option<ThreadId>,
        thread: u32,
        epoch: Epoch,
        made: &mut Made,
    ) -> Plan {
        if GoId::new(id).is_none()
            || !matches!(
                status,
                GoStatus::RUNNABLE | GoStatus::WAITING | GoStatus::RUNNING | GoStatus::SYSCALL
            )
        {
            return IMPOSSIBLE;
        }
        let Some(go) = self.goroutines.find(id) else {
            if epoch.first {
                // Only another goroutine is in the way.
                return match (status, in_syscall) {
                    (GoStatus::RUNNING, _) => self.stop_on(thread, epoch, made),
                    (GoStatus::SYSCALL, Some(other)) => {
                        let other = self.thread_slot(other).map_err(full(Table::Threads))?;
                        self.stop_on(other, epoch, made)
                    }
                    _ => IMPOSSIBLE,
                };
            }
            return self.exist(id, epoch, made);
        };
        match (status, in_syscall) {
            (GoStatus::RUNNABLE, _) => self.ready(go, epoch, made),
            (GoStatus::WAITING, _) => self.wait(go, epoch, made),
            (GoStatus::RUNNING, _) => self.run(go, thread, epoch, made),
            (_, None) => IMPOSSIBLE,
            (_, Some(other)) => {
                let other = self.thread_slot(other).map_err(full(Table::Threads))?;
                if let Some(thread) = self.threads.get_mut(other) {
                    thread.seen = true;
                }
                let here = self.runner(id, go) == Some(other);
                if here && self.go_status_of(go) == Some(GoStatus::SYSCALL) {
                    return Ok(None);
                }
                first!(self.run(go, other, epoch, made));
                self.enter(other, epoch, made)
            }
        }
    }
}
