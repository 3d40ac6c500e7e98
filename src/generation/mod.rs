//! Generations: the parts of a trace, about a second long, that can be read on their own.
//!
//! A generation is a run of batches with one number: events by thread, and the tables that those
//! refer to. [`Trace::generations`] finds them by hopping from batch header to batch header, in
//! microseconds a megabyte; [`GenerationTables`] indexes the tables of one. Both borrow: a string
//! or a stack is a slice of the trace.
//!
//! ```
//! use gotrace::{Growing, Trace, generation::GenerationTables};
//!
//! let bytes = include_bytes!("../../tests/fixtures/annotate-go1.27.trace");
//! let trace = Trace::new(bytes)?;
//! for generation in trace.generations() {
//!     let generation = generation?;
//!     let tables = GenerationTables::<Growing>::load(&trace, &generation)?;
//!     for (id, string) in tables.strings() {
//!         assert_eq!(tables.string(Some(id)), Some(string));
//!     }
//! }
//! # Ok::<(), gotrace::Error>(())
//! ```

mod clock;
mod ending;
mod index;
mod mix;
#[cfg(feature = "alloc")]
mod resync;
mod split;
mod tables;
mod trace;
mod view;

pub use clock::ClockCheck;
pub use ending::{Ending, Ends};
#[cfg(feature = "alloc")]
pub(crate) use index::{Directory, Entry};
#[cfg(feature = "alloc")]
pub(crate) use resync::{Finder, Gathered, Part, Tail};
#[cfg(feature = "std")]
pub(crate) use split::Piece;
pub(crate) use split::{Finish, Skip, Split, Splitter, stray_marker};
pub use tables::clocks_of;
pub(crate) use tables::{Lookup, Tables};
pub(crate) use trace::earliest;
pub use trace::{Generation, Generations, Trace};
pub use view::{
    ExperimentalBatch, ExperimentalBatches, Frame, Frames, GenerationTables, Sample, Stack,
    StackKey,
};

format_as_debug! {
    [] Trace<'_>;
    [] Generations<'_>;
    [] ExperimentalBatches<'_>;
    [S: crate::tables::Storage] GenerationTables<'_, S>;
}

#[cfg(feature = "defmt")]
impl defmt::Format for Frames<'_, '_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=usize} frames", self.clone().count());
    }
}
