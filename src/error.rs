//! What can be wrong with a trace, and where.

use crate::ids::Offset;
use crate::string::GoStr;
use core::fmt;

/// An error in a trace: what is wrong, the value that is wrong, and the byte where it is.
///
/// Displays as one line, for example `invalid batch size 70000, the largest is 65536, at byte 1043`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Error {
    kind: ErrorKind,
    value: u64,
    offset: Offset,
}

impl Error {
    /// An error of `kind` about `value`, at `offset`.
    #[inline]
    pub const fn new(kind: ErrorKind, value: u64, offset: Offset) -> Error {
        Error {
            kind,
            value,
            offset,
        }
    }

    /// An error of `kind` about `value`, so many bytes from where offsets count from.
    #[inline]
    pub(crate) const fn at(kind: ErrorKind, value: u64, bytes: u64) -> Error {
        Error::new(kind, value, Offset(bytes))
    }

    /// The same, where its offset counts from a place `bytes` into the trace.
    pub(crate) const fn after(self, bytes: u64) -> Error {
        Error::at(self.kind, self.value, self.offset.0.wrapping_add(bytes))
    }

    /// What is wrong.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The offending value, as the kind's documentation explains it.
    pub const fn value(&self) -> u64 {
        self.value
    }

    /// Where: bytes from the start of the trace.
    pub const fn offset(&self) -> Offset {
        self.offset
    }
}

/// A table of limited capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Table {
    /// Event batches of one generation.
    Batches,
    /// Strings of one generation.
    Strings,
    /// Stacks of one generation.
    Stacks,
    /// CPU samples of one generation.
    Samples,
    /// Threads seen so far.
    Threads,
    /// Procs seen so far.
    Procs,
    /// Goroutines alive.
    Goroutines,
    /// Regions open.
    Regions,
    /// Tasks open.
    Tasks,
    /// Stop-the-world ranges open in one goroutine.
    Ranges,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Table::Batches => "batch",
            Table::Strings => "string",
            Table::Stacks => "stack",
            Table::Samples => "CPU sample",
            Table::Threads => "thread",
            Table::Procs => "proc",
            Table::Goroutines => "goroutine",
            Table::Regions => "region",
            Table::Tasks => "task",
            Table::Ranges => "range",
        }
    }
}

/// Each kind with what its value means and the message it displays, `{}` being the value.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident => $text:literal;)*) => {
        /// What is wrong with a trace. The value named is [`Error::value`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        #[non_exhaustive]
        pub enum ErrorKind {
            /// A table of fixed capacity is full (or, if it grows, memory is); the value is its
            /// capacity.
            TableFull(Table),
            $($(#[$doc])* $name,)*
        }

        impl ErrorKind {
            /// The message, cut where the value is in it.
            const fn text(self) -> &'static str {
                match self {
                    ErrorKind::TableFull(_) => "",
                    $(ErrorKind::$name => $text,)*
                }
            }
        }
    };
}

