//! What each kind of event says.
//!
//! A long file of small types, one for each kind, which are read side by side.

use crate::generation::{ExperimentalBatches, Stack};
use crate::ids::{Experiment, GoId, ProcId, TaskId, ThreadId};
use crate::string::GoStr;
use crate::string::from_name;
use crate::time::ClockSnapshot;
use crate::wire::{Arg, Edge, EventType, GoStatus, Meaning, ProcStatus};
use core::fmt;

/// The kind of an event (`trace.EventKind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EventKind {
    /// A point where everything that exists has been seen; one begins each generation.
    Sync,
    /// The value of a metric.
    Metric,
    /// A label for a resource.
    Label,
    /// A sample of the CPU profiler.
    StackSample,
    /// A range begins.
    RangeBegin,
    /// A range was open when the trace, or a generation, began.
    RangeActive,
    /// A range ends.
    RangeEnd,
    /// A user task begins.
    TaskBegin,
    /// A user task ends.
    TaskEnd,
    /// A user region begins.
    RegionBegin,
    /// A user region ends.
    RegionEnd,
    /// A user's log message.
    Log,
    /// A goroutine or a proc changes its state.
    StateTransition,
    /// An event of an experiment, not checked.
    Experimental,
}

impl EventKind {
    /// Every kind.
    pub const ALL: &[EventKind] = &[
        EventKind::Sync,
        EventKind::Metric,
        EventKind::Label,
        EventKind::StackSample,
        EventKind::RangeBegin,
        EventKind::RangeActive,
        EventKind::RangeEnd,
        EventKind::TaskBegin,
        EventKind::TaskEnd,
        EventKind::RegionBegin,
        EventKind::RegionEnd,
        EventKind::Log,
        EventKind::StateTransition,
        EventKind::Experimental,
    ];

    /// The kind of the events that records of this type give; `None` for those that give none:
    /// batches, sections, entries of tables, and types that the format does not have.
    ///
    /// ```
    /// use gotrace::{EventKind, wire::EventType};
    ///
    /// assert_eq!(EventKind::of(EventType::GO_START), Some(EventKind::StateTransition));
    /// assert_eq!(EventKind::of(EventType::STRING), None);
    /// ```
    #[inline]
    pub fn of(ty: EventType) -> Option<EventKind> {
        KINDS.get(usize::from(ty.0)).copied().flatten()
    }

    const fn from_meaning(meaning: Meaning) -> Option<EventKind> {
        Some(match meaning {
            Meaning::Structure | Meaning::Clock => return None,
            Meaning::StackSample => EventKind::StackSample,
            Meaning::Metric(_) => EventKind::Metric,
            Meaning::Label => EventKind::Label,
            Meaning::Range { edge, .. } => match edge {
                Edge::Begin => EventKind::RangeBegin,
                Edge::Active => EventKind::RangeActive,
                Edge::End => EventKind::RangeEnd,
            },
            Meaning::TaskBegin => EventKind::TaskBegin,
            Meaning::TaskEnd => EventKind::TaskEnd,
            Meaning::RegionBegin => EventKind::RegionBegin,
            Meaning::RegionEnd => EventKind::RegionEnd,
            Meaning::Log => EventKind::Log,
            Meaning::Go { .. }
            | Meaning::GoSwitch(_)
            | Meaning::GoStatus
            | Meaning::Proc { .. }
            | Meaning::ProcStatus => EventKind::StateTransition,
            Meaning::Experimental => EventKind::Experimental,
        })
    }

    /// The name in Go's API, as in `StateTransition`.
    pub const fn name(self) -> &'static str {
        match self {
            EventKind::Sync => "Sync",
            EventKind::Metric => "Metric",
            EventKind::Label => "Label",
            EventKind::StackSample => "StackSample",
            EventKind::RangeBegin => "RangeBegin",
            EventKind::RangeActive => "RangeActive",
            EventKind::RangeEnd => "RangeEnd",
            EventKind::TaskBegin => "TaskBegin",
            EventKind::TaskEnd => "TaskEnd",
            EventKind::RegionBegin => "RegionBegin",
            EventKind::RegionEnd => "RegionEnd",
            EventKind::Log => "Log",
            EventKind::StateTransition => "StateTransition",
            EventKind::Experimental => "Experimental",
        }
    }
}

