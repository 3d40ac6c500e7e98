//! The event table: every number of the format, in one place.
//!
//! Mirrors `internal/trace/tracev2`. Everything else that needs to know an event's name, its
//! arguments, what they mean or since when it exists derives it from here.

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
pub enum Class {
    /// Frames batches and sections, or fills tables.
    Structural,
    /// Stands in event batches; its first argument is a time difference.
    Timed,
}

/// What the format says of an event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Spec {
    /// The name in Go's text form.
    pub name: &'static str,
    /// The arguments, the time difference of timed events included. Trailing data, as a string has,
    /// is not.
    pub args: &'static [Arg],
    /// The first version that has the event.
    pub since: Version,
    /// Whether it stands among the timed events.
    pub class: Class,
    /// The experiment it belongs to.
    pub experiment: Option<Experiment>,
}

impl Spec {
    /// Where the argument of this role stands, if there is one.
    pub fn position(&self, role: Role) -> Option<usize> {
        self.args.iter().position(|a| a.role == role)
    }
}

/// The type of an event on the wire. A number that the table does not have is kept as it is.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(pub u8);

/// One line an event: number, name, first version, class, experiment, arguments with roles.
macro_rules! events {
    ($(
        $(#[$doc:meta])*
        $number:literal $konst:ident $name:ident $since:ident $class:ident $experiment:expr,
        ($($arg:ident: $role:ident),*);
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
                    $($number => Some(&Spec {
                        name: stringify!($name),
                        args: &[$(Arg { name: const { plain(stringify!($arg)) }, role: Role::$role }),*],
                        since: Version::$since,
                        class: Class::$class,
                        experiment: $experiment,
                    }),)*
                    _ => None,
                }
            }
        }
    };
}

/// No experiment; a short word for the table.
const NONE: Option<Experiment> = None;
const ALLOC_FREE: Option<Experiment> = Some(Experiment::ALLOC_FREE);

