//! `gotrace diff`: what changed from some traces to others.

use super::answers::scoped;
use super::filter;
use super::help;
use super::output::{self, Failure, Failures, Result};
use super::parallel;
use super::progress::Progress;
use super::reading::{Ended, Reading};
use super::table::{self, Cell, Column, Table};
use gotrace::analysis::diff::{
    Change, Comparison, ENOUGH, Method, Options, Profile, Unit, Value, compare, parse_work,
};
use gotrace::select::Filter;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gotrace diff before.trace after.trace
  gotrace diff runs/v1/ runs/v2/
  gotrace diff --before a1.trace a2.trace --after b1.trace b2.trace
  gotrace diff --per task:request v1/ v2/

Of a folder, all files are taken for traces.
With six traces and more on each side, each trace counts once
(Mann-Whitney U test). With fewer, the traces are compared by blocks of
100 ms, and the result is only indicative: what differs from run to run
is not seen. Of many comparisons a few differ by chance; p is judged
with that in mind (Benjamini-Hochberg). What is found is at least 5 %,
and in all at least 0.5 % of the time, or 1 ms of a duration.

time is nanoseconds a second, of all goroutines together; rate is how
often a second; with --per, for each task or region that ended.";

const SCHEMA: &str = include_str!("../../docs/schema/diff.txt");

/// Say what changed from some traces to others, and whether that is more than chance.
///
/// Compares how long goroutines were in each state by the function that they began with, where and why
/// they waited, tasks, regions, stop-the-world and garbage collection. Prints what is found to differ,
/// the largest difference in all first; with --all, everything.
#[derive(clap::Args)]
#[command(after_help = help::page(EXAMPLES))]
#[command(after_long_help = filter::times_explained(EXAMPLES, SCHEMA))]
pub struct Args {
    /// Two traces, or two folders of traces
    #[arg(value_name = "A B", num_args = 2, required_unless_present = "before")]
    #[arg(conflicts_with_all = ["before", "after"])]
    sides: Vec<PathBuf>,

    /// Traces of the first side
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "after")]
    before: Vec<PathBuf>,

    /// Traces of the second side
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "before")]
    after: Vec<PathBuf>,

    /// Divide by the tasks or regions of a type that ended, not by seconds: task:TYPE or region:TYPE
    #[arg(long, value_name = "WORK", value_parser = work)]
    per: Option<Unit>,

    /// Exit with status 3 if anything is found to take more time
    #[arg(long)]
    fail: bool,

    #[command(flatten)]
    output: table::Options,

    #[command(flatten)]
    reading: Reading,

    // The last: its heading reaches to the end.
    #[command(flatten)]
    filter: filter::Times,
}

fn work(text: &str) -> std::result::Result<Unit, String> {
    parse_work(text).ok_or_else(|| "expected task:TYPE or region:TYPE".to_owned())
}

pub fn run(args: Args) -> Result {
    let (before, after) = match args.sides.as_slice() {
        [a, b] => (files(a)?, files(b)?),
        _ => (args.before.clone(), args.after.clone()),
    };
    let all: Vec<PathBuf> = before.iter().chain(&after).cloned().collect();
    let filter = args.filter.of("diff");
    let progress = Progress::new(&all, false);
    let mut profiles = Vec::new();
    let mut failures = Failures::default();
    let work = |file: &PathBuf| profile(file, &args.reading, &filter, &progress);
    parallel::in_order(&all, None, work, |_, profile| -> Result {
        let (profile, early) = profile?;
        profiles.push(profile);
        early.into_iter().for_each(|early| failures.add(early));
        Ok(())
    })?;
    drop(progress);
    let second = profiles.split_off(before.len().min(profiles.len()));
    let mut options = Options::default();
    options.per = args.per.clone();
    let comparison = compare(&profiles, &second, &options);
    print(&args, &comparison)?;
    failures.result()?;
    let is_worse = |change: &Change| change.found && change.effect > 0.0;
    if args.fail && comparison.changes.iter().any(is_worse) {
        return Err(Failure::Asserted);
    }
    Ok(())
}

