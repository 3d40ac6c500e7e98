//! `gotrace tee`: one live trace to several places.

use super::copy::{Copy, Out, WhenFull};
use super::feed::{Feed, note_damage};
use super::follow::{Display, QUEUE, complaint};
use super::input::size;
use super::live::{self, Live, Source, both};
use super::output::{Failure, Result, note, report};
use super::pulse::{self, WatchError};
use super::signals;
use super::snapshots::{Seen, Snapshots};
use super::snapshotter::{self, Request, Snapshotter};
use super::trigger::Why;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use gotrace::analysis::live::Pulse;
use gotrace::mux::{
    Callback, EndReason, LiveError, QueueConfig, Signal, Subscription, TraceMultiplexer,
};
use gotrace::recorder::SharedRecorder;
use gotrace::source::{SourceError, TraceSource};
use indicatif::ProgressDrawTarget;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Copy a live trace to files while it is recorded and watched.
///
/// Every copy is a trace of complete generations, wherever the input ends; the one that was being
/// written then is left out. A copy that cannot be written any more is reported, and harms no other.
/// Nothing is written to a file before the input has given a trace's header, and one for which no
/// complete generation comes is removed in the end. When another trace begins, because the traced
/// program was started again, a file's copy goes on in a new one with a number in its name; in a pipe it
/// goes on with the new trace's header.
///
/// What waits to be written to a slow copy is in a queue of its own. What happens when that is full is
/// said behind the file's name, or by --when-full for all others: "drop" leaves out whole generations,
/// and goes on like with another trace; "wait" reads no more of the input until half of the queue is
/// free, which in the end makes the traced program wait. Before that, the recorder, the status and the
/// other copies get all that was read, and a snapshot can be had of it at any time. If nothing could be
/// written for --deadline, a copy is no longer waited for: generations are left out of it until it can
/// be written again. Unless something else is said, copies of a live input are not waited for; of a file
/// they are, without a deadline and complete, since its writer is not held up. If something was left
/// out, the exit status is 1.
///
/// At the end the recorder's snapshot is written first. Then each copy has as long as --deadline from
/// one write to the next, and to reach the disk. What was written to a copy survives the end of this
/// process, however it ends. After a power cut, a copy is complete if its trace had ended before, which
/// an exit status of 0 says of all copies, and so is every snapshot whose name was printed; a copy in
/// progress may lack what was written in the last minute or so, or have zeros in its place: "gotrace
/// repair" saves the generations before.
#[derive(clap::Args)]
#[command(after_help = super::help::page(&format!("\
{}

Examples:
  curl -sN 'http://localhost:6060/debug/pprof/trace?seconds=60' | gotrace tee - --out app.trace --stat
  gotrace tee unix-listen:/run/app.sock --out all.trace --out - --record 'last-{{number}}.trace' | next
  gotrace tee - --out all.trace:wait --out slow.fifo:drop=64MiB --stat",
Live::HELP)))]
#[command(group(clap::ArgGroup::new("where").required(true).multiple(true)))]
pub struct Args {
    /// Write a copy to this file; "-" is the standard output. WHEN is "wait" or "drop", what happens when
    /// this copy is written more slowly than the trace comes, and may end with the size of its queue, as
    /// in "slow.fifo:drop=64MiB"
    #[arg(long, value_name = "FILE[:WHEN]", group = "where", num_args = 1..)]
    #[arg(value_parser = OsStringValueParser::new().try_map(Out::parse))]
    #[arg(value_hint = clap::ValueHint::FilePath)]
    out: Vec<Out>,

    /// What happens when a copy that does not say it is written more slowly than the trace comes; "drop"
    /// for a live input and "wait" for a file, if this is not given
    #[arg(long, value_name = "WHAT", value_enum)]
    when_full: Option<WhenFull>,

    /// Bytes up to which a copy that is written too slowly waits in memory, each for itself; 256MiB for
    /// "drop", which leaves out a generation that is larger, and 4MiB for "wait", if this is not given
    #[arg(long, value_name = "SIZE", value_parser = size)]
    queue: Option<usize>,

    /// How long nothing can be written to a copy before it is no longer waited for; and, at the end, given
    /// up
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = live::duration)]
    deadline: Duration,

    /// Keep the last seconds, and write them to this file on SIGUSR1 and at the end; {number} becomes
    /// a number that is not in use, {time} the time in UTC
    #[arg(long, value_name = "NAME", group = "where")]
    record: Option<String>,

    #[command(flatten)]
    window: live::Window,

    /// Show on standard error how the program is doing: events a second by kind, goroutines, heap,
    /// garbage collection
    #[arg(long, group = "where")]
    stat: bool,

    #[command(flatten)]
    input: live::Input,
}

