//! The first pass: every record is looked at once, in the order of the file. What is wrong with one
//! is found here; the tables are indexed, and the batches with events grouped by proc.

use super::cursor::{BatchEntry, Cursor};
use super::exits::Exit;
use super::goroutines::{Ids, no_memory};
use super::record::{Event, Record, Records, Skips};
use super::spec::{EventType, MAX_STRING_SIZE};
use super::tables::{Frames, Tables};
use crate::error::{Error, ErrorKind, Table};
use crate::num;
use crate::tables::{Full, IdTable, List, NIL, Slot};
use crate::wire::{Pieces, Place, Version};
use alloc::vec::Vec;

/// A sample of the CPU profiler: when it was taken, in clock units, and where its record is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) time: i64,
    pub(super) at: usize,
}

/// The goroutines that serve timers.
pub(super) type Timers = IdTable<(), Vec<Slot<()>>, Vec<u32>>;

/// What the first pass found.
pub(super) struct Scan {
    pub(super) tables: Tables,
    pub(super) batches: Vec<BatchEntry>,
    /// One a proc, in the order in which they appear.
    pub(super) cursors: Vec<Cursor>,
    /// By the time at which they were taken.
    pub(super) samples: Vec<Sample>,
    pub(super) timers: Timers,
    /// Clock units a second.
    pub(super) frequency: u64,
    /// The ends of system calls that say when they were.
    pub(super) exits: Vec<Exit>,
    /// Which goroutines are created.
    pub(super) created: Ids,
}

/// The state of the pass.
struct Pass {
    scan: Scan,
    frames: Frames,
    /// Cursors by proc.
    procs: IdTable<u32, Vec<Slot<u32>>, Vec<u32>>,
    /// The cursor of the batch being read.
    cursor: u32,
    /// Where the batch being read begins, until it has an event.
    batch: Option<usize>,
    /// The time of the event read last, in clock units.
    clock: i64,
    frequency: Option<u64>,
}

impl Scan {
    /// Looks at the records of a trace, whose first is at `start` in the first piece of `input`.
    pub(super) fn new(input: &Pieces<'_>, start: usize, version: Version) -> Result<Scan, Error> {
        let data = input.piece(0).unwrap_or(&[]);
        let base = input.offset(Place::default());
        let mut records = Records::from(data, start, base, version);
        let mut pass = Pass {
            scan: Scan {
                tables: Tables::new(),
                batches: Vec::new(),
                cursors: Vec::new(),
                samples: Vec::new(),
                timers: IdTable::new(),
                frequency: 0,
                exits: Vec::new(),
                created: Ids::NONE,
            },
            frames: Frames::new(),
            procs: IdTable::new(),
            cursor: NIL,
            batch: None,
            clock: 0,
            frequency: None,
        };
        let skips = Skips::new(version);
        loop {
            if pass.batch.is_none() && pass.cursor != NIL {
                let Scan { created, .. } = &mut pass.scan;
                records.skip_events(&skips, &mut pass.clock, |goroutine| created.add(goroutine));
            }
            let (at, offset) = (records.position(), records.offset().0);
            let Some(record) = records.next()? else { break };
            pass.record(&record, at, records.position(), offset)?;
        }
        let mut scan = pass.scan;
        scan.tables.finish(input)?;
        let Some(frequency) = pass.frequency else {
            return Err(Error::at(
                ErrorKind::MissingFrequency,
                1,
                records.offset().0,
            ));
        };
        scan.frequency = frequency;
        scan.samples.sort_by_key(|sample| sample.time);
        Ok(scan)
    }
}

