//! `gotrace goroutines`: what goroutines did with their time, by the function they started in.

use super::answer::{Asked, Together, answer, each_trace};
use super::answers;
use super::filter;
use super::output::{self, Result};
use super::progress::Progress;
use super::reading::Reading;
use super::table::{self, Cell, Column, Printer, Table};
use gotrace::analysis::as_go::{StatsRow, Summarizer};
use gotrace::analysis::names::{NameId, Names};
use gotrace::analysis::states::{Goroutine, States, Stay, Sums, Visitor};
use gotrace::analysis::summary::{Group, StateKind, StateTimes, Summary};
use gotrace::{Event, Time};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gotrace goroutines app.trace
  gotrace goroutines --states app.trace
  gotrace goroutines --each --top 20 app.trace
  gotrace goroutines --json app.trace | jq -r .function";

const SCHEMA: &str = include_str!("../../docs/schema/goroutines.txt");

/// Show what goroutines did with their time, by the function they started in.
///
/// How many there were, and how long they ran, waited for a processor (runnable), waited for something
/// else, and were in system calls. What the trace shows only a part of counts as far as it shows it.
#[derive(clap::Args)]
#[command(after_help = super::help::page(EXAMPLES))]
#[command(after_long_help = filter::explained(EXAMPLES, SCHEMA))]
pub struct Args {
    /// Show each state, and waiting by reason, with percentiles
    #[arg(long, conflicts_with = "each")]
    states: bool,

    /// Show each goroutine, not functions
    #[arg(long, conflicts_with = "together")]
    each: bool,

    /// Compute as Go does, for comparing with its pages: see "gotrace help goroutines"
    #[arg(long, conflicts_with_all = ["states", "together"], conflicts_with_all = filter::COMMON)]
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
                    return as_go_json(&args, &summarizer, printer.out());
                }
                printer.begin(file)?;
                printer.table(file, &as_go_table(&args, &summarizer))
            },
        );
    }
    let filter = args.filter.of("goroutines", &[], "");
    let ask = |file: &Path, progress: &Progress| -> Asked<Given> {
        let mut counts = Counts {
            summary: Summary::new(),
            each: args.each.then(Each::default),
        };
        let (reading, visitor) = (&args.reading, &mut counts);
        let mut answered =
            answers::ask(file, reading, &filter, progress, visitor, |_, _, _, _| {})?;
        let given = Given {
            start: answered.start(),
            names: std::mem::take(answered.states.names_mut()),
            counts,
        };
        Ok((Some(given), answered.ended))
    };
    let merge = |all: &mut Given, given: Given| {
        let summary = &mut all.counts.summary;
        summary.merge(&mut all.names, &given.counts.summary, &given.names);
    };
    let show = |printer: &mut Printer, file: &Path, mut given: Given| {
        let (names, groups) = (&given.names, given.counts.summary.groups());
        let table = match &mut given.counts.each {
            Some(each) => each_table(&mut each.rows, names, given.start),
            None if args.states => states_table(groups, names),
            None => groups_table(groups, names),
        };
        printer.table(file, &table)
    };
    let together = args.together.together;
    answer(&args.files, &args.output, together, false, ask, merge, show)
}

/// What a trace gives.
struct Given {
    counts: Counts,
    names: Names,
    start: Time,
}

/// What Go's summarizer makes of a trace.
pub fn summarize(file: &Path, reading: &Reading, progress: &Progress) -> Asked<Summarizer> {
    let mut summarizer = Summarizer::new();
    let ended = reading.events(file, progress, |event| {
        summarizer.add(event);
        Ok(true)
    })?;
    summarizer.finish(ended.is_none());
    Ok((Some(summarizer), ended))
}

fn as_go_json(args: &Args, summarizer: &Summarizer, out: &mut impl std::io::Write) -> Result {
    if args.each {
        for row in summarizer.goroutines() {
            output::json_line(out, &row)?;
        }
        return Ok(());
    }
    for row in summarizer.groups() {
        output::json_line(out, &row)?;
    }
    Ok(())
}