enum Message {
    Opened(Result<Box<Source>>),
    Snapshot,
    Stop,
    Pulse(Box<Pulse>),
    /// There are no more of them; the error says why, if that is not the end.
    Watched(std::result::Result<(), WatchError>),
    /// What is wrong with the trace, which is recorded nevertheless.
    Damaged(gotrace::Error),
    /// One trace ended, as it should or for this reason; the input waits for another.
    Restarted(Option<SourceError>),
    Ended(EndReason),
}

pub fn run(args: Args) -> Result {
    let live::Input { idle, once, input } = &args.input;
    let (sender, messages) = channel();
    signals::listen(&sender, || Message::Snapshot, || Message::Stop)?;
    let is_live = !input.is_regular();
    let when_full = args.when_full.unwrap_or(match is_live {
        true => WhenFull::Drop,
        false => WhenFull::Wait,
    });
    let recorder = match args.record.as_deref() {
        None => None,
        Some(pattern) => Some(Recording::new(pattern, &args.window, input)?),
    };
    let mut copies: Vec<Copy> = Vec::new();
    for out in &args.out {
        let snapshots = recorder.as_ref().map(|r| &r.keep.snapshots);
        let queue = out.when_full.unwrap_or(when_full);
        let queue = queue.queue(out.queue.or(args.queue));
        copies.push(Copy::plan(&out.path, queue, input, &copies, snapshots)?);
    }
    let mut tee = Tee {
        copies,
        recorder,
        stat: args.stat,
        input: input.name(),
        deadline: args.deadline,
        is_live,
        failed: false,
    };
    input.open_aside(*idle, *once, &sender, Message::Opened)?;
    let result = tee.run(&sender, &messages);
    let result = both(result, tee.finish(&messages));
    match tee.failed {
        true => result.and(Err(Failure::Reported)),
        false => result,
    }
}

/// Why a subscriber of this name failed, if it did.
fn failure(name: String, end: EndReason) -> Option<Failure> {
    let error = match end {
        EndReason::Failed(error) => error.to_string(),
        EndReason::Panicked(message) => message,
        _ => return None,
    };
    Some(Failure::File {
        name,
        error,
        offset: None,
    })
}

/// The last seconds, for snapshots.
struct Recording {
    keep: Arc<Keep>,
    snapshotter: Snapshotter,
    subscription: Option<Subscription<Feed<Vec<u8>>>>,
    /// It records no more, which was reported; what it has is kept.
    failed: bool,
}

struct Keep {
    recorder: Arc<SharedRecorder>,
    snapshots: Snapshots,
    seen: Arc<Seen>,
    /// A snapshot could not be written, which was reported.
    failed: AtomicBool,
}

impl Keep {
    /// Writes a snapshot; a full disk now is no reason to give up what comes later.
    fn try_take(&self, why: &Why) {
        if let Err(failure) = self.snapshots.take(&self.recorder, &self.seen, why, false) {
            report(&failure);
            self.failed.store(true, Ordering::Relaxed);
        }
    }
}

impl Recording {
    const NAME: &str = "the recorder";

    fn new(pattern: &str, window: &live::Window, input: &Live) -> Result<Recording> {
        let config = window.config();
        let snapshots = Snapshots::new(pattern, config.max_bytes)?;
        if let Some(path) = input.path().filter(|path| snapshots.is_file(path)) {
            let error = "a snapshot cannot take the place of the input";
            return Err(Failure::file(path, error));
        }
        let keep = Arc::new(Keep {
            recorder: Arc::new(SharedRecorder::new(config)),
            snapshots,
            seen: Arc::default(),
            failed: AtomicBool::new(false),
        });
        let taking = Arc::clone(&keep);
        let config = snapshotter::Config::default();
        let take = move |why| {
            taking.try_take(&why);
            None
        };
        Ok(Recording {
            snapshotter: Snapshotter::start(config, &keep.recorder, &keep.seen, take)?,
            keep,
            subscription: None,
            failed: false,
        })
    }

