//! `gotrace record`: the last seconds of a live trace, kept until someone wants them.

use super::arena::{self, Keeper, Memory};
use super::control::{self, Orders};
use super::feed::{Feed, note_damage};
use super::follow::QUEUE;
use super::live::{self, Live, Source, both};
use super::output::{Failure, Result, name, note};
use super::recover::write;
use super::signals;
use super::snapshots::{Seen, Snapshots};
use super::snapshotter::{self, Request, Snapshotter};
use super::status_line::StatusLine;
use super::trigger::{self, Firing, Keeping, Why};
use gotrace::ids::GenerationId;
use gotrace::mux::{EndReason, LiveError, QueueConfig, TraceMultiplexer};
use gotrace::recorder::{
    ArenaError, Damage, FlightRecorder, FlightRecorderConfig, Incomplete, LossReason, SharedError,
    SharedRecorder, arena_size_for,
};
use gotrace::source::{SourceError, TraceSource};
use gotrace::wire::HEADER_LEN;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Keep the last seconds of a live trace, and write them when asked to.
///
/// A snapshot of the window is written on SIGUSR1, when a trace ends, and on SIGINT, SIGTERM, SIGHUP or
/// SIGQUIT before leaving. It holds the newest complete generations: a generation is about a second of
/// the traced program, less with GODEBUG=traceadvanceperiod=100000000 (in nanoseconds) in its
/// environment. On SIGUSR1 it is written when the generation in progress is complete, 3 seconds later at
/// most, so that it has in it what happened at that moment. If a trace breaks off in the middle of a
/// generation, because the program died, what there is of it is written too, with ".incomplete" at the
/// end of the name.
///
/// Where other traces may follow, this waits for them. The window of the one before is kept until a
/// generation of the new one is complete.
///
/// A snapshot has its name when it is complete and on the disk; a crash of the machine leaves it whole
/// or not at all. What is in the arena survives this process, not the machine.
///
/// Memory is fixed: twice --max-bytes and a little, so that no generation of up to --max-bytes is
/// lost. While a snapshot is written, there is a copy of the window as well; or, where a trace broke off,
/// of the incomplete generation.
///
/// The exit status is 1 if there is no snapshot because everything was lost.
#[derive(clap::Args)]
#[command(after_help = super::help::page(&format!("\
{}

Examples:
  curl -sN 'http://localhost:6060/debug/pprof/trace?seconds=86400' | gotrace record - &
  kill -USR1 $!
  gotrace record --on 'task(\"checkout\") > 300ms' --max-snapshots 20 unix-listen:/run/app.sock
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
    ///
    /// If the file is removed, cut short or written to while it is recorded into, what is still sound in
    /// it is kept, and recording goes on in a new arena or in memory.
    #[arg(long, value_name = "FILE")]
    arena: Option<PathBuf>,

    /// Name of the snapshots; {number} becomes a number that is not in use, {time} the time in UTC.
    /// Without {number}, a number is added to a name that is in use. "-" is the standard output; a pipe
    /// or a device is written as it is, one snapshot behind the other
    #[arg(long, value_name = "NAME", default_value = "snapshot-{number}.trace")]
    out: String,

    #[command(flatten)]
    input: live::Input,

    #[command(flatten)]
    on: trigger::Wanted,
}

type Shared = Arc<SharedRecorder<Memory>>;

/// What this waits for.
enum Message {
    Opened(Result<Box<Source>>),
    Snapshot,
    Stop,
    /// What is wrong with the trace, which is recorded nevertheless.
    Damaged(gotrace::Error),
    /// One trace ended, as it should or for this reason; the input waits for another.
    Restarted(Option<SourceError>),
    /// An event fits a trigger.
    Fired(Box<Firing>),
    /// No events are looked at any more; the error says why, if that is not the end.
    Unwatched(std::result::Result<(), LiveError>),
    /// Nothing more is recorded.
    Ended(EndReason),
}

