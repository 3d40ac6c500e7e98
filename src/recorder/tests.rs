//! Stops at every store, and what else needs a look inside.

use super::layout::{Checked as _, Geometry, Record, State};
use super::*;
use crate::wire::{Encoder, EventType, Version};
use crate::{
    ThreadId,
    ids::{Experiment, GenerationId},
    time::Timestamp,
};
use core::cell::RefCell;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;
use zerocopy::IntoBytes as _;

/// What was stored since the log was emptied, in order; barriers are empty stores.
#[derive(Clone)]
struct Logged {
    at: usize,
    bytes: Vec<u8>,
}

std::thread_local! {
    static LOG: RefCell<Vec<Logged>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn log_store(at: usize, bytes: &[u8]) {
    LOG.with_borrow_mut(|log| {
        log.push(Logged {
            at,
            bytes: bytes.to_vec(),
        })
    });
}

pub(super) fn log_barrier() {
    log_store(0, &[]);
}

fn taken_log() -> Vec<Logged> {
    LOG.take()
}

fn apply(image: &mut [u8], stores: &[Logged]) {
    for store in stores {
        image[store.at..store.at + store.bytes.len()].copy_from_slice(&store.bytes);
    }
}

/// A batch of a generation with so many bytes of payload, which no two batches share.
fn batch(generation: u64, time: u64, experiment: Option<u8>, len: usize) -> Vec<u8> {
    let mut buffer = vec![0; len + 64];
    let mut out = Encoder::new(&mut buffer);
    let head = BatchHead {
        generation: GenerationId::new(generation).unwrap(),
        thread: ThreadId::new(time % 7),
        time: Timestamp(time),
        experiment: experiment.map(Experiment),
        header_len: 0,
        data_len: 0,
    };
    let fill = EventType::GO_START.0.wrapping_add((time % 13) as u8);
    out.batch(&head, &vec![fill; len]).unwrap();
    out.into_bytes().to_vec()
}

/// What a reader of the arena sees; nothing if that is no arena.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    snapshot: Vec<u8>,
    numbers: Vec<u64>,
    in_progress: Vec<u8>,
}

fn seen(arena: &[u8]) -> Option<Seen> {
    let recovered = FlightRecorder::recover(arena).ok()?;
    for damage in recovered.damage() {
        // A torn state is no loss; anything else would be one.
        assert!(
            matches!(damage, Damage::State | Damage::Prefix),
            "{damage} after a stop"
        );
    }
    let snapshot = recovered.snapshot();
    Some(Seen {
        snapshot: snapshot.pieces().concat(),
        numbers: snapshot.generations().map(|g| g.number.get()).collect(),
        in_progress: recovered
            .in_progress()
            .map_or(vec![], |incomplete| incomplete.pieces.concat()),
    })
}

/// Replays stores one byte at a time, from `image` on, and says how many stops it tried: each must
/// show what was seen before the store or what is seen after it.
fn stop_everywhere(image: &mut [u8], stores: &[Logged], newest: Option<u64>) -> usize {
    let mut stops = 0;
    let mut before = seen(image);
    for store in stores {
        let mut after = image.to_vec();
        apply(&mut after, std::slice::from_ref(store));
        let after = seen(&after);
        for (n, byte) in store.bytes.iter().enumerate() {
            image[store.at + n] = *byte;
            let now = seen(image);
            assert!(now == before || now == after, "a stop amid a store tears");
            if let Some(newest) = newest {
                let numbers = now.as_ref().map_or(&[][..], |now| &now.numbers);
                assert!(
                    numbers.last().is_some_and(|last| *last >= newest),
                    "generation {newest} is lost in a stop, there is {numbers:?}"
                );
            }
            stops += 1;
        }
        before = after;
    }
    stops
}

