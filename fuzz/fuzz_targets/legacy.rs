//! Would find: traces of before Go 1.22 that make a reader panic, never end, take more memory than
//! their length warrants, give events that cannot be shown, or other events as a stream.
#![no_main]

use gotrace::legacy::Records;
use gotrace::{ReadError, StreamReader, Trace};
use gotrace_fuzz::heap::Heap;
use gotrace_fuzz::mutants::{Random, records_damaged};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

#[global_allocator]
static HEAP: Heap = Heap::new();

/// The bytes that a reader may take, and those for each byte of a trace.
const MEMORY: (usize, usize) = (1 << 20, 64);

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random(u64::from(seed) + 1);
    let damaged = records_damaged(&data[..size], &mut random).filter(|_| !seed.is_multiple_of(4));
    let Some(damaged) = damaged else {
        return fuzzer_mutate(data, size, max_size);
    };
    let size = damaged.len().min(max_size).min(data.len());
    data[..size].copy_from_slice(&damaged[..size]);
    size
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(records) = Records::new(bytes) {
        for record in records.map_while(Result::ok) {
            assert!(!record.to_string().is_empty());
        }
    }
    let Ok(trace) = Trace::new(bytes) else { return };
    if trace.version().has_generations() {
        return;
    }
    let bound = MEMORY.0 + MEMORY.1 * bytes.len();
    let ((count, error), peak) = HEAP.peak_of(|| {
        let mut reader = trace.reader();
        let mut count = 0;
        loop {
            match reader.next() {
                Ok(Some(_)) => count += 1,
                Ok(None) => break (count, None),
                Err(error) => break (count, Some(error)),
            }
        }
    });
    assert!(peak <= bound, "{peak} bytes for {}", bytes.len());
    let mut whole = trace.reader();
    let mut stream = StreamReader::new(bytes).expect("a header that was read before");
    for _ in 0..count {
        let (a, b) = (
            whole.next().expect("an event"),
            stream.next().expect("an event"),
        );
        assert_eq!(a.map(|e| e.to_string()), b.map(|e| e.to_string()));
    }
    match (error, stream.next()) {
        (Some(error), Err(ReadError::Trace(other))) => assert_eq!(error, other),
        (None, Ok(None)) => {}
        (error, other) => panic!("{error:?}, {:?}", other.map(|_| ())),
    }
});
