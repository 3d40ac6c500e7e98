//! `gotrace doctor`: what is wrong with a program, as far as its trace shows.

use super::figures;
use super::filter;
use super::help;
use super::output::{self, Failure, Failures, Result};
use super::parallel;
use super::progress::Progress;
use super::reading::Reading;
use super::table::{self, Cell, Column, Table};
use anstyle::{AnsiColor, Style};
use gotrace::analysis::doctor::{Finding, Limit, Limits, Measure, Rule, Severity, examine};
use gotrace::select::Filter;
use gotrace::select::expr::{Type, parse_value};
use serde::Serialize;
use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gotrace doctor app.trace
  gotrace doctor --json /var/traces/*.trace | jq .findings[].rule
  gotrace doctor --limit stw-long=1ms,10ms --fail error app.trace

Rules, with their limits for a warning and for an error:
  stw-long 10ms,50ms               stw-often 5,50 (a second)
  runnable-pile 250ms,500ms        idle-while-runnable 10%,30%
  sched-latency 50ms,200ms         greedy 100ms,500ms
  gc-share 20%,35%                 mutex-convoy 0%,20%
  leak 100,1000                    syscall-churn 1000,10000 (a second)
  timer-storm 5000,50000 (a second and processor)
  slow-network 100ms,1s            task-unfinished 0,10
  quality (notes only)
The documentation of gotrace::analysis::doctor::Rule has the reasons.";

const SCHEMA: &str = include_str!("../../docs/schema/doctor.txt");

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default();
const FAINT: Style = Style::new().dimmed();

/// Say what is wrong with a program, as far as its trace shows.
///
/// Looks for what makes Go programs slow: long pauses, goroutines that wait for processors or hog them,
/// garbage collection, convoys, leaks, timers and system calls; and for what makes the trace bad
/// evidence. Each finding has its number, its limit, where and when, and the command that shows more.
/// Healthy programs have none but notes.
///
/// Findings do not make the exit status 3, unless --fail says so.
#[derive(clap::Args)]
#[command(after_help = help::page(EXAMPLES))]
#[command(after_long_help = filter::times_explained(EXAMPLES, SCHEMA))]
pub struct Args {
    /// Change the limits of a rule: for a warning, and for an error
    #[arg(long, value_name = "RULE=WARNING,ERROR", value_parser = limit)]
    limit: Vec<(Rule, Limit)>,

    /// Exit with status 3 if there is a finding as bad as this, or worse
    #[arg(long, value_name = "SEVERITY", value_parser = ["note", "warning", "error"])]
    fail: Option<String>,

    /// Print JSON: an object for each trace on a line
    #[arg(long, conflicts_with = "csv")]
    json: bool,

    /// Print CSV, with a line of headings and a line for each finding
    #[arg(long)]
    csv: bool,

    #[command(flatten)]
    reading: Reading,

    /// The traces; "-" is the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    // The last: its heading reaches to the end.
    #[command(flatten)]
    filter: filter::Times,
}

/// A rule with its limits: `stw-long=1ms,10ms`.
fn limit(text: &str) -> std::result::Result<(Rule, Limit), String> {
    let (name, limits) = text.split_once('=').ok_or("expected RULE=WARNING,ERROR")?;
    let rules = || {
        let names: Vec<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
        format!("there is no such rule: there are {}", names.join(", "))
    };
    let rule = Rule::named(name).ok_or_else(rules)?;
    let (warning, error) = limits
        .split_once(',')
        .ok_or("expected two limits: WARNING,ERROR")?;
    let value = |text: &str| -> std::result::Result<u64, String> {
        let (ty, scale) = match rule.measure() {
            Measure::Nanoseconds => (Type::Duration, 1),
            Measure::Millionths => (Type::Number, 1_000_000),
            Measure::PerSecond => (Type::Number, 1_000),
            _ => (Type::Number, 1),
        };
        let value = parse_value(text, ty).map_err(|error| error.to_string())?;
        let scaled = value
            .billionths()
            .checked_mul(scale)
            .map(|n| n / 1_000_000_000);
        scaled
            .and_then(|n| u64::try_from(n).ok())
            .ok_or_else(|| "the number is too large".to_owned())
    };
    let limit = Limit {
        warning: value(warning)?,
        error: value(error)?,
    };
    if limit.warning > limit.error {
        return Err("the limit for a warning is above that for an error".to_owned());
    }
    Ok((rule, limit))
}

/// What is found in a trace. This is the schema of the JSON form.
#[derive(Serialize)]
struct Examined {
    file: String,
    error: Option<String>,
    findings: Vec<Found>,
    #[serde(skip)]
    failure: Option<Failure>,
    /// How long the trace is, and how many events it has.
    #[serde(skip)]
    size: (u64, u64),
    #[serde(skip)]
    start: i64,
}

#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    finding: Finding,
    measure: Measure,
}

pub fn run(args: Args) -> Result {
    let mut limits = Limits::new();
    for (rule, limit) in &args.limit {
        limits = limits.with(*rule, *limit);
    }
    let filter = args.filter.of("doctor");
    let progress = Progress::new(&args.files, false);
    let mut out = table::printer(&table::Options::for_programs(args.json, args.csv), false);
    let work = |file: &PathBuf| look(file, &args, &limits, &filter, &progress);
    let mut worst = None;
    let mut failures = Failures::default();
    parallel::in_order(&args.files, None, work, |file, result| -> Result {
        let examined = match result {
            Ok(examined) => examined,
            Err(failure) => {
                out.flush()?;
                failures.add(failure);
                return Ok(());
            }
        };
        worst = worst.max(
            examined
                .findings
                .iter()
                .map(|found| found.finding.severity)
                .max(),
        );
        if args.json {
            output::json_line(out.out(), &examined)?;
        } else if args.csv {
            out.table(file, &rows(&examined))?;
        } else {
            out.gap()?;
            print(out.out(), file, &examined)?;
        }
        if let Some(failure) = examined.failure {
            // Both streams may be one terminal.
            out.flush()?;
            failures.add(failure);
        }
        Ok(())
    })?;
    drop(progress);
    out.flush()?;
    let least = match args.fail.as_deref() {
        Some("note") => Some(Severity::Note),
        Some("warning") => Some(Severity::Warning),
        Some(_) => Some(Severity::Error),
        None => None,
    };
    failures.result()?;
    match least.is_some() && worst >= least {
        true => Err(Failure::Asserted),
        false => Ok(()),
    }
}

fn look(
    file: &Path,
    args: &Args,
    limits: &Limits,
    filter: &Filter,
    progress: &Progress,
) -> Result<Examined> {
    let (metrics, failure) = figures::read(file, &args.reading, filter, progress)?;
    let findings = examine(&metrics, limits);
    let with_measure = |finding: Finding| Found {
        measure: finding.rule.measure(),
        finding,
    };
    Ok(Examined {
        file: file.to_string_lossy().into_owned(),
        error: failure.as_ref().map(|failure| failure.to_string()),
        findings: findings.into_iter().map(with_measure).collect(),
        failure,
        size: (metrics.duration(), metrics.events()),
        start: metrics.states().first_time().map_or(0, |time| time.0),
    })
}

/// The findings as rows, for CSV.
fn rows(examined: &Examined) -> Table {
    let columns = [
        Column::text("severity"),
        Column::text("rule"),
        Column::count("number"),
        Column::text("measure"),
        Column::count("limit"),
        Column::count("time_ns"),
        Column::count("goroutine"),
        Column::name("function"),
        Column::name("at"),
        Column::text("message"),
        Column::text("command"),
    ];
    let mut table = Table::new("", columns);
    for Found { finding, measure } in &examined.findings {
        let leaf = finding.stack.first();
        table.row([
            Cell::text(finding.severity.name()),
            Cell::text(finding.rule.name()),
            Cell::Count(finding.number),
            Cell::text(measure.name()),
            Cell::Count(finding.limit),
            finding.at.map_or(Cell::None, |time| Cell::Signed(time.0)),
            finding
                .goroutine
                .map_or(Cell::None, |id| Cell::Count(id.get())),
            Cell::text(&*finding.function),
            leaf.map_or(Cell::None, |leaf| Cell::text(&**leaf)),
            Cell::text(&*finding.message),
            Cell::text(&*finding.command),
        ]);
    }
    table
}

fn print(out: &mut impl Write, file: &Path, examined: &Examined) -> Result {
    let (time, events) = examined.size;
    let time = table::duration(i64::try_from(time).unwrap_or(i64::MAX));
    writeln!(out, "{}: {time}, {events} events", output::name(file))?;
    if examined.findings.is_empty() {
        return Ok(writeln!(out, "nothing is found")?);
    }
    let width = table::figure_width();
    let name = shell_word(&examined.file);
    for Found { finding, measure } in &examined.findings {
        let style = match finding.severity {
            Severity::Error => ERROR,
            Severity::Warning => WARNING,
            Severity::Note => NOTE,
        };
        let (severity, rule) = (finding.severity, finding.rule);
        writeln!(out)?;
        write!(out, "{style}{severity}{style:#} {rule}: ")?;
        // Two for the colon and the space.
        let used = severity.name().len() + rule.name().len() + 3;
        wrap(out, &finding.message, used, width)?;
        let number = measured(finding.number, *measure);
        let limit = measured(finding.limit, *measure);
        writeln!(out, "  {number}, the limit is {limit}")?;
        if let Some(at) = finding.at {
            let since = table::duration(at.0.saturating_sub(examined.start));
            writeln!(out, "  at {since} (@{at})")?;
        }
        if !finding.stack.is_empty() {
            const FRAMES: usize = 8;
            for function in finding.stack.iter().take(FRAMES) {
                writeln!(
                    out,
                    "  {FAINT}  {}{FAINT:#}",
                    table::function(function, width - 4)
                )?;
            }
            if let Some(more) = finding.stack.len().checked_sub(FRAMES + 1) {
                writeln!(out, "  {FAINT}  and {} more{FAINT:#}", more + 1)?;
            }
        }
        // Whole, to be copied.
        writeln!(out, "  see: {}", finding.command.replace("FILE", &name))?;
    }
    Ok(())
}

/// A number for people.
fn measured(number: u64, measure: Measure) -> String {
    match measure {
        Measure::Nanoseconds => table::duration(i64::try_from(number).unwrap_or(i64::MAX)),
        Measure::Millionths => table::share(number as f64 / 1e6),
        Measure::PerSecond => format!("{} a second", number as f64 / 1e3),
        _ => number.to_string(),
    }
}

/// Words in lines of at most `width`, of which the first has `used` already.
fn wrap(out: &mut impl Write, text: &str, used: usize, width: usize) -> Result {
    let mut column = used;
    for (n, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if n > 0 && column + 1 + length > width {
            write!(out, "\n  {word}")?;
            column = 2 + length;
        } else {
            let space = if n > 0 { " " } else { "" };
            write!(out, "{space}{word}")?;
            column += space.len() + length;
        }
    }
    Ok(writeln!(out)?)
}

/// A name as a shell takes it.
fn shell_word(name: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+=@%:,".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        return Cow::Borrowed(name);
    }
    let name = table::printable(name);
    Cow::Owned(format!("'{}'", name.replace('\'', r"'\''")))
}
