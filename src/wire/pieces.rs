//! The bytes of a trace: one slice, or several in order.

use crate::error::{Error, ErrorKind};
use crate::num;

/// A trace's bytes: a first piece and those that follow it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces<'t> {
    first: &'t [u8],
    rest: &'t [&'t [u8]],
    /// How many bytes of the trace are before the first piece (modulo 2^64).
    base: u64,
    /// How many bytes at the start of the first piece were moved there from elsewhere in the trace.
    moved: usize,
    /// Names that the trace lacks: the piece [`Span::NAMES`].
    #[cfg(feature = "alloc")]
    names: &'t [u8],
}

impl<'t> Pieces<'t> {
    pub(crate) const fn new(bytes: &'t [u8]) -> Self {
        Pieces {
            first: bytes,
            rest: &[],
            base: 0,
            moved: 0,
            #[cfg(feature = "alloc")]
            names: &[],
        }
    }

    pub(crate) const fn from_pieces(pieces: &'t [&'t [u8]]) -> Self {
        match pieces.split_first() {
            Some((first, rest)) => Pieces {
                first,
                rest,
                base: 0,
                moved: 0,
                #[cfg(feature = "alloc")]
                names: &[],
            },
            None => Pieces {
                first: &[],
                rest: &[],
                base: 0,
                moved: 0,
                #[cfg(feature = "alloc")]
                names: &[],
            },
        }
    }

    /// The first piece, followed by others.
    #[cfg(feature = "alloc")]
    pub(crate) const fn followed_by(self, rest: &'t [&'t [u8]]) -> Self {
        Pieces { rest, ..self }
    }

    /// The same bytes as a later part of a trace: `base` bytes are before them, but for the first
    /// `moved` bytes, which are copies of earlier parts.
    #[cfg(feature = "std")]
    pub(crate) const fn at(self, base: u64, moved: usize) -> Self {
        Pieces {
            base,
            moved,
            ..self
        }
    }

    /// How many bytes of the trace are before a span; `None` if it was moved from where it was, or
    /// is empty.
    pub(crate) fn origin(&self, span: Span) -> Option<u64> {
        if span.piece == Span::ABSOLUTE {
            return (span.len > 0).then(|| num::wide(span.at));
        }
        let moved = (span.piece == 0 && span.at < self.moved) || span.piece == Span::NAMES;
        (span.len > 0 && !moved).then(|| self.offset(span.place()))
    }

    /// The bytes of a piece; none past the last.
    #[inline(always)]
    pub(crate) fn piece(&self, n: u32) -> Option<&'t [u8]> {
        match n.checked_sub(1) {
            None => Some(self.first),
            Some(n) => match self.rest.get(num::index(n)) {
                Some(piece) => Some(piece),
                None => self.after_all(n),
            },
        }
    }

    /// What is no piece of the trace.
    #[cold]
    const fn after_all(&self, n: u32) -> Option<&'t [u8]> {
        #[cfg(feature = "alloc")]
        if n.wrapping_add(1) == Span::NAMES {
            return Some(self.names);
        }
        let _ = n;
        None
    }

    /// The same bytes, with names that the trace lacks.
    #[cfg(feature = "alloc")]
    pub(crate) const fn with_names(self, names: &'t [u8]) -> Self {
        Pieces { names, ..self }
    }

    /// The bytes of a span; empty for one that is not of this input.
    #[inline(always)]
    pub(crate) fn bytes(&self, span: Span) -> &'t [u8] {
        let end = span.at.saturating_add(num::index(span.len));
        self.piece(span.piece)
            .and_then(|p| p.get(span.at..end))
            .unwrap_or(&[])
    }

    /// The bytes of a span of any kind: also of one that counts from the start of the trace.
    pub(crate) fn bytes_anywhere(&self, span: Span) -> &'t [u8] {
        if span.piece != Span::ABSOLUTE {
            return self.bytes(span);
        }
        let Place { piece, at } = self.place(num::wide(span.at));
        self.bytes(Span { piece, at, ..span })
    }

    /// How many bytes are before a place.
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
        Error::at(kind, value, self.offset(place))
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
    /// In the place of a piece's number: `at` counts from the start of the trace.
    pub(crate) const ABSOLUTE: u32 = u32::MAX;

    /// In the place of a piece's number: `at` counts in names that the trace lacks.
    pub(crate) const NAMES: u32 = u32::MAX - 1;

    /// A span by its offset from the start of the trace.
    pub(crate) const fn absolute(offset: u64, len: u32) -> Span {
        Span {
            piece: Span::ABSOLUTE,
            at: num::narrow(offset),
            len,
        }
    }

    #[inline(always)]
    pub(crate) fn place(self) -> Place {
        Place {
            piece: self.piece,
            at: self.at,
        }
    }
}
