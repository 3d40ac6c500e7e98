//! What to say of a file that cannot be read, beyond what the error says: that it is no trace but
//! something else, or that the Go that wrote it is at fault.

use super::output;
use gotrace::source::open::{Input, Strange};
use gotrace::{ErrorKind, ReadError};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The first bytes of standard input, which cannot be read again.
static HEAD: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static FULL: AtomicBool = AtomicBool::new(false);

/// Keeps the first bytes that were read of standard input.
pub fn keep(bytes: &[u8]) {
    if FULL.load(Ordering::Relaxed) {
        return;
    }
    let mut head = HEAD.lock().unwrap_or_else(PoisonError::into_inner);
    let left = Strange::LOOKS_AT.saturating_sub(head.len());
    head.extend_from_slice(bytes.get(..left).unwrap_or(bytes));
    FULL.store(head.len() >= Strange::LOOKS_AT, Ordering::Relaxed);
}

/// What an error of reading a file says, and what can be done about it.
pub fn explain(path: &Path, error: &ReadError) -> String {
    let text = output::explain(error);
    match of(path, error) {
        Some(hint) => format!("{text}: {hint}"),
        None => text,
    }
}

/// What is to be said of events that cannot be put in order.
const NO_ORDER: &str = "if nothing damaged the trace, this is a fault of Go 1.21 where C calls Go on \
                        threads that C created; Go's reader refuses such a trace, too";

/// What kind of file it is, if it is not a sound trace from its first byte; or why it is not sound.
fn of(path: &Path, error: &ReadError) -> Option<String> {
    let ReadError::Trace(error) = error else {
        return None;
    };
    if error.kind() == ErrorKind::NoOrder {
        return Some(NO_ORDER.to_owned());
    }
    if !may_be_strange(error.kind()) {
        return None;
    }
    let mut head = Vec::new();
    // Decompressed, so that what is inside is looked at.
    if output::is_stdin(path) {
        let kept = HEAD.lock().unwrap_or_else(PoisonError::into_inner).clone();
        read(&kept[..], &mut head);
    } else {
        read(File::open(path).ok().filter(is_file)?, &mut head);
    }
    let strange = Strange::of(&head)?;
    Some(match strange {
        // The error says it.
        Strange::Empty | Strange::Zeros => return None,
        Strange::TraceInside { at, .. } => format!("{strange}; --at {at} reads it"),
        other => other.to_string(),
    })
}

fn is_file(file: &File) -> bool {
    file.metadata().is_ok_and(|file| file.is_file())
}

/// The first bytes; as many as there are before an error.
fn read(source: impl std::io::Read, head: &mut Vec<u8>) {
    if let Ok(input) = Input::new(source) {
        let _ = input.take(Strange::LOOKS_AT as u64).read_to_end(head);
    }
}

/// Whether an error is one that a file gives which is something else, or was changed on its way.
fn may_be_strange(kind: ErrorKind) -> bool {
    use ErrorKind as E;
    !matches!(
        kind,
        E::OldVersion
            | E::NewerVersion
            | E::AnotherTrace
            | E::IncompleteGeneration
            | E::MissingFrequency
            | E::GenerationTooLarge
            | E::RegionMismatch
            | E::NoProgress
            | E::TableFull(_)
    )
}
