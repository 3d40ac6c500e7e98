//! The text form: a line a record, as Go's `internal/trace/raw` writes and reads it and
//! `go tool trace -d=wire` prints it.
//!
//! A record is the event's name and its arguments in the table's order; a string's bytes and a
//! stack's frames follow on lines of their own. [`Batch`], [`Head`] and [`Record`] display so:
//!
//! ```text
//! Trace Go1.26
//! EventBatch gen=1 m=18446744073709551615 time=19552392735 size=24
//! Strings
//! String id=5
//!     data="net/http.(*conn).serve"
//! EventBatch gen=1 m=3 time=19552392735 size=20
//! GoStart dt=2 g=142 g_seq=3
//! ```
//!
//! [`TextReader`] reads it back record by record, without state and without an allocator. With
//! `alloc`, [`assemble`] makes a whole trace of it; with `std`, [`StreamAssembler`] does so as the
//! text comes. None judges what it reads: text can say everything that is wrong with a trace, which
//! is what makes it good for tests.
//!
//! ```
//! use gotrace::wire::{Record, Records, text::TextReader, Encoder};
//!
//! let mut reader = TextReader::new("GoStart dt=2 g=142  g_seq=3  # runs")?;
//! let record = reader.next()?.unwrap();
//! let mut buffer = [0; 16];
//! let mut out = Encoder::new(&mut buffer);
//! record.encode(&mut out).unwrap();
//! let back = Records::new(out.bytes(), 0).next().unwrap().unwrap();
//! assert_eq!(back.to_string(), "GoStart dt=2 g=142 g_seq=3");
//! # Ok::<(), gotrace::wire::text::TextError>(())
//! ```

#[cfg(feature = "alloc")]
mod assemble;
mod literal;
mod reader;
#[cfg(feature = "std")]
mod stream;

#[cfg(feature = "alloc")]
pub use assemble::{Assembler, assemble};
pub use literal::Literal;
pub use reader::{TextError, TextErrorKind, TextReader, TextRecord};
#[cfg(feature = "std")]
pub use stream::{DEFAULT_BATCH_LIMIT, ReadTextError, StreamAssembler};

use super::batch::{Batch, BatchHead, Chunk, Head};
use super::event::TimedEvent;
use super::header::Version;
use super::record::{Record, SampleRecord, StackRecord};
use super::spec::EventType;
use crate::ids::{GoId, ProcId, StackId, ThreadId};
use crate::num;
use crate::string::GoStr;
use core::fmt::{self, Write};

/// The arguments of a line of a stack.
const FRAME_ARGS: [&str; 4] = ["pc", "func", "file", "line"];

/// The first line of a text: displays as `Trace Go1.26`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HeaderLine(pub Version);

impl fmt::Display for HeaderLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace Go1.{}", self.0.minor())
    }
}

/// The line of the header, without what follows it.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Head::Batch(head) => head.fmt(f),
            Head::EndOfGeneration => name(f, EventType::END_OF_GENERATION),
        }
    }
}

/// The line of the header, without what follows it.
impl fmt::Display for BatchHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = self.generation.get();
        let thread = ThreadId::raw(self.thread);
        match self.experiment {
            None => {
                let size = num::wide(self.data_len);
                let args = [generation, thread, self.time.0, size];
                line(f, EventType::EVENT_BATCH, &args)
            }
            Some(experiment) => {
                let args = [u64::from(experiment.0), generation, thread, self.time.0];
                line(f, EventType::EXPERIMENTAL_BATCH, &args)
            }
        }
    }
}

/// The line of the header; of an experimental batch, the data as well.
impl fmt::Display for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head.fmt(f)?;
        if self.head.experiment.is_some() {
            data(f, GoStr::new(self.data))?;
        }
        Ok(())
    }
}

/// The line of the batch's header, with the data of an experimental one, or of the marker.
impl fmt::Display for Chunk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Chunk::Batch(batch) => batch.fmt(f),
            Chunk::EndOfGeneration(_) => Head::EndOfGeneration.fmt(f),
        }
    }
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

impl fmt::Display for TimedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        event(f, self)
    }
}

impl Record<'_> {
    /// Writes what the record displays, without the machinery of formatting: for whole dumps.
    #[inline]
    pub fn write_to(&self, out: &mut impl Write) -> fmt::Result {
        match self {
            Record::Event(e) => event(out, e),
            Record::Section(ty) => name(out, *ty),
            Record::String(string) => {
                line(out, EventType::STRING, &[string.id])?;
                data(out, string.data)
            }
            Record::Stack(record) => stack(out, record),
            Record::Sample(record) => sample(out, record),
            Record::Frequency(hertz) => line(out, EventType::FREQUENCY, &[*hertz]),
        }
    }
}

fn stack(out: &mut impl Write, stack: &StackRecord<'_>) -> fmt::Result {
    line(out, EventType::STACK, &[stack.id, num::wide(stack.depth)])?;
    for frame in stack.frames() {
        let mut before = "\n\t";
        for (name, value) in FRAME_ARGS
            .into_iter()
            .zip([frame.pc, frame.func, frame.file, frame.line])
        {
            out.write_str(before)?;
            argument(out, name, value)?;
            before = " ";
        }
    }
    Ok(())
}

fn sample(out: &mut impl Write, sample: &SampleRecord) -> fmt::Result {
    let args = [
        sample.time.0,
        ThreadId::raw(sample.thread),
        ProcId::raw(sample.proc),
        sample.goroutine.map_or(0, GoId::get),
        sample.stack.map_or(0, StackId::get),
    ];
    line(out, EventType::CPU_SAMPLE, &args)
}

