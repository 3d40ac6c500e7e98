//! Where live trace data comes from.
//!
//! A [`TraceSource`] starts and stops, hands out the version of the trace, and then complete batches
//! and the ends of generations, in the order in which they came: what the runtime's trace reader is
//! for `runtime/trace`. A [`TraceMultiplexer`](crate::mux::TraceMultiplexer) reads one and feeds any
//! number of subscribers. Shipped are:
//!
//! - [`StreamSource`]: the bytes of a running Go program, from a pipe, a socket or a growing file,
//!   of every version since Go 1.22, whatever the sizes of the reads;
//! - [`ListenSource`] (Unix): the traces of the programs that connect to a socket, one after the other;
//! - [`Playback`]: a finished trace in memory, as fast as it is taken or at its own pace.
//!
//! A program that is traced may end and be started again. A source that goes on with the trace of the
//! next one says so: [`Part::Restart`], and when another trace begins, [`Part::Header`].
//!
//! Traces that are finished, in files or pipes, plain or compressed, are opened by [`open`].
//!
//! The batches that a source hands out are shared, not copied: [`SharedBatches`].
//!
//! ```
//! use gotrace::source::{Part, StreamSource, TraceSource};
//!
//! let file = std::fs::File::open("tests/fixtures/annotate-go1.25.trace")?;
//! let mut source = StreamSource::new(file);
//! let version = source.start()?;
//! let (mut bytes, mut generations) = (version.header().len(), 0);
//! while let Some(part) = source.next()? {
//!     match part {
//!         Part::Batches(batches) => bytes += batches.as_bytes().len(),
//!         Part::EndOfGeneration(number) => generations = number.get(),
//!         Part::Restart(_) | Part::Header(_) => unreachable!("there is one trace in the file"),
//!     }
//! }
//! assert_eq!((bytes, generations), (10404, 3));
//! # Ok::<(), gotrace::source::SourceError>(())
//! ```

mod batches;
mod control;
mod follow;
#[cfg(unix)]
mod listen;
pub mod open;
mod playback;
mod stream;

pub use batches::SharedBatches;
#[cfg(unix)]
pub use listen::{ListenSource, Refused};
pub use playback::Playback;
pub use stream::StreamSource;

use crate::error::Error;
use crate::ids::GenerationId;
use crate::wire::Version;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use std::io;

/// Where live trace data comes from. One thread owns it; [`control`](TraceSource::control) is for
/// the others.
pub trait TraceSource: Send {
    /// Begins, or goes on after a [`stop`](TraceSource::stop), where a generation begins. Gives the
    /// version of what follows. May wait for the trace to begin.
    ///
    /// Errors: that the source cannot begin, or not again ([`SourceError::Ended`]); what is wrong
    /// with the header; [`SourceError::Interrupted`].
    fn start(&mut self) -> Result<Version, SourceError>;

    /// What comes next; `None` if the trace ended as it should, where a generation ends, and no other
    /// trace can follow. Waits for it.
    ///
    /// Errors: why the trace ended in the middle of a generation, if no other can follow. After an
    /// error or the end, nothing more is asked for until the next start.
    fn next(&mut self) -> Result<Option<Part>, SourceError>;

    /// Whether what comes next is the end of a generation or of a trace, and is known:
    /// [`next`](TraceSource::next) gives it without reading. Those who are fed get it then before
    /// anyone waits for one of them. Without an implementation, it is not known.
    fn is_at_end(&self) -> bool {
        false
    }

    /// There is no subscriber any more. Called where a generation ended, and after the end or an error.
    fn stop(&mut self);

    /// The same handle every time: what other threads may ask of this source.
    fn control(&self) -> Arc<dyn SourceControl>;
}

/// What may be asked of a [`TraceSource`] while its thread waits in it.
pub trait SourceControl: Send + Sync {
    /// Asks the source to end the current generation soon (`runtime.traceAdvance`).
    ///
    /// Errors: it cannot.
    fn advance(&self) -> Result<(), AdvanceUnsupported>;

    /// Waits until what was traced before is part of the generation that the multiplexer is in, or of
    /// an earlier one: then leaving with the end of that generation loses nothing. Or until the source
    /// is stopped. Sources of other processes' traces have no such moment.
    fn catch_up(&self) {}

    /// Makes [`start`](TraceSource::start) and [`next`](TraceSource::next) give
    /// [`SourceError::Interrupted`] as soon as they can, now and from now on.
    fn interrupt(&self);
}

/// What a source hands out.
#[derive(Clone, Debug)]
pub enum Part {
    /// Complete batches of one generation, and its end marker if the trace has one here.
    Batches(SharedBatches),
    /// All of this generation was handed out.
    EndOfGeneration(GenerationId),
    /// The trace ended, as it should or, for this reason, in the middle of a generation. The source
    /// waits for another trace, whose [header](Part::Header) comes next; or this once more, if what came
    /// was no trace.
    Restart(Option<SourceError>),
    /// Another trace, of this version, begins. Its generations and all their numbers are its own.
    Header(Version),
}

/// Why a source cannot begin, or ended in the middle of a generation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// It could not be read.
    Io(Arc<io::Error>),
    /// What it gave is not a trace, or is cut short; the offset counts from the trace's start.
    Trace(Error),
    /// It gave text instead of a trace: its first line, shortened to 200 bytes. A server that answers
    /// with an error says here what it is.
    Text(String),
    /// The file was cut short while it was read, or written anew.
    Rewritten,
    /// It ended before, and cannot begin again.
    Ended,
    /// [`SourceControl::interrupt`] was called.
    Interrupted,
    /// It panicked, with this message.
    Panicked(String),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::Io(error) => error.fmt(f),
            SourceError::Trace(error) => error.fmt(f),
            SourceError::Text(line) => write!(f, "not a Go execution trace but text: {line:?}"),
            SourceError::Rewritten => {
                f.write_str("the file was cut short or written anew while it was being read")
            }
            SourceError::Ended => f.write_str("the source of the trace has ended"),
            SourceError::Interrupted => f.write_str("the source of the trace was interrupted"),
            SourceError::Panicked(message) => {
                write!(f, "the source of the trace panicked: {message}")
            }
        }
    }
}

impl core::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            SourceError::Io(error) => Some(&**error),
            SourceError::Trace(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for SourceError {
    fn from(error: io::Error) -> Self {
        SourceError::Io(Arc::new(error))
    }
}

impl From<Error> for SourceError {
    fn from(error: Error) -> Self {
        SourceError::Trace(error)
    }
}

/// Locks. What a panic under a lock could leave half done would be seen by others; there is none.
#[cfg(unix)]
fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The source has no say in when a generation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdvanceUnsupported;

impl fmt::Display for AdvanceUnsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the source of the trace cannot be asked to end a generation")
    }
}

impl core::error::Error for AdvanceUnsupported {}
