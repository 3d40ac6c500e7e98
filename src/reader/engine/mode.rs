//! Strict and lenient: what an engine does where a trace is damaged.
//!
//! The engine is one, and asks its mode wherever a strict reader ends with an error. Of a lenient mode,
//! nothing is compiled into a strict reader.

use super::Engine;
use crate::error::Error;
use crate::event::Raw;
#[cfg(feature = "std")]
use crate::generation::Gathered;
use crate::generation::Tables;
use crate::order::{Epoch, Fault, Scheduler, Verdict};
use crate::reader::merge::Ready;
use crate::tables::Storage;
use crate::time::Time;
use crate::wire::Pieces;

/// How a reader takes damage: [`Strict`] or [`Lenient`](super::super::Lenient). Sealed.
pub trait Mode: Hooks {}

/// Ends at the first damage, as Go's reader does.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Strict;

impl Mode for Strict {}

/// What the engine asks. Those that are asked only `if M::LENIENT` are no answers of a strict mode.
#[expect(private_interfaces, reason = "nobody else can name or implement this")]
pub trait Hooks: Sized {
    const LENIENT: bool;
    type State: Send + Sync;
    const NEW: Self::State;

    /// A cursor's next record cannot be decoded: gives the time of the next event on its thread, if there
    /// is one.
    fn undecodable<S: Storage>(
        engine: &mut Engine<S, Self>,
        input: &Pieces<'_>,
        at: u32,
        error: Error,
    ) -> Result<Option<Time>, Error>
    where
        Self: Mode;

    /// The model refuses a cursor's event.
    fn refused<S: Storage>(
        engine: &mut Engine<S, Self>,
        input: &Pieces<'_>,
        at: u32,
        fault: Fault,
    ) -> Result<bool, Error>
    where
        Self: Mode;

    /// No event may come next.
    fn stuck<S: Storage>(
        engine: &mut Engine<S, Self>,
        input: &Pieces<'_>,
        error: Error,
    ) -> Result<bool, Error>
    where
        Self: Mode;

    /// Asks the model.
    fn advance<S: Storage>(
        scheduler: &mut Scheduler<S>,
        raw: &mut Raw,
        slot: u32,
        tables: &Tables<S>,
        input: &Pieces<'_>,
        epoch: Epoch,
        further: &mut Ready,
    ) -> Result<Verdict, Fault>;

    /// Makes ready what is to be given before the next event, if there is anything.
    fn pending<S: Storage>(_: &mut Engine<S, Self>, _: &Pieces<'_>) -> Result<bool, Error>
    where
        Self: Mode,
    {
        Ok(false)
    }

    /// Whether [`pending`](Hooks::pending) would.
    fn is_pending<S: Storage>(_: &Engine<S, Self>) -> bool
    where
        Self: Mode,
    {
        false
    }

    /// Whether the input is read, and more of it must come before anything can be given: what was left of
    /// it gave no event.
    fn awaits_input<S: Storage>(_: &Engine<S, Self>, _: bool) -> bool
    where
        Self: Mode,
    {
        false
    }

    /// Loads the next generation, or ends the trace.
    fn load<S: Storage>(_: &mut Engine<S, Self>, _: &Pieces<'_>, _: bool) -> Result<(), Error>
    where
        Self: Mode,
    {
        Ok(())
    }

    /// Looks for the next generation in an input that may go on: says where it ends, and whether nothing
    /// follows; `None` if more of the input is needed.
    #[cfg(feature = "std")]
    fn gather<S: Storage>(_: &mut Engine<S, Self>, _: &Pieces<'_>, _: bool) -> Option<Gathered>
    where
        Self: Mode,
    {
        None
    }

    /// The earliest event must wait: gives the event that comes next, if that is decided.
    fn wait<S: Storage>(_: &mut Engine<S, Self>, _: &Pieces<'_>) -> Option<Result<bool, Error>>
    where
        Self: Mode,
    {
        None
    }

    /// Before, and after, an event that is not the earliest is tried: the same.
    fn before_later<S: Storage>(
        _: &mut Engine<S, Self>,
        _: &Pieces<'_>,
        _: usize,
    ) -> Option<Result<bool, Error>>
    where
        Self: Mode,
    {
        None
    }

    fn after_later<S: Storage>(
        _: &mut Engine<S, Self>,
        _: &Pieces<'_>,
        _: usize,
    ) -> Option<Result<bool, Error>>
    where
        Self: Mode,
    {
        None
    }
}

#[expect(private_interfaces, reason = "nobody else can name or implement this")]
impl Hooks for Strict {
    const LENIENT: bool = false;
    type State = ();
    const NEW: () = ();

    #[inline(always)]
    fn undecodable<S: Storage>(
        engine: &mut Engine<S, Self>,
        _: &Pieces<'_>,
        _: u32,
        error: Error,
    ) -> Result<Option<Time>, Error> {
        engine.fail(error)
    }

    #[inline(always)]
    fn refused<S: Storage>(
        engine: &mut Engine<S, Self>,
        input: &Pieces<'_>,
        at: u32,
        fault: Fault,
    ) -> Result<bool, Error> {
        engine.refuse(input, at, fault)
    }

    #[inline(always)]
    fn stuck<S: Storage>(
        engine: &mut Engine<S, Self>,
        _: &Pieces<'_>,
        error: Error,
    ) -> Result<bool, Error> {
        engine.fail(error)
    }

    #[inline(always)]
    fn advance<S: Storage>(
        scheduler: &mut Scheduler<S>,
        raw: &mut Raw,
        slot: u32,
        tables: &Tables<S>,
        input: &Pieces<'_>,
        epoch: Epoch,
        further: &mut Ready,
    ) -> Result<Verdict, Fault> {
        scheduler.advance::<true, false>(raw, slot, tables, input, epoch, further)
    }
}