/// As `stop_everywhere`, with the bytes between two barriers stored in any order: each of `picks`
/// says which of them were stored before the stop.
fn stop_between_barriers(image: &mut [u8], stores: &[Logged], picks: &[u64]) {
    for group in stores.split(|store| store.bytes.is_empty()) {
        let before = seen(image);
        let mut whole = image.to_vec();
        apply(&mut whole, group);
        let after = seen(&whole);
        for pick in picks {
            let mut torn = image.to_vec();
            let mut random = *pick;
            for store in group {
                for (n, byte) in store.bytes.iter().enumerate() {
                    // A step of SplitMix64.
                    random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let mixed = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    if mixed >> 63 == 1 {
                        torn[store.at + n] = *byte;
                    }
                }
            }
            let now = seen(&torn);
            assert!(now == before || now == after, "a stop amid stores tears");
        }
        image.copy_from_slice(&whole);
    }
}

#[derive(Clone, Debug)]
struct Plan {
    version: Version,
    arena: usize,
    max_bytes: usize,
    /// The payloads of each generation's batches.
    generations: Vec<Vec<usize>>,
    /// Generations before which a batch comes that is none.
    damaged: Vec<bool>,
    picks: Vec<u64>,
}

fn plans() -> impl Strategy<Value = Plan> {
    let batches = prop::collection::vec(0usize..180, 1..5);
    let versions = [
        Version::Go122,
        Version::Go123,
        Version::Go125,
        Version::Go126,
    ];
    (
        prop::sample::select(versions.to_vec()),
        SMALLEST..SMALLEST + 1500,
        1usize..2000,
        prop::collection::vec(batches, 1..9),
        prop::collection::vec(prop::bool::weighted(0.1), 9),
        prop::collection::vec(any::<u64>(), 3),
    )
        .prop_map(
            |(version, arena, max_bytes, generations, damaged, picks)| Plan {
                version,
                arena,
                max_bytes,
                generations,
                damaged,
                picks,
            },
        )
}

