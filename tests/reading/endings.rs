//! Where a generation ends, and how a trace does: one table of cases, each run through everything
//! that has to know. What is right is what Go's reader makes of it; it is asked, where Go is at hand.

use crate::common;

use gotrace::mux::{EndReason, LiveError, QueueConfig, TraceMultiplexer};
use gotrace::recorder::{FlightRecorderConfig, arena_size_for};
use gotrace::source::{Part, Playback, SourceError, StreamSource, TraceSource};
use gotrace::wire::Version;
use gotrace::{Error, ErrorKind, FlightRecorder, Growing, ReadError, Reader, StreamReader, Trace};
use proptest::prelude::*;
use std::io::{self, Read};

/// A case. A trace is words: a number and what it is a batch of, `y` for the clock, `e` for an event,
/// `t` for strings, `x` for an experiment, `z` for nothing; `;` alone for a marker, and behind a
/// number for a marker in the shape of a batch. `!49` stands for a byte.
struct Case {
    name: &'static str,
    minor: u64,
    trace: &'static str,
    /// The generations, of which those with a `?` are not complete.
    generations: &'static str,
    /// What is wrong, with what, and where: behind so many words and bytes.
    error: Option<(ErrorKind, u64, usize, usize)>,
    /// The strict reader, which is as lenient as Go's, finds nothing wrong.
    forgiven: bool,
    /// A live stream that ends so was cut short in its last generation, which is not handed out.
    stream_is_cut: bool,
    /// The generations that are read; behind a `/`, after those before were skipped.
    read: &'static str,
    /// Go's reader has another opinion.
    go_differs: bool,
}

const SOUND: Case = Case {
    name: "",
    minor: 26,
    trace: "",
    generations: "",
    error: None,
    forgiven: false,
    stream_is_cut: false,
    read: "",
    go_differs: false,
};

