//! What must be true of events in order: the checks of Go's reader of these formats.

use super::cursor::{Occurrence, blocks};
use super::goroutines::{Goroutine, Goroutines, State};
use super::merge::Fault;
use super::spec::EventType;
use crate::error::{ErrorKind, Table};
use crate::num;
use crate::tables::{IdTable, List, NIL, Slot};
use crate::wire::Span;
use alloc::vec::Vec;

/// What is known of a proc.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Proc {
    pub(super) running: bool,
    /// It was announced.
    pub(super) seen: bool,
    pub(super) sweeping: bool,
    /// The goroutine that it runs, or 0.
    pub(super) go: u64,
    /// The thread on which it runs.
    pub(super) thread: Option<u64>,
}

/// A task that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) parent: u64,
    pub(super) name: Span,
}

/// A region that is open.
#[derive(Clone, Copy, Debug)]
struct Region {
    task: u64,
    ty: u64,
    /// The one around it, or the next one that is free.
    outer: u32,
}

/// What is open.
pub(super) struct Checks {
    pub(super) goroutines: Goroutines,
    /// By cursor.
    pub(super) procs: Vec<Proc>,
    pub(super) tasks: IdTable<Task, Vec<Slot<Task>>, Vec<u32>>,
    regions: Vec<Region>,
    free_region: u32,
    collecting: bool,
    stopped: bool,
}

impl Checks {
    pub(super) fn new(goroutines: Goroutines, procs: Vec<Proc>) -> Checks {
        Checks {
            goroutines,
            procs,
            tasks: IdTable::new(),
            regions: Vec::new(),
            free_region: NIL,
            collecting: false,
            stopped: false,
        }
    }

    /// Looks at the next event, which is of the proc at `cursor`, and notes what it changes. `timer`
    /// says that a timer unblocks a goroutine. Says whether that goroutine waited for the network.
    #[inline]
    pub(super) fn see(
        &mut self,
        event: &Occurrence,
        cursor: u32,
        timer: bool,
    ) -> Result<bool, Fault> {
        use State::{Dead, Runnable, Running, Waiting};
        let fail = |kind, value| Err(Fault::new(kind, value, event));
        let ty = event.ty;
        let [_, first, second, third, _] = event.args;
        let mut proc = Proc::default();
        let proc = match self.procs.get_mut(num::index(cursor)) {
            Some(known) => known,
            None => &mut proc,
        };
        let range = |open: &mut bool, begins: bool| {
            let kind = match begins {
                true => ErrorKind::RangeOpen,
                false => ErrorKind::RangeNotOpen,
            };
            match core::mem::replace(open, begins) == begins {
                true => Err(Fault::new(kind, u64::from(ty.0), event)),
                false => Ok(false),
            }
        };
        match ty {
            EventType::PROC_START | EventType::PROC_STOP => {
                let starts = ty == EventType::PROC_START;
                if proc.running == starts || !starts && proc.go != 0 {
                    return fail(ErrorKind::OldProcState, u64::from(ty.0));
                }
                proc.running = starts;
                return Ok(false);
            }
            EventType::GC_START => return range(&mut self.collecting, true),
            EventType::GC_DONE => return range(&mut self.collecting, false),
            EventType::STW_START => return range(&mut self.stopped, true),
            EventType::STW_DONE => return range(&mut self.stopped, false),
            EventType::GC_SWEEP_START => return range(&mut proc.sweeping, true),
            EventType::GC_SWEEP_DONE => return range(&mut proc.sweeping, false),
            EventType::USER_TASK_CREATE => {
                if self.tasks.find(first).is_some() {
                    return fail(ErrorKind::TaskExists, first);
                }
                return Ok(false);
            }
            EventType::USER_REGION => return self.region(event, first, second, third),
            EventType::GO_CREATE => {
                let go = self.goroutines.get(event.go_slot);
                if go.state != Running || proc.go != event.go {
                    return fail(ErrorKind::GoStateMismatch, event.go);
                }
                let Some(new) = self.goroutines.get_mut(event.named) else {
                    return fail(ErrorKind::TableFull(Table::Goroutines), u64::MAX);
                };
                if new.exists {
                    return fail(ErrorKind::GoroutineExists, first);
                }
                (new.exists, new.state) = (true, Runnable);
                return Ok(false);
            }
            EventType::GO_UNBLOCK | EventType::GO_UNBLOCK_LOCAL => {
                let go = self.goroutines.get(event.go_slot);
                if go.state != Running || !timer && proc.go != event.go {
                    return fail(ErrorKind::GoStateMismatch, event.go);
                }
                let Some(woken) = self
                    .goroutines
                    .get_mut(event.named)
                    .filter(|woken| woken.state == Waiting)
                else {
                    return fail(ErrorKind::GoStateMismatch, first);
                };
                woken.state = Runnable;
                return Ok(core::mem::replace(&mut woken.network, false));
            }
            EventType::CPU_SAMPLE
            | EventType::USER_LOG
            | EventType::USER_TASK_END
            | EventType::GOMAXPROCS
            | EventType::HEAP_ALLOC
            | EventType::HEAP_GOAL => return Ok(false),
            EventType::FUTILE_WAKEUP => {
                return fail(ErrorKind::NoCounterpart, u64::from(ty.0));
            }
            _ => {}
        }
        let Some(go) = self.goroutines.get_mut(event.go_slot) else {
            return fail(ErrorKind::TableFull(Table::Goroutines), u64::MAX);
        };
        let mismatch = fail(ErrorKind::GoStateMismatch, event.go);
        match ty {
            EventType::GC_MARK_ASSIST_START => {
                go.exists = true;
                return range(&mut go.assists, true);
            }
            // It may have begun before the trace did.
            EventType::GC_MARK_ASSIST_DONE => (go.exists, go.assists) = (true, false),
            EventType::GO_WAITING | EventType::GO_IN_SYSCALL => {
                if go.state != Runnable {
                    return mismatch;
                }
                (go.state, go.network) = (Waiting, false);
            }
            EventType::GO_START | EventType::GO_START_LOCAL | EventType::GO_START_LABEL => {
                if go.state != Runnable {
                    return mismatch;
                }
                if proc.go != 0 {
                    return fail(ErrorKind::ProcBusy, proc.go);
                }
                (go.state, go.network) = (Running, false);
                proc.go = event.go;
            }
            _ => {
                if go.state != Running || proc.go != event.go || event.go == 0 {
                    return mismatch;
                }
                match ty {
                    EventType::GO_SYS_CALL => {
                        go.network = false;
                        return Ok(false);
                    }
                    EventType::GO_END | EventType::GO_STOP => go.state = Dead,
                    EventType::GO_SCHED | EventType::GO_PREEMPT => {
                        (go.state, go.network) = (Runnable, false);
                    }
                    EventType::GO_SYS_BLOCK => go.state = Waiting,
                    ty => {
                        debug_assert!(blocks(ty));
                        go.state = Waiting;
                        go.network = ty == EventType::GO_BLOCK_NET;
                    }
                }
                proc.go = 0;
                if ty == EventType::GO_END {
                    let innermost = core::mem::replace(&mut go.region, NIL);
                    self.free_regions(innermost);
                }
            }
        }
        Ok(false)
    }

