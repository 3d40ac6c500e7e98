//! The cases of the text files in `tests/order`: traces in the wire text form, each with the events
//! or the error expected of it.
//!
//! ```text
//! == what the case shows
//! EventBatch gen=1 m=0 time=10
//! ProcStatus dt=1 p=0 pstatus=Running
//! -- expect --
//! @1 Sync N=1
//! @11 M=0 P=-1 G=-1 ProcID=0 Undetermined->Running
//! @12 Sync N=2
//! ```
//!
//! What stands between the title and `-- expect --` is the text form, with these shortcuts:
//! - the version is Go 1.22 unless the text opens with `Trace Go1.NN`;
//! - each generation gets a preamble: a sync batch with a frequency of 1 GHz (a unit of time is a
//!   nanosecond) and, where the version has it, a clock snapshot; a string table of 1 "one",
//!   2 "two" and 3 "three"; a stack table of 1, a single frame. Where the version has
//!   end-of-generation markers, they are added;
//! - -1 stands for an absent id, and a status may be a word.
//!
//! A line `! no tables` leaves out the two tables, `! no sync` the sync batch, `! bare` everything.
//!
//! A line `# differs from Go: reason` says that Go's reader does not give what is expected. That is
//! checked too.
//!
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use gotrace::wire::{self, Version};

pub const EXPECT: &str = "-- expect --";

/// A case.
#[derive(Debug, Clone)]
pub struct Case {
    /// The file's name and the title.
    pub name: String,
    /// What the file says from the title to the expectations.
    pub text: String,
    /// The events and the error expected, a line each.
    pub expect: String,
    /// Why Go's reader gives something else.
    pub differs: Option<String>,
}

pub fn files() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/order");
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .expect("tests/order")
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect();
    files.sort();
    files
}

/// What stands before the first case of a file, and the cases.
pub fn parse(file: &Path) -> (String, Vec<Case>) {
    let whole = std::fs::read_to_string(file).expect("a file of cases");
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let mut parts = whole.split("\n== ");
    let before = parts.next().unwrap_or("").to_owned();
    let cases = parts
        .map(|part| {
            let (title, _) = part.split_once('\n').expect("a case under its title");
            let (text, expect) = part
                .split_once(&format!("\n{EXPECT}\n"))
                .unwrap_or((part.trim_end(), ""));
            let differs = text
                .lines()
                .find_map(|line| line.strip_prefix("# differs from Go: "));
            Case {
                name: format!("{stem}: {title}"),
                text: text.to_owned(),
                expect: expect.trim().to_owned(),
                differs: differs.map(str::to_owned),
            }
        })
        .collect();
    (before, cases)
}

pub fn all() -> Vec<Case> {
    files().iter().flat_map(|file| parse(file).1).collect()
}

impl Case {
    /// The trace.
    pub fn trace(&self) -> Vec<u8> {
        let text = self.wire_text();
        wire::assemble(&text, None).unwrap_or_else(|e| panic!("{}: {e} of\n{text}", self.name))
    }

    /// The text with its shortcuts written out.
    pub fn wire_text(&self) -> String {
        let mut options = Options::default();
        let mut version = Version::Go122;
        let mut text = String::new();
        let mut generation = None;
        for line in self.text.lines().skip(1) {
            if let Some(option) = line.strip_prefix("! ") {
                options.set(option);
                continue;
            }
            if let Some(minor) = line.strip_prefix("Trace Go1.") {
                let minor = minor.trim().parse().expect("a version");
                version = Version::from_minor(minor).expect("a version of the text form");
                continue;
            }
            let next = line
                .split_whitespace()
                .find_map(|word| word.strip_prefix("gen="))
                .map(|n| n.to_owned());
            if next.is_some() && next != generation {
                options.end(version, generation.is_some(), &mut text);
                options.preamble(version, next.as_deref().unwrap_or(""), &mut text);
                generation = next;
            }
            text += &words(line);
            text.push('\n');
        }
        options.end(version, generation.is_some(), &mut text);
        format!("{}\n{text}", wire::text::HeaderLine(version))
    }
}

