//! Would find: generations, of any sizes and times and however they come, of which the recorder
//! keeps or counts others than its slow twin; input that makes it panic, or a snapshot that is no
//! trace; a window that differs when the same bytes come in other pieces.
#![no_main]

use gotrace::recorder::{FlightRecorder, FlightRecorderConfig};
use gotrace_fuzz::twin::{self, Feed, Plan};
use gotrace_fuzz::{Choices, mutate, synth};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use std::time::Duration;

// Other inputs than traces are choices.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if data[..size].starts_with(b"go 1.") {
        mutate(data, size, max_size, seed)
    } else {
        libfuzzer_sys::fuzzer_mutate(data, size, max_size)
    }
});

fuzz_target!(|bytes: &[u8]| {
    if bytes.starts_with(b"go 1.") {
        pieces(bytes);
    } else {
        twin::run(&plan(&mut Choices(bytes)));
    }
});

fn plan(choices: &mut Choices<'_>) -> Plan {
    let versions = synth::versions();
    let hertz = [1, 7, 64, 1000, 15_625_000][choices.number(0, 4)];
    // Generations from tiny to larger than the arena, and now and then batches of whole size.
    let (arena, largest, most) = match choices.byte() {
        0..120 => (6000, 255, 60),
        120..240 => (9000, 20, 100),
        240..252 => (2000, 900, 60),
        _ => (900_000, 65_536, 12),
    };
    Plan {
        version: versions[choices.number(0, versions.len() - 1)],
        arena: choices.number(880, arena),
        config: FlightRecorderConfig {
            min_age: Duration::from_micros(
                999 + choices.number(1, 10_000) as u64 * (1_000_000 / hertz),
            ),
            max_bytes: choices.number(1, arena),
        },
        hertz,
        first: match choices.number(1, 255) as u64 {
            255 => u64::MAX - 100,
            first => first,
        },
        feed: match choices.number(0, 3) {
            0 => Feed::Batches,
            1 => Feed::Markers,
            _ => {
                let mut sizes = choices.list(4, |c| c.number(1, 2000));
                // All that is kept is read after each.
                sizes.push(arena / 50);
                Feed::Pieces(sizes)
            }
        },
        generations: choices.list(most, |c| {
            let sizes = c.list(7, |c| c.number(0, largest));
            (sizes, c.number(1, 3000) as u64)
        }),
    }
}

/// The same bytes in one piece and in many; they need not be a trace.
fn pieces(bytes: &[u8]) {
    let first = usize::from(bytes[bytes.len() / 2]);
    let last = usize::from(bytes[bytes.len() - 1]);
    let config = FlightRecorderConfig {
        max_bytes: 1 + 20 * last,
        ..Default::default()
    };
    let record = |size: usize| {
        let arena = vec![0; 848 + 40 * last];
        let mut recorder = FlightRecorder::new(arena, config).unwrap();
        let mut error = None;
        for piece in bytes.chunks(size) {
            error = error.or(recorder.write(piece).err());
            check(&recorder);
        }
        let _ = recorder.end_generation();
        check(&recorder);
        (recorder, error)
    };
    let (whole, error) = record(bytes.len());
    let (pieces, same) = record(1 + 8 * first);
    assert_eq!(error, same);
    assert_eq!(
        whole.snapshot().pieces().concat(),
        pieces.snapshot().pieces().concat()
    );
    assert_eq!(whole.status(), pieces.status());
    let mut resumed = FlightRecorder::resume(whole.into_arena(), config).unwrap();
    let _ = resumed.write(bytes);
    check(&resumed);
}

fn check(recorder: &FlightRecorder<Vec<u8>>) {
    let snapshot = recorder.snapshot();
    let pieces = snapshot.pieces();
    if let Ok(trace) = snapshot.trace() {
        let numbers = trace.generations().map(|g| g.unwrap().number);
        assert!(numbers.eq(snapshot.generations().map(|g| g.number)));
    }
    let recovered = FlightRecorder::recover(recorder.arena()).unwrap();
    assert_eq!(recovered.damage().count(), 0);
    assert_eq!(recovered.snapshot().pieces(), pieces);
}