/// [`EventKind::of`] by number, so that the kind of an event is one load.
static KINDS: [Option<EventKind>; 256] = {
    let mut table = [None; 256];
    let mut rest: &mut [_] = &mut table;
    let mut number: u8 = 0;
    while let Some((entry, tail)) = rest.split_first_mut() {
        if let Some(spec) = EventType(number).spec() {
            *entry = EventKind::from_meaning(spec.meaning);
        }
        rest = tail;
        number = number.wrapping_add(1);
    }
    table
};

from_name!(EventKind, "event kind");

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Something that events are about (`trace.ResourceID`). Displays as in `Goroutine(5)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
// Exhaustive by decision, as `Change`, `GoState` and `ProcState` are: what events are about is what
// every user of them matches on, and the compiler should point at each such place if Go ever adds to it.
pub enum Resource {
    /// The whole program.
    None,
    /// A goroutine.
    Goroutine(GoId),
    /// A proc.
    Proc(ProcId),
    /// A thread.
    Thread(ThreadId),
}

/// What sort of thing a [`Resource`] is (`trace.ResourceKind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ResourceKind {
    /// The whole program.
    None,
    /// A goroutine.
    Goroutine,
    /// A proc.
    Proc,
    /// A thread.
    Thread,
}

impl ResourceKind {
    /// Every kind.
    pub const ALL: &[ResourceKind] = &[
        ResourceKind::None,
        ResourceKind::Goroutine,
        ResourceKind::Proc,
        ResourceKind::Thread,
    ];

    /// The name in Go's API.
    pub const fn name(self) -> &'static str {
        match self {
            ResourceKind::None => "None",
            ResourceKind::Goroutine => "Goroutine",
            ResourceKind::Proc => "Proc",
            ResourceKind::Thread => "Thread",
        }
    }
}

from_name!(ResourceKind, "resource kind");

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Resource {
    /// What sort of thing it is.
    pub const fn kind(self) -> ResourceKind {
        match self {
            Resource::None => ResourceKind::None,
            Resource::Goroutine(_) => ResourceKind::Goroutine,
            Resource::Proc(_) => ResourceKind::Proc,
            Resource::Thread(_) => ResourceKind::Thread,
        }
    }

    /// The goroutine, if it is one (`ResourceID.Goroutine`).
    pub const fn goroutine(self) -> Option<GoId> {
        match self {
            Resource::Goroutine(id) => Some(id),
            _ => None,
        }
    }

    /// The proc, if it is one (`ResourceID.Proc`).
    pub const fn proc(self) -> Option<ProcId> {
        match self {
            Resource::Proc(id) => Some(id),
            _ => None,
        }
    }

    /// The thread, if it is one (`ResourceID.Thread`).
    pub const fn thread(self) -> Option<ThreadId> {
        match self {
            Resource::Thread(id) => Some(id),
            _ => None,
        }
    }
}

impl From<GoId> for Resource {
    fn from(id: GoId) -> Self {
        Resource::Goroutine(id)
    }
}

impl From<ProcId> for Resource {
    fn from(id: ProcId) -> Self {
        Resource::Proc(id)
    }
}

impl From<ThreadId> for Resource {
    fn from(id: ThreadId) -> Self {
        Resource::Thread(id)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resource::None => f.write_str("None"),
            Resource::Goroutine(id) => write!(f, "Goroutine({id})"),
            Resource::Proc(id) => write!(f, "Proc({id})"),
            Resource::Thread(id) => write!(f, "Thread({id})"),
        }
    }
}

impl From<Option<GoId>> for Resource {
    fn from(id: Option<GoId>) -> Self {
        id.map_or(Resource::None, Resource::Goroutine)
    }
}

impl From<Option<ProcId>> for Resource {
    fn from(id: Option<ProcId>) -> Self {
        id.map_or(Resource::None, Resource::Proc)
    }
}

