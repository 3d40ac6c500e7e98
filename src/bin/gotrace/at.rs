//! `gotrace at`: what everything was doing at a moment.

use super::answer::{self, Asked, JsonFrame, each_trace, json_stack, line_of, place, print_stack};
use super::filter;
use super::help;
use super::output::{self, Failure, Result};
use super::progress::Progress;
use super::reading::Reading;
use super::table::{
    Cell, Column, FAINT, INDENT, Options, TITLE, Table, duration, goroutine, printer,
};
use gotrace::analysis::at::{At, Snapshot};
use gotrace::analysis::names::StackRef;
use gotrace::analysis::states::{Goroutine, RangeKind};
use gotrace::event::{GoState, ProcState};
use gotrace::select::{Filter, Moment};
use gotrace::{GoId, ProcId, TaskId, ThreadId, Time};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gotrace at 1.25s app.trace
  gotrace at --stacks @1251952451328 app.trace | less
  gotrace at --json 300ms app.trace | jq '.goroutines[].function'";

const SCHEMA: &str = include_str!("../../docs/schema/at.txt");

/// Show the state of every goroutine and proc at a moment.
///
/// Prints what runs on each proc, what waits for one, and where all others wait and since when; what the
/// runtime is doing, and which tasks are open. With --stacks, goroutines with the same stack are printed
/// together, with it, as a dump of goroutines in a crash would.
///
/// Of a goroutine that runs, the stack is that of the last event that shows it.
#[derive(clap::Args)]
#[command(after_help = help::page(&format!("{}\n\n{EXAMPLES}", super::filter::TIME)))]
#[command(after_long_help = help::page(format!("{}\n\n{EXAMPLES}\n\n{SCHEMA}", super::filter::TIME).trim_end()))]
pub struct Args {
    /// Print stacks in full, with the goroutines that have them
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    stacks: bool,

    #[command(flatten)]
    output: Options,

    #[command(flatten)]
    reading: Reading,

    /// The moment
    #[arg(value_name = "TIME", allow_hyphen_values = true)]
    time: Moment,

    /// The traces; "-" is the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    // The last: its heading reaches to the end.
    #[command(flatten)]
    filter: filter::Common,
}

pub fn run(args: Args) -> Result {
    let kept = args.filter.of(
        "at",
        &["--from", "--to", "--last", "--where"],
        "it is about one moment",
    );
    let moment = Filter::new().with_to(args.time);
    let progress = Progress::new(&args.files, false);
    let mut printer = printer(&args.output, args.files.len() > 1);
    let ask = |file: &Path| {
        let (mut found, ended) = snapshot(file, &args, &moment, &progress)?;
        if let Some(snapshot) = &mut found {
            snapshot.retain(&kept);
        }
        Ok((found, ended))
    };
    each_trace(&args.files, &mut printer, ask, |printer, file, snapshot| {
        if args.output.json {
            return output::json_line(printer.out(), &json(file, &snapshot));
        }
        printer.begin(file)?;
        match args.stacks {
            true => print_stacks(printer.out(), &snapshot, &args.output),
            false => page(&snapshot).print(printer, file),
        }
    })
}

fn snapshot(file: &Path, args: &Args, filter: &Filter, progress: &Progress) -> Asked<Snapshot> {
    let mut at = At::new(filter);
    let ended = args.reading.events(file, progress, |event| {
        let is_reached = at.add(event).map_err(|error| Failure::file(file, error))?;
        Ok(!is_reached)
    })?;
    let times = at.times();
    match (at.finish(), ended, times) {
        (Some(snapshot), _, _) => Ok((Some(snapshot), None)),
        (None, Some(failure), _) => Err(failure),
        (None, None, None) => Err(Failure::file(file, "the trace has no events")),
        (None, None, Some((first, last))) => {
            let length = duration(last.since(first));
            let error = format!("the trace ends before {}: it is {length} long", args.time);
            Err(Failure::file(file, error))
        }
    }
}

/// The order in which states are shown.
fn rank(state: GoState) -> u8 {
    match state {
        GoState::Running => 0,
        GoState::Syscall => 1,
        GoState::Runnable => 2,
        GoState::Waiting => 3,
        _ => 4,
    }
}

/// Where a goroutine is.
fn stack(goroutine: &Goroutine) -> Option<StackRef> {
    goroutine.own_stack.or(goroutine
        .stack
        .filter(|_| goroutine.state != GoState::Runnable))
}

fn sorted(snapshot: &Snapshot) -> Vec<&Goroutine> {
    let mut all: Vec<&Goroutine> = snapshot.goroutines.iter().collect();
    all.sort_by_key(|goroutine| {
        let is_system = snapshot.names.text(goroutine.name).starts_with("runtime.");
        (
            rank(goroutine.state),
            is_system,
            goroutine.since,
            goroutine.id,
        )
    });
    all
}

fn text(snapshot: &Snapshot, name: gotrace::analysis::names::NameId) -> String {
    snapshot.names.text(name).to_string()
}