const CASES: &[Case] = &[
    // Go 1.26 and later.
    Case {
        name: "a marker ends a generation",
        trace: "1y 1e 1t ; 2y 2e 2t ;",
        generations: "1 2",
        read: "1 2",
        ..SOUND
    },
    Case {
        name: "so does a marker in the shape of a batch",
        trace: "1y 1e 1t 1; 2y 2e 2t ;",
        generations: "1 2",
        read: "1 2",
        ..SOUND
    },
    Case {
        name: "whatever its number",
        trace: "1y 1e 1t 7; 2y 2e 2t 1;",
        generations: "1 2",
        read: "1 2",
        ..SOUND
    },
    Case {
        name: "but not 0, which is none",
        trace: "1y 1e 1t 0; 2y 2e 2t ;",
        generations: "1?",
        error: Some((ErrorKind::InvalidGeneration, 0, 3, 0)),
        go_differs: true,
        ..SOUND
    },
    Case {
        name: "the order of batches in a generation is free",
        trace: "1t 1e 1y 1z 1x ;",
        generations: "1",
        read: "1",
        ..SOUND
    },
    Case {
        name: "a marker before the first batch ends nothing",
        trace: "; 1y 1e 1t ;",
        generations: "",
        error: Some((ErrorKind::NotABatch, 52, 0, 0)),
        read: "/ 1",
        ..SOUND
    },
    Case {
        name: "nor does one in the shape of a batch",
        trace: "1; 1y 1e 1t ;",
        generations: "",
        error: Some((ErrorKind::NotABatch, 52, 0, 14)),
        read: "/ 1",
        ..SOUND
    },
    Case {
        name: "nor does a second marker",
        trace: "1y 1e 1t ; ; 2y 2e 2t ;",
        generations: "1",
        error: Some((ErrorKind::NotABatch, 52, 4, 0)),
        read: "1 / 2",
        ..SOUND
    },
    Case {
        name: "two generations may have one number",
        trace: "1y 1e 1t ; 1y 1e 1t ;",
        generations: "1 1",
        read: "1 1",
        ..SOUND
    },
    Case {
        name: "numbers may jump behind a marker",
        trace: "5y 5e 5t ; 9y 9e 9t ; 2y 2e 2t ;",
        generations: "5 9 2",
        read: "5 9 2",
        ..SOUND
    },
    Case {
        name: "but not without a marker",
        trace: "1y 1e 1t 2y 2e 2t ;",
        generations: "1?",
        error: Some((ErrorKind::GenerationOrder, 2, 3, 0)),
        read: "/ 2",
        ..SOUND
    },
    Case {
        name: "nothing but a header",
        ..SOUND
    },
    Case {
        name: "without its marker, the last generation is incomplete",
        trace: "1y 1e 1t ; 2y 2e 2t",
        generations: "1 2?",
        error: Some((ErrorKind::IncompleteGeneration, 2, 7, 0)),
        read: "1",
        ..SOUND
    },
    Case {
        name: "which the reader forgives if it has no events",
        trace: "1y 1e 1t ; 2y 2t 2x",
        generations: "1 2?",
        error: Some((ErrorKind::IncompleteGeneration, 2, 7, 0)),
        forgiven: true,
        read: "1",
        ..SOUND
    },
    Case {
        name: "a batch without any counts as one of events",
        trace: "1y 1e 1t ; 2y 2z",
        generations: "1 2?",
        error: Some((ErrorKind::IncompleteGeneration, 2, 6, 0)),
        read: "1",
        ..SOUND
    },
    Case {
        name: "cut short in a batch",
        trace: "1y 1e 1t ; 2y !1 !2",
        generations: "1 2?",
        error: Some((ErrorKind::UnexpectedEnd, 1, 7, 0)),
        read: "1",
        ..SOUND
    },
    Case {
        name: "cut short behind the first byte of an experimental batch",
        trace: "1y 1e 1t ; !49",
        generations: "1",
        error: Some((ErrorKind::UnexpectedEnd, 1, 5, 0)),
        read: "1",
        go_differs: true,
        ..SOUND
    },
    Case {
        name: "something that is no batch",
        trace: "1y 1e 1t ; 2y 2e 2t !77 ;",
        generations: "1 2?",
        error: Some((ErrorKind::NotABatch, 77, 7, 0)),
        read: "1",
        ..SOUND
    },
    // Go 1.22 to 1.25.
    Case {
        name: "the next number ends a generation, and the end of the trace the last",
        minor: 22,
        trace: "1y 1e 1t 2y 2e 2t",
        generations: "1 2",
        read: "1 2",
        ..SOUND
    },
    Case {
        name: "the same with clock snapshots",
        minor: 25,
        trace: "1y 1e 1t 2y 2e 2t",
        generations: "1 2",
        read: "1 2",
        ..SOUND
    },
    Case {
        name: "without strings behind them, the last events may not be all",
        minor: 22,
        trace: "1y 1e 1t 2y 2t 2e",
        generations: "1 2",
        stream_is_cut: true,
        read: "1 2",
        ..SOUND
    },
    Case {
        name: "a marker is none before Go 1.26",
        minor: 25,
        trace: "1y 1e 1t ; 2y 2e 2t",
        generations: "1?",
        error: Some((ErrorKind::NotABatch, 52, 3, 0)),
        read: "/ 2",
        ..SOUND
    },
    Case {
        name: "not even before the first batch",
        minor: 22,
        trace: "; 1y 1e 1t",
        generations: "",
        error: Some((ErrorKind::NotABatch, 52, 0, 0)),
        read: "/ 1",
        ..SOUND
    },
    Case {
        name: "nor in the shape of a batch",
        minor: 22,
        trace: "1y 1e 1t 1; 2y 2e 2t",
        generations: "1?",
        error: Some((ErrorKind::NotABatch, 52, 3, 14)),
        read: "/ 2",
        ..SOUND
    },
    Case {
        name: "which is a batch of the next generation by its number",
        minor: 22,
        trace: "1y 1e 1t 2; 2y 2e 2t 3y 3e 3t",
        generations: "1",
        error: Some((ErrorKind::NotABatch, 52, 3, 14)),
        read: "1 / 2 3",
        ..SOUND
    },
    Case {
        name: "numbers may not jump",
        minor: 22,
        trace: "1y 1e 1t 3y 3e 3t",
        generations: "1?",
        error: Some((ErrorKind::GenerationOrder, 3, 3, 0)),
        read: "/ 3",
        ..SOUND
    },
    Case {
        name: "nor go back",
        minor: 22,
        trace: "2y 2e 2t 3y 3e 2e 3t",
        generations: "2 3?",
        error: Some((ErrorKind::GenerationOrder, 2, 5, 0)),
        read: "2 / /",
        ..SOUND
    },
    Case {
        name: "damage may be that of the next generation",
        minor: 22,
        trace: "1y 1e 1t !77 2y 2e 2t",
        generations: "1?",
        error: Some((ErrorKind::NotABatch, 77, 3, 0)),
        read: "1",
        ..SOUND
    },
    Case {
        name: "the number 0 is not",
        minor: 22,
        trace: "1y 1e 1t 0e",
        generations: "1?",
        error: Some((ErrorKind::InvalidGeneration, 0, 3, 0)),
        ..SOUND
    },
];

