//! Events as JSON: one object a line, with a schema that does not change its meaning.
//!
//! Every event has `time` (nanoseconds, see [`Time`](crate::Time)), `thread`, `proc` and `goroutine`
//! (numbers, or null for none), `kind`, and `stack` if it has one. By kind:
//!
//! | kind | members |
//! | --- | --- |
//! | `Sync` | `n`; `trace`, `mono` (nanoseconds) and `wall` (RFC 3339) since Go 1.25; `experimental_batches`, their number |
//! | `Metric` | `name`, `value` |
//! | `Label` | `label`, `resource` |
//! | `RangeBegin`, `RangeActive`, `RangeEnd` | `name`, `scope`; at the end of a sweep also `bytes_swept` and `bytes_reclaimed` |
//! | `TaskBegin`, `TaskEnd` | `task`, `parent` (null for none), `type` |
//! | `RegionBegin`, `RegionEnd` | `task`, `type` |
//! | `Log` | `task`, `category`, `message` |
//! | `StateTransition` | `resource`, `from`, `to`, `reason`, and `transition_stack` if there is one |
//! | `Experimental` | `name`, `experiment`, `args` (an object of numbers) |
//!
//! A resource or scope is an object with one member, as `{"goroutine":5}`, or null for the whole
//! program. Text that is not UTF-8 has U+FFFD where it is not. Members may be added.
//!
//! A stack is, as [`Stacks`] says, left out; or the number of a stack; or its frames, the innermost
//! first, each with `pc`, `func`, `file` and `line`. Numbers of stacks are told by objects of their
//! own, `{"kind":"Stack","id":5,"frames":[…]}`, on a line before the first event that refers to
//! them. In each generation the numbers mean other stacks, and the stacks are told again: an object
//! of a stack replaces an earlier one with the same number.
//!
//! ```
//! use gotrace::{Trace, export::json::{Lines, Stacks}};
//!
//! let bytes = include_bytes!("../../tests/fixtures/annotate-go1.27.trace");
//! let trace = Trace::new(bytes)?;
//! let (mut reader, mut lines) = (trace.reader(), Lines::new(Stacks::Id));
//! let mut out = Vec::new();
//! while let Some(event) = reader.next()? {
//!     lines.write(&event, &mut out)?;
//! }
//! assert!(out.starts_with(b"{\"time\":"));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use crate::event::{Change, Details, Event, EventKind, ExperimentalEvent, RangeName, Resource};
use crate::generation::{Frame, Stack};
use crate::ids::{StackId, TaskId};
use crate::string::GoStr;
use crate::time::ClockSnapshot;
use core::fmt;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use std::collections::HashSet;
use std::io::{self, Write};

/// How stacks are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stacks {
    /// Not at all.
    None,
    /// As numbers; each stack is told once a generation, on a line of its own.
    #[default]
    Id,
    /// In full with each event: every line is complete, and the whole is much larger.
    Full,
}

impl Stacks {
    /// All of them.
    pub const ALL: &'static [Stacks] = &[Stacks::None, Stacks::Id, Stacks::Full];

    /// `none`, `id` or `full`.
    pub const fn name(self) -> &'static str {
        match self {
            Stacks::None => "none",
            Stacks::Id => "id",
            Stacks::Full => "full",
        }
    }
}

impl fmt::Display for Stacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Writes events as lines of JSON. Remembers the stacks told in this generation: that is all that its
/// memory grows by.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    stacks: Stacks,
    told: HashSet<StackId>,
}

impl Lines {
    /// Lines with stacks in this form.
    pub fn new(stacks: Stacks) -> Lines {
        Lines {
            stacks,
            told: HashSet::new(),
        }
    }

    /// Notes that an event was read that is not written: to be called for these if there are any,
    /// as a filter makes them. Only events of kind Sync matter, which begin generations.
    #[inline]
    pub fn skip(&mut self, event: &Event<'_, '_>) {
        // Another generation gives its stacks other numbers.
        if event.kind() == EventKind::Sync {
            self.told.clear();
        }
    }

