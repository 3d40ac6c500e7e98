//! Reading an arena that nothing records into any more, and going on in it.

use super::intake::Intake;
use super::layout::{Checked, Geometry, LAYOUT, MAGIC, NO_WRAP, Prefix, Run, SMALLEST, State};
use super::losses::LossReason;
use super::ring::{Core, version_of};
use super::snapshot::Snapshot;
use super::status::Status;
use super::{FlightRecorder, FlightRecorderConfig};
use crate::generation::{Split, Splitter};
use crate::ids::GenerationId;
use crate::num;
use crate::wire::{Batches, Head, Version};
use core::fmt;
use zerocopy::{FromBytes, IntoBytes};

/// Why memory cannot be used as an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ArenaError {
    /// It is smaller than the smallest arena.
    TooSmall {
        /// The length of the smallest arena, in bytes.
        smallest: usize,
    },
    /// It does not begin as an arena does, and nothing in it checks out.
    NotAnArena,
    /// It is an arena of another layout, which this release does not know.
    UnknownLayout {
        /// The layout's version.
        layout: u32,
    },
    /// It begins as an arena does, but neither copy of its state checks out.
    NoState,
    /// It is shorter than the arena that was made there, so that nothing can be recorded into it;
    /// what is left can be [recovered](FlightRecorder::recover).
    Truncated {
        /// The length of the arena that was made, in bytes.
        len: u64,
    },
}

impl fmt::Display for ArenaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArenaError::TooSmall { smallest } => {
                write!(
                    f,
                    "too small for an arena, the smallest has {smallest} bytes"
                )
            }
            ArenaError::NotAnArena => f.write_str("not a flight recorder's arena"),
            ArenaError::UnknownLayout { layout } => {
                write!(f, "an arena of layout {layout}, only {LAYOUT} is known")
            }
            ArenaError::NoState => f.write_str("an arena whose state does not check out"),
            ArenaError::Truncated { len } => {
                write!(f, "an arena of {len} bytes that is cut short")
            }
        }
    }
}

impl core::error::Error for ArenaError {}

/// A part of an arena that does not check out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Damage {
    /// The first bytes, which say what it is.
    Prefix,
    /// The arena is cut short.
    Truncated {
        /// The bytes that are missing.
        missing: u64,
    },
    /// One of the two copies of the state; the other was used. A stop amid a store leaves that, and
    /// then nothing is lost.
    State,
    /// The record of a generation: where it was is not known.
    Record {
        /// The generation, counted from the oldest one.
        index: u32,
    },
    /// The batches of a complete generation.
    Generation {
        /// The generation.
        number: GenerationId,
    },
    /// The batches of the generation in progress.
    InProgress {
        /// The generation.
        number: GenerationId,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Prefix => f.write_str("the arena's first bytes are damaged"),
            Damage::Truncated { missing } => write!(f, "{missing} bytes are missing at the end"),
            Damage::State => f.write_str("one of the two copies of the state is damaged"),
            Damage::Record { index } => write!(
                f,
                "the record of generation {index} from the oldest is damaged"
            ),
            Damage::Generation { number } => write!(f, "generation {number} is damaged"),
            Damage::InProgress { number } => {
                write!(f, "generation {number}, which was in progress, is damaged")
            }
        }
    }
}

/// What checks out in an arena, and what does not.
///
/// Every complete generation was read and compared with its checksum, once. Nothing else is handed
/// out.
#[derive(Clone)]
pub struct Recovered<'a> {
    arena: &'a [u8],
    core: Core,
    /// A bit for each record from the oldest on: whether its generation checks out.
    sound: [u64; 16],
    /// Whether the generation in progress does.
    progress: bool,
}

