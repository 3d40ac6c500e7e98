//! `gotrace top`: a running program, as it runs.

use super::follow::QUEUE;
use super::help;
use super::live::{Live, Source, both, duration};
use super::output::{self, Failure, Result};
use super::pulse::WatchError;
use super::signals;
use super::top_screen::{self, Screen};
use gotrace::analysis::blocked::{Blocked, Wait};
use gotrace::analysis::overview::{Overview, Page};
use gotrace::analysis::states::States;
use gotrace::event::GoState;
use gotrace::mux::{LiveError, LiveReader, TraceMultiplexer};
use gotrace::{GoId, TaskId};
use serde::Serialize;
use std::io::{self, IsTerminal as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  curl -sN 'http://localhost:6060/debug/pprof/trace?seconds=600' | gotrace top -
  gotrace top tcp:localhost:7070
  gotrace top --once --json - < app.trace | jq .busy
  gotrace top --json tcp:localhost:7070 | jq -c '[.generation, .sched_p99_ns]'";

const SCHEMA: &str = include_str!("../../docs/schema/top.txt");

/// Watch a running program: a screen that is refreshed with each generation of its trace.
///
/// What the processors are used for, how long goroutines wait for them, the garbage collector, and,
/// of the generation that just ended (about a second), the functions whose goroutines ran the most, tasks,
/// and the longest waits. What is shown is as old as a generation is long.
///
/// Where the output is no terminal, or with --once, each screen is printed as text.
///
/// On a terminal: q leaves, p pauses, s sorts the functions by something else.
#[derive(clap::Args)]
#[command(after_help = help::page(&format!("{}\n\n{EXAMPLES}", Live::HELP)))]
#[command(after_long_help = help::page(format!("{}\n\n{EXAMPLES}\n\n{SCHEMA}", Live::HELP).trim_end()))]
pub struct Args {
    /// Print one generation, and end
    #[arg(long)]
    once: bool,

    /// Print one JSON object for each generation, on a line
    #[arg(long)]
    json: bool,

    /// Stop when nothing was added to the file for this long
    #[arg(long, value_name = "TIME", value_parser = duration)]
    idle: Option<Duration>,

    /// Where the trace comes from
    #[arg(value_name = "INPUT", value_parser = Live::parse)]
    input: Live,
}

/// A generation of a running program. This is the schema of the JSON form: members may be added, none
/// will change its meaning.
#[derive(Serialize, Clone, Debug, Default)]
pub struct View {
    pub generation: u64,
    pub seconds: f64,
    pub lost_generations: u64,
    pub goroutines: u64,
    pub running: u64,
    pub runnable: u64,
    pub waiting: u64,
    pub in_syscalls: u64,
    pub created: u64,
    pub ended: u64,
    pub procs: Option<u64>,
    pub busy: f64,
    pub busy_program: f64,
    pub busy_gc: f64,
    pub busy_runtime: f64,
    pub busy_syscalls: f64,
    pub sched_count: u64,
    pub sched_p50_ns: Option<i64>,
    pub sched_p99_ns: Option<i64>,
    pub sched_longest_ns: Option<i64>,
    pub syscalls: u64,
    pub gc_collections: u64,
    pub gc_marking: f64,
    pub stw_count: u64,
    pub stw_longest_ns: i64,
    pub heap_bytes: Option<u64>,
    pub heap_goal_bytes: Option<u64>,
    pub functions: Vec<Function>,
    pub tasks: Vec<Task>,
    pub waits: Vec<LongWait>,
}

#[derive(Serialize, Clone, Debug)]
pub struct Function {
    pub function: String,
    pub alive: u64,
    pub running: f64,
    pub runnable_ns: i64,
    pub waiting_ns: i64,
    pub syscall_ns: i64,
}

#[derive(Serialize, Clone, Debug)]
pub struct Task {
    #[serde(rename = "type")]
    pub ty: String,
    pub ended: u64,
    pub open: u64,
    pub p50_ns: Option<i64>,
    pub p99_ns: Option<i64>,
    pub longest_ns: Option<i64>,
    pub slowest: Option<TaskId>,
}

#[derive(Serialize, Clone, Debug)]
pub struct LongWait {
    pub ns: i64,
    pub goroutine: GoId,
    pub function: String,
    pub reason: String,
    pub place: String,
    pub woken_by: Option<GoId>,
    pub woken_by_function: Option<String>,
}

/// How many of each list are kept: more than a screen has room for.
const LIST: usize = 100;

impl View {
    fn new(states: &States, page: &Page, waits: &[Wait], generation: u64, lost: u64) -> View {
        let names = states.names();
        let text = |name| names.text(name).to_string();
        let length = page.nanoseconds().max(1) as f64;
        let [running, runnable, waiting, in_syscalls] = page.states;
        let used = &page.used;
        let function = |f: &gotrace::analysis::overview::Function| Function {
            function: text(f.name),
            alive: f.alive,
            running: f.sums.running as f64 / length,
            runnable_ns: f.sums.runnable,
            waiting_ns: f.sums.waiting,
            syscall_ns: f.sums.syscall.saturating_add(f.sums.syscall_without_proc),
        };
        let task = |task: &gotrace::analysis::overview::TaskType| Task {
            ty: text(task.ty),
            ended: task.times.len(),
            open: task.open,
            p50_ns: task.times.quantile(0.5),
            p99_ns: task.times.quantile(0.99),
            longest_ns: task.times.quantile(1.0),
            slowest: task.slowest.map(|(id, _)| id),
        };
        let wait = |wait: &Wait| LongWait {
            ns: wait.nanoseconds(),
            goroutine: wait.id,
            function: text(wait.name),
            reason: match wait.state {
                GoState::Syscall => "system call".to_owned(),
                _ => text(wait.reason),
            },
            place: match super::answer::place(names, wait.stack) {
                super::table::Cell::Text(place) => place,
                _ => String::new(),
            },
            woken_by: wait.waker.map(|(id, _)| id),
            woken_by_function: wait.waker.map(|(_, name)| text(name)),
        };
        View {
            generation,
            seconds: length / 1e9,
            lost_generations: lost,
            goroutines: page.states.iter().sum(),
            running,
            runnable,
            waiting,
            in_syscalls,
            created: page.created,
            ended: page.ended,
            procs: page.gomaxprocs,
            busy: page.busy(),
            busy_program: page.part(used.program),
            busy_gc: page.part(used.gc),
            busy_runtime: page.part(used.runtime),
            busy_syscalls: page.part(used.syscalls),
            sched_count: page.sched.len(),
            sched_p50_ns: page.sched.quantile(0.5),
            sched_p99_ns: page.sched.quantile(0.99),
            sched_longest_ns: page.sched.quantile(1.0),
            syscalls: page.syscalls,
            gc_collections: page.gc.collections,
            gc_marking: (page.gc.marking as f64 / length).clamp(0.0, 1.0),
            stw_count: page.gc.stops,
            stw_longest_ns: page.gc.longest_stop,
            heap_bytes: page.heap,
            heap_goal_bytes: page.heap_goal,
            functions: page.functions.iter().take(LIST).map(function).collect(),
            tasks: page.tasks.iter().take(LIST).map(task).collect(),
            waits: waits.iter().map(wait).collect(),
        }
    }
}

pub enum Message {
    Opened(Result<Box<Source>>),
    View(Box<View>),
    Ended(std::result::Result<(), WatchError>),
    /// There is nothing to take a snapshot of: to ask is no reason to die.
    Snapshot,
    Stop,
    Key(char),
    Resized,
}

/// Shows a live trace, generation by generation, until it ends or it is asked to leave.
pub fn run(args: Args) -> Result {
    let input = &args.input;
    let (sender, messages) = channel();
    signals::listen(&sender, || Message::Snapshot, || Message::Stop)?;
    input.open_aside(args.idle, false, &sender, Message::Opened)?;
    let in_place = !args.json && !args.once && io::stdout().is_terminal();
    let mut screen = match in_place {
        true => Some(Screen::open(input.name(), &sender)?),
        false => None,
    };
    let mut out = output::styled();
    let mut mux = None;
    let mut result = Ok(());
    let mut history = top_screen::History::default();
    for message in &messages {
        match message {
            Message::Opened(source) => {
                let live = TraceMultiplexer::new(*source?)
                    .map_err(|error| Failure::system("starting a thread", error))?;
                spawn(live.events(QUEUE), &sender)?;
                mux = Some(live);
            }
            Message::View(view) => {
                if let Some(screen) = &mut screen {
                    screen.show(*view)?;
                    continue;
                }
                history.add(&view);
                if args.json {
                    output::json_line(&mut out, &*view)?;
                } else {
                    write!(out, "{}", top_screen::text(&input.name(), &view, &history))?;
                }
                out.flush()?;
                if args.once {
                    break;
                }
            }
            Message::Ended(ended) => {
                result = ended.map_err(|error| failed(input, &error));
                // What it did last stays to be read.
                match &mut screen {
                    Some(screen) if result.is_ok() => screen.end()?,
                    _ => break,
                }
            }
            Message::Snapshot => {}
            Message::Key('q') => break,
            Message::Key(key) => {
                if let Some(screen) = &mut screen {
                    screen.key(key)?;
                }
            }
            Message::Resized => {
                if let Some(screen) = &mut screen {
                    screen.draw()?;
                }
            }
            // The events of what came are still given, unless somebody looks at them.
            Message::Stop => {
                if mux.take().is_none() || screen.is_some() || signals::is_hurried() {
                    break;
                }
            }
        }
    }
    // The terminal is as it was before anything is printed.
    let last = screen.and_then(Screen::close);
    if let Some(text) = last {
        let shown = write!(out, "{text}").and_then(|()| out.flush());
        result = both(result, shown.map_err(Failure::from));
    }
    result
}

fn failed(input: &Live, error: &dyn std::fmt::Display) -> Failure {
    Failure::File {
        name: input.name(),
        error: error.to_string(),
        offset: None,
    }
}

/// Watches on a thread of its own, and sends what each generation shows, and how it ended.
fn spawn(events: LiveReader, sender: &Sender<Message>) -> Result {
    let sender = sender.clone();
    signals::spawn("events", move || {
        let watched = catch_unwind(AssertUnwindSafe(|| {
            watch(events, |view| {
                sender.send(Message::View(Box::new(view))).is_ok()
            })
        }));
        let watched = match watched {
            Ok(result) => result.map_err(WatchError::Live),
            Err(_) => Err(WatchError::Panicked),
        };
        sender.send(Message::Ended(watched)).ok();
    })
}

/// How many of the longest waits of each generation are kept.
const WAITS: usize = 20;

fn watch(
    mut events: LiveReader,
    mut show: impl FnMut(View) -> bool,
) -> std::result::Result<(), LiveError> {
    let mut states = States::new();
    let mut visitors = (Overview::new(), Blocked::new(WAITS));
    let (mut lost, mut traces) = (0, 1);
    loop {
        match events.next()? {
            None => return Ok(()),
            Some(event) => states.add(&event, &mut visitors),
        }
        if (lost, traces) != (events.lost().generations, events.traces()) {
            // Another trace has begun: what is known from before may no longer be so.
            (lost, traces) = (events.lost().generations, events.traces());
            states = States::new();
            visitors = (Overview::new(), Blocked::new(WAITS));
        }
        if events.will_wait() {
            let generation = events.generation().map_or(0, |number| number.get());
            if let Some(page) = visitors
                .0
                .take(&states)
                .filter(|page| page.nanoseconds() > 0)
            {
                let waits = visitors.1.take_longest();
                if !show(View::new(&states, &page, &waits, generation, lost)) {
                    return Ok(());
                }
            }
        }
    }
}
