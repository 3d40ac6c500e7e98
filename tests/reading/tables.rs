//! Generations and their tables: found where a slow walk finds them, equal to the records they were
//! made of, whatever happened to their neighbours.
#![cfg(feature = "alloc")]

use crate::common;

use common::naive;
use common::{TRACES, damaged, trace};
use gotrace::wire::{Batch, Chunk, Contents, EventType, HEADER_LEN, RawFrame, Record, Version};
use gotrace::{
    Error, ErrorKind, Fixed, GoStr, Growing, Stack, Trace,
    error::Table,
    generation::{Generation, GenerationTables, Sample},
    ids::StringId,
    tables::Storage,
};
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeMap;

/// Room for the tables of any fixture.
type Large = Fixed<4096, 1024, 1024, 64, 64, 64, 1024, 64, 64>;

fn generations(trace: &Trace<'_>) -> Vec<Generation> {
    let all: Result<_, Error> = trace.generations().collect();
    all.expect("a sound trace")
}

fn batches<'t>(trace: &Trace<'t>, of: &Generation) -> Vec<Batch<'t>> {
    let all = trace.batches().filter_map(|chunk| match chunk {
        Ok(Chunk::Batch(batch)) => Some(batch),
        _ => None,
    });
    all.filter(|batch| batch.head.generation == of.number)
        .collect()
}

/// What the tables of a generation hold, owned or borrowed from the trace.
#[derive(Debug, PartialEq)]
struct Contained<'t> {
    strings: Vec<(StringId, GoStr<'t>)>,
    stacks: Vec<(u64, String)>,
    samples: Vec<String>,
    clock: Option<gotrace::time::ClockSnapshot>,
    frequency: Option<gotrace::time::Frequency>,
    experimental: Vec<(u8, &'t [u8])>,
}

fn contents<'t, S: Storage>(
    trace: &Trace<'t>,
    generation: &Generation,
) -> Result<Contained<'t>, Error> {
    let tables = GenerationTables::<S>::load(trace, generation)?;
    let id = |stack: &Stack<'_, '_>| stack.id().map_or(0, |id| id.get());
    let sample = |sample: Sample<'_, '_>| format!("{sample:?}");
    let experimental = tables.experimental_batches();
    Ok(Contained {
        strings: tables.strings().collect(),
        stacks: tables.stacks().map(|s| (id(&s), s.to_string())).collect(),
        samples: tables.samples().map(sample).collect(),
        clock: tables.clock(),
        frequency: tables.frequency(),
        experimental: experimental.map(|b| (b.experiment.0, b.data)).collect(),
    })
}

/// The generations of a trace by a walk that knows nothing of them.
#[test]
fn generations_are_where_a_slow_walk_finds_them() {
    for fixture in &*TRACES {
        let name = &fixture.fixture.name;
        let trace = Trace::new(&fixture.bytes).unwrap();
        let (chunks, _) = naive::walk(&fixture.bytes, HEADER_LEN);
        // Number to start, end, batches, earliest time, payload of the sync batch.
        let mut expected = BTreeMap::new();
        let mut last = 0;
        for chunk in &chunks {
            if let naive::Chunk::Batch(batch) = chunk {
                let new = (batch.offset, 0, 0u64, u64::MAX, None);
                let entry = expected.entry(batch.generation).or_insert(new);
                entry.2 += 1;
                entry.3 = entry.3.min(batch.time);
                let first = fixture.bytes[batch.data.clone()].first();
                if batch.experiment == 0 && matches!(first, Some(8 | 50)) {
                    entry.4 = Some(&fixture.bytes[batch.data.clone()]);
                }
                last = batch.generation;
            }
            expected.get_mut(&last).unwrap().1 = chunk.end();
        }
        let found = generations(&trace);
        assert_eq!(found.len(), expected.len(), "{name}");
        for (generation, (number, (start, end, batches, earliest, sync))) in
            found.iter().zip(expected)
        {
            assert!(generation.complete, "{name}");
            assert_eq!(generation.number.get(), number, "{name}");
            assert_eq!(generation.start.0, start as u64, "{name}");
            assert_eq!(generation.end.0, end as u64, "{name}");
            assert_eq!(generation.batches, batches, "{name}");
            assert_eq!(generation.earliest.0, earliest, "{name}");
            let sync = sync.unwrap();
            let since_25 = sync[0] == 50;
            let (hertz, _) = naive::varint(sync, 1 + usize::from(since_25)).unwrap();
            assert_eq!(generation.frequency.unwrap().hertz(), hertz, "{name}");
            assert_eq!(generation.clock.is_some(), since_25, "{name}");
            assert_eq!(trace.generation(generation.number), Ok(Some(*generation)));
        }
        assert_eq!(found.last().unwrap().end.0, trace.len(), "{name}");
    }
}

