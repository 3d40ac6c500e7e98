//! What must be followed from event to event to say how long that took which ends.

use crate::event::{Details, Event, GoState, RangeName, Resource, StateTransition};
use crate::ids::{GoId, TaskId};
use crate::string::GoStr;
use crate::time::Time;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::BitOr;

/// What is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs(u8);

impl Needs {
    pub(super) const NONE: Needs = Needs(0);
    /// The goroutines' states.
    pub(super) const STATES: Needs = Needs(1);
    /// The goroutines' names, and so their states: to know when one ends.
    pub(super) const NAMES: Needs = Needs(1 | 2);
    pub(super) const TASKS: Needs = Needs(4);
    pub(super) const REGIONS: Needs = Needs(8);
    pub(super) const RANGES: Needs = Needs(16);

    pub(super) const fn has(self, other: Needs) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Needs {
    type Output = Needs;

    fn bitor(self, other: Needs) -> Needs {
        Needs(self.0 | other.0)
    }
}

/// Follows a trace. Its memory grows by what is alive: goroutines, tasks, regions and ranges that have
/// begun and not ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    needs: Needs,
    goroutines: BTreeMap<GoId, Life>,
    tasks: BTreeMap<TaskId, Doing>,
    regions: BTreeMap<GoId, Vec<Time>>,
    ranges: BTreeMap<(u8, Resource), Time>,
    ended: Ended,
    /// Ended with the event seen last, so that their names are known until then.
    gone: Option<GoId>,
}

/// A goroutine that is alive.
#[derive(Clone, Debug)]
struct Life {
    state: GoState,
    since: Time,
    reason: Reason,
    name: Option<Box<[u8]>>,
}

/// A task that goes on.
#[derive(Clone, Debug)]
struct Doing {
    ty: Box<[u8]>,
    since: Time,
}

/// Why a goroutine waits.
#[derive(Clone, Debug, Default)]
pub(super) enum Reason {
    /// It is not known, or not asked for.
    #[default]
    None,
    /// One of Go's, by its place in the list.
    Known(usize),
    Other(Box<[u8]>),
}

/// Reasons that traces have: most need no memory of their own.
const REASONS: [&str; 16] = [
    "forever",
    "network",
    "select",
    "sync.(*Cond).Wait",
    "sync",
    "chan send",
    "chan receive",
    "GC mark assist wait for work",
    "GC background sweeper wait",
    "system goroutine wait",
    "preempted",
    "wait for debug call",
    "wait until GC ends",
    "sleep",
    "runtime.GoSched",
    "GC weak to strong wait",
];

impl Reason {
    fn of(reason: GoStr<'_>) -> Reason {
        let bytes = reason.as_bytes();
        match REASONS.iter().position(|known| known.as_bytes() == bytes) {
            Some(known) => Reason::Known(known),
            None => Reason::Other(bytes.into()),
        }
    }

    pub(super) fn is(&self, wanted: &[u8]) -> bool {
        match self {
            Reason::None => false,
            Reason::Known(known) => REASONS.get(*known).is_some_and(|r| r.as_bytes() == wanted),
            Reason::Other(reason) => **reason == *wanted,
        }
    }
}

/// What ends with an event.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    /// How long it took, in nanoseconds.
    pub(super) duration: Option<u64>,
    /// The state that a goroutine leaves.
    pub(super) state: Option<GoState>,
    /// Why it waited.
    pub(super) reason: Reason,
}

impl Watch {
    pub(super) fn new(needs: Needs) -> Watch {
        Watch {
            needs,
            ..Watch::default()
        }
    }

    pub(super) const fn ended(&self) -> &Ended {
        &self.ended
    }

    /// How many goroutines are alive.
    pub(super) fn goroutines(&self) -> u64 {
        crate::num::wide(self.goroutines.len())
    }

    /// The name of a goroutine.
    pub(super) fn name(&self, id: GoId) -> Option<&[u8]> {
        self.goroutines.get(&id)?.name.as_deref()
    }

    /// The type of a task that goes on.
    pub(super) fn task(&self, id: TaskId) -> Option<&[u8]> {
        self.tasks.get(&id).map(|task| &*task.ty)
    }

