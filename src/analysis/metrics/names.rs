//! The names of metrics.

use super::{Group, Metrics};
use crate::analysis::histogram::Histogram;
use crate::select::Condition;
use crate::select::expr::{NameError, Names, Path, Quantity, Subject, Type, Value};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// The names of the numbers of a trace.
///
/// Of durations of many things, each of these: `.count`, `.total`, `.mean`, `.min`, `.p50`, `.p90`,
/// `.p99`, `.p999`, `.max`, and `.share`, the total's part of the processors' time. Percentiles are at most
/// 0.8 % off, and those that every other analysis shows ([`Histogram`](crate::analysis::histogram)).
///
/// | name | durations of |
/// | --- | --- |
/// | `task("type")`, `task` | the tasks of a type, or all, that begin and end in the trace |
/// | `region("type")`, `region` | regions, likewise |
/// | `sched("main.worker")`, `sched` | goroutines waiting for a processor; of those that began with this function |
/// | `running(…)`, `waiting(…)`, `syscall(…)` | goroutines in that state, likewise |
/// | `blocked("network")` | goroutines waiting for this reason |
/// | `stw("GC mark termination")`, `stw` | stop-the-world pauses, until the first processor ran again |
/// | `stw.stopping` | until the last processor had stopped |
/// | `stw.range` | until the end of the range that Go's tools show |
/// | `gc.mark` | the garbage collector's mark phases |
/// | `gc.assist` | goroutines running in assists |
///
/// | name | is |
/// | --- | --- |
/// | `duration` | from the first event to the last |
/// | `events`, `generations` | how many the trace has |
/// | `procs` | GOMAXPROCS |
/// | `busy` | the part of the processors' time in which they were running |
/// | `goroutines`, `goroutines.max` | how many there were; how many at a time |
/// | `goroutines.leaked` | that wait for ever, or of functions whose goroutines grow in number and do nothing |
/// | `tasks.unfinished` | tasks older than a second and ten times the p99 of their type |
/// | `gc.cycles`, `gc.rate` | mark phases; a second |
/// | `gc.share` | workers' and assists' part of the processors' time |
/// | `stw.rate` | stop-the-world pauses a second |
/// | `heap.max`, `heap.goal.max` | sizes |
/// | `runnable.max` | the most goroutines that waited for a processor at a time |
/// | `idle.share` | the part of the time in which a processor was idle for more than 1 ms while a goroutine waited for one |
/// | `syscall.stolen`, `syscall.stolen.rate` | system calls that lost their processor, of all; a second |
/// | `timers.rate` | timers that woke a goroutine for less than 10 µs, a second and processor |
/// | `convoy.share` | the part of the time with a convoy of goroutines at a lock |
/// | `greedy.max` | the longest time that a goroutine ran while others waited, beyond 25 ms |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MetricNames;

/// A condition on the numbers of a trace: an assertion.
pub type MetricCondition = Condition<MetricName>;

/// Which number of a trace a name means, of those that [`MetricNames`] has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricName(What);

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Spread(Family, Option<Box<str>>, Stat),
    Single(Single),
}

