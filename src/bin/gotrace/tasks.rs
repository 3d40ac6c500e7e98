//! `gotrace tasks`: user tasks, by type or one by one.

use super::answer::each_trace;
use super::answers::{self, Part, Question};
use super::goroutines::{summarize, text};
use super::output::{self, Result};
use super::progress::Progress;
use super::reading::Reading;
use super::table::{self, Cell, Column, Table};
use gotrace::Time;
use gotrace::analysis::as_go::Summarizer;
use gotrace::analysis::names::Names;
use gotrace::analysis::states::States;
use gotrace::analysis::summary::{SlowTask, Summary, TaskType};
use std::io::Write;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gotrace tasks app.trace
  gotrace tasks --each --top 5 app.trace
  gotrace tasks --json app.trace | jq 'select(.p99_ns > 200e6)'";

const SCHEMA: &str = "\
JSON and CSV:
  Each row has file, then the columns of the table; times are whole
  nanoseconds, in keys that end in _ns. Without an option, a row is
  a type: type, count, open (did not end), begun_before (began
  before the trace), p50_ns, p90_ns, p99_ns, max_ns and total_ns of
  those that began and ended. With --each, a row is a task: task,
  type, start_ns (since the trace began), duration_ns, goroutine.
  With --as-go, a row is what Go's pages have: Type, Count and
  Histogram; with --each ID, Type, Parent, Start, End, Duration,
  Children, Logs, Regions and Goroutines.";

/// Show user tasks by type: how many, and how long they took.
///
/// A task is what the program makes with trace.NewTask. The slowest types come first.
#[derive(clap::Args)]
#[command(after_help = super::help::page(EXAMPLES))]
#[command(after_long_help = super::help::page(&format!("{EXAMPLES}\n\n{SCHEMA}")))]
pub struct Args {
    /// Show single tasks, the slowest first: at most 1000 of each type, or as many as --top says
    #[arg(long)]
    each: bool,

    /// Compute as Go does, for comparing with its pages
    #[arg(long, conflicts_with_all = ["from", "to", "goroutine"])]
    as_go: bool,

    #[command(flatten)]
    output: table::Options,

    #[command(flatten)]
    reading: Reading,

    /// The traces; "-" is the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    // The last: its heading reaches to the end.
    #[command(flatten)]
    part: Part,
}

/// How many slow ones are kept of each type.
pub fn kept(output: &table::Options, each: bool) -> usize {
    if each { output.top.unwrap_or(1000) } else { 0 }
}

impl Question for Summary {
    fn begin(&mut self, from: Time) {
        self.set_from(from);
    }
}

pub fn run(args: Args) -> Result {
    let progress = Progress::new(&args.files, false);
    let mut printer = table::printer(&args.output, args.files.len() > 1);
    if args.as_go {
        let ask = |file: &Path| summarize(file, &args.reading, &progress);
        return each_trace(
            &args.files,
            &mut printer,
            ask,
            |printer, file, summarizer| {
                if args.output.json {
                    return as_go_json(args.each, &summarizer, printer.out());
                }
                printer.begin(file)?;
                printer.table(file, &as_go_table(args.each, &summarizer))
            },
        );
    }
    let ask = |file: &Path| {
        let mut summary = Summary::new()
            .with_slowest(kept(&args.output, args.each))
            .with_goroutines(args.part.goroutines());
        let answered = answers::ask(file, &args.reading, &args.part, &progress, &mut summary)?;
        summary.add_open(&answered.states);
        let table = if args.each {
            each_table(&summary, &answered.states, answered.start)
        } else {
            types_table(&summary, answered.states.names())
        };
        Ok((Some(table), answered.ended))
    };
    each_trace(&args.files, &mut printer, ask, |printer, file, table| {
        printer.begin(file)?;
        printer.table(file, &table)
    })
}

fn types_table(summary: &Summary, names: &Names) -> Table {
    let mut table = Table::new(
        "Tasks by type",
        [
            Column::text("type").least(20),
            Column::count("count"),
            Column::count("open"),
            Column::number("begun_before", "begun before").rank(2),
            Column::number("p50_ns", "p50"),
            Column::number("p90_ns", "p90").rank(1),
            Column::number("p99_ns", "p99"),
            Column::number("max_ns", "max"),
            Column::number("total_ns", "total").rank(3),
        ],
    );
    let mut types: Vec<&TaskType> = summary.tasks().filter(|ty| ty.count > 0).collect();
    types.sort_by_key(|ty| {
        let p99 = ty.durations.quantile(0.99);
        (std::cmp::Reverse(p99), names.text(ty.ty))
    });
    for ty in types {
        let mut row = vec![
            text(names, ty.ty),
            Cell::Count(ty.count),
            Cell::Count(ty.open),
            Cell::Count(ty.begun_before),
        ];
        let parts = [0.5, 0.9, 0.99, 1.0];
        row.extend(parts.map(|part| Cell::duration(ty.durations.quantile(part))));
        row.push(Cell::Duration(ty.durations.sum()));
        table.row(row);
    }
    table
}

fn each_table(summary: &Summary, states: &States, start: Time) -> Table {
    let mut table = Table::new(
        "Slowest tasks",
        [
            Column::count("task"),
            Column::text("type").least(20),
            Column::number("start_ns", "start"),
            Column::number("duration_ns", "duration"),
            Column::count("goroutine"),
        ],
    );
    let names = states.names();
    let each = summary
        .tasks()
        .flat_map(|ty| ty.slowest.iter().map(move |slow| (ty, slow)));
    let mut each: Vec<(&TaskType, &SlowTask)> = each.collect();
    each.sort_by_key(|(_, slow)| (std::cmp::Reverse(slow.nanoseconds), slow.id));
    for (ty, slow) in each {
        table.row([
            Cell::Count(slow.id.get()),
            text(names, ty.ty),
            Cell::Time(slow.from.since(start)),
            Cell::Duration(slow.nanoseconds),
            slow.goroutine
                .map_or(Cell::None, |id| Cell::Count(id.get())),
        ]);
    }
    let counted = summary.tasks().map(|ty| ty.durations.len()).sum::<u64>();
    table.beyond(counted.saturating_sub(table.len() as u64));
    table
}

fn as_go_json(each: bool, summarizer: &Summarizer, out: &mut impl Write) -> Result {
    if each {
        for row in summarizer.tasks() {
            output::json_line(out, &row)?;
        }
        return Ok(());
    }
    for row in summarizer.task_types() {
        output::json_line(out, &row)?;
    }
    Ok(())
}

fn as_go_table(each: bool, summarizer: &Summarizer) -> Table {
    if !each {
        let columns = [Column::text("type").least(20), Column::count("count")];
        let mut table = Table::new("Tasks by type, as Go counts them", columns);
        for row in summarizer.task_types() {
            table.row([Cell::text(row.ty), Cell::Count(row.count)]);
        }
        return table;
    }
    let mut table = Table::new(
        "Tasks, as Go counts them",
        [
            Column::count("task"),
            Column::text("type").least(20),
            Column::number("duration_ns", "duration"),
            Column::count("children"),
            Column::count("logs"),
            Column::count("regions"),
        ],
    );
    for row in summarizer.tasks() {
        table.row([
            Cell::Count(row.id),
            Cell::text(row.ty),
            Cell::Duration(row.duration),
            Cell::Count(row.children),
            Cell::Count(row.logs),
            Cell::Count(row.regions),
        ]);
    }
    table
}
