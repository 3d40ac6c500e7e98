//! The mutator utilisation: which part of the processors is left to the program while the garbage
//! collector works, and the least of it in any window of time.
//!
//! [`Utilization`] is a [`Visitor`] of [`States`]. In the end it gives the part that is left as a
//! [`Curve`], which knows the minimum mutator utilisation (MMU) for every length of window: of a
//! window of 10 ms with an MMU of 0.4, a request that needs 4 ms of a processor is done in 10 ms.
//!
//! It counts a processor as taken while a background worker or a goroutine that assists runs on it, or
//! it sweeps; and all of them while the world is stopped for the collector, until the first one goes
//! on. Go's own figure counts workers again each time they start, from Go 1.22 on, and so ends at 0
//! after a few collections: [`as_go`](super::as_go) has that one.

use super::as_go::Flags;
use super::names::NameId;
use super::states::{
    Goroutine, OpenRange, Proc, ProcStay, RangeEnd, RangeKind, States, Stay, Visitor,
};
use super::stops::Stops;
use crate::event::{Details, Event, EventKind, GoState, Metric, Resource};
use crate::ids::{GoId, ProcId};
use crate::num;
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What is taken from the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Taken {
    from: i64,
    to: i64,
    /// None: all of them.
    proc: Option<ProcId>,
}

/// Collects what the garbage collector takes. See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct Utilization {
    flags: Flags,
    taken: Vec<Taken>,
    /// When GOMAXPROCS became what.
    counts: Vec<(i64, u64)>,
    /// Since when they assist.
    assisting: BTreeMap<GoId, Time>,
    /// Since when they are at work for the collector.
    workers: BTreeMap<GoId, Time>,
    worker: Option<NameId>,
    stops: Stops,
    last: i64,
}

impl Utilization {
    /// Nothing was seen yet. `flags.stw` counts stops for the collector only, as Go has it.
    pub fn new(flags: Flags) -> Utilization {
        Utilization {
            flags,
            ..Utilization::default()
        }
    }

    /// Sees an event, after the states did.
    #[inline]
    pub fn event(&mut self, event: &Event<'_, '_>, states: &States) {
        self.last = event.time().0;
        match event.kind() {
            EventKind::Metric => {
                if let Details::Metric(metric) = event.details()
                    && metric.name == Metric::GOMAXPROCS
                    && self.counts.last().is_none_or(|(_, n)| *n != metric.value)
                {
                    self.counts.push((event.time().0, metric.value));
                }
            }
            EventKind::Label if self.flags.background => self.label(event, states),
            _ => {}
        }
    }

    fn label(&mut self, event: &Event<'_, '_>, states: &States) {
        let Details::Label(label) = event.details() else {
            return;
        };
        let goroutine = label.resource.goroutine();
        let Some(goroutine) = goroutine.and_then(|id| states.goroutine(id)) else {
            return;
        };
        if self.worker.is_none() {
            self.worker = states.names().find("runtime.gcBgMarkWorker");
        }
        if self.worker != Some(goroutine.name) {
            return;
        }
        let idle = label.label == "GC (idle)";
        // They leave their processor to nobody else, so none waits for them there.
        let dedicated = self.flags.per_proc && label.label == "GC (dedicated)";
        if label.label.starts_with("GC ") && !idle && !dedicated {
            self.workers.entry(goroutine.id).or_insert(event.time());
        } else if let Some(since) = self.workers.remove(&goroutine.id)
            && goroutine.state == GoState::Running
        {
            self.take(since.max(goroutine.since), event.time(), goroutine.proc);
        }
    }

    fn take(&mut self, from: Time, to: Time, proc: Option<ProcId>) {
        // What has no processor takes none away.
        if proc.is_some() && from < to {
            self.taken.push(Taken {
                from: from.0,
                to: to.0,
                proc,
            });
        }
    }

    /// Whether a stop of the world counts.
    fn is_gc_stop(&self, states: &States, range: &OpenRange) -> bool {
        self.flags.stw
            && range.kind == RangeKind::StopTheWorld
            && states.names().text(range.reason).contains("GC")
    }

    /// The curves: one for all processors, or with `perProc` one for each that ever was. None if the
    /// trace does not say how many there are.
    pub fn finish(self) -> Vec<Curve> {
        let Some((start, _)) = self.counts.first().copied() else {
            return Vec::new();
        };
        if !self.flags.per_proc {
            let taken = self.taken.iter().copied();
            return Vec::from([self.curve(start, taken, |_| true)]);
        }
        let most = self.counts.iter().map(|(_, n)| *n).max().unwrap_or(0);
        // No machine has more; a trace may say anything.
        let procs = (0..most.min(1 << 16)).filter_map(ProcId::new);
        procs
            .map(|proc| {
                let taken = self.taken.iter().copied();
                self.curve(start, taken, |of| of.is_none_or(|of| of == proc))
            })
            .collect()
    }

