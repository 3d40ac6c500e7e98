//! Goroutines by the function that they started with, tasks and regions by type: how many, how long,
//! and how their time was spent.
//!
//! A [`Summary`] is a [`Visitor`] of [`States`]. Goroutines that end fold into their group at once, so
//! that memory grows with what lives at a time and with the number of different functions and types,
//! not with events.
//!
//! ```
//! use gotrace::Trace;
//! use gotrace::analysis::{states::States, summary::{StateKind, Summary}};
//!
//! let bytes = include_bytes!("../../tests/fixtures/block-go1.27.trace");
//! let trace = Trace::new(bytes)?;
//! let (mut reader, mut states, mut summary) = (trace.reader(), States::new(), Summary::new());
//! while let Some(event) = reader.next()? {
//!     states.add(&event, &mut summary);
//! }
//! states.finish(&mut summary);
//! let workers = summary.groups().iter().max_by_key(|group| group.count).unwrap();
//! assert_eq!(states.names().text(workers.name), "main.main.func1.1");
//! assert_eq!(workers.count, 28);
//! let waits = &workers.state(StateKind::Runnable).stays;
//! println!("median wait for a processor: {:?} ns", waits.quantile(0.5));
//! # Ok::<(), gotrace::Error>(())
//! ```

use super::histogram::Histogram;
use super::names::{NameId, Names};
use super::scope::Scope;
use super::states::{
    Goroutine, OpenTask, RegionEnd, RegionKey, States, Stay, Sums, TaskEnd, Visitor,
};
use crate::event::{Event, GoState};
use crate::ids::{GoId, TaskId};
use crate::num;
use crate::select::Filter;
use crate::tables::NIL;
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What a goroutine does, as far as a summary tells states apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StateKind {
    /// It runs.
    Running,
    /// It is ready to run and waits for a processor.
    Runnable,
    /// It waits for something else.
    Waiting,
    /// It is in a system call, with a processor.
    Syscall,
    /// It is in a system call, and its processor was taken away to run others.
    SyscallBlocked,
}

impl StateKind {
    /// Every kind.
    pub const ALL: &[StateKind] = &[
        StateKind::Running,
        StateKind::Runnable,
        StateKind::Waiting,
        StateKind::Syscall,
        StateKind::SyscallBlocked,
    ];

    /// A name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            StateKind::Running => "running",
            StateKind::Runnable => "runnable",
            StateKind::Waiting => "waiting",
            StateKind::Syscall => "syscall",
            StateKind::SyscallBlocked => "syscall-blocked",
        }
    }

    const fn index(self) -> usize {
        match self {
            StateKind::Running => 0,
            StateKind::Runnable => 1,
            StateKind::Waiting => 2,
            StateKind::Syscall => 3,
            StateKind::SyscallBlocked => 4,
        }
    }

    /// What goroutines with these sums spent in it, in nanoseconds.
    pub const fn of(self, sums: &Sums) -> i64 {
        match self {
            StateKind::Running => sums.running,
            StateKind::Runnable => sums.runnable,
            StateKind::Waiting => sums.waiting,
            StateKind::Syscall => sums.syscall,
            StateKind::SyscallBlocked => sums.syscall_without_proc,
        }
    }
}

/// The time that a group's goroutines spent in a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateTimes {
    /// Each stay in it by itself. Its [sum](Histogram::sum) is the total.
    pub stays: Histogram,
    /// What each goroutine spent in it over its life; those that never were in it are left out.
    pub goroutines: Histogram,
}

impl StateTimes {
    fn merge(&mut self, other: &StateTimes) {
        self.stays.merge(&other.stays);
        self.goroutines.merge(&other.goroutines);
    }
}

/// Goroutines that started with the same function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// The function; empty for goroutines of which no stack was seen.
    pub name: NameId,
    /// How many there were.
    pub count: u64,
    /// How many of these the trace shows being created.
    pub created: u64,
    /// How many of these ended.
    pub ended: u64,
    /// How long each lived, as far as the trace goes.
    pub lives: Histogram,
    states: [StateTimes; 5],
    /// A few: looked through one by one.
    reasons: Vec<(NameId, StateTimes)>,
}

