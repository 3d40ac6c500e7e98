//! Which cursor's event comes first: a heap of cursors.

use crate::tables::NIL;
use alloc::vec::Vec;

/// Cursors by the times of their events: a heap. Which of two comes first at one time depends on how
/// it is built, and is as in Go.
///
/// Times and cursors are in lists of their own: what has just been written is read again at once,
/// and as one copy of both that would have to wait.
pub(super) struct Frontier {
    times: Vec<i64>,
    cursors: Vec<u32>,
    /// A cursor with an event sooner than this need not be pushed: it would come next, and the heap
    /// would be as it was. The lowest time, so that none is sooner, from another change of the heap to
    /// the next [`exchange`](Frontier::exchange).
    pub(super) limit: i64,
}

impl Frontier {
    pub(super) const fn new() -> Frontier {
        Frontier {
            times: Vec::new(),
            cursors: Vec::new(),
            limit: i64::MIN,
        }
    }

    /// Adds a cursor, whose event has this time.
    pub(super) fn push(&mut self, time: i64, cursor: u32) {
        self.limit = i64::MIN;
        let end = self.times.len();
        self.times.push(time);
        self.cursors.push(cursor);
        let at = self.climb(end, time);
        self.set(at, time, cursor);
    }

    /// Takes the cursor away whose event comes first.
    pub(super) fn pop(&mut self) -> Option<u32> {
        self.limit = i64::MIN;
        let (time, cursor) = (self.times.pop()?, self.cursors.pop()?);
        let Some(&first) = self.cursors.first() else {
            return Some(cursor);
        };
        self.put_first(time, cursor);
        Some(first)
    }

    /// Pushes a cursor, and pops the one that comes next.
    #[inline(always)]
    pub(super) fn exchange(&mut self, time: i64, cursor: u32) -> u32 {
        if self.limit == i64::MIN {
            self.find_limit();
        }
        if time < self.limit {
            return cursor;
        }
        let Some(&first) = self.cursors.first() else {
            return cursor;
        };
        // It would climb from a new place at the end, and what is in the last place then would be put
        // first. That place need not be made.
        let mut at = self.times.len().wrapping_sub(1).wrapping_shr(1);
        let (last, its) = self.entry(at);
        let next = if time >= last {
            self.put_first(time, cursor);
            first
        } else {
            at = self.climb(at, time);
            self.set(at, time, cursor);
            self.put_first(last, its);
            if at == 0 { cursor } else { first }
        };
        // The next event of that cursor is quick to place then.
        self.find_limit();
        next
    }

    /// Moves what is above a place and later than this time down by one, and gives the place that
    /// becomes free.
    #[inline(always)]
    fn climb(&mut self, from: usize, time: i64) -> usize {
        let mut at = from;
        while at > 0 {
            let parent = at.wrapping_sub(1).wrapping_shr(1);
            let (above, its) = self.entry(parent);
            if time >= above {
                break;
            }
            self.set(at, above, its);
            at = parent;
        }
        at
    }

    /// Finds the limit of the heap as it is.
    #[inline]
    fn find_limit(&mut self) {
        // A cursor would climb from the end, and everything on its way would go down and up again. Equal
        // times would end up in another order: only the last parent's do not matter.
        let len = self.times.len();
        let mut at = len.wrapping_sub(1).wrapping_shr(1);
        let mut limit = self.time(0);
        while at > 0 && at < len {
            at = at.wrapping_sub(1).wrapping_shr(1);
            let left = at.wrapping_mul(2).wrapping_add(1);
            let time = self.time(at);
            if time >= self.time(left) || time >= self.time(left.wrapping_add(1)) {
                // Nothing is sooner.
                limit = i64::MIN;
            }
        }
        self.limit = limit;
    }

    /// Puts an entry in the place of the first, and then where it belongs.
    #[inline(always)]
    fn put_first(&mut self, time: i64, cursor: u32) {
        self.limit = i64::MIN;
        let mut at = 0usize;
        loop {
            let left = at.wrapping_mul(2).wrapping_add(1);
            let right = left.wrapping_add(1);
            let child = if self.time(right) < self.time(left) {
                right
            } else {
                left
            };
            let (below, its) = self.entry(child);
            if below >= time {
                return self.set(at, time, cursor);
            }
            self.set(at, below, its);
            at = child;
        }
    }

    #[inline(always)]
    fn set(&mut self, at: usize, time: i64, cursor: u32) {
        if let (Some(its_time), Some(its)) = (self.times.get_mut(at), self.cursors.get_mut(at)) {
            (*its_time, *its) = (time, cursor);
        }
    }

    #[inline(always)]
    fn entry(&self, at: usize) -> (i64, u32) {
        (self.time(at), self.cursors.get(at).copied().unwrap_or(NIL))
    }

    /// The time of an entry; none is later than all.
    #[inline(always)]
    fn time(&self, at: usize) -> i64 {
        self.times.get(at).copied().unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A heap as it is in every textbook, and in Go.
    #[derive(Default)]
    struct Naive(Vec<(i64, u32)>);

    impl Naive {
        fn push(&mut self, entry: (i64, u32)) {
            self.0.push(entry);
            let mut at = self.0.len() - 1;
            while at > 0 && self.0[at].0 < self.0[(at - 1) / 2].0 {
                self.0.swap(at, (at - 1) / 2);
                at = (at - 1) / 2;
            }
        }

        fn pop(&mut self) -> Option<u32> {
            let last = self.0.len().checked_sub(1)?;
            self.0.swap(0, last);
            let popped = self.0.pop()?;
            let mut at = 0;
            loop {
                let (left, right) = (2 * at + 1, 2 * at + 2);
                if left >= self.0.len() {
                    return Some(popped.1);
                }
                let mut child = left;
                if right < self.0.len() && self.0[right].0 < self.0[left].0 {
                    child = right;
                }
                if self.0[child].0 >= self.0[at].0 {
                    return Some(popped.1);
                }
                self.0.swap(at, child);
                at = child;
            }
        }
    }

    /// Also which of two comes first at one time is the same, whatever is left out on the way.
    #[test]
    fn shortcuts_give_what_a_plain_heap_gives() {
        let (mut ours, mut naive) = (Frontier::new(), Naive::default());
        let mut seed = 1u64;
        let mut random = |end: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % end
        };
        for n in 0..200_000u32 {
            let time = random(12) as i64 + i64::from(n) / 5;
            match random(if n % 1000 < 500 { 8 } else { 5 }) {
                0 | 7 => {
                    ours.push(time, n);
                    naive.push((time, n));
                }
                1 | 6 if ours.times.len() > 1 => assert_eq!(ours.pop(), naive.pop()),
                _ => {
                    naive.push((time, n));
                    assert_eq!(Some(ours.exchange(time, n)), naive.pop());
                }
            }
            assert!(ours.times.len() < 100_000);
            if n % 64 == 0 {
                let heap = ours.times.iter().copied().zip(ours.cursors.iter().copied());
                assert!(heap.eq(naive.0.iter().copied()));
            }
        }
    }
}
