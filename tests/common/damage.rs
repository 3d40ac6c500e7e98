//! Nearly valid traces: real ones with bits flipped, cut, with batches lost, doubled, changed, and
//! with events whose arguments say something else.
//!
//! The property tests and the fuzz targets make them alike.

use super::naive::{self, Batch, Chunk};
use gotrace::wire::{BatchHead, Encoder, HEADER_LEN, MAX_BATCH_SIZE, TimedEvent};
use gotrace::{Experiment, GenerationId, ThreadId, Timestamp};

/// A place in anything: a fraction of its length, so that it fits any trace.
#[derive(Debug, Clone, Copy)]
pub struct Place(u32);

impl Place {
    /// The place among so many, at least one.
    fn of(self, len: usize) -> usize {
        ((u64::from(self.0) * len as u64) >> 32) as usize
    }
}

/// A kind of damage.
#[derive(Debug, Clone, Copy)]
pub enum Damage {
    /// The trace ends here.
    Cut(Place),
    /// A byte is another.
    Byte(Place, u8),
    /// A bit is another.
    Bit(Place, u8),
    /// A batch is missing.
    Lost(Place),
    /// A batch stands somewhere else a second time.
    Doubled(Place, Place),
    /// Two batches have changed places.
    Swapped(Place, Place),
    /// A batch's header says something else, its payload is whole.
    Header(Place, Field, u64),
    /// An argument of an event in a batch is another.
    Argument(Place, Place, u8, u64),
    /// An event is missing.
    LostEvent(Place, Place),
}

/// A field of a batch's header.
#[derive(Debug, Clone, Copy)]
pub enum Field {
    Generation,
    Thread,
    Time,
    Experiment,
}

/// Makes of any number one that is often small, or at which arithmetic has its limits.
pub fn number(random: u64) -> u64 {
    let small = (random >> 32) % 64;
    match random % 8 {
        0 => 1 << small,
        1 => (1 << small) - 1,
        2 => u64::MAX - small % 4,
        3 => random,
        _ => small,
    }
}

impl Damage {
    /// The damage that these numbers stand for.
    pub fn from_random([kind, a, b, c]: [u64; 4]) -> Damage {
        let [a, b] = [a, b].map(|place| Place(place as u32));
        match kind % 20 {
            0 => Damage::Cut(a),
            1..4 => Damage::Byte(a, c as u8),
            4..7 => Damage::Bit(a, c as u8),
            7 => Damage::Lost(a),
            8 => Damage::Doubled(a, b),
            9 => Damage::Swapped(a, b),
            10 => Damage::Header(a, Field::Generation, number(c)),
            11 => Damage::Header(a, Field::Thread, number(c)),
            12 => Damage::Header(a, Field::Time, number(c)),
            13 => Damage::Header(a, Field::Experiment, number(c)),
            14 => Damage::LostEvent(a, b),
            _ => Damage::Argument(a, b, (kind >> 32) as u8, number(c)),
        }
    }

    /// The trace with this damage; as it is, if there is nothing to damage.
    pub fn apply(&self, trace: &[u8]) -> Vec<u8> {
        let mut bytes = trace.to_vec();
        if bytes.is_empty() {
            return bytes;
        }
        let len = bytes.len();
        match *self {
            Damage::Cut(at) => bytes.truncate(at.of(len)),
            Damage::Byte(at, byte) => bytes[at.of(len)] = byte,
            Damage::Bit(at, bit) => bytes[at.of(len)] ^= 1 << (bit % 8),
            _ => return self.apply_to_batches(trace),
        }
        bytes
    }

    fn apply_to_batches(&self, trace: &[u8]) -> Vec<u8> {
        let (chunks, _) = naive::walk(trace, HEADER_LEN.min(trace.len()));
        if chunks.is_empty() {
            return trace.to_vec();
        }
        let len = chunks.len();
        let mut parts: Vec<Vec<u8>> = chunks
            .iter()
            .map(|chunk| trace[chunk.start()..chunk.end()].to_vec())
            .collect();
        match *self {
            Damage::Lost(at) => {
                parts.remove(at.of(len));
            }
            Damage::Doubled(from, to) => parts.insert(to.of(len), parts[from.of(len)].clone()),
            Damage::Swapped(a, b) => parts.swap(a.of(len), b.of(len)),
            Damage::Header(at, ..) | Damage::Argument(at, ..) | Damage::LostEvent(at, _) => {
                if let Chunk::Batch(batch) = &chunks[at.of(len)] {
                    parts[at.of(len)] = self.apply_to_batch(batch, &trace[batch.data.clone()]);
                }
            }
            Damage::Cut(_) | Damage::Byte(..) | Damage::Bit(..) => {}
        }
        let tail = &trace[chunks.last().map_or(0, Chunk::end)..];
        [&trace[..HEADER_LEN], &parts.concat(), tail].concat()
    }

    fn apply_to_batch(&self, batch: &Batch, data: &[u8]) -> Vec<u8> {
        let mut batch = batch.clone();
        let (mut events, fault) = naive::events(data);
        let of_events = fault.is_none() && batch.experiment == 0 && !events.is_empty();
        let len = events.len();
        match *self {
            Damage::Header(_, Field::Generation, number) => batch.generation = number.max(1),
            Damage::Header(_, Field::Thread, number) => batch.thread = number,
            Damage::Header(_, Field::Time, number) => batch.time = number,
            Damage::Header(_, Field::Experiment, number) => batch.experiment = number as u8,
            Damage::Argument(_, at, arg, number) if of_events => {
                let event = &mut events[at.of(len)];
                let count = event.ty.timed_args();
                match (usize::from(arg) % count).checked_sub(1) {
                    None => event.dt = number,
                    Some(arg) => event.args[arg] = number,
                }
                return encode(&batch, &payload(&events));
            }
            Damage::LostEvent(_, at) if of_events => {
                events.remove(at.of(len));
                return encode(&batch, &payload(&events));
            }
            _ => {}
        }
        encode(&batch, data)
    }
}

fn payload(events: &[TimedEvent]) -> Vec<u8> {
    let mut buffer = vec![0; events.len() * TimedEvent::MAX_LEN];
    let mut out = Encoder::new(&mut buffer);
    for event in events {
        out.event(event).expect("room for an event");
    }
    let mut bytes = out.into_bytes().to_vec();
    bytes.truncate(MAX_BATCH_SIZE as usize);
    bytes
}

fn encode(batch: &Batch, data: &[u8]) -> Vec<u8> {
    let head = BatchHead {
        generation: GenerationId::new(batch.generation).expect("not 0"),
        thread: ThreadId::new(batch.thread),
        time: Timestamp(batch.time),
        experiment: Some(Experiment(batch.experiment)).filter(|e| e.0 != 0),
        header_len: 0,
        data_len: 0,
    };
    let mut buffer = vec![0; BatchHead::MAX_LEN + data.len()];
    let mut out = Encoder::new(&mut buffer);
    out.batch(&head, data).expect("room for a batch");
    out.into_bytes().to_vec()
}
