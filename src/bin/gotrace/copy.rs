//! The copies that `gotrace tee` writes.

use super::live::Live;
use super::output::{self, Failure, Result, is_same, is_stdin, name, temporary};
use super::signals;
use super::snapshots::{Snapshots, with_number};
use gotrace::ids::GenerationId;
use gotrace::mux::{
    EndReason, Lost, QueueConfig, Subscriber, SubscriberError, Subscription, TraceMultiplexer,
    TraceWriter,
};
use gotrace::source::{SharedBatches, SourceError};
use gotrace::wire::Version;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What happens when a copy is written more slowly than the trace comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WhenFull {
    /// The input is not read until there is room
    Wait,
    /// Whole generations are left out of the copy
    Drop,
}

impl WhenFull {
    /// A queue of this many bytes, or of as many as are good for most.
    pub fn queue(self, bytes: Option<usize>) -> QueueConfig {
        match self {
            WhenFull::Wait => bytes.map_or_else(QueueConfig::default, QueueConfig::waiting),
            // A few large generations.
            WhenFull::Drop => QueueConfig::dropping(bytes.unwrap_or(256 << 20)),
        }
    }
}

/// A file that gets all of the trace.
pub struct Copy {
    path: PathBuf,
    queue: QueueConfig,
    subscription: Option<Subscription<Synced>>,
    /// All was written, and waits for the disk to have it.
    is_syncing: Arc<AtomicBool>,
    /// How many generations were left out, of which was told.
    told: (u64, Instant),
}

type Fed = std::result::Result<(), SubscriberError>;

/// Writes a trace, and makes it survive the machine when it has ended.
struct Synced {
    writer: TraceWriter<File>,
    path: PathBuf,
    is_syncing: Arc<AtomicBool>,
}

impl Synced {
    /// The trace that was written has ended.
    fn sync(&self) -> Fed {
        let Some(file) = self.writer.writer() else {
            return Ok(());
        };
        if !file.metadata()?.is_file() {
            return Ok(());
        }
        self.is_syncing.store(true, Ordering::Relaxed);
        let result = output::sync(&self.path, file);
        self.is_syncing.store(false, Ordering::Relaxed);
        Ok(result?)
    }
}

impl Subscriber for Synced {
    fn header(&mut self, version: Version) -> Fed {
        self.writer.header(version)
    }

    fn batches(&mut self, batches: &SharedBatches) -> Fed {
        self.writer.batches(batches)
    }

    fn end_of_generation(&mut self, number: GenerationId) -> Fed {
        self.writer.end_of_generation(number)
    }

    fn takes_whole_generations(&self) -> bool {
        self.writer.takes_whole_generations()
    }

    fn lost(&mut self, lost: Lost) -> Fed {
        // The next one has a file of its own.
        self.writer.lost(lost)?;
        self.sync()
    }

    fn restart(&mut self, reason: Option<&SourceError>) -> Fed {
        self.writer.restart(reason)?;
        self.sync()
    }

    fn end_of_trace(&mut self, reason: &EndReason) -> Fed {
        self.writer.end_of_trace(reason)?;
        self.sync()
    }
}

/// How often losses are told of.
const TELL: Duration = Duration::from_secs(5);

impl Copy {
    /// A copy that will be written to this file, which is not touched before.
    ///
    /// Errors: it cannot be written, or another file of this command is the same.
    pub fn plan(
        path: &Path,
        queue: QueueConfig,
        input: &Live,
        copies: &[Copy],
        snapshots: Option<&Snapshots>,
    ) -> Result<Copy> {
        let failed = |error: &dyn std::fmt::Display| Failure::file(path, error);
        if !is_stdin(path) {
            if input.is_file(path) {
                return Err(failed(&"a copy cannot take the place of the input"));
            }
            let is_regular = path.metadata().map_or(true, |there| there.is_file());
            if is_regular && copies.iter().any(|copy| is_same(&copy.path, path)) {
                return Err(failed(&"two copies cannot be the same file"));
            }
            if is_regular && snapshots.is_some_and(|snapshots| snapshots.is_file(path)) {
                return Err(failed(&"a copy and a snapshot cannot be the same file"));
            }
            // Now, not when the trace begins.
            probe(path).map_err(|error| failed(&error))?;
        }
        Ok(Copy {
            path: path.to_owned(),
            queue,
            subscription: None,
            is_syncing: Arc::default(),
            told: (0, Instant::now()),
        })
    }

