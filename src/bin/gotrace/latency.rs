//! `gotrace latency`: how long goroutines wait for a processor.

use super::answer::{Asked, Page, Together, answer, since};
use super::answers;
use super::filter;
use super::help;
use super::output::Result;
use super::progress::Progress;
use super::reading::Reading;
use super::table::{
    Cell, Column, Options, Printer, Table, duration, figure_width, goroutine, share,
};
use super::timeline::{bar, sparkline};
use gotrace::Time;
use gotrace::analysis::histogram::Histogram;
use gotrace::analysis::latency::{Latency, mean_runnable, powers_of_two};
use gotrace::analysis::names::Names;
use gotrace::select::Filter;
use std::cmp::Reverse;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gotrace latency app.trace
  gotrace latency --json app.trace | jq .p99_ns
  gotrace latency --csv --all app.trace > by-function.csv";

const SCHEMA: &str = include_str!("../../docs/schema/latency.txt");

/// Show how long goroutines that were ready to run waited for a processor.
///
/// From runnable to running, the first run of a goroutine included: the distribution, over time, by the
/// function that the goroutines started with, and by the proc on which they then ran. Goroutines that
/// were runnable before the trace are left out.
///
/// \"idle meanwhile\" is for how long a proc was idle while a goroutine waited for one, but for when the world
/// was stopped: what the scheduler lost. System calls that take long lose their proc to another goroutine,
/// and their goroutine must then wait for one again.
#[derive(clap::Args)]
#[command(after_help = help::page(EXAMPLES))]
#[command(after_long_help = filter::explained(EXAMPLES, SCHEMA))]
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
    filter: filter::Common,
}

pub fn run(args: Args) -> Result {
    let filter = args.filter.of("latency", &[], "");
    let together = args.together.together;
    let ask = |file: &Path, progress: &Progress| ask(file, &args, &filter, progress);
    let show = |printer: &mut Printer, file: &Path, given: Given| {
        let (names, latency, length) = (&given.names, &given.latency, given.length);
        let mut page = Page::default();
        facts(&mut page, &given);
        if args.output.is_text() && !together {
            figure(&mut page, latency, length);
        }
        page.table("functions", functions(names, latency));
        page.table("procs", procs(latency, length));
        page.table("distribution", distribution(latency));
        if args.output.json && !together {
            page.table("over_time", over_time(latency, given.from));
        }
        page.print(printer, file)
    };
    let merge = |all: &mut Given, given: Given| {
        all.latency
            .merge(&mut all.names, &given.latency, &given.names);
        all.length = all.length.saturating_add(given.length);
    };
    answer(&args.files, &args.output, together, false, ask, merge, show)
}

/// What a trace gives.
struct Given {
    latency: Latency,
    names: Names,
    start: Option<Time>,
    /// Where the part begins that counts, in nanoseconds since the trace began.
    from: i64,
    /// How long it is.
    length: i64,
}

fn ask(file: &Path, args: &Args, filter: &Filter, progress: &Progress) -> Asked<Given> {
    let mut latency = Latency::new();
    let (reading, visitor) = (&args.reading, &mut latency);
    let mut answered = answers::ask(file, reading, filter, progress, visitor, |_, _, _, _| {})?;
    let begin = answered.states.begin_time().unwrap_or_default();
    let given = answered.length().map(|length| Given {
        latency,
        start: answered.states.first_time(),
        from: begin.since(answered.start()),
        names: std::mem::take(answered.states.names_mut()),
        length,
    });
    Ok((given, answered.ended))
}

/// A quantile of times.
fn quantile(times: &Histogram, part: f64) -> Cell {
    Cell::duration(times.quantile(part))
}

