//! `gotrace repair` and `gotrace recover --repair`.

use crate::common::fixtures_dir;
use crate::common::go::Go;
use crate::common::tool::{Run, directory, gotrace, gzip, run, run_with_input, wait_for};
use gotrace::wire::Chunk;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures_dir().join(name)).unwrap()
}

fn arguments<'a>(words: &'a [&'a str], paths: &[&'a Path]) -> Vec<&'a Path> {
    let words = words.iter().map(Path::new);
    words.chain(paths.iter().copied()).collect()
}

#[track_caller]
fn sound(path: &Path) -> Run {
    let run = run(arguments(&["check"], &[path]));
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    run
}

/// A trace that was cut, in a directory.
fn cut(dir: &Path) -> PathBuf {
    let path = dir.join("cut.trace");
    std::fs::write(&path, &fixture("http-go1.27.trace")[..200_000]).unwrap();
    path
}

#[test]
fn a_cut_trace_becomes_a_sound_one() {
    let dir = directory("a_cut_trace_becomes_a_sound_one");
    let (damaged, out, again) = (cut(&dir), dir.join("out"), dir.join("again"));
    let repaired = run(arguments(&["repair"], &[&damaged, &out]));
    assert_eq!((repaired.status, repaired.text()), (0, ""));
    for says in [
        "the trace is cut short",
        "generation 1 is incomplete, its end is missing",
        "strings and ",
        " events kept, ",
    ] {
        assert!(
            repaired.stderr.contains(says),
            "{says}: {}",
            repaired.stderr
        );
    }
    sound(&out);
    // Again: the same bytes.
    let repaired = run(arguments(&["repair"], &[&out, &again]));
    assert_eq!(repaired.status, 0);
    assert!(
        repaired.stderr.ends_with("nothing is wrong with it\n"),
        "{}",
        repaired.stderr
    );
    assert!(std::fs::read(&again).unwrap() == std::fs::read(&out).unwrap());
    // From a pipe, to a pipe, compressed: the same.
    let bytes = std::fs::read(&damaged).unwrap();
    for input in [bytes.clone(), gzip(&bytes)] {
        let piped = run_with_input(["repair", "-", "-"], &input);
        assert_eq!(piped.status, 0);
        assert!(piped.stdout == std::fs::read(&out).unwrap());
    }
    // What compressed it was cut short, too.
    let half = gzip(&bytes);
    let piped = run_with_input(["repair", "-", "-"], &half[..half.len() / 2]);
    assert_eq!(piped.status, 0);
    assert!(
        piped.stderr.contains("the gzip data are cut short"),
        "{}",
        piped.stderr
    );
    let checked = run_with_input(["check", "-"], &piped.stdout);
    assert_eq!(checked.status, 0, "{}", checked.stderr);
}

#[test]
fn changes_are_listed_for_programs() {
    let dir = directory("changes_are_listed_for_programs");
    let (damaged, out) = (cut(&dir), dir.join("out"));
    let repaired = run(arguments(&["repair", "--json"], &[&damaged, &out]));
    assert_eq!((repaired.status, repaired.stderr.as_str()), (0, ""));
    let [report] = &repaired.json()[..] else {
        panic!("a line")
    };
    assert_eq!(report["version"], "1.26");
    assert_eq!(report["losses"]["gaps"], 1);
    let kept = report["written"]["events"].as_u64().unwrap();
    assert!(kept > 20_000, "{report}");
    let changes = report["changes"].as_array().unwrap();
    assert_eq!(changes[0]["change"], "gap");
    assert_eq!(changes[0]["to"], 200_000);
    assert!(
        changes
            .iter()
            .any(|change| change["change"] == "incomplete" && change["unended"] == true)
    );
    let made_up = changes
        .iter()
        .filter(|change| change["change"] == "made-up");
    assert!(made_up.clone().count() > 0);
    assert!(
        made_up
            .clone()
            .all(|change| change["event"].is_string() && change["error"].is_object())
    );
    let mixed = run(arguments(
        &["repair", "--json"],
        &[&damaged, Path::new("-")],
    ));
    assert_eq!(mixed.status, 2);
}

#[test]
fn a_sound_trace_is_copied() {
    let dir = directory("a_sound_trace_is_copied");
    for name in [
        "http-go1.22.trace",
        "flight-go1.27.trace",
        "alloc-go1.25.trace",
    ] {
        let (file, out) = (fixtures_dir().join(name), dir.join(name));
        let repaired = run(arguments(&["repair"], &[&file, &out]));
        assert_eq!(repaired.status, 0, "{}", repaired.stderr);
        assert!(std::fs::read(&out).unwrap() == fixture(name), "{name}");
    }
}

