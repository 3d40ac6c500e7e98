//! Tests that cannot run where they are: each says so as it passes, and all of them at the end.
//!
//! What a test prints is shown only if it fails. What is written here is always shown.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What the tests of one `cargo test` could not do: its binaries have the same parent.
pub fn list() -> PathBuf {
    #[cfg(unix)]
    let run = std::os::unix::process::parent_id();
    #[cfg(not(unix))]
    let run = 0;
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("skipped-{run}"))
}

/// Reports that this thread's test does not run, or a part of it.
pub fn skip(why: impl Display) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Unlike with `eprintln`, nothing keeps this back.
    let line = format!("skipped: {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).ok();
    fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).ok();
    let list = File::options().append(true).create(true).open(list());
    let added = list.and_then(|mut list| list.write_all(line.as_bytes()));
    added.expect("the list of skipped tests");
}
