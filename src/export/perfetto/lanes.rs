//! Tracks: which there are, and what is open on them.

use super::packets::{Name, Packets};
use super::proto;
use crate::analysis::names::NameId;
use crate::analysis::states::{Goroutine, States};
use crate::event::GoState;
use crate::ids::ProcId;
use crate::num;
use crate::time::Time;
use std::collections::BTreeMap;
use std::io::Write;
use std::string::{String, ToString as _};
use std::vec::Vec;

/// The number of the process. The trace does not say it.
pub(super) const PID: i32 = 1;

const PROCESS: u64 = 1;
pub(super) const GC: u64 = 2;
const PROCS: u64 = 3;
pub(super) const TASKS: u64 = 4;
const GOROUTINES: u64 = 5;
const COUNTERS: u64 = 6;
/// All below have a meaning of their own.
const FIRST: u64 = 32;

/// How often states are counted, in nanoseconds.
const OFTEN: i64 = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counter {
    Running,
    Runnable,
    Waiting,
    Syscall,
    Gomaxprocs,
    Heap,
    HeapGoal,
}

impl Counter {
    const ALL: [(Counter, &'static str); 7] = [
        (Counter::Running, "goroutines: running"),
        (Counter::Runnable, "goroutines: runnable"),
        (Counter::Waiting, "goroutines: waiting"),
        (Counter::Syscall, "goroutines: in system calls"),
        (Counter::Gomaxprocs, "GOMAXPROCS"),
        (Counter::Heap, "heap"),
        (Counter::HeapGoal, "heap goal"),
    ];

    const fn of(state: GoState) -> Option<Counter> {
        match state {
            GoState::Running => Some(Counter::Running),
            GoState::Runnable => Some(Counter::Runnable),
            GoState::Waiting => Some(Counter::Waiting),
            GoState::Syscall => Some(Counter::Syscall),
            GoState::Undetermined | GoState::NotExist => None,
        }
    }

    const fn index(self) -> usize {
        match self {
            Counter::Running => 0,
            Counter::Runnable => 1,
            Counter::Waiting => 2,
            Counter::Syscall => 3,
            Counter::Gomaxprocs => 4,
            Counter::Heap => 5,
            Counter::HeapGoal => 6,
        }
    }

    const fn is_bytes(self) -> bool {
        matches!(self, Counter::Heap | Counter::HeapGoal)
    }

    fn track(self) -> u64 {
        num::wide(self.index()).saturating_add(8)
    }
}

/// A proc's track, and the goroutine that is on it.
#[derive(Clone, Copy, Debug)]
struct ProcLane {
    track: u64,
    life: u64,
    /// How many slices are open: 2 in a system call.
    depth: u8,
}

/// A goroutine's tracks.
#[derive(Clone, Copy, Debug, Default)]
struct GoLane {
    life: u64,
    track: u64,
    regions: Option<u64>,
    /// How many slices of regions are open.
    open: usize,
}

#[derive(Debug, Default)]
pub(super) struct Lanes {
    last: u64,
    procs: BTreeMap<ProcId, ProcLane>,
    /// By slot; those of life 0 are none.
    goroutines: Vec<GoLane>,
    tracks: u64,
    groups: BTreeMap<NameId, u64>,
    /// Tracks for what overlaps, which are not in use.
    free: BTreeMap<Name, Vec<u64>>,
    counts: [u64; 4],
    counted: Option<Time>,
    values: [Option<u64>; 7],
}

fn track(uuid: u64, parent: u64, name: String) -> proto::TrackDescriptor {
    proto::TrackDescriptor {
        uuid: Some(uuid),
        parent_uuid: Some(parent),
        name: Some(name),
        ..Default::default()
    }
}

impl Lanes {
    /// The tracks that are always there.
    pub(super) fn begin<W: Write>(&mut self, packets: &mut Packets<W>, process: &str) {
        const EXPLICIT: u32 = 3;
        self.last = FIRST;
        packets.track(proto::TrackDescriptor {
            uuid: Some(PROCESS),
            process: Some(proto::ProcessDescriptor {
                pid: Some(PID),
                process_name: Some(process.to_string()),
            }),
            child_ordering: Some(EXPLICIT),
            ..Default::default()
        });
        let groups = [
            (GC, "GC and stop-the-world"),
            (PROCS, "Procs"),
            (TASKS, "Tasks"),
            (GOROUTINES, "Goroutines"),
            (COUNTERS, "Counters"),
        ];
        for (rank, (uuid, name)) in (10..).zip(groups) {
            packets.track(proto::TrackDescriptor {
                sibling_order_rank: Some(rank),
                child_ordering: (uuid == PROCS).then_some(EXPLICIT),
                ..track(uuid, PROCESS, name.to_string())
            });
        }
    }

