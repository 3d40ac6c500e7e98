//! `gotrace gc`: the garbage collector, and stops of the world.

use super::answer::{Asked, each_trace};
use super::answers;
use super::filter;
use super::goroutines::text;
use super::output::{self, Result};
use super::progress::Progress;
use super::reading::Reading;
use super::table::{self, Cell, Column, Printer, Table};
use gotrace::analysis::as_go::{self, Flags};
use gotrace::analysis::gc::{Gc, Pause};
use gotrace::analysis::histogram::Histogram;
use gotrace::analysis::names::{NameId, Names};
use gotrace::analysis::scope::Scope;
use gotrace::analysis::states::States;
use gotrace::analysis::utilization::{Curve, Utilization};
use gotrace::{Event, Time};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gotrace gc app.trace
  gotrace gc --pauses --top 20 app.trace
  gotrace gc --mmu 1ms,10ms,100ms --json app.trace
  gotrace gc --util=stw --as-go app.trace";

const SCHEMA: &str = include_str!("../../docs/schema/gc.txt");

/// Show the garbage collector and stops of the world: pauses, with what delayed them, and what the
/// program lost to it.
///
/// A pause is how long the world stood: until the first processor went on. What Go's tools show is
/// the range, which ends when the goroutine that stopped the world runs again.
///
/// MMU is the least part of the processors that was left to the program in any window of that length,
/// with background workers, assists, sweeping and stops for the collector counted.
#[derive(clap::Args)]
#[command(after_help = super::help::page(EXAMPLES))]
#[command(after_long_help = filter::times_explained(EXAMPLES, SCHEMA))]
pub struct Args {
    /// Show single pauses only, the longest first
    #[arg(long, conflicts_with = "util")]
    pauses: bool,

    /// The windows of the MMU
    #[arg(long, value_name = "TIME,...", value_delimiter = ',', value_parser = window)]
    #[arg(default_value = "1ms,10ms,100ms")]
    mmu: Vec<i64>,

    /// Print the part of the processors that is left to the program, a line for each change: series,
    /// time, part. What counts is stw, background, assist, sweep, perProc, with "|" between
    #[arg(long, value_name = "WHAT", value_parser = flags, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "stw|background", conflicts_with_all = ["json", "csv"])]
    util: Option<Flags>,

    /// With --util, compute as Go does, which counts background workers again at each start
    #[arg(long, requires = "util", conflicts_with = "times")]
    as_go: bool,

    #[command(flatten)]
    output: table::Options,

    #[command(flatten)]
    reading: Reading,

    /// The traces; "-" is the standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    // The last: its heading reaches to the end.
    #[command(flatten)]
    filter: filter::Times,
}

fn window(text: &str) -> std::result::Result<i64, String> {
    match text.parse::<gotrace::select::Moment>() {
        Ok(gotrace::select::Moment::SinceStart(time)) if !time.is_zero() => {
            i64::try_from(time.as_nanos()).map_err(|_| "too long".to_owned())
        }
        _ => Err("a length of time, as 10ms".to_owned()),
    }
}

fn flags(text: &str) -> std::result::Result<Flags, String> {
    Flags::parse(text).ok_or_else(|| {
        "one or more of stw, background, assist, sweep, perProc, with \"|\" between".to_owned()
    })
}

/// What the MMU counts.
const ALL: &str = "stw|background|assist|sweep";

pub fn run(args: Args) -> Result {
    let progress = Progress::new(&args.files, false);
    let mut printer = table::printer(&args.output, args.files.len() > 1);
    if let Some(flags) = args.util.filter(|_| args.as_go) {
        let ask = |file: &Path| util_as_go(file, &args, flags, &progress);
        return each_trace(
            &args.files,
            &mut printer,
            ask,
            |printer, _, lines: String| Ok(printer.out().write_all(lines.as_bytes())?),
        );
    }
    let filter = args.filter.of("gc");
    let flags = args.util.or_else(|| Flags::parse(ALL));
    let ask = |file: &Path| {
        let flags = flags.unwrap_or(Flags::DEFAULT);
        let mut both = (Gc::new(), Utilization::new(flags));
        let (reading, visitor) = (&args.reading, &mut both);
        let after = |(gc, utilization): &mut (Gc, Utilization),
                     event: &Event<'_, '_>,
                     states: &mut States,
                     scope: &mut Scope<'_>| {
            if scope.has_begun() {
                gc.event(event, states);
                utilization.event(event, states);
            }
        };
        let mut answered = answers::ask(file, reading, &filter, &progress, visitor, after)?;
        let ended = answered.ended.take();
        let given = answered
            .length()
            .map(|length| (both, answered.states, length));
        Ok((given, ended))
    };
    let show = |printer: &mut Printer, file: &Path, given: ((Gc, Utilization), States, i64)| {
        let ((gc, utilization), states, length) = given;
        let curves = utilization.finish();
        if args.util.is_some() {
            for (series, curve) in curves.iter().enumerate() {
                for (time, left) in curve.points() {
                    writeln!(printer.out(), "{series} {time} {}", float(*left))?;
                }
            }
            return Ok(());
        }
        let report = Report {
            gc: &gc,
            states: &states,
            start: states.first_time().unwrap_or_default(),
            length,
            curve: curves.first(),
            windows: &args.mmu,
        };
        report.print(file, &args, printer)
    };
    each_trace(&args.files, &mut printer, ask, show)
}

