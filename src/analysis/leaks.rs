//! What was never seen again: goroutines that wait until the end of the trace, tasks and regions that
//! do not end.
//!
//! [`Leaks`] is a [`Visitor`] of [`States`]. Whether a goroutine that waits is a leak, only the program
//! knows: what it finds are those that waited long, by place, and of them how many were created
//! within the trace. A place where these grow in number is where to look.
//!
//! ```
//! use gotrace::Trace;
//! use gotrace::analysis::{leaks::Leaks, states::States};
//!
//! let bytes = include_bytes!("../../tests/fixtures/block-go1.27.trace");
//! let trace = Trace::new(bytes)?;
//! let (mut reader, mut states, mut leaks) = (trace.reader(), States::new(), Leaks::new());
//! while let Some(event) = reader.next()? {
//!     states.add(&event, &mut leaks);
//! }
//! states.finish(&mut leaks);
//! // Goroutines that block on a nil channel can never run again.
//! assert!(leaks.groups(0).iter().any(|group| group.is_forever));
//! # Ok::<(), gotrace::Error>(())
//! ```

use super::names::{NameId, StackRef};
use super::states::{Goroutine, States, Stay, Visitor};
use crate::event::{Event, GoState};
use crate::ids::{GoId, TaskId};
use crate::num;
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What is open when a trace ends. See the [module](self).
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Leaks {
    /// Goroutines that live at the end and wait or are in a system call.
    pub goroutines: Vec<Left>,
    /// Regions that did not end, also of goroutines that did.
    pub regions: Vec<LeftRegion>,
    with_system: bool,
    /// By slot of goroutines.
    lives: Vec<Life>,
}

/// What is known of a goroutine that lives.
#[derive(Clone, Copy, Debug, Default)]
struct Life {
    /// The stack on which it was created.
    created_at: Option<StackRef>,
    counts: bool,
}

/// A goroutine that lives when the trace ends.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Left {
    /// The goroutine.
    pub id: GoId,
    /// The function it started with.
    pub name: NameId,
    /// Waiting, or in a system call.
    pub state: GoState,
    /// Why, in Go's words.
    pub reason: NameId,
    /// Since when; if that was before the trace, since the generation began that mentions it first.
    pub since: Time,
    /// How long that is, in nanoseconds.
    pub nanoseconds: i64,
    /// Where it waits.
    pub stack: Option<StackRef>,
    /// Whether the trace shows it being created.
    pub is_new: bool,
    /// Where it was created, if the trace shows that.
    pub created_at: Option<StackRef>,
    /// It can never run again, as one that waits on a nil channel.
    pub is_forever: bool,
}

/// A region that did not end.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LeftRegion {
    /// The type.
    pub ty: NameId,
    /// The task that it is part of.
    pub task: Option<TaskId>,
    /// When it began.
    pub from: Time,
    /// The goroutine.
    pub goroutine: GoId,
    /// The function that one started with.
    pub name: NameId,
    /// Where it began.
    pub stack: Option<StackRef>,
    /// Whether the goroutine ended meanwhile, so that the region never will.
    pub is_dead: bool,
}

/// Goroutines of one function that wait at one place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Group {
    /// The function they started with.
    pub name: NameId,
    /// Waiting, or in a system call.
    pub state: GoState,
    /// Why, in Go's words.
    pub reason: NameId,
    /// Where the one waits that has waited the longest.
    pub stack: Option<StackRef>,
    /// Where that one was created, if the trace shows it.
    pub created_at: Option<StackRef>,
    /// How many there are.
    pub count: u64,
    /// How many of these were created within the trace.
    pub new: u64,
    /// The one that has waited the longest.
    pub oldest: GoId,
    /// Since when.
    pub since: Time,
    /// How long that is, in nanoseconds.
    pub nanoseconds: i64,
    /// They can never run again.
    pub is_forever: bool,
}

impl Leaks {
    /// Nothing is known yet.
    pub fn new() -> Leaks {
        Leaks::default()
    }

