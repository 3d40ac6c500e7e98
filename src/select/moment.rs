//! Moments in a trace, as people type and read them.

use crate::time::{Time, WallTime};
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

/// A moment in a trace, as it can be typed.
///
/// | written as | is |
/// | --- | --- |
/// | `1.25s`, `300ms`, `5us`, `5µs`, `10ns`, `2m`, `1h` | so long after the trace's first event |
/// | `@1251353149760`, `Time=1251353149760`, `Trace=…` | on the scale of [event times](Time) |
/// | `2026-11-20T23:36:43.36254741Z`, `Wall=…` | on the wall clock, in UTC |
/// | `Mono=1234567890` | on the traced machine's monotonic clock |
///
/// A space may be between number and unit. Fractions of a nanosecond are cut off. A number alone is
/// refused: it could be meant either way. The last two forms need a trace that says what its clocks show, as
/// traces do since Go 1.25. Displays as one of these forms, which parses to the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Moment {
    /// So long after the first event.
    SinceStart(Duration),
    /// On the scale of event times.
    At(Time),
    /// On the wall clock.
    Wall(WallTime),
    /// On the traced machine's monotonic clock, in nanoseconds: as in
    /// [`ClockSnapshot::mono`](crate::time::ClockSnapshot::mono).
    Mono(u64),
}

impl Moment {
    /// Whether both are of one form, and this one is not before `end`: then nothing is from this
    /// moment on and before `end`, whatever the trace.
    pub fn is_not_before(self, end: Moment) -> bool {
        match (self, end) {
            (Moment::SinceStart(from), Moment::SinceStart(to)) => from >= to,
            (Moment::At(from), Moment::At(to)) => from >= to,
            (Moment::Wall(from), Moment::Wall(to)) => from >= to,
            (Moment::Mono(from), Moment::Mono(to)) => from >= to,
            _ => false,
        }
    }
}

/// The units of durations, in nanoseconds, the largest first.
pub(super) const UNITS: [(&str, u64); 8] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    // The micro sign, and the Greek letter, which looks the same.
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ns", 1),
];

/// Why a text is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ParseMomentError {
    /// A number without a unit: nanoseconds since the start, or a time of an event?
    NoUnit,
    /// A time before the start of the trace.
    BeforeStart,
    /// The number does not fit.
    TooLarge,
    /// Nothing that a moment is written as.
    Malformed,
}

impl fmt::Display for ParseMomentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParseMomentError::NoUnit => {
                "the number has no unit: write 20ms or 1.5s for a time after the trace's start, \
                 or put @ before the number for a time as printed after \"Time=\""
            }
            ParseMomentError::BeforeStart => "a time after the trace's start cannot be negative",
            ParseMomentError::TooLarge => "the number is too large",
            ParseMomentError::Malformed => {
                "expected a time after the trace's start, as 1.5s, 20ms, 300us, 5ns, 2m or 1h; \
                 or one as printed after \"Time=\" with @ before it; \
                 or one on the wall clock, as 2026-11-20T23:36:43.5Z"
            }
        })
    }
}

impl core::error::Error for ParseMomentError {}

impl FromStr for Moment {
    type Err = ParseMomentError;

    fn from_str(text: &str) -> Result<Moment, ParseMomentError> {
        let text = text.trim();
        let absolute = ["@", "Time=", "Trace="];
        if let Some(time) = absolute.iter().find_map(|mark| text.strip_prefix(mark)) {
            return Ok(Moment::At(Time(number(time)?)));
        }
        if let Some(time) = text.strip_prefix("Mono=") {
            return Ok(Moment::Mono(number(time)?));
        }
        if let Some(time) = text.strip_prefix("Wall=") {
            return wall(time);
        }
        if text.contains(['T', 't']) {
            return wall(text);
        }
        duration(text)
    }
}

/// A whole number, without what Rust allows and nothing prints, as `+5`.
fn number<T: FromStr>(text: &str) -> Result<T, ParseMomentError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseMomentError::Malformed);
    }
    text.parse().map_err(|_| ParseMomentError::TooLarge)
}

fn wall(text: &str) -> Result<Moment, ParseMomentError> {
    let parsed = parse_rfc3339(text).ok_or(ParseMomentError::Malformed)?;
    Ok(Moment::Wall(parsed))
}

