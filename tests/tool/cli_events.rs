//! `gotrace dump --parsed` and `gotrace check`, run as a person or a script would.

use crate::common;

use common::go::Go;
use common::tool::{Run, file, gotrace, gzip, run, run_with_input, zstd};
use common::{Fixture, expected, fixture, fixtures, sha256};
use gotrace::wire::{Batches, Chunk, Contents, Version, assemble};
use gotrace::{GoStr, ReadError, StreamReader, Trace};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

/// The fixtures that the ordered reader reads.
fn readable() -> impl Iterator<Item = Fixture> {
    fixtures().into_iter().filter(|f| f.go_version > 21)
}

fn parsed(path: &Path, options: &[&str]) -> Run {
    let args = ["dump", "--parsed"].iter().chain(options).map(Path::new);
    run(args.chain([path]))
}

/// The text of a dump that must have gone well, as one string an event.
#[track_caller]
fn events(run: Run) -> Vec<String> {
    let text = String::from_utf8(run.ok()).expect("UTF-8");
    let mut events: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        match events.last_mut() {
            Some(event) if !line.starts_with("M=") => event.push_str(line),
            _ => events.push(line.to_owned()),
        }
    }
    events
}

#[test]
fn every_fixture_is_dumped_as_go_dumps_it() {
    let go = Go::find().map(|go| go.reference());
    for (fixture, row) in fixtures().iter().zip(expected()) {
        let Some(sum) = row.parsed else {
            continue;
        };
        let text = parsed(&fixture.path, &[]).ok();
        assert_eq!(sha256(&text), sum, "{}", fixture.name);
        if let Some(go) = &go {
            assert!(text == go.dump_parsed(&fixture.path), "{}", fixture.name);
        }
    }
}

#[test]
fn compressed_traces_and_standard_input_are_the_same() {
    let whole = fixture("flight-go1.27");
    let bytes = whole.bytes();
    let expected = parsed(&whole.path, &[]).ok();
    for (name, compressed) in [("trace.gz", gzip(&bytes)), ("trace.zst", zstd(&bytes))] {
        let path = file("parsed_compressed", name, &compressed);
        assert!(parsed(&path, &[]).ok() == expected, "{name}");
        let piped = run_with_input(["dump", "--parsed", "-"], &compressed);
        assert!(piped.ok() == expected, "{name}");
        let checked = run([Path::new("check"), &path]).ok();
        let checked = String::from_utf8(checked).unwrap();
        assert!(
            checked.ends_with(": ok, 47166 events, 3 generations\n"),
            "{checked}"
        );
    }
    let piped = run_with_input(["dump", "--parsed", "-"], &bytes);
    assert!(piped.ok() == expected);
    let piped = run_with_input(["check", "-"], &bytes).ok();
    let line = "standard input: ok, 47166 events, 3 generations\n";
    assert_eq!(String::from_utf8(piped).unwrap(), line);
}

/// What is known of a generation is printed before the next one is there.
#[test]
fn events_of_a_pipe_appear_as_generations_do() {
    for name in ["annotate-go1.27", "annotate-go1.22"] {
        let whole = fixture(name);
        let bytes = whole.bytes();
        let trace = Trace::new(&bytes).unwrap();
        let all = events(parsed(&whole.path, &[]));
        let is_sync = |event: &String| event.contains(" Sync Time=");
        let syncs: Vec<usize> = (0..all.len()).filter(|n| is_sync(&all[*n])).collect();
        let mut child = gotrace(["dump", "--parsed", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, receiver) = mpsc::channel();
        let reading = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = stdout.read(&mut buffer) {
                sender.send(buffer[..n].to_vec()).unwrap();
            }
        });
        let mut given = 0;
        let mut seen = String::new();
        for (n, generation) in trace.generations().enumerate() {
            let mut end = generation.unwrap().end.0 as usize;
            if trace.version() < Version::Go126 {
                // It ends where the batch of another begins.
                if let Some(Chunk::Batch(next)) = Batches::new(&bytes[end..]).next().unwrap() {
                    end += next.head.total_len();
                }
            }
            stdin.write_all(&bytes[given..end]).unwrap();
            stdin.flush().unwrap();
            given = end;
            let expected = all[..syncs[n + 1]].concat();
            // Before 1.26 only the end of the input ends the last generation.
            if end == bytes.len() {
                break;
            }
            while seen.len() < expected.len() {
                let more = receiver.recv_timeout(Duration::from_secs(60));
                let more = more.unwrap_or_else(|e| panic!("{name}, generation {n}: {e}"));
                seen += std::str::from_utf8(&more).unwrap();
            }
            assert!(seen == expected, "{name}, generation {n}");
        }
        drop(stdin);
        reading.join().unwrap();
        for more in receiver.try_iter() {
            seen += std::str::from_utf8(&more).unwrap();
        }
        assert!(seen == all.concat(), "{name}");
        assert_eq!(Run::of(child.wait_with_output().unwrap()).ok(), b"");
    }
}

