//! Would find: traces that make the lenient reader panic, never end, take more memory than their length
//! warrants, or give other items as a stream cut anywhere; and traces that a strict reader reads, of which
//! it gives something else.
#![no_main]

use gotrace::reader::Item;
use gotrace::{StreamReader, Trace};
use gotrace_fuzz::heap::Heap;
use gotrace_fuzz::{Random, mutate};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};

#[global_allocator]
static HEAP: Heap = Heap::new();

/// The bytes that a reader may take, and those for each byte of a trace: twice what a strict one may, for the
/// rehearsal of a generation, and what is known of missing names.
const MEMORY: (usize, usize) = (1 << 20, 192);
/// The items for each byte: an event that needs causes has few.
const ITEMS: usize = 64;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(trace) = Trace::new(bytes) else { return };
    if !trace.version().has_generations() {
        return; // See the target `legacy`.
    }
    let (count, peak) = HEAP.peak_of(|| {
        let mut reader = trace.reader().lenient();
        let mut count = 0;
        while let Some(_item) = reader.next().expect("tables that grow") {
            count += 1;
            assert!(count <= ITEMS * (bytes.len() + 64), "it goes on for ever");
        }
        count
    });
    let bound = MEMORY.0 + MEMORY.1 * bytes.len();
    assert!(peak <= bound, "{peak} bytes for {}", bytes.len());

    let mut reader = trace.reader().lenient();
    let mut items = Vec::with_capacity(count);
    let mut events = Vec::new();
    while let Some(item) = reader.next().expect("tables that grow") {
        items.push(sum(&item));
        if let Item::Event(event) = item {
            events.push(text_sum(&event.to_string()));
        }
    }
    let losses = reader.losses();
    assert_eq!(items.len(), count);

    let pieces = Pieces(bytes, Random(bytes.len() as u64));
    let mut stream = StreamReader::new(pieces).expect("a header").lenient();
    let mut given = 0;
    while let Some(item) = stream.next().expect("a source that does not fail") {
        if items.get(given) != Some(&sum(&item)) {
            let of_slice = text_of(&trace, given);
            panic!("item {given} is {of_slice}, of a stream {}", text(&item));
        }
        given += 1;
    }
    assert_eq!(given, count, "as a stream, it has fewer items");
    assert_eq!(stream.losses(), losses);

    let mut strict = trace.reader();
    let mut expected = Vec::new();
    loop {
        match strict.next() {
            Ok(Some(event)) => expected.push(text_sum(&event.to_string())),
            Ok(None) => break,
            Err(_) => return,
        }
    }
    assert_eq!((losses.made_up, losses.left_out), (0, 0));
    assert!(events == expected, "a sound trace has other events");
});

fn text_sum(text: &str) -> u64 {
    let mut sum = DefaultHasher::new();
    sum.write(text.as_bytes());
    sum.finish()
}

fn text(item: &Item<'_>) -> String {
    match item {
        Item::Event(event) => format!("{event}"),
        Item::MadeUp(event, error) => format!("+{event} {error}"),
        Item::RegionClosed(event, closing) => format!("+{event} {closing:#}"),
        Item::LeftOut(event, error) => format!("-{event} {error}"),
        other => format!("{other:?}"),
    }
}

fn sum(item: &Item<'_>) -> u64 {
    text_sum(&text(item))
}

/// An item of a trace in memory.
fn text_of(trace: &Trace<'_>, at: usize) -> String {
    let mut reader = trace.reader().lenient();
    for _ in 0..at {
        reader.next().expect("tables that grow");
    }
    let item = reader.next().expect("tables that grow");
    item.map_or("none".to_owned(), |item| text(&item))
}

/// Gives the bytes in reads of random sizes.
struct Pieces<'t>(&'t [u8], Random);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = 1 + self.1.number() as usize % (1 << (self.1.number() % 17));
        let size = size.min(buffer.len()).min(self.0.len());
        let (now, later) = self.0.split_at(size);
        buffer[..size].copy_from_slice(now);
        self.0 = later;
        Ok(size)
    }
}
