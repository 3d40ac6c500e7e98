//! What was collected, made into explanations.

use super::collect::Case;
use super::find::What;
use super::path::{Life, Lives, Path, Stretch, Work};
use super::{Explanation, Part, Spent, Times, Wait, Worker, count, spent};
use crate::analysis::names::{NameId, Names, StackRef};
use crate::event::GoState;
use crate::ids::GoId;
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What was collected for one, made into its explanation.
pub(super) fn explain(case: Case, lives: &Lives, names: &Names) -> Explanation {
    let Case {
        found,
        work,
        beginner,
        ender,
        creator,
        ..
    } = case;
    let (start, end) = (found.start, found.end);
    let mut at_work = Work::new();
    for (life, mut effort) in work {
        // Who began it and left its end to another worked until the last that it did for it.
        let last = match found.what {
            What::Task if ender.is_some() && ender != Some(life) && beginner == Some(life) => {
                effort.last.unwrap_or(end)
            }
            _ => end,
        };
        effort.stop(last);
        let mut intervals: Vec<(Time, Time)> = Vec::new();
        effort.intervals.sort_unstable();
        for (from, to) in effort.intervals {
            let (from, to) = (from.max(start), to.min(end));
            match intervals.last_mut().filter(|last| last.1 >= from) {
                Some(last) => last.1 = last.1.max(to),
                None if from < to => intervals.push((from, to)),
                None => {}
            }
        }
        if !intervals.is_empty() {
            at_work.insert(life, intervals);
        }
    }
    let mut workers: Vec<Worker> = at_work
        .iter()
        .filter_map(|(id, intervals)| Some(worker(lives.get(id)?, intervals, lives)))
        .collect();
    workers.sort_by_key(|worker| (core::cmp::Reverse(worker.nanoseconds()), worker.id));
    let mut times = Times::new();
    for worker in &workers {
        for (spent, time) in &worker.times {
            count(&mut times, *spent, *time);
        }
    }
    let mut path = Path::new(lives, names);
    path.through(&at_work, ender.or(beginner), start, end);
    let path = path.finish();
    let mut path_times = Times::new();
    for step in &path {
        count(&mut path_times, step.spent(), step.nanoseconds());
    }
    Explanation {
        waits: waits(&workers, lives),
        found,
        workers,
        times,
        path,
        path_times,
        creator,
    }
}

/// What a goroutine did in these times.
fn worker(life: &Life, intervals: &[(Time, Time)], lives: &Lives) -> Worker {
    let mut worker = Worker {
        id: life.id,
        name: life.name,
        at_work: intervals.to_vec(),
        times: Times::new(),
        stays: Vec::new(),
    };
    for (start, end) in intervals {
        let first = life
            .stretches
            .partition_point(|stretch| stretch.to <= *start);
        let inside = life.stretches.get(first..).unwrap_or(&[]);
        let mut known = *start;
        let mut part = |from: Time, to: Time, spent, stretch: Option<&Stretch>| {
            if from >= to {
                return;
            }
            count(&mut worker.times, spent, to.since(from));
            // Cut off at the end, it was not ended by its waker.
            let waker = stretch.filter(|stretch| stretch.to == to);
            let waker = waker.and_then(|stretch| lives.get(&stretch.waker?));
            worker.stays.push(Part {
                from,
                to,
                spent,
                stack: stretch.and_then(|stretch| stretch.stack),
                waker: waker.map(|life| life.id),
            });
        };
        let unknown = spent(GoState::Undetermined, NameId::EMPTY);
        for stretch in inside.iter().take_while(|stretch| stretch.from < *end) {
            let (from, to) = (stretch.from.max(known), stretch.to.min(*end));
            part(known, from, unknown, None);
            part(
                from,
                to,
                spent(stretch.state, stretch.reason),
                Some(stretch),
            );
            known = known.max(to);
        }
        part(known, *end, unknown, None);
    }
    worker
}

/// Where they waited, by how long in sum.
fn waits(workers: &[Worker], lives: &Lives) -> Vec<Wait> {
    #[derive(Default)]
    struct Place {
        count: u64,
        total: i64,
        longest: i64,
        who: BTreeMap<GoId, i64>,
        wakers: BTreeMap<GoId, i64>,
    }
    let mut names: BTreeMap<GoId, NameId> = BTreeMap::new();
    for life in lives.values() {
        names.insert(life.id, life.name);
    }
    let name = |id: GoId| names.get(&id).copied().unwrap_or_default();
    let most = |times: &BTreeMap<GoId, i64>| {
        let most = times
            .iter()
            .max_by_key(|(id, time)| (**time, core::cmp::Reverse(**id)));
        most.map(|(id, time)| (*id, *time))
    };
    let mut places: BTreeMap<(Spent, Option<StackRef>), Place> = BTreeMap::new();
    for worker in workers {
        for stay in &worker.stays {
            if !matches!(stay.spent.state, GoState::Waiting | GoState::Syscall) {
                continue;
            }
            let place = places.entry((stay.spent, stay.stack)).or_default();
            let time = stay.to.since(stay.from);
            place.count = place.count.saturating_add(1);
            place.total = place.total.saturating_add(time);
            place.longest = place.longest.max(time);
            let sums = [
                (&mut place.who, Some(worker.id)),
                (&mut place.wakers, stay.waker),
            ];
            for (sums, id) in sums {
                if let Some(id) = id {
                    let sum = sums.entry(id).or_insert(0);
                    *sum = sum.saturating_add(time);
                }
            }
        }
    }
    let mut waits: Vec<Wait> = places
        .into_iter()
        .filter_map(|((spent, stack), place)| {
            let (who, _) = most(&place.who)?;
            Some(Wait {
                spent,
                stack,
                count: place.count,
                total: place.total,
                longest: place.longest,
                who,
                name: name(who),
                waker: most(&place.wakers).map(|(id, time)| (id, name(id), time)),
            })
        })
        .collect();
    waits.sort_by_key(|wait| (core::cmp::Reverse(wait.total), wait.stack));
    waits
}
