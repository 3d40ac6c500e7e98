//! The text form, both ways: what Go prints, and back to the same trace.

#![cfg(feature = "alloc")]

use crate::common;

use common::go::Go;
use common::{Fixture, expected, fixture, fixtures, sha256};
use gotrace::wire::text::HeaderLine;
use gotrace::wire::{
    BatchHead, Chunk, Contents, Encoder, EventType, Footprint, RawFrame, SampleRecord, TimedEvent,
    Version, assemble,
};
use gotrace::{
    Error, GoId, GoStr, ProcId, ThreadId, Trace,
    ids::{Experiment, GenerationId, StackId},
    time::Timestamp,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The text form without its header line, up to the first error.
fn dump_up_to_damage(trace: &[u8]) -> (String, Option<Error>) {
    let trace = Trace::new(trace).expect("a header");
    let mut text = String::new();
    for chunk in trace.batches() {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => return (text, Some(error)),
        };
        writeln!(text, "{chunk}").unwrap();
        if let Chunk::Batch(batch) = chunk {
            for record in batch.records() {
                match record {
                    Ok(record) => writeln!(text, "{record}").unwrap(),
                    Err(error) => return (text, Some(error)),
                }
            }
        }
    }
    (text, None)
}

/// The text form of a whole trace.
fn dump(trace: &[u8]) -> String {
    let (text, error) = dump_up_to_damage(trace);
    assert_eq!(error, None);
    text
}

fn with_header(version: Version, text: &str) -> String {
    format!("{}\n{text}", HeaderLine(version))
}

/// The fixtures that have a text form, with what Go's is.
fn wire_fixtures() -> impl Iterator<Item = (Fixture, common::Wire)> {
    let expected = expected();
    fixtures().into_iter().filter_map(move |fixture| {
        let row = expected.iter().find(|row| row.name == fixture.name);
        let wire = row.expect("a row of expected.tsv").wire.clone()?;
        Some((fixture, wire))
    })
}

#[test]
fn the_dump_of_every_fixture_is_gos() {
    let mut count = 0;
    for (fixture, wire) in wire_fixtures() {
        let text = dump(&fixture.bytes());
        let lines = text.lines().count() as u64;
        assert_eq!(lines, wire.lines, "{}", fixture.name);
        assert_eq!(sha256(text.as_bytes()), wire.sha256, "{}", fixture.name);
        count += 1;
    }
    assert!(count > 30, "{count} fixtures");
}

#[test]
fn go_itself_dumps_the_same() {
    let Some(go) = Go::find() else { return };
    let reference = go.reference();
    for (fixture, _) in wire_fixtures() {
        let theirs = reference.dump_wire(&fixture.path);
        // Not assert_eq: nobody wants to see megabytes.
        assert!(
            dump(&fixture.bytes()).as_bytes() == theirs,
            "{}",
            fixture.name
        );
    }
}

/// Everything in a trace but the padding of numbers.
fn contents(trace: &[u8]) -> Vec<(Option<BatchHead>, &[u8])> {
    let chunks = Trace::new(trace).expect("a header").batches();
    let contents = chunks.map(|chunk| match chunk.expect("a batch") {
        Chunk::Batch(batch) => {
            let head = BatchHead {
                header_len: 0,
                ..batch.head
            };
            (Some(head), batch.data)
        }
        Chunk::EndOfGeneration(_) => (None, &[][..]),
    });
    contents.collect()
}

#[test]
fn what_is_dumped_is_assembled_again() {
    for (fixture, _) in wire_fixtures() {
        let original = fixture.bytes();
        let version = Trace::new(&original).unwrap().version();
        let text = dump(&original);
        let assembled = assemble(&with_header(version, &text), None).unwrap();
        assert_eq!(assembled[..16], original[..16], "{}", fixture.name);
        assert!(
            contents(&assembled) == contents(&original),
            "{}",
            fixture.name
        );
        assert!(assembled.len() < original.len(), "Go pads every batch");
        assert!(dump(&assembled) == text, "{}", fixture.name);
        let optional = assemble(&text, Some(version)).unwrap();
        assert!(optional == assembled, "{}", fixture.name);
    }
}

#[test]
fn go_assembles_the_same() {
    let Some(go) = Go::find() else { return };
    let reference = go.reference();
    for (fixture, _) in wire_fixtures() {
        let original = fixture.bytes();
        let version = Trace::new(&original).unwrap().version();
        let text = with_header(version, &dump(&original));
        let theirs = reference.assemble(text.as_bytes());
        let ours = assemble(&text, None).unwrap();
        assert!(Ok(ours) == theirs, "{}", fixture.name);
    }
}

