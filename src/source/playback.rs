//! A finished trace as a source.

use super::control::Interrupt;
use super::{Part, SharedBatches, SourceControl, SourceError, TraceSource};
use crate::error::Error;
use crate::generation::{Generation, Trace};
use crate::num;
use crate::time::Time;
use crate::wire::{Chunk, Version};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::time::Instant;

/// How many bytes are handed out at once, about.
const RUN: u64 = 256 << 10;

/// A finished trace, played back from its beginning at every start.
///
/// As fast as it is taken; or, after [`paced`](Playback::paced), each batch when it is due. Nothing
/// is copied.
pub struct Playback {
    bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
    version: Version,
    generations: Arc<[Generation]>,
    /// What ends the last generation early.
    damage: Option<Error>,
    /// Seconds of the trace a second.
    speed: Option<f64>,
    /// The generation being played.
    current: usize,
    /// Where what follows is in the trace.
    offset: u64,
    /// When the trace began to play, and what its clock showed then.
    began: Option<(Instant, Time)>,
    interrupt: Arc<Interrupt>,
}

impl Playback {
    /// A trace in memory: a `Vec<u8>`, a slice with a `'static` lifetime, a memory map. Looks at the
    /// headers of all batches. One that is cut short or damaged is played up to there.
    ///
    /// Errors: those of [`Trace::new`], and [`NoGenerations`](crate::ErrorKind::NoGenerations).
    pub fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Playback, Error> {
        let trace = Trace::new(bytes.as_ref())?;
        trace.version().needing_generations()?;
        let (mut found, mut damage) = (Vec::new(), None);
        for generation in trace.generations() {
            match generation {
                Ok(generation) => found.push(generation),
                Err(error) => damage = Some(error),
            }
        }
        Ok(Playback {
            version: trace.version(),
            bytes: Arc::new(bytes),
            generations: found.into(),
            damage,
            speed: None,
            current: 0,
            offset: 0,
            began: None,
            interrupt: Arc::default(),
        })
    }

    /// Plays at the trace's own pace times `speed`: a batch is handed out when the time of its first
    /// event has come. A speed that is not above 0 means as fast as possible.
    pub fn paced(mut self, speed: f64) -> Playback {
        self.speed = (speed > 0.0).then_some(speed);
        self
    }

    /// When a batch of this time is due; `None` for at once.
    fn due(&self, time: Time) -> Option<Instant> {
        let (began, first) = self.began?;
        let passed = num::float(u64::try_from(time.since(first)).ok()?) / self.speed?;
        // Beyond what a duration holds, it is never due: a day is long enough.
        let passed = Duration::try_from_secs_f64(passed / 1e9)
            .unwrap_or(Duration::from_secs(86400))
            .min(Duration::from_secs(86400));
        began.checked_add(passed)
    }
}

impl TraceSource for Playback {
    fn start(&mut self) -> Result<Version, SourceError> {
        self.interrupt.check()?;
        self.current = 0;
        let first = self.generations.first();
        self.offset = first.map_or(0, |generation| generation.start.0);
        let first = first.and_then(Generation::start_time).unwrap_or_default();
        self.began = self.speed.map(|_| (Instant::now(), first));
        Ok(self.version)
    }

    fn next(&mut self) -> Result<Option<Part>, SourceError> {
        self.interrupt.check()?;
        let Some(&generation) = self.generations.get(self.current) else {
            return self.damage.map_or(Ok(None), |error| Err(error.into()));
        };
        let end = generation.end.0;
        if self.offset >= end {
            if !generation.complete {
                // The damage follows.
                self.current = self.generations.len();
                return self.next();
            }
            self.current = self.current.saturating_add(1);
            let next = self.generations.get(self.current);
            self.offset = next.map_or(end, |next| next.start.0);
            return Ok(Some(Part::EndOfGeneration(generation.number)));
        }
        let bytes = Arc::clone(&self.bytes);
        let trace = Trace::new((*bytes).as_ref())?;
        let mut batches = trace.batches_from(crate::ids::Offset(self.offset));
        let mut taken = self.offset;
        while taken < end && taken.saturating_sub(self.offset) < RUN {
            let Some(chunk) = batches.next()? else {
                taken = end;
                break;
            };
            if let (Some(frequency), Chunk::Batch(batch)) = (generation.frequency, &chunk)
                && let Some(due) = self.due(frequency.time(batch.head.time))
                && due > Instant::now()
            {
                if taken > self.offset {
                    break;
                }
                self.interrupt.wait_until(due)?;
            }
            taken = batches.offset().0;
        }
        let range = num::narrow(self.offset)..num::narrow(taken);
        self.offset = taken;
        Ok(Some(Part::Batches(SharedBatches::new(bytes, range))))
    }

    fn stop(&mut self) {}

    fn control(&self) -> Arc<dyn SourceControl> {
        Arc::<Interrupt>::clone(&self.interrupt)
    }
}

impl fmt::Debug for Playback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Playback")
            .field("version", &self.version)
            .field("generations", &self.generations.len())
            .field("speed", &self.speed)
            .finish_non_exhaustive()
    }
}
