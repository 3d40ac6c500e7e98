//! Damaged traces: real ones, cut, with bits flipped, and with batches changed, lost, doubled.

use super::naive::{self, Chunk};
use super::{Fixture, fixtures};
use gotrace::wire::{BatchHead, Encoder, HEADER_LEN, Version};
use gotrace::{Experiment, GenerationId, ThreadId, Timestamp};
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::LazyLock;

/// A fixture of one of the formats that this crate reads, in memory.
#[derive(Debug, Clone)]
pub struct Trace {
    pub fixture: Fixture,
    pub bytes: Vec<u8>,
}

/// The fixtures from Go 1.22 on.
pub static TRACES: LazyLock<Vec<Trace>> = LazyLock::new(|| {
    let traces = fixtures().into_iter().map(|fixture| {
        let bytes = fixture.bytes();
        Trace { fixture, bytes }
    });
    let readable = |trace: &Trace| {
        Version::from_header(&trace.bytes).is_ok_and(|version| version.has_generations())
    };
    traces.filter(readable).collect()
});

/// One of the fixtures, the smaller ones more often.
pub fn trace() -> impl Strategy<Value = &'static Trace> {
    any::<(Index, Index)>().prop_map(|(a, b)| {
        let (a, b) = (a.get(&TRACES), b.get(&TRACES));
        if a.bytes.len() < b.bytes.len() { a } else { b }
    })
}

/// A kind of damage. Positions are fractions, so that any fits any trace.
#[derive(Debug, Clone)]
pub enum Damage {
    /// The trace ends here.
    Cut(Index),
    /// A byte is another.
    Byte(Index, u8),
    /// A bit is another.
    Bit(Index, u8),
    /// A batch is missing.
    Lost(Index),
    /// A batch stands there twice.
    Doubled(Index, Index),
    /// Two batches have changed places.
    Swapped(Index, Index),
    /// A batch's header says something else, its payload is whole.
    Header(Index, Field, u64),
}

/// A field of a batch's header.
#[derive(Debug, Clone, Copy)]
pub enum Field {
    Generation,
    Thread,
    Time,
    Experiment,
}

/// Numbers at which arithmetic is at its limits, and others.
pub fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..4u64,
        any::<u64>(),
        (0..64u32).prop_map(|bit| 1 << bit),
        (0..64u32).prop_map(|bit| (1 << bit) - 1),
        (0..4u64).prop_map(|n| u64::MAX - n),
    ]
}

pub fn damage() -> impl Strategy<Value = Damage> {
    let field = prop_oneof![
        Just(Field::Generation),
        Just(Field::Thread),
        Just(Field::Time),
        Just(Field::Experiment)
    ];
    prop_oneof![
        1 => any::<Index>().prop_map(Damage::Cut),
        4 => any::<(Index, u8)>().prop_map(|(at, byte)| Damage::Byte(at, byte)),
        4 => any::<(Index, u8)>().prop_map(|(at, bit)| Damage::Bit(at, bit)),
        1 => any::<Index>().prop_map(Damage::Lost),
        1 => any::<(Index, Index)>().prop_map(|(from, to)| Damage::Doubled(from, to)),
        1 => any::<(Index, Index)>().prop_map(|(a, b)| Damage::Swapped(a, b)),
        2 => (any::<Index>(), field, number()).prop_map(|(at, f, n)| Damage::Header(at, f, n)),
    ]
}

/// A fixture with up to four kinds of damage.
pub fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (trace(), prop::collection::vec(damage(), 0..4)).prop_map(|(trace, damages)| {
        let apply = |bytes: Vec<u8>, damage: &Damage| damage.apply(bytes);
        damages.iter().fold(trace.bytes.clone(), apply)
    })
}

impl Damage {
    pub fn apply(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if bytes.is_empty() {
            return bytes;
        }
        let len = bytes.len();
        match *self {
            Damage::Cut(at) => bytes.truncate(at.index(len)),
            Damage::Byte(at, byte) => bytes[at.index(len)] = byte,
            Damage::Bit(at, bit) => bytes[at.index(len)] ^= 1 << (bit % 8),
            _ => return self.apply_to_batches(bytes),
        }
        bytes
    }

    fn apply_to_batches(&self, bytes: Vec<u8>) -> Vec<u8> {
        let (chunks, _) = naive::walk(&bytes, HEADER_LEN.min(bytes.len()));
        if chunks.is_empty() {
            return bytes;
        }
        let start = |chunk: &Chunk| match chunk {
            Chunk::Batch(batch) => batch.offset,
            Chunk::EndOfGeneration(at) => *at,
        };
        let whole = |chunk: &Chunk| &bytes[start(chunk)..chunk.end()];
        let mut parts: Vec<Vec<u8>> = chunks.iter().map(|chunk| whole(chunk).to_vec()).collect();
        let len = parts.len();
        match *self {
            Damage::Lost(at) => {
                parts.remove(at.index(len));
            }
            Damage::Doubled(from, to) => {
                parts.insert(to.index(len), parts[from.index(len)].clone())
            }
            Damage::Swapped(a, b) => parts.swap(a.index(len), b.index(len)),
            Damage::Header(at, field, number) => {
                let at = at.index(len);
                if let Chunk::Batch(batch) = &chunks[at] {
                    parts[at] = with_field(batch, &bytes[batch.data.clone()], field, number);
                }
            }
            Damage::Cut(_) | Damage::Byte(..) | Damage::Bit(..) => unreachable!(),
        }
        let tail = &bytes[chunks.last().map_or(0, Chunk::end)..];
        [&bytes[..HEADER_LEN], &parts.concat(), tail].concat()
    }
}

fn with_field(batch: &naive::Batch, data: &[u8], field: Field, number: u64) -> Vec<u8> {
    let mut batch = batch.clone();
    match field {
        Field::Generation => batch.generation = number.max(1),
        Field::Thread => batch.thread = number,
        Field::Time => batch.time = number,
        Field::Experiment => batch.experiment = number as u8,
    }
    let experiment = Some(batch.experiment).filter(|e| *e != 0);
    let head = BatchHead {
        generation: GenerationId::new(batch.generation).expect("not 0"),
        thread: ThreadId::new(batch.thread),
        time: Timestamp(batch.time),
        experiment: experiment.map(Experiment),
        header_len: 0,
        data_len: 0,
    };
    let mut buffer = vec![0; BatchHead::MAX_LEN + data.len()];
    let mut out = Encoder::new(&mut buffer);
    out.batch(&head, data).expect("room for a batch");
    out.into_bytes().to_vec()
}
