//! Events that are ready and are not that of a cursor's record: further ones of a record, CPU
//! samples, sync events.

use crate::event::Raw;
use crate::order::Further;
use crate::time::Time;
use crate::wire::Span;
use crate::wire::{EventType, TimedEvent};

/// Events to be given before the next record is looked at.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// Every event left of the generation is a record's own, as far as is known: none is here, no
    /// sample comes in between, and nothing else is due.
    idle: bool,
    events: [Raw; 2],
    len: usize,
    next: usize,
}

impl Ready {
    #[inline(always)]
    pub(crate) const fn new() -> Ready {
        const NONE: Raw = Raw {
            time: Time(0),
            thread: None,
            proc: None,
            go: None,
            event: TimedEvent::new(EventType(0), 0, [0; 4]),
            from: 0,
            piece: 0,
            at: 0,
            name: Span {
                piece: 0,
                at: 0,
                len: 0,
            },
        };
        Ready {
            idle: false,
            events: [NONE; 2],
            len: 0,
            next: 0,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.next >= self.len
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) const fn is_idle(&self) -> bool {
        self.idle
    }

    /// Only records follow.
    pub(crate) fn idle(&mut self) {
        self.idle = self.is_empty();
    }

    /// Something else than records may follow.
    pub(crate) fn wake(&mut self) {
        self.idle = false;
    }

    /// The next one.
    pub(crate) fn pop(&mut self) -> Option<&mut Raw> {
        if self.is_empty() {
            return None;
        }
        let at = self.next;
        self.next = at.wrapping_add(1);
        self.events.get_mut(at)
    }

    /// The one that [`pop`](Self::pop) gave last.
    #[inline(always)]
    pub(crate) const fn last(&self) -> &Raw {
        let [first, second] = &self.events;
        if self.next < 2 { first } else { second }
    }
}

impl Further for Ready {
    fn push(&mut self, raw: Raw) {
        self.idle = false;
        if self.is_empty() {
            self.len = 0;
            self.next = 0;
        }
        if let Some(entry) = self.events.get_mut(self.len) {
            *entry = raw;
            self.len = self.len.wrapping_add(1);
        }
    }
}
