//! What each type of event needs so that it can come next, what is written of it, and what it changes.
//!
//! The rules are those of `src/order`: here they are kept in place of being checked.

use super::model::{Collector, Goroutine, Region};
use super::writer::{Step, Writer};
use crate::event::{Event, Raw};
use crate::ids::{GoId, ProcId};
use crate::num;
use crate::order::MAX_RANGES;
use crate::tables::NIL;
use crate::wire::{EventType, GoStatus, ProcStatus};
use alloc::boxed::Box;

/// A record that is written nowhere, and is not missed: what it says follows from another.
const NOTHING: EventType = EventType(0);

impl Writer {
    /// Makes up what an event needs that comes next on a thread, applies it to the model, and gives what
    /// is to be written. `None` if it is left out, which is counted.
    #[inline]
    pub(super) fn prepare(
        &mut self,
        event: &Event<'_, '_>,
        thread: u32,
        made_up: bool,
    ) -> Option<Step> {
        let raw = event.raw;
        let mut ty = raw.event.ty;
        let mut args = raw.event.args;
        if self.part_of_record > 0 {
            // The record before says it.
            self.part_of_record = self.part_of_record.wrapping_sub(1);
            if matches!(
                ty,
                EventType::GO_BLOCK
                    | EventType::GO_DESTROY
                    | EventType::GO_START
                    | EventType::GO_DESTROY_SYSCALL
            ) {
                return Some(step(thread, NOTHING, args));
            }
            self.part_of_record = 0;
        }
        let nowhere = raw.thread.is_none();
        // The end of a goroutine of C brings the loss of its proc with it, as if that were stolen, and
        // before it.
        if ty == EventType::PROC_STEAL && args[1] == 0 && !made_up {
            ty = EventType::GO_DESTROY_SYSCALL;
            self.part_of_record = 1;
        }
        match ty {
            EventType::GO_START => {
                if nowhere {
                    return self.leave_out();
                }
                let go = self.startable(raw, thread)?;
                args = [args[0], self.model.next_go(go), 0, 0];
                self.model.go_becomes(go, GoStatus::RUNNING, thread);
                self.model.set_go(thread, go);
            }
            EventType::GO_STOP | EventType::GO_BLOCK => {
                let go = self.running(raw, thread)?;
                let to = match ty {
                    EventType::GO_STOP => GoStatus::RUNNABLE,
                    _ => GoStatus::WAITING,
                };
                self.model.go_becomes(go, to, NIL);
                self.model.set_go(thread, NIL);
            }
            EventType::GO_UNBLOCK => {
                let go = self.waiting(args[0])?;
                args = [args[0], self.model.next_go(go), args[2], 0];
                self.model.go_becomes(go, GoStatus::RUNNABLE, NIL);
            }
            EventType::GO_CREATE | EventType::GO_CREATE_BLOCKED => {
                return self.create(raw, thread, nowhere);
            }
            EventType::GO_DESTROY => {
                let go = self.running(raw, thread)?;
                self.model.goroutines.remove(go);
                self.model.set_go(thread, NIL);
            }
            EventType::GO_SYSCALL_BEGIN => {
                let go = self.running(raw, thread)?;
                let proc = self.model.on(thread).1;
                self.announce_proc(proc);
                args = [self.model.next_proc(proc), args[1], 0, 0];
                self.model.go_becomes(go, GoStatus::SYSCALL, thread);
                self.model.proc_becomes(proc, ProcStatus::SYSCALL, thread);
            }
            EventType::GO_SYSCALL_END => {
                let (go, proc) = self.model.on(thread);
                let is = self.model.go(go).map(|g| g.0);
                let has = self.model.proc(proc).map(|p| p.0);
                if (is, has) != (Some(GoStatus::SYSCALL), Some(ProcStatus::SYSCALL)) {
                    // It runs, whatever was lost.
                    self.running(raw, thread)?;
                    return self.leave_out();
                }
                self.announce_go(go);
                self.model.go_becomes(go, GoStatus::RUNNING, thread);
                self.model.proc_becomes(proc, ProcStatus::RUNNING, thread);
            }
            EventType::GO_SYSCALL_END_BLOCKED => {
                let (go, proc) = self.model.on(thread);
                if nowhere || self.model.go(go).map(|g| g.0) != Some(GoStatus::SYSCALL) {
                    if go != NIL {
                        self.stop(thread);
                    }
                    return self.leave_out();
                }
                self.announce_go(go);
                if self.model.proc(proc).map(|p| p.0) == Some(ProcStatus::SYSCALL) {
                    self.steal(proc, thread);
                }
                self.model.go_becomes(go, GoStatus::RUNNABLE, NIL);
                self.model.set_go(thread, NIL);
            }
            EventType::GO_CREATE_SYSCALL => {
                if nowhere || self.model.goroutines.find(args[0]).is_some() {
                    return self.leave_out();
                }
                if self.model.on(thread).0 != NIL {
                    self.stop(thread);
                }
                let go = self.model.add_go(args[0], GoStatus::SYSCALL, self.number);
                self.model.go_becomes(go, GoStatus::SYSCALL, thread);
                self.model.set_go(thread, go);
            }
            EventType::GO_DESTROY_SYSCALL => {
                let (go, proc) = self.model.on(thread);
                if nowhere || self.model.go(go).map(|g| g.0) != Some(GoStatus::SYSCALL) {
                    return self.leave_out();
                }
                self.announce_go(go);
                self.announce_proc(proc);
                match self.model.proc(proc).map(|p| p.0) {
                    Some(ProcStatus::SYSCALL) => {
                        self.model
                            .proc_becomes(proc, ProcStatus::SYSCALL_ABANDONED, NIL);
                        self.model.set_proc(thread, NIL);
                        self.further = 1;
                    }
                    Some(_) => self.release(thread),
                    None => {}
                }
                self.model.goroutines.remove(go);
                self.model.set_go(thread, NIL);
            }
            EventType::GO_SWITCH | EventType::GO_SWITCH_DESTROY => {
                return self.switch(raw, thread);
            }
            EventType::GO_STATUS | EventType::GO_STATUS_STACK => {
                return self.go_status(raw, thread);
            }
            EventType::PROC_STATUS => return self.proc_status(raw, thread),
            EventType::PROC_START => {
                if nowhere {
                    return self.leave_out();
                }
                if self.model.on(thread).1 != NIL {
                    self.release(thread);
                }
                let proc = self.known_proc(args[0]);
                if self.model.proc(proc).map(|p| p.0) != Some(ProcStatus::IDLE) {
                    self.idle(proc, thread);
                }
                self.announce_proc(proc);
                args = [args[0], self.model.next_proc(proc), 0, 0];
                self.model.proc_becomes(proc, ProcStatus::RUNNING, thread);
                self.model.set_proc(thread, proc);
            }
            EventType::PROC_STOP => {
                let proc = self.model.on(thread).1;
                if nowhere || proc == NIL {
                    return self.leave_out();
                }
                self.announce_proc(proc);
                self.model.proc_becomes(proc, ProcStatus::IDLE, NIL);
                self.model.set_proc(thread, NIL);
            }
            EventType::PROC_STEAL => {
                let proc = self.model.procs.find(args[0]).unwrap_or(NIL);
                let is = self.model.proc(proc).map(|p| p.0);
                if nowhere
                    || !matches!(
                        is,
                        Some(ProcStatus::SYSCALL | ProcStatus::SYSCALL_ABANDONED)
                    )
                {
                    return self.leave_out();
                }
                self.announce_proc(proc);
                let named = args[2];
                let victim = self.steals(proc, thread);
                let sequence = self.model.next_proc(proc);
                let of = match is {
                    Some(ProcStatus::SYSCALL) => victim,
                    _ => named,
                };
                args = [args[0], sequence, of, 0];
            }
            EventType::HEAP_ALLOC | EventType::HEAP_GOAL => {
                if nowhere {
                    return self.leave_out();
                }
                if self.model.on(thread).1 == NIL {
                    self.take(thread, raw.proc.map(ProcId::get));
                }
            }
            EventType::USER_REGION_BEGIN | EventType::USER_REGION_END => {
                let go = self.present(raw, thread)?;
                if !self.region(event, go, ty == EventType::USER_REGION_BEGIN) {
                    return self.leave_out();
                }
            }
            EventType::USER_TASK_BEGIN => {
                self.present(raw, thread)?;
                if self.model.tasks.find(args[0]).is_some()
                    || self.model.tasks.insert(args[0], ()).is_err()
                {
                    return self.leave_out();
                }
            }
            EventType::USER_TASK_END => {
                self.present(raw, thread)?;
                let task = self.model.tasks.find(args[0]).unwrap_or(NIL);
                self.model.tasks.remove(task);
            }
            EventType::USER_LOG | EventType::PROCS_CHANGE | EventType::GO_LABEL => {
                self.present(raw, thread)?;
            }
            EventType(128..) => {
                if !ty.exists_in(self.version()) {
                    return self.not_in_version();
                }
                if nowhere {
                    return self.leave_out();
                }
            }
            _ => return self.range(raw, thread),
        }
        Some(step(thread, ty, args))
    }

