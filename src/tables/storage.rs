//! Where tables live: in place with fixed capacities, or on the heap.

use core::ops::DerefMut;

/// A table has no room for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Full {
    /// The capacity that was reached; `u64::MAX` if a growing table found no memory.
    pub capacity: u64,
}

/// A vector, of fixed capacity or growing.
pub trait List<T>: DerefMut<Target = [T]> {
    /// A list without entries.
    const EMPTY: Self;
    /// Adds an entry at the end.
    fn push(&mut self, entry: T) -> Result<(), Full>;
    /// Removes the last entry.
    fn pop(&mut self) -> Option<T>;
    /// Removes all entries, and keeps the memory.
    fn clear(&mut self);
    /// The most entries this can hold.
    fn limit() -> usize;
}

impl<T, const N: usize> List<T> for heapless::Vec<T, N> {
    const EMPTY: Self = heapless::Vec::new();

    #[inline]
    fn push(&mut self, entry: T) -> Result<(), Full> {
        heapless::Vec::push(self, entry).map_err(|_| Full {
            capacity: crate::num::wide(N),
        })
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        heapless::Vec::pop(self)
    }

    #[inline]
    fn clear(&mut self) {
        heapless::Vec::clear(self);
    }

    fn limit() -> usize {
        N
    }
}

#[cfg(feature = "alloc")]
impl<T> List<T> for alloc::vec::Vec<T> {
    const EMPTY: Self = alloc::vec::Vec::new();

    #[inline]
    fn push(&mut self, entry: T) -> Result<(), Full> {
        if self.len() == self.capacity() {
            self.try_reserve(1)
                .map_err(|_| Full { capacity: u64::MAX })?;
        }
        alloc::vec::Vec::push(self, entry);
        Ok(())
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        alloc::vec::Vec::pop(self)
    }

    #[inline]
    fn clear(&mut self) {
        alloc::vec::Vec::clear(self);
    }

    fn limit() -> usize {
        crate::num::index(u32::MAX)
    }
}

mod sealed {
    pub trait Sealed {}
}

/// Where tables live: [`Fixed`] or [`Growing`].
///
/// One list type a table, so that each may have its own capacity.
pub trait Storage: sealed::Sealed + 'static {
    /// Whether tables grow on the heap, as reading traces of before Go 1.22 needs.
    const GROWS: bool;
    /// Strings of a generation.
    type Strings<T>: List<T>;
    /// Stacks of a generation.
    type Stacks<T>: List<T>;
    /// CPU samples of a generation.
    type Samples<T>: List<T>;
    /// Event batches of a generation.
    type Batches<T>: List<T>;
    /// Threads seen so far.
    type Threads<T>: List<T>;
    /// Procs seen so far.
    type Procs<T>: List<T>;
    /// Goroutines alive.
    type Goroutines<T>: List<T>;
    /// Regions and stop-the-world ranges open.
    type Regions<T>: List<T>;
    /// Tasks open.
    type Tasks<T>: List<T>;
}

/// Tables that grow on the heap with what a trace holds.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Growing;

#[cfg(feature = "alloc")]
impl sealed::Sealed for Growing {}

#[cfg(feature = "alloc")]
impl Storage for Growing {
    const GROWS: bool = true;
    type Strings<T> = alloc::vec::Vec<T>;
    type Stacks<T> = alloc::vec::Vec<T>;
    type Samples<T> = alloc::vec::Vec<T>;
    type Batches<T> = alloc::vec::Vec<T>;
    type Threads<T> = alloc::vec::Vec<T>;
    type Procs<T> = alloc::vec::Vec<T>;
    type Goroutines<T> = alloc::vec::Vec<T>;
    type Regions<T> = alloc::vec::Vec<T>;
    type Tasks<T> = alloc::vec::Vec<T>;
}

/// Tables of capacities chosen at compile time, in place: no allocator is needed.
///
/// A full table is an error that names it ([`ErrorKind::TableFull`](crate::ErrorKind::TableFull)).
///
/// All memory that a [`Reader`](crate::Reader) takes is its own size, `size_of::<Reader<Fixed<...>>>()`.
/// That is at most, in bytes and the same but for padding on 64-bit targets:
///
/// ```text
/// 952 + 24 STRINGS + 24 STACKS + 24 SAMPLES + 32 BATCHES + 288 THREADS
///     + 44 PROCS + 52 GOROUTINES + 32 REGIONS + 44 TASKS
/// ```
///
/// Targets of 32 bits take less. What a trace needs, a reader with [`Growing`] tables or `gotrace stat` tells: strings, stacks, samples and event
/// batches are those of the largest generation, threads and procs all that the trace mentions,
/// goroutines, regions and tasks the most alive or open at a time.
///
/// ```
/// use gotrace::{Fixed, Reader};
///
/// // Enough for a program of a few goroutines: 18 kilobytes.
/// type Small = Fixed<256, 128, 16, 32, 8, 8, 48, 16, 16>;
/// assert!(size_of::<Reader<'_, Small>>() < 18_000);
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Fixed<
    const STRINGS: usize,
    const STACKS: usize,
    const SAMPLES: usize,
    const BATCHES: usize,
    const THREADS: usize,
    const PROCS: usize,
    const GOROUTINES: usize,
    const REGIONS: usize,
    const TASKS: usize,
>;

impl<
    const STRINGS: usize,
    const STACKS: usize,
    const SAMPLES: usize,
    const BATCHES: usize,
    const THREADS: usize,
    const PROCS: usize,
    const GOROUTINES: usize,
    const REGIONS: usize,
    const TASKS: usize,
> sealed::Sealed
    for Fixed<STRINGS, STACKS, SAMPLES, BATCHES, THREADS, PROCS, GOROUTINES, REGIONS, TASKS>
{
}

impl<
    const STRINGS: usize,
    const STACKS: usize,
    const SAMPLES: usize,
    const BATCHES: usize,
    const THREADS: usize,
    const PROCS: usize,
    const GOROUTINES: usize,
    const REGIONS: usize,
    const TASKS: usize,
> Storage for Fixed<STRINGS, STACKS, SAMPLES, BATCHES, THREADS, PROCS, GOROUTINES, REGIONS, TASKS>
{
    const GROWS: bool = false;
    type Strings<T> = heapless::Vec<T, STRINGS>;
    type Stacks<T> = heapless::Vec<T, STACKS>;
    type Samples<T> = heapless::Vec<T, SAMPLES>;
    type Batches<T> = heapless::Vec<T, BATCHES>;
    type Threads<T> = heapless::Vec<T, THREADS>;
    type Procs<T> = heapless::Vec<T, PROCS>;
    type Goroutines<T> = heapless::Vec<T, GOROUTINES>;
    type Regions<T> = heapless::Vec<T, REGIONS>;
    type Tasks<T> = heapless::Vec<T, TASKS>;
}
