//! Traces with which something is wrong, each for what is said of it; and the list of differences
//! from Go, `src/docs/differences.md`, of which some rows are tested here.

use crate::cases as order_cases;
use crate::common;

use gotrace::reader::{Explanation, Region};
use gotrace::{
    Error, ErrorKind, GoId, GoStr, Growing, ReadError, Reader, StreamReader, TaskId, Trace, wire,
};
use std::fmt::Write as _;
use std::path::Path;

fn fault(name: &str) -> Vec<u8> {
    let path = common::fixtures_dir().join("faults").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All events as Go prints them, and the error.
fn read(bytes: &[u8]) -> (String, Option<Error>) {
    let trace = Trace::new(bytes).unwrap();
    let mut reader = Reader::<Growing>::new(&trace);
    let mut text = String::new();
    loop {
        match reader.next() {
            Ok(Some(event)) => writeln!(text, "{event}").unwrap(),
            Ok(None) => return (text, None),
            Err(error) => return (text, Some(error)),
        }
    }
}

/// What Go's reader makes of a trace, if Go is at hand.
fn go(bytes: &[u8]) -> Option<common::go::Events> {
    Some(common::go::Go::find()?.reference().events(bytes))
}

/// A batch of generation 1, with a payload.
fn batch(thread: u8, payload: &[u8]) -> Vec<u8> {
    [&[1, 1, thread, 1, payload.len() as u8], payload].concat()
}

#[test]
fn regions_that_overlap_are_both_named() {
    let bytes = fault("f05-region-misuse-1.27.trace");
    let region = |name| Region {
        task: Some(TaskId::BACKGROUND),
        name: GoStr::new(name),
    };
    let expected = Explanation::RegionMismatch {
        goroutine: GoId::new(1).unwrap(),
        ended: region(b"a"),
        innermost: region(b"b"),
    };
    let says =
        r#"goroutine 1 ends region "a" of task 0 while region "b" of task 0 is its innermost"#;

    let trace = Trace::new(&bytes).unwrap();
    let mut reader = trace.reader();
    let error = loop {
        assert_eq!(reader.explain(), None);
        match reader.next() {
            Ok(event) => assert!(event.is_some()),
            Err(error) => break error,
        }
    };
    assert_eq!(
        (error.kind(), error.value()),
        (ErrorKind::RegionMismatch, 1)
    );
    assert_eq!(reader.explain(), Some(expected));
    assert_eq!(reader.explain().unwrap().to_string(), says);
    // After the reader was asked for more, too; but not of another generation.
    assert!(reader.next().unwrap().is_none());
    assert_eq!(reader.explain(), Some(expected));
    if reader.skip_generation() {
        assert_eq!(reader.explain(), None);
    }

    let mut reader = StreamReader::new(&bytes[..]).unwrap();
    let error = loop {
        match reader.next() {
            Ok(event) => assert!(event.is_some()),
            Err(ReadError::Trace(error)) => break error,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(error.kind(), ErrorKind::RegionMismatch);
    assert_eq!(reader.explain(), Some(expected));

    if let Some(theirs) = go(&bytes) {
        let error = theirs.error.unwrap();
        assert!(
            error.contains("{0 a}") && error.contains("{0 b}"),
            "{error}"
        );
    }
}

/// A region keeps its name where the generation that it began in is gone.
#[test]
fn a_region_of_an_earlier_generation_is_named_too() {
    let mut case = order_cases::all()
        .into_iter()
        .find(|case| case.name.ends_with("regions do not overlap"))
        .unwrap();
    case.text = "\
== regions of two generations
EventBatch gen=1 m=0 time=10
ProcStatus dt=1 p=0 pstatus=Running
GoStatus dt=1 g=1 m=0 gstatus=Running
UserRegionBegin dt=1 task=7 name_string=2 stack=0
EventBatch gen=2 m=0 time=20
ProcStatus dt=1 p=0 pstatus=Running
GoStatus dt=1 g=1 m=0 gstatus=Running
UserRegionEnd dt=1 task=0 name_string=1 stack=0"
        .to_owned();
    let bytes = case.trace();
    let says =
        r#"goroutine 1 ends region "one" of task 0 while region "two" of task 7 is its innermost"#;
    let trace = Trace::new(&bytes).unwrap();
    let mut reader = trace.reader();
    while reader.next().is_ok_and(|event| event.is_some()) {}
    assert_eq!(reader.explain().unwrap().to_string(), says);
    let mut reader = StreamReader::new(&bytes[..]).unwrap();
    while reader.next().is_ok_and(|event| event.is_some()) {}
    assert_eq!(reader.explain().unwrap().to_string(), says);
}

#[test]
fn versions_too_old_or_too_new_are_said_to_be() {
    let error = Trace::new(&fault("f06-version-1.5.trace")).unwrap_err();
    assert_eq!((error.kind(), error.value()), (ErrorKind::OldVersion, 5));
    let says = error.to_string();
    assert!(
        says.starts_with("trace version go 1.5 is not supported"),
        "{says}"
    );
    let error = Trace::new(&fault("f07-version-1.28.trace")).unwrap_err();
    assert_eq!((error.kind(), error.value()), (ErrorKind::NewerVersion, 28));
    let says = error.to_string();
    for part in ["go 1.28 is newer", "up to go 1.26", "update"] {
        assert!(says.contains(part), "{says}");
    }
}

#[test]
fn generations_of_one_number_are_counted() {
    let bytes = fault("f13-same-generation-twice-1.26.trace");
    let trace = Trace::new(&bytes).unwrap();
    let mut reader = trace.reader();
    while reader.next().unwrap().is_some() {}
    assert_eq!(reader.generations_read(), 2);
    assert_eq!(trace.generations().count(), 2);
    let mut reader = StreamReader::new(&bytes[..]).unwrap();
    while reader.next().unwrap().is_some() {}
    assert_eq!(reader.generations_read(), 2);
}

#[test]
fn what_a_switch_adds_has_the_time_of_its_record() {
    let (text, error) = read(&fault("f26-switch-time.trace"));
    assert_eq!(error, None);
    // Of what Go 1.27.3 prints.
    assert_eq!(common::sha256(text.as_bytes()), F26);
    if let Some(theirs) = go(&fault("f26-switch-time.trace")) {
        assert!(theirs.text == text.as_bytes());
    }
}

const F26: &str = "1bd06a2017377b8ff7bb012d9965982ac8cc4f474071e8bf6e1b00df118a1a61";

/// The tool prints what the library explains, and counts what it counts; of files and of streams.
#[cfg(feature = "cli")]
#[test]
fn the_tool_says_so() {
    let dir = common::fixtures_dir().join("faults");
    for (name, part, generations) in [
        ("f05-region-misuse-1.27.trace", r#"region "b" of task 0"#, 1),
        ("f06-version-1.5.trace", "go 1.5 is not supported", 0),
        ("f07-version-1.28.trace", "go 1.28 is newer", 0),
        ("f13-same-generation-twice-1.26.trace", "", 2),
    ] {
        let path = dir.join(name);
        let file = common::tool::run(["check".as_ref(), "--json".as_ref(), path.as_os_str()]);
        let stream = common::tool::run_with_input(["check", "--json", "-"], &fault(name));
        for run in [file, stream] {
            let report = &run.json()[0];
            assert_eq!(report["generations"], generations, "{report}");
            match report["errors"].as_array().unwrap().first() {
                Some(error) => assert!(error["error"].as_str().unwrap().contains(part)),
                None => assert_eq!(part, "", "{report}"),
            }
        }
    }
}

#[test]
fn a_cut_behind_the_type_of_an_experimental_batch_is_an_error() {
    let bytes = fault("f10-real-alloc-cut-1.27.trace");
    let (_, error) = read(&bytes);
    assert_eq!(error, Some(Error::new(ErrorKind::UnexpectedEnd, 1, 69)));
    assert_eq!(read(&bytes[..68]).1, None);
    if let Some(theirs) = go(&bytes) {
        assert_eq!(theirs.error, None);
    }
}

#[test]
fn a_table_that_is_cut_off_is_an_error() {
    let header = wire::Version::Go122.header().to_vec();
    let clock = batch(2, &[8, 128, 148, 235, 220, 3]);
    // A string without an id, and a stack.
    for table in [[4, 5], [2, 3]] {
        let bytes = [&header[..], &clock, &batch(3, &table)].concat();
        let (_, error) = read(&bytes);
        assert_eq!(error.unwrap().kind(), ErrorKind::BatchOverrun);
        if let Some(theirs) = go(&bytes) {
            assert_eq!(theirs.error.filter(|e| !e.contains("EOF")), None);
        }
    }
}

#[test]
fn unsound_frames_behind_sound_ones_are_accepted_up_to_a_limit() {
    for (frames, sound) in [(32, true), (33, false)] {
        let mut text = String::from("Trace Go1.22\n");
        let head = format!("EventBatch gen=1 m={} time=1", u64::MAX);
        writeln!(text, "{head}\nFrequency freq=1000000000").unwrap();
        writeln!(
            text,
            "{head}\nStrings\nString id=1\n\tdata=\"one\"\n{head}\nStacks"
        )
        .unwrap();
        for (id, name) in [(1, 1), (2, 9)] {
            writeln!(text, "Stack id={id} nframes={frames}").unwrap();
            for pc in 1..=frames {
                writeln!(text, "\tpc={pc} func={name} file=1 line=1").unwrap();
            }
        }
        let bytes = wire::assemble(&text, None).unwrap();
        let (_, error) = read(&bytes);
        let kind = error.map(|e| e.kind());
        assert_eq!(
            kind,
            (!sound).then_some(ErrorKind::UnknownString),
            "{frames}"
        );
        if let Some(theirs) = go(&bytes) {
            assert_eq!(theirs.error, None, "{frames}");
        }
    }
}

#[test]
fn beyond_256_threads_events_of_one_time_have_another_order() {
    let bytes = fault("f15-257-threads-one-time-1.26.trace");
    let (text, error) = read(&bytes);
    assert_eq!(error, None);
    let Some(theirs) = go(&bytes) else { return };
    assert!(theirs.text != text.as_bytes());
    let sorted = |text: &str| {
        let words = text.lines().map(|line| {
            let words = line.split(' ').filter(|word| !word.starts_with("Time="));
            words.collect::<Vec<_>>().join(" ")
        });
        let mut lines: Vec<String> = words.collect();
        lines.sort_unstable();
        lines
    };
    let theirs = String::from_utf8(theirs.text).unwrap();
    let (ours, theirs) = (sorted(&text), sorted(&theirs));
    // The same number of events of each kind. Who is picked first decides whom it unblocks.
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn frames_that_share_a_program_counter_are_shown_as_they_are() {
    let bytes = fault("f08-cgosym-1.22.trace");
    let (text, error) = read(&bytes);
    assert_eq!(error, None);
    let (inlined, outer) = ("\tc_inlined @ 0x4aea44\n", "\tc_outer @ 0x4aea44\n");
    let count = text.matches(outer).count();
    assert!(count > 0);
    assert_eq!(text.matches(inlined).count(), count);
    let Some(theirs) = go(&bytes) else { return };
    let outer = format!("{outer}\t\touter.c:20\n");
    let inlined = format!("{inlined}\t\tinner.h:10\n");
    assert!(theirs.text == text.replace(&outer, &inlined).as_bytes());
}

/// Each row of the list of differences names its tests, which are there; each case that differs is
/// in the list.
#[test]
fn every_difference_from_go_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = std::fs::read_to_string(root.join("src/docs/differences.md")).unwrap();
    let rows = list.lines().filter(|line| {
        line.starts_with('|') && !line.starts_with("| ---") && !line.starts_with("| what |")
    });
    let mut named = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [_, _, _, _, tests] = cells[..] else {
            panic!("not five columns: {row}");
        };
        let tests = tests.split('`').filter(|word| word.contains("::"));
        let tests: Vec<(&str, &str)> = tests.map(|t| t.split_once("::").unwrap()).collect();
        assert!(!tests.is_empty(), "no test: {row}");
        for (file, test) in tests {
            let text =
                std::fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
            let found = match file.ends_with(".rs") {
                true => {
                    text.contains(&format!("#[test]\nfn {test}("))
                        || text.contains(&format!("#[test]\n    fn {test}("))
                }
                false => text.contains(&format!("\n== {test}\n")),
            };
            assert!(found, "{file} has no test {test}");
            named.push(format!("{file}: {test}"));
        }
    }
    for case in order_cases::all() {
        let (file, title) = case.name.split_once(": ").unwrap();
        let name = format!("tests/order/{file}.txt: {title}");
        let listed = named.contains(&name);
        assert_eq!(listed, case.differs.is_some(), "{name}");
    }
}
