//! `gotrace record` and `gotrace tee` when things go wrong around them: signals, listeners, restarts,
//! arenas that are tampered with, disks and names.
#![cfg(unix)]

use crate::common;

use common::fixture;
use common::live::{Endless, ends, generations, is_part_of};
use common::tool::{
    Run, after, clean, fed, finish, free_address, gotrace_in, make_pipe, names, resident, signal,
    stuck_pipe, wait_for,
};
use gotrace::recorder::{FlightRecorder, FlightRecorderConfig, arena_size_for};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Three generations of a trace that says where each ends.
fn trace() -> Vec<u8> {
    fixture("annotate-go1.27").bytes()
}

fn start(dir: &Path, args: &[&str]) -> Child {
    gotrace_in(dir, args).spawn().expect("gotrace")
}

/// With a limit that a shell sets.
fn limited(dir: &Path, limit: &str, args: &[&str]) -> Run {
    let output = after(limit, args).current_dir(dir).output();
    Run::of(output.expect("a shell"))
}

fn read(path: PathBuf) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}

/// The number of complete generations in an arena.
fn kept(arena: &Path) -> u64 {
    let bytes = std::fs::read(arena).unwrap_or_default();
    FlightRecorder::recover(&bytes).map_or(0, |r| r.status().window.generations)
}

/// Whether a process that a test started has a handler for SIGUSR1.
#[cfg(target_os = "linux")]
fn catches_signals(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
    let status = status.unwrap_or_default();
    let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    caught.unwrap_or(0) & (1 << 9) != 0
}

/// From the first moment at which the process can be told anything.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_comes_early_is_no_reason_to_die() {
    let dir = clean("oncall-early");
    for n in 0..10 {
        let socket = format!("unix-listen:s{n}");
        let child = start(&dir, &["record", &socket]);
        wait_for(|| catches_signals(&child));
        signal(&child, "-USR1");
        signal(&child, "-TERM");
        let told = finish(child, 0);
        assert!(told.contains("no snapshot"), "{told}");
    }
    // Sockets and their locks are gone.
    assert!(names(&dir).is_empty(), "{:?}", names(&dir));
}

/// Before the process has begun, nothing of it can catch a signal; but it can be ignored by the shell.
/// What comes later is caught nevertheless.
#[test]
fn a_signal_that_comes_too_early_can_be_ignored() {
    let dir = clean("oncall-ignored");
    let script = "trap '' USR1
        for n in 1 2 3 4 5 6 7 8; do
            \"$@\" unix-listen:s$n 2>log$n & P=$!
            kill -USR1 $P
            until [ -e s$n ]; do kill -0 $P || exit 1; sleep 0.01; done
            kill -TERM $P; wait $P || exit 2
        done
        echo lived";
    let tool = env!("CARGO_BIN_EXE_gotrace");
    let mut command = std::process::Command::new("timeout");
    command.args(["60", "sh", "-c", script, "sh", tool, "record"]);
    let run = Run::of(command.current_dir(&dir).output().expect("a shell"));
    assert_eq!(run.text(), "lived\n", "{} {}", run.status, run.stderr);
}

#[test]
fn whatever_ends_it_gets_a_snapshot_first() {
    let trace = trace();
    let ends = ends(&trace);
    for name in ["-HUP", "-QUIT", "-INT", "-TERM"] {
        let dir = clean(&format!("oncall{name}"));
        let args = ["record", "--arena", "arena", "--out", "s", "-"];
        let (child, mut input) = fed(&dir, &args);
        input.write_all(&trace[..ends[1]]).unwrap();
        wait_for(|| kept(&dir.join("arena")) == 2);
        signal(&child, name);
        finish(child, 0);
        assert!(read(dir.join("s")) == trace[..ends[1]], "{name}");
    }
    // Where SIGHUP is ignored, as behind nohup, it stays so.
    let dir = clean("oncall-nohup");
    let script = format!(
        "trap '' HUP; {} record unix-listen:s & P=$!; until [ -e s ]; do sleep 0.01; done; \
         kill -HUP $P; sleep 0.2; kill -0 $P && kill -TERM $P && wait $P && echo lived",
        env!("CARGO_BIN_EXE_gotrace")
    );
    let run = Command::new("sh")
        .args(["-c", &script])
        .current_dir(&dir)
        .output();
    let run = run.unwrap();
    assert_eq!(String::from_utf8_lossy(&run.stdout), "lived\n");
}

#[test]
fn a_limit_on_files_is_an_error_and_leaves_nothing_half_done() {
    let dir = clean("oncall-limit");
    let path = fixture("http-go1.27").path;
    let input = path.to_str().unwrap();
    for args in [
        &["record", "--idle", "100ms", "--out", "s", input][..],
        &["tee", "--idle", "100ms", "--record", "s", input],
        &["tee", "--idle", "100ms", input, "--out", "s"],
    ] {
        let run = limited(&dir, "ulimit -f 64", args);
        assert_eq!(run.status, 1, "{}", run.stderr);
        assert!(run.stderr.contains("s: File too large"), "{}", run.stderr);
        assert!(names(&dir).is_empty(), "{:?}", names(&dir));
    }
}

