//! Goroutines that become more and more.

use crate::analysis::names::{NameId, StackRef};
use crate::analysis::states::{Goroutine, States};
use crate::event::GoState;
use crate::ids::GoId;
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// How many goroutines of each function live, generation by generation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Living {
    syncs: u64,
    /// When counted; the same length as each function's counts.
    times: Vec<Time>,
    counts: BTreeMap<NameId, Vec<u64>>,
    /// Every so many generations are counted.
    every: u64,
}

/// Goroutines of a function that grow in number, and do nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leak {
    pub(crate) name: NameId,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Those that have done nothing for half their life.
    pub(crate) still: u64,
    pub(crate) stack: Option<StackRef>,
    pub(crate) example: Option<GoId>,
    pub(crate) since: Time,
}

/// Goroutines that wait for what cannot come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forever {
    pub(crate) name: NameId,
    pub(crate) count: u64,
    pub(crate) stack: Option<StackRef>,
    pub(crate) example: GoId,
    pub(crate) since: Time,
}

/// The most counts that are kept of each function; then every other one is forgotten.
const MOST: usize = 256;
/// The fewest counts from which a trend can be told.
const FEWEST: usize = 5;
/// The reason of waits that never end.
const FOREVER: &str = "forever";

impl Living {
    /// To be called after each event; counts at each generation's beginning.
    #[inline]
    pub(crate) fn look(&mut self, states: &States) {
        if states.syncs() != self.syncs {
            self.syncs = states.syncs();
            if self.syncs.checked_rem(self.every.max(1)) == Some(0) {
                self.count(states);
            }
        }
    }

    #[cold]
    pub(crate) fn count(&mut self, states: &States) {
        // The first Sync event comes before everything.
        if states.lives() == 0 {
            return;
        }
        if self.times.len() >= MOST {
            self.every = self.every.max(1).saturating_mul(2);
            thin(&mut self.times);
            self.counts.values_mut().for_each(thin);
        }
        let mut now: BTreeMap<NameId, u64> = BTreeMap::new();
        for goroutine in states.goroutines() {
            let count = now.entry(goroutine.name).or_default();
            *count = count.saturating_add(1);
        }
        let before = self.times.len();
        self.times.push(states.last_time());
        for (name, count) in now {
            let counts = self.counts.entry(name).or_default();
            counts.resize(before, 0);
            counts.push(count);
        }
        for counts in self.counts.values_mut() {
            counts.resize(self.times.len(), 0);
        }
    }

    /// The functions whose goroutines grow in number (Mann-Kendall test, p < 0.01), most of which have
    /// done nothing for half their life; those that grow most first.
    pub(crate) fn leaks(&self, states: &States) -> Vec<Leak> {
        let mut leaks = Vec::new();
        if self.times.len() < FEWEST {
            return leaks;
        }
        let mut stills: BTreeMap<NameId, (u64, u64, Option<&Goroutine>)> = BTreeMap::new();
        let now = states.last_time();
        for goroutine in states.goroutines() {
            let (all, still, example) = stills.entry(goroutine.name).or_default();
            *all = all.saturating_add(1);
            let life = now.since(goroutine.created);
            if now.since(goroutine.since) >= life / 2 && goroutine.state == GoState::Waiting {
                *still = still.saturating_add(1);
                if goroutine.is_new || example.is_none() {
                    *example = Some(goroutine);
                }
            }
        }
        for (name, counts) in &self.counts {
            let (Some(first), Some(last)) = (counts.first(), counts.last()) else {
                continue;
            };
            let Some((all, still, example)) = stills.get(name) else {
                continue;
            };
            let is_system = states.names().is_system(*name);
            if last <= first || is_system || still.saturating_mul(2) < *all || !grows(counts) {
                continue;
            }
            leaks.push(Leak {
                name: *name,
                first: *first,
                last: *last,
                still: *still,
                stack: example.and_then(|goroutine| goroutine.own_stack),
                example: example.map(|goroutine| goroutine.id),
                since: example.map_or(now, |goroutine| goroutine.since),
            });
        }
        leaks.sort_by_key(|leak| core::cmp::Reverse(leak.last.saturating_sub(leak.first)));
        leaks
    }

    /// The goroutines that wait for ever, by function; the most first. That of `main` may: many a
    /// server's does.
    pub(crate) fn forever(&self, states: &States) -> Vec<Forever> {
        let mut found: BTreeMap<NameId, Forever> = BTreeMap::new();
        let Some(reason) = states.names().find(FOREVER) else {
            return Vec::new();
        };
        for goroutine in states.goroutines() {
            let is_main = goroutine.id.get() == 1;
            if goroutine.state != GoState::Waiting || goroutine.reason != reason || is_main {
                continue;
            }
            let forever = found.entry(goroutine.name).or_insert(Forever {
                name: goroutine.name,
                count: 0,
                stack: goroutine.own_stack,
                example: goroutine.id,
                since: goroutine.since,
            });
            forever.count = forever.count.saturating_add(1);
        }
        let mut found: Vec<Forever> = found.into_values().collect();
        found.sort_by_key(|forever| core::cmp::Reverse(forever.count));
        found
    }
}

/// Removes every other one.
fn thin<T>(list: &mut Vec<T>) {
    let mut odd = false;
    list.retain(|_| {
        odd = !odd;
        odd
    });
}

/// Whether numbers grow, by the Mann-Kendall test for a trend: one-sided, p < 0.01.
fn grows(counts: &[u64]) -> bool {
    let mut s = 0i64;
    for (n, later) in counts.iter().enumerate() {
        for earlier in counts.iter().take(n) {
            s = s.saturating_add(match later.cmp(earlier) {
                core::cmp::Ordering::Greater => 1,
                core::cmp::Ordering::Equal => 0,
                core::cmp::Ordering::Less => -1,
            });
        }
    }
    let n = i64::try_from(counts.len()).unwrap_or(i64::MAX);
    // Five in a row are fewer than the normal distribution is good for: only all pairs growing has
    // p = 1/120.
    if n <= 5 {
        return s >= n.saturating_mul(n.saturating_sub(1)) / 2;
    }
    // (s - 1)^2 > 2.326^2 * n (n - 1) (2n + 5) / 18, in thousandths.
    let variance = n
        .saturating_mul(n.saturating_sub(1))
        .saturating_mul(n.saturating_mul(2).saturating_add(5));
    let s = s.saturating_sub(1);
    s > 0 && s.saturating_mul(s).saturating_mul(18_000) > variance.saturating_mul(5_410)
}

#[cfg(test)]
mod tests {
    use super::grows;

    #[test]
    fn trends_are_told_from_noise() {
        assert!(grows(&[1, 2, 3, 4, 5]));
        assert!(!grows(&[1, 2, 3, 3, 5]));
        assert!(grows(&[10, 12, 11, 15, 18, 20, 19, 25, 30, 31]));
        assert!(!grows(&[10, 12, 11, 10, 13, 9, 12, 11, 10, 12]));
        assert!(!grows(&[5; 20]));
        assert!(!grows(&[9, 8, 7, 6, 5, 4, 3, 2]));
    }
}
