//! `gotrace record`: the last seconds of a live trace, kept until someone wants them.

use crate::live::{self, Live};
use crate::output::{Failure, Result, name, note};
use crate::recover::write;
use crate::signals;
use crate::snapshots::{Snapshots, losses};
use gotrace::mmap::MappedArena;
use gotrace::mux::{Callback, EndReason, QueueConfig, Signal, Subscription, TraceMultiplexer};
use gotrace::recorder::{
    ArenaError, FlightRecorder, FlightRecorderConfig, Recovered, SharedError, SharedRecorder,
    Status, arena_size_for,
};
use gotrace::source::StreamSource;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Keep the last seconds of a live trace, and write them when asked to.
///
/// A snapshot of the window is written on SIGUSR1, when the input ends, and on SIGINT or SIGTERM
/// before leaving. It holds the newest complete generations: a generation is about a second of the
/// traced program, less with GODEBUG=traceadvanceperiod=100000000 (in nanoseconds) in its
/// environment. If the input breaks in the middle of a generation, because the program died, what
/// there is of it is written too, with ".incomplete" at the end of the name.
///
/// Memory is fixed: twice --max-bytes and a little, so that no generation of up to --max-bytes is
/// lost. While a snapshot is written, there is a copy of the window as well.
#[derive(clap::Args)]
#[command(after_help = format!("\
{}

Examples:
  curl -sN 'http://localhost:6060/debug/pprof/trace?seconds=86400' | gotrace record - &
  kill -USR1 $!
  gotrace record --arena /var/tmp/app.arena --out 'app-{{time}}.trace' unix-listen:/run/app.sock",
Live::HELP))]
pub struct Args {
    /// Bytes up to which generations are kept, whatever their age
    #[arg(long, value_name = "SIZE", default_value = "10MiB", value_parser = live::size)]
    max_bytes: usize,

    /// Age up to which generations are kept, if --max-bytes allows
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = live::duration)]
    min_age: Duration,

    /// Keep the window in this file, mapped into memory: should this process be killed, "gotrace
    /// recover" finds it there
    ///
    /// What a killed process left there is written first: the window as a snapshot, and the generation
    /// that was being recorded with ".incomplete" at the end of the name.
    #[arg(long, value_name = "FILE")]
    arena: Option<PathBuf>,

    /// Name of the snapshots; {number} stands for a number that is not in use, {time} for the time in
    /// UTC. Without {number}, a number is added to a name that is in use
    #[arg(long, value_name = "NAME", default_value = "snapshot-{number}.trace")]
    out: String,

    /// Take a file to be complete when nothing was added to it for so long
    #[arg(long, value_name = "TIME", value_parser = live::duration)]
    idle: Option<Duration>,

    /// Where the trace comes from
    #[arg(value_name = "INPUT", value_parser = Live::parse)]
    input: Live,
}

type Shared = Arc<SharedRecorder<Memory>>;

/// An arena on the heap, or in a file.
enum Memory {
    Heap(Vec<u8>),
    Mapped(MappedArena),
}

impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        match self {
            Memory::Heap(bytes) => bytes,
            Memory::Mapped(map) => map.as_ref(),
        }
    }
}

impl AsMut<[u8]> for Memory {
    fn as_mut(&mut self) -> &mut [u8] {
        match self {
            Memory::Heap(bytes) => bytes,
            Memory::Mapped(map) => map.as_mut(),
        }
    }
}

/// What this waits for.
enum Message {
    Opened(Result<StreamSource<File>>),
    Snapshot,
    Stop,
    Ended(EndReason),
}

pub fn run(args: Args) -> Result {
    let config = FlightRecorderConfig {
        min_age: args.min_age,
        max_bytes: args.max_bytes,
    };
    let snapshots = Snapshots::new(&args.out);
    let recorder = start(&args, config, &snapshots)?;
    let (sender, messages) = channel();
    signals::listen(&sender, || Message::Snapshot, || Message::Stop)?;
    args.input.open_aside(args.idle, &sender, Message::Opened)?;
    let mut session = Session {
        recorder,
        snapshots,
        sender,
        recorded: Arc::default(),
        live: None,
    };
    let result = session.run(&messages, &args.input);
    session.leave();
    let mut written = session.snapshot();
    if result.is_err() {
        written = written.and(session.incomplete());
    }
    if written.is_ok() {
        // This is no crash: the next start need not save what is in the arena.
        session.recorder.with(FlightRecorder::restart).ok();
    }
    session.recorder.stop();
    result.and(written)
}