/// The states of a resource, by the numbers of Go's API.
macro_rules! states {
    ($(#[$doc:meta])* $name:ident $what:literal { $($(#[$state_doc:meta])* $state:ident = $number:literal,)* }) => {
        $(#[$doc])*
        // Exhaustive by decision: see `Resource`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub enum $name {
            $($(#[$state_doc])* $state,)*
        }

        impl $name {
            /// The number by which the order remembers the state.
            pub(crate) const fn number(self) -> u8 {
                match self {
                    $($name::$state => $number,)*
                }
            }

            pub(crate) const fn from_number(number: u8) -> $name {
                match number {
                    $($number => $name::$state,)*
                    _ => $name::Undetermined,
                }
            }

            /// Every state.
            pub const ALL: &[$name] = &[$($name::$state),*];

            /// The name in Go's API.
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$state => stringify!($state),)*
                }
            }
        }

        from_name!($name, $what);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

states! {
    /// The state of a goroutine (`trace.GoState`).
    GoState "goroutine state" {
        /// Nothing is known of it yet.
        Undetermined = 0,
        /// It does not exist.
        NotExist = 1,
        /// It is ready to run.
        Runnable = 2,
        /// It runs.
        Running = 3,
        /// It waits for something.
        Waiting = 4,
        /// It is in a system call.
        Syscall = 5,
    }
}

states! {
    /// The state of a proc (`trace.ProcState`).
    ProcState "proc state" {
        /// Nothing is known of it yet.
        Undetermined = 0,
        /// It does not exist.
        NotExist = 1,
        /// A thread has it.
        Running = 2,
        /// No thread has it.
        Idle = 3,
    }
}

impl GoState {
    /// Whether a goroutine in this state is bound to a thread.
    pub const fn executing(self) -> bool {
        matches!(self, GoState::Running | GoState::Syscall)
    }

    /// The state that a status on the wire means; `None` for one that no Go release writes.
    ///
    /// Go takes the status 0 for an undetermined state, which no other event then matches.
    pub(crate) const fn of(status: GoStatus) -> Option<GoState> {
        match status {
            GoStatus(0) => Some(GoState::Undetermined),
            GoStatus::RUNNABLE => Some(GoState::Runnable),
            GoStatus::RUNNING => Some(GoState::Running),
            GoStatus::SYSCALL => Some(GoState::Syscall),
            GoStatus::WAITING => Some(GoState::Waiting),
            _ => None,
        }
    }

    /// The state for a status of the event table: there, none is that of a goroutine that does not
    /// exist.
    pub(crate) const fn of_row(status: Option<GoStatus>) -> GoState {
        match status {
            Some(status) => GoState::of_known(status),
            None => GoState::NotExist,
        }
    }

    /// The state for a status that the order has let pass.
    pub(crate) const fn of_known(status: GoStatus) -> GoState {
        match GoState::of(status) {
            Some(state) => state,
            None => GoState::Undetermined,
        }
    }
}

impl ProcState {
    /// Whether a proc in this state is bound to a thread.
    pub const fn executing(self) -> bool {
        matches!(self, ProcState::Running)
    }

    /// As for [`GoState::of`]. In a system call a proc counts as running, until its thread is lost.
    pub(crate) const fn of(status: ProcStatus) -> Option<ProcState> {
        match status {
            ProcStatus(0) => Some(ProcState::Undetermined),
            ProcStatus::RUNNING | ProcStatus::SYSCALL => Some(ProcState::Running),
            ProcStatus::IDLE | ProcStatus::SYSCALL_ABANDONED => Some(ProcState::Idle),
            _ => None,
        }
    }

    /// The state for a status of the event table, or one that the order has let pass.
    pub(crate) fn of_known(status: ProcStatus) -> ProcState {
        ProcState::of(status).unwrap_or(ProcState::Undetermined)
    }
}

/// What an event says, by its kind.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Details<'a, 't> {
    /// A generation begins, or the trace ends.
    Sync(Sync<'t>),
    /// The value of a metric.
    Metric(Metric),
    /// A label for a resource.
    Label(Label<'t>),
    /// A sample of the CPU profiler: see [`Event::stack`](crate::Event::stack).
    StackSample,
    /// A range begins.
    RangeBegin(Range<'t>),
    /// A range was open when the trace, or a generation, began.
    RangeActive(Range<'t>),
    /// A range ends, with what is known of it then: none or two attributes.
    RangeEnd(Range<'t>, Option<[RangeAttribute; 2]>),
    /// A user task begins.
    TaskBegin(Task<'t>),
    /// A user task ends.
    TaskEnd(Task<'t>),
    /// A user region begins.
    RegionBegin(Region<'t>),
    /// A user region ends.
    RegionEnd(Region<'t>),
    /// A user's log message.
    Log(Log<'t>),
    /// A goroutine or a proc changes its state.
    StateTransition(StateTransition<'a, 't>),
    /// An event of an experiment, not checked.
    Experimental(ExperimentalEvent),
}

macro_rules! accessors {
    ($($(#[$doc:meta])* $name:ident: $ty:ty = $pattern:pat => $value:expr;)*) => {
        /// What an event says if it is of the kind asked for, as the methods of Go's `trace.Event` give
        /// it; `None` where those panic.
        impl<'a, 't> Details<'a, 't> {
            $($(#[$doc])*
            pub fn $name(&self) -> Option<$ty> {
                match self {
                    $pattern => Some($value),
                    _ => None,
                }
            })*
        }
    };
}

accessors! {
    /// The sync event's details (`Event.Sync`).
    as_sync: &Sync<'t> = Details::Sync(sync) => sync;
    /// The metric (`Event.Metric`).
    as_metric: Metric = Details::Metric(metric) => *metric;
    /// The label (`Event.Label`).
    as_label: Label<'t> = Details::Label(label) => *label;
    /// The range that begins, is open or ends (`Event.Range`).
    as_range: Range<'t> = Details::RangeBegin(range)
        | Details::RangeActive(range)
        | Details::RangeEnd(range, _) => *range;
    /// What is known of a range that ends, if anything (`Event.RangeAttributes`).
    as_range_attributes: &[RangeAttribute] = Details::RangeEnd(_, attributes) => attributes
        .as_ref()
        .map_or(&[][..], |two| two.as_slice());
    /// The task that begins or ends (`Event.Task`).
    as_task: Task<'t> = Details::TaskBegin(task) | Details::TaskEnd(task) => *task;
    /// The region that begins or ends (`Event.Region`).
    as_region: Region<'t> = Details::RegionBegin(region) | Details::RegionEnd(region) => *region;
    /// The user's message (`Event.Log`).
    as_log: Log<'t> = Details::Log(log) => *log;
    /// The state transition (`Event.StateTransition`).
    as_state_transition: StateTransition<'a, 't> = Details::StateTransition(transition) => *transition;
    /// The event of an experiment (`Event.Experimental`).
    as_experimental: ExperimentalEvent = Details::Experimental(event) => *event;
}

/// A synchronisation point: everything that exists has been seen (`trace.Sync`).
#[derive(Clone, Debug)]
pub struct Sync<'t> {
    /// The number of this sync event: 1 for the first of the trace, 2 for the second.
    pub n: u64,
    /// The clocks at the start of the generation, since Go 1.25; never in a trace's last sync event.
    pub clock: Option<ClockSnapshot>,
    pub(super) batches: Option<ExperimentalBatches<'t>>,
}

impl<'t> Sync<'t> {
    /// The experimental batches of the generation that begins.
    pub fn experimental_batches(
        &self,
    ) -> impl Iterator<Item = crate::generation::ExperimentalBatch<'t>> {
        self.batches.clone().into_iter().flatten()
    }
}

/// The value of a metric (`trace.Metric`), under the name that Go's `runtime/metrics` has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Metric {
    /// The name, with the unit after the colon: one of the constants below.
    pub name: &'static str,
    /// The value.
    pub value: u64,
}

impl Metric {
    /// The value of GOMAXPROCS: the number of procs.
    pub const GOMAXPROCS: &'static str = "/sched/gomaxprocs:threads";
    /// The bytes of live heap objects and of those not swept yet.
    pub const HEAP_OBJECTS: &'static str = "/memory/classes/heap/objects:bytes";
    /// The heap size at which the next garbage collection is to end, in bytes.
    pub const HEAP_GOAL: &'static str = "/gc/heap/goal:bytes";
}

/// A label for a resource (`trace.Label`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Label<'t> {
    /// The label.
    pub label: GoStr<'t>,
    /// What it is for: a goroutine.
    pub resource: Resource,
}

/// What a range is. Displays as the name in Go's API, as in `GC incremental sweep`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RangeName<'t> {
    /// The world is stopped, for this reason.
    StopTheWorld(GoStr<'t>),
    /// The garbage collector marks, while the program runs.
    GcMark,
    /// A proc sweeps.
    GcSweep,
    /// A goroutine helps the garbage collector, to be allowed to allocate.
    GcMarkAssist,
}

impl fmt::Display for RangeName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RangeName::StopTheWorld(reason) => write!(f, "stop-the-world ({reason})"),
            RangeName::GcMark => f.write_str("GC concurrent mark phase"),
            RangeName::GcSweep => f.write_str("GC incremental sweep"),
            RangeName::GcMarkAssist => f.write_str("GC mark assist"),
        }
    }
}

/// With the name in Go's API, as in `stop-the-world (GC sweep termination)`.
impl PartialEq<str> for RangeName<'_> {
    fn eq(&self, name: &str) -> bool {
        match self {
            RangeName::StopTheWorld(reason) => name
                .strip_prefix("stop-the-world (")
                .and_then(|rest| rest.strip_suffix(")"))
                .is_some_and(|name| *reason == *name),
            RangeName::GcMark => name == "GC concurrent mark phase",
            RangeName::GcSweep => name == "GC incremental sweep",
            RangeName::GcMarkAssist => name == "GC mark assist",
        }
    }
}

impl PartialEq<&str> for RangeName<'_> {
    fn eq(&self, name: &&str) -> bool {
        *self == **name
    }
}

/// A stretch of time of the runtime's own work (`trace.Range`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Range<'t> {
    /// What it is; one of a name at a time in a scope.
    pub name: RangeName<'t>,
    /// What it happens to; not always the event's context, if the range was active.
    pub scope: Resource,
}

/// A fact about a range that ended (`trace.RangeAttribute`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RangeAttribute {
    /// The name, with its unit: `bytes swept` or `bytes reclaimed`.
    pub name: &'static str,
    /// The value.
    pub value: u64,
}

/// A user task (`trace.Task`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Task<'t> {
    /// The id. A task that ended may be followed by another with the same id.
    pub id: Option<TaskId>,
    /// The task that it is part of, if any and if it is known.
    pub parent: Option<TaskId>,
    /// The type given to `trace.NewTask`; empty at the end of a task whose beginning the trace does
    /// not hold.
    pub ty: GoStr<'t>,
}

/// A user region (`trace.Region`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Region<'t> {
    /// The task that it is part of.
    pub task: Option<TaskId>,
    /// The type given to `trace.StartRegion` or `trace.WithRegion`.
    pub ty: GoStr<'t>,
}

/// A user's log message (`trace.Log`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Log<'t> {
    /// The task that it is part of.
    pub task: Option<TaskId>,
    /// The category.
    pub category: GoStr<'t>,
    /// The message.
    pub message: GoStr<'t>,
}

