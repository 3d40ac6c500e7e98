//! Every order of events that a few threads can bring about, tried by `loom`:
//!
//!     RUSTFLAGS="--cfg loom" cargo test --release --lib mux::model
//!
//! It fails at a deadlock, which a lost wake-up is, and at a generation that was cut.
//!
//! What runs here is what runs in a program: the hub's loop, the queues, and the loop that feeds a
//! subscriber, whose locks are `loom`'s (`crate::locks`). Left out are the threads' starts and ends,
//! and sources that wait.

use super::hub::Hub;
use super::queue::Queue;
use super::subscription;
use super::{EndReason, QueueConfig, Signal, Subscriber, SubscriberError};
use crate::ids::GenerationId;
use crate::source::{AdvanceUnsupported, Part, SharedBatches, SourceControl};
use crate::source::{SourceError, TraceSource};
use crate::wire::Version;
use alloc::sync::Arc;
use loom::thread;
use std::vec;

/// The sizes of the batches in a generation, which hold its number: one that does not wake who is
/// patient, and one that does not fit beside it.
const SIZES: [usize; BATCHES] = [1, 8];
const BATCHES: usize = 2;
const GENERATION: usize = 9;

/// Generations without end or a few; after them the trace ends, or breaks in the middle of the next.
struct Script {
    generations: u64,
    breaks: bool,
    /// The generation, and how many of its parts were given.
    at: (u64, usize),
    started: bool,
}

fn script(generations: u64, breaks: bool) -> Script {
    Script {
        generations,
        breaks,
        at: (1, 0),
        started: false,
    }
}

impl TraceSource for Script {
    fn start(&mut self) -> Result<Version, SourceError> {
        assert!(!self.started);
        assert_eq!(self.at.1, 0, "stopped in the middle of a generation");
        if self.at.0 > self.generations {
            return Err(SourceError::Ended);
        }
        self.started = true;
        Ok(Version::CURRENT)
    }

    fn next(&mut self) -> Result<Option<Part>, SourceError> {
        assert!(self.started);
        let (number, given) = self.at;
        if number > self.generations && (given > 0 || !self.breaks) {
            self.at.1 = 0;
            return match self.breaks {
                true => Err(SourceError::Ended),
                false => Ok(None),
            };
        }
        if given == BATCHES {
            self.at = (number + 1, 0);
            let number = GenerationId::new(number).unwrap();
            return Ok(Some(Part::EndOfGeneration(number)));
        }
        self.at.1 += 1;
        Ok(Some(Part::Batches(SharedBatches::from(vec![
            number as u8;
            SIZES[given]
        ]))))
    }

    fn stop(&mut self) {
        self.started = false;
    }

    fn control(&self) -> Arc<dyn SourceControl> {
        Arc::new(NoControl)
    }
}

struct NoControl;

impl SourceControl for NoControl {
    fn advance(&self) -> Result<(), AdvanceUnsupported> {
        Err(AdvanceUnsupported)
    }

    fn interrupt(&self) {}
}

/// Tries all orders with at most so many preemptions.
fn all_orders(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}

/// Feeds a script until all is closed.
fn feed(hub: &Arc<Hub>, mut script: Script) -> thread::JoinHandle<()> {
    let hub = Arc::clone(hub);
    thread::spawn(move || hub.run(&mut script))
}

/// Takes everything, and checks it: whole generations one after the other, and one half at most, at
/// the end of a source that broke. Gives the number of whole ones and the end.
fn drain(queue: &Queue) -> (u64, EndReason) {
    let (mut whole, mut half, mut number) = (0, 0, None);
    let mut begun = false;
    while let Some(signal) = queue.recv() {
        match signal {
            Signal::Header(_) => {
                assert_eq!(half, 0);
                (begun, number) = (true, None);
            }
            Signal::Batches(batches) => {
                assert!(begun);
                let this = u64::from(batches.as_bytes()[0]);
                assert!(number.is_none_or(|n| if half == 0 { this == n + 1 } else { this == n }));
                number = Some(this);
                half += 1;
            }
            Signal::EndOfGeneration(this) => {
                assert_eq!((number, half), (Some(this.get()), BATCHES));
                half = 0;
                whole += 1;
            }
            Signal::Lost(lost) => {
                // What was dropped of the last generation of a source that broke is no whole one.
                let half_lost = lost.bytes - lost.generations * GENERATION as u64;
                assert!(half == 0 && (half_lost == 0 || half_lost == SIZES[0] as u64));
                begun = false;
            }
            Signal::Restart(_) => panic!("there is one trace"),
            Signal::EndOfTrace(end) => {
                assert!(half == 0 || matches!(end, EndReason::Broken(_) | EndReason::Stopped));
                assert!(queue.recv().is_none());
                return (whole, end);
            }
        }
    }
    panic!("no end");
}

