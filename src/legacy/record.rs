//! Records: what a trace of before Go 1.22 consists of.
//!
//! A record begins with a byte: its type, and in the two high bits how many arguments follow, one
//! less than that. Three means that their length in bytes comes first. Only strings, stacks and log
//! messages hold more than arguments. Nothing says how long a batch is: it ends where the next one
//! begins.

use super::spec::{EventType, MAX_ARGS, MAX_FRAMES, MAX_RECORD_SIZE, MAX_STRING_SIZE};
use crate::error::{Error, ErrorKind};
use crate::ids::Offset;
use crate::num;
use crate::string::GoStr;
use crate::varint::{self, Fault};
use crate::wire::{HEADER_LEN, RawFrames, Version};
use core::fmt;

/// A record of a trace of before Go 1.22.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Record<'t> {
    /// An event, the beginning of a batch, the clock's frequency, or a timer's goroutine.
    Event(Event<'t>),
    /// A string of the string table.
    String {
        /// The id.
        id: u64,
        /// The string.
        text: GoStr<'t>,
    },
    /// A stack of the stack table.
    Stack {
        /// The id.
        id: u64,
        /// The frames, the innermost first.
        frames: RawFrames<'t>,
    },
}

/// An event, or another record that has only arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event<'t> {
    /// The type.
    pub ty: EventType,
    /// The arguments, in the table's order; 0 past the last.
    pub args: [u64; MAX_ARGS],
    /// The message of a user's log; else empty.
    pub message: GoStr<'t>,
}

impl Event<'_> {
    /// The arguments that the type has, with their names.
    pub fn named_args(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let names = self.ty.spec().map_or(&[][..], |spec| spec.args);
        names.iter().copied().zip(self.args)
    }
}

impl Record<'_> {
    /// The type.
    pub const fn ty(&self) -> EventType {
        match self {
            Record::Event(event) => event.ty,
            Record::String { .. } => EventType::STRING,
            Record::Stack { .. } => EventType::STACK,
        }
    }
}

/// One line as in `GoStart dt=12 g=7 seq=3`; a stack has another, indented, for each frame. Go has no
/// text form of these formats: this one is this crate's own.
impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ty().fmt(f)?;
        match self {
            Record::Event(event) => {
                for (name, value) in event.named_args() {
                    match (event.ty, name) {
                        // No proc.
                        (_, "p") => write!(f, " {name}={}", num::signed(value))?,
                        _ => write!(f, " {name}={value}")?,
                    }
                }
                if event.ty == EventType::USER_LOG {
                    write!(f, " message={}", event.message.quoted())?;
                }
                Ok(())
            }
            Record::String { id, text } => write!(f, " id={id} data={}", text.quoted()),
            Record::Stack { id, frames } => {
                write!(f, " id={id} size={}", frames.clone().count())?;
                frames.clone().try_for_each(|frame| {
                    write!(
                        f,
                        "\n\tpc={:#x} func={} file={} line={}",
                        frame.pc, frame.func, frame.file, frame.line
                    )
                })
            }
        }
    }
}

/// The records of a trace of before Go 1.22, in the order in which they are in the file.
///
/// After an error there is nothing more: nothing says where the next record begins.
///
/// ```
/// use gotrace::legacy::Records;
///
/// let bytes = include_bytes!("../../tests/fixtures/annotate-go1.21.trace");
/// let first = Records::new(bytes)?.next()?.map(|record| record.to_string());
/// assert!(first.unwrap().starts_with("Batch p=0 ticks="));
/// # Ok::<(), gotrace::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Records<'t> {
    bytes: &'t [u8],
    at: usize,
    /// How many bytes of the trace precede `bytes`.
    base: u64,
    version: Version,
}

impl<'t> Records<'t> {
    /// The records of a trace.
    ///
    /// Errors: those of [`Version::from_header`], and
    /// [`NotAnOldVersion`](ErrorKind::NotAnOldVersion).
    pub fn new(trace: &'t [u8]) -> Result<Self, Error> {
        let version = Version::from_header(trace)?;
        if version.has_generations() {
            let minor = u64::from(version.minor());
            return Err(Error::at(ErrorKind::NotAnOldVersion, minor, 0));
        }
        Ok(Records::from(trace, HEADER_LEN, 0, version))
    }

    /// The records that begin at `at` in `bytes`, which are preceded by `base` bytes of the trace.
    pub(super) const fn from(bytes: &'t [u8], at: usize, base: u64, version: Version) -> Self {
        Records {
            bytes,
            at,
            base,
            version,
        }
    }

