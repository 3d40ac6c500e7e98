//! Reading a trace for an answer: what the commands share that summarize events.

use super::output::{Failure, Result};
use super::progress::Progress;
use super::reading::{Ended, Reading};
use gotrace::analysis::states::{States, Visitor};
use gotrace::select::{Filter, Moment, Verdict};
use gotrace::{Event, GoId, Time};
use std::path::Path;

/// Which part of a trace an answer is about.
// No documentation of the struct itself: it would take the place of the command's.
#[derive(clap::Args)]
#[command(next_help_heading = "Filters")]
pub struct Part {
    /// Count only time from here on: 1.5s after the trace's first event, @NANOSECONDS as events have
    /// it, or a time of day
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<Moment>,

    /// Count only time before this; what the trace mentions for the first time later is left out
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<Moment>,

    /// Count only what this goroutine does; of several, any
    #[arg(long, short = 'g', value_name = "ID")]
    pub goroutine: Vec<u64>,
}

impl Part {
    pub fn goroutines(&self) -> Vec<GoId> {
        let ids = self.goroutine.iter();
        ids.filter_map(|id| GoId::new(*id)).collect()
    }

    /// The exact moment, if it is known without a clock.
    fn exactly(moment: Moment, start: Time) -> Option<Time> {
        match moment {
            Moment::At(time) => Some(time),
            Moment::SinceStart(after) => Some(start + after),
            _ => None,
        }
    }

    fn filter(&self) -> Filter {
        let mut filter = Filter::new();
        if let Some(from) = self.from {
            filter = filter.with_from(from);
        }
        if let Some(to) = self.to {
            filter = filter.with_to(to);
        }
        filter
    }
}

/// What answers a question: a visitor of states that also sees events.
pub trait Question: Visitor {
    /// Counting begins here: at the first event, unless the user says otherwise.
    fn begin(&mut self, from: Time);

    /// Sees an event before the states do.
    fn event(&mut self, _event: &Event<'_, '_>, _states: &mut States) {}

    /// Sees an event after the states did.
    fn after(&mut self, _event: &Event<'_, '_>, _states: &States) {}
}

/// What was read.
pub struct Answered {
    pub states: States,
    /// When the trace began: that is 0 for people.
    pub start: Time,
    /// What ended the reading, if it was not the end: what was read before counts.
    pub ended: Ended,
}

/// Reads a trace for a question. Errors: the trace cannot be opened.
pub fn ask(
    file: &Path,
    reading: &Reading,
    part: &Part,
    progress: &Progress,
    question: &mut impl Question,
) -> Result<Answered> {
    let filter = part.filter();
    let mut selection = filter.selection();
    let mut states = States::new();
    let mut from = None;
    let mut end = None;
    if part.from.is_some() {
        // Nothing counts yet.
        question.begin(Time(i64::MAX));
    }
    let ended = reading.events(file, progress, |event| {
        if from.is_none() || part.to.is_some() {
            match selection.sees(event) {
                Ok(Verdict::Over) => {
                    let start = states.first_time().unwrap_or(event.time());
                    end = part.to.and_then(|to| Part::exactly(to, start));
                    return Ok(false);
                }
                Ok(Verdict::Selected) if from.is_none() => {
                    let start = states.first_time().unwrap_or(event.time());
                    let exact = part.from.and_then(|from| Part::exactly(from, start));
                    let begin = exact.map_or(event.time(), |time| time.min(event.time()));
                    from = Some(begin);
                    question.begin(begin);
                }
                Ok(_) => {}
                Err(error) => return Err(Failure::file(file, error)),
            }
        }
        if from.is_some() {
            question.event(event, &mut states);
        }
        states.add(event, question);
        question.after(event, &states);
        Ok(true)
    })?;
    if let Some(end) = end {
        states.set_end(end);
    }
    states.finish(question);
    Ok(Answered {
        start: states.first_time().unwrap_or(Time(0)),
        states,
        ended,
    })
}
