//! When snapshots are taken that somebody asks for, or an event.

use super::output::note;
use super::signals;
use super::snapshots::Seen;
use super::trigger::{Firing, Why};
use gotrace::recorder::{SharedRecorder, Status};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

/// Takes snapshots, on a thread of its own, when they have in them what they are taken for.
#[derive(Clone)]
pub struct Snapshotter {
    asked: Sender<Request>,
}

pub enum Request {
    /// As SIGUSR1 does.
    Signal,
    /// As a line on the control socket does; the answer is the file, if there is one.
    Control(Sender<Option<PathBuf>>),
    Fired(Box<Firing>),
    /// Whatever waits is taken now; the answer is that it was.
    Flush(Sender<()>),
}

/// How it is done.
#[derive(Clone, Copy, Default)]
pub struct Config {
    /// How long after an event that fired.
    pub after: Duration,
    /// How much of a snapshot may be in the one before, in percent, if that can be had.
    pub max_overlap: u8,
}

/// How long a snapshot waits for the generation in progress: a program that stands still ends none.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long what waits may take in the end.
const FLUSH: Duration = Duration::from_secs(60);

/// How many events that fired may wait for their time.
const MOST_WAITING: usize = 64;

struct Work<A> {
    config: Config,
    recorder: Arc<SharedRecorder<A>>,
    seen: Arc<Seen>,
    waiting: VecDeque<(Instant, Box<Firing>)>,
    /// The trace and the newest generation of the snapshot before.
    last: Option<(u64, u64)>,
}

impl Snapshotter {
    /// A thread that waits until it is time, and calls `take`.
    pub fn start<A>(
        config: Config,
        recorder: &Arc<SharedRecorder<A>>,
        seen: &Arc<Seen>,
        take: impl Fn(Why) -> Option<PathBuf> + Send + 'static,
    ) -> super::output::Result<Snapshotter>
    where
        A: AsRef<[u8]> + AsMut<[u8]> + Send + 'static,
    {
        let (asked, requests) = channel();
        let work = Work {
            config,
            recorder: Arc::clone(recorder),
            seen: Arc::clone(seen),
            waiting: VecDeque::new(),
            last: None,
        };
        signals::spawn("snapshots", move || work.run(&requests, take))?;
        Ok(Snapshotter { asked })
    }

    pub fn ask(&self, request: Request) {
        self.asked.send(request).ok();
    }

    /// Takes what waits, and waits for that, unless there is a hurry.
    pub fn flush(&self) {
        let (answer, answered) = channel();
        self.ask(Request::Flush(answer));
        signals::wait_until(FLUSH, || answered.try_recv() != Err(TryRecvError::Empty));
    }
}

impl<A: AsRef<[u8]> + AsMut<[u8]> + Send> Work<A> {
    fn run(mut self, requests: &Receiver<Request>, take: impl Fn(Why) -> Option<PathBuf>) {
        loop {
            let request = match self.waiting.front() {
                Some((due, _)) => {
                    let left = due.saturating_duration_since(Instant::now());
                    requests.recv_timeout(left)
                }
                None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match request {
                Ok(Request::Fired(firing)) => self.wait(firing, self.config.after),
                Ok(Request::Flush(answer)) => {
                    for (_, firing) in std::mem::take(&mut self.waiting) {
                        self.take_fired(firing, &take);
                    }
                    answer.send(()).ok();
                }
                Ok(first) => {
                    // Whoever else has asked by now is served by the same.
                    let mut answers = Vec::new();
                    let (mut why, mut flushed) = (Why::Control, None);
                    for request in std::iter::once(first).chain(requests.try_iter()) {
                        match request {
                            Request::Signal => why = Why::Signal,
                            Request::Control(answer) => answers.push(answer),
                            Request::Fired(firing) => self.wait(firing, self.config.after),
                            Request::Flush(answer) => flushed = Some(answer),
                        }
                    }
                    self.wait_for_generation();
                    let file = self.take(why, &take);
                    for answer in answers {
                        answer.send(file.clone()).ok();
                    }
                    if let Some(answer) = flushed {
                        for (_, firing) in std::mem::take(&mut self.waiting) {
                            self.take_fired(firing, &take);
                        }
                        answer.send(()).ok();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Some((_, firing)) = self.waiting.pop_front() {
                        self.fire(firing, &take);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn wait(&mut self, firing: Box<Firing>, time: Duration) {
        if self.waiting.len() >= MOST_WAITING {
            return note(format_args!(
                "{}: no snapshot, too many wait already",
                firing.fired.name
            ));
        }
        self.waiting.push_back((Instant::now() + time, firing));
    }

    fn wait_for_generation(&self) {
        if self.seen.live.load(Ordering::Acquire) {
            // What it gives is known when the snapshot is taken.
            self.recorder.wait_for_generation(PATIENCE).ok();
        }
    }

    /// Takes the snapshot for an event, or puts it off.
    fn fire(&mut self, firing: Box<Firing>, take: &impl Fn(Why) -> Option<PathBuf>) {
        if let Some(generation) = firing.generation {
            // The events are read of what is complete; the recorder may be a moment behind.
            signals::wait_until(PATIENCE, || {
                let window = self.seen.window.load(Ordering::Acquire);
                let newest = self.seen.generation.load(Ordering::Relaxed);
                let is_in = window == firing.trace && newest >= generation.get();
                is_in || self.seen.traces.load(Ordering::Relaxed) > firing.trace
            });
        }
        if !self.config.after.is_zero() {
            self.wait_for_generation();
        }
        let live = self.seen.live.load(Ordering::Acquire);
        if let Ok(status) = self.recorder.status()
            && live
            && self.overlaps(&status, &firing)
        {
            let soon = Duration::from_millis(200);
            self.waiting.push_back((Instant::now() + soon, firing));
            return;
        }
        self.take_fired(firing, take);
    }

    /// Takes the snapshot for an event, if that is in the window.
    fn take_fired(&mut self, firing: Box<Firing>, take: &impl Fn(Why) -> Option<PathBuf>) {
        let covered = self.recorder.status().is_ok_and(|status| {
            let newest = status.newest.map_or(0, |number| number.get());
            let number = firing.generation.map_or(0, |number| number.get());
            number <= newest && number + status.window.generations > newest
        });
        let window = self.seen.window.load(Ordering::Acquire);
        if window != firing.trace || !covered {
            let name = &firing.fired.name;
            return note(format_args!(
                "{name}: no snapshot, the event has left the window already"
            ));
        }
        self.take(Why::Trigger(firing), take);
    }

    /// Whether too much of a snapshot that is taken now would be in the one before, and there is time.
    fn overlaps(&self, status: &Status, firing: &Firing) -> bool {
        let (Some((trace, last)), Some(newest)) = (self.last, status.newest) else {
            return false;
        };
        let count = status.window.generations;
        let before = newest.get().saturating_sub(count);
        let both = last.saturating_sub(before).min(count);
        let leaves = firing
            .generation
            .is_none_or(|number| number.get() <= before + 1);
        trace == firing.trace && both * 100 > u64::from(self.config.max_overlap) * count && !leaves
    }

    fn take(&mut self, why: Why, take: &impl Fn(Why) -> Option<PathBuf>) -> Option<PathBuf> {
        let newest = self.recorder.status().ok().and_then(|s| s.newest);
        let file = take(why);
        if let (Some(_), Some(newest)) = (&file, newest) {
            self.last = Some((self.seen.traces.load(Ordering::Relaxed), newest.get()));
        }
        file
    }
}
