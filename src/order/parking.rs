//! Parking: where events wait that cannot come next, each by what it waits for.
//!
//! Go's reader tries every thread, in the order of their times, whenever the earliest event must
//! wait: with ten thousand threads that wait, ten thousand tries an event. Here an event that waits
//! is put aside, and is tried again when what it waits for has come. What comes next is the same,
//! the earliest event that can, since an event put aside is one that would have to wait. There are
//! two differences, and both only in a generation in which more threads than [`EXACT`] had events
//! while the earliest had to wait: in others nothing is put aside.
//! - of events on different threads at one time, another may come first than in Go, where that is
//!   the outcome of an unstable sort;
//! - a coroutine switch that waits, while another thread moves the same running goroutine on, is an
//!   error when its own turn comes, not at once.
//!
//! What is waited for is known to the number ([`Key`]), and an event whose key has come passes or
//! is an error. So it takes only the earliest of those with one key to be tried: if it passes, that
//! is a change that brings the next. Every event brings a few keys, and each key one try: n events
//! take n log n steps.

use super::Scheduler;
use crate::event::Raw;
use crate::ids::ProcId;
use crate::num;
use crate::storage::{Full, List, Storage};
use crate::table::NIL;
use crate::time::Time;
use crate::wire::{EventType, GoStatus, ProcStatus, Role};

/// In a generation that never has more threads at a time, the order is Go's to the last detail.
pub(crate) const EXACT: usize = 256;

/// What kind of thing an event waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Anything: events by time alone.
    Any,
    /// A goroutine that is ready to run, before the start with this sequence number.
    Runnable,
    /// A goroutine that waits, before this sequence number.
    Waiting,
    /// A proc that is idle, before this sequence number.
    Idle,
    /// A proc in a system call, before this sequence number.
    InSyscall,
    /// A proc that is in none.
    OutOfSyscall,
    /// A garbage collector before this sequence number.
    Collector,
    /// To lose the proc that its own thread has.
    OwnProc,
}

/// What an event waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    what: What,
    id: u64,
    number: u64,
}

impl Key {
    const ANY: Key = Key::new(What::Any, 0, 0);

    const fn new(what: What, id: u64, number: u64) -> Key {
        Key { what, id, number }
    }

    /// What an event waits for that has just been made to wait.
    pub(crate) fn of(raw: &Raw) -> Key {
        let [id, number, ..] = raw.event.args;
        match raw.event.ty {
            EventType::GO_START => Key::new(What::Runnable, id, number),
            EventType::GO_UNBLOCK | EventType::GO_SWITCH | EventType::GO_SWITCH_DESTROY => {
                Key::new(What::Waiting, id, number)
            }
            EventType::PROC_START if raw.proc.is_none() => Key::new(What::Idle, id, number),
            EventType::PROC_STEAL => Key::new(What::InSyscall, id, number),
            EventType::GO_SYSCALL_END_BLOCKED => {
                Key::new(What::OutOfSyscall, ProcId::raw(raw.proc), 0)
            }
            EventType::GC_ACTIVE | EventType::GC_BEGIN | EventType::GC_END => {
                Key::new(What::Collector, 0, id)
            }
            // No other event waits.
            _ => Key::new(What::OwnProc, 0, 0),
        }
    }
}

