//! Filters: events by kind, context, names and time.

use super::Moment;
#[cfg(feature = "expressions")]
use super::names::{EventCondition, Seen};
#[cfg(feature = "expressions")]
use super::watch::{Needs, Watch};
use crate::event::{Change, Details, Event, EventKind, Resource};
use crate::ids::{GoId, ProcId, TaskId, ThreadId};
use crate::string::GoStr;
use crate::time::{ClockSnapshot, Time, WallTime};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// Which events are wanted. An event has to pass every kind of condition that is set; of several of
/// one kind, one is enough. A new filter has none, and passes every event.
///
/// Displays as its conditions, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub(crate) kinds: Vec<EventKind>,
    pub(crate) goroutines: Vec<GoId>,
    pub(crate) procs: Vec<ProcId>,
    pub(crate) threads: Vec<ThreadId>,
    pub(crate) tasks: Vec<Box<[u8]>>,
    pub(crate) regions: Vec<Box<[u8]>>,
    pub(crate) stacks: Vec<Box<[u8]>>,
    from: Option<Moment>,
    to: Option<Moment>,
    last: Option<Duration>,
    #[cfg(feature = "expressions")]
    pub(crate) condition: Option<EventCondition>,
}

/// Adds to a list what an event may also be.
macro_rules! adders {
    ($($(#[$doc:meta])* $name:ident($value:ident: $ty:ty) to $list:ident as $make:expr;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $value: $ty) -> Self {
            self.$list.push($make);
            self
        }
    )*};
}

impl Filter {
    /// A filter that passes every event.
    pub const fn new() -> Filter {
        Filter {
            kinds: Vec::new(),
            goroutines: Vec::new(),
            procs: Vec::new(),
            threads: Vec::new(),
            tasks: Vec::new(),
            regions: Vec::new(),
            stacks: Vec::new(),
            from: None,
            to: None,
            last: None,
            #[cfg(feature = "expressions")]
            condition: None,
        }
    }

    adders! {
        /// Events of this kind.
        with_kind(kind: EventKind) to kinds as kind;
        /// Events in this goroutine's context, or about it.
        with_goroutine(id: GoId) to goroutines as id;
        /// Events in this proc's context, or about it.
        with_proc(id: ProcId) to procs as id;
        /// Events on this thread.
        with_thread(id: ThreadId) to threads as id;
        /// User tasks of this type, with the regions and logs that are part of them. A task is known
        /// from its beginning on.
        with_task(ty: impl AsRef<[u8]>) to tasks as ty.as_ref().into();
        /// User regions of this type.
        with_region(ty: impl AsRef<[u8]>) to regions as ty.as_ref().into();
        /// Events with this text in the name of a function on their stack, or on that of the goroutine
        /// whose state changes.
        with_stack(part: impl AsRef<[u8]>) to stacks as part.as_ref().into();
    }

    /// Events at this moment and later.
    #[must_use]
    pub const fn with_from(mut self, from: Moment) -> Self {
        self.from = Some(from);
        self
    }

    /// Events before this moment.
    #[must_use]
    pub const fn with_to(mut self, to: Moment) -> Self {
        self.to = Some(to);
        self
    }

    /// Events at most so long before the end of the trace, which must be known:
    /// [`Selection::with_end`].
    #[must_use]
    pub const fn with_last(mut self, last: Duration) -> Self {
        self.last = Some(last);
        self
    }

    /// Events for which this holds, too.
    #[cfg(feature = "expressions")]
    #[cfg_attr(docsrs, doc(cfg(feature = "expressions")))]
    #[must_use]
    pub fn with_condition(mut self, condition: EventCondition) -> Self {
        self.condition = Some(condition);
        self
    }

    /// Whether a [`Selection`] of it needs to know when the trace ends.
    pub const fn needs_end(&self) -> bool {
        self.last.is_some()
    }

    /// Whether it has no condition, so that every event passes.
    pub fn is_empty(&self) -> bool {
        *self == Filter::new()
    }

    /// Whether it says nothing but from when to when.
    pub fn has_only_times(&self) -> bool {
        let times = Filter {
            from: self.from,
            to: self.to,
            last: self.last,
            ..Filter::new()
        };
        *self == times
    }

    /// Whether no moment is between its two times, in any trace.
    pub fn has_empty_span(&self) -> bool {
        matches!((self.from, self.to), (Some(from), Some(to)) if from.is_not_before(to))
    }

