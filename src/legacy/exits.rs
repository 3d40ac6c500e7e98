//! Ends of system calls, which may have happened at another time than that at which they were
//! written: a goroutine whose call blocked says when it ended only once it runs again.

use super::cursor::Occurrence;
use super::goroutines::Goroutines;
use super::merge::Fault;
use super::spec::EventType;
use crate::error::{ErrorKind, Table};
use crate::num;
use crate::tables::List;
use alloc::vec::Vec;

/// The end of a system call that says when it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit {
    /// When the call ended, and when that was written, in clock units.
    pub(super) time: i64,
    pub(super) written: i64,
    /// Where the record is.
    pub(super) at: usize,
    /// The record has been met in the order of the trace.
    met: bool,
    /// When the call should have ended, its goroutine was not in one.
    failed: bool,
}

impl Exit {
    pub(super) const fn new(time: i64, written: i64, at: usize) -> Exit {
        Exit {
            time,
            written,
            at,
            met: false,
            failed: false,
        }
    }
}

/// The ends of all system calls.
pub(super) struct Exits {
    /// Those that say when they were, by that time, and how many of them were given.
    list: Vec<Exit>,
    given: usize,
    /// The time of the next of them; the latest there is if there is none.
    next: i64,
    /// Of each goroutine that was in a system call that blocks, when that blocked last, in clock
    /// units; 0 for never.
    blocked: Vec<i64>,
}

impl Exits {
    pub(super) fn new(mut list: Vec<Exit>) -> Exits {
        // Of two at one time, the one comes first whose record does.
        list.sort_unstable_by_key(|exit| (exit.time, exit.written, exit.at));
        let mut exits = Exits {
            list,
            given: 0,
            next: i64::MAX,
            blocked: Vec::new(),
        };
        exits.go_on_to(0);
        exits
    }

    fn go_on_to(&mut self, given: usize) {
        self.given = given;
        self.next = self.list.get(given).map_or(i64::MAX, |exit| exit.time);
    }

    /// Whether there may be an end of a system call to give before an event at this time.
    #[inline(always)]
    pub(super) fn may_precede(&self, time: i64) -> bool {
        self.next <= time
    }

    /// Takes the next end of a system call that happened before the event ahead, which is at this
    /// time, or the last of those whose records were met if there is no such event. `end` ends the call
    /// of the record at a place, or gives the goroutine that is in none.
    #[cold]
    pub(super) fn take(
        &mut self,
        ahead: Option<i64>,
        mut end: impl FnMut(usize) -> Result<(), u64>,
    ) -> Result<Option<Exit>, Fault> {
        while let Some(exit) = self.list.get_mut(self.given) {
            match ahead {
                Some(time) if exit.time < time || exit.time == time && exit.met => {}
                Some(_) => return Ok(None),
                None if exit.met => {}
                // Its record was not reached.
                None => {
                    self.go_on_to(self.given.wrapping_add(1));
                    continue;
                }
            }
            let mut exit = *exit;
            if let Err(go) = end(exit.at) {
                exit.failed = true;
                if exit.met {
                    return Err(mismatch(&exit, go));
                }
            }
            // If it failed, what is wrong is found out when its record is met.
            if let Some(given) = self.list.get_mut(self.given) {
                *given = exit;
            }
            self.go_on_to(self.given.wrapping_add(1));
            if !exit.failed {
                return Ok(Some(exit));
            }
        }
        Ok(None)
    }

    /// Notes that a goroutine is in a system call that blocks.
    pub(super) fn block(
        &mut self,
        event: &Occurrence,
        goroutines: &mut Goroutines,
    ) -> Result<(), Fault> {
        let Some(goroutine) = goroutines.get_mut(event.go_slot) else {
            return Ok(());
        };
        match self.blocked.get_mut(num::index(goroutine.syscall)) {
            Some(blocked) => *blocked = event.time,
            None => {
                goroutine.syscall = num::slot(self.blocked.len());
                List::push(&mut self.blocked, event.time).map_err(|_| {
                    let kind = ErrorKind::TableFull(Table::Goroutines);
                    Fault::new(kind, u64::MAX, event)
                })?;
            }
        }
        Ok(())
    }

    /// Looks at the record of an end of a system call that comes next. Says whether the call ends
    /// with it, and not at a time of its own.
    pub(super) fn meet(
        &mut self,
        event: &Occurrence,
        goroutines: &Goroutines,
    ) -> Result<bool, Fault> {
        let [_, _, _, end, _] = event.args;
        // Go does not look for a time in those of the other type.
        if event.ty != EventType::GO_SYS_EXIT || end == 0 {
            return Ok(true);
        }
        let end = num::signed(end);
        let goroutine = goroutines.get(event.go_slot);
        let blocked = self.blocked.get(num::index(goroutine.syscall));
        let blocked = blocked.copied().unwrap_or(0);
        if blocked == 0 {
            return Err(Fault::new(ErrorKind::StraySyscallExit, event.go, event));
        }
        if end < blocked {
            let early = blocked.wrapping_sub(end).cast_unsigned();
            return Err(Fault::new(ErrorKind::TimeOrder, early, event));
        }
        // Those of one time are met in the order in which they are in the list.
        let at = self
            .list
            .partition_point(|exit| exit.time < end || exit.time == end && exit.met);
        if let Some(exit) = self.list.get_mut(at).filter(|exit| exit.time == end) {
            exit.met = true;
            if exit.failed {
                return Err(mismatch(exit, event.go));
            }
        }
        Ok(false)
    }
}

/// The call of a goroutine ends that is in none.
#[cold]
fn mismatch(exit: &Exit, go: u64) -> Fault {
    Fault {
        kind: ErrorKind::GoStateMismatch,
        value: go,
        at: exit.at,
    }
}
