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

    /// Goes past the records that come next as long as they are events of the usual forms and sound,
    /// which nearly all are: quicker than [`next`](Records::next), where nothing is of interest but
    /// the times, which are added to a clock, and the goroutines that are created.
    #[inline(always)]
    pub(super) fn skip_events(
        &mut self,
        skips: &Skips,
        clock: &mut i64,
        mut created: impl FnMut(u64),
    ) {
        let (mut at, mut now) = (self.at, *clock);
        while let Some(window) = number::window(self.bytes, at) {
            let [first, length, ..] = *window;
            let skip = skips.of(first);
            if skip == 0 {
                break;
            }
            // Otherwise the arguments' length precedes them.
            let is_short = first < 0xc0;
            let numbers = match is_short {
                true => number::bytes(window, 1),
                false => number::bytes(window, 2),
            };
            let ends = number::ends(numbers);
            let len = if is_short {
                let Some(len) = number::len(first.wrapping_shr(6), ends) else {
                    break;
                };
                len.wrapping_add(1)
            } else {
                let body = usize::from(length);
                if !number::are(skip & !Skips::CREATES, body, window) {
                    break;
                }
                body.wrapping_add(2)
            };
            let Some((dt, bits)) = number::first(numbers, ends) else {
                break;
            };
            if skip & Skips::CREATES != 0 {
                let (numbers, ends) = number::after(numbers, ends, bits);
                let Some((goroutine, _)) = number::first(numbers, ends) else {
                    break;
                };
                created(goroutine);
            }
            now = now.wrapping_add(num::signed(dt));
            at = at.wrapping_add(len);
        }
        (self.at, *clock) = (at, now);
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

/// Whether and how to skip records: by their first byte.
///
/// A byte for each, so that it is found out beside how long the record is, and not before.
pub(super) struct Skips([u8; 256]);

impl Skips {
    /// The second argument is a goroutine that is created. The lower bits say how many arguments there
    /// are; none if the record is not to be skipped.
    const CREATES: u8 = 8;

    pub(super) fn new(version: Version) -> Skips {
        let mut skips = [0; 256];
        for (skip, first) in skips.iter_mut().zip(0..=u8::MAX) {
            let ty = EventType(first & 0x3f);
            // Those that end system calls say when.
            let special = ty == EventType::USER_LOG || ty == EventType::GO_SYS_EXIT;
            let count = num::narrow(u64::from(first.wrapping_shr(6))).wrapping_add(1);
            if ty.since() <= version.minor()
                && ty.is_timed()
                && !special
                && (count == 4 || count == ty.args())
            {
                let args = num::low_byte(num::wide(ty.args()));
                *skip = match ty {
                    EventType::GO_CREATE => args | Skips::CREATES,
                    _ => args,
                };
            }
        }
        Skips(skips)
    }

    #[inline(always)]
    fn of(&self, first: u8) -> u8 {
        let Skips(skips) = self;
        skips.get(usize::from(first)).copied().unwrap_or(0)
    }
}

/// Numbers in so many bytes at once that no byte has to be looked at alone.
mod number {
    use crate::num;

    /// A record's first bytes.
    pub(super) type Window = [u8; 18];

    /// The top bit of each byte.
    const TOPS: u64 = 0x8080_8080_8080_8080;

    /// The bytes of a record that begins here, if there are so many.
    #[inline(always)]
    pub(super) fn window(bytes: &[u8], at: usize) -> Option<&Window> {
        bytes.get(at..)?.first_chunk()
    }

    /// The eight bytes at a place.
    #[inline(always)]
    pub(super) fn bytes(window: &Window, at: usize) -> u64 {
        let bytes = window.get(at..).and_then(<[u8]>::first_chunk);
        u64::from_le_bytes(bytes.copied().unwrap_or_default())
    }

    /// The top bits of the bytes that end a number.
    #[inline(always)]
    pub(super) const fn ends(bytes: u64) -> u64 {
        !bytes & TOPS
    }

    /// How long one number is and `more`, at most two; `None` if they are longer than eight bytes.
    ///
    /// Without a jump, which nothing could predict.
    #[inline(always)]
    pub(super) fn len(more: u8, ends: u64) -> Option<usize> {
        let mut last = ends;
        for more in [more > 0, more > 1] {
            last &= last.wrapping_sub(u64::from(more));
        }
        if last == 0 {
            return None;
        }
        Some(num::index(last.trailing_zeros().wrapping_shr(3)).wrapping_add(1))
    }

    /// Whether the bytes after the second are so many numbers, each of at most nine bytes.
    #[inline(always)]
    pub(super) fn are(count: u8, len: usize, window: &Window) -> bool {
        const ONES: u64 = 0x0101_0101_0101_0101;
        // A longer number may not fit 64 bits: that is for another way to find out.
        if len == 0 || len > usize::from(count).wrapping_add(8) || len >= 16 {
            return false;
        }
        let bits = num::slot(len).wrapping_mul(8);
        let last = window.get(len.wrapping_add(1)).copied().unwrap_or(u8::MAX);
        let inside = match bits.checked_sub(64) {
            None => [u64::MAX.wrapping_shr(64u32.wrapping_sub(bits)), 0],
            Some(0) => [u64::MAX, 0],
            Some(bits) => [u64::MAX, u64::MAX.wrapping_shr(64u32.wrapping_sub(bits))],
        };
        let [low, high] = inside;
        let low = ends(bytes(window, 2)) & low;
        let high = ends(bytes(window, 10)) & high;
        let ones = low.wrapping_shr(7).wrapping_add(high.wrapping_shr(7));
        let found = ones.wrapping_mul(ONES).wrapping_shr(56);
        last < 0x80 && found == u64::from(count)
    }

    /// The first number of eight bytes, and how many bits it takes; `None` if it is longer.
    #[inline(always)]
    pub(super) const fn first(bytes: u64, ends: u64) -> Option<(u64, u32)> {
        if ends == 0 {
            return None;
        }
        // One byte or two are usual.
        if bytes & 0x8080 != 0x8080 {
            let two = (bytes & 0x80).wrapping_shr(7);
            let second = bytes.wrapping_shr(1) & 0x3f80 & 0u64.wrapping_sub(two);
            let n = bytes & 0x7f | second;
            return Some((n, if two == 0 { 8 } else { 16 }));
        }
        let sevens = bytes & (ends ^ ends.wrapping_sub(1)) & !TOPS;
        // Pairs of seven bits, then of fourteen, then of twenty-eight move together.
        let n = sevens & 0x007f_007f_007f_007f | (sevens & 0x7f00_7f00_7f00_7f00) >> 1;
        let n = n & 0x0000_3fff_0000_3fff | (n & 0x3fff_0000_3fff_0000) >> 2;
        let n = n & 0x0fff_ffff | (n & 0x0fff_ffff_0000_0000) >> 4;
        Some((n, ends.trailing_zeros().wrapping_add(1)))
    }

    /// The bytes after so many bits, and their ends.
    #[inline(always)]
    pub(super) fn after(bytes: u64, ends: u64, bits: u32) -> (u64, u64) {
        // Eight bytes leave none. No byte that is shifted in ends a number.
        let rest = |n: u64| n.checked_shr(bits).unwrap_or(0);
        (rest(bytes), rest(ends))
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
