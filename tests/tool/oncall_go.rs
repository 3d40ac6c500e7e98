//! `gotrace record` with real Go programs that start, stall, end and are killed, in random order; and
//! triggers that they set off. `GO_TRACED` names the toolchain that builds them.

use crate::common;

use common::go::{Go, Serve};
use common::live::{Random, generations};
use common::tool::{Run, clean, gotrace, signal, wait_for};
use gotrace::{Growing, Reader, Trace};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How many programs, in sum.
fn rounds() -> usize {
    let rounds = std::env::var("GOTRACE_CASES").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(12)
}

/// Starts the program with generations of a 20th of a second.
fn program(binary: &Path, millis: u64, to: &str) -> Command {
    let mut command = Command::new(binary);
    command.arg(millis.to_string()).arg(to);
    command.env("GODEBUG", "traceadvanceperiod=50000000");
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

fn record(dir: &Path, args: &[&str]) -> Command {
    let mut command = gotrace(["record", "--out", "s-{number}.trace"].iter().chain(args));
    command.current_dir(dir).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Memory that a process has in use, in bytes.
fn resident(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) << 10
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
    let entries = std::fs::read_dir(dir).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|e| e == "trace"))
        .collect()
}

#[test]
fn a_recorder_outlives_many_programs() {
    let Some(go) = Go::find() else { return };
    let binary = go.build("live", "oncall-live");
    let mut serve = go.reference().serve();
    let mut random = Random::new(15);
    for kind in ["unix", "tcp"] {
        let dir = clean(&format!("oncall-go-{kind}"));
        let (input, to) = if kind == "unix" {
            (
                "unix-listen:s".to_owned(),
                dir.join("s").display().to_string(),
            )
        } else {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap().to_string();
            (format!("tcp-listen:{address}"), address)
        };
        let args = ["--max-bytes", "4MiB", "--arena", "arena", &input];
        let mut recorder = record(&dir, &args).spawn().unwrap();
        let is_up = || match kind {
            "unix" => dir.join("s").exists(),
            _ => TcpStream::connect(&to).is_ok(),
        };
        wait_for(is_up);
        let mut most = 0;
        for round in 0..rounds() / 2 {
            let millis = 100 + random.below(500) as u64;
            let mut child = program(&binary, millis, &to).spawn().unwrap();
            match random.below(4) {
                // It ends by itself.
                0 => drop(child.wait()),
                // It dies.
                1 => {
                    std::thread::sleep(Duration::from_millis(random.below(300) as u64));
                    child.kill().unwrap();
                    child.wait().unwrap();
                }
                // It stands still for a while, and somebody wants to know why.
                2 => {
                    std::thread::sleep(Duration::from_millis(random.below(200) as u64));
                    signal(&child, "-STOP");
                    signal(&recorder, "-USR1");
                    std::thread::sleep(Duration::from_millis(200));
                    signal(&child, "-CONT");
                    child.wait().unwrap();
                }
                // The recorder dies, and another one takes its place and what it left.
                _ => {
                    std::thread::sleep(Duration::from_millis(300));
                    recorder.kill().unwrap();
                    recorder.wait().unwrap();
                    child.kill().ok();
                    child.wait().unwrap();
                    recorder = record(&dir, &args).spawn().unwrap();
                    wait_for(is_up);
                }
            }
            most = most.max(resident(&recorder));
            assert!(recorder.try_wait().unwrap().is_none(), "round {round}");
        }
        // One that has a second is in the last snapshot, with all its generations but for the last.
        let before = snapshots(&dir).len();
        program(&binary, 1000, &to).status().unwrap();
        wait_for(|| snapshots(&dir).len() > before);
        signal(&recorder, "-TERM");
        let run = Run::of(recorder.wait_with_output().unwrap());
        assert_eq!(run.status, 0, "{}", run.stderr);
        // The arena, a copy of its window, and what the process is itself.
        assert!(most < 64 << 20, "{most}");
        let all = snapshots(&dir);
        println!("{kind}: {} snapshots, {most} bytes at most", all.len());
        for path in &all {
            judge(path, &mut serve);
        }
        let longest = all
            .iter()
            .map(|path| generations(&std::fs::read(path).unwrap()).len());
        assert!(longest.max().unwrap() >= 8);
    }
}

#[test]
fn a_program_that_does_it_is_caught() {
    let Some(go) = Go::find() else { return };
    let binary = go.build("live", "oncall-trigger");
    let mut serve = go.reference().serve();
    let dir = clean("oncall-go-triggers");
    // What each second of this program has.
    for (name, expression) in [
        ("task", r#"task("worker 1") > 1us"#),
        ("region", r#"region("receive") > 1us"#),
        ("log", r#"category == "round" && message == "done""#),
        ("blocked", r#"waiting("chan receive") > 1us"#),
        ("runnable", "runnable > 1us"),
        ("goroutines", "goroutines > 4"),
        ("heap", "heap > 100KiB"),
        ("stopped", "stw > 1us"),
    ] {
        let mut live = program(&binary, 700, "-")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let on = format!("{name}: {expression}");
        let mut command = record(&dir, &["--on", &on, "--once", "-"]);
        command.stdin(live.stdout.take().unwrap());
        let run = Run::of(command.output().unwrap());
        live.wait().unwrap();
        assert_eq!(run.status, 0, "{name}: {}", run.stderr);
        let found = snapshots(&dir).into_iter().find(|path| {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            stem.ends_with(&format!("-{name}"))
        });
        let path = found.unwrap_or_else(|| panic!("{name}: {}", run.stderr));
        judge(&path, &mut serve);
        let mut beside = path.clone().into_os_string();
        beside.push(".json");
        let side: serde_json::Value =
            serde_json::from_slice(&std::fs::read(beside).unwrap()).unwrap();
        // The event is in it.
        let time = side["fired"]["time"].as_i64().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let trace = Trace::new(&bytes).unwrap();
        let mut reader: Reader<'_, Growing> = Reader::new(&trace);
        let mut is_there = false;
        while let Some(event) = reader.next().unwrap() {
            is_there |= event.time().0 == time;
        }
        assert!(is_there, "{name}: {side}");
    }
}
