//! Asking a trace: what is common to the analyses behind the answers.

use super::events::Source;
use super::filter;
use super::output::{self, Failure, Result};
use super::progress::Progress;
use super::reading::{Ended, Reading};
use super::table::duration;
use gotrace::analysis::scope::Scope;
use gotrace::analysis::states::{States, Visitor};
use gotrace::select::{Filter, SelectError};
use gotrace::{Event, Time};
use std::path::Path;

/// What was read of a trace, and what of it counts.
pub struct Answered<'f> {
    pub states: States,
    pub scope: Scope<'f>,
    /// What ended the reading too early: what was read before counts.
    pub ended: Ended,
}

impl Answered<'_> {
    /// When the trace began: that is 0 for people.
    pub fn start(&self) -> Time {
        self.states.first_time().unwrap_or(Time(0))
    }

    /// How long the part is that counts, in nanoseconds; `None` if no event is in it.
    pub fn length(&self) -> Option<i64> {
        let begin = self
            .states
            .begin_time()
            .filter(|_| self.scope.has_begun())?;
        Some(self.states.last_time().since(begin))
    }
}

/// Reads a trace for a visitor of its states, as far as the filter says that it counts. `after` sees each
/// event that is read, after the states did. Errors: the trace cannot be opened.
pub fn ask<'f, V: Visitor>(
    file: &Path,
    reading: &Reading,
    filter: &'f Filter,
    progress: &Progress,
    visitor: &mut V,
    mut after: impl FnMut(&mut V, &Event<'_, '_>, &mut States, &mut Scope<'f>),
) -> Result<Answered<'f>> {
    let mut states = States::new();
    let (mut scope, ended) = scoped(file, reading, filter, progress, |event, scope| {
        let wants_more = scope.add(event, &mut states, visitor)?;
        if wants_more {
            after(visitor, event, &mut states, scope);
        }
        Ok(wants_more)
    })?;
    scope.finish(&mut states, visitor);
    let answered = Answered {
        states,
        scope,
        ended,
    };
    note_empty(file, &answered.states, &answered.scope);
    Ok(answered)
}

/// Reads a trace as far as a scope wants more.
pub fn scoped<'f>(
    file: &Path,
    reading: &Reading,
    filter: &'f Filter,
    progress: &Progress,
    mut add: impl FnMut(&Event<'_, '_>, &mut Scope<'f>) -> std::result::Result<bool, SelectError>,
) -> Result<(Scope<'f>, Ended)> {
    let source = Source::open(file, &reading.memory, progress)?;
    let end = filter::end(filter, &source, file, &reading.memory)?;
    let scope = Scope::new(filter);
    let mut scope = match end {
        Some(end) => scope.with_end(end),
        None => scope,
    };
    let ended = reading.source(file, source, progress, |event| {
        add(event, &mut scope).map_err(|error| Failure::file(file, error))
    })?;
    Ok((scope, ended))
}

/// Says that no event is in the part that counts, if so.
pub fn note_empty(file: &Path, states: &States, scope: &Scope<'_>) {
    if let Some(first) = states.first_time()
        && !scope.has_begun()
    {
        let length = duration(states.last_time().since(first));
        let name = output::name(file);
        output::note(format_args!(
            "{name}: nothing is in this part of the trace, which is {length} long"
        ));
    }
}
