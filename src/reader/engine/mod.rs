//! What slices and streams are read with: a state without lifetimes, that is given the bytes anew at
//! each step.

#[cfg(feature = "std")]
pub(super) mod assume;
#[cfg(feature = "alloc")]
mod lenient;
mod load;
pub(super) mod mode;
pub(super) mod old;
mod waiting;

use super::explain::{Explanation, Region};
use super::merge::{BatchEntry, Cursor, Frontier, Next, Parking, Ready};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Raw};
use crate::generation::{Ending, Lookup, Skip, Splitter, Tables};
use crate::ids::{GenerationId, Offset, StackId};
use crate::num;
use crate::order::{Epoch, Fault, Further, Scheduler, Verdict};
use crate::tables::{Counts, Fork, IdTable, NIL, Slot};
use crate::tables::{List, Storage};
use crate::time::{Frequency, Time, Timestamp};
#[cfg(feature = "std")]
use crate::wire::Span;
use crate::wire::{Batches, EventType, TimedEvent, Version};
use crate::wire::{Pieces, Place};
use mode::{Mode, Strict};

/// What follows the generation being read.
#[derive(Clone, Copy, Debug)]
enum After {
    /// Another generation, or the end of the trace: nobody looked.
    Unknown,
    /// The end of the trace.
    End,
    /// An error, which comes after a sync event.
    Error(Error),
}

/// How far the reader is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Events may follow.
    Reading,
    /// This error comes next, and then nothing.
    Failing(Error),
    /// Nothing follows.
    Done,
}

pub(super) struct Engine<S: Storage, M: Mode = Strict> {
    pub(super) version: Version,
    scheduler: Scheduler<S>,
    /// Events that follow the current one, and those that no record gives.
    ready: Ready,
    /// The cursor that holds the event found last, or [`NIL`]: then it is the last ready one.
    current: u32,
    /// The cursor that the last record came from has yet to move on, at this position.
    moved: u32,
    tables: Tables<S>,
    frequency: Frequency,
    batches: S::Batches<BatchEntry>,
    cursors: S::Threads<Cursor>,
    /// Cursors by thread.
    by_thread: IdTable<u32, S::Threads<Slot<u32>>, S::Threads<u32>>,
    frontier: Frontier<S::Threads<Next>>,
    /// Cursors that must wait, where there are many: they are not in the frontier.
    parking: Parking<S::Threads<Fork>>,
    /// How many of the generation's samples were given.
    samples_given: usize,
    /// The generation being read, or 0.
    number: u64,
    /// The first generation read that has events, or 0.
    first: u64,
    start: Offset,
    /// Where the generation being read ends, and the next one begins.
    place: Place,
    offset: Offset,
    after: After,
    phase: Phase,
    /// The cursor whose event ended the reading because it ends a region that is not the innermost,
    /// or [`NIL`].
    misnested: u32,
    last_time: Time,
    syncs: u64,
    /// Only one generation is to be read.
    #[cfg(feature = "std")]
    single: bool,
    /// How many generations were read, and how many were skipped.
    pub(super) read: u64,
    pub(super) skipped: u64,
    /// What reads a trace of before Go 1.22, once its records were looked at.
    #[cfg(feature = "alloc")]
    old: Option<alloc::boxed::Box<crate::legacy::Legacy>>,
    /// The most entries of each table, when the last generation was forgotten.
    peaks: Counts,
    /// What only a lenient reader has to know.
    #[cfg_attr(
        not(feature = "alloc"),
        expect(dead_code, reason = "a strict one has nothing to know")
    )]
    pub(super) mode: M::State,
    /// In the place of `EXACT`, and how many events were offered to the model.
    #[cfg(test)]
    pub(super) exact: usize,
    #[cfg(test)]
    pub(super) offers: u64,
}

/// The time of an event after one at `last`: no two share one.
#[cfg_attr(target_pointer_width = "64", inline(always))]
fn after(last: Time, time: Time) -> Time {
    if time <= last {
        Time(last.0.wrapping_add(1))
    } else {
        time
    }
}

