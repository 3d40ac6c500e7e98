//! Parking: where events wait that cannot come next, each by what it waits for.
//!
//! Go's reader tries every thread, in the order of their times, whenever the earliest event must
//! wait: with ten thousand threads that wait, ten thousand tries an event. Here an event that waits
//! is put aside, and is tried again when what it waits for has come. What comes next is the same,
//! the earliest event that can, since an event put aside is one that would have to wait; but for the
//! two differences in `src/docs/differences.md`, and those only in a generation in which more threads
//! than [`EXACT`] had events while the earliest had to wait: in others nothing is put aside.
//!
//! What is waited for is known to the number ([`Key`]), and an event whose key has come passes or
//! is an error. So it takes only the earliest of those with one key to be tried: if it passes, that
//! is a change that brings the next. Every event brings a few keys, and each key one try: n events
//! take n log n steps.

use crate::num;
use crate::order::Key;
use crate::tables::{Fork, Full, List, Tree, Words};
use crate::time::Time;

/// In a generation that never has more threads at a time, the order is Go's to the last detail.
pub(crate) const EXACT: usize = 256;

/// An event that may have to wait, in a list of such.
pub(crate) trait Waits {
    fn key(&self) -> Key;
    fn time(&self) -> Time;
}

/// Events put aside, by their positions in a list, which is passed to each method.
pub(crate) struct Parking<L> {
    by_key: Tree<L>,
    by_time: Tree<L>,
    len: usize,
}

impl<L: List<Fork>> Parking<L> {
    pub(crate) const fn new() -> Self {
        Parking {
            by_key: Tree::new(),
            by_time: Tree::new(),
            len: 0,
        }
    }

    /// The same events put aside.
    #[cfg(feature = "alloc")]
    pub(crate) fn copied(&self) -> Result<Self, Full> {
        Ok(Parking {
            by_key: self.by_key.copied()?,
            by_time: self.by_time.copied()?,
            len: self.len,
        })
    }

    pub(crate) fn clear(&mut self) {
        self.by_key.clear();
        self.by_time.clear();
        self.len = 0;
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Puts an event aside.
    pub(crate) fn park(&mut self, at: u32, all: &[impl Waits]) -> Result<(), Full> {
        self.by_key.insert(at, |at| words(at, all, true))?;
        self.by_time.insert(at, |at| words(at, all, false))?;
        self.len = self.len.wrapping_add(1);
        Ok(())
    }

    /// Takes an event back; says whether it was here.
    pub(crate) fn release(&mut self, at: u32, all: &[impl Waits]) -> bool {
        let was_here = self.by_key.remove(at, &words(at, all, true));
        if was_here {
            self.by_time.remove(at, &words(at, all, false));
            self.len = self.len.wrapping_sub(1);
        }
        was_here
    }

    /// The earliest event that waits for a key.
    pub(crate) fn first(&self, key: Key, all: &[impl Waits]) -> Option<u32> {
        self.by_key
            .first(&sorted(key, 0, 0), |at| words(at, all, true))
    }

    /// The earliest event of all.
    pub(crate) fn earliest(&self, all: &[impl Waits]) -> Option<u32> {
        self.by_time
            .first(&sorted(Key::ANY, 0, 0), |at| words(at, all, false))
    }
}

fn words(at: u32, all: &[impl Waits], with_key: bool) -> Words {
    let Some(waiting) = all.get(num::index(at)) else {
        return [u64::MAX; 5];
    };
    let key = if with_key { waiting.key() } else { Key::ANY };
    // The sign, turned over, sorts negative times first.
    let time = waiting.time().0.cast_unsigned() ^ 1u64.wrapping_shl(63);
    sorted(key, time, u64::from(at))
}

const fn sorted(key: Key, time: u64, at: u64) -> Words {
    let [what, id, number] = key.words();
    [what, id, number, time, at]
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::order::What;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    impl Waits for (Key, i64) {
        fn key(&self) -> Key {
            self.0
        }

        fn time(&self) -> Time {
            Time(self.1)
        }
    }

    fn key() -> impl Strategy<Value = Key> {
        const WHATS: &[What] = &[What::Runnable, What::Idle, What::Collector, What::OwnProc];
        let number = || prop_oneof![0..3u64, Just(u64::MAX), Just(1 << 40)];
        (prop::sample::select(WHATS), number(), number())
            .prop_map(|(what, id, number)| Key::new(what, id, number))
    }

    fn run<L: List<Fork>>(
        all: &[(Key, i64)],
        steps: &[(bool, prop::sample::Index)],
    ) -> Result<(), TestCaseError> {
        let mut parking = Parking::<L>::new();
        let mut model = BTreeMap::new();
        for (park, index) in steps {
            let at = index.index(all.len());
            let (key, time) = all[at];
            let at = at as u32;
            let name = (key.words(), time, at);
            if !park || model.contains_key(&name) {
                prop_assert_eq!(parking.release(at, all), model.remove(&name).is_some());
            } else {
                parking.park(at, all).unwrap();
                model.insert(name, at);
            }
            prop_assert_eq!(parking.len(), model.len());
            let earliest = model.keys().map(|(_, time, at)| (*time, *at)).min();
            prop_assert_eq!(parking.earliest(all), earliest.map(|(_, at)| at));
            for (key, _) in all {
                let expected = model.keys().find(|(words, ..)| *words == key.words());
                prop_assert_eq!(parking.first(*key, all), expected.map(|(.., at)| *at));
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn behaves_as_a_sorted_map(
            all in prop::collection::vec((key(), prop_oneof![-2..2i64, any::<i64>()]), 1..20),
            steps in prop::collection::vec(any::<(bool, prop::sample::Index)>(), 0..100),
        ) {
            run::<Vec<_>>(&all, &steps)?;
            // One fork less than there are leaves, and one more is not asked for.
            run::<heapless::Vec<_, 19>>(&all, &steps)?;
        }
    }
}