/// The trace with an event type that is none, in the last batch of events of each generation
/// numbered; and where these stand.
fn damaged(fixture: &Fixture, generations: &[usize]) -> (Vec<u8>, Vec<u64>) {
    let mut bytes = fixture.bytes();
    let mut last = BTreeMap::new();
    for chunk in Trace::new(&bytes).unwrap().batches() {
        if let Chunk::Batch(batch) = chunk.unwrap()
            && batch.contents() == Contents::Events
        {
            last.insert(batch.head.generation, batch.data_offset().0);
        }
    }
    let all: Vec<u64> = last.into_values().collect();
    let offsets: Vec<u64> = generations.iter().map(|n| all[*n]).collect();
    for at in &offsets {
        bytes[*at as usize] = 200;
    }
    (bytes, offsets)
}

#[test]
fn a_damaged_trace_is_dumped_up_to_the_damage() {
    let whole = fixture("annotate-go1.27");
    let (bytes, at) = damaged(&whole, &[1]);
    let path = file("parsed_damaged", "trace", &bytes);
    let (all, some) = (parsed(&whole.path, &[]).ok(), parsed(&path, &[]));
    let error = format!("invalid event type 200, at byte {}", at[0]);
    assert_eq!(some.status, 1);
    assert_eq!(some.stderr, format!("error: {}: {error}\n", path.display()));
    // All of the first generation, and what the library gives of the second.
    let mut reader = StreamReader::new(&bytes[..]).unwrap();
    let mut text = String::new();
    let found = loop {
        match reader.next() {
            Ok(Some(event)) => writeln!(text, "{event}").unwrap(),
            Ok(None) => panic!("damage is an error"),
            Err(ReadError::Trace(error)) => break error.to_string(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(found, error);
    assert!(some.text() == text);
    let half = text.trim_end().rsplit_once("\nM=").unwrap().0;
    assert!(half.len() > 1000 && all.starts_with(half.as_bytes()));

    let piped = run_with_input(["dump", "--parsed", "-"], &bytes);
    assert_eq!(piped.stderr, format!("error: standard input: {error}\n"));
    assert!(piped.status == 1 && piped.stdout == some.stdout);
    let json = parsed(&path, &["--json", "--stacks=none"]);
    assert_eq!(json.stderr, some.stderr);
    assert_eq!(json.json().len(), events_in(some.text()));
}

fn events_in(text: &str) -> usize {
    text.lines().filter(|line| line.starts_with("M=")).count()
}

/// A word of an event's first line: what follows `key`, up to the next space.
fn word<'e>(event: &'e str, key: &str) -> Option<&'e str> {
    let line = event.lines().next()?;
    let (_, rest) = line.split_once(key)?;
    rest.split(' ').next()
}

/// What stands in quotes after `key`.
fn quoted<'e>(event: &'e str, key: &str) -> Option<&'e str> {
    let line = event.lines().next()?;
    let (_, rest) = line.split_once(&format!(" {key}=\""))?;
    let mut escaped = false;
    let end = rest.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some(&rest[..end])
}

fn time(event: &str) -> i64 {
    word(event, " Time=").unwrap().parse().unwrap()
}

/// A filter, as options and as what it means for the text of an event. `tasks` are the ids of the
/// tasks that began so far with the type asked for.
type Meaning = Box<dyn Fn(&str, &mut BTreeSet<String>) -> bool>;