    /// The goroutine of a thread's event, on whose thread there is a proc.
    #[inline(always)]
    fn present(&mut self, raw: &Raw, thread: u32) -> Option<u32> {
        let (go, proc) = self.model.on(thread);
        let is_own = go != NIL && raw.go.is_none_or(|id| id.get() == self.model.go_id(go));
        if is_own && proc != NIL {
            return Some(go);
        }
        self.bring(raw, thread)
    }

    #[cold]
    #[inline(never)]
    fn bring(&mut self, raw: &Raw, thread: u32) -> Option<u32> {
        let on = self.model.on(thread).0;
        let id = match raw.go {
            Some(id) => id.get(),
            None if on != NIL => self.model.go_id(on),
            None => return self.leave_out(),
        };
        if raw.thread.is_none() {
            return self.leave_out();
        }
        let proc = raw.proc.map(ProcId::get);
        let go = self.known_go(id, GoStatus::RUNNABLE);
        if on == go && self.model.on(thread).1 == NIL {
            // In a system call, too.
            self.take(thread, proc);
        } else if on != go {
            self.run(go, thread, proc);
        }
        Some(go)
    }

    /// The goroutine of a thread's event, which runs.
    #[inline(always)]
    fn running(&mut self, raw: &Raw, thread: u32) -> Option<u32> {
        let (go, proc) = self.model.on(thread);
        let is_own = raw.go.is_none_or(|id| id.get() == self.model.go_id(go));
        match self.model.goroutines.get(go) {
            Some(known)
                if known.status == GoStatus::RUNNING
                    && known.generation == self.number
                    && is_own
                    && proc != NIL =>
            {
                Some(go)
            }
            _ => {
                let go = self.bring(raw, thread)?;
                self.run(go, thread, raw.proc.map(ProcId::get));
                Some(go)
            }
        }
    }

