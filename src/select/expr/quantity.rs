//! Numbers of expressions and metrics: exact, comparable, without floating point.

use core::fmt;

/// A number with nine decimals: of something counted, of a share, of nanoseconds, of bytes.
///
/// Any id and any time of a trace is one exactly. Not a floating point number, so that any two can be
/// compared, and equal numbers are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(i128);

impl Quantity {
    /// So many units are 1.
    pub(super) const ONE: i128 = 1_000_000_000;

    /// Nothing.
    pub const ZERO: Quantity = Quantity(0);

    /// A whole number.
    pub const fn new(number: u64) -> Quantity {
        // 2^64 times 10^9 is less than 2^94.
        Quantity(widened(number).wrapping_mul(Self::ONE))
    }

    /// A number of billionths.
    pub const fn from_billionths(billionths: i128) -> Quantity {
        Quantity(billionths)
    }

    /// `part` of `whole`, rounded down to a billionth; `None` of nothing.
    pub fn share(part: u64, whole: u64) -> Option<Quantity> {
        let part = Quantity::new(part).0;
        part.checked_div(widened(whole)).map(Quantity)
    }

    /// The number in billionths.
    pub const fn billionths(self) -> i128 {
        self.0
    }

    /// The whole number that is not more; `None` below 0 and beyond 2^64 - 1.
    pub fn whole(self) -> Option<u64> {
        u64::try_from(self.0.div_euclid(Self::ONE)).ok()
    }
}

impl From<u64> for Quantity {
    fn from(number: u64) -> Quantity {
        Quantity::new(number)
    }
}

/// With as many decimals as it has, or rounded down to a precision that is asked for.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let one = Self::ONE.unsigned_abs();
        let whole = magnitude.checked_div(one).unwrap_or(0);
        let mut rest = magnitude.checked_rem(one).unwrap_or(0);
        if self.0 < 0 {
            f.write_str("-")?;
        }
        write!(f, "{whole}")?;
        let mut left = f.precision().map_or(9, |precision| precision.min(9));
        if (rest > 0 || f.precision().is_some()) && left > 0 {
            f.write_str(".")?;
        }
        let mut part = one;
        while left > 0 && (rest > 0 || f.precision().is_some()) {
            part = part.checked_div(10).unwrap_or(1).max(1);
            write!(f, "{}", rest.checked_div(part).unwrap_or(0))?;
            rest = rest.checked_rem(part).unwrap_or(0);
            left = left.saturating_sub(1);
        }
        Ok(())
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Quantity {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Display2Format(self));
    }
}

/// `i128::from` in constants.
#[expect(clippy::as_conversions, reason = "every u64 is an i128")]
const fn widened(number: u64) -> i128 {
    number as i128
}

#[cfg(test)]
mod tests {
    use super::Quantity;
    use std::string::ToString as _;

    #[test]
    fn numbers_are_exact_and_display_with_their_decimals() {
        assert!(Quantity::new(u64::MAX) > Quantity::new(u64::MAX - 1));
        assert_eq!(Quantity::new(u64::MAX).whole(), Some(u64::MAX));
        assert_eq!(Quantity::share(1, 4).unwrap().to_string(), "0.25");
        assert_eq!(Quantity::share(1, 0), None);
        assert_eq!(Quantity::new(17).to_string(), "17");
        assert_eq!(
            std::format!("{:.2}", Quantity::share(1, 3).unwrap()),
            "0.33"
        );
        assert_eq!(std::format!("{:.1}", Quantity::new(2)), "2.0");
        let negative = Quantity::from_billionths(-1_500_000_000);
        assert_eq!(negative.to_string(), "-1.5");
        assert_eq!(negative.whole(), None);
    }
}
