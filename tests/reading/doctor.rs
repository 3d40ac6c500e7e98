//! The metrics of traces, and what the doctor makes of them.

use crate::common;
use crate::world::World;
use gotrace::analysis::doctor::{Finding, Limit, Limits, Rule, Severity, examine};
use gotrace::analysis::metrics::{MetricCondition, MetricNames, Metrics};
use gotrace::event::{Change, Details, GoState, RangeName};
use gotrace::{StreamReader, Trace};
use std::collections::HashMap;

/// The metrics of a trace, as far as it can be read.
fn metrics(bytes: &[u8]) -> Metrics {
    let trace = Trace::new(bytes).unwrap();
    let (mut reader, mut metrics) = (trace.reader(), Metrics::new());
    while let Ok(Some(event)) = reader.next() {
        metrics.add(&event);
    }
    metrics.finish();
    metrics
}

#[track_caller]
fn holds(metrics: &Metrics, text: &str) {
    let condition = MetricCondition::parse(text, &MetricNames);
    let condition = condition.unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(condition.decide(metrics), Ok(true), "{text}");
}

#[test]
fn streams_have_the_metrics_of_slices() {
    for fixture in common::fixtures() {
        let bytes = fixture.bytes();
        let slice = metrics(&bytes);
        let mut reader = StreamReader::new(&bytes[..]).unwrap();
        let mut stream = Metrics::new();
        while let Ok(Some(event)) = reader.next() {
            stream.add(&event);
        }
        stream.finish();
        assert!(slice.all() == stream.all(), "{}", fixture.name);
    }
}

/// Against sums over a list of all transitions and ranges.
#[test]
fn metrics_are_what_a_plain_count_gives() {
    for name in [
        "http-go1.27",
        "gc-go1.22",
        "block-go1.25",
        "annotate-go1.21",
    ] {
        let bytes = common::fixture(name).bytes();
        let trace = Trace::new(&bytes).unwrap();
        let mut reader = trace.reader();
        let (mut runnable, mut runs) = (Vec::new(), 0u64);
        let mut since = HashMap::new();
        let (mut stops, mut stop) = (Vec::new(), None);
        let (mut sync, mut first, mut last) = (None, None, None);
        let (mut tasks, mut begun) = (Vec::new(), HashMap::new());
        while let Some(event) = reader.next().unwrap() {
            let time = event.time();
            first = first.or(Some(time));
            last = Some(time);
            match event.details() {
                Details::Sync(_) => sync = Some(time),
                Details::StateTransition(transition) => {
                    let Change::Goroutine {
                        id: Some(id),
                        from,
                        to,
                    } = transition.change
                    else {
                        continue;
                    };
                    if from == to {
                        continue;
                    }
                    if let Some((GoState::Runnable, from)) = since.remove(&id) {
                        runnable.push(time.since(from));
                    }
                    runs += u64::from(to == GoState::Running && from != GoState::Undetermined);
                    let is_first = from == GoState::Undetermined;
                    let begin = if is_first { sync.unwrap_or(time) } else { time };
                    since.insert(id, (to, begin));
                }
                Details::RangeBegin(range) if matches!(range.name, RangeName::StopTheWorld(_)) => {
                    stop = Some(time);
                }
                Details::RangeEnd(range, _) if matches!(range.name, RangeName::StopTheWorld(_)) => {
                    stops.extend(stop.take().map(|from| time.since(from)));
                }
                Details::TaskBegin(task) => {
                    begun.insert(task.id, time);
                }
                Details::TaskEnd(task) => {
                    tasks.extend(begun.remove(&task.id).map(|from| time.since(from)));
                }
                _ => {}
            }
        }
        let last = last.unwrap();
        for (state, from) in since.values() {
            if *state == GoState::Runnable {
                runnable.push(last.since(*from));
            }
        }
        assert!(runs > 0);
        let metrics = metrics(&bytes);
        let sum: i64 = runnable.iter().sum();
        holds(
            &metrics,
            &format!(
                "sched.total == {sum}ns && sched.count == {}",
                runnable.len()
            ),
        );
        holds(
            &metrics,
            &format!("duration == {}ns", last.since(first.unwrap())),
        );
        for (family, mut times) in [("sched", runnable), ("stw.range", stops), ("task", tasks)] {
            holds(&metrics, &format!("{family}.count == {}", times.len()));
            times.sort_unstable();
            let Some(max) = times.last() else { continue };
            holds(&metrics, &format!("{family}.max == {max}ns"));
            let rank = (times.len() * 99).div_ceil(100).max(1);
            let p99 = times[rank - 1];
            let (below, above) = (p99 - p99 / 127, p99 + p99 / 127 + 1);
            let near = format!("{family}.p99 in {below}ns..={above}ns");
            holds(&metrics, &near);
        }
        // The world stands still for no longer than the range, and stops before it stands.
        holds(&metrics, "stw.max? <= 10s && stw.count >= 0");
        let all: HashMap<_, _> = metrics
            .all()
            .into_iter()
            .map(|(name, _, n)| (name, n))
            .collect();
        if let Some(range) = all.get("stw.range.max") {
            assert!(all["stw.max"] <= *range && all["stw.stopping.max"] <= *range);
        }
    }
}

