//! What everything was doing at a moment.
//!
//! ```
//! use gotrace::Trace;
//! use gotrace::analysis::at::At;
//! use gotrace::select::Filter;
//!
//! let bytes = include_bytes!("../../tests/fixtures/http-go1.27.trace");
//! let trace = Trace::new(bytes)?;
//! let moment = Filter::new().with_to("10ms".parse()?);
//! let (mut reader, mut at) = (trace.reader(), At::new(&moment));
//! while let Some(event) = reader.next()? {
//!     if at.add(&event)? {
//!         break;
//!     }
//! }
//! let moment = at.finish().ok_or("the trace is shorter")?;
//! assert!(moment.goroutines.len() > 100);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use super::names::Names;
use super::states::{Goroutine, OpenRange, OpenTask, Proc, States, Visitor};
use crate::event::{Event, EventKind};
use crate::select::{Filter, SelectError, Selection, Verdict, among, named};
use crate::string::GoStr;
use crate::time::Time;
use alloc::vec::Vec;

/// Finds out what everything was doing at a moment, in a pass over the events up to it and a little
/// beyond.
///
/// A generation of a trace mentions a goroutine when something happens to it, or at its end. What it
/// mentions first after the moment as having existed before was in that state at the moment already, so
/// the rest of the generation is read, too.
#[derive(Debug)]
pub struct At<'f> {
    selection: Selection<'f>,
    states: States,
    found: Option<Snapshot>,
}

/// The states of everything at a moment.
#[derive(Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The moment.
    pub time: Time,
    /// When the trace's first event happened.
    pub start: Time,
    /// All goroutines that lived, by id.
    pub goroutines: Vec<Goroutine>,
    /// All procs that were known, by id.
    pub procs: Vec<Proc>,
    /// What the runtime was doing.
    pub ranges: Vec<OpenRange>,
    /// The tasks that were open.
    pub tasks: Vec<OpenTask>,
    /// GOMAXPROCS, if it was known.
    pub gomaxprocs: Option<u64>,
    /// Bytes of heap objects, if they were known.
    pub heap: Option<u64>,
    /// The names and stacks in all this.
    pub names: Names,
}

impl Snapshot {
    /// Keeps only the goroutines and tasks that a filter selects: by goroutine, by the proc and thread on
    /// which it is or was last, by the type of the task that it works for, by the types of the regions
    /// that it is in, and by the functions on its stack. Times, kinds and conditions of the filter mean
    /// nothing here.
    pub fn retain(&mut self, filter: &Filter) {
        let names = &self.names;
        let tasks = &self.tasks;
        let is_wanted = |ty| filter.tasks.is_empty() || named(&filter.tasks, names.text(ty));
        let is_on_stack = |goroutine: &Goroutine| {
            let stack = goroutine.own_stack.or(goroutine.stack);
            let wanted = |func: GoStr<'_>| filter.stacks.iter().any(|part| func.contains(part));
            stack.is_some_and(|stack| names.frames(stack).any(|frame| wanted(frame.func)))
        };
        self.goroutines.retain(|goroutine| {
            let task = || tasks.iter().find(|task| Some(task.id) == goroutine.task());
            let mut regions = goroutine.regions.iter().map(|region| names.text(region.ty));
            among(&filter.goroutines, Some(goroutine.id))
                && among(&filter.procs, goroutine.proc)
                && among(&filter.threads, goroutine.thread)
                && (filter.tasks.is_empty() || task().is_some_and(|task| is_wanted(task.ty)))
                && (filter.regions.is_empty() || regions.any(|ty| named(&filter.regions, ty)))
                && (filter.stacks.is_empty() || is_on_stack(goroutine))
        });
        self.tasks
            .retain(|task| is_wanted(task.ty) && among(&filter.goroutines, task.goroutine));
    }
}

