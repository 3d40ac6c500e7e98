//! Where goroutines wait, for what, how long, and who ends it.
//!
//! [`Blocked`] is a [`Visitor`] of [`States`]: it counts waits by the place in the program where they
//! happen, keeps the longest single ones, and sees queues: how many wait at a place at a time, and
//! whether they wake each other one by one, which is a convoy.
//!
//! ```
//! use gotrace::Trace;
//! use gotrace::analysis::{blocked::Blocked, states::States};
//!
//! let bytes = include_bytes!("../../tests/fixtures/block-go1.27.trace");
//! let trace = Trace::new(bytes)?;
//! let (mut reader, mut states, mut blocked) = (trace.reader(), States::new(), Blocked::new(10));
//! while let Some(event) = reader.next()? {
//!     states.add(&event, &mut blocked);
//! }
//! states.finish(&mut blocked);
//! let longest = blocked.longest().first().ok_or("nobody waited")?;
//! println!("{} waited for {} ns", longest.id, longest.nanoseconds());
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use super::convoys::{Convoy, Convoys};
use super::histogram::Histogram;
use super::names::{NameId, Names, StackRef};
use super::states::{Goroutine, States, Stay, Visitor};
use crate::event::{Event, GoState};
use crate::ids::GoId;
use crate::num;
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Waits and system calls by place, and the longest of them. See the [module](self).
#[derive(Debug, Default)]
pub struct Blocked {
    with_system: bool,
    places: Vec<Place>,
    by_stack: BTreeMap<(GoState, NameId, Option<StackRef>), usize>,
    /// By the stack's number, 0 for none: the place that was asked for last.
    recent: Vec<Option<(GoState, NameId, usize)>>,
    by_line: BTreeMap<(GoState, NameId, NameId, NameId, u64), usize>,
    longest: Vec<Wait>,
    most: usize,
    convoys: Convoys,
    is_finished: bool,
}

/// A place in the program where goroutines wait: a function and line outside the runtime and what the
/// standard library waits with, and what is waited for.
#[derive(Debug)]
#[non_exhaustive]
pub struct Place {
    /// Waiting, or in a system call.
    pub state: GoState,
    /// Why, in Go's words, as `chan receive`; empty for system calls.
    pub reason: NameId,
    /// The stack of the longest wait there.
    pub stack: Option<StackRef>,
    /// The waits that ended, with how long they took in nanoseconds; those that began before the trace
    /// from the start of the generation that mentions them.
    pub times: Histogram,
    /// Goroutines that waited there at the end of the trace.
    pub still: u64,
    /// How long these waited in sum, in nanoseconds.
    pub still_waited: i64,
    /// Nanoseconds waited there by the function that the waiting goroutine started with.
    pub who: BTreeMap<NameId, i64>,
    /// Nanoseconds of waits that other goroutines ended, by the function which those started with.
    pub wakers: BTreeMap<NameId, i64>,
    /// The longest wait there.
    pub longest: Option<Wait>,
    /// How many waited there at a time, at most.
    pub most: u64,
    /// How long at least one waited there, in nanoseconds.
    pub busy: i64,
    /// How long at least three waited there, in nanoseconds.
    pub crowded: i64,
    /// Waits that were ended by a goroutine which itself had just waited there.
    pub handed_on: u64,
    /// The most such waits one after the other, each ended by the one that waited before.
    pub longest_chain: u64,
    /// The longest wait, of places that were merged.
    most_waited: i64,
    /// Windows of 100 ms with a [convoy](Place::is_convoy).
    pub convoy_windows: u64,
    now: u64,
    since: Time,
}

/// A single wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wait {
    /// Who waited.
    pub id: GoId,
    /// The function that it started with.
    pub name: NameId,
    /// Waiting, or in a system call.
    pub state: GoState,
    /// Why, in Go's words.
    pub reason: NameId,
    /// Since when.
    pub from: Time,
    /// Until when.
    pub to: Time,
    /// Whether it had begun before the trace mentions it.
    pub began_before: bool,
    /// Whether it goes on at the end of the trace.
    pub open: bool,
    /// Where.
    pub stack: Option<StackRef>,
    /// Who ended it, if it was another goroutine, and the function that one started with. Nobody does where
    /// what is waited for comes from outside, as from the network or a timer.
    pub waker: Option<(GoId, NameId)>,
}