    /// The filter at work on a trace.
    pub fn selection(&self) -> Selection<'_> {
        Selection {
            filter: self,
            times: None,
            clock: None,
            end: None,
            tasks: BTreeSet::new(),
            #[cfg(feature = "expressions")]
            watch: self.watch(),
        }
    }

    /// What its condition needs to have followed; `None` if it has none.
    #[cfg(feature = "expressions")]
    fn watch(&self) -> Option<Watch> {
        let names = self.condition.as_ref()?.names();
        let needs = names.fold(Needs::NONE, |needs, name| needs | name.needs());
        Some(Watch::new(needs))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Conditions { f, any: false };
        out.list("kind", &self.kinds)?;
        out.list("goroutine", &self.goroutines)?;
        out.list("proc", &self.procs)?;
        out.list("thread", &self.threads)?;
        let texts = |names: &[Box<[u8]>]| -> Vec<alloc::string::String> {
            let quoted = names.iter().map(|name| GoStr::new(name).quoted());
            quoted.map(|name| alloc::format!("{name}")).collect()
        };
        out.list("task", &texts(&self.tasks))?;
        out.list("region", &texts(&self.regions))?;
        out.list("stack", &texts(&self.stacks))?;
        out.list("from", self.from.as_slice())?;
        out.list("to", self.to.as_slice())?;
        out.list("last", self.last.map(Moment::SinceStart).as_slice())?;
        #[cfg(feature = "expressions")]
        out.list("where", self.condition.as_slice())?;
        if out.any {
            Ok(())
        } else {
            f.write_str("any event")
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Filter {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Display2Format(self));
    }
}

/// Conditions being displayed: `kind Log or Sync, thread 5`.
struct Conditions<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    any: bool,
}

impl Conditions<'_, '_> {
    fn list(&mut self, what: &str, values: &[impl fmt::Display]) -> fmt::Result {
        for (n, value) in values.iter().enumerate() {
            if n > 0 {
                self.f.write_str(" or ")?;
            } else {
                let comma = if self.any { ", " } else { "" };
                write!(self.f, "{comma}{what} ")?;
            }
            value.fmt(self.f)?;
            self.any = true;
        }
        Ok(())
    }
}

/// What a selection makes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Verdict {
    /// It is wanted.
    Selected,
    /// It is not.
    Skipped,
    /// Neither this one nor any later one is wanted.
    Over,
}

/// Why a selection cannot decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SelectError {
    /// A time on the wall clock or the monotonic clock is wanted, and the trace has neither.
    NoClock,
    /// Times before the end of the trace are wanted, and the selection was not given that.
    NoEnd,
}

impl fmt::Display for SelectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SelectError::NoClock => f.write_str(
                "the trace does not say when it was made (Go 1.25 and later do): \
                 give times since its start, as 1.5s",
            ),
            SelectError::NoEnd => f.write_str("it is not known when the trace ends"),
        }
    }
}

impl core::error::Error for SelectError {}

/// A [`Filter`] at work: it has to see all events of a trace, in order.
///
/// Its memory grows by each task of the types wanted; with a condition that asks how long something took,
/// by what is alive.
#[derive(Clone, Debug)]
pub struct Selection<'f> {
    pub(crate) filter: &'f Filter,
    /// Of the first and the last event seen.
    times: Option<(Time, Time)>,
    /// Of the generation that is read; of an earlier one if it has none.
    clock: Option<ClockSnapshot>,
    /// When the trace ends, if that is known.
    end: Option<Time>,
    /// The tasks of the types wanted. One that ended is kept: its regions may close later.
    tasks: BTreeSet<TaskId>,
    #[cfg(feature = "expressions")]
    watch: Option<Watch>,
}

