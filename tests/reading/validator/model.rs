//! What must hold of a sequence of events, by what the events mean: written from the documentation
//! of Go's API, and not from the code that orders them.
//!
//! Of every trace, however damaged, until its error ([`Trust::Nothing`]):
//! - times grow; sync events are numbered from 1, the first event is one, they have no context;
//! - a goroutine or proc changes from the state that it was last said to be in, in a way that the
//!   scheduler knows; a new one comes from nowhere, or in the first generation from the unknown;
//! - an event happens on the proc and in the goroutine that its thread was last given; but for CPU
//!   samples, and for the status of a goroutine in a system call, which another thread may give;
//! - user code runs on a thread with a proc and a goroutine, the collector's on one with a proc;
//! - a range begins when it is not open, ends when it is, and is active where that is known; its
//!   scope is what its context says;
//! - regions nest in their goroutine; tasks begin once, and end as they began.
//!
//! Of a trace that a Go program wrote, in addition ([`Trust::Program`]):
//! - a goroutine runs on one thread, and a proc belongs to one; no status is 0;
//! - user code runs in a goroutine that runs, and a proc is stolen from one in a system call;
//! - in each generation the first change of a goroutine or proc is its status or its creation;
//! - one world stops at a time; clocks advance from generation to generation.
//!
//! Of a converted trace of before Go 1.22 ([`Trust::Conversion`]) the same as of every trace, but for
//! what Go's conversion does not give: a goroutine's start is said to happen in that goroutine already,
//! what a timer, the network or the system does happens on a proc without a thread, a goroutine in a
//! system call is not bound to a thread, and one goroutine may start the world that another stopped.
//! So what a thread has is not checked, nor that a stopped world is started where it was stopped;
//! an assist may end that began before the trace; and a task without a parent has the background task
//! for one at its end.
//!
//! Of every trace without an error the last event is a sync event without clocks.
//!
//! What is not expected of hostile traces: once two threads claim a goroutine or a proc at a time,
//! nothing is known of what threads have or of which procs run, and neither is checked further; a
//! status of 0 leaves a state unknown; stacks of samples and ids of parents name anything; clocks
//! are what they are; the largest time is followed by the smallest.

// Unit tests, which have no prelude, use this, too.
#[allow(unused_imports)]
use std::{borrow::ToOwned, format, string::String, string::ToString, vec::Vec};

use super::facts::{Fact, Region, Task, What};
use gotrace::{
    GoId, ProcId, TaskId, ThreadId,
    event::{GoState, Metric, ProcState, Resource},
};
use std::collections::{HashMap, HashSet};

/// Who wrote the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A Go program.
    Program,
    /// Anyone.
    Nothing,
    /// A Go program of before Go 1.22, whose trace was converted.
    Conversion,
}

#[derive(Debug, Default, Clone, Copy)]
struct Thread {
    go: Option<GoId>,
    proc: Option<ProcId>,
}

#[derive(Debug)]
struct Goroutine {
    state: GoState,
    regions: Vec<Region>,
}

pub struct Validator {
    trust: Trust,
    count: u64,
    last: Option<Fact>,
    syncs: u64,
    clocks: Option<(i64, u64)>,
    /// Contexts are known.
    contexts: bool,
    goroutines: HashMap<GoId, Goroutine>,
    procs: HashMap<ProcId, ProcState>,
    threads: HashMap<ThreadId, Thread>,
    /// Which thread runs a goroutine and has a proc.
    runs: HashMap<GoId, ThreadId>,
    has: HashMap<ProcId, ThreadId>,
    /// Open ranges, with how often, and whether the collector was heard of.
    ranges: HashMap<(String, Resource), u32>,
    collector: bool,
    tasks: HashMap<Option<TaskId>, Task>,
    /// What had its status or was created in this generation.
    introduced: HashSet<Resource>,
}

type Check = Result<(), String>;

fn need(holds: bool, why: &str) -> Check {
    if holds { Ok(()) } else { Err(why.to_owned()) }
}

const MARK: &str = "GC concurrent mark phase";
const SWEEP: &str = "GC incremental sweep";
const ASSIST: &str = "GC mark assist";
const STOP: &str = "stop-the-world (";

