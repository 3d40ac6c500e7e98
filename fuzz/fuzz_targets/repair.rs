//! Would find: damage that makes repairing panic, never end or take more memory than the trace's length
//! warrants, repaired traces that a strict reader refuses, and those that are not the same when they are
//! repaired again.
#![no_main]

use gotrace::{Trace, rewrite};
use gotrace_fuzz::heap::Heap;
use gotrace_fuzz::mutate;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

#[global_allocator]
static HEAP: Heap = Heap::new();

/// The bytes that repairing may take besides its output, and those for each byte of a trace: a name that is
/// missing takes some hundred.
const MEMORY: (usize, usize) = (4 << 20, 512);

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(damaged) = Trace::new(bytes) else {
        return;
    };
    let repair = |trace: &Trace<'_>| {
        let mut out = Vec::new();
        let repaired = rewrite::repair(trace, |piece| out.extend_from_slice(piece));
        (out, repaired.expect("memory"))
    };
    let ((out, repaired), peak) = HEAP.peak_of(|| repair(&damaged));
    let bound = MEMORY.0 + MEMORY.1 * bytes.len();
    assert!(peak <= bound, "{peak} bytes for {}", bytes.len());
    assert!(repaired.changes.len() <= rewrite::Repairer::MOST_CHANGES);

    let sound = Trace::new(&out).expect("a header");
    let mut reader = sound.reader();
    while reader.next().expect("a valid trace").is_some() {}
    assert!(reader.ending(None).is_complete());

    let (again, repaired) = repair(&sound);
    assert!(repaired.is_unchanged());
    assert!(again == out);
});
