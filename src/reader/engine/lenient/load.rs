//! Loading what is left of a generation.

use super::super::{Engine, after};
use super::{Due, MOST_BATCHES, Note, USUAL};
use crate::error::{Error, ErrorKind, Table};
use crate::generation::{Finder, Gathered, Part, Tail, earliest};
use crate::ids::{GenerationId, Offset, ThreadId};
use crate::num;
use crate::order::{Fault, Made, Scheduler, named_by};
use crate::reader::engine::Phase;
use crate::reader::lenient::{Gap, Incomplete, Lenient, NewTrace};
use crate::tables::{Full, NIL, Storage};
use crate::time::{Frequency, Time, Timestamp};
use crate::wire::{Batch, EventType, Events, Head, Pieces, Place, Span};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::mem;

impl<S: Storage> Engine<S, Lenient> {
    /// Looks for the next generation.
    pub(super) fn gather(&mut self, input: &Pieces<'_>, ended: bool) -> Gathered {
        let (version, offset) = (self.version, self.offset.0);
        let state = &mut self.mode;
        let finder = state
            .finder
            .get_or_insert_with(|| Finder::new(version, offset));
        let gathered = finder.gather(input, ended, &mut state.plan);
        if let Gathered::All { tail, last } = gathered {
            state.planned = Some((tail, last));
        }
        self.offset = Offset(finder.offset);
        self.place = input.place(self.offset.0);
        gathered
    }

    /// Loads the next generation, or ends the trace.
    pub(super) fn load_leniently(&mut self, input: &Pieces<'_>, last: bool) -> Result<(), Error> {
        if self.mode.rehearsal || self.mode.over {
            self.phase = Phase::Done;
            self.sync(self.last_time, false);
            return Ok(());
        }
        if self.mode.planned.is_none() {
            self.gather(input, true);
        }
        self.forget();
        let plan = mem::take(&mut self.mode.plan);
        let mut parts = plan.iter();
        let mut loading = Loading::default();
        for part in parts.by_ref() {
            self.load_part(input, part, &mut loading)?;
            if let Part::NewTrace { .. } = part {
                // It is told of before anything of it is given.
                self.mode.plan = parts.as_slice().to_vec();
                return Ok(());
            }
        }
        self.mode.plan = plan;
        self.mode.plan.clear();
        let (tail, ends) = self.mode.planned.take().unwrap_or((Tail::Sound, true));
        self.mode.over = ends && last;
        if self.mode.over && tail == Tail::Unended && !loading.events && !loading.gaps {
            // As for a strict reader, tables alone are not missed.
            self.clear();
            return Ok(());
        }
        let Some((number, first_time)) = loading.generation else {
            return Ok(());
        };
        self.complete(input, number, tail, &loading)?;
        self.fill_frontier(input)?;
        // States are learned in the first generation of which an event of a thread is given.
        if self.frontier.len() > 0 && (self.first == 0 || self.timed_given() == 0) {
            self.first = self.number;
        }
        self.read = self.read.saturating_add(1);
        let time = self.frequency.time(first_time);
        self.sync(time, true);
        Ok(())
    }

    /// How many events of threads were given of this trace, or made up.
    fn timed_given(&self) -> u64 {
        let losses = &self.mode.losses;
        let given = losses.events.saturating_add(losses.made_up);
        let others = self.syncs.saturating_add(self.mode.others_given);
        given.saturating_sub(others)
    }

    /// Forgets the last generation.
    fn forget(&mut self) {
        let samples = num::wide(self.samples_given);
        self.mode.others_given = self.mode.others_given.saturating_add(samples);
        self.clear();
        let state = &mut self.mode;
        state.torn.clear();
        state.refused = None;
        (state.bounded, state.vetted, state.scanned) = (false, false, false);
        self.scheduler.forget_stacks();
        // Names of open tasks and regions are kept.
        let old = mem::take(&mut state.names);
        if old.is_empty() {
            return;
        }
        let names = &mut state.names;
        self.scheduler.move_names(|span| {
            if span.piece != Span::NAMES {
                return span;
            }
            let at = names.len();
            let end = span.at.saturating_add(num::index(span.len));
            names.extend_from_slice(old.get(span.at..end).unwrap_or(&[]));
            Span { at, ..span }
        });
    }

