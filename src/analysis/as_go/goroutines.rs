//! Goroutines and their regions.

use super::{Mark, Summarizer, number};
use crate::analysis::names::NameId;
use crate::event::{Event, GoState, GoStep, Range, Region, Resource};
use crate::ids::{ProcId, TaskId};
use alloc::collections::BTreeMap;
use alloc::string::ToString as _;
use alloc::vec::Vec;

/// Times in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Stats {
    pub(super) exec: i64,
    pub(super) sched: i64,
    pub(super) syscall: i64,
    pub(super) sysblock: i64,
    pub(super) total: i64,
    pub(super) block: BTreeMap<NameId, i64>,
    pub(super) range: BTreeMap<NameId, i64>,
}

impl Stats {
    /// What was added since these were `base`.
    fn since(mut self, base: &Stats) -> Stats {
        for (to, from) in [
            (&mut self.exec, base.exec),
            (&mut self.sched, base.sched),
            (&mut self.syscall, base.syscall),
            (&mut self.sysblock, base.sysblock),
            (&mut self.total, base.total),
        ] {
            *to = to.saturating_sub(from);
        }
        for (to, from) in [
            (&mut self.block, &base.block),
            (&mut self.range, &base.range),
        ] {
            for (key, value) in to {
                *value = value.saturating_sub(from.get(key).copied().unwrap_or(0));
            }
        }
        self
    }
}

#[derive(Clone, Debug)]
pub(super) struct RegionStats {
    pub(super) task: u64,
    pub(super) ty: NameId,
    pub(super) start: Option<Mark>,
    pub(super) end: Option<Mark>,
    /// Of an open one, those that it began with.
    pub(super) stats: Stats,
}

/// A goroutine: moments of 0 are not set, as Go has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Goroutine {
    pub(super) name: NameId,
    pub(super) created: i64,
    pub(super) started: i64,
    pub(super) ended: i64,
    pub(super) stats: Stats,
    pub(super) regions: Vec<RegionStats>,
    running_since: i64,
    runnable_since: i64,
    waiting_since: i64,
    reason: NameId,
    syscall_since: i64,
    syscall_proc: Option<ProcId>,
    pub(super) sysblock_since: i64,
    ranges_since: BTreeMap<NameId, i64>,
    open: Vec<RegionStats>,
    is_final: bool,
}

fn add(sum: &mut i64, from: i64, to: i64) {
    *sum = sum.saturating_add(to.saturating_sub(from));
}

/// What was counted since a moment, if one is set.
fn count(sum: &mut i64, since: i64, to: i64) {
    if since != 0 {
        add(sum, since, to);
    }
}

impl Goroutine {
    /// The statistics as they are at a moment.
    fn snapshot(&self, at: i64) -> Stats {
        let mut stats = self.stats.clone();
        if self.is_final {
            return stats;
        }
        if stats.total == 0 {
            stats.total = at.saturating_sub(self.created);
        }
        count(&mut stats.exec, self.running_since, at);
        count(&mut stats.sched, self.runnable_since, at);
        if self.waiting_since != 0 {
            add(
                stats.block.entry(self.reason).or_default(),
                self.waiting_since,
                at,
            );
        }
        count(&mut stats.syscall, self.syscall_since, at);
        // What has no processor waits for one, says Go of a call that is still open.
        count(&mut stats.sched, self.sysblock_since, at);
        for (name, since) in &self.ranges_since {
            if *since != 0 {
                add(stats.range.entry(*name).or_default(), *since, at);
            }
        }
        stats
    }

    /// It ended, with this event; or the trace did.
    pub(super) fn finalize(&mut self, at: i64, event: Option<Mark>, system: bool) {
        if let Some(mark) = event {
            self.ended = mark.time;
        }
        self.stats = self.snapshot(at);
        let open = core::mem::take(&mut self.open);
        if !system {
            for mut region in open {
                region.end = event;
                region.stats = self.stats.clone().since(&region.stats);
                self.regions.push(region);
            }
        }
        self.is_final = true;
    }
}

