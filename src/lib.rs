#![no_std]
#![cfg_attr(not(feature = "mmap"), forbid(unsafe_code))]
#![deny(unsafe_code, missing_docs)]
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

mod error;
mod event;
mod generation;
mod ids;
mod input;
#[cfg(feature = "defmt")]
mod log;
#[cfg(feature = "mmap")]
pub mod mmap;
#[cfg(feature = "std")]
pub mod mux;
mod num;
mod order;
mod printable;
mod reader;
pub mod recorder;
mod sort;
#[cfg(feature = "std")]
pub mod source;
mod storage;
mod string;
#[cfg(feature = "std")]
mod sync;
mod table;
mod time;
pub mod wire;

pub use error::{Error, ErrorKind, Table};
pub use event::{
    Change, Details, Event, EventKind, ExperimentalEvent, GoState, Label, Line, Log, Metric,
    ProcState, Range, RangeAttribute, RangeName, Region, Resource, StateTransition, Sync, Task,
};
pub use generation::{
    ExperimentalBatch, ExperimentalBatches, Frame, Frames, Generation, GenerationTables,
    Generations, Sample, Stack, Trace,
};
pub use ids::{
    Experiment, GenerationId, GoId, Offset, ProcId, StackId, StringId, TaskId, ThreadId,
};
pub use reader::Reader;
#[cfg(feature = "std")]
pub use reader::{ReadError, StreamReader};
pub use recorder::{FlightRecorder, FlightRecorderConfig};
#[cfg(feature = "alloc")]
pub use storage::Growing;
pub use storage::{Fixed, Full, List, Storage};
pub use string::{GoStr, Quoted};
pub use time::{ClockSnapshot, Frequency, Time, Timestamp, WallTime};
