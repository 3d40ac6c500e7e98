//! What names in an expression mean, asked of an event.

use super::expr::{NameError, Names, Path, Quantity, Subject, Type, Value};
use super::filter::about;
use super::watch::{Needs, Watch};
use crate::event::{Change, Details, Event, EventKind, GoState, Metric, ProcState, RangeName};
use crate::ids::TaskId;
use crate::string::GoStr;
use crate::wire::EventType;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// The names that mean something about an event: for filters (`--where`) and triggers.
///
/// | name | is |
/// | --- | --- |
/// | `kind` | the event's kind in Go's API, as `"StateTransition"`; or the type of its record, as `"GoBlock"` |
/// | `time` | how long after the trace's first event, a duration |
/// | `g`, `p`, `m` | the goroutine, proc and thread: that of the event's context, and that which the event is about |
/// | `name` | the function that this goroutine began with |
/// | `func`, `file` | of the innermost frame of the event's stack |
/// | `stack` | the functions of all frames |
/// | `from`, `to` | the states of a transition, as `"Running"` |
/// | `reason` | why, of a transition, as `"network"` |
/// | `task`, `task.id` | the type and number of the task that begins, ends, or that a region or log is part of |
/// | `region` | the type of a region that begins or ends |
/// | `category`, `message` | of a log |
/// | `range` | the name of a range, as `"GC mark assist"` or `"stop-the-world (GC sweep termination)"` |
/// | `label` | of a label |
/// | `metric`, `value` | the name and the value of a metric |
/// | `heap`, `heap.goal` | a heap metric that has a new value, a size |
/// | `procs` | GOMAXPROCS, where it is reported |
/// | `goroutines` | how many goroutines are alive, known to the trace so far, when one begins |
/// | `duration` | how long that took which ends here: a state, a range, a region or a task |
/// | `running`, `runnable`, `waiting`, `syscall` | how long a goroutine was in the state that it leaves here |
/// | `waiting("network")` | as `waiting`, if this was the reason |
/// | `task("x")`, `region("x")`, `range("x")` | how long the task, region or range that ends here took |
/// | `stw`, `stw("GC mark termination")` | as `range`, of any stop-the-world, or one for this reason |
/// | `gc` | as `range`, of the garbage collector's mark phase |
///
/// An event has no value for a name that does not fit its kind. Of what was there before the trace began,
/// the time is counted from where the trace first mentions it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EventNames;

/// What a name means, of those that [`EventNames`] has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName(What);

/// A condition on events.
///
/// ```
/// use gotrace::select::{EventCondition, EventNames, Filter, Verdict};
///
/// // Waits for the network of more than 100 µs, by the event that ends each.
/// let slow = EventCondition::parse(r#"waiting("network") > 100us"#, &EventNames)?;
/// let filter = Filter::new().with_condition(slow);
/// let mut selection = filter.selection();
/// let bytes = include_bytes!("../../tests/fixtures/http-go1.27.trace");
/// let trace = gotrace::Trace::new(bytes)?;
/// let (mut reader, mut count) = (trace.reader(), 0);
/// while let Some(event) = reader.next()? {
///     count += u32::from(selection.sees(&event)? == Verdict::Selected);
/// }
/// assert!(count > 0);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub type EventCondition = super::Condition<EventName>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Kind,
    Time,
    Goroutine,
    Proc,
    Thread,
    Name,
    Func,
    File,
    Stack,
    From,
    To,
    Reason,
    Task,
    TaskId,
    Region,
    Category,
    Message,
    Range,
    Label,
    Metric,
    Value,
    Heap,
    HeapGoal,
    Procs,
    Goroutines,
    Duration,
    Stay(GoState),
    Waiting(Option<Box<str>>),
    TaskTime(Box<str>),
    RegionTime(Box<str>),
    RangeTime(Box<str>),
    Stopped(Option<Box<str>>),
    Marking,
}

