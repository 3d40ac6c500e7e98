//! `gotrace record` and `gotrace recover`, run as a person or a service manager would.
#![cfg(unix)]

use crate::common;

use common::live::{Endless, ends};
use common::tool::{clean, ended, fed, finish, gotrace_in, names, signal, wait_for};
use gotrace::recorder::{FlightRecorder, FlightRecorderConfig, arena_size_for};
use gotrace::wire::Chunk;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn directory(test: &str) -> PathBuf {
    clean(&format!("record-{test}"))
}

fn fixture(name: &str) -> Vec<u8> {
    common::fixture(name).bytes()
}

/// The arena of a recorder that was given a trace and stopped without a word.
fn recorded(trace: &[u8]) -> Vec<u8> {
    let config = FlightRecorderConfig {
        min_age: Duration::from_secs(3600),
        max_bytes: 1 << 20,
    };
    let mut arena = vec![0; arena_size_for(1 << 20)];
    FlightRecorder::new(&mut arena[..], config)
        .unwrap()
        .write(trace)
        .unwrap();
    arena
}

fn arena_status(path: &Path) -> Option<gotrace::recorder::Status> {
    let arena = std::fs::read(path).ok()?;
    Some(FlightRecorder::recover(&arena).ok()?.status())
}

#[test]
fn the_end_of_the_input_gives_a_snapshot() {
    let dir = directory("end");
    for (n, name) in ["annotate-go1.22", "flight-go1.27", "alloc-go1.25"]
        .iter()
        .enumerate()
    {
        let trace = fixture(name);
        let (child, mut input) = fed(&dir, &["record", "--min-age", "1h", "-"]);
        input.write_all(&trace).unwrap();
        drop(input);
        let errors = finish(child, 0);
        let out = format!("snapshot-{}.trace", n + 1);
        assert!(std::fs::read(dir.join(&out)).unwrap() == trace, "{name}");
        assert!(
            errors.starts_with(&format!("{out}: {} bytes", trace.len())),
            "{errors}"
        );
    }
    // Nothing else is left there.
    assert_eq!(names(&dir).len(), 3);
}

#[test]
fn a_trace_comes_over_sockets_and_from_files() {
    let dir = directory("inputs");
    let trace = fixture("annotate-go1.27");
    let snapshot = |child: Child, out: &str| {
        finish(child, 0);
        let written = std::fs::read(dir.join(out)).unwrap();
        assert!(written == trace, "{out}");
    };
    let record = |input: &str, out: &str| {
        let args = ["record", "--once", "--idle", "300ms", "--out", out, input];
        let mut command = gotrace_in(&dir, &args);
        command.spawn().unwrap()
    };

    let child = record("unix-listen:socket", "a.trace");
    wait_for(|| dir.join("socket").exists());
    let mut socket = UnixStream::connect(dir.join("socket")).unwrap();
    socket.write_all(&trace).unwrap();
    drop(socket);
    snapshot(child, "a.trace");
    assert!(!dir.join("socket").exists());

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let child = record(&format!("tcp:{address}"), "b.trace");
    let mut socket = listener.accept().unwrap().0;
    for piece in trace.chunks(1000) {
        socket.write_all(piece).unwrap();
    }
    drop(socket);
    snapshot(child, "b.trace");

    drop(listener);
    let child = record(&format!("tcp-listen:{address}"), "c.trace");
    let socket = std::cell::Cell::new(None);
    wait_for(|| {
        socket.set(TcpStream::connect(address).ok());
        let connected = socket.take();
        let is_connected = connected.is_some();
        socket.set(connected);
        is_connected
    });
    socket.take().unwrap().write_all(&trace).unwrap();
    snapshot(child, "c.trace");

    // A file that grows.
    let mut file = File::create(dir.join("growing")).unwrap();
    file.write_all(&trace[..500]).unwrap();
    let child = record("growing", "d.trace");
    for piece in trace[500..].chunks(3000) {
        std::thread::sleep(Duration::from_millis(5));
        file.write_all(piece).unwrap();
    }
    snapshot(child, "d.trace");
}