impl Wait {
    /// How long, in nanoseconds.
    pub const fn nanoseconds(&self) -> i64 {
        self.to.since(self.from)
    }
}

impl Place {
    /// How long all waited there, in nanoseconds; those that still wait, too.
    pub fn total(&self) -> u64 {
        let still = u64::try_from(self.still_waited).unwrap_or(0);
        self.times.sum().unsigned_abs().saturating_add(still)
    }

    /// The longest wait there, in nanoseconds.
    pub fn longest_wait(&self) -> i64 {
        let longest = self.longest.map_or(0, |wait| wait.nanoseconds());
        longest.max(self.most_waited)
    }

    /// How many waited there on average while any did.
    pub fn mean_queue(&self) -> f64 {
        let busy = u64::try_from(self.busy).unwrap_or(0).max(1);
        num::float(self.total()) / num::float(busy)
    }

    /// Whether goroutines wait here one behind the other: in a window of 100 ms at least 80 % of the
    /// waits were ended by one that had just waited here itself, in chains of ten and more, while on
    /// average three and more waited.
    pub const fn is_convoy(&self) -> bool {
        self.convoy_windows > 0
    }

    const fn follow(&mut self, convoy: &Convoy) {
        self.handed_on = convoy.handed_on;
        self.longest_chain = convoy.longest_chain;
        self.convoy_windows = convoy.windows;
    }

    fn advance(&mut self, time: Time) {
        let passed = time.since(self.since).max(0);
        if self.now > 0 {
            self.busy = self.busy.saturating_add(passed);
        }
        if self.now >= 3 {
            self.crowded = self.crowded.saturating_add(passed);
        }
        self.since = self.since.max(time);
    }
}

impl Blocked {
    /// Keeps so many of the longest single waits.
    pub fn new(most: usize) -> Blocked {
        Blocked {
            most,
            ..Blocked::default()
        }
    }

    /// Counts the runtime's own goroutines, too, most of which wait most of the time.
    #[must_use]
    pub const fn with_system(mut self) -> Blocked {
        self.with_system = true;
        self
    }

    /// The places where goroutines waited, the one with the most time first.
    pub fn places(&self) -> Vec<&Place> {
        let used = |place: &&Place| !place.times.is_empty() || place.still > 0;
        let mut places: Vec<&Place> = self.places.iter().filter(used).collect();
        places.sort_by_key(|place| core::cmp::Reverse(place.total()));
        places
    }

    /// The longest single waits, the longest first.
    pub fn longest(&self) -> &[Wait] {
        &self.longest
    }

    /// The longest single waits, which are forgotten: of those that end from now on the longest are
    /// kept.
    pub fn take_longest(&mut self) -> Vec<Wait> {
        core::mem::take(&mut self.longest)
    }

    /// Adds what another trace has, whose names are `theirs`; those of this one are `ours`. Places that
    /// are the same line become one. The longest single waits stay those of this one: their goroutines
    /// and times are of one trace.
    pub fn merge(&mut self, ours: &mut Names, other: &Blocked, theirs: &Names) {
        for from in other.places() {
            let stack = from.stack.and_then(|stack| ours.copy_stack(theirs, stack));
            let reason = ours.add(theirs.text(from.reason));
            let at = self.place_of(ours, from.state, reason, stack);
            let Some(to) = self.places.get_mut(at) else {
                continue;
            };
            if from.longest_wait() > to.longest_wait() {
                to.stack = stack;
            }
            to.most_waited = to.longest_wait().max(from.longest_wait());
            to.longest = None;
            to.times.merge(&from.times);
            to.still = to.still.saturating_add(from.still);
            to.still_waited = to.still_waited.saturating_add(from.still_waited);
            for (sums, more) in [(&mut to.who, &from.who), (&mut to.wakers, &from.wakers)] {
                for (name, time) in more {
                    add(sums, ours.add(theirs.text(*name)), *time);
                }
            }
            to.most = to.most.max(from.most);
            to.busy = to.busy.saturating_add(from.busy);
            to.crowded = to.crowded.saturating_add(from.crowded);
            to.handed_on = to.handed_on.saturating_add(from.handed_on);
            to.longest_chain = to.longest_chain.max(from.longest_chain);
            to.convoy_windows = to.convoy_windows.saturating_add(from.convoy_windows);
        }
    }

