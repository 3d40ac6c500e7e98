//! A recorder at full speed for as long as anybody wants.

use gotrace::recorder::{FlightRecorder, FlightRecorderConfig, arena_size_for};
use gotrace::wire::{BatchHead, Encoder, Version};
use gotrace::{ThreadId, ids::GenerationId, time::Timestamp};
use std::collections::VecDeque;
use std::time::Instant;

/// Batches; `GOTRACE_BATCHES` sets another number: a billion take some minutes with `--release`.
const BATCHES: u64 = 2_000_000;
/// Of each generation.
const OF_A_GENERATION: u64 = 50;

/// Checks now and then that the snapshot is made of the latest generations, byte for byte, that the
/// counters are right to the last batch, and that the arena can be recovered and resumed.
#[test]
fn a_long_recording_keeps_the_latest_generations_and_right_counts() {
    let batches =
        std::env::var("GOTRACE_BATCHES").map_or(BATCHES, |n| n.parse().expect("a number"));
    let config = FlightRecorderConfig {
        max_bytes: 64 << 10,
        ..Default::default()
    };
    let mut arena = vec![0; arena_size_for(config.max_bytes)];
    let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
    let version = Version::CURRENT;
    recorder.header(version.header()).unwrap();
    let payload: Vec<u8> = (0..300u32).map(|n| (n % 251) as u8).collect();
    let mut latest: VecDeque<Vec<u8>> = VecDeque::new();
    let (mut bytes, mut number, mut recorded) = (0u64, 0u64, 0u64);
    let start = Instant::now();
    while recorded < batches {
        number += 1;
        // Those that are dropped give their memory back.
        let mut generation = if latest.len() > 60 {
            latest.pop_front().unwrap_or_default()
        } else {
            Vec::new()
        };
        generation.resize(
            OF_A_GENERATION as usize * (payload.len() + BatchHead::MAX_LEN) + 1,
            0,
        );
        let mut out = Encoder::new(&mut generation);
        for n in 0..OF_A_GENERATION {
            let before = out.len();
            let time = number * OF_A_GENERATION + n;
            let head = BatchHead {
                generation: GenerationId::new(number).unwrap(),
                thread: ThreadId::new(n),
                time: Timestamp(time),
                experiment: None,
                header_len: 0,
                data_len: 0,
            };
            // Of many lengths, so that each begins and ends everywhere in the arena.
            let len = (time.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % payload.len();
            out.batch(&head, &payload[..len]).unwrap();
            recorder.batch(&out.bytes()[before..]).unwrap();
            recorded += 1;
        }
        out.end_of_generation().unwrap();
        recorder.end_generation().unwrap();
        let len = out.len();
        generation.truncate(len);
        bytes += len as u64;
        latest.push_back(generation);
        if number.is_power_of_two() || number % 50_000 == 0 {
            check(&recorder, &latest, number, bytes);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    check(&recorder, &latest, number, bytes);
    let resumed = FlightRecorder::resume(recorder.into_arena(), config).unwrap();
    check(&resumed, &latest, number, bytes);
    println!("{recorded} batches, {number} generations, {bytes} bytes in {seconds:.1} s");
}

fn check(
    recorder: &FlightRecorder<&mut [u8]>,
    latest: &VecDeque<Vec<u8>>,
    number: u64,
    bytes: u64,
) {
    let status = recorder.status();
    assert_eq!(status.recorded.generations, number);
    assert_eq!(status.recorded.bytes, bytes);
    assert_eq!(status.losses.total().generations, 0);
    let snapshot = recorder.snapshot();
    let kept = status.window.generations as usize;
    assert!(kept >= latest.len().min(7), "{kept}");
    let expected = latest.iter().skip(latest.len() - kept).flatten();
    let header = Version::CURRENT.header().iter();
    let found = snapshot.pieces().iter().copied().flatten();
    assert!(found.eq(header.chain(expected)), "generation {number}");
    let recovered = FlightRecorder::recover(recorder.arena()).unwrap();
    assert_eq!(recovered.snapshot().pieces(), snapshot.pieces());
    assert_eq!(recovered.damage().count(), 0);
    assert_eq!(snapshot.generations().count(), kept);
    assert!(
        snapshot
            .generations()
            .last()
            .is_some_and(|g| g.number.get() == number)
    );
}
