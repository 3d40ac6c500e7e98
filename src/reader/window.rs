//! One generation at a time in a buffer, and what outlives it.
//!
//! The engine is the one that reads slices. Here its input is a buffer that holds one generation;
//! when the next one is due, the names of open tasks and regions are carried over to the front of
//! the buffer, and everything else makes room. Generations much smaller than what it takes to look
//! for names stay there, until it is worth it: else a trace of many could make each as much work as
//! one large.

use super::engine::Engine;
use super::engine::mode::{Mode, Strict};
use super::explain::Explanation;
use super::lenient::{Item, Lenient, Losses};
use crate::error::Error;
use crate::event::Event;
use crate::generation::{Ending, Gathered, Generations};
use crate::ids::{GenerationId, Offset};
use crate::num;
use crate::tables::{Capacities, Storage};
use crate::wire::{Batches, HEADER_LEN, Version};
use crate::wire::{Pieces, Place, Span};
use alloc::vec::Vec;

/// An engine and the generation that it reads.
pub(crate) struct Window<S: Storage, M: Mode = Strict> {
    /// Carried names, then a generation, then what was read beyond it. Between the names and the
    /// generation, small ones that were read.
    pub(super) buffer: Vec<u8>,
    /// The length of the names.
    names: usize,
    /// Where the generation ends in the buffer.
    end: usize,
    /// How many bytes of the trace are before the buffer, modulo 2^64: names count as some.
    base: u64,
    /// Nothing follows the generation in the buffer.
    last: bool,
    /// The engine has not seen the generation.
    fresh: bool,
    engine: Engine<S, M>,
}

impl<S: Storage, M: Mode> Window<S, M> {
    /// A window behind the header of a trace.
    pub(crate) fn new(version: Version) -> Self {
        let offset = Offset(num::wide(HEADER_LEN));
        Window {
            buffer: Vec::new(),
            names: 0,
            end: 0,
            base: offset.0,
            last: false,
            fresh: false,
            engine: Engine::new(version, Place::default(), offset),
        }
    }

    pub(crate) const fn version(&self) -> Version {
        self.engine.version
    }

    pub(crate) fn needs(&self) -> Capacities {
        self.engine.peaks().capacities()
    }

    pub(crate) const fn generation(&self) -> Option<GenerationId> {
        self.engine.generation()
    }

    pub(crate) const fn offset(&self) -> Offset {
        self.engine.offset()
    }

    /// Whether the generation is read to its end, and another could follow.
    pub(crate) fn is_read(&self) -> bool {
        !self.last && !self.fresh && self.engine.needs_input()
    }

    /// What was put into the window beyond the generation.
    pub(super) fn beyond(&self, at: usize) -> &[u8] {
        self.buffer.get(at..).unwrap_or(&[])
    }

    /// The generation in the window ends here, or all that follows it is damaged or not there.
    pub(super) fn ends_at(&mut self, end: usize, last: bool) {
        (self.end, self.last, self.fresh) = (end.min(self.buffer.len()), last, true);
    }

