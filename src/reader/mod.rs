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
#[cfg(feature = "alloc")]
mod lenient;
mod merge;
#[cfg(feature = "std")]
pub mod parallel;
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
pub use engine::mode::{Mode, Strict};
pub use explain::{Explanation, Region};
#[cfg(feature = "alloc")]
pub use lenient::{
    ClosedRegion, Gap, Incomplete, Item, Lenient, Losses, NewTrace, OwnedFrame, RegionClosing,
};
#[cfg(feature = "std")]
pub use parallel::Parallel;
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
/// `None`. [`skip_generation`](Reader::skip_generation) goes on after the damage, with what was lost
/// of the generation; a reader made [`lenient`](Reader::lenient) gives all that can be read.
///
/// `M` is the reader's mode: [`Strict`], or [`Lenient`], whose `next` gives an [`Item`].
pub struct Reader<
    't,
    #[cfg(feature = "alloc")] S: Storage = crate::Growing,
    #[cfg(not(feature = "alloc"))] S: Storage,
    M: Mode = Strict,
> {
    input: Pieces<'t>,
    engine: Engine<S, M>,
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

    /// The same reader in the lenient mode, which reads on behind all damage. To be called before the
    /// first event is read.
    #[cfg(feature = "alloc")]
    pub fn lenient(self) -> Reader<'t, S, Lenient> {
        let (place, offset) = (self.engine.place(), self.engine.offset());
        Reader {
            input: self.input,
            engine: Engine::new(self.engine.version, place, offset),
        }
    }
}

#[cfg(feature = "alloc")]
impl<S: Storage> Reader<'_, S, Lenient> {
    /// The next event, or what is missing before the next event, was made up or left out; `None` at the
    /// end of the trace.
    ///
    /// Of a trace that a strict reader reads without an error, it gives the same events and nothing else.
    /// Of any other, it gives
    ///
    /// - every event of the generations that are whole. Where headers or batches are damaged, the next
    ///   sound header is looked for, or that of another trace in the same file;
    /// - of a generation that is cut or damaged, the events of all batches that are whole, and those of a
    ///   batch that is not whole up to where it is damaged. Behind lost events of a thread, its goroutine
    ///   is taken to have stopped; in what state others are is learned from what they do next, as
    ///   [`Item::MadeUp`] says. Strings and stacks that are missing have [placeholders](Incomplete);
    /// - events that contradict those before, with the causes that they need. Within a generation of which
    ///   events are missing, those of different threads come in the order of their times where nothing else
    ///   decides it within 64 us.
    ///
    /// Times grow from event to event, but for events that are left out, and for another trace that begins
    /// in the same file.
    ///
    /// Errors: only a table of fixed capacity that is full ([`TableFull`](crate::ErrorKind::TableFull)), or
    /// of a growing one, that there is no memory.
    ///
    /// Memory is that of a strict reader, and at most a few bytes for each byte of a damaged generation.
    /// Time is that of a strict reader if nothing is damaged.
    ///
    /// ```
    /// use gotrace::{Trace, reader::Item};
    ///
    /// let bytes = include_bytes!("../../tests/fixtures/http-go1.27.trace");
    /// let trace = Trace::new(&bytes[..200_000])?; // a download that was interrupted
    /// let mut reader = trace.reader().lenient();
    /// let mut events = 0;
    /// while let Some(item) = reader.next()? {
    ///     match item {
    ///         Item::Event(_) => events += 1,
    ///         Item::Gap(gap) => println!("{} bytes lost at {}", gap.len(), gap.from),
    ///         _ => {}
    ///     }
    /// }
    /// assert!(events > 20_000);
    /// assert!(reader.losses().bytes_lost < 65_536);
    /// # Ok::<(), gotrace::Error>(())
    /// ```
    #[expect(clippy::should_implement_trait, reason = "an item borrows the reader")]
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, Error> {
        if self.engine.step_to_event(&self.input)? {
            let input = self.engine.with_names(self.input);
            return Ok(Some(Item::Event(self.engine.event(input))));
        }
        self.next_slowly()
    }

    #[cold]
    #[inline(never)]
    fn next_slowly(&mut self) -> Result<Option<Item<'_>>, Error> {
        match self.engine.step_to_item(&self.input, true) {
            Ok(false) => return Ok(None),
            Ok(true) => {}
            Err(error) => {
                if self.version().has_generations() {
                    return Err(error);
                }
                self.engine.lose_rest(error, self.input.len());
            }
        }
        Ok(Some(self.engine.item(self.input)))
    }

    /// What was given and lost so far: after the last item, of the whole trace.
    pub const fn losses(&self) -> Losses {
        self.engine.mode.losses
    }
}

impl<S: Storage, M: Mode> Reader<'_, S, M> {
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

impl<S: Storage, M: Mode> fmt::Debug for Reader<'_, S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("version", &self.version())
            .field("generation", &self.generation())
            .field("offset", &self.offset())
            .finish_non_exhaustive()
    }
}

format_as_debug! {
    [S: Storage, M: Mode] Reader<'_, S, M>;
}

#[cfg(feature = "std")]
format_as_debug! {
    [R] StreamBatches<R>;
    [R, S: Storage, M: Mode] StreamReader<R, S, M>;
    [] ReadError;
}