/// The table: gives its lines to the macro named. `r#` keeps a word of Rust's apart.
macro_rules! event_table { ($for:ident) => { $for! {
    /// Begins a batch of one thread's events, or a section of a table.
    1 EVENT_BATCH EventBatch Go122 Structural NONE, (gen: Generation, m: Thread, time: Time, size: Size);
    /// Begins a section of stacks.
    2 STACKS Stacks Go122 Structural NONE, ();
    /// A stack; four numbers a frame follow: pc, function, file, line.
    3 STACK Stack Go122 Structural NONE, (id: Stack, nframes: Frames);
    /// Begins a section of strings.
    4 STRINGS Strings Go122 Structural NONE, ();
    /// A string; its length and bytes follow.
    5 STRING String Go122 Structural NONE, (id: String);
    /// Begins a section of CPU samples.
    6 CPU_SAMPLES CPUSamples Go122 Structural NONE, ();
    /// A sample of the CPU profiler.
    7 CPU_SAMPLE CPUSample Go122 Structural NONE, (time: Time, m: Thread, p: Proc, g: Goroutine, stack: Stack);
    /// The trace clock's units a second.
    8 FREQUENCY Frequency Go122 Structural NONE, (freq: Value);

    /// The value of GOMAXPROCS.
    9 PROCS_CHANGE ProcsChange Go122 Timed NONE, (dt: Delta, procs_value: Value, stack: Stack);
    /// The thread takes a proc.
    10 PROC_START ProcStart Go122 Timed NONE, (dt: Delta, p: Proc, p_seq: Sequence);
    /// The thread gives up its proc.
    11 PROC_STOP ProcStop Go122 Timed NONE, (dt: Delta);
    /// The thread takes another's proc away, which was in a system call.
    12 PROC_STEAL ProcSteal Go122 Timed NONE, (dt: Delta, p: Proc, p_seq: Sequence, m: Thread);
    /// A proc's state when a generation begins.
    13 PROC_STATUS ProcStatus Go122 Timed NONE, (dt: Delta, p: Proc, pstatus: ProcStatus);
    /// A goroutine is created, ready to run.
    14 GO_CREATE GoCreate Go122 Timed NONE, (dt: Delta, new_g: Goroutine, new_stack: NewStack, stack: Stack);
    /// A goroutine appears in a system call: a thread of C calls into Go.
    15 GO_CREATE_SYSCALL GoCreateSyscall Go122 Timed NONE, (dt: Delta, new_g: Goroutine);
    /// A goroutine runs on the thread.
    16 GO_START GoStart Go122 Timed NONE, (dt: Delta, g: Goroutine, g_seq: Sequence);
    /// The running goroutine ends.
    17 GO_DESTROY GoDestroy Go122 Timed NONE, (dt: Delta);
    /// A goroutine that appeared in a system call returns to C.
    18 GO_DESTROY_SYSCALL GoDestroySyscall Go122 Timed NONE, (dt: Delta);
    /// The running goroutine yields, ready to run.
    19 GO_STOP GoStop Go122 Timed NONE, (dt: Delta, reason_string: String, stack: Stack);
    /// The running goroutine blocks.
    20 GO_BLOCK GoBlock Go122 Timed NONE, (dt: Delta, reason_string: String, stack: Stack);
    /// A blocked goroutine becomes ready to run.
    21 GO_UNBLOCK GoUnblock Go122 Timed NONE, (dt: Delta, g: Goroutine, g_seq: Sequence, stack: Stack);
    /// The running goroutine enters a system call.
    22 GO_SYSCALL_BEGIN GoSyscallBegin Go122 Timed NONE, (dt: Delta, p_seq: Sequence, stack: Stack);
    /// The goroutine leaves its system call and runs on.
    23 GO_SYSCALL_END GoSyscallEnd Go122 Timed NONE, (dt: Delta);
    /// The goroutine leaves its system call without a proc.
    24 GO_SYSCALL_END_BLOCKED GoSyscallEndBlocked Go122 Timed NONE, (dt: Delta);
    /// A goroutine's state when a generation begins.
    25 GO_STATUS GoStatus Go122 Timed NONE, (dt: Delta, g: Goroutine, m: Thread, gstatus: GoStatus);
    /// The world stops.
    26 STW_BEGIN STWBegin Go122 Timed NONE, (dt: Delta, kind_string: String, stack: Stack);
    /// The world goes on.
    27 STW_END STWEnd Go122 Timed NONE, (dt: Delta);
    /// A garbage collection was under way when the generation began.
    28 GC_ACTIVE GCActive Go122 Timed NONE, (dt: Delta, gc_seq: Sequence);
    /// A garbage collection begins.
    29 GC_BEGIN GCBegin Go122 Timed NONE, (dt: Delta, gc_seq: Sequence, stack: Stack);
    /// A garbage collection ends.
    30 GC_END GCEnd Go122 Timed NONE, (dt: Delta, gc_seq: Sequence);
    /// A proc was sweeping when the generation began.
    31 GC_SWEEP_ACTIVE GCSweepActive Go122 Timed NONE, (dt: Delta, p: Proc);
    /// The proc begins to sweep.
    32 GC_SWEEP_BEGIN GCSweepBegin Go122 Timed NONE, (dt: Delta, stack: Stack);
    /// The proc ends sweeping; values in bytes.
    33 GC_SWEEP_END GCSweepEnd Go122 Timed NONE, (dt: Delta, swept_value: Value, reclaimed_value: Value);
    /// A goroutine was assisting the collector when the generation began.
    34 GC_MARK_ASSIST_ACTIVE GCMarkAssistActive Go122 Timed NONE, (dt: Delta, g: Goroutine);
    /// The goroutine begins to assist the collector.
    35 GC_MARK_ASSIST_BEGIN GCMarkAssistBegin Go122 Timed NONE, (dt: Delta, stack: Stack);
    /// The goroutine ends assisting the collector.
    36 GC_MARK_ASSIST_END GCMarkAssistEnd Go122 Timed NONE, (dt: Delta);
    /// The live heap, in bytes.
    37 HEAP_ALLOC HeapAlloc Go122 Timed NONE, (dt: Delta, heapalloc_value: Value);
    /// The heap's goal, in bytes.
    38 HEAP_GOAL HeapGoal Go122 Timed NONE, (dt: Delta, heapgoal_value: Value);
    /// A label for the running goroutine.
    39 GO_LABEL GoLabel Go122 Timed NONE, (dt: Delta, label_string: String);
    /// A user task begins.
    40 USER_TASK_BEGIN UserTaskBegin Go122 Timed NONE,
        (dt: Delta, task: Task, parent_task: Task, name_string: String, stack: Stack);
    /// A user task ends.
    41 USER_TASK_END UserTaskEnd Go122 Timed NONE, (dt: Delta, task: Task, stack: Stack);
    /// A user region begins.
    42 USER_REGION_BEGIN UserRegionBegin Go122 Timed NONE,
        (dt: Delta, task: Task, name_string: String, stack: Stack);
    /// A user region ends.
    43 USER_REGION_END UserRegionEnd Go122 Timed NONE,
        (dt: Delta, task: Task, name_string: String, stack: Stack);
    /// A user's log message.
    44 USER_LOG UserLog Go122 Timed NONE,
        (dt: Delta, task: Task, key_string: String, value_string: String, stack: Stack);

    /// The running coroutine blocks and hands over to another.
    45 GO_SWITCH GoSwitch Go123 Timed NONE, (dt: Delta, g: Goroutine, g_seq: Sequence);
    /// The running coroutine ends and hands over to another.
    46 GO_SWITCH_DESTROY GoSwitchDestroy Go123 Timed NONE, (dt: Delta, g: Goroutine, g_seq: Sequence);
    /// A goroutine is created, blocked.
    47 GO_CREATE_BLOCKED GoCreateBlocked Go123 Timed NONE,
        (dt: Delta, new_g: Goroutine, new_stack: NewStack, stack: Stack);
    /// A goroutine's state when a generation begins, with its stack.
    48 GO_STATUS_STACK GoStatusStack Go123 Timed NONE,
        (dt: Delta, g: Goroutine, m: Thread, gstatus: GoStatus, stack: Stack);
    /// Begins a batch of an experiment's data; its length and bytes follow.
    49 EXPERIMENTAL_BATCH ExperimentalBatch Go123 Structural NONE,
        (exp: Experiment, gen: Generation, m: Thread, time: Time);

    /// Begins a sync batch.
    50 SYNC Sync Go125 Structural NONE, ();
    /// One moment on the trace clock, the monotonic and the wall clock.
    51 CLOCK_SNAPSHOT ClockSnapshot Go125 Timed NONE, (dt: Delta, mono: Plain, sec: Plain, nsec: Plain);
    /// Ends a generation.
    52 END_OF_GENERATION EndOfGeneration Go126 Structural NONE, ();

    /// A span of the heap exists.
    128 SPAN Span Go123 Timed ALLOC_FREE, (dt: Delta, id: Plain, npages_value: Value, kindclass: Plain);
    /// A span is allocated.
    129 SPAN_ALLOC SpanAlloc Go123 Timed ALLOC_FREE,
        (dt: Delta, id: Plain, npages_value: Value, kindclass: Plain);
    /// A span is freed.
    130 SPAN_FREE SpanFree Go123 Timed ALLOC_FREE, (dt: Delta, id: Plain);
    /// A heap object exists.
    131 HEAP_OBJECT HeapObject Go123 Timed ALLOC_FREE, (dt: Delta, id: Plain, r#type: Plain);
    /// A heap object is allocated.
    132 HEAP_OBJECT_ALLOC HeapObjectAlloc Go123 Timed ALLOC_FREE, (dt: Delta, id: Plain, r#type: Plain);
    /// A heap object is freed.
    133 HEAP_OBJECT_FREE HeapObjectFree Go123 Timed ALLOC_FREE, (dt: Delta, id: Plain);
    /// A goroutine stack exists.
    134 GOROUTINE_STACK GoroutineStack Go123 Timed ALLOC_FREE, (dt: Delta, id: Plain, order: Plain);
    /// A goroutine stack is allocated.
    135 GOROUTINE_STACK_ALLOC GoroutineStackAlloc Go123 Timed ALLOC_FREE,
        (dt: Delta, id: Plain, order: Plain);
    /// A goroutine stack is freed.
    136 GOROUTINE_STACK_FREE GoroutineStackFree Go123 Timed ALLOC_FREE, (dt: Delta, id: Plain);
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

    /// Which argument is the stack on which the event happened, counted without the time difference.
    pub(crate) fn stack_arg(self) -> Option<usize> {
        let at = STACK_ARG.get(num::index(u32::from(self.0))).copied();
        usize::from(at?).checked_sub(1)
    }
}

/// What a function says of the arguments of each timed type, by the type's number; 0 for others.
macro_rules! by_number {
    ($of:path) => {{
        let mut table = [0; 256];
        let mut rest: &mut [u8] = &mut table;
        let mut number: u8 = 0;
        while let Some((entry, tail)) = rest.split_first_mut() {
            if let Some(spec) = EventType(number).spec()
                && matches!(spec.class, Class::Timed)
            {
                *entry = $of(spec.args);
            }
            rest = tail;
            number = number.wrapping_add(1);
        }
        table
    }};
}

/// [`EventType::stack_arg`] by number, counted with the time difference; 0 for none. It spares a
/// firmware the names that [`EventType::spec`] brings with it.
static STACK_ARG: [u8; 256] = by_number!(last_stack);

/// [`EventType::timed_args`] by number, so that the decoder's question is one load.
static TIMED_ARGS: [u8; 256] = by_number!(count);

const fn count(args: &[Arg]) -> u8 {
    num::low_byte(num::wide(args.len()))
}

const fn last_stack(mut args: &[Arg]) -> u8 {
    let (mut at, mut found) = (0u8, 0);
    while let [arg, others @ ..] = args {
        if matches!(arg.role, Role::Stack) {
            found = at;
        }
        at = at.wrapping_add(1);
        args = others;
    }
    found
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
    /// In a system call on a thread that nobody knows any more.
    pub const SYSCALL_ABANDONED: ProcStatus = ProcStatus(4);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_without_names_is_what_the_table_says() {
        for ty in EventType::ALL {
            let spec = ty.spec().unwrap();
            assert!(ty.is_known());
            let timed = spec.class == Class::Timed;
            let at = spec.position(Role::Stack).filter(|_| timed);
            assert_eq!(ty.stack_arg(), at.map(|at| at - 1));
        }
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