fn findings(bytes: &[u8]) -> Vec<Finding> {
    let trace = Trace::new(bytes).unwrap();
    let (mut reader, mut metrics) = (trace.reader(), Metrics::new());
    // Go's reader refuses one of the old fixtures, and so does this.
    while let Ok(Some(event)) = reader.next() {
        metrics.add(&event);
    }
    metrics.finish();
    examine(&metrics, &Limits::new())
}

/// The one finding that there is above a note.
#[track_caller]
fn only(findings: Vec<Finding>, rule: Rule, severity: Severity) -> Finding {
    let mut grave: Vec<Finding> = findings
        .into_iter()
        .filter(|finding| finding.severity > Severity::Note)
        .collect();
    assert_eq!(grave.len(), 1, "{grave:#?}");
    let finding = grave.remove(0);
    assert_eq!(
        (finding.rule, finding.severity),
        (rule, severity),
        "{finding:#?}"
    );
    let limit = rule.limit();
    let expected = if severity == Severity::Error {
        limit.error
    } else {
        limit.warning
    };
    // Of goroutines that wait for ever, a tenth is enough.
    let few = rule == Rule::Leak && finding.limit == expected / 10;
    assert!(finding.limit == expected || few, "{finding:#?}");
    assert!(finding.number > finding.limit && !finding.message.is_empty());
    assert!(finding.command.starts_with("gotrace ") && finding.command.contains("FILE"));
    finding
}

#[test]
fn healthy_programs_have_no_finding_above_a_note() {
    for fixture in common::fixtures() {
        let grave: Vec<Finding> = findings(&fixture.bytes())
            .into_iter()
            .filter(|finding| finding.severity > Severity::Note)
            .collect();
        assert!(grave.is_empty(), "{}: {grave:#?}", fixture.name);
    }
}

/// Traces of `tests/go/diseases`, each with one disease.
#[cfg(feature = "gzip")]
#[test]
fn each_disease_is_found_and_nothing_else() {
    use gotrace::source::open::Input;
    let dir = common::fixtures_dir().join("diseases");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(name) = name.strip_suffix(".trace.gz") else {
            continue;
        };
        names.push(name.to_owned());
        let input = Input::new(std::fs::File::open(&path).unwrap()).unwrap();
        let bytes = input.read_trace(16 << 20).unwrap();
        let found = findings(&bytes);
        let rule = match name {
            "healthy" => {
                assert!(
                    found.iter().all(|f| f.severity == Severity::Note),
                    "{found:#?}"
                );
                continue;
            }
            "convoy" => Rule::Convoy,
            "forever" | "leak" => Rule::Leak,
            "greedy" => Rule::Greedy,
            "longstop" => Rule::StopLong,
            "network" => Rule::Network,
            "pile" => Rule::Pile,
            "stops" => Rule::StopOften,
            "storm" => Rule::Collector,
            "timers" => Rule::Timers,
            name => panic!("what is the disease of {name}?"),
        };
        let severity = found
            .first()
            .map(|finding| finding.severity)
            .unwrap_or(Severity::Note);
        let finding = only(found, rule, severity);
        // What it says of the program is true.
        let function = match name {
            "convoy" => "main.convoy.func1",
            "forever" => "main.forever.func1",
            "leak" => "main.leaked",
            "greedy" => "main.greedy.func1",
            "longstop" => "main.longstop.func1",
            "network" => "main.network.func2",
            "timers" => "main.timers.func1",
            _ => continue,
        };
        assert_eq!(finding.function, function);
    }
    assert_eq!(names.len(), 11);
}

