//! What the fuzz targets share: the slow twin of the decoder, and mutations that know the format.

#[path = "../../tests/common/damage.rs"]
pub mod damage;
#[path = "../../tests/common/naive.rs"]
pub mod naive;

use damage::Damage;

/// Mutates a trace in place: half of the time as the fuzzer does, half at the level of batches and
/// events. Gives the new length.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    if seed % 2 == 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let mut state = u64::from(seed);
    let random = [(); 4].map(|()| {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    });
    let mutated = Damage::from_random(random).apply(&data[..size]);
    let size = mutated.len().min(max_size).min(data.len());
    data[..size].copy_from_slice(&mutated[..size]);
    size
}
