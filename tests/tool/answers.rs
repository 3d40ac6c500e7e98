//! The commands that answer questions: what they print, at the width of a small and of a large terminal,
//! and what programs get.
//!
//! The expected texts are in the folder beside this. `GOTRACE_WRITE_EXPECTED=1` writes them anew: read
//! the differences before they are committed.

use crate::common::tool::{Run, gotrace, run};
use crate::common::{fixture, fixtures_dir};
use std::path::{Path, PathBuf};

/// Runs a command as on a terminal of this width, in the folder of the fixtures.
fn at_width(width: usize, args: &[&str]) -> Run {
    let mut command = gotrace(args);
    command.current_dir(fixtures_dir());
    command.env("COLUMNS", width.to_string());
    Run::of(command.output().expect("running gotrace"))
}

/// Compares what a command prints at widths 80 and 200 with what it is expected to print.
#[track_caller]
fn snapshot(name: &str, args: &[&str]) {
    for width in [80, 200] {
        let run = at_width(width, args);
        let text = String::from_utf8(run.ok()).expect("UTF-8");
        let file = format!("tests/tool/answers/{name}-{width}.txt");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file);
        if std::env::var_os("GOTRACE_WRITE_EXPECTED").is_some() {
            std::fs::write(&path, &text).expect("writing what is expected");
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        for (n, (line, expected)) in text.lines().zip(expected.lines()).enumerate() {
            assert_eq!(line, expected, "{file}, line {}", n + 1);
        }
        assert_eq!(text, expected, "{file}");
        for line in text.lines() {
            assert!(line.chars().count() <= width, "{file}: too wide: {line}");
            assert_eq!(line.trim_end(), line, "{file}: spaces at the end");
        }
    }
}

fn path(name: &str) -> PathBuf {
    fixture(name).path
}

#[test]
fn explain() {
    snapshot("explain-request", &["explain", "http-go1.27.trace"]);
    snapshot(
        "explain-region",
        &[
            "explain",
            "--region",
            "long region",
            "--slowest",
            "2",
            "annotate-go1.27.trace",
        ],
    );
    snapshot(
        "explain-goroutine",
        &["explain", "-g", "1", "block-go1.23.trace"],
    );
    snapshot("explain-old", &["explain", "annotate-go1.21.trace"]);
}

#[test]
fn explain_for_programs() {
    let trace = path("http-go1.27");
    let trace = trace.to_str().unwrap();
    let all = run([
        "explain",
        "--json",
        "--task",
        "request",
        "--slowest",
        "5",
        trace,
    ])
    .json();
    assert_eq!(all.len(), 5);
    for one in &all {
        let sum = |list: &serde_json::Value| -> i64 {
            let rows = list.as_array().unwrap().iter();
            rows.map(|row| row["ns"].as_i64().unwrap()).sum()
        };
        assert_eq!(
            sum(&one["path_times"]),
            one["duration_ns"].as_i64().unwrap()
        );
        for worker in one["goroutines"].as_array().unwrap() {
            assert_eq!(sum(&worker["times"]), worker["ns"].as_i64().unwrap());
        }
        assert_eq!(one["what"], "task");
        // By its id it is found again.
        let id = one["task"].to_string();
        let again = run(["explain", "--json", "--task", &id, trace]).json();
        assert_eq!(again, std::slice::from_ref(one));
    }
    let csv = run(["explain", "--csv", trace]).ok();
    let csv = String::from_utf8(csv).unwrap();
    let header = "file,total_ns,count,longest_ns,state,reason,goroutine,woken_by,place,source";
    assert_eq!(csv.lines().next(), Some(header));
    // From a pipe, compressed.
    let bytes = crate::common::tool::gzip(&std::fs::read(trace).unwrap());
    let piped = crate::common::tool::run_with_input(["explain", "--json", "-"], &bytes).json();
    assert_eq!(piped[0]["path_times"], all[0]["path_times"]);
}

#[test]
fn blocked() {
    snapshot("blocked", &["blocked", "http-go1.27.trace"]);
    snapshot(
        "blocked-old",
        &["blocked", "-n", "5", "legacy/block-go1.21.trace"],
    );
}

#[test]
fn latency() {
    snapshot("latency", &["latency", "flight-go1.25.trace"]);
}

