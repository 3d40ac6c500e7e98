//! The order: a model of Go's scheduler that decides which thread's event may come next.
//!
//! Timestamps are taken on different cores and can lie. What cannot lie are the sequence numbers
//! that every goroutine and proc counts in a generation, and the rules by which goroutines, procs
//! and threads change their states. The model holds those states. An event that does not fit yet
//! waits; one that can never fit is an error.
//!
//! Mirrors `internal/trace/order.go`: what passes, what waits and what is refused here is what
//! passes, waits and is refused there, but for the differences in `src/docs/differences.md`.

mod annotations;
#[cfg(feature = "std")]
mod assume;
#[cfg(feature = "alloc")]
mod causes;
mod goroutines;
mod procs;
mod ranges;
mod waits;

#[cfg(feature = "std")]
pub(crate) use assume::{Announced, Assumption, Before};
#[cfg(feature = "alloc")]
pub(crate) use causes::{Cause, Made, Misnested, OpenRegion};
pub(crate) use waits::Key;
#[cfg(all(test, feature = "alloc"))]
pub(crate) use waits::What;

use crate::error::{ErrorKind, Table};
use crate::event::Raw;
use crate::generation::{Lookup, Tables};
use crate::ids::{GoId, ProcId, TaskId, ThreadId};
use crate::num;
use crate::tables::{Full, List, Storage};
use crate::tables::{IdTable, NIL, Slot};
use crate::wire::{EventType, GoStatus, ProcStatus, Role};
use crate::wire::{Pieces, Span};

/// The most stop-the-world ranges open in one goroutine.
pub(crate) const MAX_RANGES: u32 = 64;

/// What is wrong with an event; the reader knows where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: ErrorKind,
    pub(crate) value: u64,
}

#[cold]
pub(crate) const fn fault<T>(kind: ErrorKind, value: u64) -> Result<T, Fault> {
    Err(Fault { kind, value })
}

fn full(table: Table) -> impl Fn(Full) -> Fault {
    move |full| Fault {
        kind: ErrorKind::TableFull(table),
        value: full.capacity,
    }
}

/// Whether an event came next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It did: the state has changed, and events are ready.
    Pass,
    /// Not yet: nothing has changed.
    Wait,
}

/// Takes the events that a record gives after its own, in order: at most two.
pub(crate) trait Further {
    fn push(&mut self, raw: Raw);
}

type Outcome = Result<Verdict, Fault>;

/// A sequence number, which counts within a generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sequence {
    generation: u64,
    number: u64,
}

impl Sequence {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    const fn is_followed_by(self, next: Sequence) -> bool {
        self.generation == next.generation && self.number.wrapping_add(1) == next.number
    }
}

/// A goroutine.
#[derive(Clone, Copy, Debug)]
struct Goroutine {
    sequence: Sequence,
    status: GoStatus,
    /// It assists the garbage collector.
    assists: bool,
    /// The innermost open region, and the stop-the-world range opened last, as nodes.
    region: u32,
    range: u32,
    /// It is assumed to have existed before the generation, with open regions that are not known.
    #[cfg(feature = "std")]
    carried: bool,
    /// The thread on which it ran last, by slot.
    thread: u32,
}

/// A proc.
#[derive(Clone, Copy, Debug)]
struct Proc {
    sequence: Sequence,
    status: ProcStatus,
    sweeps: bool,
    /// The thread that took it last, by slot.
    owner: u32,
}

/// A thread, and what is bound to it. Slots spare looking ids up; a goroutine's slot may have been
/// given to another since, so that its id must match.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread {
    /// It had an event; until then only batches mention it.
    seen: bool,
    go: Option<GoId>,
    proc: Option<ProcId>,
    go_slot: u32,
    proc_slot: u32,
}

impl Thread {
    const NEW: Thread = Thread {
        seen: false,
        go: None,
        proc: None,
        go_slot: NIL,
        proc_slot: NIL,
    };

    fn bind_go(&mut self, id: GoId, slot: u32) {
        self.go = Some(id);
        self.go_slot = slot;
    }
}

/// An open task.
#[derive(Clone, Copy, Debug)]
struct Task {
    name: Span,
    parent: Option<TaskId>,
}

/// An open region or stop-the-world range of a goroutine, in a list.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// The region's task, or the string id of the range's reason.
    id: u64,
    name: Span,
    next: u32,
    /// The stack on which a region began, of the generation being read; 0 if that is not known. Ids that
    /// do not fit are not kept: Go counts stacks.
    #[cfg(feature = "alloc")]
    stack: u32,
}

