//! The wire format against a slow twin, on real traces and damaged ones; and back to bytes.

use crate::common;

use common::naive;
use common::{TRACES, damaged, number, trace};
use gotrace::wire::{
    Batch, BatchHead, Batches, Chunk, Encoder, EventType, Events, HEADER_LEN, RawFrame, Record,
    Records, SampleRecord, TimedEvent, Version, varint,
};
use gotrace::{
    Error, ErrorKind, GoId, GoStr, ProcId, ThreadId, Trace,
    ids::{Experiment, GenerationId, StackId},
    time::Timestamp,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Everything that a fallible iterator gives, and the error that ended it. It must end.
fn drain<T>(
    iterator: impl Iterator<Item = Result<T, Error>>,
    most: usize,
) -> (Vec<T>, Option<Error>) {
    let mut all = Vec::new();
    let mut iterator = iterator.fuse();
    let mut error = None;
    for item in &mut iterator {
        match item {
            Ok(item) => all.push(item),
            Err(e) => error = Some(e),
        }
        assert!(all.len() <= most, "more than the bytes can hold");
        if error.is_some() {
            break;
        }
    }
    assert!(iterator.next().is_none(), "nothing follows an error");
    (all, error)
}

fn fault(error: Error) -> naive::Fault {
    (error.kind(), error.offset().0)
}

/// A batch as the twin gives it.
fn as_naive(chunk: &Chunk<'_>) -> naive::Chunk {
    match chunk {
        Chunk::EndOfGeneration(at) => naive::Chunk::EndOfGeneration(at.0 as usize),
        Chunk::Batch(batch) => naive::Chunk::Batch(naive::Batch {
            offset: batch.offset.0 as usize,
            experiment: batch.head.experiment.map_or(0, |e| e.0),
            generation: batch.head.generation.get(),
            thread: batch.head.thread.map_or(u64::MAX, ThreadId::get),
            time: batch.head.time.0,
            data: batch.data_offset().0 as usize..batch.end().0 as usize,
        }),
    }
}

/// Compares the batches of a trace, and the events of each, with the twin's.
fn check_against_twin(bytes: &[u8]) {
    let Ok(trace) = Trace::new(bytes) else {
        return;
    };
    let (chunks, error) = drain(trace.batches(), bytes.len());
    let (expected, expected_fault) = naive::walk(bytes, HEADER_LEN);
    let seen: Vec<_> = chunks.iter().map(as_naive).collect();
    assert_eq!(seen, expected);
    assert_eq!(error.map(fault), expected_fault);
    for chunk in &chunks {
        let Chunk::Batch(batch) = chunk else { continue };
        assert_eq!(
            batch.data,
            &bytes[batch.data_offset().0 as usize..][..batch.data.len()]
        );
        check_events(batch.data, batch.data_offset().0);
        check_records(batch);
    }
}

/// Compares what the event decoder makes of any bytes with the twin, and so with `Records`.
fn check_events(data: &[u8], base: u64) {
    let (events, error) = drain(Events::new(data, base), data.len());
    let (expected, expected_fault) = naive::events(data);
    assert_eq!(events, expected);
    let expected_fault = expected_fault.map(|(kind, offset)| (kind, base + offset));
    assert_eq!(error.map(fault), expected_fault);

    // Records know more types. Up to the first of those they are events.
    let (records, records_error) = drain(Records::new(data, base), data.len());
    let mut leading = records.iter().map_while(|record| match record {
        Record::Event(event) => Some(*event),
        _ => None,
    });
    assert!(events.iter().all(|event| leading.next() == Some(*event)));
    if error.is_none() {
        assert_eq!((records.len(), records_error), (events.len(), None));
    }
}

/// Records come in order, end where the payload ends, and errors stand within it.
fn check_records(batch: &Batch<'_>) {
    let mut records = batch.records();
    let mut last = records.offset();
    loop {
        match records.next() {
            Ok(Some(_)) => assert!(records.offset() > last),
            Ok(None) => break,
            Err(error) => {
                assert!(
                    (last..=batch.end().0).contains(&error.offset().0),
                    "{error}"
                );
                break;
            }
        }
        last = records.offset();
    }
}

#[test]
fn every_fixture_is_what_the_twin_reads() {
    for trace in &*TRACES {
        check_against_twin(&trace.bytes);
        let (_, error) = naive::walk(&trace.bytes, HEADER_LEN);
        assert_eq!(error, None, "{}", trace.fixture.name);
    }
}

fn check_number(bytes: &[u8]) {
    let expected = match naive::varint(bytes, 0) {
        Ok((value, len)) => Ok((value, len)),
        Err(None) => Err(varint::Fault::Short),
        Err(Some(_)) => Err(varint::Fault::Overflow),
    };
    assert_eq!(varint::read(bytes), expected, "{bytes:x?}");
}

/// Every last byte after every number of bytes that go on.
#[test]
fn numbers_of_every_length_are_what_the_twin_reads() {
    for (len, fill) in (0..13).flat_map(|len| [0x80, 0xff, 0xd5].map(|fill| (len, fill))) {
        for last in 0..=u8::MAX {
            let mut bytes = vec![fill; len];
            check_number(&bytes);
            bytes.push(last);
            check_number(&bytes);
            bytes.push(0);
            check_number(&bytes);
        }
    }
}

/// Bytes that are often continued numbers.
fn number_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(0x80u8),
        4 => Just(0xff),
        4 => 0x80..=0xffu8,
        1 => 0..0x80u8,
        1 => Just(0),
        1 => Just(1),
    ];
    prop::collection::vec(byte, 0..14)
}

