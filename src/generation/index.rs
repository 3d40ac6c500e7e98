//! Where the trace has the entries of a table, by id.

use crate::error::{Error, ErrorKind, Table};
use crate::num;
use crate::tables::sort;
use crate::tables::{Full, List};
use crate::wire::{Pieces, Span};

/// Where a string's bytes or a stack's frames are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) span: Span,
}

/// The entries of a string or stack table, sorted by id once all are there.
///
/// Ids come from a counter, with few gaps or none: an id is tried where it would be without
/// gaps, and only then searched.
#[derive(Debug)]
pub(crate) struct Directory<L> {
    entries: L,
    /// The ids are 1, 2, 3 and so on.
    gapless: bool,
}

impl<L: List<Entry>> Directory<L> {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Directory {
            entries: L::EMPTY,
            gapless: false,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.gapless = false;
    }

    pub(crate) fn add(&mut self, id: u64, span: Span) -> Result<(), Full> {
        self.entries.push(Entry { id, span })
    }

    /// Sorts the entries; of two with the same id, or one with the id 0, gives the later one.
    pub(crate) fn finish(&mut self) -> Result<(), Entry> {
        sort::sort(&mut self.entries, |e| (e.id, e.span));
        if let Some(zero) = self.entries.first().filter(|e| e.id == 0) {
            return Err(*zero);
        }
        let same = self.entries.windows(2).find_map(|pair| match pair {
            [a, b] if a.id == b.id => Some(*b),
            _ => None,
        });
        if let Some(duplicate) = same {
            return Err(duplicate);
        }
        let last = self.entries.last().map_or(0, |e| e.id);
        self.gapless = last == num::wide(self.entries.len());
        Ok(())
    }

    /// Whether the table has the id.
    #[inline(always)]
    pub(crate) fn contains(&self, id: u64) -> bool {
        if self.gapless {
            // Wraps for 0, which is no entry.
            id.wrapping_sub(1) < num::wide(self.entries.len())
        } else {
            self.get(id).is_some()
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: u64) -> Option<Span> {
        let guess = num::narrow(id.wrapping_sub(1)).min(self.entries.len());
        match self.entries.get(guess) {
            Some(entry) if entry.id == id => Some(entry.span),
            _ => self.search(id),
        }
    }

    fn search(&self, id: u64) -> Option<Span> {
        let at = self.entries.binary_search_by_key(&id, |e| e.id).ok()?;
        self.entries.get(at).map(|e| e.span)
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

#[cfg(feature = "alloc")]
impl<L: List<Entry>> Directory<L> {
    /// As [`finish`](Self::finish), but leaves out what cannot be: an entry with the id 0, and of several
    /// with one id all but the first in the trace. Says how many.
    pub(crate) fn finish_leniently(&mut self) -> usize {
        sort::sort(&mut self.entries, |e| (e.id, e.span));
        let (mut kept, mut last) = (0usize, 0);
        for at in 0..self.entries.len() {
            let Some(entry) = self.entries.get(at).copied() else {
                break;
            };
            if entry.id == last {
                continue;
            }
            last = entry.id;
            if let Some(to) = self.entries.get_mut(kept) {
                *to = entry;
            }
            kept = kept.saturating_add(1);
        }
        let left_out = self.entries.len().saturating_sub(kept);
        for _ in 0..left_out {
            self.entries.pop();
        }
        self.gapless = last == num::wide(self.entries.len());
        left_out
    }

    /// Adds an entry after the table was finished; its id is higher than all others.
    pub(crate) fn add_last(&mut self, id: u64, span: Span) -> Result<(), Full> {
        self.gapless = false;
        self.add(id, span)
    }

    /// The highest id; 0 if there is none. The table is finished.
    pub(crate) fn highest(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.id)
    }
}

#[cfg(feature = "alloc")]
impl Directory<alloc::vec::Vec<Entry>> {
    /// Of entries with the same id, keeps only the one that comes last in the trace.
    pub(crate) fn keep_last(&mut self) {
        self.entries
            .sort_unstable_by_key(|e| (e.id, core::cmp::Reverse(e.span)));
        self.entries.dedup_by_key(|e| e.id);
    }
}

/// The error of a full table, where the batch being read stands.
#[cold]
pub(crate) fn full(table: Table, full: Full, offset: u64) -> Error {
    Error::at(ErrorKind::TableFull(table), full.capacity, offset)
}

impl Entry {
    /// Where the entry's contents are in the trace.
    #[cold]
    pub(crate) fn offset(&self, input: &Pieces<'_>) -> u64 {
        input.offset(self.span.place())
    }
}
