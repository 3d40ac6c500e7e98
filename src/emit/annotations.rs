//! What user code says: regions, tasks, logs, metrics, and ranges in which nothing else runs.

use super::emitter::{Emitter, Range};
use super::names::text_id;
use super::state::{Region, State, Task, Views};
use crate::ids::{StringId, TaskId};
use crate::num;
use crate::string::GoStr;
use crate::tables::{List, Storage};
use crate::time::Timestamp;
use crate::wire::{MAX_STRING_SIZE, timed};

/// The quantities that the format has. Others are logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Metric {
    /// Bytes in use, as of an allocator.
    HeapAlloc,
    /// Bytes that may be in use, as the size of an arena.
    HeapGoal,
}

impl<S: Storage, M: AsRef<[u8]> + AsMut<[u8]>> Emitter<S, M> {
    /// A region begins in what runs on this core, of a task or of none: one event. Regions of a
    /// goroutine nest.
    pub fn region_begin(
        &mut self,
        now: Timestamp,
        core: u8,
        task: Option<TaskId>,
        name: &'static str,
    ) {
        self.clock(now);
        let Some((core, slot)) = self.current(core) else {
            return;
        };
        let region = self.names.slot(name).map(|name| Region {
            slot,
            task: task.unwrap_or(TaskId::BACKGROUND),
            name,
            open: Views {
                real: true,
                ..Views::default()
            },
        });
        let tracked = region.is_some_and(|region| self.regions.push(region).is_ok());
        if tracked {
            let at = self.regions.len().wrapping_sub(1);
            self.write_region(core, at, true);
            return;
        }
        self.lost.entries = self.lost.entries.saturating_add(1);
        if let Some(goroutine) = self.goroutines.get_mut(slot) {
            goroutine.untracked = goroutine.untracked.saturating_add(1);
        }
    }

    /// The innermost region of what runs on this core ends: one event.
    pub fn region_end(&mut self, now: Timestamp, core: u8) {
        self.clock(now);
        let Some((core, slot)) = self.current(core) else {
            return;
        };
        if let Some(goroutine) = self.goroutines.get_mut(slot)
            && let Some(left) = goroutine.untracked.checked_sub(1)
        {
            goroutine.untracked = left;
            return;
        }
        let innermost = self
            .regions
            .iter_mut()
            .rposition(|r| r.slot == slot && r.open.real);
        let Some(at) = innermost else { return };
        let Some(region) = self.regions.get_mut(at) else {
            return;
        };
        region.open.real = false;
        if region.open.written {
            self.write_region(core, at, false);
        }
        self.clean_up_regions();
    }

    /// A task begins in what runs on this core, which may be part of another: one event. `None` if
    /// nothing runs or the table is full, which is counted.
    pub fn task_begin(
        &mut self,
        now: Timestamp,
        core: u8,
        parent: Option<TaskId>,
        name: &'static str,
    ) -> Option<TaskId> {
        self.clock(now);
        let (core, _) = self.current(core)?;
        let id = TaskId::new(self.next_task)?;
        let task = self.names.slot(name).map(|name| Task {
            id,
            parent: parent.unwrap_or(TaskId::BACKGROUND),
            name,
            open: Views {
                real: true,
                ..Views::default()
            },
        });
        if task.is_none_or(|task| self.tasks.push(task).is_err()) {
            self.lost.entries = self.lost.entries.saturating_add(1);
            return None;
        }
        self.next_task = self.next_task.wrapping_add(1);
        self.write_task(core, self.tasks.len().wrapping_sub(1), true);
        Some(id)
    }

    /// A task ends, in what runs on this core or, if nothing does, in what runs next: one event.
    pub fn task_end(&mut self, now: Timestamp, core: u8, id: TaskId) {
        self.clock(now);
        let Some(at) = self.tasks.iter().position(|t| t.id == id && t.open.real) else {
            return;
        };
        let Some(task) = self.tasks.get_mut(at) else {
            return;
        };
        task.open.real = false;
        if task.open.written {
            match self.current(core) {
                Some((core, _)) => self.write_task(core, at, false),
                None => self.astray = true,
            }
        }
        self.clean_up_tasks();
    }

