//! The second pass: the events of all procs in the order in which they happened, one by one.
//!
//! The events of a proc are in order. Those of different procs are merged by time, each no sooner
//! than what it depends on: a goroutine starts after it was created, and is made ready after it
//! blocked. Sequence numbers say which start and which unblocking is meant. An event that has to
//! wait is put aside until its goroutine is in the state that it needs, and then never waits again,
//! so that the time is that of sorting, whatever the trace says.
//!
//! Nothing is kept of an event once it was given.

use super::cursor::{BatchEntry, Cursor, Occurrence};
use super::frontier::Frontier;
use super::goroutines::{Goroutines, NOBODY, State};
use super::scan::Sample;
use super::spec::EventType;
use crate::error::{ErrorKind, Table};
use crate::num;
use crate::tables::{List, NIL};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Events of all procs, merged.
pub(super) struct Merge {
    batches: Vec<BatchEntry>,
    cursors: Vec<Cursor>,
    pub(super) goroutines: Goroutines,
    samples: Samples,
    /// The sample that comes next, as an event of a cursor after the last.
    sample: Occurrence,
    frontier: Frontier,
    /// Cursors whose next event has to be looked at.
    due: Vec<u32>,
    /// The cursor whose event was given last, if its next may be read at once; else [`NIL`].
    moving: u32,
    /// That has been done, but the event is not given yet.
    has_read: bool,
    /// The first of the cursors that wait for a goroutine, a sequence number and a state.
    waiting: BTreeMap<(u32, u64, State), u32>,
    waiters: usize,
    last: i64,
}

/// The samples of the CPU profiler.
struct Samples {
    /// By time.
    list: Vec<Sample>,
    /// How many were read, and how many of them were given.
    read: usize,
    given: usize,
    /// The goroutines that were sampled, and the sample's place in the list: sorted.
    by_goroutine: Vec<(u64, u32)>,
}

/// What is wrong with an event, and where that is in the data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) kind: ErrorKind,
    pub(super) value: u64,
    pub(super) at: usize,
}

impl Fault {
    #[cold]
    pub(super) fn new(kind: ErrorKind, value: u64, event: &Occurrence) -> Fault {
        Fault {
            kind,
            value,
            at: event.at,
        }
    }
}

impl Merge {
    /// Merges the events of cursors; `None` if there is no memory.
    pub(super) fn new(
        data: &[u8],
        cursors: Vec<Cursor>,
        batches: Vec<BatchEntry>,
        samples: Vec<Sample>,
        goroutines: Goroutines,
    ) -> Option<Merge> {
        // Samples come last where times are equal at the start.
        let count = num::slot(cursors.len());
        Some(Merge {
            batches,
            cursors,
            goroutines,
            samples: Samples::new(data, samples)?,
            sample: Occurrence::NONE,
            frontier: Frontier::new(),
            due: (0..=count).collect(),
            moving: NIL,
            has_read: false,
            waiting: BTreeMap::new(),
            waiters: 0,
            last: i64::MIN,
        })
    }

    /// The event of a cursor that came next, its proc, and the goroutines.
    #[inline(always)]
    pub(super) fn event(&mut self, cursor: u32) -> (&Occurrence, u64, &mut Goroutines) {
        match self.cursors.get(num::index(cursor)) {
            Some(cursor) => (&cursor.event, cursor.proc, &mut self.goroutines),
            None => (&self.sample, u64::MAX, &mut self.goroutines),
        }
    }

    /// The cursor whose event is the next of all, if that is quick to say: most of the time it is the
    /// next event of the proc that the last one is of, and nothing waits for it. Otherwise the caller
    /// asks [`next`](Merge::next), which goes on from here.
    #[inline(always)]
    pub(super) fn next_at_once(&mut self, data: &[u8]) -> Option<u32> {
        let cursor = self.cursors.get_mut(num::index(self.moving))?;
        if !cursor.advance(data, &self.batches, &mut self.goroutines) {
            return None;
        }
        let event = &cursor.event;
        if event.time < self.frontier.limit && event.time >= self.last {
            let passes = match event.change.slot {
                NIL => true,
                slot => match self.goroutines.get_mut(slot) {
                    Some(goroutine) if goroutine.awaited == 0 => event.change.try_on(goroutine),
                    _ => false,
                },
            };
            if passes {
                self.last = event.time;
                return Some(self.moving);
            }
        }
        self.has_read = true;
        None
    }