impl<S: Storage, M: Mode> Engine<S, M> {
    #[inline(always)]
    pub(super) const fn new(version: Version, place: Place, offset: Offset) -> Self {
        Engine {
            version,
            scheduler: Scheduler::new(),
            ready: Ready::new(),
            current: NIL,
            moved: NIL,
            tables: Tables::new(),
            frequency: Frequency::from_hertz(0),
            batches: List::EMPTY,
            cursors: List::EMPTY,
            by_thread: IdTable::new(),
            frontier: Frontier::new(),
            parking: Parking::new(),
            samples_given: 0,
            number: 0,
            first: 0,
            start: offset,
            place,
            offset,
            after: After::Unknown,
            phase: Phase::Reading,
            misnested: NIL,
            last_time: Time(0),
            syncs: 0,
            #[cfg(feature = "std")]
            single: false,
            read: 0,
            skipped: 0,
            #[cfg(feature = "alloc")]
            old: None,
            peaks: Counts::NONE,
            mode: M::NEW,
            #[cfg(test)]
            exact: super::merge::EXACT,
            #[cfg(test)]
            offers: 0,
        }
    }

    /// The most entries that each table had so far.
    pub(super) fn peaks(&self) -> Counts {
        let [strings, stacks, samples] = self.tables.counts();
        let [threads, procs, goroutines, regions, tasks] = self.scheduler.peaks();
        let now = [
            strings,
            stacks,
            samples,
            self.batches.len(),
            threads.max(self.cursors.len()),
            procs,
            goroutines,
            regions,
            tasks,
        ];
        self.peaks.max(Counts::new(now))
    }

    pub(super) const fn generation(&self) -> Option<GenerationId> {
        GenerationId::new(self.number)
    }

    pub(super) const fn offset(&self) -> Offset {
        self.offset
    }

    /// Where the next generation begins in the input.
    #[cfg(feature = "alloc")]
    pub(super) const fn place(&self) -> Place {
        self.place
    }

    /// See [`super::Reader::ending`].
    pub(super) fn ending(&self, error: Option<Error>) -> Ending {
        if error.is_some() || !self.version.has_generations() {
            return Ending::of(error);
        }
        let begun = self.start.0 < self.offset.0;
        match self.generation() {
            None if self.read == 0 && !begun => Ending::HeaderOnly,
            // What was loaded last has a beginning, and was not read.
            Some(generation) if self.version.has_end_marker() && begun && self.is_over() => {
                let at = self.offset;
                Ending::Unended { generation, at }
            }
            _ => Ending::Complete,
        }
    }

