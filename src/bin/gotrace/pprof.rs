//! `gotrace pprof`: profiles of what goroutines waited for, by stack.

use super::answer::{Asked, merged};
use super::answers;
use super::filter;
use super::help;
use super::output::{self, Failures, Result};
use super::progress::Progress;
use super::reading::Reading;
use gotrace::analysis::as_go;
use gotrace::analysis::names::Names;
use gotrace::analysis::profile::{Kind, Profile};
use gotrace::analysis::scope::Scope;
use gotrace::analysis::states::States;
use gotrace::export::pprof::{self, Builder};
use gotrace::select::Filter;
use gotrace::{Event, EventKind};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gotrace pprof --sync app.trace > sync.pb.gz && go tool pprof -top sync.pb.gz
  gotrace pprof --off-cpu --folded app.trace | inferno-flamegraph > off-cpu.svg
  gotrace pprof --sched --as-go -o sched.pb.gz app.trace";

const FOLDED: &str = "\
Folded stacks are lines of text: the functions of a stack, the
outermost first, with \";\" between, then a space and nanoseconds. In
those of --wall and --off-cpu the innermost is what the goroutine does
there, as in \"[waiting: chan receive]\".";

/// Make a profile for "go tool pprof", or folded stacks for flame graphs.
///
/// Where goroutines waited, or made system calls, or ran: how often and how long, by call stack. Of
/// several traces, which should be of one program, all together. Of a trace that is damaged, all before
/// the damage counts, and the exit status says so.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("kind").required(true))]
#[command(after_help = help::page(EXAMPLES))]
#[command(after_long_help = filter::explained(EXAMPLES, FOLDED))]
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
    #[arg(long, conflicts_with_all = ["cpu", "wall", "off_cpu"], conflicts_with_all = filter::COMMON)]
    as_go: bool,

    /// Write to this file, not to the standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    reading: Reading,

    /// The traces; "-" is the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    // The last: its heading reaches to the end.
    #[command(flatten)]
    filter: filter::Common,
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

pub fn run(args: Args) -> Result {
    if args.output.is_none() && !args.folded && io::stdout().is_terminal() {
        help::refuse(
            "pprof",
            "a profile is no text for a terminal: name a file with --output, or use --folded",
        );
    }
    let filter = args.filter.of("pprof", &[], "");
    let progress = Progress::new(&args.files, false);
    let mut failures = Failures::default();
    let bytes = match args.kind().as_go().filter(|_| args.as_go) {
        Some(kind) => as_go(&args, kind, &progress, &mut failures)?,
        None => counted(&args, &filter, &progress, &mut failures)?,
    };
    drop(progress);
    write(&args, &bytes)?;
    failures.result()
}

fn counted(
    args: &Args,
    filter: &Filter,
    progress: &Progress,
    failures: &mut Failures,
) -> Result<Vec<u8>> {
    let ask = |file: &Path| -> Asked<(Profile, Names)> {
        let mut profile = Profile::new(args.kind());
        let after = |profile: &mut Profile,
                     event: &Event<'_, '_>,
                     states: &mut States,
                     scope: &mut Scope<'_>| {
            if event.kind() == EventKind::StackSample && scope.counts_event(event, states) {
                profile.sample(event, states);
            }
        };
        let (reading, visitor) = (&args.reading, &mut profile);
        let mut answered = answers::ask(file, reading, filter, progress, visitor, after)?;
        let names = std::mem::take(answered.states.names_mut());
        Ok((Some((profile, names)), answered.ended))
    };
    type Both = (Profile, Names);
    let merge = |(all, ours): &mut Both, (profile, names): Both| all.merge(ours, &profile, &names);
    let all = merged(&args.files, failures, ask, merge)?;
    let (profile, names) = all.unwrap_or_else(|| (Profile::new(args.kind()), Names::new()));
    let mut bytes = Vec::new();
    if args.folded {
        pprof::write_folded(&profile, &names, &mut bytes)?;
    } else {
        Builder::of(&profile, &names).write(&mut bytes)?;
    }
    Ok(bytes)
}

fn as_go(
    args: &Args,
    kind: as_go::ProfileKind,
    progress: &Progress,
    failures: &mut Failures,
) -> Result<Vec<u8>> {
    let ask = |file: &Path| -> Asked<Vec<(as_go::Profile, as_go::Summarizer)>> {
        let mut profile = as_go::Profile::new(kind);
        let mut summarizer = as_go::Summarizer::new();
        let ended = args.reading.events(file, progress, |event| {
            summarizer.add(event);
            profile.add(event);
            Ok(true)
        })?;
        summarizer.finish(ended.is_none());
        Ok((Some(vec![(profile, summarizer)]), ended))
    };
    let mut lines: BTreeMap<String, i64> = BTreeMap::new();
    let mut builder = Builder::new();
    let merge = |all: &mut Vec<_>, more: Vec<_>| all.extend(more);
    let all = merged(&args.files, failures, ask, merge)?;
    for (profile, summarizer) in all.unwrap_or_default() {
        profile.each(&summarizer, |frames, count, time| match args.folded {
            true => {
                let line = pprof::folded(frames.iter().rev().copied());
                *lines.entry(line).or_default() += time;
            }
            false => builder.add(frames, count, time, &[]),
        });
    }
    let mut bytes = Vec::new();
    if args.folded {
        for (line, time) in lines {
            writeln!(bytes, "{line} {time}")?;
        }
    } else {
        builder.write(&mut bytes)?;
    }
    Ok(bytes)
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
