//! Programs that die while they are traced, in all ways: what is left of their traces is read, named and
//! repaired. `GO_TRACED` names the toolchain that builds them.

use crate::common::go::Go;
use crate::common::tool::{clean, run};
use gotrace::generation::Ending;
use gotrace::wire::Version;
use gotrace::{Trace, rewrite};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// All ways, and whether the program must be killed in the end. The first is not dying.
const MODES: [(&str, bool); 23] = [
    ("return", false),
    ("panic", false),
    ("goroutine-panic", false),
    ("panic-in-defer", false),
    ("nil", false),
    ("divide", false),
    ("index", false),
    ("makeslice", false),
    ("closed", false),
    ("unlock", false),
    ("stack", false),
    ("map", false),
    ("memory", false),
    ("exit", false),
    ("syscall-exit", false),
    ("log-fatal", false),
    ("SIGKILL", false),
    ("SIGTERM", false),
    ("SIGABRT", false),
    ("SIGSEGV", false),
    ("SIGQUIT", false),
    ("deadlock", true),
    ("goexit", true),
];

/// How long a program runs at most that does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the program; whether it went well.
fn live_and_die(
    program: &std::path::Path,
    mode: &str,
    file: &std::path::Path,
    hangs: bool,
) -> bool {
    let mut child = Command::new(program)
        .args([mode.as_ref(), file.as_os_str()])
        .env("GODEBUG", "traceadvanceperiod=30000000")
        .env("GOTRACEBACK", "none")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("running the program");
    let start = Instant::now();
    let patience = if hangs {
        Duration::from_secs(1)
    } else {
        PATIENCE
    };
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        if start.elapsed() > patience {
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(hangs, "{mode} hangs");
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How many events a strict reader gives, and how the trace ends.
fn read(bytes: &[u8]) -> (u64, Ending) {
    let trace = Trace::new(bytes).unwrap();
    let mut reader = trace.reader();
    let mut events = 0;
    let error = loop {
        match reader.next() {
            Ok(Some(_)) => events += 1,
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    (events, reader.ending(error))
}

#[test]
fn programs_that_die_leave_traces_that_are_repaired() {
    let Some(go) = Go::find() else { return };
    let program = go.build_in("tests/go/dying", ".", "dying");
    let mut serve = go.reference().serve();
    let dir = clean("programs_that_die");
    for (mode, hangs) in MODES {
        let file = dir.join(format!("{mode}.trace"));
        let went_well = live_and_die(&program, mode, &file, hangs);
        assert_eq!(went_well, mode == "return", "{mode}");
        let bytes = std::fs::read(&file).unwrap();
        let trace = Trace::new(&bytes).unwrap();
        let (events, ending) = read(&bytes);

        // Before Go 1.26 nothing in a trace says that it is over: it may happen to end with a whole
        // generation, or the last one lacks something.
        let says_where = trace.version() >= Version::Go126;
        match ending {
            Ending::Complete => assert!(mode == "return" || !says_where, "{mode}"),
            Ending::Unended { .. } | Ending::Cut { .. } => assert_ne!(mode, "return"),
            Ending::Damaged(_) if !says_where => assert_ne!(mode, "return"),
            _ => panic!("{mode}: {ending}"),
        }
        let checked = run(["check".as_ref(), file.as_os_str()]);
        let status = match ending {
            Ending::Complete => 0,
            Ending::Damaged(_) => 1,
            _ => 4,
        };
        assert_eq!(checked.status, status, "{mode}: {}", checked.stderr);

        let mut out = Vec::new();
        let repaired = rewrite::repair(&trace, |piece| out.extend_from_slice(piece)).unwrap();
        assert!(repaired.losses.events >= events, "{mode}");
        assert!(repaired.losses.events > 1000, "{mode}: {repaired:?}");
        assert!(
            repaired.losses.is_nothing() || !ending.is_complete(),
            "{mode}"
        );
        let (again, ending) = read(&out);
        assert!(ending.is_complete(), "{mode}: {ending}");
        let verdict = serve.verdict(&out);
        assert_eq!((verdict.events, verdict.error), (again, None), "{mode}");
        let mut second = Vec::new();
        let sound = Trace::new(&out).unwrap();
        let repaired = rewrite::repair(&sound, |piece| second.extend_from_slice(piece)).unwrap();
        assert!(repaired.is_unchanged() && second == out, "{mode}");
        println!(
            "{mode}: {} bytes, {events} events, {} kept",
            bytes.len(),
            again
        );
    }
}
