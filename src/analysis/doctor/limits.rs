//! The rules and their limits.

use super::Measure;
use core::fmt;

/// A limit's two steps, in the unit of its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Limit {
    /// A number above it is a warning.
    pub warning: u64,
    /// A number above it is an error.
    pub error: u64,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident $name:literal $measure:ident $warning:literal $error:literal;)*) => {
        /// A rule of the doctor.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum Rule {
            $($(#[$doc])* $rule,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Rule] = &[$(Rule::$rule),*];

            /// The name, as in `stw-long`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Rule::$rule => $name,)*
                }
            }

            /// What its number counts.
            pub const fn measure(self) -> Measure {
                match self {
                    $(Rule::$rule => Measure::$measure,)*
                }
            }

            /// Its limits, if they are not changed.
            pub const fn limit(self) -> Limit {
                match self {
                    $(Rule::$rule => Limit { warning: $warning, error: $error },)*
                }
            }
        }
    };
}

rules! {
    /// A stop-the-world pause that is long: the time until the first processor ran again. Go aims at well
    /// under 1 ms; on a busy server of eight processors the median was 0.07 ms and the 99th percentile
    /// 0.54 ms. Limits: 10 ms and 50 ms, because a thread that the operating system does not let run
    /// makes it some milliseconds on any loaded machine. Pauses to start or stop tracing are left out, here
    /// and below.
    StopLong "stw-long" Nanoseconds 10_000_000 50_000_000;
    /// Stop-the-world pauses that are not for garbage collection, a second: as `runtime.ReadMemStats`,
    /// `GOMAXPROCS` and profiles cause. Limits: 5 and 50 a second, from five of them on.
    StopOften "stw-often" PerSecond 5_000 50_000;
    /// Goroutines pile up: ten times as many as there are processors, or more, were ready to run, and no
    /// processor was idle; the time of it in the worst second. Limits: 250 ms and 500 ms.
    Pile "runnable-pile" Nanoseconds 250_000_000 500_000_000;
    /// Processors were idle for more than 1 ms while a goroutine was ready to run: that part of the
    /// time. Limits: 10 % and 30 %: threads of a loaded machine are slow to wake. Only judged of traces of
    /// at least half a second.
    Idle "idle-while-runnable" Millionths 100_000 300_000;
    /// Goroutines wait long for a processor: the 99th percentile of a function's waits, of at least 100.
    /// 10 ms is how long the runtime lets a goroutine run before it asks it to make way, so that a few
    /// that compute wait some times as long for each other. Limits: 50 ms and 200 ms. Where goroutines
    /// pile up, that is the finding, and this one a note.
    Latency "sched-latency" Nanoseconds 50_000_000 200_000_000;
    /// A goroutine ran on and on while others were ready and no processor was idle. The runtime asks for
    /// the processor after 10 ms and looks every 10 ms. Goroutines of the runtime are left out. Limits:
    /// 100 ms and 500 ms: on a loaded machine the operating system may take the processor away for longer
    /// than 10 ms, and the trace shows a goroutine that runs.
    Greedy "greedy" Nanoseconds 100_000_000 500_000_000;
    /// The garbage collector's part of the processors' time, with assists. The runtime plans 25 %
    /// *during* a collection; over a whole trace that means that it hardly does anything else. Limits:
    /// 20 % and 35 %. Only judged of traces of at least half a second: in a shorter one, one collection
    /// is much.
    Collector "gc-share" Millionths 200_000 350_000;
    /// Convoys: in a window of 100 ms, at least four of five waits for a mutex at one place end because
    /// of a goroutine that itself had just waited there, ten and more in a row, with three and more
    /// waiting on average. The number is the part of the trace's windows. Limits: any, and 20 %.
    Convoy "mutex-convoy" Millionths 0 200_000;
    /// Goroutines that become more and more and do nothing (Mann-Kendall test over the generations, at
    /// least five, p < 0.01; at least half of them without a transition for half their life), or that
    /// wait for what cannot come, as on a nil channel. Limits: 100 and 1,000 more than at the start; of
    /// those that wait for ever, 10 and 1,000.
    Leak "leak" Count 100 1_000;
    /// System calls that last so long that they lose their processor, a second; each costs a hand-over
    /// and waking a thread. Only judged if they are 1 % of all and more. Limits: 1,000 and 10,000 a second.
    Syscalls "syscall-churn" PerSecond 1_000_000 10_000_000;
    /// Goroutines wait long for the network: to connect, to send, or, within a region or for a task that is
    /// open, to receive; what waits for its next request does not count. The 90th percentile of at least
    /// 20 waits. Limits: 100 ms and 1 s: the way round the world and back is 300 ms, that within a data
    /// centre 1 ms. Where a task or region is a whole connection, of which most is silence, they are to be
    /// raised.
    Network "slow-network" Nanoseconds 100_000_000 1_000_000_000;
    /// Timers that wake a goroutine for less than 10 µs before it waits again, a second and processor.
    /// Limits: 5,000 and 50,000.
    Timers "timer-storm" PerSecond 5_000_000 50_000_000;
    /// User tasks that have begun and not ended, and are older than a second and than ten times the 99th
    /// percentile of their type. Limits: any, and ten.
    Task "task-unfinished" Count 0 10;
    /// What makes the trace less good evidence: a generation of more than 5 s, more than 5 % of
    /// goroutines without a name, CPU samples that are too few for the time that goroutines ran (the
    /// program was throttled). Always a note.
    Quality "quality" Count 0 0;
}

impl Rule {
    /// The rule of this name.
    pub fn named(name: &str) -> Option<Rule> {
        Rule::ALL.iter().copied().find(|rule| rule.name() == name)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(all(feature = "json", feature = "serde"))]
impl serde::Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

/// The limits of the rules: each rule's own ([`Rule::limit`]), unless changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    changed: alloc::collections::BTreeMap<Rule, Limit>,
}

impl Limits {
    /// The rules' own.
    pub fn new() -> Limits {
        Limits::default()
    }

    /// The same, but for one rule.
    #[must_use]
    pub fn with(mut self, rule: Rule, limit: Limit) -> Limits {
        self.changed.insert(rule, limit);
        self
    }

    /// The limit of a rule.
    pub fn of(&self, rule: Rule) -> Limit {
        self.changed.get(&rule).copied().unwrap_or(rule.limit())
    }
}