/// A change of a resource's state (`trace.StateTransition`), or the news that it is in one.
///
/// **Not every transition is a change.** A trace is made of generations, each of which can be read on
/// its own: so each says again in which state every goroutine and proc is that exists. What you count
/// or measure by transitions must leave these [announcements](StateTransition::is_announcement) out. A
/// goroutine that has waited since the second generation is announced as waiting by the third:
///
/// ```
/// use gotrace::event::GoState;
/// use gotrace::{GoId, Time, Trace};
/// use std::collections::HashMap;
///
/// let bytes = include_bytes!("../../tests/fixtures/block-go1.27.trace");
/// let trace = Trace::new(bytes)?;
/// let mut reader = trace.reader();
/// let mut waiting_since: HashMap<GoId, Time> = HashMap::new();
/// while let Some(event) = reader.next()? {
///     let Some(transition) = event.details().as_state_transition() else { continue };
///     let Some((id, _, to)) = transition.goroutine() else { continue };
///     if transition.is_announcement() {
///         continue; // without this, it would have waited since the generation began
///     }
///     match to {
///         // With `is_first_mention`: at least since then.
///         GoState::Waiting => drop(waiting_since.insert(id, event.time())),
///         _ => drop(waiting_since.remove(&id)),
///     }
/// }
/// # Ok::<(), gotrace::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StateTransition<'a, 't> {
    /// What changes, from which state to which.
    pub change: Change,
    /// Why, in Go's words; empty if it does not say.
    pub reason: GoStr<'t>,
    /// The stack of what changes, which is not always that of the event's context: a new
    /// goroutine's is the one it begins with.
    pub stack: Option<Stack<'a, 't>>,
    /// It comes from a status record, of which each generation has one for all that exists.
    pub(super) status: bool,
}