fn about(event: &str, context: &str, subject: &str, scope: &str, id: u64) -> bool {
    let id = id.to_string();
    let scope = format!("{scope}({id})");
    word(event, context) == Some(&id)
        || word(event, subject) == Some(&id)
        || word(event, " Scope=") == Some(&scope)
        || word(event, " Resource=") == Some(&scope)
}

fn kind(event: &str) -> &str {
    event.split(' ').nth(3).unwrap()
}

fn filters(all: &[String]) -> Vec<(Vec<String>, Meaning)> {
    let texts = |args: &[&str]| args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>();
    let mut filters: Vec<(Vec<String>, Meaning)> = vec![
        (
            texts(&["--kind", "statetransition", "--kind", "Sync"]),
            Box::new(|event, _| matches!(kind(event), "StateTransition" | "Sync")),
        ),
        (
            texts(&["--kind=RangeBegin"]),
            Box::new(|event, _| kind(event) == "RangeBegin"),
        ),
        (
            texts(&["-g", "1", "--goroutine=21"]),
            Box::new(|event, _| {
                [1, 21].map(|id| about(event, " G=", " GoID=", "Goroutine", id)) != [false; 2]
            }),
        ),
        (
            texts(&["-p", "0"]),
            Box::new(|event, _| about(event, " P=", " ProcID=", "Proc", 0)),
        ),
        (
            texts(&["--task", "plain", "--task", "grüße 世界 \u{a0}\u{200b}"]),
            Box::new(|event, tasks| {
                let ty = quoted(event, "Type");
                let wanted = matches!(ty, Some("plain" | "grüße 世界 \\u00a0\\u200b"));
                match kind(event) {
                    "TaskBegin" | "TaskEnd" => {
                        let id = word(event, " ID=").unwrap();
                        if kind(event) == "TaskBegin" && wanted {
                            tasks.insert(id.to_owned());
                        }
                        wanted || tasks.contains(id)
                    }
                    "RegionBegin" | "RegionEnd" | "Log" => {
                        tasks.contains(word(event, " Task=").unwrap())
                    }
                    _ => false,
                }
            }),
        ),
        (
            texts(&["--region", "two\nlines\tand tab"]),
            Box::new(|event, _| {
                matches!(kind(event), "RegionBegin" | "RegionEnd")
                    && quoted(event, "Type") == Some("two\\nlines\\tand tab")
            }),
        ),
    ];
    // A thread, and times within the trace.
    let thread = all.iter().find_map(|event| {
        let id = event.strip_prefix("M=")?.split(' ').next()?;
        (id != "-1").then(|| id.to_owned())
    });
    let thread = thread.unwrap();
    let prefix = format!("M={thread} ");
    filters.push((
        vec!["-m".to_owned(), thread],
        Box::new(move |event, _| event.starts_with(&prefix)),
    ));
    let (start, from, to) = (
        time(&all[0]),
        time(&all[all.len() / 4]),
        time(&all[all.len() / 2]),
    );
    filters.push((
        vec![format!("--from=@{from}"), format!("--to=@{to}")],
        Box::new(move |event, _| (from..to).contains(&time(event))),
    ));
    filters.push((
        vec![format!("--from={}ns", from - start)],
        Box::new(move |event, _| time(event) >= from),
    ));
    filters.push((
        vec!["--to".to_owned(), format!("{}us", (to - start) / 1000)],
        Box::new(move |event, _| time(event) - start < (to - start) / 1000 * 1000),
    ));
    filters
}

/// Each filter alone and with each other, against what it means for the text of all events.
#[test]
fn filters_select_what_they_say() {
    for name in ["annotate-go1.27", "gc-go1.23", "coro-go1.25", "cgo-go1.22"] {
        let path = fixture(name).path;
        let all = events(parsed(&path, &[]));
        let filters = filters(&all);
        let mut shown = vec![0; filters.len()];
        for first in 0..filters.len() {
            for second in first..filters.len() {
                let chosen: Vec<_> = match first == second {
                    true => vec![&filters[first]],
                    false => vec![&filters[first], &filters[second]],
                };
                let options: Vec<&str> = chosen.iter().flat_map(|f| &f.0).map(|o| &**o).collect();
                let mut tasks = BTreeSet::new();
                let expected: Vec<&String> = all
                    .iter()
                    .filter(|event| chosen.iter().all(|f| f.1(event, &mut tasks)))
                    .collect();
                // A kind given by two filters is either.
                let same = |a: usize, b: usize| (first, second) == (a, b);
                if same(0, 1) || same(7, 8) || same(7, 9) {
                    continue;
                }
                let got = events(parsed(&path, &options));
                assert!(
                    got.iter().eq(expected.iter().copied()),
                    "{name} {options:?}: {} events, not {}",
                    got.len(),
                    expected.len()
                );
                if first == second {
                    shown[first] = expected.len();
                }
            }
        }
        if name == "annotate-go1.27" {
            assert!(
                shown.iter().enumerate().all(|(n, s)| *s > 0 || n == 1),
                "{shown:?}"
            );
        }
    }
}

