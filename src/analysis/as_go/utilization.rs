//! The mutator utilisation as Go computes it.
//!
//! Which part of the processors is left to the program, at each moment: a list of moments at which it
//! changes. The right one is in [`analysis::utilization`](crate::analysis).

use crate::event::{Change, Details};
use crate::event::{Event, EventKind, GoState, Metric, Range, RangeName};
use crate::ids::{GoId, ProcId};
use crate::num;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// What takes away from the program (`trace.UtilFlags`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flags {
    /// The world is stopped for the garbage collector (`UtilSTW`).
    pub stw: bool,
    /// Background workers mark (`UtilBackground`).
    pub background: bool,
    /// Goroutines help to mark (`UtilAssist`).
    pub assist: bool,
    /// Procs sweep (`UtilSweep`).
    pub sweep: bool,
    /// Each proc by itself, where dedicated workers do not count (`UtilPerProc`).
    pub per_proc: bool,
}

/// A series of moments, in nanoseconds, from which on this part of the processors is left.
pub type Worlds = Vec<Vec<(i64, f64)>>;

#[derive(Clone, Copy, Debug)]
struct Processor {
    busy: i64,
    series: usize,
}

/// Go's mutator utilisation (`trace.MutatorUtilizationV2`).
#[derive(Clone, Debug, Default)]
pub struct Utilization {
    flags: Flags,
    series: Worlds,
    procs: Vec<Processor>,
    /// When GOMAXPROCS became what.
    counts: Vec<(i64, usize)>,
    stopped: i64,
    assisting: BTreeSet<GoId>,
    workers: BTreeSet<GoId>,
    states: BTreeMap<GoId, GoState>,
    syncs: u64,
    last: i64,
    sync: i64,
    /// At the last Sync event: what ends there if the trace is damaged behind it.
    procs_at_sync: Vec<Processor>,
    /// A proc was named that there is none of, where Go panics.
    is_lost: bool,
}

impl Flags {
    /// Those that Go's page begins with: `stw` and `background`.
    pub const DEFAULT: Flags = Flags {
        stw: true,
        background: true,
        assist: false,
        sweep: false,
        per_proc: false,
    };

    /// Nothing takes away anything.
    pub const NONE: Flags = Flags {
        stw: false,
        background: false,
        assist: false,
        sweep: false,
        per_proc: false,
    };

    /// By their names in Go's page, with `|` between: `stw|background|assist|sweep|perProc`.
    pub fn parse(text: &str) -> Option<Flags> {
        let mut flags = Flags::NONE;
        for name in text.split('|') {
            match name {
                "stw" => flags.stw = true,
                "background" => flags.background = true,
                "assist" => flags.assist = true,
                "sweep" => flags.sweep = true,
                "perProc" => flags.per_proc = true,
                _ => return None,
            }
        }
        Some(flags)
    }
}

fn push(series: &mut Vec<(i64, f64)>, time: i64, value: f64) {
    match series.last_mut() {
        Some((_, last)) if *last == value => {}
        // Of a moment, the least.
        Some((at, last)) if *at == time => *last = last.min(value),
        _ => series.push((time, value)),
    }
}

impl Utilization {
    /// Nothing was seen yet.
    pub fn new(flags: Flags) -> Utilization {
        Utilization {
            flags,
            ..Utilization::default()
        }
    }

    /// Takes in the next event. All events of a trace must be given, in order.
    pub fn add(&mut self, event: &Event<'_, '_>) {
        let time = event.time().0;
        self.last = time;
        match event.kind() {
            EventKind::Sync => {
                self.syncs = self.syncs.saturating_add(1);
                self.sync = time;
                self.procs_at_sync.clone_from(&self.procs);
            }
            EventKind::Metric => {
                if let Details::Metric(metric) = event.details()
                    && metric.name == Metric::GOMAXPROCS
                {
                    self.set_procs(time, num::narrow(metric.value));
                }
            }
            _ => {}
        }
        if self.procs.is_empty() {
            return;
        }
        match event.details() {
            Details::RangeBegin(range) => self.range(event, range, 1),
            Details::RangeEnd(range, _) => self.range(event, range, -1),
            Details::RangeActive(range) if self.syncs <= 1 => {
                self.correct(event, range);
                self.range(event, range, 1);
            }
            Details::StateTransition(transition) => {
                if let Change::Goroutine {
                    id: Some(id),
                    from,
                    to,
                } = transition.change
                {
                    if self.assisting.contains(&id) || self.workers.contains(&id) {
                        match (from.executing(), to.executing()) {
                            (false, true) => self.count(event.proc(), 1),
                            (true, false) => self.count(event.proc(), -1),
                            _ => {}
                        }
                    }
                    self.states.insert(id, to);
                }
            }
            Details::Label(label) if self.flags.background => {
                let idle = label.label == "GC (idle)";
                let dedicated = self.flags.per_proc && label.label == "GC (dedicated)";
                if label.label.starts_with("GC ") && !idle && !dedicated {
                    self.workers.extend(event.goroutine());
                    self.count(event.proc(), 1);
                }
            }
            _ => {}
        }
        self.record(time);
    }