    /// A system call ends; says whether its goroutine was in one.
    pub(super) fn see_exit(&mut self, go_slot: u32) -> bool {
        let waiting = |go: &&mut Goroutine| go.state == State::Waiting;
        let Some(go) = self.goroutines.get_mut(go_slot).filter(waiting) else {
            return false;
        };
        (go.state, go.network) = (State::Runnable, false);
        true
    }

    fn region(&mut self, event: &Occurrence, task: u64, mode: u64, ty: u64) -> Result<bool, Fault> {
        let Some(go) = self.goroutines.get_mut(event.go_slot) else {
            return Ok(false);
        };
        let no_memory = Fault::new(ErrorKind::TableFull(Table::Regions), u64::MAX, event);
        match mode {
            0 => {
                let region = Region {
                    task,
                    ty,
                    outer: go.region,
                };
                let free = self.regions.get_mut(num::index(self.free_region));
                go.region = match free {
                    Some(free) => {
                        let at = self.free_region;
                        self.free_region = free.outer;
                        *free = region;
                        at
                    }
                    None => {
                        let at = num::slot(self.regions.len());
                        List::push(&mut self.regions, region).map_err(|_| no_memory)?;
                        at
                    }
                };
                Ok(false)
            }
            1 => {
                // Without one, it began before the trace did.
                if let Some(region) = self.regions.get_mut(num::index(go.region)) {
                    if (region.task, region.ty) != (task, ty) {
                        return Err(Fault::new(ErrorKind::RegionMismatch, event.go, event));
                    }
                    let at = core::mem::replace(&mut go.region, region.outer);
                    region.outer = core::mem::replace(&mut self.free_region, at);
                }
                Ok(false)
            }
            mode => Err(Fault::new(ErrorKind::InvalidRegionMode, mode, event)),
        }
    }

    fn free_regions(&mut self, innermost: u32) {
        let mut at = innermost;
        while let Some(region) = self.regions.get_mut(num::index(at)) {
            let outer = core::mem::replace(&mut region.outer, self.free_region);
            self.free_region = at;
            at = outer;
        }
    }
}
