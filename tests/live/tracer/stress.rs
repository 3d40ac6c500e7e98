//! Threads that come and go, futures that are polled by any of them, generations of milliseconds,
//! starts and stops at any time: every suffix of every trace is accepted.
//!
//! `GOTRACE_STRESS` sets for how many seconds, 2 if not set.

use super::{alone, judge};
use gotrace::tracer::{self, Config, Reason, Task, goroutine, in_region, waiting};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// Numbers that follow from the seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
}

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What threads share: futures that are ready or not, whoever cares, and wakers.
#[derive(Default)]
struct Pool {
    jobs: Mutex<Vec<Job>>,
    wakers: Mutex<Vec<Waker>>,
    polls: AtomicU64,
    stop: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic")
}

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

/// Waits for someone to wake it, or not: it may be polled before.
fn park(pool: &Arc<Pool>) -> impl Future<Output = ()> + Send + use<> {
    let pool = Arc::clone(pool);
    let mut first = true;
    poll_fn(move |context| {
        if !std::mem::replace(&mut first, false) {
            return Poll::Ready(());
        }
        lock(&pool.wakers).push(context.waker().clone());
        Poll::Pending
    })
}

fn job(pool: &Arc<Pool>, seed: u64) -> Job {
    let pool = Arc::clone(pool);
    let names = ["accept", "read", "write"];
    let name = names[(seed % 3) as usize];
    Box::pin(goroutine(name, async move {
        let mut random = Random(seed);
        let task = Task::new("job");
        for _ in 0..random.below(20) {
            match random.below(5) {
                0 => park(&pool).await,
                1 => waiting(Reason::NETWORK, park(&pool)).await,
                2 => in_region("step", park(&pool)).await,
                3 => task.instrument(park(&pool)).await,
                _ => tracer::with_region("work", || tracer::log("seed", name)),
            }
        }
    }))
}

/// Polls futures, wakes others, annotates, and ends after a while.
fn work(pool: Arc<Pool>, seed: u64) {
    let mut random = Random(seed);
    let waker = Waker::from(Arc::new(Nobody));
    for _ in 0..random.below(3000) {
        if pool.stop.load(Ordering::Relaxed) {
            break;
        }
        match random.below(12) {
            0..6 => {
                let mut jobs = lock(&pool.jobs);
                let Some(last) = (jobs.len() as u64).checked_sub(1) else {
                    continue;
                };
                let mut job = jobs.swap_remove(random.below(last + 1) as usize);
                drop(jobs);
                pool.polls.fetch_add(1, Ordering::Relaxed);
                let mut context = Context::from_waker(&waker);
                match job.as_mut().poll(&mut context) {
                    Poll::Pending if random.below(50) > 0 => lock(&pool.jobs).push(job),
                    _ => drop(job),
                }
            }
            6..8 => {
                let woken = lock(&pool.wakers).pop();
                woken.inspect(Waker::wake_by_ref);
            }
            8 => {
                if lock(&pool.jobs).len() < 60 {
                    let job = job(&pool, random.below(u64::MAX >> 33));
                    lock(&pool.jobs).push(job);
                }
            }
            9 => {
                let (a, b) = (tracer::region("a"), tracer::region("b"));
                tracer::log_fmt("number", format_args!("{}", random.0));
                if random.below(2) == 0 {
                    drop(a);
                    drop(b);
                } else {
                    drop(b);
                    drop(a);
                }
            }
            10 => drop(match random.below(2) {
                0 => (Some(tracer::blocked(Reason::SLEEP)), None),
                _ => (None, Some(tracer::syscall())),
            }),
            _ => std::thread::sleep(Duration::from_micros(random.below(300))),
        }
    }
}

#[test]
fn whatever_threads_do_every_suffix_is_a_trace() {
    let _alone = alone();
    let seconds = std::env::var("GOTRACE_STRESS").ok();
    let seconds = seconds.map_or(2.0, |s| s.parse().expect("a number of seconds"));
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let pool = Arc::new(Pool::default());
    let seeds = Arc::new(AtomicU64::new(1));
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let (pool, seeds) = (Arc::clone(&pool), Arc::clone(&seeds));
            // Threads that come and go.
            std::thread::spawn(move || {
                while !pool.stop.load(Ordering::Relaxed) {
                    let (pool, seed) = (Arc::clone(&pool), seeds.fetch_add(1, Ordering::Relaxed));
                    std::thread::spawn(move || work(pool, seed * 7919))
                        .join()
                        .expect("no panic");
                }
            })
        })
        .collect();
    let (mut traces, mut suffixes, mut random) = (0, 0, Random(42));
    while Instant::now() < end {
        let memory = match traces % 4 {
            // Too little: it goes on after gaps.
            3 => 128 << 10,
            _ => 64 << 20,
        };
        let config = Config::new()
            .with_period(Duration::from_micros(500 + random.below(5000)))
            .with_memory(memory);
        tracer::configure(config).expect("it is off");
        let trace = tracer::start(Vec::new()).expect("a thread");
        std::thread::sleep(Duration::from_millis(5 + random.below(40)));
        let writer = trace.stop().subscriber.expect("a writer");
        let trace = writer.into_inner().expect("a trace");
        while tracer::is_enabled() {
            std::thread::yield_now();
        }
        suffixes += judge::suffixes(&trace).len();
        if let Err(error) = judge::judge(&trace) {
            let path = std::env::temp_dir().join("gotrace-stress.trace");
            std::fs::write(&path, &trace).expect("writing the trace");
            panic!("{}: {error}", path.display());
        }
        traces += 1;
    }
    pool.stop.store(true, Ordering::Relaxed);
    workers
        .into_iter()
        .for_each(|w| w.join().expect("no panic"));
    let polls = pool.polls.load(Ordering::Relaxed);
    println!(
        "{traces} traces, {suffixes} suffixes, {polls} polls, {:?}",
        tracer::lost()
    );
    assert!(traces > 0 && suffixes > traces && polls > 100);
}
