//! Damaged, foreign and old arenas: what checks out is handed out, what does not is named.

use super::harm::{self, Harm, Left, genuine};
use super::synth;
use crate::common;
use gotrace::recorder::{ArenaError, Damage, FlightRecorder, FlightRecorderConfig, arena_size_for};
use proptest::prelude::*;
use std::sync::LazyLock;

const CONFIG: FlightRecorderConfig = FlightRecorderConfig {
    min_age: std::time::Duration::from_secs(1_000_000),
    max_bytes: 20_000,
};

/// Its ring is full and has begun again.
static LEFT: LazyLock<Left> = LazyLock::new(|| {
    let bytes = common::fixture("annotate-go1.27").bytes();
    let (version, sources) = synth::split(&bytes);
    let source = |number| &sources[number as usize % sources.len()].1;
    let record = |last: u64| {
        let generations: Vec<_> = (1..=last)
            .map(|number| (number, source(number).renumbered(number)))
            .collect();
        let arena = vec![0x5a; arena_size_for(9000)];
        let left = Left::record(version, arena, CONFIG, &generations, 4);
        assert!(left.kept.len() >= 4, "{:?}", left.kept);
        assert_eq!(left.in_progress, Some(last));
        left
    };
    let has_begun_again = |left: &Left| {
        let recovered = FlightRecorder::recover(&left.arena).unwrap();
        recovered.snapshot().pieces().len() == 3
    };
    let left = (20..40).map(record).find(has_begun_again);
    left.expect("a ring that has begun again")
});

fn harms() -> impl Strategy<Value = Harm> {
    prop_oneof![
        6 => (any::<usize>(), any::<u8>()).prop_map(|(n, bit)| Harm::Flip(n, bit)),
        2 => (any::<usize>(), 1usize..5000, any::<u8>())
            .prop_map(|(from, count, byte)| Harm::Fill(from, count, byte)),
        2 => (any::<usize>(), any::<usize>(), 1usize..5000)
            .prop_map(|(from, to, count)| Harm::Copy(from, to, count)),
        1 => any::<usize>().prop_map(Harm::Truncate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn only_what_was_recorded_comes_out(harms in prop::collection::vec(harms(), 1..6)) {
        harm::check(&LEFT, &harms);
    }

    /// Nobody's recorder makes these; somebody might.
    #[test]
    fn lies_do_no_harm(harms in prop::collection::vec(harms(), 1..6)) {
        let mut arena = LEFT.arena.clone();
        for harm in &harms {
            harm.apply(&mut arena);
        }
        harm::seal(&mut arena);
        harm::survive(arena, CONFIG);
    }

    #[test]
    fn garbage_is_no_arena(bytes in prop::collection::vec(any::<u8>(), 0..3000), magic: bool) {
        let mut bytes = bytes;
        if magic && bytes.len() >= 8 {
            bytes[..8].copy_from_slice(b"gotraceR");
        }
        let error = FlightRecorder::recover(&bytes).err();
        prop_assert!(error.is_some());
        prop_assert!(FlightRecorder::resume(&mut bytes[..], CONFIG).is_err());
    }
}

/// Each byte of the bookkeeping and many of the ring, one after the other: the generations that it
/// does not belong to stay.
#[test]
fn one_flipped_bit_costs_one_generation_at_most() {
    let left = &*LEFT;
    let mut arena = left.arena.clone();
    let all = left.kept.len();
    for at in (0..1200).chain((1200..arena.len()).step_by(13)) {
        arena[at] ^= 1 << (at % 8);
        let recovered = FlightRecorder::recover(&arena).unwrap();
        let numbers = genuine(left, &recovered);
        let damage: Vec<Damage> = recovered.damage().collect();
        // Of two copies of the state, the older one may lack what came last.
        let older = damage.contains(&Damage::State);
        assert!(numbers.len() + 1 >= all, "byte {at}: {numbers:?}");
        assert!(numbers.len() == all || !damage.is_empty(), "byte {at}");
        match damage[..] {
            [] => assert_eq!(numbers, left.kept),
            [Damage::Prefix] => assert!(at < 16),
            [Damage::State] => assert!((16..528).contains(&at)),
            [Damage::Record { .. }] => assert_eq!(numbers.len() + 1, all),
            [Damage::Generation { number }] => {
                let expected: Vec<u64> = left
                    .kept
                    .iter()
                    .copied()
                    .filter(|n| *n != number.get())
                    .collect();
                assert_eq!(numbers, expected);
            }
            [Damage::InProgress { number }] => {
                assert_eq!(Some(number.get()), left.in_progress);
                assert_eq!(numbers, left.kept);
            }
            _ => panic!("byte {at}: {damage:?}"),
        }
        assert!(numbers.len() == all || !older, "byte {at}");
        arena[at] ^= 1 << (at % 8);
    }
}

#[test]
fn other_memory_is_recognised() {
    let recover = |bytes: &[u8]| FlightRecorder::recover(bytes).err();
    assert_eq!(recover(&[]), Some(ArenaError::NotAnArena));
    assert_eq!(recover(&[0; 4096]), Some(ArenaError::NotAnArena));
    assert_eq!(
        recover(&common::fixture("gc-go1.22").bytes()),
        Some(ArenaError::NotAnArena)
    );

    let mut other = vec![0; 4096];
    other[..8].copy_from_slice(b"gotraceR");
    other[8] = 7;
    assert_eq!(
        recover(&other),
        Some(ArenaError::UnknownLayout { layout: 7 })
    );
    other[8] = 2;
    assert_eq!(recover(&other), Some(ArenaError::NoState));

    // Longer than it was made, as a file that is filled up to a page: no harm.
    let left = &*LEFT;
    let mut longer = left.arena.clone();
    longer.extend([9; 500]);
    let recovered = FlightRecorder::recover(&longer).unwrap();
    assert_eq!(recovered.damage().count(), 0);
    assert_eq!(genuine(left, &recovered), left.kept);
    let mut recorder = FlightRecorder::resume(&mut longer[..], CONFIG).unwrap();
    recorder
        .write(&common::fixture("annotate-go1.27").bytes())
        .unwrap();
    assert_eq!(&longer[left.arena.len()..], [9; 500]);

    // Shorter: nothing can be recorded there any more, and what is left comes out.
    let mut shorter = left.arena.clone();
    shorter.truncate(left.arena.len() * 3 / 4);
    let recovered = FlightRecorder::recover(&shorter).unwrap();
    let len = left.arena.len() as u64;
    let missing = len - shorter.len() as u64;
    assert!(
        recovered
            .damage()
            .any(|d| d == Damage::Truncated { missing })
    );
    let some = genuine(left, &recovered);
    assert!(!some.is_empty() && some.len() < left.kept.len(), "{some:?}");
    let resumed = FlightRecorder::resume(&mut shorter[..], CONFIG);
    assert_eq!(resumed.err(), Some(ArenaError::Truncated { len }));
}
