//! `gotrace stat`: what is in a trace.

use crate::input::Input;
use crate::output::{self, Failure, Result};
use crate::parallel;
use crate::progress::Progress;
use anstyle::Style;
use gotrace::legacy;
use gotrace::wire::{Batch, Chunk, Class, Contents, EventType, Events, Footprint};
use gotrace::{
    ThreadId, Time, Trace,
    generation::Generation,
    time::{Timestamp, WallTime},
};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Summarize traces: version, times, threads, and what takes how many bytes.
///
/// The table has a row for each type of event, with bytes and shares of the trace as
/// "go tool trace -d=footprint" counts them. "padding" is what Go pads the headers of batches with,
/// so that all rows and the 16 bytes of the file's header add up to the size. A damaged trace is
/// summarized as far as it can be read. Of a trace of before Go 1.22, which is one generation, the
/// rows have the names of that format, and threads are those on which procs started.
///
/// With --follow, shows how a running program is doing as its trace comes, generation by generation,
/// about a second each: events a second by kind, goroutines, heap, garbage collection. On a terminal
/// this is refreshed in place. FILE may then also be tcp:HOST:PORT, unix:PATH, and what "gotrace tee
/// --help" lists.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  gotrace stat app.trace
  gotrace stat --json *.trace | jq 'select(.error) | .file'
  zcat app.trace.gz | gotrace stat -
  curl -sN 'http://localhost:6060/debug/pprof/trace?seconds=60' | gotrace stat --follow -")]
pub struct Args {
    /// Print one JSON object a trace, each on a line
    #[arg(long)]
    json: bool,

    /// Show one live trace as it comes, until it ends
    #[cfg(unix)]
    #[arg(long)]
    follow: bool,

    /// With --follow, take a file to be complete when nothing was added to it for so long
    #[cfg(unix)]
    #[arg(long, value_name = "TIME", requires = "follow", value_parser = crate::live::duration)]
    idle: Option<std::time::Duration>,

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
    /// As "1.26": of the trace's format. Null if the file is no trace that can be read.
    version: Option<String>,
    /// Length in bytes, of what a compressed file holds.
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
    /// Timed events, clock snapshots not among them.
    events: u64,
    strings: u64,
    stacks: u64,
    samples: u64,
    /// Every type of which there is any, the one with the most bytes first.
    types: Vec<Type>,
    /// Bytes of padding in the headers of batches.
    padding: u64,
}

/// The number of batches, by what they hold.
#[derive(Serialize, Default)]
struct Batches {
    events: u64,
    strings: u64,
    stacks: u64,
    samples: u64,
    sync: u64,
    experimental: u64,
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
        let input = crate::live::Live::of(file);
        return crate::follow::run(&input, args.idle, args.json);
    }
    let progress = Progress::new(&args.files, false);
    let mut out = output::styled();
    let mut failed = false;
    let mut first = true;
    let work = |file: &PathBuf| summarize(file, &progress);
    parallel::in_order(&args.files, work, |_, (summary, result)| -> Result {
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
            output::report(&failure);
            failed = true;
        }
        Ok(())
    })?;
    drop(progress);
    out.flush()?;
    if failed {
        Err(Failure::Reported)
    } else {
        Ok(())
    }
}

fn summarize(file: &Path, progress: &Progress) -> (Summary, Result) {
    let mut summary = Summary {
        file: file.to_string_lossy().into_owned(),
        ..Summary::default()
    };
    let result = Input::open(file, progress).and_then(|input| {
        let result = summary.read(input.bytes(), progress);
        summary.error_offset = result.err().map(|e| e.offset().0);
        input.finish(result.map_err(|e| Failure::file(file, e)))
    });
    if let Err(Failure::File { error, .. }) = &result {
        summary.error = Some(error.clone());
    }
    (summary, result)
}

