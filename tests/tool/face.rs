//! The tool's face: help, manual pages, what may be typed, and the rooms behind it (`select`,
//! `export`, `analysis`), which are compared with what the tool prints.

use crate::common;

use common::tool::{Run, file, gotrace, on_a_terminal, run};
use common::{fixture, fixtures};
use gotrace::select::{Moment, ParseMomentError};
use gotrace::time::WallTime;
use gotrace::{Time, Trace};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const COMMANDS: &[&str] = &[
    "dump",
    "check",
    "stat",
    "doctor",
    "diff",
    "assert",
    "explain",
    "blocked",
    "latency",
    "leaks",
    "at",
    "goroutines",
    "tasks",
    "regions",
    "gc",
    "pprof",
    "assemble",
    "record",
    "recover",
    "repair",
    "tee",
    "cut",
    "convert",
    "completions",
    "man",
];

fn dump(path: &Path, options: &[&str]) -> Run {
    let args = ["dump"].iter().chain(options).map(Path::new);
    run(args.chain([path]))
}

fn text(run: Run) -> String {
    String::from_utf8(run.ok()).expect("UTF-8")
}

// Times.

#[test]
fn times_are_read_as_they_are_written() {
    let since = |nanoseconds| Ok(Moment::SinceStart(Duration::from_nanos(nanoseconds)));
    for (text, moment) in [
        ("1.25s", since(1_250_000_000)),
        ("300ms", since(300_000_000)),
        ("5us", since(5_000)),
        ("5\u{b5}s", since(5_000)),
        ("5\u{3bc}s", since(5_000)),
        ("10ns", since(10)),
        ("0ns", since(0)),
        ("-0s", since(0)),
        ("2m", since(120_000_000_000)),
        ("1h", since(3_600_000_000_000)),
        ("12.345 ms", since(12_345_000)),
        ("0.1234567899s", since(123_456_789)),
        ("0.9ns", since(0)),
        ("@1251353149760", Ok(Moment::At(Time(1_251_353_149_760)))),
        ("@-5", Ok(Moment::At(Time(-5)))),
        ("Time=17", Ok(Moment::At(Time(17)))),
        ("Trace=17", Ok(Moment::At(Time(17)))),
        ("Mono=17", Ok(Moment::Mono(17))),
        (
            "2026-11-20T23:36:43.36254741Z",
            Ok(Moment::Wall(WallTime::new(1_795_217_803, 362_547_410))),
        ),
        (
            "Wall=2026-11-21T01:06:43+01:30",
            Ok(Moment::Wall(WallTime::new(1_795_217_803, 0))),
        ),
        ("5", Err(ParseMomentError::NoUnit)),
        ("-5", Err(ParseMomentError::NoUnit)),
        ("1.5", Err(ParseMomentError::NoUnit)),
        ("-5ms", Err(ParseMomentError::BeforeStart)),
        ("99999999999h", Err(ParseMomentError::TooLarge)),
        ("@99999999999999999999", Err(ParseMomentError::TooLarge)),
    ] {
        assert_eq!(text.parse::<Moment>(), moment, "{text}");
    }
    for text in [
        "",
        "soon",
        "s",
        ".5s",
        "5.s",
        "+5s",
        "1e3s",
        "nans",
        "5 parsecs",
        "@",
        "@5ns",
        "@+5",
        "Mono=-1x",
        "Time=",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1.2.3s",
        "2026-11-20T24:00:00Z",
        "2026-11-20T23:36:43",
        "2026-11-20T23:36:43.Z",
        "T",
        "\u{b5}s",
        "2026-11-20",
        "2026-1-20T23:36:43Z",
        "\u{661}s",
    ] {
        assert_eq!(
            text.parse::<Moment>(),
            Err(ParseMomentError::Malformed),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn what_is_displayed_is_parsed_to_the_same(
        nanoseconds in any::<u64>(),
        small in 0u64..5_000_000_000,
        time in any::<i64>(),
        seconds in -62_135_596_800i64..253_402_300_800,
        fraction in 0u32..1_000_000_000,
    ) {
        for moment in [
            Moment::SinceStart(Duration::from_nanos(nanoseconds)),
            Moment::SinceStart(Duration::from_nanos(small)),
            Moment::At(Time(time)),
            Moment::Mono(nanoseconds),
            Moment::Wall(WallTime { seconds, nanoseconds: fraction }),
        ] {
            prop_assert_eq!(moment.to_string().parse::<Moment>(), Ok(moment));
        }
    }

    #[test]
    fn any_text_is_a_moment_or_an_error(text in "[@0-9TZsmunhµ.:+ -]{0,30}", other in any::<String>()) {
        for text in [text, other] {
            if let Ok(moment) = text.parse::<Moment>() {
                prop_assert_eq!(moment.to_string().parse::<Moment>(), Ok(moment));
            }
        }
    }
}

/// Whatever a command prints as a time selects from that event on, as typed.
#[test]
fn every_time_that_is_printed_can_be_typed() {
    let path = fixture("annotate-go1.27").path;
    let all = text(dump(&path, &["--stacks", "none"]));
    let lines: Vec<&str> = all.lines().collect();
    for line in [lines[lines.len() / 2], lines[lines.len() - 3]] {
        let time = line
            .split(' ')
            .find(|word| word.starts_with("Time="))
            .unwrap();
        let marked = time.replace("Time=", "@");
        let at = lines
            .iter()
            .position(|l| l.contains(&format!(" {time} ")))
            .unwrap();
        for typed in [time, &marked] {
            let some = text(dump(&path, &["--stacks=none", "--from", typed]));
            assert!(some.lines().eq(lines[at..].iter().copied()), "{typed}");
            let before = text(dump(&path, &["--stacks=none", "--to", typed]));
            assert!(before.lines().eq(lines[..at].iter().copied()), "{typed}");
        }
    }
    // The clocks of a sync event are one moment.
    let sync = lines
        .iter()
        .filter(|line| line.contains(" Wall="))
        .nth(1)
        .unwrap();
    let word = |key: &str| sync.split(' ').find(|word| word.starts_with(key)).unwrap();
    let from = |typed: &str| text(dump(&path, &["--stacks=none", "--from", typed]));
    let expected = from(word("Trace="));
    assert!(expected.lines().count() > 10 && expected.len() < all.len());
    for key in ["Mono=", "Wall="] {
        assert!(from(word(key)) == expected, "{key}");
        let bare = word(key).strip_prefix("Wall=").unwrap_or(word(key));
        assert!(from(bare) == expected, "{key}");
    }
    // What `stat` prints.
    let stat = text(run([Path::new("stat"), &path]));
    let row = |name: &str| {
        let line = stat
            .lines()
            .find(|l| l.trim_start().starts_with(name))
            .unwrap();
        line.trim_start()[name.len()..].trim().to_owned()
    };
    let later = from(&row("start"));
    // All but the sync event, which is no later than the first of the others.
    assert!(lines.len() - later.lines().count() <= 1);
    let late = from(&row("duration")).lines().count();
    // It is rounded.
    assert!(late < lines.len() / 5, "{late} events at the very end");
    let json = run([Path::new("stat"), "--json".as_ref(), &path]).json();
    assert!(from(json[0]["start"].as_str().unwrap()) == later);
}

#[test]
fn a_time_without_unit_says_how_to_write_it() {
    let path = fixture("gc-go1.27").path;
    for (options, hint) in [
        (&["--from", "5"][..], "has no unit"),
        (&["--from", "5"], "@ before the number"),
        (&["--to", "-5"], "has no unit"),
        (&["--from", "2s", "--to", "1s"], "no event can be between"),
        (
            &["--from", "1s", "--to", "1000ms"],
            "no event can be between",
        ),
        (&["--from", "@9", "--to", "@8"], "no event can be between"),
        (&["--stacks", "id"], "needs --json"),
        (&["--header"], "--wire"),
        (&["-g", "18446744073709551615"], "not an id"),
    ] {
        let run = dump(&path, options);
        assert_eq!(run.status, 2, "{options:?}");
        assert!(run.stdout.is_empty(), "{options:?}");
        assert!(run.stderr.contains(hint), "{options:?}: {}", run.stderr);
        assert!(run.stderr.contains("--help"), "{}", run.stderr);
    }
    // A trace that does not say when it was made has nothing to compare with.
    let old = dump(
        &fixture("gc-go1.23").path,
        &["--from", "2026-11-20T23:36:43Z"],
    );
    assert_eq!(old.status, 1);
    assert!(old.stderr.contains("does not say when"), "{}", old.stderr);
}

#[test]
fn a_filter_that_matches_nothing_says_so_on_a_terminal() {
    let path = fixture("gc-go1.27").path;
    for option in ["--from=1h", "--kind=Experimental", "--region='no\tsuch'"] {
        let plain = option.replace('\'', "");
        assert_eq!(text(dump(&path, &[&plain])), "", "a script hears nothing");
        let tool = env!("CARGO_BIN_EXE_gotrace");
        let command = format!("{tool} dump {option} {} && echo good", path.display());
        let Some(shown) = on_a_terminal(&command, &[]) else {
            return;
        };
        assert!(shown.contains("note: no event matches: "), "{shown}");
        assert!(shown.contains("14744 events were read, from @"), "{shown}");
        assert!(shown.contains("good"), "{shown}");
        assert!(!shown.contains("no\tsuch"), "{shown}");
    }
    let tool = env!("CARGO_BIN_EXE_gotrace");
    for options in ["--kind Metric", "--limit 0"] {
        let command = format!("{tool} dump {options} {}", path.display());
        let shown = on_a_terminal(&command, &[]).unwrap_or_default();
        assert!(!shown.contains("note:"), "{shown}");
    }
}

// Stacks in JSON.

/// Gives events their stacks back, from the lines that told them.
fn resolved(objects: Vec<Value>) -> Vec<Value> {
    let mut stacks: HashMap<u64, Value> = HashMap::new();
    let mut events = Vec::new();
    for mut object in objects {
        if object["kind"] == "Stack" {
            let id = object["id"].as_u64().unwrap();
            assert_eq!(object.as_object().unwrap().len(), 3);
            stacks.insert(id, object["frames"].take());
            continue;
        }
        for name in ["stack", "transition_stack"] {
            if let Some(stack) = object.get_mut(name) {
                *stack = match stack.as_u64() {
                    Some(id) => stacks[&id].clone(),
                    None => Value::Array(Vec::new()),
                };
            }
        }
        events.push(object);
    }
    events
}

/// Told once a generation, and before it is used: also if a filter leaves out the sync events.
#[test]
fn stacks_as_numbers_are_the_stacks_in_full() {
    for fixture in fixtures().into_iter().filter(|f| f.go_version > 21) {
        if fixture.bytes().len() > 200_000 {
            continue;
        }
        for filter in ["--kind=StateTransition", "--from=0ns"] {
            let full = dump(&fixture.path, &["--json", "--stacks=full", filter]).json();
            let by_id = dump(&fixture.path, &["--json", filter]).json();
            let told = by_id.iter().filter(|object| object["kind"] == "Stack");
            let told = told.count();
            let trace = fixture.bytes();
            let trace = Trace::new(&trace).unwrap();
            let generations = trace.generations().map(Result::unwrap);
            let known: usize = generations
                .map(|g| {
                    let tables =
                        gotrace::generation::GenerationTables::<gotrace::Growing>::load(&trace, &g);
                    tables.unwrap().stacks().count()
                })
                .sum();
            assert!(told <= known, "{}: {told} of {known}", fixture.name);
            assert!(resolved(by_id) == full, "{} {filter}", fixture.name);
        }
        let none = text(dump(&fixture.path, &["--json", "--stacks=none"]));
        assert!(!none.contains("stack\":"), "{}", fixture.name);
    }
}

#[test]
fn text_without_stacks_is_a_line_an_event() {
    let path = fixture("gc-go1.27").path;
    let all = text(dump(&path, &[]));
    assert!(all == text(dump(&path, &["--stacks=full"])));
    assert!(all == text(dump(&path, &["--parsed"])));
    let lines = text(dump(&path, &["--stacks", "none"]));
    assert!(
        all.lines()
            .filter(|line| line.starts_with("M="))
            .eq(lines.lines())
    );
}

// Counts.

#[test]
fn stat_and_check_count_the_same_events() {
    for fixture in fixtures().into_iter().filter(|f| f.go_version > 21) {
        let [stat, check] = ["stat", "check"]
            .map(|command| run([Path::new(command), "--json".as_ref(), &fixture.path]).json());
        assert_eq!(stat[0]["events"], check[0]["events"], "{}", fixture.name);
        let syncs = dump(&fixture.path, &["--kind=Sync", "--json", "--stacks=none"]).json();
        assert_eq!(stat[0]["sync_events"], syncs.len(), "{}", fixture.name);
    }
}

// Commands.

#[test]
fn a_file_alone_is_summarized() {
    let trace = fixture("gc-go1.27").path;
    let other = fixture("coro-go1.27").path;
    let expected = text(run([Path::new("summary"), &trace, &other]));
    assert_eq!(text(run([&trace, &other])), expected);
    let json = text(run([Path::new("summary"), "--json".as_ref(), &trace]));
    assert_eq!(text(run([&*trace, "--json".as_ref()])), json);
    // A file without an extension, in the directory of work.
    let plain = file("face_plain", "trace", &fixture("gc-go1.27").bytes());
    let named = gotrace(["trace"])
        .current_dir(plain.parent().unwrap())
        .output();
    let named = text(Run::of(named.unwrap()));
    assert!(
        named.starts_with("trace\n") && named.contains("14744"),
        "{named}"
    );
    let missing = run(["no-such/file.trace"]);
    assert_eq!(missing.status, 1);
    assert!(
        missing.stderr.contains("no-such/file.trace: "),
        "{}",
        missing.stderr
    );
    let empty = run(["-"]);
    assert!(
        empty.status == 1 && empty.stderr.contains("standard input"),
        "{}",
        empty.stderr
    );
}

#[test]
fn a_command_mistyped_is_a_command() {
    let trace = fixture("gc-go1.27").path;
    for (typed, meant) in [("sttat", "stat"), ("dmup", "dump"), ("chekc", "check")] {
        let wrong = run([Path::new(typed), &trace]);
        assert_eq!(wrong.status, 2, "{typed}");
        let hint = format!("'{meant}'");
        assert!(wrong.stderr.contains(&hint), "{}", wrong.stderr);
        assert!(
            wrong.stderr.contains("no file of this name"),
            "{}",
            wrong.stderr
        );
    }
    let wrong = run(["--jsno"]);
    assert!(
        wrong.status == 2 && wrong.stderr.contains("--help"),
        "{}",
        wrong.stderr
    );
}

// Help and manual pages.

fn help(command: &str, option: &str, width: usize) -> String {
    let mut args = vec![command, option];
    args.retain(|arg| !arg.is_empty());
    let output = gotrace(args).env("COLUMNS", width.to_string()).output();
    text(Run::of(output.unwrap()))
}

/// The lines of help that are not to be broken: what no width may change.
fn examples(help: &str) -> Vec<&str> {
    let (_, after) = help.split_once("\nExamples:\n").expect("examples");
    after
        .lines()
        .take_while(|line| line.starts_with("  "))
        .collect()
}

#[test]
fn no_width_breaks_an_example() {
    for command in COMMANDS.iter().copied().chain([""]) {
        let widest = help(command, "--help", 1000);
        let all = examples(&widest);
        assert!(!all.is_empty(), "{command}");
        assert!(
            all.iter()
                .all(|line| line.contains("gotrace") || line.contains("kill"))
        );
        for option in ["-h", "--help"] {
            for width in [40, 60, 80, 100, 200] {
                let page = help(command, option, width);
                assert_eq!(examples(&page), all, "{command} {option} at {width}");
                assert!(
                    !page.contains('\u{a0}'),
                    "{command}: spaces that a shell refuses"
                );
                // All else keeps to the width.
                let limit = width.min(100);
                let is_text = |line: &&str| !line.starts_with("  ") && !line.contains("Usage:");
                for line in page.lines().filter(is_text).filter(|_| width >= 60) {
                    assert!(
                        line.chars().count() <= limit,
                        "{command} at {width}: {line}"
                    );
                }
            }
        }
    }
    let tables = help("dump", "--help", 60);
    for line in tables.lines().skip_while(|l| !l.starts_with("TIME is")) {
        assert!(
            line.chars().count() <= 70 || line.contains("gotrace "),
            "{line}"
        );
    }
    assert!(help("dump", "--help", 60).contains("\n  Log              task, category, message\n"));
}

/// No example in the help is refused by the tool's own parser.
#[test]
fn examples_are_good_usage() {
    for command in COMMANDS.iter().copied().chain([""]) {
        let page = help(command, "--help", 80);
        for example in examples(&page) {
            for part in example.split(['|', '&', '>']) {
                let Some(args) = part.trim().strip_prefix("gotrace ") else {
                    continue;
                };
                let args = args.replace('\'', "");
                // With `--help` behind it, nothing is done but that arguments before it are read.
                let run = run(args.split(' ').chain(["--help"]));
                assert_eq!(run.status, 0, "{part}: {}", run.stderr);
            }
        }
    }
}

fn page(command: &str) -> String {
    let args = ["man", command].into_iter().filter(|arg| !arg.is_empty());
    text(run(args))
}

/// As `man` would show it; `None` where there is no such tool.
fn formatted(page: &str) -> Option<String> {
    let mut child = Command::new("groff")
        .args(["-man", "-Tutf8", "-P-cbou", "-rLL=80n", "-ww"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(page.as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(warnings, "");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn manual_pages_show_examples_and_tables_as_they_are() {
    for command in COMMANDS.iter().copied().chain([""]) {
        let source = page(command);
        assert!(
            !source.contains("help(1)") && !source.contains("\\-help (1)"),
            "{source}"
        );
        assert!(source.contains(".SH EXAMPLES\n"), "{command}");
        let widest = help(command, "--help", 1000);
        let Some(shown) = formatted(&source) else {
            continue;
        };
        let shown: Vec<&str> = shown.lines().map(str::trim).collect();
        let (_, after) = widest.split_once("\nExamples:\n").unwrap();
        let (tables, _) = widest.split_once("\nExamples:\n").unwrap();
        let is_table = |line: &&str| line.starts_with("  ") && line.trim().contains("   ");
        let tables = tables
            .rsplit("\n\n")
            .next()
            .unwrap_or("")
            .lines()
            .filter(is_table);
        for line in after.lines().filter(|l| l.starts_with("  ")).chain(tables) {
            assert!(
                shown.contains(&line.trim()),
                "{command}: {line}\n{shown:#?}"
            );
        }
    }
    let source = page("");
    for &command in COMMANDS {
        assert!(
            source.contains(&format!("gotrace\\-{command}(1)")),
            "{command}"
        );
    }
}

#[test]
fn completions_offer_files_and_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(run(["completions", shell]));
        for word in ["stacks", "wire", "dump", "StateTransition"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let script = text(run(["completions", "fish"]));
    assert!(
        script.contains("__fish_gotrace_needs_command\" -F\n"),
        "{script}"
    );
    // bash takes file names where nothing of the script fits.
    let script = text(run(["completions", "bash"]));
    assert!(script.contains("-o bashdefault -o default"), "{script}");
    let path = file("completions", "gotrace.bash", script.as_bytes());
    let ask = format!(
        "source '{}'; COMP_WORDS=(gotrace st); COMP_CWORD=1; _gotrace gotrace st gotrace; \
         echo \"${{COMPREPLY[@]}}\"; COMP_WORDS=(gotrace dump --stacks i); COMP_CWORD=3; \
         _gotrace gotrace i --stacks; echo \"${{COMPREPLY[@]}}\"",
        path.display()
    );
    if let Ok(output) = Command::new("bash").args(["-c", &ask]).output() {
        assert_eq!(String::from_utf8_lossy(&output.stdout), "stat\nid\n");
    }
}