    /// Writes an event, after the stacks that it is the first to refer to.
    ///
    /// Errors: those of `out`.
    pub fn write(&mut self, event: &Event<'_, '_>, out: &mut impl Write) -> io::Result<()> {
        self.skip(event);
        let details = event.details();
        let stack = event.stack();
        if self.stacks == Stacks::Id {
            let other = match &details {
                Details::StateTransition(transition) => transition.stack,
                _ => None,
            };
            for stack in other.into_iter().chain(stack) {
                if let Some(id) = stack.id()
                    && self.told.insert(id)
                {
                    line(&Told(id, stack), out)?;
                }
            }
        }
        let record = Record {
            event,
            details,
            stack,
            stacks: self.stacks,
        };
        line(&record, out)
    }
}

/// Writes a value as a line of JSON in which every control character is escaped, so that no name in
/// a trace can control a terminal.
///
/// Errors: those of `out`, and those of the value's own serialization.
pub fn line(value: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, EveryControl);
    value.serialize(&mut serializer)?;
    out.write_all(b"\n")
}

/// JSON must escape control characters of ASCII. Terminals obey others too: here all are escaped.
struct EveryControl;

impl serde_json::ser::Formatter for EveryControl {
    #[inline]
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        out: &mut W,
        text: &str,
    ) -> io::Result<()> {
        // DEL, and the first byte of U+0080 to U+009F.
        if !text.bytes().any(|byte| matches!(byte, 0x7f | 0xc2)) {
            return out.write_all(text.as_bytes());
        }
        let mut rest = text;
        while let Some(at) = rest.find(char::is_control) {
            let (plain, special) = rest.split_at(at);
            out.write_all(plain.as_bytes())?;
            let mut chars = special.chars();
            if let Some(control) = chars.next() {
                write!(out, "\\u{:04x}", u32::from(control))?;
            }
            rest = chars.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

/// A stack, told for later lines.
struct Told<'a, 't>(StackId, Stack<'a, 't>);

impl Serialize for Told<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("kind", "Stack")?;
        map.serialize_entry("id", &self.0.get())?;
        map.serialize_entry("frames", &JsonStack(self.1))?;
        map.end()
    }
}

/// An event.
struct Record<'e, 'a, 't> {
    event: &'e Event<'a, 't>,
    details: Details<'a, 't>,
    stack: Option<Stack<'a, 't>>,
    stacks: Stacks,
}

impl Serialize for Record<'_, '_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.event;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", &event.time().0)?;
        map.serialize_entry("thread", &event.thread().map(|id| id.get()))?;
        map.serialize_entry("proc", &event.proc().map(|id| id.get()))?;
        map.serialize_entry("goroutine", &event.goroutine().map(|id| id.get()))?;
        map.serialize_entry("kind", event.kind().name())?;
        details(&self.details, self.stacks, &mut map)?;
        if let Some(stack) = self.stack {
            self.stacks.member("stack", stack, &mut map)?;
        }
        map.end()
    }
}

impl Stacks {
    /// A stack as a member. One that has no number, of a damaged sample, is null.
    fn member<M: SerializeMap>(
        self,
        name: &'static str,
        stack: Stack<'_, '_>,
        map: &mut M,
    ) -> Result<(), M::Error> {
        match self {
            Stacks::None => Ok(()),
            Stacks::Id => map.serialize_entry(name, &stack.id().map(StackId::get)),
            Stacks::Full => map.serialize_entry(name, &JsonStack(stack)),
        }
    }
}

fn details<M: SerializeMap>(
    details: &Details<'_, '_>,
    stacks: Stacks,
    map: &mut M,
) -> Result<(), M::Error> {
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
                Some(stack) => stacks.member("transition_stack", stack, map),
                None => Ok(()),
            }
        }
        Details::Experimental(event) => {
            map.serialize_entry("name", event.name())?;
            map.serialize_entry("experiment", &event.experiment().and_then(|e| e.name()))?;
            map.serialize_entry("args", &Args(event))
        }
        // Samples have only their stack.
        _ => Ok(()),
    }
}

/// Anything as the text that it displays.
struct Shown<T>(T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct Args<'e>(&'e ExperimentalEvent);

impl Serialize for Args<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.args().map(|(arg, value)| (arg.name, value)))
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
