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

mod find;
mod path;
#[cfg(test)]
mod tests;

pub use find::{Finder, Found, Subject, What};
pub(super) use path::is_causal;

use super::names::{NameId, Names, StackRef};
use super::states::{Goroutine, OpenRegion, OpenTask, RegionEnd, States, Stay, TaskEnd, Visitor};
use crate::event::{Details, Event, EventKind, GoState};
use crate::ids::{GoId, TaskId};
use crate::time::Time;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use path::{Life, LifeId, Lives, Path, Stretch, Work};

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

/// What is collected.
#[derive(Debug)]
struct Collector {
    cases: Vec<Case>,
    /// The times that are explained, in order and without overlaps.
    windows: Vec<(Time, Time)>,
    lives: Lives,
}

/// What is known of one that is explained.
#[derive(Debug)]
struct Case {
    found: Found,
    /// The task, and those that are part of it.
    tasks: BTreeSet<TaskId>,
    work: BTreeMap<LifeId, Effort>,
    beginner: Option<LifeId>,
    ender: Option<LifeId>,
    creator: Option<Creator>,
}

/// What a goroutine does for a task.
#[derive(Debug, Default)]
struct Effort {
    intervals: Vec<(Time, Time)>,
    /// Since when it works for it, for how many reasons.
    since: Option<Time>,
    reasons: u32,
    /// When it last did something for it.
    last: Option<Time>,
}

impl Effort {
    fn begin(&mut self, time: Time) {
        self.reasons = self.reasons.saturating_add(1);
        self.since = self.since.or(Some(time));
        self.last = Some(time);
    }

    fn end(&mut self, time: Time) {
        self.last = Some(time);
        self.reasons = self.reasons.saturating_sub(1);
        if self.reasons == 0 {
            self.stop(time);
        }
    }

    fn stop(&mut self, time: Time) {
        self.reasons = 0;
        if let Some(since) = self.since.take() {
            self.intervals.push((since, time));
        }
    }
}

impl Case {
    fn new(found: Found) -> Case {
        Case {
            tasks: found
                .task
                .filter(|_| found.what == What::Task)
                .into_iter()
                .collect(),
            found,
            work: BTreeMap::new(),
            beginner: None,
            ender: None,
            creator: None,
        }
    }

    fn is_open(&self, time: Time) -> bool {
        self.found.start <= time && time <= self.found.end
    }

    fn effort(&mut self, life: LifeId) -> &mut Effort {
        self.work.entry(life).or_default()
    }

    /// Whether this goroutine works for it now.
    fn has(&self, life: LifeId) -> bool {
        self.work
            .get(&life)
            .is_some_and(|effort| effort.since.is_some())
    }
}

impl Explainer {
    /// Will explain these.
    pub fn new(found: Vec<Found>) -> Explainer {
        let mut windows: Vec<_> = found.iter().map(|found| (found.start, found.end)).collect();
        windows.sort_unstable();
        let mut merged: Vec<(Time, Time)> = Vec::new();
        for (start, end) in windows {
            match merged.last_mut().filter(|last| last.1 >= start) {
                Some(last) => last.1 = last.1.max(end),
                None => merged.push((start, end)),
            }
        }
        Explainer {
            states: States::new(),
            end: merged.last().map_or(Time(i64::MIN), |(_, end)| *end),
            collector: Collector {
                cases: found.into_iter().map(Case::new).collect(),
                windows: merged,
                lives: Lives::new(),
            },
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
        let explain = |case| explain(case, &lives, &names);
        Explained {
            list: cases.into_iter().map(explain).collect(),
            names,
        }
    }
}

impl Collector {
    /// Whether any of this time is explained.
    fn is_explained(&self, from: Time, to: Time) -> bool {
        let at = self.windows.partition_point(|(_, end)| *end < from);
        self.windows.get(at).is_some_and(|(start, _)| *start <= to)
    }

    fn life(&mut self, goroutine: &Goroutine, creator: Option<LifeId>) -> &mut Life {
        let life = self
            .lives
            .entry(LifeId(goroutine.life))
            .or_insert_with(|| Life {
                id: goroutine.id,
                name: goroutine.name,
                creator,
                stretches: Vec::new(),
            });
        if life.name.is_empty() {
            life.name = goroutine.name;
        }
        life
    }

    fn touch(&mut self, life: LifeId, task: TaskId, time: Time) {
        for case in &mut self.cases {
            if case.is_open(time) && case.tasks.contains(&task) {
                case.effort(life).last = Some(time);
            }
        }
    }
}

fn life_of(states: &States, id: Option<GoId>) -> Option<LifeId> {
    Some(LifeId(states.goroutine(id?)?.life))
}

impl Visitor for Collector {
    fn goroutine_began(&mut self, states: &States, goroutine: &Goroutine, event: &Event<'_, '_>) {
        let (time, life) = (event.time(), LifeId(goroutine.life));
        let creator = life_of(states, goroutine.creator);
        if self.is_explained(goroutine.created, time) {
            self.life(goroutine, creator);
        }
        for case in &mut self.cases {
            let is_it = case.found.what == What::Goroutine
                && case.found.goroutine == Some(goroutine.id)
                && goroutine.created <= case.found.end
                && case.found.start <= time;
            if is_it && (!goroutine.is_new || time == case.found.start) {
                let start = case.found.start;
                case.beginner = Some(life);
                case.effort(life).begin(start);
                case.creator = goroutine.creator.map(|id| Creator {
                    id,
                    name: states.goroutine(id).map_or(NameId::EMPTY, |by| by.name),
                    stack: goroutine.stack,
                });
            }
            let works_for_it = case.found.what == What::Task
                && case.is_open(time)
                && creator.is_some_and(|creator| case.has(creator));
            if works_for_it {
                case.effort(life).begin(time);
            }
        }
    }

