//! The options that say which events a person wants to see: the same for every command that reads
//! events.

use super::events::Source;
use super::help;
use super::input::Memory;
use super::output::{Failure, Result as Outcome, is_stdin};
use super::progress::Progress;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gotrace::select::{EventCondition, EventNames, Filter, Moment, Selection, last_time};
use gotrace::{EventKind, GoId, ProcId, ThreadId, Time, Trace};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// From when to when.
// No documentation of the structs themselves: it would take the place of the command's.
#[derive(clap::Args, Debug)]
#[group(id = "times")]
#[command(next_help_heading = HEADING)]
pub struct Times {
    /// Only from this time on: see TIME in --help
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<Moment>,

    /// Only before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<Moment>,

    /// Only the last of the trace, so long before its end: 2s, 300ms
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "from")]
    last: Option<Duration>,
}

/// What selects events, and in analyses what counts: of several of one kind, one is enough.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = HEADING)]
pub struct Common {
    /// Only this goroutine: events in its context or about it, times of its own; of several, any. As for
    /// all filters but times
    #[arg(long, short = 'g', value_name = "ID")]
    goroutine: Vec<u64>,

    /// Only this proc: events in its context or about it, times spent on it
    #[arg(long, short = 'p', value_name = "ID")]
    proc: Vec<u64>,

    /// Only this thread: events and times on it
    #[arg(long, short = 'm', value_name = "ID")]
    thread: Vec<u64>,

    /// Only tasks of this type, with the regions and logs that are part of them, and times spent for
    /// them
    #[arg(long, value_name = "TYPE")]
    task: Vec<String>,

    /// Only regions of this type, and times spent in them
    #[arg(long, value_name = "TYPE")]
    region: Vec<String>,

    /// Only events, and times, with a function on the stack in whose name this text is
    #[arg(long, value_name = "TEXT")]
    stack: Vec<String>,

    /// Only events for which this expression holds, and what they end, as in
    /// 'waiting("network") > 10ms': see EXPR in --help
    #[arg(long = "where", value_name = "EXPR", value_parser = condition)]
    condition: Option<EventCondition>,

    #[command(flatten)]
    times: Times,
}

/// The filters of events.
#[derive(clap::Args, Debug)]
#[group(id = "filters")]
#[command(next_help_heading = HEADING)]
pub struct Options {
    /// Only events of this kind; of several, any
    #[arg(long, value_name = "KIND", value_parser = kinds(), ignore_case = true)]
    kind: Vec<EventKind>,

    #[command(flatten)]
    common: Common,
}

/// What [`Common`] has, for what it cannot be used with.
pub const COMMON: [&str; 8] = [
    "goroutine",
    "proc",
    "thread",
    "task",
    "region",
    "stack",
    "condition",
    "times",
];

const HEADING: &str = "Filters (all that are given must fit)";

/// What the filters mean for an answer, for its help.
const MEANING: &str = "\
With --from, --to and --last, that part of the trace counts as if it
were the whole, with the states of everything at its beginning known
from what comes before. What goes on across an end of it is cut there;
tasks and regions that end in it count with all of their time. The
other filters say whose time counts, or what ends with which event.";

/// What TIME is.
pub const TIME: &str = r#"TIME is one of:
  20ms, 1.5s, 300us, 2m, ...    after the trace's first event
  @1251353149760                as events have it (Time=1251353149760)
  2026-11-20T23:36:43.5Z        on the wall clock, as "gotrace stat"
                                prints it (since Go 1.25)"#;

/// What EXPR is.
pub const EXPR: &str = r#"EXPR compares what an event has with values, by == != < <= > >=
=~ (a regular expression) !~ contains in, joined with && || ! ( ):
  kind == "GoBlock" && reason == "network" && g in 1..20
  running > 10ms || runnable > 1ms || waiting("chan send") > 1s
  task("checkout") > 300ms      as the task ends
  name =~ "^main\." && stack contains "(*conn).serve"
Names: kind time g p m name func file stack from to reason task
  task.id region category message range label metric value heap
  heap.goal procs goroutines duration running runnable waiting
  syscall task("x") region("x") range("x") waiting("x") stw gc"#;

/// The long help of a command whose answer all filters select for.
pub fn explained(examples: &str, schema: &str) -> String {
    help::page(&format!(
        "{examples}\n\n{MEANING}\n\n{TIME}\n\n{EXPR}\n\n{schema}"
    ))
}

/// The long help of a command that takes only times.
pub fn times_explained(examples: &str, schema: &str) -> String {
    help::page(format!("{examples}\n\n{TIME}\n\n{schema}").trim_end())
}

/// What to say of a filter that a command does not have.
pub fn not_there(name: &str, command: Option<&str>) -> Option<String> {
    const NAMES: [&str; 11] = [
        "-g",
        "--goroutine",
        "-p",
        "--proc",
        "-m",
        "--thread",
        "--task",
        "--region",
        "--stack",
        "--where",
        "--kind",
    ];
    const TIMES: [&str; 3] = ["--from", "--to", "--last"];
    let why = match command? {
        "top" if NAMES.contains(&name) || TIMES.contains(&name) => {
            return Some(
                "\"gotrace top\" is about the whole program, as it runs: it takes no filters"
                    .to_owned(),
            );
        }
        "gc" | "doctor" | "assert" | "diff" | "summary" | "export" => "is about the whole program",
        "explain" => "is about a task, a region or a goroutine, and all that it waited for",
        _ => return None,
    };
    let command = command?;
    let is_one = NAMES.contains(&name);
    is_one.then(|| {
        format!("\"gotrace {command}\" {why}: of the filters it takes --from, --to and --last")
    })
}

