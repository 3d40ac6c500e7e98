//! Which generation is open, what was written of it, and how it ends.
//!
//! A generation begins for everyone when its number is stored. Threads find out at their next event:
//! they hand over what they wrote, and say in the new generation what they are doing. Who ends the old
//! one stores the number first, then goes through all threads, taking what they wrote and saying what
//! silent ones were doing, and through all goroutines, so that each that is alive is mentioned.
//!
//! Locks are taken in this order: the list of threads, a thread, the list of goroutines, a goroutine
//! that does not run on a thread, one that does, and the others (procs, names, parts), none of which
//! is held while another is taken. Which generation is open is looked up after the thread and the
//! goroutine that does not run are locked: who moved that one before had seen none that is later, so
//! no goroutine goes back. Who has locked one that runs on another thread takes no other goroutine.

use super::clock::{self, Clock};
use super::goroutines::{Alive, Go, GoState, Told};
use super::names::{Name, Names};
use super::procs::Procs;
use super::thread::{State, Thread};
use crate::emit::{Clocks, TableWriter};
use crate::ids::{GenerationId, ThreadId};
use crate::locks::{Mutex, lock};
use crate::time::Timestamp;
use crate::wire::{BatchHead, Encoder, EventType, GoStatus, StringRecord, Version, timed};
use alloc::sync::Arc;
use alloc::vec::Vec;

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// In the place of a generation's number: nothing is traced.
pub(super) const OFF: u64 = 0;
/// In the place of a generation's number: memory is full, and events are counted only.
pub(super) const FULL: u64 = u64::MAX;

/// All that threads share.
#[derive(Debug)]
pub(super) struct Core {
    /// The open generation, [`OFF`] or [`FULL`].
    generation: AtomicU64,
    /// The first generation of this trace: what was said in earlier ones, its readers do not know.
    first: AtomicU64,
    /// The last generation that was open.
    last: AtomicU64,
    /// When each of the last two generations ended.
    ended: [AtomicU64; 2],
    /// The last generation that ended because memory was full.
    settled: AtomicU64,
    /// How often memory was full.
    losses: AtomicU64,
    /// Events that were not written.
    lost: AtomicU64,
    pub(super) budget: Budget,
    /// So many bytes end a generation.
    size: AtomicUsize,
    pub(super) clock: Clock,
    pub(super) names: Names,
    pub(super) procs: Procs,
    pub(super) alive: Alive,
    threads: Mutex<Vec<Arc<Thread>>>,
    /// Speaks for goroutines that ended when that could not be written.
    keeper: Arc<Thread>,
    parts: [Mutex<Parts>; 2],
    /// Whether stacks are recorded.
    #[cfg(feature = "backtrace")]
    pub(super) stacks: std::sync::atomic::AtomicBool,
    #[cfg(feature = "backtrace")]
    symbols: Mutex<super::stacks::Symbols>,
    /// Called when a generation has enough bytes, or memory is full.
    wake: fn(),
    /// Whether this is the child of the process that traces.
    forked: fn() -> bool,
}

/// Complete batches of a generation.
#[derive(Debug, Default)]
struct Parts {
    generation: u64,
    parts: Vec<Vec<u8>>,
    bytes: usize,
}

/// Bytes of memory for what is not written yet.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    limit: AtomicUsize,
}

