//! What spans and events cost with other tracers and with this one's layer: the least of many
//! batches, in nanoseconds.

use std::hint::black_box;
use std::time::{Duration, Instant};
use tracing::{info, info_span};
use tracing_subscriber::layer::SubscriberExt as _;

const BATCHES: usize = 200;
const CALLS: usize = 1000;

fn row(name: &str, mut call: impl FnMut()) {
    let mut least = Duration::MAX;
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        least = least.min(start.elapsed());
    }
    println!(
        "{name:<42} {:9.1}",
        least.as_secs_f64() * 1e9 / CALLS as f64
    );
}

/// Spans and events of `tracing`, with what listens.
fn spans(name: &str) {
    row(&format!("{name}, root span"), || {
        info_span!("root").in_scope(|| black_box(()));
    });
    let root = info_span!("root");
    let entered = root.enter();
    row(&format!("{name}, child span"), || {
        info_span!("child").in_scope(|| black_box(()));
    });
    row(&format!("{name}, event"), || {
        info!("a message of some 24 bytes");
    });
    drop(entered);
}

struct Nowhere;

impl fastrace::collector::Reporter for Nowhere {
    fn report(&mut self, spans: Vec<fastrace::prelude::SpanRecord>) {
        black_box(spans);
    }
}

/// A task that gives way, over and over.
fn yields(name: &str, wrap: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let task = async {
        let mut least = Duration::MAX;
        for _ in 0..BATCHES {
            let start = Instant::now();
            for _ in 0..CALLS {
                tokio::task::yield_now().await;
            }
            least = least.min(start.elapsed());
        }
        least
    };
    let task = match wrap {
        true => runtime.spawn(gotrace::tracer::goroutine("yields", task)),
        false => runtime.spawn(async move { std::pin::pin!(task).await }),
    };
    let least = runtime.block_on(task).expect("no panic");
    println!(
        "{name:<42} {:9.1}",
        least.as_secs_f64() * 1e9 / CALLS as f64
    );
}

fn main() {
    fastrace::set_reporter(Nowhere, fastrace::collector::Config::default());
    let local = || {
        drop(black_box(
            fastrace::prelude::LocalSpan::enter_with_local_parent("span"),
        ))
    };
    row("fastrace LocalSpan, without a parent", local);
    let mut call = 0;
    let mut parent = None;
    row("fastrace LocalSpan, 100 a root", || {
        if call % 100 == 0 {
            drop(parent.take());
            let root =
                fastrace::prelude::Span::root("root", fastrace::prelude::SpanContext::random());
            let guard = root.set_local_parent();
            parent = Some((guard, root));
        }
        call += 1;
        local();
    });
    drop(parent);

    let registry = tracing_subscriber::registry();
    tracing::subscriber::with_default(registry, || spans("tracing, registry alone"));

    let layer = gotrace::tracer::Layer::while_traced();
    let registry = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(registry, || {
        row("gotrace layer off, span", || {
            info_span!("root").in_scope(|| black_box(()));
        });
        let trace = gotrace::tracer::start(std::io::sink()).expect("a thread");
        spans("gotrace layer");
        trace.stop();
    });

    let (layer, guard) = tracing_chrome::ChromeLayerBuilder::new()
        .writer(std::io::sink())
        .build();
    let registry = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(registry, || spans("tracing-chrome"));
    drop(guard);

    yields("tokio yield_now", false);
    let trace = gotrace::tracer::start(std::io::sink()).expect("a thread");
    yields("tokio yield_now, as a goroutine", true);
    trace.stop();
}