    /// A message of what runs on this core, of a task or of none: one event, and as many bytes as
    /// the message has, cut off at [`MAX_STRING_SIZE`](crate::wire::MAX_STRING_SIZE), and 13 more.
    pub fn log(
        &mut self,
        now: Timestamp,
        core: u8,
        task: Option<TaskId>,
        category: &'static str,
        message: &str,
    ) {
        self.clock(now);
        let Some((core, _)) = self.current(core) else {
            return;
        };
        let text = self.text(core, message);
        let event = timed::UserLog {
            task: task.unwrap_or(TaskId::BACKGROUND),
            key_string: self.name(category),
            value_string: text,
            stack: None,
        };
        self.emit(core, event);
    }

    /// The string of a text; empty for an empty one. Without room the rest of the generation is
    /// dropped.
    fn text(&mut self, core: usize, text: &str) -> Option<StringId> {
        if text.is_empty() || !self.on || self.dropping {
            return None;
        }
        // `floor_char_boundary` would bring a panic with it.
        let most = text.len().min(num::narrow(MAX_STRING_SIZE));
        let mut cuts = (0..4).map(|back| text.get(..most.saturating_sub(back)));
        let text = GoStr::from(cuts.find_map(|cut| cut).unwrap_or(""));
        let memory = self.memory.as_mut();
        let part = &mut self.cores.get_mut(core)?.part;
        let Some(id) = part.text(memory, text_id(self.texts), text) else {
            self.drop_rest();
            return None;
        };
        self.texts = self.texts.wrapping_add(1);
        Some(id)
    }

    /// A quantity as it is now: one event.
    pub fn metric(&mut self, now: Timestamp, core: u8, metric: Metric, value: u64) {
        self.clock(now);
        let core = usize::from(core);
        if core >= self.cores.len() {
            return;
        }
        match metric {
            Metric::HeapAlloc => {
                let heapalloc_value = value;
                self.emit(core, timed::HeapAlloc { heapalloc_value })
            }
            Metric::HeapGoal => {
                let heapgoal_value = value;
                self.emit(core, timed::HeapGoal { heapgoal_value })
            }
        };
    }

    /// What runs on this core keeps everything else from running, as in a critical section: one
    /// event. Viewers show it as `stop-the-world (NAME)`. One that begins within another is part of
    /// it, also on another core: the format knows one world to stop.
    pub fn range_begin(&mut self, now: Timestamp, core: u8, name: &'static str) {
        self.clock(now);
        let Some((core, _)) = self.current(core) else {
            return;
        };
        let slot = self.names.slot(name);
        let Some(place) = self.cores.get_mut(core) else {
            return;
        };
        place.range.depth = place.range.depth.saturating_add(1);
        if place.range.depth == 1 {
            place.range.name = slot;
            self.write_range(core);
        }
    }

    /// The end of what [`range_begin`](Emitter::range_begin) began: one event. A range ends also
    /// when its goroutine pauses.
    pub fn range_end(&mut self, now: Timestamp, core: u8) {
        self.clock(now);
        let core = usize::from(core);
        let Some(place) = self.cores.get_mut(core) else {
            return;
        };
        match place.range.depth.checked_sub(1) {
            None => {}
            Some(0) => self.end_range(core),
            Some(depth) => place.range.depth = depth,
        }
    }

    /// Writes that the range of a core begins.
    pub(super) fn write_range(&mut self, core: usize) {
        // There is one world to stop.
        if self.cores.iter().any(|c| c.range.written) {
            return;
        }
        let range = self.cores.get_mut(core).map(|c| c.range);
        let Some(name) = range.filter(|r| r.depth > 0 && !r.written) else {
            return;
        };
        let event = timed::STWBegin {
            kind_string: name.name.and_then(|slot| self.names.string(slot)),
            stack: None,
        };
        let written = self.emit(core, event);
        if let Some(place) = self.cores.get_mut(core) {
            place.range.written = written;
        }
    }

    /// The range of a core is over.
    pub(super) fn end_range(&mut self, core: usize) {
        let Some(place) = self.cores.get_mut(core) else {
            return;
        };
        if core::mem::take(&mut place.range).written {
            let range = Range {
                written: !self.emit(core, timed::STWEnd {}),
                ..Range::default()
            };
            if let Some(place) = self.cores.get_mut(core) {
                place.range = range;
            }
        }
    }

