//! Snapshots of every fixture, at every generation boundary and at many sizes of arena.

use super::synth::{self, Batches};
use crate::common::{self, go::Go};
use gotrace::Trace;
use gotrace::recorder::{ArenaError, FlightRecorder, FlightRecorderConfig, arena_size_for};
use gotrace::wire::Version;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

/// Name, bytes, version, generations.
type Fixture = (String, Vec<u8>, Version, Vec<(u64, Batches)>);

/// Every fixture with generations.
fn traces() -> Vec<Fixture> {
    let mut all = Vec::new();
    for fixture in common::fixtures() {
        let bytes = fixture.bytes();
        if Version::from_header(&bytes).is_ok_and(Version::has_generations) {
            let (version, generations) = synth::split(&bytes);
            all.push((fixture.name, bytes, version, generations));
        }
    }
    assert!(all.len() > 30);
    all
}

/// Arenas from the smallest to one for everything.
fn arenas(trace: usize) -> impl Iterator<Item = usize> {
    let most = arena_size_for(trace);
    let steps = (0..24).map(move |n| 848 + (most - 848) * n / 24);
    steps.chain([most, 2 * most])
}

/// The number of events.
fn read(trace: &Trace<'_>) -> u64 {
    let mut reader = trace.reader();
    let mut events = 0;
    while reader.next().unwrap().is_some() {
        events += 1;
    }
    events
}

#[test]
fn snapshots_are_windows_of_the_trace() {
    let go = Go::find();
    let mut serve = go.map(|go| go.reference().serve());
    let (mut judged, mut wrapped) = (BTreeMap::new(), 0);
    for (name, bytes, version, generations) in traces() {
        for arena_len in arenas(bytes.len()) {
            let mut arena = vec![0; arena_len];
            let config = FlightRecorderConfig {
                min_age: Duration::from_secs(3600),
                max_bytes: bytes.len(),
            };
            let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
            recorder.header(&bytes[..16]).unwrap();
            for (n, (number, generation)) in generations.iter().enumerate() {
                for batch in &generation.0 {
                    recorder.batch(batch).unwrap();
                }
                recorder.end_generation().unwrap();

                let snapshot = recorder.snapshot();
                let numbers = synth::read(snapshot.pieces());
                // A window of the newest generations; or, if this one did not fit, of older ones.
                let kept = generations.iter().filter(|(n, _)| numbers.contains(n));
                let expected = synth::trace(version, kept.map(|(_, g)| g));
                let mut written = Vec::new();
                recorder.snapshot().write_to(&mut written).unwrap();
                assert!(written == expected, "{name}, arena of {arena_len} bytes");
                let status = recorder.status();
                let (lost, passed) = (status.losses.total(), status.passed.outgrown);
                assert!(numbers.last() == Some(number) || lost.generations > 0);
                assert_eq!(
                    numbers.len() as u64 + lost.generations + passed.generations,
                    n as u64 + 1
                );
                // Read where it stands: each in the arena in which it comes first, and all that the
                // ring's end cuts.
                let cut = snapshot.pieces().len() == 3;
                let entry = judged.entry((name.clone(), written));
                if !numbers.is_empty() && (cut || matches!(entry, Entry::Vacant(_))) {
                    let events = read(&snapshot.trace().unwrap());
                    assert_eq!(*entry.or_insert(events), events, "{name}");
                    wrapped += usize::from(cut);
                }
                if arena_len >= arena_size_for(bytes.len()) {
                    assert_eq!(numbers.len(), n + 1, "{name} fits");
                }
            }
        }
    }
    // Our reader and Go's agree that each of them is a trace.
    assert!(judged.len() > 60, "{} windows", judged.len());
    assert!(wrapped > 10, "{wrapped} windows across the end of the ring");
    for ((name, trace), events) in &judged {
        assert_eq!(read(&Trace::new(trace).unwrap()), *events);
        if let Some(serve) = &mut serve {
            let verdict = serve.verdict(trace);
            assert_eq!((verdict.error, verdict.events), (None, *events), "{name}");
        }
    }
}

/// A stream cut anywhere is the same recording; a whole trace in an arena that is large enough is
/// the same trace.
#[test]
fn pieces_of_a_stream_make_the_same_recording() {
    for (name, bytes, version, _) in traces() {
        for size in [1, 2, 7, 41, 43, 1000, 65_000, usize::MAX] {
            let mut arena = vec![0; arena_size_for(bytes.len())];
            let config = FlightRecorderConfig {
                min_age: Duration::from_secs(3600),
                max_bytes: bytes.len(),
            };
            let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
            for piece in bytes.chunks(size) {
                recorder.write(piece).unwrap();
            }
            if !synth::marked(version) {
                recorder.end_generation().unwrap();
            }
            let snapshot = recorder.snapshot();
            assert!(snapshot.pieces().concat() == bytes, "{name}");
            let status = recorder.status();
            assert_eq!(status.losses.total(), Default::default());
            assert_eq!(status.progress, None);
        }
    }
}

/// Generations of a second, and a window of some seconds.
#[test]
fn ages_are_those_of_the_trace() {
    let bytes = common::fixture("flight-go1.27").bytes();
    let (version, generations) = synth::split(&bytes);
    for (seconds, kept) in [(0.5, 1), (1.5, 2), (2.5, 3), (60.0, 3)] {
        let config = FlightRecorderConfig {
            min_age: Duration::from_secs_f64(seconds),
            ..Default::default()
        };
        let mut arena = vec![0; arena_size_for(1 << 20)];
        let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
        recorder.write(&bytes).unwrap();
        let snapshot = recorder.snapshot();
        assert_eq!(snapshot.generations().count(), kept, "{seconds} s");
        let window = &generations[3 - kept..];
        let expected = synth::trace(version, window.iter().map(|(_, g)| g));
        assert!(snapshot.pieces().concat() == expected);
        let span = recorder.status().span().unwrap().as_secs_f64();
        assert!((span - kept as f64).abs() < 0.1, "{span} s");
    }
}

#[test]
fn an_arena_can_be_too_small() {
    let mut arena = [0; 847];
    let result = FlightRecorder::new(&mut arena[..], FlightRecorderConfig::default());
    assert_eq!(result.err(), Some(ArenaError::TooSmall { smallest: 848 }));
    assert_eq!(arena, [0; 847]);
}
