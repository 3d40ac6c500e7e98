//! A hash of 128 bits, for keys that outlive their generation.

use crate::num;

/// Two lanes of 64 bits, each a multiply-xor-shift chain over the same input with constants of its
/// own, joined at the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mix {
    low: u64,
    high: u64,
}

/// The finisher of MurmurHash3 (`fmix64`, public domain): each bit of the input changes each bit of
/// the result with probability one half.
const fn avalanche(mut n: u64) -> u64 {
    n ^= n >> 33;
    n = n.wrapping_mul(0xff51_afd7_ed55_8ccd);
    n ^= n >> 33;
    n = n.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    n ^ (n >> 33)
}

impl Mix {
    pub(super) const fn new() -> Mix {
        // Digits of pi.
        Mix {
            low: 0x243f_6a88_85a3_08d3,
            high: 0x1319_8a2e_0370_7344,
        }
    }

    pub(super) const fn number(&mut self, n: u64) {
        self.low = avalanche(self.low ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.high = avalanche(self.high.wrapping_add(n).rotate_left(29))
            .wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    }

    /// Bytes and their length, so that no two lists of strings are the same input.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(num::wide(bytes.len()));
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.number(u64::from_le_bytes(word));
        }
    }

    pub(super) const fn finish(self) -> u128 {
        let low = avalanche(self.low ^ self.high.rotate_left(32));
        let high = avalanche(self.high.wrapping_add(low));
        let mut bytes = [0; 16];
        let (a, b) = bytes.split_at_mut(8);
        a.copy_from_slice(&low.to_le_bytes());
        b.copy_from_slice(&high.to_le_bytes());
        u128::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::Mix;
    use proptest::prelude::*;

    fn hash(strings: &[&[u8]]) -> u128 {
        let mut mix = Mix::new();
        strings.iter().for_each(|s| mix.bytes(s));
        mix.finish()
    }

    #[test]
    fn where_strings_are_cut_matters() {
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"a", b""]), hash(&[b"", b"a"]));
        assert_ne!(hash(&[b"a"]), hash(&[b"a\0"]));
        assert_eq!(hash(&[b"ab", b"c"]), hash(&[b"ab", b"c"]));
    }

    proptest! {
        /// A bit of the input that flips changes about half of the result, in both halves.
        #[test]
        fn every_bit_counts(mut bytes in prop::collection::vec(any::<u8>(), 1..64), at: usize) {
            let before = hash(&[&bytes]);
            let bit = at % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let changed = before ^ hash(&[&bytes]);
            for half in [changed as u64, (changed >> 64) as u64] {
                prop_assert!((8..=56).contains(&half.count_ones()), "{changed:x}");
            }
        }
    }
}
