//! `gotrace stat`: what is in a trace.

use super::input::{Memory, Stream, Whole};
use super::lenient;
use super::needs;
use super::output::{self, EndingJson, Failure, Failures, Result};
use super::parallel;
use super::progress::Progress;
use super::reading::Reading;
use super::stat_old::{self, OldScan};
use super::stat_scan::{Batches, Scan};
use anstyle::{AnsiColor, Style};
use gotrace::ErrorKind;
use gotrace::generation::Ending;
use gotrace::legacy;
use gotrace::reader::Losses;
use gotrace::source::open::{Compression, InputError};
use gotrace::source::{Part, SourceError, StreamSource, TraceSource as _};
use gotrace::wire::{Class, EventType, Version};
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gotrace stat app.trace
  gotrace stat --json *.trace | jq 'select(.error) | .file'
  zcat app.trace.gz | gotrace stat -
  gotrace stat --tables *.trace > tables.rs
  curl -sN 'http://localhost:6060/debug/pprof/trace?seconds=60' | gotrace stat --follow -";

const SCHEMA: &str = include_str!("../../docs/schema/stat.txt");

/// Show what a trace file is made of: version, times, threads, and what takes how many bytes.
///
/// What the program did is what "gotrace summary" shows. This is the file: its batches, records and bytes.
///
/// The table has a row for each type of event, with bytes and shares of the trace as
/// "go tool trace -d=footprint" counts them. "padding" is what Go pads the headers of batches with,
/// so that all rows and the 16 bytes of the file's header add up to the size. A damaged trace is
/// summarized as far as it can be read. Of a trace of before Go 1.22, which is one generation, the
/// rows have the names of that format, and threads are those on which procs started.
///
/// "events" counts them as Go's reader gives them, and as "gotrace check" does: with the samples of
/// the CPU profile, all events of a coroutine switch, and the Sync events, of which one begins each
/// generation and one ends the trace.
///
/// With --follow, shows how a running program is doing as its trace comes, generation by generation,
/// about a second each: events a second by kind, goroutines, heap, garbage collection. On a terminal
/// this is refreshed in place. FILE may then also be tcp:HOST:PORT, unix:PATH, and what "gotrace tee
/// --help" lists.
#[derive(clap::Args)]
#[command(after_help = super::help::page(EXAMPLES))]
#[command(after_long_help = super::help::page(format!("{EXAMPLES}\n\n{SCHEMA}").trim_end()))]
pub struct Args {
    /// Print one JSON object a trace, each on a line
    #[arg(long)]
    json: bool,

    /// Count the records and bytes of the file; this is the default
    #[arg(long)]
    wire: bool,

    /// Show one live trace as it comes, until it ends
    #[cfg(unix)]
    #[arg(long, conflicts_with = "wire")]
    follow: bool,

    /// With --follow, stop when nothing was added to the file for this long
    #[cfg(unix)]
    #[arg(long, value_name = "TIME", requires = "follow", value_parser = super::live::duration)]
    idle: Option<std::time::Duration>,

    /// Print the capacities that tables of fixed size need to read these traces, as the text for
    /// Rust's "gotrace::tables!"
    #[arg(long, conflicts_with_all = ["wire", "lenient"])]
    tables: bool,

    #[command(flatten)]
    reading: Reading,

