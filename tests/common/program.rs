//! Programs at random, as Go's runtime traces them: valid traces of each version, with all that the model
//! of the scheduler knows.
//!
//! Threads take procs and run goroutines, which create, block and unblock others, switch to them, enter
//! system calls in which their procs are stolen, collect garbage, stop the world, open and close regions
//! and tasks. Threads of C call into Go. Generations end amid all of it, and each says anew what everything
//! was doing. Clocks of threads may be ahead, so that only sequence numbers say what came first.

use super::hostile::{Writer, put, random};
use gotrace::wire::{EventType, GoStatus, ProcStatus, Version};
use std::collections::BTreeMap;
use std::prelude::v1::*;
use std::vec;

/// What to make.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    pub seed: u64,
    pub version: Version,
    pub generations: u64,
    pub threads: usize,
    /// In each generation.
    pub steps: usize,
    /// By how many steps a clock may be ahead of what happens.
    pub lie: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Doing {
    Nothing,
    /// It has a proc.
    Ready(usize),
    /// It runs a goroutine on a proc.
    Running(usize, u64),
    /// It is in a system call, the proc still its own.
    Syscall(usize, u64),
    /// It is in a system call, without a proc.
    Stolen(u64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum ProcState {
    Idle,
    Busy,
    /// A thread of C went away with it: this one.
    Abandoned(usize),
}

#[derive(Debug, Clone, Copy)]
struct Proc {
    number: u64,
    state: ProcState,
    sweeps: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Runnable,
    Waiting,
    Busy,
}

#[derive(Debug, Clone)]
struct Go {
    number: u64,
    state: State,
    /// Task and name of each open region.
    regions: Vec<[u64; 2]>,
    assists: bool,
    stops: bool,
    /// A thread of C made it when it called into Go.
    of_c: bool,
}

impl Go {
    const fn new(state: State) -> Go {
        Go {
            number: 0,
            state,
            regions: Vec::new(),
            assists: false,
            stops: false,
            of_c: false,
        }
    }
}

type Event = (EventType, u64, Vec<u64>);

/// The thread that says what is idle. It runs nothing.
const CROWD: u64 = 1 << 40;
const STRINGS: [&str; 6] = ["one", "two", "a region", "a task", "GC (fractional)", "six"];
const STACKS: u64 = 3;
/// When the first generation begins.
const START: u64 = 1000;

struct World {
    version: Version,
    doing: Vec<Doing>,
    procs: Vec<Proc>,
    goroutines: BTreeMap<u64, Go>,
    created: u64,
    tasks: Vec<u64>,
    tasks_begun: u64,
    collections: u64,
    collects: bool,
    /// The generation has yet to say that garbage is being collected.
    untold: bool,
    /// Of each thread, in this generation; of [`CROWD`] last.
    events: Vec<Vec<Event>>,
    samples: Vec<[u64; 5]>,
    made: u64,
    now: u64,
    lie: u64,
}

impl World {
    fn event(&mut self, thread: usize, ty: EventType, args: &[u64]) {
        self.made += 1;
        let last = self.events[thread].last().map_or(0, |e| e.1 >> 20);
        // Later than the last one of the thread, and at a time of its own.
        let time = (self.now + self.lie).max(last + 1) << 20 | self.made & 0xf_ffff;
        self.events[thread].push((ty, time, args.to_vec()));
    }

    fn proc(&mut self, proc: usize) -> u64 {
        self.procs[proc].number += 1;
        self.procs[proc].number
    }

    fn goroutine(&mut self, go: u64, state: State) -> u64 {
        let go = self.goroutines.get_mut(&go).expect("a goroutine");
        go.state = state;
        go.number += 1;
        go.number
    }

    fn set(&mut self, go: u64, state: State) {
        self.goroutines.get_mut(&go).expect("a goroutine").state = state;
    }

    /// A goroutine in this state, from a random one on.
    fn find(&self, state: State, pick: u64) -> Option<u64> {
        let all: Vec<u64> = self
            .goroutines
            .iter()
            .filter(|(_, go)| go.state == state)
            .map(|(id, _)| *id)
            .collect();
        let at = pick.checked_rem(all.len() as u64)?;
        Some(all[at as usize])
    }

    /// A generation begins: it says what everything is doing.
    fn announce(&mut self) {
        let crowd = self.doing.len();
        self.events = vec![Vec::new(); crowd + 1];
        self.samples.clear();
        self.lie = 0;
        for at in 0..self.procs.len() {
            self.procs[at].number = 0;
            let status = match self.procs[at].state {
                ProcState::Idle => ProcStatus::IDLE,
                ProcState::Abandoned(_) => ProcStatus::SYSCALL_ABANDONED,
                ProcState::Busy => continue,
            };
            let args = [at as u64, u64::from(status.0)];
            self.event(crowd, EventType::PROC_STATUS, &args);
        }
        let ids: Vec<u64> = self.goroutines.keys().copied().collect();
        for id in ids {
            let go = self.goroutines.get_mut(&id).expect("a goroutine");
            go.number = 0;
            let status = match go.state {
                State::Runnable => GoStatus::RUNNABLE,
                State::Waiting => GoStatus::WAITING,
                State::Busy => continue,
            };
            self.go_status(crowd, id, u64::MAX, status);
        }
        for thread in 0..crowd {
            let (proc, go) = match self.doing[thread] {
                Doing::Nothing => (None, None),
                Doing::Ready(proc) => (Some((proc, ProcStatus::RUNNING)), None),
                Doing::Running(proc, go) => (
                    Some((proc, ProcStatus::RUNNING)),
                    Some((go, GoStatus::RUNNING)),
                ),
                Doing::Syscall(proc, go) => (
                    Some((proc, ProcStatus::SYSCALL)),
                    Some((go, GoStatus::SYSCALL)),
                ),
                Doing::Stolen(go) => (None, Some((go, GoStatus::SYSCALL))),
            };
            if let Some((proc, status)) = proc {
                let args = [proc as u64, u64::from(status.0)];
                self.event(thread, EventType::PROC_STATUS, &args);
            }
            if let Some((go, status)) = go {
                self.go_status(thread, go, thread as u64, status);
            }
        }
        for at in 0..self.procs.len() {
            if self.procs[at].sweeps {
                self.event(crowd, EventType::GC_SWEEP_ACTIVE, &[at as u64]);
            }
        }
        let assisting = self.goroutines.iter().filter(|(_, go)| go.assists);
        for id in assisting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.event(crowd, EventType::GC_MARK_ASSIST_ACTIVE, &[id]);
        }
        // Else the first collection to begin would be taken for the first of all.
        let first = self.now == START;
        if first {
            self.event(crowd, EventType::GC_ACTIVE, &[0]);
        }
        self.untold = self.collects && !first;
    }

    fn go_status(&mut self, on: usize, id: u64, thread: u64, status: GoStatus) {
        let args = [id, thread, u64::from(status.0), 1 + id % STACKS];
        if self.version >= Version::Go123 && id.is_multiple_of(2) {
            self.event(on, EventType::GO_STATUS_STACK, &args);
        } else {
            self.event(on, EventType::GO_STATUS, &args[..3]);
        }
    }

    fn create(&mut self, go: Go) -> u64 {
        self.created += 1;
        self.goroutines.insert(self.created, go);
        self.created
    }

    /// Something that this thread can do.
    fn step(&mut self, thread: usize, choice: u64) {
        let pick = choice >> 8;
        match (self.doing[thread], choice % 32) {
            (Doing::Nothing, 0..4) => {
                let go = Go {
                    of_c: true,
                    ..Go::new(State::Busy)
                };
                let id = self.create(go);
                self.doing[thread] = Doing::Stolen(id);
                self.event(thread, EventType::GO_CREATE_SYSCALL, &[id]);
            }
            (Doing::Nothing, _) => {
                let idle = |proc: &Proc| proc.state == ProcState::Idle;
                let Some(proc) = self.procs.iter().position(idle) else {
                    return;
                };
                let number = self.proc(proc);
                self.procs[proc].state = ProcState::Busy;
                self.doing[thread] = Doing::Ready(proc);
                self.event(thread, EventType::PROC_START, &[proc as u64, number]);
            }
            (Doing::Ready(proc), 0..3) => {
                if self.procs[proc].sweeps {
                    return self.sweep(thread, proc, pick);
                }
                self.procs[proc].state = ProcState::Idle;
                self.doing[thread] = Doing::Nothing;
                self.event(thread, EventType::PROC_STOP, &[]);
            }
            (Doing::Ready(proc), 3) => self.sweep(thread, proc, pick),
            (Doing::Ready(_), 4) => self.event(thread, EventType::HEAP_ALLOC, &[pick % 9999]),
            (Doing::Ready(proc), _) => {
                let Some(go) = self.find(State::Runnable, pick) else {
                    return;
                };
                let number = self.goroutine(go, State::Busy);
                self.doing[thread] = Doing::Running(proc, go);
                self.event(thread, EventType::GO_START, &[go, number]);
            }
            (Doing::Running(proc, go), what) => self.run(thread, proc, go, what, pick),
            (Doing::Syscall(proc, go), 0..6) => {
                self.doing[thread] = Doing::Running(proc, go);
                self.event(thread, EventType::GO_SYSCALL_END, &[]);
            }
            (Doing::Syscall(proc, go), 6..9) if self.goroutines[&go].of_c => {
                self.goroutines.remove(&go);
                self.procs[proc].state = ProcState::Abandoned(thread);
                self.doing[thread] = Doing::Nothing;
                self.event(thread, EventType::GO_DESTROY_SYSCALL, &[]);
            }
            (Doing::Syscall(..), _) => {}
            (Doing::Stolen(go), 0..6) if self.goroutines[&go].of_c => {
                self.goroutines.remove(&go);
                self.doing[thread] = Doing::Nothing;
                self.event(thread, EventType::GO_DESTROY_SYSCALL, &[]);
            }
            (Doing::Stolen(go), 6..20) => {
                self.set(go, State::Runnable);
                self.doing[thread] = Doing::Nothing;
                self.event(thread, EventType::GO_SYSCALL_END_BLOCKED, &[]);
            }
            (Doing::Stolen(_), _) => {}
        }
    }

    /// Something that the running goroutine can do.
    fn run(&mut self, thread: usize, proc: usize, go: u64, what: u64, pick: u64) {
        let stack = pick % (STACKS + 1);
        let name = 1 + pick % STRINGS.len() as u64;
        if self.untold {
            self.untold = false;
            self.collections += 1;
            return self.event(thread, EventType::GC_ACTIVE, &[self.collections]);
        }
        match what {
            0 | 1 => {
                self.set(go, State::Runnable);
                self.doing[thread] = Doing::Ready(proc);
                self.event(thread, EventType::GO_STOP, &[name, stack]);
            }
            2..=4 => {
                self.set(go, State::Waiting);
                self.doing[thread] = Doing::Ready(proc);
                self.event(thread, EventType::GO_BLOCK, &[name, stack]);
            }
            5 | 6 => {
                let id = self.create(Go::new(State::Runnable));
                self.event(thread, EventType::GO_CREATE, &[id, 1, stack]);
            }
            7 if self.version >= Version::Go123 => {
                let id = self.create(Go::new(State::Waiting));
                self.event(thread, EventType::GO_CREATE_BLOCKED, &[id, 1, stack]);
            }
            8 if !self.goroutines[&go].of_c => {
                self.goroutines.remove(&go);
                self.doing[thread] = Doing::Ready(proc);
                self.event(thread, EventType::GO_DESTROY, &[]);
            }
            9..=11 => {
                if let Some(next) = self.find(State::Waiting, pick) {
                    let number = self.goroutine(next, State::Runnable);
                    self.event(thread, EventType::GO_UNBLOCK, &[next, number, stack]);
                }
            }
            12..=14 => {
                let number = self.proc(proc);
                self.doing[thread] = Doing::Syscall(proc, go);
                self.event(thread, EventType::GO_SYSCALL_BEGIN, &[number, stack]);
            }
            15 | 16 if self.version >= Version::Go123 => {
                let Some(next) = self.find(State::Waiting, pick) else {
                    return;
                };
                let number = self.goroutine(next, State::Busy);
                let ends = what == 16 && !self.goroutines[&go].of_c;
                let ty = match ends {
                    true => EventType::GO_SWITCH_DESTROY,
                    false => EventType::GO_SWITCH,
                };
                if ends {
                    self.goroutines.remove(&go);
                } else {
                    self.set(go, State::Waiting);
                }
                self.doing[thread] = Doing::Running(proc, next);
                self.event(thread, ty, &[next, number]);
            }
            17 => {
                self.collections += 1;
                self.collects = !self.collects;
                let number = self.collections;
                match self.collects {
                    true => self.event(thread, EventType::GC_BEGIN, &[number, stack]),
                    false => self.event(thread, EventType::GC_END, &[number]),
                }
            }
            18 => self.sweep(thread, proc, pick),
            19 => {
                let known = self.goroutines.get_mut(&go).expect("a goroutine");
                known.assists = !known.assists;
                match known.assists {
                    true => self.event(thread, EventType::GC_MARK_ASSIST_BEGIN, &[stack]),
                    false => self.event(thread, EventType::GC_MARK_ASSIST_END, &[]),
                }
            }
            20 => {
                let known = self.goroutines.get_mut(&go).expect("a goroutine");
                // Another kind that is open: see the differences from Go.
                if known.assists {
                    return;
                }
                known.stops = !known.stops;
                match known.stops {
                    true => self.event(thread, EventType::STW_BEGIN, &[name, stack]),
                    false => self.event(thread, EventType::STW_END, &[]),
                }
            }
            21 | 22 => {
                let task = self.tasks.last().copied().unwrap_or(0);
                let known = self.goroutines.get_mut(&go).expect("a goroutine");
                known.regions.push([task, name]);
                self.event(thread, EventType::USER_REGION_BEGIN, &[task, name, stack]);
            }
            23 | 24 => {
                let known = self.goroutines.get_mut(&go).expect("a goroutine");
                if let Some([task, name]) = known.regions.pop() {
                    self.event(thread, EventType::USER_REGION_END, &[task, name, stack]);
                }
            }
            25 => {
                self.tasks_begun += 1;
                let parent = self.tasks.last().copied().unwrap_or(0);
                self.tasks.push(self.tasks_begun);
                let args = [self.tasks_begun, parent, name, stack];
                self.event(thread, EventType::USER_TASK_BEGIN, &args);
            }
            26 => {
                if let Some(at) = pick.checked_rem(self.tasks.len() as u64) {
                    let task = self.tasks.swap_remove(at as usize);
                    self.event(thread, EventType::USER_TASK_END, &[task, stack]);
                }
            }
            27 => match pick % 4 {
                0 => self.event(thread, EventType::USER_LOG, &[0, name, name, stack]),
                1 => self.event(thread, EventType::GO_LABEL, &[name]),
                2 => self.event(thread, EventType::PROCS_CHANGE, &[pick % 9, stack]),
                _ if self.version >= Version::Go123 => {
                    self.event(thread, EventType::HEAP_OBJECT_FREE, &[pick % 9999]);
                }
                _ => self.event(thread, EventType::HEAP_GOAL, &[pick % 9999]),
            },
            28 => {
                let time = (self.now << 20) | self.made & 0xf_ffff;
                let sample = [time, thread as u64, proc as u64, go, 1 + pick % STACKS];
                self.samples.push(sample);
            }
            _ => self.steal(thread, pick),
        }
    }

    fn sweep(&mut self, thread: usize, proc: usize, pick: u64) {
        let proc = &mut self.procs[proc];
        proc.sweeps = !proc.sweeps;
        match proc.sweeps {
            true => self.event(thread, EventType::GC_SWEEP_BEGIN, &[pick % (STACKS + 1)]),
            false => self.event(thread, EventType::GC_SWEEP_END, &[pick % 99, pick % 9]),
        }
    }

    /// Takes a proc from a system call, or from a thread of C that is gone.
    fn steal(&mut self, thread: usize, pick: u64) {
        let all = self.procs.len();
        let from = pick as usize % all;
        for proc in (from..all).chain(0..from) {
            let in_syscall = |doing: &Doing| matches!(doing, Doing::Syscall(p, _) if *p == proc);
            let victim = match self.procs[proc].state {
                ProcState::Idle => continue,
                ProcState::Abandoned(thread) => thread,
                ProcState::Busy => match self.doing.iter().position(in_syscall) {
                    Some(victim) => victim,
                    None => continue,
                },
            };
            if let Doing::Syscall(p, go) = self.doing[victim]
                && p == proc
            {
                self.doing[victim] = Doing::Stolen(go);
            }
            let number = self.proc(proc);
            self.procs[proc].state = ProcState::Idle;
            let args = [proc as u64, number, victim as u64];
            return self.event(thread, EventType::PROC_STEAL, &args);
        }
    }

    fn write(&self, writer: &mut Writer, mut random: impl FnMut() -> u64) {
        let strings = STRINGS.iter().zip(1..).map(|(text, id)| (id, *text));
        writer.strings(strings);
        writer.stacks((1..=STACKS).map(|id| [id, 1000 + id, id]));
        if !self.samples.is_empty() {
            let samples = self.samples.iter().map(|sample| {
                let mut entry = vec![EventType::CPU_SAMPLE.0];
                sample.iter().for_each(|field| put(&mut entry, *field));
                entry
            });
            writer.section(EventType::CPU_SAMPLES, samples);
        }
        // Batches of threads by turns, as buffers are full.
        let mut rest: Vec<&[Event]> = self.events.iter().map(Vec::as_slice).collect();
        while rest.iter().any(|events| !events.is_empty()) {
            let at = random() as usize % rest.len();
            let len = (1 + random() as usize % 40).min(rest[at].len());
            let (now, later) = rest[at].split_at(len);
            rest[at] = later;
            let Some((_, start, _)) = now.first() else {
                continue;
            };
            let id = if at == self.doing.len() {
                CROWD
            } else {
                at as u64
            };
            let mut thread = writer.thread(id, *start);
            for (ty, time, args) in now {
                thread.event(*ty, *time, args);
            }
        }
    }
}

impl Program {
    /// The program with this number: small, of any version.
    pub fn number(seed: u64) -> Program {
        let mut random = random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut below = |n: u64| random() % n;
        let versions = [
            Version::Go122,
            Version::Go123,
            Version::Go125,
            Version::Go126,
        ];
        Program {
            seed,
            version: versions[below(4) as usize],
            generations: 1 + below(3),
            threads: 1 + below(9) as usize,
            steps: 20 + below(300) as usize,
            lie: [0, 0, 5, 40, 400][below(5) as usize],
        }
    }

    /// Its trace, which readers accept.
    pub fn trace(self) -> Vec<u8> {
        let mut random = random(self.seed.wrapping_mul(2) | 1);
        let proc = Proc {
            number: 0,
            state: ProcState::Idle,
            sweeps: false,
        };
        let mut world = World {
            version: self.version,
            doing: vec![Doing::Nothing; self.threads],
            procs: vec![proc; (self.threads * 3 / 4).max(1)],
            goroutines: BTreeMap::new(),
            created: 0,
            tasks: Vec::new(),
            tasks_begun: 0,
            collections: 0,
            collects: true,
            untold: false,
            events: Vec::new(),
            samples: Vec::new(),
            made: 0,
            now: START,
            lie: 0,
        };
        for _ in 0..self.threads {
            world.create(Go::new(State::Runnable));
        }
        let mut writer = Writer::of(self.version);
        for generation in 0..self.generations {
            if generation > 0 {
                writer.next();
            }
            world.announce();
            // Later than what was announced.
            world.now += 10_000;
            for _ in 0..self.steps {
                world.now += 1;
                world.lie = random() % (self.lie + 1);
                let thread = random() as usize % self.threads;
                world.step(thread, random());
            }
            world.now += 10_000;
            world.write(&mut writer, &mut random);
        }
        writer.finish()
    }
}