fn facts(page: &mut Page, given: &Given) {
    let (names, latency, length) = (&given.names, &given.latency, given.length);
    let all = &latency.all;
    let shown = |part| quantile(all, part).shown().into_owned();
    let summary = format!(
        "{} times, {} in sum; p50 {}, p90 {}, p99 {}, longest {}",
        all.len(),
        duration(all.sum()),
        shown(0.5),
        shown(0.9),
        shown(0.99),
        shown(1.0)
    );
    page.fact("", "waited for a processor", Cell::Text(summary));
    for (key, part) in [
        ("p50_ns", 0.5),
        ("p90_ns", 0.9),
        ("p99_ns", 0.99),
        ("longest_ns", 1.0),
    ] {
        page.fact(key, "", quantile(all, part));
    }
    page.fact("count", "", Cell::Count(all.len()));
    page.fact("total_ns", "", Cell::Duration(all.sum()));
    if let Some((id, name, at)) = latency.longest {
        let who = goroutine(id, &names.text(name).to_string());
        let at = Cell::Time(since(given.start, at));
        let text = format!("{who}, which then ran at {}", at.shown());
        page.fact("", "the longest", Cell::Text(text));
    }
    let first = &latency.first_runs;
    let text = format!("{}, p99 {}", first.len(), quantile(first, 0.99).shown());
    page.fact("", "first runs", Cell::Text(text));
    page.fact("first_runs", "", Cell::Count(first.len()));
    page.fact("first_run_p99_ns", "", quantile(first, 0.99));
    let (still, longest) = latency.still;
    if still > 0 {
        let text = format!(
            "{still} goroutines at the end, the longest for {}",
            duration(longest)
        );
        page.fact("", "still waited", Cell::Text(text));
    }
    page.fact("still", "", Cell::Count(still));
    page.fact("still_ns", "", Cell::Duration(longest));
    let mean = mean_runnable(latency, length);
    let text = format!(
        "{mean:.1} goroutines on average, at most {}",
        latency.most_runnable
    );
    page.fact("", "waited at a time", Cell::Text(text));
    page.fact("runnable_mean", "", Cell::Float(mean));
    page.fact("runnable_most", "", Cell::Count(latency.most_runnable));
    let idle = latency.idle_while_runnable;
    let text = format!(
        "a proc for {}, {} of the trace, at most {} in one go",
        duration(idle),
        share(idle as f64 / length.max(1) as f64),
        duration(latency.longest_idle)
    );
    page.fact("", "idle meanwhile", Cell::Text(text));
    page.fact("idle_while_runnable_ns", "", Cell::Duration(idle));
    page.fact("longest_idle_ns", "", Cell::Duration(latency.longest_idle));
    let (calls, lost) = (&latency.syscalls, &latency.syscalls_without_proc);
    let text = format!(
        "{}, p99 {}; {} lost their proc",
        calls.len(),
        quantile(calls, 0.99).shown(),
        lost.len()
    );
    page.fact("", "system calls", Cell::Text(text));
    page.fact("syscalls", "", Cell::Count(calls.len()));
    page.fact("syscall_p99_ns", "", quantile(calls, 0.99));
    page.fact("syscalls_without_proc", "", Cell::Count(lost.len()));
}

/// The waits over time.
fn figure(page: &mut Page, latency: &Latency, length: i64) {
    const LABEL: usize = 24;
    let (width, stretches) = latency.over_time();
    let columns = figure_width().saturating_sub(LABEL + 4).max(8);
    let columns = columns.min(stretches.len()).max(1);
    let mut longest = vec![Histogram::new(); columns];
    let mut runnable = vec![0u64; columns];
    for (n, stretch) in stretches.iter().enumerate() {
        let at = n * columns / stretches.len();
        if let Some(times) = longest.get_mut(at) {
            times.merge(&stretch.times);
        }
        if let Some(most) = runnable.get_mut(at) {
            *most = (*most).max(stretch.most_runnable);
        }
    }
    let worst: Vec<f64> = longest
        .iter()
        .map(|times| times.quantile(0.99).unwrap_or(0) as f64)
        .collect();
    let most: Vec<f64> = runnable.iter().map(|most| *most as f64).collect();
    let top = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let label = |name: &str| format!("  {name:<LABEL$}");
    page.figure(String::new());
    page.figure(format!(
        "{}{}",
        label("p99 over time"),
        sparkline(&worst).trim_end()
    ));
    page.figure(format!(
        "{}{}",
        label("waiting over time"),
        sparkline(&most).trim_end()
    ));
    let scale = length.min(width.saturating_mul(stretches.len() as i64)) / columns as i64;
    page.figure(format!(
        "  a character is {}; the highest bars are {} and {}",
        duration(scale),
        duration(top(&worst) as i64),
        top(&most)
    ));
}

