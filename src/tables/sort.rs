//! Sorting with Go's choices between equal elements.
//!
//! Go's reader sorts its frontier and its CPU samples by time alone, with an unstable sort. What
//! comes first of two events at the same time is then a property of that algorithm, so "the same
//! events in the same order" needs the same decisions: pattern-defeating quicksort, with the
//! parameters of Go's `slices.SortFunc`.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "all numbers are places in a slice, or one beside them, whose length is at most \
              `isize::MAX`; a place that does not exist is not indexed, but passed over by `Elements`"
)]

use crate::num;

/// Up to so many elements are sorted by insertion.
const INSERTION: usize = 12;
/// From so many elements on, the pivot is a median of medians.
const NINTHER: usize = 50;
/// The comparisons that found a pivot all found elements in descending order.
const ALL_SWAPPED: usize = 12;
/// How many misplaced pairs are repaired in a range that looks sorted.
const REPAIRS: usize = 5;

/// Sorts by key as Go does: equal keys end up in the order in which Go would leave them.
pub(crate) fn sort<T, K: Ord>(all: &mut [T], key: impl Fn(&T) -> K) {
    let len = all.len();
    let limit = usize::BITS - len.leading_zeros();
    let all = &mut Keyed { all, key };
    // Where memory for code is scarce, one copy of it sorts everything.
    #[cfg(not(target_pointer_width = "64"))]
    let all: &mut dyn Elements = all;
    Sorter { all }.sort(0, len, limit);
}

/// What is sorted. Places that do not exist are neither less than others nor swapped.
trait Elements {
    fn less(&self, a: usize, b: usize) -> bool;
    fn swap(&mut self, a: usize, b: usize);
}

struct Keyed<'a, T, F> {
    all: &'a mut [T],
    key: F,
}

impl<T, K: Ord, F: Fn(&T) -> K> Elements for Keyed<'_, T, F> {
    fn less(&self, a: usize, b: usize) -> bool {
        match (self.all.get(a), self.all.get(b)) {
            (Some(a), Some(b)) => (self.key)(a) < (self.key)(b),
            _ => false,
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        // Nothing to do where both are the same.
        if let Ok([a, b]) = self.all.get_disjoint_mut([a, b]) {
            core::mem::swap(a, b);
        }
    }
}

struct Sorter<'a, E: ?Sized> {
    all: &'a mut E,
}

