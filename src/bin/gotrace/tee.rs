//! `gotrace tee`: one live trace to several places.

use super::follow::{Display, QUEUE, complaint};
use super::live::{self, Live, both};
use super::output::{Failure, Result, is_stdin, name, note, report};
use super::pulse::{self, WatchError};
use super::record::{Feed, note_damage};
use super::signals;
use super::snapshots::Snapshots;
use gotrace::analysis::live::Pulse;
use gotrace::mux::{
    Callback, EndReason, LiveError, QueueConfig, Signal, Subscription, TraceMultiplexer,
    TraceWriter,
};
use gotrace::recorder::SharedRecorder;
use gotrace::source::StreamSource;
use indicatif::ProgressDrawTarget;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Copy a live trace to files while it is recorded and watched.
///
/// Every copy is a trace of complete generations, wherever the input ends; the one that was being
/// written then is left out. A copy that cannot be written any more is reported, and harms no other.
/// A slow one slows down all of them, since they are to be complete; the status does not.
#[derive(clap::Args)]
#[command(after_help = super::help::page(&format!("\
{}

Examples:
  curl -sN 'http://localhost:6060/debug/pprof/trace?seconds=60' | gotrace tee - --out app.trace --stat
  gotrace tee unix-listen:/run/app.sock --out all.trace --out - --record 'last-{{number}}.trace' | next",
Live::HELP)))]
#[command(group(clap::ArgGroup::new("where").required(true).multiple(true)))]
pub struct Args {
    /// Write a copy to this file; "-" is the standard output
    #[arg(long, value_name = "FILE", group = "where", num_args = 1..)]
    out: Vec<PathBuf>,

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
    Opened(Result<StreamSource<File>>),
    Snapshot,
    Stop,
    Pulse(Box<Pulse>),
    /// There are no more of them; the error says why, if that is not the end.
    Watched(std::result::Result<(), WatchError>),
    /// What is wrong with the trace, which is recorded nevertheless.
    Damaged(gotrace::Error),
    Ended(EndReason),
}

pub fn run(args: Args) -> Result {
    let live::Input { idle, input } = &args.input;
    let copies = args.out.iter().map(|path| Copy::open(path, input));
    let mut tee = Tee {
        copies: copies.collect::<Result<_>>()?,
        recorder: args.record.as_deref().map(|pattern| Recording {
            recorder: Arc::new(SharedRecorder::new(args.window.config())),
            snapshots: Snapshots::new(pattern),
            subscription: None,
            failed: false,
        }),
        stat: args.stat,
        input: input.name(),
        failed: false,
    };
    let (sender, messages) = channel();
    signals::listen(&sender, || Message::Snapshot, || Message::Stop)?;
    input.open_aside(*idle, &sender, Message::Opened)?;
    let result = tee.run(&sender, &messages);
    let result = both(result, tee.finish(&messages));
    match tee.failed {
        true => result.and(Err(Failure::Reported)),
        false => result,
    }
}

/// A file that gets all of the trace.
struct Copy {
    path: PathBuf,
    writer: Option<TraceWriter<File>>,
    subscription: Option<Subscription<TraceWriter<File>>>,
}

impl Copy {
    fn open(path: &Path, input: &Live) -> Result<Copy> {
        let failed = |e: io::Error| Failure::file(path, e);
        if !is_stdin(path) && input.is_file(path) {
            let error = io::Error::other("a copy cannot take the place of the input");
            return Err(failed(error));
        }
        let file = if is_stdin(path) {
            io::stdout().as_fd().try_clone_to_owned().map(File::from)
        } else {
            File::create(path)
        };
        let file = file.map_err(failed)?;
        // Nothing can be taken back from a pipe; nor from what somebody else appends to.
        let whole = !file.metadata().map_err(failed)?.is_file() || is_stdin(path);
        Ok(Copy {
            path: path.to_owned(),
            writer: Some(match whole {
                true => TraceWriter::new(file),
                false => TraceWriter::at_once(file),
            }),
            subscription: None,
        })
    }

    /// As people name it.
    fn name(&self) -> String {
        match is_stdin(&self.path) {
            true => "standard output".to_owned(),
            false => name(&self.path),
        }
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
    recorder: Arc<SharedRecorder>,
    snapshots: Snapshots,
    subscription: Option<Subscription<Feed<Vec<u8>>>>,
    /// It records no more, which was reported; what it has is kept.
    failed: bool,
}

impl Recording {
    const NAME: &str = "the recorder";

