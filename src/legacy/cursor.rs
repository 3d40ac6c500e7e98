//! The events of one proc, batch after batch.

use super::goroutines::{Goroutines, NOBODY};
use super::record::reread;
use super::spec::{EventType, MAX_ARGS};
use crate::num;
use crate::tables::NIL;

/// Where a batch that has events begins, and the next one of the same proc.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchEntry {
    pub(super) at: usize,
    pub(super) next: u32,
}

/// An event of a proc.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Occurrence {
    pub(super) ty: EventType,
    /// As in the trace: the first is the time difference.
    pub(super) args: [u64; MAX_ARGS],
    /// In clock units.
    pub(super) time: i64,
    /// The goroutine on which it happened, 0 for none, and its slot.
    pub(super) go: u64,
    pub(super) go_slot: u32,
    /// The slot of the goroutine that the first argument names, if it names one.
    pub(super) named: u32,
    /// Where the record is.
    pub(super) at: usize,
}

/// Reads the events of one proc.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    /// All ones for events without a proc.
    pub(super) proc: u64,
    first_batch: u32,
    last_batch: u32,
    next_batch: u32,
    /// The next record in the batch.
    at: usize,
    in_batch: bool,
    clock: i64,
    /// The goroutine that the proc runs, 0 for none.
    running: u64,
    running_slot: u32,
    /// The event read last.
    pub(super) event: Occurrence,
    /// In the merge, the next cursor that waits for the same.
    pub(super) waits_with: u32,
}

impl Cursor {
    pub(super) const fn new(proc: u64) -> Cursor {
        const NONE: Occurrence = Occurrence {
            ty: EventType(0),
            args: [0; MAX_ARGS],
            time: 0,
            go: 0,
            go_slot: NOBODY,
            named: NOBODY,
            at: 0,
        };
        Cursor {
            proc,
            first_batch: NIL,
            last_batch: NIL,
            next_batch: NIL,
            at: 0,
            in_batch: false,
            clock: 0,
            running: 0,
            running_slot: NOBODY,
            event: NONE,
            waits_with: NIL,
        }
    }

    /// Starts anew.
    pub(super) fn rewind(&mut self) {
        *self = Cursor {
            first_batch: self.first_batch,
            last_batch: self.last_batch,
            next_batch: self.first_batch,
            ..Cursor::new(self.proc)
        };
    }

    /// Adds the batch entry at `entry` to those of the proc. The caller links it.
    pub(super) fn add(&mut self, entry: u32) -> u32 {
        if self.first_batch == NIL {
            self.first_batch = entry;
            self.next_batch = entry;
        }
        core::mem::replace(&mut self.last_batch, entry)
    }

    /// Reads the next event; says whether there is one.
    #[inline]
    pub(super) fn advance(
        &mut self,
        data: &[u8],
        batches: &[BatchEntry],
        goroutines: &mut Goroutines,
    ) -> bool {
        loop {
            if !self.in_batch && !self.enter(data, batches) {
                return false;
            }
            let event = &mut self.event;
            let Some((ty, next)) = reread(data, self.at, &mut event.args) else {
                self.in_batch = false;
                continue;
            };
            if !ty.is_timed() {
                self.in_batch = ty != EventType::BATCH;
                self.at = next;
                continue;
            }
            let [dt, id, ..] = event.args;
            event.ty = ty;
            event.at = self.at;
            self.at = next;
            self.clock = self.clock.wrapping_add(num::signed(dt));
            event.time = self.clock;
            event.go = self.running;
            event.go_slot = self.running_slot;
            match ty {
                EventType::GO_START | EventType::GO_START_LOCAL | EventType::GO_START_LABEL => {
                    let slot = goroutines.slot(id);
                    (self.running, self.running_slot) = (id, slot);
                    (event.go, event.go_slot, event.named) = (id, slot, slot);
                }
                EventType::GO_SYS_EXIT | EventType::GO_WAITING | EventType::GO_IN_SYSCALL => {
                    let slot = goroutines.slot(id);
                    (event.go, event.go_slot, event.named) = (id, slot, slot);
                }
                EventType::GO_CREATE
                | EventType::GO_UNBLOCK
                | EventType::GO_UNBLOCK_LOCAL
                | EventType::GO_SYS_EXIT_LOCAL => event.named = goroutines.slot(id),
                ty if leaves(ty) => (self.running, self.running_slot) = (0, NOBODY),
                _ => {}
            }
            return true;
        }
    }

    /// Goes on to the next batch; says whether there is one.
    #[cold]
    fn enter(&mut self, data: &[u8], batches: &[BatchEntry]) -> bool {
        let Some(batch) = batches.get(num::index(self.next_batch)) else {
            return false;
        };
        self.next_batch = batch.next;
        self.in_batch = true;
        self.at = batch.at;
        let mut args = [0; MAX_ARGS];
        if let Some((_, next)) = reread(data, self.at, &mut args) {
            self.at = next;
        }
        let [_, ticks, ..] = args;
        self.clock = num::signed(ticks);
        true
    }
}

/// Whether the proc runs no goroutine after this event.
const fn leaves(ty: EventType) -> bool {
    matches!(
        ty,
        EventType::GO_END
            | EventType::GO_STOP
            | EventType::GO_SCHED
            | EventType::GO_PREEMPT
            | EventType::GO_SYS_BLOCK
    ) || blocks(ty)
}

/// Whether the goroutine waits after this event, for something else than a system call.
pub(super) const fn blocks(ty: EventType) -> bool {
    matches!(
        ty,
        EventType::GO_SLEEP
            | EventType::GO_BLOCK
            | EventType::GO_BLOCK_SEND
            | EventType::GO_BLOCK_RECV
            | EventType::GO_BLOCK_SELECT
            | EventType::GO_BLOCK_SYNC
            | EventType::GO_BLOCK_COND
            | EventType::GO_BLOCK_NET
            | EventType::GO_BLOCK_GC
    )
}
