//! Nearly valid traces: real ones with bytes changed, cut, with batches and records lost, doubled,
//! exchanged, with numbers that say something else.
//!
//! The property tests and the fuzz targets make them alike. The header is left as it is: what
//! follows it would hardly matter.

use gotrace::ids::Offset;
use gotrace::wire::{
    Batch, BatchHead, Batches, Chunk, Encoder, EventType, HEADER_LEN, MAX_BATCH_SIZE, Record,
    Records, varint,
};
use gotrace::{
    ThreadId,
    ids::{Experiment, GenerationId},
    time::Timestamp,
};

/// A place in anything: a fraction of its length, so that it fits any trace.
#[derive(Debug, Clone, Copy)]
pub struct Place(u32);

impl Place {
    /// The place among so many, at least one.
    fn of(self, len: usize) -> usize {
        ((u64::from(self.0) * len as u64) >> 32) as usize
    }
}

/// A record: its batch's place in the trace, and its place in the batch.
#[derive(Debug, Clone, Copy)]
pub struct RecordPlace(Place, Place);

/// A kind of damage.
#[derive(Debug, Clone, Copy)]
pub enum Damage {
    /// The trace ends here.
    Cut(Place),
    /// A byte is another.
    Byte(Place, u8),
    /// A bit is another.
    Bit(Place, u8),
    /// Some bytes are missing.
    LostBytes(Place, u8),
    /// Some bytes stand twice.
    DoubledBytes(Place, u8),
    /// A batch is missing.
    Lost(Place),
    /// A batch stands somewhere else a second time.
    Doubled(Place, Place),
    /// Two batches have changed places.
    Swapped(Place, Place),
    /// A batch's header says something else, its payload is whole.
    Header(Place, Field, Change),
    /// All batches of a generation say another number.
    Renumbered(Place, Change),
    /// A batch's payload is cut between two records, and both halves are batches.
    Split(RecordPlace),
    /// A record is missing: an event, a string, a stack, a sample.
    LostRecord(RecordPlace),
    /// A record stands twice.
    DoubledRecord(RecordPlace),
    /// Two records of a batch have changed places.
    SwappedRecords(RecordPlace, Place),
    /// A record stands in another batch.
    MovedRecord(RecordPlace, RecordPlace),
    /// A number of a record is another: a time, an id, a length.
    Number(RecordPlace, u8, Change),
    /// Two records say each other's number.
    SwappedNumbers(RecordPlace, RecordPlace, u8),
}

/// A field of a batch's header.
#[derive(Debug, Clone, Copy)]
pub enum Field {
    Generation,
    Thread,
    Time,
    Experiment,
}

/// What becomes of a number.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    To(u64),
    /// More, round the end: so less as well.
    By(u64),
}