#[test]
fn signals_write_snapshots_and_end_it() {
    let dir = directory("signals");
    let trace = fixture("flight-go1.27");
    let ends = ends(&trace);
    let args = [
        "record",
        "--arena",
        "arena",
        "--out",
        "s-{number}.trace",
        "--min-age",
        "1h",
        "-",
    ];
    let (child, mut input) = fed(&dir, &args);
    let arena = dir.join("arena");
    let complete = |n: u64| {
        wait_for(|| arena_status(&arena).is_some_and(|s| s.window.generations == n));
    };
    input.write_all(&trace[..ends[0]]).unwrap();
    complete(1);
    signal(&child, "-USR1");
    let file = |n: u32| dir.join(format!("s-{n}.trace"));
    let written = |n: u32, end: usize| {
        wait_for(|| std::fs::read(file(n)).is_ok_and(|bytes| bytes == trace[..end]));
    };
    written(1, ends[0]);
    // In the middle of a generation: the same, and it goes on.
    input.write_all(&trace[ends[0]..ends[1] - 1]).unwrap();
    wait_for(|| arena_status(&arena).is_some_and(|s| s.progress.is_some()));
    signal(&child, "-USR1");
    written(2, ends[0]);
    input.write_all(&trace[ends[1] - 1..ends[1] + 100]).unwrap();
    complete(2);

    // The arena can be read meanwhile, and belongs to one recorder.
    let run = gotrace_in(&dir, &["recover", "arena", "meanwhile.trace"])
        .output()
        .unwrap();
    ended(run, 0);
    assert!(std::fs::read(dir.join("meanwhile.trace")).unwrap() == trace[..ends[1]]);
    let run = gotrace_in(&dir, &args).output().unwrap();
    let errors = ended(run, 1);
    assert!(errors.contains("another process records"), "{errors}");

    signal(&child, "-TERM");
    let errors = finish(child, 0);
    assert_eq!(errors.lines().count(), 3, "{errors}");
    written(3, ends[1]);
    drop(input);

    // The arena still has it, and nothing that would have to be saved.
    let run = gotrace_in(&dir, &["recover", "arena", "-"])
        .output()
        .unwrap();
    assert!(run.stdout == trace[..ends[1]]);
    ended(run, 0);
}

#[test]
fn a_killed_recorder_leaves_an_arena() {
    let dir = directory("killed");
    let trace = fixture("flight-go1.27");
    let ends = ends(&trace);
    let args = ["record", "--arena", "arena", "--min-age", "1h", "-"];
    let (mut child, mut input) = fed(&dir, &args);
    input.write_all(&trace[..ends[2] - 1]).unwrap();
    let arena = dir.join("arena");
    let begun = |s: gotrace::recorder::Status| {
        s.window.generations == 2 && s.progress.is_some_and(|p| p.batches >= 7)
    };
    wait_for(|| arena_status(&arena).is_some_and(begun));
    child.kill().unwrap();
    child.wait().unwrap();

    let run = gotrace_in(&dir, &["recover", "--incomplete", "last", "arena", "out"]);
    let errors = ended({ run }.output().unwrap(), 0);
    assert_eq!(errors, "");
    assert!(std::fs::read(dir.join("out")).unwrap() == trace[..ends[1]]);
    let last = std::fs::read(dir.join("last")).unwrap();
    assert!(last == [&trace[..16], &trace[ends[1]..ends[2] - 1]].concat());

    // The next recorder saves what it finds before it begins.
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    let (mut child, mut input) = fed(&dir, &args);
    input.write_all(&trace[..ends[0]]).unwrap();
    // This one is killed between two generations.
    let between = |s: gotrace::recorder::Status| s.window.generations == 1 && s.progress.is_none();
    wait_for(|| arena_status(&arena).is_some_and(between));
    child.kill().unwrap();
    let errors = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert!(errors.contains("what a killed recorder left"), "{errors}");
    assert!(read("snapshot-1.trace") == trace[..ends[1]]);
    assert!(read("snapshot-1.trace.incomplete") == last);

    let whole = |name| {
        let (child, mut input) = fed(&dir, &args);
        input.write_all(&fixture(name)).unwrap();
        drop(input);
        finish(child, 0)
    };
    let errors = whole("gc-go1.27");
    assert!(errors.contains("what a killed recorder left"), "{errors}");
    assert!(read("snapshot-2.trace") == trace[..ends[0]]);
    assert!(read("snapshot-3.trace") == fixture("gc-go1.27"));
    // That one ended in good order: nothing is left to be saved.
    let errors = whole("gc-go1.22");
    assert!(!errors.contains("left"), "{errors}");
    assert!(read("snapshot-4.trace") == fixture("gc-go1.22"));
    // The directory has nothing else: four snapshots, an incomplete one, "arena", "out", "last".
    assert_eq!(names(&dir).len(), 8);
}

