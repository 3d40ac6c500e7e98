//! Nothing is allocated with fixed tables, and nothing for each event with growing ones.

use crate::common;

use common::TRACES;
use common::heap::allocations;
use gotrace::recorder::{FlightRecorder, FlightRecorderConfig};
use gotrace::wire::{Chunk, Contents, Encoder, TimedEvent};
use gotrace::{Details, Error, Fixed, Reader, Trace, generation::GenerationTables};
use std::fmt::{self, Write as _};

/// Room for any fixture.
type Large = Fixed<4096, 1024, 1024, 64, 64, 64, 2048, 1024, 512>;

fn records(trace: &Trace<'_>) -> Result<usize, Error> {
    let mut buffer = [0; 8192];
    let mut count = 0;
    for chunk in trace.batches() {
        let Chunk::Batch(batch) = chunk? else {
            continue;
        };
        for record in batch.records() {
            if let gotrace::wire::Record::Event(event) = record? {
                let mut out = Encoder::new(&mut buffer);
                out.event(&TimedEvent { dt: 1, ..event })?;
            }
            count += 1;
        }
    }
    Ok(count)
}

fn tables(trace: &Trace<'_>) -> Result<usize, Error> {
    let mut count = 0;
    for generation in trace.generations() {
        let tables = GenerationTables::<Large>::load(trace, &generation?)?;
        count += tables.strings().count() + tables.samples().count();
        count += tables.stacks().flat_map(|s| s.frames()).count();
        count += tables.experimental_batches().count();
    }
    Ok(count)
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| Box::new(1)).1, 1);
    assert_eq!(allocations(|| vec![1, 2, 3].len()).1, 1);
}

#[test]
fn decoding_with_fixed_tables_allocates_nothing() {
    for fixture in &*TRACES {
        let trace = Trace::new(&fixture.bytes).unwrap();
        let (found, allocated) = allocations(|| (records(&trace), tables(&trace)));
        assert!(found.0.unwrap() > 100 && found.1.unwrap() > 100);
        assert_eq!(allocated, 0, "{}", fixture.fixture.name);
    }
}

#[test]
fn reading_with_fixed_tables_allocates_nothing() {
    for fixture in &*TRACES {
        let trace = Trace::new(&fixture.bytes).unwrap();
        // In a box only because a test's stack is small.
        let mut reader = Box::new(Reader::<Large>::new(&trace));
        let (events, allocated) = allocations(|| {
            let mut events = 0;
            while let Some(event) = reader.next()? {
                std::hint::black_box(event.details());
                events += 1;
            }
            Ok::<_, Error>(events)
        });
        assert!(events.unwrap() > 100);
        assert_eq!(allocated, 0, "{}", fixture.fixture.name);
    }
}

/// Takes text, and keeps only its length.
struct Sink(usize);

impl fmt::Write for Sink {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

#[test]
fn showing_events_and_their_stacks_allocates_nothing() {
    for fixture in &*TRACES {
        let trace = Trace::new(&fixture.bytes).unwrap();
        let mut reader = Box::new(Reader::<Large>::new(&trace));
        let mut sink = Sink(0);
        let (shown, allocated) = allocations(|| {
            while let Some(event) = reader.next()? {
                write!(sink, "{event} {event:?}").unwrap();
                if let Details::Sync(sync) = event.details() {
                    sink.0 += sync.experimental_batches().count();
                }
                for frame in event.stack().into_iter().flat_map(|s| s.frames()) {
                    write!(sink, "{frame:?}").unwrap();
                }
            }
            Ok::<_, Error>(())
        });
        shown.unwrap();
        assert!(sink.0 > 10_000);
        assert_eq!(allocated, 0, "{}", fixture.fixture.name);
    }
}

#[test]
fn errors_and_going_on_after_them_allocate_nothing() {
    let mut bytes = common::fixture("annotate-go1.27").bytes();
    // An event type that there is not, in the second of several generations.
    let victim = {
        let trace = Trace::new(&bytes).unwrap();
        let second = trace.generations().nth(1).unwrap().unwrap();
        let mut batches = trace.batches_from(second.start);
        batches.find_map(|chunk| match chunk.unwrap() {
            Chunk::Batch(b) if b.contents() == Contents::Events => Some(b.data_offset().0),
            _ => None,
        })
    };
    bytes[victim.unwrap() as usize] = 0x7f;
    let trace = Trace::new(&bytes).unwrap();
    let mut reader = Box::new(Reader::<Large>::new(&trace));
    let ((error, more), allocated) = allocations(|| {
        let error = loop {
            match reader.next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("no error"),
                Err(error) => break error,
            }
        };
        write!(Sink(0), "{error} {error:?}").unwrap();
        (error, reader.skip_generation())
    });
    assert_eq!(Some(error.offset().0), victim);
    assert!(more);
    assert_eq!(allocated, 0);
}

