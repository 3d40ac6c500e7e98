//! How long things took: percentiles of many durations in little memory.

use crate::num;
use alloc::vec::Vec;

/// Steps of a factor of two.
const STEPS: usize = 64;

/// A histogram of durations, for percentiles.
///
/// Buckets are 1/64 of their lower bound wide, so that a percentile is at most 0.8 % off; counts,
/// sum, minimum and maximum are exact. It takes 256 bytes for each power of two in which there are
/// durations, however many, and histograms can be [merged](Histogram::merge). Negative durations
/// count as 0.
///
/// ```
/// use gotrace::analysis::histogram::Histogram;
///
/// let mut waits = Histogram::new();
/// for n in 1..=1000 {
///     waits.add(n * 1_000);
/// }
/// let p99 = waits.quantile(0.99).unwrap();
/// assert!((p99 - 990_000).abs() < 990_000 / 125);
/// assert_eq!((waits.len(), waits.max()), (1000, Some(1_000_000)));
/// ```
#[derive(Clone, Debug)]
pub struct Histogram {
    /// The counts of each power of two that has any.
    octaves: Vec<[u32; STEPS]>,
    /// For each power of two one more than where its counts are; 0 for nowhere.
    places: [u8; OCTAVES],
    len: u64,
    sum: i64,
    min: i64,
    max: i64,
}

/// As many as durations can have: below 64, and each power of two from there to 2^63.
const OCTAVES: usize = 58;

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

/// By what is counted, in whatever order it came.
impl PartialEq for Histogram {
    fn eq(&self, other: &Histogram) -> bool {
        let exact = |h: &Histogram| (h.len, h.sum, h.min(), h.max());
        exact(self) == exact(other) && self.buckets().eq(other.buckets())
    }
}

impl Eq for Histogram {}

/// The power of two and the step in it. Below 64 every number has a bucket of its own.
#[inline]
fn place(n: u64) -> (usize, usize) {
    let log = 63u32.saturating_sub(n.leading_zeros());
    let Some(shift) = log.checked_sub(6) else {
        return (0, num::narrow(n));
    };
    let step = num::narrow(n.wrapping_shr(shift)).wrapping_sub(STEPS);
    (num::index(shift.saturating_add(1)), step)
}

/// The middle of a bucket.
fn middle(octave: usize, step: usize) -> u64 {
    let step = num::wide(step);
    let Some(shift) = num::slot(octave).checked_sub(1) else {
        return step;
    };
    let lower = step.saturating_add(num::wide(STEPS)).wrapping_shl(shift);
    let width = 1u64.wrapping_shl(shift);
    lower.saturating_add(width / 2)
}

impl Histogram {
    /// An empty histogram.
    pub const fn new() -> Histogram {
        Histogram {
            octaves: Vec::new(),
            places: [0; OCTAVES],
            len: 0,
            sum: 0,
            min: i64::MAX,
            max: 0,
        }
    }

    /// Counts a duration in nanoseconds.
    #[inline]
    pub fn add(&mut self, nanoseconds: i64) {
        let n = nanoseconds.max(0);
        self.count(n, 1);
        self.sum = self.sum.saturating_add(n);
        self.min = if self.len == 1 { n } else { self.min.min(n) };
        self.max = self.max.max(n);
    }

    fn count(&mut self, n: i64, times: u32) {
        let (octave, step) = place(n.unsigned_abs());
        self.len = self.len.saturating_add(u64::from(times));
        self.bump(octave, step, times);
    }

    #[inline]
    fn bump(&mut self, octave: usize, step: usize, times: u32) {
        let Some(place) = self.places.get_mut(octave) else {
            return;
        };
        if *place == 0 {
            self.octaves.push([0; STEPS]);
            *place = num::low_byte(num::wide(self.octaves.len()));
        }
        let at = usize::from(place.wrapping_sub(1));
        let counts = self.octaves.get_mut(at);
        if let Some(count) = counts.and_then(|counts| counts.get_mut(step)) {
            *count = count.saturating_add(times);
        }
    }

