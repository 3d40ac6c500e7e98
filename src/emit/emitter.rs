//! The emitter: what happens to goroutines, as events.

use super::names::{Name, Names};
use super::output::Part;
use super::state::{Go, Goroutine, Region, State, Task, Views};
use crate::ids::{GenerationId, GoId, StringId};
use crate::tables::{IdTable, List, Slot, Storage};
use crate::time::Timestamp;
use crate::wire::{Typed, timed};
use core::fmt;

/// What an emitter writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EmitterConfig {
    /// The trace clock's units a second.
    pub hertz: u64,
    /// How many cores there are: at least 1, at most what the tables have for procs.
    pub cores: u8,
    /// After how many units of the trace clock [`Emitter::is_due`] says that a generation should
    /// end; 0 leaves it to the bytes.
    pub period: u64,
}

impl EmitterConfig {
    /// One core, a clock of so many units a second, and a generation a second.
    pub const fn new(hertz: u64) -> Self {
        EmitterConfig {
            hertz,
            cores: 1,
            period: hertz,
        }
    }

    /// The same with so many cores.
    pub const fn with_cores(self, cores: u8) -> Self {
        EmitterConfig { cores, ..self }
    }

    /// The same with generations of so many units of the trace clock.
    pub const fn with_period(self, period: u64) -> Self {
        EmitterConfig { period, ..self }
    }
}

/// What an emitter could not write. Numbers that reach their largest stay there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Lost {
    /// Events that did not fit in the memory, and those of refused generations.
    pub events: u64,
    /// Generations that the sink refused, or that had no room for what each must have.
    pub generations: u64,
    /// Goroutines that found no place in their table, or whose name found none.
    pub goroutines: u64,
    /// Regions, tasks and names of events that found no place in their table.
    pub entries: u64,
}

/// Why a goroutine stops running.
///
/// Go's own words for reasons are known to its viewers: `sleep`, `sync`, `select`, `network`,
/// `chan receive`, `chan send`, `system goroutine wait`; `preempted`, `runtime.Gosched`. Others are
/// shown as they are. `forever` means that it never runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It waits for something, or, if it became ready while it ran, yields.
    Block(&'static str),
    /// It is ready to run on.
    Yield(&'static str),
    /// It is over.
    End,
}

/// Turns what happens into a trace: see the [module](super).
///
/// `S` says where tables are and how much they hold: of [`Fixed`](crate::Fixed) the names (of
/// goroutines, regions, tasks, and every reason, category and range), the procs (cores), the
/// goroutines, regions and tasks count, those alive or open at a time and those that ended in this
/// generation; the other numbers may be 0. `M` is the memory for events: an array, a slice, a
/// vector. Each core has an equal part.
///
/// Every method takes the time, a reading of the trace clock, and most the number of the core on
/// which it happens. Time that goes back is taken for the latest so far. To interrupts, other
/// executors and other cores an emitter is like any other data: to be locked. What makes no sense,
/// as the pause of a core on which nothing runs, does nothing.
///
/// An event takes at most 64 bytes of the memory, and as a rule 3 to 8; what
/// methods write is documented with them. Apart from [`advance`](Emitter::advance) and
/// [`create`](Emitter::create), what a method costs depends on no table's size, but for the number
/// of open regions.
pub struct Emitter<S: Storage, M> {
    pub(super) memory: M,
    pub(super) config: EmitterConfig,
    pub(super) cores: S::Procs<Core>,
    pub(super) goroutines: IdTable<Goroutine, S::Goroutines<Slot<Goroutine>>, S::Goroutines<u32>>,
    pub(super) names: Names<S::Strings<Slot<Name>>, S::Strings<u32>>,
    pub(super) regions: S::Regions<Region>,
    pub(super) tasks: S::Tasks<Task>,
    pub(super) next_go: u64,
    pub(super) next_task: u64,
    pub(super) on: bool,
    /// The open generation; none before the first.
    pub(super) generation: Option<GenerationId>,
    /// Whether the sink has the trace's header.
    pub(super) begun: bool,
    /// Whether every goroutine alive is mentioned in the open generation.
    pub(super) complete: bool,
    /// Whether the rest of the open generation is dropped.
    pub(super) dropping: bool,
    /// Whether some region or task may be in another state than the trace says.
    pub(super) astray: bool,
    /// Texts of logs in this generation.
    pub(super) texts: u32,
    /// Events in this generation, without what it begins with.
    pub(super) events: u64,
    pub(super) started: u64,
    pub(super) now: u64,
    pub(super) last_core: usize,
    pub(super) lost: Lost,
}

impl<S: Storage, M> fmt::Debug for Emitter<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter")
            .field("on", &self.on)
            .field("generation", &self.generation)
            .field("events", &self.events)
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<S: Storage, M> defmt::Format for Emitter<S, M> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "emitter, generation {}, {=u64} events, {}",
            self.generation,
            self.events,
            self.lost
        );
    }
}

