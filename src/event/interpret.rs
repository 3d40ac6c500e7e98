//! What an event says, worked out of its record, of its type's row in the event table, and of what
//! the order knows.

use super::details::{
    Change, Details, ExperimentalEvent, GoState, Label, Log, Metric, ProcState, Range,
    RangeAttribute, RangeName, Region, Resource, StateTransition, Sync, Task,
};
use super::{Event, Raw, SYNC};
use crate::generation::{ExperimentalBatches, Stack};
use crate::ids::{GoId, Offset, ProcId, TaskId};
use crate::num;
use crate::string::GoStr;
use crate::wire::{
    Batches, Edge, Gauge, GoStatus, Meaning, ProcStatus, RangeKind, Role, Scope, TimedEvent, Who,
};

impl<'a, 't> Event<'a, 't> {
    /// What the event says.
    pub fn details(&self) -> Details<'a, 't> {
        let raw = self.raw;
        let Some(meaning) = raw.event.ty.meaning() else {
            return Details::Sync(self.sync());
        };
        let transition = |change, reason, stack| {
            Details::StateTransition(StateTransition {
                change,
                reason,
                stack,
                status: matches!(meaning, Meaning::GoStatus | Meaning::ProcStatus),
            })
        };
        match meaning {
            // Neither passes the order: no event has such a type.
            Meaning::Structure | Meaning::Clock => Details::Sync(self.sync()),
            Meaning::StackSample => Details::StackSample,
            Meaning::Metric(gauge) => Details::Metric(Metric {
                name: match gauge {
                    Gauge::Procs => Metric::GOMAXPROCS,
                    Gauge::HeapObjects => Metric::HEAP_OBJECTS,
                    Gauge::HeapGoal => Metric::HEAP_GOAL,
                },
                value: self.arg(Role::Value),
            }),
            Meaning::Label => Details::Label(Label {
                label: self.string(self.arg(Role::String)),
                resource: raw.go.into(),
            }),
            Meaning::Range { kind, edge, scope } => self.range(kind, edge, scope),
            Meaning::TaskBegin => {
                // Here 0 is no parent, not the background task.
                let parent = TaskId::new(self.second_arg(Role::Task));
                Details::TaskBegin(Task {
                    id: TaskId::new(self.arg(Role::Task)),
                    parent: parent.filter(|id| *id != TaskId::BACKGROUND),
                    ty: self.string(self.arg(Role::String)),
                })
            }
            // The order knows the parent and the name.
            Meaning::TaskEnd => Details::TaskEnd(Task {
                id: TaskId::new(self.arg(Role::Task)),
                parent: TaskId::new(raw.arg(Raw::PARENT)),
                ty: GoStr::new(self.input.bytes_anywhere(raw.name)),
            }),
            Meaning::RegionBegin => Details::RegionBegin(self.region()),
            Meaning::RegionEnd => Details::RegionEnd(self.region()),
            Meaning::Log => Details::Log(Log {
                task: TaskId::new(self.arg(Role::Task)),
                category: self.string(self.arg(Role::String)),
                message: self.text(self.second_arg(Role::String)),
            }),
            Meaning::Go { who, from, to } => transition(
                Change::Goroutine {
                    id: self.goroutine_of(who),
                    from: GoState::of_row(from),
                    to: GoState::of_row(to),
                },
                self.text(self.arg(Role::String)),
                self.transition_stack(who),
            ),
            // First the one that is switched to is unblocked: the order gives the rest.
            Meaning::GoSwitch(_) => transition(
                Change::Goroutine {
                    id: self.goroutine_of(Who::Named),
                    from: GoState::Waiting,
                    to: GoState::Runnable,
                },
                GoStr::EMPTY,
                None,
            ),
            Meaning::GoStatus => transition(
                Change::Goroutine {
                    id: self.goroutine_of(Who::Named),
                    from: GoState::from_number(raw.from),
                    to: GoState::of_known(GoStatus(num::low_byte(self.arg(Role::GoStatus)))),
                },
                GoStr::EMPTY,
                self.stack(),
            ),
            Meaning::Proc { who, from, to } => {
                // A proc leaves a system call by being stolen: what it was before, the order knows.
                let from = match from {
                    ProcStatus::SYSCALL => ProcStatus(raw.from),
                    from => from,
                };
                transition(
                    Change::Proc {
                        id: self.proc_of(who),
                        from: ProcState::of_known(from),
                        to: ProcState::of_known(to),
                    },
                    GoStr::EMPTY,
                    None,
                )
            }
            Meaning::ProcStatus => transition(
                Change::Proc {
                    id: self.proc_of(Who::Named),
                    from: ProcState::from_number(raw.from),
                    to: ProcState::of_known(ProcStatus(num::low_byte(self.arg(Role::ProcStatus)))),
                },
                GoStr::EMPTY,
                None,
            ),
            Meaning::Experimental => Details::Experimental(ExperimentalEvent {
                ty: raw.event.ty,
                args: raw.event.args,
            }),
        }
    }