impl Summary {
    /// Reads a trace; past damage that leaves the headers of batches whole, to the end. Gives the
    /// first error.
    fn read(
        &mut self,
        bytes: &[u8],
        progress: &Progress,
    ) -> std::result::Result<(), gotrace::Error> {
        self.size = bytes.len() as u64;
        let trace = Trace::new(bytes)?;
        self.version = Some(format!("1.{}", trace.version().minor()));
        if !trace.version().has_generations() {
            return self.read_old(bytes, progress);
        }
        let mut scan = Scan::default();
        let mut result = Ok(());
        for generation in trace.generations() {
            let read = generation.and_then(|generation| {
                self.generations += 1;
                let number = Some(generation.number.get());
                self.first_generation = self.first_generation.or(number);
                self.last_generation = number;
                scan.generation(&trace, &generation, progress)
            });
            result = result.and(read);
        }
        self.take(scan);
        result
    }

    /// Reads a trace of before Go 1.22.
    fn read_old(
        &mut self,
        bytes: &[u8],
        progress: &Progress,
    ) -> std::result::Result<(), gotrace::Error> {
        let mut old = OldScan::default();
        let result = old.read(bytes, progress);
        self.generations = 1;
        (self.first_generation, self.last_generation) = (Some(1), Some(1));
        self.threads = old.threads.len();
        self.duration_ns = old.duration();
        for (ty, [count, bytes]) in old.types {
            match ty {
                legacy::EventType::BATCH => self.batches.events = count,
                legacy::EventType::STRING => self.strings = count,
                legacy::EventType::STACK => self.stacks = count,
                legacy::EventType::CPU_SAMPLE => self.samples = count,
                legacy::EventType::FREQUENCY | legacy::EventType::TIMER_GOROUTINE => {}
                _ => self.events += count,
            }
            let name = ty.to_string();
            self.types.push(Type { name, count, bytes });
        }
        self.types.sort_by_key(|t| std::cmp::Reverse(t.bytes));
        result
    }

    fn take(&mut self, scan: Scan) {
        let footprint = &scan.footprint;
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
            if timed && ty != EventType::CLOCK_SNAPSHOT {
                self.events += tally.count;
            }
            self.types.push(Type {
                name: ty.to_string(),
                count: tally.count,
                bytes: tally.bytes,
            });
        }
        self.types.sort_by_key(|t| std::cmp::Reverse(t.bytes));
    }
}

/// What one pass over the records of a trace of before Go 1.22 counts.
#[derive(Default)]
struct OldScan {
    /// Records and their bytes.
    types: BTreeMap<legacy::EventType, [u64; 2]>,
    threads: HashSet<u64>,
    /// The clock in the batch being read.
    clock: u64,
    /// Of the first and the last event, in clock units.
    clocks: Option<(u64, u64)>,
    frequency: Option<u64>,
}

impl OldScan {
    fn read(
        &mut self,
        bytes: &[u8],
        progress: &Progress,
    ) -> std::result::Result<(), gotrace::Error> {
        let mut records = legacy::Records::new(bytes)?;
        let mut at = records.offset().0;
        while let Some(record) = records.next()? {
            let len = records.offset().0 - at;
            at += len;
            progress.add(usize::try_from(len).unwrap_or(0));
            let [count, bytes] = self.types.entry(record.ty()).or_default();
            *count += 1;
            *bytes += len;
            if let legacy::Record::Event(event) = record {
                self.add(&event);
            }
        }
        Ok(())
    }

    fn add(&mut self, event: &legacy::Event<'_>) {
        let [first, second, ..] = event.args;
        match event.ty {
            legacy::EventType::BATCH => self.clock = second,
            legacy::EventType::FREQUENCY => self.frequency = Some(first),
            legacy::EventType::TIMER_GOROUTINE | legacy::EventType::CPU_SAMPLE => {}
            ty => {
                self.clock = self.clock.wrapping_add(first);
                let (earlier, later) = self.clocks.unwrap_or((self.clock, self.clock));
                self.clocks = Some((earlier.min(self.clock), later.max(self.clock)));
                if ty == legacy::EventType::PROC_START {
                    self.threads.insert(second);
                }
            }
        }
    }

