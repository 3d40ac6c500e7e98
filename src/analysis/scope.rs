//! What part of a trace an analysis is about: a window of time, and whose time in it counts.
//!
//! A [`Scope`] is a [`Filter`] for analyses. It stands between events and [`States`], and means the same
//! for every [`Visitor`]:
//!
//! - *When*: with [`with_from`](Filter::with_from), [`with_to`](Filter::with_to) and
//!   [`with_last`](Filter::with_last), a window counts as if it were the whole trace, with one difference:
//!   the states of everything at its beginning are known from what comes before it. What goes on across
//!   an end of the window is cut there. Tasks and regions that end in the window count, with all of their
//!   time.
//! - *Whose*: time that a goroutine spends in a state counts
//!   - with [`with_goroutine`](Filter::with_goroutine), if it is that goroutine's;
//!   - with [`with_proc`](Filter::with_proc) and [`with_thread`](Filter::with_thread), if it ran there; if
//!     it did not run, where it ran last; if it waited for a processor, where it then ran;
//!   - with [`with_stack`](Filter::with_stack), if the function is on the goroutine's own stack;
//!   - with [`with_task`](Filter::with_task), while the goroutine works for a task of that type: in a
//!     region that is part of it, or because the goroutine that created it did;
//!   - with [`with_region`](Filter::with_region), while it is in a region of that type.
//! - *Which*: with [`with_kind`](Filter::with_kind) and `with_condition`, what counts is what ends with an
//!   event that fits: `waiting("network") > 10ms` holds at the event that ends a long wait. What has not
//!   ended does not count.
//!
//! Tasks count by their type, and by the goroutine that began them; regions by their type, goroutine,
//! task and where they begin. Procs, ranges of the runtime, and how many goroutines there are at a time
//! are the program's, whosever time counts.
//!
//! ```
//! use gotrace::{Trace, select::Filter};
//! use gotrace::analysis::{blocked::Blocked, scope::Scope, states::States};
//!
//! let bytes = include_bytes!("../../tests/fixtures/http-go1.27.trace");
//! let filter = Filter::new().with_from("5ms".parse()?).with_stack("net/http");
//! let (mut scope, mut states) = (Scope::new(&filter), States::new());
//! let mut blocked = Blocked::new(1);
//! let trace = Trace::new(bytes)?;
//! let mut reader = trace.reader();
//! while let Some(event) = reader.next()? {
//!     if !scope.add(&event, &mut states, &mut blocked)? {
//!         break;
//!     }
//! }
//! scope.finish(&mut states, &mut blocked);
//! let longest = blocked.longest().first().ok_or("nothing waited")?;
//! println!("in net/http, {} waited for {} ns", longest.id, longest.nanoseconds());
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use super::names::StackRef;
use super::states::{
    Goroutine, OpenRange, OpenRegion, OpenTask, Proc, ProcStay, RangeEnd, RegionEnd, States, Stay,
    TaskEnd, Visitor,
};
use crate::event::{Event, GoState};
use crate::ids::TaskId;
use crate::num;
use crate::select::{Filter, SelectError, Selection, among, named};
use crate::time::Time;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// A [`Filter`] at work for analyses. See the [module](self).
///
/// Its memory grows by each task of the types wanted, with what lives, and with the number of different
/// stacks.
#[derive(Clone, Debug)]
pub struct Scope<'f> {
    filter: &'f Filter,
    selection: Selection<'f>,
    /// Nothing but times.
    is_simple: bool,
    has_begun: bool,
    /// The tasks of the types wanted. One that ended is kept: goroutines may still work for it.
    tasks: BTreeSet<TaskId>,
    /// By slot of goroutines.
    work: Vec<Work>,
    /// By number of stacks: whether a function wanted is on it.
    stacks: Vec<Option<bool>>,
    /// Whether the event taken in last is one that fits.
    fits: bool,
}

