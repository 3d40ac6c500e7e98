//! The common filters: one meaning in every command that answers.

use crate::common::fixture;
use crate::common::tool::{Run, run};
use serde_json::Value;

fn trace(name: &str) -> String {
    fixture(name).path.to_str().unwrap().to_owned()
}

fn ask(command: &[&str], more: &[&str], trace: &str) -> Run {
    run(command.iter().chain(more).chain([&trace]))
}

fn rows(command: &[&str], more: &[&str], trace: &str) -> Vec<Value> {
    ask(command, &[&["--json"], more].concat(), trace).json()
}

/// The commands that take times, as a user would ask them something.
const ASKED: [&[&str]; 16] = [
    &["summary"],
    &["explain"],
    &["blocked"],
    &["latency"],
    &["leaks", "--min-age", "1ms"],
    &["goroutines"],
    &["goroutines", "--each"],
    &["goroutines", "--states"],
    &["tasks"],
    &["tasks", "--each"],
    &["regions"],
    &["regions", "--each"],
    &["gc"],
    &["doctor"],
    &["assert", "--list"],
    &["pprof", "--wall", "--folded"],
];

/// Of these, the commands that are about the whole program, or take what they are about.
const WHOLE: [&str; 5] = ["summary", "explain", "gc", "doctor", "assert"];

fn is_whole(command: &[&str]) -> bool {
    command.first().is_some_and(|name| WHOLE.contains(name))
}

/// Filters that everything passes change nothing.
#[test]
fn what_leaves_everything_changes_nothing() {
    for name in ["http-go1.27", "annotate-go1.27"] {
        let trace = trace(name);
        for command in ASKED {
            let plain = ask(command, &[], &trace);
            assert_eq!(plain.status, 0, "{command:?}: {}", plain.stderr);
            let times: [&[&str]; 4] = [
                &["--from", "0s"],
                &["--last", "1h"],
                &["--to", "1h"],
                &["--from", "@1", "--to", "1h"],
            ];
            for filter in times {
                let same = ask(command, filter, &trace);
                let text = (same.text(), same.stderr.as_str());
                assert_eq!(text, (plain.text(), ""), "{command:?} {filter:?}");
            }
            if !is_whole(command) && command[0] != "leaks" {
                let open = command[0] == "tasks" || command[0] == "regions";
                let where_ = ask(command, &["--where", "time >= 0ns"], &trace);
                // What has not ended does not count.
                assert!(open || !where_.stdout.is_empty(), "{command:?}");
                assert_eq!(where_.stderr, "", "{command:?}");
            }
        }
    }
}

/// A window is a part of what the whole has, and says so in every answer.
#[test]
fn a_window_is_shorter() {
    let trace = trace("http-go1.27");
    for command in ASKED {
        let whole = ask(command, &[], &trace);
        let part = ask(command, &["--from", "4ms", "--to", "9ms"], &trace);
        assert_eq!((part.status, part.stderr.as_str()), (0, ""), "{command:?}");
        if command[0] != "doctor" {
            assert_ne!(part.text(), whole.text(), "{command:?}");
        }
        let none = ask(command, &["--from", "1h"], &trace);
        match command[0] {
            "explain" => assert_eq!(none.status, 1),
            _ => {
                assert_eq!(none.status, 0, "{command:?}: {}", none.stderr);
                let says = "nothing is in this part of the trace, which is ";
                assert!(none.stderr.contains(says), "{command:?}: {}", none.stderr);
            }
        }
    }
    let duration = |more: &[&str]| rows(&["summary"], more, &trace)[0]["duration_ns"].as_i64();
    assert_eq!(duration(&["--from", "4ms", "--to", "9ms"]), Some(5_000_000));
    assert_eq!(duration(&["--last", "7ms"]), Some(7_000_000));
    // Times are still those since the trace began: they can be given to the next command.
    for row in rows(&["tasks", "--each"], &["--from", "4ms"], &trace) {
        let ended = row["start_ns"].as_i64().unwrap() + row["duration_ns"].as_i64().unwrap();
        assert!(ended >= 4_000_000);
    }
    for wait in rows(&["blocked"], &["--from", "4ms", "--to", "9ms"], &trace)[0]["longest"]
        .as_array()
        .unwrap()
    {
        assert!(wait["from_ns"].as_i64().unwrap() >= 4_000_000, "{wait}");
        assert!(wait["to_ns"].as_i64().unwrap() <= 9_000_000, "{wait}");
    }
    let spans = |more: &[&str]| -> i64 {
        let rows = rows(&["goroutines", "--each"], more, &trace);
        rows.iter()
            .map(|row| row["total_ns"].as_i64().unwrap())
            .sum()
    };
    let each = rows(
        &["goroutines", "--each"],
        &["--to", "9ms", "--from", "4ms"],
        &trace,
    );
    assert!(
        each.iter()
            .all(|row| row["total_ns"].as_i64().unwrap() <= 5_000_000)
    );
    assert!(spans(&["--to", "9ms"]) > spans(&["--to", "9ms", "--from", "4ms"]));
}

