//! The events of a trace on several threads.
//!
//! A [`Reader`](super::Reader) reads on one thread. Where a trace has many generations and it is enough
//! to look at each event once, a [`Parallel`] reader looks at several generations at a time: the events
//! of each are folded into a value of its own, and the values are handed over in the order of the
//! generations. What is given to the closures is exactly what a `Reader` gives: the same events, with
//! the same times, and the same error at the same event.
//!
//! How: each generation says what every goroutine and proc was doing when it began, so that it can be
//! ordered before the ones ahead of it have been. When those have been, their final state is compared
//! with what was assumed. Where it differs, as in traces that are damaged, the generation is read again
//! from the right state, and what was folded from the wrong one is thrown away.
//!
//! ```
//! use gotrace::{EventKind, Trace, reader::Parallel};
//! use std::ops::ControlFlow;
//!
//! let bytes = include_bytes!("../../../tests/fixtures/http-go1.27.trace");
//! let trace = Trace::new(bytes)?;
//! let mut tasks = 0;
//! let end = Parallel::new(&trace).fold(
//!     || 0,
//!     |tasks, event| {
//!         *tasks += u32::from(event.kind() == EventKind::TaskBegin);
//!         ControlFlow::Continue(())
//!     },
//!     |of_one| {
//!         tasks += of_one;
//!         ControlFlow::Continue(())
//!     },
//! );
//! assert!(end.is_ok() && tasks > 0);
//! # Ok::<(), gotrace::Error>(())
//! ```

mod board;

use super::engine::Engine;
use super::engine::assume::{Carried, Counted, Survey};
use super::engine::old;
use super::explain::Explanation;
use crate::Growing;
use crate::error::Error;
use crate::event::Event;
use crate::generation::{Ending, Trace};
use crate::ids::Offset;
use crate::num;
use crate::order::{Assumption, Before};
use crate::time::Time;
use crate::wire::{HEADER_LEN, Pieces, Version};
use alloc::boxed::Box;
use alloc::vec::Vec;
use board::{Board, Job};
use core::fmt;
use core::num::NonZero;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Reads the events of a trace in memory on several threads.
///
/// Memory: tables of as many generations as may be [in flight](Parallel::with_generations_in_flight),
/// each as large as those of a [`Reader`](super::Reader), and what the closures make of as many.
#[derive(Clone, Copy)]
pub struct Parallel<'t> {
    trace: Trace<'t>,
    threads: usize,
    in_flight: Option<usize>,
}

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// How many generations were read. In a trace of Go 1.26 or later several may have one number.
    pub generations: u64,
    /// How many of them were read again, because they did not begin as was assumed.
    pub read_again: u64,
    /// How the trace ends; `None` if a closure ended the reading before that.
    pub ending: Option<Ending>,
}

/// Why the reading ended before the trace did.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Failed<'t> {
    /// What is wrong with the trace.
    pub error: Error,
    /// What the error is about: see [`Reader::explain`](super::Reader::explain).
    pub explanation: Option<Explanation<'t>>,
    /// How many generations were read, the damaged one included.
    pub generations: u64,
}

impl<'t> Parallel<'t> {
    /// A reader of all events of a trace, on as many threads as there are processors.
    pub fn new(trace: &Trace<'t>) -> Parallel<'t> {
        Parallel {
            trace: *trace,
            threads: thread::available_parallelism().map_or(1, NonZero::get),
            in_flight: None,
        }
    }

    /// The same on so many threads, of which the one that asks is one. At least one is used, and no
    /// more than there are generations.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Parallel<'t> {
        Parallel { threads, ..self }
    }

