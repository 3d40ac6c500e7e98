//! The second pass: in which order the events of all procs happened.
//!
//! The events of a proc are in order. Those of different procs are merged by time, each no sooner
//! than what it depends on: a goroutine starts after it was created, and is made ready after it
//! blocked. Sequence numbers say which start and which unblocking is meant. An event that has to
//! wait is put aside until its goroutine is in the state that it needs, and then never waits again,
//! so that the time is that of sorting, whatever the trace says.
//!
//! What is kept of an event is the proc that it is from: one byte, or four where there are more than
//! 255 procs. Only ends of system calls, which happened earlier than they were written, are kept
//! apart.

use super::cursor::{BatchEntry, Cursor, Occurrence};
use super::frontier::Frontier;
use super::goroutines::{COLLECTOR, Goroutine, Goroutines, NOBODY, State, no_memory};
use super::scan::{Sample, Scan};
use super::spec::EventType;
use crate::error::{Error, ErrorKind, Table};
use crate::num;
use crate::tables::{List, NIL};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// The order that was found.
pub(super) struct Merged {
    pub(super) order: Order,
    /// By time.
    pub(super) exits: Vec<SyscallExit>,
    /// Of each start of a system call, in order, whether the call blocks.
    pub(super) blocks: Bits,
    /// Some ends of system calls are later than they were written, so that `blocks` has to be found
    /// again.
    pub(super) late: bool,
    /// Why no order was found for what follows.
    pub(super) error: Option<Error>,
}

/// Which proc each event is from.
pub(super) enum Order {
    Narrow(Vec<u8>),
    Wide(Vec<u32>),
}

/// The end of a system call.
#[derive(Clone, Copy, Debug)]
pub(super) struct SyscallExit {
    /// When the call ended, or else when that was written, in clock units.
    pub(super) time: i64,
    /// Which one it is in the order that was found.
    pub(super) index: u32,
    /// The goroutine's slot.
    pub(super) go_slot: u32,
    /// Where the record is.
    pub(super) at: usize,
}

/// Bits, eight to a byte.
#[derive(Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    len: u32,
}

impl Bits {
    /// Adds a bit that is not set, and gives its place; [`NIL`] if there is no memory.
    pub(super) fn push(&mut self) -> u32 {
        if self.len & 7 == 0 && List::push(&mut self.bytes, 0).is_err() {
            return NIL;
        }
        let at = self.len;
        self.len = at.wrapping_add(1);
        at
    }

    pub(super) fn set(&mut self, at: u32) {
        if let Some(byte) = self.bytes.get_mut(num::index(at.wrapping_shr(3))) {
            *byte |= 1u8.wrapping_shl(at & 7);
        }
    }

    pub(super) fn get(&self, at: u32) -> bool {
        let byte = self.bytes.get(num::index(at.wrapping_shr(3)));
        byte.is_some_and(|byte| byte.wrapping_shr(at & 7) & 1 != 0)
    }
}

impl Order {
    fn new(events: usize, cursors: usize) -> Option<Order> {
        /// As much as is needed: a list that grows would for a moment take three times that.
        fn with_capacity<T>(events: usize) -> Option<Vec<T>> {
            let mut list = Vec::new();
            list.try_reserve_exact(events).ok()?;
            Some(list)
        }
        // The samples count as one more.
        Some(if cursors < usize::from(u8::MAX) {
            Order::Narrow(with_capacity(events)?)
        } else {
            Order::Wide(with_capacity(events)?)
        })
    }

