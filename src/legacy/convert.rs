//! Each event of the old format becomes none, one or two of today's.
//!
//! The file is long because what becomes of each type of event is one table, read from top to bottom.

use super::check::{Checks, Happening, Proc, Task};
use super::cursor::Occurrence;
use super::exits::Exits;
use super::goroutines::{Goroutines, State, no_memory};
use super::merge::{Fault, Merge};
use super::record::{Record, Records, reread};
use super::scan::{Scan, Timers};
use super::spec::{EventType as Old, MAX_ARGS};
use super::tables::Tables;
use super::words::Word;
use crate::error::{Error, ErrorKind, Table};
use crate::event::Raw;
use crate::generation::Lookup;
use crate::ids::{GoId, ProcId, ThreadId};
use crate::num;
use crate::tables::{List, NIL};
use crate::time::Time;
use crate::wire::{
    EventType, GoStatus, Pieces, Place, ProcStatus, Role, Span, TimedEvent, Version,
};
use alloc::vec::Vec;

/// Procs that are none: Go gives their numbers to events that no proc is the cause of.
const TIMERS: u64 = 1_000_001;
const NETWORK: u64 = 1_000_002;
const SYSCALLS: u64 = 1_000_003;
const COLLECTOR: u64 = 1_000_004;
const SPECIAL: [u64; 4] = [TIMERS, NETWORK, SYSCALLS, COLLECTOR];

/// How far the conversion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Before the first event.
    Start,
    /// Among the events.
    Events,
    /// After the last.
    End,
}

/// A trace of before Go 1.22, as the events of today's format.
pub(crate) struct Legacy {
    merge: Merge,
    /// The cursor whose event comes next, unless the end of a system call does.
    ahead: Option<u32>,
    /// Why there are no events after those that were given, once that is known.
    end: Option<Result<(), Fault>>,
    converter: Converter,
    stage: Stage,
    /// The time of the event given last.
    last: Time,
    syncs: u64,
    /// Where the records begin in the trace, and where it ends.
    start: u64,
    trace_end: u64,
}

/// Makes events of today's format of old ones.
struct Converter {
    version: Version,
    tables: Tables,
    checks: Checks,
    exits: Exits,
    timers: Timers,
    /// The cursors of the procs that are none, in case that a trace has batches of them.
    special: [u32; 4],
    /// Nanoseconds in a clock unit.
    nanoseconds: f64,
    /// The time of the first event, in clock units.
    first: i64,
    /// GOMAXPROCS has not been given yet: goroutines created existed already.
    starting: bool,
    /// Slots of goroutines that existed, whose status may be still to be given.
    announced: Vec<u32>,
    /// Goroutines that existed, whose status is to be given next, the highest id first.
    statuses: Vec<u64>,
    /// The second event that a record gives.
    further: Option<Raw>,
    /// Why the world is stopped.
    stopped: Span,
    /// The event given last.
    raw: Raw,
}

/// What becomes of an old event.
enum Outcome {
    Nothing,
    /// An event.
    Event,
    /// The begin of a system call, after which its end follows at once if it does not block.
    Call,
}

/// What came of looking for the next event.
enum Found {
    Event,
    /// The record gives none.
    Nothing,
    /// There are no records any more, or one is wrong; or the first event was not given yet.
    End,
}

