//! How a live program is doing: what its trace says, generation by generation.

use super::output;
use super::signals;
use gotrace::analysis::live::{Monitor, Pulse};
use gotrace::mux::{LiveError, LiveReader};
use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;

/// Why there are no more pulses.
#[derive(Debug)]
pub enum WatchError {
    Live(LiveError),
    Panicked,
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WatchError::Live(error) => error.fmt(f),
            WatchError::Panicked => f.write_str("the thread that reads the events panicked"),
        }
    }
}

/// Watches on a thread of its own, which sends each pulse as a message, and one at the end, whatever
/// happens: somebody waits for it.
pub fn spawn<M: Send + 'static>(
    events: LiveReader,
    sender: &Sender<M>,
    pulse: fn(Box<Pulse>) -> M,
    ended: fn(Result<(), WatchError>) -> M,
) -> output::Result {
    let sender = sender.clone();
    signals::spawn("status", move || {
        let watched = catch_unwind(AssertUnwindSafe(|| {
            watch(events, |shown| {
                sender.send(pulse(Box::new(shown))).ok();
            })
        }));
        let watched = match watched {
            Ok(result) => result.map_err(WatchError::Live),
            Err(_) => Err(WatchError::Panicked),
        };
        sender.send(ended(watched)).ok();
    })
}

/// Reads events, and gives each generation's pulse as soon as its events were read.
fn watch(mut events: LiveReader, mut tell: impl FnMut(Pulse)) -> Result<(), LiveError> {
    let mut model = Monitor::new();
    let (mut lost, mut traces) = (0, 1);
    loop {
        match events.next()? {
            None => break,
            Some(event) => model.add(&event),
        }
        if (lost, traces) != (events.lost().generations, events.traces()) {
            // Another trace has begun, which this event is part of: nothing is known from before.
            (lost, traces) = (events.lost().generations, events.traces());
            model.forget();
        }
        if events.will_wait() {
            let generation = events.generation().map_or(0, |number| number.get());
            if let Some(pulse) = model.take(generation, lost) {
                tell(pulse);
            }
        }
    }
    Ok(())
}

fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or("?".to_owned(), |bytes| {
        format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
    })
}

/// One line.
pub fn line(pulse: &Pulse) -> String {
    let mut line = format!(
        "generation {}: {:.0} events/s, {} goroutines ({} running), heap {}, {} collections",
        pulse.generation,
        pulse.rate(),
        pulse.goroutines.total(),
        pulse.goroutines.running,
        mebibytes(pulse.heap),
        pulse.gc.collections,
    );
    if pulse.lost_generations > 0 {
        let _ = write!(line, ", {} generations lost", pulse.lost_generations);
    }
    line
}

/// Several lines, for a terminal.
pub fn block(pulse: &Pulse) -> String {
    let mut text = format!(
        "  {:<15} {}, {:.3} s\n",
        "generation", pulse.generation, pulse.seconds
    );
    let g = &pulse.goroutines;
    let procs = pulse.gomaxprocs.map_or("?".to_owned(), |n| n.to_string());
    let _ = writeln!(
        text,
        "  {:<15} {} ({} running, {} runnable, {} waiting, {} in system calls), {procs} procs",
        "goroutines",
        g.total(),
        g.running,
        g.runnable,
        g.waiting,
        g.syscall,
    );
    let _ = writeln!(
        text,
        "  {:<15} {}, goal {}",
        "heap",
        mebibytes(pulse.heap),
        mebibytes(pulse.heap_goal)
    );
    let gc = &pulse.gc;
    let _ = writeln!(
        text,
        "  {:<15} {} collections, marking {:.0} % of the time",
        "GC",
        gc.collections,
        gc.marking * 100.0
    );
    let _ = writeln!(
        text,
        "  {:<15} {} times, {:.3} ms in all, {:.3} ms the longest",
        "world stopped",
        gc.stops,
        gc.stopped * 1e3,
        gc.longest_stop * 1e3
    );
    if pulse.lost_generations > 0 {
        let lost = pulse.lost_generations;
        let _ = writeln!(
            text,
            "  {:<15} {lost} generations, too fast for this",
            "lost"
        );
    }
    let _ = write!(
        text,
        "  {:<15} {:>12}",
        "events a second",
        pulse.rate().round()
    );
    for (kind, rate) in &pulse.rates {
        let _ = write!(text, "\n    {kind:<15} {rate:>10.0}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use gotrace::mux::{QueueConfig, TraceMultiplexer};
    use gotrace::source::Playback;

    #[test]
    fn a_panic_is_told() {
        type Told = std::result::Result<(), WatchError>;
        let trace = include_bytes!("../../../tests/fixtures/gc-go1.22.trace");
        let mux = TraceMultiplexer::new(Playback::new(trace.to_vec()).unwrap()).unwrap();
        let (sender, messages) = std::sync::mpsc::channel::<Told>();
        let events = mux.events(QueueConfig::default());
        spawn(
            events,
            &sender,
            |_| panic!("as this test wants"),
            |told| told,
        )
        .unwrap();
        // It would be waited for.
        let told = messages.recv().unwrap();
        assert!(matches!(told, Err(WatchError::Panicked)), "{told:?}");
    }
}
