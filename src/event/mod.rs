//! Events: what happened, when, and in which context, with details that borrow from the trace.
//!
//! Mirrors `trace.Event` of Go's API, except that details are an enum: no accessor can be called on
//! the wrong kind of event. An [`Event`] is a small handle to what its reader read last; details
//! are worked out when asked for, and the strings in them live as long as the trace.
//!
//! ```
//! use gotrace::{Details, Trace};
//!
//! let bytes = include_bytes!("../../tests/fixtures/annotate-go1.27.trace");
//! let trace = Trace::new(bytes)?;
//! let mut reader = trace.reader();
//! let mut messages = Vec::new();
//! while let Some(event) = reader.next()? {
//!     if let Details::Log(log) = event.details() {
//!         messages.push(log.message); // borrows from `bytes`, not from `event`
//!     }
//! }
//! assert!(messages.iter().any(|m| *m == "tock"));
//! # Ok::<(), gotrace::Error>(())
//! ```

mod details;
mod display;
mod interpret;
#[cfg(feature = "alloc")]
mod make;
mod record;
#[cfg(feature = "alloc")]
mod step;

pub use details::{
    Change, Details, EventKind, ExperimentalEvent, GoState, Label, Log, Metric, ProcState, Range,
    RangeAttribute, RangeName, Region, Resource, ResourceKind, StateTransition, Sync, Task,
};

pub use display::Line;
#[cfg(feature = "alloc")]
pub use make::TestTables;
pub use record::EventRecord;
#[cfg(feature = "alloc")]
pub(crate) use step::GoStep;

use crate::generation::{Lookup, Stack};
use crate::ids::{GenerationId, GoId, Offset, ProcId, ThreadId};
use crate::time::Time;
use crate::wire::{EventType, Role, TimedEvent};
use crate::wire::{Pieces, Place, Span};
use core::fmt;

/// The type of a sync event, which is not on the wire.
pub(crate) const SYNC: EventType = EventType(u8::MAX);

/// An event as the order made it: the record as it is on the wire, and what only the order
/// knows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw {
    pub(crate) time: Time,
    pub(crate) thread: Option<ThreadId>,
    pub(crate) proc: Option<ProcId>,
    pub(crate) go: Option<GoId>,
    /// The record. The order changes some arguments: at a task's end, the third is the parent; of a
    /// sync event, they are its number, where its generation begins and where that ends.
    pub(crate) event: TimedEvent,
    /// The state before, of a status event; the proc's status before, of a steal.
    pub(crate) from: u8,
    /// Where the record is in the input; of a sync event, its arguments say it.
    pub(crate) piece: u32,
    pub(crate) at: usize,
    /// The name that a task or a stop-the-world range began with, at its end; and a text of the event
    /// that no string table holds, as in traces of before Go 1.22: a log's message, a reason.
    pub(crate) name: Span,
}

impl Raw {
    #[inline]
    pub(crate) fn arg(&self, n: usize) -> u64 {
        self.event.args.get(n).copied().unwrap_or(0)
    }

    pub(crate) fn kind(&self) -> EventKind {
        // Only a sync event has a type that is not in the table, and only types of events pass.
        EventKind::of(self.event.ty).unwrap_or(EventKind::Sync)
    }

    #[inline(always)]
    pub(crate) const fn place(&self) -> Place {
        Place {
            piece: self.piece,
            at: self.at,
        }
    }
}

/// An event of a trace, in the order in which it happened (`trace.Event` in Go's API).
///
/// A handle: it borrows the reader (`'a`) until the next event is asked for. What it gives out
/// borrows the trace (`'t`) wherever it can.
///
/// Displays as Go's `Event.String` does, over several lines if there is a stack.
#[derive(Clone, Copy)]
pub struct Event<'a, 't> {
    pub(crate) raw: &'a Raw,
    pub(crate) tables: &'a dyn Lookup,
    pub(crate) input: Pieces<'t>,
}

impl<'a, 't> Event<'a, 't> {
    /// The kind of event.
    pub fn kind(&self) -> EventKind {
        self.raw.kind()
    }

    /// The type on the wire that the event came from; `None` for a sync event.
    ///
    /// One record can give several events: a coroutine switch gives three.
    pub fn wire_type(&self) -> Option<EventType> {
        (self.raw.event.ty != SYNC).then_some(self.raw.event.ty)
    }

    /// When it happened. Times grow from event to event: what a clock reads no later than the event
    /// before is given one nanosecond more than that.
    #[inline]
    pub const fn time(&self) -> Time {
        self.raw.time
    }

    /// The thread on which it happened.
    #[inline]
    pub const fn thread(&self) -> Option<ThreadId> {
        self.raw.thread
    }

    /// The proc that the thread had before the event.
    #[inline]
    pub const fn proc(&self) -> Option<ProcId> {
        self.raw.proc
    }

    /// The goroutine that the thread ran before the event.
    #[inline]
    pub const fn goroutine(&self) -> Option<GoId> {
        self.raw.go
    }

    /// The generation that the event is of; `None` for the last sync event of a trace.
    pub fn generation(&self) -> Option<GenerationId> {
        if self.raw.event.ty == SYNC {
            let [_, start, end, _] = self.raw.event.args;
            if start == end {
                return None;
            }
        }
        GenerationId::new(self.tables.generation())
    }

    /// Where in the trace the record is that the event came from: bytes from the first one. Of a
    /// sync event, where its generation begins; of the last one, where the trace ends as far as it
    /// was read.
    pub fn offset(&self) -> Offset {
        if self.raw.event.ty == SYNC {
            return Offset(self.raw.arg(1));
        }
        match self.raw.piece {
            Span::ABSOLUTE => Offset(crate::num::wide(self.raw.at)),
            _ => Offset(self.input.offset(self.raw.place())),
        }
    }

    /// What is left of the event when its reader goes on: see [`EventRecord`].
    pub fn record(&self) -> EventRecord {
        EventRecord::of(self)
    }

    /// The stack on which it happened.
    pub fn stack(&self) -> Option<Stack<'a, 't>> {
        if self.raw.event.ty == EventType::CPU_SAMPLE {
            let id = self.raw.arg(0);
            // A sample's stack is never checked: one that is not there has no frames.
            return Some(self.stack_of(id));
        }
        match self.raw.arg(self.raw.event.ty.arg(Role::Stack)?) {
            0 => None,
            id => Some(self.stack_of(id)),
        }
    }

    pub(crate) fn stack_of(&self, id: u64) -> Stack<'a, 't> {
        let span = self.tables.stack(id).filter(|_| id != 0);
        let frames = span.map_or(&[][..], |span| self.input.bytes(span));
        Stack {
            id,
            frames,
            input: self.input,
            tables: self.tables,
        }
    }
}

impl fmt::Debug for Event<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("time", &self.time())
            .field("thread", &self.thread())
            .field("proc", &self.proc())
            .field("goroutine", &self.goroutine())
            .field("details", &self.details())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Event<'_, '_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "M={} P={} G={} {} Time={=i64}",
            self.thread(),
            self.proc(),
            self.goroutine(),
            self.kind(),
            self.time().0
        );
    }
}

format_as_debug! {
    [] Sync<'_>;
}

#[cfg(feature = "defmt")]
impl defmt::Format for Line<'_, '_, '_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Display2Format(self));
    }
}