fn util_as_go(file: &Path, args: &Args, flags: Flags, progress: &Progress) -> Asked<String> {
    let mut utilization = as_go::Utilization::new(flags);
    let ended = args.reading.events(file, progress, |event| {
        utilization.add(event);
        Ok(true)
    })?;
    if utilization.is_lost() {
        output::note(format_args!(
            "note: {}: Go's program fails on this trace: an event counts for a processor that \
             there is none of",
            output::name(file)
        ));
    }
    let mut lines = String::new();
    for (series, points) in utilization.finish(ended.is_none()).iter().enumerate() {
        for (time, left) in points {
            lines.push_str(&format!("{series} {time} {}\n", float(*left)));
        }
    }
    Ok((Some(lines), ended))
}

/// A part as Go prints it: the shortest that is exact, with an exponent if it is very small.
fn float(n: f64) -> String {
    if n != 0.0 && n.abs() < 1e-4 {
        let text = format!("{n:e}");
        // Go has two digits there.
        return match text.split_once("e-") {
            Some((digits, exponent)) => format!("{digits}e-{exponent:0>2}"),
            None => text,
        };
    }
    n.to_string()
}

struct Report<'a> {
    gc: &'a Gc,
    states: &'a States,
    start: Time,
    length: i64,
    curve: Option<&'a Curve>,
    windows: &'a [i64],
}

/// The schema of the JSON form: a field may be added, none will change its meaning.
#[derive(Serialize)]
struct Json<'a> {
    file: String,
    cycles: u64,
    marking_ns: i64,
    marking_share: f64,
    running_ns: i64,
    workers: table::Objects<'a>,
    assists: table::Objects<'a>,
    sweeps: u64,
    sweep_executing_ns: i64,
    swept_bytes: u64,
    reclaimed_bytes: u64,
    gc_share: f64,
    stops: table::Objects<'a>,
    pauses: table::Objects<'a>,
    mmu: table::Objects<'a>,
    heap: table::Objects<'a>,
}

