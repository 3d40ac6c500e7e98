//! The string and stack tables of a trace of before Go 1.22.

use crate::error::{Error, ErrorKind};
use crate::generation::{Directory, Entry, Lookup};
use crate::num;
use crate::tables::{Full, IdTable, Slot};
use crate::time::ClockSnapshot;
use crate::wire::{Pieces, RawFrame, RawFrames, Span};
use alloc::vec::Vec;

type ById<T> = IdTable<T, Vec<Slot<T>>, Vec<u32>>;

/// Where strings and stacks are in the trace.
pub(crate) struct Tables {
    strings: Directory<Vec<Entry>>,
    stacks: Directory<Vec<Entry>>,
    /// The first frame of each program counter of which there are different ones: Go's reader takes
    /// it for all of them.
    frames: ById<RawFrame>,
}

/// The first frame of each program counter, while stacks are read.
pub(super) struct Frames(ById<RawFrame>);

impl Frames {
    pub(super) const fn new() -> Frames {
        Frames(IdTable::new())
    }
}

impl Tables {
    pub(super) const fn new() -> Tables {
        Tables {
            strings: Directory::new(),
            stacks: Directory::new(),
            frames: IdTable::new(),
        }
    }

    pub(super) fn add_string(&mut self, id: u64, at: usize, len: usize) -> Result<(), Full> {
        self.strings.add(id, span(at, len))
    }

    /// Adds a stack. One without an id or without frames is none.
    pub(super) fn add_stack(
        &mut self,
        id: u64,
        frames: &RawFrames<'_>,
        at: usize,
        first: &mut Frames,
    ) -> Result<(), Full> {
        let len = frames.bytes().len();
        if id == 0 || len == 0 {
            return Ok(());
        }
        for frame in frames.clone() {
            let Some(slot) = first.0.find(frame.pc) else {
                first.0.insert(frame.pc, frame)?;
                continue;
            };
            let Some(known) = first.0.get(slot).filter(|known| **known != frame) else {
                continue;
            };
            if self.frames.find(frame.pc).is_none() {
                self.frames.insert(frame.pc, *known)?;
            }
        }
        self.stacks.add(id, span(at, len))
    }

    /// Sorts the tables, once all is there. Of stacks with the same id the last is kept.
    pub(super) fn finish(&mut self, input: &Pieces<'_>) -> Result<(), Error> {
        let duplicate = |entry: Entry| {
            let offset = entry.offset(input);
            Error::at(ErrorKind::DuplicateString, entry.id, offset)
        };
        self.strings.finish().map_err(duplicate)?;
        self.stacks.keep_last();
        self.stacks.finish().map_err(duplicate)
    }

    /// The id of a stack; 0 if the table does not have it.
    #[inline]
    pub(super) fn stack_id(&self, id: u64) -> u64 {
        let id = id & u64::from(u32::MAX);
        if id != 0 && self.stacks.contains(id) {
            id
        } else {
            0
        }
    }
}

impl Lookup for Tables {
    fn generation(&self) -> u64 {
        1
    }

    fn string(&self, id: u64) -> Option<Span> {
        match id {
            0 => Some(Span::default()),
            id => self.strings.get(id),
        }
    }

    fn stack(&self, id: u64) -> Option<Span> {
        self.stacks.get(id)
    }

    fn clock(&self) -> Option<ClockSnapshot> {
        None
    }

    fn has_texts(&self) -> bool {
        true
    }

    fn frame(&self, frame: RawFrame) -> RawFrame {
        let first = self.frames.find(frame.pc);
        let first = first.and_then(|slot| self.frames.get(slot));
        first.copied().unwrap_or(frame)
    }
}

fn span(at: usize, len: usize) -> Span {
    Span {
        piece: 0,
        at,
        len: num::slot(len),
    }
}
