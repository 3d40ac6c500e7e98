//! Lenient reading: what a reader gives of a damaged trace besides its events.

use super::explain::Region;
use crate::error::Error;
use crate::event::Event;
use crate::generation::Frame;
use crate::ids::{GenerationId, GoId, Offset, TaskId, ThreadId};
use crate::string::GoStr;
use crate::time::{Frequency, Time};
use crate::wire::Version;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Reads on behind damage: the mode of a reader that [`Reader::lenient`](crate::Reader::lenient) gives.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Lenient;

/// What a lenient reader gives: an event of the trace, or what is missing, made up or left out.
///
/// The events of [`Event`](Item::Event), [`MadeUp`](Item::MadeUp) and [`RegionClosed`](Item::RegionClosed)
/// together are a trace without contradictions: a goroutine starts only when it is runnable, a region ends only if it is the innermost,
/// and so on, as in the events of a strict reader. Code that follows the states of goroutines can take
/// all alike: see [`Item::event`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Item<'a> {
    /// An event of the trace.
    Event(Event<'a, 'a>),
    /// An event that is not in the trace, and that the trace needs all the same: a goroutine that
    /// starts must have been made runnable before, a region that ends must be the innermost. The next
    /// item that is not `MadeUp` is the event that needs it, and the error is what a strict reader says
    /// of that one; its offset is that event's.
    ///
    /// It has no stack, and its offset is that of the event that needs it.
    MadeUp(Event<'a, 'a>, Error),
    /// The end of a region, which is not in the trace: the program ended one around it first. The next item
    /// that is neither this nor `MadeUp` is the end of that one. Counts as made up.
    RegionClosed(Event<'a, 'a>, &'a RegionClosing),
    /// An event of the trace that contradicts those before it in a way that no other event could
    /// resolve, and what a strict reader says of it. What it says had no effect.
    LeftOut(Event<'a, 'a>, Error),
    /// Bytes of the trace that could not be read.
    Gap(Gap),
    /// The generation that begins lacks something. Comes behind the sync event that begins it.
    Incomplete(Incomplete),
    /// Another trace begins here, in the same file: what was known of the one before is forgotten.
    NewTrace(NewTrace),
}

impl<'a> Item<'a> {
    /// The event, if this is one that counts: one of the trace, or one that is made up.
    pub const fn event(&self) -> Option<Event<'a, 'a>> {
        match self {
            Item::Event(event) | Item::MadeUp(event, _) | Item::RegionClosed(event, _) => {
                Some(*event)
            }
            _ => None,
        }
    }
}

/// A region was left open while one around it ended, which programs do by mistake: it is closed then.
///
/// Displays as a sentence, with `{:#}` followed by the stacks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RegionClosing {
    /// The goroutine of both regions.
    pub goroutine: Option<GoId>,
    /// The region that was left open, and is closed.
    pub innermost: ClosedRegion,
    /// The region around it that ends.
    pub ending: ClosedRegion,
    /// Where that one ends: the frames of the stack, the innermost first.
    pub ends: Vec<OwnedFrame>,
    /// When the innermost one is taken to have ended.
    pub time: Time,
    /// What a strict reader says; its offset is that of the end of the one around.
    pub error: Error,
}

/// One of two regions that are not nested.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ClosedRegion {
    /// The task that it is part of.
    pub task: Option<TaskId>,
    /// Its type: the name that the program gave it. What is not UTF-8 is replaced.
    pub name: String,
    /// Where it began: the frames of the stack, the innermost first. None if it began in an earlier
    /// generation, or without a stack.
    pub began: Vec<OwnedFrame>,
}

/// A frame of a call stack: a [`Frame`] that borrows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OwnedFrame {
    /// The program counter.
    pub pc: u64,
    /// The function.
    pub func: String,
    /// The source file.
    pub file: String,
    /// The line within the file, from 1.
    pub line: u64,
}

impl OwnedFrame {
    pub(super) fn of(frame: Frame<'_>) -> OwnedFrame {
        let owned = |text: GoStr<'_>| String::from_utf8_lossy(text.as_bytes()).into_owned();
        OwnedFrame {
            pc: frame.pc,
            func: owned(frame.func),
            file: owned(frame.file),
            line: frame.line,
        }
    }
}

