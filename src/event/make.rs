//! Events and stacks without a trace, for tests of what looks at them.

use super::{Event, EventRecord};
use crate::generation::{Frame, Lookup, Stack};
use crate::ids::{StackId, StringId};
use crate::num;
use crate::string::GoStr;
use crate::time::ClockSnapshot;
use crate::varint;
use crate::wire::{Pieces, Span};
use alloc::vec::Vec;

/// Strings and stacks for events that no trace has (`MakeEvent` and `MakeStack` in Go's API): for tests
/// of functions that take an [`Event`] or a [`Stack`].
///
/// The order of the scheduler is not checked: any event can be made.
///
/// ```
/// use gotrace::event::{EventRecord, TestTables};
/// use gotrace::generation::Frame;
/// use gotrace::ids::{GoId, StackId, StringId};
/// use gotrace::wire::{EventType, TimedEvent};
/// use gotrace::{Details, Event, Time};
///
/// // To be tested.
/// fn message(event: &Event<'_, '_>) -> Option<String> {
///     match event.details() {
///         Details::Log(log) => Some(log.message.to_string()),
///         _ => None,
///     }
/// }
///
/// let mut tables = TestTables::new();
/// let category = tables.string("disk");
/// let text = tables.string("almost full");
/// let stack = tables.stack(&[Frame {
///     pc: 0x401000,
///     func: "main.main".into(),
///     file: "main.go".into(),
///     line: 7,
/// }]);
/// let ids = [0, category.get(), text.get(), stack.get()];
/// let record = EventRecord::new(Time(5), TimedEvent::new(EventType::USER_LOG, 0, ids))
///     .with_goroutine(GoId::new(1));
/// let event = tables.event(&record);
/// assert_eq!(message(&event).as_deref(), Some("almost full"));
/// assert_eq!(event.stack().unwrap().frames().next().unwrap().line, 7);
/// ```
#[derive(Clone, Debug, Default)]
pub struct TestTables {
    bytes: Vec<u8>,
    strings: Vec<Span>,
    stacks: Vec<Span>,
    clock: Option<ClockSnapshot>,
}

impl TestTables {
    /// Empty tables.
    pub const fn new() -> TestTables {
        TestTables {
            bytes: Vec::new(),
            strings: Vec::new(),
            stacks: Vec::new(),
            clock: None,
        }
    }

    /// Adds a string, and gives the id by which an event names it.
    pub fn string<'s>(&mut self, string: impl Into<GoStr<'s>>) -> StringId {
        let span = self.add(string.into().as_bytes());
        self.strings.push(span);
        // There is at least one.
        StringId::new(num::wide(self.strings.len())).unwrap_or(StringId::FIRST)
    }

    /// Adds a stack of these frames, the innermost first, and gives the id by which an event names it.
    pub fn stack(&mut self, frames: &[Frame<'_>]) -> StackId {
        let mut encoded = Vec::new();
        for frame in frames {
            let func = self.string(frame.func).get();
            let file = self.string(frame.file).get();
            for number in [frame.pc, func, file, frame.line] {
                let (bytes, len) = varint::encode(number);
                encoded.extend(bytes.iter().take(len));
            }
        }
        let span = self.add(&encoded);
        self.stacks.push(span);
        StackId::new(num::wide(self.stacks.len())).unwrap_or(StackId::FIRST)
    }

    /// Sets the clocks that a sync event shows.
    pub const fn set_clock(&mut self, clock: ClockSnapshot) {
        self.clock = Some(clock);
    }

    /// The event of a record, with these tables.
    pub fn event<'a>(&'a self, record: &'a EventRecord) -> Event<'a, 'a> {
        Event {
            raw: &record.raw,
            tables: self,
            input: Pieces::new(&self.bytes),
        }
    }

    /// A stack by its id; `None` if it was not added.
    pub fn stack_of(&self, id: StackId) -> Option<Stack<'_, '_>> {
        let input = Pieces::new(&self.bytes);
        Some(Stack {
            id: id.get(),
            frames: input.bytes(Lookup::stack(self, id.get())?),
            input,
            tables: self,
        })
    }

    fn add(&mut self, bytes: &[u8]) -> Span {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span {
            piece: 0,
            at,
            len: num::slot(bytes.len()),
        }
    }
}

fn nth(spans: &[Span], id: u64) -> Option<Span> {
    spans.get(num::narrow(id.checked_sub(1)?)).copied()
}

impl Lookup for TestTables {
    fn generation(&self) -> u64 {
        1
    }

    fn string(&self, id: u64) -> Option<Span> {
        nth(&self.strings, id)
    }

    fn stack(&self, id: u64) -> Option<Span> {
        nth(&self.stacks, id)
    }

    fn clock(&self) -> Option<ClockSnapshot> {
        self.clock
    }
}