/// Records a plan, and hands each call's stores to `check` with the newest generation that was
/// complete before the call.
fn play(
    plan: &Plan,
    recorder: &mut FlightRecorder<&mut [u8]>,
    first: u64,
    mut check: impl FnMut(&[Logged], Option<u64>, &FlightRecorder<&mut [u8]>),
) {
    let mut step = |recorder: &mut FlightRecorder<&mut [u8]>,
                    call: &mut dyn FnMut(&mut FlightRecorder<&mut [u8]>)| {
        let newest = recorder.status().newest.map(GenerationId::get);
        call(recorder);
        check(&taken_log(), newest, recorder);
    };
    step(recorder, &mut |r| r.header(plan.version.header()).unwrap());
    let mut time = 1;
    for (n, generation) in plan.generations.iter().enumerate() {
        let number = first + n as u64;
        if plan.damaged[n] {
            step(recorder, &mut |r| assert!(r.batch(&[99]).is_err()));
        }
        for len in generation {
            let batch = batch(number, time, (len % 3 == 0).then_some(1), *len);
            time += 1;
            step(recorder, &mut |r| {
                let _ = r.batch(&batch);
            });
        }
        step(recorder, &mut |r| r.end_generation().unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_stop_at_any_store_leaves_the_old_or_the_new(plan in plans()) {
        let config = FlightRecorderConfig { max_bytes: plan.max_bytes, ..Default::default() };
        let mut arena = vec![0xa5; plan.arena];
        let (mut bytewise, mut groupwise) = (arena.clone(), arena.clone());
        taken_log();
        let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
        let created = taken_log();
        stop_everywhere(&mut bytewise, &created, None);
        stop_between_barriers(&mut groupwise, &created, &plan.picks);

        play(&plan, &mut recorder, 5, |stores, newest, recorder| {
            stop_everywhere(&mut bytewise, stores, newest);
            stop_between_barriers(&mut groupwise, stores, &plan.picks);
            assert_eq!(bytewise, recorder.arena());
            let now = seen(recorder.arena()).unwrap();
            assert_eq!(now.snapshot, recorder.snapshot().pieces().concat());
            let progress = recorder.status().progress.map_or(0, |p| p.bytes);
            assert_eq!(now.in_progress.len() as u64, progress);
        });

        // The same while it goes on in the arena.
        let newest = recorder.status().newest.map(GenerationId::get);
        let mut recorder = FlightRecorder::resume(recorder.into_arena(), config).unwrap();
        let resumed = taken_log();
        stop_everywhere(&mut bytewise, &resumed, newest);
        stop_between_barriers(&mut groupwise, &resumed, &plan.picks);
        play(&plan, &mut recorder, 100, |stores, newest, _| {
            stop_everywhere(&mut bytewise, stores, newest);
        });

        // While that ends in good order.
        let newest = recorder.status().newest.map(GenerationId::get);
        recorder.restart();
        let ended = taken_log();
        stop_everywhere(&mut bytewise, &ended, newest);
        prop_assert!(!FlightRecorder::recover(&bytewise).unwrap().was_recording());

        // And while another recorder begins there.
        let recorder = FlightRecorder::new(recorder.into_arena(), config).unwrap();
        stop_between_barriers(&mut bytewise, &taken_log(), &plan.picks);
        prop_assert!(recorder.snapshot().is_empty());
        prop_assert_eq!(&bytewise, recorder.arena());
    }
}

/// An arena in which a recorder has been at work for longer than the world: every counter that
/// stands there is about to end.
fn old_arena(config: FlightRecorderConfig) -> Vec<u8> {
    let mut arena = vec![0; 6000];
    let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
    recorder.header(Version::CURRENT.header()).unwrap();
    recorder
        .batch(&batch(u64::MAX - 10, u64::MAX - 2000, None, 50))
        .unwrap();
    recorder.end_generation().unwrap();
    let mut state = *State::newest(&arena).unwrap();
    for sequence in [u64::MAX - 4, u64::MAX - 3] {
        state.sequence.set(sequence);
        for tally in state.losses.iter_mut().chain([&mut state.recorded]) {
            tally.generations.set(u64::MAX - 1);
            tally.bytes.set(u64::MAX - 100);
        }
        state.seal();
        let at = Geometry::state(sequence);
        arena[at..at + size_of::<State>()].copy_from_slice(state.as_bytes());
    }
    arena
}

/// Every counter passes its end: a sequence number begins again, the others stay there; and no
/// generation is lost for it, wherever the recorder is stopped.
#[test]
fn counters_pass_their_ends() {
    let config = FlightRecorderConfig {
        max_bytes: 1500,
        ..Default::default()
    };
    let mut arena = old_arena(config);
    let mut bytewise = arena.clone();
    taken_log();
    let mut recorder = FlightRecorder::resume(&mut arena[..], config).unwrap();
    stop_everywhere(&mut bytewise, &taken_log(), Some(u64::MAX - 10));
    let mut recorded = Vec::new();
    // The last generation that a trace can have is one of them, and so is the last time.
    for number in u64::MAX - 9..=u64::MAX {
        let newest = recorder.status().newest.map(GenerationId::get);
        // The first may have been in progress when the recorder was stopped.
        let large = number == u64::MAX - 5;
        let lost = large || number == u64::MAX - 9;
        let times = [u64::MAX - 100 * (u64::MAX - number) - 1; 2];
        for (time, len) in times.into_iter().zip([200, if large { 9000 } else { 300 }]) {
            recorder.batch(&batch(number, time, None, len)).unwrap();
            stop_everywhere(&mut bytewise, &taken_log(), newest);
        }
        recorder.end_generation().unwrap();
        stop_everywhere(&mut bytewise, &taken_log(), newest);
        if lost {
            recorded.clear();
        } else {
            recorded.push(number);
        }
        let numbers = recorder.snapshot().generations().map(|g| g.number.get());
        let numbers: Vec<u64> = numbers.collect();
        if !recorded.is_empty() {
            let enough = numbers.len() >= recorded.len().min(3);
            assert!(recorded.ends_with(&numbers) && enough, "{numbers:?}");
        }
    }
    assert!(State::newest(&bytewise).unwrap().sequence.get() < 100);
    let status = recorder.status();
    assert_eq!(status.newest, GenerationId::new(u64::MAX));
    let end = Count {
        generations: u64::MAX,
        bytes: u64::MAX,
    };
    assert_eq!(status.recorded, end);
    assert_eq!(status.losses.of(LossReason::TooLarge), end);
    assert_eq!(status.losses.of(LossReason::Gap), end);
    assert_eq!(status.losses.total(), end);
    // Behind a marker, what comes after the last may have any number.
    recorder.batch(&batch(1, 1, None, 10)).unwrap();

    // Offsets count on from 0.
    recorder.header(Version::CURRENT.header()).unwrap();
    recorder.intake.offset = u64::MAX - 20;
    let good = batch(1, 1, None, 100);
    recorder.write(&good).unwrap();
    let error = recorder.write(&[99]).unwrap_err();
    assert_eq!(
        error.offset().0,
        (u64::MAX - 20).wrapping_add(good.len() as u64)
    );
}

/// What a generation stores: its batch, its marker, its record, and a state after each of them.
#[test]
fn stores_do_not_grow_with_the_kept_generations() {
    let mut seen = Vec::new();
    for max_bytes in [1, 1000, 30_000] {
        let config = FlightRecorderConfig {
            max_bytes,
            ..Default::default()
        };
        let mut arena = vec![0; 1 << 20];
        let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
        recorder.header(Version::CURRENT.header()).unwrap();
        for number in 1..=600 {
            taken_log();
            recorder.batch(&batch(number, 1000, None, 80)).unwrap();
            recorder.end_generation().unwrap();
        }
        let stored = taken_log().iter().fold((0, 0), |(stores, bytes), store| {
            let is_store = !store.bytes.is_empty();
            (stores + usize::from(is_store), bytes + store.bytes.len())
        });
        seen.push((recorder.status().window.generations, stored));
    }
    let record = size_of::<Record>();
    let state = size_of::<State>();
    let len = batch(600, 1000, None, 80).len();
    let expected = (5, len + state + 1 + record + state);
    let kept: Vec<u64> = seen.iter().map(|(kept, _)| *kept).collect();
    assert!(kept[0] == 1 && kept[2] > 300, "{kept:?}");
    assert!(
        seen.iter().all(|(_, stored)| *stored == expected),
        "{seen:?}"
    );
}

#[test]
fn positions_are_those_of_the_documentation() {
    assert_eq!(size_of::<State>(), 256);
    assert_eq!(size_of::<Record>(), 48);
    assert_eq!(Geometry::state(0), 16);
    assert_eq!(Geometry::record(0), 528);
    for (len, records) in [(900, 4), (8192, 4), (20_480, 10), (1 << 30, 1024)] {
        let geometry = Geometry::of(len);
        assert_eq!(geometry.records, records);
        assert_eq!(geometry.ring, 528 + 48 * records as usize);
        assert_eq!(geometry.capacity as usize, len - geometry.ring);
    }
}

#[test]
fn an_arena_for_a_capacity_has_it() {
    for capacity in (0..100_000).step_by(7).chain([10 << 20, 1 << 31]) {
        let len = Geometry::arena_for(capacity);
        let has = Geometry::of(len).capacity as usize;
        assert!(has >= capacity && has < capacity + 256, "{capacity}: {has}");
    }
    let longest = u32::MAX as usize;
    assert_eq!(Geometry::arena_for(usize::MAX), longest);
    assert_eq!(
        Geometry::of(usize::MAX).capacity,
        Geometry::of(longest).capacity
    );
    assert_eq!(arena_size_for(0), arena_size_for(10 << 20));
}

#[test]
fn a_recorder_is_small() {
    assert!(size_of::<FlightRecorder<&mut [u8]>>() < 1024);
}

#[cfg(feature = "embedded-io")]
#[test]
fn a_snapshot_is_written_without_std() {
    let trace = include_bytes!("../../tests/fixtures/annotate-go1.27.trace");
    let mut arena = vec![0; arena_size_for(64 << 10)];
    let mut recorder = FlightRecorder::new(&mut arena[..], Default::default()).unwrap();
    recorder.write(trace).unwrap();
    let mut out = [0; 16 << 10];
    let mut free = &mut out[..];
    let len = recorder.snapshot().write_to_embedded(&mut free).unwrap();
    assert_eq!(len, trace.len() as u64);
    assert_eq!(&out[..trace.len()], trace);
    // Without room, the writer's error.
    let mut out = [0; 5000];
    let result = recorder.snapshot().write_to_embedded(&mut out[..]);
    assert_eq!(result, Err(embedded_io::SliceWriteError::Full));
}
