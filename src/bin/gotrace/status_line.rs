//! How recording goes, on a terminal.

use super::snapshots::{Seen, losses};
use gotrace::recorder::Status;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal as _};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// One line on a terminal: rate, window, losses.
pub struct StatusLine {
    bar: Option<ProgressBar>,
    before: (Instant, u64),
}

impl StatusLine {
    const REFRESH: Duration = Duration::from_millis(500);

    pub fn new() -> StatusLine {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            super::output::show_in_place(Some(&bar));
            bar
        });
        StatusLine {
            bar,
            before: (Instant::now(), 0),
        }
    }

    /// How long until it is to be shown; forever if nobody looks.
    pub fn wait(&self) -> Option<Duration> {
        self.bar.as_ref()?;
        Some(Self::REFRESH.saturating_sub(self.before.0.elapsed()))
    }

    pub fn show(&mut self, seen: &Seen, status: &Status) {
        let Some(bar) = &self.bar else { return };
        let bytes = seen.bytes.load(Ordering::Relaxed);
        let (then, before) = std::mem::replace(&mut self.before, (Instant::now(), bytes));
        let rate = bytes.saturating_sub(before) as f64 / then.elapsed().as_secs_f64();
        let trace = match (
            seen.traces.load(Ordering::Relaxed),
            seen.live.load(Ordering::Relaxed),
        ) {
            (0, _) => "waiting for a trace, ".to_owned(),
            (1, true) => String::new(),
            (n, true) => format!("trace {n}, "),
            (n, false) => format!("trace {n} has ended, waiting for the next, "),
        };
        let rate = rate / 1e6;
        bar.set_message(format!("{rate:.1} MB/s, {trace}{}", describe(status)));
        bar.tick();
    }

    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.set_message("");
            bar.tick();
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            super::output::show_in_place(None);
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