    #[inline]
    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        if !self.is_explained(stay.from, stay.to) {
            return;
        }
        let waker = life_of(states, stay.ended_by);
        let waker = waker
            .filter(|_| stay.state == GoState::Waiting && is_causal(states.names(), stay.reason));
        let stack = match stay.state {
            GoState::Waiting | GoState::Syscall => stay.own_stack.or(stay.stack),
            _ => None,
        };
        self.life(goroutine, None).stretches.push(Stretch {
            from: stay.from,
            to: stay.to,
            state: stay.state,
            reason: stay.reason,
            stack,
            waker,
        });
    }

    fn goroutine_ended(&mut self, _: &States, goroutine: &Goroutine) {
        let (time, life) = (goroutine.since, LifeId(goroutine.life));
        for case in &mut self.cases {
            if let Some(effort) = case.work.get_mut(&life) {
                effort.stop(time);
            }
        }
    }

    fn task_began(&mut self, states: &States, task: &OpenTask) {
        let Some(life) = life_of(states, task.goroutine) else {
            return;
        };
        for case in &mut self.cases {
            let time = task.from;
            if case.found.what != What::Task || !case.is_open(time) {
                continue;
            }
            if case.found.task == Some(task.id) && case.found.start == time {
                case.beginner = Some(life);
                case.effort(life).begin(time);
            } else if task
                .parent
                .is_some_and(|parent| case.tasks.contains(&parent))
            {
                case.tasks.insert(task.id);
                case.effort(life).begin(time);
            }
        }
    }

    fn task_ended(&mut self, states: &States, task: &TaskEnd) {
        let life = life_of(states, task.ended_by);
        for case in &mut self.cases {
            if case.found.what != What::Task || !case.is_open(task.to) {
                continue;
            }
            if !case.tasks.contains(&task.id) {
                continue;
            }
            if case.found.task == Some(task.id) && case.found.end == task.to {
                case.ender = life;
                if let Some(life) = life {
                    case.effort(life).last = Some(task.to);
                }
            } else if case.found.task != Some(task.id) {
                // One that is part of it.
                let beginner = task.begin.and_then(|begin| begin.goroutine);
                let beginner = life_of(states, beginner);
                if let Some(life) = beginner
                    && let Some(effort) = case.work.get_mut(&life)
                {
                    effort.end(task.to);
                }
            }
        }
    }

    fn region_began(&mut self, _: &States, goroutine: &Goroutine, region: &OpenRegion) {
        let (time, life) = (region.from, LifeId(goroutine.life));
        for case in &mut self.cases {
            if !case.is_open(time) {
                continue;
            }
            let is_it = match case.found.what {
                What::Task => region.task.is_some_and(|task| case.tasks.contains(&task)),
                What::Region => {
                    case.found.start == time && case.found.goroutine == Some(goroutine.id)
                }
                What::Goroutine => false,
            };
            if is_it {
                case.beginner = case.beginner.or(Some(life));
                case.effort(life).begin(time);
            }
        }
    }

    fn region_ended(&mut self, _: &States, goroutine: &Goroutine, region: &RegionEnd) {
        let (time, life) = (region.to, LifeId(goroutine.life));
        for case in &mut self.cases {
            if case.found.what == What::Region
                && case.found.end == time
                && case.found.goroutine == Some(goroutine.id)
            {
                case.ender = Some(life);
                if !case.has(life) {
                    let start = case.found.start;
                    case.effort(life).begin(start);
                }
                case.effort(life).stop(time);
            }
            if case.found.what != What::Task || !case.is_open(time) {
                continue;
            }
            if !region.task.is_some_and(|task| case.tasks.contains(&task)) {
                continue;
            }
            if region.begin.is_none() && !case.has(life) {
                // It began before the trace.
                let start = case.found.start;
                case.effort(life).begin(start);
            }
            case.effort(life).end(time);
        }
    }
}

