//! The command-line tool, run as a person or a script would.

use crate::common;

use common::tool::{
    Run, clean, directory, dump, file, gotrace, gzip, on_a_terminal, run, run_with_input, zstd,
};
use common::{Fixture, expected, fixture, fixtures, sha256};
use serde_json::Value;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A trace that is whole for its first generation and damaged after it: an event type that is none,
/// in the last batch of events.
fn damaged(fixture: &Fixture) -> (Vec<u8>, usize) {
    use gotrace::wire::{Chunk, Contents};
    let mut bytes = fixture.bytes();
    let mut at = 0;
    for chunk in gotrace::Trace::new(&bytes).unwrap().batches() {
        if let Chunk::Batch(batch) = chunk.unwrap()
            && batch.contents() == Contents::Events
        {
            at = batch.data_offset().0 as usize;
        }
    }
    bytes[at] = 200;
    (bytes, at)
}

#[test]
fn every_fixture_is_dumped_as_go_dumps_it() {
    for (fixture, row) in fixtures().iter().zip(expected()) {
        if let Some(wire) = row.wire {
            assert_eq!(sha256(&dump(&fixture.path)), wire.sha256, "{}", row.name);
        }
    }
}

#[test]
fn a_dump_with_its_header_is_assembled_again() {
    let original = fixture("alloc-go1.25");
    let dir = directory("assemble");
    let (text, trace) = (dir.join("text"), dir.join("trace"));
    let args = ["dump", "--wire", "--header"].map(Into::into);
    let printed = run(args.iter().chain([&original.path])).ok();
    assert!(printed.starts_with(b"Trace Go1.25\n"));
    std::fs::write(&text, &printed).unwrap();
    run([Path::new("assemble"), &text, &trace]).ok();
    assert_eq!(dump(&trace), dump(&original.path));

    // Without a header line, by option; from standard input to standard output.
    let bare = dump(&original.path);
    let args = ["assemble", "--go-version", "1.25", "-", "-"];
    let assembled = run_with_input(args, &bare).ok();
    assert_eq!(assembled, std::fs::read(&trace).unwrap());
    let refused = run_with_input(["assemble", "-", "-"], &bare);
    assert_eq!(refused.status, 1);
    assert!(
        refused
            .stderr
            .starts_with("error: standard input: no version"),
        "{}",
        refused.stderr
    );
}

/// What is written over a file takes its place, with its mode; nothing else is touched.
#[cfg(unix)]
#[test]
fn a_file_is_replaced_as_a_whole_and_keeps_its_mode() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let dir = common::tool::clean("replaced");
    let text = dir.join("text");
    std::fs::write(&text, dump(&fixture("coro-go1.27").path)).unwrap();
    let (out, link, stranger) = (dir.join("out"), dir.join("link"), dir.join("out.part"));
    std::fs::write(&stranger, "precious").unwrap();
    std::fs::write(&out, "secret").unwrap();
    std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("out", &link).unwrap();
    let assemble = |text: &Path, out: &Path| {
        let args = ["assemble", "--go-version", "1.26"].map(Path::new);
        run(args.into_iter().chain([text, out]))
    };
    assemble(&text, &out).ok();
    let trace = std::fs::read(&out).unwrap();
    assert!(trace.starts_with(b"go 1.26 trace"));
    assert_eq!(std::fs::metadata(&out).unwrap().mode() & 0o777, 0o600);
    // A link stays one.
    std::fs::write(&out, "").unwrap();
    assemble(&text, &link).ok();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(std::fs::read(&out).unwrap() == trace);
    // An error leaves what was there.
    std::fs::write(&text, "nonsense").unwrap();
    assert_eq!(assemble(&text, &out).status, 1);
    assert!(std::fs::read(&out).unwrap() == trace);
    assert_eq!(std::fs::read(&stranger).unwrap(), b"precious");
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 4);
}

