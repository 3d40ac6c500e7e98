//! What must be true of events in order: the checks of Go's reader of these formats.

use super::cursor::Occurrence;
use super::goroutines::{Goroutine, Goroutines, State};
use super::merge::Fault;
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
    /// By cursor.
    pub(super) procs: Vec<Proc>,
    pub(super) tasks: IdTable<Task, Vec<Slot<Task>>, Vec<u32>>,
    regions: Vec<Region>,
    free_region: u32,
    collecting: bool,
    stopped: bool,
}

/// What happens on the proc of a cursor, as a check needs it.
#[derive(Clone, Copy)]
pub(super) struct Happening<'e> {
    pub(super) event: &'e Occurrence,
    pub(super) cursor: u32,
}

impl Happening<'_> {
    fn fail<T>(self, kind: ErrorKind, value: u64) -> Result<T, Fault> {
        Err(Fault::new(kind, value, self.event))
    }

    /// A goroutine is not in the state in which it must be.
    #[cold]
    fn mismatch<T>(self, go: u64) -> Result<T, Fault> {
        self.fail(ErrorKind::GoStateMismatch, go)
    }

    /// Opens or closes a range of which there can be only one.
    fn toggle(self, open: &mut bool, begins: bool) -> Result<(), Fault> {
        let kind = match begins {
            true => ErrorKind::RangeOpen,
            false => ErrorKind::RangeNotOpen,
        };
        match core::mem::replace(open, begins) == begins {
            true => self.fail(kind, u64::from(self.event.ty.0)),
            false => Ok(()),
        }
    }

    /// The goroutine on which this happens.
    #[inline(always)]
    fn goroutine(self, goroutines: &mut Goroutines) -> Result<&mut Goroutine, Fault> {
        match goroutines.get_mut(self.event.go_slot) {
            Some(go) => Ok(go),
            None => self.fail(ErrorKind::TableFull(Table::Goroutines), u64::MAX),
        }
    }
}

impl Checks {
    pub(super) fn new(procs: Vec<Proc>) -> Checks {
        Checks {
            procs,
            tasks: IdTable::new(),
            regions: Vec::new(),
            free_region: NIL,
            collecting: false,
            stopped: false,
        }
    }

    /// The goroutine that the proc runs, or 0.
    #[inline(always)]
    fn running(&self, cursor: u32) -> u64 {
        self.procs.get(num::index(cursor)).map_or(0, |proc| proc.go)
    }

    #[inline(always)]
    fn run(&mut self, cursor: u32, go: u64) {
        if let Some(proc) = self.procs.get_mut(num::index(cursor)) {
            proc.go = go;
        }
    }

    /// The proc starts or stops.
    pub(super) fn proc(&mut self, this: Happening<'_>, starts: bool) -> Result<(), Fault> {
        let mut none = Proc::default();
        let proc = self.procs.get_mut(num::index(this.cursor));
        let proc = proc.unwrap_or(&mut none);
        if proc.running == starts || !starts && proc.go != 0 {
            return this.fail(ErrorKind::OldProcState, u64::from(this.event.ty.0));
        }
        proc.running = starts;
        Ok(())
    }

    pub(super) fn collect(&mut self, this: Happening<'_>, begins: bool) -> Result<(), Fault> {
        this.toggle(&mut self.collecting, begins)
    }

    pub(super) fn stop_the_world(
        &mut self,
        this: Happening<'_>,
        begins: bool,
    ) -> Result<(), Fault> {
        this.toggle(&mut self.stopped, begins)
    }

    pub(super) fn sweep(&mut self, this: Happening<'_>, begins: bool) -> Result<(), Fault> {
        let mut none = false;
        let proc = self.procs.get_mut(num::index(this.cursor));
        this.toggle(proc.map_or(&mut none, |proc| &mut proc.sweeping), begins)
    }

    /// The goroutine begins or ends to assist the collector.
    pub(super) fn assist(
        &mut self,
        this: Happening<'_>,
        begins: bool,
        goroutines: &mut Goroutines,
    ) -> Result<(), Fault> {
        let go = this.goroutine(goroutines)?;
        go.exists = true;
        if begins {
            return this.toggle(&mut go.assists, true);
        }
        // It may have begun before the trace did.
        go.assists = false;
        Ok(())
    }

    /// A task must not begin while it is open.
    pub(super) fn task(&mut self, this: Happening<'_>, id: u64) -> Result<(), Fault> {
        match self.tasks.find(id) {
            Some(_) => this.fail(ErrorKind::TaskExists, id),
            None => Ok(()),
        }
    }

    /// A goroutine is created, by the one that runs.
    #[inline(always)]
    pub(super) fn create(
        &mut self,
        this: Happening<'_>,
        goroutines: &mut Goroutines,
    ) -> Result<(), Fault> {
        let event = this.event;
        let [_, first, ..] = event.args;
        if goroutines.get(event.go_slot).state != State::Running
            || self.running(this.cursor) != event.go
        {
            return this.mismatch(event.go);
        }
        let Some(new) = goroutines.get_mut(event.named) else {
            return this.fail(ErrorKind::TableFull(Table::Goroutines), u64::MAX);
        };
        if new.exists {
            return this.fail(ErrorKind::GoroutineExists, first);
        }
        (new.exists, new.state) = (true, State::Runnable);
        Ok(())
    }