#[test]
fn a_generation_can_be_read_without_those_before_it() {
    for fixture in &*TRACES {
        let trace = Trace::new(&fixture.bytes).unwrap();
        for generation in generations(&trace) {
            let all = batches(&trace, &generation);
            assert_eq!(all.len() as u64, generation.batches);
            let from =
                trace
                    .batches_from(generation.start)
                    .filter_map(|chunk| match chunk.unwrap() {
                        Chunk::Batch(batch) => Some(batch),
                        Chunk::EndOfGeneration(_) => None,
                    });
            assert!(from.take(all.len()).eq(all), "{}", fixture.fixture.name);

            // A trace that begins there says the same.
            let start = generation.start.0 as usize;
            let rest = [&fixture.bytes[..HEADER_LEN], &fixture.bytes[start..]].concat();
            let rest = Trace::new(&rest).unwrap();
            let first = rest.generations().next().unwrap().unwrap();
            assert_eq!(
                (first.number, first.clock),
                (generation.number, generation.clock)
            );
            assert_eq!(
                contents::<Growing>(&rest, &first),
                contents::<Growing>(&trace, &generation)
            );
        }
    }
}

#[test]
fn tables_hold_what_the_records_say() {
    let mut seen = (0, 0, 0, 0);
    for fixture in &*TRACES {
        let name = &fixture.fixture.name;
        let trace = Trace::new(&fixture.bytes).unwrap();
        for generation in generations(&trace) {
            let tables = GenerationTables::<Growing>::load(&trace, &generation).unwrap();
            let mut strings = BTreeMap::new();
            let mut stacks = BTreeMap::new();
            let mut samples = Vec::new();
            let mut experimental = Vec::new();
            for batch in batches(&trace, &generation) {
                if let Some(experiment) = batch.head.experiment {
                    experimental.push((experiment, batch.head.thread, batch.data));
                }
                for record in batch.records() {
                    match record.unwrap() {
                        Record::String(s) => assert_eq!(strings.insert(s.id, s.data), None),
                        Record::Stack(s) => {
                            let frames: Vec<RawFrame> = s.frames().collect();
                            assert_eq!(stacks.insert(s.id, frames), None);
                        }
                        Record::Sample(s) => samples.push(s),
                        _ => {}
                    }
                }
            }

            let found = tables.strings().map(|(id, s)| (id.get(), s));
            assert!(found.eq(strings.iter().map(|(id, s)| (*id, *s))), "{name}");
            for (id, string) in &strings {
                assert_eq!(tables.string(StringId::new(*id)), Some(*string), "{name}");
            }
            assert_eq!(tables.string(None), Some(GoStr::EMPTY));
            let beyond = StringId::new(strings.keys().max().unwrap() + 1);
            assert_eq!(tables.string(beyond), None);

            let name_of = |id: u64| match id {
                0 => GoStr::EMPTY,
                id => strings[&id],
            };
            assert_eq!(tables.stacks().count(), stacks.len(), "{name}");
            for (found, (id, frames)) in tables.stacks().zip(&stacks) {
                assert_eq!(found.id().unwrap().get(), *id, "{name}");
                assert_eq!(tables.stack(found.id().unwrap()), Some(found), "{name}");
                let shown = found.frames().map(|f| (f.pc, f.func, f.file, f.line));
                let expected = frames
                    .iter()
                    .map(|f| (f.pc, name_of(f.func), name_of(f.file), f.line));
                assert!(shown.eq(expected), "{name}");
            }

            let frequency = generation.frequency.unwrap();
            samples.sort_by_key(|s| s.time);
            let times = samples.iter().map(|s| frequency.time(s.time));
            assert!(tables.samples().map(|s| s.time).eq(times), "{name}");
            let whole =
                |s: Sample<'_, '_>| (s.time, s.thread, s.goroutine, s.stack.map(|s| s.id()));
            let mut found: Vec<_> = tables.samples().map(whole).collect();
            let mut expected: Vec<_> = samples
                .iter()
                .map(|s| {
                    (
                        frequency.time(s.time),
                        s.thread,
                        s.goroutine,
                        s.stack.map(Some),
                    )
                })
                .collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{name}");

            let found = tables.experimental_batches();
            assert!(
                found
                    .map(|b| (b.experiment, b.thread, b.data))
                    .eq(experimental.clone())
            );
            seen.0 += strings.len();
            seen.1 += stacks.len();
            seen.2 += samples.len();
            seen.3 += experimental.len();
        }
    }
    assert!(
        seen.0 > 1000 && seen.1 > 1000 && seen.2 > 1000 && seen.3 >= 3,
        "{seen:?}"
    );
}

