//! Batches that many may hold at once.

use crate::wire::Batches;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// Complete batches of one generation, in the order of the trace, shared: a clone is one more
/// reference to the same bytes.
///
/// Between the header and the end of a trace, the bytes of all that a source hands out follow each
/// other as they do in the trace; the markers that end generations since Go 1.26 are among them.
#[derive(Clone)]
pub struct SharedBatches {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    start: usize,
    end: usize,
}

impl SharedBatches {
    /// The batches in a range of what `owner` holds: for sources, which must see to it that they are
    /// complete. The owner lives, whole, as long as any part of it is shared.
    ///
    /// A range beyond the end is cut off there.
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>, range: Range<usize>) -> SharedBatches {
        let len = (*owner).as_ref().len();
        let end = range.end.min(len);
        SharedBatches {
            owner,
            start: range.start.min(end),
            end,
        }
    }

    /// The bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        (*self.owner)
            .as_ref()
            .get(self.start..self.end)
            .unwrap_or(&[])
    }

    /// The batches one by one, with offsets that count from the first byte of these.
    pub fn iter(&self) -> Batches<'_> {
        Batches::new(self.as_bytes())
    }

    /// The length in bytes.
    #[inline]
    pub const fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether there are no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// As [`SharedBatches::new`], of the whole.
impl From<Vec<u8>> for SharedBatches {
    fn from(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        SharedBatches::new(Arc::new(bytes), 0..end)
    }
}

impl AsRef<[u8]> for SharedBatches {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl<'a> IntoIterator for &'a SharedBatches {
    type Item = <Batches<'a> as Iterator>::Item;
    type IntoIter = Batches<'a>;

    fn into_iter(self) -> Batches<'a> {
        self.iter()
    }
}

impl fmt::Debug for SharedBatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBatches")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
