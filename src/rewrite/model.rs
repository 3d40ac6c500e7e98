//! What the trace being written says so far of goroutines, procs and threads; and the events that are
//! made up so that the next one can follow.

use super::output::Events;
use super::writer::Writer;
use crate::ids::ThreadId;
use crate::tables::{IdTable, NIL, Slot};
use crate::wire::{EventType, GoStatus, ProcStatus};
use alloc::boxed::Box;
use alloc::vec::Vec;

pub(super) type Table<T> = IdTable<T, Vec<Slot<T>>, Vec<u32>>;

/// A region that is open.
pub(super) struct Region {
    pub(super) task: u64,
    pub(super) name: Box<[u8]>,
}

/// A goroutine that exists.
pub(super) struct Goroutine {
    pub(super) status: GoStatus,
    /// The thread, by slot, on which it runs or is in a system call.
    pub(super) thread: u32,
    /// The generation in which its status was written last, and the last sequence number there.
    pub(super) generation: u64,
    pub(super) sequence: u64,
    pub(super) assists: bool,
    /// It waits since it was created, and the version has no event for that: it is written as runnable.
    pub(super) waits: bool,
    /// The innermost last.
    pub(super) regions: Vec<Region>,
    /// The string ids of the reasons for which it stopped the world.
    pub(super) ranges: Vec<u64>,
}

impl Goroutine {
    pub(super) const fn new(status: GoStatus, generation: u64) -> Goroutine {
        Goroutine {
            status,
            thread: NIL,
            generation,
            sequence: 0,
            assists: false,
            waits: false,
            regions: Vec::new(),
            ranges: Vec::new(),
        }
    }
}

/// A proc.
pub(super) struct Proc {
    pub(super) status: ProcStatus,
    pub(super) thread: u32,
    pub(super) generation: u64,
    pub(super) sequence: u64,
    pub(super) sweeps: bool,
}

/// A thread, with what runs on it by slot.
pub(super) struct Thread {
    pub(super) id: Option<ThreadId>,
    pub(super) go: u32,
    pub(super) proc: u32,
    pub(super) events: Events,
}

/// What is known of the garbage collector.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Collector {
    Undetermined,
    Idle,
    Running,
}

/// The model.
pub(super) struct Model {
    pub(super) goroutines: Table<Goroutine>,
    pub(super) procs: Table<Proc>,
    pub(super) threads: Table<Thread>,
    pub(super) tasks: Table<()>,
    pub(super) gc: Collector,
    pub(super) gc_sequence: u64,
    /// Procs that were made up, by slot, and the next id to try.
    lent: Vec<u32>,
    next_lent: u64,
    /// The thread that was made up.
    spare: u32,
}

/// The first ids tried for what is made up.
const SPARE_THREAD: u64 = 1 << 31;
const LENT_PROC: u64 = 1000;

impl Model {
    pub(super) const fn new() -> Model {
        Model {
            goroutines: Table::new(),
            procs: Table::new(),
            threads: Table::new(),
            tasks: Table::new(),
            gc: Collector::Undetermined,
            gc_sequence: 0,
            lent: Vec::new(),
            next_lent: LENT_PROC,
            spare: NIL,
        }
    }

    /// The slot of a thread, or of none, which is one like others on which nothing runs.
    pub(super) fn thread(&mut self, id: Option<ThreadId>) -> u32 {
        let raw = ThreadId::raw(id);
        match self.threads.find(raw) {
            Some(slot) => slot,
            None => insert(
                &mut self.threads,
                raw,
                Thread {
                    id,
                    go: NIL,
                    proc: NIL,
                    events: Events::default(),
                },
            ),
        }
    }

    /// What runs on a thread, and its proc: by slot.
    #[inline(always)]
    pub(super) fn on(&self, thread: u32) -> (u32, u32) {
        self.threads
            .get(thread)
            .map_or((NIL, NIL), |thread| (thread.go, thread.proc))
    }

