//! A flight recorder for a service: writes the last seconds when a request took too long.
//!
//! The service is a Go program that writes its trace to a pipe and annotates each request with a task:
//!
//! ```console
//! $ ./service 3>&1 >/dev/null | cargo run --example slow_request -- 300 slow.trace
//! $ go tool trace slow.trace
//! ```
//!
//! Here, with a trace of the repository: `slow_request 20 slow.trace < tests/fixtures/http-go1.27.trace`.

use gotrace::mux::{QueueConfig, TraceMultiplexer};
use gotrace::recorder::{FlightRecorderConfig, SharedRecorder};
use gotrace::source::StreamSource;
use gotrace::{Details, TaskId, Time};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let limit = args.next().ok_or("how many milliseconds are too long?")?;
    let limit = Duration::from_millis(limit.parse()?);
    let path = args.next().ok_or("where should the trace go?")?;

    // One trace, two subscribers: the recorder, and this thread with the events.
    let mux = TraceMultiplexer::new(StreamSource::new(std::io::stdin()))?;
    let hold = mux.hold();
    let recorder = Arc::new(SharedRecorder::new(FlightRecorderConfig::default()));
    let recording = mux.record(&recorder)?;
    let mut events = mux.events(QueueConfig::default());
    drop(hold);

    let mut begun: HashMap<TaskId, Time> = HashMap::new();
    let mut slowest: Option<(Duration, String)> = None;
    while let Some(event) = events.next()? {
        match event.details() {
            Details::TaskBegin(task) => {
                begun.extend(task.id.map(|id| (id, event.time())));
            }
            Details::TaskEnd(task) => {
                let Some(start) = task.id.and_then(|id| begun.remove(&id)) else {
                    continue;
                };
                let took = Duration::from_nanos(event.time().since(start).unsigned_abs());
                if took > limit && slowest.as_ref().is_none_or(|(slowest, _)| took > *slowest) {
                    slowest = Some((took, task.ty.to_string()));
                }
            }
            _ => {}
        }
        // Events come when their generation is complete, and so has the recorder got it.
        if events.will_wait()
            && let Some((took, ty)) = slowest.take()
        {
            write(&recorder, &path, took, &ty)?;
        }
    }
    recording.wait();
    if let Some((took, ty)) = slowest {
        write(&recorder, &path, took, &ty)?;
    }
    Ok(())
}

fn write(
    recorder: &SharedRecorder,
    path: &str,
    took: Duration,
    ty: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let bytes = recorder.write_to(std::fs::File::create(path)?)?;
    println!("a {ty} took {took:?}: {bytes} bytes written to {path}");
    Ok(())
}
