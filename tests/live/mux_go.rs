//! The multiplexer fed by real Go programs, which end or are killed.
#![cfg(unix)]

use crate::common;

use common::go::{Go, Serve};
use common::live::{Random, generations, is_part_of};
use gotrace::mux::{EndReason, LiveError, QueueConfig, Signal, TraceMultiplexer};
use gotrace::recorder::{FlightRecorderConfig, SharedRecorder};
use gotrace::source::{SourceError, StreamSource, TraceSource};
use gotrace::{ErrorKind, Growing, Reader, Trace};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A program that traces itself, with generations of a 50th of a second.
struct Program(Child);

impl Program {
    fn start(binary: &Path, millis: u32, to: &Path) -> Program {
        let child = Command::new(binary)
            .arg(millis.to_string())
            .arg(to)
            .env("GODEBUG", "traceadvanceperiod=20000000")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starting the Go program");
        Program(child)
    }

    fn over_pipe(binary: &Path, millis: u32) -> (Program, StreamSource<ChildStdout>) {
        let mut program = Program::start(binary, millis, Path::new("-"));
        let pipe = program.0.stdout.take().unwrap();
        (program, StreamSource::polled(pipe).unwrap())
    }

    fn over_socket(binary: &Path, millis: u32) -> (Program, StreamSource<UnixStream>) {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = dir.join(format!("mux-{}.socket", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let program = Program::start(binary, millis, &path);
        let (stream, _) = listener.accept().unwrap();
        std::fs::remove_file(&path).unwrap();
        (program, StreamSource::polled(stream).unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Reads a trace to its end, as Go does; gives the number of events.
fn read(trace: &[u8], serve: &Mutex<Serve>) -> u64 {
    let parsed = Trace::new(trace).unwrap();
    let mut reader: Reader<'_, Growing> = Reader::new(&parsed);
    let mut events = 0;
    while reader.next().unwrap().is_some() {
        events += 1;
    }
    let verdict = serve.lock().unwrap().verdict(trace);
    assert_eq!((verdict.events, verdict.error), (events, None));
    events
}

/// What one of those who come and go got.
enum Part {
    Bytes(Vec<u8>),
    /// The first and the last generation, and how many events.
    Events(Option<(u64, u64)>, u64),
}

/// Subscribes in one of several ways, for a while; gives what came, and whether the source goes on.
fn visit(mux: &TraceMultiplexer, random: &mut Random) -> (Part, bool) {
    let how = random.below(3);
    let pause = Duration::from_millis(random.below(60) as u64);
    let stays = random.below(5) == 0;
    match how {
        0 => {
            let writer = mux.start(Vec::new()).unwrap();
            std::thread::sleep(pause);
            let outcome = match stays {
                true => writer.wait(),
                false => writer.stop(),
            };
            let bytes = outcome.subscriber.and_then(|w| w.into_inner());
            let left = matches!(outcome.end, EndReason::Left);
            (Part::Bytes(bytes.unwrap()), left)
        }
        1 => {
            let channel = mux.channel(QueueConfig::default());
            std::thread::sleep(pause);
            if !stays {
                channel.leave();
            }
            let (mut bytes, mut whole, mut left) = (Vec::new(), 0, false);
            for signal in channel {
                match &signal {
                    Signal::Header(version) => bytes.extend_from_slice(version.header()),
                    Signal::Batches(batches) => bytes.extend_from_slice(batches.as_bytes()),
                    Signal::EndOfGeneration(_) => {}
                    Signal::EndOfTrace(end) => left = matches!(end, EndReason::Left),
                    other => panic!("{other:?}"),
                }
                if let Signal::Header(_) | Signal::EndOfGeneration(_) = signal {
                    whole = bytes.len();
                }
            }
            assert!(!left || whole == bytes.len(), "cut short");
            bytes.truncate(whole);
            (Part::Bytes(bytes), left)
        }
        _ => {
            let mut events = mux.events(QueueConfig::default());
            std::thread::sleep(pause);
            if !stays {
                events.leave();
            }
            let (mut seen, mut count) = (None, 0);
            loop {
                match events.next() {
                    Ok(Some(_)) => {}
                    Ok(None) | Err(LiveError::Source(_)) => break,
                    Err(error) => panic!("{error}"),
                }
                let number = events.generation().unwrap().get();
                seen = Some((seen.map_or(number, |(first, _)| first), number));
                count += 1;
            }
            let left = matches!(events.end(), Some(EndReason::Left));
            (Part::Events(seen, count), left)
        }
    }
}

/// Lets subscribers come and go while the program runs; kills it after a while, or waits.
fn come_and_go(
    serve: &Mutex<Serve>,
    mut program: Program,
    source: impl TraceSource + 'static,
    kill: Option<Duration>,
) {
    let mux = TraceMultiplexer::new(source).unwrap();
    let hold = mux.hold();
    let witness = mux.start(Vec::new()).unwrap();
    let mut events = mux.events(QueueConfig::default());
    let config = FlightRecorderConfig {
        max_bytes: 300_000,
        ..FlightRecorderConfig::default()
    };
    let recorder = Arc::new(SharedRecorder::new(config));
    let recording = mux.record(&recorder).unwrap();
    drop(hold);
    let snapshot = || {
        let mut snapshot = Vec::new();
        recorder.write_to(&mut snapshot).unwrap();
        snapshot
    };
    let mut middle = Vec::new();
    let parts = Mutex::new(Vec::new());
    let all = std::thread::scope(|scope| {
        for seed in 0..4 {
            let (mux, parts) = (&mux, &parts);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                loop {
                    let (part, goes_on) = visit(mux, &mut random);
                    parts.lock().unwrap().push(part);
                    if !goes_on {
                        return;
                    }
                }
            });
        }
        let live = scope.spawn(move || {
            let mut count = 0u64;
            loop {
                match events.next() {
                    Ok(Some(_)) => count += 1,
                    Ok(None) => return (count, None),
                    Err(error) => return (count, Some(error)),
                }
            }
        });
        std::thread::sleep(kill.unwrap_or(Duration::from_millis(300)));
        // How much has come by then depends on the machine: wait for a window to compare.
        let patience = std::time::Instant::now();
        middle = loop {
            let bytes = snapshot();
            if generations(&bytes).len() > 2 || patience.elapsed() > Duration::from_secs(20) {
                break bytes;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        if kill.is_some() {
            program.0.kill().unwrap();
        }
        let outcome = witness.wait();
        let (live, error) = live.join().unwrap();
        match &outcome.end {
            EndReason::Finished => {}
            EndReason::Broken(SourceError::Trace(error))
                if kill.is_some()
                    && matches!(
                        error.kind(),
                        ErrorKind::UnexpectedEnd | ErrorKind::IncompleteGeneration
                    ) => {}
            other => panic!("{other}"),
        }
        assert_eq!(
            error.is_some(),
            matches!(outcome.end, EndReason::Broken(_)),
            "{error:?}"
        );
        let all = outcome.subscriber.unwrap().into_inner().unwrap();
        assert_eq!(read(&all, serve), live);
        all
    });
    let whole = generations(&all);
    assert!(whole.len() > 2, "{} generations", whole.len());
    let parts = parts.into_inner().unwrap();
    // The recorder's, in the middle and after the end.
    recording.wait();
    let end = snapshot();
    for snapshot in [&middle, &end] {
        assert!(is_part_of(snapshot, &whole) > 1);
        read(snapshot, serve);
    }
    assert_eq!(generations(&end).last(), whole.last());
    let mut compared = 0;
    for part in &parts {
        match part {
            Part::Bytes(bytes) if !bytes.is_empty() && is_part_of(bytes, &whole) > 0 => {
                read(bytes, serve);
            }
            // A reader of the same generations sees as many events.
            Part::Events(Some((first, last)), count) => {
                let seen = whole.iter().filter(|(n, _)| (first..=last).contains(&n));
                let mut bytes = all[..16].to_vec();
                bytes.extend(seen.flat_map(|(_, bytes)| *bytes));
                assert_eq!(read(&bytes, serve), *count);
            }
            _ => continue,
        }
        compared += 1;
    }
    assert!(compared > 0, "{compared} of {} parts", parts.len());
}

#[test]
fn subscribers_come_and_go_while_a_program_runs() {
    let Some(go) = Go::find() else { return };
    let binary = go.build("live", "mux-live");
    let serve = Mutex::new(go.reference().serve());
    let (program, source) = Program::over_pipe(&binary, 600);
    come_and_go(&serve, program, source, None);
    let (program, source) = Program::over_socket(&binary, 600);
    come_and_go(&serve, program, source, None);
}

#[test]
fn subscribers_come_and_go_until_the_program_is_killed() {
    let Some(go) = Go::find() else { return };
    let binary = go.build("live", "mux-killed");
    let serve = Mutex::new(go.reference().serve());
    let mut random = Random::new(11);
    for round in 0..6 {
        let time = Duration::from_millis(300 + random.below(100) as u64);
        if round % 2 == 0 {
            let (program, source) = Program::over_pipe(&binary, 60_000);
            come_and_go(&serve, program, source, Some(time));
        } else {
            let (program, source) = Program::over_socket(&binary, 60_000);
            come_and_go(&serve, program, source, Some(time));
        }
    }
}
