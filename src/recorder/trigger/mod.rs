//! When to take a snapshot: conditions on the events of a live trace, and what keeps them from taking too
//! many.
//!
//! A recorder costs little because it does not read the events. What watches for an event that is worth
//! a snapshot reads them on another thread, from a
//! [`LiveReader`](crate::mux::LiveReader), and shows each to its [`Triggers`]. One whose condition holds
//! fires, unless another did a moment ago. The event's generation is complete by then, so that a
//! snapshot has it.
//!
//! A condition is a function of an event, or what the crate's filters select:
//! [`select::Filter`](crate::select::Filter), with the feature `expressions` also in text as
//! `task("checkout") > 300ms`.
//!
//! [`Budget`] decides which snapshots to remove when there are too many.
//!
//! ```
//! use gotrace::mux::{QueueConfig, TraceMultiplexer};
//! use gotrace::recorder::trigger::Triggers;
//! use gotrace::recorder::{FlightRecorderConfig, SharedRecorder};
//! use gotrace::source::Playback;
//! use gotrace::{Event, EventKind};
//! use std::{sync::Arc, time::Duration};
//!
//! let trace = std::fs::read("tests/fixtures/annotate-go1.27.trace")?;
//! let mux = TraceMultiplexer::new(Playback::new(trace)?)?;
//! let recorder = Arc::new(SharedRecorder::new(FlightRecorderConfig::default()));
//! let hold = mux.hold();
//! let recording = mux.record(&recorder)?;
//! let mut events = mux.events(QueueConfig::default());
//! drop(hold);
//!
//! let mut triggers = Triggers::new().with_cooldown(Duration::from_secs(10));
//! triggers.add("log", |event: &Event<'_, '_>| event.kind() == EventKind::Log);
//! let mut snapshot = Vec::new();
//! while let Some(event) = events.next()? {
//!     if let Some(fired) = triggers.see(&event) {
//!         println!("{}: {}", fired.name, fired.event);
//!         let generation = events.generation();
//!         while recorder.status()?.newest < generation {
//!             std::thread::yield_now();
//!         }
//!         recorder.write_to(&mut snapshot)?;
//!     }
//! }
//! assert!(!snapshot.is_empty() && triggers.suppressed() > 0);
//! # drop(recording);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod budget;
#[cfg(test)]
mod tests;

pub use budget::Budget;

use crate::event::{Event, EventKind};
use crate::ids::GoId;
use crate::time::Time;
use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// What is asked of every event of a trace, in order.
pub trait Condition: Send {
    /// Whether this event is one to take a snapshot for.
    fn holds(&mut self, event: &Event<'_, '_>) -> bool;

    /// Another trace begins: what was known of the one before does not hold any more.
    fn restart(&mut self) {}
}

impl<F: FnMut(&Event<'_, '_>) -> bool + Send> Condition for F {
    fn holds(&mut self, event: &Event<'_, '_>) -> bool {
        self(event)
    }
}

/// Conditions, each with a name. See [the module](self).
pub struct Triggers<'c> {
    list: Vec<(Arc<str>, Box<dyn Condition + 'c>)>,
    cooldown: Duration,
    /// The time of the last event that fired, in this trace.
    last: Option<Time>,
    /// How many conditions held since then.
    suppressed: u64,
}

/// An event for which a snapshot is to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fired {
    /// The name of the trigger.
    pub name: Arc<str>,
    /// Its number, in the order in which they were added, from 0 on.
    pub trigger: usize,
    /// When the event was, in nanoseconds on the trace's clock.
    pub time: Time,
    /// The goroutine in whose context it was.
    pub goroutine: Option<GoId>,
    /// The event's kind.
    pub kind: EventKind,
    /// The event, as it displays.
    pub event: String,
    /// How often conditions held since the last time that one fired, without firing.
    pub suppressed: u64,
}

impl Default for Triggers<'_> {
    fn default() -> Self {
        Triggers::new()
    }
}

impl<'c> Triggers<'c> {
    /// No conditions, and no cool-down.
    pub const fn new() -> Triggers<'c> {
        Triggers {
            list: Vec::new(),
            cooldown: Duration::ZERO,
            last: None,
            suppressed: 0,
        }
    }

    /// After one has fired, none does for this long: in time of the trace, from event to event.
    #[must_use]
    pub const fn with_cooldown(mut self, cooldown: Duration) -> Triggers<'c> {
        self.cooldown = cooldown;
        self
    }

    /// Adds a condition, with a name that tells it from others.
    pub fn add(&mut self, name: &str, condition: impl Condition + 'c) {
        self.list.push((name.into(), Box::new(condition)));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Another trace begins, with its own clock and numbers.
    pub fn restart(&mut self) {
        self.last = None;
        for (_, condition) in &mut self.list {
            condition.restart();
        }
    }

    /// How often a condition held, without firing, since the last time that one fired.
    pub const fn suppressed(&self) -> u64 {
        self.suppressed
    }

    /// Shows the next event to every condition. The first that holds fires, if nothing did less than
    /// the cool-down ago.
    pub fn see(&mut self, event: &Event<'_, '_>) -> Option<Fired> {
        let mut fires = None;
        // All of them see it, since they may count.
        for (number, (_, condition)) in self.list.iter_mut().enumerate() {
            if condition.holds(event) {
                fires = fires.or(Some(number));
            }
        }
        let trigger = fires?;
        let time = event.time();
        let passed = self.last.map(|last| time.since(last));
        let cool = i64::try_from(self.cooldown.as_nanos()).unwrap_or(i64::MAX);
        if passed.is_some_and(|passed| passed < cool) {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.last = Some(time);
        let name = &self.list.get(trigger)?.0;
        Some(Fired {
            name: Arc::clone(name),
            trigger,
            time,
            goroutine: event.goroutine(),
            kind: event.kind(),
            event: event.to_string(),
            suppressed: core::mem::take(&mut self.suppressed),
        })
    }
}

impl fmt::Debug for Triggers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Triggers")
            .field("names", &self.list.iter().map(|t| &t.0).collect::<Vec<_>>())
            .field("cooldown", &self.cooldown)
            .field("suppressed", &self.suppressed)
            .finish_non_exhaustive()
    }
}
