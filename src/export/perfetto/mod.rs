//! Traces in the form of [Perfetto](https://perfetto.dev), which its interface
//! (<https://ui.perfetto.dev>) shows and its trace processor answers SQL about.
//!
//! What is written are track events (`TrackEvent`), in one stream and in the order of the trace, as they
//! come: memory grows with what is alive and with the number of different names and stacks, not with the
//! trace. An event of a busy program takes about 20 bytes.
//!
//! - **Procs**: a track each, with a slice named by the start function while a goroutine runs on it or is
//!   in a system call that has not lost it (then with a slice `syscall` inside). The sum of the outer
//!   slices of a name is the time that its goroutines ran or were in system calls with a processor; of a
//!   trace of before Go 1.22 it may be less, since a proc may stop there before the system call on it is over.
//!   Arrows (flows) lead from what made a goroutine ready to where it ran then. Log messages are instants.
//! - **Goroutines**: by start function, a track each, with its states as slices: `Running`, `Runnable`,
//!   `Waiting: chan receive`, `Syscall`, each with the call stack at which it began; below it, its regions.
//!   Only for as many goroutines as [`Options::with_goroutines`] says.
//! - **GC and stop-the-world**: marking, stops, assists, sweeps. **Tasks**: a track for each type; tasks
//!   that overlap are below each other.
//! - **Counters**: goroutines by state (at most every 100 µs), GOMAXPROCS, heap and its goal.
//! - CPU samples with their call stacks.
//!
//! ```
//! use gotrace::Trace;
//! use gotrace::analysis::states::States;
//! use gotrace::export::perfetto::{Exporter, Options};
//!
//! let bytes = include_bytes!("../../../tests/fixtures/http-go1.27.trace");
//! let trace = Trace::new(bytes)?;
//! let (mut reader, mut states) = (trace.reader(), States::new());
//! let mut exporter = Exporter::new(Vec::new(), Options::new("server"));
//! while let Some(event) = reader.next()? {
//!     states.add(&event, &mut exporter);
//!     exporter.event(&event, &mut states);
//! }
//! states.finish(&mut exporter);
//! let done = exporter.finish(&states)?;
//! assert!(done.packets > 10_000 && done.to.len() as u64 / done.packets < 25);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod lanes;
mod packets;
mod proto;
#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]
mod tests;

use crate::analysis::names::StackRef;
use crate::analysis::states::{
    Goroutine, OpenRange, OpenRegion, OpenTask, Proc, ProcStay, RangeEnd, RangeKind, RegionEnd,
    States, Stay, TaskEnd, Visitor,
};
use crate::event::{Details, Event, EventKind, GoState, ProcState, Resource};
use crate::ids::TaskId;
use crate::num;
use crate::time::{ClockSnapshot, Time};
use lanes::{Counter, Lanes};
use packets::{Name, Packets};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::string::{String, ToString as _};
use std::vec::Vec;

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    process: String,
    goroutines: u64,
    flows: bool,
    stacks: bool,
}

impl Options {
    /// Everything, of a process with this name; tracks for the first 10,000 goroutines.
    pub fn new(process: &str) -> Options {
        Options {
            process: process.to_string(),
            goroutines: 10_000,
            flows: true,
            stacks: true,
        }
    }

    /// Tracks of their own for so many goroutines: the first that the trace has, each life counted. They
    /// take most of the packets, and Perfetto's interface becomes slow with many tracks.
    #[must_use]
    pub fn with_goroutines(self, goroutines: u64) -> Options {
        Options { goroutines, ..self }
    }

    /// Whether arrows lead from what made a goroutine ready to where it ran then. Set at first.
    #[must_use]
    pub fn with_flows(self, flows: bool) -> Options {
        Options { flows, ..self }
    }

    /// Whether slices have the call stack at which they began, and CPU samples are written. Set at first.
    /// Perfetto before version 55 counts the stacks of slices as fields that it does not know.
    #[must_use]
    pub fn with_stacks(self, stacks: bool) -> Options {
        Options { stacks, ..self }
    }
}

