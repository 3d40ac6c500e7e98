//! Timed events: the records of an event batch.

use super::encoder::Encoder;
use super::spec::{Arg, Class, EventType, MAX_TIMED_ARGS, by_timed_type};
use crate::error::{Error, ErrorKind};
use crate::ids::Offset;
use crate::num;
use crate::varint::{self, Fault};
use core::iter::FusedIterator;

/// A timed event as it is in a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TimedEvent {
    /// The type.
    pub ty: EventType,
    /// Trace clock units since the event before it, or since the batch's time.
    pub dt: u64,
    /// The other arguments, in the table's order; 0 past the last.
    pub args: [u64; MAX_TIMED_ARGS - 1],
}

impl TimedEvent {
    /// The longest encoding, in bytes.
    pub const MAX_LEN: usize = 1 + MAX_TIMED_ARGS * varint::MAX_LEN;

    /// An event of this type, time difference and arguments; those that the type does not have are
    /// not written.
    pub const fn new(ty: EventType, dt: u64, args: [u64; MAX_TIMED_ARGS - 1]) -> Self {
        TimedEvent { ty, dt, args }
    }

    /// How many bytes [`Encoder::event`] writes; 0 for a type that is not timed.
    pub fn encoded_len(&self) -> usize {
        match self.ty.timed_args() {
            0 => 0,
            count => {
                let args = self.args.iter().take(count.wrapping_sub(1));
                let len = 1usize.wrapping_add(varint::len(self.dt));
                args.fold(len, |len, arg| len.wrapping_add(varint::len(*arg)))
            }
        }
    }

    /// The arguments that the type has, with their names and roles, without the time difference.
    pub fn named_args(&self) -> impl Iterator<Item = (Arg, u64)> + '_ {
        let specs = self.ty.spec().map_or(&[][..], |spec| spec.args);
        specs.iter().skip(1).copied().zip(self.args)
    }
}

/// The timed events of a batch's payload, one by one.
///
/// After an error there is nothing more.
#[derive(Clone, Debug)]
pub struct Events<'t> {
    data: &'t [u8],
    at: usize,
    base: u64,
}

impl<'t> Events<'t> {
    /// The events of a payload that is at `offset`, to which the offsets of errors refer.
    #[inline]
    pub const fn new(data: &'t [u8], offset: Offset) -> Self {
        Events {
            data,
            at: 0,
            base: offset.0,
        }
    }

    /// Where the next event is: bytes from the start of the trace.
    #[inline]
    pub fn offset(&self) -> Offset {
        Offset(self.base.wrapping_add(num::wide(self.at)))
    }

    /// The next event; `None` at the end of the payload.
    ///
    /// Errors: [`UnknownEvent`](ErrorKind::UnknownEvent),
    /// [`UntimedEvent`](ErrorKind::UntimedEvent), [`BatchOverrun`](ErrorKind::BatchOverrun),
    /// [`VarintOverflow`](ErrorKind::VarintOverflow).
    #[expect(
        clippy::should_implement_trait,
        reason = "fallible: see `Iterator` below"
    )]
    #[inline(always)]
    pub fn next(&mut self) -> Result<Option<TimedEvent>, Error> {
        if self.at >= self.data.len() {
            return Ok(None);
        }
        let mut event = TimedEvent::default();
        match decode(self.data, self.at, &mut event) {
            Ok(next) => {
                self.at = next;
                Ok(Some(event))
            }
            Err(fault) => {
                let error = fault.error(self.data, self.at, self.base);
                self.at = self.data.len();
                Err(error)
            }
        }
    }
}

impl Iterator for Events<'_> {
    type Item = Result<TimedEvent, Error>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        Events::next(self).transpose()
    }

    /// An event has at least two bytes. What is left may be an error at once.
    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.data.len().saturating_sub(self.at);
        (usize::from(left > 0), Some(left.div_ceil(2)))
    }
}

// After the last event, and after an error, the position is the payload's end, and stays there.
impl FusedIterator for Events<'_> {}

/// Why no event could be decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Undecodable {
    Type,
    Argument(Fault, usize),
}

impl Undecodable {
    /// The error of the event at `at` in a payload that is `base` bytes into the trace.
    #[cold]
    pub(crate) fn error(self, data: &[u8], at: usize, base: u64) -> Error {
        let ty = EventType(data.get(at).copied().unwrap_or(0));
        let place = |at: usize| base.wrapping_add(num::wide(at));
        match self {
            Undecodable::Type => {
                let known = ty.is_known();
                let kind = if known {
                    ErrorKind::UntimedEvent
                } else {
                    ErrorKind::UnknownEvent
                };
                Error::at(kind, u64::from(ty.0), place(at))
            }
            Undecodable::Argument(Fault::Short, _) => {
                Error::at(ErrorKind::BatchOverrun, 1, place(data.len()))
            }
            Undecodable::Argument(Fault::Overflow, at) => {
                Error::at(ErrorKind::VarintOverflow, 0, place(at))
            }
        }
    }
}