/// Whether a goroutine works for what is wanted.
#[derive(Clone, Copy, Debug)]
struct Work {
    life: u64,
    is_wanted: bool,
    /// Its current stay was reported until then.
    until: Time,
}

impl Work {
    const NONE: Work = Work {
        life: 0,
        is_wanted: false,
        until: Time(i64::MIN),
    };
}

impl<'f> Scope<'f> {
    /// The part of a trace that a filter is about. If it [asks](Filter::needs_end) for the last of the
    /// trace, say when that ends: [`with_end`](Scope::with_end).
    pub fn new(filter: &'f Filter) -> Scope<'f> {
        Scope {
            filter,
            selection: filter.selection(),
            is_simple: filter.has_only_times(),
            has_begun: false,
            tasks: BTreeSet::new(),
            work: Vec::new(),
            stacks: Vec::new(),
            fits: true,
        }
    }

    /// Says when the trace ends: the time of its last event.
    #[must_use]
    pub fn with_end(mut self, end: Time) -> Self {
        self.selection = self.selection.with_end(end);
        self
    }

    /// Takes in the next event: in the place of [`States::add`]. All events of a trace must be given,
    /// in order, until it says that no more are needed: `false`.
    ///
    /// # Errors
    ///
    /// The trace does not say what its clocks show and the filter needs them, or the filter needs to know
    /// the trace's end. Nothing more can be added then.
    #[inline]
    pub fn add(
        &mut self,
        event: &Event<'_, '_>,
        states: &mut States,
        visitor: &mut impl Visitor,
    ) -> Result<bool, SelectError> {
        self.selection.note(event);
        if !self.has_begun && !self.begin(event, states, visitor)? {
            self.fits = self.selection.passes_condition(event);
            states.add(event, &mut ());
            return Ok(true);
        }
        if self.selection.is_over(event.time())? {
            return Ok(false);
        }
        if self.is_simple {
            states.add(event, visitor);
        } else {
            self.fits = self.selection.passes_condition(event);
            let scope = self;
            states.add(event, &mut Selecting { scope, visitor });
        }
        Ok(true)
    }

    /// Begins if the time has come.
    #[cold]
    fn begin(
        &mut self,
        event: &Event<'_, '_>,
        states: &mut States,
        visitor: &mut impl Visitor,
    ) -> Result<bool, SelectError> {
        if !self.selection.has_begun(event.time())? {
            return Ok(false);
        }
        self.has_begun = true;
        if states.first_time().is_none() {
            // Nothing was before.
            return Ok(true);
        }
        let (from, _) = self.selection.span();
        let from = from.unwrap_or(event.time());
        let from = from.max(states.last_time()).min(event.time());
        if self.is_simple {
            states.begin_at(from, event, visitor);
        } else {
            let scope = self;
            states.begin_at(from, event, &mut Selecting { scope, visitor });
        }
        Ok(true)
    }

    /// The trace ends, or no more events are needed: reports what goes on, in the place of
    /// [`States::finish`]. Nothing is reported if the window did not begin.
    pub fn finish(&mut self, states: &mut States, visitor: &mut impl Visitor) {
        if !self.has_begun {
            return;
        }
        if let (_, Some(to)) = self.selection.span()
            && matches!(self.selection.is_over(self.seen_last()), Ok(true))
        {
            states.set_end(to);
        }
        self.fits = false;
        if self.is_simple {
            states.finish(visitor);
        } else {
            let scope = self;
            states.finish(&mut Selecting { scope, visitor });
        }
    }

    fn seen_last(&self) -> Time {
        let times = self.selection.times();
        times.map_or(Time(i64::MIN), |(_, last)| last)
    }

    /// Whether the window has begun: an event at or behind its beginning was taken in.
    pub const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether the event that was taken in last counts by itself, as a sample of the CPU profiler
    /// does: it is in the window, its goroutine, proc, thread and stack fit, and its goroutine works for
    /// what is wanted.
    pub fn counts_event(&mut self, event: &Event<'_, '_>, states: &States) -> bool {
        if self.is_simple || !self.has_begun {
            return self.has_begun;
        }
        let filter = self.filter;
        let goroutine = event.goroutine().and_then(|id| states.goroutine(id));
        self.fits
            && among(&filter.goroutines, event.goroutine())
            && among(&filter.procs, event.proc())
            && among(&filter.threads, event.thread())
            && (!self.asks_for_work()
                || goroutine.is_some_and(|goroutine| self.is_at_work(states, goroutine)))
            && (filter.stacks.is_empty()
                || event
                    .stack()
                    .is_some_and(|stack| stack.frames().any(|frame| self.is_wanted(frame.func))))
    }

    /// Whether a task counts that is open in the end.
    pub fn counts_task(&mut self, states: &States, task: &OpenTask) -> bool {
        let filter = self.filter;
        self.is_simple
            || (!self.asks_for_ends()
                && among(&filter.goroutines, task.goroutine)
                && (filter.tasks.is_empty() || named(&filter.tasks, states.names().text(task.ty)))
                && self.is_on_stack(states, task.stack))
    }

    /// Whether a region counts that is open in the end.
    pub fn counts_region(
        &mut self,
        states: &States,
        goroutine: &Goroutine,
        region: &OpenRegion,
    ) -> bool {
        self.is_simple
            || (!self.asks_for_ends()
                && self.is_region(states, goroutine, region.task, Some(region)))
    }

    fn asks_for_ends(&self) -> bool {
        let kinds = !self.filter.kinds.is_empty();
        #[cfg(feature = "expressions")]
        let kinds = kinds || self.filter.condition.is_some();
        kinds
    }

    fn asks_for_work(&self) -> bool {
        !self.filter.tasks.is_empty() || !self.filter.regions.is_empty()
    }

    fn is_wanted(&self, func: crate::GoStr<'_>) -> bool {
        self.filter.stacks.iter().any(|part| func.contains(part))
    }

    /// Whether a function that is wanted is on a stack, or none is asked for.
    fn is_on_stack(&mut self, states: &States, stack: Option<StackRef>) -> bool {
        if self.filter.stacks.is_empty() {
            return true;
        }
        let Some(stack) = stack else { return false };
        let at = stack.index();
        if let Some(Some(known)) = self.stacks.get(at) {
            return *known;
        }
        let mut frames = states.names().frames(stack);
        let is_on = frames.any(|frame| self.is_wanted(frame.func));
        if self.stacks.len() <= at {
            self.stacks.resize(at.saturating_add(1), None);
        }
        if let Some(known) = self.stacks.get_mut(at) {
            *known = Some(is_on);
        }
        is_on
    }

    /// Whether a goroutine works for what is wanted now.
    fn is_at_work(&self, states: &States, goroutine: &Goroutine) -> bool {
        let filter = self.filter;
        let task = || goroutine.task().is_some_and(|id| self.tasks.contains(&id));
        let region = || {
            let mut types = goroutine.regions.iter().map(|region| region.ty);
            types.any(|ty| named(&filter.regions, states.names().text(ty)))
        };
        (filter.tasks.is_empty() || task()) && (filter.regions.is_empty() || region())
    }

    /// Whether a region is one that is wanted.
    fn is_region(
        &mut self,
        states: &States,
        goroutine: &Goroutine,
        task: Option<TaskId>,
        region: Option<&OpenRegion>,
    ) -> bool {
        let filter = self.filter;
        let named = |ty| named(&filter.regions, states.names().text(ty));
        among(&filter.goroutines, Some(goroutine.id))
            && among(&filter.procs, goroutine.proc)
            && among(&filter.threads, goroutine.thread)
            && (filter.tasks.is_empty() || task.is_some_and(|id| self.tasks.contains(&id)))
            && (filter.regions.is_empty() || region.is_some_and(|region| named(region.ty)))
            && self.is_on_stack(states, region.and_then(|region| region.stack))
    }

    fn work(&mut self, goroutine: &Goroutine) -> &mut Work {
        let at = num::index(goroutine.slot);
        if self.work.len() <= at {
            self.work.resize(at.saturating_add(1), Work::NONE);
        }
        // It was made to be long enough.
        #[expect(clippy::indexing_slicing, reason = "the line above")]
        let work = &mut self.work[at];
        if work.life != goroutine.life {
            *work = Work {
                life: goroutine.life,
                ..Work::NONE
            };
        }
        work
    }

    /// Whether a stay counts, or this part of it.
    fn counts(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) -> bool {
        let filter = self.filter;
        let is_given = stay.state == GoState::Runnable && stay.next == GoState::Running;
        let (proc, thread) = match is_given {
            true => (goroutine.proc, goroutine.thread),
            false => (stay.proc, stay.thread),
        };
        let stack = match stay.state {
            // Where it stops is known, where it goes on is not.
            GoState::Running => goroutine.own_stack.or(stay.own_stack),
            GoState::Runnable => stay.own_stack,
            _ => stay.own_stack.or(stay.stack),
        };
        (self.fits && !stay.open || !self.asks_for_ends())
            && (!self.asks_for_work() || self.work(goroutine).is_wanted)
            && among(&filter.goroutines, Some(stay.id))
            && among(&filter.procs, proc)
            && among(&filter.threads, thread)
            && self.is_on_stack(states, stack)
    }
}

/// A visitor for which a scope says what counts.
struct Selecting<'s, 'f, V> {
    scope: &'s mut Scope<'f>,
    visitor: &'s mut V,
}

impl<V: Visitor> Selecting<'_, '_, V> {
    /// A goroutine may work for something else from now on: the time until now is one part of its stay,
    /// and what comes another.
    fn turn(&mut self, states: &States, goroutine: &Goroutine, time: Time) {
        if !self.scope.asks_for_work() {
            return;
        }
        let is_wanted = self.scope.is_at_work(states, goroutine);
        let work = *self.scope.work(goroutine);
        if is_wanted != work.is_wanted {
            let mut stay = goroutine.stay(time);
            stay.from = stay.from.max(work.until);
            if stay.to > stay.from {
                // No event ends it.
                let fits = core::mem::replace(&mut self.scope.fits, false);
                stay.counts = self.scope.counts(states, goroutine, &stay);
                self.scope.fits = fits;
                self.visitor.stay(states, goroutine, &stay);
            }
            let work = self.scope.work(goroutine);
            work.is_wanted = is_wanted;
            work.until = time;
        }
    }
}

impl<V: Visitor> Visitor for Selecting<'_, '_, V> {
    fn goroutine_began(&mut self, states: &States, goroutine: &Goroutine, event: &Event<'_, '_>) {
        if self.scope.asks_for_work() {
            self.scope.work(goroutine).is_wanted = self.scope.is_at_work(states, goroutine);
        }
        self.visitor.goroutine_began(states, goroutine, event);
    }

