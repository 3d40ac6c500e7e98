//! How a live program is doing: what its trace says, generation by generation.

use crate::output;
use crate::signals;
use gotrace::mux::{LiveError, LiveReader};
use gotrace::{
    Details, Event, EventKind, GoId, Time,
    event::{Change, GoState, Metric, RangeName, Resource},
};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;

/// A program as a generation of its trace shows it. This is the schema of the JSON form: a field may
/// be added, none will change its meaning.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pulse {
    /// The generation's number.
    pub generation: u64,
    /// From its first event to its last.
    pub seconds: f64,
    /// All of them, those of kind Sync included, which say where generations begin.
    pub events: u64,
    /// Events a second, by kind; those of kind Sync are left out.
    pub rates: BTreeMap<&'static str, f64>,
    /// Goroutines at the end of the generation, by state.
    pub goroutines: Goroutines,
    pub gomaxprocs: Option<u64>,
    /// Bytes of heap objects, and the heap at which the next garbage collection is to end.
    pub heap: Option<u64>,
    pub heap_goal: Option<u64>,
    pub gc: Gc,
    /// Generations that were dropped so far, because this could not keep up.
    pub lost_generations: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Goroutines {
    pub running: u64,
    pub runnable: u64,
    pub waiting: u64,
    pub syscall: u64,
}

/// The garbage collector in a generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Gc {
    /// Collections that ended.
    pub collections: u64,
    /// The part of the time in which it was marking, 0 to 1.
    pub marking: f64,
    /// How often the world was stopped, for any reason; how long in sum, and at most, in seconds.
    pub stops: u64,
    pub stopped: f64,
    pub longest_stop: f64,
}

impl Goroutines {
    fn total(&self) -> u64 {
        self.running + self.runnable + self.waiting + self.syscall
    }
}

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

