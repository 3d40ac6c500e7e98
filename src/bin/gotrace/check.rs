//! `gotrace check`: is a trace sound?

use super::events::Source;
use super::input::Memory;
use super::needs;
use super::output::{self, EndingJson, Failure, Result};
use super::parallel;
use super::progress::Progress;
use gotrace::generation::Ending;

use serde::Serialize;
use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};

/// Read traces whole and check that they are consistent.
///
/// Prints a line a file: "ok", the number of events and of generations; or what is wrong and at
/// which byte, and how much could be read before. A trace that is sound as far as it goes, and ends
/// before its last generation does, as after a crash of the program, is said to end early: the exit
/// status is 4 then.
///
/// Events are counted as Go's reader gives them, and as "gotrace stat" does: with the Sync events, of
/// which one begins each generation and one ends the trace.
#[derive(clap::Args)]
#[command(after_help = super::help::page("\
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

    /// Threads to read with: files side by side, and a file that is not compressed by generations. By
    /// default as many as there are processors
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,

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
    /// How it ends; null if that is not known, because the file could not be read.
    ending: Option<EndingJson>,
    errors: Vec<Damage>,
    /// As people see it, if it ends early.
    #[serde(skip)]
    early: Option<Ending>,
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
    let mut failed: Option<Failure> = None;
    let work = |file: &PathBuf| check(file, &args, &progress);
    parallel::in_order(&args.files, args.threads, work, |file, report| -> Result {
        if !report.ok {
            let now = match report.early {
                Some(_) => Failure::ReportedEarly,
                None => Failure::Reported,
            };
            failed = Some(match failed.take() {
                Some(before) => before.reported(now),
                None => now,
            });
        }
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
        let several = report.early.is_none();
        for damage in report.errors.iter().filter(|_| several) {
            output::report(&Failure::file(file, &damage.error));
        }
        if let Some(ending) = report.early {
            output::report(&Failure::file(file, ending));
            let name = output::name(file);
            return Ok(writeln!(out, "{name}: ends early, after {read}")?);
        }
        Ok(writeln!(
            out,
            "{}: failed after {read}",
            output::name(file)
        )?)
    })?;
    drop(progress);
    out.flush()?;
    failed.map_or(Ok(()), Err)
}

impl Report {
    fn ends(&mut self, ending: Ending) {
        self.ending = Some(ending.into());
        self.early = Some(ending).filter(Ending::is_early);
    }
}

fn check(file: &Path, args: &Args, progress: &Progress) -> Report {
    let mut report = Report {
        file: file.to_string_lossy().into_owned(),
        ..Report::default()
    };
    let result = Source::open(file, &args.memory, progress).and_then(|mut source| {
        let threads = parallel::threads(args.threads) / args.files.len().max(1);
        if let Source::Mapped(mapped) = &source
            && threads > 1
            && let Some((events, outcome)) = needs::at_once(mapped.bytes(), threads, progress)
        {
            (report.events, report.generations) = (events, outcome.generations);
            if let Some(ending) = outcome.ending {
                report.ends(ending);
            }
            return Ok(());
        }
        read(file, &mut source, args.keep_going, progress, &mut report)
    });
    match result {
        Err(Failure::File { error, offset, .. }) => report.errors.push(Damage { error, offset }),
        Err(Failure::Ending { ending, .. }) => report.ends(ending),
        _ => {}
    }
    if report.errors.len() > 1 {
        report.early = None;
    }
    report.ok = report.errors.is_empty() && report.early.is_none();
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
            Ok(false) => {
                if report.errors.is_empty()
                    && let Some(ending) = events.ending(None)
                {
                    report.ends(ending);
                }
                return Ok(());
            }
            Err(error @ gotrace::ReadError::Trace(trace)) => {
                let ending = Ending::of(Some(trace));
                let error = match ending.is_early() {
                    true => ending.to_string(),
                    false => events.message(file, &error),
                };
                let offset = Some(trace.offset().0);
                report.errors.push(Damage { error, offset });
                report.ends(ending);
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
