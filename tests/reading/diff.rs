//! Comparisons of traces: what differs is found, what does not is not.

use crate::common;
use crate::world::World;
use gotrace::Trace;
use gotrace::analysis::diff::{
    BLOCK, Comparison, ENOUGH, Method, Options, Profile, UnitKind, Value, compare, parse_work,
};

fn profile(bytes: &[u8]) -> Profile {
    let trace = Trace::new(bytes).unwrap();
    let (mut reader, mut profile) = (trace.reader(), Profile::new());
    while let Some(event) = reader.next().unwrap() {
        profile.add(&event);
    }
    profile.finish();
    profile
}

/// Random numbers that are the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A duration of about this many nanoseconds, with a long tail; and longer in some stretches of time,
    /// as `mood` has it.
    fn duration(&mut self, mean: u64, mood: u64) -> u64 {
        let tail = if self.next().is_multiple_of(50) { 8 } else { 1 };
        let around = mean / 2 + self.next() % mean;
        around * tail * mood / 100
    }
}

/// A service of so many milliseconds: requests that query and render, the latter so much slower, in
/// hundredths.
fn service(seed: u64, milliseconds: u64, slower: u64) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..8 {
        random.next();
    }
    let mut world = World::new(2);
    let server = world.create(0, "main.serve");
    let renderer = world.create(0, "main.render");
    world.block(0, "sleep", &["time.Sleep", "main.main"]);
    let end = milliseconds * 1_000_000;
    let (mut id, mut time, mut mood) = (1, 0, 100);
    while time < end {
        if id % 64 == 1 {
            // Every so often all is slower or faster.
            mood = 80 + random.next() % 41;
        }
        let query = random.duration(200_000, mood);
        let render = random.duration(300_000, mood) * (100 + slower) / 100;
        let idle = random.duration(500_000, mood);
        world.start(0, server);
        world.begin_task(0, id, 0, "request");
        world.wait(query);
        world.start(1, renderer);
        world.wait(render).stop(1, &["main.render"]);
        world.end_task(0, id);
        world.wait(20_000).stop(0, &["main.serve"]);
        world.wait(idle);
        time += query + render + idle + 20_000;
        id += 1;
    }
    world.bytes()
}

fn services(seeds: std::ops::Range<u64>, milliseconds: u64, slower: u64) -> Vec<Profile> {
    seeds
        .map(|seed| profile(&service(seed, milliseconds, slower)))
        .collect()
}

fn between(a: &[Profile], b: &[Profile]) -> Comparison {
    compare(a, b, &Options::default())
}

/// The functions that are found to run longer or shorter.
fn found(comparison: &Comparison) -> Vec<String> {
    let found = comparison.changes.iter().filter(|change| change.found);
    let mut units: Vec<String> = found.map(|change| change.unit.to_string()).collect();
    units.sort();
    units.dedup();
    units
}

fn cases(n: u64) -> u64 {
    let more = std::env::var("GOTRACE_CASES")
        .ok()
        .and_then(|n| n.parse().ok());
    more.unwrap_or(n)
}

#[test]
fn sets_of_the_same_program_do_not_differ() {
    let pairs = cases(20);
    let false_alarms = (0..pairs).filter(|pair| {
        let first = pair * 20;
        let a = services(first..first + 6, 300, 0);
        let b = services(first + 10..first + 16, 300, 0);
        let comparison = between(&a, &b);
        assert_eq!(comparison.method, Method::Traces);
        assert!(comparison.changes.len() > 5);
        !found(&comparison).is_empty()
    });
    let false_alarms = false_alarms.count() as u64;
    assert!(false_alarms * 20 <= pairs, "{false_alarms} of {pairs}");
}