impl StateTransition<'_, '_> {
    /// Whether nothing changes: a generation says again that what was known to be in this state is
    /// in it. From and to are the same, and there is no reason; the state began earlier.
    ///
    /// This is not so for the [first mention](StateTransition::is_first_mention) of a goroutine or
    /// proc, and for a status that is news: a proc that a generation mentions before anything else
    /// did comes from [`ProcState::NotExist`].
    pub fn is_announcement(&self) -> bool {
        self.status
            && match self.change {
                Change::Goroutine { from, to, .. } => from == to,
                Change::Proc { from, to, .. } => from == to,
            }
    }

    /// Whether this is the first that a trace says of something which existed before it: it comes
    /// from an undetermined state. When the state that it is in began is not known.
    pub const fn is_first_mention(&self) -> bool {
        matches!(
            self.change,
            Change::Goroutine {
                from: GoState::Undetermined,
                ..
            } | Change::Proc {
                from: ProcState::Undetermined,
                ..
            }
        )
    }

    /// The goroutine whose state changes, from which to which (`StateTransition.Goroutine`).
    pub const fn goroutine(&self) -> Option<(GoId, GoState, GoState)> {
        match self.change {
            Change::Goroutine {
                id: Some(id),
                from,
                to,
            } => Some((id, from, to)),
            _ => None,
        }
    }

