//! The slow twin of the recorder, and what both make of the same plan.
//!
//! The property tests and a fuzz target choose the plans.

use super::synth::{self, Batches, MARKER};
use gotrace::recorder::{FlightRecorder, FlightRecorderConfig, LossReason};
use gotrace::wire::Version;
use std::collections::BTreeMap;

/// The slow twin: generations as lists of batches, each with the place that it must have in the
/// ring.
struct Model {
    capacity: usize,
    records: usize,
    max_bytes: usize,
    /// In milliseconds.
    min_age: u64,
    hertz: u64,
    version: Version,
    kept: Vec<Kept>,
    current: Option<Kept>,
    /// The generation of which nothing more is recorded.
    skipped: Option<u64>,
    lost: BTreeMap<&'static str, (u64, u64)>,
    largest: usize,
    skipped_bytes: usize,
}

#[derive(Clone)]
struct Kept {
    number: u64,
    bytes: Vec<u8>,
    earliest: u64,
    latest: u64,
    /// Positions and lengths in the ring.
    places: Vec<(usize, usize)>,
}

const NO_ROOM: &str = "no room in the arena";
const TOO_LARGE: &str = "larger than the arena";
const GAP: &str = "before a gap";
const TABLE_FULL: &str = "the table of generations is full";
/// What is not lost.
const AGED: &str = "aged";
const OUTGROWN: &str = "outgrown";

impl Model {
    fn lose(&mut self, why: &'static str, generations: u64, bytes: usize) {
        let lost = self.lost.entry(why).or_default();
        lost.0 += generations;
        lost.1 += bytes as u64;
    }

    fn live(&self) -> impl DoubleEndedIterator<Item = (usize, usize)> {
        let generations = self.kept.iter().chain(&self.current);
        generations.flat_map(|g| g.places.iter().copied())
    }

    /// Where so many bytes fit without touching anything: after the last, or at the start.
    fn fit(&self, len: usize) -> Option<usize> {
        let after = self.live().next_back().map_or(0, |(at, len)| at + len);
        let free = |at: usize| {
            at + len <= self.capacity && self.live().all(|(l, n)| at + len <= l || l + n <= at)
        };
        [after, 0].into_iter().find(|at| free(*at))
    }

    fn place(&mut self, len: usize) -> Option<usize> {
        loop {
            if let Some(at) = self.fit(len) {
                return Some(at);
            }
            if self.kept.len() <= 1 {
                return None;
            }
            let coming = self.current.as_ref().map_or(0, |c| c.bytes.len()) + len;
            let now = self.current.as_ref().map_or(0, |c| c.latest);
            self.drop_oldest(coming, now, NO_ROOM);
        }
    }

    /// Drops the oldest: because it is outside the window when so many bytes have come behind the
    /// newest, or for another reason.
    fn drop_oldest(&mut self, coming: usize, now: u64, otherwise: &'static str) {
        let oldest = self.kept.remove(0);
        let next = self.kept.first().or(self.current.as_ref());
        let next = next.map_or(0, |g| g.earliest);
        let rest: usize = self.kept.iter().map(|k| k.bytes.len()).sum();
        let why = if now.saturating_sub(next) * 1000 > self.min_age * self.hertz {
            AGED
        } else if rest + coming > self.max_bytes {
            OUTGROWN
        } else {
            otherwise
        };
        self.lose(why, 1, oldest.bytes.len());
    }

    fn add(&mut self, number: u64, time: Option<u64>, bytes: &[u8]) {
        if self.skipped == Some(number) {
            self.lose(TOO_LARGE, 0, bytes.len());
            self.skipped_bytes += bytes.len();
            self.largest = self.largest.max(self.skipped_bytes);
            return;
        }
        let Some(at) = self.place(bytes.len()) else {
            let current = self.current.take();
            let before = current.map_or(0, |c| c.bytes.len());
            // A marker without room is not counted: nothing more would come.
            let more = if time.is_some() { bytes.len() } else { 0 };
            self.lose(TOO_LARGE, 1, before + more);
            self.skipped_bytes = before + more;
            self.largest = self.largest.max(self.skipped_bytes);
            self.skipped = Some(number);
            return;
        };
        let current = self.current.get_or_insert(Kept {
            number,
            bytes: Vec::new(),
            earliest: u64::MAX,
            latest: 0,
            places: Vec::new(),
        });
        current.bytes.extend(bytes);
        current.places.push((at, bytes.len()));
        if let Some(time) = time {
            current.earliest = current.earliest.min(time);
            current.latest = current.latest.max(time);
        }
    }