impl Change {
    fn of(self, number: u64) -> u64 {
        match self {
            Change::To(other) => other,
            Change::By(more) => number.wrapping_add(more),
        }
    }
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
        let place = |random: u64| Place(random as u32);
        let record = |random| RecordPlace(place(random), place(random >> 32));
        let (byte, which) = (c as u8, (kind >> 32) as u8);
        let change = match (kind >> 40) % 3 {
            0 => Change::To(number(c)),
            1 => Change::By(1 + c % 2),
            _ => Change::By(u64::MAX - c % 2),
        };
        match kind % 32 {
            0 => Damage::Cut(place(a)),
            1..4 => Damage::Byte(place(a), byte),
            4..7 => Damage::Bit(place(a), byte),
            7 => Damage::LostBytes(place(a), byte),
            8 => Damage::DoubledBytes(place(a), byte),
            9 => Damage::Lost(place(a)),
            10 => Damage::Doubled(place(a), place(b)),
            11 | 12 => Damage::Swapped(place(a), place(b)),
            13 => Damage::Header(place(a), Field::Generation, change),
            14 => Damage::Header(place(a), Field::Thread, change),
            15 | 16 => Damage::Header(place(a), Field::Time, change),
            17 => Damage::Header(place(a), Field::Experiment, change),
            18 => Damage::Renumbered(place(a), change),
            19 => Damage::Split(record(a)),
            20 | 21 => Damage::LostRecord(record(a)),
            22 => Damage::DoubledRecord(record(a)),
            23 => Damage::SwappedRecords(record(a), place(b)),
            24 => Damage::MovedRecord(record(a), record(b)),
            25 => Damage::SwappedNumbers(record(a), record(b), which),
            _ => Damage::Number(record(a), which, change),
        }
    }

    /// The trace with this damage; as it is, if there is nothing to damage.
    pub fn apply(&self, trace: &[u8]) -> Vec<u8> {
        let Some((header, body)) = trace.split_at_checked(HEADER_LEN) else {
            return trace.to_vec();
        };
        if body.is_empty() {
            return trace.to_vec();
        }
        let body = self.apply_to_bytes(body);
        let body = body.unwrap_or_else(|body| self.apply_to_batches(body));
        [header, &body].concat()
    }

    /// `Err` for damage of another kind.
    fn apply_to_bytes<'b>(&self, body: &'b [u8]) -> Result<Vec<u8>, &'b [u8]> {
        let len = body.len();
        let some = |at: Place, count: u8| {
            let start = at.of(len);
            start..len.min(start + 1 + usize::from(count % 40))
        };
        let mut bytes = body.to_vec();
        match *self {
            Damage::Cut(at) => bytes.truncate(at.of(len)),
            Damage::Byte(at, byte) => bytes[at.of(len)] = byte,
            Damage::Bit(at, bit) => bytes[at.of(len)] ^= 1 << (bit % 8),
            Damage::LostBytes(at, count) => {
                bytes.drain(some(at, count));
            }
            Damage::DoubledBytes(at, count) => {
                bytes.splice(at.of(len)..at.of(len), body[some(at, count)].to_vec());
            }
            _ => return Err(body),
        }
        Ok(bytes)
    }

    fn apply_to_batches(&self, body: &[u8]) -> Vec<u8> {
        let mut parts = Vec::new();
        let mut end = 0;
        for chunk in Batches::new(body).map_while(Result::ok) {
            match chunk {
                Chunk::Batch(batch) => {
                    end = batch.end().0;
                    parts.push(Part::Batch(batch.head, records(&batch)));
                }
                Chunk::EndOfGeneration(at) => {
                    end = at.0 + 1;
                    parts.push(Part::Marker);
                }
            }
        }
        if parts.is_empty() {
            return body.to_vec();
        }
        self.apply_to_parts(&mut parts);
        let mut bytes: Vec<u8> = parts.iter().flat_map(Part::encoded).collect();
        bytes.extend(&body[end as usize..]);
        bytes
    }

    fn apply_to_parts(&self, parts: &mut Vec<Part>) {
        let len = parts.len();
        match *self {
            Damage::Lost(at) => {
                parts.remove(at.of(len));
            }
            Damage::Doubled(from, to) => parts.insert(to.of(len), parts[from.of(len)].clone()),
            Damage::Swapped(a, b) => parts.swap(a.of(len), b.of(len)),
            Damage::Header(at, field, change) => {
                if let Part::Batch(head, _) = &mut parts[at.of(len)] {
                    field.change(head, change);
                }
            }
            Damage::Renumbered(at, change) => {
                let Part::Batch(BatchHead { generation, .. }, _) = parts[at.of(len)] else {
                    return;
                };
                for part in parts {
                    if let Part::Batch(head, _) = part
                        && head.generation == generation
                    {
                        Field::Generation.change(head, change);
                    }
                }
            }
            Damage::Split(RecordPlace(at, record)) => {
                if let Part::Batch(head, records) = &mut parts[at.of(len)] {
                    let rest = records.split_off(record.of(records.len() + 1));
                    let second = Part::Batch(*head, rest);
                    parts.insert(at.of(len) + 1, second);
                }
            }
            Damage::LostRecord(place) => {
                place.take(parts);
            }
            Damage::DoubledRecord(place) => {
                if let Some((records, at)) = place.of(parts) {
                    records.insert(at, records[at].clone());
                }
            }
            Damage::SwappedRecords(place, other) => {
                if let Some((records, at)) = place.of(parts) {
                    let other = other.of(records.len());
                    records.swap(at, other);
                }
            }
            Damage::MovedRecord(from, to) => {
                if let Some(record) = from.take(parts)
                    && let Some((records, at)) = to.of(parts)
                {
                    records.insert(at, record);
                }
            }
            Damage::Number(place, which, change) => {
                if let Some((records, at)) = place.of(parts) {
                    replace(&mut records[at], which, |n| change.of(n));
                }
            }
            Damage::SwappedNumbers(a, b, which) => {
                let mut number = |place: RecordPlace, other: Option<u64>| {
                    let (records, at) = place.of(parts)?;
                    replace(&mut records[at], which, |n| other.unwrap_or(n))
                };
                if let (Some(first), Some(second)) = (number(a, None), number(b, None)) {
                    number(a, Some(second));
                    number(b, Some(first));
                }
            }
            Damage::Cut(_)
            | Damage::Byte(..)
            | Damage::Bit(..)
            | Damage::LostBytes(..)
            | Damage::DoubledBytes(..) => {}
        }
    }
}

