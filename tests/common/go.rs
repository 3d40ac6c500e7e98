//! Go's own trace reader as a peer: `tests/go/reference`, built inside a Go distribution.
//!
//! Without a Go toolchain [`Go::find`] reports a skipped test and returns `None`; the test then passes
//! unrun:
//!
//! ```ignore
//! let Some(go) = Go::find() else { return };
//! let mut serve = go.reference().serve();
//! assert_eq!(serve.verdict(&trace).error, None);
//! ```

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

/// Older readers do not know all traces of the fixtures, or word errors in another way.
const OLDEST: u32 = 27;

/// A Go toolchain whose trace reader can be compared with.
#[derive(Debug, Clone)]
pub struct Go {
    command: OsString,
    version: String,
    root: PathBuf,
}

/// `go tool trace` of a toolchain from Go 1.22 on: a reader of its version.
#[derive(Debug, Clone)]
pub struct TraceTool {
    command: OsString,
    /// Of Go 1.22, 22.
    pub minor: u32,
}

impl TraceTool {
    /// That of the toolchain that `GO` names, or else of `go` on the path.
    pub fn find() -> Option<TraceTool> {
        let command = std::env::var_os("GO").unwrap_or_else(|| "go".into());
        let version = Command::new(&command)
            .args(["env", "GOVERSION"])
            .env("GOTOOLCHAIN", "local")
            .output();
        let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        match version.ok().and_then(|version| minor_of(&version)) {
            Some(minor) if minor >= 22 => Some(TraceTool { command, minor }),
            _ => {
                super::skipped::skip(format_args!("no Go toolchain from 1.22 on (set GO=...)"));
                None
            }
        }
    }

    /// Reads a trace to its end; the error is what the tool says.
    pub fn read(&self, trace: &[u8]) -> Result<(), String> {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let file = target.join(format!("tool-{}.trace", std::process::id()));
        std::fs::write(&file, trace).expect("a temporary file");
        let output = Command::new(&self.command)
            .args(["tool", "trace"])
            .arg(if self.minor == 22 {
                "-d=1"
            } else {
                "-d=parsed"
            })
            .arg(&file)
            .env("GOTOOLCHAIN", "local")
            .env("GOCACHE", target.join("go-cache"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .expect("starting the Go toolchain");
        std::fs::remove_file(&file).ok();
        let errors = String::from_utf8_lossy(&output.stderr);
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{}: {}", output.status, errors.trim())),
        }
    }
}

/// Of "go1.27.3", "go1.28rc1" or "devel go1.28-abcdef" the number behind the point.
fn minor_of(version: &str) -> Option<u32> {
    let (_, minor) = version.split_once("go1.")?;
    let minor = minor.split(|c: char| !c.is_ascii_digit()).next()?;
    minor.parse().ok()
}

impl Go {
    /// The toolchain that `GO` names, or else `go` on the path, if it is fit to build the reference.
    pub fn find() -> Option<Go> {
        let command = std::env::var_os("GO").unwrap_or_else(|| "go".into());
        match Go::examine(command) {
            Ok(go) => Some(go),
            Err(why) => {
                super::skipped::skip(format_args!("{why} (set GO=...)"));
                None
            }
        }
    }

    fn examine(command: OsString) -> Result<Go, String> {
        let output = Command::new(&command)
            .args(["env", "GOVERSION", "GOROOT"])
            .env("GOTOOLCHAIN", "local")
            .output()
            .map_err(|_| "no Go toolchain".to_owned())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines();
        let (version, root) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
        if minor_of(version).is_none_or(|minor| minor < OLDEST) {
            return Err(format!(
                "no Go toolchain from 1.{OLDEST} on, but {version:?}"
            ));
        }
        if !Path::new(root).join("src/internal/trace").is_dir() {
            return Err("no Go toolchain with the sources of its trace reader".to_owned());
        }
        Ok(Go {
            command,
            version: version.to_owned(),
            root: root.into(),
        })
    }

    /// `go1.27.3`, for messages.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The traces in text form that Go tests its own reader with, each with its name.
    pub fn test_traces(&self) -> Vec<(String, String)> {
        let dir = self.root.join("src/internal/trace/testdata/tests");
        let entries = std::fs::read_dir(&dir).expect("the traces of Go's tests");
        let paths = entries.map(|entry| entry.expect("a directory entry").path());
        let traces = paths.filter_map(|path| {
            let archive = std::fs::read_to_string(&path).ok()?;
            let (_, text) = archive.split_once("-- trace --\n")?;
            let name = path.file_stem()?.to_string_lossy().into_owned();
            Some((name, text.to_owned()))
        });
        traces.collect()
    }

    /// Where the distribution stands.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Builds a program of `tests/fixtures/gen`; gives the path of the executable. Each call builds
    /// it anew, under a name of the caller's choice. `GO_TRACED` names another toolchain for these,
    /// as old as one likes.
    pub fn build(&self, program: &str, name: &str) -> PathBuf {
        self.build_in("tests/fixtures/gen", program, name)
    }