    /// Takes in the next event.
    pub(super) fn note(&mut self, event: &Event<'_, '_>, details: &Details<'_, '_>) {
        self.ended = Ended::default();
        if let Some(gone) = self.gone.take() {
            self.goroutines.remove(&gone);
        }
        if self.needs.has(Needs::NAMES) {
            self.note_name(event);
        }
        let time = event.time();
        let since = |then: Time| u64::try_from(time.since(then)).ok();
        match details {
            Details::StateTransition(transition) if self.needs.has(Needs::STATES) => {
                self.transition(time, transition);
            }
            Details::TaskBegin(task) if self.needs.has(Needs::TASKS) => {
                if let Some(id) = task.id {
                    let ty = task.ty.as_bytes().into();
                    self.tasks.insert(id, Doing { ty, since: time });
                }
            }
            Details::TaskEnd(task) if self.needs.has(Needs::TASKS) => {
                let begun = task.id.and_then(|id| self.tasks.remove(&id));
                self.ended.duration = begun.and_then(|task| since(task.since));
            }
            Details::RegionBegin(_) if self.needs.has(Needs::REGIONS) => {
                if let Some(id) = event.goroutine() {
                    self.regions.entry(id).or_default().push(time);
                }
            }
            Details::RegionEnd(_) if self.needs.has(Needs::REGIONS) => {
                let Some(id) = event.goroutine() else { return };
                let Some(open) = self.regions.get_mut(&id) else {
                    return;
                };
                self.ended.duration = open.pop().and_then(since);
                if open.is_empty() {
                    self.regions.remove(&id);
                }
            }
            Details::RangeBegin(range) | Details::RangeActive(range)
                if self.needs.has(Needs::RANGES) =>
            {
                // One that is active may be said to be again by a later generation.
                let open = self.ranges.entry((number(range.name), range.scope));
                let open = open.or_insert(time);
                if let Details::RangeBegin(_) = details {
                    *open = time;
                }
            }
            Details::RangeEnd(range, _) if self.needs.has(Needs::RANGES) => {
                let begun = self.ranges.remove(&(number(range.name), range.scope));
                self.ended.duration = begun.and_then(since);
            }
            _ => {}
        }
    }

    /// Every stack of a goroutine ends with the function that it began with.
    fn note_name(&mut self, event: &Event<'_, '_>) {
        let Some(id) = event.goroutine() else { return };
        let life = self
            .goroutines
            .get_mut(&id)
            .filter(|life| life.name.is_none());
        let stack = event.stack().filter(|_| life.is_some());
        if let (Some(life), Some(outermost)) = (life, stack.and_then(|s| s.frames().last())) {
            life.name = Some(outermost.func.as_bytes().into());
        }
    }

    fn transition(&mut self, time: Time, transition: &StateTransition<'_, '_>) {
        let Some((id, from, to)) = transition.goroutine() else {
            return;
        };
        if from == to {
            return;
        }
        let life = self.goroutines.get_mut(&id);
        if let Some(life) = life.as_ref()
            && life.state == from
        {
            self.ended = Ended {
                duration: u64::try_from(time.since(life.since)).ok(),
                state: Some(from),
                reason: life.reason.clone(),
            };
        }
        if to == GoState::NotExist {
            self.gone = Some(id);
            self.regions.remove(&id);
            return;
        }
        let reason = match to {
            GoState::Waiting => Reason::of(transition.reason),
            _ => Reason::None,
        };
        let name = || {
            let stack = transition.stack.filter(|_| self.needs.has(Needs::NAMES))?;
            let outermost = stack.frames().last()?;
            Some(outermost.func.as_bytes().into())
        };
        match life {
            // An id that is used again is another goroutine.
            Some(life) if from != GoState::NotExist => {
                if life.name.is_none() {
                    life.name = name();
                }
                life.state = to;
                life.since = time;
                life.reason = reason;
            }
            _ => {
                let life = Life {
                    state: to,
                    since: time,
                    reason,
                    name: name(),
                };
                self.goroutines.insert(id, life);
            }
        }
    }
}

/// Which range it is: in a scope, there is one of each at a time.
const fn number(name: RangeName<'_>) -> u8 {
    match name {
        RangeName::StopTheWorld(_) => 0,
        RangeName::GcMark => 1,
        RangeName::GcSweep => 2,
        RangeName::GcMarkAssist => 3,
    }
}
