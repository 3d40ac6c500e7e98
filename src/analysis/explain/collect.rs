//! What is collected of the times that are explained: the second pass over a trace.

use super::find::{Found, What};
use super::path::{Life, LifeId, Lives, Stretch};
use super::{Creator, NameId};
use crate::analysis::states::{
    Goroutine, OpenRegion, OpenTask, RegionEnd, States, Stay, TaskEnd, Visitor,
};
use crate::event::{Event, GoState};
use crate::ids::{GoId, TaskId};
use crate::time::Time;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// What is collected.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) cases: Vec<Case>,
    /// The times that are explained, in order and without overlaps.
    windows: Vec<(Time, Time)>,
    pub(super) lives: Lives,
}

/// What is known of one that is explained.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) found: Found,
    /// The task, and those that are part of it.
    tasks: BTreeSet<TaskId>,
    pub(super) work: BTreeMap<LifeId, Effort>,
    pub(super) beginner: Option<LifeId>,
    pub(super) ender: Option<LifeId>,
    pub(super) creator: Option<Creator>,
}

/// What a goroutine does for a task.
#[derive(Debug, Default)]
pub(super) struct Effort {
    pub(super) intervals: Vec<(Time, Time)>,
    /// Since when it works for it, for how many reasons.
    since: Option<Time>,
    reasons: u32,
    /// When it last did something for it.
    pub(super) last: Option<Time>,
}

impl Effort {
    fn begin(&mut self, time: Time) {
        self.reasons = self.reasons.saturating_add(1);
        self.since = self.since.or(Some(time));
        self.last = Some(time);
    }

    fn end(&mut self, time: Time) {
        self.last = Some(time);
        self.reasons = self.reasons.saturating_sub(1);
        if self.reasons == 0 {
            self.stop(time);
        }
    }

    pub(super) fn stop(&mut self, time: Time) {
        self.reasons = 0;
        if let Some(since) = self.since.take() {
            self.intervals.push((since, time));
        }
    }
}

impl Case {
    fn new(found: Found) -> Case {
        Case {
            tasks: found
                .task
                .filter(|_| found.what == What::Task)
                .into_iter()
                .collect(),
            found,
            work: BTreeMap::new(),
            beginner: None,
            ender: None,
            creator: None,
        }
    }

    fn is_open(&self, time: Time) -> bool {
        self.found.start <= time && time <= self.found.end
    }

    fn effort(&mut self, life: LifeId) -> &mut Effort {
        self.work.entry(life).or_default()
    }

    /// Whether this goroutine works for it now.
    fn has(&self, life: LifeId) -> bool {
        self.work
            .get(&life)
            .is_some_and(|effort| effort.since.is_some())
    }
}

impl Collector {
    pub(super) fn new(found: Vec<Found>) -> Collector {
        let mut times: Vec<_> = found.iter().map(|found| (found.start, found.end)).collect();
        times.sort_unstable();
        let mut windows: Vec<(Time, Time)> = Vec::new();
        for (start, end) in times {
            match windows.last_mut().filter(|last| last.1 >= start) {
                Some(last) => last.1 = last.1.max(end),
                None => windows.push((start, end)),
            }
        }
        Collector {
            cases: found.into_iter().map(Case::new).collect(),
            windows,
            lives: Lives::new(),
        }
    }

    /// When the last of the times ends that are explained.
    pub(super) fn end(&self) -> Time {
        let last = self.windows.last();
        last.map_or(Time(i64::MIN), |(_, end)| *end)
    }

    /// Whether any of this time is explained.
    fn is_explained(&self, from: Time, to: Time) -> bool {
        let at = self.windows.partition_point(|(_, end)| *end < from);
        self.windows.get(at).is_some_and(|(start, _)| *start <= to)
    }

    fn life(&mut self, goroutine: &Goroutine, creator: Option<LifeId>) -> &mut Life {
        let life = self
            .lives
            .entry(LifeId(goroutine.life))
            .or_insert_with(|| Life {
                id: goroutine.id,
                name: goroutine.name,
                creator,
                stretches: Vec::new(),
            });
        if life.name.is_empty() {
            life.name = goroutine.name;
        }
        life
    }

    pub(super) fn touch(&mut self, life: LifeId, task: TaskId, time: Time) {
        for case in &mut self.cases {
            if case.is_open(time) && case.tasks.contains(&task) {
                case.effort(life).last = Some(time);
            }
        }
    }
}

fn life_of(states: &States, id: Option<GoId>) -> Option<LifeId> {
    Some(LifeId(states.goroutine(id?)?.life))
}