kinds! {
    // Wire.
    /// The file does not begin as a trace does; the value holds its first eight bytes, the first
    /// highest.
    NotATrace => "not a Go execution trace: it begins with {}";
    /// The header names a version that no Go release wrote; the value is N of `go 1.N`.
    UnknownVersion => "unknown trace version go 1.{}";
    /// The header names a version of after [`Version::CURRENT`](crate::wire::Version::CURRENT); the
    /// value is N of `go 1.N`.
    NewerVersion => "trace version go 1.{} is newer than this gotrace, which reads up to go 1.26: update it";
    /// The header names a version of before Go 1.11, whose format this does not read; the value
    /// is N of `go 1.N`.
    OldVersion => "trace version go 1.{} is not supported, go 1.11 is the oldest";
    /// The trace is of before Go 1.22, whose format has no generations; the value is N of `go 1.N`. A
    /// reader whose tables may grow gives the events of such a trace; nothing else is possible with
    /// it.
    NoGenerations => "trace version go 1.{} has no generations: it can be read as events, by a reader with growing tables, and nothing else";
    /// The input ends inside a record; the value is how many bytes the record lacks at least.
    UnexpectedEnd => "the trace is cut short: at least {} more bytes were expected";
    /// A record ends beyond the batch it is in; the value is how many bytes it lacks at least.
    BatchOverrun => "a record is cut off by the end of its batch: at least {} more bytes were expected";
    /// A batch straddles two pieces of the input; the value is the number of bytes in the next.
    SplitBatch => "a batch is cut by the end of a piece of the input: {} bytes are missing";
    /// A number longer than 64 bits; the value is its low bits.
    VarintOverflow => "number does not fit 64 bits";
    /// What begins here is neither a batch nor the end of a generation; the value is the type.
    NotABatch => "expected a batch, found event type {}";
    /// Where a batch was expected, another trace begins.
    AnotherTrace => "another trace begins";
    /// The value is the length that a batch claims.
    BatchTooLarge => "invalid batch size {}, the largest is 65536";
    /// Generation numbers begin at 1; the value is the number, 0.
    InvalidGeneration => "invalid generation number {}";
    /// A batch of a generation that cannot be here; the value is its number.
    GenerationOrder => "a batch of generation {} is out of order";
    /// The trace ends before its last generation does; the value is that generation's number.
    IncompleteGeneration => "generation {} is incomplete, the trace is cut short";
    /// A generation of a stream takes more memory than it may; the value is the limit in bytes, or
    /// what it took when there was no more. See
    /// [`with_generation_limit`](crate::StreamReader::with_generation_limit).
    GenerationTooLarge => "a generation takes more than {} bytes of memory, the limit";
    /// An event type that the format does not have; the value is the type.
    UnknownEvent => "invalid event type {}";
    /// An event type that has no place in a batch of events; the value is the type.
    UntimedEvent => "event type {} has no place in an event batch";
    /// The value is the event type found in a section of strings.
    NotAString => "expected a string, found event type {}";
    /// The value is the length that a string claims.
    StringTooLong => "invalid string length {}, the longest is 1024";
    /// The value is the event type found in a section of stacks.
    NotAStack => "expected a stack, found event type {}";
    /// The value is the number of frames that a stack claims.
    StackTooDeep => "invalid number of stack frames {}, the most is 128";
    /// The value is the event type found in a section of CPU samples.
    NotASample => "expected a CPU sample, found event type {}";
    /// The value is the event type found in a sync batch.
    NotASync => "expected a frequency or a clock snapshot, found event type {}";
    /// The value is the id that two strings of a generation share.
    DuplicateString => "two strings have the id {}";
    /// The value is the id that two stacks of a generation share.
    DuplicateStack => "two stacks have the id {}";
    /// A generation has two frequencies; the value is the second.
    DuplicateFrequency => "a generation has a second frequency, {}";
    /// A generation has two clock snapshots; the value is the generation's number.
    DuplicateClockSnapshot => "generation {} has a second clock snapshot";
    /// The value is the number of the generation that has no clock frequency.
    MissingFrequency => "generation {} has no clock frequency";
    /// The value is the number of the generation that has no clock snapshot.
    MissingClockSnapshot => "generation {} has no clock snapshot";
    /// The value is the id of a string that the generation does not have.
    UnknownString => "string {} is not in the string table";
    /// The value is the id of a stack that the generation does not have.
    UnknownStack => "stack {} is not in the stack table";
    /// A record does not fit the space given for it; the value is the space it needs.
    NoSpace => "no room for a record of {} bytes";
    /// An event type that the version being written does not have; the value is the type.
    NotInVersion => "event type {} is not in this version of the format";
    /// A batch came before the header of its trace.
    NoHeader => "a batch without a trace header before it";
    /// The value is the number of bytes that follow what was to be one batch or header.
    TrailingBytes => "{} bytes follow the end of a batch or header";

    // Only in traces of before Go 1.22.
    /// A trace of before Go 1.22 was expected; the value is N of `go 1.N`.
    NotAnOldVersion => "trace version go 1.{} has generations: it is not of the format of before go 1.22";
    /// The value is the type of a record that has another number of arguments than it must.
    ArgumentCount => "event type {} has a wrong number of arguments";
    /// The value is the length in bytes that a record claims.
    RecordTooLarge => "invalid record length {}, the largest is 2048";
    /// The value is the length that a string claims.
    LongString => "invalid string length {}, the longest is 1000000";
    /// The value is the id of a string without contents.
    EmptyString => "string {} is empty";
    /// The value is the number of frames that a stack claims.
    DeepStack => "invalid number of stack frames {}, the most is 1000";
    /// The value is the type of a record that precedes the first batch.
    EventOutsideBatch => "event type {} precedes the first batch";
    /// The value is the proc that a batch claims.
    InvalidProc => "invalid proc {}, the largest is 2147483647";
    /// The value is the clock frequency that the trace claims; a clock that differs from processor
    /// to processor can make it negative.
    InvalidFrequency => "invalid clock frequency {}";
    /// No proc's next event may come next; the value is the number of procs that have one. Go 1.21
    /// writes such a trace where C calls Go on threads that C created.
    NoOrder => "no consistent order of events: none of the next events of {} procs may come next";
    /// An event happened before one that it depends on; the value is by how many clock units.
    TimeOrder => "time stamps are out of order, by {} clock units";
    /// The value is a goroutine that leaves a system call without having blocked in one.
    StraySyscallExit => "goroutine {} leaves a system call in which it did not block";
    /// A proc starts or stops while it cannot; the value is the event's type.
    OldProcState => "event type {} on a proc in the wrong state";
    /// A goroutine starts on a proc that runs another; the value is that one.
    ProcBusy => "a goroutine starts on a proc that runs goroutine {}";
    /// The value is the mode of a region event, neither 0 for its begin nor 1 for its end.
    InvalidRegionMode => "invalid region mode {}";
    /// The value is an event type that today's format has nothing for, and Go's reader refuses.
    NoCounterpart => "event type {} has no counterpart since go 1.22";

    // Order.
    /// No thread's next event may come next; the value is the number of threads that have one.
    NoProgress => "none of the next events of {} threads may come next";
    /// An event needs a thread; the value is the event's type.
    NeedsThread => "event type {} without a thread";
    /// An event needs a proc; the value is the event's type.
    NeedsProc => "event type {} without a proc";
    /// An event must not have a proc; the value is the event's type.
    HasProc => "event type {} on a thread that has a proc";
    /// An event needs a goroutine; the value is the event's type.
    NeedsGoroutine => "event type {} without a goroutine";
    /// An event must not have a goroutine; the value is the event's type.
    HasGoroutine => "event type {} on a thread that has a goroutine";
    /// The value is the status that a proc or goroutine claims.
    InvalidStatus => "invalid status {}";
    /// The all-ones id that means none, where one is needed; the value is the event's type.
    ReservedId => "event type {} has a reserved id";
    /// A proc's status contradicts what came before; the value is the proc.
    ProcStatusMismatch => "the status of proc {} contradicts earlier events";
    /// The event needs the proc in another state; the value is the proc.
    ProcStateMismatch => "proc {} is in the wrong state";
    /// The value is a proc that nothing is known of.
    UnknownProc => "proc {} is unknown";
    /// A proc that is about to be stolen is not bound to any thread; the value is the proc.
    LostProc => "proc {} is not bound to any thread";
    /// A proc is stolen from a thread that has another or none; the value is the proc.
    StolenFromWrongThread => "proc {} was stolen from a thread that does not have it";
    /// A proc is stolen from a thread that nothing is known of; the value is the thread.
    UnknownThread => "a proc was stolen from unknown thread {}";
    /// A sequence number that does not follow; the value is the number.
    SequenceMismatch => "sequence number {} does not follow";
    /// A goroutine's status contradicts what came before; the value is the goroutine.
    GoStatusMismatch => "the status of goroutine {} contradicts earlier events";
    /// The event needs the goroutine in another state; the value is the goroutine.
    GoStateMismatch => "goroutine {} is in the wrong state";
    /// The value is a goroutine that nothing is known of.
    UnknownGoroutine => "goroutine {} is unknown";
    /// A goroutine that was never mentioned has a status after the first generation; the value is
    /// the goroutine.
    LateGoroutine => "goroutine {} appears after the first generation without being created";
    /// The value is a goroutine that is created while it exists.
    GoroutineExists => "goroutine {} is created but exists already";
    /// A goroutine is in a system call on a thread that has another; the value is the goroutine.
    WrongThread => "goroutine {} is in a system call on a thread that has another goroutine";
    /// A goroutine is in a system call on no thread; the value is the goroutine.
    SyscallWithoutThread => "goroutine {} is in a system call without a thread";
    /// A range begins that is open already; the value is the event's type.
    RangeOpen => "event type {} begins a range that is open already";
    /// A range ends or continues that is not open; the value is the event's type.
    RangeNotOpen => "event type {} needs a range that is not open";
    /// A garbage collection begins, ends or continues out of turn; the value is the event's type.
    GcStateMismatch => "event type {} contradicts the state of the garbage collector";
    /// The value is a task that begins while it is open.
    TaskExists => "task {} begins but is open already";
    /// A region ends that is not the innermost; the value is the goroutine.
    RegionMismatch => "a region ends in goroutine {} that is not its innermost";
}

