//! Arenas that came to harm, and what must hold of them.
//!
//! The property tests and a fuzz target make them alike.

use super::synth::{self, Batches};
use gotrace::recorder::{ArenaError, Damage, FlightRecorder, FlightRecorderConfig, Recovered};
use gotrace::wire::Version;
use std::collections::BTreeMap;

/// An arena as a killed recorder leaves it, and what was recorded.
pub struct Left {
    pub arena: Vec<u8>,
    pub config: FlightRecorderConfig,
    /// Every generation, as it stands in a trace.
    pub whole: BTreeMap<u64, Vec<u8>>,
    /// The complete ones that the recorder kept.
    pub kept: Vec<u64>,
    pub in_progress: Option<u64>,
}

impl Left {
    /// Records generations; of the last one only so many batches, and not its end.
    pub fn record(
        version: Version,
        mut arena: Vec<u8>,
        config: FlightRecorderConfig,
        generations: &[(u64, Batches)],
        batches: usize,
    ) -> Left {
        let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
        recorder.header(version.header()).unwrap();
        for (n, (_, generation)) in generations.iter().enumerate() {
            let last = n + 1 == generations.len();
            let count = if last { batches } else { usize::MAX };
            for batch in generation.0.iter().take(count) {
                recorder.batch(batch).unwrap();
            }
            if !last {
                recorder.end_generation().unwrap();
            }
        }
        let snapshot = recorder.snapshot();
        let kept = snapshot.generations().map(|g| g.number.get()).collect();
        let incomplete = FlightRecorder::recover(recorder.arena()).unwrap();
        let in_progress = incomplete.in_progress().map(|g| g.number.get());
        let whole = generations.iter().map(|(n, g)| (*n, g.wire(version)));
        Left {
            whole: whole.collect(),
            kept,
            in_progress,
            config,
            arena,
        }
    }
}

/// Everything that is handed out was recorded; gives the numbers of the complete generations.
pub fn genuine(left: &Left, recovered: &Recovered<'_>) -> Vec<u64> {
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
pub enum Harm {
    Flip(usize, u8),
    Fill(usize, usize, u8),
    Copy(usize, usize, usize),
    Truncate(usize),
}

/// Where the two copies of the state stand, and how long they are.
const STATES: [usize; 2] = [16, 272];
const STATE_LEN: usize = 256;
const TABLE: usize = 528;
const RECORD_LEN: usize = 48;

impl Harm {
    /// Positions are taken modulo the arena, and every other one within the bookkeeping.
    pub fn apply(&self, arena: &mut Vec<u8>) {
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
                let (from, mut to) = (at(from), at(to));
                // A sound record or state in the place of another says nothing wrong.
                if from.abs_diff(to).is_multiple_of(16) {
                    to = (to + 1).min(len - 1);
                }
                let count = count.min(len - from.max(to));
                arena.copy_within(from..from + count, to);
            }
            Harm::Truncate(to) => arena.truncate(to % len),
        }
    }
}

/// What can be recovered of an arena that came to such harm was recorded, what is missing is named,
/// and it can be recorded into again.
pub fn check(left: &Left, harms: &[Harm]) {
    let mut arena = left.arena.clone();
    for harm in harms {
        harm.apply(&mut arena);
    }
    let Ok(recovered) = FlightRecorder::recover(&arena) else {
        return;
    };
    let numbers = genuine(left, &recovered);
    let named = recovered.damage().count();
    let in_progress = recovered.in_progress().map(|g| g.number.get());
    if numbers != left.kept || in_progress != left.in_progress {
        assert!(named > 0, "{numbers:?} without a word");
    }
    if arena == left.arena {
        assert_eq!(named, 0);
    }
    for damage in recovered.damage() {
        assert!(!damage.to_string().is_empty());
    }

    // And it can be gone on with.
    let snapshot = recovered.snapshot().pieces().concat();
    let truncated = recovered
        .damage()
        .any(|d| matches!(d, Damage::Truncated { .. }));
    match FlightRecorder::resume(&mut arena[..], left.config) {
        Err(ArenaError::Truncated { .. } | ArenaError::TooSmall { .. }) => assert!(truncated),
        Err(error) => panic!("{error}"),
        Ok(mut recorder) => {
            assert_eq!(recorder.snapshot().pieces().concat(), snapshot);
            let sound = FlightRecorder::recover(recorder.arena()).unwrap();
            assert_eq!(sound.damage().count(), 0);
            // What fits even beside the largest generation that is kept, wherever it stands.
            let kept = recorder.snapshot().generations().last();
            let kept = kept.map_or(0, |g| g.bytes);
            let room = recorder.status().capacity.saturating_sub(kept);
            let size = (room / 8).min(700) as usize;
            for n in 0..12 {
                recorder.restart();
                let sizes = [size, size + size / 4];
                let generation = synth::generation(Version::Go126, n + 1, 5, 9, &sizes);
                let trace = synth::trace(Version::Go126, [&generation]);
                recorder.write(&trace).unwrap();
                if room > 800 {
                    assert_eq!(recorder.snapshot().pieces().concat(), trace);
                }
            }
        }
    }
}

/// Gives all parts of an arena's bookkeeping the checksums that belong to them. The recorder cannot
/// know that they do not tell the truth.
pub fn seal(arena: &mut [u8]) {
    let records = (arena.len() / 2048).clamp(4, 1024);
    let states = STATES.map(|at| (at, STATE_LEN));
    let records = (0..records).map(|n| (TABLE + n * RECORD_LEN, RECORD_LEN));
    for (at, len) in states.into_iter().chain(records) {
        if let Some(part) = arena.get_mut(at..at + len) {
            let (contents, check) = part.split_at_mut(len - 4);
            // The layout's version is the seed.
            let sum = twox_hash::XxHash32::oneshot(2, contents);
            check.copy_from_slice(&sum.to_le_bytes());
        }
    }
}

/// Nothing stops working on an arena that lies: it is read to its end, and recorded into.
pub fn survive(mut arena: Vec<u8>, config: FlightRecorderConfig) {
    let Ok(recovered) = FlightRecorder::recover(&arena) else {
        assert!(FlightRecorder::resume(arena, config).is_err());
        return;
    };
    for snapshot in recovered.snapshots().chain([recovered.snapshot()]) {
        assert!(snapshot.len() <= 16 + arena.len() as u64);
        for generation in snapshot.generations() {
            assert!(generation.pieces.concat().len() <= arena.len());
        }
        if let Ok(trace) = snapshot.trace() {
            trace.generations().take_while(Result::is_ok).count();
        }
    }
    if let Some(incomplete) = recovered.in_progress() {
        incomplete.batches().count();
    }
    for damage in recovered.damage() {
        assert!(!damage.to_string().is_empty());
    }
    let _ = recovered.status();
    let Ok(mut recorder) = FlightRecorder::resume(&mut arena[..], config) else {
        return;
    };
    let generation = |n| synth::generation(Version::Go126, n, 5, 9, &[100, 0, 20]);
    for batch in &generation(8).0 {
        let _ = recorder.batch(batch);
    }
    recorder.restart();
    for n in [1, 2, 3, u64::MAX] {
        let _ = recorder.write(&synth::trace(Version::Go126, [&generation(n)]));
        let _ = recorder.end_generation();
        recorder.restart();
        let snapshot = recorder.snapshot();
        assert!(snapshot.len() <= 16 + recorder.arena().len() as u64);
    }
}
