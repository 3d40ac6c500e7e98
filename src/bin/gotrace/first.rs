//! `gotrace summary`, which is what `gotrace FILE` does: the first screen, in the words of Go.

use super::answer::{self, Asked, Page, Together};
use super::answers;
use super::filter;
use super::first_parts::{self as parts, quantile};
use super::first_together::Totals;
use super::help;
use super::output::Result;
use super::progress::Progress;
use super::reading::Reading;
use super::table::{Cell, Column, Options, Printer, Table, bytes, duration, goroutine, share};
use gotrace::analysis::blocked::Blocked;
use gotrace::analysis::leaks::Leaks;
use gotrace::analysis::overview::{self, Overview};
use gotrace::analysis::scope::Scope;
use gotrace::analysis::states::States;
use gotrace::event::GoState;
use gotrace::select::Filter;
use gotrace::time::ClockSnapshot;
use gotrace::{Details, Event};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gotrace app.trace
  gotrace summary --all app.trace
  gotrace summary --json *.trace | jq '[.file, .sched_p99_ns]'";

const SCHEMA: &str = include_str!("../../docs/schema/summary.txt");

/// Show the first screen of a trace: what the program did, how busy it was, and what to look at.
///
/// Duration, goroutines, processors and what they were used for, how long goroutines waited for them, the
/// garbage collector, the slowest tasks, the functions whose goroutines ran the longest, and where
/// goroutines waited the longest. This is what "gotrace FILE" does. "gotrace stat" shows what the file is made
/// of: records and bytes.
///
/// A warning names the command that shows more.
#[derive(clap::Args)]
#[command(after_help = help::page(EXAMPLES))]
#[command(after_long_help = filter::times_explained(EXAMPLES, SCHEMA))]
pub struct Args {
    #[command(flatten)]
    output: Options,

    #[command(flatten)]
    together: Together,

    #[command(flatten)]
    reading: Reading,

    /// The traces; "-" is the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    // The last: its heading reaches to the end.
    #[command(flatten)]
    filter: filter::Times,
}

pub fn run(args: Args) -> Result {
    let mut output = args.output.clone();
    if output.is_text() && !output.all && output.top.is_none() {
        // A screen has room for so much.
        output.top = Some(5);
    }
    let filter = args.filter.of("summary");
    let ask = |file: &Path, progress: &Progress| ask(file, &args, &filter, progress);
    let together = args.together.together;
    let show = |printer: &mut Printer, file: &Path, given: Given| match together {
        true => given.totals.page().print(printer, file),
        false => given.page.print(printer, file),
    };
    let merge = |all: &mut Given, given: Given| all.totals.merge(given.totals);
    answer::answer(&args.files, &output, together, true, ask, merge, show)
}

/// What a trace gives.
struct Given {
    /// By itself.
    page: Page,
    /// For several traces together.
    totals: Totals,
}

/// What else is counted.
#[derive(Default)]
struct Counts {
    events: u64,
    /// Of these, sync events: one begins each generation, one ends the trace.
    syncs: u64,
    ends_with_sync: bool,
    clock: Option<ClockSnapshot>,
}

impl Counts {
    fn see(&mut self, event: &Event<'_, '_>, states: &States, is_inside: bool) {
        let is_sync = event.wire_type().is_none();
        if is_sync && let Details::Sync(sync) = event.details() {
            self.clock = self.clock.or(sync.clock);
        }
        if is_inside {
            self.events += 1;
            // What comes before the first is of the generation that had begun.
            let has_begun = self.events == 1 && !is_sync && states.syncs() > 0;
            self.syncs += u64::from(is_sync) + u64::from(has_begun);
            self.ends_with_sync = is_sync;
        }
    }

    /// How many generations the part is in.
    fn generations(&self) -> u64 {
        let ended = u64::from(self.ends_with_sync);
        self.syncs.saturating_sub(ended).max(1)
    }
}