    /// From the first event to the last, in nanoseconds.
    fn duration(&self) -> Option<i64> {
        let (first, last) = self.clocks?;
        let nanoseconds = (last - first) as f64 * (1e9 / self.frequency? as f64);
        Some(nanoseconds as i64)
    }
}

/// What one pass over the batches of a trace counts.
#[derive(Default)]
struct Scan {
    footprint: Footprint,
    threads: HashSet<ThreadId>,
    batches: Batches,
    /// Of the first and the last event.
    times: Option<(Time, Time)>,
    /// When the first event happened.
    start: Option<WallTime>,
}

impl Scan {
    fn generation(
        &mut self,
        trace: &Trace<'_>,
        generation: &Generation,
        progress: &Progress,
    ) -> std::result::Result<(), gotrace::Error> {
        let mut times: Option<(Timestamp, Timestamp)> = None;
        let mut result = Ok(());
        let mut batches = trace.batches_from(generation.start);
        while batches.offset() < generation.end
            && let Some(chunk) = batches.next()?
        {
            let end = self.footprint.add(&chunk);
            if let Chunk::Batch(batch) = &chunk {
                progress.add(batch.head.total_len());
                let contents = batch.contents();
                *self.batches.of(contents) += 1;
                if contents == Contents::Events {
                    self.threads.extend(batch.head.thread);
                    let first = first_time(batch);
                    if let (Some(first), Ok(Some(last))) = (first, end) {
                        let (earlier, later) = times.unwrap_or((first, last));
                        times = Some((earlier.min(first), later.max(last)));
                    }
                }
            }
            result = result.and(end.map(drop));
        }
        if let Some((first, last)) = times {
            self.add_times(generation, first, last);
        }
        result
    }

    fn add_times(&mut self, generation: &Generation, first: Timestamp, last: Timestamp) {
        let Some(frequency) = generation.frequency else {
            return;
        };
        let (first, last) = (frequency.time(first), frequency.time(last));
        if let (None, Some(clock)) = (self.times, generation.clock) {
            let after = i64::from(clock.wall.nanoseconds).wrapping_add(first.since(clock.trace));
            let seconds = clock.wall.seconds.cast_unsigned();
            self.start = Some(WallTime::new(seconds, after.cast_unsigned()));
        }
        let (earlier, later) = self.times.unwrap_or((first, last));
        self.times = Some((earlier.min(first), later.max(last)));
    }
}

/// The time of the first event of a batch.
fn first_time(batch: &Batch<'_>) -> Option<Timestamp> {
    let event = Events::new(batch.data, batch.data_offset().0).next();
    let dt = event.ok()??.dt;
    Some(Timestamp(batch.head.time.0.wrapping_add(dt)))
}

impl Batches {
    fn of(&mut self, contents: Contents) -> &mut u64 {
        match contents {
            Contents::Strings => &mut self.strings,
            Contents::Stacks => &mut self.stacks,
            Contents::Samples => &mut self.samples,
            Contents::Sync => &mut self.sync,
            Contents::Experiment(_) => &mut self.experimental,
            Contents::Events | Contents::EndOfGeneration => &mut self.events,
        }
    }

    /// Each kind with its name.
    fn named(&self) -> [(&'static str, u64); 6] {
        [
            ("events", self.events),
            ("strings", self.strings),
            ("stacks", self.stacks),
            ("samples", self.samples),
            ("sync", self.sync),
            ("experimental", self.experimental),
        ]
    }
}

fn row(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "  {name:<12} {value}")
}

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
    row(out, "threads", &summary.threads.to_string())?;
    row(out, "batches", &batches(&summary.batches))?;
    row(out, "events", &summary.events.to_string())?;
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
        0..1_000 => format!("{n} ns"),
        1_000..1_000_000 => format!("{:.3} \u{b5}s", n / 1e3),
        1_000_000..1_000_000_000 => format!("{:.3} ms", n / 1e6),
        _ => format!("{:.3} s", n / 1e9),
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
