//! What a recorder tells about itself.

use super::layout::{State, Tally};
use super::ring::{Core, version_of};
use crate::ids::GenerationId;
use crate::wire::Version;
use core::fmt;
use core::time::Duration;

/// Why generations are lost that were, or would have been, inside the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LossReason {
    /// Complete ones, the oldest, whose room in the arena or in its table of generations was
    /// needed for newer ones. A larger arena keeps them.
    NoRoom,
    /// Those that did not fit in the arena beside the newest complete one. A larger arena, or a
    /// shorter `traceadvanceperiod` in the traced program, keeps them.
    TooLarge,
    /// Those with a batch in them, or near them, that is none or is out of order.
    Damaged,
    /// Those that a new trace, or the resumption of the recorder, found in progress.
    Interrupted,
    /// Complete ones that cannot stand in one trace with the newest: the one between was lost, or
    /// the newest belongs to another trace.
    Gap,
}

impl LossReason {
    /// Every reason.
    pub const ALL: [LossReason; 5] = [
        LossReason::NoRoom,
        LossReason::TooLarge,
        LossReason::Damaged,
        LossReason::Interrupted,
        LossReason::Gap,
    ];

    pub(super) const fn index(self) -> usize {
        match self {
            LossReason::NoRoom => 0,
            LossReason::TooLarge => 1,
            LossReason::Damaged => 2,
            LossReason::Interrupted => 3,
            LossReason::Gap => 4,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            LossReason::NoRoom => "no room in the arena",
            LossReason::TooLarge => "larger than the arena",
            LossReason::Damaged => "damaged",
            LossReason::Interrupted => "interrupted",
            LossReason::Gap => "before a gap",
        }
    }
}

/// A few words, as in `larger than the arena`.
impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A number of generations and of their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Count {
    /// Generations.
    pub generations: u64,
    /// Bytes of their batches, headers of batches and end markers included.
    pub bytes: u64,
}

impl Count {
    fn of(tally: Tally) -> Count {
        Count {
            generations: tally.generations.get(),
            bytes: tally.bytes.get(),
        }
    }
}

/// What was lost since the arena was made, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Losses {
    by_reason: [Count; LossReason::ALL.len()],
}

impl Losses {
    /// What was lost for this reason.
    pub fn of(&self, reason: LossReason) -> Count {
        let found = self.by_reason.get(reason.index());
        found.copied().unwrap_or_default()
    }

    /// What was lost for any reason.
    pub fn total(&self) -> Count {
        self.by_reason
            .iter()
            .fold(Count::default(), |sum, count| Count {
                generations: sum.generations.saturating_add(count.generations),
                bytes: sum.bytes.saturating_add(count.bytes),
            })
    }
}

/// A generation in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
