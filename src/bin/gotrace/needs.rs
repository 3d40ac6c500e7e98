//! `gotrace stat --tables`: the capacities that tables of fixed size need.

use super::events::Source;
use super::input::Memory;
use super::output::{self, Failure, Result};
use super::parallel;
use super::progress::Progress;
use gotrace::Trace;
use gotrace::reader::{Parallel, parallel::Outcome};
use gotrace::tables::Capacities;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Reads all events of a trace: how many there are, and the capacities that they need, if fixed
/// tables can read them.
pub fn in_order(file: &Path, memory: &Memory) -> Result<(u64, Option<Capacities>)> {
    let progress = Progress::new(&[] as &[PathBuf], false);
    let mut source = Source::open(file, memory, &progress)?;
    let mut events = source.events(file, None)?;
    let mut count = 0;
    loop {
        match events.skim(&mut count) {
            Ok(true) => {}
            Ok(false) => return Ok((count, events.needs())),
            Err(error) => return Err(events.failure(file, error)),
        }
    }
}

/// How many events a trace has: read on several threads, if nothing is wrong with it.
pub fn count(file: &Path, memory: &Memory) -> Result<u64> {
    let progress = Progress::new(&[] as &[PathBuf], false);
    if let Source::Mapped(mapped) = Source::open(file, memory, &progress)?
        && let Some((events, _)) = at_once(mapped.bytes(), parallel::threads(None), &progress)
    {
        return Ok(events);
    }
    Ok(in_order(file, memory)?.0)
}

/// Reads all events of a trace on several threads: how many there are, and what was read. `None` if
/// something is wrong with the trace: what that is, is for a reader on one thread to say.
pub fn at_once(bytes: &[u8], threads: usize, progress: &Progress) -> Option<(u64, Outcome)> {
    let trace = Trace::new(bytes).ok()?;
    let (mut events, mut done) = (0, 0);
    let outcome = Parallel::new(&trace).with_threads(threads).fold(
        || (0, 0),
        |(events, start), event| {
            *events += 1;
            // Its generation begins there, or the trace ends.
            if event.wire_type().is_none() {
                *start = event.offset().0;
            }
            ControlFlow::Continue(())
        },
        |(more, start): (u64, u64)| {
            events += more;
            progress.add(usize::try_from(start.saturating_sub(done)).unwrap_or(0));
            done = start.max(done);
            ControlFlow::Continue(())
        },
    );
    Some((events, outcome.ok()?))
}

/// Prints what all the traces need.
pub fn print(files: &[PathBuf], memory: &Memory, json: bool) -> Result {
    let mut needs = Capacities::NONE;
    let work = |file: &PathBuf| in_order(file, memory);
    parallel::in_order(files, None, work, |file, result| -> Result {
        let (_, needed) = result?;
        let why = "only tables that grow can read a trace of before Go 1.22";
        needs = needs.max(needed.ok_or_else(|| Failure::file(file, why))?);
        Ok(())
    })?;
    let mut out = output::styled();
    if json {
        output::json_line(&mut out, &needs)?;
    } else {
        writeln!(
            out,
            "// A reader with these tables takes {} bytes.",
            needs.reader_size()
        )?;
        writeln!(out, "type Tables = {needs};")?;
    }
    Ok(out.flush()?)
}
