//! Would find: bytes that make batches, records or events panic, never end, leave the payload, or
//! differ from what the slow twin reads.
#![no_main]

use gotrace::ids::Offset;
use gotrace::wire::{Batches, Chunk, Events, HEADER_LEN, Record};
use gotrace::{Error, ThreadId};
use gotrace_fuzz::{mutate, naive};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    let Some(body) = bytes.get(HEADER_LEN..) else {
        let _ = gotrace::Trace::new(bytes).map(|trace| trace.version());
        return;
    };
    let (expected, expected_fault) = naive::walk(body, 0);
    let mut expected = expected.iter();
    let mut fault = None;
    for chunk in Batches::new(body) {
        match chunk {
            Ok(Chunk::Batch(batch)) => {
                let naive::Chunk::Batch(twin) = expected.next().unwrap() else {
                    panic!("{batch:?}")
                };
                assert_eq!(batch.head.generation.get(), twin.generation);
                assert_eq!(
                    batch.head.thread.map_or(u64::MAX, ThreadId::get),
                    twin.thread
                );
                assert_eq!(batch.head.time.0, twin.time);
                assert_eq!(batch.head.experiment.map_or(0, |e| e.0), twin.experiment);
                assert_eq!(batch.data, &body[twin.data.clone()]);
                contents(batch.data, batch.data_offset().0);
            }
            Ok(Chunk::EndOfGeneration(at)) => {
                let twin = naive::Chunk::EndOfGeneration(at.0 as usize);
                assert_eq!(expected.next(), Some(&twin));
            }
            Err(error) => fault = Some(place(error)),
        }
    }
    // What begins as the header of another trace is an error of its own, which the twin does not know.
    let begins_header = expected_fault.is_some_and(|(_, at)| body.get(at as usize) == Some(&b'g'));
    if begins_header {
        assert!(fault.is_some());
    } else {
        assert_eq!(fault, expected_fault);
    }
    assert_eq!(expected.next(), None);
    contents(body, 0);
});

fn place(error: Error) -> naive::Fault {
    (error.kind(), error.offset().0)
}

fn contents(data: &[u8], offset: u64) {
    let (expected, expected_fault) = naive::events(data);
    let mut expected = expected.into_iter();
    let mut fault = None;
    for event in Events::new(data, Offset(offset)) {
        match event {
            Ok(event) => {
                assert_eq!(Some(event), expected.next());
                assert!(event.named_args().count() < event.ty.timed_args());
            }
            Err(error) => fault = Some(place(error)),
        }
    }
    let expected_fault = expected_fault.map(|(kind, at)| (kind, offset + at));
    assert_eq!((fault, expected.next()), (expected_fault, None));

    let mut records = gotrace::wire::Records::new(data, Offset(offset));
    let mut last = Offset(offset);
    loop {
        match records.next() {
            Ok(Some(record)) => {
                if let Record::Stack(stack) = record {
                    assert_eq!(stack.frames().count(), stack.depth);
                }
                assert!(records.offset() > last);
                last = records.offset();
            }
            Ok(None) => break,
            Err(error) => {
                let end = Offset(offset + data.len() as u64);
                assert!((last..=end).contains(&error.offset()));
                assert_eq!(records.next(), Ok(None));
                break;
            }
        }
    }
}
