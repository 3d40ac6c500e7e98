//! Where the analyses differ from Go's on purpose: a test for each difference, with Go's figure beside
//! ours. And what must hold of any trace.

use crate::common;
use gotrace::analysis::as_go::{self, Flags, Summarizer};
use gotrace::analysis::gc::Gc;
use gotrace::analysis::profile::{Kind, Profile};
use gotrace::analysis::states::{Goroutine, States, Stay, Visitor};
use gotrace::analysis::summary::{Group, StateKind, Summary};
use gotrace::analysis::utilization::{Curve, Utilization};
use gotrace::event::{EventRecord, GoState, ProcState, TestTables};
use gotrace::generation::Frame;
use gotrace::wire::{EventType, TimedEvent};
use gotrace::{Event, GoId, ProcId, StreamReader, Time, Trace};

/// Everything at once, by ourselves and as Go does.
struct All {
    states: States,
    summary: Summary,
    profile: Profile,
    gc: Gc,
    before_first_run: BeforeFirstRun,
    utilization: Utilization,
    summarizer: Summarizer,
    go_profile: as_go::Profile,
    go_utilization: as_go::Utilization,
}

impl All {
    fn new(kind: Kind, flags: &str) -> All {
        let flags = Flags::parse(flags).unwrap();
        All {
            states: States::new(),
            summary: Summary::new(),
            profile: Profile::new(kind),
            gc: Gc::new(),
            before_first_run: BeforeFirstRun::default(),
            utilization: Utilization::new(flags),
            summarizer: Summarizer::new(),
            go_profile: as_go::Profile::new(kind.as_go().unwrap()),
            go_utilization: as_go::Utilization::new(flags),
        }
    }

    fn add(&mut self, event: &Event<'_, '_>) {
        let mut visitor = (
            (&mut self.summary, &mut self.profile),
            (
                (&mut self.gc, &mut self.utilization),
                &mut self.before_first_run,
            ),
        );
        self.states.add(event, &mut visitor);
        self.gc.event(event, &self.states);
        self.utilization.event(event, &self.states);
        self.summarizer.add(event);
        self.go_profile.add(event);
        self.go_utilization.add(event);
    }

    fn finish(&mut self) {
        let mut visitor = (
            (&mut self.summary, &mut self.profile),
            (
                (&mut self.gc, &mut self.utilization),
                &mut self.before_first_run,
            ),
        );
        self.states.finish(&mut visitor);
        self.summarizer.finish(true);
    }

    fn of(fixture: &str, kind: Kind, flags: &str) -> All {
        let bytes = common::fixture(fixture).bytes();
        let trace = Trace::new(&bytes).unwrap();
        let (mut reader, mut all) = (trace.reader(), All::new(kind, flags));
        while let Some(event) = reader.next().unwrap() {
            all.add(&event);
        }
        all.finish();
        all
    }

    fn group(&self, name: &str) -> &Group {
        let mut groups = self.summary.groups().iter();
        let found = groups.find(|group| self.states.names().text(group.name) == name);
        found.unwrap_or_else(|| panic!("no group {name}"))
    }

    fn total(&self, kind: StateKind) -> i64 {
        let groups = self.summary.groups().iter();
        groups.map(|group| group.state(kind).stays.sum()).sum()
    }
}

/// Waits for a processor that ended before the goroutine had ever run, or did not end.
#[derive(Default)]
struct BeforeFirstRun {
    time: i64,
    /// Of those that were under way when the trace mentioned them: what was before that.
    before: i64,
    count: u64,
}

impl Visitor for BeforeFirstRun {
    fn stay(&mut self, _: &States, goroutine: &Goroutine, stay: &Stay) {
        let first = goroutine.started.is_none_or(|started| started >= stay.to);
        if stay.state != GoState::Runnable || stay.nanoseconds() == 0 {
            return;
        }
        if first || stay.open {
            self.time += stay.nanoseconds();
            self.count += 1;
        } else {
            self.before += stay.seen.since(stay.from);
        }
    }
}