impl Group {
    /// The time spent in a state.
    pub fn state(&self, kind: StateKind) -> &StateTimes {
        let [first, rest @ ..] = &self.states;
        let at = kind.index().checked_sub(1);
        at.and_then(|at| rest.get(at)).unwrap_or(first)
    }

    /// Waiting by reason, in Go's words.
    pub fn reasons(&self) -> impl Iterator<Item = (NameId, &StateTimes)> {
        self.reasons.iter().map(|(reason, times)| (*reason, times))
    }

    #[inline]
    fn reason(&mut self, reason: NameId) -> Option<&mut StateTimes> {
        let at = match self.reasons.iter().position(|(r, _)| *r == reason) {
            Some(at) => at,
            None => {
                self.reasons.push((reason, StateTimes::default()));
                self.reasons.len().wrapping_sub(1)
            }
        };
        self.reasons.get_mut(at).map(|(_, times)| times)
    }

    fn state_mut(&mut self, kind: StateKind) -> &mut StateTimes {
        let [first, rest @ ..] = &mut self.states;
        let at = kind.index().checked_sub(1);
        at.and_then(|at| rest.get_mut(at)).unwrap_or(first)
    }

    /// The time spent in all states, in nanoseconds.
    pub fn total(&self) -> i64 {
        let sums = self.states.iter().map(|state| state.stays.sum());
        sums.fold(0, i64::saturating_add)
    }

    fn add(&mut self, part: &Part) {
        let [running, runnable, waiting, syscall, blocked] = &mut self.states;
        if part.syscall_without > 0 {
            blocked.stays.add(part.syscall_without);
        }
        let times = match part.state {
            GoState::Running => running,
            GoState::Runnable => runnable,
            GoState::Waiting => waiting,
            GoState::Syscall => syscall,
            GoState::Undetermined | GoState::NotExist => return,
        };
        times.stays.add(part.time);
        if part.state == GoState::Waiting
            && let Some(times) = self.reason(part.reason)
        {
            times.stays.add(part.time);
        }
    }
}

/// A stay, as far as it counts.
#[derive(Clone, Copy, Debug)]
struct Part {
    state: GoState,
    reason: NameId,
    time: i64,
    /// Of a system call, the part without a processor; it is no part of the time.
    syscall_without: i64,
}

impl Part {
    const fn of(stay: &Stay) -> Part {
        let without = stay.nanoseconds_without_proc();
        let time = stay.nanoseconds().saturating_sub(without);
        Part {
            state: stay.state,
            reason: stay.reason,
            time: if time < 0 { 0 } else { time },
            syscall_without: without,
        }
    }
}

/// What is known of a goroutine that lives.
#[derive(Clone, Debug, Default)]
struct Account {
    life: u64,
    /// Whether any of its time counts.
    counts: bool,
    /// The place of its group, once it has a name.
    group: Option<u32>,
    reasons: Vec<(NameId, i64)>,
    sums: Sums,
    /// Before that.
    waiting: Vec<Part>,
}

impl Account {
    #[inline]
    fn count(&mut self, part: &Part) {
        if part.state == GoState::Waiting {
            match self.reasons.iter_mut().find(|(r, _)| *r == part.reason) {
                Some((_, time)) => *time = time.saturating_add(part.time),
                None => self.reasons.push((part.reason, part.time)),
            }
        }
        self.sums.count(part.state, part.time, part.syscall_without);
    }

    /// Another goroutine begins here. The lists keep their room: most goroutines need as much.
    fn begin(&mut self, life: u64) {
        self.life = life;
        self.counts = false;
        self.group = None;
        self.sums = Sums::default();
        self.reasons.clear();
        self.waiting.clear();
    }
}

/// A task that took long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowTask {
    /// The id.
    pub id: TaskId,
    /// The goroutine that began it.
    pub goroutine: Option<GoId>,
    /// When it began.
    pub from: Time,
    /// How long it took, in nanoseconds.
    pub nanoseconds: i64,
}

