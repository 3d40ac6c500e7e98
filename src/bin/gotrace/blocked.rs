//! `gotrace blocked`: where goroutines wait, and for what.

use super::answer::{self, Asked, Page, Together, since};
use super::answers;
use super::filter;
use super::help;
use super::output::Result;
use super::progress::Progress;
use super::reading::Reading;
use super::table::{Cell, Column, Options, Printer, Table, goroutine};
use gotrace::Time;
use gotrace::analysis::blocked::{Blocked, Place, Wait};
use gotrace::analysis::names::{NameId, Names};
use gotrace::event::GoState;
use gotrace::select::Filter;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gotrace blocked app.trace
  gotrace blocked --all --csv app.trace > blocked.csv
  gotrace blocked --json app.trace | jq '.places[] | select(.convoy)'";

const SCHEMA: &str = include_str!("../../docs/schema/blocked.txt");

/// Show where goroutines waited, for what, how long, and who woke them.
///
/// The first table has a row for each place in the program where goroutines wait or make system calls,
/// the one with the most time in sum first: a function and line outside the runtime. \"queue\" is how many
/// waited there at a time, on average while any did. A convoy is a lock that is handed from one waiting
/// goroutine to the next: of such places at least 80 % of the waits were ended by one that had just waited
/// there itself. The second table has the longest single waits.
///
/// A goroutine that waits for work waits long, too: it is the place and who wakes it that say whether it
/// matters. The runtime's own goroutines are left out.
#[derive(clap::Args)]
#[command(after_help = help::page(EXAMPLES))]
#[command(after_long_help = filter::explained(EXAMPLES, SCHEMA))]
pub struct Args {
    /// Show the runtime's own goroutines, too
    #[arg(long)]
    system: bool,

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
    let filter = args.filter.of("blocked", &[], "");
    let ask = |file: &Path, progress: &Progress| ask(file, &args, &filter, progress);
    let together = args.together.together;
    let show = |printer: &mut Printer, file: &Path, given: Given| {
        let mut page = Page::default();
        page.table("places", places(&given.names, &given.blocked));
        // Whose they are, and when they were, is of one trace.
        if !together {
            page.table("longest", longest(&given));
        }
        page.print(printer, file)
    };
    let merge = |all: &mut Given, given: Given| {
        all.blocked
            .merge(&mut all.names, &given.blocked, &given.names);
    };
    answer::answer(&args.files, &args.output, together, false, ask, merge, show)
}

/// What a trace gives.
struct Given {
    blocked: Blocked,
    names: Names,
    start: Option<Time>,
}

fn ask(file: &Path, args: &Args, filter: &Filter, progress: &Progress) -> Asked<Given> {
    // All of them would be all waits of the trace.
    let most = args.output.limit().min(1000);
    let mut blocked = match args.system {
        true => Blocked::new(most).with_system(),
        false => Blocked::new(most),
    };
    let (reading, visitor) = (&args.reading, &mut blocked);
    let mut answered = answers::ask(file, reading, filter, progress, visitor, |_, _, _, _| {})?;
    let given = answered.length().map(|_| Given {
        blocked,
        start: answered.states.first_time(),
        names: std::mem::take(answered.states.names_mut()),
    });
    Ok((given, answered.ended))
}

/// The name that most of the time is of.
fn most(names: &Names, sums: &BTreeMap<NameId, i64>) -> Cell {
    let most = sums.iter().max_by_key(|(_, time)| **time);
    match most.map(|(name, _)| names.text(*name).to_string()) {
        Some(name) if !name.is_empty() => Cell::Text(name),
        _ => Cell::None,
    }
}

fn reason(names: &Names, state: GoState, reason: NameId) -> Cell {
    match state {
        GoState::Syscall => Cell::text("system call"),
        _ if reason.is_empty() => Cell::None,
        _ => Cell::text(names.text(reason).to_string()),
    }
}

fn places(names: &Names, blocked: &Blocked) -> Table {
    let mut table = Table::new(
        "Where goroutines waited",
        [
            Column::number("total_ns", "in sum"),
            Column::count("count").heading("times"),
            Column::count("still").heading("still").rank(4),
            Column::number("p50_ns", "p50").rank(5),
            Column::number("p99_ns", "p99").rank(3),
            Column::number("longest_ns", "longest").rank(1),
            Column::number("queue", "queue").rank(2),
            Column::count("most").rank(6),
            Column::text("reason").least(8),
            Column::name("place").heading("at").least(22),
            Column::name("function")
                .heading("goroutines")
                .least(16)
                .rank(7),
            Column::name("woken_by")
                .heading("woken by")
                .least(12)
                .rank(4),
            Column::number("handed_on", "handed on").rank(8),
            Column::text("convoy").least(6).rank(6),
            Column::text("source").only_programs(),
        ],
    );
    for place in blocked.places() {
        table.row(row(names, place));
    }
    table
}

fn row(names: &Names, place: &Place) -> [Cell; 15] {
    let quantile = |part| Cell::duration(place.times.quantile(part));
    let count = place.times.len();
    [
        Cell::Duration(i64::try_from(place.total()).unwrap_or(i64::MAX)),
        Cell::Count(count + place.still),
        Cell::Count(place.still),
        quantile(0.5),
        quantile(0.99),
        Cell::Duration(place.longest_wait()),
        Cell::Float(place.mean_queue()),
        Cell::Count(place.most),
        reason(names, place.state, place.reason),
        answer::place(names, place.stack),
        most(names, &place.who),
        most(names, &place.wakers),
        Cell::Share(place.handed_on as f64 / count.max(1) as f64),
        Cell::Flag(place.is_convoy()),
        answer::source(names, place.stack),
    ]
}

fn longest(given: &Given) -> Table {
    let mut table = Table::new(
        "The longest waits",
        [
            Column::number("ns", "time"),
            Column::name("goroutine").least(18),
            Column::number("from_ns", "from").rank(2),
            Column::number("to_ns", "to").rank(4),
            Column::text("reason").least(8),
            Column::name("place").heading("at").least(22),
            Column::name("woken_by")
                .heading("woken by")
                .least(14)
                .rank(1),
            Column::text("open").heading("goes on").least(4).rank(3),
            Column::text("source").only_programs(),
        ],
    );
    let names = &given.names;
    let text = |name| names.text(name).to_string();
    for wait in given.blocked.longest() {
        let Wait { from, to, .. } = *wait;
        let waker = wait.waker.map(|(id, name)| goroutine(id, &text(name)));
        table.row([
            Cell::Duration(wait.nanoseconds()),
            Cell::text(goroutine(wait.id, &text(wait.name))),
            Cell::Time(since(given.start, from)),
            Cell::Time(since(given.start, to)),
            reason(names, wait.state, wait.reason),
            answer::place(names, wait.stack),
            waker.map_or(Cell::None, Cell::Text),
            Cell::Flag(wait.open),
            answer::source(names, wait.stack),
        ]);
    }
    table
}
