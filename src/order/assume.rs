//! The state of the model at the start of a generation, before the generations ahead of it have been
//! ordered.
//!
//! A generation says of every goroutine and proc what it was doing when the generation began; what it
//! does not say (open tasks, how far the collector is) generations before it do, without having been
//! ordered. From that a state is assumed, and the generation is ordered from it. Once the generation
//! before has been ordered its final state is compared with what was assumed: if they are equal, so is
//! everything that follows from them, for the model does the same whenever it is in the same state.
//!
//! Open regions are the exception: nothing says which there are. A region that ends without having
//! begun passes, as one that began before the trace, and is looked at again when it is known which
//! were open.

use super::{Collector, Epoch, Goroutine, Node, Proc, Scheduler, Sequence, Task, Thread};
use crate::generation::{Lookup, Tables};
use crate::ids::{GoId, ProcId, TaskId, ThreadId};
use crate::num;
use crate::tables::{Full, NIL, Storage};
use crate::wire::{EventType, GoStatus, Pieces, ProcStatus, Span, TimedEvent};
use alloc::vec::Vec;
use std::collections::HashMap;

/// What the events of a generation say of the state at its start, and of that at its end.
#[derive(Default)]
pub(crate) struct Announced {
    goroutines: Vec<(u64, GoStatus)>,
    procs: Vec<(u64, ProcStatus)>,
    /// Threads with a goroutine or a proc: the thread's id comes first.
    running: Vec<(u64, GoId)>,
    holding: Vec<(u64, ProcId)>,
    /// Procs that are stolen, and from which thread.
    stolen: Vec<(u64, u64)>,
    assisting: Vec<u64>,
    sweeping: Vec<u64>,
    /// Tasks that begin, with the ids of their parents and names; all of them that do, and those that
    /// do not end as well.
    beginnings: Vec<(u64, [u64; 2])>,
    begun: Vec<u64>,
    left_open: Vec<(u64, Task)>,
    ended: Vec<u64>,
    /// The event of the garbage collector with the highest sequence number.
    collector: Option<(u64, Collector)>,
}

/// Sorts by id; of two with the same, the one that was found first stays.
fn by_id<T>(list: &mut Vec<(u64, T)>) {
    list.sort_by_key(|entry| entry.0);
    list.dedup_by_key(|entry| entry.0);
}

fn find<T: Copy>(list: &[(u64, T)], id: u64) -> Option<T> {
    let at = list.binary_search_by_key(&id, |entry| entry.0).ok()?;
    list.get(at).map(|entry| entry.1)
}

impl Announced {
    /// The types of events that say anything of the state.
    pub(crate) const TYPES: &[EventType] = &[
        EventType::GO_STATUS,
        EventType::GO_STATUS_STACK,
        EventType::PROC_STATUS,
        EventType::PROC_STEAL,
        EventType::GC_ACTIVE,
        EventType::GC_BEGIN,
        EventType::GC_END,
        EventType::GC_SWEEP_ACTIVE,
        EventType::GC_MARK_ASSIST_ACTIVE,
        EventType::USER_TASK_BEGIN,
        EventType::USER_TASK_END,
    ];