#[test]
fn what_is_slower_by_a_fifth_is_found_and_nothing_else() {
    let pairs = cases(20);
    let (mut right, mut wrong) = (0, 0);
    for pair in 0..pairs {
        let first = 5_000 + pair * 20;
        // More than enough for the test, because these programs have moods.
        let a = services(first..first + 8, 300, 0);
        let b = services(first + 10..first + 18, 300, 20);
        assert!(a.len() >= ENOUGH);
        let found = found(&between(&a, &b));
        right += u64::from(found.iter().any(|unit| unit == "running main.render"));
        // Requests wait for it, and so they take longer.
        let other = |unit: &String| unit.starts_with("running") && unit != "running main.render";
        let served = |unit: &String| unit == "running main.serve";
        wrong += u64::from(found.iter().any(|unit| other(unit) && !served(unit)));
    }
    assert!(right * 20 >= pairs * 19, "found in {right} of {pairs}");
    assert!(wrong * 20 <= pairs, "{wrong} of {pairs}");
}

#[test]
fn single_traces_are_compared_by_blocks() {
    let pairs = cases(20);
    let (mut alarms, mut right) = (0, 0);
    for pair in 0..pairs {
        let a = [profile(&service(9_000 + pair, 1_500, 0))];
        let b = [profile(&service(9_500 + pair, 1_500, 0))];
        let same = between(&a, &b);
        assert_eq!((same.method, same.traces), (Method::Blocks, (1, 1)));
        alarms += u64::from(!found(&same).is_empty());
        let c = [profile(&service(9_900 + pair, 1_500, 50))];
        let slower = between(&a, &c);
        right += u64::from(found(&slower).contains(&"running main.render".to_owned()));
    }
    assert!(alarms * 10 <= pairs, "{alarms} false alarms of {pairs}");
    assert!(right * 10 >= pairs * 9, "found in {right} of {pairs}");
}

#[test]
fn work_done_can_be_what_is_counted_by() {
    let (a, b) = (services(1..7, 300, 0), services(11..17, 900, 0));
    let mut options = Options::default();
    options.per = parse_work("task:request");
    let comparison = compare(&a, &b, &options);
    assert!(found(&comparison).is_empty(), "{:?}", found(&comparison));
    let rate = |change: &&gotrace::analysis::diff::Change| {
        change.unit.kind == UnitKind::Task && change.value == Value::Rate
    };
    let rate = comparison.changes.iter().find(rate).unwrap();
    // Once for each request.
    assert_eq!((rate.before, rate.after), (1.0, 1.0));
    assert_eq!(parse_work("request"), None);
}

#[test]
fn what_only_one_side_has_is_found() {
    let a = [profile(&service(1, 1_200, 0))];
    let mut world = World::new(2);
    let g = world.create(0, "main.poller");
    world.block(0, "sleep", &["main.main"]);
    for _ in 0..1_200 {
        world.start(1, g);
        world.wait(500_000).stop(1, &["main.poller"]);
        world.wait(500_000);
    }
    let b = [profile(&world.bytes())];
    let comparison = between(&a, &b);
    let found = found(&comparison);
    assert!(
        found.contains(&"running main.poller".to_owned()),
        "{found:?}"
    );
    assert!(
        found.contains(&"running main.render".to_owned()),
        "{found:?}"
    );
}

#[test]
fn a_trace_does_not_differ_from_itself_and_short_ones_are_not_judged() {
    for fixture in common::fixtures() {
        let bytes = fixture.bytes();
        let Ok(trace) = Trace::new(&bytes) else {
            continue;
        };
        let (mut reader, mut whole) = (trace.reader(), Profile::new());
        while let Ok(Some(event)) = reader.next() {
            whole.add(&event);
        }
        whole.finish();
        let sides = [whole];
        let comparison = between(&sides, &sides);
        assert!(found(&comparison).is_empty(), "{}", fixture.name);
        assert!(comparison.changes.iter().all(|change| change.shift == 0.0));
    }
    let short = [profile(&service(1, (BLOCK / 1_000_000) as u64, 0))];
    let comparison = between(&short, &short);
    assert_eq!(comparison.method, Method::Nothing);
    assert!(comparison.changes.iter().all(|change| change.p.is_none()));
}