    #[inline(always)]
    pub(super) fn set_go(&mut self, thread: u32, go: u32) {
        if let Some(thread) = self.threads.get_mut(thread) {
            thread.go = go;
        }
    }

    #[inline(always)]
    pub(super) fn set_proc(&mut self, thread: u32, proc: u32) {
        if let Some(thread) = self.threads.get_mut(thread) {
            thread.proc = proc;
        }
    }

    /// A goroutine's status and thread.
    #[inline(always)]
    pub(super) fn go(&self, slot: u32) -> Option<(GoStatus, u32)> {
        self.goroutines.get(slot).map(|go| (go.status, go.thread))
    }

    #[inline(always)]
    pub(super) fn proc(&self, slot: u32) -> Option<(ProcStatus, u32)> {
        self.procs.get(slot).map(|proc| (proc.status, proc.thread))
    }

    #[inline(always)]
    pub(super) fn go_becomes(&mut self, slot: u32, status: GoStatus, thread: u32) {
        if let Some(go) = self.goroutines.get_mut(slot) {
            (go.status, go.thread) = (status, thread);
        }
    }

    #[inline(always)]
    pub(super) fn proc_becomes(&mut self, slot: u32, status: ProcStatus, thread: u32) {
        if let Some(proc) = self.procs.get_mut(slot) {
            (proc.status, proc.thread) = (status, thread);
        }
    }

    /// The next sequence number of a goroutine.
    #[inline(always)]
    pub(super) fn next_go(&mut self, slot: u32) -> u64 {
        self.goroutines.get_mut(slot).map_or(0, |go| {
            go.sequence = go.sequence.wrapping_add(1);
            go.sequence
        })
    }

    /// The next sequence number of a proc.
    #[inline(always)]
    pub(super) fn next_proc(&mut self, slot: u32) -> u64 {
        self.procs.get_mut(slot).map_or(0, |proc| {
            proc.sequence = proc.sequence.wrapping_add(1);
            proc.sequence
        })
    }

    pub(super) fn add_go(&mut self, id: u64, status: GoStatus, generation: u64) -> u32 {
        insert(&mut self.goroutines, id, Goroutine::new(status, generation))
    }

    pub(super) fn add_proc(&mut self, id: u64, status: ProcStatus, generation: u64) -> u32 {
        let proc = Proc {
            status,
            thread: NIL,
            generation,
            sequence: 0,
            sweeps: false,
        };
        insert(&mut self.procs, id, proc)
    }

    pub(super) fn go_id(&self, slot: u32) -> u64 {
        self.goroutines.id(slot).unwrap_or(u64::MAX)
    }

    pub(super) fn proc_id(&self, slot: u32) -> u64 {
        self.procs.id(slot).unwrap_or(u64::MAX)
    }

    pub(super) fn thread_id(&self, slot: u32) -> u64 {
        self.threads.id(slot).unwrap_or(u64::MAX)
    }
}

/// Adds an entry. Where there is no memory for it, it has no slot, and what needs it is left out.
pub(super) fn insert<T>(table: &mut Table<T>, id: u64, value: T) -> u32 {
    table.insert(id, value).unwrap_or(NIL)
}

impl Writer {
    /// Writes an event that is made up.
    pub(super) fn make_up(&mut self, thread: u32, ty: EventType, args: [u64; 4]) {
        if self.silent {
            return;
        }
        self.report.made_up = self.report.made_up.saturating_add(1);
        let time = self.tick();
        self.emit(thread, time, ty, &args);
    }

    /// The stack of what is made up.
    fn sign(&mut self) -> u64 {
        if self.silent {
            return 0;
        }
        let time = self.start;
        self.names.made_up(&mut self.out, time)
    }

    /// The thread that none is.
    pub(super) fn nowhere(&mut self) -> u32 {
        self.model.thread(None)
    }