    /// A string by its id, or the text that the event has in place of one.
    fn text(&self, id: u64) -> GoStr<'t> {
        // In other traces, a name may be left of an event before.
        if id == 0 && self.tables.has_texts() {
            return GoStr::new(self.input.bytes_anywhere(self.raw.name));
        }
        self.string(id)
    }

    /// The argument of a role, the first if there are several; 0 if the type has none.
    fn arg(&self, role: Role) -> u64 {
        let at = self.raw.event.ty.arg(role);
        at.map_or(0, |at| self.raw.arg(at))
    }

    /// The argument after the first one of a role.
    fn second_arg(&self, role: Role) -> u64 {
        let at = self.raw.event.ty.arg(role);
        at.map_or(0, |at| self.raw.arg(at.saturating_add(1)))
    }

    fn goroutine_of(&self, who: Who) -> Option<GoId> {
        match who {
            Who::Own => self.raw.go,
            Who::Named => GoId::new(self.arg(Role::Goroutine)),
        }
    }

    fn proc_of(&self, who: Who) -> Option<ProcId> {
        match who {
            Who::Own => self.raw.proc,
            Who::Named => ProcId::new(self.arg(Role::Proc)),
        }
    }

    /// The stack of the goroutine whose state changes: of one that the event names, only a new one's
    /// is known.
    fn transition_stack(&self, who: Who) -> Option<Stack<'a, 't>> {
        if let Some(at) = self.raw.event.ty.arg(Role::NewStack) {
            return Some(self.stack_of(self.raw.arg(at)));
        }
        match who {
            Who::Own => self.stack(),
            Who::Named => None,
        }
    }

    pub(crate) fn string(&self, id: u64) -> GoStr<'t> {
        let span = self.tables.string(id).filter(|_| id != 0);
        span.map_or(GoStr::EMPTY, |span| GoStr::new(self.input.bytes(span)))
    }

    fn sync(&self) -> Sync<'t> {
        let [n, start, end, _] = self.raw.event.args;
        let generation = start != end;
        // In traces of before Go 1.22, there are no batches between the two.
        let has_batches = generation && !self.tables.has_texts();
        Sync {
            n,
            clock: if generation {
                self.tables.clock()
            } else {
                None
            },
            batches: has_batches.then(|| {
                ExperimentalBatches::new(Batches::from_offset(self.input, start), Offset(end))
            }),
        }
    }

    fn range(&self, kind: RangeKind, edge: Edge, scope: Scope) -> Details<'a, 't> {
        let name = match kind {
            RangeKind::StopTheWorld => RangeName::StopTheWorld(match edge {
                Edge::End => GoStr::new(self.input.bytes_anywhere(self.raw.name)),
                Edge::Begin | Edge::Active => self.text(self.arg(Role::String)),
            }),
            RangeKind::GcMark => RangeName::GcMark,
            RangeKind::GcSweep => RangeName::GcSweep,
            RangeKind::GcMarkAssist => RangeName::GcMarkAssist,
        };
        let scope = match scope {
            Scope::Program => Resource::None,
            Scope::Goroutine(who) => self.goroutine_of(who).into(),
            Scope::Proc(who) => self.proc_of(who).into(),
        };
        let range = Range { name, scope };
        match edge {
            Edge::Begin => Details::RangeBegin(range),
            Edge::Active => Details::RangeActive(range),
            Edge::End => {
                // Only a sweep has values.
                let attributes = self.raw.event.ty.arg(Role::Value).map(|_| {
                    [
                        RangeAttribute {
                            name: "bytes swept",
                            value: self.arg(Role::Value),
                        },
                        RangeAttribute {
                            name: "bytes reclaimed",
                            value: self.second_arg(Role::Value),
                        },
                    ]
                });
                Details::RangeEnd(range, attributes)
            }
        }
    }

    fn region(&self) -> Region<'t> {
        Region {
            task: TaskId::new(self.arg(Role::Task)),
            ty: self.string(self.arg(Role::String)),
        }
    }
}

impl Raw {
    /// The argument that the order puts in the place of what is there on the wire, if anything:
    /// the parent of a task that ends.
    const PARENT: usize = 2;

    /// A sync event: the `n`th, of the generation between two offsets; at the end of the trace the
    /// two are equal.
    pub(crate) fn sync(n: u64, time: crate::Time, start: u64, end: u64) -> Raw {
        let event = TimedEvent::new(SYNC, 0, [n, start, end, 0]);
        Raw {
            time,
            event,
            ..Raw::default()
        }
    }
}