    /// A goroutine that starts on a thread: it is ready, and the thread has nothing but a proc.
    #[inline(always)]
    fn startable(&mut self, raw: &Raw, thread: u32) -> Option<u32> {
        let id = raw.event.args[0];
        let (on, proc) = self.model.on(thread);
        let slot = self.model.goroutines.find(id).unwrap_or(NIL);
        if on == NIL
            && proc != NIL
            && let Some(go) = self.model.goroutines.get(slot)
            && go.status == GoStatus::RUNNABLE
            && go.generation == self.number
        {
            return Some(slot);
        }
        self.make_startable(raw, thread)
    }

    #[cold]
    #[inline(never)]
    fn make_startable(&mut self, raw: &Raw, thread: u32) -> Option<u32> {
        if GoId::new(raw.event.args[0]).is_none() {
            return self.leave_out();
        }
        let go = self.known_go(raw.event.args[0], GoStatus::RUNNABLE);
        if go == NIL {
            return self.leave_out();
        }
        if self.model.go(go) == Some((GoStatus::RUNNING, thread)) {
            // As it does already.
            return self.leave_out();
        }
        if self.model.on(thread).0 != NIL {
            self.stop(thread);
        }
        self.make_runnable(go);
        if self.model.on(thread).1 == NIL {
            self.take(thread, raw.proc.map(ProcId::get));
        }
        Some(go)
    }

    /// A goroutine that is unblocked: it waits.
    #[inline(always)]
    fn waiting(&mut self, id: u64) -> Option<u32> {
        let slot = self.model.goroutines.find(id).unwrap_or(NIL);
        match self.model.goroutines.get_mut(slot) {
            Some(go) if go.status == GoStatus::WAITING && go.generation == self.number => {
                Some(slot)
            }
            Some(Goroutine {
                waits: waits @ true,
                ..
            }) => {
                // It is written as runnable already.
                *waits = false;
                self.not_in_version()
            }
            _ => self.make_waiting(id),
        }
    }

