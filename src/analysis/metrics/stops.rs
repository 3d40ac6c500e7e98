//! Stop-the-world: how long the world really stood still, and who made that late.

use super::Spread;
use super::groups::ByName;
use crate::analysis::names::{NameId, StackRef};
use crate::analysis::states::{
    Goroutine, OpenRange, ProcStay, RangeEnd, RangeKind, States, Stay, Visitor,
};
use crate::event::{GoState, ProcState};
use crate::ids::{GoId, ProcId};
use crate::time::Time;
use alloc::vec::Vec;

/// Who kept the world from stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) at: Time,
    pub(crate) goroutine: Option<GoId>,
    pub(crate) name: NameId,
    pub(crate) stack: Option<StackRef>,
}

/// A stop-the-world that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) reason: NameId,
    pub(crate) from: Time,
    /// How long the range took.
    pub(crate) range: u64,
    /// Until the first proc ran again.
    pub(crate) effective: u64,
    /// Until the last other proc had stopped.
    pub(crate) stopping: u64,
    pub(crate) last: Option<Last>,
    pub(crate) stopper: Option<GoId>,
}

/// One that goes on.
#[derive(Clone, Copy, Debug)]
struct Open {
    from: Time,
    proc: Option<ProcId>,
    /// Other procs that run.
    others: u64,
    last: Option<Last>,
    restart: Option<Time>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Stops {
    open: Option<Open>,
    /// What stopped running on each proc since the world is being stopped, the last.
    left: Vec<(ProcId, Last)>,
    pub(crate) range: Spread,
    pub(crate) effective: Spread,
    pub(crate) stopping: Spread,
    pub(crate) by_reason: ByName<Spread>,
    /// The one with the longest effective pause, of those that are not for tracing itself.
    pub(crate) longest: Option<Stop>,
}

impl Visitor for Stops {
    #[inline]
    fn stay(&mut self, _: &States, goroutine: &Goroutine, stay: &Stay) {
        if self.open.is_none() || stay.state != GoState::Running {
            return;
        }
        let Some(proc) = stay.proc else { return };
        self.left.retain(|(id, _)| *id != proc);
        let last = Last {
            at: stay.to,
            goroutine: Some(stay.id),
            name: goroutine.name,
            stack: goroutine.own_stack,
        };
        self.left.push((proc, last));
    }

    fn range_began(&mut self, states: &States, range: &OpenRange) {
        if range.kind != RangeKind::StopTheWorld {
            return;
        }
        self.left.clear();
        let others = states
            .procs()
            .filter(|proc| proc.state == ProcState::Running && Some(proc.id) != range.proc);
        self.open = Some(Open {
            from: range.from,
            proc: range.proc,
            others: crate::num::wide(others.count()),
            last: None,
            restart: None,
        });
    }

    fn proc_stay(&mut self, states: &States, stay: &ProcStay) {
        let Some(open) = &mut self.open else { return };
        if stay.open || open.restart.is_some() || stay.state == stay.next {
            return;
        }
        if stay.next == ProcState::Running {
            if open.others == 0 {
                open.restart = Some(stay.to);
            } else {
                // It comes and will have to stop.
                open.others = open.others.saturating_add(1);
            }
            return;
        }
        if stay.state == ProcState::Running && Some(stay.id) != open.proc {
            open.others = open.others.saturating_sub(1);
            // What ran on it stopped before it did, or is in a system call.
            let left = self.left.iter().find(|(id, _)| *id == stay.id);
            let goroutine = stay.goroutine.and_then(|id| states.goroutine(id));
            let here = Last {
                at: stay.to,
                goroutine: stay.goroutine,
                name: goroutine.map_or(NameId::EMPTY, |goroutine| goroutine.name),
                stack: goroutine.and_then(|goroutine| goroutine.own_stack),
            };
            open.last = Some(match left {
                Some((_, left)) if here.goroutine.is_none() => Last {
                    at: stay.to,
                    ..*left
                },
                _ => here,
            });
        }
    }

    fn range_ended(&mut self, states: &States, range: &RangeEnd) {
        if range.range.kind != RangeKind::StopTheWorld {
            return;
        }
        let Some(open) = self.open.take() else { return };
        let since = |time: Time| u64::try_from(time.since(open.from)).unwrap_or(0);
        let stop = Stop {
            reason: range.range.reason,
            from: open.from,
            range: since(range.to),
            effective: since(open.restart.unwrap_or(range.to)),
            stopping: open.last.map_or(0, |last| since(last.at)),
            last: open.last,
            stopper: range.range.goroutine,
        };
        self.range.add(stop.range);
        self.effective.add(stop.effective);
        self.stopping.add(stop.stopping);
        if let Some(spread) = self.by_reason.of(stop.reason) {
            spread.add(stop.effective);
        }
        let is_longer = self
            .longest
            .is_none_or(|longest| longest.effective < stop.effective);
        let is_own = states.names().text(stop.reason).ends_with(" trace");
        if is_longer && !is_own {
            self.longest = Some(stop);
        }
    }
}