    fn curve(
        &self,
        start: i64,
        taken: impl Iterator<Item = Taken>,
        counts: impl Fn(Option<ProcId>) -> bool,
    ) -> Curve {
        // What begins and ends, in order of time.
        let mut edges: Vec<(i64, i64, Option<ProcId>)> = Vec::new();
        for taken in taken.filter(|taken| counts(taken.proc)) {
            let from = taken.from.max(start);
            if from < taken.to {
                edges.push((from, 1, taken.proc));
                edges.push((taken.to, -1, taken.proc));
            }
        }
        edges.sort_by_key(|(time, ..)| *time);
        let mut procs = self.counts.iter().peekable();
        let mut n = 1;
        let mut busy: BTreeMap<ProcId, i64> = BTreeMap::new();
        let mut stops = 0i64;
        let mut points: Vec<(i64, f64)> = Vec::new();
        let mut edges = edges.into_iter().peekable();
        loop {
            let next = [edges.peek().map(|e| e.0), procs.peek().map(|p| p.0)];
            let Some(time) = next.into_iter().flatten().min() else {
                break;
            };
            while let Some((_, count)) = procs.next_if(|(at, _)| *at <= time) {
                n = if self.flags.per_proc {
                    1
                } else {
                    (*count).max(1)
                };
            }
            while let Some((_, change, proc)) = edges.next_if(|(at, ..)| *at <= time) {
                let Some(proc) = proc else {
                    stops = stops.saturating_add(change);
                    continue;
                };
                let count = busy.entry(proc).or_default();
                *count = count.saturating_add(change);
                if *count == 0 {
                    busy.remove(&proc);
                }
            }
            let taken = if stops > 0 {
                n
            } else {
                num::wide(busy.len()).min(n)
            };
            let left = 1.0 - num::float(taken) / num::float(n);
            if points.last().is_none_or(|(_, last)| *last != left) {
                points.push((time, left));
            }
        }
        debug_assert!(busy.is_empty() && stops == 0);
        Curve::new(points, self.last)
    }
}

impl Visitor for Utilization {
    #[inline]
    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        if stay.state != GoState::Running {
            return;
        }
        self.stops.stay(states, goroutine, stay);
        let since = [self.assisting.get(&stay.id), self.workers.get(&stay.id)];
        if let Some(since) = since.into_iter().flatten().min().copied() {
            self.take(since.max(stay.from), stay.to, stay.proc);
        }
    }

    fn goroutine_ended(&mut self, _: &States, goroutine: &Goroutine) {
        self.assisting.remove(&goroutine.id);
        self.workers.remove(&goroutine.id);
    }

    fn proc_began(&mut self, states: &States, proc: &Proc) {
        self.stops.proc_began(states, proc);
    }

    fn proc_stay(&mut self, states: &States, stay: &ProcStay) {
        self.stops.proc_stay(states, stay);
    }

    fn range_began(&mut self, states: &States, range: &OpenRange) {
        if self.flags.assist
            && range.kind == RangeKind::GcMarkAssist
            && let Resource::Goroutine(id) = range.scope
        {
            self.assisting.insert(id, range.from);
        }
        self.stops.range_began(states, range);
    }

    fn range_ended(&mut self, states: &States, end: &RangeEnd) {
        let stop = self.stops.ended(states, end);
        if let Some(stop) = stop.filter(|_| self.is_gc_stop(states, &end.range))
            && stop.pause > 0
        {
            self.taken.push(Taken {
                from: stop.from.0,
                to: stop.restart().0,
                proc: None,
            });
        }
        match (end.range.kind, end.range.scope) {
            (RangeKind::GcSweep, Resource::Proc(proc)) if self.flags.sweep => {
                self.take(end.range.from, end.to, Some(proc));
            }
            (RangeKind::GcMarkAssist, Resource::Goroutine(id)) => {
                let since = self.assisting.remove(&id);
                let goroutine = states.goroutine(id);
                if let (Some(since), Some(goroutine)) = (since, goroutine)
                    && goroutine.state == GoState::Running
                {
                    self.take(since.max(goroutine.since), end.to, goroutine.proc);
                }
            }
            _ => {}
        }
    }
}

