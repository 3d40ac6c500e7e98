//! The garbage collector and stops of the world: what they cost, and who waited for whom.
//!
//! [`Gc`] is a [`Visitor`] of [`States`] that also sees each [event](Gc::event).
//!
//! A *pause* is not the range that the trace has of a stop of the world. That range begins when a
//! goroutine asks for the stop, and ends when that goroutine runs again; the world may have gone on
//! long before, and stood only once the last processor had stopped. So a [`Pause`] has three lengths:
//! until the last processor stopped, until the first one went on, and that of the range.

use super::histogram::Histogram;
use super::names::{NameId, StackRef};
use super::states::{Goroutine, OpenRange, ProcStay, RangeEnd, RangeKind, States, Stay, Visitor};
use crate::event::{Details, Event, EventKind, GoState, Metric, ProcState};
use crate::ids::{GoId, ProcId};
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A stop of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pause {
    /// Why, in Go's words, as `GC mark termination`.
    pub reason: NameId,
    /// The goroutine that stopped the world.
    pub goroutine: Option<GoId>,
    /// The function it started with.
    pub name: NameId,
    /// When it asked for it.
    pub from: Time,
    /// When its range ended.
    pub to: Time,
    /// How long it took until the last of the other processors had stopped, in nanoseconds; 0 if
    /// all were idle.
    pub stopping: i64,
    /// How long it took until the world went on, in nanoseconds: when the first processor started
    /// again, or else the range ended.
    pub pause: i64,
    /// The processor that stopped last.
    pub last: Option<Delay>,
}

impl Pause {
    /// The length of the range, in nanoseconds, which Go's tools show.
    pub const fn range(&self) -> i64 {
        self.to.since(self.from)
    }
}

/// What the world waited for when it was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delay {
    /// The processor.
    pub proc: ProcId,
    /// The goroutine that ran on it last, if one did since the world was asked to stop.
    pub goroutine: Option<GoId>,
    /// The function that one started with.
    pub name: NameId,
    /// Where it was when it stopped, or its last stack before.
    pub stack: Option<StackRef>,
}

/// Ranges of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RangeTimes {
    /// Those that ended.
    pub lengths: Histogram,
    /// For how long of these their goroutines ran: a goroutine that helps the collector may wait in
    /// between, for long.
    pub executing: Histogram,
}

/// A moment of the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeapPoint {
    /// When.
    pub time: Time,
    /// Bytes of heap objects.
    pub heap: u64,
    /// Bytes of heap at which the next collection is to end; 0 if not said yet.
    pub goal: u64,
}

/// The garbage collector in a trace. See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct Gc {
    cycles: Histogram,
    first_mark: Option<Time>,
    marking: i64,
    pauses: Vec<Pause>,
    stop: Option<Stop>,
    /// What ran last on each processor since the world was asked to stop.
    ran_last: BTreeMap<ProcId, (GoId, NameId, Option<StackRef>)>,
    workers: BTreeMap<NameId, i64>,
    assists: BTreeMap<NameId, RangeTimes>,
    sweeps: RangeTimes,
    swept: u64,
    reclaimed: u64,
    heap: Vec<HeapPoint>,
    /// One point is kept for each so many nanoseconds.
    step: i64,
    running: i64,
    from: Time,
    worker: Option<NameId>,
}

/// A stop of the world that goes on.
#[derive(Clone, Copy, Debug)]
struct Stop {
    range: OpenRange,
    last: Option<(Time, Delay)>,
    /// Others that run.
    others: usize,
    restart: Option<Time>,
}

/// How many points of the heap are kept.
const POINTS: usize = 512;

impl Gc {
    /// Nothing was seen yet.
    pub fn new() -> Gc {
        Gc::default()
    }

    /// Counts only what ends from here on.
    pub const fn set_from(&mut self, from: Time) {
        self.from = from;
    }

    /// Collections that ended, with how long they marked.
    pub const fn cycles(&self) -> &Histogram {
        &self.cycles
    }

    /// For how long it marked, in nanoseconds.
    pub const fn marking(&self) -> i64 {
        self.marking
    }

    /// Every stop of the world, for any reason, in order.
    pub fn pauses(&self) -> &[Pause] {
        &self.pauses
    }

    /// How long the background workers ran, in nanoseconds, by their label: `GC (dedicated)`,
    /// `GC (fractional)` and `GC (idle)`.
    pub fn workers(&self) -> impl Iterator<Item = (NameId, i64)> {
        self.workers.iter().map(|(label, time)| (*label, *time))
    }

    /// Help that goroutines gave to the collector to be allowed to allocate, by the function that
    /// they started with.
    pub fn assists(&self) -> impl Iterator<Item = (NameId, &RangeTimes)> {
        self.assists.iter().map(|(name, times)| (*name, times))
    }

    /// Sweeping.
    pub const fn sweeps(&self) -> &RangeTimes {
        &self.sweeps
    }

    /// Bytes swept, and of these bytes reclaimed.
    pub const fn swept(&self) -> (u64, u64) {
        (self.swept, self.reclaimed)
    }

    /// The heap over time, at most 512 points.
    pub fn heap(&self) -> &[HeapPoint] {
        &self.heap
    }

    /// For how long goroutines ran, all in all, in nanoseconds: what shares are of.
    pub const fn running(&self) -> i64 {
        self.running
    }