impl Validator {
    pub fn new(trust: Trust) -> Validator {
        Validator {
            trust,
            count: 0,
            last: None,
            syncs: 0,
            clocks: None,
            contexts: trust != Trust::Conversion,
            goroutines: HashMap::new(),
            procs: HashMap::new(),
            threads: HashMap::new(),
            runs: HashMap::new(),
            has: HashMap::new(),
            ranges: HashMap::new(),
            collector: false,
            tasks: HashMap::new(),
            introduced: HashSet::new(),
        }
    }

    /// Looks at the next event.
    pub fn see(&mut self, fact: Fact) -> Check {
        self.count += 1;
        let result = self
            .times(&fact)
            .and_then(|()| self.context(&fact))
            .and_then(|()| self.what(&fact));
        let result = result.map_err(|why| format!("event {}: {why}: {fact:?}", self.count));
        self.last = Some(fact);
        result
    }

    /// The reading is over: with an error or without.
    pub fn end(&self, error: bool) -> Check {
        let last = self.last.as_ref().map(|fact| &fact.what);
        let sync = matches!(last, Some(What::Sync(_, None)));
        need(
            error || sync,
            "the last event is a sync event without clocks",
        )
    }

    fn is_converted(&self) -> bool {
        self.trust == Trust::Conversion
    }

    fn is_program(&self) -> bool {
        self.trust == Trust::Program
    }

    fn times(&self, fact: &Fact) -> Check {
        let Some(last) = &self.last else {
            return need(matches!(fact.what, What::Sync(1, _)), "the first is sync 1");
        };
        let grows = fact.time > last.time;
        need(grows || last.time == i64::MAX, "time grows")
    }

    /// The thread has what the event says: what a thread has executes, for it gives up the rest.
    fn context(&mut self, fact: &Fact) -> Check {
        if self.is_converted() {
            return Ok(());
        }
        match (&fact.what, fact.thread) {
            // Taken by a timer, at any moment: its context is its own.
            (What::Sample, _) => return Ok(()),
            // A goroutine sits in a system call: its thread, but the rest is of whoever says so.
            (What::Go(_, GoState::Undetermined | GoState::Syscall, GoState::Syscall), _) => {
                return Ok(());
            }
            (_, None) => return need(fact.proc.is_none() && fact.go.is_none(), "no context"),
            _ => {}
        }
        let thread = fact.thread.and_then(|id| self.threads.get(&id));
        let thread = thread.copied().unwrap_or_default();
        if !self.contexts {
            return Ok(());
        }
        need(fact.go == thread.go, "the thread runs this goroutine")?;
        // A goroutine that returns to C loses its proc in the event before, in one go.
        let lost = match (&fact.what, &self.last) {
            (What::Go(_, GoState::Syscall, GoState::NotExist), Some(last)) => {
                last.thread == fact.thread
                    && last.what == What::Proc(fact.proc, ProcState::Running, ProcState::Idle)
            }
            _ => false,
        };
        need(fact.proc == thread.proc || lost, "the thread has this proc")?;
        Ok(())
    }

    /// Go code runs here.
    fn user(&self, fact: &Fact) -> Check {
        let thread = fact.thread.is_some() || self.is_converted();
        need(thread, "needs a thread")?;
        need(fact.proc.is_some(), "needs a proc")?;
        let go = fact.go.ok_or("needs a goroutine")?;
        let state = self.goroutines.get(&go).map(|g| g.state);
        need(
            !self.is_program() || state == Some(GoState::Running),
            "user code runs in a goroutine that runs",
        )
    }

