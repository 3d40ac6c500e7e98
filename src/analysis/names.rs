//! Names and call stacks that outlive their generation.
//!
//! Each generation of a trace numbers its strings and stacks anew, and a stream forgets those of a
//! generation that was read. [`Names`] keeps one copy of each that an analysis needs, under a small
//! number that stays: the same text has the same [`NameId`] throughout, and the same call stack the
//! same [`StackRef`].
//!
//! Memory grows with the number of different names and stacks that are asked for, not with events.

use crate::event::Event;
use crate::generation::{Frame, StackKey};
use crate::num;
use crate::string::GoStr;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::num::NonZeroU32;

/// A text in a [`Names`]: two are equal if their texts are. The order is that in which they were
/// added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NameId(u32);

impl NameId {
    /// The empty text.
    pub const EMPTY: NameId = NameId(0);

    /// Its number: 0 for the empty text, then in the order in which texts were added. For tables
    /// that are indexed by it.
    pub const fn index(self) -> usize {
        num::index(self.0)
    }

    /// The name with this [index](NameId::index).
    pub(crate) fn of_index(index: usize) -> NameId {
        NameId(num::slot(index))
    }

    /// Whether it is the empty text.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A call stack in a [`Names`]: two are equal if their frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StackRef(NonZeroU32);

impl StackRef {
    /// Its number, from 1, in the order in which stacks were added. For tables that are indexed by
    /// it.
    pub const fn index(self) -> usize {
        num::index(self.0.get())
    }
}

#[derive(Clone, Copy, Debug)]
struct StoredFrame {
    pc: u64,
    line: u64,
    func: NameId,
    file: NameId,
}

#[derive(Clone, Copy, Debug)]
struct StoredStack {
    start: usize,
    len: usize,
    /// Of its frames, the place in the program that matters.
    user: usize,
    key: StackKey,
}

/// A text, with what analyses ask about it at every event.
#[derive(Clone, Debug, Default)]
struct Text {
    bytes: Box<[u8]>,
    is_system: bool,
    is_causal: bool,
}

impl Text {
    fn new(text: GoStr<'_>) -> Text {
        Text {
            bytes: text.as_bytes().into(),
            is_system: is_system_name(text),
            is_causal: is_causal(text),
        }
    }
}

/// Names and call stacks, each kept once. See the [module](self).
#[derive(Clone, Debug)]
pub struct Names {
    texts: Vec<Text>,
    by_text: BTreeMap<Box<[u8]>, NameId>,
    frames: Vec<StoredFrame>,
    stacks: Vec<StoredStack>,
    by_key: BTreeMap<StackKey, StackRef>,
    /// What the generation's numbers of strings and of stacks are here.
    strings_here: Numbers,
    stacks_here: Numbers,
}

impl Default for Names {
    fn default() -> Names {
        Names {
            // The empty text is the first.
            texts: Vec::from([Text::new(GoStr::EMPTY)]),
            by_text: BTreeMap::from([(Box::default(), NameId::EMPTY)]),
            frames: Vec::new(),
            stacks: Vec::new(),
            by_key: BTreeMap::new(),
            strings_here: Numbers::default(),
            stacks_here: Numbers::default(),
        }
    }
}

impl Names {
    /// None but the empty text.
    pub fn new() -> Names {
        Names::default()
    }

    /// A text; empty if it is of another `Names`.
    pub fn text(&self, id: NameId) -> GoStr<'_> {
        self.texts
            .get(id.index())
            .map_or(GoStr::EMPTY, |text| GoStr::new(&text.bytes))
    }

    /// Whether a goroutine that started with this function is the runtime's own: package `runtime`, but
    /// not `runtime.main`.
    #[inline]
    pub(crate) fn is_system(&self, function: NameId) -> bool {
        let text = self.texts.get(function.index());
        text.is_some_and(|text| text.is_system)
    }