    /// The cursor whose event is the next of all; one after the last if it is a sample. `None` if
    /// there is no event left.
    #[inline(never)]
    pub(super) fn next(&mut self, data: &[u8]) -> Result<Option<u32>, Fault> {
        let moving = core::mem::replace(&mut self.moving, NIL);
        let has_read = core::mem::take(&mut self.has_read);
        if moving != NIL {
            let time = match has_read {
                true => self.may_pass(moving)?,
                false => self.read(moving, data)?,
            };
            if let Some(time) = time {
                let next = self.frontier.exchange(time, moving);
                return self.pass(next).map(Some);
            }
        }
        self.next_of_the_frontier(data)
    }

    #[inline(never)]
    fn next_of_the_frontier(&mut self, data: &[u8]) -> Result<Option<u32>, Fault> {
        self.look(data)?;
        if let Some(cursor) = self.frontier.pop() {
            return self.pass(cursor).map(Some);
        }
        if self.waiters == 0 {
            return Ok(None);
        }
        let waiting = self.waiting.values().filter_map(|cursor| {
            let cursor = self.cursors.get(num::index(*cursor))?;
            Some((cursor.event.time, cursor.event.at))
        });
        let (_, at) = waiting.min().unwrap_or_default();
        Err(Fault {
            kind: ErrorKind::NoOrder,
            value: num::wide(self.waiters),
            at,
        })
    }

    /// Reads the next events of the cursors that are due: they join the frontier, or wait.
    fn look(&mut self, data: &[u8]) -> Result<(), Fault> {
        // In the order in which Go looks at them: of two events at one time, the one that was found
        // first often comes first.
        while let Some(&due) = self.due.first() {
            self.due.swap_remove(0);
            let cursor = due & !WOKEN;
            let time = match self.cursors.get(num::index(cursor)) {
                Some(known) if due & WOKEN != 0 => Some(known.event.time),
                _ => self.read(cursor, data)?,
            };
            if let Some(time) = time {
                self.frontier.push(time, cursor);
            }
        }
        Ok(())
    }

    /// Reads the next event of a cursor, and gives its time if it may come next; otherwise it waits,
    /// or there is none.
    #[inline(never)]
    fn read(&mut self, index: u32, data: &[u8]) -> Result<Option<i64>, Fault> {
        let Some(cursor) = self.cursors.get_mut(num::index(index)) else {
            return Ok(self.samples.read(data).map(|sample| {
                self.sample = sample;
                sample.time
            }));
        };
        if !cursor.advance_slowly(data, &self.batches, &mut self.goroutines) {
            return Ok(None);
        }
        self.may_pass(index)
    }

    /// The time of the event of a cursor, which has just been read, if it may come next; otherwise it
    /// waits.
    #[inline(always)]
    fn may_pass(&mut self, index: u32) -> Result<Option<i64>, Fault> {
        let Some(cursor) = self.cursors.get(num::index(index)) else {
            return Ok(None);
        };
        let event = &cursor.event;
        if event.change.slot == NIL {
            return Ok(Some(event.time));
        }
        let Some(goroutine) = self.goroutines.get_mut(event.change.slot) else {
            return Err(Fault::new(NO_MEMORY, u64::MAX, event));
        };
        if event.change.is_ready(goroutine) {
            return Ok(Some(event.time));
        }
        goroutine.awaited = goroutine.awaited.saturating_add(1);
        self.wait(index);
        Ok(None)
    }

    /// The event of a cursor has to wait.
    #[inline(never)]
    fn wait(&mut self, index: u32) {
        if let Some(cursor) = self.cursors.get_mut(num::index(index)) {
            let others = self.waiting.insert(cursor.event.change.awaits(), index);
            cursor.waits_with = others.unwrap_or(NIL);
            self.waiters = self.waiters.wrapping_add(1);
        }
    }

