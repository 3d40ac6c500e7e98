//! The batches that a thread writes: events, and the texts of logs.

use super::core::{Core, add_string, batch_of};
use super::names::{BLOCK, Name, key_of, key_of_stack};
use super::thread::{Moment, State};
use crate::ids::{GenerationId, StackId, StringId};
use crate::time::Timestamp;
use crate::wire::{BatchHead, Filling, MAX_BATCH_SIZE, MAX_STRING_SIZE, Typed, Version};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The sizes of buffers: the first of a thread that writes little, and the largest.
pub(super) const SMALLEST: usize = 1 << 10;
const LARGEST: usize = 64 << 10;

impl State {
    /// Writes an event, if there is memory.
    #[inline(always)]
    pub(super) fn put(&mut self, core: &Core, at: Moment, event: impl Typed + Copy) -> bool {
        let time = Timestamp(at.time);
        event.with(|ty, numbers| {
            self.filling.numbers_at(&mut self.buffer, time, ty, numbers)
                || self.put_in_another(core, at, ty, numbers)
        })
    }

    /// As [`put`](State::put), where the batch is full, or there is none.
    #[inline(never)]
    pub(super) fn put_in_another(
        &mut self,
        core: &Core,
        at: Moment,
        ty: u8,
        numbers: &[u64],
    ) -> bool {
        // In a child, nobody takes what is handed over, and locks may be held for ever.
        if core.is_orphan() {
            return false;
        }
        self.hand_over_events(core);
        let time = Timestamp(at.time);
        let written = self.begin_batch(core, at)
            && self.filling.numbers_at(&mut self.buffer, time, ty, numbers);
        if !written {
            core.lose(1);
        }
        written
    }

    pub(super) fn begin_batch(&mut self, core: &Core, at: Moment) -> bool {
        if self.spare.is_empty() {
            let mut size = self.size;
            if !core.budget.take(size) {
                if !self.forced {
                    core.fill_up(at.generation);
                    return false;
                }
                size = SMALLEST;
                core.budget.overdraw(size);
            }
            self.buffer = alloc::vec![0; size];
        } else {
            core::mem::swap(&mut self.buffer, &mut self.spare);
        }
        let Some(generation) = GenerationId::new(self.generation) else {
            return false;
        };
        let head = BatchHead::new(generation, self.number, Timestamp(at.time));
        let begun = Filling::begin(&mut self.buffer, Version::CURRENT, &head);
        self.filling = begun.unwrap_or(Filling::NONE);
        true
    }

    pub(super) fn hand_over_events(&mut self, core: &Core) {
        let mut buffer = core::mem::take(&mut self.buffer);
        if buffer.is_empty() {
            return;
        }
        let filling = core::mem::replace(&mut self.filling, Filling::NONE);
        let len = filling.finish(&mut buffer).len();
        if len < buffer.len() / 4 {
            let part = Vec::from(buffer.get(..len).unwrap_or(&[]));
            core.budget.overdraw(part.capacity());
            core.hand_over(self.generation, part);
            if len < buffer.len() / 16 && buffer.len() > SMALLEST {
                core.budget.give_back(buffer.capacity());
                self.size = (buffer.len() / 4).max(SMALLEST);
            } else {
                self.spare = buffer;
            }
        } else {
            self.size = buffer.len().saturating_mul(2).min(LARGEST);
            buffer.truncate(len);
            core.hand_over(self.generation, buffer);
        }
    }

    pub(super) fn hand_over_texts(&mut self, core: &Core) {
        let Some(generation) = GenerationId::new(self.generation) else {
            return;
        };
        if !self.texts.is_empty() {
            let time = Timestamp(self.texts_began);
            let head = BatchHead::new(generation, self.number, time);
            let batch = batch_of(&head, &self.texts);
            core.budget.overdraw(batch.capacity());
            core.hand_over(self.generation, batch);
            self.texts.clear();
        }
    }

    pub(super) fn hand_over(&mut self, core: &Core) {
        self.hand_over_events(core);
        self.hand_over_texts(core);
        self.ids = (0, 0);
    }

    /// The id of a text of this generation, which is copied; nothing if there is no memory.
    pub(super) fn text(
        &mut self,
        core: &Core,
        at: Moment,
        text: &[u8],
    ) -> Option<Option<StringId>> {
        if text.is_empty() {
            return Some(None);
        }
        let most = crate::num::narrow(MAX_STRING_SIZE);
        let len = text.len().min(most).saturating_add(32);
        if self.texts.len().saturating_add(len) > crate::num::narrow(MAX_BATCH_SIZE) {
            self.hand_over_texts(core);
        }
        let free = self.texts.capacity().saturating_sub(self.texts.len());
        if free < len {
            let more = self.texts.capacity().max(SMALLEST).saturating_mul(2);
            let more = more.saturating_sub(self.texts.len());
            if !core.budget.take(more) {
                core.lose(1);
                core.fill_up(at.generation);
                return None;
            }
            let before = self.texts.capacity();
            self.texts.reserve_exact(more);
            let grown = self.texts.capacity().saturating_sub(before);
            core.budget.overdraw(grown);
            core.budget.give_back(more);
        }
        let (next, end) = self.ids;
        if next >= end {
            let next = core.names.block(at.generation);
            self.ids = (next, next.saturating_add(BLOCK));
        }
        if self.texts.is_empty() {
            self.texts_began = at.time;
        }
        let id = self.ids.0;
        self.ids.0 = id.saturating_add(1);
        add_string(&mut self.texts, id, text);
        Some(StringId::new(id))
    }

    #[inline(always)]
    pub(super) fn string(
        &mut self,
        core: &Core,
        at: Moment,
        text: &'static str,
    ) -> Option<StringId> {
        let find = || core.names.string(at.generation, text);
        StringId::new(self.cache.id(at.generation, key_of(text), find))
    }

    pub(super) fn stack_of(&mut self, core: &Core, at: Moment, name: &Arc<Name>) -> u64 {
        let find = || core.names.stack(at.generation, name);
        self.cache.id(at.generation, key_of_stack(name), find)
    }

    /// The stack of what happens, if stacks are recorded.
    #[inline(always)]
    pub(super) fn stack_here(&self, core: &Core, at: Moment) -> Option<StackId> {
        #[cfg(feature = "backtrace")]
        if core.stacks.load(std::sync::atomic::Ordering::Relaxed) {
            return super::stacks::here(core, at.generation);
        }
        let _ = (core, at);
        None
    }
}
