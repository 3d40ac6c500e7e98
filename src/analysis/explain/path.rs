//! The way through wakers: what each moment of a stretch of time was spent on.

use super::Step;
use crate::analysis::names::{NameId, Names, StackRef};
use crate::event::GoState;
use crate::ids::GoId;
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// How often one wait is looked through to the next waker.
const DEEPEST: usize = 32;

/// A life of a goroutine: ids may be used again, these numbers are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LifeId(pub(super) u64);

/// What is known of a life within the windows of time that are explained.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) id: GoId,
    pub(super) name: NameId,
    /// Who created it, if the trace says it.
    pub(super) creator: Option<LifeId>,
    /// In order, without overlaps.
    pub(super) stretches: Vec<Stretch>,
}

/// A stretch of a life in one state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) from: Time,
    pub(super) to: Time,
    pub(super) state: GoState,
    pub(super) reason: NameId,
    pub(super) stack: Option<StackRef>,
    /// Who ended the wait.
    pub(super) waker: Option<LifeId>,
}

pub(super) type Lives = BTreeMap<LifeId, Life>;

/// Stretches of time in which a life worked for a task, in order and without overlaps.
pub(super) type Work = BTreeMap<LifeId, Vec<(Time, Time)>>;

impl Life {
    /// The stretch that ends at this moment, or in which it is.
    fn before(&self, time: Time) -> Option<&Stretch> {
        let at = self
            .stretches
            .partition_point(|stretch| stretch.from < time);
        let stretch = self.stretches.get(at.checked_sub(1)?)?;
        (stretch.to >= time).then_some(stretch)
    }
}

/// Finds out what the time was spent on, from its end to its start; steps are in order of time.
pub(super) struct Path<'a> {
    pub(super) lives: &'a Lives,
    pub(super) names: &'a Names,
    /// The last step first.
    backwards: Vec<Step>,
}

struct Frame {
    life: Option<LifeId>,
    from: Time,
    /// What is after this is done.
    to: Time,
}

