//! Lenient reading: what the engine does where a strict one ends.

use super::mode::{Hooks, Mode};
use super::{Engine, Phase, after};
use crate::error::{Error, ErrorKind, Table};
use crate::event::{Event, Raw};
use crate::generation::{Finder, Gathered, Part, Tables, Tail, earliest};
use crate::ids::{GenerationId, Offset, ThreadId};
use crate::num;
use crate::order::{Cause, Epoch, Fault, Further, Made, Scheduler, Verdict, has_ids, named_by};
use crate::reader::lenient::{Gap, Incomplete, Item, Lenient, Losses, NewTrace};
use crate::reader::merge::{Cursor, Next, Ready};
use crate::tables::{Full, NIL, Storage};
use crate::time::{Frequency, Time, Timestamp};
use crate::wire::{Batch, EventType, Events, Head, Pieces, Place, Span, TimedEvent};
use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::mem;

/// How far events may come before an earlier one that has to wait, in a generation of which parts are
/// missing. Clocks of processors differ by less.
const WINDOW: i64 = 64_000;
/// How many of them are tried.
const CANDIDATES: usize = 64;
/// How many events are made up for one.
const MOST_CAUSES: u32 = 64;
/// How many batches of a thread are compared with one that seems to be there twice.
const MOST_BATCHES: usize = 1 << 12;
/// Go's clock on Linux and other systems that count nanoseconds: 64 of them a unit.
const USUAL: u64 = 15_625_000;

/// What the engine found.
#[derive(Clone, Copy, Debug)]
pub(in crate::reader) enum Found {
    /// An event, as a strict one does.
    Event,
    MadeUp(Error),
    LeftOut(Error),
    Note(Note),
}

/// Something to tell.
#[derive(Clone, Copy, Debug)]
pub(in crate::reader) enum Note {
    Gap(Gap),
    Incomplete(Incomplete),
    NewTrace(NewTrace),
}

/// The same, and that the goroutine on the thread in this slot stops then.
#[derive(Clone, Copy, Debug)]
struct Due {
    note: Option<Note>,
    stops: u32,
    error: Error,
}

/// An event that is made to come next.
#[derive(Clone, Copy, Debug)]
struct Forcing {
    /// Its place in the frontier, and its cursor; of a thread whose goroutine stops, [`NIL`].
    at: usize,
    cursor: u32,
    /// The thread whose goroutine stops.
    stops: u32,
    error: Error,
    steps: u32,
}

/// What a lenient reader has to know.
#[derive(Debug)]
pub struct State {
    finder: Option<Finder>,
    plan: Vec<Part>,
    planned: Option<(Tail, bool)>,
    /// Nothing follows what was loaded.
    over: bool,
    due: VecDeque<Due>,
    forcing: Option<Forcing>,
    pub(in crate::reader) found: Found,
    raw: Raw,
    made: Made,
    /// The piece [`Span::NAMES`] of the input.
    pub(in crate::reader) names: Vec<u8>,
    /// Where batches are torn off whose rest was noted already, sorted.
    torn: Vec<u64>,
    /// What the model said of a cursor's event that was tried last.
    refused: Option<(u32, Fault)>,
    /// Events come next only if they are hardly later than the earliest.
    bounded: bool,
    /// Every event of the generation is known to find its turn.
    vetted: bool,
    /// All ids of the generation are known.
    scanned: bool,
    /// Something was missing or contradicted before.
    damaged: bool,
    /// This is a rehearsal, and it failed.
    rehearsal: bool,
    failed: bool,
    /// What it found to be missing.
    lacking: Option<Incomplete>,
    /// The time of the last batch found, and whether a gap followed.
    last_batch: Option<(Timestamp, bool)>,
    pub(in crate::reader) losses: Losses,
}

impl State {
    const fn new() -> State {
        State {
            finder: None,
            plan: Vec::new(),
            planned: None,
            over: false,
            due: VecDeque::new(),
            forcing: None,
            found: Found::Event,
            raw: Raw {
                time: Time(0),
                thread: None,
                proc: None,
                go: None,
                event: TimedEvent::new(EventType(0), 0, [0; 4]),
                from: 0,
                piece: 0,
                at: 0,
                name: Span {
                    piece: 0,
                    at: 0,
                    len: 0,
                },
            },
            made: Made::NONE,
            names: Vec::new(),
            torn: Vec::new(),
            refused: None,
            bounded: false,
            vetted: false,
            scanned: false,
            damaged: false,
            rehearsal: false,
            failed: false,
            lacking: None,
            last_batch: None,
            losses: Losses::NONE,
        }
    }

