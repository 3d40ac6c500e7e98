//! The event table: every number of the format, in one place.
//!
//! Mirrors `internal/trace/tracev2`. Everything else that needs to know an event's name, its
//! arguments, what they mean or since when it exists derives it from here. The file is long because the
//! table is one.

use super::header::Version;
use crate::ids::Experiment;
use crate::num;
use core::fmt;

/// The longest batch payload, in bytes (`MaxBatchSize`).
pub const MAX_BATCH_SIZE: u64 = 64 << 10;
/// The longest string, in bytes (`MaxEventTrailerDataSize`).
pub const MAX_STRING_SIZE: u64 = 1 << 10;
/// The most frames in a stack (`MaxFramesPerStack`).
pub const MAX_FRAMES: u64 = 128;
/// The most arguments of a timed event, its time difference included (`MaxTimedEventArgs`).
pub const MAX_TIMED_ARGS: usize = 5;

/// What an argument means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Role {
    /// Trace clock units since the event before it in the batch, or since the batch's time.
    Delta,
    /// A trace clock reading.
    Time,
    /// A generation number.
    Generation,
    /// A thread; all ones for none.
    Thread,
    /// A proc; all ones for none.
    Proc,
    /// A goroutine; all ones for none (0 in CPU samples).
    Goroutine,
    /// A sequence number.
    Sequence,
    /// A proc status, see [`ProcStatus`].
    ProcStatus,
    /// A goroutine status, see [`GoStatus`].
    GoStatus,
    /// A string id; 0 for the empty string.
    String,
    /// The id of the stack on which the event happened; 0 for none.
    Stack,
    /// The id of the stack with which a new goroutine begins; 0 for none.
    NewStack,
    /// A user task; 0 is the background task.
    Task,
    /// A number of bytes that follow.
    Size,
    /// A number of frames that follow.
    Frames,
    /// An experiment.
    Experiment,
    /// A measured quantity, in the unit that the event names.
    Value,
    /// A number that only the event's experiment or record explains.
    Plain,
}

/// An argument: its name in Go's text form, and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Arg {
    /// The name in Go's text form, as in `p_seq=4`.
    pub name: &'static str,
    /// What the number means.
    pub role: Role,
}

/// What an event type is to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Class {
    /// Frames batches and sections, or fills tables.
    Structural,
    /// Stands in event batches; its first argument is a time difference.
    Timed,
}

/// Whose state changes, or whose range it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Who {
    /// The goroutine or proc of the thread on which the event happened.
    Own,
    /// The one that the event's first argument of role [`Role::Goroutine`] or [`Role::Proc`] names.
    Named,
}

/// What a range happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Scope {
    /// The whole program.
    Program,
    /// A goroutine.
    Goroutine(Who),
    /// A proc.
    Proc(Who),
}

/// The work of the runtime that a range spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RangeKind {
    /// The world is stopped. The argument of role [`Role::String`] at the beginning is the reason.
    StopTheWorld,
    /// The garbage collector marks, while the program runs.
    GcMark,
    /// A proc sweeps. The two arguments of role [`Role::Value`] at the end are the bytes swept and
    /// the bytes reclaimed.
    GcSweep,
    /// A goroutine helps the garbage collector.
    GcMarkAssist,
}

/// Which part of a range an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
// Exhaustive: there is no fourth part of a range.
pub enum Edge {
    /// It begins.
    Begin,
    /// It was open when the generation began.
    Active,
    /// It ends.
    End,
}

/// What a metric measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Gauge {
    /// GOMAXPROCS.
    Procs,
    /// The live heap, in bytes.
    HeapObjects,
    /// The heap's goal, in bytes.
    HeapGoal,
}

