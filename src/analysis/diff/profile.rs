//! What one trace gives to a comparison.

use crate::analysis::histogram::Histogram;
use crate::analysis::names::{NameId, StackRef};
use crate::analysis::scope::Scope;
use crate::analysis::states::{
    Goroutine, OpenRange, Proc, ProcStay, RangeEnd, RangeKind, RegionEnd, States, Stay, TaskEnd,
    Visitor,
};
use crate::analysis::stops::Stops;
use crate::event::{Event, GoState};
use crate::num;
use crate::select::SelectError;
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

/// How long a block is, in nanoseconds: 100 ms, longer than what most programs do in one go.
pub const BLOCK: i64 = 100_000_000;
/// The most blocks that are kept: those of 100 s. Later ones count with the last.
const MOST_BLOCKS: u32 = 1_000;

/// The kind of a [`Unit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(all(feature = "json", feature = "serde"), derive(serde::Serialize))]
#[cfg_attr(
    all(feature = "json", feature = "serde"),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum UnitKind {
    /// Tasks of a type.
    Task,
    /// Regions of a type.
    Region,
    /// Goroutines that began with a function, running.
    Running,
    /// Such goroutines, waiting for a processor.
    Runnable,
    /// Such goroutines, in system calls.
    Syscall,
    /// Such goroutines, waiting for a reason.
    Waiting,
    /// Waits in a function, for a reason, of any goroutine.
    Place,
    /// Stop-the-world, for a reason, as long as the range is.
    Stop,
    /// The garbage collector's mark phases.
    Mark,
    /// Goroutines running in assists of the garbage collector.
    Assist,
}

impl UnitKind {
    /// The name: `task`, `region`, `running`, ...
    pub const fn name(self) -> &'static str {
        match self {
            UnitKind::Task => "task",
            UnitKind::Region => "region",
            UnitKind::Running => "running",
            UnitKind::Runnable => "runnable",
            UnitKind::Syscall => "syscall",
            UnitKind::Waiting => "waiting",
            UnitKind::Place => "place",
            UnitKind::Stop => "stop-the-world",
            UnitKind::Mark => "gc mark",
            UnitKind::Assist => "gc assist",
        }
    }
}

/// What is compared: something that takes time, again and again. Displays for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(all(feature = "json", feature = "serde"), derive(serde::Serialize))]
#[non_exhaustive]
pub struct Unit {
    /// What sort of thing it is.
    pub kind: UnitKind,
    /// The function, the type; empty where there is none.
    pub name: String,
    /// Why; empty where there is none.
    pub reason: String,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        for part in [&self.name, &self.reason] {
            if !part.is_empty() {
                write!(f, " {part}")?;
            }
        }
        Ok(())
    }
}

/// Times of a unit in a block.
#[derive(Clone, Copy, Debug)]
struct Cell {
    block: u32,
    count: u64,
    time: u64,
}

/// The times of a unit.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    pub(super) spread: Histogram,
    /// In the order of blocks; those without are left out.
    cells: Vec<Cell>,
}

impl Series {
    fn add(&mut self, block: u32, time: i64) {
        self.spread.add(time);
        let time = u64::try_from(time).unwrap_or(0);
        match self.cells.last_mut() {
            Some(cell) if cell.block >= block => {
                cell.count = cell.count.saturating_add(1);
                cell.time = cell.time.saturating_add(time);
            }
            _ => self.cells.push(Cell {
                block,
                count: 1,
                time,
            }),
        }
    }
}

/// Series by numbers of names.
#[derive(Clone, Debug, Default)]
struct Gather {
    series: BTreeMap<(UnitKind, NameId, NameId), Series>,
    places: BTreeMap<StackRef, NameId>,
    stops: Stops,
}

impl Gather {
    fn add(
        &mut self,
        states: &States,
        unit: (UnitKind, NameId, NameId),
        to: Time,
        nanoseconds: i64,
    ) {
        let start = states.begin_time().unwrap_or(to);
        let block = to.since(start).checked_div(BLOCK).unwrap_or(0);
        let block = u32::try_from(block).unwrap_or(0).min(MOST_BLOCKS);
        self.series.entry(unit).or_default().add(block, nanoseconds);
    }
}

