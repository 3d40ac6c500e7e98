//! Trace clock readings, nanoseconds, and the frequency that joins them.

use crate::num;
use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A reading of the trace clock, in units of the generation's [`Frequency`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Timestamp(pub u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment in nanoseconds of the traced machine's monotonic clock (`trace.Time` in Go's API).
///
/// Only differences mean something, except between traces of one machine since its last boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Time(pub i64);

impl Time {
    /// Nanoseconds from `earlier` to this moment, negative if it is not earlier; wraps at 2^63.
    #[inline]
    pub const fn since(self, earlier: Time) -> i64 {
        self.0.wrapping_sub(earlier.0)
    }

    /// From `earlier` to this moment; `None` if it is later than this one.
    pub const fn checked_duration_since(self, earlier: Time) -> Option<Duration> {
        if self.0 < earlier.0 {
            return None;
        }
        Some(Duration::from_nanos(self.0.abs_diff(earlier.0)))
    }
}

/// From the other moment to this one; zero if that is later, as [`std::time::Instant`] has it. See
/// [`Time::since`] for differences with a sign.
///
/// [`std::time::Instant`]: https://doc.rust-lang.org/std/time/struct.Instant.html
///
/// ```
/// use core::time::Duration;
/// use gotrace::Time;
///
/// assert_eq!(Time(1_500) - Time(500), Duration::from_micros(1));
/// assert_eq!(Time(500) - Time(1_500), Duration::ZERO);
/// assert_eq!(Time(500) + Duration::from_micros(1), Time(1_500));
/// ```
impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Time) -> Duration {
        self.checked_duration_since(earlier)
            .unwrap_or(Duration::ZERO)
    }
}

/// Stays at the last moment that a [`Time`] can be.
impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, later: Duration) -> Time {
        let nanoseconds = u64::try_from(later.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add_unsigned(nanoseconds))
    }
}

/// Stays at the first moment that a [`Time`] can be.
impl Sub<Duration> for Time {
    type Output = Time;

