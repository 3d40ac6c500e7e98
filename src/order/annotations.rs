//! What users annotate: tasks and regions.

#[cfg(feature = "std")]
use super::assume::EndedRegion;
use super::{Context, Outcome, Scheduler, Task, Verdict, fault, full, name_of};
use crate::error::{ErrorKind, Table};
use crate::event::Raw;
use crate::generation::Tables;
use crate::ids::{GoId, TaskId};
use crate::num;
#[cfg(feature = "std")]
use crate::tables::List;
use crate::tables::NIL;
use crate::tables::Storage;
use crate::wire::{Pieces, Span};

impl<S: Storage> Scheduler<S> {
    /// A task must not begin twice; there is little else to check, since it may have begun before
    /// the trace, and may end more than once.
    pub(super) fn task_begin(
        &mut self,
        context: Context,
        raw: &Raw,
        tables: &Tables<S>,
    ) -> Outcome {
        let [id, parent, name, _] = raw.event.args;
        if self.tasks.find(id).is_some() {
            return fault(ErrorKind::TaskExists, id);
        }
        context.need_all(raw.event.ty)?;
        // Here 0 is no parent, not the background task.
        let parent = TaskId::new(parent).filter(|id| *id != TaskId::BACKGROUND);
        let task = Task {
            name: name_of(name, tables)?,
            parent,
        };
        self.tasks.insert(id, task).map_err(full(Table::Tasks))?;
        Ok(Verdict::Pass)
    }

    pub(super) fn task_end(&mut self, context: Context, raw: &mut Raw) -> Outcome {
        context.need_all(raw.event.ty)?;
        let [id, stack, ..] = raw.event.args;
        let slot = self.tasks.find(id).unwrap_or(NIL);
        let (parent, name) = match self.tasks.get(slot) {
            Some(task) => (task.parent, task.name),
            None => (None, Span::default()),
        };
        self.tasks.remove(slot);
        raw.event.args = [id, stack, TaskId::raw(parent), 0];
        raw.name = name;
        Ok(Verdict::Pass)
    }

    #[inline]
    pub(super) fn region_begin(
        &mut self,
        context: Context,
        raw: &Raw,
        tables: &Tables<S>,
    ) -> Outcome {
        context.need_all(raw.event.ty)?;
        let [task, name, ..] = raw.event.args;
        let name = name_of(name, tables)?;
        let outer = self.running(context)?.region;
        let at = self.add_node(task, name, outer)?;
        #[cfg(feature = "alloc")]
        if let Some(node) = self.nodes.get_mut(num::index(at)) {
            node.stack = u32::try_from(raw.arg(2)).unwrap_or(0);
        }
        self.running(context)?.region = at;
        Ok(Verdict::Pass)
    }

    /// The task and the name of a goroutine's innermost region.
    pub(crate) fn innermost_region(&self, id: GoId) -> Option<(u64, Span)> {
        let goroutine = self.goroutines.get(self.goroutines.find(id.get())?)?;
        let node = self.nodes.get(num::index(goroutine.region))?;
        Some((node.id, node.name))
    }

    /// A region must be the innermost; one that is not open at all began before the trace.
    #[inline]
    pub(super) fn region_end(
        &mut self,
        context: Context,
        raw: &Raw,
        tables: &Tables<S>,
        input: &Pieces<'_>,
    ) -> Outcome {
        context.need_all(raw.event.ty)?;
        let [task, name, ..] = raw.event.args;
        let name = name_of(name, tables)?;
        let goroutine = self.running(context)?;
        let innermost = goroutine.region;
        #[cfg(feature = "std")]
        let carried = goroutine.carried;
        let Some(node) = self.nodes.get(num::index(innermost)) else {
            #[cfg(feature = "std")]
            if carried {
                let go = GoId::raw(context.go);
                let ended = EndedRegion { go, task, name };
                List::push(&mut self.ended_regions, ended).map_err(full(Table::Regions))?;
            }
            return Ok(Verdict::Pass);
        };
        // String ids change from generation to generation: the names themselves decide.
        let same = node.name == name || input.bytes(node.name) == input.bytes(name);
        if node.id != task || !same {
            return fault(ErrorKind::RegionMismatch, GoId::raw(context.go));
        }
        let outer = self.free_node(innermost);
        self.running(context)?.region = outer;
        Ok(Verdict::Pass)
    }
}