/// What an event of a type says, in the format's own terms.
///
/// Event kinds, details, conversions, encoders and filters derive from this, so that a type is
/// described in one place: its row of the table. Which argument says what is in the row's
/// [roles](Role).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Meaning {
    /// Nothing that happened: it frames batches and sections, or fills tables.
    Structure,
    /// A sample of the CPU profiler.
    StackSample,
    /// Moments on three clocks, of which each generation has one set.
    Clock,
    /// The value of a metric, in the argument of role [`Role::Value`].
    Metric(Gauge),
    /// A label for the thread's goroutine.
    Label,
    /// A range of the runtime's own work.
    Range {
        /// What work it is.
        kind: RangeKind,
        /// Which part of the range.
        edge: Edge,
        /// What it happens to.
        scope: Scope,
    },
    /// A user task begins: the task, the task that it is part of, its type.
    TaskBegin,
    /// A user task ends.
    TaskEnd,
    /// A user region begins: its task, its type.
    RegionBegin,
    /// A user region ends: its task, its type.
    RegionEnd,
    /// A user's message: its task, its category, the message.
    Log,
    /// A goroutine goes from one status to another; `None`: it does not exist. The string, if there
    /// is one, is the reason.
    Go {
        /// Which goroutine.
        who: Who,
        /// Its status before.
        from: Option<GoStatus>,
        /// Its status after.
        to: Option<GoStatus>,
    },
    /// The thread's goroutine goes from running to this status (`None`: it ends), and a waiting one,
    /// which the event names, runs in its place: three events.
    GoSwitch(Option<GoStatus>),
    /// The status of a goroutine that the event names, when a generation begins.
    GoStatus,
    /// A proc goes from one status to another.
    Proc {
        /// Which proc.
        who: Who,
        /// Its status before. A proc that is stolen out of a system call may have been
        /// [abandoned](ProcStatus::SYSCALL_ABANDONED) in it.
        from: ProcStatus,
        /// Its status after.
        to: ProcStatus,
    },
    /// The status of a proc that the event names, when a generation begins.
    ProcStatus,
    /// What only the event's experiment explains.
    Experimental,
}

/// What the format says of an event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Spec {
    /// The name in Go's text form.
    pub name: &'static str,
    /// The arguments, the time difference of timed events included. Trailing data, as a string has,
    /// is not.
    pub args: &'static [Arg],
    /// The first version that has the event.
    pub since: Version,
    /// Whether it is among the timed events.
    pub class: Class,
    /// The experiment it belongs to.
    pub experiment: Option<Experiment>,
    /// What an event of the type says.
    pub meaning: Meaning,
}

impl Spec {
    /// Where the argument of this role is, if there is one.
    pub fn position(&self, role: Role) -> Option<usize> {
        self.args.iter().position(|a| a.role == role)
    }

    /// Whether traces of this version may have the event: those since [`since`](Spec::since).
    pub fn exists_in(&self, version: Version) -> bool {
        self.since <= version
    }
}

/// The type of an event on the wire. A number that the table does not have is kept as it is.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(pub u8);

