//! `gotrace record` with real Go programs that start, stall, end and are killed, in random order; and
//! triggers that they set off. `GO_TRACED` names the toolchain that builds them.

use crate::common;

use common::go::{Go, Serve};
use common::live::{Random, generations};
use common::tool::{Run, clean, free_address, gotrace_in, names, resident, signal, wait_for};
use gotrace::wire::Chunk;
use gotrace::{Growing, Reader, Trace};
use std::io::{Read as _, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How many programs for each kind of input.
fn rounds() -> usize {
    let rounds = std::env::var("GOTRACE_ROUNDS").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(8)
}

/// Starts the program with generations of a 20th of a second, and a pipe for its trace.
fn program(binary: &Path, millis: usize) -> Child {
    let mut command = Command::new(binary);
    command.arg(millis.to_string()).arg("-");
    command.env("GODEBUG", "traceadvanceperiod=50000000");
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command.stdout(Stdio::piped()).spawn().unwrap()
}

fn record(dir: &Path, args: &[&str]) -> Command {
    gotrace_in(
        dir,
        &[&["record", "--out", "s-{number}.trace"], args].concat(),
    )
}

/// Reads a snapshot as this crate and Go do.
fn judge(path: &Path, serve: &mut Serve) {
    let bytes = std::fs::read(path).unwrap();
    assert!(!generations(&bytes).is_empty(), "{path:?}");
    let trace = Trace::new(&bytes).unwrap();
    let mut reader: Reader<'_, Growing> = Reader::new(&trace);
    let mut events = 0;
    while reader
        .next()
        .unwrap_or_else(|e| panic!("{path:?}: {e}"))
        .is_some()
    {
        events += 1;
    }
    let verdict = serve.verdict(&bytes);
    assert_eq!((verdict.events, verdict.error), (events, None), "{path:?}");
}

fn snapshots(dir: &Path) -> Vec<PathBuf> {
    let paths = names(dir).into_iter().map(|name| dir.join(name));
    paths
        .filter(|path| path.extension().is_some_and(|e| e == "trace"))
        .collect()
}

/// The complete generations of what came, and where each begins and ends.
struct Truth {
    bytes: Vec<u8>,
    /// Whether the trace came to its end.
    whole: bool,
}

impl Truth {
    /// Where generations begin and end, the last one perhaps in the middle; and how many are known to
    /// be complete.
    fn generations(&self) -> (Vec<(usize, usize)>, usize) {
        let Ok(trace) = Trace::new(&self.bytes) else {
            return (Vec::new(), 0);
        };
        let all: Vec<_> = trace.generations().map_while(Result::ok).collect();
        let is_ended = all.last().is_some_and(|last| {
            let (mut batches, mut ended) = (trace.batches_from(last.start), false);
            while batches.offset() < last.end
                && let Ok(Some(chunk)) = batches.next()
            {
                ended = !matches!(chunk, Chunk::Batch(_));
            }
            ended
        });
        let ends = all.iter().map(|g| (g.start.0 as usize, g.end.0 as usize));
        let complete = all.len() - usize::from(!self.whole && !is_ended && !all.is_empty());
        (ends.collect(), complete)
    }

    fn complete(&self) -> usize {
        self.generations().1
    }

    /// Whether this snapshot is of complete generations of it, without a gap and unaltered; gives how
    /// many of the last are missing.
    fn missing(&self, snapshot: &[u8]) -> Option<usize> {
        let (ends, complete) = self.generations();
        let body = snapshot.get(16..).filter(|body| !body.is_empty())?;
        if self.bytes.get(..16)? != &snapshot[..16] {
            return None;
        }
        let is_it = |(start, _): &(usize, usize)| self.bytes[*start..].starts_with(body);
        let start = ends.iter().find(|it| is_it(it))?.0;
        let last = ends
            .iter()
            .position(|(_, end)| *end == start + body.len())?;
        Some(complete.saturating_sub(last + 1))
    }
}

/// Where a recorder takes its traces.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Pipe,
    Unix,
    Tcp,
}