#[test]
fn the_input_stays_and_the_output_is_whole() {
    let dir = directory("the_input_stays_and_the_output_is_whole");
    let damaged = cut(&dir);
    let before = std::fs::read(&damaged).unwrap();
    let refused = run(arguments(
        &["repair"],
        &[
            &damaged,
            &dir.join("../the_input_stays_and_the_output_is_whole/cut.trace"),
        ],
    ));
    assert_eq!(refused.status, 1);
    assert!(
        refused
            .stderr
            .contains("cannot take the place of the damaged one"),
        "{}",
        refused.stderr
    );
    assert!(std::fs::read(&damaged).unwrap() == before);
    // What is no trace leaves no output, and what was there stays.
    let (text, out) = (dir.join("text"), dir.join("out"));
    std::fs::write(&text, "no trace at all, but text").unwrap();
    std::fs::write(&out, "before").unwrap();
    let refused = run(arguments(&["repair"], &[&text, &out]));
    assert_eq!(refused.status, 1);
    assert!(
        refused.stderr.contains("not a Go execution trace"),
        "{}",
        refused.stderr
    );
    assert_eq!(std::fs::read(&out).unwrap(), b"before");
}

#[test]
fn clocks_are_corrected_on_request() {
    let dir = directory("clocks_are_corrected_on_request");
    let (wrong, right) = (
        fixtures_dir().join("faults/f25-windows-1.22-clock.trace"),
        dir.join("right"),
    );
    let repaired = run(arguments(&["repair", "--fix-clock"], &[&wrong, &right]));
    assert_eq!(repaired.status, 0, "{}", repaired.stderr);
    let stat = |path: &Path| {
        run(arguments(&["stat", "--json"], &[path]))
            .json()
            .remove(0)
    };
    let (before, after) = (stat(&wrong), stat(&right));
    let times = after["duration_ns"].as_f64().unwrap() / before["duration_ns"].as_f64().unwrap();
    assert!((255.9..256.1).contains(&times), "{times}");
    assert!(after["clock_warning"].is_null());
    let sound = fixtures_dir().join("gc-go1.22.trace");
    let refused = run(arguments(&["repair", "--fix-clock"], &[&sound, &right]));
    assert_eq!(refused.status, 1);
    assert!(
        refused.stderr.contains("nothing is wrong with its clock"),
        "{}",
        refused.stderr
    );
}

/// A recorder that was killed in the middle of a generation leaves it in its arena.
#[test]
fn a_generation_in_progress_is_recovered_in_one_go() {
    use gotrace::recorder::{FlightRecorder, FlightRecorderConfig, arena_size_for};
    let dir = directory("a_generation_in_progress_is_recovered_in_one_go");
    let bytes = fixture("flight-go1.27.trace");
    let trace = gotrace::Trace::new(&bytes).unwrap();
    let config = FlightRecorderConfig::default();
    let mut recorder =
        FlightRecorder::new(vec![0; arena_size_for(config.max_bytes)], config).unwrap();
    recorder.write(trace.version().header()).unwrap();
    // All but the end of the last generation.
    let last = trace.generations().last().unwrap().unwrap();
    let mut batches = trace.batches();
    while let Some(chunk) = batches.next().unwrap() {
        let end = batches.offset().0;
        if end + 40_000 > last.end.0 {
            break;
        }
        let start = match chunk {
            Chunk::Batch(batch) => batch.offset.0,
            Chunk::EndOfGeneration(at) => at.0,
        };
        recorder
            .write(&bytes[start as usize..end as usize])
            .unwrap();
    }
    let (arena, whole, repaired) = (dir.join("arena"), dir.join("whole"), dir.join("repaired"));
    std::fs::write(&arena, recorder.arena()).unwrap();
    assert_eq!(run(arguments(&["recover"], &[&arena, &whole])).status, 0);
    let recovered = run(arguments(&["recover", "--repair"], &[&arena, &repaired]));
    assert_eq!(recovered.status, 0, "{}", recovered.stderr);
    assert!(
        recovered.stderr.contains("is incomplete: "),
        "{}",
        recovered.stderr
    );
    let count = |run: Run| {
        let text = run.text().to_owned();
        let words: Vec<&str> = text.split(" ok, ").nth(1).unwrap().split(' ').collect();
        (
            words[0].parse::<u64>().unwrap(),
            words[2].parse::<u64>().unwrap(),
        )
    };
    let (before, after) = (count(sound(&whole)), count(sound(&repaired)));
    assert!(
        after.0 > before.0 && after.1 == before.1 + 1,
        "{before:?} {after:?}"
    );
}

