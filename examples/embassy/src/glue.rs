//! Embassy's hooks, and what they tell the emitter. This file can be taken as it is.
//!
//! A task is a goroutine, its poll is when it runs, a wake makes it ready. An executor whose tasks run
//! in an interrupt preempts the one that runs; so does an interrupt. Everything happens under a
//! critical section, also where interrupts call.

use crate::clock;
use core::cell::RefCell;
use critical_section::Mutex;
use embassy_executor::SpawnToken;
use gotrace::Fixed;
use gotrace::emit::{Emitter, EmitterConfig, Go, Lost, Pause, Sink};
use gotrace::ids::TaskId;
use gotrace::time::{Timestamp, WallTime};
use heapless::LinearMap;

/// The most tasks alive at a time.
const TASKS: usize = 12;

// Names: 32. Cores: 1. Goroutines: those of tasks, of interrupts, and some that ended in this
// generation. Regions: 8. User tasks: 4.
type Tables = Fixed<32, 0, 0, 0, 0, 1, 24, 8, 4>;

/// What becomes a trace.
pub struct Tracer {
    emitter: Emitter<Tables, [u8; 3072]>,
    /// Of the tasks alive, by embassy's id: an address, which comes back.
    tasks: LinearMap<u32, Go, TASKS>,
    /// Of tasks that are about to be spawned.
    names: LinearMap<u32, &'static str, TASKS>,
    /// The task that runs is over: its place may already have another.
    ended: bool,
}

static TRACER: Mutex<RefCell<Tracer>> = Mutex::new(RefCell::new(Tracer {
    emitter: Emitter::new([0; 3072]),
    tasks: LinearMap::new(),
    names: LinearMap::new(),
    ended: false,
}));

/// The core. There is one.
const CORE: u8 = 0;

fn with<R>(f: impl FnOnce(&mut Tracer, Timestamp) -> R) -> Option<R> {
    critical_section::with(|cs| {
        let mut tracer = TRACER.borrow_ref_mut_or_none(cs)?;
        // Read under the lock, so that times do not go back.
        Some(f(&mut tracer, Timestamp(clock::now(cs))))
    })
}

/// `borrow_ref_mut` without a panic: a hook within a hook is not traced.
trait BorrowOrNone<T> {
    fn borrow_ref_mut_or_none<'c>(
        &'c self,
        cs: critical_section::CriticalSection<'c>,
    ) -> Option<core::cell::RefMut<'c, T>>;
}

impl<T> BorrowOrNone<T> for Mutex<RefCell<T>> {
    fn borrow_ref_mut_or_none<'c>(
        &'c self,
        cs: critical_section::CriticalSection<'c>,
    ) -> Option<core::cell::RefMut<'c, T>> {
        self.borrow(cs).try_borrow_mut().ok()
    }
}

/// Begins a trace with generations of so many units of the clock.
pub fn start(period: u64) {
    with(|tracer, now| {
        let config = EmitterConfig::new(clock::HERTZ).with_period(period);
        tracer.emitter.start(now, config);
    });
}

/// Ends a generation if it is time. Not from an interrupt: it may take long.
pub fn advance_if_due(out: &mut impl Sink) {
    with(|tracer, now| {
        if tracer.emitter.is_due(now) {
            tracer.emitter.advance(now, wall(now), out);
        }
    });
}

/// Ends the trace.
pub fn stop(out: &mut impl Sink) {
    with(|tracer, now| tracer.emitter.stop(now, wall(now), out));
}

/// There is no wall clock: time counts from the start.
fn wall(now: Timestamp) -> WallTime {
    WallTime::new(
        now.0 / clock::HERTZ,
        now.0 % clock::HERTZ * 1_000_000_000 / clock::HERTZ,
    )
}

/// What could not be traced.
pub fn lost() -> Lost {
    with(|tracer, _| tracer.emitter.lost()).unwrap_or_default()
}

/// Gives a task the name that its goroutine will have: hooks are told no name.
pub fn named<S>(token: SpawnToken<S>, name: &'static str) -> SpawnToken<S> {
    with(|tracer, _| tracer.names.insert(token.id(), name).ok());
    token
}

/// An interrupt that is traced.
pub struct Interrupt {
    name: &'static str,
    go: Mutex<RefCell<Option<Go>>>,
}

