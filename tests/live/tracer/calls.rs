//! What is annotated is in the trace, in order, and nothing else.

use super::{alone, count, judged, lines, traced};
use gotrace::Details;
use gotrace::mux::QueueConfig;
use gotrace::tracer::{self, Config, Metric, Reason, Task};
use std::time::Duration;

/// A thread of this name.
fn on_thread<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread
        .spawn(run)
        .expect("a thread")
        .join()
        .expect("no panic")
}

#[test]
fn a_thread_says_what_it_does() {
    let _alone = alone();
    let trace = judged(Config::new(), || {
        on_thread("worker", || {
            let task = Task::new("request");
            let part = task.child("part");
            {
                let _entered = task.enter();
                let _region = tracer::region("outer");
                tracer::log("key", "value");
                tracer::log_fmt("number", format_args!("{}", 7));
                tracer::with_region("inner", || drop(tracer::blocked(Reason::NETWORK)));
            }
            part.end();
            {
                let _syscall = tracer::syscall();
            }
            tracer::metric(Metric::HeapAlloc, 5);
            drop(task);
        });
    });
    let mut all = lines(&trace);
    // Other tests' threads may be ending.
    all.retain(|line| line.contains("worker"));
    let ids: Vec<&str> = all
        .iter()
        .filter_map(|line| line.strip_prefix("worker: task ")?.split(' ').next())
        .collect();
    let [task, part] = [ids[0], ids[1]];
    let expected = [
        "-: worker Runnable".to_owned(),
        "-: worker Running".to_owned(),
        format!("worker: task {task} none request"),
        format!("worker: task {part} {task} part"),
        format!("worker: region {task} outer"),
        format!("worker: log {task} key=value"),
        format!("worker: log {task} number=7"),
        format!("worker: region {task} inner"),
        "worker: worker Waiting network".to_owned(),
        "-: worker Runnable".to_owned(),
        "-: worker Running".to_owned(),
        format!("worker: end {task} inner"),
        format!("worker: end {task} outer"),
        format!("worker: task end {part} part"),
        "worker: worker Syscall".to_owned(),
        "worker: worker Running".to_owned(),
        "worker: /memory/classes/heap/objects:bytes 5".to_owned(),
        format!("worker: task end {task} request"),
        "worker: worker NotExist".to_owned(),
    ];
    assert_eq!(all, expected);
}

#[test]
fn regions_nest_whatever_guards_do() {
    let _alone = alone();
    let trace = judged(Config::new(), || {
        on_thread("worker", || {
            let (a, b, c) = (
                tracer::region("a"),
                tracer::region("b"),
                tracer::region("c"),
            );
            drop(a);
            drop(c);
            drop(b);
            // Never ends: the thread's end is its end.
            std::mem::forget(tracer::region("d"));
        });
    });
    let all = lines(&trace);
    let regions = all
        .iter()
        .filter(|line| line.contains("region") || line.contains("end"));
    let regions: Vec<&str> = regions
        .map(|line| line.trim_start_matches("worker: "))
        .collect();
    let expected = [
        "region 0 a",
        "region 0 b",
        "region 0 c", // They begin,
        "end 0 c",
        "end 0 b",
        "end 0 a",
        "region 0 b",
        "region 0 c", // a ends,
        "end 0 c",
        "end 0 b",
        "region 0 d",
        "end 0 d",
    ];
    assert_eq!(regions, expected);
}

