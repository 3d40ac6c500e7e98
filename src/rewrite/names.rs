//! The strings and stacks that the events of a generation name, copied as they are first named.

use super::output::{Output, Section, put};
use crate::event::Event;
use crate::num;
use crate::wire::{EventType, MAX_FRAMES, MAX_STRING_SIZE, RawFrame, RawFrames, Span};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

/// What is made up for an event that is made up: its stack, and the name of the one frame of that. No
/// table of a Go program is so large.
pub(super) const MADE_UP: u64 = 1 << 40;
/// The ids of texts that no table had.
const TEXTS: u64 = MADE_UP + 1;
/// What the frame is called.
const MADE_UP_NAME: &str = "made up by gotrace";

/// So many strings have the same ids in every generation of every trace: the reasons for which goroutines
/// block and stop, which Go registers before a generation begins. 20 of them in Go 1.22, 21 in 1.23, 22
/// since 1.25.
const ALWAYS: usize = 20;

/// A set of ids, which count from 1 with few gaps, or are anything.
#[derive(Default)]
struct Ids {
    low: Vec<u64>,
    high: BTreeSet<u64>,
}

impl Ids {
    /// Ids up to here take a bit each.
    const LOW: u64 = 1 << 20;

    /// Whether the id is new.
    #[inline(always)]
    fn insert(&mut self, id: u64) -> bool {
        if id >= Self::LOW {
            return self.high.insert(id);
        }
        let (at, bit) = (num::narrow(id / 64), 1u64 << (id % 64));
        if at >= self.low.len() {
            self.low.resize(at.saturating_add(1), 0);
        }
        match self.low.get_mut(at) {
            Some(word) if *word & bit == 0 => {
                *word |= bit;
                true
            }
            _ => false,
        }
    }

    /// Whether an id that is not low is in the set.
    fn has_high(&self, id: u64) -> bool {
        self.high.contains(&id)
    }

    fn clear(&mut self) {
        self.low.clear();
        self.high.clear();
    }
}

/// Whether the trace has an entry of its tables, and not only the reader a placeholder.
fn in_table(entry: Option<Span>) -> bool {
    entry.is_some_and(|span| span.piece != Span::NAMES)
}

/// The tables of the generation being written.
pub(super) struct Names {
    strings: Section,
    stacks: Section,
    samples: Section,
    known_strings: Ids,
    known_stacks: Ids,
    /// Strings that have the same id in every generation, as far as they were named.
    always: [Option<Box<[u8]>>; ALWAYS],
    /// How many texts have an id that was made for them.
    texts: u64,
    /// How many strings and stacks were not in the tables that were read.
    pub(super) missing: u64,
}

impl Names {
    pub(super) fn new() -> Names {
        Names {
            strings: Section::new(EventType::STRINGS),
            stacks: Section::new(EventType::STACKS),
            samples: Section::new(EventType::CPU_SAMPLES),
            known_strings: Ids::default(),
            known_stacks: Ids::default(),
            always: [const { None }; ALWAYS],
            texts: 0,
            missing: 0,
        }
    }

    /// Notes a string that an event names by its id.
    #[inline(always)]
    pub(super) fn string(&mut self, out: &mut Output, time: u64, event: &Event<'_, '_>, id: u64) {
        if id != 0 && self.known_strings.insert(id) {
            self.copy_string(out, time, event, id);
        }
    }

    #[cold]
    #[inline(never)]
    fn copy_string(&mut self, out: &mut Output, time: u64, event: &Event<'_, '_>, id: u64) {
        let is_known = in_table(event.tables.string(id));
        if !is_known && self.is_text(id) && event.tables.string(id).is_none() {
            // The id was taken for something else, which a trace that was repaired before may name.
            return;
        }
        let name = self.written(event, id).into_owned();
        if !is_known {
            self.missing = self.missing.saturating_add(1);
        } else if let Some(place @ None) = self.always.get_mut(num::narrow(id.wrapping_sub(1))) {
            *place = Some(Box::from(&*name));
        }
        self.put_string(out, time, id, &name);
    }

