//! Strings and stacks by generation.
//!
//! A string has an id in each generation that uses it. Texts that live as long as the program are
//! known by where they are, so that nothing is hashed but two numbers; threads remember the last ones
//! that they used.

use crate::locks::{Mutex, MutexGuard, lock};
use crate::string::GoStr;
use crate::wire::{RawFrame, StringRecord};
use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::panic::Location;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// The name of a goroutine: a function that its stack begins with.
#[derive(Debug)]
pub(super) struct Name {
    text: Cow<'static, str>,
    place: Option<&'static Location<'static>>,
    /// Readers know a frame by this: no two names have the same.
    pc: u64,
}

impl Name {
    pub(super) fn new(
        text: Cow<'static, str>,
        place: Option<&'static Location<'static>>,
    ) -> Arc<Name> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Name {
            text,
            place,
            pc: NEXT.fetch_add(1, Ordering::Relaxed),
        })
    }
}

/// A text in a table: it lives as long as the program, or as the name does.
#[derive(Clone, Debug)]
enum Text {
    Static(&'static str),
    Name(Arc<Name>),
    #[cfg(feature = "backtrace")]
    Symbol(Arc<str>),
}

impl Text {
    fn as_str(&self) -> &str {
        match self {
            Text::Static(text) => text,
            Text::Name(name) => &name.text,
            #[cfg(feature = "backtrace")]
            Text::Symbol(text) => text,
        }
    }
}

/// What a text or a name is known by: its address, and its length, or [`STACK`] for the stack of a
/// name. A table keeps alive what it knows, so that no address is used again.
pub(super) type Key = (usize, usize);

const STACK: usize = usize::MAX;

pub(super) fn key_of(text: &'static str) -> Key {
    (text.as_ptr().addr(), text.len())
}

pub(super) fn key_of_stack(name: &Arc<Name>) -> Key {
    (Arc::as_ptr(name).addr(), STACK)
}

/// How many ids of texts a thread takes at once.
pub(super) const BLOCK: u64 = 256;

/// The strings and stacks of the open generation, and of the one before it while it is being ended.
#[derive(Debug)]
pub(super) struct Names {
    tables: [Mutex<Table>; 2],
    /// Names of goroutines by text and place.
    known: Mutex<HashMap<(Key, usize), Arc<Name>>>,
}

/// The strings and stacks of a generation.
#[derive(Debug, Default)]
pub(super) struct Table {
    generation: u64,
    last_string: u64,
    strings: Vec<(u64, Text)>,
    stacks: Vec<Frames>,
    ids: HashMap<Key, u64>,
    #[cfg(feature = "backtrace")]
    traces: HashMap<alloc::boxed::Box<[usize]>, u64>,
}

/// A stack, whose id is its place in the table, from 1 on.
type Frames = Vec<RawFrame>;

impl Names {
    pub(super) fn new() -> Names {
        Names {
            tables: [Mutex::new(Table::default()), Mutex::new(Table::default())],
            known: Mutex::new(HashMap::new()),
        }
    }

    /// The name of goroutines that are created at a place.
    pub(super) fn name(&self, text: &'static str, place: &'static Location<'static>) -> Arc<Name> {
        let key = (key_of(text), core::ptr::from_ref(place).addr());
        let mut known = lock(&self.known);
        let name = known
            .entry(key)
            .or_insert_with(|| Name::new(Cow::Borrowed(text), Some(place)));
        Arc::clone(name)
    }

    fn table(&self, generation: u64) -> MutexGuard<'_, Table> {
        let [even, odd] = &self.tables;
        let mut table = lock(if generation.is_multiple_of(2) {
            even
        } else {
            odd
        });
        if table.generation != generation {
            *table = Table {
                generation,
                ..Table::default()
            };
        }
        table
    }

    /// The id of a string in a generation.
    pub(super) fn string(&self, generation: u64, text: &'static str) -> u64 {
        self.table(generation).string(text)
    }

    /// The id of a name's stack in a generation.
    pub(super) fn stack(&self, generation: u64, name: &Arc<Name>) -> u64 {
        self.table(generation).stack(name)
    }

    /// The first of [`BLOCK`] ids that are the caller's in this generation.
    pub(super) fn block(&self, generation: u64) -> u64 {
        let mut table = self.table(generation);
        let first = table.last_string.saturating_add(1);
        table.last_string = table.last_string.saturating_add(BLOCK);
        first
    }

    /// The tables of a generation that has ended: they are forgotten.
    pub(super) fn take(&self, generation: u64) -> Table {
        core::mem::take(&mut *self.table(generation))
    }