    /// As [`Go::build`], of another module: in this folder of the package.
    pub fn build_in(&self, module: &str, program: &str, name: &str) -> PathBuf {
        let gen_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(module);
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let binary = target.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        let command = std::env::var_os("GO_TRACED").unwrap_or_else(|| self.command.clone());
        let output = Command::new(command)
            .args(["build", "-o"])
            .arg(&binary)
            .arg(format!("./{program}"))
            .current_dir(gen_dir)
            .envs([
                ("GOTOOLCHAIN", "local"),
                ("GOWORK", "off"),
                ("GOPROXY", "off"),
            ])
            .env("GOCACHE", target.join("go-cache"))
            .output()
            .expect("starting the Go toolchain");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "building {program} failed:\n{errors}"
        );
        binary
    }

    /// The reference command, built at its first use: once for each toolchain and each state of its
    /// source. Test binaries that need it at the same time wait for one of them to build it.
    pub fn reference(&self) -> Reference {
        Reference {
            binary: self.overlaid("reference"),
        }
    }

    /// The command that prints what Go's analyses make of a trace, built as the reference is.
    pub fn figures(&self) -> Figures {
        Figures {
            binary: self.overlaid("figures"),
        }
    }

    fn overlaid(&self, command: &str) -> PathBuf {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let read = |name: &str| std::fs::read(sources.join(name)).expect(name);
        let key = [
            read(&format!("{command}/main.go")),
            read("build"),
            self.command.as_encoded_bytes().to_vec(),
            self.version.clone().into_bytes(),
        ];
        let key = &super::sha256(&key.join(&0))[..16];
        let binary = target.join(format!("{command}-{key}{}", std::env::consts::EXE_SUFFIX));

        std::fs::create_dir_all(target).expect("the directory for temporary files");
        let lock = File::create(target.join("reference.lock")).expect("a lock file");
        lock.lock().expect("the lock on building the reference");
        if !binary.exists() {
            // Its name is the proof that it is complete.
            let fresh = target.join("reference-fresh");
            let output = Command::new("bash")
                .arg(sources.join("build"))
                .arg(&fresh)
                .arg(command)
                .env("GO", &self.command)
                .env("GOCACHE", target.join("go-cache"))
                .output()
                .expect("bash, to run tests/go/build");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "tests/go/build failed:\n{errors}");
            std::fs::rename(&fresh, &binary).expect("renaming what was built");
        }
        binary
    }
}

/// What Go's analyses make of traces: `tests/go/figures/main.go` says what it prints.
#[derive(Debug, Clone)]
pub struct Figures {
    binary: PathBuf,
}

impl Figures {
    /// The lines of an analysis of a trace.
    pub fn lines(&self, analysis: &str, path: &Path) -> Vec<String> {
        let mut command = Command::new(&self.binary);
        let output = command.args(["lines", analysis]).arg(path).output();
        let output = succeeded(output.expect("starting the figures"));
        let text = String::from_utf8_lossy(&output);
        text.lines().map(str::to_owned).collect()
    }
}

/// The reference command: `tests/go/reference/main.go` says what it does.
#[derive(Debug, Clone)]
pub struct Reference {
    binary: PathBuf,
}

/// How Go's reader got on with a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Events read before the end or the error, with the `Sync` events that the reader makes up.
    pub events: u64,
    /// The first line of the error that ended the reading.
    pub error: Option<String>,
}

impl Verdict {
    pub(super) fn parse(events: &str, outcome: &str) -> Option<Verdict> {
        Some(Verdict {
            events: events.parse().ok()?,
            error: parse_outcome(outcome)?,
        })
    }
}

/// How fast a reader is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    pub ns_an_event: f64,
    /// Of the file, in units of 10^6 bytes.
    pub mb_a_second: f64,
}

impl Speed {
    fn parse(line: &str) -> Option<Speed> {
        let number = |key: &str| {
            let mut fields = line.split_whitespace();
            fields.find_map(|f| f.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
        };
        Some(Speed {
            ns_an_event: number("ns/event")?,
            mb_a_second: number("MB/s")?,
        })
    }
}

/// All events of a trace, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// As the parsed dump has them. Names in broken traces need not be UTF-8.
    pub text: Vec<u8>,
    pub error: Option<String>,
}

fn parse_outcome(outcome: &str) -> Option<Option<String>> {
    match outcome {
        "ok" => Some(None),
        _ => outcome
            .strip_prefix("error: ")
            .map(|message| Some(message.to_owned())),
    }
}

impl Reference {
    /// A process that judges one trace after the other: for many small ones.
    pub fn serve(&self) -> Serve {
        Serve {
            binary: self.binary.clone(),
            peer: Peer::start(&self.binary),
        }
    }

    /// The raw text form of a trace file, experimental events included, without its header line.
    pub fn dump_wire(&self, path: &Path) -> Vec<u8> {
        succeeded(self.run(&["wire".as_ref(), path.as_os_str()], &[]))
    }

