//! Stop-the-world: how long the world really stood still, and who made that late.

use super::groups::ByName;
use crate::analysis::histogram::Histogram;
use crate::analysis::states::{
    Goroutine, OpenRange, Proc, ProcStay, RangeEnd, States, Stay, Visitor,
};
use crate::analysis::stops::{Pause, Stops as Follow};

#[derive(Clone, Debug, Default)]
pub(crate) struct Stops {
    follow: Follow,
    pub(crate) range: Histogram,
    pub(crate) effective: Histogram,
    pub(crate) stopping: Histogram,
    pub(crate) by_reason: ByName<Histogram>,
    /// The one with the longest pause, of those that are not for tracing itself.
    pub(crate) longest: Option<Pause>,
}

impl Visitor for Stops {
    #[inline]
    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        self.follow.stay(states, goroutine, stay);
    }

    fn range_began(&mut self, states: &States, range: &OpenRange) {
        self.follow.range_began(states, range);
    }

    fn proc_began(&mut self, states: &States, proc: &Proc) {
        self.follow.proc_began(states, proc);
    }

    fn proc_stay(&mut self, states: &States, stay: &ProcStay) {
        self.follow.proc_stay(states, stay);
    }

    fn range_ended(&mut self, states: &States, range: &RangeEnd) {
        let Some(stop) = self.follow.ended(states, range) else {
            return;
        };
        self.range.add(stop.range());
        self.effective.add(stop.pause);
        self.stopping.add(stop.stopping);
        if let Some(spread) = self.by_reason.of(stop.reason) {
            spread.add(stop.pause);
        }
        let is_longer = self
            .longest
            .is_none_or(|longest| longest.pause < stop.pause);
        let is_own = states.names().text(stop.reason).ends_with(" trace");
        if is_longer && !is_own {
            self.longest = Some(stop);
        }
    }
}
