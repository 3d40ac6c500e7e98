//! What each rule looks at. A long file of short functions, one for each rule.

use super::{Finding, Limits, Rule, Severity};
use crate::analysis::metrics::Metrics;
use crate::analysis::names::{NameId, StackRef};
use crate::ids::GoId;
use crate::time::Time;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// Traces that are shorter say little about rates: nanoseconds.
const LONG_ENOUGH: u64 = 500_000_000;
/// Of fewer, a percentile is one of the worst.
const ENOUGH: u64 = 100;
/// Of fewer, nine of ten say nothing.
const FEW: u64 = 20;

pub(super) fn all(metrics: &Metrics, limits: &Limits) -> Vec<Finding> {
    let mut all = Vec::new();
    for rule in Rule::ALL {
        let seen = Seen {
            metrics,
            limits,
            rule: *rule,
        };
        match rule {
            Rule::StopLong => seen.stop_long(&mut all),
            Rule::StopOften => seen.stop_often(&mut all),
            Rule::Pile => seen.pile(&mut all),
            Rule::Idle => seen.idle(&mut all),
            Rule::Latency => seen.latency(&mut all),
            Rule::Greedy => seen.greedy(&mut all),
            Rule::Collector => seen.collector(&mut all),
            Rule::Convoy => seen.convoy(&mut all),
            Rule::Leak => seen.leak(&mut all),
            Rule::Syscalls => seen.syscalls(&mut all),
            Rule::Network => seen.network(&mut all),
            Rule::Timers => seen.timers(&mut all),
            Rule::Task => seen.task(&mut all),
            Rule::Quality => seen.quality(&mut all),
        }
    }
    // Where they pile up, they wait long.
    let is_grave = |finding: &Finding| finding.severity > Severity::Note;
    if all
        .iter()
        .any(|found| found.rule == Rule::Pile && is_grave(found))
    {
        for finding in all.iter_mut().filter(|found| found.rule == Rule::Latency) {
            finding.severity = Severity::Note;
        }
    }
    all
}

/// A rule at work.
struct Seen<'m> {
    metrics: &'m Metrics,
    limits: &'m Limits,
    rule: Rule,
}

/// The place of a finding.
#[derive(Default)]
struct Place {
    at: Option<Time>,
    goroutine: Option<GoId>,
    function: NameId,
    stack: Option<StackRef>,
}