impl ErrorKind {
    /// The message before and after its value, if it shows one. (`str::split_once` brings a
    /// searcher, and its panics, into a firmware.)
    fn parts(self) -> Option<(&'static str, &'static str)> {
        let text = self.text();
        let at = text.bytes().position(|b| b == b'{')?;
        let (before, rest) = text.split_at_checked(at)?;
        Some((before, rest.strip_prefix("{}")?))
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::TableFull(table) => write!(f, "the {} table is full", table.name()),
            kind => {
                let (before, after) = kind.parts().unwrap_or((kind.text(), ""));
                write!(f, "{before}..{after}")
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.kind.parts()) {
            (ErrorKind::TableFull(table), _) if self.value == u64::MAX => {
                write!(f, "no memory for the {} table", table.name())?;
            }
            (ErrorKind::TableFull(table), _) => {
                write!(
                    f,
                    "the {} table is full, its capacity is {}",
                    table.name(),
                    self.value
                )?;
            }
            (ErrorKind::NotATrace, Some((before, _))) => {
                f.write_str(before)?;
                GoStr::new(&self.value.to_be_bytes()).quoted().fmt(f)?;
            }
            (_, Some((before, after))) => write!(f, "{before}{}{after}", self.value)?,
            (_, None) => f.write_str(self.kind.text())?,
        }
        // What begins there is sound.
        let comma = if self.kind == ErrorKind::AnotherTrace {
            ""
        } else {
            ","
        };
        write!(f, "{comma} at byte {}", self.offset)
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn messages_hold_the_value_and_the_offset() {
        let text = |kind, value| Error::at(kind, value, 1043).to_string();
        assert_eq!(
            text(ErrorKind::BatchTooLarge, 70000),
            "invalid batch size 70000, the largest is 65536, at byte 1043"
        );
        assert_eq!(
            text(
                ErrorKind::NotATrace,
                u64::from_be_bytes(*b"\x7fELF\x02\x01\0\0")
            ),
            r#"not a Go execution trace: it begins with "\x7fELF\x02\x01\x00\x00", at byte 1043"#
        );
        assert_eq!(
            text(ErrorKind::TableFull(Table::Tasks), 8),
            "the task table is full, its capacity is 8, at byte 1043"
        );
    }
}
