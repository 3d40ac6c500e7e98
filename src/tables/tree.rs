//! A sorted tree of positions in a list of the caller's, by a few words that the caller derives from
//! what is at each position.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "bits are counted up to 320, sides are 0 and 1, and the list whose last place is asked for \
              has just been added to"
)]

use super::{Full, List, NIL};
use crate::num;

/// What leaves are sorted by: three words of a key, a time, and a position, which makes no two the same.
pub(crate) type Words = [u64; 5];

/// How many bits of them are the key.
const KEY_BITS: u16 = 192;

/// The bit of a number, counted from the highest of the first word, as the side of a fork.
fn side(words: &Words, bit: u16) -> usize {
    let word = words.get(usize::from(bit >> 6));
    let shift = 63 - u32::from(bit & 63);
    let bit = word.map_or(0, |word| (word >> shift) & 1);
    num::narrow(bit)
}

/// The first bit in which two differ.
fn difference(a: &Words, b: &Words) -> Option<u16> {
    let mut start = 0u16;
    for (a, b) in a.iter().zip(b) {
        if a != b {
            let zeros = u16::from(num::low_byte(u64::from((a ^ b).leading_zeros())));
            return Some(start + zeros);
        }
        start += 64;
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
pub(crate) struct Tree<L> {
    forks: L,
    /// As a side of a fork; [`NIL`] if there is nothing.
    root: u32,
    /// Forks out of use, linked by their first sides.
    free: u32,
}

impl<L: List<Fork>> Tree<L> {
    /// A tree of the same positions.
    #[cfg(feature = "alloc")]
    pub(crate) fn copied(&self) -> Result<Self, Full> {
        Ok(Tree {
            forks: super::copied(&self.forks)?,
            ..*self
        })
    }

    pub(crate) const fn new() -> Self {
        Tree {
            forks: L::EMPTY,
            root: NIL,
            free: NIL,
        }
    }

    pub(crate) fn clear(&mut self) {
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
    pub(crate) fn insert(
        &mut self,
        leaf: u32,
        words_of: impl Fn(u32) -> Words,
    ) -> Result<(), Full> {
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
        Ok(num::slot(self.forks.len()) - 1)
    }

    /// Removes a leaf; says whether it was there.
    pub(crate) fn remove(&mut self, leaf: u32, words: &Words) -> bool {
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
        let other = self.child(fork, 1 - parent_side);
        self.set_child(above.0, above.1, other);
        let free = self.free;
        self.set_child(parent, 0, free);
        self.free = parent;
        true
    }

    /// The first leaf whose key is that of `wanted`.
    pub(crate) fn first(&self, wanted: &Words, words_of: impl Fn(u32) -> Words) -> Option<u32> {
        let mut at = self.root;
        while let Some(fork) = self.fork(at) {
            let next = if fork.bit < KEY_BITS {
                side(wanted, fork.bit)
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
