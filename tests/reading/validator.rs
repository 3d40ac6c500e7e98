//! An independent look at the events that the reader gives: they must make sense. See
//! `validator/model.rs` for what that is.
//!
//! `GOTRACE_LARGE` in the environment may name a large trace, which is then looked at too.
#![cfg(feature = "std")]

pub mod facts;
pub mod model;

use crate::{cases, common};

use facts::{Fact, Region, Task, What};
use gotrace::{
    GoId, ProcId, StreamReader, TaskId, Trace,
    event::{GoState, ProcState, Resource},
    ids::GenerationId,
};
use model::{Trust, Validator};
use proptest::prelude::*;

/// All events up to the error, and whether there was one.
fn facts(bytes: &[u8]) -> (Vec<Fact>, bool) {
    let Ok(trace) = Trace::new(bytes) else {
        return (Vec::new(), true);
    };
    let mut reader = trace.reader();
    let mut facts = Vec::new();
    let mut first = First::default();
    loop {
        let fact = match reader.next() {
            Ok(Some(event)) => Fact::of(&event),
            Ok(None) => return (facts, false),
            Err(_) => return (facts, true),
        };
        facts.push(first.mark(fact, reader.generation()));
    }
}

/// The first generation that has events, and not only samples.
#[derive(Default)]
struct First(Option<GenerationId>);

impl First {
    /// Says of an event whether it is of that generation.
    fn mark(&mut self, fact: Fact, generation: Option<GenerationId>) -> Fact {
        if !matches!(fact.what, What::Sync(..) | What::Sample) {
            self.0 = self.0.or(generation);
        }
        let first = self.0.is_none() || self.0 == generation;
        Fact { first, ..fact }
    }
}

/// Looks at all events of a trace up to its error; says how many there were.
pub fn validate(bytes: &[u8], trust: Trust) -> Result<usize, String> {
    let (facts, error) = facts(bytes);
    if error && trust == Trust::Program {
        return Err("the trace has an error".to_owned());
    }
    let events = facts.len();
    look(facts, trust, error)?;
    Ok(events)
}

fn look(facts: Vec<Fact>, trust: Trust, error: bool) -> Result<(), String> {
    let mut validator = Validator::new(trust);
    for fact in facts {
        validator.see(fact)?;
    }
    validator.end(error)
}

fn v2_fixtures() -> impl Iterator<Item = common::Fixture> {
    common::fixtures()
        .into_iter()
        .filter(|fixture| fixture.go_version >= 22)
}

#[test]
fn events_of_real_programs_make_sense() {
    let mut looked = 0;
    for fixture in v2_fixtures() {
        let events = validate(&fixture.bytes(), Trust::Program);
        assert!(
            events.as_ref().is_ok_and(|n| *n > 100),
            "{}: {events:?}",
            fixture.name
        );
        looked += 1;
    }
    assert!(looked >= 40, "{looked}");
}

/// Also where reading begins in the middle.
#[test]
fn events_from_each_generation_on_make_sense() {
    for fixture in v2_fixtures() {
        let bytes = fixture.bytes();
        let trace = Trace::new(&bytes).unwrap();
        for generation in trace.generations().map(Result::unwrap) {
            let mut rest = bytes[..16].to_vec();
            rest.extend(&bytes[generation.start.0 as usize..]);
            let events = validate(&rest, Trust::Program);
            assert!(
                events.is_ok(),
                "{} {}: {events:?}",
                fixture.name,
                generation.number
            );
        }
    }
}

#[test]
fn events_of_a_large_trace_make_sense() {
    let Some(path) = std::env::var_os("GOTRACE_LARGE") else {
        return;
    };
    let file = std::fs::File::open(path).expect("the trace that GOTRACE_LARGE names");
    let mut reader = StreamReader::new(file).unwrap();
    let mut validator = Validator::new(Trust::Program);
    let mut first = First::default();
    while let Some(event) = reader.next().unwrap() {
        let fact = Fact::of(&event);
        validator
            .see(first.mark(fact, reader.generation()))
            .unwrap();
    }
    validator.end(false).unwrap();
}

#[test]
fn events_of_all_text_traces_make_sense() {
    for case in cases::all() {
        let events = validate(&case.trace(), Trust::Nothing);
        assert!(events.is_ok(), "{}: {events:?}", case.name);
    }
}

/// Each with every single change to a record: hostile traces that go far.
#[test]
fn events_of_altered_text_traces_make_sense() {
    for case in cases::all() {
        for text in cases::altered(&case.wire_text()) {
            let trace = gotrace::wire::assemble(&text, None).unwrap();
            let events = validate(&trace, Trust::Nothing);
            assert!(events.is_ok(), "{}: {events:?} of\n{text}", case.name);
        }
    }
}