/// The traces that Go tests its reader with are text, whose sizes Go has counted.
#[test]
fn gos_own_test_traces_are_assembled_as_go_does() {
    let Some(go) = Go::find() else { return };
    let reference = go.reference();
    let mut count = 0;
    for (name, text) in go.test_traces() {
        // It claims bytes that it does not have, to be cut short.
        if name == "go122-fail-first-gen-first" {
            continue;
        }
        let theirs = reference.assemble(text.as_bytes()).expect(&name);
        let ours = assemble(&text, None).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(ours == theirs, "{name}");
        count += 1;
    }
    assert!(count > 15, "{count} traces");
}

/// A footprint counts each line of a dump, and the bytes that its record takes without padding.
#[test]
fn a_footprint_counts_what_a_dump_shows() {
    let footprint = |trace: &[u8]| {
        let mut footprint = Footprint::new();
        for chunk in Trace::new(trace).unwrap().batches() {
            footprint.add(&chunk.unwrap()).unwrap();
        }
        footprint
    };
    for (fixture, _) in wire_fixtures() {
        let original = fixture.bytes();
        let counted = footprint(&original);
        let size = 16 + counted.total().bytes + counted.padding();
        assert_eq!(size, original.len() as u64, "{}", fixture.name);

        let mut lines = BTreeMap::new();
        for line in dump(&original).lines().filter(|l| !l.starts_with('\t')) {
            let name = line.split(' ').next().unwrap().to_owned();
            *lines.entry(name).or_insert(0) += 1;
        }
        let counts = counted
            .iter()
            .map(|(ty, tally)| (ty.to_string(), tally.count));
        assert_eq!(BTreeMap::from_iter(counts), lines, "{}", fixture.name);

        let version = Trace::new(&original).unwrap().version();
        let plain = footprint(&assemble(&dump(&original), Some(version)).unwrap());
        assert_eq!(plain.padding(), 0);
        assert!(plain.iter().eq(counted.iter()), "{}", fixture.name);
    }
}

#[test]
fn without_its_sizes_a_text_says_the_same() {
    let original = fixture("annotate-go1.27").bytes();
    let text = dump(&original);
    let bare: String = text
        .lines()
        .map(|line| {
            let cut = line.find(" size=").or(line.find(" nframes="));
            format!("{}\n", &line[..cut.unwrap_or(line.len())])
        })
        .collect();
    assert_ne!(bare, text);
    let version = Some(Version::Go126);
    assert!(assemble(&bare, version) == assemble(&text, version));
}

/// A record to be written.
#[derive(Clone, Debug)]
enum Item {
    Event(TimedEvent),
    String(u64, Vec<u8>),
    Stack(u64, Vec<RawFrame>),
    Sample(SampleRecord),
    Frequency(u64),
    Section(EventType),
}

/// Numbers of every length.
fn number() -> impl Strategy<Value = u64> {
    (0..64u32, any::<u64>()).prop_map(|(shift, n)| n >> shift)
}

fn item() -> impl Strategy<Value = Item> {
    let timed: Vec<EventType> = EventType::ALL
        .iter()
        .copied()
        .filter(|ty| ty.timed_args() > 0)
        .collect();
    let event = (
        proptest::sample::select(timed),
        number(),
        [number(), number(), number(), number()],
    )
        .prop_map(|(ty, dt, args)| Item::Event(TimedEvent::new(ty, dt, args)));
    let frame =
        (number(), number(), number(), number()).prop_map(|(pc, func, file, line)| RawFrame {
            pc,
            func,
            file,
            line,
        });
    let sample = (number(), number(), number(), 1..9u64, number()).prop_map(|(t, m, p, g, s)| {
        Item::Sample(SampleRecord {
            time: Timestamp(t),
            thread: ThreadId::new(m),
            proc: ProcId::new(p),
            goroutine: GoId::new(g),
            stack: StackId::new(s),
        })
    });
    prop_oneof![
        8 => event,
        2 => (number(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(id, data)| Item::String(id, data)),
        2 => (number(), proptest::collection::vec(frame, 0..5))
            .prop_map(|(id, frames)| Item::Stack(id, frames)),
        1 => sample,
        1 => number().prop_map(Item::Frequency),
        1 => proptest::sample::select(&[
            EventType::STRINGS,
            EventType::STACKS,
            EventType::CPU_SAMPLES,
            EventType::SYNC,
        ][..]).prop_map(Item::Section),
    ]
}

type BatchParts = ((u64, u64, u64), Result<Vec<Item>, (u8, Vec<u8>)>, bool);

/// A batch of records or of an experiment's data, and whether the generation ends after it.
fn batch() -> impl Strategy<Value = BatchParts> {
    let records = proptest::collection::vec(item(), 0..12).prop_map(Ok);
    let experimental = (1..=255u8, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(Err);
    (
        (1..u64::MAX, number(), number()),
        prop_oneof![4 => records, 1 => experimental],
        any::<bool>(),
    )
}

fn encode(batches: &[BatchParts]) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 16];
    let mut out = Encoder::new(&mut buffer);
    out.header(Version::Go126).unwrap();
    for ((generation, thread, time), parts, end) in batches {
        let mut payload = vec![0; 1 << 14];
        let mut records = Encoder::new(&mut payload);
        let mut experiment = None;
        let data = match parts {
            Ok(items) => {
                for item in items {
                    match item {
                        Item::Event(event) => records.event(event),
                        Item::String(id, data) => records.string(*id, GoStr::new(data)),
                        Item::Stack(id, frames) => records.stack(*id, frames.iter().copied()),
                        Item::Sample(sample) => records.sample(sample),
                        Item::Frequency(hertz) => records.frequency(*hertz),
                        Item::Section(ty) => records.section(*ty),
                    }
                    .unwrap();
                }
                records.bytes()
            }
            Err((number, data)) => {
                experiment = Some(Experiment(*number));
                data
            }
        };
        let head = BatchHead {
            generation: GenerationId::new(*generation).unwrap(),
            thread: ThreadId::new(*thread),
            time: Timestamp(*time),
            experiment,
            header_len: 0,
            data_len: 0,
        };
        out.batch(&head, data).unwrap();
        if *end {
            out.end_of_generation().unwrap();
        }
    }
    out.bytes().to_vec()
}

