//! Text to records.

use super::FRAME_ARGS;
use super::literal::Literal;
use crate::error::Error;
use crate::num;
use crate::wire::fields::Encoder;
use crate::wire::header::Version;
use crate::wire::record::RawFrame;
use crate::wire::spec::{EventType, MAX_TIMED_ARGS, Role};
use core::fmt;

/// An error in the text form of a trace: what is wrong, and on which line.
///
/// Displays as one line, for example `line 12: expected the argument g_seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TextError {
    kind: TextErrorKind,
    line: u64,
}

impl TextError {
    pub(super) const fn new(kind: TextErrorKind, line: u64) -> Self {
        TextError { kind, line }
    }

    /// What is wrong.
    pub const fn kind(&self) -> TextErrorKind {
        self.kind
    }

    /// The line, counted from 1; 0 for what is wrong with no line in particular.
    pub const fn line(&self) -> u64 {
        self.line
    }
}

/// What is wrong with the text form of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TextErrorKind {
    /// A whole trace is wanted, and neither a header line nor the caller names its version.
    NoVersion,
    /// The header line is not `Trace Go1.NN`.
    InvalidHeader,
    /// The header line names a version that has no text form; the value is N of `Go1.N`.
    UnknownVersion(u64),
    /// The line does not begin with the name of an event.
    UnknownEvent,
    /// The argument of this name must come next.
    ExpectedArgument(&'static str),
    /// The argument of this name is not a decimal number of 64 bits.
    InvalidNumber(&'static str),
    /// Something stands after the last argument.
    ExtraText,
    /// What follows `data=` is not a Go string literal, or more than one.
    InvalidData,
    /// A text read from a stream is not UTF-8.
    NotUtf8,
    /// A text read from a stream goes on for so many bytes without the next batch.
    TooLong(u64),
    /// A stack has fewer lines of frames than it says.
    MissingFrames,
    /// A record stands before the first batch, or after an experimental batch or an end of
    /// generation, which hold none.
    OutsideBatch,
}

impl fmt::Display for TextErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TextErrorKind::NoVersion => {
                f.write_str("no version: the text does not open with a line such as Trace Go1.26")
            }
            TextErrorKind::InvalidHeader => f.write_str("expected a header such as Trace Go1.26"),
            TextErrorKind::UnknownVersion(minor) => {
                write!(f, "there is no text form of version Go1.{minor}")
            }
            TextErrorKind::UnknownEvent => f.write_str("expected the name of an event"),
            TextErrorKind::ExpectedArgument(name) => write!(f, "expected the argument {name}"),
            TextErrorKind::InvalidNumber(name) => {
                write!(f, "the argument {name} is not a number of 64 bits")
            }
            TextErrorKind::ExtraText => f.write_str("unexpected text after the last argument"),
            TextErrorKind::InvalidData => f.write_str("expected one quoted string after data="),
            TextErrorKind::NotUtf8 => f.write_str("the text is not UTF-8"),
            TextErrorKind::TooLong(limit) => {
                write!(
                    f,
                    "a batch takes more than {limit} bytes of text, the limit"
                )
            }
            TextErrorKind::MissingFrames => f.write_str("the stack lacks frames"),
            TextErrorKind::OutsideBatch => f.write_str("the record stands in no batch"),
        }
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => self.kind.fmt(f),
            line => write!(f, "line {line}: {}", self.kind),
        }
    }
}

impl core::error::Error for TextError {}

/// A record of the text form: any line of it, batch headers included, with the lines that belong
/// to it.
#[derive(Clone, Copy, Debug)]
pub struct TextRecord<'a> {
    ty: EventType,
    args: [u64; MAX_TIMED_ARGS],
    data: Literal<'a>,
    frames: Lines<'a>,
    line: u64,
}

