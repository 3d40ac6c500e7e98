//! The open generation in memory: each core's events, and the texts of its logs.

use crate::ids::{GenerationId, StringId, ThreadId};
use crate::num;
use crate::string::GoStr;
use crate::time::Timestamp;
use crate::wire::{BatchHead, Encoder, EventType, Filling, MAX_BATCH_SIZE, STAGE, Version};

/// Kept free for what must be said at the end of a generation: a range of the core ends. One more
/// byte begins the section of the core's texts.
const RESERVE: usize = STAGE + 1;

/// A core's part of the memory: events from the start on, and texts from the end down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    filling: Filling,
    start: usize,
    end: usize,
    /// Where the last text begins.
    texts: usize,
    /// Where events must end.
    limit: usize,
}

impl Part {
    /// Part `n` of `count`, of a memory of `len` bytes.
    pub(super) fn new(n: usize, count: usize, len: usize) -> Part {
        let len = len.checked_div(count).unwrap_or(0);
        let start = n.saturating_mul(len);
        // A batch can be no longer.
        let end = start.saturating_add(len.min(num::narrow(MAX_BATCH_SIZE)));
        Part {
            filling: Filling::NONE,
            start,
            end,
            texts: end,
            limit: end.saturating_sub(RESERVE),
        }
    }

    /// Begins a generation's batch. Whether there is room for its header.
    pub(super) fn begin(
        &mut self,
        memory: &mut [u8],
        generation: GenerationId,
        thread: u64,
        time: Timestamp,
    ) -> bool {
        self.texts = self.end;
        self.limit = self.texts.saturating_sub(RESERVE);
        let head = BatchHead::new(generation, ThreadId::new(thread), time);
        let room = memory.get_mut(self.start..self.limit).unwrap_or(&mut []);
        let begun = Filling::begin(room, Version::CURRENT, &head);
        self.filling = begun.unwrap_or(Filling::NONE);
        begun.is_ok()
    }

    /// Adds an event; whether there is room, which is so while there is some for the longest.
    #[inline(always)]
    pub(super) fn event(
        &mut self,
        memory: &mut [u8],
        time: Timestamp,
        ty: u8,
        numbers: &[u64],
    ) -> bool {
        let room = memory.get_mut(self.start..self.limit).unwrap_or(&mut []);
        self.filling.numbers_at(room, time, ty, numbers)
    }

    /// Adds the last event of a generation, for which room is kept.
    pub(super) fn last_event(&mut self, memory: &mut [u8], time: Timestamp, ty: u8) -> bool {
        self.limit = self.texts.saturating_sub(1);
        self.event(memory, time, ty, &[])
    }

    /// Adds a text; its id if there is room, also for an event.
    pub(super) fn text(&mut self, memory: &mut [u8], id: u64, text: GoStr<'_>) -> Option<StringId> {
        let record = crate::wire::StringRecord { id, data: text };
        let at = self.texts.checked_sub(record.encoded_len())?;
        let used = self.start.saturating_add(self.filling.len());
        let event = STAGE.saturating_add(RESERVE);
        if at < used.saturating_add(event) {
            return None;
        }
        let mut out = Encoder::new(memory.get_mut(at..self.texts)?);
        out.string(id, text).ok()?;
        self.texts = at;
        self.limit = at.saturating_sub(RESERVE);
        StringId::new(id)
    }

    /// How many bytes are free.
    pub(super) fn room(&self) -> usize {
        let used = self.start.saturating_add(self.filling.len());
        self.texts.saturating_sub(used)
    }

    /// How many bytes it has in all.
    pub(super) fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// The batch of the core's events.
    pub(super) fn batch<'m>(&self, memory: &'m mut [u8]) -> &'m [u8] {
        let bytes = memory.get_mut(self.start..self.texts);
        self.filling.finish(bytes.unwrap_or(&mut []))
    }

    /// The payload of a strings batch with the texts; nothing if there is none.
    pub(super) fn texts<'m>(&self, memory: &'m mut [u8]) -> Option<&'m [u8]> {
        if self.texts == self.end {
            return None;
        }
        let start = self.texts.checked_sub(1)?;
        let payload = memory.get_mut(start..self.end)?;
        *payload.first_mut()? = EventType::STRINGS.0;
        Some(payload)
    }

    /// How long [`Part::texts`] is; 0 for none.
    pub(super) fn texts_len(&self) -> usize {
        match self.end.saturating_sub(self.texts) {
            0 => 0,
            len => len.wrapping_add(1),
        }
    }

    pub(super) fn batch_len(&self) -> usize {
        self.filling.len()
    }
}

/// A moment of the trace clock in nanoseconds.
pub(super) fn nanoseconds(now: u64, hertz: u64) -> u64 {
    const BILLION: u64 = 1_000_000_000;
    let seconds = now.checked_div(hertz).unwrap_or(0);
    let rest = now.checked_rem(hertz).unwrap_or(0).saturating_mul(BILLION);
    let rest = rest.checked_div(hertz).unwrap_or(0);
    seconds.saturating_mul(BILLION).saturating_add(rest)
}

/// A core's number: procs and threads are cores.
pub(super) fn core_number(core: usize) -> u64 {
    num::wide(core)
}
