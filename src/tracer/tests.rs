//! Random calls, on several threads that take turns: whatever happens, what is written is a trace,
//! and so is every suffix of its generations. `GOTRACE_CASES` sets how many are tried.

use super::core::{Core, FULL, OFF};
use super::goroutines::Go;
use super::names::Name;
use super::thread::Thread;
use crate::generation::Trace;
use crate::ids::ThreadId;
use crate::wire::Version;
use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use proptest::prelude::*;
use std::{eprintln, format, vec};

#[path = "../../tests/reading/validator/facts.rs"]
#[allow(dead_code)]
mod facts;
#[path = "../../tests/reading/validator/model.rs"]
#[allow(dead_code)]
mod model;

/// A call, on one of the threads.
#[derive(Clone, Copy, Debug)]
enum Call {
    Log,
    Text,
    Region(usize),
    EndRegion(usize),
    Task,
    EndTask,
    Metric,
    Block,
    Syscall,
    Run,
    Create,
    Poll(usize),
    Pend,
    Finish,
    Wake(usize),
    Drop(usize),
    Park,
    EndThread,
    Advance,
    Fill,
    Resume,
    Look,
    Stop,
    Start,
}

fn call() -> impl Strategy<Value = (usize, Call)> {
    use Call::*;
    let call = prop_oneof![
        6 => Just(Log),
        2 => Just(Text),
        6 => (0..3usize).prop_map(Region),
        6 => (0..4usize).prop_map(EndRegion),
        2 => Just(Task),
        2 => Just(EndTask),
        1 => Just(Metric),
        2 => Just(Block),
        2 => Just(Syscall),
        2 => Just(Run),
        5 => Just(Create),
        12 => (0..8usize).prop_map(Poll),
        8 => Just(Pend),
        4 => Just(Finish),
        12 => (0..8usize).prop_map(Wake),
        2 => (0..8usize).prop_map(Drop),
        2 => Just(Park),
        2 => Just(EndThread),
        8 => Just(Advance),
        1 => Just(Fill),
        2 => Just(Resume),
        1 => Just(Look),
        1 => Just(Stop),
        2 => Just(Start),
    ];
    (0..THREADS, call)
}

const THREADS: usize = 4;
const NAMES: [&str; 3] = ["read", "work", "write"];

/// A thread, and what really happens on it.
struct Worker {
    thread: Arc<Thread>,
    polled: Vec<Arc<Go>>,
    regions: Vec<u64>,
    number: u64,
}

struct World {
    core: Core,
    workers: Vec<Worker>,
    waiting: Vec<Arc<Go>>,
    tasks: Vec<u64>,
    next_task: u64,
    next_thread: u64,
    trace: Vec<u8>,
    judged: usize,
}

impl World {
    fn new() -> World {
        let mut world = World {
            core: Core::new(|| (), || false),
            workers: Vec::new(),
            waiting: Vec::new(),
            tasks: Vec::new(),
            next_task: 1,
            next_thread: 100,
            trace: Vec::new(),
            judged: 0,
        };
        for _ in 0..THREADS {
            let worker = world.worker();
            world.workers.push(worker);
        }
        world
    }

    fn worker(&mut self) -> Worker {
        self.next_thread += 1;
        let number = self.next_thread;
        let name = Name::new(Cow::Owned(format!("thread {number}")), None);
        let thread = Thread::new(ThreadId::new(number), Some(name));
        self.core.register(&thread);
        Worker {
            thread,
            polled: Vec::new(),
            regions: Vec::new(),
            number,
        }
    }

    fn end_generation(&mut self) {
        let Some((_, parts)) = self.core.end_generation() else {
            return;
        };
        if self.trace.is_empty() {
            self.trace.extend_from_slice(Version::CURRENT.header());
        }
        for part in parts {
            self.core.budget.give_back(part.capacity());
            self.trace.extend_from_slice(&part);
        }
    }