/// A recorder that is restarted when it is killed, in a directory of its own.
struct Recorder {
    kind: Kind,
    dir: PathBuf,
    address: String,
    child: Option<Child>,
    /// The most memory it had, in the first rounds and in all.
    most: (u64, u64),
}

const ARGS: [&str; 6] = ["--max-bytes", "8MiB", "--min-age", "1h", "--arena", "arena"];

impl Recorder {
    fn new(kind: Kind) -> Recorder {
        let dir = clean(&format!("oncall-go-{kind:?}"));
        let address = free_address();
        Recorder {
            kind,
            dir,
            address,
            child: None,
            most: (0, 0),
        }
    }

    /// What to write a trace to; starts the recorder if it does not run.
    fn connect(&mut self) -> Box<dyn Write + Send> {
        let input = match self.kind {
            Kind::Pipe => "-".to_owned(),
            Kind::Unix => "unix-listen:s".to_owned(),
            Kind::Tcp => format!("tcp-listen:{}", self.address),
        };
        if self.child.is_none() {
            let mut command = record(&self.dir, &ARGS);
            command.arg(&input);
            if self.kind == Kind::Pipe {
                command.stdin(Stdio::piped());
            }
            self.child = Some(command.spawn().unwrap());
        }
        let socket = self.dir.join("s");
        match self.kind {
            Kind::Pipe => Box::new(self.child.as_mut().unwrap().stdin.take().unwrap()),
            Kind::Unix => {
                wait_for(|| UnixStream::connect(&socket).is_ok());
                Box::new(UnixStream::connect(&socket).unwrap())
            }
            Kind::Tcp => {
                wait_for(|| TcpStream::connect(&self.address).is_ok());
                Box::new(TcpStream::connect(&self.address).unwrap())
            }
        }
    }

    fn measure(&mut self, early: bool) {
        let Some(child) = &self.child else { return };
        let now = resident(child).unwrap_or(0);
        self.most.1 = self.most.1.max(now);
        if early {
            self.most.0 = self.most.0.max(now);
        }
    }

    /// Waits for one that ends with its input, or was told to.
    fn end(&mut self, status: &[i32]) -> String {
        let child = self.child.take().unwrap();
        let run = Run::of(child.wait_with_output().unwrap());
        assert!(
            status.contains(&run.status),
            "{}: {}",
            run.status,
            run.stderr
        );
        run.stderr
    }
}

/// What becomes of a program, or of those around it.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    Ends,
    IsKilled,
    /// Its trace comes to a stop for a while, and somebody asks for a snapshot.
    Stalls,
    /// The connection breaks.
    Disconnects,
    /// The recorder is killed; the next one finds the arena.
    RecorderIsKilled,
}

/// Carries a trace from a program to a recorder, and knows what was carried.
fn carry(
    child: &mut Child,
    to: &mut dyn Write,
    fate: Fate,
    at: usize,
    recorder: &mut Recorder,
) -> Truth {
    let mut from = child.stdout.take().unwrap();
    let mut truth = Truth {
        bytes: Vec::new(),
        whole: false,
    };
    let mut buffer = vec![0; 16 << 10];
    let mut is_due = true;
    loop {
        let n = from.read(&mut buffer).unwrap();
        if n == 0 {
            truth.whole = matches!(fate, Fate::Ends | Fate::Stalls);
            return truth;
        }
        truth.bytes.extend(&buffer[..n]);
        if let Err(error) = to.write_all(&buffer[..n]) {
            assert_eq!(fate, Fate::RecorderIsKilled, "{error}");
            child.kill().ok();
            return truth;
        }
        if is_due && truth.bytes.len() >= at {
            is_due = false;
            match fate {
                Fate::Ends => {}
                Fate::IsKilled => child.kill().unwrap(),
                Fate::Stalls => {
                    signal(recorder.child.as_ref().unwrap(), "-USR1");
                    std::thread::sleep(Duration::from_millis(200));
                }
                Fate::Disconnects => {
                    child.kill().unwrap();
                    return truth;
                }
                Fate::RecorderIsKilled => {
                    let mut killed = recorder.child.take().unwrap();
                    killed.kill().unwrap();
                    killed.wait().unwrap();
                    child.kill().unwrap();
                    return truth;
                }
            }
        }
    }
}

