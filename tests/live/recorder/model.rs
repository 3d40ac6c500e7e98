//! The recorder keeps exactly what a list of generations in the tests keeps.

use super::synth;
use super::twin::{Feed, Plan, run};
use gotrace::recorder::{FlightRecorder, FlightRecorderConfig, arena_size_for};
use proptest::prelude::*;
use std::time::Duration;

fn plans() -> impl Strategy<Value = Plan> {
    // Small generations in small arenas, where every edge is met, and whole-size batches.
    let small = (
        880usize..6000,
        1usize..3000,
        prop::collection::vec(
            (prop::collection::vec(0usize..300, 0..8), 1u64..3000),
            1..40,
        ),
    );
    let tiny = (
        880usize..9000,
        1usize..6000,
        prop::collection::vec((prop::collection::vec(0usize..20, 0..2), 1u64..200), 20..60),
    );
    let large = (
        60_000usize..900_000,
        1usize..400_000,
        prop::collection::vec(
            (prop::collection::vec(0usize..65_537, 0..6), 1u64..3000),
            1..12,
        ),
    );
    let feed = prop_oneof![
        Just(Feed::Batches),
        Just(Feed::Markers),
        prop::collection::vec(prop_oneof![1usize..60, 1usize..80_000], 1..5).prop_map(Feed::Pieces),
    ];
    (
        prop::sample::select(synth::versions()),
        prop_oneof![3 => small, 2 => tiny, 1 => large],
        1u64..10_000,
        prop::sample::select(vec![1u64, 7, 64, 1000, 15_625_000]),
        1u64..1_000_000,
        feed,
    )
        .prop_map(
            |(version, (arena, max_bytes, generations), age, hertz, first, feed)| Plan {
                version,
                arena,
                config: FlightRecorderConfig {
                    min_age: Duration::from_micros(999 + age * (1_000_000 / hertz)),
                    max_bytes,
                },
                hertz,
                first,
                generations,
                feed,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_recorder_keeps_what_the_model_keeps(plan in plans()) {
        run(&plan);
    }

    /// The promise of `arena_size_for`; also after generations that were larger and lost.
    #[test]
    fn an_arena_for_max_bytes_loses_no_generation_of_that_size(
        max_bytes in prop_oneof![64usize..4000, 64usize..300_000],
        fractions in prop::collection::vec(prop::collection::vec(0.0..1.0f64, 0..6), 1..30),
        version in prop::sample::select(synth::versions()),
    ) {
        let config = FlightRecorderConfig { max_bytes, ..Default::default() };
        let mut arena = vec![0; arena_size_for(max_bytes)];
        let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
        recorder.header(version.header()).unwrap();
        let mut expected = 0;
        for (n, fractions) in fractions.iter().enumerate() {
            let number = n as u64 + 1;
            // Payloads that fill at most `max_bytes` together with their headers; now and then, far
            // more.
            let room = if n % 7 == 3 { 4 * max_bytes } else { max_bytes };
            let overhead = 40 + 16 * (fractions.len() + 1);
            let payloads = room.saturating_sub(overhead) as f64;
            let sum: f64 = fractions.iter().sum::<f64>().max(1.0);
            let sizes: Vec<usize> = fractions
                .iter()
                .map(|f| ((f / sum * payloads) as usize).min(65_536))
                .collect();
            let generation = synth::generation(version, number, number * 10, 100, &sizes);
            let bytes = generation.wire(version).len();
            let newest = recorder.snapshot().generations().last();
            let beside_large = newest.is_some_and(|g| g.bytes > max_bytes as u64);
            for batch in &generation.0 {
                recorder.batch(batch).unwrap();
            }
            recorder.end_generation().unwrap();
            if bytes <= max_bytes && !beside_large {
                expected = number;
            }
            let newest = recorder.status().newest.map_or(0, |n| n.get());
            prop_assert!(newest >= expected, "{bytes} of {max_bytes} bytes: {:?}", recorder.status());
        }
    }
}