#[test]
fn a_limit_counts_the_events_shown() {
    let path = fixture("annotate-go1.27").path;
    let logs = events(parsed(&path, &["--kind", "Log"]));
    for limit in [0, 1, 5, logs.len(), logs.len() + 1] {
        let some = events(parsed(
            &path,
            &["--kind=log", "--limit", &limit.to_string()],
        ));
        assert_eq!(some[..], logs[..limit.min(logs.len())]);
    }
}

#[test]
fn a_dump_may_begin_with_a_later_generation() {
    let flight = fixture("flight-go1.27");
    let bytes = flight.bytes();
    let trace = Trace::new(&bytes).unwrap();
    let generations: Vec<_> = trace.generations().map(Result::unwrap).collect();
    for generation in &generations {
        let mut alone = bytes[..16].to_vec();
        alone.extend_from_slice(&bytes[generation.start.0 as usize..]);
        let alone = file("parsed_generation", "trace", &alone);
        let number = generation.number.to_string();
        let from = parsed(&flight.path, &["--generation", &number]).ok();
        assert!(from == parsed(&alone, &[]).ok(), "{number}");
        let args = ["dump", "--parsed", "--generation", &number, "-"];
        assert!(run_with_input(args, &bytes).ok() == from, "{number}");
    }
    let all = parsed(&flight.path, &[]).ok();
    assert!(parsed(&flight.path, &["--generation", "0"]).ok() == all);
    let beyond = generations.last().unwrap().number.get() + 1;
    let none = parsed(&flight.path, &["--generation", &beyond.to_string()]);
    let error = format!("the trace has no generation {beyond} or later");
    let error = format!("error: {}: {error}\n", flight.path.display());
    assert_eq!((none.status, none.stderr), (1, error));
}

#[test]
fn bad_filters_end_with_status_2() {
    let trace = fixture("gc-go1.27").path;
    for (options, hint) in [
        (&["--wire", "--kind", "Log"][..], "cannot be used with"),
        (&["--wire", "--json"], "cannot be used with"),
        (&["--wire", "--from", "1s"], "cannot be used with"),
        (&["--wire", "--limit", "1"], "cannot be used with"),
        (&["--parsed", "--header"], "cannot be used with"),
        (&["--parsed", "--wire"], "cannot be used with"),
        (&["--parsed", "--kind", "Logs"], "StateTransition"),
        (&["--parsed", "--from", "soon"], "20ms"),
        (&["--parsed", "--to", "5"], "20ms"),
        (&["--parsed", "--goroutine", "-1"], "--help"),
        (&["--parsed", "--limit", "many"], "invalid digit"),
    ] {
        let args = ["dump"].iter().chain(options).map(Path::new);
        let run = run(args.chain([trace.as_path()]));
        assert_eq!(run.status, 2, "{options:?}");
        assert!(run.stdout.is_empty(), "{options:?}");
        assert!(run.stderr.contains(hint), "{options:?}: {}", run.stderr);
    }
}

