//! How time and memory grow with traces that mean harm: `tests/common/hostile.rs` says which.
//!
//! Prints, for each case and for sizes that double, the time of the ordered reader over a slice and
//! over a stream, of the tables alone, and of Go's reader where Go is at hand; and the most memory
//! that each used. Where time is in proportion to size, nanoseconds a byte stay what they are.
//!
//! `cargo bench --bench hostile -- [NAME]` measures the cases whose name holds the words given.

#[path = "../tests/common/mod.rs"]
mod common;

use common::go::{Go, Reference};
use common::heap::Heap;
use common::hostile::{CASES, Case};
use gotrace::{Growing, ReadError, StreamReader, Trace, generation::GenerationTables};
use std::hint::black_box;
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Heap = Heap::new();

/// A way through a trace, to its end or to the first error.
type Way = fn(&[u8]);

const WAYS: &[(&str, Way)] = &[("slice", slice), ("stream", stream), ("tables", tables)];

fn slice(trace: &[u8]) {
    let trace = Trace::new(trace).expect("a header");
    let mut reader = trace.reader();
    while let Ok(Some(event)) = reader.next() {
        black_box(event.time());
    }
}

fn stream(trace: &[u8]) {
    let mut reader = StreamReader::new(trace).expect("a header");
    loop {
        match reader.next() {
            Ok(Some(event)) => drop(black_box(event.time())),
            Ok(None) | Err(ReadError::Trace(_)) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn tables(trace: &[u8]) {
    let trace = Trace::new(trace).expect("a header");
    for generation in trace.generations() {
        let Ok(generation) = generation else { return };
        drop(black_box(GenerationTables::<Growing>::load(
            &trace,
            &generation,
        )));
    }
}

/// Sizes double from the first to the last; one more would take too long for a look.
const FIRST: usize = 1 << 14;
const LAST: usize = 1 << 20;
/// A way that took so long for one size is not asked about the next.
const PATIENCE: Duration = Duration::from_secs(4);

fn main() {
    // Cargo passes an option of its own.
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&String> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    let go = Go::find().map(|go| go.reference());
    for case in CASES {
        if words.iter().all(|word| case.name.contains(&***word)) {
            measure(case, go.as_ref());
        }
    }
}

fn measure(case: &Case, go: Option<&Reference>) {
    println!("{}", case.name);
    let mut patient = [true; WAYS.len() + 1];
    let mut n = FIRST;
    while n <= LAST {
        let trace = (case.make)(n);
        let bytes = trace.len();
        print!("  {n:8} {:7.2} MB", bytes as f64 / 1e6);
        for ((name, way), patient) in WAYS.iter().zip(&mut patient) {
            if !*patient {
                continue;
            }
            let start = Instant::now();
            let ((), peak) = HEAP.peak_of(|| way(&trace));
            let time = start.elapsed();
            *patient = time < PATIENCE;
            let (each, times) = (per(time, bytes), peak as f64 / bytes as f64);
            print!("   {name} {each:7.1} ns/B {times:5.1}x");
        }
        if let Some(go) = go
            && patient[WAYS.len()]
        {
            let start = Instant::now();
            go.serve().verdict(&trace);
            let time = start.elapsed();
            patient[WAYS.len()] = time < PATIENCE;
            print!("   Go {:8.1} ns/B", per(time, bytes));
        }
        println!();
        n *= 2;
    }
}

fn per(time: Duration, bytes: usize) -> f64 {
    time.as_nanos() as f64 / bytes as f64
}