    #[inline]
    fn push(&mut self, cursor: u32) -> bool {
        let pushed = match self {
            Order::Narrow(list) => List::push(list, num::low_byte(u64::from(cursor))),
            Order::Wide(list) => List::push(list, cursor),
        };
        pushed.is_ok()
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<u32> {
        match self {
            Order::Narrow(list) => list.get(at).map(|cursor| u32::from(*cursor)),
            Order::Wide(list) => list.get(at).copied(),
        }
    }
}

/// In the place of a sequence number: any, and it stays.
const ANY: u64 = u64::MAX;
/// In the place of the next sequence number: one more than it was.
const ONE_MORE: u64 = u64::MAX - 1;

/// What an event needs of a goroutine, and makes of it.
struct Change {
    slot: u32,
    seq: u64,
    state: State,
    next_seq: u64,
    next: State,
}

impl Change {
    /// What an event changes; `None` if it depends on nothing.
    #[inline(always)]
    fn of(event: &Occurrence) -> Option<Change> {
        use State::{Dead, Runnable, Running, Waiting};
        let [_, first, second, ..] = event.args;
        let change = |slot, seq, state, next_seq, next| {
            Some(Change {
                slot,
                seq,
                state,
                next_seq,
                next,
            })
        };
        // All ones are no goroutine.
        let named = |seq, state, next_seq, next| match first {
            u64::MAX => None,
            _ => change(event.named, seq, state, next_seq, next),
        };
        match event.ty {
            EventType::GO_CREATE => named(0, Dead, 1, Runnable),
            EventType::GO_WAITING | EventType::GO_IN_SYSCALL => named(1, Runnable, 2, Waiting),
            EventType::GO_START | EventType::GO_START_LABEL => {
                named(second, Runnable, second.wrapping_add(1), Running)
            }
            EventType::GO_START_LOCAL => named(ANY, Runnable, ONE_MORE, Running),
            EventType::GO_UNBLOCK | EventType::GO_SYS_EXIT => {
                named(second, Waiting, second.wrapping_add(1), Runnable)
            }
            EventType::GO_UNBLOCK_LOCAL | EventType::GO_SYS_EXIT_LOCAL => {
                named(ANY, Waiting, ONE_MORE, Runnable)
            }
            EventType::GC_START => change(COLLECTOR, first, Dead, first.wrapping_add(1), Dead),
            _ if event.go == u64::MAX => None,
            EventType::GO_SCHED | EventType::GO_PREEMPT => {
                change(event.go_slot, ANY, Running, ANY, Runnable)
            }
            EventType::GO_SYS_BLOCK => change(event.go_slot, ANY, Running, ANY, Waiting),
            ty if super::cursor::blocks(ty) => change(event.go_slot, ANY, Running, ANY, Waiting),
            _ => None,
        }
    }

    #[inline]
    fn is_ready(&self, goroutine: &Goroutine) -> bool {
        (self.seq == ANY || self.seq == goroutine.seq) && self.state == goroutine.state
    }
}

/// When a goroutine's system calls were.
#[derive(Clone, Copy, Debug)]
struct Syscall {
    /// When it blocked last, in clock units; 0 for never.
    blocked: i64,
    /// When the last one began, and its number.
    began: i64,
    number: u32,
}

struct Merge<'a> {
    data: &'a [u8],
    batches: &'a [BatchEntry],
    cursors: &'a mut [Cursor],
    goroutines: &'a mut Goroutines,
    samples: core::slice::Iter<'a, Sample>,
    /// The sample that comes next, as an event of a cursor after the last.
    sample: Occurrence,
    frontier: Frontier,
    /// Cursors whose next event has to be looked at.
    due: Vec<u32>,
    /// The first of the cursors that wait for a goroutine, a sequence number and a state.
    waiting: BTreeMap<(u32, u64, State), u32>,
    waiters: usize,
    order: Order,
    last: i64,
    syscalls: Syscalls,
    /// What the event of each cursor changes.
    changes: Vec<Option<Change>>,
}

/// What is found out about system calls.
struct Syscalls {
    /// Of each goroutine that made one.
    last: Vec<Syscall>,
    exits: Vec<SyscallExit>,
    blocks: Bits,
    late: bool,
}

/// Merges the events of all procs. `base` is where the data begins in the trace.
pub(super) fn merge(
    data: &[u8],
    base: u64,
    scan: &mut Scan,
    goroutines: &mut Goroutines,
) -> Result<Merged, Error> {
    let events = scan.events.saturating_add(scan.samples.len());
    let order = Order::new(events, scan.cursors.len());
    let mut exits: Vec<SyscallExit> = Vec::new();
    let (Some(order), Ok(())) = (order, exits.try_reserve_exact(scan.exits)) else {
        return Err(no_memory(Table::Batches, base));
    };
    // Samples come last where times are equal at the start.
    let cursors = num::slot(scan.cursors.len());
    let mut merge = Merge {
        data,
        batches: &scan.batches,
        cursors: &mut scan.cursors,
        goroutines,
        samples: scan.samples.iter(),
        sample: Occurrence::default(),
        frontier: Frontier::default(),
        due: (0..=cursors).collect(),
        waiting: BTreeMap::new(),
        waiters: 0,
        order,
        last: i64::MIN,
        changes: (0..cursors).map(|_| None).collect(),
        syscalls: Syscalls {
            last: Vec::new(),
            exits,
            blocks: Bits::default(),
            late: false,
        },
    };
    let result = merge.run();
    let (order, mut syscalls) = (merge.order, merge.syscalls);
    syscalls.exits.sort_unstable_by_key(|e| (e.time, e.index));
    Ok(Merged {
        order,
        exits: syscalls.exits,
        blocks: syscalls.blocks,
        late: syscalls.late,
        error: result.err().map(|fault| {
            let at = base.wrapping_add(num::wide(fault.at));
            Error::at(fault.kind, fault.value, at)
        }),
    })
}