/// Programs that start, stall, end and are killed, connections that break and recorders that die, in
/// random order. Every snapshot is of what came, unaltered and without a gap; after each trace, all of
/// its complete generations are in one; Go reads all of them; and memory does not grow.
#[test]
fn a_recorder_outlives_many_programs() {
    let Some(go) = Go::find() else { return };
    let binary = go.build("live", "oncall-live");
    let mut serve = go.reference().serve();
    let seed = std::env::var("GOTRACE_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(15);
    let mut random = Random::new(seed);
    for kind in [Kind::Pipe, Kind::Unix, Kind::Tcp] {
        let mut recorder = Recorder::new(kind);
        let mut counts = std::collections::BTreeMap::new();
        let (mut judged, mut generations, mut bytes) = (0, 0, 0);
        let mut before: Vec<Truth> = Vec::new();
        let fates = [
            Fate::Ends,
            Fate::IsKilled,
            Fate::Stalls,
            Fate::Disconnects,
            Fate::RecorderIsKilled,
        ];
        let rounds = rounds();
        for round in 0..rounds {
            // Each of them first, then any.
            let fate = fates[if round < fates.len() {
                round
            } else {
                random.below(fates.len())
            }];
            *counts.entry(format!("{fate:?}")).or_insert(0) += 1;
            let mut to = recorder.connect();
            let mut child = program(&binary, 100 + random.below(400));
            let most = [1000, 600_000, 600_000, 600_000][random.below(4)];
            let at = 1 + random.below(most);
            let truth = carry(&mut child, &mut *to, fate, at, &mut recorder);
            child.wait().unwrap();
            recorder.measure(round < fates.len());
            drop(to);
            let context = format!("{kind:?}, round {round}, {fate:?}");
            let complete = truth.complete();
            let dir = recorder.dir.clone();
            // The snapshots since the round before, of this trace, or one that was late: of what an arena had,
            // or what somebody asked for while nothing came.
            let mut is_covered = complete == 0 || fate == Fate::RecorderIsKilled;
            let mut look = |recorder: &mut Recorder, is_covered: &mut bool| {
                for path in snapshots(&dir) {
                    let snapshot = std::fs::read(&path).unwrap();
                    let found = std::iter::once(&truth).chain(&before);
                    let missing: Vec<usize> = found.filter_map(|t| t.missing(&snapshot)).collect();
                    assert!(!missing.is_empty(), "{context}: {path:?} is of no trace");
                    *is_covered |= truth.missing(&snapshot) == Some(0);
                    judge(&path, &mut serve);
                    judged += 1;
                    std::fs::rename(&path, path.with_extension("seen")).unwrap();
                }
                recorder.measure(false);
            };
            match (kind, &recorder.child) {
                (_, None) => {}
                (Kind::Pipe, Some(_)) => {
                    let told = recorder.end(&[0, 1, 4]);
                    look(&mut recorder, &mut is_covered);
                    assert!(is_covered, "{context}: {complete} generations, {told}");
                }
                _ => {
                    let begun = Instant::now();
                    while !is_covered {
                        assert!(
                            begun.elapsed() < Duration::from_secs(20),
                            "{context}: {complete} generations are not all in a snapshot"
                        );
                        std::thread::sleep(Duration::from_millis(20));
                        look(&mut recorder, &mut is_covered);
                    }
                    let child = recorder.child.as_mut().unwrap();
                    assert!(child.try_wait().unwrap().is_none(), "{context}");
                }
            }
            generations += complete;
            bytes += truth.bytes.len();
            before.push(truth);
        }
        if recorder.child.is_some() {
            signal(recorder.child.as_ref().unwrap(), "-TERM");
            recorder.end(&[0]);
        }
        let (first, most) = recorder.most;
        println!(
            "{kind:?}, read by {}: {rounds} rounds {counts:?}; {judged} snapshots, {generations} complete \
             generations, {bytes} bytes; {first} bytes of memory in the first rounds, {most} at most",
            go.version()
        );
        // The arena of 16 MiB, a copy of the window of 8, and what the process is itself, however many
        // rounds there are.
        assert!(most < 40 << 20, "{most}");
    }
}

/// Each kind of trigger, with a program that does once what it waits for.
#[test]
fn a_program_that_does_it_is_caught() {
    let Some(go) = Go::find() else { return };
    let binary = go.build_in("tests/go/triggers", ".", "oncall-triggers");
    let mut serve = go.reference().serve();
    let dir = clean("oncall-go-triggers");
    let kinds = [
        ("task", r#"task("slow") > 100ms"#, "TaskEnd"),
        ("region", r#"region("slow") > 100ms"#, "RegionEnd"),
        (
            "log",
            r#"category == "alarm" && message contains "disk""#,
            "Log",
        ),
        (
            "blocked",
            r#"waiting("chan receive") > 100ms"#,
            "StateTransition",
        ),
        ("runnable", "runnable > 40ms", "StateTransition"),
        ("running", "running > 80ms", "StateTransition"),
        ("syscall", "syscall > 100ms", "StateTransition"),
        ("gc", "gc > 2ms", "RangeEnd"),
        ("stw", "stw > 20ms", "RangeEnd"),
        ("goroutines", "goroutines > 400", "StateTransition"),
        ("heap", "heap > 64MiB", "Metric"),
    ];
    // Those that a machine with much to do cannot set off.
    let sure = ["task", "region", "log", "goroutines", "heap"];
    for (name, expression, kind) in kinds {
        for does in [true, false] {
            if !does && !sure.contains(&name) {
                continue;
            }
            let mut live = Command::new(&binary);
            live.arg(if does { name } else { "quiet" });
            live.env("GODEBUG", "traceadvanceperiod=50000000,asyncpreemptoff=1");
            live.stdin(Stdio::null()).stdout(Stdio::piped());
            let mut live = live.spawn().unwrap();
            let out = format!("{name}-{does}-{{number}}.trace");
            let on = format!("{name}: {expression}");
            let mut command =
                gotrace_in(&dir, &["record", "--out", &out, "--on", &on, "--once", "-"]);
            command.stdin(live.stdout.take().unwrap());
            let run = Run::of(command.output().unwrap());
            assert!(live.wait().unwrap().success());
            assert_eq!(run.status, 0, "{name}: {}", run.stderr);
            let fired = format!("-{name}.trace");
            let found = snapshots(&dir).into_iter().find(|path| {
                let file = path.file_name().unwrap().to_string_lossy().into_owned();
                file.starts_with(&format!("{name}-{does}-")) && file.ends_with(&fired)
            });
            if !does {
                assert_eq!(found, None, "{name}");
                continue;
            }
            let path = found.unwrap_or_else(|| panic!("{name}: {}", run.stderr));
            judge(&path, &mut serve);
            let mut beside = path.clone().into_os_string();
            beside.push(".json");
            let side = std::fs::read(beside).unwrap();
            let side: serde_json::Value = serde_json::from_slice(&side).unwrap();
            assert_eq!(
                (&side["fired"]["kind"], &side["why"]),
                (&kind.into(), &name.into())
            );
            // The event is in it.
            let time = side["fired"]["time"].as_i64().unwrap();
            let text = side["fired"]["event"].as_str().unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let trace = Trace::new(&bytes).unwrap();
            let mut reader: Reader<'_, Growing> = Reader::new(&trace);
            let mut is_there = false;
            while let Some(event) = reader.next().unwrap() {
                is_there |= event.time().0 == time && event.to_string() == text;
            }
            assert!(is_there, "{name}: {side}");
        }
    }
}
