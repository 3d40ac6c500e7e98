//! A slow twin of the wire decoder: reads byte by byte what the format's definition says, with
//! nothing in common with the crate but the event table.

use gotrace::ErrorKind;
use gotrace::wire::{EventType, TimedEvent};
use std::ops::Range;

/// What went wrong, and at which offset from the first byte given.
pub type Fault = (ErrorKind, u64);

/// The number at `at`, and where it ends. `Err(None)` if the bytes end first.
pub fn varint(bytes: &[u8], at: usize) -> Result<(u64, usize), Option<Fault>> {
    // Ten groups of seven bits fit this exactly.
    let mut value = 0u128;
    for group in 0..10 {
        let Some(byte) = bytes.get(at + group) else {
            return Err(None);
        };
        value += u128::from(byte % 128) << (7 * group);
        if *byte < 128 {
            let overflow = Some((ErrorKind::VarintOverflow, at as u64));
            let value = u64::try_from(value).map_err(|_| overflow)?;
            return Ok((value, at + group + 1));
        }
    }
    Err(Some((ErrorKind::VarintOverflow, at as u64)))
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub offset: usize,
    pub experiment: u8,
    pub generation: u64,
    pub thread: u64,
    pub time: u64,
    pub data: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    Batch(Batch),
    EndOfGeneration(usize),
}

impl Chunk {
    pub fn start(&self) -> usize {
        match self {
            Chunk::Batch(batch) => batch.offset,
            Chunk::EndOfGeneration(at) => *at,
        }
    }

    pub fn end(&self) -> usize {
        match self {
            Chunk::Batch(batch) => batch.data.end,
            Chunk::EndOfGeneration(at) => at + 1,
        }
    }
}

/// All batches from `start` on, up to the end or the first that is not sound.
pub fn walk(bytes: &[u8], start: usize) -> (Vec<Chunk>, Option<Fault>) {
    let mut chunks = Vec::new();
    let mut at = start;
    while at < bytes.len() {
        match chunk(bytes, at) {
            Ok(chunk) => {
                at = chunk.end();
                chunks.push(chunk);
            }
            Err(fault) => {
                let end = (ErrorKind::UnexpectedEnd, bytes.len() as u64);
                return (chunks, Some(fault.unwrap_or(end)));
            }
        }
    }
    (chunks, None)
}

fn chunk(bytes: &[u8], offset: usize) -> Result<Chunk, Option<Fault>> {
    let here = |kind| Some((kind, offset as u64));
    let (experiment, at) = match bytes[offset] {
        52 => return Ok(Chunk::EndOfGeneration(offset)),
        1 => (0, offset + 1),
        49 => (*bytes.get(offset + 1).ok_or(None)?, offset + 2),
        _ => return Err(no_chunk(bytes, offset)),
    };
    let (generation, at) = varint(bytes, at)?;
    let (thread, at) = varint(bytes, at)?;
    let (time, at) = varint(bytes, at)?;
    let (size, at) = varint(bytes, at)?;
    if size > 65536 {
        return Err(here(ErrorKind::BatchTooLarge));
    }
    if generation == 0 {
        return Err(here(ErrorKind::InvalidGeneration));
    }
    let end = at + size as usize;
    if end > bytes.len() {
        return Err(None);
    }
    Ok(Chunk::Batch(Batch {
        offset,
        experiment,
        generation,
        thread,
        time,
        data: at..end,
    }))
}

/// What is neither a batch nor a marker may be the start of another trace, or of its header.
fn no_chunk(bytes: &[u8], offset: usize) -> Option<Fault> {
    let same = std::iter::zip(&bytes[offset..], b"go 1.").take_while(|(a, b)| a == b);
    match same.count() {
        5 => Some((ErrorKind::AnotherTrace, offset as u64)),
        n if offset + n == bytes.len() => None,
        _ => Some((ErrorKind::NotABatch, offset as u64)),
    }
}

/// The timed events of a payload, up to the end or the first that is not sound.
pub fn events(data: &[u8]) -> (Vec<TimedEvent>, Option<Fault>) {
    let mut events = Vec::new();
    let mut at = 0;
    while at < data.len() {
        match event(data, at) {
            Ok((event, next)) => {
                events.push(event);
                at = next;
            }
            Err(fault) => {
                let end = (ErrorKind::BatchOverrun, data.len() as u64);
                return (events, Some(fault.unwrap_or(end)));
            }
        }
    }
    (events, None)
}

fn event(data: &[u8], start: usize) -> Result<(TimedEvent, usize), Option<Fault>> {
    let ty = EventType(data[start]);
    let names = match ty.spec() {
        None => return Err(Some((ErrorKind::UnknownEvent, start as u64))),
        Some(spec) => spec.args.iter().map(|arg| arg.name),
    };
    // What is timed has a time difference, and it is the first.
    if names.clone().next() != Some("dt") {
        return Err(Some((ErrorKind::UntimedEvent, start as u64)));
    }
    let mut at = start + 1;
    let mut numbers = [0; 5];
    for number in numbers.iter_mut().take(names.count()) {
        (*number, at) = varint(data, at)?;
    }
    let [dt, args @ ..] = numbers;
    Ok((TimedEvent::new(ty, dt, args), at))
}