    /// The trace is over, and with it the last window.
    fn finish_convoys(&mut self, states: &States) {
        self.convoys.finish(states);
        for (at, place) in self.places.iter_mut().enumerate() {
            if place.state == GoState::Waiting {
                place.follow(&self.convoys.at(states, at));
            }
        }
    }

    fn place(
        &mut self,
        states: &States,
        state: GoState,
        reason: NameId,
        stack: Option<StackRef>,
    ) -> usize {
        let reason = match state {
            GoState::Waiting => reason,
            _ => NameId::EMPTY,
        };
        let number = stack.map_or(0, StackRef::index);
        if let Some(Some(recent)) = self.recent.get(number)
            && (recent.0, recent.1) == (state, reason)
        {
            return recent.2;
        }
        let at = match self.by_stack.get(&(state, reason, stack)) {
            Some(at) => *at,
            None => self.place_of(states.names(), state, reason, stack),
        };
        if self.recent.len() <= number {
            self.recent.resize(number.saturating_add(1), None);
        }
        if let Some(recent) = self.recent.get_mut(number) {
            *recent = Some((state, reason, at));
        }
        at
    }

    /// The place of a stack that was not seen before: one for all with the same innermost line outside
    /// the runtime.
    fn place_of(
        &mut self,
        names: &Names,
        state: GoState,
        reason: NameId,
        stack: Option<StackRef>,
    ) -> usize {
        let frame = stack.and_then(|stack| names.user_leaf(stack));
        let id = |text| names.find(text).unwrap_or_default();
        let line = match frame {
            Some(frame) => (
                id(frame.func.as_bytes()),
                id(frame.file.as_bytes()),
                frame.line,
            ),
            None => (NameId::EMPTY, NameId::EMPTY, 0),
        };
        let next = self.places.len();
        let key = (state, reason, line.0, line.1, line.2);
        let at = *self.by_line.entry(key).or_insert(next);
        if at == next {
            self.places.push(Place {
                state,
                reason,
                stack,
                times: Histogram::new(),
                still: 0,
                still_waited: 0,
                who: BTreeMap::new(),
                wakers: BTreeMap::new(),
                longest: None,
                most: 0,
                busy: 0,
                crowded: 0,
                handed_on: 0,
                longest_chain: 0,
                most_waited: 0,
                convoy_windows: 0,
                now: 0,
                since: Time(i64::MIN),
            });
        }
        self.by_stack.insert((state, reason, stack), at);
        at
    }

    fn is_counted(&self, states: &States, goroutine: &Goroutine, state: GoState) -> bool {
        matches!(state, GoState::Waiting | GoState::Syscall)
            && (self.with_system || !goroutine.is_system(states))
    }

    /// A goroutine may have begun to wait.
    fn begins(&mut self, states: &States, goroutine: &Goroutine) {
        if !self.is_counted(states, goroutine, goroutine.state) {
            return;
        }
        let stack = goroutine.own_stack.or(goroutine.stack);
        let at = self.place(states, goroutine.state, goroutine.reason, stack);
        if let Some(place) = self.places.get_mut(at) {
            // Of a part of a trace, it may have been seen long before.
            place.advance(goroutine.seen.max(goroutine.since));
            // As far as the trace shows, it was there before.
            let before = goroutine.seen.since(goroutine.since).max(0);
            place.busy = place.busy.saturating_add(before);
            place.now = place.now.saturating_add(1);
            place.most = place.most.max(place.now);
        }
    }

