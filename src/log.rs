//! `defmt::Format` for the types whose derived form would be too long or impossible: readers and
//! iterators as far as they are, batches without their bytes, and what holds errors of `std`.

use crate::{
    ExperimentalBatches, Frames, GenerationTables, Generations, Line, Quoted, Reader, Storage,
    Sync, Trace, wire,
};
use defmt::{Debug2Format, Format, Formatter, write};

/// As `Debug` shows it.
macro_rules! as_debug {
    ($([$($params:tt)*] $ty:ty;)*) => {$(
        impl<$($params)*> Format for $ty {
            fn format(&self, f: Formatter<'_>) {
                write!(f, "{}", Debug2Format(self));
            }
        }
    )*};
}

as_debug! {
    [] Trace<'_>;
    [] Generations<'_>;
    [] ExperimentalBatches<'_>;
    [S: Storage] GenerationTables<'_, S>;
    [S: Storage] Reader<'_, S>;
    [] Sync<'_>;
    [] Quoted<'_>;
    [] wire::Batches<'_>;
    [] wire::Events<'_>;
    [] wire::Records<'_>;
    [] wire::RawFrames<'_>;
    [] wire::Footprint;
    [] wire::text::TextReader<'_>;
    [] wire::text::TextRecord<'_>;
    [] wire::text::Literal<'_>;
}

#[cfg(feature = "std")]
as_debug! {
    [R, S: Storage] crate::StreamReader<R, S>;
    [] crate::ReadError;
}

impl Format for wire::Batch<'_> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{} at byte {}", self.head, self.offset);
    }
}

impl Format for wire::StackRecord<'_> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "stack {=u64}, {=usize} frames", self.id, self.depth);
    }
}

impl Format for wire::Encoder<'_> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "encoder, {=usize} bytes", self.len());
    }
}

impl Format for Line<'_, '_, '_> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{}", defmt::Display2Format(self));
    }
}

impl Format for Frames<'_, '_> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "{=usize} frames", self.clone().count());
    }
}