/// Tasks of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskType {
    /// The type; empty for tasks of which only the end is in the trace, if that does not give it.
    pub ty: NameId,
    /// How many the trace shows beginning or ending.
    pub count: u64,
    /// How many of these ended, but began before the trace.
    pub begun_before: u64,
    /// How many of these did not end in the trace.
    pub open: u64,
    /// Those that began and ended.
    pub durations: Histogram,
    /// The slowest of these, the slowest first.
    pub slowest: Vec<SlowTask>,
}

/// A region that took long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowRegion {
    /// Its goroutine.
    pub goroutine: GoId,
    /// Its task.
    pub task: Option<TaskId>,
    /// When it began.
    pub from: Time,
    /// How long it took, in nanoseconds.
    pub nanoseconds: i64,
    /// How its goroutine spent that time.
    pub sums: Sums,
}

/// Regions of one type that begin in one place of the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegionType {
    /// The type.
    pub ty: NameId,
    /// The function, file and line where they begin: the innermost frame that is the program's own.
    /// `None` without a stack, as of regions that began before the trace.
    pub place: Option<(NameId, NameId, u64)>,
    /// How many the trace shows beginning or ending.
    pub count: u64,
    /// How many of these began before the trace.
    pub begun_before: u64,
    /// How many of these did not end in the trace.
    pub open: u64,
    /// Those that began and ended.
    pub durations: Histogram,
    /// How their goroutines spent that time, all in all.
    pub sums: Sums,
    /// The slowest of these, the slowest first.
    pub slowest: Vec<SlowRegion>,
}

/// Goroutines, tasks and regions summarized. See the [module](self).
#[derive(Clone, Debug)]
pub struct Summary {
    groups: Vec<Group>,
    /// By the index of a function: the place of its group.
    by_name: Vec<u32>,
    accounts: Vec<Account>,
    tasks: BTreeMap<NameId, TaskType>,
    regions: BTreeMap<RegionKey, RegionType>,
    keep: usize,
}

impl Default for Summary {
    fn default() -> Summary {
        Summary::new()
    }
}

/// Everything.
static ALL: Filter = Filter::new();

/// How many stays are kept of a goroutine whose name is not known yet. Two or three are usual.
const NAMELESS: usize = 32;

impl Summary {
    /// An empty summary, which keeps the ten slowest tasks and regions of each type.
    pub const fn new() -> Summary {
        Summary {
            groups: Vec::new(),
            by_name: Vec::new(),
            accounts: Vec::new(),
            tasks: BTreeMap::new(),
            regions: BTreeMap::new(),
            keep: 10,
        }
    }

    /// How many of the slowest tasks and regions of each type are kept.
    #[must_use]
    pub const fn with_slowest(mut self, keep: usize) -> Summary {
        self.keep = keep;
        self
    }

