//! Lenient reading: everything that can be read, and what is missing.
#![cfg(feature = "std")]

use crate::cases;
use crate::common;
use crate::validator::{
    facts::{Fact, What},
    model::{Trust, Validator},
};
use common::damage::{Accident, Damage, Wreck};
use common::live::RandomReads;
use common::schedule::Schedule;
use gotrace::reader::{Item, Lenient, Losses};
use gotrace::wire::EventType;
use gotrace::{ErrorKind, Fixed, Growing, Reader, StreamReader, ThreadId, Trace};
use proptest::prelude::*;
use std::fmt::Write as _;

/// What a lenient reader gives.
#[derive(Debug, Default, PartialEq)]
struct Run {
    /// Events of the trace as Go prints them.
    events: String,
    /// The record of each: where it is, its type and its thread.
    records: Vec<(usize, EventType, Option<ThreadId>)>,
    /// All that is no event of the trace, a line each.
    notes: Vec<String>,
    losses: Losses,
}

impl Run {
    fn add(&mut self, item: &Item<'_>) {
        self.notes.push(match item {
            Item::Event(event) => {
                writeln!(self.events, "{event}").unwrap();
                if let Some(ty) = event.wire_type() {
                    self.records
                        .push((event.offset().0 as usize, ty, event.thread()));
                }
                return;
            }
            Item::MadeUp(event, error) => format!("made up: {event} ({error})"),
            Item::RegionClosed(event, closing) => {
                format!("closed: {event} ({}) {closing:#}", closing.error)
            }
            Item::LeftOut(event, error) => format!("left out: {event} ({error})"),
            Item::Gap(gap) => format!("gap {} to {}: {}", gap.from, gap.to, gap.error),
            Item::Incomplete(lack) => format!("generation {}: {lack:?}", lack.generation),
            Item::NewTrace(new) => format!("new trace at {}", new.offset),
            _ => unreachable!(),
        });
    }
}

fn read(bytes: &[u8]) -> Run {
    let mut run = Run::default();
    let mut reader: Reader<'_, Growing, Lenient> = Trace::new(bytes).unwrap().reader().lenient();
    while let Some(item) = reader.next().unwrap() {
        run.add(&item);
    }
    assert!(reader.next().unwrap().is_none());
    run.losses = reader.losses();
    run
}

fn read_stream(bytes: &[u8]) -> Run {
    let mut run = Run::default();
    let source = RandomReads::new(bytes, bytes.len() as u64);
    let mut reader = StreamReader::new(source).unwrap().lenient();
    while let Some(item) = reader.next().unwrap() {
        run.add(&item);
    }
    run.losses = reader.losses();
    run
}

/// The events of a strict reader, and whether it comes to the end.
fn read_strictly(bytes: &[u8]) -> (String, bool) {
    let trace = Trace::new(bytes).unwrap();
    let mut reader = trace.reader();
    let mut text = String::new();
    loop {
        match reader.next() {
            Ok(Some(event)) => writeln!(text, "{event}").unwrap(),
            Ok(None) => return (text, true),
            Err(_) => return (text, false),
        }
    }
}

/// Events and those that are made up make sense together; says how many there are.
fn validate(bytes: &[u8]) -> Result<usize, String> {
    // A region whose name is lost may end with its name.
    let names = !read(bytes)
        .notes
        .iter()
        .any(|n| n.starts_with("generation"));
    let mut reader = Trace::new(bytes).unwrap().reader().lenient();
    let mut validator = Validator::new(Trust::Nothing);
    let (mut first, mut count) = (None, 0);
    while let Some(item) = reader.next().unwrap() {
        if let Item::NewTrace(_) = item {
            validator = Validator::new(Trust::Nothing);
            first = None;
        }
        let Some(event) = item.event() else { continue };
        let mut fact = Fact::of(&event);
        match &mut fact.what {
            What::Sync(..) | What::Sample => {}
            what => {
                first = first.or(event.generation());
                if let What::RegionBegin(region) | What::RegionEnd(region) = what
                    && !names
                {
                    region.ty.clear();
                }
            }
        }
        fact.first = first.is_none() || first == event.generation();
        validator
            .see(fact)
            .map_err(|why| format!("{why}\n{event}"))?;
        count += 1;
    }
    Ok(count)
}

