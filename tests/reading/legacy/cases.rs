//! The cases of `cases.txt`: a small trace for each rule.

use super::{canonical, events, lines, split, text};
use crate::common::go::Go;

/// The title, the trace in text form, and what is expected of it.
fn cases() -> Vec<(&'static str, String, &'static str)> {
    let whole = include_str!("cases.txt");
    let parts = whole.split("\n== ").skip(1).map(|part| {
        let (title, rest) = part.split_once('\n').expect("a title");
        let (trace, expected) = rest.split_once("-- expect --\n").expect("expectations");
        let trace = match trace.strip_prefix("! bare\n") {
            Some(bare) => bare.to_owned(),
            None => whole_trace(trace),
        };
        (title, trace, expected.trim_end())
    });
    parts.collect()
}

fn whole_trace(records: &str) -> String {
    let (version, records) = match records.split_once('\n') {
        Some((first, rest)) if first.starts_with("Trace ") => (first, rest),
        _ => ("Trace Go1.21", records),
    };
    format!(
        "{version}
Batch p=0 ticks=100
ProcStart dt=1 thread=7
GoCreate dt=1 g=1
GoStart dt=1 g=1 seq=1
Gomaxprocs dt=1 procs=1
{records}Batch p=0 ticks=1000
String id=1 data=\"one\"
Stack id=1 size=1
\tpc=0x10 func=1 file=1 line=3
Frequency freq=1000000000
"
    )
}

#[test]
fn each_rule_has_a_case() {
    let mut failed = Vec::new();
    let all = cases();
    assert!(all.len() > 25);
    for (title, trace, expected) in all {
        let found = lines(&text::assemble(&trace));
        if found.trim_end() != expected {
            failed.push(format!("== {title}\n{found}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Go gives the same events, or refuses the trace as well.
#[test]
fn go_agrees() {
    let Some(go) = Go::find() else { return };
    let reference = go.reference();
    for (title, trace, _) in cases() {
        let bytes = text::assemble(&trace);
        let theirs = reference.events(&bytes);
        let (ours, error) = events(&bytes);
        assert_eq!(
            theirs.error.is_some(),
            error.is_some(),
            "{title}: {error:?}"
        );
        if error.is_none() {
            let theirs = String::from_utf8_lossy(&theirs.text).into_owned();
            let ours = canonical(ours.iter().map(String::as_str));
            assert_eq!(canonical(split(&theirs).into_iter()), ours, "{title}");
        }
    }
}