#[test]
fn errors_in_a_text_name_its_line() {
    for (text, error) in [
        (
            &b"Trace Go1.26\nStrings\n"[..],
            "line 2: the record stands in no batch",
        ),
        (
            b"Trace Go1.26\n\nString id=\xff",
            "line 3: the text is not UTF-8",
        ),
    ] {
        let path = file("text_errors", "text", text);
        let out = directory("text_errors").join("out");
        let run = run([Path::new("assemble"), &path, &out]);
        let expected = format!("error: {}: {error}\n", path.display());
        assert_eq!((run.status, run.stderr), (1, expected));
        assert!(!out.exists());
    }
}

#[test]
fn bad_usage_ends_with_status_2() {
    let trace = fixture("gc-go1.27").path;
    let trace = trace.to_str().unwrap();
    for args in [
        &[][..],
        &["fly"],
        &["dump", "--wire"],
        &["dump", "--header", trace],
        &["stat"],
        &["stat", "--fast", trace],
        &["assemble", "--go-version", "1.24", "-", "-"],
        &["completions", "tcsh"],
        &["man", "fly"],
    ] {
        let run = run(args);
        assert_eq!(run.status, 2, "{args:?}");
        assert!(run.stdout.is_empty(), "{args:?}");
        assert!(run.stderr.contains("--help"), "{args:?}");
    }
}

#[test]
fn help_has_examples() {
    for command in ["dump", "stat", "assemble", "completions", "man"] {
        let help = run([command, "--help"]);
        assert_eq!(help.status, 0, "{command}");
        assert!(
            help.text()
                .contains(&format!("Examples:\n  gotrace {command}")),
            "{command}"
        );
    }
}

#[test]
fn a_damaged_trace_is_dumped_up_to_the_damage() {
    let whole = fixture("annotate-go1.27");
    let (bytes, at) = damaged(&whole);
    let path = file("damaged", "trace", &bytes);
    let run = run(["dump".as_ref(), "--wire".as_ref(), path.as_os_str()]);
    assert_eq!(run.status, 1);
    let expected = format!(
        "error: {}: invalid event type 200, at byte {at}\n",
        path.display()
    );
    assert_eq!(run.stderr, expected);
    let all = dump(&whole.path);
    assert!(all.starts_with(&run.stdout) && run.stdout.ends_with(b"\n"));
    assert!(run.stdout.len() > all.len() / 4 && run.stdout.len() < all.len());
}

#[test]
fn what_is_no_trace_is_refused() {
    let text = file("no_trace", "text", b"\x1b[31mhello, world");
    let missing = directory("no_trace").join("missing");
    let empty = file("no_trace", "empty", b"");
    for (path, error) in [
        (
            &text,
            "not a Go execution trace: it begins with \"\\x1b[31mhel\", at byte 0",
        ),
        (&missing, "No such file or directory (os error 2)"),
        (
            &empty,
            "the trace is cut short: at least 16 more bytes were expected, at byte 0",
        ),
    ] {
        for args in [&["dump", "--wire"][..], &["stat"]] {
            let args = args.iter().map(Path::new);
            let run = run(args.chain([path.as_path()]));
            let expected = format!("error: {}: {error}\n", path.display());
            assert_eq!((run.status, run.stderr), (1, expected));
            assert!(run.stdout.is_empty());
        }
    }
}

#[test]
fn file_names_cannot_control_the_terminal() {
    let path = file("names", "\x1b]0;title\x07.trace", b"x");
    let run = run([Path::new("stat"), &path]);
    assert_eq!(run.status, 1);
    assert!(
        run.stderr.contains("\\u{1b}]0;title\\u{7}.trace: not a Go"),
        "{:?}",
        run.stderr
    );
}

#[test]
fn standard_input_is_read() {
    let whole = fixture("cgo-go1.25");
    let dumped = run_with_input(["dump", "--wire", "-"], &whole.bytes()).ok();
    assert_eq!(dumped, dump(&whole.path));
    let stat = run_with_input(["stat", "-"], &gzip(&whole.bytes())).ok();
    assert!(stat.starts_with(b"standard input\n  version      Go 1.25\n"));
}

