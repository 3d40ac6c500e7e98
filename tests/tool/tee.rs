//! `gotrace tee` and `gotrace stat --follow`, run as a person or a service manager would.
#![cfg(unix)]

use crate::common;

use common::live::{Endless, ends, generations, is_part_of};
use common::tool::{
    Run, clean, gotrace, gotrace_in, on_a_terminal, run, run_with_input, signal, wait_for,
};
use common::{Fixture, fixture, fixtures};
use gotrace::{
    Details, Trace,
    event::{Change, GoState, Metric, RangeName},
};
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A trace of many generations.
fn long() -> Vec<u8> {
    Endless::new(&fixture("annotate-go1.25").bytes(), 40).bytes()
}

/// Where the generation of this index ends.
fn end_of(trace: &[u8], index: usize) -> usize {
    ends(trace)[index]
}

fn start(args: &[&str], dir: &Path) -> Child {
    let mut command = gotrace_in(dir, args);
    command
        .stdin(Stdio::piped())
        .spawn()
        .expect("running gotrace")
}

fn end(child: Child) -> Run {
    Run::of(child.wait_with_output().expect("waiting for gotrace"))
}

#[test]
fn every_copy_is_the_trace() {
    let dir = clean("tee-copies");
    for Fixture { name, path, .. } in fixtures().iter().filter(|f| f.go_version >= 22) {
        let trace = std::fs::read(path).unwrap();
        let (a, b) = (dir.join("a"), dir.join("b"));
        let args = ["tee", "-", "--out"].map(Path::new);
        let args = args.into_iter().chain([&*a, &*b, Path::new("-")]);
        let copy = run_with_input(args, &trace).ok();
        assert!(copy == trace, "{name}");
        assert!(std::fs::read(a).unwrap() == trace, "{name}");
        assert!(std::fs::read(b).unwrap() == trace, "{name}");
    }
}

