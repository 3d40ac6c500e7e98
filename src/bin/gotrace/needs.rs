//! `gotrace stat --tables`: the capacities that tables of fixed size need.

use super::events::Source;
use super::input::Memory;
use super::output::{self, Failure, Result};
use super::parallel;
use super::progress::Progress;
use gotrace::tables::Capacities;
use std::io::Write as _;
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

/// Prints what all the traces need.
pub fn print(files: &[PathBuf], memory: &Memory, json: bool) -> Result {
    let mut needs = Capacities::NONE;
    let work = |file: &PathBuf| in_order(file, memory);
    parallel::in_order(files, work, |file, result| -> Result {
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
