//! The bytes of a trace: one slice, or several in order.

use crate::error::{Error, ErrorKind};
use crate::num;

/// A trace's bytes: a first piece and those that follow it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces<'t> {
    first: &'t [u8],
    rest: &'t [&'t [u8]],
    /// How many bytes of the trace stand before the first piece (modulo 2^64).
    base: u64,
}

impl<'t> Pieces<'t> {
    pub(crate) const fn new(bytes: &'t [u8]) -> Self {
        Pieces {
            first: bytes,
            rest: &[],
            base: 0,
        }
    }

    pub(crate) const fn from_pieces(pieces: &'t [&'t [u8]]) -> Self {
        match pieces.split_first() {
            Some((first, rest)) => Pieces {
                first,
                rest,
                base: 0,
            },
            None => Pieces {
                first: &[],
                rest: &[],
                base: 0,
            },
        }
    }

    /// The first piece, followed by others.
    #[cfg(feature = "alloc")]
    pub(crate) const fn followed_by(self, rest: &'t [&'t [u8]]) -> Self {
        Pieces { rest, ..self }
    }

    /// The same bytes as a later part of a trace: `base` bytes stand before them.
    #[cfg(feature = "std")]
    pub(crate) const fn at(self, base: u64) -> Self {
        Pieces { base, ..self }
    }

    /// The bytes of a piece; none past the last.
    #[inline(always)]
    pub(crate) fn piece(&self, n: u32) -> Option<&'t [u8]> {
        match n.checked_sub(1) {
            None => Some(self.first),
            Some(n) => self.rest.get(num::index(n)).copied(),
        }
    }

    /// The bytes of a span; empty for one that is not of this input.
    #[inline(always)]
    pub(crate) fn bytes(&self, span: Span) -> &'t [u8] {
        let end = span.at.saturating_add(num::index(span.len));
        self.piece(span.piece)
            .and_then(|p| p.get(span.at..end))
            .unwrap_or(&[])
    }

    /// How many bytes stand before a place.
    pub(crate) fn offset(&self, place: Place) -> u64 {
        let before: u64 = match place.piece {
            0 => 0,
            n => core::iter::once(&self.first)
                .chain(self.rest)
                .take(num::index(n))
                .fold(0, |sum, p| sum.saturating_add(num::wide(p.len()))),
        };
        self.base
            .wrapping_add(before)
            .wrapping_add(num::wide(place.at))
    }

    /// The place of an offset, at the start of the later piece where two meet.
    pub(crate) fn place(&self, offset: u64) -> Place {
        let mut left = offset.wrapping_sub(self.base);
        let mut place = Place::default();
        while let Some(bytes) = self.piece(place.piece) {
            let len = num::wide(bytes.len());
            let last = self.piece(place.piece.saturating_add(1)).is_none();
            if left < len || last {
                place.at = num::narrow(left);
                break;
            }
            left = left.saturating_sub(len);
            place.piece = place.piece.saturating_add(1);
        }
        place
    }

    /// The number of bytes in all pieces.
    pub(crate) fn len(&self) -> u64 {
        self.rest
            .iter()
            .fold(num::wide(self.first.len()), |sum, p| {
                sum.saturating_add(num::wide(p.len()))
            })
    }

    /// An error of a kind about a value, at a place.
    #[cold]
    pub(crate) fn error(&self, kind: ErrorKind, value: u64, place: Place) -> Error {
        Error::new(kind, value, self.offset(place))
    }
}

/// A position in [`Pieces`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) piece: u32,
    pub(crate) at: usize,
}

impl Place {
    /// So many bytes later in the same piece.
    #[inline(always)]
    pub(crate) fn plus(self, bytes: usize) -> Place {
        Place {
            at: self.at.saturating_add(bytes),
            ..self
        }
    }
}

/// A run of bytes within one piece of [`Pieces`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) piece: u32,
    pub(crate) at: usize,
    pub(crate) len: u32,
}

impl Span {
    #[inline(always)]
    pub(crate) fn place(self) -> Place {
        Place {
            piece: self.piece,
            at: self.at,
        }
    }
}
