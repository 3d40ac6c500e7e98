//! tokio's runtime.

use super::{alone, judged, lines};
use gotrace::tracer::{self, Config, Reason, goroutine, waiting};
use std::time::Duration;

fn runtime() -> ::tokio::runtime::Runtime {
    let mut builder = ::tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_name("worker").enable_all();
    let runtime = tracer::tokio::instrument(&mut builder).build();
    runtime.expect("a runtime")
}

/// Tasks are spawned, stolen, wait for each other and for time, are aborted.
async fn work() {
    let (to, mut from) = ::tokio::sync::mpsc::channel::<u32>(4);
    let receiver = ::tokio::spawn(goroutine("receiver", async move {
        let mut sum = 0;
        while let Some(n) = waiting(Reason::RECEIVE, from.recv()).await {
            sum += n;
        }
        sum
    }));
    let senders: Vec<_> = (0..8u32)
        .map(|n| {
            let to = to.clone();
            ::tokio::spawn(goroutine("sender", async move {
                for i in 0..20 {
                    waiting(Reason::SEND, to.send(n)).await.expect("a receiver");
                    if i % 5 == 0 {
                        ::tokio::time::sleep(Duration::from_micros(100)).await;
                    }
                }
            }))
        })
        .collect();
    drop(to);
    let aborted = ::tokio::spawn(goroutine("aborted", std::future::pending::<()>()));
    for sender in senders {
        sender.await.expect("no panic");
    }
    assert_eq!(receiver.await.expect("no panic"), 20 * 28);
    aborted.abort();
    assert!(aborted.await.is_err());
}

#[test]
fn a_runtime_is_traced() {
    let _alone = alone();
    let runtime = runtime();
    let config = Config::new().with_period(Duration::from_millis(2));
    let trace = judged(config, || runtime.block_on(work()));
    runtime.shutdown_timeout(Duration::from_secs(5));
    let all = lines(&trace);
    let ends = |name: &str| {
        let end = format!("{name}: {name} NotExist");
        all.iter().filter(|line| **line == end).count()
    };
    if cfg!(tokio_unstable) {
        // The task is the goroutine; what it awaits is a region of it.
        let tasks = all
            .iter()
            .filter(|l| l.contains("task tests/") && l.contains("NotExist"));
        assert_eq!(tasks.count(), 10);
        assert!(all.iter().any(|line| line.contains("region 0 sender")));
    } else {
        assert_eq!(
            (ends("sender"), ends("receiver"), ends("aborted")),
            (8, 1, 1)
        );
        assert!(
            all.iter()
                .any(|line| line.contains("receiver Waiting chan receive"))
        );
    }
}

#[path = "../../../examples/slow_async.rs"]
mod slow_async;

/// The example's slow requests are found, and `go tool trace` sees what waited for the network.
#[test]
fn an_asynchronous_service_shows_its_slow_requests() {
    let _alone = alone();
    let trace = slow_async::serve().expect("a trace");
    super::judge::judge(&trace).unwrap();
    let slowest = slow_async::slowest(&trace, 40).expect("a valid trace");
    assert_eq!(slowest.len(), 40);
    // The report, or who waited for it.
    let slow = slowest[0].contains("/report") || slowest[0].contains("wait for the database");
    assert!(slow, "{slowest:?}");
    let report = slowest
        .iter()
        .find(|line| line.contains("/report"))
        .expect("the report");
    assert!(report.contains("of which query") || report.contains("wait for the database"));

    let Some(_) = crate::common::go::Go::find() else {
        return;
    };
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("slow_async.trace");
    std::fs::write(&path, &trace).expect("writing the trace");
    let go = std::env::var_os("GO").unwrap_or_else(|| "go".into());
    let profile = std::process::Command::new(go)
        .args(["tool", "trace", "-pprof=net"])
        .arg(&path)
        .env("GOTOOLCHAIN", "local")
        .output()
        .expect("starting go tool trace");
    assert!(
        profile.status.success(),
        "{}",
        String::from_utf8_lossy(&profile.stderr)
    );
    assert!(profile.stdout.len() > 100, "{} bytes", profile.stdout.len());
}
