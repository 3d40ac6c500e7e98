//! Text to a whole trace.

use super::reader::{TextError, TextErrorKind, TextReader, TextRecord};
use crate::error::{Error, ErrorKind};
use crate::num;
use crate::wire::fields::Encoder;
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
    let mut reader = TextReader::new(text)?;
    let version = reader
        .version()
        .or(version)
        .ok_or(TextError::new(TextErrorKind::NoVersion, 0))?;
    let mut trace = Vec::from(version.header());
    let mut open: Option<TextRecord<'_>> = None;
    let mut payload = Vec::new();
    while let Some(record) = reader.next()? {
        match record.ty() {
            EventType::EVENT_BATCH => {
                close(&mut trace, open.take(), &mut payload);
                open = Some(record);
            }
            EventType::EXPERIMENTAL_BATCH | EventType::END_OF_GENERATION => {
                close(&mut trace, open.take(), &mut payload);
                append(&mut trace, &record);
            }
            _ if open.is_none() => {
                return Err(TextError::new(TextErrorKind::OutsideBatch, record.line()));
            }
            _ => append(&mut payload, &record),
        }
    }
    close(&mut trace, open, &mut payload);
    Ok(trace)
}

/// Writes a batch's header and its payload, which is then empty.
fn close(trace: &mut Vec<u8>, head: Option<TextRecord<'_>>, payload: &mut Vec<u8>) {
    let Some(head) = head else { return };
    trace.push(head.ty().0);
    let (_, named) = head.args().split_last().unwrap_or((&0, &[]));
    for number in named.iter().chain([&num::wide(payload.len())]) {
        let (bytes, len) = varint::encode(*number);
        trace.extend_from_slice(bytes.get(..len).unwrap_or(&[]));
    }
    trace.append(payload);
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