fn small_fixtures() -> Vec<Vec<u8>> {
    let all = v2_fixtures().map(|fixture| fixture.bytes());
    all.filter(|bytes| bytes.len() < 25_000).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    /// Some bytes changed, removed or repeated: what is read before the error makes sense still.
    #[test]
    fn events_before_damage_make_sense(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0usize..40), 1..4),
    ) {
        let fixtures = small_fixtures();
        let mut trace = fixtures[which.index(fixtures.len())].clone();
        for (at, byte, len) in damage {
            let at = 16 + at.index(trace.len() - 16);
            let end = trace.len().min(at + len);
            match byte % 4 {
                0 if trace.len() - (end - at) > 20 => drop(trace.drain(at..end)),
                1 => {
                    let copy = trace[at..end].to_vec();
                    trace.splice(at..at, copy);
                }
                2 => trace[at] ^= 1 << (len % 8),
                _ => trace[at] = byte,
            }
        }
        let events = validate(&trace, Trust::Nothing);
        prop_assert!(events.is_ok(), "{:?}", events);
    }
}

/// Everything that one change can make of the event at `at`, and whether it must be noticed.
fn altered(facts: &[Fact], at: usize, error: bool) -> Vec<(Vec<Fact>, bool)> {
    let with = |change: &dyn Fn(&mut Fact)| {
        let mut other = facts.to_vec();
        change(&mut other[at]);
        other
    };
    let mut all = Vec::new();
    use GoState::{NotExist, Syscall, Undetermined};
    // See the model for those whose context is not quite their own.
    let own = !matches!(
        facts[at].what,
        What::Sample
            | What::Go(_, Undetermined | Syscall, Syscall)
            | What::Go(_, Syscall, NotExist)
    );
    let contexts = facts[at].thread.is_some() && own;

    let mut dropped = facts.to_vec();
    let sync = matches!(dropped.remove(at).what, What::Sync(..));
    all.push((dropped, sync && !error && facts.len() > 2));
    let mut doubled = facts.to_vec();
    doubled.insert(at, facts[at].clone());
    all.push((doubled, true));
    if at > 0 {
        let before = facts[at - 1].time;
        all.push((with(&|f| f.time = before), true));
        let mut swapped = facts.to_vec();
        swapped.swap(at - 1, at);
        let (a, b) = (swapped[at - 1].time, swapped[at].time);
        (swapped[at - 1].time, swapped[at].time) = (b, a);
        all.push((swapped, at == 1));
    }
    all.push((
        with(&|f| f.thread = None),
        contexts && (facts[at].go.is_some() || facts[at].proc.is_some()),
    ));
    all.push((
        with(&|f| f.thread = gotrace::ThreadId::new(77)),
        contexts && facts[at].go.is_some(),
    ));
    all.push((with(&|f| f.go = GoId::new(77)), own));
    all.push((with(&|f| f.proc = ProcId::new(77)), own));
    all.push((with(&|f| f.go = None), own && facts[at].go.is_some()));
    all.push((
        with(&|f| f.proc = None),
        contexts && facts[at].proc.is_some(),
    ));
    all.push((with(&|f| f.first = !f.first), false));
    for what in others(&facts[at].what) {
        let must = matches!(what, What::Sync(n, _) if n == 77) || odd(&what);
        all.push((with(&|f| f.what = what.clone()), must));
    }
    all
}

/// Changes that no goroutine and no proc ever makes, and ranges that there are not.
fn odd(what: &What) -> bool {
    use GoState::{NotExist, Runnable, Running, Undetermined, Waiting};
    match what {
        What::Go(None, ..) | What::Proc(None, ..) => true,
        What::Go(_, Waiting, Running) | What::Go(_, Runnable, Waiting) => true,
        What::Go(_, _, Undetermined) => true,
        What::Go(_, Waiting | Runnable, NotExist) => true,
        What::Proc(_, _, ProcState::NotExist) => true,
        What::RangeBegin(name, _) | What::RangeActive(name, _) | What::RangeEnd(name, _) => {
            name == "lunch"
        }
        _ => false,
    }
}

