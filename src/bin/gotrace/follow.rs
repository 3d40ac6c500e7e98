//! `gotrace stat --follow`: a live trace as it comes.

use super::live::{Live, Source, both};
use super::output::{self, Failure, Result};
use super::pulse::{self, WatchError};
use super::signals;
use gotrace::analysis::live::Pulse;
use gotrace::mux::{EndReason, QueueConfig, TraceMultiplexer};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::mpsc::channel;
use std::time::Duration;

/// The most bytes that wait to be shown: a few large generations.
pub const QUEUE: QueueConfig = QueueConfig::dropping(256 << 20);

enum Message {
    Opened(Result<Box<Source>>),
    Pulse(Box<Pulse>),
    Ended(std::result::Result<(), WatchError>),
    /// There is nothing to take a snapshot of: to ask is no reason to die.
    Snapshot,
    Stop,
}

/// Shows a live trace, generation by generation, until it ends or a signal asks to leave.
pub fn run(input: &Live, idle: Option<Duration>, json: bool) -> Result {
    let (sender, messages) = channel();
    signals::listen(&sender, || Message::Snapshot, || Message::Stop)?;
    input.open_aside(idle, false, &sender, Message::Opened)?;
    let failed = |error: &dyn std::fmt::Display| Failure::File {
        name: input.name(),
        error: error.to_string(),
        offset: None,
    };
    let show_in_place = !json && io::stdout().is_terminal();
    let mut display = Display::new(show_in_place.then(ProgressDrawTarget::stdout));
    let mut out = output::styled();
    let mut mux = None;
    let mut result = Ok(());
    for message in &messages {
        match message {
            Message::Opened(source) => {
                let live = TraceMultiplexer::new(*source?)
                    .map_err(|error| Failure::system("starting a thread", error))?;
                pulse::spawn(live.events(QUEUE), &sender, Message::Pulse, Message::Ended)?;
                mux = Some(live);
            }
            Message::Pulse(pulse) if show_in_place => display.show(*pulse),
            Message::Pulse(pulse) => {
                if json {
                    output::json_line(&mut out, &*pulse)?;
                } else {
                    writeln!(out, "{}", pulse::line(&pulse))?;
                }
                out.flush()?;
            }
            Message::Ended(ended) => {
                result = ended.map_err(|error| failed(&error));
                break;
            }
            Message::Snapshot => {}
            // The events of what came are still given.
            Message::Stop => {
                if mux.take().is_none() || signals::is_hurried() {
                    break;
                }
            }
        }
    }
    if let Some(block) = display.finish() {
        let shown = writeln!(out, "{block}").and_then(|()| out.flush());
        result = both(result, shown.map_err(Failure::from));
    }
    result
}

/// Why a trace ended, if that is something to complain about.
pub fn complaint(end: &EndReason) -> Option<String> {
    match end {
        EndReason::Finished | EndReason::Left | EndReason::Stopped => None,
        other => Some(other.to_string()),
    }
}

/// The latest pulse, in place on a terminal.
pub struct Display {
    bar: Option<ProgressBar>,
    last: Option<Pulse>,
}

impl Display {
    /// Without a target, shows nothing.
    pub fn new(target: Option<ProgressDrawTarget>) -> Display {
        let bar = target.map(|target| {
            let bar = ProgressBar::with_draw_target(None, target);
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            output::show_in_place(Some(&bar));
            bar
        });
        Display { bar, last: None }
    }

    pub fn show(&mut self, pulse: Pulse) {
        if let Some(bar) = &self.bar {
            bar.set_message(pulse::block(&pulse));
            bar.tick();
            self.last = Some(pulse);
        }
    }

    /// Takes it away; gives what was shown last, which is to stay as plain lines: all of it, however
    /// small the terminal.
    pub fn finish(mut self) -> Option<String> {
        self.last.take().map(|pulse| pulse::block(&pulse))
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            output::show_in_place(None);
            bar.finish_and_clear();
        }
    }
}
