//! Text to a whole trace, as the text comes.

use super::assemble::Assembler;
use super::reader::{TextError, TextErrorKind, word};
use crate::num;
use crate::wire::header::Version;
use crate::wire::spec::EventType;
use alloc::vec::Vec;
use core::fmt;
use std::io::{self, Read};

/// How much is asked of the source at once.
const BLOCK: usize = 64 << 10;

/// How long the text of one batch may be without being asked for: 64 MiB, twenty times the longest
/// that a trace can hold.
pub const DEFAULT_BATCH_LIMIT: u64 = 64 << 20;

/// Makes a trace of its text form, read from anything that implements [`Read`]: what [`Assembler`]
/// does with a text in memory.
///
/// Takes the memory of one batch and of its text. A text that goes on without a batch is an
/// [error](TextErrorKind::TooLong) at [`DEFAULT_BATCH_LIMIT`], or
/// [another limit](StreamAssembler::with_batch_limit).
///
/// ```
/// use gotrace::wire::text::StreamAssembler;
///
/// let text = "Trace Go1.22\nEventBatch gen=1 m=7 time=300\nProcStop dt=2";
/// let mut assembler = StreamAssembler::new(text.as_bytes(), None);
/// let mut trace = Vec::new();
/// while let Some(piece) = assembler.next()? {
///     trace.extend_from_slice(piece);
/// }
/// assert_eq!(trace, b"go 1.22 trace\0\0\0\x01\x01\x07\xac\x02\x02\x0b\x02");
/// # Ok::<(), gotrace::wire::text::ReadTextError>(())
/// ```
pub struct StreamAssembler<R> {
    source: R,
    /// The version; before the first piece, that of a text without a header line.
    version: Option<Version>,
    limit: usize,
    /// Text that was read and not assembled.
    text: Vec<u8>,
    /// How many lines came before.
    lines: u64,
    piece: Vec<u8>,
    /// The header was made.
    begun: bool,
    /// There is no more text, or an error.
    done: bool,
}

/// What can go wrong while a text is read from a stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadTextError {
    /// The source could not be read.
    Io(io::Error),
    /// The text is wrong.
    Text(TextError),
}

impl<R: Read> StreamAssembler<R> {
    /// An assembler of the text that a source holds; `version` is that of a text without a header
    /// line.
    pub const fn new(source: R, version: Option<Version>) -> Self {
        StreamAssembler {
            source,
            version,
            limit: num::narrow(DEFAULT_BATCH_LIMIT),
            text: Vec::new(),
            lines: 0,
            piece: Vec::new(),
            begun: false,
            done: false,
        }
    }

    /// Sets the most bytes of text that one batch may have, in the place of
    /// [`DEFAULT_BATCH_LIMIT`].
    #[must_use]
    pub const fn with_batch_limit(mut self, bytes: u64) -> Self {
        self.limit = num::narrow(bytes);
        self
    }

    /// The next piece of the trace, which ends where a batch does; `None` at the end of the text,
    /// and after an error.
    ///
    /// Errors: those of the source and of [`Assembler::next`],
    /// [`NoVersion`](TextErrorKind::NoVersion), [`NotUtf8`](TextErrorKind::NotUtf8),
    /// [`TooLong`](TextErrorKind::TooLong).
    #[expect(
        clippy::should_implement_trait,
        reason = "fallible, and what it gives borrows from it"
    )]
    pub fn next(&mut self) -> Result<Option<&[u8]>, ReadTextError> {
        self.piece.clear();
        while self.piece.is_empty() && !self.done {
            // Unless all goes well.
            self.done = true;
            let (end, ended) = self.part()?;
            self.assemble(end)?;
            self.done = ended;
        }
        Ok((!self.piece.is_empty()).then_some(&self.piece))
    }

    /// Where the part of the text ends that comes next: where a batch or the end of a generation
    /// begins, after the first line; and whether the text ends there.
    fn part(&mut self) -> Result<(usize, bool), ReadTextError> {
        // What a part begins with is its own.
        let mut begun = false;
        // Where a line begins, and where its end is still to be looked for.
        let (mut start, mut searched) = (0, 0);
        loop {
            let rest = self.text.get(searched..).unwrap_or(&[]);
            let end = memchr::memchr(b'\n', rest).map(|at| at.saturating_add(searched));
            if end.is_none() {
                searched = self.text.len();
                if self.more()? {
                    continue;
                }
            }
            let line = self.text.get(start..end.unwrap_or(searched));
            let starts = starts_a_part(line.unwrap_or(&[]));
            if starts && begun {
                return Ok((start, false));
            }
            let Some(end) = end else {
                return Ok((searched, true));
            };
            begun |= starts;
            start = end.saturating_add(1);
            searched = start;
        }
    }

    /// Reads on; says whether there was more.
    fn more(&mut self) -> Result<bool, ReadTextError> {
        let len = self.text.len();
        if len > self.limit || self.text.try_reserve(BLOCK).is_err() {
            // What memory there is may be less than the limit.
            let kind = TextErrorKind::TooLong(num::wide(self.limit.min(len)));
            return Err(TextError::new(kind, self.lines.saturating_add(1)).into());
        }
        self.text.resize(len.saturating_add(BLOCK), 0);
        let free = self.text.get_mut(len..).unwrap_or(&mut []);
        let read = loop {
            match self.source.read(free) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let read_len = read.as_ref().map_or(0, |read| *read);
        self.text.truncate(len.saturating_add(read_len));
        Ok(read? > 0)
    }

    /// Assembles the text up to `end`, and drops it.
    fn assemble(&mut self, end: usize) -> Result<(), ReadTextError> {
        let part = self.text.get(..end).unwrap_or(&self.text);
        let text = core::str::from_utf8(part).map_err(|error| {
            let before = part.get(..error.valid_up_to()).unwrap_or(&[]);
            let line = lines(before).saturating_add(1);
            TextError::new(TextErrorKind::NotUtf8, self.lines.saturating_add(line))
        })?;
        let before = self.lines;
        let located = |error: TextError| match error.line() {
            0 => error,
            line => TextError::new(error.kind(), before.saturating_add(line)),
        };
        let mut assembler = Assembler::new(text, self.version).map_err(located)?;
        // Each part gets a header, which is that of the trace once.
        if let Some(header) = assembler.next().map_err(located)?
            && !self.begun
        {
            self.begun = true;
            self.version = Version::from_header(header).ok();
            self.piece.extend_from_slice(header);
        }
        while let Some(piece) = assembler.next().map_err(located)? {
            self.piece.extend_from_slice(piece);
        }
        self.lines = before.saturating_add(lines(part));
        self.text.drain(..end);
        Ok(())
    }
}