impl Field {
    fn change(self, head: &mut BatchHead, change: Change) {
        match self {
            Field::Generation => {
                let number = change.of(head.generation.get());
                head.generation = GenerationId::new(number).unwrap_or(head.generation);
            }
            Field::Thread => {
                let thread = change.of(head.thread.map_or(u64::MAX, ThreadId::get));
                head.thread = ThreadId::new(thread);
            }
            Field::Time => head.time = Timestamp(change.of(head.time.0)),
            Field::Experiment => {
                let experiment = change.of(head.experiment.map_or(0, |e| u64::from(e.0)));
                head.experiment = Some(Experiment(experiment as u8)).filter(|e| e.0 != 0);
            }
        }
    }
}

/// A batch and its records, each as its bytes; or an end of generation.
#[derive(Clone)]
enum Part {
    Batch(BatchHead, Vec<Vec<u8>>),
    Marker,
}

impl Part {
    fn encoded(&self) -> Vec<u8> {
        let (head, mut data) = match self {
            Part::Batch(head, records) => (head, records.concat()),
            Part::Marker => return vec![EventType::END_OF_GENERATION.0],
        };
        data.truncate(MAX_BATCH_SIZE as usize);
        let mut buffer = vec![0; BatchHead::MAX_LEN + data.len()];
        let mut out = Encoder::new(&mut buffer);
        out.batch(head, &data).expect("room for a batch");
        out.into_bytes().to_vec()
    }
}

/// The records of a payload; the last of them is what is none.
fn records(batch: &Batch<'_>) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut records = Records::new(batch.data, Offset(0));
    let mut rest = batch.data;
    if batch.head.experiment.is_none() {
        let mut last = 0;
        while let Ok(Some(_)) = records.next() {
            let at = records.offset().0;
            let (record, after) = rest.split_at((at - last) as usize);
            all.push(record.to_vec());
            (rest, last) = (after, at);
        }
    }
    if !rest.is_empty() {
        all.push(rest.to_vec());
    }
    all
}

impl RecordPlace {
    /// The records among which it stands, and where; `None` if there are none.
    fn of(self, parts: &mut [Part]) -> Option<(&mut Vec<Vec<u8>>, usize)> {
        let at = self.0.of(parts.len());
        match &mut parts[at] {
            Part::Batch(_, records) if !records.is_empty() => {
                let at = self.1.of(records.len());
                Some((records, at))
            }
            _ => None,
        }
    }

    fn take(self, parts: &mut [Part]) -> Option<Vec<u8>> {
        let (records, at) = self.of(parts)?;
        Some(records.remove(at))
    }
}

