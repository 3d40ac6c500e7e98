use super::*;
use crate::{TaskId, Time, Trace};
use proptest::prelude::*;
use std::string::{String, ToString as _};
use std::vec::Vec as Rows;

fn explained(bytes: &[u8], subject: Subject, most: usize) -> Explained {
    let trace = Trace::new(bytes).unwrap();
    let mut finder = Finder::new(subject, most);
    let mut reader = trace.reader();
    while let Ok(Some(event)) = reader.next() {
        finder.add(&event);
    }
    let mut explainer = Explainer::new(finder.finish());
    let mut reader = trace.reader();
    while let Ok(Some(event)) = reader.next() {
        explainer.add(&event);
        if explainer.is_done() {
            break;
        }
    }
    explainer.finish()
}

/// Times add up: those of the path to the duration, without gaps; those of each goroutine to the time
/// that it was at work, which is within the duration.
#[track_caller]
fn adds_up(explanation: &Explanation) {
    let found = &explanation.found;
    let path = &explanation.path;
    assert_eq!(total(&explanation.path_times), found.duration());
    if found.duration() > 0 {
        assert_eq!(path.first().map(|step| step.from), Some(found.start));
        assert_eq!(path.last().map(|step| step.to), Some(found.end));
    }
    for two in path.windows(2) {
        assert_eq!(two[0].to, two[1].from);
    }
    assert!(path.iter().all(|step| step.nanoseconds() > 0));
    let mut all = 0;
    for worker in &explanation.workers {
        let at_work: i64 = worker
            .at_work
            .iter()
            .map(|(from, to)| to.since(*from))
            .sum();
        assert_eq!(worker.nanoseconds(), at_work);
        let stays: i64 = worker
            .stays
            .iter()
            .map(|stay| stay.to.since(stay.from))
            .sum();
        assert_eq!(stays, at_work);
        for (from, to) in &worker.at_work {
            assert!(found.start <= *from && from < to && *to <= found.end);
        }
        assert!(worker.at_work.windows(2).all(|two| two[0].1 < two[1].0));
        all += at_work;
    }
    assert_eq!(total(&explanation.times), all);
    let waits: i64 = explanation.waits.iter().map(|wait| wait.total).sum();
    let waiting = |(spent, time): (&Spent, &i64)| match spent.state {
        GoState::Waiting | GoState::Syscall => *time,
        _ => 0,
    };
    assert_eq!(waits, explanation.times.iter().map(waiting).sum::<i64>());
}

fn fixtures() -> Rows<Rows<u8>> {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut files: Rows<_> = std::fs::read_dir(here)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "trace"))
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

#[test]
fn times_add_up_in_every_fixture() {
    let mut seen = 0;
    for bytes in fixtures() {
        for subject in [
            Subject::Tasks(None),
            Subject::Regions(None),
            Subject::Goroutine(GoId::new(1).unwrap()),
        ] {
            for explanation in &explained(&bytes, subject, 30).list {
                adds_up(explanation);
                seen += 1;
            }
        }
    }
    assert!(seen > 300, "{seen}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever the trace leaves out: a part of it is a trace with things that began before and did not
    /// end.
    #[test]
    fn times_add_up_in_parts_of_traces(skip in 0usize..20_000, most in 1usize..20_000) {
        let bytes = include_bytes!("../../../tests/fixtures/annotate-go1.27.trace");
        let trace = Trace::new(bytes).unwrap();
        for subject in [Subject::Tasks(None), Subject::Regions(None)] {
            let mut finder = Finder::new(subject, 100);
            let (skip, most) = (skip % 500, most % 500);
            let mut reader = trace.reader();
            let mut n = 0;
            while let Some(event) = reader.next().unwrap() {
                if (skip..skip + most).contains(&n) {
                    finder.add(&event);
                }
                n += 1;
            }
            let mut explainer = Explainer::new(finder.finish());
            let mut reader = trace.reader();
            let mut n = 0;
            while let Some(event) = reader.next().unwrap() {
                if (skip..skip + most).contains(&n) {
                    explainer.add(&event);
                }
                n += 1;
            }
            for explanation in &explainer.finish().list {
                adds_up(explanation);
            }
        }
    }
}

/// What is known of one trace: who worked for a task, and who was waited for.
#[test]
fn a_request_waits_for_those_it_created() {
    let bytes = include_bytes!("../../../tests/fixtures/http-go1.27.trace");
    let slowest = explained(bytes, Subject::Tasks(Some("request".into())), 3);
    let [first, .., last] = &slowest.list[..] else {
        panic!("there are more than three requests");
    };
    assert!(first.found.duration() >= last.found.duration());
    let name = |id| slowest.names.text(id).to_string();
    let workers: Rows<String> = first
        .workers
        .iter()
        .map(|worker| name(worker.name))
        .collect();
    assert!(workers.iter().any(|name| name == "net/http.(*conn).serve"));
    assert_eq!(
        workers
            .iter()
            .filter(|name| *name == "main.serve.func2")
            .count(),
        8
    );
    // It waits for one of them, which waits for a processor: that is what the path says.
    let others: i64 = (first.path.iter())
        .filter(|step| step.depth == 1 && name(step.name) == "main.serve.func2")
        .map(Step::nanoseconds)
        .sum();
    assert!(others > first.found.duration() * 9 / 10);
    let wait = &first.waits[0];
    assert_eq!(name(wait.spent.reason), "sync");
    assert!(
        wait.waker
            .is_some_and(|(_, waker, _)| name(waker) == "main.serve.func2")
    );
}

#[test]
fn what_is_asked_for_is_found() {
    let bytes = include_bytes!("../../../tests/fixtures/http-go1.27.trace");
    let find = |subject| {
        let list = explained(bytes, subject, 2).list;
        let found = list.into_iter().map(|explanation| explanation.found);
        found.collect::<Rows<_>>()
    };
    assert_eq!(find(Subject::Tasks(Some("nothing".into()))), []);
    assert_eq!(find(Subject::Task(TaskId::new(u64::MAX - 1).unwrap())), []);
    let slowest = &find(Subject::Tasks(None))[0];
    let id = slowest.task.unwrap();
    assert_eq!(find(Subject::Task(id)), core::slice::from_ref(slowest));
    let main = &find(Subject::Goroutine(GoId::new(1).unwrap()))[..];
    assert_eq!(main.len(), 1);
    assert!(!main[0].has_start && main[0].start < Time(i64::MAX));
    // One that it created.
    let explained = explained(bytes, Subject::Goroutine(GoId::new(26).unwrap()), 1);
    let [one] = &explained.list[..] else {
        panic!("one life");
    };
    assert!(one.found.has_start);
    let creator = one.creator.unwrap();
    assert_eq!(creator.id.get(), 1);
    assert_eq!(explained.names.text(creator.name), *"main.main");
    let place = explained.names.user_leaf(creator.stack.unwrap()).unwrap();
    assert!(place.func == *"main.main" && place.line > 10);
}