    fn keep(&mut self, wait: Wait) {
        let time = wait.nanoseconds();
        let at = self
            .longest
            .partition_point(|longer| longer.nanoseconds() >= time);
        if at < self.most {
            self.longest.insert(at, wait);
            self.longest.truncate(self.most);
        }
    }
}

fn add(sums: &mut BTreeMap<NameId, i64>, name: NameId, time: i64) {
    let sum = sums.entry(name).or_insert(0);
    *sum = sum.saturating_add(time);
}

impl Visitor for Blocked {
    fn goroutine_began(&mut self, states: &States, goroutine: &Goroutine, _: &Event<'_, '_>) {
        self.begins(states, goroutine);
    }

    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        if self.is_counted(states, goroutine, stay.state) {
            let stack = stay.own_stack.or(stay.stack);
            let at = self.place(states, stay.state, stay.reason, stack);
            // The goroutine that hands on what comes from outside did not end it.
            let is_causal = states.names().is_causal(stay.reason);
            let waker = stay.ended_by.filter(|_| is_causal);
            let waker = waker.and_then(|id| states.goroutine(id));
            let time = stay.nanoseconds();
            let wait = || Wait {
                id: stay.id,
                name: goroutine.name,
                state: stay.state,
                reason: stay.reason,
                from: stay.from,
                to: stay.to,
                began_before: stay.began_before(),
                open: stay.open,
                stack,
                waker: waker.map(|waker| (waker.id, waker.name)),
            };
            if stay.open && !core::mem::replace(&mut self.is_finished, true) {
                self.finish_convoys(states);
            }
            let is_wait = !stay.open && stay.state == GoState::Waiting;
            let convoy = is_wait.then(|| {
                self.convoys.add(states, at, stay, waker);
                self.convoys.at(states, at)
            });
            if let Some(place) = self.places.get_mut(at) {
                place.advance(stay.to);
                place.now = place.now.saturating_sub(1);
                if let Some(convoy) = convoy {
                    place.follow(&convoy);
                }
                if stay.counts {
                    if stay.open {
                        place.still = place.still.saturating_add(1);
                        place.still_waited = place.still_waited.saturating_add(time);
                    } else {
                        place.times.add(time);
                    }
                    add(&mut place.who, goroutine.name, time);
                    if let Some(waker) = waker {
                        add(&mut place.wakers, waker.name, time);
                    }
                    if place
                        .longest
                        .is_none_or(|longest| longest.nanoseconds() < time)
                    {
                        place.longest = Some(wait());
                        place.stack = stack;
                    }
                }
            }
            if self.most > 0 && stay.counts {
                self.keep(wait());
            }
        }
        if !stay.open && stay.next != stay.state {
            self.begins(states, goroutine);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trace;

    fn of(bytes: &[u8]) -> (States, Blocked) {
        let trace = Trace::new(bytes).unwrap();
        let (mut states, mut blocked) = (States::new(), Blocked::new(5));
        let mut reader = trace.reader();
        while let Some(event) = reader.next().unwrap() {
            states.add(&event, &mut blocked);
        }
        states.finish(&mut blocked);
        (states, blocked)
    }

    #[test]
    fn all_that_waits_is_counted() {
        let bytes = include_bytes!("../../tests/fixtures/http-go1.27.trace");
        let (states, blocked) = of(bytes);
        /// What the goroutines' sums say.
        #[derive(Default)]
        struct Sums(i64, u64);
        impl Visitor for Sums {
            fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
                if matches!(stay.state, GoState::Waiting | GoState::Syscall)
                    && !goroutine.is_system(states)
                {
                    self.0 += stay.nanoseconds();
                    self.1 += 1;
                }
            }
        }
        let trace = Trace::new(bytes).unwrap();
        let (mut naive, mut sums) = (States::new(), Sums::default());
        let mut reader = trace.reader();
        while let Some(event) = reader.next().unwrap() {
            naive.add(&event, &mut sums);
        }
        naive.finish(&mut sums);
        let places = blocked.places();
        let total: u64 = places.iter().map(|place| place.total()).sum();
        assert_eq!(total, u64::try_from(sums.0).unwrap());
        let count = |place: &&Place| place.times.len() + place.still;
        assert_eq!(places.iter().map(count).sum::<u64>(), sums.1);
        assert!(
            places
                .windows(2)
                .all(|two| two[0].total() >= two[1].total())
        );
        for place in places {
            assert_eq!(place.now, 0);
            assert!(place.busy <= i64::try_from(place.total()).unwrap());
            assert!(place.mean_queue() >= 1.0 && place.most >= 1);
            // A name that is not known when a goroutine begins to wait may be known at the end.
            let who: i64 = place.who.values().sum();
            assert_eq!(u64::try_from(who).unwrap(), place.total());
        }
        assert_eq!(blocked.longest().len(), 5);
        let text = |id| std::string::ToString::to_string(&states.names().text(id));
        assert!(
            blocked
                .places()
                .iter()
                .any(|place| text(place.reason) == "network")
        );
    }

