//! Events as owned facts, which a test can alter before the validator sees them.

// Unit tests, which have no prelude, use this, too.
#[allow(unused_imports)]
use std::{borrow::ToOwned, format, string::String, string::ToString, vec::Vec};

use gotrace::{
    Details, Event, GoId, ProcId, TaskId, ThreadId,
    event::{Change, GoState, ProcState, Resource},
};

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// It is of the first generation that has events: states are learned there.
    pub first: bool,
    pub time: i64,
    pub thread: Option<ThreadId>,
    pub proc: Option<ProcId>,
    pub go: Option<GoId>,
    pub what: What,
}

/// What an event tells.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The number, and the trace, monotonic and wall clocks.
    Sync(u64, Option<(i64, u64, (i64, u32))>),
    Metric(&'static str, u64),
    Label(Resource),
    Sample,
    RangeBegin(String, Resource),
    RangeActive(String, Resource),
    RangeEnd(String, Resource),
    TaskBegin(Task),
    TaskEnd(Task),
    RegionBegin(Region),
    RegionEnd(Region),
    Log,
    Go(Option<GoId>, GoState, GoState),
    Proc(Option<ProcId>, ProcState, ProcState),
    Experimental,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    pub id: Option<TaskId>,
    pub parent: Option<TaskId>,
    pub ty: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    pub task: Option<TaskId>,
    pub ty: Vec<u8>,
}

impl Fact {
    pub fn of(event: &Event<'_, '_>) -> Fact {
        let range = |range: gotrace::event::Range<'_>| (range.name.to_string(), range.scope);
        let task = |task: gotrace::event::Task<'_>| Task {
            id: task.id,
            parent: task.parent,
            ty: task.ty.as_bytes().to_vec(),
        };
        let region = |region: gotrace::event::Region<'_>| Region {
            task: region.task,
            ty: region.ty.as_bytes().to_vec(),
        };
        let what = match event.details() {
            Details::Sync(sync) => What::Sync(
                sync.n,
                sync.clock
                    .map(|c| (c.trace.0, c.mono, (c.wall.seconds, c.wall.nanoseconds))),
            ),
            Details::Metric(metric) => What::Metric(metric.name, metric.value),
            Details::Label(label) => What::Label(label.resource),
            Details::StackSample => What::Sample,
            Details::RangeBegin(r) => {
                let (name, scope) = range(r);
                What::RangeBegin(name, scope)
            }
            Details::RangeActive(r) => {
                let (name, scope) = range(r);
                What::RangeActive(name, scope)
            }
            Details::RangeEnd(r, _) => {
                let (name, scope) = range(r);
                What::RangeEnd(name, scope)
            }
            Details::TaskBegin(t) => What::TaskBegin(task(t)),
            Details::TaskEnd(t) => What::TaskEnd(task(t)),
            Details::RegionBegin(r) => What::RegionBegin(region(r)),
            Details::RegionEnd(r) => What::RegionEnd(region(r)),
            Details::Log(_) => What::Log,
            Details::StateTransition(transition) => match transition.change {
                Change::Goroutine { id, from, to } => What::Go(id, from, to),
                Change::Proc { id, from, to } => What::Proc(id, from, to),
            },
            Details::Experimental(_) => What::Experimental,
            // Within the crate there is none.
            #[allow(unreachable_patterns)]
            other => panic!("a kind of event that the validator does not know: {other:?}"),
        };
        Fact {
            first: true,
            time: event.time().0,
            thread: event.thread(),
            proc: event.proc(),
            go: event.goroutine(),
            what,
        }
    }
}