/// What comes to an arena while it is recorded into.
#[test]
fn an_arena_that_is_tampered_with_is_left() {
    let trace = trace();
    let ends = ends(&trace);
    type Harm = (&'static str, fn(&Path), &'static str);
    let harms: [Harm; 5] = [
        (
            "truncated",
            |arena| drop(File::create(arena).unwrap()),
            "was cut short",
        ),
        (
            "shortened",
            |arena| {
                let file = File::options().write(true).open(arena).unwrap();
                file.set_len(52_000).unwrap();
            },
            "was cut short",
        ),
        (
            "removed",
            |arena| std::fs::remove_file(arena).unwrap(),
            "was removed",
        ),
        (
            "replaced",
            |arena| {
                std::fs::write(arena.with_extension("new"), "mine").unwrap();
                std::fs::rename(arena.with_extension("new"), arena).unwrap();
            },
            "another file",
        ),
        (
            "written",
            |arena| {
                let file = File::options().write(true).open(arena).unwrap();
                file.write_all_at(&[7; 900], 50_000).unwrap();
            },
            "has written to the arena",
        ),
    ];
    for (name, harm, said) in harms {
        let dir = clean(&format!("oncall-arena-{name}"));
        let arena = dir.join("arena");
        let args = [
            "record",
            "--arena",
            "arena",
            "--max-bytes",
            "1MiB",
            "--min-age",
            "1h",
            "--out",
            "s-{number}",
            "-",
        ];
        let (child, mut input) = fed(&dir, &args);
        // In the middle of the second generation.
        input.write_all(&trace[..ends[1] - 500]).unwrap();
        wait_for(|| kept(&arena) == 1);
        std::thread::sleep(Duration::from_millis(100));
        harm(&arena);
        if name != "written" {
            // It is noticed by itself.
            std::thread::sleep(Duration::from_millis(600));
        }
        // And if not, when it counts.
        signal(&child, "-USR1");
        std::thread::sleep(Duration::from_millis(300));
        input.write_all(&trace[ends[1] - 500..]).unwrap();
        drop(input);
        let told = finish(child, 0);
        assert_eq!(told.matches(said).count(), 1, "{name}: {told}");
        // Every snapshot is a trace, and the last has the last generation.
        let all = generations(&trace);
        let mut last = Vec::new();
        for n in 1..4 {
            let snapshot = read(dir.join(format!("s-{n}")));
            if !snapshot.is_empty() {
                assert!(is_part_of(&snapshot, &all) > 0, "{name}");
                last = snapshot;
            }
        }
        assert_eq!(generations(&last).last().unwrap().0, 3, "{name}: {told}");
        match name {
            // Nothing was lost: all of it is still mapped.
            "removed" | "replaced" => assert!(last == trace, "{name}: {told}"),
            _ => assert!(told.contains("lost"), "{name}: {told}"),
        }
        match name {
            "removed" | "truncated" | "shortened" => {
                assert!(told.contains("in a new one there"), "{told}");
                assert_eq!(kept(&arena), generations(&last).len() as u64, "{name}");
            }
            "replaced" => assert_eq!(read(arena), b"mine"),
            _ => assert!(told.contains("in memory only"), "{told}"),
        }
    }
}

/// Whoever looks whether an arena is recorded into holds nobody up.
#[test]
fn a_look_at_an_arena_does_not_stop_one_who_begins() {
    let dir = clean("oncall-look");
    let looked = File::create(dir.join("arena")).unwrap();
    looked.lock_shared().unwrap();
    let path = fixture("gc-go1.27").path;
    let args = [
        "record",
        "--arena",
        "arena",
        "--idle",
        "50ms",
        path.to_str().unwrap(),
    ];
    let child = start(&dir, &args);
    std::thread::sleep(Duration::from_millis(200));
    looked.unlock().unwrap();
    finish(child, 0);
}

/// Whose records say that all generations are the same one, in the same place.
#[test]
fn an_arena_that_was_made_up_is_not_written_out_a_thousand_times() {
    let dir = clean("oncall-crafted");
    let config = FlightRecorderConfig {
        min_age: Duration::from_secs(3600),
        max_bytes: 2 << 20,
    };
    let len = arena_size_for(config.max_bytes);
    let mut arena = vec![0; len];
    let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
    recorder.write(&fixture("http-go1.27").bytes()).unwrap();
    let complete = recorder.status().window.generations as u32;
    // It is stopped without a word.
    let (states, table, record) = ([16, 272], 528, 48);
    let get = |arena: &[u8], at: usize| u32::from_le_bytes(arena[at..at + 4].try_into().unwrap());
    let first = get(&arena, states[0] + 12).max(get(&arena, states[1] + 12)) as usize;
    let copy = arena[table + first * record..][..record].to_vec();
    let records = (len / 2048).min(1024);
    for n in 0..records {
        arena[table + n * record..][..record].copy_from_slice(&copy);
    }
    for at in states {
        assert!(get(&arena, at + 16) <= complete);
        arena[at + 12..at + 16].fill(0);
        arena[at + 16..at + 20].copy_from_slice(&(records as u32).to_le_bytes());
        let sum = twox_hash::XxHash32::oneshot(2, &arena[at..at + 252]);
        arena[at + 252..at + 256].copy_from_slice(&sum.to_le_bytes());
    }
    std::fs::write(dir.join("arena"), &arena).unwrap();
    let path = fixture("gc-go1.27").path;
    let args = [
        "record",
        "--arena",
        "arena",
        "--idle",
        "50ms",
        path.to_str().unwrap(),
    ];
    finish(start(&dir, &args), 0);
    let written = names(&dir).into_iter().filter(|name| name != "arena");
    let written: u64 = written.map(|n| dir.join(n).metadata().unwrap().len()).sum();
    let last = fixture("gc-go1.27").bytes().len() as u64;
    assert!(
        written <= len as u64 + last,
        "{written} bytes of an arena of {len}"
    );
}