/// Bytes that are often events.
fn event_bytes() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => select(EventType::ALL).prop_map(|ty| vec![ty.0]),
        4 => number().prop_map(|n| { let (bytes, len) = varint::encode(n); bytes[..len].to_vec() }),
        1 => number_bytes(),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn numbers_are_what_the_twin_reads(bytes in number_bytes()) {
        check_number(&bytes);
    }

    #[test]
    fn numbers_round_trip_also_padded(value in number(), padding in 0..10usize) {
        let (bytes, len) = varint::encode(value);
        prop_assert_eq!(len, varint::len(value));
        prop_assert_eq!(varint::read(&bytes[..len]), Ok((value, len)));
        for cut in 0..len {
            prop_assert_eq!(varint::read(&bytes[..cut]), Err(varint::Fault::Short));
        }
        let mut padded = bytes[..len].to_vec();
        for _ in 0..padding.min(varint::MAX_LEN - len) {
            *padded.last_mut().unwrap() |= 0x80;
            padded.push(0);
        }
        prop_assert_eq!(varint::read(&padded), Ok((value, padded.len())));
    }

    #[test]
    fn any_bytes_hold_the_events_that_the_twin_reads(bytes in event_bytes(), base in 0..1000u64) {
        check_events(&bytes, base);
    }

    #[test]
    fn any_bytes_hold_the_batches_that_the_twin_reads(bytes in event_bytes()) {
        let (chunks, error) = drain(Batches::new(&bytes), bytes.len());
        let (expected, expected_fault) = naive::walk(&bytes, 0);
        prop_assert_eq!(chunks.iter().map(as_naive).collect::<Vec<_>>(), expected);
        prop_assert_eq!(error.map(fault), expected_fault);
    }

    #[test]
    fn headers_of_any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
        if let Ok(version) = Version::from_header(&bytes) {
            prop_assert_eq!(&bytes[..HEADER_LEN], version.header());
        }
    }
}

