//! Procs: a thread has one while it runs goroutines. Those of threads that ended are used again.

use crate::ids::ProcId;
use crate::locks::{Mutex, lock};
use alloc::vec::Vec;

/// A proc, and what the trace says of it.
#[derive(Debug)]
pub(super) struct Proc {
    pub(super) id: ProcId,
    /// The generation that mentioned it last; 0 for none.
    pub(super) generation: u64,
    /// Of its last event in that generation.
    pub(super) sequence: u64,
    pub(super) state: ProcState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProcState {
    /// No trace knows it.
    Unknown,
    Idle,
    Running,
    Syscall,
}

/// Those that no thread has.
#[derive(Debug)]
pub(super) struct Procs(Mutex<Free>);

#[derive(Debug)]
struct Free {
    idle: Vec<Proc>,
    last: u64,
}

impl Procs {
    pub(super) fn new() -> Procs {
        Procs(Mutex::new(Free {
            idle: Vec::new(),
            last: 0,
        }))
    }

    /// A proc for who writes in a generation. From 1 on: Go's viewer draws no arrows from proc 0.
    pub(super) fn take(&self, generation: u64) -> Option<Proc> {
        let mut free = lock(&self.0);
        // One that was let go in a later generation is not idle yet in this one.
        let fit = free.idle.iter().position(|p| p.generation <= generation);
        if let Some(place) = fit {
            return Some(free.idle.swap_remove(place));
        }
        free.last = free.last.saturating_add(1);
        Some(Proc {
            id: ProcId::new(free.last)?,
            generation: 0,
            sequence: 0,
            state: ProcState::Unknown,
        })
    }

    /// Takes back one that is idle.
    pub(super) fn give_back(&self, proc: Proc) {
        if proc.state == ProcState::Idle {
            lock(&self.0).idle.push(proc);
        }
    }

    /// Another trace begins, which knows none.
    pub(super) fn forget(&self) {
        let mut free = lock(&self.0);
        free.idle.clear();
        free.last = 0;
    }
}
