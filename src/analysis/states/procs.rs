//! Procs: running or idle.

use super::{States, Visitor};
use crate::event::{Event, ProcState};
use crate::ids::{GoId, ProcId, ThreadId};
use crate::tables::NIL;
use crate::time::Time;

/// A proc that was seen.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Proc {
    /// The id.
    pub id: ProcId,
    /// The state. In a system call it is [`Running`](ProcState::Running) until it is taken away.
    pub state: ProcState,
    /// Since when.
    pub since: Time,
    /// The thread that has it, or had it last.
    pub thread: Option<ThreadId>,
    /// The slot of the goroutine whose system call it is in.
    pub(super) syscall: u32,
}

/// The time that a proc was in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcStay {
    /// The proc.
    pub id: ProcId,
    /// The state.
    pub state: ProcState,
    /// Since when; if that was before the trace mentions it: since the generation began.
    pub from: Time,
    /// When it left it.
    pub to: Time,
    /// The state that it went to. Of one that is open, the state that it is in.
    pub next: ProcState,
    /// The thread that had it, of one that ran.
    pub thread: Option<ThreadId>,
    /// The goroutine in whose context it left the state: of a proc that stops, what ran on it.
    pub goroutine: Option<GoId>,
    /// It was taken away from a goroutine in a system call that took too long.
    pub stolen: bool,
    /// The trace ended, and it was still in it.
    pub open: bool,
}

impl ProcStay {
    /// How long, in nanoseconds; never negative.
    pub fn nanoseconds(&self) -> i64 {
        self.to.0.saturating_sub(self.from.0).max(0)
    }
}

impl Proc {
    pub(super) const fn stay(&self, to: Time, open: bool) -> ProcStay {
        ProcStay {
            id: self.id,
            state: self.state,
            from: self.since,
            to,
            next: self.state,
            thread: self.thread,
            goroutine: None,
            stolen: false,
            open,
        }
    }
}

impl States {
    pub(super) fn proc_step(
        &mut self,
        event: &Event<'_, '_>,
        id: ProcId,
        from: ProcState,
        to: ProcState,
        visitor: &mut impl Visitor,
    ) {
        let time = event.time();
        let known = self.procs.find(id.get());
        if from == to && known.is_some() {
            return;
        }
        let first = Proc {
            id,
            state: ProcState::NotExist,
            since: time,
            thread: None,
            syscall: NIL,
        };
        let Some(slot) = known.or_else(|| self.procs.insert(id.get(), first).ok()) else {
            return;
        };
        let sync = self.sync;
        let Some(proc) = self.procs.get_mut(slot) else {
            return;
        };
        // What was left out of the trace may have changed it, or not.
        if from == ProcState::Undetermined && proc.state == to {
            return;
        }
        let was = proc.state;
        let mut stay = proc.stay(time, false);
        stay.next = to;
        stay.goroutine = event.goroutine();
        proc.state = to;
        proc.since = time;
        if was == ProcState::NotExist && from == ProcState::Undetermined {
            proc.since = sync;
        }
        let mut loser = NIL;
        match to {
            ProcState::Running => proc.thread = event.thread(),
            _ => loser = core::mem::replace(&mut proc.syscall, NIL),
        }
        if let Some(goroutine) = self.goroutines.get_mut(loser) {
            stay.stolen = true;
            goroutine.without_proc = goroutine.without_proc.or(Some(time));
        }
        if was != ProcState::NotExist {
            visitor.proc_stay(self, &stay);
        } else if let Some(proc) = self.procs.get(slot) {
            visitor.proc_began(self, proc);
        }
        if to == ProcState::NotExist {
            self.procs.remove(slot);
        }
    }
}