    /// Goroutines by start function, in the order in which they were first seen.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Tasks by type.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskType> {
        self.tasks.values()
    }

    /// Regions by type and place.
    pub fn regions(&self) -> impl Iterator<Item = &RegionType> {
        self.regions.values()
    }

    /// What is open in the end counts as open, as far as the scope says that it counts. To be called
    /// once after [`States::finish`] or [`Scope::finish`].
    pub fn add_open(&mut self, states: &States, scope: Option<&mut Scope<'_>>) {
        let mut all = Scope::new(&ALL);
        let scope = scope.unwrap_or(&mut all);
        for task in states.tasks() {
            if !scope.counts_task(states, task) {
                continue;
            }
            let ty = self.task_type(task.ty);
            ty.open = ty.open.saturating_add(1);
        }
        for goroutine in states.goroutines() {
            for region in &goroutine.regions {
                if !scope.counts_region(states, goroutine, region) {
                    continue;
                }
                let key = region.key(states);
                let ty = self.region_type(key);
                ty.count = ty.count.saturating_add(1);
                ty.open = ty.open.saturating_add(1);
            }
        }
    }

    /// Adds the summary of another trace, whose names are `theirs`; those of this one are `ours`.
    /// Percentiles are then those of all.
    pub fn merge(&mut self, ours: &mut Names, other: &Summary, theirs: &Names) {
        let mut name = |id: NameId| ours.add(theirs.text(id));
        for group in &other.groups {
            let at = self.group_of(name(group.name));
            let Some(to) = self.groups.get_mut(num::index(at)) else {
                continue;
            };
            to.count = to.count.saturating_add(group.count);
            to.created = to.created.saturating_add(group.created);
            to.ended = to.ended.saturating_add(group.ended);
            to.lives.merge(&group.lives);
            for (to, from) in to.states.iter_mut().zip(&group.states) {
                to.merge(from);
            }
            for (reason, times) in &group.reasons {
                if let Some(to) = to.reason(name(*reason)) {
                    to.merge(times);
                }
            }
        }
        let keep = self.keep;
        for task in other.tasks.values() {
            let to = self.task_type(name(task.ty));
            to.count = to.count.saturating_add(task.count);
            to.begun_before = to.begun_before.saturating_add(task.begun_before);
            to.open = to.open.saturating_add(task.open);
            to.durations.merge(&task.durations);
            for slow in &task.slowest {
                keep_slowest(&mut to.slowest, *slow, keep, |slow| slow.nanoseconds);
            }
        }
        for region in other.regions.values() {
            let place = region.place;
            let place = place.map(|(func, file, line)| (name(func), name(file), line));
            let to = self.region_type((name(region.ty), place));
            to.count = to.count.saturating_add(region.count);
            to.begun_before = to.begun_before.saturating_add(region.begun_before);
            to.open = to.open.saturating_add(region.open);
            to.durations.merge(&region.durations);
            to.sums = to.sums.plus(&region.sums);
            for slow in &region.slowest {
                keep_slowest(&mut to.slowest, *slow, keep, |slow| slow.nanoseconds);
            }
        }
    }

    fn group_of(&mut self, name: NameId) -> u32 {
        match self.by_name.get(name.index()) {
            Some(at) if *at != NIL => *at,
            _ => self.new_group(name),
        }
    }

    #[cold]
    fn new_group(&mut self, name: NameId) -> u32 {
        let at = num::slot(self.groups.len());
        if self.by_name.len() <= name.index() {
            self.by_name.resize(name.index().saturating_add(1), NIL);
        }
        if let Some(place) = self.by_name.get_mut(name.index()) {
            *place = at;
        }
        self.groups.push(Group {
            name,
            ..Group::default()
        });
        at
    }

    fn task_type(&mut self, ty: NameId) -> &mut TaskType {
        let entry = self.tasks.entry(ty);
        entry.or_insert_with(|| TaskType {
            ty,
            ..TaskType::default()
        })
    }

    fn region_type(&mut self, key: RegionKey) -> &mut RegionType {
        let entry = self.regions.entry(key);
        entry.or_insert_with(|| RegionType {
            ty: key.0,
            place: key.1,
            ..RegionType::default()
        })
    }

    /// A stay of a goroutine whose group is not known yet: when it is, its earlier ones count, too.
    #[cold]
    fn stay_without_group(&mut self, slot: usize, name: NameId, part: Part) {
        let earlier = self.accounts.get(slot).map_or(0, |a| a.waiting.len());
        // It may have no name yet; after so much it will have none.
        let is_known = !name.is_empty() || earlier >= NAMELESS;
        let group = is_known.then(|| self.group_of(name));
        let Some(account) = self.accounts.get_mut(slot) else {
            return;
        };
        account.group = group;
        let Some(group) = group.and_then(|group| self.groups.get_mut(num::index(group))) else {
            account.waiting.push(part);
            return;
        };
        for earlier in account.waiting.drain(..) {
            group.add(&earlier);
        }
        group.add(&part);
    }

    /// A goroutine is over: what it did is added to its group. It is none of it if nothing counts.
    fn fold(&mut self, states: &States, goroutine: &Goroutine, ended: bool) {
        let slot = num::index(goroutine.slot);
        let account = self.accounts.get(slot);
        let Some(account) = account.filter(|account| account.life == goroutine.life) else {
            return;
        };
        if !account.counts {
            return;
        }
        let at = account.group;
        let at = at.unwrap_or_else(|| self.group_of(goroutine.name));
        let (Some(account), Some(group)) = (
            self.accounts.get_mut(slot),
            self.groups.get_mut(num::index(at)),
        ) else {
            return;
        };
        // It is counted once.
        account.life = 0;
        for part in account.waiting.drain(..) {
            group.add(&part);
        }
        group.count = group.count.saturating_add(1);
        group.created = group.created.saturating_add(u64::from(goroutine.is_new));
        group.ended = group.ended.saturating_add(u64::from(ended));
        group.lives.add(states.last_time().since(goroutine.created));
        for kind in StateKind::ALL {
            let time = kind.of(&account.sums);
            if time > 0 {
                group.state_mut(*kind).goroutines.add(time);
            }
        }
        for (reason, time) in account.reasons.drain(..) {
            if let Some(times) = group.reason(reason) {
                times.goroutines.add(time);
            }
        }
    }
}

