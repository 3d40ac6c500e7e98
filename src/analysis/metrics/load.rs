//! How much waits for processors, and whether processors wait for work.

use crate::analysis::names::{NameId, StackRef};
use crate::analysis::states::{Goroutine, Proc, ProcStay, States, Stay, Visitor};
use crate::event::{Event, GoState, ProcState};
use crate::ids::GoId;
use crate::time::Time;
use alloc::vec::Vec;

/// What is counted a second at a time: nanoseconds.
const SECOND: i64 = 1_000_000_000;
/// Idle processors beside goroutines that are ready to run are counted after this: a thread takes that
/// long to wake up.
const IDLE_GRACE: i64 = 1_000_000;

/// A long stay in the state Running while others had to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Greedy {
    pub(crate) goroutine: GoId,
    pub(crate) name: NameId,
    pub(crate) from: Time,
    /// For how long others waited and no proc was idle.
    pub(crate) time: u64,
    /// Where it was when it stopped.
    pub(crate) stack: Option<StackRef>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    runnable: u64,
    idle: u64,
    /// Until when what follows is counted.
    at: Option<Time>,
    /// Nanoseconds in which something waited and no proc was idle.
    crowded: i64,
    /// Since when procs are idle and something waits.
    idle_since: Option<Time>,
    /// Nanoseconds in which ten goroutines a proc or more waited: in this second, and which it is.
    piled: i64,
    second: i64,
    pub(crate) worst_second: i64,
    pub(crate) worst_start: Option<Time>,
    pub(crate) most_runnable: u64,
    pub(crate) most_at: Option<Time>,
    pub(crate) most_alive: u64,
    alive: u64,
    /// Nanoseconds in which procs were idle although something waited.
    pub(crate) idle_while_runnable: i64,
    pub(crate) longest_idle: Option<(i64, Time)>,
    /// Nanoseconds that all procs were running, added up.
    pub(crate) busy: i64,
    pub(crate) greedy: Option<Greedy>,
    /// Long ones, and how long in all.
    pub(crate) greedy_count: u64,
    /// By slot: what `crowded` was when the goroutine began to run.
    crowded_at: Vec<i64>,
}

/// From this on, a stay is counted as greedy: the runtime asks a goroutine to make way after 10 ms, and
/// looks every 10 ms.
pub(crate) const GREEDY: u64 = 25_000_000;

impl Load {
    /// Counts the time until now.
    #[inline]
    fn advance(&mut self, states: &States, now: Time) {
        let then = self.at.replace(now).unwrap_or(now);
        let time = now.since(then).max(0);
        if time == 0 {
            return;
        }
        if self.runnable > 0 && self.idle == 0 {
            self.crowded = self.crowded.saturating_add(time);
            let procs = states.gomaxprocs().unwrap_or(u64::MAX);
            if self.runnable >= procs.saturating_mul(10) {
                self.pile(states, then, now);
            }
        }
    }

    /// Counts a time in which too many wait, by seconds since the trace began.
    #[cold]
    fn pile(&mut self, states: &States, from: Time, to: Time) {
        let start = states.begin_time().unwrap_or(from);
        let (mut at, end) = (from.since(start).max(0), to.since(start).max(0));
        while at < end {
            let second = at.div_euclid(SECOND);
            if second != self.second {
                self.second = second;
                self.piled = 0;
            }
            let next = second.saturating_add(1).saturating_mul(SECOND).min(end);
            self.piled = self.piled.saturating_add(next.saturating_sub(at));
            if self.piled > self.worst_second {
                self.worst_second = self.piled;
                let since = second.saturating_mul(SECOND);
                self.worst_start = Some(Time(start.0.saturating_add(since)));
            }
            at = next;
        }
    }

    /// What has changed begins or ends a time in which procs are idle although something waits.
    #[inline]
    fn changed(&mut self, now: Time) {
        let both = self.runnable > 0 && self.idle > 0;
        match (both, self.idle_since) {
            (true, None) => self.idle_since = Some(now),
            (false, Some(since)) => {
                self.idle_since = None;
                let time = now.since(since);
                if time > IDLE_GRACE {
                    self.idle_while_runnable = self.idle_while_runnable.saturating_add(time);
                    if self.longest_idle.is_none_or(|(longest, _)| longest < time) {
                        self.longest_idle = Some((time, since));
                    }
                }
            }
            _ => {}
        }
    }

    #[inline]
    fn more(&mut self, now: Time) {
        self.runnable = self.runnable.saturating_add(1);
        if self.runnable > self.most_runnable {
            self.most_runnable = self.runnable;
            self.most_at = Some(now);
        }
    }

    fn runs(&mut self, slot: u32) {
        let at = crate::num::index(slot);
        if self.crowded_at.len() <= at {
            self.crowded_at.resize(at.saturating_add(1), 0);
        }
        if let Some(before) = self.crowded_at.get_mut(at) {
            *before = self.crowded;
        }
    }
}

impl Visitor for Load {
    fn goroutine_began(&mut self, states: &States, goroutine: &Goroutine, _: &Event<'_, '_>) {
        let now = states.last_time();
        self.advance(states, now);
        self.alive = self.alive.saturating_add(1);
        self.most_alive = self.most_alive.max(self.alive);
        match goroutine.state {
            GoState::Runnable => self.more(now),
            GoState::Running => self.runs(goroutine.slot),
            _ => {}
        }
        self.changed(now);
    }

    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        self.advance(states, stay.to);
        if stay.state == GoState::Runnable {
            self.runnable = self.runnable.saturating_sub(1);
        }
        if stay.state == GoState::Running {
            let before = self.crowded_at.get(crate::num::index(stay.slot));
            let before = before.copied().unwrap_or(self.crowded);
            let time = self.crowded.saturating_sub(before);
            let time = u64::try_from(time).unwrap_or(0);
            let is_own = || !goroutine.is_system(states);
            if time > GREEDY && is_own() {
                self.greedy_count = self.greedy_count.saturating_add(1);
                if self.greedy.is_none_or(|greedy| greedy.time < time) {
                    self.greedy = Some(Greedy {
                        goroutine: stay.id,
                        name: goroutine.name,
                        from: stay.from,
                        time,
                        stack: goroutine.own_stack,
                    });
                }
            }
        }
        if !stay.open {
            match stay.next {
                GoState::Runnable => self.more(stay.to),
                GoState::Running => self.runs(stay.slot),
                _ => {}
            }
        }
        self.changed(stay.to);
    }

    fn goroutine_ended(&mut self, _: &States, _: &Goroutine) {
        self.alive = self.alive.saturating_sub(1);
    }

    fn proc_began(&mut self, states: &States, proc: &Proc) {
        let now = states.last_time();
        self.advance(states, now);
        if proc.state == ProcState::Idle {
            self.idle = self.idle.saturating_add(1);
        }
        self.changed(now);
    }

    fn proc_stay(&mut self, states: &States, stay: &ProcStay) {
        self.advance(states, stay.to);
        match stay.state {
            ProcState::Idle => self.idle = self.idle.saturating_sub(1),
            ProcState::Running => self.busy = self.busy.saturating_add(stay.nanoseconds()),
            _ => {}
        }
        if stay.next == ProcState::Idle && !stay.open {
            self.idle = self.idle.saturating_add(1);
        }
        self.changed(stay.to);
    }
}