    /// Notes what an event of a thread says, in any order.
    pub(crate) fn see(&mut self, event: &TimedEvent, thread: Option<ThreadId>) {
        let [first, second, third, _] = event.args;
        let mut collector = |state| {
            if self.collector.is_none_or(|(number, _)| number <= first) {
                self.collector = Some((first, state));
            }
        };
        match event.ty {
            EventType::GO_STATUS | EventType::GO_STATUS_STACK => {
                let status = GoStatus(num::low_byte(third));
                self.goroutines.push((first, status));
                let runs_on = match status {
                    GoStatus::RUNNING => thread,
                    GoStatus::SYSCALL => ThreadId::new(second),
                    _ => None,
                };
                if let (Some(thread), Some(go)) = (runs_on, GoId::new(first)) {
                    self.running.push((thread.get(), go));
                }
            }
            EventType::PROC_STATUS => {
                let status = ProcStatus(num::low_byte(second));
                self.procs.push((first, status));
                if let (Some(thread), Some(proc)) = (thread, ProcId::new(first))
                    && matches!(status, ProcStatus::RUNNING | ProcStatus::SYSCALL)
                {
                    self.holding.push((thread.get(), proc));
                }
            }
            EventType::PROC_STEAL => self.stolen.push((first, third)),
            EventType::GC_ACTIVE | EventType::GC_BEGIN => collector(Collector::Running),
            EventType::GC_END => collector(Collector::Idle),
            EventType::GC_SWEEP_ACTIVE => self.sweeping.push(first),
            EventType::GC_MARK_ASSIST_ACTIVE => self.assisting.push(first),
            EventType::USER_TASK_BEGIN => self.beginnings.push((first, [second, third])),
            EventType::USER_TASK_END => self.ended.push(first),
            _ => {}
        }
    }

    /// Everything was seen.
    pub(crate) fn finish<S: Storage>(&mut self, tables: &Tables<S>) {
        by_id(&mut self.stolen);
        by_id(&mut self.goroutines);
        by_id(&mut self.procs);
        for (proc, status) in &self.procs {
            if *status == ProcStatus::SYSCALL_ABANDONED
                && let Some(victim) = find(&self.stolen, *proc)
                && let Some(proc) = ProcId::new(*proc)
            {
                self.holding.push((victim, proc));
            }
        }
        by_id(&mut self.running);
        by_id(&mut self.holding);
        for ids in [&mut self.assisting, &mut self.sweeping, &mut self.ended] {
            ids.sort_unstable();
            ids.dedup();
        }
        for (id, [parent, name]) in core::mem::take(&mut self.beginnings) {
            self.begun.push(id);
            if self.ended.binary_search(&id).is_err() {
                let task = Task {
                    name: tables.string(name).unwrap_or_default(),
                    parent: TaskId::new(parent).filter(|id| *id != TaskId::BACKGROUND),
                };
                self.left_open.push((id, task));
            }
        }
    }
}

/// What the generations before one leave, as far as it can be known without ordering them.
pub(crate) struct Before {
    tasks: HashMap<u64, Task>,
    gc_sequence: u64,
    gc: Collector,
}

impl Before {
    /// Before the first generation.
    pub(crate) fn new() -> Before {
        Before {
            tasks: HashMap::new(),
            gc_sequence: 0,
            gc: Collector::Undetermined,
        }
    }

    /// What is assumed of the generation that comes next.
    pub(crate) fn assumption(&self, announced: &Announced) -> Assumption {
        let task = |id: &u64| (*id, self.tasks.get(id).copied());
        Assumption {
            tasks: announced.ended.iter().map(task).collect(),
            gc_sequence: self.gc_sequence,
            gc: self.gc,
        }
    }

    /// A generation is over.
    pub(crate) fn pass(&mut self, announced: &Announced) {
        self.tasks.extend(announced.left_open.iter().copied());
        for id in &announced.ended {
            self.tasks.remove(id);
        }
        if let Some((sequence, state)) = announced.collector {
            (self.gc_sequence, self.gc) = (sequence, state);
        }
    }
}

/// What is assumed of the start of a generation besides what that says itself.
pub(crate) struct Assumption {
    /// The tasks that it ends: whether they were open.
    tasks: Vec<(u64, Option<Task>)>,
    gc_sequence: u64,
    gc: Collector,
}

/// A region ended that had not begun: it must have been the innermost of those that were open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndedRegion {
    pub(super) go: u64,
    pub(super) task: u64,
    pub(super) name: Span,
}

