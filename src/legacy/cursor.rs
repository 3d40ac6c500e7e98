//! The events of one proc, batch after batch.

use super::goroutines::{COLLECTOR, Goroutine, Goroutines, NOBODY, State};
use super::record::reread;
use super::spec::{EventType, MAX_ARGS};
use crate::num;
use crate::tables::NIL;

/// Where a batch that has events begins, and the next one of the same proc.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchEntry {
    pub(super) at: usize,
    pub(super) next: u32,
}

/// In the place of a sequence number: any, and it stays.
const ANY: u64 = u64::MAX;
/// In the place of the next sequence number: one more than it was.
const ONE_MORE: u64 = u64::MAX - 1;

/// What an event needs of a goroutine, and makes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    /// The goroutine's slot; [`NIL`] if the event depends on nothing.
    pub(super) slot: u32,
    pub(super) state: State,
    next: State,
    pub(super) seq: u64,
    next_seq: u64,
}

impl Change {
    const NONE: Change = Change::new(NIL, [0, 0], [State::Dead; 2]);

    #[inline(always)]
    const fn new(slot: u32, seq: [u64; 2], state: [State; 2]) -> Change {
        let ([seq, next_seq], [state, next]) = (seq, state);
        Change {
            slot,
            state,
            next,
            seq,
            next_seq,
        }
    }

    #[inline(always)]
    pub(super) fn is_ready(&self, goroutine: &Goroutine) -> bool {
        (self.seq == ANY || self.seq == goroutine.seq) && self.state == goroutine.ordered
    }

    #[inline(always)]
    pub(super) fn apply(&self, goroutine: &mut Goroutine) {
        goroutine.seq = match self.next_seq {
            ANY => goroutine.seq,
            ONE_MORE => goroutine.seq.wrapping_add(1),
            seq => seq,
        };
        goroutine.ordered = self.next;
    }

    /// Applies the change if it may be; says whether that is so.
    #[inline(always)]
    pub(super) fn try_on(&self, goroutine: &mut Goroutine) -> bool {
        let is_ready = self.is_ready(goroutine);
        if is_ready {
            self.apply(goroutine);
        }
        is_ready
    }

    /// What other events may wait for that this one brings, now that it has happened.
    /// `seq` is the goroutine's number.
    pub(super) fn brings(&self, seq: u64) -> [(u32, u64, State); 2] {
        let (slot, state) = (self.slot, self.next);
        [(slot, ANY, state), (slot, seq, state)]
    }

    /// What the event waits for.
    pub(super) fn awaits(&self) -> (u32, u64, State) {
        (self.slot, self.seq, self.state)
    }
}

/// An event of a proc.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occurrence {
    pub(super) ty: EventType,
    /// As in the trace: the first is the time difference.
    pub(super) args: [u64; MAX_ARGS],
    /// In clock units.
    pub(super) time: i64,
    /// The goroutine on which it happened, 0 for none, and its slot.
    pub(super) go: u64,
    pub(super) go_slot: u32,
    /// The slot of the goroutine that the first argument names, if it names one.
    pub(super) named: u32,
    /// Where the record is.
    pub(super) at: usize,
    pub(super) change: Change,
}

impl Occurrence {
    pub(super) const NONE: Occurrence = Occurrence {
        ty: EventType(0),
        args: [0; MAX_ARGS],
        time: 0,
        go: 0,
        go_slot: NOBODY,
        named: NOBODY,
        at: 0,
        change: Change::NONE,
    };
}

/// Reads the events of one proc.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    /// All ones for events without a proc.
    pub(super) proc: u64,
    first_batch: u32,
    last_batch: u32,
    next_batch: u32,
    /// The next record in the batch.
    at: usize,
    in_batch: bool,
    clock: i64,
    /// The goroutine that the proc runs, 0 for none.
    running: u64,
    running_slot: u32,
    /// The event read last.
    pub(super) event: Occurrence,
    /// In the merge, the next cursor that waits for the same.
    pub(super) waits_with: u32,
}

