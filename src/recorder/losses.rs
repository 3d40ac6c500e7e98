//! What a recorder lost, and why.

use super::layout::Tally;
use core::fmt;

/// Why generations are lost that were, or would have been, inside the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LossReason {
    /// Complete ones inside the window, the oldest, whose room in the arena was needed for newer ones.
    /// A larger arena keeps them.
    NoRoom,
    /// Those that did not fit in the arena beside the newest complete one. A larger arena, or a
    /// shorter `traceadvanceperiod` in the traced program, keeps them.
    TooLarge,
    /// Those with a batch in them, or near them, that is none or is out of order.
    Damaged,
    /// Those that a new trace, or the resumption of the recorder, found in progress.
    Interrupted,
    /// Complete ones that cannot be in one trace with the newest: the one between was lost.
    Gap,
    /// Complete ones inside the window, the oldest, whose place in the arena's table of generations
    /// was needed for newer ones. The table has at most 1024: a longer `traceadvanceperiod` in the
    /// traced program, or a window of less time, needs fewer.
    TableFull,
}

impl LossReason {
    /// Every reason.
    pub const ALL: &[LossReason] = &[
        LossReason::NoRoom,
        LossReason::TooLarge,
        LossReason::Damaged,
        LossReason::Interrupted,
        LossReason::Gap,
        LossReason::TableFull,
    ];

    pub(super) const fn index(self) -> usize {
        match self {
            LossReason::NoRoom => 0,
            LossReason::TooLarge => 1,
            LossReason::Damaged => 2,
            LossReason::Interrupted => 3,
            LossReason::Gap => 4,
            LossReason::TableFull => 5,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            LossReason::NoRoom => "no room in the arena",
            LossReason::TooLarge => "larger than the arena",
            LossReason::Damaged => "damaged",
            LossReason::Interrupted => "interrupted",
            LossReason::Gap => "before a gap",
            LossReason::TableFull => "the table of generations is full",
        }
    }
}

/// Why a complete generation is dropped.
#[derive(Clone, Copy)]
pub(super) enum Why {
    Aged,
    Outgrown,
    Replaced,
    Lost(LossReason),
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Count {
    /// Generations.
    pub generations: u64,
    /// Bytes of their batches, headers of batches and end markers included.
    pub bytes: u64,
}

impl Count {
    pub(super) fn of(tally: Tally) -> Count {
        Count {
            generations: tally.generations.get(),
            bytes: tally.bytes.get(),
        }
    }
}

/// Complete generations that were dropped since the arena was made and are not lost, because they
/// were outside the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Passed {
    /// Older than [`min_age`](super::FlightRecorderConfig::min_age).
    pub aged: Count,
    /// Beyond [`max_bytes`](super::FlightRecorderConfig::max_bytes).
    pub outgrown: Count,
    /// Of a trace after which another one was recorded.
    pub replaced: Count,
}

/// What was lost since the arena was made, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Losses {
    pub(super) by_reason: [Count; LossReason::ALL.len()],
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
