//! Tests of significance, and what they need.

use crate::num;
use alloc::vec::Vec;

/// The median; `None` of nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let upper = *sorted.get(half)?;
    if sorted.len().is_multiple_of(2) {
        let lower = half.checked_sub(1).and_then(|at| sorted.get(at));
        return Some((lower.unwrap_or(&upper) + upper) / 2.0);
    }
    Some(upper)
}

/// How much the second values are above the first: the median of all differences (Hodges-Lehmann).
pub(super) fn shift(before: &[f64], after: &[f64]) -> f64 {
    let differences = after.iter().flat_map(|b| before.iter().map(move |a| b - a));
    median(&differences.collect::<Vec<f64>>()).unwrap_or(0.0)
}

/// The probability that two samples of one distribution differ as much as these, by the Mann-Whitney U
/// test, two-sided: exactly up to 400 pairs, ties counted as halves; beyond, by the normal distribution.
pub(super) fn mann_whitney(before: &[f64], after: &[f64]) -> f64 {
    let (n, m) = (before.len(), after.len());
    let Some(pairs) = n.checked_mul(m).filter(|pairs| *pairs > 0) else {
        return 1.0;
    };
    // Twice the number of pairs in which the second is greater.
    let mut twice = 0usize;
    for (a, b) in before
        .iter()
        .flat_map(|a| after.iter().map(move |b| (a, b)))
    {
        let add = match a.total_cmp(b) {
            core::cmp::Ordering::Less => 2,
            core::cmp::Ordering::Equal => 1,
            core::cmp::Ordering::Greater => 0,
        };
        twice = twice.saturating_add(add);
    }
    let other = pairs.saturating_mul(2).saturating_sub(twice);
    // Half a pair counts as a whole one: rather too likely than too unlikely.
    let u = twice.min(other).div_ceil(2);
    if pairs > 400 {
        let float = |n| num::float(num::wide(n));
        let (n, m, u) = (float(n), float(m), float(u));
        let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
        let distance = (n * m / 2.0 - u - 0.5).max(0.0);
        return two_sided(distance / deviation);
    }
    let counts = ways(n, m, pairs);
    let all: f64 = counts.iter().sum();
    let tail: f64 = counts.iter().take(u.saturating_add(1)).sum();
    (2.0 * tail / all).min(1.0)
}

/// In how many orders of `n` and `m` values there are so many pairs of which the second is greater, by
/// their number: the coefficients of a Gaussian binomial.
fn ways(n: usize, m: usize, pairs: usize) -> Vec<f64> {
    let mut counts = alloc::vec![0.0; pairs.saturating_add(1)];
    if let Some(first) = counts.first_mut() {
        *first = 1.0;
    }
    for k in 1..=n {
        // Times 1 - x^(m + k), by 1 - x^k.
        let over = m.saturating_add(k);
        for at in (over..counts.len()).rev() {
            let lower = at.checked_sub(over).and_then(|at| counts.get(at).copied());
            if let Some(count) = counts.get_mut(at) {
                *count -= lower.unwrap_or(0.0);
            }
        }
        for at in k..counts.len() {
            let lower = at.checked_sub(k).and_then(|at| counts.get(at).copied());
            if let Some(count) = counts.get_mut(at) {
                *count += lower.unwrap_or(0.0);
            }
        }
    }
    counts
}

/// The probability that a standard normal value is so far from 0 or farther.
pub(super) fn two_sided(z: f64) -> f64 {
    // The complementary error function by a fraction of Chebyshev polynomials, to 1.2e-7 of its value
    // (Numerical Recipes' erfcc).
    let x = z.abs() / core::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    let powers = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let sum = powers.iter().rev().fold(0.0, |sum, power| sum * t + power);
    (t * (sum - x * x).exp()).min(1.0)
}

/// Which of these probabilities are small enough, so that at most this part of them is so by chance:
/// the Benjamini-Hochberg procedure. What has none is not, and is no test.
pub(super) fn benjamini_hochberg(
    probabilities: impl Iterator<Item = Option<f64>>,
    level: f64,
) -> Vec<bool> {
    let all: Vec<Option<f64>> = probabilities.collect();
    let mut sorted: Vec<f64> = all.iter().copied().flatten().collect();
    sorted.sort_by(f64::total_cmp);
    let float = |n| num::float(num::wide(n));
    let tests = float(sorted.len());
    let mut bound = -1.0;
    for (rank, p) in (1usize..).zip(&sorted) {
        if *p <= level * float(rank) / tests {
            bound = *p;
        }
    }
    all.iter().map(|p| p.is_some_and(|p| p <= bound)).collect()
}