#[test]
fn a_long_pause_names_who_made_it_late() {
    let mut world = World::new(2);
    let slow = world.create(0, "main.slow");
    world.start(1, slow);
    world
        .wait(1_000_000)
        .stop_the_world(0, "GC sweep termination");
    // The other proc stops after 60 ms, the world stands for 2 ms, and the stopper is late by 5 ms.
    world.wait(60_000_000).stop(1, &["main.loop", "main.slow"]);
    world.stop_proc(1);
    world.wait(2_000_000).start_proc(1);
    world.wait(5_000_000).start_the_world(0);
    let finding = only(findings(&world.bytes()), Rule::StopLong, Severity::Error);
    assert!(
        (62_000_000..62_000_010).contains(&finding.number),
        "{finding:#?}"
    );
    assert_eq!(finding.function, "main.slow");
    assert_eq!(finding.stack, ["main.loop", "main.slow"]);
    assert_eq!(finding.goroutine, gotrace::GoId::new(slow as u64));
    assert!(
        finding.message.contains("GC sweep termination"),
        "{}",
        finding.message
    );
    let metrics = metrics(&world.bytes());
    holds(
        &metrics,
        "stw.max in 62ms..62001us && stw.stopping.max in 60ms..60001us",
    );
    holds(&metrics, "stw.range.max in 67ms..67001us && stw.count == 1");
    // 62 ms are no finding where they are allowed.
    let limit = Limit {
        warning: 100_000_000,
        error: 1_000_000_000,
    };
    let limits = Limits::new().with(Rule::StopLong, limit);
    assert!(
        examine(&metrics, &limits)
            .iter()
            .all(|f| f.severity == Severity::Note)
    );
}

#[test]
fn idle_processors_beside_ready_goroutines() {
    let mut world = World::new(2);
    world.stop_proc(1);
    for _ in 0..10 {
        // Ready for 20 ms with a processor idle; then nothing is.
        let g = world.create(0, "main.worker");
        world.wait(20_000_000).start_proc(1);
        world.start(1, g);
        world.wait(50_000_000).block(1, "select", &["main.worker"]);
        world.stop_proc(1);
        // Less than a millisecond is how long a thread takes to wake.
        let g = world.create(0, "main.worker");
        world.wait(900_000).start_proc(1);
        world.start(1, g);
        world.block(1, "select", &["main.worker"]);
        world.stop_proc(1);
    }
    let finding = only(findings(&world.bytes()), Rule::Idle, Severity::Warning);
    let share = 200.0 / 709.0;
    assert!(
        (finding.number as f64 / 1e6 - share).abs() < 1e-3,
        "{finding:#?}"
    );
}

#[test]
fn system_calls_that_lose_their_processor() {
    let mut world = World::new(2);
    let g = world.create(0, "main.reader");
    world.start(1, g);
    for _ in 0..2_000 {
        world.lose_syscall(
            1,
            0,
            &["syscall.Read", "os.(*File).Read", "main.reader"],
            100_000,
        );
        world.start(1, g);
        world.wait(200_000);
    }
    let finding = only(findings(&world.bytes()), Rule::Syscalls, Severity::Warning);
    // 2,000 in 0.6 s.
    assert!(
        (3_300_000..3_340_000).contains(&finding.number),
        "{finding:#?}"
    );
    assert!(
        finding.message.contains("os.(*File).Read"),
        "{}",
        finding.message
    );
    holds(
        &metrics(&world.bytes()),
        "syscall.stolen == 100% && syscall.stolen.rate > 3300",
    );
}