    #[cold]
    #[inline(never)]
    fn make_waiting(&mut self, id: u64) -> Option<u32> {
        if GoId::new(id).is_none() {
            return self.leave_out();
        }
        let go = self.known_go(id, GoStatus::WAITING);
        match self.model.go(go) {
            Some((GoStatus::WAITING, _)) => self.announce_go(go),
            Some((GoStatus::RUNNING, _)) => self.wait(go),
            // It is ready, or no one can say.
            _ => return self.leave_out(),
        }
        Some(go)
    }

    fn create(&mut self, raw: &Raw, thread: u32, nowhere: bool) -> Option<Step> {
        let (mut ty, args) = (raw.event.ty, raw.event.args);
        if nowhere || GoId::new(args[0]).is_none() || self.model.goroutines.find(args[0]).is_some()
        {
            return self.leave_out();
        }
        let (creator, proc) = self.model.on(thread);
        if self.model.go(creator).map(|g| g.0) == Some(GoStatus::SYSCALL) {
            self.run(creator, thread, raw.proc.map(ProcId::get));
        } else if proc == NIL {
            self.take(thread, raw.proc.map(ProcId::get));
        }
        let blocked = ty == EventType::GO_CREATE_BLOCKED;
        let pretends = blocked && !ty.exists_in(self.version());
        let status = match blocked && !pretends {
            true => GoStatus::WAITING,
            false => GoStatus::RUNNABLE,
        };
        if pretends {
            ty = EventType::GO_CREATE;
        }
        let go = self.model.add_go(args[0], status, self.number);
        if let Some(go) = self.model.goroutines.get_mut(go) {
            go.waits = pretends;
        }
        Some(step(thread, ty, args))
    }

    /// A coroutine hands over to another.
    fn switch(&mut self, raw: &Raw, thread: u32) -> Option<Step> {
        let (ty, args) = (raw.event.ty, raw.event.args);
        if !ty.exists_in(self.version()) {
            // Its three events are written as such: here the first of them.
            let go = self.waiting(args[0])?;
            let sequence = self.model.next_go(go);
            self.model.go_becomes(go, GoStatus::RUNNABLE, NIL);
            return Some(step(
                thread,
                EventType::GO_UNBLOCK,
                [args[0], sequence, 0, 0],
            ));
        }
        let next = self.waiting(args[0])?;
        let own = self.running(raw, thread)?;
        if own == next {
            return self.leave_out();
        }
        // To bring the one may have changed the other.
        if self.model.go(next).map(|g| g.0) != Some(GoStatus::WAITING) {
            self.wait(next);
        }
        let sequence = self.model.next_go(next);
        if ty == EventType::GO_SWITCH {
            self.model.go_becomes(own, GoStatus::WAITING, NIL);
        } else {
            self.model.goroutines.remove(own);
        }
        self.model.go_becomes(next, GoStatus::RUNNING, thread);
        self.model.set_go(thread, next);
        self.part_of_record = 2;
        self.further = 2;
        Some(step(thread, ty, [args[0], sequence, 0, 0]))
    }

    /// A goroutine's status: news where nothing is known, else what is known already.
    fn go_status(&mut self, raw: &Raw, thread: u32) -> Option<Step> {
        let (ty, args) = (raw.event.ty, raw.event.args);
        let id = args[0];
        let status = GoStatus(num::low_byte(args[2]));
        let is_status = matches!(
            status,
            GoStatus::RUNNABLE | GoStatus::RUNNING | GoStatus::SYSCALL | GoStatus::WAITING
        );
        if GoId::new(id).is_none() || !is_status {
            return self.leave_out();
        }
        let bound = matches!(status, GoStatus::RUNNING | GoStatus::SYSCALL);
        if bound && raw.thread.is_none() {
            return self.leave_out();
        }
        let known = self.model.goroutines.find(id);
        let go = match known {
            Some(go) => {
                if !self.agrees(go, status, thread) {
                    self.bridge(go, status, thread, raw);
                    return self.leave_out();
                }
                go
            }
            None if self.is_first() => {
                if bound && self.model.on(thread).0 != NIL {
                    self.stop(thread);
                }
                self.model.add_go(id, status, self.number)
            }
            None => {
                let go = self.known_go(id, GoStatus::RUNNABLE);
                self.bridge(go, status, thread, raw);
                return self.leave_out();
            }
        };
        let mut written = u64::from(status.0);
        if let Some(go) = self.model.goroutines.get_mut(go)
            && go.status != status
        {
            written = u64::from(go.status.0);
        }
        self.go_is_announced(go);
        let mut on = thread;
        let mut m = args[1];
        if bound {
            self.model.go_becomes(go, status, thread);
            self.model.set_go(thread, go);
            // The thread that it is on need not be the one that wrote it: then its proc is another.
            if status == GoStatus::SYSCALL {
                m = self.model.thread_id(thread);
                let has = self.model.on(thread).1;
                let id = raw.proc.map_or(u64::MAX, ProcId::get);
                if raw.proc.is_none() && has != NIL && known.is_some() {
                    on = self.nowhere();
                } else if raw.proc.is_some() && self.model.proc_id(has) != id {
                    let proc = self.model.procs.find(id).unwrap_or(NIL);
                    on = match self.model.proc(proc) {
                        Some((_, owner)) if owner != NIL && known.is_some() => owner,
                        _ => thread,
                    };
                }
            }
        }
        let version = self.version();
        let ty = if ty.exists_in(version) {
            ty
        } else {
            EventType::GO_STATUS
        };
        Some(step(on, ty, [id, m, written, args[3]]))
    }

