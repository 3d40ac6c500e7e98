//! Clocks that cannot be right.

use crate::time::{Frequency, Timestamp};
use crate::wire::Version;

/// Looks for a clock whose frequency is wrong by a known factor.
///
/// Go 1.22 on Windows wrote the frequency of a clock that it then divided by 256: all times of such a
/// trace are 256 times too short (<https://go.dev/issue/65997>). The signs are a frequency above 1 GHz,
/// which no clock of a trace has, and generations of a 256th of the second that they should take.
///
/// ```
/// use gotrace::generation::ClockCheck;
/// use gotrace::time::{Frequency, Timestamp};
/// use gotrace::wire::Version;
///
/// let mut check = ClockCheck::new(Version::Go122);
/// let frequency = Frequency::from_hertz(2_693_536_955);
/// check.add(frequency, Timestamp(5_000_000), Timestamp(15_600_000));
/// assert_eq!(check.factor(), Some(256));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ClockCheck {
    version: Version,
    too_fast: bool,
    /// Of the longest generation.
    nanoseconds: u64,
}

impl ClockCheck {
    /// For a trace of this version, of which nothing was seen yet.
    pub const fn new(version: Version) -> ClockCheck {
        ClockCheck {
            version,
            too_fast: false,
            nanoseconds: 0,
        }
    }

    /// Looks at a generation: its clock's frequency, and when its first and its last event happened.
    pub fn add(&mut self, frequency: Frequency, first: Timestamp, last: Timestamp) {
        self.too_fast |= frequency.hertz() > 1_000_000_000;
        let (first, last) = (frequency.time(first), frequency.time(last));
        let length = last.0.checked_sub(first.0).unwrap_or(0);
        self.nanoseconds = self.nanoseconds.max(u64::try_from(length).unwrap_or(0));
    }

    /// By what all times must be multiplied to be right; `None` if nothing seems to be wrong.
    pub fn factor(&self) -> Option<u32> {
        // From half a second to two, where a generation takes one.
        let is_short = (1_950_000..8_000_000).contains(&self.nanoseconds);
        (self.version == Version::Go122 && self.too_fast && is_short).then_some(256)
    }
}
