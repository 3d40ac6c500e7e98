//! What a program did, in a page: of a whole trace, or of each stretch of a live one.
//!
//! [`Overview`] is a [`Visitor`] of [`States`]. Whenever it is asked, it gives a [`Page`] of what happened
//! since it was asked before: once at the end for a whole trace, at the end of each generation for a
//! program that runs.
//!
//! ```
//! use gotrace::Trace;
//! use gotrace::analysis::{overview::Overview, states::States};
//!
//! let bytes = include_bytes!("../../tests/fixtures/http-go1.27.trace");
//! let trace = Trace::new(bytes)?;
//! let (mut reader, mut states, mut overview) = (trace.reader(), States::new(), Overview::new());
//! while let Some(event) = reader.next()? {
//!     states.add(&event, &mut overview);
//! }
//! let page = overview.take(&states).ok_or("no events")?;
//! assert!(page.created > 1_000 && page.gc.collections > 0);
//! assert!(page.busy() > 0.3 && page.busy() < 1.0);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use super::histogram::Histogram;
use super::names::NameId;
use super::states::{
    Goroutine, OpenRange, Proc, ProcStay, RangeEnd, RangeKind, States, Stay, Sums, TaskEnd, Visitor,
};
use super::stops::Stops;
use crate::event::{Event, GoState};
use crate::ids::{GoId, TaskId};
use crate::num;
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Collects what happens. See the [module](self). Its memory grows with the goroutines that live at a
/// time, with the functions they start with and with the types of tasks.
#[derive(Debug, Default)]
pub struct Overview {
    since: Option<Time>,
    lives: u64,
    most: u64,
    created: u64,
    ended: u64,
    sched: Histogram,
    longest: Option<(GoId, NameId, i64)>,
    syscalls: u64,
    functions: BTreeMap<NameId, Function>,
    tasks: BTreeMap<NameId, TaskType>,
    assist: i64,
    gc: Gc,
    stops: Stops,
    heap_most: u64,
    /// By slot: the life that is there, and what it had spent when this was last asked.
    before: Vec<(u64, Sums)>,
}

/// What happened in a stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// When it begins: at the first event, or where the page before ended.
    pub from: Time,
    /// When it ends: at the last event.
    pub to: Time,
    /// The number of procs, if the trace has said it.
    pub gomaxprocs: Option<u64>,
    /// Goroutines at the end: running, runnable, waiting, in system calls.
    pub states: [u64; 4],
    /// Goroutines that were created.
    pub created: u64,
    /// Goroutines that ended.
    pub ended: u64,
    /// The most that lived at a time.
    pub most: u64,
    /// Processor time, by what it was used for.
    pub used: Used,
    /// Times from runnable to running, in nanoseconds.
    pub sched: Histogram,
    /// The longest of these: the goroutine, the function it started with, and nanoseconds.
    pub longest_sched: Option<(GoId, NameId, i64)>,
    /// System calls that ended.
    pub syscalls: u64,
    /// Goroutines by the function they started with, what ran the longest first.
    pub functions: Vec<Function>,
    /// Tasks by type, what took the longest in sum first.
    pub tasks: Vec<TaskType>,
    /// The garbage collector.
    pub gc: Gc,
    /// Bytes of heap objects at the end, if the trace has said it.
    pub heap: Option<u64>,
    /// The most there were, as far as the trace says.
    pub heap_most: Option<u64>,
    /// Bytes of heap at which the next garbage collection is to end, if the trace has said it.
    pub heap_goal: Option<u64>,
}

/// Processor time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Used {
    /// The program's goroutines, but for when they helped the garbage collector.
    pub program: i64,
    /// The garbage collector: its workers, and goroutines that helped it.
    pub gc: i64,
    /// The runtime's other goroutines.
    pub runtime: i64,
    /// System calls, as long as they had a processor.
    pub syscalls: i64,
}

impl Used {
    /// All of it.
    pub const fn total(&self) -> i64 {
        self.program
            .saturating_add(self.gc)
            .saturating_add(self.runtime)
            .saturating_add(self.syscalls)
    }
}

