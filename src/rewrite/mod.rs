//! Traces from traces: events in, a trace out.
//!
//! A [`Writer`] takes events in the order in which they happened, as readers give them, and writes a trace
//! that gives the same events: of the same version, or of another. What it writes is valid by
//! construction. Sequence numbers are counted anew in the order of writing, a generation announces what
//! its events are about, and of its tables those strings and stacks are written that events name. Where
//! an event cannot follow those before it, what is missing in between is made up; where nothing that could
//! be made up helps, it is left out. Both are counted.
//!
//! That is what repairing a trace needs, and also cutting, filtering and converting one.
//!
//! ```
//! use gotrace::{Trace, rewrite::Writer, wire::Version};
//!
//! // To the format of Go 1.22, for tools that read no later one.
//! let trace = Trace::new(include_bytes!("../../tests/fixtures/http-go1.27.trace"))?;
//! let mut reader = trace.reader();
//! let mut writer = Writer::new(Version::Go122)?;
//! let mut out = Vec::new();
//! while let Some(event) = reader.next()? {
//!     writer.event(&event);
//!     // To be called whenever there is much.
//!     out.extend_from_slice(writer.bytes());
//!     writer.clear();
//! }
//! writer.finish();
//! out.extend_from_slice(writer.bytes());
//!
//! let converted = Trace::new(&out)?;
//! assert_eq!(converted.version(), Version::Go122);
//! let mut events = converted.reader();
//! while events.next()?.is_some() {}
//! assert_eq!(writer.report().left_out, 0);
//! # Ok::<(), gotrace::Error>(())
//! ```
//!
//! # What stays the same
//!
//! All that a reader gives of a sound trace: kinds, times, threads, procs, goroutines, states, names and
//! stacks. Times are written in nanoseconds, each later than the one before. In bytes a trace becomes
//! another one: about as large, with the batches of its threads cut at other places. Strings and stacks
//! that no event names are left out. The numbers of generations of before Go 1.26 follow each other.
//!
//! # Memory
//!
//! The writer keeps what exists: goroutines, procs, threads, open tasks and regions; of each thread the
//! batch being filled, up to 64 KiB; a bit for each string and stack of the generation; and the bytes that
//! were not taken away. An event costs about as much as reading it.

mod events;
mod model;
mod names;
mod output;
mod repair;
mod start;
mod writer;

pub use repair::{Change, Changed, Repaired, Repairer, repair};
pub use writer::Writer;

use crate::error::{Error, ErrorKind};
use crate::wire::Version;

/// What a [`Writer`] wrote, and what it did to make that valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Report {
    /// Events that were given and written.
    pub events: u64,
    /// Events that were made up, by the reader or the writer.
    pub made_up: u64,
    /// States that were announced where the trace begins in the middle of another: see
    /// [`Writer::skip`].
    pub announced: u64,
    /// Events that were given and left out, because they contradict those before.
    pub left_out: u64,
    /// Events that were given and left out, because the version being written has nothing for them.
    pub not_in_version: u64,
    /// Events whose time was moved, by a nanosecond or a few, because of others that were made up.
    pub moved: u64,
    /// Strings and stacks that events name and no table has, in each generation anew. They are written as,
    /// for example, `string 57 (not recorded)`; but for the reasons for which goroutines block, if an
    /// earlier generation has them, since their ids are the same in all.
    pub missing_names: u64,
    /// Generations.
    pub generations: u64,
}

/// Refuses versions that are not written.
fn refuse(version: Version) -> Result<(), Error> {
    if version.has_generations() {
        return Ok(());
    }
    let minor = u64::from(version.minor());
    Err(Error::at(ErrorKind::NoGenerations, minor, 0))
}
