//! `gotrace goroutines`, `tasks`, `regions`, `gc` and `pprof`.

use crate::common::go::Go;
use crate::common::tool::{Run, clean, gotrace, run};
use crate::common::{fixture, fixtures_dir};
use flate2::read::GzDecoder;
use gotrace::analysis::as_go::{Flags, Summarizer, Utilization};
use gotrace::{Trace, analysis};
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn path(name: &str) -> PathBuf {
    fixture(name).path
}

fn ask(args: &[&str], path: &Path) -> Run {
    run(args.iter().map(Path::new).chain([path]))
}

fn text(args: &[&str], path: &Path, width: u32) -> String {
    let args = args.iter().map(Path::new).chain([path]);
    let output = gotrace(args).env("COLUMNS", width.to_string()).output();
    String::from_utf8(Run::of(output.unwrap()).ok()).unwrap()
}

/// What is printed for people stays as it was looked at.
#[test]
fn tables_are_as_they_were_looked_at() {
    for (name, args, fixture) in [
        ("goroutines", &["goroutines"][..], "http-go1.27"),
        ("states", &["goroutines", "--states"], "block-go1.27"),
        (
            "each",
            &["goroutines", "--each", "--top", "8"],
            "cgo-go1.27",
        ),
        ("tasks", &["tasks"], "annotate-go1.27"),
        ("tasks-each", &["tasks", "--each"], "annotate-go1.27"),
        ("regions", &["regions"], "annotate-go1.27"),
        (
            "regions-each",
            &["regions", "--each", "--top", "5"],
            "annotate-go1.21",
        ),
        ("gc", &["gc", "--top", "6"], "gc-go1.27"),
    ] {
        for width in [80, 200] {
            let shown = text(args, &path(fixture), width);
            let file = fixtures_dir().join(format!("shown/{name}-{width}.txt"));
            if std::env::var_os("GOTRACE_WRITE_SHOWN").is_some() {
                std::fs::write(&file, &shown).unwrap();
            }
            let expected = std::fs::read_to_string(&file).unwrap();
            assert_eq!(shown, expected, "{name} at {width}");
        }
    }
}

/// JSON and CSV have the same rows and all of them.
#[test]
fn programs_get_the_same_rows() {
    for args in [
        &["goroutines"][..],
        &["goroutines", "--states"],
        &["goroutines", "--each"],
        &["tasks"],
        &["tasks", "--each"],
        &["regions"],
        &["regions", "--each"],
        &["gc", "--pauses"],
        &["assert", "--list"],
    ] {
        let file = path("annotate-go1.25");
        let rows = ask(&[args, &["--json"]].concat(), &file).json();
        let csv = ask(&[args, &["--csv"]].concat(), &file).ok();
        let mut reader = csv::Reader::from_reader(&csv[..]);
        let keys: Vec<String> = reader
            .headers()
            .unwrap()
            .iter()
            .map(str::to_owned)
            .collect();
        let records: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert!(!rows.is_empty() && rows.len() == records.len(), "{args:?}");
        for (row, record) in rows.iter().zip(&records) {
            let row = row.as_object().unwrap();
            assert_eq!(row.len(), keys.len(), "{args:?}");
            for (key, field) in keys.iter().zip(record) {
                let value = match &row[key] {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                assert_eq!(value, field, "{args:?}: {key}");
            }
        }
    }
}

/// Row by row what the library gives, with the names that Go's package has.
#[test]
fn as_go_rows_are_those_of_the_library() {
    let file = path("annotate-go1.23");
    let bytes = std::fs::read(&file).unwrap();
    let trace = Trace::new(&bytes).unwrap();
    let (mut reader, mut summarizer) = (trace.reader(), Summarizer::new());
    let mut utilization = Utilization::new(Flags::DEFAULT);
    while let Some(event) = reader.next().unwrap() {
        summarizer.add(&event);
        utilization.add(&event);
    }
    summarizer.finish(true);
    let rows = |args: &[&str]| ask(&[args, &["--as-go", "--json"]].concat(), &file).json();
    let json = |row| serde_json::to_value(row).unwrap();
    assert_eq!(
        rows(&["goroutines", "--each"]),
        summarizer
            .goroutines()
            .map(|row| serde_json::to_value(row).unwrap())
            .collect::<Vec<_>>()
    );
    let groups: Vec<Value> = summarizer.groups().iter().map(json).collect();
    assert_eq!(rows(&["goroutines"]), groups);
    let main = &groups[0];
    for key in [
        "Name",
        "N",
        "Exec",
        "SchedWait",
        "Syscall",
        "SyscallBlock",
        "Block",
        "Range",
    ] {
        assert!(main.get(key).is_some(), "{key}");
    }
    assert_eq!(rows(&["tasks", "--each"]).len(), summarizer.tasks().count());
    assert_eq!(rows(&["tasks"]).len(), summarizer.task_types().len());
    assert_eq!(
        rows(&["regions", "--each"]).len(),
        summarizer.regions().count()
    );
    assert_eq!(rows(&["regions"]).len(), summarizer.region_types().len());
    let lines = ask(&["gc", "--util=stw|background", "--as-go"], &file);
    let points = utilization.finish(true).concat();
    assert_eq!(lines.text().lines().count(), points.len());
    let (time, left) = points[1];
    assert_eq!(
        lines.text().lines().nth(1),
        Some(&*format!("0 {time} {left}"))
    );
}

/// Only the part of a trace that is asked for counts.
#[test]
fn parts_of_a_trace() {
    let file = path("block-go1.27");
    // A generation mentions goroutines that do nothing only at its end.
    let sum = |args: &[&str]| -> i64 {
        let rows = ask(&[&["goroutines", "--json"], args].concat(), &file).json();
        let rows = rows
            .iter()
            .filter(|row| row["function"].as_str().unwrap().starts_with("main."));
        rows.map(|row| row["total_ns"].as_i64().unwrap()).sum()
    };
    let (whole, early) = (sum(&[]), sum(&["--to", "20ms"]));
    let late = sum(&["--from", "20ms"]);
    assert!(early > 0 && late > 0);
    assert_eq!(early + late, whole);
    let main = sum(&["-g", "1"]);
    assert!(0 < main && main < whole);
    assert_eq!(sum(&["--from", "10m"]), 0);
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut all).unwrap();
    all
}