/// A row an event: number, name, first version, class, experiment, arguments with roles, meaning.
/// A row without a meaning does not compile.
macro_rules! events {
    ($(
        $(#[$doc:meta])*
        $number:literal $konst:ident $name:ident $since:ident $class:ident $experiment:expr,
        ($($arg:ident: $role:ident),*), $meaning:expr;
    )*) => {
        impl EventType {
            $($(#[$doc])* pub const $konst: EventType = EventType($number);)*

            /// Every type in the table, by number.
            pub const ALL: &'static [EventType] = &[$(EventType($number)),*];

            /// Whether the format has this type: [`spec`](EventType::spec) without what it says.
            pub(crate) const fn is_known(self) -> bool {
                matches!(self.0, $($number)|*)
            }

            /// What the format says of this type; nothing if it does not have it.
            pub const fn spec(self) -> Option<&'static Spec> {
                match self.0 {
                    $($number => Some(const { &Spec {
                        name: stringify!($name),
                        args: &[$(Arg { name: const { plain(stringify!($arg)) }, role: Role::$role }),*],
                        since: Version::$since,
                        class: Class::$class,
                        experiment: $experiment,
                        meaning: $meaning,
                    } }),)*
                    _ => None,
                }
            }
        }
    };
}

// Short words for the table.

const NONE: Option<Experiment> = None;
const ALLOC_FREE: Option<Experiment> = Some(Experiment::ALLOC_FREE);

/// A goroutine that does not exist.
const ABSENT: Option<GoStatus> = None;
const RUNNABLE: Option<GoStatus> = Some(GoStatus::RUNNABLE);
const RUNNING: Option<GoStatus> = Some(GoStatus::RUNNING);
const SYSCALL: Option<GoStatus> = Some(GoStatus::SYSCALL);
const WAITING: Option<GoStatus> = Some(GoStatus::WAITING);

const fn go(who: Who, from: Option<GoStatus>, to: Option<GoStatus>) -> Meaning {
    Meaning::Go { who, from, to }
}

const fn proc(who: Who, from: ProcStatus, to: ProcStatus) -> Meaning {
    Meaning::Proc { who, from, to }
}

const fn range(kind: RangeKind, edge: Edge, scope: Scope) -> Meaning {
    Meaning::Range { kind, edge, scope }
}

/// The table: gives its rows to the macro named. `r#` keeps a word of Rust's apart.
macro_rules! event_table { ($for:ident) => { $for! {
    /// Begins a batch of one thread's events, or a section of a table.
    1 EVENT_BATCH EventBatch Go122 Structural NONE, (gen: Generation, m: Thread, time: Time, size: Size),
        Meaning::Structure;
    /// Begins a section of stacks.
    2 STACKS Stacks Go122 Structural NONE, (),
        Meaning::Structure;
    /// A stack; four numbers a frame follow: pc, function, file, line.
    3 STACK Stack Go122 Structural NONE, (id: Stack, nframes: Frames),
        Meaning::Structure;
    /// Begins a section of strings.
    4 STRINGS Strings Go122 Structural NONE, (),
        Meaning::Structure;
    /// A string; its length and bytes follow.
    5 STRING String Go122 Structural NONE, (id: String),
        Meaning::Structure;
    /// Begins a section of CPU samples.
    6 CPU_SAMPLES CPUSamples Go122 Structural NONE, (),
        Meaning::Structure;
    /// A sample of the CPU profiler.
    7 CPU_SAMPLE CPUSample Go122 Structural NONE, (time: Time, m: Thread, p: Proc, g: Goroutine, stack: Stack),
        Meaning::StackSample;
    /// The trace clock's units a second.
    8 FREQUENCY Frequency Go122 Structural NONE, (freq: Value),
        Meaning::Structure;

    /// The value of GOMAXPROCS.
    9 PROCS_CHANGE ProcsChange Go122 Timed NONE, (dt: Delta, procs_value: Value, stack: Stack),
        Meaning::Metric(Gauge::Procs);
    /// The thread takes a proc.
    10 PROC_START ProcStart Go122 Timed NONE, (dt: Delta, p: Proc, p_seq: Sequence),
        proc(Who::Named, ProcStatus::IDLE, ProcStatus::RUNNING);
    /// The thread gives up its proc.
    11 PROC_STOP ProcStop Go122 Timed NONE, (dt: Delta),
        proc(Who::Own, ProcStatus::RUNNING, ProcStatus::IDLE);
    /// The thread takes another's proc away, which was in a system call.
    12 PROC_STEAL ProcSteal Go122 Timed NONE, (dt: Delta, p: Proc, p_seq: Sequence, m: Thread),
        proc(Who::Named, ProcStatus::SYSCALL, ProcStatus::IDLE);
    /// A proc's state when a generation begins.
    13 PROC_STATUS ProcStatus Go122 Timed NONE, (dt: Delta, p: Proc, pstatus: ProcStatus),
        Meaning::ProcStatus;
    /// A goroutine is created, ready to run.
    14 GO_CREATE GoCreate Go122 Timed NONE, (dt: Delta, new_g: Goroutine, new_stack: NewStack, stack: Stack),
        go(Who::Named, ABSENT, RUNNABLE);
    /// A goroutine appears in a system call: a thread of C calls into Go.
    15 GO_CREATE_SYSCALL GoCreateSyscall Go122 Timed NONE, (dt: Delta, new_g: Goroutine),
        go(Who::Named, ABSENT, SYSCALL);
    /// A goroutine runs on the thread.
    16 GO_START GoStart Go122 Timed NONE, (dt: Delta, g: Goroutine, g_seq: Sequence),
        go(Who::Named, RUNNABLE, RUNNING);
    /// The running goroutine ends.
    17 GO_DESTROY GoDestroy Go122 Timed NONE, (dt: Delta),
        go(Who::Own, RUNNING, ABSENT);
    /// A goroutine that appeared in a system call returns to C.
    18 GO_DESTROY_SYSCALL GoDestroySyscall Go122 Timed NONE, (dt: Delta),
        go(Who::Own, SYSCALL, ABSENT);
    /// The running goroutine yields, ready to run.
    19 GO_STOP GoStop Go122 Timed NONE, (dt: Delta, reason_string: String, stack: Stack),
        go(Who::Own, RUNNING, RUNNABLE);
    /// The running goroutine blocks.
    20 GO_BLOCK GoBlock Go122 Timed NONE, (dt: Delta, reason_string: String, stack: Stack),
        go(Who::Own, RUNNING, WAITING);
    /// A blocked goroutine becomes ready to run.
    21 GO_UNBLOCK GoUnblock Go122 Timed NONE, (dt: Delta, g: Goroutine, g_seq: Sequence, stack: Stack),
        go(Who::Named, WAITING, RUNNABLE);
    /// The running goroutine enters a system call.
    22 GO_SYSCALL_BEGIN GoSyscallBegin Go122 Timed NONE, (dt: Delta, p_seq: Sequence, stack: Stack),
        go(Who::Own, RUNNING, SYSCALL);
    /// The goroutine leaves its system call and runs on.
    23 GO_SYSCALL_END GoSyscallEnd Go122 Timed NONE, (dt: Delta),
        go(Who::Own, SYSCALL, RUNNING);
    /// The goroutine leaves its system call without a proc.
    24 GO_SYSCALL_END_BLOCKED GoSyscallEndBlocked Go122 Timed NONE, (dt: Delta),
        go(Who::Own, SYSCALL, RUNNABLE);
    /// A goroutine's state when a generation begins.
    25 GO_STATUS GoStatus Go122 Timed NONE, (dt: Delta, g: Goroutine, m: Thread, gstatus: GoStatus),
        Meaning::GoStatus;
    /// The world stops.
    26 STW_BEGIN STWBegin Go122 Timed NONE, (dt: Delta, kind_string: String, stack: Stack),
        range(RangeKind::StopTheWorld, Edge::Begin, Scope::Goroutine(Who::Own));
    /// The world goes on.
    27 STW_END STWEnd Go122 Timed NONE, (dt: Delta),
        range(RangeKind::StopTheWorld, Edge::End, Scope::Goroutine(Who::Own));
    /// A garbage collection was under way when the generation began.
    28 GC_ACTIVE GCActive Go122 Timed NONE, (dt: Delta, gc_seq: Sequence),
        range(RangeKind::GcMark, Edge::Active, Scope::Program);
    /// A garbage collection begins.
    29 GC_BEGIN GCBegin Go122 Timed NONE, (dt: Delta, gc_seq: Sequence, stack: Stack),
        range(RangeKind::GcMark, Edge::Begin, Scope::Program);
    /// A garbage collection ends.
    30 GC_END GCEnd Go122 Timed NONE, (dt: Delta, gc_seq: Sequence),
        range(RangeKind::GcMark, Edge::End, Scope::Program);
    /// A proc was sweeping when the generation began.
    31 GC_SWEEP_ACTIVE GCSweepActive Go122 Timed NONE, (dt: Delta, p: Proc),
        range(RangeKind::GcSweep, Edge::Active, Scope::Proc(Who::Named));
    /// The proc begins to sweep.
    32 GC_SWEEP_BEGIN GCSweepBegin Go122 Timed NONE, (dt: Delta, stack: Stack),
        range(RangeKind::GcSweep, Edge::Begin, Scope::Proc(Who::Own));
    /// The proc ends sweeping; values in bytes.
    33 GC_SWEEP_END GCSweepEnd Go122 Timed NONE, (dt: Delta, swept_value: Value, reclaimed_value: Value),
        range(RangeKind::GcSweep, Edge::End, Scope::Proc(Who::Own));
    /// A goroutine was assisting the collector when the generation began.
    34 GC_MARK_ASSIST_ACTIVE GCMarkAssistActive Go122 Timed NONE, (dt: Delta, g: Goroutine),
        range(RangeKind::GcMarkAssist, Edge::Active, Scope::Goroutine(Who::Named));
    /// The goroutine begins to assist the collector.
    35 GC_MARK_ASSIST_BEGIN GCMarkAssistBegin Go122 Timed NONE, (dt: Delta, stack: Stack),
        range(RangeKind::GcMarkAssist, Edge::Begin, Scope::Goroutine(Who::Own));
    /// The goroutine ends assisting the collector.
    36 GC_MARK_ASSIST_END GCMarkAssistEnd Go122 Timed NONE, (dt: Delta),
        range(RangeKind::GcMarkAssist, Edge::End, Scope::Goroutine(Who::Own));
    /// The live heap, in bytes.
    37 HEAP_ALLOC HeapAlloc Go122 Timed NONE, (dt: Delta, heapalloc_value: Value),
        Meaning::Metric(Gauge::HeapObjects);
    /// The heap's goal, in bytes.
    38 HEAP_GOAL HeapGoal Go122 Timed NONE, (dt: Delta, heapgoal_value: Value),
        Meaning::Metric(Gauge::HeapGoal);
    /// A label for the running goroutine.
    39 GO_LABEL GoLabel Go122 Timed NONE, (dt: Delta, label_string: String),
        Meaning::Label;
    /// A user task begins.
    40 USER_TASK_BEGIN UserTaskBegin Go122 Timed NONE,
        (dt: Delta, task: Task, parent_task: Task, name_string: String, stack: Stack),
        Meaning::TaskBegin;
    /// A user task ends.
    41 USER_TASK_END UserTaskEnd Go122 Timed NONE, (dt: Delta, task: Task, stack: Stack),
        Meaning::TaskEnd;
    /// A user region begins.
    42 USER_REGION_BEGIN UserRegionBegin Go122 Timed NONE,
        (dt: Delta, task: Task, name_string: String, stack: Stack),
        Meaning::RegionBegin;
    /// A user region ends.
    43 USER_REGION_END UserRegionEnd Go122 Timed NONE,
        (dt: Delta, task: Task, name_string: String, stack: Stack),
        Meaning::RegionEnd;
    /// A user's log message.
    44 USER_LOG UserLog Go122 Timed NONE,
        (dt: Delta, task: Task, key_string: String, value_string: String, stack: Stack),
        Meaning::Log;

    /// The running coroutine blocks and hands over to another.
    45 GO_SWITCH GoSwitch Go123 Timed NONE, (dt: Delta, g: Goroutine, g_seq: Sequence),
        Meaning::GoSwitch(WAITING);
    /// The running coroutine ends and hands over to another.
    46 GO_SWITCH_DESTROY GoSwitchDestroy Go123 Timed NONE, (dt: Delta, g: Goroutine, g_seq: Sequence),
        Meaning::GoSwitch(ABSENT);
    /// A goroutine is created, blocked.
    47 GO_CREATE_BLOCKED GoCreateBlocked Go123 Timed NONE,
        (dt: Delta, new_g: Goroutine, new_stack: NewStack, stack: Stack),
        go(Who::Named, ABSENT, WAITING);
    /// A goroutine's state when a generation begins, with its stack.
    48 GO_STATUS_STACK GoStatusStack Go123 Timed NONE,
        (dt: Delta, g: Goroutine, m: Thread, gstatus: GoStatus, stack: Stack),
        Meaning::GoStatus;
    /// Begins a batch of an experiment's data; its length and bytes follow.
    49 EXPERIMENTAL_BATCH ExperimentalBatch Go123 Structural NONE,
        (exp: Experiment, gen: Generation, m: Thread, time: Time),
        Meaning::Structure;

    /// Begins a sync batch.
    50 SYNC Sync Go125 Structural NONE, (),
        Meaning::Structure;
    /// One moment on the trace clock, the monotonic and the wall clock.
    51 CLOCK_SNAPSHOT ClockSnapshot Go125 Timed NONE, (dt: Delta, mono: Plain, sec: Plain, nsec: Plain),
        Meaning::Clock;
    /// Ends a generation.
    52 END_OF_GENERATION EndOfGeneration Go126 Structural NONE, (),
        Meaning::Structure;

    /// A span of the heap exists.
    128 SPAN Span Go123 Timed ALLOC_FREE, (dt: Delta, id: Plain, npages_value: Value, kindclass: Plain),
        Meaning::Experimental;
    /// A span is allocated.
    129 SPAN_ALLOC SpanAlloc Go123 Timed ALLOC_FREE,
        (dt: Delta, id: Plain, npages_value: Value, kindclass: Plain),
        Meaning::Experimental;
    /// A span is freed.
    130 SPAN_FREE SpanFree Go123 Timed ALLOC_FREE, (dt: Delta, id: Plain),
        Meaning::Experimental;
    /// A heap object exists.
    131 HEAP_OBJECT HeapObject Go123 Timed ALLOC_FREE, (dt: Delta, id: Plain, r#type: Plain),
        Meaning::Experimental;
    /// A heap object is allocated.
    132 HEAP_OBJECT_ALLOC HeapObjectAlloc Go123 Timed ALLOC_FREE, (dt: Delta, id: Plain, r#type: Plain),
        Meaning::Experimental;
    /// A heap object is freed.
    133 HEAP_OBJECT_FREE HeapObjectFree Go123 Timed ALLOC_FREE, (dt: Delta, id: Plain),
        Meaning::Experimental;
    /// A goroutine stack exists.
    134 GOROUTINE_STACK GoroutineStack Go123 Timed ALLOC_FREE, (dt: Delta, id: Plain, order: Plain),
        Meaning::Experimental;
    /// A goroutine stack is allocated.
    135 GOROUTINE_STACK_ALLOC GoroutineStackAlloc Go123 Timed ALLOC_FREE,
        (dt: Delta, id: Plain, order: Plain),
        Meaning::Experimental;
    /// A goroutine stack is freed.
    136 GOROUTINE_STACK_FREE GoroutineStackFree Go123 Timed ALLOC_FREE, (dt: Delta, id: Plain),
        Meaning::Experimental;
} } }
pub(super) use event_table;
event_table!(events);

/// A name as Go writes it.
const fn plain(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', rest @ ..] => match core::str::from_utf8(rest) {
            Ok(rest) => rest,
            Err(_) => name,
        },
        _ => name,
    }
}

impl EventType {
    /// The name in Go's text form, if the table has the type.
    pub const fn name(self) -> Option<&'static str> {
        match self.spec() {
            Some(spec) => Some(spec.name),
            None => None,
        }
    }

    /// The type of this name in Go's text form.
    pub fn from_name(name: &str) -> Option<EventType> {
        Self::ALL.iter().copied().find(|ty| ty.name() == Some(name))
    }

    /// How many arguments a timed event of this type has, the time difference included; 0 for a
    /// type that is not timed.
    #[inline(always)]
    pub fn timed_args(self) -> usize {
        TIMED_ARGS
            .get(num::index(u32::from(self.0)))
            .copied()
            .map_or(0, usize::from)
    }

    /// What an event of this type says; `None` if the table does not have the type.
    ///
    /// This, [`arg`](EventType::arg) and [`exists_in`](EventType::exists_in) answer out of small
    /// tables: unlike [`spec`](EventType::spec), they link no names.
    #[inline]
    pub fn meaning(self) -> Option<Meaning> {
        MEANINGS.get(self.row()).copied().flatten()
    }

    /// Which argument of a timed event has this role, the first if several have: an index into
    /// [`TimedEvent::args`](super::TimedEvent), where the time difference does not count.
    ///
    /// `None` if the type has no such argument, and for the roles of which no reader of events
    /// asks: numbers without a meaning, sequence numbers, and those of records that are not timed.
    #[inline]
    pub fn arg(self, role: Role) -> Option<usize> {
        let place = PLACES.get(self.row())?.checked_shr(lane(role)?)? & 0xf;
        num::index(place).checked_sub(1)
    }

    /// Whether traces of this version may have events or records of this type. An encoder refuses
    /// those that may not.
    ///
    /// ```
    /// use gotrace::wire::{EventType, Version};
    ///
    /// assert!(EventType::GO_SWITCH.exists_in(Version::Go123));
    /// assert!(!EventType::GO_SWITCH.exists_in(Version::Go122));
    /// ```
    pub fn exists_in(self, version: Version) -> bool {
        let since = SINCE.get(self.row()).copied().flatten();
        since.is_some_and(|since| since <= version)
    }

    /// Where the tables below have this type: they leave out the numbers between 64 and 127, none
    /// of which the format has.
    #[inline(always)]
    const fn row(self) -> usize {
        let row = match self.0 {
            0..64 => self.0,
            128..192 => self.0.wrapping_sub(64),
            _ => u8::MAX,
        };
        num::index(num::byte(row))
    }
}

/// How many rows these tables have: up to the highest number in use.
const ROWS: usize = {
    let mut rows: usize = 0;
    let mut types = EventType::ALL;
    while let Some((ty, others)) = types.split_first() {
        let row = ty.row();
        assert!(row < 128, "a number that the tables leave out");
        if row >= rows {
            rows = row.wrapping_add(1);
        }
        types = others;
    }
    rows
};

/// What a function says of each row of the event table.
macro_rules! by_row {
    ($none:expr, $of:path) => {{
        let mut table = [$none; ROWS];
        let mut rest: &mut [_] = &mut table;
        let mut number: u8 = 0;
        while let Some((entry, tail)) = rest.split_first_mut() {
            if let Some(spec) = EventType(number).spec() {
                *entry = $of(spec);
            }
            rest = tail;
            number = if number == 63 {
                128
            } else {
                number.wrapping_add(1)
            };
        }
        table
    }};
}

static MEANINGS: [Option<Meaning>; ROWS] = by_row!(None, meaning_of);
static SINCE: [Option<Version>; ROWS] = by_row!(None, since_of);

/// Four bits a [`lane`]: which argument it is, counted with the time difference, or 0 for none.
static PLACES: [u32; ROWS] = by_row!(0, places_of);

/// A byte for each timed type, by its number, made of what the table says of it; 0 for other types.
macro_rules! by_timed_type {
    ($spec:ident => $byte:expr) => {{
        let mut table = [0; 256];
        let mut rest: &mut [u8] = &mut table;
        let mut number: u8 = 0;
        while let Some((entry, tail)) = rest.split_first_mut() {
            if let Some($spec) = EventType(number).spec()
                && matches!($spec.class, Class::Timed)
            {
                *entry = $byte;
            }
            rest = tail;
            number = number.wrapping_add(1);
        }
        table
    }};
}
pub(super) use by_timed_type;

/// [`EventType::timed_args`] by number, so that the decoder's question is one load.
static TIMED_ARGS: [u8; 256] = by_timed_type!(spec => num::low_byte(num::wide(spec.args.len())));

const fn meaning_of(spec: &Spec) -> Option<Meaning> {
    Some(spec.meaning)
}

const fn since_of(spec: &Spec) -> Option<Version> {
    Some(spec.since)
}

/// Where [`PLACES`] keeps the argument of a role: the lowest of four bits.
#[inline(always)]
const fn lane(role: Role) -> Option<u32> {
    Some(match role {
        Role::Goroutine => 0,
        Role::Proc => 4,
        Role::String => 8,
        Role::Stack => 12,
        Role::NewStack => 16,
        Role::Task => 20,
        Role::Value => 24,
        // No type has both.
        Role::GoStatus | Role::ProcStatus => 28,
        _ => return None,
    })
}

const fn places_of(spec: &Spec) -> u32 {
    let mut places = 0u32;
    if !matches!(spec.class, Class::Timed) {
        return places;
    }
    let (mut args, mut at) = (spec.args, 0u8);
    while let Some((arg, others)) = args.split_first() {
        if let Some(lane) = lane(arg.role)
            && places.wrapping_shr(lane) & 0xf == 0
        {
            places |= num::byte(at).wrapping_shl(lane);
        }
        at = at.wrapping_add(1);
        args = others;
    }
    places
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "EventType({})", self.0),
        }
    }
}

