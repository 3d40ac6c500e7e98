//! The numbers of a trace, one name each: for assertions, for the [doctor](super::doctor) and for
//! [comparisons](super::diff).
//!
//! [`Metrics`] takes in the events of a trace, of any reader, in one pass; its memory grows with what is
//! alive and with the number of different names and stacks, not with events. `MetricNames` has the
//! names; an expression over them, a `MetricCondition`, is an assertion.
//!
//! ```
//! use gotrace::analysis::metrics::Metrics;
//!
//! let bytes = include_bytes!("../../../tests/fixtures/gc-go1.27.trace");
//! let trace = gotrace::Trace::new(bytes)?;
//! let (mut reader, mut metrics) = (trace.reader(), Metrics::new());
//! while let Some(event) = reader.next()? {
//!     metrics.add(&event);
//! }
//! metrics.finish();
//! # #[cfg(feature = "expressions")] {
//! use gotrace::analysis::metrics::{MetricCondition, MetricNames};
//!
//! let limit = MetricCondition::parse("gc.cycles > 1 && stw.max < 100ms", &MetricNames)?;
//! assert_eq!(limit.decide(&metrics), Ok(true));
//! # }
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod churn;
mod collector;
mod convoys;
mod groups;
mod living;
mod load;
#[cfg(feature = "expressions")]
mod names;
mod network;
mod stops;

#[cfg(feature = "expressions")]
pub use names::{MetricCondition, MetricName, MetricNames};

pub(super) use churn::Churn;
pub(super) use collector::Collector;
pub(super) use convoys::Convoys;
#[cfg(feature = "expressions")]
pub(super) use groups::Group;
pub(super) use groups::Groups;
pub(super) use living::Living;
pub(super) use load::Load;
pub(super) use network::Network;
pub(super) use stops::Stops;

#[cfg(feature = "expressions")]
use super::histogram::Histogram;
use super::names::Names;
use super::scope::Scope;
use super::states::{
    Goroutine, OpenRange, Proc, ProcStay, RangeEnd, RegionEnd, States, Stay, TaskEnd, Visitor,
};
use crate::event::{Details, Event, EventKind};
use crate::select::SelectError;
use crate::time::Time;

/// What is seen of a trace as a whole, and of what it leaves out.
#[derive(Clone, Debug, Default)]
pub(super) struct Whole {
    pub(super) events: u64,
    pub(super) samples: u64,
    pub(super) goroutines: u64,
    pub(super) unnamed: u64,
    pub(super) has_clock: bool,
    pub(super) longest_generation: i64,
    pub(super) heap: Option<u64>,
    pub(super) heap_goal: Option<u64>,
    /// Nanoseconds that goroutines ran.
    pub(super) running: i64,
    last_sync: Option<Time>,
}

impl Visitor for Whole {
    fn stay(&mut self, _: &States, _: &Goroutine, stay: &Stay) {
        if stay.state == crate::event::GoState::Running {
            self.running = self.running.saturating_add(stay.nanoseconds());
        }
    }

    fn goroutine_ended(&mut self, _: &States, goroutine: &Goroutine) {
        self.goroutines = self.goroutines.saturating_add(1);
        self.unnamed = self
            .unnamed
            .saturating_add(u64::from(goroutine.name.is_empty()));
    }

    fn goroutine_left(&mut self, states: &States, goroutine: &Goroutine) {
        self.goroutine_ended(states, goroutine);
    }
}

/// All that observes the states.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    pub(super) whole: Whole,
    pub(super) groups: Groups,
    pub(super) stops: Stops,
    pub(super) load: Load,
    pub(super) collector: Collector,
    pub(super) convoys: Convoys,
    pub(super) churn: Churn,
    pub(super) network: Network,
}

impl Visitor for Gathered {
    fn goroutine_began(&mut self, states: &States, goroutine: &Goroutine, event: &Event<'_, '_>) {
        self.load.goroutine_began(states, goroutine, event);
    }

    #[inline]
    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        self.whole.stay(states, goroutine, stay);
        self.groups.stay(states, goroutine, stay);
        self.stops.stay(states, goroutine, stay);
        self.load.stay(states, goroutine, stay);
        self.collector.stay(states, goroutine, stay);
        self.convoys.stay(states, goroutine, stay);
        self.churn.stay(states, goroutine, stay);
        self.network.stay(states, goroutine, stay);
    }

    fn goroutine_ended(&mut self, states: &States, goroutine: &Goroutine) {
        self.whole.goroutine_ended(states, goroutine);
        self.load.goroutine_ended(states, goroutine);
    }

    fn goroutine_left(&mut self, states: &States, goroutine: &Goroutine) {
        self.whole.goroutine_left(states, goroutine);
    }

    fn proc_began(&mut self, states: &States, proc: &Proc) {
        self.load.proc_began(states, proc);
        self.stops.proc_began(states, proc);
    }

    fn proc_stay(&mut self, states: &States, stay: &ProcStay) {
        self.load.proc_stay(states, stay);
        self.stops.proc_stay(states, stay);
    }

    fn range_began(&mut self, states: &States, range: &OpenRange) {
        self.stops.range_began(states, range);
    }

    fn range_ended(&mut self, states: &States, range: &RangeEnd) {
        self.stops.range_ended(states, range);
        self.collector.range_ended(states, range);
    }

    fn task_ended(&mut self, states: &States, task: &TaskEnd) {
        self.groups.task_ended(states, task);
    }

    fn region_ended(&mut self, states: &States, goroutine: &Goroutine, region: &RegionEnd) {
        self.groups.region_ended(states, goroutine, region);
    }
}