/// A region that is closed is told with the other one, and with where both are in the program.
#[test]
fn a_closed_region_is_told_with_both_regions_and_their_stacks() {
    let dir = directory("a_closed_region_is_told_with_both_regions_and_their_stacks");
    let (file, out) = (
        fixtures_dir().join("faults/f05-region-misuse-1.27.trace"),
        dir.join("out"),
    );
    let says = [
        r#"goroutine 1 ends region "a" of task 0 while region "b" of task 0 is its innermost"#,
        "exotic/main.go:107",
        "exotic/main.go:106",
        "exotic/main.go:108",
    ];
    let text = |run: Run| {
        for says in says {
            assert!(run.stderr.contains(says), "{says}: {}", run.stderr);
        }
    };
    text(run(arguments(&["check", "--lenient"], &[&file])));
    text(run(arguments(&["repair"], &[&file, &out])));
    let region = |value: &serde_json::Value| {
        assert_eq!(value["goroutine"], 1);
        assert_eq!(value["innermost"]["name"], "b");
        assert_eq!(value["innermost"]["began"][0]["line"], 107);
        assert_eq!(value["ending"]["name"], "a");
        assert_eq!(value["ending"]["began"][0]["line"], 106);
        assert_eq!(value["ends"][0]["line"], 108);
        assert_eq!(value["ends"][0]["func"], "main.main");
    };
    let checked = run(arguments(&["check", "--lenient", "--json"], &[&file])).json();
    region(&checked[0]["errors"][0]["region"]);
    let repaired = run(arguments(&["repair", "--json"], &[&file, &out])).json();
    assert_eq!(repaired[0]["changes"][0]["change"], "region-closed");
    region(&repaired[0]["changes"][0]);
    sound(&out);
}

#[test]
fn a_part_of_a_trace_is_a_trace() {
    let dir = directory("a_part_of_a_trace_is_a_trace");
    let (file, out) = (fixtures_dir().join("http-go1.27.trace"), dir.join("out"));
    let all =
        String::from_utf8(run(arguments(&["dump", "--stacks", "none"], &[&file])).ok()).unwrap();
    let times = ["--from", "10ms", "--to", "20ms"];
    let cut = run(arguments(
        &["cut", times[0], times[1], times[2], times[3]],
        &[&file, &out],
    ));
    assert_eq!((cut.status, cut.stderr.as_str()), (0, ""));
    sound(&out);
    let part =
        String::from_utf8(run(arguments(&["dump", "--stacks", "none"], &[&out])).ok()).unwrap();
    let shown: std::collections::HashSet<&str> = part.lines().collect();
    let wanted = run(arguments(
        &[
            "dump", "--stacks", "none", times[0], times[1], times[2], times[3],
        ],
        &[&file],
    ));
    let wanted = String::from_utf8(wanted.ok()).unwrap();
    assert!(wanted.lines().count() > 100);
    for line in wanted.lines().filter(|line| !line.contains(" TaskEnd ")) {
        assert!(shown.contains(line), "{line}");
    }
    assert!(part.len() < all.len());
    let nothing = run(arguments(&["cut"], &[&file, &out]));
    assert_eq!(nothing.status, 2);
}

#[test]
fn a_trace_becomes_one_of_another_version() {
    let dir = directory("a_trace_becomes_one_of_another_version");
    for (name, to, left_out) in [
        ("http-go1.27.trace", "1.22", false),
        ("coro-go1.27.trace", "1.23", false),
        ("alloc-go1.27.trace", "1.22", true),
        ("annotate-go1.21.trace", "1.26", false),
    ] {
        let (file, out) = (fixtures_dir().join(name), dir.join(name));
        let converted = run(arguments(&["convert", "--to", to], &[&file, &out]));
        assert_eq!(converted.status, 0, "{}", converted.stderr);
        assert_eq!(
            converted
                .stderr
                .contains("events left out that Go 1.22 has nothing for"),
            left_out
        );
        sound(&out);
        let bytes = std::fs::read(&out).unwrap();
        assert!(bytes.starts_with(format!("go {to} trace").as_bytes()));
    }
    let file = fixtures_dir().join("http-go1.27.trace");
    let old = run(arguments(
        &["convert", "--to", "1.21"],
        &[&file, &dir.join("old")],
    ));
    assert_eq!(old.status, 2);
    let same = run(arguments(&["convert", "--to", "1.22"], &[&file, &file]));
    assert_eq!(same.status, 1);
}

