//! `gotrace repair`: a valid trace of a damaged one.

use super::input::{Memory, Stream};
use super::output::{self, Failure, Result, is_stdin, note, write_file};
use super::progress::Progress;
use gotrace::generation::ClockCheck;
use gotrace::reader::Lenient;
use gotrace::rewrite::{Repaired, Repairer};
use gotrace::source::open::InputError;
use gotrace::{Growing, ReadError, StreamReader, Trace};
use std::fs::File;
use std::io::{self, Seek as _, Write};
use std::path::{Path, PathBuf};

/// Write a valid trace of everything that can be read of a damaged one.
///
/// For traces that were cut short, of programs that were killed, with bytes lost or overwritten, or with
/// something else printed into them: Go's tools open the result. Events that are missing in between are
/// made up where the others need them; they have a stack that says so, if they can have one. What was
/// changed is listed on standard error.
///
/// A trace with which nothing is wrong is copied as it is. Repairing a trace again changes nothing. Of a
/// file that holds several traces the first is repaired, and the byte at which the next begins is said:
/// --at repairs that one, into a file of its own. A trace of before Go 1.22 is
/// written in today's format.
#[derive(clap::Args)]
#[command(after_help = super::help::page("\
Examples:
  gotrace repair broken.trace sound.trace
  gotrace repair --json broken.trace sound.trace | jq .losses
  gotrace repair --at 204800 two.trace second.trace
  gotrace repair --fix-clock windows.trace right.trace"))]
pub struct Args {
    /// Print what was changed as one JSON object, on standard output
    #[arg(long)]
    json: bool,

    /// Correct the times of a trace that "gotrace stat" says to have a wrong clock
    #[arg(long)]
    fix_clock: bool,

    #[command(flatten)]
    memory: Memory,

    /// The damaged trace; "-" is the standard input
    #[arg(value_name = "IN")]
    file: PathBuf,

    /// The trace to write, which takes the place of a file of that name once it is whole; "-" is the
    /// standard output
    #[arg(value_name = "OUT")]
    out: PathBuf,
}

pub fn run(args: Args) -> Result {
    if is_same(&args.file, &args.out) {
        let error = "the repaired trace cannot take the place of the damaged one";
        return Err(Failure::file(&args.file, error));
    }
    if args.json && is_stdin(&args.out) {
        super::help::refuse(
            "repair",
            "--json and an OUT of \"-\" would mix on standard output",
        );
    }
    let progress = Progress::new([&args.file], false);
    let source = match args.memory.map(&args.file)? {
        Some(mapped) => Source::Mapped(mapped),
        None => {
            let reader = args.memory.open_events(&args.file, &progress)?;
            Source::Stream(Some(Box::new(reader.lenient())))
        }
    };
    let version = match &source {
        Source::Mapped(mapped) => Trace::new(mapped.bytes()).ok().map(|t| t.version()),
        Source::Stream(reader) => reader.as_ref().map(|reader| reader.version()),
    };
    let is_old = version.is_some_and(|version| version.minor() < 22);
    let factor = match (&source, args.fix_clock) {
        (_, false) => 1,
        (Source::Mapped(mapped), true) => clock_factor(&args.file, mapped.bytes())?,
        (Source::Stream(_), true) => {
            let error = "--fix-clock needs a file that is not compressed";
            return Err(Failure::file(&args.file, error));
        }
    };
    let mut job = Job {
        file: &args.file,
        source,
        factor,
        failure: None,
    };
    let repaired = if is_stdin(&args.out) {
        let mut out = io::stdout().lock();
        let repaired = job.write(&mut out, |_| Ok(false));
        out.flush()?;
        repaired
    } else {
        let mut repaired = Err(io::Error::other("nothing was written"));
        write_file(&args.out, |file| {
            repaired = job.write(&mut &*file, |bytes| copy(file, bytes));
            match &repaired {
                Ok(_) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            }
        })
        .or_else(|failure| job.failure.take().map_or(Err(failure), Err))?;
        repaired
    };
    drop(progress);
    let repaired = match (repaired, job.failure.take()) {
        (_, Some(failure)) => return Err(failure),
        (Ok(repaired), None) => repaired,
        (Err(error), None) => return Err(error.into()),
    };
    report(&args, &repaired, is_old)
}

/// Puts a sound trace in the place of what was written.
fn copy(mut file: &File, bytes: &[u8]) -> io::Result<bool> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(bytes)?;
    Ok(true)
}

enum Source {
    Mapped(super::input::Mapped),
    Stream(Option<Box<StreamReader<Stream, Growing, Lenient>>>),
}

/// A trace that is being repaired.
struct Job<'a> {
    file: &'a Path,
    source: Source,
    factor: u32,
    /// Why it could not be read.
    failure: Option<Failure>,
}