/// Bytes of a trace that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Gap {
    /// The first byte that is lost.
    pub from: Offset,
    /// The byte behind the last one that is lost: reading went on here.
    pub to: Offset,
    /// The generation that the bytes before are of; `None` before the first.
    pub generation: Option<GenerationId>,
    /// The thread whose events are lost, if only its are: the rest of one batch. Its goroutine is taken
    /// to have stopped. `None` for bytes between batches, in which any thread may have had events.
    pub thread: Option<ThreadId>,
    /// What a strict reader says.
    pub error: Error,
}

impl Gap {
    /// How many bytes are lost.
    pub const fn len(&self) -> u64 {
        self.to.0.saturating_sub(self.from.0)
    }

    /// Whether no byte is lost: something between two bytes is missing.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a generation lacks.
///
/// Strings that are missing read as `string 57 (not recorded)`, and stacks have one frame, whose function
/// is `stack 812 (not recorded)` and whose program counter is the stack's id.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Incomplete {
    /// The generation.
    pub generation: GenerationId,
    /// How many strings that its events and stacks name are missing.
    pub strings: u64,
    /// How many stacks that its events name are missing.
    pub stacks: u64,
    /// The clock frequency that is used in place of one that is missing: that of the generation before,
    /// else one unit in 64 ns, which is what Go's clock has on Linux.
    pub assumed_frequency: Option<Frequency>,
    /// Whether its end is missing: the trace was cut, or the program died.
    pub unended: bool,
    /// Whether generations before it seem to be missing: their numbers are.
    pub after_missing: bool,
}

/// Another trace that begins in the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NewTrace {
    /// Where its header begins.
    pub offset: Offset,
    /// The version of its format.
    pub version: Version,
}

/// What a lenient reader gave and lost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Losses {
    /// Events of the trace that were given.
    pub events: u64,
    /// Events that were made up.
    pub made_up: u64,
    /// Events of the trace that were left out.
    pub left_out: u64,
    /// Runs of bytes that could not be read.
    pub gaps: u64,
    /// How many bytes they are.
    pub bytes_lost: u64,
    /// Nanoseconds lost: of each run of bytes, from the last event before it to the first one after it, on
    /// its thread or, if any thread may have lost events, of all threads.
    pub time_lost: u64,
    /// Generations that were given and lack something.
    pub incomplete: u64,
    /// Other traces in the same file.
    pub new_traces: u64,
}

impl Losses {
    pub(super) const NONE: Losses = Losses {
        events: 0,
        made_up: 0,
        left_out: 0,
        gaps: 0,
        bytes_lost: 0,
        time_lost: 0,
        incomplete: 0,
        new_traces: 0,
    };

    /// Whether nothing was lost or made up: a strict reader gives the same events, and no error.
    pub const fn is_nothing(&self) -> bool {
        self.made_up == 0
            && self.left_out == 0
            && self.gaps == 0
            && self.incomplete == 0
            && self.new_traces == 0
    }
}

/// As in `goroutine 1 ends region "a" of no task while region "b" of no task is its innermost: that is
/// closed, at byte 118`.
impl fmt::Display for RegionClosing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let region = |region: &ClosedRegion, f: &mut fmt::Formatter<'_>| {
            Region {
                task: region.task,
                name: GoStr::new(region.name.as_bytes()),
            }
            .fmt(f)
        };
        match self.goroutine {
            Some(goroutine) => write!(f, "goroutine {goroutine} ends region ")?,
            None => f.write_str("a goroutine ends region ")?,
        }
        region(&self.ending, f)?;
        f.write_str(" while region ")?;
        region(&self.innermost, f)?;
        let at = self.error.offset();
        write!(f, " is its innermost: that is closed, at byte {at}")?;
        if !f.alternate() {
            return Ok(());
        }
        for (region, what, frames) in [
            (&self.innermost, "began", &self.innermost.began),
            (&self.ending, "began", &self.ending.began),
            (&self.ending, "ends", &self.ends),
        ] {
            let name = GoStr::new(region.name.as_bytes());
            write!(f, "\n  region {} {what}", name.quoted())?;
            if frames.is_empty() {
                f.write_str(" where is not known")?;
            }
            for frame in frames {
                let func = GoStr::new(frame.func.as_bytes());
                let file = GoStr::new(frame.file.as_bytes());
                let (func, file) = (func.printable(), file.printable());
                write!(
                    f,
                    "\n    {func} @ 0x{:x}\n      {file}:{}",
                    frame.pc, frame.line
                )?;
            }
        }
        Ok(())
    }
}

