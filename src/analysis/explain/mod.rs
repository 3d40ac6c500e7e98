//! Why something took as long as it did: a task, a region, or a goroutine's life.
//!
//! The trace is read twice. In the first pass a [`Finder`] finds what is to be explained: the task
//! with an id, the slowest regions of a type. In the second an [`Explainer`] collects what every
//! goroutine did meanwhile, and makes an [`Explanation`] of each:
//!
//! - which goroutines worked for it, when, and what they spent that time on: running, waiting for a
//!   processor, waiting for each other or for the outside, in system calls;
//! - where they waited, with the call stack, how often, how long, and who woke them;
//! - the critical path: for each moment from the start to the end what was being done then, or what was
//!   being waited for. Where a goroutine waited for another that then woke it, the path shows what that
//!   other one was doing meanwhile, and where that one waited, who it waited for.
//!
//! A goroutine works for a task while it is in a region of it; from where it begins it until it ends it
//! there, or until the last that it does for it (a region, a log message, a task that is part of it); and
//! from its creation on if it was created by one that worked for it. What works for a task that is part
//! of the task works for both.
//!
//! ```
//! use gotrace::Trace;
//! use gotrace::analysis::explain::{Explainer, Finder, Subject};
//!
//! let bytes = include_bytes!("../../../tests/fixtures/http-go1.27.trace");
//! let trace = Trace::new(bytes)?;
//! let mut finder = Finder::new(Subject::Tasks(Some("request".into())), 1);
//! let mut reader = trace.reader();
//! while let Some(event) = reader.next()? {
//!     finder.add(&event);
//! }
//! let slowest = finder.finish();
//!
//! let mut explainer = Explainer::new(slowest);
//! let mut reader = trace.reader();
//! while let Some(event) = reader.next()? {
//!     explainer.add(&event);
//!     if explainer.is_done() {
//!         break;
//!     }
//! }
//! let explained = explainer.finish();
//! let slowest = &explained.list[0];
//! let path: i64 = slowest.path.iter().map(|step| step.nanoseconds()).sum();
//! assert_eq!(path, slowest.found.duration());
//! # Ok::<(), gotrace::Error>(())
//! ```

mod collect;
mod find;
mod path;
mod result;
#[cfg(test)]
mod tests;

pub use find::{Finder, Found, Subject, What};

use super::names::{NameId, Names, StackRef};
use super::states::States;
use crate::event::{Details, Event, EventKind, GoState};
use crate::ids::GoId;
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use collect::Collector;
use path::LifeId;

/// What time was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spent {
    /// The state; `Undetermined` if it is not known, or if nobody was at it.
    pub state: GoState,
    /// Why, in Go's words, of what waits; else empty.
    pub reason: NameId,
}

/// Nanoseconds by what they were spent on.
pub type Times = BTreeMap<Spent, i64>;

/// What was found, each explained.
#[derive(Debug)]
pub struct Explained {
    /// Explanations, in the order of what was given to [`Explainer::new`].
    pub list: Vec<Explanation>,
    /// The names and stacks in them.
    pub names: Names,
}

/// Why something took as long as it did.
#[derive(Debug)]
pub struct Explanation {
    /// What is explained.
    pub found: Found,
    /// Who worked for it, by how long.
    pub workers: Vec<Worker>,
    /// What the time of all workers was spent on: more than the duration if several worked at a time.
    pub times: Times,
    /// Where workers waited or were in system calls, by how long in sum.
    pub waits: Vec<Wait>,
    /// The critical path, in order of time: without gaps or overlaps from the start to the end.
    pub path: Vec<Step>,
    /// What the time of the path was spent on: in sum the duration.
    pub path_times: Times,
    /// Of a goroutine: who created it, if the trace shows that.
    pub creator: Option<Creator>,
}

/// Who created a goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Creator {
    /// The goroutine.
    pub id: GoId,
    /// The function that it started with.
    pub name: NameId,
    /// Where it did so.
    pub stack: Option<StackRef>,
}

/// A goroutine that worked for what is explained.
#[derive(Debug)]
pub struct Worker {
    /// The goroutine.
    pub id: GoId,
    /// The function it started with; empty if it is not known.
    pub name: NameId,
    /// When it worked for it, in order and without overlaps.
    pub at_work: Vec<(Time, Time)>,
    /// What it spent that time on.
    pub times: Times,
    /// Its states during that time, in order.
    pub stays: Vec<Part>,
}