/// Q1: Go's profiles leave out what happened before a goroutine first ran. Ours has all of it, and is
/// what the summary has.
#[test]
fn profiles_have_the_waits_before_a_goroutine_first_ran() {
    let all = All::of("http-go1.27", Kind::Sched, "stw");
    let ours: i64 = all.profile.samples().map(|s| s.nanoseconds).sum();
    let count: u64 = all.profile.samples().map(|s| s.count).sum();
    let (mut theirs, mut their_count) = (0, 0);
    all.go_profile.each(&all.summarizer, |_, count, time| {
        theirs += time;
        their_count += count;
    });
    assert_eq!(ours, all.total(StateKind::Runnable));
    let missing = &all.before_first_run;
    assert_eq!(ours - theirs, missing.time + missing.before);
    assert_eq!(count - their_count, missing.count);
    assert!(
        missing.count > 900 && theirs < ours / 2 + ours / 4,
        "{theirs} of {ours}"
    );
}

/// Q2: Go counts a background worker again each time it starts, so that nothing seems to be left after
/// a few collections.
#[test]
fn a_worker_counts_once() {
    let all = All::of("gc-go1.27", Kind::Sched, "background");
    let n = all.states.gomaxprocs().unwrap() as f64;
    let names = all.states.names();
    let workers = all.gc.workers();
    let idle = names.find("GC (idle)");
    let ran: i64 = workers
        .filter(|(label, _)| Some(*label) != idle)
        .map(|(_, time)| time)
        .sum();
    let curve = &all.utilization.finish()[0];
    // What is taken is what the workers ran, but for the moments between a start and its label.
    let taken = (1.0 - curve.mean()) * curve.length() as f64 * n;
    assert!(
        (taken - ran as f64).abs() < 0.05 * ran as f64,
        "{taken} {ran}"
    );
    assert!(
        curve
            .points()
            .iter()
            .all(|(_, left)| (0.0..=1.0).contains(left))
    );
    // Go's is at zero for good long before the end.
    let theirs = Curve::new(
        all.go_utilization.finish(true).remove(0),
        curve.points()[0].0 + curve.length(),
    );
    assert!(
        theirs.mean() < curve.mean() - 0.1,
        "{} {}",
        theirs.mean(),
        curve.mean()
    );
    let last = theirs.points().iter().rev().nth(1).unwrap().0;
    let ours = curve.points().last().unwrap().0;
    assert!(last < ours, "{last} {ours}");
}

/// Q3: a goroutine's id that is used again is another goroutine.
#[test]
fn ids_used_again_are_other_lives() {
    let all = All::of("cgo-go1.27", Kind::Syscall, "stw");
    let theirs: u64 = all.summarizer.groups().iter().map(|group| group.n).sum();
    let ours: u64 = all.summary.groups().iter().map(|group| group.count).sum();
    assert_eq!(ours, all.states.lives());
    assert!(theirs < ours, "{theirs} {ours}");
}

/// Q6: regions are told apart by where they begin, not by what their goroutine started with.
#[test]
fn regions_have_the_place_where_they_begin() {
    let all = All::of("annotate-go1.27", Kind::Sync, "stw");
    let names = all.states.names();
    let places: Vec<String> = all
        .summary
        .regions()
        .filter_map(|region| region.place)
        .map(|(func, _, line)| format!("{}:{line}", names.text(func)))
        .collect();
    assert!(
        places
            .iter()
            .any(|place| place.starts_with("main.main.func1:")),
        "{places:?}"
    );
    let theirs = all.summarizer.region_types();
    assert!(
        theirs
            .iter()
            .all(|row| !row.frame.func.starts_with("main.main.func1"))
    );
}

/// Q8: of a range, what its goroutine ran is known beside its length.
#[test]
fn ranges_have_the_time_that_was_run() {
    let all = All::of("gc-go1.27", Kind::Sched, "stw");
    let (mut lengths, mut executing) = (0, 0);
    for (_, times) in all.gc.assists() {
        lengths += times.lengths.sum();
        executing += times.executing.sum();
    }
    assert!(
        0 < executing && executing < lengths,
        "{executing} {lengths}"
    );
    let theirs = all.summarizer.groups();
    let theirs: i64 = theirs
        .iter()
        .filter_map(|g| g.stats.range.get("GC mark assist"))
        .sum();
    // Go's has also those that did not end.
    assert!(theirs >= lengths);
}

