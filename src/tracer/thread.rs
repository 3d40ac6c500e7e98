//! What a thread writes.
//!
//! Events follow from what the trace says already, never from what it should say: one that could not
//! be written costs itself, and what comes after it begins where the trace is.

use super::buffers::SMALLEST;
use super::core::{Core, FULL, OFF, go_status};
use super::goroutines::{Go, Region};
use super::names::{Cache, Name};
use super::procs::{Proc, ProcState};
use super::running::Stop;
use super::short::{Guard, Short};
use crate::ids::ThreadId;
use crate::time::Timestamp;
use crate::wire::{Filling, GoStatus, ProcStatus, TimedEvent, timed};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A thread that traces.
#[derive(Debug)]
pub(super) struct Thread {
    state: Short<State>,
}

/// What a thread has, and what the trace says of it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) number: Option<ThreadId>,
    /// The generation that it writes in.
    pub(super) generation: u64,
    /// The batch that it writes, if `filling` has begun.
    pub(super) buffer: Vec<u8>,
    pub(super) filling: Filling,
    /// A buffer that was hardly used.
    pub(super) spare: Vec<u8>,
    /// How large the next buffer is.
    pub(super) size: usize,
    /// Memory is taken even where there is none: for the little that must be said.
    pub(super) forced: bool,
    /// The payload of a batch of strings.
    pub(super) texts: Vec<u8>,
    /// The time of the first of them.
    pub(super) texts_began: u64,
    /// Ids for texts: the next one, and the end.
    pub(super) ids: (u64, u64),
    pub(super) cache: Box<Cache>,
    pub(super) proc: Option<Proc>,
    /// The goroutine that runs here, as the trace says.
    pub(super) running: Option<Arc<Go>>,
    /// Its open regions.
    pub(super) regions: Vec<Region>,
    /// It is in a system call, and so is the proc.
    pub(super) in_syscall: bool,
    /// The thread's own goroutine.
    pub(super) own: Option<Arc<Go>>,
    pub(super) name: Option<Arc<Name>>,
    /// The tasks that are being polled, the innermost last: what really runs.
    pub(super) polled: Vec<Arc<Go>>,
    /// The user task of what happens.
    pub(super) task: u64,
    /// Numbers of regions that began here.
    pub(super) regions_begun: u64,
    /// The thread has ended, and could not say so.
    pub(super) gone: bool,
}

impl Thread {
    pub(super) fn new(number: Option<ThreadId>, name: Option<Arc<Name>>) -> Arc<Thread> {
        Arc::new(Thread {
            state: Short::new(State {
                number,
                generation: 0,
                buffer: Vec::new(),
                filling: Filling::NONE,
                spare: Vec::new(),
                size: SMALLEST,
                forced: false,
                texts: Vec::new(),
                texts_began: 0,
                ids: (0, 0),
                cache: Box::new(Cache::new()),
                proc: None,
                running: None,
                regions: Vec::new(),
                in_syscall: false,
                own: None,
                name,
                polled: Vec::new(),
                task: 0,
                regions_begun: 0,
                gone: false,
            }),
        })
    }

    #[inline(always)]
    pub(super) fn lock(&self) -> Guard<'_, State> {
        self.state.lock()
    }

    /// As [`lock`](Thread::lock), where no other thread has it.
    #[inline(always)]
    pub(super) fn try_lock(&self) -> Option<Guard<'_, State>> {
        self.state.try_lock()
    }
}

/// When something happens: the open generation, and the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) generation: u64,
    pub(super) time: u64,
}

impl State {
    /// Whether a task is being polled here.
    pub(super) fn is_polling(&self) -> bool {
        !self.polled.is_empty()
    }

    pub(super) fn number(&self) -> Option<ThreadId> {
        self.number
    }

    /// The open generation, in which this thread writes from now on, and the time. Nothing, and one
    /// event lost, where memory is full; nothing where nothing is traced.
    #[inline(always)]
    pub(super) fn now(&mut self, core: &Core) -> Option<Moment> {
        let at = Moment {
            generation: core.generation(),
            time: core.clock.now(),
        };
        if self.generation == at.generation {
            return Some(at);
        }
        self.enter(core, at)
    }

    #[cold]
    #[inline(never)]
    pub(super) fn enter(&mut self, core: &Core, at: Moment) -> Option<Moment> {
        match at.generation {
            OFF => return None,
            FULL => {
                core.lose(1);
                return None;
            }
            _ => {}
        }
        self.begin_generation(core, at);
        Some(at)
    }

