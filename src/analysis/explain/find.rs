//! The tasks, regions and goroutines that are to be explained: the first pass over a trace.

use crate::event::{Change, Details, Event, EventKind, GoState};
use crate::ids::{GoId, TaskId};
use crate::string::GoStr;
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// The task with this id.
    Task(TaskId),
    /// Tasks of this type; of any type without one.
    Tasks(Option<String>),
    /// Regions of this type; of any type without one.
    Regions(Option<String>),
    /// The lives of the goroutine with this id: usually one.
    Goroutine(GoId),
}

/// What a [`Found`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[cfg_attr(feature = "json", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum What {
    /// A user task.
    Task,
    /// A user region.
    Region,
    /// A goroutine, from its creation to its end.
    Goroutine,
}

/// A task, a region or a goroutine's life that fits a [`Subject`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub what: What,
    /// The type of the task or region; empty for a goroutine.
    pub ty: String,
    /// The task, or the one that the region is part of.
    pub task: Option<TaskId>,
    /// The goroutine that it began on, or that it is.
    pub goroutine: Option<GoId>,
    /// When it began; the trace's first event if it was there before.
    pub start: Time,
    /// When it ended; the trace's last event if it had not ended.
    pub end: Time,
    /// Whether the trace has its beginning.
    pub has_start: bool,
    /// Whether the trace has its end.
    pub has_end: bool,
}

impl Found {
    /// From the start to the end, in nanoseconds.
    pub const fn duration(&self) -> i64 {
        self.end.since(self.start)
    }
}

/// Finds the longest of what fits a [`Subject`], in a pass over a trace's events.
///
/// Memory grows with the tasks, regions and goroutines that are open at a time, not with the trace.
#[derive(Debug)]
pub struct Finder {
    subject: Subject,
    most: usize,
    /// The longest that ended, the longest first.
    longest: Vec<Found>,
    tasks: BTreeMap<TaskId, Found>,
    regions: BTreeMap<Option<GoId>, Vec<Option<Found>>>,
    life: Option<Found>,
    first: Option<Time>,
    last: Time,
    from: Time,
}

impl Finder {
    /// Will find at most so many, the longest.
    pub const fn new(subject: Subject, most: usize) -> Finder {
        Finder {
            subject,
            most,
            longest: Vec::new(),
            tasks: BTreeMap::new(),
            regions: BTreeMap::new(),
            life: None,
            first: None,
            last: Time(0),
            from: Time(i64::MIN),
        }
    }

    /// Finds only what ends at this time or later.
    pub const fn set_from(&mut self, from: Time) {
        self.from = from;
    }

    /// Takes in the next event.
    #[inline]
    pub fn add(&mut self, event: &Event<'_, '_>) {
        self.last = event.time();
        self.first = self.first.or(Some(self.last));
        let is_of_interest = match (event.kind(), &self.subject) {
            (EventKind::TaskBegin | EventKind::TaskEnd, Subject::Task(_) | Subject::Tasks(_))
            | (EventKind::RegionBegin | EventKind::RegionEnd, Subject::Regions(_)) => true,
            (EventKind::StateTransition, Subject::Goroutine(_)) => true,
            // What is open on a goroutine ends with it.
            (EventKind::StateTransition, Subject::Regions(_)) => !self.regions.is_empty(),
            _ => false,
        };
        if is_of_interest {
            self.see(event);
        }
    }