/// Q9: each state has percentiles, of stays and of goroutines.
#[test]
fn states_have_percentiles() {
    let all = All::of("block-go1.27", Kind::Sync, "stw");
    let group = all.group("main.main.func1.1");
    assert_eq!(group.count, 28);
    let waits = group.state(StateKind::Waiting);
    let quantiles = [0.5, 0.9, 0.99, 1.0].map(|part| waits.stays.quantile(part).unwrap());
    assert!(quantiles.is_sorted() && quantiles[0] < quantiles[3]);
    assert!(waits.goroutines.len() <= 28 && waits.stays.len() > 100);
    assert_eq!(waits.goroutines.sum(), waits.stays.sum());
    let reasons: i64 = group.reasons().map(|(_, times)| times.stays.sum()).sum();
    assert_eq!(reasons, waits.stays.sum());
}

/// Pauses are shorter than the ranges that Go shows, and have what was waited for.
#[test]
fn the_world_stands_shorter_than_its_range() {
    let (mut pauses, mut shorter, mut delayed) = (0, 0, 0);
    for fixture in ["gc-go1.27", "procs-go1.27", "http-go1.25", "gc-go1.22"] {
        let all = All::of(fixture, Kind::Sched, "stw");
        for pause in all.gc.pauses() {
            assert!(
                0 <= pause.stopping && pause.stopping <= pause.pause,
                "{pause:?}"
            );
            assert!(pause.pause <= pause.range(), "{pause:?}");
            assert_eq!(pause.last.is_some(), pause.stopping > 0);
            pauses += 1;
            shorter += usize::from(pause.pause < pause.range());
            delayed += usize::from(pause.last.is_some_and(|last| last.goroutine.is_some()));
        }
    }
    assert!(
        pauses > 10 && shorter > 5 && delayed > 20,
        "{pauses} {shorter} {delayed}"
    );
}

/// A made-up program on two procs.
struct Script {
    tables: TestTables,
    records: Vec<EventRecord>,
    now: i64,
}

const MAIN: u64 = 1;

impl Script {
    /// Goroutine 1 runs `function` on proc 0, and proc 1 is idle, since time 1000.
    fn new(function: &str) -> Script {
        let mut script = Script {
            tables: TestTables::new(),
            records: Vec::new(),
            now: 1000,
        };
        let frame = Frame {
            pc: 1,
            func: function.into(),
            file: "main.go".into(),
            line: 1,
        };
        let stack = script.tables.stack(&[frame]).get();
        script.at(1000, EventType::PROCS_CHANGE, [2, 0, 0, 0], None, None);
        let status = |id, status| [id, status, 0, 0];
        script.at(1001, EventType::PROC_STATUS, status(0, 1), None, None);
        script.at(1002, EventType::PROC_STATUS, status(1, 2), None, None);
        script.at(
            1003,
            EventType::GO_CREATE,
            [MAIN, stack, 0, 0],
            Some(0),
            None,
        );
        script.at(1004, EventType::GO_START, [MAIN, 0, 0, 0], Some(0), None);
        script
    }

    fn at(&mut self, time: i64, ty: EventType, args: [u64; 4], proc: Option<u64>, go: Option<u64>) {
        assert!(time >= self.now);
        self.now = time;
        let record = EventRecord::new(Time(time), TimedEvent::new(ty, 0, args))
            .with_proc(proc.and_then(ProcId::new))
            .with_goroutine(go.and_then(GoId::new));
        self.records.push(record);
    }

    fn string(&mut self, text: &str) -> u64 {
        self.tables.string(text).get()
    }

    fn play(&self, kind: Kind, flags: &str) -> All {
        let mut all = All::new(kind, flags);
        for record in &self.records {
            let from = match record.wire_type() {
                Some(EventType::PROC_STATUS) => record.with_proc_state_before(ProcState::NotExist),
                _ => *record,
            };
            all.add(&self.tables.event(&from));
        }
        all.finish();
        all
    }
}

