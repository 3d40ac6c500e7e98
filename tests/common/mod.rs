//! What integration tests share: the fixtures, what Go makes of them, and Go's reader itself.
//!
//! Each test binary compiles this anew and uses only its own part.
#![allow(dead_code)]

pub mod damage;
pub mod go;
pub mod heap;
pub mod hostile;
pub mod live;
pub mod naive;
pub mod program;
pub mod schedule;
pub mod skipped;
#[cfg(feature = "cli")]
pub mod tool;

use gotrace::wire::Version;
use proptest::prelude::*;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

/// A trace written by a real Go program: `tests/fixtures/README.md` says which.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// File name without its extension, as `annotate-go1.27`.
    pub name: String,
    pub path: PathBuf,
    /// Minor version of the toolchain, 27 for Go 1.27. The trace's own version may be lower:
    /// [`Expected::version`].
    pub go_version: u32,
}

impl Fixture {
    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap_or_else(|e| panic!("{}: {e}", self.path.display()))
    }
}

/// What Go's own reader makes of a fixture: a row of `expected.tsv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// [`Fixture::name`].
    pub name: String,
    /// Minor version in the trace's header, 26 for `go 1.26 trace`.
    pub version: u32,
    pub bytes: u64,
    /// The raw text form; none before Go 1.22.
    pub wire: Option<Wire>,
    /// SHA-256 of the parsed dump with clocks in UTC; none if not a single event was read.
    pub parsed: Option<String>,
    pub verdict: go::Verdict,
}

/// The raw text form of a fixture, experimental events included, without its header line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    pub sha256: String,
    pub lines: u64,
}

pub fn fixtures_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// All fixtures, sorted by name.
pub fn fixtures() -> Vec<Fixture> {
    let dir = fixtures_dir();
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut all: Vec<Fixture> = entries
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "trace"))
        .map(|path| {
            let name = path
                .file_stem()
                .and_then(|s| s.to_str())
                .expect("a UTF-8 name")
                .to_owned();
            let go_version = name
                .rsplit_once("-go1.")
                .and_then(|(_, minor)| minor.parse().ok());
            let go_version = go_version.unwrap_or_else(|| panic!("{name}: not PROGRAM-go1.NN"));
            Fixture {
                name,
                path,
                go_version,
            }
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!all.is_empty(), "no fixtures in {}", dir.display());
    all
}

/// The fixture of that name.
pub fn fixture(name: &str) -> Fixture {
    let found = fixtures().into_iter().find(|f| f.name == name);
    found.unwrap_or_else(|| panic!("no fixture {name}"))
}

/// The rows of `expected.tsv`: the same names in the same order as [`fixtures`].
pub fn expected() -> Vec<Expected> {
    let path = fixtures_dir().join("expected.tsv");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    let mut all: Vec<Expected> = rows
        .map(|row| parse_row(row).unwrap_or_else(|| panic!("expected.tsv: bad row {row:?}")))
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn parse_row(row: &str) -> Option<Expected> {
    let fields: Vec<&str> = row.split('\t').collect();
    let [file, version, bytes, wire, lines, parsed, events, outcome] = fields[..] else {
        return None;
    };
    let wire = match wire {
        "-" => None,
        sha256 => Some(Wire {
            sha256: sha256.to_owned(),
            lines: lines.parse().ok()?,
        }),
    };
    Some(Expected {
        name: file.strip_suffix(".trace")?.to_owned(),
        version: version.strip_prefix("1.")?.parse().ok()?,
        bytes: bytes.parse().ok()?,
        wire,
        parsed: (parsed != "-").then(|| parsed.to_owned()),
        verdict: go::Verdict::parse(events, outcome)?,
    })
}

/// SHA-256 in lower-case hexadecimal, as `expected.tsv` has it.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing to a string");
            hex
        })
}

/// A fixture in memory.
#[derive(Clone)]
pub struct Trace {
    pub fixture: Fixture,
    pub bytes: Vec<u8>,
}

/// Only its name: a property that fails shows it.
impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.fixture.name)
    }
}

/// The fixtures from Go 1.22 on.
pub static TRACES: LazyLock<Vec<Trace>> = LazyLock::new(|| {
    let traces = fixtures().into_iter().map(|fixture| {
        let bytes = fixture.bytes();
        Trace { fixture, bytes }
    });
    let readable = |trace: &Trace| {
        Version::from_header(&trace.bytes).is_ok_and(|version| version.has_generations())
    };
    traces.filter(readable).collect()
});

/// One of [`TRACES`], the smaller ones more often.
pub fn trace() -> impl Strategy<Value = &'static Trace> {
    any::<[prop::sample::Index; 2]>().prop_map(|[a, b]| {
        let (a, b) = (a.get(&TRACES), b.get(&TRACES));
        if a.bytes.len() < b.bytes.len() { a } else { b }
    })
}

/// A number, often one at which arithmetic has its limits.
pub fn number() -> impl Strategy<Value = u64> {
    any::<u64>().prop_map(damage::number)
}

/// A kind of damage.
pub fn damage() -> impl Strategy<Value = damage::Damage> {
    any::<[u64; 4]>().prop_map(damage::Damage::from_random)
}

/// One of [`TRACES`] with up to four kinds of damage.
pub fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damages = prop::collection::vec(damage(), 0..4);
    (trace(), damages).prop_map(|(trace, damages)| {
        let apply = |bytes: Vec<u8>, damage: &damage::Damage| damage.apply(&bytes);
        damages.iter().fold(trace.bytes.clone(), apply)
    })
}