impl Interrupt {
    /// An interrupt, by the name of its handler.
    pub const fn new(name: &'static str) -> Self {
        Interrupt {
            name,
            go: Mutex::new(RefCell::new(None)),
        }
    }

    /// Runs the body of the interrupt's handler.
    pub fn handle(&self, body: impl FnOnce()) {
        let go = critical_section::with(|cs| *self.go.borrow_ref(cs));
        let go = match go {
            Some(go) => Some(go),
            None => with(|t, now| t.emitter.create(now, CORE, self.name)).flatten(),
        };
        critical_section::with(|cs| *self.go.borrow_ref_mut(cs) = go);
        with(|tracer, now| go.map(|go| tracer.emitter.run(now, CORE, go)));
        body();
        with(|tracer, now| {
            if go.is_some() {
                let why = Pause::Block("system goroutine wait");
                tracer.emitter.pause(now, CORE, why);
            }
        });
    }
}

/// A critical section that shows in the trace.
pub fn critical<R>(
    name: &'static str,
    body: impl FnOnce(critical_section::CriticalSection<'_>) -> R,
) -> R {
    critical_section::with(|cs| {
        with(|tracer, now| tracer.emitter.range_begin(now, CORE, name));
        let result = body(cs);
        with(|tracer, now| tracer.emitter.range_end(now, CORE));
        result
    })
}

/// A message of the task that runs.
pub fn log(category: &'static str, message: &str) {
    with(|tracer, now| tracer.emitter.log(now, CORE, None, category, message));
}

/// Runs a part of a task as a region of a user task.
pub fn region<R>(task: Option<TaskId>, name: &'static str, body: impl FnOnce() -> R) -> R {
    with(|tracer, now| tracer.emitter.region_begin(now, CORE, task, name));
    let result = body();
    with(|tracer, now| tracer.emitter.region_end(now, CORE));
    result
}

/// A user task begins.
pub fn task_begin(name: &'static str) -> Option<TaskId> {
    with(|tracer, now| tracer.emitter.task_begin(now, CORE, None, name)).flatten()
}

/// A user task ends.
pub fn task_end(task: Option<TaskId>) {
    with(|tracer, now| task.map(|task| tracer.emitter.task_end(now, CORE, task)));
}

#[unsafe(no_mangle)]
fn _embassy_trace_poll_start(_executor: u32) {}

#[unsafe(no_mangle)]
fn _embassy_trace_executor_idle(_executor: u32) {}

#[unsafe(no_mangle)]
fn _embassy_trace_task_new(_executor: u32, task: u32) {
    with(|tracer, now| {
        let name = tracer.names.remove(&task).unwrap_or("task");
        if let Some(go) = tracer.emitter.create(now, CORE, name) {
            tracer.tasks.insert(task, go).ok();
        }
    });
}

#[unsafe(no_mangle)]
fn _embassy_trace_task_ready_begin(_executor: u32, task: u32) {
    with(|tracer, now| {
        if let Some(go) = tracer.tasks.get(&task) {
            tracer.emitter.ready(now, CORE, *go);
        }
    });
}

/// Also of a task that was woken and is over: that runs nothing.
#[unsafe(no_mangle)]
fn _embassy_trace_task_exec_begin(_executor: u32, task: u32) {
    with(|tracer, now| {
        tracer.ended = false;
        if let Some(go) = tracer.tasks.get(&task) {
            tracer.emitter.run(now, CORE, *go);
        }
    });
}

/// Comes within the last poll.
#[unsafe(no_mangle)]
fn _embassy_trace_task_end(_executor: u32, task: u32) {
    with(|tracer, now| {
        if tracer.tasks.remove(&task).is_some() {
            tracer.emitter.pause(now, CORE, Pause::End);
            tracer.ended = true;
        }
    });
}

#[unsafe(no_mangle)]
fn _embassy_trace_task_exec_end(_executor: u32, task: u32) {
    with(|tracer, now| {
        let ended = core::mem::take(&mut tracer.ended);
        if !ended && tracer.tasks.contains_key(&task) {
            tracer.emitter.pause(now, CORE, Pause::Block("sleep"));
        }
    });
}
