//! The frontier: each thread's next event, the earliest first.
//!
//! A binary heap by time. What comes first of two events at the same time is decided by the heap's
//! layout, and so by every step that led to it: the steps here are the ones Go's reader takes, so
//! that equal times give the same order.

use crate::tables::NIL;
use crate::tables::sort;
use crate::tables::{Full, List};
use crate::time::Time;

/// A thread's next event: when it happened, and where its cursor is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next {
    pub(crate) time: Time,
    pub(crate) cursor: u32,
}

/// The heap.
pub(crate) struct Frontier<L> {
    heap: L,
    /// The root's cursor.
    root: u32,
    /// The earliest time below the root: as long as the root is not later, it stays.
    limit: Time,
}

const fn parent(at: usize) -> usize {
    at.wrapping_sub(1).wrapping_shr(1)
}

impl<L: List<Next>> Frontier<L> {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Frontier {
            heap: L::EMPTY,
            root: NIL,
            limit: Time(i64::MAX),
        }
    }

    /// The same entries.
    #[cfg(feature = "alloc")]
    pub(crate) fn copied(&self) -> Result<Self, Full> {
        Ok(Frontier {
            heap: crate::tables::copied(&self.heap)?,
            ..*self
        })
    }

    /// Visits the entries that are no later than `limit`, parents before those below them, until `visit`
    /// says no.
    #[cfg(feature = "alloc")]
    pub(crate) fn up_to(&self, limit: Time, mut visit: impl FnMut(usize, Next) -> bool) {
        // Of each level of the heap, what is left to visit: the right one of two.
        let mut left = [0usize; 64];
        let mut depth = 0usize;
        let mut at = 0usize;
        loop {
            match self.get(at) {
                Some(next) if next.time <= limit => {
                    if !visit(at, next) {
                        return;
                    }
                    let below = at.wrapping_mul(2).wrapping_add(1);
                    if let Some(slot) = left.get_mut(depth) {
                        *slot = below.wrapping_add(1);
                    }
                    depth = depth.saturating_add(1);
                    at = below;
                }
                _ => {
                    let Some(up) = depth.checked_sub(1) else {
                        return;
                    };
                    depth = up;
                    at = left.get(up).copied().unwrap_or(usize::MAX);
                }
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.heap.clear();
        self.find_root();
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    #[inline(always)]
    pub(crate) fn get(&self, at: usize) -> Option<Next> {
        self.heap.get(at).copied()
    }

    pub(crate) fn insert(&mut self, next: Next) -> Result<(), Full> {
        self.heap.push(next)?;
        self.sift_up(self.heap.len().wrapping_sub(1));
        self.find_root();
        Ok(())
    }

    /// The cursor of the earliest event; [`NIL`] if there is none.
    #[inline(always)]
    pub(crate) const fn root(&self) -> u32 {
        self.root
    }

    /// Whether the root would stay with a later time. If so, that need not be told at once, only
    /// before anything else is asked for.
    #[inline(always)]
    pub(crate) fn root_stays(&self, time: Time) -> bool {
        // A thread often has several events before those of others.
        time <= self.limit
    }

    /// Gives the root a later time, and moves it where it belongs.
    #[inline]
    pub(crate) fn update_root(&mut self, time: Time) {
        if let Some(entry) = self.heap.first_mut() {
            entry.time = time;
        }
        self.sift_down(0);
        self.find_root();
    }

    /// Gives the entry at `at` a new time, and moves it where it belongs.
    pub(crate) fn update(&mut self, at: usize, time: Time) {
        if let Some(entry) = self.heap.get_mut(at) {
            entry.time = time;
        }
        if self.sift_up(at) == at {
            self.sift_down(at);
        }
        self.find_root();
    }

    /// Removes the entry at `at`: it is moved to the root whatever its time, and replaced there by
    /// the last.
    pub(crate) fn remove(&mut self, mut at: usize) {
        while at > 0 {
            self.swap(at, parent(at));
            at = parent(at);
        }
        self.swap(0, self.heap.len().wrapping_sub(1));
        self.heap.pop();
        self.sift_down(0);
        self.find_root();
    }

    fn find_root(&mut self) {
        let none = Next {
            time: Time(i64::MAX),
            cursor: NIL,
        };
        let at = |n| self.get(n).unwrap_or(none);
        let (root, limit) = (at(0).cursor, at(1).time.min(at(2).time));
        self.root = root;
        self.limit = limit;
    }

    /// Sorts all entries by time, which leaves a heap.
    #[cold]
    pub(crate) fn sort(&mut self) {
        sort::sort(&mut self.heap, |next| next.time);
        self.find_root();
    }

    fn swap(&mut self, a: usize, b: usize) {
        if a < self.heap.len() && b < self.heap.len() {
            self.heap.swap(a, b);
        }
    }

    fn sift_up(&mut self, mut at: usize) -> usize {
        while at > 0 {
            match (self.heap.get(parent(at)), self.heap.get(at)) {
                (Some(above), Some(this)) if above.time > this.time => {}
                _ => break,
            }
            self.swap(at, parent(at));
            at = parent(at);
        }
        at
    }

    #[inline(always)]
    fn sift_down(&mut self, mut at: usize) {
        let heap: &mut [Next] = &mut self.heap;
        let Some(&moving) = heap.get(at) else { return };
        loop {
            // What does not exist is later than everything; of two at the same time, the left goes.
            let left = at.wrapping_mul(2).wrapping_add(1);
            let Some(&first) = heap.get(left) else { break };
            let (mut child, mut least) = (left, first);
            if let Some(&second) = heap.get(left.wrapping_add(1))
                && second.time < first.time
            {
                (child, least) = (left.wrapping_add(1), second);
            }
            if least.time >= moving.time {
                break;
            }
            if let Some(entry) = heap.get_mut(at) {
                *entry = least;
            }
            at = child;
        }
        if let Some(entry) = heap.get_mut(at) {
            *entry = moving;
        }
    }
}