#[test]
fn fixed_tables_are_those_that_grow() {
    for fixture in &*TRACES {
        let trace = Trace::new(&fixture.bytes).unwrap();
        for generation in generations(&trace) {
            assert_eq!(
                contents::<Large>(&trace, &generation),
                contents::<Growing>(&trace, &generation),
                "{}",
                fixture.fixture.name
            );
        }
    }
}

#[test]
fn a_full_table_is_named_with_its_capacity_and_the_entry_that_did_not_fit() {
    fn error<S: Storage>() -> (ErrorKind, u64, u64) {
        let bytes = common::fixture("profile-go1.25").bytes();
        let trace = Trace::new(&bytes).unwrap();
        let generation = &generations(&trace)[1];
        let error = GenerationTables::<S>::load(&trace, generation).unwrap_err();
        (error.kind(), error.value(), error.offset().0)
    }
    /// Where the entry of this type stands that has so many before it.
    fn place(ty: EventType, before: usize) -> u64 {
        let bytes = common::fixture("profile-go1.25").bytes();
        let trace = Trace::new(&bytes).unwrap();
        let mut places = Vec::new();
        for batch in batches(&trace, &generations(&trace)[1]) {
            let mut records = batch.records();
            let mut at = records.offset();
            while let Some(record) = records.next().unwrap() {
                if record.ty() == ty {
                    places.push(at);
                }
                at = records.offset();
            }
        }
        places[before]
    }
    assert_eq!(
        error::<Fixed<3, 1024, 1024, 1, 1, 1, 1, 1, 1>>(),
        (
            ErrorKind::TableFull(Table::Strings),
            3,
            place(EventType::STRING, 3)
        )
    );
    assert_eq!(
        error::<Fixed<1024, 5, 1024, 1, 1, 1, 1, 1, 1>>(),
        (
            ErrorKind::TableFull(Table::Stacks),
            5,
            place(EventType::STACK, 5)
        )
    );
    assert_eq!(
        error::<Fixed<1024, 1024, 7, 1, 1, 1, 1, 1, 1>>(),
        (
            ErrorKind::TableFull(Table::Samples),
            7,
            place(EventType::CPU_SAMPLE, 7)
        )
    );
    assert_eq!(error::<Fixed<0, 0, 0, 0, 0, 0, 0, 0, 0>>().1, 0);
}

/// The fixtures that have more than one generation.
fn several() -> Vec<&'static common::Trace> {
    let all = TRACES.iter();
    let several: Vec<_> = all
        .filter(|t| generations(&Trace::new(&t.bytes).unwrap()).len() > 1)
        .collect();
    assert!(several.len() >= 8);
    several
}