    /// The id of a stack in a generation, by the addresses of its frames, the innermost first.
    #[cfg(feature = "backtrace")]
    pub(super) fn trace(&self, generation: u64, frames: &[usize]) -> u64 {
        let mut table = self.table(generation);
        if let Some(id) = table.traces.get(frames) {
            return *id;
        }
        // The frames are filled in when the generation ends.
        table.stacks.push(Vec::new());
        let id = crate::num::wide(table.stacks.len());
        table.traces.insert(frames.into(), id);
        id
    }
}

impl Table {
    fn next_string(&mut self, text: Text) -> u64 {
        self.last_string = self.last_string.saturating_add(1);
        self.strings.push((self.last_string, text));
        self.last_string
    }

    fn string(&mut self, text: &'static str) -> u64 {
        if text.is_empty() {
            return 0;
        }
        let key = key_of(text);
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        let id = self.next_string(Text::Static(text));
        self.ids.insert(key, id);
        id
    }

    fn stack(&mut self, name: &Arc<Name>) -> u64 {
        let key = key_of_stack(name);
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        let func = match &name.text {
            Cow::Borrowed(text) => self.string(text),
            Cow::Owned(_) => self.next_string(Text::Name(Arc::clone(name))),
        };
        let (file, line) = match name.place {
            Some(place) => (self.string(place.file()), u64::from(place.line())),
            None => (0, 0),
        };
        let pc = name.pc;
        self.stacks.push(Vec::from([RawFrame {
            pc,
            func,
            file,
            line,
        }]));
        let id = crate::num::wide(self.stacks.len());
        self.ids.insert(key, id);
        // Its address is not used again while it is known here.
        self.strings.push((0, Text::Name(Arc::clone(name))));
        id
    }

    /// Fills in the frames of stacks that are known by addresses.
    #[cfg(feature = "backtrace")]
    pub(super) fn resolve(&mut self, symbols: &mut super::stacks::Symbols) {
        for (addresses, id) in core::mem::take(&mut self.traces) {
            let (mut frames, mut own) = (Vec::new(), true);
            for address in &addresses {
                for (pc, symbol) in symbols.of(*address) {
                    own &= symbol.is_own();
                    if !own {
                        frames.push(RawFrame {
                            pc: *pc,
                            func: self.symbol(&symbol.name),
                            file: self.symbol(&symbol.file),
                            line: symbol.line,
                        });
                    }
                }
            }
            frames.truncate(crate::num::narrow(crate::wire::MAX_FRAMES));
            let place = crate::num::narrow(id).checked_sub(1);
            if let Some(stack) = place.and_then(|n| self.stacks.get_mut(n)) {
                *stack = frames;
            }
        }
    }

    /// The id of a text that lives as long as the process.
    #[cfg(feature = "backtrace")]
    fn symbol(&mut self, text: &Arc<str>) -> u64 {
        if text.is_empty() {
            return 0;
        }
        let key = (text.as_ptr().addr(), text.len());
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        let id = self.next_string(Text::Symbol(Arc::clone(text)));
        self.ids.insert(key, id);
        id
    }

    pub(super) fn strings(&self) -> impl Iterator<Item = StringRecord<'_>> + Clone {
        let named = self.strings.iter().filter(|(id, _)| *id > 0);
        named.map(|(id, text)| StringRecord {
            id: *id,
            data: GoStr::from(text.as_str()),
        })
    }

    pub(super) fn stacks(
        &self,
    ) -> impl Iterator<Item = (u64, core::iter::Copied<core::slice::Iter<'_, RawFrame>>)> + Clone
    {
        (1..).zip(self.stacks.iter().map(|frames| frames.iter().copied()))
    }
}

/// The ids that a thread used last: a few comparisons instead of a lock.
#[derive(Debug)]
pub(super) struct Cache([Entry; CACHED]);

const CACHED: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    key: Key,
    generation: u64,
    id: u64,
}

impl Cache {
    pub(super) const fn new() -> Cache {
        const NONE: Entry = Entry {
            key: (0, 0),
            generation: 0,
            id: 0,
        };
        Cache([NONE; CACHED])
    }

    #[inline(always)]
    pub(super) fn id(&mut self, generation: u64, key: Key, find: impl FnOnce() -> u64) -> u64 {
        let (address, len) = key;
        let mixed = address ^ address.wrapping_shr(6) ^ len;
        // The mask is in range: there are so many.
        let Some(entry) = self.0.get_mut(mixed & (CACHED - 1)) else {
            return find();
        };
        if entry.key != key || entry.generation != generation {
            let id = find();
            *entry = Entry {
                key,
                generation,
                id,
            };
        }
        entry.id
    }
}