/// Goroutines that started with one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Function {
    /// The function; empty for those of which it is not known.
    pub name: NameId,
    /// How many lived.
    pub count: u64,
    /// How many of these still live.
    pub alive: u64,
    /// What they spent in each state.
    pub sums: Sums,
}

/// Tasks of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskType {
    /// The type.
    pub ty: NameId,
    /// How long those took that ended and whose beginning is known, in nanoseconds.
    pub times: Histogram,
    /// The longest of them.
    pub slowest: Option<(TaskId, i64)>,
    /// How many have not ended.
    pub open: u64,
}

/// The garbage collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gc {
    /// Collections whose marking ended.
    pub collections: u64,
    /// How long it was marking, in nanoseconds.
    pub marking: i64,
    /// How often the world was stopped, for any reason.
    pub stops: u64,
    /// How long it took in sum until the world went on, in nanoseconds: the
    /// [pauses](super::gc::Pause::pause), not the ranges. A stop is part of the page in which its range
    /// ends.
    pub stopped: i64,
    /// The longest of these pauses.
    pub longest_stop: i64,
    /// Why that was, in Go's words.
    pub longest_reason: NameId,
}

impl Page {
    /// How long, in nanoseconds.
    pub const fn nanoseconds(&self) -> i64 {
        self.to.since(self.from)
    }

    /// The part of all processors' time, 0 to 1; 0 if the number of procs is not known.
    pub fn part(&self, nanoseconds: i64) -> f64 {
        let procs = self.gomaxprocs.unwrap_or(0);
        let time = u64::try_from(self.nanoseconds()).unwrap_or(0);
        let whole = num::float(procs) * num::float(time);
        let part = num::float(u64::try_from(nanoseconds).unwrap_or(0));
        if whole > 0.0 {
            (part / whole).min(1.0)
        } else {
            0.0
        }
    }

