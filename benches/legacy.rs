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

    let mut fastest = f64::MAX;
    let (mut count, mut most) = (0, 0);
    for _ in 0..RUNS {
        let start = Instant::now();
        let (result, peak) = HEAP.peak_of(|| events(&trace));
        let nanoseconds = start.elapsed().as_secs_f64() * 1e9;
        count = result.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        fastest = fastest.min(nanoseconds / count as f64);
        most = most.max(peak);
    }
    println!(
        "gotrace: {count} events, {fastest:.1} ns an event, memory beyond the trace {:.2} times its size",
        most as f64 / bytes.len() as f64
    );
    // Cargo says `--bench` when this is to be measured, not only tried.
    if std::env::args().any(|arg| arg == "--bench")
        && let Some(go) = Go::find()
    {
        let theirs = go.reference().time(&path, RUNS);
        println!(
            "{}: {:.1} ns an event, {:.1} times as long",
            go.version(),
            theirs.ns_an_event,
            theirs.ns_an_event / fastest
        );
    }
}