    fn load_part(
        &mut self,
        input: &Pieces<'_>,
        part: &Part,
        loading: &mut Loading,
    ) -> Result<(), Error> {
        match *part {
            Part::Gap { from, to, error } => {
                loading.gaps = true;
                self.scheduler.damaged = true;
                if let Some((_, gap)) = &mut self.mode.last_batch {
                    *gap = true;
                }
                self.tell_gap(from, to, error);
            }
            Part::NewTrace { offset, version } => {
                self.begin_trace();
                self.version = version;
                let offset = Offset(offset);
                let error = Error::new(ErrorKind::NotABatch, u64::from(b'g'), offset);
                let note = Note::NewTrace(NewTrace { offset, version });
                self.mode.tell(note, error);
            }
            Part::Batch { offset, sound } => {
                let place = input.place(offset);
                let bytes = input.piece(place.piece).and_then(|p| p.get(place.at..));
                let bytes = bytes.unwrap_or(&[]);
                let Ok(Some(head)) = Head::parse(bytes) else {
                    return Ok(());
                };
                let payload = head.payload(bytes);
                let Head::Batch(head) = head else {
                    return Ok(());
                };
                let mut batch = Batch {
                    head,
                    data: payload,
                    offset: Offset(offset),
                };
                let place = place.plus(head.header_len);
                self.load_batch(input, &mut batch, place, sound, loading)?;
            }
        }
        Ok(())
    }

