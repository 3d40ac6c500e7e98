//! How long goroutines that are ready to run wait for a processor, and what processors do meanwhile.
//!
//! [`Latency`] is a [`Visitor`] of [`States`]. It collects the times from runnable to running, the first
//! run of a goroutine included: in all, by function, by proc, and over time; for how long procs were
//! idle while goroutines waited for one; and system calls, and which of them lost their proc.
//!
//! ```
//! use gotrace::Trace;
//! use gotrace::analysis::{latency::Latency, states::States};
//!
//! let bytes = include_bytes!("../../tests/fixtures/http-go1.27.trace");
//! let trace = Trace::new(bytes)?;
//! let (mut reader, mut states, mut latency) = (trace.reader(), States::new(), Latency::new());
//! while let Some(event) = reader.next()? {
//!     states.add(&event, &mut latency);
//! }
//! states.finish(&mut latency);
//! assert!(latency.all.quantile(0.99) > latency.all.quantile(0.5));
//! # Ok::<(), gotrace::Error>(())
//! ```

use super::histogram::Histogram;
use super::names::{NameId, Names};
use super::states::{Goroutine, OpenRange, ProcStay, RangeEnd, RangeKind, States, Stay, Visitor};
use crate::event::{Event, GoState, ProcState};
use crate::ids::{GoId, ProcId};
use crate::num;
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// How many stretches of time [`Latency::over_time`] has at most.
const STRETCHES: usize = 256;
/// The first of them are so long, in nanoseconds; they double when there would be too many.
const SHORTEST: i64 = 1 << 16;

/// Times from runnable to running. See the [module](self).
#[derive(Debug)]
#[non_exhaustive]
pub struct Latency {
    /// Of all goroutines, in nanoseconds. What was runnable before the trace is left out, and what never
    /// ran in it.
    pub all: Histogram,
    /// Of these, first runs: from a goroutine's creation on.
    pub first_runs: Histogram,
    /// By the function that the goroutine started with.
    pub by_function: BTreeMap<NameId, Histogram>,
    /// By the proc on which it then ran.
    pub procs: BTreeMap<ProcId, ProcLatency>,
    /// The longest single wait, with its goroutine and when it ended.
    pub longest: Option<(GoId, NameId, Time)>,
    /// Goroutines that were runnable at the end of the trace, and the longest time that one had been,
    /// in nanoseconds.
    pub still: (u64, i64),
    /// How many goroutines were runnable at a time, at most.
    pub most_runnable: u64,
    /// How many were runnable on average, times nanoseconds.
    pub runnable_area: u128,
    /// How long a proc was idle while a goroutine was runnable, in nanoseconds: while the world was not
    /// stopped.
    pub idle_while_runnable: i64,
    /// The longest stretch of that.
    pub longest_idle: i64,
    /// System calls, by how long they took in nanoseconds.
    pub syscalls: Histogram,
    /// Those that lost their proc because they took long, by how long they took.
    pub syscalls_without_proc: Histogram,
    first: Option<Time>,
    width: i64,
    stretches: Vec<Stretch>,
    // Since when the following is so.
    since: Time,
    runnable: u64,
    has_idle: bool,
    stopped: u64,
    idle_stretch: i64,
}

/// What happened on a proc.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ProcLatency {
    /// How long goroutines that then ran here had waited, in nanoseconds.
    pub times: Histogram,
    /// How long it ran, in nanoseconds: a thread had it.
    pub running: i64,
    /// How often it was taken away from a system call.
    pub stolen: u64,
}

/// A stretch of time of a trace.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stretch {
    /// How long goroutines had waited that began to run in it, in nanoseconds.
    pub times: Histogram,
    /// The most that were runnable at a time.
    pub most_runnable: u64,
}

impl Default for Latency {
    fn default() -> Latency {
        Latency {
            all: Histogram::new(),
            first_runs: Histogram::new(),
            by_function: BTreeMap::new(),
            procs: BTreeMap::new(),
            longest: None,
            still: (0, 0),
            most_runnable: 0,
            runnable_area: 0,
            idle_while_runnable: 0,
            longest_idle: 0,
            syscalls: Histogram::new(),
            syscalls_without_proc: Histogram::new(),
            first: None,
            width: SHORTEST,
            stretches: Vec::new(),
            since: Time(0),
            runnable: 0,
            has_idle: false,
            stopped: 0,
            idle_stretch: 0,
        }
    }
}

impl Latency {
    /// Nothing is known yet.
    pub fn new() -> Latency {
        Latency::default()
    }

    /// The stretches of equal length, in nanoseconds, that the trace is cut into, from its first event
    /// on.
    pub fn over_time(&self) -> (i64, &[Stretch]) {
        (self.width, &self.stretches)
    }

