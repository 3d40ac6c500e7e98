//! How cursors are parked where there are many threads: see `merge::parking`.

use super::mode::Mode;
use super::{Cursor, Engine};
use crate::error::{Error, ErrorKind, Table};
use crate::num;
use crate::reader::merge::{Frontier, Next, Parking};
use crate::tables::Fork;
use crate::tables::{List, Storage};
use crate::wire::EventType;
use crate::wire::Pieces;

impl<S: Storage, M: Mode> Engine<S, M> {
    /// The earliest event must wait, and there are many threads: parks it, until one passes.
    pub(super) fn advance_parking(&mut self, input: &Pieces<'_>) -> Result<bool, Error> {
        self.ready.wake();
        while let Some(next) = self.frontier.get(0) {
            if M::LENIENT
                && let Some(result) = M::before_later(self, input, 0)
            {
                return result;
            }
            let parked = self.parking.park(next.cursor, &self.cursors);
            parked.map_err(|full| {
                let kind = ErrorKind::TableFull(Table::Threads);
                input.error(kind, full.capacity, self.place)
            })?;
            self.frontier.remove(0);
            if self.try_advance(input, 0)? {
                return Ok(true);
            }
            if M::LENIENT
                && let Some(result) = M::after_later(self, input, 0)
            {
                return result;
            }
        }
        let place = self.parked().map_or(self.place, Cursor::place);
        self.fail_to_advance(input, self.parking.len(), place)
    }

    /// Whether there may be threads enough: known when this is compiled, so that no code is linked
    /// for tables that are small.
    pub(super) fn can_park(&self) -> bool {
        <S::Threads<Next>>::limit() > self.exact()
    }

    /// Whether cursors are parked.
    pub(super) fn has_parked(&self) -> bool {
        self.can_park() && self.parking.len() > 0
    }

    /// The earliest cursor parked.
    pub(super) fn parked(&self) -> Option<&Cursor> {
        let at = self
            .parking
            .earliest(&self.cursors)
            .filter(|_| self.has_parked())?;
        self.cursors.get(num::index(at))
    }

    /// Up to how many cursors are tried as Go does it.
    pub(super) fn exact(&self) -> usize {
        #[cfg(test)]
        return self.exact;
        #[cfg(not(test))]
        {
            crate::reader::merge::EXACT
        }
    }

    /// Reads the event after the last one on the same thread, and lets those events be tried again
    /// that may have waited for the last one.
    pub(super) fn move_on_and_wake(&mut self, input: &Pieces<'_>) -> Result<(), Error> {
        if !self.has_parked() {
            return self.move_on(input);
        }
        let passed = self.frontier.get(num::index(self.moved));
        let passed = passed.and_then(|next| self.cursors.get(num::index(next.cursor)));
        let passed = passed.map(|cursor| cursor.raw);
        self.move_on(input)?;
        let Some(raw) = passed else { return Ok(()) };
        let Engine {
            scheduler,
            parking,
            cursors,
            by_thread,
            frontier,
            ..
        } = self;
        if raw.event.ty == EventType::PROC_STEAL {
            // The thread stolen from may wait for just that, or have lost what it needs.
            let victim = by_thread.find(raw.arg(2));
            if let Some(&cursor) = victim.and_then(|slot| by_thread.get(slot)) {
                unpark(cursor, parking, frontier, cursors);
            }
        }
        scheduler.brought_by(&raw, |key| {
            if let Some(cursor) = parking.first(key, cursors) {
                unpark(cursor, parking, frontier, cursors);
            }
        });
        Ok(())
    }
}

/// Puts a cursor back into the frontier, if it is parked.
fn unpark(
    cursor: u32,
    parking: &mut Parking<impl List<Fork>>,
    frontier: &mut Frontier<impl List<Next>>,
    cursors: &[Cursor],
) {
    if parking.release(cursor, cursors)
        && let Some(found) = cursors.get(num::index(cursor))
    {
        // There is room: this is where it came from.
        let _ = frontier.insert(Next {
            time: found.time,
            cursor,
        });
    }
}
