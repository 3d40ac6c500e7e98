//! Which events a person wants to see.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use gotrace::{
    Details, Event, EventKind, TaskId,
    event::{Change, Resource},
};
use std::collections::HashSet;

/// An event is shown if it passes every kind of filter that is given; of several of one kind, one is
/// enough.
#[derive(clap::Args, Debug)]
#[command(
    next_help_heading = "Filters, for --parsed: an event must pass each; of one given several \
    times, one value must fit"
)]
pub struct Filter {
    /// Only events of this kind
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

    /// Only tasks of this type, with the regions and logs that name them
    #[arg(long, value_name = "TYPE", conflicts_with = "wire")]
    task: Vec<String>,

    /// Only regions of this type
    #[arg(long, value_name = "TYPE", conflicts_with = "wire")]
    region: Vec<String>,

    /// Only events from this time on: since the first event, as 1.5s or 20ms; or, without a unit,
    /// as "Time=" tells it
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    #[arg(conflicts_with = "wire")]
    from: Option<Moment>,

    /// Only events before this time, given as for --from
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    #[arg(conflicts_with = "wire")]
    to: Option<Moment>,
}

/// A time: on the trace's own scale, or since its first event. In nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    Absolute(i64),
    SinceStart(i64),
}

impl Moment {
    fn is_after(self, time: i64, start: i64) -> bool {
        match self {
            Moment::Absolute(moment) => time < moment,
            Moment::SinceStart(passed) => time.saturating_sub(start) < passed,
        }
    }
}

/// The kinds by name, so that help and completions list them.
fn kinds() -> impl TypedValueParser<Value = EventKind> {
    PossibleValuesParser::new(EventKind::ALL.iter().map(|kind| kind.name())).try_map(|name| {
        let found = EventKind::ALL
            .iter()
            .copied()
            .find(|k| k.name().eq_ignore_ascii_case(&name));
        found.ok_or("there is no such kind")
    })
}

fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(time) = text.parse() {
        return Ok(Moment::Absolute(time));
    }
    let units = [
        ("ns", 1.0),
        ("us", 1e3),
        ("µs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
    ];
    let with_unit = units.iter().find_map(|(unit, scale)| {
        let number: f64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        number
            .is_finite()
            .then_some(Moment::SinceStart((number * scale) as i64))
    });
    with_unit.ok_or_else(|| "expected a time as 1.5s, 20ms, 300us, 5ns or 1251353149760".to_owned())
}

/// A filter at work.
pub struct Selection<'f> {
    filter: &'f Filter,
    start: Option<i64>,
    /// The tasks of the types asked for. One that ended is kept: its regions may close later.
    tasks: HashSet<TaskId>,
    needs_details: bool,
}

impl Filter {
    pub fn selection(&self) -> Selection<'_> {
        Selection {
            filter: self,
            start: None,
            tasks: HashSet::new(),
            needs_details: !(self.goroutine.is_empty()
                && self.proc.is_empty()
                && self.task.is_empty()
                && self.region.is_empty()),
        }
    }
}

/// What the selection makes of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shown {
    Yes,
    No,
    /// Neither this one nor any later one.
    NoMore,
}

impl Selection<'_> {
    /// Whether to show an event. Has to see every event, in order.
    #[inline]
    pub fn sees(&mut self, event: &Event<'_, '_>) -> Shown {
        let filter = self.filter;
        let time = event.time().0;
        let start = *self.start.get_or_insert(time);
        if filter.to.is_some_and(|to| !to.is_after(time, start)) {
            return Shown::NoMore;
        }
        // Tasks must be followed from their beginning, shown or not.
        let details = !self.needs_details || self.passes_details(event);
        let shown = details
            && filter.from.is_none_or(|from| !from.is_after(time, start))
            && (filter.kind.is_empty() || filter.kind.contains(&event.kind()))
            && any(&filter.thread, event.thread().map(|id| id.get()));
        if shown { Shown::Yes } else { Shown::No }
    }

    fn passes_details(&mut self, event: &Event<'_, '_>) -> bool {
        let filter = self.filter;
        let details = event.details();
        let about = match &details {
            Details::StateTransition(transition) => match transition.change {
                Change::Goroutine { id, .. } => Resource::from(id),
                Change::Proc { id, .. } => Resource::from(id),
            },
            Details::RangeBegin(range)
            | Details::RangeActive(range)
            | Details::RangeEnd(range, _) => range.scope,
            Details::Label(label) => label.resource,
            _ => Resource::None,
        };
        let goroutine = any(&filter.goroutine, event.goroutine().map(|id| id.get()))
            || matches!(about, Resource::Goroutine(id) if filter.goroutine.contains(&id.get()));
        let proc = any(&filter.proc, event.proc().map(|id| id.get()))
            || matches!(about, Resource::Proc(id) if filter.proc.contains(&id.get()));
        let named = |names: &[String], name: gotrace::GoStr<'_>| {
            names.iter().any(|n| n.as_bytes() == name.as_bytes())
        };
        let task = filter.task.is_empty()
            || match &details {
                Details::TaskBegin(task) => {
                    let wanted = named(&filter.task, task.ty);
                    self.tasks.extend(task.id.filter(|_| wanted));
                    wanted
                }
                Details::TaskEnd(task) => {
                    task.id.is_some_and(|id| self.tasks.contains(&id))
                        || named(&filter.task, task.ty)
                }
                Details::RegionBegin(region) | Details::RegionEnd(region) => {
                    region.task.is_some_and(|id| self.tasks.contains(&id))
                }
                Details::Log(log) => log.task.is_some_and(|id| self.tasks.contains(&id)),
                _ => false,
            };
        let region = filter.region.is_empty()
            || match &details {
                Details::RegionBegin(region) | Details::RegionEnd(region) => {
                    named(&filter.region, region.ty)
                }
                _ => false,
            };
        goroutine && proc && task && region
    }
}

/// Whether a value is among those asked for, or none is asked for.
fn any(wanted: &[u64], value: Option<u64>) -> bool {
    wanted.is_empty() || value.is_some_and(|v| wanted.contains(&v))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_or_are_absolute() {
        assert_eq!(moment("1.5s"), Ok(Moment::SinceStart(1_500_000_000)));
        assert_eq!(moment("20ms"), Ok(Moment::SinceStart(20_000_000)));
        assert_eq!(moment("7ns"), Ok(Moment::SinceStart(7)));
        assert_eq!(moment("2m"), Ok(Moment::SinceStart(120_000_000_000)));
        assert_eq!(moment("-5"), Ok(Moment::Absolute(-5)));
        assert!(moment("soon").is_err() && moment("nans").is_err() && moment("").is_err());
    }
}
