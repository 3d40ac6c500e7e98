//! `gotrace tee`: one live trace to several places.

use crate::follow::{Display, QUEUE, complaint};
use crate::live::{self, Live};
use crate::output::{self, Failure, Result, is_stdin, name, note, report};
use crate::pulse::{self, Pulse};
use crate::signals;
use crate::snapshots::Snapshots;
use gotrace::mux::{
    Callback, EndReason, LiveError, QueueConfig, Signal, SubscriberError, Subscription,
    TraceMultiplexer, TraceWriter,
};
use gotrace::recorder::{FlightRecorderConfig, SharedRecorder};
use gotrace::source::StreamSource;
use indicatif::ProgressDrawTarget;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Copy a live trace to files while it is recorded and watched.
///
/// Every copy is a trace of complete generations, wherever the input ends; the one that was being
/// written then is left out. A copy that cannot be written any more is reported, and harms no other.
/// A slow one slows down all of them, since they are to be complete; the status does not.
#[derive(clap::Args)]
#[command(after_help = format!("\
{}

Examples:
  curl -sN 'http://localhost:6060/debug/pprof/trace?seconds=60' | gotrace tee - --out app.trace --stat
  gotrace tee unix-listen:/run/app.sock --out all.trace --out - --record 'last-{{number}}.trace' | next",
Live::HELP))]
#[command(group(clap::ArgGroup::new("where").required(true).multiple(true)))]
pub struct Args {
    /// Write a copy to this file; "-" is the standard output
    #[arg(long, value_name = "FILE", group = "where", num_args = 1..)]
    out: Vec<PathBuf>,

    /// Keep the last seconds, and write them to this file on SIGUSR1 and at the end; {number} stands for
    /// a number that is not in use, {time} for the time in UTC
    #[arg(long, value_name = "NAME", group = "where")]
    record: Option<String>,

    /// Bytes up to which --record keeps generations, whatever their age
    #[arg(long, value_name = "SIZE", default_value = "10MiB", value_parser = live::size)]
    max_bytes: usize,

    /// Age up to which --record keeps generations, if --max-bytes allows
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = live::duration)]
    min_age: Duration,

    /// Show on standard error how the program is doing: events a second by kind, goroutines, heap,
    /// garbage collection
    #[arg(long, group = "where")]
    stat: bool,

    /// Take a file to be complete when nothing was added to it for so long
    #[arg(long, value_name = "TIME", value_parser = live::duration)]
    idle: Option<Duration>,

    /// Where the trace comes from
    #[arg(value_name = "INPUT", value_parser = Live::parse)]
    input: Live,
}

enum Message {
    Opened(Result<StreamSource<File>>),
    Snapshot,
    Stop,
    Pulse(Box<Pulse>),
    /// There are no more of them; the error says why, if that is not the end.
    Watched(std::result::Result<(), LiveError>),
    Ended(EndReason),
}

pub fn run(args: Args) -> Result {
    let copies = args.out.iter().map(|path| Copy::open(path, &args.input));
    let mut tee = Tee {
        copies: copies.collect::<Result<_>>()?,
        recorder: args.record.as_deref().map(|pattern| {
            let config = FlightRecorderConfig {
                min_age: args.min_age,
                max_bytes: args.max_bytes,
            };
            Recording {
                recorder: Arc::new(SharedRecorder::new(config)),
                snapshots: Snapshots::new(pattern),
                subscription: None,
            }
        }),
        stat: args.stat,
        failed: false,
    };
    let (sender, messages) = channel();
    signals::listen(&sender, || Message::Snapshot, || Message::Stop)?;
    args.input.open_aside(args.idle, &sender, Message::Opened)?;
    let result = tee.run(&sender, &messages, &args.input);
    let result = result.and(tee.finish());
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

    /// Why it failed, if it did.
    fn failure(&self, end: EndReason) -> Option<Failure> {
        let error = match end {
            EndReason::Failed(error) => error.to_string(),
            EndReason::Panicked(message) => message,
            _ => return None,
        };
        Some(Failure::File {
            name: self.name(),
            error,
            offset: None,
        })
    }
}

type Witness = Callback<Box<dyn FnMut(&Signal) -> std::result::Result<(), SubscriberError> + Send>>;

