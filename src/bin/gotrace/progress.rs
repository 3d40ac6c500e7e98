//! A progress bar on a terminal, for work that takes longer than a second.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Work that takes no longer has no bar.
const PATIENCE: Duration = Duration::from_secs(1);
const REFRESH: Duration = Duration::from_millis(100);

/// Counts bytes of work, and shows them on standard error if that is a terminal, where nothing is
/// left of them afterwards.
pub struct Progress {
    shared: Arc<Shared>,
    bar: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    expected: AtomicU64,
    done: AtomicU64,
    finished: Mutex<bool>,
    finish: Condvar,
}

impl Progress {
    /// Begins the count for work on these files, as far as they are regular files.
    ///
    /// No bar is shown if `quiet`: for a command whose output on the same terminal is progress
    /// enough.
    pub fn new<'a>(files: impl IntoIterator<Item = &'a PathBuf>, quiet: bool) -> Progress {
        let lengths = files.into_iter().filter_map(|file| file.metadata().ok());
        let lengths = lengths.filter(|m| m.is_file()).map(|m| m.len());
        let shared = Arc::new(Shared {
            expected: AtomicU64::new(lengths.fold(0, u64::saturating_add)),
            ..Shared::default()
        });
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("progress".to_owned())
                .spawn(move || shared.show())
                .ok()
        });
        Progress {
            shared,
            bar: bar.flatten(),
        }
    }

    /// So many bytes more are done.
    #[inline]
    pub fn add(&self, bytes: usize) {
        self.shared.done.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts for this as well.
    pub fn counter(&self) -> Counter {
        Counter(Arc::clone(&self.shared))
    }
}

/// Counts for a [`Progress`], also after it.
pub struct Counter(Arc<Shared>);

impl Counter {
    /// So many bytes are to be worked on that are in no file's length.
    pub fn expect(&self, bytes: usize) {
        self.0.expected.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So many bytes more are done.
    pub fn add(&self, bytes: usize) {
        self.0.done.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        *self.shared.lock() = true;
        self.shared.finish.notify_all();
        if let Some(bar) = self.bar.take() {
            let _ = bar.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, bool> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits; says whether the work is finished.
    fn wait(&self, time: Duration) -> bool {
        let wait = self
            .finish
            .wait_timeout_while(self.lock(), time, |finished| !*finished);
        *wait.unwrap_or_else(PoisonError::into_inner).0
    }

    fn show(&self) {
        if self.wait(PATIENCE) {
            return;
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let template = "{bar:40} {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        loop {
            bar.set_length(self.expected.load(Ordering::Relaxed));
            bar.set_position(self.done.load(Ordering::Relaxed));
            if self.wait(REFRESH) {
                break;
            }
        }
        bar.finish_and_clear();
    }
}