/// A trailer of bytes; Go writes none for no bytes.
fn data(out: &mut impl Write, bytes: GoStr<'_>) -> fmt::Result {
    if bytes.is_empty() {
        return Ok(());
    }
    write!(out, "\n\tdata={}", bytes.quoted())
}

#[inline]
fn event(out: &mut impl Write, event: &TimedEvent) -> fmt::Result {
    let [a, b, c, d] = event.args;
    line(out, event.ty, &[event.dt, a, b, c, d])
}

/// A name, and as many arguments as the type has.
#[inline]
fn line(out: &mut impl Write, ty: EventType, values: &[u64]) -> fmt::Result {
    let Some(spec) = ty.spec() else {
        return write!(out, "{ty}");
    };
    out.write_str(spec.name)?;
    for (arg, value) in spec.args.iter().zip(values) {
        out.write_str(" ")?;
        argument(out, arg.name, *value)?;
    }
    Ok(())
}

fn name(out: &mut impl Write, ty: EventType) -> fmt::Result {
    line(out, ty, &[])
}

/// `name=value`.
#[inline]
fn argument(out: &mut impl Write, name: &str, value: u64) -> fmt::Result {
    // `=` and the 20 digits of the largest number, filled from the end.
    let mut text = [b'='; 21];
    let mut start = text.len();
    let mut left = value;
    for digit in text.iter_mut().rev() {
        *digit = b'0'.wrapping_add(num::low_byte(left.wrapping_rem(10)));
        left = left.wrapping_div(10);
        start = start.saturating_sub(1);
        if left == 0 {
            break;
        }
    }
    let text = text.get(start.saturating_sub(1)..).unwrap_or(&[]);
    out.write_str(name)?;
    out.write_str(core::str::from_utf8(text).unwrap_or("="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Experiment, GenerationId, Offset};
    use crate::time::Timestamp;
    use crate::wire::{Encoder, RawFrame, Records};
    use std::string::{String, ToString};

    fn shown(write: impl FnOnce(&mut Encoder<'_>)) -> String {
        let mut buffer = [0; 256];
        let mut out = Encoder::new(&mut buffer);
        write(&mut out);
        let record = Records::new(out.bytes(), 0).next().unwrap().unwrap();
        record.to_string()
    }

    #[test]
    fn records_display_as_go_prints_them() {
        let event = TimedEvent::new(EventType::GO_START, 2, [142, 3, 9, 9]);
        assert_eq!(
            shown(|out| out.event(&event).unwrap()),
            "GoStart dt=2 g=142 g_seq=3"
        );
        let largest = TimedEvent::new(EventType::USER_LOG, 0, [u64::MAX, 10, 999, 1]);
        assert_eq!(
            shown(|out| out.event(&largest).unwrap()),
            "UserLog dt=0 task=18446744073709551615 key_string=10 value_string=999 stack=1"
        );
        assert_eq!(
            shown(|out| out.string(5, GoStr::new(b"a\"\n\xff")).unwrap()),
            "String id=5\n\tdata=\"a\\\"\\n\\xff\""
        );
        assert_eq!(
            shown(|out| out.string(5, GoStr::EMPTY).unwrap()),
            "String id=5"
        );
        let frame = RawFrame {
            pc: 1,
            func: 20,
            file: 300,
            line: 4000,
        };
        assert_eq!(
            shown(|out| out.stack(7, [frame, frame].into_iter()).unwrap()),
            "Stack id=7 nframes=2\n\tpc=1 func=20 file=300 line=4000\n\tpc=1 func=20 file=300 \
             line=4000"
        );
        let sample = SampleRecord {
            time: Timestamp(5),
            thread: ThreadId::new(1),
            proc: None,
            goroutine: None,
            stack: StackId::new(3),
        };
        assert_eq!(
            shown(|out| out.sample(&sample).unwrap()),
            "CPUSample time=5 m=1 p=18446744073709551615 g=0 stack=3"
        );
        assert_eq!(
            shown(|out| out.frequency(15_625_000).unwrap()),
            "Frequency freq=15625000"
        );
        assert_eq!(
            shown(|out| out.section(EventType::CPU_SAMPLES).unwrap()),
            "CPUSamples"
        );
    }

    #[test]
    fn heads_display_as_go_prints_them() {
        let head = BatchHead {
            generation: GenerationId::new(3).unwrap(),
            thread: None,
            time: Timestamp(9),
            experiment: None,
            header_len: 5,
            data_len: 3,
        };
        let line = "EventBatch gen=3 m=18446744073709551615 time=9 size=3";
        assert_eq!(Head::Batch(head).to_string(), line);
        let experimental = BatchHead {
            experiment: Some(Experiment::ALLOC_FREE),
            ..head
        };
        let batch = |head, data| Batch {
            head,
            data,
            offset: Offset(0),
        };
        assert_eq!(batch(head, &b"abc"[..]).to_string(), line);
        assert_eq!(
            Chunk::Batch(batch(experimental, &b"a\tc"[..])).to_string(),
            "ExperimentalBatch exp=1 gen=3 m=18446744073709551615 time=9\n\tdata=\"a\\tc\""
        );
        assert_eq!(
            Chunk::EndOfGeneration(Offset(0)).to_string(),
            "EndOfGeneration"
        );
        assert_eq!(HeaderLine(Version::Go122).to_string(), "Trace Go1.22");
    }
}