#[test]
fn a_file_that_is_no_arena_stays_as_it_is() {
    let dir = directory("foreign");
    let trace = fixture("gc-go1.27");
    std::fs::write(dir.join("a.trace"), &trace).unwrap();
    std::fs::write(dir.join("in"), &trace).unwrap();
    let record = |arena: &str| {
        let args = ["record", "--idle", "10ms", "--arena", arena, "in"];
        gotrace_in(&dir, &args).output().unwrap()
    };
    let errors = ended(record("a.trace"), 1);
    assert!(errors.contains("not a flight recorder's arena"), "{errors}");
    assert!(std::fs::read(dir.join("a.trace")).unwrap() == trace);
    // An arena of another layout is somebody's window too.
    let mut other = vec![0; 5000];
    other[..9].copy_from_slice(b"gotraceR\x09");
    std::fs::write(dir.join("other"), &other).unwrap();
    let errors = ended(record("other"), 1);
    assert!(errors.contains("layout 9"), "{errors}");
    assert!(std::fs::read(dir.join("other")).unwrap() == other);
    // Nor does a file take room for its holes.
    let holes = File::create(dir.join("holes")).unwrap();
    holes.write_all_at(&other, 0).unwrap();
    holes.set_len(64 << 20).unwrap();
    ended(record("holes"), 1);
    assert!(holes.metadata().unwrap().blocks() * 512 < 1 << 20);
    // Zeros are nobody's.
    std::fs::write(dir.join("zeros"), [0; 5000]).unwrap();
    ended(record("zeros"), 0);
    let run = gotrace_in(&dir, &["recover", "zeros", "-"])
        .output()
        .unwrap();
    assert!(run.stdout == trace);
    ended(run, 0);

    // A trace does not take the place of its arena, under any name.
    let arena = std::fs::read(dir.join("zeros")).unwrap();
    std::os::unix::fs::symlink("zeros", dir.join("link")).unwrap();
    for args in [
        &["recover", "zeros", "zeros"][..],
        &["recover", "zeros", "link"],
        &["recover", "--incomplete", "zeros", "zeros", "out"],
    ] {
        let errors = ended(gotrace_in(&dir, args).output().unwrap(), 1);
        assert!(errors.contains("zeros: the trace cannot"), "{errors}");
        assert!(std::fs::read(dir.join("zeros")).unwrap() == arena);
    }
}

#[test]
fn what_is_lost_is_told_and_how_to_lose_none() {
    let dir = directory("lost");
    let trace = fixture("flight-go1.27");
    std::fs::write(dir.join("a.trace"), &trace).unwrap();
    let record = |size: &str, status| {
        let args = ["record", "--max-bytes", size, "--idle", "10ms", "a.trace"];
        ended(gotrace_in(&dir, &args).output().unwrap(), status)
    };
    // Nothing but that, which is no success.
    let errors = record("1KiB", 1);
    assert!(
        errors.contains("no generation is complete yet, 3 lost (larger than the arena): no snap"),
        "{errors}"
    );
    let (_, advice) = errors.split_once("--max-bytes ").expect(&errors);
    let (size, _) = advice.split_once(' ').unwrap();
    let errors = record(size, 0);
    assert!(!errors.contains("lost"), "{errors}");
    assert!(std::fs::read(dir.join("snapshot-1.trace")).unwrap() == trace);
}

/// At a hundred megabytes a second, which few programs reach.
#[test]
fn an_arena_is_recovered_while_its_recorder_runs() {
    let dir = directory("running");
    let stop = Arc::new(AtomicBool::new(false));
    let mut live = Endless::new(&fixture("flight-go1.27"), u64::MAX).until(Arc::clone(&stop));
    let args = ["record", "--max-bytes=2MiB", "--arena", "arena", "-"];
    let (child, mut input) = fed(&dir, &args);
    let feed = std::thread::spawn(move || io::copy(&mut live, &mut input).unwrap());
    let arena = dir.join("arena");
    let lost = |s: gotrace::recorder::Status| s.recorded.generations > s.window.generations;
    wait_for(|| arena_status(&arena).is_some_and(lost));
    let mut newest = 0;
    for _ in 0..20 {
        let run = gotrace_in(&dir, &["recover", "arena", "-"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&run.stderr), "");
        let window = common::live::generations(&run.stdout);
        assert!(run.status.success() && window.len() > 10);
        // It may have been held up meanwhile.
        assert!(window.last().unwrap().0 >= newest);
        newest = window.last().unwrap().0;
    }
    stop.store(true, Ordering::Relaxed);
    feed.join().unwrap();
    finish(child, 0);
}

