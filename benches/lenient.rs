//! What lenient reading costs on sound traces, and repairing on sound and on damaged ones: how many
//! instructions each takes for one that strict reading takes. And how much memory repairing takes: the most
//! that is in use at a time, in bytes for each of the trace's largest generation. Fails where one of these
//! is above its limit.
//!
//! The damaged trace is the same with a kilobyte of zeros in its middle, and without its last tenth.
//!
//! Reads the traces that the environment variable `GOTRACE_BENCH` names, or some fixtures:
//!
//! ```text
//! GOTRACE_BENCH=small.trace:large.trace cargo bench --bench lenient
//! ```
//!
//! Valgrind counts the instructions, which are the same each time; without it, times are measured in
//! turns, the best of which count.

#[path = "../tests/common/mod.rs"]
mod common;

use common::heap::Heap;
use gotrace::Trace;
use gotrace::reader::Item;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// How much more lenient reading may cost.
const LIMIT: f64 = 1.05;
/// The goal is a third of the speed of strict reading, and nine tenths of that are the least.
const REPAIR_LIMIT: f64 = 3.0 / 0.9;
/// The goal is two generations, and a megabyte for what does not grow with them.
const MEMORY_LIMIT: f64 = 2.0 / 0.9;
const MEGABYTE: f64 = 1_048_576.0;
/// Times differ by more than that where other programs run.
const SLACK: f64 = 1.05;
const RUNS: usize = 21;

/// Reads a trace; gives a number that depends on every event.
type Read = fn(&Trace<'_>) -> i64;

const MODES: [(&str, Read); 3] = [("strict", strict), ("lenient", lenient), ("repair", repair)];

#[global_allocator]
static HEAP: Heap = Heap::new();

#[inline(never)]
fn strict(trace: &Trace<'_>) -> i64 {
    let mut reader = trace.reader();
    let mut sum = 0;
    while let Some(event) = reader.next().expect("a sound trace") {
        sum ^= event.time().0;
    }
    sum
}

#[inline(never)]
fn lenient(trace: &Trace<'_>) -> i64 {
    let mut reader = trace.reader().lenient();
    let mut sum = 0;
    while let Some(item) = reader.next().expect("a growing reader") {
        if let Item::Event(event) = item {
            sum ^= event.time().0;
        }
    }
    assert!(reader.losses().is_nothing(), "{}", reader.losses());
    sum
}

#[inline(never)]
fn repair(trace: &Trace<'_>) -> i64 {
    let mut written = 0;
    let repaired = gotrace::rewrite::repair(trace, |piece| written += piece.len() as i64);
    let repaired = repaired.expect("memory");
    assert!(repaired.written.events > 0);
    written
}

/// The trace with a kilobyte of zeros in its middle, and without its last tenth.
fn damaged(bytes: &[u8]) -> Vec<u8> {
    let mut damaged = bytes[..bytes.len() / 10 * 9].to_vec();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 1024].fill(0);
    damaged
}

/// How many bytes the largest generation of a trace has.
fn largest_generation(trace: &Trace<'_>) -> f64 {
    let generations = trace.generations().map_while(Result::ok);
    let sizes = generations.map(|generation| generation.end.0 - generation.start.0);
    sizes.max().expect("a generation") as f64
}

/// How many instructions it takes to read a trace in this mode, as valgrind counts them.
fn instructions(mode: &str, path: &Path) -> f64 {
    let this = std::env::current_exe().expect("the name of this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        // The function here, not one of the crate that has the same name.
        .arg(format!("--toggle-collect=lenient::{mode}"))
        .args([this.as_os_str(), mode.as_ref(), path.as_os_str()])
        .output()
        .expect("valgrind");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let collected = text.lines().find_map(|l| l.split_once("Collected :"));
    let count = collected.and_then(|(_, count)| count.trim().parse().ok());
    count.unwrap_or_else(|| panic!("valgrind counts nothing: {text}"))
}

/// The best of several times, in turns, in nanoseconds.
fn times(traces: [(&str, &Trace<'_>); 4]) -> [f64; 4] {
    let mut best = [f64::MAX; 4];
    for _ in 0..RUNS {
        for ((mode, trace), best) in traces.iter().zip(&mut best) {
            let start = Instant::now();
            std::hint::black_box(read_as(mode)(trace));
            *best = best.min(start.elapsed().as_secs_f64() * 1e9);
        }
    }
    best
}

fn read_as(mode: &str) -> Read {
    let (_, read) = MODES.iter().find(|(name, _)| *name == mode).expect(mode);
    *read
}

fn bytes_of(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // Valgrind runs this program for one mode and one trace.
    if let [mode, path] = &args[..] {
        let bytes = bytes_of(Path::new(path));
        let trace = Trace::new(&bytes).expect("a trace");
        std::hint::black_box(read_as(mode)(&trace));
        return;
    }
    // Cargo says `--bench` when this is to be measured, not only tried.
    let measured = args.iter().any(|arg| arg == "--bench");
    let paths: Vec<PathBuf> = match std::env::var_os("GOTRACE_BENCH") {
        Some(paths) => std::env::split_paths(&paths).collect(),
        None => ["http-go1.27", "gc-go1.23", "syscalls-go1.25"]
            .map(|name| common::fixture(name).path)
            .to_vec(),
    };
    let counted = measured && Command::new("valgrind").arg("--version").output().is_ok();
    let unit = if counted { "instructions" } else { "ns" };
    let slack = if counted { 1.0 } else { SLACK };
    println!(
        "trace | {unit}, strict | lenient | repair | repair of damage | its memory, generations"
    );
    let mut missed = Vec::new();
    for path in paths {
        let bytes = bytes_of(&path);
        let trace = Trace::new(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let damaged = damaged(&bytes);
        let wreck = Trace::new(&damaged).expect("a header");
        let runs = [
            ("strict", &trace),
            ("lenient", &trace),
            ("repair", &trace),
            ("repair", &wreck),
        ];
        let file = std::env::temp_dir().join(format!("gotrace-bench-{}", std::process::id()));
        let costs = match (measured, counted) {
            (_, true) => {
                std::fs::write(&file, &damaged).expect("a temporary file");
                let paths = [&path, &path, &path, &file];
                let mut paths = paths.into_iter();
                let costs = runs.map(|(mode, _)| instructions(mode, paths.next().expect("four")));
                std::fs::remove_file(&file).ok();
                costs
            }
            (true, _) => times(runs),
            // Tried only.
            _ => runs.map(|(mode, trace)| read_as(mode)(trace) as f64),
        };
        let [strict, lenient, sound, wrecked] = costs.map(|cost| cost / costs[0]);
        let generation = largest_generation(&trace);
        let peak = |trace| HEAP.peak_of(|| repair(trace)).1 as f64 / generation;
        let memory = peak(&trace).max(peak(&wreck));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        println!(
            "{name} | {:.0} | {lenient:.3} | {sound:.3} | {wrecked:.3} | {memory:.2}",
            strict * costs[0]
        );
        for (what, value, limit) in [
            ("lenient", lenient, LIMIT * slack),
            ("repair", sound, REPAIR_LIMIT * slack),
            // Of nine tenths of the trace.
            ("repair of damage", wrecked, REPAIR_LIMIT * slack * 0.9),
            (
                "memory of repair",
                memory,
                MEMORY_LIMIT + MEGABYTE / generation,
            ),
        ] {
            if measured && value > limit {
                missed.push(format!(
                    "{name}: {what}: {value:.3}, the limit is {limit:.3}"
                ));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
