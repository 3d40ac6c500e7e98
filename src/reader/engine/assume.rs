//! One generation alone, read from a state that is assumed or handed over.

use super::Engine;
use crate::error::{Error, ErrorKind, Table};
use crate::ids::Offset;
use crate::num;
use crate::order::{Announced, Assumption, Scheduler};
use crate::reader::merge::Cursor;
use crate::tables::{Full, NIL, Storage};
use crate::time::{Frequency, Time, Timestamp};
use crate::wire::{Lane, Pieces, Place, Skips, TimedEvent, Version, decode};

/// What a generation was found to hold before it was ordered.
pub(in crate::reader) struct Survey {
    pub(in crate::reader) announced: Announced,
    pub(in crate::reader) number: u64,
    /// The earliest time of a batch, and the latest of an event.
    pub(in crate::reader) earliest: Timestamp,
    pub(in crate::reader) latest: Time,
    pub(in crate::reader) has_events: bool,
    /// The clock's frequency is said.
    pub(in crate::reader) has_frequency: bool,
    /// Where the generation ends.
    pub(in crate::reader) end: Offset,
}

/// What is handed over from one generation to the next.
pub(in crate::reader) struct Carried<S: Storage> {
    pub(in crate::reader) scheduler: Scheduler<S>,
    frequency: Frequency,
    pub(in crate::reader) counts: Counted,
    /// The generation's number.
    pub(in crate::reader) number: u64,
}

/// What is handed over besides the model's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reader) struct Counted {
    pub(in crate::reader) last_time: Time,
    pub(in crate::reader) syncs: u64,
    /// The number of the first generation that has events, or 0.
    pub(in crate::reader) first: u64,
}

impl<S: Storage> Engine<S> {
    /// An engine that reads one generation, or all from there on unless it is `single`.
    pub(in crate::reader) fn of_generation(
        version: Version,
        place: Place,
        offset: Offset,
        single: bool,
    ) -> Self {
        Engine {
            single,
            ..Engine::new(version, place, offset)
        }
    }

    /// Loads the generation, and looks at what its events say of the state at its start. `None` if
    /// there is no generation.
    pub(in crate::reader) fn survey(
        &mut self,
        input: &Pieces<'_>,
    ) -> Result<Option<Survey>, Error> {
        let Some(earliest) = self.load(input, !self.single)? else {
            return Ok(None);
        };
        let mut survey = Survey {
            announced: Announced::default(),
            number: self.number,
            earliest,
            latest: Time(0),
            has_events: self.cursors.len() > 0,
            has_frequency: self.tables.frequency.is_some(),
            end: self.offset,
        };
        let samples = self.tables.samples().iter().map(|sample| sample.time);
        let mut latest = samples.max().unwrap_or(Time(0));
        self.survey_events(input, &mut survey.announced);
        for cursor in self.cursors.iter() {
            // The last batch of a thread holds its last event.
            let mut last = Cursor::new(cursor.thread, NIL);
            last.next_batch = cursor.last_batch;
            while last.advance(input, &self.batches, &self.frequency)? {
                latest = latest.max(last.time);
            }
        }
        survey.latest = latest;
        survey.announced.finish(&self.tables);
        Ok(Some(survey))
    }

    /// Looks at the events that say something of the state. One that is damaged ends its batch.
    fn survey_events(&self, input: &Pieces<'_>, announced: &mut Announced) {
        let mut batches = self.cursors.iter().flat_map(|cursor| {
            let mut at = cursor.next_batch;
            core::iter::from_fn(move || {
                let batch = self.batches.get(num::index(at))?;
                at = batch.next;
                let data = input.bytes(batch.span);
                Some((Lane { data, at: 0 }, cursor.thread))
            })
        });
        // Those without a batch have nothing to wait for: they stop at once, and are left out.
        let mut lanes = [Lane::default(); LANES];
        let mut threads = [None; LANES];
        for (lane, thread) in lanes.iter_mut().zip(&mut threads) {
            (*lane, *thread) = batches.next().unwrap_or_default();
        }
        let mut event = TimedEvent::default();
        loop {
            let stopped = SKIPS.skip(&mut lanes);
            let (Some(lane), Some(thread)) = (lanes.get_mut(stopped), threads.get_mut(stopped))
            else {
                return;
            };
            if let Ok(next) = decode(lane.data, lane.at, &mut event) {
                announced.see(&event, *thread);
                lane.at = next;
                continue;
            }
            match batches.next() {
                Some(next) => (*lane, *thread) = next,
                None => break,
            }
        }
        // What is left of each.
        for (lane, thread) in lanes.into_iter().zip(threads) {
            let mut lane = [lane];
            loop {
                SKIPS.skip(&mut lane);
                let [left] = &mut lane;
                let Ok(next) = decode(left.data, left.at, &mut event) else {
                    break;
                };
                announced.see(&event, thread);
                left.at = next;
            }
        }
    }

    /// Goes on from what was handed over, with the generation that follows.
    pub(in crate::reader) fn carry_on(&mut self, carried: Carried<S>) {
        self.scheduler = carried.scheduler;
        self.frequency = carried.frequency;
        self.resume(carried.counts);
    }

    fn resume(&mut self, counts: Counted) {
        self.last_time = counts.last_time;
        self.syncs = counts.syncs;
        self.first = counts.first;
    }

    /// Begins with the events of the generation that was loaded, from the state that is assumed; from
    /// none if the generation is the first.
    pub(in crate::reader) fn begin_from(
        &mut self,
        input: &Pieces<'_>,
        survey: &Survey,
        assumed: Option<(&Assumption, &Counted)>,
    ) -> Result<(), Error> {
        if let Some((assumption, counts)) = assumed {
            let result = self.scheduler.assume(&survey.announced, assumption);
            result.map_err(|full| out_of_memory(full, self.start))?;
            self.resume(*counts);
        }
        self.begin(input, survey.earliest)
    }

    /// What is handed over to the next generation, now that this one has been read.
    pub(in crate::reader) fn into_carried(self) -> Carried<S> {
        Carried {
            counts: Counted {
                last_time: self.last_time,
                syncs: self.syncs,
                first: self.first,
            },
            scheduler: self.scheduler,
            frequency: self.frequency,
            number: self.number,
        }
    }

    /// Makes this the state in which the generation would have ended, had it begun with the state that
    /// was handed over: see [`Scheduler::carry`].
    pub(in crate::reader) fn carry(
        &mut self,
        before: &Scheduler<S>,
        survey: &Survey,
        input: &Pieces<'_>,
    ) -> Result<bool, Full> {
        self.scheduler.carry(before, &survey.announced, input)
    }

    /// When the first event happens, if no event before it happened later.
    pub(in crate::reader) fn begins(&self, survey: &Survey) -> Time {
        self.frequency.time(survey.earliest)
    }
}

/// How many batches are looked at in turn.
const LANES: usize = 4;

/// Goes past all other events.
static SKIPS: Skips = Skips::all_but(Announced::TYPES);

#[cold]
fn out_of_memory(full: Full, at: Offset) -> Error {
    Error::at(ErrorKind::TableFull(Table::Goroutines), full.capacity, at.0)
}