    /// Whether the goroutine that ends a wait for this reason is what was waited for. What comes from
    /// outside, as data from the network or a timer, is handed on by whichever goroutine happens to
    /// run.
    #[inline]
    pub(crate) fn is_causal(&self, reason: NameId) -> bool {
        let text = self.texts.get(reason.index());
        text.is_some_and(|text| text.is_causal)
    }

    /// How many texts there are, the empty one included: every [`NameId::index`] is below it.
    pub fn texts(&self) -> usize {
        self.texts.len()
    }

    /// How many stacks there are: no [`StackRef::index`] is above it.
    pub fn stacks(&self) -> usize {
        self.stacks.len()
    }

    /// The number of a text that was added.
    pub fn find(&self, text: impl AsRef<[u8]>) -> Option<NameId> {
        self.by_text.get(text.as_ref()).copied()
    }

    /// Adds a text, if it is not there yet.
    pub fn add(&mut self, text: GoStr<'_>) -> NameId {
        if let Some(id) = self.by_text.get(text.as_bytes()) {
            return *id;
        }
        let id = NameId(num::slot(self.texts.len()));
        if id.0 == u32::MAX {
            return NameId::EMPTY;
        }
        self.texts.push(Text::new(text));
        self.by_text.insert(text.as_bytes().into(), id);
        id
    }

