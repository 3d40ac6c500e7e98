//! Events as JSON: one object an event, with a schema that does not change its meaning.
//!
//! See `SCHEMA`, which `gotrace dump --help` shows.

use gotrace::{
    Details, Event, GoStr, Stack, TaskId,
    event::{Change, RangeName, Resource},
    generation::Frame,
    time::ClockSnapshot,
};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// The schema, for people.
pub const SCHEMA: &str = "\
JSON: one object a line. Every event has time (nanoseconds), thread, proc, goroutine (numbers, or
null for none), kind, and stack (innermost frame first: pc, func, file, line) if it has one. By
kind:
  Sync             n; trace, mono (nanoseconds) and wall (RFC 3339) since Go 1.25;
                   experimental_batches, the number of them
  Metric           name, value
  Label            label, resource
  RangeBegin, RangeActive, RangeEnd
                   name, scope; at the end of a sweep also bytes_swept and bytes_reclaimed
  TaskBegin, TaskEnd
                   task, parent (null for none), type
  RegionBegin, RegionEnd
                   task, type
  Log              task, category, message
  StateTransition  resource, from, to, reason, and transition_stack if there is one
  Experimental     name, experiment, args (an object of numbers)
A resource is an object with one member, as {\"goroutine\":5}, or null for the whole program. Text
that is not UTF-8 has U+FFFD where it is not. Members may be added.";

/// An event as JSON.
pub struct Json<'e, 'a, 't>(pub &'e Event<'a, 't>);

impl Serialize for Json<'_, '_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", &event.time().0)?;
        map.serialize_entry("thread", &event.thread().map(|id| id.get()))?;
        map.serialize_entry("proc", &event.proc().map(|id| id.get()))?;
        map.serialize_entry("goroutine", &event.goroutine().map(|id| id.get()))?;
        map.serialize_entry("kind", event.kind().name())?;
        details(&event.details(), &mut map)?;
        if let Some(stack) = event.stack() {
            map.serialize_entry("stack", &JsonStack(stack))?;
        }
        map.end()
    }
}

fn details<M: SerializeMap>(details: &Details<'_, '_>, map: &mut M) -> Result<(), M::Error> {
    match details {
        Details::Sync(sync) => {
            map.serialize_entry("n", &sync.n)?;
            if let Some(ClockSnapshot { trace, mono, wall }) = &sync.clock {
                map.serialize_entry("trace", &trace.0)?;
                map.serialize_entry("mono", mono)?;
                map.serialize_entry("wall", &Shown(wall))?;
            }
            map.serialize_entry("experimental_batches", &sync.experimental_batches().count())
        }
        Details::Metric(metric) => {
            map.serialize_entry("name", metric.name)?;
            map.serialize_entry("value", &metric.value)
        }
        Details::Label(label) => {
            map.serialize_entry("label", &Text(label.label))?;
            map.serialize_entry("resource", &JsonResource(label.resource))
        }
        Details::RangeBegin(range) | Details::RangeActive(range) => {
            map.serialize_entry("name", &Name(range.name))?;
            map.serialize_entry("scope", &JsonResource(range.scope))
        }
        Details::RangeEnd(range, attributes) => {
            map.serialize_entry("name", &Name(range.name))?;
            map.serialize_entry("scope", &JsonResource(range.scope))?;
            for attribute in attributes.iter().flatten() {
                map.serialize_entry(&attribute.name.replace(' ', "_"), &attribute.value)?;
            }
            Ok(())
        }
        Details::TaskBegin(task) | Details::TaskEnd(task) => {
            map.serialize_entry("task", &task.id.map(TaskId::get))?;
            map.serialize_entry("parent", &task.parent.map(TaskId::get))?;
            map.serialize_entry("type", &Text(task.ty))
        }
        Details::RegionBegin(region) | Details::RegionEnd(region) => {
            map.serialize_entry("task", &region.task.map(TaskId::get))?;
            map.serialize_entry("type", &Text(region.ty))
        }
        Details::Log(log) => {
            map.serialize_entry("task", &log.task.map(TaskId::get))?;
            map.serialize_entry("category", &Text(log.category))?;
            map.serialize_entry("message", &Text(log.message))
        }
        Details::StateTransition(transition) => {
            map.serialize_entry("resource", &JsonResource(transition.resource()))?;
            let (from, to) = match transition.change {
                Change::Goroutine { from, to, .. } => (from.name(), to.name()),
                Change::Proc { from, to, .. } => (from.name(), to.name()),
            };
            map.serialize_entry("from", from)?;
            map.serialize_entry("to", to)?;
            map.serialize_entry("reason", &Text(transition.reason))?;
            match transition.stack {
                Some(stack) => map.serialize_entry("transition_stack", &JsonStack(stack)),
                None => Ok(()),
            }
        }
        Details::Experimental(event) => {
            map.serialize_entry("name", event.name())?;
            map.serialize_entry("experiment", &event.experiment().and_then(|e| e.name()))?;
            let args: serde_json::Map<_, _> = event
                .args()
                .map(|(arg, value)| (arg.name.to_owned(), value.into()))
                .collect();
            map.serialize_entry("args", &args)
        }
        // Samples have only their stack.
        _ => Ok(()),
    }
}

/// Anything as the text that it displays.
struct Shown<T>(T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct Text<'t>(GoStr<'t>);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_str(&self.0),
        }
    }
}

struct Name<'t>(RangeName<'t>);

impl Serialize for Name<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct JsonResource(Resource);

impl Serialize for JsonResource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (key, id) = match self.0 {
            Resource::None => return serializer.serialize_none(),
            Resource::Goroutine(id) => ("goroutine", id.get()),
            Resource::Proc(id) => ("proc", id.get()),
            Resource::Thread(id) => ("thread", id.get()),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(key, &id)?;
        map.end()
    }
}

struct JsonStack<'a, 't>(Stack<'a, 't>);

impl Serialize for JsonStack<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut frames = serializer.serialize_seq(None)?;
        for frame in self.0.frames() {
            frames.serialize_element(&JsonFrame(frame))?;
        }
        frames.end()
    }
}

struct JsonFrame<'t>(Frame<'t>);

impl Serialize for JsonFrame<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("pc", &self.0.pc)?;
        map.serialize_entry("func", &Text(self.0.func))?;
        map.serialize_entry("file", &Text(self.0.file))?;
        map.serialize_entry("line", &self.0.line)?;
        map.end()
    }
}
