//! Futures as goroutines.

use super::{alone, judged, lines};
use gotrace::tracer::{self, Config, Reason, Task, goroutine, in_region, waiting};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// Keeps wakers, to wake later.
type Wakers = Arc<Mutex<Vec<Waker>>>;

/// Pending so many times; how often it was polled is how often it was woken.
fn pending(times: usize, wakers: &Wakers) -> impl Future<Output = ()> + Send + use<> {
    let wakers = Arc::clone(wakers);
    let mut left = times;
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        wakers
            .lock()
            .expect("no panic")
            .push(context.waker().clone());
        Poll::Pending
    })
}

fn wake_all(wakers: &Wakers) {
    let all: Vec<Waker> = std::mem::take(&mut *wakers.lock().expect("no panic"));
    all.into_iter().for_each(Waker::wake);
}

/// The lines without the names of threads, which depend on the test.
fn about(trace: &[u8], what: &str) -> Vec<String> {
    let all = lines(trace).into_iter();
    all.filter_map(|line| {
        let (who, what_happens) = line.split_once(": ")?;
        let who = if who == what { who } else { "other" };
        (line.contains(what)).then(|| format!("{who}: {what_happens}"))
    })
    .collect()
}

#[test]
fn polls_run_and_wakes_make_ready() {
    let _alone = alone();
    let trace = judged(Config::new(), || {
        let wakers = Wakers::default();
        let task = Task::new("job");
        let entered = task.enter();
        let mut future = pin!(goroutine("polled", {
            let wakers = Arc::clone(&wakers);
            async move {
                tracer::log("at", "1");
                waiting(Reason::NETWORK, pending(1, &wakers)).await;
                in_region("read", pending(1, &wakers)).await;
                tracer::log("at", "2");
            }
        }));
        drop(entered);
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        wake_all(&wakers);
        assert!(future.as_mut().poll(&mut context).is_pending());
        wake_all(&wakers);
        assert!(future.as_mut().poll(&mut context).is_ready());
    });
    let all = about(&trace, "polled");
    let task = all
        .iter()
        .find_map(|line| line.strip_prefix("polled: log ")?.split(' ').next());
    let task = task.expect("a log").to_owned();
    let expected = [
        "other: polled Runnable".to_owned(),
        "other: polled Running".to_owned(),
        format!("polled: log {task} at=1"),
        "polled: polled Waiting network".to_owned(),
        "other: polled Runnable".to_owned(),
        "other: polled Running".to_owned(),
        format!("polled: region {task} read"),
        "polled: polled Waiting select".to_owned(),
        "other: polled Runnable".to_owned(),
        "other: polled Running".to_owned(),
        format!("polled: end {task} read"),
        format!("polled: log {task} at=2"),
        "polled: polled NotExist".to_owned(),
    ];
    assert_eq!(all, expected);
}

/// Woken while it is polled, it does not wait.
#[test]
fn a_wake_in_a_poll_is_a_yield() {
    let _alone = alone();
    let trace = judged(Config::new(), || {
        let first = Cell::new(true);
        let future = goroutine(
            "polled",
            poll_fn(|context| {
                if first.replace(false) {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(())
            }),
        );
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert!(future.as_mut().poll(&mut context).is_ready());
    });
    let expected = [
        "other: polled Runnable",
        "other: polled Running",
        "polled: polled Runnable runtime.Gosched",
        "other: polled Running",
        "polled: polled NotExist",
    ];
    assert_eq!(about(&trace, "polled"), expected);
}

#[test]
fn one_within_another_is_a_region_of_it() {
    let _alone = alone();
    let trace = judged(Config::new(), || {
        let wakers = Wakers::default();
        let outer = goroutine("outer", {
            let wakers = Arc::clone(&wakers);
            async move { goroutine("inner", pending(1, &wakers)).await }
        });
        let mut outer = pin!(outer);
        let mut context = Context::from_waker(Waker::noop());
        assert!(outer.as_mut().poll(&mut context).is_pending());
        wake_all(&wakers);
        assert!(outer.as_mut().poll(&mut context).is_ready());
    });
    let all = about(&trace, "outer");
    let regions: Vec<_> = all.iter().filter(|line| line.contains("inner")).collect();
    assert!(
        regions.iter().any(|line| *line == "outer: region 0 inner"),
        "{all:?}"
    );
    assert!(
        regions.iter().any(|line| *line == "outer: end 0 inner"),
        "{all:?}"
    );
    assert!(all.iter().any(|line| *line == "other: outer Runnable"));
}

/// One that is dropped before its end, one that panics, and one that is never polled, end.
#[test]
fn every_goroutine_ends() {
    let _alone = alone();
    let trace = judged(Config::new(), || {
        let wakers = Wakers::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut dropped = Box::pin(goroutine("dropped", pending(9, &wakers)));
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        drop(dropped);
        drop(goroutine(String::from("never"), pending(9, &wakers)));
        let panics = std::panic::catch_unwind(|| {
            let mut panics = pin!(goroutine("panics", async { panic!("on purpose") }));
            let mut context = Context::from_waker(Waker::noop());
            let _: Poll<()> = panics.as_mut().poll(&mut context);
        });
        assert!(panics.is_err());
        // What wakes later what has ended wakes nobody.
        wake_all(&wakers);
    });
    let all = lines(&trace);
    for name in ["dropped", "never", "panics"] {
        let last = all.iter().rfind(|line| line.contains(name));
        assert_eq!(last.unwrap(), &format!("{name}: {name} NotExist"));
    }
}

/// The waker given last is woken.
#[test]
fn wakes_reach_who_polled_last() {
    struct Count(Mutex<usize>);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            *self.0.lock().expect("no panic") += 1;
        }
    }
    let _alone = alone();
    let trace = judged(Config::new(), || {
        let wakers = Wakers::default();
        let mut future = pin!(goroutine("polled", pending(2, &wakers)));
        let counts: Vec<_> = (0..2).map(|_| Arc::new(Count(Mutex::new(0)))).collect();
        for (n, count) in counts.iter().enumerate() {
            let waker = Waker::from(Arc::clone(count));
            assert!(
                future
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            wake_all(&wakers);
            let woken: Vec<usize> = counts
                .iter()
                .map(|c| *c.0.lock().expect("no panic"))
                .collect();
            assert_eq!(woken, [1, n]);
        }
    });
    assert!(!trace.is_empty());
}