    fn sub(self, earlier: Duration) -> Time {
        let nanoseconds = u64::try_from(earlier.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_sub_unsigned(nanoseconds))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How fast the trace clock of a generation ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frequency {
    hertz: u64,
    nanoseconds: f64,
    /// The nanoseconds a unit if that is a whole number, as it is in practice.
    whole: u64,
    /// Readings before this one may be multiplied by it: below 2^53 floats are exact, and whole
    /// numbers give what floats give. 0 if a unit is not a whole number of nanoseconds.
    exact: u64,
}

impl Frequency {
    /// A clock of this many units a second, as a `Frequency` record gives it.
    pub const fn from_hertz(hertz: u64) -> Frequency {
        // In this order, because Go rounds in this order.
        let nanoseconds = 1.0 / (num::float(hertz) / 1e9);
        let whole = num::whole(nanoseconds);
        let exact = match (1u64 << 53).checked_div(whole) {
            Some(exact) => exact,
            None => 0,
        };
        Frequency {
            hertz,
            nanoseconds,
            whole,
            exact,
        }
    }

    /// Units a second.
    #[inline]
    pub const fn hertz(self) -> u64 {
        self.hertz
    }

    /// Nanoseconds a unit: what Go's reader multiplies by, rounded as it rounds.
    #[inline]
    pub const fn nanoseconds_per_unit(self) -> f64 {
        self.nanoseconds
    }

    /// A reading of the trace clock in nanoseconds, rounded toward zero; `i64::MIN` if it does not
    /// fit, as Go gives it on amd64.
    #[inline(always)]
    pub fn time(&self, t: Timestamp) -> Time {
        if t.0 < self.exact {
            Time(num::signed(t.0.wrapping_mul(self.whole)))
        } else {
            self.time_by_float(t)
        }
    }

    #[inline(never)]
    fn time_by_float(&self, t: Timestamp) -> Time {
        Time(num::float_to_i64(num::float(t.0) * self.nanoseconds))
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Frequency {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=u64} Hz", self.hertz);
    }
}

/// Wall-clock time as seconds and nanoseconds since 1970-01-01 UTC.
///
/// Displays as RFC 3339 in UTC, with as many decimals as needed: `2026-11-20T23:36:43.36254741Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WallTime {
    /// Seconds since 1970-01-01 00:00:00 UTC.
    pub seconds: i64,
    /// Nanoseconds within the second, 0 to 999,999,999.
    pub nanoseconds: u32,
}

impl WallTime {
    /// From a second count and nanoseconds that may exceed a second, as `time.Unix` takes them.
    pub const fn new(seconds: u64, nanoseconds: u64) -> WallTime {
        const BILLION: i64 = 1_000_000_000;
        let (seconds, nanoseconds) = (num::signed(seconds), num::signed(nanoseconds));
        let carried = seconds.wrapping_add(nanoseconds.div_euclid(BILLION));
        WallTime {
            seconds: carried,
            nanoseconds: num::slot(num::narrow(nanoseconds.rem_euclid(BILLION).unsigned_abs())),
        }
    }
}

impl WallTime {
    /// This moment, so many nanoseconds later, or earlier if they are negative. Seconds stay at the
    /// first or last that there is.
    #[must_use]
    pub const fn plus_nanoseconds(self, nanoseconds: i64) -> WallTime {
        const BILLION: i64 = 1_000_000_000;
        let seconds = nanoseconds.div_euclid(BILLION);
        let within = nanoseconds.rem_euclid(BILLION).unsigned_abs();
        // Less than two billion: both are less than one, unless the caller made up the field.
        let sum = (num::wide(num::index(self.nanoseconds))).saturating_add(within);
        let carried = num::signed(sum / 1_000_000_000);
        WallTime {
            seconds: self.seconds.saturating_add(seconds).saturating_add(carried),
            nanoseconds: num::slot(num::narrow(sum % 1_000_000_000)),
        }
    }
}

/// For the time before 1970 as well.
#[cfg(feature = "std")]
impl From<WallTime> for std::time::SystemTime {
    fn from(wall: WallTime) -> Self {
        let seconds = Duration::from_secs(wall.seconds.unsigned_abs());
        let within = Duration::from_nanos(u64::from(wall.nanoseconds));
        let whole = if wall.seconds < 0 {
            std::time::UNIX_EPOCH.checked_sub(seconds)
        } else {
            std::time::UNIX_EPOCH.checked_add(seconds)
        };
        // A moment that the system cannot express is none that a trace has.
        whole
            .and_then(|whole| whole.checked_add(within))
            .unwrap_or(std::time::UNIX_EPOCH)
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.seconds.div_euclid(86_400);
        let second = self.seconds.rem_euclid(86_400);
        let (year, month, day) = civil(days);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            second.div_euclid(3600),
            second.div_euclid(60).rem_euclid(60),
            second.rem_euclid(60),
        )?;
        if self.nanoseconds != 0 {
            // A width that fits a byte cannot be one that `core` refuses.
            let (mut n, mut width) = (self.nanoseconds, 9u8);
            while n.is_multiple_of(10) {
                n = n.wrapping_div(10);
                width = width.saturating_sub(1);
            }
            write!(f, ".{n:0width$}", width = usize::from(width))?;
        }
        f.write_str("Z")
    }
}