/// The recorder, started; what a killed one left in its arena is saved before.
fn start(args: &Args, config: FlightRecorderConfig, snapshots: &Snapshots) -> Result<Shared> {
    let len = arena_size_for(config.max_bytes);
    let mut arena = Some(match &args.arena {
        None => Memory::Heap(vec![0; len]),
        Some(path) => {
            let open = |len| MappedArena::open(path, len).map_err(|e| Failure::file(path, e));
            // As it is, before it is made longer: it may be no arena.
            save(path, open(0)?.as_ref(), snapshots)?;
            Memory::Mapped(open(len)?)
        }
    });
    let open = move |config| {
        let arena = arena.take().ok_or(SharedError::AlreadyStarted)?;
        Ok(FlightRecorder::new(arena, config)?)
    };
    let recorder = SharedRecorder::with_arena(config, open);
    let name = args.arena.as_deref().map_or("memory".to_owned(), name);
    recorder.start().map_err(|e| Failure::File {
        name,
        error: e.to_string(),
        offset: None,
    })?;
    Ok(Arc::new(recorder))
}

/// Writes what a killed recorder left, and refuses a file that is something else.
fn save(path: &Path, arena: &[u8], snapshots: &Snapshots) -> Result {
    let recovered = match FlightRecorder::recover(arena) {
        Ok(recovered) => recovered,
        // New, or made long enough by someone.
        Err(ArenaError::NotAnArena) if arena.iter().all(|byte| *byte == 0) => return Ok(()),
        Err(error @ (ArenaError::NotAnArena | ArenaError::UnknownLayout { .. })) => {
            let error = format!("{error}: it stays as it is");
            return Err(Failure::file(path, error));
        }
        Err(error) => {
            note(format_args!("{}: {error}, it is made anew", name(path)));
            return Ok(());
        }
    };
    if !recovered.was_recording() {
        return Ok(());
    }
    let snapshot = recovered.snapshot();
    if !snapshot.is_empty() {
        let (file, bytes) = snapshots.write(|file| snapshot.write_to(file))?;
        note(format_args!(
            "{}: what a killed recorder left, {bytes} bytes, is in {}",
            name(path),
            name(&file)
        ));
    }
    save_incomplete(&recovered, snapshots)
}

fn save_incomplete(recovered: &Recovered<'_>, snapshots: &Snapshots) -> Result {
    if let Some(incomplete) = recovered.in_progress() {
        let (file, bytes) = snapshots
            .incomplete()
            .write(|file| write(&incomplete, file))?;
        note(format_args!(
            "{}: {bytes} bytes of generation {}, which is not complete",
            name(&file),
            incomplete.number
        ));
    }
    Ok(())
}

/// A recording.
struct Session {
    recorder: Shared,
    snapshots: Snapshots,
    sender: Sender<Message>,
    /// Bytes of batches so far.
    recorded: Arc<AtomicU64>,
    live: Option<(TraceMultiplexer, Subscription<Feed>)>,
}

type Feed = Callback<Box<dyn FnMut(&Signal) -> std::result::Result<(), Error> + Send>>;
type Error = gotrace::mux::SubscriberError;

