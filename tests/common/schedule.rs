//! A scheduler at random, whose threads' clocks lie: traces in which order comes from sequence
//! numbers, with any number of threads that wait for each other, and no two events at one time.

use super::hostile::{Thread, Writer, random};
use gotrace::wire::EventType;
use std::prelude::v1::*;
use std::vec;

/// What to make.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    pub seed: u64,
    pub threads: usize,
    pub steps: usize,
    /// By how many steps a clock may be ahead of what happens.
    pub lie: u64,
    /// This event is not written.
    pub lost: Option<usize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Doing {
    Nothing,
    /// It has a proc.
    Ready(usize),
    /// It runs a goroutine on a proc.
    Running(usize, usize),
    /// It is in a system call, the proc still its own.
    Syscall(usize, usize),
    /// It is in a system call, the proc stolen.
    Stolen(usize),
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Runnable,
    Waiting,
    Busy,
}

type Event = (EventType, u64, Vec<u64>);

/// What happens, as it does.
struct World {
    doing: Vec<Doing>,
    /// The last sequence numbers, and whether the proc is idle.
    procs: Vec<(u64, bool)>,
    goroutines: Vec<(u64, State)>,
    collections: u64,
    /// Of each thread.
    events: Vec<Vec<Event>>,
    made: usize,
    now: u64,
    lie: u64,
    lost: Option<usize>,
}

impl World {
    fn event(&mut self, thread: usize, ty: EventType, args: Vec<u64>) {
        self.made += 1;
        if self.lost == Some(self.made) {
            return;
        }
        let last = self.events[thread].last().map_or(0, |e| e.1 >> 20);
        // Later than the last one of the thread, and at a time of its own.
        let time = (self.now + self.lie).max(last + 1) << 20 | self.made as u64;
        self.events[thread].push((ty, time, args));
    }

    fn proc(&mut self, proc: usize) -> u64 {
        self.procs[proc].0 += 1;
        self.procs[proc].0
    }

    fn goroutine(&mut self, go: usize, state: State) -> u64 {
        self.goroutines[go].0 += 1;
        self.goroutines[go].1 = state;
        self.goroutines[go].0
    }

    /// A goroutine in this state, from a random one on.
    fn find(&self, state: State, from: u64) -> Option<usize> {
        let all = self.goroutines.len();
        let from = from as usize % all;
        (from..all)
            .chain(0..from)
            .find(|go| self.goroutines[*go].1 == state)
    }