proptest! {
    #[test]
    fn damaged_traces_hold_what_the_twin_reads(bytes in damaged()) {
        check_against_twin(&bytes);
    }

    /// Everything before the cut is read, and the error stands at the cut.
    #[test]
    fn a_cut_trace_gives_what_stands_before_the_cut(trace in trace(), cut in any::<Index>()) {
        let cut = cut.index(trace.bytes.len() + 1);
        let bytes = &trace.bytes[..cut];
        let whole = match Trace::new(bytes) {
            Ok(whole) => whole,
            Err(error) => {
                prop_assert!(cut < HEADER_LEN);
                prop_assert_eq!(fault(error), (ErrorKind::UnexpectedEnd, cut as u64));
                return Ok(());
            }
        };
        let (all, _) = naive::walk(&trace.bytes, HEADER_LEN);
        let before: Vec<_> = all.iter().filter(|chunk| chunk.end() <= cut).cloned().collect();
        let clean = cut == before.last().map_or(HEADER_LEN, naive::Chunk::end);
        let (chunks, error) = drain(whole.batches(), cut);
        prop_assert_eq!(chunks.iter().map(as_naive).collect::<Vec<_>>(), before);
        prop_assert_eq!(error.map(fault), (!clean).then_some((ErrorKind::UnexpectedEnd, cut as u64)));
    }

    /// As for traces, so for records in a payload.
    #[test]
    fn a_cut_payload_gives_what_stands_before_the_cut(
        trace in trace(),
        batch in any::<Index>(),
        cut in any::<Index>(),
    ) {
        let whole = Trace::new(&trace.bytes).unwrap();
        let batches: Vec<_> = whole.batches().filter_map(|chunk| match chunk.unwrap() {
            Chunk::Batch(batch) if batch.head.experiment.is_none() => Some(batch),
            _ => None,
        }).collect();
        let batch = batch.get(&batches);
        let cut = cut.index(batch.data.len() + 1);
        let (data, base) = (batch.data, batch.data_offset().0);

        let mut expected = Vec::new();
        let mut records = batch.records();
        let mut clean = cut == 0;
        while let Some(record) = records.next().unwrap() {
            let end = (records.offset() - base) as usize;
            if end > cut {
                break;
            }
            expected.push(record);
            clean = end == cut;
        }
        let (before, error) = drain(Records::new(&data[..cut], base), cut);
        prop_assert_eq!(before, expected);
        let at_cut = (ErrorKind::BatchOverrun, base + cut as u64);
        prop_assert_eq!(error.map(fault), (!clean).then_some(at_cut));
    }

    /// Pieces may be cut between batches. Where one is cut inside, that is the error.
    #[test]
    fn a_trace_in_pieces_gives_the_same_batches(
        trace in trace(),
        cuts in prop::collection::vec(any::<Index>(), 1..5),
    ) {
        let bytes = &trace.bytes;
        let whole: Vec<_> = Trace::new(bytes).unwrap().batches().map(Result::unwrap).collect();
        let mut cuts: Vec<_> = cuts.iter().map(|at| as_naive(at.get(&whole)).end()).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut start = 0;
        for cut in cuts.into_iter().chain([bytes.len()]) {
            pieces.push(&bytes[start..cut]);
            start = cut;
        }
        let split = Trace::from_pieces(&pieces).unwrap();
        prop_assert_eq!(split.len(), bytes.len() as u64);
        let (chunks, error) = drain(split.batches(), bytes.len());
        prop_assert_eq!(&chunks, &whole);
        prop_assert_eq!(error, None);
    }

    #[test]
    fn a_batch_in_two_pieces_is_refused(trace in trace(), cut in any::<Index>()) {
        let bytes = &trace.bytes;
        let (all, _) = naive::walk(bytes, HEADER_LEN);
        let cut = HEADER_LEN + cut.index(bytes.len() - HEADER_LEN);
        let before: Vec<_> = all.into_iter().filter(|chunk| chunk.end() <= cut).collect();
        prop_assume!(cut != before.last().map_or(HEADER_LEN, naive::Chunk::end));
        let pieces = [&bytes[..cut], &bytes[cut..]];
        let (chunks, error) = drain(Trace::from_pieces(&pieces).unwrap().batches(), bytes.len());
        prop_assert_eq!(chunks.iter().map(as_naive).collect::<Vec<_>>(), before);
        prop_assert_eq!(error.map(fault), Some((ErrorKind::SplitBatch, cut as u64)));
    }
}

/// What Go wrote is what the encoder writes, but for the padding of lengths in batch headers.
#[test]
fn fixtures_are_written_again_as_they_were() {
    for trace in &*TRACES {
        let name = &trace.fixture.name;
        let whole = Trace::new(&trace.bytes).unwrap();
        let mut buffer = vec![0; trace.bytes.len()];
        let mut out = Encoder::new(&mut buffer);
        out.header(whole.version()).unwrap();
        let mut chunks = Vec::new();
        for chunk in whole.batches() {
            let Chunk::Batch(batch) = chunk.unwrap() else {
                out.end_of_generation().unwrap();
                chunks.push(None);
                continue;
            };
            let mut payload = vec![0; batch.data.len()];
            let data = if batch.head.experiment.is_some() {
                batch.data
            } else {
                let mut out = Encoder::new(&mut payload);
                for record in batch.records() {
                    encode(&mut out, &record.unwrap()).unwrap();
                }
                out.into_bytes()
            };
            assert_eq!(
                data, batch.data,
                "{name}: the batch at byte {}",
                batch.offset
            );
            out.batch(&batch.head, data).unwrap();
            chunks.push(Some((batch.head.time, batch.head.thread, batch.data)));
        }
        let again = Trace::new(out.into_bytes()).unwrap();
        let parts = again.batches().map(|chunk| match chunk.unwrap() {
            Chunk::Batch(batch) => Some((batch.head.time, batch.head.thread, batch.data)),
            Chunk::EndOfGeneration(_) => None,
        });
        assert!(parts.eq(chunks), "{name}");
    }
}