    /// A core's number as an index, and the slot of the goroutine that runs there.
    fn current(&self, core: u8) -> Option<(usize, u32)> {
        let core = usize::from(core);
        Some((core, self.cores.get(core)?.running?))
    }

    fn write_region(&mut self, core: usize, at: usize, begins: bool) {
        let Some(region) = self.regions.get(at).copied() else {
            return;
        };
        let name_string = self.names.string(region.name);
        let (task, stack) = (region.task, None);
        let begin = timed::UserRegionBegin {
            task,
            name_string,
            stack,
        };
        let end = timed::UserRegionEnd {
            task,
            name_string,
            stack,
        };
        let written = match begins {
            true => self.emit(core, begin),
            false => self.emit(core, end),
        };
        if written && let Some(region) = self.regions.get_mut(at) {
            region.open.written = begins;
        }
    }

    fn write_task(&mut self, core: usize, at: usize, begins: bool) {
        let Some(of) = self.tasks.get(at).copied() else {
            return;
        };
        let (task, stack) = (of.id, None);
        let written = if begins {
            let begin = timed::UserTaskBegin {
                task,
                parent_task: of.parent,
                name_string: self.names.string(of.name),
                stack,
            };
            self.emit(core, begin)
        } else {
            self.emit(core, timed::UserTaskEnd { task, stack })
        };
        if written && let Some(of) = self.tasks.get_mut(at) {
            of.open.written = begins;
        }
    }

    /// Says of tasks, and of the regions of a goroutine that runs, what a reader does not know.
    pub(super) fn catch_up_annotations(&mut self, core: usize, slot: u32) {
        for at in 0..self.tasks.len() {
            let open = self.tasks.get(at).map(|t| t.open);
            if let Some(open) = open.filter(|open| !open.in_step()) {
                self.write_task(core, at, open.real);
            }
        }
        // Inner ones end first, and begin last.
        for at in (0..self.regions.len()).rev() {
            if self.is_astray(at, slot, false) {
                self.write_region(core, at, false);
            }
        }
        for at in 0..self.regions.len() {
            if self.is_astray(at, slot, true) {
                self.write_region(core, at, true);
            }
        }
        self.clean_up_tasks();
        self.clean_up_regions();
        let regions = self.regions.iter().all(|r| r.open.in_step());
        self.astray = !(regions && self.tasks.iter().all(|t| t.open.in_step()));
    }

    /// Whether a region of this goroutine is open, or not, and the trace says otherwise.
    fn is_astray(&self, at: usize, slot: u32, open: bool) -> bool {
        let region = self.regions.get(at);
        region.is_some_and(|r| r.slot == slot && r.open.real == open && !r.open.in_step())
    }

    pub(super) fn clean_up_regions(&mut self) {
        remove(&mut self.regions, |region| region.open.is_over());
    }

    pub(super) fn clean_up_tasks(&mut self) {
        remove(&mut self.tasks, |task| task.open.is_over());
    }

    /// The regions of a goroutine that is over are, too.
    pub(super) fn remove_regions_of(&mut self, slot: u32) {
        remove(&mut self.regions, |region| region.slot == slot);
    }

    /// Whether a goroutine is said to run where it does.
    pub(super) fn runs(&self, core: usize, slot: u32) -> bool {
        let written = self.goroutines.get(slot).map(|g| g.state.written);
        u8::try_from(core).is_ok_and(|core| written == Some(State::Running(core)))
    }
}

/// Removes some entries, and keeps the order of the others.
fn remove<T: Copy, L: List<T>>(list: &mut L, over: impl Fn(&T) -> bool) {
    let mut kept = 0usize;
    for at in 0..list.len() {
        let Some(entry) = list.get(at).copied() else {
            break;
        };
        if !over(&entry)
            && let Some(place) = list.get_mut(kept)
        {
            *place = entry;
            kept = kept.wrapping_add(1);
        }
    }
    while list.len() > kept {
        list.pop();
    }
}