    /// The traces; "-" is the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What is known of a trace. This is the schema of the JSON form: a field may be added, none will
/// change its meaning.
#[derive(Serialize, Default)]
struct Summary {
    /// As given.
    file: String,
    /// What is wrong with it; null if nothing is.
    error: Option<String>,
    /// Where, in bytes from the start of the trace, if that is known.
    error_offset: Option<u64>,
    /// How it ends; null if that is not known.
    ending: Option<EndingJson>,
    /// What is doubtful about its clock; null if nothing is.
    clock_warning: Option<String>,
    /// As "1.26": of the trace's format. Null if the file is no trace that can be read.
    version: Option<String>,
    /// Length in bytes; of what a compressed file or a pipe holds, as far as it was read.
    size: u64,
    generations: u64,
    /// The numbers of the first and the last generation.
    first_generation: Option<u64>,
    last_generation: Option<u64>,
    /// When the first event happened, RFC 3339; null before Go 1.25, which does not tell.
    start: Option<String>,
    /// From the first event to the last, in nanoseconds.
    duration_ns: Option<i64>,
    /// Threads that wrote events.
    threads: usize,
    batches: Batches,
    /// As Go's reader gives them, and as `gotrace check` counts them. Of a trace that is damaged, what
    /// its records would give.
    events: u64,
    /// Whether there may be a few events more: in a trace of a program that calls C, only reading its
    /// events in order tells, which takes a file.
    events_at_least: bool,
    /// Of these, those of kind Sync: one begins each generation, one ends the trace.
    sync_events: u64,
    strings: u64,
    stacks: u64,
    samples: u64,
    /// Every type of which there is any, the one with the most bytes first.
    types: Vec<Type>,
    /// Bytes of padding in the headers of batches.
    padding: u64,
    /// With --lenient, of a trace that is damaged: what is read of it all the same, and what is lost.
    losses: Option<Losses>,
    /// Whether how many events there are can only be found by reading them in order.
    #[serde(skip)]
    depends_on_order: bool,
}

#[derive(Serialize)]
struct Type {
    name: String,
    count: u64,
    bytes: u64,
}

pub fn run(args: Args) -> Result {
    #[cfg(unix)]
    if args.follow {
        let [file] = &args.files[..] else {
            clap::Error::raw(
                clap::error::ErrorKind::TooManyValues,
                "--follow takes one FILE\n",
            )
            .exit();
        };
        let input = super::live::Live::of(file);
        return super::follow::run(&input, args.idle, args.json);
    }
    if args.tables {
        return needs::print(&args.files, &args.reading.memory, args.json);
    }
    let progress = Progress::new(&args.files, false);
    let mut out = output::styled();
    let mut failures = Failures::default();
    let mut first = true;
    let work = |file: &PathBuf| summarize(file, &args.reading, &progress);
    parallel::in_order(&args.files, None, work, |_, (summary, result)| -> Result {
        if args.json {
            output::json_line(&mut out, &summary)?;
        } else if summary.version.is_some() {
            if !first {
                writeln!(out)?;
            }
            first = false;
            print(&mut out, &summary)?;
        }
        if let Err(failure) = result {
            out.flush()?;
            failures.add(failure);
        }
        Ok(())
    })?;
    drop(progress);
    out.flush()?;
    failures.result()
}

fn summarize(file: &Path, reading: &Reading, progress: &Progress) -> (Summary, Result) {
    let mut summary = Summary {
        file: file.to_string_lossy().into_owned(),
        ..Summary::default()
    };
    let memory = &reading.memory;
    let mut result = memory
        .open(file, progress)
        .and_then(|input| summary.read(file, memory, input, progress));
    match &result {
        Err(Failure::File { error, offset, .. }) => {
            summary.error = Some(error.clone());
            summary.error_offset = *offset;
        }
        Err(Failure::Ending { ending, .. }) => {
            summary.error = Some(ending.to_string());
            // Nothing is wrong with a byte that is there.
            let is_some = *ending != Ending::HeaderOnly;
            summary.error_offset = ending.offset().filter(|_| is_some).map(|at| at.0);
            summary.ending = Some((*ending).into());
        }
        _ => {}
    }
    if reading.lenient && result.is_err() && summary.version.is_some() {
        result = lenient::losses(file, memory).map(|losses| {
            summary.events = losses.events;
            summary.losses = Some(losses);
        });
    }
    (summary, result)
}

impl Summary {
    /// Reads a trace; past damage that leaves the headers of batches whole, to the end. Gives the
    /// first error.
    fn read(
        &mut self,
        file: &Path,
        memory: &Memory,
        mut input: Stream,
        progress: &Progress,
    ) -> Result {
        // What has no version is refused below.
        let version = input.version();
        if let Ok(version) = version
            && !version.has_generations()
        {
            self.version = Some(format!("1.{}", version.minor()));
            self.size = size(file, &input);
            let trace = memory.whole(file, input)?;
            return self.read_old(file, &trace, progress);
        }
        let mut source = StreamSource::new(input).once();
        let mut ending = Ending::Complete;
        let damaged = |error: SourceError| match error {
            SourceError::Trace(error) => Failure::trace(file, error),
            SourceError::Io(error) => {
                let error = match InputError::of(&error) {
                    Some(same) => same.into(),
                    None => io::Error::new(error.kind(), error),
                };
                Failure::trace(file, error)
            }
            other => Failure::file(file, other),
        };
        let version = match source.start() {
            Ok(version) => version,
            Err(error) => {
                self.size = size(file, &source.into_inner());
                // What it is that is no trace, an input says best.
                let strange = match (&error, version) {
                    (SourceError::Text(_), Err(strange)) => Failure::trace(file, strange),
                    _ => damaged(error),
                };
                return Err(strange);
            }
        };
        self.version = Some(format!("1.{}", version.minor()));
        let mut scan = Scan::new(version);
        let mut result = Ok(());
        loop {
            match source.next() {
                Ok(Some(Part::Batches(batches))) => {
                    let read = scan.batches(&batches);
                    result = result.and(read.map_err(|e| Failure::trace(file, e)));
                }
                Ok(Some(Part::EndOfGeneration(_))) => scan.end_generation(),
                // The source is for one trace.
                Ok(Some(Part::Restart(_) | Part::Header(_))) => {}
                Ok(None) => break,
                // Before 1.26 the end of a trace ends its last generation, as for all who read it.
                Err(SourceError::Trace(error))
                    if error.kind() == ErrorKind::IncompleteGeneration
                        && version < Version::Go126 =>
                {
                    break;
                }
                Err(error) => {
                    if let SourceError::Trace(error) = &error {
                        ending = Ending::of(Some(*error));
                    }
                    scan.cut(source.rest());
                    result = result.and(Err(damaged(error)));
                    break;
                }
            }
        }
        if result.is_ok() && scan.generations == 0 {
            ending = Ending::HeaderOnly;
            result = output::ends(file, ending);
        }
        self.ending = Some(ending.into());
        scan.end_generation();
        self.clock_warning = scan.clock.factor().map(|factor| {
            format!(
                "times are {factor} times too short: Go 1.22 on Windows wrote the frequency of another \
                 clock (go.dev/issue/65997); \"gotrace repair --fix-clock\" corrects it"
            )
        });
        self.size = size(file, &source.into_inner());
        self.take(scan);
        if result.is_ok() && self.depends_on_order {
            // A pipe cannot be read again.
            self.events_at_least = !file.metadata().is_ok_and(|file| file.is_file());
            if !self.events_at_least {
                self.events = needs::count(file, memory)?;
            }
        }
        result
    }

