//! Lenient reading: what the engine does where a strict one ends.

mod load;
mod order;

use super::mode::{Hooks, Mode};
use super::{Engine, Phase};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Raw};
#[cfg(feature = "std")]
use crate::generation::Gathered;
use crate::generation::{Finder, Part, Tables, Tail};
use crate::ids::{GenerationId, Offset};
use crate::order::{Epoch, Fault, Further, Made, Scheduler, Verdict};
use crate::reader::lenient::{Gap, Incomplete, Item, Lenient, Losses, NewTrace, RegionClosing};
use crate::reader::merge::Ready;
use crate::tables::{NIL, Storage};
use crate::time::{Time, Timestamp};
use crate::wire::{EventType, Pieces, Span, TimedEvent};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

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
    /// The same of the end of a region, of which [`State::closing`] says more.
    RegionClosed(Error),
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
    /// The region closed last.
    closing: Option<RegionClosing>,
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
    /// This is a rehearsal, and it failed.
    rehearsal: bool,
    failed: bool,
    /// What it found to be missing.
    lacking: Option<Incomplete>,
    /// The time of the last batch found, and whether a gap followed.
    last_batch: Option<(Timestamp, bool)>,
    /// How many events were given that are none of a thread: samples, and all of other traces before.
    others_given: u64,
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
            closing: None,
            made: Made::NONE,
            names: Vec::new(),
            torn: Vec::new(),
            refused: None,
            bounded: false,
            vetted: false,
            scanned: false,
            rehearsal: false,
            failed: false,
            lacking: None,
            last_batch: None,
            others_given: 0,
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
        if unknown {
            return engine.name_missing(input, at, fault);
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
        scheduler.advance::<true, true>(raw, slot, tables, input, epoch, further)
    }

    fn pending<S: Storage>(
        engine: &mut Engine<S, Self>,
        input: &Pieces<'_>,
    ) -> Result<bool, Error> {
        engine.give_due(input)
    }

    fn is_pending<S: Storage>(engine: &Engine<S, Self>) -> bool {
        let mode = &engine.mode;
        mode.forcing.is_some() || !mode.due.is_empty() || mode.planned.is_some()
    }

    fn awaits_input<S: Storage>(engine: &Engine<S, Self>, last: bool) -> bool {
        let reading = matches!(engine.phase, Phase::Reading);
        reading && !last && engine.mode.planned.is_none() && engine.version.has_generations()
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
    /// The input with the names that the trace lacks.
    #[inline(always)]
    pub(in crate::reader) const fn with_names<'a>(&'a self, input: Pieces<'a>) -> Pieces<'a> {
        input.with_names(self.mode.names.as_slice())
    }

    /// The item that [`step_to_item`](Engine::step_to_item) found.
    pub(in crate::reader) fn item<'a>(&'a self, input: Pieces<'a>) -> Item<'a> {
        let input = self.with_names(input);
        let other = || Event {
            raw: &self.mode.raw,
            tables: &self.tables,
            input,
        };
        match self.mode.found {
            Found::Event => Item::Event(self.event(input)),
            Found::MadeUp(error) => Item::MadeUp(other(), error),
            Found::RegionClosed(error) => match &self.mode.closing {
                Some(closing) => Item::RegionClosed(other(), closing),
                None => Item::MadeUp(other(), error),
            },
            Found::LeftOut(error) => Item::LeftOut(other(), error),
            Found::Note(Note::Gap(gap)) => Item::Gap(gap),
            Found::Note(Note::Incomplete(lack)) => Item::Incomplete(lack),
            Found::Note(Note::NewTrace(new)) => Item::NewTrace(new),
        }
    }

    /// Finds the next item if it is the record that most often comes next: says whether it is an event
    /// that [`event`](Engine::event) gives.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(in crate::reader) fn step_to_event(&mut self, input: &Pieces<'_>) -> Result<bool, Error> {
        let found = self.step_quickly(input)?;
        if found {
            let events = &mut self.mode.losses.events;
            *events = events.wrapping_add(1);
        }
        Ok(found)
    }

    /// Finds the next item, which is none that [`step_to_event`](Engine::step_to_event) found; says
    /// whether there is one.
    #[cold]
    #[inline(never)]
    pub(in crate::reader) fn step_to_item(
        &mut self,
        input: &Pieces<'_>,
        last: bool,
    ) -> Result<bool, Error> {
        self.mode.found = Found::Event;
        let found = self.step_slowly(input, last)?;
        if let Found::Event = self.mode.found {
            let events = &mut self.mode.losses.events;
            *events = events.wrapping_add(u64::from(found));
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
            Found::MadeUp(_) | Found::RegionClosed(_) => one_more(&mut losses.made_up),
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
}
