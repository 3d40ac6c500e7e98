//! A service that keeps a flight recorder of itself: when a request takes too long, what led to it is
//! written to a file.
//!
//! ```console
//! $ cargo run --features tracer --example flight_of_itself -- slow.trace
//! $ gotrace dump slow.trace          # or: go tool trace slow.trace
//! ```

use gotrace::recorder::{FlightRecorderConfig, SharedRecorder};
use gotrace::tracer::{self, Config, Reason, Task};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a request may take.
const LIMIT: Duration = Duration::from_millis(30);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("where should the trace go?")?;
    // Generations of 100 ms: a recorder keeps and drops whole ones.
    tracer::configure(Config::new().with_period(Duration::from_millis(100)))?;
    let recorder = Arc::new(SharedRecorder::new(FlightRecorderConfig::default()));
    let recording = tracer::record(&recorder)?;

    // Two workers share a database that takes one query at a time.
    let database = Arc::new(Mutex::new(()));
    let workers: Vec<_> = (0..2u64)
        .map(|worker| {
            let (database, recorder, path) = (database.clone(), recorder.clone(), path.clone());
            let thread = std::thread::Builder::new().name(format!("worker {worker}"));
            thread.spawn(move || {
                for request in 0..50 {
                    let start = Instant::now();
                    handle(&database, request * 2 + worker);
                    if start.elapsed() > LIMIT {
                        return write(&recorder, &path).map_err(|error| error.to_string());
                    }
                }
                Ok(())
            })
        })
        .collect::<Result<_, _>>()?;
    for worker in workers {
        worker.join().map_err(|_| "a worker panicked")??;
    }
    recording.stop();
    Ok(())
}

fn handle(database: &Mutex<()>, request: u64) {
    let task = Task::new("request");
    let _entered = task.enter();
    tracer::log_fmt("request", format_args!("number {request}"));
    let guard = {
        let _region = tracer::region("wait for the database");
        let _blocked = tracer::blocked(Reason::SYNC);
        database.lock()
    };
    let _region = tracer::region("query");
    // One of them is much slower.
    let time = if request == 61 { 50 } else { 1 };
    let _blocked = tracer::blocked(Reason::SLEEP);
    std::thread::sleep(Duration::from_millis(time));
    drop(guard);
}

/// Writes what the recorder has, with the end of the request.
fn write(recorder: &SharedRecorder, path: &str) -> Result<(), Box<dyn std::error::Error>> {
    // A snapshot has complete generations: the one in which this happened has to end.
    let before = recorder.status()?.window.generations;
    tracer::advance();
    let waited = Instant::now();
    while recorder.status()?.window.generations == before
        && waited.elapsed() < Duration::from_secs(1)
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    let bytes = recorder.write_to(&mut std::fs::File::create(path)?)?;
    println!("a request took more than {LIMIT:?}: {bytes} bytes in {path}");
    Ok(())
}