impl Worker {
    /// How long it worked for it, in nanoseconds.
    pub fn nanoseconds(&self) -> i64 {
        total(&self.times)
    }
}

/// A part of the time, which a goroutine was in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// From when.
    pub from: Time,
    /// Until when.
    pub to: Time,
    /// The state and the reason.
    pub spent: Spent,
    /// Where it waits, if the trace says it.
    pub stack: Option<StackRef>,
    /// Who ended it, if it was another goroutine. Nobody does where what is waited for comes from
    /// outside, as from the network or a timer.
    pub waker: Option<GoId>,
}

/// A place where goroutines waited, or were in a system call.
#[derive(Clone, Debug)]
pub struct Wait {
    /// The state and the reason.
    pub spent: Spent,
    /// Where.
    pub stack: Option<StackRef>,
    /// How often.
    pub count: u64,
    /// How long in sum, in nanoseconds.
    pub total: i64,
    /// The longest, in nanoseconds.
    pub longest: i64,
    /// Who waited the longest in sum.
    pub who: GoId,
    /// The name of that goroutine.
    pub name: NameId,
    /// Who ended most of it, if other goroutines did, and for how many nanoseconds of it.
    pub waker: Option<(GoId, NameId, i64)>,
}

/// A part of the critical path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// From when.
    pub from: Time,
    /// Until when.
    pub to: Time,
    /// Whose state this is; `None` if nobody was at it, or the trace does not say.
    pub goroutine: Option<GoId>,
    /// The function it started with.
    pub name: NameId,
    /// Its state.
    pub state: GoState,
    /// Why, in Go's words, of one that waits.
    pub reason: NameId,
    /// Where it waits.
    pub stack: Option<StackRef>,
    /// 0 for who worked for it; 1 for who such a one waited for, and so on.
    pub depth: usize,
}

impl Step {
    /// How long, in nanoseconds.
    pub const fn nanoseconds(&self) -> i64 {
        self.to.since(self.from)
    }

    /// What it was spent on.
    pub const fn spent(&self) -> Spent {
        spent(self.state, self.reason)
    }
}

const fn spent(state: GoState, reason: NameId) -> Spent {
    let reason = match state {
        GoState::Waiting => reason,
        _ => NameId::EMPTY,
    };
    Spent { state, reason }
}

fn total(times: &Times) -> i64 {
    times
        .values()
        .fold(0, |sum, time| sum.saturating_add(*time))
}

fn count(times: &mut Times, spent: Spent, time: i64) {
    let sum = times.entry(spent).or_insert(0);
    *sum = sum.saturating_add(time);
}

/// Explains what a [`Finder`] found, in a second pass over the events.
///
/// Memory grows with what all goroutines do between the start and the end of what is explained: about
/// 48 bytes for each change of a state in that time.
#[derive(Debug)]
pub struct Explainer {
    states: States,
    collector: Collector,
    end: Time,
    done: bool,
}

impl Explainer {
    /// Will explain these.
    pub fn new(found: Vec<Found>) -> Explainer {
        let collector = Collector::new(found);
        Explainer {
            states: States::new(),
            end: collector.end(),
            collector,
            done: false,
        }
    }

    /// Takes in the next event: all that the [`Finder`] had, in the same order.
    #[inline]
    pub fn add(&mut self, event: &Event<'_, '_>) {
        self.states.add(event, &mut self.collector);
        if event.kind() == EventKind::Log {
            self.log(event);
        }
        self.done = event.time() > self.end;
    }

    /// Whether all that is explained is over: later events change nothing.
    pub const fn is_done(&self) -> bool {
        self.done
    }

    fn log(&mut self, event: &Event<'_, '_>) {
        let Details::Log(log) = event.details() else {
            return;
        };
        let goroutine = event.goroutine().and_then(|id| self.states.goroutine(id));
        if let (Some(task), Some(goroutine)) = (log.task, goroutine) {
            self.collector
                .touch(LifeId(goroutine.life), task, event.time());
        }
    }

    /// The explanations.
    pub fn finish(mut self) -> Explained {
        self.states.finish(&mut self.collector);
        let names = core::mem::take(self.states.names_mut());
        let Collector { cases, lives, .. } = self.collector;
        let explain = |case| result::explain(case, &lives, &names);
        Explained {
            list: cases.into_iter().map(explain).collect(),
            names,
        }
    }
}