    /// The counts that there are, by rising power of two.
    fn counts(&self) -> impl Iterator<Item = (usize, &[u32; STEPS])> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(octave, place)| {
            let at = usize::from(place.checked_sub(1)?);
            Some((octave, self.octaves.get(at)?))
        })
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Histogram) {
        if other.len == 0 {
            return;
        }
        self.min = if self.len == 0 {
            other.min
        } else {
            self.min.min(other.min)
        };
        self.max = self.max.max(other.max);
        self.len = self.len.saturating_add(other.len);
        self.sum = self.sum.saturating_add(other.sum);
        for (octave, counts) in other.counts() {
            for (step, times) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
                self.bump(octave, step, *times);
            }
        }
    }

    /// How many durations were counted.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether none was.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The sum of all, in nanoseconds.
    pub const fn sum(&self) -> i64 {
        self.sum
    }

    /// The shortest, in nanoseconds; `None` if there is none.
    pub fn min(&self) -> Option<i64> {
        (self.len > 0).then_some(self.min)
    }

    /// The longest, in nanoseconds; `None` if there is none.
    pub fn max(&self) -> Option<i64> {
        (self.len > 0).then_some(self.max)
    }

    /// The mean, in nanoseconds; `None` if there is none.
    pub fn mean(&self) -> Option<i64> {
        let len = i64::try_from(self.len).unwrap_or(i64::MAX);
        self.sum.checked_div(len)
    }

    /// The duration, in nanoseconds, that this part of all (0 to 1) does not exceed: 0.5 for the
    /// median. `None` if there is none.
    pub fn quantile(&self, part: f64) -> Option<i64> {
        if self.len == 0 {
            return None;
        }
        let rank = num::ceiling(part.clamp(0.0, 1.0) * num::float(self.len)).clamp(1, self.len);
        if rank == self.len {
            return Some(self.max);
        }
        let mut below = 0u64;
        for (octave, counts) in self.counts() {
            for (step, count) in counts.iter().enumerate() {
                below = below.saturating_add(u64::from(*count));
                if below >= rank {
                    let middle = i64::try_from(middle(octave, step)).unwrap_or(i64::MAX);
                    return Some(middle.clamp(self.min, self.max));
                }
            }
        }
        Some(self.max)
    }

    /// The buckets that are not empty: the middle of each in nanoseconds, and how many are in it.
    pub fn buckets(&self) -> impl Iterator<Item = (i64, u64)> {
        self.counts().flat_map(|(octave, counts)| {
            let steps = counts.iter().enumerate().filter(|(_, n)| **n > 0);
            steps.map(move |(step, n)| {
                let middle = i64::try_from(middle(octave, step)).unwrap_or(i64::MAX);
                (middle, u64::from(*n))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A percentile is within 0.8 % of the one that all durations give, and merging two histograms
        /// gives that of all.
        #[test]
        fn quantiles_are_close(
            mut all in prop::collection::vec(0..i64::MAX / 1_000_000, 1..300),
            part in 0.0..1.0f64,
            cut: prop::sample::Index,
        ) {
            let (a, b) = all.split_at(cut.index(all.len()));
            let (mut one, mut other, mut whole) =
                (Histogram::new(), Histogram::new(), Histogram::new());
            a.iter().for_each(|n| one.add(*n));
            b.iter().for_each(|n| other.add(*n));
            all.iter().for_each(|n| whole.add(*n));
            one.merge(&other);
            prop_assert_eq!(&one, &whole);
            all.sort();
            let rank = ((part * all.len() as f64).ceil() as usize).clamp(1, all.len());
            let exact = all[rank - 1];
            let found = whole.quantile(part).unwrap();
            prop_assert!((found - exact).abs() <= exact / 127 + 1, "{} for {}", found, exact);
            prop_assert_eq!(whole.max(), all.last().copied());
            prop_assert_eq!(whole.min(), all.first().copied());
            prop_assert_eq!(whole.buckets().map(|(_, n)| n).sum::<u64>(), whole.len());
        }
    }

    #[test]
    fn extremes() {
        let mut histogram = Histogram::new();
        assert_eq!(
            (histogram.quantile(0.5), histogram.max(), histogram.mean()),
            (None, None, None)
        );
        for n in [i64::MIN, 0, i64::MAX] {
            histogram.add(n);
        }
        assert_eq!(histogram.len(), 3);
        assert_eq!(histogram.quantile(0.5), Some(0));
        assert_eq!(histogram.quantile(f64::NAN), Some(0));
        assert_eq!(histogram.quantile(1.0), Some(i64::MAX));
    }
}