    #[inline]
    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        let mut stay = *stay;
        if self.scope.asks_for_work() {
            let until = self.scope.work(goroutine).until;
            if until > stay.from {
                // What was reported already.
                stay.from = until.min(stay.to);
            }
        }
        stay.counts = self.scope.counts(states, goroutine, &stay);
        self.visitor.stay(states, goroutine, &stay);
    }

    fn goroutine_ended(&mut self, states: &States, goroutine: &Goroutine) {
        self.visitor.goroutine_ended(states, goroutine);
    }

    fn goroutine_left(&mut self, states: &States, goroutine: &Goroutine) {
        self.visitor.goroutine_left(states, goroutine);
    }

    fn proc_began(&mut self, states: &States, proc: &Proc) {
        self.visitor.proc_began(states, proc);
    }

    fn proc_stay(&mut self, states: &States, stay: &ProcStay) {
        self.visitor.proc_stay(states, stay);
    }

    fn range_began(&mut self, states: &States, range: &OpenRange) {
        self.visitor.range_began(states, range);
    }

    fn range_ended(&mut self, states: &States, range: &RangeEnd) {
        self.visitor.range_ended(states, range);
    }

    fn task_began(&mut self, states: &States, task: &OpenTask) {
        let types = &self.scope.filter.tasks;
        if !types.is_empty() && named(types, states.names().text(task.ty)) {
            self.scope.tasks.insert(task.id);
        }
        // Whether it counts is known when it ends.
        if self.scope.counts_task(states, task) {
            self.visitor.task_began(states, task);
        }
    }