    /// Writes a goroutine's status, unless this generation has it.
    #[inline(always)]
    pub(super) fn announce_go(&mut self, go: u32) {
        if let Some(goroutine) = self.model.goroutines.get(go)
            && goroutine.generation != self.number
        {
            self.write_go_status(go);
        }
    }

    #[cold]
    fn write_go_status(&mut self, go: u32) {
        let Some((status, thread)) = self.model.go(go) else {
            return;
        };
        let id = self.model.go_id(go);
        let bound = matches!(status, GoStatus::RUNNING | GoStatus::SYSCALL);
        let on = if bound { thread } else { self.nowhere() };
        let m = self.model.thread_id(on);
        self.go_is_announced(go);
        self.make_up(on, EventType::GO_STATUS, [id, m, u64::from(status.0), 0]);
    }

    /// This generation has a goroutine's status.
    pub(super) fn go_is_announced(&mut self, go: u32) {
        let number = self.number;
        if let Some(goroutine) = self.model.goroutines.get_mut(go) {
            (goroutine.generation, goroutine.sequence) = (number, 0);
        }
    }

    /// Writes a proc's status, unless this generation has it.
    #[inline(always)]
    pub(super) fn announce_proc(&mut self, proc: u32) {
        if let Some(known) = self.model.procs.get(proc)
            && known.generation != self.number
        {
            self.write_proc_status(proc);
        }
    }

    #[cold]
    fn write_proc_status(&mut self, proc: u32) {
        let Some((status, thread)) = self.model.proc(proc) else {
            return;
        };
        let id = self.model.proc_id(proc);
        let bound = matches!(status, ProcStatus::RUNNING | ProcStatus::SYSCALL);
        let on = if bound { thread } else { self.nowhere() };
        self.proc_is_announced(proc);
        self.make_up(on, EventType::PROC_STATUS, [id, u64::from(status.0), 0, 0]);
    }

    /// This generation has a proc's status.
    pub(super) fn proc_is_announced(&mut self, proc: u32) {
        let number = self.number;
        if let Some(known) = self.model.procs.get_mut(proc) {
            (known.generation, known.sequence) = (number, 0);
        }
    }

    /// What runs on a thread stops running there, ready to run elsewhere.
    #[cold]
    pub(super) fn stop(&mut self, thread: u32) {
        let (go, proc) = self.model.on(thread);
        let Some((status, _)) = self.model.go(go) else {
            return;
        };
        self.announce_go(go);
        if status == GoStatus::SYSCALL {
            if self.model.proc(proc).map(|p| p.0) == Some(ProcStatus::SYSCALL) {
                self.steal(proc, thread);
            }
            self.make_up(thread, EventType::GO_SYSCALL_END_BLOCKED, [0; 4]);
        } else {
            if proc == NIL {
                self.lend(thread);
            }
            let stack = self.sign();
            self.make_up(thread, EventType::GO_STOP, [0, stack, 0, 0]);
        }
        self.model.go_becomes(go, GoStatus::RUNNABLE, NIL);
        self.model.set_go(thread, NIL);
    }

    /// A thread takes a proc out of the system call that it is in.
    #[cold]
    pub(super) fn steal(&mut self, proc: u32, by: u32) {
        self.announce_proc(proc);
        let victim = self.steals(proc, by);
        let (id, sequence) = (self.model.proc_id(proc), self.model.next_proc(proc));
        self.make_up(by, EventType::PROC_STEAL, [id, sequence, victim, 0]);
    }

    /// A thread takes a proc out of a system call; gives the thread that had it.
    pub(super) fn steals(&mut self, proc: u32, by: u32) -> u64 {
        let Some((status, owner)) = self.model.proc(proc) else {
            return u64::MAX;
        };
        self.model.proc_becomes(proc, ProcStatus::IDLE, NIL);
        if status == ProcStatus::SYSCALL {
            self.model.set_proc(owner, NIL);
            return self.model.thread_id(owner);
        }
        // It was abandoned: who had it is not known.
        self.model.thread_id(by)
    }

