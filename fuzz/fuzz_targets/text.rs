//! Would find: text that makes its reader panic or never end, an error on a line that is not there;
//! text that is assembled into what is disassembled as something else; a trace whose text form is
//! not assembled into the same trace.
#![no_main]

use gotrace::Trace;
use gotrace::wire::text::{HeaderLine, TextError, TextReader};
use gotrace::wire::{Chunk, EventType, HEADER_LEN, Version, assemble};
use gotrace_fuzz::mutate;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use std::fmt::Write;

// Seeds are traces: on the way they turn into text.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    match disassembled(&data[..size]) {
        Some((text, _)) if seed.is_multiple_of(4) => {
            let size = text.len().min(max_size);
            data[..size].copy_from_slice(&text.as_bytes()[..size]);
            size
        }
        Some(_) => mutate(data, size, max_size, seed),
        None => fuzzer_mutate(data, size, max_size),
    }
});

fuzz_target!(|bytes: &[u8]| {
    if let Some((text, sound)) = disassembled(bytes) {
        let again = read(&text).expect("what is disassembled can be assembled");
        let (text_again, _) = disassembled(&again).expect("a trace");
        // Sizes count padding.
        let same = without_sizes(&text).eq(without_sizes(&text_again));
        assert!(same || !sound, "{text}\n{text_again}");
    } else {
        let _ = read(&String::from_utf8_lossy(bytes));
    }
});

fn without_sizes(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| {
        let size = line
            .strip_prefix("EventBatch")
            .and(line.rsplit_once(" size="));
        size.map_or(line, |(line, _)| line)
    })
}

/// Assembles text; what comes of it is disassembled to text that says the same.
fn read(text: &str) -> Result<Vec<u8>, TextError> {
    let lines = text.split('\n').count() as u64;
    let check = |error: TextError| {
        assert!(error.line() <= lines, "{error}, of {lines}");
        assert!(!error.to_string().is_empty());
        error
    };
    let mut records = 0;
    let mut last = 0;
    // A batch of experiment 0 is an ordinary one, and is shown as that.
    let mut shown_as_is = true;
    let failed = TextReader::new(text).and_then(|mut reader| {
        while let Some(record) = reader.next()? {
            assert!(record.line() > last);
            last = record.line();
            records += 1;
            shown_as_is &= record.ty() != EventType::EXPERIMENTAL_BATCH || record.args()[0] != 0;
        }
        Ok(())
    });
    let trace = assemble(text, Some(Version::Go126)).map_err(check);
    if let Err(error) = failed.map_err(check) {
        assert!(error.line() > last || error.line() == 0);
        // What is outside of a batch may come before.
        assert!(trace.is_err_and(|first| first.line() <= error.line()));
        return Err(error);
    }
    let trace = trace?;
    assert!(records <= lines && trace.len() <= HEADER_LEN + text.len());
    if shown_as_is && let Some((again, true)) = disassembled(&trace) {
        assert_eq!(assemble(&again, None).as_deref(), Ok(&trace[..]), "{again}");
    }
    Ok(trace)
}

/// The text form of a trace, as far as it is one, and whether that is all of it.
fn disassembled(bytes: &[u8]) -> Option<(String, bool)> {
    let trace = Trace::new(bytes).ok()?;
    // Older ones have another text form, of which no trace is made.
    trace.version().has_generations().then_some(())?;
    let mut text = String::new();
    writeln!(text, "{}", HeaderLine(trace.version())).unwrap();
    for chunk in trace.batches() {
        let Ok(chunk) = chunk else {
            return Some((text, false));
        };
        writeln!(text, "{chunk}").unwrap();
        let Chunk::Batch(batch) = chunk else {
            continue;
        };
        for record in batch.records() {
            let Ok(record) = record else {
                return Some((text, false));
            };
            writeln!(text, "{record}").unwrap();
        }
    }
    Some((text, true))
}
