//! `gotrace record --on`: snapshots that take themselves, and what is done with them.

use super::input::size;
use super::live::duration;
use super::output::{Failure, Result, name, note, report, write_file};
use super::signals;
use gotrace::event::Event;
use gotrace::ids::GenerationId;
use gotrace::mux::{LiveError, LiveReader};
use gotrace::recorder::trigger::{Budget, Condition, Fired, Triggers};
use gotrace::recorder::{LossReason, Status};
use gotrace::select::{EventCondition, EventNames, Filter, Selection, Verdict};
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

// No documentation of the struct itself: it would take the place of the command's.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Triggers")]
pub struct Wanted {
    /// Take a snapshot when an event fits this expression, as 'task("checkout") > 300ms'; may be given
    /// several times. With a name: 'slow: task("checkout") > 300ms'
    ///
    /// The snapshot has the event in it. Its name gets that of the trigger, in the place of {trigger} in
    /// --out or before its extension, and beside it is a file with ".json" behind its name that says what
    /// fired, when, and what was lost. The expressions are those of "gotrace dump --where".
    #[arg(long, value_name = "EXPR", value_parser = On::parse)]
    pub on: Vec<On>,

    /// Record for this long after the event before the snapshot is taken
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub after: Option<Duration>,

    /// How long no trigger fires after one has; in time of the trace
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    pub cooldown: Duration,

    /// Put the snapshot off while more of it than this is in the one before, as long as the event stays
    /// in the window
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100), default_value = "100")]
    pub max_overlap: u8,

    /// Keep at most so many snapshots: the oldest that this recorder wrote, now or before, are removed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_snapshots: Option<u64>,

    /// Keep at most so many bytes of snapshots, in the same way
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_disk: Option<usize>,

    /// Run this command with "sh -c" for each snapshot; "$1" is its file
    #[arg(long, value_name = "COMMAND")]
    pub exec: Option<String>,

    /// Take orders at this place: HOST:PORT, or the path of a Unix socket to make
    ///
    /// A line "snapshot" takes a snapshot, and answers with its name when it is written; "status" answers
    /// with what is recorded. Over HTTP the same: "curl -X POST http://HOST:PORT/snapshot", and GET
    /// /status. Anyone who can connect can ask.
    #[arg(long, value_name = "ADDRESS")]
    pub control: Option<String>,
}

impl Wanted {
    /// Whether snapshots get a file beside them, by which they are known again.
    pub fn has_side_files(&self) -> bool {
        let bounded = self.max_snapshots.is_some() || self.max_disk.is_some();
        !self.on.is_empty() || bounded || self.exec.is_some() || self.control.is_some()
    }
}

/// One trigger.
#[derive(Clone, Debug)]
pub struct On {
    /// None of its own: it gets a number.
    name: Option<String>,
    text: String,
    filter: Filter,
}

impl On {
    fn parse(text: &str) -> std::result::Result<On, String> {
        let is_name = |name: &str| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            !name.is_empty() && name.chars().all(is_part)
        };
        let (name, expression) = match text.split_once(':') {
            Some((name, rest)) if is_name(name.trim()) => (Some(name.trim().to_owned()), rest),
            _ => (None, text),
        };
        let expression = expression.trim_start();
        let condition =
            EventCondition::parse(expression, &EventNames).map_err(|error| error.to_string())?;
        Ok(On {
            name,
            text: expression.to_owned(),
            filter: Filter::new().with_condition(condition),
        })
    }

    fn name(&self, number: usize) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None => format!("trigger{}", number + 1),
        }
    }
}

/// A filter as a condition.
struct Selected<'f> {
    filter: &'f Filter,
    selection: Selection<'f>,
}

impl Condition for Selected<'_> {
    fn holds(&mut self, event: &Event<'_, '_>) -> bool {
        matches!(self.selection.sees(event), Ok(Verdict::Selected))
    }

    fn restart(&mut self) {
        self.selection = self.filter.selection();
    }
}

/// Why a snapshot is taken.
pub enum Why {
    /// SIGUSR1.
    Signal,
    /// Somebody asked at the control socket.
    Control,
    /// A trace ended; another may come.
    Restart,
    /// This leaves.
    End,
    Trigger(Box<Firing>),
}

impl Why {
    /// What it is called in names and side files.
    pub fn name(&self) -> &str {
        match self {
            Why::Signal => "signal",
            Why::Control => "control",
            Why::Restart => "restart",
            Why::End => "end",
            Why::Trigger(firing) => &firing.fired.name,
        }
    }

    /// The name that goes into the snapshot's name, also where the pattern has no place for it.
    pub fn label(&self) -> Option<&str> {
        match self {
            Why::Trigger(firing) => Some(&firing.fired.name),
            _ => None,
        }
    }
}

/// A trigger that fired.
pub struct Firing {
    pub fired: Fired,
    expression: String,
    /// The generation that has the event.
    pub generation: Option<GenerationId>,
    /// The number of the trace, of those that came, from 1 on.
    pub trace: u64,
    /// Generations that came too fast to be looked at, so far.
    unseen: u64,
    at: Instant,
}