    /// Whether what is known of a goroutine is this.
    fn agrees(&mut self, go: u32, status: GoStatus, thread: u32) -> bool {
        let waits = self.model.goroutines.get(go).is_some_and(|go| go.waits);
        match (self.model.go(go), status) {
            (Some((GoStatus::RUNNABLE, _)), GoStatus::WAITING) if waits => true,
            (Some((is, on)), GoStatus::RUNNING | GoStatus::SYSCALL) => is == status && on == thread,
            (Some((is, _)), _) => is == status,
            (None, _) => false,
        }
    }

    /// A goroutine is in another status than was known: what has happened is made up.
    #[cold]
    fn bridge(&mut self, go: u32, status: GoStatus, thread: u32, raw: &Raw) {
        self.announce_go(go);
        match status {
            GoStatus::RUNNABLE => self.make_runnable(go),
            GoStatus::WAITING => self.wait(go),
            _ => {
                self.run(go, thread, raw.proc.map(ProcId::get));
                if status == GoStatus::SYSCALL {
                    let proc = self.model.on(thread).1;
                    self.announce_proc(proc);
                    let sequence = self.model.next_proc(proc);
                    self.make_up(thread, EventType::GO_SYSCALL_BEGIN, [sequence, 0, 0, 0]);
                    self.model.go_becomes(go, GoStatus::SYSCALL, thread);
                    self.model.proc_becomes(proc, ProcStatus::SYSCALL, thread);
                }
            }
        }
    }

    fn proc_status(&mut self, raw: &Raw, thread: u32) -> Option<Step> {
        let [id, status, ..] = raw.event.args;
        let status = ProcStatus(num::low_byte(status));
        let bound = matches!(status, ProcStatus::RUNNING | ProcStatus::SYSCALL);
        let is_status = bound || matches!(status, ProcStatus::IDLE | ProcStatus::SYSCALL_ABANDONED);
        if ProcId::new(id).is_none() || !is_status || (bound && raw.thread.is_none()) {
            return self.leave_out();
        }
        let proc = match self.model.procs.find(id) {
            Some(proc) => match self.model.proc(proc) {
                Some((is, on)) if is == status && (!bound || on == thread) => proc,
                _ => {
                    self.idle(proc, thread);
                    if bound && self.model.on(thread).1 == NIL {
                        self.take(thread, Some(id));
                    }
                    return self.leave_out();
                }
            },
            None => {
                if bound && self.model.on(thread).1 != NIL {
                    self.release(thread);
                }
                self.model.add_proc(id, status, self.number)
            }
        };
        self.proc_is_announced(proc);
        if bound {
            self.model.proc_becomes(proc, status, thread);
            self.model.set_proc(thread, proc);
        }
        Some(step(
            thread,
            EventType::PROC_STATUS,
            [id, u64::from(status.0), 0, 0],
        ))
    }