impl<S: Storage> Scheduler<S> {
    /// Puts the model, in which there are only threads so far, into the state that is assumed.
    pub(crate) fn assume(
        &mut self,
        announced: &Announced,
        assumption: &Assumption,
    ) -> Result<(), Full> {
        for (id, status) in &announced.goroutines {
            let goroutine = Goroutine {
                assists: announced.assisting.binary_search(id).is_ok(),
                carried: true,
                ..Goroutine::new(*status, NO_EPOCH)
            };
            self.goroutines.insert(*id, goroutine)?;
        }
        for (id, status) in &announced.procs {
            let abandoned = *status == ProcStatus::SYSCALL_ABANDONED;
            let owner = find(&announced.stolen, *id).filter(|_| abandoned);
            let owner = match owner.and_then(ThreadId::new) {
                Some(thread) => self.thread_slot(thread)?,
                None => NIL,
            };
            let proc = Proc {
                sequence: Sequence::default(),
                status: before_status(*status),
                sweeps: announced.sweeping.binary_search(id).is_ok(),
                owner,
            };
            self.procs.insert(*id, proc)?;
        }
        for (id, go) in &announced.running {
            let Some(thread) = ThreadId::new(*id) else {
                continue;
            };
            let slot = self.thread_slot(thread)?;
            let go_slot = self.goroutines.find(go.get()).unwrap_or(NIL);
            if let Some(thread) = self.threads.get_mut(slot) {
                thread.seen = true;
                thread.bind_go(*go, go_slot);
            }
        }
        for (id, proc) in &announced.holding {
            let Some(thread) = ThreadId::new(*id) else {
                continue;
            };
            let slot = self.thread_slot(thread)?;
            let proc_slot = self.procs.find(proc.get()).unwrap_or(NIL);
            if let Some(thread) = self.threads.get_mut(slot) {
                thread.seen = true;
                (thread.proc, thread.proc_slot) = (Some(*proc), proc_slot);
            }
            if let Some(proc) = self.procs.get_mut(proc_slot) {
                proc.owner = slot;
            }
        }
        for (id, task) in &assumption.tasks {
            if let Some(task) = task {
                self.tasks.insert(*id, *task)?;
            }
        }
        (self.gc_sequence, self.gc) = (assumption.gc_sequence, assumption.gc);
        Ok(())
    }

    /// Whether this is the state that was assumed.
    pub(crate) fn is_as_assumed(&self, announced: &Announced, assumption: &Assumption) -> bool {
        if (self.gc_sequence, self.gc) != (assumption.gc_sequence, assumption.gc) {
            return false;
        }
        let assists = |id| announced.assisting.binary_search(&id).is_ok();
        let sweeps = |id| announced.sweeping.binary_search(&id).is_ok();
        let mut goroutines = 0usize;
        for (id, goroutine) in self.goroutines.entries() {
            goroutines = goroutines.wrapping_add(1);
            if find(&announced.goroutines, id) != Some(goroutine.status)
                || goroutine.assists != assists(id)
                || goroutine.range != NIL
            {
                return false;
            }
        }
        let mut procs = 0usize;
        for (id, proc) in self.procs.entries() {
            // One of which nothing is said is not used any more.
            let Some(status) = find(&announced.procs, id) else {
                continue;
            };
            procs = procs.wrapping_add(1);
            let victim = find(&announced.stolen, id);
            let owner = status != ProcStatus::SYSCALL_ABANDONED
                || victim.is_some() && victim == self.threads.id(proc.owner);
            if proc.status != before_status(status) || proc.sweeps != sweeps(id) || !owner {
                return false;
            }
        }
        let mut bound = [0usize; 2];
        for (id, thread) in self.threads.entries() {
            let (go, proc) = (find(&announced.running, id), find(&announced.holding, id));
            if (thread.go, thread.proc) != (go, proc) {
                return false;
            }
            let [with_go, with_proc] = bound;
            bound = [
                with_go.wrapping_add(usize::from(go.is_some())),
                with_proc.wrapping_add(usize::from(proc.is_some())),
            ];
        }
        let open = |id| {
            let task = self.tasks.find(id).and_then(|slot| self.tasks.get(slot));
            task.map(|task| (task.name, task.parent))
        };
        let as_assumed = |(id, task): &(u64, Option<Task>)| {
            open(*id) == task.map(|task| (task.name, task.parent))
        };
        goroutines == announced.goroutines.len()
            && procs == announced.procs.len()
            && bound == [announced.running.len(), announced.holding.len()]
            && assumption.tasks.iter().all(as_assumed)
            && announced.begun.iter().all(|id| open(*id).is_none())
    }