    fn tell(&mut self, note: Note, error: Error) {
        self.due.push_back(Due {
            note: Some(note),
            stops: NIL,
            error,
        });
    }
}

/// Nothing that is made up gives further events.
struct Nowhere;

impl Further for Nowhere {
    fn push(&mut self, _: Raw) {}
}

impl Mode for Lenient {}

#[expect(private_interfaces, reason = "nobody else can name or implement this")]
impl Hooks for Lenient {
    const LENIENT: bool = true;
    type State = State;
    const NEW: State = State::new();

    fn undecodable<S: Storage>(
        engine: &mut Engine<S, Self>,
        input: &Pieces<'_>,
        at: u32,
        error: Error,
    ) -> Result<Option<Time>, Error> {
        engine.lose_batch(input, at, error)
    }

    #[cold]
    fn refused<S: Storage>(
        engine: &mut Engine<S, Self>,
        input: &Pieces<'_>,
        at: u32,
        fault: Fault,
    ) -> Result<bool, Error> {
        let unknown = matches!(
            fault.kind,
            ErrorKind::UnknownString | ErrorKind::UnknownStack
        );
        if unknown && !engine.mode.scanned {
            engine.scan_and_tell(input)?;
            return engine.offer(input, at);
        }
        if let ErrorKind::TableFull(_) = fault.kind {
            return engine.refuse(input, at, fault);
        }
        engine.mode.refused = Some((at, fault));
        Ok(false)
    }

    fn stuck<S: Storage>(
        engine: &mut Engine<S, Self>,
        input: &Pieces<'_>,
        error: Error,
    ) -> Result<bool, Error> {
        if engine.mode.rehearsal {
            engine.mode.failed = true;
            return engine.fail(error);
        }
        engine.bound(input)?;
        engine.wait_bounded(input)
    }

    #[inline(always)]
    fn advance<S: Storage>(
        scheduler: &mut Scheduler<S>,
        raw: &mut Raw,
        slot: u32,
        tables: &Tables<S>,
        input: &Pieces<'_>,
        epoch: Epoch,
        further: &mut Ready,
    ) -> Result<Verdict, Fault> {
        scheduler.advance::<false>(raw, slot, tables, input, epoch, further)
    }

    fn pending<S: Storage>(
        engine: &mut Engine<S, Self>,
        input: &Pieces<'_>,
    ) -> Result<bool, Error> {
        engine.give_due(input)
    }

    fn is_pending<S: Storage>(engine: &Engine<S, Self>) -> bool {
        engine.mode.forcing.is_some() || !engine.mode.due.is_empty()
    }

    fn load<S: Storage>(
        engine: &mut Engine<S, Self>,
        input: &Pieces<'_>,
        last: bool,
    ) -> Result<(), Error> {
        let result = engine.load_leniently(input, last);
        result.or_else(|error| engine.fail(error))
    }

    #[cfg(feature = "std")]
    fn gather<S: Storage>(
        engine: &mut Engine<S, Self>,
        input: &Pieces<'_>,
        ended: bool,
    ) -> Option<Gathered> {
        Some(engine.gather(input, ended))
    }

    #[inline(always)]
    fn look_ahead<S: Storage>(
        state: &mut State,
        scheduler: &mut Scheduler<S>,
        raw: &mut Raw,
        slot: u32,
        epoch: Epoch,
    ) -> Result<(), Fault> {
        match raw.event.ty {
            EventType::GO_SYSCALL_BEGIN
            | EventType::GO_SYSCALL_END
            | EventType::PROC_STEAL
            | EventType::GO_DESTROY_SYSCALL
            | EventType::PROC_STATUS
            | EventType::GO_STATUS
            | EventType::GO_STATUS_STACK => scheduler.look_ahead(raw, slot, epoch, state.damaged),
            _ => Ok(()),
        }
    }

