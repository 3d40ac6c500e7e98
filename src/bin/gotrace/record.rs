//! `gotrace record`: the last seconds of a live trace, kept until someone wants them.

use super::live::{self, Live, both};
use super::output::{Failure, Result, name, note};
use super::recover::write;
use super::signals;
use super::snapshots::{Snapshots, losses};
use gotrace::mmap::MappedArena;
use gotrace::mux::{EndReason, QueueConfig, Subscriber, SubscriberError, TraceMultiplexer};
use gotrace::recorder::{
    ArenaError, Damage, FlightRecorder, FlightRecorderConfig, Recovered, SharedError,
    SharedRecorder, Status, arena_size_for,
};
use gotrace::source::{SharedBatches, StreamSource};
use gotrace::wire::Version;
use gotrace::{ErrorKind, ids::GenerationId};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
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
#[command(after_help = super::help::page(&format!("\
{}

Examples:
  curl -sN 'http://localhost:6060/debug/pprof/trace?seconds=86400' | gotrace record - &
  kill -USR1 $!
  gotrace record --arena /var/tmp/app.arena --out 'app-{{time}}.trace' unix-listen:/run/app.sock",
Live::HELP)))]
pub struct Args {
    #[command(flatten)]
    window: live::Window,

    /// Keep the window in this file, mapped into memory: should this process be killed, "gotrace
    /// recover" finds it there
    ///
    /// What a killed process left there is written first: the window as a snapshot, or several if a
    /// generation in it is damaged, and the generation that was being recorded with ".incomplete" at
    /// the end of the name.
    #[arg(long, value_name = "FILE")]
    arena: Option<PathBuf>,

    /// Name of the snapshots; {number} becomes a number that is not in use, {time} the time in UTC.
    /// Without {number}, a number is added to a name that is in use
    #[arg(long, value_name = "NAME", default_value = "snapshot-{number}.trace")]
    out: String,

    #[command(flatten)]
    input: live::Input,
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
    /// What is wrong with the trace, which is recorded nevertheless.
    Damaged(gotrace::Error),
    /// Nothing more is recorded.
    Ended(EndReason),
}

pub fn run(args: Args) -> Result {
    let config = args.window.config();
    let live::Input { idle, input } = &args.input;
    let snapshots = Snapshots::new(&args.out);
    let recorder = start(&args, config, &snapshots)?;
    let (sender, messages) = channel();
    signals::listen(&sender, || Message::Snapshot, || Message::Stop)?;
    input.open_aside(*idle, &sender, Message::Opened)?;
    let mut session = Session {
        recorder,
        snapshots,
        sender,
        input: input.name(),
        recorded: Arc::default(),
        live: None,
    };
    let result = session.run(&messages);
    session.leave(&messages);
    let snapshot = session.snapshot();
    let file = snapshot.as_ref().ok().and_then(Option::as_deref);
    let mut written = match &result {
        Ok(()) => Ok(()),
        Err(_) => session.incomplete(file),
    };
    written = both(snapshot.map(drop), written);
    if written.is_ok() {
        // This is no crash: the next start need not save what is in the arena.
        session.recorder.with(FlightRecorder::restart).ok();
    }
    session.recorder.stop();
    both(result, written)
}