/// What was written.
#[derive(Debug)]
#[non_exhaustive]
pub struct Done<W> {
    /// Where to.
    pub to: W,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// How many goroutines have no track of their own, since there were too many.
    pub goroutines_left_out: u64,
}

/// Writes a trace as it is read. See the [module](self).
///
/// It is a [`Visitor`] of [`States`], and is given the events besides, for what is no state: logs, samples
/// and metrics. A [`Scope`](crate::analysis::scope::Scope) in the place of the states gives a part of the
/// trace, which begins with what goes on then.
#[derive(Debug)]
pub struct Exporter<W> {
    packets: Packets<W>,
    options: Options,
    lanes: Lanes,
    has_begun: bool,
    /// When it begins: what began before is shown from then on.
    from: Time,
    /// What the clocks showed last.
    clock: Option<ClockSnapshot>,
    left_out: u64,
    /// By slot: what leads to where the goroutine will run.
    flows: Vec<u64>,
    last_flow: u64,
    tasks: BTreeMap<TaskId, (Name, u64)>,
    ranges: BTreeMap<(Resource, RangeKind), (Name, u64)>,
}

const BEGIN: u32 = 1;
const END: u32 = 2;
const INSTANT: u32 = 3;
const COUNTER: u32 = 4;

impl<W: Write> Exporter<W> {
    /// Nothing is written yet. Give it something with a buffer.
    pub fn new(to: W, options: Options) -> Exporter<W> {
        Exporter {
            packets: Packets::new(to),
            options,
            lanes: Lanes::default(),
            has_begun: false,
            from: Time(i64::MIN),
            clock: None,
            left_out: 0,
            flows: Vec::new(),
            last_flow: 0,
            tasks: BTreeMap::new(),
            ranges: BTreeMap::new(),
        }
    }

    /// Takes in what an event says besides states, once it was given to those. To be called for every event
    /// that was; of those before the [part](crate::analysis::scope::Scope) that counts, only clocks do.
    #[inline]
    pub fn event(&mut self, event: &Event<'_, '_>, states: &mut States) {
        match event.kind() {
            EventKind::Sync => {
                if let Details::Sync(sync) = event.details() {
                    self.clock = sync.clock.or(self.clock);
                }
            }
            _ if !self.has_begun => {}
            EventKind::StackSample if self.options.stacks => self.sample(event, states),
            EventKind::Log => self.log(event, states),
            EventKind::Metric => self.metrics(event.time(), states),
            _ => {}
        }
    }

    /// The trace is over, and the states are [finished](States::finish): flushes.
    ///
    /// Errors: the first that writing had, also before.
    pub fn finish(mut self, states: &States) -> io::Result<Done<W>> {
        // Of an empty trace there is an empty one.
        if states.begin_time().is_some() {
            self.begin(states);
            self.count_states(states.last_time());
        }
        let (packets, bytes) = self.packets.written();
        Ok(Done {
            to: self.packets.finish()?,
            packets,
            bytes,
            goroutines_left_out: self.left_out,
        })
    }

    /// Whether writing failed: then nothing more is written, and [`finish`](Exporter::finish) gives the
    /// error.
    pub const fn has_failed(&self) -> bool {
        self.packets.has_failed()
    }

    /// Begins what is written, if it did not begin yet: with the first thing that there is.
    #[inline]
    fn begin(&mut self, states: &States) {
        if !self.has_begun {
            self.begin_now(states);
        }
    }

    #[cold]
    fn begin_now(&mut self, states: &States) {
        self.has_begun = true;
        self.from = states.begin_time().unwrap_or(Time(0));
        self.packets.begin(self.from, self.clock);
        self.lanes.begin(&mut self.packets, &self.options.process);
        self.metrics(self.from, states);
    }

    fn with_stack(&mut self, states: &States, stack: Option<StackRef>) -> proto::TrackEvent {
        let stack = stack.filter(|_| self.options.stacks);
        proto::TrackEvent {
            callstack_iid: stack.map(|stack| self.packets.stack(stack, states.names())),
            ..Default::default()
        }
    }

