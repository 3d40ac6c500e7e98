//! `gotrace check`: is a trace sound?

use super::events::Source;
use super::guard;
use super::input::Memory;
use super::lenient::{self, Findings, Items, MOST};
use super::needs;
use super::output::{self, EndingJson, Failure, Result};
use super::parallel;
use super::progress::Progress;
use gotrace::generation::Ending;
use gotrace::reader::{Item, Losses, RegionClosing};
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

    /// Read on behind damage, and say what is lost, made up and left out: bytes that cannot be read,
    /// names that are missing, and events that the others need and the trace lacks
    #[arg(long, conflicts_with = "keep_going")]
    lenient: bool,

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
    /// At most a hundred, and with --lenient a hundred of each kind.
    errors: Vec<Damage>,
    /// How many more there are.
    more_errors: u64,
    /// With --lenient, what was given and lost.
    losses: Option<Losses>,
    /// Of a trace that fails, what --lenient would give.
    #[serde(skip)]
    leniently: Option<String>,
    /// What is found is printed at once.
    #[serde(skip)]
    at_once: bool,
    /// As people see it, if it ends early.
    #[serde(skip)]
    early: Option<Ending>,
}

#[derive(Serialize)]
struct Damage {
    error: String,
    /// Bytes from the start of the trace, if the error is about the trace.
    offset: Option<u64>,
    /// With --lenient, of a region that was closed: the two regions, where they began, and where the one
    /// around it ends.
    region: Option<RegionClosing>,
}

pub fn run(args: Args) -> Result {
    let progress = Progress::new(&args.files, false);
    let mut out = output::verdict(output::styled());
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
        let several = report.early.is_none() && !report.at_once;
        for damage in report.errors.iter().filter(|_| several) {
            output::report(&Failure::file(file, &damage.error));
        }
        match report.more_errors {
            0 => {}
            n => output::note(format_args!(
                "{}: {n} more are not listed",
                output::name(file)
            )),
        }
        match (&report.losses, &report.leniently) {
            (Some(losses), _) => {
                let name = output::name(file);
                output::note(format_args!("{name}: read leniently: {losses}"));
            }
            (None, Some(text)) => output::note(format_args!("{}: {text}", output::name(file))),
            (None, None) => {}
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
    /// Adds what is wrong, if not too much is.
    fn add(&mut self, file: &Path, error: String, offset: Option<u64>) {
        self.add_with(file, error, offset, None);
    }

    fn add_with(
        &mut self,
        file: &Path,
        error: String,
        offset: Option<u64>,
        region: Option<RegionClosing>,
    ) {
        if self.errors.len() as u64 >= MOST && self.losses.is_none() {
            self.more_errors += 1;
            return;
        }
        if self.at_once {
            output::report(&Failure::file(file, &error));
        }
        self.errors.push(Damage {
            error,
            offset,
            region,
        });
    }

    /// What was found says nothing of the file, but what was printed already stays.
    fn became_shorter(&mut self, file: &Path) {
        if !self.at_once {
            self.errors.clear();
            self.more_errors = 0;
        }
        (self.ending, self.early, self.leniently) = (None, None, None);
        self.add(file, guard::SHORTER_FILE.to_owned(), None);
    }

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
    // Of several files, each has its turn.
    report.at_once = !args.json && args.files.len() == 1 && (args.keep_going || args.lenient);
    let result = Source::open(file, &args.memory, progress).and_then(|mut source| {
        if args.lenient {
            return read_leniently(file, source, args.json, progress, &mut report);
        }
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
        let result = read(file, &mut source, args.keep_going, progress, &mut report);
        if let Source::Mapped(mapped) = &source
            && !report.errors.is_empty()
        {
            report.leniently = lenient::would_give(mapped.bytes(), report.events);
        }
        result
    });
    match result {
        Err(Failure::File { error, offset, .. }) => report.add(file, error, offset),
        Err(Failure::Ending { ending, .. }) => report.ends(ending),
        _ => {}
    }
    if guard::is_shorter(file) {
        report.became_shorter(file);
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
                report.add(file, error, Some(trace.offset().0));
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

/// Reads all that can be read.
fn read_leniently(
    file: &Path,
    source: Source,
    json: bool,
    progress: &Progress,
    report: &mut Report,
) -> Result {
    let mut source = Some(source);
    let mut items = Items::new(file, &mut source)?;
    let mut findings = Findings::default();
    report.losses = Some(items.losses());
    let mut done = 0;
    loop {
        let item = match items.next() {
            Ok(Some(item)) => item,
            Ok(None) => break,
            Err(error) => return Err(Failure::trace(file, error)),
        };
        if let Item::Event(event) = &item {
            if event.wire_type().is_some() {
                continue;
            }
        } else if let Some((text, offset)) = findings.describe(&item) {
            let region = match item {
                Item::RegionClosed(_, closing) => Some(closing.clone()),
                _ => None,
            };
            let text = match &region {
                // Programs get the stacks as such.
                Some(closing) if json => closing.to_string(),
                _ => text,
            };
            report.add_with(file, text, Some(offset), region);
            continue;
        }
        let offset = items.uncounted();
        progress.add(usize::try_from(offset.saturating_sub(done)).unwrap_or(0));
        done = offset;
    }
    report.events = items.losses().events;
    report.generations = items.generations_read();
    report.more_errors = findings.others();
    report.losses = Some(items.losses());
    Ok(())
}
