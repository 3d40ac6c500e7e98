//! Cursors: how far each thread's events of a generation were read.

use super::parking::Waits;
use crate::error::Error;
use crate::event::Raw;
use crate::ids::ThreadId;
use crate::num;
use crate::order::Key;
use crate::tables::List;
use crate::tables::NIL;
use crate::time::{Frequency, Time, Timestamp};
use crate::wire::decode;
use crate::wire::{Pieces, Place, Span};

/// A batch of events, in the list of its thread's batches.
#[derive(Clone, Copy, Debug)]
pub(in crate::reader) struct BatchEntry {
    pub(in crate::reader) span: Span,
    pub(in crate::reader) time: Timestamp,
    pub(in crate::reader) next: u32,
}

/// A thread's next event, and the way to those after it.
#[derive(Clone, Copy, Debug)]
pub(in crate::reader) struct Cursor {
    pub(in crate::reader) thread: Option<ThreadId>,
    /// The thread's slot in the model; [`NIL`] without a thread.
    pub(in crate::reader) thread_slot: u32,
    /// The batch after the current one, and the last.
    pub(in crate::reader) next_batch: u32,
    pub(in crate::reader) last_batch: u32,
    /// Of the current batch, whose piece of the input `raw` has: where the payload ends in that, and
    /// where the event after the next begins.
    end: usize,
    at: usize,
    /// When the current batch begins.
    base: Time,
    /// When the next event happened; zero stands for the beginning of the batch, as it does for Go.
    pub(in crate::reader) time: Time,
    /// The next event, to be completed by the model.
    pub(in crate::reader) raw: Raw,
}

impl Waits for Cursor {
    fn key(&self) -> Key {
        Key::of(&self.raw)
    }

    fn time(&self) -> Time {
        self.time
    }
}

impl Cursor {
    pub(in crate::reader) fn new(thread: Option<ThreadId>, thread_slot: u32) -> Cursor {
        Cursor {
            thread,
            thread_slot,
            next_batch: NIL,
            last_batch: NIL,
            end: 0,
            at: 0,
            base: Time(0),
            time: Time(0),
            raw: Raw::default(),
        }
    }

    /// Leaves out the rest of the current batch, whose next event cannot be decoded; gives where it ends.
    #[cfg(feature = "alloc")]
    pub(in crate::reader) fn skip_batch(&mut self) -> Place {
        self.at = self.end;
        Place {
            piece: self.raw.piece,
            at: self.end,
        }
    }

    /// Where the next event stands.
    pub(in crate::reader) fn place(&self) -> Place {
        self.raw.place()
    }

    /// Whether no event follows the next one.
    #[cfg(feature = "std")]
    pub(in crate::reader) fn is_last(&self, batches: &impl List<BatchEntry>) -> bool {
        let mut left = self.at < self.end;
        let mut next = self.next_batch;
        while let Some(batch) = batches.get(num::index(next)).filter(|_| !left) {
            left = batch.span.len > 0;
            next = batch.next;
        }
        !left
    }

    /// Reads the next event; says whether there is one.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(in crate::reader) fn advance(
        &mut self,
        input: &Pieces<'_>,
        batches: &impl List<BatchEntry>,
        frequency: &Frequency,
    ) -> Result<bool, Error> {
        while self.at >= self.end {
            let Some(batch) = batches.get(num::index(self.next_batch)) else {
                return Ok(false);
            };
            self.raw.piece = batch.span.piece;
            self.at = batch.span.at;
            self.end = batch.span.at.saturating_add(num::index(batch.span.len));
            self.next_batch = batch.next;
            self.base = frequency.time(batch.time);
            self.time = Time(0);
        }
        if self.time.0 == 0 {
            self.time = self.base;
        }
        let data = input
            .piece(self.raw.piece)
            .and_then(|p| p.get(..self.end))
            .unwrap_or(&[]);
        self.raw.at = self.at;
        self.raw.thread = self.thread;
        match decode(data, self.at, &mut self.raw.event) {
            Ok(next) => {
                self.at = next;
                let passed = frequency.time(Timestamp(self.raw.event.dt));
                self.time = Time(self.time.0.wrapping_add(passed.0));
                Ok(true)
            }
            Err(fault) => {
                let base = input.offset(Place {
                    piece: self.raw.piece,
                    at: 0,
                });
                Err(fault.error(data, self.at, base))
            }
        }
    }
}