/// What is left of a recorder that was killed over this input, once it has all of that, or for a live one
/// after so many batches: the generation in progress repaired by itself, and with those before it in one go.
fn killed_recorder(
    dir: &Path,
    name: &str,
    feed: impl FnOnce(std::process::ChildStdin),
    until: impl Fn(gotrace::recorder::Status) -> bool,
) -> [Vec<u8>; 2] {
    let [arena, whole, last, repaired, one_go] = ["arena", "whole", "last", "repaired", "one"]
        .map(|what| dir.join(format!("{name}.{what}")));
    let mut recorder = gotrace(arguments(
        &[
            "record",
            "--max-bytes",
            "64MiB",
            "--min-age",
            "1h",
            "--arena",
        ],
        &[&arena, Path::new("-")],
    ))
    .stdin(Stdio::piped())
    .current_dir(dir)
    .spawn()
    .unwrap();
    feed(recorder.stdin.take().unwrap());
    wait_for(|| {
        let Ok(arena) = std::fs::read(&arena) else {
            return false;
        };
        gotrace::recorder::FlightRecorder::recover(&arena).is_ok_and(|r| until(r.status()))
    });
    recorder.kill().unwrap();
    recorder.wait().unwrap();

    // There need not be a generation that is complete: then there is no trace besides.
    run(arguments(
        &["recover", "--incomplete"],
        &[&last, &arena, &whole],
    ));
    let by_itself = run(arguments(&["repair"], &[&last, &repaired]));
    assert_eq!(by_itself.status, 0, "{name}: {}", by_itself.stderr);
    let recovered = run(arguments(&["recover", "--repair"], &[&arena, &one_go]));
    assert_eq!(recovered.status, 0, "{name}: {}", recovered.stderr);
    [repaired, one_go].map(|path| {
        sound(&path);
        std::fs::read(&path).unwrap()
    })
}

/// A recorder that is killed in the middle of a generation leaves traces that Go's reader accepts, wherever
/// that was.
#[test]
fn what_a_killed_recorder_leaves_is_repaired() {
    let Some(go) = Go::find() else { return };
    let mut serve = go.reference().serve();
    let mut judge = |name: &str, traces: [Vec<u8>; 2]| {
        traces.map(|bytes| {
            let verdict = serve.verdict(&bytes);
            assert_eq!(verdict.error, None, "{name}");
            verdict.events
        })
    };
    let dir = directory("what_a_killed_recorder_leaves_is_repaired");
    let mut kept = 0;
    for name in [
        "http-go1.22",
        "alloc-go1.23",
        "syscalls-go1.25",
        "flight-go1.27",
        "cgo-go1.27",
    ] {
        let bytes = fixture(&format!("{name}.trace"));
        let trace = gotrace::Trace::new(&bytes).unwrap();
        let batches: Vec<_> = trace
            .batches()
            .filter_map(|chunk| match chunk.unwrap() {
                Chunk::Batch(batch) => Some(batch),
                Chunk::EndOfGeneration(_) => None,
            })
            .collect();
        // Near the beginning, in the middle, and near the end: in a batch that others of its generation are
        // before.
        for at in [2, batches.len() / 2, batches.len() - 2] {
            let number = |at: usize| batches[at].head.generation;
            let at = (1..=at)
                .rev()
                .find(|at| number(at - 1) == number(*at))
                .unwrap();
            let expected = (0..at)
                .filter(|before| number(*before) == number(at))
                .count() as u64;
            let cut = (batches[at].offset.0 + batches[at].end().0) as usize / 2;
            let name = format!("{name}-{at}");
            let (pause, paused) = std::sync::mpsc::channel::<()>();
            let traces = killed_recorder(
                &dir,
                &name,
                |mut input| {
                    let bytes = bytes[..cut].to_vec();
                    // The input stays open: the program has not ended.
                    std::thread::spawn(move || {
                        input.write_all(&bytes).unwrap();
                        let _ = paused.recv();
                    });
                },
                |status| status.progress.is_some_and(|p| p.batches >= expected),
            );
            drop(pause);
            let [by_itself, one_go] = judge(&name, traces);
            // A sync event at either end, at least.
            assert!(
                one_go >= by_itself && by_itself >= 2,
                "{name}: {by_itself} {one_go}"
            );
            kept += by_itself;
        }
    }
    assert!(kept > 10_000, "{kept}");
}