fn encode(out: &mut Encoder<'_>, record: &Record<'_>) -> Result<(), Error> {
    match record {
        Record::Section(ty) => out.section(*ty),
        Record::String(s) => out.string(s.id, s.data),
        Record::Stack(s) => out.stack(s.id, s.frames().collect::<Vec<_>>().into_iter()),
        Record::Sample(s) => out.sample(s),
        Record::Frequency(hertz) => out.frequency(*hertz),
        Record::Event(e) => out.event(e),
    }
}

/// What a record is made of, owned.
#[derive(Debug, Clone)]
enum Parts {
    Section(EventType),
    String(u64, Vec<u8>),
    Stack(u64, Vec<RawFrame>),
    Sample(SampleRecord),
    Frequency(u64),
    Event(TimedEvent),
}

impl Parts {
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), Error> {
        match self {
            Parts::Section(ty) => out.section(*ty),
            Parts::String(id, data) => out.string(*id, GoStr::new(data)),
            Parts::Stack(id, frames) => out.stack(*id, frames.iter().copied()),
            Parts::Sample(sample) => out.sample(sample),
            Parts::Frequency(hertz) => out.frequency(*hertz),
            Parts::Event(event) => out.event(event),
        }
    }

    fn is(&self, record: &Record<'_>) -> bool {
        match (self, record) {
            (Parts::Section(ty), Record::Section(found)) => ty == found,
            (Parts::String(id, data), Record::String(s)) => {
                (*id, &data[..]) == (s.id, s.data.as_bytes())
            }
            (Parts::Stack(id, frames), Record::Stack(s)) => {
                *id == s.id && frames.len() == s.depth && s.frames().eq(frames.iter().copied())
            }
            (Parts::Sample(sample), Record::Sample(found)) => sample == found,
            (Parts::Frequency(hertz), Record::Frequency(found)) => hertz == found,
            (Parts::Event(event), Record::Event(found)) => event == found,
            _ => false,
        }
    }
}

fn frame() -> impl Strategy<Value = RawFrame> {
    [number(), number(), number(), number()].prop_map(|[pc, func, file, line]| RawFrame {
        pc,
        func,
        file,
        line,
    })
}

fn event() -> impl Strategy<Value = TimedEvent> {
    let timed: Vec<EventType> = (0..=255u8)
        .map(EventType)
        .filter(|ty| ty.timed_args() > 0)
        .collect();
    (
        select(timed),
        number(),
        [number(), number(), number(), number()],
    )
        .prop_map(|(ty, dt, mut args)| {
            args.iter_mut()
                .skip(ty.timed_args() - 1)
                .for_each(|arg| *arg = 0);
            TimedEvent::new(ty, dt, args)
        })
}

fn record() -> impl Strategy<Value = Parts> {
    let sections = [
        EventType::STRINGS,
        EventType::STACKS,
        EventType::CPU_SAMPLES,
        EventType::SYNC,
    ];
    let sample = [number(), number(), number(), number(), number()].prop_map(
        |[time, thread, proc, goroutine, stack]| SampleRecord {
            time: Timestamp(time),
            thread: ThreadId::new(thread),
            proc: ProcId::new(proc),
            // 0 stands for none, and so does the number that stands for none elsewhere.
            goroutine: GoId::new(goroutine).filter(|go| go.get() != 0),
            stack: StackId::new(stack),
        },
    );
    prop_oneof![
        1 => select(sections.to_vec()).prop_map(Parts::Section),
        2 => (number(), prop::collection::vec(any::<u8>(), 0..=1024))
            .prop_map(|(id, data)| Parts::String(id, data)),
        2 => (number(), prop::collection::vec(frame(), 0..=128))
            .prop_map(|(id, frames)| Parts::Stack(id, frames)),
        1 => sample.prop_map(Parts::Sample),
        1 => number().prop_map(Parts::Frequency),
        4 => event().prop_map(Parts::Event),
    ]
}