impl Job<'_> {
    /// Writes the repaired trace; or, where `copy` can do that, the one that was read if nothing is wrong
    /// with it.
    fn write(
        &mut self,
        out: &mut dyn Write,
        copy: impl FnOnce(&[u8]) -> io::Result<bool>,
    ) -> io::Result<Repaired> {
        let mut failed = |file: &Path, error: ReadError| {
            self.failure = Some(Failure::trace(file, error));
            io::Error::other("the trace cannot be read")
        };
        match &mut self.source {
            Source::Mapped(mapped) => {
                let bytes = mapped.bytes();
                let trace = Trace::new(bytes).map_err(|e| failed(self.file, e.into()))?;
                let mut reader = trace.reader().lenient();
                let mut repairer = Repairer::new(trace.version())
                    .map_err(|e| failed(self.file, e.into()))?
                    .with_time_factor(self.factor);
                while let Some(item) = reader.next().map_err(|e| failed(self.file, e.into()))? {
                    if !repairer.item(&item) {
                        break;
                    }
                    drain(&mut repairer, out, PIECE)?;
                }
                repairer.finish();
                drain(&mut repairer, out, 0)?;
                let repaired = repairer.into_report(reader.losses());
                if repaired.is_unchanged() && self.factor == 1 && is_sound(&trace) {
                    copy(bytes)?;
                }
                Ok(repaired)
            }
            Source::Stream(reader) => {
                let Some(mut reader) = reader.take() else {
                    return Err(io::Error::other("the trace was read before"));
                };
                let mut repairer = Repairer::new(reader.version())
                    .map_err(|e| failed(self.file, e.into()))?
                    .with_time_factor(self.factor);
                loop {
                    match reader.next() {
                        Ok(Some(item)) if repairer.item(&item) => {}
                        Ok(_) => break,
                        Err(ReadError::Io(error)) if InputError::of(&error).is_some() => {
                            // What was compressed is damaged: everything before that was read.
                            note(Failure::trace(self.file, error));
                            break;
                        }
                        Err(error) => return Err(failed(self.file, error)),
                    }
                    drain(&mut repairer, out, PIECE)?;
                }
                repairer.finish();
                drain(&mut repairer, out, 0)?;
                Ok(repairer.into_report(reader.losses()))
            }
        }
    }
}

/// How much is gathered before it is written.
const PIECE: usize = 1 << 20;

fn drain(repairer: &mut Repairer, out: &mut dyn Write, most: usize) -> io::Result<()> {
    if repairer.bytes().len() > most {
        out.write_all(repairer.bytes())?;
        repairer.clear();
    }
    Ok(())
}

/// Whether the strict reader accepts a trace, to its very end.
fn is_sound(trace: &Trace<'_>) -> bool {
    let mut reader = trace.reader();
    loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => return reader.ending(None).is_complete(),
            Err(_) => return false,
        }
    }
}

/// By what the times of a trace must be multiplied.
fn clock_factor(file: &Path, bytes: &[u8]) -> Result<u32> {
    let trace = Trace::new(bytes).map_err(|e| Failure::trace(file, e))?;
    let mut check = ClockCheck::new(trace.version());
    let mut generations: Vec<_> = trace.generations().flatten().collect();
    generations.reverse();
    let mut before = generations.pop();
    // A generation is as long as it is to the next one.
    while let (Some(this), Some(next)) = (before, generations.pop()) {
        if let Some(frequency) = this.frequency {
            check.add(frequency, this.earliest, next.earliest);
        }
        before = Some(next);
    }
    check.factor().ok_or_else(|| {
        Failure::file(
            file,
            "nothing is wrong with its clock that could be corrected",
        )
    })
}

/// Says what was changed; `is_old` of a trace of before Go 1.22.
fn report(args: &Args, repaired: &Repaired, is_old: bool) -> Result {
    if args.json {
        let mut out = output::styled();
        output::json_line(&mut out, repaired)?;
        return Ok(out.flush()?);
    }
    const SHOWN: usize = 20;
    for change in repaired.changes.iter().take(SHOWN) {
        note(format_args!("{change:#}"));
    }
    let hidden = repaired.changes.len().saturating_sub(SHOWN) as u64 + repaired.more_changes;
    if hidden > 0 {
        note(format_args!("and {hidden} changes more: --json lists them"));
    }
    let (losses, written) = (&repaired.losses, &repaired.written);
    let name = output::name(&args.file);
    if repaired.is_unchanged() {
        let clock = if args.fix_clock {
            ", but for its clock, which is corrected"
        } else {
            ""
        };
        note(format_args!("{name}: nothing is wrong with it{clock}"));
        return Ok(());
    }
    note(format_args!(
        "{name}: {} events kept, {} made up, {} left out, {} bytes lost",
        written.events,
        written.made_up,
        losses.left_out.saturating_add(written.left_out),
        losses.bytes_lost,
    ));
    if is_old {
        note(format_args!(
            "{name}: today's format has no place for some of what a trace of before Go 1.22 says, such as \
             what happens on no thread"
        ));
    }
    if let Some(other) = &repaired.another_trace {
        let at = args.memory.begins_at().saturating_add(other.offset.0);
        note(format_args!(
            "{name}: what follows from byte {at} on is another trace, and is not in the repaired one: \
             \"--at {at}\" repairs that"
        ));
    }
    Ok(())
}

/// Whether two names are those of one file.
fn is_same(a: &Path, b: &Path) -> bool {
    !is_stdin(a) && matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
