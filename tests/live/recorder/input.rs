//! Bad input: an error, the loss of the generation that it stands in, and nothing else.

use super::synth::{self, Batches, MARKER};
use crate::common;
use gotrace::ids::Offset;
use gotrace::recorder::{FlightRecorder, FlightRecorderConfig, LossReason, arena_size_for};
use gotrace::wire::Version;
use gotrace::{Error, ErrorKind};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Recorder<'a> = FlightRecorder<&'a mut [u8]>;

/// A recorder amid the generation after two complete ones, 5 and 6.
fn amid<'a>(arena: &'a mut [u8], version: Version) -> Recorder<'a> {
    let mut recorder = FlightRecorder::new(arena, FlightRecorderConfig::default()).unwrap();
    recorder.header(version.header()).unwrap();
    for number in [5, 6] {
        record(&mut recorder, &small(version, number));
    }
    recorder
        .batch(&synth::batch(7, 700, None, b"\x0b\x01"))
        .unwrap();
    recorder
}

fn small(version: Version, number: u64) -> Batches {
    synth::generation(version, number, number * 100, 100, &[10, 20, 30])
}

fn record(recorder: &mut Recorder<'_>, generation: &Batches) {
    for batch in &generation.0 {
        recorder.batch(batch).unwrap();
    }
    recorder.end_generation().unwrap();
}

fn numbers(recorder: &Recorder<'_>) -> Vec<u64> {
    synth::read(recorder.snapshot().pieces())
}

/// Bad slices of what was to be a batch of generation 7: name, bytes, error, value.
fn bad_slices() -> Vec<(&'static str, Vec<u8>, ErrorKind, u64)> {
    let good = synth::batch(7, 701, None, &[11; 100]);
    let mut long = good.clone();
    long.extend([1, 2, 3]);
    let mut claims = vec![1, 7, 1, 1];
    claims.extend([0x80, 0x80, 0x10]);
    vec![
        ("empty", vec![], ErrorKind::UnexpectedEnd, 1),
        (
            "short",
            good[..50].to_vec(),
            ErrorKind::UnexpectedEnd,
            good.len() as u64 - 50,
        ),
        (
            "only a header",
            good[..3].to_vec(),
            ErrorKind::UnexpectedEnd,
            1,
        ),
        ("long", long, ErrorKind::TrailingBytes, 3),
        ("unknown type", vec![99, 1, 2], ErrorKind::NotABatch, 99),
        ("an event", vec![16, 1, 2, 3], ErrorKind::NotABatch, 16),
        ("too large", claims, ErrorKind::BatchTooLarge, 1 << 18),
        (
            "generation 0",
            vec![1, 0, 1, 1, 0],
            ErrorKind::InvalidGeneration,
            0,
        ),
        (
            "endless number",
            [vec![1], vec![0xff; 11]].concat(),
            ErrorKind::VarintOverflow,
            0,
        ),
    ]
}

#[test]
fn a_bad_batch_costs_the_generation_in_progress() {
    for version in synth::versions() {
        for (name, bytes, kind, value) in bad_slices() {
            let mut arena = vec![0; arena_size_for(1 << 16)];
            let mut recorder = amid(&mut arena, version);
            let before = recorder.snapshot().pieces().concat();
            let error = recorder.batch(&bytes).unwrap_err();
            assert_eq!((error.kind(), error.value()), (kind, value), "{name}");
            assert!(error.offset().0 >= before.len() as u64, "{name}: {error}");
            assert_eq!(recorder.snapshot().pieces().concat(), before, "{name}");
            let lost = recorder.status().losses.of(LossReason::Damaged);
            assert_eq!(lost.generations, 1, "{name}");

            // The rest of 7 comes, and is lost too, without further errors.
            recorder
                .batch(&synth::batch(7, 702, None, b"\x0b\x01"))
                .unwrap();
            if synth::marked(version) {
                recorder.batch(&[MARKER]).unwrap();
            }
            assert_eq!(numbers(&recorder), [5, 6]);
            let lost = recorder.status().losses.of(LossReason::Damaged);
            assert!(lost.bytes > 10, "{name}");

            // Before 1.26 it may have been the first batch of 8; otherwise 8 is whole.
            record(&mut recorder, &small(version, 8));
            record(&mut recorder, &small(version, 9));
            let expected: &[u64] = if synth::marked(version) {
                &[8, 9]
            } else {
                &[9]
            };
            assert_eq!(numbers(&recorder), expected, "{name} {version}");
            let gap = recorder.status().losses.of(LossReason::Gap);
            assert_eq!(gap.generations, 2, "{name}");
        }
    }
}