/// The traces of a side: those in a folder, by name.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |e: std::io::Error| Failure::file(path, e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let name = file
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let is_hidden = name.is_none_or(|name| name.starts_with('.'));
        if file.is_file() && !is_hidden {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Failure::file(path, "there is no trace in this folder"));
    }
    Ok(files)
}

/// A trace that is damaged is not compared: what is missing would look like a change. One that only ends
/// early is, as far as it goes.
fn profile(
    file: &Path,
    reading: &Reading,
    filter: &Filter,
    progress: &Progress,
) -> Result<(Profile, Ended)> {
    let mut profile = Profile::new();
    let (_, ended) = scoped(file, reading, filter, progress, |event, scope| {
        profile.add_in(scope, event)
    })?;
    let early = match ended {
        None => None,
        Some(early @ Failure::Ending { .. }) => Some(early),
        Some(damage) => return Err(damage),
    };
    profile.finish();
    Ok((profile, early))
}

/// How many rows there are without --top and --all, if not all is found: those of which nothing is.
fn print(args: &Args, comparison: &Comparison) -> Result {
    let mut out = output::verdict(output::styled());
    let (a, b) = comparison.traces;
    let show_all =
        args.output.all || !args.output.is_text() || comparison.method == Method::Nothing;
    let rows: Vec<&Change> = comparison
        .changes
        .iter()
        .filter(|change| show_all || change.found)
        .collect();
    if args.output.json {
        #[derive(Serialize)]
        struct About {
            method: Method,
            before: usize,
            after: usize,
        }
        let about = About {
            method: comparison.method,
            before: a,
            after: b,
        };
        output::json_line(&mut out, &about)?;
        for change in rows.iter().take(args.output.limit()) {
            output::json_line(&mut out, change)?;
        }
        return Ok(out.flush()?);
    }
    if args.output.is_text() {
        let how = match comparison.method {
            Method::Traces => "each trace counts once".to_owned(),
            Method::Blocks => format!(
                "by blocks of 100 ms: only indicative, {ENOUGH} traces a side would be better"
            ),
            _ => "too short for a test: nothing says what is chance".to_owned(),
        };
        let plural = |n: usize| format!("{n} trace{}", if n == 1 { "" } else { "s" });
        writeln!(out, "{} before, {} after, {how}", plural(a), plural(b))?;
        if rows.is_empty() {
            let tested = comparison
                .changes
                .iter()
                .filter(|change| change.p.is_some());
            writeln!(out, "no change is found, of {} compared", tested.count())?;
            return Ok(out.flush()?);
        }
        out.flush()?;
    }
    drop(out);
    let mut table = Table::new(
        "",
        [
            Column::text("what").least(28),
            Column::text("value").least(4),
            Column::number("before", "before"),
            Column::number("after", "after"),
            Column::number("change", "change"),
            Column::number("effect_ns", "in all/s").rank(1),
            Column::number("p", "p").rank(2),
        ],
    );
    for change in rows {
        table.row([
            Cell::text(change.unit.to_string()),
            Cell::text(change.value.name()),
            cell(change.before, change.value),
            cell(change.after, change.value),
            ratio(change),
            Cell::Duration(change.effect as i64),
            change.p.map_or(Cell::None, |p| Cell::text(probability(p))),
        ]);
    }
    let mut printer = table::printer(&args.output, false);
    printer.table(Path::new(""), &table)?;
    printer.flush()
}

fn cell(value: f64, kind: Value) -> Cell {
    match kind {
        Value::Rate => Cell::Float(value),
        _ => Cell::Duration(value as i64),
    }
}

fn ratio(change: &Change) -> Cell {
    match change.ratio() {
        Some(ratio) => Cell::text(format!("{:+.1} %", (ratio - 1.0) * 100.0)),
        None => Cell::text("new"),
    }
}

fn probability(p: f64) -> String {
    if p < 0.0001 {
        "<0.0001".to_owned()
    } else {
        format!("{p:.4}")
    }
}