    fn what(&mut self, fact: &Fact) -> Check {
        match &fact.what {
            What::Sync(n, clock) => self.sync(fact, *n, *clock),
            What::Metric(name, value) => {
                if *name == Metric::GOMAXPROCS {
                    let some = !self.is_program() || *value > 0;
                    need(some, "there is a proc")?;
                    return self.user(fact);
                }
                need(fact.proc.is_some(), "needs a proc")
            }
            What::Label(resource) => {
                self.user(fact)?;
                need(*resource == fact.go.into(), "a label for the goroutine")
            }
            What::Log => self.user(fact),
            What::Sample => Ok(()),
            What::Experimental => need(fact.thread.is_some(), "needs a thread"),
            What::RangeBegin(name, scope) => self.range_begin(fact, name, *scope),
            What::RangeActive(name, scope) => self.range_active(fact, name, *scope),
            What::RangeEnd(name, scope) => self.range_end(fact, name, *scope),
            What::TaskBegin(task) => {
                self.user(fact)?;
                let before = self.tasks.insert(task.id, task.clone());
                need(before.is_none(), "a task begins once")
            }
            What::TaskEnd(task) => {
                self.user(fact)?;
                let unknown = Task {
                    id: task.id,
                    parent: None,
                    ty: Vec::new(),
                };
                let begun = self.tasks.remove(&task.id).unwrap_or(unknown);
                // Converted, one without a parent is said to be the background task's at its end.
                let begun = match self.is_converted() && task.parent.is_some_and(|id| id.get() == 0)
                {
                    true => Task {
                        parent: task.parent,
                        ..begun
                    },
                    false => begun,
                };
                need(begun == *task, "a task ends as it began")
            }
            What::RegionBegin(region) => {
                self.user(fact)?;
                if let Some(goroutine) = self.own(fact) {
                    goroutine.regions.push(region.clone());
                }
                Ok(())
            }
            What::RegionEnd(region) => {
                self.user(fact)?;
                let innermost = match self.own(fact) {
                    Some(goroutine) => goroutine.regions.pop(),
                    None => None,
                };
                // One that began before the trace has nothing to end.
                need(
                    innermost.is_none_or(|inner| inner == *region),
                    "regions nest",
                )
            }
            What::Go(id, from, to) => {
                let id = id.ok_or("a goroutine")?;
                let new = matches!(from, GoState::NotExist | GoState::Undetermined);
                self.introduce(Resource::Goroutine(id), new || from == to)?;
                self.go(fact, id, *from, *to)
            }
            What::Proc(id, from, to) => {
                let id = id.ok_or("a proc")?;
                let new = matches!(from, ProcState::NotExist | ProcState::Undetermined);
                self.introduce(Resource::Proc(id), new || from == to)?;
                self.proc(fact, id, *from, *to)
            }
        }
    }

    /// The goroutine of the context. It may be gone if two threads claimed it.
    fn own(&mut self, fact: &Fact) -> Option<&mut Goroutine> {
        fact.go.and_then(|go| self.goroutines.get_mut(&go))
    }

    fn sync(&mut self, fact: &Fact, n: u64, clock: Option<(i64, u64, (i64, u32))>) -> Check {
        need(n == self.syncs + 1, "sync events are numbered")?;
        need(
            fact.thread.is_none() && fact.proc.is_none() && fact.go.is_none(),
            "a sync event has no context",
        )?;
        self.syncs = n;
        self.introduced.clear();
        if let Some((trace, mono, _)) = clock.filter(|_| self.is_program()) {
            let (before, mono_before) = self.clocks.unwrap_or((i64::MIN, 0));
            // The wall clock may be set, back as well.
            need(trace > before && mono > mono_before, "clocks advance")?;
            self.clocks = Some((trace, mono));
        }
        Ok(())
    }

    /// Something changes: in each generation its status comes first.
    fn introduce(&mut self, what: Resource, fits: bool) -> Check {
        let known = !self.introduced.insert(what);
        need(
            known || fits || !self.is_program(),
            "the first change in a generation is a status or a creation",
        )
    }

