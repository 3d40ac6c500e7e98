//! The third pass: each event of the old format becomes none, one or two of today's.

use super::check::{Checks, Proc, Task};
use super::cursor::Occurrence;
use super::goroutines::{Goroutines, no_memory};
use super::merge::{Bits, Fault, SyscallExit, merge};
use super::record::{Record, Records};
use super::scan::{Scan, Timers};
use super::sorted::{Next, Sorted};
use super::spec::EventType as Old;
use super::tables::Tables;
use super::words::Word;
use crate::error::{Error, ErrorKind, Table};
use crate::event::Raw;
use crate::generation::Lookup;
use crate::ids::{GoId, ProcId, ThreadId};
use crate::num;
use crate::tables::NIL;
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
    sorted: Sorted,
    converter: Converter,
    stage: Stage,
    /// The time of the event given last.
    last: Time,
    syncs: u64,
    /// Where the records begin in the trace, and where it ends.
    start: u64,
    end: u64,
}

/// Makes events of today's format of old ones.
struct Converter {
    version: Version,
    tables: Tables,
    checks: Checks,
    timers: Timers,
    /// The cursors of the procs that are none, in case that a trace has batches of them.
    special: [u32; 4],
    /// Nanoseconds in a clock unit.
    nanoseconds: f64,
    /// The time of the first event, in clock units; `None` if there is none.
    first: Option<i64>,
    /// Of each start of a system call, in order, whether the call blocks; and how many there were.
    blocks: Bits,
    syscalls: u32,
    /// GOMAXPROCS has not been given yet: goroutines created existed already.
    starting: bool,
    /// Goroutines that existed, whose status is to be given next, the highest id first.
    statuses: Vec<u64>,
    /// The second event that a record gives.
    further: Option<Raw>,
    /// Why the world is stopped.
    stopped: Span,
    /// The event given last.
    raw: Raw,
}

