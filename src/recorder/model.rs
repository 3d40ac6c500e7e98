//! Every order of events that a few threads can bring about, tried by `loom`:
//!
//!     RUSTFLAGS="--cfg loom" cargo test --release --lib recorder::model

use super::{FlightRecorder, FlightRecorderConfig, SharedError, SharedRecorder};
use crate::generation::Trace;
use crate::locks::{Condvar, Mutex, lock, wait};
use crate::wire::Version;
use core::time::Duration;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::io;
use std::vec;
use std::vec::Vec;

type Shared = Arc<SharedRecorder<Vec<u8>>>;

fn started() -> Shared {
    let config = FlightRecorderConfig::default();
    let recorder = SharedRecorder::with_arena(config, |config| {
        Ok(FlightRecorder::new(vec![0; 1024], config)?)
    });
    recorder.start().unwrap();
    recorder.write(Version::CURRENT.header()).unwrap();
    Arc::new(recorder)
}

/// A generation of one batch and its marker.
fn generation(number: u8) -> [u8; 8] {
    [1, number, 1, 9, 2, 11, 1, 52]
}

fn numbers(trace: &[u8]) -> Vec<u64> {
    let trace = Trace::new(trace).unwrap();
    let generations = trace.generations().map(|g| g.unwrap());
    generations.map(|g| g.number.get()).collect()
}

/// A writer that knows whether it is the only one, and gives way in the middle.
struct Slow {
    active: Arc<AtomicUsize>,
    bytes: Vec<u8>,
}

impl io::Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert_eq!(self.active.fetch_add(1, Ordering::SeqCst), 0);
        thread::yield_now();
        self.bytes.extend(bytes);
        self.active.fetch_sub(1, Ordering::SeqCst);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_snapshot_is_a_moment_of_the_recording() {
    loom::model(|| {
        let recorder = started();
        recorder.write(&generation(1)).unwrap();
        let other = Arc::clone(&recorder);
        let recording = thread::spawn(move || {
            // Cut within a batch.
            let bytes = [generation(2), generation(3)].concat();
            for piece in bytes.chunks(6) {
                other.write(piece).unwrap();
            }
        });
        let mut bytes = Vec::new();
        recorder.write_to(&mut bytes).unwrap();
        let seen = numbers(&bytes);
        assert!([1, 2, 3].starts_with(&seen) && !seen.is_empty(), "{seen:?}");
        recording.join().unwrap();
        let mut bytes = Vec::new();
        recorder.write_to(&mut bytes).unwrap();
        assert_eq!(numbers(&bytes), [1, 2, 3]);
    });
}

/// A writer that is stuck until a generation was recorded.
struct Stuck {
    recorded: Arc<(Mutex<bool>, Condvar)>,
    bytes: Vec<u8>,
}

impl io::Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (recorded, told) = &*self.recorded;
        let mut guard = lock(recorded);
        while !*guard {
            guard = wait(told, guard);
        }
        self.bytes.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn recording_does_not_wait_for_the_writer() {
    loom::model(|| {
        let recorder = started();
        recorder.write(&generation(1)).unwrap();
        let recorded = Arc::new((Mutex::new(false), Condvar::new()));
        let mut stuck = Stuck {
            recorded: Arc::clone(&recorded),
            bytes: Vec::new(),
        };
        let other = Arc::clone(&recorder);
        let writing = thread::spawn(move || {
            other.write_to(&mut stuck).unwrap();
            numbers(&stuck.bytes)
        });
        // Were one of these to wait, this would be a deadlock.
        recorder.write(&generation(2)).unwrap();
        assert_eq!(recorder.status().unwrap().recorded.generations, 2);
        assert!(recorder.enabled());
        *lock(&recorded.0) = true;
        recorded.1.notify_one();
        // What was recorded before the copy is in it, whole.
        let seen = writing.join().unwrap();
        assert!(seen == [1] || seen == [1, 2], "{seen:?}");
    });
}