impl Report<'_> {
    fn names(&self) -> &Names {
        self.states.names()
    }

    fn print(&self, file: &Path, args: &Args, printer: &mut Printer) -> Result {
        let pauses = self.pauses();
        if args.pauses || args.output.csv {
            printer.begin(file)?;
            return printer.table(file, &pauses);
        }
        let (workers, assists) = (self.workers(), self.assists());
        let (stops, mmu, heap) = (self.stops(), self.mmu(), self.heap());
        if args.output.json {
            let limit = args.output.limit();
            let (swept, reclaimed) = self.gc.swept();
            let json = Json {
                file: file.to_string_lossy().into_owned(),
                cycles: self.gc.cycles().len(),
                marking_ns: self.gc.marking(),
                marking_share: share(self.gc.marking(), self.length),
                running_ns: self.gc.running(),
                workers: workers.objects(limit),
                assists: assists.objects(limit),
                sweeps: self.gc.sweeps().lengths.len(),
                sweep_executing_ns: self.gc.sweeps().executing.sum(),
                swept_bytes: swept,
                reclaimed_bytes: reclaimed,
                gc_share: self.gc_share(),
                stops: stops.objects(limit),
                pauses: pauses.objects(limit),
                mmu: mmu.objects(limit),
                heap: heap.objects(limit),
            };
            return output::json_line(printer.out(), &json);
        }
        printer.begin(file)?;
        self.headline(printer.out())?;
        for table in [&stops, &pauses, &workers, &assists, &mmu] {
            printer.gap()?;
            printer.table(file, table)?;
        }
        Ok(())
    }

    /// What the collector took of all that was run: idle workers take what nobody wants.
    fn gc_share(&self) -> f64 {
        let names = self.names();
        let workers = self.gc.workers();
        let workers = workers.filter(|(label, _)| names.text(*label) != "GC (idle)");
        let assists = self.gc.assists().map(|(_, times)| times.executing.sum());
        let sweeps = self.gc.sweeps().executing.sum();
        let taken = workers.map(|(_, time)| time).chain(assists).chain([sweeps]);
        share(taken.fold(0, i64::saturating_add), self.gc.running())
    }

    fn headline(&self, out: &mut impl Write) -> Result {
        let gc = self.gc;
        let (swept, reclaimed) = gc.swept();
        let peak = gc.heap().iter().max_by_key(|point| point.heap);
        let cycles = gc.cycles();
        let plural = if cycles.len() == 1 { "" } else { "s" };
        write!(out, "{} collection{plural}", cycles.len())?;
        if let (Some(p50), Some(max)) = (cycles.quantile(0.5), cycles.max()) {
            let (p50, max) = (table::duration(p50), table::duration(max));
            let marking = table::share(share(gc.marking(), self.length));
            write!(
                out,
                ", marking {marking} of the time (median {p50}, longest {max})"
            )?;
        }
        writeln!(out)?;
        let taken = table::share(self.gc_share());
        writeln!(
            out,
            "{taken} of the time that goroutines ran was for the collector"
        )?;
        if let Some(peak) = peak {
            let (heap, goal) = (table::bytes(peak.heap), table::bytes(peak.goal));
            let at = Cell::Time(peak.time.since(self.start));
            writeln!(
                out,
                "heap at most {heap}, at {}, with a goal of {goal}",
                at.shown()
            )?;
        }
        let (swept, reclaimed) = (table::bytes(swept), table::bytes(reclaimed));
        let time = table::duration(gc.sweeps().executing.sum());
        Ok(writeln!(
            out,
            "swept {swept} in {time}, reclaimed {reclaimed}"
        )?)
    }

    fn stops(&self) -> Table {
        let mut table = Table::new(
            "Stops of the world, by reason",
            [
                Column::text("reason").least(20),
                Column::count("count"),
                Column::number("total_ns", "total"),
                Column::number("p50_ns", "p50").rank(2),
                Column::number("p99_ns", "p99").rank(1),
                Column::number("max_ns", "max"),
                Column::number("stopping_max_ns", "stopping max"),
                Column::number("range_max_ns", "range max").rank(3),
            ],
        );
        let mut reasons: BTreeMap<NameId, (Histogram, i64, i64)> = BTreeMap::new();
        for pause in self.gc.pauses() {
            let (pauses, stopping, range) = reasons.entry(pause.reason).or_default();
            pauses.add(pause.pause);
            *stopping = (*stopping).max(pause.stopping);
            *range = (*range).max(pause.range());
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(reason, (pauses, ..))| {
            (std::cmp::Reverse(pauses.sum()), self.names().text(*reason))
        });
        for (reason, (pauses, stopping, range)) in reasons {
            table.row([
                text(self.names(), reason),
                Cell::Count(pauses.len()),
                Cell::Duration(pauses.sum()),
                Cell::duration(pauses.quantile(0.5)),
                Cell::duration(pauses.quantile(0.99)),
                Cell::duration(pauses.max()),
                Cell::Duration(stopping),
                Cell::Duration(range),
            ]);
        }
        table
    }

    fn pauses(&self) -> Table {
        let mut table = Table::new(
            "Longest pauses",
            [
                Column::number("start_ns", "start"),
                Column::text("reason").least(16),
                Column::number("pause_ns", "pause"),
                Column::number("stopping_ns", "stopping"),
                Column::number("range_ns", "range").rank(3),
                Column::count("goroutine").rank(6),
                Column::name("function").rank(4),
                Column::count("proc").heading("last proc").rank(5),
                Column::count("last_goroutine")
                    .heading("last goroutine")
                    .rank(2),
                Column::name("last_function")
                    .heading("stopped last")
                    .rank(1),
                Column::name("last_stack").heading("at").rank(7),
            ],
        );
        let mut pauses: Vec<&Pause> = self.gc.pauses().iter().collect();
        pauses.sort_by_key(|pause| (std::cmp::Reverse(pause.pause), pause.from));
        let names = self.names();
        for pause in pauses {
            let id = |id: Option<gotrace::GoId>| id.map_or(Cell::None, |id| Cell::Count(id.get()));
            let last = pause.last;
            let stack = last.and_then(|last| last.stack);
            let place = stack.and_then(|stack| names.user_leaf(stack));
            table.row([
                Cell::Time(pause.from.since(self.start)),
                text(names, pause.reason),
                Cell::Duration(pause.pause),
                Cell::Duration(pause.stopping),
                Cell::Duration(pause.range()),
                id(pause.goroutine),
                text(names, pause.name),
                last.map_or(Cell::None, |last| Cell::Count(last.proc.get())),
                id(last.and_then(|last| last.goroutine)),
                last.map_or(Cell::None, |last| text(names, last.name)),
                place.map_or(Cell::None, |f| Cell::text(format!("{}:{}", f.func, f.line))),
            ]);
        }
        table
    }

    fn workers(&self) -> Table {
        let columns = [
            Column::text("label"),
            Column::number("running_ns", "running"),
            Column::number("share", "share of running"),
        ];
        let mut table = Table::new("Background workers", columns);
        let mut workers: Vec<_> = self.gc.workers().collect();
        workers.sort_by_key(|(label, time)| (std::cmp::Reverse(*time), *label));
        for (label, time) in workers {
            table.row([
                text(self.names(), label),
                Cell::Duration(time),
                Cell::Share(share(time, self.gc.running())),
            ]);
        }
        table
    }

    fn assists(&self) -> Table {
        let mut table = Table::new(
            "Assists, by function",
            [
                Column::name("function"),
                Column::count("count"),
                Column::number("executing_ns", "executing"),
                Column::number("max_ns", "longest").rank(1),
                Column::number("range_ns", "with waiting").rank(2),
            ],
        );
        let mut assists: Vec<_> = self.gc.assists().collect();
        assists.sort_by_key(|(name, times)| {
            let name = self.names().text(*name);
            (std::cmp::Reverse(times.executing.sum()), name)
        });
        for (name, times) in assists {
            table.row([
                text(self.names(), name),
                Cell::Count(times.lengths.len()),
                Cell::Duration(times.executing.sum()),
                Cell::duration(times.executing.max()),
                Cell::Duration(times.lengths.sum()),
            ]);
        }
        table
    }

    fn mmu(&self) -> Table {
        let mut table = Table::new(
            "Least part of the processors left to the program (MMU)",
            [
                Column::number("window_ns", "window"),
                Column::number("mmu", "MMU"),
                Column::number("mud_1", "worst 1 %").rank(2),
                Column::number("mud_5", "worst 5 %").rank(3),
                Column::number("mean", "mean").rank(1),
                Column::number("start_ns", "worst at"),
            ],
        );
        let Some(curve) = self.curve else {
            return table;
        };
        for window in self.windows.iter().filter(|w| **w <= curve.length()) {
            if let Some(worst) = curve.least(*window) {
                // Of all moments, the worst hundredth and the worst twentieth have no more.
                let parts = curve.quantiles(*window, &[0.01, 0.05]);
                let part = |at: usize| parts.get(at).copied().map_or(Cell::None, Cell::Share);
                table.row([
                    Cell::Duration(*window),
                    Cell::Share(worst.left),
                    part(0),
                    part(1),
                    Cell::Share(curve.mean()),
                    Cell::Time(worst.from.since(self.start)),
                ]);
            }
        }
        table
    }

    fn heap(&self) -> Table {
        let columns = [
            Column::number("time_ns", "time"),
            Column::number("heap_bytes", "heap"),
            Column::number("goal_bytes", "goal"),
        ];
        let mut table = Table::new("Heap", columns);
        for point in self.gc.heap() {
            table.row([
                Cell::Time(point.time.since(self.start)),
                Cell::Bytes(point.heap),
                Cell::Bytes(point.goal),
            ]);
        }
        table
    }
}

fn share(part: i64, whole: i64) -> f64 {
    if whole <= 0 {
        return 0.0;
    }
    (part as f64 / whole as f64).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::float;

    #[test]
    fn floats_as_go_prints_them() {
        for (n, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.875, "0.875"),
            (1.1102230246251565e-16, "1.1102230246251565e-16"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
        ] {
            assert_eq!(float(n), text);
        }
    }
}
