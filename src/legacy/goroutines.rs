//! What is known of each goroutine: for the merge, and for the checks that follow it.

use crate::error::{Error, ErrorKind, Table};
use crate::num;
use crate::tables::{Full, IdTable, NIL, Slot};
use alloc::vec::Vec;

/// The slot of the goroutine 0: none.
pub(super) const NOBODY: u32 = 0;
/// The slot under which the order of garbage collections is kept.
pub(super) const COLLECTOR: u32 = 1;

/// A goroutine's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// It does not exist: not yet or not any more.
    #[default]
    Dead,
    Runnable,
    Running,
    Waiting,
}

/// What is known of a goroutine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goroutine {
    /// In the merge, the number of the last change of state that has a number.
    pub(super) seq: u64,
    /// Its entry in the table of system calls, or [`NIL`].
    pub(super) syscall: u32,
    /// Its innermost region, or [`NIL`].
    pub(super) region: u32,
    pub(super) state: State,
    /// Events wait in the merge for this goroutine to come into a state.
    pub(super) awaited: bool,
    /// Its last system call has been neither followed by another event of it nor found to block.
    pub(super) in_syscall: bool,
    /// Something happened to it, so that it cannot be created any more.
    pub(super) exists: bool,
    /// It assists the garbage collector.
    pub(super) assists: bool,
    /// It existed when the trace began, and its status is still to be given.
    pub(super) announced: bool,
    /// What happened to it last is that it blocked on the network.
    pub(super) network: bool,
}

impl Goroutine {
    const UNKNOWN: Goroutine = Goroutine {
        seq: 0,
        syscall: NIL,
        region: NIL,
        state: State::Dead,
        awaited: false,
        in_syscall: false,
        exists: false,
        assists: false,
        announced: false,
        network: false,
    };
}

/// Goroutines by id.
pub(super) struct Goroutines {
    table: IdTable<Goroutine, Vec<Slot<Goroutine>>, Vec<u32>>,
}

impl Goroutines {
    pub(super) fn new() -> Result<Self, Full> {
        let mut table = IdTable::new();
        // The id of COLLECTOR is the one that Go gives it.
        for id in [0, u64::MAX.wrapping_sub(1)] {
            table.insert(id, Goroutine::UNKNOWN)?;
        }
        Ok(Goroutines { table })
    }

    /// The slot of an id, for which there will be one; [`NIL`] if there is no memory.
    #[inline]
    pub(super) fn slot(&mut self, id: u64) -> u32 {
        match self.table.find(id) {
            Some(slot) => slot,
            None => self.table.insert(id, Goroutine::UNKNOWN).unwrap_or(NIL),
        }
    }

    /// How many slots there are.
    pub(super) fn len(&self) -> usize {
        self.table.slots()
    }

    /// The id in a slot.
    pub(super) fn id(&self, slot: u32) -> u64 {
        self.table.id(slot).unwrap_or(0)
    }

    /// The slot of an id, if there is one.
    pub(super) fn find(&self, id: u64) -> Option<u32> {
        self.table.find(id)
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> Goroutine {
        let goroutine = self.table.get(slot).copied();
        goroutine.unwrap_or(Goroutine::UNKNOWN)
    }

    /// `None` if there was no memory for it.
    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Goroutine> {
        self.table.get_mut(slot)
    }

    /// The ids of goroutines whose status is still to be given, the highest first.
    pub(super) fn take_announced(&mut self) -> Vec<u64> {
        let mut ids = Vec::new();
        for at in 0..num::slot(self.table.slots()) {
            let announced = self.table.get_mut(at).map(|go| &mut go.announced);
            if announced.is_some_and(core::mem::take) {
                ids.push(self.id(at));
            }
        }
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids
    }

    /// Forgets what is known, and keeps the slots.
    pub(super) fn forget(&mut self) {
        for at in 0..num::slot(self.table.slots()) {
            if let Some(goroutine) = self.table.get_mut(at) {
                *goroutine = Goroutine::UNKNOWN;
            }
        }
        if let Some(nobody) = self.table.get_mut(NOBODY) {
            nobody.state = State::Running;
            nobody.exists = true;
        }
    }
}

/// There is no memory for a table.
#[cold]
pub(super) fn no_memory(table: Table, offset: u64) -> Error {
    Error::new(ErrorKind::TableFull(table), u64::MAX, offset)
}
