//! Nothing is allocated with fixed tables, and nothing for each event with growing ones.

mod common;

use common::TRACES;
use gotrace::wire::{Chunk, Encoder, TimedEvent};
use gotrace::{Error, Fixed, GenerationTables, Reader, Trace};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counting what this thread asks of it.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no count any more.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// What a piece of work gives, and how often it allocated.
fn allocations<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = COUNT.get();
    let result = work();
    (result, COUNT.get() - before)
}

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