    /// Where the next record begins: bytes from the start of the trace.
    pub fn offset(&self) -> Offset {
        Offset(self.base.wrapping_add(num::wide(self.at)))
    }

    /// Where the next record begins in the bytes.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    /// The next record; `None` at the end of the trace.
    ///
    /// Errors: [`UnexpectedEnd`](ErrorKind::UnexpectedEnd),
    /// [`UnknownEvent`](ErrorKind::UnknownEvent),
    /// [`ArgumentCount`](ErrorKind::ArgumentCount),
    /// [`RecordTooLarge`](ErrorKind::RecordTooLarge),
    /// [`VarintOverflow`](ErrorKind::VarintOverflow),
    /// [`BatchOverrun`](ErrorKind::BatchOverrun) for a number that a record's length cuts, and
    /// [`LongString`](ErrorKind::LongString).
    #[expect(
        clippy::should_implement_trait,
        reason = "fallible: see `Iterator` below"
    )]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Record<'t>>, Error> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        match self.read() {
            Ok(record) => Ok(Some(record)),
            Err(error) => {
                self.at = self.bytes.len();
                Err(error)
            }
        }
    }

    /// Goes past the next record if it is an event with at most three arguments and sound, which
    /// nearly all are, and gives its type: quicker than [`next`](Records::next), where nothing but
    /// the type is of interest.
    #[inline(always)]
    pub(super) fn skip_event(&mut self) -> Option<EventType> {
        let first = *self.bytes.get(self.at)?;
        let ty = EventType(first & 0x3f);
        let mut left = first.wrapping_shr(6).wrapping_add(1);
        let sound = usize::from(left) == ty.args() && ty.since() <= self.version.minor();
        if first >= 0xc0 || !sound || !ty.is_timed() {
            return None;
        }
        let mut at = self.at;
        while left > 0 {
            // A longer number may not fit 64 bits: that is for the other way to find out.
            let mut len = 0u8;
            loop {
                at = at.wrapping_add(1);
                len = len.wrapping_add(1);
                if *self.bytes.get(at)? < 0x80 {
                    break;
                }
                if len == 8 {
                    return None;
                }
            }
            left = left.wrapping_sub(1);
        }
        self.at = at.wrapping_add(1);
        Some(ty)
    }

    #[inline]
    fn read(&mut self) -> Result<Record<'t>, Error> {
        let start = self.at;
        let first = self.bytes.get(start).copied().unwrap_or(0);
        let ty = EventType(first & 0x3f);
        let count = first.wrapping_shr(6);
        if ty.since() > self.version.minor() {
            return Err(self.error(ErrorKind::UnknownEvent, u64::from(ty.0), start));
        }
        self.at = start.wrapping_add(1);
        let wrong = ErrorKind::ArgumentCount;
        match ty {
            EventType::STRING => {
                let id = self.varint()?;
                let text = GoStr::new(self.data(u64::MAX)?);
                return Ok(Record::String { id, text });
            }
            // It says one argument less than it has, as if the second were a time difference.
            EventType::BATCH if count != 1 => {
                return Err(self.error(wrong, u64::from(ty.0), start));
            }
            _ => {}
        }
        let mut args = [0; MAX_ARGS];
        if count < 3 {
            if num::narrow(u64::from(count)).wrapping_add(1) != ty.args() {
                return Err(self.error(wrong, u64::from(ty.0), start));
            }
            for arg in args.iter_mut().take(ty.args()) {
                *arg = self.varint()?;
            }
            if ty == EventType::STACK {
                return self.stack(args, &[], start);
            }
        } else {
            let at = self.at;
            let len = self.varint()?;
            if len > MAX_RECORD_SIZE {
                return Err(self.error(ErrorKind::RecordTooLarge, len, at));
            }
            let body = self.take(len)?;
            let base = num::wide(self.at).wrapping_sub(num::wide(body.len()));
            let mut read = 0usize;
            for arg in args.iter_mut().take(ty.args()) {
                (*arg, read) = varint::read_at(body, read).map_err(|fault| match fault {
                    // Too few, if none is cut.
                    Fault::Short if read >= body.len() => self.error(wrong, u64::from(ty.0), start),
                    fault => self.fault(fault, ErrorKind::BatchOverrun, base, read, body.len()),
                })?;
            }
            let rest = body.get(read..).unwrap_or(&[]);
            if ty == EventType::STACK {
                return self.stack(args, rest, start);
            }
            if !rest.is_empty() {
                return Err(self.error(wrong, u64::from(ty.0), start));
            }
        }
        let message = match ty {
            EventType::USER_LOG => GoStr::new(self.data(MAX_STRING_SIZE)?),
            _ => GoStr::EMPTY,
        };
        Ok(Record::Event(Event { ty, args, message }))
    }

    /// A stack, whose frames are the rest of its record.
    fn stack(
        &self,
        [id, size, ..]: [u64; MAX_ARGS],
        frames: &'t [u8],
        start: usize,
    ) -> Result<Record<'t>, Error> {
        if size > MAX_FRAMES {
            return Err(self.error(ErrorKind::DeepStack, size, start));
        }
        let (mut read, mut numbers) = (0usize, 0u64);
        let base = num::wide(self.at).wrapping_sub(num::wide(frames.len()));
        while read < frames.len() {
            (_, read) = varint::read_at(frames, read).map_err(|fault| {
                self.fault(fault, ErrorKind::BatchOverrun, base, read, frames.len())
            })?;
            numbers = numbers.wrapping_add(1);
        }
        if numbers != size.saturating_mul(4) {
            let ty = u64::from(EventType::STACK.0);
            return Err(self.error(ErrorKind::ArgumentCount, ty, start));
        }
        let frames = RawFrames::new(frames);
        Ok(Record::Stack { id, frames })
    }

    /// The bytes after their length, which is at most `limit`.
    fn data(&mut self, limit: u64) -> Result<&'t [u8], Error> {
        let at = self.at;
        let len = self.varint()?;
        if len > limit {
            return Err(self.error(ErrorKind::LongString, len, at));
        }
        self.take(len)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Error> {
        let (value, at) = varint::read_at(self.bytes, self.at).map_err(|fault| {
            let end = self.bytes.len();
            self.fault(fault, ErrorKind::UnexpectedEnd, 0, self.at, end)
        })?;
        self.at = at;
        Ok(value)
    }

    fn take(&mut self, len: u64) -> Result<&'t [u8], Error> {
        let rest = self.bytes.get(self.at..).unwrap_or(&[]);
        let Some(bytes) = rest.get(..num::narrow(len)) else {
            let missing = len.saturating_sub(num::wide(rest.len()));
            return Err(self.error(ErrorKind::UnexpectedEnd, missing, self.bytes.len()));
        };
        self.at = self.at.wrapping_add(bytes.len());
        Ok(bytes)
    }

    /// The error of a number at `at`, where bytes that begin at `base` and are `len` long end or
    /// overflow.
    #[cold]
    fn fault(&self, fault: Fault, short: ErrorKind, base: u64, at: usize, len: usize) -> Error {
        let (kind, value, at) = match fault {
            Fault::Short => (short, 1, len),
            Fault::Overflow => (ErrorKind::VarintOverflow, 0, at),
        };
        let at = base.wrapping_add(num::wide(at));
        Error::at(kind, value, self.base.wrapping_add(at))
    }

    #[cold]
    fn error(&self, kind: ErrorKind, value: u64, at: usize) -> Error {
        Error::at(kind, value, self.base.wrapping_add(num::wide(at)))
    }
}

