//! How a trace ends: the one answer that all who read traces give.

use super::split::{Finish, Split, Splitter};
use crate::error::{Error, ErrorKind};
use crate::ids::{GenerationId, Offset};
use crate::wire::{Chunk, Version};
use core::fmt;

/// How a trace ends, and what is wrong there if anything is.
///
/// [`Reader::ending`](crate::Reader::ending) and
/// [`StreamReader::ending`](crate::StreamReader::ending) give it when there are no more events;
/// [`Ending::of`] makes it of the error that ended any other kind of reading. Displays as a message for
/// people, with the byte.
///
/// ```
/// use gotrace::{Trace, generation::Ending};
///
/// let bytes = include_bytes!("../../tests/fixtures/gc-go1.27.trace");
/// let trace = Trace::new(&bytes[..bytes.len() - 1])?;
/// let mut reader = trace.reader();
/// let error = loop {
///     match reader.next() {
///         Ok(Some(_)) => {}
///         Ok(None) => break None,
///         Err(error) => break Some(error),
///     }
/// };
/// // The last generation lacks its end, as when the program is killed.
/// assert!(matches!(reader.ending(error), Ending::Unended { .. }));
/// # Ok::<(), gotrace::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Ending {
    /// Where it should: nothing is missing.
    Complete,
    /// Right after its header: the program traced nothing, or ended before it wrote anything.
    HeaderOnly,
    /// Inside a batch or a section.
    Cut {
        /// Where the bytes end.
        at: Offset,
        /// How many bytes are missing at least.
        missing: u64,
    },
    /// After a whole batch, before its last generation is over. A program of Go 1.26 or later that was
    /// killed, panicked or called `os.Exit` leaves this.
    Unended {
        /// The generation that lacks its end.
        generation: GenerationId,
        /// Where the bytes end.
        at: Offset,
    },
    /// With the header of another trace, as when two files were put one after the other.
    AnotherTrace {
        /// Where that header begins.
        at: Offset,
    },
    /// It is damaged, and cannot be read beyond that.
    Damaged(Error),
}

impl Ending {
    /// How a trace ends whose reading ended with this error, or with none.
    ///
    /// Without an error the trace counts as complete. A reader knows two more things:
    /// [`Reader::ending`](crate::Reader::ending).
    pub fn of(error: Option<Error>) -> Ending {
        let Some(error) = error else {
            return Ending::Complete;
        };
        let (at, value) = (error.offset(), error.value());
        match (error.kind(), GenerationId::new(value)) {
            (ErrorKind::UnexpectedEnd, _) => Ending::Cut { at, missing: value },
            (ErrorKind::IncompleteGeneration, Some(generation)) => {
                Ending::Unended { generation, at }
            }
            (ErrorKind::AnotherTrace, _) => Ending::AnotherTrace { at },
            // Not even a generation without a number is there.
            (ErrorKind::MissingFrequency, None) => Ending::HeaderOnly,
            _ => Ending::Damaged(error),
        }
    }

    /// Whether nothing is missing.
    pub const fn is_complete(&self) -> bool {
        matches!(self, Ending::Complete)
    }

    /// Whether what there is of the trace is sound, and only its end is missing: nothing was written, or
    /// the last generation is not over. Go's reader opens such a trace of Go 1.26 or later.
    pub const fn is_early(&self) -> bool {
        matches!(self, Ending::HeaderOnly | Ending::Unended { .. })
    }

    /// A word for programs: `complete`, `header-only`, `cut`, `unended`, `another-trace` or `damaged`.
    pub const fn name(&self) -> &'static str {
        match self {
            Ending::Complete => "complete",
            Ending::HeaderOnly => "header-only",
            Ending::Cut { .. } => "cut",
            Ending::Unended { .. } => "unended",
            Ending::AnotherTrace { .. } => "another-trace",
            Ending::Damaged(_) => "damaged",
        }
    }

    /// Where: bytes from the start of the trace. `None` for a complete one.
    pub const fn offset(&self) -> Option<Offset> {
        match self {
            Ending::Complete => None,
            Ending::HeaderOnly => Some(Offset(16)),
            Ending::Cut { at, .. } | Ending::Unended { at, .. } | Ending::AnotherTrace { at } => {
                Some(*at)
            }
            Ending::Damaged(error) => Some(error.offset()),
        }
    }

    /// The generation that is not over, if that is what is wrong.
    pub const fn generation(&self) -> Option<GenerationId> {
        match self {
            Ending::Unended { generation, .. } => Some(*generation),
            _ => None,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Complete => f.write_str("the trace is complete"),
            Ending::HeaderOnly => f.write_str(
                "the trace ends after its header: nothing was written (was trace.Stop called?)",
            ),
            Ending::Cut { at, missing } => {
                Error::new(ErrorKind::UnexpectedEnd, *missing, *at).fmt(f)
            }
            Ending::Unended { generation, at } => {
                Error::new(ErrorKind::IncompleteGeneration, generation.get(), *at).fmt(f)?;
                f.write_str(" (did the program end without trace.Stop?)")
            }
            Ending::AnotherTrace { at } => Error::new(ErrorKind::AnotherTrace, 0, *at).fmt(f),
            Ending::Damaged(error) => error.fmt(f),
        }
    }
}

/// Finds out how a trace ends from its batches alone, without reading their events.
///
/// ```
/// use gotrace::generation::{Ending, Ends};
/// use gotrace::{Trace, ids::Offset};
///
/// let bytes = include_bytes!("../../tests/fixtures/gc-go1.27.trace");
/// let cut = Trace::new(&bytes[..bytes.len() - 1])?;
/// let mut ends = Ends::new(cut.version());
/// let mut batches = cut.batches();
/// while let Some(chunk) = batches.next()? {
///     ends.see(&chunk);
/// }
/// assert!(matches!(ends.ending(batches.offset()), Ending::Unended { .. }));
/// # Ok::<(), gotrace::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    splitter: Splitter,
    any: bool,
}

impl Ends {
    /// For a trace of this version, of which nothing was seen yet.
    pub const fn new(version: Version) -> Ends {
        Ends {
            splitter: Splitter::new(version),
            any: false,
        }
    }

    /// Looks at the next batch or marker.
    pub fn see(&mut self, chunk: &Chunk<'_>) {
        self.any = true;
        // What is out of order is damage, which a reader reports.
        if let Ok(Split::Before(_)) = self.splitter.chunk(chunk) {
            let _ = self.splitter.chunk(chunk);
        }
    }

    /// How the trace ends if nothing follows, at the byte `at`: complete, unended, or after its
    /// header.
    pub const fn ending(&self, at: Offset) -> Ending {
        match self.splitter.finish() {
            _ if !self.any => Ending::HeaderOnly,
            // As everywhere, before Go 1.26 the end of a trace ends its last generation.
            Finish::Unended { number, .. } if self.splitter.has_end_marker() => Ending::Unended {
                generation: number,
                at,
            },
            _ => Ending::Complete,
        }
    }
}
