//! The scripts of the repository on machines that lack something.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A directory of commands that are not what they seem.
struct Fakes(PathBuf);

impl Fakes {
    fn new(test: &str) -> Fakes {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("scripts")
            .join(test);
        fs::remove_dir_all(&dir).ok();
        fs::create_dir_all(&dir).expect("a directory");
        Fakes(dir)
    }

    fn add(&self, command: &str, script: &str) {
        let path = self.0.join(command);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("writing a command");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
    }

    /// What the commands left in a file beside them.
    fn log(&self) -> String {
        fs::read_to_string(self.0.join("log")).unwrap_or_default()
    }

    /// Runs a script of the repository; its commands are these, and those on `path`.
    fn run(&self, script: &str, args: &[&str], path: &str) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
        let path = format!("{}:{path}", self.0.display());
        let mut bash = Command::new("/bin/bash");
        bash.arg(script).args(args).env("PATH", path);
        bash.env("FAKES", &self.0).env("RUSTC", "rustc-web");
        bash.env_remove("GO").env("SANITIZER", "address");
        bash.output().expect("bash")
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The path of this process: what a script does before it lacks something takes `sed` and the like.
fn path() -> String {
    std::env::var("PATH").expect("a path")
}

/// A package manager in which these packages are installed; of the others it knows nothing, and
/// answers 1 when it is asked about one of them.
fn debian(test: &str, installed: &[&str]) -> Fakes {
    let fakes = Fakes::new(test);
    fs::write(fakes.0.join("installed"), installed.join("\n") + "\n").expect("a list");
    fakes.add(
        "dpkg-query",
        "status=0
        for package; do
            case $package in
                -*) ;;
                *) grep -x \"$package\" \"$FAKES/installed\" | sed 's/^/installed /' | grep . || status=1 ;;
            esac
        done
        exit $status",
    );
    fakes.add("apt-get", "echo \"$*\" >>\"$FAKES/log\"");
    fakes.add("sudo", "exec \"$@\"");
    // The step ends here.
    fakes.add("cargo", "exit 3");
    fakes
}

#[test]
fn ci_installs_the_packages_that_are_missing() {
    for installed in [&[][..], &["rustc-web"], &["binutils", "rust-web-src"]] {
        let fakes = debian("missing", installed);
        let output = fakes.run(".ci/run", &["probe"], &path());
        let missing = ["rustc-web", "rust-web-src", "binutils"]
            .into_iter()
            .filter(|package| !installed.contains(package));
        let missing = missing.collect::<Vec<_>>().join(" ");
        assert_eq!(
            fakes.log(),
            format!("update -qq\ninstall -qq -y --no-install-recommends {missing}\n"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn ci_installs_nothing_that_is_there() {
    let fakes = debian("there", &["rustc-web", "rust-web-src", "binutils"]);
    fakes.run(".ci/run", &["probe"], &path());
    assert_eq!(fakes.log(), "");
}

#[test]
fn ci_does_not_end_in_silence() {
    let fakes = debian("silence", &[]);
    fakes.add("apt-get", "exit 100");
    let output = fakes.run(".ci/run", &["probe"], &path());
    assert!(!output.status.success());
    let stderr = stderr(&output);
    assert!(stderr.contains("status 100: "), "{stderr}");
    assert!(stderr.contains("apt-get update"), "{stderr}");

    let output = debian("step", &[]).run(".ci/run", &["prob"], &path());
    assert_eq!(output.status.code(), Some(2));
}

/// What a script lacks, one after the other, and the word by which it says how to get it.
const LACKS: &[(&str, &[(&str, &str)])] = &[
    (".ci/run", &[("cargo", "https://rustup.rs")]),
    (
        "fuzz/run",
        &[
            ("cargo", "https://rustup.rs"),
            ("cargo-fuzz", "cargo install --locked cargo-fuzz"),
            ("c++", "package g++"),
        ],
    ),
    (
        "tests/probe/run",
        &[
            ("cargo", "https://rustup.rs"),
            ("rustc", "https://rustup.rs"),
            ("rustc-web", "package rustc-web"),
            ("readelf", "package binutils"),
            ("", "package rust-web-src"),
        ],
    ),
    (
        "examples/firmware/run",
        &[
            ("cargo", "https://rustup.rs"),
            ("rustc", "https://rustup.rs"),
            ("rustc-web", "package rustc-web"),
            ("qemu-system-arm", "package qemu-system-arm"),
            ("", "package rust-web-src"),
        ],
    ),
    ("tests/go/build", &[("go", "https://go.dev/dl")]),
    ("tests/fixtures/expected", &[("go", "https://go.dev/dl")]),
    (
        "tests/fixtures/make",
        &[
            ("python3", "package python3\n"),
            ("", "package python3-venv"),
        ],
    ),
];

#[test]
fn a_script_that_lacks_a_command_says_what_brings_it() {
    for (script, lacks) in LACKS {
        let fakes = Fakes::new("lacks");
        for (command, brings) in *lacks {
            let output = fakes.run(script, &["1"], "/nonexistent");
            let stderr = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{script}: {stderr}");
            assert!(stderr.contains(command), "{script}: {stderr}");
            assert!(stderr.contains(brings), "{script}: {brings}: {stderr}");
            if !command.is_empty() {
                // A compiler says where it is: without sources.
                fakes.add(command, "echo /nonexistent; exit 1");
            }
        }
    }
}