    /// Events of a program that is made up: goroutines 1 to `count` that take turns with a lock, so that one
    /// has it and all others wait. Either each hands it to the next, or goroutine 99 wakes them all.
    fn turns(count: u64, rounds: u64, is_handed_on: bool) -> Blocked {
        use crate::event::{EventRecord, TestTables};
        use crate::generation::Frame;
        use crate::wire::{EventType, TimedEvent};
        let mut tables = TestTables::new();
        let reason = tables.string("sync").get();
        let frame = |func: &'static str| Frame {
            pc: 1,
            func: func.into(),
            file: "main.go".into(),
            line: 7,
        };
        let frames = [
            frame("sync.(*Mutex).Lock"),
            frame("main.work"),
            frame("main.run"),
        ];
        let stack = tables.stack(&frames).get();
        let (mut states, mut blocked) = (States::new(), Blocked::new(3));
        let mut time = 0;
        let mut happen = |by: u64, ty: EventType, args: [u64; 4]| {
            // A millisecond each: convoys are looked for in windows of 100.
            time += 1_000_000;
            let record = EventRecord::new(Time(time), TimedEvent::new(ty, 0, args))
                .with_goroutine(GoId::new(by));
            states.add(&tables.event(&record), &mut blocked);
        };
        happen(99, EventType::GO_START, [99, 0, 0, 0]);
        for id in 1..=count {
            happen(99, EventType::GO_CREATE, [id, stack, 0, 0]);
            happen(u64::MAX, EventType::GO_START, [id, 0, 0, 0]);
            if id > 1 {
                happen(id, EventType::GO_BLOCK, [reason, stack, 0, 0]);
            }
        }
        for turn in 0..rounds * count {
            let (id, next) = (turn % count + 1, (turn + 1) % count + 1);
            let waker = if is_handed_on { id } else { 99 };
            happen(waker, EventType::GO_UNBLOCK, [next, 0, 0, 0]);
            happen(id, EventType::GO_BLOCK, [reason, stack, 0, 0]);
            happen(u64::MAX, EventType::GO_START, [next, 0, 0, 0]);
        }
        states.finish(&mut blocked);
        blocked
    }

    #[test]
    fn a_lock_that_is_handed_on_is_a_convoy() {
        let blocked = turns(6, 20, true);
        let [place] = blocked.places()[..] else {
            panic!("one place");
        };
        assert!(place.is_convoy(), "{place:?}");
        // All but the one that has it.
        assert_eq!(place.most, 5);
        let queue = place.mean_queue();
        assert!((4.0..=5.0).contains(&queue), "{queue}");
        // All but the first round, in which each waits for the first time.
        assert!(place.handed_on >= 6 * 19 - 6 && place.longest_chain >= 6 * 18);
        assert_eq!(place.times.len(), 6 * 20);
        // So in a trace that is shorter than a window.
        assert!(turns(6, 4, true).places()[0].is_convoy());
        // One goroutine that wakes all others is none, however many wait.
        let blocked = turns(6, 20, false);
        let place = blocked.places()[0];
        assert!(!place.is_convoy() && place.mean_queue() > 4.0 && place.handed_on == 0);
        // Nor are two that take turns.
        assert!(!turns(2, 20, true).places()[0].is_convoy());
    }
}