    fn end(&mut self, number: u64) {
        if synth::marked(self.version) && self.skipped.is_none() {
            self.add(number, None, &[MARKER]);
        }
        self.skipped = None;
        let Some(current) = self.current.take() else {
            return;
        };
        self.largest = self.largest.max(current.bytes.len());
        let follows = self.kept.last().is_none_or(|k| k.number + 1 == number);
        if follows && self.kept.len() >= self.records {
            self.current = Some(current.clone());
            self.drop_oldest(current.bytes.len(), current.latest, TABLE_FULL);
            self.current = None;
        }
        if !follows {
            for old in std::mem::take(&mut self.kept) {
                self.lose(GAP, 1, old.bytes.len());
            }
        }
        let now = current.latest;
        self.kept.push(current);
        // As Go does it: from the newest on, while both bounds hold without the next.
        let mut size = 0;
        let mut first = self.kept.len();
        while first > 0 {
            first -= 1;
            size += self.kept[first].bytes.len();
            let age = now - self.kept[first].earliest;
            if size > self.max_bytes || age * 1000 > self.min_age * self.hertz {
                break;
            }
        }
        for _ in 0..first {
            self.drop_oldest(0, now, "inside the window");
        }
    }
}

/// Generations to record, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    pub version: Version,
    /// The length of the arena in bytes, at least that of the smallest.
    pub arena: usize,
    pub config: FlightRecorderConfig,
    pub hertz: u64,
    /// The number of the first generation.
    pub first: u64,
    /// For each generation its batches' payload sizes, and the time to the next.
    pub generations: Vec<(Vec<usize>, u64)>,
    pub feed: Feed,
}

/// How the recorder gets them.
#[derive(Clone, Debug)]
pub enum Feed {
    Batches,
    /// Batches and markers as slices, as Go's runtime hands them to its recorder.
    Markers,
    /// Pieces of these lengths, again and again.
    Pieces(Vec<usize>),
}

type Recorder<'a> = FlightRecorder<&'a mut [u8]>;

fn compare(model: &Model, recorder: &Recorder<'_>, numbers_only: bool) {
    let expected: Vec<u64> = model.kept.iter().map(|k| k.number).collect();
    let snapshot = recorder.snapshot();
    let found: Vec<u64> = snapshot.generations().map(|g| g.number.get()).collect();
    assert_eq!(found, expected);
    let status = recorder.status();
    assert_eq!(status.window.generations, expected.len() as u64);
    if numbers_only {
        return;
    }
    let mut bytes = model.version.header().to_vec();
    bytes.extend(model.kept.iter().flat_map(|k| &k.bytes));
    assert!(snapshot.pieces().len() <= 3);
    assert_eq!(snapshot.pieces().concat(), bytes, "{expected:?}");
    assert_eq!(snapshot.len(), bytes.len() as u64);
    assert_eq!(synth::read(snapshot.pieces()), expected);
    for (found, kept) in snapshot.generations().zip(&model.kept) {
        assert_eq!(found.pieces.concat(), kept.bytes);
        assert_eq!(found.bytes, kept.bytes.len() as u64);
        assert_eq!(
            (found.earliest.0, found.latest.0),
            (kept.earliest, kept.latest)
        );
    }
    let window: usize = model.kept.iter().map(|k| k.bytes.len()).sum();
    assert_eq!(status.window.bytes, window as u64);
    assert_eq!(status.largest, model.largest as u64);
    for &reason in LossReason::ALL {
        let lost = status.losses.of(reason);
        let text = reason.to_string();
        let expected = model.lost.get(text.as_str()).copied().unwrap_or_default();
        assert_eq!((lost.generations, lost.bytes), expected, "{reason}");
    }
    for (why, passed) in [
        (AGED, status.passed.aged),
        (OUTGROWN, status.passed.outgrown),
    ] {
        let expected = model.lost.get(why).copied().unwrap_or_default();
        assert_eq!((passed.generations, passed.bytes), expected, "{why}");
    }
    assert_eq!(
        status.newest.map(|n| n.get()),
        model.kept.last().map(|k| k.number)
    );
}