    fn begin_slice(
        &mut self,
        states: &States,
        (track, name): (u64, Name),
        time: Time,
        more: proto::TrackEvent,
    ) {
        let name_iid = Some(self.packets.name(name, states.names()));
        let event = proto::TrackEvent {
            r#type: Some(BEGIN),
            name_iid,
            track_uuid: Some(track),
            ..more
        };
        self.packets.event(time.max(self.from), event);
    }

    fn end_slice(&mut self, track: u64, time: Time) {
        let event = proto::TrackEvent {
            r#type: Some(END),
            track_uuid: Some(track),
            ..Default::default()
        };
        self.packets.event(time.max(self.from), event);
    }

    fn instant(
        &mut self,
        states: &States,
        track: u64,
        name: Name,
        time: Time,
        more: proto::TrackEvent,
    ) {
        let name_iid = Some(self.packets.name(name, states.names()));
        let event = proto::TrackEvent {
            r#type: Some(INSTANT),
            name_iid,
            track_uuid: Some(track),
            ..more
        };
        self.packets.event(time, event);
    }

    fn sample(&mut self, event: &Event<'_, '_>, states: &mut States) {
        let Some(stack) = states.names_mut().stack_at(event) else {
            return;
        };
        const USER: u32 = 2;
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let sample = proto::PerfSample {
            cpu: Some(event.proc().map_or(0, |p| small(p.get()))),
            pid: Some(lanes::PID.unsigned_abs()),
            tid: Some(event.thread().map_or(0, |m| small(m.get()))),
            callstack_iid: Some(self.packets.stack(stack, states.names())),
            cpu_mode: Some(USER),
        };
        self.packets.sample(event.time(), sample);
    }

    fn log(&mut self, event: &Event<'_, '_>, states: &mut States) {
        let Details::Log(log) = event.details() else {
            return;
        };
        let Some(track) = event.proc().and_then(|id| self.lanes.proc(id)) else {
            return;
        };
        let category = states.names_mut().add(log.category);
        let mut notes = Vec::from([self.packets.text("message", log.message.to_string())]);
        if let Some(go) = event.goroutine() {
            notes.push(self.packets.number("goroutine", go.get()));
        }
        if let Some(task) = log.task {
            notes.push(self.packets.number("task", task.get()));
        }
        let name = match category.is_empty() {
            true => Name::Fixed("log"),
            false => Name::Text(category),
        };
        let more = proto::TrackEvent {
            debug_annotations: notes,
            ..Default::default()
        };
        self.instant(states, track, name, event.time(), more);
    }

    fn count(&mut self, time: Time, counter: Counter, value: u64) {
        if let Some(track) = self.lanes.changed(&mut self.packets, counter, value) {
            let event = proto::TrackEvent {
                r#type: Some(COUNTER),
                track_uuid: Some(track),
                counter_value: Some(num::signed(value)),
                ..Default::default()
            };
            self.packets.event(time, event);
        }
    }

    fn metrics(&mut self, time: Time, states: &States) {
        for (counter, value) in [
            (Counter::Gomaxprocs, states.gomaxprocs()),
            (Counter::Heap, states.heap()),
            (Counter::HeapGoal, states.heap_goal()),
        ] {
            if let Some(value) = value {
                self.count(time, counter, value);
            }
        }
    }

    fn count_states(&mut self, time: Time) {
        for (counter, value) in self.lanes.states() {
            self.count(time, counter, value);
        }
    }