    /// Something that this thread can do.
    fn step(&mut self, thread: usize, choice: u64) {
        let pick = choice >> 8;
        match (self.doing[thread], choice % 12) {
            (Doing::Nothing, _) => {
                let Some(proc) = self.procs.iter().position(|(_, idle)| *idle) else {
                    return;
                };
                let number = self.proc(proc);
                self.procs[proc].1 = false;
                self.doing[thread] = Doing::Ready(proc);
                self.event(thread, EventType::PROC_START, vec![proc as u64, number]);
            }
            (Doing::Ready(proc), 1..) => {
                let Some(go) = self.find(State::Runnable, pick) else {
                    return;
                };
                let number = self.goroutine(go, State::Busy);
                self.doing[thread] = Doing::Running(proc, go);
                self.event(thread, EventType::GO_START, vec![go as u64 + 1, number]);
            }
            (Doing::Ready(proc), 0) => {
                self.procs[proc].1 = true;
                self.doing[thread] = Doing::Nothing;
                self.event(thread, EventType::PROC_STOP, vec![]);
            }
            (Doing::Running(proc, go), 0) => {
                self.goroutines[go].1 = State::Runnable;
                self.doing[thread] = Doing::Ready(proc);
                self.event(thread, EventType::GO_STOP, vec![0, 0]);
            }
            (Doing::Running(proc, go), 1 | 2) => {
                self.goroutines[go].1 = State::Waiting;
                self.doing[thread] = Doing::Ready(proc);
                self.event(thread, EventType::GO_BLOCK, vec![0, 0]);
            }
            (Doing::Running(..), 3) => {
                let blocked = pick.is_multiple_of(2);
                let (ty, state) = match blocked {
                    true => (EventType::GO_CREATE_BLOCKED, State::Waiting),
                    false => (EventType::GO_CREATE, State::Runnable),
                };
                self.goroutines.push((0, state));
                let id = self.goroutines.len() as u64;
                self.event(thread, ty, vec![id, 0, 0]);
            }
            (Doing::Running(..), 4 | 5) => {
                if let Some(go) = self.find(State::Waiting, pick) {
                    let number = self.goroutine(go, State::Runnable);
                    let args = vec![go as u64 + 1, number, 0];
                    self.event(thread, EventType::GO_UNBLOCK, args);
                }
            }
            (Doing::Running(proc, go), 6 | 7) => {
                let number = self.proc(proc);
                self.doing[thread] = Doing::Syscall(proc, go);
                self.event(thread, EventType::GO_SYSCALL_BEGIN, vec![number, 0]);
            }
            (Doing::Running(proc, go), 8) => {
                if let Some(next) = self.find(State::Waiting, pick) {
                    self.goroutines[go].1 = State::Waiting;
                    let number = self.goroutine(next, State::Busy);
                    self.doing[thread] = Doing::Running(proc, next);
                    let args = vec![next as u64 + 1, number];
                    self.event(thread, EventType::GO_SWITCH, args);
                }
            }
            (Doing::Running(..), 9) => {
                self.collections += 1;
                let (number, begins) = (self.collections, self.collections.is_multiple_of(2));
                match begins {
                    true => self.event(thread, EventType::GC_BEGIN, vec![number, 0]),
                    false => self.event(thread, EventType::GC_END, vec![number]),
                }
            }
            (Doing::Running(..), _) => {
                let all = self.doing.len();
                let from = pick as usize % all;
                let victim = (from..all)
                    .chain(0..from)
                    .find(|t| matches!(self.doing[*t], Doing::Syscall(..)));
                if let Some(victim) = victim
                    && let Doing::Syscall(proc, go) = self.doing[victim]
                {
                    let number = self.proc(proc);
                    self.procs[proc].1 = true;
                    self.doing[victim] = Doing::Stolen(go);
                    let args = vec![proc as u64, number, victim as u64];
                    self.event(thread, EventType::PROC_STEAL, args);
                }
            }
            (Doing::Syscall(proc, go), 0) => {
                self.doing[thread] = Doing::Running(proc, go);
                self.event(thread, EventType::GO_SYSCALL_END, vec![]);
            }
            (Doing::Syscall(..), _) => {}
            (Doing::Stolen(go), _) => {
                self.goroutines[go].1 = State::Runnable;
                self.doing[thread] = Doing::Nothing;
                self.event(thread, EventType::GO_SYSCALL_END_BLOCKED, vec![]);
            }
        }
    }
}

impl Schedule {
    /// The trace. Unless an event is lost, it is one that readers accept.
    pub fn make(self) -> Vec<u8> {
        let mut random = random(self.seed | 1);
        let procs = (self.threads * 3 / 4).max(1);
        let mut world = World {
            doing: vec![Doing::Nothing; self.threads],
            procs: vec![(0, true); procs],
            goroutines: vec![(0, State::Runnable); self.threads],
            collections: 1,
            events: vec![Vec::new(); self.threads],
            made: 0,
            now: 0,
            lie: 0,
            lost: self.lost,
        };
        for step in 0..self.steps {
            world.now = 1000 + step as u64;
            world.lie = random() % (self.lie + 1);
            let thread = random() as usize % self.threads;
            world.step(thread, random());
        }
        let mut writer = Writer::new();
        // What there is from the start, on a thread of its own.
        let mut thread = writer.running(1 << 40, 1);
        thread.event(EventType::GC_ACTIVE, 2, &[0]);
        thread.event(EventType::GC_END, 3, &[1]);
        for proc in 0..procs as u64 {
            thread.event(EventType::PROC_STATUS, 4 + proc, &[proc, 2]);
        }
        for go in 1..=self.threads as u64 {
            let time = 4 + procs as u64 + go;
            thread.event(EventType::GO_STATUS, time, &[go, u64::MAX, 1]);
        }
        drop(thread);
        for (id, events) in (0..).zip(world.events) {
            let mut thread: Thread<'_> = writer.thread(id, 1);
            for (ty, time, args) in events {
                thread.event(ty, time, &args);
            }
        }
        writer.finish()
    }
}