#[test]
fn tee_touches_nothing_before_a_trace_comes() {
    let dir = clean("oncall-precious");
    std::fs::write(dir.join("old"), "precious").unwrap();
    let run = Run::of(
        gotrace_in(&dir, &["tee", "no-such-input", "--out", "old"])
            .output()
            .unwrap(),
    );
    assert_eq!(run.status, 1);
    // What is no trace does no harm, and is shown.
    let answer = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\r\n404 page not found\n";
    std::fs::write(dir.join("answer"), answer).unwrap();
    for args in [
        &["tee", "answer", "--out", "old", "new"][..],
        &["record", "answer"],
    ] {
        let run = Run::of(gotrace_in(&dir, args).output().unwrap());
        assert_eq!(run.status, 1);
        assert!(
            run.stderr.contains("\"HTTP/1.1 404 Not Found\""),
            "{}",
            run.stderr
        );
    }
    assert_eq!(read(dir.join("old")), b"precious");
    assert_eq!(names(&dir), ["answer", "old"]);
    // Nor do copies and snapshots take each other's place.
    std::os::unix::fs::symlink("old", dir.join("link")).unwrap();
    for args in [
        &["tee", "-", "--out", "a", "./a"][..],
        &["tee", "-", "--out", "old", "link"],
        &["tee", "-", "--out", "a", "--record", "a"],
        &["tee", "old", "--out", "b", "--record", "link"],
        &["record", "--arena", "old", "link"],
        &["record", "--arena", "a", "--out", "a", "-"],
        &["record", "--out", "link", "old"],
    ] {
        let run = Run::of(gotrace_in(&dir, args).output().unwrap());
        assert_eq!(run.status, 1, "{args:?}");
        let refused = run.stderr.contains("take the place") || run.stderr.contains("the same file");
        assert!(refused, "{args:?}: {}", run.stderr);
    }
    assert_eq!(read(dir.join("old")), b"precious");
    // Where nothing can be written is known at once.
    for args in [
        &["record", "--out", "nowhere/s", "unix-listen:s"][..],
        &["tee", "--record", "nowhere/s", "unix-listen:s"],
        &["tee", "unix-listen:s", "--out", "nowhere/s"],
    ] {
        let run = Run::of(gotrace_in(&dir, args).output().unwrap());
        assert_eq!(run.status, 1);
        assert!(
            run.stderr.contains("nowhere/s: No such file"),
            "{args:?}: {}",
            run.stderr
        );
    }
}

/// Nobody reads one of three outputs; the others, the recorder and the traced program do not notice.
#[test]
fn an_output_that_is_stuck_harms_nobody() {
    let dir = clean("oncall-stuck");
    let held = stuck_pipe(&dir.join("stuck"));
    let trace = Endless::new(&fixture("http-go1.27").bytes(), 40).bytes();
    let all = generations(&trace);
    for hurry in [false, true] {
        let record = format!("rec-{hurry}");
        let mut args = vec!["tee", "-", "--deadline", "500ms", "--record", &record];
        args.extend(["--out", "ok", "stuck"]);
        let (child, mut input) = fed(&dir, &args);
        // All of it is taken: more than any pipe or queue that waits holds.
        input.write_all(&trace).unwrap();
        wait_for(|| read(dir.join("ok")).len() >= trace.len() - 1_000_000);
        signal(&child, "-USR1");
        wait_for(|| dir.join(&record).exists());
        let begun = Instant::now();
        signal(&child, "-TERM");
        if hurry {
            signal(&child, "-TERM");
        }
        let told = finish(child, 1);
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert!(told.contains("error: stuck: not complete: "), "{told}");
        assert!(read(dir.join("ok")) == trace);
        // The one that was asked for, and the last.
        for name in [record.clone(), format!("{record}-2")] {
            let snapshot = read(dir.join(&name));
            assert!(is_part_of(&snapshot, &all) > 0, "{name}");
        }
        drop(input);
        std::fs::remove_file(dir.join("ok")).unwrap();
    }
    drop(held);
}