/// What is known of the garbage collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Collector {
    Undetermined,
    Idle,
    Running,
}

/// The context of the event being looked at: the thread's state before it.
#[derive(Clone, Copy, Debug)]
struct Context {
    thread: Option<ThreadId>,
    thread_slot: u32,
    go: Option<GoId>,
    go_slot: u32,
    proc: Option<ProcId>,
    proc_slot: u32,
}

/// Which generation an event is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch {
    pub(crate) generation: u64,
    /// The first one read: states are learned rather than checked.
    pub(crate) first: bool,
}

/// The model of the scheduler, for all generations of a trace.
pub(crate) struct Scheduler<S: Storage> {
    goroutines: IdTable<Goroutine, S::Goroutines<Slot<Goroutine>>, S::Goroutines<u32>>,
    procs: IdTable<Proc, S::Procs<Slot<Proc>>, S::Procs<u32>>,
    threads: IdTable<Thread, S::Threads<Slot<Thread>>, S::Threads<u32>>,
    tasks: IdTable<Task, S::Tasks<Slot<Task>>, S::Tasks<u32>>,
    nodes: S::Regions<Node>,
    free_node: u32,
    gc_sequence: u64,
    gc: Collector,
    /// Something was missing or contradicted before: what is known may be wrong.
    #[cfg(feature = "alloc")]
    pub(crate) damaged: bool,
    /// The slot of the goroutine that stopped the world last.
    #[cfg(feature = "alloc")]
    stopper: u32,
    /// The regions that ended without having begun, where goroutines are carried over.
    #[cfg(feature = "std")]
    ended_regions: alloc::vec::Vec<assume::EndedRegion>,
}