impl Legacy {
    /// Reads a trace whose first record is at `start` in the first piece of the input: all records
    /// are looked at. Then events are given as they are merged.
    ///
    /// It takes time n log n, and memory: 32 bytes for each end of a system call that says when it was
    /// and for each sample, 24 for each string and stack, and 32 for each goroutine if their ids are
    /// in a row. In practice that is less than half of the trace; made to be dear, 64 times as much.
    pub(crate) fn new(input: &Pieces<'_>, start: usize, version: Version) -> Result<Legacy, Error> {
        let data = input.piece(0).unwrap_or(&[]);
        let base = input.offset(Place::default());
        let scan = Scan::new(input, start, version)?;
        let goroutines = Goroutines::new(scan.created);
        let goroutines = goroutines.map_err(|_| no_memory(Table::Goroutines, base))?;
        let special = SPECIAL.map(|proc| {
            let at = scan.cursors.iter().position(|cursor| cursor.proc == proc);
            at.map_or(NIL, num::slot)
        });
        let procs = alloc::vec![Proc::default(); scan.cursors.len()];
        let merge = Merge::new(data, scan.cursors, scan.batches, scan.samples, goroutines);
        Ok(Legacy {
            merge: merge.ok_or_else(|| no_memory(Table::Samples, base))?,
            ahead: None,
            end: None,
            converter: Converter {
                version,
                tables: scan.tables,
                checks: Checks::new(procs),
                exits: Exits::new(scan.exits),
                timers: scan.timers,
                special,
                nanoseconds: 1e9 / num::float(scan.frequency),
                first: 0,
                starting: true,
                announced: Vec::new(),
                statuses: Vec::new(),
                further: None,
                stopped: Span::default(),
                raw: Raw::default(),
            },
            stage: Stage::Start,
            last: Time(-1),
            syncs: 0,
            start: input.offset(Place::default().plus(start)),
            trace_end: input.offset(Place::default().plus(data.len())),
        })
    }

    /// The event that [`next`](Legacy::next) found.
    pub(crate) const fn raw(&self) -> &Raw {
        &self.converter.raw
    }

    /// The tables that events refer to.
    pub(crate) const fn tables(&self) -> &Tables {
        &self.converter.tables
    }

    /// Finds the next event; says whether there is one.
    #[inline]
    pub(crate) fn next(&mut self, input: &Pieces<'_>) -> Result<bool, Error> {
        let data = input.piece(0).unwrap_or(&[]);
        loop {
            match self.find(data) {
                Found::Event => return Ok(true),
                Found::Nothing => {}
                Found::End => return self.begin_or_end(data, input),
            }
        }
    }

    /// Where [`find`](Legacy::find) gave nothing: before the first event and after the last.
    #[cold]
    fn begin_or_end(&mut self, data: &[u8], input: &Pieces<'_>) -> Result<bool, Error> {
        match self.stage {
            Stage::Start => self.stage = Stage::Events,
            Stage::Events => return self.end(input),
            Stage::End => return Ok(false),
        }
        let Some(cursor) = self.look_ahead(data) else {
            return self.end(input);
        };
        self.converter.first = self.merge.event(cursor).0.time;
        // Before the first event, which is at 0.
        self.sync(Time(-1), self.start, self.trace_end);
        Ok(true)
    }

    #[cold]
    fn end(&mut self, input: &Pieces<'_>) -> Result<bool, Error> {
        self.stage = Stage::End;
        if let Some(Err(fault)) = self.end {
            let place = Place::default().plus(fault.at);
            return Err(input.error(fault.kind, fault.value, place));
        }
        let after = Time(self.last.0.wrapping_add(1));
        self.sync(after, self.trace_end, self.trace_end);
        Ok(true)
    }

    /// The cursor of the next event in the order in which they were written, if there is one.
    #[inline(never)]
    fn look_ahead(&mut self, data: &[u8]) -> Option<u32> {
        if self.ahead.is_none() && self.end.is_none() {
            match self.merge.next(data) {
                Ok(Some(cursor)) => self.ahead = Some(cursor),
                Ok(None) => self.end = Some(Ok(())),
                Err(fault) => self.end = Some(Err(fault)),
            }
        }
        self.ahead
    }

    /// Gives what is left of a record, or what comes of the next one.
    ///
    /// When nothing came of it, the caller goes on: with a loop here, what the loop needs would be
    /// fetched for each event.
    #[inline(never)]
    fn find(&mut self, data: &[u8]) -> Found {
        if self.stage != Stage::Events {
            return Found::End;
        }
        if !self.converter.has_more() {
            match self.convert_next(data) {
                Ok(Found::Event) => {}
                Ok(found) => return found,
                Err(fault) => {
                    self.end = Some(Err(fault));
                    return Found::End;
                }
            }
        }
        // No two events share a time.
        let raw = &mut self.converter.raw;
        if raw.time <= self.last {
            raw.time = Time(self.last.0.wrapping_add(1));
        }
        self.last = raw.time;
        Found::Event
    }