impl<'f> At<'f> {
    /// Looks for the moment that is [`with_to`](Filter::with_to) of this filter. Without one there is
    /// none to be found.
    pub fn new(moment: &'f Filter) -> At<'f> {
        At {
            // What is before it is selected; when it is reached, that is over.
            selection: moment.selection(),
            states: States::new(),
            found: None,
        }
    }

    /// Takes in the next event; says whether it needs no more of them.
    ///
    /// # Errors
    ///
    /// The moment is one on a wall clock or a monotonic clock, and the trace does not say what its
    /// clocks show.
    pub fn add(&mut self, event: &Event<'_, '_>) -> Result<bool, SelectError> {
        if self.found.is_none() && matches!(self.selection.sees(event)?, Verdict::Over) {
            self.take(event.time());
        }
        let Some(found) = &mut self.found else {
            self.states.add(event, &mut ());
            return Ok(false);
        };
        if event.kind() == EventKind::Sync {
            return Ok(true);
        }
        self.states.add(event, &mut Later { found });
        Ok(false)
    }

    /// The states of now, before this time.
    fn take(&mut self, time: Time) {
        let states = &self.states;
        let mut procs: Vec<Proc> = states.procs().copied().collect();
        procs.sort_by_key(|proc| proc.id);
        self.found = Some(Snapshot {
            time,
            start: states.first_time().unwrap_or(time),
            goroutines: states.goroutines().cloned().collect(),
            procs,
            ranges: states.ranges().copied().collect(),
            tasks: states.tasks().copied().collect(),
            gomaxprocs: states.gomaxprocs(),
            heap: states.heap(),
            names: Names::new(),
        });
    }

    /// What everything was doing. `None` if the moment is behind the last event.
    pub fn finish(mut self) -> Option<Snapshot> {
        let mut found = self.found?;
        found.goroutines.sort_by_key(|goroutine| goroutine.id);
        found.names = core::mem::take(self.states.names_mut());
        Some(found)
    }

    /// The first and the last event that were read.
    pub const fn times(&self) -> Option<(Time, Time)> {
        match self.states.first_time() {
            Some(first) => Some((first, self.states.last_time())),
            None => None,
        }
    }
}

/// Adds what is mentioned later and was there before.
struct Later<'a> {
    found: &'a mut Snapshot,
}

impl Visitor for Later<'_> {
    fn goroutine_began(&mut self, _: &States, goroutine: &Goroutine, _: &Event<'_, '_>) {
        if goroutine.is_new {
            return;
        }
        self.found.goroutines.push(goroutine.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trace;
    use crate::event::{Details, GoState};
    use crate::ids::GoId;
    use crate::select::Moment;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The states at the moment of an event by a naive replay of all transitions: what is mentioned first
    /// later, in the same generation, was so before.
    fn naive(trace: &Trace<'_>, time: Time) -> BTreeMap<GoId, GoState> {
        let mut reader = trace.reader();
        let mut known = BTreeMap::new();
        let mut is_over = false;
        let mut later = std::collections::BTreeSet::new();
        while let Some(event) = reader.next().unwrap() {
            is_over |= event.time() >= time;
            match event.details() {
                Details::Sync(_) if is_over => break,
                Details::StateTransition(t) => {
                    let Some((id, from, to)) = t.goroutine() else {
                        continue;
                    };
                    if !is_over {
                        match to {
                            GoState::NotExist => drop(known.remove(&id)),
                            _ => drop(known.insert(id, to)),
                        }
                    } else if from == GoState::Undetermined && !later.contains(&id) {
                        known.entry(id).or_insert(to);
                    }
                    if is_over {
                        later.insert(id);
                    }
                }
                _ => {}
            }
        }
        known
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

        #[test]
        fn agrees_with_a_naive_replay(part in 0.0..1.0f64) {
            for bytes in [
                &include_bytes!("../../tests/fixtures/http-go1.22.trace")[..],
                include_bytes!("../../tests/fixtures/block-go1.27.trace"),
                include_bytes!("../../tests/fixtures/annotate-go1.21.trace"),
                include_bytes!("../../tests/fixtures/cgo-go1.25.trace"),
            ] {
                let trace = Trace::new(bytes).unwrap();
                let mut times = std::vec::Vec::new();
                let mut reader = trace.reader();
                while let Some(event) = reader.next().unwrap() {
                    times.push(event.time());
                }
                let time = times[((times.len() - 1) as f64 * part) as usize];
                let moment = Filter::new().with_to(Moment::At(time));
                let mut at = At::new(&moment);
                let mut reader = trace.reader();
                while let Some(event) = reader.next().unwrap() {
                    if at.add(&event).unwrap() {
                        break;
                    }
                }
                let found = at.finish().unwrap();
                prop_assert_eq!(found.time, time);
                let states = found.goroutines.iter().map(|g| (g.id, g.state));
                prop_assert_eq!(states.collect::<BTreeMap<_, _>>(), naive(&trace, time));
                prop_assert!(found.goroutines.windows(2).all(|two| two[0].id < two[1].id));
            }
        }
    }
}
