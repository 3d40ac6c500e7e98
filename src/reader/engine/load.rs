//! Loading a generation: its tables are indexed, and its event batches grouped by thread.

use super::mode::Mode;
use super::{After, Engine};
use crate::error::{Error, ErrorKind, Table};
use crate::generation::{Finish, Split, Splitter, earliest};
use crate::ids::ThreadId;
use crate::num;
use crate::reader::merge::Next;
use crate::reader::merge::{BatchEntry, Cursor};
use crate::tables::NIL;
use crate::tables::{Full, List, Storage};
use crate::time::Timestamp;
use crate::wire::{Batch, Batches, Chunk};
use crate::wire::{Pieces, Place, Span};

impl<S: Storage, M: Mode> Engine<S, M> {
    /// Loads the generation that begins where the last one ended: indexes its tables, and groups
    /// its event batches by thread. Gives the earliest time of a batch; `None` at the end of the
    /// trace.
    pub(super) fn load(
        &mut self,
        input: &Pieces<'_>,
        last: bool,
    ) -> Result<Option<Timestamp>, Error> {
        self.clear();
        self.start = self.offset;
        let mut batches = Batches::resume(*input, self.place, self.offset.0);
        let mut splitter = Splitter::new(self.version);
        let mut number = 0;
        let mut first_time = Timestamp(0);
        loop {
            let before = (batches.place(), batches.offset());
            let chunk = match batches.next() {
                Ok(Some(chunk)) => chunk,
                Ok(None) => {
                    (self.place, self.offset) = before;
                    match splitter.finish() {
                        Finish::Unended {
                            number,
                            forgiven: false,
                        } => {
                            let end = self.offset.0;
                            let kind = ErrorKind::IncompleteGeneration;
                            return Err(Error::at(kind, number.get(), end));
                        }
                        _ if self.version.has_end_marker() => {
                            // Tables alone are not missed, but they must be sound.
                            self.tables.sort(input)?;
                            return Ok(None);
                        }
                        // The end of the trace ends its last generation, be it empty.
                        _ => self.after = if last { After::End } else { After::Unknown },
                    }
                    break;
                }
                Err(error) => {
                    // Before 1.26, this may be the next generation's damage: what was read of this
                    // one is tried. A generation number of 0 is not taken so lightly.
                    (self.place, self.offset) = before;
                    if self.version.has_end_marker()
                        || splitter.is_between()
                        || error.kind() == ErrorKind::InvalidGeneration
                    {
                        return Err(error);
                    }
                    self.after = After::Error(error);
                    break;
                }
            };
            let split = splitter.chunk(&chunk).inspect_err(|_| {
                (self.place, self.offset) = before;
            })?;
            let (Split::Batch { first }, Chunk::Batch(batch)) = (split, chunk) else {
                if let Split::Marker(_) = split {
                    (self.place, self.offset) = (batches.place(), batches.offset());
                } else {
                    (self.place, self.offset) = before;
                }
                break;
            };
            if first {
                number = batch.head.generation.get();
                self.number = number;
            }
            first_time = earliest(first_time, batch.head.time);
            let data = num::wide(batch.data.len());
            let at = batches.place().at.saturating_sub(num::narrow(data));
            let place = Place {
                at,
                ..batches.place()
            };
            // Empty ones are not worth remembering.
            if !self.tables.add(&batch, place, self.version)? && !batch.data.is_empty() {
                self.add_events(&batch, place)?;
            }
        }
        self.tables
            .finish(input, number, self.version, self.offset.0)?;
        self.frequency = self.tables.frequency.unwrap_or(self.frequency);
        Ok(Some(first_time))
    }

    /// Adds a batch of events to those of its thread.
    pub(super) fn add_events(&mut self, batch: &Batch<'_>, place: Place) -> Result<(), Error> {
        let thread = ThreadId::raw(batch.head.thread);
        let full = |table| {
            move |full: Full| Error::at(ErrorKind::TableFull(table), full.capacity, batch.offset.0)
        };
        let cursor = match self
            .by_thread
            .find(thread)
            .and_then(|slot| self.by_thread.get(slot))
        {
            Some(cursor) => *cursor,
            None => {
                let slot = match batch.head.thread {
                    Some(id) => self
                        .scheduler
                        .thread_slot(id)
                        .map_err(full(Table::Threads))?,
                    None => NIL,
                };
                let cursor = num::slot(self.cursors.len());
                let new = Cursor::new(batch.head.thread, slot);
                self.cursors.push(new).map_err(full(Table::Threads))?;
                self.by_thread
                    .insert(thread, cursor)
                    .map_err(full(Table::Threads))?;
                cursor
            }
        };
        let at = num::slot(self.batches.len());
        let len = num::slot(batch.data.len());
        let span = Span {
            piece: place.piece,
            at: place.at,
            len,
        };
        let entry = BatchEntry {
            span,
            time: batch.head.time,
            next: NIL,
        };
        self.batches.push(entry).map_err(full(Table::Batches))?;
        if let Some(cursor) = self.cursors.get_mut(num::index(cursor)) {
            match self.batches.get_mut(num::index(cursor.last_batch)) {
                Some(last) => last.next = at,
                None => cursor.next_batch = at,
            }
            cursor.last_batch = at;
        }
        Ok(())
    }

    /// Reads the first event of each thread.
    pub(super) fn fill_frontier(&mut self, input: &Pieces<'_>) -> Result<(), Error> {
        for at in 0..num::slot(self.cursors.len()) {
            let Some(cursor) = self.cursors.get_mut(num::index(at)) else {
                break;
            };
            let time = match cursor.advance(input, &self.batches, &self.frequency) {
                Ok(true) => Some(cursor.time),
                Ok(false) => None,
                Err(error) => M::undecodable(self, input, at, error)?,
            };
            if let Some(time) = time {
                let next = Next { time, cursor: at };
                self.frontier.insert(next).map_err(|full| {
                    let kind = ErrorKind::TableFull(Table::Threads);
                    let cursor = self.cursors.get(num::index(at));
                    let place = cursor.map_or(self.place, Cursor::place);
                    input.error(kind, full.capacity, place)
                })?;
            }
        }
        Ok(())
    }
}