    /// Adds what another trace has, whose names are `theirs`; those of this one are `ours`. What is of
    /// one trace alone is forgotten: the longest single wait, and [over time](Latency::over_time).
    pub fn merge(&mut self, ours: &mut Names, other: &Latency, theirs: &Names) {
        self.all.merge(&other.all);
        self.first_runs.merge(&other.first_runs);
        for (name, times) in &other.by_function {
            let name = ours.add(theirs.text(*name));
            self.by_function.entry(name).or_default().merge(times);
        }
        for (id, proc) in &other.procs {
            let to = self.procs.entry(*id).or_default();
            to.times.merge(&proc.times);
            to.running = to.running.saturating_add(proc.running);
            to.stolen = to.stolen.saturating_add(proc.stolen);
        }
        self.longest = None;
        let (still, longest) = other.still;
        self.still = (
            self.still.0.saturating_add(still),
            self.still.1.max(longest),
        );
        self.most_runnable = self.most_runnable.max(other.most_runnable);
        self.runnable_area = self.runnable_area.saturating_add(other.runnable_area);
        let idle = other.idle_while_runnable;
        self.idle_while_runnable = self.idle_while_runnable.saturating_add(idle);
        self.longest_idle = self.longest_idle.max(other.longest_idle);
        self.syscalls.merge(&other.syscalls);
        self.syscalls_without_proc
            .merge(&other.syscalls_without_proc);
        self.stretches.clear();
    }

    /// What was so until now.
    fn advance(&mut self, states: &States, time: Time) {
        let since = self.since;
        if self.first.is_none() {
            let first = states.begin_time().unwrap_or(time);
            (self.first, self.since) = (Some(first), first);
            return;
        }
        let passed = time.since(since).max(0);
        self.since = since.max(time);
        let area = u128::from(self.runnable).saturating_mul(u128::from(passed.unsigned_abs()));
        self.runnable_area = self.runnable_area.saturating_add(area);
        if self.runnable > 0 && self.has_idle && self.stopped == 0 {
            self.idle_while_runnable = self.idle_while_runnable.saturating_add(passed);
            self.idle_stretch = self.idle_stretch.saturating_add(passed);
            self.longest_idle = self.longest_idle.max(self.idle_stretch);
        } else if passed > 0 {
            self.idle_stretch = 0;
        }
    }

    /// The stretch of a moment.
    fn stretch(&mut self, time: Time) -> Option<&mut Stretch> {
        let after = time.since(self.first?).max(0);
        while after.checked_div(self.width)? >= i64::try_from(STRETCHES).ok()? {
            // Each two become one.
            let mut merged: Vec<Stretch> = Vec::new();
            for (n, stretch) in self.stretches.drain(..).enumerate() {
                match merged.last_mut() {
                    Some(last) if !n.is_multiple_of(2) => {
                        last.times.merge(&stretch.times);
                        last.most_runnable = last.most_runnable.max(stretch.most_runnable);
                    }
                    _ => merged.push(stretch),
                }
            }
            self.stretches = merged;
            self.width = self.width.checked_mul(2)?;
        }
        let at = usize::try_from(after.checked_div(self.width)?).ok()?;
        if self.stretches.len() <= at {
            self.stretches
                .resize(at.saturating_add(1), Stretch::default());
        }
        self.stretches.get_mut(at)
    }

    fn one_more(&mut self, time: Time) {
        self.runnable = self.runnable.saturating_add(1);
        self.most_runnable = self.most_runnable.max(self.runnable);
        let runnable = self.runnable;
        if let Some(stretch) = self.stretch(time) {
            stretch.most_runnable = stretch.most_runnable.max(runnable);
        }
    }
}

impl Visitor for Latency {
    fn goroutine_began(&mut self, states: &States, goroutine: &Goroutine, event: &Event<'_, '_>) {
        if goroutine.state == GoState::Runnable {
            self.advance(states, event.time());
            self.one_more(event.time());
        }
    }

    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        match stay.state {
            GoState::Runnable => {
                self.advance(states, stay.to);
                let time = stay.nanoseconds();
                if stay.open && !stay.counts {
                    return;
                }
                if stay.open {
                    self.still = (self.still.0.saturating_add(1), self.still.1.max(time));
                    return;
                }
                self.runnable = self.runnable.saturating_sub(1);
                if stay.next != GoState::Running || stay.began_before() || !stay.counts {
                    return;
                }
                if self.all.max().is_none_or(|longest| time > longest) {
                    self.longest = Some((stay.id, goroutine.name, stay.to));
                }
                self.all.add(time);
                if goroutine.is_new && stay.from == goroutine.created {
                    self.first_runs.add(time);
                }
                self.by_function
                    .entry(goroutine.name)
                    .or_default()
                    .add(time);
                if let Some(proc) = goroutine.proc {
                    self.procs.entry(proc).or_default().times.add(time);
                }
                if let Some(stretch) = self.stretch(stay.to) {
                    stretch.times.add(time);
                }
            }
            GoState::Syscall if !stay.open && !stay.began_before() && stay.counts => {
                self.syscalls.add(stay.nanoseconds());
                if stay.without_proc.is_some() {
                    self.syscalls_without_proc.add(stay.nanoseconds());
                }
            }
            _ => {}
        }
        if stay.next == GoState::Runnable && !stay.open {
            self.advance(states, stay.to);
            self.one_more(stay.to);
        }
    }

    fn proc_stay(&mut self, states: &States, stay: &ProcStay) {
        self.advance(states, stay.to);
        self.has_idle = states.procs().any(|proc| proc.state == ProcState::Idle);
        let proc = self.procs.entry(stay.id).or_default();
        if stay.state == ProcState::Running {
            proc.running = proc.running.saturating_add(stay.nanoseconds());
        }
        if stay.stolen {
            proc.stolen = proc.stolen.saturating_add(1);
        }
    }

    fn range_began(&mut self, states: &States, range: &OpenRange) {
        if range.kind == RangeKind::StopTheWorld {
            self.advance(states, states.last_time());
            self.stopped = self.stopped.saturating_add(1);
        }
    }

    fn range_ended(&mut self, states: &States, end: &RangeEnd) {
        if end.range.kind == RangeKind::StopTheWorld {
            self.advance(states, end.to);
            self.stopped = self.stopped.saturating_sub(1);
        }
    }
}