/// Reads events, and tells each generation's pulse as soon as its events were read.
fn watch(mut events: LiveReader, mut tell: impl FnMut(Pulse)) -> Result<(), LiveError> {
    let mut model = Model::default();
    let mut lost = 0;
    loop {
        match events.next()? {
            None => break,
            Some(event) => model.add(&event),
        }
        if lost != events.lost().generations {
            // Another trace has begun, which this event is part of: nothing is known from before.
            lost = events.lost().generations;
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

/// What is known from events.
#[derive(Default)]
struct Model {
    goroutines: HashMap<GoId, GoState>,
    gomaxprocs: Option<u64>,
    heap: Option<u64>,
    heap_goal: Option<u64>,
    /// Since when it marks.
    marking: Option<Time>,
    /// Since when the world is stopped, by whom.
    stopped: HashMap<Resource, Time>,
    /// Of the current generation.
    counts: [u64; EventKind::ALL.len()],
    times: Option<(Time, Time)>,
    marked: i64,
    gc: Gc,
}

impl Model {
    fn forget(&mut self) {
        *self = Model::default();
    }

    fn add(&mut self, event: &Event<'_, '_>) {
        let kind = event.kind();
        if let Some(at) = EventKind::ALL.iter().position(|k| *k == kind) {
            self.counts[at] += 1;
        }
        let time = event.time();
        if kind != EventKind::Sync {
            let (first, _) = self.times.unwrap_or((time, time));
            self.times = Some((first, time));
        }
        match kind {
            EventKind::StateTransition
            | EventKind::Metric
            | EventKind::RangeBegin
            | EventKind::RangeActive
            | EventKind::RangeEnd => {}
            _ => return,
        }
        match event.details() {
            Details::StateTransition(transition) => {
                if let Change::Goroutine {
                    id: Some(id), to, ..
                } = transition.change
                {
                    if to == GoState::NotExist {
                        self.goroutines.remove(&id);
                    } else {
                        self.goroutines.insert(id, to);
                    }
                }
            }
            Details::Metric(metric) => match metric.name {
                Metric::GOMAXPROCS => self.gomaxprocs = Some(metric.value),
                Metric::HEAP_OBJECTS => self.heap = Some(metric.value),
                Metric::HEAP_GOAL => self.heap_goal = Some(metric.value),
                _ => {}
            },
            Details::RangeBegin(range) | Details::RangeActive(range) => match range.name {
                RangeName::GcMark => self.marking = self.marking.or(Some(time)),
                RangeName::StopTheWorld(_) => {
                    self.stopped.insert(range.scope, time);
                }
                _ => {}
            },
            Details::RangeEnd(range, _) => match range.name {
                RangeName::GcMark => {
                    self.gc.collections += 1;
                    if let Some(since) = self.marking.take() {
                        self.mark(since, time);
                    }
                }
                RangeName::StopTheWorld(_) => {
                    self.gc.stops += 1;
                    if let Some(since) = self.stopped.remove(&range.scope) {
                        let seconds = seconds(time.since(since));
                        self.gc.stopped += seconds;
                        self.gc.longest_stop = self.gc.longest_stop.max(seconds);
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// Counts the part of a time of marking that is in this generation: it may have begun before.
    fn mark(&mut self, since: Time, until: Time) {
        let first = self.times.map_or(since, |(first, _)| first);
        let marked = until.since(since.max(first));
        self.marked = self.marked.saturating_add(marked);
    }

    /// The pulse of what was added since the last one; none if nothing was.
    fn take(&mut self, generation: u64, lost_generations: u64) -> Option<Pulse> {
        let (first, last) = self.times?;
        if let Some(since) = self.marking {
            self.mark(since, last);
            self.marking = Some(last);
        }
        self.times = None;
        let counts = std::mem::take(&mut self.counts);
        let mut gc = std::mem::take(&mut self.gc);
        let marked = std::mem::take(&mut self.marked);
        // A generation of one event takes no time, but one it takes.
        let seconds = seconds(last.since(first)).max(1e-9);
        // The times of a damaged trace may be anything.
        gc.marking = (self::seconds(marked) / seconds).clamp(0.0, 1.0);
        let rates = EventKind::ALL.iter().zip(counts);
        let mut goroutines = Goroutines::default();
        for state in self.goroutines.values() {
            match state {
                GoState::Running => goroutines.running += 1,
                GoState::Runnable => goroutines.runnable += 1,
                GoState::Waiting => goroutines.waiting += 1,
                GoState::Syscall => goroutines.syscall += 1,
                _ => {}
            }
        }
        Some(Pulse {
            generation,
            seconds,
            events: counts.iter().sum(),
            rates: rates
                .filter(|(kind, count)| **kind != EventKind::Sync && *count > 0)
                .map(|(kind, count)| (kind.name(), count as f64 / seconds))
                .collect(),
            goroutines,
            gomaxprocs: self.gomaxprocs,
            heap: self.heap,
            heap_goal: self.heap_goal,
            gc,
            lost_generations,
        })
    }
}

fn seconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or("?".to_owned(), |bytes| {
        format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
    })
}

impl Pulse {
    fn rate(&self) -> f64 {
        self.rates.values().sum()
    }

    /// One line.
    pub fn line(&self) -> String {
        let mut line = format!(
            "generation {}: {:.0} events/s, {} goroutines ({} running), heap {}, {} collections",
            self.generation,
            self.rate(),
            self.goroutines.total(),
            self.goroutines.running,
            mebibytes(self.heap),
            self.gc.collections,
        );
        if self.lost_generations > 0 {
            let _ = write!(line, ", {} generations lost", self.lost_generations);
        }
        line
    }

    /// Several lines, for a terminal.
    pub fn block(&self) -> String {
        let mut text = format!(
            "  {:<15} {}, {:.3} s\n",
            "generation", self.generation, self.seconds
        );
        let g = &self.goroutines;
        let procs = self.gomaxprocs.map_or("?".to_owned(), |n| n.to_string());
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
            mebibytes(self.heap),
            mebibytes(self.heap_goal)
        );
        let gc = &self.gc;
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
        if self.lost_generations > 0 {
            let lost = self.lost_generations;
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
            self.rate().round()
        );
        for (kind, rate) in &self.rates {
            let _ = write!(text, "\n    {kind:<15} {rate:>10.0}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gotrace::mux::{QueueConfig, TraceMultiplexer};
    use gotrace::source::Playback;

    #[test]
    fn marking_that_began_before_the_generation_is_no_part_of_it() {
        let since = Some(Time(40));
        for (until, part) in [(None, 1.0), (Some(Time(150)), 0.5)] {
            let mut model = Model {
                marking: since,
                times: Some((Time(100), Time(200))),
                ..Model::default()
            };
            if let Some(until) = until {
                model.marking = None;
                model.mark(Time(40), until);
            }
            let pulse = model.take(1, 0).unwrap();
            assert!((pulse.gc.marking - part).abs() < 1e-9, "{pulse:?}");
        }
    }

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
