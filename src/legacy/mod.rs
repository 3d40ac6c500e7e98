//! Traces of Go 1.11 to 1.21, as the events of today's format.
//!
//! Before Go 1.22 a trace was not cut into generations: a record of the first proc may need one of
//! the last, the strings and stacks may be anywhere, and the clock's frequency is at the end. A
//! reader must have all of it before it can give the first event. [`Trace`](crate::Trace) and the
//! readers take such a trace like any other, if their tables may grow: it is one generation, and
//! everything that an event gives out works as it does for today's. Go's reader converts them as
//! well, and gives the same events.
//!
//! What is here besides is the format itself: [`EventType`] has its table, [`Records`] reads what a
//! file consists of.
//!
//! A trace that is cut short has no clock frequency, so that no event can be given. Where events
//! contradict each other, those before are given, and then the error.
//!
//! ```
//! use gotrace::{Trace, event::EventKind};
//!
//! let bytes = include_bytes!("../../tests/fixtures/annotate-go1.21.trace");
//! let mut reader = Trace::new(bytes)?.reader();
//! let mut logs = 0;
//! while let Some(event) = reader.next()? {
//!     logs += u32::from(event.kind() == EventKind::Log);
//! }
//! assert!(logs > 0);
//! # Ok::<(), gotrace::Error>(())
//! ```

mod check;
mod convert;
mod cursor;
mod exits;
mod frontier;
mod goroutines;
mod merge;
mod record;
mod scan;
mod spec;
mod tables;
mod words;

pub(crate) use convert::Legacy;
pub use record::{Event, Record, Records};
pub use spec::{EventType, MAX_ARGS, MAX_FRAMES, MAX_RECORD_SIZE, MAX_STRING_SIZE, Spec};
pub(crate) use words::PIECES;

format_as_debug! {
    [] Records<'_>;
    [] Record<'_>;
    [] Event<'_>;
}