    /// The cursor's event is the next one.
    #[inline(always)]
    fn pass(&mut self, index: u32) -> Result<u32, Fault> {
        let event = match self.cursors.get(num::index(index)) {
            Some(cursor) => &cursor.event,
            None => {
                // What it was of may be known only now.
                self.sample.go_slot = self.goroutines.slot(self.sample.go);
                self.samples.given = self.samples.given.wrapping_add(1);
                &self.sample
            }
        };
        let mut moves = true;
        if event.change.slot != NIL {
            let Some(goroutine) = self.goroutines.get_mut(event.change.slot) else {
                return Err(Fault::new(NO_MEMORY, u64::MAX, event));
            };
            // Another event may have come first since this one was found to be ready.
            if !event.change.is_ready(goroutine) {
                let kind = ErrorKind::GoStateMismatch;
                return Err(Fault::new(kind, event.go, event));
            }
            event.change.apply(goroutine);
            moves = goroutine.awaited == 0;
        }
        if event.time < self.last {
            let late = self.last.wrapping_sub(event.time).cast_unsigned();
            return Err(Fault::new(ErrorKind::TimeOrder, late, event));
        }
        self.last = event.time;
        if moves {
            self.moving = index;
        } else {
            self.wake(index);
        }
        Ok(index)
    }

    /// The cursors that wait for what the event of this one brings wait no longer. Both are to be
    /// looked at.
    #[inline(never)]
    fn wake(&mut self, index: u32) {
        let Some(cursor) = self.cursors.get(num::index(index)) else {
            return;
        };
        let change = cursor.event.change;
        let Some(goroutine) = self.goroutines.get_mut(change.slot) else {
            return;
        };
        for key in change.brings(goroutine.seq) {
            let mut at = self.waiting.remove(&key).unwrap_or(NIL);
            while let Some(cursor) = self.cursors.get_mut(num::index(at)) {
                self.due.push(at | WOKEN);
                self.waiters = self.waiters.wrapping_sub(1);
                if goroutine.awaited != u8::MAX {
                    goroutine.awaited = goroutine.awaited.saturating_sub(1);
                }
                at = core::mem::replace(&mut cursor.waits_with, NIL);
            }
        }
        // If there were none, this only takes the way through the frontier.
        self.due.push(index);
    }

    /// Whether the system call blocks with which the event of this cursor begins.
    pub(super) fn call_blocks(&mut self, cursor: u32, data: &[u8]) -> bool {
        let Some(cursor) = self.cursors.get(num::index(cursor)) else {
            return false;
        };
        let blocking = cursor.blocking(data, &self.batches, &mut self.goroutines);
        // A sample of the goroutine before that is an event of it as well.
        blocking.is_some_and(|time| !self.samples.is_sampled_before(time, cursor.event.go))
    }
}

impl Samples {
    fn new(data: &[u8], list: Vec<Sample>) -> Option<Samples> {
        let mut by_goroutine = Vec::new();
        by_goroutine.try_reserve_exact(list.len()).ok()?;
        for (sample, at) in list.iter().zip(0u32..) {
            List::push(&mut by_goroutine, (sample.occurrence(data).go, at)).ok()?;
        }
        by_goroutine.sort_unstable();
        Some(Samples {
            list,
            read: 0,
            given: 0,
            by_goroutine,
        })
    }

    fn read(&mut self, data: &[u8]) -> Option<Occurrence> {
        let sample = self.list.get(self.read)?;
        self.read = self.read.wrapping_add(1);
        Some(sample.occurrence(data))
    }

    /// Whether a sample of the goroutine that was not given yet was taken before this time.
    fn is_sampled_before(&self, time: i64, go: u64) -> bool {
        let next = (go, num::slot(self.given));
        let at = self.by_goroutine.partition_point(|entry| *entry < next);
        let found = self.by_goroutine.get(at).filter(|entry| entry.0 == go);
        let sample = found.and_then(|entry| self.list.get(num::index(entry.1)));
        sample.is_some_and(|sample| sample.time < time)
    }
}

/// In the list of cursors that are due: its event has been read and may pass now.
const WOKEN: u32 = 1 << 31;
const NO_MEMORY: ErrorKind = ErrorKind::TableFull(Table::Goroutines);

impl Sample {
    /// The sample as an event.
    fn occurrence(&self, data: &[u8]) -> Occurrence {
        let mut args = Default::default();
        super::record::reread(data, self.at, &mut args);
        let [_, _, _, go, _] = args;
        Occurrence {
            ty: EventType::CPU_SAMPLE,
            args,
            time: self.time,
            go,
            go_slot: NOBODY,
            at: self.at,
            ..Occurrence::NONE
        }
    }
}