impl<E: Elements + ?Sized> Sorter<'_, E> {
    fn less(&self, a: usize, b: usize) -> bool {
        self.all.less(a, b)
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.all.swap(a, b);
    }

    /// Sorts from `start` to `end`. The recursion takes the smaller part: it is as deep as the
    /// length has bits.
    fn sort(&mut self, mut start: usize, mut end: usize, mut limit: u32) {
        let mut balanced = true;
        let mut partitioned = true;
        loop {
            let len = end - start;
            if len <= INSERTION {
                return self.insertion(start, end);
            }
            if limit == 0 {
                return self.heap(start, len);
            }
            if !balanced {
                self.scatter(start, len);
                limit -= 1;
            }
            let (mut pivot, swaps) = self.pivot(start, len);
            let mut ascending = swaps == 0;
            if swaps == ALL_SWAPPED {
                for n in 0..len / 2 {
                    self.swap(start + n, end - 1 - n);
                }
                pivot = end - 1 - (pivot - start);
                ascending = true;
            }
            if balanced && partitioned && ascending && self.repair(start, end) {
                return;
            }
            if start > 0 && !self.less(start - 1, pivot) {
                start = self.partition_equal(start, end, pivot);
                continue;
            }
            let (middle, was_partitioned) = self.partition(start, end, pivot);
            partitioned = was_partitioned;
            let left = middle - start;
            let right = end - middle;
            balanced = left.min(right) >= len / 8;
            if left < right {
                self.sort(start, middle, limit);
                start = middle + 1;
            } else {
                self.sort(middle + 1, end, limit);
                end = middle;
            }
        }
    }

    fn insertion(&mut self, start: usize, end: usize) {
        for i in start + 1..end {
            let mut at = i;
            while at > start && self.less(at, at - 1) {
                self.swap(at, at - 1);
                at -= 1;
            }
        }
    }

    fn heap(&mut self, start: usize, len: usize) {
        for root in (0..=(len - 1) / 2).rev() {
            self.sift(start, root, len);
        }
        for last in (0..len).rev() {
            self.swap(start, start + last);
            self.sift(start, 0, last);
        }
    }

    fn sift(&mut self, start: usize, mut root: usize, len: usize) {
        loop {
            let mut child = root * 2 + 1;
            if child >= len {
                return;
            }
            let at = |n: usize| start + n;
            if child + 1 < len && self.less(at(child), at(child + 1)) {
                child += 1;
            }
            if !self.less(at(root), at(child)) {
                return;
            }
            self.swap(at(root), at(child));
            root = child;
        }
    }

    /// Moves three elements to places that a fixed random sequence chooses.
    fn scatter(&mut self, start: usize, len: usize) {
        let mut random = num::wide(len);
        let bits = usize::BITS - len.leading_zeros();
        let mask = (1u64 << bits) - 1;
        let middle = start + len / 4 * 2;
        for n in 0..3usize {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut other = num::narrow(random & mask);
            if other >= len {
                other -= len;
            }
            self.swap(middle - 1 + n, start + other);
        }
    }

    /// A pivot, and how many of the comparisons that chose it found a descent.
    fn pivot(&self, start: usize, len: usize) -> (usize, usize) {
        let mut swaps = 0;
        let quarter = len / 4;
        let mut i = start + quarter;
        let mut j = i + quarter;
        let mut k = j + quarter;
        if len >= NINTHER {
            for at in [&mut i, &mut j, &mut k] {
                *at = self.median(*at - 1, *at, *at + 1, &mut swaps);
            }
        }
        (self.median(i, j, k, &mut swaps), swaps)
    }

    fn median(&self, mut a: usize, mut b: usize, mut c: usize, swaps: &mut usize) -> usize {
        let mut order = |a: &mut usize, b: &mut usize| {
            if self.less(*b, *a) {
                *swaps += 1;
                core::mem::swap(a, b);
            }
        };
        order(&mut a, &mut b);
        order(&mut b, &mut c);
        order(&mut a, &mut b);
        b
    }

    /// Repairs a range that looks sorted; says whether it is sorted afterwards.
    fn repair(&mut self, start: usize, end: usize) -> bool {
        let mut i = start + 1;
        for _ in 0..REPAIRS {
            while i < end && !self.less(i, i - 1) {
                i += 1;
            }
            if i == end {
                return true;
            }
            if end - start < NINTHER {
                return false;
            }
            self.swap(i, i - 1);
            if i - start >= 2 {
                let mut at = i - 1;
                while at >= 1 && self.less(at, at - 1) {
                    self.swap(at, at - 1);
                    at -= 1;
                }
            }
            if end - i >= 2 {
                let mut at = i + 1;
                while at < end && self.less(at, at - 1) {
                    self.swap(at, at - 1);
                    at += 1;
                }
            }
        }
        false
    }

    /// Puts what is smaller than the pivot before it and the rest after it; says where the pivot
    /// is then and whether all was in place.
    fn partition(&mut self, start: usize, end: usize, pivot: usize) -> (usize, bool) {
        self.swap(start, pivot);
        let mut i = start + 1;
        let mut j = end - 1;
        let mut in_place = true;
        loop {
            while i <= j && self.less(i, start) {
                i += 1;
            }
            while i <= j && !self.less(j, start) {
                j -= 1;
            }
            if i > j {
                break;
            }
            in_place = false;
            self.swap(i, j);
            i += 1;
            j -= 1;
        }
        self.swap(j, start);
        (j, in_place)
    }

    /// Puts what equals the pivot, the smallest there is, before the rest; says where that begins.
    fn partition_equal(&mut self, start: usize, end: usize, pivot: usize) -> usize {
        self.swap(start, pivot);
        let mut i = start + 1;
        let mut j = end - 1;
        loop {
            while i <= j && !self.less(start, i) {
                i += 1;
            }
            while i <= j && self.less(start, j) {
                j -= 1;
            }
            if i > j {
                return i;
            }
            self.swap(i, j);
            i += 1;
            j -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    /// The order of equal elements, for 400 arrays of several patterns: the fingerprint was made
    /// by Go 1.27's `slices.SortFunc` from the same arrays.
    #[test]
    fn orders_equal_elements_as_go_does() {
        let mut x = 88_172_645_463_325_252u64;
        let mut all = 0xcbf2_9ce4_8422_2325u64;
        for c in 0..400i64 {
            let n = 1 + c % 300;
            let mut array: Vec<(i64, i64)> = (0..n)
                .map(|i| {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                    let k = (x >> 33) as i64;
                    let key = match c % 5 {
                        0 => k % 4,
                        1 => k % 50,
                        2 => i / 3 - if i % 17 == 0 { 9 } else { 0 },
                        3 => (n - i) / 2,
                        _ => i ^ (k % 8),
                    };
                    (key, i)
                })
                .collect();
            super::sort(&mut array, |e| e.0);
            assert!(array.is_sorted_by_key(|e| e.0));
            let mut one = 0xcbf2_9ce4_8422_2325u64;
            for (_, i) in array {
                one = (one ^ i as u64).wrapping_mul(0x100_0000_01b3);
            }
            for byte in one.to_le_bytes() {
                all = (all ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
        assert_eq!(all, 0xedb5_2189_d0be_849d);
    }
}