/// The name, or the number of a type that the table does not have.
impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => name.fmt(f),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for EventType {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self.name() {
            Some(name) => defmt::write!(f, "{=str}", name),
            None => defmt::write!(f, "{=u8}", self.0),
        }
    }
}

/// A goroutine's status on the wire (`tracev2.GoStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GoStatus(pub u8);

#[expect(missing_docs, reason = "the names say it")]
impl GoStatus {
    pub const RUNNABLE: GoStatus = GoStatus(1);
    pub const RUNNING: GoStatus = GoStatus(2);
    pub const SYSCALL: GoStatus = GoStatus(3);
    pub const WAITING: GoStatus = GoStatus(4);
}

/// A proc's status on the wire (`tracev2.ProcStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ProcStatus(pub u8);

#[expect(missing_docs, reason = "the names say it")]
impl ProcStatus {
    pub const RUNNING: ProcStatus = ProcStatus(1);
    pub const IDLE: ProcStatus = ProcStatus(2);
    pub const SYSCALL: ProcStatus = ProcStatus(3);
    /// In a system call on a thread that is not known any more.
    pub const SYSCALL_ABANDONED: ProcStatus = ProcStatus(4);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 18] = [
        Role::Delta,
        Role::Time,
        Role::Generation,
        Role::Thread,
        Role::Proc,
        Role::Goroutine,
        Role::Sequence,
        Role::ProcStatus,
        Role::GoStatus,
        Role::String,
        Role::Stack,
        Role::NewStack,
        Role::Task,
        Role::Size,
        Role::Frames,
        Role::Experiment,
        Role::Value,
        Role::Plain,
    ];

    #[test]
    fn the_small_tables_say_what_the_table_says() {
        for number in 0..=u8::MAX {
            let ty = EventType(number);
            let spec = ty.spec();
            assert_eq!(ty.is_known(), spec.is_some(), "{ty}");
            assert_eq!(ty.is_known(), EventType::ALL.contains(&ty), "{ty}");
            assert_eq!(ty.meaning(), spec.map(|spec| spec.meaning), "{ty}");
            for &version in Version::ALL {
                let exists = spec.is_some_and(|spec| spec.exists_in(version));
                assert_eq!(ty.exists_in(version), exists, "{ty} {version:?}");
            }
            for role in ROLES.into_iter().filter(|role| lane(*role).is_some()) {
                let timed = spec.filter(|spec| spec.class == Class::Timed);
                let place = timed.and_then(|spec| spec.position(role));
                // A status has one lane, whatever it is the status of.
                let other = match role {
                    Role::GoStatus => Some(Role::ProcStatus),
                    Role::ProcStatus => Some(Role::GoStatus),
                    _ => None,
                };
                let other = other.and_then(|role| timed?.position(role));
                let place = place.or(other).map(|at| at - 1);
                assert_eq!(ty.arg(role), place, "{ty} {role:?}");
            }
        }
    }

    /// The arguments of a role are one after the other, so that the first one's place says where
    /// the second one is.
    #[test]
    fn arguments_of_one_role_are_neighbours() {
        for spec in EventType::ALL.iter().filter_map(|ty| ty.spec()) {
            for role in ROLES.into_iter().filter(|role| *role != Role::Plain) {
                let has = |arg: &&Arg| arg.role == role;
                let at = spec.position(role).unwrap_or(0);
                let run = spec.args[at..].iter().take_while(has).count();
                assert_eq!(run, spec.args.iter().filter(has).count(), "{}", spec.name);
            }
        }
    }

    /// What a meaning needs of the arguments, the row has; and nothing is left without a meaning.
    #[test]
    fn meanings_agree_with_arguments() {
        for ty in EventType::ALL {
            let spec = ty.spec().unwrap();
            let roles = |role| spec.args.iter().filter(|arg| arg.role == role).count();
            let named = |who, role| assert_eq!(roles(role), usize::from(who == Who::Named), "{ty}");
            assert_eq!(
                spec.meaning == Meaning::Experimental,
                spec.experiment.is_some(),
                "{ty}"
            );
            match spec.meaning {
                Meaning::Structure => assert_eq!(spec.class, Class::Structural, "{ty}"),
                Meaning::StackSample => assert_eq!(*ty, EventType::CPU_SAMPLE),
                _ => assert_eq!(spec.class, Class::Timed, "{ty}"),
            }
            match spec.meaning {
                Meaning::Structure | Meaning::StackSample | Meaning::Clock => {}
                Meaning::Experimental => {}
                Meaning::Metric(_) => assert_eq!(roles(Role::Value), 1, "{ty}"),
                Meaning::Label => assert_eq!(roles(Role::String), 1),
                Meaning::Range { kind, edge, scope } => {
                    match scope {
                        Scope::Program => {}
                        Scope::Goroutine(who) => named(who, Role::Goroutine),
                        Scope::Proc(who) => named(who, Role::Proc),
                    }
                    let reason = kind == RangeKind::StopTheWorld && edge == Edge::Begin;
                    assert_eq!(roles(Role::String), usize::from(reason), "{ty}");
                    let swept = kind == RangeKind::GcSweep && edge == Edge::End;
                    assert_eq!(roles(Role::Value), if swept { 2 } else { 0 }, "{ty}");
                }
                Meaning::TaskBegin => assert_eq!((roles(Role::Task), roles(Role::String)), (2, 1)),
                Meaning::TaskEnd => assert_eq!(roles(Role::Task), 1),
                Meaning::RegionBegin | Meaning::RegionEnd => {
                    assert_eq!((roles(Role::Task), roles(Role::String)), (1, 1));
                }
                Meaning::Log => assert_eq!((roles(Role::Task), roles(Role::String)), (1, 2)),
                Meaning::Go { who, from, to } => {
                    named(who, Role::Goroutine);
                    assert_ne!(from, to, "{ty}");
                }
                Meaning::GoSwitch(_) => named(Who::Named, Role::Goroutine),
                Meaning::GoStatus => {
                    named(Who::Named, Role::Goroutine);
                    assert_eq!(roles(Role::GoStatus), 1, "{ty}");
                }
                Meaning::Proc { who, from, to } => {
                    named(who, Role::Proc);
                    assert_ne!(from, to, "{ty}");
                }
                Meaning::ProcStatus => {
                    named(Who::Named, Role::Proc);
                    assert_eq!(roles(Role::ProcStatus), 1, "{ty}");
                }
            }
        }
    }

    /// The types that each format version has, as Go 1.27's `internal/trace/version` cuts its table:
    /// at the last type of a version. Experiments came with 1.23.
    #[test]
    fn versions_have_the_types_that_go_gives_them() {
        for (version, last, experiments) in [
            (Version::Go111, 0, false),
            (Version::Go119, 0, false),
            (Version::Go121, 0, false),
            (Version::Go122, 44, false),
            (Version::Go123, 49, true),
            (Version::Go125, 51, true),
            (Version::Go126, 52, true),
        ] {
            for number in 0..=u8::MAX {
                let has =
                    (1..=last).contains(&number) || (experiments && (128..=136).contains(&number));
                assert_eq!(
                    EventType(number).exists_in(version),
                    has,
                    "{version:?} {number}"
                );
            }
        }
        assert_eq!(Version::ALL.len(), 7);
    }

    #[test]
    fn the_table_is_consistent() {
        for ty in EventType::ALL {
            let spec = ty.spec().unwrap();
            assert_eq!(EventType::from_name(spec.name), Some(*ty));
            let timed = spec.class == Class::Timed;
            assert_eq!(
                spec.args.first().is_some_and(|a| a.role == Role::Delta),
                timed,
                "{ty}"
            );
            assert_eq!(
                ty.timed_args(),
                if timed { spec.args.len() } else { 0 },
                "{ty}"
            );
            assert!(!timed || spec.args.len() <= MAX_TIMED_ARGS, "{ty}");
            assert_eq!(spec.experiment.is_some(), ty.0 > 127, "{ty}");
        }
        assert_eq!(EventType(53).spec(), None);
        assert_eq!(EventType::HEAP_OBJECT.spec().unwrap().args[2].name, "type");
    }
}
