//! What is written is what is read: fixtures byte by byte, arbitrary records, batches filled in
//! place, and what a version does not have.

use crate::common;

use common::{TRACES, number};
use gotrace::ids::{Experiment, GenerationId, ThreadId};
use gotrace::time::{Timestamp, WallTime};
use gotrace::wire::{
    BatchEncoder, BatchHead, Batches, Chunk, Class, Encoder, EventType, Events, MAX_BATCH_SIZE,
    RawFrame, Record, Records, TimedEvent, Version, timed, varint,
};
use gotrace::{Error, ErrorKind, GoId, GoStr, Trace};
use proptest::prelude::*;

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> (ErrorKind, u64) {
    let error = result.unwrap_err();
    (error.kind(), error.value())
}

#[test]
fn fixtures_are_written_again_byte_by_byte() {
    let mut padded = 0;
    for trace in &*TRACES {
        let name = &trace.fixture.name;
        let whole = Trace::new(&trace.bytes).unwrap();
        let mut buffer = vec![0; trace.bytes.len()];
        let mut out = Encoder::for_version(&mut buffer, whole.version());
        out.header(whole.version()).unwrap();
        for chunk in whole.batches() {
            let Chunk::Batch(batch) = chunk.unwrap() else {
                out.end_of_generation().unwrap();
                continue;
            };
            padded += usize::from(batch.head.header_len > batch.head.shortest_len());
            let mut payload = vec![0; batch.data.len()];
            let mut records = Encoder::for_version(&mut payload, whole.version());
            for record in batch.records() {
                let record = record.unwrap();
                let before = records.len();
                records.record(&record).unwrap();
                assert_eq!(records.len() - before, record.encoded_len(), "{name}");
            }
            let data = match batch.head.experiment {
                Some(_) => batch.data,
                None => records.into_bytes(),
            };
            out.batch(&batch.head, data).unwrap();
        }
        assert!(out.bytes() == trace.bytes, "{name}");
    }
    assert!(padded > 100, "{padded}");
}

/// Also the records of padded numbers, as the frames of stacks may have them.
#[test]
fn frames_stay_as_they_were_read() {
    let bytes = [3, 0x81, 0, 1, 0x85, 0, 2, 0x83, 0x80, 0, 4];
    let record = Records::new(&bytes, gotrace::ids::Offset(0))
        .next()
        .unwrap()
        .unwrap();
    let mut buffer = [0; 64];
    let mut out = Encoder::new(&mut buffer);
    out.record(&record).unwrap();
    assert_eq!(out.bytes(), [3, 1, 1, 0x85, 0, 2, 0x83, 0x80, 0, 4]);
    assert_eq!(out.len(), record.encoded_len());
}

fn timed_types() -> Vec<EventType> {
    let timed = |ty: &EventType| ty.spec().unwrap().class == Class::Timed;
    EventType::ALL.iter().copied().filter(timed).collect()
}

fn event() -> impl Strategy<Value = TimedEvent> {
    let ty = prop::sample::select(timed_types());
    let args = [number(), number(), number(), number()];
    (ty, number(), args).prop_map(|(ty, dt, mut args)| {
        args.iter_mut()
            .skip(ty.timed_args() - 1)
            .for_each(|arg| *arg = 0);
        TimedEvent::new(ty, dt, args)
    })
}

