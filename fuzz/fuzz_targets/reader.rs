//! Would find: traces that make the ordered reader panic, never end, take more memory than their
//! length warrants, or give other events or errors as a stream cut anywhere, in pieces, or with
//! tables of fixed capacity.
#![no_main]

use gotrace::{Details, Error, ErrorKind, Event, Fixed, ReadError, Reader, tables::Storage};
use gotrace::{StreamReader, Time, Trace};
use gotrace_fuzz::heap::Heap;
use gotrace_fuzz::{Random, mutate};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use std::fmt::{self, Write};
use std::hash::Hasher;
use std::io::{self, Read};

#[global_allocator]
static HEAP: Heap = Heap::new();

/// The bytes that a reader may take, and those for each byte of a trace.
const MEMORY: (usize, usize) = (1 << 20, 64);

type Tiny = Fixed<40, 24, 4, 3, 2, 2, 6, 1, 1>;
type Small = Fixed<256, 128, 16, 32, 8, 8, 48, 16, 16>;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(trace) = Trace::new(bytes) else {
        let error = StreamReader::new(bytes).err();
        assert!(matches!(error, Some(ReadError::Trace(_))));
        return;
    };
    if !trace.version().has_generations() {
        return; // See the target `legacy`.
    }
    let mut whole = trace.reader();
    // What the events look like takes memory as well, and is not the reader's.
    let bound = MEMORY.0 + MEMORY.1 * bytes.len();
    let (count, peak) = HEAP.peak_of(|| {
        let mut reader = trace.reader();
        let mut count = 0;
        while let Ok(Some(_)) = reader.next() {
            count += 1;
        }
        count
    });
    assert!(peak <= bound, "{peak} bytes for {}", bytes.len());
    let expected = run(|note| note(whole.next()));
    assert_eq!(expected.events.len(), count);

    // Small and large pieces, which follow from the trace's length.
    let mut random = Random(bytes.len() as u64);
    let mut size = |most: usize| 1 + random.number() as usize % most;
    let sizes = [size(16), size(bytes.len()), size(200), size(bytes.len())];
    let single: &[usize] = if bytes.len() < 2000 {
        &[1]
    } else {
        &[usize::MAX]
    };
    for sizes in [&sizes, single] {
        let pieces = Pieces {
            bytes,
            sizes,
            next: 0,
        };
        let mut reader = StreamReader::new(pieces).unwrap();
        let found = run(|note| {
            note(reader.next().map_err(|error| match error {
                ReadError::Trace(error) => error,
                error => panic!("{error}"),
            }))
        });
        assert_eq!(found, expected);
    }

    fixed::<Tiny>(&trace, &expected);
    fixed::<Small>(&trace, &expected);

    // Behind the damage it goes on, and comes to an end.
    let mut left = trace.batches().count();
    while whole.skip_generation() {
        let again = run(|note| note(whole.next()));
        assert!(again.events.len() <= 4 * bytes.len());
        left = left.checked_sub(1).expect("it goes on for ever");
    }
});

fn fixed<S: Storage>(trace: &Trace<'_>, expected: &Run) {
    let mut reader = Box::new(Reader::<S>::new(trace));
    let found = run(|note| note(reader.next()));
    match found.error.map(|e| e.kind()) {
        Some(ErrorKind::TableFull(_)) => {
            // A generation that does not fit ends the trace: its first sync event is another.
            let same = found.events.len() - usize::from(found.ends_with_sync);
            assert_eq!(found.events[..same], expected.events[..same]);
        }
        _ => assert_eq!(found, *expected),
    }
}

/// What a reader gives.
#[derive(Debug, PartialEq, Default)]
struct Run {
    /// A checksum of each event as Go prints it.
    events: Vec<u64>,
    ends_with_sync: bool,
    error: Option<Error>,
}

type Note<'n> = dyn FnMut(Result<Option<Event<'_, '_>>, Error>) -> bool + 'n;

/// Has `next` note events until there are no more.
fn run(mut next: impl FnMut(&mut Note<'_>) -> bool) -> Run {
    let mut run = Run::default();
    let mut last = None;
    let mut note = |result: Result<Option<Event<'_, '_>>, Error>| match result {
        Ok(Some(event)) => {
            // Behind the last time there is, as Go has it, comes the first.
            let after = |last: Time| last < event.time() || last.0 == i64::MAX;
            assert!(last.is_none_or(after), "{event}");
            last = Some(event.time());
            let mut sum = Sum::default();
            write!(sum, "{event}").unwrap();
            run.events.push(sum.0.finish());
            run.ends_with_sync = matches!(event.details(), Details::Sync(_));
            true
        }
        Ok(None) => false,
        Err(error) => {
            assert_eq!(run.error.replace(error), None, "an error is given once");
            true
        }
    };
    while next(&mut note) {}
    assert!(!next(&mut note), "nothing follows the end");
    run
}

#[derive(Default)]
struct Sum(std::hash::DefaultHasher);

impl Write for Sum {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// Gives the bytes in reads of these sizes, over and over.
struct Pieces<'t> {
    bytes: &'t [u8],
    sizes: &'t [usize],
    next: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes[self.next % self.sizes.len()];
        self.next += 1;
        let size = size.min(buffer.len()).min(self.bytes.len());
        let (now, later) = self.bytes.split_at(size);
        buffer[..size].copy_from_slice(now);
        self.bytes = later;
        Ok(size)
    }
}