    /// Sees an event, after the states did.
    #[inline]
    pub fn event(&mut self, event: &Event<'_, '_>, states: &States) {
        if event.kind() != EventKind::Metric || event.time() < self.from {
            return;
        }
        let Details::Metric(metric) = event.details() else {
            return;
        };
        if metric.name == Metric::HEAP_OBJECTS || metric.name == Metric::HEAP_GOAL {
            let Some(heap) = states.heap() else { return };
            self.point(HeapPoint {
                time: event.time(),
                heap,
                goal: states.heap_goal().unwrap_or(0),
            });
        }
    }

    /// Keeps the largest heap of each step, and makes steps longer when there are too many.
    fn point(&mut self, point: HeapPoint) {
        if let Some(last) = self.heap.last_mut()
            && point.time.since(last.time) < self.step
        {
            if point.heap >= last.heap {
                last.heap = point.heap;
            }
            last.goal = point.goal;
            return;
        }
        self.heap.push(point);
        if self.heap.len() < POINTS {
            return;
        }
        let (first, last) = (self.heap.first(), self.heap.last());
        let span = first.zip(last).map_or(0, |(a, b)| b.time.since(a.time));
        self.step = (span / 256).max(1);
        for point in core::mem::take(&mut self.heap) {
            match self.heap.last_mut() {
                Some(last) if point.time.since(last.time) < self.step => {
                    last.heap = last.heap.max(point.heap);
                    last.goal = point.goal;
                }
                _ => self.heap.push(point),
            }
        }
    }

    fn is_worker(&mut self, states: &States, name: NameId) -> bool {
        if self.worker.is_none() {
            self.worker = states.names().find("runtime.gcBgMarkWorker");
        }
        self.worker == Some(name)
    }
}

impl Visitor for Gc {
    #[inline]
    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        if stay.state != GoState::Running {
            return;
        }
        if self.stop.is_some()
            && let Some(proc) = stay.proc
        {
            let ran = (goroutine.id, goroutine.name, goroutine.own_stack);
            self.ran_last.insert(proc, ran);
        }
        let time = stay.to.since(stay.from.max(self.from)).max(0);
        self.running = self.running.saturating_add(time);
        if !goroutine.label.is_empty() && self.is_worker(states, goroutine.name) {
            let sum = self.workers.entry(goroutine.label).or_default();
            *sum = sum.saturating_add(time);
        }
    }

    fn proc_stay(&mut self, _: &States, stay: &ProcStay) {
        let Some(stop) = &mut self.stop else { return };
        if stay.open || stop.restart.is_some() {
            return;
        }
        let own = stop.range.proc == Some(stay.id);
        match (stay.state, stay.next) {
            (ProcState::Running, _) if !own => {
                stop.others = stop.others.saturating_sub(1);
                // It stopped its goroutine before itself.
                let ran = self.ran_last.get(&stay.id).copied();
                let delay = Delay {
                    proc: stay.id,
                    goroutine: ran.map(|(id, ..)| id),
                    name: ran.map_or(NameId::EMPTY, |(_, name, _)| name),
                    stack: ran.and_then(|(.., stack)| stack),
                };
                stop.last = Some((stay.to, delay));
            }
            (_, ProcState::Running) if stop.others == 0 => stop.restart = Some(stay.to),
            (_, ProcState::Running) if !own => stop.others = stop.others.saturating_add(1),
            _ => {}
        }
    }

    fn range_began(&mut self, states: &States, range: &OpenRange) {
        if range.kind == RangeKind::GcMark {
            self.first_mark = self.first_mark.or(Some(range.from));
        }
        if range.kind == RangeKind::StopTheWorld {
            let others = states
                .procs()
                .filter(|proc| proc.state == ProcState::Running && Some(proc.id) != range.proc);
            self.ran_last.clear();
            self.stop = Some(Stop {
                range: *range,
                last: None,
                others: others.count(),
                restart: None,
            });
        }
    }

    fn range_ended(&mut self, states: &States, end: &RangeEnd) {
        if end.to < self.from {
            return;
        }
        let goroutine = end.range.goroutine.and_then(|id| states.goroutine(id));
        let name = goroutine.map_or(NameId::EMPTY, |g| g.name);
        let length = end.nanoseconds();
        match end.range.kind {
            RangeKind::GcMark => {
                self.cycles.add(length);
                let inside = end.to.since(end.range.from.max(self.from)).max(0);
                self.marking = self.marking.saturating_add(inside);
            }
            RangeKind::GcMarkAssist => {
                let times = self.assists.entry(name).or_default();
                times.lengths.add(length);
                times.executing.add(end.executing);
            }
            RangeKind::GcSweep => {
                self.sweeps.lengths.add(length);
                self.sweeps.executing.add(end.executing);
                if let Some([swept, reclaimed]) = end.attributes {
                    self.swept = self.swept.saturating_add(swept.value);
                    self.reclaimed = self.reclaimed.saturating_add(reclaimed.value);
                }
            }
            RangeKind::StopTheWorld => {
                let stop = self.stop.take();
                let stop = stop.filter(|stop| stop.range.scope == end.range.scope);
                let from = end.range.from;
                let restart = stop.and_then(|stop| stop.restart).unwrap_or(end.to);
                let last = stop.and_then(|stop| stop.last);
                self.pauses.push(Pause {
                    reason: end.range.reason,
                    goroutine: end.range.goroutine,
                    name,
                    from,
                    to: end.to,
                    stopping: last.map_or(0, |(at, _)| at.since(from).max(0)),
                    pause: restart.since(from).max(0),
                    last: last.map(|(_, delay)| delay),
                });
            }
        }
    }
}