proptest! {
    /// Wherever the end of the buffer is.
    #[test]
    fn events_are_read_as_they_were_written(
        events in prop::collection::vec(event(), 1..20),
        room in 0..300usize,
    ) {
        let mut buffer = vec![0xaa; room];
        let mut out = Encoder::new(&mut buffer);
        let mut written = Vec::new();
        for event in &events {
            let before = out.bytes().to_vec();
            let len = event.encoded_len();
            match out.event(event) {
                Ok(()) => {
                    written.push(*event);
                    prop_assert_eq!(out.len(), before.len() + len);
                }
                Err(error) => {
                    prop_assert_eq!((error.kind(), error.value()), (ErrorKind::NoSpace, len as u64));
                    prop_assert!(before.len() + len > room);
                    prop_assert_eq!(out.bytes(), before);
                }
            }
        }
        let read: Vec<_> = Events::new(out.bytes(), gotrace::ids::Offset(0)).map(Result::unwrap).collect();
        prop_assert_eq!(read, written);
    }

    /// And so are batches filled in place, with times instead of differences.
    #[test]
    fn batches_filled_in_place_are_what_was_put_in(
        generation in number().prop_filter("a generation", |n| *n != 0),
        thread in number(),
        start in number(),
        events in prop::collection::vec((event(), any::<bool>()), 0..40),
        room in 50..400usize,
    ) {
        let head = BatchHead::new(
            GenerationId::new(generation).unwrap(),
            ThreadId::new(thread),
            Timestamp(start),
        );
        let mut batch = BatchEncoder::new(vec![0xaa; room], Version::CURRENT, &head).unwrap();
        prop_assert!(batch.is_empty());
        let mut now = start;
        let mut expected = Vec::new();
        for (event, at) in events {
            let before = batch.len();
            let time = event.dt;
            let event = match at {
                true => TimedEvent { dt: time.saturating_sub(now), ..event },
                false => event,
            };
            let result = match at {
                true => batch.event_at(Timestamp(time), event),
                false => batch.record(&Record::Event(event)),
            };
            if result.is_ok() {
                now = now.wrapping_add(event.dt);
                expected.push(event);
            } else {
                prop_assert_eq!(batch.len(), before);
                prop_assert!(before + event.encoded_len() > room);
            }
            prop_assert_eq!(batch.time(), Timestamp(now));
        }
        let len = batch.len();
        let Ok(Some(Chunk::Batch(read))) = Batches::new(batch.finish()).next() else {
            return Err(TestCaseError::fail("no batch"));
        };
        prop_assert_eq!(read.head.total_len(), len);
        prop_assert_eq!((read.head.generation, read.head.thread, read.head.time),
            (head.generation, head.thread, head.time));
        let read: Vec<_> = Events::new(read.data, gotrace::ids::Offset(0)).map(Result::unwrap).collect();
        prop_assert_eq!(read, expected);
    }
}

#[test]
fn a_batch_has_at_most_64_kib() {
    let head = BatchHead::new(GenerationId::new(1).unwrap(), None, Timestamp(5));
    let mut batch = BatchEncoder::new(vec![0; 100_000], Version::CURRENT, &head).unwrap();
    let stop = timed::ProcStop {}.after(1);
    let mut count = 0;
    while batch.event(&stop).is_ok() {
        count += 1;
    }
    assert_eq!(count * 2, MAX_BATCH_SIZE);
    let Ok(Some(Chunk::Batch(read))) = Batches::new(batch.finish()).next() else {
        panic!("no batch");
    };
    assert_eq!(read.data.len() as u64, MAX_BATCH_SIZE);
    // The next one in the same buffer.
    batch.restart(&head).unwrap();
    assert!(batch.is_empty());
    batch.write(|out| out.section(EventType::STRINGS)).unwrap();
    assert!(
        batch
            .write(|out| {
                out.string(1, GoStr::new(b"half"))?;
                out.string(2, GoStr::new(&[b'x'; 1025]))
            })
            .is_err()
    );
    batch
        .write(|out| out.string(1, GoStr::new(b"one")))
        .unwrap();
    assert_eq!(batch.finish()[13..], *b"\x87\x80\x00\x04\x05\x01\x03one");
}

#[test]
fn what_a_version_does_not_have_is_refused() {
    for version in [
        Version::Go122,
        Version::Go123,
        Version::Go125,
        Version::Go126,
    ] {
        for ty in timed_types() {
            let since = ty.spec().unwrap().since;
            let mut buffer = [0; 64];
            let mut out = Encoder::for_version(&mut buffer, version);
            let written = out.event(&TimedEvent::new(ty, 0, [0; 4]));
            if since <= version {
                assert_eq!(written, Ok(()), "{ty} {version}");
            } else {
                assert_eq!(
                    kind(written),
                    (ErrorKind::NotInVersion, ty.0.into()),
                    "{ty} {version}"
                );
                assert!(out.is_empty());
            }
        }
        let mut buffer = [0; 64];
        let mut out = Encoder::for_version(&mut buffer, version);
        assert_eq!(out.end_of_generation().is_ok(), version >= Version::Go126);
        assert_eq!(
            out.section(EventType::SYNC).is_ok(),
            version >= Version::Go125
        );
        let mut head = BatchHead::new(GenerationId::new(1).unwrap(), None, Timestamp(0));
        head.experiment = Some(Experiment::ALLOC_FREE);
        assert_eq!(out.batch(&head, &[]).is_ok(), version >= Version::Go123);
        assert_eq!(
            BatchEncoder::new([0; 64], version, &head).is_ok(),
            version >= Version::Go123
        );
    }
    // What no version has among timed events.
    let mut buffer = [0; 64];
    let mut out = Encoder::new(&mut buffer);
    for ty in [EventType::STRINGS, EventType(0), EventType(99)] {
        let event = TimedEvent::new(ty, 0, [0; 4]);
        assert_eq!(
            kind(out.event(&event)),
            (ErrorKind::UntimedEvent, ty.0.into())
        );
        assert_eq!(event.encoded_len(), 0);
    }
}