    fn load_batch<'t>(
        &mut self,
        input: &Pieces<'t>,
        batch: &mut Batch<'t>,
        place: Place,
        sound: Option<usize>,
        loading: &mut Loading,
    ) -> Result<(), Error> {
        let (number, time) = (batch.head.generation, batch.head.time);
        let first_time = match loading.generation {
            Some((_, so_far)) => earliest(so_far, time),
            None => {
                self.start = batch.offset;
                loading.after = GenerationId::new(self.number);
                time
            }
        };
        loading.generation = Some((number, first_time));
        self.number = number.get();
        if let Some((before, true)) = self.mode.last_batch {
            let passed = time.0.saturating_sub(before.0);
            loading.lost = loading.lost.saturating_add(passed);
        }
        self.mode.last_batch = Some((time, false));
        if let Some(sound) = sound {
            batch.data = batch.data.get(..sound).unwrap_or(batch.data);
        }
        match self.tables.add(batch, place, self.version) {
            Ok(true) => return Ok(()),
            Ok(false) => {
                loading.events = true;
                if batch.data.is_empty() {
                    return Ok(());
                }
            }
            Err(error) => {
                if let ErrorKind::TableFull(_) = error.kind() {
                    return Err(error);
                }
                loading.gaps = true;
                self.scheduler.damaged = true;
                // What does not fit its table is left out from there on.
                let at = error.offset().0.clamp(batch.data_offset().0, batch.end().0);
                self.tell_gap(at, batch.end().0, error);
                return Ok(());
            }
        }
        if self.is_doubled(input, batch, sound.is_some()) {
            loading.gaps = true;
            self.scheduler.damaged = true;
            let error = Error::new(ErrorKind::GenerationOrder, number.get(), batch.offset);
            self.tell_gap(batch.offset.0, batch.end().0, error);
            return Ok(());
        }
        if let Some(sound) = sound {
            // The cursor is to find out where it is torn: with the next byte.
            let bytes = input.piece(place.piece).and_then(|p| p.get(place.at..));
            let bytes = bytes.unwrap_or(&[]);
            let more = sound.saturating_add(1).min(bytes.len());
            batch.data = bytes.get(..more).unwrap_or(batch.data);
            let at = batch.data_offset().0.wrapping_add(num::wide(sound));
            self.mode.torn.push(at);
            self.scheduler.damaged = true;
        }
        self.add_events(batch, place)
    }

    /// Whether the generation has a batch already like this one, with events of which each can be there
    /// only once. Of a batch that is torn, only what is sound is compared.
    fn is_doubled(&self, input: &Pieces<'_>, batch: &Batch<'_>, torn: bool) -> bool {
        let thread = ThreadId::raw(batch.head.thread);
        let found = self.by_thread.find(thread);
        let cursor = found.and_then(|slot| self.by_thread.get(slot));
        let Some(cursor) = cursor.and_then(|at| self.cursors.get(num::index(*at))) else {
            return false;
        };
        let last = self.batches.get(num::index(cursor.last_batch));
        if last.is_none_or(|last| last.time < batch.head.time) {
            return false;
        }
        let mut at = cursor.next_batch;
        for _ in 0..MOST_BATCHES {
            let Some(entry) = self.batches.get(num::index(at)) else {
                return false;
            };
            let bytes = input.bytes(entry.span);
            let rest = bytes.strip_prefix(batch.data);
            // One that is torn as well has a byte more, at which it is torn.
            let same = rest.is_some_and(|rest| rest.is_empty() || torn && rest.len() == 1);
            if entry.time == batch.head.time && same {
                return can_be_once(batch.data);
            }
            at = entry.next;
        }
        false
    }

    /// Completes the tables with what there is.
    fn complete(
        &mut self,
        input: &Pieces<'_>,
        number: GenerationId,
        tail: Tail,
        loading: &Loading,
    ) -> Result<(), Error> {
        let known = self.frequency.hertz();
        let otherwise = Frequency::from_hertz(if known == 0 { USUAL } else { known });
        let assumed = self.tables.frequency.is_none().then_some(otherwise);
        let lacking = self.tables.finish_leniently(input, number.get(), otherwise);
        self.frequency = self.tables.frequency.unwrap_or(otherwise);
        let lost = self.frequency.time(Timestamp(loading.lost)).0.max(0);
        let losses = &mut self.mode.losses;
        losses.time_lost = losses.time_lost.saturating_add(lost.unsigned_abs());
        let unended = tail == Tail::Unended;
        let follows = loading
            .after
            .is_none_or(|before| before == number || before.next() == Some(number));
        let after_missing = !follows && (loading.gaps || !self.version.has_end_marker());
        let (strings, stacks) = match lacking || loading.gaps || unended {
            true => self.scan(input)?,
            false => (0, 0),
        };
        if strings > 0 || stacks > 0 || assumed.is_some() || unended || after_missing {
            self.scheduler.damaged = true;
            self.tell_incomplete(Incomplete {
                generation: number,
                strings,
                stacks,
                assumed_frequency: assumed,
                unended,
                after_missing,
            });
        }
        Ok(())
    }

    /// Another trace begins: nothing is known of it.
    fn begin_trace(&mut self) {
        self.scheduler = Scheduler::new();
        self.mode.made = Made::NONE;
        self.mode.names.clear();
        self.mode.last_batch = None;
        let losses = &self.mode.losses;
        self.mode.others_given = losses.events.saturating_add(losses.made_up);
        self.frequency = Frequency::from_hertz(0);
        self.last_time = Time(0);
        (self.number, self.first, self.syncs) = (0, 0, 0);
    }

    fn tell_gap(&mut self, from: u64, to: u64, error: Error) {
        let gap = Gap {
            from: Offset(from),
            to: Offset(to),
            generation: GenerationId::new(self.number),
            thread: None,
            error,
        };
        self.ready.wake();
        self.mode.tell(Note::Gap(gap), error);
    }

    pub(super) fn tell_incomplete(&mut self, lack: Incomplete) {
        self.ready.wake();
        let number = lack.generation.get();
        let error = Error::new(ErrorKind::IncompleteGeneration, number, self.offset);
        self.mode.tell(Note::Incomplete(lack), error);
    }

    /// An event names a string or a stack that the tables do not have: they have a placeholder then, and the
    /// event is as good as any other.
    #[cold]
    pub(super) fn name_missing(
        &mut self,
        input: &Pieces<'_>,
        at: u32,
        fault: Fault,
    ) -> Result<bool, Error> {
        let scanned = self.mode.scanned;
        if !scanned {
            self.scan_and_tell(input)?;
        }
        let Some(cursor) = self.cursors.get_mut(num::index(at)) else {
            return Ok(false);
        };
        // The model needs some names itself, before anything has changed.
        let needed = matches!(
            cursor.raw.event.ty,
            EventType::USER_REGION_BEGIN
                | EventType::USER_REGION_END
                | EventType::USER_TASK_BEGIN
                | EventType::STW_BEGIN
        );
        if needed && fault.kind == ErrorKind::UnknownString {
            if scanned {
                self.mode.refused = Some((at, fault));
                return Ok(false);
            }
            return self.offer(input, at);
        }
        let time = after(self.last_time, cursor.time);
        cursor.raw.time = time;
        self.last_time = time;
        self.current = at;
        Ok(true)
    }

    /// An event names what the tables do not have.
    #[cold]
    fn scan_and_tell(&mut self, input: &Pieces<'_>) -> Result<(), Error> {
        let scanned = self.scan(input);
        let (strings, stacks) = scanned.or_else(|error| self.fail(error))?;
        let Some(generation) = GenerationId::new(self.number) else {
            return Ok(());
        };
        self.scheduler.damaged = true;
        let lacking = Incomplete {
            generation,
            strings,
            stacks,
            assumed_frequency: None,
            unended: false,
            after_missing: false,
        };
        if self.mode.rehearsal {
            self.mode.lacking = Some(lacking);
        } else {
            self.tell_incomplete(lacking);
        }
        Ok(())
    }

    /// Adds placeholders to the tables for all that events and samples name and the tables lack. Gives how
    /// many strings and stacks that is.
    #[cold]
    fn scan(&mut self, input: &Pieces<'_>) -> Result<(u64, u64), Error> {
        self.mode.scanned = true;
        let (mut strings, mut stacks) = (Ids::default(), Ids::default());
        for batch in self.batches.iter() {
            let mut events = Events::new(input.bytes(batch.span), Offset(0));
            while let Ok(Some(event)) = events.next() {
                named_by(&event, |id| strings.add(id), |id| stacks.add(id));
            }
        }
        for sample in self.tables.samples() {
            if let Some(stack) = sample.record(input).and_then(|sample| sample.stack) {
                stacks.add(stack.get());
            }
        }
        let (strings, stacks) = (strings.finish(), stacks.finish());
        let names = &mut self.mode.names;
        let added = self.tables.add_missing(input, &strings, &stacks, names);
        added.map_err(|full: Full| {
            let kind = ErrorKind::TableFull(Table::Strings);
            Error::new(kind, full.capacity, self.start)
        })
    }

    /// The rest of a batch cannot be read: goes on with the next of its thread.
    #[cold]
    pub(super) fn lose_batch(
        &mut self,
        input: &Pieces<'_>,
        at: u32,
        mut error: Error,
    ) -> Result<Option<Time>, Error> {
        self.ready.wake();
        self.scheduler.damaged = true;
        loop {
            let Some(cursor) = self.cursors.get_mut(num::index(at)) else {
                return Ok(None);
            };
            let (slot, thread) = (cursor.thread_slot, cursor.thread);
            let from = input.offset(cursor.place());
            let end = input.offset(cursor.skip_batch());
            // The byte behind the sound part of a torn batch is not its own.
            let is_torn = |end: u64| self.mode.torn.binary_search(&end).is_ok();
            let to = match end.checked_sub(1) {
                Some(before) if before >= from && is_torn(before) => before,
                _ => end,
            };
            let before = cursor.time;
            let advanced = cursor.advance(input, &self.batches, &self.frequency);
            let after = cursor.time;
            let generation = GenerationId::new(self.number);
            let known = is_torn(from);
            let gap = Gap {
                from: Offset(from),
                to: Offset(to),
                generation,
                thread,
                error,
            };
            let goes_on = !matches!(advanced, Ok(false));
            self.mode.due.push_back(Due {
                note: (!known).then_some(Note::Gap(gap)),
                stops: if goes_on { slot } else { NIL },
                error,
            });
            if goes_on {
                let lost = after.0.saturating_sub(before.0).max(0).unsigned_abs();
                let losses = &mut self.mode.losses;
                losses.time_lost = losses.time_lost.saturating_add(lost);
            }
            match advanced {
                Ok(goes_on) => return Ok(goes_on.then_some(after)),
                Err(next) => error = next,
            }
        }
    }
}