impl Selection<'_> {
    /// Says when the trace ends: the time of its last event.
    #[must_use]
    pub const fn with_end(mut self, end: Time) -> Self {
        self.end = Some(end);
        self
    }

    /// Whether an event is wanted.
    ///
    /// Moments on the wall clock and the monotonic clock are taken from the clocks of each
    /// generation. Errors: the trace does not say what its clocks show, and the filter needs them.
    #[inline]
    pub fn sees(&mut self, event: &Event<'_, '_>) -> Result<Verdict, SelectError> {
        let filter = self.filter;
        self.note(event);
        if self.is_over(event.time())? {
            return Ok(Verdict::Over);
        }
        // Tasks must be followed from their beginning, wanted or not.
        let names = self.passes_names(event) && self.passes_stacks(event);
        let selected = self.passes_condition(event)
            && names
            && among(&filter.threads, event.thread())
            && self.has_begun(event.time())?;
        Ok(if selected {
            Verdict::Selected
        } else {
            Verdict::Skipped
        })
    }

    /// The times of the first and the last event seen; `None` before any was.
    pub const fn times(&self) -> Option<(Time, Time)> {
        self.times
    }

    /// Takes in the next event: its time, and what it says of clocks.
    #[inline]
    pub(crate) fn note(&mut self, event: &Event<'_, '_>) {
        let time = event.time();
        self.times = Some((self.times.map_or(time, |(start, _)| start), time));
        if event.kind() == EventKind::Sync
            && let Details::Sync(sync) = event.details()
        {
            self.clock = sync.clock.or(self.clock);
        }
    }

    /// Whether what happens at this time, that of the event taken in last, is behind all that is wanted.
    #[inline]
    pub(crate) fn is_over(&self, time: Time) -> Result<bool, SelectError> {
        let to = self.filter.to;
        to.map_or(Ok(false), |to| self.is_reached(to, time))
    }

    /// Whether what happens at this time, that of the event taken in last, is not before all that is
    /// wanted.
    #[inline]
    pub(crate) fn has_begun(&self, time: Time) -> Result<bool, SelectError> {
        let from = self.filter.from;
        Ok(self.is_among_last(time)?
            && from.map_or(Ok(true), |from| self.is_reached(from, time))?)
    }

    /// When what is wanted begins and ends, on the scale of event times, as far as the filter says so
    /// and it is known.
    pub(crate) fn span(&self) -> (Option<Time>, Option<Time>) {
        let from = self.filter.from.and_then(|from| self.time_of(from));
        let last = self.filter.last.and_then(|last| {
            let last = i64::try_from(last.as_nanos()).ok()?;
            Some(Time(self.end?.0.saturating_sub(last)))
        });
        let to = self.filter.to.and_then(|to| self.time_of(to));
        (from.max(last), to)
    }

    /// A moment on the scale of event times.
    fn time_of(&self, moment: Moment) -> Option<Time> {
        let after = |base: Time, nanoseconds: i128| {
            let time = i128::from(base.0).checked_add(nanoseconds)?;
            Some(Time(i64::try_from(time).ok()?))
        };
        match moment {
            Moment::At(time) => Some(time),
            Moment::SinceStart(duration) => {
                let (start, _) = self.times?;
                after(start, i128::try_from(duration.as_nanos()).ok()?)
            }
            Moment::Wall(moment) => {
                let clock = self.clock?;
                let passed = nanoseconds(moment).checked_sub(nanoseconds(clock.wall))?;
                after(clock.trace, passed)
            }
            Moment::Mono(moment) => {
                let clock = self.clock?;
                let passed = i128::from(moment).checked_sub(i128::from(clock.mono))?;
                after(clock.trace, passed)
            }
        }
    }

    /// Whether a moment is at `time` or before.
    fn is_reached(&self, moment: Moment, time: Time) -> Result<bool, SelectError> {
        let start = self.times.map_or(time, |(start, _)| start);
        let clock = || self.clock.ok_or(SelectError::NoClock);
        // Of any two numbers of 64 bits, sums and differences fit.
        let passed = |from: Time| i128::from(time.0).saturating_sub(i128::from(from.0));
        Ok(match moment {
            Moment::At(moment) => moment <= time,
            Moment::SinceStart(duration) => {
                u128::try_from(passed(start)).is_ok_and(|passed| duration.as_nanos() <= passed)
            }
            Moment::Wall(moment) => {
                let clock = clock()?;
                nanoseconds(moment).saturating_sub(nanoseconds(clock.wall)) <= passed(clock.trace)
            }
            Moment::Mono(moment) => {
                let clock = clock()?;
                let after = i128::from(moment).saturating_sub(i128::from(clock.mono));
                after <= passed(clock.trace)
            }
        })
    }

    /// Whether it is near enough to the end.
    fn is_among_last(&self, time: Time) -> Result<bool, SelectError> {
        let Some(last) = self.filter.last else {
            return Ok(true);
        };
        let end = self.end.ok_or(SelectError::NoEnd)?;
        let left = end.checked_duration_since(time);
        Ok(left.is_none_or(|left| left <= last))
    }

    fn passes_stacks(&self, event: &Event<'_, '_>) -> bool {
        let parts = &self.filter.stacks;
        if parts.is_empty() {
            return true;
        }
        let transition = event.details().as_state_transition();
        let other = transition.and_then(|transition| transition.stack);
        [event.stack(), other].iter().flatten().any(|stack| {
            let wanted = |func: GoStr<'_>| parts.iter().any(|part| func.contains(part));
            stack.frames().any(|frame| wanted(frame.func))
        })
    }

    /// Whether the kind fits and the condition holds, of the event taken in last. It has to see every
    /// event.
    #[inline]
    pub(crate) fn passes_condition(&mut self, event: &Event<'_, '_>) -> bool {
        let kinds = &self.filter.kinds;
        let is_kind = kinds.is_empty() || kinds.contains(&event.kind());
        #[cfg(feature = "expressions")]
        let is_kind = self.holds(event) && is_kind;
        is_kind
    }

    #[cfg(feature = "expressions")]
    fn holds(&mut self, event: &Event<'_, '_>) -> bool {
        let (Some(condition), Some(watch)) = (&self.filter.condition, &mut self.watch) else {
            return true;
        };
        let start = self.times.map_or(event.time(), |(start, _)| start);
        let time = event.time().since(start);
        let details = &event.details();
        watch.note(event, details);
        condition.holds(&Seen {
            event,
            details,
            time: u64::try_from(time).unwrap_or(0),
            watch,
        })
    }

    /// Whether goroutine, proc, task and region fit.
    fn passes_names(&mut self, event: &Event<'_, '_>) -> bool {
        let filter = self.filter;
        if filter.goroutines.is_empty()
            && filter.procs.is_empty()
            && filter.tasks.is_empty()
            && filter.regions.is_empty()
        {
            return true;
        }
        let details = event.details();
        let about = about(&details);
        let goroutine = among(&filter.goroutines, event.goroutine())
            || matches!(about, Resource::Goroutine(id) if filter.goroutines.contains(&id));
        let proc = among(&filter.procs, event.proc())
            || matches!(about, Resource::Proc(id) if filter.procs.contains(&id));
        let task = filter.tasks.is_empty() || self.passes_task(&details);
        let region = filter.regions.is_empty()
            || match &details {
                Details::RegionBegin(region) | Details::RegionEnd(region) => {
                    named(&filter.regions, region.ty)
                }
                _ => false,
            };
        goroutine && proc && task && region
    }

    fn passes_task(&mut self, details: &Details<'_, '_>) -> bool {
        let known = |id: Option<TaskId>| id.is_some_and(|id| self.tasks.contains(&id));
        match details {
            Details::TaskBegin(task) => {
                let wanted = named(&self.filter.tasks, task.ty);
                self.tasks.extend(task.id.filter(|_| wanted));
                wanted
            }
            Details::TaskEnd(task) => known(task.id) || named(&self.filter.tasks, task.ty),
            Details::RegionBegin(region) | Details::RegionEnd(region) => known(region.task),
            Details::Log(log) => known(log.task),
            _ => false,
        }
    }
}

/// What an event is about, apart from its context.
pub(super) fn about(details: &Details<'_, '_>) -> Resource {
    match details {
        Details::StateTransition(transition) => match transition.change {
            Change::Goroutine { id, .. } => Resource::from(id),
            Change::Proc { id, .. } => Resource::from(id),
        },
        Details::RangeBegin(range) | Details::RangeActive(range) | Details::RangeEnd(range, _) => {
            range.scope
        }
        Details::Label(label) => label.resource,
        _ => Resource::None,
    }
}

/// Since 1970.
fn nanoseconds(time: WallTime) -> i128 {
    i128::from(time.seconds)
        .saturating_mul(1_000_000_000)
        .saturating_add(i128::from(time.nanoseconds))
}

/// Whether a value is among those wanted, or none is asked for.
pub(crate) fn among<T: PartialEq>(wanted: &[T], value: Option<T>) -> bool {
    wanted.is_empty() || value.is_some_and(|value| wanted.contains(&value))
}

pub(crate) fn named(wanted: &[Box<[u8]>], name: GoStr<'_>) -> bool {
    wanted.iter().any(|wanted| **wanted == *name.as_bytes())
}
