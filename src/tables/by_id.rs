//! Tables by id: a slot found once is reached by index from then on.

use super::{Full, List};
use crate::num;
use core::marker::PhantomData;

/// No slot.
pub(crate) const NIL: u32 = u32::MAX;

/// A place in an [`IdTable`]: an entry, or one that was removed and waits for reuse.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<T> {
    id: u64,
    next: u32,
    live: bool,
    value: T,
}

/// Values by 64-bit id, in slots that keep their index for as long as the entry lives.
///
/// A hash table whose chains run through the slots, so that fixed capacities need no spare room.
/// Trace ids come from strangers: an insertion that meets a long chain changes the hash and builds
/// the chains again. With `std` the new hash depends on a number that nobody can foresee, so that ids
/// chosen to share a chain do not. Without it there is no such number, and a stranger who takes pains
/// can make chains that are as long as the table; there capacities are small.
#[derive(Debug)]
pub(crate) struct IdTable<T, L, H> {
    slots: L,
    /// For each bucket the first slot of its chain.
    heads: H,
    free: u32,
    live: usize,
    /// What ids are multiplied by. It is odd: of two ids, few such numbers send both to one bucket.
    multiplier: u64,
    /// Insertions to let pass before long chains may rebuild the table again.
    patience: usize,
    value: PhantomData<T>,
}

/// Chains longer than this are not chance.
const LONG_CHAIN: usize = 24;

