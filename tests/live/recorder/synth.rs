//! Traces made to measure: generations of any number, size and time, with the tables that a reader
//! asks for, and the generations of real traces under other numbers.

use gotrace::wire::{BatchHead, Chunk, Encoder, EventType, HEADER_LEN, Version};
use gotrace::{
    ThreadId, Trace,
    ids::{Experiment, GenerationId},
    time::Timestamp,
};

/// A generation's batches, each whole, without its end marker.
#[derive(Clone, Debug)]
pub struct Batches(pub Vec<Vec<u8>>);

pub const MARKER: u8 = EventType::END_OF_GENERATION.0;

pub fn marked(version: Version) -> bool {
    version >= Version::Go126
}

pub fn versions() -> Vec<Version> {
    let all = Version::ALL.into_iter();
    all.filter(|v| v.has_generations()).collect()
}

pub fn batch(number: u64, time: u64, experiment: Option<u8>, data: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; data.len() + BatchHead::MAX_LEN];
    let mut out = Encoder::new(&mut buffer);
    let head = BatchHead {
        generation: GenerationId::new(number).unwrap(),
        thread: ThreadId::new(time % 5),
        time: Timestamp(time),
        experiment: experiment.map(Experiment),
        header_len: 0,
        data_len: 0,
    };
    out.batch(&head, data).unwrap();
    out.into_bytes().to_vec()
}

/// A sync batch.
pub fn sync(version: Version, number: u64, time: u64, hertz: u64) -> Vec<u8> {
    let mut data = Vec::new();
    let put = |data: &mut Vec<u8>, n| {
        let (bytes, len) = gotrace::wire::varint::encode(n);
        data.extend(&bytes[..len]);
    };
    if version >= Version::Go125 {
        data.push(EventType::SYNC.0);
    }
    data.push(EventType::FREQUENCY.0);
    put(&mut data, hertz);
    if version >= Version::Go125 {
        data.push(EventType::CLOCK_SNAPSHOT.0);
        for n in [0, time, 1_700_000_000, 5] {
            put(&mut data, n);
        }
    }
    batch(number, time, None, &data)
}

/// A generation of a sync batch, and batches of so many bytes of payload, one unit of time after
/// the other; every third is experimental.
pub fn generation(
    version: Version,
    number: u64,
    time: u64,
    hertz: u64,
    sizes: &[usize],
) -> Batches {
    let mut all = vec![sync(version, number, time, hertz)];
    for (n, size) in sizes.iter().enumerate() {
        let experiment = (n % 3 == 2).then_some(1);
        let fill = [EventType::PROC_STOP.0, (number % 100) as u8];
        let data: Vec<u8> = fill.iter().copied().cycle().take(*size).collect();
        all.push(batch(number, time + 1 + n as u64, experiment, &data));
    }
    Batches(all)
}

/// The generations of a trace.
pub fn split(bytes: &[u8]) -> (Version, Vec<(u64, Batches)>) {
    let trace = Trace::new(bytes).unwrap();
    let mut all: Vec<(u64, Batches)> = Vec::new();
    let mut chunks = trace.batches();
    while let Some(chunk) = chunks.next().unwrap() {
        if let Chunk::Batch(batch) = chunk {
            let number = batch.head.generation.get();
            if all.last().is_none_or(|(n, _)| *n != number) {
                all.push((number, Batches(Vec::new())));
            }
            let whole = &bytes[batch.offset.0 as usize..batch.end().0 as usize];
            all.last_mut().unwrap().1.0.push(whole.to_vec());
        }
    }
    (trace.version(), all)
}

impl Batches {
    /// As they stand in a trace: with the marker, if the version has it.
    pub fn wire(&self, version: Version) -> Vec<u8> {
        let mut bytes = self.0.concat();
        bytes.extend(marked(version).then_some(MARKER));
        bytes
    }

    /// The same under another number.
    pub fn renumbered(&self, number: u64) -> Batches {
        let batches = self.0.iter().map(|bytes| {
            let mut all = gotrace::wire::Batches::new(bytes);
            let Ok(Some(Chunk::Batch(found))) = all.next() else {
                panic!("not a batch")
            };
            let mut buffer = vec![0; found.data.len() + BatchHead::MAX_LEN];
            let mut out = Encoder::new(&mut buffer);
            let mut head = found.head;
            head.generation = GenerationId::new(number).unwrap();
            out.batch(&head, found.data).unwrap();
            out.into_bytes().to_vec()
        });
        Batches(batches.collect())
    }
}

/// A whole trace.
pub fn trace<'a>(version: Version, generations: impl IntoIterator<Item = &'a Batches>) -> Vec<u8> {
    let mut bytes = version.header().to_vec();
    for generation in generations {
        bytes.extend(generation.wire(version));
    }
    bytes
}

/// Checks that these pieces are a trace of generations that follow one another, with their tables,
/// and gives their numbers.
pub fn read(pieces: &[&[u8]]) -> Vec<u64> {
    let trace = Trace::from_pieces(pieces).unwrap();
    let mut numbers = Vec::new();
    for generation in trace.generations() {
        let generation = generation.unwrap();
        assert!(generation.complete);
        gotrace::generation::GenerationTables::<gotrace::Growing>::load(&trace, &generation)
            .unwrap();
        numbers.push(generation.number.get());
    }
    assert_eq!(
        trace.is_empty(),
        numbers.is_empty(),
        "{} bytes after a header of {HEADER_LEN}",
        trace.len()
    );
    numbers
}
