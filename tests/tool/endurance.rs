//! The tool under conditions that are not kind: a checker of memory errors, a limited heap, disks that
//! fill up, reads that fail.
#![cfg(target_os = "linux")]

use crate::common;

use common::live::Endless;
use common::tool::{Run, after, clean, names};
use common::{Fixture, fixture, fixtures};
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

/// Whether to try everything with everything.
fn thorough() -> bool {
    std::env::var_os("GOTRACE_THOROUGH").is_some()
}

/// The tool under valgrind, which answers 99 to a memory error or a leak.
fn checked(args: &[&OsStr]) -> Command {
    let mut command = Command::new("valgrind");
    command.args([
        "--quiet",
        "--error-exitcode=99",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite,indirect",
        env!("CARGO_BIN_EXE_gotrace"),
    ]);
    command.args(args).stdin(Stdio::null());
    command
}

/// Commands that read a trace, and write files into the current directory.
fn commands(trace: &Path) -> Vec<Vec<&OsStr>> {
    let mut commands: Vec<Vec<&OsStr>> = [
        &["stat"][..],
        &["stat", "--json"],
        &["check"],
        &["dump", "--wire"],
        &["dump", "--parsed"],
        &["dump", "--parsed", "--json"],
    ]
    .iter()
    .map(|words| words.iter().map(OsStr::new).collect())
    .collect();
    let live = [
        &[
            "tee", "--idle", "100ms", "--out", "copy", "--stat", "--record", "kept",
        ][..],
        &[
            "record", "--idle", "100ms", "--arena", "arena", "--out", "snapshot",
        ],
        &["stat", "--follow", "--idle", "100ms"],
    ];
    for words in live {
        commands.push(words.iter().map(OsStr::new).collect());
    }
    for command in &mut commands {
        command.push(trace.as_os_str());
    }
    commands.push(["recover", "arena", "recovered"].map(OsStr::new).to_vec());
    commands
}

#[test]
fn there_are_no_memory_errors_and_no_leaks() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        common::skipped::skip("no command `valgrind`");
        return;
    }
    // One of each version, and a large one, are enough for every day.
    let everyday = [
        "annotate-go1.22",
        "gc-go1.23",
        "profile-go1.25",
        "flight-go1.27",
        "annotate-go1.21",
    ];
    let chosen = |f: &&Fixture| thorough() || everyday.contains(&f.name.as_str());
    let all = fixtures();
    let chosen: Vec<&Fixture> = all.iter().filter(chosen).collect();
    assert!(chosen.len() >= everyday.len());
    for fixture in chosen {
        let dir = clean(&format!("valgrind-{}", fixture.name));
        for args in commands(&fixture.path) {
            let output = checked(&args).current_dir(&dir).output().expect("valgrind");
            let run = Run::of(output);
            let expected = expected(fixture, &args);
            assert_eq!(
                run.status.min(99),
                expected,
                "{} {args:?}: {}",
                fixture.name,
                run.stderr
            );
        }
    }
}

/// The status with which a command ends: of traces of before Go 1.22 events can be read, unless Go's
/// reader refuses them as well, and nothing else.
fn expected(fixture: &Fixture, args: &[&OsStr]) -> i32 {
    if fixture.go_version > 21 {
        return 0;
    }
    let follows = args.contains(&OsStr::new("--follow"));
    let one_by_one = ["stat", "dump"].contains(&args[0].to_str().unwrap_or("")) && !follows;
    let in_order = args[0] == "check" || args.contains(&OsStr::new("--parsed"));
    let refused = fixture.name.starts_with("cgo");
    i32::from(!(one_by_one || in_order) || in_order && refused)
}

/// What the tool may allocate, threads' stacks included: of the longest input the same as of a short
/// one.
const HEAP: &str = "ulimit -d 65536";

#[test]
fn a_limited_heap_is_enough_for_every_trace() {
    for fixture in fixtures() {
        let dir = clean(&format!("heap-{}", fixture.name));
        for args in commands(&fixture.path) {
            let output = after(HEAP, &args).current_dir(&dir).output();
            let run = Run::of(output.expect("a shell"));
            let expected = expected(&fixture, &args);
            assert_eq!(run.status, expected, "{args:?}: {}", run.stderr);
        }
    }
}

#[test]
fn a_limited_heap_is_enough_for_a_trace_without_end() {
    let long: u64 = if thorough() { 4 << 30 } else { 128 << 20 };
    let dir = clean("heap-long");
    let commands = [
        &["record", "--out", "kept", "-"][..],
        &["tee", "--out", "/dev/null", "--record", "kept", "-"],
    ];
    for words in commands {
        let args: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        let mut child = after(HEAP, &args)
            .current_dir(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut stdin = child.stdin.take().expect("a pipe");
        let bytes = fixture("gc-go1.27").bytes();
        let mut trace = Endless::new(&bytes, 2 * long / bytes.len() as u64);
        let writer = std::thread::spawn(move || std::io::copy(&mut trace, &mut stdin));
        let run = Run::of(child.wait_with_output().expect("waiting for gotrace"));
        assert_eq!(run.status, 0, "{words:?}: {}", run.stderr);
        let written = writer.join().expect("no panic").expect("all was read");
        assert!(written > long, "{written}");
    }
}

/// A disk on which files have 32 KiB at most. A real one that is full says the same, and sends no signal.
const SMALL_DISK: &str = "trap '' XFSZ; ulimit -f 64";

fn full(args: &[&str], dir: &Path) -> Run {
    let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
    let trace = File::open(fixture("http-go1.27").path).expect("a trace");
    let mut command = after(SMALL_DISK, &args);
    let run = Run::of(
        command
            .current_dir(dir)
            .stdin(trace)
            .output()
            .expect("a shell"),
    );
    assert_eq!(run.status, 1, "{args:?}");
    run
}

#[test]
fn a_disk_that_is_full_is_an_error_and_leaves_no_half_of_a_file() {
    let dir = clean("full");

    // The room for an arena is taken at the start: a map cannot say later that there is none.
    let run = full(&["record", "--arena", "arena", "-"], &dir);
    assert!(run.stderr.starts_with("error: arena: "), "{}", run.stderr);
    std::fs::remove_file(dir.join("arena")).expect("an arena");

    let run = full(&["record", "--out", "snapshot", "-"], &dir);
    assert!(
        run.stderr.contains("snapshot: File too large"),
        "{}",
        run.stderr
    );
    assert!(names(&dir).is_empty(), "{:?}", names(&dir));

    // A copy keeps the generations that are whole; here is none.
    let run = full(&["tee", "-", "--out", "copy"], &dir);
    assert!(
        run.stderr.contains("copy: File too large"),
        "{}",
        run.stderr
    );
    assert!(names(&dir).is_empty(), "{:?}", names(&dir));

    std::fs::write(
        dir.join("text"),
        common::tool::dump(&fixture("http-go1.27").path),
    )
    .expect("a file");
    let run = full(&["assemble", "--go-version", "1.26", "text", "trace"], &dir);
    assert!(
        run.stderr.contains("trace: File too large"),
        "{}",
        run.stderr
    );
    assert_eq!(names(&dir), ["text"]);
}