/// One of the outputs is waited for, and nobody reads it: no more is read of the input, but what was
/// read is in the other copies, and in a snapshot.
#[test]
fn an_output_that_is_waited_for_delays_only_what_was_not_read() {
    let dir = clean("oncall-waits");
    let mut held = stuck_pipe(&dir.join("stuck"));
    let trace = Endless::new(&fixture("http-go1.27").bytes(), 40).bytes();
    let all = generations(&trace);
    let mut args = vec!["tee", "-", "--when-full", "wait", "--min-age", "1h"];
    args.extend([
        "--deadline",
        "1h",
        "--record",
        "rec",
        "--out",
        "stuck",
        "ok",
    ]);
    let (child, mut input) = fed(&dir, &args);
    let taken = AtomicUsize::new(0);
    let snapshots = || {
        let names = (1..).map(|n| match n {
            1 => "rec".to_owned(),
            n => format!("rec-{n}"),
        });
        let paths = names.map(|name| dir.join(name));
        paths.take_while(|path| path.exists()).map(read)
    };
    // How far into the trace the newest snapshot goes.
    let reaches = || {
        let snapshot = snapshots().last()?;
        assert!(is_part_of(&snapshot, &all) > 1);
        let last = generations(&snapshot).last()?.0;
        let before = all.iter().take_while(|(number, _)| *number <= last);
        Some(16 + before.map(|(_, bytes)| bytes.len()).sum::<usize>())
    };
    let look = |held: &mut File| {
        let (before, since) = (AtomicUsize::new(0), Mutex::new(Instant::now()));
        wait_for(|| {
            std::thread::sleep(Duration::from_millis(50));
            let now = taken.load(Ordering::Relaxed);
            let mut since = since.lock().unwrap();
            if now == 0 || before.swap(now, Ordering::Relaxed) != now {
                *since = Instant::now();
            }
            since.elapsed() > Duration::from_secs(1)
        });
        let taken = taken.load(Ordering::Relaxed);
        assert!(taken < trace.len(), "{taken}");
        // All but what is in the input's pipe, and a generation that is not complete.
        let least = taken - (64 << 10) - all[0].1.len() - 4096;
        wait_for(|| {
            signal(&child, "-USR1");
            std::thread::sleep(Duration::from_millis(300));
            reaches().is_some_and(|end| end >= least)
        });
        wait_for(|| read(dir.join("ok")).len() + (512 << 10) >= least);
        // Somebody comes to read it.
        let mut copy = vec![0; trace.len()];
        held.read_exact(&mut copy).unwrap();
        assert!(copy == trace);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for piece in trace.chunks(4096) {
                input.write_all(piece).unwrap();
                taken.fetch_add(piece.len(), Ordering::Relaxed);
            }
            drop(input);
        });
        let looked = catch_unwind(AssertUnwindSafe(|| look(&mut held)));
        if let Err(panic) = looked {
            // Nobody else would end the thread that writes.
            signal(&child, "-KILL");
            resume_unwind(panic);
        }
    });
    finish(child, 0);
    assert!(read(dir.join("ok")) == trace);
}

/// One output says that it is waited for, and nobody reads it: after a while nobody waits, and when
/// somebody comes after all, it goes on as another trace.
#[test]
fn an_output_is_not_waited_for_without_end() {
    let dir = clean("oncall-passed-over");
    let mut held = stuck_pipe(&dir.join("stuck"));
    // More than the queue and the pipe hold.
    let trace = Endless::new(&fixture("http-go1.27").bytes(), 40).bytes();
    let all = generations(&trace);
    let mut args = vec![
        "tee",
        "-",
        "--deadline",
        "700ms",
        "--record",
        "rec",
        "--out",
    ];
    args.extend(["ok:drop=1GiB", "stuck:wait=1MiB", "all:wait"]);
    let (child, mut input) = fed(&dir, &args);
    let begun = Instant::now();
    // It is held up, and goes on.
    input.write_all(&trace).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(600));
    let last = all.last().unwrap().1.len();
    wait_for(|| read(dir.join("ok")).len() >= trace.len() - last);
    signal(&child, "-USR1");
    wait_for(|| dir.join("rec").exists());
    assert!(is_part_of(&read(dir.join("rec")), &all) > 0);
    // Somebody comes to read it.
    let copy = Arc::new(Mutex::new(Vec::new()));
    let copied = Arc::clone(&copy);
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while !copied.lock().unwrap().ends_with(b"over") {
            let read = held.read(&mut buffer).unwrap();
            copied.lock().unwrap().extend_from_slice(&buffer[..read]);
        }
    });
    let second = |copy: &[u8]| copy.windows(16).rposition(|bytes| bytes == &trace[..16]);
    let more = Endless::new(&fixture("http-go1.27").bytes(), 400).bytes();
    let mut whole = trace.clone();
    for (_, generation) in generations(&more).split_off(all.len()) {
        input.write_all(generation).unwrap();
        whole.extend_from_slice(generation);
        std::thread::sleep(Duration::from_millis(20));
        if second(&copy.lock().unwrap()) > Some(0) {
            break;
        }
    }
    drop(input);
    let told = finish(child, 1);
    assert!(
        told.contains("stuck: nothing could be written for 0.7 s: it is no longer waited for"),
        "{told}"
    );
    assert!(told.contains(" generations are left out so far"), "{told}");
    let mut end = File::options().write(true).open(dir.join("stuck")).unwrap();
    end.write_all(b"over").unwrap();
    reader.join().unwrap();
    let copy = copy.lock().unwrap();
    let copy = copy.strip_suffix(b"over").unwrap();
    assert!(read(dir.join("ok")) == whole && read(dir.join("all")) == whole);
    // Two traces, of which one ends before the gap, and one with the end.
    let all = generations(&whole);
    let (first, second) = copy.split_at(second(copy).unwrap());
    assert!(is_part_of(first, &all) > 0 && is_part_of(second, &all) > 0);
    assert!(whole.ends_with(&second[16..]));
    assert!(first.len() + second.len() < whole.len());
}

/// How much waits for a slow output is asked for.
#[test]
fn a_small_queue_is_full_soon() {
    let dir = clean("oncall-queue");
    let held = stuck_pipe(&dir.join("stuck"));
    let trace = Endless::new(&fixture("http-go1.27").bytes(), 20).bytes();
    for (queue, loses) in [("300KiB", true), ("100MiB", false)] {
        let mut args = vec!["tee", "-", "--deadline", "300ms", "--when-full", "drop"];
        args.extend(["--queue", queue, "--out", "stuck"]);
        let (child, mut input) = fed(&dir, &args);
        input.write_all(&trace).unwrap();
        drop(input);
        let told = finish(child, 1);
        let lost = told.contains("generations are left out so far");
        assert_eq!(lost, loses, "{queue}: {told}");
    }
    drop(held);
}

