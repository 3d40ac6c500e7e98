//! `gotrace assert`, and filters by expressions.

use crate::common::tool::{directory, file, run, run_with_input};
use crate::common::{fixture, fixtures_dir};

fn gc() -> String {
    fixture("gc-go1.27").path.to_str().unwrap().to_owned()
}

#[test]
fn what_holds_is_success_and_what_does_not_is_status_3() {
    let gc = gc();
    let run3 = run(["assert", "gc.cycles > 1", "stw.max < 1ns", &gc]);
    assert_eq!((run3.status, run3.stderr.as_str()), (3, ""));
    let text = run3.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].starts_with("ok    gc.cycles > 1  gc.cycles = "),
        "{text}"
    );
    assert!(
        lines[1].starts_with("FAIL  stw.max < 1ns  stw.max = "),
        "{text}"
    );
    assert_eq!(
        run(["assert", "gc.cycles > 1 && events > 10", &gc]).status,
        0
    );
    // What has no value fails, unless that is allowed.
    let missing = run(["assert", r#"task("x").p99 < 1s"#, &gc]);
    assert_eq!(missing.status, 3);
    assert!(missing.text().contains(r#"task("x").p99 has no value"#));
    assert_eq!(run(["assert", r#"task("x").p99? < 1s"#, &gc]).status, 0);
    assert_eq!(run(["assert", r#"task("x").count == 0"#, &gc]).status, 0);
}

#[test]
fn assertions_as_csv() {
    let gc = gc();
    let words = ["gc.cycles > 1 && events > 10", r#"task("x").p99 < 1s"#];
    let judged = run(["assert", "--csv", words[0], words[1], &gc]);
    assert_eq!(judged.status, 3);
    let text = judged.text();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("file,expression,ok,name,value,unit"));
    let rows: Vec<&str> = lines.map(|line| line.strip_prefix(&*gc).unwrap()).collect();
    assert_eq!(rows.len(), 3, "{text}");
    assert!(rows[0].starts_with(",gc.cycles > 1 && events > 10,true,gc.cycles,"));
    assert!(rows[1].starts_with(",gc.cycles > 1 && events > 10,true,events,"));
    assert_eq!(
        rows[2],
        r#","task(""x"").p99 < 1s",false,"task(""x"").p99",,ns"#
    );
}

#[test]
fn expressions_are_checked_before_anything_is_read() {
    for (args, says) in [
        (
            &["assert", "stw.mx < 1ms", "no.trace"][..],
            "did you mean stw.max?\n  stw.mx < 1ms\n  ^",
        ),
        (
            &["assert", "stw.max < 1", "no.trace"],
            "column 11: expected a duration with its unit",
        ),
        (
            &["assert", "stw.max < 1ms"],
            "an expression and a trace are needed",
        ),
        (
            &["assert", "--list", "gc.cycles > 1", "no.trace"],
            "--list takes no expressions",
        ),
        (
            &["dump", "--where", "duration > 10", "no.trace"],
            "column 12: expected a duration",
        ),
        (
            &["dump", "--where", "kind = 'Log'", "no.trace"],
            "\n  kind = 'Log'\n       ^",
        ),
        (
            &["dump", "--wire", "--where", "g == 1", "no.trace"],
            "cannot be used with",
        ),
        (&["dump", "--last", "2", "no.trace"], "with its unit"),
        (
            &["dump", "--last", "2s", "--from", "1s", "no.trace"],
            "cannot be used with",
        ),
    ] {
        let run = run(args);
        assert_eq!(run.status, 2, "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(says), "{args:?}: {}", run.stderr);
    }
    let run = run(["assert", "events > 1", "no.trace"]);
    assert_eq!(run.status, 1);
}

#[test]
fn several_traces_rules_and_reports_for_machines() {
    let dir = directory("assert");
    let rules = file(
        "assert",
        "rules",
        b"# limits\n\n  gc.cycles > 1\nstw.max < 1ns\n",
    );
    let xml = dir.join("report.xml");
    let http = fixture("http-go1.27").path;
    let (gc, http) = (gc(), http.to_str().unwrap());
    let args = [
        "assert",
        "--json",
        "--github",
        "--rules",
        rules.to_str().unwrap(),
        "--junit",
    ];
    let args = [&args[..], &[xml.to_str().unwrap(), "--trace", http, &gc]].concat();
    let run3 = run(&args);
    assert_eq!(run3.status, 3, "{}", run3.stderr);
    let text = run3.text();
    let objects: Vec<serde_json::Value> = text
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["file"], gc.as_str());
    assert_eq!(
        (&objects[0]["ok"], &objects[0]["error"]),
        (&false.into(), &serde_json::Value::Null)
    );
    let assertions = objects[1]["assertions"].as_array().unwrap();
    assert_eq!(assertions[1]["expression"], "stw.max < 1ns");
    assert_eq!(assertions[1]["ok"], false);
    assert_eq!(assertions[1]["values"][0]["unit"], "ns");
    assert!(assertions[1]["values"][0]["value"].as_u64().unwrap() > 1);
    let annotations: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("::error"))
        .collect();
    assert_eq!(annotations.len(), 2);
    assert!(annotations[0].starts_with("::error file="), "{text}");
    assert!(
        annotations[0].contains(",title=stw.max < 1ns::stw.max = "),
        "{text}"
    );
    let xml = std::fs::read_to_string(xml).unwrap();
    assert!(
        xml.contains(
            r#"<testsuites name="gotrace" tests="4" skipped="0" failures="2" errors="0">"#
        ),
        "{xml}"
    );
    assert!(xml.contains(r#"<testcase name="stw.max &lt; 1ns" classname="gotrace.assert">"#));
    let bad = file("assert", "bad", b"gc.cycles > 1\n\nstw.max\nstw < 1ms\n");
    let run2 = run(["assert", "--rules", bad.to_str().unwrap(), &gc]);
    assert_eq!(run2.status, 2);
    assert!(run2.stderr.contains("line 4: column 1"), "{}", run2.stderr);
}

#[test]
fn a_damaged_trace_is_status_1_and_is_judged_as_far_as_it_goes() {
    let mut bytes = fixture("gc-go1.27").bytes();
    let half = bytes.len() / 2;
    bytes[half..half + 4096].fill(0);
    let run1 = run_with_input(["assert", "--json", "events >= 0", "-"], &bytes);
    assert_eq!(run1.status, 1);
    let object = &run1.json()[0];
    assert_eq!(object["ok"], false);
    assert!(object["error"].as_str().unwrap().contains("byte"));
    let early = fixtures_dir().join("faults/f01-killed-1.27-panic.trace");
    assert_eq!(
        run(["assert", "events > 1", early.to_str().unwrap()]).status,
        4
    );
}

/// Every metric that is listed can be asserted, by the name and value that are printed.
#[test]
fn what_is_listed_can_be_asserted() {
    for name in ["http-go1.27", "annotate-go1.22", "annotate-go1.21"] {
        let path = fixture(name).path;
        let path = path.to_str().unwrap();
        let listed = run(["assert", "--list", "--json", path]);
        let lines = listed.json();
        assert!(lines.len() > 100, "{name}");
        let mut rules = Vec::new();
        for line in &lines {
            let unit = match line["unit"].as_str().unwrap() {
                "bytes" => "B",
                unit => unit,
            };
            // Of others, the decimals were rounded.
            if line["value"].is_u64() {
                rules.push(format!(
                    "{} == {}{unit}",
                    line["name"].as_str().unwrap(),
                    line["value"]
                ));
            }
        }
        let rules = file("listed", "rules", rules.join("\n").as_bytes());
        let run = run(["assert", "--rules", rules.to_str().unwrap(), path]);
        assert_eq!(run.status, 0, "{name}: {}{}", run.stderr, run.text());
    }
}

#[test]
fn dump_takes_the_last_of_a_trace_also_of_a_stream() {
    let path = fixture("http-go1.27").path;
    let path = path.to_str().unwrap();
    let mapped = run(["dump", "--last", "1ms", "--stacks", "none", path]).ok();
    assert!(!mapped.is_empty());
    let all = run(["dump", "--stacks", "none", path]).ok();
    assert!(all.ends_with(&mapped) && mapped.len() < all.len());
    let zipped = crate::common::tool::gzip(&std::fs::read(path).unwrap());
    let zipped_path = file("last", "trace.gz", &zipped);
    let streamed = run([
        "dump",
        "--last",
        "1ms",
        "--stacks",
        "none",
        zipped_path.to_str().unwrap(),
    ]);
    assert!(streamed.ok() == mapped);
    let piped = run_with_input(["dump", "--last", "1ms", "-"], &zipped);
    assert_eq!(piped.status, 1);
    assert!(piped.stderr.contains("read twice"), "{}", piped.stderr);
}
