//! Spans and events of `tracing`.

use super::{alone, judged, lines};
use gotrace::tracer::{Config, Layer, goroutine};
use std::pin::pin;
use std::task::{Context, Waker};
use tracing::{info, info_span, warn};
use tracing_subscriber::layer::SubscriberExt as _;

fn with_layer(run: impl FnOnce()) -> Vec<String> {
    let subscriber = tracing_subscriber::registry().with(Layer::while_traced());
    let trace = tracing::subscriber::with_default(subscriber, || judged(Config::new(), run));
    let all = lines(&trace).into_iter();
    all.filter(|l| {
        ["task", "region", "end", "log"]
            .iter()
            .any(|w| l.contains(&format!(": {w} ")))
    })
    .map(|line| {
        line.split_once(": ")
            .map_or("", |(_, what)| what)
            .to_owned()
    })
    .collect()
}

/// The lines with the ids of tasks numbered in the order in which they come.
fn numbered(lines: Vec<String>) -> Vec<String> {
    let mut ids = vec!["0".to_owned()];
    let mut number = |word: &str| {
        if word.parse::<u64>().is_err() {
            return word.to_owned();
        }
        let known = ids.iter().position(|id| id == word);
        let place = known.unwrap_or_else(|| {
            ids.push(word.to_owned());
            ids.len() - 1
        });
        place.to_string()
    };
    lines
        .iter()
        .map(|line| {
            let words: Vec<String> = line.split(' ').map(&mut number).collect();
            words.join(" ")
        })
        .collect()
}

#[test]
fn spans_are_tasks_and_regions() {
    let _alone = alone();
    let all = with_layer(|| {
        let request = info_span!("request", path = "/");
        request.in_scope(|| {
            info!(target: "db", rows = 3, "found");
            info_span!("query").in_scope(|| warn!(target: "db", "slow"));
        });
        let other = info_span!("other");
        let (first, second) = (request.enter(), other.enter());
        // In the wrong order.
        drop(first);
        drop(second);
    });
    let expected = [
        "task 1 none request",
        "region 1 request",
        "log 1 db=found rows=3",
        "region 1 query",
        "log 1 db=slow",
        "end 1 query",
        "end 1 request",
        "task 2 none other",
        "region 1 request",
        "region 2 other",
        "end 2 other",
        "end 1 request",
        "region 2 other",
        "end 2 other",
        "task end 2 other",
        "task end 1 request",
    ];
    assert_eq!(numbered(all), expected);
}

/// A guard that is held over an await, as it should not be: its region ends with the goroutine.
#[test]
fn guards_that_leave_their_goroutine_are_mended() {
    let _alone = alone();
    let all = with_layer(|| {
        let mut held = None;
        let span = info_span!("held");
        {
            let span = span.clone();
            let held = &mut held;
            let mut future = pin!(goroutine("future", async move {
                *held = Some(span.entered());
            }));
            let mut context = Context::from_waker(Waker::noop());
            assert!(future.as_mut().poll(&mut context).is_ready());
        }
        drop(held);
        drop(span);
    });
    let expected = [
        "task 1 none held",
        "region 1 held",
        "end 1 held",
        "task end 1 held",
    ];
    assert_eq!(numbered(all), expected);
}

/// While nothing is traced, callsites are told that nobody listens.
#[test]
fn off_nothing_is_asked() {
    let _alone = alone();
    let subscriber = tracing_subscriber::registry().with(Layer::while_traced());
    tracing::subscriber::with_default(subscriber, || {
        while gotrace::tracer::is_enabled() {
            std::thread::yield_now();
        }
        assert!(!tracing::enabled!(tracing::Level::ERROR));
        judged(Config::new(), || {
            assert!(tracing::enabled!(tracing::Level::ERROR));
        });
    });
}