impl<'a> Recovered<'a> {
    pub(super) fn new(arena: &'a [u8]) -> Result<Self, ArenaError> {
        if arena.len() < size_of::<Prefix>() {
            return Err(ArenaError::NotAnArena);
        }
        let Some(state) = State::newest(arena) else {
            return Err(match Prefix::read_from_prefix(arena) {
                Ok((prefix, _)) if prefix.magic != MAGIC => ArenaError::NotAnArena,
                Ok((prefix, _)) if prefix.layout.get() != LAYOUT => ArenaError::UnknownLayout {
                    layout: prefix.layout.get(),
                },
                _ => ArenaError::NoState,
            });
        };
        let mut core = Core {
            geometry: Geometry::of(num::index(state.arena_len.get())),
            state: *state,
            tail: 0,
            config: FlightRecorderConfig::default(),
            fresh: false,
        };
        core.tail = core.run(arena, 0).start.get();
        Ok(Self::examine(arena, core))
    }

    /// What checks out of what this recorder has in this arena.
    pub(super) fn examine(arena: &'a [u8], core: Core) -> Self {
        let mut recovered = Recovered {
            arena,
            core,
            sound: [0; 16],
            progress: false,
        };
        if let Some(version) = version_of(recovered.core.state.window_version) {
            let mut index = 0;
            // No two generations are in the same place: in sum they are not longer than the ring, or
            // someone has made this arena up.
            let mut room = recovered.core.geometry.capacity;
            for word in &mut recovered.sound {
                for bit in 0..u64::BITS {
                    if index < recovered.core.state.count.get() {
                        let run = recovered.core.run(arena, index);
                        let left = room.checked_sub(run.len.get());
                        if let Some(left) = left
                            && checks_out(&recovered.core, arena, &run, version, true)
                        {
                            room = left;
                            *word |= 1u64.wrapping_shl(bit);
                        }
                    }
                    index = index.saturating_add(1);
                }
            }
        }
        if let Some(version) = version_of(recovered.core.state.stream_version) {
            let run = recovered.core.state.progress;
            recovered.progress = checks_out(&recovered.core, arena, &run, version, false);
        }
        recovered
    }

    /// Whether all that the recorder has checks out.
    pub(super) fn is_whole(&self) -> bool {
        let count = self.core.state.count.get();
        let none = self.core.state.progress.number.get() == 0;
        (0..count).all(|index| self.is_sound(index)) && (self.progress || none)
    }

    fn is_sound(&self, index: u32) -> bool {
        let word = self.sound.get(num::index(index.wrapping_shr(6)));
        index < self.core.state.count.get()
            && word.is_some_and(|word| word.wrapping_shr(index & 63) & 1 == 1)
    }

    /// The number of sound generations, each of which follows the one before, from this one on.
    fn consecutive(&self, from: u32) -> u32 {
        let number = |index| self.core.run(self.arena, index).number.get();
        let mut count = 0u32;
        let mut index = from;
        while self.is_sound(index)
            && (count == 0 || number(index) == number(index.wrapping_sub(1)).wrapping_add(1))
        {
            count = count.saturating_add(1);
            index = index.saturating_add(1);
        }
        count
    }

    /// The newest run of consecutive generations, and where it begins.
    pub(super) fn newest(&self) -> (u32, u32) {
        let mut found = (0, 0);
        let mut from = 0;
        while from < self.core.state.count.get() {
            let count = self.consecutive(from);
            if count > 0 {
                found = (from, count);
            }
            from = from.saturating_add(count.max(1));
        }
        found
    }