    #[inline(always)]
    fn passed<S: Storage>(
        engine: &mut Engine<S, Self>,
        input: &Pieces<'_>,
        at: u32,
    ) -> Result<(), Error> {
        if let Some(cursor) = engine.cursors.get(num::index(at))
            && !engine.mode.scanned
            && !has_ids(&cursor.raw, &engine.tables)
        {
            return engine.scan_and_tell(input);
        }
        Ok(())
    }

    fn wait<S: Storage>(
        engine: &mut Engine<S, Self>,
        input: &Pieces<'_>,
    ) -> Option<Result<bool, Error>> {
        if engine.mode.bounded {
            return Some(engine.wait_bounded(input));
        }
        engine.settle_refused(input, 0, true)
    }

    fn before_later<S: Storage>(
        engine: &mut Engine<S, Self>,
        input: &Pieces<'_>,
        at: usize,
    ) -> Option<Result<bool, Error>> {
        if engine.mode.vetted {
            return None;
        }
        let time = engine.frontier.get(at)?.time;
        let first = engine.frontier.get(0)?.time;
        let first = engine
            .parked()
            .map_or(first, |cursor| cursor.time.min(first));
        if time.0.saturating_sub(first.0) <= WINDOW {
            return None;
        }
        match engine.rehearse(input) {
            Ok(true) => {
                engine.mode.vetted = true;
                None
            }
            Ok(false) => Some(match engine.bound(input) {
                Ok(()) => engine.wait_bounded(input),
                Err(error) => engine.fail(error),
            }),
            Err(error) => Some(engine.fail(error)),
        }
    }

    fn after_later<S: Storage>(
        engine: &mut Engine<S, Self>,
        input: &Pieces<'_>,
        at: usize,
    ) -> Option<Result<bool, Error>> {
        engine.settle_refused(input, at, false)
    }
}

/// Whether an event that is refused so can be dealt with at once, whatever waits: no other event changes
/// that.
const fn is_certain(kind: ErrorKind) -> bool {
    is_annotation(kind) || is_status(kind) || matches!(kind, ErrorKind::HasGoroutine)
}

/// A contradiction of what the program says, not of how it runs.
const fn is_annotation(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::RegionMismatch
            | ErrorKind::TaskExists
            | ErrorKind::RangeOpen
            | ErrorKind::RangeNotOpen
            | ErrorKind::UnknownEvent
            | ErrorKind::InvalidStatus
            | ErrorKind::ReservedId
    )
}

const fn is_status(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::GoStatusMismatch
            | ErrorKind::ProcStatusMismatch
            | ErrorKind::LateGoroutine
            | ErrorKind::WrongThread
            | ErrorKind::SyscallWithoutThread
    )
}

impl<S: Storage> Engine<S, Lenient> {
    /// The item that [`step`](Engine::step) found.
    pub(in crate::reader) fn item<'a>(&'a self, input: Pieces<'a>) -> Item<'a> {
        let input = input.with_names(&self.mode.names);
        let other = || Event {
            raw: &self.mode.raw,
            tables: &self.tables,
            input,
        };
        match self.mode.found {
            Found::Event => Item::Event(self.event(input)),
            Found::MadeUp(error) => Item::MadeUp(other(), error),
            Found::LeftOut(error) => Item::LeftOut(other(), error),
            Found::Note(Note::Gap(gap)) => Item::Gap(gap),
            Found::Note(Note::Incomplete(lack)) => Item::Incomplete(lack),
            Found::Note(Note::NewTrace(new)) => Item::NewTrace(new),
        }
    }

    /// Finds the next item; says whether there is one.
    #[inline]
    pub(in crate::reader) fn step_to_item(
        &mut self,
        input: &Pieces<'_>,
        last: bool,
    ) -> Result<bool, Error> {
        self.mode.found = Found::Event;
        let found = self.step(input, last)?;
        if let Found::Event = self.mode.found {
            let events = &mut self.mode.losses.events;
            *events = events.saturating_add(u64::from(found));
        } else {
            self.count();
        }
        Ok(found)
    }

