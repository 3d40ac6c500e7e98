//! What the first screen of one trace and that of several say in the same words.

use super::answer::Page;
use super::table::{Cell, duration, share};
use gotrace::analysis::histogram::Histogram;
use gotrace::analysis::overview::{Gc, Used};
use gotrace::analysis::states::Sums;

/// A quantile of times, as a cell.
pub fn quantile(times: &Histogram, part: f64) -> Cell {
    Cell::duration(times.quantile(part))
}

/// What the processors were used for, in words. `part` gives the part of their time that a time is.
pub fn used(used: &Used, part: impl Fn(i64) -> f64) -> String {
    let part = |time| share(part(time));
    format!(
        "{} busy: program {}, GC {}, runtime {}, system calls {}",
        part(used.total()),
        part(used.program),
        part(used.gc),
        part(used.runtime),
        part(used.syscalls)
    )
}

/// The same for programs.
pub fn used_facts(page: &mut Page, used: &Used, part: impl Fn(i64) -> f64) {
    for (key, time) in [
        ("busy", used.total()),
        ("busy_program", used.program),
        ("busy_gc", used.gc),
        ("busy_runtime", used.runtime),
        ("busy_syscalls", used.syscalls),
    ] {
        page.fact(key, "", Cell::Share(part(time)));
    }
}

/// How long goroutines waited for a processor; and who did for longest, if that is one.
pub fn sched_facts(page: &mut Page, sched: &Histogram, who: Option<String>) {
    let who = who.map_or_else(String::new, |who| format!(" ({who})"));
    let text = format!(
        "{} times, p50 {}, p99 {}, longest {}{who}",
        sched.len(),
        quantile(sched, 0.5).shown(),
        quantile(sched, 0.99).shown(),
        quantile(sched, 1.0).shown()
    );
    page.fact("", "waited for them", Cell::Text(text));
    page.fact("sched_count", "", Cell::Count(sched.len()));
    page.fact("sched_p50_ns", "", quantile(sched, 0.5));
    page.fact("sched_p99_ns", "", quantile(sched, 0.99));
    page.fact("sched_longest_ns", "", quantile(sched, 1.0));
}

/// What the garbage collector did in so many nanoseconds, and how long the world was stopped; and why that
/// was for longest, if that is one reason.
pub fn gc_facts(page: &mut Page, gc: &Gc, length: i64, reason: Option<String>) {
    let marking = (gc.marking as f64 / length.max(1) as f64).min(1.0);
    let text = format!(
        "{} collections, marking {} of the time",
        gc.collections,
        share(marking)
    );
    page.fact("", "GC", Cell::Text(text));
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    let text = match gc.stops {
        0 => "never".to_owned(),
        stops => format!(
            "{stops} times, {} in sum, longest {}{reason}",
            duration(gc.stopped),
            duration(gc.longest_stop)
        ),
    };
    page.fact("", "stopped the world", Cell::Text(text));
    page.fact("gc_collections", "", Cell::Count(gc.collections));
    page.fact("gc_marking", "", Cell::Share(marking));
    page.fact("stw_count", "", Cell::Count(gc.stops));
    page.fact("stw_total_ns", "", Cell::Duration(gc.stopped));
    page.fact("stw_longest_ns", "", Cell::Duration(gc.longest_stop));
}

/// A function's name; none if it is not known.
pub fn function(name: &str) -> Cell {
    match name.is_empty() {
        true => Cell::None,
        false => Cell::text(name),
    }
}

/// The time in system calls, with a processor and without.
pub fn in_syscalls(sums: &Sums) -> Cell {
    Cell::Duration(sums.syscall.saturating_add(sums.syscall_without_proc))
}
