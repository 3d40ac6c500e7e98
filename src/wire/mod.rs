//! The wire format: bytes to records and back, without state.
//!
//! A trace is a [header](Version::from_header), then [batches](Batches): runs of bytes that one
//! thread wrote in one generation. A batch holds [timed events](Events), or a section of a
//! generation's tables ([`Records`] reads everything). Nothing is copied, nothing is allocated,
//! and what [`Encoder`] writes is what these read: records of all kinds, events [by type](timed), and
//! [batches filled in place](BatchEncoder).
//!
//! This room knows the shape of records. Whether ids exist, and whether events make sense one after
//! the other, is for the rooms after it.
//!
//! ```
//! use gotrace::wire::{Batches, Chunk, Contents, Version, HEADER_LEN};
//!
//! let trace = include_bytes!("../../tests/fixtures/cgo-go1.27.trace");
//! assert_eq!(Version::from_header(trace)?, Version::Go126);
//! let mut events = 0;
//! for chunk in Batches::new(&trace[HEADER_LEN..]) {
//!     if let Chunk::Batch(batch) = chunk?
//!         && batch.contents() == Contents::Events
//!     {
//!         events += batch.records().count();
//!     }
//! }
//! assert_eq!(events, 697);
//! # Ok::<(), gotrace::Error>(())
//! ```

mod batch;
mod batch_encoder;
mod encoder;
mod event;
mod fields;
mod footprint;
mod header;
mod pieces;
mod record;
mod spec;
pub mod text;
pub mod timed;

/// Variable-length numbers: see [`read`](varint::read).
#[doc(inline)]
pub use crate::varint;

pub use batch::{Batch, BatchHead, Batches, Chunk, Contents, Head};
pub use batch_encoder::BatchEncoder;
pub(crate) use batch_encoder::Filling;
pub use encoder::Encoder;
pub(crate) use encoder::STAGE;
pub(crate) use event::decode;
pub use event::{Events, TimedEvent};
#[cfg(feature = "std")]
pub(crate) use event::{Lane, Skips};
pub(crate) use fields::Fields;
pub use footprint::{Footprint, Tally};
pub use header::{HEADER_LEN, Version};
pub(crate) use pieces::{Pieces, Place, Span};
pub use record::{RawFrame, RawFrames, Record, Records, SampleRecord, StackRecord, StringRecord};
pub use spec::{
    Arg, Class, Edge, EventType, Gauge, GoStatus, MAX_BATCH_SIZE, MAX_FRAMES, MAX_STRING_SIZE,
    MAX_TIMED_ARGS, Meaning, ProcStatus, RangeKind, Role, Scope, Spec, Who,
};
#[cfg(feature = "alloc")]
pub use text::assemble;
pub(crate) use timed::Typed;

format_as_debug! {
    [] Batches<'_>;
    [] Events<'_>;
    [] Records<'_>;
    [] RawFrames<'_>;
    [] Footprint;
    [] text::TextReader<'_>;
    [] text::TextRecord<'_>;
    [] text::Literal<'_>;
}

#[cfg(feature = "defmt")]
impl defmt::Format for Batch<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{} at byte {}", self.head, self.offset);
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for StackRecord<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "stack {=u64}, {=usize} frames", self.id, self.depth);
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Encoder<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "encoder, {=usize} bytes", self.len());
    }
}
