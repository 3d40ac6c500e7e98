//! Ranges of the runtime's own work: garbage collection, sweeping, assists, stopped worlds.

use super::{Collector, Context, Epoch, MAX_RANGES, Outcome, Scheduler, Verdict, fault, name_of};
use crate::error::{ErrorKind, Table};
use crate::event::Raw;
use crate::generation::Tables;
use crate::ids::GoId;
use crate::num;
use crate::tables::NIL;
use crate::tables::Storage;
use crate::wire::EventType;

/// Opens or closes a range of which there can be only one.
fn toggle(open: &mut bool, begins: bool, ty: EventType) -> Outcome {
    if *open == begins {
        let kind = if begins {
            ErrorKind::RangeOpen
        } else {
            ErrorKind::RangeNotOpen
        };
        return fault(kind, ty.number());
    }
    *open = begins;
    Ok(Verdict::Pass)
}

/// A range that is said to be open: in the first generation that is news, later it must be known.
fn confirm(open: &mut bool, ty: EventType, epoch: Epoch) -> Outcome {
    if epoch.first {
        return toggle(open, true, ty);
    }
    if !*open {
        return fault(ErrorKind::RangeNotOpen, ty.number());
    }
    Ok(Verdict::Pass)
}

impl<S: Storage> Scheduler<S> {
    fn gc_moves(&mut self, sequence: u64, to: Collector) -> Verdict {
        self.gc_sequence = sequence;
        self.gc = to;
        Verdict::Pass
    }

    /// Whether a garbage collection event is the next one of its sequence. Begin and end may stand
    /// on threads that have nothing else to do with each other.
    fn gc_is_next(&self, sequence: u64) -> bool {
        sequence == self.gc_sequence.wrapping_add(1)
    }

    pub(super) fn gc_active(&mut self, context: Context, raw: &Raw, epoch: Epoch) -> Outcome {
        let sequence = raw.arg(0);
        if epoch.first {
            if self.gc != Collector::Undetermined {
                return fault(ErrorKind::GcStateMismatch, raw.event.ty.number());
            }
            return Ok(self.gc_moves(sequence, Collector::Running));
        }
        if !self.gc_is_next(sequence) {
            return Ok(Verdict::Wait);
        }
        if self.gc != Collector::Running {
            return fault(ErrorKind::GcStateMismatch, raw.event.ty.number());
        }
        context.need_all(raw.event.ty)?;
        Ok(self.gc_moves(sequence, Collector::Running))
    }

    pub(super) fn gc_begin(&mut self, context: Context, raw: &Raw) -> Outcome {
        let sequence = raw.arg(0);
        if self.gc == Collector::Undetermined {
            return Ok(self.gc_moves(sequence, Collector::Running));
        }
        if !self.gc_is_next(sequence) {
            return Ok(Verdict::Wait);
        }
        if self.gc == Collector::Running {
            return fault(ErrorKind::GcStateMismatch, raw.event.ty.number());
        }
        context.need_all(raw.event.ty)?;
        Ok(self.gc_moves(sequence, Collector::Running))
    }

    pub(super) fn gc_end(&mut self, context: Context, raw: &Raw) -> Outcome {
        let sequence = raw.arg(0);
        if !self.gc_is_next(sequence) {
            return Ok(Verdict::Wait);
        }
        if self.gc != Collector::Running {
            return fault(ErrorKind::GcStateMismatch, raw.event.ty.number());
        }
        context.need_all(raw.event.ty)?;
        Ok(self.gc_moves(sequence, Collector::Idle))
    }

    pub(super) fn sweep(&mut self, context: Context, ty: EventType) -> Outcome {
        context.need_thread(ty)?;
        context.need_proc(ty)?;
        toggle(
            &mut self.proc_of(context)?.sweeps,
            ty == EventType::GC_SWEEP_BEGIN,
            ty,
        )
    }

    pub(super) fn sweep_active(&mut self, raw: &Raw, epoch: Epoch) -> Outcome {
        let slot = self.procs.find(raw.arg(0)).unwrap_or(NIL);
        match self.procs.get_mut(slot) {
            Some(proc) => confirm(&mut proc.sweeps, raw.event.ty, epoch),
            None => fault(ErrorKind::UnknownProc, raw.arg(0)),
        }
    }

    pub(super) fn assist(&mut self, context: Context, ty: EventType) -> Outcome {
        context.need_all(ty)?;
        toggle(
            &mut self.running(context)?.assists,
            ty == EventType::GC_MARK_ASSIST_BEGIN,
            ty,
        )
    }

    pub(super) fn assist_active(&mut self, raw: &Raw, epoch: Epoch) -> Outcome {
        let slot = self.goroutines.find(raw.arg(0)).unwrap_or(NIL);
        match self.goroutines.get_mut(slot) {
            Some(goroutine) => confirm(&mut goroutine.assists, raw.event.ty, epoch),
            None => fault(ErrorKind::UnknownGoroutine, raw.arg(0)),
        }
    }

    /// Ranges with different reasons may be open at a time, as far as Go's reader is concerned.
    pub(super) fn stw_begin(&mut self, context: Context, raw: &Raw, tables: &Tables<S>) -> Outcome {
        context.need_all(raw.event.ty)?;
        let reason = raw.arg(0);
        let first = self.running(context)?.range;
        let mut at = first;
        let mut count = 0u32;
        while let Some(node) = self.nodes.get(num::index(at)) {
            if node.id == reason {
                return fault(ErrorKind::RangeOpen, raw.event.ty.number());
            }
            at = node.next;
            count = count.wrapping_add(1);
        }
        if count >= MAX_RANGES {
            return fault(ErrorKind::TableFull(Table::Ranges), u64::from(MAX_RANGES));
        }
        let name = name_of(reason, tables)?;
        let node = self.add_node(reason, name, first)?;
        self.running(context)?.range = node;
        #[cfg(feature = "alloc")]
        {
            let id = GoId::raw(context.go);
            self.stopper = self.goroutines.slot_of(id, context.go_slot);
        }
        Ok(Verdict::Pass)
    }

    /// Ends the range that is first in Go's list: the oldest, until one ends and the newest takes
    /// its place.
    pub(super) fn stw_end(&mut self, context: Context, raw: &mut Raw) -> Outcome {
        context.need_all(raw.event.ty)?;
        let id = GoId::raw(context.go);
        let newest = self.running(context)?.range;
        let Some(&node) = self.nodes.get(num::index(newest)) else {
            return fault(ErrorKind::RangeNotOpen, raw.event.ty.number());
        };
        // The list runs from the newest to the oldest: the last node is the one to end. Its
        // contents are swapped with those of the newest, which is the one to leave the list.
        let mut oldest = newest;
        while let Some(node) = self.nodes.get(num::index(oldest)).filter(|n| n.next != NIL) {
            oldest = node.next;
        }
        let Some(last) = self.nodes.get_mut(num::index(oldest)) else {
            return fault(ErrorKind::UnknownGoroutine, id);
        };
        raw.name = last.name;
        raw.event.args = [last.id, 0, 0, 0];
        last.id = node.id;
        last.name = node.name;
        let rest = self.free_node(newest);
        self.running(context)?.range = rest;
        Ok(Verdict::Pass)
    }
}