#[test]
fn several_traces_together() {
    const TRACES: [&str; 2] = ["http-go1.27.trace", "annotate-go1.25.trace"];
    for command in [
        "summary",
        "blocked",
        "latency",
        "goroutines",
        "tasks",
        "regions",
    ] {
        let args = [&[command, "--together", "-n", "6"], &TRACES[..]].concat();
        snapshot(&format!("together-{command}"), &args);
    }
}

#[test]
fn parts_of_a_trace() {
    const PART: [&str; 4] = ["--from", "4ms", "--to", "9ms"];
    for (command, more) in [
        (&["summary"][..], &[][..]),
        (&["blocked", "-n", "5"], &["--stack", "net/http"]),
        (&["latency", "-n", "5"], &["-p", "1"]),
        (&["goroutines", "-n", "5"], &["--task", "request"]),
    ] {
        let args = [command, &PART, more, &["http-go1.27.trace"]].concat();
        snapshot(&format!("part-{}", command[0]), &args);
    }
}

#[test]
fn judges() {
    snapshot("doctor", &["doctor", "diseases/convoy.trace.gz"]);
    let traces = ["block-go1.25.trace", "block-go1.27.trace"];
    snapshot("diff", &[&["diff", "-n", "8"], &traces[..]].concat());
    snapshot(
        "assert",
        &[
            "assert",
            "stw.max < 10s",
            "goroutines.leaked >= 0",
            "http-go1.27.trace",
        ],
    );
    snapshot("stat", &["stat", "http-go1.27.trace"]);
}

#[test]
fn leaks() {
    snapshot(
        "leaks",
        &[
            "leaks",
            "--min-age",
            "1ms",
            "block-go1.27.trace",
            "http-go1.27.trace",
        ],
    );
}

#[test]
fn at() {
    snapshot("at", &["at", "10ms", "http-go1.27.trace"]);
    snapshot(
        "at-stacks",
        &["at", "--stacks", "--all", "20ms", "block-go1.25.trace"],
    );
}

#[test]
fn summary() {
    snapshot("summary", &["http-go1.27.trace"]);
    snapshot(
        "summary-all",
        &["summary", "--all", "annotate-go1.25.trace"],
    );
    snapshot(
        "summary-old",
        &[
            "summary",
            "legacy/block-go1.21.trace",
            "annotate-go1.21.trace",
        ],
    );
}

#[cfg(unix)]
#[test]
fn top() {
    snapshot(
        "top",
        &["top", "--once", "--idle", "10ms", "http-go1.27.trace"],
    );
    // A generation a line, and what they say is what happened.
    let trace = path("annotate-go1.27");
    let trace = trace.to_str().unwrap();
    let lines = run(["top", "--json", "--idle", "10ms", trace]).json();
    assert!(lines.len() > 1);
    let sum = |key: &str| -> u64 { lines.iter().map(|line| line[key].as_u64().unwrap()).sum() };
    let whole = &run(["summary", "--json", trace]).json()[0];
    for (live, all) in [
        ("created", "created"),
        ("ended", "ended"),
        ("sched_count", "sched_count"),
        ("syscalls", "syscalls"),
        ("gc_collections", "gc_collections"),
    ] {
        assert_eq!(sum(live), whole[all].as_u64().unwrap(), "{live}");
    }
    let last = lines.last().unwrap();
    assert_eq!(last["goroutines"], whole["goroutines"]);
    let once = run(["top", "--json", "--once", "--idle", "10ms", trace]).json();
    assert_eq!(once, lines[..1]);
}

/// What is counted in one form is counted in the others.
#[test]
fn the_forms_agree() {
    let trace = path("http-go1.27");
    let trace = trace.to_str().unwrap();
    let other = path("block-go1.27");
    let other = other.to_str().unwrap();
    for (command, list, trace) in [
        (&["summary"][..], "functions", trace),
        (&["blocked"], "places", trace),
        (&["latency"], "functions", trace),
        (&["leaks", "--min-age", "1ms"], "goroutines", other),
        (&["at", "10ms"], "goroutines", trace),
    ] {
        let with = |options: &[&str]| run(command.iter().chain(options).chain([&trace]));
        let json = with(&["--json"]).json();
        let rows = json[0][list].as_array().unwrap().clone();
        let csv = String::from_utf8(with(&["--csv"]).ok()).unwrap();
        assert_eq!(csv.lines().count(), rows.len() + 1, "{command:?}");
        assert!(!rows.is_empty(), "{command:?}");
        let few = with(&["--json", "--top", "1"]).json();
        if command[0] != "at" {
            assert_eq!(
                few[0][list].as_array().unwrap()[..],
                rows[..1],
                "{command:?}"
            );
        }
        // Damage is reported, with what could be read before.
        let bytes = std::fs::read(trace).unwrap();
        let cut = &bytes[..bytes.len() * 3 / 4];
        let path = crate::common::tool::file("answers", "cut", cut);
        let cut = run(command.iter().copied().chain([path.to_str().unwrap()]));
        assert_eq!(cut.stderr.is_empty(), cut.status == 0, "{command:?}");
    }
}

