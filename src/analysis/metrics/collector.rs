//! The garbage collector's share of the processors.

use crate::analysis::histogram::Histogram;
use crate::analysis::names::NameId;
use crate::analysis::states::{Goroutine, RangeEnd, RangeKind, States, Stay, Visitor};
use crate::event::GoState;
use crate::ids::GoId;
use alloc::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub(crate) struct Collector {
    pub(crate) marks: Histogram,
    /// How long goroutines ran in assists.
    pub(crate) assists: Histogram,
    /// Nanoseconds that background workers ran.
    pub(crate) workers: i64,
    worker: Option<NameId>,
    /// How long goroutines ran in assists, by the function that they began with.
    pub(crate) assists_by: BTreeMap<NameId, u64>,
    pub(crate) longest_assist: Option<(u64, crate::time::Time, Option<GoId>)>,
}

/// The function of the goroutines that mark in the background.
const WORKER: &str = "runtime.gcBgMarkWorker";

impl Visitor for Collector {
    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        if stay.state != GoState::Running {
            return;
        }
        if self.worker.is_none() {
            self.worker = states.names().find(WORKER);
        }
        if self.worker == Some(goroutine.name) {
            self.workers = self.workers.saturating_add(stay.nanoseconds());
        }
    }

    fn range_ended(&mut self, states: &States, range: &RangeEnd) {
        match range.range.kind {
            RangeKind::GcMark => self.marks.add(range.nanoseconds()),
            RangeKind::GcMarkAssist => {
                let time = u64::try_from(range.executing).unwrap_or(0);
                self.assists.add(range.executing);
                let goroutine = range.range.goroutine;
                let known = goroutine.and_then(|id| states.goroutine(id));
                let name = known.map_or(NameId::EMPTY, |goroutine| goroutine.name);
                let sum = self.assists_by.entry(name).or_default();
                *sum = sum.saturating_add(time);
                if self
                    .longest_assist
                    .is_none_or(|(longest, ..)| longest < time)
                {
                    self.longest_assist = Some((time, range.range.from, goroutine));
                }
            }
            _ => {}
        }
    }
}
