//! A running program, generation by generation: events a second by kind, goroutines by state, the
//! heap and the garbage collector.
//!
//! ```
//! use gotrace::{EventKind, Trace, analysis::live::Monitor};
//!
//! let bytes = include_bytes!("../../tests/fixtures/gc-go1.27.trace");
//! let trace = Trace::new(bytes)?;
//! let (mut reader, mut monitor) = (trace.reader(), Monitor::new());
//! while let Some(event) = reader.next()? {
//!     monitor.add(&event);
//! }
//! // A trace of one generation: a live one is asked at the end of each.
//! let pulse = monitor.take(1, 0).ok_or("no events")?;
//! assert!(pulse.gc.collections > 0 && pulse.goroutines.total() > 0);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use super::overview::Overview;
use super::states::States;
use crate::event::{Event, EventKind};
use crate::num;
use crate::time::Time;
use alloc::collections::BTreeMap;
use core::mem;

/// A program as a generation of its trace shows it.
///
/// With the feature `json` it is serialized with the fields' names: a field may be added, none will
/// change its meaning.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Pulse {
    /// The generation's number.
    pub generation: u64,
    /// From its first event to its last.
    pub seconds: f64,
    /// All of them, those of kind Sync included, which say where generations begin.
    pub events: u64,
    /// Events a second, by kind; those of kind Sync are left out.
    pub rates: BTreeMap<&'static str, f64>,
    /// Goroutines at the end of the generation, by state.
    pub goroutines: Goroutines,
    /// GOMAXPROCS, if the trace has said it.
    pub gomaxprocs: Option<u64>,
    /// Bytes of heap objects, if the trace has said it.
    pub heap: Option<u64>,
    /// Bytes of heap at which the next garbage collection is to end, if the trace has said it.
    pub heap_goal: Option<u64>,
    /// The garbage collector in this generation.
    pub gc: Gc,
    /// Generations that were dropped so far, because this could not keep up.
    pub lost_generations: u64,
}

/// The number of goroutines in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Goroutines {
    /// Running on a thread.
    pub running: u64,
    /// Ready to run.
    pub runnable: u64,
    /// Waiting for something.
    pub waiting: u64,
    /// In a system call.
    pub syscall: u64,
}

/// The garbage collector in a generation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Gc {
    /// Collections that ended.
    pub collections: u64,
    /// The part of the time in which it was marking, 0 to 1.
    pub marking: f64,
    /// How often the world was stopped, for any reason.
    pub stops: u64,
    /// How long in sum until the world went on, in seconds: the [pauses](super::gc::Pause).
    pub stopped: f64,
    /// The longest of these, in seconds.
    pub longest_stop: f64,
}

impl Goroutines {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.running
            .saturating_add(self.runnable)
            .saturating_add(self.waiting)
            .saturating_add(self.syscall)
    }
}

impl Pulse {
    /// Events of all kinds a second, those of kind Sync left out.
    pub fn rate(&self) -> f64 {
        self.rates.values().sum()
    }
}

/// What is known from the events read so far. Memory grows with the goroutines that live at a time.
#[derive(Debug, Default)]
pub struct Monitor {
    states: States,
    overview: Overview,
    /// Of the current generation.
    counts: [u64; EventKind::ALL.len()],
    times: Option<(Time, Time)>,
}

impl Monitor {
    /// Nothing known yet.
    pub fn new() -> Monitor {
        Monitor::default()
    }

    /// Forgets everything: generations were lost, and what is known may no longer be so.
    pub fn forget(&mut self) {
        *self = Monitor::default();
    }

    /// Takes in the next event.
    pub fn add(&mut self, event: &Event<'_, '_>) {
        let kind = event.kind();
        let mut counts = EventKind::ALL.iter().zip(&mut self.counts);
        if let Some((_, count)) = counts.find(|(k, _)| **k == kind) {
            *count = count.saturating_add(1);
        }
        let time = event.time();
        if kind != EventKind::Sync {
            let (first, _) = self.times.unwrap_or((time, time));
            self.times = Some((first, time));
        }
        self.states.add(event, &mut self.overview);
    }

    /// The pulse of what was added since the last one; none if nothing was. To be asked for at the
    /// end of each generation, with its number and the number of generations lost so far.
    pub fn take(&mut self, generation: u64, lost_generations: u64) -> Option<Pulse> {
        let (first, last) = self.times.take()?;
        let page = self.overview.take(&self.states)?;
        let counts = mem::take(&mut self.counts);
        // A generation of one event takes no time, but one it takes.
        let seconds = seconds(last.since(first)).max(1e-9);
        let rates = EventKind::ALL.iter().zip(counts);
        let [running, runnable, waiting, syscall] = page.states;
        Some(Pulse {
            generation,
            seconds,
            events: counts.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)),
            rates: rates
                .filter(|(kind, count)| **kind != EventKind::Sync && *count > 0)
                .map(|(kind, count)| (kind.name(), num::float(count) / seconds))
                .collect(),
            goroutines: Goroutines {
                running,
                runnable,
                waiting,
                syscall,
            },
            gomaxprocs: page.gomaxprocs,
            heap: page.heap,
            heap_goal: page.heap_goal,
            gc: Gc {
                collections: page.gc.collections,
                // The times of a damaged trace may be anything.
                marking: (self::seconds(page.gc.marking) / seconds).clamp(0.0, 1.0),
                stops: page.gc.stops,
                stopped: self::seconds(page.gc.stopped),
                longest_stop: self::seconds(page.gc.longest_stop),
            },
            lost_generations,
        })
    }
}

fn seconds(nanoseconds: i64) -> f64 {
    let seconds = num::float(nanoseconds.unsigned_abs()) / 1e9;
    if nanoseconds < 0 { -seconds } else { seconds }
}