#[test]
fn compressed_files_are_read_as_what_they_hold() {
    let whole = fixture("coro-go1.27");
    let bytes = whole.bytes();
    let expected = dump(&whole.path);
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    let skipped = [&[0x55, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    for (name, compressed) in [
        ("one.gz", gzip(&bytes)),
        ("two.gz", [gzip(head), gzip(tail)].concat()),
        ("one.zst", zstd(&bytes)),
        ("two.zst", [zstd(head), skipped, zstd(tail)].concat()),
    ] {
        let path = file("compressed", name, &compressed);
        assert!(dump(&path) == expected, "{name}");
    }
}

#[test]
fn a_compressed_file_that_is_cut_gives_what_it_holds() {
    let whole = fixture("http-go1.27");
    let bytes = whole.bytes();
    for (name, compressed) in [("cut.gz", gzip(&bytes)), ("cut.zst", zstd(&bytes))] {
        let path = file("cut", name, &compressed[..compressed.len() * 9 / 10]);
        let run = run([Path::new("stat"), &path]);
        assert_eq!(run.status, 1, "{name}");
        let error = run.stderr.strip_suffix(" of the compressed data\n");
        assert!(error.is_some(), "{}", run.stderr);
        assert!(run.stderr.contains(" data are cut short, at byte "));
        assert!(run.text().contains("  version      Go 1.26\n"), "{name}");
    }
}

/// The rows of Go's footprint, as name, bytes and count.
fn rows(text: &str) -> Vec<(String, u64, u64)> {
    let (_, table) = text.split_once("\n\n").expect("a table");
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, bytes, _, count, _] = fields[..] else {
            return None;
        };
        Some((name.to_owned(), bytes.parse().ok()?, count.parse().ok()?))
    });
    rows.collect()
}

#[test]
fn stat_says_what_is_in_a_trace() {
    let run = run([Path::new("stat"), &fixture("gc-go1.27").path]);
    let text = run.text();
    // The rows are what Go's tool prints for this fixture under -d=footprint.
    let rows = rows(text);
    assert_eq!(rows[0], ("HeapAlloc".to_owned(), 38849, 6422));
    assert_eq!(rows[1], ("GCSweepEnd".to_owned(), 22054, 3446));
    assert_eq!(rows[3], ("String".to_owned(), 3340, 138));
    assert!(rows.contains(&("EventBatch".to_owned(), 119, 8)));
    assert!(!text.contains("GoSwitch"), "no rows of what is not there");
    for line in [
        "  version      Go 1.26",
        "  size         81.6 KiB (83576 bytes)",
        "  generations  1 (1)",
        "  threads      4",
        "  batches      8 (5 events, 1 strings, 1 stacks, 1 sync)",
        "  events       14744 (2 sync)",
        "  strings      138",
        "  stacks       76",
        "  CPU samples  0",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
    }
}

#[test]
fn stat_as_json_adds_up() {
    let paths: Vec<PathBuf> = fixtures()
        .into_iter()
        .filter(|f| f.go_version > 21)
        .map(|f| f.path)
        .collect();
    let args = ["stat", "--json"].map(PathBuf::from);
    let run = run(args.iter().chain(&paths));
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let summaries = run.json();
    assert_eq!(summaries.len(), paths.len());
    for (summary, path) in summaries.iter().zip(&paths) {
        assert_eq!(summary["file"], path.to_str().unwrap());
        assert!(summary["error"].is_null());
        let number = |value: &Value| value.as_u64().expect("a number");
        let types = summary["types"].as_array().unwrap();
        let bytes: u64 = types.iter().map(|t| number(&t["bytes"])).sum();
        let size = number(&summary["size"]);
        assert_eq!(16 + bytes + number(&summary["padding"]), size);
        assert_eq!(size, path.metadata().unwrap().len());
        // Clocks are told since 1.25.
        let version = summary["version"].as_str().unwrap();
        assert_eq!(summary["start"].is_null(), version < "1.25", "{version}");
        assert!(summary["duration_ns"].as_i64().unwrap() > 0);
    }
}