#[test]
fn goroutines_that_wait_long_for_a_processor() {
    let mut world = World::new(1);
    let workers: Vec<usize> = (0..4).map(|_| world.create(0, "main.worker")).collect();
    world.block(0, "sleep", &["main.main"]);
    for round in 0..40 {
        for worker in &workers {
            world.start(0, *worker);
            world.wait(if round == 20 { 25_000_000 } else { 1_000_000 });
            world.stop(0, &["main.worker"]);
        }
    }
    let finding = only(findings(&world.bytes()), Rule::Latency, Severity::Warning);
    assert_eq!(finding.function, "main.worker");
    holds(
        &metrics(&world.bytes()),
        r#"sched("main.worker").max in 75ms..80ms"#,
    );
}

#[test]
fn timers_that_wake_goroutines_for_nothing() {
    let mut world = World::new(2);
    let g = world.create(0, "main.ticker");
    world.start(1, g);
    for _ in 0..16_000 {
        world
            .wait(2_000)
            .block(1, "sleep", &["time.Sleep", "main.ticker"]);
        world.wait(30_000).unblock(0, g);
        world.start(1, g);
    }
    let finding = only(findings(&world.bytes()), Rule::Timers, Severity::Warning);
    // One in 32 µs, on two processors.
    assert!(
        (15_500_000..15_700_000).contains(&finding.number),
        "{finding:#?}"
    );
    assert_eq!(finding.function, "main.ticker");
    holds(&metrics(&world.bytes()), "timers.rate in 15500..15700");
}

#[test]
fn tasks_that_do_not_end() {
    let mut world = World::new(1);
    world.begin_task(0, 1, 0, "request");
    world.begin_task(0, 2, 1, "query");
    world.wait(3_000_000).end_task(0, 1);
    for id in 3..10 {
        world.begin_task(0, id, 0, "query");
        world.wait(1_000_000).end_task(0, id);
    }
    let young = findings(&world.bytes());
    assert!(
        young
            .iter()
            .all(|finding| finding.severity == Severity::Note)
    );
    world.wait(2_000_000_000).begin_task(0, 10, 0, "query");
    let finding = only(findings(&world.bytes()), Rule::Task, Severity::Warning);
    assert_eq!(finding.number, 1);
    assert!(
        finding
            .message
            .contains("1 task did not end, the oldest is 2 of type query")
    );
    assert!(
        finding.message.contains("its parent 1 ended before it"),
        "{}",
        finding.message
    );
    holds(
        &metrics(&world.bytes()),
        "tasks.unfinished == 1 && task('query').count == 7",
    );
}

/// The program of `tests/go/diseases`, live.
#[test]
fn the_doctor_finds_the_diseases_of_live_programs() {
    let Some(go) = common::go::Go::find() else {
        return;
    };
    let program = go.build_in("tests/go/diseases", ".", "diseases");
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("disease.trace");
    for (name, rule, length) in [
        ("convoy", Rule::Convoy, "700ms"),
        ("forever", Rule::Leak, "100ms"),
        ("stops", Rule::StopOften, "700ms"),
        ("storm", Rule::Collector, "700ms"),
        ("longstop", Rule::StopLong, "700ms"),
        ("network", Rule::Network, "1s"),
    ] {
        let status = std::process::Command::new(&program)
            .args([name.as_ref(), file.as_os_str(), length.as_ref()])
            .env("GODEBUG", "asyncpreemptoff=1")
            .status();
        assert!(status.unwrap().success(), "{name}");
        let found = findings(&std::fs::read(&file).unwrap());
        let is_it = |finding: &Finding| finding.rule == rule && finding.severity > Severity::Note;
        assert!(found.iter().any(is_it), "{name}: {found:#?}");
    }
}
