//! The rules by which events are ordered, one small trace for each rule and each way to break it:
//! see `cases.rs` for how the files in `tests/order` are written.
//!
//! With `BLESS=1` in the environment the expectations are written anew instead of compared.

#![cfg(feature = "std")]

use crate::{cases, common};

use std::fmt::Write as _;

use cases::Case;
use gotrace::wire::{self, Chunk, Class, EventType, Record, Role};
use gotrace::{
    Details, Error, ErrorKind, Event, Fixed, Growing, ReadError, Reader, Stack, StreamReader,
    Trace, error::Table, tables::Storage,
};

/// What came of reading a trace.
#[derive(Debug, Default, PartialEq)]
struct Run {
    /// The events as Go prints them.
    text: String,
    /// The events, a line each.
    lines: String,
    error: Option<Error>,
}

impl Run {
    fn add(&mut self, event: &Event<'_, '_>) {
        writeln!(self.text, "{event}").unwrap();
        writeln!(self.lines, "{}", line(event)).unwrap();
    }

    fn fail(&mut self, error: Error) {
        assert_eq!(self.error.replace(error), None, "an error is given once");
    }
}

/// An event as a line: Go's, but for what it says when there is nothing to say, and with ids in the
/// place of stacks.
fn line(event: &Event<'_, '_>) -> String {
    let whole = event.to_string();
    let first = whole.lines().next().unwrap();
    let time = format!("Time={}", event.time());
    let mut line = format!("@{} {first}", event.time());
    for (noise, with) in [
        (&*time, ""),
        ("M=-1 P=-1 G=-1 ", ""),
        ("StateTransition ", ""),
        (" Reason=\"\"", ""),
        (" Attributes=[]", ""),
        ("  ", " "),
    ] {
        line = line.replacen(noise, with, 1);
    }
    line.truncate(line.trim_end().len());
    let show = |name, stack: Option<Stack<'_, '_>>| match stack.map(|s| s.id()) {
        Some(Some(id)) => format!(" {name}={id}"),
        Some(None) => format!(" {name}=0"),
        None => String::new(),
    };
    line += &show("Stack", event.stack());
    match event.details() {
        Details::StateTransition(transition) => line += &show("Of", transition.stack),
        Details::Sync(sync) => {
            for batch in sync.experimental_batches() {
                let (exp, data) = (batch.experiment.0, gotrace::GoStr::new(batch.data));
                write!(line, " Batch={exp}:{}", data.quoted()).unwrap();
            }
        }
        _ => {}
    }
    line
}

fn read<S: Storage>(trace: &Trace<'_>) -> Run {
    let mut reader = Box::new(Reader::<S>::new(trace));
    let mut run = Run::default();
    loop {
        match reader.next() {
            Ok(Some(event)) => run.add(&event),
            Ok(None) => return run,
            Err(error) => run.fail(error),
        }
    }
}