/// What is special about a type of event: whose it is, and what it needs of a goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// It is of the goroutine that the proc runs, if any.
    Plain,
    /// The proc runs no goroutine any more.
    Leaves,
    /// Nor that, and the goroutine is in this state.
    Becomes(State),
    /// The proc runs the goroutine named.
    Starts { numbered: bool },
    /// The goroutine named begins.
    Creates,
    /// The goroutine named is made ready; perhaps it is the one on which this happens.
    Wakes { numbered: bool, own: bool },
    /// The goroutine named was blocked when the trace began.
    Blocked,
    /// The garbage collector begins.
    Collects,
}

impl Effect {
    const fn of(ty: EventType) -> Effect {
        match ty {
            EventType::GO_START | EventType::GO_START_LABEL => Effect::Starts { numbered: true },
            EventType::GO_START_LOCAL => Effect::Starts { numbered: false },
            EventType::GO_CREATE => Effect::Creates,
            EventType::GO_WAITING | EventType::GO_IN_SYSCALL => Effect::Blocked,
            EventType::GO_UNBLOCK => Effect::Wakes {
                numbered: true,
                own: false,
            },
            EventType::GO_UNBLOCK_LOCAL | EventType::GO_SYS_EXIT_LOCAL => Effect::Wakes {
                numbered: false,
                own: false,
            },
            EventType::GO_SYS_EXIT => Effect::Wakes {
                numbered: true,
                own: true,
            },
            EventType::GC_START => Effect::Collects,
            EventType::GO_SCHED | EventType::GO_PREEMPT => Effect::Becomes(State::Runnable),
            EventType::GO_END | EventType::GO_STOP => Effect::Leaves,
            EventType::GO_SYS_BLOCK
            | EventType::GO_SLEEP
            | EventType::GO_BLOCK
            | EventType::GO_BLOCK_SEND
            | EventType::GO_BLOCK_RECV
            | EventType::GO_BLOCK_SELECT
            | EventType::GO_BLOCK_SYNC
            | EventType::GO_BLOCK_COND
            | EventType::GO_BLOCK_NET
            | EventType::GO_BLOCK_GC => Effect::Becomes(State::Waiting),
            _ => Effect::Plain,
        }
    }

    /// Whether the event is of the goroutine that the proc runs.
    const fn is_of_the_running(self) -> bool {
        !matches!(
            self,
            Effect::Starts { .. } | Effect::Blocked | Effect::Wakes { own: true, .. }
        )
    }
}

/// The first bytes of records as Go writes them: events of the types that are most frequent, and
/// what follows them, by number and length of arguments.
mod forms {
    use super::EventType;

    /// The first byte of a record with so many arguments, of which there are at most three.
    const fn short(ty: EventType, args: u8) -> u8 {
        ty.0 | args.wrapping_sub(1).wrapping_shl(6)
    }

    /// The first byte of a record whose arguments' length comes first.
    const fn long(ty: EventType) -> u8 {
        ty.0 | 0xc0
    }

