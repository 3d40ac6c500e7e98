//! What lenient reading costs on sound traces: how many instructions it takes for each that strict reading
//! takes. Fails where that is above the limit.
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

use gotrace::Trace;
use gotrace::reader::Item;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// How much more lenient reading may cost.
const LIMIT: f64 = 1.05;
/// Times differ by more than that where other programs run.
const SLACK: f64 = 1.05;
const RUNS: usize = 21;

/// The two ways to read; each gives a number that depends on every event.
const MODES: [(&str, fn(&Trace<'_>) -> i64); 2] = [("strict", strict), ("lenient", lenient)];

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

/// How many instructions it takes to read a trace in this mode, as valgrind counts them.
fn instructions(mode: &str, path: &Path) -> f64 {
    let this = std::env::current_exe().expect("the name of this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=*::{mode}"))
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
fn times(trace: &Trace<'_>) -> [f64; 2] {
    let mut best = [f64::MAX; 2];
    for _ in 0..RUNS {
        for ((_, read), best) in MODES.iter().zip(&mut best) {
            let start = Instant::now();
            std::hint::black_box(read(trace));
            *best = best.min(start.elapsed().as_secs_f64() * 1e9);
        }
    }
    best
}

fn bytes_of(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // Valgrind runs this program for one mode and one trace.
    if let Some((_, read)) = MODES
        .iter()
        .find(|(name, _)| args.first().is_some_and(|arg| arg == name))
    {
        let bytes = bytes_of(Path::new(&args[1]));
        let trace = Trace::new(&bytes).expect("a trace");
        std::hint::black_box(read(&trace));
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
    let limit = if counted { LIMIT } else { LIMIT * SLACK };
    println!("trace | {unit}, strict | lenient | ratio");
    let mut missed = Vec::new();
    for path in paths {
        let bytes = bytes_of(&path);
        let trace = Trace::new(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let [strict, lenient] = match (measured, counted) {
            (_, true) => MODES.map(|(mode, _)| instructions(mode, &path)),
            (true, _) => times(&trace),
            // Tried only.
            _ => MODES.map(|(_, read)| read(&trace) as f64),
        };
        let ratio = lenient / strict;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        println!("{name} | {strict:.0} | {lenient:.0} | {ratio:.3}");
        if measured && ratio > limit {
            missed.push(format!("{name}: {ratio:.3}, the limit is {limit:.3}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
