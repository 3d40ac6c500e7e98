//! Damaged traces made whole.

use super::{Report, Writer};
use crate::error::Error;
use crate::event::Event;
use crate::generation::Trace;
use crate::ids::{GoId, Offset, ProcId, ThreadId};
use crate::reader::{Gap, Incomplete, Item, Losses, NewTrace, RegionClosing};
use crate::time::Time;
use crate::wire::{EventType, Version};
use alloc::vec::Vec;
use core::fmt;

/// Makes a valid trace of what a lenient reader gives: the items go in, the bytes come out.
///
/// [`repair`] does all of it for a trace in memory. What is made up has a stack of one frame that says so,
/// where its type has a stack. The bytes are those of a [`Writer`]; a trace with which nothing is wrong
/// gives the same events.
#[derive(Debug)]
pub struct Repairer {
    writer: Writer,
    changes: Vec<Change>,
    /// Changes beyond the most that are kept.
    more: u64,
    other: Option<NewTrace>,
}

/// One thing that is not as it was in the damaged trace.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "change", rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Change {
    /// Bytes were lost.
    Gap(Gap),
    /// A generation lacks something.
    Incomplete(Incomplete),
    /// An event was made up.
    MadeUp(Changed),
    /// A region was closed because one around it ended: the end was made up.
    RegionClosed(RegionClosing),
    /// An event was left out.
    LeftOut(Changed),
    /// Another trace begins, and is not part of the repaired one.
    AnotherTrace(NewTrace),
}

/// An event that was made up or left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Changed {
    /// Its type on the wire, by name.
    pub event: Option<&'static str>,
    /// When it happened, or is said to have.
    pub time: Time,
    /// The thread on which it happened.
    pub thread: Option<ThreadId>,
    /// The proc that the thread had.
    pub proc: Option<ProcId>,
    /// The goroutine that it is about if it names one, or else that of the thread.
    pub goroutine: Option<GoId>,
    /// Where the record is in the damaged trace: of what was made up, that of the event that needed it.
    pub offset: Offset,
    /// What a strict reader says.
    pub error: Error,
}

impl Changed {
    fn new(event: &Event<'_, '_>, error: Error) -> Changed {
        let ty = event.wire_type();
        let named = ty.and_then(|ty| ty.arg(crate::wire::Role::Goroutine));
        let named = named.and_then(|at| GoId::new(event.raw.arg(at)));
        Changed {
            event: ty.and_then(EventType::name),
            time: event.time(),
            thread: event.thread(),
            proc: event.proc(),
            goroutine: named.or(event.goroutine()),
            offset: error.offset(),
            error,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Gap(gap) => match gap.len() {
                1 => write!(f, "the byte {} is lost: {}", gap.from, gap.error),
                len => write!(
                    f,
                    "{len} bytes from byte {} to {} are lost: {}",
                    gap.from, gap.to, gap.error
                ),
            },
            Change::Incomplete(lacks) => {
                write!(f, "generation {} is incomplete", lacks.generation)?;
                if lacks.unended {
                    f.write_str(", its end is missing")?;
                }
                if lacks.after_missing {
                    f.write_str(", generations before it are missing")?;
                }
                if lacks.strings > 0 || lacks.stacks > 0 {
                    let s = |n: u64| if n == 1 { "" } else { "s" };
                    write!(
                        f,
                        ", placeholders are in place of {} string{} and {} stack{}",
                        lacks.strings,
                        s(lacks.strings),
                        lacks.stacks,
                        s(lacks.stacks)
                    )?;
                }
                match lacks.assumed_frequency {
                    Some(frequency) => {
                        write!(f, ", its clock is taken to have {} Hz", frequency.hertz())
                    }
                    None => Ok(()),
                }
            }
            Change::MadeUp(what) => write!(f, "made up: {what}"),
            Change::RegionClosed(closing) => closing.fmt(f),
            Change::LeftOut(what) => write!(f, "left out: {what}"),
            Change::AnotherTrace(other) => write!(
                f,
                "another trace ({}) begins at byte {}, which is left out",
                other.version, other.offset
            ),
        }
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.event.unwrap_or("an event"))?;
        if let Some(goroutine) = self.goroutine {
            write!(f, " of goroutine {goroutine}")?;
        }
        if let Some(thread) = self.thread {
            write!(f, " on thread {thread}")?;
        }
        write!(f, " ({})", self.error)
    }
}

/// What [`repair`] did.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Repaired {
    /// The version of the format: that of the damaged trace, or the newest for one of before Go 1.22.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_text"))]
    pub version: Version,
    /// What was read and lost.
    pub losses: Losses,
    /// What was written.
    pub written: Report,
    /// Each change, the first of them in the trace if there are more than [`Repairer::MOST_CHANGES`].
    pub changes: Vec<Change>,
    /// How many there are beyond those.
    pub more_changes: u64,
    /// The trace that follows in the same file, if one does. Nothing of it is in the repaired one: its
    /// goroutines and clocks are others. It is repaired as a trace of its own, from its offset on.
    pub another_trace: Option<NewTrace>,
}