fn ask(file: &Path, args: &Args, filter: &Filter, progress: &Progress) -> Asked<Given> {
    let mut visitors = (Overview::new(), (Blocked::new(0), Leaks::new()));
    let mut counts = Counts::default();
    let (reading, visitor) = (&args.reading, &mut visitors);
    let after = |_: &mut _, event: &Event<'_, '_>, states: &mut States, scope: &mut Scope<'_>| {
        counts.see(event, states, scope.has_begun());
    };
    let answered = answers::ask(file, reading, filter, progress, visitor, after)?;
    if answered.length().is_none() {
        return Ok((None, answered.ended));
    }
    let (states, ended) = (answered.states, answered.ended);
    let (overview, (blocked, leaks)) = &mut visitors;
    let Some(seen) = overview.take(&states) else {
        return Ok((None, ended));
    };
    let totals = Totals::of(file, &states, &seen, counts.events);
    let mut page = Page::default();
    facts(&mut page, &states, &seen, &counts);
    let warnings = warnings(&states, &seen, blocked, leaks);
    if args.output.is_text() {
        if !seen.tasks.is_empty() {
            page.table("tasks", tasks(&states, &seen));
        }
        page.table("functions", functions(&states, &seen));
        page.table("places", places(&states, blocked));
        if warnings.len() > 0 {
            page.table("warnings", warnings);
        }
    } else {
        page.table("functions", functions(&states, &seen));
        page.table("tasks", tasks(&states, &seen));
        page.table("places", places(&states, blocked));
        page.table("warnings", warnings);
    }
    Ok((Some(Given { page, totals }), ended))
}

fn facts(page: &mut Page, states: &States, seen: &overview::Page, counts: &Counts) {
    let length = seen.nanoseconds();
    let start = counts
        .clock
        .map(|clock| clock.wall_at(seen.from).to_string());
    let began = start
        .as_ref()
        .map_or(String::new(), |start| format!(", from {start} on"));
    page.fact(
        "",
        "duration",
        Cell::Text(format!("{}{began}", duration(length))),
    );
    page.fact("start", "", start.map_or(Cell::None, Cell::Text));
    page.fact("duration_ns", "", Cell::Duration(length));
    page.fact("generations", "", Cell::Count(counts.generations()));
    page.fact("events", "", Cell::Count(counts.events));

    let [running, runnable, waiting, syscall] = seen.states;
    let alive: u64 = seen.states.iter().sum();
    let text = format!(
        "{} created, {} ended, at most {} at a time; at the end {alive}: {running} running, \
         {runnable} runnable, {waiting} waiting, {syscall} in system calls",
        seen.created, seen.ended, seen.most
    );
    page.fact("", "goroutines", Cell::Text(text));
    page.fact("goroutines", "", Cell::Count(alive));
    page.fact("created", "", Cell::Count(seen.created));
    page.fact("ended", "", Cell::Count(seen.ended));
    page.fact("goroutines_most", "", Cell::Count(seen.most));

    let part = |time| seen.part(time);
    let text = match seen.gomaxprocs {
        Some(procs) => format!("{procs}, {}", parts::used(&seen.used, part)),
        None => format!(
            "unknown; goroutines ran for {}",
            duration(seen.used.total())
        ),
    };
    page.fact("", "processors", Cell::Text(text));
    page.fact("procs", "", seen.gomaxprocs.map_or(Cell::None, Cell::Count));
    parts::used_facts(page, &seen.used, part);

    let who = |(id, name, _)| goroutine(id, &states.names().text(name).to_string());
    parts::sched_facts(page, &seen.sched, seen.longest_sched.map(who));

    let reason = states.names().text(seen.gc.longest_reason).to_string();
    parts::gc_facts(page, &seen.gc, length, Some(reason));
    if let (Some(heap), Some(most)) = (seen.heap, seen.heap_most) {
        let text = format!("{} at the end, {} at most", bytes(heap), bytes(most));
        page.fact("", "heap", Cell::Text(text));
    }
    page.fact("heap_bytes", "", seen.heap.map_or(Cell::None, Cell::Bytes));
    page.fact(
        "heap_most_bytes",
        "",
        seen.heap_most.map_or(Cell::None, Cell::Bytes),
    );
    page.fact("syscalls", "system calls", Cell::Count(seen.syscalls));
    let text = format!(
        "{} in {}; \"gotrace stat\" shows what takes the bytes",
        counts.events,
        match counts.generations() {
            0 | 1 => "1 generation".to_owned(),
            n => format!("{n} generations"),
        }
    );
    page.fact("", "events", Cell::Text(text));
}

fn tasks(states: &States, seen: &overview::Page) -> Table {
    let mut table = Table::new(
        "Tasks",
        [
            Column::text("type"),
            Column::count("count").heading("ended"),
            Column::count("open").rank(3),
            Column::number("p50_ns", "p50").rank(2),
            Column::number("p99_ns", "p99"),
            Column::number("longest_ns", "longest"),
            Column::count("slowest").heading("which is").rank(1),
            Column::number("total_ns", "in sum"),
        ],
    );
    for task in &seen.tasks {
        table.row([
            Cell::text(states.names().text(task.ty).to_string()),
            Cell::Count(task.times.len()),
            Cell::Count(task.open),
            quantile(&task.times, 0.5),
            quantile(&task.times, 0.99),
            quantile(&task.times, 1.0),
            task.slowest
                .map_or(Cell::None, |(id, _)| Cell::Count(id.get())),
            Cell::Duration(task.times.sum()),
        ]);
    }
    table
}