/// A part of a histogram for people: powers of two of a microsecond, with what is below and above.
///
/// Gives for each the smallest time, the time that is above it, and the number.
pub fn powers_of_two(times: &Histogram) -> Vec<(i64, i64, u64)> {
    let mut rows: BTreeMap<i64, u64> = BTreeMap::new();
    for (time, count) in times.buckets() {
        // Buckets do not cross powers of two; below the first microsecond, it is one row.
        let power = match time.unsigned_abs().checked_ilog2() {
            Some(power @ 10..) => 1i64.wrapping_shl(power),
            _ => 0,
        };
        let row = rows.entry(power).or_insert(0);
        *row = row.saturating_add(count);
    }
    let rows = rows.into_iter().map(|(from, count)| {
        let to = if from == 0 {
            1024
        } else {
            from.saturating_mul(2)
        };
        (from, to, count)
    });
    rows.collect()
}

/// The mean number of goroutines that were runnable over a time.
pub fn mean_runnable(latency: &Latency, nanoseconds: i64) -> f64 {
    let time = u64::try_from(nanoseconds).unwrap_or(0).max(1);
    let area = u64::try_from(latency.runnable_area).unwrap_or(u64::MAX);
    num::float(area) / num::float(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trace;

    #[test]
    fn every_wait_for_a_processor_is_counted() {
        #[derive(Default)]
        struct Naive {
            times: Vec<i64>,
            syscalls: u64,
        }
        impl Visitor for Naive {
            fn stay(&mut self, _: &States, _: &Goroutine, stay: &Stay) {
                if stay.open || stay.began_before() {
                    return;
                }
                match (stay.state, stay.next) {
                    (GoState::Runnable, GoState::Running) => self.times.push(stay.nanoseconds()),
                    (GoState::Syscall, _) => self.syscalls += 1,
                    _ => {}
                }
            }
        }
        for bytes in [
            &include_bytes!("../../tests/fixtures/http-go1.27.trace")[..],
            include_bytes!("../../tests/fixtures/flight-go1.25.trace"),
            include_bytes!("../../tests/fixtures/syscalls-go1.22.trace"),
        ] {
            let trace = Trace::new(bytes).unwrap();
            let (mut states, mut both) = (States::new(), (Latency::new(), Naive::default()));
            let mut reader = trace.reader();
            while let Some(event) = reader.next().unwrap() {
                states.add(&event, &mut both);
            }
            states.finish(&mut both);
            let (latency, naive) = both;
            let sum: i64 = naive.times.iter().sum();
            assert_eq!(latency.all.len(), num::wide(naive.times.len()));
            assert_eq!(latency.all.sum(), sum);
            assert_eq!(latency.syscalls.len(), naive.syscalls);
            let parts = |parts: Vec<&Histogram>| -> (u64, i64) {
                let mut whole = Histogram::new();
                parts.into_iter().for_each(|part| whole.merge(part));
                (whole.len(), whole.sum())
            };
            let all = (latency.all.len(), latency.all.sum());
            assert_eq!(parts(latency.by_function.values().collect()), all);
            assert_eq!(
                parts(latency.procs.values().map(|p| &p.times).collect()),
                all
            );
            let (width, stretches) = latency.over_time();
            assert_eq!(parts(stretches.iter().map(|s| &s.times).collect()), all);
            let length = states.last_time().since(states.first_time().unwrap());
            assert!(num::wide(stretches.len()) <= (length / width + 1).unsigned_abs());
            let rows = powers_of_two(&latency.all);
            assert_eq!(rows.iter().map(|row| row.2).sum::<u64>(), all.0);
            // The area is the sum of all stays, but for what the histogram leaves out.
            assert!(latency.runnable_area >= u128::from(all.1.unsigned_abs()) * 9 / 10);
            assert!(latency.idle_while_runnable <= length);
            assert!(latency.longest_idle <= latency.idle_while_runnable);
        }
    }
}