/// Reads the events on a thread of its own, and sends each firing. At the end, or when the events
/// cannot be read on, sends why.
pub fn watch<M: Send + 'static>(
    events: LiveReader,
    args: &Wanted,
    sender: &Sender<M>,
    firing: fn(Box<Firing>) -> M,
    ended: fn(std::result::Result<(), LiveError>) -> M,
) -> Result {
    let (on, cooldown, sender) = (args.on.clone(), args.cooldown, sender.clone());
    signals::spawn("triggers", move || {
        let result = read(events, &on, cooldown, |f| {
            sender.send(firing(Box::new(f))).ok();
        });
        sender.send(ended(result)).ok();
    })
}

fn read(
    mut events: LiveReader,
    on: &[On],
    cooldown: Duration,
    mut send: impl FnMut(Firing),
) -> std::result::Result<(), LiveError> {
    let mut triggers = Triggers::new().with_cooldown(cooldown);
    for (number, on) in on.iter().enumerate() {
        let selection = on.filter.selection();
        let condition = Selected {
            filter: &on.filter,
            selection,
        };
        triggers.add(&on.name(number), condition);
    }
    let mut before = (0, 0);
    loop {
        let Some(event) = events.next()? else {
            return Ok(());
        };
        // A trace begins with an event that says no more than that.
        let fired = triggers.see(&event);
        let now = (events.traces(), events.lost().generations);
        if before != now {
            before = now;
            triggers.restart();
            continue;
        }
        if let Some(fired) = fired {
            send(Firing {
                expression: on
                    .get(fired.trigger)
                    .map_or(String::new(), |on| on.text.clone()),
                fired,
                generation: events.generation(),
                trace: events.traces(),
                unseen: events.lost().generations,
                at: Instant::now(),
            });
        }
    }
}

/// What the file beside a snapshot says. A field may be added, none will change its meaning.
#[derive(Serialize, Deserialize)]
pub struct Side {
    /// The version of this form: 1.
    gotrace_snapshot: u32,
    /// The pattern of the names, by which a recorder knows its own.
    out: String,
    /// The snapshot's file.
    snapshot: String,
    /// `signal`, `control`, `restart`, `end`, or the name of the trigger.
    why: String,
    /// When it was written, in UTC.
    written: String,
    bytes: u64,
    generations: u64,
    /// The number of the newest generation in it.
    newest: Option<u64>,
    /// Seconds of the trace that it spans.
    seconds: Option<f64>,
    /// The program's trace that it is of, from 1 on, of those that came to this recorder.
    trace: u64,
    fired: Option<SideFired>,
    /// Generations lost since the recorder started, by reason.
    lost: std::collections::BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
struct SideFired {
    expression: String,
    /// The event, as "gotrace dump --parsed" shows it.
    event: String,
    kind: String,
    /// Nanoseconds on the trace's clock.
    time: i64,
    generation: Option<u64>,
    goroutine: Option<u64>,
    /// Seconds from the moment at which the event was read until the snapshot was taken.
    after: f64,
    /// How often triggers fitted since the last that fired, during the cool-down.
    suppressed: u64,
    /// Generations that came too fast to be looked at for triggers.
    unseen_generations: u64,
}

/// What is done with the snapshots that were written.
pub struct Keeping {
    out: String,
    side_files: bool,
    budget: Mutex<Budget>,
    exec: Option<SyncSender<PathBuf>>,
    /// How many commands are to be run, or run.
    running: Arc<std::sync::atomic::AtomicUsize>,
}

/// The most commands that wait to be run.
const MOST_WAITING: usize = 64;

impl Keeping {
    pub fn new(args: &Wanted, out: &str) -> Result<Keeping> {
        let mut budget = Budget::new();
        if let Some(count) = args.max_snapshots {
            budget = budget.with_max_count(usize::try_from(count).unwrap_or(usize::MAX));
        }
        if let Some(bytes) = args.max_disk {
            budget = budget.with_max_bytes(bytes as u64);
        }
        let running = Arc::default();
        let keeping = Keeping {
            out: out.to_owned(),
            side_files: args.has_side_files(),
            exec: match &args.exec {
                None => None,
                Some(command) => Some(runner(command, &running)?),
            },
            budget: Mutex::new(budget),
            running,
        };
        if args.max_snapshots.is_some() || args.max_disk.is_some() {
            for (path, bytes) in keeping.earlier() {
                keeping.count(&path, bytes);
            }
        }
        Ok(keeping)
    }