/// Q2b: only a background worker that has a processor takes one: the runtime may label others.
#[test]
fn only_workers_with_a_processor_take_one() {
    for (function, counts) in [
        ("runtime.traceLockedWriter", false),
        ("runtime.gcBgMarkWorker", true),
    ] {
        let mut script = Script::new(function);
        let label = script.string("GC (dedicated)");
        script.at(
            1100,
            EventType::GO_LABEL,
            [label, 0, 0, 0],
            Some(0),
            Some(MAIN),
        );
        script.at(
            1200,
            EventType::GO_SYSCALL_BEGIN,
            [0; 4],
            Some(0),
            Some(MAIN),
        );
        script.at(1300, EventType::PROC_STEAL, [0, 0, 0, 0], None, None);
        // Here Go fails: a worker stops, and has no processor.
        script.at(
            1400,
            EventType::GO_SYSCALL_END_BLOCKED,
            [0; 4],
            None,
            Some(MAIN),
        );
        let all = script.play(Kind::Syscall, "background");
        assert!(all.go_utilization.is_lost());
        let curve = &all.utilization.finish()[0];
        let taken = (1.0 - curve.mean()) * curve.length() as f64 * 2.0;
        let expected = if counts { 100.0 } else { 0.0 };
        assert!((taken - expected).abs() < 1e-6, "{function}: {taken}");
    }
}

/// Q4: a system call that is not over when the trace is, and has no processor, is no wait for one.
#[test]
fn an_open_system_call_waits_for_no_processor() {
    let mut script = Script::new("main.main");
    script.at(
        2000,
        EventType::GO_SYSCALL_BEGIN,
        [0; 4],
        Some(0),
        Some(MAIN),
    );
    script.at(2300, EventType::PROC_STEAL, [0, 0, 0, 0], Some(1), None);
    script.at(3000, EventType::HEAP_ALLOC, [1, 0, 0, 0], Some(1), None);
    let all = script.play(Kind::Syscall, "stw");
    let group = all.group("main.main");
    let sums = StateKind::ALL
        .iter()
        .map(|kind| group.state(*kind).stays.sum());
    assert_eq!(sums.collect::<Vec<_>>(), [996, 1, 0, 300, 700]);
    let theirs = &all.summarizer.groups()[0].stats;
    assert_eq!(
        (theirs.sched_wait, theirs.syscall, theirs.syscall_block),
        (701, 1000, 0)
    );
    // The profile has it too; Go's, nothing.
    let ours: i64 = all.profile.samples().map(|s| s.nanoseconds).sum();
    assert_eq!(ours, 1000);
    assert_eq!(all.go_profile.rows(&all.summarizer), []);
}

/// Q5: a range of a proc that ends while another goroutine runs there ends there.
#[test]
fn a_range_of_a_proc_ends_where_it_ends() {
    let mut script = Script::new("main.main");
    script.at(2000, EventType::GC_SWEEP_BEGIN, [0; 4], Some(0), Some(MAIN));
    script.at(
        2100,
        EventType::GC_SWEEP_END,
        [5, 3, 0, 0],
        Some(0),
        Some(7),
    );
    script.at(3000, EventType::HEAP_ALLOC, [1, 0, 0, 0], Some(1), None);
    let all = script.play(Kind::Syscall, "sweep");
    assert_eq!(all.gc.sweeps().lengths.sum(), 100);
    assert_eq!(all.gc.swept(), (5, 3));
    let theirs = &all.summarizer.groups()[0].stats.range;
    assert_eq!(theirs["GC incremental sweep"], 1000);
    let curve = &all.utilization.finish()[0];
    assert_eq!(curve.points(), [(1000, 1.0), (2000, 0.5), (2100, 1.0)]);
}

/// A goroutine that returns from a system call says nothing of another's in which its former processor
/// is by now.
#[test]
fn a_system_call_keeps_its_own_processor() {
    let mut script = Script::new("main.main");
    let other = 2;
    script.at(
        2000,
        EventType::GO_CREATE,
        [other, 1, 0, 0],
        Some(0),
        Some(MAIN),
    );
    script.at(
        2100,
        EventType::GO_SYSCALL_BEGIN,
        [0; 4],
        Some(0),
        Some(MAIN),
    );
    script.at(2200, EventType::PROC_STEAL, [0, 0, 0, 0], None, None);
    script.at(2300, EventType::PROC_START, [0, 0, 0, 0], None, None);
    script.at(2300, EventType::GO_START, [other, 0, 0, 0], Some(0), None);
    script.at(
        2400,
        EventType::GO_SYSCALL_BEGIN,
        [0; 4],
        Some(0),
        Some(other),
    );
    script.at(
        2500,
        EventType::GO_SYSCALL_END_BLOCKED,
        [0; 4],
        None,
        Some(MAIN),
    );
    script.at(2600, EventType::PROC_STEAL, [0, 0, 0, 0], None, None);
    script.at(
        2900,
        EventType::GO_SYSCALL_END_BLOCKED,
        [0; 4],
        None,
        Some(other),
    );
    let all = script.play(Kind::Syscall, "stw");
    let group = all.group("main.main");
    let kinds = [StateKind::Syscall, StateKind::SyscallBlocked];
    assert_eq!(kinds.map(|kind| group.state(kind).stays.sum()), [300, 600]);
    let theirs = &all.summarizer.groups()[0].stats;
    assert_eq!((theirs.syscall, theirs.syscall_block), (600, 300));
}

