//! `gotrace doctor` and `gotrace diff`.

use crate::common::tool::{Run, directory, gotrace, run, run_with_input};
use crate::common::{fixture, fixtures_dir};

fn disease(name: &str) -> String {
    let path = fixtures_dir().join(format!("diseases/{name}.trace.gz"));
    path.to_str().unwrap().to_owned()
}

#[test]
fn findings_are_printed_with_number_place_and_command() {
    // A short name, so that every line fits.
    let convoy = "diseases/convoy.trace.gz";
    let mut command = gotrace(["doctor", convoy]);
    let run0 = Run::of(command.current_dir(fixtures_dir()).output().unwrap());
    assert_eq!((run0.status, run0.stderr.as_str()), (0, ""));
    let text = run0.text();
    assert!(
        text.contains("\nerror mutex-convoy: a convoy at a lock in main.convoy.func1"),
        "{text}"
    );
    assert!(text.contains(", the limit is 20.0 %\n"), "{text}");
    assert!(
        text.contains(&format!("  see: gotrace blocked {convoy}\n")),
        "{text}"
    );
    assert!(
        text.lines()
            .all(|line| line.chars().count() <= 80 || line.contains("see: ")),
        "{text}"
    );
    let healthy = fixture("http-go1.27").path;
    let healthy = healthy.to_str().unwrap();
    let run0 = run(["doctor", healthy]);
    assert!(
        run0.text().ends_with("events\nnothing is found\n"),
        "{}",
        run0.text()
    );
}

#[test]
fn findings_as_json_limits_and_status() {
    let (convoy, healthy) = (disease("convoy"), disease("healthy"));
    let run0 = run(["doctor", "--json", &convoy, &healthy]);
    let objects = run0.json();
    assert_eq!((run0.status, objects.len()), (0, 2));
    let csv = run(["doctor", "--csv", &convoy, &healthy]).ok();
    let mut csv = csv::Reader::from_reader(&csv[..]);
    let rows: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
    let found = objects[0]["findings"].as_array().unwrap();
    assert_eq!(rows.len(), found.len());
    for (row, finding) in rows.iter().zip(found) {
        assert_eq!(row[0], convoy);
        for (at, key) in [
            (1, "severity"),
            (2, "rule"),
            (4, "measure"),
            (10, "message"),
        ] {
            assert_eq!(finding[key], row[at], "{key}");
        }
        assert_eq!(finding["number"].to_string(), row[3]);
        assert_eq!(finding["limit"].to_string(), row[5]);
        assert_eq!(finding["stack"][0], row[9]);
    }
    let finding = &objects[0]["findings"][0];
    assert_eq!(finding["rule"], "mutex-convoy");
    assert_eq!(finding["severity"], "error");
    assert_eq!(finding["measure"], "millionths");
    assert_eq!(finding["limit"], 200_000);
    assert_eq!(finding["function"], "main.convoy.func1");
    assert!(finding["number"].as_u64().unwrap() > 200_000);
    assert!(finding["time"].as_i64().unwrap() > 0);
    assert!(
        finding["stack"]
            .as_array()
            .unwrap()
            .iter()
            .any(|frame| *frame == "main.convoy.func1")
    );
    assert_eq!(finding["command"], "gotrace blocked FILE");
    assert!(
        objects[1]["findings"]
            .as_array()
            .unwrap()
            .iter()
            .all(|f| f["severity"] == "note")
    );
    for (args, status) in [
        (&["--fail", "error"][..], 3),
        (&["--fail", "error", "--limit", "mutex-convoy=50%,100%"], 0),
        (
            &["--fail", "warning", "--limit", "mutex-convoy=50%,100%"],
            3,
        ),
        (&["--limit", "mutex-convoy=50%,100%"], 0),
    ] {
        let args = [&["doctor"], args, &[&convoy]].concat();
        assert_eq!(run(&args).status, status, "{args:?}");
    }
    assert_eq!(run(["doctor", "--fail", "warning", &healthy]).status, 0);
    for (limit, says) in [
        ("nothing=1,2", "there is no such rule: there are stw-long"),
        ("stw-long=1,2", "expected a duration with its unit"),
        ("stw-long=2ms,1ms", "above that for an error"),
        ("stw-long=2ms", "expected two limits"),
        ("leak", "expected RULE=WARNING,ERROR"),
    ] {
        let run2 = run(["doctor", "--limit", limit, &convoy]);
        assert_eq!(run2.status, 2, "{limit}");
        assert!(run2.stderr.contains(says), "{limit}: {}", run2.stderr);
    }
}

#[test]
fn a_damaged_trace_is_examined_as_far_as_it_goes() {
    let mut bytes = fixture("gc-go1.27").bytes();
    let half = bytes.len() / 2;
    bytes[half..half + 4096].fill(0);
    let run1 = run_with_input(["doctor", "--json", "-"], &bytes);
    assert_eq!(run1.status, 1);
    assert!(run1.json()[0]["error"].as_str().unwrap().contains("byte"));
    let run1 = run(["doctor", "no.trace"]);
    assert_eq!(run1.status, 1);
    let run4 = run([
        "doctor",
        fixtures_dir()
            .join("faults/f01-killed-1.27-panic.trace")
            .to_str()
            .unwrap(),
    ]);
    assert_eq!(run4.status, 4);
}

#[test]
fn traces_and_folders_are_compared() {
    let (healthy, pile) = (disease("healthy"), disease("pile"));
    let same = run(["diff", &healthy, &healthy]);
    assert_eq!((same.status, same.stderr.as_str()), (0, ""));
    assert!(
        same.text().starts_with("1 trace before, 1 trace after, "),
        "{}",
        same.text()
    );
    let convoy = disease("convoy");
    let args = [
        "diff", "--json", "--before", &healthy, &pile, "--after", &convoy, &convoy,
    ];
    let objects = run(args).json();
    assert_eq!(
        (&objects[0]["before"], &objects[0]["after"]),
        (&2.into(), &2.into())
    );
    let row = &objects[1];
    for member in [
        "kind", "name", "reason", "value", "before", "after", "shift", "effect", "p", "found",
    ] {
        assert!(!row[member].is_null() || member == "p", "{member}: {row}");
    }
    let dir = directory("diff");
    for side in ["a", "b"] {
        let side = dir.join(side);
        std::fs::create_dir_all(&side).unwrap();
        for copy in 0..6 {
            std::fs::copy(&healthy, side.join(format!("{copy}.gz"))).unwrap();
        }
    }
    let (a, b) = (dir.join("a"), dir.join("b"));
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    let six = run(["diff", "--fail", a, b]);
    assert_eq!(six.status, 0, "{}", six.stderr);
    assert!(six.text().starts_with(
        "6 traces before, 6 traces after, each trace counts once\nno change is found"
    ));
    let csv = run(["diff", "--csv", a, b]);
    assert!(
        csv.text()
            .starts_with("file,what,value,before,after,change,effect_ns,p\n"),
        "{}",
        csv.text()
    );
    // Twelve of them run, and then all wait.
    for copy in 0..6 {
        std::fs::copy(&convoy, dir.join(format!("b/{copy}.gz"))).unwrap();
    }
    let found = run(["diff", "--fail", a, b]);
    assert_eq!(found.status, 3, "{}", found.stderr);
    assert!(
        found.text().contains("waiting main.convoy.func1 sync"),
        "{}",
        found.text()
    );
    let usage = run(["diff", &healthy]);
    assert_eq!(usage.status, 2);
    let damaged = run_with_input(["diff", &healthy, "-"], b"go 1.26 trace\0\0\0nothing");
    assert_eq!(damaged.status, 1);
}