    /// A thread gives up its proc.
    #[cold]
    pub(super) fn release(&mut self, thread: u32) {
        let (go, proc) = self.model.on(thread);
        let Some((status, _)) = self.model.proc(proc) else {
            return;
        };
        self.announce_proc(proc);
        if status == ProcStatus::SYSCALL {
            return self.steal(proc, thread);
        }
        if self.model.go(go).map(|g| g.0) == Some(GoStatus::RUNNING) {
            self.stop(thread);
        }
        self.make_up(thread, EventType::PROC_STOP, [0; 4]);
        self.model.proc_becomes(proc, ProcStatus::IDLE, NIL);
        self.model.set_proc(thread, NIL);
    }

    /// A proc becomes idle, wherever it is.
    #[cold]
    pub(super) fn idle(&mut self, proc: u32, by: u32) {
        self.announce_proc(proc);
        match self.model.proc(proc) {
            Some((ProcStatus::RUNNING, thread)) => self.release(thread),
            Some((ProcStatus::SYSCALL | ProcStatus::SYSCALL_ABANDONED, _)) => self.steal(proc, by),
            _ => {}
        }
    }

    /// A thread without a proc takes one: this one if there is one of this number.
    #[cold]
    pub(super) fn take(&mut self, thread: u32, wanted: Option<u64>) {
        let Some(id) = wanted else {
            return self.lend(thread);
        };
        let proc = self.known_proc(id);
        self.idle(proc, thread);
        self.start_proc(proc, thread);
    }

    fn start_proc(&mut self, proc: u32, thread: u32) {
        self.announce_proc(proc);
        let (id, sequence) = (self.model.proc_id(proc), self.model.next_proc(proc));
        self.make_up(thread, EventType::PROC_START, [id, sequence, 0, 0]);
        self.model.proc_becomes(proc, ProcStatus::RUNNING, thread);
        self.model.set_proc(thread, proc);
    }

    /// Gives a generation an event that is true of any program: a proc's status.
    #[cold]
    pub(super) fn announce_any_proc(&mut self) {
        let any = self.model.procs.iter().next().map(|(slot, _)| slot);
        match any {
            Some(proc) => self.announce_proc(proc),
            None => {
                self.known_proc(0);
            }
        }
    }

    /// A proc by its id, which is idle if nothing is known of it.
    pub(super) fn known_proc(&mut self, id: u64) -> u32 {
        if let Some(proc) = self.model.procs.find(id) {
            return proc;
        }
        let proc = self.model.add_proc(id, ProcStatus::IDLE, 0);
        self.announce_proc(proc);
        proc
    }

    /// A thread without a proc takes one that is made up.
    #[cold]
    pub(super) fn lend(&mut self, thread: u32) {
        // The last ones are most likely to be idle; looking at all takes too long where they are many.
        let lent = self.model.lent.iter().rev().take(16).copied();
        let mut idle =
            lent.filter(|proc| self.model.proc(*proc).map(|p| p.0) == Some(ProcStatus::IDLE));
        let proc = match idle.next() {
            Some(proc) => proc,
            None => {
                let mut id = self.model.next_lent;
                while self.model.procs.find(id).is_some() {
                    id = id.wrapping_add(1);
                }
                self.model.next_lent = id.wrapping_add(1);
                let proc = self.known_proc(id);
                self.model.lent.push(proc);
                proc
            }
        };
        self.start_proc(proc, thread);
    }

    /// A thread that is made up, with a proc, on which nothing runs.
    fn spare(&mut self) -> u32 {
        if self.model.spare == NIL {
            let mut ids = (0..).map(|n| SPARE_THREAD.wrapping_add(n));
            let unused = ids.find(|id| self.model.threads.find(*id).is_none());
            self.model.spare = self.model.thread(unused.and_then(ThreadId::new));
        }
        let spare = self.model.spare;
        if self.model.on(spare).0 != NIL {
            self.stop(spare);
        }
        if self.model.on(spare).1 == NIL {
            self.lend(spare);
        }
        spare
    }