impl Seen<'_> {
    /// A finding, if the number is above a limit. The message is made only then.
    fn judge(
        &self,
        number: u64,
        place: Place,
        say: impl FnOnce() -> (String, String),
    ) -> Option<Finding> {
        let limit = self.limits.of(self.rule);
        let (severity, limit) = if number > limit.error {
            (Severity::Error, limit.error)
        } else if number > limit.warning {
            (Severity::Warning, limit.warning)
        } else {
            return None;
        };
        Some(self.finding(severity, number, limit, place, say()))
    }

    fn finding(
        &self,
        severity: Severity,
        number: u64,
        limit: u64,
        place: Place,
        (message, command): (String, String),
    ) -> Finding {
        let names = self.metrics.names();
        let frames = place
            .stack
            .into_iter()
            .flat_map(|stack| names.frames(stack));
        Finding {
            rule: self.rule,
            severity,
            message,
            number,
            limit,
            at: place.at,
            goroutine: place.goroutine,
            function: names.text(place.function).printable().to_string(),
            stack: frames
                .map(|frame| frame.func.printable().to_string())
                .collect(),
            command,
        }
    }

    /// A name, for people.
    fn name(&self, name: NameId) -> String {
        let text = self.metrics.names().text(name);
        match text.is_empty() {
            true => String::from("an unknown function"),
            false => text.printable().to_string(),
        }
    }

    /// The place in the program that a stack is at, for people.
    fn leaf(&self, stack: Option<StackRef>) -> String {
        let leaf = stack.and_then(|stack| self.metrics.names().user_leaf(stack));
        leaf.map_or(String::from("an unknown place"), |frame| {
            frame.func.printable().to_string()
        })
    }

    /// Since the trace's first event, as a moment that every command takes.
    fn since_start(&self, at: Time) -> String {
        let first = self.metrics.states().first_time().unwrap_or(at);
        nanoseconds(at.since(first).max(0).unsigned_abs())
    }

    /// Thousandths of one a second.
    fn rate(&self, count: u64) -> u64 {
        let scaled = u128::from(count).saturating_mul(1_000_000_000_000);
        let rate = scaled.checked_div(u128::from(self.metrics.duration()));
        u64::try_from(rate.unwrap_or(0)).unwrap_or(u64::MAX)
    }

    fn is_long(&self) -> bool {
        self.metrics.duration() >= LONG_ENOUGH
    }

    fn stop_long(&self, all: &mut Vec<Finding>) {
        let Some(stop) = self.metrics.all.stops.longest else {
            return;
        };
        // Who kept the world from stopping, if that took most of the time.
        let late = stop.last.filter(|_| stop.stopping > stop.pause / 2);
        let pause = stop.pause.unsigned_abs();
        let place = Place {
            at: Some(stop.from),
            goroutine: late.and_then(|last| last.goroutine).or(stop.goroutine),
            function: late.map_or(NameId::EMPTY, |last| last.name),
            stack: late.and_then(|last| last.stack),
        };
        all.extend(self.judge(pause, place, || {
            let mut message = format!(
                "the world stood still for {} ({})",
                nanoseconds(pause),
                self.name(stop.reason)
            );
            if let Some(last) = late {
                message.push_str(&format!(
                    ": {} was how long it took to stop {} in {}",
                    nanoseconds(stop.stopping.unsigned_abs()),
                    last.goroutine
                        .map_or(String::from("a processor"), |id| format!("G{id}")),
                    self.name(last.name),
                ));
            }
            let from = self.since_start(stop.from);
            let to = self.since_start(stop.to);
            (
                message,
                format!("gotrace dump --from {from} --to {to} FILE"),
            )
        }));
    }

    fn stop_often(&self, all: &mut Vec<Finding>) {
        let names = self.metrics.names();
        let mut worst: Option<(NameId, u64)> = None;
        let mut total = 0u64;
        for (name, spread) in self.metrics.all.stops.by_reason.iter() {
            let reason = names.text(name);
            // Nor those of tracing itself.
            if reason.contains("GC") || reason.ends_with(" trace") {
                continue;
            }
            total = total.saturating_add(spread.len());
            if worst.is_none_or(|(_, count)| count < spread.len()) {
                worst = Some((name, spread.len()));
            }
        }
        let Some((reason, count)) = worst.filter(|_| total >= 5 && self.is_long()) else {
            return;
        };
        all.extend(self.judge(self.rate(total), Place::default(), || {
            let message = format!(
                "the world is stopped {} times a second for other than garbage collection, {count} \
                 times for: {}",
                thousandths(self.rate(total)),
                self.name(reason)
            );
            let reason = names.text(reason).quoted().to_string();
            (
                message,
                format!("gotrace dump --where 'stw({reason}) > 0' FILE"),
            )
        }));
    }

    fn pile(&self, all: &mut Vec<Finding>) {
        let load = &self.metrics.all.load;
        let number = u64::try_from(load.worst_second).unwrap_or(0);
        let place = Place {
            at: load.worst_start,
            ..Place::default()
        };
        all.extend(self.judge(number, place, || {
            let procs = self.metrics.states().gomaxprocs().unwrap_or(0);
            let message = format!(
                "goroutines pile up: for {} of a second, ten a processor and more were ready to run \
                 (at most {}, on {procs} processors)",
                nanoseconds(number),
                load.most_runnable
            );
            (message, String::from("gotrace latency FILE"))
        }));
    }

    fn idle(&self, all: &mut Vec<Finding>) {
        let load = &self.metrics.all.load;
        let idle = u64::try_from(load.idle_while_runnable).unwrap_or(0);
        if !self.is_long() {
            return;
        }
        let place = Place {
            at: load.longest_idle.map(|(_, at)| at),
            ..Place::default()
        };
        let share = millionths(idle, self.metrics.duration());
        all.extend(self.judge(share, place, || {
            let longest = load.longest_idle.map_or(0, |(time, _)| time.unsigned_abs());
            let message = format!(
                "processors were idle in {} of the time while goroutines were ready to run, at most \
                 for {} at a time",
                percent(share),
                nanoseconds(longest)
            );
            (message, String::from("gotrace latency FILE"))
        }));
    }

    fn latency(&self, all: &mut Vec<Finding>) {
        let names = self.metrics.names();
        let mut worst: Option<(NameId, u64, u64)> = None;
        for (name, group) in self.metrics.all.groups.functions.iter() {
            if names.is_system(name) || group.runnable.len() < ENOUGH {
                continue;
            }
            let p99 = group.runnable.quantile(0.99).map_or(0, i64::unsigned_abs);
            if worst.is_none_or(|(_, most, _)| most < p99) {
                worst = Some((name, p99, group.runnable.len()));
            }
        }
        let Some((function, p99, count)) = worst else {
            return;
        };
        let place = Place {
            function,
            ..Place::default()
        };
        all.extend(self.judge(p99, place, || {
            let message = format!(
                "goroutines of {} wait long for a processor: one in a hundred of {count} waits took {} \
                 and more",
                self.name(function),
                nanoseconds(p99)
            );
            let limit = nanoseconds(self.limits.of(self.rule).warning);
            (message, format!("gotrace dump --where 'runnable > {limit}' FILE"))
        }));
    }

    fn greedy(&self, all: &mut Vec<Finding>) {
        let load = &self.metrics.all.load;
        let Some(greedy) = load.greedy else { return };
        let place = Place {
            at: Some(greedy.from),
            goroutine: Some(greedy.goroutine),
            function: greedy.name,
            stack: greedy.stack,
        };
        all.extend(self.judge(greedy.time, place, || {
            let message = format!(
                "G{} of {} ran for {} while others were ready to run and no processor was idle",
                greedy.goroutine,
                self.name(greedy.name),
                nanoseconds(greedy.time)
            );
            let at = self.since_start(greedy.from);
            (
                message,
                format!("gotrace dump -g {} --from {at} FILE", greedy.goroutine),
            )
        }));
    }

    fn collector(&self, all: &mut Vec<Finding>) {
        let (time, assists) = self.metrics.collecting();
        let capacity = self.metrics.capacity();
        let share = millionths(time, capacity);
        if !self.is_long() {
            return;
        }
        let most = self.metrics.all.collector.assists_by.iter();
        let most = most.max_by_key(|(_, time)| **time).map(|(name, _)| *name);
        let place = Place {
            function: most.unwrap_or_default(),
            ..Place::default()
        };
        all.extend(self.judge(share, place, || {
            let cycles = self.metrics.all.collector.marks.len();
            let mut message = format!(
                "garbage collection takes {} of the processors' time ({cycles} collections, {} a \
                 second; assists {})",
                percent(share),
                thousandths(self.rate(cycles)),
                percent(millionths(assists, capacity))
            );
            if let Some(most) = most.filter(|_| millionths(assists, capacity) >= 10_000) {
                message.push_str(&format!("; most assists are in {}", self.name(most)));
            }
            (message, String::from("gotrace gc FILE"))
        }));
    }

    fn convoy(&self, all: &mut Vec<Finding>) {
        let Some((function, stack, convoy)) = self.metrics.all.convoys.worst(self.metrics.states())
        else {
            return;
        };
        let time = convoy.time.unsigned_abs();
        let share = millionths(time.min(self.metrics.duration()), self.metrics.duration());
        let place = Place {
            at: convoy.first,
            function,
            stack,
            ..Place::default()
        };
        all.extend(self.judge(share, place, || {
            let message = format!(
                "a convoy at a lock in {}: {} waits in a row, of {} in all, in {} of the time",
                self.name(function),
                convoy.waits,
                nanoseconds(u64::try_from(convoy.waited).unwrap_or(0)),
                percent(share)
            );
            (message, String::from("gotrace blocked FILE"))
        }));
    }

    fn leak(&self, all: &mut Vec<Finding>) {
        let states = self.metrics.states();
        let mut leaked = Vec::new();
        for leak in self.metrics.living.leaks(states) {
            let more = leak.last.saturating_sub(leak.first);
            let place = Place {
                at: Some(leak.since),
                goroutine: leak.example,
                function: leak.name,
                stack: leak.stack,
            };
            leaked.push(leak.name);
            all.extend(self.judge(more, place, || {
                let message = format!(
                    "goroutines of {} become more and more, from {} to {}, and {} of them have done \
                     nothing for half their life; they wait in {}",
                    self.name(leak.name),
                    leak.first,
                    leak.last,
                    leak.still,
                    self.leaf(leak.stack)
                );
                (message, String::from("gotrace leaks FILE"))
            }));
        }
        for forever in self.metrics.living.forever(states) {
            if leaked.contains(&forever.name) {
                continue;
            }
            let limit = self.limits.of(self.rule);
            let few = limit.warning / 10;
            let severity = if forever.count > limit.error {
                Severity::Error
            } else if forever.count > few {
                Severity::Warning
            } else {
                Severity::Note
            };
            let place = Place {
                at: Some(forever.since),
                goroutine: Some(forever.example),
                function: forever.name,
                stack: forever.stack,
            };
            let waits = match forever.count {
                1 => "it waits",
                _ => "they wait",
            };
            let message = format!(
                "{} of {} can never go on: {waits} for a nil channel or in an empty select, in {}",
                plural(forever.count, "goroutine"),
                self.name(forever.name),
                self.leaf(forever.stack)
            );
            let said = (message, String::from("gotrace leaks FILE"));
            all.push(self.finding(severity, forever.count, few, place, said));
        }
    }

    fn syscalls(&self, all: &mut Vec<Finding>) {
        let churn = &self.metrics.all.churn;
        let share = millionths(churn.blocked, churn.syscalls);
        if share < 10_000 || !self.is_long() {
            return;
        }
        let most = churn.blocked_at.iter().max_by_key(|(_, count)| **count);
        let stack = most.map(|(stack, _)| *stack);
        let place = Place {
            stack,
            ..Place::default()
        };
        all.extend(self.judge(self.rate(churn.blocked), place, || {
            let message = format!(
                "{} system calls a second lose their processor ({} of all), most of them in {}",
                thousandths(self.rate(churn.blocked)),
                percent(share),
                self.leaf(stack)
            );
            let command = "gotrace dump --where 'kind == \"GoSyscallEndBlocked\"' FILE";
            (message, String::from(command))
        }));
    }

    fn network(&self, all: &mut Vec<Finding>) {
        let network = &self.metrics.all.network;
        let slow = network.waits.quantile(0.9);
        let slow = slow.filter(|_| network.waits.len() >= FEW);
        let (Some(slow), Some((stack, worst))) = (slow, network.worst()) else {
            return;
        };
        let place = Place {
            at: Some(worst.from),
            function: worst.function,
            stack: Some(stack),
            ..Place::default()
        };
        all.extend(self.judge(slow.unsigned_abs(), place, || {
            let message = format!(
                "the network is slow: one in ten of {} waits to connect, to send or for an answer took \
                 {} and more; most time is waited in {}, at most {} at a time",
                network.waits.len(),
                nanoseconds(slow.unsigned_abs()),
                self.leaf(Some(stack)),
                nanoseconds(worst.longest.unsigned_abs())
            );
            (message, String::from("gotrace blocked FILE"))
        }));
    }

    fn timers(&self, all: &mut Vec<Finding>) {
        let churn = &self.metrics.all.churn;
        if !self.is_long() {
            return;
        }
        let procs = self.metrics.states().gomaxprocs().unwrap_or(1).max(1);
        let rate = self.rate(churn.timers).checked_div(procs).unwrap_or(0);
        let most = churn.timers_by.iter().max_by_key(|(_, count)| **count);
        let function = most.map_or(NameId::EMPTY, |(name, _)| *name);
        let place = Place {
            function,
            ..Place::default()
        };
        all.extend(self.judge(rate, place, || {
            let message = format!(
                "{} times a second and processor, a timer wakes a goroutine that does almost nothing, \
                 most of them of {}",
                thousandths(rate),
                self.name(function)
            );
            let command = "gotrace dump --where 'waiting(\"sleep\")' FILE";
            (message, String::from(command))
        }));
    }

    fn task(&self, all: &mut Vec<Finding>) {
        let (count, oldest) = self.metrics.unfinished();
        let Some(oldest) = oldest else { return };
        let place = Place {
            at: Some(oldest.from),
            goroutine: oldest.goroutine,
            stack: oldest.stack,
            ..Place::default()
        };
        all.extend(self.judge(count, place, || {
            let age = self.metrics.states().last_time().since(oldest.from);
            let mut message = format!(
                "{} did not end, the oldest is {} of type {} since {}",
                plural(count, "task"),
                oldest.id,
                self.name(oldest.ty),
                nanoseconds(age.max(0).unsigned_abs())
            );
            let states = self.metrics.states();
            if let Some(parent) = oldest.parent.filter(|id| states.task(*id).is_none()) {
                message.push_str(&format!("; its parent {parent} ended before it"));
            }
            (
                message,
                format!("gotrace explain --task {} FILE", oldest.id),
            )
        }));
    }

    fn quality(&self, all: &mut Vec<Finding>) {
        let whole = &self.metrics.all.whole;
        let mut note = |number: u64, limit: u64, message: String| {
            let said = (message, String::from("gotrace stat FILE"));
            all.push(self.finding(Severity::Note, number, limit, Place::default(), said));
        };
        let longest = whole.longest_generation.unsigned_abs();
        if longest > 5_000_000_000 {
            let message = format!(
                "a generation of {}: the program could not end it for long",
                nanoseconds(longest)
            );
            note(longest, 5_000_000_000, message);
        }
        let unnamed = millionths(whole.unnamed, whole.goroutines);
        if unnamed > 50_000 && whole.unnamed > 10 {
            let message = format!(
                "{} of the goroutines have no name, because no stack of them was recorded",
                percent(unnamed)
            );
            note(unnamed, 50_000, message);
        }
        // The profiler takes a sample every 10 ms of a thread that runs.
        let sampled = whole.samples.saturating_mul(10_000_000);
        let running = u64::try_from(whole.running).unwrap_or(0);
        let part = millionths(sampled, running);
        if whole.samples > 0 && running > 1_000_000_000 && part < 700_000 {
            let message = format!(
                "CPU samples cover only {} of the time that goroutines ran: the program was throttled, \
                 or its threads had to wait for a processor of the machine",
                percent(part)
            );
            note(part, 700_000, message);
        }
    }
}

