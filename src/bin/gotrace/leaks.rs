//! `gotrace leaks`: what was never seen again.

use super::answer::{self, Asked, Page, pages, place, since, source};
use super::answers::{self, Answered};
use super::filter;
use super::help;
use super::output::Result;
use super::progress::Progress;
use super::reading::Reading;
use super::table::{Cell, Column, Options, Table, duration, goroutine};
use gotrace::analysis::leaks::Leaks;
use gotrace::analysis::names::NameId;
use gotrace::analysis::scope::Scope;
use gotrace::analysis::states::States;
use gotrace::event::GoState;
use gotrace::select::Filter;
use gotrace::select::Moment;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gotrace leaks app.trace
  gotrace leaks --min-age 30s app.trace
  gotrace leaks --json app.trace | jq '.goroutines[] | select(.new > 100)'";

const SCHEMA: &str = include_str!("../../docs/schema/leaks.txt");

/// Show goroutines that were never seen again, and tasks and regions that did not end.
///
/// Lists the goroutines that wait or are in a system call when the trace ends, and have been for at least
/// half of the trace, by the function they started with and the place where they wait. \"new\" is how many of
/// them were created within the trace: a number that grows is a leak; one that does not is a pool, or a
/// server that waits for work. Those that can never run again, as on a nil channel, come first.
///
/// A short trace cannot say more than that nothing happened to a goroutine while it was taken. The
/// runtime's own goroutines are left out.
#[derive(clap::Args)]
#[command(after_help = help::page(EXAMPLES))]
#[command(after_long_help = filter::explained(EXAMPLES, SCHEMA))]
pub struct Args {
    /// Show goroutines that have waited this long, and tasks and regions that are this old: half of
    /// the trace without this option
    #[arg(long, value_name = "TIME", value_parser = age)]
    min_age: Option<i64>,

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

    // The last: its heading reaches to the end.
    #[command(flatten)]
    filter: filter::Common,
}

