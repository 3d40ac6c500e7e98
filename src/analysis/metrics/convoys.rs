//! Convoys: goroutines that wait for a lock in a row, each woken by the one before it.

use crate::analysis::names::{NameId, StackRef};
use crate::analysis::states::{Goroutine, States, Stay, Visitor};
use crate::event::GoState;
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// How long a window is, in nanoseconds.
pub(crate) const WINDOW: i64 = 100_000_000;
/// The waits for locks that end in a row, and how many goroutines wait on average.
const CHAIN: u32 = 10;
const QUEUE: i64 = 3;

/// The reason of waits for mutexes.
const LOCK: &str = "sync";

/// Waits at one place in a window.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    waits: u64,
    chained: u64,
    longest: u32,
    waited: i64,
    stack: Option<StackRef>,
}

/// The convoy that was in the most windows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convoy {
    pub(crate) windows: u64,
    pub(crate) first: Time,
    pub(crate) waited: i64,
    pub(crate) waits: u64,
    pub(crate) stack: Option<StackRef>,
}

/// Where a goroutine was woken last, as which in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Woken {
    life: u64,
    place: Option<NameId>,
    at: Time,
    chain: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Convoys {
    lock: Option<NameId>,
    /// The window's number.
    window: i64,
    places: BTreeMap<NameId, Place>,
    /// By slot.
    woken: Vec<Woken>,
    /// By the number of a stack: the place in the program.
    place_of: BTreeMap<StackRef, NameId>,
    pub(crate) found: BTreeMap<NameId, Convoy>,
    /// Windows with at least one convoy.
    pub(crate) windows: u64,
}

impl Convoys {
    /// A window is over.
    fn close(&mut self, start: Time) {
        let from = self.window.saturating_mul(WINDOW);
        let from = Time(start.0.saturating_add(from));
        let mut any = false;
        for (name, place) in core::mem::take(&mut self.places) {
            let in_a_row = place.chained.saturating_mul(5) >= place.waits.saturating_mul(4);
            let queued = place.waited >= WINDOW.saturating_mul(QUEUE);
            if !in_a_row || place.longest < CHAIN || !queued {
                continue;
            }
            any = true;
            let convoy = self.found.entry(name).or_insert(Convoy {
                windows: 0,
                first: from,
                waited: 0,
                waits: 0,
                stack: place.stack,
            });
            convoy.windows = convoy.windows.saturating_add(1);
            convoy.waited = convoy.waited.saturating_add(place.waited);
            convoy.waits = convoy.waits.saturating_add(place.waits);
        }
        self.windows = self.windows.saturating_add(u64::from(any));
    }

    /// The trace is over.
    pub(crate) fn finish(&mut self, states: &States) {
        if let Some(start) = states.begin_time() {
            self.close(start);
        }
    }

    /// The function that waits for the lock.
    fn place(&mut self, states: &States, stack: Option<StackRef>) -> Option<NameId> {
        let stack = stack?;
        if let Some(place) = self.place_of.get(&stack) {
            return Some(*place);
        }
        let names = states.names();
        let place = names.find(names.user_leaf(stack)?.func)?;
        self.place_of.insert(stack, place);
        Some(place)
    }

    fn waker(&self, states: &States, stay: &Stay) -> Option<Woken> {
        let waker = states.goroutine(stay.ended_by?)?;
        let woken = self.woken.get(crate::num::index(waker.slot))?;
        (woken.life == waker.life).then_some(*woken)
    }
}

impl Visitor for Convoys {
    fn stay(&mut self, states: &States, _: &Goroutine, stay: &Stay) {
        if stay.state != GoState::Waiting || stay.open {
            return;
        }
        if self.lock.is_none() {
            self.lock = states.names().find(LOCK);
        }
        if self.lock != Some(stay.reason) || stay.reason.is_empty() {
            return;
        }
        let start = states.begin_time().unwrap_or(stay.to);
        let window = stay.to.since(start).div_euclid(WINDOW);
        if window != self.window {
            self.close(start);
            self.window = window;
        }
        let Some(name) = self.place(states, stay.stack) else {
            return;
        };
        let waker = self.waker(states, stay);
        let in_row =
            waker.filter(|waker| waker.place == Some(name) && stay.to.since(waker.at) < WINDOW);
        let chain = in_row.map_or(0, |waker| waker.chain.saturating_add(1));
        let slot = crate::num::index(stay.slot);
        if self.woken.len() <= slot {
            self.woken.resize(slot.saturating_add(1), Woken::default());
        }
        if let Some(woken) = self.woken.get_mut(slot) {
            *woken = Woken {
                life: stay.life,
                place: Some(name),
                at: stay.to,
                chain,
            };
        }
        let place = self.places.entry(name).or_default();
        place.waits = place.waits.saturating_add(1);
        place.chained = place.chained.saturating_add(u64::from(chain > 0));
        place.longest = place.longest.max(chain);
        // What was waited before this window is another one's.
        let waited = stay.nanoseconds().min(WINDOW);
        place.waited = place.waited.saturating_add(waited);
        place.stack = stay.stack;
    }
}
