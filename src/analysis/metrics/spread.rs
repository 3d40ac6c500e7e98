//! How a quantity is spread: its count, sum, extremes and quantiles, in little memory.

use crate::num;
use alloc::vec::Vec;

/// How durations (or other whole numbers) are spread.
///
/// Numbers are counted in buckets, 64 to a doubling, so that a [quantile](Spread::quantile) is at most
/// 1.6 % above the exact one, and never below it; count, sum, least and greatest are exact. It takes at
/// most 30 KB, and a fraction of that for numbers of about the same size. Two of them
/// [add up](Spread::merge) to that of all their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    count: u64,
    total: u64,
    least: u64,
    greatest: u64,
    /// The number of the first bucket.
    first: usize,
    buckets: Vec<u64>,
}

/// So many buckets, as a power of two, are for the numbers from one power of two to the next.
const BITS: u32 = 6;

/// The bucket of a number.
fn bucket(n: u64) -> usize {
    let length = u64::BITS.saturating_sub(n.leading_zeros());
    // The numbers below 128 have a bucket each.
    let shift = length.saturating_sub(BITS.saturating_add(1));
    let octave = u64::from(shift).wrapping_shl(BITS);
    num::narrow(octave.saturating_add(n.wrapping_shr(shift)))
}

/// The greatest number of a bucket.
fn last_of(bucket: usize) -> u64 {
    let bucket = num::wide(bucket);
    let octave = bucket.wrapping_shr(BITS).saturating_sub(1);
    let steps = bucket.saturating_sub(octave.wrapping_shl(BITS));
    // Buckets come from numbers of 64 bits.
    let shift = u32::try_from(octave).unwrap_or(0).min(63);
    let next = u128::from(steps).saturating_add(1).wrapping_shl(shift);
    u64::try_from(next.saturating_sub(1)).unwrap_or(u64::MAX)
}

impl Spread {
    /// Of no numbers.
    pub const fn new() -> Spread {
        Spread {
            count: 0,
            total: 0,
            least: 0,
            greatest: 0,
            first: 0,
            buckets: Vec::new(),
        }
    }

    /// Adds a number.
    pub fn add(&mut self, n: u64) {
        self.least = if self.count == 0 {
            n
        } else {
            self.least.min(n)
        };
        self.greatest = self.greatest.max(n);
        self.count = self.count.saturating_add(1);
        self.total = self.total.saturating_add(n);
        self.put(bucket(n), 1);
    }

    /// Adds nanoseconds, as differences of times are; negative ones count as 0.
    pub fn add_nanoseconds(&mut self, n: i64) {
        self.add(u64::try_from(n).unwrap_or(0));
    }

    fn put(&mut self, bucket: usize, count: u64) {
        if self.buckets.is_empty() {
            self.first = bucket;
        }
        let before = self.first.saturating_sub(bucket);
        if before > 0 {
            self.buckets.splice(0..0, core::iter::repeat_n(0, before));
            self.first = bucket;
        }
        let at = bucket.saturating_sub(self.first);
        if self.buckets.len() <= at {
            self.buckets.resize(at.saturating_add(1), 0);
        }
        if let Some(bucket) = self.buckets.get_mut(at) {
            *bucket = bucket.saturating_add(count);
        }
    }

    /// Adds all numbers of another.
    pub fn merge(&mut self, other: &Spread) {
        if other.count == 0 {
            return;
        }
        self.least = match self.count {
            0 => other.least,
            _ => self.least.min(other.least),
        };
        self.greatest = self.greatest.max(other.greatest);
        self.count = self.count.saturating_add(other.count);
        self.total = self.total.saturating_add(other.total);
        for (n, count) in other.buckets.iter().enumerate() {
            if *count > 0 {
                self.put(other.first.saturating_add(n), *count);
            }
        }
    }

    /// How many numbers there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The least; `None` if there are none.
    pub const fn min(&self) -> Option<u64> {
        match self.count {
            0 => None,
            _ => Some(self.least),
        }
    }

    /// The greatest; `None` if there are none.
    pub const fn max(&self) -> Option<u64> {
        match self.count {
            0 => None,
            _ => Some(self.greatest),
        }
    }

    /// Their mean, rounded down; `None` if there are none.
    pub const fn mean(&self) -> Option<u64> {
        self.total.checked_div(self.count)
    }

    /// The number that so many thousandths of all are not above: `quantile(990)` is the 99th
    /// percentile. `None` if there are none.
    pub fn quantile(&self, thousandths: u64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let part = u128::from(self.count).saturating_mul(u128::from(thousandths.min(1000)));
        let rank = part.div_ceil(1000).max(1);
        let mut passed = 0u128;
        for (n, count) in self.buckets.iter().enumerate() {
            passed = passed.saturating_add(u128::from(*count));
            if passed >= rank {
                let last = last_of(self.first.saturating_add(n));
                return Some(last.clamp(self.least, self.greatest));
            }
        }
        Some(self.greatest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quantiles_are_near_the_exact_ones(
            mut numbers in prop::collection::vec(
                (0u32..64, any::<u64>()).prop_map(|(shift, n)| n >> shift), 1..300),
            thousandths in 0u64..=1000,
            at in 0usize..300,
        ) {
            let mut all = Spread::new();
            numbers.iter().for_each(|n| all.add(*n));
            let (left, right) = numbers.split_at(at.min(numbers.len()));
            let [mut a, mut b] = [Spread::new(), Spread::new()];
            left.iter().for_each(|n| a.add(*n));
            right.iter().for_each(|n| b.add(*n));
            a.merge(&b);
            prop_assert_eq!(a.quantile(thousandths), all.quantile(thousandths));
            prop_assert_eq!((a.count(), a.total(), a.min(), a.max()),
                (all.count(), all.total(), all.min(), all.max()));
            numbers.sort_unstable();
            let rank = (numbers.len() as u64 * thousandths).div_ceil(1000).max(1);
            let exact = numbers[rank as usize - 1];
            let found = all.quantile(thousandths).unwrap();
            prop_assert!(exact <= found);
            prop_assert!(found - exact <= exact / 64, "{exact} {found}");
            prop_assert_eq!(all.max(), numbers.last().copied());
        }
    }

    #[test]
    fn buckets_meet() {
        for n in [
            0,
            1,
            63,
            64,
            127,
            128,
            129,
            255,
            256,
            1 << 40,
            u64::MAX - 1,
            u64::MAX,
        ] {
            let last = last_of(bucket(n));
            assert!(n <= last, "{n} {last}");
            if last < u64::MAX {
                assert_eq!(bucket(last + 1), bucket(n) + 1);
            }
        }
        assert_eq!(Spread::new().quantile(500), None);
    }
}
