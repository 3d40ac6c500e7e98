//! What answers cost above reading: processor time an event, and the most memory in use, of the reader
//! alone, of the states, and of each analysis that a summary is made of; beside them Go's scheduler
//! profile, where Go is at hand.
//!
//! Reads the trace that the environment variable `GOTRACE_BENCH` names, or a fixture; times say little
//! below a few megabytes. `cargo bench --bench analysis -- NAME` measures only the one of that name, once,
//! and compares nothing: for profilers. Ends with status 1 if a limit is passed:
//!
//! - a summary takes at most 60 ns an event where the reader takes 22 of them: times are compared with
//!   those of the reader in the same run, so that the machine does not matter;
//! - beyond the trace it needs at most 64 MB and 300 bytes for each goroutine that lives at a time;
//! - `pprof --sched` takes a tenth of Go's processor time and a fortieth of its memory, the trace
//!   included.

#[path = "../tests/common/mod.rs"]
mod common;

use common::go::Go;
use common::heap::Heap;
use gotrace::analysis::blocked::Blocked;
use gotrace::analysis::gc::Gc;
use gotrace::analysis::latency::Latency;
use gotrace::analysis::leaks::Leaks;
use gotrace::analysis::metrics::Metrics;
use gotrace::analysis::overview::Overview;
use gotrace::analysis::profile::{Kind, Profile};
use gotrace::analysis::states::{Goroutine, States, Visitor};
use gotrace::analysis::summary::Summary;
use gotrace::{Event, Trace};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Heap = Heap::new();

/// How often each is measured; the fastest counts.
const RUNS: usize = 3;
/// A summary's time, as a multiple of the reader's.
const SUMMARY: f64 = 60.0 / 22.0;
/// Go needs 90 times the size of a trace.
const TOO_LARGE_FOR_GO: usize = 60_000_000;

/// A way through a trace.
struct Way {
    name: &'static str,
    /// Whether it is a summary, for which the limits are.
    is_summary: bool,
    run: fn(&Trace<'_>),
}

const fn part(name: &'static str, run: fn(&Trace<'_>)) -> Way {
    let is_summary = false;
    Way {
        name,
        is_summary,
        run,
    }
}

const fn whole(name: &'static str, run: fn(&Trace<'_>)) -> Way {
    let is_summary = true;
    Way {
        name,
        is_summary,
        run,
    }
}

const WAYS: &[Way] = &[
    part("reader", |trace| {
        each(trace, |event| {
            black_box(event.time());
        });
    }),
    part("states", |trace| drop(visit(trace, ()))),
    whole("summary", |trace| drop(visit(trace, Summary::new()))),
    part("overview", |trace| drop(visit(trace, Overview::new()))),
    part("blocked", |trace| drop(visit(trace, Blocked::new(0)))),
    part("leaks", |trace| drop(visit(trace, Leaks::new()))),
    whole("first screen", |trace| {
        drop(visit(
            trace,
            (Overview::new(), (Blocked::new(0), Leaks::new())),
        ));
    }),
    part("gc", |trace| drop(visit(trace, Gc::new()))),
    part("latency", |trace| drop(visit(trace, Latency::new()))),
    part("metrics", |trace| {
        let mut metrics = Metrics::new();
        each(trace, |event| metrics.add(event));
        metrics.finish();
        black_box(metrics.events());
    }),
    whole("pprof --sched", sched),
];

fn sched(trace: &Trace<'_>) {
    black_box(visit(trace, Profile::new(Kind::Sched)).1.samples().count());
}

fn each(trace: &Trace<'_>, mut take: impl FnMut(&Event<'_, '_>)) {
    let mut reader = trace.reader();
    while let Some(event) = reader.next().expect("a sound trace") {
        take(&event);
    }
}

fn visit<V: Visitor>(trace: &Trace<'_>, mut visitor: V) -> (States, V) {
    let mut states = States::new();
    each(trace, |event| states.add(event, &mut visitor));
    states.finish(&mut visitor);
    (states, visitor)
}

/// The most goroutines that live at a time.
#[derive(Default)]
struct Most(u64, u64);

impl Visitor for Most {
    fn goroutine_began(&mut self, _: &States, _: &Goroutine, _: &Event<'_, '_>) {
        self.0 += 1;
        self.1 = self.1.max(self.0);
    }

    fn goroutine_ended(&mut self, _: &States, _: &Goroutine) {
        self.0 -= 1;
    }
}

/// The processor time that this thread has taken: on Linux, what the scheduler counts; elsewhere, the
/// time that passed.
fn processor_time(start: Instant) -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat");
    let first = text.ok().and_then(|text| {
        let first = text.split(' ').next()?;
        first.parse().ok()
    });
    first.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

fn time(start: Instant, work: impl FnOnce()) -> Duration {
    let before = processor_time(start);
    work();
    processor_time(start).saturating_sub(before)
}

