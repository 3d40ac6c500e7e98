//! Traces of this process: whole and without their first generations they are accepted by the strict
//! reader, by the independent validator, and by Go's reader where there is one.

#[cfg(feature = "backtrace")]
mod backtraces;
mod calls;
mod futures;
#[path = "../../reading/emit/judge.rs"]
#[allow(dead_code)]
mod judge;
#[cfg(feature = "tracing")]
mod layer;
mod stress;
#[cfg(feature = "tokio")]
mod tokio;

use gotrace::event::Change;
use gotrace::tracer::{self, Config};
use gotrace::{Details, Trace};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// There is one tracer: one test at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The trace of what a function does.
pub fn traced(config: Config, run: impl FnOnce()) -> Vec<u8> {
    tracer::configure(config).expect("it is off");
    let trace = tracer::start(Vec::new()).expect("a thread");
    run();
    let outcome = trace.stop();
    outcome
        .subscriber
        .and_then(|w| w.into_inner())
        .expect("a trace")
}

/// As [`traced`]; fails unless the trace and all its suffixes are accepted.
pub fn judged(config: Config, run: impl FnOnce()) -> Vec<u8> {
    let trace = traced(config, run);
    judge::judge(&trace).unwrap();
    trace
}

/// An event as a line: its goroutine's name, its kind, its task, its texts.
pub fn lines(trace: &[u8]) -> Vec<String> {
    let of = Trace::new(trace).expect("a header");
    let mut reader = of.reader();
    let mut names = std::collections::HashMap::new();
    let mut lines = Vec::new();
    while let Some(event) = reader.next().expect("a valid trace") {
        let details = event.details();
        if let Details::StateTransition(transition) = &details
            && let Change::Goroutine { id: Some(go), .. } = transition.change
            && let Some(frame) = transition.stack.and_then(|stack| stack.frames().last())
        {
            names.entry(go).or_insert(frame.func.to_string());
        }
        let name = event.goroutine().and_then(|go| names.get(&go));
        let name = name.map_or("-", String::as_str);
        let what = match details {
            Details::Log(log) => format!("log {} {}={}", task(log.task), log.category, log.message),
            Details::RegionBegin(r) => format!("region {} {}", task(r.task), r.ty),
            Details::RegionEnd(r) => format!("end {} {}", task(r.task), r.ty),
            Details::TaskBegin(t) => format!("task {} {} {}", task(t.id), task(t.parent), t.ty),
            Details::TaskEnd(t) => format!("task end {} {}", task(t.id), t.ty),
            Details::Metric(m) => format!("{} {}", m.name, m.value),
            Details::StateTransition(transition) if !transition.is_announcement() => {
                let Change::Goroutine {
                    id: Some(go), to, ..
                } = transition.change
                else {
                    continue;
                };
                let of = names.get(&go).map_or("?", String::as_str);
                let line = format!("{of} {to} {}", transition.reason);
                line.trim_end().to_owned()
            }
            _ => continue,
        };
        lines.push(format!("{name}: {what}"));
    }
    lines
}

fn task(id: Option<gotrace::TaskId>) -> String {
    id.map_or("none".to_owned(), |id| id.to_string())
}

/// How many events of a trace there are for which `is` holds.
pub fn count(trace: &[u8], is: impl Fn(&Details<'_, '_>) -> bool) -> usize {
    let of = Trace::new(trace).expect("a header");
    let mut reader = of.reader();
    let mut found = 0;
    while let Some(event) = reader.next().expect("a valid trace") {
        found += usize::from(is(&event.details()));
    }
    found
}
