//! `gotrace explain`: why something took as long as it did.

use super::answer::{self, Asked, print_stack};
use super::filter;
use super::help;
use super::output::{self, Failure, Result};
use super::progress::Progress;
use super::reading::Reading;
use super::table::{
    Cell, Column, FAINT, INDENT, Options, Printer, TITLE, Table, duration, figure_width, goroutine,
    printer,
};
use super::timeline::{self, Line, Mark, bar};
use gotrace::analysis::explain::{
    Explained, Explainer, Explanation, Finder, Found, Spent, Step, Subject, What,
};
use gotrace::analysis::names::Names;
use gotrace::event::GoState;
use gotrace::select::{Filter, Verdict, last_time};
use gotrace::{GoId, TaskId, Time, Trace};
use std::cmp::Reverse;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What is below a wait.
const STACK: &str = "                ";

const SCHEMA: &str = include_str!("../../docs/schema/explain.txt");

/// Explain why a task, a region or a goroutine took as long as it did.
///
/// Shows what the time went to: running, waiting for a processor, waiting for other goroutines or
/// for the outside, system calls; the goroutines that worked for it, with a timeline; where they
/// waited and who woke them; and the critical path: what was being done at each moment, or was being
/// waited for. Where a goroutine waited for another, the path shows what that one did meanwhile: these are
/// the others.
///
/// Without --task, --region or --goroutine it explains the slowest task of the trace, or region if there
/// are no tasks. The trace is read twice; what is no file is held in memory for that.
#[derive(clap::Args)]
#[command(after_help = help::page(EXAMPLES))]
#[command(after_long_help = filter::times_explained(EXAMPLES, SCHEMA))]
pub struct Args {
    /// The task with this id, or the slowest of this type
    #[arg(long, value_name = "ID|TYPE", conflicts_with_all = ["region", "goroutine"])]
    task: Option<String>,

    /// The slowest region of this type
    #[arg(long, value_name = "TYPE", conflicts_with = "goroutine")]
    region: Option<String>,

    /// This goroutine, from its creation to its end
    #[arg(long, short = 'g', value_name = "ID")]
    goroutine: Option<u64>,

    /// Explain the N slowest that fit
    #[arg(long, value_name = "N", default_value_t = 1)]
    slowest: usize,

    #[command(flatten)]
    output: Options,

    #[command(flatten)]
    reading: Reading,

    /// The traces; "-" is the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    // The last: its heading reaches to the end.
    #[command(flatten)]
    filter: filter::Times,
}

const EXAMPLES: &str = "\
Examples:
  gotrace explain app.trace
  gotrace explain --task checkout --slowest 3 app.trace
  gotrace explain --task 4711 app.trace
  gotrace explain --region 'parse' app.trace
  gotrace explain -g 17 app.trace
  gotrace explain --json app.trace | jq .path_times";

impl Args {
    /// What to look for: the first of which there is any.
    fn subjects(&self) -> Vec<Subject> {
        if let Some(task) = &self.task {
            let id = task.parse().ok().and_then(TaskId::new);
            let of_type = Subject::Tasks(Some(task.clone()));
            return id.map(Subject::Task).into_iter().chain([of_type]).collect();
        }
        if let Some(region) = &self.region {
            return vec![Subject::Regions(Some(region.clone()))];
        }
        match self.goroutine.map(GoId::new) {
            Some(Some(id)) => vec![Subject::Goroutine(id)],
            Some(None) => help::refuse("explain", "that is not an id of a goroutine"),
            None => vec![Subject::Tasks(None), Subject::Regions(None)],
        }
    }

    /// Why nothing was found.
    fn nothing(&self) -> String {
        match (&self.task, &self.region, self.goroutine) {
            (Some(task), _, _) => format!("there is no task with the id or of the type {task:?}"),
            (_, Some(region), _) => format!("there is no region of the type {region:?}"),
            (_, _, Some(id)) => format!("there is no goroutine {id}"),
            _ => "there are no tasks and no regions: name a goroutine with -g ID".to_owned(),
        }
    }
}