    fn start(&mut self, mux: &TraceMultiplexer, sender: &Sender<Message>) -> Result {
        let sender = sender.clone();
        let (keep, mut saved) = (Arc::clone(&self.keep), 0);
        let feed = Feed {
            recorder: Arc::clone(&self.keep.recorder),
            seen: Arc::clone(&self.keep.seen),
            tell: Some(Box::new(move |error| {
                sender.send(Message::Damaged(error)).ok();
            })),
            restarts: Box::new(move |_| {
                let recorded = keep.recorder.status().map_or(0, |s| s.recorded.generations);
                if recorded != saved {
                    keep.try_take(&Why::Restart);
                }
                saved = recorded;
            }),
        };
        self.keep
            .recorder
            .start()
            .map_err(|error| Failure::system(Self::NAME, error))?;
        let subscription = mux.subscribe(feed, QueueConfig::default());
        let subscription = subscription.map_err(|error| Failure::system(Self::NAME, error))?;
        self.subscription = Some(subscription);
        Ok(())
    }

    /// Whether it failed, which is known, or given here, for the first time.
    fn failure(&mut self, end: Option<EndReason>) -> Option<Failure> {
        let failure = failure(Self::NAME.to_owned(), end?).filter(|_| !self.failed);
        self.failed |= failure.is_some();
        failure
    }
}

struct Tee {
    copies: Vec<Copy>,
    recorder: Option<Recording>,
    stat: bool,
    /// The input's name.
    input: String,
    /// How long a copy may be stuck.
    deadline: Duration,
    /// Whether somebody is held up where the input is not read.
    is_live: bool,
    /// Something went wrong that was reported.
    failed: bool,
}

impl Tee {
    /// How often it is looked whether a copy or the recorder failed.
    const LOOK: Duration = Duration::from_millis(200);

    fn run(&mut self, sender: &Sender<Message>, messages: &Receiver<Message>) -> Result {
        let in_place = self.stat && io::stderr().is_terminal();
        let mut display = Display::new(in_place.then(ProgressDrawTarget::stderr));
        let result = self.serve(sender, messages, in_place, &mut display);
        if let Some(block) = display.finish() {
            note(block);
        }
        result
    }

    /// Until the input ends, a signal asks to leave, or nobody is left to feed.
    fn serve(
        &mut self,
        sender: &Sender<Message>,
        messages: &Receiver<Message>,
        in_place: bool,
        display: &mut Display,
    ) -> Result {
        let mut mux = None;
        let (mut is_watched, mut end) = (self.stat, None);
        let mut look = Instant::now() + Self::LOOK;
        loop {
            // However many messages there are.
            let left = look.saturating_duration_since(Instant::now());
            if left.is_zero() {
                if self.is_over() {
                    return Ok(());
                }
                look = Instant::now() + Self::LOOK;
                continue;
            }
            if let Some(reason) = end.take_if(|_| !is_watched) {
                return complaint(&reason)
                    .map_or(Ok(()), |_| Err(Failure::end(&self.input, &reason)));
            }
            let message = match messages.recv_timeout(left) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            match message {
                Message::Opened(source) => mux = Some(self.feed(*source?, sender)?),
                Message::Pulse(pulse) if in_place => display.show(*pulse),
                Message::Pulse(pulse) => note(pulse::line(&pulse)),
                Message::Snapshot => match &self.recorder {
                    None => note("nothing is recorded without --record: no snapshot"),
                    Some(recording) => recording.snapshotter.ask(Request::Signal),
                },
                Message::Restarted(reason) => {
                    live::note_restart(&self.input, reason.as_ref());
                }
                Message::Stop => {
                    drop(mux);
                    return Ok(());
                }
                Message::Watched(told) => {
                    is_watched = false;
                    // That the input broke is told by the others, too.
                    match told {
                        Ok(()) | Err(WatchError::Live(LiveError::Source(_))) => {}
                        Err(error) => {
                            note(format_args!("status: {error}"));
                            (self.stat, self.failed) = (false, true);
                        }
                    }
                }
                Message::Damaged(error) => note_damage(&self.input, error),
                // What was read is shown before that.
                Message::Ended(reason) => end = Some(reason),
            }
        }
    }