/// What was collected for one, made into its explanation.
fn explain(case: Case, lives: &Lives, names: &Names) -> Explanation {
    let Case {
        found,
        work,
        beginner,
        ender,
        creator,
        ..
    } = case;
    let (start, end) = (found.start, found.end);
    let mut at_work = Work::new();
    for (life, mut effort) in work {
        // Who began it and left its end to another worked until the last that it did for it.
        let last = match found.what {
            What::Task if ender.is_some() && ender != Some(life) && beginner == Some(life) => {
                effort.last.unwrap_or(end)
            }
            _ => end,
        };
        effort.stop(last);
        let mut intervals: Vec<(Time, Time)> = Vec::new();
        effort.intervals.sort_unstable();
        for (from, to) in effort.intervals {
            let (from, to) = (from.max(start), to.min(end));
            match intervals.last_mut().filter(|last| last.1 >= from) {
                Some(last) => last.1 = last.1.max(to),
                None if from < to => intervals.push((from, to)),
                None => {}
            }
        }
        if !intervals.is_empty() {
            at_work.insert(life, intervals);
        }
    }
    let mut workers: Vec<Worker> = at_work
        .iter()
        .filter_map(|(id, intervals)| Some(worker(lives.get(id)?, intervals, lives)))
        .collect();
    workers.sort_by_key(|worker| (core::cmp::Reverse(worker.nanoseconds()), worker.id));
    let mut times = Times::new();
    for worker in &workers {
        for (spent, time) in &worker.times {
            count(&mut times, *spent, *time);
        }
    }
    let mut path = Path::new(lives, names);
    path.through(&at_work, ender.or(beginner), start, end);
    let path = path.finish();
    let mut path_times = Times::new();
    for step in &path {
        count(&mut path_times, step.spent(), step.nanoseconds());
    }
    Explanation {
        waits: waits(&workers, lives),
        found,
        workers,
        times,
        path,
        path_times,
        creator,
    }
}

/// What a goroutine did in these times.
fn worker(life: &Life, intervals: &[(Time, Time)], lives: &Lives) -> Worker {
    let mut worker = Worker {
        id: life.id,
        name: life.name,
        at_work: intervals.to_vec(),
        times: Times::new(),
        stays: Vec::new(),
    };
    for (start, end) in intervals {
        let first = life
            .stretches
            .partition_point(|stretch| stretch.to <= *start);
        let inside = life.stretches.get(first..).unwrap_or(&[]);
        let mut known = *start;
        let mut part = |from: Time, to: Time, spent, stretch: Option<&Stretch>| {
            if from >= to {
                return;
            }
            count(&mut worker.times, spent, to.since(from));
            // Cut off at the end, it was not ended by its waker.
            let waker = stretch.filter(|stretch| stretch.to == to);
            let waker = waker.and_then(|stretch| lives.get(&stretch.waker?));
            worker.stays.push(Part {
                from,
                to,
                spent,
                stack: stretch.and_then(|stretch| stretch.stack),
                waker: waker.map(|life| life.id),
            });
        };
        let unknown = spent(GoState::Undetermined, NameId::EMPTY);
        for stretch in inside.iter().take_while(|stretch| stretch.from < *end) {
            let (from, to) = (stretch.from.max(known), stretch.to.min(*end));
            part(known, from, unknown, None);
            part(
                from,
                to,
                spent(stretch.state, stretch.reason),
                Some(stretch),
            );
            known = known.max(to);
        }
        part(known, *end, unknown, None);
    }
    worker
}

/// Where they waited, by how long in sum.
fn waits(workers: &[Worker], lives: &Lives) -> Vec<Wait> {
    #[derive(Default)]
    struct Place {
        count: u64,
        total: i64,
        longest: i64,
        who: BTreeMap<GoId, i64>,
        wakers: BTreeMap<GoId, i64>,
    }
    let mut names: BTreeMap<GoId, NameId> = BTreeMap::new();
    for life in lives.values() {
        names.insert(life.id, life.name);
    }
    let name = |id: GoId| names.get(&id).copied().unwrap_or_default();
    let most = |times: &BTreeMap<GoId, i64>| {
        let most = times
            .iter()
            .max_by_key(|(id, time)| (**time, core::cmp::Reverse(**id)));
        most.map(|(id, time)| (*id, *time))
    };
    let mut places: BTreeMap<(Spent, Option<StackRef>), Place> = BTreeMap::new();
    for worker in workers {
        for stay in &worker.stays {
            if !matches!(stay.spent.state, GoState::Waiting | GoState::Syscall) {
                continue;
            }
            let place = places.entry((stay.spent, stay.stack)).or_default();
            let time = stay.to.since(stay.from);
            place.count = place.count.saturating_add(1);
            place.total = place.total.saturating_add(time);
            place.longest = place.longest.max(time);
            let sums = [
                (&mut place.who, Some(worker.id)),
                (&mut place.wakers, stay.waker),
            ];
            for (sums, id) in sums {
                if let Some(id) = id {
                    let sum = sums.entry(id).or_insert(0);
                    *sum = sum.saturating_add(time);
                }
            }
        }
    }
    let mut waits: Vec<Wait> = places
        .into_iter()
        .filter_map(|((spent, stack), place)| {
            let (who, _) = most(&place.who)?;
            Some(Wait {
                spent,
                stack,
                count: place.count,
                total: place.total,
                longest: place.longest,
                who,
                name: name(who),
                waker: most(&place.wakers).map(|(id, time)| (id, name(id), time)),
            })
        })
        .collect();
    waits.sort_by_key(|wait| (core::cmp::Reverse(wait.total), wait.stack));
    waits
}
