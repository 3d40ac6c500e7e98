//! How fast events are put in order: on one thread, on two, and by Go's reader, where Go is at hand.
//!
//! Reads the traces that the environment variable `GOTRACE_BENCH` names, or a fixture:
//!
//! ```text
//! GOTRACE_BENCH=small.trace:large.trace GO=.../go cargo bench --bench order
//! ```
//!
//! All take turns, so that what else the machine does slows each of them; the best of several runs
//! counts. Fails where a goal is missed by more than a tenth.

#[path = "../tests/common/mod.rs"]
mod common;

use common::go::Go;
use gotrace::{Trace, reader::Parallel};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

const RUNS: usize = 5;

/// How many times faster than Go's reader one thread is to be: on traces below this many bytes, and on
/// others, whose events are of more kinds.
const SMALL: usize = 64_000_000;
const FASTER: [f64; 2] = [10.0, 9.0];
/// How many times faster two threads are to be than one, where there are so many generations.
const GENERATIONS: u64 = 10;
const TWICE: f64 = 1.8;

fn on_one(trace: &Trace<'_>) -> u64 {
    let mut reader = trace.reader();
    let mut count = 0;
    while let Some(event) = reader.next().expect("a sound trace") {
        std::hint::black_box(event.time());
        count += 1;
    }
    count
}

/// Counts events on two threads; says how many generations there were, and were read again.
fn on_two(trace: &Trace<'_>) -> (u64, u64, u64) {
    let mut count = 0;
    let result = Parallel::new(trace).with_threads(2).fold(
        || 0,
        |count: &mut u64, event| {
            std::hint::black_box(event.time());
            *count += 1;
            ControlFlow::Continue(())
        },
        |more| {
            count += more;
            ControlFlow::Continue(())
        },
    );
    let outcome = result.expect("a sound trace");
    (count, outcome.generations, outcome.read_again)
}

fn main() {
    let paths: Vec<PathBuf> = match std::env::var_os("GOTRACE_BENCH") {
        Some(paths) => std::env::split_paths(&paths).collect(),
        None => vec![common::fixture("http-go1.27").path],
    };
    // Cargo says `--bench` when this is to be measured, not only tried.
    let measured = std::env::args().any(|arg| arg == "--bench");
    let go = if measured { Go::find() } else { None };
    let reference = go.as_ref().map(Go::reference);
    println!(
        "trace | MB | generations | events | Go ns | ns | ratio | ns on two | times one | again"
    );
    let mut missed = Vec::new();
    for path in paths {
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let trace = Trace::new(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let [mut one, mut two, mut theirs] = [f64::MAX; 3];
        let (mut events, mut generations, mut again) = (0, 0, 0);
        for _ in 0..RUNS {
            let start = Instant::now();
            events = on_one(&trace);
            one = one.min(start.elapsed().as_secs_f64() * 1e9 / events as f64);
            let start = Instant::now();
            let count;
            (count, generations, again) = on_two(&trace);
            assert_eq!(count, events, "{}", path.display());
            two = two.min(start.elapsed().as_secs_f64() * 1e9 / events as f64);
            if let Some(reference) = &reference {
                theirs = theirs.min(reference.time(&path, 1).ns_an_event);
            }
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (ratio, times) = (theirs / one, one / two);
        let shown = |x: f64| match x < f64::MAX {
            true => format!("{x:.1}"),
            false => "-".to_owned(),
        };
        println!(
            "{name} | {:.1} | {generations} | {events} | {} | {one:.1} | {} | {two:.1} | {times:.2} | {again}",
            bytes.len() as f64 / 1e6,
            shown(theirs),
            shown(if theirs < f64::MAX { ratio } else { f64::MAX }),
        );
        let [small, large] = FASTER;
        let goal = if bytes.len() < SMALL { small } else { large };
        // What a few thousand events take says little.
        let counts = measured && bytes.len() > 10_000_000;
        if counts && ratio < 0.9 * goal {
            missed.push(format!("{name}: {ratio:.1} times Go's, the goal is {goal}"));
        }
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
        if counts && generations >= GENERATIONS && processors > 1 && times < 0.9 * TWICE {
            missed.push(format!(
                "{name}: {times:.2} times one thread's, the goal is {TWICE}"
            ));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
