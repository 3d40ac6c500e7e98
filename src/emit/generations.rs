//! Generations: what one begins with, and how it ends.

use super::emitter::Emitter;
use super::output::{core_number, nanoseconds};
use super::sink::Sink;
use super::state::State;
use super::tables::{Clocks, TableWriter, put_head};
use crate::ids::{GenerationId, ProcId, ThreadId};
use crate::num;
use crate::tables::Storage;
use crate::time::{Timestamp, WallTime};
use crate::wire::{BatchHead, GoStatus, HEADER_LEN, ProcStatus, Version, timed};

impl<S: Storage, M: AsRef<[u8]> + AsMut<[u8]>> Emitter<S, M> {
    /// Whether the open generation should end: its period is over, a quarter of some core's memory
    /// is left, or its rest is being dropped.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let age = now.0.saturating_sub(self.started);
        let over = self.config.period != 0 && age >= self.config.period;
        let full = |part: &super::output::Part| part.room() < part.len().wrapping_shr(2);
        let full = self.cores.iter().any(|core| full(&core.part));
        self.on && (over || full || self.dropping)
    }

    /// Ends the open generation, hands it to `out`, and begins the next one. Whether `out` took it.
    ///
    /// `wall` is the wall clock now, as far as it is known. Cost: the bytes of the generation, and
    /// some ten instructions for each goroutine, region, task and name that the tables hold.
    pub fn advance(&mut self, now: Timestamp, wall: WallTime, out: &mut impl Sink) -> bool {
        if !self.on {
            return false;
        }
        self.clock(now);
        let taken = self.end_generation(wall, out);
        self.begin_generation();
        taken
    }

    /// Ends the open generation, and the trace. Whether `out` took the generation.
    ///
    /// Goroutines go on, and are part of the next trace.
    pub fn stop(&mut self, now: Timestamp, wall: WallTime, out: &mut impl Sink) -> bool {
        if !self.on {
            return false;
        }
        self.clock(now);
        let taken = self.end_generation(wall, out);
        self.on = false;
        taken
    }

    /// A reader knows nothing of this trace.
    pub(super) fn forget(&mut self) {
        for slot in self.slots() {
            let Some(goroutine) = self.goroutines.get_mut(slot) else {
                continue;
            };
            goroutine.preempted = false;
            let state = &mut goroutine.state;
            // Where it ran, nobody knows any more.
            if matches!(state.real, State::Running(_)) {
                state.real = State::Waiting;
            }
            (state.written, state.told) = (State::Absent, State::Absent);
            self.forget_if_over(slot);
        }
        for region in self.regions.iter_mut() {
            (region.open.written, region.open.told) = (false, false);
        }
        for task in self.tasks.iter_mut() {
            (task.open.written, task.open.told) = (false, false);
        }
        self.clean_up_regions();
        self.clean_up_tasks();
        self.astray = true;
    }

    fn end_generation(&mut self, wall: WallTime, out: &mut impl Sink) -> bool {
        for core in 0..self.cores.len() {
            self.interrupt_range(core);
        }
        let taken = self.complete && self.write(wall, out);
        if taken {
            self.begun = true;
            self.generation = self.generation.and_then(GenerationId::next);
        } else {
            self.lost.generations = self.lost.generations.saturating_add(1);
            self.lost.events = self.lost.events.saturating_add(self.events);
            self.astray = true;
        }
        for slot in self.slots() {
            if let Some(goroutine) = self.goroutines.get_mut(slot) {
                goroutine.state.settle(taken);
            }
            let over = self.goroutines.get(slot).is_some_and(|g| g.state.is_over());
            if over {
                self.remove_regions_of(slot);
                self.forget_if_over(slot);
            }
        }
        for region in self.regions.iter_mut() {
            region.open.settle(taken);
        }
        for task in self.tasks.iter_mut() {
            task.open.settle(taken);
        }
        self.clean_up_regions();
        self.clean_up_tasks();
        taken
    }

    /// A range cannot go on in the next generation: no event says that one is active. It ends, and
    /// begins anew. There is room, even where events are dropped.
    fn interrupt_range(&mut self, core: usize) {
        let time = self.stamp(core);
        let memory = self.memory.as_mut();
        if let Some(place) = self.cores.get_mut(core)
            && place.range.written
        {
            let ty = timed::STWEnd::TYPE.0;
            let fits = place.part.last_event(memory, time, ty);
            debug_assert!(fits);
            place.range.written = false;
        }
    }

    /// Hands the open generation to the sink.
    fn write(&mut self, wall: WallTime, out: &mut impl Sink) -> bool {
        let Some(generation) = self.generation else {
            return false;
        };
        let clocks = Clocks {
            time: Timestamp(self.now),
            hertz: self.config.hertz,
            mono: nanoseconds(self.now, self.config.hertz),
            wall,
        };
        let tables = TableWriter {
            version: Version::CURRENT,
            generation,
            clocks,
            strings: self.names.strings(),
            stacks: self.names.stacks(),
        };
        let head = |size| BatchHead {
            data_len: size,
            ..BatchHead::new(generation, None, clocks.time)
        };
        let header = if self.begun { 0 } else { HEADER_LEN };
        let mut len = header.saturating_add(tables.encoded_len());
        for core in self.cores.iter() {
            len = len.saturating_add(core.part.batch_len());
            let texts = core.part.texts_len();
            if texts > 0 {
                let head = head(texts).shortest_len();
                len = len.saturating_add(head).saturating_add(texts);
            }
        }
        if !out.reserve(len) {
            return false;
        }
        if !self.begun {
            out.begin(Version::CURRENT);
        }
        let memory = self.memory.as_mut();
        for core in self.cores.iter() {
            out.put(core.part.batch(memory));
        }
        for core in self.cores.iter() {
            if let Some(texts) = core.part.texts(memory) {
                put_head(out, &head(texts.len()));
                out.put(texts);
            }
        }
        tables.write(out);
        true
    }

    /// Begins a generation: what a reader believes, then what is.
    pub(super) fn begin_generation(&mut self) {
        // The clocks of two generations differ.
        self.now = self.now.saturating_add(1);
        self.started = self.now;
        (self.complete, self.dropping) = (true, false);
        self.names.begin_generation();
        (self.texts, self.last_core) = (0, 0);
        let Some(generation) = self.generation else {
            self.complete = false;
            return self.drop_rest();
        };
        let memory = self.memory.as_mut();
        for (number, core) in self.cores.iter_mut().enumerate() {
            let (thread, time) = (core_number(number), Timestamp(self.now));
            self.complete &= core.part.begin(memory, generation, thread, time);
        }
        for core in 0..self.cores.len() {
            let status = ProcId::new(core_number(core)).map(|p| timed::ProcStatus {
                p,
                pstatus: ProcStatus::RUNNING,
            });
            self.complete &= status.is_some_and(|status| self.emit(core, status));
        }
        for slot in self.slots() {
            self.complete &= self.write_status(slot);
        }
        // What each generation must have is no loss by itself.
        self.events = 0;
        if self.complete {
            self.catch_up();
        } else {
            self.drop_rest();
        }
    }

    /// Says what a reader believes of a goroutine; whether there was room.
    fn write_status(&mut self, slot: u32) -> bool {
        let Some(goroutine) = self.goroutines.get_mut(slot) else {
            return true;
        };
        goroutine.sequence = 0;
        let (gstatus, core) = match goroutine.state.written {
            State::Absent => return true,
            // The first core speaks for those that are on none.
            State::Waiting => (GoStatus::WAITING, 0),
            State::Runnable => (GoStatus::RUNNABLE, 0),
            State::Running(core) => (GoStatus::RUNNING, core),
        };
        let (name, id) = (goroutine.name, goroutine.id);
        let Some(g) = id else { return true };
        let status = timed::GoStatusStack {
            g,
            m: ThreadId::new(u64::from(core)),
            gstatus,
            stack: self.names.stack(name),
        };
        self.emit(usize::from(core), status)
    }

    /// Goes from what a reader believes to what is, as far as there is room.
    fn catch_up(&mut self) {
        // New ones.
        for slot in self.slots() {
            let (real, written) = self.states(slot);
            if written == State::Absent && real != State::Absent {
                self.write_creation(0, slot);
            }
        }
        // Those that run elsewhere, or no longer.
        for slot in self.slots() {
            let (real, written) = self.states(slot);
            if let State::Running(core) = written
                && real != written
            {
                self.write_leave(usize::from(core), slot, real);
            }
        }
        // Those that ran meanwhile: they do so for a moment, on the first core.
        for slot in self.slots() {
            let (real, written) = self.states(slot);
            let ran = match real {
                State::Absent => written != State::Absent,
                State::Waiting => written == State::Runnable,
                _ => false,
            };
            if ran {
                self.make_way();
                self.write_start(0, slot);
                self.write_leave(0, slot, real);
            }
        }
        for slot in self.slots() {
            match self.states(slot) {
                (State::Running(core), written) if written != State::Running(core) => {
                    self.write_start(usize::from(core), slot);
                }
                (State::Runnable, State::Waiting) => self.write_unblock(0, slot),
                _ => {}
            }
        }
        for core in 0..self.cores.len() {
            let running = self.cores.get(core).and_then(|c| c.running);
            if let Some(slot) = running.filter(|slot| self.runs(core, *slot)) {
                if self.astray {
                    self.catch_up_annotations(core, slot);
                }
                self.write_range(core);
            }
        }
    }

    fn states(&self, slot: u32) -> (State, State) {
        let state = self.goroutines.get(slot).map(|g| g.state);
        state.map_or_else(Default::default, |s| (s.real, s.written))
    }

    /// A goroutine stops running on a core, as far as a reader knows, to be in another state.
    fn write_leave(&mut self, core: usize, slot: u32, real: State) {
        match real {
            State::Absent => {
                self.write_destroy(core, slot);
                self.remove_regions_of(slot);
            }
            State::Waiting => self.write_block(core, slot, "sleep"),
            State::Runnable | State::Running(_) => self.write_stop(core, slot, "preempted"),
        }
    }

    /// Nothing runs on the first core, as far as a reader knows.
    fn make_way(&mut self) {
        let running = self.cores.first().and_then(|c| c.running);
        if let Some(slot) = running.filter(|slot| self.runs(0, *slot)) {
            self.write_stop(0, slot, "preempted");
        }
    }

    /// The slots of the goroutines.
    pub(super) fn slots(&self) -> core::ops::Range<u32> {
        0..num::slot(self.goroutines.slots())
    }
}