#[test]
fn nothing_is_lost_when_threads_end_and_generations_do() {
    let _alone = alone();
    const THREADS: usize = 40;
    const LOGS: usize = 500;
    let before = tracer::lost();
    let trace = judged(Config::new().with_period(Duration::from_millis(3)), || {
        let run = |n: usize| {
            move || {
                for i in 0..LOGS {
                    tracer::log_fmt("step", format_args!("{n} {i}"));
                }
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|n| std::thread::spawn(run(n))).collect();
        threads
            .into_iter()
            .for_each(|t| t.join().expect("no panic"));
    });
    assert_eq!(tracer::lost(), before);
    let mut all = lines(&trace);
    all.retain(|line| line.contains("log"));
    assert_eq!(all.len(), THREADS * LOGS);
}

/// What happened before `stop` is written when it returns; what happened after `start`, too.
#[test]
fn a_start_and_a_stop_lose_nothing() {
    let _alone = alone();
    for n in 0..200 {
        let trace = traced(Config::new(), || {
            if n % 2 == 0 {
                tracer::advance();
            }
            tracer::log("first", "1");
            if n % 3 == 0 {
                tracer::advance();
                std::thread::sleep(Duration::from_micros(n));
            }
            tracer::log("last", "2");
        });
        let logs = count(&trace, |details| matches!(details, Details::Log(_)));
        assert_eq!(logs, 2, "round {n}");
    }
}

/// Off, nothing happens; what began before a trace, or in another one, is not part of it.
#[test]
fn guards_outlive_traces() {
    let _alone = alone();
    assert!(!tracer::is_enabled());
    let (task, region) = (Task::new("before"), tracer::region("before"));
    let mut left = None;
    let first = judged(Config::new(), || {
        assert!(tracer::is_enabled());
        drop(region);
        drop(task);
        left = Some((Task::new("first"), tracer::region("first")));
    });
    assert!(!tracer::is_enabled());
    assert!(lines(&first).iter().all(|line| !line.contains("before")));
    let second = judged(Config::new(), || drop(left));
    let regions = count(&second, |details| {
        matches!(details, Details::RegionBegin(_) | Details::RegionEnd(_))
    });
    assert_eq!(regions, 0);
}

/// Two who write, one who reads along, and one who comes late: each has a trace.
#[test]
fn there_may_be_any_number_of_consumers() {
    let _alone = alone();
    tracer::configure(Config::new().with_period(Duration::from_millis(5))).expect("it is off");
    let first = tracer::start(Vec::new()).expect("a thread");
    tracer::log("who", "one");
    let mut events = tracer::multiplexer()
        .expect("a thread")
        .events(QueueConfig::default());
    let second = tracer::start(Vec::new()).expect("a thread");
    tracer::log("who", "two");
    let bytes = |subscription: gotrace::mux::Subscription<gotrace::mux::TraceWriter<Vec<u8>>>| {
        let trace = subscription.stop().subscriber.and_then(|w| w.into_inner());
        let trace = trace.expect("a trace");
        super::judge::judge(&trace).unwrap();
        count(&trace, |details| matches!(details, Details::Log(_)))
    };
    assert_eq!(bytes(first), 2);
    tracer::log("who", "three");
    assert_eq!(bytes(second), 2);
    let mut read = 0;
    while read < 2 {
        let event = events.next().expect("a valid trace").expect("an event");
        read += usize::from(matches!(event.details(), Details::Log(_)));
    }
    drop(events);
    while tracer::is_enabled() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Who writes too slowly for the memory there is loses events, which are counted, and gets a trace.
#[test]
fn memory_is_bounded_when_the_writer_is_slow() {
    let _alone = alone();
    struct Slow(Vec<u8>);
    impl std::io::Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            std::thread::sleep(Duration::from_millis(2));
            let bytes = &bytes[..bytes.len().min(64 << 10)];
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let config = Config::new()
        .with_memory(1 << 20)
        .with_generation_size(256 << 10);
    tracer::configure(config).expect("it is off");
    let before = tracer::lost();
    let trace = tracer::start(Slow(Vec::new())).expect("a thread");
    let text = "x".repeat(1000);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let text = text.clone();
            std::thread::spawn(move || {
                for _ in 0..10_000 {
                    let _region = tracer::region("write");
                    tracer::log("text", &text);
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|t| t.join().expect("no panic"));
    let writer = trace.stop().subscriber.expect("a writer");
    let trace = writer.into_inner().expect("a trace").0;
    let lost = tracer::lost();
    assert!(lost.gaps > before.gaps, "{lost:?}");
    super::judge::judge(&trace).unwrap();
    let logs = count(&trace, |details| matches!(details, Details::Log(_)));
    assert!(logs > 500, "{logs} logs");
    // Each event that is not there was counted: a log is lost with its region or alone.
    let counted = lost.events - before.events;
    assert!(counted >= 40_000 - logs as u64, "{counted} and {logs}");
}

/// Each goroutine that a trace speaks of has a name, in every suffix.
#[test]
fn everything_has_a_name() {
    let _alone = alone();
    let trace = judged(Config::new().with_period(Duration::from_millis(2)), || {
        let quiet = |seconds: f64| {
            move || {
                tracer::log("quiet", "from now on");
                std::thread::sleep(Duration::from_secs_f64(seconds));
            }
        };
        let waits = std::thread::Builder::new()
            .name("quiet".into())
            .spawn(quiet(0.03));
        let unnamed = std::thread::spawn(quiet(0.02));
        waits.expect("a thread").join().expect("no panic");
        unnamed.join().expect("no panic");
    });
    for suffix in super::judge::suffixes(&trace) {
        let all = lines(&suffix);
        assert!(all.iter().all(|line| !line.contains('?')), "{all:?}");
    }
}

/// In a child that `fork` made nothing is traced, and nothing waits; the parent's trace is whole.
#[cfg(unix)]
#[test]
fn a_child_is_not_traced() {
    unsafe extern "C" {
        fn fork() -> i32;
        fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
        fn _exit(status: i32) -> !;
    }
    let _alone = alone();
    let trace = judged(Config::new().with_period(Duration::from_millis(1)), || {
        for _ in 0..20 {
            tracer::log("parent", "before");
            // SAFETY: the child calls what this test is about, and exits without running anything
            // else of this process.
            let process = unsafe { fork() };
            if process == 0 {
                let mut status = 0;
                for _ in 0..100_000 {
                    tracer::with_region("forked", || tracer::log("forked", "text"));
                }
                if tracer::is_enabled() {
                    status |= 1;
                }
                if tracer::start(Vec::new()).is_ok() {
                    status |= 2;
                }
                // SAFETY: it ends the process.
                unsafe { _exit(status) };
            }
            let mut status = 0;
            // SAFETY: the status is written to a place of its own.
            let waited = unsafe { waitpid(process, &mut status, 0) };
            assert_eq!((waited, status), (process, 0));
            tracer::log("parent", "after");
        }
    });
    let all = lines(&trace);
    assert!(all.iter().all(|line| !line.contains("forked")));
    assert_eq!(all.iter().filter(|line| line.contains(" log ")).count(), 40);
}
