//! Waits for the network that somebody waits for: not those of servers for their next request.

use crate::analysis::histogram::Histogram;
use crate::analysis::names::{NameId, Names, StackRef};
use crate::analysis::states::{Goroutine, States, Stay, Visitor};
use crate::event::GoState;
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// At one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slow {
    pub(crate) function: NameId,
    /// Nanoseconds waited in all.
    pub(crate) waited: i64,
    /// The longest wait.
    pub(crate) longest: i64,
    pub(crate) from: Time,
}

/// Waits to connect and to send, and those to receive within a region or for a task that is open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    pub(crate) waits: Histogram,
    pub(crate) places: BTreeMap<StackRef, Slow>,
    network: Option<NameId>,
    /// By the index of a stack: whether it waits to connect or to send.
    sends: Vec<Option<bool>>,
}

/// Whether a stack is where a goroutine waits until it can write: to a peer that does not take more,
/// or for a connection.
fn is_sending(names: &Names, stack: StackRef) -> bool {
    names.frames(stack).any(|frame| {
        let func = frame.func;
        func.starts_with("internal/poll.(*")
            && (func.contains(").Write") || func.contains("aitWrite"))
    })
}

impl Network {
    fn sends(&mut self, names: &Names, stack: StackRef) -> bool {
        let at = stack.index();
        if let Some(Some(known)) = self.sends.get(at) {
            return *known;
        }
        let sends = is_sending(names, stack);
        if self.sends.len() <= at {
            self.sends.resize(at.saturating_add(1), None);
        }
        if let Some(place) = self.sends.get_mut(at) {
            *place = Some(sends);
        }
        sends
    }

    /// The place where goroutines waited the longest in all.
    pub(crate) fn worst(&self) -> Option<(StackRef, Slow)> {
        let worst = self.places.iter().max_by_key(|(_, slow)| slow.waited);
        worst.map(|(stack, slow)| (*stack, *slow))
    }
}

impl Visitor for Network {
    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        if stay.state != GoState::Waiting || stay.began_before() {
            return;
        }
        if self.network.is_none() {
            self.network = states.names().find("network");
        }
        let Some(stack) = stay.stack.filter(|_| self.network == Some(stay.reason)) else {
            return;
        };
        let task = goroutine.inherited_task.and_then(|id| states.task(id));
        let is_missed = !goroutine.regions.is_empty() || task.is_some();
        if !is_missed && !self.sends(states.names(), stack) {
            return;
        }
        let time = stay.nanoseconds();
        self.waits.add(time);
        let slow = self.places.entry(stack).or_insert(Slow {
            function: goroutine.name,
            waited: 0,
            longest: -1,
            from: stay.from,
        });
        slow.waited = slow.waited.saturating_add(time);
        if slow.longest < time {
            slow.longest = time;
            slow.from = stay.from;
        }
    }
}
