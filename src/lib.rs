#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "mmap"), forbid(unsafe_code))]
#![deny(unsafe_code, missing_docs)]
// What arithmetic means here: `wrapping_` cannot overflow (or is meant modulo 2^64), `saturating_` may
// and is harmless then, `checked_` is an error where it does. Leaf algorithms whose numbers are bounded by
// their types use plain operators and say why at their top; tests/probe proves that no panic is linked.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]
// Its examples are tests, of the features that they need.
#![cfg_attr(any(not(doctest), feature = "mmap"), doc = include_str!("../README.md"))]

#[cfg(feature = "alloc")]
extern crate alloc;
// What integration tests share names the crate, also where unit tests use it.
#[cfg(test)]
extern crate self as gotrace;
#[cfg(any(feature = "std", test))]
extern crate std;

#[macro_use]
mod macros;

#[cfg(feature = "alloc")]
pub mod analysis;
pub mod docs;
pub mod emit;
pub mod error;
pub mod event;
#[cfg(any(feature = "json", feature = "perfetto", feature = "pprof"))]
pub mod export;
pub mod generation;
pub mod ids;
#[cfg(feature = "alloc")]
pub mod legacy;
#[cfg(feature = "std")]
mod locks;
#[cfg(feature = "mmap")]
pub mod mmap;
#[cfg(feature = "std")]
pub mod mux;
mod num;
mod order;
pub mod reader;
pub mod recorder;
#[cfg(feature = "alloc")]
pub mod rewrite;
#[cfg(feature = "alloc")]
pub mod select;
#[cfg(feature = "std")]
pub mod source;
pub mod string;
pub mod tables;
pub mod time;
#[cfg(feature = "tracer")]
pub mod tracer;
#[doc(hidden)]
pub mod varint;
pub mod wire;

pub use error::{Error, ErrorKind};
pub use event::{Details, Event, EventKind};
pub use generation::{Stack, Trace};
pub use ids::{GoId, ProcId, TaskId, ThreadId};
pub use reader::Reader;
#[cfg(feature = "std")]
pub use reader::{ReadError, StreamReader};
pub use recorder::{FlightRecorder, FlightRecorderConfig};
pub use string::GoStr;
pub use tables::Fixed;
#[cfg(feature = "alloc")]
pub use tables::Growing;
pub use time::Time;
