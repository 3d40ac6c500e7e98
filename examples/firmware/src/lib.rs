//! What the firmware computes, and the host again: both must come to the same.
//!
//! On the host, the tables grow on a heap; on the Cortex-M3, they have fixed capacities. The code
//! here is for either.
#![no_std]

use gotrace::recorder::{Recovered, Snapshot};
use gotrace::wire::{Chunk, Record};
use gotrace::{Error, Event, EventKind, FlightRecorder, Reader, Trace, tables::Storage};

/// The bytes of a fixture, in a section of its own.
macro_rules! fixture {
    ($(#[$doc:meta])* $name:ident = $file:literal) => {
        $(#[$doc])*
        pub static $name: &[u8] = {
            const BYTES: &[u8] = include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../tests/fixtures/",
                $file
            ));
            #[cfg_attr(target_os = "none", unsafe(link_section = ".traces"))]
            static PLACED: [u8; BYTES.len()] = *BYTES.first_chunk().unwrap();
            &PLACED
        };
    };
}

fixture!(
    /// What is read: tasks, regions and logs over three generations.
    READ = "annotate-go1.27.trace"
);
fixture!(
    /// What is recorded: the like in the format of before Go 1.26, where nothing marks the end of
    /// a generation. The reset comes while the third is in progress.
    RECORDED = "annotate-go1.25.trace"
);

/// The recorder's memory in bytes: not enough for all that is recorded.
pub const ARENA_LEN: usize = 10 << 10;

/// As many bytes come at once.
pub const PIECE_LEN: usize = 100;

/// What a trace consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "log", derive(defmt::Format))]
pub struct Decoded {
    pub batches: u32,
    pub generations: u32,
    pub events: u32,
    pub strings: u32,
    pub stacks: u32,
    pub frames: u32,
    /// Over everything that was read, so that a wrong byte shows.
    pub sum: u64,
}

/// Decodes every record of every batch.
pub fn decode(bytes: &[u8]) -> Result<Decoded, Error> {
    let mut found = Decoded::default();
    let mut last = None;
    let mut sum = 0u64;
    let mut mix = |n: u64| sum = sum.rotate_left(5) ^ n;
    let mut batches = Trace::new(bytes)?.batches();
    while let Some(chunk) = batches.next()? {
        let Chunk::Batch(batch) = chunk else { continue };
        found.batches += 1;
        if last.replace(batch.head.generation) != Some(batch.head.generation) {
            found.generations += 1;
        }
        mix(batch.head.time.0);
        let mut records = batch.records();
        while let Some(record) = records.next()? {
            match record {
                Record::Event(event) => {
                    found.events += 1;
                    mix(event.dt);
                    event.args.into_iter().for_each(&mut mix);
                }
                Record::String(string) => {
                    found.strings += 1;
                    mix(string.id);
                    mix(u64::from(checksum([string.data.as_bytes()])));
                }
                Record::Stack(stack) => {
                    found.stacks += 1;
                    for frame in stack.frames() {
                        found.frames += 1;
                        mix(frame.pc ^ frame.func ^ frame.file ^ frame.line);
                    }
                }
                other => mix(u64::from(other.ty().0)),
            }
        }
    }
    found.sum = sum;
    Ok(found)
}

/// Events in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "log", derive(defmt::Format))]
pub struct Counts {
    pub events: u32,
    /// By kind, in the order of `EventKind::ALL`.
    pub kinds: [u32; EventKind::ALL.len()],
    pub frames: u32,
    pub first: i64,
    pub last: i64,
    /// Over times and contexts, so that another order shows.
    pub sum: u64,
}

/// Reads every event, shows it, and works out its details.
pub fn read<S: Storage>(
    reader: &mut Reader<'_, S>,
    mut show: impl FnMut(&Event<'_, '_>),
) -> Result<Counts, Error> {
    let mut counts = Counts::default();
    while let Some(event) = reader.next()? {
        if counts.events == 0 {
            counts.first = event.time().0;
        }
        counts.events += 1;
        counts.last = event.time().0;
        let mut mix = |n: u64| counts.sum = counts.sum.rotate_left(5) ^ n;
        mix(event.time().0.cast_unsigned());
        mix(event.thread().map_or(1, |id| id.get()));
        mix(event.proc().map_or(2, |id| id.get()));
        mix(event.goroutine().map_or(3, |id| id.get()));
        let kind = event.kind();
        for (of, count) in EventKind::ALL.iter().zip(&mut counts.kinds) {
            *count += u32::from(*of == kind);
        }
        if let Some(stack) = event.stack() {
            for frame in stack.frames() {
                counts.frames += 1;
                mix(u64::from(checksum([frame.func.as_bytes()])));
            }
        }
        show(&event);
    }
    Ok(counts)
}

/// Records a trace as it comes off a wire: in pieces that know nothing of batches.
pub fn record<A: AsRef<[u8]> + AsMut<[u8]>>(
    recorder: &mut FlightRecorder<A>,
    bytes: &[u8],
) -> Result<(), Error> {
    bytes
        .chunks(PIECE_LEN)
        .try_for_each(|piece| recorder.write(piece))
}

/// A snapshot: complete generations, and all its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "log", derive(defmt::Format))]
pub struct Kept {
    pub generations: u32,
    pub bytes: u64,
    pub pieces: u32,
    pub checksum: u32,
}

impl Kept {
    pub fn of(snapshot: &Snapshot<'_>) -> Kept {
        Kept {
            generations: count(snapshot.generations()),
            bytes: snapshot.len(),
            pieces: count(snapshot.pieces()),
            checksum: checksum(snapshot.pieces().iter().copied()),
        }
    }
}

/// An arena, byte for byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub len: usize,
    pub checksum: u32,
}

impl Image {
    pub fn of(arena: &[u8]) -> Image {
        Image {
            len: arena.len(),
            checksum: checksum([arena]),
        }
    }
}

/// What a recorder left in its arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "log", derive(defmt::Format))]
pub struct Found {
    pub kept: Kept,
    /// The generation that was in progress: its number, and all its bytes.
    pub progress: Option<(u64, u64, u32)>,
    /// How much does not check out.
    pub damage: u32,
}

impl Found {
    pub fn of(recovered: &Recovered<'_>) -> Found {
        Found {
            kept: Kept::of(&recovered.snapshot()),
            progress: recovered
                .in_progress()
                .map(|p| (p.number.get(), p.len(), checksum(p.pieces))),
            damage: count(recovered.damage()),
        }
    }
}

fn count(items: impl IntoIterator) -> u32 {
    items.into_iter().fold(0, |count, _| count + 1)
}

/// FNV-1a.
fn checksum<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    pieces.into_iter().flatten().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}