/// The line, and the stacks, that Go prints for an event in JSON. Takes every member out.
fn text_of(mut event: Value) -> String {
    let map = event.as_object_mut().unwrap();
    let mut take = |key: &str| map.remove(key).unwrap_or_else(|| panic!("no {key}"));
    let id = |value: Value| match value {
        Value::Null => "-1".to_owned(),
        id => id.as_u64().expect("an id").cast_signed().to_string(),
    };
    let task = |value: Value| match value {
        Value::Null => u64::MAX,
        id => id.as_u64().expect("an id"),
    };
    let number = |value: Value| value.as_u64().expect("a number");
    let text = |value: Value| value.as_str().expect("a text").to_owned();
    let quote = |value: Value| GoStr::new(text(value).as_bytes()).quoted().to_string();
    let resource = |value: &Value| match value {
        Value::Null => "None".to_owned(),
        Value::Object(map) if map.len() == 1 => {
            let (what, id) = map.iter().next().unwrap();
            let id = id.as_u64().expect("an id");
            match &**what {
                "goroutine" => format!("Goroutine({id})"),
                "proc" => format!("Proc({id})"),
                "thread" => format!("Thread({id})"),
                other => panic!("{other}"),
            }
        }
        other => panic!("{other}"),
    };
    let mut out = format!("M={}", id(take("thread")));
    out += &format!(" P={} G={}", id(take("proc")), id(take("goroutine")));
    let kind = text(take("kind"));
    out += &format!(" {kind} Time={}", take("time").as_i64().unwrap());
    let mut stacks = Vec::new();
    match &*kind {
        "Sync" => {
            out += &format!(" N={}", number(take("n")));
            number(take("experimental_batches"));
            if map.contains_key("wall") {
                let mut take = |key: &str| map.remove(key).unwrap();
                let (trace, mono) = (number(take("trace")), number(take("mono")));
                out += &format!(" Trace={trace} Mono={mono} Wall={}", text(take("wall")));
            }
        }
        "Metric" => {
            out += &format!(" Name={} Value=Value", quote(take("name")));
            out += &format!("{{Uint64({})}}", number(take("value")));
        }
        "Label" => {
            out += &format!(" Label={}", quote(take("label")));
            out += &format!(" Resource={}", resource(&take("resource")));
        }
        "RangeBegin" | "RangeActive" | "RangeEnd" => {
            out += &format!(" Name={}", quote(take("name")));
            out += &format!(" Scope={}", resource(&take("scope")));
            if kind == "RangeEnd" {
                let attributes = ["bytes swept", "bytes reclaimed"].into_iter();
                let attributes = attributes.filter_map(|name| {
                    let value = map.remove(&name.replace(' ', "_"))?;
                    Some(format!("\"{name}\"=Value{{Uint64({})}}", number(value)))
                });
                let attributes: Vec<String> = attributes.collect();
                out += &format!(" Attributes=[{}]", attributes.join(" "));
            }
        }
        "TaskBegin" | "TaskEnd" => {
            let (id, parent) = (task(take("task")), task(take("parent")));
            out += &format!(" ID={id} Parent={parent} Type={}", quote(take("type")));
        }
        "RegionBegin" | "RegionEnd" => {
            out += &format!(" Task={} Type={}", task(take("task")), quote(take("type")));
        }
        "Log" => {
            out += &format!(" Task={}", task(take("task")));
            let (category, message) = (quote(take("category")), quote(take("message")));
            out += &format!(" Category={category} Message={message}");
        }
        "StateTransition" => {
            let resource = resource(&take("resource"));
            let (what, id) = resource.trim_end_matches(')').split_once('(').unwrap();
            let what = if what == "Goroutine" {
                "GoID"
            } else {
                "ProcID"
            };
            let (from, to) = (text(take("from")), text(take("to")));
            let reason = quote(take("reason"));
            out += &format!(" {what}={id} {from}->{to} Reason={reason}");
            if let Some(stack) = map.remove("transition_stack") {
                stacks.push(("TransitionStack", stack));
            }
        }
        "Experimental" => {
            out += &format!(" Name={} Args=[", text(take("name")));
            assert_eq!(take("experiment"), "AllocFree");
            let args = take("args");
            let args = args.as_object().unwrap().iter();
            let args: Vec<String> = args
                .map(|(name, value)| format!("{name}=Value{{Uint64({value})}}"))
                .collect();
            out += &format!("{}]", args.join(", "));
        }
        "StackSample" => {}
        other => panic!("{other}"),
    }
    if let Some(stack) = map.remove("stack") {
        stacks.push(("Stack", stack));
    }
    assert!(map.is_empty(), "{map:?} in {kind}");
    for (title, frames) in stacks {
        out += &format!("\n{title}=\n");
        for frame in frames.as_array().unwrap() {
            assert_eq!(frame.as_object().unwrap().len(), 4);
            let (pc, line) = (&frame["pc"], &frame["line"]);
            let (func, file) = (&frame["func"], &frame["file"]);
            let [func, file] = [func, file].map(|name| name.as_str().unwrap());
            let pc = pc.as_u64().unwrap();
            writeln!(out, "\t{func} @ 0x{pc:x}\n\t\t{file}:{line}").unwrap();
        }
    }
    out + "\n"
}