/// The names without an argument, each with its type.
const PLAIN: &[(&str, What, Type)] = &[
    ("kind", What::Kind, Type::Text),
    ("time", What::Time, Type::Duration),
    ("g", What::Goroutine, Type::Number),
    ("p", What::Proc, Type::Number),
    ("m", What::Thread, Type::Number),
    ("name", What::Name, Type::Text),
    ("func", What::Func, Type::Text),
    ("file", What::File, Type::Text),
    ("stack", What::Stack, Type::Text),
    ("from", What::From, Type::Text),
    ("to", What::To, Type::Text),
    ("reason", What::Reason, Type::Text),
    ("task", What::Task, Type::Text),
    ("task.id", What::TaskId, Type::Number),
    ("region", What::Region, Type::Text),
    ("category", What::Category, Type::Text),
    ("message", What::Message, Type::Text),
    ("range", What::Range, Type::Text),
    ("label", What::Label, Type::Text),
    ("metric", What::Metric, Type::Text),
    ("value", What::Value, Type::Number),
    ("heap", What::Heap, Type::Size),
    ("heap.goal", What::HeapGoal, Type::Size),
    ("procs", What::Procs, Type::Number),
    ("goroutines", What::Goroutines, Type::Number),
    ("duration", What::Duration, Type::Duration),
    ("running", What::Stay(GoState::Running), Type::Duration),
    ("runnable", What::Stay(GoState::Runnable), Type::Duration),
    ("syscall", What::Stay(GoState::Syscall), Type::Duration),
    ("waiting", What::Waiting(None), Type::Duration),
    ("stw", What::Stopped(None), Type::Duration),
    ("gc", What::Marking, Type::Duration),
];

/// Those that can have an argument; all are durations then.
const WITH_ARGUMENT: &[&str] = &["task", "region", "range", "waiting", "stw"];

impl Names for EventNames {
    type Name = EventName;

    fn resolve(&self, path: Path<'_>) -> Result<(EventName, Type), NameError> {
        let Some(argument) = path.argument else {
            let matches = |name: &str| match name.split_once('.') {
                Some((head, tail)) => head == path.head && tail == path.tail,
                None => name == path.head && path.tail.is_empty(),
            };
            let found = PLAIN.iter().find(|(name, ..)| matches(name));
            let (_, what, ty) = found.ok_or(NameError::Unknown)?;
            return Ok((EventName(what.clone()), *ty));
        };
        if !path.tail.is_empty() {
            return Err(NameError::Unknown);
        }
        let argument = Box::from(argument);
        let what = match path.head {
            "task" => What::TaskTime(argument),
            "region" => What::RegionTime(argument),
            "range" => What::RangeTime(argument),
            "waiting" => What::Waiting(Some(argument)),
            "stw" => What::Stopped(Some(argument)),
            name if PLAIN.iter().any(|(plain, ..)| *plain == name) => {
                return Err(NameError::TakesNoArgument);
            }
            _ => return Err(NameError::Unknown),
        };
        Ok((EventName(what), Type::Duration))
    }

    fn check_text(&self, name: &EventName, text: &str) -> Result<(), String> {
        let known: Vec<&str> = match name.0 {
            What::Kind => {
                let mut types = (0..=u8::MAX).filter_map(|n| EventType(n).name());
                if types.any(|name| name == text) {
                    return Ok(());
                }
                EventKind::ALL.iter().map(|kind| kind.name()).collect()
            }
            What::From | What::To => {
                let states = GoState::ALL.iter().map(|state| state.name());
                states.chain([ProcState::Idle.name()]).collect()
            }
            What::Metric => {
                Vec::from([Metric::GOMAXPROCS, Metric::HEAP_OBJECTS, Metric::HEAP_GOAL])
            }
            _ => return Ok(()),
        };
        if known.contains(&text) {
            return Ok(());
        }
        let or = match name.0 {
            What::Kind => ", or the type of a record, as GoBlock",
            _ => "",
        };
        let known = known.join(", ");
        Err(format!("there is no such value: there are {known}{or}"))
    }

    fn all(&self) -> Vec<String> {
        let plain = PLAIN.iter().map(|(name, ..)| name.to_string());
        plain
            .chain(WITH_ARGUMENT.iter().map(|name| format!("{name}(\"...\")")))
            .collect()
    }
}