    fn see(&mut self, event: &Event<'_, '_>) {
        let time = event.time();
        let first = self.first.unwrap_or(time);
        let found = |what, ty: GoStr<'_>, task, has_start| Found {
            what,
            ty: ty.to_string(),
            task,
            goroutine: event.goroutine(),
            start: if has_start { time } else { first },
            end: time,
            has_start,
            has_end: false,
        };
        match event.details() {
            Details::TaskBegin(task) => {
                let (Some(id), true) = (task.id, self.fits_task(task.id, task.ty)) else {
                    return;
                };
                let begun = found(What::Task, task.ty, Some(id), true);
                // One with the id of another, which therefore has ended, unseen.
                self.tasks.insert(id, begun);
            }
            Details::TaskEnd(task) => {
                let Some(id) = task.id else { return };
                let begun = match self.tasks.remove(&id) {
                    Some(begun) => begun,
                    None if self.fits_task(task.id, task.ty) => {
                        let mut begun = found(What::Task, task.ty, Some(id), false);
                        begun.goroutine = None;
                        begun
                    }
                    None => return,
                };
                self.end(begun, time, true);
            }
            Details::RegionBegin(region) => {
                let fits = self.fits_region(region.ty);
                let begun = fits.then(|| found(What::Region, region.ty, region.task, true));
                self.regions
                    .entry(event.goroutine())
                    .or_default()
                    .push(begun);
            }
            Details::RegionEnd(region) => {
                let open = self.regions.get_mut(&event.goroutine());
                let begun = match open.and_then(Vec::pop) {
                    Some(Some(begun)) if region.ty == *begun.ty => begun,
                    Some(_) => return,
                    None if self.fits_region(region.ty) => {
                        found(What::Region, region.ty, region.task, false)
                    }
                    None => return,
                };
                if self
                    .regions
                    .get(&event.goroutine())
                    .is_some_and(Vec::is_empty)
                {
                    self.regions.remove(&event.goroutine());
                }
                self.end(begun, time, true);
            }
            Details::StateTransition(transition) => {
                let Change::Goroutine {
                    id: Some(id),
                    from,
                    to,
                } = transition.change
                else {
                    return;
                };
                if to == GoState::NotExist
                    && let Some(open) = self.regions.remove(&Some(id))
                {
                    open.into_iter()
                        .flatten()
                        .for_each(|begun| self.end(begun, time, false));
                }
                if self.subject != Subject::Goroutine(id) {
                    return;
                }
                if self.life.is_none() || from == GoState::NotExist {
                    let mut life = found(
                        What::Goroutine,
                        GoStr::EMPTY,
                        None,
                        from == GoState::NotExist,
                    );
                    life.goroutine = Some(id);
                    if let Some(earlier) = self.life.replace(life) {
                        self.end(earlier, time, false);
                    }
                }
                if to == GoState::NotExist
                    && let Some(life) = self.life.take()
                {
                    self.end(life, time, true);
                }
            }
            _ => {}
        }
    }

    fn fits_task(&self, id: Option<TaskId>, ty: GoStr<'_>) -> bool {
        match &self.subject {
            Subject::Task(wanted) => id == Some(*wanted),
            Subject::Tasks(wanted) => wanted.as_ref().is_none_or(|wanted| ty == **wanted),
            _ => false,
        }
    }

    fn fits_region(&self, ty: GoStr<'_>) -> bool {
        match &self.subject {
            Subject::Regions(wanted) => wanted.as_ref().is_none_or(|wanted| ty == **wanted),
            _ => false,
        }
    }

    fn end(&mut self, mut found: Found, time: Time, has_end: bool) {
        if time < self.from {
            return;
        }
        (found.end, found.has_end) = (time, has_end);
        let duration = found.duration();
        let at = self
            .longest
            .partition_point(|longer| longer.duration() >= duration);
        if at < self.most {
            self.longest.insert(at, found);
            self.longest.truncate(self.most);
        }
    }

    /// What was found, the longest first. What has not ended lasts until the last event.
    pub fn finish(mut self) -> Vec<Found> {
        let last = self.last;
        let tasks = core::mem::take(&mut self.tasks).into_values();
        let regions = core::mem::take(&mut self.regions).into_values();
        let life = self.life.take();
        let open: Vec<Found> = tasks
            .chain(regions.flatten().flatten())
            .chain(life)
            .collect();
        open.into_iter()
            .for_each(|found| self.end(found, last, false));
        self.longest
    }
}