impl Legacy {
    /// Reads a trace whose first record is at `start` in the first piece of the input: all of it is
    /// looked at, to find the order of its events.
    ///
    /// It takes time n log n, and memory: one byte for each event (four if there are 255 procs or
    /// more), 24 for each end of a system call, 24 for each string and stack, 32 for each goroutine
    /// if their ids are in a row. In practice that is less than the trace; made to be dear, 64
    /// times as much.
    pub(crate) fn new(input: &Pieces<'_>, start: usize, version: Version) -> Result<Legacy, Error> {
        let data = input.piece(0).unwrap_or(&[]);
        let base = input.offset(Place::default());
        let mut scan = Scan::new(input, start, version)?;
        let full = |_| no_memory(Table::Goroutines, base);
        let mut goroutines = Goroutines::new(scan.created).map_err(full)?;
        let mut merged = merge(data, base, &mut scan, &mut goroutines)?;
        goroutines.forget();
        let timers = core::mem::replace(&mut scan.timers, Timers::new());
        let tables = core::mem::replace(&mut scan.tables, Tables::new());
        let nanoseconds = 1e9 / num::float(scan.frequency);
        let procs = alloc::vec![Proc::default(); scan.cursors.len()];
        let special = SPECIAL.map(|proc| {
            let at = scan.cursors.iter().position(|cursor| cursor.proc == proc);
            at.map_or(NIL, num::slot)
        });
        let (late, mut blocks) = (merged.late, core::mem::take(&mut merged.blocks));
        let mut sorted = Sorted::new(scan, merged);
        if late {
            blocks = sorted.find_blocking(data, &mut goroutines);
        }
        let first = sorted.first_time(data, &mut goroutines);
        Ok(Legacy {
            sorted,
            converter: Converter {
                version,
                tables,
                checks: Checks::new(goroutines, procs),
                timers,
                special,
                nanoseconds,
                first,
                blocks,
                syscalls: 0,
                starting: true,
                statuses: Vec::new(),
                further: None,
                stopped: Span::default(),
                raw: Raw::default(),
            },
            stage: Stage::Start,
            last: Time(-1),
            syncs: 0,
            start: input.offset(Place::default().plus(start)),
            end: input.offset(Place::default().plus(data.len())),
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
    pub(crate) fn next(&mut self, input: &Pieces<'_>) -> Result<bool, Error> {
        let data = input.piece(0).unwrap_or(&[]);
        match self.stage {
            Stage::Events => {}
            Stage::End => return Ok(false),
            Stage::Start => {
                self.stage = Stage::Events;
                if self.converter.first.is_some() {
                    // Before the first event, which is at 0.
                    self.sync(Time(-1), self.start, self.end);
                    return Ok(true);
                }
            }
        }
        while !self.converter.has_more() {
            let goroutines = &mut self.converter.checks.goroutines;
            let result = match self.sorted.next(data, goroutines) {
                Some(Next::Event(cursor)) => {
                    let (event, proc) = self.sorted.event(cursor);
                    self.converter.convert(event, cursor, proc, data)
                }
                Some(Next::Exit(exit)) => match self.converter.convert_exit(&exit) {
                    true => Ok(true),
                    false => {
                        let goroutines = &mut self.converter.checks.goroutines;
                        Err(Fault {
                            kind: ErrorKind::GoStateMismatch,
                            value: goroutines.id(exit.go_slot),
                            at: exit.at,
                        })
                    }
                },
                None => {
                    self.stage = Stage::End;
                    if let Some(error) = self.sorted.error {
                        return Err(error);
                    }
                    let after = Time(self.last.0.wrapping_add(1));
                    self.sync(after, self.end, self.end);
                    return Ok(true);
                }
            };
            match result {
                Ok(true) => break,
                Ok(false) => {}
                Err(fault) => {
                    self.stage = Stage::End;
                    let place = Place::default().plus(fault.at);
                    return Err(input.error(fault.kind, fault.value, place));
                }
            }
        }
        // No two events share a time.
        let raw = &mut self.converter.raw;
        if raw.time <= self.last {
            raw.time = Time(self.last.0.wrapping_add(1));
        }
        self.last = raw.time;
        Ok(true)
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
        if let Some(raw) = self.further.take() {
            self.raw = raw;
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
    #[inline]
    fn time(&self, reading: i64) -> Time {
        let units = reading.wrapping_sub(self.first.unwrap_or(0));
        let size = num::float(units.unsigned_abs()) * self.nanoseconds;
        Time(num::float_to_i64(if units < 0 { -size } else { size }))
    }

    /// Makes an event of today's format of an old one; says whether there is any.
    #[inline]
    fn convert(
        &mut self,
        event: &Occurrence,
        cursor: u32,
        proc: u64,
        data: &[u8],
    ) -> Result<bool, Fault> {
        let timer = matches!(event.ty, Old::GO_UNBLOCK | Old::GO_UNBLOCK_LOCAL)
            && (proc == TIMERS || self.timers.find(event.go).is_some());
        let network = self.checks.see(event, cursor, timer)?;
        self.raw = Raw {
            at: event.at,
            time: self.time(event.time),
            go: GoId::new(event.go).filter(|id| id.get() != 0),
            proc: ProcId::new(proc),
            thread: self.thread(cursor).filter(|_| proc != u64::MAX),
            ..Raw::default()
        };
        if network {
            self.attribute(NETWORK);
        } else if timer {
            self.attribute(TIMERS);
        }
        let Some((ty, args)) = self.translate(event, cursor, data)? else {
            return Ok(false);
        };
        self.raw.event = TimedEvent::new(ty, 0, args);
        if event.ty.has_stack()
            && let Some(stack) = ty.arg(Role::Stack)
            && let Some(arg) = self.raw.event.args.get_mut(stack)
        {
            let last = event.ty.args().wrapping_sub(1);
            let id = event.args.get(last).copied().unwrap_or(0);
            *arg = self.tables.stack_id(id);
        }
        match event.ty {
            // The call is over after the shortest time there is.
            Old::GO_SYS_CALL if !self.syscall_blocks() => {
                self.raw.thread = self.thread(cursor).or(ThreadId::new(0));
                self.further = Some(Raw {
                    time: Time(self.raw.time.0.wrapping_add(1)),
                    event: TimedEvent::new(EventType::GO_SYSCALL_END, 0, [0; 4]),
                    ..self.raw
                });
            }
            Old::GO_START_LABEL => {
                let [_, _, _, label, _] = event.args;
                self.raw.thread = self.thread(cursor).or(ThreadId::new(0));
                self.further = Some(Raw {
                    event: TimedEvent::new(EventType::GO_LABEL, 0, [label, 0, 0, 0]),
                    ..self.raw
                });
            }
            Old::PROC_STOP => {
                if let Some(proc) = self.checks.procs.get_mut(num::index(cursor)) {
                    proc.thread = None;
                }
            }
            _ => {}
        }
        Ok(true)
    }

    /// The type and the arguments of the new event; none if the old one gives none.
    #[inline]
    fn translate(
        &mut self,
        event: &Occurrence,
        cursor: u32,
        data: &[u8],
    ) -> Result<Option<(EventType, [u64; 4])>, Fault> {
        let [_, first, second, third, _] = event.args;
        let args = [first, second, third, 0];
        let status = |status: GoStatus| {
            let args = [first, u64::MAX, u64::from(status.0), 0];
            (EventType::GO_STATUS, args)
        };
        let mut stop = |ty, word: Word| {
            self.raw.name = word.span();
            (ty, [0; 4])
        };
        let (stops, blocks) = (EventType::GO_STOP, EventType::GO_BLOCK);
        Ok(Some(match event.ty {
            Old::GOMAXPROCS => {
                if self.starting {
                    self.starting = false;
                    self.statuses = self.checks.goroutines.take_announced();
                    return Ok(None);
                }
                (EventType::PROCS_CHANGE, [first, 0, 0, 0])
            }
            Old::PROC_START | Old::PROC_STOP => {
                let proc = ProcId::raw(self.raw.proc);
                let starts = event.ty == Old::PROC_START;
                let seen = self.start(cursor, starts.then_some(first));
                match (seen, starts) {
                    (true, true) => (EventType::PROC_START, [proc, 0, 0, 0]),
                    (true, false) => (EventType::PROC_STOP, [proc, 0, 0, 0]),
                    (false, _) => {
                        let status = if starts {
                            ProcStatus::RUNNING
                        } else {
                            ProcStatus::IDLE
                        };
                        let args = [proc, u64::from(status.0), 0, 0];
                        (EventType::PROC_STATUS, args)
                    }
                }
            }
            Old::GC_START => {
                self.attribute(COLLECTOR);
                (EventType::GC_BEGIN, [first, 0, 0, 0])
            }
            Old::GC_DONE => (EventType::GC_END, [0; 4]),
            Old::STW_START => {
                self.stopped = Word::stop_the_world(first, self.version.minor()).span();
                self.raw.name = self.stopped;
                (EventType::STW_BEGIN, [0; 4])
            }
            Old::STW_DONE => {
                self.raw.name = self.stopped;
                (EventType::STW_END, [0; 4])
            }
            Old::GC_SWEEP_START => (EventType::GC_SWEEP_BEGIN, [0; 4]),
            Old::GC_SWEEP_DONE => (EventType::GC_SWEEP_END, [first, second, 0, 0]),
            Old::GO_CREATE => {
                if self.starting {
                    self.announce(event.named, true);
                    return Ok(None);
                }
                (EventType::GO_CREATE, [first, second, 0, 0])
            }
            Old::GO_START | Old::GO_START_LOCAL if self.starting => {
                self.announce(event.named, false);
                status(GoStatus::RUNNING)
            }
            Old::GO_START | Old::GO_START_LOCAL | Old::GO_START_LABEL => {
                (EventType::GO_START, [first, second, 0, 0])
            }
            Old::GO_END => (EventType::GO_DESTROY, [0; 4]),
            Old::GO_STOP => stop(blocks, Word::FOREVER),
            Old::GO_SCHED => stop(stops, Word::GOSCHED),
            Old::GO_PREEMPT => stop(stops, Word::PREEMPTED),
            Old::GO_SLEEP => stop(blocks, Word::SLEEP),
            Old::GO_BLOCK => stop(blocks, Word::EMPTY),
            Old::GO_UNBLOCK => (EventType::GO_UNBLOCK, [first, second, 0, 0]),
            Old::GO_UNBLOCK_LOCAL => (EventType::GO_UNBLOCK, [first, 0, 0, 0]),
            Old::GO_BLOCK_SEND => stop(blocks, Word::CHAN_SEND),
            Old::GO_BLOCK_RECV => stop(blocks, Word::CHAN_RECEIVE),
            Old::GO_BLOCK_SELECT => stop(blocks, Word::SELECT),
            Old::GO_BLOCK_SYNC => stop(blocks, Word::SYNC),
            Old::GO_BLOCK_COND => stop(blocks, Word::COND),
            Old::GO_BLOCK_NET => stop(blocks, Word::NETWORK),
            Old::GO_BLOCK_GC => stop(blocks, Word::MARK_ASSIST),
            Old::GO_SYS_CALL => (EventType::GO_SYSCALL_BEGIN, [0; 4]),
            // The call's begin was given as one that blocks.
            Old::GO_SYS_BLOCK => return Ok(None),
            Old::GO_WAITING => {
                self.announce(event.named, false);
                status(GoStatus::WAITING)
            }
            Old::GO_IN_SYSCALL => {
                self.announce(event.named, false);
                status(GoStatus::SYSCALL)
            }
            Old::HEAP_ALLOC => (EventType::HEAP_ALLOC, [first, 0, 0, 0]),
            Old::HEAP_GOAL => (EventType::HEAP_GOAL, [first, 0, 0, 0]),
            Old::GC_MARK_ASSIST_START => (EventType::GC_MARK_ASSIST_BEGIN, [0; 4]),
            Old::GC_MARK_ASSIST_DONE => (EventType::GC_MARK_ASSIST_END, [0; 4]),
            Old::USER_TASK_CREATE => {
                let task = Task {
                    parent: second,
                    name: self.tables.string(third).unwrap_or_default(),
                };
                self.checks.tasks.insert(first, task).map_err(|_| {
                    let kind = ErrorKind::TableFull(Table::Tasks);
                    Fault::new(kind, u64::MAX, event)
                })?;
                (EventType::USER_TASK_BEGIN, args)
            }
            Old::USER_TASK_END => {
                let mut parent = u64::MAX;
                if let Some(slot) = self.checks.tasks.find(first) {
                    if let Some(task) = self.checks.tasks.get(slot) {
                        (parent, self.raw.name) = (task.parent, task.name);
                    }
                    self.checks.tasks.remove(slot);
                }
                (EventType::USER_TASK_END, [first, 0, parent, 0])
            }
            Old::USER_REGION => {
                let ty = match second {
                    0 => EventType::USER_REGION_BEGIN,
                    _ => EventType::USER_REGION_END,
                };
                (ty, [first, third, 0, 0])
            }
            Old::USER_LOG => {
                self.raw.name = self.message(event, data);
                (EventType::USER_LOG, [first, second, 0, 0])
            }
            Old::CPU_SAMPLE => {
                let [_, _, proc, _, stack] = event.args;
                // Go takes the low half of the number.
                self.raw.proc = ProcId::new(num::sign_extend(proc));
                self.raw.thread = None;
                (
                    EventType::CPU_SAMPLE,
                    [self.tables.stack_id(stack), 0, 0, 0],
                )
            }
            // Everything else the checks have refused, or is not in the order.
            _ => return Ok(None),
        }))
    }

    /// The end of a system call; says whether its goroutine was in one.
    fn convert_exit(&mut self, exit: &SyscallExit) -> bool {
        if !self.checks.see_exit(exit.go_slot) {
            return false;
        }
        let go = self.checks.goroutines.id(exit.go_slot);
        self.raw = Raw {
            at: exit.at,
            time: self.time(exit.time),
            go: GoId::new(go).filter(|id| id.get() != 0),
            event: TimedEvent::new(EventType::GO_SYSCALL_END_BLOCKED, 0, [0; 4]),
            ..Raw::default()
        };
        self.attribute(SYSCALLS);
        true
    }

    /// Whether the system call blocks that begins now; to be asked once for each.
    fn syscall_blocks(&mut self) -> bool {
        let at = self.syscalls;
        self.syscalls = at.wrapping_add(1);
        self.blocks.get(at)
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

    /// Notes whether a goroutine's status is still to be given when the trace has started.
    fn announce(&mut self, slot: u32, is_due: bool) {
        if let Some(goroutine) = self.checks.goroutines.get_mut(slot) {
            goroutine.announced = is_due;
        }
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