impl EventName {
    /// What must be followed from event to event to know its values.
    pub(super) fn needs(&self) -> Needs {
        match self.0 {
            What::Name => Needs::NAMES,
            What::Goroutines | What::Stay(_) | What::Waiting(_) => Needs::STATES,
            What::Task | What::TaskTime(_) => Needs::TASKS,
            What::RegionTime(_) => Needs::REGIONS,
            What::RangeTime(_) | What::Stopped(_) | What::Marking => Needs::RANGES,
            What::Duration => Needs::STATES | Needs::TASKS | Needs::REGIONS | Needs::RANGES,
            _ => Needs::NONE,
        }
    }
}

/// An event, and what is known from those before.
pub(super) struct Seen<'s, 'a, 't> {
    pub(super) event: &'s Event<'a, 't>,
    pub(super) details: &'s Details<'a, 't>,
    /// Nanoseconds since the first event.
    pub(super) time: u64,
    pub(super) watch: &'s Watch,
}

impl Subject<EventName> for Seen<'_, '_, '_> {
    fn values(&self, name: &EventName, test: &mut dyn FnMut(Value<'_>) -> bool) {
        let (event, details) = (self.event, self.details);
        let number = |n: u64| Value::Number(Quantity::new(n));
        let ended = self.watch.ended();
        let transition = details.as_state_transition();
        // Each is asked only until one fits.
        match &name.0 {
            What::Kind => {
                let _ = test(Value::Text(event.kind().name().into()))
                    || event
                        .wire_type()
                        .and_then(|ty| ty.name())
                        .is_some_and(|ty| test(Value::Text(ty.into())));
            }
            What::Time => {
                test(number(self.time));
            }
            What::Goroutine => {
                let context = event.goroutine();
                let about = about(details).goroutine().filter(|id| Some(*id) != context);
                let _ = [context, about]
                    .iter()
                    .flatten()
                    .any(|id| test(number(id.get())));
            }
            What::Proc => {
                let context = event.proc();
                let about = about(details).proc().filter(|id| Some(*id) != context);
                let _ = [context, about]
                    .iter()
                    .flatten()
                    .any(|id| test(number(id.get())));
            }
            What::Thread => {
                let _ = event.thread().is_some_and(|id| test(number(id.get())));
            }
            What::Name => {
                let context = event.goroutine();
                let about = about(details).goroutine().filter(|id| Some(*id) != context);
                let mut known = [context, about].into_iter().flatten();
                let _ = known.any(|id| {
                    let name = self.watch.name(id);
                    name.is_some_and(|name| test(Value::Text(GoStr::new(name))))
                });
            }
            What::Func | What::File | What::Stack => {
                let own = event.stack();
                // A new goroutine's begins elsewhere.
                let other = transition
                    .and_then(|t| t.stack)
                    .filter(|other| Some(*other) != own);
                let _ = [own, other].iter().flatten().any(|stack| match name.0 {
                    What::Stack => stack.frames().any(|frame| test(Value::Text(frame.func))),
                    What::File => {
                        let first = stack.frames().next();
                        first.is_some_and(|frame| test(Value::Text(frame.file)))
                    }
                    _ => {
                        let first = stack.frames().next();
                        first.is_some_and(|frame| test(Value::Text(frame.func)))
                    }
                });
            }
            What::From | What::To => {
                let Some(transition) = transition else { return };
                let (from, to) = match transition.change {
                    Change::Goroutine { from, to, .. } => (from.name(), to.name()),
                    Change::Proc { from, to, .. } => (from.name(), to.name()),
                };
                let state = if name.0 == What::From { from } else { to };
                test(Value::Text(state.into()));
            }
            What::Reason => {
                let reason = transition
                    .map(|t| t.reason)
                    .filter(|reason| !reason.is_empty());
                let _ = reason.is_some_and(|reason| test(Value::Text(reason)));
            }
            What::Task => {
                let own = details.as_task().map(|task| task.ty);
                let of = match details {
                    Details::RegionBegin(region) | Details::RegionEnd(region) => region.task,
                    Details::Log(log) => log.task,
                    _ => None,
                };
                let known = of.and_then(|id| self.watch.task(id)).map(GoStr::new);
                let _ = own.or(known).is_some_and(|ty| test(Value::Text(ty)));
            }
            What::TaskId => {
                let id = match details {
                    Details::TaskBegin(task) | Details::TaskEnd(task) => task.id,
                    Details::RegionBegin(region) | Details::RegionEnd(region) => region.task,
                    Details::Log(log) => log.task,
                    _ => None,
                };
                let id = id.filter(|id| *id != TaskId::BACKGROUND);
                let _ = id.is_some_and(|id| test(number(id.get())));
            }
            What::Region => {
                let _ = details
                    .as_region()
                    .is_some_and(|region| test(Value::Text(region.ty)));
            }
            What::Category => {
                let _ = details
                    .as_log()
                    .is_some_and(|log| test(Value::Text(log.category)));
            }
            What::Message => {
                let _ = details
                    .as_log()
                    .is_some_and(|log| test(Value::Text(log.message)));
            }
            What::Range => {
                let Some(range) = details.as_range() else {
                    return;
                };
                let text = range.name.to_string();
                test(Value::Text(text.as_str().into()));
            }
            What::Label => {
                let _ = details
                    .as_label()
                    .is_some_and(|label| test(Value::Text(label.label)));
            }
            What::Metric => {
                let metric = details.as_metric();
                let _ = metric.is_some_and(|metric| test(Value::Text(metric.name.into())));
            }
            What::Value => {
                let _ = details
                    .as_metric()
                    .is_some_and(|metric| test(number(metric.value)));
            }
            What::Heap | What::HeapGoal | What::Procs => {
                let wanted = match name.0 {
                    What::Heap => Metric::HEAP_OBJECTS,
                    What::HeapGoal => Metric::HEAP_GOAL,
                    _ => Metric::GOMAXPROCS,
                };
                let metric = details.as_metric().filter(|metric| metric.name == wanted);
                let _ = metric.is_some_and(|metric| test(number(metric.value)));
            }
            What::Goroutines => {
                // Where their number may have grown.
                let from = transition
                    .and_then(|t| t.goroutine())
                    .map(|(_, from, _)| from);
                if matches!(from, Some(GoState::NotExist | GoState::Undetermined)) {
                    test(number(self.watch.goroutines()));
                }
            }
            What::Duration => {
                let _ = ended
                    .duration
                    .is_some_and(|duration| test(number(duration)));
            }
            What::Stay(state) => {
                let stay = ended.duration.filter(|_| ended.state == Some(*state));
                let _ = stay.is_some_and(|duration| test(number(duration)));
            }
            What::Waiting(reason) => {
                let fits = ended.state == Some(GoState::Waiting)
                    && reason
                        .as_ref()
                        .is_none_or(|reason| ended.reason.is(reason.as_bytes()));
                let stay = ended.duration.filter(|_| fits);
                let _ = stay.is_some_and(|duration| test(number(duration)));
            }
            What::TaskTime(ty) => {
                let Details::TaskEnd(task) = details else {
                    return;
                };
                let fits = task.ty.as_bytes() == ty.as_bytes();
                let time = ended.duration.filter(|_| fits);
                let _ = time.is_some_and(|duration| test(number(duration)));
            }
            What::RegionTime(ty) => {
                let Details::RegionEnd(region) = details else {
                    return;
                };
                let fits = region.ty.as_bytes() == ty.as_bytes();
                let time = ended.duration.filter(|_| fits);
                let _ = time.is_some_and(|duration| test(number(duration)));
            }
            What::RangeTime(_) | What::Stopped(_) | What::Marking => {
                let Details::RangeEnd(range, _) = details else {
                    return;
                };
                let fits = match (&name.0, range.name) {
                    (What::RangeTime(wanted), name) => name == **wanted,
                    (What::Stopped(None), RangeName::StopTheWorld(_)) => true,
                    (What::Stopped(Some(wanted)), RangeName::StopTheWorld(reason)) => {
                        reason.as_bytes() == wanted.as_bytes()
                    }
                    (What::Marking, name) => name == RangeName::GcMark,
                    _ => false,
                };
                let time = ended.duration.filter(|_| fits);
                let _ = time.is_some_and(|duration| test(number(duration)));
            }
        }
    }
}
