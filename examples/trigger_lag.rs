//! A recorder with a trigger, and how well it keeps up: events a second, and how long after the end of a
//! generation all of its events were looked at.
//!
//! A Go program that does `trace.Start(os.Stdout)`, on another processor:
//!
//! ```text
//! go build -o busy . && cargo build --release --example trigger_lag
//! taskset -c 0 ./busy | taskset -c 1 target/release/examples/trigger_lag
//! ```

use gotrace::mux::{Callback, QueueConfig, Signal, TraceMultiplexer};
use gotrace::recorder::trigger::Triggers;
use gotrace::recorder::{FlightRecorderConfig, SharedRecorder};
use gotrace::source::StreamSource;
use gotrace::{Event, EventKind};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mux = TraceMultiplexer::new(StreamSource::new(std::io::stdin()))?;
    let recorder = Arc::new(SharedRecorder::new(FlightRecorderConfig {
        max_bytes: 64 << 20,
        min_age: Duration::from_secs(10),
    }));
    let hold = mux.hold();
    let recording = mux.record(&recorder)?;
    // When the last bytes of each generation had come.
    let (sender, ends) = channel();
    let witness = mux.subscribe(
        Callback(move |signal: &Signal| {
            if let Signal::EndOfGeneration(number) = signal {
                sender.send((*number, Instant::now()))?;
            }
            Ok(())
        }),
        QueueConfig::default(),
    )?;
    // Whole generations are lost rather than that anybody waits.
    let mut events = mux.events(QueueConfig::dropping(256 << 20));
    drop(hold);

    let mut triggers = Triggers::new().with_cooldown(Duration::from_secs(1));
    triggers.add("log", |event: &Event<'_, '_>| {
        event.kind() == EventKind::Log
    });
    let (mut count, mut fired, mut lags) = (0u64, 0u64, Vec::new());
    let (mut before, mut ended) = (None, VecDeque::new());
    let begun = Instant::now();
    while let Some(event) = events.next()? {
        count += 1;
        fired += u64::from(triggers.see(&event).is_some());
        // All of a generation was looked at when the next one begins, or nothing is there.
        let number = events.generation();
        let done = if events.will_wait() { number } else { before };
        if number != before || done == number {
            ended.extend(ends.try_iter());
            while let Some((number, end)) = ended.pop_front_if(|(n, _)| Some(*n) <= done) {
                lags.extend((Some(number) == done).then(|| end.elapsed()));
            }
        }
        before = number;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let stats = witness.wait().stats;
    recording.wait();
    let status = recorder.status()?;
    lags.sort();
    let lag = |part: usize| lags.get((lags.len() * part / 100).min(lags.len().max(1) - 1));
    let millis = |part| lag(part).map_or(0.0, |lag| lag.as_secs_f64() * 1e3);
    println!(
        "{:.2} million events a second, {:.1} MB/s for {seconds:.1} s, {} generations",
        count as f64 / seconds / 1e6,
        stats.bytes as f64 / seconds / 1e6,
        stats.generations,
    );
    println!(
        "lag behind the end of each of {}: {:.1} ms in the middle, {:.1} ms at most",
        lags.len(),
        millis(50),
        millis(100),
    );
    println!(
        "{} generations were not looked at, {} not recorded; {fired} snapshots would have been taken",
        events.lost().generations,
        status.losses.total().generations,
    );
    Ok(())
}