    /// Converts the next record, or gives the end of a system call that happened before it.
    #[inline(always)]
    fn convert_next(&mut self, data: &[u8]) -> Result<Found, Fault> {
        let at_once = match self.ahead {
            Some(_) => None,
            None => self.merge.next_at_once(data),
        };
        let Some(cursor) = at_once.or_else(|| self.look_ahead(data)) else {
            let goroutines = &mut self.merge.goroutines;
            return match self.converter.exit(None, data, goroutines)? {
                true => Ok(Found::Event),
                false => Ok(Found::End),
            };
        };
        let (event, proc, goroutines) = self.merge.event(cursor);
        let converter = &mut self.converter;
        if converter.exits.may_precede(event.time)
            && converter.exit(Some(event.time), data, goroutines)?
        {
            self.ahead = Some(cursor);
            return Ok(Found::Event);
        }
        self.ahead = None;
        match converter.convert(event, cursor, proc, data, goroutines)? {
            Outcome::Event => Ok(Found::Event),
            // But the trace may have started with it.
            Outcome::Nothing if converter.has_more() => Ok(Found::Event),
            Outcome::Nothing => Ok(Found::Nothing),
            Outcome::Call => {
                if !self.merge.call_blocks(cursor, data) {
                    self.converter.end_call(cursor);
                }
                Ok(Found::Event)
            }
        }
    }

    fn sync(&mut self, time: Time, start: u64, end: u64) {
        self.syncs = self.syncs.saturating_add(1);
        self.converter.raw = Raw::sync(self.syncs, time, start, end);
    }
}

impl Converter {
    /// Goes on to what is left of the record converted last; says whether there was anything.
    #[inline]
    fn has_more(&mut self) -> bool {
        if let Some(raw) = &self.further {
            self.raw = *raw;
            self.further = None;
            return true;
        }
        let Some(id) = self.statuses.pop() else {
            return false;
        };
        self.raw = Raw {
            at: self.raw.at,
            time: self.raw.time,
            ..status(id, GoStatus::RUNNABLE)
        };
        true
    }

    /// A clock reading in nanoseconds since the first event.
    #[inline(always)]
    fn time(&self, reading: i64) -> Time {
        let units = reading.wrapping_sub(self.first);
        Time(num::float_to_i64(num::float_of(units) * self.nanoseconds))
    }