    /// A goroutine by its id; one of which nothing is known has this status from now on, if that is one
    /// that needs no thread.
    pub(super) fn known_go(&mut self, id: u64, status: GoStatus) -> u32 {
        if let Some(go) = self.model.goroutines.find(id) {
            return go;
        }
        if self.is_first() {
            let go = self.model.add_go(id, status, 0);
            self.announce_go(go);
            return go;
        }
        let spare = self.spare();
        let stack = self.sign();
        let go = self.model.add_go(id, GoStatus::RUNNABLE, self.number);
        self.make_up(spare, EventType::GO_CREATE, [id, stack, stack, 0]);
        if status == GoStatus::WAITING {
            self.wait(go);
        }
        go
    }

    /// A goroutine becomes ready to run.
    #[cold]
    pub(super) fn make_runnable(&mut self, go: u32) {
        self.announce_go(go);
        match self.model.go(go) {
            Some((GoStatus::WAITING, _)) => {
                let (id, sequence) = (self.model.go_id(go), self.model.next_go(go));
                let (on, stack) = (self.nowhere(), self.sign());
                self.make_up(on, EventType::GO_UNBLOCK, [id, sequence, stack, 0]);
                self.model.go_becomes(go, GoStatus::RUNNABLE, NIL);
            }
            Some((GoStatus::RUNNING | GoStatus::SYSCALL, thread)) => self.stop(thread),
            _ => {}
        }
    }

    /// A goroutine waits for something.
    #[cold]
    pub(super) fn wait(&mut self, go: u32) {
        self.announce_go(go);
        let thread = match self.model.go(go) {
            Some((GoStatus::RUNNING, thread)) => thread,
            Some((GoStatus::RUNNABLE | GoStatus::SYSCALL, _)) => {
                let spare = self.spare();
                self.run(go, spare, None);
                spare
            }
            _ => return,
        };
        if self.model.on(thread).1 == NIL {
            self.lend(thread);
        }
        let stack = self.sign();
        self.make_up(thread, EventType::GO_BLOCK, [0, stack, 0, 0]);
        self.model.go_becomes(go, GoStatus::WAITING, NIL);
        self.model.set_go(thread, NIL);
    }

    /// A goroutine runs on a thread, which has a proc: this one if it has none.
    #[cold]
    pub(super) fn run(&mut self, go: u32, thread: u32, proc: Option<u64>) {
        if go == NIL {
            return;
        }
        self.announce_go(go);
        let (on, has) = self.model.on(thread);
        let own = self.model.proc(has).map(|p| p.0);
        if on == go {
            match (self.model.go(go).map(|g| g.0), own) {
                (Some(GoStatus::RUNNING), Some(_)) => return,
                (Some(GoStatus::RUNNING), None) => return self.take(thread, proc),
                (Some(GoStatus::SYSCALL), Some(ProcStatus::SYSCALL)) => {
                    self.make_up(thread, EventType::GO_SYSCALL_END, [0; 4]);
                    self.model.go_becomes(go, GoStatus::RUNNING, thread);
                    self.model.proc_becomes(has, ProcStatus::RUNNING, thread);
                    return;
                }
                _ => {}
            }
        }
        self.stop(thread);
        self.make_runnable(go);
        // Stopping may have cost the thread its proc.
        match self.model.proc(self.model.on(thread).1) {
            None => self.take(thread, proc),
            Some((ProcStatus::SYSCALL, _)) => {
                self.release(thread);
                self.take(thread, proc);
            }
            Some(_) => {}
        }
        let (id, sequence) = (self.model.go_id(go), self.model.next_go(go));
        self.make_up(thread, EventType::GO_START, [id, sequence, 0, 0]);
        self.model.go_becomes(go, GoStatus::RUNNING, thread);
        self.model.set_go(thread, go);
    }
}
