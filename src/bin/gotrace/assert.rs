//! `gotrace assert`: whether what must hold of a trace does.

use super::figures::{self, number, shown, unit};
use super::filter;
use super::help;
use super::output::{self, Failure, Failures, Result};
use super::parallel;
use super::progress::Progress;
use super::reading::Reading;
use super::table::{self, Cell, Column, Printer, Table};
use anstyle::{AnsiColor, Style};
use gotrace::analysis::metrics::{MetricCondition, MetricNames, Metrics};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gotrace assert 'stw.max < 1ms' 'goroutines.leaked == 0' app.trace
  gotrace assert 'task(\"checkout\").p99 < 200ms' --junit report.xml app.trace
  gotrace assert --rules limits.txt --github app.trace
  gotrace assert --list app.trace | grep checkout

Exit status:
  0  all assertions hold
  1  a trace is damaged or cannot be read
  2  bad usage, an expression that is none
  3  an assertion does not hold

Names of metrics, with .count .total .mean .min .p50 .p90 .p99 .p999
.max or .share (of the processors' time) behind them:
  task(\"type\") task region(\"type\") region   sched(\"func\") sched
  running(\"func\") waiting(\"func\") syscall(\"func\") blocked(\"reason\")
  stw(\"reason\") stw stw.stopping stw.range   gc.mark gc.assist
alone:
  duration events generations procs busy goroutines goroutines.max
  goroutines.leaked tasks.unfinished gc.cycles gc.rate gc.share
  stw.rate heap.max heap.goal.max runnable.max idle.share
  syscall.stolen syscall.stolen.rate timers.rate convoy.share
  greedy.max";

const SCHEMA: &str = include_str!("../../docs/schema/assert.txt");

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Check that expressions over the numbers of a trace hold: for CI.
///
/// A name without a value, as of a task that the trace does not have, fails the assertion, unless a ?
/// is behind it: 'task("checkout").p99? < 200ms'.
#[derive(clap::Args)]
#[command(after_help = help::page(EXAMPLES))]
#[command(after_long_help = filter::times_explained(EXAMPLES, SCHEMA))]
#[command(override_usage = "gotrace assert [OPTIONS] <EXPR>... <FILE>\n       \
    gotrace assert --rules <RULES> [EXPR]... <FILE>\n       \
    gotrace assert --list <FILE>")]
pub struct Args {
    /// What must hold, as in 'stw.max < 1ms && gc.share < 25%'; and last the trace, where "-" is the
    /// standard input
    // One list: what is optional cannot come before what is required.
    #[arg(required = true, value_name = "EXPR... FILE")]
    words: Vec<OsString>,

    /// More of them: a file with an expression on each line; empty lines and lines that begin with #
    /// are skipped
    #[arg(long, value_name = "RULES")]
    rules: Option<PathBuf>,

    /// Another trace of which all must hold
    #[arg(long, value_name = "FILE")]
    trace: Vec<PathBuf>,

    /// Print every metric that the trace has a value for, and check nothing
    #[arg(long, conflicts_with_all = ["rules", "junit", "github"])]
    list: bool,

    /// Print JSON: an object for each trace on a line
    #[arg(long, conflicts_with = "csv")]
    json: bool,

    /// Print CSV, with a line of headings and a line for each value
    #[arg(long, conflicts_with = "github")]
    csv: bool,

    /// Also write a report in the XML of JUnit
    #[arg(long, value_name = "XML")]
    junit: Option<PathBuf>,

    /// Also print what fails as annotations of GitHub Actions
    #[arg(long)]
    github: bool,

    #[command(flatten)]
    reading: Reading,

    // The last: its heading reaches to the end.
    #[command(flatten)]
    filter: filter::Times,
}

fn condition(text: &str) -> std::result::Result<MetricCondition, String> {
    MetricCondition::parse(text, &MetricNames).map_err(|error| format!("{error:#}"))
}

/// What is known of a trace. This is the schema of the JSON form.
#[derive(Serialize)]
struct Judged {
    file: String,
    ok: bool,
    error: Option<String>,
    assertions: Vec<Assertion>,
    /// What to report on the way out.
    #[serde(skip)]
    failure: Option<Failure>,
}

#[derive(Serialize)]
struct Assertion {
    expression: String,
    ok: bool,
    missing: Option<String>,
    values: Vec<Named>,
    /// The values for people.
    #[serde(skip)]
    says: String,
}

#[derive(Serialize)]
struct Named {
    name: String,
    value: Option<serde_json::Number>,
    unit: &'static str,
}

pub fn run(args: Args) -> Result {
    let (mut expressions, mut files) = (args.words.clone(), args.trace.clone());
    files.splice(0..0, expressions.pop().map(PathBuf::from));
    let mut conditions = Vec::new();
    for text in expressions {
        let text = text.to_string_lossy();
        match condition(&text) {
            Ok(condition) => conditions.push(condition),
            Err(why) => help::refuse("assert", &format!("'{text}' is no assertion: {why}")),
        }
    }
    if let Some(rules) = &args.rules {
        conditions.extend(read_rules(rules)?);
    }
    if args.list && !conditions.is_empty() {
        help::refuse("assert", "--list takes no expressions");
    }
    if conditions.is_empty() && !args.list {
        // An expression without a trace behind it is taken for the name of one.
        let usage = "an expression and a trace are needed: gotrace assert EXPR FILE";
        help::refuse("assert", usage);
    }
    let filter = args.filter.of("assert");
    let progress = Progress::new(&files, false);
    let several = files.len() > 1;
    let mut out = table::printer(&table::Options::for_programs(args.json, args.csv), several);
    let work = |file: &PathBuf| -> Result<(Judged, Option<Metrics>)> {
        let (metrics, failure) = figures::read(file, &args.reading, &filter, &progress)?;
        let judged = judge(file, &conditions, &metrics, failure);
        Ok((judged, args.list.then_some(metrics)))
    };
    let mut suites = Report::new("gotrace");
    let mut wrong = false;
    let mut failures = Failures::default();
    parallel::in_order(&files, None, work, |file, result| -> Result {
        let (judged, metrics) = match result {
            Ok(done) => done,
            Err(failure) => (Judged::of(file, Some(failure)), None),
        };
        if let Some(metrics) = metrics {
            list(&mut out, file, &metrics)?;
        } else {
            wrong |= judged.assertions.iter().any(|assertion| !assertion.ok);
            suites.add_test_suite(suite(&judged));
            if args.json {
                output::json_line(out.out(), &judged)?;
            } else if args.csv {
                out.table(file, &rows(&judged))?;
            } else {
                print(out.out(), file, &judged, several)?;
            }
            if args.github {
                annotate(out.out(), &judged)?;
            }
        }
        if let Some(failure) = judged.failure {
            // Both streams may be one terminal.
            out.flush()?;
            failures.add(failure);
        }
        Ok(())
    })?;
    drop(progress);
    out.flush()?;
    if let Some(path) = &args.junit {
        output::write_file(path, |mut file| {
            let xml = suites.to_string().map_err(std::io::Error::other)?;
            file.write_all(xml.as_bytes())
        })?;
    }
    failures.result()?;
    match wrong {
        true => Err(Failure::Asserted),
        false => Ok(()),
    }
}

/// The expressions of a file.
fn read_rules(path: &Path) -> Result<Vec<MetricCondition>> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::file(path, e))?;
    let mut rules = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match condition(line) {
            Ok(rule) => rules.push(rule),
            Err(why) => {
                let name = output::name(path);
                help::refuse("assert", &format!("{name}: line {}: {why}", n + 1));
            }
        }
    }
    Ok(rules)
}

impl Judged {
    fn of(file: &Path, failure: Option<Failure>) -> Judged {
        Judged {
            file: file.to_string_lossy().into_owned(),
            ok: failure.is_none(),
            error: failure.as_ref().map(|failure| failure.to_string()),
            assertions: Vec::new(),
            failure,
        }
    }
}

fn judge(
    file: &Path,
    conditions: &[MetricCondition],
    metrics: &Metrics,
    failure: Option<Failure>,
) -> Judged {
    let mut judged = Judged::of(file, failure);
    for condition in conditions {
        let decided = condition.decide(metrics);
        let mut values: Vec<Named> = Vec::new();
        let mut says: Vec<String> = Vec::new();
        for test in condition.tests() {
            // A name that is in two tests has one value.
            if values.iter().any(|known| known.name == test.name_text) {
                continue;
            }
            let value = metrics.value(test.name);
            says.push(match value {
                Some(value) => format!("{} = {}", test.name_text, shown(value, test.ty)),
                None => format!("{} has no value", test.name_text),
            });
            values.push(Named {
                name: test.name_text.to_owned(),
                value: value.map(number),
                unit: unit(test.ty),
            });
        }
        let ok = decided == Ok(true);
        judged.ok &= ok;
        judged.assertions.push(Assertion {
            expression: condition.text().to_owned(),
            ok,
            missing: decided.err().map(|test| test.name_text.to_owned()),
            values,
            says: says.join(", "),
        });
    }
    judged
}

fn print(out: &mut impl Write, file: &Path, judged: &Judged, several: bool) -> Result {
    if several {
        writeln!(out, "{}:", output::name(file))?;
    }
    let width = judged
        .assertions
        .iter()
        .map(|a| a.expression.chars().count());
    let width = width.max().unwrap_or(0).min(48);
    for assertion in &judged.assertions {
        let (style, word) = match assertion.ok {
            true => (GOOD, "ok  "),
            false => (BAD, "FAIL"),
        };
        writeln!(
            out,
            "{style}{word}{style:#}  {:width$}  {}",
            assertion.expression, assertion.says
        )?;
    }
    Ok(())
}

/// The assertions as rows, one for each value, for CSV.
fn rows(judged: &Judged) -> Table {
    let columns = [
        Column::text("expression"),
        Column::text("ok"),
        Column::text("name"),
        Column::count("value"),
        Column::text("unit"),
    ];
    let mut table = Table::new("", columns);
    for assertion in &judged.assertions {
        for named in &assertion.values {
            let value = named.value.as_ref();
            table.row([
                Cell::text(&*assertion.expression),
                Cell::Flag(assertion.ok),
                Cell::text(&*named.name),
                value.map_or(Cell::None, |value| Cell::Number(value.clone())),
                Cell::text(named.unit),
            ]);
        }
    }
    table
}

/// Prints the metrics of a trace.
fn list(out: &mut Printer, file: &Path, metrics: &Metrics) -> Result {
    if out.options().is_text() {
        for (name, ty, value) in metrics.all() {
            writeln!(out.out(), "{name} = {}", shown(value, ty))?;
        }
        return Ok(());
    }
    let columns = [
        Column::text("name"),
        Column::count("value"),
        Column::text("unit"),
    ];
    let mut table = Table::new("", columns);
    for (name, ty, value) in metrics.all() {
        let value = Cell::Number(number(value));
        table.row([Cell::text(name), value, Cell::text(unit(ty))]);
    }
    out.table(file, &table)
}

/// Annotations as GitHub Actions finds them in the output.
fn annotate(out: &mut impl Write, judged: &Judged) -> Result {
    let data = |text: &str| {
        let text = text.replace('%', "%25").replace('\r', "%0D");
        text.replace('\n', "%0A")
    };
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut line = |title: &str, text: &str| {
        let (file, title, text) = (property(&judged.file), property(title), data(text));
        writeln!(out, "::error file={file},title={title}::{text}")
    };
    if let Some(error) = &judged.error {
        line("trace", error)?;
    }
    for assertion in judged.assertions.iter().filter(|assertion| !assertion.ok) {
        line(&assertion.expression, &assertion.says)?;
    }
    Ok(())
}

/// A trace as a suite of tests.
fn suite(judged: &Judged) -> TestSuite {
    let mut suite = TestSuite::new(judged.file.as_str());
    if let Some(error) = &judged.error {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(error.as_str());
        suite.add_test_case(TestCase::new("the trace can be read", status));
    }
    for assertion in &judged.assertions {
        let status = if assertion.ok {
            TestCaseStatus::success()
        } else {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(assertion.says.as_str());
            status.set_description(assertion.says.as_str());
            status
        };
        let mut case = TestCase::new(assertion.expression.as_str(), status);
        case.set_classname("gotrace.assert");
        case.set_system_out(assertion.says.as_str());
        suite.add_test_case(case);
    }
    suite
}