#[test]
fn a_terminal_shows_how_it_is_going() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let dir = directory("terminal");
    let trace = fixture("flight-go1.27");
    std::fs::write(dir.join("a.trace"), &trace).unwrap();
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let theirs = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let theirs = File::options().read(true).write(true).open(theirs).unwrap();
    let args = ["record", "--idle", "1200ms", "a.trace"];
    let mut command = gotrace_in(&dir, &args);
    let mut child = command.env("TERM", "xterm").stderr(theirs).spawn().unwrap();
    // Or it would keep the terminal open.
    drop(command);
    let shown = std::thread::spawn(move || {
        let mut shown = Vec::new();
        // Once nobody else has the terminal, reading it is an error.
        File::from(ours).read_to_end(&mut shown).ok();
        String::from_utf8(shown).unwrap()
    });
    assert!(child.wait().unwrap().success());
    let shown = shown.join().unwrap();
    for part in [
        " MB/s, window 3 generations, ",
        " MiB, 3.0 s, largest generation ",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    assert!(shown.contains("snapshot-1.trace: "), "{shown}");
}

#[test]
fn what_does_not_check_out_is_named() {
    let dir = directory("damaged");
    let trace = fixture("flight-go1.27");
    let arena = recorded(&trace);
    std::fs::write(dir.join("arena"), &arena).unwrap();
    let file = File::options().write(true).open(dir.join("arena")).unwrap();
    // In the ring, within generation 4.
    let ends = ends(&trace);
    let at = arena.len() - FlightRecorder::recover(&arena).unwrap().status().capacity as usize;
    file.write_all_at(b"x", (at + ends[0] + 5000) as u64)
        .unwrap();
    let run = gotrace_in(&dir, &["recover", "arena", "out"])
        .output()
        .unwrap();
    let errors = ended(run, 1);
    assert!(
        errors.contains("arena: generation 4 is damaged"),
        "{errors}"
    );
    assert!(errors.contains("older generations"), "{errors}");
    let expected = [&trace[..16], &trace[ends[1]..]].concat();
    assert!(std::fs::read(dir.join("out")).unwrap() == expected);

    std::fs::write(dir.join("other"), &trace).unwrap();
    let run = gotrace_in(&dir, &["recover", "other", "out"])
        .output()
        .unwrap();
    let errors = ended(run, 1);
    assert!(
        errors.contains("other: not a flight recorder's arena"),
        "{errors}"
    );
    assert!(std::fs::read(dir.join("out")).unwrap() == expected);
}

#[test]
fn a_broken_trace_is_an_error_and_its_whole_generations_are_kept() {
    let dir = directory("broken");
    // The numbers of a snapshot and of what comes after it are the same, whatever stands there.
    std::fs::write(dir.join("snapshot-1.trace"), "other").unwrap();
    let trace = fixture("annotate-go1.23");
    let ends = ends(&trace);
    let (child, mut input) = fed(&dir, &["record", "-"]);
    // The end of a whole batch of the third generation, and a few bytes.
    let first = gotrace::Trace::new(&trace).unwrap();
    let mut batches = first.batches_from(gotrace::ids::Offset(ends[1] as u64));
    let Ok(Some(Chunk::Batch(batch))) = batches.next() else {
        panic!("no batch")
    };
    let end = batch.end().0 as usize;
    input.write_all(&trace[..end + 5]).unwrap();
    drop(input);
    let errors = finish(child, 1);
    assert!(
        errors.contains("standard input: the trace is cut short"),
        "{errors}"
    );
    let mut written = Vec::new();
    File::open(dir.join("snapshot-2.trace"))
        .unwrap()
        .read_to_end(&mut written)
        .unwrap();
    assert!(written == trace[..ends[1]]);
    // The program that was traced may have died there: what there is of the generation is kept too.
    let incomplete = std::fs::read(dir.join("snapshot-2.trace.incomplete")).unwrap();
    assert!(incomplete == [&trace[..16], &trace[ends[1]..end]].concat());
    assert_eq!(names(&dir).len(), 3);
}

