//! How fast traces are read: hops from header to header, a scan of every event with its arguments,
//! the tables, and the events in order; then side by side with Go's reader, where Go is at hand.
//!
//! Reads the trace that the environment variable `GOTRACE_BENCH` names, or a fixture. Speeds are of
//! the whole file, 1 MB being 10^6 bytes, on one thread.

#[path = "../tests/common/mod.rs"]
mod common;

use common::go::{Go, Speed};
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkGroup, Criterion, Throughput};
use gotrace::wire::{Chunk, Contents, Events};
use gotrace::{Error, Growing, Trace, generation::GenerationTables};
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A way through a trace, which gives how many things it met.
type Way = fn(&Trace) -> Result<u64, Error>;

/// What is measured.
const BENCHMARKS: &[(&str, Way)] = &[
    ("headers", headers),
    ("scan", scan),
    ("tables", tables),
    ("events in order", events),
];

/// Batches, by their headers alone.
fn headers(trace: &Trace) -> Result<u64, Error> {
    trace.batches().try_fold(0, |n, chunk| chunk.map(|_| n + 1))
}

/// Events as they stand in their batches, with all arguments.
fn scan(trace: &Trace) -> Result<u64, Error> {
    let (mut count, mut sum) = (0, 0u64);
    let mut batches = trace.batches();
    while let Some(chunk) = batches.next()? {
        if let Chunk::Batch(batch) = chunk
            && batch.contents() == Contents::Events
        {
            let mut events = Events::new(batch.data, batch.data_offset());
            while let Some(event) = events.next()? {
                count += 1;
                let [a, b, c, d] = event.args;
                sum = sum.wrapping_add(u64::from(event.ty.0) ^ event.dt ^ a ^ b ^ c ^ d);
            }
        }
    }
    black_box(sum);
    Ok(count)
}

/// Strings, stacks and CPU samples, indexed.
fn tables(trace: &Trace) -> Result<u64, Error> {
    let mut entries = 0;
    let mut generations = trace.generations();
    while let Some(generation) = generations.next()? {
        let tables = GenerationTables::<Growing>::load(trace, &generation)?;
        let count = tables.strings().count() + tables.stacks().count() + tables.samples().count();
        entries += count as u64;
    }
    Ok(entries)
}

/// Events in the order in which they happened.
fn events(trace: &Trace) -> Result<u64, Error> {
    let (mut count, mut sum) = (0, 0);
    let mut reader = trace.reader();
    while let Some(event) = reader.next()? {
        count += 1;
        sum ^= event.time().0;
    }
    black_box(sum);
    Ok(count)
}

/// Wall time, with throughput as megabytes a second and nanoseconds for each thing met.
struct PerThing(WallTime);

impl Measurement for PerThing {
    type Intermediate = Instant;
    type Value = Duration;

    fn start(&self) -> Instant {
        self.0.start()
    }

    fn end(&self, start: Instant) -> Duration {
        self.0.end(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        self.0.add(a, b)
    }

    fn zero(&self) -> Duration {
        self.0.zero()
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        self.0.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for PerThing {
    fn format_throughput(&self, throughput: &Throughput, nanoseconds: f64) -> String {
        match throughput {
            Throughput::Bytes(bytes) => {
                format!("{:.1} MB/s", *bytes as f64 * 1e3 / nanoseconds)
            }
            Throughput::Elements(things) => {
                format!("{:.2} ns each", nanoseconds / *things as f64)
            }
            other => self.0.formatter().format_throughput(other, nanoseconds),
        }
    }

    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        self.0.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(
        &self,
        typical: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        self.0
            .formatter()
            .scale_throughputs(typical, throughput, values)
    }

    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        self.0.formatter().scale_for_machines(values)
    }
}

fn main() {
    let path = std::env::var_os("GOTRACE_BENCH").map_or_else(
        || common::fixture("http-go1.27").path,
        |path| PathBuf::from(&path),
    );
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let trace = Trace::new(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    println!("{}, {} bytes", path.display(), bytes.len());

    let mut criterion = Criterion::default()
        .with_measurement(PerThing(WallTime))
        .sample_size(20)
        .configure_from_args();
    let mut group: BenchmarkGroup<'_, PerThing> =
        criterion.benchmark_group(path.file_stem().unwrap_or_default().to_string_lossy());
    for (name, run) in BENCHMARKS {
        let elements = run(&trace).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        group.throughput(Throughput::ElementsAndBytes {
            elements,
            bytes: trace.len(),
        });
        group.bench_function(*name, |b| b.iter(|| run(black_box(&trace))));
    }
    group.finish();
    criterion.final_summary();

    // Cargo says `--bench` when this is to be measured, not only tried.
    if std::env::args().any(|arg| arg == "--bench")
        && let Some(go) = Go::find()
    {
        let go_reader = go.reference().time(&path, RUNS);
        println!("\nagainst Go's reader, the best of {RUNS} runs each:");
        show(go.version(), go_reader, go_reader);
        for (name, run) in [
            ("scan", scan as fn(&Trace) -> _),
            ("events in order", events),
        ] {
            show(name, best(&trace, run), go_reader);
        }
    }
}

const RUNS: usize = 5;

fn best(trace: &Trace, run: Way) -> Speed {
    let mut best = Duration::MAX;
    let mut count = 0;
    for _ in 0..RUNS {
        let start = Instant::now();
        count = run(black_box(trace)).expect("it was read before");
        best = best.min(start.elapsed());
    }
    Speed {
        ns_an_event: best.as_secs_f64() * 1e9 / count as f64,
        mb_a_second: trace.len() as f64 / 1e6 / best.as_secs_f64(),
    }
}

fn show(name: &str, speed: Speed, reference: Speed) {
    println!(
        "{name:16} {:8.1} MB/s {:8.2} ns an event {:6.1} times as fast",
        speed.mb_a_second,
        speed.ns_an_event,
        speed.mb_a_second / reference.mb_a_second,
    );
}