    /// How many generations may be looked at and not handed over at a time: at least one. By default
    /// one more than there are threads.
    #[must_use]
    pub fn with_generations_in_flight(self, generations: usize) -> Parallel<'t> {
        Parallel {
            in_flight: Some(generations),
            ..self
        }
    }

    /// Folds the events of each generation, and hands the results over in order.
    ///
    /// For each generation `new` makes a value, and `each` is given its events, in order, with that
    /// value; `done` is given the values in the order of the generations, while later ones are being
    /// read. `each` may be given events of a generation twice, the second time with a new value: only
    /// one of the values comes to `done`. The last value has the events before an error, if there is
    /// one; a trace of before Go 1.22 has one value.
    ///
    /// Either closure ends the reading early with [`ControlFlow::Break`]: no event after that one, or
    /// no value after that one, comes to `done`. If one panics, all threads end, and the panic goes on
    /// in the thread that called this.
    ///
    /// Errors: those of [`Reader::next`](super::Reader::next).
    pub fn fold<A, N, E, D>(&self, new: N, each: E, done: D) -> Result<Outcome, Failed<'t>>
    where
        A: Send,
        N: Fn() -> A + Sync,
        E: Fn(&mut A, &Event<'_, 't>) -> ControlFlow<()> + Sync,
        D: FnMut(A) -> ControlFlow<()> + Send,
    {
        let mut starts = Vec::new();
        let mut generations = self.trace.generations();
        // What is wrong with the rest is found out by what reads the last one before it.
        while let Ok(Some(generation)) = generations.next() {
            starts.push(generation.start);
        }
        let threads = self.threads.min(starts.len()).max(1);
        if threads == 1 || starts.first() != Some(&FIRST) {
            starts = Vec::from([FIRST]);
        }
        let in_flight = self.in_flight.unwrap_or(threads.saturating_add(1));
        let reading = Reading {
            input: old::input(self.trace.input, self.trace.version()),
            version: self.trace.version(),
            board: Board::new(starts.len(), in_flight),
            starts,
            stopped: AtomicBool::new(false),
            links: Mutex::new(Links {
                before: Before::new(),
                last_time: Time(0),
                syncs: 0,
                first: 0,
                number: 0,
                is_known: true,
            }),
            sequence: Mutex::new(Sequence {
                carried: None,
                done,
                outcome: Outcome {
                    generations: 0,
                    read_again: 0,
                    ending: None,
                },
                failed: None,
            }),
            new,
            each,
        };
        if threads == 1 {
            reading.work();
        } else {
            thread::scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(|| reading.work());
                }
                reading.work();
            });
        }
        let sequence = reading.sequence.into_inner();
        let sequence = sequence.unwrap_or_else(PoisonError::into_inner);
        match sequence.failed {
            Some(failed) => Err(failed),
            None => Ok(sequence.outcome),
        }
    }
}

const FIRST: Offset = Offset(num::wide(HEADER_LEN));

/// How many events are read between looks at whether other threads have stopped.
const PATIENCE: u32 = 4096;

/// What all threads share.
struct Reading<'t, A, N, E, D> {
    input: Pieces<'t>,
    version: Version,
    starts: Vec<Offset>,
    board: Board<Box<Surveyed>, Box<Ordered<'t, A>>>,
    stopped: AtomicBool,
    links: Mutex<Links>,
    sequence: Mutex<Sequence<'t, D>>,
    new: N,
    each: E,
}

/// What is handed on from survey to survey.
struct Links {
    before: Before,
    last_time: Time,
    syncs: u64,
    first: u64,
    number: u64,
    /// The generations so far could be surveyed.
    is_known: bool,
}

/// What is handed on from generation to generation.
struct Sequence<'t, D> {
    carried: Option<Carried<Growing>>,
    done: D,
    outcome: Outcome,
    failed: Option<Failed<'t>>,
}

/// A generation that was surveyed.
struct Surveyed {
    /// With the generation loaded.
    engine: Engine<Growing>,
    /// None if it could not be.
    survey: Option<Survey>,
    start: Start,
}

/// What is assumed of a generation's start.
enum Start {
    /// Nothing: it has to wait for the one before.
    Unknown,
    /// It is the first one.
    First,
    Assumed(Assumption, Counted),
}

/// A generation that was ordered from a state that was assumed.
struct Ordered<'t, A> {
    survey: Option<Survey>,
    start: Start,
    read: Option<Read<'t, A>>,
}

