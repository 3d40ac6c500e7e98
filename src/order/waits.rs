//! What an event waits for that may not come next, and what an event brings that passed.

use super::Scheduler;
use crate::event::Raw;
use crate::ids::ProcId;
use crate::tables::{NIL, Storage};
use crate::wire::{EventType, GoStatus, ProcStatus, Role};

/// What kind of thing an event waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Anything: events by time alone.
    Any,
    /// A goroutine that is ready to run, before the start with this sequence number.
    Runnable,
    /// A goroutine that waits, before this sequence number.
    Waiting,
    /// A proc that is idle, before this sequence number.
    Idle,
    /// A proc in a system call, before this sequence number.
    InSyscall,
    /// A proc that is in none.
    OutOfSyscall,
    /// A garbage collector before this sequence number.
    Collector,
    /// To lose the proc that its own thread has.
    OwnProc,
}

/// What an event waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    what: What,
    id: u64,
    number: u64,
}

impl Key {
    pub(crate) const ANY: Key = Key::new(What::Any, 0, 0);

    pub(crate) const fn new(what: What, id: u64, number: u64) -> Key {
        Key { what, id, number }
    }

    /// What an event waits for that has just been made to wait.
    pub(crate) fn of(raw: &Raw) -> Key {
        let [id, number, ..] = raw.event.args;
        match raw.event.ty {
            EventType::GO_START => Key::new(What::Runnable, id, number),
            EventType::GO_UNBLOCK | EventType::GO_SWITCH | EventType::GO_SWITCH_DESTROY => {
                Key::new(What::Waiting, id, number)
            }
            EventType::PROC_START if raw.proc.is_none() => Key::new(What::Idle, id, number),
            EventType::PROC_STEAL => Key::new(What::InSyscall, id, number),
            EventType::GO_SYSCALL_END_BLOCKED => {
                Key::new(What::OutOfSyscall, ProcId::raw(raw.proc), 0)
            }
            EventType::GC_ACTIVE | EventType::GC_BEGIN | EventType::GC_END => {
                Key::new(What::Collector, 0, id)
            }
            // No other event waits.
            _ => Key::new(What::OwnProc, 0, 0),
        }
    }
}

impl<S: Storage> Scheduler<S> {
    /// The keys that an event may have brought that passed.
    pub(crate) fn brought_by(&self, raw: &Raw, mut key: impl FnMut(Key)) {
        let about = raw.event.ty.spec().and_then(|spec| spec.args.get(1));
        let named = |role| about.filter(|arg| arg.role == role).map(|_| raw.arg(0));
        for id in [raw.go.map(|id| id.get()), named(Role::Goroutine)] {
            let slot = id.and_then(|id| self.goroutines.find(id)).unwrap_or(NIL);
            let (Some(id), Some(goroutine)) = (id, self.goroutines.get(slot)) else {
                continue;
            };
            let next = goroutine.sequence.number.wrapping_add(1);
            match goroutine.status {
                GoStatus::RUNNABLE => key(Key::new(What::Runnable, id, next)),
                GoStatus::WAITING => key(Key::new(What::Waiting, id, next)),
                _ => {}
            }
        }
        for id in [raw.proc.map(|id| id.get()), named(Role::Proc)] {
            let slot = id.and_then(|id| self.procs.find(id)).unwrap_or(NIL);
            let (Some(id), Some(proc)) = (id, self.procs.get(slot)) else {
                continue;
            };
            let next = proc.sequence.number.wrapping_add(1);
            match proc.status {
                ProcStatus::IDLE => key(Key::new(What::Idle, id, next)),
                ProcStatus::SYSCALL | ProcStatus::SYSCALL_ABANDONED => {
                    key(Key::new(What::InSyscall, id, next));
                }
                _ => {}
            }
            if proc.status != ProcStatus::SYSCALL {
                key(Key::new(What::OutOfSyscall, id, 0));
            }
        }
        let next = self.gc_sequence.wrapping_add(1);
        key(Key::new(What::Collector, 0, next));
    }
}

impl Key {
    /// The key as numbers that sort.
    pub(crate) const fn words(self) -> [u64; 3] {
        let what = match self.what {
            What::Any => 0,
            What::Runnable => 1,
            What::Waiting => 2,
            What::Idle => 3,
            What::InSyscall => 4,
            What::OutOfSyscall => 5,
            What::Collector => 6,
            What::OwnProc => 7,
        };
        [what, self.id, self.number]
    }
}