impl<'t> Iterator for Records<'t> {
    type Item = Result<Record<'t>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Records::next(self).transpose()
    }
}

/// Reads a record that was read before, so that it is known to be sound: its type, its arguments
/// other than a string's or a stack's, and where the next one begins. Past the end, and where one is
/// not sound after all, there is `None`.
#[inline(always)]
pub(super) fn reread(
    data: &[u8],
    at: usize,
    args: &mut [u64; MAX_ARGS],
) -> Option<(EventType, usize)> {
    let first = *data.get(at)?;
    let ty = EventType(first & 0x3f);
    let mut at = at.wrapping_add(1);
    let mut number = || -> Option<u64> {
        let (value, next) = varint::read_at(data, at).ok()?;
        at = next;
        Some(value)
    };
    if ty == EventType::STRING {
        number()?;
        let len = number()?;
        return Some((ty, at.saturating_add(num::narrow(len))));
    }
    if first >= 0xc0 {
        let len = number()?;
        if ty == EventType::STACK {
            return Some((ty, at.saturating_add(num::narrow(len))));
        }
    }
    let count = ty.args();
    let [mut b, mut c, mut d, mut e] = [0; MAX_ARGS - 1];
    let a = number()?;
    if count > 1 {
        b = number()?;
    }
    if count > 2 {
        c = number()?;
    }
    if count > 3 {
        d = number()?;
    }
    if count > 4 {
        e = number()?;
    }
    *args = [a, b, c, d, e];
    if ty == EventType::USER_LOG {
        let len = number()?;
        at = at.saturating_add(num::narrow(len));
    }
    Some((ty, at))
}