/// The last seconds, for snapshots.
struct Recording {
    recorder: Arc<SharedRecorder>,
    snapshots: Snapshots,
    subscription: Option<Subscription<Arc<SharedRecorder>>>,
}

struct Tee {
    copies: Vec<Copy>,
    recorder: Option<Recording>,
    stat: bool,
    /// Something went wrong that was reported.
    failed: bool,
}

impl Tee {
    /// How often it is looked whether a copy failed.
    const LOOK: Duration = Duration::from_millis(200);

    fn run(
        &mut self,
        sender: &Sender<Message>,
        messages: &Receiver<Message>,
        input: &Live,
    ) -> Result {
        let in_place = self.stat && io::stderr().is_terminal();
        let mut display = Display::new(in_place.then(ProgressDrawTarget::stderr));
        let result = self.serve(sender, messages, input, in_place, &mut display);
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
        input: &Live,
        in_place: bool,
        display: &mut Display,
    ) -> Result {
        let mut mux = None;
        let (mut is_watched, mut end) = (self.stat, None);
        loop {
            if let Some(reason) = end.take_if(|_| !is_watched) {
                return complaint(&reason).map_or(Ok(()), |error| {
                    Err(Failure::File {
                        name: input.name(),
                        error,
                        offset: None,
                    })
                });
            }
            let message = match messages.recv_timeout(Self::LOOK) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => {
                    if self.is_over(display) {
                        return Ok(());
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            match message {
                Message::Opened(source) => mux = Some(self.feed(source?, sender)?),
                Message::Pulse(pulse) if in_place => display.show(*pulse),
                Message::Pulse(pulse) => note(pulse.line()),
                Message::Snapshot => display.aside(|| self.snapshot()),
                Message::Stop => {
                    drop(mux);
                    return Ok(());
                }
                Message::Watched(told) => {
                    is_watched = false;
                    // That the input broke is told by the others, too.
                    if let Err(LiveError::Trace(error)) = told {
                        display.aside(|| note(format_args!("status: {error}")));
                        (self.stat, self.failed) = (false, true);
                    }
                }
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
            let subscription = mux.record(&recording.recorder).map_err(io::Error::other)?;
            recording.subscription = Some(subscription);
        }
        if self.stat {
            let (events, sender) = (mux.events(QUEUE), sender.clone());
            signals::spawn("status", move || {
                let told = pulse::watch(events, |pulse| {
                    sender.send(Message::Pulse(Box::new(pulse))).ok();
                });
                sender.send(Message::Watched(told)).ok();
            })?;
        }
        let sender = sender.clone();
        let witness: Witness = Callback(Box::new(move |signal| {
            if let Signal::EndOfTrace(reason) = signal {
                sender.send(Message::Ended(reason.clone())).ok();
            }
            Ok(())
        }));
        let witness = mux.subscribe(witness, QueueConfig::default())?;
        signals::spawn("witness", move || drop(witness.wait()))?;
        drop(hold);
        Ok(mux)
    }

    /// Reports copies that failed; says whether nobody is left.
    fn is_over(&mut self, display: &Display) -> bool {
        self.copies.retain(|copy| {
            let end = copy.subscription.as_ref().and_then(Subscription::end);
            let failure = end.and_then(|end| copy.failure(end));
            if let Some(failure) = &failure {
                display.aside(|| report(failure));
                self.failed = true;
            }
            failure.is_none()
        });
        self.failed && self.copies.is_empty() && self.recorder.is_none() && !self.stat
    }

    fn snapshot(&mut self) {
        match &self.recorder {
            None => note("nothing is recorded without --record: no snapshot"),
            // A full disk now is no reason to give up what comes later.
            Some(recording) => {
                if let Err(failure) = recording.snapshots.take(&recording.recorder) {
                    output::report(&failure);
                    self.failed = true;
                }
            }
        }
    }

    /// Waits for the copies and the recorder, and writes the last snapshot.
    fn finish(&mut self) -> Result {
        for copy in &mut self.copies {
            if let Some(subscription) = copy.subscription.take() {
                let outcome = subscription.wait();
                if let Some(failure) = copy.failure(outcome.end) {
                    self.failed = true;
                    report(&failure);
                }
            }
        }
        let Some(recording) = &mut self.recorder else {
            return Ok(());
        };
        if let Some(subscription) = recording.subscription.take() {
            subscription.wait();
        }
        recording.snapshots.take(&recording.recorder)
    }
}