    /// Shows the runtime's own goroutines, too, which wait for their work.
    #[must_use]
    pub const fn with_system(mut self) -> Leaks {
        self.with_system = true;
        self
    }

    /// Goroutines that have waited for at least so many nanoseconds, or wait for ever, by function and
    /// place: what waits for ever first, then by how many were created within the trace, then by
    /// number.
    pub fn groups(&self, at_least: i64) -> Vec<Group> {
        let mut groups: BTreeMap<(NameId, GoState, NameId, Option<StackRef>), Group> =
            BTreeMap::new();
        for left in &self.goroutines {
            if left.nanoseconds < at_least && !left.is_forever {
                continue;
            }
            let key = (left.name, left.state, left.reason, left.stack);
            let group = groups.entry(key).or_insert_with(|| Group {
                name: left.name,
                state: left.state,
                reason: left.reason,
                stack: left.stack,
                created_at: left.created_at,
                count: 0,
                new: 0,
                oldest: left.id,
                since: left.since,
                nanoseconds: left.nanoseconds,
                is_forever: left.is_forever,
            });
            group.count = group.count.saturating_add(1);
            group.new = group.new.saturating_add(u64::from(left.is_new));
            group.created_at = group.created_at.or(left.created_at);
            if (left.since, left.id) < (group.since, group.oldest) {
                group.oldest = left.id;
                group.since = left.since;
                group.nanoseconds = left.nanoseconds;
            }
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.sort_by_key(|group| {
            use core::cmp::Reverse;
            (
                !group.is_forever,
                Reverse(group.new),
                Reverse(group.count),
                group.since,
            )
        });
        groups
    }

    fn life(&self, goroutine: &Goroutine) -> Life {
        let life = self.lives.get(num::index(goroutine.slot));
        life.copied().unwrap_or_default()
    }

    fn leave_regions(&mut self, goroutine: &Goroutine, is_dead: bool) {
        for region in &goroutine.regions {
            self.regions.push(LeftRegion {
                ty: region.ty,
                task: region.task,
                from: region.from,
                goroutine: goroutine.id,
                name: goroutine.name,
                stack: region.stack,
                is_dead,
            });
        }
    }
}

impl Visitor for Leaks {
    fn stay(&mut self, _: &States, goroutine: &Goroutine, stay: &Stay) {
        // Its last one says whether it counts.
        if !stay.counts
            && (stay.open || stay.next == GoState::NotExist)
            && let Some(life) = self.lives.get_mut(num::index(goroutine.slot))
        {
            life.counts = false;
        }
    }

    fn goroutine_began(&mut self, _: &States, goroutine: &Goroutine, _: &Event<'_, '_>) {
        let slot = num::index(goroutine.slot);
        if self.lives.len() <= slot {
            self.lives.resize(slot.saturating_add(1), Life::default());
        }
        if let Some(life) = self.lives.get_mut(slot) {
            life.created_at = goroutine.stack.filter(|_| goroutine.is_new);
            life.counts = true;
        }
    }

    fn goroutine_ended(&mut self, _: &States, goroutine: &Goroutine) {
        if self.life(goroutine).counts {
            self.leave_regions(goroutine, true);
        }
    }

