//! What the multiplexer costs: feeding one subscriber, against writing the bytes to it directly;
//! each further subscriber; and how fast a source may be for a flight recorder and a writer on one
//! core.
//!
//!     cargo bench --bench mux
//!
//! Times are of the process's processors, from Linux's `/proc`, beside the time on the wall: what
//! runs on several cores at once is not cheaper for that. The bytes come out of memory, in reads of
//! 200003 bytes: a copy is faster where it is aligned to pages, which a pipe or a socket does not see
//! to. (Of a file, whose pages the system has to find, one write of 200003 bytes costs less than two of
//! half that: so small generations, each written when it ends, cost more; with reads as short as those of
//! a pipe, they do not.) 1 MB is 10^6 bytes.

#[path = "../tests/common/mod.rs"]
mod common;

use common::live::Endless;
use gotrace::mux::{EndReason, QueueConfig, TraceMultiplexer, TraceWriter};
use gotrace::recorder::{FlightRecorder, FlightRecorderConfig, arena_size_for};
use gotrace::source::{StreamSource, TraceSource};
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of generations that are read over and over.
const BLOCK: usize = 64 << 20;

/// The sizes of generations: of a small program, and of a busy server.
const SMALL: usize = 100_000;
const LARGE: usize = 8_000_000;

/// The most bytes of a read: of a file or a socket, and of a pipe.
const READ: usize = 200_003;
const PIPE: usize = 60_003;

/// A trace in memory, read from its beginning to its end.
struct Memory {
    bytes: Arc<Vec<u8>>,
    read: usize,
    at: usize,
}

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.read).min(self.bytes.len() - self.at);
        buffer[..len].copy_from_slice(&self.bytes[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

/// A new file, without a name: it goes away by itself.
fn scratch() -> File {
    let path = std::env::temp_dir().join(format!("gotrace-mux-{}", std::process::id()));
    let file = File::create(&path).expect("a temporary file");
    std::fs::remove_file(&path).expect("removing it");
    file
}

/// Seconds.
#[derive(Clone, Copy)]
struct Cost {
    processors: f64,
    wall: f64,
}

/// The time that the process has taken from processors: in hundredths of a second.
fn processors() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux's /proc");
    let fields = stat.rsplit_once(')').expect("a name in brackets").1;
    let ticks = |n: usize| -> f64 {
        let field = fields.split_whitespace().nth(n);
        field.and_then(|f| f.parse().ok()).expect("a number")
    };
    (ticks(11) + ticks(12)) / 100.0
}

/// The cost of a run, repeated for two seconds at least.
fn measure(mut run: impl FnMut()) -> Cost {
    run();
    let (began, before) = (Instant::now(), processors());
    let mut runs = 0u32;
    while began.elapsed() < Duration::from_secs(2) {
        run();
        runs += 1;
    }
    Cost {
        processors: (processors() - before) / f64::from(runs),
        wall: began.elapsed().as_secs_f64() / f64::from(runs),
    }
}

fn directly(trace: &Arc<Vec<u8>>, read: usize, mut to: impl Write) {
    let mut from = Memory {
        bytes: Arc::clone(trace),
        read,
        at: 0,
    };
    let mut buffer = vec![0; 256 << 10];
    loop {
        let n = from.read(&mut buffer).expect("memory");
        if n == 0 {
            return;
        }
        to.write_all(&buffer[..n]).expect("a writer");
    }
}

fn source(trace: &Arc<Vec<u8>>, read: usize) -> StreamSource<Memory> {
    StreamSource::new(Memory {
        bytes: Arc::clone(trace),
        read,
        at: 0,
    })
}

/// Feeds so many writers.
fn multiplexed<W: Write + Send + 'static>(
    trace: &Arc<Vec<u8>>,
    read: usize,
    writers: Vec<TraceWriter<W>>,
) {
    let mux = TraceMultiplexer::new(source(trace, read)).expect("a thread");
    let hold = mux.hold();
    let config = QueueConfig::default();
    let writers = writers.into_iter();
    let writers: Vec<_> = writers
        .map(|writer| mux.subscribe(writer, config).expect("a thread"))
        .collect();
    drop(hold);
    for writer in writers {
        let outcome = writer.wait();
        assert!(
            matches!(outcome.end, EndReason::Finished),
            "{}",
            outcome.end
        );
        assert_eq!(outcome.stats.bytes, trace.len() as u64 - 16);
    }
}

/// The source alone.
fn split(trace: &Arc<Vec<u8>>, read: usize) {
    let mut source = source(trace, read);
    source.start().expect("a header");
    while source.next().expect("a trace").is_some() {}
}