#[test]
fn a_generation_that_jumps_is_an_error_and_the_next_is_recorded() {
    for version in synth::versions() {
        for number in [1, 6, 9, u64::MAX] {
            let mut arena = vec![0; arena_size_for(1 << 16)];
            let mut recorder = amid(&mut arena, version);
            let before = recorder.snapshot().pieces().concat();
            let first = synth::batch(7, 700, None, b"\x0b\x01").len() as u64;
            let offset = before.len() as u64 + first;
            let error = recorder
                .batch(&synth::batch(number, 1, None, b""))
                .unwrap_err();
            let kind = ErrorKind::GenerationOrder;
            assert_eq!(error, Error::new(kind, number, Offset(offset)), "{version}");
            assert_eq!(recorder.snapshot().pieces().concat(), before);
            recorder.end_generation().unwrap();
            assert_eq!(recorder.snapshot().pieces().concat(), before);
            if number == u64::MAX {
                // None follows; a new trace does.
                recorder.header(version.header()).unwrap();
                record(&mut recorder, &small(version, 1));
                assert_eq!(numbers(&recorder), [1]);
            } else {
                record(&mut recorder, &small(version, number + 1));
                assert_eq!(numbers(&recorder).last(), Some(&(number + 1)));
            }
        }
    }
}

/// A missing marker looks like a jump: what it ended is not known to be whole.
#[test]
fn a_missing_marker_is_an_error() {
    let version = Version::Go126;
    let mut arena = vec![0; arena_size_for(1 << 16)];
    let mut recorder = amid(&mut arena, version);
    let error = recorder
        .batch(&synth::batch(8, 800, None, b""))
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.value()),
        (ErrorKind::GenerationOrder, 8)
    );
    recorder.batch(&[MARKER]).unwrap();
    assert_eq!(numbers(&recorder), [5, 6]);
    record(&mut recorder, &small(version, 9));
    assert_eq!(numbers(&recorder), [9]);
}

#[test]
fn a_marker_before_1_26_is_an_error() {
    let mut arena = vec![0; arena_size_for(1 << 16)];
    let mut recorder = amid(&mut arena, Version::Go125);
    let error = recorder.batch(&[MARKER]).unwrap_err();
    assert_eq!(
        (error.kind(), error.value()),
        (ErrorKind::NotABatch, u64::from(MARKER))
    );
    assert_eq!(numbers(&recorder), [5, 6]);
}

#[test]
fn a_stream_is_read_no_further_than_it_can_be() {
    for version in synth::versions() {
        for (name, bytes, kind, _) in bad_slices() {
            if matches!(kind, ErrorKind::UnexpectedEnd | ErrorKind::TrailingBytes) {
                // In a stream, these are other batches.
                continue;
            }
            for size in [1, 5, 1000] {
                let mut arena = vec![0; arena_size_for(1 << 16)];
                let config = FlightRecorderConfig::default();
                let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
                let good = synth::trace(version, &[5, 6, 7].map(|n| small(version, n)));
                recorder.write(&good).unwrap();
                let kept = numbers(&recorder);
                let at = good.len() as u64;
                let mut bad = bytes.clone();
                bad.extend(small(version, 8).wire(version));
                let errors: Vec<Error> = bad
                    .chunks(size)
                    .filter_map(|piece| recorder.write(piece).err())
                    .collect();
                let first = errors[0];
                assert_eq!(first.kind(), kind, "{name}");
                assert!(
                    first.offset().0 >= at && first.offset().0 <= at + 12,
                    "{first}"
                );
                // The same from then on.
                assert!(errors.iter().all(|e| *e == first), "{errors:?}");
                assert_eq!(recorder.write(b"\x01"), Err(first));
                assert_eq!(numbers(&recorder), kept);
                recorder.restart();
                recorder
                    .write(&synth::trace(version, &[small(version, 1)]))
                    .unwrap();
                recorder.end_generation().unwrap();
                assert_eq!(numbers(&recorder), [1]);
            }
        }
    }
}

