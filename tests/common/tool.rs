//! The command-line tool, run as a person or a script would.

#[allow(unused_imports, reason = "not every test waits")]
pub use super::live::wait_for;
use serde_json::Value;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

pub fn gotrace<I: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gotrace"));
    command.args(args).stdin(Stdio::null());
    // What the caller's terminal wants is not to reach the tests.
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}

/// What a command printed and how it ended.
pub struct Run {
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Run {
    pub fn of(output: Output) -> Run {
        Run {
            status: output.status.code().expect("not killed by a signal"),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("UTF-8")
    }

    pub fn json(&self) -> Vec<Value> {
        let lines = self.text().lines();
        lines
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }

    /// Standard output of a command that must have gone well.
    #[track_caller]
    pub fn ok(self) -> Vec<u8> {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""));
        self.stdout
    }
}

pub fn run<I: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = I>) -> Run {
    Run::of(gotrace(args).output().expect("running gotrace"))
}

pub fn run_with_input<I: AsRef<std::ffi::OsStr>>(
    args: impl IntoIterator<Item = I>,
    input: &[u8],
) -> Run {
    let mut child = gotrace(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("running gotrace");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        // It may end before it has read everything.
        scope.spawn(move || stdin.write_all(input));
        Run::of(child.wait_with_output().expect("waiting for gotrace"))
    })
}

/// A directory of its own for the files of one test.
pub fn directory(test: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("cli")
        .join(test);
    std::fs::create_dir_all(&dir).expect("a directory");
    dir
}

/// The same, without what an earlier run left there.
pub fn clean(test: &str) -> PathBuf {
    std::fs::remove_dir_all(directory(test)).ok();
    directory(test)
}

pub fn file(test: &str, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory(test).join(name);
    std::fs::write(&path, bytes).expect("writing a file");
    path
}

pub fn dump(path: &Path) -> Vec<u8> {
    run(["dump".as_ref(), "--wire".as_ref(), path.as_os_str()]).ok()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A terminal of its own is what `script` gives; without it the test has nothing to run on.
pub fn on_a_terminal(command: &str, environment: &[(&str, &str)]) -> Option<String> {
    let output = Command::new("script")
        .args(["-qec", command, "/dev/null"])
        .stdin(Stdio::null())
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .envs(environment.iter().copied())
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// As [`gotrace`], in a directory, and with both outputs in pipes.
pub fn gotrace_in(dir: &Path, args: &[&str]) -> Command {
    let mut command = gotrace(args);
    command.current_dir(dir);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts the tool in a directory; what is written to the pipe is its standard input.
pub fn fed(dir: &Path, args: &[&str]) -> (Child, ChildStdin) {
    let mut command = gotrace_in(dir, args);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("gotrace");
    let input = child.stdin.take().expect("a pipe");
    (child, input)
}

/// Standard error of a command that must end with this status.
#[track_caller]
pub fn ended(output: Output, status: i32) -> String {
    let run = Run::of(output);
    assert_eq!(run.status, status, "{}", run.stderr);
    run.stderr
}

/// As [`ended`], of one that is waited for.
#[track_caller]
pub fn finish(child: Child, status: i32) -> String {
    ended(child.wait_with_output().expect("gotrace"), status)
}

/// A command that runs the tool after what a shell does first.
pub fn after<S: AsRef<std::ffi::OsStr>>(shell: &str, args: &[S]) -> Command {
    let mut command = Command::new("sh");
    let tool = env!("CARGO_BIN_EXE_gotrace");
    command.args(["-c", &format!("{shell}; exec \"$@\""), "sh", tool]);
    command.args(args).stdin(Stdio::null());
    command
}

/// The names of all that is in a directory, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.expect("an entry").file_name();
        name.into_string().expect("UTF-8")
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

/// Makes a named pipe.
pub fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.expect("a command mkfifo").success());
}

/// Makes a named pipe that nobody reads, but for who asks to.
pub fn stuck_pipe(path: &Path) -> File {
    make_pipe(path);
    let both = File::options().read(true).write(true).open(path);
    both.expect("a pipe")
}

/// An address of this machine that nobody listens at.
pub fn free_address() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    free.local_addr().expect("an address").to_string()
}

/// Memory that a process has in use, in bytes; none where Linux's `/proc` is not there.
pub fn resident(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib << 10)
}

/// Sends a signal, by its name as `-USR1`.
pub fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let status = Command::new("kill").args([name, &id]).status();
    assert!(status.expect("a command kill").success());
}
