//! Records: everything that is in a batch, decoded one by one whatever the batch holds.

use super::encoder::Encoder;
use super::event::TimedEvent;
use super::fields::Fields;
use super::spec::{EventType, MAX_FRAMES, MAX_STRING_SIZE};
use crate::error::{Error, ErrorKind};
use crate::ids::{GoId, Offset, ProcId, StackId, ThreadId};
use crate::num;
use crate::string::GoStr;
use crate::time::{Timestamp, WallTime};
use crate::varint;
use core::iter::FusedIterator;

/// A record of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Record<'t> {
    /// Begins a section: [`EventType::STRINGS`], [`STACKS`](EventType::STACKS),
    /// [`CPU_SAMPLES`](EventType::CPU_SAMPLES) or [`SYNC`](EventType::SYNC).
    Section(EventType),
    /// An entry of the string table.
    String(StringRecord<'t>),
    /// An entry of the stack table.
    Stack(StackRecord<'t>),
    /// A sample of the CPU profiler.
    Sample(SampleRecord),
    /// The trace clock's units a second.
    Frequency(u64),
    /// A timed event, among them the clock snapshots of sync batches.
    Event(TimedEvent),
}

impl Record<'_> {
    /// The type on the wire.
    pub const fn ty(&self) -> EventType {
        match self {
            Record::Section(ty) => *ty,
            Record::String(_) => EventType::STRING,
            Record::Stack(_) => EventType::STACK,
            Record::Sample(_) => EventType::CPU_SAMPLE,
            Record::Frequency(_) => EventType::FREQUENCY,
            Record::Event(event) => event.ty,
        }
    }

    /// How many bytes [`Encoder::record`] writes. Numbers are as short as can be, but for those in
    /// the frames of a stack, which stay as they were read.
    pub fn encoded_len(&self) -> usize {
        let sum = |numbers: &[u64]| {
            let lengths = numbers.iter().map(|n| varint::len(*n));
            lengths.fold(1, usize::wrapping_add)
        };
        match self {
            Record::Section(_) => 1,
            Record::String(s) => s.encoded_len(),
            Record::Stack(s) => sum(&[s.id, num::wide(s.depth)]).saturating_add(s.frames.len()),
            Record::Sample(sample) => sum(&sample.numbers()),
            Record::Frequency(hertz) => sum(&[*hertz]),
            Record::Event(event) => event.encoded_len(),
        }
    }
}

/// An entry of the string table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StringRecord<'t> {
    /// The id; a valid table has no 0.
    pub id: u64,
    /// The string, at most [`MAX_STRING_SIZE`] bytes.
    pub data: GoStr<'t>,
}

impl StringRecord<'_> {
    /// How many bytes [`Encoder::string`] writes.
    pub const fn encoded_len(&self) -> usize {
        let len = self.data.as_bytes().len();
        1usize
            .wrapping_add(varint::len(self.id))
            .wrapping_add(varint::len(num::wide(len)))
            .saturating_add(len)
    }
}

/// An entry of the stack table. The frames are known to be readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackRecord<'t> {
    /// The id; a valid table has no 0.
    pub id: u64,
    /// How many frames, at most [`MAX_FRAMES`].
    pub depth: usize,
    pub(crate) frames: &'t [u8],
}

impl<'t> StackRecord<'t> {
    /// The frames, the innermost first.
    pub const fn frames(&self) -> RawFrames<'t> {
        RawFrames::new(self.frames)
    }
}

/// A frame as the stack table holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RawFrame {
    /// The program counter.
    pub pc: u64,
    /// The function's name, a string id; 0 for the empty string.
    pub func: u64,
    /// The source file's name, a string id; 0 for the empty string.
    pub file: u64,
    /// The line within the file.
    pub line: u64,
}

/// The frames of a stack, the innermost first.
#[derive(Clone, Debug)]
pub struct RawFrames<'t> {
    fields: Fields<'t>,
}

impl<'t> RawFrames<'t> {
    pub(crate) const fn new(frames: &'t [u8]) -> Self {
        RawFrames {
            fields: Fields::new(frames, 0),
        }
    }

    /// The frames left, as they are in the trace.
    #[cfg(feature = "alloc")]
    pub(crate) fn bytes(&self) -> &'t [u8] {
        self.fields.rest()
    }
}

impl Iterator for RawFrames<'_> {
    type Item = RawFrame;

    fn next(&mut self) -> Option<RawFrame> {
        if self.fields.is_empty() {
            return None;
        }
        match self.fields.frame() {
            Ok(frame) => Some(frame),
            Err(_) => {
                self.fields = Fields::new(&[], 0);
                None
            }
        }
    }

    /// A frame takes four bytes at least, forty at most.
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.fields.left();
        (left.div_ceil(40), Some(left.div_ceil(4)))
    }
}

impl FusedIterator for RawFrames<'_> {}

/// A sample of the CPU profiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SampleRecord {
    /// When.
    pub time: Timestamp,
    /// The thread sampled.
    pub thread: Option<ThreadId>,
    /// Its proc, if it had one.
    pub proc: Option<ProcId>,
    /// Its goroutine, if it ran one; 0 on the wire is none.
    pub goroutine: Option<GoId>,
    /// What it was doing.
    pub stack: Option<StackId>,
}