#[test]
fn what_is_not_there_is_said() {
    let trace = path("coro-go1.27");
    let trace = trace.to_str().unwrap();
    for (args, error) in [
        (
            &["explain"][..],
            "there are no tasks and no regions: name a goroutine with -g ID",
        ),
        (
            &["explain", "--task", "x"],
            "there is no task with the id or of the type \"x\"",
        ),
        (
            &["explain", "--region", "x"],
            "there is no region of the type \"x\"",
        ),
        (&["explain", "-g", "987654"], "there is no goroutine 987654"),
        (
            &["at", "1h"],
            "the trace ends before 3600s: it is 1.597ms long",
        ),
    ] {
        let run = run(args.iter().chain([&trace]));
        assert_eq!(run.status, 1);
        assert_eq!(run.stderr, format!("error: {trace}: {error}\n"));
    }
}

/// With `--lenient` every answer is about all that is left of a damaged trace, and standard error says what
/// is lost; without, about what comes before the damage.
#[test]
fn damaged_traces_are_read_leniently() {
    let mut bytes = std::fs::read(path("flight-go1.27")).unwrap();
    let third = bytes.len() / 3;
    bytes[third..third + 64].fill(0xff);
    let damaged = crate::common::tool::file("answers", "damaged", &bytes);
    let damaged = damaged.to_str().unwrap();
    for command in [
        &["summary"][..],
        &["explain", "-g", "1"],
        &["blocked"],
        &["latency"],
        &["leaks"],
        &["at", "2.5s"],
        &["goroutines"],
        &["tasks", "--each"],
        &["regions"],
        &["gc"],
        &["pprof", "--wall", "--folded"],
        &["doctor"],
        &["assert", "--list"],
        &["stat"],
    ] {
        let with = |more: &[&'static str]| run(command.iter().chain(more).chain([&damaged]));
        let (strict, lenient) = (with(&[]), with(&["--lenient"]));
        assert_eq!(strict.status, 1, "{command:?}");
        assert!(strict.stderr.contains("at byte 107908"), "{command:?}");
        assert_eq!(lenient.status, 0, "{command:?}: {}", lenient.stderr);
        assert!(
            lenient.stderr.contains("read leniently: 42226 events"),
            "{command:?}: {}",
            lenient.stderr
        );
        assert!(!lenient.stdout.is_empty(), "{command:?}");
    }
    let length = |lenient: &[&'static str]| {
        let command = ["summary", "--json"];
        let run = run(command.iter().chain(lenient).chain([&damaged]));
        let line: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        line["duration_ns"].as_i64().unwrap()
    };
    assert!(length(&[]) < 2_000_000_000 && length(&["--lenient"]) > 2_500_000_000);
    // The second reading of "explain" says nothing again.
    let run = run(["explain", "--lenient", "-g", "1", damaged]);
    assert_eq!(run.stderr.matches("read leniently").count(), 1);
}

/// One trace that cannot be read does not keep the others from being asked.
#[test]
fn every_trace_is_asked() {
    let good = path("annotate-go1.27");
    let good = good.to_str().unwrap();
    for command in [
        &["summary"][..],
        &["goroutines"],
        &["goroutines", "--as-go"],
        &["tasks"],
        &["regions"],
        &["gc"],
        &["at", "1ms"],
        &["explain"],
    ] {
        let run = run(command.iter().copied().chain(["no-such.trace", good]));
        assert_eq!(run.status, 1, "{command:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{command:?}: {}", run.stderr);
        assert!(!run.stdout.is_empty(), "{command:?}");
    }
}