#[test]
fn headers_are_checked_and_begin_another_trace() {
    let mut arena = vec![0; arena_size_for(1 << 16)];
    let mut recorder = amid(&mut arena, Version::Go123);
    let old = Version::Go121.header();
    let error = recorder.header(old).unwrap_err();
    assert_eq!(
        (error.kind(), error.value()),
        (ErrorKind::NoGenerations, 21)
    );
    let error = recorder.header(b"go 1.99 trace\0\0\0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NewerVersion);
    let error = recorder.header(&[&old[..], b"x"].concat()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoGenerations);
    let long = [&Version::Go122.header()[..], b"xy"].concat();
    let error = recorder.header(&long).unwrap_err();
    assert_eq!(error, Error::new(ErrorKind::TrailingBytes, 2, Offset(16)));
    let error = recorder.header(&long[..10]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEnd);

    // Generation 7 goes on after each of these, and is whole.
    recorder.end_generation().unwrap();
    assert_eq!(recorder.status().newest.unwrap().get(), 7);

    // Another trace, of another version: its generations do not follow those.
    recorder
        .batch(&synth::batch(8, 800, None, b"\x0b\x01"))
        .unwrap();
    recorder.header(Version::Go126.header()).unwrap();
    assert_eq!(recorder.snapshot().version(), Some(Version::Go123));
    let lost = recorder.status().losses.of(LossReason::Interrupted);
    assert_eq!(lost.generations, 1);
    record(&mut recorder, &small(Version::Go126, 8));
    assert_eq!(recorder.snapshot().version(), Some(Version::Go126));
    assert_eq!(numbers(&recorder), [8]);
}

#[test]
fn what_changes_nothing() {
    let mut arena = vec![0; arena_size_for(1 << 16)];
    let config = FlightRecorderConfig::default();
    let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
    let batch = synth::batch(1, 1, None, b"abc");
    let error = recorder.batch(&batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoHeader);
    assert_eq!(
        recorder.end_generation().unwrap_err().kind(),
        ErrorKind::NoHeader
    );
    assert!(recorder.snapshot().pieces().is_empty());

    // A batch of the stream is not complete: it may still be.
    let version = Version::Go126;
    recorder.write(version.header()).unwrap();
    for cut in [2, batch.len() - 1] {
        recorder.write(&batch[..cut]).unwrap();
        for result in [recorder.batch(&batch), recorder.end_generation()] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEnd);
        }
        recorder.write(&batch[cut..]).unwrap();
    }
    let progress = recorder.status().progress.unwrap();
    assert_eq!(
        (progress.batches, progress.bytes),
        (2, 2 * batch.len() as u64)
    );

    // A recording that ended in good order says so, and a batch without a header is none of another.
    let was_recording = |recorder: &Recorder<'_>| {
        FlightRecorder::recover(recorder.arena())
            .unwrap()
            .was_recording()
    };
    assert!(was_recording(&recorder));
    recorder.end_generation().unwrap();
    let before = recorder.snapshot().pieces().concat();
    recorder.restart();
    assert!(!was_recording(&recorder));
    let error = recorder.batch(&batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoHeader);
    assert_eq!(recorder.snapshot().pieces().concat(), before);
    recorder.write(version.header()).unwrap();
    assert!(was_recording(&recorder));
    recorder.write(&batch).unwrap();

    // A marker without a generation ends nothing.
    recorder.end_generation().unwrap();
    let before = recorder.snapshot().pieces().concat();
    let stray = |result: Result<(), Error>| {
        let error = result.unwrap_err();
        assert_eq!(
            (error.kind(), error.value()),
            (ErrorKind::NotABatch, u64::from(MARKER))
        );
    };
    stray(recorder.batch(&[MARKER]));
    recorder.end_generation().unwrap();
    stray(recorder.write(&[MARKER, MARKER]));
    assert_eq!(recorder.snapshot().pieces().concat(), before);
}

/// After a stop without a new header, the generation that goes on is not whole.
#[test]
fn a_trace_goes_on_after_a_stop_with_its_next_generation() {
    for version in synth::versions() {
        let mut arena = vec![0; arena_size_for(1 << 16)];
        let recorder = amid(&mut arena, version);
        let config = FlightRecorderConfig::default();
        let mut recorder = FlightRecorder::resume(recorder.into_arena(), config).unwrap();
        assert_eq!(numbers(&recorder), [5, 6]);
        recorder
            .batch(&synth::batch(7, 702, None, b"\x0b\x01"))
            .unwrap();
        if synth::marked(version) {
            recorder.batch(&[MARKER]).unwrap();
        }
        record(&mut recorder, &small(version, 8));
        assert_eq!(numbers(&recorder), [8]);
        let lost = recorder.status().losses;
        assert_eq!(lost.of(LossReason::Gap).generations, 2);
        assert_eq!(lost.of(LossReason::Interrupted).generations, 2);
    }
}