pub fn run(args: Args) -> Result {
    let config = args.window.config();
    let live::Input { idle, once, input } = &args.input;
    if let Some(arena) = &args.arena
        && input.is_file(arena)
    {
        let error = "the arena cannot take the place of the input";
        return Err(Failure::file(arena, error));
    }
    let (sender, messages) = channel();
    signals::listen(&sender, || Message::Snapshot, || Message::Stop)?;
    let snapshots = Snapshots::new(&args.out, config.max_bytes)?;
    for (what, path) in [("arena", args.arena.as_deref()), ("input", input.path())] {
        if let Some(path) = path.filter(|path| snapshots.is_file(path)) {
            let error = format!("a snapshot cannot take the place of the {what}");
            return Err(Failure::file(path, error));
        }
    }
    let recorder = start(&args, config, &snapshots)?;
    let keep = Arc::new(Keep {
        keeper: Keeper::new(args.arena.as_deref(), &recorder),
        recorder,
        snapshots,
        seen: Arc::default(),
        keeping: Keeping::new(&args.on, &args.out)?,
        failed: AtomicBool::new(false),
    });
    let taking = Arc::clone(&keep);
    let how = snapshotter::Config {
        after: args.on.after.unwrap_or_default(),
        max_overlap: args.on.max_overlap,
    };
    let snapshotter = Snapshotter::start(how, &keep.recorder, &keep.seen, move |why| {
        // A full disk now is no reason to give up what is recorded later.
        taking.try_take(&why)
    })?;
    let _bound = match &args.on.control {
        None => None,
        Some(address) => {
            let (snapshotter, of) = (snapshotter.clone(), Arc::clone(&keep));
            let status = Box::new(move || of.status());
            control::serve(
                address,
                Orders {
                    snapshotter,
                    status,
                },
            )?
        }
    };
    input.open_aside(*idle, *once, &sender, Message::Opened)?;
    let mut session = Session {
        keep: Arc::clone(&keep),
        snapshotter,
        sender,
        on: args.on.clone(),
        input: input.name(),
        live: None,
        watched: false,
    };
    let result = session.run(&messages);
    session.leave(&messages);
    let snapshot = keep.take(&Why::End, true);
    let file = snapshot.as_ref().ok().and_then(Option::as_deref);
    let mut written = match &result {
        Ok(()) => Ok(()),
        Err(_) => keep.incomplete(file),
    };
    written = both(snapshot.map(drop), written);
    if written.is_ok() {
        written = keep.verdict();
        // This is no crash: the next start need not save what is in the arena.
        keep.recorder.with(FlightRecorder::restart).ok();
    }
    keep.recorder.stop();
    keep.keeping.finish(COMMANDS);
    both(result, written)
}

/// How long commands that were begun may take when this leaves.
const COMMANDS: Duration = Duration::from_secs(10);

/// The recorder, started; what a killed one left in its arena is saved before.
fn start(args: &Args, config: FlightRecorderConfig, snapshots: &Snapshots) -> Result<Shared> {
    let len = arena_size_for(config.max_bytes);
    let name = args.arena.as_deref().map_or("memory".to_owned(), name);
    let mut arena = Some(match &args.arena {
        None => Memory::anonymous(len)
            .map_err(|error| Failure::system("memory for the arena", error))?,
        Some(path) => arena::open(path, len, |arena| save(path, arena, snapshots))?,
    });
    let open = move |config| {
        let arena = arena.take().ok_or(SharedError::AlreadyStarted)?;
        Ok(FlightRecorder::new(arena, config)?)
    };
    let recorder = SharedRecorder::with_arena(config, open);
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
    match recovered.in_progress() {
        None => Ok(()),
        Some(incomplete) => {
            save_incomplete(incomplete.number, snapshots, last.as_deref(), |file| {
                write(&incomplete, file)
            })
        }
    }
}

/// Writes the generation in progress, which comes after this snapshot.
fn save_incomplete(
    number: GenerationId,
    snapshots: &Snapshots,
    snapshot: Option<&Path>,
    write: impl FnOnce(&File) -> io::Result<u64>,
) -> Result {
    let (file, bytes) = snapshots.write_incomplete(snapshot, write)?;
    note(format_args!(
        "{}: {bytes} bytes of generation {number}, which is not complete",
        name(&file)
    ));
    Ok(())
}

/// An incomplete generation behind a trace's header.
fn copy(incomplete: &Incomplete<'_>) -> io::Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(HEADER_LEN.saturating_add(incomplete.len() as usize))?;
    write(incomplete, &mut copy)?;
    Ok(copy)
}