impl Session {
    /// Until the input ends, or a signal asks to leave.
    fn run(&mut self, messages: &Receiver<Message>, input: &Live) -> Result {
        let mut line = StatusLine::new();
        loop {
            let message = match line.wait() {
                Some(time) => match messages.recv_timeout(time) {
                    Err(RecvTimeoutError::Timeout) => {
                        let bytes = self.recorded.load(Ordering::Relaxed);
                        if let Ok(status) = self.recorder.status() {
                            line.show(bytes, &status);
                        }
                        continue;
                    }
                    Ok(message) => message,
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                },
                None => match messages.recv() {
                    Ok(message) => message,
                    Err(_) => return Ok(()),
                },
            };
            line.clear();
            match message {
                Message::Opened(source) => self.follow(source?)?,
                // A full disk now is no reason to give up what is recorded later.
                Message::Snapshot => {
                    if let Err(failure) = self.snapshot() {
                        crate::output::report(&failure);
                    }
                }
                Message::Stop | Message::Ended(EndReason::Finished) => return Ok(()),
                Message::Ended(reason) => {
                    return Err(Failure::File {
                        name: input.name(),
                        error: reason.to_string(),
                        offset: None,
                    });
                }
            }
        }
    }

    fn follow(&mut self, source: StreamSource<File>) -> Result {
        let recorder = Arc::clone(&self.recorder);
        let recorded = Arc::clone(&self.recorded);
        let sender = self.sender.clone();
        let feed: Feed = Callback(Box::new(move |signal| {
            match signal {
                Signal::Header(version) => {
                    recorder.with(|r| {
                        r.restart();
                        r.write(version.header())
                    })??;
                }
                Signal::Batches(batches) => {
                    recorder.write(batches.as_bytes())?;
                    recorded.fetch_add(batches.as_bytes().len() as u64, Ordering::Relaxed);
                }
                Signal::EndOfGeneration(_) => recorder.with(|r| r.end_generation())??,
                Signal::Lost(_) => {}
                Signal::EndOfTrace(reason) => {
                    sender.send(Message::Ended(reason.clone())).ok();
                }
            }
            Ok(())
        }));
        let mux = TraceMultiplexer::new(source)?;
        let subscription = mux.subscribe(feed, QueueConfig::default())?;
        self.live = Some((mux, subscription));
        Ok(())
    }

    /// Ends the reading; what was read is recorded.
    fn leave(&mut self) {
        if let Some((mux, subscription)) = self.live.take() {
            drop(mux);
            subscription.wait();
        }
    }

    fn snapshot(&self) -> Result {
        self.snapshots.take(&self.recorder)
    }

    /// Writes what there is of the generation in the middle of which the input broke: it may say why.
    fn incomplete(&self) -> Result {
        let saved = self.recorder.with(|recorder| {
            FlightRecorder::recover(recorder.arena()).map_or(Ok(()), |recovered| {
                save_incomplete(&recovered, &self.snapshots)
            })
        });
        saved.unwrap_or(Ok(()))
    }
}

/// One line on a terminal: rate, window, losses.
struct StatusLine {
    bar: Option<ProgressBar>,
    before: (Instant, u64),
}

impl StatusLine {
    const REFRESH: Duration = Duration::from_millis(500);

    fn new() -> StatusLine {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            bar
        });
        StatusLine {
            bar,
            before: (Instant::now(), 0),
        }
    }

    /// How long until it is to be shown; forever if nobody looks.
    fn wait(&self) -> Option<Duration> {
        self.bar.as_ref()?;
        Some(Self::REFRESH.saturating_sub(self.before.0.elapsed()))
    }

    fn show(&mut self, bytes: u64, status: &Status) {
        let Some(bar) = &self.bar else { return };
        let (then, before) = std::mem::replace(&mut self.before, (Instant::now(), bytes));
        let rate = bytes.saturating_sub(before) as f64 / then.elapsed().as_secs_f64();
        bar.set_message(format!("{:.1} MB/s, {}", rate / 1e6, describe(status)));
        bar.tick();
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.set_message("");
            bar.tick();
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn describe(status: &Status) -> String {
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut text = format!(
        "window {} generations, {:.1} MiB",
        status.window.generations,
        mebibytes(status.window.bytes)
    );
    if let Some(span) = status.span() {
        text += &format!(", {:.1} s", span.as_secs_f64());
    }
    text += &format!(", largest generation {:.1} MiB", mebibytes(status.largest));
    text += &losses(status);
    text
}