    /// The proc whose state changes, from which to which (`StateTransition.Proc`).
    pub const fn proc(&self) -> Option<(ProcId, ProcState, ProcState)> {
        match self.change {
            Change::Proc {
                id: Some(id),
                from,
                to,
            } => Some((id, from, to)),
            _ => None,
        }
    }

    /// What changes its state.
    pub const fn resource(&self) -> Resource {
        match self.change {
            Change::Goroutine { id: Some(id), .. } => Resource::Goroutine(id),
            Change::Proc { id: Some(id), .. } => Resource::Proc(id),
            _ => Resource::None,
        }
    }
}

/// What changes its state, from which to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[expect(missing_docs, reason = "the fields' names say it")]
// Exhaustive by decision: see `Resource`.
pub enum Change {
    /// A goroutine's state changes.
    Goroutine {
        id: Option<GoId>,
        from: GoState,
        to: GoState,
    },
    /// A proc's state changes.
    Proc {
        id: Option<ProcId>,
        from: ProcState,
        to: ProcState,
    },
}

/// An event of an experiment, as it is on the wire (`trace.ExperimentalEvent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ExperimentalEvent {
    pub(super) ty: EventType,
    pub(super) args: [u64; 4],
}

impl ExperimentalEvent {
    /// The event's name.
    pub const fn name(&self) -> &'static str {
        match self.ty.name() {
            Some(name) => name,
            None => "",
        }
    }

    /// The experiment that it is part of.
    pub fn experiment(&self) -> Option<Experiment> {
        self.ty.spec()?.experiment
    }

    /// The arguments, with their names and what is known of their meaning.
    pub fn args(&self) -> impl Iterator<Item = (Arg, u64)> {
        let specs = self.ty.spec().map_or(&[][..], |spec| spec.args);
        specs.iter().skip(1).copied().zip(self.args)
    }
}