/// As in `bytes 5659 to 5888, of generation 4, are lost: expected a batch, found event type 255, at byte 5693`.
impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {} to {}", self.from, self.to)?;
        if let Some(generation) = self.generation {
            write!(f, ", of generation {generation}")?;
        }
        if let Some(thread) = self.thread {
            write!(f, ", thread {thread}")?;
        }
        write!(f, ", are lost: {}", self.error)
    }
}

/// As in `generation 2 lacks 52 strings, 13 stacks, its end`.
impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {}", self.generation)?;
        let mut words = " lacks";
        let mut lacks =
            |f: &mut fmt::Formatter<'_>| f.write_str(core::mem::replace(&mut words, ","));
        for (count, one, more) in [
            (self.strings, "string", "strings"),
            (self.stacks, "stack", "stacks"),
        ] {
            if count > 0 {
                lacks(f)?;
                write!(f, " {count} {}", if count == 1 { one } else { more })?;
            }
        }
        if let Some(frequency) = self.assumed_frequency {
            lacks(f)?;
            write!(
                f,
                " its clock frequency (taken for {} Hz)",
                frequency.hertz()
            )?;
        }
        if self.unended {
            lacks(f)?;
            f.write_str(" its end")?;
        }
        if self.after_missing {
            lacks(f)?;
            f.write_str(" the generation before it")?;
        }
        Ok(())
    }
}

/// As in `another trace begins at byte 17074: Go 1.26`.
impl fmt::Display for NewTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "another trace begins at byte {}: {}",
            self.offset, self.version
        )
    }
}

/// As in `485 events, 3 made up, 0 left out; 1 gap of 229 bytes, 32.0 ms; 0 incomplete generations`.
impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |n: u64| if n == 1 { "" } else { "s" };
        let (whole, part) = (self.time_lost / 1_000_000, self.time_lost / 100_000 % 10);
        write!(
            f,
            "{} event{}, {} made up, {} left out; {} gap{} of {} byte{}, {whole}.{part} ms; {} incomplete generation{}",
            self.events,
            s(self.events),
            self.made_up,
            self.left_out,
            self.gaps,
            s(self.gaps),
            self.bytes_lost,
            s(self.bytes_lost),
            self.incomplete,
            s(self.incomplete),
        )?;
        match self.new_traces {
            0 => Ok(()),
            n => write!(f, "; {n} other trace{} in the file", s(n)),
        }
    }
}

#[cfg(feature = "defmt")]
macro_rules! format_as_display {
    ($($name:ident)*) => {$(
        impl defmt::Format for $name {
            fn format(&self, f: defmt::Formatter<'_>) {
                defmt::write!(f, "{}", defmt::Display2Format(self));
            }
        }
    )*};
}

#[cfg(feature = "defmt")]
format_as_display! { Gap Incomplete NewTrace Losses }

#[cfg(feature = "defmt")]
impl defmt::Format for Item<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self {
            Item::Event(event) => defmt::write!(f, "{}", event),
            Item::MadeUp(event, error) => defmt::write!(f, "made up: {} ({})", event, error),
            Item::RegionClosed(_, closing) => {
                defmt::write!(f, "{}", defmt::Display2Format(closing));
            }
            Item::LeftOut(event, error) => defmt::write!(f, "left out: {} ({})", event, error),
            Item::Gap(gap) => defmt::write!(f, "{}", gap),
            Item::Incomplete(lack) => defmt::write!(f, "{}", lack),
            Item::NewTrace(new) => defmt::write!(f, "{}", new),
        }
    }
}
