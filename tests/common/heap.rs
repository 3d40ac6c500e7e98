//! An allocator that counts: what is in use, the most that was, and how often a thread asked.
//!
//! A test binary that measures makes it its own:
//!
//! ```ignore
//! #[global_allocator]
//! static HEAP: Heap = Heap::new();
//! ```
#![allow(dead_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

/// What a piece of work gives, and how often this thread allocated meanwhile.
pub fn allocations<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = ASKED.get();
    let result = work();
    (result, ASKED.get() - before)
}

/// The system's allocator, counting bytes of all threads.
pub struct Heap {
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl Heap {
    pub const fn new() -> Heap {
        Heap {
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        }
    }

    /// What work gives, and how many bytes more than before it had in use at a time.
    pub fn peak_of<T>(&self, work: impl FnOnce() -> T) -> (T, usize) {
        let before = self.used.load(Relaxed);
        self.peak.store(before, Relaxed);
        let result = work();
        (result, self.peak.load(Relaxed).saturating_sub(before))
    }

    /// How many bytes are in use.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    fn add(&self, bytes: usize) {
        // A thread that is ending has no count any more.
        let _ = ASKED.try_with(|count| count.set(count.get() + 1));
        let used = self.used.fetch_add(bytes, Relaxed) + bytes;
        self.peak.fetch_max(used, Relaxed);
    }
}

unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.add(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        self.used.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // As if it had to move: both are there for a moment.
        self.add(size);
        self.used.fetch_sub(layout.size(), Relaxed);
        unsafe { System.realloc(memory, layout, size) }
    }
}