/// What was read of one generation, or of the rest of a trace.
struct Read<'t, A> {
    value: A,
    engine: Engine<Growing>,
    failed: Option<(Error, Option<Explanation<'t>>)>,
    /// The closure has enough.
    broke: bool,
}

/// Ends all threads when one panics.
struct EndsAll<'r, S, O>(&'r Board<S, O>, &'r AtomicBool);

impl<S, O> Drop for EndsAll<'_, S, O> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.1.store(true, Ordering::Relaxed);
            self.0.stop();
        }
    }
}

impl<'t, A, N, E, D> Reading<'t, A, N, E, D>
where
    A: Send,
    N: Fn() -> A + Sync,
    E: Fn(&mut A, &Event<'_, 't>) -> ControlFlow<()> + Sync,
    D: FnMut(A) -> ControlFlow<()> + Send,
{
    /// Does jobs until there are none.
    fn work(&self) {
        let _ends_all = EndsAll(&self.board, &self.stopped);
        while let Some(job) = self.board.next() {
            match job {
                Job::Survey(at) => {
                    let surveyed = self.survey(at);
                    let link = |surveyed: &mut Box<Surveyed>| self.link(surveyed);
                    self.board.surveyed(at, Box::new(surveyed), link);
                }
                Job::Order(at, surveyed) => {
                    let ordered = self.order(*surveyed);
                    self.board.ordered(at, Box::new(ordered));
                }
                Job::Confirm(at, ordered) => {
                    if self.confirm(at, *ordered).is_break() {
                        self.stopped.store(true, Ordering::Relaxed);
                        self.board.stop();
                        return;
                    }
                    self.board.confirmed();
                }
            }
        }
    }

    /// Where a generation ends if the next one begins there.
    fn end(&self, at: usize) -> Option<Offset> {
        self.starts.get(at.wrapping_add(1)).copied()
    }

    fn engine(&self, at: usize, single: bool) -> Engine<Growing> {
        let start = self.starts.get(at).copied().unwrap_or(FIRST);
        let place = self.input.place(start.0);
        Engine::of_generation(self.version, place, start, single)
    }

    fn survey(&self, at: usize) -> Surveyed {
        let mut engine = self.engine(at, self.end(at).is_some());
        // One generation alone is read as it is by a reader.
        let survey = match self.starts.len() {
            1 => None,
            _ => engine.survey(&self.input).unwrap_or(None),
        };
        let as_found = |survey: &Survey| self.end(at).is_none_or(|end| end == survey.end);
        Surveyed {
            engine,
            survey: survey.filter(as_found),
            start: Start::Unknown,
        }
    }

    /// Hands on what is known from the generations before, whose surveys were handed over already.
    fn link(&self, surveyed: &mut Surveyed) {
        let links = self.links.lock();
        let links = &mut *links.unwrap_or_else(PoisonError::into_inner);
        let Some(survey) = surveyed.survey.as_ref().filter(|_| links.is_known) else {
            links.is_known = false;
            return;
        };
        let syncs = links.syncs;
        if syncs == 0 {
            surveyed.start = Start::First;
        } else if survey.has_frequency && survey.number != links.number {
            let counts = Counted {
                last_time: links.last_time,
                syncs,
                first: links.first,
            };
            let assumption = links.before.assumption(&survey.announced);
            surveyed.start = Start::Assumed(assumption, counts);
        }
        links.before.pass(&survey.announced);
        links.last_time = links.last_time.max(survey.latest);
        links.number = survey.number;
        links.syncs = syncs.wrapping_add(1);
        if links.first == 0 && survey.has_events {
            links.first = survey.number;
        }
    }

    /// Orders a generation from the state that is assumed, if any is.
    fn order(&self, surveyed: Surveyed) -> Ordered<'t, A> {
        let Surveyed {
            mut engine,
            survey,
            start,
        } = surveyed;
        let begun = match (&survey, &start) {
            (Some(survey), Start::First) => engine.begin_from(&self.input, survey, None),
            (Some(survey), Start::Assumed(assumption, counts)) => {
                engine.begin_from(&self.input, survey, Some((assumption, counts)))
            }
            _ => {
                return Ordered {
                    survey,
                    start,
                    read: None,
                };
            }
        };
        let read = begun.ok().map(|()| self.read(engine));
        Ordered {
            survey,
            start,
            read,
        }
    }

    /// Reads what an engine has, into a value of its own.
    fn read(&self, mut engine: Engine<Growing>) -> Read<'t, A> {
        let mut value = (self.new)();
        let (mut failed, mut broke) = (None, false);
        let mut patience = PATIENCE;
        loop {
            match engine.step(&self.input, true) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    failed = Some((error, engine.explain(&self.input)));
                    break;
                }
            }
            if (self.each)(&mut value, &engine.event(self.input)).is_break() {
                broke = true;
                break;
            }
            patience = patience.wrapping_sub(1);
            if patience == 0 {
                patience = PATIENCE;
                if self.stopped.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
        Read {
            value,
            engine,
            failed,
            broke,
        }
    }

    /// Hands over what was read of a generation, if it began as was assumed; else reads it again.
    fn confirm(&self, at: usize, ordered: Ordered<'t, A>) -> ControlFlow<()> {
        let sequence = self.sequence.lock();
        let mut sequence = sequence.unwrap_or_else(PoisonError::into_inner);
        let sequence = &mut *sequence;
        let ends = ordered.survey.is_some() && self.end(at).is_some();
        let (read, goes_on) = match self.confirmed(ordered, sequence.carried.as_ref()) {
            Some(read) => (read, ends),
            None => {
                let mut engine = self.engine(at, ends);
                if let Some(carried) = sequence.carried.take() {
                    engine.carry_on(carried);
                    sequence.outcome.read_again = sequence.outcome.read_again.saturating_add(1);
                }
                (self.read(engine), ends)
            }
        };
        let read_now = read.engine.read;
        let generations = sequence.outcome.generations.saturating_add(read_now);
        sequence.outcome.generations = generations;
        let enough = (sequence.done)(read.value);
        if let Some((error, explanation)) = read.failed {
            sequence.failed = Some(Failed {
                error,
                explanation,
                generations,
            });
            return ControlFlow::Break(());
        }
        if read.broke || enough.is_break() {
            return ControlFlow::Break(());
        }
        if !goes_on {
            sequence.outcome.ending = Some(read.engine.ending(None));
            return ControlFlow::Break(());
        }
        sequence.carried = Some(read.engine.into_carried());
        ControlFlow::Continue(())
    }

    /// What was read, if the generation began as was assumed: from now on as if it had been read from
    /// what the one before handed over.
    fn confirmed(
        &self,
        ordered: Ordered<'t, A>,
        carried: Option<&Carried<Growing>>,
    ) -> Option<Read<'t, A>> {
        let mut read = ordered.read?;
        let survey = ordered.survey?;
        let (assumption, counts) = match ordered.start {
            Start::Unknown => return None,
            Start::First => return Some(read),
            Start::Assumed(assumption, counts) => (assumption, counts),
        };
        // What is wrong may be what was assumed.
        let carried = carried.filter(|_| read.failed.is_none())?;
        let now = carried.counts;
        let begins = read.engine.begins(&survey);
        let time = now.last_time == counts.last_time
            || now.last_time < begins && counts.last_time < begins;
        if !time
            || (now.syncs, now.first) != (counts.syncs, counts.first)
            || carried.number == survey.number
            || !carried
                .scheduler
                .is_as_assumed(&survey.announced, &assumption)
        {
            return None;
        }
        let same = read.engine.carry(&carried.scheduler, &survey, &self.input);
        same.unwrap_or(false).then_some(read)
    }
}

impl fmt::Debug for Parallel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parallel")
            .field("threads", &self.threads)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

format_as_debug! {
    [] Parallel<'_>;
    [] Outcome;
    [] Failed<'_>;
}