    #[cold]
    fn count(&mut self) {
        let losses = &mut self.mode.losses;
        let one_more = |n: &mut u64| *n = n.saturating_add(1);
        match self.mode.found {
            Found::Event => {}
            Found::MadeUp(_) => one_more(&mut losses.made_up),
            Found::LeftOut(_) => one_more(&mut losses.left_out),
            Found::Note(Note::Gap(gap)) => {
                one_more(&mut losses.gaps);
                losses.bytes_lost = losses.bytes_lost.saturating_add(gap.len());
            }
            Found::Note(Note::Incomplete(_)) => one_more(&mut losses.incomplete),
            Found::Note(Note::NewTrace(_)) => one_more(&mut losses.new_traces),
        }
    }

    /// A trace of before Go 1.22, of which the rest cannot be read.
    pub(in crate::reader) fn lose_rest(&mut self, error: Error, end: u64) {
        let gap = Gap {
            from: error.offset(),
            to: Offset(end.max(error.offset().0)),
            generation: GenerationId::new(self.number),
            thread: None,
            error,
        };
        self.mode.found = Found::Note(Note::Gap(gap));
        self.count();
    }

    /// Gives what is to be given before the next event.
    fn give_due(&mut self, input: &Pieces<'_>) -> Result<bool, Error> {
        loop {
            if self.mode.forcing.is_some() {
                if self.force(input)? {
                    return Ok(true);
                }
                continue;
            }
            let Some(due) = self.mode.due.pop_front() else {
                return Ok(false);
            };
            if due.stops != NIL {
                self.mode.made.begin();
                self.mode.forcing = Some(Forcing {
                    at: 0,
                    cursor: NIL,
                    stops: due.stops,
                    error: due.error,
                    steps: 0,
                });
            }
            if let Some(note) = due.note {
                self.mode.found = Found::Note(note);
                return Ok(true);
            }
        }
    }

    // A generation.

