//! What a shared recorder takes, alone in its process: every byte that the heap gives is its own.
#![cfg(feature = "std")]

use crate::{HEAP, alone};
use gotrace::ids::GenerationId;
use gotrace::recorder::{FlightRecorderConfig, SharedError, SharedRecorder, arena_size_for};
use gotrace::wire::{BatchHead, Encoder, Version};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Twice the arena, whatever is recorded and written at the same time.
#[test]
fn memory_stays_within_twice_the_arena() {
    alone!();
    const MAX_BYTES: usize = 1 << 20;
    let arena = arena_size_for(MAX_BYTES);
    let config = FlightRecorderConfig {
        max_bytes: MAX_BYTES,
        min_age: Duration::from_secs(1 << 20),
    };
    let mut batch = vec![0; 60_000 + BatchHead::MAX_LEN];
    let data = vec![11; 60_000];
    let done = AtomicBool::new(false);
    let recorder = SharedRecorder::new(config);
    let ((snapshots, largest), peak) = HEAP.peak_of(|| {
        recorder.start().unwrap();
        recorder.write(Version::CURRENT.header()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let begun = Instant::now();
                let mut number = 0;
                while begun.elapsed() < Duration::from_millis(500) {
                    number += 1;
                    // Nothing is kept from time to time, so that the window grows while it is copied.
                    if number % 200 == 0 {
                        recorder.with(|r| r.restart()).unwrap();
                        recorder.write(Version::CURRENT.header()).unwrap();
                    }
                    let head = BatchHead {
                        generation: GenerationId::new(number).unwrap(),
                        thread: None,
                        time: gotrace::time::Timestamp(number),
                        experiment: None,
                        header_len: 0,
                        data_len: 0,
                    };
                    let mut out = Encoder::new(&mut batch);
                    out.batch(&head, &data).unwrap();
                    out.end_of_generation().unwrap();
                    recorder.write(out.into_bytes()).unwrap();
                }
                done.store(true, Ordering::Relaxed);
            });
            let (mut snapshots, mut largest) = (0u64, 0);
            while !done.load(Ordering::Relaxed) {
                match recorder.write_to(std::io::sink()) {
                    Ok(len) => largest = len.max(largest),
                    Err(error) => assert!(matches!(error, SharedError::Empty), "{error}"),
                }
                snapshots += 1;
            }
            (snapshots, largest)
        })
    });
    assert!(snapshots > 10, "{snapshots}");
    assert!(largest as usize > MAX_BYTES, "a window of {largest} bytes");
    // Threads and their channels take a little, too.
    assert!(peak > arena + largest as usize, "{peak}");
    assert!(peak < 2 * arena + 10_000, "{peak} bytes, arena {arena}");

    // Recording alone takes the arena and nothing else; a stop gives all of it back.
    recorder.stop();
    let ((), peak) = HEAP.peak_of(|| {
        recorder.start().unwrap();
        recorder.write(Version::CURRENT.header()).unwrap();
    });
    assert!((arena..arena + 1000).contains(&peak), "{peak}");
    recorder.stop();
    let ((), peak) = HEAP.peak_of(|| recorder.stop());
    assert_eq!(peak, 0);
}