    /// All events of a trace file as `go tool trace -d=parsed` prints them, clocks in UTC; up to the
    /// error, if there is one.
    pub fn dump_parsed(&self, path: &Path) -> Vec<u8> {
        let trace = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        self.events(&trace).text
    }

    /// As [`Reference::dump_parsed`] for a trace in memory, and how the reading ended.
    pub fn events(&self, trace: &[u8]) -> Events {
        let mut all = self.events_of(&[trace]);
        all.pop().expect("a reply")
    }

    /// As [`Reference::events`] for many traces at once.
    pub fn events_of(&self, traces: &[impl AsRef<[u8]>]) -> Vec<Events> {
        let frames: Vec<Vec<u8>> = traces.iter().map(|t| frame(t.as_ref())).collect();
        let reply = succeeded(self.run(&["events".as_ref()], &frames.concat()));
        let mut all = Vec::with_capacity(traces.len());
        let mut text = Vec::new();
        // The last line of a reply is the outcome; events begin otherwise.
        for line in reply.split_inclusive(|b| *b == b'\n') {
            let Some(end) = line.strip_prefix(b"end: ") else {
                text.extend_from_slice(line);
                continue;
            };
            let end = String::from_utf8_lossy(end).into_owned();
            let error = end.strip_suffix('\n').and_then(parse_outcome);
            all.push(Events {
                text: std::mem::take(&mut text),
                error: error.unwrap_or_else(|| panic!("bad end of a reply: {end:?}")),
            });
        }
        assert_eq!(all.len(), traces.len(), "a reply is cut off");
        all
    }

    /// How fast Go's reader reads a trace file, the best of so many runs in one process.
    pub fn time(&self, path: &Path, runs: usize) -> Speed {
        let runs = runs.to_string();
        let lines = succeeded(self.run(&["time".as_ref(), path.as_os_str(), runs.as_ref()], &[]));
        let lines = String::from_utf8_lossy(&lines);
        let fastest = lines.lines().filter_map(Speed::parse);
        fastest
            .min_by(|a, b| a.ns_an_event.total_cmp(&b.ns_an_event))
            .unwrap_or_else(|| panic!("bad reply of the reference: {lines:?}"))
    }

    /// The trace that Go makes of the text form, which opens with a line `Trace Go1.NN`; the error
    /// is Go's message.
    pub fn assemble(&self, text: &[u8]) -> Result<Vec<u8>, String> {
        let output = self.run(&["assemble".as_ref(), "-".as_ref(), "-".as_ref()], text);
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(String::from_utf8_lossy(&output.stderr)
                .trim_end()
                .to_owned()),
        }
    }

    fn run(&self, args: &[&OsStr], input: &[u8]) -> Output {
        let mut child = Command::new(&self.binary)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starting the reference");
        let mut stdin = child.stdin.take().expect("a pipe");
        std::thread::scope(|scope| {
            // A child that gives up early need not read all: its status tells.
            scope.spawn(move || stdin.write_all(input).ok());
            child
                .wait_with_output()
                .expect("the output of the reference")
        })
    }
}

fn succeeded(output: Output) -> Vec<u8> {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the reference failed: {errors}");
    output.stdout
}

fn frame(trace: &[u8]) -> Vec<u8> {
    let size = u32::try_from(trace.len()).expect("a trace of less than 4 GiB");
    [&size.to_le_bytes(), trace].concat()
}

/// A long-lived reference process. It ends when this is dropped.
pub struct Serve {
    binary: PathBuf,
    peer: Peer,
}

struct Peer {
    child: Child,
    /// `None` once it is closed, which asks the child to end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Serve {
    /// Go's verdict on a trace. If it brings down the process, which Go cannot recover from, that is
    /// the verdict, and the next trace gets a new process.
    pub fn verdict(&mut self, trace: &[u8]) -> Verdict {
        self.peer.ask(&frame(trace)).unwrap_or_else(|| {
            self.peer = Peer::start(&self.binary);
            Verdict {
                events: 0,
                error: Some("the reference process died".to_owned()),
            }
        })
    }
}

impl Peer {
    fn start(binary: &Path) -> Peer {
        let mut child = Command::new(binary)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starting the reference");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Peer {
            child,
            input,
            output,
        }
    }

    fn ask(&mut self, frame: &[u8]) -> Option<Verdict> {
        let input = self.input.as_mut()?;
        input.write_all(frame).and_then(|()| input.flush()).ok()?;
        // An error may quote a name that is not UTF-8.
        let mut line = Vec::new();
        self.output.read_until(b'\n', &mut line).ok()?;
        let line = String::from_utf8_lossy(line.strip_suffix(b"\n")?).into_owned();
        let (events, outcome) = line.split_once(' ').unwrap_or((&line, ""));
        let verdict = Verdict::parse(events, outcome);
        Some(verdict.unwrap_or_else(|| panic!("bad reply of the reference: {line:?}")))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.input.take());
        // It may be in the middle of an endless trace.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