    /// A region begins or ends; whether it can.
    fn region(&mut self, event: &Event<'_, '_>, go: u32, begins: bool) -> bool {
        let [task, name, ..] = event.raw.event.args;
        // Where the event has a text in place of an id, that.
        let name = match name {
            0 if event.tables.has_texts() => event.input.bytes_anywhere(event.raw.name).into(),
            id => self.names.written(event, id),
        };
        let Some(go) = self.model.goroutines.get_mut(go) else {
            return false;
        };
        if begins {
            go.regions.push(Region {
                task,
                name: Box::from(&*name),
            });
            return true;
        }
        match go.regions.last() {
            // It began before the trace.
            None => true,
            Some(region) if region.task == task && *region.name == *name => {
                go.regions.pop();
                true
            }
            Some(_) => false,
        }
    }

    /// The runtime's own work.
    fn range(&mut self, raw: &Raw, thread: u32) -> Option<Step> {
        let (ty, mut args) = (raw.event.ty, raw.event.args);
        match ty {
            EventType::GC_ACTIVE | EventType::GC_BEGIN | EventType::GC_END => {
                let before = self.collector();
                let news = before == Collector::Undetermined;
                let fits = match ty {
                    EventType::GC_ACTIVE if self.is_first() => news,
                    EventType::GC_ACTIVE | EventType::GC_END => before == Collector::Running,
                    _ => before != Collector::Running,
                };
                if !fits {
                    return self.leave_out();
                }
                if !news {
                    self.present(raw, thread)?;
                }
                // The first number is the trace's own.
                let next = self.model.gc_sequence.wrapping_add(1);
                let number = if news { args[0] } else { next };
                args[0] = number;
                self.model.gc_sequence = number;
                self.model.gc = match ty {
                    EventType::GC_END => Collector::Idle,
                    _ => Collector::Running,
                };
            }
            EventType::GC_SWEEP_BEGIN | EventType::GC_SWEEP_END => {
                if raw.thread.is_none() {
                    return self.leave_out();
                }
                if self.model.on(thread).1 == NIL {
                    self.take(thread, raw.proc.map(ProcId::get));
                }
                let begins = ty == EventType::GC_SWEEP_BEGIN;
                let proc = self.model.procs.get_mut(self.model.on(thread).1);
                if proc.is_none_or(|proc| core::mem::replace(&mut proc.sweeps, begins) == begins) {
                    return self.leave_out();
                }
            }
            EventType::GC_SWEEP_ACTIVE => {
                let first = self.is_first();
                let slot = self.model.procs.find(args[0]).unwrap_or(NIL);
                let proc = self.model.procs.get_mut(slot);
                if proc.is_none_or(|proc| !confirm(&mut proc.sweeps, first)) {
                    return self.leave_out();
                }
            }
            EventType::GC_MARK_ASSIST_BEGIN | EventType::GC_MARK_ASSIST_END => {
                let go = self.present(raw, thread)?;
                let begins = ty == EventType::GC_MARK_ASSIST_BEGIN;
                let go = self.model.goroutines.get_mut(go);
                if go.is_none_or(|go| core::mem::replace(&mut go.assists, begins) == begins) {
                    return self.leave_out();
                }
            }
            EventType::GC_MARK_ASSIST_ACTIVE => {
                let first = self.is_first();
                let slot = self.model.goroutines.find(args[0]).unwrap_or(NIL);
                let go = self.model.goroutines.get_mut(slot);
                if go.is_none_or(|go| !confirm(&mut go.assists, first)) {
                    return self.leave_out();
                }
            }
            EventType::STW_BEGIN => {
                let go = self.present(raw, thread)?;
                let go = self.model.goroutines.get_mut(go)?;
                let most = num::index(MAX_RANGES);
                if go.ranges.len() >= most || go.ranges.contains(&args[0]) {
                    return self.leave_out();
                }
                go.ranges.push(args[0]);
            }
            EventType::STW_END => {
                let go = self.present(raw, thread)?;
                let ranges = &mut self.model.goroutines.get_mut(go)?.ranges;
                if ranges.is_empty() {
                    return self.leave_out();
                }
                // The oldest, whose place the newest takes.
                ranges.swap_remove(0);
            }
            _ => return self.leave_out(),
        }
        Some(step(thread, ty, args))
    }
}

const fn step(thread: u32, ty: EventType, args: [u64; 4]) -> Step {
    Step { thread, ty, args }
}

/// A range that is said to be open: whether it can be.
fn confirm(open: &mut bool, first: bool) -> bool {
    if first {
        return !core::mem::replace(open, true);
    }
    *open
}