/// The same filter finds the same time, whichever command is asked.
#[test]
fn commands_agree_on_what_counts() {
    let trace = trace("http-go1.27");
    let sum = |rows: &[Value], key: &str| -> i64 {
        rows.iter().map(|row| row[key].as_i64().unwrap()).sum()
    };
    let filters: [&[&str]; 8] = [
        &[],
        &["-g", "1"],
        &["-p", "0"],
        &["--task", "request"],
        &["--stack", "net/http"],
        &["--where", "waiting > 100us"],
        &["--from", "4ms", "--last", "9ms"][..2],
        &["-g", "1", "--from", "2ms", "--to", "9ms"],
    ];
    for filter in filters {
        let groups = rows(&["goroutines"], filter, &trace);
        let states = rows(&["goroutines", "--states"], filter, &trace);
        let each = rows(&["goroutines", "--each"], filter, &trace);
        let total = sum(&groups, "total_ns");
        assert!(total > 0, "{filter:?}");
        assert_eq!(total, sum(&states, "total_ns"), "{filter:?}");
        assert_eq!(total, sum(&each, "total_ns"), "{filter:?}");
        assert_eq!(sum(&groups, "count"), each.len() as i64, "{filter:?}");
        let folded = ask(&["pprof", "--wall", "--folded"], filter, &trace);
        let lines = folded.text().lines();
        let times = lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<i64>().unwrap());
        assert_eq!(total, times.sum::<i64>(), "{filter:?}");
        // What waits in "blocked" is what waits, or is in system calls, there.
        let blocked = &rows(&["blocked", "--system"], filter, &trace)[0]["places"];
        let waited = sum(blocked.as_array().unwrap(), "total_ns");
        let parts = ["waiting_ns", "syscall_ns", "syscall_blocked_ns"];
        let expected: i64 = parts.iter().map(|key| sum(&groups, key)).sum();
        assert_eq!(waited, expected, "{filter:?}");
    }
    let one = rows(&["goroutines", "--each"], &["-g", "1"], &trace);
    assert_eq!(one.len(), 1);
    assert_eq!(one[0]["goroutine"], 1);
    let at = &rows(&["at", "10ms"], &["-g", "1"], &trace)[0]["goroutines"];
    assert_eq!(at.as_array().unwrap().len(), 1);
    let tasks = rows(&["tasks"], &["--task", "request"], &trace);
    assert_eq!(tasks.len(), 1);
    let regions = rows(
        &["regions", "--each"],
        &["--region", "no such region"],
        &trace,
    );
    assert!(regions.is_empty());
}

/// What selects nothing in a command is refused, and it is said why.
#[test]
fn filters_without_a_meaning_are_refused() {
    let trace = trace("http-go1.27");
    for command in ASKED.iter().filter(|command| is_whole(command)) {
        for filter in [["-p", "0"], ["--stack", "x"], ["--where", "g == 1"]] {
            let refused = ask(command, &filter, &trace);
            assert_eq!(refused.status, 2, "{command:?} {filter:?}");
            let says = "of the filters it takes --from, --to and --last";
            assert!(
                refused.stderr.contains(says),
                "{command:?}: {}",
                refused.stderr
            );
        }
    }
    for filter in [["-g", "1"], ["--last", "1s"]] {
        let refused = ask(&["top", "--once"], &filter, &trace);
        let says = "as it runs: it takes no filters";
        assert!(refused.status == 2 && refused.stderr.contains(says));
    }
    for (command, filter, why) in [
        (
            &["at", "1ms"][..],
            ["--from", "1ms"],
            "it is about one moment",
        ),
        (
            &["at", "1ms"],
            ["--where", "g == 1"],
            "it is about one moment",
        ),
        (&["tasks"], ["-p", "0"], "a task is on none of its own"),
        (
            &["tasks"],
            ["--region", "x"],
            "a task is on none of its own",
        ),
        (
            &["leaks"],
            ["--where", "g == 1"],
            "what leaks has not ended",
        ),
    ] {
        let refused = ask(command, &filter, &trace);
        assert_eq!(refused.status, 2, "{command:?} {filter:?}");
        assert!(
            refused.stderr.contains(why),
            "{command:?}: {}",
            refused.stderr
        );
    }
    // Go's figures are of the whole trace, and the records of a file are not events.
    for command in [
        &["goroutines", "--as-go"][..],
        &["tasks", "--as-go"],
        &["regions", "--as-go"],
        &["pprof", "--sync", "--as-go"],
        &["dump", "--wire"],
    ] {
        for filter in [
            ["-g", "1"],
            ["-p", "0"],
            ["--stack", "x"],
            ["--from", "1ms"],
        ] {
            let refused = ask(command, &filter, &trace);
            assert_eq!(refused.status, 2, "{command:?} {filter:?}");
        }
    }
    let refused = ask(&["blocked"], &["--from", "2ms", "--to", "1ms"], &trace);
    assert_eq!(refused.status, 2);
    assert!(refused.stderr.contains("no event can be between them"));
}

/// Every command that takes filters explains them.
#[test]
fn help_explains_filters() {
    for command in [
        "blocked",
        "latency",
        "leaks",
        "goroutines",
        "tasks",
        "regions",
        "pprof",
    ] {
        let help = run([command, "--help"]);
        for text in [
            "TIME is one of",
            "EXPR compares",
            "counts as if it",
            "--where <EXPR>",
        ] {
            assert!(help.text().contains(text), "{command}: {text}");
        }
    }
    for command in WHOLE.iter().chain(&["diff"]) {
        let help = run([*command, "--help"]);
        for text in ["TIME is one of", "--last <DURATION>"] {
            assert!(help.text().contains(text), "{command}: {text}");
        }
    }
}