    /// Subscribes everyone, from the first generation on.
    fn feed(
        &mut self,
        source: impl TraceSource + 'static,
        sender: &Sender<Message>,
    ) -> Result<TraceMultiplexer> {
        let thread = |error| Failure::system("starting a thread", error);
        let mux = TraceMultiplexer::new(source).map_err(thread)?;
        let hold = mux.hold();
        // The recorder first: where one waits for another, it is not the one that waits.
        if let Some(recording) = &mut self.recorder {
            recording.start(&mux, sender)?;
        }
        if self.stat {
            pulse::spawn(mux.events(QUEUE), sender, Message::Pulse, Message::Watched)?;
        }
        let restarted = sender.clone();
        let witness = Callback(move |signal: &Signal| {
            if let Signal::Restart(reason) = signal {
                restarted.send(Message::Restarted(reason.clone())).ok();
            }
            Ok(())
        });
        let witness = mux
            .subscribe(witness, QueueConfig::default())
            .map_err(thread)?;
        for copy in &mut self.copies {
            copy.start(&mux).map_err(thread)?;
        }
        let sender = sender.clone();
        signals::spawn("witness", move || {
            sender.send(Message::Ended(witness.wait().end)).ok();
        })?;
        drop(hold);
        Ok(mux)
    }

    /// Reports copies that failed, and the recorder if it did; says whether nobody is left.
    fn is_over(&mut self) -> bool {
        self.copies.retain_mut(|copy| {
            if self.is_live
                && let Some(told) = copy.pass_over(self.deadline)
            {
                note(told);
            }
            if let Some(lost) = copy.news_of_losses() {
                note(lost);
                self.failed = true;
            }
            let failure = copy.end().and_then(|end| failure(copy.name(), end));
            if let Some(failure) = &failure {
                report(failure);
                self.failed = true;
            }
            failure.is_none()
        });
        if let Some(recording) = &mut self.recorder {
            let end = recording.subscription.as_ref().and_then(Subscription::end);
            if let Some(failure) = recording.failure(end) {
                report(&failure);
                self.failed = true;
            }
        }
        let records = self.recorder.as_ref().is_some_and(|r| !r.failed);
        self.failed && self.copies.is_empty() && !records && !self.stat
    }

    /// Writes the last snapshot, and then waits for the copies.
    fn finish(&mut self, messages: &Receiver<Message>) -> Result {
        let result = self.finish_recording();
        for copy in &mut self.copies {
            let Some(end) = copy.finish(self.deadline) else {
                report(&copy.is_stuck(self.deadline));
                self.failed = true;
                continue;
            };
            if let Some(lost) = copy.news_of_losses() {
                note(lost);
                self.failed = true;
            }
            if let Some(failure) = failure(copy.name(), end) {
                self.failed = true;
                report(&failure);
            }
        }
        for message in messages.try_iter() {
            match message {
                Message::Damaged(error) => note_damage(&self.input, error),
                Message::Restarted(reason) => live::note_restart(&self.input, reason.as_ref()),
                _ => {}
            }
        }
        result
    }

    fn finish_recording(&mut self) -> Result {
        let Some(recording) = &mut self.recorder else {
            return Ok(());
        };
        if let Some(subscription) = recording.subscription.take() {
            let end = subscription.wait().end;
            if let Some(failure) = recording.failure(Some(end)) {
                self.failed = true;
                report(&failure);
            }
        }
        let keep = &recording.keep;
        let taken = keep
            .snapshots
            .take(&keep.recorder, &keep.seen, &Why::End, true);
        let lost = keep
            .recorder
            .status()
            .map_or(0, |s| s.losses.total().generations);
        let nothing = keep.snapshots.written() == 0 && lost > 0;
        self.failed |= nothing || keep.failed.load(Ordering::Relaxed);
        taken.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gotrace::source::StreamSource;
    use std::fs::File;
    use std::io::Write as _;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_recorder_that_fails_is_noticed() {
        let window = live::Window {
            max_bytes: 1 << 20,
            min_age: Duration::from_secs(10),
        };
        let recording = Recording::new("none", &window, &Live::Stdin).unwrap();
        let recorder = Arc::clone(&recording.keep.recorder);
        let mut tee = Tee {
            copies: Vec::new(),
            recorder: Some(recording),
            stat: false,
            input: "the input".to_owned(),
            deadline: Duration::from_secs(1),
            is_live: true,
            failed: false,
        };
        let (sender, messages) = channel();
        let (mut input, read) = UnixStream::pair().unwrap();
        let source = StreamSource::polled(File::from(OwnedFd::from(read))).unwrap();
        let mux = tee.feed(source, &sender).unwrap();
        assert!(!tee.is_over());
        recorder.stop();
        let trace = include_bytes!("../../../tests/fixtures/gc-go1.22.trace");
        input.write_all(&trace[..5000]).unwrap();
        // The input goes on, but for nobody.
        let result = tee.serve(&sender, &messages, false, &mut Display::new(None));
        assert!(result.is_ok() && tee.failed);
        drop(mux);
        tee.finish(&messages).unwrap();
    }
}