    /// Looks for the next generation.
    fn gather(&mut self, input: &Pieces<'_>, ended: bool) -> Gathered {
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
    fn load_leniently(&mut self, input: &Pieces<'_>, last: bool) -> Result<(), Error> {
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
        let Some((number, first_time)) = loading.generation else {
            return Ok(());
        };
        self.complete(input, number, tail, &loading)?;
        self.fill_frontier(input)?;
        if self.first == 0 && self.frontier.len() > 0 {
            self.first = self.number;
        }
        self.read = self.read.saturating_add(1);
        let time = self.frequency.time(first_time);
        self.sync(time, true);
        Ok(())
    }

    /// Forgets the last generation.
    fn forget(&mut self) {
        self.clear();
        let state = &mut self.mode;
        state.torn.clear();
        state.refused = None;
        (state.bounded, state.vetted, state.scanned) = (false, false, false);
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
                self.mode.damaged = true;
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
            Ok(false) if batch.data.is_empty() => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                if let ErrorKind::TableFull(_) = error.kind() {
                    return Err(error);
                }
                loading.gaps = true;
                self.mode.damaged = true;
                // What does not fit its table is left out from there on.
                let at = error.offset().0.clamp(batch.data_offset().0, batch.end().0);
                self.tell_gap(at, batch.end().0, error);
                return Ok(());
            }
        }
        if let Some(sound) = sound {
            // The cursor is to find out where it is torn: with the next byte.
            let bytes = input.piece(place.piece).and_then(|p| p.get(place.at..));
            let bytes = bytes.unwrap_or(&[]);
            let more = sound.saturating_add(1).min(bytes.len());
            batch.data = bytes.get(..more).unwrap_or(batch.data);
            let at = batch.data_offset().0.wrapping_add(num::wide(sound));
            self.mode.torn.push(at);
        }
        if self.is_doubled(input, batch) {
            loading.gaps = true;
            self.mode.damaged = true;
            let error = Error::new(ErrorKind::GenerationOrder, number.get(), batch.offset);
            self.tell_gap(batch.offset.0, batch.end().0, error);
            return Ok(());
        }
        self.add_events(batch, place)
    }

    /// Whether the generation has a batch already like this one, with events of which each can be there
    /// only once.
    fn is_doubled(&self, input: &Pieces<'_>, batch: &Batch<'_>) -> bool {
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
            if entry.time == batch.head.time && input.bytes(entry.span) == batch.data {
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
            self.mode.damaged = true;
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

    fn tell_incomplete(&mut self, lack: Incomplete) {
        self.ready.wake();
        let number = lack.generation.get();
        let error = Error::new(ErrorKind::IncompleteGeneration, number, self.offset);
        self.mode.tell(Note::Incomplete(lack), error);
    }

    /// An event names what the tables do not have.
    #[cold]
    fn scan_and_tell(&mut self, input: &Pieces<'_>) -> Result<(), Error> {
        let scanned = self.scan(input);
        let (strings, stacks) = scanned.or_else(|error| self.fail(error))?;
        let Some(generation) = GenerationId::new(self.number) else {
            return Ok(());
        };
        self.mode.damaged = true;
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
    fn lose_batch(
        &mut self,
        input: &Pieces<'_>,
        at: u32,
        mut error: Error,
    ) -> Result<Option<Time>, Error> {
        self.ready.wake();
        self.mode.damaged = true;
        loop {
            let Some(cursor) = self.cursors.get_mut(num::index(at)) else {
                return Ok(None);
            };
            let (slot, thread) = (cursor.thread_slot, cursor.thread);
            let from = input.offset(cursor.place());
            let to = input.offset(cursor.skip_batch());
            let before = cursor.time;
            let advanced = cursor.advance(input, &self.batches, &self.frequency);
            let after = cursor.time;
            let generation = GenerationId::new(self.number);
            let known = self.mode.torn.binary_search(&from).is_ok();
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

    // The order.

    /// From now on, events come next only if they are hardly later than the earliest.
    fn bound(&mut self, input: &Pieces<'_>) -> Result<(), Error> {
        self.mode.bounded = true;
        self.mode.damaged = true;
        while let Some(at) = self.parking.earliest(&self.cursors) {
            if !self.parking.release(at, &self.cursors) {
                break;
            }
            let Some(cursor) = self.cursors.get(num::index(at)) else {
                break;
            };
            let (time, place) = (cursor.time, cursor.place());
            let back = self.frontier.insert(Next { time, cursor: at });
            back.map_err(|full| {
                let kind = ErrorKind::TableFull(Table::Threads);
                input.error(kind, full.capacity, place)
            })?;
        }
        Ok(())
    }

    /// What the model said of the event at `at` in the frontier, if it refused that.
    fn refused_at(&self, at: usize) -> Option<Fault> {
        let cursor = self.frontier.get(at)?.cursor;
        let (refused, fault) = self.mode.refused?;
        if refused != cursor {
            return None;
        }
        // The goroutine may yet end, on a thread whose clock is behind.
        let ty = self.cursors.get(num::index(cursor))?.raw.event.ty;
        let waits = fault.kind == ErrorKind::GoroutineExists && ty == EventType::GO_CREATE_SYSCALL;
        (!waits).then_some(fault)
    }

    /// Forces the event at `at` in the frontier, if it was refused and no other event can change that.
    fn settle_refused(
        &mut self,
        input: &Pieces<'_>,
        at: usize,
        earliest: bool,
    ) -> Option<Result<bool, Error>> {
        let fault = self.refused_at(at)?;
        let certain = is_certain(fault.kind);
        if !certain && !earliest {
            return None;
        }
        if !certain {
            // Something is missing that nothing told of.
            if self.mode.rehearsal {
                self.mode.failed = true;
                let error = input.error(fault.kind, fault.value, self.place);
                return Some(self.fail(error));
            }
            if let Err(error) = self.bound(input) {
                return Some(self.fail(error));
            }
            return Some(self.wait_bounded(input));
        }
        Some(self.begin_forcing(input, at))
    }

    /// The earliest event must wait, in a generation of which something is missing: tries those that are
    /// hardly later, and then forces it.
    fn wait_bounded(&mut self, input: &Pieces<'_>) -> Result<bool, Error> {
        self.ready.wake();
        let Some(first) = self.frontier.get(0) else {
            return Ok(false);
        };
        let limit = Time(first.time.0.saturating_add(WINDOW));
        let mut candidates = [(Time(i64::MAX), usize::MAX); CANDIDATES];
        let mut count = 0usize;
        self.frontier.up_to(limit, |at, next| {
            if let Some(slot) = candidates.get_mut(count) {
                *slot = (next.time, at);
                count = count.saturating_add(1);
            }
            count < CANDIDATES
        });
        let found = candidates.get_mut(..count).unwrap_or(&mut []);
        found.sort_unstable();
        for (_, at) in found.iter().filter(|(_, at)| *at != 0) {
            if self.try_advance(input, *at)? {
                return Ok(true);
            }
            if self
                .refused_at(*at)
                .is_some_and(|fault| is_certain(fault.kind))
            {
                return self.begin_forcing(input, *at);
            }
        }
        // What is said of the first is what its causes follow from.
        if self.try_advance(input, 0)? {
            return Ok(true);
        }
        self.begin_forcing(input, 0)
    }

    /// Makes the event at `at` in the frontier come next.
    fn begin_forcing(&mut self, input: &Pieces<'_>, at: usize) -> Result<bool, Error> {
        self.ready.wake();
        let Some(next) = self.frontier.get(at) else {
            return Ok(false);
        };
        let place = self
            .cursors
            .get(num::index(next.cursor))
            .map_or(self.place, Cursor::place);
        let error = match self
            .mode
            .refused
            .filter(|(cursor, _)| *cursor == next.cursor)
        {
            Some((_, fault)) => input.error(fault.kind, fault.value, place),
            None => input.error(ErrorKind::NoProgress, num::wide(self.frontier.len()), place),
        };
        // A region that is closed late is no reason to doubt the rest.
        self.mode.damaged |= !is_annotation(error.kind());
        self.mode.made.begin();
        self.mode.forcing = Some(Forcing {
            at,
            cursor: next.cursor,
            stops: NIL,
            error,
            steps: 0,
        });
        self.give_due(input)
    }

    /// Goes a step on with what is being forced; says whether that gives something.
    fn force(&mut self, input: &Pieces<'_>) -> Result<bool, Error> {
        let Some(mut forcing) = self.mode.forcing.take() else {
            return Ok(false);
        };
        let stops = forcing.stops != NIL;
        if !stops {
            self.mode.refused = None;
            if self.offer(input, forcing.cursor)? {
                self.moved = num::slot(forcing.at);
                return Ok(true);
            }
        }
        let again = forcing.steps > 0;
        forcing.steps = forcing.steps.saturating_add(1);
        let cause = match forcing.steps > MOST_CAUSES {
            true => Cause::None,
            false => self.cause(input, &forcing, again)?,
        };
        let (event, slot) = match cause {
            Cause::Event(event, slot) => (event, slot),
            Cause::RegionEnd(task, name) => {
                let id = self.tables.add_string_after(name).map_err(|full| {
                    let kind = ErrorKind::TableFull(Table::Strings);
                    Error::new(kind, full.capacity, self.start)
                })?;
                let event = TimedEvent::new(EventType::USER_REGION_END, 0, [task, id, 0, 0]);
                (event, self.slot_of(forcing.cursor))
            }
            Cause::Corrected => {
                self.mode.forcing = Some(forcing);
                return Ok(false);
            }
            Cause::None if stops => return Ok(false),
            Cause::None => return Ok(self.leave_out(&forcing)),
        };
        if self.make_up(input, event, slot, &forcing) {
            self.mode.forcing = Some(forcing);
            return Ok(true);
        }
        // It cannot be made up either.
        if stops {
            return Ok(false);
        }
        Ok(self.leave_out(&forcing))
    }

    fn slot_of(&self, cursor: u32) -> u32 {
        let cursor = self.cursors.get(num::index(cursor));
        cursor.map_or(NIL, |cursor| cursor.thread_slot)
    }

    const fn epoch(&self) -> Epoch {
        Epoch {
            generation: self.number,
            first: self.number == self.first,
        }
    }

    fn cause(
        &mut self,
        input: &Pieces<'_>,
        forcing: &Forcing,
        again: bool,
    ) -> Result<Cause, Error> {
        let epoch = self.epoch();
        let made = &mut self.mode.made;
        let cause = match self.cursors.get(num::index(forcing.cursor)) {
            Some(cursor) => {
                let (raw, slot) = (&cursor.raw, cursor.thread_slot);
                let scheduler = &mut self.scheduler;
                scheduler.cause(raw, slot, epoch, again, made, &self.tables, input)
            }
            None => self.scheduler.before_stopped(forcing.stops, epoch, made),
        };
        // Only a table that is full.
        cause.or_else(|fault| {
            let error = input.error(fault.kind, fault.value, self.place);
            self.fail(error)
        })
    }

    /// Gives an event that the trace does not have; says whether the model lets it pass.
    fn make_up(
        &mut self,
        input: &Pieces<'_>,
        event: TimedEvent,
        slot: u32,
        forcing: &Forcing,
    ) -> bool {
        let epoch = self.epoch();
        let cursor = self.cursors.get(num::index(forcing.cursor));
        let (time, place) = match cursor {
            Some(cursor) => (cursor.time, cursor.place()),
            None => (self.last_time, input.place(forcing.error.offset().0)),
        };
        let mut raw = Raw {
            time: after(self.last_time, time),
            thread: self.scheduler.thread_id(slot),
            event,
            piece: place.piece,
            at: place.at,
            ..Raw::default()
        };
        let passed = self.scheduler.advance::<false>(
            &mut raw,
            slot,
            &self.tables,
            input,
            epoch,
            &mut Nowhere,
        );
        if !matches!(passed, Ok(Verdict::Pass)) {
            return false;
        }
        self.last_time = raw.time;
        self.mode.raw = raw;
        self.mode.found = Found::MadeUp(forcing.error);
        true
    }

    /// Gives an event that nothing makes possible.
    fn leave_out(&mut self, forcing: &Forcing) -> bool {
        if let Some(cursor) = self.cursors.get(num::index(forcing.cursor)) {
            self.mode.raw = cursor.raw;
            self.mode.raw.time = cursor.time;
        }
        self.mode.found = Found::LeftOut(forcing.error);
        self.moved = num::slot(forcing.at);
        true
    }

    /// Whether all events of the generation find their turn without any being forced: tried with a copy
    /// of what is known.
    #[cold]
    fn rehearse(&mut self, input: &Pieces<'_>) -> Result<bool, Error> {
        let start = self.start;
        let full =
            |full: Full| Error::new(ErrorKind::TableFull(Table::Threads), full.capacity, start);
        let mut copy: Box<Engine<S, Lenient>> =
            Box::new(Engine::new(self.version, self.place, self.offset));
        copy.scheduler = self.scheduler.copied().map_err(full)?;
        copy.cursors = crate::tables::copied(&self.cursors).map_err(full)?;
        copy.frontier = self.frontier.copied().map_err(full)?;
        copy.parking = self.parking.copied().map_err(full)?;
        copy.frequency = self.frequency;
        copy.samples_given = self.tables.samples().len();
        (copy.number, copy.first, copy.start) = (self.number, self.first, self.start);
        copy.last_time = self.last_time;
        copy.mode.made = self.mode.made;
        copy.mode.rehearsal = true;
        copy.mode.vetted = true;
        copy.mode.damaged = self.mode.damaged;
        copy.mode.torn = mem::take(&mut self.mode.torn);
        copy.mode.names = mem::take(&mut self.mode.names);
        // These do not change, but for placeholders.
        copy.mode.scanned = self.mode.scanned;
        mem::swap(&mut copy.tables, &mut self.tables);
        mem::swap(&mut copy.batches, &mut self.batches);
        mem::swap(&mut copy.by_thread, &mut self.by_thread);
        let result = loop {
            copy.mode.found = Found::Event;
            match copy.step(input, true) {
                Ok(true) => {}
                Ok(false) => break Ok(true),
                Err(_) if copy.mode.failed => break Ok(false),
                Err(error) => break Err(error),
            }
        };
        mem::swap(&mut copy.tables, &mut self.tables);
        mem::swap(&mut copy.batches, &mut self.batches);
        mem::swap(&mut copy.by_thread, &mut self.by_thread);
        self.mode.names = mem::take(&mut copy.mode.names);
        self.mode.torn = mem::take(&mut copy.mode.torn);
        self.mode.scanned = copy.mode.scanned;
        if let Some(lacking) = copy.mode.lacking.take() {
            self.tell_incomplete(lacking);
        }
        result
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