    /// Adds the call stack of these frames, the innermost first, if it is not there yet. `None` if
    /// there are no frames.
    pub fn add_stack<'n>(
        &mut self,
        key: StackKey,
        frames: impl Iterator<Item = Frame<'n>>,
    ) -> Option<StackRef> {
        if let Some(stack) = self.by_key.get(&key) {
            return Some(*stack);
        }
        let start = self.frames.len();
        for frame in frames {
            let stored = StoredFrame {
                pc: frame.pc,
                line: frame.line,
                func: self.add(frame.func),
                file: self.add(frame.file),
            };
            self.frames.push(stored);
        }
        let len = self.frames.len().saturating_sub(start);
        if len == 0 {
            return None;
        }
        let added = self.frames.get(start..).unwrap_or(&[]);
        let user = added.iter().position(|f| !is_plumbing(self.text(f.func)));
        self.stacks.push(StoredStack {
            start,
            len,
            user: user.unwrap_or(0),
            key,
        });
        let stack = StackRef(NonZeroU32::new(num::slot(self.stacks.len()))?);
        self.by_key.insert(key, stack);
        Some(stack)
    }

    /// Adds a stack of other names, if it is not there yet.
    pub fn copy_stack(&mut self, theirs: &Names, stack: StackRef) -> Option<StackRef> {
        self.add_stack(theirs.key(stack)?, theirs.frames(stack))
    }

    /// The frames of a stack, the innermost first; none if it is of another `Names`.
    pub fn frames(
        &self,
        stack: StackRef,
    ) -> impl DoubleEndedIterator<Item = Frame<'_>> + ExactSizeIterator {
        self.stored(stack).iter().map(|frame| Frame {
            pc: frame.pc,
            func: self.text(frame.func),
            file: self.text(frame.file),
            line: frame.line,
        })
    }

    /// The same with the numbers of function and file.
    #[cfg(feature = "perfetto")]
    pub(crate) fn numbered_frames(
        &self,
        stack: StackRef,
    ) -> impl DoubleEndedIterator<Item = (Frame<'_>, NameId, NameId)> {
        let stored = self.stored(stack).iter();
        let frames = self.frames(stack).zip(stored);
        frames.map(|(frame, stored)| (frame, stored.func, stored.file))
    }

    /// What the stack is whatever its number: see [`StackKey`].
    pub fn key(&self, stack: StackRef) -> Option<StackKey> {
        Some(self.stack(stack)?.key)
    }

    /// The function of the innermost frame: what runs.
    pub fn leaf(&self, stack: StackRef) -> NameId {
        let first = self.stored(stack).first();
        first.map_or(NameId::EMPTY, |frame| frame.func)
    }

    /// The function of the outermost frame: what the goroutine started with, unless the stack was
    /// too deep to be recorded whole (Go records 128 frames).
    pub fn root(&self, stack: StackRef) -> NameId {
        let last = self.stored(stack).last();
        last.map_or(NameId::EMPTY, |frame| frame.func)
    }

    /// The function of the innermost frame that is not the Go runtime's or of its packages for
    /// synchronisation and polling: the place in the program that matters. The innermost of all if
    /// there is no other.
    pub fn user_leaf(&self, stack: StackRef) -> Option<Frame<'_>> {
        let frame = self.user_frame(stack)?;
        Some(Frame {
            pc: frame.pc,
            func: self.text(frame.func),
            file: self.text(frame.file),
            line: frame.line,
        })
    }

    fn user_frame(&self, stack: StackRef) -> Option<&StoredFrame> {
        let user = self.stack(stack)?.user;
        self.stored(stack).get(user)
    }

    /// Function, file and line of [`user_leaf`](Names::user_leaf).
    pub(crate) fn user_place(&self, stack: StackRef) -> Option<(NameId, NameId, u64)> {
        let frame = self.user_frame(stack)?;
        Some((frame.func, frame.file, frame.line))
    }

    fn stack(&self, stack: StackRef) -> Option<&StoredStack> {
        self.stacks.get(stack.index().checked_sub(1)?)
    }

    fn stored(&self, stack: StackRef) -> &[StoredFrame] {
        let Some(stored) = self.stack(stack) else {
            return &[];
        };
        let end = stored.start.saturating_add(stored.len);
        self.frames.get(stored.start..end).unwrap_or(&[])
    }

    /// Forgets what the numbers of the generation mean, whose tables are no longer those of events
    /// to come. To be called at each Sync event.
    pub fn next_generation(&mut self) {
        self.strings_here.clear();
        self.stacks_here.clear();
    }

    /// The string of this number in the generation of an event, kept.
    #[inline]
    pub(crate) fn string(&mut self, event: &Event<'_, '_>, number: u64) -> NameId {
        if number == 0 {
            return NameId::EMPTY;
        }
        if let Some(here) = self.strings_here.get(number) {
            return NameId(here);
        }
        self.new_string(event, number)
    }

    #[cold]
    #[inline(never)]
    fn new_string(&mut self, event: &Event<'_, '_>, number: u64) -> NameId {
        let id = self.add(event.string(number));
        self.strings_here.set(number, id.0);
        id
    }

    /// The reason of a transition, kept.
    #[inline]
    pub(crate) fn reason(&mut self, event: &Event<'_, '_>, number: u64) -> NameId {
        if number != 0 {
            return self.string(event, number);
        }
        match event.loose_text() {
            text if text.is_empty() => NameId::EMPTY,
            text => self.add(text),
        }
    }

    /// The stack of this number in the generation of an event, kept; `None` if it has no frames.
    #[inline]
    pub(crate) fn stack_of(&mut self, event: &Event<'_, '_>, number: u64) -> Option<StackRef> {
        if number == 0 {
            return None;
        }
        if let Some(here) = self.stacks_here.get(number) {
            return NonZeroU32::new(here).map(StackRef);
        }
        self.new_stack(event, number)
    }

    #[cold]
    #[inline(never)]
    fn new_stack(&mut self, event: &Event<'_, '_>, number: u64) -> Option<StackRef> {
        let stack = event.stack_numbered(number);
        let found = self.add_stack(stack.key(), stack.frames());
        self.stacks_here.set(number, found.map_or(0, |s| s.0.get()));
        found
    }

    /// The stack on which an event happened, kept; `None` if it has none, or one without frames.
    #[inline]
    pub fn stack_at(&mut self, event: &Event<'_, '_>) -> Option<StackRef> {
        self.stack_of(event, event.stack_number())
    }
}