/// The numbers of a trace. See the [module](self).
#[derive(Debug, Default)]
pub struct Metrics {
    pub(super) states: States,
    pub(super) all: Gathered,
    pub(super) living: Living,
    is_finished: bool,
}

impl Metrics {
    /// Of no events yet.
    pub fn new() -> Metrics {
        Metrics::default()
    }

    /// Takes in the next event. All events of a trace must be given, in order.
    #[inline]
    pub fn add(&mut self, event: &Event<'_, '_>) {
        self.states.add(event, &mut self.all);
        self.see(event);
    }

    /// The same, of what a scope says that counts; says whether it wants more events.
    ///
    /// # Errors
    ///
    /// Those of [`Scope::add`].
    pub fn add_in(
        &mut self,
        scope: &mut Scope<'_>,
        event: &Event<'_, '_>,
    ) -> Result<bool, SelectError> {
        let wants_more = scope.add(event, &mut self.states, &mut self.all)?;
        if wants_more && scope.has_begun() {
            self.see(event);
        }
        Ok(wants_more)
    }

    #[inline]
    fn see(&mut self, event: &Event<'_, '_>) {
        self.all.whole.events = self.all.whole.events.saturating_add(1);
        match event.kind() {
            EventKind::StackSample => {
                let samples = &mut self.all.whole.samples;
                *samples = samples.saturating_add(1);
            }
            EventKind::Metric => {
                let (heap, goal) = (self.states.heap(), self.states.heap_goal());
                let whole = &mut self.all.whole;
                whole.heap = whole.heap.max(heap);
                // Without a limit, the goal is one that no heap reaches.
                whole.heap_goal = whole.heap_goal.max(goal.filter(|goal| *goal < 1 << 60));
            }
            EventKind::Sync => self.sync(event),
            _ => {}
        }
    }

    #[cold]
    fn sync(&mut self, event: &Event<'_, '_>) {
        let whole = &mut self.all.whole;
        if let Details::Sync(sync) = event.details() {
            whole.has_clock |= sync.clock.is_some();
        }
        let last = whole.last_sync.replace(event.time());
        let length = last.map_or(0, |last| event.time().since(last));
        whole.longest_generation = whole.longest_generation.max(length);
        self.living.look(&self.states);
    }

    /// The trace is over: what goes on counts until its last event. To be called once, before values
    /// are asked for.
    pub fn finish(&mut self) {
        if core::mem::replace(&mut self.is_finished, true) {
            return;
        }
        self.states.finish(&mut self.all);
        self.all.convoys.finish(&self.states);
    }

    /// The same, of what a scope says that counts.
    pub fn finish_in(&mut self, scope: &mut Scope<'_>) {
        if core::mem::replace(&mut self.is_finished, true) {
            return;
        }
        scope.finish(&mut self.states, &mut self.all);
        self.all.convoys.finish(&self.states);
    }

    /// How long the trace is, in nanoseconds: from its first event to its last.
    pub fn duration(&self) -> u64 {
        let first = self.states.begin_time();
        let time = first.map_or(0, |first| self.states.last_time().since(first));
        u64::try_from(time).unwrap_or(0)
    }

    /// How many events were taken in.
    pub const fn events(&self) -> u64 {
        self.all.whole.events
    }

    /// The states of everything at the end, and the names.
    pub const fn states(&self) -> &States {
        &self.states
    }

    /// The names of what is reported.
    pub const fn names(&self) -> &Names {
        self.states.names()
    }

    /// The time of all processors together, in nanoseconds.
    pub(super) fn capacity(&self) -> u64 {
        let procs = self.states.gomaxprocs().unwrap_or(1).max(1);
        self.duration().saturating_mul(procs)
    }

    /// The garbage collector's part of the processors' time, and that of assists alone, in nanoseconds.
    pub(super) fn collecting(&self) -> (u64, u64) {
        let assists = self.all.collector.assists.sum().unsigned_abs();
        let workers = u64::try_from(self.all.collector.workers).unwrap_or(0);
        (workers.saturating_add(assists), assists)
    }

    #[cfg(feature = "expressions")]
    pub(super) fn over_groups(&self, add: impl Fn(&Group, &mut Histogram)) -> Histogram {
        let mut all = Histogram::new();
        for group in self.all.groups.functions.values() {
            add(group, &mut all);
        }
        all
    }

    /// Tasks that have begun and not ended although others of their type are long over: older than a
    /// second and than ten times their 99th percentile; with the oldest.
    pub(super) fn unfinished(&self) -> (u64, Option<super::states::OpenTask>) {
        let now = self.states.last_time();
        let (mut count, mut oldest) = (0u64, None::<super::states::OpenTask>);
        for task in self.states.tasks() {
            let age = now.since(task.from);
            let others = self.all.groups.tasks.get(task.ty);
            let usual = others.and_then(|others| others.quantile(0.99)).unwrap_or(0);
            if age > usual.saturating_mul(10).max(1_000_000_000) {
                count = count.saturating_add(1);
                if oldest.is_none_or(|oldest| task.from < oldest.from) {
                    oldest = Some(*task);
                }
            }
        }
        (count, oldest)
    }

    /// Goroutines that the trace shows to be leaked: of functions whose goroutines grow in number and do
    /// nothing, and those that wait for ever.
    #[cfg(feature = "expressions")]
    pub(super) fn leaked(&self) -> u64 {
        let grown = self.living.leaks(&self.states);
        let grown = grown
            .iter()
            .map(|leak| leak.last.saturating_sub(leak.first));
        let forever = self.living.forever(&self.states);
        let forever = forever.iter().map(|forever| forever.count);
        grown.chain(forever).fold(0, u64::saturating_add)
    }
}
