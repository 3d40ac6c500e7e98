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
    /// Where the time is kept at which it was last in a system call that blocks, or [`NIL`].
    pub(super) syscall: u32,
    /// Its innermost region, or [`NIL`].
    pub(super) region: u32,
    /// Its state as the merge sees it, which knows nothing of what happened earlier than it was written.
    pub(super) ordered: State,
    /// Its state.
    pub(super) state: State,
    /// How many events wait in the merge for this goroutine to come into a state; the most that this
    /// can be, if ever so many did.
    pub(super) awaited: u8,
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
        ordered: State::Dead,
        state: State::Dead,
        awaited: 0,
        exists: false,
        assists: false,
        announced: false,
        network: false,
    };
}

/// Goroutines by id.
///
/// Go counts goroutines, so that nearly all of a trace have ids in a row: those are found by
/// subtraction, and what happens at one time is near in memory. Others are in a hash table.
pub(super) struct Goroutines {
    /// The lowest id in the row.
    first: u64,
    /// [`NOBODY`], [`COLLECTOR`], and the goroutines in a row.
    row: Vec<Goroutine>,
    others: IdTable<Goroutine, Vec<Slot<Goroutine>>, Vec<u32>>,
}

/// The ids of goroutines that are created: how many, the lowest and the highest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids {
    count: usize,
    lowest: u64,
    highest: u64,
}

impl Ids {
    pub(super) const NONE: Ids = Ids {
        count: 0,
        lowest: u64::MAX,
        highest: 0,
    };

    pub(super) fn add(&mut self, id: u64) {
        self.count = self.count.saturating_add(1);
        self.lowest = self.lowest.min(id);
        self.highest = self.highest.max(id);
    }
}

/// How many entries the row has that are not goroutines.
const RESERVED: u64 = 2;

impl Goroutines {
    pub(super) fn new(ids: Ids) -> Result<Self, Full> {
        // Twice as many places as goroutines, the highest ids: those of a program that ran long
        // before its trace began are few and far below.
        let most = num::wide(ids.count).saturating_mul(2);
        let first = ids.lowest.max(ids.highest.saturating_sub(most)).max(1);
        let len = match ids.count {
            0 => 0,
            _ => ids.highest.wrapping_sub(first).saturating_add(1).min(most),
        };
        let len = num::narrow(len.saturating_add(RESERVED));
        let mut row = Vec::new();
        row.try_reserve_exact(len)
            .map_err(|_| Full { capacity: u64::MAX })?;
        row.resize(len, Goroutine::UNKNOWN);
        if let Some(nobody) = row.first_mut() {
            nobody.state = State::Running;
            nobody.exists = true;
        }
        Ok(Goroutines {
            first,
            row,
            others: IdTable::new(),
        })
    }

    /// The slot of an id, for which there will be one; [`NIL`] if there is no memory.
    #[inline]
    pub(super) fn slot(&mut self, id: u64) -> u32 {
        let at = id.wrapping_sub(self.first);
        if at < num::wide(self.row.len()).wrapping_sub(RESERVED) {
            return num::slot(num::narrow(at.wrapping_add(RESERVED)));
        }
        self.other_slot(id)
    }

    #[cold]
    fn other_slot(&mut self, id: u64) -> u32 {
        match id {
            0 => return NOBODY,
            // As for Go.
            id if id == u64::MAX.wrapping_sub(1) => return COLLECTOR,
            _ => {}
        }
        let slot = match self.others.find(id) {
            Some(slot) => Ok(slot),
            None => self.others.insert(id, Goroutine::UNKNOWN),
        };
        slot.map_or(NIL, |slot| slot.saturating_add(num::slot(self.row.len())))
    }

    /// The id in a slot.
    pub(super) fn id(&self, slot: u32) -> u64 {
        let row = num::slot(self.row.len());
        match slot {
            NOBODY => 0,
            COLLECTOR => u64::MAX.wrapping_sub(1),
            slot if slot < row => {
                let at = u64::from(slot).wrapping_sub(RESERVED);
                self.first.wrapping_add(at)
            }
            slot => self.others.id(slot.wrapping_sub(row)).unwrap_or(0),
        }
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> Goroutine {
        match self.row.get(num::index(slot)) {
            Some(goroutine) => *goroutine,
            None => {
                let slot = slot.wrapping_sub(num::slot(self.row.len()));
                let other = self.others.get(slot).copied();
                other.unwrap_or(Goroutine::UNKNOWN)
            }
        }
    }

    /// `None` if there was no memory for it.
    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Goroutine> {
        let row = num::slot(self.row.len());
        match self.row.get_mut(num::index(slot)) {
            Some(goroutine) => Some(goroutine),
            None => self.others.get_mut(slot.wrapping_sub(row)),
        }
    }
}

/// There is no memory for a table.
#[cold]
pub(super) fn no_memory(table: Table, offset: u64) -> Error {
    Error::at(ErrorKind::TableFull(table), u64::MAX, offset)
}