const NO_THREAD: [u8; 10] = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1];

impl Case {
    fn version(&self) -> Version {
        Version::from_minor(self.minor).unwrap()
    }

    /// A word's bytes. Headers without a thread have 14 bytes.
    fn word(&self, word: &str) -> Vec<u8> {
        let clock: &[u8] = match self.minor {
            25.. => &[50, 8, 128, 148, 235, 220, 3, 51, 0, 1, 1, 1],
            _ => &[8, 128, 148, 235, 220, 3],
        };
        if word == ";" {
            return vec![52];
        }
        if let Some(byte) = word.strip_prefix('!') {
            return vec![byte.parse().unwrap()];
        }
        let (number, what) = word.split_at(word.len() - 1);
        let (head, payload): (&[u8], &[u8]) = match what {
            "y" => (&[1], clock),
            // A proc that idles, which every generation may say again.
            "e" => (&[1], &[13, 1, 0, 2]),
            "t" => (&[1], &[4, 5, 1, 1, b'a']),
            "x" => (&[49, 1], &[52, 9, 9]),
            "z" => (&[1], &[]),
            ";" => (&[1], &[52, 52]),
            other => panic!("{other}"),
        };
        let number: u8 = number.parse().unwrap();
        let mut bytes = [head, &[number]].concat();
        match what {
            "e" => bytes.push(3),
            _ => bytes.extend(NO_THREAD),
        }
        bytes.extend([number, payload.len() as u8]);
        bytes.extend(payload);
        bytes
    }

    fn words(&self) -> Vec<Vec<u8>> {
        let words = self.trace.split_whitespace();
        words.map(|word| self.word(word)).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        let header = self.version().header().to_vec();
        [vec![header], self.words()].concat().concat()
    }

    fn error(&self) -> Option<Error> {
        let (kind, value, words, bytes) = self.error?;
        let before: usize = self.words().iter().take(words).map(Vec::len).sum();
        let offset = 16 + before + bytes;
        Some(Error::new(kind, value, offset as u64))
    }

    /// The generations that end.
    fn complete(&self) -> Vec<u64> {
        numbers(
            self.generations
                .split_whitespace()
                .filter(|n| !n.ends_with('?')),
        )
    }

    /// What a live stream hands out: the generations that end, and the error.
    fn stream(&self) -> (Vec<u64>, Option<Error>) {
        let mut complete = self.complete();
        if !self.stream_is_cut {
            return (complete, self.error());
        }
        let last = complete.pop().unwrap();
        let end = self.bytes().len() as u64;
        let kind = ErrorKind::IncompleteGeneration;
        (complete, Some(Error::new(kind, last, end)))
    }

