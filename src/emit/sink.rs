//! Where a trace goes.

use crate::wire::{Encoder, Version};

/// Takes a trace as it is written: a recorder in memory, a file, a wire.
///
/// The trace comes in wholes: its header with the first generation, then one generation after the
/// other. A whole comes completely or not at all, so that what a sink holds is a trace at all times
/// but between the pieces of one.
pub trait Sink {
    /// Whether there is room for a whole of `len` bytes. If so, that many follow in calls of
    /// [`put`](Sink::put), before anything else. If not, the whole does not come, and is not offered
    /// again.
    fn reserve(&mut self, len: usize) -> bool;

    /// The next bytes of a whole.
    fn put(&mut self, piece: &[u8]);

    /// A trace begins: its header, 16 bytes, is the next piece. What was taken before belongs to
    /// another trace.
    fn begin(&mut self, version: Version) {
        self.put(version.header());
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn begin(&mut self, version: Version) {
        (**self).begin(version);
    }

    fn reserve(&mut self, len: usize) -> bool {
        (**self).reserve(len)
    }

    fn put(&mut self, piece: &[u8]) {
        (**self).put(piece);
    }
}

/// Takes what fits in the buffer.
impl Sink for Encoder<'_> {
    fn reserve(&mut self, len: usize) -> bool {
        self.room() >= len
    }

    fn put(&mut self, piece: &[u8]) {
        // There is room: it was reserved.
        let fits = Encoder::put(self, piece);
        debug_assert!(fits.is_ok());
    }
}

/// Grows as long as there is memory.
#[cfg(feature = "alloc")]
impl Sink for alloc::vec::Vec<u8> {
    fn reserve(&mut self, len: usize) -> bool {
        self.try_reserve(len).is_ok()
    }

    fn put(&mut self, piece: &[u8]) {
        self.extend_from_slice(piece);
    }
}

/// Counts bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Length(pub(super) usize);

impl Sink for Length {
    fn reserve(&mut self, _: usize) -> bool {
        true
    }

    fn put(&mut self, piece: &[u8]) {
        self.0 = self.0.saturating_add(piece.len());
    }
}