fn functions(names: &Names, latency: &Latency) -> Table {
    let mut table = Table::new(
        "By the function that goroutines started with",
        [
            Column::name("function"),
            Column::count("count").heading("times"),
            Column::number("p50_ns", "p50").rank(2),
            Column::number("p90_ns", "p90").rank(3),
            Column::number("p99_ns", "p99"),
            Column::number("longest_ns", "longest").rank(1),
            Column::number("total_ns", "in sum"),
        ],
    );
    let mut rows: Vec<_> = latency.by_function.iter().collect();
    rows.sort_by_key(|(name, times)| (Reverse(times.sum()), **name));
    for (name, times) in rows {
        let name = names.text(*name).to_string();
        table.row([
            if name.is_empty() {
                Cell::None
            } else {
                Cell::Text(name)
            },
            Cell::Count(times.len()),
            quantile(times, 0.5),
            quantile(times, 0.9),
            quantile(times, 0.99),
            quantile(times, 1.0),
            Cell::Duration(times.sum()),
        ]);
    }
    table
}

fn procs(latency: &Latency, length: i64) -> Table {
    let mut table = Table::new(
        "By the proc on which they then ran",
        [
            Column::count("proc"),
            Column::count("count").heading("times"),
            Column::number("p50_ns", "p50").rank(2),
            Column::number("p99_ns", "p99"),
            Column::number("longest_ns", "longest"),
            Column::number("running", "running"),
            Column::count("stolen").heading("lost in calls").rank(1),
        ],
    );
    for (id, proc) in &latency.procs {
        table.row([
            Cell::Count(id.get()),
            Cell::Count(proc.times.len()),
            quantile(&proc.times, 0.5),
            quantile(&proc.times, 0.99),
            quantile(&proc.times, 1.0),
            Cell::Share(proc.running as f64 / length.max(1) as f64),
            Cell::Count(proc.stolen),
        ]);
    }
    table
}

fn distribution(latency: &Latency) -> Table {
    let mut table = Table::new(
        "Distribution",
        [
            Column::number("from_ns", "from"),
            Column::number("to_ns", "below"),
            Column::count("count").heading("times"),
            Column::number("share", "share"),
            Column::text("bar").heading("").least(8).only_text(),
        ],
    );
    let rows = powers_of_two(&latency.all);
    let most = rows
        .iter()
        .map(|(_, _, count)| *count)
        .max()
        .unwrap_or(0)
        .max(1);
    for (from, to, count) in rows {
        table.row([
            Cell::Duration(from),
            Cell::Duration(to),
            Cell::Count(count),
            Cell::Share(count as f64 / latency.all.len().max(1) as f64),
            Cell::text(bar(count as f64 / most as f64, 30)),
        ]);
    }
    table
}

fn over_time(latency: &Latency, mut from: i64) -> Table {
    let mut table = Table::new(
        "",
        [
            Column::number("from_ns", ""),
            Column::number("to_ns", ""),
            Column::count("count"),
            Column::number("p99_ns", ""),
            Column::number("longest_ns", ""),
            Column::count("runnable_most"),
        ],
    );
    let (width, stretches) = latency.over_time();
    for stretch in stretches {
        table.row([
            Cell::Duration(from),
            Cell::Duration(from.saturating_add(width)),
            Cell::Count(stretch.times.len()),
            quantile(&stretch.times, 0.99),
            quantile(&stretch.times, 1.0),
            Cell::Count(stretch.most_runnable),
        ]);
        from = from.saturating_add(width);
    }
    table
}