    /// A goroutine is new to what is written.
    fn enlist(&mut self, states: &States, goroutine: &Goroutine) {
        if !self.lanes.enlist(
            &mut self.packets,
            states,
            goroutine,
            self.options.goroutines,
        ) {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// A goroutine is in a state from now on; `before` is the one that it left.
    fn enter(&mut self, states: &States, goroutine: &Goroutine, before: Option<GoState>) {
        let time = goroutine.since;
        self.lanes.count_state(before, goroutine.state);
        if let Some(track) = self.lanes.goroutine(goroutine) {
            let name = match goroutine.state {
                GoState::Running => Some(Name::Fixed("Running")),
                GoState::Runnable => Some(Name::Fixed("Runnable")),
                GoState::Waiting => Some(Name::Waiting(goroutine.reason)),
                GoState::Syscall => Some(Name::Fixed("Syscall")),
                GoState::Undetermined | GoState::NotExist => None,
            };
            if let Some(name) = name {
                let more = self.with_stack(states, goroutine.stack);
                self.begin_slice(states, (track, name), time, more);
            }
        }
        let runs = goroutine.state == GoState::Running
            || goroutine.state == GoState::Syscall && goroutine.without_proc.is_none();
        if let Some(proc) = goroutine.proc.filter(|_| runs) {
            let track = self.lanes.make_proc(&mut self.packets, proc);
            let wanted = match goroutine.state {
                GoState::Syscall => 2,
                _ => 1,
            };
            let holds = self.lanes.depth(proc, goroutine.life);
            if holds > wanted {
                self.lanes.set(proc, goroutine.life, wanted);
                self.end_slice(track, time);
            }
            if holds == 0 {
                self.close(proc, time);
                let mut more = proto::TrackEvent::default();
                if let Some(flow) = self.take_flow(goroutine) {
                    more.terminating_flow_ids.push(flow);
                }
                more.debug_annotations
                    .push(self.packets.number("goroutine", goroutine.id.get()));
                self.begin_slice(states, (track, Name::Text(goroutine.name)), time, more);
            }
            if holds < wanted && wanted == 2 {
                let name = Name::Fixed("syscall");
                self.begin_slice(states, (track, name), time, proto::TrackEvent::default());
            }
            self.lanes.set(proc, goroutine.life, wanted);
        }
    }

    /// A proc has no goroutine any more.
    fn close(&mut self, proc: crate::ids::ProcId, time: Time) {
        let (track, depth) = self.lanes.clear(proc);
        for _ in 0..depth {
            self.end_slice(track, time);
        }
    }

    /// What made a goroutine ready, where it ran then: an instant, from which an arrow leads.
    fn ready(
        &mut self,
        states: &States,
        name: &'static str,
        by: &Goroutine,
        goroutine: &Goroutine,
    ) {
        if !self.options.flows || by.state != GoState::Running {
            return;
        }
        let Some(track) = by.proc.and_then(|proc| self.lanes.proc(proc)) else {
            return;
        };
        self.last_flow = self.last_flow.saturating_add(1);
        let at = num::index(goroutine.slot);
        if self.flows.len() <= at {
            self.flows.resize(at.saturating_add(1), 0);
        }
        if let Some(flow) = self.flows.get_mut(at) {
            *flow = self.last_flow;
        }
        let more = proto::TrackEvent {
            flow_ids: Vec::from([self.last_flow]),
            ..Default::default()
        };
        self.instant(states, track, Name::Fixed(name), goroutine.since, more);
    }

    fn take_flow(&mut self, goroutine: &Goroutine) -> Option<u64> {
        let flow = self.flows.get_mut(num::index(goroutine.slot))?;
        Some(core::mem::take(flow)).filter(|flow| *flow != 0)
    }
}

impl<W: Write> Visitor for Exporter<W> {
    fn goroutine_began(&mut self, states: &States, goroutine: &Goroutine, _: &Event<'_, '_>) {
        self.begin(states);
        self.take_flow(goroutine);
        self.enlist(states, goroutine);
        if goroutine.is_new
            && let Some(by) = goroutine.creator.and_then(|id| states.goroutine(id))
        {
            self.ready(states, "go", by, goroutine);
        }
        self.enter(states, goroutine, None);
    }

    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        let time = stay.to;
        if let Some(track) = self.lanes.goroutine(goroutine) {
            self.end_slice(track, time);
        }
        let goes_on = !stay.open && matches!(stay.next, GoState::Running | GoState::Syscall);
        if let Some(proc) = stay.proc
            && self.lanes.depth(proc, goroutine.life) > 0
            && (!goes_on || goroutine.proc != Some(proc) || goroutine.without_proc.is_some())
        {
            self.close(proc, time);
        }
        if stay.open {
            return;
        }
        if stay.state == GoState::Waiting
            && let Some(by) = stay.ended_by.and_then(|id| states.goroutine(id))
        {
            self.ready(states, "unblock", by, goroutine);
        }
        self.enter(states, goroutine, Some(stay.state));
        if self.lanes.is_time_to_count(time) {
            self.count_states(time);
        }
    }

    fn goroutine_ended(&mut self, _: &States, goroutine: &Goroutine) {
        if let Some(track) = self.lanes.regions(goroutine) {
            for _ in 0..self.lanes.open_regions(goroutine) {
                self.end_slice(track, goroutine.since);
            }
        }
        self.lanes.forget(goroutine);
    }

    fn proc_began(&mut self, states: &States, proc: &Proc) {
        self.begin(states);
        self.lanes.make_proc(&mut self.packets, proc.id);
    }

    fn proc_stay(&mut self, _: &States, stay: &ProcStay) {
        if stay.open || stay.next != ProcState::Running {
            self.close(stay.id, stay.to);
        }
    }

    fn range_began(&mut self, states: &States, range: &OpenRange) {
        self.begin(states);
        let (name, slice) = match range.kind {
            RangeKind::StopTheWorld if range.reason.is_empty() => {
                (Name::Fixed("stop-the-world"), Name::Fixed("stop-the-world"))
            }
            RangeKind::StopTheWorld => (Name::Fixed("stop-the-world"), Name::Text(range.reason)),
            RangeKind::GcMark => (Name::Fixed("GC mark"), Name::Fixed("GC mark")),
            RangeKind::GcSweep => (Name::Fixed("GC sweep"), Name::Fixed("GC sweep")),
            RangeKind::GcMarkAssist => {
                (Name::Fixed("GC mark assist"), Name::Fixed("GC mark assist"))
            }
        };
        let track = self.lanes.take(&mut self.packets, lanes::GC, name, states);
        let mut more = self.with_stack(states, range.stack);
        for (what, id) in [
            ("goroutine", range.goroutine.map(|g| g.get())),
            ("proc", range.proc.map(|p| p.get())),
        ] {
            if let Some(id) = id {
                more.debug_annotations.push(self.packets.number(what, id));
            }
        }
        self.begin_slice(states, (track, slice), range.from, more);
        self.ranges.insert((range.scope, range.kind), (name, track));
    }

    fn range_ended(&mut self, _: &States, end: &RangeEnd) {
        let key = (end.range.scope, end.range.kind);
        if let Some((name, track)) = self.ranges.remove(&key) {
            self.end_slice(track, end.to);
            self.lanes.give_back(name, track);
        }
    }

    fn task_began(&mut self, states: &States, task: &OpenTask) {
        self.begin(states);
        let name = Name::Text(task.ty);
        let track = self
            .lanes
            .take(&mut self.packets, lanes::TASKS, name, states);
        let mut more = self.with_stack(states, task.stack);
        more.debug_annotations
            .push(self.packets.number("task", task.id.get()));
        if let Some(parent) = task.parent {
            more.debug_annotations
                .push(self.packets.number("parent", parent.get()));
        }
        self.begin_slice(states, (track, name), task.from, more);
        self.tasks.insert(task.id, (name, track));
    }

    fn task_ended(&mut self, _: &States, end: &TaskEnd) {
        if let Some((name, track)) = self.tasks.remove(&end.id) {
            self.end_slice(track, end.to);
            self.lanes.give_back(name, track);
        }
    }

    fn region_began(&mut self, states: &States, goroutine: &Goroutine, region: &OpenRegion) {
        let Some(track) = self.lanes.make_regions(&mut self.packets, goroutine) else {
            return;
        };
        let mut more = self.with_stack(states, region.stack);
        if let Some(task) = region.task {
            more.debug_annotations
                .push(self.packets.number("task", task.get()));
        }
        self.begin_slice(states, (track, Name::Text(region.ty)), region.from, more);
    }

    fn region_ended(&mut self, _: &States, goroutine: &Goroutine, end: &RegionEnd) {
        if self.lanes.end_region(goroutine)
            && let Some(track) = self.lanes.regions(goroutine)
        {
            self.end_slice(track, end.to);
        }
    }
}