    /// Whether the last sync event was the one of the trace's end.
    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// The event that [`step`](Self::step) found.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(super) fn event<'t>(&self, input: Pieces<'t>) -> Event<'_, 't> {
        match self.cursors.get(num::index(self.current)) {
            Some(cursor) => Event {
                raw: &cursor.raw,
                tables: &self.tables,
                input,
            },
            None => self.other_event(input),
        }
    }

    /// See [`super::Reader::explain`].
    pub(super) fn explain<'t>(&self, input: &Pieces<'t>) -> Option<Explanation<'t>> {
        let raw = self.cursors.get(num::index(self.misnested))?.raw;
        let goroutine = raw.go?;
        let (task, name) = self.scheduler.innermost_region(goroutine)?;
        let innermost = Region::new(task, input.bytes(name));
        let name = self.tables.string(raw.arg(1))?;
        Some(Explanation::RegionMismatch {
            goroutine,
            ended: Region::new(raw.arg(0), input.bytes(name)),
            innermost,
        })
    }

    /// Finds the next event; says whether there is one. `last` says whether nothing follows the
    /// input: if something does, the input ends with a generation.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(super) fn step(&mut self, input: &Pieces<'_>, last: bool) -> Result<bool, Error> {
        if self.step_quickly(input)? {
            return Ok(true);
        }
        self.step_slowly(input, last)
    }

    /// Finds the next event if it is the next record of the thread that the last one was of, and may come
    /// next at once: so it is for most. Says whether it is.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(super) fn step_quickly(&mut self, input: &Pieces<'_>) -> Result<bool, Error> {
        // Only records follow, and the last event was that of the frontier's root.
        if self.ready.is_idle() && self.moved == 0 && self.move_root(input)? {
            let root = self.frontier.root();
            if self.offer(input, root)? {
                return Ok(true);
            }
            self.settle();
        }
        Ok(false)
    }

    /// Everything that is not a record that may come next at once.
    #[cold]
    #[inline(never)]
    pub(super) fn step_slowly(&mut self, input: &Pieces<'_>, last: bool) -> Result<bool, Error> {
        #[cfg(feature = "alloc")]
        if let Some(old) = &mut self.old {
            return old.next(input);
        }
        self.step_otherwise(input, last)
    }

    /// Everything that is not an event of an old trace either.
    #[inline(never)]
    fn step_otherwise(&mut self, input: &Pieces<'_>, last: bool) -> Result<bool, Error> {
        loop {
            if let Some(raw) = self.ready.pop() {
                raw.time = after(self.last_time, raw.time);
                self.last_time = raw.time;
                self.current = NIL;
                return Ok(true);
            }
            if M::LENIENT && M::pending(self, input)? {
                return Ok(true);
            }
            match self.phase {
                Phase::Reading => {}
                Phase::Failing(error) => return self.fail(error),
                Phase::Done => return Ok(false),
            }
            self.move_on_and_wake(input)?;
            if M::LENIENT && M::pending(self, input)? {
                return Ok(true);
            }
            if self.samples_left() {
                if self.give_sample(input) {
                    continue;
                }
            } else if self.has_parked() {
                // What passes now may wake others.
            } else if self.frontier.len() == 0 {
                if M::LENIENT && M::awaits_input(self, last) {
                    return Ok(false);
                }
                self.next_generation(input, last)?;
                #[cfg(feature = "alloc")]
                if let Some(old) = &mut self.old {
                    return old.next(input);
                }
                continue;
            } else {
                self.ready.idle();
            }
            if self.try_advance(input, 0)? {
                return Ok(true);
            }
            return self.advance_later(input);
        }
    }

    /// Reads the event after the last one on the root's thread; says whether there is one.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn move_root(&mut self, input: &Pieces<'_>) -> Result<bool, Error> {
        let root = self.frontier.root();
        let Some(cursor) = self.cursors.get_mut(num::index(root)) else {
            return Ok(false);
        };
        match cursor.advance(input, &self.batches, &self.frequency) {
            Ok(true) => {
                if !self.frontier.root_stays(cursor.time) {
                    self.frontier.update_root(cursor.time);
                }
                Ok(true)
            }
            Ok(false) => {
                self.moved = NIL;
                self.frontier.remove(0);
                Ok(false)
            }
            Err(error) => {
                let goes_on = M::undecodable(self, input, root, error)?;
                self.moved = NIL;
                match goes_on {
                    Some(time) => self.frontier.update_root(time),
                    None => self.frontier.remove(0),
                }
                Ok(false)
            }
        }
    }

    /// Reads the event after the last one on the same thread.
    fn move_on(&mut self, input: &Pieces<'_>) -> Result<(), Error> {
        let at = core::mem::replace(&mut self.moved, NIL);
        let Some(next) = self.frontier.get(num::index(at)) else {
            return Ok(());
        };
        let Some(cursor) = self.cursors.get_mut(num::index(next.cursor)) else {
            return Ok(());
        };
        match cursor.advance(input, &self.batches, &self.frequency) {
            Ok(true) => self.frontier.update(num::index(at), cursor.time),
            Ok(false) => self.frontier.remove(num::index(at)),
            Err(error) => match M::undecodable(self, input, next.cursor, error)? {
                Some(time) => self.frontier.update(num::index(at), time),
                None => self.frontier.remove(num::index(at)),
            },
        }
        Ok(())
    }

    /// The root has moved on but must wait: the frontier learns when its event happened, which it
    /// had no need to know if the root stayed.
    #[cold]
    fn settle(&mut self) {
        self.moved = NIL;
        let root = self.frontier.root();
        if let Some(cursor) = self.cursors.get(num::index(root)) {
            self.frontier.update(0, cursor.time);
        }
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn samples_left(&self) -> bool {
        self.samples_given < self.tables.samples().len()
    }

    /// Whether the input given is read, so that a stream must bring the next generation.
    #[cfg(feature = "std")]
    pub(super) fn needs_input(&self) -> bool {
        let idle = matches!(self.phase, Phase::Reading)
            && self.ready.is_empty()
            && !self.has_parked()
            && !(M::LENIENT && M::is_pending(self));
        // Only the last cursor can be about to end.
        idle && !self.samples_left()
            && match (self.frontier.len(), self.moved) {
                (0, _) => true,
                (1, 0) => self.cursor_ends(),
                _ => false,
            }
    }

    /// Whether the one cursor left has no event after the current one.
    #[cfg(feature = "std")]
    fn cursor_ends(&self) -> bool {
        let next = self.frontier.get(0);
        let cursor = next.and_then(|next| self.cursors.get(num::index(next.cursor)));
        cursor.is_none_or(|cursor| cursor.is_last(&self.batches))
    }

    /// No generation follows the one that was read.
    #[cfg(feature = "std")]
    pub(super) fn end(&mut self) {
        // Since 1.26, the end of the input says so.
        if !self.version.has_end_marker() && self.number != 0 {
            self.after = After::End;
        }
    }

    /// The input is another now: what follows stands at `place`, and open names at `move_to`.
    #[cfg(feature = "std")]
    pub(super) fn rebase(&mut self, place: Place, move_to: impl FnMut(Span) -> Span) {
        self.place = place;
        let mut move_to = move_to;
        self.scheduler
            .move_names(|span| if span.piece == 0 { move_to(span) } else { span });
    }

    /// How many names may be open: what it takes to look for them.
    #[cfg(feature = "std")]
    pub(super) fn names_to_visit(&self) -> usize {
        self.scheduler.names_to_visit()
    }

    #[cfg(feature = "std")]
    pub(super) fn names(&mut self, visit: impl FnMut(Span)) {
        let mut visit = visit;
        self.scheduler.move_names(|span| {
            // Names that the trace lacks are not of the input.
            if span.piece == 0 {
                visit(span);
            }
            span
        });
    }

    /// Makes the next CPU sample ready if it comes before all other events.
    fn give_sample(&mut self, input: &Pieces<'_>) -> bool {
        let Some(entry) = self.tables.samples().get(self.samples_given) else {
            return false;
        };
        let next = self.frontier.get(0).map(|next| next.time);
        let parked = self.parked().map(|cursor| cursor.time);
        if next.is_some_and(|time| entry.time >= time)
            || parked.is_some_and(|time| entry.time >= time)
        {
            return false;
        }
        self.samples_given = self.samples_given.wrapping_add(1);
        if let Some(sample) = entry.record(input) {
            let stack = sample.stack.map_or(0, StackId::get);
            self.ready.push(Raw {
                time: entry.time,
                thread: sample.thread,
                proc: sample.proc,
                go: sample.goroutine,
                piece: entry.place.piece,
                at: entry.place.at,
                event: TimedEvent::new(EventType::CPU_SAMPLE, 0, [stack, 0, 0, 0]),
                ..Raw::default()
            });
        }
        true
    }

    /// The earliest event must wait: tries the others in the order of their times.
    #[cold]
    fn advance_later(&mut self, input: &Pieces<'_>) -> Result<bool, Error> {
        if M::LENIENT
            && let Some(result) = M::wait(self, input)
        {
            return result;
        }
        if self.can_park() && (self.has_parked() || self.frontier.len() > self.exact()) {
            return self.advance_parking(input);
        }
        self.frontier.sort();
        for at in 1..self.frontier.len() {
            if M::LENIENT
                && let Some(result) = M::before_later(self, input, at)
            {
                return result;
            }
            if self.try_advance(input, at)? {
                return Ok(true);
            }
            if M::LENIENT
                && let Some(result) = M::after_later(self, input, at)
            {
                return result;
            }
        }
        let first = self.frontier.get(0);
        let first = first.and_then(|next| self.cursors.get(num::index(next.cursor)));
        let place = first.map_or(self.place, Cursor::place);
        self.fail_to_advance(input, self.frontier.len(), place)
    }

    /// No event can come next, the earliest of which stands at `place`.
    fn fail_to_advance(
        &mut self,
        input: &Pieces<'_>,
        waiting: usize,
        place: Place,
    ) -> Result<bool, Error> {
        let error = input.error(ErrorKind::NoProgress, num::wide(waiting), place);
        M::stuck(self, input, error)
    }

    /// Asks whether the event at `at` in the frontier may come next.
    #[inline(never)]
    fn try_advance(&mut self, input: &Pieces<'_>, at: usize) -> Result<bool, Error> {
        let Some(next) = self.frontier.get(at) else {
            return Ok(false);
        };
        let passes = self.offer(input, next.cursor)?;
        if passes {
            self.moved = num::slot(at);
        }
        Ok(passes)
    }

    /// Asks whether a cursor's event may come next.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn offer(&mut self, input: &Pieces<'_>, at: u32) -> Result<bool, Error> {
        let Some(cursor) = self.cursors.get_mut(num::index(at)) else {
            return Ok(false);
        };
        #[cfg(test)]
        {
            self.offers += 1;
        }
        let epoch = Epoch {
            generation: self.number,
            first: self.number == self.first,
        };
        // The events that a record adds copy its time.
        cursor.raw.time = cursor.time;
        let verdict = M::advance(
            &mut self.scheduler,
            &mut cursor.raw,
            cursor.thread_slot,
            &self.tables,
            input,
            epoch,
            &mut self.ready,
        );
        match verdict {
            Ok(Verdict::Pass) => {
                let time = after(self.last_time, cursor.time);
                cursor.raw.time = time;
                self.last_time = time;
                self.current = at;
                Ok(true)
            }
            Ok(Verdict::Wait) => Ok(false),
            Err(fault) => M::refused(self, input, at, fault),
        }
    }

    /// Ends the reading with what is wrong with a cursor's event.
    #[cold]
    fn refuse(&mut self, input: &Pieces<'_>, at: u32, fault: Fault) -> Result<bool, Error> {
        let place = self
            .cursors
            .get(num::index(at))
            .map_or(self.place, Cursor::place);
        let error = input.error(fault.kind, fault.value, place);
        if fault.kind == ErrorKind::RegionMismatch {
            self.misnested = at;
        }
        self.fail(error)
    }

    /// Ends the reading with an error.
    #[cold]
    fn fail<T>(&mut self, error: Error) -> Result<T, Error> {
        self.ready.wake();
        self.phase = Phase::Done;
        Err(error)
    }

    /// Makes a sync event ready; of the generation loaded, if any.
    fn sync(&mut self, time: Time, generation: bool) {
        self.syncs = self.syncs.saturating_add(1);
        let end = self.offset.0;
        let start = if generation { self.start.0 } else { end };
        self.ready.push(Raw::sync(self.syncs, time, start, end));
    }

    /// Goes on to the next generation, or to the end of the trace: either is a sync event.
    fn next_generation(&mut self, input: &Pieces<'_>, last: bool) -> Result<(), Error> {
        #[cfg(feature = "std")]
        if self.single && self.read > 0 {
            self.phase = Phase::Done;
            return Ok(());
        }
        if M::LENIENT && self.version.has_generations() {
            return M::load(self, input, last);
        }
        match self.after {
            After::Error(error) => {
                self.phase = Phase::Failing(error);
                self.sync(self.last_time, false);
                return Ok(());
            }
            After::End => {
                self.phase = Phase::Done;
                self.sync(self.last_time, false);
                return Ok(());
            }
            After::Unknown => {}
        }
        if !self.version.has_generations() {
            return self.load_old(input);
        }
        match self.load(input, last) {
            Ok(Some(earliest)) => self.begin(input, earliest)?,
            Ok(None) => {
                self.phase = Phase::Done;
                self.sync(self.last_time, false);
            }
            Err(error) => {
                self.phase = Phase::Failing(error);
                self.clear();
                self.sync(self.last_time, false);
            }
        }
        Ok(())
    }

    /// Begins with the events of the generation that was loaded.
    fn begin(&mut self, input: &Pieces<'_>, earliest: Timestamp) -> Result<(), Error> {
        self.fill_frontier(input)
            .or_else(|error| self.fail(error))?;
        if self.first == 0 && self.frontier.len() > 0 {
            self.first = self.number;
        }
        self.read = self.read.saturating_add(1);
        let time = self.frequency.time(earliest);
        self.sync(time, true);
        Ok(())
    }

    /// Forgets the generation.
    fn clear(&mut self) {
        self.peaks = self.peaks();
        self.tables.clear();
        self.batches.clear();
        self.cursors.clear();
        self.by_thread.clear();
        self.frontier.clear();
        self.parking.clear();
        self.samples_given = 0;
        self.moved = NIL;
        self.after = After::Unknown;
    }

    /// See [`super::Reader::skip_generation`].
    pub(super) fn skip_generation(&mut self, input: &Pieces<'_>) -> bool {
        if !self.version.has_generations() {
            return false;
        }
        let from = input.place(self.start.0);
        let mut batches = Batches::resume(*input, from, self.start.0);
        let mut splitter = Splitter::new(self.version);
        loop {
            let before = (batches.place(), batches.offset());
            let Ok(Some(chunk)) = batches.next() else {
                return false;
            };
            let (head, payload) = chunk.parts();
            match splitter.skip(&head, payload) {
                Skip::Over => {}
                Skip::Here => {
                    self.restart(before);
                    return true;
                }
                Skip::Behind => {
                    let after = (batches.place(), batches.offset());
                    let follows = matches!(batches.next(), Ok(Some(_)));
                    if follows {
                        self.restart(after);
                    }
                    return follows;
                }
            }
        }
    }

    /// Where the generation being read begins.
    #[cfg(feature = "std")]
    pub(super) const fn start(&self) -> Offset {
        self.start
    }

    /// Starts again with the generation at a place.
    pub(super) fn restart(&mut self, (place, offset): (Place, Offset)) {
        let (syncs, last_time, read) = (self.syncs, self.last_time, self.read);
        let (skipped, peaks) = (self.skipped.saturating_add(1), self.peaks());
        *self = Engine {
            syncs,
            last_time,
            read,
            skipped,
            peaks,
            ..Engine::new(self.version, place, offset)
        };
    }
}
