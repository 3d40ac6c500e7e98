//! The multiplexer under a long trace at full speed, alone in its process: what it takes in memory
//! and threads is then what the process does.
#![cfg(feature = "std")]

use crate::{alone, common};

use common::live::{Endless, Random, generations};
use gotrace::mux::{
    Callback, EndReason, QueueConfig, Signal, Subscriber, SubscriberError, TraceMultiplexer,
};
use gotrace::recorder::{FlightRecorderConfig, SharedRecorder};
use gotrace::source::{SharedBatches, StreamSource};
use gotrace::wire::Version;
use gotrace::{Growing, Reader, Trace, ids::GenerationId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Keeps the first generation that it gets, and fails or panics after some.
struct Fickle {
    patience: usize,
    panics: bool,
    first: Vec<u8>,
    whole: bool,
}

impl Subscriber for Fickle {
    fn header(&mut self, version: Version) -> Result<(), SubscriberError> {
        if !self.whole {
            self.first = version.header().to_vec();
        }
        Ok(())
    }

    fn batches(&mut self, batches: &SharedBatches) -> Result<(), SubscriberError> {
        if !self.whole {
            self.first.extend_from_slice(batches.as_bytes());
        }
        Ok(())
    }

    fn end_of_generation(&mut self, _: GenerationId) -> Result<(), SubscriberError> {
        self.whole = true;
        self.patience = self.patience.saturating_sub(1);
        match self.patience {
            // Without a word on the terminal.
            0 if self.panics => std::panic::resume_unwind(Box::new("had too much")),
            0 => Err("had enough".into()),
            _ => Ok(()),
        }
    }
}

/// A line of `/proc/self/status`, where there is such a thing.
fn status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// How many files are open.
fn files() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

/// `GOTRACE_SOAK` is the number of generations, of about 100 KB; without it, 5000. At ten a second,
/// which is a megabyte a second, 36000 are an hour's worth; a program that is busy writes ten times
/// as much.
#[test]
fn memory_stays_flat_while_subscribers_join_fail_and_leave() {
    alone!();
    let set = std::env::var("GOTRACE_SOAK").ok();
    let count: u64 = set.map_or(5000, |n| n.parse().expect("a number of generations"));
    let trace = common::fixture("flight-go1.27").bytes();
    let (threads, open) = (status("Threads:"), files());
    let began = Instant::now();
    let mux = TraceMultiplexer::new(StreamSource::new(Endless::new(&trace, count))).unwrap();
    let at = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&at);
    let witness = Callback(move |signal: &Signal| {
        if let Signal::EndOfGeneration(number) = signal {
            seen.store(number.get(), Ordering::Relaxed);
        }
        Ok(())
    });
    let recorder = Arc::new(SharedRecorder::new(FlightRecorderConfig::default()));
    let hold = mux.hold();
    let witness = mux.subscribe(witness, QueueConfig::default()).unwrap();
    let recording = mux.record(&recorder).unwrap();
    drop(hold);
    let mut random = Random::new(count);
    let (mut early, mut rounds, mut read) = (None, 0u64, 0u64);
    while !witness.is_finished() {
        let ignore = Callback(|_: &Signal| Ok(()));
        let queue = QueueConfig::dropping(1 << random.below(22));
        let dropping = mux.subscribe(ignore, queue).unwrap();
        let fickle = Fickle {
            patience: 1 + random.below(20),
            panics: random.below(2) == 0,
            first: Vec::new(),
            whole: false,
        };
        let fickle = mux.subscribe(fickle, QueueConfig::default()).unwrap();
        let channel = mux.channel(QueueConfig::dropping(1 << 20));
        std::thread::sleep(Duration::from_micros(random.below(10_000) as u64));
        drop(dropping);
        drop(channel);
        let outcome = fickle.stop();
        if let Some(fickle) = outcome.subscriber.filter(|fickle| fickle.whole) {
            assert_eq!(generations(&fickle.first).len(), 1);
            // To read all takes longer than to make it.
            if rounds % 8 == 0 {
                let trace = Trace::new(&fickle.first).unwrap();
                let mut reader: Reader<'_, Growing> = Reader::new(&trace);
                while reader.next().unwrap().is_some() {
                    read += 1;
                }
            }
        }
        rounds += 1;
        if early.is_none() && at.load(Ordering::Relaxed) > count / 4 {
            early = status("VmRSS:");
        }
    }
    let late = status("VmRSS:");
    let witness = witness.wait();
    for end in [witness.end, recording.wait().end] {
        assert!(matches!(end, EndReason::Finished), "{end}");
    }
    assert_eq!(witness.stats.generations, count);
    assert_eq!(at.load(Ordering::Relaxed), count);
    assert!(recorder.status().unwrap().newest == GenerationId::new(count));
    let (megabytes, time) = (
        witness.stats.bytes as f64 / 1e6,
        began.elapsed().as_secs_f64(),
    );
    eprintln!(
        "{count} generations, {megabytes:.0} MB in {time:.1} s; {rounds} rounds, {read} events read; \
         resident {early:?} KiB after a quarter, {late:?} at the end, {:?} at most",
        status("VmHWM:")
    );
    assert!(rounds > 3 && read > 0);
    if let (Some(early), Some(late)) = (early, late) {
        // Queues of 4 MiB each, and what the allocator keeps.
        assert!(late < early + (32 << 10), "from {early} KiB to {late} KiB");
        let most = status("VmHWM:").unwrap_or(late);
        assert!(most < early + (64 << 10), "from {early} KiB to {most} KiB");
    }
    drop(mux);
    // Threads that were told to end may take a while.
    for _ in 0..100 {
        if status("Threads:") == threads {
            assert_eq!(files(), open);
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{:?} threads, and {threads:?} before", status("Threads:"));
}