impl<S: Storage> Scheduler<S> {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Scheduler {
            goroutines: IdTable::new(),
            procs: IdTable::new(),
            threads: IdTable::new(),
            tasks: IdTable::new(),
            nodes: List::EMPTY,
            free_node: NIL,
            gc_sequence: 0,
            gc: Collector::Undetermined,
            #[cfg(feature = "alloc")]
            damaged: false,
            #[cfg(feature = "alloc")]
            stopper: NIL,
            #[cfg(feature = "std")]
            ended_regions: alloc::vec::Vec::new(),
        }
    }

    /// A model in the same state.
    #[cfg(feature = "alloc")]
    pub(crate) fn copied(&self) -> Result<Self, Full> {
        Ok(Scheduler {
            goroutines: self.goroutines.copied()?,
            procs: self.procs.copied()?,
            threads: self.threads.copied()?,
            tasks: self.tasks.copied()?,
            nodes: crate::tables::copied(&self.nodes)?,
            free_node: self.free_node,
            gc_sequence: self.gc_sequence,
            gc: self.gc,
            damaged: self.damaged,
            stopper: self.stopper,
            #[cfg(feature = "std")]
            ended_regions: self.ended_regions.clone(),
        })
    }

    /// The slot of a thread, which is new unless batches or events mentioned it.
    pub(crate) fn thread_slot(&mut self, id: ThreadId) -> Result<u32, Full> {
        match self.threads.find(id.get()) {
            Some(slot) => Ok(slot),
            None => self.threads.insert(id.get(), Thread::NEW),
        }
    }

    /// The most entries that each table had at a time: threads, procs, goroutines, regions and tasks.
    pub(crate) fn peaks(&self) -> [usize; 5] {
        [
            self.threads.slots(),
            self.procs.slots(),
            self.goroutines.slots(),
            self.nodes.len(),
            self.tasks.slots(),
        ]
    }

    /// How much [`move_names`](Self::move_names) looks at.
    #[cfg(feature = "std")]
    pub(crate) fn names_to_visit(&self) -> usize {
        let open = self.nodes.len().saturating_add(self.tasks.slots());
        open.saturating_add(self.goroutines.slots())
    }

    /// Forgets where strings of earlier inputs stand: every open name is moved to where `move_to`
    /// says it stands now.
    #[cfg(feature = "alloc")]
    pub(crate) fn move_names(&mut self, mut move_to: impl FnMut(Span) -> Span) {
        for task in self.tasks.values_mut() {
            task.name = move_to(task.name);
        }
        let mut heads = alloc::vec::Vec::new();
        for goroutine in self.goroutines.values_mut() {
            heads.extend(
                [goroutine.region, goroutine.range]
                    .into_iter()
                    .filter(|n| *n != NIL),
            );
        }
        for head in heads {
            let mut at = head;
            while let Some(node) = self.nodes.get_mut(num::index(at)) {
                node.name = move_to(node.name);
                at = node.next;
            }
        }
    }

    /// Forgets where regions began: stacks have other ids in the next generation.
    #[cfg(feature = "alloc")]
    pub(crate) fn forget_stacks(&mut self) {
        for node in self.nodes.iter_mut() {
            node.stack = 0;
        }
    }

    /// Asks whether the record in `raw` may come next: one of the thread in this slot, or of none.
    /// If it does, `raw` is its event, with its context, and further events are in `further`. Whether the
    /// strings and stacks exist that it names is looked at if `IDS` is set, and contradictions that the model
    /// finds too late, or not at all, if `DOUBT` is.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn advance<const IDS: bool, const DOUBT: bool>(
        &mut self,
        raw: &mut Raw,
        thread_slot: u32,
        tables: &Tables<S>,
        input: &Pieces<'_>,
        epoch: Epoch,
        further: &mut impl Further,
    ) -> Outcome {
        let mut context = Context {
            thread: raw.thread,
            thread_slot,
            go: None,
            go_slot: NIL,
            proc: None,
            proc_slot: NIL,
        };
        if let Some(thread) = self.threads.get_mut(thread_slot) {
            thread.seen = true;
            context.go = thread.go;
            context.go_slot = thread.go_slot;
            context.proc = thread.proc;
            context.proc_slot = thread.proc_slot;
        }
        raw.proc = context.proc;
        raw.go = context.go;
        let ty = raw.event.ty;
        // One arm a type: what an event names is checked by code that knows which arguments those
        // are, once the event may pass.
        macro_rules! step {
            ($ty:ident, $outcome:expr) => {{
                if $outcome? == Verdict::Wait {
                    return Ok(Verdict::Wait);
                }
                if IDS {
                    check_ids(const { ids_of(EventType::$ty) }, raw, tables)?;
                }
            }};
        }
        macro_rules! doubt {
            () => {
                #[cfg(feature = "alloc")]
                if DOUBT && self.look_ahead(raw, thread_slot)? == Verdict::Wait {
                    return Ok(Verdict::Wait);
                }
            };
        }
        match ty {
            EventType::GO_START => step!(GO_START, self.go_start(context, raw, epoch)),
            EventType::GO_STOP => {
                step!(GO_STOP, self.go_stop(context, ty, GoStatus::RUNNABLE));
            }
            EventType::GO_BLOCK => {
                step!(GO_BLOCK, self.go_stop(context, ty, GoStatus::WAITING));
            }
            EventType::GO_UNBLOCK => step!(GO_UNBLOCK, self.go_unblock(raw, epoch)),
            EventType::GO_CREATE => {
                step!(
                    GO_CREATE,
                    self.go_create(context, raw, GoStatus::RUNNABLE, epoch)
                );
            }
            EventType::GO_DESTROY => step!(GO_DESTROY, self.go_destroy(context, ty)),
            EventType::GO_SYSCALL_BEGIN => {
                step!(GO_SYSCALL_BEGIN, self.go_syscall_begin(context, raw, epoch));
            }
            EventType::GO_SYSCALL_END => step!(GO_SYSCALL_END, self.go_syscall_end(context, ty)),
            EventType::USER_REGION_BEGIN => {
                step!(USER_REGION_BEGIN, self.region_begin(context, raw, tables));
            }
            EventType::USER_REGION_END => {
                step!(
                    USER_REGION_END,
                    self.region_end(context, raw, tables, input)
                );
            }
            EventType::HEAP_ALLOC | EventType::HEAP_GOAL => {
                context.need_thread(ty)?;
                context.need_proc(ty)?;
            }
            EventType::USER_LOG => step!(USER_LOG, context.need_all(ty)),
            EventType::USER_TASK_BEGIN => {
                step!(USER_TASK_BEGIN, self.task_begin(context, raw, tables));
            }
            EventType::USER_TASK_END => step!(USER_TASK_END, self.task_end(context, raw)),
            EventType::PROC_START => step!(PROC_START, self.proc_start(context, raw, epoch)),
            EventType::PROC_STOP => step!(PROC_STOP, self.proc_stop(context)),
            EventType::PROC_STEAL => {
                doubt!();
                step!(PROC_STEAL, self.proc_steal(context, raw, epoch));
            }
            EventType::PROC_STATUS => {
                doubt!();
                step!(PROC_STATUS, self.proc_status(context, raw, epoch));
            }
            EventType::GO_STATUS => {
                doubt!();
                step!(GO_STATUS, self.go_status(context, raw, epoch));
            }
            EventType::GO_STATUS_STACK => {
                doubt!();
                step!(GO_STATUS_STACK, self.go_status(context, raw, epoch));
            }
            EventType::GO_SYSCALL_END_BLOCKED => {
                step!(
                    GO_SYSCALL_END_BLOCKED,
                    self.go_syscall_end_blocked(context, ty)
                );
            }
            EventType::GO_CREATE_BLOCKED => {
                step!(
                    GO_CREATE_BLOCKED,
                    self.go_create(context, raw, GoStatus::WAITING, epoch)
                );
            }
            EventType::GO_CREATE_SYSCALL => {
                step!(
                    GO_CREATE_SYSCALL,
                    self.go_create_syscall(context, raw, epoch)
                );
            }
            EventType::GO_DESTROY_SYSCALL => {
                doubt!();
                step!(
                    GO_DESTROY_SYSCALL,
                    self.go_destroy_syscall(context, raw, further)
                );
            }
            EventType::GO_SWITCH | EventType::GO_SWITCH_DESTROY => {
                step!(GO_SWITCH, self.go_switch(context, raw, epoch, further));
            }
            EventType::GC_ACTIVE => step!(GC_ACTIVE, self.gc_active(context, raw, epoch)),
            EventType::GC_BEGIN => step!(GC_BEGIN, self.gc_begin(context, raw)),
            EventType::GC_END => step!(GC_END, self.gc_end(context, raw)),
            EventType::GC_SWEEP_BEGIN => step!(GC_SWEEP_BEGIN, self.sweep(context, ty)),
            EventType::GC_SWEEP_END => step!(GC_SWEEP_END, self.sweep(context, ty)),
            EventType::GC_SWEEP_ACTIVE => step!(GC_SWEEP_ACTIVE, self.sweep_active(raw, epoch)),
            EventType::GC_MARK_ASSIST_BEGIN => {
                step!(GC_MARK_ASSIST_BEGIN, self.assist(context, ty));
            }
            EventType::GC_MARK_ASSIST_END => step!(GC_MARK_ASSIST_END, self.assist(context, ty)),
            EventType::GC_MARK_ASSIST_ACTIVE => {
                step!(GC_MARK_ASSIST_ACTIVE, self.assist_active(raw, epoch));
            }
            EventType::STW_BEGIN => {
                doubt!();
                step!(STW_BEGIN, self.stw_begin(context, raw, tables));
            }
            EventType::STW_END => step!(STW_END, self.stw_end(context, raw)),
            EventType::PROCS_CHANGE => step!(PROCS_CHANGE, context.need_all(ty)),
            EventType::GO_LABEL => step!(GO_LABEL, context.need_all(ty)),
            // The experiments known name neither strings nor stacks.
            EventType(128..) => context.need_thread(ty)?,
            other => return fault(ErrorKind::UnknownEvent, u64::from(other.0)),
        }
        Ok(Verdict::Pass)
    }

    /// The goroutine that a context runs: by its slot, unless that is another's by now.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn running(&mut self, context: Context) -> Result<&mut Goroutine, Fault> {
        let id = GoId::raw(context.go);
        let slot = self.goroutines.slot_of(id, context.go_slot);
        self.goroutines.get_mut(slot).ok_or(Fault {
            kind: ErrorKind::UnknownGoroutine,
            value: id,
        })
    }

    /// The goroutine that a context runs, which must have this status.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn running_as(&mut self, context: Context, status: GoStatus) -> Result<&mut Goroutine, Fault> {
        let id = GoId::raw(context.go);
        let goroutine = self.running(context)?;
        if goroutine.status != status {
            return fault(ErrorKind::GoStateMismatch, id);
        }
        Ok(goroutine)
    }

    fn proc_of(&mut self, context: Context) -> Result<&mut Proc, Fault> {
        let value = ProcId::raw(context.proc);
        self.procs.get_mut(context.proc_slot).ok_or(Fault {
            kind: ErrorKind::UnknownProc,
            value,
        })
    }

    fn thread_of(&mut self, context: Context) -> Option<&mut Thread> {
        self.threads.get_mut(context.thread_slot)
    }

    /// Adds a node before `next`, and says where it is.
    fn add_node(&mut self, id: u64, name: Span, next: u32) -> Result<u32, Fault> {
        let node = Node {
            id,
            name,
            next,
            #[cfg(feature = "alloc")]
            stack: 0,
        };
        if let Some(free) = self.nodes.get_mut(num::index(self.free_node)) {
            let at = core::mem::replace(&mut self.free_node, free.next);
            *free = node;
            return Ok(at);
        }
        let at = num::slot(self.nodes.len());
        self.nodes.push(node).map_err(full(Table::Regions))?;
        Ok(at)
    }

    /// Frees a node, and says which one it led to.
    fn free_node(&mut self, at: u32) -> u32 {
        let free = self.free_node;
        let Some(node) = self.nodes.get_mut(num::index(at)) else {
            return NIL;
        };
        self.free_node = at;
        core::mem::replace(&mut node.next, free)
    }

    /// Frees a list of nodes.
    fn free_nodes(&mut self, mut at: u32) {
        while at != NIL {
            at = self.free_node(at);
        }
    }
}

