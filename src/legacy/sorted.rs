//! The events in the order in which they happened, decoded again one by one.

use super::cursor::{BatchEntry, Cursor, Occurrence};
use super::goroutines::Goroutines;
use super::merge::{Bits, Merged, Order, SyscallExit};
use super::scan::{Sample, Scan};
use super::spec::EventType;
use crate::error::Error;
use crate::num;
use crate::tables::NIL;
use alloc::vec::Vec;

/// The next event of all.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    /// Of this cursor, or a sample if there is no such cursor.
    Event(u32),
    /// The end of a system call.
    Exit(SyscallExit),
}

/// Walks through the order that the merge found.
pub(super) struct Sorted {
    cursors: Vec<Cursor>,
    batches: Vec<BatchEntry>,
    samples: Vec<Sample>,
    order: Order,
    exits: Vec<SyscallExit>,
    /// Why no order was found for what follows.
    pub(super) error: Option<Error>,
    /// How many events of the order were read, the one ahead among them.
    read: usize,
    /// The cursor whose event is ahead: it comes next, unless an end of a system call does.
    ahead: Option<u32>,
    /// A sample that is ahead.
    sample: Occurrence,
    samples_read: usize,
    /// How many ends of system calls were met in the order, and how many were given.
    exits_met: u32,
    exits_given: usize,
}

impl Sorted {
    pub(super) fn new(scan: Scan, merged: Merged) -> Sorted {
        let mut sorted = Sorted {
            cursors: scan.cursors,
            batches: scan.batches,
            samples: scan.samples,
            order: merged.order,
            exits: merged.exits,
            error: merged.error,
            read: 0,
            ahead: None,
            sample: Occurrence::default(),
            samples_read: 0,
            exits_met: 0,
            exits_given: 0,
        };
        sorted.rewind();
        sorted
    }

    /// Starts anew.
    fn rewind(&mut self) {
        self.cursors.iter_mut().for_each(Cursor::rewind);
        (self.read, self.samples_read, self.exits_given) = (0, 0, 0);
        self.exits_met = 0;
        self.ahead = None;
    }

    /// The time of the first event, in clock units; `None` if there is no event.
    pub(super) fn first_time(&mut self, data: &[u8], goroutines: &mut Goroutines) -> Option<i64> {
        let time = match self.next(data, goroutines)? {
            Next::Event(cursor) => self.event(cursor).0.time,
            Next::Exit(exit) => exit.time,
        };
        self.rewind();
        Some(time)
    }

    /// The event of a cursor that came next, and its proc.
    #[inline]
    pub(super) fn event(&self, cursor: u32) -> (&Occurrence, u64) {
        match self.cursors.get(num::index(cursor)) {
            Some(cursor) => (&cursor.event, cursor.proc),
            None => (&self.sample, u64::MAX),
        }
    }

    /// The next event; `None` after the last.
    #[inline]
    pub(super) fn next(&mut self, data: &[u8], goroutines: &mut Goroutines) -> Option<Next> {
        let ahead = match self.ahead {
            Some(ahead) => Some(ahead),
            None => self.read_ahead(data, goroutines),
        };
        if let Some(exit) = self.exits.get(self.exits_given) {
            let first = ahead.is_none_or(|cursor| {
                let time = self.event(cursor).0.time;
                exit.time < time || exit.time == time && exit.index < self.exits_met
            });
            if first {
                self.ahead = ahead;
                self.exits_given = self.exits_given.wrapping_add(1);
                return Some(Next::Exit(*exit));
            }
        }
        self.ahead = None;
        ahead.map(Next::Event)
    }

    /// Reads the next event of the order that is not the end of a system call.
    #[inline]
    fn read_ahead(&mut self, data: &[u8], goroutines: &mut Goroutines) -> Option<u32> {
        loop {
            let index = self.order.get(self.read)?;
            self.read = self.read.wrapping_add(1);
            let Some(cursor) = self.cursors.get_mut(num::index(index)) else {
                let sample = self.samples.get(self.samples_read)?;
                self.samples_read = self.samples_read.wrapping_add(1);
                self.sample = sample.occurrence(data);
                return Some(index);
            };
            if !cursor.advance(data, &self.batches, goroutines) {
                return None;
            }
            match cursor.event.ty {
                EventType::GO_SYS_EXIT | EventType::GO_SYS_EXIT_LOCAL => {
                    self.exits_met = self.exits_met.wrapping_add(1);
                }
                _ => return Some(index),
            }
        }
    }

    /// Finds anew which system calls block, now that it is known when all of them ended.
    pub(super) fn find_blocking(&mut self, data: &[u8], goroutines: &mut Goroutines) -> Bits {
        /// Of each goroutine, the number of its last system call, until another event of it follows.
        struct Pending(Vec<u32>);
        impl Pending {
            fn take(&mut self, slot: u32) -> u32 {
                let entry = self.0.get_mut(num::index(slot));
                entry.map_or(NIL, |entry| core::mem::replace(entry, NIL))
            }
        }
        let mut pending = Pending(alloc::vec![NIL; goroutines.len()]);
        let mut blocks = Bits::default();
        while let Some(next) = self.next(data, goroutines) {
            let (ty, slot) = match next {
                Next::Exit(exit) => (EventType::GO_SYS_EXIT, exit.go_slot),
                Next::Event(cursor) => {
                    let (event, _) = self.event(cursor);
                    let slot = match event.ty {
                        EventType::CPU_SAMPLE => goroutines.slot(event.go),
                        _ => event.go_slot,
                    };
                    (event.ty, slot)
                }
            };
            let call = pending.take(slot);
            if ty == EventType::GO_SYS_BLOCK && call != NIL {
                blocks.set(call);
            }
            if ty == EventType::GO_SYS_CALL {
                let call = blocks.push();
                if let Some(entry) = pending.0.get_mut(num::index(slot)) {
                    *entry = call;
                }
            }
        }
        self.rewind();
        blocks
    }
}
