//! `gotrace export`: what it writes, where, and what it leaves alone.

use crate::common::fixture;
use crate::common::tool::{gotrace, run};
use flate2::read::GzDecoder;
use std::fs;
use std::io::Read as _;

#[test]
fn a_file_a_compressed_one_and_the_standard_output_are_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let trace = fixture("http-go1.27").path;
    let (plain, packed) = (
        dir.path().join("t.pftrace"),
        dir.path().join("t.pftrace.gz"),
    );
    for out in [&plain, &packed] {
        let done = gotrace(["export", "perfetto"]).args([&trace, out]).output();
        let done = done.expect("running gotrace");
        assert!(done.status.success(), "{done:?}");
        assert!(done.stdout.is_empty() && done.stderr.is_empty(), "{done:?}");
    }
    let written = fs::read(&plain).expect("what was written");
    let mut unpacked = Vec::new();
    let file = fs::File::open(&packed).expect("what was written");
    GzDecoder::new(file)
        .read_to_end(&mut unpacked)
        .expect("gzip");
    assert!(written == unpacked);
    let shown = gotrace(["export", "perfetto"])
        .arg(&trace)
        .arg("-")
        .output();
    assert!(shown.expect("running gotrace").stdout == written);
    // A packet is field 1 of the trace, a message.
    assert_eq!(written[0], 0x0a);
    let fewer = gotrace([
        "export",
        "perfetto",
        "--goroutines",
        "3",
        "--no-flows",
        "--no-stacks",
    ])
    .arg(&trace)
    .arg("-")
    .output()
    .expect("running gotrace");
    assert!(fewer.stdout.len() * 2 < written.len());
    let note = String::from_utf8_lossy(&fewer.stderr).into_owned();
    assert!(note.contains("have no track of their own"), "{note}");
    // A part of it, as of every answer.
    let part = |times: &[&str]| {
        let command = gotrace(["export", "perfetto"])
            .args(times)
            .arg(&trace)
            .arg("-")
            .output();
        command.expect("running gotrace")
    };
    let short = part(&["--from", "20ms", "--to", "30ms"]);
    assert!(short.status.success() && short.stderr.is_empty());
    assert!(short.stdout.len() > 1_000 && short.stdout.len() * 4 < written.len());
    let nothing = part(&["--from", "1h"]);
    let note = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert!(
        note.contains("nothing is in this part of the trace"),
        "{note}"
    );
}

#[test]
fn what_is_before_damage_is_written_and_the_status_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut bytes = fs::read(fixture("http-go1.27").path).expect("a fixture");
    bytes.truncate(bytes.len() / 2);
    let (broken, out) = (
        dir.path().join("broken.trace"),
        dir.path().join("out.pftrace"),
    );
    fs::write(&broken, &bytes).expect("a file");
    let done = gotrace(["export", "perfetto"])
        .args([&broken, &out])
        .output();
    let done = done.expect("running gotrace");
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(out.exists());
}

#[test]
fn an_output_that_cannot_be_made_stays_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let trace = dir.path().join("a.trace");
    fs::copy(fixture("block-go1.27").path, &trace).expect("a copy");
    let before = fs::read(&trace).expect("a file");
    let same = gotrace(["export", "perfetto"])
        .args([&trace, &trace])
        .output();
    assert_eq!(same.expect("running gotrace").status.code(), Some(2));
    assert!(fs::read(&trace).expect("a file") == before);

    let none = dir.path().join("none.trace");
    let done = gotrace(["export", "perfetto"])
        .args([&none, &trace])
        .output();
    assert_eq!(done.expect("running gotrace").status.code(), Some(1));
    assert!(fs::read(&trace).expect("a file") == before);

    let help = run(["export", "perfetto", "--help"]).ok();
    assert!(String::from_utf8_lossy(&help).contains("ui.perfetto.dev"));
}
