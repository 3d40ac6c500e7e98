//! Convoys: goroutines that wait at one place in a row, each woken by the one before it. The one place
//! that decides what is one.

use super::states::{Goroutine, States, Stay};
use crate::num;
use crate::time::Time;
use alloc::vec::Vec;

/// How long a window is, in nanoseconds.
pub(crate) const WINDOW: i64 = 100_000_000;
/// The waits that end in a row.
const CHAIN: u64 = 10;
/// How many goroutines wait on average.
const QUEUE: i64 = 3;

/// What was seen at one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Convoy {
    /// Windows in which at least 80 % of the waits were ended by a goroutine that had just waited here
    /// itself, in chains of ten and more, while on average three and more waited.
    pub(crate) windows: u64,
    /// How long these are together, in nanoseconds: the last of a trace may be shorter.
    pub(crate) time: i64,
    /// When the first of these begins.
    pub(crate) first: Option<Time>,
    /// The waits that ended in them, and how long these took, in nanoseconds.
    pub(crate) waits: u64,
    pub(crate) waited: i64,
    /// In all windows: waits that were ended by a goroutine which had just waited here.
    pub(crate) handed_on: u64,
    /// In all windows: the most such waits in a row.
    pub(crate) longest_chain: u64,
}

/// A place in the window that goes on.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    waits: u64,
    chained: u64,
    longest: u64,
    waited: i64,
    convoy: Convoy,
}

impl Place {
    /// With the window that began at `from` and is so long.
    fn with_window(&self, from: Time, length: i64) -> Convoy {
        let mut convoy = self.convoy;
        convoy.handed_on = convoy.handed_on.saturating_add(self.chained);
        convoy.longest_chain = convoy.longest_chain.max(self.longest);
        let in_a_row = self.chained.saturating_mul(5) >= self.waits.saturating_mul(4);
        let queued = self.waited >= length.saturating_mul(QUEUE);
        if in_a_row && self.longest >= CHAIN && queued {
            convoy.windows = convoy.windows.saturating_add(1);
            convoy.time = convoy.time.saturating_add(length);
            convoy.first = convoy.first.or(Some(from));
            convoy.waits = convoy.waits.saturating_add(self.waits);
            convoy.waited = convoy.waited.saturating_add(self.waited);
        }
        convoy
    }
}

/// Where a goroutine was woken last, as which in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Woken {
    life: u64,
    place: usize,
    at: Time,
    chain: u64,
}

/// Follows waits at places, which the caller numbers from 0 on. Its memory grows with places, and with
/// the goroutines that live at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Convoys {
    /// The window's number.
    window: i64,
    places: Vec<Place>,
    /// Places with waits in this window.
    touched: Vec<usize>,
    /// By slot.
    woken: Vec<Woken>,
    time: i64,
}

impl Convoys {
    /// A wait at a place is over, which `waker` ended.
    pub(crate) fn add(
        &mut self,
        states: &States,
        place: usize,
        stay: &Stay,
        waker: Option<&Goroutine>,
    ) {
        let start = states.begin_time().unwrap_or(stay.to);
        let window = stay.to.since(start).div_euclid(WINDOW);
        if window != self.window {
            self.close(start, WINDOW);
            self.window = window;
        }
        let before = waker.and_then(|waker| {
            let woken = self.woken.get(num::index(waker.slot))?;
            let is_here = woken.life == waker.life && woken.place == place;
            (is_here && stay.to.since(woken.at) < WINDOW).then_some(woken.chain)
        });
        let chain = before.map_or(0, |chain| chain.saturating_add(1));
        let slot = num::index(stay.slot);
        if self.woken.len() <= slot {
            self.woken.resize(slot.saturating_add(1), Woken::default());
        }
        if let Some(woken) = self.woken.get_mut(slot) {
            *woken = Woken {
                life: stay.life,
                place,
                at: stay.to,
                chain,
            };
        }
        if self.places.len() <= place {
            self.places
                .resize(place.saturating_add(1), Place::default());
        }
        let Some(seen) = self.places.get_mut(place) else {
            return;
        };
        if seen.waits == 0 {
            self.touched.push(place);
        }
        seen.waits = seen.waits.saturating_add(1);
        seen.longest = seen.longest.max(chain);
        seen.chained = seen.chained.saturating_add(u64::from(chain > 0));
        // What was waited before this window is another one's.
        let waited = stay.nanoseconds().min(WINDOW);
        seen.waited = seen.waited.saturating_add(waited);
    }

    /// When the window began.
    fn from(&self, start: Time) -> Time {
        let from = self.window.saturating_mul(WINDOW);
        Time(start.0.saturating_add(from))
    }

    /// A window of this length is over.
    fn close(&mut self, start: Time, length: i64) {
        let from = self.from(start);
        let mut any = false;
        for at in self.touched.drain(..) {
            let Some(place) = self.places.get_mut(at) else {
                continue;
            };
            let convoy = place.with_window(from, length);
            any |= convoy.windows > place.convoy.windows;
            *place = Place {
                convoy,
                ..Place::default()
            };
        }
        if any {
            self.time = self.time.saturating_add(length);
        }
    }

    /// The trace is over: its last window, which may be shorter, counts, too.
    pub(crate) fn finish(&mut self, states: &States) {
        if let Some(start) = states.begin_time() {
            let length = states.last_time().since(self.from(start));
            self.close(start, length.min(WINDOW));
        }
    }

    /// How long the windows are together, in nanoseconds, that had a convoy somewhere.
    #[cfg(feature = "expressions")]
    pub(crate) const fn time(&self) -> i64 {
        self.time
    }

    /// What was seen at a place until now, as if nothing happened in what is left of the window.
    pub(crate) fn at(&self, states: &States, place: usize) -> Convoy {
        let from = self.from(states.begin_time().unwrap_or(Time(0)));
        let place = self.places.get(place);
        place.map_or_else(Convoy::default, |place| place.with_window(from, WINDOW))
    }
}