impl<T, L: List<Slot<T>>, H: List<u32>> IdTable<T, L, H> {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        IdTable {
            slots: L::EMPTY,
            heads: H::EMPTY,
            free: NIL,
            live: 0,
            multiplier: 0x9e37_79b9_7f4a_7c15,
            patience: 0,
            value: PhantomData,
        }
    }

    /// Removes every entry, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.heads.clear();
        self.free = NIL;
        self.live = 0;
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn bucket(&self, id: u64) -> usize {
        // A multiplication spreads the ids, and another maps them onto any number of buckets.
        let hash = id.wrapping_mul(self.multiplier).wrapping_shr(32);
        num::narrow(
            hash.wrapping_mul(num::wide(self.heads.len()))
                .wrapping_shr(32),
        )
    }

    /// The slot of an id.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn find(&self, id: u64) -> Option<u32> {
        let mut at = self.heads.get(self.bucket(id)).copied()?;
        // A chain is no longer than the table; `take` is not needed: links lead to slots that were
        // inserted earlier or are rebuilt together.
        while let Some(slot) = self.slots.get(num::index(at)) {
            if slot.id == id {
                return Some(at);
            }
            at = slot.next;
        }
        None
    }

    /// The id of a slot in use.
    pub(crate) fn id(&self, slot: u32) -> Option<u64> {
        self.slots.get(num::index(slot)).map(|s| s.id)
    }

    /// The value in a slot that is in use.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.slots.get(num::index(slot)).map(|s| &s.value)
    }

    /// The value in a slot that is in use.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(num::index(slot)).map(|s| &mut s.value)
    }

    /// The slot of an id, which is `likely` still that one; [`NIL`] if the id has none any more.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn slot_of(&self, id: u64, likely: u32) -> u32 {
        match self.slots.get(num::index(likely)) {
            Some(slot) if slot.id == id && slot.live => likely,
            _ => self.find(id).unwrap_or(NIL),
        }
    }

    /// Adds an entry for an id that has none, and says in which slot.
    pub(crate) fn insert(&mut self, id: u64, value: T) -> Result<u32, Full> {
        let slot = Slot {
            id,
            next: NIL,
            live: true,
            value,
        };
        let at = match self.slots.get_mut(num::index(self.free)) {
            Some(free) => {
                let at = self.free;
                self.free = free.next;
                *free = slot;
                at
            }
            None => {
                let at = num::slot(self.slots.len());
                if self.slots.len() >= L::limit() {
                    return Err(Full {
                        capacity: num::wide(L::limit()),
                    });
                }
                self.slots.push(slot)?;
                at
            }
        };
        self.live = self.live.wrapping_add(1);
        self.patience = self.patience.saturating_sub(1);
        // A quarter as many entries as buckets: nearly all chains have one link.
        if self.live.saturating_mul(4) > self.heads.len() && self.heads.len() < H::limit() {
            self.grow()?;
        } else if self.link(at) > LONG_CHAIN && self.patience == 0 {
            self.reseed(id);
        }
        Ok(at)
    }

    /// Removes the entry in a slot.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(entry) = self.slots.get_mut(num::index(slot)).filter(|s| s.live) else {
            return;
        };
        let (id, next) = (entry.id, entry.next);
        entry.live = false;
        entry.next = self.free;
        // An id that lookups will not meet: only its own chain leads here, until it is unlinked.
        self.free = slot;
        self.live = self.live.wrapping_sub(1);
        let bucket = self.bucket(id);
        let Some(head) = self.heads.get_mut(bucket) else {
            return;
        };
        if *head == slot {
            *head = next;
            return;
        }
        let mut at = *head;
        while let Some(entry) = self.slots.get_mut(num::index(at)) {
            if entry.next == slot {
                entry.next = next;
                return;
            }
            at = entry.next;
        }
    }

    /// How many slots there are, in use or not: the most entries there ever were at a time.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The entries, with their ids.
    #[cfg(feature = "std")]
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, &T)> {
        let live = self.slots.iter().filter(|slot| slot.live);
        live.map(|slot| (slot.id, &slot.value))
    }

    /// A table of the same entries.
    #[cfg(feature = "alloc")]
    pub(crate) fn copied(&self) -> Result<Self, Full>
    where
        T: Copy,
    {
        Ok(IdTable {
            slots: super::copied(&self.slots)?,
            heads: super::copied(&self.heads)?,
            ..*self
        })
    }

    /// The values in use.
    #[cfg(feature = "alloc")]
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots
            .iter_mut()
            .filter(|slot| slot.live)
            .map(|slot| &mut slot.value)
    }

    /// The slots in use with their values, by slot.
    #[cfg(feature = "alloc")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let slots = (0..).zip(self.slots.iter());
        let live = slots.filter(|(_, slot)| slot.live);
        live.map(|(at, slot)| (at, &slot.value))
    }

    #[cfg(all(test, feature = "alloc"))]
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Puts a slot at the head of its chain, and says how long the chain was, as far as matters.
    fn link(&mut self, at: u32) -> usize {
        let Some(id) = self.slots.get(num::index(at)).map(|s| s.id) else {
            return 0;
        };
        let bucket = self.bucket(id);
        let Some(head) = self.heads.get_mut(bucket) else {
            return 0;
        };
        let next = core::mem::replace(head, at);
        if let Some(slot) = self.slots.get_mut(num::index(at)) {
            slot.next = next;
        }
        let mut length = 0usize;
        let mut walk = next;
        while let Some(slot) = self.slots.get(num::index(walk)) {
            walk = slot.next;
            length = length.wrapping_add(1);
            if length > LONG_CHAIN {
                break;
            }
        }
        length
    }

    /// Doubles the number of buckets, as far as the capacity allows.
    fn grow(&mut self) -> Result<(), Full> {
        let target = self
            .heads
            .len()
            .saturating_mul(2)
            .clamp(8, H::limit().max(8))
            .min(H::limit());
        while self.heads.len() < target {
            self.heads.push(NIL)?;
        }
        self.rebuild();
        Ok(())
    }

    #[cold]
    fn reseed(&mut self, id: u64) {
        self.multiplier = another(self.multiplier ^ id) | 1;
        // As much work as building the chains is.
        self.patience = self.slots.len();
        self.rebuild();
    }

    fn rebuild(&mut self) {
        self.heads.iter_mut().for_each(|head| *head = NIL);
        for at in 0..num::slot(self.slots.len()) {
            let Some(slot) = self.slots.get(num::index(at)).filter(|s| s.live) else {
                continue;
            };
            let bucket = self.bucket(slot.id);
            let Some(head) = self.heads.get_mut(bucket) else {
                continue;
            };
            let next = core::mem::replace(head, at);
            if let Some(slot) = self.slots.get_mut(num::index(at)) {
                slot.next = next;
            }
        }
    }
}