    /// The window that was there: the newest complete generations that check out, up to one that
    /// does not.
    pub fn snapshot(&self) -> Snapshot<'_> {
        let (first, count) = self.newest();
        Snapshot::part(self.arena, &self.core, first, count)
    }

    /// Everything complete that checks out, oldest first: one snapshot, or more if a generation
    /// between does not.
    pub fn snapshots(&self) -> impl Iterator<Item = Snapshot<'_>> {
        let mut from = 0;
        core::iter::from_fn(move || {
            while from < self.core.state.count.get() {
                let (first, count) = (from, self.consecutive(from));
                from = from.saturating_add(count.max(1));
                if count > 0 {
                    return Some(Snapshot::part(self.arena, &self.core, first, count));
                }
            }
            None
        })
    }

    /// The generation that was being recorded, if there was one and it checks out.
    pub fn in_progress(&self) -> Option<Incomplete<'a>> {
        let run = &self.core.state.progress;
        Some(Incomplete {
            number: GenerationId::new(run.number.get()).filter(|_| self.progress)?,
            version: version_of(self.core.state.stream_version)?,
            pieces: self.core.run_pieces(self.arena, run),
        })
    }

    /// Whether a trace was being recorded when the recorder stopped: since its header, and until a
    /// [restart](FlightRecorder::restart). A generation need not have been in progress: a program that
    /// does little writes nothing for most of a second.
    pub fn was_recording(&self) -> bool {
        self.core.state.stream_version != 0
    }

    /// What does not check out; nothing for an arena whose recorder was stopped between two batches.
    pub fn damage(&self) -> impl Iterator<Item = Damage> {
        let missing = u64::from(self.core.state.arena_len.get());
        let missing = missing.saturating_sub(num::wide(self.arena.len()));
        let prefix = !Prefix::is_current(self.arena);
        let copies = [0, 1].map(|copy| State::read(self.arena, Geometry::state(copy)));
        let state = copies.iter().any(Option::is_none);
        let fixed = [
            prefix.then_some(Damage::Prefix),
            (missing > 0).then_some(Damage::Truncated { missing }),
            state.then_some(Damage::State),
        ];
        let generations = (0..self.core.state.count.get())
            .filter(|index| !self.is_sound(*index))
            .map(
                |index| match GenerationId::new(self.core.run(self.arena, index).number.get()) {
                    Some(number) => Damage::Generation { number },
                    None => Damage::Record { index },
                },
            );
        let progress = GenerationId::new(self.core.state.progress.number.get())
            .filter(|_| !self.progress)
            .map(|number| Damage::InProgress { number });
        fixed
            .into_iter()
            .flatten()
            .chain(generations)
            .chain(progress)
    }

    /// What the recorder said about itself when it stopped, generations that do not check out
    /// included.
    pub fn status(&self) -> Status {
        self.core.status(self.arena)
    }
}

impl fmt::Debug for Recovered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovered")
            .field("snapshot", &self.snapshot())
            .field("in_progress", &self.in_progress())
            .finish_non_exhaustive()
    }
}

/// The generation that was being recorded when a recorder stopped: its batches so far.
///
/// It is not a trace that Go's tools open: its tables, which Go writes last, are most likely
/// missing.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Incomplete<'a> {
    /// The number.
    pub number: GenerationId,
    /// The version of its trace.
    pub version: Version,
    /// The batches, cut between two of them where the ring began again at its start; otherwise the
    /// second is empty.
    pub pieces: [&'a [u8]; 2],
}

impl<'a> Incomplete<'a> {
    /// The bytes of all batches.
    pub fn len(&self) -> u64 {
        self.pieces
            .iter()
            .fold(0, |sum, p| sum.saturating_add(num::wide(p.len())))
    }

    /// Whether there are no bytes; there always are.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batches. Offsets count from the start of the piece that a batch is in.
    pub fn batches(&self) -> impl Iterator<Item = crate::wire::Batch<'a>> {
        self.pieces.into_iter().flat_map(|piece| {
            Batches::new(piece).filter_map(|chunk| match chunk {
                Ok(crate::wire::Chunk::Batch(batch)) => Some(batch),
                _ => None,
            })
        })
    }
}

impl fmt::Debug for Incomplete<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incomplete")
            .field("number", &self.number)
            .field("version", &self.version)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Recovered<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}, {}", self.snapshot(), self.in_progress());
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Incomplete<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{} of {=u64} bytes so far", self.number, self.len());
    }
}