#[test]
fn sync_is_what_the_version_wants() {
    let wall = WallTime {
        seconds: -1,
        nanoseconds: 7,
    };
    for version in [
        Version::Go122,
        Version::Go123,
        Version::Go125,
        Version::Go126,
    ] {
        let mut buffer = [0; Encoder::SYNC_LEN];
        let mut out = Encoder::for_version(&mut buffer, version);
        out.sync(u64::MAX, u64::MAX, wall).unwrap();
        let records: Vec<_> = Records::new(out.bytes(), gotrace::ids::Offset(0))
            .map(Result::unwrap)
            .collect();
        let frequency = Record::Frequency(u64::MAX);
        if version < Version::Go125 {
            assert_eq!(records, [frequency]);
            continue;
        }
        let clocks = timed::ClockSnapshot {
            mono: u64::MAX,
            sec: u64::MAX,
            nsec: 7,
        }
        .after(0);
        assert_eq!(
            records,
            [
                Record::Section(EventType::SYNC),
                frequency,
                Record::Event(clocks)
            ]
        );
        // All or nothing.
        for room in 0..out.len() {
            let mut buffer = [0; Encoder::SYNC_LEN];
            let mut out = Encoder::for_version(&mut buffer[..room], version);
            assert!(out.sync(u64::MAX, u64::MAX, wall).is_err());
            assert!(out.is_empty());
        }
    }
}

/// The sizes that the documentation states are reached, and not exceeded.
#[test]
fn the_largest_records_have_the_sizes_stated() {
    let mut buffer = vec![0; 10_000];
    let mut len = |write: &dyn Fn(&mut Encoder<'_>) -> Result<(), Error>| {
        let mut out = Encoder::new(&mut buffer);
        write(&mut out).unwrap();
        out.len()
    };
    let most = TimedEvent::new(EventType::USER_LOG, u64::MAX, [u64::MAX; 4]);
    assert_eq!(len(&|out| out.event(&most)), TimedEvent::MAX_LEN);
    let frame = RawFrame {
        pc: u64::MAX,
        func: u64::MAX,
        file: u64::MAX,
        line: u64::MAX,
    };
    assert_eq!(
        len(&|out| out.stack(u64::MAX, [frame; 128].into_iter())),
        13 + 128 * 40
    );
    assert_eq!(
        len(&|out| out.string(u64::MAX, GoStr::new(&[b'x'; 1024]))),
        13 + 1024
    );
    assert_eq!(len(&|out| out.frequency(u64::MAX)), 11);
    let head = BatchHead {
        header_len: 1000,
        experiment: Some(Experiment(1)),
        ..BatchHead::new(
            GenerationId::new(u64::MAX).unwrap(),
            None,
            Timestamp(u64::MAX),
        )
    };
    assert_eq!(len(&|out| out.batch(&head, &[])), BatchHead::MAX_LEN);
}

#[test]
fn an_events_arguments_are_checked_by_type() {
    let start = timed::GoStart {
        g: GoId::new(300).unwrap(),
        g_seq: 2,
    };
    let mut buffer = [0; 8];
    let mut out = Encoder::new(&mut buffer);
    out.event(&start.after(1)).unwrap();
    let (number, len) = varint::encode(300);
    assert_eq!(out.bytes(), [&[16, 1], &number[..len], &[2]].concat());
}
