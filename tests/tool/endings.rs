//! How a trace ends, and what a strange file is: every command says the same.

use crate::common::fixtures_dir;
use crate::common::tool::{Run, directory, run, run_with_input};
use std::path::{Path, PathBuf};

fn fault(name: &str) -> PathBuf {
    fixtures_dir().join("faults").join(name)
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures_dir().join(name)).unwrap()
}

/// What each command that reads says, from a file and from a pipe: its status and its errors, without
/// the file's name.
fn all(path: &Path) -> Vec<(String, Run)> {
    let bytes = std::fs::read(path).unwrap();
    let mut runs = Vec::new();
    for command in [&["check"][..], &["stat"], &["dump"], &["dump", "--wire"]] {
        let mut args: Vec<&str> = command.to_vec();
        let name = path.to_str().unwrap();
        args.push(name);
        let mut file = run(&args);
        let lines = file.stderr.split_inclusive('\n');
        let errors = lines.filter(|line| !line.contains(": --lenient gives "));
        file.stderr = errors.collect::<String>().replace(name, "standard input");
        runs.push((format!("{command:?} of a file"), file));
        *args.last_mut().unwrap() = "-";
        let pipe = run_with_input(&args, &bytes);
        runs.push((format!("{command:?} of a pipe"), pipe));
    }
    runs
}

/// All commands fail with this status and this error.
#[track_caller]
fn all_say(path: &Path, status: i32, error: &str) {
    for (what, run) in all(path) {
        let says = format!("error: standard input: {error}\n");
        assert_eq!(
            (run.status, run.stderr.as_str()),
            (status, &*says),
            "{what}"
        );
    }
}

#[test]
fn a_program_that_died_left_an_incomplete_generation() {
    let path = fault("f01-killed-1.27-panic.trace");
    let error = "generation 2 is incomplete, the trace is cut short, at byte 3678 (did the program end \
                 without trace.Stop?)";
    all_say(&path, 4, error);
    let run = run([Path::new("check"), Path::new("--json"), &path]);
    let report = &run.json()[0];
    assert_eq!(report["ok"], false);
    assert_eq!(
        (&report["events"], &report["generations"]),
        (&81.into(), &1.into())
    );
    let ending = serde_json::json!({"kind": "unended", "offset": 3678, "generation": 2});
    assert_eq!(report["ending"], ending);
    assert_eq!(
        crate::common::tool::run([Path::new("stat"), Path::new("--json"), &path]).json()[0]["ending"],
        ending
    );
}

#[test]
fn a_header_is_no_trace_of_anything() {
    let dir = directory("a_header_is_no_trace_of_anything");
    for version in ["1.22", "1.25", "1.26"] {
        let path = dir.join(version);
        std::fs::write(&path, format!("go {version} trace\0\0\0")).unwrap();
        let error = "the trace ends after its header: nothing was written (was trace.Stop called?)";
        all_say(&path, 4, error);
    }
}

#[test]
fn whole_records_before_a_cut_are_shown() {
    let dir = directory("whole_records_before_a_cut_are_shown");
    let trace = fixture("http-go1.27.trace");
    let whole = String::from_utf8(run_with_input(["dump", "--wire", "-"], &trace).ok()).unwrap();
    let mut lengths = Vec::new();
    for cut in [5_000, 20_000, 20_001, 20_002, 30_000] {
        let path = dir.join(cut.to_string());
        std::fs::write(&path, &trace[..cut]).unwrap();
        let run = run([Path::new("dump"), Path::new("--wire"), &path]);
        assert_eq!(run.status, 1);
        assert!(
            run.stderr.contains("the trace is cut short: at least"),
            "{}",
            run.stderr
        );
        let text = run.text();
        assert!(whole.starts_with(text), "{cut}");
        lengths.push(text.len());
        // The same records are counted.
        let lines = text
            .lines()
            .filter(|line| line.starts_with("GoStart "))
            .count();
        let json = crate::common::tool::run([Path::new("stat"), Path::new("--json"), &path]).json();
        let types = json[0]["types"].as_array().unwrap();
        let starts = types.iter().find(|ty| ty["name"] == "GoStart");
        assert_eq!(
            starts.map_or(0, |ty| ty["count"].as_u64().unwrap()),
            lines as u64,
            "{cut}"
        );
        assert_eq!(json[0]["ending"]["kind"], "cut");
    }
    // Every whole record: a few bytes more are one more, or none.
    assert!(
        lengths.is_sorted() && lengths[4] > lengths[1],
        "{lengths:?}"
    );
}