    fn task_ended(&mut self, states: &States, task: &TaskEnd) {
        let filter = self.scope.filter;
        let began = task.begin.as_ref();
        let counts = (self.scope.fits || !self.scope.asks_for_ends())
            && among(&filter.goroutines, began.and_then(|task| task.goroutine))
            && (filter.tasks.is_empty() || named(&filter.tasks, states.names().text(task.ty)))
            && self
                .scope
                .is_on_stack(states, began.and_then(|task| task.stack));
        if counts {
            if let (Some(task), true) = (began, self.scope.asks_for_ends()) {
                self.visitor.task_began(states, task);
            }
            self.visitor.task_ended(states, task);
        }
    }

    fn region_began(&mut self, states: &States, goroutine: &Goroutine, region: &OpenRegion) {
        self.turn(
            states,
            goroutine,
            region.from.max(states.begin_time().unwrap_or(region.from)),
        );
        if self
            .scope
            .is_region(states, goroutine, region.task, Some(region))
        {
            self.visitor.region_began(states, goroutine, region);
        }
    }

    fn region_ended(&mut self, states: &States, goroutine: &Goroutine, region: &RegionEnd) {
        self.turn(states, goroutine, region.to);
        let is_wanted = self
            .scope
            .is_region(states, goroutine, region.task, region.begin.as_ref());
        if is_wanted && (self.scope.fits || !self.scope.asks_for_ends()) {
            self.visitor.region_ended(states, goroutine, region);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trace;
    use crate::analysis::summary::{Group, StateKind, Summary};
    use crate::ids::GoId;
    use crate::select::{Moment, last_time};
    use core::time::Duration;
    use std::collections::BTreeMap;
    use std::string::{String, ToString as _};

    const TRACES: [&[u8]; 4] = [
        include_bytes!("../../tests/fixtures/http-go1.27.trace"),
        include_bytes!("../../tests/fixtures/annotate-go1.27.trace"),
        include_bytes!("../../tests/fixtures/flight-go1.25.trace"),
        include_bytes!("../../tests/fixtures/annotate-go1.21.trace"),
    ];

    fn summary(bytes: &[u8], filter: &Filter) -> (States, Summary) {
        let trace = Trace::new(bytes).unwrap();
        let (mut states, mut summary) = (States::new(), Summary::new());
        let mut scope = Scope::new(filter).with_end(last_time(&trace).unwrap());
        let mut reader = trace.reader();
        while let Some(event) = reader.next().unwrap() {
            if !scope.add(&event, &mut states, &mut summary).unwrap() {
                break;
            }
        }
        scope.finish(&mut states, &mut summary);
        summary.add_open(&states, Some(&mut scope));
        (states, summary)
    }

    /// The time in each state by function.
    fn times(of: &(States, Summary)) -> BTreeMap<(String, &'static str), i64> {
        let mut times = BTreeMap::new();
        for group in of.1.groups() {
            for kind in StateKind::ALL {
                let key = (of.0.names().text(group.name).to_string(), kind.name());
                *times.entry(key).or_default() += group.state(*kind).stays.sum();
            }
        }
        times.retain(|_, time| *time > 0);
        times
    }

    fn total(of: &(States, Summary)) -> i64 {
        times(of).values().sum()
    }

    /// Windows side by side have the time of the whole: nothing is lost or counted twice at their ends.
    #[test]
    fn windows_add_up() {
        for bytes in TRACES {
            let whole = summary(bytes, &Filter::new());
            let (first, last) = (whole.0.first_time().unwrap(), whole.0.last_time());
            let length = u64::try_from(last.since(first)).unwrap();
            let mut sums: BTreeMap<_, i64> = BTreeMap::new();
            let mut created = 0;
            let cuts = [0, length / 7, length / 3, length / 2, length + 1];
            for ends in cuts.windows(2) {
                let at = |n| Moment::SinceStart(Duration::from_nanos(n));
                let filter = Filter::new().with_from(at(ends[0])).with_to(at(ends[1]));
                let part = summary(bytes, &filter);
                let spent = ends[1].min(length) - ends[0];
                let begin = part.0.begin_time().unwrap();
                assert_eq!(
                    part.0.last_time().since(begin),
                    i64::try_from(spent).unwrap()
                );
                for (key, time) in times(&part) {
                    *sums.entry(key).or_default() += time;
                }
                created += part.1.groups().iter().map(|g| g.created).sum::<u64>();
            }
            // What a window mentions for the first time after it is in no window before, and a name
            // may be known only later.
            let by_state = |times: &BTreeMap<(String, &'static str), i64>| {
                let mut states: BTreeMap<_, i64> = BTreeMap::new();
                for ((_, state), time) in times {
                    *states.entry(*state).or_default() += time;
                }
                states
            };
            let (sums, whole_sums) = (by_state(&sums), by_state(&times(&whole)));
            assert_eq!(sums.get("running"), whole_sums.get("running"));
            assert_eq!(
                sums.get("syscall-blocked"),
                whole_sums.get("syscall-blocked")
            );
            for (state, time) in &whole_sums {
                assert!(
                    sums[state] <= *time && sums[state] * 10 >= *time * 5,
                    "{state}"
                );
            }
            let all: u64 = whole.1.groups().iter().map(|g| g.created).sum();
            assert_eq!(created, all);
            // The last of a trace is what follows the rest.
            let last = Duration::from_nanos(length - length / 3);
            let from = Moment::SinceStart(Duration::from_nanos(length / 3));
            let one = summary(bytes, &Filter::new().with_last(last));
            let same = summary(bytes, &Filter::new().with_from(from));
            assert_eq!(times(&one), times(&same));
        }
    }

    /// Each goroutine, proc and thread by itself, and together all.
    #[test]
    fn parts_by_id_add_up() {
        for bytes in TRACES {
            let whole = summary(bytes, &Filter::new());
            let mut ids: BTreeMap<GoId, i64> = BTreeMap::new();
            let trace = Trace::new(bytes).unwrap();
            struct Ids<'a>(&'a mut BTreeMap<GoId, i64>);
            impl Visitor for Ids<'_> {
                fn stay(&mut self, _: &States, _: &Goroutine, stay: &Stay) {
                    *self.0.entry(stay.id).or_default() += stay.nanoseconds();
                }
            }
            let (mut reader, mut states) = (trace.reader(), States::new());
            while let Some(event) = reader.next().unwrap() {
                states.add(&event, &mut Ids(&mut ids));
            }
            states.finish(&mut Ids(&mut ids));
            for (id, time) in ids.iter().take(12) {
                let one = summary(bytes, &Filter::new().with_goroutine(*id));
                assert_eq!(total(&one), *time, "{id}");
                assert!(one.1.groups().iter().map(|group| group.count).sum::<u64>() >= 1);
            }
            let half = ids.keys().take(ids.len() / 2);
            let half = half.fold(Filter::new(), |filter, id| filter.with_goroutine(*id));
            let expected: i64 = ids.values().take(ids.len() / 2).sum();
            assert_eq!(total(&summary(bytes, &half)), expected);
            // Running time is on a proc.
            let running = |of: &(States, Summary)| -> i64 {
                let running = |group: &Group| group.state(StateKind::Running).stays.sum();
                of.1.groups().iter().map(running).sum()
            };
            let procs = states.procs().map(|proc| proc.id);
            let on_procs = procs.map(|id| running(&summary(bytes, &Filter::new().with_proc(id))));
            assert_eq!(on_procs.sum::<i64>(), running(&whole));
        }
    }