/// Recording, writing a snapshot, reading it where it stands, recovery, and going on.
#[test]
fn a_flight_recorder_allocates_nothing() {
    for fixture in &*TRACES {
        let mut arena = vec![0; 400_000];
        let ((recorded, events), allocated) = allocations(|| {
            let config = FlightRecorderConfig {
                max_bytes: 30_000,
                ..FlightRecorderConfig::default()
            };
            let mut recorder = FlightRecorder::new(&mut arena[..], config).unwrap();
            let mut recorded = 0;
            // Pieces; and again, as one.
            for size in [700, usize::MAX] {
                for piece in fixture.bytes.chunks(size) {
                    recorder.write(piece).unwrap();
                }
                recorder.end_generation().unwrap();
                recorded += recorder.status().recorded.generations;
                recorder.restart();
            }
            #[cfg(feature = "std")]
            recorder.snapshot().write_to(std::io::sink()).unwrap();
            let mut events = 0u64;
            if let Ok(trace) = recorder.snapshot().trace() {
                events += records(&trace).unwrap() as u64;
            }
            let recovered = FlightRecorder::recover(recorder.arena()).unwrap();
            assert_eq!(recovered.damage().count(), 0);
            assert_eq!(recovered.snapshot().len(), recorder.snapshot().len());
            let recorder = FlightRecorder::resume(recorder.into_arena(), config).unwrap();
            std::hint::black_box(recorder.snapshot());
            (recorded, events)
        });
        let name = &fixture.fixture.name;
        assert!(recorded > 0 && events > 100, "{name}: {events} events");
        assert_eq!(allocated, 0, "{name}");
    }
}

/// Tables grow by doubling: that is all.
#[cfg(feature = "alloc")]
#[test]
fn reading_with_growing_tables_allocates_for_the_tables_alone() {
    for fixture in &*TRACES {
        let trace = Trace::new(&fixture.bytes).unwrap();
        let (events, allocated) = allocations(|| {
            let mut events = 0u64;
            let mut reader = trace.reader();
            while let Some(event) = reader.next()? {
                std::hint::black_box(event.details());
                events += 1;
            }
            Ok::<_, Error>(events)
        });
        let name = &fixture.fixture.name;
        let events = events.unwrap();
        assert!(allocated < 200, "{name}: {allocated} for {events} events");
    }
}

#[cfg(feature = "alloc")]
mod growing {
    use crate::common::heap::allocations;
    use gotrace::{Growing, Reader, Trace, tables::Storage, wire};
    use std::fmt::Write as _;

