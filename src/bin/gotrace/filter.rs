//! The options that say which events a person wants to see.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use gotrace::select::{Filter, Moment};
use gotrace::{EventKind, GoId, ProcId, ThreadId};

/// An event is shown if it passes every kind of filter that is given; of several of one kind, one is
/// enough.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Filters (all that are given must fit)")]
pub struct Options {
    /// Only events of this kind; of several, any. As for all filters but times
    #[arg(long, value_name = "KIND", value_parser = kinds(), ignore_case = true)]
    #[arg(conflicts_with = "wire")]
    kind: Vec<EventKind>,

    /// Only events in this goroutine's context, or about it
    #[arg(long, short = 'g', value_name = "ID", conflicts_with = "wire")]
    goroutine: Vec<u64>,

    /// Only events in this proc's context, or about it
    #[arg(long, short = 'p', value_name = "ID", conflicts_with = "wire")]
    proc: Vec<u64>,

    /// Only events on this thread
    #[arg(long, short = 'm', value_name = "ID", conflicts_with = "wire")]
    thread: Vec<u64>,

    /// Only tasks of this type, with the regions and logs that are part of them
    #[arg(long, value_name = "TYPE", conflicts_with = "wire")]
    task: Vec<String>,

    /// Only regions of this type
    #[arg(long, value_name = "TYPE", conflicts_with = "wire")]
    region: Vec<String>,

    /// Only events at this time and later: see TIME below
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    #[arg(conflicts_with = "wire")]
    from: Option<Moment>,

    /// Only events before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    #[arg(conflicts_with = "wire")]
    to: Option<Moment>,
}

/// What TIME is.
pub const TIME: &str = "\
TIME is one of:
  20ms, 1.5s, 300us, 2m, ...    after the trace's first event
  @1251353149760                as events have it (Time=1251353149760)
  2026-11-20T23:36:43.5Z        on the wall clock, as \"gotrace stat\"
                                prints it (since Go 1.25)";

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
        match (self.from, self.to) {
            (Some(from), Some(to)) if filter.has_empty_span() => Err(format!(
                "--from {from} is not before --to {to}: no event can be between them"
            )),
            _ => Ok(filter),
        }
    }
}
