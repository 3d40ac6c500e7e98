//! The ordered reader: the same events as Go's, however the bytes come.
#![cfg(feature = "std")]

use crate::common;

use common::damage::Damage;
use common::live::RandomReads;
use gotrace::wire::{HEADER_LEN, Version};
use gotrace::{
    Error, ErrorKind, Fixed, Growing, ReadError, Reader, StreamReader, Trace,
    tables::{Capacities, Storage},
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::fmt::Write as _;
use std::io::{self, Read};

/// All events as Go prints them, how many there were, and the error that ended the reading.
#[derive(Debug, PartialEq)]
struct Run {
    text: String,
    events: u64,
    error: Option<Error>,
}

fn read_slice<S: Storage>(trace: &[u8]) -> Run {
    match Trace::new(trace) {
        Ok(trace) => drain(Box::new(Reader::<S>::new(&trace))),
        Err(error) => Run {
            text: String::new(),
            events: 0,
            error: Some(error),
        },
    }
}

#[expect(
    clippy::boxed_local,
    reason = "a reader of fixed tables is too large for a test's stack"
)]
fn drain<S: Storage>(mut reader: Box<Reader<'_, S>>) -> Run {
    let mut run = Run {
        text: String::new(),
        events: 0,
        error: None,
    };
    loop {
        match reader.next() {
            Ok(Some(event)) => {
                writeln!(run.text, "{event}").unwrap();
                run.events += 1;
            }
            Ok(None) => return run,
            Err(error) => {
                assert_eq!(run.error.replace(error), None, "an error is given once");
            }
        }
    }
}