impl Summarizer {
    pub(super) fn go_step(&mut self, event: &Event<'_, '_>, step: GoStep) {
        let Some(id) = step.id else { return };
        if step.from == step.to {
            return;
        }
        let (id, t) = (number(Some(id)), event.time().0);
        let sync = self.sync.0;
        let own = step.own_stack.and_then(|n| self.names.stack_of(event, n));
        let reason = self.names.reason(event, step.reason);
        let is_first = step.from == GoState::Undetermined;
        if is_first || step.from == GoState::NotExist {
            let mut goroutine = Goroutine {
                created: if is_first { sync } else { t },
                ..Goroutine::default()
            };
            let creator = self.goroutines.get(&number(event.goroutine()));
            let task = creator.and_then(|creator| Some(creator.open.last()?.task));
            if let Some(task) = task.filter(|_| !is_first) {
                goroutine.open.push(RegionStats {
                    task,
                    ty: NameId::EMPTY,
                    start: Some(self.mark(event)),
                    end: None,
                    stats: Stats::default(),
                });
            }
            if is_first {
                let stats = &mut goroutine.stats;
                let sum = match step.to {
                    GoState::Running => Some(&mut stats.exec),
                    GoState::Runnable => Some(&mut stats.sched),
                    GoState::Waiting => Some(stats.block.entry(reason).or_default()),
                    GoState::Syscall if event.proc().is_some() => Some(&mut stats.syscall),
                    GoState::Syscall => Some(&mut stats.sysblock),
                    GoState::Undetermined | GoState::NotExist => None,
                };
                if let Some(sum) = sum {
                    add(sum, sync, t);
                }
            }
            self.goroutines.insert(id, goroutine);
        }
        let name = own.map_or(NameId::EMPTY, |own| self.names.root(own));
        let mark = self.mark(event);
        let Some(goroutine) = self.goroutines.get_mut(&id) else {
            return;
        };
        match step.from {
            GoState::Running => {
                add(&mut goroutine.stats.exec, goroutine.running_since, t);
                goroutine.running_since = 0;
            }
            GoState::Runnable => {
                count(&mut goroutine.stats.sched, goroutine.runnable_since, t);
                goroutine.runnable_since = 0;
            }
            GoState::Waiting => {
                if goroutine.waiting_since != 0 {
                    let sum = goroutine.stats.block.entry(goroutine.reason).or_default();
                    add(sum, goroutine.waiting_since, t);
                    goroutine.waiting_since = 0;
                }
            }
            GoState::Syscall => {
                let blocked = goroutine.sysblock_since;
                if blocked != 0 {
                    add(&mut goroutine.stats.sysblock, blocked, t);
                    add(
                        &mut goroutine.stats.syscall,
                        goroutine.syscall_since,
                        blocked,
                    );
                } else {
                    count(&mut goroutine.stats.syscall, goroutine.syscall_since, t);
                }
                goroutine.sysblock_since = 0;
                goroutine.syscall_since = 0;
                // Whose call that proc is in by now, Go does not ask.
                if let Some(proc) = goroutine.syscall_proc.take() {
                    self.in_syscall.remove(&proc);
                }
            }
            GoState::Undetermined | GoState::NotExist => {}
        }
        let Some(goroutine) = self.goroutines.get_mut(&id) else {
            return;
        };
        if goroutine.name.is_empty() {
            goroutine.name = name;
        }
        let system = goroutine.name.is_empty()
            || crate::analysis::names::is_system_name(self.names.text(goroutine.name));
        match step.to {
            GoState::Running => {
                goroutine.running_since = t;
                if goroutine.started == 0 {
                    goroutine.started = t;
                }
            }
            GoState::Runnable => goroutine.runnable_since = t,
            // It never runs again.
            GoState::Waiting if self.names.text(reason) == "forever" => {
                goroutine.finalize(t, Some(mark), system);
            }
            GoState::Waiting => {
                goroutine.waiting_since = t;
                goroutine.reason = reason;
            }
            GoState::NotExist => goroutine.finalize(t, Some(mark), system),
            GoState::Syscall => {
                goroutine.syscall_since = t;
                goroutine.syscall_proc = event.proc();
                if let Some(proc) = event.proc() {
                    self.in_syscall.insert(proc, id);
                }
            }
            GoState::Undetermined => {}
        }
    }