    /// Adds the page that follows on this one: it is then the page of both stretches, as if it had not
    /// been asked for in between. Only times of goroutines whose function became known in the second
    /// stretch stay where they were counted, with those of unknown functions.
    ///
    /// Both are pages of one [`Overview`], or the names of both are of one [`States`]. Lists are sorted
    /// anew; it takes time in proportion to the functions and types of tasks, not to events.
    pub fn join(&mut self, next: &Page) {
        self.to = next.to;
        self.gomaxprocs = next.gomaxprocs;
        self.states = next.states;
        self.created = self.created.saturating_add(next.created);
        self.ended = self.ended.saturating_add(next.ended);
        self.most = self.most.max(next.most);
        for (sum, more) in [
            (&mut self.used.program, next.used.program),
            (&mut self.used.gc, next.used.gc),
            (&mut self.used.runtime, next.used.runtime),
            (&mut self.used.syscalls, next.used.syscalls),
            (&mut self.gc.marking, next.gc.marking),
            (&mut self.gc.stopped, next.gc.stopped),
        ] {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in [
            (&mut self.syscalls, next.syscalls),
            (&mut self.gc.collections, next.gc.collections),
            (&mut self.gc.stops, next.gc.stops),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.sched.merge(&next.sched);
        if let Some(longest) = next.longest_sched
            && self.longest_sched.is_none_or(|(.., time)| time < longest.2)
        {
            self.longest_sched = Some(longest);
        }
        if self.gc.longest_stop < next.gc.longest_stop {
            self.gc.longest_stop = next.gc.longest_stop;
            self.gc.longest_reason = next.gc.longest_reason;
        }
        self.heap = next.heap;
        self.heap_most = self.heap_most.max(next.heap_most);
        self.heap_goal = next.heap_goal;

        let functions = core::mem::take(&mut self.functions);
        let mut by_name: BTreeMap<NameId, Function> =
            functions.into_iter().map(|f| (f.name, f)).collect();
        for function in by_name.values_mut() {
            // Those that live on are in both.
            function.count = function.count.saturating_sub(function.alive);
            function.alive = 0;
        }
        for more in &next.functions {
            let function = by_name.entry(more.name).or_insert(Function {
                name: more.name,
                ..Function::default()
            });
            function.count = function.count.saturating_add(more.count);
            function.alive = more.alive;
            function.sums = function.sums.plus(&more.sums);
        }
        self.functions = by_use(by_name);

        let tasks = core::mem::take(&mut self.tasks);
        let mut by_type: BTreeMap<NameId, TaskType> =
            tasks.into_iter().map(|task| (task.ty, task)).collect();
        for task in by_type.values_mut() {
            task.open = 0;
        }
        for more in &next.tasks {
            let task = by_type.entry(more.ty).or_insert_with(|| TaskType {
                ty: more.ty,
                ..TaskType::default()
            });
            task.open = more.open;
            task.times.merge(&more.times);
            if let Some(slowest) = more.slowest
                && task.slowest.is_none_or(|(_, time)| time < slowest.1)
            {
                task.slowest = Some(slowest);
            }
        }
        self.tasks = by_time(by_type);
    }

    /// The part of the processors' time that was used, 0 to 1.
    pub fn busy(&self) -> f64 {
        self.part(self.used.total())
    }
}

/// What ran the longest first.
fn by_use(functions: BTreeMap<NameId, Function>) -> Vec<Function> {
    let mut functions: Vec<Function> = functions.into_values().collect();
    functions.sort_by_key(|f| (Reverse(f.sums.running), Reverse(f.count), f.name));
    functions
}

/// What took the longest in sum first.
fn by_time(tasks: BTreeMap<NameId, TaskType>) -> Vec<TaskType> {
    let mut tasks: Vec<TaskType> = tasks.into_values().collect();
    tasks.sort_by_key(|task| (Reverse(task.times.sum()), task.ty));
    tasks
}

impl Overview {
    /// Nothing is known yet.
    pub fn new() -> Overview {
        Overview::default()
    }

    /// What a goroutine spent since this was last asked.
    fn fold(&mut self, goroutine: &Goroutine, until: Time, is_alive: bool) {
        let slot = num::index(goroutine.slot);
        if self.before.len() <= slot {
            self.before
                .resize(slot.saturating_add(1), (0, Sums::default()));
        }
        let sums = goroutine.sums(until);
        let Some(before) = self.before.get_mut(slot) else {
            return;
        };
        if before.0 != goroutine.life {
            *before = (goroutine.life, Sums::default());
        }
        let spent = sums.since(&before.1);
        before.1 = sums;
        let function = self.functions.entry(goroutine.name).or_insert(Function {
            name: goroutine.name,
            ..Function::default()
        });
        function.count = function.count.saturating_add(1);
        function.alive = function.alive.saturating_add(u64::from(is_alive));
        function.sums = function.sums.plus(&spent);
    }

    /// What happened since this was asked before, or since the first event. `None` if there was none.
    pub fn take(&mut self, states: &States) -> Option<Page> {
        let from = self.since.or(states.begin_time())?;
        let to = states.last_time();
        let mut counts = [0u64; 4];
        for goroutine in states.goroutines() {
            self.fold(goroutine, to, true);
            let at = match goroutine.state {
                GoState::Running => 0,
                GoState::Runnable => 1,
                GoState::Waiting => 2,
                GoState::Syscall => 3,
                _ => continue,
            };
            if let Some(count) = counts.get_mut(at) {
                *count = count.saturating_add(1);
            }
        }
        for task in states.tasks() {
            let of_type = self.tasks.entry(task.ty).or_insert_with(|| TaskType {
                ty: task.ty,
                ..TaskType::default()
            });
            of_type.open = of_type.open.saturating_add(1);
        }
        for range in states
            .ranges()
            .filter(|range| range.kind == RangeKind::GcMark)
        {
            let time = to.since(range.from.max(from)).max(0);
            self.gc.marking = self.gc.marking.saturating_add(time);
        }
        let functions = by_use(core::mem::take(&mut self.functions));
        let tasks = by_time(core::mem::take(&mut self.tasks));
        let page = Page {
            from,
            to,
            gomaxprocs: states.gomaxprocs(),
            states: counts,
            created: core::mem::take(&mut self.created),
            ended: core::mem::take(&mut self.ended),
            most: core::mem::replace(&mut self.most, self.lives),
            used: used(states, &functions, core::mem::take(&mut self.assist)),
            sched: core::mem::take(&mut self.sched),
            longest_sched: self.longest.take(),
            syscalls: core::mem::take(&mut self.syscalls),
            functions,
            tasks,
            gc: core::mem::take(&mut self.gc),
            heap: states.heap(),
            heap_most: states.heap().map(|heap| heap.max(self.heap_most)),
            heap_goal: states.heap_goal(),
        };
        self.heap_most = 0;
        self.since = Some(to);
        Some(page)
    }
}

/// What processors were used for.
fn used(states: &States, functions: &[Function], assist: i64) -> Used {
    let mut used = Used::default();
    for function in functions {
        let name = states.names().text(function.name);
        let is_system = name.starts_with("runtime.") && name != crate::GoStr::from("runtime.main");
        let sum = match is_system {
            true if name.starts_with("runtime.gcBgMarkWorker") => &mut used.gc,
            true => &mut used.runtime,
            false => &mut used.program,
        };
        *sum = sum.saturating_add(function.sums.running);
        used.syscalls = used.syscalls.saturating_add(function.sums.syscall);
    }
    // Goroutines that help are the program's.
    let assist = assist.clamp(0, used.program);
    used.program = used.program.saturating_sub(assist);
    used.gc = used.gc.saturating_add(assist);
    used
}

impl Visitor for Overview {
    fn goroutine_began(&mut self, _: &States, goroutine: &Goroutine, _: &Event<'_, '_>) {
        self.lives = self.lives.saturating_add(1);
        self.most = self.most.max(self.lives);
        if goroutine.is_new {
            self.created = self.created.saturating_add(1);
        }
    }

    #[inline]
    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        match stay.state {
            GoState::Runnable if stay.next == GoState::Running && !stay.began_before() => {
                let time = stay.nanoseconds();
                self.sched.add(time);
                if self.longest.is_none_or(|(_, _, longest)| longest < time) {
                    self.longest = Some((stay.id, goroutine.name, time));
                }
            }
            GoState::Running => self.stops.stay(states, goroutine, stay),
            GoState::Syscall if !stay.open => self.syscalls = self.syscalls.saturating_add(1),
            _ => {}
        }
    }

    fn goroutine_ended(&mut self, _: &States, goroutine: &Goroutine) {
        self.fold(goroutine, goroutine.since, false);
        self.ended = self.ended.saturating_add(1);
        self.lives = self.lives.saturating_sub(1);
    }

    fn proc_began(&mut self, states: &States, proc: &Proc) {
        self.stops.proc_began(states, proc);
    }

    fn proc_stay(&mut self, states: &States, stay: &ProcStay) {
        self.stops.proc_stay(states, stay);
    }

    fn heap_changed(&mut self, states: &States) {
        self.heap_most = self.heap_most.max(states.heap().unwrap_or(0));
    }

    fn range_began(&mut self, states: &States, range: &OpenRange) {
        self.stops.range_began(states, range);
    }

    fn range_ended(&mut self, states: &States, end: &RangeEnd) {
        if let Some(stop) = self.stops.ended(states, end) {
            self.gc.stops = self.gc.stops.saturating_add(1);
            self.gc.stopped = self.gc.stopped.saturating_add(stop.pause);
            if stop.pause > self.gc.longest_stop {
                self.gc.longest_stop = stop.pause;
                self.gc.longest_reason = stop.reason;
            }
        }
        let since = self.since.unwrap_or(end.range.from);
        let time = end.to.since(end.range.from.max(since)).max(0);
        match end.range.kind {
            RangeKind::GcMark => {
                self.gc.collections = self.gc.collections.saturating_add(1);
                self.gc.marking = self.gc.marking.saturating_add(time);
            }
            RangeKind::GcMarkAssist => self.assist = self.assist.saturating_add(end.executing),
            RangeKind::StopTheWorld | RangeKind::GcSweep => {}
        }
    }

    fn task_ended(&mut self, _: &States, task: &TaskEnd) {
        let of_type = self.tasks.entry(task.ty).or_insert_with(|| TaskType {
            ty: task.ty,
            ..TaskType::default()
        });
        if let Some(time) = task.nanoseconds() {
            of_type.times.add(time);
            if of_type.slowest.is_none_or(|(_, slowest)| slowest < time) {
                of_type.slowest = Some((task.id, time));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trace;
    use crate::event::EventKind;

    fn pages(bytes: &[u8], each_generation: bool) -> (States, Vec<Page>) {
        let trace = Trace::new(bytes).unwrap();
        let (mut states, mut overview) = (States::new(), Overview::new());
        let mut reader = trace.reader();
        let mut pages = Vec::new();
        while let Some(event) = reader.next().unwrap() {
            let is_next = event.kind() == EventKind::Sync && states.syncs() > 0;
            states.add(&event, &mut overview);
            if is_next && each_generation {
                pages.extend(overview.take(&states));
            }
        }
        pages.extend(overview.take(&states));
        (states, pages)
    }

    /// Pages of parts add up to the page of the whole.
    #[test]
    fn parts_add_up() {
        for bytes in [
            &include_bytes!("../../tests/fixtures/flight-go1.27.trace")[..],
            include_bytes!("../../tests/fixtures/annotate-go1.27.trace"),
            include_bytes!("../../tests/fixtures/gc-go1.23.trace"),
        ] {
            let (states, whole) = pages(bytes, false);
            let [whole] = &whole[..] else {
                panic!("one page")
            };
            let (_, parts) = pages(bytes, true);
            assert_eq!(
                parts.iter().map(Page::nanoseconds).sum::<i64>(),
                whole.nanoseconds()
            );
            assert_eq!(
                parts.iter().map(|page| page.created).sum::<u64>(),
                whole.created
            );
            assert_eq!(
                parts.iter().map(|page| page.ended).sum::<u64>(),
                whole.ended
            );
            assert_eq!(parts.iter().map(|page| page.most).max(), Some(whole.most));
            let sched = |page: &Page| (page.sched.len(), page.sched.sum());
            let all: Vec<_> = parts.iter().map(sched).collect();
            assert_eq!(all.iter().map(|s| s.0).sum::<u64>(), sched(whole).0);
            assert_eq!(all.iter().map(|s| s.1).sum::<i64>(), sched(whole).1);
            let spent =
                |page: &Page| -> i64 { page.functions.iter().map(|f| f.sums.total()).sum() };
            assert_eq!(parts.iter().map(spent).sum::<i64>(), spent(whole));
            assert_eq!(
                parts.iter().map(|page| page.gc.collections).sum::<u64>(),
                whole.gc.collections
            );
            let marking: i64 = parts.iter().map(|page| page.gc.marking).sum();
            assert_eq!(marking, whole.gc.marking);
            let tasks =
                |page: &Page| -> u64 { page.tasks.iter().map(|task| task.times.len()).sum() };
            assert_eq!(parts.iter().map(tasks).sum::<u64>(), tasks(whole));
            // What was used is no more than what there was, a little more than which it may look like
            // where a thread gives its proc away.
            assert!(whole.used.total() > 0 && whole.busy() <= 1.0);
            let lived: u64 = whole.functions.iter().map(|f| f.count).sum();
            assert_eq!(lived, states.lives());
            let alive: u64 = whole.functions.iter().map(|f| f.alive).sum();
            assert_eq!(alive, whole.states.iter().sum::<u64>());
        }
    }
}