impl Pass {
    /// Looks at the record between two positions of the data.
    #[inline]
    fn record(
        &mut self,
        record: &Record<'_>,
        at: usize,
        end: usize,
        offset: u64,
    ) -> Result<(), Error> {
        let full = |table| move |_: Full| no_memory(table, offset);
        match record {
            Record::Event(event) => self.event(event, at, offset),
            // Go does not look at strings that precede the first batch.
            Record::String { .. } if self.cursor == NIL => Ok(()),
            Record::String { id, text } => {
                let len = text.as_bytes().len();
                if len == 0 {
                    return Err(Error::at(ErrorKind::EmptyString, *id, offset));
                }
                if num::wide(len) > MAX_STRING_SIZE {
                    return Err(Error::at(ErrorKind::LongString, num::wide(len), offset));
                }
                let tables = &mut self.scan.tables;
                tables
                    .add_string(*id, end.saturating_sub(len), len)
                    .map_err(full(Table::Strings))
            }
            Record::Stack { .. } if self.cursor == NIL => Err(outside(EventType::STACK, offset)),
            Record::Stack { id, frames } => {
                // Go takes the low half of the number for the id.
                let id = *id & u64::from(u32::MAX);
                let len = frames.bytes().len();
                let at = end.saturating_sub(len);
                let tables = &mut self.scan.tables;
                tables
                    .add_stack(id, frames, at, &mut self.frames)
                    .map_err(full(Table::Stacks))
            }
        }
    }

    #[inline]
    fn event(&mut self, event: &Event<'_>, at: usize, offset: u64) -> Result<(), Error> {
        let [first, second, _, fourth, _] = event.args;
        if event.ty == EventType::BATCH {
            self.clock = num::signed(second);
            return self.batch(first, at, offset);
        }
        if self.cursor == NIL {
            return Err(outside(event.ty, offset));
        }
        if event.ty.is_timed() {
            self.clock = self.clock.wrapping_add(num::signed(first));
            if event.ty == EventType::GO_CREATE {
                self.scan.created.add(second);
            }
            if event.ty == EventType::GO_SYS_EXIT && fourth != 0 {
                let exit = Exit::new(num::signed(fourth), self.clock, at);
                List::push(&mut self.scan.exits, exit)
                    .map_err(|_| no_memory(Table::Batches, offset))?;
            }
            return match self.batch.take() {
                Some(batch) => self.add_batch(batch, offset),
                None => Ok(()),
            };
        }
        match event.ty {
            EventType::FREQUENCY => {
                if num::signed(first) <= 0 {
                    return Err(Error::at(ErrorKind::InvalidFrequency, first, offset));
                }
                self.frequency = Some(first);
            }
            EventType::TIMER_GOROUTINE => {
                if self.scan.timers.find(first).is_none() {
                    let timers = &mut self.scan.timers;
                    let added = timers.insert(first, ());
                    added.map_err(|_| no_memory(Table::Goroutines, offset))?;
                }
            }
            // A CPU sample.
            _ => {
                let time = num::signed(second);
                let samples = &mut self.scan.samples;
                List::push(samples, Sample { time, at })
                    .map_err(|_| no_memory(Table::Samples, offset))?;
            }
        }
        Ok(())
    }

    /// A batch begins.
    fn batch(&mut self, proc: u64, at: usize, offset: u64) -> Result<(), Error> {
        const LARGEST: u64 = 0x7fff_ffff;
        if proc > LARGEST && proc != u64::MAX {
            return Err(Error::at(ErrorKind::InvalidProc, proc, offset));
        }
        self.batch = Some(at);
        self.cursor = match self.procs.find(proc).and_then(|slot| self.procs.get(slot)) {
            Some(cursor) => *cursor,
            None => {
                let full = |_| no_memory(Table::Procs, offset);
                let cursor = num::slot(self.scan.cursors.len());
                List::push(&mut self.scan.cursors, Cursor::new(proc)).map_err(full)?;
                self.procs.insert(proc, cursor).map_err(full)?;
                cursor
            }
        };
        Ok(())
    }

    /// The batch being read has an event.
    fn add_batch(&mut self, at: usize, offset: u64) -> Result<(), Error> {
        let entry = num::slot(self.scan.batches.len());
        let batches = &mut self.scan.batches;
        List::push(batches, BatchEntry { at, next: NIL })
            .map_err(|_| no_memory(Table::Batches, offset))?;
        let cursor = self.scan.cursors.get_mut(num::index(self.cursor));
        let last = cursor.map_or(NIL, |cursor| cursor.add(entry));
        if let Some(last) = batches.get_mut(num::index(last)) {
            last.next = entry;
        }
        Ok(())
    }
}

#[cold]
fn outside(ty: EventType, offset: u64) -> Error {
    Error::at(ErrorKind::EventOutsideBatch, u64::from(ty.0), offset)
}
