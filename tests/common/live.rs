//! Live traces out of recorded ones: streams in reads of random sizes, and traces without end.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gotrace::wire::{Chunk, Encoder, Version};
use gotrace::{Trace, ids::GenerationId};

/// Random numbers that are the same in every run: xorshift64*.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// From 0 to `end - 1`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Reads of random sizes: of a few bytes, or of all that is asked for, and everything between. A
/// signal interrupts some.
#[derive(Debug)]
pub struct RandomReads<R> {
    reader: R,
    random: Random,
}

impl<R> RandomReads<R> {
    pub fn new(reader: R, seed: u64) -> RandomReads<R> {
        RandomReads {
            reader,
            random: Random::new(seed),
        }
    }
}

impl<R: Read> Read for RandomReads<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = match self.random.below(5) {
            4 => return Err(io::ErrorKind::Interrupted.into()),
            0 => 4,
            1 => 1 << 10,
            _ => 1 << 18,
        };
        let size = 1 + self.random.below(buffer.len().min(most));
        self.reader.read(&mut buffer[..size])
    }
}

/// A trace of many generations: those of a recorded trace, one after the other, over and over, with
/// new numbers. Each can be read on its own; together they make no sense.
#[derive(Debug)]
pub struct Endless {
    trace: Vec<u8>,
    /// How many recorded generations make one.
    joined: u64,
    /// How many were used.
    used: u64,
    /// The number of the next generation, and of the last.
    number: u64,
    last: u64,
    ready: Vec<u8>,
    given: usize,
    /// Ends the trace early, after a generation; until then, one comes each millisecond.
    stop: Option<Arc<AtomicBool>>,
}

impl Endless {
    pub fn new(trace: &[u8], generations: u64) -> Endless {
        Endless {
            trace: trace.to_vec(),
            joined: 1,
            used: 0,
            number: 1,
            last: generations,
            ready: trace[..16].to_vec(),
            given: 0,
            stop: None,
        }
    }

    /// Goes on until this is set, at a pace.
    pub fn until(self, stop: Arc<AtomicBool>) -> Endless {
        Endless {
            stop: Some(stop),
            ..self
        }
    }

    /// Makes one of so many recorded generations: large, and no longer fit to be read.
    pub fn joined(self, joined: u64) -> Endless {
        Endless { joined, ..self }
    }

    /// All of it.
    pub fn bytes(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn make(&mut self) {
        let trace = Trace::new(&self.trace).unwrap();
        let all: Vec<_> = trace.generations().map(Result::unwrap).collect();
        let largest = all.iter().map(|g| g.len() + (64 << 10)).max().unwrap();
        self.ready.resize((largest * self.joined) as usize, 0);
        let mut out = Encoder::new(&mut self.ready);
        for _ in 0..self.joined {
            let generation = &all[self.used as usize % all.len()];
            self.used += 1;
            let mut batches = trace.batches_from(generation.start);
            while batches.offset() < generation.end {
                if let Chunk::Batch(batch) = batches.next().unwrap().unwrap() {
                    let mut head = batch.head;
                    head.generation = GenerationId::new(self.number).unwrap();
                    out.batch(&head, batch.data).unwrap();
                }
            }
        }
        if trace.version() == Version::Go126 {
            out.end_of_generation().unwrap();
        }
        let len = out.len();
        self.ready.truncate(len);
        self.given = 0;
        self.number += 1;
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stopped = || {
            self.stop
                .as_ref()
                .is_some_and(|s| s.load(Ordering::Relaxed))
        };
        if self.given == self.ready.len() && self.number <= self.last && !stopped() {
            if self.stop.is_some() {
                std::thread::sleep(Duration::from_millis(1));
            }
            self.make();
        }
        let read = (&self.ready[self.given..]).read(buffer)?;
        self.given += read;
        Ok(read)
    }
}

/// The generations of a trace as number and bytes, checked to be whole and to follow each other.
pub fn generations(bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let trace = Trace::new(bytes).expect("a trace");
    let mut all: Vec<(u64, &[u8])> = Vec::new();
    let mut end = 16;
    for generation in trace.generations() {
        let generation = generation.expect("a whole generation");
        assert!(generation.complete);
        assert_eq!(generation.start.0, end, "something between generations");
        let number = generation.number.get();
        assert!(all.last().is_none_or(|(before, _)| before + 1 == number));
        end = generation.end.0;
        all.push((number, &bytes[generation.start.0 as usize..end as usize]));
    }
    assert_eq!(end, bytes.len() as u64, "something after the last one");
    all
}

/// Where each generation of a trace ends, which is where the next one starts.
pub fn ends(bytes: &[u8]) -> Vec<usize> {
    let mut end = 16;
    let sizes = generations(bytes).into_iter().map(|(_, g)| g.len());
    sizes
        .map(|size| {
            end += size;
            end
        })
        .collect()
}

/// Checks that a trace consists of whole generations of `all`; gives their number.
pub fn is_part_of(bytes: &[u8], all: &[(u64, &[u8])]) -> usize {
    let part = generations(bytes);
    let first = part.first().map_or(0, |(number, _)| *number);
    let skipped = all.iter().take_while(|(number, _)| *number < first);
    let skipped = skipped.count();
    assert!(part.iter().eq(all[skipped..].iter().take(part.len())));
    part.len()
}

/// Waits until something holds, for a minute at most.
#[track_caller]
pub fn wait_for(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "it takes too long"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}
