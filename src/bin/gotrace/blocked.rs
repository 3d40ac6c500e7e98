//! `gotrace blocked`: where goroutines wait, and for what.

use super::answer::{self, Asked, Page, pages, since};
use super::help;
use super::output::Result;
use super::progress::Progress;
use super::reading::Reading;
use super::table::{Cell, Column, Options, Table, goroutine};
use gotrace::analysis::blocked::{Blocked, Place, Wait};
use gotrace::analysis::names::NameId;
use gotrace::analysis::states::States;
use gotrace::event::GoState;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gotrace blocked app.trace
  gotrace blocked --all --csv app.trace > blocked.csv
  gotrace blocked --json app.trace | jq '.places[] | select(.convoy)'";

const SCHEMA: &str = "\
JSON schema:
  Each line is an object for one trace: file, places, longest.
  A place has total_ns, count, still (goroutines that wait there at
  the end), p50_ns, p99_ns, longest_ns, queue (how many waited at a
  time on average, while any did), most (at a time), reason (\"system
  call\", or in Go's words), place, function (that those who waited
  the longest in sum started with), woken_by (that those started with
  who woke them), handed_on (the part of the waits that one ended
  who had waited there itself), convoy (true or false), source (the
  file and line of the place).
  A single wait has ns, goroutine, from_ns and to_ns (since the trace
  began), reason, place, source, woken_by, open (it goes on when
  the trace ends). With --csv there are the places. Members may be added.";

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
#[command(after_long_help = help::page(&format!("{EXAMPLES}\n\n{SCHEMA}")))]
pub struct Args {
    /// Show the runtime's own goroutines, too
    #[arg(long)]
    system: bool,

    #[command(flatten)]
    output: Options,

    #[command(flatten)]
    reading: Reading,

    /// The traces; "-" is the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub fn run(args: Args) -> Result {
    pages(&args.files, &args.output, false, |file, progress| {
        ask(file, &args, progress)
    })
}

fn ask(file: &Path, args: &Args, progress: &Progress) -> Asked<Page> {
    // All of them would be all waits of the trace.
    let most = args.output.limit().min(1000);
    let mut states = States::new();
    let mut blocked = match args.system {
        true => Blocked::new(most).with_system(),
        false => Blocked::new(most),
    };
    let ended = args.reading.events(file, progress, |event| {
        states.add(event, &mut blocked);
        Ok(true)
    })?;
    states.finish(&mut blocked);
    if states.first_time().is_none() {
        return Ok((None, ended));
    }
    let mut page = Page::default();
    page.table("places", places(&states, &blocked));
    page.table("longest", longest(&states, &blocked));
    Ok((Some(page), ended))
}

/// The name that most of the time is of.
fn most(states: &States, sums: &BTreeMap<NameId, i64>) -> Cell {
    let most = sums.iter().max_by_key(|(_, time)| **time);
    match most.map(|(name, _)| states.names().text(*name).to_string()) {
        Some(name) if !name.is_empty() => Cell::Text(name),
        _ => Cell::None,
    }
}

fn reason(states: &States, state: GoState, reason: NameId) -> Cell {
    match state {
        GoState::Syscall => Cell::text("system call"),
        _ if reason.is_empty() => Cell::None,
        _ => Cell::text(states.names().text(reason).to_string()),
    }
}

fn places(states: &States, blocked: &Blocked) -> Table {
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
        table.row(row(states, place));
    }
    table
}

fn row(states: &States, place: &Place) -> [Cell; 15] {
    let quantile = |part| Cell::duration(place.times.quantile(part));
    let count = place.times.len();
    [
        Cell::Duration(i64::try_from(place.total()).unwrap_or(i64::MAX)),
        Cell::Count(count + place.still),
        Cell::Count(place.still),
        quantile(0.5),
        quantile(0.99),
        Cell::duration(place.longest.map(|wait| wait.nanoseconds())),
        Cell::Float(place.mean_queue()),
        Cell::Count(place.most),
        reason(states, place.state, place.reason),
        answer::place(states.names(), place.stack),
        most(states, &place.who),
        most(states, &place.wakers),
        Cell::Share(place.handed_on as f64 / count.max(1) as f64),
        Cell::Flag(place.is_convoy()),
        answer::source(states.names(), place.stack),
    ]
}

fn longest(states: &States, blocked: &Blocked) -> Table {
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
    let names = states.names();
    let text = |name| names.text(name).to_string();
    for wait in blocked.longest() {
        let Wait { from, to, .. } = *wait;
        let waker = wait.waker.map(|(id, name)| goroutine(id, &text(name)));
        table.row([
            Cell::Duration(wait.nanoseconds()),
            Cell::text(goroutine(wait.id, &text(wait.name))),
            Cell::Time(since(states.first_time(), from)),
            Cell::Time(since(states.first_time(), to)),
            reason(states, wait.state, wait.reason),
            answer::place(names, wait.stack),
            waker.map_or(Cell::None, Cell::Text),
            Cell::Flag(wait.open),
            answer::source(names, wait.stack),
        ]);
    }
    table
}
