//! How fast traces are written: events into a batch, typed events with their times, and what a task
//! costs that is woken, polled and blocks, through the emitter. Times are of one event.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gotrace::emit::{Emitter, EmitterConfig, Pause, Sink};
use gotrace::ids::{GenerationId, ThreadId};
use gotrace::time::{Timestamp, WallTime};
use gotrace::wire::{BatchEncoder, BatchHead, Encoder, TimedEvent, Version, timed};
use gotrace::{Fixed, GoId};
use std::hint::black_box;

const EVENTS: u64 = 4000;

fn events() -> Vec<TimedEvent> {
    let g = |n| GoId::new(n % 50 + 1).expect("a goroutine");
    let event = |n| match n % 3 {
        0 => timed::GoUnblock {
            g: g(n),
            g_seq: n % 100,
            stack: None,
        }
        .after(n % 300),
        1 => timed::GoStart {
            g: g(n),
            g_seq: n % 100,
        }
        .after(n % 90),
        _ => timed::GoBlock {
            reason_string: None,
            stack: None,
        }
        .after(n % 2000),
    };
    (0..EVENTS).map(event).collect()
}

fn encoder(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(EVENTS));
    let events = events();
    let mut buffer = vec![0; 65536];
    group.bench_function("Encoder::event", |b| {
        b.iter(|| {
            let mut out = Encoder::new(&mut buffer);
            for event in &events {
                out.event(black_box(event)).expect("room");
            }
            out.len()
        });
    });
    let head = BatchHead::new(
        GenerationId::new(1).expect("a generation"),
        ThreadId::new(1),
        Timestamp(0),
    );
    group.bench_function("BatchEncoder::event_at", |b| {
        b.iter(|| {
            let mut batch =
                BatchEncoder::new(&mut buffer[..], Version::CURRENT, &head).expect("room");
            let g = GoId::new(7).expect("a goroutine");
            for n in 0..EVENTS {
                let event = timed::GoStart { g, g_seq: n % 100 };
                batch
                    .event_at(black_box(Timestamp(n * 90)), event)
                    .expect("room");
            }
            batch.len()
        });
    });
}

/// Takes everything, and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn reserve(&mut self, _: usize) -> bool {
        true
    }

    fn put(&mut self, piece: &[u8]) {
        black_box(piece);
    }
}

type Tables = Fixed<32, 0, 0, 0, 0, 1, 16, 8, 4>;

fn emitter(c: &mut Criterion) {
    let mut group = c.benchmark_group("emit");
    group.throughput(Throughput::Elements(EVENTS / 3 * 3));
    group.bench_function("wake, poll, block", |b| {
        b.iter_batched_ref(
            || {
                let mut emitter = Emitter::<Tables, _>::new(vec![0; 65536]);
                emitter.start(Timestamp(0), EmitterConfig::new(1_000_000_000));
                let go = emitter.create(Timestamp(1), 0, "task").expect("room");
                (emitter, go)
            },
            |(emitter, go)| {
                for n in 0..EVENTS / 3 {
                    let now = |m| black_box(Timestamp(n * 90 + m));
                    emitter.ready(now(10), 0, *go);
                    emitter.run(now(20), 0, *go);
                    emitter.pause(now(50), 0, Pause::Block("sleep"));
                }
                emitter.lost().events
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
    let mut group = c.benchmark_group("generation");
    let mut emitter = Emitter::<gotrace::Growing, _>::new(vec![0; 64 << 10]);
    emitter.start(Timestamp(0), EmitterConfig::new(1_000_000_000));
    for _ in 0..1000 {
        emitter.create(Timestamp(1), 0, "parked").expect("room");
    }
    group.throughput(Throughput::Elements(1000));
    group.bench_function("advance with 1,000 parked tasks", |b| {
        b.iter(|| emitter.advance(Timestamp(2), WallTime::new(0, 0), &mut Nowhere));
    });
}

criterion_group!(benches, encoder, emitter);
criterion_main!(benches);