    pub(super) const START_LOCAL: u8 = short(EventType::GO_START_LOCAL, 2);
    pub(super) const START: u8 = short(EventType::GO_START, 3);
    pub(super) const CREATE: u8 = long(EventType::GO_CREATE);
    pub(super) const UNBLOCK_LOCAL: u8 = short(EventType::GO_UNBLOCK_LOCAL, 3);
    pub(super) const UNBLOCK: u8 = long(EventType::GO_UNBLOCK);
    pub(super) const END: u8 = short(EventType::GO_END, 1);
    pub(super) const SYS_BLOCK: u8 = short(EventType::GO_SYS_BLOCK, 1);
    pub(super) const SCHED: u8 = short(EventType::GO_SCHED, 2);
    pub(super) const PREEMPT: u8 = short(EventType::GO_PREEMPT, 2);
    pub(super) const SLEEP: u8 = short(EventType::GO_SLEEP, 2);
    pub(super) const BLOCK: u8 = short(EventType::GO_BLOCK, 2);
    pub(super) const SEND: u8 = short(EventType::GO_BLOCK_SEND, 2);
    pub(super) const RECV: u8 = short(EventType::GO_BLOCK_RECV, 2);
    pub(super) const SELECT: u8 = short(EventType::GO_BLOCK_SELECT, 2);
    pub(super) const SYNC: u8 = short(EventType::GO_BLOCK_SYNC, 2);
    pub(super) const COND: u8 = short(EventType::GO_BLOCK_COND, 2);
    pub(super) const NET: u8 = short(EventType::GO_BLOCK_NET, 2);
    pub(super) const GC: u8 = short(EventType::GO_BLOCK_GC, 2);
    pub(super) const SYS_CALL: u8 = short(EventType::GO_SYS_CALL, 2);
    pub(super) const HEAP_ALLOC: u8 = short(EventType::HEAP_ALLOC, 2);
    pub(super) const ASSIST_START: u8 = short(EventType::GC_MARK_ASSIST_START, 2);
    pub(super) const ASSIST_DONE: u8 = short(EventType::GC_MARK_ASSIST_DONE, 1);
    pub(super) const TASK_END: u8 = short(EventType::USER_TASK_END, 3);
    pub(super) const REGION: u8 = long(EventType::USER_REGION);
}

/// Bytes of the trace from a place on, so many that a record's numbers need no other bounds.
type Window = [u8; 32];

/// Reads so many numbers of at most four bytes each, from `from` on; gives them, and where they end.
/// `None` if one is longer, or there are more of them than the window has room for.
#[inline(always)]
fn numbers<const N: usize>(window: &Window, from: usize) -> Option<([u64; MAX_ARGS], usize)> {
    const { assert!(N <= MAX_ARGS && 4 * N + 2 < size_of::<Window>()) };
    // Never past the end: what begins at `from`, which is 1 or 2, has room.
    let byte = |at: usize| u64::from(window.get(at & 31).copied().unwrap_or(0));
    let mut args = [0; MAX_ARGS];
    let mut at = from;
    for arg in args.iter_mut().take(N) {
        let a = byte(at);
        at = at.wrapping_add(1);
        if a < 0x80 {
            *arg = a;
            continue;
        }
        let b = byte(at);
        at = at.wrapping_add(1);
        let ab = a & 0x7f | (b & 0x7f) << 7;
        if b < 0x80 {
            *arg = ab;
            continue;
        }
        let c = byte(at);
        at = at.wrapping_add(1);
        let abc = ab | (c & 0x7f) << 14;
        if c < 0x80 {
            *arg = abc;
            continue;
        }
        let d = byte(at);
        at = at.wrapping_add(1);
        if d >= 0x80 {
            return None;
        }
        *arg = abc | d << 21;
    }
    Some((args, at))
}

impl Cursor {
    pub(super) const fn new(proc: u64) -> Cursor {
        Cursor {
            proc,
            first_batch: NIL,
            last_batch: NIL,
            next_batch: NIL,
            at: 0,
            in_batch: false,
            clock: 0,
            running: 0,
            running_slot: NOBODY,
            event: Occurrence::NONE,
            waits_with: NIL,
        }
    }

    /// Adds the batch entry at `entry` to those of the proc. The caller links it.
    pub(super) fn add(&mut self, entry: u32) -> u32 {
        if self.first_batch == NIL {
            self.first_batch = entry;
            self.next_batch = entry;
        }
        core::mem::replace(&mut self.last_batch, entry)
    }

    /// Reads the next event; says whether there is one.
    #[inline(always)]
    pub(super) fn advance(
        &mut self,
        data: &[u8],
        batches: &[BatchEntry],
        goroutines: &mut Goroutines,
    ) -> bool {
        if self.in_batch
            && let Some(window) = data.get(self.at..).and_then(<[u8]>::first_chunk)
            && self.advance_quickly(window, goroutines)
        {
            return true;
        }
        self.advance_slowly(data, batches, goroutines)
    }

