//! Loading a generation: its tables are indexed, and its event batches grouped by thread.

use super::{After, Engine};
use crate::error::{Error, ErrorKind, Table};
use crate::generation::earliest;
use crate::ids::ThreadId;
use crate::num;
use crate::reader::merge::Next;
use crate::reader::merge::{BatchEntry, Cursor};
use crate::tables::NIL;
use crate::tables::{Full, List, Storage};
use crate::time::Timestamp;
use crate::wire::{Batch, Batches, Chunk, Contents};
use crate::wire::{Pieces, Place, Span};

impl<S: Storage> Engine<S> {
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
        let mut number = 0;
        let mut first_time = Timestamp(0);
        let mut has_events = false;
        loop {
            let before = (batches.place(), batches.offset());
            let batch = match batches.next() {
                Ok(Some(Chunk::Batch(batch))) => batch,
                Ok(Some(Chunk::EndOfGeneration(at))) => {
                    (self.place, self.offset) = (batches.place(), batches.offset());
                    if self.version.has_end_marker() {
                        break;
                    }
                    return Err(Error::new(ErrorKind::NotABatch, 52, at.0));
                }
                Ok(None) => {
                    (self.place, self.offset) = before;
                    if !self.version.has_end_marker() {
                        // The end of the trace ends its last generation, be it empty.
                        self.after = if last { After::End } else { After::Unknown };
                        break;
                    }
                    if has_events {
                        let end = self.offset.0;
                        return Err(Error::new(ErrorKind::IncompleteGeneration, number, end));
                    }
                    // Tables alone are not missed, but they must be sound.
                    self.tables.sort(input)?;
                    return Ok(None);
                }
                Err(error) => {
                    // Before 1.26, this may be the next generation's damage: what was read of this
                    // one is tried. A generation number of 0 is not taken so lightly.
                    (self.place, self.offset) = before;
                    if self.version.has_end_marker()
                        || number == 0
                        || error.kind() == ErrorKind::InvalidGeneration
                    {
                        return Err(error);
                    }
                    self.after = After::Error(error);
                    break;
                }
            };
            let generation = batch.head.generation.get();
            if number == 0 {
                number = generation;
                self.number = generation;
            }
            if self.version.has_end_marker() && batch.contents() == Contents::EndOfGeneration {
                (self.place, self.offset) = (batches.place(), batches.offset());
                break;
            }
            if generation != number {
                (self.place, self.offset) = before;
                if !self.version.has_end_marker() && generation == number.wrapping_add(1) {
                    break;
                }
                return Err(Error::new(
                    ErrorKind::GenerationOrder,
                    generation,
                    before.1.0,
                ));
            }
            first_time = earliest(first_time, batch.head.time);
            let data = num::wide(batch.data.len());
            let at = batches.place().at.saturating_sub(num::narrow(data));
            let place = Place {
                at,
                ..batches.place()
            };
            if !self.tables.add(&batch, place, self.version)? {
                has_events = true;
                // Empty ones are not worth remembering.
                if !batch.data.is_empty() {
                    self.add_events(&batch, place)?;
                }
            }
        }
        self.tables
            .finish(input, number, self.version, self.offset.0)?;
        self.frequency = self.tables.frequency.unwrap_or(self.frequency);
        Ok(Some(first_time))
    }

    /// Adds a batch of events to those of its thread.
    fn add_events(&mut self, batch: &Batch<'_>, place: Place) -> Result<(), Error> {
        if batch.contents() == Contents::EndOfGeneration {
            return Err(Error::new(ErrorKind::NotABatch, 52, batch.data_offset().0));
        }
        let thread = ThreadId::raw(batch.head.thread);
        let full = |table| {
            move |full: Full| Error::new(ErrorKind::TableFull(table), full.capacity, batch.offset.0)
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
        for (cursor, at) in self.cursors.iter_mut().zip(0u32..) {
            if cursor.advance(input, &self.batches, &self.frequency)? {
                let next = Next {
                    time: cursor.time,
                    cursor: at,
                };
                self.frontier.insert(next).map_err(|full| {
                    let kind = ErrorKind::TableFull(Table::Threads);
                    input.error(kind, full.capacity, cursor.place())
                })?;
            }
        }
        Ok(())
    }
}