    /// The goroutine that a range is counted for, and under which name.
    fn ranging(&mut self, range: Range<'_>) -> NameId {
        let name = range.name.to_string();
        self.names.add(name.as_str().into())
    }

    pub(super) fn range_begins(&mut self, event: &Event<'_, '_>, range: Range<'_>, begins: bool) {
        let name = self.ranging(range);
        let id = match range.scope {
            Resource::Goroutine(id) => number(Some(id)),
            Resource::Proc(proc) => {
                let id = number(event.goroutine());
                self.proc_ranges.insert((proc, name), id);
                id
            }
            _ => return,
        };
        let Some(goroutine) = self.goroutines.get_mut(&id) else {
            return;
        };
        let mut from = event.time().0;
        if !begins {
            from = self.sync.0;
            let since = goroutine.ranges_since.get(&name).copied().unwrap_or(0);
            if since != 0 {
                add(goroutine.stats.range.entry(name).or_default(), since, from);
            }
        }
        goroutine.ranges_since.insert(name, from);
    }

    pub(super) fn range_ends(&mut self, event: &Event<'_, '_>, range: Range<'_>) {
        let name = self.ranging(range);
        let id = match range.scope {
            Resource::Goroutine(id) => number(Some(id)),
            Resource::Proc(proc) => match self.proc_range(proc, name) {
                Some(id) if id == number(event.goroutine()) => id,
                _ => return,
            },
            _ => return,
        };
        let Some(goroutine) = self.goroutines.get_mut(&id) else {
            return;
        };
        let since = goroutine.ranges_since.remove(&name).unwrap_or(0);
        if since != 0 {
            add(
                goroutine.stats.range.entry(name).or_default(),
                since,
                event.time().0,
            );
        }
    }

    fn proc_range(&mut self, proc: ProcId, name: NameId) -> Option<i64> {
        self.proc_ranges.remove(&(proc, name))
    }

    pub(super) fn region_begins(&mut self, event: &Event<'_, '_>, region: Region<'_>) {
        let id = number(event.goroutine());
        let ty = self.names.string(event, event.string_number());
        let mark = self.mark(event);
        if let Some(goroutine) = self.goroutines.get_mut(&id) {
            let stats = goroutine.snapshot(mark.time);
            goroutine.open.push(RegionStats {
                task: TaskId::raw(region.task),
                ty,
                start: Some(mark),
                end: None,
                stats,
            });
        }
        let task = self.task_of(region.task);
        task.regions = task.regions.saturating_add(1);
        task.goroutines.insert(id);
    }

    pub(super) fn region_ends(&mut self, event: &Event<'_, '_>, region: Region<'_>) {
        let id = number(event.goroutine());
        let ty = self.names.string(event, event.string_number());
        let mark = self.mark(event);
        let Some(goroutine) = self.goroutines.get_mut(&id) else {
            return;
        };
        let stats = goroutine.snapshot(mark.time);
        let is_known = !goroutine.open.is_empty();
        let mut ended = goroutine.open.pop().unwrap_or(RegionStats {
            task: TaskId::raw(region.task),
            ty,
            start: None,
            end: None,
            stats: Stats::default(),
        });
        ended.end = Some(mark);
        ended.stats = stats.since(&ended.stats);
        goroutine.regions.push(ended);
        let task = self.task_of(region.task);
        if !is_known {
            task.regions = task.regions.saturating_add(1);
        }
        task.goroutines.insert(id);
    }
}