/// A date and time of RFC 3339, with any offset from UTC.
fn parse_rfc3339(text: &str) -> Option<WallTime> {
    let (date, time) = text.split_once(['T', 't'])?;
    let mut date = date.splitn(3, '-');
    let year = digits(date.next()?, 4)?;
    let month = digits(date.next()?, 2)?;
    let day = digits(date.next()?, 2)?;
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = time.split_at_checked(zone)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.splitn(3, ':');
    let hour = digits(time.next()?, 2)?;
    let minute = digits(time.next()?, 2)?;
    let second = digits(time.next()?, 2)?;
    let offset = match zone.strip_prefix(['+', '-']) {
        None if zone.eq_ignore_ascii_case("z") => 0,
        None => return None,
        Some(east) => {
            let (hours, minutes) = east.split_once(':')?;
            let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours
                .checked_mul(3600)?
                .checked_add(minutes.checked_mul(60)?)?;
            if zone.starts_with('-') {
                seconds.checked_neg()?
            } else {
                seconds
            }
        }
    };
    let leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanoseconds = fraction_of(fraction, 1_000_000_000)?;
    let seconds = days_of(year, month, day)?
        .checked_mul(86_400)?
        .checked_add(hour.checked_mul(3600)?)?
        .checked_add(minute.checked_mul(60)?)?
        .checked_add(second)?
        .checked_sub(offset)?;
    Some(WallTime {
        seconds,
        nanoseconds: u32::try_from(nanoseconds).ok()?,
    })
}

/// A number of exactly so many digits.
fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

/// The days from 1970-01-01 to a date of the Gregorian calendar. A year that begins with March has
/// its leap day at its end.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let (year, month) = if month > 2 {
        (year, month.checked_sub(3)?)
    } else {
        (year.checked_sub(1)?, month.checked_add(9)?)
    };
    // Months from March have 31, 30, 31, 30, 31 days and again: 153 days every five months.
    let in_year = month.checked_mul(153)?.checked_add(2)?.div_euclid(5);
    year.checked_mul(365)?
        .checked_add(year.div_euclid(4))?
        .checked_sub(year.div_euclid(100))?
        .checked_add(year.div_euclid(400))?
        .checked_add(in_year)?
        .checked_add(day)?
        .checked_sub(719_469)
}

/// What digits behind a decimal point are of a unit, rounded down; `None` if they are no digits.
fn fraction_of(digits: &str, unit: u64) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let (mut sum, mut part) = (0u64, u128::from(unit));
    let mut value = 0u128;
    // Beyond 18 digits nothing is as long as a nanosecond.
    for byte in digits.bytes() {
        if !byte.is_ascii_digit() {
            return None;
        }
        if sum < 18 {
            sum = sum.checked_add(1)?;
            part = part.checked_mul(10)?;
            value = value
                .checked_mul(10)?
                .checked_add(u128::from(byte.checked_sub(b'0')?))?;
        }
    }
    let scale = part.checked_div(u128::from(unit))?;
    let whole = value.checked_mul(u128::from(unit))?.checked_div(scale)?;
    u64::try_from(whole).ok()
}

/// A time since the start.
fn duration(text: &str) -> Result<Moment, ParseMomentError> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (value, unit) = text
        .split_at_checked(end.unwrap_or(text.len()))
        .unwrap_or((text, ""));
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    if whole.is_empty() || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseMomentError::Malformed);
    }
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Err(ParseMomentError::NoUnit);
    }
    let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(ParseMomentError::Malformed);
    };
    let fraction = fraction_of(fraction, *scale).ok_or(ParseMomentError::Malformed)?;
    let too_large = ParseMomentError::TooLarge;
    let whole: u64 = whole.parse().map_err(|_| too_large)?;
    let nanoseconds = whole.checked_mul(*scale).ok_or(too_large)?;
    let nanoseconds = nanoseconds.checked_add(fraction).ok_or(too_large)?;
    if sign && nanoseconds > 0 {
        return Err(ParseMomentError::BeforeStart);
    }
    Ok(Moment::SinceStart(Duration::from_nanos(nanoseconds)))
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::At(time) => write!(f, "@{time}"),
            Moment::Wall(time) => time.fmt(f),
            Moment::Mono(time) => write!(f, "Mono={time}"),
            Moment::SinceStart(duration) => {
                let nanoseconds = duration.as_nanos();
                let units = [("s", 1_000_000_000u128), ("ms", 1_000_000), ("us", 1_000)];
                let unit = units.iter().find(|(_, scale)| nanoseconds >= *scale);
                let (name, scale) = unit.copied().unwrap_or(("ns", 1));
                write!(f, "{}", nanoseconds.checked_div(scale).unwrap_or(0))?;
                let mut rest = nanoseconds.checked_rem(scale).unwrap_or(0);
                let mut part = scale;
                if rest > 0 {
                    f.write_str(".")?;
                }
                while rest > 0 {
                    part = part.checked_div(10).unwrap_or(1).max(1);
                    write!(f, "{}", rest.checked_div(part).unwrap_or(0))?;
                    rest = rest.checked_rem(part).unwrap_or(0);
                }
                f.write_str(name)
            }
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Moment {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Display2Format(self));
    }
}