fn page(snapshot: &Snapshot) -> answer::Page {
    let mut page = answer::Page::default();
    let since = snapshot.time.since(snapshot.start);
    let at = format!("{}, Time={}", Cell::Time(since).shown(), snapshot.time);
    page.fact("", "at", Cell::Text(at));
    let counts = |state| {
        let all = snapshot.goroutines.iter();
        all.filter(|goroutine| goroutine.state == state).count()
    };
    let goroutines = format!(
        "{} ({} running, {} runnable, {} waiting, {} in system calls)",
        snapshot.goroutines.len(),
        counts(GoState::Running),
        counts(GoState::Runnable),
        counts(GoState::Waiting),
        counts(GoState::Syscall)
    );
    page.fact("", "goroutines", Cell::Text(goroutines));
    let idle = snapshot
        .procs
        .iter()
        .filter(|proc| proc.state == ProcState::Idle);
    let known = snapshot.procs.len();
    let procs = snapshot.gomaxprocs.unwrap_or(known as u64);
    let procs = format!("{procs} ({} idle)", idle.count());
    page.fact("", "procs", Cell::Text(procs));
    if let Some(heap) = snapshot.heap {
        page.fact("", "heap", Cell::Bytes(heap));
    }
    let mut ranges: BTreeMap<String, (u64, i64)> = BTreeMap::new();
    for range in &snapshot.ranges {
        let name = range_name(snapshot, range.kind, range.reason);
        let (count, longest) = ranges.entry(name).or_insert((0, 0));
        *count += 1;
        *longest = (*longest).max(snapshot.time.since(range.from));
    }
    for (name, (count, longest)) in ranges {
        let longest = duration(longest);
        let text = match count {
            1 => format!("{name} for {longest}"),
            _ => format!("{name}, {count} of them, for {longest} at most"),
        };
        page.fact("", "runtime", Cell::Text(text));
    }
    let tasks: Vec<String> = snapshot
        .tasks
        .iter()
        .take(5)
        .map(|task| format!("{} {}", task.id, text(snapshot, task.ty)))
        .collect();
    if !tasks.is_empty() {
        let more = if snapshot.tasks.len() > 5 {
            ", ..."
        } else {
            ""
        };
        let text = format!("{} open: {}{more}", snapshot.tasks.len(), tasks.join(", "));
        page.fact("", "tasks", Cell::Text(text));
    }
    let mut table = Table::new(
        "Goroutines",
        [
            Column::name("goroutine").least(20),
            Column::text("state").least(8),
            Column::text("reason").least(8).rank(1),
            Column::number("for_ns", "for"),
            Column::text("proc").heading("P").least(1),
            Column::text("thread").heading("M").least(6).rank(3),
            Column::name("place").heading("at").least(20),
        ],
    );
    for goroutine in sorted(snapshot) {
        table.row(row(snapshot, goroutine));
    }
    page.table("goroutines", table);
    page
}

fn row(snapshot: &Snapshot, of: &Goroutine) -> [Cell; 7] {
    let on = matches!(of.state, GoState::Running | GoState::Syscall);
    let id = |id: Option<u64>| id.filter(|_| on).map_or(Cell::None, Cell::Count);
    let proc = of.proc.filter(|_| of.without_proc.is_none());
    [
        Cell::text(goroutine(of.id, &text(snapshot, of.name))),
        Cell::text(of.state.name()),
        match text(snapshot, of.reason) {
            reason if of.state == GoState::Waiting && !reason.is_empty() => Cell::Text(reason),
            _ => Cell::None,
        },
        Cell::Duration(snapshot.time.since(of.since).max(0)),
        id(proc.map(ProcId::get)),
        id(of.thread.map(ThreadId::get)),
        place(&snapshot.names, stack(of)),
    ]
}

fn range_name(
    snapshot: &Snapshot,
    kind: RangeKind,
    reason: gotrace::analysis::names::NameId,
) -> String {
    match kind {
        RangeKind::StopTheWorld => format!("stop-the-world ({})", text(snapshot, reason)),
        RangeKind::GcMark => "GC concurrent mark phase".to_owned(),
        RangeKind::GcSweep => "GC incremental sweep".to_owned(),
        RangeKind::GcMarkAssist => "GC mark assist".to_owned(),
        _ => "runtime".to_owned(),
    }
}

