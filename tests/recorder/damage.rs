//! Damaged, foreign and old arenas: what checks out is handed out, what does not is named.

use crate::common;
use crate::synth;
use gotrace::recorder::{
    ArenaError, Damage, FlightRecorder, FlightRecorderConfig, Recovered, arena_size_for,
};
use gotrace::wire::Version;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// An arena as a killed recorder leaves it, its ring full and begun again; and what was recorded.
struct Left {
    arena: Vec<u8>,
    whole: BTreeMap<u64, Vec<u8>>,
    kept: Vec<u64>,
    in_progress: u64,
}

const CONFIG: FlightRecorderConfig = FlightRecorderConfig {
    min_age: std::time::Duration::from_secs(1_000_000),
    max_bytes: 20_000,
};

static LEFT: LazyLock<Left> = LazyLock::new(|| {
    let bytes = common::fixture("annotate-go1.27").bytes();
    let (version, sources) = synth::split(&bytes);
    let mut arena = vec![0x5a; arena_size_for(9000)];
    let mut recorder = FlightRecorder::new(&mut arena[..], CONFIG).unwrap();
    recorder.header(version.header()).unwrap();
    let mut whole = BTreeMap::new();
    for number in 1..=23u64 {
        let generation = sources[number as usize % sources.len()]
            .1
            .renumbered(number);
        whole.insert(number, generation.wire(version));
        for (n, batch) in generation.0.iter().enumerate() {
            if number < 23 || n < 4 {
                recorder.batch(batch).unwrap();
            }
        }
        if number < 23 {
            recorder.end_generation().unwrap();
        }
    }
    let snapshot = recorder.snapshot();
    let kept: Vec<u64> = snapshot.generations().map(|g| g.number.get()).collect();
    assert!(kept.len() >= 4, "{kept:?}");
    assert_eq!(snapshot.pieces().len(), 3, "the ring began again");
    Left {
        arena,
        whole,
        kept,
        in_progress: 23,
    }
});

/// Everything that is handed out was recorded; gives the numbers of the complete generations.
fn genuine(left: &Left, recovered: &Recovered<'_>) -> Vec<u64> {
    let mut numbers = Vec::new();
    for snapshot in recovered.snapshots() {
        let run = synth::read(snapshot.pieces());
        for (number, found) in run.iter().zip(snapshot.generations()) {
            assert_eq!(found.pieces.concat(), left.whole[number]);
        }
        assert!(!run.is_empty());
        numbers.extend(run);
    }
    let last = recovered.snapshots().last();
    let newest = recovered.snapshot();
    assert_eq!(
        last.map(|s| s.pieces().concat()),
        Some(newest.pieces().concat()).filter(|_| !newest.is_empty())
    );
    if let Some(incomplete) = recovered.in_progress() {
        let whole = &left.whole[&incomplete.number.get()];
        assert!(whole.starts_with(&incomplete.pieces.concat()));
        assert!(incomplete.batches().count() > 0);
    }
    numbers
}

#[derive(Clone, Debug)]
enum Harm {
    Flip(usize, u8),
    Fill(usize, usize, u8),
    Copy(usize, usize, usize),
    Truncate(usize),
}

impl Harm {
    /// Positions are taken modulo the arena, and every other one within the bookkeeping.
    fn apply(&self, arena: &mut Vec<u8>) {
        let len = arena.len();
        let at = |n: usize| {
            if n.is_multiple_of(2) {
                n % len
            } else {
                n % 1800 % len
            }
        };
        match *self {
            _ if len == 0 => {}
            Harm::Flip(n, bit) => arena[at(n)] ^= 1 << (bit % 8),
            Harm::Fill(from, count, byte) => {
                let from = at(from);
                let to = (from + count).min(len);
                arena[from..to].fill(byte);
            }
            Harm::Copy(from, to, count) => {
                let (from, to) = (at(from), at(to));
                let count = count.min(len - from.max(to));
                arena.copy_within(from..from + count, to);
            }
            Harm::Truncate(to) => arena.truncate(to % len),
        }
    }
}

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
        let left = &*LEFT;
        let mut arena = left.arena.clone();
        for harm in &harms {
            harm.apply(&mut arena);
        }
        let Ok(recovered) = FlightRecorder::recover(&arena) else {
            return Ok(());
        };
        let numbers = genuine(left, &recovered);
        let named = recovered.damage().count();
        if numbers != left.kept || recovered.in_progress().is_none() {
            prop_assert!(named > 0, "{:?} without a word", numbers);
        }
        if arena == left.arena {
            prop_assert_eq!(named, 0);
        }
        for damage in recovered.damage() {
            prop_assert!(!damage.to_string().is_empty());
        }

        // And it can be gone on with.
        let snapshot = recovered.snapshot().pieces().concat();
        let truncated = recovered.damage().any(|d| matches!(d, Damage::Truncated { .. }));
        match FlightRecorder::resume(&mut arena[..], CONFIG) {
            Err(ArenaError::Truncated { .. } | ArenaError::TooSmall { .. }) => {
                prop_assert!(truncated);
            }
            Err(error) => prop_assert!(false, "{}", error),
            Ok(mut recorder) => {
                prop_assert_eq!(recorder.snapshot().pieces().concat(), snapshot);
                let sound = FlightRecorder::recover(recorder.arena()).unwrap();
                prop_assert_eq!(sound.damage().count(), 0);
                for n in 0..12 {
                    recorder.restart();
                    let generation = synth::generation(Version::Go126, n + 1, 5, 9, &[700, 900]);
                    let trace = synth::trace(Version::Go126, [&generation]);
                    recorder.write(&trace).unwrap();
                    prop_assert_eq!(recorder.snapshot().pieces().concat(), trace);
                }
            }
        }
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
            [Damage::State] => assert!((16..400).contains(&at)),
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
                assert_eq!(number.get(), left.in_progress);
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
    other[8] = 1;
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
