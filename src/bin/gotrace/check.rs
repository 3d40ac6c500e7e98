//! `gotrace check`: is a trace sound?

use crate::events::Source;
use crate::input::Memory;
use crate::output::{self, Failure, Result};
use crate::parallel;
use crate::progress::Progress;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Read traces whole and check that they are consistent.
///
/// Prints a line a file: "ok", the number of events and of generations; or what is wrong and at
/// which byte, and how much could be read before.
///
/// Events are counted as Go's reader gives them, and as "gotrace stat" does: with the Sync events, of
/// which one begins each generation and one ends the trace.
#[derive(clap::Args)]
#[command(after_help = crate::help::page("\
Examples:
  gotrace check app.trace
  gotrace check --keep-going /var/traces/*.trace
  ssh server cat app.trace | gotrace check -"))]
pub struct Args {
    /// After an error, go on with the next generation that can be found
    #[arg(long)]
    keep_going: bool,

    /// Print one JSON object a trace, each on a line: file, ok, events, generations, and errors
    /// with their offsets
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    memory: Memory,

    /// The traces; "-" is the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What is known of a trace. This is the schema of the JSON form: a field may be added, none will
/// change its meaning.
#[derive(Serialize, Default)]
struct Report {
    file: String,
    ok: bool,
    /// As Go's reader counts them: those of kind Sync too, of which one begins each generation and one
    /// ends the trace.
    events: u64,
    /// Generations of which at least one event was read.
    generations: u64,
    errors: Vec<Damage>,
}

#[derive(Serialize)]
struct Damage {
    error: String,
    /// Bytes from the start of the trace, if the error is about the trace.
    offset: Option<u64>,
}

pub fn run(args: Args) -> Result {
    let progress = Progress::new(&args.files, false);
    let mut out = output::styled();
    let mut failed = false;
    let work = |file: &PathBuf| check(file, &args, &progress);
    parallel::in_order(&args.files, work, |file, report| -> Result {
        failed |= !report.ok;
        if args.json {
            return output::json_line(&mut out, &report);
        }
        let Report {
            events,
            generations,
            ..
        } = report;
        let plural = |n: u64, what| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let read = format!(
            "{}, {}",
            plural(events, "event"),
            plural(generations, "generation")
        );
        if report.ok {
            return Ok(writeln!(out, "{}: ok, {read}", output::name(file))?);
        }
        // Both streams may be one terminal.
        out.flush()?;
        for damage in &report.errors {
            output::report(&Failure::file(file, &damage.error));
        }
        Ok(writeln!(
            out,
            "{}: failed after {read}",
            output::name(file)
        )?)
    })?;
    drop(progress);
    out.flush()?;
    if failed {
        Err(Failure::Reported)
    } else {
        Ok(())
    }
}

fn check(file: &Path, args: &Args, progress: &Progress) -> Report {
    let mut report = Report {
        file: file.to_string_lossy().into_owned(),
        ..Report::default()
    };
    let result = Source::open(file, &args.memory, progress)
        .and_then(|mut source| read(file, &mut source, args.keep_going, progress, &mut report));
    if let Err(Failure::File { error, offset, .. }) = result {
        report.errors.push(Damage { error, offset });
    }
    report.ok = report.errors.is_empty();
    report
}

/// Reads all events. Damage to the trace is noted in the report.
fn read(
    file: &Path,
    source: &mut Source,
    keep_going: bool,
    progress: &Progress,
    report: &mut Report,
) -> Result {
    let mut events = source.events(file, None)?;
    let mut done = 0;
    loop {
        match events.skim(&mut report.events) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error @ gotrace::ReadError::Trace(trace)) => {
                report.errors.push(Damage {
                    error: events.message(&error),
                    offset: Some(trace.offset().0),
                });
                if !keep_going {
                    return Ok(());
                }
                // Where there is nothing to go on with, there are no events either; but a stream
                // may say why.
                events.skip_generation();
                continue;
            }
            Err(error) => return Err(Failure::trace(file, error)),
        }
        if events.generations_read() != report.generations {
            report.generations = events.generations_read();
            let offset = events.uncounted();
            progress.add(usize::try_from(offset.saturating_sub(done)).unwrap_or(0));
            done = offset;
        }
    }
}
