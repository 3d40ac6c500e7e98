//! The open generation in memory: each core's events, and the texts of its logs.

use crate::ids::{GenerationId, StringId, ThreadId};
use crate::num;
use crate::string::GoStr;
use crate::time::Timestamp;
use crate::wire::{BatchHead, Encoder, EventType, Filling, TimedEvent, Version};

/// Kept free for what must be said at the end of a generation: a range of the core ends. One more
/// byte begins the section of the core's texts.
const RESERVE: usize = 12;

/// A core's part of the memory: events from the start on, and texts from the end down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    filling: Filling,
    start: usize,
    end: usize,
    /// Where the last text begins.
    texts: usize,
}

impl Part {
    /// Part `n` of `count`, of a memory of `len` bytes.
    pub(super) fn new(n: usize, count: usize, len: usize) -> Part {
        let len = len.checked_div(count).unwrap_or(0);
        let start = n.saturating_mul(len);
        let end = start.saturating_add(len);
        Part {
            filling: Filling::NONE,
            start,
            end,
            texts: end,
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
        let head = BatchHead::new(generation, ThreadId::new(thread), time);
        let begun = Filling::begin(self.events(memory, RESERVE), Version::CURRENT, &head);
        self.filling = begun.unwrap_or(Filling::NONE);
        begun.is_ok()
    }

    fn events<'m>(&self, memory: &'m mut [u8], reserve: usize) -> &'m mut [u8] {
        let end = self.texts.saturating_sub(reserve);
        memory.get_mut(self.start..end).unwrap_or(&mut [])
    }

    /// Adds an event; whether there is room. The last words of a generation have more.
    #[inline]
    pub(super) fn event(
        &mut self,
        memory: &mut [u8],
        time: Timestamp,
        event: TimedEvent,
        last: bool,
    ) -> bool {
        let reserve = if last { 1 } else { RESERVE };
        let room = self.events(memory, reserve);
        self.filling.event_at(room, time, event).is_ok()
    }

    /// Adds a text; its id if there is room, also for an event.
    pub(super) fn text(&mut self, memory: &mut [u8], id: u64, text: GoStr<'_>) -> Option<StringId> {
        let record = crate::wire::StringRecord { id, data: text };
        let at = self.texts.checked_sub(record.encoded_len())?;
        let used = self.start.saturating_add(self.filling.len());
        let event = TimedEvent::MAX_LEN.saturating_add(RESERVE);
        if at < used.saturating_add(event) {
            return None;
        }
        let mut out = Encoder::new(memory.get_mut(at..self.texts)?);
        out.string(id, text).ok()?;
        self.texts = at;
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
        self.filling.finish(self.events(memory, 0))
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
