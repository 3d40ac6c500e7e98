//! What the fuzz targets share: the slow twins of the decoder and of the recorder, what the fuzzer
//! chooses, and mutations that know the format.

#[path = "../../tests/common/damage.rs"]
pub mod damage;
#[path = "../../tests/live/recorder/harm.rs"]
pub mod harm;
#[expect(clippy::new_without_default, reason = "a static needs a constant")]
#[path = "../../tests/common/heap.rs"]
pub mod heap;
#[path = "../../tests/reading/legacy/mutants.rs"]
pub mod mutants;
#[path = "../../tests/common/naive.rs"]
pub mod naive;
#[path = "../../tests/live/recorder/synth.rs"]
pub mod synth;
#[path = "../../tests/reading/legacy/text.rs"]
pub mod text;
#[path = "../../tests/live/recorder/twin.rs"]
pub mod twin;

use damage::Damage;

/// Mutates a trace in place: some of the time as the fuzzer does, most of it at the level of
/// batches and records. Gives the new length.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    if seed.is_multiple_of(4) {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let mut random = Random(u64::from(seed));
    let mutated = Damage::from_random([(); 4].map(|()| random.number()));
    let mutated = mutated.apply(&data[..size]);
    let size = mutated.len().min(max_size).min(data.len());
    data[..size].copy_from_slice(&mutated[..size]);
    size
}

/// Numbers that follow from a first one (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// What the fuzzer chooses, byte after byte; zeros behind the last.
pub struct Choices<'b>(pub &'b [u8]);

impl Choices<'_> {
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    /// A number from `low` to `high`, of one byte if it has few values, else of two or three.
    pub fn number(&mut self, low: usize, high: usize) -> usize {
        let mut number = usize::from(self.byte());
        let mut most = 256;
        while most <= high - low && most < 1 << 24 {
            number = number << 8 | usize::from(self.byte());
            most <<= 8;
        }
        low + number % (high - low + 1)
    }

    /// As many as the fuzzer likes, while its bytes last.
    pub fn list<T>(&mut self, most: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.number(0, most);
        let mut list = Vec::new();
        while list.len() < count && !self.0.is_empty() {
            list.push(one(self));
        }
        list
    }
}