/// Whether events are such that they can be only once in a generation: one starts a goroutine or a proc with
/// a number that counts, which no status of it makes begin anew.
fn can_be_once(data: &[u8]) -> bool {
    let mut events = Events::new(data, Offset(0));
    let mut told = BTreeSet::new();
    while let Ok(Some(event)) = events.next() {
        let [id, ..] = event.args;
        match event.ty {
            EventType::GO_STATUS
            | EventType::GO_STATUS_STACK
            | EventType::GO_CREATE
            | EventType::GO_CREATE_BLOCKED
            | EventType::GO_CREATE_SYSCALL => drop(told.insert((true, id))),
            EventType::PROC_STATUS => drop(told.insert((false, id))),
            EventType::GO_START if !told.contains(&(true, id)) => return true,
            EventType::PROC_START if !told.contains(&(false, id)) => return true,
            _ => {}
        }
    }
    false
}

/// What is known of a generation while it is loaded.
#[derive(Debug, Default)]
struct Loading {
    /// Its number, and the earliest time of a batch.
    generation: Option<(GenerationId, Timestamp)>,
    /// The generation before it.
    after: Option<GenerationId>,
    /// It has a batch of events.
    events: bool,
    /// Bytes are lost, or did not fit their table.
    gaps: bool,
    /// Clock units between batches before and after lost bytes.
    lost: u64,
}

/// Ids, of which each counts once.
#[derive(Debug, Default)]
struct Ids {
    ids: Vec<u64>,
    limit: usize,
}

impl Ids {
    fn add(&mut self, id: u64) {
        if id == 0 {
            return;
        }
        self.ids.push(id);
        if self.ids.len() > self.limit {
            self.tidy();
            self.limit = self.ids.len().saturating_mul(2).saturating_add(1024);
        }
    }

    fn tidy(&mut self) {
        self.ids.sort_unstable();
        self.ids.dedup();
    }

    fn finish(mut self) -> Vec<u64> {
        self.tidy();
        self.ids
    }
}
