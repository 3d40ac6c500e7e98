//! Names: static strings, each with an id for good, in a generation's tables if it was used there.

use crate::ids::{StackId, StringId};
use crate::num;
use crate::string::GoStr;
use crate::tables::{IdTable, List, Slot};
use crate::wire::{RawFrame, StringRecord};

#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    text: &'static str,
    /// As a string, in this generation.
    used: bool,
    /// As a goroutine's name, which is the one function of a stack.
    on_stack: bool,
}

/// The names seen so far, by their addresses: a name is as a rule a constant of the program.
///
/// The last one is remembered: often the same comes again.
pub(super) struct Names<L, H>(IdTable<Name, L, H>, Last);

#[derive(Clone, Copy, Debug)]
struct Last {
    address: usize,
    len: usize,
    slot: u32,
}

impl<L: List<Slot<Name>>, H: List<u32>> Names<L, H> {
    pub(super) const fn new() -> Self {
        let last = Last {
            address: 0,
            len: 0,
            slot: 0,
        };
        Names(IdTable::new(), last)
    }

    /// The slot of a name; nothing if the table is full.
    #[inline]
    pub(super) fn slot(&mut self, text: &'static str) -> Option<u32> {
        let (address, len) = (text.as_ptr().addr(), text.len());
        if self.1.address == address && self.1.len == len {
            return Some(self.1.slot);
        }
        let slot = self.find(text)?;
        self.1 = Last { address, len, slot };
        Some(slot)
    }

    #[inline(never)]
    fn find(&mut self, text: &'static str) -> Option<u32> {
        // Names that share their beginning differ in length. No program has addresses in the highest
        // 16 bits, and longer names are cut off.
        let len = num::wide(text.len().min(0xffff)).rotate_right(16);
        let key = num::wide(text.as_ptr().addr()) ^ len;
        match self.0.find(key) {
            Some(slot) => Some(slot),
            None => {
                let name = Name {
                    text,
                    used: false,
                    on_stack: false,
                };
                self.0.insert(key, name).ok()
            }
        }
    }

    /// The string of a name, which the open generation's table will have.
    pub(super) fn string(&mut self, slot: u32) -> Option<StringId> {
        self.0.get_mut(slot)?.used = true;
        StringId::new(id(slot))
    }

    /// The stack of a goroutine with this name, which the open generation's table will have.
    pub(super) fn stack(&mut self, slot: u32) -> Option<StackId> {
        let name = self.0.get_mut(slot)?;
        (name.used, name.on_stack) = (true, true);
        StackId::new(id(slot))
    }

    /// Another generation begins: no name was used in it.
    pub(super) fn begin_generation(&mut self) {
        for slot in 0..num::slot(self.0.slots()) {
            if let Some(name) = self.0.get_mut(slot) {
                (name.used, name.on_stack) = (false, false);
            }
        }
    }

    fn entries(&self) -> impl Iterator<Item = (u64, &Name)> + Clone {
        (0..num::slot(self.0.slots())).filter_map(|slot| Some((id(slot), self.0.get(slot)?)))
    }

    /// The strings that were used.
    pub(super) fn strings(&self) -> impl Iterator<Item = StringRecord<'static>> + Clone {
        let used = self.entries().filter(|(_, name)| name.used);
        used.map(|(id, name)| StringRecord {
            id,
            data: GoStr::from(name.text),
        })
    }

    /// The stacks that were used: one frame each, whose function is the name. Go's reader knows
    /// frames by their program counter, so that each has its own.
    pub(super) fn stacks(&self) -> impl Iterator<Item = (u64, [RawFrame; 1])> + Clone {
        let used = self.entries().filter(|(_, name)| name.on_stack);
        used.map(|(id, _)| {
            let frame = RawFrame {
                pc: id,
                func: id,
                file: 0,
                line: 0,
            };
            (id, [frame])
        })
    }
}

/// The id of a name's string and stack: odd, so that other strings can have the even ones.
fn id(slot: u32) -> u64 {
    u64::from(slot).wrapping_mul(2).wrapping_add(1)
}

/// The id of the nth other string of a generation.
pub(super) fn text_id(n: u32) -> u64 {
    u64::from(n).wrapping_mul(2).wrapping_add(2)
}
