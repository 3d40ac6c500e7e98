//! What an event tells, worked out of its record and of what the order knows.

use super::details::{
    Change, Details, EventKind, ExperimentalEvent, GoState, Label, Log, Metric, ProcState, Range,
    RangeAttribute, RangeName, Region, Resource, StateTransition, Sync, Task,
};
use super::{Event, Raw, SYNC};
use crate::generation::ExperimentalBatches;
use crate::ids::{GoId, Offset, ProcId, TaskId};
use crate::num;
use crate::string::GoStr;
use crate::wire::{Batches, EventType, GoStatus, ProcStatus, TimedEvent};

impl<'a, 't> Event<'a, 't> {
    /// What the event tells.
    pub fn details(&self) -> Details<'a, 't> {
        let raw = self.raw;
        match self.kind() {
            EventKind::Sync => Details::Sync(self.sync()),
            EventKind::Metric => {
                let name = match raw.event.ty {
                    EventType::PROCS_CHANGE => Metric::GOMAXPROCS,
                    EventType::HEAP_ALLOC => Metric::HEAP_OBJECTS,
                    _ => Metric::HEAP_GOAL,
                };
                Details::Metric(Metric {
                    name,
                    value: raw.arg(0),
                })
            }
            EventKind::Label => Details::Label(Label {
                label: self.string(raw.arg(0)),
                resource: raw.go.into(),
            }),
            EventKind::StackSample => Details::StackSample,
            EventKind::RangeBegin => Details::RangeBegin(self.range()),
            EventKind::RangeActive => Details::RangeActive(self.range()),
            EventKind::RangeEnd => {
                let attributes = (raw.event.ty == EventType::GC_SWEEP_END).then_some([
                    RangeAttribute {
                        name: "bytes swept",
                        value: raw.arg(0),
                    },
                    RangeAttribute {
                        name: "bytes reclaimed",
                        value: raw.arg(1),
                    },
                ]);
                Details::RangeEnd(self.range(), attributes)
            }
            EventKind::TaskBegin => {
                // Here 0 is no parent, not the background task.
                let parent = TaskId::new(raw.arg(1)).filter(|id| *id != TaskId::BACKGROUND);
                Details::TaskBegin(Task {
                    id: TaskId::new(raw.arg(0)),
                    parent,
                    ty: self.string(raw.arg(2)),
                })
            }
            EventKind::TaskEnd => Details::TaskEnd(Task {
                id: TaskId::new(raw.arg(0)),
                parent: TaskId::new(raw.arg(2)),
                ty: GoStr::new(self.input.bytes(raw.name)),
            }),
            EventKind::RegionBegin => Details::RegionBegin(self.region()),
            EventKind::RegionEnd => Details::RegionEnd(self.region()),
            EventKind::Log => Details::Log(Log {
                task: TaskId::new(raw.arg(0)),
                category: self.string(raw.arg(1)),
                message: self.text(raw.arg(2)),
            }),
            EventKind::StateTransition => Details::StateTransition(self.transition()),
            EventKind::Experimental => Details::Experimental(ExperimentalEvent {
                ty: raw.event.ty,
                args: raw.event.args,
            }),
        }
    }

