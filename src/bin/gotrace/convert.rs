//! `gotrace convert` and `gotrace cut`: a sound trace, written anew.

use super::events::{Events, Source};
use super::input::Memory;
use super::output::{Failure, Result, is_stdin, name, note, write_file};
use super::progress::Progress;
use gotrace::event::EventKind;
use gotrace::rewrite::{Report, Writer};
use gotrace::select::{Filter, Moment, Verdict};
use gotrace::wire::Version;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Write a trace in the format of another version of Go.
///
/// For tools that read no later format, and for tools that read no older one: a trace of before Go 1.22 as
/// well becomes one of today's. What the version has nothing for is left out, and counted on standard
/// error: experiments before 1.23.
#[derive(clap::Args)]
#[command(after_help = super::help::page("\
Examples:
  gotrace convert --to 1.22 app.trace old.trace
  gotrace convert --to 1.26 of-go1.11.trace new.trace"))]
pub struct Convert {
    /// The version of the format: 1.22, 1.23, 1.25 or 1.26
    #[arg(long, value_name = "VERSION", value_parser = version)]
    to: Version,

    #[command(flatten)]
    memory: Memory,

    /// The trace; "-" is the standard input
    #[arg(value_name = "IN")]
    file: PathBuf,

    /// The trace to write; "-" is the standard output
    #[arg(value_name = "OUT")]
    out: PathBuf,
}

fn version(text: &str) -> std::result::Result<Version, String> {
    let version: Version = text.parse().map_err(|_| "no version of the format")?;
    match version.has_generations() {
        true => Ok(version),
        false => Err("the formats of before Go 1.22 are not written".to_owned()),
    }
}

/// Write a part of a trace, from one time to another.
///
/// The part is a trace by itself: it begins with the states that goroutines and procs have then. Tasks
/// and regions that began earlier have no beginning in it.
#[derive(clap::Args)]
#[command(after_help = super::help::page("\
Examples:
  gotrace cut --from 1.2s --to 1.3s app.trace part.trace
  gotrace cut --from @1251353149760 app.trace rest.trace"))]
pub struct Cut {
    /// Begin with the first event at this time or later: 1.5s after the trace's start, @NS as dump
    /// prints it, or on the wall clock
    #[arg(long, value_name = "TIME", required_unless_present = "to")]
    from: Option<Moment>,

    /// End before the first event at this time or later
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,

    #[command(flatten)]
    memory: Memory,

    /// The trace; "-" is the standard input
    #[arg(value_name = "IN")]
    file: PathBuf,

    /// The trace to write; "-" is the standard output
    #[arg(value_name = "OUT")]
    out: PathBuf,
}

pub fn convert(args: Convert) -> Result {
    let report = write(&args.file, &args.out, &args.memory, Some(args.to), None)?;
    if report.not_in_version > 0 {
        note(format_args!(
            "{}: {} events left out that {} has nothing for",
            name(&args.file),
            report.not_in_version,
            args.to
        ));
    }
    Ok(())
}

pub fn cut(args: Cut) -> Result {
    let mut filter = Filter::default();
    if let Some(from) = args.from {
        filter = filter.with_from(from);
    }
    if let Some(to) = args.to {
        filter = filter.with_to(to);
    }
    let report = write(&args.file, &args.out, &args.memory, None, Some(filter))?;
    if report.events == 0 {
        note(format_args!(
            "{}: no event is in that time",
            name(&args.file)
        ));
    }
    Ok(())
}

/// Writes the events of a trace, or those that a filter by time selects, to a file that takes its place
/// when all is well.
fn write(
    file: &Path,
    out: &Path,
    memory: &Memory,
    to: Option<Version>,
    filter: Option<Filter>,
) -> Result<Report> {
    let same = (file.canonicalize(), out.canonicalize());
    if !is_stdin(file) && matches!(same, (Ok(a), Ok(b)) if a == b) {
        return Err(Failure::file(file, "the new trace cannot take its place"));
    }
    let progress = Progress::new([file.to_owned()].iter(), false);
    let mut source = Source::open(file, memory, &progress)?;
    let mut events = source.events(file, None)?;
    let version = match to.unwrap_or(events.version()) {
        version if version.has_generations() => version,
        _ => Version::CURRENT,
    };
    let mut failure = None;
    let mut work = |out: &mut dyn Write| -> io::Result<Report> {
        let mut writer = Writer::new(version).map_err(io::Error::other)?;
        match copy(file, &mut events, &mut writer, out, filter.as_ref())? {
            Ok(()) => Ok(writer.report()),
            Err(why) => {
                failure = Some(why);
                Err(io::Error::other("the trace cannot be read"))
            }
        }
    };
    let result = if is_stdin(out) {
        let mut out = io::stdout().lock();
        let result = work(&mut out);
        result
            .and_then(|report| out.flush().map(|()| report))
            .map_err(Failure::from)
    } else {
        write_file(out, |mut file| work(&mut file))
    };
    match failure {
        Some(failure) => Err(failure),
        None => result,
    }
}

/// Writes events; the inner error is one of reading.
fn copy(
    file: &Path,
    events: &mut Events<'_>,
    writer: &mut Writer,
    out: &mut dyn Write,
    filter: Option<&Filter>,
) -> io::Result<Result> {
    let mut selection = filter.map(Filter::selection);
    let mut started = filter.is_none();
    loop {
        let event = match events.next() {
            Ok(Some(event)) => event,
            Ok(None) => break,
            Err(error) => return Ok(Err(events.failure(file, error))),
        };
        if let Some(selection) = &mut selection {
            match selection.sees(&event) {
                Ok(Verdict::Over) => break,
                // A sync event has no time of its own.
                Ok(Verdict::Selected) => started |= event.kind() != EventKind::Sync,
                Ok(Verdict::Skipped) => {}
                Err(error) => return Ok(Err(Failure::file(file, error))),
            }
        }
        if started {
            writer.event(&event);
        } else {
            writer.skip(&event);
        }
        if writer.bytes().len() > 1 << 20 {
            out.write_all(writer.bytes())?;
            writer.clear();
        }
    }
    writer.finish();
    out.write_all(writer.bytes())?;
    writer.clear();
    Ok(Ok(()))
}