#[test]
fn what_cannot_be_written_is_told_beside_what_cannot_be_read() {
    let dir = directory("both");
    let trace = fixture("annotate-go1.27");
    let end = ends(&trace)[0];
    for args in [
        &["record", "--arena", "begun", "--out", "nowhere/r", "-"][..],
        &["tee", "--record", "nowhere/r", "--out", "begun", "--", "-"],
    ] {
        std::fs::remove_file(dir.join("begun")).ok();
        // It goes away after the start.
        std::fs::create_dir(dir.join("nowhere")).unwrap();
        let mut child = gotrace_in(&dir, args)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&trace[..end + 50]).unwrap();
        wait_for(|| dir.join("begun").exists());
        std::fs::remove_dir(dir.join("nowhere")).unwrap();
        drop(input);
        let errors = finish(child, 1);
        assert!(
            errors.contains("error: nowhere/r: No such file"),
            "{errors}"
        );
        assert!(
            errors.contains("error: standard input: the trace is cut"),
            "{errors}"
        );
    }
}

#[test]
fn a_gap_costs_what_is_before_it_and_recording_goes_on() {
    let dir = directory("gap");
    let trace = fixture("annotate-go1.27");
    let more = Endless::new(&trace, 8).bytes();
    for (name, trace, given, expected, lost) in [
        // Since Go 1.26 a generation says where it ends, and the next may have any number. But what came
        // before the missing one cannot be in one trace with what comes after it.
        ("annotate", trace, &[1, 3][..], &[3][..], 1),
        ("more", more, &[1, 3, 4, 6, 7, 8], &[6, 7, 8], 3),
    ] {
        let all = common::live::generations(&trace);
        let of = |numbers: &[u64]| {
            let chosen = numbers
                .iter()
                .map(|n| all.iter().find(|g| g.0 == *n).unwrap());
            chosen.fold(trace[..16].to_vec(), |mut sum, (_, bytes)| {
                sum.extend_from_slice(bytes);
                sum
            })
        };
        for command in ["record", "tee"] {
            let out = format!("{command}-{name}");
            let args: &[&str] = match command {
                "record" => &["record", "--min-age", "1h", "--out", &out, "-"],
                _ => &["tee", "--min-age", "1h", "--record", &out, "-"],
            };
            let mut child = gotrace_in(&dir, args)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(&of(given)).unwrap();
            let running = std::cell::RefCell::new(&mut child);
            wait_for(|| running.borrow_mut().try_wait().unwrap().is_some());
            let errors = finish(child, 0);
            assert!(
                errors.contains(&format!(", {lost} lost (before a gap)")),
                "{errors}"
            );
            assert!(
                std::fs::read(dir.join(&out)).unwrap() == of(expected),
                "{out}: {errors}"
            );
        }
    }
}

#[test]
fn all_that_a_killed_recorder_left_is_saved() {
    let dir = directory("runs");
    let trace = fixture("flight-go1.27");
    let ends = ends(&trace);
    let mut arena = recorded(&trace);
    // In the ring, within generation 4 of 3 to 5.
    let at = arena.len() - FlightRecorder::recover(&arena).unwrap().status().capacity as usize;
    arena[at + ends[0] + 5000] ^= 1;
    std::fs::write(dir.join("arena"), &arena).unwrap();
    std::fs::write(dir.join("a.trace"), fixture("gc-go1.27")).unwrap();
    let args = "record --max-bytes 1MiB --idle 10ms --arena arena a.trace";
    let args: Vec<_> = args.split(' ').collect();
    let errors = ended(gotrace_in(&dir, &args).output().unwrap(), 0);
    assert!(
        errors.contains("arena: generation 4 is damaged"),
        "{errors}"
    );
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    assert!(read("snapshot-1.trace") == trace[..ends[0]]);
    assert!(read("snapshot-2.trace") == [&trace[..16], &trace[ends[1]..]].concat());
    assert!(read("snapshot-3.trace") == fixture("gc-go1.27"));
}