pub fn run(args: Args) -> Result {
    let subjects = args.subjects();
    let filter = args.filter.of("explain");
    let progress = Progress::new(args.files.iter().chain(&args.files), false);
    let mut printer = printer(&args.output, args.files.len() > 1);
    let ask = |file: &Path| explain(file, &args, &subjects, &filter, &progress);
    let show = |printer: &mut Printer, file: &Path, (start, explained): (_, Explained)| {
        printer.begin(file)?;
        let view = View {
            file,
            start,
            names: &explained.names,
            options: &args.output,
        };
        for (n, explanation) in explained.list.iter().enumerate() {
            if args.output.json {
                output::json_line(printer.out(), &view.json(explanation))?;
            } else if args.output.csv {
                printer.table(file, &view.waits(explanation))?;
            } else {
                if n > 0 {
                    printer.gap()?;
                }
                view.print(printer.out(), explanation)?;
            }
        }
        Ok(())
    };
    answer::each_trace(&args.files, &mut printer, ask, show)
}

/// Reads a trace, twice. What is damaged is explained as far as it can be read.
fn explain(
    file: &Path,
    args: &Args,
    subjects: &[Subject],
    filter: &Filter,
    progress: &Progress,
) -> Asked<(Option<Time>, Explained)> {
    let whole = args.reading.whole(file, progress)?;
    let most = args.slowest.max(1);
    let mut finders: Vec<Finder> = subjects
        .iter()
        .map(|subject| Finder::new(subject.clone(), most))
        .collect();
    // What ends in the part that is asked for.
    let nothing_yet = Time(i64::MAX);
    finders
        .iter_mut()
        .for_each(|finder| finder.set_from(nothing_yet));
    let mut selection = filter.selection();
    if filter.needs_end()
        && let Some(end) = Trace::new(whole.bytes())
            .ok()
            .and_then(|trace| last_time(&trace))
    {
        selection = selection.with_end(end);
    }
    let (mut start, mut has_begun) = (None, false);
    let reading = &args.reading;
    let ended = reading.events_of(file, &whole, true, progress, |event| {
        start = start.or(Some(event.time()));
        let verdict = selection.sees(event);
        match verdict.map_err(|error| Failure::file(file, error))? {
            Verdict::Over => return Ok(false),
            Verdict::Selected if !has_begun => {
                has_begun = true;
                finders
                    .iter_mut()
                    .for_each(|finder| finder.set_from(event.time()));
            }
            _ => {}
        }
        finders.iter_mut().for_each(|finder| finder.add(event));
        Ok(true)
    })?;
    let mut found = finders.into_iter().map(Finder::finish);
    let Some(found) = found.find(|found| !found.is_empty()) else {
        // What is damaged may lack it for that.
        return Err(ended.unwrap_or_else(|| Failure::file(file, args.nothing())));
    };
    let mut explainer = Explainer::new(found);
    // What it says of the same damage is known.
    args.reading
        .events_of(file, &whole, false, progress, |event| {
            explainer.add(event);
            Ok(!explainer.is_done())
        })?;
    Ok((Some((start, explainer.finish())), ended))
}

/// Whose explanations are shown, and how.
pub struct View<'a> {
    pub file: &'a Path,
    start: Option<Time>,
    pub names: &'a Names,
    options: &'a Options,
}