/// What was seen of a trace, as text.
fn seen(all: &All) -> String {
    let names = all.states.names();
    let groups = all.summary.groups().iter();
    let groups: Vec<_> = groups
        .map(|group| (names.text(group.name).to_string(), group))
        .collect();
    let tasks: Vec<_> = all.summary.tasks().collect();
    let regions: Vec<_> = all.summary.regions().collect();
    let pauses = all.gc.pauses();
    format!(
        "{groups:?} {tasks:?} {regions:?} {pauses:?} {:?}",
        all.gc.heap()
    )
}

/// The summary of a stream is that of a slice, the times of each group add up to the lives of its
/// goroutines, and the wall profile has the same sum.
#[test]
fn summaries_add_up() {
    let mut lives = 0;
    for fixture in common::fixtures() {
        let bytes = fixture.bytes();
        let mut reader = StreamReader::new(&bytes[..]).unwrap();
        let mut streamed = All::new(Kind::Sync, "stw|background|assist|sweep");
        while let Ok(Some(event)) = reader.next() {
            streamed.add(&event);
        }
        streamed.finish();
        let trace = Trace::new(&bytes).unwrap();
        let mut reader = trace.reader();
        let mut all = All::new(Kind::Sync, "stw|background|assist|sweep");
        let (mut states, mut wall) = (States::new(), Profile::new(Kind::Wall));
        while let Ok(Some(event)) = reader.next() {
            all.add(&event);
            states.add(&event, &mut wall);
        }
        all.finish();
        states.finish(&mut wall);
        assert_eq!(seen(&all), seen(&streamed), "{}", fixture.name);
        for group in all.summary.groups() {
            assert_eq!(
                group.total(),
                group.lives.sum(),
                "{}: {group:?}",
                fixture.name
            );
            lives += group.count;
        }
        let sum: i64 = all.summary.groups().iter().map(Group::total).sum();
        let walled: i64 = wall.samples().map(|sample| sample.nanoseconds).sum();
        assert_eq!(walled, sum, "{}", fixture.name);
        for curve in all.utilization.finish() {
            let points = curve.points();
            assert!(points.iter().all(|(_, left)| (0.0..=1.0).contains(left)));
            assert!(points.is_sorted_by(|(a, _), (b, _)| a < b));
        }
    }
    assert!(lives > 1_000);
}

/// Two summaries merged are the sums of both, under the names of the first.
#[test]
fn summaries_merge() {
    let one = All::of("block-go1.27", Kind::Sync, "stw");
    let other = All::of("annotate-go1.25", Kind::Sync, "stw");
    let mut names = one.states.names().clone();
    let mut merged = one.summary.clone();
    merged.merge(&mut names, &other.summary, other.states.names());
    for group in merged.groups() {
        let name = names.text(group.name).to_string();
        let of = |all: &All| {
            let mut groups = all.summary.groups().iter();
            let found = groups.find(|g| all.states.names().text(g.name) == *name);
            found.map_or((0, 0), |g| (g.count, g.total()))
        };
        let (a, b) = (of(&one), of(&other));
        assert_eq!(
            (group.count, group.total()),
            (a.0 + b.0, a.1 + b.1),
            "{name}"
        );
    }
    let count = |summary: &Summary| summary.tasks().map(|ty| ty.count).sum::<u64>();
    assert_eq!(count(&merged), count(&one.summary) + count(&other.summary));
    assert!(merged.regions().count() >= other.summary.regions().count());
}