    fn goroutine_left(&mut self, states: &States, goroutine: &Goroutine) {
        let life = self.life(goroutine);
        if !life.counts {
            return;
        }
        self.leave_regions(goroutine, false);
        if !matches!(goroutine.state, GoState::Waiting | GoState::Syscall) {
            return;
        }
        let reason = states.names().text(goroutine.reason);
        let is_system = goroutine.is_system(states) || reason == *"system goroutine wait";
        if is_system && !self.with_system {
            return;
        }
        self.goroutines.push(Left {
            id: goroutine.id,
            name: goroutine.name,
            state: goroutine.state,
            reason: goroutine.reason,
            since: goroutine.since,
            nanoseconds: states.last_time().since(goroutine.since).max(0),
            stack: goroutine.own_stack.or(goroutine.stack),
            is_new: goroutine.is_new,
            created_at: life.created_at,
            is_forever: goroutine.state == GoState::Waiting && reason == *"forever",
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trace;

    fn of(bytes: &[u8]) -> (States, Leaks) {
        let trace = Trace::new(bytes).unwrap();
        let (mut states, mut leaks) = (States::new(), Leaks::new());
        let mut reader = trace.reader();
        while let Some(event) = reader.next().unwrap() {
            states.add(&event, &mut leaks);
        }
        states.finish(&mut leaks);
        (states, leaks)
    }

    #[test]
    fn all_that_waits_at_the_end_is_there() {
        for bytes in [
            &include_bytes!("../../tests/fixtures/block-go1.27.trace")[..],
            include_bytes!("../../tests/fixtures/block-go1.22.trace"),
            include_bytes!("../../tests/fixtures/http-go1.27.trace"),
        ] {
            let (states, leaks) = of(bytes);
            let waits = states.goroutines().filter(|g| {
                matches!(g.state, GoState::Waiting | GoState::Syscall)
                    && !g.is_system(&states)
                    && states.names().text(g.reason) != *"system goroutine wait"
            });
            let mut expected: Vec<GoId> = waits.map(|g| g.id).collect();
            let mut found: Vec<GoId> = leaks.goroutines.iter().map(|left| left.id).collect();
            expected.sort();
            found.sort();
            assert_eq!(found, expected);
            let groups = leaks.groups(0);
            let count: u64 = groups.iter().map(|group| group.count).sum();
            assert_eq!(count, num::wide(found.len()));
            // The older, the fewer; what waits for ever is always there.
            let mut before = count;
            for age in [1_000, 1_000_000, 10_000_000, 100_000_000, i64::MAX] {
                let groups = leaks.groups(age);
                let now: u64 = groups.iter().map(|group| group.count).sum();
                assert!(now <= before);
                before = now;
                assert!(groups.iter().all(|g| g.nanoseconds >= age || g.is_forever));
            }
            let forever = leaks
                .goroutines
                .iter()
                .filter(|left| left.is_forever)
                .count();
            assert_eq!(before, num::wide(forever));
        }
    }

    /// As far as a trace was read, tasks and regions are open that began and did not end.
    #[test]
    fn tasks_and_regions_that_did_not_end() {
        use crate::event::Details;
        let bytes = include_bytes!("../../tests/fixtures/annotate-go1.27.trace");
        let trace = Trace::new(bytes).unwrap();
        let (mut most_tasks, mut most_regions) = (0, 0);
        for events in (20..600).step_by(20) {
            let (mut states, mut leaks) = (States::new(), Leaks::new());
            let mut tasks = std::collections::BTreeSet::new();
            let mut regions: BTreeMap<Option<GoId>, usize> = BTreeMap::new();
            let mut reader = trace.reader();
            for _ in 0..events {
                let Some(event) = reader.next().unwrap() else {
                    break;
                };
                states.add(&event, &mut leaks);
                match event.details() {
                    Details::TaskBegin(task) => drop(tasks.insert(task.id)),
                    Details::TaskEnd(task) => drop(tasks.remove(&task.id)),
                    Details::RegionBegin(_) => *regions.entry(event.goroutine()).or_default() += 1,
                    Details::RegionEnd(_) => {
                        let open = regions.entry(event.goroutine()).or_default();
                        *open = open.saturating_sub(1);
                    }
                    _ => {}
                }
            }
            states.finish(&mut leaks);
            let open: Vec<_> = states.tasks().map(|task| Some(task.id)).collect();
            assert_eq!(open, tasks.into_iter().collect::<Vec<_>>());
            assert_eq!(leaks.regions.len(), regions.values().sum::<usize>());
            most_tasks = most_tasks.max(open.len());
            most_regions = most_regions.max(leaks.regions.len());
        }
        assert!(
            most_tasks > 2 && most_regions > 2,
            "{most_tasks} {most_regions}"
        );
    }
}
