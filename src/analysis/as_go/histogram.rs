//! The histogram of Go's pages: five buckets a decade.

use crate::num;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// How many durations there are of each size, in buckets whose bounds are a fifth of a decade apart
/// (`traceviewer.TimeHistogram`). Bucket 0 has everything below 10<sup>1/5</sup> nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecadeHistogram {
    counts: BTreeMap<u32, u64>,
}

/// A bucket of a [`DecadeHistogram`] that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[cfg_attr(feature = "json", serde(rename_all = "PascalCase"))]
pub struct Bucket {
    /// Its number.
    pub bucket: u32,
    /// Its lower bound in nanoseconds, as Go shows it.
    pub min: i64,
    /// How many durations are in it.
    pub count: u64,
}

impl DecadeHistogram {
    /// Counts a duration in nanoseconds.
    pub fn add(&mut self, nanoseconds: i64) {
        let count = self.counts.entry(bucket_of(nanoseconds)).or_default();
        *count = count.saturating_add(1);
    }

    /// How many durations were counted.
    pub fn len(&self) -> u64 {
        self.counts
            .values()
            .fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The buckets that are not empty, by rising bounds.
    pub fn buckets(&self) -> Vec<Bucket> {
        let each = self.counts.iter();
        each.map(|(bucket, count)| Bucket {
            bucket: *bucket,
            min: min_of(*bucket),
            count: *count,
        })
        .collect()
    }
}

/// For each bucket the least whole number that Go's formula, `int(ln(n) / ln(10^(1/5)))`, puts in it,
/// and the bound that Go shows, `int64(exp(bucket * ln(10^(1/5))))`: what it gives on amd64.
#[rustfmt::skip]
const BOUNDS: &[(i64, i64)] = &[
    (0, 1),
    (2, 1),
    (3, 2),
    (4, 3),
    (7, 6),
    (11, 10),
    (16, 15),
    (26, 25),
    (40, 39),
    (64, 63),
    (101, 100),
    (159, 158),
    (252, 251),
    (399, 398),
    (631, 630),
    (1_001, 1_000),
    (1_585, 1_584),
    (2_512, 2_511),
    (3_982, 3_981),
    (6_310, 6_309),
    (10_001, 10_000),
    (15_849, 15_848),
    (25_119, 25_118),
    (39_811, 39_810),
    (63_096, 63_095),
    (100_001, 100_000),
    (158_490, 158_489),
    (251_189, 251_188),
    (398_108, 398_107),
    (630_958, 630_957),
    (1_000_001, 1_000_000),
    (1_584_894, 1_584_893),
    (2_511_887, 2_511_886),
    (3_981_072, 3_981_071),
    (6_309_574, 6_309_573),
    (10_000_001, 10_000_000),
    (15_848_932, 15_848_931),
    (25_118_865, 25_118_864),
    (39_810_718, 39_810_717),
    (63_095_735, 63_095_734),
    (100_000_001, 100_000_000),
    (158_489_320, 158_489_319),
    (251_188_644, 251_188_643),
    (398_107_171, 398_107_170),
    (630_957_345, 630_957_344),
    (1_000_000_001, 1_000_000_000),
    (1_584_893_193, 1_584_893_192),
    (2_511_886_432, 2_511_886_431),
    (3_981_071_706, 3_981_071_705),
    (6_309_573_445, 6_309_573_444),
    (10_000_000_001, 10_000_000_000),
    (15_848_931_925, 15_848_931_924),
    (25_118_864_316, 25_118_864_315),
    (39_810_717_056, 39_810_717_055),
    (63_095_734_449, 63_095_734_448),
    (100_000_000_001, 100_000_000_000),
    (158_489_319_247, 158_489_319_246),
    (251_188_643_151, 251_188_643_150),
    (398_107_170_554, 398_107_170_553),
    (630_957_344_481, 630_957_344_480),
    (1_000_000_000_001, 1_000_000_000_000),
    (1_584_893_192_462, 1_584_893_192_461),
    (2_511_886_431_510, 2_511_886_431_509),
    (3_981_071_705_535, 3_981_071_705_534),
    (6_309_573_444_802, 6_309_573_444_801),
    (10_000_000_000_001, 10_000_000_000_000),
    (15_848_931_924_612, 15_848_931_924_611),
    (25_118_864_315_096, 25_118_864_315_095),
    (39_810_717_055_350, 39_810_717_055_349),
    (63_095_734_448_020, 63_095_734_448_019),
    (100_000_000_000_001, 100_000_000_000_000),
    (158_489_319_246_112, 158_489_319_246_112),
    (251_188_643_150_959, 251_188_643_150_959),
    (398_107_170_553_500, 398_107_170_553_501),
    (630_957_344_480_196, 630_957_344_480_198),
    (1_000_000_000_000_003, 1_000_000_000_000_005),
    (1_584_893_192_461_115, 1_584_893_192_461_119),
    (2_511_886_431_509_595, 2_511_886_431_509_603),
    (3_981_071_705_534_988, 3_981_071_705_535_001),
    (6_309_573_444_801_944, 6_309_573_444_801_966),
    (10_000_000_000_000_071, 10_000_000_000_000_034),
    (15_848_931_924_611_218, 15_848_931_924_611_272),
    (25_118_864_315_095_883, 25_118_864_315_095_968),
    (39_810_717_055_349_781, 39_810_717_055_349_920),
    (63_095_734_448_019_733, 63_095_734_448_019_960),
    (100_000_000_000_000_457, 100_000_000_000_000_816),
    (158_489_319_246_111_761, 158_489_319_246_112_320),
    (251_188_643_150_959_984, 251_188_643_150_959_104),
    (398_107_170_553_499_616, 398_107_170_553_500_992),
    (630_957_344_480_195_776, 630_957_344_480_198_016),
    (1_000_000_000_000_002_113, 1_000_000_000_000_005_760),
    (1_584_893_192_461_124_992, 1_584_893_192_461_130_752),
    (2_511_886_431_509_593_856, 2_511_886_431_509_602_816),
    (3_981_071_705_534_986_497, 3_981_071_705_535_000_576),
    (6_309_573_444_801_942_017, 6_309_573_444_801_965_056),
];

fn bucket_of(nanoseconds: i64) -> u32 {
    let above = BOUNDS.partition_point(|(least, _)| *least <= nanoseconds);
    num::slot(above.saturating_sub(1))
}

fn min_of(bucket: u32) -> i64 {
    BOUNDS.get(num::index(bucket)).map_or(0, |(_, min)| *min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_a_fifth_of_a_decade() {
        for (n, bucket) in [
            (i64::MIN, 0),
            (0, 0),
            (1, 0),
            (2, 1),
            (1_000, 14),
            (1_001, 15),
        ] {
            assert_eq!(bucket_of(n), bucket, "{n}");
        }
        assert_eq!(
            (bucket_of(i64::MAX), min_of(94)),
            (94, 6_309_573_444_801_965_056)
        );
        assert!(BOUNDS.is_sorted());
        let mut histogram = DecadeHistogram::default();
        assert!(histogram.is_empty());
        for n in [5, 6, 1_001] {
            histogram.add(n);
        }
        assert_eq!(histogram.len(), 3);
        let buckets = histogram.buckets();
        assert_eq!(
            (buckets[0].bucket, buckets[0].min, buckets[0].count),
            (3, 3, 2)
        );
        assert_eq!(buckets.len(), 2);
    }
}