/// Whether a run of batches is what its record says: in bounds, whole batches of its number, as
/// many as it says, with its times and its checksum, and with a marker at the end if it should
/// have one.
fn checks_out(core: &Core, arena: &[u8], run: &Run, version: Version, complete: bool) -> bool {
    if run.number.get() == 0 {
        return false;
    }
    let mut found = Run {
        number: run.number,
        start: run.start,
        ..Run::default()
    };
    let mut marker = false;
    let mut splitter = Splitter::new(version);
    for piece in core.run_pieces(arena, run) {
        let mut rest = piece;
        while !rest.is_empty() {
            let Ok(Some(head)) = Head::parse(rest) else {
                return false;
            };
            match (splitter.step(&head, head.payload(rest)), head) {
                (Ok(Split::Batch { .. }), Head::Batch(head))
                    if head.generation.get() == run.number.get() && !marker =>
                {
                    found.count(&head);
                }
                (Ok(Split::Marker(_)), _) => marker = true,
                _ => return false,
            }
            let Some((batch, after)) = rest.split_at_checked(head.total_len()) else {
                return false;
            };
            found.chain(batch);
            rest = after;
        }
    }
    // A generation that waits for a record has its marker already.
    let ended = marker == version.has_end_marker() || !complete;
    ended && found.as_bytes() == run.as_bytes()
}

impl<A: AsRef<[u8]> + AsMut<[u8]>> FlightRecorder<A> {
    /// Goes on in the arena of a recorder that was stopped, with the generations that
    /// [`recover`](FlightRecorder::recover) gives as its snapshot. Counters go on as well.
    ///
    /// The generation in progress is lost: recover it before. [`write`](FlightRecorder::write)
    /// expects a new stream, with its header; with [`batch`](FlightRecorder::batch), the trace that
    /// was being recorded may go on without one, and is recorded from its next generation on.
    ///
    /// Reads the whole window once.
    ///
    /// Errors: all [`ArenaError`]s; the arena is then as it was.
    pub fn resume(mut arena: A, config: FlightRecorderConfig) -> Result<Self, ArenaError> {
        let bytes = arena.as_mut();
        if bytes.len() < SMALLEST {
            return Err(ArenaError::TooSmall { smallest: SMALLEST });
        }
        let recovered = Recovered::new(bytes)?;
        let len = u64::from(recovered.core.state.arena_len.get());
        if len > num::wide(bytes.len()) {
            return Err(ArenaError::Truncated { len });
        }
        let (first, count) = recovered.newest();
        let mut core = recovered.core;
        core.config = config.or_default();
        core.keep(bytes, first, count);
        // Here the prefix is restored, and the copy of the state that a stop may have torn.
        core.publish_all(bytes);
        Ok(FlightRecorder {
            arena,
            intake: Intake::amid(&core),
            core,
        })
    }
}

impl Core {
    /// Keeps these generations of the table only, and forgets the one in progress.
    pub(super) fn keep(&mut self, arena: &[u8], first: u32, count: u32) {
        let end = first.saturating_add(count);
        let bytes = (first..end).fold(0u32, |sum, index| {
            sum.wrapping_add(self.run(arena, index).len.get())
        });
        let head = match end.checked_sub(1) {
            Some(last) if count > 0 => self.end(&self.run(arena, last)),
            _ => 0,
        };
        let state = &mut self.state;
        let others = state.count.get().wrapping_sub(count);
        let other_bytes = state.window_bytes.get().wrapping_sub(bytes);
        let progress = core::mem::take(&mut state.progress);
        state
            .first
            .set(self.geometry.slot(state.first.get(), first));
        state.count.set(count);
        state.window_bytes.set(bytes);
        state.head.set(head);
        let interrupted = u32::from(progress.number.get() != 0);
        self.lost(LossReason::Damaged).add(others, other_bytes);
        self.lost(LossReason::Interrupted)
            .add(interrupted, progress.len.get());
        self.tail = self.run(arena, 0).start.get();
        if count == 0 || head > self.tail {
            self.state.wrap.set(NO_WRAP);
        }
    }

    /// Where the bytes after a generation begin.
    fn end(&self, run: &Run) -> u32 {
        let end = run.start.get().wrapping_add(run.len.get());
        let wrap = self.state.wrap.get();
        if run.start.get() < wrap && wrap < end {
            end.wrapping_sub(wrap)
        } else {
            end
        }
    }
}
