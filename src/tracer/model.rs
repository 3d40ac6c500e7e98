//! Every order of events that a few threads can bring about, tried by `loom`:
//!
//!     RUSTFLAGS="--cfg loom" cargo test --release --features tracer --lib tracer::model
//!
//! What runs here is what runs in a program; left out are thread-locals, and the thread that waits for
//! a generation's end. What comes of each order is read, and so is every suffix of its generations: it
//! fails where a goroutine goes back, is not mentioned, or an event is missing.

use super::core::Core;
use super::goroutines::Go;
use super::names::Name;
use super::thread::Thread;
use crate::event::EventKind;
use crate::generation::Trace;
use crate::ids::ThreadId;
use crate::locks::{Mutex, lock};
use crate::wire::Version;
use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use loom::thread;

/// Tries all orders with at most so many preemptions.
fn all_orders(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(run);
}

fn started() -> Arc<Core> {
    let core = Core::new(|| (), || false);
    core.start();
    Arc::new(core)
}

fn name(text: &'static str) -> Arc<Name> {
    Name::new(Cow::Borrowed(text), None)
}

fn enlist(core: &Core, number: u64) -> Arc<Thread> {
    let thread = Thread::new(ThreadId::new(number), Some(name("thread")));
    core.register(&thread);
    thread
}

fn end(core: &Core, trace: &mut Vec<u8>) {
    if let Some((_, parts)) = core.end_generation() {
        if trace.is_empty() {
            trace.extend_from_slice(Version::CURRENT.header());
        }
        for part in parts {
            core.budget.give_back(part.capacity());
            trace.extend_from_slice(&part);
        }
    }
}

/// Fails unless the trace and every suffix is valid. Gives how many logs there are.
fn logs(trace: &[u8]) -> u64 {
    if trace.is_empty() {
        return 0;
    }
    let of = Trace::new(trace).unwrap();
    let starts: Vec<u64> = of.generations().map(|g| g.unwrap().start.0).collect();
    let mut logs = None;
    for start in starts {
        let rest = &trace[usize::try_from(start).unwrap()..];
        let suffix = [Version::CURRENT.header(), rest].concat();
        let of = Trace::new(&suffix).unwrap();
        let (mut reader, mut count) = (of.reader(), 0);
        while let Some(event) = reader.next().unwrap() {
            count += u64::from(event.kind() == EventKind::Log);
        }
        logs.get_or_insert(count);
    }
    logs.unwrap_or(0)
}

/// A goroutine moves between two threads, which wake it and annotate, while generations end.
#[test]
fn a_goroutine_moves_while_generations_end() {
    all_orders(2, || {
        let core = started();
        let threads = [enlist(&core, 1), enlist(&core, 2)];
        let go = Go::new(name("future")).unwrap();
        threads[0].lock().create(&core, &go);
        // Executors poll a future on one thread at a time.
        let turn = Arc::new(Mutex::new(()));
        let workers: Vec<_> = threads
            .into_iter()
            .map(|thread| {
                let (core, go, turn) = (Arc::clone(&core), Arc::clone(&go), Arc::clone(&turn));
                thread::spawn(move || {
                    thread.lock().wake(&core, &go);
                    let polls = lock(&turn);
                    thread.lock().poll_begin(&core, &go);
                    thread.lock().log(&core, 0, "polled", b"");
                    thread.lock().poll_end(&core, &go, "select");
                    drop(polls);
                })
            })
            .collect();
        let mut trace = Vec::new();
        end(&core, &mut trace);
        end(&core, &mut trace);
        workers
            .into_iter()
            .for_each(|worker| worker.join().unwrap());
        end(&core, &mut trace);
        assert_eq!((logs(&trace), core.lost()), (2, (0, 0)));
    });
}

/// A thread ends while a generation does: nothing of it is missing.
#[test]
fn a_thread_ends_while_a_generation_does() {
    all_orders(2, || {
        let core = started();
        let thread = enlist(&core, 1);
        let worker = {
            let core = Arc::clone(&core);
            thread::spawn(move || {
                thread.lock().log(&core, 0, "first", b"");
                thread.lock().log(&core, 0, "last", b"text");
                let over = thread.lock().end(&core);
                assert!(over);
                core.unregister(&thread);
            })
        };
        let mut trace = Vec::new();
        end(&core, &mut trace);
        worker.join().unwrap();
        end(&core, &mut trace);
        end(&core, &mut trace);
        assert_eq!((logs(&trace), core.lost()), (2, (0, 0)));
        core.stop();
        assert_eq!(core.budget.used(), 0);
    });
}

/// The tracer stops and starts while a thread annotates: what is missing is what happened in between.
#[test]
fn a_stop_and_a_start_race_with_annotations() {
    all_orders(2, || {
        let core = started();
        let thread = enlist(&core, 1);
        let worker = {
            let core = Arc::clone(&core);
            thread::spawn(move || {
                let number = thread.lock().begin_region(&core, 0, "region");
                thread.lock().log(&core, 0, "log", b"");
                if number != 0 {
                    thread.lock().end_region(&core, number);
                }
            })
        };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        end(&core, &mut first);
        core.stop();
        core.start();
        worker.join().unwrap();
        end(&core, &mut second);
        assert!(logs(&first) + logs(&second) <= 1);
        core.stop();
        assert_eq!(core.budget.used(), 0);
    });
}

/// Memory is used up while a thread annotates and ends: what is not in the trace is counted.
#[test]
fn memory_is_used_up_while_a_thread_annotates() {
    all_orders(2, || {
        let core = started();
        let thread = enlist(&core, 1);
        let worker = {
            let core = Arc::clone(&core);
            thread::spawn(move || {
                thread.lock().log(&core, 0, "first", b"");
                thread.lock().log(&core, 0, "last", b"");
                let over = thread.lock().end(&core);
                if over {
                    core.unregister(&thread);
                }
            })
        };
        let mut trace = Vec::new();
        core.fill_up(core.generation());
        end(&core, &mut trace);
        core.resume();
        worker.join().unwrap();
        end(&core, &mut trace);
        end(&core, &mut trace);
        let (lost, gaps) = core.lost();
        assert_eq!(gaps, 1);
        // Of what is lost, some are the thread's beginning and end.
        let logs = logs(&trace);
        assert!(logs <= 2 && logs + lost >= 2, "{logs} logs, {lost} lost");
    });
}