/// What is wrong with an event, and where that is in the data.
pub(super) struct Fault {
    pub(super) kind: ErrorKind,
    pub(super) value: u64,
    pub(super) at: usize,
}

impl Fault {
    #[cold]
    pub(super) fn new(kind: ErrorKind, value: u64, event: &Occurrence) -> Fault {
        Fault {
            kind,
            value,
            at: event.at,
        }
    }
}

impl Merge<'_> {
    fn run(&mut self) -> Result<(), Fault> {
        loop {
            self.look()?;
            let Some(mut cursor) = self.frontier.pop() else {
                break;
            };
            // Most of the time the next event of a proc is next of all: the frontier is not asked.
            while self.pass(cursor)? && self.due.is_empty() {
                match self.read(cursor)? {
                    Some(time) => cursor = self.frontier.exchange(time, cursor),
                    None => break,
                }
            }
        }
        if self.waiters == 0 {
            return Ok(());
        }
        let waiting = self.waiting.values().filter_map(|cursor| {
            let cursor = self.cursors.get(num::index(*cursor))?;
            Some((cursor.event.time, cursor.event.at))
        });
        let (_, at) = waiting.min().unwrap_or_default();
        Err(Fault {
            kind: ErrorKind::NoOrder,
            value: num::wide(self.waiters),
            at,
        })
    }

    /// Reads the next events of the cursors that are due: they join the frontier, or wait.
    fn look(&mut self) -> Result<(), Fault> {
        // In the order in which Go looks at them: of two events at one time, the one that was found
        // first often comes first.
        while let Some(&due) = self.due.first() {
            self.due.swap_remove(0);
            let cursor = due & !WOKEN;
            let time = match self.cursors.get(num::index(cursor)) {
                Some(known) if due & WOKEN != 0 => Some(known.event.time),
                _ => self.read(cursor)?,
            };
            if let Some(time) = time {
                self.frontier.push(time, cursor);
            }
        }
        Ok(())
    }

    /// Reads the next event of a cursor, and gives its time if it may come next; otherwise it waits,
    /// or there is none.
    #[inline]
    fn read(&mut self, index: u32) -> Result<Option<i64>, Fault> {
        let Some(cursor) = self.cursors.get_mut(num::index(index)) else {
            return Ok(self.samples.next().map(|sample| {
                self.sample = sample.occurrence(self.data);
                self.sample.time
            }));
        };
        if !cursor.advance(self.data, self.batches, self.goroutines) {
            return Ok(None);
        }
        let time = cursor.event.time;
        let change = self.changes.get_mut(num::index(index));
        let Some(change) = change.and_then(|change| {
            *change = Change::of(&cursor.event);
            change.as_ref()
        }) else {
            return Ok(Some(time));
        };
        let Some(goroutine) = self.goroutines.get_mut(change.slot) else {
            return Err(Fault::new(NO_MEMORY, u64::MAX, &cursor.event));
        };
        if change.is_ready(goroutine) {
            return Ok(Some(time));
        }
        goroutine.awaited = true;
        let key = (change.slot, change.seq, change.state);
        let others = self.waiting.insert(key, index);
        cursor.waits_with = others.unwrap_or(NIL);
        self.waiters = self.waiters.wrapping_add(1);
        Ok(None)
    }

    /// The cursor's event is the next one. Says whether the cursor's next may be read at once: else
    /// it is due, as others are.
    #[inline]
    fn pass(&mut self, index: u32) -> Result<bool, Fault> {
        let event = match self.cursors.get(num::index(index)) {
            Some(cursor) => &cursor.event,
            None => {
                // What it was of may be known only now.
                self.sample.go_slot = self.goroutines.slot(self.sample.go);
                &self.sample
            }
        };
        let mut awaited = None;
        let change = self.changes.get(num::index(index));
        if let Some(change) = change.and_then(Option::as_ref) {
            let Some(goroutine) = self.goroutines.get_mut(change.slot) else {
                return Err(Fault::new(NO_MEMORY, u64::MAX, event));
            };
            // Another event may have come first since this one was found to be ready.
            if !change.is_ready(goroutine) {
                let kind = ErrorKind::GoStateMismatch;
                return Err(Fault::new(kind, event.go, event));
            }
            goroutine.seq = match change.next_seq {
                ANY => goroutine.seq,
                ONE_MORE => goroutine.seq.wrapping_add(1),
                seq => seq,
            };
            goroutine.state = change.next;
            if goroutine.awaited {
                awaited = Some((change.slot, goroutine.seq, change.next));
            }
        }
        if event.time < self.last {
            let late = self.last.wrapping_sub(event.time).cast_unsigned();
            return Err(Fault::new(ErrorKind::TimeOrder, late, event));
        }
        self.last = event.time;
        self.syscalls.note(event, self.goroutines)?;
        if !self.order.push(index) {
            return Err(Fault::new(NO_MEMORY, u64::MAX, event));
        }
        if let Some((slot, seq, state)) = awaited {
            self.wake((slot, ANY, state));
            self.wake((slot, seq, state));
            self.due.push(index);
            return Ok(false);
        }
        Ok(true)
    }

    /// The cursors that wait for this wait no longer.
    #[cold]
    fn wake(&mut self, key: (u32, u64, State)) {
        let mut at = self.waiting.remove(&key).unwrap_or(NIL);
        while let Some(cursor) = self.cursors.get_mut(num::index(at)) {
            self.due.push(at | WOKEN);
            self.waiters = self.waiters.wrapping_sub(1);
            at = core::mem::replace(&mut cursor.waits_with, NIL);
        }
    }
}