/// Goroutines with the same stack together.
fn print_stacks(out: &mut impl Write, snapshot: &Snapshot, options: &Options) -> Result {
    let mut groups: BTreeMap<_, Vec<&Goroutine>> = BTreeMap::new();
    for goroutine in sorted(snapshot) {
        let key = (
            rank(goroutine.state),
            goroutine.reason,
            stack(goroutine),
            goroutine.name,
        );
        groups.entry(key).or_default().push(goroutine);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|group| {
        let state = group.first().map(|first| rank(first.state));
        (state, std::cmp::Reverse(group.len()))
    });
    let limit = options.limit();
    for (n, group) in groups.iter().take(limit).enumerate() {
        let Some(first) = group.first() else { continue };
        if n > 0 {
            writeln!(out)?;
        }
        let name = text(snapshot, first.name);
        let state = answer::state(first.state, &text(snapshot, first.reason));
        let since = duration(snapshot.time.since(first.since).max(0));
        let title = match group.len() {
            1 => format!("{}: {state}, for {since}", goroutine(first.id, &name)),
            count => format!("{count} goroutines {name}: {state}, for {since} at most"),
        };
        writeln!(out, "{TITLE}{}{TITLE:#}", line_of(&title))?;
        if group.len() > 1 {
            let ids = group
                .iter()
                .take(20)
                .map(|goroutine| format!("G{}", goroutine.id));
            let more = if group.len() > 20 { " ..." } else { "" };
            let ids = format!("{INDENT}{}{more}", ids.collect::<Vec<_>>().join(" "));
            writeln!(out, "{}", line_of(&ids))?;
        }
        print_stack(out, &snapshot.names, stack(first), usize::MAX, INDENT)?;
    }
    let rest = groups.len().saturating_sub(limit);
    if rest > 0 {
        writeln!(out, "{FAINT}({rest} more stacks with --all){FAINT:#}")?;
    }
    Ok(())
}

#[derive(Serialize)]
struct JsonGoroutine {
    goroutine: GoId,
    function: String,
    state: &'static str,
    reason: String,
    since_ns: i64,
    for_ns: i64,
    before: bool,
    proc: Option<ProcId>,
    thread: Option<ThreadId>,
    task: Option<TaskId>,
    regions: Vec<String>,
    woken_by: Option<GoId>,
    stack: Option<Vec<JsonFrame>>,
}

#[derive(Serialize)]
struct JsonProc {
    proc: ProcId,
    state: &'static str,
    since_ns: i64,
    thread: Option<ThreadId>,
    goroutine: Option<GoId>,
}

#[derive(Serialize)]
struct JsonRange {
    name: String,
    since_ns: i64,
    goroutine: Option<GoId>,
    proc: Option<ProcId>,
}

#[derive(Serialize)]
struct JsonTask {
    task: TaskId,
    #[serde(rename = "type")]
    ty: String,
    since_ns: i64,
    goroutine: Option<GoId>,
}

/// The schema of the JSON form: members may be added, none will change its meaning.
#[derive(Serialize)]
struct Json {
    file: String,
    time: Time,
    since_start_ns: i64,
    gomaxprocs: Option<u64>,
    heap_bytes: Option<u64>,
    goroutines: Vec<JsonGoroutine>,
    procs: Vec<JsonProc>,
    ranges: Vec<JsonRange>,
    tasks: Vec<JsonTask>,
}

fn json(file: &Path, snapshot: &Snapshot) -> Json {
    let since = |time: Time| time.since(snapshot.start);
    let goroutines = snapshot.goroutines.iter().map(|of| {
        let on = matches!(of.state, GoState::Running | GoState::Syscall);
        JsonGoroutine {
            goroutine: of.id,
            function: text(snapshot, of.name),
            state: of.state.name(),
            reason: text(snapshot, of.reason),
            since_ns: since(of.since),
            for_ns: snapshot.time.since(of.since).max(0),
            before: of.seen != of.since,
            proc: of.proc.filter(|_| on && of.without_proc.is_none()),
            thread: of.thread.filter(|_| on),
            task: of.task(),
            regions: of
                .regions
                .iter()
                .map(|region| text(snapshot, region.ty))
                .collect(),
            woken_by: of.by.filter(|_| of.state == GoState::Runnable),
            stack: json_stack(&snapshot.names, stack(of)),
        }
    });
    let running = |proc: ProcId| {
        let mut all = snapshot.goroutines.iter();
        let found = all.find(|of| {
            matches!(of.state, GoState::Running | GoState::Syscall)
                && of.proc == Some(proc)
                && of.without_proc.is_none()
        });
        found.map(|of| of.id)
    };
    Json {
        file: file.to_string_lossy().into_owned(),
        time: snapshot.time,
        since_start_ns: since(snapshot.time),
        gomaxprocs: snapshot.gomaxprocs,
        heap_bytes: snapshot.heap,
        goroutines: goroutines.collect(),
        procs: (snapshot.procs.iter())
            .map(|proc| JsonProc {
                proc: proc.id,
                state: proc.state.name(),
                since_ns: since(proc.since),
                thread: proc.thread.filter(|_| proc.state == ProcState::Running),
                goroutine: running(proc.id).filter(|_| proc.state == ProcState::Running),
            })
            .collect(),
        ranges: (snapshot.ranges.iter())
            .map(|range| JsonRange {
                name: range_name(snapshot, range.kind, range.reason),
                since_ns: since(range.from),
                goroutine: range.goroutine,
                proc: range.proc,
            })
            .collect(),
        tasks: (snapshot.tasks.iter())
            .map(|task| JsonTask {
                task: task.id,
                ty: text(snapshot, task.ty),
                since_ns: since(task.from),
                goroutine: task.goroutine,
            })
            .collect(),
    }
}