    /// Makes an event of today's format of an old one.
    #[inline(always)]
    fn convert(
        &mut self,
        event: &Occurrence,
        cursor: u32,
        proc: u64,
        data: &[u8],
        goroutines: &mut Goroutines,
    ) -> Result<Outcome, Fault> {
        let this = Happening { event, cursor };
        let time = self.time(event.time);
        let thread = self.thread(cursor).filter(|_| proc != u64::MAX);
        let raw = &mut self.raw;
        raw.at = event.at;
        raw.time = time;
        raw.go = GoId::new(event.go).filter(|id| id.get() != 0);
        raw.proc = ProcId::new(proc);
        raw.thread = thread;
        raw.name = Span::default();
        let [_, first, second, third, fourth] = event.args;
        let (stops, blocks) = (EventType::GO_STOP, EventType::GO_BLOCK);
        match event.ty {
            Old::USER_REGION => {
                self.checks.region(this, goroutines)?;
                let ty = match second {
                    0 => EventType::USER_REGION_BEGIN,
                    _ => EventType::USER_REGION_END,
                };
                self.give(ty, [first, third, fourth, 0], 2)
            }
            Old::GO_START_LOCAL | Old::GO_START | Old::GO_START_LABEL => {
                self.checks.start(this, goroutines)?;
                if self.starting && event.ty != Old::GO_START_LABEL {
                    return self.was(event, GoStatus::RUNNING, goroutines);
                }
                self.give_plain(EventType::GO_START, [first, second, 0, 0]);
                if event.ty == Old::GO_START_LABEL {
                    self.raw.thread = self.thread(cursor).or(ThreadId::new(0));
                    self.further = Some(Raw {
                        event: TimedEvent::new(EventType::GO_LABEL, 0, [third, 0, 0, 0]),
                        ..self.raw
                    });
                }
                Ok(Outcome::Event)
            }
            Old::GO_CREATE => {
                self.checks.create(this, goroutines)?;
                if self.starting {
                    return self.announce(event, goroutines);
                }
                self.give(EventType::GO_CREATE, [first, second, third, 0], 2)
            }
            Old::GO_END => {
                self.checks.end(this, goroutines)?;
                self.give_plain(EventType::GO_DESTROY, [0; 4]);
                Ok(Outcome::Event)
            }
            Old::GO_UNBLOCK | Old::GO_UNBLOCK_LOCAL => {
                let timer = proc == TIMERS || self.timers.find(event.go).is_some();
                if self.checks.unblock(this, timer, goroutines)? {
                    self.attribute(NETWORK);
                } else if timer {
                    self.attribute(TIMERS);
                }
                let (number, stack) = match event.ty {
                    Old::GO_UNBLOCK => (second, third),
                    _ => (0, second),
                };
                self.give(EventType::GO_UNBLOCK, [first, number, stack, 0], 2)
            }
            Old::GO_SCHED => self.stop(this, stops, Word::GOSCHED, goroutines),
            Old::GO_PREEMPT => self.stop(this, stops, Word::PREEMPTED, goroutines),
            Old::GO_STOP => self.stop(this, blocks, Word::FOREVER, goroutines),
            Old::GO_SLEEP => self.stop(this, blocks, Word::SLEEP, goroutines),
            Old::GO_BLOCK => self.stop(this, blocks, Word::EMPTY, goroutines),
            Old::GO_BLOCK_SEND => self.stop(this, blocks, Word::CHAN_SEND, goroutines),
            Old::GO_BLOCK_RECV => self.stop(this, blocks, Word::CHAN_RECEIVE, goroutines),
            Old::GO_BLOCK_SELECT => self.stop(this, blocks, Word::SELECT, goroutines),
            Old::GO_BLOCK_SYNC => self.stop(this, blocks, Word::SYNC, goroutines),
            Old::GO_BLOCK_COND => self.stop(this, blocks, Word::COND, goroutines),
            Old::GO_BLOCK_NET => self.stop(this, blocks, Word::NETWORK, goroutines),
            Old::GO_BLOCK_GC => self.stop(this, blocks, Word::MARK_ASSIST, goroutines),
            Old::GO_SYS_CALL => {
                self.checks.call(this, goroutines)?;
                self.give(EventType::GO_SYSCALL_BEGIN, [0, first, 0, 0], 1)?;
                Ok(Outcome::Call)
            }
            Old::GO_SYS_BLOCK => {
                self.exits.block(event, goroutines)?;
                self.checks.leave(this, State::Waiting, false, goroutines)?;
                // The call's begin was given as one that blocks.
                Ok(Outcome::Nothing)
            }
            Old::GO_SYS_EXIT | Old::GO_SYS_EXIT_LOCAL => {
                if !self.exits.meet(event, goroutines)? {
                    return Ok(Outcome::Nothing);
                }
                if !Checks::exit(event.go_slot, goroutines) {
                    return Err(Fault::new(ErrorKind::GoStateMismatch, event.go, event));
                }
                self.give_exit(event.go, event.time, event.at);
                Ok(Outcome::Event)
            }
            _ => self.convert_rarer(this, data, goroutines),
        }
    }