/// A core: what runs on it, and what it writes.
#[derive(Clone, Debug)]
pub(super) struct Core {
    pub(super) part: Part,
    /// The slot of the goroutine that runs.
    pub(super) running: Option<u32>,
    /// Those that it keeps from running, the first to go on last.
    pub(super) preempted: heapless::Vec<Go, PREEMPTED>,
    pub(super) range: Range,
}

/// How deep goroutines on a core may preempt each other and be resumed without being told so.
const PREEMPTED: usize = 8;

/// A range of the goroutine that runs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range {
    /// How often it began.
    pub(super) depth: u32,
    pub(super) name: Option<u32>,
    pub(super) written: bool,
}

impl<S: Storage, M: AsRef<[u8]> + AsMut<[u8]>> Emitter<S, M> {
    /// An emitter that does nothing yet, and has nothing to remember.
    pub const fn new(memory: M) -> Self {
        Emitter {
            memory,
            config: EmitterConfig::new(1),
            cores: S::Procs::EMPTY,
            goroutines: IdTable::new(),
            names: Names::new(),
            regions: S::Regions::EMPTY,
            tasks: S::Tasks::EMPTY,
            next_go: 1,
            next_task: 1,
            on: false,
            generation: None,
            begun: false,
            complete: false,
            dropping: false,
            astray: false,
            texts: 0,
            events: 0,
            started: 0,
            now: 0,
            last_core: 0,
            lost: Lost {
                events: 0,
                generations: 0,
                goroutines: 0,
                entries: 0,
            },
        }
    }

    /// Begins a trace. Goroutines that were created before are part of it, and wait.
    ///
    /// Each core needs some 250 bytes of the memory; the first core's part holds in addition a status
    /// of about 10 bytes, and at most 30, for each goroutine alive. A part has at most 64 KiB.
    pub fn start(&mut self, now: Timestamp, config: EmitterConfig) {
        self.config = config;
        self.cores.clear();
        let count = usize::from(config.cores.max(1)).min(S::Procs::<Core>::limit());
        for core in 0..count {
            let part = Part::new(core, count, self.memory.as_ref().len());
            let pushed = self.cores.push(Core {
                part,
                running: None,
                preempted: heapless::Vec::new(),
                range: Range::default(),
            });
            debug_assert!(pushed.is_ok());
        }
        self.forget();
        (self.on, self.begun) = (true, false);
        self.now = now.0;
        self.generation = GenerationId::new(1);
        self.begin_generation();
    }

    /// What could not be written since the emitter was made.
    pub const fn lost(&self) -> Lost {
        self.lost
    }

    /// Whether a trace is being written: between [`start`](Emitter::start) and
    /// [`stop`](Emitter::stop).
    pub const fn is_on(&self) -> bool {
        self.on
    }

    /// A goroutine begins to exist, and waits: one event. Nothing if a table is full, which is
    /// counted; the goroutine is then not part of the trace.
    ///
    /// Viewers show it by this name. Go's take a goroutine whose name begins with `runtime.` for one
    /// of the system's.
    pub fn create(&mut self, now: Timestamp, core: u8, name: &'static str) -> Option<Go> {
        self.clock(now);
        let created = self.insert(name);
        let Some(go) = created else {
            self.lost.goroutines = self.lost.goroutines.saturating_add(1);
            return None;
        };
        let last = self.cores.len().saturating_sub(1);
        self.write_creation(usize::from(core).min(last), go.slot);
        created
    }

    fn insert(&mut self, name: &'static str) -> Option<Go> {
        let name = self.names.slot(name)?;
        let id = GoId::new(self.next_go)?;
        let goroutine = Goroutine {
            id: Some(id),
            name,
            state: Views {
                real: State::Waiting,
                ..Views::default()
            },
            ..Goroutine::default()
        };
        let slot = self.goroutines.insert(id.get(), goroutine).ok()?;
        self.next_go = self.next_go.wrapping_add(1);
        Some(Go { id, slot })
    }