fn plural(n: u64, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {what}{s}")
}

/// So many millionths of the whole; none of nothing.
fn millionths(part: u64, whole: u64) -> u64 {
    let scaled = u128::from(part).saturating_mul(1_000_000);
    let share = scaled.checked_div(u128::from(whole)).unwrap_or(0);
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// Millionths as `12.3 %`.
fn percent(millionths: u64) -> String {
    format!("{}.{} %", millionths / 10_000, millionths / 1_000 % 10)
}

/// Thousandths as `1,234.5` without the comma: to three digits, or whole.
fn thousandths(n: u64) -> String {
    match n {
        0..10_000 => format!("{}.{:02}", n / 1_000, n / 10 % 100),
        10_000..100_000 => format!("{}.{}", n / 1_000, n / 100 % 10),
        _ => format!("{}", n / 1_000),
    }
}

/// A duration of four digits or so, as every command takes it: `1.234ms`.
pub(super) fn nanoseconds(n: u64) -> String {
    let (unit, scale) = match n {
        0..1_000 => return format!("{n}ns"),
        1_000..1_000_000 => ("us", 1_000),
        1_000_000..1_000_000_000 => ("ms", 1_000_000),
        _ => ("s", 1_000_000_000u64),
    };
    let whole = n.checked_div(scale).unwrap_or(0);
    let rest = n.checked_rem(scale).unwrap_or(0);
    let rest = rest.checked_div(scale / 1_000).unwrap_or(0);
    format!("{whole}.{rest:03}{unit}")
}