impl Visitor for Collector {
    fn goroutine_began(&mut self, states: &States, goroutine: &Goroutine, event: &Event<'_, '_>) {
        let (time, life) = (event.time(), LifeId(goroutine.life));
        let creator = life_of(states, goroutine.creator);
        if self.is_explained(goroutine.created, time) {
            self.life(goroutine, creator);
        }
        for case in &mut self.cases {
            let is_it = case.found.what == What::Goroutine
                && case.found.goroutine == Some(goroutine.id)
                && goroutine.created <= case.found.end
                && case.found.start <= time;
            if is_it && (!goroutine.is_new || time == case.found.start) {
                let start = case.found.start;
                case.beginner = Some(life);
                case.effort(life).begin(start);
                case.creator = goroutine.creator.map(|id| Creator {
                    id,
                    name: states.goroutine(id).map_or(NameId::EMPTY, |by| by.name),
                    stack: goroutine.stack,
                });
            }
            let works_for_it = case.found.what == What::Task
                && case.is_open(time)
                && creator.is_some_and(|creator| case.has(creator));
            if works_for_it {
                case.effort(life).begin(time);
            }
        }
    }

    #[inline]
    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        if !self.is_explained(stay.from, stay.to) {
            return;
        }
        let waker = life_of(states, stay.ended_by);
        let waker = waker
            .filter(|_| stay.state == GoState::Waiting && states.names().is_causal(stay.reason));
        let stack = match stay.state {
            GoState::Waiting | GoState::Syscall => stay.own_stack.or(stay.stack),
            _ => None,
        };
        self.life(goroutine, None).stretches.push(Stretch {
            from: stay.from,
            to: stay.to,
            state: stay.state,
            reason: stay.reason,
            stack,
            waker,
        });
    }

    fn goroutine_ended(&mut self, _: &States, goroutine: &Goroutine) {
        let (time, life) = (goroutine.since, LifeId(goroutine.life));
        for case in &mut self.cases {
            if let Some(effort) = case.work.get_mut(&life) {
                effort.stop(time);
            }
        }
    }

    fn task_began(&mut self, states: &States, task: &OpenTask) {
        let Some(life) = life_of(states, task.goroutine) else {
            return;
        };
        for case in &mut self.cases {
            let time = task.from;
            if case.found.what != What::Task || !case.is_open(time) {
                continue;
            }
            if case.found.task == Some(task.id) && case.found.start == time {
                case.beginner = Some(life);
                case.effort(life).begin(time);
            } else if task
                .parent
                .is_some_and(|parent| case.tasks.contains(&parent))
            {
                case.tasks.insert(task.id);
                case.effort(life).begin(time);
            }
        }
    }

    fn task_ended(&mut self, states: &States, task: &TaskEnd) {
        let life = life_of(states, task.ended_by);
        for case in &mut self.cases {
            if case.found.what != What::Task || !case.is_open(task.to) {
                continue;
            }
            if !case.tasks.contains(&task.id) {
                continue;
            }
            if case.found.task == Some(task.id) && case.found.end == task.to {
                case.ender = life;
                if let Some(life) = life {
                    case.effort(life).last = Some(task.to);
                }
            } else if case.found.task != Some(task.id) {
                // One that is part of it.
                let beginner = task.begin.and_then(|begin| begin.goroutine);
                let beginner = life_of(states, beginner);
                if let Some(life) = beginner
                    && let Some(effort) = case.work.get_mut(&life)
                {
                    effort.end(task.to);
                }
            }
        }
    }

    fn region_began(&mut self, _: &States, goroutine: &Goroutine, region: &OpenRegion) {
        let (time, life) = (region.from, LifeId(goroutine.life));
        for case in &mut self.cases {
            if !case.is_open(time) {
                continue;
            }
            let is_it = match case.found.what {
                What::Task => region.task.is_some_and(|task| case.tasks.contains(&task)),
                What::Region => {
                    case.found.start == time && case.found.goroutine == Some(goroutine.id)
                }
                What::Goroutine => false,
            };
            if is_it {
                case.beginner = case.beginner.or(Some(life));
                case.effort(life).begin(time);
            }
        }
    }

    fn region_ended(&mut self, _: &States, goroutine: &Goroutine, region: &RegionEnd) {
        let (time, life) = (region.to, LifeId(goroutine.life));
        for case in &mut self.cases {
            if case.found.what == What::Region
                && case.found.end == time
                && case.found.goroutine == Some(goroutine.id)
            {
                case.ender = Some(life);
                if !case.has(life) {
                    let start = case.found.start;
                    case.effort(life).begin(start);
                }
                case.effort(life).stop(time);
            }
            if case.found.what != What::Task || !case.is_open(time) {
                continue;
            }
            if !region.task.is_some_and(|task| case.tasks.contains(&task)) {
                continue;
            }
            if region.begin.is_none() && !case.has(life) {
                // It began before the trace.
                let start = case.found.start;
                case.effort(life).begin(start);
            }
            case.effort(life).end(time);
        }
    }
}