fn read_stream(source: impl Read) -> Run {
    let mut run = Run {
        text: String::new(),
        events: 0,
        error: None,
    };
    let mut reader = match StreamReader::new(source) {
        Ok(reader) => reader,
        Err(ReadError::Trace(error)) => {
            run.error = Some(error);
            return run;
        }
        Err(error) => panic!("{error}"),
    };
    loop {
        match reader.next() {
            Ok(Some(event)) => {
                writeln!(run.text, "{event}").unwrap();
                run.events += 1;
            }
            Ok(None) => return run,
            Err(ReadError::Trace(error)) => assert_eq!(run.error.replace(error), None),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Gives the bytes in reads of the sizes given, over and over.
struct Pieces<'t> {
    bytes: &'t [u8],
    sizes: std::iter::Cycle<std::vec::IntoIter<usize>>,
}

impl<'t> Pieces<'t> {
    fn new(bytes: &'t [u8], sizes: Vec<usize>) -> Self {
        Pieces {
            bytes,
            sizes: sizes.into_iter().cycle(),
        }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self
            .sizes
            .next()
            .unwrap_or(1)
            .min(buffer.len())
            .min(self.bytes.len());
        let (now, later) = self.bytes.split_at(size);
        buffer[..size].copy_from_slice(now);
        self.bytes = later;
        Ok(size)
    }
}

fn v2_fixtures() -> impl Iterator<Item = common::Fixture> {
    common::fixtures()
        .into_iter()
        .filter(|f| f.go_version >= 22)
}

/// Small fixtures of every version, for tests that read each many times.
fn small_fixtures() -> Vec<Vec<u8>> {
    let small = v2_fixtures()
        .map(|f| f.bytes())
        .filter(|bytes| bytes.len() < 25_000);
    let small: Vec<_> = small.collect();
    assert!(small.len() >= 15, "{}", small.len());
    small
}

#[test]
fn every_fixture_gives_the_events_that_go_gives() {
    let mut compared = 0;
    for (fixture, go) in common::fixtures().iter().zip(common::expected()) {
        assert_eq!(fixture.name, go.name);
        if go.parsed.is_none() {
            continue;
        }
        let trace = fixture.bytes();
        let run = read_slice::<Growing>(&trace);
        assert_eq!(run.error, None, "{}", fixture.name);
        assert_eq!(run.events, go.verdict.events, "{}", fixture.name);
        assert_eq!(
            Some(common::sha256(run.text.as_bytes())),
            go.parsed,
            "{}",
            fixture.name
        );
        assert!(
            read_stream(&trace[..]) == run,
            "{}: the stream differs",
            fixture.name
        );
        compared += 1;
    }
    assert!(compared >= 40, "{compared}");
}

/// Capacities that hold every fixture.
type Roomy = Fixed<4096, 4096, 1024, 512, 64, 64, 2048, 1024, 512>;

#[test]
fn fixed_and_growing_tables_give_the_same_events() {
    // Debug builds keep a reader of this size on the stack several times over.
    let test = || {
        for fixture in v2_fixtures() {
            let trace = fixture.bytes();
            let fixed = read_slice::<Roomy>(&trace);
            assert_eq!(fixed.error, None, "{}", fixture.name);
            assert!(fixed == read_slice::<Growing>(&trace), "{}", fixture.name);
        }
    };
    std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(test)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn a_fixed_reader_takes_the_memory_that_is_documented() {
    macro_rules! check {
        ($($capacities:tt)*) => {{
            let documented = Capacities { $($capacities)* }.reader_size();
            let size = size_of::<Reader<'_, gotrace::tables! { $($capacities)* }>>();
            assert!(size <= documented, "{size} is more than {documented}");
            // On 64-bit targets it is exact, but for padding.
            assert!(cfg!(target_pointer_width = "32") || size + 64 >= documented, "{size}, {documented}");
        }};
    }
    check! { ..Capacities::NONE }
    check! { ..Capacities::SMALL }
    check! { strings: 7, stacks: 5, samples: 3, batches: 1, threads: 9, procs: 11, goroutines: 13, regions: 15, tasks: 17 }
    check! { strings: 4096, stacks: 4096, goroutines: 2048, ..Capacities::SMALL }
}

/// What a reader needs: that much is enough, and one entry less of any table is not.
#[test]
fn needs_are_exact() {
    let read = |bytes: &[u8]| {
        let trace = Trace::new(bytes).unwrap();
        let mut reader = trace.reader();
        while reader.next().unwrap().is_some() {}
        reader.needs()
    };
    for fixture in v2_fixtures() {
        let trace = fixture.bytes();
        let mut stream = gotrace::StreamReader::new(&trace[..]).unwrap();
        while stream.next().unwrap().is_some() {}
        assert_eq!(stream.needs(), read(&trace), "{}", fixture.name);
    }
    let bytes = common::fixture("coro-go1.27").bytes();
    const NEEDS: Capacities = Capacities {
        strings: 73,
        stacks: 23,
        samples: 0,
        batches: 3,
        threads: 3,
        procs: 2,
        goroutines: 8,
        regions: 1,
        tasks: 0,
    };
    assert_eq!(read(&bytes), NEEDS);
    assert_eq!(
        read_slice::<gotrace::tables! { ..NEEDS }>(&bytes).error,
        None
    );
    macro_rules! one_less {
        ($($table:ident $name:ident),*) => {$({
            const LESS: usize = NEEDS.$table - 1;
            let run = read_slice::<gotrace::tables! { $table: LESS, ..NEEDS }>(&bytes);
            let full = ErrorKind::TableFull(gotrace::error::Table::$name);
            assert_eq!(run.error.map(|e| (e.kind(), e.value())), Some((full, LESS as u64)));
        })*};
    }
    one_less!(
        strings Strings, stacks Stacks, batches Batches, threads Threads, procs Procs,
        goroutines Goroutines, regions Regions
    );
}

/// A reader that went on after damage needs what it needed before, too.
#[test]
fn needs_survive_a_generation_that_is_skipped() {
    let bytes = common::fixture("annotate-go1.27").bytes();
    let trace = Trace::new(&bytes).unwrap();
    let mut reader = trace.reader();
    while reader.generation().is_none() {
        reader.next().unwrap();
    }
    for _ in 0..20 {
        reader.next().unwrap();
    }
    let before = reader.needs();
    assert!(before.goroutines > 1 && before.strings > 1);
    assert!(reader.skip_generation());
    assert_eq!(reader.needs(), before);
}

#[test]
fn a_full_table_is_named() {
    use gotrace::{ErrorKind::TableFull, error::Table};
    let trace = common::fixture("annotate-go1.27").bytes();
    let kind = |run: Run| run.error.map(|e| (e.kind(), e.value()));
    type Ample<const N: usize> = Fixed<512, 512, 16, 64, 32, 32, 64, 64, N>;
    assert_eq!(kind(read_slice::<Ample<64>>(&trace)), None);
    assert_eq!(
        kind(read_slice::<Ample<2>>(&trace)),
        Some((TableFull(Table::Tasks), 2))
    );
    macro_rules! check {
        ($trace:ident, $table:ident, $limit:literal, $($capacity:literal),*) => {
            let run = read_slice::<Fixed<$($capacity),*>>(&$trace);
            assert_eq!(kind(run), Some((TableFull(Table::$table), $limit)));
        };
    }
    check!(trace, Strings, 30, 30, 512, 16, 64, 32, 32, 64, 64, 64);
    check!(trace, Stacks, 20, 512, 20, 16, 64, 32, 32, 64, 64, 64);
    check!(trace, Batches, 3, 512, 512, 16, 3, 32, 32, 64, 64, 64);
    check!(trace, Threads, 2, 512, 512, 16, 64, 2, 32, 64, 64, 64);
    check!(trace, Procs, 1, 512, 512, 16, 64, 32, 1, 64, 64, 64);
    check!(trace, Goroutines, 4, 512, 512, 16, 64, 32, 32, 4, 64, 64);
    check!(trace, Regions, 1, 512, 512, 16, 64, 32, 32, 64, 1, 64);
    let profile = common::fixture("profile-go1.27").bytes();
    check!(profile, Samples, 9, 512, 512, 9, 64, 32, 32, 64, 64, 64);
}

#[test]
fn a_generation_can_be_read_on_its_own() {
    let mut started = 0;
    for fixture in v2_fixtures() {
        let bytes = fixture.bytes();
        let trace = Trace::new(&bytes).unwrap();
        for generation in trace.generations().map(Result::unwrap) {
            let reader = Reader::<Growing>::starting_at(&trace, &generation);
            let run = drain(Box::new(reader));
            let mut rest = trace.version().header().to_vec();
            rest.extend(&bytes[generation.start.0 as usize..]);
            let alone = read_slice::<Growing>(&rest);
            assert_eq!(
                run.text, alone.text,
                "{} {}",
                fixture.name, generation.number
            );
            assert_eq!(run.error.map(|e| e.kind()), alone.error.map(|e| e.kind()));
            assert_eq!(run.error, None, "{} {}", fixture.name, generation.number);
            started += 1;
        }
    }
    assert!(started > 50, "{started}");
}

#[test]
fn a_trace_in_pieces_gives_the_same_events() {
    for fixture in v2_fixtures() {
        let bytes = fixture.bytes();
        let trace = Trace::new(&bytes).unwrap();
        let mut cuts = vec![0];
        for batch in trace.batches() {
            let gotrace::wire::Chunk::Batch(batch) = batch.unwrap() else {
                continue;
            };
            cuts.push(batch.end().0 as usize);
        }
        cuts.push(bytes.len());
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
        let pieced = Trace::from_pieces(&pieces).unwrap();
        let run = drain(Box::new(pieced.reader()));
        assert!(run == read_slice::<Growing>(&bytes), "{}", fixture.name);
    }
}

#[test]
fn interrupted_reads_are_tried_again() {
    for (fixture, seed) in v2_fixtures().zip(1..) {
        let bytes = fixture.bytes();
        let run = read_stream(RandomReads::new(&bytes[..], seed));
        assert!(run == read_slice::<Growing>(&bytes), "{}", fixture.name);
    }
}

/// Gives some bytes, and then nothing but an error.
struct Broken<'t>(&'t [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            Ok(0) if !buffer.is_empty() => Err(io::ErrorKind::ConnectionReset.into()),
            read => read,
        }
    }
}

/// The events that came whole are given, and the error is the source's.
#[test]
fn a_read_that_fails_halfway_is_told_after_what_came_before() {
    for fixture in v2_fixtures() {
        let bytes = fixture.bytes();
        let all = read_slice::<Growing>(&bytes).text;
        let trace = Trace::new(&bytes).unwrap();
        let ends = trace.generations().map(|g| g.unwrap().end.0 as usize);
        for end in ends {
            for len in [end - 1, end, end.min(bytes.len() - 1) + 1] {
                let mut reader = StreamReader::new(Broken(&bytes[..len])).unwrap();
                let mut text = String::new();
                let error = loop {
                    match reader.next() {
                        Ok(Some(event)) => writeln!(text, "{event}").unwrap(),
                        Ok(None) => panic!("{}: no error after {len} bytes", fixture.name),
                        Err(error) => break error,
                    }
                };
                let kind = match error {
                    ReadError::Io(error) => error.kind(),
                    other => panic!("{other}"),
                };
                assert_eq!(kind, io::ErrorKind::ConnectionReset);
                assert!(reader.next().unwrap().is_none());
                // The last is the sync event of an error.
                let last = text.trim_end().rfind('\n').map_or(0, |at| at + 1);
                assert!(all.starts_with(&text[..last]), "{}, {len}", fixture.name);
                // All of the generations that are whole.
                let whole = read_slice::<Growing>(&bytes[..end]).text;
                let last = whole.trim_end().rfind('\n').map_or(0, |at| at + 1);
                assert!(
                    len < end || text.starts_with(&whole[..last]),
                    "{}, {len}",
                    fixture.name
                );
            }
        }
    }
    // Not even a header.
    let error = StreamReader::new(Broken(&b"go 1.26"[..])).err().unwrap();
    assert!(matches!(error, ReadError::Io(_)), "{error}");
}

#[test]
fn after_damage_the_next_generation_can_be_read() {
    let bytes = common::fixture("annotate-go1.25").bytes();
    let trace = Trace::new(&bytes).unwrap();
    let generations: Vec<_> = trace.generations().map(Result::unwrap).collect();
    assert!(generations.len() >= 3);
    let damaged = &generations[1];
    let mut bytes = bytes.clone();
    // An event type that does not exist, in the middle of the second generation.
    let victim = Trace::new(&bytes)
        .unwrap()
        .batches_from(damaged.start)
        .find_map(|chunk| match chunk.unwrap() {
            gotrace::wire::Chunk::Batch(b) if b.contents() == gotrace::wire::Contents::Events => {
                Some(b.data_offset().0 as usize)
            }
            _ => None,
        });
    bytes[victim.unwrap()] = 0x7f;
    let trace = Trace::new(&bytes).unwrap();
    let mut reader = trace.reader();
    let mut seen = vec![];
    let error = loop {
        match reader.next() {
            Ok(Some(_)) => seen.push(reader.generation().unwrap()),
            Ok(None) => panic!("no error"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.offset().0 as usize, victim.unwrap());
    assert_eq!(reader.next().map(|e| e.is_some()), Ok(false));
    assert!(seen.iter().all(|g| *g == generations[0].number));
    assert!(reader.skip_generation());
    assert_eq!(reader.generations_skipped(), 1);
    let mut after = 0;
    while reader.next().unwrap().is_some() {
        assert!(reader.generation().unwrap() > damaged.number);
        after += 1;
    }
    let run = drain(Box::new(Reader::<Growing>::starting_at(
        &trace,
        &generations[2],
    )));
    assert_eq!(after, run.events);
    assert!(!reader.skip_generation());
}

fn damaged(seed: (usize, Vec<Damage>), fixtures: &[Vec<u8>]) -> Vec<u8> {
    let mut trace = fixtures[seed.0 % fixtures.len()].clone();
    for damage in seed.1 {
        trace = damage.apply(&trace);
    }
    if trace.len() <= HEADER_LEN {
        trace.push(0);
    }
    trace
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn damaged_or_not_a_stream_cut_anywhere_gives_what_the_slice_gives(
        which in any::<usize>(),
        damage in prop::collection::vec(common::damage(), 0..3),
        sizes in prop::collection::vec(prop_oneof![1usize..4, 1usize..5000], 1..8),
    ) {
        let trace = damaged((which, damage), &small_fixtures());
        let slice = read_slice::<Growing>(&trace);
        let stream = read_stream(Pieces::new(&trace, sizes));
        prop_assert_eq!(&slice.error, &stream.error);
        prop_assert!(slice == stream);
    }

    #[test]
    fn generations_before_damage_are_those_of_the_sound_trace(
        which in any::<usize>(),
        damage in common::damage(),
    ) {
        let fixtures = small_fixtures();
        let sound = &fixtures[which % fixtures.len()];
        let trace = damaged((which, vec![damage]), &fixtures);
        let run = read_slice::<Growing>(&trace);
        // A record of two bytes gives three events at most.
        prop_assert!(run.events <= 2 * trace.len() as u64);
        let same = sound.iter().zip(&trace).take_while(|(a, b)| a == b).count();
        let sound = Trace::new(sound).unwrap();
        // Before there were markers, a generation ends where the next one begins.
        if sound.version() >= Version::Go126 {
            let ends = sound.generations().map(|g| g.unwrap().end.0 as usize);
            if let Some(end) = ends.take_while(|end| *end <= same).last() {
                let before = read_slice::<Growing>(&trace[..end]).text;
                // All but the sync event at the end of a trace.
                let last = before.trim_end().rfind('\n').map_or(0, |at| at + 1);
                prop_assert!(run.text.starts_with(&before[..last]));
            }
        }
    }
}

/// Asks Go's own reader about damaged traces: the same verdict after the same number of events.
/// The differences that are deliberate are those of `src/docs/differences.md`.
#[test]
fn damaged_traces_are_refused_where_go_refuses_them() {
    let Some(go) = common::go::Go::find() else {
        return;
    };
    let reference = go.reference();
    let mut peer = reference.serve();
    let fixtures = small_fixtures();
    let cases = std::env::var("GOTRACE_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(6000);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = (
        any::<usize>(),
        prop::collection::vec(common::damage(), 1..3),
    );
    let (mut refused, mut accepted) = (0, 0);
    for case in 0..cases {
        let seed = strategy.new_tree(&mut runner).unwrap().current();
        let described = format!("{seed:?}");
        let trace = damaged(seed, &fixtures);
        let ours = read_slice::<Growing>(&trace);
        let theirs = peer.verdict(&trace);
        if ours
            .error
            .is_some_and(|e| e.kind() == ErrorKind::ReservedId)
            && ours.events <= theirs.events
        {
            continue;
        }
        let gained = match ours.error.map(|e| e.kind()) {
            Some(
                ErrorKind::UnknownEvent
                | ErrorKind::UntimedEvent
                | ErrorKind::BatchOverrun
                | ErrorKind::VarintOverflow,
            ) => 0..=3,
            _ => 0..=0,
        };
        // A section that ends where a number should begin is, to Go, the end of the trace.
        let silent = theirs.error.is_none()
            && ours
                .error
                .is_some_and(|e| e.kind() == ErrorKind::BatchOverrun);
        let same = (ours.error.is_some() == theirs.error.is_some() || silent)
            && ours
                .events
                .checked_sub(theirs.events)
                .is_some_and(|n| gained.contains(&n));
        assert!(
            same,
            "case {case} {described}: {} events and {:?}, Go: {theirs:?}",
            ours.events, ours.error
        );
        if ours.error.is_some() {
            refused += 1;
        } else {
            accepted += 1;
        }
    }
    eprintln!("{refused} refused, {accepted} accepted");
    assert!(refused > cases / 3 && accepted > cases / 50);
}