/// What is kept, and where it is written: shared by all who ask for a snapshot.
struct Keep {
    recorder: Shared,
    snapshots: Snapshots,
    keeper: Keeper,
    seen: Arc<Seen>,
    /// What is done with those that were written.
    keeping: Keeping,
    /// A snapshot could not be written, which was reported.
    failed: AtomicBool,
}

impl Keep {
    /// Writes a snapshot of what checks out.
    fn take(&self, why: &Why, last: bool) -> Result<Option<PathBuf>> {
        self.keeper.mind(&self.recorder, true);
        let taken = self.snapshots.take(&self.recorder, &self.seen, why, last)?;
        let Some(taken) = taken else { return Ok(None) };
        if self.snapshots.are_files() {
            let trace = self.seen.traces.load(Ordering::Relaxed);
            self.keeping
                .written(&taken.file, taken.bytes, &taken.status, trace, why);
        }
        Ok(Some(taken.file))
    }

    /// What is recorded, as a line of JSON.
    fn status(&self) -> String {
        let status = self.recorder.status().ok();
        let lost = status.map(|status| {
            let of = |reason: &LossReason| status.losses.of(*reason).generations;
            let all = LossReason::ALL
                .iter()
                .map(|r| (r.to_string(), of(r).into()));
            serde_json::Value::Object(all.collect())
        });
        let status = serde_json::json!({
            "trace": self.seen.traces.load(Ordering::Relaxed),
            "live": self.seen.live.load(Ordering::Relaxed),
            "bytes": self.seen.bytes.load(Ordering::Relaxed),
            "window": status.map(|s| serde_json::json!({
                "generations": s.window.generations,
                "bytes": s.window.bytes,
                "newest": s.newest.map(|number| number.get()),
                "seconds": s.span().map(|span| span.as_secs_f64()),
            })),
            "largest_generation": status.map(|s| s.largest),
            "lost_generations": lost,
            "snapshots": self.snapshots.written(),
        });
        format!("{status}\n")
    }

    /// The same, where a failure is reported and remembered.
    fn try_take(&self, why: &Why) -> Option<PathBuf> {
        self.take(why, false)
            .map_err(|failure| {
                super::output::report(&failure);
                self.failed.store(true, Ordering::Relaxed);
            })
            .ok()
            .flatten()
    }

    /// Writes what there is of the generation in the middle of which the input broke: it may say why.
    /// It comes after this snapshot.
    fn incomplete(&self, snapshot: Option<&Path>) -> Result {
        // Who writes a snapshot waits for the recorder: it is not held while this waits for them.
        let copied = self.recorder.with(|recorder| {
            let recovered = FlightRecorder::recover(recorder.arena()).ok();
            recovered.and_then(|recovered| {
                let incomplete = recovered.in_progress()?;
                Some((incomplete.number, copy(&incomplete)))
            })
        });
        let Ok(Some((number, copy))) = copied else {
            return Ok(());
        };
        let copy = copy.map_err(|e| Failure::system("memory for an incomplete generation", e))?;
        save_incomplete(number, &self.snapshots, snapshot, |mut file| {
            file.write_all(&copy)?;
            Ok(copy.len() as u64)
        })
    }

    /// A trace ended, and another one may come: keeps what there is of it, before that one takes its
    /// place.
    fn keep_trace(&self, saved: &mut u64, broken: bool) {
        let recorded = self.recorder.status().map_or(0, |s| s.recorded.generations);
        let snapshot = match recorded == *saved {
            true => None,
            false => self.try_take(&Why::Restart),
        };
        *saved = recorded;
        if broken && let Err(failure) = self.incomplete(snapshot.as_deref()) {
            super::output::report(&failure);
            self.failed.store(true, Ordering::Relaxed);
        }
    }

    /// That everything was lost is no success, nor that a snapshot could not be written.
    fn verdict(&self) -> Result {
        let lost = self
            .recorder
            .status()
            .map_or(0, |s| s.losses.total().generations);
        let nothing = self.snapshots.written() == 0 && lost > 0;
        match nothing || self.failed.load(Ordering::Relaxed) {
            true => Err(Failure::Reported),
            false => Ok(()),
        }
    }
}

