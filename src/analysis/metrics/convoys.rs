//! Convoys at locks, by the function that waits for the lock.

use crate::analysis::convoys::{Convoy, Convoys as Follow};
use crate::analysis::names::{NameId, StackRef};
use crate::analysis::states::{Goroutine, States, Stay, Visitor};
use crate::event::GoState;
use alloc::vec::Vec;

/// The reason of waits for mutexes.
const LOCK: &str = "sync";

#[derive(Clone, Debug, Default)]
pub(crate) struct Convoys {
    lock: Option<NameId>,
    follow: Follow,
    /// By the index of a function: the stack of its last wait.
    stacks: Vec<Option<StackRef>>,
}

impl Convoys {
    /// The trace is over.
    pub(crate) fn finish(&mut self, states: &States) {
        self.follow.finish(states);
    }

    /// How long there was at least one convoy, in nanoseconds.
    #[cfg(feature = "expressions")]
    pub(crate) const fn time(&self) -> i64 {
        self.follow.time()
    }

    /// The convoy that was there for the longest time: the function, and a stack.
    pub(crate) fn worst(&self, states: &States) -> Option<(NameId, Option<StackRef>, Convoy)> {
        let all = self.stacks.iter().enumerate();
        let all = all.map(|(at, stack)| (NameId::of_index(at), *stack, self.follow.at(states, at)));
        let worst = all.max_by_key(|(.., convoy)| convoy.time);
        worst.filter(|(.., convoy)| convoy.windows > 0)
    }
}

impl Visitor for Convoys {
    fn stay(&mut self, states: &States, _: &Goroutine, stay: &Stay) {
        if stay.state != GoState::Waiting || stay.open {
            return;
        }
        if self.lock.is_none() {
            self.lock = states.names().find(LOCK);
        }
        if self.lock != Some(stay.reason) {
            return;
        }
        let place = stay.stack.and_then(|s| states.names().user_place(s));
        let Some((function, ..)) = place else { return };
        let at = function.index();
        let waker = stay.ended_by.and_then(|id| states.goroutine(id));
        self.follow.add(states, at, stay, waker);
        if self.stacks.len() <= at {
            self.stacks.resize(at.saturating_add(1), None);
        }
        if let Some(last) = self.stacks.get_mut(at) {
            *last = stay.stack;
        }
    }
}
