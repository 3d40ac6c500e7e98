//! Which events: moments as people write them, and filters of events.
//!
//! A [`Filter`] says which events are wanted; its [`Selection`] looks at each event of a trace, in
//! order, and says whether it is one of them. A [`Moment`] is a time in a trace as it can be typed:
//! `1.25s` after the trace's start, `@1251353149760` on the scale of event times, or a wall-clock
//! time. Every time that an event or the tool displays can be parsed back into a moment.
//!
//! With the feature `expressions`, a filter can have a condition (`EventCondition`) in the language that
//! the chapter [expressions](crate::docs::expressions) describes, and a trigger is such a filter: it
//! fires at each event that it selects.
//!
//! ```
//! use gotrace::{EventKind, Trace, select::{Filter, Verdict}};
//!
//! let bytes = include_bytes!("../../tests/fixtures/annotate-go1.27.trace");
//! let filter = Filter::new()
//!     .with_kind(EventKind::Log)
//!     .with_from("0.5ms".parse()?);
//! let mut selection = filter.selection();
//! let trace = Trace::new(bytes)?;
//! let (mut reader, mut logs) = (trace.reader(), 0);
//! while let Some(event) = reader.next()? {
//!     match selection.sees(&event)? {
//!         Verdict::Selected => logs += 1,
//!         Verdict::Skipped => {}
//!         Verdict::Over => break,
//!     }
//! }
//! assert!(logs > 0);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod end;
#[cfg(feature = "expressions")]
#[cfg_attr(docsrs, doc(cfg(feature = "expressions")))]
pub mod expr;
mod filter;
mod moment;
#[cfg(feature = "expressions")]
mod names;
#[cfg(feature = "expressions")]
mod watch;

pub use end::last_time;
#[cfg(feature = "expressions")]
pub use expr::{Condition, ExpressionError, Quantity};
#[cfg(feature = "expressions")]
pub use names::{EventCondition, EventName, EventNames};

pub use filter::{Filter, SelectError, Selection, Verdict};
pub(crate) use filter::{among, named};
pub use moment::{Moment, ParseMomentError};