    /// Reads a trace of before Go 1.22.
    fn read_old(&mut self, file: &Path, trace: &Whole, progress: &Progress) -> Result {
        self.size = trace.bytes().len() as u64;
        let mut old = OldScan::default();
        let result = old.read(trace, progress);
        self.generations = 1;
        (self.first_generation, self.last_generation) = (Some(1), Some(1));
        self.threads = old.threads.len();
        self.duration_ns = old.duration();
        for (ty, [count, bytes]) in old.types {
            match ty {
                legacy::EventType::BATCH => self.batches.events = count,
                legacy::EventType::STRING => self.strings = count,
                legacy::EventType::STACK => self.stacks = count,
                legacy::EventType::FREQUENCY | legacy::EventType::TIMER_GOROUTINE => {}
                legacy::EventType::CPU_SAMPLE => {
                    self.samples = count;
                    self.events += count;
                }
                _ => self.events += count,
            }
            let name = ty.to_string();
            self.types.push(Type { name, count, bytes });
        }
        self.types.sort_by_key(|t| std::cmp::Reverse(t.bytes));
        // How many events come of the records shows in their order, if they have one.
        if let Ok((events, syncs)) = stat_old::events_of(trace.bytes()) {
            (self.events, self.sync_events) = (events, syncs);
        }
        result.map_err(|error| Failure::trace(file, error))
    }

    fn take(&mut self, scan: Scan) {
        let footprint = &scan.footprint;
        self.generations = scan.generations;
        (self.first_generation, self.last_generation) = scan.numbers.unzip();
        self.threads = scan.threads.len();
        self.batches = scan.batches;
        self.start = scan.start.map(|start| start.to_string());
        self.duration_ns = scan.times.map(|(first, last)| last.since(first));
        self.strings = footprint.of(EventType::STRING).count;
        self.stacks = footprint.of(EventType::STACK).count;
        self.samples = footprint.of(EventType::CPU_SAMPLE).count;
        self.padding = footprint.padding();
        for (ty, tally) in footprint.iter() {
            let timed = ty.spec().is_some_and(|spec| spec.class == Class::Timed);
            self.events += match ty {
                EventType::CLOCK_SNAPSHOT => 0,
                EventType::CPU_SAMPLE => tally.count,
                // One goroutine blocks or ends, another is unblocked and runs.
                EventType::GO_SWITCH | EventType::GO_SWITCH_DESTROY => 3 * tally.count,
                _ if timed => tally.count,
                _ => 0,
            };
            self.types.push(Type {
                name: ty.to_string(),
                count: tally.count,
                bytes: tally.bytes,
            });
        }
        if self.generations > 0 {
            self.sync_events = self.generations + 1;
            self.events += self.sync_events;
        }
        // Where the thread of a goroutine from C ends, it may lose its proc: an event more.
        self.depends_on_order = footprint.of(EventType::GO_DESTROY_SYSCALL).count > 0;
        self.types.sort_by_key(|t| std::cmp::Reverse(t.bytes));
    }
}

/// The length of what was read; of a file that is not compressed, all of it.
fn size(file: &Path, input: &Stream) -> u64 {
    let whole = match (input.compression(), file.metadata()) {
        (Compression::Plain, Ok(file)) if file.is_file() => Some(file.len()),
        _ => None,
    };
    whole.unwrap_or(input.position())
}

fn row(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "  {name:<12} {value}")
}