/// How many lines end in a text.
fn lines(text: &[u8]) -> u64 {
    num::wide(memchr::memchr_iter(b'\n', text).count())
}

/// Whether a line begins a batch, or ends a generation.
fn starts_a_part(line: &[u8]) -> bool {
    // No other name begins as these do, and lines of events are many.
    let short = line.trim_ascii_start();
    if !matches!(short.first(), None | Some(b'E' | 0x80..)) {
        return false;
    }
    let Ok(line) = core::str::from_utf8(line) else {
        return false;
    };
    let name = EventType::from_name(word(line).0);
    matches!(
        name,
        Some(EventType::EVENT_BATCH | EventType::EXPERIMENTAL_BATCH | EventType::END_OF_GENERATION)
    )
}

impl<R> fmt::Debug for StreamAssembler<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamAssembler")
            .field("version", &self.version)
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ReadTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadTextError::Io(error) => error.fmt(f),
            ReadTextError::Text(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ReadTextError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            ReadTextError::Io(error) => Some(error),
            ReadTextError::Text(error) => Some(error),
        }
    }
}

impl From<io::Error> for ReadTextError {
    fn from(error: io::Error) -> Self {
        ReadTextError::Io(error)
    }
}

impl From<TextError> for ReadTextError {
    fn from(error: TextError) -> Self {
        ReadTextError::Text(error)
    }
}

#[cfg(test)]
mod tests {
    use super::super::assemble;
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    /// Gives a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = buffer.len().min(self.1);
            self.0.read(&mut buffer[..len])
        }
    }

    fn streamed(text: &[u8], step: usize) -> Result<Vec<u8>, ReadTextError> {
        let mut assembler = StreamAssembler::new(Slow(text, step), None);
        let mut trace = Vec::new();
        while let Some(piece) = assembler.next()? {
            trace.extend_from_slice(piece);
        }
        Ok(trace)
    }

    /// Lines of all kinds, in any order.
    fn line() -> impl Strategy<Value = &'static str> {
        proptest::sample::select(
            &[
                "EventBatch gen=1 m=2 time=3 size=9",
                " \u{3000}EventBatch gen=2 m=2 time=3 # a batch",
                "ExperimentalBatch exp=1 gen=1 m=2 time=3",
                "\tdata=\"EndOfGeneration\"",
                "EndOfGeneration",
                "# EventBatch",
                "Strings",
                "String id=5",
                "ProcStop dt=4",
                "Stack id=1",
                "pc=1 func=2 file=3 line=4",
                "Trace Go1.26",
                "",
                "EventBatches",
            ][..],
        )
    }

    proptest! {
        #[test]
        fn a_stream_of_text_is_the_text(
            lines in proptest::collection::vec(line(), 0..20),
            headless in proptest::bool::weighted(0.05),
            step in 1usize..200,
        ) {
            let mut text = lines.join("\n");
            if !headless {
                text.insert_str(0, "Trace Go1.26\n");
            }
            let whole = assemble(&text, None).map_err(|e| e.to_string());
            let streamed = streamed(text.as_bytes(), step).map_err(|e| e.to_string());
            prop_assert_eq!(streamed, whole);
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let error = streamed(b"Trace Go1.26\nEventBatch gen=1 m=2 time=3\n\xff\n", 64).unwrap_err();
        assert_eq!(error.to_string(), "line 3: the text is not UTF-8");
        let endless = io::repeat(0);
        let error = StreamAssembler::new(endless, None).next().unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 1: a batch takes more than 67108864 bytes of text, the limit"
        );
        let text =
            b"Trace Go1.26\nEventBatch gen=1 m=2 time=3\nEndOfGeneration\n".chain(endless_events());
        let mut assembler = StreamAssembler::new(text, None).with_batch_limit(1 << 20);
        assert!(assembler.next().unwrap().is_some());
        let error = assembler.next().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("line 3: a batch takes more than 1048576 ")
        );
        assert!(assembler.next().unwrap().is_none());
    }

    fn endless_events() -> impl Read {
        struct Events;
        impl Read for Events {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let line = b"GoDestroy dt=1\n";
                let len = buffer.len() / line.len() * line.len();
                let lines = buffer[..len].chunks_mut(line.len());
                lines.for_each(|to| to.copy_from_slice(line));
                Ok(len)
            }
        }
        Events
    }
}
