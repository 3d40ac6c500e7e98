//! Tables of fixed capacity and tables that grow, behind one trait.
//!
//! Every table of the crate is a [`List`] that a [`Storage`] provides: [`Fixed`] takes all
//! capacities as numbers known at compile time and needs no allocator; [`Growing`] (feature
//! `alloc`) grows with what a trace holds. The code that uses them is the same.
//!
//! How much a trace needs, a reader knows that has read it: [`Reader::needs`](crate::Reader::needs)
//! gives the [`Capacities`], and `gotrace stat --tables` prints them as the text to paste.
//!
//! ```
//! use gotrace::{Growing, Reader, Trace};
//!
//! let trace = Trace::new(include_bytes!("../../tests/fixtures/coro-go1.27.trace"))?;
//! let mut reader = Reader::<Growing>::new(&trace);
//! while reader.next()?.is_some() {}
//! assert_eq!(reader.needs().goroutines, 8);
//! assert!(reader.needs().reader_size() < 16 << 10);
//! # Ok::<(), gotrace::Error>(())
//! ```

mod by_id;
mod capacities;
pub(crate) mod sort;
mod storage;
mod tree;

pub(crate) use by_id::{IdTable, NIL, Slot};
pub use capacities::Capacities;
pub(crate) use capacities::Counts;
#[cfg(feature = "alloc")]
pub use storage::Growing;
#[cfg(feature = "alloc")]
pub(crate) use storage::copied;
pub use storage::{Fixed, Full, List, Storage};
pub(crate) use tree::{Fork, Tree, Words};