/// A recording.
struct Session {
    keep: Arc<Keep>,
    snapshotter: Snapshotter,
    sender: Sender<Message>,
    on: trigger::Wanted,
    /// The input's name.
    input: String,
    live: Option<(TraceMultiplexer, JoinHandle<()>)>,
    /// Events are looked at that may fit a trigger.
    watched: bool,
}

/// How long it may take to look at the events that are left when this leaves.
const LAST_EVENTS: Duration = Duration::from_secs(10);

/// How often the file of an arena is looked at.
const LOOK: Duration = Duration::from_millis(250);

impl Session {
    /// Until the input ends, or a signal asks to leave.
    fn run(&mut self, messages: &Receiver<Message>) -> Result {
        let mut line = StatusLine::new();
        loop {
            let wait = line.wait();
            let has_file = self.keep.keeper.has_file();
            let most = if has_file { LOOK } else { Duration::MAX };
            let message = match messages.recv_timeout(wait.unwrap_or(most).min(most)) {
                Err(RecvTimeoutError::Timeout) => {
                    self.keep.keeper.mind(&self.keep.recorder, false);
                    if line.wait().is_some_and(|left| left.is_zero())
                        && let Ok(status) = self.keep.recorder.status()
                    {
                        line.show(&self.keep.seen, &status);
                    }
                    continue;
                }
                Ok(message) => message,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            line.clear();
            match message {
                Message::Opened(source) => self.follow(*source?)?,
                Message::Snapshot => self.snapshotter.ask(Request::Signal),
                Message::Fired(firing) => self.snapshotter.ask(Request::Fired(firing)),
                Message::Unwatched(Err(LiveError::Trace(error))) => {
                    note(format_args!(
                        "{}: {error}: triggers look at events from the next generation on",
                        self.input
                    ));
                    self.watch()?;
                }
                Message::Unwatched(_) => self.watched = false,
                Message::Damaged(error) => note_damage(&self.input, error),
                Message::Restarted(reason) => live::note_restart(&self.input, reason.as_ref()),
                Message::Stop | Message::Ended(EndReason::Finished) => return Ok(()),
                Message::Ended(reason) => {
                    return Err(Failure::end(&self.input, &reason));
                }
            }
        }
    }

    fn follow(&mut self, source: impl TraceSource + 'static) -> Result {
        let thread = |error| Failure::system("starting a thread", error);
        let (damaged, restarted) = (self.sender.clone(), self.sender.clone());
        let (keep, mut saved) = (Arc::clone(&self.keep), 0);
        let feed = Feed {
            recorder: Arc::clone(&self.keep.recorder),
            seen: Arc::clone(&self.keep.seen),
            tell: Some(Box::new(move |error| {
                damaged.send(Message::Damaged(error)).ok();
            })),
            restarts: Box::new(move |reason| {
                restarted.send(Message::Restarted(reason.cloned())).ok();
                keep.keep_trace(&mut saved, reason.is_some());
            }),
        };
        let mux = TraceMultiplexer::new(source).map_err(thread)?;
        let hold = mux.hold();
        let subscription = mux.subscribe(feed, QueueConfig::default());
        let subscription = subscription.map_err(thread)?;
        let sender = self.sender.clone();
        // However it ends: the recorder may fail as well as the input.
        let end = thread::Builder::new()
            .name("end".to_owned())
            .spawn(move || {
                sender.send(Message::Ended(subscription.wait().end)).ok();
            })
            .map_err(thread)?;
        self.live = Some((mux, end));
        self.watch()?;
        drop(hold);
        Ok(())
    }

    /// Looks at the events, if there are triggers.
    fn watch(&mut self) -> Result {
        self.watched = false;
        let Some((mux, _)) = &self.live else {
            return Ok(());
        };
        if self.on.on.is_empty() {
            return Ok(());
        }
        trigger::watch(
            mux.events(QUEUE),
            &self.on,
            &self.sender,
            Message::Fired,
            Message::Unwatched,
        )?;
        self.watched = true;
        Ok(())
    }

    /// Ends the reading; what was read is recorded.
    fn leave(&mut self, messages: &Receiver<Message>) {
        if let Some((mux, end)) = self.live.take() {
            drop(mux);
            // It does not panic.
            end.join().ok();
            // The events of all that came are still looked at.
            signals::wait_until(LAST_EVENTS, || {
                for message in messages.try_iter() {
                    match message {
                        Message::Fired(firing) => self.snapshotter.ask(Request::Fired(firing)),
                        Message::Unwatched(_) => self.watched = false,
                        Message::Damaged(error) => note_damage(&self.input, error),
                        Message::Restarted(reason) => {
                            live::note_restart(&self.input, reason.as_ref());
                        }
                        _ => {}
                    }
                }
                !self.watched
            });
            if !self.on.on.is_empty() {
                self.snapshotter.flush();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gotrace::source::StreamSource;
    use std::fs::File;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    const TRACE: &[u8] = include_bytes!("../../../tests/fixtures/gc-go1.22.trace");

    fn recorder() -> Shared {
        let config = FlightRecorderConfig::default();
        Arc::new(SharedRecorder::with_arena(config, |config| {
            let arena = Memory::anonymous(arena_size_for(config.max_bytes))?;
            Ok(FlightRecorder::new(arena, config)?)
        }))
    }

    fn keep(recorder: &Shared, out: &str, on: &trigger::Wanted) -> Arc<Keep> {
        Arc::new(Keep {
            recorder: Arc::clone(recorder),
            snapshots: Snapshots::new(out, 0).unwrap(),
            keeper: Keeper::default(),
            seen: Arc::default(),
            keeping: Keeping::new(on, out).unwrap(),
            failed: AtomicBool::new(false),
        })
    }

    fn no_triggers() -> trigger::Wanted {
        trigger::Wanted {
            on: Vec::new(),
            after: None,
            cooldown: Duration::from_secs(10),
            max_overlap: 100,
            max_snapshots: None,
            max_disk: None,
            exec: None,
            control: None,
        }
    }

    /// The input goes on then, and nobody would notice.
    #[test]
    fn a_recorder_that_fails_ends_the_recording() {
        let (sender, messages) = channel();
        let recorder = recorder();
        let on = no_triggers();
        let keep = keep(&recorder, "none", &on);
        let mut session = Session {
            snapshotter: Snapshotter::start(Default::default(), &recorder, &keep.seen, |_| None)
                .unwrap(),
            keep,
            sender,
            on,
            input: "the input".to_owned(),
            live: None,
            watched: false,
        };
        let (mut input, read) = UnixStream::pair().unwrap();
        let source = StreamSource::polled(File::from(OwnedFd::from(read))).unwrap();
        // It was not started.
        session.follow(source).unwrap();
        input.write_all(&TRACE[..5000]).unwrap();
        let failure = session.run(&messages).unwrap_err();
        session.leave(&messages);
        let failure = failure.to_string();
        assert!(failure.contains("the input: "), "{failure}");
        assert!(failure.contains("is not started"), "{failure}");
    }

    /// Who writes a snapshot needs the recorder: what waits for its turn to write must not hold it.
    #[test]
    fn an_incomplete_generation_that_waits_leaves_the_recorder_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("s");
        let recorder = recorder();
        let keep = keep(&recorder, out.to_str().unwrap(), &no_triggers());
        recorder.start().unwrap();
        let trace = gotrace::Trace::new(TRACE).unwrap();
        let first = trace.generations().next().unwrap().unwrap();
        let batches = &TRACE[first.start.0 as usize..first.end.0 as usize];
        let record = |r: &mut FlightRecorder<Memory>| {
            r.header(trace.version().header())?;
            r.record(&batches.to_vec().into())
        };
        recorder.with(record).unwrap().unwrap();
        let mut waits = None;
        let written = keep.snapshots.write(|_| {
            let other = Arc::clone(&keep);
            waits = Some(thread::spawn(move || other.incomplete(None).is_ok()));
            thread::sleep(Duration::from_millis(200));
            let (tell, told) = channel();
            let other = Arc::clone(&recorder);
            thread::spawn(move || tell.send(other.status().is_ok()));
            assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(true));
            Ok(0)
        });
        assert!(written.is_ok() && waits.unwrap().join().unwrap());
        // The first name is in use by then.
        let incomplete = std::fs::read(dir.path().join("s-2.incomplete")).unwrap();
        assert!(incomplete == TRACE[..HEADER_LEN + batches.len()]);
    }
}
