//! Traces of before Go 1.22 take no more memory than is documented, and those that mean harm cost in
//! proportion to their length: time, but for a logarithm, and memory.
#![cfg(feature = "std")]

#[path = "../reading/legacy/text.rs"]
mod text;

use crate::{HEAP, alone, assert_in_proportion, common};
use gotrace::Trace;
use std::fmt::Write as _;

/// How many times its length a trace may take of memory, and what even the smallest may take.
const MEMORY: usize = 64;
const SPARE: usize = 1 << 20;

type Make = fn(usize) -> String;

/// Each with what it does.
const CASES: &[(&str, Make)] = &[
    ("many procs wait for one goroutine that never comes", |n| {
        let mut text = busy(n);
        for p in 0..n {
            write!(
                text,
                "Batch p={} ticks=101\nGoStart dt=1 g=9 seq=1\n",
                p + 1
            )
            .unwrap();
        }
        text
    }),
    (
        "many procs wait for numbers of one goroutine that come last",
        |n| {
            let mut text = busy(n);
            for p in 0..n {
                let seq = 10 * n + p;
                write!(
                    text,
                    "Batch p={} ticks=101\nGoStart dt=1 g=1 seq={seq}\n",
                    p + 1
                )
                .unwrap();
            }
            text
        },
    ),
    ("many goroutines", |n| {
        let mut text = busy(1);
        for g in 0..n {
            writeln!(text, "GoCreate dt=1 g={}", 1000 + g).unwrap();
        }
        text
    }),
    ("many goroutines with ids far from each other", |n| {
        let mut text = busy(1);
        for g in 0..n as u64 {
            writeln!(
                text,
                "GoCreate dt=1 g={}",
                (g + 9).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            )
            .unwrap();
        }
        text
    }),
    ("system calls whose next event never comes", |n| {
        let mut text = busy(1);
        for _ in 0..n {
            writeln!(text, "GoSysCall dt=1").unwrap();
        }
        text
    }),
    ("regions that never end", |n| {
        let mut text = busy(1);
        for _ in 0..n {
            writeln!(text, "UserRegion dt=1 taskid=1 mode=0").unwrap();
        }
        text
    }),
    ("strings, stacks and program counters", |n| {
        let mut text = busy(1);
        for id in 0..n {
            let pc = id + 5;
            write!(
                text,
                "String id={pc} data=\"x\"\nStack id={pc} size=1\n\tpc={pc}\n"
            )
            .unwrap();
        }
        text
    }),
    ("many collections", |n| {
        let mut text = busy(1);
        for seq in 0..n {
            write!(text, "GCStart dt=1 seq={seq}\nGCDone dt=1\n").unwrap();
        }
        text
    }),
];

/// A goroutine that yields and starts again, so many times.
fn busy(n: usize) -> String {
    let mut text = "Batch p=0 ticks=100\nProcStart dt=1 thread=7\nGoCreate dt=1 g=1\n\
        GoStart dt=1 g=1 seq=1\nGomaxprocs dt=1 procs=1\n"
        .to_owned();
    for seq in 0..n {
        write!(text, "GoSched dt=1\nGoStart dt=1 g=1 seq={}\n", seq + 2).unwrap();
    }
    text
}

fn trace(make: Make, n: usize) -> Vec<u8> {
    text::assemble(&(make(n) + "Frequency freq=1000\n"))
}

fn read(bytes: &[u8]) {
    let trace = Trace::new(bytes).unwrap();
    let mut reader = trace.reader();
    while let Ok(Some(event)) = reader.next() {
        std::hint::black_box(event.kind());
    }
}

#[test]
fn memory_is_a_multiple_of_the_input() {
    alone!();
    for (name, make) in CASES {
        let bytes = trace(*make, 20_000);
        let ((), peak) = HEAP.peak_of(|| read(&bytes));
        let bound = MEMORY * bytes.len() + SPARE;
        assert!(peak < bound, "{name}: {peak} for {}", bytes.len());
        eprintln!("{name}: {:.1}", peak as f64 / bytes.len() as f64);
    }
}

#[test]
fn time_grows_with_the_input() {
    alone!();
    for (name, make) in CASES {
        let (small, large) = (trace(*make, 1500), trace(*make, 60_000));
        assert_in_proportion(name, || read(&small), || read(&large));
    }
}

/// What a reader takes, beyond the trace itself.
#[test]
fn memory_is_less_than_one_and_a_half_traces() {
    alone!();
    for name in [
        "gc-go1.21.trace",
        "http-go1.21.trace",
        "stress_1_11_good",
        "stress_1_19_good",
        "stress_1_21_good",
    ] {
        let path = common::fixtures_dir().join("legacy").join(name);
        let bytes = std::fs::read(path).unwrap();
        let read = || {
            let opened = Trace::new(&bytes).unwrap();
            let mut reader = opened.reader();
            let mut count = 0;
            while reader.next().unwrap().is_some() {
                count += 1;
            }
            count
        };
        let (count, peak) = HEAP.peak_of(read);
        assert!(count > 1000);
        let most = bytes.len() * 3 / 2;
        assert!(peak < most, "{name}: {peak} of {most}");
    }
}