    /// The last of those ends only with the trace.
    fn ends_with_the_trace(&self) -> bool {
        self.minor < 26 && self.error.is_none()
    }
}

fn numbers<'a>(words: impl Iterator<Item = &'a str>) -> Vec<u64> {
    words.map(|word| word.parse().unwrap()).collect()
}

/// Gives a byte at a time.
struct Bytewise<'t>(&'t [u8]);

impl Read for Bytewise<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let least = buffer.len().min(1);
        self.0.read(&mut buffer[..least])
    }
}

/// What came of reading a trace on after every error.
#[derive(Debug, Default, PartialEq)]
struct Run {
    events: Vec<String>,
    /// Of those read before an error.
    until_error: usize,
    /// Numbers of generations, and a `/` where one was skipped.
    read: String,
    errors: Vec<Error>,
}

macro_rules! read_on {
    ($reader:expr, $error:pat => $found:expr) => {{
        let mut reader = $reader;
        let mut run = Run::default();
        let mut count = 0;
        loop {
            match reader.next() {
                Ok(Some(event)) => run.events.push(event.line().to_string()),
                Ok(None) => break,
                Err($error) => {
                    if run.errors.is_empty() {
                        run.until_error = run.events.len();
                    }
                    run.errors.push($found);
                    assert!(reader.next().unwrap().is_none(), "an error is given once");
                    if reader.skip_generation() {
                        run.read += "/ ";
                    }
                }
                #[allow(unreachable_patterns)]
                Err(other) => panic!("{other}"),
            }
            if reader.generations_read() > count {
                count = reader.generations_read();
                run.read += &format!("{} ", reader.generation().unwrap());
            }
        }
        assert_eq!(
            reader.generations_skipped(),
            run.read.matches('/').count() as u64
        );
        if run.errors.is_empty() {
            run.until_error = run.events.len();
        }
        run
    }};
}

fn slice(bytes: &[u8]) -> Run {
    let trace = Trace::new(bytes).unwrap();
    read_on!(Reader::<Growing>::new(&trace), error => error)
}

fn stream(source: impl Read) -> Run {
    read_on!(StreamReader::new(source).unwrap(), ReadError::Trace(error) => error)
}

