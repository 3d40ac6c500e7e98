//! How fast the flight recorder takes batches, side by side with the work that it cannot avoid: one
//! copy and one checksum.
//!
//! `cargo bench --bench recorder` fails if that takes more than twice as long, or longer the more
//! generations are kept, and prints the best of many rounds, in GB (10^9 bytes) a second.

use gotrace::recorder::{FlightRecorder, FlightRecorderConfig, LossReason, arena_size_for};
use gotrace::wire::{BatchHead, Encoder, Version};
use gotrace::{ids::GenerationId, time::Timestamp};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Bytes a round: about what a busy server records in a second or two.
const ROUND: usize = 64 << 20;
/// As many bytes as a generation has.
const GENERATION: usize = 4 << 20;
const ROUNDS: usize = 20;

fn main() {
    println!("batch      copy  copy+checksum  recorder  in pieces   share");
    for payload in [256, 4 << 10, 65_536] {
        let stream = Stream::new(payload);
        let mut ring = vec![1u8; 20 << 20];
        let copied = stream.time(|| copy(&stream, &mut ring, |_| 0));
        let checksum = stream.time(|| {
            copy(&stream, &mut ring, |bytes| {
                twox_hash::XxHash32::oneshot(1, bytes)
            })
        });
        let config = FlightRecorderConfig {
            max_bytes: 10 << 20,
            min_age: Duration::from_secs(1 << 30),
        };
        let mut arena = vec![0; arena_size_for(config.max_bytes)];
        let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
        let batches = stream.time(|| {
            recorder.header(Version::CURRENT.header()).unwrap();
            for batch in &stream.batches {
                match batch.len() {
                    1 => recorder.end_generation().unwrap(),
                    _ => recorder.batch(&stream.bytes[batch.clone()]).unwrap(),
                }
            }
        });
        let lost = recorder.status().losses;
        assert_eq!(lost.of(LossReason::TooLarge), Default::default());
        let pieces = stream.time(|| {
            recorder.restart();
            recorder.write(Version::CURRENT.header()).unwrap();
            for piece in stream.bytes.chunks(50_000) {
                recorder.write(piece).unwrap();
            }
        });
        let share = batches / checksum * 100.0;
        // What is promised for batches of the usual size.
        if payload == 65_536 {
            assert!(share >= 50.0, "less than half of a copy and a checksum");
        }
        println!(
            "{payload:>6} {copied:>8.2} {checksum:>14.2} {batches:>9.2} {pieces:>10.2} {share:>6.0}%"
        );
    }
    println!();
    kept();
}

/// The cost of a batch and of a generation's end does not depend on how many are kept.
fn kept() {
    let mut all = Vec::new();
    println!("generations kept   ns/generation of one small batch");
    for max_bytes in [1_000, 100_000, 1_000_000] {
        let config = FlightRecorderConfig {
            max_bytes,
            min_age: Duration::from_secs(1 << 30),
        };
        let mut arena = vec![0; arena_size_for(4 << 20)];
        let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
        recorder.header(Version::CURRENT.header()).unwrap();
        let batches: Vec<Vec<u8>> = (1..=200_000).map(|n| batch(n, 1_000)).collect();
        let start = Instant::now();
        for batch in &batches {
            recorder.batch(batch).unwrap();
            recorder.end_generation().unwrap();
        }
        let each = start.elapsed().as_nanos() as f64 / batches.len() as f64;
        println!("{:>16} {each:>8.0}", recorder.status().window.generations);
        all.push(each);
    }
    // Caches make some difference; a walk through a thousand records would make far more.
    assert!(all[2] < 3.0 * all[0], "it depends on what is kept");
}

fn batch(generation: u64, payload: usize) -> Vec<u8> {
    let mut buffer = vec![0; payload + BatchHead::MAX_LEN];
    let mut out = Encoder::new(&mut buffer);
    let data: Vec<u8> = (0..payload).map(|n| (n * 7 + payload) as u8).collect();
    let head = BatchHead {
        generation: GenerationId::new(generation).unwrap(),
        thread: None,
        time: Timestamp(generation * 1000),
        experiment: None,
        header_len: 0,
        data_len: 0,
    };
    out.batch(&head, &data).unwrap();
    out.into_bytes().to_vec()
}

struct Stream {
    bytes: Vec<u8>,
    /// Ranges of batches, and of markers.
    batches: Vec<std::ops::Range<usize>>,
}

impl Stream {
    fn new(payload: usize) -> Stream {
        let (mut bytes, mut batches) = (Vec::new(), Vec::new());
        let mut number = 1;
        let mut begun = 0;
        while bytes.len() < ROUND {
            let at = bytes.len();
            bytes.extend(batch(number, payload));
            batches.push(at..bytes.len());
            if bytes.len() - begun > GENERATION {
                bytes.push(52);
                batches.push(bytes.len() - 1..bytes.len());
                number += 1;
                begun = bytes.len();
            }
        }
        Stream { bytes, batches }
    }

    /// GB a second of the best round.
    fn time(&self, mut round: impl FnMut()) -> f64 {
        let best = (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                round();
                start.elapsed()
            })
            .min()
            .unwrap();
        self.bytes.len() as f64 / best.as_secs_f64() / 1e9
    }
}

/// Copies the batches into a ring of the same size, and does something with each copy.
fn copy(stream: &Stream, ring: &mut [u8], each: impl Fn(&[u8]) -> u32) {
    let mut at = 0;
    for batch in &stream.batches {
        let bytes = &stream.bytes[batch.clone()];
        if at + bytes.len() > ring.len() {
            at = 0;
        }
        let to = &mut ring[at..at + bytes.len()];
        to.copy_from_slice(bytes);
        black_box(each(to));
        at += bytes.len();
    }
}
