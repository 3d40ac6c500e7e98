//! Text to a whole trace.

use super::reader::{TextError, TextErrorKind, TextReader, TextRecord};
use crate::error::{Error, ErrorKind};
use crate::num;
use crate::wire::encoder::Encoder;
use crate::wire::header::Version;
use crate::wire::spec::EventType;
use crate::wire::varint;
use alloc::vec::Vec;

/// Makes a trace of its text form: the reverse of a dump, but for padding.
///
/// The header line says the version; for a text without one, `version` does. The size of an event
/// batch is the length of the records up to the next batch or end of generation, whatever the text
/// says, for Go's runtime pads numbers that this does not pad. Nothing else is made right: a string
/// may be too long, a batch too large, a generation unfinished.
///
/// Errors: everything that can be wrong with a record; [`NoVersion`](TextErrorKind::NoVersion);
/// [`OutsideBatch`](TextErrorKind::OutsideBatch).
///
/// ```
/// use gotrace::wire::{assemble, Version};
/// let trace = assemble("EventBatch gen=1 m=7 time=300\nProcStop dt=2", Some(Version::Go122))?;
/// assert_eq!(trace, b"go 1.22 trace\0\0\0\x01\x01\x07\xac\x02\x02\x0b\x02");
/// # Ok::<(), gotrace::wire::text::TextError>(())
/// ```
pub fn assemble(text: &str, version: Option<Version>) -> Result<Vec<u8>, TextError> {
    let mut assembler = Assembler::new(text, version)?;
    let mut trace = Vec::new();
    while let Some(piece) = assembler.next()? {
        trace.extend_from_slice(piece);
    }
    Ok(trace)
}

/// [`assemble`] piece by piece: the header, then one batch or end of generation after the other.
/// Takes the memory of one batch.
#[derive(Clone, Debug)]
pub struct Assembler<'a> {
    reader: TextReader<'a>,
    /// Until it is written.
    header: Option<Version>,
    open: Option<TextRecord<'a>>,
    payload: Vec<u8>,
    piece: Vec<u8>,
}

impl<'a> Assembler<'a> {
    /// An assembler of `text`; `version` is that of a text without a header line.
    ///
    /// Errors: those of [`TextReader::new`], [`NoVersion`](TextErrorKind::NoVersion).
    pub fn new(text: &'a str, version: Option<Version>) -> Result<Self, TextError> {
        let reader = TextReader::new(text)?;
        let no_version = TextError::new(TextErrorKind::NoVersion, 0);
        Ok(Assembler {
            reader,
            header: Some(reader.version().or(version).ok_or(no_version)?),
            open: None,
            payload: Vec::new(),
            piece: Vec::new(),
        })
    }

    /// How many bytes of the text are still to be read.
    pub const fn remaining(&self) -> usize {
        self.reader.remaining()
    }

    /// The next piece of the trace; `None` at the end of the text.
    ///
    /// Errors: everything that can be wrong with a record,
    /// [`OutsideBatch`](TextErrorKind::OutsideBatch).
    #[expect(
        clippy::should_implement_trait,
        reason = "fallible, and what it gives borrows from it"
    )]
    pub fn next(&mut self) -> Result<Option<&[u8]>, TextError> {
        self.piece.clear();
        if let Some(version) = self.header.take() {
            self.piece.extend_from_slice(version.header());
            return Ok(Some(&self.piece));
        }
        while self.piece.is_empty() {
            let Some(record) = self.reader.next()? else {
                self.close();
                break;
            };
            match record.ty() {
                EventType::EVENT_BATCH => {
                    self.close();
                    self.open = Some(record);
                }
                EventType::EXPERIMENTAL_BATCH | EventType::END_OF_GENERATION => {
                    self.close();
                    append(&mut self.piece, &record);
                }
                _ if self.open.is_none() => {
                    return Err(TextError::new(TextErrorKind::OutsideBatch, record.line()));
                }
                _ => append(&mut self.payload, &record),
            }
        }
        Ok((!self.piece.is_empty()).then_some(&self.piece))
    }

    /// Writes the open batch, if there is one: its header, and its payload, whose length is known
    /// now.
    fn close(&mut self) {
        let Some(head) = self.open.take() else { return };
        self.piece.push(head.ty().0);
        let (_, named) = head.args().split_last().unwrap_or((&0, &[]));
        for number in named.iter().chain([&num::wide(self.payload.len())]) {
            let (bytes, len) = varint::encode(*number);
            self.piece
                .extend_from_slice(bytes.get(..len).unwrap_or(&[]));
        }
        self.piece.append(&mut self.payload);
    }
}

/// Writes a record, in as much room as it takes.
fn append(bytes: &mut Vec<u8>, record: &TextRecord<'_>) {
    let start = bytes.len();
    // Enough for any timed event.
    let mut room = 64usize;
    loop {
        bytes.resize(start.saturating_add(room), 0);
        let mut out = Encoder::new(bytes.get_mut(start..).unwrap_or(&mut []));
        let written = record.encode(&mut out);
        let len = out.len();
        bytes.truncate(start.saturating_add(len));
        match written.map_err(|e: Error| e.kind()) {
            Err(ErrorKind::NoSpace) => room = room.saturating_mul(4),
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn the_size_of_a_batch_is_what_follows() {
        let trace = assemble(
            "Trace Go1.26
             EventBatch gen=1 m=2 time=3 size=1000
             ProcStop dt=4
             ProcStop dt=300
             EventBatch gen=1 m=5 time=6
             ExperimentalBatch exp=1 gen=1 m=2 time=3
                data=\"ab\"
             EndOfGeneration
             EventBatch gen=2 m=2 time=3
             Strings",
            None,
        )
        .unwrap();
        let body = [
            &[1, 1, 2, 3, 5, 11, 4, 11, 0xac, 2][..],
            &[1, 1, 5, 6, 0],
            &[49, 1, 1, 2, 3, 2, b'a', b'b'],
            &[52],
            &[1, 2, 2, 3, 1, 4],
        ];
        assert_eq!(trace[..16], *Version::Go126.header());
        assert_eq!(trace[16..], body.concat());
    }

    #[test]
    fn limits_are_not_checked() {
        let long = "x".repeat(3000);
        let text = alloc::format!("EventBatch gen=1 m=1 time=0\nString id=1\ndata=\"{long}\"");
        let trace = assemble(&text, Some(Version::Go122)).unwrap();
        assert!(trace.ends_with(long.as_bytes()));
    }

    #[test]
    fn the_version_is_the_header_lines_before_the_callers() {
        let trace = assemble("Trace Go1.23", Some(Version::Go122)).unwrap();
        assert_eq!(trace, Version::Go123.header());
        let error = assemble("", None).unwrap_err();
        assert_eq!(error.kind(), TextErrorKind::NoVersion);
    }

    #[test]
    fn records_stand_in_batches() {
        for text in [
            "Trace Go1.26\nStrings",
            "Trace Go1.26\nEndOfGeneration\nProcStop dt=1",
            "Trace Go1.26\nExperimentalBatch exp=1 gen=1 m=1 time=1\nProcStop dt=1",
        ] {
            let error = assemble(text, None).unwrap_err();
            assert_eq!(error.kind(), TextErrorKind::OutsideBatch);
            assert_eq!(error.line(), text.lines().count() as u64);
            assert!(error.to_string().starts_with("line "));
        }
    }
}
