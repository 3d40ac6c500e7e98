//! The garbage collector and stops of the world: what they cost, and who waited for whom.
//!
//! [`Gc`] is a [`Visitor`] of [`States`] that also sees each [event](Gc::event).
//!
//! A *pause* is not the range that the trace has of a stop of the world. That range begins when a
//! goroutine asks for the stop, and ends when that goroutine runs again; the world may have gone on
//! long before, and stood only once the last processor had stopped. So a [`Pause`] has three lengths:
//! until the last processor stopped, until the first one went on, and that of the range.

use super::histogram::Histogram;
use super::names::NameId;
use super::states::{
    Goroutine, OpenRange, Proc, ProcStay, RangeEnd, RangeKind, States, Stay, Visitor,
};
use super::stops::Stops;
pub use super::stops::{Delay, Pause};
use crate::event::{Details, Event, EventKind, GoState, Metric};
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

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
    stops: Stops,
    workers: BTreeMap<NameId, i64>,
    assists: BTreeMap<NameId, RangeTimes>,
    sweeps: RangeTimes,
    swept: u64,
    reclaimed: u64,
    heap: Vec<HeapPoint>,
    /// One point is kept for each so many nanoseconds.
    step: i64,
    running: i64,
    worker: Option<NameId>,
}

/// How many points of the heap are kept.
const POINTS: usize = 512;

impl Gc {
    /// Nothing was seen yet.
    pub fn new() -> Gc {
        Gc::default()
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
        if event.kind() != EventKind::Metric {
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
        self.stops.stay(states, goroutine, stay);
        let time = stay.nanoseconds();
        self.running = self.running.saturating_add(time);
        if !goroutine.label.is_empty() && self.is_worker(states, goroutine.name) {
            let sum = self.workers.entry(goroutine.label).or_default();
            *sum = sum.saturating_add(time);
        }
    }

    fn proc_began(&mut self, states: &States, proc: &Proc) {
        self.stops.proc_began(states, proc);
    }

    fn proc_stay(&mut self, states: &States, stay: &ProcStay) {
        self.stops.proc_stay(states, stay);
    }

    fn range_began(&mut self, states: &States, range: &OpenRange) {
        if range.kind == RangeKind::GcMark {
            self.first_mark = self.first_mark.or(Some(range.from));
        }
        self.stops.range_began(states, range);
    }

    fn range_ended(&mut self, states: &States, end: &RangeEnd) {
        let pause = self.stops.ended(states, end);
        self.pauses.extend(pause);
        let goroutine = end.range.goroutine.and_then(|id| states.goroutine(id));
        let name = goroutine.map_or(NameId::EMPTY, |g| g.name);
        let length = end.nanoseconds();
        match end.range.kind {
            RangeKind::GcMark => {
                self.cycles.add(length);
                self.marking = self.marking.saturating_add(length);
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
            RangeKind::StopTheWorld => {}
        }
    }
}
