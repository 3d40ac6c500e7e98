//! Stops of the world: how long it stood, and who made that late. The one place that tells a pause from
//! the range that a trace has of it.

use super::names::{NameId, StackRef};
use super::states::{
    Goroutine, OpenRange, Proc, ProcStay, RangeEnd, RangeKind, States, Stay, Visitor,
};
use crate::event::{GoState, ProcState};
use crate::ids::{GoId, ProcId};
use crate::time::Time;
use alloc::vec::Vec;

/// A stop of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pause {
    /// Why, in Go's words, as `GC mark termination`.
    pub reason: NameId,
    /// The goroutine that stopped the world.
    pub goroutine: Option<GoId>,
    /// The function it started with.
    pub name: NameId,
    /// When it asked for it.
    pub from: Time,
    /// When its range ended.
    pub to: Time,
    /// How long it took until the last of the other processors had stopped, in nanoseconds; 0 if
    /// all were idle.
    pub stopping: i64,
    /// How long it took until the world went on, in nanoseconds: when the first processor started
    /// again, or else the range ended.
    pub pause: i64,
    /// The processor that stopped last.
    pub last: Option<Delay>,
}

impl Pause {
    /// The length of the range, in nanoseconds, which Go's tools show.
    pub const fn range(&self) -> i64 {
        self.to.since(self.from)
    }

    /// When the world went on.
    pub const fn restart(&self) -> Time {
        Time(self.from.0.saturating_add(self.pause))
    }
}

/// What the world waited for when it was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delay {
    /// The processor.
    pub proc: ProcId,
    /// The goroutine that ran on it last, if one did since the world was asked to stop.
    pub goroutine: Option<GoId>,
    /// The function that one started with.
    pub name: NameId,
    /// Where it was when it stopped, or its last stack before.
    pub stack: Option<StackRef>,
}

/// A stop that goes on.
#[derive(Clone, Copy, Debug)]
struct Open {
    range: OpenRange,
    /// Other processors that run.
    others: usize,
    last: Option<(Time, Delay)>,
    restart: Option<Time>,
}

/// Follows stops of the world. It sees what a [`Visitor`] sees; [`Stops::ended`] gives each stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stops {
    open: Option<Open>,
    /// What ran last on each processor since the world was asked to stop.
    ran_last: Vec<(ProcId, Delay)>,
}

impl Stops {
    /// The stop that a range ends with, if it is one of the world.
    pub(crate) fn ended(&mut self, states: &States, end: &RangeEnd) -> Option<Pause> {
        if end.range.kind != RangeKind::StopTheWorld {
            return None;
        }
        let open = self.open.take();
        let open = open.filter(|open| open.range.scope == end.range.scope);
        let from = end.range.from;
        let restart = open.and_then(|open| open.restart).unwrap_or(end.to);
        let last = open.and_then(|open| open.last);
        let goroutine = end.range.goroutine.and_then(|id| states.goroutine(id));
        Some(Pause {
            reason: end.range.reason,
            goroutine: end.range.goroutine,
            name: goroutine.map_or(NameId::EMPTY, |goroutine| goroutine.name),
            from,
            to: end.to,
            stopping: last.map_or(0, |(at, _)| at.since(from).max(0)),
            pause: restart.since(from).max(0),
            last: last.map(|(_, delay)| delay),
        })
    }
}

impl Visitor for Stops {
    #[inline]
    fn stay(&mut self, _: &States, goroutine: &Goroutine, stay: &Stay) {
        if self.open.is_none() || stay.state != GoState::Running {
            return;
        }
        let Some(proc) = stay.proc else { return };
        let ran = Delay {
            proc,
            goroutine: Some(stay.id),
            name: goroutine.name,
            stack: goroutine.own_stack,
        };
        self.ran_last.retain(|(id, _)| *id != proc);
        self.ran_last.push((proc, ran));
    }

    fn proc_began(&mut self, _: &States, proc: &Proc) {
        // The trace begins with the world being stopped: its processors become known one by one.
        if let Some(open) = &mut self.open
            && open.restart.is_none()
            && proc.state == ProcState::Running
            && open.range.proc != Some(proc.id)
        {
            open.others = open.others.saturating_add(1);
        }
    }

    fn proc_stay(&mut self, states: &States, stay: &ProcStay) {
        let Some(open) = &mut self.open else { return };
        if stay.open || open.restart.is_some() || stay.state == stay.next {
            return;
        }
        let is_own = open.range.proc == Some(stay.id);
        match (stay.state, stay.next) {
            (ProcState::Running, _) if !is_own => {
                open.others = open.others.saturating_sub(1);
                // What ran on it stopped before it did, or is in a system call.
                let here = stay.goroutine.and_then(|id| states.goroutine(id));
                let ran = self.ran_last.iter().find(|(id, _)| *id == stay.id);
                let delay = match (here, ran) {
                    (None, Some((_, ran))) => *ran,
                    _ => Delay {
                        proc: stay.id,
                        goroutine: stay.goroutine,
                        name: here.map_or(NameId::EMPTY, |here| here.name),
                        stack: here.and_then(|here| here.own_stack),
                    },
                };
                open.last = Some((stay.to, delay));
            }
            (_, ProcState::Running) if open.others == 0 => open.restart = Some(stay.to),
            // It comes, and will have to stop.
            (_, ProcState::Running) if !is_own => open.others = open.others.saturating_add(1),
            _ => {}
        }
    }

    fn range_began(&mut self, states: &States, range: &OpenRange) {
        if range.kind != RangeKind::StopTheWorld {
            return;
        }
        let others = states
            .procs()
            .filter(|proc| proc.state == ProcState::Running && Some(proc.id) != range.proc);
        self.ran_last.clear();
        self.open = Some(Open {
            range: *range,
            others: others.count(),
            last: None,
            restart: None,
        });
    }
}