#[cfg(feature = "serde")]
fn as_text<S: serde::Serializer>(version: &Version, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("1.{}", version.minor()))
}

impl Repaired {
    /// Whether nothing had to be changed: the trace was sound.
    pub fn is_unchanged(&self) -> bool {
        self.losses.is_nothing() && self.written.made_up == 0 && self.written.left_out == 0
    }
}

impl Repairer {
    /// How many changes are kept. All are counted.
    pub const MOST_CHANGES: usize = 1000;

    /// For a trace of this version; one of before Go 1.22 becomes one of the newest.
    ///
    /// Errors: those of [`Writer::new`], which has none for such a version.
    pub fn new(version: Version) -> Result<Repairer, Error> {
        let written = match version.has_generations() {
            true => version,
            false => Version::CURRENT,
        };
        Ok(Repairer {
            writer: Writer::new(written)?,
            changes: Vec::new(),
            more: 0,
            other: None,
        })
    }

    /// As [`Writer::with_time_factor`].
    #[must_use]
    pub fn with_time_factor(mut self, factor: u32) -> Repairer {
        self.writer = self.writer.with_time_factor(factor);
        self
    }

    /// Takes the next item of the lenient reader. Says whether there is any use for more: not once another
    /// trace begins.
    #[inline]
    pub fn item(&mut self, item: &Item<'_>) -> bool {
        if let Item::Event(event) = item {
            self.writer.event(event);
            return true;
        }
        self.note(item)
    }

    #[cold]
    fn note(&mut self, item: &Item<'_>) -> bool {
        let change = match item {
            Item::Event(_) => return true,
            Item::MadeUp(event, error) => {
                self.writer.made_up(event);
                Change::MadeUp(Changed::new(event, *error))
            }
            Item::RegionClosed(event, closing) => {
                self.writer.made_up(event);
                Change::RegionClosed((*closing).clone())
            }
            Item::LeftOut(event, error) => Change::LeftOut(Changed::new(event, *error)),
            Item::Gap(gap) => Change::Gap(*gap),
            Item::Incomplete(incomplete) => Change::Incomplete(*incomplete),
            Item::NewTrace(other) => {
                self.other = Some(*other);
                Change::AnotherTrace(*other)
            }
        };
        if self.changes.len() < Self::MOST_CHANGES {
            self.changes.push(change);
        } else {
            self.more = self.more.saturating_add(1);
        }
        self.other.is_none()
    }

    /// Ends the trace.
    pub fn finish(&mut self) {
        self.writer.finish();
    }

    /// As [`Writer::bytes`].
    pub fn bytes(&self) -> &[u8] {
        self.writer.bytes()
    }

    /// As [`Writer::clear`].
    pub fn clear(&mut self) {
        self.writer.clear();
    }

    /// What was done, with what the reader lost.
    pub fn into_report(self, losses: Losses) -> Repaired {
        Repaired {
            version: self.writer.version(),
            losses,
            written: self.writer.report(),
            changes: self.changes,
            more_changes: self.more,
            another_trace: self.other,
        }
    }
}

/// Makes a valid trace of everything that can be read of a damaged one. Its bytes go to `out`, in pieces of
/// up to a few megabytes.
///
/// Strict readers, Go's included, accept the result, whatever was wrong with the trace; repairing it again
/// changes nothing. Of a file that holds several traces, the first is repaired, and
/// [`Repaired::another_trace`] says where the second begins.
///
/// Errors: [`TableFull`](crate::ErrorKind::TableFull), if there is no memory.
///
/// ```
/// use gotrace::{Trace, rewrite};
///
/// let bytes = include_bytes!("../../tests/fixtures/http-go1.27.trace");
/// let damaged = Trace::new(&bytes[..200_000])?; // a download that was interrupted
/// let mut out = Vec::new();
/// let repaired = rewrite::repair(&damaged, |bytes| out.extend_from_slice(bytes))?;
/// println!("{} changes", repaired.changes.len());
///
/// let sound = Trace::new(&out)?;
/// let mut events = 0;
/// let mut reader = sound.reader();
/// while reader.next()?.is_some() {
///     events += 1;
/// }
/// assert!(events > 20_000);
/// assert!(rewrite::repair(&sound, |_| {})?.is_unchanged());
/// # Ok::<(), gotrace::Error>(())
/// ```
pub fn repair(trace: &Trace<'_>, mut out: impl FnMut(&[u8])) -> Result<Repaired, Error> {
    let mut repairer = Repairer::new(trace.version())?;
    let mut reader = trace.reader().lenient();
    while let Some(item) = reader.next()? {
        if !repairer.item(&item) {
            break;
        }
        if repairer.bytes().len() >= PIECE {
            out(repairer.bytes());
            repairer.clear();
        }
    }
    repairer.finish();
    out(repairer.bytes());
    Ok(repairer.into_report(reader.losses()))
}

/// How much is gathered before it is given out.
const PIECE: usize = 1 << 20;