/// A window of time, and the mean part that was left to the program in it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Window {
    /// When it begins.
    pub from: Time,
    /// The part that was left, 0 to 1.
    pub left: f64,
}

/// The part of the processors that is left to the program, over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// From each time on, until the next.
    points: Vec<(i64, f64)>,
    end: i64,
    /// The integral up to each point, in nanoseconds.
    sums: Vec<f64>,
}

impl Curve {
    /// A curve of the moments at which it changes, in order, and of its end.
    pub fn new(points: Vec<(i64, f64)>, end: i64) -> Curve {
        let mut sums = Vec::with_capacity(points.len());
        let (mut sum, mut last) = (0.0, None);
        for (time, left) in &points {
            if let Some((since, value)) = last {
                sum += value * length(since, *time);
            }
            sums.push(sum);
            last = Some((*time, *left));
        }
        Curve { points, end, sums }
    }

    /// The moments at which it changes, in nanoseconds, each with the part that is left from then on.
    pub fn points(&self) -> &[(i64, f64)] {
        &self.points
    }

    /// How long it is, in nanoseconds.
    pub fn length(&self) -> i64 {
        let start = self.points.first().map_or(self.end, |(time, _)| *time);
        self.end.saturating_sub(start).max(0)
    }

    /// The mean over all of it.
    pub fn mean(&self) -> f64 {
        self.least(self.length()).map_or(1.0, |window| window.left)
    }

    /// The integral up to a time that is in or behind this point.
    fn integral(&self, point: usize, time: i64) -> f64 {
        let (Some((since, value)), Some(sum)) = (self.points.get(point), self.sums.get(point))
        else {
            return 0.0;
        };
        sum + value * length(*since, time)
    }

    /// The window of this length, in nanoseconds, in which least was left to the program: its mean is
    /// the minimum mutator utilisation. The first of several. A longer window than the curve is the
    /// curve; none for an empty curve.
    pub fn least(&self, window: i64) -> Option<Window> {
        let mut least: Option<Window> = None;
        for found in self.windows(window) {
            if least.is_none_or(|least| found.left < least.left) {
                least = Some(found);
            }
        }
        least
    }

    /// How the means of all windows of this length, in nanoseconds, are distributed (the mutator
    /// utilisation distribution, MUD): for each part of them, 0 to 1, the mean that this
    /// part does not exceed. So 0.01 gives what is left to the program in the worst hundredth of all
    /// moments, and 0 the [least](Curve::least). Empty for an empty curve. Go has a function for it too,
    /// which gives the minimum whatever the part is (Go 1.27).
    ///
    /// It takes time in proportion to n log n, of the n moments at which the curve changes.
    pub fn quantiles(&self, window: i64, parts: &[f64]) -> Vec<f64> {
        quantiles(core::slice::from_ref(self), window, parts)
    }

    /// Windows of this length in order of time: between one and the next, the mean changes evenly.
    fn windows(&self, window: i64) -> Vec<Window> {
        let Some((start, _)) = self.points.first().copied() else {
            return Vec::new();
        };
        let window = window.clamp(1, self.length().max(1));
        let last = self.end.saturating_sub(window).max(start);
        // It bends where one end of the window is where the curve changes.
        let begins = self.points.iter().map(|(time, _)| *time);
        let ends = self
            .points
            .iter()
            .map(|(time, _)| time.saturating_sub(window));
        let mut starts: Vec<i64> = begins
            .chain(ends)
            .chain([last])
            .filter(|at| (start..=last).contains(at))
            .collect();
        starts.sort_unstable();
        starts.dedup();
        let (mut a, mut b) = (0usize, 0usize);
        let next = |at: usize, time: i64| {
            let next = self.points.get(at.saturating_add(1));
            next.is_some_and(|(since, _)| *since <= time)
        };
        let windows = starts.into_iter().map(|from| {
            let to = from.saturating_add(window);
            while next(a, from) {
                a = a.saturating_add(1);
            }
            while next(b, to) {
                b = b.saturating_add(1);
            }
            let taken = self.integral(b, to) - self.integral(a, from);
            Window {
                from: Time(from),
                left: (taken / length(0, window)).clamp(0.0, 1.0),
            }
        });
        windows.collect()
    }
}