#[test]
fn subscribers_join_and_leave_while_the_source_runs_and_ends() {
    all_orders(2, || {
        let hub = Arc::new(Hub::new());
        let thread = feed(&hub, script(2, false));
        let join = |leave: bool| {
            let queue = Arc::new(Queue::new(QueueConfig::waiting(1), false));
            hub.subscribe(Arc::clone(&queue));
            thread::spawn(move || {
                if leave {
                    queue.leave();
                }
                drain(&queue)
            })
        };
        let stays = join(false);
        let leaves = join(true);
        let (whole, end) = stays.join().unwrap();
        // It may have come too late for both.
        assert!(match end {
            EndReason::Finished => whole <= 2,
            EndReason::Broken(SourceError::Ended) => whole == 0,
            _ => false,
        });
        let (_, end) = leaves.join().unwrap();
        assert!(matches!(
            end,
            EndReason::Left | EndReason::Finished | EndReason::Broken(_)
        ));
        hub.close(EndReason::Stopped);
        thread.join().unwrap();
    });
}

#[test]
fn the_last_to_leave_stops_the_source_and_the_next_one_starts_it() {
    all_orders(2, || {
        let hub = Arc::new(Hub::new());
        let thread = feed(&hub, script(4, false));
        for _ in 0..2 {
            let queue = Arc::new(Queue::new(QueueConfig::waiting(1), false));
            hub.subscribe(Arc::clone(&queue));
            // The trace is longer than what comes before the source must wait.
            queue.leave();
            assert!(matches!(drain(&queue), (_, EndReason::Left)));
        }
        hub.close(EndReason::Stopped);
        thread.join().unwrap();
    });
}

#[test]
fn a_slow_subscriber_loses_whole_generations_and_holds_up_nobody() {
    all_orders(2, || {
        let hub = Arc::new(Hub::new());
        let slow = Arc::new(Queue::new(QueueConfig::dropping(GENERATION), false));
        let fast = Arc::new(Queue::new(QueueConfig::waiting(1), true));
        hub.subscribe(Arc::clone(&slow));
        hub.subscribe(Arc::clone(&fast));
        let thread = feed(&hub, script(2, true));
        let reader = Arc::clone(&fast);
        let reader = thread::spawn(move || drain(&reader));
        let (whole, end) = drain(&slow);
        let lost = slow.stats().lost.generations;
        assert!(matches!(end, EndReason::Broken(_)));
        assert_eq!(whole + lost, 2);
        assert!(matches!(reader.join().unwrap(), (2, EndReason::Broken(_))));
        hub.close(EndReason::Stopped);
        thread.join().unwrap();
    });
}

/// Fails at this signal: 0 is the header, when the source may already wait for room.
struct FailsAt(usize);

impl FailsAt {
    fn signal(&mut self) -> Result<(), SubscriberError> {
        match self.0 {
            0 => Err("enough".into()),
            _ => {
                self.0 -= 1;
                Ok(())
            }
        }
    }
}

impl Subscriber for FailsAt {
    fn header(&mut self, _: Version) -> Result<(), SubscriberError> {
        self.signal()
    }

    fn batches(&mut self, _: &SharedBatches) -> Result<(), SubscriberError> {
        self.signal()
    }

    fn end_of_generation(&mut self, _: GenerationId) -> Result<(), SubscriberError> {
        Ok(())
    }
}

#[test]
fn a_subscriber_that_fails_while_it_is_waited_for_harms_nobody() {
    for signal in 0..BATCHES + 1 {
        all_orders(2, move || fails_at(signal));
    }
}

fn fails_at(signal: usize) {
    let hub = Arc::new(Hub::new());
    let fails = Arc::new(Queue::new(QueueConfig::waiting(1), false));
    let stays = Arc::new(Queue::new(QueueConfig::waiting(8), true));
    hub.subscribe(Arc::clone(&fails));
    hub.subscribe(Arc::clone(&stays));
    let thread = feed(&hub, script(1, false));
    let failing = thread::spawn(move || {
        let subscriber = subscription::feed(&fails, FailsAt(signal));
        assert!(subscriber.is_some_and(|subscriber| subscriber.0 == 0));
        assert!(matches!(fails.end(), Some(EndReason::Failed(_))));
        assert!(fails.recv().is_none());
    });
    assert!(matches!(drain(&stays), (1, EndReason::Finished)));
    failing.join().unwrap();
    hub.close(EndReason::Stopped);
    thread.join().unwrap();
}

#[test]
fn closing_wakes_everyone() {
    all_orders(2, || {
        let hub = Arc::new(Hub::new());
        let stuck = Arc::new(Queue::new(QueueConfig::waiting(1), false));
        hub.subscribe(Arc::clone(&stuck));
        let thread = feed(&hub, script(4, false));
        let waiting = Arc::new(Queue::new(QueueConfig::waiting(1), false));
        hub.subscribe(Arc::clone(&waiting));
        let reader = thread::spawn(move || drain(&waiting));
        hub.close(EndReason::Stopped);
        thread.join().unwrap();
        assert!(matches!(reader.join().unwrap(), (_, EndReason::Stopped)));
        assert!(matches!(drain(&stuck), (_, EndReason::Stopped)));
    });
}

#[test]
fn a_held_source_starts_when_it_is_released() {
    all_orders(3, || {
        let hub = Arc::new(Hub::new());
        hub.hold();
        let thread = feed(&hub, script(1, false));
        let queue = Arc::new(Queue::new(QueueConfig::waiting(1), false));
        hub.subscribe(Arc::clone(&queue));
        let release = Arc::clone(&hub);
        let release = thread::spawn(move || release.release());
        assert!(matches!(drain(&queue), (1, EndReason::Finished)));
        release.join().unwrap();
        hub.close(EndReason::Stopped);
        thread.join().unwrap();
    });
}
