//! Distributions of times in little memory.

use crate::num;
use alloc::vec::Vec;

/// Buckets of one power of two: so many, and their number as a power of two.
const PARTS: u64 = 32;
const BITS: u32 = 5;

/// How often numbers occurred, to about 1.6 %: numbers below 32 exactly; others in 32 buckets to each
/// power of two, of which the middle is given, at most a 64th from what was added. The smallest,
/// the largest, the number and the sum are exact.
///
/// Takes as much memory as the largest number needs: 8 bytes a bucket, 2 KiB for numbers up to 10,000,
/// 7 KiB up to 10 seconds in nanoseconds, never more than 16 KiB. Two can be merged, which gives the same
/// as if all had been added to one.
///
/// ```
/// use gotrace::analysis::histogram::Histogram;
///
/// let mut times = Histogram::new();
/// (1..=1000).for_each(|n| times.add(n * 1000));
/// assert_eq!((times.count(), times.max()), (1000, 1_000_000));
/// let median = times.quantile(0.5).ok_or("empty")?;
/// assert!((median as f64 / 500_000.0 - 1.0).abs() < 0.016);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Histogram {
    /// Without numbers.
    pub const fn new() -> Histogram {
        Histogram {
            buckets: Vec::new(),
            count: 0,
            sum: 0,
            min: 0,
            max: 0,
        }
    }

    /// Adds a time in nanoseconds; a negative one is taken for 0.
    #[inline]
    pub fn add_time(&mut self, nanoseconds: i64) {
        self.add(u64::try_from(nanoseconds).unwrap_or(0));
    }

    /// Adds a number.
    #[inline]
    pub fn add(&mut self, value: u64) {
        let at = bucket(value);
        if self.buckets.len() <= at {
            self.buckets.resize(at.saturating_add(1), 0);
        }
        if let Some(bucket) = self.buckets.get_mut(at) {
            *bucket = bucket.saturating_add(1);
        }
        self.min = match self.count {
            0 => value,
            _ => self.min.min(value),
        };
        self.max = self.max.max(value);
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(u128::from(value));
    }

    /// Adds all that was added to another.
    pub fn merge(&mut self, other: &Histogram) {
        if other.count == 0 {
            return;
        }
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket = bucket.saturating_add(*more);
        }
        self.min = match self.count {
            0 => other.min,
            _ => self.min.min(other.min),
        };
        self.max = self.max.max(other.max);
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// How many were added.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their sum; no more than fits.
    pub fn sum(&self) -> u64 {
        u64::try_from(self.sum).unwrap_or(u64::MAX)
    }

    /// The smallest; 0 if there are none.
    pub const fn min(&self) -> u64 {
        self.min
    }

    /// The largest; 0 if there are none.
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// The number that this part of all (0 to 1) does not exceed: the median for 0.5; of several that
    /// would do the smallest. `None` if there are none.
    pub fn quantile(&self, part: f64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let rank = num::ceiling(part.clamp(0.0, 1.0) * num::float(self.count)).clamp(1, self.count);
        if rank == self.count {
            return Some(self.max);
        }
        let mut before = 0u64;
        for (at, count) in self.buckets.iter().enumerate() {
            before = before.saturating_add(*count);
            if before >= rank {
                return Some(middle(at).clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }

    /// The buckets in which there are any: the smallest number of each, the number that is above it,
    /// and how many are in it.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let counts = self.buckets.iter().enumerate();
        let counts = counts.filter(|(_, count)| **count > 0);
        counts.map(|(at, count)| {
            let (from, width) = bounds(at);
            (from, from.saturating_add(width), *count)
        })
    }
}

/// The bucket of a number.
#[inline]
const fn bucket(value: u64) -> usize {
    if value < PARTS {
        return num::narrow(value);
    }
    // 5 to 63: no step below can overflow.
    let power = u64::BITS
        .wrapping_sub(1)
        .wrapping_sub(value.leading_zeros());
    let shift = power.wrapping_sub(BITS);
    let row = num::wide(num::index(shift)).wrapping_mul(PARTS);
    num::narrow(row.wrapping_add(value >> shift))
}

/// The smallest number of a bucket, and how many numbers it has.
const fn bounds(bucket: usize) -> (u64, u64) {
    let bucket = num::wide(bucket);
    if bucket < PARTS {
        return (bucket, 1);
    }
    let shift = (bucket >> BITS).wrapping_sub(1);
    let part = bucket.wrapping_sub(shift.wrapping_mul(PARTS));
    (part << shift, 1 << shift)
}

const fn middle(bucket: usize) -> u64 {
    let (from, width) = bounds(bucket);
    from.wrapping_add(width / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_each_other() {
        let mut next = 0u64;
        for at in 0..bucket(u64::MAX) {
            let (from, width) = bounds(at);
            assert_eq!(from, next);
            assert_eq!((bucket(from), bucket(from + (width - 1))), (at, at));
            assert!(width == 1 || from / width >= PARTS);
            next = from + width;
        }
        let (from, width) = bounds(bucket(u64::MAX));
        assert_eq!(from.checked_add(width - 1), Some(u64::MAX));
        assert_eq!(bucket(u64::MAX), 1919);
    }

    proptest! {
        #[test]
        fn quantiles_are_near_those_of_a_sorted_list(
            mut values in prop::collection::vec(0u64..50_000_000, 1..200),
            bits in 0u32..20,
            part in 0.0..=1.0f64,
            cut in 0usize..200,
        ) {
            values.iter_mut().for_each(|value| *value >>= bits);
            let mut all = Histogram::new();
            let (mut first, mut second) = (Histogram::new(), Histogram::new());
            for (n, value) in values.iter().enumerate() {
                all.add(*value);
                if n < cut { first.add(*value) } else { second.add(*value) }
            }
            first.merge(&second);
            prop_assert_eq!(&first, &all);
            values.sort_unstable();
            let rank = (part * values.len() as f64).ceil().max(1.0) as usize;
            let exact = values[rank - 1];
            let found = all.quantile(part).unwrap();
            prop_assert!(found.abs_diff(exact) * 64 <= exact, "{} is not {}", found, exact);
            prop_assert_eq!(all.max(), *values.last().unwrap());
            prop_assert_eq!(all.min(), values[0]);
            prop_assert_eq!(all.sum(), values.iter().sum::<u64>());
            prop_assert_eq!(all.buckets().map(|(_, _, n)| n).sum::<u64>(), all.count());
        }
    }
}