/// A length of time.
pub fn duration(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(Moment::SinceStart(duration)) => Ok(duration),
        Ok(_) => Err("expected a length of time, as 1.5s or 20ms".to_owned()),
        Err(_) => Err("expected a length of time with its unit, as 1.5s or 20ms".to_owned()),
    }
}

/// An expression. What is wrong with it is shown below its column.
fn condition(text: &str) -> Result<EventCondition, String> {
    EventCondition::parse(text, &EventNames).map_err(|error| format!("{error:#}"))
}

/// The kinds by name, so that help and completions list them.
fn kinds() -> impl TypedValueParser<Value = EventKind> {
    PossibleValuesParser::new(EventKind::ALL.iter().map(|kind| kind.name())).try_map(|name| {
        let mut kinds = EventKind::ALL.iter().copied();
        let found = kinds.find(|k| k.name().eq_ignore_ascii_case(&name));
        found.ok_or("there is no such kind")
    })
}

impl Times {
    fn add_to(&self, mut filter: Filter) -> Result<Filter, String> {
        if let Some(from) = self.from {
            filter = filter.with_from(from);
        }
        if let Some(to) = self.to {
            filter = filter.with_to(to);
        }
        if let Some(last) = self.last {
            filter = filter.with_last(last);
        }
        match (self.from, self.to) {
            (Some(from), Some(to)) if filter.has_empty_span() => Err(format!(
                "--from {from} is not before --to {to}: no event can be between them"
            )),
            _ => Ok(filter),
        }
    }

    /// The filter for this command, which ends here if nothing can pass it.
    pub fn of(&self, command: &str) -> Filter {
        self.add_to(Filter::new())
            .unwrap_or_else(|why| help::refuse(command, &why))
    }
}

impl Common {
    fn add_to(&self, mut filter: Filter) -> Result<Filter, String> {
        /// The number of what there is none of is no id.
        macro_rules! ids {
            ($values:expr, $id:ident, $with:ident) => {
                for raw in $values {
                    let id = $id::new(*raw).ok_or_else(|| format!("{raw} is not an id"))?;
                    filter = filter.$with(id);
                }
            };
        }
        ids!(&self.goroutine, GoId, with_goroutine);
        ids!(&self.proc, ProcId, with_proc);
        ids!(&self.thread, ThreadId, with_thread);
        for task in &self.task {
            filter = filter.with_task(task);
        }
        for region in &self.region {
            filter = filter.with_region(region);
        }
        for part in &self.stack {
            filter = filter.with_stack(part);
        }
        if let Some(condition) = &self.condition {
            filter = filter.with_condition(condition.clone());
        }
        self.times.add_to(filter)
    }

    /// The filter for this command, which ends here if nothing can pass it, or if it was given one of
    /// `not`, which cannot select anything there, `because` of something.
    pub fn of(&self, command: &str, not: &[&str], because: &str) -> Filter {
        let given = [
            ("--proc", !self.proc.is_empty()),
            ("--thread", !self.thread.is_empty()),
            ("--region", !self.region.is_empty()),
            ("--where", self.condition.is_some()),
            ("--from", self.times.from.is_some()),
            ("--to", self.times.to.is_some()),
            ("--last", self.times.last.is_some()),
        ];
        let mut given = given.into_iter().filter(|(_, is_given)| *is_given);
        if let Some((name, _)) = given.find(|(name, _)| not.contains(name)) {
            let why = format!("{name} selects nothing in \"gotrace {command}\": {because}");
            help::refuse(command, &why);
        }
        self.add_to(Filter::new())
            .unwrap_or_else(|why| help::refuse(command, &why))
    }
}

impl Options {
    /// The filter; an error says why no event of any trace passes it.
    pub fn filter(&self) -> Result<Filter, String> {
        let mut filter = Filter::new();
        for kind in &self.kind {
            filter = filter.with_kind(*kind);
        }
        self.common.add_to(filter)
    }
}

/// The filter at work on a source that is open. If it asks when the trace ends, what is not mapped is
/// read twice.
pub fn selection<'f>(
    filter: &'f Filter,
    source: &Source,
    path: &Path,
    memory: &Memory,
) -> Outcome<Selection<'f>> {
    let selection = filter.selection();
    let end = end(filter, source, path, memory)?;
    // Without an event, nothing is asked.
    Ok(end.map_or(selection.clone(), |end| selection.with_end(end)))
}

/// When the trace ends, if the filter asks that, and if the trace has an event.
pub fn end(
    filter: &Filter,
    source: &Source,
    path: &Path,
    memory: &Memory,
) -> Outcome<Option<Time>> {
    if !filter.needs_end() {
        return Ok(None);
    }
    match source {
        Source::Mapped(mapped) => {
            let trace = Trace::new(mapped.bytes()).map_err(|e| Failure::trace(path, e))?;
            Ok(last_time(&trace))
        }
        Source::Stream(_) if is_stdin(path) => {
            let error = "--last needs a trace that can be read twice: save it in a file first";
            Err(Failure::file(path, error))
        }
        Source::Stream(_) => {
            let none = Progress::new(&[] as &[PathBuf], false);
            let mut reader = memory.open_events(path, &none)?;
            let mut last = None;
            // As far as it can be read; the reading that counts says what is wrong.
            while let Ok(Some(event)) = reader.next() {
                last = Some(event.time());
            }
            Ok(last)
        }
    }
}