    fn set_procs(&mut self, time: i64, wanted: usize) {
        // As many as Go has room for in its own tables; a trace may say anything.
        let wanted = wanted.min(1 << 20);
        while self.procs.len() > wanted {
            if let Some(processor) = self.procs.pop()
                && self.flags.per_proc
                && let Some(series) = self.series.get_mut(processor.series)
            {
                push(series, time, 0.0);
            }
        }
        while self.procs.len() < wanted {
            let mut series = 0;
            if self.flags.per_proc || self.series.is_empty() {
                series = self.series.len();
                self.series.push(Vec::from([(time, 1.0)]));
            }
            self.procs.push(Processor { busy: 0, series });
        }
        if self.counts.last().is_none_or(|(_, n)| *n != wanted) {
            self.counts.push((time, wanted));
        }
    }

    fn count(&mut self, proc: Option<ProcId>, change: i64) {
        let at = proc.map_or(usize::MAX, |proc| num::narrow(proc.get()));
        match self.procs.get_mut(at) {
            Some(processor) => processor.busy = processor.busy.saturating_add(change),
            None => self.is_lost = true,
        }
    }

    fn range(&mut self, event: &Event<'_, '_>, range: Range<'_>, change: i64) {
        match range.name {
            RangeName::StopTheWorld(reason) if self.flags.stw && reason.contains("GC") => {
                self.stopped = self.stopped.saturating_add(change);
            }
            RangeName::GcSweep if self.flags.sweep => self.count(event.proc(), change),
            RangeName::GcMarkAssist if self.flags.assist => {
                self.count(event.proc(), change);
                if let Some(id) = range.scope.goroutine() {
                    if change > 0 {
                        self.assisting.insert(id);
                    } else {
                        self.assisting.remove(&id);
                    }
                }
            }
            _ => {}
        }
    }

    /// A range was open since the trace began: takes its processor off all that was recorded.
    fn correct(&mut self, event: &Event<'_, '_>, range: Range<'_>) {
        let counts = match range.name {
            RangeName::GcSweep => self.flags.sweep,
            RangeName::GcMarkAssist => {
                let state = event.goroutine().and_then(|id| self.states.get(&id));
                self.flags.assist && state.is_some_and(|state| state.executing())
            }
            _ => false,
        };
        if !counts || self.flags.per_proc {
            return;
        }
        let Some(series) = self.series.first_mut() else {
            return;
        };
        let mut counts = self.counts.iter().peekable();
        let mut n = counts.next().map_or(1, |(_, n)| *n);
        for (time, value) in series {
            while let Some((_, next)) = counts.next_if(|(since, _)| since < time) {
                n = *next;
            }
            *value = (*value - 1.0 / num::float(num::wide(n))).max(0.0);
        }
    }

    fn record(&mut self, time: i64) {
        let is_busy = |processor: &Processor| self.stopped > 0 || processor.busy > 0;
        if self.flags.per_proc {
            for processor in &self.procs {
                let value = if is_busy(processor) { 0.0 } else { 1.0 };
                if let Some(series) = self.series.get_mut(processor.series) {
                    push(series, time, value);
                }
            }
            return;
        }
        let all = num::wide(self.procs.len());
        let busy = num::wide(self.procs.iter().filter(|p| is_busy(p)).count());
        if all > 0
            && let Some(series) = self.series.first_mut()
        {
            push(series, time, 1.0 - num::float(busy) / num::float(all));
        }
    }

    /// The series: one, or one for each proc. `whole`: the trace was read to its end, without an
    /// error. Without that, what comes behind the last Sync event is left out.
    pub fn finish(mut self, whole: bool) -> Worlds {
        let mut last = self.last;
        if !whole {
            last = self.sync;
            self.procs = core::mem::take(&mut self.procs_at_sync);
            for series in &mut self.series {
                series.retain(|(time, _)| *time <= last);
            }
            self.series.retain(|series| !series.is_empty());
        }
        for processor in &self.procs {
            if let Some(series) = self.series.get_mut(processor.series) {
                push(series, last, 0.0);
            }
        }
        self.series
    }

    /// Whether an event counted for a proc that does not exist: Go's program fails there.
    pub const fn is_lost(&self) -> bool {
        self.is_lost
    }
}