impl<'a> Path<'a> {
    pub(super) const fn new(lives: &'a Lives, names: &'a Names) -> Path<'a> {
        Path {
            lives,
            names,
            backwards: Vec::new(),
        }
    }

    pub(super) fn finish(mut self) -> Vec<Step> {
        self.backwards.reverse();
        self.backwards
    }

    /// All of the time from `start` to `end`, in which goroutines worked for a task. It is followed from
    /// the one that was at it at the end back to the one before.
    pub(super) fn through(&mut self, work: &Work, ender: Option<LifeId>, start: Time, end: Time) {
        let (mut current, mut time) = (ender, end);
        while time > start {
            let interval = |life: LifeId| {
                let intervals = work.get(&life)?;
                let at = intervals.partition_point(|(from, _)| *from < time);
                let found = intervals.get(at.checked_sub(1)?)?;
                (found.1 >= time).then_some(*found)
            };
            let found = current.and_then(|life| Some((life, interval(life)?)));
            // Of several the one that is at it the longest.
            let found = found.or_else(|| {
                let at_it = work
                    .keys()
                    .filter_map(|life| Some((*life, interval(*life)?)));
                at_it.min_by_key(|(_, (from, _))| *from)
            });
            let Some((life, (from, _))) = found else {
                // Nobody: until somebody was.
                let all = work.values().flatten().map(|(_, to)| *to);
                let until = all
                    .filter(|to| *to < time)
                    .max()
                    .unwrap_or(start)
                    .max(start);
                self.step(None, 0, until, time, None);
                (current, time) = (None, until);
                continue;
            };
            let from = from.max(start);
            self.within(life, from, time);
            time = from;
            // It has been created, or was woken, by who worked for the task before.
            let life = self.lives.get(&life);
            current = life.and_then(|life| match life.before(time) {
                Some(stretch) => stretch.waker,
                None => life.creator,
            });
        }
    }

    /// What a goroutine spent this time on: its own states, and while it waited for another, what that
    /// one did.
    pub(super) fn within(&mut self, life: LifeId, from: Time, to: Time) {
        let life = Some(life);
        let mut frames = Vec::from([Frame { life, from, to }]);
        while let Some(depth) = frames.len().checked_sub(1) {
            let Some(frame) = frames.last_mut().filter(|frame| frame.to > frame.from) else {
                frames.pop();
                continue;
            };
            let (end, start) = (frame.to, frame.from);
            let life = frame.life.and_then(|id| self.lives.get(&id));
            let Some(stretch) = life.and_then(|life| life.before(end)) else {
                // It was not there: before it was created, its creator was.
                frame.to = start;
                match life.and_then(|life| life.creator) {
                    Some(creator) if depth < DEEPEST => frames.push(Frame {
                        life: Some(creator),
                        from: start,
                        to: end,
                    }),
                    _ => self.step(None, depth, start, end, None),
                }
                continue;
            };
            let begin = stretch.from.max(start);
            let id = frame.life;
            frame.to = begin;
            match stretch.waker {
                Some(waker)
                    if stretch.state == GoState::Waiting
                        && stretch.to == end
                        && depth < DEEPEST
                        && Some(waker) != id
                        && self.lives.contains_key(&waker)
                        && self.names.is_causal(stretch.reason) =>
                {
                    frames.push(Frame {
                        life: Some(waker),
                        from: begin,
                        to: end,
                    });
                }
                _ => self.step(id, depth, begin, end, Some(stretch)),
            }
        }
    }

    fn step(
        &mut self,
        life: Option<LifeId>,
        depth: usize,
        from: Time,
        to: Time,
        stretch: Option<&Stretch>,
    ) {
        let goroutine = life.and_then(|id| self.lives.get(&id));
        let step = Step {
            from,
            to,
            goroutine: goroutine.map(|life| life.id),
            name: goroutine.map_or(NameId::EMPTY, |life| life.name),
            state: stretch.map_or(GoState::Undetermined, |stretch| stretch.state),
            reason: stretch.map_or(NameId::EMPTY, |stretch| stretch.reason),
            stack: stretch.and_then(|stretch| stretch.stack),
            depth,
        };
        // What goes on is one step.
        if let Some(later) = self.backwards.last_mut()
            && later.from == to
            && (later.goroutine, later.name, later.depth) == (step.goroutine, step.name, depth)
            && (later.state, later.reason) == (step.state, step.reason)
            && later.stack == step.stack
        {
            later.from = from;
            return;
        }
        self.backwards.push(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::string::GoStr;

    fn life(id: u64, creator: Option<u64>, stretches: &[(i64, i64, GoState, NameId, u64)]) -> Life {
        Life {
            id: GoId::new(id).unwrap(),
            name: NameId::EMPTY,
            creator: creator.map(LifeId),
            stretches: stretches
                .iter()
                .map(|(from, to, state, reason, waker)| Stretch {
                    from: Time(*from),
                    to: Time(*to),
                    state: *state,
                    reason: *reason,
                    stack: None,
                    waker: (*waker != 0).then_some(LifeId(*waker)),
                })
                .collect(),
        }
    }

    type Shown = (i64, i64, Option<u64>, GoState, usize);

    fn shown(steps: Vec<Step>) -> Vec<Shown> {
        let shown = |step: &Step| {
            let id = step.goroutine.map(GoId::get);
            (step.from.0, step.to.0, id, step.state, step.depth)
        };
        steps.iter().map(shown).collect()
    }

    use GoState::{Runnable, Running, Undetermined, Waiting};

    #[test]
    fn waits_are_what_was_waited_for() {
        let mut names = Names::new();
        let channel = names.add(GoStr::from("chan receive"));
        let network = names.add(GoStr::from("network"));
        let none = NameId::EMPTY;
        // 1 waits for 2, which waits for 3, which is created by 2 meanwhile, and for the network.
        let lives = Lives::from([
            (
                LifeId(1),
                life(
                    1,
                    None,
                    &[
                        (0, 10, Running, none, 0),
                        (10, 80, Waiting, channel, 2),
                        (80, 90, Runnable, none, 0),
                        (90, 100, Running, none, 0),
                    ],
                ),
            ),
            (
                LifeId(2),
                life(
                    2,
                    None,
                    &[
                        (0, 30, Running, none, 0),
                        (30, 60, Waiting, channel, 3),
                        (60, 200, Running, none, 0),
                    ],
                ),
            ),
            (
                LifeId(3),
                life(
                    3,
                    Some(2),
                    &[
                        (40, 45, Runnable, none, 0),
                        (45, 50, Running, none, 0),
                        (50, 57, Waiting, network, 1),
                        (57, 70, Running, none, 0),
                    ],
                ),
            ),
        ]);
        let mut path = Path::new(&lives, &names);
        path.within(LifeId(1), Time(-5), Time(95));
        assert_eq!(
            shown(path.finish()),
            [
                (-5, 0, None, Undetermined, 0),
                (0, 10, Some(1), Running, 0),
                (10, 30, Some(2), Running, 1),
                (30, 40, Some(2), Waiting, 3),
                (40, 45, Some(3), Runnable, 2),
                (45, 50, Some(3), Running, 2),
                (50, 57, Some(3), Waiting, 2),
                (57, 60, Some(3), Running, 2),
                (60, 80, Some(2), Running, 1),
                (80, 90, Some(1), Runnable, 0),
                (90, 95, Some(1), Running, 0),
            ]
        );
        // A task that 1 began, 3 ended, and nobody was at in between.
        let work = Work::from([
            (LifeId(1), Vec::from([(Time(0), Time(5))])),
            (LifeId(3), Vec::from([(Time(45), Time(70))])),
        ]);
        let mut path = Path::new(&lives, &names);
        path.through(&work, Some(LifeId(3)), Time(0), Time(70));
        assert_eq!(
            shown(path.finish()),
            [
                (0, 5, Some(1), Running, 0),
                (5, 45, None, Undetermined, 0),
                (45, 50, Some(3), Running, 0),
                (50, 57, Some(3), Waiting, 0),
                (57, 70, Some(3), Running, 0),
            ]
        );
    }

    #[test]
    fn goroutines_that_wait_for_each_other_come_to_an_end() {
        let mut names = Names::new();
        let reason = names.add(GoStr::from("sync"));
        let waits = |other| {
            [
                (0, 50, Waiting, reason, other),
                (50, 99, Waiting, reason, other),
            ]
        };
        let lives = Lives::from([
            (LifeId(1), life(1, Some(2), &waits(2))),
            (LifeId(2), life(2, Some(1), &waits(1))),
        ]);
        let mut path = Path::new(&lives, &names);
        path.within(LifeId(1), Time(-10), Time(99));
        let steps = path.finish();
        assert_eq!(steps.first().map(|step| step.from), Some(Time(-10)));
        assert_eq!(steps.last().map(|step| step.to), Some(Time(99)));
        assert!(steps.windows(2).all(|two| two[0].to == two[1].from));
        assert!(steps.len() < 300);
    }
}