#[test]
fn damage_inside_one_generation_leaves_the_others_readable() {
    for fixture in several() {
        let name = &fixture.fixture.name;
        let trace = Trace::new(&fixture.bytes).unwrap();
        let sound = generations(&trace);
        for (n, generation) in sound.iter().enumerate() {
            // A string that claims to be longer than its batch.
            let strings = batches(&trace, generation)
                .into_iter()
                .rfind(|batch| batch.contents() == Contents::Strings)
                .unwrap();
            let mut bytes = fixture.bytes.clone();
            let at = strings.data_offset().0 as usize;
            bytes[at + 3..][..2].copy_from_slice(&[0xff, 0x0f]);
            let damaged = Trace::new(&bytes).unwrap();
            assert_eq!(generations(&damaged), sound, "{name}: headers are whole");
            for (m, other) in sound.iter().enumerate() {
                let found = contents::<Growing>(&damaged, other);
                if n == m {
                    let error = found.unwrap_err();
                    let range = strings.data_offset().0..=strings.end().0;
                    assert!(range.contains(&error.offset().0), "{name}: {error}");
                } else {
                    assert_eq!(found, contents::<Growing>(&trace, other), "{name}");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn generations_before_a_cut_are_whole(trace in trace(), cut in any::<Index>()) {
        let cut = HEADER_LEN + cut.index(trace.bytes.len() - HEADER_LEN);
        let whole = Trace::new(&trace.bytes).unwrap();
        let cut_trace = Trace::new(&trace.bytes[..cut]).unwrap();
        let mut found = cut_trace.generations();
        let all = generations(&whole);
        let (chunks, _) = naive::walk(&trace.bytes[..cut], HEADER_LEN);
        let read = chunks.last().map_or(HEADER_LEN, naive::Chunk::end) as u64;
        for expected in all.iter().filter(|g| g.end.0 <= cut as u64) {
            // Before 1.26 the batch that follows says that a generation is complete. Here it is cut.
            let unknown = whole.version() < Version::Go126
                && expected.end.0 == read
                && read < cut as u64;
            let mut known = *expected;
            known.complete = !unknown;
            prop_assert_eq!(found.next(), Ok(Some(known)));
            prop_assert_eq!(
                contents::<Growing>(&cut_trace, expected).unwrap(),
                contents::<Growing>(&whole, expected).unwrap()
            );
        }
        // Then what was cut, if a batch of it is whole, and why it is not complete.
        loop {
            match found.next() {
                Ok(Some(partial)) => {
                    prop_assert!(all.iter().any(|g| g.start == partial.start));
                    prop_assert!(partial.end.0 <= cut as u64);
                }
                // Before 1.26 the end of a batch may be that of the trace.
                Ok(None) => break,
                Err(error) => {
                    let kinds = [ErrorKind::UnexpectedEnd, ErrorKind::IncompleteGeneration];
                    prop_assert!(kinds.contains(&error.kind()));
                    prop_assert_eq!(error.offset().0, cut as u64);
                    break;
                }
            }
        }
        prop_assert_eq!(found.next(), Ok(None));
    }

    /// Fixed tables are those that grow, or full; errors are the same and stand in the trace.
    #[test]
    fn damaged_traces_have_the_same_fixed_and_growing_tables(bytes in damaged()) {
        let Ok(trace) = Trace::new(&bytes) else { return Ok(()) };
        let mut count = 0;
        let mut found = trace.generations();
        loop {
            let generation = match found.next() {
                Ok(Some(generation)) => generation,
                Ok(None) => break,
                Err(error) => {
                    prop_assert!(error.offset().0 <= trace.len(), "{}", error);
                    continue;
                }
            };
            count += 1;
            prop_assert!(count <= bytes.len(), "more generations than the bytes can hold");
            let growing = contents::<Growing>(&trace, &generation);
            prop_assert_eq!(&contents::<Large>(&trace, &generation), &growing);
            if let Err(error) = growing {
                prop_assert!(error.offset().0 <= generation.end.0, "{}", error);
                prop_assert!(error.offset() >= generation.start, "{}", error);
            }
        }
    }
}