    /// The time inside of regions of a type is what the regions say of themselves.
    #[test]
    fn time_in_regions_is_cut_at_their_ends() {
        let mut seen = 0;
        for bytes in TRACES {
            let whole = summary(bytes, &Filter::new());
            for ty in whole.1.regions() {
                let name = whole.0.names().text(ty.ty);
                let same = whole.1.regions().filter(|other| other.ty == ty.ty);
                let same: Vec<_> = same.collect();
                if same.iter().any(|ty| ty.open > 0 || ty.begun_before > 0) {
                    continue;
                }
                let expected: i64 = same.iter().map(|ty| ty.sums.total()).sum();
                let filter = Filter::new().with_region(name.as_bytes());
                let inside = summary(bytes, &filter);
                assert_eq!(total(&inside), expected, "{name}");
                assert!(
                    inside
                        .1
                        .regions()
                        .all(|of| inside.0.names().text(of.ty) == name)
                );
                seen += 1;
            }
        }
        assert!(seen > 2, "{seen}");
    }

    /// Tasks of a type have regions, goroutines and time of their own.
    #[test]
    fn time_for_tasks() {
        let bytes = TRACES[0];
        let whole = summary(bytes, &Filter::new());
        let request = summary(bytes, &Filter::new().with_task("request"));
        let tasks: Vec<_> = request.1.tasks().collect();
        assert_eq!(tasks.len(), 1);
        let same = whole
            .1
            .tasks()
            .find(|ty| whole.0.names().text(ty.ty) == "request");
        assert_eq!(tasks[0].durations, same.unwrap().durations);
        assert!(total(&request) > 0 && total(&request) < total(&whole));
        assert_eq!(
            total(&summary(bytes, &Filter::new().with_task("no such"))),
            0
        );
    }