/// What is said to be complete is on the disk, and so is its name.
#[cfg(target_os = "linux")]
#[test]
fn what_is_complete_is_synced() {
    let dir = clean("oncall-synced").canonicalize().unwrap();
    std::fs::write(dir.join("in"), trace()).unwrap();
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-y",
        "-e",
        "trace=fsync,rename,renameat,renameat2",
        "-o",
        "calls",
    ]);
    command.arg(env!("CARGO_BIN_EXE_gotrace"));
    command.args([
        "tee", "--idle", "200ms", "in", "--out", "copy", "--record", "rec",
    ]);
    let Ok(output) = command.current_dir(&dir).output() else {
        return common::skipped::skip("no command `strace`");
    };
    let calls = String::from_utf8(read(dir.join("calls"))).unwrap();
    if !calls.contains("exited with 0") {
        let errors = String::from_utf8_lossy(&output.stderr);
        return common::skipped::skip(format_args!("strace does not work here: {errors}"));
    }
    // Of two threads, the one may be told of while the other's call lasts.
    let synced = |path: PathBuf| calls.contains(&format!("<{}>", path.display()));
    assert!(!calls.contains("= -1"), "{calls}");
    assert!(synced(dir.join("copy")), "{calls}");
    let of_directory = |line: &&str| line.contains("fsync(") && line.contains("oncall-synced>");
    assert!(calls.lines().filter(of_directory).count() >= 2, "{calls}");
    // The snapshot before it gets its name.
    let part = calls
        .lines()
        .position(|l| l.contains("fsync(") && l.contains(".gotrace-"));
    let renamed = calls
        .lines()
        .position(|l| l.contains("rename") && l.contains("rec"));
    assert!(part.is_some() && part < renamed, "{calls}");
}

#[test]
fn who_listens_is_not_disturbed() {
    let dir = clean("oncall-listen");
    let trace = trace();
    let first = start(&dir, &["record", "--out", "a", "unix-listen:s"]);
    wait_for(|| dir.join("s").exists());
    let run = Run::of(
        gotrace_in(&dir, &["record", "--out", "b", "unix-listen:s"])
            .output()
            .unwrap(),
    );
    assert_eq!(run.status, 1);
    assert!(
        run.stderr.contains("another gotrace listens"),
        "{}",
        run.stderr
    );
    // Nor by those who are no program.
    let silent = UnixStream::connect(dir.join("s")).unwrap();
    drop(UnixStream::connect(dir.join("s")).unwrap());
    UnixStream::connect(dir.join("s"))
        .unwrap()
        .write_all(b"PING\n")
        .unwrap();
    let mut program = UnixStream::connect(dir.join("s")).unwrap();
    program.write_all(&trace).unwrap();
    drop(program);
    wait_for(|| dir.join("a").exists());
    signal(&first, "-TERM");
    let told = finish(first, 0);
    assert!(
        told.contains("s: a connection is closed: it was closed without"),
        "{told}"
    );
    assert!(
        told.contains("does not begin as a trace does: \"PING\""),
        "{told}"
    );
    assert!(read(dir.join("a")) == trace);
    drop(silent);
    assert!(!dir.join("s").exists() && !dir.join("s.lock").exists());

    let address = free_address();
    let tcp = start(
        &dir,
        &[
            "record",
            "--once",
            "--out",
            "c",
            &format!("tcp-listen:{address}"),
        ],
    );
    wait_for(|| TcpStream::connect(&address).is_ok());
    let mut program = TcpStream::connect(&address).unwrap();
    program.write_all(&trace).unwrap();
    drop(program);
    // With --once it ends after the one.
    finish(tcp, 0);
    assert!(read(dir.join("c")) == trace);
}