#[test]
fn settings_are_those_of_a_start() {
    loom::model(|| {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&sizes);
        let config = FlightRecorderConfig {
            max_bytes: 1,
            ..FlightRecorderConfig::default()
        };
        let recorder = Arc::new(SharedRecorder::with_arena(config, move |config| {
            lock(&seen).push((config.max_bytes, config.min_age.as_secs()));
            Ok(FlightRecorder::new(vec![0; 1024], config)?)
        }));
        recorder.start().unwrap();
        let other = Arc::clone(&recorder);
        let setting = thread::spawn(move || {
            other.set_size(2);
            other.set_period(Duration::from_secs(2));
        });
        recorder.stop();
        recorder.start().unwrap();
        setting.join().unwrap();
        recorder.stop();
        recorder.start().unwrap();
        let sizes = lock(&sizes);
        assert_eq!(sizes[0], (1, 10));
        assert!([(1, 10), (2, 10), (2, 2)].contains(&sizes[1]), "{sizes:?}");
        assert_eq!(sizes[2], (2, 2));
    });
}

#[test]
fn one_snapshot_is_written_at_a_time() {
    loom::model(|| {
        let recorder = started();
        recorder.write(&generation(1)).unwrap();
        let active = Arc::new(AtomicUsize::new(0));
        let write = |recorder: &Shared, active: &Arc<AtomicUsize>| {
            let mut slow = Slow {
                active: Arc::clone(active),
                bytes: Vec::new(),
            };
            let result = recorder.write_to(&mut slow);
            match result {
                Ok(len) => assert_eq!(len, slow.bytes.len() as u64),
                Err(SharedError::SnapshotActive) => assert!(slow.bytes.is_empty()),
                Err(error) => panic!("{error}"),
            }
            usize::from(!slow.bytes.is_empty())
        };
        let (other, shared) = (Arc::clone(&recorder), Arc::clone(&active));
        let second = thread::spawn(move || write(&other, &shared));
        let written = write(&recorder, &active) + second.join().unwrap();
        assert!(written >= 1);
    });
}

#[test]
fn a_stop_waits_for_the_snapshot() {
    loom::model(|| {
        let recorder = started();
        recorder.write(&generation(1)).unwrap();
        let active = Arc::new(AtomicUsize::new(0));
        let (other, shared) = (Arc::clone(&recorder), Arc::clone(&active));
        let writing = thread::spawn(move || {
            let mut slow = Slow {
                active: shared,
                bytes: Vec::new(),
            };
            match other.write_to(&mut slow) {
                Ok(_) => assert_eq!(numbers(&slow.bytes), [1]),
                Err(SharedError::NotStarted) => assert!(slow.bytes.is_empty()),
                Err(error) => panic!("{error}"),
            }
        });
        recorder.stop();
        assert_eq!(active.load(Ordering::SeqCst), 0);
        assert!(!recorder.enabled());
        let result = recorder.write(&generation(2));
        assert!(matches!(result, Err(SharedError::NotStarted)));
        writing.join().unwrap();
        let result = recorder.write_to(io::sink());
        assert!(matches!(result, Err(SharedError::NotStarted)));
    });
}

#[test]
fn one_start_wins_and_all_stops_return() {
    loom::model(|| {
        let recorder = started();
        recorder.stop();
        let other = Arc::clone(&recorder);
        let second = thread::spawn(move || {
            let won = other.start().is_ok();
            // Whoever was started records, or was stopped again.
            let result = other.write(Version::CURRENT.header());
            assert!(matches!(result, Ok(()) | Err(SharedError::NotStarted)));
            won
        });
        let first = recorder.start().is_ok();
        assert!(second.join().unwrap() != first);
        assert!(recorder.enabled());
        let other = Arc::clone(&recorder);
        let stop = thread::spawn(move || other.stop());
        recorder.stop();
        stop.join().unwrap();
        assert!(!recorder.enabled());
        recorder.start().unwrap();
    });
}
