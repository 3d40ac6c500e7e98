//! The options that say which events a person wants to see: the same for every command that reads
//! events.

use super::events::Source;
use super::input::Memory;
use super::output::{Failure, Result as Outcome, is_stdin};
use super::progress::Progress;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gotrace::select::{EventCondition, EventNames, Filter, Moment, Selection, last_time};
use gotrace::{EventKind, GoId, ProcId, ThreadId, Trace};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An event is shown if it passes every kind of filter that is given; of several of one kind, one is
/// enough.
#[derive(clap::Args, Debug)]
#[group(id = "filters")]
#[command(next_help_heading = "Filters (all that are given must fit)")]
pub struct Options {
    /// Only events of this kind; of several, any. As for all filters but times
    #[arg(long, value_name = "KIND", value_parser = kinds(), ignore_case = true)]
    kind: Vec<EventKind>,

    /// Only events in this goroutine's context, or about it
    #[arg(long, short = 'g', value_name = "ID")]
    goroutine: Vec<u64>,

    /// Only events in this proc's context, or about it
    #[arg(long, short = 'p', value_name = "ID")]
    proc: Vec<u64>,

    /// Only events on this thread
    #[arg(long, short = 'm', value_name = "ID")]
    thread: Vec<u64>,

    /// Only tasks of this type, with the regions and logs that are part of them
    #[arg(long, value_name = "TYPE")]
    task: Vec<String>,

    /// Only regions of this type
    #[arg(long, value_name = "TYPE")]
    region: Vec<String>,

    /// Only events at this time and later: see TIME below
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<Moment>,

    /// Only events before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<Moment>,

    /// Only the last of the trace, so long before its end: 2s, 300ms
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "from")]
    last: Option<Duration>,

    /// Only events with a function on their stack in whose name this text is
    #[arg(long, value_name = "TEXT")]
    stack: Vec<String>,

    /// Only events for which this expression holds, as in 'waiting("network") > 10ms': see EXPR below
    #[arg(long = "where", value_name = "EXPR", value_parser = condition)]
    condition: Option<EventCondition>,
}

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

impl Options {
    /// The filter; an error says why no event of any trace passes it.
    pub fn filter(&self) -> Result<Filter, String> {
        let mut filter = Filter::new();
        for kind in &self.kind {
            filter = filter.with_kind(*kind);
        }
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
        if let Some(from) = self.from {
            filter = filter.with_from(from);
        }
        if let Some(to) = self.to {
            filter = filter.with_to(to);
        }
        if let Some(last) = self.last {
            filter = filter.with_last(last);
        }
        for part in &self.stack {
            filter = filter.with_stack(part);
        }
        if let Some(condition) = &self.condition {
            filter = filter.with_condition(condition.clone());
        }
        match (self.from, self.to) {
            (Some(from), Some(to)) if filter.has_empty_span() => Err(format!(
                "--from {from} is not before --to {to}: no event can be between them"
            )),
            _ => Ok(filter),
        }
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
    if !filter.needs_end() {
        return Ok(selection);
    }
    let end = match source {
        Source::Mapped(mapped) => {
            let trace = Trace::new(mapped.bytes()).map_err(|e| Failure::trace(path, e))?;
            last_time(&trace)
        }
        Source::Stream(_) if is_stdin(path) => {
            let error = "--last needs a trace that can be read twice: save it in a file first";
            return Err(Failure::file(path, error));
        }
        Source::Stream(_) => {
            let none = Progress::new(&[] as &[PathBuf], false);
            let mut reader = memory.open_events(path, &none)?;
            let mut last = None;
            // As far as it can be read; the reading that counts says what is wrong.
            while let Ok(Some(event)) = reader.next() {
                last = Some(event.time());
            }
            last
        }
    };
    // Without an event, nothing is asked.
    Ok(end.map_or(selection.clone(), |end| selection.with_end(end)))
}