    fn start(&mut self, mux: &TraceMultiplexer, sender: &Sender<Message>) -> Result {
        let sender = sender.clone();
        let feed = Feed {
            recorder: Arc::clone(&self.recorder),
            recorded: Arc::default(),
            tell: Some(Box::new(move |error| {
                sender.send(Message::Damaged(error)).ok();
            })),
        };
        self.recorder.start().map_err(|error| Failure::File {
            name: Self::NAME.to_owned(),
            error: error.to_string(),
            offset: None,
        })?;
        self.subscription = Some(mux.subscribe(feed, QueueConfig::default())?);
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
                if self.is_over(display) {
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
                Message::Opened(source) => mux = Some(self.feed(source?, sender)?),
                Message::Pulse(pulse) if in_place => display.show(*pulse),
                Message::Pulse(pulse) => note(pulse::line(&pulse)),
                Message::Snapshot => display.aside(|| self.snapshot()),
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
                            display.aside(|| note(format_args!("status: {error}")));
                            (self.stat, self.failed) = (false, true);
                        }
                    }
                }
                Message::Damaged(error) => display.aside(|| note_damage(&self.input, error)),
                // What was read is shown before that.
                Message::Ended(reason) => end = Some(reason),
            }
        }
    }

    /// Subscribes everyone, from the first generation on.
    fn feed(
        &mut self,
        source: StreamSource<File>,
        sender: &Sender<Message>,
    ) -> Result<TraceMultiplexer> {
        let mux = TraceMultiplexer::new(source)?;
        let hold = mux.hold();
        for copy in &mut self.copies {
            if let Some(writer) = copy.writer.take() {
                copy.subscription = Some(mux.subscribe(writer, QueueConfig::default())?);
            }
        }
        if let Some(recording) = &mut self.recorder {
            recording.start(&mux, sender)?;
        }
        if self.stat {
            pulse::spawn(mux.events(QUEUE), sender, Message::Pulse, Message::Watched)?;
        }
        let witness = mux.subscribe(Callback(|_: &Signal| Ok(())), QueueConfig::default())?;
        let sender = sender.clone();
        signals::spawn("witness", move || {
            sender.send(Message::Ended(witness.wait().end)).ok();
        })?;
        drop(hold);
        Ok(mux)
    }

    /// Reports copies that failed, and the recorder if it did; says whether nobody is left.
    fn is_over(&mut self, display: &Display) -> bool {
        self.copies.retain(|copy| {
            let end = copy.subscription.as_ref().and_then(Subscription::end);
            let failure = end.and_then(|end| failure(copy.name(), end));
            if let Some(failure) = &failure {
                display.aside(|| report(failure));
                self.failed = true;
            }
            failure.is_none()
        });
        if let Some(recording) = &mut self.recorder {
            let end = recording.subscription.as_ref().and_then(Subscription::end);
            if let Some(failure) = recording.failure(end) {
                display.aside(|| report(&failure));
                self.failed = true;
            }
        }
        let records = self.recorder.as_ref().is_some_and(|r| !r.failed);
        self.failed && self.copies.is_empty() && !records && !self.stat
    }

    fn snapshot(&mut self) {
        match &self.recorder {
            None => note("nothing is recorded without --record: no snapshot"),
            // A full disk now is no reason to give up what comes later.
            Some(recording) => {
                if let Err(failure) = recording.snapshots.take(&recording.recorder) {
                    report(&failure);
                    self.failed = true;
                }
            }
        }
    }

    /// Waits for the copies and the recorder, and writes the last snapshot.
    fn finish(&mut self, messages: &Receiver<Message>) -> Result {
        for copy in &mut self.copies {
            if let Some(subscription) = copy.subscription.take() {
                let outcome = subscription.wait();
                if let Some(failure) = failure(copy.name(), outcome.end) {
                    self.failed = true;
                    report(&failure);
                }
            }
        }
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
        for message in messages.try_iter() {
            if let Message::Damaged(error) = message {
                note_damage(&self.input, error);
            }
        }
        recording.snapshots.take(&recording.recorder).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_recorder_that_fails_is_noticed() {
        let recorder = Arc::new(SharedRecorder::new(Default::default()));
        let mut tee = Tee {
            copies: Vec::new(),
            recorder: Some(Recording {
                recorder: Arc::clone(&recorder),
                snapshots: Snapshots::new("none"),
                subscription: None,
                failed: false,
            }),
            stat: false,
            input: "the input".to_owned(),
            failed: false,
        };
        let (sender, messages) = channel();
        let (mut input, read) = UnixStream::pair().unwrap();
        let source = StreamSource::polled(File::from(OwnedFd::from(read))).unwrap();
        let mux = tee.feed(source, &sender).unwrap();
        let display = Display::new(None);
        assert!(!tee.is_over(&display));
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