fn main() {
    if std::env::args().any(|arg| arg == "one-core") {
        return one_core();
    }
    for generation in [SMALL, LARGE] {
        for read in [PIPE, READ] {
            one_subscriber(generation, read);
        }
    }
    many_subscribers();
    println!("a flight recorder and a subscriber that writes nowhere, on one core");
    let this = std::env::current_exe().expect("this program");
    let pinned = std::process::Command::new("taskset")
        .args(["-c", "0"])
        .arg(this)
        .arg("one-core")
        .status();
    if !pinned.is_ok_and(|status| status.success()) {
        println!("  taskset is needed for that");
    }
}

fn show(what: &str, trace: &[u8], cost: Cost) {
    let megabytes = trace.len() as f64 / 1e6;
    println!(
        "{what:<15} {:>6.0} us/MB of processors, {:>6.0} MB/s",
        cost.processors * 1e6 / megabytes,
        megabytes / cost.wall,
    );
}

fn one_subscriber(generation: usize, read: usize) {
    let trace = Arc::new(trace(generation));
    println!(
        "one subscriber, which writes a file; generations of {:.1} MB, reads of {read} bytes",
        generation as f64 / 1e6
    );
    type Run = fn(&Arc<Vec<u8>>, usize);
    let runs: [(&str, Run); 4] = [
        ("  directly", |t, read| directly(t, read, scratch())),
        ("  as it comes", |t, read| {
            multiplexed(t, read, vec![TraceWriter::at_once(scratch())]);
        }),
        ("  held", |t, read| {
            multiplexed(t, read, vec![TraceWriter::new(scratch())])
        }),
        ("  only split", split),
    ];
    // By turns, since the speed of memory changes with what else runs.
    let mut best = [None::<Cost>; 4];
    for _ in 0..3 {
        for (best, (_, run)) in best.iter_mut().zip(runs) {
            let cost = measure(|| run(&trace, read));
            if best.is_none_or(|b| cost.processors < b.processors) {
                *best = Some(cost);
            }
        }
    }
    let best = best.map(|cost| cost.expect("measured"));
    for ((what, _), cost) in runs.iter().zip(best) {
        show(what, &trace, cost);
    }
    let [direct, fed, ..] = best;
    println!(
        "  as it comes: {:+.1} % of processors, {:+.1} % of time on the wall",
        (fed.processors / direct.processors - 1.0) * 100.0,
        (fed.wall / direct.wall - 1.0) * 100.0
    );
}

fn many_subscribers() {
    let trace = Arc::new(trace(LARGE));
    println!("subscribers that write nowhere");
    let mut before: Option<(usize, Cost)> = None;
    for count in [1, 2, 4, 8, 16, 32] {
        let cost = measure(|| {
            multiplexed(
                &trace,
                READ,
                (0..count).map(|_| TraceWriter::new(io::sink())).collect(),
            )
        });
        show(&format!("  {count}"), &trace, cost);
        if let Some((fewer, less)) = before {
            let each = (cost.processors - less.processors) / (count - fewer) as f64;
            let each = each * 1e12 / trace.len() as f64;
            println!("    {each:.2} us/MB for each further one");
        }
        before = Some((count, cost));
    }
}

fn trace(generation: usize) -> Vec<u8> {
    let fixture = common::fixture("flight-go1.27").bytes();
    let each = fixture.len() / 3;
    let joined = (generation / each).max(1);
    Endless::new(&fixture, (BLOCK / each / joined) as u64)
        .joined(joined as u64)
        .bytes()
}

fn one_core() {
    let trace = Arc::new(trace(LARGE));
    let config = FlightRecorderConfig::default();
    let mut arena = vec![0; arena_size_for(config.max_bytes)];
    let cost = measure(|| {
        let arena_now = std::mem::take(&mut arena);
        let mux = TraceMultiplexer::new(source(&trace, READ)).expect("a thread");
        let hold = mux.hold();
        let writer = mux.start(io::sink()).expect("a thread");
        let recorder = FlightRecorder::new(arena_now, config).expect("room");
        let recorder = mux
            .subscribe(recorder, QueueConfig::default())
            .expect("a thread");
        drop(hold);
        let outcome = recorder.wait();
        assert!(matches!(outcome.end, EndReason::Finished));
        let recorder = outcome.subscriber.expect("no panic");
        assert!(!recorder.snapshot().is_empty());
        arena = recorder.into_arena();
        writer.wait();
    });
    show("", &trace, cost);
}
