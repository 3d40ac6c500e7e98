//! Ranges: what the runtime does for itself.

use super::{States, Visitor};
use crate::analysis::names::{NameId, StackRef};
use crate::event::{Event, Range, RangeAttribute, RangeName, Resource};
use crate::ids::{GoId, ProcId, ThreadId};
use crate::time::Time;

/// What the runtime does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RangeKind {
    /// The world is stopped, or is being stopped.
    StopTheWorld,
    /// The garbage collector marks, while the program runs.
    GcMark,
    /// A proc sweeps.
    GcSweep,
    /// A goroutine helps the garbage collector, to be allowed to allocate.
    GcMarkAssist,
}

/// A range that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenRange {
    /// What it is.
    pub kind: RangeKind,
    /// Why the world is stopped, in Go's words; empty for other kinds.
    pub reason: NameId,
    /// What it happens to.
    pub scope: Resource,
    /// Since when; if that was before the trace: since the generation began that mentions it first.
    pub from: Time,
    /// Whether the trace holds its beginning.
    pub is_whole: bool,
    /// The goroutine that began it: of one that was open before, the one that it happens to.
    pub goroutine: Option<GoId>,
    /// The proc on which it began.
    pub proc: Option<ProcId>,
    /// The thread on which it began.
    pub thread: Option<ThreadId>,
    /// Where it began.
    pub stack: Option<StackRef>,
    /// How long that goroutine had run when it began, in nanoseconds.
    ran: i64,
    /// The goroutine's life.
    life: u64,
}

/// A range that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RangeEnd {
    /// What it was.
    pub range: OpenRange,
    /// When it ended.
    pub to: Time,
    /// The goroutine that ended it.
    pub ended_by: Option<GoId>,
    /// For how long of it the goroutine ran that began it, in nanoseconds: a range goes on while its
    /// goroutine is preempted or waits. The whole length for one of the whole program, and where no
    /// goroutine is known.
    pub executing: i64,
    /// What is known of it then: of a sweep, the bytes swept and reclaimed.
    pub attributes: Option<[RangeAttribute; 2]>,
}

impl OpenRange {
    /// It counts from this moment on, at which its goroutine has run for no time yet.
    pub(super) fn begin_at(&mut self, from: Time) {
        self.from = self.from.max(from);
        self.is_whole = false;
        self.ran = 0;
    }
}

impl RangeEnd {
    /// How long, in nanoseconds; never negative.
    pub fn nanoseconds(&self) -> i64 {
        self.to.0.saturating_sub(self.range.from.0).max(0)
    }
}

const fn kind_of(name: RangeName<'_>) -> RangeKind {
    match name {
        RangeName::StopTheWorld(_) => RangeKind::StopTheWorld,
        RangeName::GcMark => RangeKind::GcMark,
        RangeName::GcSweep => RangeKind::GcSweep,
        RangeName::GcMarkAssist => RangeKind::GcMarkAssist,
    }
}

impl States {
    /// How long a goroutine has run, and in which life.
    fn ran(&self, id: Option<GoId>, until: Time) -> Option<(i64, u64)> {
        let goroutine = self.goroutine(id?)?;
        Some((goroutine.sums(until).running, goroutine.life))
    }

    pub(super) fn range_begins(
        &mut self,
        event: &Event<'_, '_>,
        range: Range<'_>,
        begins: bool,
        visitor: &mut impl Visitor,
    ) {
        let kind = kind_of(range.name);
        let key = (range.scope, kind);
        if !begins && self.ranges.contains_key(&key) {
            // It goes on.
            return;
        }
        let reason = match range.name {
            RangeName::StopTheWorld(reason) => self.names.add(reason),
            _ => NameId::EMPTY,
        };
        let goroutine = range.scope.goroutine().or(event.goroutine());
        let from = if begins { event.time() } else { self.sync };
        let (ran, life) = self.ran(goroutine, from).unwrap_or((0, 0));
        let open = OpenRange {
            kind,
            reason,
            scope: range.scope,
            from,
            is_whole: begins,
            goroutine,
            proc: event.proc(),
            thread: event.thread(),
            stack: self.names.stack_at(event),
            ran,
            life,
        };
        self.ranges.insert(key, open);
        visitor.range_began(self, &open);
    }

    pub(super) fn range_ends(
        &mut self,
        event: &Event<'_, '_>,
        range: Range<'_>,
        attributes: Option<[RangeAttribute; 2]>,
        visitor: &mut impl Visitor,
    ) {
        let to = event.time();
        let key = (range.scope, kind_of(range.name));
        // The order lets no range end that is not open; a part of the trace may be left out.
        let Some(range) = self.ranges.remove(&key) else {
            return;
        };
        let length = to.0.saturating_sub(range.from.0).max(0);
        let executing = match self.ran(range.goroutine, to) {
            Some((ran, life)) if life == range.life && range.scope != Resource::None => {
                ran.saturating_sub(range.ran).clamp(0, length)
            }
            _ => length,
        };
        let end = RangeEnd {
            range,
            to,
            ended_by: event.goroutine(),
            executing,
            attributes,
        };
        visitor.range_ended(self, &end);
    }
}