impl SampleRecord {
    fn numbers(&self) -> [u64; 5] {
        [
            self.time.0,
            ThreadId::raw(self.thread),
            ProcId::raw(self.proc),
            self.goroutine.map_or(0, GoId::get),
            self.stack.map_or(0, StackId::get),
        ]
    }
}

impl<'t> Fields<'t> {
    /// The type of the next record, which must be `expected`.
    pub(crate) fn expect(&mut self, expected: EventType, kind: ErrorKind) -> Result<(), Error> {
        let mut ahead = *self;
        match ahead.byte()? {
            found if found == expected.0 => *self = ahead,
            found => return Err(self.error(kind, u64::from(found))),
        }
        Ok(())
    }

    pub(crate) fn string(&mut self) -> Result<StringRecord<'t>, Error> {
        let id = self.varint()?;
        let mut ahead = *self;
        let len = ahead.varint()?;
        if len > MAX_STRING_SIZE {
            return Err(self.error(ErrorKind::StringTooLong, len));
        }
        *self = ahead;
        Ok(StringRecord {
            id,
            data: GoStr::new(self.take(num::narrow(len))?),
        })
    }

    fn frame(&mut self) -> Result<RawFrame, Error> {
        Ok(RawFrame {
            pc: self.varint()?,
            func: self.varint()?,
            file: self.varint()?,
            line: self.varint()?,
        })
    }

    pub(crate) fn stack(&mut self) -> Result<StackRecord<'t>, Error> {
        let id = self.varint()?;
        let mut ahead = *self;
        let depth = ahead.varint()?;
        if depth > MAX_FRAMES {
            return Err(self.error(ErrorKind::StackTooDeep, depth));
        }
        *self = ahead;
        let start = self.position();
        for _ in 0..depth {
            self.frame()?;
        }
        Ok(StackRecord {
            id,
            depth: num::narrow(depth),
            frames: self.since(start),
        })
    }

    pub(crate) fn sample(&mut self) -> Result<SampleRecord, Error> {
        let time = Timestamp(self.varint()?);
        let thread = ThreadId::new(self.varint()?);
        let proc = ProcId::new(self.varint()?);
        let goroutine = GoId::new(self.varint()?).filter(|g| g.get() != 0);
        Ok(SampleRecord {
            time,
            thread,
            proc,
            goroutine,
            stack: StackId::new(self.varint()?),
        })
    }

    fn event(&mut self, ty: EventType) -> Result<TimedEvent, Error> {
        let mut event = TimedEvent::new(ty, self.varint()?, [0; 4]);
        for arg in event
            .args
            .iter_mut()
            .take(ty.timed_args().saturating_sub(1))
        {
            *arg = self.varint()?;
        }
        Ok(event)
    }

    pub(crate) fn record(&mut self) -> Result<Record<'t>, Error> {
        let mut ahead = *self;
        let ty = EventType(ahead.byte()?);
        let record = match ty {
            EventType::STRINGS | EventType::STACKS | EventType::CPU_SAMPLES | EventType::SYNC => {
                Record::Section(ty)
            }
            EventType::STRING => Record::String(ahead.string()?),
            EventType::STACK => Record::Stack(ahead.stack()?),
            EventType::CPU_SAMPLE => Record::Sample(ahead.sample()?),
            EventType::FREQUENCY => Record::Frequency(ahead.varint()?),
            ty if ty.timed_args() > 0 => Record::Event(ahead.event(ty)?),
            ty => {
                let known = ty.is_known();
                let kind = if known {
                    ErrorKind::UntimedEvent
                } else {
                    ErrorKind::UnknownEvent
                };
                return Err(self.error(kind, u64::from(ty.0)));
            }
        };
        *self = ahead;
        Ok(record)
    }
}

/// The records of a batch's payload. After an error there is nothing more.
#[derive(Clone, Debug)]
pub struct Records<'t> {
    fields: Fields<'t>,
}

impl<'t> Records<'t> {
    /// The records of a payload that is at `offset`, to which the offsets of errors refer.
    pub const fn new(data: &'t [u8], offset: Offset) -> Self {
        Records {
            fields: Fields::new(data, offset.0),
        }
    }

    /// Where the next record is: bytes from the start of the trace.
    pub fn offset(&self) -> Offset {
        Offset(self.fields.offset())
    }

    /// The next record; `None` at the end of the payload.
    ///
    /// Errors: all that can be wrong with a single record.
    #[expect(
        clippy::should_implement_trait,
        reason = "fallible: see `Iterator` below"
    )]
    pub fn next(&mut self) -> Result<Option<Record<'t>>, Error> {
        if self.fields.is_empty() {
            return Ok(None);
        }
        self.fields
            .record()
            .map(Some)
            .inspect_err(|_| self.fields.finish())
    }
}