    /// Goes on in another generation.
    pub(super) fn begin_generation(&mut self, core: &Core, at: Moment) {
        if self.generation == at.generation {
            return;
        }
        if self.generation < core.first() {
            self.forget(core);
        } else {
            self.hand_over(core);
            let before = at.generation.saturating_sub(1);
            if self.generation < before {
                core.say_silent(before, self);
            }
        }
        self.generation = at.generation;
        // Two events at most, without which the others would be worth nothing.
        let forced = core::mem::replace(&mut self.forced, true);
        let mut events = [None, None];
        let mut free = events.iter_mut();
        self.say(core, at.generation, |event| {
            if let Some(place) = free.next() {
                *place = Some(event);
            }
        });
        for event in events.into_iter().flatten() {
            let [a, b, c, d] = event.args;
            let numbers = [a, b, c, d];
            let count = event.ty.spec().map_or(0, |spec| spec.args.len());
            let numbers = numbers.get(..count.saturating_sub(1)).unwrap_or(&numbers);
            let time = Timestamp(at.time);
            let ty = event.ty.0;
            if !self.filling.numbers_at(&mut self.buffer, time, ty, numbers) {
                self.put_in_another(core, at, ty, numbers);
            }
        }
        self.forced = forced;
    }

    /// Says in a generation what this thread does since it began.
    pub(super) fn say(&mut self, core: &Core, generation: u64, mut put: impl FnMut(TimedEvent)) {
        let Some(proc) = &mut self.proc else { return };
        let (pstatus, gstatus) = match proc.state {
            ProcState::Running => (ProcStatus::RUNNING, GoStatus::RUNNING),
            ProcState::Syscall => (ProcStatus::SYSCALL, GoStatus::SYSCALL),
            ProcState::Idle | ProcState::Unknown => return,
        };
        (proc.generation, proc.sequence) = (generation, 0);
        put(timed::ProcStatus {
            p: proc.id,
            pstatus,
        }
        .after(0));
        let Some(go) = &self.running else { return };
        let mut state = go.lock();
        (state.generation, state.sequence) = (generation, 0);
        drop(state);
        let stack = core.names.stack(generation, &go.name);
        put(go_status(go, self.number, gstatus, stack));
    }

    /// A generation is being ended: hands over what is of it, or says what this thread did in it. If
    /// memory is `full`, nothing runs any more. Whether the thread has ended, and that is said.
    pub(super) fn settle(&mut self, core: &Core, ending: u64, full: bool) -> bool {
        if self.generation < core.first() {
            return self.gone;
        }
        if self.generation < ending {
            core.say_silent(ending, self);
            self.generation = ending;
        }
        if self.generation == ending {
            if full || self.gone {
                self.rest(core, ending);
            } else {
                self.hand_over(core);
            }
        }
        if !self.gone || self.generation > ending {
            return false;
        }
        self.let_go_of_proc(core);
        self.forget(core);
        true
    }

    /// Nothing runs on this thread any more, whatever there is of memory.
    pub(super) fn rest(&mut self, core: &Core, generation: u64) {
        let at = Moment {
            generation,
            time: core.clock.now(),
        };
        let forced = core::mem::replace(&mut self.forced, true);
        self.stop_running(core, at, Stop::Block("tracing"));
        self.stop_proc(core, at);
        self.forced = forced;
        self.hand_over(core);
        // What is kept for later is needed now.
        for buffer in [&mut self.spare, &mut self.texts] {
            core.budget.give_back(buffer.capacity());
            *buffer = Vec::new();
        }
        self.size = SMALLEST;
    }

    /// Another trace begins, or none: what was said is not true any more.
    pub(super) fn forget(&mut self, core: &Core) {
        let buffers = [&mut self.buffer, &mut self.spare, &mut self.texts];
        for buffer in buffers {
            core.budget.give_back(buffer.capacity());
            *buffer = Vec::new();
        }
        self.filling = Filling::NONE;
        self.size = SMALLEST;
        self.ids = (0, 0);
        self.running = None;
        self.regions.clear();
        self.in_syscall = false;
        self.proc = None;
        self.generation = 0;
    }

    /// The thread ends. Whether it is known no more.
    pub(super) fn end(&mut self, core: &Core) -> bool {
        self.polled.clear();
        self.name = None;
        if let Some(own) = self.own.clone() {
            self.end_goroutine(core, &own);
        }
        match core.generation() {
            OFF => {
                self.forget(core);
                return true;
            }
            FULL => {
                self.gone = true;
                return false;
            }
            _ => {}
        }
        if let Some(at) = self.now(core) {
            self.stop_proc(core, at);
        }
        let quiet = |p: &Proc| p.state == ProcState::Idle;
        if self.running.is_some() || !self.proc.as_ref().is_none_or(quiet) {
            // Memory has run out just now.
            self.gone = true;
            return false;
        }
        self.let_go_of_proc(core);
        self.hand_over(core);
        // What is left are the buffers.
        self.forget(core);
        true
    }

    /// A goroutine that ended when that could not be written ends in this generation.
    pub(super) fn bury(&mut self, core: &Core, generation: u64, go: &Arc<Go>) {
        let at = Moment {
            generation,
            time: core.clock.now(),
        };
        self.forced = true;
        self.begin_generation(core, at);
        let mut state = go.lock();
        if self.start_running(core, at, go, &mut state) {
            drop(state);
            self.stop_running(core, at, Stop::End);
        }
    }
}
