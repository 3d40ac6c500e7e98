//! `gotrace tasks`: user tasks, by type or one by one.

use super::answer::{Asked, Together, answer, each_trace};
use super::answers;
use super::filter;
use super::goroutines::{summarize, text};
use super::output::{self, Result};
use super::progress::Progress;
use super::reading::Reading;
use super::table::{self, Cell, Column, Printer, Table};
use gotrace::Time;
use gotrace::analysis::as_go::Summarizer;
use gotrace::analysis::names::Names;
use gotrace::analysis::summary::{SlowTask, Summary, TaskType};
use gotrace::select::Filter;
use std::io::Write;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gotrace tasks app.trace
  gotrace tasks --each --top 5 app.trace
  gotrace tasks --json app.trace | jq 'select(.p99_ns > 200e6)'";

const SCHEMA: &str = include_str!("../../docs/schema/tasks.txt");

/// Show user tasks by type: how many, and how long they took.
///
/// A task is what the program makes with trace.NewTask. The slowest types come first.
#[derive(clap::Args)]
#[command(after_help = super::help::page(EXAMPLES))]
#[command(after_long_help = filter::explained(EXAMPLES, SCHEMA))]
pub struct Args {
    /// Show single tasks, the slowest first: at most 1000 of each type, or as many as --top says
    #[arg(long, conflicts_with = "together")]
    each: bool,

    /// Compute as Go does, for comparing with its pages
    #[arg(long, conflicts_with = "together", conflicts_with_all = filter::COMMON)]
    as_go: bool,

    #[command(flatten)]
    output: table::Options,

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

/// How many slow ones are kept of each type.
pub fn kept(output: &table::Options, each: bool) -> usize {
    if each { output.top.unwrap_or(1000) } else { 0 }
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
    let filter = args.filter.of(
        "tasks",
        &["--proc", "--thread", "--region"],
        "a task is on none of its own",
    );
    let ask = |file: &Path, progress: &Progress| {
        let slowest = kept(&args.output, args.each);
        summarized(file, &args.reading, &filter, progress, slowest)
    };
    let show = |printer: &mut Printer, file: &Path, given: Summarized| {
        let (summary, names) = (&given.summary, &given.names);
        let table = match args.each {
            true => each_table(summary, names, given.start),
            false => types_table(summary, names),
        };
        printer.table(file, &table)
    };
    let together = args.together.together;
    let merge = Summarized::merge;
    answer(&args.files, &args.output, together, false, ask, merge, show)
}

/// What a trace gives.
pub struct Summarized {
    pub summary: Summary,
    pub names: Names,
    pub start: Time,
}

impl Summarized {
    pub fn merge(&mut self, other: Summarized) {
        self.summary
            .merge(&mut self.names, &other.summary, &other.names);
    }
}

/// Tasks and regions of a trace, with so many of the slowest of each type.
pub fn summarized(
    file: &Path,
    reading: &Reading,
    filter: &Filter,
    progress: &Progress,
    slowest: usize,
) -> Asked<Summarized> {
    let mut summary = Summary::new().with_slowest(slowest);
    let visitor = &mut summary;
    let mut answered = answers::ask(file, reading, filter, progress, visitor, |_, _, _, _| {})?;
    summary.add_open(&answered.states, Some(&mut answered.scope));
    let given = Summarized {
        summary,
        start: answered.start(),
        names: std::mem::take(answered.states.names_mut()),
    };
    Ok((Some(given), answered.ended))
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

fn each_table(summary: &Summary, names: &Names, start: Time) -> Table {
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