#[derive(Clone, Debug)]
enum Fault {
    Garbage(Vec<u8>),
    /// The batch comes cut, at this fraction.
    Cut(f64),
    Renumber(u64),
    NoMarker,
    /// The generation does not come at all.
    Missing,
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        prop::collection::vec(3u8..48, 1..20).prop_map(Fault::Garbage),
        (0.0..1.0f64).prop_map(Fault::Cut),
        (2u64..50).prop_map(Fault::Renumber),
        Just(Fault::NoMarker),
        Just(Fault::Missing),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever comes, what is kept is whole, and follows one another.
    #[test]
    fn only_whole_generations_are_kept(
        version in prop::sample::select(synth::versions()),
        faults in prop::collection::btree_map((1u64..40, 0usize..8), faults(), 0..12),
        arena in 2000usize..40_000,
    ) {
        let go = if version == Version::Go126 { 27 } else { version.minor() };
        let fixture = common::fixture(&format!("annotate-go1.{go}"));
        let (_, sources) = synth::split(&fixture.bytes());
        let mut arena = vec![0; arena];
        let config = FlightRecorderConfig { max_bytes: 20_000, ..Default::default() };
        let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
        recorder.header(version.header()).unwrap();
        let mut whole = BTreeMap::new();
        let mut last_fault = 0;
        for number in 1..50u64 {
            let generation = sources[number as usize % sources.len()].1.renumbered(number);
            whole.insert(number, generation.wire(version));
            let faults: BTreeMap<usize, &Fault> = faults
                .range((number, 0)..(number, 8))
                .map(|((_, at), fault)| (*at, fault))
                .collect();
            if !faults.is_empty() {
                last_fault = number;
            }
            if faults.values().any(|f| matches!(f, Fault::Missing)) {
                continue;
            }
            for (at, batch) in generation.0.iter().enumerate() {
                match faults.get(&at) {
                    Some(Fault::Garbage(bytes)) => {
                        prop_assert!(recorder.batch(bytes).is_err());
                        // Errors of what is skipped anyway need not be told.
                        let _ = recorder.batch(batch);
                    }
                    Some(Fault::Cut(at)) => {
                        let cut = (batch.len() as f64 * at) as usize;
                        prop_assert!(recorder.batch(&batch[..cut]).is_err());
                    }
                    Some(Fault::Renumber(by)) => {
                        let renumbered = Batches(vec![batch.clone()]).renumbered(number + by);
                        let _ = recorder.batch(&renumbered.0[0]);
                    }
                    _ => {
                        let _ = recorder.batch(batch);
                    }
                }
            }
            let no_marker = faults.values().any(|f| matches!(f, Fault::NoMarker));
            if synth::marked(version) && !no_marker {
                recorder.batch(&[MARKER]).unwrap();
            }
            let snapshot = recorder.snapshot();
            let kept = synth::read(snapshot.pieces());
            for (number, found) in kept.iter().zip(snapshot.generations()) {
                prop_assert_eq!(&found.pieces.concat(), &whole[number], "{}", number);
            }
        }
        recorder.end_generation().unwrap();
        // It got over the last fault, two generations later at most.
        if last_fault < 46 {
            let newest = recorder.status().newest.map_or(0, |n| n.get());
            let large = recorder.status().losses.of(LossReason::TooLarge).generations;
            prop_assert!(newest == 49 || large > 0, "{:?}", recorder.status());
        }
    }
}

#[cfg(all(feature = "serde", feature = "json"))]
#[test]
fn a_stored_status_comes_back() {
    let mut arena = vec![0; arena_size_for(1 << 16)];
    let mut recorder = amid(&mut arena, Version::Go123);
    let progress = recorder.status();
    recorder.end_generation().unwrap();
    let complete = recorder.status();
    assert_ne!(progress, complete);
    for status in [progress, complete] {
        let stored = serde_json::to_string(&status).unwrap();
        let back: gotrace::recorder::Status = serde_json::from_str(&stored).unwrap();
        assert_eq!(back, status, "{stored}");
    }
}