    /// A string as it is written: with what earlier generations say, or a placeholder, where the trace does
    /// not have it.
    pub(super) fn written<'a>(&'a self, event: &Event<'_, 'a>, id: u64) -> Cow<'a, [u8]> {
        if id == 0 {
            return Cow::Borrowed(&[]);
        }
        let found = event.tables.string(id);
        if !in_table(found)
            && let Some(Some(learned)) = self.always.get(num::narrow(id.wrapping_sub(1)))
        {
            return Cow::Borrowed(learned);
        }
        match found {
            // The reader's own placeholders as well.
            Some(_) => Cow::Borrowed(event.string(id).as_bytes()),
            None => Cow::Owned(format!("string {id} (not recorded)").into_bytes()),
        }
    }

    /// Whether a text got this id.
    const fn is_text(&self, id: u64) -> bool {
        id >= TEXTS && id < TEXTS.wrapping_add(self.texts)
    }

    fn put_string(&mut self, out: &mut Output, time: u64, id: u64, bytes: &[u8]) {
        let most = num::narrow(MAX_STRING_SIZE);
        let bytes = bytes.get(..most).unwrap_or(bytes);
        self.strings
            .add(out, time, most.saturating_add(32), |payload| {
                payload.push(EventType::STRING.0);
                put(payload, id);
                put(payload, num::wide(bytes.len()));
                payload.extend_from_slice(bytes);
            });
    }

    /// Makes an id for a text that an event has in place of one.
    pub(super) fn text(
        &mut self,
        out: &mut Output,
        time: u64,
        event: &Event<'_, '_>,
        bytes: &[u8],
    ) -> u64 {
        if bytes.is_empty() {
            return 0;
        }
        let mut id = TEXTS.wrapping_add(self.texts);
        // Those of a trace that was repaired before stay what they are.
        while event.tables.string(id).is_some() || self.known_strings.has_high(id) {
            id = id.wrapping_add(1);
        }
        self.texts = id.wrapping_sub(TEXTS).wrapping_add(1);
        self.put_string(out, time, id, bytes);
        id
    }

    /// Notes a stack that an event names by its id.
    #[inline(always)]
    pub(super) fn stack(&mut self, out: &mut Output, time: u64, event: &Event<'_, '_>, id: u64) {
        if id != 0 && self.known_stacks.insert(id) {
            self.copy_stack(out, time, event, id);
        }
    }

    #[cold]
    #[inline(never)]
    fn copy_stack(&mut self, out: &mut Output, time: u64, event: &Event<'_, '_>, id: u64) {
        if !in_table(event.tables.stack(id)) {
            self.missing = self.missing.saturating_add(1);
            let name = format!("stack {id} (not recorded)");
            let func = self.text(out, time, event, name.as_bytes());
            self.one_frame(out, time, id, func);
            return;
        }
        let stack = event.stack_of(id);
        let mut frames = Vec::new();
        for frame in RawFrames::new(stack.frames).take(num::narrow(MAX_FRAMES)) {
            let frame = event.tables.frame(frame);
            self.string(out, time, event, frame.func);
            self.string(out, time, event, frame.file);
            frames.push(frame);
        }
        self.put_stack(out, time, id, &frames);
    }

    /// The id of the stack of what is made up.
    pub(super) fn made_up(&mut self, out: &mut Output, time: u64) -> u64 {
        if self.known_stacks.insert(MADE_UP) {
            if self.known_strings.insert(MADE_UP) {
                self.put_string(out, time, MADE_UP, MADE_UP_NAME.as_bytes());
            }
            self.one_frame(out, time, MADE_UP, MADE_UP);
        }
        MADE_UP
    }

    fn one_frame(&mut self, out: &mut Output, time: u64, id: u64, func: u64) {
        let frame = RawFrame {
            pc: id,
            func,
            file: 0,
            line: 0,
        };
        self.put_stack(out, time, id, &[frame]);
    }

    fn put_stack(&mut self, out: &mut Output, time: u64, id: u64, frames: &[RawFrame]) {
        let largest = frames.len().saturating_mul(40).saturating_add(32);
        self.stacks.add(out, time, largest, |payload| {
            payload.push(EventType::STACK.0);
            put(payload, id);
            put(payload, num::wide(frames.len()));
            for frame in frames {
                for number in [frame.pc, frame.func, frame.file, frame.line] {
                    put(payload, number);
                }
            }
        });
    }

    /// Adds a sample of the CPU profiler, of which nothing is checked.
    pub(super) fn sample(&mut self, out: &mut Output, time: u64, numbers: [u64; 5]) {
        self.samples.add(out, time, 64, |payload| {
            payload.push(EventType::CPU_SAMPLE.0);
            for number in numbers {
                put(payload, number);
            }
        });
    }

    /// The generation is over.
    pub(super) fn finish(&mut self, out: &mut Output, time: u64) {
        self.samples.flush(out, time);
        self.stacks.flush(out, time);
        // Go writes them last, too.
        self.strings.flush(out, time);
        self.known_strings.clear();
        self.known_stacks.clear();
        self.texts = 0;
    }
}