    fn next(&mut self) -> u64 {
        self.last = self.last.saturating_add(1);
        self.last
    }

    pub(super) fn proc(&self, id: ProcId) -> Option<u64> {
        Some(self.procs.get(&id)?.track)
    }

    /// The track of a proc, made if it is new.
    pub(super) fn make_proc<W: Write>(&mut self, packets: &mut Packets<W>, id: ProcId) -> u64 {
        if let Some(lane) = self.procs.get(&id) {
            return lane.track;
        }
        let uuid = self.next();
        let lane = ProcLane {
            track: uuid,
            life: 0,
            depth: 0,
        };
        self.procs.insert(id, lane);
        packets.track(proto::TrackDescriptor {
            sibling_order_rank: i32::try_from(id.get()).ok(),
            ..track(uuid, PROCS, std::format!("P{id}"))
        });
        uuid
    }

    /// How many slices a goroutine has open on a proc.
    pub(super) fn depth(&self, proc: ProcId, life: u64) -> u8 {
        let lane = self.procs.get(&proc).filter(|lane| lane.life == life);
        lane.map_or(0, |lane| lane.depth)
    }

    pub(super) fn set(&mut self, proc: ProcId, life: u64, depth: u8) {
        if let Some(lane) = self.procs.get_mut(&proc) {
            (lane.life, lane.depth) = (life, depth);
        }
    }

    /// Nothing is on a proc any more: gives its track, and how many slices were open.
    pub(super) fn clear(&mut self, proc: ProcId) -> (u64, u8) {
        let Some(lane) = self.procs.get_mut(&proc) else {
            return (0, 0);
        };
        (lane.track, core::mem::take(&mut lane.depth))
    }

    /// Gives a goroutine a track, unless there are so many already; says whether.
    pub(super) fn enlist<W: Write>(
        &mut self,
        packets: &mut Packets<W>,
        states: &States,
        goroutine: &Goroutine,
        limit: u64,
    ) -> bool {
        self.forget(goroutine);
        if self.tracks >= limit {
            return false;
        }
        self.tracks = self.tracks.saturating_add(1);
        let group = match self.groups.get(&goroutine.name) {
            Some(group) => *group,
            None => {
                let group = self.next();
                self.groups.insert(goroutine.name, group);
                let name = match goroutine.name.is_empty() {
                    true => "(unknown)".to_string(),
                    false => states.names().text(goroutine.name).to_string(),
                };
                packets.track(track(group, GOROUTINES, name));
                group
            }
        };
        let uuid = self.next();
        packets.track(track(uuid, group, std::format!("G{}", goroutine.id)));
        let at = num::index(goroutine.slot);
        if self.goroutines.len() <= at {
            let none = GoLane::default();
            self.goroutines.resize(at.saturating_add(1), none);
        }
        if let Some(lane) = self.goroutines.get_mut(at) {
            *lane = GoLane {
                life: goroutine.life,
                track: uuid,
                ..GoLane::default()
            };
        }
        true
    }

    fn lane(&mut self, goroutine: &Goroutine) -> Option<&mut GoLane> {
        let lane = self.goroutines.get_mut(num::index(goroutine.slot));
        lane.filter(|lane| lane.life == goroutine.life)
    }

