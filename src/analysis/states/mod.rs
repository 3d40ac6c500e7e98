//! The state of everything at any moment of a trace, from one pass over its events: the base of all
//! analyses.
//!
//! [`States`] follows each goroutine and proc that lives, and each range, task and region that is
//! open. Whenever one of them comes to an end, and whenever a goroutine or proc leaves a state, it
//! reports what ended to a [`Visitor`], with when it began. Between two events it can be asked what
//! everything is doing.
//!
//! It works on events of any reader, of slices, of streams and of old formats. Its memory grows with
//! what lives or is open at a time (about 250 bytes a goroutine), and with the number of different
//! [names and stacks](super::names).
//!
//! What a trace does not hold from its beginning is taken to be as it is found: a goroutine that is
//! mentioned for the first time as waiting has waited since the generation began
//! ([`Stay::from`]), and the trace says so first at [`Stay::seen`].
//!
//! ```
//! use gotrace::Trace;
//! use gotrace::analysis::states::{Goroutine, States, Stay, Visitor};
//! use gotrace::event::GoState;
//!
//! /// The longest wait for a processor.
//! #[derive(Default)]
//! struct Longest(i64);
//!
//! impl Visitor for Longest {
//!     fn stay(&mut self, _: &States, _: &Goroutine, stay: &Stay) {
//!         if stay.state == GoState::Runnable {
//!             self.0 = self.0.max(stay.nanoseconds());
//!         }
//!     }
//! }
//!
//! let bytes = include_bytes!("../../../tests/fixtures/block-go1.27.trace");
//! let trace = Trace::new(bytes)?;
//! let (mut reader, mut states, mut longest) = (trace.reader(), States::new(), Longest::default());
//! while let Some(event) = reader.next()? {
//!     states.add(&event, &mut longest);
//! }
//! states.finish(&mut longest);
//! assert!(longest.0 > 1_000);
//! # Ok::<(), gotrace::Error>(())
//! ```

mod annotations;
mod goroutines;
mod procs;
mod ranges;
#[cfg(all(test, feature = "std"))]
mod tests;
mod visitor;
mod window;

pub(crate) use annotations::RegionKey;
pub use annotations::{OpenRegion, OpenTask, RegionEnd, TaskEnd};
pub use goroutines::{Goroutine, Stay, Sums};
pub use procs::{Proc, ProcStay};
pub use ranges::{OpenRange, RangeEnd, RangeKind};
pub use visitor::Visitor;

use super::names::Names;
use crate::event::{Change, Details, Event, EventKind, Metric, Resource};
use crate::ids::{GoId, ProcId, TaskId};
use crate::tables::{IdTable, Slot};
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

type ById<T> = IdTable<T, Vec<Slot<T>>, Vec<u32>>;

/// What is known at a moment of a trace. See the [module](self).
#[derive(Debug)]
pub struct States {
    names: Names,
    goroutines: ById<Goroutine>,
    procs: ById<Proc>,
    ranges: BTreeMap<(Resource, RangeKind), OpenRange>,
    tasks: BTreeMap<TaskId, OpenTask>,
    /// How many lives of goroutines began so far.
    lives: u64,
    first: Option<Time>,
    /// Where the part begins that counts, if not there.
    begin: Option<Time>,
    last: Time,
    /// Of the last Sync event; before any, of the first event.
    sync: Time,
    syncs: u64,
    gomaxprocs: Option<u64>,
    heap: Option<u64>,
    heap_goal: Option<u64>,
}

impl Default for States {
    fn default() -> States {
        States {
            names: Names::new(),
            goroutines: IdTable::new(),
            procs: IdTable::new(),
            ranges: BTreeMap::new(),
            tasks: BTreeMap::new(),
            lives: 0,
            first: None,
            begin: None,
            last: Time(0),
            sync: Time(0),
            syncs: 0,
            gomaxprocs: None,
            heap: None,
            heap_goal: None,
        }
    }
}

impl States {
    /// Nothing is known yet.
    pub fn new() -> States {
        States::default()
    }

    /// Takes in the next event, and reports what it ends and begins. All events of a trace must be
    /// given, in order.
    ///
    /// After [`skip_generation`](crate::Reader::skip_generation) go on: what is mentioned again is
    /// taken to have stayed as it was.
    #[inline]
    pub fn add(&mut self, event: &Event<'_, '_>, visitor: &mut impl Visitor) {
        let time = event.time();
        if self.first.is_none() {
            self.first = Some(time);
            self.sync = time;
        }
        self.last = time;
        if let Some(step) = event.go_step() {
            self.go_step(event, step, visitor);
        } else {
            self.other(event, visitor);
        }
    }

