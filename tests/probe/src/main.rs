//! Proves the core freestanding: linked for bare metal with nothing but `core`, no panic in it.
//!
//! `run` builds this for each target. There is no allocator and no standard library to link. The
//! panic handler needs a symbol that does not exist, so that the link fails, and names the symbol,
//! if link-time optimisation could not remove every way to a panic.
#![no_std]
#![no_main]

use core::fmt::{self, Write};
use core::hint::black_box;
use gotrace::wire::{Batches, Chunk, Contents, Encoder, Events, Record, TimedEvent, Version};
use gotrace::{
    Error, FlightRecorder, FlightRecorderConfig, Reader, Trace,
    generation::GenerationTables,
    ids::{GenerationId, StackId},
};

/// What a firmware calls, each with bytes of which the compiler knows nothing.
const ENTRY_POINTS: &[fn(&'static [u8]) -> Result<u64, Error>] = &[
    batches,
    events,
    records,
    generations,
    tables,
    pieces,
    encode,
    reader,
    recorder,
    display,
    #[cfg(feature = "reachable-panic")]
    |bytes| Ok(u64::from(bytes[bytes.len() / 2])),
];

type Tables = gotrace::tables! {
    strings: 64,
    stacks: 32,
    samples: 16,
    batches: 16,
    threads: 8,
    procs: 8,
    goroutines: 64,
    regions: 16,
    tasks: 8,
};

/// Header hops.
fn batches(bytes: &'static [u8]) -> Result<u64, Error> {
    let mut sum = 0u64;
    for chunk in Trace::new(bytes)?.batches() {
        match chunk? {
            Chunk::Batch(batch) => sum = sum.wrapping_add(batch.head.time.0),
            Chunk::EndOfGeneration(at) => sum = sum.wrapping_add(at.0),
        }
    }
    Ok(sum)
}

/// Every timed event with its arguments.
fn events(bytes: &'static [u8]) -> Result<u64, Error> {
    let mut sum = 0u64;
    for chunk in Batches::new(bytes) {
        if let Chunk::Batch(batch) = chunk?
            && batch.contents() == Contents::Events
        {
            let mut events = Events::new(batch.data, batch.data_offset().0);
            while let Some(event) = events.next()? {
                sum = event.args.iter().fold(sum, |sum, n| sum.wrapping_add(*n));
                sum = event.named_args().fold(sum, |sum, (arg, n)| {
                    sum.wrapping_mul(n) ^ u64::from(arg.name.is_empty())
                });
            }
        }
    }
    Ok(sum)
}

/// Every record whatever a batch holds.
fn records(bytes: &'static [u8]) -> Result<u64, Error> {
    let mut sum = u64::from(Version::from_header(bytes)?.minor());
    for chunk in Batches::new(bytes) {
        let Chunk::Batch(batch) = chunk? else {
            continue;
        };
        for record in batch.records() {
            sum = sum.wrapping_add(match record? {
                Record::String(s) => s.id ^ u64::from(s.data.is_empty()),
                Record::Stack(s) => s.frames().fold(s.id, |sum, f| sum ^ f.pc),
                Record::Sample(s) => s.time.0,
                Record::Event(e) => e.dt,
                other => u64::from(other.ty().0),
            });
        }
    }
    Ok(sum)
}

/// What the headers say of each generation; one generation by its number.
fn generations(bytes: &'static [u8]) -> Result<u64, Error> {
    let trace = Trace::new(bytes)?;
    let mut sum = trace.len();
    for generation in trace.generations() {
        let generation = generation?;
        sum = sum.wrapping_add(generation.batches);
        sum ^= generation.start_time().map_or(0, |t| t.0.cast_unsigned());
    }
    let one = GenerationId::new(sum)
        .map(|id| trace.generation(id))
        .transpose()?
        .flatten();
    Ok(sum ^ one.map_or(0, |g| g.len()))
}

/// Tables of fixed capacity.
fn tables(bytes: &'static [u8]) -> Result<u64, Error> {
    load(&Trace::new(bytes)?)
}

/// The same over bytes in several pieces.
fn pieces(bytes: &'static [u8]) -> Result<u64, Error> {
    let (a, b) = bytes
        .split_at_checked(black_box(4096))
        .unwrap_or((bytes, &[]));
    let pieces = [a, b];
    load(&Trace::from_pieces(&pieces)?)
}

fn load(trace: &Trace<'_>) -> Result<u64, Error> {
    let mut sum = 0u64;
    for generation in trace.generations() {
        let tables = GenerationTables::<Tables>::load(trace, &generation?)?;
        sum ^= tables.clock().map_or(0, |c| c.mono);
        for (id, string) in tables.strings() {
            sum = sum.wrapping_add(u64::from(tables.string(Some(id)) == Some(string)));
        }
        for stack in tables.stacks() {
            for frame in stack.frames() {
                sum ^= frame.line ^ u64::from(frame.func.is_empty());
            }
        }
        for sample in tables.samples() {
            sum ^= sample.time.0.cast_unsigned();
        }
        for batch in tables.experimental_batches() {
            sum ^= u64::from(batch.data.is_empty());
        }
        let found = StackId::new(sum).and_then(|id| tables.stack(id));
        sum ^= found.map_or(0, |s| s.frames().fold(0, |sum, f| sum ^ f.pc));
    }
    Ok(sum)
}

/// Every event in the order in which it happened, with its details; damaged generations left out.
fn reader(bytes: &'static [u8]) -> Result<u64, Error> {
    let mut count = Count(0);
    let mut reader = Reader::<Tables>::new(&Trace::new(bytes)?);
    loop {
        let error = match reader.next() {
            Ok(Some(event)) => {
                count.0 ^= event.time().0.cast_unsigned();
                let shown = write!(count, "{event}");
                black_box(event.details());
                count.0 ^= u64::from(shown.is_err());
                continue;
            }
            Ok(None) => return Ok(count.0 ^ reader.offset().0),
            Err(error) => error,
        };
        if !reader.skip_generation() {
            return Err(error);
        }
    }
}

/// A trace recorded into an arena, as a stream and batch by batch; its snapshot read; the arena
/// recovered and recorded into again.
fn recorder(bytes: &'static [u8]) -> Result<u64, Error> {
    let mut arena = [0u8; 4096];
    let config = FlightRecorderConfig::default();
    let mut sum = 0u64;
    if let Ok(mut recorder) = FlightRecorder::new(&mut arena[..], config) {
        recorder.write(bytes)?;
        recorder.header(bytes)?;
        recorder.batch(bytes)?;
        recorder.end_generation()?;
        recorder.restart();
        sum = recorder.status().losses.total().bytes;
        let snapshot = recorder.snapshot();
        sum ^= snapshot.len() ^ load(&snapshot.trace()?)?;
    }
    if let Ok(recovered) = FlightRecorder::recover(&arena) {
        sum ^= recovered.snapshot().len();
        for batch in recovered.in_progress().iter().flat_map(|i| i.batches()) {
            sum ^= batch.head.time.0;
        }
        for damage in recovered.damage() {
            black_box(damage);
        }
    }
    if let Ok(mut recorder) = FlightRecorder::resume(&mut arena[..], config) {
        recorder.write(bytes)?;
    }
    Ok(sum)
}

/// Events written again.
fn encode(bytes: &'static [u8]) -> Result<u64, Error> {
    let mut buffer = [0u8; 128];
    let mut sum = 0u64;
    for event in Events::new(bytes, 0) {
        let mut out = Encoder::new(&mut buffer);
        out.event(&event?)?;
        out.event(&TimedEvent::default())?;
        sum = sum.wrapping_add(u64::from(out.is_empty()));
    }
    Ok(sum)
}

/// Everything that is shown to people: strings, stacks, errors.
fn display(bytes: &'static [u8]) -> Result<u64, Error> {
    let mut count = Count(0);
    let trace = Trace::new(bytes)?;
    for generation in trace.generations() {
        let shown = match GenerationTables::<Tables>::load(&trace, &generation?) {
            Ok(tables) => tables.stacks().try_for_each(|s| write!(count, "{s}")).and(
                tables
                    .strings()
                    .try_for_each(|(id, s)| write!(count, "{id} {s} {}", s.quoted())),
            ),
            Err(error) => write!(count, "{error}"),
        };
        count.0 ^= u64::from(shown.is_err());
    }
    Ok(count.0)
}

/// Counts what is written to it.
struct Count(u64);

impl Write for Count {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0 = s
            .bytes()
            .fold(self.0, |sum, b| sum.rotate_left(5) ^ u64::from(b));
        Ok(())
    }
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> u64 {
    static BYTES: [u8; 64] = [0; 64];
    black_box(ENTRY_POINTS)
        .iter()
        .map(|entry| entry(black_box(&BYTES)).map_or(0, black_box))
        .fold(0, u64::wrapping_add)
}

unsafe extern "C" {
    safe fn a_panic_is_reachable() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    a_panic_is_reachable()
}