proptest! {
    #[test]
    fn records_round_trip(parts in prop::collection::vec(record(), 0..8), room in any::<Index>()) {
        let mut buffer = vec![0; 64 << 10];
        let mut out = Encoder::new(&mut buffer);
        let mut ends = Vec::new();
        for part in &parts {
            part.encode(&mut out).unwrap();
            ends.push(out.len());
        }
        let bytes = out.into_bytes();
        let (records, error) = drain(Records::new(bytes, 0), bytes.len());
        prop_assert_eq!(error, None);
        prop_assert_eq!(records.len(), parts.len());
        prop_assert!(parts.iter().zip(&records).all(|(part, record)| part.is(record)));

        // Without room a record leaves the buffer as it was, and those before it in it.
        let mut small = vec![0; room.index(bytes.len() + 1)];
        let fit = ends.iter().take_while(|end| **end <= small.len()).count();
        let mut out = Encoder::new(&mut small);
        for (n, part) in parts.iter().enumerate().take(fit + 1) {
            let result = part.encode(&mut out).map_err(|e| e.kind());
            prop_assert_eq!(result, if n < fit { Ok(()) } else { Err(ErrorKind::NoSpace) });
        }
        prop_assert_eq!(out.bytes(), &bytes[..fit.checked_sub(1).map_or(0, |last| ends[last])]);
    }

    #[test]
    fn batches_round_trip(
        generation in number(),
        thread in number(),
        time in number(),
        experiment in 0..3u8,
        data in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut head = BatchHead {
            generation: GenerationId::new(generation.max(1)).unwrap(),
            thread: ThreadId::new(thread),
            time: Timestamp(time),
            experiment: Some(experiment).filter(|e| *e != 0).map(Experiment),
            header_len: 0,
            data_len: data.len(),
        };
        let mut buffer = [0; BatchHead::MAX_LEN + 300];
        let mut out = Encoder::new(&mut buffer);
        out.batch(&head, &data).unwrap();
        let bytes = out.into_bytes();
        head.header_len = bytes.len() - data.len();
        prop_assert!(head.header_len <= BatchHead::MAX_LEN);
        let (chunks, error) = drain(Batches::new(bytes), 1);
        prop_assert_eq!(error, None);
        let [Chunk::Batch(batch)] = chunks[..] else { panic!("{chunks:?}") };
        prop_assert_eq!((batch.head, batch.data), (head, &data[..]));
    }
}

/// The limits of the format are Go's.
#[test]
fn what_exceeds_a_limit_is_refused_both_ways() {
    let mut buffer = vec![0; 80 << 10];
    let kind = |result: Result<(), Error>| result.map_err(|e| (e.kind(), e.value()));

    let long = vec![b'x'; 1025];
    let mut out = Encoder::new(&mut buffer);
    let refused = (ErrorKind::StringTooLong, 1025);
    assert_eq!(kind(out.string(1, GoStr::new(&long))), Err(refused));
    assert_eq!(kind(out.string(1, GoStr::new(&long[1..]))), Ok(()));
    let mut bytes = vec![EventType::STRING.0, 1, 0x81, 0x08];
    bytes.extend(&long);
    let error = Records::new(&bytes, 100).next().unwrap_err();
    assert_eq!(
        (error.kind(), error.value(), error.offset().0),
        (refused.0, refused.1, 102)
    );

    let frames = [RawFrame {
        pc: 1,
        func: 0,
        file: 0,
        line: 1,
    }; 129];
    let mut out = Encoder::new(&mut buffer);
    let refused = (ErrorKind::StackTooDeep, 129);
    assert_eq!(kind(out.stack(1, frames.into_iter())), Err(refused));
    assert_eq!(kind(out.stack(1, frames[1..].iter().copied())), Ok(()));
    let mut bytes = vec![EventType::STACK.0, 1, 0x81, 0x01];
    bytes.extend([1, 0, 0, 1].repeat(129));
    let error = Records::new(&bytes, 100).next().unwrap_err();
    assert_eq!(
        (error.kind(), error.value(), error.offset().0),
        (refused.0, refused.1, 102)
    );

    let data = vec![0; 65537];
    let head = BatchHead {
        generation: GenerationId::new(1).unwrap(),
        thread: None,
        time: Timestamp(0),
        experiment: None,
        header_len: 0,
        data_len: 0,
    };
    let mut out = Encoder::new(&mut buffer);
    let refused = (ErrorKind::BatchTooLarge, 65537);
    assert_eq!(kind(out.batch(&head, &data)), Err(refused));
    assert_eq!(kind(out.batch(&head, &data[1..])), Ok(()));
    let mut bytes = vec![EventType::EVENT_BATCH.0, 1, 1, 1, 0x81, 0x80, 0x04];
    bytes.extend(&data);
    let error = Batches::new(&bytes).next().unwrap_err();
    assert_eq!(
        (error.kind(), error.value(), error.offset().0),
        (refused.0, refused.1, 0)
    );
}

/// Lines of the text form for the fuzzer to begin with.
#[test]
fn the_fuzzers_dictionary_has_every_event() {
    let dictionary = include_str!("text.dict");
    for ty in EventType::ALL {
        let spec = ty.spec().unwrap();
        let args = spec.args.iter().map(|arg| format!(" {}=1", arg.name));
        let line = format!("\"{}{}\\x0a\"", spec.name, args.collect::<String>());
        assert!(dictionary.lines().any(|l| l == line), "{line}");
    }
}