macro_rules! list {
    ($(#[$doc:meta])* $name:ident: $($variant:ident = $text:literal $more:expr;)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum $name {
            $($variant,)*
        }

        impl $name {
            const ALL: &[($name, &'static str, Type)] = &[$(($name::$variant, $text, $more),)*];
        }
    };
}

list! {
    /// Durations of many things. Their types are unused.
    Family:
    Task = "task" Type::Truth;
    Region = "region" Type::Truth;
    Sched = "sched" Type::Truth;
    Running = "running" Type::Truth;
    Waiting = "waiting" Type::Truth;
    Syscall = "syscall" Type::Truth;
    Blocked = "blocked" Type::Truth;
    Stop = "stw" Type::Truth;
    Stopping = "stw.stopping" Type::Truth;
    StopRange = "stw.range" Type::Truth;
    Mark = "gc.mark" Type::Truth;
    Assist = "gc.assist" Type::Truth;
}

impl Family {
    const fn takes_argument(self) -> bool {
        !matches!(
            self,
            Family::Stopping | Family::StopRange | Family::Mark | Family::Assist
        )
    }
}

list! {
    /// What is asked of durations.
    Stat:
    Count = "count" Type::Number;
    Total = "total" Type::Duration;
    Mean = "mean" Type::Duration;
    Min = "min" Type::Duration;
    P50 = "p50" Type::Duration;
    P90 = "p90" Type::Duration;
    P99 = "p99" Type::Duration;
    P999 = "p999" Type::Duration;
    Max = "max" Type::Duration;
    Share = "share" Type::Number;
}

list! {
    /// What there is one of.
    Single:
    Duration = "duration" Type::Duration;
    Events = "events" Type::Number;
    Generations = "generations" Type::Number;
    Procs = "procs" Type::Number;
    Busy = "busy" Type::Number;
    Goroutines = "goroutines" Type::Number;
    MostGoroutines = "goroutines.max" Type::Number;
    Leaked = "goroutines.leaked" Type::Number;
    Unfinished = "tasks.unfinished" Type::Number;
    Cycles = "gc.cycles" Type::Number;
    CycleRate = "gc.rate" Type::Number;
    Collecting = "gc.share" Type::Number;
    StopRate = "stw.rate" Type::Number;
    Heap = "heap.max" Type::Size;
    HeapGoal = "heap.goal.max" Type::Size;
    MostRunnable = "runnable.max" Type::Number;
    IdleShare = "idle.share" Type::Number;
    Stolen = "syscall.stolen" Type::Number;
    StolenRate = "syscall.stolen.rate" Type::Number;
    TimerRate = "timers.rate" Type::Number;
    Convoys = "convoy.share" Type::Number;
    Greedy = "greedy.max" Type::Duration;
}

impl Names for MetricNames {
    type Name = MetricName;

    fn resolve(&self, path: Path<'_>) -> Result<(MetricName, Type), NameError> {
        let full: Cow<'_, str> = match path.tail {
            "" => path.head.into(),
            tail => format!("{}.{tail}", path.head).into(),
        };
        let single = Single::ALL.iter().find(|(_, name, _)| *name == full);
        if let Some((single, _, ty)) = single {
            return match path.argument {
                None => Ok((MetricName(What::Single(*single)), *ty)),
                Some(_) => Err(NameError::TakesNoArgument),
            };
        }
        let (family, stat) = full.rsplit_once('.').ok_or(NameError::Unknown)?;
        let family = Family::ALL.iter().find(|(_, name, _)| *name == family);
        let stat = Stat::ALL.iter().find(|(_, name, _)| *name == stat);
        let (Some((family, ..)), Some((stat, _, ty))) = (family, stat) else {
            return Err(NameError::Unknown);
        };
        match path.argument {
            Some(_) if !family.takes_argument() => Err(NameError::TakesNoArgument),
            None if *family == Family::Blocked => Err(NameError::NeedsArgument),
            argument => {
                let what = What::Spread(*family, argument.map(Box::from), *stat);
                Ok((MetricName(what), *ty))
            }
        }
    }

    fn all(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for (family, name, _) in Family::ALL {
            for (_, stat, _) in Stat::ALL {
                if *family != Family::Blocked {
                    all.push(format!("{name}.{stat}"));
                }
                if family.takes_argument() {
                    all.push(format!("{name}(\"...\").{stat}"));
                }
            }
        }
        all.extend(Single::ALL.iter().map(|(_, name, _)| name.to_string()));
        all
    }
}

impl Subject<MetricName> for Metrics {
    fn values(&self, name: &MetricName, test: &mut dyn FnMut(Value<'_>) -> bool) {
        if let Some(value) = self.value(name) {
            test(Value::Number(value));
        }
    }
}

impl Metrics {
    /// The value of a metric; `None` if the trace has none, as a percentile of no durations. Durations are
    /// in nanoseconds, sizes in bytes.
    pub fn value(&self, name: &MetricName) -> Option<Quantity> {
        match &name.0 {
            What::Single(single) => self.single(*single),
            What::Spread(family, argument, stat) => {
                let spread = self.spread(*family, argument.as_deref());
                self.stat(spread.as_deref(), *stat)
            }
        }
    }

    /// Every metric that has a value, by name, of all functions, tasks, regions and reasons of this trace:
    /// in the order of [`MetricNames`]' tables, those with arguments by name.
    pub fn all(&self) -> Vec<(String, Type, Quantity)> {
        let mut all = Vec::new();
        for (single, name, ty) in Single::ALL {
            if let Some(value) = self.single(*single) {
                all.push((name.to_string(), *ty, value));
            }
        }
        let names = self.names();
        for (family, name, _) in Family::ALL {
            let groups = &self.all.groups;
            let mut arguments: Vec<Option<String>> = Vec::from([None]);
            let mut known: Vec<crate::GoStr<'_>> = match family {
                Family::Task => texts(names, groups.tasks.iter().map(|(name, _)| name)),
                Family::Region => texts(names, groups.regions.iter().map(|(name, _)| name)),
                Family::Stop => texts(names, self.all.stops.by_reason.iter().map(|(name, _)| name)),
                Family::Blocked => {
                    let reasons = groups.functions.values().flat_map(|group| &group.waiting);
                    texts(names, reasons.map(|(reason, _)| *reason))
                }
                family if family.takes_argument() => {
                    texts(names, groups.functions.iter().map(|(name, _)| name))
                }
                _ => Vec::new(),
            };
            known.sort_unstable();
            known.dedup();
            // What is not UTF-8 cannot be written in an expression.
            let writable = known.iter().filter_map(|text| text.to_str());
            arguments.extend(writable.map(|text| Some(text.to_string())));
            for argument in arguments {
                if argument.is_none() && *family == Family::Blocked {
                    continue;
                }
                let Some(spread) = self.spread(*family, argument.as_deref()) else {
                    continue;
                };
                for (stat, stat_name, ty) in Stat::ALL {
                    if let Some(value) = self.stat(Some(&spread), *stat) {
                        let shown = match &argument {
                            Some(argument) => {
                                format!("{name}({}).{stat_name}", quoted(argument))
                            }
                            None => format!("{name}.{stat_name}"),
                        };
                        all.push((shown, *ty, value));
                    }
                }
            }
        }
        all
    }

    fn spread(&self, family: Family, argument: Option<&str>) -> Option<Cow<'_, Histogram>> {
        let groups = &self.all.groups;
        let named = |text: &str| self.names().find(text);
        let of = |pick: fn(&Group) -> Cow<'_, Histogram>| match argument {
            Some(text) => Some(pick(groups.functions.get(named(text)?)?)),
            None => Some(Cow::Owned(
                self.over_groups(|group, all| all.merge(&pick(group))),
            )),
        };
        Some(match family {
            Family::Task | Family::Region => {
                let by = match family {
                    Family::Task => &groups.tasks,
                    _ => &groups.regions,
                };
                match argument {
                    Some(text) => Cow::Borrowed(by.get(named(text)?)?),
                    None => {
                        let mut all = Histogram::new();
                        by.values().for_each(|spread| all.merge(spread));
                        Cow::Owned(all)
                    }
                }
            }
            Family::Sched => return of(|group| Cow::Borrowed(&group.runnable)),
            Family::Running => return of(|group| Cow::Borrowed(&group.running)),
            Family::Syscall => return of(|group| Cow::Borrowed(&group.syscall)),
            Family::Waiting => return of(|group| Cow::Owned(group.all_waiting())),
            Family::Blocked => {
                let reason = named(argument?)?;
                let all = self.over_groups(|group, all| {
                    let found = group.waiting.iter().find(|(name, _)| *name == reason);
                    if let Some((_, spread)) = found {
                        all.merge(spread);
                    }
                });
                if all.is_empty() {
                    return None;
                }
                Cow::Owned(all)
            }
            Family::Stop => match argument {
                Some(text) => Cow::Borrowed(self.all.stops.by_reason.get(named(text)?)?),
                None => Cow::Borrowed(&self.all.stops.effective),
            },
            Family::Stopping => Cow::Borrowed(&self.all.stops.stopping),
            Family::StopRange => Cow::Borrowed(&self.all.stops.range),
            Family::Mark => Cow::Borrowed(&self.all.collector.marks),
            Family::Assist => Cow::Borrowed(&self.all.collector.assists),
        })
    }

    /// Of durations that there are none of, the count and the total are 0; of a name that the trace does
    /// not have, nothing is known but the count.
    fn stat(&self, spread: Option<&Histogram>, stat: Stat) -> Option<Quantity> {
        let Some(spread) = spread else {
            return (stat == Stat::Count).then_some(Quantity::ZERO);
        };
        let number = match stat {
            Stat::Count => return Some(Quantity::new(spread.len())),
            Stat::Total => Some(spread.sum()),
            Stat::Mean => spread.mean(),
            Stat::Min => spread.min(),
            Stat::P50 => spread.quantile(0.5),
            Stat::P90 => spread.quantile(0.9),
            Stat::P99 => spread.quantile(0.99),
            Stat::P999 => spread.quantile(0.999),
            Stat::Max => spread.max(),
            Stat::Share => return Quantity::share(spread.sum().unsigned_abs(), self.capacity()),
        };
        number.map(|n| Quantity::new(n.unsigned_abs()))
    }

    fn single(&self, single: Single) -> Option<Quantity> {
        let all = &self.all;
        let time = self.duration();
        let signed = |n: i64| u64::try_from(n).unwrap_or(0);
        // A second is a billion nanoseconds, and a quantity has nine decimals.
        let rate = |n: u64| Quantity::share(n.saturating_mul(1_000_000_000), time);
        let number = match single {
            Single::Duration => time,
            Single::Events => all.whole.events,
            // The last Sync event ends the trace.
            Single::Generations => self.states.syncs().saturating_sub(1).max(1),
            Single::Procs => self.states.gomaxprocs()?,
            Single::Busy => return Quantity::share(signed(all.load.busy), self.capacity()),
            Single::Goroutines => self.states.lives(),
            Single::MostGoroutines => all.load.most_alive,
            Single::Leaked => self.leaked(),
            Single::Unfinished => self.unfinished().0,
            Single::Cycles => all.collector.marks.len(),
            Single::CycleRate => return rate(all.collector.marks.len()),
            Single::Collecting => {
                return Quantity::share(self.collecting().0, self.capacity());
            }
            Single::StopRate => return rate(all.stops.effective.len()),
            Single::Heap => all.whole.heap?,
            Single::HeapGoal => all.whole.heap_goal?,
            Single::MostRunnable => all.load.most_runnable,
            Single::IdleShare => {
                return Quantity::share(signed(all.load.idle_while_runnable), time);
            }
            Single::Stolen => return Quantity::share(all.churn.blocked, all.churn.syscalls),
            Single::StolenRate => return rate(all.churn.blocked),
            Single::TimerRate => {
                let procs = self.states.gomaxprocs().unwrap_or(1).max(1);
                let timers = all.churn.timers.saturating_mul(1_000_000_000);
                return Quantity::share(timers, time.saturating_mul(procs));
            }
            Single::Convoys => {
                let queued = all.convoys.time().unsigned_abs();
                return Quantity::share(queued.min(time), time);
            }
            Single::Greedy => all.load.greedy.map_or(0, |greedy| greedy.time),
        };
        Some(Quantity::new(number))
    }
}

/// The texts of names.
fn texts<'n>(
    names: &'n crate::analysis::names::Names,
    ids: impl Iterator<Item = crate::analysis::names::NameId>,
) -> Vec<crate::GoStr<'n>> {
    ids.map(|id| names.text(id)).collect()
}

/// A text in quotes, as an expression has it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