impl Syscalls {
    /// Finds out which system calls block, and when they end.
    #[inline]
    fn note(&mut self, event: &Occurrence, goroutines: &mut Goroutines) -> Result<(), Fault> {
        let ty = event.ty;
        if matches!(ty, EventType::GO_SYS_EXIT | EventType::GO_SYS_EXIT_LOCAL) {
            return self.note_exit(event, goroutines);
        }
        let Some(goroutine) = goroutines.get_mut(event.go_slot) else {
            return Ok(());
        };
        if goroutine.in_syscall {
            goroutine.in_syscall = false;
            if ty == EventType::GO_SYS_BLOCK
                && let Some(syscall) = self.last.get(num::index(goroutine.syscall))
            {
                self.blocks.set(syscall.number);
            }
        }
        let begins = ty == EventType::GO_SYS_CALL;
        if !(begins || matches!(ty, EventType::GO_SYS_BLOCK | EventType::GO_IN_SYSCALL)) {
            return Ok(());
        }
        if goroutine.syscall == NIL {
            let new = Syscall {
                blocked: 0,
                began: 0,
                number: NIL,
            };
            goroutine.syscall = num::slot(self.last.len());
            List::push(&mut self.last, new).map_err(|_| Fault::new(NO_MEMORY, u64::MAX, event))?;
        }
        if let Some(syscall) = self.last.get_mut(num::index(goroutine.syscall)) {
            if begins {
                goroutine.in_syscall = true;
                syscall.began = event.time;
                syscall.number = self.blocks.push();
            } else {
                syscall.blocked = event.time;
            }
        }
        Ok(())
    }

    /// A system call ends, perhaps at another time than that at which it was written.
    fn note_exit(&mut self, event: &Occurrence, goroutines: &mut Goroutines) -> Result<(), Fault> {
        let [_, _, _, end, _] = event.args;
        let end = match event.ty {
            EventType::GO_SYS_EXIT => num::signed(end),
            // Go does not look for a time in these.
            _ => 0,
        };
        let goroutine = goroutines.get(event.go_slot);
        let syscall = self.last.get(num::index(goroutine.syscall)).copied();
        let mut time = event.time;
        if end != 0 {
            let blocked = syscall.map_or(0, |syscall| syscall.blocked);
            if blocked == 0 {
                return Err(Fault::new(ErrorKind::StraySyscallExit, event.go, event));
            }
            if end < blocked {
                let early = blocked.wrapping_sub(end).cast_unsigned();
                return Err(Fault::new(ErrorKind::TimeOrder, early, event));
            }
            time = end;
        }
        self.late |= time > event.time;
        // It may be the event after a call that did not block, unless it happened before that.
        if goroutine.in_syscall
            && syscall.is_some_and(|syscall| time >= syscall.began)
            && let Some(goroutine) = goroutines.get_mut(event.go_slot)
        {
            goroutine.in_syscall = false;
        }
        let exit = SyscallExit {
            time,
            index: num::slot(self.exits.len()),
            go_slot: event.go_slot,
            at: event.at,
        };
        List::push(&mut self.exits, exit).map_err(|_| Fault::new(NO_MEMORY, u64::MAX, event))
    }
}

/// In the list of cursors that are due: its event has been read and may pass now.
const WOKEN: u32 = 1 << 31;
const NO_MEMORY: ErrorKind = ErrorKind::TableFull(Table::Goroutines);

impl Sample {
    /// The sample as an event.
    pub(super) fn occurrence(&self, data: &[u8]) -> Occurrence {
        let mut args = Default::default();
        super::record::reread(data, self.at, &mut args);
        let [_, _, _, go, _] = args;
        Occurrence {
            ty: EventType::CPU_SAMPLE,
            args,
            time: self.time,
            go,
            go_slot: NOBODY,
            named: NOBODY,
            at: self.at,
        }
    }
}