fn main() -> ExitCode {
    let fixture = common::fixtures_dir().join("http-go1.27.trace");
    let path = std::env::var_os("GOTRACE_BENCH").map_or(fixture, PathBuf::from);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let trace = Trace::new(&bytes).expect("a trace");
    // Cargo passes an option of its own.
    let named = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    if let Some(named) = named {
        let way = WAYS.iter().find(|way| way.name == named);
        let way = way.unwrap_or_else(|| panic!("no analysis is called {named:?}"));
        (way.run)(&trace);
        return ExitCode::SUCCESS;
    }
    let mut events = 0u64;
    each(&trace, |_| events += 1);
    let (states, most) = visit(&trace, Most::default());
    println!(
        "{}: {:.1} MB, {events} events, {} goroutines, at most {} at a time",
        path.display(),
        bytes.len() as f64 / 1e6,
        states.lives(),
        most.1
    );
    let start = Instant::now();
    let mut times = vec![Duration::MAX; WAYS.len()];
    let mut peaks = vec![0; WAYS.len()];
    for _ in 0..RUNS {
        for ((way, best), peak) in WAYS.iter().zip(&mut times).zip(&mut peaks) {
            let (taken, used) = HEAP.peak_of(|| time(start, || (way.run)(&trace)));
            (*best, *peak) = (taken.min(*best), used);
        }
    }
    let reader = times[0].as_secs_f64();
    // A small trace says nothing about times: what is done once counts, too.
    let is_timed = events > 1_000_000;
    let room = 64_000_000 + 300 * most.1;
    let mut failed = false;
    println!(
        "{:<14} {:>9} {:>11} {:>9}",
        "", "ns/event", "x reader", "MB"
    );
    for ((way, best), peak) in WAYS.iter().zip(&times).zip(&peaks) {
        let (seconds, peak) = (best.as_secs_f64(), *peak as u64);
        let times = seconds / reader;
        let each = seconds * 1e9 / events as f64;
        let mut said = String::new();
        if way.is_summary && is_timed && times > SUMMARY {
            said.push_str(&format!("  more than {SUMMARY:.2} x reader"));
        }
        if way.is_summary && peak > room {
            said.push_str(&format!("  more than {:.1} MB", room as f64 / 1e6));
        }
        failed |= !said.is_empty();
        println!(
            "{:<14} {each:>9.1} {times:>11.2} {:>9.2}{said}",
            way.name,
            peak as f64 / 1e6
        );
    }
    let at = WAYS.iter().position(|way| way.name == "pprof --sched");
    let at = at.expect("it is measured");
    let memory = (bytes.len() + peaks[at]) as f64;
    failed |= !against_go(&path, bytes.len(), times[at], memory);
    ExitCode::from(u8::from(failed))
}

/// Compares with Go's profile; whether no limit was passed.
fn against_go(path: &Path, bytes: usize, ours: Duration, memory: f64) -> bool {
    let Some(go) = Go::find() else { return true };
    if bytes > TOO_LARGE_FOR_GO {
        println!("not compared with Go, which needs 90 times the size of a trace");
        return true;
    }
    let Some((time, peak)) = go_profile(&go, path) else {
        println!("not compared with Go: this is not Linux");
        return true;
    };
    let times = time.as_secs_f64() / ours.as_secs_f64();
    let less = peak / memory;
    println!(
        "{} tool trace -pprof=sched: {:.2} s of processors, {:.0} MB: {times:.0} and {less:.0} times ours",
        go.version(),
        time.as_secs_f64(),
        peak / 1e6
    );
    // Starting Go's tool takes some milliseconds and megabytes, which say nothing.
    bytes < 1_000_000 || times >= 10.0 && less >= 40.0
}

/// The processor time and the most memory of Go's tool.
fn go_profile(go: &Go, path: &Path) -> Option<(Duration, f64)> {
    let named = Command::new(go.root().join("bin/go"))
        .args(["tool", "-n", "trace"])
        .env("GOTOOLCHAIN", "local")
        .output()
        .ok()?;
    let tool = String::from_utf8(named.stdout).ok()?;
    let mut child = Command::new(tool.trim())
        .arg("-pprof=sched")
        .arg(path)
        .stdout(Stdio::null())
        .spawn()
        .ok()?;
    let file = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", child.id()));
    let (mut ticks, mut peak) = (None, None);
    // What it has used is there until it is waited for; its memory is not.
    loop {
        let stat = file("stat").ok()?;
        let rest = stat.rsplit(')').next()?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|n| n.parse::<u64>().ok());
        ticks = number(11).zip(number(12)).map(|(u, s)| u + s).or(ticks);
        let status = file("status").unwrap_or_default();
        let most = status.lines().find_map(|line| {
            let kilobytes = line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?;
            kilobytes.parse::<f64>().ok()
        });
        peak = most.or(peak);
        if fields.first() == Some(&"Z") {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait().ok()?;
    // Linux counts in hundredths of a second here.
    Some((Duration::from_millis(ticks? * 10), peak? * 1024.0))
}