/// Times are those of the events that the ordered reader gives.
#[test]
fn stat_tells_the_times_of_the_first_and_the_last_event() {
    let name = fixture("annotate-go1.27");
    let run = run([Path::new("stat"), "--json".as_ref(), &name.path]);
    let summary = &run.json()[0];
    let bytes = name.bytes();
    let trace = gotrace::Trace::new(&bytes).unwrap();
    let mut reader = gotrace::Reader::<gotrace::Growing>::new(&trace);
    let mut times = Vec::new();
    while let Some(event) = reader.next().unwrap() {
        if !event.to_string().contains("Sync ") {
            times.push(event.time());
        }
    }
    let (first, last) = (times[0], times[times.len() - 1]);
    // Where two events have one time, the reader moves the later one by a nanosecond.
    let difference = last.since(first) - summary["duration_ns"].as_i64().unwrap();
    assert!((0..1000).contains(&difference), "{difference} ns");
    let generation = trace.generations().next().unwrap().unwrap();
    let clock = generation.clock.unwrap();
    let start = summary["start"].as_str().unwrap();
    assert_eq!(start[..19], clock.wall.to_string()[..19]);
}

#[test]
fn one_damaged_trace_does_not_stop_the_others() {
    let (bytes, at) = damaged(&fixture("annotate-go1.25"));
    let damaged = file("several", "damaged", &bytes);
    let first = fixture("gc-go1.27").path;
    let old = fixture("annotate-go1.21").path;
    let last = fixture("block-go1.23").path;
    let paths = [&first, &damaged, &old, &last];
    let args = ["stat", "--json"].map(PathBuf::from);
    let all = run(args.iter().chain(paths));
    assert_eq!(all.status, 1);
    let summaries = all.json();
    assert_eq!(summaries.len(), 4);
    for (summary, path) in summaries.iter().zip(paths) {
        assert_eq!(summary["file"], path.to_str().unwrap());
    }
    assert!(summaries[0]["error"].is_null() && summaries[3]["error"].is_null());
    assert_eq!(summaries[1]["error_offset"], at);
    assert!(summaries[1]["events"].as_u64().unwrap() > 100);
    assert_eq!(summaries[2]["version"], "1.21");
    let expected = format!(
        "error: {}: invalid event type 200, at byte {at}\n",
        damaged.display()
    );
    assert_eq!(all.stderr, expected);

    let readable = run(["stat"].map(PathBuf::from).iter().chain(paths));
    assert_eq!(readable.status, 1);
    let titles = [&first, &damaged, &old, &last].map(|p| format!("{}\n", p.display()));
    let mut rest = readable.text();
    for title in titles {
        rest = rest
            .split_once(&title)
            .expect("a block for each in order")
            .1;
    }
}

