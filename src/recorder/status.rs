//! What a recorder reports about itself.

use super::layout::State;
use super::losses::{Count, Losses, Passed};
use super::ring::{Core, version_of};
use crate::ids::GenerationId;
use crate::wire::Version;
use core::time::Duration;

/// A generation in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Progress {
    /// The number.
    pub number: GenerationId,
    /// The bytes of its batches so far.
    pub bytes: u64,
    /// The number of its batches so far.
    pub batches: u64,
}

/// What a recorder holds, has recorded and has lost.
///
/// Counters count since the arena was made, over stops and resumptions; one that gets to `u64::MAX`
/// stays there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Status {
    /// The version of the trace; none before its header.
    pub version: Option<Version>,
    /// The complete generations that are kept: what a snapshot has after its header.
    pub window: Count,
    /// The number of the newest complete generation.
    pub newest: Option<GenerationId>,
    /// The generation that is being recorded.
    pub progress: Option<Progress>,
    /// The bytes that the arena has for batches.
    pub capacity: u64,
    /// The bytes of the largest generation so far, complete or lost.
    ///
    /// With `max_bytes` at least this, [`arena_size_for`](super::arena_size_for) gives an arena
    /// that loses none for want of room.
    pub largest: u64,
    /// All generations that were recorded to their end.
    pub recorded: Count,
    /// What was lost.
    pub losses: Losses,
    /// What was dropped because it was outside the window, and does not count as lost.
    pub passed: Passed,
    /// Units of the trace clock from the earliest batch of the window to its latest, and how many
    /// there are in a second.
    units: Option<u64>,
    hertz: u64,
}

impl Status {
    /// The time from the earliest batch of the window to its latest, if there is a window and its
    /// clock frequency is known.
    pub fn span(&self) -> Option<Duration> {
        let units = self.units?;
        let seconds = units.checked_div(self.hertz)?;
        let rest = units.checked_rem(self.hertz)?.saturating_mul(1_000_000_000);
        let nanoseconds = rest.checked_div(self.hertz)?;
        let seconds = Duration::from_secs(seconds);
        Some(seconds.saturating_add(Duration::from_nanos(nanoseconds)))
    }
}

impl Core {
    pub(super) fn status(&self, arena: &[u8]) -> Status {
        let state = &self.state;
        let newest = self.newest(arena);
        let oldest = self.run(arena, 0).earliest.get();
        let units = newest.latest.get().checked_sub(oldest);
        let progress = state.progress;
        Status {
            version: version(state),
            window: Count {
                generations: u64::from(state.count.get()),
                bytes: u64::from(state.window_bytes.get()),
            },
            newest: GenerationId::new(newest.number.get()),
            progress: GenerationId::new(progress.number.get()).map(|number| Progress {
                number,
                bytes: u64::from(progress.len.get()),
                batches: u64::from(progress.batches.get()),
            }),
            capacity: u64::from(self.geometry.capacity),
            largest: state.largest.get(),
            recorded: Count::of(state.recorded),
            losses: Losses {
                by_reason: state.losses.map(Count::of),
            },
            passed: {
                let [aged, outgrown, replaced] = state.passed.map(Count::of);
                Passed {
                    aged,
                    outgrown,
                    replaced,
                }
            },
            units: units.filter(|_| state.count.get() > 0),
            hertz: u64::from(state.hertz.get()),
        }
    }
}

/// The version that a snapshot's header has.
pub(super) fn version(state: &State) -> Option<Version> {
    let minor = if state.count.get() > 0 {
        state.window_version
    } else {
        state.stream_version
    };
    version_of(minor)
}