/// Keeps the slowest in order.
fn keep_slowest<T: Copy>(all: &mut Vec<T>, new: T, keep: usize, time: impl Fn(&T) -> i64) {
    let at = all.partition_point(|old| time(old) >= time(&new));
    if at < keep {
        all.insert(at, new);
        all.truncate(keep);
    }
}

impl Visitor for Summary {
    fn goroutine_began(&mut self, _: &States, goroutine: &Goroutine, _: &Event<'_, '_>) {
        let slot = num::index(goroutine.slot);
        if self.accounts.len() <= slot {
            self.accounts
                .resize_with(slot.saturating_add(1), Account::default);
        }
        if let Some(account) = self.accounts.get_mut(slot) {
            account.begin(goroutine.life);
        }
    }

    #[inline]
    fn stay(&mut self, _: &States, goroutine: &Goroutine, stay: &Stay) {
        if !stay.counts {
            return;
        }
        let part = Part::of(stay);
        let slot = num::index(goroutine.slot);
        let Some(account) = self.accounts.get_mut(slot) else {
            return;
        };
        account.counts = true;
        account.count(&part);
        let group = account.group.map(num::index);
        match group.and_then(|group| self.groups.get_mut(group)) {
            Some(group) => group.add(&part),
            None => self.stay_without_group(slot, goroutine.name, part),
        }
    }

    fn goroutine_ended(&mut self, states: &States, goroutine: &Goroutine) {
        self.fold(states, goroutine, true);
    }

    fn goroutine_left(&mut self, states: &States, goroutine: &Goroutine) {
        self.fold(states, goroutine, false);
    }

    fn task_began(&mut self, _: &States, task: &OpenTask) {
        let ty = self.task_type(task.ty);
        ty.count = ty.count.saturating_add(1);
    }

    fn task_ended(&mut self, _: &States, end: &TaskEnd) {
        let keep = self.keep;
        let ty = self.task_type(end.ty);
        let Some(begin) = end.begin else {
            ty.count = ty.count.saturating_add(1);
            ty.begun_before = ty.begun_before.saturating_add(1);
            return;
        };
        let slow = SlowTask {
            id: end.id,
            goroutine: begin.goroutine,
            from: begin.from,
            nanoseconds: end.to.since(begin.from).max(0),
        };
        ty.durations.add(slow.nanoseconds);
        keep_slowest(&mut ty.slowest, slow, keep, |slow| slow.nanoseconds);
    }

    fn region_ended(&mut self, states: &States, goroutine: &Goroutine, end: &RegionEnd) {
        let keep = self.keep;
        let Some(begin) = end.begin else {
            let ty = self.region_type((end.ty, None));
            ty.count = ty.count.saturating_add(1);
            ty.begun_before = ty.begun_before.saturating_add(1);
            return;
        };
        let ty = self.region_type(begin.key(states));
        let slow = SlowRegion {
            goroutine: goroutine.id,
            task: begin.task,
            from: begin.from,
            nanoseconds: end.to.since(begin.from).max(0),
            sums: end.sums.since(&begin.sums),
        };
        ty.count = ty.count.saturating_add(1);
        ty.durations.add(slow.nanoseconds);
        ty.sums = ty.sums.plus(&slow.sums);
        keep_slowest(&mut ty.slowest, slow, keep, |slow| slow.nanoseconds);
    }
}