    fn call(&mut self, on: usize, call: Call) -> Result<(), String> {
        let core = &self.core;
        let worker = &mut self.workers[on];
        let mut state = worker.thread.lock();
        match call {
            Call::Log => state.log(core, 0, "category", b"text"),
            Call::Text => state.log(core, 0, "long", &[b'x'; 1500]),
            Call::Region(n) => {
                let number =
                    state.begin_region(core, self.tasks.last().copied().unwrap_or(0), NAMES[n]);
                worker.regions.push(number);
            }
            Call::EndRegion(n) => {
                // Mostly the last; now and then, another one.
                let place = worker.regions.len().saturating_sub(1 + n / 2);
                if place < worker.regions.len() {
                    let number = worker.regions.remove(place);
                    if number != 0 {
                        state.end_region(core, number);
                    }
                }
            }
            Call::Task => {
                let parent = self.tasks.last().copied().unwrap_or(0);
                state.begin_task(core, self.next_task, parent, "task");
                self.tasks.push(self.next_task);
                self.next_task += 1;
            }
            Call::EndTask => {
                if let Some(task) = self.tasks.pop() {
                    state.end_task(core, task);
                }
            }
            Call::Metric => {
                state.metric(core, crate::wire::timed::HeapAlloc { heapalloc_value: 7 })
            }
            Call::Block => state.block(core, "sleep"),
            Call::Syscall => {
                state.begin_syscall(core);
            }
            Call::Run => {
                state.run_current(core);
            }
            Call::Create => {
                if self.waiting.len() < 20 && !matches!(core.generation(), OFF | FULL) {
                    let go = Go::new(Name::new(Cow::Borrowed("future"), None)).unwrap();
                    state.create(core, &go);
                    self.waiting.push(go);
                }
            }
            Call::Poll(n) => {
                if n < self.waiting.len() {
                    let go = self.waiting.swap_remove(n);
                    state.poll_begin(core, &go);
                    worker.polled.push(go);
                }
            }
            Call::Pend => {
                if let Some(go) = worker.polled.pop() {
                    state.poll_end(core, &go, "select");
                    self.waiting.push(go);
                }
            }
            Call::Finish => {
                if let Some(go) = worker.polled.pop() {
                    state.poll_last(core, &go);
                }
            }
            Call::Wake(n) => {
                let polled = worker.polled.last();
                let other = self.waiting.get(n).or(polled).cloned();
                if let Some(go) = other {
                    state.wake(core, &go);
                }
            }
            Call::Drop(n) => {
                if n < self.waiting.len() {
                    let go = self.waiting.swap_remove(n);
                    state.end_goroutine(core, &go);
                }
            }
            Call::Park => state.park(core),
            Call::EndThread => {
                for go in worker.polled.drain(..).rev() {
                    state.poll_end(core, &go, "select");
                    self.waiting.push(go);
                }
                let over = state.end(core);
                drop(state);
                if over {
                    core.unregister(&worker.thread);
                }
                self.workers[on] = self.worker();
            }
            Call::Advance => {
                drop(state);
                if core.generation() != OFF {
                    self.end_generation();
                    self.core.resume();
                }
            }
            Call::Fill => {
                let open = core.generation();
                if !matches!(open, OFF | FULL) {
                    core.fill_up(open);
                }
            }
            Call::Resume => {
                drop(state);
                if core.generation() == FULL {
                    self.end_generation();
                    self.core.resume();
                }
            }
            // What is full, and was not ended, is not left out.
            Call::Look => {
                core.resume();
            }
            Call::Stop => {
                drop(state);
                if core.generation() != OFF {
                    self.end_generation();
                    self.stop()?;
                }
            }
            Call::Start => {
                drop(state);
                if core.generation() == OFF {
                    core.start();
                }
            }
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<(), String> {
        self.core.stop();
        assert_eq!(self.core.budget.used(), 0, "memory is given back");
        let trace = core::mem::take(&mut self.trace);
        if !trace.is_empty() {
            judge(&trace)?;
            self.judged += 1;
        }
        Ok(())
    }
}

/// Fails unless a trace and all its suffixes are accepted.
pub(super) fn judge(trace: &[u8]) -> Result<(), String> {
    let of = Trace::new(trace).map_err(|e| e.to_string())?;
    let starts: Vec<u64> = of
        .generations()
        .map(|g| g.map(|g| g.start.0))
        .collect::<Result<_, _>>()
        .map_err(|e| e.to_string())?;
    for (n, start) in starts.iter().enumerate() {
        let rest = trace.get(usize::try_from(*start).unwrap()..).unwrap();
        let suffix = [Version::CURRENT.header(), rest].concat();
        read(&suffix).map_err(|e| format!("without {n} generations: {e}"))?;
    }
    Ok(())
}

fn read(trace: &[u8]) -> Result<(), String> {
    let of = Trace::new(trace).map_err(|e| e.to_string())?;
    let mut reader = of.reader();
    let mut validator = model::Validator::new(model::Trust::Program);
    let mut first = None;
    while let Some(event) = reader.next().map_err(|e| e.to_string())? {
        let fact = facts::Fact::of(&event);
        if !matches!(fact.what, facts::What::Sync(..)) {
            first = first.or(reader.generation());
        }
        validator.see(facts::Fact {
            first: first.is_none() || first == reader.generation(),
            ..fact
        })?;
    }
    validator.end(false)
}

fn cases() -> u32 {
    let cases = std::env::var("GOTRACE_CASES").ok();
    cases.and_then(|n| n.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_suffix_is_a_trace(calls in prop::collection::vec(call(), 1..200)) {
        let mut world = World::new();
        world.core.start();
        let mut result = Ok(());
        for (on, call) in &calls {
            result = world.call(*on, *call);
            if result.is_err() {
                break;
            }
        }
        if result.is_ok() && world.core.generation() != OFF {
            world.end_generation();
            result = world.stop();
        }
        if let Err(error) = &result {
            eprintln!("{error}\n{calls:?}");
        }
        prop_assert_eq!(result, Ok(()));
    }
}

/// What is counted as lost is little where nothing is missing.
#[test]
fn nothing_is_lost_where_there_is_memory() {
    let mut world = World::new();
    world.core.start();
    for n in 0..20_000usize {
        let call = match n % 7 {
            0 => Call::Create,
            1 => Call::Poll(0),
            2 => Call::Text,
            3 => Call::Region(1),
            4 => Call::EndRegion(0),
            5 => Call::Wake(3),
            _ => Call::Finish,
        };
        world.call(n % THREADS, call).unwrap();
        if n % 5000 == 0 {
            world.call(0, Call::Advance).unwrap();
        }
    }
    assert_eq!(world.core.lost(), (0, 0));
    world.call(0, Call::Stop).unwrap();
    assert_eq!(world.judged, 1);
}

/// Memory that is too small costs events, which are counted, and nothing else; it is never exceeded by
/// more than what must be said.
#[test]
fn memory_is_bounded() {
    let mut world = World::new();
    const MEMORY: usize = 256 << 10;
    world.core.configure(MEMORY, usize::MAX);
    world.core.start();
    let mut most = 0;
    for n in 0..100_000usize {
        let call = match n % 5 {
            0 => Call::Region(0),
            1 => Call::Text,
            2 => Call::EndRegion(0),
            3 => Call::Log,
            _ => Call::Block,
        };
        world.call(n / 16 % THREADS, call).unwrap();
        most = most.max(world.core.budget.used());
        if n % 30_000 == 29_999 {
            world.call(0, Call::Advance).unwrap();
        }
    }
    let (events, gaps) = world.core.lost();
    assert!(events > 10_000 && gaps == 3, "{events} events, {gaps} gaps");
    assert!(most <= MEMORY + 8 * 1024, "{most} bytes");
    let number = world.workers[0].number;
    assert!(number > 0);
    world.call(0, Call::Stop).unwrap();
    assert_eq!(world.judged, 1);
}
