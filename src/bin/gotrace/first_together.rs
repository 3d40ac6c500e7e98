//! `gotrace summary --together`: the first screen of several traces.

use super::answer::Page;
use super::first_parts::{self as parts, quantile};
use super::output;
use super::table::{Cell, Column, Table, duration};
use gotrace::analysis::histogram::Histogram;
use gotrace::analysis::overview;
use gotrace::analysis::states::{States, Sums};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

/// What several traces have together, and a row for each.
pub struct Totals {
    rows: Vec<Vec<Cell>>,
    length: i64,
    events: u64,
    created: u64,
    ended: u64,
    used: overview::Used,
    /// The time of all processors, where it is known how many there are.
    capacity: f64,
    sched: Histogram,
    /// The reason of the longest stop is that of one trace.
    gc: overview::Gc,
    syscalls: u64,
    functions: BTreeMap<String, (u64, Sums)>,
    tasks: BTreeMap<String, (Histogram, u64)>,
}

impl Totals {
    /// Of one trace.
    pub fn of(file: &Path, states: &States, seen: &overview::Page, events: u64) -> Totals {
        let names = states.names();
        let length = seen.nanoseconds();
        let slowest = seen.tasks.iter().max_by_key(|task| task.times.sum());
        let slowest = slowest.filter(|task| !task.times.is_empty());
        let row = vec![
            Cell::Text(output::name(file)),
            Cell::Duration(length),
            Cell::Count(events),
            Cell::Count(seen.created),
            seen.gomaxprocs.map_or(Cell::None, Cell::Count),
            Cell::Share(seen.busy()),
            Cell::Share(seen.part(seen.used.gc)),
            quantile(&seen.sched, 0.99),
            Cell::Duration(seen.gc.longest_stop),
            slowest.map_or(Cell::None, |task| {
                Cell::Text(names.text(task.ty).to_string())
            }),
            slowest.map_or(Cell::None, |task| quantile(&task.times, 0.99)),
        ];
        let functions = seen.functions.iter();
        let functions = functions.map(|of| (names.text(of.name).to_string(), (of.count, of.sums)));
        let tasks = seen.tasks.iter();
        let tasks = tasks.map(|of| (names.text(of.ty).to_string(), (of.times.clone(), of.open)));
        Totals {
            rows: vec![row],
            length,
            events,
            created: seen.created,
            ended: seen.ended,
            used: seen.used,
            capacity: seen.gomaxprocs.unwrap_or(0) as f64 * length as f64,
            sched: seen.sched.clone(),
            gc: seen.gc,
            syscalls: seen.syscalls,
            functions: functions.collect(),
            tasks: tasks.collect(),
        }
    }

    pub fn merge(&mut self, other: Totals) {
        self.rows.extend(other.rows);
        self.length += other.length;
        self.events += other.events;
        self.created += other.created;
        self.ended += other.ended;
        self.used.program += other.used.program;
        self.used.gc += other.used.gc;
        self.used.runtime += other.used.runtime;
        self.used.syscalls += other.used.syscalls;
        self.capacity += other.capacity;
        self.sched.merge(&other.sched);
        self.gc.collections += other.gc.collections;
        self.gc.marking += other.gc.marking;
        self.gc.stops += other.gc.stops;
        self.gc.stopped += other.gc.stopped;
        self.gc.longest_stop = self.gc.longest_stop.max(other.gc.longest_stop);
        self.syscalls += other.syscalls;
        for (name, (count, sums)) in other.functions {
            let to = self.functions.entry(name).or_default();
            *to = (to.0 + count, to.1.plus(&sums));
        }
        for (name, (times, open)) in other.tasks {
            let to = self.tasks.entry(name).or_default();
            to.0.merge(&times);
            to.1 += open;
        }
    }

    pub fn page(&self) -> Page {
        let mut page = Page::default();
        let traces = self.rows.len() as u64;
        let text = format!("{traces}, {} in sum", duration(self.length));
        page.fact("", "traces", Cell::Text(text));
        page.fact("traces", "", Cell::Count(traces));
        page.fact("duration_ns", "", Cell::Duration(self.length));
        page.fact("events", "events", Cell::Count(self.events));
        let text = format!("{} created, {} ended", self.created, self.ended);
        page.fact("", "goroutines", Cell::Text(text));
        page.fact("created", "", Cell::Count(self.created));
        page.fact("ended", "", Cell::Count(self.ended));
        let part = |time: i64| (time as f64 / self.capacity.max(1.0)).min(1.0);
        let text = parts::used(&self.used, part);
        page.fact("", "processors", Cell::Text(text));
        parts::used_facts(&mut page, &self.used, part);
        parts::sched_facts(&mut page, &self.sched, None);
        parts::gc_facts(&mut page, &self.gc, self.length, None);
        page.fact("syscalls", "system calls", Cell::Count(self.syscalls));
        page.table("each_trace", self.each_trace());
        page.table("tasks", self.tasks());
        page.table("functions", self.functions());
        page
    }

    fn each_trace(&self) -> Table {
        let mut table = Table::new(
            "Each trace",
            [
                Column::name("trace").least(16),
                Column::number("duration_ns", "duration"),
                Column::count("events").rank(4),
                Column::count("created").rank(3),
                Column::count("procs").rank(6),
                Column::number("busy", "busy"),
                Column::number("busy_gc", "GC").rank(2),
                Column::number("sched_p99_ns", "sched p99"),
                Column::number("stw_longest_ns", "longest STW").rank(1),
                Column::text("task").least(8).rank(5),
                Column::number("task_p99_ns", "its p99").rank(5),
            ],
        );
        for row in &self.rows {
            table.row(row.clone());
        }
        table
    }

    fn tasks(&self) -> Table {
        let mut table = Table::new(
            "Tasks",
            [
                Column::text("type"),
                Column::count("count").heading("ended"),
                Column::count("open").rank(3),
                Column::number("p50_ns", "p50").rank(2),
                Column::number("p99_ns", "p99"),
                Column::number("longest_ns", "longest"),
                Column::number("total_ns", "in sum"),
            ],
        );
        let mut tasks: Vec<_> = self.tasks.iter().collect();
        tasks.sort_by_key(|(name, (times, _))| (Reverse(times.sum()), *name));
        for (name, (times, open)) in tasks {
            table.row([
                Cell::text(name.clone()),
                Cell::Count(times.len()),
                Cell::Count(*open),
                quantile(times, 0.5),
                quantile(times, 0.99),
                quantile(times, 1.0),
                Cell::Duration(times.sum()),
            ]);
        }
        table
    }

    fn functions(&self) -> Table {
        let mut table = Table::new(
            "Goroutines by the function they started with",
            [
                Column::name("function"),
                Column::count("count").heading("number"),
                Column::number("running_ns", "running"),
                Column::number("runnable_ns", "runnable"),
                Column::number("waiting_ns", "waiting"),
                Column::number("syscall_ns", "syscall").rank(1),
            ],
        );
        let mut functions: Vec<_> = self.functions.iter().collect();
        functions
            .sort_by_key(|(name, (count, sums))| (Reverse(sums.running), Reverse(*count), *name));
        for (name, (count, sums)) in functions {
            table.row([
                parts::function(name),
                Cell::Count(*count),
                Cell::Duration(sums.running),
                Cell::Duration(sums.runnable),
                Cell::Duration(sums.waiting),
                parts::in_syscalls(sums),
            ]);
        }
        table
    }
}
