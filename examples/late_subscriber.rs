//! One trace for three: a copy on disk, a flight recorder, and a reader that joins late.
//!
//! ```console
//! $ cargo run --example late_subscriber -- tests/fixtures/annotate-go1.27.trace copy.trace
//! ```
//!
//! The trace is played back as a program would write it; `StreamSource` reads that of a running one.

use gotrace::mux::{QueueConfig, TraceMultiplexer};
use gotrace::recorder::{FlightRecorderConfig, SharedRecorder};
use gotrace::source::Playback;
use gotrace::{EventKind, Trace};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let trace = std::fs::read(args.next().ok_or("which trace?")?)?;
    let path = args.next().ok_or("where should the copy go?")?;
    // Four times as fast as the program was.
    let mux = TraceMultiplexer::new(Playback::new(trace)?.paced(4.0))?;
    // The source starts when the hold is dropped: the first two get all of it.
    let hold = mux.hold();
    let copy = mux.start(std::fs::File::create(&path)?)?;
    let recorder = Arc::new(SharedRecorder::new(FlightRecorderConfig::default()));
    let recording = mux.record(&recorder)?;
    drop(hold);

    // Joins at any time, here when the first generation is complete: its trace begins with the next
    // generation that begins.
    while recorder.status()?.window.generations == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut late = mux.events(QueueConfig::default());
    let (mut events, mut generations) = (0, 0);
    while let Some(event) = late.next()? {
        events += 1;
        generations += u64::from(event.kind() == EventKind::Sync);
    }
    println!(
        "late: {events} events, {} generations",
        u64::saturating_sub(generations, 1)
    );

    recording.wait();
    let mut snapshot = Vec::new();
    recorder.write_to(&mut snapshot)?;
    println!(
        "recorder: {} generations",
        Trace::new(&snapshot)?.generations().count()
    );

    let outcome = copy.wait();
    let mut written = Vec::new();
    std::fs::File::open(&path)?.read_to_end(&mut written)?;
    println!("copy: {} bytes, ended by {:?}", written.len(), outcome.end);
    Ok(())
}
