//! What the model knows, and what it takes for true from now on.

use super::super::{Epoch, Fault, Scheduler, Sequence, Thread, full};
use super::{CORRECTED, LONG_AGO, Made, Plan, THREAD};
use crate::error::Table;
use crate::ids::GoId;
use crate::tables::{NIL, Storage};
use crate::wire::{GoStatus, ProcStatus};

impl<S: Storage> Scheduler<S> {
    /// The thread that runs a goroutine, or is in a system call of it.
    pub(super) fn runner(&self, id: u64, go: u32) -> Option<u32> {
        let thread = self.goroutines.get(go)?.thread;
        let bound = self.threads.get(thread)?.go?;
        (bound.get() == id).then_some(thread)
    }

    /// The thread that has a proc.
    pub(super) fn holder(&self, id: u64, proc: u32) -> Option<u32> {
        let thread = self.procs.get(proc)?.owner;
        let bound = self.threads.get(thread)?.proc?;
        (bound.get() == id).then_some(thread)
    }

    pub(super) fn go_status_of(&self, go: u32) -> Option<GoStatus> {
        Some(self.goroutines.get(go)?.status)
    }

    pub(super) fn proc_status_of(&self, id: u64) -> Option<ProcStatus> {
        Some(self.procs.get(self.procs.find(id)?)?.status)
    }

    pub(super) fn running_slot(&self, thread: u32) -> Option<u32> {
        self.goroutines.find(self.threads.get(thread)?.go?.get())
    }

    pub(super) fn running_status(&self, thread: u32) -> Option<GoStatus> {
        self.go_status_of(self.running_slot(thread)?)
    }

    pub(super) fn bound_proc(&self, thread: u32) -> Option<u32> {
        self.procs.find(self.threads.get(thread)?.proc?.get())
    }

    // What the model takes for true from now on.

    pub(super) fn bind_go_to(&mut self, go: u32, thread: u32) {
        let id = self.goroutines.id(go).and_then(GoId::new);
        if let (Some(known), Some(id)) = (self.goroutines.get_mut(go), id) {
            known.thread = thread;
            if let Some(thread) = self.threads.get_mut(thread) {
                thread.bind_go(id, go);
            }
        }
    }

    pub(super) fn set_proc(&mut self, proc: u32, status: ProcStatus) {
        if let Some(proc) = self.procs.get_mut(proc) {
            proc.status = status;
        }
    }

    pub(super) fn set_go_number(&mut self, go: u32, number: u64, epoch: Epoch) {
        if let Some(go) = self.goroutines.get_mut(go) {
            go.sequence = Sequence {
                generation: epoch.generation,
                number,
            };
        }
    }

    pub(super) fn set_proc_number(&mut self, proc: u32, number: u64, epoch: Epoch) {
        if let Some(proc) = self.procs.get_mut(proc) {
            proc.sequence = Sequence {
                generation: epoch.generation,
                number,
            };
        }
    }

    pub(super) fn unbind_goroutine(&mut self, thread: u32) -> Plan {
        if let Some(thread) = self.threads.get_mut(thread) {
            thread.go = None;
            thread.go_slot = NIL;
        }
        CORRECTED
    }

    pub(super) fn unbind_proc(&mut self, thread: u32) -> Plan {
        if let Some(thread) = self.threads.get_mut(thread) {
            thread.proc = None;
            thread.proc_slot = NIL;
        }
        CORRECTED
    }

    pub(super) fn made_up_thread(&mut self, made: &mut Made) -> Result<u32, Fault> {
        if self.threads.get(made.thread).is_none() {
            let known = self.threads.find(THREAD);
            let inserted = known.map_or_else(|| self.threads.insert(THREAD, Thread::NEW), Ok);
            made.thread = inserted.map_err(full(Table::Threads))?;
        }
        Ok(made.thread)
    }

    // Sequence numbers.

    /// Whether a goroutine's number came already.
    pub(super) fn is_past_go(&self, go: u32, number: u64, epoch: Epoch) -> bool {
        self.goroutines
            .get(go)
            .is_some_and(|go| is_past(go.sequence, number, epoch))
    }

    pub(super) fn is_past_proc(&self, proc: u32, number: u64, epoch: Epoch) -> bool {
        self.procs
            .get(proc)
            .is_some_and(|proc| is_past(proc.sequence, number, epoch))
    }

    /// The number of a goroutine's next event.
    pub(super) fn next_go(&mut self, go: u32, epoch: Epoch) -> u64 {
        let Some(go) = self.goroutines.get_mut(go) else {
            return 0;
        };
        next_of(&mut go.sequence, epoch)
    }

    pub(super) fn next_proc(&mut self, proc: u32, epoch: Epoch) -> u64 {
        let Some(proc) = self.procs.get_mut(proc) else {
            return 0;
        };
        next_of(&mut proc.sequence, epoch)
    }

    /// This number comes next.
    pub(super) fn expect_go(&mut self, go: u32, number: u64, epoch: Epoch) -> Plan {
        if self.next_go(go, epoch) == number {
            return Ok(None);
        }
        self.set_go_number(go, number.wrapping_sub(1), epoch);
        CORRECTED
    }

    pub(super) fn expect_proc(&mut self, proc: u32, number: u64, epoch: Epoch) -> Plan {
        if self.next_proc(proc, epoch) == number {
            return Ok(None);
        }
        self.set_proc_number(proc, number.wrapping_sub(1), epoch);
        CORRECTED
    }
}

/// Whether a number came already. One that came long ago may come again: then it is the last one that is
/// wrong, as in a record that was damaged.
fn is_past(sequence: Sequence, number: u64, epoch: Epoch) -> bool {
    let ago = sequence.number.wrapping_sub(number);
    sequence.generation == epoch.generation && ago < LONG_AGO
}

/// The number after the last one of this generation, in which it counts anew.
fn next_of(sequence: &mut Sequence, epoch: Epoch) -> u64 {
    if sequence.generation != epoch.generation {
        *sequence = Sequence {
            generation: epoch.generation,
            number: 0,
        };
    }
    sequence.number.wrapping_add(1)
}