/// A killed recorder's socket is in nobody's way.
#[test]
fn what_a_killed_listener_left_is_cleared_away() {
    let dir = clean("oncall-left");
    let mut child = start(&dir, &["record", "unix-listen:s"]);
    wait_for(|| dir.join("s").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(dir.join("s").exists());
    let child = start(&dir, &["record", "unix-listen:s"]);
    wait_for(|| UnixStream::connect(dir.join("s")).is_ok());
    signal(&child, "-TERM");
    finish(child, 0);
    assert!(names(&dir).is_empty(), "{:?}", names(&dir));
}

/// The traced program dies, is started again, and ends; its recorder stays.
#[test]
fn a_recorder_stays_when_the_program_is_started_again() {
    let dir = clean("oncall-restart");
    let first = trace();
    let second = fixture("gc-go1.22").bytes();
    let third = fixture("flight-go1.27").bytes();
    let ends = ends(&first);
    let child = start(
        &dir,
        &[
            "record",
            "--min-age",
            "1h",
            "--arena",
            "arena",
            "--out",
            "s-{number}",
            "unix-listen:s",
        ],
    );
    wait_for(|| dir.join("s").exists());
    let connect = || UnixStream::connect(dir.join("s")).unwrap();
    let mut program = connect();
    program.write_all(&first[..first.len() - 100]).unwrap();
    drop(program);
    // What it was doing is kept at once, also the generation in which it died.
    wait_for(|| dir.join("s-1.incomplete").exists());
    assert!(read(dir.join("s-1")) == first[..ends[1]]);
    let mut program = connect();
    // Its first generation is not complete yet: the window is still that of the one before.
    program.write_all(&second[..second.len() / 2]).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(kept(&dir.join("arena")), 2);
    program.write_all(&second[second.len() / 2..]).unwrap();
    drop(program);
    wait_for(|| dir.join("s-2").exists());
    assert!(read(dir.join("s-2")) == second);
    // One that ends before it has a generation leaves no snapshot.
    let mut program = connect();
    program.write_all(&first[..16]).unwrap();
    drop(program);
    let mut program = connect();
    program.write_all(&third).unwrap();
    drop(program);
    wait_for(|| dir.join("s-3").exists());
    assert!(read(dir.join("s-3")) == third);
    signal(&child, "-TERM");
    let told = finish(child, 0);
    assert_eq!(told.matches("waiting for the next").count(), 4, "{told}");
    // None of that is a loss.
    assert!(!told.contains("gap"), "{told}");
}

#[test]
fn a_copy_goes_on_in_another_file_when_the_program_is_started_again() {
    let dir = clean("oncall-copies");
    let (first, second) = (trace(), fixture("gc-go1.22").bytes());
    std::fs::write(dir.join("a-2.trace"), "mine").unwrap();
    let args = [
        "tee", "-", "--out", "a.trace", "-", "--record", "r", "--stat",
    ];
    let (child, mut input) = fed(&dir, &args);
    // One behind the other in a pipe; the second is cut off.
    let both = [&first[..], &second[..], &first[..first.len() - 9]].concat();
    input.write_all(&both).unwrap();
    drop(input);
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!(run.status, 1, "{}", run.stderr);
    assert!(read(dir.join("a.trace")) == first);
    assert_eq!(read(dir.join("a-2.trace")), b"mine");
    assert!(read(dir.join("a-3.trace")) == second);
    let last = ends(&first)[1];
    assert!(read(dir.join("a-4.trace")) == first[..last]);
    let expected = [&first[..], &second[..], &first[..last]].concat();
    assert!(run.stdout == expected);
    for (name, trace) in [("r", &first[..]), ("r-2", &second), ("r-3", &first[..last])] {
        assert!(read(dir.join(name)) == trace, "{name}: {}", run.stderr);
    }
    // Generations of each are shown.
    assert_eq!(
        run.stderr.matches("generation 1: ").count(),
        3,
        "{}",
        run.stderr
    );
}

#[test]
fn a_file_that_is_written_anew_is_another_trace() {
    let dir = clean("oncall-anew");
    let (first, second) = (trace(), fixture("flight-go1.27").bytes());
    std::fs::write(dir.join("in"), &first).unwrap();
    let args = [
        "record",
        "--min-age",
        "1h",
        "--idle",
        "1s",
        "--out",
        "s-{number}",
        "in",
    ];
    let child = start(&dir, &args);
    std::thread::sleep(Duration::from_millis(300));
    std::fs::write(dir.join("in"), &second).unwrap();
    finish(child, 0);
    assert!(read(dir.join("s-1")) == first);
    assert!(read(dir.join("s-2")) == second);

    // Another one takes its place, before the first is complete; which is then taken to its end.
    let name = |n| dir.join(format!("part-{n}"));
    std::fs::write(name(1), &first[..ends(&first)[1] + 100]).unwrap();
    std::fs::write(name(2), &second).unwrap();
    std::fs::write(name(3), &first).unwrap();
    std::fs::rename(name(1), dir.join("in")).unwrap();
    let args = [
        "record",
        "--min-age",
        "1h",
        "--idle",
        "1s",
        "--out",
        "r-{number}",
        "in",
    ];
    let child = start(&dir, &args);
    for n in [2, 3] {
        std::thread::sleep(Duration::from_millis(300));
        std::fs::rename(name(n), dir.join("in")).unwrap();
    }
    let told = finish(child, 0);
    assert_eq!(told.matches("waiting for the next").count(), 2, "{told}");
    assert!(read(dir.join("r-1")) == first[..ends(&first)[1]], "{told}");
    assert!(read(dir.join("r-2")) == second);
    assert!(read(dir.join("r-3")) == first);

    std::fs::write(dir.join("in"), &first).unwrap();
    let child = start(&dir, &["record", "--once", "--out", "t", "in"]);
    std::thread::sleep(Duration::from_millis(300));
    std::fs::write(dir.join("in"), &second[..2000]).unwrap();
    let told = finish(child, 1);
    assert!(told.contains("written anew"), "{told}");
    assert!(read(dir.join("t")) == first);
}

/// What is damaged is told of; its successor is recorded.
#[test]
fn a_damaged_file_is_replaced_by_a_sound_one() {
    let dir = clean("oncall-damaged");
    let (first, second) = (trace(), fixture("flight-go1.27").bytes());
    let end = ends(&first)[1];
    let damaged = [&first[..end], &[0xff; 50]].concat();
    std::fs::write(dir.join("in"), damaged).unwrap();
    std::fs::write(dir.join("next"), &second).unwrap();
    let args = ["record", "--min-age", "1h", "--out", "s-{number}", "in"];
    let child = start(&dir, &args);
    wait_for(|| dir.join("s-1").exists());
    assert!(read(dir.join("s-1")) == first[..end]);
    std::fs::rename(dir.join("next"), dir.join("in")).unwrap();
    // The new one's window is there when it is asked for.
    wait_for(|| {
        signal(&child, "-USR1");
        std::thread::sleep(Duration::from_millis(100));
        names(&dir)
            .iter()
            .any(|name| read(dir.join(name)) == second && name != "in")
    });
    signal(&child, "-TERM");
    let told = finish(child, 0);
    assert_eq!(told.matches("waiting for the next").count(), 1, "{told}");
    assert!(told.contains("in: the trace ended: "), "{told}");

    // With --once, or when nothing comes, the damage is the end.
    let damaged = [&first[..end], &[0xff; 50]].concat();
    std::fs::write(dir.join("in"), damaged).unwrap();
    for how in [&["--once"][..], &["--idle", "200ms"]] {
        let args = [&["record", "--min-age", "1h", "--out", "t"], how, &["in"]].concat();
        let told = finish(start(&dir, &args), 1);
        assert!(told.contains("error: in: "), "{told}");
        assert!(read(dir.join("t")) == first[..end]);
        std::fs::remove_file(dir.join("t")).unwrap();
    }
}

/// More than a thousand programs come and go, each with some generations, snapshots and a trigger that fires.
/// `GOTRACE_RESTARTS` sets another number.
#[test]
fn memory_does_not_grow_with_restarts() {
    let restarts = std::env::var("GOTRACE_RESTARTS").ok();
    let restarts = restarts.map_or(1500, |n| n.parse().expect("a number"));
    let dir = clean("oncall-memory");
    let traces = ["annotate-go1.27", "gc-go1.22", "http-go1.25"].map(|n| fixture(n).bytes());
    let broken = &traces[2][..traces[2].len() / 2];
    let args = [
        "record",
        "--max-bytes",
        "2MiB",
        "--on",
        "log: kind == \"Log\"",
        "--cooldown",
        "1ms",
        "--max-snapshots",
        "5",
        "--arena",
        "arena",
        "--out",
        "s-{number}",
        "unix-listen:s",
    ];
    // More than a pipe holds.
    let log = File::create(dir.join("log")).unwrap();
    let mut child = gotrace_in(&dir, &args).stderr(log).spawn().unwrap();
    wait_for(|| dir.join("s").exists());
    let (mut early, mut late, mut generations_sent) = (0, 0, 0);
    for n in 0..restarts {
        let trace = match n % 4 {
            3 => broken,
            kind => &traces[kind][..],
        };
        let mut program = UnixStream::connect(dir.join("s")).unwrap();
        // Threads that wait for each other read nothing.
        let patience = Some(Duration::from_secs(30));
        program.set_write_timeout(patience).unwrap();
        program.set_read_timeout(patience).unwrap();
        program.write_all(trace).unwrap();
        program.shutdown(std::net::Shutdown::Write).unwrap();
        // It is closed when all of it was read: so none has to wait.
        program.read_to_end(&mut Vec::new()).unwrap();
        if n % 4 != 3 {
            generations_sent += generations(trace).len();
        }
        let Some(now) = resident(&child) else {
            continue;
        };
        if n < restarts / 5 {
            early = early.max(now);
        }
        late = late.max(now);
    }
    signal(&child, "-TERM");
    assert!(child.wait().unwrap().success());
    let told = String::from_utf8(read(dir.join("log"))).unwrap();
    let ended = told.matches("waiting for the next").count();
    println!(
        "{ended} of {restarts} traces with {generations_sent} generations: {early} bytes of memory in the first \
         fifth, {late} at most"
    );
    assert!(ended + 2 >= restarts, "{ended} of {restarts}");
    // The arena, two windows on their way into files, and what allocators keep.
    assert!(late <= early + (8 << 20), "{early}, {late}");
}

/// What happens when the signal comes is in the snapshot.
#[test]
fn a_snapshot_has_the_moment_at_which_it_was_asked_for() {
    let dir = clean("oncall-moment");
    let trace = trace();
    let ends = ends(&trace);
    let args = [
        "record",
        "--min-age",
        "1h",
        "--arena",
        "arena",
        "--out",
        "s",
        "-",
    ];
    let (child, mut input) = fed(&dir, &args);
    input.write_all(&trace[..ends[0] + 3000]).unwrap();
    wait_for(|| kept(&dir.join("arena")) == 1);
    signal(&child, "-USR1");
    // Of a live program, the end of a generation comes some time later.
    std::thread::sleep(Duration::from_millis(300));
    assert!(!dir.join("s").exists());
    input
        .write_all(&trace[ends[0] + 3000..ends[1] + 100])
        .unwrap();
    wait_for(|| dir.join("s").exists());
    assert!(read(dir.join("s")) == trace[..ends[1]]);
    drop(input);
    finish(child, 1);
}

#[test]
fn snapshots_go_where_they_are_wanted() {
    let dir = clean("oncall-places");
    let trace = trace();
    std::fs::write(dir.join("in"), &trace).unwrap();
    let run = Run::of(
        gotrace_in(&dir, &["record", "--idle", "50ms", "--out", "-", "in"])
            .output()
            .unwrap(),
    );
    assert!(run.status == 0 && run.stdout == trace, "{}", run.stderr);
    assert!(
        run.stderr.starts_with("standard output: "),
        "{}",
        run.stderr
    );

    make_pipe(&dir.join("pipe"));
    let reader = {
        let path = dir.join("pipe");
        std::thread::spawn(move || read(path))
    };
    let args = ["record", "--idle", "50ms", "--out", "pipe", "in"];
    finish(start(&dir, &args), 0);
    assert!(reader.join().unwrap() == trace);
    // One that nobody reads is an error, after a while.
    let told = finish(start(&dir, &args), 1);
    assert!(told.contains("pipe: nobody reads"), "{told}");

    let full = ["record", "--idle", "50ms", "--out", "/dev/full", "in"];
    let told = finish(start(&dir, &full), 1);
    assert!(told.contains("/dev/full: No space"), "{told}");
    assert_eq!(names(&dir), ["in", "pipe"]);
}

#[test]
fn what_killed_processes_left_is_removed() {
    let dir = clean("oncall-parts");
    let make = |name: &str, age: u64| {
        let file = File::create(dir.join(name)).unwrap();
        let then = std::time::SystemTime::now() - Duration::from_secs(age);
        file.set_modified(then).unwrap();
        file
    };
    make(".gotrace-old.part", 100);
    make(".gotrace-new.part", 0);
    let used = make(".gotrace-used.part", 100);
    used.lock().unwrap();
    make("other.part", 100);
    let path = fixture("gc-go1.27").path;
    let args = [
        "record",
        "--idle",
        "50ms",
        "--out",
        "s",
        path.to_str().unwrap(),
    ];
    finish(start(&dir, &args), 0);
    assert_eq!(
        names(&dir),
        [".gotrace-new.part", ".gotrace-used.part", "other.part", "s"]
    );
}

/// What the tool advises where generations are lost is right: followed, none is.
#[test]
fn advice_is_right_when_it_is_followed() {
    let dir = clean("oncall-advice");
    let record = |args: &[&str], input: &str, status: i32| {
        let args = [
            &["record", "--idle", "50ms", "--out", "s-{number}"],
            args,
            &[input],
        ]
        .concat();
        let run = Run::of(gotrace_in(&dir, &args).output().unwrap());
        assert!(status < 0 || run.status == status, "{}", run.stderr);
        run.stderr
    };
    // Generations of 1 to 2 MB, for a window of 1 MB and less.
    let large = Endless::new(&fixture("http-go1.27").bytes(), 12)
        .joined(4)
        .bytes();
    std::fs::write(dir.join("large"), &large).unwrap();
    let largest = generations(&large)
        .iter()
        .map(|(_, b)| b.len())
        .max()
        .unwrap();
    for size in [largest / 4, largest / 2, largest - 10] {
        // It may be all.
        let told = record(
            &["--min-age", "1h", "--max-bytes", &size.to_string()],
            "large",
            -1,
        );
        if !told.contains("lost") {
            // Small enough gaps between what was kept: the arena has room for two.
            continue;
        }
        let (_, advice) = told.split_once("--max-bytes ").expect(&told);
        let (advised, _) = advice.split_once(' ').unwrap();
        let told = record(&["--min-age", "1h", "--max-bytes", advised], "large", 0);
        assert!(!told.contains("lost"), "{told}");
    }
    // A window that rolls on loses nothing, whatever its size.
    for size in [largest, largest * 5 / 4, largest * 2, largest * 3] {
        let told = record(
            &["--min-age", "1h", "--max-bytes", &size.to_string()],
            "large",
            0,
        );
        assert!(!told.contains("lost"), "{size}: {told}");
    }

    // 3,000 generations in no time.
    let many = Endless::new(&fixture("annotate-go1.25").bytes(), 3000).bytes();
    std::fs::write(dir.join("many"), &many).unwrap();
    let told = record(&["--min-age", "1h", "--max-bytes", "40MiB"], "many", 0);
    assert!(
        told.contains("lost (the table of generations is full)"),
        "{told}"
    );
    assert!(
        told.contains("1024 generations, ") && told.contains("traceadvanceperiod"),
        "{told}"
    );
    assert!(!told.contains("--max-bytes"), "{told}");

    // With everything lost there is no snapshot, which is no success; and it says how old one is that
    // is not new.
    let told = record(&["--max-bytes", "1KiB"], "large", 1);
    assert!(told.contains("no snapshot"), "{told}");
    let mut mixed = trace();
    let small = generations(&mixed).len() as u64;
    let more = Endless::new(&fixture("http-go1.27").bytes(), small + 5)
        .joined(2)
        .bytes();
    for (number, bytes) in generations(&more) {
        if number > small {
            mixed.extend_from_slice(bytes);
        }
    }
    std::fs::write(dir.join("mixed"), &mixed).unwrap();
    let told = record(&["--max-bytes", "20KiB"], "mixed", 0);
    assert!(told.contains("it ends 5 generations ago"), "{told}");
}

#[test]
fn limits_are_said_and_errors_name_what_failed() {
    let dir = clean("oncall-limits");
    std::fs::write(dir.join("in"), trace()).unwrap();
    let record = ["record", "--idle", "50ms", "--out", "s-{number}", "in"];
    let with = |more: &[&'static str]| [&record[..1], more, &record[1..]].concat();
    let run = limited(&dir, "ulimit -v 1000000", &with(&["--max-bytes", "2GiB"]));
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("--max-bytes is 21"), "{}", run.stderr);
    assert!(
        run.stderr.contains("error: memory for the arena: "),
        "{}",
        run.stderr
    );
    for descriptors in 4..12 {
        let run = limited(&dir, &format!("ulimit -n {descriptors}"), &record);
        assert!(!run.stderr.contains("standard output"), "{}", run.stderr);
    }
    let child = start(&dir, &["record", "unix-listen:s"]);
    wait_for(|| dir.join("s").exists());
    signal(&child, "-TERM");
    finish(child, 0);
    assert!(!dir.join("s").exists());
    // Holes are filled before they are recorded into.
    let holes = File::create(dir.join("holes")).unwrap();
    holes.set_len(3 << 20).unwrap();
    finish(
        start(&dir, &with(&["--max-bytes", "1MiB", "--arena", "holes"])),
        0,
    );
    assert!(holes.metadata().unwrap().blocks() * 512 >= 3 << 20);
}