impl Budget {
    /// Takes so much, if there is.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = used.saturating_add(bytes) <= self.limit.load(Ordering::Relaxed);
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    /// Takes so much, whether there is or not.
    pub(super) fn overdraw(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Core {
    pub(super) fn new(wake: fn(), forked: fn() -> bool) -> Core {
        Core {
            generation: AtomicU64::new(OFF),
            first: AtomicU64::new(1),
            last: AtomicU64::new(0),
            ended: [AtomicU64::new(0), AtomicU64::new(0)],
            settled: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            budget: Budget {
                used: AtomicUsize::new(0),
                limit: AtomicUsize::new(64 << 20),
            },
            size: AtomicUsize::new(8 << 20),
            clock: Clock::new(),
            names: Names::new(),
            procs: Procs::new(),
            alive: Alive::new(),
            threads: Mutex::new(Vec::new()),
            keeper: Thread::new(ThreadId::new(u64::from(u32::MAX)), None),
            parts: [Mutex::new(Parts::default()), Mutex::new(Parts::default())],
            #[cfg(feature = "backtrace")]
            stacks: std::sync::atomic::AtomicBool::new(false),
            #[cfg(feature = "backtrace")]
            symbols: Mutex::new(super::stacks::Symbols::default()),
            wake,
            forked,
        }
    }

    /// The open generation, [`OFF`] or [`FULL`].
    #[inline(always)]
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The last generation in which anything was traced; [`OFF`] if nothing is.
    pub(super) fn latest(&self) -> u64 {
        match self.generation() {
            FULL => self.last.load(Ordering::Acquire),
            generation => generation,
        }
    }

    /// The first generation of this trace.
    #[inline(always)]
    pub(super) fn first(&self) -> u64 {
        self.first.load(Ordering::Acquire)
    }

    pub(super) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// Counts events that are not written.
    #[cold]
    pub(super) fn lose(&self, events: u64) {
        self.lost.fetch_add(events, Ordering::Relaxed);
    }

    /// How many events were not written, and how often memory was full.
    pub(super) fn lost(&self) -> (u64, u64) {
        (self.lost.load(Ordering::Relaxed), self.losses())
    }

    pub(super) fn configure(&self, memory: usize, size: usize) {
        self.budget.limit.store(memory, Ordering::Relaxed);
        self.size.store(size, Ordering::Relaxed);
    }

    /// When a generation ended, of the last two.
    fn ended(&self, generation: u64) -> &AtomicU64 {
        let [even, odd] = &self.ended;
        if generation.is_multiple_of(2) {
            even
        } else {
            odd
        }
    }

    fn parts(&self, generation: u64) -> &Mutex<Parts> {
        let [even, odd] = &self.parts;
        if generation.is_multiple_of(2) {
            even
        } else {
            odd
        }
    }

    /// Adds complete batches to a generation that is open or being ended. The budget has them.
    pub(super) fn hand_over(&self, generation: u64, part: Vec<u8>) {
        let mut parts = lock(self.parts(generation));
        if parts.generation != generation {
            debug_assert!(parts.parts.is_empty());
            *parts = Parts {
                generation,
                ..Parts::default()
            };
        }
        parts.bytes = parts.bytes.saturating_add(part.len());
        let enough = parts.bytes >= self.size.load(Ordering::Relaxed);
        parts.parts.push(part);
        drop(parts);
        if enough {
            (self.wake)();
        }
    }

    /// How many bytes were handed over of a generation.
    fn bytes(&self, generation: u64) -> usize {
        let parts = lock(self.parts(generation));
        match parts.generation == generation {
            true => parts.bytes,
            false => 0,
        }
    }

    /// Whether the open generation has so many bytes that it should end.
    pub(super) fn is_large(&self) -> bool {
        let generation = self.generation();
        generation != OFF
            && generation != FULL
            && self.bytes(generation) >= self.size.load(Ordering::Relaxed)
    }

    /// Memory is full: events are counted from now on.
    #[cold]
    pub(super) fn fill_up(&self, generation: u64) {
        // It may be another one by now, or off: then that goes on.
        let filled =
            self.generation
                .compare_exchange(generation, FULL, Ordering::AcqRel, Ordering::Acquire);
        if filled.is_ok() {
            (self.wake)();
        }
    }

    /// Whether this is the child of the process that traces, where nobody ends generations: nothing is
    /// traced any more.
    #[cold]
    pub(super) fn is_orphan(&self) -> bool {
        let orphan = (self.forked)();
        if orphan {
            self.generation.store(OFF, Ordering::Release);
        }
        orphan
    }

    pub(super) fn register(&self, thread: &Arc<Thread>) {
        lock(&self.threads).push(Arc::clone(thread));
    }

    pub(super) fn unregister(&self, thread: &Arc<Thread>) {
        let mut threads = lock(&self.threads);
        if let Some(place) = threads.iter().position(|there| Arc::ptr_eq(there, thread)) {
            threads.swap_remove(place);
        }
    }

    fn all_threads(&self) -> Vec<Arc<Thread>> {
        lock(&self.threads).clone()
    }

    /// Begins a trace, unless one is being written.
    pub(super) fn start(&self) {
        let next = self.last.load(Ordering::Acquire).saturating_add(1);
        self.procs.forget();
        self.first.store(next, Ordering::Release);
        self.last.store(next, Ordering::Release);
        self.generation.store(next, Ordering::Release);
    }

    /// Goes on with the next generation, if memory was full in the last one and that was ended. Whether
    /// it does.
    pub(super) fn resume(&self) -> bool {
        let last = self.last.load(Ordering::Acquire);
        // A generation in which memory is full, but that was not ended yet, is ended first.
        if self.generation() != FULL || self.settled.load(Ordering::Acquire) != last {
            return false;
        }
        let next = last.saturating_add(1);
        self.last.store(next, Ordering::Release);
        self.generation.store(next, Ordering::Release);
        true
    }

    /// Ends a trace; what was written of the open generation is forgotten. Only who ends generations
    /// may call this.
    pub(super) fn stop(&self) {
        self.generation.store(OFF, Ordering::Release);
        for thread in self.all_threads() {
            if self.forget(&thread) {
                self.unregister(&thread);
            }
        }
        self.forget(&self.keeper);
        self.alive.each(|go| {
            if go.lock().dead {
                self.alive.remove(go);
            }
        });
        for parts in &self.parts {
            let parts = core::mem::take(&mut *lock(parts));
            self.give_back(&parts.parts);
        }
        let last = self.last.load(Ordering::Acquire);
        self.names.take(last);
    }

    /// Whether the thread has ended.
    fn forget(&self, thread: &Thread) -> bool {
        let mut state = thread.lock();
        state.forget(self);
        state.gone
    }

    fn give_back(&self, parts: &[Vec<u8>]) {
        for part in parts {
            self.budget.give_back(part.capacity());
        }
    }

    /// Ends the open generation and gives all of it, with its number: the budget has it. The next one
    /// is open from now on; except where memory is full, until [`resume`](Core::resume).
    ///
    /// One thread at a time may call this.
    pub(super) fn end_generation(&self) -> Option<(GenerationId, Vec<Vec<u8>>)> {
        let ending = self.last.load(Ordering::Acquire);
        let number = GenerationId::new(ending)?;
        self.ended(ending)
            .store(self.clock.now(), Ordering::Release);
        let next = ending.saturating_add(1);
        let open =
            self.generation
                .compare_exchange(ending, next, Ordering::AcqRel, Ordering::Acquire);
        let full = match open {
            Ok(_) => {
                self.last.store(next, Ordering::Release);
                false
            }
            Err(FULL) => true,
            Err(_) => return None,
        };
        if full {
            self.settled.store(ending, Ordering::Release);
            self.losses.fetch_add(1, Ordering::AcqRel);
        }

        for thread in self.all_threads() {
            let over = thread.lock().settle(self, ending, full);
            if over {
                self.unregister(&thread);
            }
        }
        let mut statuses = Statuses::new(ending, self.ended_at(ending));
        let mut keeper = self.keeper.lock();
        self.alive.each(|go| {
            let mut state = go.lock();
            if state.dead {
                let known = state.told != Told::Unborn && state.generation >= self.first();
                let (told, generation) = (state.told, state.generation);
                drop(state);
                match told {
                    // Its thread will say so; or the next end does.
                    Told::Running if known => return,
                    Told::Waiting | Told::Runnable if generation > ending => return,
                    Told::Waiting | Told::Runnable if known => keeper.bury(self, ending, go),
                    _ => {}
                }
                self.alive.remove(go);
                return;
            }
            self.mention(&mut statuses, ending, go, &mut state);
        });
        keeper.settle(self, ending, true);
        drop(keeper);
        statuses.hand_over(self);

        let parts = core::mem::take(&mut *lock(self.parts(ending)));
        let mut parts = match parts.generation == ending {
            true => parts.parts,
            false => Vec::new(),
        };
        let tables = self.tables(number);
        self.budget.overdraw(tables.capacity());
        parts.push(tables);
        Some((number, parts))
    }

    fn ended_at(&self, generation: u64) -> u64 {
        self.ended(generation).load(Ordering::Acquire)
    }

    /// Says in a generation, from no thread, what a goroutine does that waits in it from its
    /// beginning to its end.
    fn mention(&self, to: &mut Statuses, generation: u64, go: &Arc<Go>, state: &mut GoState) {
        let first = self.first();
        if state.told == Told::Unborn || state.generation >= generation {
            return;
        }
        if state.generation < first {
            state.begin_trace();
        }
        let gstatus = match state.told {
            Told::Waiting => GoStatus::WAITING,
            Told::Runnable => GoStatus::RUNNABLE,
            // Its thread says so.
            Told::Running | Told::Unborn | Told::Dead => return,
        };
        let stack = to.stack(self, &go.name);
        to.add(self, &go_status(go, None, gstatus, stack));
        (state.generation, state.sequence) = (generation, 0);
    }

    /// As [`mention`](Core::mention), where a thread finds that nobody did in the generation before
    /// the one that it writes in, which is being ended.
    #[cold]
    pub(super) fn mention_late(&self, generation: u64, go: &Arc<Go>, state: &mut GoState) {
        let mut statuses = Statuses::new(generation, self.ended_at(generation));
        self.mention(&mut statuses, generation, go, state);
        statuses.hand_over(self);
    }

    /// Says in a generation that is being ended what a thread did that was silent in it.
    pub(super) fn say_silent(&self, generation: u64, thread: &mut State) {
        let mut statuses = Statuses::of(
            generation,
            thread.number(),
            Timestamp(self.ended_at(generation)),
        );
        thread.say(self, generation, |event| statuses.add(self, &event));
        statuses.hand_over(self);
    }

    /// What ends a generation: clocks, stacks, strings, the marker.
    fn tables(&self, generation: GenerationId) -> Vec<u8> {
        #[allow(unused_mut)]
        let mut table = self.names.take(generation.get());
        #[cfg(feature = "backtrace")]
        table.resolve(&mut lock(&self.symbols));
        // The three readings are taken together; the trace clock's in the middle.
        let (mono, wall) = clock::system();
        let mut bytes = Vec::new();
        TableWriter {
            version: Version::CURRENT,
            generation,
            clocks: Clocks {
                time: Timestamp(self.clock.now()),
                hertz: self.clock.hertz(),
                mono,
                wall,
            },
            strings: table.strings(),
            stacks: table.stacks(),
        }
        .write(&mut bytes);
        bytes
    }
}

/// A status event.
pub(super) fn go_status(
    go: &Go,
    thread: Option<ThreadId>,
    gstatus: GoStatus,
    stack: u64,
) -> crate::wire::TimedEvent {
    timed::GoStatusStack {
        g: go.id,
        m: thread,
        gstatus,
        stack: crate::ids::StackId::new(stack),
    }
    .after(0)
}

/// Batches of statuses, which threads did not write themselves.
struct Statuses {
    generation: u64,
    head: Option<BatchHead>,
    bytes: Vec<u8>,
    /// The stack that was asked for last: many goroutines have one name.
    last: Option<(Arc<Name>, u64)>,
}

/// About so many bytes are in a batch.
const STATUSES: usize = 32 << 10;

impl Statuses {
    fn new(generation: u64, time: u64) -> Statuses {
        Statuses::of(generation, None, Timestamp(time))
    }

    fn of(generation: u64, thread: Option<ThreadId>, time: Timestamp) -> Statuses {
        let head = GenerationId::new(generation).map(|g| BatchHead::new(g, thread, time));
        Statuses {
            generation,
            head,
            bytes: Vec::new(),
            last: None,
        }
    }

    fn stack(&mut self, core: &Core, name: &Arc<Name>) -> u64 {
        match &self.last {
            Some((last, id)) if Arc::ptr_eq(last, name) => *id,
            _ => {
                let id = core.names.stack(self.generation, name);
                self.last = Some((Arc::clone(name), id));
                id
            }
        }
    }

    fn add(&mut self, core: &Core, event: &crate::wire::TimedEvent) {
        let mut buffer = [0; crate::wire::STAGE];
        let mut out = Encoder::new(&mut buffer);
        // There is room for the longest.
        if out.event(event).is_ok() {
            self.bytes.extend_from_slice(out.bytes());
        }
        if self.bytes.len() >= STATUSES {
            self.hand_over(core);
        }
    }

    fn hand_over(&mut self, core: &Core) {
        if let (Some(head), false) = (self.head, self.bytes.is_empty()) {
            let batch = batch_of(&head, &self.bytes);
            core.budget.overdraw(batch.capacity());
            core.hand_over(self.generation, batch);
            self.bytes.clear();
        }
    }
}

/// A batch with this payload, of at most 64 KiB.
pub(super) fn batch_of(head: &BatchHead, payload: &[u8]) -> Vec<u8> {
    let mut buffer = [0; BatchHead::MAX_LEN];
    let mut out = Encoder::new(&mut buffer);
    let fits = out.head(head, crate::num::wide(payload.len()));
    debug_assert!(fits.is_ok());
    [out.bytes(), payload].concat()
}

/// Adds a string to the payload of a batch of strings.
pub(super) fn add_string(payload: &mut Vec<u8>, id: u64, text: &[u8]) {
    if payload.is_empty() {
        payload.push(EventType::STRINGS.0);
    }
    let most = crate::num::narrow(crate::wire::MAX_STRING_SIZE);
    let text = text.get(..most).unwrap_or(text);
    let record = StringRecord {
        id,
        data: crate::string::GoStr::new(text),
    };
    let mut buffer = [0; crate::wire::STAGE];
    let mut out = Encoder::new(&mut buffer);
    if out
        .string_head(record.id, crate::num::wide(text.len()))
        .is_ok()
    {
        payload.extend_from_slice(out.bytes());
        payload.extend_from_slice(text);
    }
}
