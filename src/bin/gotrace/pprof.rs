//! `gotrace pprof`: profiles of what goroutines waited for, by stack.

use super::answers::{self, Part, Question};
use super::help;
use super::output::{self, Result};
use super::progress::Progress;
use super::reading::{Ended, Reading};
use gotrace::analysis::as_go;
use gotrace::analysis::profile::{Kind, Profile};
use gotrace::analysis::states::{Goroutine, States, Stay, Visitor};
use gotrace::export::pprof::{self, Builder};
use gotrace::{Event, Time};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

/// Make a profile for "go tool pprof", or folded stacks for flame graphs.
///
/// Where goroutines waited, or made system calls, or ran: how often and how long, by call stack. Of a
/// trace that is damaged, all before the damage counts, and the exit status says so.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("kind").required(true))]
#[command(after_help = help::page("\
Examples:
  gotrace pprof --sync app.trace > sync.pb.gz && go tool pprof -top sync.pb.gz
  gotrace pprof --off-cpu --folded app.trace | inferno-flamegraph > off-cpu.svg
  gotrace pprof --sched --as-go -o sched.pb.gz app.trace"))]
pub struct Args {
    /// Waiting for the network
    #[arg(long, group = "kind")]
    net: bool,

    /// Waiting for channels, locks and select
    #[arg(long, group = "kind")]
    sync: bool,

    /// In system calls
    #[arg(long, group = "kind")]
    syscall: bool,

    /// Waiting for a processor, by the stack of what made the goroutine ready
    #[arg(long, group = "kind")]
    sched: bool,

    /// Samples of the CPU profiler, if it ran while the trace was made; 10 ms each
    #[arg(long, group = "kind")]
    cpu: bool,

    /// All time of all goroutines, by their own stacks
    #[arg(long, group = "kind")]
    wall: bool,

    /// All time in which goroutines did not run, by their own stacks
    #[arg(long, group = "kind")]
    off_cpu: bool,

    /// Write folded stacks as text: a line a stack, the outermost function first, and nanoseconds
    #[arg(long)]
    folded: bool,

    /// Count as "go tool trace -pprof" does, which leaves out all before a goroutine first ran, and
    /// what was not over when the trace ended
    #[arg(long, conflicts_with_all = ["cpu", "wall", "off_cpu", "from", "to", "goroutine"])]
    as_go: bool,

    /// Write to this file, not to the standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    reading: Reading,

    /// The trace; "-" is the standard input
    file: PathBuf,

    // The last: its heading reaches to the end.
    #[command(flatten)]
    part: Part,
}

impl Args {
    fn kind(&self) -> Kind {
        let given = [
            (self.net, Kind::Net),
            (self.sync, Kind::Sync),
            (self.syscall, Kind::Syscall),
            (self.sched, Kind::Sched),
            (self.cpu, Kind::Cpu),
            (self.wall, Kind::Wall),
        ];
        let found = given.into_iter().find(|(is_given, _)| *is_given);
        found.map_or(Kind::OffCpu, |(_, kind)| kind)
    }
}

/// A profile that also takes samples.
struct Counting(Profile);

impl Visitor for Counting {
    #[inline]
    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        self.0.stay(states, goroutine, stay);
    }
}

impl Question for Counting {
    fn begin(&mut self, from: Time) {
        self.0.set_from(from);
    }

    #[inline]
    fn event(&mut self, event: &Event<'_, '_>, states: &mut States) {
        self.0.sample(event, states);
    }
}

pub fn run(args: Args) -> Result {
    if args.output.is_none() && !args.folded && io::stdout().is_terminal() {
        help::refuse(
            "pprof",
            "a profile is no text for a terminal: name a file with --output, or use --folded",
        );
    }
    let progress = Progress::new([&args.file], false);
    let (bytes, failure) = match args.kind().as_go().filter(|_| args.as_go) {
        Some(kind) => as_go(&args, kind, &progress)?,
        None => counted(&args, &progress)?,
    };
    drop(progress);
    write(&args, &bytes)?;
    failure.map_or(Ok(()), Err)
}

/// The profile as bytes, and what ended the reading.
type Made = (Vec<u8>, Ended);

fn counted(args: &Args, progress: &Progress) -> Result<Made> {
    let profile = Profile::new(args.kind()).with_goroutines(args.part.goroutines());
    let mut counting = Counting(profile);
    let answered = answers::ask(
        &args.file,
        &args.reading,
        &args.part,
        progress,
        &mut counting,
    )?;
    let names = answered.states.names();
    let mut bytes = Vec::new();
    if args.folded {
        pprof::write_folded(&counting.0, names, &mut bytes)?;
    } else {
        Builder::of(&counting.0, names).write(&mut bytes)?;
    }
    Ok((bytes, answered.ended))
}

fn as_go(args: &Args, kind: as_go::ProfileKind, progress: &Progress) -> Result<Made> {
    let mut profile = as_go::Profile::new(kind);
    let mut summarizer = as_go::Summarizer::new();
    let ended = args.reading.events(&args.file, progress, |event| {
        summarizer.add(event);
        profile.add(event);
        Ok(true)
    })?;
    summarizer.finish(ended.is_none());
    let mut bytes = Vec::new();
    if args.folded {
        let mut lines: BTreeMap<String, i64> = BTreeMap::new();
        profile.each(&summarizer, |frames, _, time| {
            *lines
                .entry(pprof::folded(frames.iter().rev().copied()))
                .or_default() += time;
        });
        for (line, time) in lines {
            writeln!(bytes, "{line} {time}")?;
        }
    } else {
        let mut builder = Builder::new();
        profile.each(&summarizer, |frames, count, time| {
            builder.add(frames, count, time, &[]);
        });
        builder.write(&mut bytes)?;
    }
    Ok((bytes, ended))
}

fn write(args: &Args, bytes: &[u8]) -> Result {
    let Some(path) = args
        .output
        .as_deref()
        .filter(|path| *path != Path::new("-"))
    else {
        let mut out = io::stdout().lock();
        return Ok(out.write_all(bytes).and_then(|()| out.flush())?);
    };
    output::write_file(path, |mut file| file.write_all(bytes))
}