impl<S: Storage> Scheduler<S> {
    /// The keys that an event may have brought that passed.
    pub(crate) fn brought_by(&self, raw: &Raw, mut key: impl FnMut(Key)) {
        let about = raw.event.ty.spec().and_then(|spec| spec.args.get(1));
        let named = |role| about.filter(|arg| arg.role == role).map(|_| raw.arg(0));
        for id in [raw.go.map(|id| id.get()), named(Role::Goroutine)] {
            let slot = id.and_then(|id| self.goroutines.find(id)).unwrap_or(NIL);
            let (Some(id), Some(goroutine)) = (id, self.goroutines.get(slot)) else {
                continue;
            };
            let next = goroutine.sequence.number.wrapping_add(1);
            match goroutine.status {
                GoStatus::RUNNABLE => key(Key::new(What::Runnable, id, next)),
                GoStatus::WAITING => key(Key::new(What::Waiting, id, next)),
                _ => {}
            }
        }
        for id in [raw.proc.map(|id| id.get()), named(Role::Proc)] {
            let slot = id.and_then(|id| self.procs.find(id)).unwrap_or(NIL);
            let (Some(id), Some(proc)) = (id, self.procs.get(slot)) else {
                continue;
            };
            let next = proc.sequence.number.wrapping_add(1);
            match proc.status {
                ProcStatus::IDLE => key(Key::new(What::Idle, id, next)),
                ProcStatus::SYSCALL | ProcStatus::SYSCALL_ABANDONED => {
                    key(Key::new(What::InSyscall, id, next));
                }
                _ => {}
            }
            if proc.status != ProcStatus::SYSCALL {
                key(Key::new(What::OutOfSyscall, id, 0));
            }
        }
        let next = self.gc_sequence.wrapping_add(1);
        key(Key::new(What::Collector, 0, next));
    }
}

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
        self.by_key.first(key, |at| words(at, all, true))
    }

    /// The earliest event of all.
    pub(crate) fn earliest(&self, all: &[impl Waits]) -> Option<u32> {
        self.by_time.first(Key::ANY, |at| words(at, all, false))
    }
}

/// What events are sorted by: key, time, and where no two are the same, position.
type Words = [u64; 5];

/// How many bits of them are the key.
const KEY_BITS: u16 = 192;

fn words(at: u32, all: &[impl Waits], with_key: bool) -> Words {
    let Some(waiting) = all.get(num::index(at)) else {
        return [u64::MAX; 5];
    };
    let key = if with_key { waiting.key() } else { Key::ANY };
    // The sign, turned over, sorts negative times first.
    let time = waiting.time().0.cast_unsigned() ^ 1u64.wrapping_shl(63);
    key.words(time, u64::from(at))
}

impl Key {
    const fn words(self, time: u64, at: u64) -> Words {
        let what = match self.what {
            What::Any => 0,
            What::Runnable => 1,
            What::Waiting => 2,
            What::Idle => 3,
            What::InSyscall => 4,
            What::OutOfSyscall => 5,
            What::Collector => 6,
            What::OwnProc => 7,
        };
        [what, self.id, self.number, time, at]
    }
}

/// The bit of a number, counted from the highest of the first word, as the side of a fork.
fn side(words: &Words, bit: u16) -> usize {
    let word = words.get(usize::from(bit.wrapping_shr(6)));
    let shift = 63u32.wrapping_sub(u32::from(bit & 63));
    let bit = word.map_or(0, |word| word.wrapping_shr(shift) & 1);
    num::narrow(bit)
}

/// The first bit in which two differ.
fn difference(a: &Words, b: &Words) -> Option<u16> {
    let mut start = 0u16;
    for (a, b) in a.iter().zip(b) {
        if a != b {
            let zeros = u16::from(num::low_byte(u64::from((a ^ b).leading_zeros())));
            return Some(start.wrapping_add(zeros));
        }
        start = start.wrapping_add(64);
    }
    None
}

/// Where sorted things part: those in which a bit is 0, and those in which it is 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fork {
    bit: u16,
    /// Forks, or leaves where [`LEAF`] is set.
    sides: [u32; 2],
}

/// Marks a position as that of what is sorted, not of a fork.
const LEAF: u32 = 1 << 31;

/// A crit-bit tree of positions. Its depth is bounded by the number of bits, whatever is in it.
struct Tree<L> {
    forks: L,
    /// As a side of a fork; [`NIL`] if there is nothing.
    root: u32,
    /// Forks out of use, linked by their first sides.
    free: u32,
}

impl<L: List<Fork>> Tree<L> {
    const fn new() -> Self {
        Tree {
            forks: L::EMPTY,
            root: NIL,
            free: NIL,
        }
    }