#[test]
fn another_trace_is_named_and_can_be_read() {
    let dir = directory("another_trace_is_named_and_can_be_read");
    let (first, second) = (fixture("block-go1.27.trace"), fixture("gc-go1.27.trace"));
    let path = dir.join("both");
    std::fs::write(&path, [&first[..], &second].concat()).unwrap();
    all_say(
        &path,
        1,
        &format!("another trace begins at byte {}", first.len()),
    );
    let at = first.len().to_string();
    let read = |args: &[&str]| String::from_utf8(run(args).ok()).unwrap();
    let alone = String::from_utf8(run_with_input(["dump", "-"], &second).ok()).unwrap();
    assert!(read(&["dump", "--at", &at, path.to_str().unwrap()]) == alone);
    // Bytes of what a compressed file holds; and a number that is too large.
    let input = std::fs::read(&path).unwrap();
    assert!(run_with_input(["dump", "--at", &at, "-"], &input).ok() == alone.as_bytes());
    let beyond = run(["check", "--at", "99999999", path.to_str().unwrap()]);
    assert_eq!(beyond.status, 1);
    assert!(
        beyond.stderr.contains("there is no byte 99999999 in it"),
        "{}",
        beyond.stderr
    );
}

#[test]
fn strange_files_are_named() {
    let dir = directory("strange_files_are_named");
    let trace = fixture("block-go1.27.trace");
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(trace.iter().flat_map(|b| [*b, 0]))
        .collect();
    let text = String::from_utf8_lossy(&trace).into_owned().into_bytes();
    let headers = [b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n", &trace[..]].concat();
    let log = [b"listening on :8080\n", &trace[..]].concat();
    let cases: &[(&str, &[u8], &str)] = &[
        ("utf16", &utf16, "PowerShell"),
        ("utf8", &text, "text conversion"),
        (
            "http",
            &headers,
            "HTTP headers, as \"curl -i\" writes them: a Go trace begins at byte 25; --at 25 reads it",
        ),
        (
            "log",
            &log,
            ": a Go trace begins at byte 19; --at 19 reads it",
        ),
        (
            "404",
            b"HTTP/1.1 404 Not Found\r\n\r\n404 page not found\n",
            "without a trace: HTTP/1.1 404 Not Found",
        ),
        (
            "zip",
            b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0",
            "this is a zip file",
        ),
        (
            "core",
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0>\0",
            "a core file",
        ),
    ];
    for (name, bytes, hint) in cases {
        let path = dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        for (what, run) in all(&path) {
            assert_eq!(run.status, 1, "{name}, {what}");
            assert!(run.stderr.contains(hint), "{name}, {what}: {}", run.stderr);
        }
    }
    // A sound trace has no hint, and damage of another kind neither.
    let mut damaged = trace.clone();
    damaged[16] = 77;
    let run = run_with_input(["check", "-"], &damaged);
    assert_eq!(
        run.stderr,
        "error: standard input: expected a batch, found event type 77, at byte 16\n"
    );
}

#[test]
fn a_clock_that_cannot_be_right_is_doubted() {
    let path = fault("f25-windows-1.22-clock.trace");
    let text = String::from_utf8(run([Path::new("stat"), &path]).ok()).unwrap();
    assert!(text.contains("times are 256 times too short"), "{text}");
    for sound in ["gc-go1.22.trace", "http-go1.22.trace", "block-go1.27.trace"] {
        let path = fixtures_dir().join(sound);
        let json = run([Path::new("stat"), Path::new("--json"), &path]).json();
        assert!(json[0]["clock_warning"].is_null(), "{sound}");
    }
}