#[derive(Debug, Default)]
struct Options {
    no_sync: bool,
    no_tables: bool,
    no_markers: bool,
}

impl Options {
    fn set(&mut self, option: &str) {
        match option.trim() {
            "no sync" => self.no_sync = true,
            "no tables" => self.no_tables = true,
            "bare" => {
                *self = Options {
                    no_sync: true,
                    no_tables: true,
                    no_markers: true,
                }
            }
            other => panic!("no option {other:?}"),
        }
    }

    fn preamble(&self, version: Version, generation: &str, text: &mut String) {
        let mut add = |lines: &[&str]| {
            let head = format!("EventBatch gen={generation} m={} time=0", u64::MAX);
            writeln!(text, "{head}\n{}", lines.join("\n")).expect("a string");
        };
        let snapshot = format!("ClockSnapshot dt=0 mono={generation} sec={generation} nsec=0");
        match version >= Version::Go125 {
            _ if self.no_sync => {}
            true => add(&["Sync", "Frequency freq=1000000000", &snapshot]),
            false => add(&["Frequency freq=1000000000"]),
        }
        if !self.no_tables {
            add(&[
                "Strings",
                "String id=1\n\tdata=\"one\"",
                "String id=2\n\tdata=\"two\"",
                "String id=3\n\tdata=\"three\"",
            ]);
            add(&["Stacks", "Stack id=1\n\tpc=4096 func=1 file=2 line=3"]);
        }
    }

    fn end(&self, version: Version, any: bool, text: &mut String) {
        if any && !self.no_markers && version >= Version::Go126 {
            text.push_str("EndOfGeneration\n");
        }
    }
}

/// A line with its words written as numbers.
fn words(line: &str) -> String {
    let absent = format!("={}", u64::MAX);
    let mut line = line.replace("=-1", &absent);
    let statuses = [
        ("gstatus", &["Runnable", "Running", "Syscall", "Waiting"]),
        ("pstatus", &["Running", "Idle", "Syscall", "Abandoned"]),
    ];
    for (argument, states) in statuses {
        for (state, number) in states.iter().zip(1..) {
            let word = format!("{argument}={state}");
            if line.split_whitespace().any(|w| w == word) {
                line = line.replace(&word, &format!("{argument}={number}"));
            }
        }
    }
    line
}

/// All texts that one change makes of a wire text: each record left out, given twice, exchanged with
/// the next, and with each of its numbers changed.
pub fn altered(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let joined = |lines: &[&str]| lines.join("\n");
    let mut all = Vec::new();
    // The header stays, and so do the lines of data and frames with the record above them.
    let records: Vec<usize> = (1..lines.len())
        .filter(|at| !lines[*at].starts_with('\t') && !lines[*at].trim().is_empty())
        .filter(|at| !lines.get(at + 1).is_some_and(|next| next.starts_with('\t')))
        .collect();
    for (n, &at) in records.iter().enumerate() {
        let mut other = lines.clone();
        other.remove(at);
        all.push(joined(&other));
        let mut other = lines.clone();
        other.insert(at, lines[at]);
        all.push(joined(&other));
        if let Some(&next) = records.get(n + 1) {
            let mut other = lines.clone();
            other.swap(at, next);
            all.push(joined(&other));
        }
        let words: Vec<&str> = lines[at].split_whitespace().collect();
        for (w, word) in words.iter().enumerate() {
            let Some((name, number)) = word.split_once('=') else {
                continue;
            };
            let number: u64 = number.parse().unwrap();
            for number in [
                number.wrapping_add(1),
                number.wrapping_sub(1),
                0,
                3,
                u64::MAX,
            ] {
                let changed = format!("{name}={number}");
                let mut words = words.clone();
                words[w] = &changed;
                let changed = words.join(" ");
                let mut other = lines.clone();
                other[at] = &changed;
                all.push(joined(&other));
            }
        }
    }
    // A record before the first batch stands nowhere.
    all.retain(|text| wire::assemble(text, None).is_ok());
    all
}