/// Decodes the event at `at` into `event`, and says where the next one is.
///
/// Every event of a trace passes through here. Arguments are read one by one, not in a loop, so
/// that those of an inlined event live in registers.
#[inline(always)]
pub(crate) fn decode(data: &[u8], at: usize, event: &mut TimedEvent) -> Result<usize, Undecodable> {
    let Some(&first) = data.get(at) else {
        return Err(Undecodable::Type);
    };
    let ty = EventType(first);
    let count = ty.timed_args();
    if count == 0 {
        return Err(Undecodable::Type);
    }
    let read = |at| varint::read_at(data, at).map_err(|fault| Undecodable::Argument(fault, at));
    let [mut a, mut b, mut c, mut d] = [0; MAX_TIMED_ARGS - 1];
    let (dt, mut at) = read(at.wrapping_add(1))?;
    if count > 1 {
        (a, at) = read(at)?;
    }
    if count > 2 {
        (b, at) = read(at)?;
    }
    if count > 3 {
        (c, at) = read(at)?;
    }
    if count > 4 {
        (d, at) = read(at)?;
    }
    let args = [a, b, c, d];
    *event = TimedEvent { ty, dt, args };
    Ok(at)
}

/// Events to be gone past, by their first byte.
#[cfg(feature = "std")]
pub(crate) struct Skips([Skip; 256]);

/// How an event is gone past: one more than none, one and two arguments end before the last of it.
#[cfg(feature = "std")]
#[derive(Clone, Copy)]
struct Skip {
    more: [u8; 3],
    stops: bool,
}

#[cfg(feature = "std")]
impl Skips {
    /// Goes past all events but those of certain types.
    pub(crate) const fn all_but(stops_at: &[EventType]) -> Skips {
        let stop = Skip {
            more: [0; 3],
            stops: true,
        };
        let mut table = [stop; 256];
        let mut rest: &mut [Skip] = &mut table;
        let mut number: u8 = 0;
        while let Some((entry, tail)) = rest.split_first_mut() {
            if let Some(spec) = EventType(number).spec()
                && matches!(spec.class, Class::Timed)
            {
                let more = match spec.args {
                    [_] => Some([0, 0, 0]),
                    [_, _] => Some([1, 0, 0]),
                    [_, _, _] => Some([1, 1, 0]),
                    [_, _, _, _] => Some([1, 1, 1]),
                    _ => None,
                };
                let mut stops = stops_at;
                let mut is_stop = false;
                while let Some((ty, others)) = stops.split_first() {
                    is_stop |= ty.0 == number;
                    stops = others;
                }
                if let Some(more) = more
                    && !is_stop
                {
                    *entry = Skip { more, stops: false };
                }
            }
            rest = tail;
            number = number.wrapping_add(1);
        }
        Skips(table)
    }

    /// Goes past events of several batches in turn, until it is at one in any of them that is of
    /// another type, whose arguments are unusually many or long, or that is near the end; says which
    /// batch.
    ///
    /// Nothing here depends on what is read but the way to the next event, so that no jump can be
    /// mispredicted; and while one batch waits for that, the others go on.
    pub(crate) fn skip<const N: usize>(&self, lanes: &mut [Lane<'_>; N]) -> usize {
        loop {
            for (at, lane) in lanes.iter_mut().enumerate() {
                match self.after(lane.data, lane.at) {
                    Some(next) => lane.at = next,
                    None => return at,
                }
            }
        }
    }

    /// Where the event ends at a place, if it is to be gone past.
    #[inline(always)]
    fn after(&self, data: &[u8], at: usize) -> Option<usize> {
        const TOPS: u64 = 0x8080_8080_8080_8080;
        let Skips(table) = self;
        let [first, numbers @ ..] = data.get(at..)?.first_chunk::<9>()?;
        let skip = table.get(usize::from(*first))?;
        // The top bits of the bytes that end a number: the last one of the event is to be found.
        let mut ends = !u64::from_le_bytes(*numbers) & TOPS;
        for more in skip.more {
            ends &= ends.wrapping_sub(u64::from(more));
        }
        if skip.stops || ends == 0 {
            return None;
        }
        let len = num::index(ends.trailing_zeros().wrapping_shr(3));
        Some(at.wrapping_add(len).wrapping_add(2))
    }
}

/// How far the events of a batch were gone past.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lane<'b> {
    pub(crate) data: &'b [u8],
    pub(crate) at: usize,
}

impl Encoder<'_> {
    /// Writes a timed event: at most [`TimedEvent::MAX_LEN`] bytes.
    ///
    /// Errors: [`NoSpace`](ErrorKind::NoSpace), [`UntimedEvent`](ErrorKind::UntimedEvent),
    /// [`NotInVersion`](ErrorKind::NotInVersion).
    #[inline]
    pub fn event(&mut self, event: &TimedEvent) -> Result<(), Error> {
        self.event_after(event.dt, event)
    }

    /// Writes an event with another time difference.
    #[inline(always)]
    pub(super) fn event_after(&mut self, dt: u64, event: &TimedEvent) -> Result<(), Error> {
        let ty = event.ty.0;
        let written = WRITTEN.get(usize::from(ty)).copied().unwrap_or(0);
        let count = usize::from(written & 7);
        let args = event.args.get(..count.wrapping_sub(1));
        match args.filter(|_| self.has(written.wrapping_shr(3))) {
            Some(args) => self.timed(ty, dt, args),
            None => Err(self.refuse(event.ty)),
        }
    }

    #[cold]
    fn refuse(&self, ty: EventType) -> Error {
        let kind = match ty.timed_args() {
            0 => ErrorKind::UntimedEvent,
            _ => ErrorKind::NotInVersion,
        };
        self.error(kind, u64::from(ty.0))
    }
}

/// Of each timed type, by its number: how many numbers it has in the low three bits, and in the
/// others N of the Go 1.N that it came with. 0 for other types.
static WRITTEN: [u8; 256] = by_timed_type!(
    spec => num::low_byte(num::wide(spec.args.len())) | spec.since.minor().wrapping_shl(3)
);