/// As [`Curve::quantiles`], of the windows of several curves together, as of one for each processor.
pub fn quantiles(curves: &[Curve], window: i64, parts: &[f64]) -> Vec<f64> {
    // A density over means: for a stretch of time in which the mean changes evenly, it rises where the
    // lower mean is and falls where the higher one is; where it stays, there is a weight.
    let mut edges: Vec<(f64, f64, f64)> = Vec::new();
    let (mut whole, mut least) = (0.0, None::<f64>);
    for curve in curves {
        let windows = curve.windows(window);
        for found in &windows {
            least = Some(least.map_or(found.left, |least| least.min(found.left)));
        }
        for (one, next) in windows.iter().zip(windows.iter().skip(1)) {
            let time = length(one.from.0, next.from.0);
            whole += time;
            let (low, high) = (one.left.min(next.left), one.left.max(next.left));
            if low < high {
                let density = time / (high - low);
                edges.push((low, density, 0.0));
                edges.push((high, -density, 0.0));
            } else {
                edges.push((low, 0.0, time));
            }
        }
    }
    edges.sort_by(|a, b| a.0.total_cmp(&b.0));
    let Some(least) = least else {
        return Vec::new();
    };
    let one = |part: &f64| match edges.is_empty() {
        true => least,
        false => reached(&edges, part.clamp(0.0, 1.0) * whole),
    };
    parts.iter().map(one).collect()
}

/// Up to where the density of these edges has this sum.
fn reached(edges: &[(f64, f64, f64)], wanted: f64) -> f64 {
    let (mut sum, mut density, mut before) = (0.0, 0.0, 0.0);
    for (at, change, weight) in edges {
        let next = sum + (at - before) * density;
        if next >= wanted {
            return match density > 0.0 {
                true => (wanted - sum) / density + before,
                false => *at,
            };
        }
        sum = next + weight;
        before = *at;
        if sum >= wanted {
            return before;
        }
        density += change;
    }
    before
}

/// Nanoseconds between two times.
fn length(from: i64, to: i64) -> f64 {
    num::float(to.saturating_sub(from).max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    #[test]
    fn the_worst_window() {
        // All is left but for 20 of 100, in the middle.
        let curve = Curve::new(vec![(0, 1.0), (40, 0.0), (60, 1.0)], 100);
        assert!((curve.mean() - 0.8).abs() < 1e-12);
        for (window, left, from) in [(10, 0.0, 40), (20, 0.0, 40), (40, 0.5, 20), (1_000, 0.8, 0)] {
            let found = curve.least(window).unwrap();
            assert!((found.left - left).abs() < 1e-12, "{window}: {found:?}");
            assert_eq!(found.from, Time(from), "{window}");
        }
        assert_eq!(Curve::default().least(10), None);
    }

    proptest! {
        /// No window has less than the least one, and the least one has what it says.
        #[test]
        fn no_window_is_worse(
            steps in prop::collection::vec((1i64..50, 0u8..=4), 1..20),
            window in 1i64..200,
        ) {
            let (mut time, mut points) = (100, vec![]);
            for (length, quarters) in steps {
                points.push((time, f64::from(quarters) / 4.0));
                time += length;
            }
            let at = |t: i64| points.iter().rev().find(|(since, _)| *since <= t).unwrap().1;
            let curve = Curve::new(points.clone(), time);
            let window = window.min(time - 100);
            let mean = |from: i64| (from..from + window).map(at).sum::<f64>() / window as f64;
            let least = (100..=time - window).map(mean).fold(f64::MAX, f64::min);
            let found = curve.least(window).unwrap();
            prop_assert!((found.left - least).abs() < 1e-9, "{:?} {}", found, least);
            prop_assert!((mean(found.from.0) - found.left).abs() < 1e-9);
            // For so long the mean is at most this: it changes evenly from one nanosecond to the next.
            let at_most = |most: f64| {
                let steps = (100..time - window).map(|from| {
                    let (a, b) = (mean(from), mean(from + 1));
                    match a.min(b) {
                        low if most < low => 0.0,
                        _ if most >= a.max(b) => 1.0,
                        low => (most - low) / (a - b).abs(),
                    }
                });
                steps.sum::<f64>() / (time - 100 - window).max(1) as f64
            };
            let parts = [0.0, 0.01, 0.3, 0.5, 0.95, 1.0];
            let quantiles = curve.quantiles(window, &parts);
            prop_assert!((quantiles[0] - least).abs() < 1e-9);
            if window < time - 100 {
                for (part, found) in parts.into_iter().zip(quantiles) {
                    prop_assert!(at_most(found + 1e-9) >= part - 1e-6, "{} {}", part, found);
                    prop_assert!(at_most(found - 1e-9) <= part + 1e-6, "{} {}", part, found);
                }
            }
        }
    }
}
