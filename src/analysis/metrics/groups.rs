//! How long goroutines were in each state, by the function that they began with, and by reason.

use crate::analysis::histogram::Histogram;
use crate::analysis::names::NameId;
use crate::analysis::states::{Goroutine, RegionEnd, States, Stay, TaskEnd, Visitor};
use crate::event::GoState;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The times of goroutines that began with the same function.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) running: Histogram,
    pub(crate) runnable: Histogram,
    pub(crate) syscall: Histogram,
    /// By reason: there are few.
    pub(crate) waiting: Vec<(NameId, Histogram)>,
}

#[cfg(feature = "expressions")]
impl Group {
    /// All its waits.
    pub(crate) fn all_waiting(&self) -> Histogram {
        let mut all = Histogram::new();
        self.waiting
            .iter()
            .for_each(|(_, spread)| all.merge(spread));
        all
    }
}

/// Values by the number of their name.
#[derive(Clone, Debug)]
pub(crate) struct ByName<T>(Vec<Option<Box<T>>>);

impl<T> Default for ByName<T> {
    fn default() -> Self {
        ByName(Vec::new())
    }
}

impl<T: Default> ByName<T> {
    pub(crate) fn of(&mut self, name: NameId) -> Option<&mut T> {
        let at = name.index();
        if self.0.len() <= at {
            self.0.resize_with(at.saturating_add(1), || None);
        }
        Some(self.0.get_mut(at)?.get_or_insert_default())
    }
}

impl<T> ByName<T> {
    pub(crate) fn get(&self, name: NameId) -> Option<&T> {
        self.0.get(name.index())?.as_deref()
    }

    #[cfg(feature = "expressions")]
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten().map(|value| &**value)
    }

    /// With the name of each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NameId, &T)> {
        let all = self.0.iter().enumerate();
        all.filter_map(|(at, value)| Some((NameId::of_index(at), &**value.as_ref()?)))
    }
}

/// Times by function, and of tasks and regions by type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    pub(crate) functions: ByName<Group>,
    pub(crate) tasks: ByName<Histogram>,
    pub(crate) regions: ByName<Histogram>,
}

impl Visitor for Groups {
    fn stay(&mut self, _: &States, goroutine: &Goroutine, stay: &Stay) {
        let Some(group) = self.functions.of(goroutine.name) else {
            return;
        };
        let spread = match stay.state {
            GoState::Running => &mut group.running,
            GoState::Runnable => &mut group.runnable,
            GoState::Syscall => &mut group.syscall,
            GoState::Waiting => {
                let waiting = &mut group.waiting;
                let at = waiting
                    .iter()
                    .position(|(reason, _)| *reason == stay.reason);
                let at = at.unwrap_or_else(|| {
                    waiting.push((stay.reason, Histogram::new()));
                    waiting.len().saturating_sub(1)
                });
                match waiting.get_mut(at) {
                    Some((_, spread)) => spread,
                    None => return,
                }
            }
            GoState::Undetermined | GoState::NotExist => return,
        };
        spread.add(stay.nanoseconds());
    }

    fn task_ended(&mut self, _: &States, task: &TaskEnd) {
        if let (Some(time), Some(spread)) = (task.nanoseconds(), self.tasks.of(task.ty)) {
            spread.add(time);
        }
    }

    fn region_ended(&mut self, _: &States, _: &Goroutine, region: &RegionEnd) {
        if let (Some(time), Some(spread)) = (region.nanoseconds(), self.regions.of(region.ty)) {
            spread.add(time);
        }
    }
}