    /// Writes that a goroutine was created, whatever it does now.
    pub(super) fn write_creation(&mut self, core: usize, slot: u32) {
        let Some(goroutine) = self.goroutines.get_mut(slot) else {
            return;
        };
        let (name, id) = (goroutine.name, goroutine.id);
        goroutine.sequence = 0;
        let Some(new_g) = id else { return };
        let new_stack = self.names.stack(name);
        let created = timed::GoCreateBlocked {
            new_g,
            new_stack,
            stack: None,
        };
        self.transition(core, slot, State::Waiting, created);
    }

    /// A goroutine that waits becomes ready to run, made so by what runs on this core: one event. If
    /// it runs, its next [`Pause::Block`] is a yield.
    pub fn ready(&mut self, now: Timestamp, core: u8, go: Go) {
        self.clock(now);
        let core = usize::from(core);
        let Some(goroutine) = self.alive(go) else {
            return;
        };
        match goroutine.state.real {
            State::Waiting if core < self.cores.len() => {
                self.set(go.slot, State::Runnable);
                self.write_unblock(core, go.slot);
            }
            State::Running(_) => self.wake(go.slot),
            _ => {}
        }
    }

    /// A goroutine runs on a core: up to three events, and those of its regions if events were lost.
    ///
    /// If it waited, it becomes ready first. What ran is preempted, and goes on when this one pauses;
    /// so interrupts are goroutines like any other, and so are the tasks of executors that preempt
    /// each other. One that runs already runs on.
    pub fn run(&mut self, now: Timestamp, core: u8, go: Go) {
        self.clock(now);
        let core = usize::from(core);
        let Some(goroutine) = self.alive(go) else {
            return;
        };
        let preempted = goroutine.preempted;
        if matches!(goroutine.state.real, State::Running(_)) || core >= self.cores.len() {
            return;
        }
        if preempted {
            let all = self.cores.iter_mut();
            all.for_each(|c| c.preempted.retain(|p| *p != go));
        }
        let Some(place) = self.cores.get_mut(core) else {
            return;
        };
        if let Some(current) = place.running.take() {
            if let Some(goroutine) = self.goroutines.get_mut(current)
                && let Some(id) = goroutine.id
            {
                let first = Go { id, slot: current };
                goroutine.preempted = place.preempted.push(first).is_ok();
            }
            self.end_range(core);
            self.set(current, State::Runnable);
            self.write_stop(core, current, "preempted");
        }
        self.begin(core, go.slot);
    }

    /// A goroutine begins to run on a core on which nothing does.
    fn begin(&mut self, core: usize, slot: u32) {
        let Ok(number) = u8::try_from(core) else {
            return;
        };
        if let Some(place) = self.cores.get_mut(core)
            && let Some(goroutine) = self.goroutines.get_mut(slot)
        {
            place.running = Some(slot);
            goroutine.preempted = false;
        }
        self.set(slot, State::Running(number));
        self.write_start(core, slot);
        if self.astray {
            self.catch_up_annotations(core, slot);
        }
    }

    /// What runs on a core stops: one event, and one more for what it had preempted, which goes on.
    pub fn pause(&mut self, now: Timestamp, core: u8, why: Pause) {
        self.clock(now);
        let core = usize::from(core);
        let Some(slot) = self.cores.get_mut(core).and_then(|c| c.running.take()) else {
            return;
        };
        self.end_range(core);
        let woken = self
            .goroutines
            .get_mut(slot)
            .is_some_and(|g| core::mem::take(&mut g.woken));
        match why {
            Pause::Block(_) if woken => {
                self.set(slot, State::Runnable);
                self.write_stop(core, slot, "runtime.Gosched");
            }
            Pause::Block(reason) => {
                self.set(slot, State::Waiting);
                self.write_block(core, slot, reason);
            }
            Pause::Yield(reason) => {
                self.set(slot, State::Runnable);
                self.write_stop(core, slot, reason);
            }
            Pause::End => {
                self.set(slot, State::Absent);
                self.write_destroy(core, slot);
                self.remove_regions_of(slot);
                self.forget_if_over(slot);
            }
        }
        while let Some(go) = self.cores.get_mut(core).and_then(|c| c.preempted.pop()) {
            let ready = self.alive(go).map(|g| g.state.real) == Some(State::Runnable);
            if ready {
                self.begin(core, go.slot);
                break;
            }
        }
    }

    /// The goroutine, if it is not over.
    pub(super) fn alive(&self, go: Go) -> Option<&Goroutine> {
        let goroutine = self.goroutines.get(go.slot)?;
        (goroutine.id == Some(go.id) && goroutine.state.real != State::Absent).then_some(goroutine)
    }

    fn wake(&mut self, slot: u32) {
        if let Some(goroutine) = self.goroutines.get_mut(slot) {
            goroutine.woken = true;
        }
    }