/// Another number, that nobody can foresee.
#[cfg(feature = "std")]
fn another(number: u64) -> u64 {
    use core::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(number)
}

/// Another number.
#[cfg(not(feature = "std"))]
fn another(number: u64) -> u64 {
    number.wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(32)
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::vec::Vec;

    fn run<L: List<Slot<u64>>, H: List<u32>>(steps: &[(bool, u64)]) -> Result<(), TestCaseError> {
        let mut table = IdTable::<u64, L, H>::new();
        let mut model = HashMap::new();
        for &(insert, id) in steps {
            match (insert, table.find(id)) {
                (true, None) => {
                    let full = model.len() >= L::limit();
                    match table.insert(id, !id) {
                        Ok(slot) => {
                            prop_assert!(!full);
                            model.insert(id, slot);
                        }
                        Err(Full { capacity }) => {
                            prop_assert!(full && capacity == L::limit() as u64);
                        }
                    }
                }
                (false, Some(slot)) => {
                    table.remove(slot);
                    model.remove(&id);
                    prop_assert_eq!(table.slot_of(id, slot), NIL);
                }
                _ => {}
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(table.find(id), model.get(&id).copied());
        }
        for (id, slot) in &model {
            prop_assert_eq!(table.find(*id), Some(*slot));
            prop_assert_eq!(table.slot_of(*id, NIL), *slot);
            prop_assert_eq!(table.get(*slot).copied(), Some(!id));
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn behaves_as_a_map(steps in prop::collection::vec((any::<bool>(), 0u64..24), 0..300)) {
            run::<Vec<_>, Vec<_>>(&steps)?;
            run::<heapless::Vec<_, 12>, heapless::Vec<_, 12>>(&steps)?;
        }
    }

    type Growing = IdTable<(), Vec<Slot<()>>, Vec<u32>>;

    /// How many slots are looked at to find each of the ids once.
    #[cfg(feature = "std")]
    fn steps(table: &Growing, ids: &[u64]) -> usize {
        let walk = |id: &u64| {
            let (mut at, mut steps) = (table.heads[table.bucket(*id)], 1);
            while table.slots[at as usize].id != *id {
                at = table.slots[at as usize].next;
                steps += 1;
            }
            steps
        };
        ids.iter().map(walk).sum()
    }

    /// The number that undoes a multiplication by an odd one.
    fn inverse(odd: u64) -> u64 {
        (0..6).fold(odd, |x, _| {
            x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)))
        })
    }

    /// Who knows what ids are multiplied by, whenever that changes, makes one chain of them; and has
    /// nothing of it in another table.
    #[test]
    #[cfg(feature = "std")]
    fn ids_chosen_for_one_table_do_no_harm_in_another() {
        const N: usize = 20_000;
        let mut table = Growing::new();
        let mut ids = Vec::new();
        for n in 1..=N as u64 {
            let id = n.wrapping_mul(inverse(table.multiplier));
            if table.find(id).is_none() {
                table.insert(id, ()).unwrap();
                ids.push(id);
            }
        }
        assert!(steps(&table, &ids) > N * N / 50, "{}", steps(&table, &ids));
        let mut other = Growing::new();
        for id in &ids {
            other.insert(*id, ()).unwrap();
        }
        assert!(steps(&other, &ids) < 8 * N, "{}", steps(&other, &ids));
    }

    /// Ids that all fall into one bucket under the first hash function.
    #[test]
    fn chosen_ids_do_not_make_one_long_chain() {
        let mut table = Growing::new();
        let inverse = inverse(table.multiplier);
        for n in 0..50_000u64 {
            table.insert(n.wrapping_mul(inverse), ()).unwrap();
        }
        let mut longest = 0;
        for head in &table.heads {
            let (mut at, mut length) = (*head, 0);
            while at != NIL {
                at = table.slots[at as usize].next;
                length += 1;
            }
            longest = longest.max(length);
        }
        assert!(longest < 4 * LONG_CHAIN, "{longest}");
    }
}
