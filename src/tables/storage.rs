//! Where tables live: in place with fixed capacities, or on the heap.

use core::ops::DerefMut;

/// A table has no room for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Full {
    /// The capacity that was reached; `u64::MAX` if a growing table found no memory.
    pub capacity: u64,
}

/// A vector, of fixed capacity or growing. Sealed, like [`Storage`].
pub trait List<T>: DerefMut<Target = [T]> + sealed::Sealed {
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

/// A list of the same entries.
#[cfg(feature = "alloc")]
pub(crate) fn copied<T: Copy, L: List<T>>(list: &L) -> Result<L, Full> {
    let mut copy = L::EMPTY;
    for entry in list.iter() {
        copy.push(*entry)?;
    }
    Ok(copy)
}

impl<T, const N: usize> sealed::Sealed for heapless::Vec<T, N> {}

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
impl<T> sealed::Sealed for alloc::vec::Vec<T> {}

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

/// Where tables live: [`Fixed`] or [`Growing`], and nothing else: the trait is sealed.
///
/// One list type a table, so that each may have its own capacity.
pub trait Storage: sealed::Sealed + 'static {
    /// Whether tables grow on the heap, as reading traces of before Go 1.22 needs.
    const GROWS: bool;
    /// Strings of a generation.
    type Strings<T: Send + Sync>: List<T> + Send + Sync;
    /// Stacks of a generation.
    type Stacks<T: Send + Sync>: List<T> + Send + Sync;
    /// CPU samples of a generation.
    type Samples<T: Send + Sync>: List<T> + Send + Sync;
    /// Event batches of a generation.
    type Batches<T: Send + Sync>: List<T> + Send + Sync;
    /// Threads seen so far.
    type Threads<T: Send + Sync>: List<T> + Send + Sync;
    /// Procs seen so far.
    type Procs<T: Send + Sync>: List<T> + Send + Sync;
    /// Goroutines alive.
    type Goroutines<T: Send + Sync>: List<T> + Send + Sync;
    /// Regions and stop-the-world ranges open.
    type Regions<T: Send + Sync>: List<T> + Send + Sync;
    /// Tasks open.
    type Tasks<T: Send + Sync>: List<T> + Send + Sync;
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
    type Strings<T: Send + Sync> = alloc::vec::Vec<T>;
    type Stacks<T: Send + Sync> = alloc::vec::Vec<T>;
    type Samples<T: Send + Sync> = alloc::vec::Vec<T>;
    type Batches<T: Send + Sync> = alloc::vec::Vec<T>;
    type Threads<T: Send + Sync> = alloc::vec::Vec<T>;
    type Procs<T: Send + Sync> = alloc::vec::Vec<T>;
    type Goroutines<T: Send + Sync> = alloc::vec::Vec<T>;
    type Regions<T: Send + Sync> = alloc::vec::Vec<T>;
    type Tasks<T: Send + Sync> = alloc::vec::Vec<T>;
}

/// Tables of capacities chosen at compile time, in place: no allocator is needed.
///
/// [`tables!`](crate::tables!) names the capacities. A full table is an error that names it
/// ([`ErrorKind::TableFull`](crate::ErrorKind::TableFull)).
///
/// All memory that a [`Reader`](crate::Reader) takes is its own size, at most
/// [`Capacities::reader_size`](super::Capacities::reader_size).
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
    type Strings<T: Send + Sync> = heapless::Vec<T, STRINGS>;
    type Stacks<T: Send + Sync> = heapless::Vec<T, STACKS>;
    type Samples<T: Send + Sync> = heapless::Vec<T, SAMPLES>;
    type Batches<T: Send + Sync> = heapless::Vec<T, BATCHES>;
    type Threads<T: Send + Sync> = heapless::Vec<T, THREADS>;
    type Procs<T: Send + Sync> = heapless::Vec<T, PROCS>;
    type Goroutines<T: Send + Sync> = heapless::Vec<T, GOROUTINES>;
    type Regions<T: Send + Sync> = heapless::Vec<T, REGIONS>;
    type Tasks<T: Send + Sync> = heapless::Vec<T, TASKS>;
}
