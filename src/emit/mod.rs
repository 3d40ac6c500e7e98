//! Writing a trace: statuses, names, sequence numbers, tables, one generation at a time.
//!
//! An [`Emitter`] is told what happens: goroutines are created, become ready, run, pause; regions
//! and tasks begin and end. It keeps what a valid trace needs to say of that, in tables of fixed or
//! growing capacity, and events in memory that it is given. [`Emitter::advance`] ends a generation
//! and hands it to a [`Sink`]: a [`FlightRecorder`](crate::FlightRecorder) for a black box, a
//! vector, or whatever else takes bytes.
//!
//! What holds, whatever is told and whatever the sink refuses:
//! - What the sink took is a trace that Go's reader accepts, and so is every suffix of its
//!   generations: each generation mentions every goroutine that is alive.
//! - What finds no room is counted in [`Lost`], never torn. Events that do not fit in the memory cost
//!   the rest of their generation, a refused generation costs itself; the next one begins with what
//!   a reader believes, and goes on to what is.
//!
//! [`TableWriter`] is the part of it that is of use without an emitter: the tables and the end of any
//! generation.
//!
//! ```
//! use gotrace::emit::{Emitter, EmitterConfig, Pause};
//! use gotrace::time::{Timestamp, WallTime};
//! use gotrace::{Fixed, Reader, Trace};
//!
//! // Names: 16. Cores: 1. Goroutines: 8. Regions and tasks open: 4 each.
//! type Tables = Fixed<16, 0, 0, 0, 0, 1, 8, 4, 4>;
//! let mut emitter = Emitter::<Tables, _>::new([0; 1024]);
//! let now = |t| Timestamp(t);
//!
//! emitter.start(now(0), EmitterConfig::new(1_000_000));
//! let blink = emitter.create(now(10), 0, "blink").expect("a free place");
//! emitter.ready(now(20), 0, blink);
//! emitter.run(now(30), 0, blink);
//! emitter.log(now(35), 0, None, "led", "on");
//! emitter.pause(now(40), 0, Pause::Block("sleep"));
//!
//! let mut bytes = Vec::new();
//! assert!(emitter.advance(now(50), WallTime::new(0, 0), &mut bytes));
//! let trace = Trace::new(&bytes)?;
//! let mut reader = trace.reader();
//! let mut logs = 0;
//! while let Some(event) = reader.next()? {
//!     logs += u32::from(matches!(event.details(), gotrace::Details::Log(_)));
//! }
//! assert_eq!(logs, 1);
//! # Ok::<(), gotrace::Error>(())
//! ```

mod annotations;
mod emitter;
mod generations;
mod names;
mod output;
mod sink;
mod state;
mod tables;

pub use annotations::Metric;
pub use emitter::{Emitter, EmitterConfig, Lost, Pause};
pub use sink::Sink;
pub use state::Go;
pub use tables::{Clocks, TableWriter};