/// Makes one of a record's numbers another, and gives what it was; `None` if it has none.
fn replace(record: &mut Vec<u8>, which: u8, other: impl Fn(u64) -> u64) -> Option<u64> {
    let of_string = matches!(
        Records::new(record, Offset(0)).next(),
        Ok(Some(Record::String(_)))
    );
    let mut places = Vec::new();
    let mut at = 1;
    // Behind a string's length, its bytes.
    while (!of_string || places.len() < 2)
        && let Some(rest) = record.get(at..)
        && let Ok((value, len)) = varint::read(rest)
    {
        places.push((at..at + len, value));
        at += len;
    }
    let count = places.len();
    let (range, value) = places
        .into_iter()
        .nth(usize::from(which).checked_rem(count)?)?;
    let (bytes, len) = varint::encode(other(value));
    record.splice(range, bytes[..len].iter().copied());
    Some(value)
}

/// What happens to traces as they are written, copied and kept. What is not touched by it can be read.
#[derive(Debug, Clone, Copy)]
pub enum Accident {
    /// The trace ends here.
    Cut(Place),
    /// A byte is another.
    Byte(Place, u8),
    /// Up to a kilobyte is zeros.
    Zeros(Place, u16),
    /// The program printed a line of text.
    Line(Place),
    /// A batch is missing.
    Lost(Place),
    /// A batch is there twice, one after the other.
    Doubled(Place),
    /// Two batches of one thread have changed places, in one generation.
    Reordered(Place),
    /// Two generations have changed places.
    Swapped(Place),
    /// Another trace follows, or the same again.
    Joined,
}

/// A trace that had an accident.
#[derive(Debug)]
pub struct Wreck {
    pub bytes: Vec<u8>,
    /// Where each generation that was not touched was, and where it is now.
    pub whole: Vec<(std::ops::Range<usize>, usize)>,
}

impl Accident {
    /// The accident that these numbers stand for.
    pub fn from_random([kind, a, b, _]: [u64; 4]) -> Accident {
        let place = Place(a as u32);
        match kind % 9 {
            0 => Accident::Cut(place),
            1 => Accident::Byte(place, b as u8),
            2 => Accident::Zeros(place, (b % 1024) as u16),
            3 => Accident::Line(place),
            4 => Accident::Lost(place),
            5 => Accident::Doubled(place),
            6 => Accident::Swapped(place),
            7 => Accident::Reordered(place),
            _ => Accident::Joined,
        }
    }

    /// Cuts the trace at this byte.
    pub fn cut(trace: &[u8], at: usize) -> Wreck {
        let ranges = generations(trace);
        let whole = ranges.into_iter().filter(|range| range.end <= at);
        Wreck {
            bytes: trace[..at].to_vec(),
            whole: whole.map(|range| (range.clone(), range.start)).collect(),
        }
    }

