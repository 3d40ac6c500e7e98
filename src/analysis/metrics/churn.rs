//! What costs much by being done often: system calls that lose their processor, timers.

use crate::analysis::names::{NameId, StackRef};
use crate::analysis::states::{Goroutine, States, Stay, Visitor};
use crate::event::GoState;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Goroutines that run less than this after a timer woke them did nothing else than set it again.
const SHORT: i64 = 10_000;

#[derive(Clone, Debug, Default)]
pub(crate) struct Churn {
    pub(crate) syscalls: u64,
    /// Of these, those that lost their processor.
    pub(crate) blocked: u64,
    /// Where, by the stack of the call.
    pub(crate) blocked_at: BTreeMap<StackRef, u64>,
    /// Short runs after timers.
    pub(crate) timers: u64,
    /// By the function that the goroutines began with.
    pub(crate) timers_by: BTreeMap<NameId, u64>,
    /// By slot: whether a timer woke the goroutine.
    by_timer: Vec<bool>,
    sleep: Option<NameId>,
    network: Option<NameId>,
}

impl Visitor for Churn {
    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        if stay.open {
            return;
        }
        let slot = crate::num::index(stay.slot);
        match stay.state {
            GoState::Syscall => {
                self.syscalls = self.syscalls.saturating_add(1);
                if stay.without_proc.is_some() && !stay.began_before() {
                    self.blocked = self.blocked.saturating_add(1);
                    if let Some(stack) = stay.stack {
                        let count = self.blocked_at.entry(stack).or_default();
                        *count = count.saturating_add(1);
                    }
                }
            }
            GoState::Waiting => {
                if self.sleep.is_none() {
                    self.sleep = states.names().find("sleep");
                }
                if self.network.is_none() {
                    self.network = states.names().find("network");
                }
                let reason = Some(stay.reason);
                let alone = stay.ended_by.is_none() && reason != self.network;
                if self.by_timer.len() <= slot {
                    self.by_timer.resize(slot.saturating_add(1), false);
                }
                if let Some(by_timer) = self.by_timer.get_mut(slot) {
                    *by_timer = reason == self.sleep || alone;
                }
            }
            GoState::Running => {
                let Some(by_timer) = self.by_timer.get_mut(slot) else {
                    return;
                };
                let was = core::mem::replace(by_timer, false);
                if was && stay.next == GoState::Waiting && stay.nanoseconds() < SHORT {
                    self.timers = self.timers.saturating_add(1);
                    let count = self.timers_by.entry(goroutine.name).or_default();
                    *count = count.saturating_add(1);
                }
            }
            _ => {}
        }
    }
}