/// The recorder, started; what a killed one left in its arena is saved before.
fn start(args: &Args, config: FlightRecorderConfig, snapshots: &Snapshots) -> Result<Shared> {
    let len = arena_size_for(config.max_bytes);
    let mut arena = Some(match &args.arena {
        None => Memory::Heap(vec![0; len]),
        Some(path) => {
            // SAFETY: the file is this recorder's own, and its lock keeps other recorders away.
            #[allow(unsafe_code)]
            let open =
                |len| unsafe { MappedArena::open(path, len) }.map_err(|e| Failure::file(path, e));
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
    for damage in recovered.damage() {
        // That is what a kill amid a store leaves, with nothing lost.
        if damage != Damage::State {
            note(format_args!("{}: {damage}", name(path)));
        }
    }
    let mut last = None;
    for snapshot in recovered.snapshots() {
        let (file, bytes) = snapshots.write(|file| snapshot.write_to(file))?;
        note(format_args!(
            "{}: what a killed recorder left, {bytes} bytes, is in {}",
            name(path),
            name(&file)
        ));
        last = Some(file);
    }
    save_incomplete(&recovered, snapshots, last.as_deref())
}

/// Writes the generation in progress, which comes after this snapshot.
fn save_incomplete(
    recovered: &Recovered<'_>,
    snapshots: &Snapshots,
    snapshot: Option<&Path>,
) -> Result {
    if let Some(incomplete) = recovered.in_progress() {
        let (file, bytes) =
            snapshots.write_incomplete(snapshot, |file| write(&incomplete, file))?;
        note(format_args!(
            "{}: {bytes} bytes of generation {}, which is not complete",
            name(&file),
            incomplete.number
        ));
    }
    Ok(())
}

/// Feeds a recorder, and tells of the first thing that is wrong with the trace: what there is of
/// them costs the generations that [`losses`] counts, and no other.
pub struct Feed<A> {
    pub recorder: Arc<SharedRecorder<A>>,
    /// Bytes of batches so far.
    pub recorded: Arc<AtomicU64>,
    pub tell: Option<Tell>,
}

pub type Tell = Box<dyn FnOnce(gotrace::Error) + Send>;

impl<A: AsRef<[u8]> + AsMut<[u8]> + Send> Subscriber for Feed<A> {
    fn header(&mut self, version: Version) -> std::result::Result<(), SubscriberError> {
        Ok(self.recorder.with(|r| r.header(version.header()))??)
    }

    fn batches(&mut self, batches: &SharedBatches) -> std::result::Result<(), SubscriberError> {
        match self.recorder.with(|r| r.record(batches))? {
            Err(error) if error.kind() == ErrorKind::NoHeader => return Err(error.into()),
            Err(error) => {
                if let Some(tell) = self.tell.take() {
                    tell(error);
                }
            }
            Ok(()) => {}
        }
        let bytes = batches.len() as u64;
        self.recorded.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn end_of_generation(&mut self, _: GenerationId) -> std::result::Result<(), SubscriberError> {
        Ok(self.recorder.with(|r| r.end_generation())??)
    }
}

/// Prints what a [`Feed`] told, about the input of this name.
pub fn note_damage(input: &str, error: gotrace::Error) {
    note(format_args!(
        "{input}: {error}: what this is part of is lost, recording goes on"
    ));
}

/// A recording.
struct Session {
    recorder: Shared,
    snapshots: Snapshots,
    sender: Sender<Message>,
    /// The input's name.
    input: String,
    /// Bytes of batches so far.
    recorded: Arc<AtomicU64>,
    /// The reading, and the thread that waits for its end.
    live: Option<(TraceMultiplexer, JoinHandle<()>)>,
}

impl Session {
    /// Until the input ends, or a signal asks to leave.
    fn run(&mut self, messages: &Receiver<Message>) -> Result {
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
                        super::output::report(&failure);
                    }
                }
                Message::Damaged(error) => note_damage(&self.input, error),
                Message::Stop | Message::Ended(EndReason::Finished) => return Ok(()),
                Message::Ended(reason) => {
                    return Err(Failure::end(&self.input, &reason));
                }
            }
        }
    }

    fn follow(&mut self, source: StreamSource<File>) -> Result {
        let sender = self.sender.clone();
        let feed = Feed {
            recorder: Arc::clone(&self.recorder),
            recorded: Arc::clone(&self.recorded),
            tell: Some(Box::new(move |error| {
                sender.send(Message::Damaged(error)).ok();
            })),
        };
        let mux = TraceMultiplexer::new(source)?;
        let subscription = mux.subscribe(feed, QueueConfig::default())?;
        let sender = self.sender.clone();
        // However it ends: the recorder may fail as well as the input.
        let end = thread::Builder::new()
            .name("end".to_owned())
            .spawn(move || {
                sender.send(Message::Ended(subscription.wait().end)).ok();
            })?;
        self.live = Some((mux, end));
        Ok(())
    }

    /// Ends the reading; what was read is recorded.
    fn leave(&mut self, messages: &Receiver<Message>) {
        if let Some((mux, end)) = self.live.take() {
            drop(mux);
            // It does not panic.
            end.join().ok();
        }
        for message in messages.try_iter() {
            if let Message::Damaged(error) = message {
                note_damage(&self.input, error);
            }
        }
    }

    fn snapshot(&self) -> Result<Option<PathBuf>> {
        self.snapshots.take(&self.recorder)
    }

    /// Writes what there is of the generation in the middle of which the input broke: it may say why.
    /// It comes after this snapshot.
    fn incomplete(&self, snapshot: Option<&Path>) -> Result {
        let saved = self.recorder.with(|recorder| {
            FlightRecorder::recover(recorder.arena()).map_or(Ok(()), |recovered| {
                save_incomplete(&recovered, &self.snapshots, snapshot)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    /// The input goes on then, and nobody would notice.
    #[test]
    fn a_recorder_that_fails_ends_the_recording() {
        let config = FlightRecorderConfig::default();
        let recorder = SharedRecorder::with_arena(config, |config| {
            let arena = Memory::Heap(vec![0; arena_size_for(0)]);
            Ok(FlightRecorder::new(arena, config)?)
        });
        let (sender, messages) = channel();
        let mut session = Session {
            recorder: Arc::new(recorder),
            snapshots: Snapshots::new("none"),
            sender,
            input: "the input".to_owned(),
            recorded: Arc::default(),
            live: None,
        };
        let (mut input, read) = UnixStream::pair().unwrap();
        let source = StreamSource::polled(File::from(OwnedFd::from(read))).unwrap();
        // It was not started.
        session.follow(source).unwrap();
        let trace = include_bytes!("../../../tests/fixtures/gc-go1.22.trace");
        input.write_all(&trace[..5000]).unwrap();
        let failure = session.run(&messages).unwrap_err();
        session.leave(&messages);
        let failure = failure.to_string();
        assert!(failure.contains("the input: "), "{failure}");
        assert!(failure.contains("is not started"), "{failure}");
    }
}