    /// Adds to the final state of a generation, which was ordered from an assumed one, what the state
    /// before has besides: the model is then as if it had been ordered from that. Says whether the
    /// regions that ended were open; if not, the generation is to be ordered again.
    pub(crate) fn carry(
        &mut self,
        before: &Scheduler<S>,
        announced: &Announced,
        input: &Pieces<'_>,
    ) -> Result<bool, Full> {
        // Where each goroutine is in its list of regions.
        let mut left: HashMap<u64, u32> = HashMap::new();
        for (id, goroutine) in before.goroutines.entries() {
            if goroutine.region != NIL {
                left.insert(id, goroutine.region);
            }
        }
        for ended in core::mem::take(&mut self.ended_regions) {
            // One that was not open began before the trace.
            let Some(at) = left.get_mut(&ended.go) else {
                continue;
            };
            let Some(node) = before.nodes.get(num::index(*at)) else {
                continue;
            };
            let same = node.name == ended.name || input.bytes(node.name) == input.bytes(ended.name);
            if node.id != ended.task || !same {
                return Ok(false);
            }
            *at = node.next;
        }
        for (id, at) in left {
            self.add_outer_regions(id, &before.nodes, at)?;
        }
        for goroutine in self.goroutines.values_mut() {
            goroutine.carried = false;
        }
        for (id, proc) in before.procs.entries() {
            if self.procs.find(id).is_none() {
                self.procs.insert(id, *proc)?;
            }
        }
        for (id, thread) in before.threads.entries() {
            match self.threads.find(id) {
                Some(slot) => {
                    if let Some(known) = self.threads.get_mut(slot) {
                        known.seen |= thread.seen;
                    }
                }
                None => {
                    let seen = thread.seen;
                    self.threads.insert(
                        id,
                        Thread {
                            seen,
                            ..Thread::NEW
                        },
                    )?;
                }
            }
        }
        for (id, task) in before.tasks.entries() {
            if announced.ended.binary_search(&id).is_err() && self.tasks.find(id).is_none() {
                self.tasks.insert(id, *task)?;
            }
        }
        Ok(true)
    }

    /// Adds the regions of another model from a node on to those of a goroutine, around the outermost.
    fn add_outer_regions(
        &mut self,
        id: u64,
        nodes: &S::Regions<Node>,
        mut at: u32,
    ) -> Result<(), Full> {
        let slot = self.goroutines.find(id).unwrap_or(NIL);
        let Some(innermost) = self.goroutines.get(slot).filter(|go| go.carried) else {
            return Ok(());
        };
        let mut tail = innermost.region;
        while let Some(node) = self.nodes.get(num::index(tail)).filter(|n| n.next != NIL) {
            tail = node.next;
        }
        while let Some(node) = nodes.get(num::index(at)) {
            let new = self
                .add_node(node.id, node.name, NIL)
                .map_err(|fault| Full {
                    capacity: fault.value,
                })?;
            if let Some(outermost) = self.nodes.get_mut(num::index(tail)) {
                outermost.next = new;
            } else if let Some(goroutine) = self.goroutines.get_mut(slot) {
                goroutine.region = new;
            }
            (tail, at) = (new, node.next);
        }
        Ok(())
    }
}

/// No sequence number is known: each is announced before it is asked for.
const NO_EPOCH: Epoch = Epoch {
    generation: 0,
    first: false,
};

/// The status of a proc before an event that says it is this.
fn before_status(status: ProcStatus) -> ProcStatus {
    match status {
        ProcStatus::SYSCALL_ABANDONED => ProcStatus::SYSCALL,
        status => status,
    }
}