    fn other(&mut self, event: &Event<'_, '_>, visitor: &mut impl Visitor) {
        let kind = event.kind();
        match kind {
            EventKind::StackSample | EventKind::Log | EventKind::Experimental => return,
            EventKind::Sync => {
                self.names.next_generation();
                self.sync = event.time();
                self.syncs = self.syncs.saturating_add(1);
                return;
            }
            _ => {}
        }
        match event.details() {
            Details::StateTransition(transition) => {
                if let Change::Proc {
                    id: Some(id),
                    from,
                    to,
                } = transition.change
                {
                    self.proc_step(event, id, from, to, visitor);
                }
            }
            Details::Metric(metric) => match metric.name {
                Metric::GOMAXPROCS => self.gomaxprocs = Some(metric.value),
                Metric::HEAP_OBJECTS => {
                    self.heap = Some(metric.value);
                    visitor.heap_changed(self);
                }
                Metric::HEAP_GOAL => self.heap_goal = Some(metric.value),
                _ => {}
            },
            Details::Label(label) => self.label(event, label),
            Details::RangeBegin(range) => self.range_begins(event, range, true, visitor),
            Details::RangeActive(range) => self.range_begins(event, range, false, visitor),
            Details::RangeEnd(range, facts) => self.range_ends(event, range, facts, visitor),
            Details::TaskBegin(task) => self.task_begins(event, task, visitor),
            Details::TaskEnd(task) => self.task_ends(event, task, visitor),
            Details::RegionBegin(region) => self.region_begins(event, region, visitor),
            Details::RegionEnd(region) => self.region_ends(event, region, visitor),
            _ => {}
        }
    }

    /// The trace ends: reports what goes on, with the last event's time as its end and
    /// [`Stay::open`] set. Regions, ranges and tasks that are open are not reported: they can be
    /// asked for.
    pub fn finish(&mut self, visitor: &mut impl Visitor) {
        let to = self.last;
        for (_, goroutine) in self.goroutines.iter() {
            let stay = Stay {
                open: true,
                ..goroutine.stay(to)
            };
            visitor.stay(self, goroutine, &stay);
        }
        for (_, proc) in self.procs.iter() {
            visitor.proc_stay(self, &proc.stay(to, true));
        }
        for (_, goroutine) in self.goroutines.iter() {
            visitor.goroutine_left(self, goroutine);
        }
    }

    /// The trace is looked at until this moment, at which no event need be: for
    /// [`finish`](States::finish). An earlier moment than the last event changes nothing.
    pub fn set_end(&mut self, end: Time) {
        self.last = self.last.max(end);
    }

    /// Names and stacks, by the numbers that are in what is reported.
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// Names and stacks, to add to.
    pub const fn names_mut(&mut self) -> &mut Names {
        &mut self.names
    }

    /// A goroutine that lives.
    pub fn goroutine(&self, id: GoId) -> Option<&Goroutine> {
        self.goroutines.get(self.goroutines.find(id.get())?)
    }

    /// All goroutines that live, in no particular order: sort them for people.
    pub fn goroutines(&self) -> impl Iterator<Item = &Goroutine> {
        self.goroutines.iter().map(|(_, goroutine)| goroutine)
    }

    /// A goroutine by its [slot](Goroutine::slot).
    pub fn in_slot(&self, slot: u32) -> Option<&Goroutine> {
        self.goroutines.get(slot)
    }

    /// A proc that was seen.
    pub fn proc(&self, id: ProcId) -> Option<&Proc> {
        self.procs.get(self.procs.find(id.get())?)
    }

    /// All procs that were seen and not removed since, in no particular order.
    pub fn procs(&self) -> impl Iterator<Item = &Proc> {
        self.procs.iter().map(|(_, proc)| proc)
    }

    /// The ranges that are open, by what they happen to.
    pub fn ranges(&self) -> impl Iterator<Item = &OpenRange> {
        self.ranges.values()
    }

    /// The tasks that are open, by id.
    pub fn tasks(&self) -> impl Iterator<Item = &OpenTask> {
        self.tasks.values()
    }

    /// A task that is open.
    pub fn task(&self, id: TaskId) -> Option<&OpenTask> {
        self.tasks.get(&id)
    }

    /// When the first event happened; `None` before any did.
    pub const fn first_time(&self) -> Option<Time> {
        self.first
    }

    /// From when on is counted: from the first event, or from where
    /// [`begin_at`](States::begin_at) said.
    pub const fn begin_time(&self) -> Option<Time> {
        match self.begin {
            Some(begin) => Some(begin),
            None => self.first,
        }
    }

    /// When the last event happened that was taken in.
    pub const fn last_time(&self) -> Time {
        self.last
    }

    /// When the last Sync event happened; before any, the first event.
    pub const fn sync_time(&self) -> Time {
        self.sync
    }

    /// How many Sync events there were: one begins each generation, and one ends the trace.
    pub const fn syncs(&self) -> u64 {
        self.syncs
    }

    /// How many lives of goroutines were seen so far, also of those that ended.
    pub const fn lives(&self) -> u64 {
        self.lives
    }

    /// GOMAXPROCS, once the trace has said it.
    pub const fn gomaxprocs(&self) -> Option<u64> {
        self.gomaxprocs
    }

    /// Bytes of heap objects, once the trace has said it.
    pub const fn heap(&self) -> Option<u64> {
        self.heap
    }

    /// Bytes of heap at which the next garbage collection is to end, once the trace has said it.
    pub const fn heap_goal(&self) -> Option<u64> {
        self.heap_goal
    }
}
