//! Tasks.

use super::{Mark, Summarizer, number};
use crate::analysis::names::NameId;
use crate::event::{self, Event};
use crate::ids::TaskId;
use alloc::collections::BTreeSet;

#[derive(Clone, Debug, Default)]
pub(super) struct Task {
    pub(super) ty: NameId,
    pub(super) parent: Option<u64>,
    pub(super) start: Option<Mark>,
    pub(super) end: Option<Mark>,
    pub(super) children: u64,
    pub(super) logs: u64,
    pub(super) regions: u64,
    pub(super) goroutines: BTreeSet<i64>,
}

impl Summarizer {
    pub(super) fn task(&mut self, event: &Event<'_, '_>, task: event::Task<'_>, begins: bool) {
        let ty = self.names.add(task.ty);
        let mark = self.mark(event);
        let known = self.task_of(task.id);
        known.ty = ty;
        known.goroutines.insert(number(event.goroutine()));
        if begins {
            known.start = Some(mark);
        } else {
            known.end = Some(mark);
        }
        if task.parent.is_some() && known.parent.is_none() {
            known.parent = Some(TaskId::raw(task.parent));
            let parent = self.task_of(task.parent);
            parent.children = parent.children.saturating_add(1);
        }
    }

    pub(super) fn log(&mut self, event: &Event<'_, '_>, log: event::Log<'_>) {
        let task = self.task_of(log.task);
        task.logs = task.logs.saturating_add(1);
        task.goroutines.insert(number(event.goroutine()));
    }
}