    /// What a goroutine really does from now on.
    fn set(&mut self, slot: u32, state: State) {
        if let Some(goroutine) = self.goroutines.get_mut(slot) {
            goroutine.state.real = state;
        }
    }

    /// A goroutine that is over, and of which a reader will not have to hear, leaves its place. Its
    /// regions are over with it.
    pub(super) fn forget_if_over(&mut self, slot: u32) {
        let Some(goroutine) = self.goroutines.get_mut(slot) else {
            return;
        };
        if goroutine.id.is_some() && goroutine.state.is_over() {
            *goroutine = Goroutine::default();
            self.goroutines.remove(slot);
        }
    }

    pub(super) fn write_unblock(&mut self, core: usize, slot: u32) {
        if let Some((g, g_seq)) = self.number(slot) {
            let stack = None;
            let event = timed::GoUnblock { g, g_seq, stack };
            self.transition(core, slot, State::Runnable, event);
        }
    }

    /// A goroutine runs; one that waits, as far as a reader knows, is ready before.
    pub(super) fn write_start(&mut self, core: usize, slot: u32) {
        let written = self.goroutines.get(slot).map(|g| g.state.written);
        if written == Some(State::Waiting) {
            self.write_unblock(core, slot);
        }
        let Ok(number) = u8::try_from(core) else {
            return;
        };
        if let Some((g, g_seq)) = self.number(slot) {
            let event = timed::GoStart { g, g_seq };
            self.transition(core, slot, State::Running(number), event);
        }
    }

    pub(super) fn write_stop(&mut self, core: usize, slot: u32, reason: &'static str) {
        let event = timed::GoStop {
            reason_string: self.name(reason),
            stack: None,
        };
        self.transition(core, slot, State::Runnable, event);
    }

    pub(super) fn write_block(&mut self, core: usize, slot: u32, reason: &'static str) {
        let event = timed::GoBlock {
            reason_string: self.name(reason),
            stack: None,
        };
        self.transition(core, slot, State::Waiting, event);
    }

    pub(super) fn write_destroy(&mut self, core: usize, slot: u32) {
        let event = timed::GoDestroy {};
        self.transition(core, slot, State::Absent, event);
    }

    /// A goroutine's id and next sequence number. The number is spent even if the event is not
    /// written: then no other event of this generation is.
    #[inline]
    fn number(&mut self, slot: u32) -> Option<(GoId, u64)> {
        let goroutine = self.goroutines.get_mut(slot)?;
        Some((goroutine.id?, goroutine.next()))
    }

    /// The string of a name; empty if its table is full.
    pub(super) fn name(&mut self, text: &'static str) -> Option<StringId> {
        match self.names.slot(text) {
            Some(slot) => self.names.string(slot),
            None => {
                self.lost.entries = self.lost.entries.saturating_add(1);
                None
            }
        }
    }

    /// Writes an event after which a goroutine is in another state.
    pub(super) fn transition(&mut self, core: usize, slot: u32, state: State, event: impl Typed) {
        if self.emit(core, event)
            && let Some(goroutine) = self.goroutines.get_mut(slot)
        {
            goroutine.state.written = state;
        }
    }

    /// Time goes on.
    pub(super) fn clock(&mut self, now: Timestamp) {
        self.now = self.now.max(now.0);
    }

    /// Writes an event; whether it did. Once one has no room, the rest of the generation is dropped.
    #[inline(always)]
    pub(super) fn emit(&mut self, core: usize, event: impl Typed) -> bool {
        event.with(|ty, numbers| self.put(core, ty, numbers))
    }

    fn put(&mut self, core: usize, ty: u8, numbers: &[u64]) -> bool {
        if !self.on {
            return false;
        }
        if !self.dropping {
            let time = self.stamp(core);
            let memory = self.memory.as_mut();
            let part = self.cores.get_mut(core).map(|c| &mut c.part);
            if part.is_some_and(|part| part.event(memory, time, ty, numbers)) {
                self.events = self.events.wrapping_add(1);
                return true;
            }
        }
        self.drop_rest();
        self.lost.events = self.lost.events.saturating_add(1);
        false
    }

    pub(super) fn drop_rest(&mut self) {
        (self.dropping, self.astray) = (true, true);
    }

    /// The time of the next event. Between events of two cores there is some, so that they have an
    /// order.
    pub(super) fn stamp(&mut self, core: usize) -> Timestamp {
        if core != self.last_core {
            self.last_core = core;
            self.now = self.now.saturating_add(1);
        }
        Timestamp(self.now)
    }
}