    /// The trace after this accident; it has a header, and at least a generation.
    pub fn apply(&self, trace: &[u8]) -> Wreck {
        let ranges = generations(trace);
        let body = trace.len() - HEADER_LEN;
        let at = |place: Place| HEADER_LEN + place.of(body);
        // Bytes that are replaced by others.
        let replaced = |range: std::ops::Range<usize>, by: &[u8]| {
            let mut bytes = trace.to_vec();
            bytes.splice(range.clone(), by.iter().copied());
            let whole = ranges.iter().filter_map(|generation| {
                let now = if generation.end <= range.start {
                    generation.start
                } else if generation.start >= range.end {
                    generation.start + by.len() - range.len()
                } else {
                    return None;
                };
                Some((generation.clone(), now))
            });
            Wreck {
                bytes,
                whole: whole.collect(),
            }
        };
        let batch = |place: Place| {
            let trace = gotrace::Trace::new(trace).expect("a header");
            let batches = trace.batches().filter_map(|chunk| match chunk.ok()? {
                Chunk::Batch(batch) => Some(batch.offset.0 as usize..batch.end().0 as usize),
                Chunk::EndOfGeneration(_) => None,
            });
            let mut batches: Vec<_> = batches.collect();
            batches.swap_remove(place.of(batches.len()))
        };
        match *self {
            Accident::Cut(place) => Accident::cut(trace, at(place)),
            Accident::Byte(place, byte) => replaced(at(place)..at(place) + 1, &[byte]),
            Accident::Zeros(place, len) => {
                let range = at(place)..trace.len().min(at(place) + 1 + usize::from(len));
                replaced(range.clone(), &vec![0; range.len()])
            }
            Accident::Line(place) => replaced(at(place)..at(place), b"listening on :8080\n"),
            Accident::Lost(place) => replaced(batch(place), &[]),
            Accident::Doubled(place) => {
                let range = batch(place);
                let twice = [&trace[range.clone()], &trace[range.clone()]].concat();
                replaced(range, &twice)
            }
            Accident::Reordered(place) => {
                let Some((a, b)) = two_of_one_thread(trace, place) else {
                    return Accident::Doubled(place).apply(trace);
                };
                let bytes = [
                    &trace[..a.start],
                    &trace[b.clone()],
                    &trace[a.end..b.start],
                    &trace[a.clone()],
                    &trace[b.end..],
                ];
                let untouched = |range: &&std::ops::Range<usize>| !range.contains(&a.start);
                let whole = ranges.iter().filter(untouched);
                Wreck {
                    bytes: bytes.concat(),
                    whole: whole.map(|r| (r.clone(), r.start)).collect(),
                }
            }
            Accident::Swapped(place) => {
                if ranges.len() < 2 {
                    return Accident::Joined.apply(trace);
                }
                let first = place.of(ranges.len() - 1);
                let (a, b) = (ranges[first].clone(), ranges[first + 1].clone());
                let bytes = [
                    &trace[..a.start],
                    &trace[b.clone()],
                    &trace[a.clone()],
                    &trace[b.end..],
                ];
                let now = |range: &std::ops::Range<usize>| match range.start {
                    start if start == a.start => a.start + b.len(),
                    start if start == b.start => a.start,
                    start => start,
                };
                Wreck {
                    bytes: bytes.concat(),
                    whole: ranges.iter().map(|r| (r.clone(), now(r))).collect(),
                }
            }
            Accident::Joined => Wreck {
                bytes: [trace, trace].concat(),
                whole: ranges
                    .iter()
                    .flat_map(|r| [(r.clone(), r.start), (r.clone(), r.start + trace.len())])
                    .collect(),
            },
        }
    }
}

/// A batch, and the next one of the same thread in the same generation.
fn two_of_one_thread(
    trace: &[u8],
    place: Place,
) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let trace = gotrace::Trace::new(trace).expect("a header");
    let batches = trace.batches().filter_map(|chunk| match chunk.ok()? {
        Chunk::Batch(batch) => Some(batch),
        Chunk::EndOfGeneration(_) => None,
    });
    let batches: Vec<Batch<'_>> = batches.filter(|b| b.head.thread.is_some()).collect();
    let same = |a: &Batch<'_>, b: &Batch<'_>| {
        (a.head.generation, a.head.thread) == (b.head.generation, b.head.thread)
    };
    let pairs = batches.iter().enumerate().filter_map(|(at, first)| {
        let second = batches[at + 1..].iter().find(|b| same(first, b))?;
        Some((first, second))
    });
    let pairs: Vec<_> = pairs.collect();
    if pairs.is_empty() {
        return None;
    }
    let (first, second) = pairs[place.of(pairs.len())];
    let range = |b: &Batch<'_>| b.offset.0 as usize..b.end().0 as usize;
    Some((range(first), range(second)))
}

/// Where the generations of a sound trace are.
pub fn generations(trace: &[u8]) -> Vec<std::ops::Range<usize>> {
    let trace = gotrace::Trace::new(trace).expect("a header");
    let generations = trace.generations().map_while(Result::ok);
    let generations = generations.filter(|generation| generation.complete);
    generations
        .map(|generation| generation.start.0 as usize..generation.end.0 as usize)
        .collect()
}