    fn go(&mut self, fact: &Fact, id: GoId, from: GoState, to: GoState) -> Check {
        use GoState::{NotExist, Runnable, Running, Syscall, Undetermined, Waiting};
        let known = self.goroutines.get(&id).map(|g| g.state);
        match from {
            NotExist => need(known.is_none(), "what is created does not exist")?,
            Undetermined if known.is_none() => {
                need(fact.first, "unknown in the first generation")?;
            }
            _ => need(known == Some(from), "changes from its last state")?,
        }
        let own = fact.go == Some(id) || !self.contexts;
        match (from, to) {
            (NotExist, Runnable | Waiting) => {
                let thread = fact.thread.is_some() || self.is_converted();
                need(thread && fact.proc.is_some(), "made on a proc")?;
                if fact.go.is_some() {
                    self.user(fact)?;
                }
            }
            (NotExist, Syscall) => {
                need(fact.thread.is_some() && fact.go.is_none(), "a bare thread")?;
            }
            (Runnable, Running) => {
                let started = match self.is_converted() {
                    true => Some(id),
                    false => None,
                };
                need(
                    fact.proc.is_some() && fact.go == started,
                    "a proc to run on",
                )?;
            }
            (Running, Runnable | Waiting | Syscall | NotExist) => {
                need(own && fact.proc.is_some(), "it runs on a proc")?;
            }
            (Waiting, Runnable) => {}
            (Syscall, Running) => need(own && fact.proc.is_some(), "it keeps its proc")?,
            (Syscall, Runnable | NotExist) => need(own, "it is here")?,
            // Statuses.
            (Undetermined, Undetermined) => {
                need(!self.is_program(), "a status that is known")?;
            }
            (Undetermined, Runnable | Running | Waiting | Syscall) => {}
            (Runnable, Runnable) | (Waiting, Waiting) | (Running, Running) => {}
            (Syscall, Syscall) => need(own || !self.is_program(), "it is here")?,
            _ => return Err("a goroutine does not change like that".to_owned()),
        }
        match known {
            Some(_) if to == NotExist => {
                self.goroutines.remove(&id);
                self.ranges
                    .retain(|(_, scope), _| *scope != Resource::Goroutine(id));
            }
            Some(_) => self.goroutines.get_mut(&id).expect("known").state = to,
            None => {
                let new = Goroutine {
                    state: to,
                    regions: Vec::new(),
                };
                self.goroutines.insert(id, new);
            }
        }
        match fact.thread.filter(|_| to.executing()) {
            Some(thread) => return self.bind_go(thread, id),
            // A status that no thread gives binds nothing.
            None if to.executing() => {}
            None => self.unbind_go(id),
        }
        Ok(())
    }

    fn bind_go(&mut self, thread: ThreadId, id: GoId) -> Check {
        if self.runs.insert(id, thread).is_some_and(|t| t != thread) {
            self.claimed_twice()?;
        }
        let before = self.threads.entry(thread).or_default().go.replace(id);
        if let Some(other) = before.filter(|other| *other != id) {
            need(!self.is_program(), "the thread ran another")?;
            self.runs.remove(&other);
        }
        Ok(())
    }

    fn unbind_go(&mut self, id: GoId) {
        if let Some(thread) = self.runs.remove(&id) {
            self.threads.entry(thread).or_default().go = None;
        }
    }

    /// Two threads claim something: what they have is not known any more.
    fn claimed_twice(&mut self) -> Check {
        self.contexts = false;
        need(!self.is_program(), "one thread at a time")
    }

    fn proc(&mut self, fact: &Fact, id: ProcId, from: ProcState, to: ProcState) -> Check {
        use ProcState::{Idle, NotExist, Running, Undetermined};
        let known = self.procs.insert(id, to);
        match from {
            NotExist => need(
                known.is_none() && !fact.first,
                "a new proc of a later generation",
            )?,
            Undetermined if known.is_none() => {
                need(fact.first, "unknown in the first generation")?;
            }
            // A thread that has a proc by name only makes it run without a word.
            _ => need(
                known == Some(from) || !self.contexts,
                "changes from its last state",
            )?,
        }
        match (from, to) {
            (Idle, Running) => {
                let free = fact.thread.is_some() && (fact.proc.is_none() || !self.contexts);
                need(free, "a thread without a proc")?;
            }
            (Running, Idle) if fact.proc != Some(id) => self.stolen(fact, id)?,
            (Running, Idle) => need(fact.thread.is_some(), "a thread")?,
            // Statuses, and the theft of a proc that was lost.
            (Idle, Idle) | (Running, Running) => {}
            (Undetermined | NotExist, Running | Idle) => {}
            (Undetermined | NotExist, Undetermined) => {
                need(!self.is_program(), "a status that is known")?;
            }
            _ => return Err("a proc does not change like that".to_owned()),
        }
        match fact.thread.filter(|_| to.executing()) {
            Some(thread) => return self.bind_proc(thread, id),
            None if to.executing() => {}
            None => {
                if let Some(thread) = self.has.remove(&id) {
                    self.threads.entry(thread).or_default().proc = None;
                }
            }
        }
        Ok(())
    }

