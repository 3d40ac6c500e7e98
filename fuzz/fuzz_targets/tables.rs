//! Would find: traces whose generations or tables panic, never end, or depend on where the tables
//! live; lookups that disagree with the lists; errors that stand outside their generation.
#![no_main]

use gotrace::{
    Error, ErrorKind, Fixed, Growing, Trace,
    generation::{Generation, GenerationTables},
    tables::Storage,
};
use gotrace_fuzz::mutate;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed)
});

type Tiny = Fixed<24, 6, 3, 1, 1, 1, 1, 1, 1>;
type Large = Fixed<4096, 2048, 2048, 1, 1, 1, 1, 1, 1>;

fuzz_target!(|bytes: &[u8]| {
    let Ok(trace) = Trace::new(bytes) else {
        return;
    };
    let mut generations = trace.generations();
    let mut last = 0;
    loop {
        match generations.next() {
            Ok(Some(generation)) => {
                assert!(generation.start.0 >= last && generation.end > generation.start);
                last = generation.end.0;
                tables(&trace, &generation);
            }
            Ok(None) => break,
            Err(error) => assert!(error.offset().0 <= trace.len()),
        }
    }
});

fn tables(trace: &Trace<'_>, generation: &Generation) {
    let growing = read::<Growing>(trace, generation);
    for fixed in [
        read::<Tiny>(trace, generation),
        read::<Large>(trace, generation),
    ] {
        match fixed {
            Err(error) if matches!(error.kind(), ErrorKind::TableFull(_)) => {
                // What does not fit comes before what would be wrong later.
                let later = growing.map_or_else(|e| e.offset() >= error.offset(), |_| true);
                assert!(later || !growing_fault_is_local(&growing));
            }
            fixed => assert_eq!(fixed, growing),
        }
    }
    if let Err(error) = growing {
        let range = generation.start..=generation.end;
        assert!(range.contains(&error.offset()), "{error}");
    }
}

/// Whether the error was met while the tables were filled: faults that are only found when all of
/// them are there, such as ids that two entries share, stand anywhere.
fn growing_fault_is_local(result: &Result<u64, Error>) -> bool {
    !matches!(
        result.map_err(|e| e.kind()),
        Err(ErrorKind::DuplicateString
            | ErrorKind::DuplicateStack
            | ErrorKind::UnknownString
            | ErrorKind::MissingFrequency
            | ErrorKind::MissingClockSnapshot)
    )
}

/// A checksum of all that the tables hold.
fn read<S: Storage>(trace: &Trace<'_>, generation: &Generation) -> Result<u64, Error> {
    let tables = GenerationTables::<S>::load(trace, generation)?;
    let mut sum = 0u64;
    let mut add = |n: u64| sum = sum.rotate_left(7) ^ n;
    for (id, string) in tables.strings() {
        assert_eq!(tables.string(Some(id)), Some(string));
        add(id.get() ^ string.as_bytes().len() as u64);
    }
    for stack in tables.stacks() {
        if let Some(id) = stack.id() {
            assert_eq!(tables.stack(id), Some(stack));
        }
        for frame in stack.frames() {
            add(frame.pc ^ frame.line ^ frame.func.as_bytes().len() as u64);
        }
    }
    let mut last = i64::MIN;
    for sample in tables.samples() {
        assert!(sample.time.0 >= last);
        last = sample.time.0;
        add(last as u64 ^ sample.thread.map_or(0, |t| t.get()));
    }
    for batch in tables.experimental_batches() {
        add(u64::from(batch.experiment.0) ^ batch.data.len() as u64);
    }
    add(tables.frequency().map_or(0, |f| f.hertz()));
    add(tables.clock().map_or(0, |c| c.mono));
    Ok(sum)
}