impl Visitor for Gather {
    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        self.stops.stay(states, goroutine, stay);
        // Of what is longer than the trace shows, nothing can be compared.
        if stay.open || stay.began_before() {
            return;
        }
        if goroutine.is_system(states) {
            return;
        }
        let (name, none) = (goroutine.name, NameId::EMPTY);
        let unit = match stay.state {
            GoState::Running => (UnitKind::Running, name, none),
            GoState::Runnable => (UnitKind::Runnable, name, none),
            GoState::Syscall => (UnitKind::Syscall, name, none),
            GoState::Waiting => (UnitKind::Waiting, name, stay.reason),
            GoState::Undetermined | GoState::NotExist => return,
        };
        self.add(states, unit, stay.to, stay.nanoseconds());
        if let Some(stack) = stay.stack.filter(|_| stay.state == GoState::Waiting) {
            let names = states.names();
            let found = || names.find(names.user_leaf(stack)?.func);
            let place = self.places.entry(stack);
            let place = *place.or_insert_with(|| found().unwrap_or_default());
            let unit = (UnitKind::Place, place, stay.reason);
            self.add(states, unit, stay.to, stay.nanoseconds());
        }
    }

    fn proc_began(&mut self, states: &States, proc: &Proc) {
        self.stops.proc_began(states, proc);
    }

    fn proc_stay(&mut self, states: &States, stay: &ProcStay) {
        self.stops.proc_stay(states, stay);
    }

    fn range_began(&mut self, states: &States, range: &OpenRange) {
        self.stops.range_began(states, range);
    }

    fn range_ended(&mut self, states: &States, range: &RangeEnd) {
        let stop = self.stops.ended(states, range);
        let (kind, time) = match range.range.kind {
            RangeKind::StopTheWorld => (UnitKind::Stop, stop.map_or(0, |stop| stop.pause)),
            RangeKind::GcMark => (UnitKind::Mark, range.nanoseconds()),
            RangeKind::GcMarkAssist => (UnitKind::Assist, range.executing),
            RangeKind::GcSweep => return,
        };
        if range.range.is_whole {
            let unit = (kind, NameId::EMPTY, range.range.reason);
            self.add(states, unit, range.to, time);
        }
    }

    fn task_ended(&mut self, states: &States, task: &TaskEnd) {
        if let Some(time) = task.nanoseconds() {
            self.add(
                states,
                (UnitKind::Task, task.ty, NameId::EMPTY),
                task.to,
                time,
            );
        }
    }

    fn region_ended(&mut self, states: &States, _: &Goroutine, region: &RegionEnd) {
        if let Some(time) = region.nanoseconds() {
            let unit = (UnitKind::Region, region.ty, NameId::EMPTY);
            self.add(states, unit, region.to, time);
        }
    }
}

/// What one trace gives to a comparison. Its memory grows with what is alive, with the number of
/// different names and stacks, and with the number of 100 ms, up to a thousand, in which each was seen.
#[derive(Debug, Default)]
pub struct Profile {
    states: States,
    gather: Gather,
    units: BTreeMap<Unit, Series>,
    is_finished: bool,
}

impl Profile {
    /// Of no events yet.
    pub fn new() -> Profile {
        Profile::default()
    }

    /// Takes in the next event. All events of a trace must be given, in order.
    #[inline]
    pub fn add(&mut self, event: &Event<'_, '_>) {
        self.states.add(event, &mut self.gather);
    }

    /// The same, of what a scope says that counts; says whether it wants more events.
    ///
    /// # Errors
    ///
    /// Those of [`Scope::add`].
    pub fn add_in(
        &mut self,
        scope: &mut Scope<'_>,
        event: &Event<'_, '_>,
    ) -> Result<bool, SelectError> {
        scope.add(event, &mut self.states, &mut self.gather)
    }

    /// The trace is over. To be called once, before it is compared.
    pub fn finish(&mut self) {
        if core::mem::replace(&mut self.is_finished, true) {
            return;
        }
        let names = self.states.names();
        let text = |id| names.text(id).printable().to_string();
        for ((kind, name, reason), series) in core::mem::take(&mut self.gather.series) {
            let unit = Unit {
                kind,
                name: text(name),
                reason: text(reason),
            };
            self.units.insert(unit, series);
        }
    }

    /// What was seen in it.
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        self.units.keys()
    }

    pub(super) fn series(&self, unit: &Unit) -> Option<&Series> {
        self.units.get(unit)
    }

    fn nanoseconds(&self) -> u64 {
        let first = self.states.begin_time();
        let time = first.map_or(0, |first| self.states.last_time().since(first));
        u64::try_from(time).unwrap_or(0)
    }

    /// How many whole blocks it has; without those of its first second, if it has three seconds: programs
    /// are different then.
    pub(super) fn blocks(&self) -> usize {
        self.span().len()
    }

    fn span(&self) -> core::ops::Range<u32> {
        let block = u64::try_from(BLOCK).unwrap_or(1);
        let whole = self.nanoseconds().checked_div(block).unwrap_or(0);
        let whole = u32::try_from(whole).unwrap_or(MOST_BLOCKS).min(MOST_BLOCKS);
        let first = if whole >= 30 { 10 } else { 0 };
        first..whole
    }

    /// By what time and rates are divided: seconds, or pieces of work done. `None` if none was.
    pub(super) fn work(&self, per: Option<&Unit>) -> Option<f64> {
        let work = match per {
            None => num::float(self.nanoseconds()) / 1e9,
            Some(unit) => num::float(self.series(unit)?.spread.len()),
        };
        (work > 0.0).then_some(work)
    }

    /// Of each block: how often, how long in all, and the work done.
    pub(super) fn cells(&self, unit: &Unit, per: Option<&Unit>) -> Vec<[f64; 3]> {
        let span = self.span();
        let dense = |series: Option<&Series>| -> Vec<[f64; 2]> {
            let mut dense = alloc::vec![[0.0; 2]; span.len()];
            for cell in series.into_iter().flat_map(|series| &series.cells) {
                let at = cell.block.checked_sub(span.start).map(num::index);
                if let Some(place) = at.and_then(|at| dense.get_mut(at)) {
                    *place = [num::float(cell.count), num::float(cell.time)];
                }
            }
            dense
        };
        let mine = dense(self.series(unit));
        let work = per.map(|per| dense(self.series(per)));
        let seconds = num::float(BLOCK.unsigned_abs()) / 1e9;
        let each = mine.iter().enumerate().map(|(at, [count, time])| {
            let done = work
                .as_ref()
                .map(|work| work.get(at).map_or(0.0, |[n, _]| *n));
            [*count, *time, done.unwrap_or(seconds)]
        });
        each.collect()
    }
}