/// Whatever is in a file, there is an answer for it, and one for each file after it.
#[test]
fn stat_survives_any_damage() {
    let bytes = fixture("alloc-go1.27").bytes();
    let mut random = 1u64;
    let mut next = |below: usize| {
        // Xorshift: any sequence will do.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let paths: Vec<PathBuf> = (0..200)
        .map(|n| {
            let mut bytes = bytes.clone();
            for _ in 0..next(9) {
                let at = next(bytes.len());
                bytes[at] = next(256) as u8;
            }
            bytes.truncate(next(2 * bytes.len()));
            file("any_damage", &n.to_string(), &bytes)
        })
        .collect();
    let all = run(["stat", "--json"].map(PathBuf::from).iter().chain(&paths));
    assert_eq!(all.status, 1);
    let summaries = all.json();
    assert_eq!(summaries.len(), paths.len());
    let errors = summaries.iter().filter(|s| !s["error"].is_null()).count();
    assert!(errors > 100, "{errors}");
    assert_eq!(all.stderr.lines().count(), errors);
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let trace = fixture("cgo-go1.27").path;
    let no_colour = run([Path::new("stat"), &trace]).ok();
    assert!(!no_colour.contains(&0x1b));
    let command = format!("{} stat {}", env!("CARGO_BIN_EXE_gotrace"), trace.display());
    let Some(coloured) = on_a_terminal(&command, &[]) else {
        common::skipped::skip("no command `script`");
        return;
    };
    assert!(coloured.contains("\x1b[1m"), "{coloured}");
    let plain = on_a_terminal(&command, &[("NO_COLOR", "1")]).unwrap();
    assert!(
        plain.contains("version") && !plain.contains('\x1b'),
        "{plain}"
    );
}

#[test]
fn only_long_work_on_a_terminal_has_a_progress_bar() {
    let trace = fixture("cgo-go1.27").path;
    let trace = trace.display();
    let binary = env!("CARGO_BIN_EXE_gotrace");
    let slow = format!("(sleep 1.5; cat {trace}) | {binary} stat --json -");
    let Some(shown) = on_a_terminal(&slow, &[]) else {
        common::skipped::skip("no command `script`");
        return;
    };
    assert!(shown.contains(" left"), "{shown}");
    assert!(shown.contains("\"version\":\"1.26\""), "{shown}");
    let fast = on_a_terminal(&format!("{binary} stat --json {trace}"), &[]).unwrap();
    assert!(!fast.contains(" left"), "{fast}");
    let quiet = Command::new("sh").args(["-c", &slow]).output().unwrap();
    assert_eq!(Run::of(quiet).stderr, "");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    // More than any pipe holds.
    let trace = fixture("http-go1.27").path;
    let mut child = gotrace(["dump", "--wire", trace.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"EventBatch");
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
}

/// Who reads only the beginning of what a check says gets its status all the same: 1 of a trace that is
/// damaged, and 4 of traces that end early.
#[test]
fn a_verdict_is_given_to_a_closed_pipe() {
    let fault = |name| common::fixtures_dir().join("faults").join(name);
    let (damaged, early) = (
        fault("f05-region-misuse-1.27.trace"),
        fault("f01-killed-1.27-panic.trace"),
    );
    let sound = fixture("gc-go1.27").path;
    for (args, files, status) in [
        (&["check"][..], [&sound, &damaged], 1),
        (&["check", "--json"], [&sound, &early], 4),
        (&["assert", "events < 2", "--trace"], [&sound, &sound], 3),
    ] {
        // Nobody reads any of it.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = gotrace(args).args(files).stdout(writer).output().unwrap();
        assert_eq!(Run::of(output).status, status, "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let trace = fixture("gc-go1.27").path;
    let trace = trace.to_str().unwrap();
    for args in [&["dump", "--wire", trace][..], &["stat", trace], &["man"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let run = Run::of(gotrace(args).stdout(full).output().unwrap());
        assert_eq!(run.status, 1, "{args:?}");
        assert!(
            run.stderr
                .starts_with("error: standard output: No space left"),
            "{args:?}: {}",
            run.stderr
        );
    }
}

/// A file that becomes shorter while it is mapped ends in an error, not in a signal.
#[cfg(unix)]
#[test]
fn a_file_that_shrinks_is_an_error() {
    // Batches of 60 KB, enough that the text of them fills the pipe many times over.
    let mut bytes = b"go 1.22 trace\0\0\0".to_vec();
    let batch = {
        let mut buffer = vec![0; 70_000];
        let mut out = gotrace::wire::Encoder::new(&mut buffer);
        let head = gotrace::wire::BatchHead {
            generation: gotrace::ids::GenerationId::new(1).unwrap(),
            thread: gotrace::ThreadId::new(1),
            time: gotrace::time::Timestamp(1),
            experiment: None,
            header_len: 0,
            data_len: 0,
        };
        // ProcStop, a nanosecond apart.
        out.batch(&head, &[11, 1].repeat(30_000)).unwrap();
        out.bytes().to_vec()
    };
    bytes.extend(batch.repeat(50));
    let path = file("shrinks", "trace", &bytes);
    let mut child = gotrace(["dump", "--wire", path.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // Once it prints, the file is mapped; and it waits, for nobody reads on.
    stdout.read_exact(&mut [0; 10]).unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(8192)
        .unwrap();
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
    let run = Run::of(child.wait_with_output().unwrap());
    let expected = format!(
        "error: {}: the file became shorter while it was being read\n",
        path.display()
    );
    assert_eq!((run.status, run.stderr), (1, expected));
}

/// A file that shrinks under `check` costs its own verdict, not those of the files around it.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_shrinks_costs_only_its_own_verdict() {
    let dir = clean("shrinks-among-others");
    let good = fixture("gc-go1.27").bytes();
    // Many small generations, which take a while.
    let long = common::live::Endless::new(&fixture("http-go1.27").bytes(), 300).bytes();
    for (name, bytes) in [
        ("a", &good),
        ("b", &good),
        ("long", &long),
        ("y", &good),
        ("z", &good),
    ] {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
    let mut command = gotrace(["check", "--threads", "1", "a", "b", "long", "y", "z"]);
    command
        .current_dir(&dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // It is cut short as soon as it is mapped.
    let maps = format!("/proc/{}/maps", child.id());
    common::tool::wait_for(|| {
        std::fs::read_to_string(&maps).is_ok_and(|maps| maps.contains("/long\n"))
    });
    let file = File::options().write(true).open(dir.join("long")).unwrap();
    file.set_len(8192).unwrap();
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!(run.status, 1, "{}", run.stderr);
    let lines: Vec<&str> = run.text().lines().collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    for (line, name) in lines.iter().zip(["a", "b", "long", "y", "z"]) {
        let verdict = if name == "long" {
            "failed after "
        } else {
            "ok, "
        };
        assert!(line.starts_with(&format!("{name}: {verdict}")), "{lines:?}");
    }
    let error = "error: long: the file became shorter while it was being read\n";
    assert!(run.stderr.contains(error), "{}", run.stderr);
    assert_eq!(run.stderr.matches("error: ").count(), 1, "{}", run.stderr);
}

/// However many generations are broken, little memory is enough to say so, and the first is said
/// before the last is read.
#[cfg(target_os = "linux")]
#[test]
fn a_million_broken_generations_take_little_memory() {
    let dir = clean("million-broken");
    // Each has one batch, of one thread, with an event that there is not.
    let mut bytes = b"go 1.26 trace\0\0\0".to_vec();
    let mut buffer = vec![0; 100];
    for number in 1..=1_000_000 {
        let mut out = gotrace::wire::Encoder::new(&mut buffer);
        let head = gotrace::wire::BatchHead {
            generation: gotrace::ids::GenerationId::new(number).unwrap(),
            thread: gotrace::ThreadId::new(1),
            time: gotrace::time::Timestamp(1),
            experiment: None,
            header_len: 0,
            data_len: 0,
        };
        out.batch(&head, &[250]).unwrap();
        out.end_of_generation().unwrap();
        bytes.extend_from_slice(out.bytes());
    }
    std::fs::write(dir.join("in"), &bytes).unwrap();
    std::fs::write(dir.join("some"), &bytes[..bytes.len() / 10]).unwrap();
    for args in [
        &["check", "--keep-going", "in"][..],
        &["check", "--keep-going", "--json", "some"],
        &["check", "--lenient", "some"],
        &["check", "--keep-going", "some", "some"],
    ] {
        // Of which the file is mapped, too.
        let shell = "ulimit -v 300000; exec \"$@\"";
        let mut command = std::process::Command::new("sh");
        command.args(["-c", shell, "sh", env!("CARGO_BIN_EXE_gotrace")]);
        let run = Run::of(command.args(args).current_dir(&dir).output().unwrap());
        assert_eq!(run.status, 1, "{args:?}: {}", run.stderr);
        let (said, most) = (run.stderr.len() + run.stdout.len(), 200_000);
        assert!((1000..most).contains(&said), "{args:?}: {said} bytes");
    }
    // Through a pipe, the first error is there while the rest is not.
    let mut child = gotrace(["check", "--keep-going", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&bytes[..1 << 20]).unwrap();
    let mut first = [0; 10];
    child
        .stderr
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    assert!(first.starts_with(b"error: "));
    drop(stdin);
    Run::of(child.wait_with_output().unwrap());
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(["completions", shell]).ok();
        let script = String::from_utf8(script).unwrap();
        for word in ["dump", "stat", "assemble", "json"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let page = String::from_utf8(run(["man"]).ok()).unwrap();
    assert!(page.contains(".TH gotrace 1") && page.contains("gotrace\\-dump(1)"));
    for command in ["dump", "stat", "assemble"] {
        let page = String::from_utf8(run(["man", command]).ok()).unwrap();
        assert!(page.contains(&format!(".TH gotrace-{command} 1")), "{page}");
        assert!(page.contains(".SH EXAMPLES"), "{command}");
    }
}