/// Folded stacks have the time that the profile has, and a profile is the same twice.
#[test]
fn profiles() {
    let file = path("block-go1.27");
    for kind in analysis::profile::Kind::ALL {
        let option = format!("--{}", kind.name());
        let once = ask(&["pprof", &option], &file).ok();
        assert_eq!(once, ask(&["pprof", &option], &file).ok());
        assert!(gunzip(&once).len() > 30, "{option}");
        let folded = ask(&["pprof", &option, "--folded"], &file);
        let times = folded.text().lines().map(|line| {
            let (stack, time) = line.rsplit_once(' ').unwrap();
            assert!(!stack.is_empty());
            time.parse::<i64>().unwrap()
        });
        let sum: i64 = times.sum();
        assert_eq!(sum > 0, kind.name() != "cpu", "{option}");
    }
    let samples = ask(&["pprof", "--cpu", "--folded"], &path("profile-go1.27"));
    assert!(
        samples.text().contains("main.main.func1;"),
        "{}",
        samples.text()
    );
    let refused = ask(&["pprof"], &file);
    assert_eq!(refused.status, 2);
}

/// Go's own tool opens them, and finds in ours computed as Go does what is in its own.
#[test]
fn go_opens_profiles() {
    let Some(go) = Go::find() else { return };
    let dir = clean("profiles");
    let command = go.root().join("bin/go");
    let totals = |profile: &Path| -> String {
        let mut top = Command::new(&command);
        let output = top
            .args(["tool", "pprof", "-top", "-nodecount=1000"])
            .arg(profile)
            .output();
        let run = Run::of(output.unwrap());
        assert_eq!(run.status, 0, "{}", run.stderr);
        let rows = run.text().lines().filter(|line| !line.starts_with("File"));
        let mut rows: Vec<&str> = rows.map(str::trim).collect();
        rows.sort();
        rows.join("\n")
    };
    let trace = path("block-go1.27");
    for kind in ["net", "sync", "syscall", "sched"] {
        let (ours, theirs) = (
            dir.join(format!("{kind}.ours")),
            dir.join(format!("{kind}.go")),
        );
        let option = format!("--{kind}");
        let out = ["-o".as_ref(), ours.as_os_str()];
        let args = ["pprof".as_ref(), option.as_ref(), "--as-go".as_ref()];
        run(args.into_iter().chain(out).chain([trace.as_os_str()])).ok();
        let mut tool = Command::new(&command);
        let output = tool
            .args(["tool", "trace", &format!("-pprof={kind}")])
            .arg(&trace)
            .output();
        std::fs::write(&theirs, output.unwrap().stdout).unwrap();
        assert_eq!(totals(&ours), totals(&theirs), "{kind}");
    }
}

/// Of a damaged trace, what is before the damage is shown, and the exit status says so.
#[test]
fn a_damaged_trace_gives_what_is_before_the_damage() {
    let dir = clean("summaries");
    // Of several generations.
    let bytes = fixture("annotate-go1.25").bytes();
    let damaged = dir.join("damaged.trace");
    let mut broken = bytes[..bytes.len() * 3 / 4].to_vec();
    broken.extend([0xff; 64]);
    std::fs::write(&damaged, broken).unwrap();
    for args in [
        &["goroutines"][..],
        &["tasks"],
        &["regions"],
        &["gc"],
        &["pprof", "--sync", "--folded"],
    ] {
        let shown = ask(args, &damaged);
        assert!(
            shown.status != 0 && shown.stderr.contains("damaged.trace"),
            "{}",
            shown.stderr
        );
        assert!(shown.text().lines().count() > 0, "{args:?}");
    }
    let both = run([
        Path::new("goroutines"),
        "--json".as_ref(),
        &damaged,
        &path("annotate-go1.25"),
    ]);
    assert_ne!(both.status, 0);
    let files = both.json();
    assert!(
        files
            .iter()
            .any(|row| row["file"] == json!(path("annotate-go1.25")))
    );
}