pub(crate) fn is_system_name(function: GoStr<'_>) -> bool {
    function.starts_with("runtime.") && function != GoStr::from("runtime.main")
}

fn is_causal(reason: GoStr<'_>) -> bool {
    !(reason == *"network"
        || reason == *"sleep"
        || reason == *"preempted"
        || reason == *"system goroutine wait"
        || reason.contains("GC"))
}

/// Whether a function is of the runtime, or of what the standard library waits with.
fn is_plumbing(func: GoStr<'_>) -> bool {
    [
        "runtime.",
        "internal/poll.",
        "internal/sync.",
        "internal/runtime",
        "sync.",
        "syscall.",
        "time.Sleep",
        "internal/syscall",
    ]
    .iter()
    .any(|start| func.starts_with(start))
        && func != GoStr::from("runtime.main")
}

/// What small numbers of a generation are: an array for those that Go gives, from 1 on, and a tree for
/// others.
#[derive(Clone, Debug, Default)]
struct Numbers {
    /// One more than the value; 0 for none.
    low: Vec<u32>,
    high: BTreeMap<u64, u32>,
}

impl Numbers {
    /// At most 256 KiB for a number that is out of line.
    const LOW: u64 = 1 << 16;

    #[inline]
    fn get(&self, number: u64) -> Option<u32> {
        if number < Self::LOW {
            self.low.get(num::narrow(number))?.checked_sub(1)
        } else {
            self.high.get(&number).copied()
        }
    }

    fn set(&mut self, number: u64, value: u32) {
        if number >= Self::LOW {
            self.high.insert(number, value);
            return;
        }
        let at = num::narrow(number);
        if self.low.len() <= at {
            self.low.resize(at.saturating_add(1), 0);
        }
        if let Some(low) = self.low.get_mut(at) {
            *low = value.saturating_add(1);
        }
    }

    fn clear(&mut self) {
        self.low.clear();
        self.high.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trace;
    use std::string::ToString as _;

    #[test]
    fn names_are_kept_once_over_generations() {
        let bytes = include_bytes!("../../tests/fixtures/block-go1.27.trace");
        let trace = Trace::new(bytes).unwrap();
        let mut names = Names::new();
        for _ in 0..2 {
            names.next_generation();
            let mut reader = trace.reader();
            while let Some(event) = reader.next().unwrap() {
                let kept = names.stack_at(&event);
                let Some(stack) = event.stack().filter(|s| s.frames().next().is_some()) else {
                    assert_eq!(kept, None);
                    continue;
                };
                let kept = kept.unwrap();
                assert!(names.frames(kept).eq(stack.frames()));
                assert_eq!(names.key(kept), Some(stack.key()));
                let last = stack.frames().last().unwrap();
                assert_eq!(names.text(names.root(kept)), last.func);
            }
        }
        let once = names.stacks();
        assert!(once > 10);
        let mut keys: Vec<_> = names.stacks.iter().map(|s| s.key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), once);
    }

    #[test]
    fn numbers_out_of_line_take_no_room() {
        let mut numbers = Numbers::default();
        for (at, number) in [3, 1 << 40, u64::MAX, 65_535, 65_536]
            .into_iter()
            .enumerate()
        {
            assert_eq!(numbers.get(number), None);
            numbers.set(number, u32::try_from(at).unwrap());
            assert_eq!(numbers.get(number).map(|n| n as usize), Some(at));
        }
        assert_eq!(numbers.low.len(), 65_536);
        numbers.clear();
        assert_eq!(numbers.get(3), None);
    }

    #[test]
    fn texts() {
        let mut names = Names::new();
        assert_eq!(names.add(GoStr::EMPTY), NameId::EMPTY);
        let id = names.add("network".into());
        assert_eq!(names.add("network".into()), id);
        assert_eq!(names.find("network"), Some(id));
        assert_eq!(names.find("sync"), None);
        assert_eq!(names.text(id).to_string(), "network");
    }
}