    fn clear(&mut self) {
        self.forks.clear();
        self.root = NIL;
        self.free = NIL;
    }

    fn fork(&self, at: u32) -> Option<&Fork> {
        if at & LEAF != 0 {
            return None;
        }
        self.forks.get(num::index(at))
    }

    /// Where a side leads.
    fn child(&self, fork: &Fork, side: usize) -> u32 {
        fork.sides.get(side).copied().unwrap_or(NIL)
    }

    /// Lets a side lead somewhere else; [`NIL`] has one side, the root.
    fn set_child(&mut self, parent: u32, side: usize, child: u32) {
        let link = match self.forks.get_mut(num::index(parent)) {
            Some(fork) => fork.sides.get_mut(side),
            None => Some(&mut self.root),
        };
        if let Some(link) = link {
            *link = child;
        }
    }

    /// Adds a leaf, if it is not there.
    fn insert(&mut self, leaf: u32, words_of: impl Fn(u32) -> Words) -> Result<(), Full> {
        if leaf >= !LEAF {
            let capacity = u64::from(!LEAF);
            return Err(Full { capacity });
        }
        let words = words_of(leaf);
        if self.root == NIL {
            self.root = leaf | LEAF;
            return Ok(());
        }
        let mut near = self.root;
        while let Some(fork) = self.fork(near) {
            near = self.child(fork, side(&words, fork.bit));
        }
        let Some(bit) = difference(&words, &words_of(near & !LEAF)) else {
            return Ok(());
        };
        let (mut parent, mut parent_side, mut at) = (NIL, 0, self.root);
        while let Some(fork) = self.fork(at).filter(|fork| fork.bit < bit) {
            (parent, parent_side) = (at, side(&words, fork.bit));
            at = self.child(fork, parent_side);
        }
        let mut sides = [at; 2];
        if let Some(side) = sides.get_mut(side(&words, bit)) {
            *side = leaf | LEAF;
        }
        let fork = self.add(Fork { bit, sides })?;
        self.set_child(parent, parent_side, fork);
        Ok(())
    }

    fn add(&mut self, fork: Fork) -> Result<u32, Full> {
        if let Some(free) = self.forks.get_mut(num::index(self.free)) {
            let [next, _] = core::mem::replace(free, fork).sides;
            return Ok(core::mem::replace(&mut self.free, next));
        }
        self.forks.push(fork)?;
        Ok(num::slot(self.forks.len()).wrapping_sub(1))
    }

    /// Removes a leaf; says whether it was there.
    fn remove(&mut self, leaf: u32, words: &Words) -> bool {
        // What leads to the fork above, what leads from there, and where.
        let mut above = (NIL, 0);
        let (mut parent, mut parent_side, mut at) = (NIL, 0, self.root);
        while let Some(fork) = self.fork(at) {
            above = (parent, parent_side);
            (parent, parent_side) = (at, side(words, fork.bit));
            at = self.child(fork, parent_side);
        }
        if at != leaf | LEAF {
            return false;
        }
        let Some(fork) = self.fork(parent) else {
            self.root = NIL;
            return true;
        };
        let other = self.child(fork, 1usize.wrapping_sub(parent_side));
        self.set_child(above.0, above.1, other);
        let free = self.free;
        self.set_child(parent, 0, free);
        self.free = parent;
        true
    }

    /// The first leaf with a key.
    fn first(&self, key: Key, words_of: impl Fn(u32) -> Words) -> Option<u32> {
        let wanted = key.words(0, 0);
        let mut at = self.root;
        while let Some(fork) = self.fork(at) {
            let next = if fork.bit < KEY_BITS {
                side(&wanted, fork.bit)
            } else {
                0
            };
            at = self.child(fork, next);
        }
        let leaf = (at != NIL).then_some(at & !LEAF)?;
        let found = words_of(leaf);
        (found.get(..3) == wanted.get(..3)).then_some(leaf)
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
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
            let name = (key.words(0, 0), time, at);
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
                let expected = model.keys().find(|(words, ..)| *words == key.words(0, 0));
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