impl Context {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    const fn need_thread(&self, ty: EventType) -> Result<(), Fault> {
        match self.thread {
            Some(_) => Ok(()),
            None => fault(ErrorKind::NeedsThread, ty.number()),
        }
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    const fn need_proc(&self, ty: EventType) -> Result<(), Fault> {
        match self.proc {
            Some(_) => Ok(()),
            None => fault(ErrorKind::NeedsProc, ty.number()),
        }
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    const fn need_go(&self, ty: EventType) -> Result<(), Fault> {
        match self.go {
            Some(_) => Ok(()),
            None => fault(ErrorKind::NeedsGoroutine, ty.number()),
        }
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    const fn need_no_go(&self, ty: EventType) -> Result<(), Fault> {
        match self.go {
            None => Ok(()),
            Some(_) => fault(ErrorKind::HasGoroutine, ty.number()),
        }
    }

    /// A thread with a proc and a goroutine: what user code needs to run. All that some events
    /// need.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn need_all(&self, ty: EventType) -> Outcome {
        self.need_thread(ty)?;
        self.need_proc(ty)?;
        self.need_go(ty)?;
        Ok(Verdict::Pass)
    }
}

impl EventType {
    const fn number(self) -> u64 {
        num::wide(num::index(num::byte(self.0)))
    }
}

/// Which arguments of an event type are strings (the low four bits) and stacks (the high four).
const fn ids_of(ty: EventType) -> u8 {
    let mut ids = 0u8;
    let Some(spec) = ty.spec() else { return ids };
    // The time difference is not among an event's arguments.
    let Some((_, mut args)) = spec.args.split_first() else {
        return ids;
    };
    let mut bit: u8 = 1;
    while let Some((arg, others)) = args.split_first() {
        match arg.role {
            Role::String => ids |= bit,
            Role::Stack | Role::NewStack => ids |= bit.wrapping_shl(4),
            _ => {}
        }
        bit = bit.wrapping_shl(1);
        args = others;
    }
    ids
}

/// Checks that the strings and stacks exist that an event names, by the bits of [`ids_of`].
#[cfg_attr(target_pointer_width = "64", inline(always))]
fn check_ids<S: Storage>(ids: u8, raw: &Raw, tables: &Tables<S>) -> Result<(), Fault> {
    let [a, b, c, d] = raw.event.args;
    macro_rules! check {
        ($($arg:ident $string:literal $stack:literal;)*) => {$(
            if ids & $stack != 0 && !tables.has_stack($arg) {
                return fault(ErrorKind::UnknownStack, $arg);
            }
            if ids & $string != 0 && !tables.has_string($arg) {
                return fault(ErrorKind::UnknownString, $arg);
            }
        )*};
    }
    check! {
        a 0x01 0x10;
        b 0x02 0x20;
        c 0x04 0x40;
        d 0x08 0x80;
    }
    Ok(())
}

/// The bits of [`ids_of`] by type.
#[cfg(feature = "alloc")]
const IDS: [u8; 256] = {
    let mut ids = [0; 256];
    let mut rest: &mut [u8] = &mut ids;
    let mut ty = 0u8;
    while let Some((first, others)) = rest.split_first_mut() {
        *first = ids_of(EventType(ty));
        ty = ty.wrapping_add(1);
        rest = others;
    }
    ids
};

/// Gives the strings and the stacks that an event names.
#[cfg(feature = "alloc")]
pub(crate) fn named_by(
    event: &crate::wire::TimedEvent,
    mut string: impl FnMut(u64),
    mut stack: impl FnMut(u64),
) {
    let mut ids = IDS.get(usize::from(event.ty.0)).copied().unwrap_or(0);
    for arg in event.args {
        if ids & 1 != 0 {
            string(arg);
        }
        if ids & 0x10 != 0 {
            stack(arg);
        }
        ids = ids.wrapping_shr(1) & 0x77;
    }
}

/// Where a string of the current generation stands.
fn name_of<S: Storage>(id: u64, tables: &Tables<S>) -> Result<Span, Fault> {
    tables.string(id).ok_or(Fault {
        kind: ErrorKind::UnknownString,
        value: id,
    })
}