/// The arguments of an experimental event have no order in JSON.
fn with_sorted_args(event: &str) -> String {
    match event.split_once(" Args=[") {
        Some((head, tail)) if event.contains(" Experimental Time=") => {
            let (args, rest) = tail.split_once(']').unwrap();
            let mut args: Vec<&str> = args.split(", ").collect();
            args.sort_unstable();
            format!("{head} Args=[{}]{rest}", args.join(", "))
        }
        _ => event.to_owned(),
    }
}

/// JSON holds what the text holds, and nothing that the schema does not name.
#[test]
fn json_tells_what_the_text_tells() {
    let mut kinds = BTreeSet::new();
    let mut lossy = 0;
    for fixture in readable() {
        let texts = events(parsed(&fixture.path, &[]));
        let objects = parsed(&fixture.path, &["--json", "--stacks=full"]);
        assert_eq!((objects.status, objects.stderr.as_str()), (0, ""));
        let objects = objects.json();
        assert_eq!(texts.len(), objects.len());
        for (text, object) in texts.iter().zip(objects) {
            kinds.insert(kind(text).to_owned());
            // Text that is not UTF-8 is not told exactly.
            let is_lossy = object.to_string().contains('\u{fffd}');
            let told = text_of(object);
            if is_lossy {
                assert!(text.contains("\\xff"), "{text}");
                lossy += 1;
            } else {
                assert_eq!(with_sorted_args(&told), with_sorted_args(text));
            }
        }
    }
    assert!(lossy > 10, "{lossy}");
    assert_eq!(kinds.len(), 14, "{kinds:?}");
}

/// A trace in which every name would like to speak to the terminal.
fn evil() -> Vec<u8> {
    let mut text = "Trace Go1.26\nEventBatch gen=1 m=0 time=1 size=0\nStrings\n".to_owned();
    let evil = "\\x1b]0;title\\x07\\x1b[31m\\u009b5m\\r\\x7f\\x9b\\u202e";
    for (n, name) in ["func", "file", "task", "reason", "label"]
        .iter()
        .enumerate()
    {
        let data = format!("{name}{evil}");
        writeln!(text, "String id={}\n\tdata=\"{data}\"", n + 1).unwrap();
    }
    text += "EventBatch gen=1 m=18446744073709551615 time=1 size=0\nStacks\n\
        Stack id=1 nframes=1\n\tpc=1 func=1 file=2 line=3\n\
        EventBatch gen=1 m=18446744073709551615 time=1 size=0\nSync\nFrequency freq=1000000000\n\
        ClockSnapshot dt=0 mono=1 sec=1 nsec=1\n\
        EventBatch gen=1 m=0 time=10 size=0\n\
        ProcStatus dt=1 p=0 pstatus=1\nGoStatus dt=1 g=1 m=0 gstatus=2\n\
        UserTaskBegin dt=1 task=2 parent_task=0 name_string=3 stack=1\n\
        UserRegionBegin dt=1 task=2 name_string=3 stack=1\n\
        UserLog dt=1 task=2 key_string=3 value_string=4 stack=1\n\
        GoLabel dt=1 label_string=5\n\
        STWBegin dt=1 kind_string=4 stack=1\nSTWEnd dt=1\n\
        GoBlock dt=1 reason_string=4 stack=1\nEndOfGeneration\n";
    assemble(&text, None).unwrap()
}

