//! `gotrace regions`: user regions, by type and place or one by one.

use super::answer::{Together, answer, each_trace};
use super::filter;
use super::goroutines::{summarize, text};
use super::output::{self, Result};
use super::progress::Progress;
use super::reading::Reading;
use super::table::{self, Cell, Column, Printer, Table};
use super::tasks::{Summarized, kept, summarized};
use gotrace::Time;
use gotrace::analysis::as_go::Summarizer;
use gotrace::analysis::names::Names;
use gotrace::analysis::summary::{RegionType, SlowRegion, StateKind, Summary};
use std::io::Write;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gotrace regions app.trace
  gotrace regions --each --top 5 app.trace";

const SCHEMA: &str = include_str!("../../docs/schema/regions.txt");

/// Show user regions by type and place: how many, how long they took, and what that time was spent on.
///
/// A region is what the program makes with trace.WithRegion or trace.StartRegion. The slowest types
/// come first.
#[derive(clap::Args)]
#[command(after_help = super::help::page(EXAMPLES))]
#[command(after_long_help = filter::explained(EXAMPLES, SCHEMA))]
pub struct Args {
    /// Show single regions, the slowest first: at most 1000 of each type, or as many as --top says
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
    let filter = args.filter.of("regions", &[], "");
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

const TIMES: [Column; 5] = [
    Column::number("running_ns", "running").rank(4),
    Column::number("runnable_ns", "runnable").rank(5),
    Column::number("waiting_ns", "waiting").rank(6),
    Column::number("syscall_ns", "syscall").rank(8),
    Column::number("syscall_blocked_ns", "blocked").rank(9),
];

fn place(ty: &RegionType, names: &Names) -> Cell {
    ty.place.map_or(Cell::None, |(func, _, line)| {
        Cell::text(format!("{}:{line}", names.text(func)))
    })
}

fn types_table(summary: &Summary, names: &Names) -> Table {
    let first = [
        Column::text("type").least(16),
        Column::name("place").least(16),
        Column::count("count"),
        Column::count("open").rank(3),
        Column::number("begun_before", "begun before").rank(10),
        Column::number("p50_ns", "p50"),
        Column::number("p90_ns", "p90").rank(2),
        Column::number("p99_ns", "p99"),
        Column::number("max_ns", "max").rank(1),
        Column::number("total_ns", "total").rank(7),
    ];
    let columns: Vec<Column> = first.into_iter().chain(TIMES).collect();
    let mut table = Table::new("Regions by type and place", columns);
    let mut types: Vec<&RegionType> = summary.regions().filter(|ty| ty.count > 0).collect();
    types.sort_by_key(|ty| {
        let p99 = ty.durations.quantile(0.99);
        (std::cmp::Reverse(p99), names.text(ty.ty), ty.place)
    });
    for ty in types {
        let mut row = vec![
            text(names, ty.ty),
            place(ty, names),
            Cell::Count(ty.count),
            Cell::Count(ty.open),
            Cell::Count(ty.begun_before),
        ];
        let parts = [0.5, 0.9, 0.99, 1.0];
        row.extend(parts.map(|part| Cell::duration(ty.durations.quantile(part))));
        row.push(Cell::Duration(ty.durations.sum()));
        let sums = StateKind::ALL.iter().map(|kind| kind.of(&ty.sums));
        row.extend(sums.map(Cell::Duration));
        table.row(row);
    }
    table
}

fn each_table(summary: &Summary, names: &Names, start: Time) -> Table {
    let first = [
        Column::count("goroutine"),
        Column::text("type").least(16),
        Column::name("place").least(16).rank(7),
        Column::count("task").rank(3),
        Column::number("start_ns", "start"),
        Column::number("duration_ns", "duration"),
    ];
    let columns: Vec<Column> = first.into_iter().chain(TIMES).collect();
    let mut table = Table::new("Slowest regions", columns);
    let each = summary
        .regions()
        .flat_map(|ty| ty.slowest.iter().map(move |slow| (ty, slow)));
    let mut each: Vec<(&RegionType, &SlowRegion)> = each.collect();
    each.sort_by_key(|(_, slow)| (std::cmp::Reverse(slow.nanoseconds), slow.from));
    for (ty, slow) in each {
        let mut row = vec![
            Cell::Count(slow.goroutine.get()),
            text(names, ty.ty),
            place(ty, names),
            slow.task.map_or(Cell::None, |task| Cell::Count(task.get())),
            Cell::Time(slow.from.since(start)),
            Cell::Duration(slow.nanoseconds),
        ];
        let sums = StateKind::ALL.iter().map(|kind| kind.of(&slow.sums));
        row.extend(sums.map(Cell::Duration));
        table.row(row);
    }
    let counted = summary.regions().map(|ty| ty.durations.len()).sum::<u64>();
    table.beyond(counted.saturating_sub(table.len() as u64));
    table
}

fn as_go_json(each: bool, summarizer: &Summarizer, out: &mut impl Write) -> Result {
    if each {
        for row in summarizer.regions() {
            output::json_line(out, &row)?;
        }
        return Ok(());
    }
    for row in summarizer.region_types() {
        output::json_line(out, &row)?;
    }
    Ok(())
}

fn as_go_table(each: bool, summarizer: &Summarizer) -> Table {
    if !each {
        let mut table = Table::new(
            "Regions by type, as Go counts them",
            [
                Column::text("type").least(20),
                Column::name("function"),
                Column::count("count"),
            ],
        );
        for row in summarizer.region_types() {
            table.row([
                Cell::text(row.ty),
                Cell::text(row.frame.func),
                Cell::Count(row.count),
            ]);
        }
        return table;
    }
    let mut table = Table::new(
        "Regions, as Go counts them",
        [
            Column::count("goroutine"),
            Column::text("type").least(20),
            Column::count("task"),
            Column::number("duration_ns", "duration"),
            Column::number("exec_ns", "exec"),
            Column::number("sched_wait_ns", "sched wait"),
        ],
    );
    for row in summarizer.regions() {
        table.row([
            Cell::Signed(row.goroutine),
            Cell::text(row.ty),
            Cell::Count(row.task),
            Cell::Duration(row.duration),
            Cell::Duration(row.stats.exec),
            Cell::Duration(row.stats.sched_wait),
        ]);
    }
    table
}