const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const TITLE: Style = Style::new().bold();
const HEADING: Style = Style::new().underline();

fn print(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let file = output::name(Path::new(&summary.file));
    writeln!(out, "{TITLE}{file}{TITLE:#}")?;
    let version = summary.version.as_deref().unwrap_or("unknown");
    row(out, "version", &format!("Go {version}"))?;
    row(out, "size", &bytes(summary.size))?;
    row(out, "generations", &generations(summary))?;
    row(out, "start", summary.start.as_deref().unwrap_or("unknown"))?;
    let duration = summary.duration_ns.map(duration);
    row(out, "duration", duration.as_deref().unwrap_or("unknown"))?;
    if let Some(warning) = &summary.clock_warning {
        row(
            out,
            "clock",
            &format!("{WARNING}warning{WARNING:#}: {warning}"),
        )?;
    }
    row(out, "threads", &summary.threads.to_string())?;
    row(out, "batches", &batches(&summary.batches))?;
    let more = if summary.events_at_least {
        " or a few more"
    } else {
        ""
    };
    let events = format!("{}{more} ({} sync)", summary.events, summary.sync_events);
    row(out, "events", &events)?;
    row(out, "strings", &summary.strings.to_string())?;
    row(out, "stacks", &summary.stacks.to_string())?;
    row(out, "CPU samples", &summary.samples.to_string())?;
    if summary.types.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    table(out, summary)
}

/// What takes the bytes, with as much room for each column as it needs.
fn table(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let records: u64 = summary.types.iter().map(|t| t.count).sum();
    let digits = |n: u64| n.to_string().len();
    let types = &summary.types;
    let names = types.iter().map(|t| t.name.len());
    let name = names.chain(["padding".len()]).max().unwrap_or(0);
    let byte = digits(summary.size).max("bytes".len());
    let count = digits(records).max("count".len());
    writeln!(
        out,
        "  {HEADING}{:<name$}  {:>byte$}  {:>7}  {:>count$}  {:>7}{HEADING:#}",
        "event", "bytes", "share", "count", "share"
    )?;
    for t in types {
        writeln!(
            out,
            "  {:<name$}  {:>byte$}  {:>7}  {:>count$}  {:>7}",
            t.name,
            t.bytes,
            share(t.bytes, summary.size),
            t.count,
            share(t.count, records),
        )?;
    }
    let padding = summary.padding;
    if padding > 0 {
        let share = share(padding, summary.size);
        writeln!(out, "  {:<name$}  {padding:>byte$}  {share:>7}", "padding")?;
    }
    Ok(())
}

fn share(part: u64, whole: u64) -> String {
    format!("{:.2}%", part as f64 * 100.0 / whole.max(1) as f64)
}

fn bytes(n: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, bits)| n >> bits > 0) {
        Some((unit, bits)) => {
            let in_units = n as f64 / (1u64 << bits) as f64;
            format!("{in_units:.1} {unit} ({n} bytes)")
        }
        None => format!("{n} bytes"),
    }
}

fn generations(summary: &Summary) -> String {
    match (summary.first_generation, summary.last_generation) {
        (Some(first), Some(last)) if first != last => {
            format!("{} ({first} to {last})", summary.generations)
        }
        (Some(first), _) => format!("{} ({first})", summary.generations),
        (None, _) => summary.generations.to_string(),
    }
}

fn duration(nanoseconds: i64) -> String {
    let n = nanoseconds as f64;
    match nanoseconds.unsigned_abs() {
        0..1_000 => format!("{n}ns"),
        1_000..1_000_000 => format!("{:.3}\u{b5}s", n / 1e3),
        1_000_000..1_000_000_000 => format!("{:.3}ms", n / 1e6),
        _ => format!("{:.3}s", n / 1e9),
    }
}

fn batches(batches: &Batches) -> String {
    let total: u64 = batches.named().iter().map(|(_, n)| n).sum();
    let parts = batches.named().into_iter().filter(|(_, n)| *n > 0);
    let parts: Vec<String> = parts.map(|(name, n)| format!("{n} {name}")).collect();
    match parts.as_slice() {
        [] => total.to_string(),
        parts => format!("{total} ({})", parts.join(", ")),
    }
}