    /// A trace of two generations alike, in which a goroutine does everything `times` times.
    fn busy(times: usize) -> Vec<u8> {
        let mut text = String::from("Trace Go1.23\n");
        for generation in 1..=2 {
            let head = |m: u64| format!("EventBatch gen={generation} m={m} time=10\n");
            text += &head(u64::MAX);
            text += "Frequency freq=1000000000\n";
            text += &head(u64::MAX);
            text += "Strings\nString id=1\n\tdata=\"one\"\n";
            text += &head(u64::MAX);
            text += "CPUSamples\n";
            for at in 0..times {
                writeln!(text, "CPUSample time={at} m=0 p=0 g=1 stack=0").unwrap();
            }
            for at in 0..times {
                if at % 100 == 0 {
                    text += &head(0);
                }
                if at == 0 {
                    text += "ProcStatus dt=1 p=0 pstatus=1\nGoStatus dt=1 g=1 m=0 gstatus=2\n";
                }
                let (g, unblocked, proc) = (at + 2, 2 * at + 1, 2 * at);
                writeln!(
                    text,
                    "GoCreate dt=1 new_g={g} new_stack=0 stack=0
                     UserTaskBegin dt=1 task={g} parent_task=0 name_string=1 stack=0
                     UserRegionBegin dt=1 task=0 name_string=1 stack=0
                     STWBegin dt=1 kind_string=1 stack=0
                     STWEnd dt=1
                     UserRegionEnd dt=1 task=0 name_string=1 stack=0
                     GoSyscallBegin dt=1 p_seq={} stack=0
                     GoSyscallEnd dt=1
                     GoBlock dt=1 reason_string=1 stack=0
                     GoStart dt=1 g={g} g_seq=1
                     GoUnblock dt=1 g=1 g_seq={unblocked} stack=0
                     GoDestroy dt=1
                     GoStart dt=1 g=1 g_seq={}
                     UserTaskEnd dt=1 task={g} stack=0
                     ProcStop dt=1
                     ProcStart dt=1 p=0 p_seq={}",
                    proc + 1,
                    unblocked + 1,
                    proc + 2,
                )
                .unwrap();
            }
        }
        wire::assemble(&text, None).unwrap()
    }

    /// For each generation, how often its events asked for memory, how often its sync event did,
    /// and how many events there were.
    fn by_generation<S: Storage>(bytes: &[u8]) -> Vec<(u64, u64, u64)> {
        let trace = Trace::new(bytes).unwrap();
        let mut reader = Reader::<S>::new(&trace);
        let mut all = Vec::with_capacity(64);
        loop {
            let (event, count) = allocations(|| reader.next().unwrap());
            match event.map(|event| event.kind()) {
                None => return all,
                Some(gotrace::EventKind::Sync) => all.push((0, count, 0)),
                Some(_) => {
                    let last = all.last_mut().unwrap();
                    last.0 += count;
                    last.2 += 1;
                }
            }
        }
    }

    #[test]
    fn how_often_memory_is_asked_for_does_not_depend_on_the_number_of_events() {
        let short = by_generation::<Growing>(&busy(40));
        let long = by_generation::<Growing>(&busy(3000));
        assert_eq!((short.len(), long.len()), (3, 3));
        assert!(
            long[0].2 > 70 * short[0].2 && long[0].2 > 50_000,
            "{long:?}"
        );
        // The tables of what is alive grow once.
        assert!(short[0].0 > 0);
        assert_eq!(long[0].0, short[0].0);
        assert_eq!((long[1].0, short[1].0), (0, 0));
        // What grows with a generation's size grows by doubling, and its memory is kept.
        assert!(long[0].1 < short[0].1 + 30, "{short:?} {long:?}");
        assert_eq!((long[1].1, short[1].1), (0, 0));
    }

    #[test]
    fn a_real_trace_asks_for_memory_only_to_grow_tables() {
        let http = include_bytes!("../fixtures/http-go1.27.trace");
        let generations = by_generation::<Growing>(http);
        let events: u64 = generations.iter().map(|g| g.2).sum();
        let asked: u64 = generations.iter().map(|g| g.0).sum();
        assert!(events > 50_000, "{generations:?}");
        assert!(asked < 40, "{generations:?}");
    }

    #[cfg(feature = "std")]
    #[test]
    fn nor_does_a_stream_ask_for_memory_for_its_events() {
        let bytes = busy(3000);
        let mut reader = gotrace::StreamReader::new(&bytes[..]).unwrap();
        let mut generations = Vec::with_capacity(8);
        loop {
            let (event, count) = allocations(|| reader.next().unwrap());
            match event.map(|event| event.kind()) {
                None => break,
                Some(gotrace::EventKind::Sync) => generations.push(0),
                Some(_) => *generations.last_mut().unwrap() += count,
            }
        }
        let slice = by_generation::<Growing>(&bytes);
        assert_eq!(generations, [slice[0].0, 0, 0]);
    }
}
