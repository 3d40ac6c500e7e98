//! Go's own figures, as Go computes them: for comparing.
//!
//! `go tool trace` and its package `internal/trace` have statistics of goroutines, regions and tasks,
//! four profiles and the mutator utilisation. [`Summarizer`], [`Profile`] and [`Utilization`] give
//! the same figures to the nanosecond, of the same events, so that what is read here can be checked
//! against what Go shows. Where Go's figures mislead (see [`docs::differences`](crate::docs)), so do
//! these: use the rest of [`analysis`](super) for answers.
//!
//! As Go does, these keep every goroutine, region and task of the trace until the end: memory grows
//! with the trace.

mod goroutines;
mod histogram;
mod profile;
mod rows;
mod tasks;
mod utilization;

pub use histogram::{Bucket, DecadeHistogram};
pub use profile::{Profile, ProfileKind, ProfileRow};
pub use rows::{
    FrameRow, GoroutineRow, GroupRow, RegionRow, RegionTypeRow, StatsRow, TaskRow, TaskTypeRow,
};
pub use utilization::{Flags, Utilization, Worlds};

use super::names::{NameId, Names, StackRef};
use crate::event::{Change, Details, Event, EventKind};
use crate::ids::{GoId, ProcId, TaskId};
use crate::time::Time;
use alloc::collections::BTreeMap;
use goroutines::Goroutine;
use tasks::Task;

/// Goroutines, regions and tasks as `trace.Summarizer` has them.
///
/// ```
/// use gotrace::{Trace, analysis::as_go::Summarizer};
///
/// let bytes = include_bytes!("../../../tests/fixtures/block-go1.27.trace");
/// let trace = Trace::new(bytes)?;
/// let (mut reader, mut summarizer) = (trace.reader(), Summarizer::new());
/// while let Some(event) = reader.next()? {
///     summarizer.add(&event);
/// }
/// summarizer.finish(true);
/// let main = summarizer.groups().into_iter().find(|group| group.name == "main.main").unwrap();
/// assert_eq!((main.n, main.stats.exec), (1, 351_937));
/// # Ok::<(), gotrace::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Summarizer {
    names: Names,
    /// By the signed number, as Go sorts them.
    goroutines: BTreeMap<i64, Goroutine>,
    tasks: BTreeMap<u64, Task>,
    /// The goroutine whose system call each proc is in.
    in_syscall: BTreeMap<ProcId, i64>,
    /// The goroutine that began a range on a proc.
    proc_ranges: BTreeMap<(ProcId, NameId), i64>,
    first: Option<Time>,
    last: Time,
    sync: Time,
    /// The end of the trace, or of the last whole generation.
    end: Time,
}

/// An event that something begins or ends with.
#[derive(Clone, Copy, Debug)]
struct Mark {
    time: i64,
    stack: Option<StackRef>,
}

/// The number of what may be absent, as Go has it: -1 for none.
fn number(id: Option<GoId>) -> i64 {
    crate::num::signed(GoId::raw(id))
}

impl Summarizer {
    /// Nothing was seen yet.
    pub fn new() -> Summarizer {
        Summarizer::default()
    }

    /// Takes in the next event. All events of a trace must be given, in order.
    pub fn add(&mut self, event: &Event<'_, '_>) {
        let time = event.time();
        if self.first.is_none() {
            self.first = Some(time);
            self.sync = time;
        }
        self.last = time;
        if let Some(step) = event.go_step() {
            self.go_step(event, step);
            return;
        }
        if matches!(event.kind(), EventKind::StackSample | EventKind::Label) {
            return;
        }
        match event.details() {
            Details::Sync(_) => {
                self.names.next_generation();
                self.sync = time;
            }
            Details::StateTransition(transition) => {
                if let Change::Proc {
                    id: Some(id),
                    from,
                    to,
                } = transition.change
                    && from != to
                    && to == crate::event::ProcState::Idle
                    && let Some(id) = self.in_syscall.remove(&id)
                    && let Some(goroutine) = self.goroutines.get_mut(&id)
                {
                    goroutine.sysblock_since = time.0;
                }
            }
            Details::RangeBegin(range) => self.range_begins(event, range, true),
            Details::RangeActive(range) => self.range_begins(event, range, false),
            Details::RangeEnd(range, _) => self.range_ends(event, range),
            Details::RegionBegin(region) => self.region_begins(event, region),
            Details::RegionEnd(region) => self.region_ends(event, region),
            Details::TaskBegin(task) => self.task(event, task, true),
            Details::TaskEnd(task) => self.task(event, task, false),
            Details::Log(log) => self.log(event, log),
            _ => {}
        }
    }

    /// The trace is over. `whole`: it was read to its end, without an error. Without that, times end
    /// with the last Sync event, as in `go tool trace`.
    pub fn finish(&mut self, whole: bool) {
        self.end = if whole { self.last } else { self.sync };
        for goroutine in self.goroutines.values_mut() {
            let system = super::names::is_system_name(self.names.text(goroutine.name))
                || goroutine.name.is_empty();
            goroutine.finalize(self.last.0, None, system);
        }
    }

    /// When the first event happened.
    pub fn start_time(&self) -> Time {
        self.first.unwrap_or(Time(0))
    }

    /// When the trace, or its last whole generation, ended.
    pub const fn end_time(&self) -> Time {
        self.end
    }

    fn mark(&mut self, event: &Event<'_, '_>) -> Mark {
        Mark {
            time: event.time().0,
            stack: self.names.stack_at(event),
        }
    }

    fn interval(&self, start: Option<Mark>, end: Option<Mark>) -> i64 {
        let start = start.map_or(self.start_time().0, |mark| mark.time);
        let end = end.map_or(self.end.0, |mark| mark.time);
        end.saturating_sub(start)
    }

    fn task_of(&mut self, id: Option<TaskId>) -> &mut Task {
        self.tasks.entry(TaskId::raw(id)).or_default()
    }
}