    /// Makes an event of one that is less frequent.
    #[inline(never)]
    fn convert_rarer(
        &mut self,
        this: Happening<'_>,
        data: &[u8],
        goroutines: &mut Goroutines,
    ) -> Result<Outcome, Fault> {
        let (event, cursor) = (this.event, this.cursor);
        let [_, first, second, third, fourth] = event.args;
        let plain = match event.ty {
            Old::GOMAXPROCS => {
                if self.starting {
                    self.starting = false;
                    self.take_announced(goroutines);
                    return Ok(Outcome::Nothing);
                }
                return self.give(EventType::PROCS_CHANGE, [first, second, 0, 0], 1);
            }
            Old::PROC_START | Old::PROC_STOP => {
                let starts = event.ty == Old::PROC_START;
                self.checks.proc(this, starts)?;
                let proc = ProcId::raw(self.raw.proc);
                let seen = self.start(cursor, starts.then_some(first));
                let (running, idle) = (ProcStatus::RUNNING, ProcStatus::IDLE);
                match (seen, starts) {
                    (true, true) => self.give_plain(EventType::PROC_START, [proc, 0, 0, 0]),
                    (true, false) => self.give_plain(EventType::PROC_STOP, [proc, 0, 0, 0]),
                    (false, _) => {
                        let status = if starts { running } else { idle };
                        let args = [proc, u64::from(status.0), 0, 0];
                        self.give_plain(EventType::PROC_STATUS, args);
                    }
                }
                if !starts && let Some(proc) = self.checks.procs.get_mut(num::index(cursor)) {
                    proc.thread = None;
                }
                return Ok(Outcome::Event);
            }
            Old::GC_START => {
                self.checks.collect(this, true)?;
                self.attribute(COLLECTOR);
                return self.give(EventType::GC_BEGIN, [first, second, 0, 0], 1);
            }
            Old::GC_DONE => {
                self.checks.collect(this, false)?;
                (EventType::GC_END, [0; 4])
            }
            Old::STW_START => {
                self.checks.stop_the_world(this, true)?;
                self.stopped = Word::stop_the_world(first, self.version.minor()).span();
                self.raw.name = self.stopped;
                (EventType::STW_BEGIN, [0; 4])
            }
            Old::STW_DONE => {
                self.checks.stop_the_world(this, false)?;
                self.raw.name = self.stopped;
                (EventType::STW_END, [0; 4])
            }
            Old::GC_SWEEP_START => {
                self.checks.sweep(this, true)?;
                return self.give(EventType::GC_SWEEP_BEGIN, [first, 0, 0, 0], 0);
            }
            Old::GC_SWEEP_DONE => {
                self.checks.sweep(this, false)?;
                (EventType::GC_SWEEP_END, [first, second, 0, 0])
            }
            Old::GO_WAITING => {
                self.checks.was_blocked(this, goroutines)?;
                return self.was(event, GoStatus::WAITING, goroutines);
            }
            Old::GO_IN_SYSCALL => {
                self.exits.block(event, goroutines)?;
                self.checks.was_blocked(this, goroutines)?;
                return self.was(event, GoStatus::SYSCALL, goroutines);
            }
            Old::HEAP_ALLOC => (EventType::HEAP_ALLOC, [first, 0, 0, 0]),
            Old::HEAP_GOAL => (EventType::HEAP_GOAL, [first, 0, 0, 0]),
            Old::GC_MARK_ASSIST_START => {
                self.checks.assist(this, true, goroutines)?;
                return self.give(EventType::GC_MARK_ASSIST_BEGIN, [first, 0, 0, 0], 0);
            }
            Old::GC_MARK_ASSIST_DONE => {
                self.checks.assist(this, false, goroutines)?;
                (EventType::GC_MARK_ASSIST_END, [0; 4])
            }
            Old::USER_TASK_CREATE => {
                self.checks.task(this, first)?;
                let task = Task {
                    parent: second,
                    name: self.tables.string(third).unwrap_or_default(),
                };
                self.checks.tasks.insert(first, task).map_err(|_| {
                    let kind = ErrorKind::TableFull(Table::Tasks);
                    Fault::new(kind, u64::MAX, event)
                })?;
                let args = [first, second, third, fourth];
                return self.give(EventType::USER_TASK_BEGIN, args, 3);
            }
            Old::USER_TASK_END => {
                let mut parent = u64::MAX;
                if let Some(slot) = self.checks.tasks.find(first) {
                    if let Some(task) = self.checks.tasks.get(slot) {
                        (parent, self.raw.name) = (task.parent, task.name);
                    }
                    self.checks.tasks.remove(slot);
                }
                return self.give(EventType::USER_TASK_END, [first, second, parent, 0], 1);
            }
            Old::USER_LOG => {
                self.raw.name = self.message(event, data);
                return self.give(EventType::USER_LOG, [first, second, 0, third], 3);
            }
            Old::CPU_SAMPLE => {
                let [_, _, proc, _, stack] = event.args;
                // Go takes the low half of the number.
                self.raw.proc = ProcId::new(num::sign_extend(proc));
                self.raw.thread = None;
                let stack = self.tables.stack_id(stack);
                (EventType::CPU_SAMPLE, [stack, 0, 0, 0])
            }
            Old::FUTILE_WAKEUP => {
                let ty = u64::from(event.ty.0);
                return Err(Fault::new(ErrorKind::NoCounterpart, ty, event));
            }
            // Nothing else is merged.
            _ => return Ok(Outcome::Nothing),
        };
        let (ty, args) = plain;
        self.give_plain(ty, args);
        Ok(Outcome::Event)
    }

