//! The tool on traces of before Go 1.22.

use crate::common;

use common::fixture;
use common::tool::{Run, directory, file, gzip, run};
use std::path::{Path, PathBuf};

fn dump(path: &Path, options: &[&str]) -> Run {
    let options = options.iter().map(Path::new);
    run([Path::new("dump")].into_iter().chain(options).chain([path]))
}

/// As a file that can be mapped, and as one that cannot.
fn both(test: &str) -> [PathBuf; 2] {
    let old = fixture("annotate-go1.21");
    let packed = file(test, "old.gz", &gzip(&old.bytes()));
    [old.path, packed]
}

#[test]
fn mapped_and_compressed_are_read_alike() {
    let [mapped, packed] = both("old_alike");
    let commands: &[&[&str]] = &[
        &["--stacks=none"],
        &["--json", "--kind=Log"],
        &["--wire", "--header"],
        &["--generation=1"],
    ];
    for command in commands {
        let text = |path: &Path| dump(path, command).ok();
        let expected = text(&mapped);
        assert!(!expected.is_empty(), "{command:?}");
        assert!(text(&packed) == expected, "{command:?}");
    }
    let wire = dump(&mapped, &["--wire", "--header"]);
    let wire = wire.text();
    assert!(wire.starts_with("Trace Go1.21\nBatch "), "{wire}");
    for path in [&mapped, &packed] {
        let none = dump(path, &["--generation=2"]);
        assert_eq!(none.status, 1);
        let says = "has no generation 2 or later\n";
        assert!(none.stderr.ends_with(says), "{}", none.stderr);
    }
}

#[test]
fn stat_and_check_count_the_same_events() {
    for path in both("old_counts") {
        let path = path.to_str().unwrap();
        let stat = &run(["stat", "--json", path]).json()[0];
        let check = &run(["check", "--json", path]).json()[0];
        assert_eq!(check["ok"], true);
        assert_eq!(check["generations"], 1);
        assert!(check["events"].as_u64().unwrap() > 100);
        assert_eq!(stat["events"], check["events"]);
        assert_eq!(stat["sync_events"], 2);
        assert_eq!(stat["size"], fixture("annotate-go1.21").bytes().len());
    }
}

#[test]
fn what_cannot_be_says_so() {
    let dir = directory("old_refused");
    let out = dir.join("out.trace");
    let old = fixture("annotate-go1.21").path;
    let [old, out] = [&old, &out].map(|path| path.to_str().unwrap());
    let tables = run(["stat", "--tables", old]);
    let says = "only tables that grow can read a trace of before Go 1.22\n";
    assert!(tables.stderr.ends_with(says), "{}", tables.stderr);
    assert_eq!(tables.status, 1);
    let live = run(["stat", "--follow", old]);
    assert_eq!(live.status, 1);
    let says = "trace version go 1.21 has no generations";
    assert!(live.stderr.contains(says), "{}", live.stderr);
    let large = run([
        "dump",
        "--max-memory=100",
        "--wire",
        &both("old_large")[1].to_string_lossy(),
    ]);
    assert_eq!(large.status, 1);
    assert!(
        large.stderr.ends_with("; --max-memory raises it\n"),
        "{}",
        large.stderr
    );
    let recorded = run(["record", "--out", out, old]);
    assert_eq!(recorded.status, 1, "{}", recorded.stderr);
    assert!(recorded.stderr.contains(says), "{}", recorded.stderr);
}

/// That Go wrote a trace which nothing can read is said, so that nobody looks for damage.
#[test]
fn a_fault_of_go_is_named() {
    let path = fixture("cgo-go1.21").path;
    let check = run([Path::new("check"), &path]);
    assert_eq!(check.status, 1);
    let says = "this is a fault of Go 1.21 where C calls Go";
    assert!(check.stderr.contains(says), "{}", check.stderr);
}