    /// Puts a whole generation, in pieces, in the place of one that was read.
    pub(crate) fn put<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]> + Clone) {
        self.advance();
        let len = pieces
            .clone()
            .fold(0usize, |n, p| n.saturating_add(p.len()));
        self.buffer.reserve_exact(len);
        for piece in pieces {
            self.buffer.extend_from_slice(piece);
        }
        self.ends_at(self.buffer.len(), false);
    }

    /// No generation follows the one that was read.
    pub(crate) fn finish(&mut self) {
        self.advance();
        self.engine.end();
        self.last = true;
    }

    /// Where the generation that was read last begins in the buffer.
    pub(super) fn start(&self) -> usize {
        num::narrow(self.engine.start().0.wrapping_sub(self.base))
    }

    /// Goes on with a generation that begins here in the buffer, as if the trace began there.
    pub(super) fn skip_to(&mut self, at: usize) {
        let at = at.min(self.buffer.len());
        self.buffer.drain(..at);
        self.base = self.base.wrapping_add(num::wide(at));
        (self.names, self.end, self.last, self.fresh) = (0, 0, false, false);
        self.engine.restart((Place::default(), Offset(self.base)));
    }

    /// The same with what was never looked at: no generation counts as skipped.
    pub(super) fn discard(&mut self, at: usize) {
        let counts = self.counts();
        self.skip_to(at);
        (self.engine.read, self.engine.skipped) = counts;
    }

    /// What is wrong with the generation being read or what follows it, as its batches' headers say.
    pub(super) fn fault(&self) -> Option<Error> {
        let bytes = Pieces::new(&self.buffer).at(self.base, self.names);
        let place = Place {
            piece: 0,
            at: self.start(),
        };
        let batches = Batches::resume(bytes, place, self.engine.start().0);
        Generations::new(self.version(), batches).find_map(Result::err)
    }

    /// The offset in the trace of a place in the buffer.
    pub(super) fn offset_of(&self, at: usize) -> u64 {
        self.base.wrapping_add(num::wide(at))
    }

    /// How many generations were read, and how many were skipped.
    pub(super) const fn counts(&self) -> (u64, u64) {
        (self.engine.read, self.engine.skipped)
    }

    /// Finds the next event; says whether there is one.
    #[inline]
    pub(crate) fn step(&mut self) -> Result<bool, Error> {
        self.fresh = false;
        let input =
            Pieces::new(self.buffer.get(..self.end).unwrap_or(&[])).at(self.base, self.names);
        let input = super::engine::old::input(input, self.engine.version);
        self.engine.step(&input, self.last)
    }

    /// The event that [`step`](Self::step) found.
    #[inline]
    pub(crate) fn event(&self) -> Event<'_, '_> {
        self.engine.event(self.input())
    }

    /// See [`super::Reader::ending`].
    pub(super) fn ending(&self, error: Option<Error>) -> Ending {
        self.engine.ending(error)
    }

    /// Looks for the end of the next generation in what is in the buffer; `ended` says whether the trace
    /// ends with it. Says whether it was found; then the generation is in the window.
    pub(super) fn gather(&mut self, ended: bool) -> bool {
        let input = Pieces::new(&self.buffer).at(self.base, self.names);
        match M::gather(&mut self.engine, &input, ended) {
            Some(Gathered::All { last, .. }) => {
                let end = self.engine.offset().0.wrapping_sub(self.base);
                self.ends_at(num::narrow(end), last);
                true
            }
            _ => false,
        }
    }

    /// See [`super::Reader::explain`].
    pub(super) fn explain(&self) -> Option<Explanation<'_>> {
        self.engine.explain(&self.input())
    }

    fn input(&self) -> Pieces<'_> {
        let input =
            Pieces::new(self.buffer.get(..self.end).unwrap_or(&[])).at(self.base, self.names);
        super::engine::old::input(input, self.engine.version)
    }

    /// Makes room for the next generation: what outlives the one that was read moves to the front of
    /// the buffer, and what follows it comes after that. Gives where.
    pub(super) fn advance(&mut self) -> usize {
        let keep = self.end.min(self.buffer.len());
        // A byte read pays for a byte moved, and sixteen for a look at a name.
        let beyond = self.buffer.len().saturating_sub(keep);
        let visits = self.engine.names_to_visit().saturating_mul(16);
        let work = visits.saturating_add(self.names).saturating_add(beyond);
        if keep.saturating_sub(self.names) < work {
            return keep;
        }
        let mut spans = Vec::new();
        self.engine.names(|span| spans.push(span));
        spans.retain(|span| span.len > 0);
        spans.sort_unstable();
        spans.dedup();
        let mut moved: Vec<u8> = Vec::new();
        let mut places = Vec::with_capacity(spans.len());
        for span in &spans {
            let end = span.at.saturating_add(num::index(span.len));
            places.push(Span {
                at: moved.len(),
                ..*span
            });
            moved.extend_from_slice(self.buffer.get(span.at..end).unwrap_or(&[]));
        }
        let names = moved.len();
        self.names = names;
        self.buffer.splice(..keep, moved);
        let offset = self.engine.offset();
        self.base = offset.0.wrapping_sub(num::wide(names));
        self.end = names;
        self.engine.rebase(
            Place {
                piece: 0,
                at: names,
            },
            |span| {
                let at = spans.binary_search(&span).ok();
                at.and_then(|at| places.get(at))
                    .copied()
                    .unwrap_or_default()
            },
        );
        names
    }
}

impl<S: Storage> Window<S, Strict> {
    /// The same in the lenient mode, if nothing was read.
    pub(super) fn lenient(self) -> Window<S, Lenient> {
        let (version, offset) = (self.engine.version, self.engine.offset());
        Window {
            buffer: self.buffer,
            names: self.names,
            end: self.end,
            base: self.base,
            last: self.last,
            fresh: self.fresh,
            engine: Engine::new(version, self.engine.place(), offset),
        }
    }
}

impl<S: Storage> Window<S, Lenient> {
    /// Finds the next event, if that is what comes next at once; says whether it is.
    #[inline]
    pub(super) fn step_to_event(&mut self) -> Result<bool, Error> {
        if self.fresh {
            return Ok(false);
        }
        let input =
            Pieces::new(self.buffer.get(..self.end).unwrap_or(&[])).at(self.base, self.names);
        self.engine.step_to_event(&input)
    }

    /// The event that [`step_to_event`](Self::step_to_event) found.
    #[inline]
    pub(super) fn found_event(&self) -> Item<'_> {
        let input = self.engine.with_names(self.input());
        Item::Event(self.engine.event(input))
    }

    /// Finds the next item; says whether there is one.
    pub(super) fn step_to_item(&mut self) -> Result<bool, Error> {
        self.fresh = false;
        let input =
            Pieces::new(self.buffer.get(..self.end).unwrap_or(&[])).at(self.base, self.names);
        let input = super::engine::old::input(input, self.engine.version);
        self.engine.step_to_item(&input, self.last)
    }

    /// The item that [`step_to_item`](Self::step_to_item) found.
    pub(super) fn item(&self) -> Item<'_> {
        self.engine.item(self.input())
    }

    pub(super) const fn losses(&self) -> Losses {
        self.engine.mode.losses
    }

    /// A trace of before Go 1.22, of which the rest cannot be read.
    pub(super) fn lose_rest(&mut self, error: Error) {
        let end = self.offset_of(self.buffer.len());
        self.engine.lose_rest(error, end);
    }
}
