//! Would find: input, or an arena, that makes the recorder panic; a snapshot that is no trace; a
//! window that differs when the same bytes come in other pieces; an arena that is not recovered as
//! it was.
#![no_main]

use gotrace::recorder::{FlightRecorder, FlightRecorderConfig};
use gotrace_fuzz::mutate;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    let (first, last) = match bytes {
        [first, .., last] => (usize::from(*first), usize::from(*last)),
        _ => return,
    };
    let config = FlightRecorderConfig {
        max_bytes: 1 + 20 * last,
        ..Default::default()
    };
    let record = |size: usize| {
        let arena = vec![0; 720 + 40 * last];
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

    // Bytes that are no arena, and an arena with some of them in it.
    let _ = FlightRecorder::recover(bytes);
    let mut arena = whole.into_arena();
    for (n, byte) in bytes.iter().enumerate().skip(1).step_by(1 + first) {
        let at = (n * 31) % arena.len();
        arena[at] ^= byte & bytes[n - 1];
    }
    if let Ok(mut recorder) = FlightRecorder::resume(arena, config) {
        let _ = recorder.write(bytes);
        check(&recorder);
    }
});

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