fn as_go_table(args: &Args, summarizer: &Summarizer) -> Table {
    let times = |stats: &StatsRow| {
        let block = stats
            .block
            .values()
            .fold(0i64, |sum, n| sum.saturating_add(*n));
        [
            stats.exec,
            stats.sched_wait,
            block,
            stats.syscall,
            stats.syscall_block,
            stats.unknown,
            stats.total,
        ]
        .map(Cell::Duration)
    };
    let columns = [
        Column::number("exec_ns", "exec"),
        Column::number("sched_wait_ns", "sched wait"),
        Column::number("block_ns", "block"),
        Column::number("syscall_ns", "syscall"),
        Column::number("syscall_block_ns", "syscall block").rank(2),
        Column::number("unknown_ns", "unknown").rank(3),
        Column::number("total_ns", "total").rank(1),
    ];
    if args.each {
        let first = [Column::count("goroutine"), Column::name("function")];
        let columns: Vec<Column> = first.into_iter().chain(columns).collect();
        let mut table = Table::new("Goroutines, as Go counts them", columns);
        for row in summarizer.goroutines() {
            let first = [Cell::Signed(row.id), Cell::text(row.name)];
            table.row(
                first
                    .into_iter()
                    .chain(times(&row.stats))
                    .collect::<Vec<_>>(),
            );
        }
        return table;
    }
    let first = [Column::name("function"), Column::count("count")];
    let columns: Vec<Column> = first.into_iter().chain(columns).collect();
    let mut table = Table::new("Goroutines by function, as Go counts them", columns);
    let mut groups = summarizer.groups();
    groups.sort_by_key(|group| std::cmp::Reverse(group.stats.total));
    for row in groups {
        let first = [Cell::text(row.name), Cell::Count(row.n)];
        table.row(
            first
                .into_iter()
                .chain(times(&row.stats))
                .collect::<Vec<_>>(),
        );
    }
    table
}

/// The summary, and each goroutine if wanted.
struct Counts {
    summary: Summary,
    each: Option<Each>,
}

/// Each goroutine, when it ended or the trace did.
#[derive(Default)]
struct Each {
    rows: Vec<Row>,
    /// By slot, of those that live: which life, and what counts of it.
    lives: Vec<(u64, Sums)>,
}

struct Row {
    id: u64,
    life: u64,
    name: NameId,
    state: &'static str,
    created: Option<Time>,
    ended: Option<Time>,
    sums: Sums,
    total: i64,
}

impl Each {
    fn count(&mut self, stay: &Stay) {
        let slot = stay.slot as usize;
        if self.lives.len() <= slot {
            self.lives.resize(slot + 1, (0, Sums::default()));
        }
        let Some(life) = self.lives.get_mut(slot).filter(|_| stay.counts) else {
            return;
        };
        if life.0 != stay.life {
            *life = (stay.life, Sums::default());
        }
        life.1.add(stay);
    }

    fn end(&mut self, states: &States, goroutine: &Goroutine, ended: bool) {
        let life = self.lives.get(goroutine.slot as usize);
        // Of others, nothing counts.
        let Some((_, sums)) = life.filter(|(life, _)| *life == goroutine.life) else {
            return;
        };
        self.rows.push(Row {
            id: goroutine.id.get(),
            life: goroutine.life,
            name: goroutine.name,
            state: match ended {
                true => "ended",
                false => goroutine.state.name(),
            },
            created: goroutine.is_new.then_some(goroutine.created),
            ended: ended.then_some(states.last_time()),
            total: sums.total(),
            sums: *sums,
        });
    }
}

impl Visitor for Counts {
    fn goroutine_began(&mut self, states: &States, goroutine: &Goroutine, event: &Event<'_, '_>) {
        self.summary.goroutine_began(states, goroutine, event);
    }

    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        self.summary.stay(states, goroutine, stay);
        if let Some(each) = &mut self.each {
            each.count(stay);
        }
    }

    fn goroutine_ended(&mut self, states: &States, goroutine: &Goroutine) {
        self.summary.goroutine_ended(states, goroutine);
        if let Some(each) = &mut self.each {
            each.end(states, goroutine, true);
        }
    }

    fn goroutine_left(&mut self, states: &States, goroutine: &Goroutine) {
        self.summary.goroutine_left(states, goroutine);
        if let Some(each) = &mut self.each {
            each.end(states, goroutine, false);
        }
    }
}

/// A name for people and programs.
pub fn text(names: &Names, id: NameId) -> Cell {
    Cell::Text(names.text(id).to_string())
}

const TIMES: [Column; 6] = [
    Column::number("running_ns", "running"),
    Column::number("runnable_ns", "runnable"),
    Column::number("waiting_ns", "waiting"),
    Column::number("syscall_ns", "syscall").rank(1),
    Column::number("syscall_blocked_ns", "blocked").rank(4),
    Column::number("total_ns", "total").rank(3),
];

