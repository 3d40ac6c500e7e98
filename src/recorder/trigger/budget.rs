//! How many snapshots are kept.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use std::path::{Path, PathBuf};

/// Keeps count of the snapshots that there are, and says which to remove: the oldest, while there are
/// more than so many, or more bytes. The newest always stays.
///
/// It removes nothing itself.
///
/// ```
/// use gotrace::recorder::trigger::Budget;
///
/// let mut budget = Budget::new().with_max_bytes(100);
/// assert!(budget.add("a.trace".as_ref(), 60).is_empty());
/// assert_eq!(budget.add("b.trace".as_ref(), 50), ["a.trace".as_ref() as &std::path::Path]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Budget {
    max_count: Option<usize>,
    max_bytes: Option<u64>,
    /// The oldest first.
    kept: VecDeque<(PathBuf, u64)>,
    bytes: u64,
}

impl Budget {
    /// Without a bound.
    pub fn new() -> Budget {
        Budget::default()
    }

    /// At most so many snapshots.
    #[must_use]
    pub const fn with_max_count(mut self, count: usize) -> Budget {
        self.max_count = Some(count);
        self
    }

    /// At most so many bytes in all of them.
    #[must_use]
    pub const fn with_max_bytes(mut self, bytes: u64) -> Budget {
        self.max_bytes = Some(bytes);
        self
    }

    /// There is one more, of so many bytes, newer than the others. Gives those that are to be removed, of
    /// which it takes no further notice.
    pub fn add(&mut self, path: &Path, bytes: u64) -> Vec<PathBuf> {
        self.kept.push_back((path.to_path_buf(), bytes));
        self.bytes = self.bytes.saturating_add(bytes);
        let mut removed = Vec::new();
        while self.kept.len() > 1
            && (self.max_count.is_some_and(|most| self.kept.len() > most)
                || self.max_bytes.is_some_and(|most| self.bytes > most))
        {
            if let Some((path, bytes)) = self.kept.pop_front() {
                self.bytes = self.bytes.saturating_sub(bytes);
                removed.push(path);
            }
        }
        removed
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.kept.len()
    }

    /// The bytes of all of them.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}