    /// The event that comes out, without a stack.
    #[inline(always)]
    fn give_plain(&mut self, ty: EventType, args: [u64; 4]) {
        self.raw.event.ty = ty;
        self.raw.event.args = args;
    }

    /// The event that comes out, and which of its arguments is its stack's old id.
    #[inline(always)]
    fn give(&mut self, ty: EventType, mut args: [u64; 4], stack: usize) -> Result<Outcome, Fault> {
        debug_assert_eq!(ty.arg(Role::Stack), Some(stack));
        if let Some(arg) = args.get_mut(stack) {
            *arg = self.tables.stack_id(*arg);
        }
        self.give_plain(ty, args);
        Ok(Outcome::Event)
    }

    /// A goroutine stops running, for this reason.
    #[inline(always)]
    fn stop(
        &mut self,
        this: Happening<'_>,
        ty: EventType,
        why: Word,
        goroutines: &mut Goroutines,
    ) -> Result<Outcome, Fault> {
        let state = match why {
            Word::FOREVER => State::Dead,
            _ if ty == EventType::GO_STOP => State::Runnable,
            _ => State::Waiting,
        };
        let network = why == Word::NETWORK;
        self.checks.leave(this, state, network, goroutines)?;
        self.raw.name = why.span();
        let [_, stack, ..] = this.event.args;
        self.give(ty, [0, stack, 0, 0], 1)
    }

    /// A goroutine that existed when the trace began has this status.
    fn was(
        &mut self,
        event: &Occurrence,
        status: GoStatus,
        goroutines: &mut Goroutines,
    ) -> Result<Outcome, Fault> {
        if let Some(goroutine) = goroutines.get_mut(event.named) {
            goroutine.announced = false;
        }
        let [_, id, ..] = event.args;
        let args = [id, u64::MAX, u64::from(status.0), 0];
        self.give_plain(EventType::GO_STATUS, args);
        Ok(Outcome::Event)
    }

    /// A goroutine existed when the trace began: its status is given once the trace has started, if
    /// nothing else gives it before.
    fn announce(
        &mut self,
        event: &Occurrence,
        goroutines: &mut Goroutines,
    ) -> Result<Outcome, Fault> {
        if let Some(goroutine) = goroutines.get_mut(event.named) {
            goroutine.announced = true;
            List::push(&mut self.announced, event.named).map_err(|_| {
                let kind = ErrorKind::TableFull(Table::Goroutines);
                Fault::new(kind, u64::MAX, event)
            })?;
        }
        Ok(Outcome::Nothing)
    }

