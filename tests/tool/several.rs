//! Several traces at once: one by one, and together.

use crate::common::fixture;
use crate::common::tool::run;
use serde_json::Value;

fn trace(name: &str) -> String {
    fixture(name).path.to_str().unwrap().to_owned()
}

fn rows(command: &[&str], traces: &[&str]) -> Vec<Value> {
    run(command.iter().chain(&["--json"]).chain(traces)).json()
}

fn together(command: &[&str], traces: &[&str]) -> Vec<Value> {
    let all = rows(&[command, &["--together"]].concat(), traces);
    for row in &all {
        assert_eq!(row.get("file"), Some(&Value::Null), "{command:?}: {row}");
    }
    all
}

fn number(row: &Value, key: &str) -> i64 {
    row[key]
        .as_i64()
        .unwrap_or_else(|| panic!("{key} in {row}"))
}

fn list(page: &[Value], key: &str) -> Vec<Value> {
    assert_eq!(page.len(), 1);
    page[0][key].as_array().unwrap().clone()
}

/// The same trace twice has everything twice, and takes as long as before.
#[test]
fn the_same_trace_twice() {
    let trace = trace("annotate-go1.27");
    let (once, twice) = ([trace.as_str()], [trace.as_str(); 2]);
    for (command, name, doubled, same) in [
        (
            &["goroutines"][..],
            "function",
            &["count", "total_ns"][..],
            &["runnable_p99_ns"][..],
        ),
        (
            &["goroutines", "--states"],
            "function",
            &["stays", "total_ns"],
            &["p99_ns"],
        ),
        (
            &["tasks"],
            "type",
            &["count", "open", "total_ns"],
            &["p50_ns", "max_ns"],
        ),
        (
            &["regions"],
            "place",
            &["count", "open", "running_ns"],
            &["p99_ns"],
        ),
    ] {
        let (one, two) = (rows(command, &once), together(command, &twice));
        assert_eq!(one.len(), two.len(), "{command:?}");
        assert!(!one.is_empty(), "{command:?}");
        for (one, two) in one.iter().zip(&two) {
            assert_eq!(one[name], two[name], "{command:?}");
            for key in doubled {
                assert_eq!(2 * number(one, key), number(two, key), "{command:?} {key}");
            }
            for key in same {
                assert_eq!(one[*key], two[*key], "{command:?} {key}");
            }
        }
    }
    let (one, two) = (rows(&["blocked"], &once), together(&["blocked"], &twice));
    let (one, two) = (list(&one, "places"), list(&two, "places"));
    assert_eq!(one.len(), two.len());
    for (one, two) in one.iter().zip(&two) {
        for key in [
            "place",
            "reason",
            "function",
            "woken_by",
            "longest_ns",
            "p99_ns",
            "most",
            "queue",
        ] {
            assert_eq!(one[key], two[key], "{key}");
        }
        for key in ["total_ns", "count", "still"] {
            assert_eq!(2 * number(one, key), number(two, key), "{key}");
        }
    }
    let (one, two) = (rows(&["latency"], &once), together(&["latency"], &twice));
    for key in [
        "p50_ns",
        "p99_ns",
        "longest_ns",
        "runnable_mean",
        "runnable_most",
    ] {
        assert_eq!(one[0][key], two[0][key], "{key}");
    }
    for key in [
        "count",
        "total_ns",
        "first_runs",
        "syscalls",
        "idle_while_runnable_ns",
    ] {
        assert_eq!(2 * number(&one[0], key), number(&two[0], key), "{key}");
    }
    for key in ["functions", "procs", "distribution"] {
        let (one, two) = (list(&one, key), list(&two, key));
        let counts =
            |rows: &[Value]| -> Vec<i64> { rows.iter().map(|row| number(row, "count")).collect() };
        let doubled: Vec<i64> = counts(&one).iter().map(|count| 2 * count).collect();
        assert_eq!(doubled, counts(&two), "{key}");
    }
    let (one, two) = (rows(&["summary"], &once), together(&["summary"], &twice));
    assert_eq!(two[0]["traces"], 2);
    for key in [
        "duration_ns",
        "events",
        "created",
        "sched_count",
        "gc_collections",
        "stw_total_ns",
    ] {
        assert_eq!(2 * number(&one[0], key), number(&two[0], key), "{key}");
    }
    for key in ["sched_p99_ns", "stw_longest_ns"] {
        assert_eq!(one[0][key], two[0][key], "{key}");
    }
    for key in ["busy", "busy_program", "gc_marking"] {
        let (one, two) = (one[0][key].as_f64().unwrap(), two[0][key].as_f64().unwrap());
        assert!((one - two).abs() < 1e-9, "{key}: {one} {two}");
    }
    assert_eq!(list(&two, "each_trace").len(), 2);
    let folded = |traces: &[&str]| -> i64 {
        let run = run(["pprof", "--wall", "--folded"].iter().chain(traces));
        let times = run.text().lines().map(|line| {
            let (_, time) = line.rsplit_once(' ').unwrap();
            time.parse::<i64>().unwrap()
        });
        times.sum()
    };
    assert_eq!(2 * folded(&once), folded(&twice));
    let as_go = |traces: &[&str]| {
        run(["pprof", "--sync", "--as-go", "--folded"]
            .iter()
            .chain(traces))
    };
    assert_eq!(
        as_go(&once).text().lines().count(),
        as_go(&twice).text().lines().count()
    );
}

/// Different traces have names of their own, and sums are of all.
#[test]
fn different_traces() {
    let (a, b) = (trace("http-go1.27"), trace("block-go1.25"));
    let traces = [a.as_str(), b.as_str()];
    let all = rows(&["goroutines"], &traces);
    let merged = together(&["goroutines"], &traces);
    let sum = |rows: &[Value], key: &str| -> i64 { rows.iter().map(|row| number(row, key)).sum() };
    assert_eq!(sum(&all, "count"), sum(&merged, "count"));
    assert_eq!(sum(&all, "total_ns"), sum(&merged, "total_ns"));
    let mut names: Vec<&str> = all
        .iter()
        .map(|row| row["function"].as_str().unwrap())
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), merged.len());
    let each = rows(&["blocked"], &traces);
    let places: Vec<Value> = each
        .iter()
        .flat_map(|page| page["places"].as_array().unwrap().clone())
        .collect();
    let merged = list(&together(&["blocked"], &traces), "places");
    assert_eq!(sum(&places, "total_ns"), sum(&merged, "total_ns"));
    assert_eq!(sum(&places, "count"), sum(&merged, "count"));
    for place in &merged {
        let same = |other: &&Value| other["source"] == place["source"];
        assert!(places.iter().any(|other| same(&other)), "{place}");
    }
    // One that cannot be read is reported, and the others are answered for.
    let partly = run(["latency", "--together", "--json", &a, "no-such.trace"]);
    assert_eq!(partly.status, 1);
    assert!(partly.stderr.contains("no-such.trace"));
    let one = rows(&["latency"], &[&a]);
    let partly: Value = serde_json::from_slice(&partly.stdout).unwrap();
    assert_eq!(partly["p99_ns"], one[0]["p99_ns"]);
    for command in ["goroutines", "tasks", "regions"] {
        assert_eq!(run([command, "--each", "--together", &a]).status, 2);
    }
}
