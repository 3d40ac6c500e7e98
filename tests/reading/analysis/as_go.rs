//! `analysis::as_go` is what Go's own analyses give: for each fixture and analysis, by the hash of what
//! `tests/go/figures` printed once (`tests/fixtures/figures.tsv`); and, where Go is at hand,
//! line by line, of any trace that `GOTRACE_TRACES` names.

use crate::common::{self, go::Go};
use gotrace::analysis::as_go::{
    Bucket, Flags, FrameRow, Profile, ProfileKind, StatsRow, Summarizer, Utilization,
};
use gotrace::analysis::utilization::{Curve, quantiles};
use gotrace::{GoStr, Trace};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const ANALYSES: [&str; 13] = [
    "goroutines",
    "groups",
    "region",
    "regions",
    "task",
    "tasks",
    "net",
    "sync",
    "syscall",
    "sched",
    "util stw|background",
    "util stw|background|assist|sweep",
    "util stw|background|perProc",
];

/// What one pass over a trace gives.
struct Figures {
    summarizer: Summarizer,
    profiles: Vec<(ProfileKind, Profile)>,
    utilizations: BTreeMap<&'static str, Vec<Vec<(i64, f64)>>>,
}

impl Figures {
    fn of(bytes: &[u8]) -> Figures {
        let mut summarizer = Summarizer::new();
        let kinds = ProfileKind::ALL.iter();
        let mut profiles: Vec<_> = kinds.map(|kind| (*kind, Profile::new(*kind))).collect();
        let flags = ANALYSES
            .iter()
            .filter_map(|name| name.strip_prefix("util "));
        let mut utilizations: Vec<_> = flags
            .map(|name| (name, Utilization::new(Flags::parse(name).unwrap())))
            .collect();
        let mut whole = true;
        if let Ok(trace) = Trace::new(bytes) {
            let mut reader = trace.reader();
            loop {
                let event = match reader.next() {
                    Ok(Some(event)) => event,
                    Ok(None) => break,
                    Err(_) => {
                        whole = false;
                        break;
                    }
                };
                summarizer.add(&event);
                profiles
                    .iter_mut()
                    .for_each(|(_, profile)| profile.add(&event));
                utilizations
                    .iter_mut()
                    .for_each(|(_, util)| util.add(&event));
            }
        }
        summarizer.finish(whole);
        Figures {
            summarizer,
            profiles,
            utilizations: utilizations
                .into_iter()
                .map(|(name, util)| (name, util.finish(whole)))
                .collect(),
        }
    }

    fn lines(&self, analysis: &str) -> Vec<String> {
        let summarizer = &self.summarizer;
        let mut lines: Vec<String> = match analysis {
            "goroutines" => summarizer
                .goroutines()
                .map(|g| {
                    let (name, times) = (quoted(&g.name), times(&g.stats));
                    format!(
                        "{} {name} {} {} {} {} {times}",
                        g.id, g.creation, g.start, g.end, g.regions
                    )
                })
                .collect(),
            "groups" => {
                let groups = summarizer.groups();
                let lines = groups.iter();
                lines
                    .map(|g| format!("{} {} {}", quoted(&g.name), g.n, times(&g.stats)))
                    .collect()
            }
            "region" => summarizer
                .regions()
                .map(|r| {
                    let (start, end) = (at(r.start), at(r.end));
                    format!(
                        "{} {} {} {start} {end} {} {}",
                        r.goroutine,
                        r.task,
                        quoted(&r.ty),
                        r.duration,
                        times(&r.stats)
                    )
                })
                .collect(),
            "regions" => summarizer
                .region_types()
                .iter()
                .map(|r| {
                    let frame = frame(&r.frame);
                    format!(
                        "{} {frame} {} {}",
                        quoted(&r.ty),
                        r.count,
                        histogram(&r.histogram)
                    )
                })
                .collect(),
            "task" => summarizer
                .tasks()
                .map(|t| {
                    let ids: Vec<String> = t.goroutines.iter().map(i64::to_string).collect();
                    let parent = t.parent.map_or("-".to_owned(), |id| id.to_string());
                    format!(
                        "{} {} {parent} {} {} {} {} {} {} [{}]",
                        t.id,
                        quoted(&t.ty),
                        at(t.start),
                        at(t.end),
                        t.duration,
                        t.children,
                        t.logs,
                        t.regions,
                        ids.join(" ")
                    )
                })
                .collect(),
            "tasks" => summarizer
                .task_types()
                .iter()
                .map(|t| format!("{} {} {}", quoted(&t.ty), t.count, histogram(&t.histogram)))
                .collect(),
            _ => match analysis.strip_prefix("util ") {
                Some(flags) => {
                    let each = self.utilizations[flags].iter().enumerate();
                    each.flat_map(|(series, points)| {
                        let each = points.iter();
                        each.map(move |(time, value)| {
                            format!("{series} {time} {:016x}", value.to_bits())
                        })
                    })
                    .collect()
                }
                None => {
                    let mut found = self.profiles.iter();
                    let found = found.find(|(kind, _)| kind.name() == analysis);
                    let rows = found.unwrap().1.rows(summarizer);
                    rows.iter()
                        .map(|row| {
                            let stack: String = row.stack.iter().map(|f| frame(f) + " ").collect();
                            format!("{stack}{} {}", row.count, row.nanoseconds)
                        })
                        .collect()
                }
            },
        };
        if !analysis.starts_with("util") {
            lines.sort();
        }
        lines
    }
}