/// Random numbers that are the same every time (SplitMix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new() -> Random {
        Random(0x676f_7472_6163_6521)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let scaled = u128::from(z).saturating_mul(u128::from(num::wide(n))) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }

    /// As many blocks, drawn with replacement in runs of neighbours: what follows on each other is alike.
    pub(super) fn blocks<'b, T: Copy>(
        &'b mut self,
        blocks: &'b [T],
    ) -> impl Iterator<Item = T> + use<'b, T> {
        // About the cube root, as is usual.
        let mut run = 1usize;
        while run.saturating_mul(run).saturating_mul(run) < blocks.len() {
            run = run.saturating_add(1);
        }
        let (mut at, mut left) = (0usize, 0usize);
        (0..blocks.len()).filter_map(move |_| {
            if left == 0 {
                at = self.below(blocks.len());
                left = run;
            } else {
                // It goes round.
                at = at.saturating_add(1).checked_rem(blocks.len()).unwrap_or(0);
            }
            left = left.saturating_sub(1);
            blocks.get(at).copied()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn the_test_is_that_of_the_tables() {
        // Complete separation: 2 / C(n + m, n).
        let low: Vec<f64> = (0..6).map(f64::from).collect();
        let high: Vec<f64> = (10..16).map(f64::from).collect();
        assert!((mann_whitney(&low, &high) - 2.0 / 924.0).abs() < 1e-12);
        assert!((mann_whitney(&low[..4], &high[..4]) - 2.0 / 70.0).abs() < 1e-12);
        assert_eq!(mann_whitney(&low, &low), 1.0);
        // Eight and eight with U = 13: the critical value of the tables for 0.05, two-sided.
        let sums: f64 = ways(8, 8, 64).iter().take(14).sum();
        let p = 2.0 * sums / 12_870.0;
        assert!(p < 0.05 && p > 0.03, "{p}");
        // Where both are used, they agree.
        let many: Vec<f64> = (0..40).map(f64::from).collect();
        let more: Vec<f64> = many.iter().map(|n| n + 5.5).collect();
        let exact = {
            let (u, pairs) = (mann_u(&many, &more), 1600);
            let counts = ways(40, 40, pairs);
            let all: f64 = counts.iter().sum();
            2.0 * counts.iter().take(u + 1).sum::<f64>() / all
        };
        let near = mann_whitney(&many, &more);
        assert!((exact / near - 1.0).abs() < 0.05, "{exact} {near}");
    }

    fn mann_u(a: &[f64], b: &[f64]) -> usize {
        let greater = a.iter().flat_map(|a| b.iter().map(move |b| a > b));
        greater.filter(|greater| *greater).count()
    }

    #[test]
    fn quantiles_of_the_normal_distribution() {
        for (z, p) in [
            (0.0, 1.0),
            (1.0, 0.317_31),
            (1.959_964, 0.05),
            (3.290_5, 0.001),
        ] {
            assert!((two_sided(z) - p).abs() < 1e-5, "{z}: {}", two_sided(z));
        }
    }

    #[test]
    fn few_of_many_are_kept() {
        let p = vec![Some(0.001), None, Some(0.04), Some(0.012), Some(0.9)];
        let kept = benjamini_hochberg(p.into_iter(), 0.05);
        assert_eq!(kept, [true, false, false, true, false]);
        assert_eq!(median(&[3.0, 1.0, 2.0, 10.0]), Some(2.5));
        assert_eq!(shift(&[1.0, 2.0, 3.0], &[11.0, 12.0, 13.0]), 10.0);
        let drawn: Vec<u8> = Random::new().blocks(&[1u8, 2, 3, 4, 5, 6, 7, 8]).collect();
        assert_eq!(drawn.len(), 8);
        assert_eq!(
            drawn,
            Random::new()
                .blocks(&[1u8, 2, 3, 4, 5, 6, 7, 8])
                .collect::<Vec<_>>()
        );
    }
}
