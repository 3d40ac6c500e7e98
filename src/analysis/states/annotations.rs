//! Tasks and regions: what the program says of itself.

use super::{States, Sums, Visitor};
use crate::analysis::names::{NameId, StackRef};
use crate::event::{Event, Region, Task};
use crate::ids::{GoId, TaskId};
use crate::time::Time;

/// A task that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenTask {
    /// The id.
    pub id: TaskId,
    /// The task that it is part of, if any and if it is known.
    pub parent: Option<TaskId>,
    /// The type.
    pub ty: NameId,
    /// When it began.
    pub from: Time,
    /// The goroutine that began it.
    pub goroutine: Option<GoId>,
    /// Where it began.
    pub stack: Option<StackRef>,
}

/// A task that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskEnd {
    /// The id.
    pub id: TaskId,
    /// The type; empty if the trace does not hold its beginning.
    pub ty: NameId,
    /// The task that it is part of, if any and if it is known.
    pub parent: Option<TaskId>,
    /// Its beginning; `None` if the trace does not hold it.
    pub begin: Option<OpenTask>,
    /// When it ended.
    pub to: Time,
    /// The goroutine that ended it.
    pub ended_by: Option<GoId>,
}

impl TaskEnd {
    /// How long, in nanoseconds, if its beginning is known; never negative.
    pub fn nanoseconds(&self) -> Option<i64> {
        Some(self.to.0.saturating_sub(self.begin?.from.0).max(0))
    }
}

/// A region that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenRegion {
    /// The task that it is part of: the background task for none.
    pub task: Option<TaskId>,
    /// The type.
    pub ty: NameId,
    /// When it began.
    pub from: Time,
    /// Where it began.
    pub stack: Option<StackRef>,
    /// What its goroutine had spent in each state when it began.
    pub sums: Sums,
}

/// A region that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegionEnd {
    /// The task that it is part of: the background task for none.
    pub task: Option<TaskId>,
    /// The type.
    pub ty: NameId,
    /// Its beginning; `None` if the trace does not hold it.
    pub begin: Option<OpenRegion>,
    /// When it ended.
    pub to: Time,
    /// Where it ended.
    pub stack: Option<StackRef>,
    /// What its goroutine has spent in each state now.
    pub sums: Sums,
}

/// What regions are grouped by: type, and function, file and line where they begin.
pub(crate) type RegionKey = (NameId, Option<(NameId, NameId, u64)>);

impl OpenRegion {
    /// Type and place: the innermost frame that is the program's own.
    pub(crate) fn key(&self, states: &States) -> RegionKey {
        let place = self.stack.and_then(|s| states.names().user_place(s));
        (self.ty, place)
    }
}

impl RegionEnd {
    /// How long, in nanoseconds, if its beginning is known; never negative.
    pub fn nanoseconds(&self) -> Option<i64> {
        Some(self.to.0.saturating_sub(self.begin?.from.0).max(0))
    }

    /// What its goroutine spent in each state within it, if its beginning is known.
    pub fn inside(&self) -> Option<Sums> {
        Some(self.sums.since(&self.begin?.sums))
    }
}

impl States {
    pub(super) fn task_begins(
        &mut self,
        event: &Event<'_, '_>,
        task: Task<'_>,
        visitor: &mut impl Visitor,
    ) {
        let Some(id) = task.id else { return };
        let open = OpenTask {
            id,
            parent: task.parent,
            ty: self.names.string(event, event.string_number()),
            from: event.time(),
            goroutine: event.goroutine(),
            stack: self.names.stack_at(event),
        };
        self.tasks.insert(id, open);
        visitor.task_began(self, &open);
    }

    pub(super) fn task_ends(
        &mut self,
        event: &Event<'_, '_>,
        task: Task<'_>,
        visitor: &mut impl Visitor,
    ) {
        let Some(id) = task.id else { return };
        let begin = self.tasks.remove(&id);
        let end = TaskEnd {
            id,
            ty: match &begin {
                Some(open) => open.ty,
                None => self.names.add(task.ty),
            },
            parent: begin.map_or(task.parent, |open| open.parent),
            begin,
            to: event.time(),
            ended_by: event.goroutine(),
        };
        visitor.task_ended(self, &end);
    }

    pub(super) fn region_begins(
        &mut self,
        event: &Event<'_, '_>,
        region: Region<'_>,
        visitor: &mut impl Visitor,
    ) {
        let time = event.time();
        let ty = self.names.string(event, event.string_number());
        let stack = self.names.stack_at(event);
        let slot = event.goroutine();
        let slot = slot.and_then(|id| self.goroutines.find(id.get()));
        let Some(slot) = slot else { return };
        let Some(goroutine) = self.goroutines.get_mut(slot) else {
            return;
        };
        let open = OpenRegion {
            task: region.task,
            ty,
            from: time,
            stack,
            sums: goroutine.sums(time),
        };
        goroutine.regions.push(open);
        if let Some(goroutine) = self.goroutines.get(slot) {
            visitor.region_began(self, goroutine, &open);
        }
    }

    pub(super) fn region_ends(
        &mut self,
        event: &Event<'_, '_>,
        region: Region<'_>,
        visitor: &mut impl Visitor,
    ) {
        let time = event.time();
        let ty = self.names.string(event, event.string_number());
        let stack = self.names.stack_at(event);
        let slot = event.goroutine();
        let slot = slot.and_then(|id| self.goroutines.find(id.get()));
        let Some(slot) = slot else { return };
        let Some(goroutine) = self.goroutines.get_mut(slot) else {
            return;
        };
        let begin = goroutine.regions.pop();
        let end = RegionEnd {
            task: region.task,
            ty,
            begin,
            to: time,
            stack,
            sums: goroutine.sums(time),
        };
        if let Some(goroutine) = self.goroutines.get(slot) {
            visitor.region_ended(self, goroutine, &end);
        }
    }
}
