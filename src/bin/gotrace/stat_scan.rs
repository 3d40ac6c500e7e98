//! What `gotrace stat` counts in batches and records.

use gotrace::generation::{ClockCheck, clocks_of};
use gotrace::ids::Offset;
use gotrace::source::SharedBatches;
use gotrace::time::{ClockSnapshot, Frequency, Timestamp, WallTime};
use gotrace::wire::{Batch, Chunk, Contents, Events, Footprint, HEADER_LEN, Version};
use gotrace::{Error, ThreadId, Time};
use serde::Serialize;
use std::collections::HashSet;

/// What one pass over the batches of a trace counts.
pub struct Scan {
    version: Version,
    /// Where the next batch begins.
    offset: u64,
    pub footprint: Footprint,
    pub threads: HashSet<ThreadId>,
    pub batches: Batches,
    pub generations: u64,
    /// Of the first and the last generation.
    pub numbers: Option<(u64, u64)>,
    /// Of the first and the last event.
    pub times: Option<(Time, Time)>,
    /// When the first event happened.
    pub start: Option<WallTime>,
    pub clock: ClockCheck,
    current: Current,
}

/// The number of batches, by what they hold.
#[derive(Serialize, Default)]
pub struct Batches {
    pub events: u64,
    strings: u64,
    stacks: u64,
    samples: u64,
    sync: u64,
    experimental: u64,
}

impl Batches {
    fn of(&mut self, contents: Contents) -> &mut u64 {
        match contents {
            Contents::Strings => &mut self.strings,
            Contents::Stacks => &mut self.stacks,
            Contents::Samples => &mut self.samples,
            Contents::Sync => &mut self.sync,
            Contents::Experiment(_) => &mut self.experimental,
            Contents::Events | Contents::EndOfGeneration => &mut self.events,
        }
    }

    /// Each kind with its name.
    pub fn named(&self) -> [(&'static str, u64); 6] {
        [
            ("events", self.events),
            ("strings", self.strings),
            ("stacks", self.stacks),
            ("samples", self.samples),
            ("sync", self.sync),
            ("experimental", self.experimental),
        ]
    }
}

/// What is known of the generation being read.
#[derive(Default)]
struct Current {
    begun: bool,
    times: Option<(Timestamp, Timestamp)>,
    frequency: Option<Frequency>,
    clock: Option<ClockSnapshot>,
}

impl Scan {
    pub fn new(version: Version) -> Scan {
        Scan {
            version,
            offset: HEADER_LEN as u64,
            footprint: Footprint::default(),
            threads: HashSet::new(),
            batches: Batches::default(),
            generations: 0,
            numbers: None,
            times: None,
            start: None,
            clock: ClockCheck::new(version),
            current: Current::default(),
        }
    }

    /// Counts batches of one generation. Gives the first error.
    pub fn batches(&mut self, batches: &SharedBatches) -> std::result::Result<(), gotrace::Error> {
        let mut result = Ok(());
        let base = self.offset;
        let located = |e: Error| {
            let offset = Offset(base.wrapping_add(e.offset().0));
            Error::new(e.kind(), e.value(), offset)
        };
        for chunk in batches {
            let chunk = chunk.map_err(located)?;
            let end = self.footprint.add(&chunk).map_err(located);
            if let Chunk::Batch(batch) = &chunk {
                self.batch(batch, end);
            }
            result = result.and(end.map(drop));
        }
        self.offset += batches.len() as u64;
        result
    }

    /// Counts the whole records of the batch that the end of the trace cut off.
    pub fn cut(&mut self, rest: &[u8]) {
        let batch = Batch::cut(rest, Offset(self.offset));
        if let Some(batch) = batch.filter(|batch| batch.head.experiment.is_none()) {
            // The last record is not whole.
            let _ = self.footprint.add(&Chunk::Batch(batch));
        }
    }

    /// Counts a batch, whose last event was at `end`.
    fn batch(&mut self, batch: &Batch<'_>, end: std::result::Result<Option<Timestamp>, Error>) {
        let current = &mut self.current;
        if !current.begun {
            current.begun = true;
            self.generations += 1;
            let number = batch.head.generation.get();
            let (first, _) = self.numbers.unwrap_or((number, number));
            self.numbers = Some((first, number));
        }
        let contents = batch.contents();
        *self.batches.of(contents) += 1;
        match contents {
            // Damage to it is an error when its records are counted.
            Contents::Sync => {
                let (frequency, clock) = clocks_of(batch, self.version).unwrap_or_default();
                current.frequency = current.frequency.or(frequency);
                current.clock = current.clock.or(clock);
            }
            Contents::Events => {
                self.threads.extend(batch.head.thread);
                if let (Some(first), Ok(Some(last))) = (first_time(batch), end) {
                    let (earlier, later) = current.times.unwrap_or((first, last));
                    current.times = Some((earlier.min(first), later.max(last)));
                }
            }
            _ => {}
        }
    }

    /// What was counted since the last one is a generation.
    pub fn end_generation(&mut self) {
        let current = std::mem::take(&mut self.current);
        let (Some((first, last)), Some(frequency)) = (current.times, current.frequency) else {
            return;
        };
        self.clock.add(frequency, first, last);
        let (first, last) = (frequency.time(first), frequency.time(last));
        if let (None, Some(clock)) = (self.times, current.clock) {
            let after = i64::from(clock.wall.nanoseconds).wrapping_add(first.since(clock.trace));
            let seconds = clock.wall.seconds.cast_unsigned();
            self.start = Some(WallTime::new(seconds, after.cast_unsigned()));
        }
        let (earlier, later) = self.times.unwrap_or((first, last));
        self.times = Some((earlier.min(first), later.max(last)));
    }
}

/// The time of the first event of a batch.
fn first_time(batch: &Batch<'_>) -> Option<Timestamp> {
    let event = Events::new(batch.data, batch.data_offset()).next();
    let dt = event.ok()??.dt;
    Some(Timestamp(batch.head.time.0.wrapping_add(dt)))
}