    /// Reads the next event if it is of one of the types and forms that are most frequent: one jump
    /// finds out how many arguments it has, and what it means. Says whether it is.
    #[inline(always)]
    fn advance_quickly(&mut self, window: &Window, goroutines: &mut Goroutines) -> bool {
        use forms::*;
        let [first, length, ..] = *window;
        /// An event with so many arguments, and so many bytes before them: two if their length is one.
        macro_rules! event {
            ($count:literal from $from:literal $effect:expr) => {{
                let Some((args, len)) = numbers::<$count>(window, $from) else {
                    return false;
                };
                if $from == 2 && len != usize::from(length).wrapping_add($from) {
                    return false;
                }
                let ty = EventType(first & 0x3f);
                self.happen(ty, const { $effect }, args, len, goroutines);
            }};
        }
        match first {
            REGION => event!(5 from 2 Effect::Plain),
            START_LOCAL => event!(2 from 1 Effect::of(EventType::GO_START_LOCAL)),
            START => event!(3 from 1 Effect::of(EventType::GO_START)),
            CREATE => event!(4 from 2 Effect::of(EventType::GO_CREATE)),
            UNBLOCK_LOCAL => event!(3 from 1 Effect::of(EventType::GO_UNBLOCK_LOCAL)),
            UNBLOCK => event!(4 from 2 Effect::of(EventType::GO_UNBLOCK)),
            END => event!(1 from 1 Effect::of(EventType::GO_END)),
            SYS_BLOCK => event!(1 from 1 Effect::of(EventType::GO_SYS_BLOCK)),
            SCHED | PREEMPT => event!(2 from 1 Effect::of(EventType::GO_SCHED)),
            SLEEP | BLOCK | SEND | RECV | SELECT | SYNC | COND | NET | GC => {
                event!(2 from 1 Effect::of(EventType::GO_BLOCK))
            }
            SYS_CALL | HEAP_ALLOC | ASSIST_START => event!(2 from 1 Effect::Plain),
            ASSIST_DONE => event!(1 from 1 Effect::Plain),
            TASK_END => event!(3 from 1 Effect::Plain),
            _ => return false,
        }
        true
    }

    /// Reads the next event, whatever it is.
    #[inline(never)]
    pub(super) fn advance_slowly(
        &mut self,
        data: &[u8],
        batches: &[BatchEntry],
        goroutines: &mut Goroutines,
    ) -> bool {
        loop {
            if !self.in_batch && !self.enter(data, batches) {
                return false;
            }
            let mut args = [0; MAX_ARGS];
            let Some((ty, next)) = reread(data, self.at, &mut args) else {
                self.in_batch = false;
                continue;
            };
            if !ty.is_timed() {
                self.in_batch = ty != EventType::BATCH;
                self.at = next;
                continue;
            }
            let len = next.wrapping_sub(self.at);
            self.happen(ty, Effect::of(ty), args, len, goroutines);
            return true;
        }
    }

