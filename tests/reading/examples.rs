//! The examples, run as their heads say, on traces of this repository.
#![cfg(feature = "std")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Cargo builds examples with the tests, beside their folder.
fn example(name: &str) -> Command {
    let tests = std::env::current_exe().expect("the test's own path");
    let profile = tests.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let path = profile
        .join("examples")
        .join(name)
        .with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        path.exists(),
        "{} is not built: run `cargo build --examples`",
        path.display()
    );
    Command::new(path)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{name}.trace"))
}

fn run(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("starting an example");
    assert!(
        status.success(),
        "{status}: {}",
        String::from_utf8_lossy(&stderr)
    );
    String::from_utf8(stdout).expect("UTF-8")
}

fn input(name: &str) -> Stdio {
    File::open(fixture(name)).expect("a fixture").into()
}

fn out(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn network_share() {
    let text = run(example("network_share").stdin(input("http-go1.27")));
    assert_eq!(text, "448 of 1590 blockings are on the network: 28.2 %\n");
}

#[test]
fn slow_request() {
    let path = out("slow.trace");
    let mut command = example("slow_request");
    let text = run(command.arg("1").arg(&path).stdin(input("http-go1.27")));
    assert!(text.starts_with("a request took 6.225215ms: "), "{text}");
    let snapshot = std::fs::read(&path).expect("a snapshot");
    assert!(
        gotrace::Trace::new(&snapshot)
            .unwrap()
            .generations()
            .count()
            >= 1
    );

    std::fs::remove_file(&path).unwrap();
    let mut command = example("slow_request");
    let text = run(command.arg("1000").arg(&path).stdin(input("http-go1.27")));
    assert!(text.is_empty() && !path.exists(), "{text}");
}

#[test]
fn final_states() {
    let text = run(example("final_states").arg(fixture("block-go1.27")));
    let line = |id: &str| {
        let mut lines = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines
            .find(|words| words[0] == id)
            .unwrap_or_else(|| panic!("goroutine {id}: {text}"))
    };
    assert_eq!(line("1")[1..4], ["Running", "0.000129", "s"]);
    // It has waited since long before its generation began: announcements do not count.
    assert_eq!(
        line("20")[1..],
        [
            "Waiting",
            "0.057108",
            "s",
            "chan",
            "receive",
            "runtime.chanrecv1"
        ]
    );
}

#[test]
fn cpu_samples() {
    let text = run(example("cpu_samples").arg(fixture("profile-go1.27")));
    assert!(
        text.starts_with("13 samples\ncrypto/internal/fips140/sha256.blockSHANI @ 0x"),
        "{text}"
    );
    let count = |line: &str| {
        line.strip_suffix(" samples")
            .and_then(|n| n.parse::<u32>().ok())
    };
    let counts: Vec<u32> = text.lines().filter_map(count).collect();
    assert!(
        counts.is_sorted_by(|a, b| a >= b) && counts.iter().sum::<u32>() > 100,
        "{counts:?}"
    );
}

#[test]
fn late_subscriber() {
    let path = out("copy.trace");
    let mut command = example("late_subscriber");
    let text = run(command.arg(fixture("annotate-go1.27")).arg(&path));
    let lines: Vec<_> = text.lines().collect();
    // The second generation had begun when it joined, or had not.
    let late: Vec<_> = lines[0].split(' ').collect();
    assert!(
        late[0] == "late:" && ["1", "2"].contains(&late[3]),
        "{text}"
    );
    assert_eq!(
        lines[1..],
        [
            "recorder: 3 generations",
            "copy: 10278 bytes, ended by Finished"
        ]
    );
    assert_eq!(
        std::fs::read(path).unwrap(),
        std::fs::read(fixture("annotate-go1.27")).unwrap()
    );
}
