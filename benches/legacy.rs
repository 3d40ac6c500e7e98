//! How fast traces of before Go 1.22 are read and with how much memory, side by side with Go's reader,
//! where Go is at hand.
//!
//! Reads the trace that the environment variable `GOTRACE_BENCH` names, or a fixture, on one thread:
//!
//! ```text
//! GOTRACE_BENCH=http-go1.21.trace GO=.../go cargo bench --bench legacy
//! ```

#[path = "../tests/common/mod.rs"]
mod common;

use common::go::Go;
use common::heap::Heap;
use gotrace::{Error, Trace};
use std::path::PathBuf;
use std::time::Instant;

#[global_allocator]
static HEAP: Heap = Heap::new();

const RUNS: usize = 5;

/// How many times faster than Go's reader this is to be, and how much memory it may take beyond the
/// trace, as a multiple of that.
const FASTER: f64 = 10.0;
const MEMORY: f64 = 1.5;

fn events(trace: &Trace<'_>) -> Result<u64, Error> {
    let mut reader = trace.reader();
    let mut count = 0;
    while let Some(event) = reader.next()? {
        std::hint::black_box(event.time());
        count += 1;
    }
    Ok(count)
}

fn main() {
    let path = std::env::var_os("GOTRACE_BENCH").map_or_else(
        || common::fixtures_dir().join("legacy/http-go1.21.trace"),
        |path| PathBuf::from(&path),
    );
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let trace = Trace::new(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    println!("{}, {} bytes", path.display(), bytes.len());

    // Cargo says `--bench` when this is to be measured, not only tried.
    let go = match std::env::args().any(|arg| arg == "--bench") {
        true => Go::find(),
        false => None,
    };
    let reference = go.as_ref().map(|go| go.reference());
    let (mut fastest, mut theirs) = (f64::MAX, f64::MAX);
    let (mut count, mut most) = (0, 0);
    // In turn, so that what else the machine does slows both.
    for _ in 0..RUNS {
        let start = Instant::now();
        let (result, peak) = HEAP.peak_of(|| events(&trace));
        let nanoseconds = start.elapsed().as_secs_f64() * 1e9;
        count = result.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        fastest = fastest.min(nanoseconds / count as f64);
        most = most.max(peak);
        if let Some(reference) = &reference {
            theirs = theirs.min(reference.time(&path, 1).ns_an_event);
        }
    }
    let memory = most as f64 / bytes.len() as f64;
    println!(
        "gotrace: {count} events, {fastest:.1} ns an event, memory beyond the trace {memory:.2} times its size"
    );
    let Some(go) = go else { return };
    let ratio = theirs / fastest;
    println!(
        "{}: {theirs:.1} ns an event, {ratio:.1} times as long",
        go.version()
    );
    // What a few thousand events take says little.
    let large = bytes.len() > 10_000_000;
    assert!(!large || ratio > 0.9 * FASTER, "the goal is {FASTER} times");
    assert!(
        !large || memory < MEMORY,
        "the goal is {MEMORY} times the trace"
    );
}