    /// The trace has started: the goroutines whose status is still to be given are known.
    fn take_announced(&mut self, goroutines: &mut Goroutines) {
        for slot in core::mem::take(&mut self.announced) {
            let announced = goroutines.get_mut(slot).map(|go| &mut go.announced);
            if announced.is_some_and(core::mem::take) {
                self.statuses.push(goroutines.id(slot));
            }
        }
        self.statuses.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// The system call that began with the event given last is over after the shortest time there is.
    #[inline(always)]
    fn end_call(&mut self, cursor: u32) {
        self.raw.thread = self.thread(cursor).or(ThreadId::new(0));
        self.further = Some(Raw {
            time: Time(self.raw.time.0.wrapping_add(1)),
            event: TimedEvent::new(EventType::GO_SYSCALL_END, 0, [0; 4]),
            ..self.raw
        });
    }

    /// Gives the end of a system call that happened before an event at this time, or the last ones if
    /// there is no such event; says whether there is one.
    #[inline(never)]
    fn exit(
        &mut self,
        ahead: Option<i64>,
        data: &[u8],
        goroutines: &mut Goroutines,
    ) -> Result<bool, Fault> {
        let mut go = 0;
        let exit = self.exits.take(ahead, |at| {
            let mut args = [0; MAX_ARGS];
            reread(data, at, &mut args);
            [_, go, ..] = args;
            let slot = goroutines.slot(go);
            Checks::exit(slot, goroutines).then_some(()).ok_or(go)
        })?;
        let Some(exit) = exit else { return Ok(false) };
        self.give_exit(go, exit.time, exit.at);
        Ok(true)
    }

    /// A goroutine's system call ends.
    fn give_exit(&mut self, go: u64, time: i64, at: usize) {
        self.raw = Raw {
            at,
            time: self.time(time),
            go: GoId::new(go).filter(|id| id.get() != 0),
            event: TimedEvent::new(EventType::GO_SYSCALL_END_BLOCKED, 0, [0; 4]),
            ..Raw::default()
        };
        self.attribute(SYSCALLS);
    }

    /// Notes that a proc starts on a thread, or stops; says whether it was seen before.
    fn start(&mut self, cursor: u32, thread: Option<u64>) -> bool {
        let Some(proc) = self.checks.procs.get_mut(num::index(cursor)) else {
            return true;
        };
        if thread.is_some() {
            proc.thread = thread;
            if self.raw.proc.is_some() {
                self.raw.thread = thread.and_then(ThreadId::new);
            }
        }
        core::mem::replace(&mut proc.seen, true)
    }

    /// The message of a log, which is the end of its record.
    fn message(&self, event: &Occurrence, data: &[u8]) -> Span {
        let mut records = Records::from(data, event.at, 0, self.version);
        let Ok(Some(Record::Event(log))) = records.next() else {
            return Span::default();
        };
        let len = log.message.as_bytes().len();
        Span {
            piece: 0,
            at: records.position().saturating_sub(len),
            len: num::slot(len),
        }
    }

    /// The thread of the proc of a cursor.
    #[inline]
    fn thread(&self, cursor: u32) -> Option<ThreadId> {
        let proc = self.checks.procs.get(num::index(cursor))?;
        proc.thread.and_then(ThreadId::new)
    }

    /// The event is not a proc's, but of one of those that are none.
    fn attribute(&mut self, proc: u64) {
        self.raw.proc = ProcId::new(proc);
        let mut special = SPECIAL.iter().zip(self.special);
        let cursor = special.find(|(special, _)| **special == proc);
        self.raw.thread = cursor.and_then(|(_, cursor)| self.thread(cursor));
    }
}

/// The status of a goroutine that existed when the trace began.
fn status(id: u64, status: GoStatus) -> Raw {
    let args = [id, u64::MAX, u64::from(status.0), 0];
    Raw {
        event: TimedEvent::new(EventType::GO_STATUS, 0, args),
        ..Raw::default()
    }
}
