//! `gotrace record --on`: snapshots that take themselves.
#![cfg(unix)]

use crate::common;

use common::fixture;
use common::live::generations;
use common::tool::{Run, clean, fed, finish, free_address, gotrace_in, names, signal, wait_for};
use gotrace::emit::{Emitter, EmitterConfig};
use gotrace::time::{Timestamp, WallTime};
use gotrace::{EventKind, Fixed, Trace};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The snapshots of a directory with what the files beside them say.
fn snapshots(dir: &Path) -> Vec<(PathBuf, Value)> {
    let paths = names(dir).into_iter().map(|name| dir.join(name));
    paths
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| {
            let side = std::fs::read(&path).unwrap();
            (
                path.with_extension(""),
                serde_json::from_slice(&side).unwrap(),
            )
        })
        .collect()
}

/// Whether a trace has an event with this time that displays so.
fn has(trace: &[u8], time: i64, text: &str) -> bool {
    let trace = Trace::new(trace).unwrap();
    let mut reader = trace.reader();
    while let Some(event) = reader.next().unwrap() {
        if event.time().0 == time && event.to_string() == text {
            return true;
        }
    }
    false
}

/// Every kind of thing that a person waits for, by what the fixtures have of it.
#[test]
fn every_kind_of_event_can_be_waited_for() {
    for (name, expression, kind) in [
        ("annotate-go1.27", r#"category == "plain""#, "Log"),
        ("annotate-go1.27", r#"message contains "quotes""#, "Log"),
        ("annotate-go1.25", r#"task("plain") > 1ns"#, "TaskEnd"),
        (
            "annotate-go1.22",
            r#"region("nested plain") > 1ns"#,
            "RegionEnd",
        ),
        ("gc-go1.27", "gc > 1us", "RangeEnd"),
        ("gc-go1.22", "stw > 1us", "RangeEnd"),
        ("gc-go1.27", "heap > 1MiB", "Metric"),
        ("gc-go1.25", "goroutines > 3", "StateTransition"),
        ("http-go1.27", "waiting > 1us", "StateTransition"),
        ("http-go1.27", "runnable > 1us", "StateTransition"),
        (
            "block-go1.23",
            r#"kind == "GoBlock" && duration > 1us"#,
            "StateTransition",
        ),
    ] {
        let dir = clean("trigger-kinds");
        let trace = fixture(name).bytes();
        std::fs::write(dir.join("in"), &trace).unwrap();
        let on = format!("found: {expression}");
        let args = [
            "record",
            "--min-age",
            "1h",
            "--idle",
            "200ms",
            "--on",
            &on,
            "in",
        ];
        let child = gotrace_in(&dir, &args).spawn().unwrap();
        finish(child, 0);
        let all = snapshots(&dir);
        let fired = all.iter().find(|(_, side)| side["why"] == "found");
        let (path, side) = fired.unwrap_or_else(|| panic!("{name}: {expression}: {all:?}"));
        assert!(path.ends_with("snapshot-1-found.trace"), "{path:?}");
        assert_eq!(side["fired"]["expression"], expression);
        assert_eq!(side["fired"]["kind"], kind, "{expression}");
        let snapshot = std::fs::read(path).unwrap();
        assert_eq!(side["bytes"], snapshot.len());
        let time = side["fired"]["time"].as_i64().unwrap();
        let event = side["fired"]["event"].as_str().unwrap();
        assert!(has(&snapshot, time, event), "{name}: {event}");
    }
    // What makes no sense is refused, and where is said.
    let dir = clean("trigger-usage");
    for (on, said) in [
        ("duration > 1", "column 12"),
        ("slow: nonsense > 1ms", "nonsense"),
    ] {
        let run = Run::of(
            gotrace_in(&dir, &["record", "--on", on, "-"])
                .output()
                .unwrap(),
        );
        assert_eq!(run.status, 2);
        assert!(run.stderr.contains(said), "{}", run.stderr);
    }
}

/// Many programs that each do it, one after the other in a file.
#[test]
fn a_budget_is_kept_over_many_snapshots() {
    let dir = clean("trigger-budget");
    let trace = fixture("annotate-go1.27").bytes();
    let programs = std::env::var("GOTRACE_CASES").ok();
    let programs = programs.and_then(|n| n.parse().ok()).unwrap_or(200u64);
    let out = dir.join("many");
    let mut file = std::fs::File::create(&out).unwrap();
    for _ in 0..programs {
        file.write_all(&trace).unwrap();
    }
    drop(file);
    let args = [
        "record",
        "--on",
        r#"log: category == "plain""#,
        "--max-snapshots",
        "7",
        "--max-disk",
        "60KB",
        "--exec",
        "echo \"$1\" >>ran",
        "--out",
        "s-{number}.trace",
        "--idle",
        "500ms",
        "many",
    ];
    // Another recorder's, and what is no snapshot, stay.
    std::fs::write(dir.join("other.trace"), &trace).unwrap();
    std::fs::write(dir.join("other.trace.json"), "{}").unwrap();
    for _ in 0..2 {
        let child = gotrace_in(&dir, &args).spawn().unwrap();
        let told = finish(child, 0);
        let written = told.lines().filter(|line| line.starts_with("s-")).count();
        assert!(written > 100, "{written}");
        let mut all = snapshots(&dir);
        all.retain(|(path, _)| !path.ends_with("other.trace"));
        let bytes: u64 = all.iter().map(|(p, _)| p.metadata().unwrap().len()).sum();
        assert!((1..=7).contains(&all.len()) && bytes <= 60_000, "{bytes}");
        for (path, _) in &all {
            generations(&std::fs::read(path).unwrap());
        }
        assert!(dir.join("other.trace").exists());
    }
    let ran = std::fs::read_to_string(dir.join("ran")).unwrap();
    assert!(ran.lines().count() > 50, "{ran}");
}

/// A program that logs ten times a second: generations of half a second, and the times of the logs.
fn logs(count: i64) -> (Vec<Vec<u8>>, Vec<i64>) {
    type Tables = Fixed<16, 0, 0, 0, 0, 1, 8, 4, 4>;
    let mut emitter = Emitter::<Tables, _>::new([0; 4096]);
    let at = |n: i64| Timestamp(1000 + n as u64 * 100_000);
    // In microseconds.
    emitter.start(Timestamp(0), EmitterConfig::new(1_000_000));
    let worker = emitter.create(Timestamp(10), 0, "worker").unwrap();
    emitter.ready(Timestamp(20), 0, worker);
    emitter.run(Timestamp(30), 0, worker);
    let mut generations = Vec::new();
    for n in 0..count {
        emitter.log(at(n), 0, None, "state", "it happens");
        if n % 5 == 4 {
            let mut bytes = Vec::new();
            let end = Timestamp(at(n).0 + 50_000);
            assert!(emitter.advance(end, WallTime::new(n as u64, 0), &mut bytes));
            generations.push(bytes);
        }
    }
    let all = generations.concat();
    let trace = Trace::new(&all).unwrap();
    let mut reader = trace.reader();
    let mut times = Vec::new();
    while let Some(event) = reader.next().unwrap() {
        if event.kind() == EventKind::Log {
            times.push(event.time().0);
        }
    }
    assert_eq!(times.len() as i64, count);
    (generations, times)
}

/// A thousand events that fit, in a hundred seconds of a program's time: what the cool-down leaves of
/// them has a snapshot each, and never are there more snapshots than allowed.
#[test]
fn a_thousand_firings_respect_cooldown_and_budget() {
    let dir = clean("trigger-thousand");
    let (generations, times) = logs(1000);
    // What fires, worked out from the times: with it, how many did not since the last.
    let mut expected: Vec<(i64, u64)> = Vec::new();
    let mut suppressed = 0;
    for &time in &times {
        match expected.last() {
            Some((last, _)) if time - last < 1_000_000_000 => suppressed += 1,
            _ => expected.push((time, std::mem::take(&mut suppressed))),
        }
    }
    assert_eq!(expected.len(), 100);
    let args = [
        "record",
        "--on",
        r#"log: category == "state""#,
        "--cooldown",
        "1s",
        "--max-snapshots",
        "7",
        "--max-disk",
        "60KB",
        "--max-bytes",
        "64KiB",
        "--min-age",
        "1s",
        "--out",
        "s-{number}.trace",
        "--once",
        "-",
    ];
    let (child, mut input) = fed(&dir, &args);
    let mut found: Vec<(i64, u64)> = Vec::new();
    let mut look = || {
        // What is removed while it is looked at is none of these.
        let paths = names(&dir).into_iter().map(|name| dir.join(name));
        let sides = paths.filter(|path| path.extension().is_some_and(|e| e == "json"));
        let sides: Vec<PathBuf> = sides.collect();
        // One is written before the oldest is removed.
        assert!(sides.len() <= 8, "{sides:?}");
        let sizes = sides.iter().map(|side| side.with_extension("").metadata());
        let bytes: u64 = sizes.flatten().map(|there| there.len()).sum();
        assert!(bytes <= 60_000 + (64 << 10), "{bytes}");
        for side in sides {
            let Ok(text) = std::fs::read(&side) else {
                continue;
            };
            let side: Value = serde_json::from_slice(&text).unwrap();
            let Some(time) = side["fired"]["time"].as_i64() else {
                continue;
            };
            let one = (time, side["fired"]["suppressed"].as_u64().unwrap());
            if !found.contains(&one) {
                found.push(one);
            }
        }
        found.len()
    };
    for (n, generation) in generations.iter().enumerate() {
        input.write_all(generation).unwrap();
        // Every second one has an event that fires. One snapshot at a time, so that none is removed
        // before it is seen.
        let due = expected
            .iter()
            .filter(|(time, _)| *time <= times[n * 5 + 4])
            .count();
        let begun = Instant::now();
        while look() < due {
            assert!(begun.elapsed() < Duration::from_secs(20), "generation {n}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    drop(input);
    let told = finish(child, 0);
    assert!(!told.contains("no snapshot"), "{told}");
    assert_eq!(found, expected);
    let all = snapshots(&dir);
    let bytes: u64 = all
        .iter()
        .map(|(path, _)| path.metadata().unwrap().len())
        .sum();
    assert!((1..=7).contains(&all.len()) && bytes <= 60_000, "{bytes}");
}

#[test]
fn what_comes_after_the_event_is_waited_for() {
    let dir = clean("trigger-after");
    let trace = fixture("annotate-go1.27").bytes();
    let whole = generations(&trace);
    let first = 16 + whole[0].1.len();
    let args = [
        "record",
        "--min-age",
        "1h",
        "--on",
        r#"category == "plain""#,
        "--after",
        "1s",
        "--out",
        "s-{trigger}.trace",
        "-",
    ];
    let (child, mut input) = fed(&dir, &args);
    input.write_all(&trace[..first]).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!dir.join("s-trigger1.trace").exists());
    input.write_all(&trace[first..]).unwrap();
    let written = dir.join("s-trigger1.trace.json");
    wait_for(|| written.exists());
    assert!(std::fs::read(dir.join("s-trigger1.trace")).unwrap() == trace);
    let side: Value = serde_json::from_slice(&std::fs::read(written).unwrap()).unwrap();
    assert!(side["fired"]["after"].as_f64().unwrap() >= 1.0, "{side}");
    drop(input);
    finish(child, 0);
    let side = std::fs::read(dir.join("s-end.trace.json")).unwrap();
    let side: Value = serde_json::from_slice(&side).unwrap();
    assert_eq!(
        (&side["why"], &side["fired"]),
        (&"end".into(), &Value::Null)
    );
}

#[test]
fn orders_come_over_a_socket() {
    let dir = clean("trigger-control");
    let trace = fixture("flight-go1.27").bytes();
    let address = free_address();
    for control in ["control", &address] {
        let out = format!("{}-{{number}}", control.replace(':', "-"));
        let args = [
            "record",
            "--min-age",
            "1h",
            "--control",
            control,
            "--out",
            &out,
            "unix-listen:s",
        ];
        let child = gotrace_in(&dir, &args).spawn().unwrap();
        wait_for(|| match control {
            "control" => UnixStream::connect(dir.join("control")).is_ok(),
            _ => TcpStream::connect(control).is_ok(),
        });
        let ask = |request: &str| -> String {
            let mut answer = String::new();
            if control == "control" {
                let mut stream = UnixStream::connect(dir.join("control")).unwrap();
                stream.write_all(request.as_bytes()).unwrap();
                // A connection that is closed before all is read of it is reset.
                stream.shutdown(std::net::Shutdown::Write).ok();
                stream.read_to_string(&mut answer).ok();
            } else {
                let mut stream = TcpStream::connect(control).unwrap();
                stream.write_all(request.as_bytes()).unwrap();
                // A connection that is closed before all is read of it is reset.
                stream.shutdown(std::net::Shutdown::Write).ok();
                stream.read_to_string(&mut answer).ok();
            }
            answer
        };
        assert_eq!(ask("snapshot\n"), "error no snapshot\n");
        let mut program = UnixStream::connect(dir.join("s")).unwrap();
        program.write_all(&trace).unwrap();
        wait_for(|| ask("status\n").contains("\"generations\":3"));
        let first = out.replace("{number}", "1");
        assert_eq!(
            ask("snapshot\nnonsense\n").lines().next().unwrap(),
            format!("ok {first}")
        );
        assert!(std::fs::read(dir.join(&first)).unwrap() == trace);
        let answer = ask("POST /snapshot HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["file"], out.replace("{number}", "2"));
        for (request, status) in [
            ("GET /status HTTP/1.0\r\n\r\n", "200 OK"),
            ("GET /snapshot HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
            ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
        ] {
            let answer = ask(request);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
                "{answer}"
            );
        }
        // A line without end is no order.
        assert_eq!(ask(&"x".repeat(10_000)), "");
        drop(program);
        signal(&child, "-TERM");
        finish(child, 0);
        assert!(!dir.join("control").exists());
    }
}
