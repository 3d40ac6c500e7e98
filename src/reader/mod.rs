//! The way through a trace: batches, generations, order, events.
//!
//! A [`Reader`] reads a trace in memory; with `std`, a [`StreamReader`] reads one from anything
//! that implements `io::Read`, holding one generation at a time. Both give the events of a trace in
//! the order in which they happened, as Go's `trace.Reader` does.
//!
//! ```
//! use gotrace::{Details, Trace, event::{Change, GoState}};
//!
//! let bytes = include_bytes!("../../tests/fixtures/http-go1.22.trace");
//! let trace = Trace::new(bytes)?;
//! let mut created = 0;
//! let mut reader = trace.reader();
//! while let Some(event) = reader.next()? {
//!     if let Details::StateTransition(transition) = event.details()
//!         && let Change::Goroutine { from: GoState::NotExist, .. } = transition.change
//!     {
//!         created += 1;
//!     }
//! }
//! assert_eq!(created, 1253);
//! # Ok::<(), gotrace::Error>(())
//! ```

#[cfg(feature = "std")]
mod batches;
mod engine;
mod explain;
mod merge;
#[cfg(feature = "std")]
mod stream;
#[cfg(all(test, feature = "alloc"))]
mod tests;
#[cfg(feature = "std")]
mod window;

use crate::error::Error;
use crate::event::Event;
use crate::generation::{Generation, Trace};
use crate::ids::{GenerationId, Offset};
use crate::tables::{Capacities, Storage};
use crate::wire::Pieces;
use crate::wire::{HEADER_LEN, Version};
#[cfg(feature = "std")]
pub use batches::StreamBatches;
use core::fmt;
use engine::Engine;
pub use explain::{Explanation, Region};
#[cfg(feature = "std")]
pub use stream::{DEFAULT_GENERATION_LIMIT, ReadError, StreamReader};
#[cfg(feature = "std")]
pub(crate) use window::Window;

/// Reads the events of a trace in memory, in the order in which they happened (`trace.Reader`).
///
/// The first event is a sync event, and so is the last; one more begins each generation. Times grow
/// from event to event.
///
/// `S` says where the reader's tables live: on the heap ([`Growing`](crate::Growing), the default
/// with the feature `alloc`) or in the reader itself, with the capacities that you choose
/// ([`tables!`](crate::tables!)). [`needs`](Reader::needs) gives the capacities that a trace takes.
///
/// After an error the reader has given every event before it, and gives the error once, then
/// `None`. [`skip_generation`](Reader::skip_generation) goes on after the damage.
pub struct Reader<
    't,
    #[cfg(feature = "alloc")] S: Storage = crate::Growing,
    #[cfg(not(feature = "alloc"))] S: Storage,
> {
    input: Pieces<'t>,
    engine: Engine<S>,
}

impl<'t, S: Storage> Reader<'t, S> {
    /// A reader of all events of a trace.
    #[inline(always)]
    pub fn new(trace: &Trace<'t>) -> Self {
        Self::from_offset(trace, Offset(crate::num::wide(HEADER_LEN)))
    }

    /// A reader that starts with a generation, as if the trace began there.
    pub fn starting_at(trace: &Trace<'t>, generation: &Generation) -> Self {
        Self::from_offset(trace, generation.start)
    }

    #[inline(always)]
    fn from_offset(trace: &Trace<'t>, offset: Offset) -> Self {
        let place = trace.input.place(offset.0);
        Reader {
            input: engine::old::input(trace.input, trace.version()),
            engine: Engine::new(trace.version(), place, offset),
        }
    }

    /// The next event; `None` at the end of the trace and after an error.
    ///
    /// Errors: everything that can be wrong with a trace. The event before it was the last that Go's
    /// reader gives, but for the exceptions in the list of differences from Go: above all, where a
    /// record is damaged, this reader gives the events that came out of the record before it on the
    /// same thread.
    #[expect(clippy::should_implement_trait, reason = "an event borrows the reader")]
    // A loop with the step in it reads a fifth faster than one that calls it; where flash is small,
    // the compiler decides.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub fn next(&mut self) -> Result<Option<Event<'_, 't>>, Error> {
        if !self.engine.step(&self.input, true)? {
            return Ok(None);
        }
        Ok(Some(self.engine.event(self.input)))
    }

    /// After an error, goes on with the generation after the damaged one, as if the trace began
    /// there; says whether there is one that can be found.
    ///
    /// Sync events go on counting. What was known of goroutines, procs, tasks and regions is
    /// forgotten. Without an error, leaves out the rest of the current generation.
    pub fn skip_generation(&mut self) -> bool {
        self.engine.skip_generation(&self.input)
    }

    /// What the error that ended the reading is about, where there is more to say than the error
    /// holds: the two regions that a [`RegionMismatch`](crate::ErrorKind::RegionMismatch) is about.
    /// `None` for other errors, before an error, and after
    /// [`skip_generation`](Reader::skip_generation).
    pub fn explain(&self) -> Option<Explanation<'t>> {
        self.engine.explain(&self.input)
    }

    /// How the trace ends: to be asked when [`next`](Reader::next) gave `None`, or this error. See
    /// [`Ending`](crate::generation::Ending).
    pub fn ending(&self, error: Option<Error>) -> crate::generation::Ending {
        self.engine.ending(error)
    }

    /// How many generations were left out by [`skip_generation`](Reader::skip_generation).
    pub const fn generations_skipped(&self) -> u64 {
        self.engine.skipped
    }

    /// The capacities that the part of the trace needs that was read so far: the most entries that
    /// each table had. Exact: [`Fixed`](crate::Fixed) tables with one entry less are full somewhere.
    /// Of a trace of before Go 1.22, [`NONE`](Capacities::NONE): no such tables can read it.
    pub fn needs(&self) -> Capacities {
        self.engine.peaks().capacities()
    }

    /// How many generations were read, the one being read included. In a trace of Go 1.26 or later
    /// several may have one number.
    pub const fn generations_read(&self) -> u64 {
        self.engine.read
    }

    /// The generation being read: none before the first.
    pub const fn generation(&self) -> Option<GenerationId> {
        self.engine.generation()
    }

    /// The version of the format.
    pub const fn version(&self) -> Version {
        self.engine.version
    }

    /// How far the trace was read: where the generation being read ends.
    pub fn offset(&self) -> Offset {
        self.engine.offset()
    }
}

#[cfg(feature = "alloc")]
impl<'t> Trace<'t> {
    /// A reader of all events, with tables that grow.
    pub fn reader(&self) -> Reader<'t, crate::Growing> {
        Reader::new(self)
    }
}

impl<S: Storage> fmt::Debug for Reader<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("version", &self.version())
            .field("generation", &self.generation())
            .field("offset", &self.offset())
            .finish_non_exhaustive()
    }
}

format_as_debug! {
    [S: Storage] Reader<'_, S>;
}

#[cfg(feature = "std")]
format_as_debug! {
    [R] StreamBatches<R>;
    [R, S: Storage] StreamReader<R, S>;
    [] ReadError;
}