#[test]
fn names_cannot_control_the_terminal() {
    let path = file("evil", "\x1b]0;title\x07\u{9b}.trace", &evil());
    let path = path.as_path();
    let is_bad = |c: char| c.is_control() && c != '\n' && c != '\t';
    let runs = [
        parsed(path, &[]),
        parsed(path, &["--json"]),
        run(["check".as_ref(), path]),
        run(["check".as_ref(), "--json".as_ref(), path]),
        run(["stat".as_ref(), "--json".as_ref(), path]),
        run(["dump".as_ref(), "--wire".as_ref(), path]),
    ];
    for run in runs {
        assert_eq!(run.status, 0, "{}", run.stderr);
        let text = run.text();
        assert!(!text.contains(is_bad), "{text:?}");
        assert!(text.contains("0;title"), "{text:?}");
    }
    let json = parsed(path, &["--json", "--kind", "Label"]).json();
    // One byte is no UTF-8.
    let label = "label\x1b]0;title\x07\x1b[31m\u{9b}5m\r\x7f\u{fffd}\u{202e}";
    assert_eq!(json[0]["label"], label);
    let broken = file("evil", "\x1b[31m", b"go 1.26 trace\0\0\0\x1b[31m");
    let broken = run([Path::new("check"), &broken]);
    assert_eq!(broken.status, 1);
    assert!(!broken.stderr.contains(is_bad) && !broken.text().contains(is_bad));
}

#[test]
fn check_says_how_much_there_is() {
    for (fixture, row) in fixtures().iter().zip(expected()) {
        if fixture.go_version < 22 {
            continue;
        }
        let generations = Trace::new(&fixture.bytes()).unwrap().generations().count();
        let plural = if generations == 1 { "" } else { "s" };
        let expected = format!(
            "{}: ok, {} events, {generations} generation{plural}\n",
            fixture.path.display(),
            row.verdict.events
        );
        let checked = run([Path::new("check"), &fixture.path]).ok();
        assert_eq!(String::from_utf8(checked).unwrap(), expected);
    }
}

/// What the library says of a trace: events, and the errors met.
fn check(bytes: &[u8], keep_going: bool) -> (u64, Vec<String>) {
    let trace = Trace::new(bytes).unwrap();
    let (mut reader, mut events, mut errors) = (trace.reader(), 0, Vec::new());
    loop {
        match reader.next() {
            Ok(Some(_)) => events += 1,
            Ok(None) => return (events, errors),
            Err(error) => {
                errors.push(error.to_string());
                if !keep_going || !reader.skip_generation() {
                    return (events, errors);
                }
            }
        }
    }
}

/// Without what is said of reading leniently.
fn errors_of(stderr: &str) -> String {
    let lines = stderr.split_inclusive('\n');
    lines
        .filter(|line| !line.contains(": --lenient gives "))
        .collect()
}

#[test]
fn check_goes_on_after_damage_if_asked_to() {
    let whole = fixture("annotate-go1.27");
    for generations in [&[0][..], &[1], &[2], &[0, 1], &[0, 2], &[0, 1, 2]] {
        let (bytes, offsets) = damaged(&whole, generations);
        let path = file("keep_going", "trace", &bytes);
        for keep_going in [false, true] {
            let (events, errors) = check(&bytes, keep_going);
            let met = if keep_going {
                &offsets[..]
            } else {
                &offsets[..1]
            };
            assert_eq!(errors.len(), met.len(), "{generations:?}");
            let option: &[&str] = if keep_going { &["--keep-going"] } else { &[] };
            let args = ["check"].iter().chain(option).map(Path::new);
            let people = run(args.clone().chain([path.as_path()]));
            assert_eq!(people.status, 1);
            let lines: Vec<String> = met
                .iter()
                .map(|at| {
                    let error = format!("invalid event type 200, at byte {at}");
                    format!("error: {}: {error}\n", path.display())
                })
                .collect();
            assert_eq!(errors_of(&people.stderr), lines.concat());
            let start = format!("{}: failed after {events} events, ", path.display());
            assert!(people.text().starts_with(&start), "{}", people.text());

            let script = run(args.chain(["--json", "-"].map(Path::new)));
            assert_eq!(script.json()[0]["ok"], false, "nothing is no trace");
            let args = ["check", "--json", "-"].iter().chain(option);
            let script = run_with_input(args, &bytes);
            assert_eq!((script.status, script.stderr.as_str()), (1, ""));
            let report = &script.json()[0];
            assert_eq!(report["file"], "-");
            assert_eq!(report["ok"], false);
            assert_eq!(report["events"], events);
            let found = report["errors"].as_array().unwrap();
            let found: Vec<u64> = found
                .iter()
                .map(|e| e["offset"].as_u64().unwrap())
                .collect();
            assert_eq!(found, met);
        }
    }
}

