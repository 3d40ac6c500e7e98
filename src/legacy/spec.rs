//! The event table of the formats of before Go 1.22: every number of them, in one place.
//!
//! Mirrors `internal/trace/internal/tracev1`.

use crate::num;
use core::fmt;

/// The longest encoding of a record's arguments, in bytes, where a length precedes them.
pub const MAX_RECORD_SIZE: u64 = 2048;
/// The longest string, in bytes.
pub const MAX_STRING_SIZE: u64 = 1_000_000;
/// The most frames in a stack.
pub const MAX_FRAMES: u64 = 1000;
/// The most arguments of an event, its time difference included.
pub const MAX_ARGS: usize = 5;

/// What the format says of an event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Spec {
    /// The name in Go's source.
    pub name: &'static str,
    /// The names of the arguments in the order in which they are in the trace: `dt` is the number of
    /// clock units since the event before it in the batch, `stack` the id of the stack on which the
    /// event happened. What follows the arguments of a string, a stack and a log message is not
    /// among them.
    pub args: &'static [&'static str],
    /// N of the first Go 1.N that has the event.
    pub since: u8,
}

/// The type of an event in a trace of before Go 1.22: the low six bits of a record's first byte.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(pub u8);

/// One line an event: number, name, first version, arguments.
macro_rules! events {
    ($(
        $(#[$doc:meta])*
        $number:literal $konst:ident $name:ident $since:literal ($($arg:ident),*);
    )*) => {
        impl EventType {
            $($(#[$doc])* pub const $konst: EventType = EventType($number);)*

            /// Every type in the table, by number.
            pub const ALL: &'static [EventType] = &[$(EventType($number)),*];

            /// What the format says of this type; nothing if it does not have it.
            pub const fn spec(self) -> Option<&'static Spec> {
                match self.0 {
                    $($number => Some(&Spec {
                        name: stringify!($name),
                        args: &[$(stringify!($arg)),*],
                        since: $since,
                    }),)*
                    _ => None,
                }
            }
        }
    };
}

events! {
    /// Begins a batch of a proc's events; all ones is no proc.
    1 BATCH Batch 5 (p, ticks);
    /// Units of the trace clock a second.
    2 FREQUENCY Frequency 5 (freq);
    /// A call stack; so many frames follow: program counter, function, file, line.
    3 STACK Stack 5 (id, size);
    /// GOMAXPROCS: at the start of the trace, and when it changes.
    4 GOMAXPROCS Gomaxprocs 5 (dt, procs, stack);
    /// A proc starts.
    5 PROC_START ProcStart 5 (dt, thread);
    /// A proc stops.
    6 PROC_STOP ProcStop 5 (dt);
    /// The garbage collector begins to mark.
    7 GC_START GCStart 5 (dt, seq, stack);
    /// The garbage collector ends marking.
    8 GC_DONE GCDone 5 (dt);
    /// The world is stopped.
    9 STW_START GCSTWStart 5 (dt, kindid);
    /// The world is started again.
    10 STW_DONE GCSTWDone 5 (dt);
    /// The proc begins to sweep.
    11 GC_SWEEP_START GCSweepStart 5 (dt, stack);
    /// The proc ends sweeping; bytes.
    12 GC_SWEEP_DONE GCSweepDone 5 (dt, swept, reclaimed);
    /// A goroutine is created, or existed when the trace began.
    13 GO_CREATE GoCreate 5 (dt, g, new_stack, stack);
    /// A goroutine starts to run.
    14 GO_START GoStart 5 (dt, g, seq);
    /// The goroutine ends.
    15 GO_END GoEnd 5 (dt);
    /// The goroutine blocks forever.
    16 GO_STOP GoStop 5 (dt, stack);
    /// The goroutine yields.
    17 GO_SCHED GoSched 5 (dt, stack);
    /// The goroutine is preempted.
    18 GO_PREEMPT GoPreempt 5 (dt, stack);
    /// The goroutine sleeps.
    19 GO_SLEEP GoSleep 5 (dt, stack);
    /// The goroutine blocks.
    20 GO_BLOCK GoBlock 5 (dt, stack);
    /// A goroutine is made ready to run.
    21 GO_UNBLOCK GoUnblock 5 (dt, g, seq, stack);
    /// The goroutine blocks on sending to a channel.
    22 GO_BLOCK_SEND GoBlockSend 5 (dt, stack);
    /// The goroutine blocks on receiving from a channel.
    23 GO_BLOCK_RECV GoBlockRecv 5 (dt, stack);
    /// The goroutine blocks on a select.
    24 GO_BLOCK_SELECT GoBlockSelect 5 (dt, stack);
    /// The goroutine blocks on a mutex.
    25 GO_BLOCK_SYNC GoBlockSync 5 (dt, stack);
    /// The goroutine blocks on a condition variable.
    26 GO_BLOCK_COND GoBlockCond 5 (dt, stack);
    /// The goroutine blocks on the network.
    27 GO_BLOCK_NET GoBlockNet 5 (dt, stack);
    /// The goroutine enters a system call.
    28 GO_SYS_CALL GoSysCall 5 (dt, stack);
    /// A goroutine leaves a system call that blocked, at a clock reading; 0 for now.
    29 GO_SYS_EXIT GoSysExit 5 (dt, g, seq, ts);
    /// The goroutine's system call blocks: its proc is taken away.
    30 GO_SYS_BLOCK GoSysBlock 5 (dt);
    /// A goroutine was blocked when the trace began.
    31 GO_WAITING GoWaiting 5 (dt, g);
    /// A goroutine was in a system call when the trace began.
    32 GO_IN_SYSCALL GoInSyscall 5 (dt, g);
    /// The live heap, in bytes.
    33 HEAP_ALLOC HeapAlloc 5 (dt, mem);
    /// The heap's goal, in bytes.
    34 HEAP_GOAL HeapGoal 5 (dt, mem);
    /// A goroutine that serves timers: what it unblocks, a timer does.
    35 TIMER_GOROUTINE TimerGoroutine 5 (g);
    /// The last time the goroutine was made ready was for nothing. No Go release of these formats
    /// is known to write it.
    36 FUTILE_WAKEUP FutileWakeup 5 (dt);
    /// A string; its length and its bytes follow.
    37 STRING String 7 (id);
    /// A goroutine starts to run where it was made ready.
    38 GO_START_LOCAL GoStartLocal 7 (dt, g);
    /// A goroutine is made ready to run, on the proc on which it blocked.
    39 GO_UNBLOCK_LOCAL GoUnblockLocal 7 (dt, g, stack);
    /// A goroutine leaves a system call that blocked, on the proc on which it entered it.
    40 GO_SYS_EXIT_LOCAL GoSysExitLocal 7 (dt, g, ts);
    /// A goroutine starts to run, with a label.
    41 GO_START_LABEL GoStartLabel 8 (dt, g, seq, labelid);
    /// The goroutine waits for the garbage collector.
    42 GO_BLOCK_GC GoBlockGC 8 (dt, stack);
    /// The goroutine begins to assist the garbage collector.
    43 GC_MARK_ASSIST_START GCMarkAssistStart 9 (dt, stack);
    /// The goroutine ends assisting the garbage collector.
    44 GC_MARK_ASSIST_DONE GCMarkAssistDone 9 (dt);
    /// A user task begins.
    45 USER_TASK_CREATE UserTaskCreate 11 (dt, taskid, pid, typeid, stack);
    /// A user task ends.
    46 USER_TASK_END UserTaskEnd 11 (dt, taskid, stack);
    /// A user region begins (mode 0) or ends (mode 1).
    47 USER_REGION UserRegion 11 (dt, taskid, mode, typeid, stack);
    /// A user's log message; its length and its bytes follow.
    48 USER_LOG UserLog 11 (dt, id, keyid, stack);
    /// A sample of the CPU profiler, taken at a clock reading; the proc is all ones for none.
    49 CPU_SAMPLE CPUSample 19 (dt, ts, p, g, stack);
}

impl EventType {
    /// The name in Go's source, if the table has the type.
    pub const fn name(self) -> Option<&'static str> {
        match self.spec() {
            Some(spec) => Some(spec.name),
            None => None,
        }
    }

    /// How many arguments a record of this type has; of a stack, those before its frames.
    #[inline(always)]
    pub(super) fn args(self) -> usize {
        self.traits().args
    }

    /// Whether it happens at a time of its own in the batch: the first argument is a time
    /// difference, and a CPU sample, which was taken at another, it is not.
    #[inline(always)]
    pub(super) fn is_timed(self) -> bool {
        self.traits().timed
    }

    /// N of the first Go 1.N that has it; no version has a type that is not in the table.
    #[inline(always)]
    pub(super) fn since(self) -> u8 {
        self.traits().since
    }

    #[inline(always)]
    fn traits(self) -> Traits {
        let traits = TRAITS.get(num::index(u32::from(self.0))).copied();
        traits.unwrap_or(Traits::NONE)
    }
}

/// What a decoder must know of a type.
#[derive(Clone, Copy)]
struct Traits {
    args: usize,
    since: u8,
    timed: bool,
}

impl Traits {
    const NONE: Traits = Traits {
        args: 0,
        since: u8::MAX,
        timed: false,
    };
}

/// [`Traits`] by number, so that the decoder's questions are one load.
static TRAITS: [Traits; 64] = {
    let mut table = [Traits::NONE; 64];
    let mut rest: &mut [Traits] = &mut table;
    let mut number: u8 = 0;
    while let Some((entry, tail)) = rest.split_first_mut() {
        let ty = EventType(number);
        if let Some(spec) = ty.spec() {
            *entry = Traits {
                args: spec.args.len(),
                since: spec.since,
                timed: matches!(spec.args, [first, ..] if is(first, b"dt"))
                    && ty.0 != EventType::CPU_SAMPLE.0,
            };
        }
        rest = tail;
        number = number.wrapping_add(1);
    }
    table
};

/// Whether two names are equal, for constants.
const fn is(name: &str, other: &[u8]) -> bool {
    let (mut a, mut b) = (name.as_bytes(), other);
    while let ([x, xs @ ..], [y, ys @ ..]) = (a, b) {
        if *x != *y {
            return false;
        }
        (a, b) = (xs, ys);
    }
    a.is_empty() && b.is_empty()
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

format_as_debug! {
    [] EventType;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_consistent() {
        for ty in EventType::ALL {
            let spec = ty.spec().unwrap();
            assert_eq!(ty.args(), spec.args.len());
            assert!(ty.args() <= MAX_ARGS && ty.0 < 64, "{ty}");
            let delta = spec.args.first() == Some(&"dt");
            assert_eq!(ty.is_timed(), delta && *ty != EventType::CPU_SAMPLE, "{ty}");
            assert_eq!(ty.since() > 11, *ty == EventType::CPU_SAMPLE, "{ty}");
        }
        assert_eq!(EventType::ALL.len(), 49);
        assert_eq!(EventType(50).since(), u8::MAX);
    }
}
