//! What programs are promised: every member of the JSON is in the help of its command, and in the chapter
//! that has them all.

use crate::common::fixture;
use crate::common::tool::run;
use serde_json::Value;
use std::collections::BTreeSet;

/// The keys of all objects in a value.
fn keys(value: &Value, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                all.insert(key.clone());
                keys(value, all);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| keys(value, all)),
        _ => {}
    }
}

#[test]
fn every_member_is_documented() {
    let trace = |name: &str| fixture(name).path.to_str().unwrap().to_owned();
    let (http, gc) = (trace("http-go1.27"), trace("gc-go1.27"));
    let (annotate, block) = (trace("annotate-go1.27"), trace("block-go1.27"));
    let disease = crate::common::fixtures_dir().join("diseases/convoy.trace.gz");
    let disease = disease.to_str().unwrap();
    for command in [
        &["summary", &annotate][..],
        &["summary", "--together", &annotate, &http],
        &["explain", &http],
        &["explain", "-g", "1", &block],
        &["blocked", &http],
        &["latency", &http],
        &["leaks", "--min-age", "1ms", &block],
        &["at", "10ms", &http],
        &["goroutines", &http],
        &["goroutines", "--states", &http],
        &["goroutines", "--each", &http],
        &["tasks", &annotate],
        &["tasks", "--each", &annotate],
        &["regions", &annotate],
        &["regions", "--each", &annotate],
        &["gc", &gc],
        &["gc", "--pauses", &gc],
        &["doctor", disease],
        &["assert", "stw.max < 10s", &http],
        &["assert", "--list", &http],
        &["diff", &block, &http],
        &["stat", &http],
    ] {
        let name = command[0];
        let help = run([name, "--help"]).text().to_owned();
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words: BTreeSet<&str> = help.split(|c| !is_word(c)).collect();
        let mut all = BTreeSet::new();
        for line in run(command.iter().copied().chain(["--json"])).json() {
            keys(&line, &mut all);
        }
        assert!(!all.is_empty(), "{command:?}");
        for key in all {
            assert!(words.contains(&*key), "gotrace {name} --help lacks {key}");
        }
        let chapter = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs");
        let schema = std::fs::read_to_string(chapter.join(format!("schema/{name}.txt"))).unwrap();
        let listed = std::fs::read_to_string(chapter.join("mod.rs")).unwrap();
        assert!(listed.contains(&format!("schema!(\"{name}\")")), "{name}");
        assert!(
            help.replace('\n', " ")
                .contains(schema.lines().next().unwrap()),
            "{name}"
        );
    }
}