/// What else the event could tell.
fn others(what: &What) -> Vec<What> {
    use What::*;
    let task = |task: &facts::Task| {
        let (id, parent) = (TaskId::new(77), TaskId::new(78));
        let (a, b, c) = (task.clone(), task.clone(), task.clone());
        let ty = b"other".to_vec();
        [Task { id, ..a }, Task { parent, ..b }, Task { ty, ..c }]
    };
    let region = |region: &facts::Region| {
        let (task, ty) = (TaskId::new(77), b"other".to_vec());
        let (a, b) = (region.clone(), region.clone());
        [Region { task, ..a }, Region { ty, ..b }]
    };
    let ranges = |scope: Resource| {
        let scopes = [
            scope,
            Resource::None,
            Resource::Goroutine(GoId::new(77).unwrap()),
            Resource::Proc(ProcId::new(77).unwrap()),
        ];
        let names = [
            "GC concurrent mark phase",
            "GC incremental sweep",
            "GC mark assist",
            "stop-the-world (other)",
            "lunch",
        ];
        let mut all = Vec::new();
        for scope in scopes {
            for name in names {
                let name = || name.to_owned();
                all.push(RangeBegin(name(), scope));
                all.push(RangeActive(name(), scope));
                all.push(RangeEnd(name(), scope));
            }
        }
        all
    };
    match what {
        Sync(n, clock) => vec![
            Sync(77, *clock),
            Sync(*n, None),
            Sync(*n, Some((0, 0, (0, 0)))),
        ],
        Metric(_, _) => vec![Metric(gotrace::event::Metric::GOMAXPROCS, 0), Log],
        Label(_) => vec![Label(Resource::None)],
        Sample => vec![Log, Experimental],
        Log | Experimental => vec![Metric(gotrace::event::Metric::HEAP_GOAL, 1)],
        RangeBegin(_, scope) | RangeActive(_, scope) | RangeEnd(_, scope) => ranges(*scope),
        TaskBegin(t) => task(t)
            .into_iter()
            .map(TaskBegin)
            .chain([TaskEnd(t.clone())])
            .collect(),
        TaskEnd(t) => task(t)
            .into_iter()
            .map(TaskEnd)
            .chain([TaskBegin(t.clone())])
            .collect(),
        RegionBegin(r) => region(r).into_iter().map(RegionBegin).collect(),
        RegionEnd(r) => region(r).into_iter().map(RegionEnd).collect(),
        Go(id, ..) => {
            use GoState::{NotExist, Runnable, Running, Syscall, Undetermined, Waiting};
            let all = [Undetermined, NotExist, Runnable, Running, Waiting, Syscall];
            let pairs = all.iter().flat_map(|from| all.map(|to| (*from, to)));
            pairs
                .flat_map(|(from, to)| [*id, GoId::new(77), None].map(|id| Go(id, from, to)))
                .collect()
        }
        Proc(id, ..) => {
            use ProcState::{Idle, NotExist, Running, Undetermined};
            let all = [Undetermined, NotExist, Running, Idle];
            let pairs = all.iter().flat_map(|from| all.map(|to| (*from, to)));
            pairs
                .flat_map(|(from, to)| [*id, ProcId::new(77), None].map(|id| Proc(id, from, to)))
                .collect()
        }
    }
}

/// The reasons that the validator can give.
fn reasons() -> Vec<&'static str> {
    let source = include_str!("validator/model.rs");
    let code = source.split_once("impl Validator").unwrap().1;
    let literals = code.lines().filter(|line| !line.trim().starts_with("//"));
    let literals = literals.filter(|line| !line.contains("expect(") && !line.contains("format!"));
    literals.filter_map(|line| line.split('"').nth(1)).collect()
}

/// The validator notices what is wrong: each of its reasons is given for some change of some sound
/// sequence, and what is wrong by itself is always noticed.
#[test]
fn altered_events_do_not_make_sense() {
    let mut left: Vec<_> = reasons();
    assert!(left.len() > 50, "{left:?}");
    let (mut altered_ones, mut noticed) = (0, 0);
    for case in cases::all() {
        let (facts, error) = facts(&case.trace());
        for trust in [Trust::Program, Trust::Nothing] {
            if facts.len() > 60 || look(facts.clone(), trust, error).is_err() {
                continue;
            }
            for at in 0..facts.len() {
                for (other, must) in altered(&facts, at, error) {
                    if other == facts {
                        continue;
                    }
                    altered_ones += 1;
                    match look(other.clone(), trust, error) {
                        Err(why) => {
                            noticed += 1;
                            left.retain(|reason| !why.contains(reason));
                        }
                        Ok(()) => assert!(
                            !must || trust == Trust::Nothing,
                            "{}: not noticed: {:?}",
                            case.name,
                            other.get(at)
                        ),
                    }
                }
            }
        }
    }
    assert_eq!(left, Vec::<&str>::new(), "reasons that are never given");
    eprintln!("{noticed} of {altered_ones} noticed");
    assert!(
        noticed > altered_ones / 10 * 8,
        "{noticed} of {altered_ones}"
    );
}