/// The date in the Gregorian calendar of a number of days since 1970-01-01. Counting from a first
/// of March makes the leap day the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    // Days that are not the 29th of February, before this one in its era of 400 years.
    let common = day
        .wrapping_sub(day.div_euclid(1_460))
        .wrapping_add(day.div_euclid(36_524))
        .wrapping_sub(day.div_euclid(146_096));
    let year = common.div_euclid(365);
    let day = day
        .wrapping_sub(year.wrapping_mul(365))
        .wrapping_sub(year.div_euclid(4))
        .wrapping_add(year.div_euclid(100));
    // Months from March have 31, 30, 31, 30, 31 days and again: 153 days every five months.
    let month = day.wrapping_mul(5).wrapping_add(2).div_euclid(153);
    let first = month.wrapping_mul(153).wrapping_add(2).div_euclid(5);
    let day = day.wrapping_sub(first).wrapping_add(1);
    let (month, carry) = if month < 10 {
        (month.wrapping_add(3), 0)
    } else {
        (month.wrapping_sub(9), 1)
    };
    (
        era.wrapping_mul(400).wrapping_add(year).wrapping_add(carry),
        month,
        day,
    )
}

/// One moment on three clocks, taken at the start of a generation (`trace.ClockSnapshot`, since
/// Go 1.25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ClockSnapshot {
    /// The trace clock in nanoseconds: the scale of event times.
    pub trace: Time,
    /// The traced machine's monotonic clock, in nanoseconds.
    pub mono: u64,
    /// The traced machine's wall clock.
    pub wall: WallTime,
}

impl ClockSnapshot {
    /// The wall-clock time at a moment of the trace, as far as this snapshot says: what happened to
    /// the wall clock since is not known. Best for times of the snapshot's own generation.
    ///
    /// ```
    /// use gotrace::Time;
    /// use gotrace::time::{ClockSnapshot, WallTime};
    ///
    /// let clock = ClockSnapshot {
    ///     trace: Time(1_000),
    ///     mono: 0,
    ///     wall: WallTime::new(1_795_217_803, 999_999_999),
    /// };
    /// assert_eq!(clock.wall_at(Time(1_001)).to_string(), "2026-11-20T23:36:44Z");
    /// ```
    pub const fn wall_at(&self, time: Time) -> WallTime {
        self.wall.plus_nanoseconds(time.since(self.trace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn wall_times_display_as_rfc3339() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (1_795_217_803, 362_547_410, "2026-11-20T23:36:43.36254741Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000000001Z"),
            (4_107_542_400, 1_500_000_000, "2100-03-01T00:00:01.5Z"),
            (u64::MAX, 0, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(WallTime::new(seconds, nanoseconds).to_string(), text);
        }
    }

    #[test]
    fn wall_times_follow_the_trace_clock() {
        let clock = ClockSnapshot {
            trace: Time(5),
            mono: 0,
            wall: WallTime::new(0, 1),
        };
        for (time, seconds, nanoseconds) in [
            (Time(5), 0, 1),
            (Time(4), 0, 0),
            (Time(3), -1, 999_999_999),
            (Time(1_000_000_004), 1, 0),
            (Time(i64::MAX), 9_223_372_036, 854_775_803),
        ] {
            let wall = WallTime {
                seconds,
                nanoseconds,
            };
            assert_eq!(clock.wall_at(time), wall, "{time}");
        }
    }

    #[test]
    fn times_stay_within_their_range() {
        assert_eq!(
            Time(i64::MAX) - Time(i64::MIN),
            Duration::from_nanos(u64::MAX)
        );
        assert_eq!(Time(i64::MIN) - Time(i64::MAX), Duration::ZERO);
        assert_eq!(Time(i64::MAX - 1) + Duration::MAX, Time(i64::MAX));
        assert_eq!(Time(7) - Duration::MAX, Time(i64::MIN));
        assert_eq!(Time(7) - Duration::from_nanos(9), Time(-2));
        assert_eq!(Time(1).checked_duration_since(Time(2)), None);
    }

    #[test]
    fn times_that_do_not_fit_are_the_smallest() {
        assert_eq!(
            Frequency::from_hertz(15_625_000).time(Timestamp(2)),
            Time(128)
        );
        assert_eq!(
            Frequency::from_hertz(1).time(Timestamp(u64::MAX)),
            Time(i64::MIN)
        );
        assert_eq!(Frequency::from_hertz(0).time(Timestamp(0)), Time(i64::MIN));
    }
}