impl<'a> TextRecord<'a> {
    /// The type: that of a record, or [`EventType::EVENT_BATCH`],
    /// [`EXPERIMENTAL_BATCH`](EventType::EXPERIMENTAL_BATCH) or
    /// [`END_OF_GENERATION`](EventType::END_OF_GENERATION).
    pub const fn ty(&self) -> EventType {
        self.ty
    }

    /// The arguments, in the table's order. The size of an event batch is 0 if the text leaves it
    /// out.
    pub fn args(&self) -> &[u64] {
        let len = self.ty.spec().map_or(0, |spec| spec.args.len());
        self.args.get(..len).unwrap_or(&[])
    }

    /// The bytes that follow: of a string, or of an experimental batch.
    pub const fn data(&self) -> Literal<'a> {
        self.data
    }

    /// The line that it begins on, counted from 1.
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// Writes the record: exactly what the text says, be it valid or not. Of an event batch only
    /// the header is written, with the size that the text gives.
    ///
    /// Errors: [`NoSpace`](crate::ErrorKind::NoSpace), and then nothing was written.
    pub fn encode(&self, out: &mut Encoder<'_>) -> Result<(), Error> {
        out.record(|out| {
            out.byte(self.ty.0)?;
            for (n, arg) in self.args().iter().enumerate() {
                match (self.ty, n, u8::try_from(*arg)) {
                    // The one number that readers take for a byte.
                    (EventType::EXPERIMENTAL_BATCH, 0, Ok(experiment)) => out.byte(experiment)?,
                    _ => out.varint(*arg)?,
                }
            }
            if has_data(self.ty) {
                out.varint(num::wide(self.data.len()))?;
                self.data.try_for_each(|bytes| out.put(bytes))?;
            }
            let mut frames = self.frames;
            for _ in 0..self.depth() {
                let Ok(frame) = frames.frame() else { break };
                for number in [frame.pc, frame.func, frame.file, frame.line] {
                    out.varint(number)?;
                }
            }
            Ok(())
        })
    }

    /// The number of frames that follow, each of which was read once.
    fn depth(&self) -> u64 {
        match (self.ty, self.args) {
            (EventType::STACK, [_, depth, ..]) => depth,
            _ => 0,
        }
    }
}

/// Whether a trailer of bytes belongs to the record.
fn has_data(ty: EventType) -> bool {
    matches!(ty, EventType::STRING | EventType::EXPERIMENTAL_BATCH)
}

/// Reads the text form of a trace, record by record.
///
/// As Go's reader of it: any white space between words, `#` opens a comment, names and arguments
/// as in the [table](EventType::spec). More forgiving in four things: the header line may be
/// missing; so may a line of data, which Go does not write for no bytes; so may the last argument
/// `size` of a batch and `nframes` of a stack; a version may use events of a later one. Of Go's
/// string literals, that of a single character is not read.
#[derive(Clone, Copy, Debug)]
pub struct TextReader<'a> {
    lines: Lines<'a>,
    version: Option<Version>,
    failed: bool,
}

impl<'a> TextReader<'a> {
    /// A reader of `text`, whose header line is read if it has one.
    ///
    /// Errors: [`InvalidHeader`](TextErrorKind::InvalidHeader),
    /// [`UnknownVersion`](TextErrorKind::UnknownVersion).
    pub fn new(text: &'a str) -> Result<Self, TextError> {
        let mut lines = Lines {
            rest: text,
            number: 0,
        };
        let mut ahead = lines;
        let mut version = None;
        if let Some(line) = ahead.next()
            && let ("Trace", rest) = word(line)
        {
            version = Some(header(rest).map_err(|kind| ahead.error(kind))?);
            lines = ahead;
        }
        Ok(TextReader {
            lines,
            version,
            failed: false,
        })
    }

    /// The version that the header line names.
    pub const fn version(&self) -> Option<Version> {
        self.version
    }

    /// How many bytes of the text are still to be read.
    pub const fn remaining(&self) -> usize {
        self.lines.rest.len()
    }

