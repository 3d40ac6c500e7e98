//! The recorder that threads share: Go's rules, one after the other. `loom` tries the orders of
//! events among threads, in `src/recorder/model.rs`.

use super::synth;
use crate::common;
use gotrace::recorder::{
    ArenaError, FlightRecorder, FlightRecorderConfig, SharedError, SharedRecorder, arena_size_for,
};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A writer that says when it was reached, and then waits to be told to go on.
struct Slow {
    reached: Sender<()>,
    go_on: Receiver<()>,
    bytes: Vec<u8>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reached.send(()).unwrap();
        self.go_on.recv().unwrap();
        self.bytes.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn window(recorder: &SharedRecorder) -> Vec<u8> {
    let mut bytes = Vec::new();
    let len = recorder.write_to(&mut bytes).unwrap();
    assert_eq!(len, bytes.len() as u64);
    bytes
}

#[test]
fn it_is_started_and_stopped_any_number_of_times() {
    let trace = common::fixture("flight-go1.27").bytes();
    let recorder = SharedRecorder::new(FlightRecorderConfig::default());
    for _ in 0..3 {
        assert!(!recorder.enabled());
        recorder.stop();
        let errors = [
            recorder.write(&trace).unwrap_err(),
            recorder.write_to(io::sink()).unwrap_err(),
            recorder.status().unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, SharedError::NotStarted), "{error}");
        }
        recorder.start().unwrap();
        assert!(recorder.enabled());
        // Nothing is left of what was recorded before.
        let empty = recorder.write_to(io::sink());
        assert!(matches!(empty, Err(SharedError::Empty)));
        recorder.write(&trace).unwrap();
        let error = recorder.start().unwrap_err();
        assert!(matches!(error, SharedError::AlreadyStarted), "{error}");
        assert!(window(&recorder) == trace);
        recorder.stop();
    }
}

#[test]
fn size_and_period_are_those_of_the_next_start() {
    let trace = common::fixture("flight-go1.27").bytes();
    let recorder = SharedRecorder::new(FlightRecorderConfig::default());
    let kept = || {
        recorder.write(&trace).unwrap();
        synth::read(&[&window(&recorder)])
    };
    recorder.start().unwrap();
    let capacity = recorder.status().unwrap().capacity;
    recorder.set_period(Duration::from_millis(1));
    recorder.set_size(1 << 20);
    assert_eq!(kept().len(), 3);
    assert_eq!(recorder.status().unwrap().capacity, capacity);
    recorder.stop();
    recorder.start().unwrap();
    assert_eq!(kept().len(), 1);
    let status = recorder.status().unwrap();
    assert!((2 << 20..3 << 20).contains(&status.capacity), "{status:?}");
    recorder.stop();
    // Zero is the default, as in the configuration.
    recorder.set_period(Duration::ZERO);
    recorder.set_size(0);
    recorder.start().unwrap();
    assert_eq!(kept().len(), 3);
    assert_eq!(recorder.status().unwrap().capacity, capacity);
}

#[test]
fn a_slow_writer_holds_up_a_stop_and_nobody_else() {
    let trace = common::fixture("flight-go1.27").bytes();
    let (_, generations) = synth::split(&trace);
    let first = &trace[..16 + generations[0].1.wire(gotrace::wire::Version::Go126).len()];
    let recorder = SharedRecorder::new(FlightRecorderConfig::default());
    recorder.start().unwrap();
    recorder.write(first).unwrap();
    let (reached, is_reached) = channel();
    let (let_go, go_on) = channel();
    let (stopped, is_stopped) = channel();
    std::thread::scope(|scope| {
        let (recorder, bytes) = (&recorder, Vec::new());
        let writing = scope.spawn(move || {
            let mut slow = Slow {
                reached,
                go_on,
                bytes,
            };
            recorder.write_to(&mut slow).unwrap();
            slow.bytes
        });
        is_reached.recv().unwrap();
        // It is stuck. Recording goes on, and whoever else wants a snapshot learns of it.
        recorder.write(&trace[first.len()..]).unwrap();
        assert_eq!(recorder.status().unwrap().window.generations, 3);
        let mut other = Vec::new();
        let error = recorder.write_to(&mut other).unwrap_err();
        assert!(matches!(error, SharedError::SnapshotActive), "{error}");
        assert!(other.is_empty());

        scope.spawn(move || {
            recorder.stop();
            stopped.send(()).unwrap();
        });
        while recorder.enabled() {
            std::thread::yield_now();
        }
        // Stopped to everyone, but not yet done.
        let error = recorder.write_to(io::sink()).unwrap_err();
        assert!(matches!(error, SharedError::NotStarted), "{error}");
        let waited = is_stopped.recv_timeout(Duration::from_millis(50));
        assert!(waited.is_err(), "the stop did not wait");
        let_go.send(()).unwrap();
        is_stopped.recv().unwrap();
        assert!(
            writing.join().unwrap() == first,
            "a moment of the recording"
        );
    });
}

#[test]
fn what_fails_leaves_it_usable() {
    let trace = common::fixture("annotate-go1.25").bytes();
    let config = FlightRecorderConfig::default();
    let recorder = SharedRecorder::new(config);
    recorder.start().unwrap();
    recorder.write(&trace).unwrap();
    let before = window(&recorder);
    match recorder.write_to(Full) {
        Err(SharedError::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
        other => panic!("{other:?}"),
    }
    assert!(window(&recorder) == before && !before.is_empty());

    // An arena that cannot be had is no start.
    let mut tries = 0;
    let recorder = SharedRecorder::with_arena(config, move |config| {
        tries += 1;
        let len = if tries == 1 {
            10
        } else {
            arena_size_for(1 << 20)
        };
        Ok(FlightRecorder::new(vec![0; len], config)?)
    });
    let error = recorder.start().unwrap_err();
    let too_small = matches!(error, SharedError::Arena(ArenaError::TooSmall { .. }));
    assert!(too_small && !recorder.enabled(), "{error}");
    recorder.start().unwrap();
    recorder.write(&trace).unwrap();
    assert!(window(&recorder) == before);
}