fn read_stream(trace: &[u8]) -> Run {
    let mut reader = StreamReader::new(trace).unwrap();
    let mut run = Run::default();
    loop {
        match reader.next() {
            Ok(Some(event)) => run.add(&event),
            Ok(None) => return run,
            Err(ReadError::Trace(error)) => run.fail(error),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The error as a line: what, and at which record.
fn describe(error: Error, trace: &Trace<'_>) -> String {
    let (kind, value) = (error.kind(), error.value());
    format!(
        "error {kind:?} {value} at {}",
        place(error.offset().0, trace)
    )
}

fn place(offset: u64, trace: &Trace<'_>) -> String {
    for chunk in trace.batches() {
        let Ok(chunk) = chunk else { break };
        let batch = match chunk {
            Chunk::EndOfGeneration(at) if at.0 == offset => return "EndOfGeneration".to_owned(),
            Chunk::Batch(batch) if offset < batch.end().0 => batch,
            _ => continue,
        };
        let head = format!(
            "gen={} m={}",
            batch.head.generation,
            batch.head.thread.map_or("-1".to_owned(), |m| m.to_string())
        );
        if offset < batch.data_offset().0 {
            return format!("EventBatch {head}");
        }
        let mut records = batch.records();
        let mut found = String::new();
        while records.offset() <= offset {
            match records.next() {
                Ok(Some(record)) => found = shown(&record),
                // What cannot be decoded is not shown.
                _ => return format!("{head}: after {found}"),
            }
        }
        return format!("{head}: {found}");
    }
    if offset == trace.len() {
        "the end".to_owned()
    } else {
        format!("byte {offset}")
    }
}

fn shown(record: &Record<'_>) -> String {
    let text = record.to_string();
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").replace(&u64::MAX.to_string(), "-1")
}

/// Just enough for every case but those that are about limits.
type Small = Fixed<8, 8, 8, 16, 8, 16, 8, 8, 8>;

fn is_full(run: &Run) -> bool {
    matches!(
        run.error.map(|e| e.kind()),
        Some(ErrorKind::TableFull(table)) if table != Table::Ranges
    )
}

/// Reads a case in every way, which must all give the same.
fn run(case: &Case, bytes: &[u8]) -> Run {
    let trace = Trace::new(bytes).unwrap();
    let run = read::<Growing>(&trace);
    assert_eq!(read_stream(bytes), run, "{}: as a stream", case.name);
    let fixed = read::<Small>(&trace);
    if !is_full(&fixed) {
        assert_eq!(fixed, run, "{}: with fixed tables", case.name);
    }
    run
}

fn outcome(run: &Run, bytes: &[u8]) -> String {
    let trace = Trace::new(bytes).unwrap();
    let error = run.error.map(|error| describe(error, &trace));
    format!("{}{}", run.lines, error.unwrap_or_default())
        .trim_end()
        .to_owned()
}

#[test]
fn every_case_gives_what_is_expected_of_it() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = String::new();
    let mut cases = 0;
    for file in cases::files() {
        let (mut blessed, all) = cases::parse(&file);
        for case in all {
            let bytes = case.trace();
            let outcome = outcome(&run(&case, &bytes), &bytes);
            let small = read::<Small>(&Trace::new(&bytes).unwrap());
            assert!(
                !is_full(&small) || case.name.starts_with("limits: "),
                "{}: {:?}",
                case.name,
                small.error
            );
            if outcome != case.expect {
                let Case { name, expect, .. } = &case;
                writeln!(wrong, "{name}: expected\n{expect}\ngot\n{outcome}\n").unwrap();
            }
            let text = case.text.trim_end();
            writeln!(blessed, "\n== {text}\n{}\n{outcome}", cases::EXPECT).unwrap();
            cases += 1;
        }
        if bless {
            std::fs::write(&file, blessed).unwrap();
        }
    }
    assert!(bless || wrong.is_empty(), "\n{wrong}");
    assert!(cases > 200, "{cases}");
}

#[test]
fn go_gives_the_same_but_for_the_differences_listed() {
    let Some(go) = common::go::Go::find() else {
        return;
    };
    let reference = go.reference();
    let mut wrong = String::new();
    for case in cases::all() {
        let bytes = case.trace();
        let ours = run(&case, &bytes);
        let theirs = reference.events(&bytes);
        let text = String::from_utf8_lossy(&theirs.text);
        let same = ours.text == text && ours.error.is_some() == theirs.error.is_some();
        if same != case.differs.is_none() {
            let (ours, error) = (&ours.text, theirs.error);
            writeln!(
                wrong,
                "{}: {}\n{ours}\nGo: {error:?}\n{text}",
                case.name,
                outcome(&run(&case, &bytes), &bytes)
            )
            .unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Every event type whose arguments name strings or stacks, with each of these broken in turn.
#[test]
fn every_string_and_stack_that_an_event_names_must_exist() {
    let all = cases::all();
    let case = all
        .iter()
        .find(|c| {
            c.name
                .ends_with(": every event that names strings or stacks")
        })
        .unwrap();
    let text = case.wire_text();
    let mut go = common::go::Go::find().map(|go| go.reference().serve());
    let mut left: Vec<EventType> = EventType::ALL
        .iter()
        .copied()
        .filter(|ty| ty.spec().unwrap().class == Class::Timed && ids(*ty).next().is_some())
        .collect();
    assert!(left.len() >= 18, "{left:?}");
    for line in text.lines() {
        let Some(ty) = line
            .split_whitespace()
            .next()
            .and_then(EventType::from_name)
        else {
            continue;
        };
        if !left.contains(&ty) {
            continue;
        }
        for (name, kind) in ids(ty) {
            let with = |id: &str| {
                let named = format!("{name}=");
                let words = line.split_whitespace().map(|word| match word {
                    _ if word.starts_with(&named) => named.clone() + id,
                    _ => word.to_owned(),
                });
                let broken = words.collect::<Vec<_>>().join(" ");
                assert!(broken.contains(&format!(" {named}{id}")), "{broken}");
                (text.replacen(line, &broken, 1), broken)
            };
            let (none, _) = with("0");
            let bytes = wire::assemble(&none, None).unwrap();
            assert_eq!(run(case, &bytes).error, None, "{ty} {name}: 0 is none");
            for id in ["9", "18446744073709551615"] {
                let (text, broken) = with(id);
                let bytes = wire::assemble(&text, None).unwrap();
                let ours = run(case, &bytes);
                let error = ours.error.unwrap_or_else(|| panic!("{broken}: no error"));
                assert_eq!(error.kind(), kind, "{broken}");
                assert_eq!(error.value(), id.parse::<u64>().unwrap(), "{broken}");
                let place = place(error.offset().0, &Trace::new(&bytes).unwrap());
                assert_eq!(
                    place,
                    format!("gen=1 m=0: {}", broken.replace(&u64::MAX.to_string(), "-1"))
                );
                if let Some(go) = &mut go {
                    let theirs = go.verdict(&bytes);
                    assert!(theirs.error.is_some(), "{broken}");
                    assert_eq!(theirs.events, ours.lines.lines().count() as u64, "{broken}");
                }
            }
        }
        left.retain(|other| *other != ty);
    }
    assert_eq!(left, []);
}

/// The arguments of an event that name strings or stacks, and the error of a bad one.
fn ids(ty: EventType) -> impl Iterator<Item = (&'static str, ErrorKind)> {
    let args = ty.spec().map_or(&[][..], |spec| spec.args);
    args.iter().filter_map(|arg| match arg.role {
        Role::String => Some((arg.name, ErrorKind::UnknownString)),
        Role::Stack | Role::NewStack => Some((arg.name, ErrorKind::UnknownStack)),
        _ => None,
    })
}

/// Every line of every case left out, given twice, exchanged with the next, and with each of its
/// numbers changed: Go is asked about all of these, too.
#[test]
fn altered_cases_give_what_go_gives() {
    let Some(go) = common::go::Go::find() else {
        return;
    };
    let reference = go.reference();
    let (mut compared, mut refused) = (0, 0);
    let mut wrong = String::new();
    for case in cases::all().iter().filter(|case| case.differs.is_none()) {
        let texts = cases::altered(&case.wire_text());
        let traces: Vec<_> = texts
            .iter()
            .map(|t| wire::assemble(t, None).unwrap())
            .collect();
        for ((text, bytes), theirs) in texts.iter().zip(&traces).zip(reference.events_of(&traces)) {
            let ours = run(case, bytes);
            if is_deliberate(&ours, &theirs) {
                continue;
            }
            compared += 1;
            refused += u32::from(ours.error.is_some());
            let same = ours.text.as_bytes() == theirs.text
                && ours.error.is_some() == theirs.error.is_some();
            if !same {
                let theirs_text = String::from_utf8_lossy(&theirs.text);
                writeln!(
                    wrong,
                    "{}:\n{text}\n{}\nGo: {:?}\n{theirs_text}",
                    case.name,
                    outcome(&ours, bytes),
                    theirs.error,
                )
                .unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    eprintln!("{compared} compared, {refused} refused");
    assert!(compared > 10_000 && refused > compared / 10, "{compared}");
}

/// Whether Go may give something else: see the cases that say so, and `src/order/mod.rs`.
fn is_deliberate(ours: &Run, theirs: &common::go::Events) -> bool {
    let reserved = matches!(
        ours.error.map(|e| e.kind()),
        Some(ErrorKind::ReservedId | ErrorKind::UntimedEvent)
    );
    // It panics when it is asked what some events say, which are given nevertheless.
    let panics = theirs
        .error
        .as_ref()
        .is_some_and(|e| e.starts_with("panic: "))
        && ours.text.as_bytes().starts_with(&theirs.text);
    reserved || panics
}

/// The cases of Go's own tests, which stand in its distribution.
#[test]
fn gos_own_cases_give_what_go_gives() {
    let Some(go) = common::go::Go::find() else {
        return;
    };
    let dir = go.root().join("src/internal/trace/testdata/tests");
    let reference = go.reference();
    let mut compared = 0;
    for entry in std::fs::read_dir(&dir).expect("Go's test data") {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let Some((expect, trace)) = text
            .split_once("-- expect --\n")
            .and_then(|(_, rest)| rest.split_once("-- trace --\n"))
        else {
            continue;
        };
        // Not by this crate's `assemble`: one case is a batch that claims more than it holds.
        let bytes = reference.assemble(trace.as_bytes()).expect(&name);
        let parsed = Trace::new(&bytes).unwrap();
        let ours = read::<Growing>(&parsed);
        assert_eq!(read_stream(&bytes), ours, "{name}");
        let succeeds = expect.starts_with("SUCCESS");
        assert!(succeeds || expect.starts_with("FAILURE"), "{name}");
        assert_eq!(ours.error.is_none(), succeeds, "{name}: {:?}", ours.error);
        let theirs = reference.events(&bytes);
        assert_eq!(theirs.error.is_none(), succeeds, "{name}");
        assert!(
            ours.text.as_bytes() == theirs.text,
            "{name}: the events differ"
        );
        compared += 1;
    }
    assert!(compared >= 20, "{compared}");
}