    /// The next record; `None` at the end of the text, and after an error.
    ///
    /// Errors: everything that can be wrong with a single record.
    #[expect(
        clippy::should_implement_trait,
        reason = "fallible: see `Iterator` below"
    )]
    pub fn next(&mut self) -> Result<Option<TextRecord<'a>>, TextError> {
        if self.failed {
            return Ok(None);
        }
        let Some(line) = self.lines.next() else {
            return Ok(None);
        };
        self.record(line).map(Some).inspect_err(|_| {
            self.failed = true;
        })
    }

    fn record(&mut self, line: &'a str) -> Result<TextRecord<'a>, TextError> {
        let number = self.lines.number;
        let error = |kind| TextError::new(kind, number);
        let (name, mut rest) = word(line);
        let ty = EventType::from_name(name).ok_or(error(TextErrorKind::UnknownEvent))?;
        let specs = ty.spec().map_or(&[][..], |spec| spec.args);
        let mut args = [0; MAX_TIMED_ARGS];
        let mut uncounted = false;
        for (spec, arg) in specs.iter().zip(&mut args) {
            if matches!(spec.role, Role::Size | Role::Frames) && word(rest).0.is_empty() {
                uncounted = true;
                continue;
            }
            (*arg, rest) = argument(rest, spec.name).map_err(error)?;
        }
        end(rest).map_err(error)?;

        let mut data = Literal::EMPTY;
        if has_data(ty)
            && let Some(literal) = self.lines.data()?
        {
            data = literal;
        }
        let frames = self.lines;
        if let (EventType::STACK, [_, depth, ..]) = (ty, &mut args) {
            if uncounted {
                while self.lines.is_frame() {
                    self.lines.frame()?;
                    *depth = depth.saturating_add(1);
                }
            } else {
                for _ in 0..*depth {
                    self.lines.frame()?;
                }
            }
        }
        Ok(TextRecord {
            ty,
            args,
            data,
            frames,
            line: number,
        })
    }
}

impl<'a> Iterator for TextReader<'a> {
    type Item = Result<TextRecord<'a>, TextError>;

    fn next(&mut self) -> Option<Self::Item> {
        TextReader::next(self).transpose()
    }
}

/// The lines that are neither blank nor only a comment.
#[derive(Clone, Copy, Debug)]
struct Lines<'a> {
    rest: &'a str,
    /// Of the last line given.
    number: u64,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        while !self.rest.is_empty() {
            let end = memchr::memchr(b'\n', self.rest.as_bytes()).unwrap_or(self.rest.len());
            let (line, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
            self.rest = rest.strip_prefix('\n').unwrap_or(rest);
            self.number = self.number.saturating_add(1);
            if !word(line).0.is_empty() {
                return Some(line);
            }
        }
        None
    }

    fn error(&self, kind: TextErrorKind) -> TextError {
        TextError::new(kind, self.number)
    }

    /// A line of data, if the next one is one.
    fn data(&mut self) -> Result<Option<Literal<'a>>, TextError> {
        let mut ahead = *self;
        let Some(("data", value)) = ahead
            .next()
            .and_then(|line| line.split_once('='))
            .map(|(name, value)| (name.trim(), value))
        else {
            return Ok(None);
        };
        *self = ahead;
        let invalid = self.error(TextErrorKind::InvalidData);
        let (literal, rest) = Literal::parse(value.trim_start()).map_err(|_| invalid)?;
        end(rest).map_err(|_| invalid)?;
        Ok(Some(literal))
    }

    /// Whether the next line is one of a frame.
    fn is_frame(&self) -> bool {
        let mut ahead = *self;
        ahead
            .next()
            .is_some_and(|line| word(line).0.starts_with("pc="))
    }

    /// A line of a frame, which the next one must be.
    fn frame(&mut self) -> Result<RawFrame, TextError> {
        let Some(line) = self.next() else {
            return Err(self.error(TextErrorKind::MissingFrames));
        };
        let parse = || {
            let [pc, func, file, number] = FRAME_ARGS;
            let (pc, rest) = argument(line, pc)?;
            let (func, rest) = argument(rest, func)?;
            let (file, rest) = argument(rest, file)?;
            let (line, rest) = argument(rest, number)?;
            end(rest)?;
            Ok(RawFrame {
                pc,
                func,
                file,
                line,
            })
        };
        parse().map_err(|kind| self.error(kind))
    }
}