    /// A string by its id, or the text that the event has in place of one.
    fn text(&self, id: u64) -> GoStr<'t> {
        // In other traces, a name may be left of an event before.
        if id == 0 && self.tables.has_texts() {
            return GoStr::new(self.input.bytes(self.raw.name));
        }
        self.string(id)
    }

    pub(crate) fn string(&self, id: u64) -> GoStr<'t> {
        let span = self.tables.string(id).filter(|_| id != 0);
        span.map_or(GoStr::EMPTY, |span| GoStr::new(self.input.bytes(span)))
    }

    fn sync(&self) -> Sync<'t> {
        let [n, start, end, _] = self.raw.event.args;
        let generation = start != end;
        Sync {
            n,
            clock: if generation {
                self.tables.clock()
            } else {
                None
            },
            batches: generation.then(|| {
                ExperimentalBatches::new(Batches::from_offset(self.input, start), Offset(end))
            }),
        }
    }

    fn range(&self) -> Range<'t> {
        let raw = self.raw;
        match raw.event.ty {
            EventType::STW_BEGIN | EventType::STW_END => {
                let reason = match raw.event.ty {
                    EventType::STW_BEGIN => self.text(raw.arg(0)),
                    _ => GoStr::new(self.input.bytes(raw.name)),
                };
                Range {
                    name: RangeName::StopTheWorld(reason),
                    scope: raw.go.into(),
                }
            }
            EventType::GC_BEGIN | EventType::GC_ACTIVE | EventType::GC_END => Range {
                name: RangeName::GcMark,
                scope: Resource::None,
            },
            EventType::GC_SWEEP_ACTIVE => Range {
                name: RangeName::GcSweep,
                scope: ProcId::new(raw.arg(0)).into(),
            },
            EventType::GC_SWEEP_BEGIN | EventType::GC_SWEEP_END => Range {
                name: RangeName::GcSweep,
                scope: raw.proc.into(),
            },
            EventType::GC_MARK_ASSIST_ACTIVE => Range {
                name: RangeName::GcMarkAssist,
                scope: GoId::new(raw.arg(0)).into(),
            },
            _ => Range {
                name: RangeName::GcMarkAssist,
                scope: raw.go.into(),
            },
        }
    }

    fn region(&self) -> Region<'t> {
        Region {
            task: TaskId::new(self.raw.arg(0)),
            ty: self.string(self.raw.arg(1)),
        }
    }

    fn transition(&self) -> StateTransition<'a, 't> {
        use GoState::{NotExist, Runnable, Running, Syscall, Waiting};
        let raw = self.raw;
        let own = |from, to| Change::Goroutine {
            id: raw.go,
            from,
            to,
        };
        let named = |from, to| Change::Goroutine {
            id: GoId::new(raw.arg(0)),
            from,
            to,
        };
        let proc = |id, from, to| Change::Proc { id, from, to };
        let mut reason = GoStr::EMPTY;
        let mut stack = None;
        let change = match raw.event.ty {
            EventType::PROC_START => {
                proc(ProcId::new(raw.arg(0)), ProcState::Idle, ProcState::Running)
            }
            EventType::PROC_STOP => proc(raw.proc, ProcState::Running, ProcState::Idle),
            EventType::PROC_STEAL => {
                // Stolen from a thread that was lost, the proc counted as idle already.
                let from = match ProcStatus(raw.from) {
                    ProcStatus::SYSCALL_ABANDONED => ProcState::Idle,
                    _ => ProcState::Running,
                };
                proc(ProcId::new(raw.arg(0)), from, ProcState::Idle)
            }
            EventType::PROC_STATUS => {
                let to = ProcState::of(ProcStatus(num::low_byte(raw.arg(1))));
                let from = ProcState::from_number(raw.from);
                proc(
                    ProcId::new(raw.arg(0)),
                    from,
                    to.unwrap_or(ProcState::Undetermined),
                )
            }
            EventType::GO_CREATE | EventType::GO_CREATE_BLOCKED => {
                stack = Some(self.stack_of(raw.arg(1)));
                let blocked = raw.event.ty == EventType::GO_CREATE_BLOCKED;
                named(NotExist, if blocked { Waiting } else { Runnable })
            }
            EventType::GO_CREATE_SYSCALL => named(NotExist, Syscall),
            EventType::GO_START => named(Runnable, Running),
            EventType::GO_DESTROY => own(Running, NotExist),
            EventType::GO_DESTROY_SYSCALL => own(Syscall, NotExist),
            EventType::GO_STOP | EventType::GO_BLOCK => {
                reason = self.text(raw.arg(0));
                stack = self.stack();
                own(
                    Running,
                    if raw.event.ty == EventType::GO_STOP {
                        Runnable
                    } else {
                        Waiting
                    },
                )
            }
            EventType::GO_SYSCALL_BEGIN => {
                stack = self.stack();
                own(Running, Syscall)
            }
            EventType::GO_SYSCALL_END => own(Syscall, Running),
            EventType::GO_SYSCALL_END_BLOCKED => own(Syscall, Runnable),
            EventType::GO_STATUS | EventType::GO_STATUS_STACK => {
                stack = self.stack();
                let to = GoState::of(GoStatus(num::low_byte(raw.arg(2))));
                let from = GoState::from_number(raw.from);
                named(from, to.unwrap_or(GoState::Undetermined))
            }
            // A coroutine switch first unblocks the one that is switched to.
            _ => named(Waiting, Runnable),
        };
        StateTransition {
            change,
            reason,
            stack,
        }
    }
}

impl Raw {
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