impl View<'_> {
    pub fn text(&self, id: gotrace::analysis::names::NameId) -> String {
        self.names.text(id).to_string()
    }

    pub fn since(&self, time: Time) -> i64 {
        answer::since(self.start, time)
    }

    fn spent(&self, spent: Spent) -> String {
        answer::state(spent.state, &self.text(spent.reason))
    }

    fn name(&self, id: GoId, name: gotrace::analysis::names::NameId) -> String {
        goroutine(id, &self.text(name))
    }

    /// The headline: `task 17 checkout: 12.345ms, from 1.234567s on`.
    fn title(&self, found: &Found, workers: usize) -> String {
        let what = match found.what {
            What::Task => match found.task {
                Some(id) => format!("task {id} {}", found.ty),
                None => format!("task {}", found.ty),
            },
            What::Region => format!("region {}", found.ty),
            What::Goroutine => found
                .goroutine
                .map_or(String::new(), |id| format!("goroutine {id}")),
            _ => String::new(),
        };
        let from = Cell::Time(self.since(found.start));
        let of = match (found.what, found.goroutine) {
            (What::Region, Some(id)) => format!(", in G{id}"),
            _ => String::new(),
        };
        let goroutines = match workers {
            1 => "1 goroutine".to_owned(),
            n => format!("{n} goroutines"),
        };
        let what = super::table::printable(&what).into_owned();
        let length = duration(found.duration());
        let from = from.shown();
        format!("{what}: {length}, from {from} on{of}, {goroutines}")
    }

    fn print(&self, out: &mut impl Write, explanation: &Explanation) -> Result {
        let found = &explanation.found;
        let limit = self.options.limit();
        let width = super::table::terminal_width();
        let title = self.title(found, explanation.workers.len());
        writeln!(out, "{TITLE}{}{TITLE:#}", answer::line_of(&title))?;
        let beyond = match (found.has_start, found.has_end) {
            (true, true) => None,
            (false, true) => Some("it began before the trace"),
            (true, false) => Some("it did not end within the trace"),
            (false, false) => Some("it began before the trace and did not end within it"),
        };
        if let Some(beyond) = beyond {
            writeln!(out, "{INDENT}{beyond}")?;
        }
        if let Some(creator) = &explanation.creator {
            let who = self.name(creator.id, creator.name);
            let at = answer::place(self.names, creator.stack);
            let line = format!("{INDENT}created by {who} at {}", at.shown());
            writeln!(out, "{}", answer::line_of(&line))?;
        }
        writeln!(out)?;
        self.path_times(explanation).print(out, limit, width)?;
        writeln!(out)?;
        self.workers(explanation).print(out, limit, width)?;
        writeln!(out)?;
        writeln!(out, "{TITLE}Timeline{TITLE:#}")?;
        let lines = self.lines(explanation, limit);
        timeline::print(out, (found.start, found.end), &lines, figure_width())?;
        writeln!(out)?;
        self.print_waits(out, explanation)?;
        writeln!(out)?;
        self.path(explanation).print(out, usize::MAX, width)?;
        Ok(())
    }

    fn path_times(&self, explanation: &Explanation) -> Table {
        let title = "Where the time went (critical path)";
        let mut table = Table::new(
            title,
            [
                Column::text("spent").heading("spent on").least(34),
                Column::number("ns", "time"),
                Column::number("share", "share"),
                Column::text("bar").heading("").rank(1),
            ],
        );
        let mut times: std::collections::BTreeMap<(Spent, bool, bool), i64> = Default::default();
        for step in &explanation.path {
            let key = (step.spent(), step.depth > 0, step.goroutine.is_none());
            *times.entry(key).or_insert(0) += step.nanoseconds();
        }
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_by_key(|(key, ns)| (Reverse(*ns), *key));
        let whole = explanation.found.duration().max(1) as f64;
        for ((spent, by_others, nobody), ns) in times {
            let what = match (self.spent(spent), by_others, nobody) {
                (_, false, true) => "no goroutine at work".to_owned(),
                (what, false, _) => what,
                (what, true, _) => format!("others: {what}"),
            };
            let part = ns as f64 / whole;
            table.row([
                Cell::text(what),
                Cell::Duration(ns),
                Cell::Share(part),
                Cell::text(bar(part, 20)),
            ]);
        }
        table
    }

    fn workers(&self, explanation: &Explanation) -> Table {
        let mut table = Table::new(
            "Goroutines that worked for it",
            [
                Column::name("goroutine"),
                Column::number("ns", "at work"),
                Column::number("running_ns", "running"),
                Column::number("runnable_ns", "runnable").rank(1),
                Column::number("waiting_ns", "waiting"),
                Column::number("syscall_ns", "syscall").rank(2),
                Column::text("mostly").heading("waited mostly for").rank(3),
            ],
        );
        for worker in &explanation.workers {
            let of = |state: GoState| {
                let times = worker
                    .times
                    .iter()
                    .filter(|(spent, _)| spent.state == state);
                Cell::Duration(times.map(|(_, ns)| ns).sum())
            };
            let waits = worker.times.iter();
            let waits = waits.filter(|(spent, _)| spent.state == GoState::Waiting);
            let mostly = waits.max_by_key(|(_, ns)| **ns);
            table.row([
                Cell::text(self.name(worker.id, worker.name)),
                Cell::Duration(worker.nanoseconds()),
                of(GoState::Running),
                of(GoState::Runnable),
                of(GoState::Waiting),
                of(GoState::Syscall),
                mostly.map_or(Cell::None, |(spent, _)| Cell::text(self.text(spent.reason))),
            ]);
        }
        table
    }

    /// The timeline: the path, then who worked for it, by when they began.
    fn lines(&self, explanation: &Explanation, limit: usize) -> Vec<Line> {
        let mark = |spent: Spent| Mark::of(spent.state, &self.text(spent.reason));
        let path = explanation
            .path
            .iter()
            .filter(|step| step.goroutine.is_some());
        let path = path.filter_map(|step| Some((step.from, step.to, mark(step.spent())?)));
        let mut lines = vec![Line {
            label: "critical path".to_owned(),
            stays: path.collect(),
        }];
        let mut workers: Vec<_> = explanation.workers.iter().take(limit).collect();
        workers.sort_by_key(|worker| (worker.at_work.first().copied(), worker.id));
        for worker in workers {
            let stays = worker.stays.iter();
            lines.push(Line {
                label: self.name(worker.id, worker.name),
                stays: stays
                    .filter_map(|stay| Some((stay.from, stay.to, mark(stay.spent)?)))
                    .collect(),
            });
        }
        lines
    }

    /// Where they waited.
    fn waits(&self, explanation: &Explanation) -> Table {
        let mut table = Table::new(
            "",
            [
                Column::number("total_ns", "time"),
                Column::count("count").heading("times"),
                Column::number("longest_ns", "longest"),
                Column::text("state"),
                Column::text("reason"),
                Column::name("goroutine"),
                Column::name("woken_by"),
                Column::name("place"),
                Column::text("source").only_programs(),
            ],
        );
        for wait in &explanation.waits {
            let waker = wait.waker.map(|(id, name, _)| self.name(id, name));
            table.row([
                Cell::Duration(wait.total),
                Cell::Count(wait.count),
                Cell::Duration(wait.longest),
                Cell::text(wait.spent.state.name()),
                Cell::text(self.text(wait.spent.reason)),
                Cell::text(self.name(wait.who, wait.name)),
                waker.map_or(Cell::None, Cell::text),
                answer::place(self.names, wait.stack),
                answer::source(self.names, wait.stack),
            ]);
        }
        table
    }

    fn print_waits(&self, out: &mut impl Write, explanation: &Explanation) -> Result {
        writeln!(out, "{TITLE}Where it waited{TITLE:#}")?;
        let (waits, frames) = match self.options {
            Options { all: true, .. } => (usize::MAX, usize::MAX),
            Options { top: Some(top), .. } => (*top, 3),
            _ => (8, 3),
        };
        for wait in explanation.waits.iter().take(waits) {
            let times = match wait.count {
                1 => "once".to_owned(),
                n => format!("{n} times, longest {}", duration(wait.longest)),
            };
            let waker = match wait.waker {
                Some((id, name, _)) => format!(", woken by {}", self.name(id, name)),
                None => String::new(),
            };
            let total = duration(wait.total);
            let what = format!("{INDENT}{total:>10}  {}, {times}", self.spent(wait.spent));
            writeln!(out, "{}", answer::line_of(&what))?;
            let who = format!("{STACK}{}{waker}", self.name(wait.who, wait.name));
            writeln!(out, "{}", answer::line_of(&who))?;
            print_stack(out, self.names, wait.stack, frames, STACK)?;
        }
        let rest = explanation.waits.len().saturating_sub(waits);
        if explanation.waits.is_empty() {
            writeln!(out, "{INDENT}nowhere")?;
        } else if rest > 0 {
            writeln!(out, "{INDENT}{FAINT}({rest} more with --all){FAINT:#}")?;
        }
        Ok(())
    }

    /// The critical path, step by step: the longest, in order of time.
    fn path(&self, explanation: &Explanation) -> Table {
        let limit = self.options.limit();
        let mut by_length: Vec<&Step> = explanation.path.iter().collect();
        by_length.sort_by_key(|step| Reverse(step.nanoseconds()));
        let hidden = by_length.len().saturating_sub(limit);
        by_length.truncate(limit);
        by_length.sort_by_key(|step| step.from);
        let title = match hidden {
            0 => "Critical path".to_owned(),
            _ => format!("Critical path: its {limit} longest steps"),
        };
        let mut table = Table::new(
            title,
            [
                Column::number("from_ns", "from"),
                Column::number("ns", "time"),
                Column::name("goroutine"),
                Column::text("spent").heading("does").least(20),
                Column::name("place").heading("at").least(18).rank(1),
            ],
        );
        for step in by_length {
            let who = step.goroutine.map(|id| self.name(id, step.name));
            let what = match (who.is_some(), step.depth) {
                (false, 0) => "no goroutine at work".to_owned(),
                _ => self.spent(step.spent()),
            };
            table.row([
                Cell::text(format!(
                    "+{}",
                    duration(step.from.since(explanation.found.start))
                )),
                Cell::Duration(step.nanoseconds()),
                Cell::text(match step.depth {
                    0 => who.unwrap_or_else(|| "-".to_owned()),
                    depth => format!(
                        "{}\u{2514} {}",
                        " ".repeat(depth - 1),
                        who.unwrap_or_default()
                    ),
                }),
                Cell::text(what),
                answer::place(self.names, step.stack),
            ]);
        }
        table.beyond(hidden as u64);
        table
    }
}