/// The first word, empty if there is none before the end or a comment, and what follows it.
pub(super) fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = text
        .find(|c: char| c.is_whitespace() || c == '#')
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// The value of the argument `name`, which must come next, and what follows it.
fn argument<'a>(text: &'a str, name: &'static str) -> Result<(u64, &'a str), TextErrorKind> {
    let (word, rest) = word(text);
    let value = word
        .strip_prefix(name)
        .and_then(|value| value.strip_prefix('='))
        .ok_or(TextErrorKind::ExpectedArgument(name))?;
    let value = number(value).ok_or(TextErrorKind::InvalidNumber(name))?;
    Ok((value, rest))
}

/// Digits only: no sign, which `parse` would take.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Checks that nothing but a comment follows.
fn end(text: &str) -> Result<(), TextErrorKind> {
    match word(text) {
        ("", _) => Ok(()),
        _ => Err(TextErrorKind::ExtraText),
    }
}

/// The version that a header line names after its first word.
fn header(text: &str) -> Result<Version, TextErrorKind> {
    let (version, rest) = word(text);
    end(rest).map_err(|_| TextErrorKind::InvalidHeader)?;
    let minor = version.strip_prefix("Go1.").and_then(number);
    let minor = minor.ok_or(TextErrorKind::InvalidHeader)?;
    Version::from_minor(minor)
        .filter(|version| version.has_generations())
        .ok_or(TextErrorKind::UnknownVersion(minor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use proptest::prelude::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn encoded(text: &str) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        for record in TextReader::new(text).map_err(|e| e.to_string())? {
            let record = record.map_err(|e| e.to_string())?;
            let mut buffer = [0; 300];
            let mut out = Encoder::new(&mut buffer);
            record.encode(&mut out).unwrap();
            all.extend_from_slice(out.bytes());
        }
        Ok(all)
    }

    #[test]
    fn records_are_read_however_they_are_laid_out() {
        for (text, bytes) in [
            ("", &[][..]),
            ("Trace Go1.22", &[]),
            ("GoStart dt=2 g=142 g_seq=3", &[16, 2, 0x8e, 1, 3]),
            (
                "\n # a comment\r\n\u{a0}GoStart\tdt=2 \u{3000}g=142 g_seq=3# runs\r\n",
                &[16, 2, 0x8e, 1, 3],
            ),
            (
                "String id=5\n\n\t data = \"ab\" # two\n",
                &[5, 5, 2, b'a', b'b'],
            ),
            ("String id=5\nString id=6\ndata=``", &[5, 5, 0, 5, 6, 0]),
            (
                "Stack id=1 nframes=1\n#\n pc=2 func=3 file=4 line=5",
                &[3, 1, 1, 2, 3, 4, 5],
            ),
            (
                "Stack id=1\npc=2 func=3 file=4 line=5\npc=6 func=7 file=8 line=9\nStacks",
                &[3, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 2],
            ),
            ("Stack id=1", &[3, 1, 0]),
            ("EventBatch gen=1 m=2 time=3", &[1, 1, 2, 3, 0]),
            ("EventBatch gen=0 m=2 time=3 size=9", &[1, 0, 2, 3, 9]),
            (
                "ExperimentalBatch exp=1 gen=2 m=3 time=4\ndata=\"x\"\nEndOfGeneration",
                &[49, 1, 2, 3, 4, 1, b'x', 52],
            ),
            (
                "ExperimentalBatch exp=200 gen=2 m=3 time=4",
                &[49, 200, 2, 3, 4, 0],
            ),
            (
                "CPUSample time=1 m=2 p=3 g=127 stack=5",
                &[7, 1, 2, 3, 127, 5],
            ),
        ] {
            assert_eq!(encoded(text).as_deref(), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        for (text, error) in [
            ("Trace", "line 1: expected a header such as Trace Go1.26"),
            (
                "\nTrace 1.22",
                "line 2: expected a header such as Trace Go1.26",
            ),
            (
                "Trace Go1.22 x",
                "line 1: expected a header such as Trace Go1.26",
            ),
            (
                "Trace Go1.21",
                "line 1: there is no text form of version Go1.21",
            ),
            (
                "Trace Go1.24",
                "line 1: there is no text form of version Go1.24",
            ),
            (
                "Strings\nGoFly dt=1",
                "line 2: expected the name of an event",
            ),
            ("data=\"\"", "line 1: expected the name of an event"),
            ("GoStart dt=2 g=142", "line 1: expected the argument g_seq"),
            ("GoStart dt=2 g_seq=3", "line 1: expected the argument g"),
            (
                "GoStop dt=+2 reason_string=1 stack=0",
                "line 1: the argument dt is not a number of 64 bits",
            ),
            (
                "Frequency freq=18446744073709551616",
                "line 1: the argument freq is not a number of 64 bits",
            ),
            (
                "Frequency freq=",
                "line 1: the argument freq is not a number of 64 bits",
            ),
            (
                "GoDestroy dt=1 g=2",
                "line 1: unexpected text after the last argument",
            ),
            (
                "String id=1\ndata=x",
                "line 2: expected one quoted string after data=",
            ),
            (
                "String id=1\ndata=\"a\" \"b\"",
                "line 2: expected one quoted string after data=",
            ),
            ("Stack id=1 nframes=1", "line 1: the stack lacks frames"),
            (
                "Stack id=1 nframes=1\n\nStacks",
                "line 3: expected the argument pc",
            ),
            (
                "Stack id=1\npc=1 func=2 line=3",
                "line 2: expected the argument file",
            ),
        ] {
            assert_eq!(encoded(text), Err(error.to_string()), "{text}");
        }
    }

    #[test]
    fn after_an_error_there_is_nothing_more() {
        let mut reader = TextReader::new("Nonsense\nStrings").unwrap();
        assert!(reader.next().is_err());
        assert!(reader.next().unwrap().is_none());
    }

    #[test]
    fn what_does_not_fit_is_not_written_at_all() {
        let text = "String id=5\ndata=\"abc\"";
        let record = TextReader::new(text).unwrap().next().unwrap().unwrap();
        for size in 0..6 {
            let mut buffer = [0; 6];
            let mut out = Encoder::new(&mut buffer[..size]);
            let error = record.encode(&mut out).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoSpace);
            assert!(out.is_empty());
        }
    }

    /// A line that is nearly right: words of the format with a slip here and there.
    fn nearly() -> impl Strategy<Value = String> {
        let word = prop_oneof![
            proptest::sample::select(EventType::ALL).prop_map(|ty| ty.to_string()),
            proptest::sample::select(&["dt", "g", "id", "nframes", "pc", "size", "data"][..])
                .prop_flat_map(|name| "=[0-9]{0,3}".prop_map(move |n| name.to_string() + &n)),
            Just("data=\"\\x".to_string()),
            Just("Trace Go1.22".to_string()),
            "[ #\\n\\r\u{85}\u{2028}é=\"\\\\]{0,3}",
        ];
        proptest::collection::vec(word, 0..12).prop_map(|words| words.join(" "))
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in nearly()) {
            if let Ok(bytes) = encoded(&text) {
                // A record of n bytes takes at least its name.
                prop_assert!(bytes.len() <= text.len());
            }
        }
    }
}
