//! Events as Go prints them, for `go tool trace -d=parsed` and everyone who reads its output.

use super::{Change, Details, Event, Range, RangeName, StateTransition, Task};
use crate::ids::{GoId, ProcId, TaskId, ThreadId};
use crate::num;
use core::fmt;

/// An id as Go prints it, -1 for none.
fn id(f: &mut fmt::Formatter<'_>, prefix: &str, raw: u64) -> fmt::Result {
    f.write_str(prefix)?;
    fmt::Display::fmt(&num::signed(raw), f)
}

/// An event on one line: see [`Event::line`].
#[derive(Clone, Copy)]
pub struct Line<'e, 'a, 't>(&'e Event<'a, 't>);

impl<'a, 't> Event<'a, 't> {
    /// Displays the event as Go does, on one line: without stacks.
    ///
    /// Displaying the event itself adds the stacks, a line for each frame's function and file.
    pub const fn line(&self) -> Line<'_, 'a, 't> {
        Line(self)
    }
}

impl fmt::Display for Event<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = self.details();
        self.start(&details, f)?;
        if let Details::StateTransition(StateTransition {
            stack: Some(stack), ..
        }) = &details
        {
            f.write_str("\nTransitionStack=\n")?;
            write!(f, "{stack:#}")?;
        }
        if let Some(stack) = self.stack() {
            f.write_str("\nStack=\n")?;
            write!(f, "{stack:#}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Line<'_, '_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.start(&self.0.details(), f)
    }
}

impl Event<'_, '_> {
    fn start(&self, details: &Details<'_, '_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        id(f, "M=", ThreadId::raw(self.thread()))?;
        id(f, " P=", ProcId::raw(self.proc()))?;
        id(f, " G=", GoId::raw(self.goroutine()))?;
        f.write_str(" ")?;
        f.write_str(self.kind().name())?;
        f.write_str(" Time=")?;
        fmt::Display::fmt(&self.time(), f)?;
        fmt::Display::fmt(details, f)
    }
}

impl fmt::Display for Details<'_, '_> {
    /// What follows the time in Go's text, without stacks: it begins with a space.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Details::Sync(sync) => {
                write!(f, " N={}", sync.n)?;
                if let Some(clock) = &sync.clock {
                    write!(
                        f,
                        " Trace={} Mono={} Wall={}",
                        clock.trace, clock.mono, clock.wall
                    )?;
                }
                Ok(())
            }
            Details::Metric(metric) => {
                write!(
                    f,
                    " Name=\"{}\" Value=Value{{Uint64({})}}",
                    metric.name, metric.value
                )
            }
            Details::Label(label) => {
                write!(
                    f,
                    " Label={} Resource={}",
                    label.label.quoted(),
                    label.resource
                )
            }
            Details::StackSample => Ok(()),
            Details::RangeBegin(range) | Details::RangeActive(range) => print_range(range, f),
            Details::RangeEnd(range, attributes) => {
                print_range(range, f)?;
                f.write_str(" Attributes=[")?;
                for (n, attribute) in attributes.iter().flatten().enumerate() {
                    let space = if n == 0 { "" } else { " " };
                    let (name, value) = (attribute.name, attribute.value);
                    write!(f, "{space}\"{name}\"=Value{{Uint64({value})}}")?;
                }
                f.write_str("]")
            }
            Details::TaskBegin(task) | Details::TaskEnd(task) => print_task(task, f),
            Details::RegionBegin(region) | Details::RegionEnd(region) => {
                write!(
                    f,
                    " Task={} Type={}",
                    TaskId::raw(region.task),
                    region.ty.quoted()
                )
            }
            Details::Log(log) => {
                write!(f, " Task={}", TaskId::raw(log.task))?;
                write!(
                    f,
                    " Category={} Message={}",
                    log.category.quoted(),
                    log.message.quoted()
                )
            }
            Details::StateTransition(transition) => {
                let (from, to) = match transition.change {
                    Change::Goroutine { id: go, from, to } => {
                        id(f, " GoID=", GoId::raw(go))?;
                        (from.name(), to.name())
                    }
                    Change::Proc { id: proc, from, to } => {
                        id(f, " ProcID=", ProcId::raw(proc))?;
                        (from.name(), to.name())
                    }
                };
                for part in [" ", from, "->", to, " Reason="] {
                    f.write_str(part)?;
                }
                transition.reason.quoted().fmt(f)
            }
            Details::Experimental(event) => {
                write!(f, " Name={} Args=[", event.name())?;
                for (n, (arg, value)) in event.args().enumerate() {
                    let comma = if n == 0 { "" } else { ", " };
                    write!(f, "{comma}{}=Value{{Uint64({value})}}", arg.name)?;
                }
                f.write_str("]")
            }
        }
    }
}

/// Task ids are unsigned in Go, unlike the others: no parent is all ones.
fn print_task(task: &Task<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (id, parent) = (TaskId::raw(task.id), TaskId::raw(task.parent));
    write!(f, " ID={id} Parent={parent} Type={}", task.ty.quoted())
}

fn print_range(range: &Range<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match range.name {
        RangeName::StopTheWorld(reason) => {
            write!(f, " Name=\"stop-the-world ({})\"", reason.escaped())?;
        }
        name => write!(f, " Name=\"{name}\"")?,
    }
    write!(f, " Scope={}", range.scope)
}