fn groups_table(groups: &[Group], names: &Names) -> Table {
    let first = [
        Column::name("function"),
        Column::count("count"),
        Column::count("created").rank(5),
        Column::count("ended").rank(6),
    ];
    let last = [Column::number("runnable_p99_ns", "runnable p99").rank(2)];
    let columns: Vec<Column> = first.into_iter().chain(TIMES).chain(last).collect();
    let mut table = Table::new("Goroutines by function", columns);
    let mut groups: Vec<&Group> = groups.iter().filter(|group| group.count > 0).collect();
    // Busy ones first; of those that never ran, the most.
    let running = |group: &Group| group.state(StateKind::Running).stays.sum();
    groups.sort_by_key(|group| {
        let name = names.text(group.name);
        (std::cmp::Reverse((running(group), group.total())), name)
    });
    for group in groups {
        let mut row = vec![
            text(names, group.name),
            Cell::Count(group.count),
            Cell::Count(group.created),
            Cell::Count(group.ended),
        ];
        let sums = StateKind::ALL
            .iter()
            .map(|kind| group.state(*kind).stays.sum());
        row.extend(sums.map(Cell::Duration));
        row.push(Cell::Duration(group.total()));
        let waits = &group.state(StateKind::Runnable).stays;
        row.push(Cell::duration(waits.quantile(0.99)));
        table.row(row);
    }
    table
}

fn states_table(groups: &[Group], names: &Names) -> Table {
    let mut table = Table::new(
        "Goroutines by function and state",
        [
            Column::name("function"),
            Column::text("state").least(8),
            Column::text("reason").least(8),
            Column::count("goroutines").rank(5),
            Column::count("stays").rank(1),
            Column::number("total_ns", "total"),
            Column::number("p50_ns", "p50"),
            Column::number("p90_ns", "p90").rank(2),
            Column::number("p99_ns", "p99"),
            Column::number("max_ns", "max").rank(3),
            Column::number("each_p50_ns", "each p50").rank(6),
            Column::number("each_p90_ns", "each p90").rank(9),
            Column::number("each_p99_ns", "each p99").rank(7),
            Column::number("each_max_ns", "each max").rank(8),
        ],
    );
    let mut rows: Vec<(&Group, StateKind, NameId, &StateTimes)> = Vec::new();
    for group in groups {
        for kind in StateKind::ALL
            .iter()
            .filter(|kind| **kind != StateKind::Waiting)
        {
            rows.push((group, *kind, NameId::EMPTY, group.state(*kind)));
        }
        for (reason, times) in group.reasons() {
            rows.push((group, StateKind::Waiting, reason, times));
        }
    }
    rows.retain(|(.., times)| !times.stays.is_empty());
    rows.sort_by_key(|(group, kind, reason, times)| {
        let names = (names.text(group.name), names.text(*reason));
        (std::cmp::Reverse(times.stays.sum()), names, *kind)
    });
    for (group, kind, reason, times) in rows {
        let mut row = vec![
            text(names, group.name),
            Cell::text(kind.name()),
            text(names, reason),
            Cell::Count(times.goroutines.len()),
            Cell::Count(times.stays.len()),
            Cell::Duration(times.stays.sum()),
        ];
        for histogram in [&times.stays, &times.goroutines] {
            let parts = [0.5, 0.9, 0.99, 1.0];
            row.extend(parts.map(|part| Cell::duration(histogram.quantile(part))));
        }
        table.row(row);
    }
    table
}

fn each_table(rows: &mut [Row], names: &Names, start: Time) -> Table {
    let first = [
        Column::count("goroutine"),
        Column::count("life").rank(8),
        Column::name("function"),
        Column::text("state").least(8),
        Column::number("created_ns", "created").rank(6),
        Column::number("ended_ns", "ended").rank(7),
    ];
    let columns: Vec<Column> = first.into_iter().chain(TIMES).collect();
    let mut table = Table::new("Goroutines", columns);
    rows.sort_by_key(|row| (std::cmp::Reverse((row.sums.running, row.total)), row.life));
    let since = |time: Option<Time>| time.map_or(Cell::None, |time| Cell::Time(time.since(start)));
    for row in rows {
        let mut cells = vec![
            Cell::Count(row.id),
            Cell::Count(row.life),
            text(names, row.name),
            Cell::text(row.state.to_lowercase()),
            since(row.created),
            since(row.ended),
        ];
        let sums = StateKind::ALL.iter().map(|kind| kind.of(&row.sums));
        cells.extend(sums.map(Cell::Duration));
        cells.push(Cell::Duration(row.total));
        table.row(cells);
    }
    table
}