/// Records as planned, and compares the recorder with the twin on the way.
pub fn run(plan: &Plan) {
    // A canary on both sides: what is not the arena is not touched.
    const CANARY: usize = 64;
    let mut memory = vec![0xee; plan.arena + 2 * CANARY];
    let arena = &mut memory[CANARY..CANARY + plan.arena];
    let mut recorder = FlightRecorder::new(arena, plan.config).unwrap();
    let mut model = Model {
        capacity: recorder.status().capacity as usize,
        records: (plan.arena / 2048).clamp(4, 1024),
        max_bytes: plan.config.max_bytes,
        min_age: plan.config.min_age.as_millis() as u64,
        hertz: plan.hertz,
        version: plan.version,
        kept: Vec::new(),
        current: None,
        skipped: None,
        lost: BTreeMap::new(),
        largest: 0,
        skipped_bytes: 0,
    };
    let mut time = 1;
    let mut all = Vec::new();
    for (n, (sizes, gap)) in plan.generations.iter().enumerate() {
        let number = plan.first + n as u64;
        let generation = synth::generation(plan.version, number, time, plan.hertz, sizes);
        time += sizes.len() as u64 + gap;
        all.push((number, generation));
    }
    match &plan.feed {
        Feed::Pieces(sizes) => {
            let bytes = synth::trace(plan.version, all.iter().map(|(_, g)| g));
            let mut rest = &bytes[..];
            for size in sizes.iter().cycle() {
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                recorder.write(piece).unwrap();
                rest = after;
                if rest.is_empty() {
                    break;
                }
                // The arena is whole at any time.
                let snapshot = recorder.snapshot();
                if snapshot.version().is_some() {
                    synth::read(snapshot.pieces());
                }
            }
            for (number, generation) in &all {
                record(&mut model, *number, generation);
                model.end(*number);
            }
            recorder.end_generation().unwrap();
            compare(&model, &recorder, false);
        }
        feed => {
            recorder.header(plan.version.header()).unwrap();
            for (number, generation) in &all {
                for batch in &generation.0 {
                    recorder.batch(batch).unwrap();
                }
                record(&mut model, *number, generation);
                compare(&model, &recorder, true);
                if matches!(feed, Feed::Markers) && synth::marked(plan.version) {
                    recorder.batch(&[MARKER]).unwrap();
                }
                recorder.end_generation().unwrap();
                model.end(*number);
                compare(&model, &recorder, false);
            }
        }
    }
    let kept: Vec<u64> = model.kept.iter().map(|k| k.number).collect();
    let recovered = FlightRecorder::recover(recorder.arena()).unwrap();
    assert_eq!(recovered.damage().count(), 0);
    assert_eq!(
        recovered.snapshot().pieces().concat(),
        recorder.snapshot().pieces().concat()
    );
    // Whatever the next generation is, the same is kept after a stop.
    let resumed = FlightRecorder::resume(recorder.into_arena(), plan.config).unwrap();
    compare(&model, &resumed, true);
    let found = resumed.snapshot();
    let found: Vec<u64> = found.generations().map(|g| g.number.get()).collect();
    assert_eq!(found, kept);
    assert!(memory[..CANARY].iter().all(|b| *b == 0xee));
    assert!(memory[CANARY + plan.arena..].iter().all(|b| *b == 0xee));
}

fn record(model: &mut Model, number: u64, generation: &Batches) {
    for bytes in &generation.0 {
        let mut batches = gotrace::wire::Batches::new(bytes);
        let Ok(Some(gotrace::wire::Chunk::Batch(batch))) = batches.next() else {
            panic!("not a batch")
        };
        model.add(number, Some(batch.head.time.0), bytes);
    }
}