    /// A proc is stolen from a thread whose goroutine is in a system call.
    fn stolen(&self, fact: &Fact, id: ProcId) -> Check {
        need(fact.thread.is_some(), "a thief")?;
        let victim = self.has.get(&id).and_then(|t| self.threads.get(t));
        need(victim.is_some() || !self.contexts, "stolen from a thread")?;
        let go = victim.and_then(|thread| thread.go);
        let state = go.and_then(|go| self.goroutines.get(&go)).map(|g| g.state);
        need(
            state == Some(GoState::Syscall) || !self.is_program(),
            "stolen out of a system call",
        )
    }

    fn bind_proc(&mut self, thread: ThreadId, id: ProcId) -> Check {
        if self.has.insert(id, thread).is_some_and(|t| t != thread) {
            self.claimed_twice()?;
        }
        let before = self.threads.entry(thread).or_default().proc.replace(id);
        if let Some(other) = before.filter(|other| *other != id) {
            need(!self.is_program(), "the thread had another")?;
            self.has.remove(&other);
        }
        Ok(())
    }

    /// Where a range of this name happens.
    fn scoped(&self, fact: &Fact, name: &str, scope: Resource) -> Check {
        let expected = match name {
            MARK => Resource::None,
            SWEEP => fact.proc.into(),
            ASSIST => fact.go.into(),
            stop if stop.starts_with(STOP) => fact.go.into(),
            _ => return Err("a range that nobody knows".to_owned()),
        };
        need(scope == expected, "the scope is what the context says")?;
        need(
            name == MARK || scope != Resource::None,
            "the scope is something",
        )
    }

    fn range_begin(&mut self, fact: &Fact, name: &str, scope: Resource) -> Check {
        self.scoped(fact, name, scope)?;
        if name == ASSIST || name.starts_with(STOP) {
            self.user(fact)?;
        }
        if name == MARK && self.collector {
            need(fact.go.is_some() && fact.proc.is_some(), "in a goroutine")?;
        }
        self.collector |= name == MARK;
        let stopped = self
            .ranges
            .keys()
            .any(|(other, _)| self.is_program() && other.starts_with(STOP));
        need(
            !(stopped && name.starts_with(STOP)),
            "one world stops at a time",
        )?;
        let open = self.ranges.entry((name.to_owned(), scope)).or_default();
        *open += 1;
        // Two reasons may have the same text.
        let again = self.trust == Trust::Nothing && name.starts_with(STOP);
        need(*open == 1 || again, "a range begins that is not open")
    }

    fn range_active(&mut self, fact: &Fact, name: &str, scope: Resource) -> Check {
        let known = match scope {
            Resource::Goroutine(id) => name == ASSIST && self.goroutines.contains_key(&id),
            Resource::Proc(id) => name == SWEEP && self.procs.contains_key(&id),
            _ => name == MARK,
        };
        need(known, "something known is active")?;
        let open = self.ranges.entry((name.to_owned(), scope)).or_default();
        if fact.first {
            let news = *open == 0 && (name != MARK || !self.collector);
            *open = 1;
            self.collector |= name == MARK;
            return need(news, "what is active in the first generation is news");
        }
        need(*open == 1, "what is active later is known")?;
        need(name != MARK || fact.go.is_some(), "in a goroutine")
    }

    fn range_end(&mut self, fact: &Fact, name: &str, scope: Resource) -> Check {
        self.scoped(fact, name, scope)?;
        if name != SWEEP {
            need(fact.go.is_some() && fact.proc.is_some(), "in a goroutine")?;
        }
        let key = (name.to_owned(), scope);
        let open = self.ranges.get_mut(&key).filter(|open| **open > 0);
        let unknown = name == ASSIST || name.starts_with(STOP);
        if open.is_none() && self.trust == Trust::Conversion && unknown {
            self.ranges
                .retain(|(other, _), _| !other.starts_with(STOP) || name == ASSIST);
            return Ok(());
        }
        let open = open.ok_or("a range ends that is open")?;
        *open -= 1;
        if *open == 0 {
            self.ranges.remove(&key);
        }
        Ok(())
    }
}