    /// A goroutine's track, if it has one.
    pub(super) fn goroutine(&mut self, goroutine: &Goroutine) -> Option<u64> {
        Some(self.lane(goroutine)?.track)
    }

    /// The track of a goroutine's regions, in which one more begins.
    pub(super) fn make_regions<W: Write>(
        &mut self,
        packets: &mut Packets<W>,
        goroutine: &Goroutine,
    ) -> Option<u64> {
        let lane = *self.lane(goroutine)?;
        let regions = match lane.regions {
            Some(regions) => regions,
            None => {
                let regions = self.next();
                packets.track(track(regions, lane.track, "regions".to_string()));
                regions
            }
        };
        let lane = self.lane(goroutine)?;
        lane.regions = Some(regions);
        lane.open = lane.open.saturating_add(1);
        Some(regions)
    }

    pub(super) fn regions(&mut self, goroutine: &Goroutine) -> Option<u64> {
        self.lane(goroutine)?.regions
    }

    pub(super) fn open_regions(&mut self, goroutine: &Goroutine) -> usize {
        self.lane(goroutine).map_or(0, |lane| lane.open)
    }

    /// The innermost region ends; whether one is open.
    pub(super) fn end_region(&mut self, goroutine: &Goroutine) -> bool {
        let Some(lane) = self.lane(goroutine) else {
            return false;
        };
        let open = lane.open.checked_sub(1);
        lane.open = open.unwrap_or(0);
        open.is_some()
    }

    pub(super) fn forget(&mut self, goroutine: &Goroutine) {
        if let Some(lane) = self.goroutines.get_mut(num::index(goroutine.slot)) {
            *lane = GoLane::default();
        }
    }

    /// A track on which nothing is open, for things of this name.
    pub(super) fn take<W: Write>(
        &mut self,
        packets: &mut Packets<W>,
        group: u64,
        name: Name,
        states: &States,
    ) -> u64 {
        if let Some(free) = self.free.get_mut(&name).and_then(Vec::pop) {
            return free;
        }
        let uuid = self.next();
        packets.track(track(uuid, group, name.text(states.names())));
        uuid
    }

    pub(super) fn give_back(&mut self, name: Name, track: u64) {
        self.free.entry(name).or_default().push(track);
    }

    /// A goroutine goes from one state to another.
    pub(super) fn count_state(&mut self, from: Option<GoState>, to: GoState) {
        let left = from.and_then(Counter::of).map(Counter::index);
        if let Some(count) = left.and_then(|at| self.counts.get_mut(at)) {
            *count = count.saturating_sub(1);
        }
        let entered = Counter::of(to).map(Counter::index);
        if let Some(count) = entered.and_then(|at| self.counts.get_mut(at)) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn is_time_to_count(&mut self, time: Time) -> bool {
        let is_new = |last: Time| time.0.saturating_sub(last.0) >= OFTEN;
        let is_time = self.counted.is_none_or(is_new);
        if is_time {
            self.counted = Some(time);
        }
        is_time
    }

    /// How many goroutines are in each state.
    pub(super) fn states(&self) -> impl Iterator<Item = (Counter, u64)> + use<> {
        let counters = Counter::ALL.into_iter().map(|(counter, _)| counter);
        counters.zip(self.counts)
    }

    /// The track of a counter, if its value is another than before.
    pub(super) fn changed<W: Write>(
        &mut self,
        packets: &mut Packets<W>,
        counter: Counter,
        value: u64,
    ) -> Option<u64> {
        let last = self.values.get_mut(counter.index())?;
        if *last == Some(value) {
            return None;
        }
        let is_new = last.replace(value).is_none();
        if is_new {
            const COUNT: u32 = 2;
            const BYTES: u32 = 3;
            let name = Counter::ALL.iter().find(|(c, _)| *c == counter)?.1;
            let unit = if counter.is_bytes() { BYTES } else { COUNT };
            packets.track(proto::TrackDescriptor {
                counter: Some(proto::CounterDescriptor { unit: Some(unit) }),
                ..track(counter.track(), COUNTERS, name.to_string())
            });
        }
        Some(counter.track())
    }
}