/// A length of time, written as times since the start are: `1.5s`, `300us`.
fn age(text: &str) -> std::result::Result<i64, String> {
    match text.parse() {
        Ok(Moment::SinceStart(time)) => {
            i64::try_from(time.as_nanos()).map_err(|_| "it is too long".to_owned())
        }
        Ok(_) => Err("expected a length of time, as 1.5s or 300ms".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

pub fn run(args: Args) -> Result {
    let filter = args
        .filter
        .of("leaks", &["--where"], "what leaks has not ended");
    pages(&args.files, &args.output, |file, progress| {
        ask(file, &args, &filter, progress)
    })
}

fn ask(file: &Path, args: &Args, filter: &Filter, progress: &Progress) -> Asked<Page> {
    let mut leaks = match args.system {
        true => Leaks::new().with_system(),
        false => Leaks::new(),
    };
    let (reading, visitor) = (&args.reading, &mut leaks);
    let answered = answers::ask(file, reading, filter, progress, visitor, |_, _, _, _| {})?;
    let Some(length) = answered.length() else {
        return Ok((None, answered.ended));
    };
    let Answered {
        states,
        mut scope,
        ended,
    } = answered;
    let at_least = args.min_age.unwrap_or(length / 2);
    let mut page = Page::default();
    page.fact("duration_ns", "", Cell::Duration(length));
    page.fact("min_age_ns", "", Cell::Duration(at_least));
    let (goroutines, waiting) = goroutines(&states, &leaks, at_least);
    let text = match waiting {
        1 => "1 goroutine".to_owned(),
        n => format!("{n} goroutines"),
    };
    let (age, length) = (duration(at_least), duration(length));
    let text = format!("{text} waiting for {age} or longer at the end, after {length}");
    page.figure(answer::line_of(&text));
    page.fact("waiting", "", Cell::Count(waiting));
    page.table("goroutines", goroutines);
    page.table("tasks", tasks(&states, &mut scope, at_least));
    page.table("regions", regions(&states, &leaks, at_least));
    Ok((Some(page), ended))
}

fn goroutines(states: &States, leaks: &Leaks, at_least: i64) -> (Table, u64) {
    let mut table = Table::new(
        "Goroutines never seen again",
        [
            Column::count("count").heading("number"),
            Column::count("new"),
            Column::name("function").heading("goroutines").least(16),
            Column::text("state").least(7).rank(7),
            Column::text("reason").heading("wait for").least(8),
            Column::text("forever").least(7).rank(6),
            Column::name("place").heading("at").least(18),
            Column::text("created_at")
                .heading("created at")
                .least(16)
                .rank(4),
            Column::text("oldest").heading("oldest").least(4).rank(5),
            Column::number("since_ns", "since").rank(3),
            Column::number("age_ns", "oldest for").rank(1),
            Column::text("source").only_programs(),
        ],
    );
    let mut waiting = 0;
    let names = states.names();
    for group in leaks.groups(at_least) {
        waiting += group.count;
        let name = names.text(group.name).to_string();
        table.row([
            Cell::Count(group.count),
            Cell::Count(group.new),
            if name.is_empty() {
                Cell::None
            } else {
                Cell::Text(name)
            },
            Cell::text(group.state.name()),
            Cell::text(match group.state {
                GoState::Syscall => "system call".to_owned(),
                _ => names.text(group.reason).to_string(),
            }),
            Cell::Flag(group.is_forever),
            place(names, group.stack),
            place(names, group.created_at),
            Cell::text(goroutine(group.oldest, "")),
            Cell::Time(since(states.first_time(), group.since)),
            Cell::Duration(group.nanoseconds),
            source(names, group.stack),
        ]);
    }
    (table, waiting)
}

fn tasks(states: &States, scope: &mut Scope<'_>, at_least: i64) -> Table {
    let mut table = Table::new(
        "Tasks that did not end",
        [
            Column::text("type"),
            Column::count("count").heading("number"),
            Column::count("oldest"),
            Column::number("since_ns", "since"),
            Column::number("age_ns", "for"),
            Column::name("goroutine").heading("begun by").rank(1),
        ],
    );
    let mut types: BTreeMap<NameId, Vec<_>> = BTreeMap::new();
    for task in states.tasks() {
        let is_old = states.last_time().since(task.from) >= at_least;
        if is_old && scope.counts_task(states, task) {
            types.entry(task.ty).or_default().push(task);
        }
    }
    let mut types: Vec<_> = types.into_values().collect();
    types.sort_by_key(|tasks| std::cmp::Reverse(tasks.len()));
    for tasks in types {
        let Some(oldest) = tasks.iter().min_by_key(|task| task.from) else {
            continue;
        };
        let by = oldest.goroutine.map(|id| {
            let name = states
                .goroutine(id)
                .map(|g| states.names().text(g.name).to_string());
            goroutine(id, &name.unwrap_or_default())
        });
        table.row([
            Cell::text(states.names().text(oldest.ty).to_string()),
            Cell::Count(tasks.len() as u64),
            Cell::Count(oldest.id.get()),
            Cell::Time(since(states.first_time(), oldest.from)),
            Cell::Duration(states.last_time().since(oldest.from)),
            by.map_or(Cell::None, Cell::Text),
        ]);
    }
    table
}

fn regions(states: &States, leaks: &Leaks, at_least: i64) -> Table {
    let mut table = Table::new(
        "Regions that did not end",
        [
            Column::text("type"),
            Column::count("count").heading("number"),
            Column::count("dead").heading("of them dead").rank(2),
            Column::name("goroutine").heading("oldest in"),
            Column::number("since_ns", "since"),
            Column::number("age_ns", "for"),
            Column::name("place").heading("begun at").rank(1),
        ],
    );
    let mut types: BTreeMap<NameId, Vec<_>> = BTreeMap::new();
    for region in &leaks.regions {
        if region.is_dead || states.last_time().since(region.from) >= at_least {
            types.entry(region.ty).or_default().push(region);
        }
    }
    let mut types: Vec<_> = types.into_values().collect();
    types.sort_by_key(|regions| std::cmp::Reverse(regions.len()));
    let names = states.names();
    for regions in types {
        let Some(oldest) = regions.iter().min_by_key(|region| region.from) else {
            continue;
        };
        let dead = regions.iter().filter(|region| region.is_dead).count();
        table.row([
            Cell::text(names.text(oldest.ty).to_string()),
            Cell::Count(regions.len() as u64),
            Cell::Count(dead as u64),
            Cell::text(goroutine(
                oldest.goroutine,
                &names.text(oldest.name).to_string(),
            )),
            Cell::Time(since(states.first_time(), oldest.from)),
            Cell::Duration(states.last_time().since(oldest.from)),
            place(names, oldest.stack),
        ]);
    }
    table
}