    #[cfg(feature = "expressions")]
    #[test]
    fn what_ends_with_an_event_that_fits() {
        use crate::select::{EventCondition, EventNames};
        let condition = EventCondition::parse("waiting > 1ms", &EventNames).unwrap();
        let filter = Filter::new().with_condition(condition);
        for bytes in TRACES {
            let whole = summary(bytes, &Filter::new());
            let long = summary(bytes, &filter);
            for group in long.1.groups() {
                for kind in StateKind::ALL
                    .iter()
                    .filter(|kind| **kind != StateKind::Waiting)
                {
                    assert!(group.state(*kind).stays.is_empty());
                }
                let least = group.state(StateKind::Waiting).stays.min();
                assert!(least.is_none_or(|least| least > 1_000_000));
            }
            assert!(total(&long) < total(&whole));
        }
    }

    #[test]
    fn functions_on_the_stack() {
        let whole = summary(TRACES[0], &Filter::new());
        let http = summary(TRACES[0], &Filter::new().with_stack("net/http"));
        assert!(total(&http) > 0 && total(&http) < total(&whole));
        let all = summary(TRACES[0], &Filter::new().with_stack(""));
        assert!(total(&http) < total(&all) && total(&all) <= total(&whole));
    }

    #[test]
    fn a_window_behind_the_end_is_empty() {
        let from = Moment::SinceStart(Duration::from_secs(3600));
        let (states, summary) = summary(TRACES[0], &Filter::new().with_from(from));
        assert!(summary.groups().is_empty());
        assert_eq!(states.begin_time(), states.first_time());
    }
}