proptest! {
    #[test]
    fn any_trace_without_padding_comes_back_byte_for_byte(
        batches in proptest::collection::vec(batch(), 0..6)
    ) {
        let trace = encode(&batches);
        let text = with_header(Version::Go126, &dump(&trace));
        prop_assert_eq!(assemble(&text, None), Ok(trace));
    }

    /// What is left of a damaged trace is a text like any other.
    #[test]
    fn the_dump_of_a_damaged_trace_is_assembled_too(
        name in proptest::sample::select(&["alloc-go1.25", "annotate-go1.27", "profile-go1.22"][..]),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..20),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut trace = fixture(name).bytes();
        for (at, to) in flips {
            let at = 16 + at.index(trace.len() - 16);
            trace[at] = to;
        }
        trace.truncate(16 + cut.index(trace.len() - 15));
        // Sizes shrink with the padding, or end with the damage.
        let text = |trace: &[u8]| -> Vec<String> {
            let text = dump_up_to_damage(trace).0;
            let lines = text.lines().map(|line| line.split(" size=").next().unwrap());
            lines.map(str::to_owned).collect()
        };
        let version = Trace::new(&trace).unwrap().version();
        let assembled = assemble(&dump_up_to_damage(&trace).0, Some(version)).unwrap();
        prop_assert!(dump_up_to_damage(&assembled).1.is_none());
        prop_assert!(text(&assembled) == text(&trace));
    }

    /// White space, blank lines and comments between the words change nothing.
    #[test]
    fn the_layout_of_a_text_is_free(
        batches in proptest::collection::vec(batch(), 1..4),
        spaces in proptest::collection::vec("[ \t\r\u{a0}\u{2003}]{1,3}", 1..9),
        comments in proptest::collection::vec("([ \t]*#[^\n]*)?(\n[ \t]*(#[^\n]*)?)?", 1..9),
    ) {
        let trace = encode(&batches);
        let mut spaces = spaces.iter().cycle();
        let mut comments = comments.iter().cycle();
        let mut text = String::new();
        for line in with_header(Version::Go126, &dump(&trace)).lines() {
            if line.trim_start().starts_with("data=") {
                text += line;
            } else {
                for word in line.split(' ') {
                    text += word;
                    text += spaces.next().unwrap();
                }
            }
            text += comments.next().unwrap();
            text += "\n";
        }
        prop_assert_eq!(assemble(&text, None), Ok(trace), "{}", text);
    }
}

#[test]
fn a_batch_shows_what_it_holds() {
    // One of each kind is in these two.
    let mut kinds = Vec::new();
    for name in ["alloc-go1.27", "profile-go1.27"] {
        let bytes = fixture(name).bytes();
        for chunk in Trace::new(&bytes).unwrap().batches() {
            let chunk = chunk.unwrap();
            let Chunk::Batch(batch) = chunk else {
                assert_eq!(chunk.to_string(), "EndOfGeneration");
                continue;
            };
            let line = chunk.to_string();
            let experimental = matches!(batch.contents(), Contents::Experiment(_));
            assert_eq!(
                line.starts_with("ExperimentalBatch exp=1 gen="),
                experimental
            );
            assert_eq!(line.contains("\n\tdata=\""), experimental);
            kinds.push(batch.contents());
        }
    }
    for kind in [
        Contents::Events,
        Contents::Strings,
        Contents::Stacks,
        Contents::Samples,
        Contents::Sync,
        Contents::Experiment(Experiment::ALLOC_FREE),
    ] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
}
