//! Tables of fixed capacity and tables that grow, behind one trait.
//!
//! Every table of the crate is a [`List`] that a [`Storage`] provides: [`Fixed`] takes all
//! capacities as numbers known at compile time and needs no allocator; [`Growing`] (feature
//! `alloc`) grows with what a trace holds. The code that uses them is the same.

mod by_id;
pub(crate) mod sort;
mod storage;
mod tree;

pub(crate) use by_id::{IdTable, NIL, Slot};
#[cfg(feature = "alloc")]
pub use storage::Growing;
pub use storage::{Fixed, Full, List, Storage};
pub(crate) use tree::{Fork, Tree, Words};