/// Runs a check on every case, and says which it was that failed.
fn each(check: impl Fn(&Case, &[u8])) {
    for case in CASES {
        let bytes = case.bytes();
        let run = std::panic::AssertUnwindSafe(|| check(case, &bytes));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("case: Go 1.{}: {}", case.minor, case.name);
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn generations() {
    each(|case, bytes| {
        let pieces: Vec<&[u8]> = vec![&bytes[..16], &bytes[16..]];
        for trace in [
            Trace::new(bytes).unwrap(),
            Trace::from_pieces(&pieces).unwrap(),
        ] {
            let (mut found, mut error) = (Vec::new(), None);
            let mut generations = trace.generations();
            loop {
                match generations.next() {
                    Ok(Some(generation)) => {
                        let mark = if generation.complete { "" } else { "?" };
                        found.push(format!("{}{mark}", generation.number));
                    }
                    Ok(None) => break,
                    Err(e) => assert_eq!(error.replace(e), None),
                }
            }
            assert_eq!(found.join(" "), case.generations);
            assert_eq!(error, case.error());
        }
    });
}

/// Also what comes after [`Reader::skip_generation`].
#[test]
fn readers() {
    each(|case, bytes| {
        let run = slice(bytes);
        assert_eq!(run.read.trim_end(), case.read);
        let error = case.error().filter(|_| !case.forgiven);
        assert_eq!(run.errors.first(), error.as_ref());
        assert_eq!(stream(Bytewise(bytes)), run);
        assert_eq!(stream(bytes), run);
    });
}

/// What a source hands out: the generations that end, and how it ends.
fn drain(source: &mut dyn TraceSource) -> (Vec<u64>, Option<Error>) {
    let mut ended = Vec::new();
    source.start().unwrap();
    loop {
        match source.next() {
            Ok(Some(Part::EndOfGeneration(number))) => ended.push(number.get()),
            Ok(Some(_)) => {}
            Ok(None) => return (ended, None),
            Err(SourceError::Trace(error)) => return (ended, Some(error)),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn sources() {
    each(|case, bytes| {
        let expected = case.stream();
        assert_eq!(drain(&mut StreamSource::new(bytes)), expected);
        assert_eq!(drain(&mut StreamSource::new(Bytewise(bytes))), expected);
        let expected = (case.complete(), case.error());
        assert_eq!(drain(&mut Playback::new(bytes.to_vec()).unwrap()), expected);
    });
}

#[test]
fn multiplexer() {
    each(|case, bytes| {
        let mux = TraceMultiplexer::new(StreamSource::new(io::Cursor::new(bytes.to_vec())));
        let mux = mux.unwrap();
        let hold = mux.hold();
        let writer = mux.start(Vec::new()).unwrap();
        let mut events = mux.events(QueueConfig::default());
        drop(hold);
        let error = match writer.wait().end {
            EndReason::Finished => None,
            EndReason::Broken(SourceError::Trace(error)) => Some(error),
            other => panic!("{other}"),
        };
        let (mut expected, expected_error) = case.stream();
        assert_eq!(error, expected_error);
        let (mut read, mut last) = (Vec::new(), None);
        let failed = loop {
            match events.next() {
                Ok(Some(event)) => {
                    let sync = event.wire_type().is_none();
                    if let (true, Some(number)) = (sync, events.generation()) {
                        read.push(number.get());
                    }
                }
                Ok(None) => break None,
                Err(LiveError::Source(SourceError::Trace(error))) => break Some(error),
                Err(other) => {
                    last = Some(other);
                    break None;
                }
            }
        };
        assert!(last.is_none(), "{last:?}");
        assert_eq!(failed, expected_error);
        // The last sync event ends the last generation.
        expected.extend(expected.last().copied());
        assert_eq!(read, expected);
    });
}

#[test]
fn recorder() {
    each(|case, bytes| {
        let words = case.words();
        let sizes = [1, 7, 1000];
        for size in sizes.into_iter().chain([0]) {
            let mut arena = vec![0; arena_size_for(1 << 16)];
            let config = FlightRecorderConfig::default();
            let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
            let mut first = None;
            let mut recorded = None;
            let mut take = |recorder: &mut FlightRecorder<&mut [u8]>, result: Result<(), Error>| {
                if let Err(error) = result {
                    first.get_or_insert(error);
                    recorded.get_or_insert(recorder.status().recorded.generations);
                }
            };
            if size > 0 {
                for piece in bytes.chunks(size) {
                    let result = recorder.write(piece);
                    if size < 1000 {
                        take(&mut recorder, result);
                    } else if let Err(error) = result {
                        // More was recorded behind the error.
                        take(&mut recorder, Err(error));
                    }
                }
            } else if case.trace.contains('!') {
                continue;
            } else {
                recorder.header(case.version().header()).unwrap();
                for word in &words {
                    let result = recorder.batch(word);
                    take(&mut recorder, result);
                }
            }
            if case.ends_with_the_trace() {
                recorder.end_generation().unwrap();
            }
            // Whether a trace ends where it may is not known here.
            let expected = case.error().filter(|error| {
                let end = [ErrorKind::UnexpectedEnd, ErrorKind::IncompleteGeneration];
                !end.contains(&error.kind())
            });
            assert_eq!(first, expected, "by {size}");
            if size < 1000 {
                let recorded = recorded.unwrap_or(recorder.status().recorded.generations);
                assert_eq!(recorded, case.complete().len() as u64, "by {size}");
            }
            // What is kept is sound, whatever came.
            let snapshot = recorder.snapshot();
            let pieces = snapshot.pieces().concat();
            if !snapshot.is_empty() {
                let trace = Trace::new(&pieces).unwrap();
                assert!(trace.generations().all(|g| g.unwrap().complete));
            }
        }
    });
}

/// The tool counts the generations, and gives the same error.
#[cfg(feature = "cli")]
#[test]
fn tool() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    each(|case, bytes| {
        let path = dir.join("endings.trace");
        std::fs::write(&path, bytes).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_gotrace"))
            .args(["stat", "--json"])
            .arg(&path)
            .output()
            .unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let count = case.generations.split_whitespace().count();
        assert_eq!(report["generations"], count, "{report}");
        let offset = case.error().map(|error| error.offset().0);
        assert_eq!(report["error_offset"].as_u64(), offset, "{report}");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_gotrace"))
            .args(["check", "--json"])
            .arg(&path)
            .output()
            .unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let read = case.read.split('/').next().unwrap();
        let count = read.split_whitespace().count();
        assert_eq!(report["generations"], count, "{report}");
        let errors = report["errors"].as_array().unwrap();
        let offset = offset.filter(|_| !case.forgiven);
        let found = errors.first().and_then(|error| error["offset"].as_u64());
        assert_eq!(found, offset, "{report}");
    });
}

/// Go's reader gives as many events, and refuses what the strict reader refuses.
#[test]
fn go() {
    let Some(go) = common::go::Go::find() else {
        return;
    };
    let mut peer = go.reference().serve();
    let mut differences = 0;
    each(|case, bytes| assert!(!case.name.is_empty() && !bytes.is_empty()));
    for case in CASES {
        let bytes = case.bytes();
        let theirs = peer.verdict(&bytes);
        let ours = slice(&bytes);
        let same = theirs.events == ours.until_error as u64
            && theirs.error.is_none() == ours.errors.is_empty();
        assert_eq!(
            same, !case.go_differs,
            "{}: {theirs:?}, {ours:?}",
            case.name
        );
        differences += usize::from(!same);
    }
    assert_eq!(differences, 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    /// After every error a stream goes on where a slice does.
    #[test]
    fn streams_skip_as_slices_do(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec(common::damage(), 0..4),
    ) {
        let fixtures = [
            "annotate-go1.22", "annotate-go1.23", "annotate-go1.25", "annotate-go1.27",
            "procs-go1.22", "profile-go1.27",
        ];
        let mut trace = common::fixture(fixtures[which.index(fixtures.len())]).bytes();
        for damage in damage {
            trace = damage.apply(&trace);
        }
        if Trace::new(&trace).is_ok() {
            prop_assert_eq!(slice(&trace), stream(&trace[..]));
        }
    }
}

/// Without an error, the rest of the current generation is left out; without another generation,
/// nothing is.
#[test]
fn skipping_without_an_error() {
    let bytes = common::fixture("annotate-go1.27").bytes();
    let trace = Trace::new(&bytes).unwrap();
    for after in [0, 1, 2, 5, 100, 100_000] {
        macro_rules! run {
            ($reader:expr) => {{
                let mut reader = $reader;
                let mut lines = Vec::new();
                for _ in 0..after {
                    match reader.next().unwrap() {
                        Some(event) => lines.push(event.line().to_string()),
                        None => break,
                    }
                }
                let mut skipped = 0;
                loop {
                    lines.push(format!("{:?}", reader.generation()));
                    if !reader.skip_generation() {
                        break;
                    }
                    skipped += 1;
                    lines.extend(reader.next().unwrap().map(|event| event.line().to_string()));
                }
                while let Some(event) = reader.next().unwrap() {
                    lines.push(event.line().to_string());
                }
                assert_eq!(reader.generations_skipped(), skipped);
                (lines, skipped)
            }};
        }
        let slice = run!(trace.reader());
        assert_eq!(
            slice,
            run!(StreamReader::new(&bytes[..]).unwrap()),
            "{after}"
        );
        if after <= 5 {
            assert_eq!(slice.1 + 1, trace.generations().count() as u64);
        }
    }
}
