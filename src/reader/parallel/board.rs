//! Who does what next: the one place where threads meet.
//!
//! Of each generation first a survey is made, then it is ordered, then it is confirmed. Surveys and
//! orderings of different generations may run at a time; what is known of the generations before is
//! handed on from survey to survey, and confirmations come one after the other.

use crate::locks::{Condvar, Mutex, lock, wait};
use alloc::collections::BTreeMap;

/// Something to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Job<S, O> {
    /// To look at what a generation says.
    Survey(usize),
    /// To order a generation, of which this was found.
    Order(usize, S),
    /// To confirm that a generation was ordered rightly. Nobody else confirms one meanwhile.
    Confirm(usize, O),
}

/// What has been done and what has not.
struct State<S, O> {
    /// Generations that were surveyed but not yet ordered, and ordered but not confirmed.
    surveyed: BTreeMap<usize, S>,
    ordered: BTreeMap<usize, O>,
    /// How many generations somebody has begun to survey, and how many are confirmed.
    begun: usize,
    confirmed: usize,
    /// Somebody confirms a generation.
    confirming: bool,
    /// How many surveys were handed on, each to the one after it.
    linked: usize,
    stopped: bool,
}

/// The board on which jobs are. `S` is what a survey finds and `O` what an ordering makes.
pub(super) struct Board<S, O> {
    state: Mutex<State<S, O>>,
    changed: Condvar,
    generations: usize,
    /// How many generations may be begun and not confirmed.
    in_flight: usize,
}

impl<S, O> Board<S, O> {
    pub(super) fn new(generations: usize, in_flight: usize) -> Board<S, O> {
        Board {
            state: Mutex::new(State {
                surveyed: BTreeMap::new(),
                ordered: BTreeMap::new(),
                begun: 0,
                confirmed: 0,
                confirming: false,
                linked: 0,
                stopped: false,
            }),
            changed: Condvar::new(),
            generations,
            in_flight: in_flight.max(1),
        }
    }

    /// The next job, once there is one; `None` when all is done or has been stopped.
    pub(super) fn next(&self) -> Option<Job<S, O>> {
        let mut state = lock(&self.state);
        loop {
            if state.stopped || state.confirmed >= self.generations {
                return None;
            }
            // What is oldest first: it holds memory.
            let at = state.confirmed;
            if !state.confirming
                && let Some(ordered) = state.ordered.remove(&at)
            {
                state.confirming = true;
                return Some(Job::Confirm(at, ordered));
            }
            let linked = state.linked;
            if let Some(entry) = state.surveyed.first_entry()
                && *entry.key() < linked
            {
                let (at, survey) = entry.remove_entry();
                return Some(Job::Order(at, survey));
            }
            if state.begun < self.generations
                && state.begun.saturating_sub(state.confirmed) < self.in_flight
            {
                let at = state.begun;
                state.begun = at.wrapping_add(1);
                return Some(Job::Survey(at));
            }
            state = wait(&self.changed, state);
        }
    }

    /// A generation has been surveyed. Surveys that follow each other are given to `link`, in order.
    pub(super) fn surveyed(&self, at: usize, survey: S, mut link: impl FnMut(&mut S)) {
        let mut state = lock(&self.state);
        state.surveyed.insert(at, survey);
        let linked = state.linked;
        let ready = state.surveyed.range_mut(linked..);
        let mut next = linked;
        for (at, survey) in ready {
            if *at != next {
                break;
            }
            link(survey);
            next = next.wrapping_add(1);
        }
        state.linked = next;
        drop(state);
        self.changed.notify_all();
    }

    /// A generation has been ordered.
    pub(super) fn ordered(&self, at: usize, ordered: O) {
        lock(&self.state).ordered.insert(at, ordered);
        self.changed.notify_all();
    }

    /// The generation that this thread was to confirm is confirmed.
    pub(super) fn confirmed(&self) {
        let mut state = lock(&self.state);
        state.confirming = false;
        state.confirmed = state.confirmed.wrapping_add(1);
        drop(state);
        self.changed.notify_all();
    }

    /// There are no more jobs.
    pub(super) fn stop(&self) {
        lock(&self.state).stopped = true;
        self.changed.notify_all();
    }
}

#[cfg(all(test, loom))]
mod model {
    //! Every order in which two threads can do the jobs of three generations: each is done once, links
    //! and confirmations come in order, no more are in flight than may be, and both threads end, also
    //! where one stops.

    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    const GENERATIONS: usize = 3;
    const IN_FLIGHT: usize = 2;

    #[derive(Default)]
    struct Log {
        linked: usize,
        confirmed: usize,
        surveyed: [bool; GENERATIONS],
    }

    fn work(board: &Board<usize, usize>, log: &Mutex<Log>, stop_at: Option<usize>) {
        while let Some(job) = board.next() {
            match job {
                Job::Survey(at) => {
                    let mut log_now = lock(log);
                    assert!(!log_now.surveyed[at]);
                    log_now.surveyed[at] = true;
                    let begun = log_now.surveyed.iter().filter(|begun| **begun).count();
                    assert!(begun - log_now.confirmed <= IN_FLIGHT);
                    drop(log_now);
                    board.surveyed(at, at, |survey| {
                        let mut log = lock(log);
                        assert_eq!(*survey, log.linked);
                        log.linked += 1;
                    });
                }
                Job::Order(at, survey) => {
                    assert_eq!(at, survey);
                    assert!(lock(log).linked > at);
                    board.ordered(at, at);
                }
                Job::Confirm(at, ordered) => {
                    assert_eq!(at, ordered);
                    {
                        let mut log = lock(log);
                        assert_eq!(at, log.confirmed);
                        log.confirmed += 1;
                    }
                    if Some(at) == stop_at {
                        board.stop();
                        return;
                    }
                    board.confirmed();
                }
            }
        }
    }

    fn run(stop_at: Option<usize>) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let shared = Arc::new((
                Board::new(GENERATIONS, IN_FLIGHT),
                Mutex::new(Log::default()),
            ));
            let other = shared.clone();
            let thread = thread::spawn(move || work(&other.0, &other.1, stop_at));
            work(&shared.0, &shared.1, stop_at);
            thread.join().unwrap();
            let confirmed = lock(&shared.1).confirmed;
            assert_eq!(confirmed, stop_at.map_or(GENERATIONS, |at| at + 1));
        });
    }

    #[test]
    fn all_is_done_once_and_in_order() {
        run(None);
    }

    #[test]
    fn who_stops_ends_all() {
        run(Some(1));
    }
}
