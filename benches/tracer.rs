//! What annotations cost: the least of many batches, in nanoseconds a call, with the tracer off and
//! on. `GO=...` names a Go toolchain, for the same calls in Go, in the same run.
//!
//! ```console
//! $ GO=go cargo bench --features tracer --bench tracer
//! ```
//!
//! The goals are a nanosecond for a call that is off, and a fifth of Go's for one that is on; it fails at
//! three nanoseconds and half of Go's, since other load counts. Go's figures include a stack an event,
//! ours none. What a call costs that is on is mostly the clock and one locked instruction, which differ
//! between machines by a factor of two to four.
//! `benches/tracers` adds other tracers.

use gotrace::tracer::{self, Config, Reason, Task, goroutine, waiting};
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::io::Write;
use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

const BATCHES: usize = 200;
const CALLS: usize = 4000;

/// Nanoseconds a call, the least of all batches.
fn least(mut call: impl FnMut()) -> f64 {
    let mut least = Duration::MAX;
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        least = least.min(start.elapsed());
    }
    least.as_secs_f64() * 1e9 / CALLS as f64
}

/// A future that is woken by who polls it, over and over.
struct Polled {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: std::rc::Rc<std::cell::RefCell<Option<Waker>>>,
}

fn polled() -> Polled {
    let waker = std::rc::Rc::new(std::cell::RefCell::new(None::<Waker>));
    let kept = std::rc::Rc::clone(&waker);
    let pending = poll_fn(move |context: &mut Context<'_>| {
        match &mut *kept.borrow_mut() {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::<()>::Pending
    });
    let future = goroutine("future", waiting(Reason::NETWORK, pending));
    Polled {
        future: Box::pin(future),
        waker,
    }
}

fn all(state: &str) -> Vec<(String, f64)> {
    let mut rows = Vec::new();
    let mut row = |name: &str, ns: f64| rows.push((format!("{name}-{state}"), ns));
    let message = "a message of some 24 bytes";
    row("log", least(|| tracer::log("category", black_box(message))));
    let mut number = 0;
    row(
        "logf",
        least(|| {
            number += 1;
            tracer::log_fmt("category", format_args!("number {number}"));
        }),
    );
    row(
        "region",
        least(|| drop(black_box(tracer::region("region")))),
    );
    row("task", least(|| drop(black_box(Task::new("task")))));
    row(
        "blocked",
        least(|| drop(black_box(tracer::blocked(Reason::SYNC)))),
    );
    row("syscall", least(|| drop(black_box(tracer::syscall()))));
    let mut polled = polled();
    let mut context = Context::from_waker(Waker::noop());
    row(
        "poll+wake",
        least(|| {
            let _ = black_box(polled.future.as_mut().poll(&mut context));
            if let Some(waker) = &*polled.waker.borrow() {
                waker.wake_by_ref();
            }
        }),
    );
    rows
}

/// Takes everything, and keeps how much it was.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What Go's program prints.
fn go() -> Option<Vec<(String, f64)>> {
    let go = std::env::var_os("GO")?;
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go/annotate");
    let output = Command::new(go)
        .args(["run", "main.go"])
        .current_dir(dir)
        .envs([("GOTOOLCHAIN", "local"), ("GOWORK", "off")])
        .output()
        .expect("starting the Go toolchain");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let rows = text.lines().map(|line| {
        let (name, ns) = line.split_once(' ').expect("a name and a number");
        (name.to_owned(), ns.parse().expect("a number"))
    });
    Some(rows.collect())
}

/// How long the end of a generation takes with so many goroutines that wait, and for how long a
/// thread that traces waits then, at most.
fn parked(count: usize) -> (Duration, Duration) {
    let mut context = Context::from_waker(Waker::noop());
    let mut futures: Vec<_> = (0..count)
        .map(|_| Box::pin(goroutine("parked", std::future::pending::<()>())))
        .collect();
    for future in &mut futures {
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
    let mut events = tracer::multiplexer()
        .expect("a thread")
        .channel(gotrace::mux::QueueConfig::default());
    let end = |events: &mut gotrace::mux::Receiver| {
        events.find(|signal| matches!(signal, gotrace::mux::Signal::EndOfGeneration(_)))
    };
    end(&mut events);
    let (start, mut longest) = (Instant::now(), Duration::ZERO);
    let waits = std::thread::spawn(move || {
        end(&mut events);
        start.elapsed()
    });
    tracer::advance();
    while !waits.is_finished() {
        let before = Instant::now();
        tracer::log("tick", "tock");
        longest = longest.max(before.elapsed());
    }
    (waits.join().expect("no panic"), longest)
}

fn main() {
    let off = all("off");
    tracer::configure(Config::new()).expect("it is off");
    let trace = tracer::start(Count(0)).expect("a thread");
    let on = all("on");
    let (end, wait) = parked(100_000);
    let lost = tracer::lost();
    let outcome = trace.stop();
    let written = outcome
        .subscriber
        .and_then(|w| w.into_inner())
        .map_or(0, |c| c.0);
    let go = go();
    let go_of = |name: &str| {
        go.as_ref()?
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, ns)| *ns)
    };
    let mut bad = Vec::new();
    println!("{:<14} {:>9} {:>9}", "call", "here ns", "Go ns");
    for (name, ns) in off.iter().chain(&on) {
        let theirs = go_of(name);
        let shown = theirs.map_or(String::new(), |ns| format!("{ns:9.2}"));
        let ratio = theirs.map_or(String::new(), |theirs| format!("1/{:.1}", theirs / ns));
        println!("{name:<14} {ns:9.2} {shown:>9} {ratio}");
        let limit = match name.ends_with("-off") {
            true => Some(3.0),
            false => theirs.map(|theirs| theirs / 2.0),
        };
        // A future's poll is a call of its own, which is there without a tracer, too.
        if limit.is_some_and(|limit| *ns > limit) && name != "poll+wake-off" {
            bad.push(name.as_str());
        }
    }
    println!("{written} bytes written, {lost:?}");
    println!(
        "end of a generation with 100,000 parked goroutines: {end:?}; a thread waited {wait:?}"
    );
    assert!(
        bad.is_empty() || cfg!(debug_assertions),
        "too slow: {bad:?}"
    );
}