fn functions(states: &States, seen: &overview::Page) -> Table {
    let mut table = Table::new(
        "Goroutines by the function they started with",
        [
            Column::name("function"),
            Column::count("count").heading("number"),
            Column::count("alive").rank(3),
            Column::number("running_ns", "running"),
            Column::number("runnable_ns", "runnable"),
            Column::number("waiting_ns", "waiting"),
            Column::number("syscall_ns", "syscall").rank(2),
        ],
    );
    for function in &seen.functions {
        let sums = &function.sums;
        let name = states.names().text(function.name).to_string();
        table.row([
            parts::function(&name),
            Cell::Count(function.count),
            Cell::Count(function.alive),
            Cell::Duration(sums.running),
            Cell::Duration(sums.runnable),
            Cell::Duration(sums.waiting),
            parts::in_syscalls(sums),
        ]);
    }
    table
}

fn places(states: &States, blocked: &Blocked) -> Table {
    let mut table = Table::new(
        "Where goroutines waited",
        [
            Column::number("in_sum_ns", "in sum"),
            Column::count("count").heading("times"),
            Column::text("reason").least(8),
            Column::name("place").heading("at"),
            Column::name("woken_by").heading("woken by").rank(1),
        ],
    );
    for place in blocked.places() {
        let most = place.wakers.iter().max_by_key(|(_, time)| **time);
        let waker = most.map(|(name, _)| states.names().text(*name).to_string());
        table.row([
            Cell::Duration(i64::try_from(place.total()).unwrap_or(i64::MAX)),
            Cell::Count(place.times.len() + place.still),
            match place.state {
                GoState::Syscall => Cell::text("system call"),
                _ if place.reason.is_empty() => Cell::None,
                _ => Cell::text(states.names().text(place.reason).to_string()),
            },
            answer::place(states.names(), place.stack),
            match waker {
                Some(name) if !name.is_empty() => Cell::Text(name),
                _ => Cell::None,
            },
        ]);
    }
    table
}

/// What a user should look at.
fn warnings(states: &States, seen: &overview::Page, blocked: &Blocked, leaks: &Leaks) -> Table {
    let mut table = Table::new(
        "Look at",
        [
            Column::text("warning").heading("what").least(30),
            Column::text("command").heading("with"),
        ],
    );
    let mut warn = |what: String, command: &str| {
        table.row([Cell::Text(what), Cell::text(command)]);
    };
    // Go preempts a goroutine after 10 ms: what waits longer waits for more than one.
    if let Some(p99) = seen.sched.quantile(0.99).filter(|p99| *p99 >= 10_000_000) {
        let p99 = duration(p99);
        warn(
            format!("1 % of the waits for a processor took {p99} or longer"),
            "gotrace latency",
        );
    }
    if seen.gc.longest_stop >= 10_000_000 {
        let longest = duration(seen.gc.longest_stop);
        warn(format!("the world was stopped for {longest}"), "gotrace gc");
    }
    let gc = seen.part(seen.used.gc);
    // A quarter is what the collector takes while it marks.
    if gc >= 0.25 {
        warn(
            format!("the garbage collector took {} of all processors", share(gc)),
            "gotrace gc",
        );
    }
    for place in blocked
        .places()
        .into_iter()
        .filter(|place| place.is_convoy())
    {
        let at = answer::place(states.names(), place.stack);
        let queue = place.mean_queue();
        warn(
            format!("a convoy of {queue:.1} goroutines at {}", at.shown()),
            "gotrace blocked",
        );
    }
    let forever = leaks
        .goroutines
        .iter()
        .filter(|left| left.is_forever)
        .count();
    if forever > 0 {
        let what = match forever {
            1 => "a goroutine waits for ever".to_owned(),
            n => format!("{n} goroutines wait for ever"),
        };
        warn(what, "gotrace leaks");
    }
    let dead = leaks.regions.iter().filter(|region| region.is_dead).count();
    if dead > 0 {
        warn(
            format!("{dead} regions were open when their goroutine ended"),
            "gotrace leaks",
        );
    }
    table
}