fn times(stats: &StatsRow) -> String {
    let mut all: BTreeMap<String, i64> = [
        ("exec", stats.exec),
        ("sched", stats.sched_wait),
        ("syscall", stats.syscall),
        ("sysblock", stats.syscall_block),
        ("unknown", stats.unknown),
        ("total", stats.total),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    let (block, range) = (stats.block.iter(), stats.range.iter());
    all.extend(block.map(|(reason, time)| (format!("block {reason}"), *time)));
    all.extend(range.map(|(name, time)| (format!("range {name}"), *time)));
    let parts = all.iter().filter(|(_, time)| **time != 0);
    let parts: Vec<String> = parts.map(|(key, time)| format!("{key}={time}")).collect();
    parts.join(",")
}

fn quoted(text: &str) -> String {
    GoStr::from(text).quoted().to_string()
}

fn at(time: Option<i64>) -> String {
    time.map_or("-".to_owned(), |time| time.to_string())
}

fn frame(frame: &FrameRow) -> String {
    format!("{}@{}:{}", quoted(&frame.func), frame.pc, frame.line)
}

fn histogram(buckets: &[Bucket]) -> String {
    let parts = buckets.iter();
    let parts = parts.map(|b| format!("{}:{}:{}", b.bucket, b.min, b.count));
    parts.collect::<Vec<_>>().join(",")
}

/// A row of `figures.tsv`.
fn hashed(name: &str, analysis: &str, lines: &[String]) -> String {
    let sum = common::sha256(lines.join("\n").as_bytes());
    format!("{name}\t{analysis}\t{}\t{}", lines.len(), &sum[..16])
}

/// Every analysis of every fixture is what Go's gives, to the nanosecond and the bit.
#[test]
fn figures_are_those_of_go() {
    let path = common::fixtures_dir().join("figures.tsv");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut rows = text.lines();
    let mut wrong = Vec::new();
    for (fixture, expected) in common::fixtures().iter().zip(common::expected()) {
        let figures = Figures::of(&fixture.bytes());
        for analysis in ANALYSES {
            let ours = hashed(&fixture.name, analysis, &figures.lines(analysis));
            let theirs = rows.next().unwrap_or("nothing");
            // Of damaged old traces Go gives nothing, and we what comes before the damage.
            if ours != theirs && expected.verdict.events > 0 {
                wrong.push((ours, theirs));
            }
        }
    }
    assert_eq!(wrong, []);
    assert_eq!(rows.next(), None);
}

/// The same line by line, with Go itself: a sample of the fixtures, and what `GOTRACE_TRACES` (a
/// directory) has.
#[test]
fn lines_are_those_of_go() {
    let Some(go) = Go::find() else { return };
    let figures = go.figures();
    let mut traces: Vec<PathBuf> = [
        "block-go1.27",
        "gc-go1.27",
        "annotate-go1.22",
        "syscalls-go1.21",
    ]
    .iter()
    .filter_map(|name| common::fixtures().into_iter().find(|f| f.name == *name))
    .map(|fixture| fixture.path)
    .collect();
    assert!(traces.len() >= 3);
    if let Some(dir) = std::env::var_os("GOTRACE_TRACES") {
        let entries = std::fs::read_dir(dir).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        traces.extend(paths.filter(|path| path.extension().is_some_and(|e| e == "trace")));
        traces.sort();
    }
    let mut compared = 0;
    for path in &traces {
        let ours = Figures::of(&std::fs::read(path).unwrap());
        // Of damaged old traces Go gives nothing, and we what comes before the damage.
        if figures.lines("goroutines", path).is_empty() {
            continue;
        }
        for analysis in ANALYSES {
            let theirs = figures.lines(analysis, path);
            same(path, analysis, &ours.lines(analysis), &theirs);
            compared += theirs.len();
        }
    }
    assert!(compared > 300);
}

/// A line of `figures lines "mud FLAGS"`: a window, the MMU, and quantiles of the MUD. The MMU of Go's
/// curves is ours of them, and what Go gives for every quantile, which is wrong: its accumulator of
/// windows returns before it takes one into the distribution. The right quantiles begin with the MMU.
/// Whether they differ from it.
fn compare_windows(bytes: &[u8], name: &str, flags: &str, line: &str) -> bool {
    let theirs: Vec<f64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
    let window = theirs[0] as i64;
    let trace = Trace::new(bytes).unwrap();
    let mut utilization = Utilization::new(Flags::parse(flags).unwrap());
    let mut reader = trace.reader();
    while let Some(event) = reader.next().unwrap() {
        utilization.add(&event);
    }
    let curves = utilization.finish(true).into_iter().map(|points| {
        let end = points.last().unwrap().0;
        Curve::new(points, end)
    });
    let curves: Vec<Curve> = curves.collect();
    let least = curves.iter().map(|curve| curve.least(window).unwrap().left);
    let least = least.fold(1.0, f64::min);
    assert!((least - theirs[1]).abs() < 1e-12, "{name} {flags}: {line}");
    assert!(
        theirs.len() == 9 && theirs[2..].iter().all(|n| *n == theirs[1]),
        "Go's distribution is no longer its minimum: {line}"
    );
    let ours = quantiles(&curves, window, &[0.0, 0.01, 0.05, 0.3, 0.6, 0.9]);
    assert!((ours[0] - least).abs() < 1e-12, "{name} {flags}: {ours:?}");
    assert!(
        ours.is_sorted() && ours[5] <= 1.0,
        "{name} {flags}: {ours:?}"
    );
    ours[5] > ours[0]
}

/// The minimum mutator utilisation is that of Go, of Go's curves: by what `tests/go/figures` printed
/// once, and, where Go is at hand, by Go itself.
#[test]
fn windows_are_those_of_go() {
    let path = common::fixtures_dir().join("mud.tsv");
    let text = std::fs::read_to_string(&path).unwrap();
    let (mut compared, mut spread) = (0, 0);
    for row in text.lines() {
        let [name, flags, line] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let fixture = common::fixtures().into_iter().find(|f| f.name == name);
        let differ = compare_windows(&fixture.unwrap().bytes(), name, flags, line);
        spread += usize::from(differ);
        compared += 1;
    }
    assert!(compared > 100 && spread > 20, "{compared} {spread}");
    let Some(go) = Go::find() else { return };
    let figures = go.figures();
    for fixture in common::fixtures() {
        if !fixture.name.starts_with("gc-") || fixture.go_version == 21 {
            continue;
        }
        let flags = "stw|background|assist";
        for line in figures.lines(&format!("mud {flags}"), &fixture.path) {
            compare_windows(&fixture.bytes(), &fixture.name, flags, &line);
        }
    }
}

fn same(path: &Path, analysis: &str, ours: &[String], theirs: &[String]) {
    let differ = ours.iter().zip(theirs).find(|(a, b)| a != b);
    assert_eq!(differ, None, "{analysis} of {}", path.display());
    assert_eq!(ours.len(), theirs.len(), "{analysis} of {}", path.display());
}