fn fault(name: &str) -> Vec<u8> {
    let path = common::fixtures_dir().join("faults").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Of each generation that is whole still, every record is read that a strict reader reads of the trace
/// as it was.
fn check_wreck(trace: &[u8], wreck: &Wreck) -> Result<Run, String> {
    let mut before = Vec::new();
    let mut reader = Trace::new(trace).unwrap().reader();
    while let Some(event) = reader.next().unwrap() {
        if let Some(ty) = event.wire_type() {
            before.push((event.offset().0 as usize, ty, event.thread()));
        }
    }
    let run = read(&wreck.bytes);
    for (was, now) in &wreck.whole {
        let of = |records: &[(usize, EventType, Option<ThreadId>)], from: usize| {
            let all = records
                .iter()
                .filter(|r| (from..from + was.len()).contains(&r.0));
            let mut all: Vec<_> = all.map(|r| (r.0 - from, r.1, r.2)).collect();
            all.sort_unstable_by_key(|r| r.0);
            all
        };
        let (expected, found) = (of(&before, was.start), of(&run.records, *now));
        if expected != found {
            return Err(format!(
                "{} events of {} in the generation at {now}: {:?}",
                found.len(),
                expected.len(),
                run.notes
            ));
        }
    }
    Ok(run)
}

/// The usual cases are the same in every run; with `GOTRACE_CASES`, each run has others.
fn cases(usual: u32) -> ProptestConfig {
    use proptest::test_runner::RngSeed;
    let asked = std::env::var("GOTRACE_CASES");
    let asked = asked.ok().and_then(|n| n.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(usual),
        failure_persistence: None,
        rng_seed: match asked {
            Some(_) => RngSeed::Random,
            None => RngSeed::Fixed(1),
        },
        ..Default::default()
    }
}

#[test]
fn of_sound_traces_it_gives_what_a_strict_reader_gives() {
    let texts = cases::all()
        .into_iter()
        .map(|case| (case.name.clone(), case.trace()));
    let fixtures = common::fixtures()
        .into_iter()
        .map(|f| (f.name.clone(), f.bytes()));
    let mut sound_ones = 0;
    for (name, bytes) in fixtures.chain(texts) {
        let (text, sound) = read_strictly(&bytes);
        if !sound {
            continue;
        }
        sound_ones += 1;
        let run = read(&bytes);
        let Losses {
            made_up,
            left_out,
            gaps,
            ..
        } = run.losses;
        assert_eq!(
            (made_up, left_out, gaps),
            (0, 0, 0),
            "{name}: {:?}",
            run.notes
        );
        assert!(run.events == text, "{name}");
        assert!(read_stream(&bytes) == run, "{name}");
    }
    assert!(sound_ones > 100, "{sound_ones}");
}

/// Clocks that lie far more than the lenient reader's window: nothing is made up as long as the sequence
/// numbers agree. And if an event is missing, what is made up makes sense.
#[test]
fn lying_clocks_are_believed_only_if_something_is_missing() {
    let more = 4..u64::from(cases(8).cases);
    let more = more.map(|seed| (seed + 1, 2 + seed as usize * 7 % 61));
    for (seed, threads) in [(1, 3), (2, 8), (3, 40), (4, 300)].into_iter().chain(more) {
        for lie in [0, 20, 1000] {
            let schedule = Schedule {
                seed,
                threads,
                steps: 2000,
                lie,
                lost: None,
            };
            let bytes = schedule.make();
            let (text, sound) = read_strictly(&bytes);
            assert!(sound);
            let run = read(&bytes);
            assert!(run.losses.is_nothing(), "{schedule:?}: {:?}", run.notes);
            assert!(run.events == text, "{schedule:?}");
            let lost = Schedule {
                lost: Some(90),
                ..schedule
            }
            .make();
            let run = read(&lost);
            let all = text.lines().count() as u64;
            let losses = run.losses;
            // Of others, nothing may depend on that event, or much.
            if seed <= 4 {
                // What depends on the missing event, with clocks that lie, costs some more.
                assert!(
                    losses.events * 10 >= all * if lie == 0 { 9 } else { 5 },
                    "{schedule:?}: {losses:?} of {all}"
                );
                assert!(losses.made_up + losses.left_out > 0, "{schedule:?}");
            }
            validate(&lost).unwrap_or_else(|why| panic!("{schedule:?}: {why}"));
        }
    }
}

#[test]
fn a_byte_a_hole_and_a_line_cost_one_generation() {
    for (name, generations, events) in [
        ("f04-byte-lost-1.22.trace", 8, 480),
        ("f04-hole-1.27.trace", 7, 470),
        ("f04-log-line-inside-1.27.trace", 7, 555),
    ] {
        let bytes = fault(name);
        let run = read(&bytes);
        assert!(run.losses.events >= events, "{name}: {:?}", run.losses);
        assert!(
            (1..=2).contains(&run.losses.gaps),
            "{name}: {:?}",
            run.notes
        );
        assert!(run.losses.bytes_lost < 3000, "{name}: {:?}", run.losses);
        let mut reader = Trace::new(&bytes).unwrap().reader().lenient();
        while reader.next().unwrap().is_some() {}
        assert_eq!(reader.generations_read(), generations, "{name}");
        validate(&bytes).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(read_stream(&bytes) == run, "{name}");
    }
}

fn found(name: &str) -> Vec<u8> {
    let path = common::fixtures_dir().join("found").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A stream gives what a slice gives, and it makes sense.
fn check_found(name: &str) -> Run {
    let bytes = found(name);
    let run = read(&bytes);
    assert!(read_stream(&bytes) == run);
    validate(&bytes).unwrap_or_else(|why| panic!("{why}"));
    run
}

#[test]
fn a_stream_goes_on_behind_a_generation_whose_last_batch_is_torn() {
    let run = check_found("lenient-torn-batch-before-another-generation.trace");
    assert!(run.losses.gaps > 0, "{:?}", run.notes);
}

#[test]
fn a_gap_in_a_batch_that_is_torn_later_ends_where_that_is_torn() {
    let run = check_found("lenient-torn-batch-of-another-damage.trace");
    assert!(run.losses.gaps > 0, "{:?}", run.notes);
}

#[test]
fn a_torn_batch_that_is_there_twice_counts_once() {
    let run = check_found("lenient-torn-batch-there-twice.trace");
    assert!(run.losses.gaps > 0, "{:?}", run.notes);
}

#[test]
fn a_region_that_is_left_open_is_closed() {
    let run = read(&fault("f05-region-misuse-1.27.trace"));
    assert_eq!(run.notes.len(), 1, "{:?}", run.notes);
    let note = &run.notes[0];
    assert!(
        note.contains("RegionEnd") && note.contains(r#"Type="b""#),
        "{note}"
    );
    assert!(note.contains("not its innermost"), "{note}");
    // Both are named, and where they are in the program.
    let says = note.split_once(") goroutine ").unwrap().1;
    let lines = [
        r#"1 ends region "a" of task 0 while region "b" of task 0 is its innermost: that is closed, at byte 376"#,
        r#"  region "b" began"#,
        "    main.main @ 0x69eef5",
        "      exotic/main.go:107",
        r#"  region "a" began"#,
        "    main.main @ 0x69eece",
        "      exotic/main.go:106",
        r#"  region "a" ends"#,
        "    main.main @ 0x69eef6",
        "      exotic/main.go:108",
    ];
    assert_eq!(says, lines.join("\n"));
    // The other one ends then, and the one that was closed ends without having begun.
    assert_eq!(run.events.matches("RegionEnd").count(), 2);
    assert_eq!(run.events.matches("RegionBegin").count(), 2);
}

/// What Go's reader gives when a creation is made to wait, too.
#[test]
fn a_goroutine_of_a_c_thread_may_be_reused_early() {
    let bytes = fault("f09-cgo-thread-reuses-goroutine-1.22.trace");
    let (_, sound) = read_strictly(&bytes);
    assert!(!sound);
    let run = read(&bytes);
    assert_eq!(run.losses.events, 13);
    assert!(run.losses.is_nothing(), "{:?}", run.notes);
}

#[test]
fn of_a_trace_without_tables_names_and_stacks_are_said_by_their_ids() {
    let bytes = common::fixture("annotate-go1.27").bytes();
    let end = common::damage::generations(&bytes)[0].clone();
    let trace = Trace::new(&bytes).unwrap();
    // Before the tables of the first generation, which come last in it.
    let cut = trace
        .batches()
        .filter_map(|chunk| match chunk.unwrap() {
            gotrace::wire::Chunk::Batch(batch) => Some(batch),
            _ => None,
        })
        .find(|batch| batch.contents() == gotrace::wire::Contents::Stacks)
        .unwrap();
    assert!(end.contains(&(cut.offset.0 as usize)));
    let run = read(&bytes[..cut.offset.0 as usize]);
    assert!(run.notes[0].contains("unended: true"), "{:?}", run.notes);
    assert!(run.events.contains(r#"Type="string "#), "{}", run.events);
    let stack = run.events.split("Stack=\n\tstack ").nth(1).unwrap();
    let (id, rest) = stack.split_once(" (not recorded) @ 0x").unwrap();
    let (pc, _) = rest.split_once('\n').unwrap();
    assert_eq!(id.parse().ok(), u64::from_str_radix(pc, 16).ok());
}

#[test]
fn what_follows_in_the_file_is_another_trace() {
    let one = common::fixture("annotate-go1.22").bytes();
    let two = common::fixture("cgo-go1.27").bytes();
    let (first, second) = (read(&one), read(&two));
    let run = read(&[&one[..], &two].concat());
    assert_eq!(run.notes, [format!("new trace at {}", one.len())]);
    // Without the sync event that ends the first.
    let (count, last) = (first.losses.events, first.events.lines().last().unwrap());
    assert_eq!(run.losses.events, count - 1 + second.losses.events);
    let expected = first.events.strip_suffix(&format!("{last}\n")).unwrap();
    assert!(run.events == [expected, &second.events].concat());
}

/// A trace of before Go 1.22 is read up to where it is damaged.
#[test]
fn of_an_old_trace_the_rest_is_a_gap() {
    let fixture = common::fixtures()
        .into_iter()
        .find(|f| f.go_version < 22)
        .unwrap();
    let bytes = fixture.bytes();
    let half = &bytes[..bytes.len() / 2];
    let (text, sound) = read_strictly(half);
    let run = read(half);
    assert!(!sound && run.events == text);
    assert_eq!(run.losses.gaps, 1);
    assert!(read_stream(half).events == text);
}

#[test]
fn a_full_table_is_an_error() {
    type Tiny = Fixed<40, 24, 4, 3, 2, 2, 6, 1, 1>;
    let bytes = common::fixture("annotate-go1.27").bytes();
    let trace = Trace::new(&bytes).unwrap();
    let mut reader = Reader::<Tiny>::new(&trace).lenient();
    let error = loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it is too small"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error.kind(), ErrorKind::TableFull(_)), "{error}");
    assert!(reader.next().unwrap().is_none());
}

/// A zero where the status of a goroutine was says that it is in no state. The next generation, which is
/// whole, says in which one it is.
#[test]
fn a_status_that_says_nothing_is_believed_no_longer_than_the_next() {
    let mut traces = common::TRACES.iter();
    let trace = traces
        .find(|trace| format!("{trace:?}") == "profile-go1.22")
        .unwrap();
    let accident =
        Accident::from_random([5_956_497_632_896_674_536, 15_375_545_220_101_113_960, 1, 0]);
    let wreck = accident.apply(&trace.bytes);
    check_wreck(&trace.bytes, &wreck).unwrap();
    validate(&wreck.bytes).unwrap();
}

fn damaged(name: &str, damage: &[[u64; 4]]) -> Vec<u8> {
    let mut bytes = common::fixture(name).bytes();
    for numbers in damage {
        bytes = Damage::from_random(*numbers).apply(&bytes);
    }
    bytes
}

/// States are learned in the first generation of which anything is given, be it not the first that is read.
#[test]
fn a_generation_of_which_all_is_left_out_teaches_nothing() {
    let bytes = damaged(
        "annotate-go1.22",
        &[[0, 102_973_706, 0, 0], [1, 359_677_065, 0, 16]],
    );
    let count = validate(&bytes).unwrap();
    assert!(count > 3, "{count}");
}

/// What is said to run on no thread runs somewhere: it is said where before anything is made up of it.
#[test]
fn what_runs_on_no_thread_is_found_a_thread() {
    // A batch's header says that it is of no thread.
    let bytes = damaged("block-go1.22", &[[14, 1 << 31, 0, 2]]);
    validate(&bytes).unwrap();
}

/// At every byte of the small traces.
#[test]
fn a_cut_anywhere_costs_what_is_behind_it() {
    let mut small: Vec<_> = common::TRACES.iter().collect();
    small.sort_by_key(|trace| trace.bytes.len());
    for trace in &small[..3] {
        let bytes = &trace.bytes;
        let mut events = 0;
        for at in 16..bytes.len() {
            let wreck = Accident::cut(bytes, at);
            let run = read(&wreck.bytes);
            assert!(run.losses.bytes_lost <= 10_000, "{at}: {:?}", run.losses);
            // Never fewer than with a byte less, but for a header that loses its batch.
            assert!(run.losses.events + 3 >= events, "{trace:?} {at}");
            events = run.losses.events;
            if at % 97 == 0 {
                check_wreck(bytes, &wreck).unwrap_or_else(|why| panic!("{trace:?} {at}: {why}"));
                validate(&wreck.bytes).unwrap_or_else(|why| panic!("{trace:?} {at}: {why}"));
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(150))]

    /// Accidents cost what they touch, and nothing else; slices and streams give the same.
    #[test]
    fn accidents_cost_what_they_touch(
        trace in common::trace(),
        random in any::<[u64; 4]>(),
    ) {
        let accident = Accident::from_random(random);
        let wreck = accident.apply(&trace.bytes);
        let run = check_wreck(&trace.bytes, &wreck);
        prop_assert!(run.is_ok(), "{accident:?}: {run:?}");
        prop_assert!(read_stream(&wreck.bytes) == run.unwrap(), "{accident:?}");
        let valid = validate(&wreck.bytes);
        prop_assert!(valid.is_ok(), "{accident:?}: {valid:?}");
    }

    /// A trace of any size that ends anywhere.
    #[test]
    fn a_cut_of_any_trace_costs_what_is_behind_it(
        trace in prop::sample::select(&common::TRACES[..]),
        place in any::<u64>(),
    ) {
        let wreck = Accident::from_random([0, place, 0, 0]).apply(&trace.bytes);
        let run = check_wreck(&trace.bytes, &wreck);
        prop_assert!(run.is_ok(), "{trace:?} {}: {run:?}", wreck.bytes.len());
        let valid = validate(&wreck.bytes);
        prop_assert!(valid.is_ok(), "{trace:?} {}: {valid:?}", wreck.bytes.len());
    }

    /// Several kinds of damage at once: it ends, what is given makes sense, and is the same of a stream.
    #[test]
    fn damage_of_any_kind_is_read_to_the_end(
        trace in common::trace(),
        damage in prop::collection::vec(common::damage(), 1..4),
    ) {
        let apply = |bytes: Vec<u8>, damage: &Damage| damage.apply(&bytes);
        let bytes = damage.iter().fold(trace.bytes.clone(), apply);
        let run = read(&bytes);
        let valid = validate(&bytes);
        prop_assert!(valid.is_ok(), "{valid:?}");
        prop_assert!(read_stream(&bytes) == run);
        let (text, sound) = read_strictly(&bytes);
        if sound {
            prop_assert!(run.losses.made_up == 0 && run.losses.left_out == 0, "{:?}", run.notes);
            prop_assert!(run.events == text);
        }
    }
}