impl<'t> Iterator for Records<'t> {
    type Item = Result<Record<'t>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Records::next(self).transpose()
    }

    /// A record has at least a byte. What is left may be an error at once.
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.fields.left();
        (usize::from(left > 0), Some(left))
    }
}

// After an error, nothing is left.
impl FusedIterator for Records<'_> {}

impl Encoder<'_> {
    /// Writes a record of any kind: at most [`Record::encoded_len`] bytes. What was read from a
    /// trace is written as it was.
    ///
    /// Errors: those of the method for that kind.
    pub fn record(&mut self, record: &Record<'_>) -> Result<(), Error> {
        match record {
            Record::Section(ty) => self.section(*ty),
            Record::String(string) => self.string(string.id, string.data),
            Record::Stack(stack) => self.whole(|out| {
                out.stack_head(stack.id, num::wide(stack.depth))?;
                out.put(stack.frames)
            }),
            Record::Sample(sample) => self.sample(sample),
            Record::Frequency(hertz) => self.frequency(*hertz),
            Record::Event(event) => self.event(event),
        }
    }

    /// Writes the type that begins a section: one byte.
    ///
    /// Errors: [`NoSpace`](ErrorKind::NoSpace), [`NotInVersion`](ErrorKind::NotInVersion).
    pub fn section(&mut self, ty: EventType) -> Result<(), Error> {
        self.since(ty)?;
        self.byte(ty.0)
    }

    /// Writes what a sync batch holds: the trace clock's units a second, and, since Go 1.25, what
    /// the other clocks showed at the batch's time, the monotonic one in nanoseconds. At most
    /// [`Encoder::SYNC_LEN`] bytes.
    ///
    /// Errors: [`NoSpace`](ErrorKind::NoSpace).
    pub fn sync(&mut self, hertz: u64, mono: u64, wall: WallTime) -> Result<(), Error> {
        self.whole(|out| {
            if out.since(EventType::SYNC).is_err() {
                return out.frequency(hertz);
            }
            out.section(EventType::SYNC)?;
            out.frequency(hertz)?;
            let seconds = wall.seconds.cast_unsigned();
            let args = [mono, seconds, u64::from(wall.nanoseconds), 0];
            out.event(&TimedEvent::new(EventType::CLOCK_SNAPSHOT, 0, args))
        })
    }

    /// The most bytes that [`Encoder::sync`] writes.
    pub const SYNC_LEN: usize = 1 + 11 + 2 + 3 * varint::MAX_LEN;

    /// Writes an entry of the string table: at most 21 bytes more than the string has.
    ///
    /// Errors: [`NoSpace`](ErrorKind::NoSpace), [`StringTooLong`](ErrorKind::StringTooLong).
    pub fn string(&mut self, id: u64, data: GoStr<'_>) -> Result<(), Error> {
        let len = num::wide(data.as_bytes().len());
        if len > MAX_STRING_SIZE {
            return Err(self.error(ErrorKind::StringTooLong, len));
        }
        self.whole(|out| {
            out.string_head(id, len)?;
            out.put(data.as_bytes())
        })
    }

    /// What comes before a string's bytes.
    pub(crate) fn string_head(&mut self, id: u64, len: u64) -> Result<(), Error> {
        self.numbers(EventType::STRING.0, &[id, len])
    }

    /// Writes an entry of the stack table: at most 21 bytes, and 40 a frame.
    ///
    /// Errors: [`NoSpace`](ErrorKind::NoSpace), [`StackTooDeep`](ErrorKind::StackTooDeep).
    pub fn stack(
        &mut self,
        id: u64,
        frames: impl ExactSizeIterator<Item = RawFrame>,
    ) -> Result<(), Error> {
        let depth = num::wide(frames.len());
        if depth > MAX_FRAMES {
            return Err(self.error(ErrorKind::StackTooDeep, depth));
        }
        self.whole(|out| {
            out.stack_head(id, depth)?;
            for frame in frames {
                out.frame(&frame)?;
            }
            Ok(())
        })
    }

    /// What comes before a stack's frames.
    pub(crate) fn stack_head(&mut self, id: u64, depth: u64) -> Result<(), Error> {
        self.numbers(EventType::STACK.0, &[id, depth])
    }

    /// A frame of a stack: at most 40 bytes.
    pub(crate) fn frame(&mut self, frame: &RawFrame) -> Result<(), Error> {
        self.varint(frame.pc)?;
        self.varint(frame.func)?;
        self.varint(frame.file)?;
        self.varint(frame.line)
    }

    /// Writes a sample of the CPU profiler: at most 51 bytes.
    ///
    /// Errors: [`NoSpace`](ErrorKind::NoSpace).
    pub fn sample(&mut self, sample: &SampleRecord) -> Result<(), Error> {
        self.numbers(EventType::CPU_SAMPLE.0, &sample.numbers())
    }

    /// Writes the trace clock's units a second: at most 11 bytes.
    ///
    /// Errors: [`NoSpace`](ErrorKind::NoSpace).
    pub fn frequency(&mut self, hertz: u64) -> Result<(), Error> {
        self.numbers(EventType::FREQUENCY.0, &[hertz])
    }
}