    /// The next event is this one, whose record has this length.
    #[inline(always)]
    fn happen(
        &mut self,
        ty: EventType,
        effect: Effect,
        args: [u64; MAX_ARGS],
        len: usize,
        goroutines: &mut Goroutines,
    ) {
        use State::{Dead, Runnable, Running, Waiting};
        let [dt, first, second, ..] = args;
        let event = &mut self.event;
        event.ty = ty;
        event.args = args;
        event.at = self.at;
        self.at = self.at.wrapping_add(len);
        self.clock = self.clock.wrapping_add(num::signed(dt));
        event.time = self.clock;
        (event.go, event.go_slot) = (self.running, self.running_slot);
        // All ones are no goroutine.
        let awaited = |slot| if first == u64::MAX { NIL } else { slot };
        let number = |numbered| match numbered {
            true => [second, second.wrapping_add(1)],
            false => [ANY, ONE_MORE],
        };
        event.change = match effect {
            Effect::Plain => Change::NONE,
            Effect::Leaves => {
                (self.running, self.running_slot) = (0, NOBODY);
                Change::NONE
            }
            Effect::Becomes(state) => {
                (self.running, self.running_slot) = (0, NOBODY);
                let slot = match event.go {
                    u64::MAX => NIL,
                    _ => event.go_slot,
                };
                Change::new(slot, [ANY; 2], [Running, state])
            }
            Effect::Starts { numbered } => {
                let slot = goroutines.slot(first);
                (self.running, self.running_slot) = (first, slot);
                (event.go, event.go_slot, event.named) = (first, slot, slot);
                Change::new(awaited(slot), number(numbered), [Runnable, Running])
            }
            Effect::Creates => {
                event.named = goroutines.slot(first);
                Change::new(awaited(event.named), [0, 1], [Dead, Runnable])
            }
            Effect::Wakes { numbered, own } => {
                let slot = goroutines.slot(first);
                event.named = slot;
                if own {
                    (event.go, event.go_slot) = (first, slot);
                }
                Change::new(awaited(slot), number(numbered), [Waiting, Runnable])
            }
            Effect::Blocked => {
                let slot = goroutines.slot(first);
                (event.go, event.go_slot, event.named) = (first, slot, slot);
                Change::new(awaited(slot), [1, 2], [Runnable, Waiting])
            }
            Effect::Collects => Change::new(COLLECTOR, [first, first.wrapping_add(1)], [Dead; 2]),
        };
    }

    /// Whether the next event of the goroutine that made a system call, which was read last, says
    /// that the call blocks: gives the time of that.
    ///
    /// A goroutine that runs has events of this proc only. They are looked for until there is one, so
    /// that none is looked at twice.
    pub(super) fn blocking(
        &self,
        data: &[u8],
        batches: &[BatchEntry],
        goroutines: &mut Goroutines,
    ) -> Option<i64> {
        // Nearly always one look at the next record is enough.
        if let Some(first) = data.get(self.at).filter(|_| self.in_batch) {
            let ty = EventType(first & 0x3f);
            let known = ty.is_timed() && Effect::of(ty).is_of_the_running();
            if known && ty != EventType::GO_SYS_BLOCK {
                return None;
            }
        }
        let mut ahead = *self;
        while ahead.running_slot == self.running_slot {
            if !ahead.advance_slowly(data, batches, goroutines) {
                return None;
            }
            if ahead.event.go_slot == self.event.go_slot {
                let blocks = ahead.event.ty == EventType::GO_SYS_BLOCK;
                return blocks.then_some(ahead.event.time);
            }
        }
        None
    }

    /// Goes on to the next batch; says whether there is one.
    #[cold]
    fn enter(&mut self, data: &[u8], batches: &[BatchEntry]) -> bool {
        let Some(batch) = batches.get(num::index(self.next_batch)) else {
            return false;
        };
        self.next_batch = batch.next;
        self.in_batch = true;
        self.at = batch.at;
        let mut args = [0; MAX_ARGS];
        if let Some((_, next)) = reread(data, self.at, &mut args) {
            self.at = next;
        }
        let [_, ticks, ..] = args;
        self.clock = num::signed(ticks);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::varint;
    use alloc::vec::Vec;

    /// The quick way and the slow one read the same numbers.
    #[test]
    fn numbers_are_read_as_elsewhere() {
        let mut seed = 7u64;
        for _ in 0..20_000 {
            let mut bytes = Vec::from([0u8]);
            let mut expected = [0; MAX_ARGS];
            let mut short = true;
            for value in &mut expected {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *value = (seed >> 20) >> (20 + (seed >> 58) % 24);
                let (encoded, len) = varint::encode(*value);
                bytes.extend(&encoded[..len]);
                short &= len <= 4;
            }
            let len = bytes.len();
            bytes.resize(64, 0xff);
            let read = numbers::<MAX_ARGS>(bytes.first_chunk().unwrap(), 1);
            assert_eq!(read, short.then_some((expected, len)));
        }
    }
}