    /// The snapshots that recorders with the same pattern wrote, the oldest first.
    fn earlier(&self) -> Vec<(PathBuf, u64)> {
        let dir = super::output::directory(Path::new(&self.out)).to_owned();
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            // What is this long is something else.
            let short = entry.metadata().is_ok_and(|there| there.len() < 1 << 20);
            let side = std::fs::read(&path).ok().filter(|_| short);
            let side = side.and_then(|side| serde_json::from_slice::<Side>(&side).ok());
            let Some(side) = side.filter(|side| side.out == self.out) else {
                continue;
            };
            let snapshot = path.with_extension("");
            if let Ok(there) = snapshot.metadata() {
                let order = there.modified().ok();
                found.push((order, side.written, snapshot, there.len()));
            }
        }
        found.sort();
        let paths = found.into_iter().map(|(_, _, path, bytes)| (path, bytes));
        paths.collect()
    }

    /// Counts a snapshot, and removes the oldest if there are too many.
    fn count(&self, path: &Path, bytes: u64) {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        for old in budget.add(path, bytes) {
            let beside = |ending: &str| {
                let mut name = old.as_os_str().to_owned();
                name.push(ending);
                PathBuf::from(name)
            };
            for path in [old.clone(), beside(".json"), beside(".incomplete")] {
                std::fs::remove_file(path).ok();
            }
        }
    }

    /// A snapshot was written.
    pub fn written(&self, path: &Path, bytes: u64, status: &Status, trace: u64, why: &Why) {
        if !self.side_files {
            return;
        }
        let lost = LossReason::ALL.iter().map(|&reason| {
            let generations = status.losses.of(reason).generations;
            (reason.to_string(), generations)
        });
        let side = Side {
            gotrace_snapshot: 1,
            out: self.out.clone(),
            snapshot: path.to_string_lossy().into_owned(),
            why: why.name().to_owned(),
            written: super::snapshots::utc(),
            bytes,
            generations: status.window.generations,
            newest: status.newest.map(|number| number.get()),
            seconds: status.span().map(|span| span.as_secs_f64()),
            trace,
            fired: match why {
                Why::Trigger(firing) => Some(SideFired::of(firing)),
                _ => None,
            },
            lost: lost.filter(|(_, generations)| *generations > 0).collect(),
        };
        let mut file = path.as_os_str().to_owned();
        file.push(".json");
        let written = write_file(Path::new(&file), |mut file| {
            serde_json::to_writer_pretty(file, &side)?;
            file.write_all(b"\n")
        });
        if let Err(failure) = written {
            report(&failure);
        }
        self.count(path, bytes);
        if let Some(exec) = &self.exec {
            use std::sync::atomic::Ordering;
            self.running.fetch_add(1, Ordering::AcqRel);
            if let Err(TrySendError::Full(path) | TrySendError::Disconnected(path)) =
                exec.try_send(path.to_owned())
            {
                self.running.fetch_sub(1, Ordering::AcqRel);
                note(format_args!(
                    "{}: too many commands wait: none is run for it",
                    name(&path)
                ));
            }
        }
    }

    /// Waits for the commands that are to be run, for at most this long.
    pub fn finish(&self, time: Duration) {
        use std::sync::atomic::Ordering;
        let done = || self.running.load(Ordering::Acquire) == 0;
        if !signals::wait_until(time, done) {
            note("commands of --exec still run: they are not waited for");
        }
    }
}

impl SideFired {
    fn of(firing: &Firing) -> SideFired {
        let Firing { fired, .. } = firing;
        SideFired {
            expression: firing.expression.clone(),
            event: fired.event.clone(),
            kind: format!("{:?}", fired.kind),
            time: fired.time.0,
            generation: firing.generation.map(|number| number.get()),
            goroutine: fired.goroutine.map(|id| id.get()),
            after: firing.at.elapsed().as_secs_f64(),
            suppressed: fired.suppressed,
            unseen_generations: firing.unseen,
        }
    }
}

/// Runs a command for each snapshot, one after the other.
fn runner(
    command: &str,
    running: &Arc<std::sync::atomic::AtomicUsize>,
) -> Result<SyncSender<PathBuf>> {
    let (sender, paths) = sync_channel::<PathBuf>(MOST_WAITING);
    let (command, running) = (command.to_owned(), Arc::clone(running));
    signals::spawn("exec", move || {
        for path in paths {
            let mut run = Command::new("sh");
            run.args(["-c", &command, "gotrace"]).arg(&path);
            let ended = run.stdin(Stdio::null()).status();
            match ended {
                Ok(status) if status.success() => {}
                Ok(status) => note(format_args!("{}: the command: {status}", name(&path))),
                Err(error) => report(&Failure::system("sh", error)),
            }
            running.fetch_sub(1, std::sync::atomic::Ordering::AcqRel);
        }
    })?;
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_may_have_names() {
        let on = On::parse("slow: duration > 1ms").unwrap();
        assert_eq!(
            (on.name(3), &*on.text),
            ("slow".to_owned(), "duration > 1ms")
        );
        let on = On::parse(r#"message == "a:b""#).unwrap();
        assert_eq!(
            (on.name(3), &*on.text),
            ("trigger4".to_owned(), r#"message == "a:b""#)
        );
        let error = On::parse("slow: duration > 1").unwrap_err();
        assert!(error.contains("column"), "{error}");
    }
}