    pub fn start(&mut self, mux: &TraceMultiplexer) -> io::Result<()> {
        let path = self.path.clone();
        let is_file = path.metadata().map_or(true, |there| there.is_file());
        // Nothing can be taken back from a pipe; nor from what somebody else appends to.
        let writer = if is_stdin(&path) || !is_file {
            let mut opened: Option<File> = None;
            TraceWriter::parts(move |_| {
                let file = match opened.take() {
                    Some(file) => file,
                    None if is_stdin(&path) => io::stdout().as_fd().try_clone_to_owned()?.into(),
                    None => File::options().write(true).open(&path)?,
                };
                opened = Some(file.try_clone()?);
                Ok(file)
            })
        } else {
            TraceWriter::parts_at_once(move |number| match number {
                0 => File::create(&path),
                _ => create_next(&path),
            })
        };
        let synced = Synced {
            writer,
            path: self.path.clone(),
            is_syncing: Arc::clone(&self.is_syncing),
        };
        self.subscription = Some(mux.subscribe(synced, self.queue)?);
        Ok(())
    }

    /// As people name it.
    pub fn name(&self) -> String {
        match is_stdin(&self.path) {
            true => "standard output".to_owned(),
            false => name(&self.path),
        }
    }

    /// Why nothing more will be written, if so.
    pub fn end(&self) -> Option<EndReason> {
        self.subscription.as_ref().and_then(Subscription::end)
    }

    /// What is to be told of generations that were left out, from time to time.
    pub fn news_of_losses(&mut self) -> Option<String> {
        let lost = self.subscription.as_ref()?.stats().lost.generations;
        let (told, when) = self.told;
        let is_over = self.end().is_some();
        if lost == told || (told > 0 && when.elapsed() < TELL && !is_over) {
            return None;
        }
        self.told = (lost, Instant::now());
        Some(format!(
            "{}: {lost} generations are left out so far, it is written too slowly; the copy goes on as \
             another trace",
            self.name()
        ))
    }

    /// Waits until all is written, or nothing more is for this long; gives why it ended.
    pub fn finish(&mut self, deadline: Duration) -> Option<EndReason> {
        let Some(subscription) = &self.subscription else {
            return Some(EndReason::Left);
        };
        let mut moved = (subscription.stats().bytes, Instant::now());
        let is_over = || {
            let bytes = subscription.stats().bytes;
            if bytes != moved.0 {
                moved = (bytes, Instant::now());
            }
            subscription.is_finished() || moved.1.elapsed() >= deadline
        };
        signals::wait_until(Duration::MAX, is_over);
        match subscription.is_finished() {
            true => Some(subscription.end().unwrap_or(EndReason::Left)),
            false => None,
        }
    }

    /// What is wrong with one that did not finish.
    pub fn is_stuck(&self, deadline: Duration) -> Failure {
        let queued = self.subscription.as_ref().map_or(0, |s| s.stats().queued);
        let rest = match self.is_syncing.load(Ordering::Relaxed) {
            true => "the disk has yet to say that it has it".to_owned(),
            false => format!("{queued} bytes and more were still to come"),
        };
        let why = match signals::is_hurried() {
            true => "this was asked twice to leave".to_owned(),
            false => format!(
                "nothing could be written for {:.1} s",
                deadline.as_secs_f64()
            ),
        };
        let name = self.name();
        let error = format!("not complete: {why}, {rest}");
        Failure::File {
            name,
            error,
            offset: None,
        }
    }
}

/// Whether a file can be written, without touching it.
fn probe(path: &Path) -> io::Result<()> {
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => temporary(path).map(drop),
        Err(error) => Err(error),
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if there.file_type().is_socket() => {
            Err(io::Error::other("a socket, which can only be connected to"))
        }
        Ok(_) => Ok(rustix::fs::access(path, rustix::fs::Access::WRITE_OK)?),
    }
}

/// Makes the file of the next trace: the first name with a number that is free.
fn create_next(path: &Path) -> io::Result<File> {
    let mut number = 1;
    loop {
        let options = File::options().write(true).create_new(true).to_owned();
        match options.open(with_number(path, number)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            other => return other,
        }
    }
}
