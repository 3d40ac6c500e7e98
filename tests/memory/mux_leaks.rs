//! What the multiplexer leaves behind, alone in its process: threads, open files and memory are then
//! the process's.
#![cfg(all(target_os = "linux", feature = "std"))]

use crate::{HEAP, alone, common};

use common::live::{Endless, Random};
use gotrace::mux::{Callback, QueueConfig, Signal, TraceMultiplexer};
use gotrace::recorder::{FlightRecorderConfig, SharedRecorder};
use gotrace::source::{Playback, StreamSource};
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn count(directory: &str) -> usize {
    std::fs::read_dir(directory).expect("Linux's /proc").count()
}

/// Threads and open files.
fn kept() -> (usize, usize) {
    (count("/proc/self/task"), count("/proc/self/fd"))
}

/// Lets subscribers of all kinds join one source, and gives up everything at some moment: before it
/// began, in the middle, or when it has ended.
fn round(random: &mut Random, trace: &[u8]) {
    let (mut pipe, mut socket) = (None, None);
    let mux = match random.below(3) {
        0 => {
            let (reader, writer) = std::io::pipe().unwrap();
            pipe = Some(writer);
            TraceMultiplexer::new(StreamSource::polled(reader).unwrap()).unwrap()
        }
        1 => {
            let (reader, writer) = UnixStream::pair().unwrap();
            socket = Some(writer);
            TraceMultiplexer::new(StreamSource::polled(reader).unwrap()).unwrap()
        }
        _ => {
            let speed = random.below(2) as f64 * 1e-3;
            let playback = Playback::new(trace.to_vec()).unwrap().paced(speed);
            TraceMultiplexer::new(playback).unwrap()
        }
    };
    let hold = (random.below(4) == 0).then(|| mux.hold());
    let writer = mux.start(Vec::new()).unwrap();
    let config = FlightRecorderConfig {
        max_bytes: 50_000,
        ..FlightRecorderConfig::default()
    };
    let recorder = Arc::new(SharedRecorder::new(config));
    let recording = mux.record(&recorder).unwrap();
    let events = mux.events(QueueConfig::default());
    // Nobody takes anything from this one, for which all wait in the end.
    let stuck = mux.channel(QueueConfig::waiting(60_000));
    let panics = random.below(2) == 0;
    let fails = Callback(move |signal: &Signal| match signal {
        Signal::EndOfGeneration(_) if panics => std::panic::resume_unwind(Box::new("too much")),
        Signal::EndOfGeneration(_) => Err("enough".into()),
        _ => Ok(()),
    });
    let fails = mux
        .subscribe(fails, QueueConfig::dropping(1 << 20))
        .unwrap();
    let part = &trace[..random.below(trace.len())];
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Some(mut pipe) = pipe {
                pipe.write_all(part).ok();
            }
            if let Some(mut socket) = socket {
                socket.write_all(part).ok();
            }
        });
        std::thread::sleep(Duration::from_micros(random.below(3000) as u64));
        let late = mux.channel(QueueConfig::default());
        match random.below(3) {
            0 => drop((stuck, fails, mux, writer, recording, events, late, hold)),
            1 => drop((writer, recording, late, mux, events, fails, stuck, hold)),
            _ => {
                drop((hold, stuck, events));
                writer.leave();
                drop(mux);
                writer.wait();
                recording.wait();
                fails.wait();
                drop(late);
            }
        }
    });
}

#[test]
fn nothing_is_left_behind() {
    alone!();
    let trace = Endless::new(&common::fixture("annotate-go1.27").bytes(), 30).bytes();
    let mut random = Random::new(5);
    let before = kept();
    let settled = || {
        // Threads that were told to end may take a while.
        let waiting = Instant::now();
        while kept() != before {
            assert!(
                waiting.elapsed() < Duration::from_secs(20),
                "{:?} threads and files, and {before:?} before",
                kept()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        HEAP.used()
    };
    for _ in 0..20 {
        round(&mut random, &trace);
    }
    let early = settled();
    for _ in 0..200 {
        round(&mut random, &trace);
    }
    let late = settled();
    // Less than a byte for each subscriber.
    assert!(late < early + 1000, "{early} bytes, then {late}");
}
