//! A window of a trace: what was before it is known, and does not count.

use super::{States, Sums, Visitor};
use crate::event::Event;
use crate::time::Time;
use alloc::vec::Vec;

impl States {
    /// From this moment on, what is reported is as if the trace began there, with everything as it is
    /// then. `event` is the next one to be [added](States::add), at this moment or later.
    ///
    /// The visitor is told of each proc, range, task, goroutine and region that is there, as of
    /// things that were there before the trace; of procs by id, of goroutines the oldest first. The current state of a goroutine or proc, and the
    /// ranges that are open, begin at this moment, and [sums](super::Goroutine::sums) count from it;
    /// [`Stay::began_before`](super::Stay::began_before) is true of what goes on. Tasks and regions
    /// keep their beginnings, so that one which ends is known with all of its time.
    pub fn begin_at(&mut self, from: Time, event: &Event<'_, '_>, visitor: &mut impl Visitor) {
        let slots: Vec<u32> = self.goroutines.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let Some(goroutine) = self.goroutines.get_mut(slot) else {
                continue;
            };
            let before = goroutine.sums(from);
            goroutine.done = Sums::default();
            if goroutine.since < from {
                // Earlier than the beginning that counts: it was so before.
                goroutine.seen = goroutine.since;
                goroutine.since = from;
            }
            goroutine.without_proc = goroutine.without_proc.map(|since| since.max(from));
            goroutine.created = goroutine.created.max(from);
            goroutine.is_new = false;
            for region in &mut goroutine.regions {
                region.sums = region.sums.since(&before);
            }
        }
        let slots: Vec<u32> = self.procs.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            if let Some(proc) = self.procs.get_mut(slot) {
                proc.since = proc.since.max(from);
            }
        }
        for range in self.ranges.values_mut() {
            range.begin_at(from);
        }
        self.begin = Some(from);
        self.sync = from;
        self.last = from;
        let mut procs: Vec<_> = self.procs().collect();
        procs.sort_unstable_by_key(|proc| proc.id);
        for proc in procs {
            visitor.proc_began(self, proc);
        }
        for range in self.ranges() {
            visitor.range_began(self, range);
        }
        for task in self.tasks() {
            visitor.task_began(self, task);
        }
        let mut goroutines: Vec<_> = self.goroutines().collect();
        goroutines.sort_unstable_by_key(|goroutine| goroutine.life);
        for goroutine in goroutines {
            visitor.goroutine_began(self, goroutine, event);
            for region in &goroutine.regions {
                visitor.region_began(self, goroutine, region);
            }
        }
    }
}