#[test]
fn what_breaks_off_leaves_whole_generations() {
    let dir = clean("tee-broken");
    let trace = long();
    let complete = end_of(&trace, 20);
    let mut child = start(
        &[
            "tee",
            "-",
            "--out",
            "a",
            "--out",
            "-",
            "--record",
            "r-{number}",
            "--stat",
        ],
        &dir,
    );
    let mut stdin = child.stdin.take().unwrap();
    // The first batch of the next generation says that this one has ended.
    stdin.write_all(&trace[..complete + 400]).unwrap();
    drop(stdin);
    let run = end(child);
    assert_eq!(run.status, 1);
    assert!(run.stdout == trace[..complete]);
    assert!(std::fs::read(dir.join("a")).unwrap() == trace[..complete]);
    let snapshot = std::fs::read(dir.join("r-1")).unwrap();
    assert!(is_part_of(&snapshot, &generations(&trace)) > 1);
    let errors: Vec<&str> = run.stderr.lines().collect();
    let error = "cut short: at least";
    let named = |line: &&str| line.starts_with("error: standard input: ") && line.contains(error);
    assert!(errors.iter().any(named), "{errors:?}");
    assert!(errors.iter().any(|line| line.starts_with("generation 1: ")));

    // What is no trace at all.
    let run = run_with_input(["tee", "-", "--stat"], b"hello, world, how are you?");
    assert_eq!(run.status, 1);
    assert!(
        run.stderr.contains("not a Go execution trace"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_copy_that_fails_is_reported_and_harms_no_other() {
    let dir = clean("tee-full");
    let trace = long();
    let mut child = start(&["tee", "-", "--out", "/dev/full", "good"], &dir);
    child.stdin.take().unwrap().write_all(&trace).unwrap();
    let run = end(child);
    assert_eq!(run.status, 1);
    assert_eq!(run.stderr.matches("error: ").count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("/dev/full"), "{}", run.stderr);
    assert!(std::fs::read(dir.join("good")).unwrap() == trace);

    // When it is the only one, nothing is left to do, though the input goes on.
    let mut child = start(&["tee", "-", "--out", "/dev/full"], &dir);
    let mut stdin = child.stdin.take().unwrap();
    // It may be gone before it has read all.
    stdin.write_all(&trace).ok();
    assert_eq!(end(child).status, 1);
    drop(stdin);

    // It is told when it fails, however many messages there are.
    let args = [
        "tee",
        "--once",
        "unix-listen:s",
        "--out",
        "/dev/full",
        "good",
    ];
    let mut child = start(&args, &dir);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    wait_for(|| dir.join("s").exists());
    let told = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            while !told.load(Ordering::Relaxed) {
                assert!(begun.elapsed() < Duration::from_secs(60), "nobody is told");
                signal(&child, "-USR1");
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let mut stream = UnixStream::connect(dir.join("s")).unwrap();
        stream.write_all(&trace).unwrap();
        let named = lines.find(|line| line.as_ref().unwrap().contains("/dev/full"));
        told.store(named.is_some(), Ordering::Relaxed);
    });
    assert_eq!(end(child).status, 1);

    // A file that cannot be made is known at once.
    let run = common::tool::run(["tee", "-", "--out", "/nowhere/at/all"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("/nowhere/at/all"), "{}", run.stderr);
}

#[test]
fn signals_ask_for_a_snapshot_and_to_leave() {
    let dir = clean("tee-signals");
    let trace = long();
    let socket = dir.join("s");
    let child = start(
        &[
            "tee",
            "unix-listen:s",
            "--out",
            "a",
            "--record",
            "r-{number}",
        ],
        &dir,
    );
    wait_for(|| socket.exists());
    let mut stream = UnixStream::connect(&socket).unwrap();
    let (middle, complete) = (end_of(&trace, 10), end_of(&trace, 15));
    // Before Go 1.26, a generation is known to be complete when the next one has begun.
    let begun = end_of(&trace, 11) - 1;
    stream.write_all(&trace[..begun]).unwrap();
    let written = |len: usize| {
        let a = dir.join("a");
        move || std::fs::metadata(&a).is_ok_and(|m| m.len() >= len as u64)
    };
    // The copy and the recorder are on different threads: one may be ahead of the other.
    wait_for(written(middle));
    let first = dir.join("r-1");
    wait_for(|| {
        signal(&child, "-USR1");
        std::thread::sleep(Duration::from_millis(20));
        first.exists()
    });
    let snapshot = std::fs::read(first).unwrap();
    assert!(is_part_of(&snapshot, &generations(&trace)) > 0);

    let rest = &trace[begun..end_of(&trace, 16) - 1];
    stream.write_all(rest).unwrap();
    wait_for(written(complete));
    signal(&child, "-INT");
    let run = end(child);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let copy = std::fs::read(dir.join("a")).unwrap();
    assert!(is_part_of(&copy, &generations(&trace)) > 0);
    assert!(
        copy.len() >= middle && copy.len() <= complete,
        "{}",
        copy.len()
    );
    // The one at the end, after those that were asked for.
    let snapshots = (1..).map(|n| dir.join(format!("r-{n}")));
    let last = snapshots.take_while(|path| path.exists()).last().unwrap();
    assert_ne!(last, dir.join("r-1"));
    let last = std::fs::read(last).unwrap();
    assert!(is_part_of(&last, &generations(&trace)) > 1);
}

#[test]
fn bad_usage_is_refused() {
    for args in [
        &["tee", "-"][..],
        &["tee", "--out", "x"],
        &["stat", "--follow", "a", "b"],
        &["stat", "--idle", "1s", "a"],
    ] {
        assert_eq!(run(args).status, 2, "{args:?}");
    }
    // Files follow --out: a "-" there is the standard output.
    let run = run(["tee", "--out", "a", "-"]);
    assert_eq!(run.status, 2);
    assert!(
        run.stderr.contains("<INPUT>") && run.stderr.contains("tip: --out takes all"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_copy_does_not_destroy_the_input() {
    let dir = clean("tee-itself");
    let trace = fixture("cgo-go1.27").bytes();
    let path = dir.join("a");
    std::fs::write(&path, &trace).unwrap();
    std::os::unix::fs::symlink("a", dir.join("link")).unwrap();
    for [input, out] in [["a", "./a"], ["a", "link"], ["-", "a"]] {
        let mut command = gotrace(["tee", input, "--idle", "1s", "--out", out]);
        command.stdin(std::fs::File::open(&path).unwrap());
        let run = Run::of(command.current_dir(&dir).output().unwrap());
        assert_eq!(run.status, 1);
        assert!(run.stderr.contains("the input"), "{}", run.stderr);
        assert!(std::fs::read(&path).unwrap() == trace);
    }
    // Another file of that name is another file.
    let mut command = gotrace(["tee", "--out", "b", "--", "-"]);
    command.stdin(std::fs::File::open(&path).unwrap());
    assert!(Run::of(command.current_dir(&dir).output().unwrap()).status == 0);
    assert!(std::fs::read(dir.join("b")).unwrap() == trace);
}

/// What stands on a terminal after these bytes: for what a multi-line display makes use of.
fn screen(shown: &str) -> Vec<String> {
    const WIDTH: usize = 120;
    let mut lines = vec![Vec::new()];
    let (mut row, mut column) = (0usize, 0usize);
    let mut chars = shown.chars();
    while let Some(c) = chars.next() {
        match c {
            '\n' => row += 1,
            '\r' => column = 0,
            '\x1b' => {
                assert_eq!(chars.next(), Some('['));
                let (mut number, mut is_private) = (0, false);
                let command = loop {
                    match chars.next().expect("a command") {
                        '?' => is_private = true,
                        digit @ '0'..='9' => number = number * 10 + digit as usize - '0' as usize,
                        command => break command,
                    }
                };
                match command {
                    'A' => row -= number.max(1),
                    'B' => row += number.max(1),
                    'K' => lines[row].clear(),
                    'h' | 'l' if is_private => {}
                    other => panic!("{other}"),
                }
            }
            c => {
                if column == WIDTH {
                    (row, column) = (row + 1, 0);
                }
                lines.resize(lines.len().max(row + 1), Vec::new());
                let len = lines[row].len().max(column + 1);
                lines[row].resize(len, ' ');
                lines[row][column] = c;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), Vec::new());
    }
    let lines = lines.into_iter().map(String::from_iter);
    let lines = lines.map(|line| line.trim_end().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

/// On a terminal, one generation takes the place of the other, and the last one stays.
#[test]
fn what_is_live_is_refreshed_in_place() {
    let dir = clean("tee-terminal");
    let path = fixture("annotate-go1.27").path;
    let trace = path.display();
    let binary = env!("CARGO_BIN_EXE_gotrace");
    let (first, second) = {
        let trace = std::fs::read(&path).unwrap();
        (end_of(&trace, 0), end_of(&trace, 1))
    };
    // Generation by generation: what comes faster than that is not drawn.
    let feed = |wait: &str| {
        format!(
            "stty cols 120 rows 50 </dev/tty; (head -c {first} {trace}; sleep 0.6; \
             tail -c +{} {trace} | head -c {}; sleep 0.6; {wait} tail -c +{} {trace})",
            first + 1,
            second - first,
            second + 1
        )
    };
    let until = |what: &str, step: &str| {
        format!("i=0; until [ {what} ] || [ $i = 600 ]; do {step} sleep 0.1; i=$((i + 1)); done;")
    };
    for (command, has_notes) in [
        (format!("{} | {binary} stat --follow -", feed("")), false),
        // A snapshot is told of above, while the status is on the screen. The recorder may not have
        // what the copy has: then it is asked again.
        (
            format!(
                "cd {}; {} | {binary} tee - --out a --record r --stat & {} {} wait",
                dir.display(),
                feed(&until("-e r", "")),
                until("-s a", ""),
                until("-e r", "kill -USR1 $!;"),
            ),
            true,
        ),
    ] {
        let Some(shown) = on_a_terminal(&command, &[]) else {
            common::skipped::skip("no command `script`");
            return;
        };
        for generation in 1..=3 {
            let line = format!("generation      {generation}, ");
            assert!(shown.contains(&line), "{shown:?}");
        }
        let lines = screen(&shown);
        let blocks: Vec<usize> = (0..lines.len())
            .filter(|at| lines[*at].starts_with("  generation "))
            .collect();
        assert_eq!(blocks.len(), 1, "{lines:#?}");
        let notes = blocks[0];
        assert_eq!(notes > 0, has_notes, "{lines:#?}");
        let block = &lines[notes..];
        assert!(block[0].starts_with("  generation      3, "), "{lines:#?}");
        for (line, label) in block[1..].iter().zip([
            "goroutines",
            "heap",
            "GC",
            "world stopped",
            "events a second",
        ]) {
            assert!(line.trim_start().starts_with(label), "{lines:#?}");
        }
        if has_notes {
            let told = |start| {
                lines[..notes]
                    .iter()
                    .filter(|l| l.starts_with(start))
                    .count()
            };
            assert_eq!(told("r: "), 1, "{lines:#?}");
            assert_eq!(told("r") + told("no generation"), notes, "{lines:#?}");
            assert!(lines[lines.len() - 1].starts_with("r-"), "{lines:#?}");
        }
    }
}

/// What `stat --follow` should show of each generation, worked out from a reader of the whole.
fn expected(trace: &[u8]) -> Vec<HashMap<&'static str, u64>> {
    let trace = Trace::new(trace).unwrap();
    let mut reader = trace.reader();
    let mut all: Vec<HashMap<&'static str, u64>> = Vec::new();
    let mut goroutines = HashMap::new();
    let mut generation = None;
    let mut metrics: HashMap<&'static str, u64> = HashMap::new();
    while let Some(event) = reader.next().unwrap() {
        let details = event.details();
        let is_sync = matches!(details, Details::Sync(_));
        let mut ended = 0;
        match details {
            Details::StateTransition(t) => {
                if let Change::Goroutine { id, to, .. } = t.change {
                    goroutines.insert(id, to);
                }
            }
            Details::Metric(metric) => {
                metrics.insert(metric.name, metric.value);
            }
            Details::RangeEnd(range, _) => ended = u64::from(range.name == RangeName::GcMark),
            _ => {}
        }
        let number = reader.generation();
        if number != generation {
            generation = number;
            all.push(HashMap::new());
        } else if is_sync {
            break;
        }
        let now = all.last_mut().unwrap();
        let number = number.unwrap().get();
        now.insert("generation", number);
        *now.entry("events").or_default() += 1;
        *now.entry("collections").or_default() += ended;
        let count = |state| goroutines.values().filter(|s| **s == state).count() as u64;
        now.insert("running", count(GoState::Running));
        now.insert("waiting", count(GoState::Waiting));
        now.insert("heap", *metrics.get(Metric::HEAP_OBJECTS).unwrap_or(&0));
    }
    all
}

#[test]
fn follow_shows_each_generation() {
    for name in [
        "annotate-go1.22",
        "gc-go1.25",
        "flight-go1.27",
        "profile-go1.27",
    ] {
        let trace = fixture(name).bytes();
        let run = run_with_input(["stat", "--follow", "--json", "-"], &trace);
        assert_eq!((run.status, &*run.stderr), (0, ""), "{name}");
        let shown = run.json();
        let expected = expected(&trace);
        assert_eq!(shown.len(), expected.len(), "{name}");
        for (shown, expected) in shown.iter().zip(expected) {
            let number = |of: &serde_json::Value| of.as_u64().unwrap_or(0);
            for (key, value) in expected {
                let found = match key {
                    "running" | "waiting" => &shown["goroutines"][key],
                    "collections" => &shown["gc"][key],
                    _ => &shown[key],
                };
                assert_eq!(number(found), value, "{name}: {key} in {shown}");
            }
            let rates = shown["rates"].as_object().unwrap().values();
            let rates: f64 = rates.map(|rate| rate.as_f64().unwrap()).sum();
            let events = rates * shown["seconds"].as_f64().unwrap();
            let marking = shown["gc"]["marking"].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&marking), "{name}: {shown}");
            // All but the sync event.
            assert!((events + 1.0 - number(&shown["events"]) as f64).abs() <= 1.0);
        }
        let lines = run_with_input(["stat", "--follow", "-"], &trace);
        assert_eq!(lines.text().lines().count(), shown.len());
    }
}

#[test]
fn follow_shows_a_file_that_grows_while_it_does() {
    let dir = clean("follow");
    let path = dir.join("growing.trace");
    let trace = fixture("annotate-go1.27").bytes();
    let second = end_of(&trace, 1);
    std::fs::write(&path, &trace[..second + 9]).unwrap();
    let mut child = start(&["stat", "--follow", "--idle", "1s", "growing.trace"], &dir);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for number in 1..=2 {
        let line = lines.next().unwrap().unwrap();
        assert!(
            line.starts_with(&format!("generation {number}: ")),
            "{line}"
        );
    }
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap();
    file.write_all(&trace[second + 9..]).unwrap();
    let line = lines.next().unwrap().unwrap();
    assert!(line.starts_with("generation 3: "), "{line}");
    assert!(lines.next().is_none());
    let run = end(child);
    assert_eq!((run.status, &*run.stderr), (0, ""));
}

/// While the input goes on: nobody sees the rest of it.
#[test]
fn follow_ends_when_nobody_reads_it_or_the_disk_is_full() {
    let trace = fixture("annotate-go1.27").bytes();
    let second = end_of(&trace, 1);
    for args in [
        &["stat", "--follow", "-"][..],
        &["stat", "--follow", "--json", "-"],
    ] {
        let mut child = start(args, Path::new("."));
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&trace[..second]).unwrap();
        let run = end(child);
        assert_eq!((run.status, &*run.stderr), (0, ""), "{args:?}");
        drop(stdin);

        let full = std::fs::File::options().write(true).open("/dev/full");
        let mut command = gotrace(args);
        command.stdin(Stdio::piped()).stdout(full.unwrap());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&trace[..second]).unwrap();
        let run = end(child);
        assert_eq!(run.status, 1, "{args:?}");
        let error = "error: standard output: No space left";
        assert!(run.stderr.starts_with(error), "{args:?}: {}", run.stderr);
        drop(stdin);
    }
}