/// Several at a time, printed in order, with one line each for people and for scripts.
#[test]
fn check_takes_many_files() {
    let mut paths: Vec<_> = readable().map(|f| f.path).collect();
    let (bytes, offsets) = damaged(&fixture("profile-go1.25"), &[1]);
    paths.insert(3, file("many", "damaged", &bytes));
    paths.insert(9, fixture("annotate-go1.21").path);
    paths.insert(11, Path::new("no such file").to_owned());
    let args = ["check", "--json"].map(Into::into);
    let all = run(args.iter().chain(&paths));
    assert_eq!((all.status, all.stderr.as_str()), (1, ""));
    let reports = all.json();
    assert_eq!(reports.len(), paths.len());
    for (n, (report, path)) in reports.iter().zip(&paths).enumerate() {
        assert_eq!(report["file"], path.to_str().unwrap());
        assert_eq!(report["ok"], ![3, 11].contains(&n), "{report}");
        assert_eq!(
            report["ok"],
            report["errors"].as_array().unwrap().is_empty()
        );
    }
    assert_eq!(reports[3]["errors"][0]["offset"], offsets[0]);
    assert!(reports[11]["errors"][0]["offset"].is_null());

    let people = run(["check".into()].iter().chain(&paths));
    assert_eq!(people.status, 1);
    assert_eq!(errors_of(&people.stderr).lines().count(), 2);
    let lines: Vec<&str> = people.text().lines().collect();
    assert_eq!(lines.len(), paths.len());
    for (line, path) in lines.iter().zip(&paths) {
        assert!(line.starts_with(&format!("{}: ", path.display())), "{line}");
    }
}

#[test]
fn help_is_short_or_long() {
    for command in ["dump", "check"] {
        let [short, long] = ["-h", "--help"].map(|option| run([command, option]).ok());
        let [short, long] = [short, long].map(|text| String::from_utf8(text).unwrap());
        assert!(short.lines().count() < 75, "{short}");
        assert!(short.len() < long.len());
        assert!(long.contains(&format!("Examples:\n  gotrace {command}")));
        for text in [&short, &long] {
            assert!(text.contains("\nArguments:\n  <FILE>"), "{text}");
            assert!(
                text.lines().all(|line| line.chars().count() <= 100),
                "{text}"
            );
        }
    }
    let long = String::from_utf8(run(["dump", "--help"]).ok()).unwrap();
    assert!(long.contains("\nJSON schema:\n"), "{long}");
    for command in ["dump", "check"] {
        let page = String::from_utf8(run(["man", command]).ok()).unwrap();
        assert!(page.contains(&format!(".TH gotrace-{command} 1")), "{page}");
        assert!(
            page.contains(".SH EXAMPLES") && page.contains("\\-\\-json"),
            "{page}"
        );
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(run(["completions", shell]).ok()).unwrap();
        for word in [
            "check",
            "keep-going",
            "parsed",
            "goroutine",
            "StateTransition",
        ] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever is in a file: the library's errors, a status, no panic; and the JSON is JSON.
    #[test]
    fn any_damage_is_survived(
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = fixture("annotate-go1.25").bytes();
        for (index, value) in at {
            let at = 16 + index.index(bytes.len() - 16);
            bytes[at] = value;
        }
        bytes.truncate(bytes.len() / 2 + cut.index(bytes.len()));
        let (events, errors) = check(&bytes, true);
        let args = ["check", "--keep-going", "--json", "-"];
        let report = run_with_input(args, &bytes);
        prop_assert_eq!(report.status, i32::from(!errors.is_empty()));
        let report = &report.json()[0];
        prop_assert_eq!(&report["events"], events);
        let found = report["errors"].as_array().unwrap();
        let found: Vec<_> = found.iter().map(|e| e["error"].as_str().unwrap()).collect();
        prop_assert_eq!(found.len(), errors.len());
        // The tool may have more to say.
        prop_assert!(found.iter().zip(&errors).all(|(said, error)| said.starts_with(&**error)));
        let (events, errors) = check(&bytes, false);
        let dumped = run_with_input(["dump", "--json", "--stacks=none", "-"], &bytes);
        prop_assert_eq!(dumped.status, i32::from(!errors.is_empty()));
        prop_assert_eq!(dumped.json().len() as u64, events);
    }
}