    /// A goroutine is made ready to run, perhaps by a timer. Says whether it waited for the network.
    #[inline(always)]
    pub(super) fn unblock(
        &mut self,
        this: Happening<'_>,
        timer: bool,
        goroutines: &mut Goroutines,
    ) -> Result<bool, Fault> {
        let event = this.event;
        let [_, first, ..] = event.args;
        if goroutines.get(event.go_slot).state != State::Running
            || !timer && self.running(this.cursor) != event.go
        {
            return this.mismatch(event.go);
        }
        let woken = goroutines.get_mut(event.named);
        let Some(woken) = woken.filter(|woken| woken.state == State::Waiting) else {
            return this.mismatch(first);
        };
        woken.state = State::Runnable;
        Ok(core::mem::replace(&mut woken.network, false))
    }

    /// A goroutine was blocked when the trace began.
    pub(super) fn was_blocked(
        &mut self,
        this: Happening<'_>,
        goroutines: &mut Goroutines,
    ) -> Result<(), Fault> {
        let go = this.goroutine(goroutines)?;
        if go.state != State::Runnable {
            return this.mismatch(this.event.go);
        }
        (go.state, go.network) = (State::Waiting, false);
        Ok(())
    }

    /// A goroutine starts to run.
    #[inline(always)]
    pub(super) fn start(
        &mut self,
        this: Happening<'_>,
        goroutines: &mut Goroutines,
    ) -> Result<(), Fault> {
        let go = this.goroutine(goroutines)?;
        if go.state != State::Runnable {
            return this.mismatch(this.event.go);
        }
        let running = self.running(this.cursor);
        if running != 0 {
            return this.fail(ErrorKind::ProcBusy, running);
        }
        (go.state, go.network) = (State::Running, false);
        self.run(this.cursor, this.event.go);
        Ok(())
    }

    /// The goroutine that the proc runs must be the one on which this happens, and run.
    #[inline(always)]
    fn runs<'g>(
        &self,
        this: Happening<'_>,
        goroutines: &'g mut Goroutines,
    ) -> Result<&'g mut Goroutine, Fault> {
        let event = this.event;
        let Some(go) = goroutines.get_mut(event.go_slot) else {
            return this.fail(ErrorKind::TableFull(Table::Goroutines), u64::MAX);
        };
        if go.state != State::Running || self.running(this.cursor) != event.go || event.go == 0 {
            return this.mismatch(event.go);
        }
        Ok(go)
    }

    /// The goroutine makes a system call.
    #[inline(always)]
    pub(super) fn call(
        &mut self,
        this: Happening<'_>,
        goroutines: &mut Goroutines,
    ) -> Result<(), Fault> {
        self.runs(this, goroutines)?.network = false;
        Ok(())
    }

    /// The goroutine stops to run, and is in this state then; `network` says that it waits for that.
    #[inline(always)]
    pub(super) fn leave(
        &mut self,
        this: Happening<'_>,
        state: State,
        network: bool,
        goroutines: &mut Goroutines,
    ) -> Result<(), Fault> {
        let go = self.runs(this, goroutines)?;
        (go.state, go.network) = (state, network);
        self.run(this.cursor, 0);
        Ok(())
    }

    /// The goroutine ends, and with it its regions.
    #[inline(always)]
    pub(super) fn end(
        &mut self,
        this: Happening<'_>,
        goroutines: &mut Goroutines,
    ) -> Result<(), Fault> {
        let go = self.runs(this, goroutines)?;
        go.state = State::Dead;
        let innermost = core::mem::replace(&mut go.region, NIL);
        self.run(this.cursor, 0);
        self.free_regions(innermost);
        Ok(())
    }

    /// A system call ends; says whether its goroutine was in one.
    pub(super) fn exit(go_slot: u32, goroutines: &mut Goroutines) -> bool {
        let waiting = |go: &&mut Goroutine| go.state == State::Waiting;
        let Some(go) = goroutines.get_mut(go_slot).filter(waiting) else {
            return false;
        };
        (go.state, go.network) = (State::Runnable, false);
        true
    }

    /// A region begins or ends.
    #[inline(always)]
    pub(super) fn region(
        &mut self,
        this: Happening<'_>,
        goroutines: &mut Goroutines,
    ) -> Result<(), Fault> {
        let event = this.event;
        let [_, task, mode, ty, _] = event.args;
        let Some(go) = goroutines.get_mut(event.go_slot) else {
            return Ok(());
        };
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
                        List::push(&mut self.regions, region).map_err(|_| {
                            let kind = ErrorKind::TableFull(Table::Regions);
                            Fault::new(kind, u64::MAX, event)
                        })?;
                        at
                    }
                };
                Ok(())
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
                Ok(())
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
