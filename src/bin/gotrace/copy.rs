//! The copies that `gotrace tee` writes.

use super::input::size;
use super::live::Live;
use super::output::{self, Failure, Result, is_same, is_stdin, name, temporary};
use super::signals;
use super::snapshots::{Snapshots, with_number};
use clap::ValueEnum as _;
use gotrace::ids::GenerationId;
use gotrace::mux::{
    EndReason, Lost, QueueConfig, Subscriber, SubscriberError, Subscription, TakeBack,
    TraceMultiplexer, TraceWriter,
};
use gotrace::source::{SharedBatches, SourceError};
use gotrace::wire::{HEADER_LEN, Version};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// What `--out` says of one copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Out {
    pub path: PathBuf,
    /// For this copy, whatever holds for all.
    pub when_full: Option<WhenFull>,
    pub queue: Option<usize>,
}

impl Out {
    /// `FILE`, `FILE:drop`, `FILE:wait=SIZE`. What has another word behind a colon is a file's name.
    ///
    /// Errors: no size behind the equals sign, no name before the colon.
    pub fn parse(text: OsString) -> std::result::Result<Out, String> {
        let policy = text.as_bytes().rsplit(|byte| *byte == b':').next();
        let policy = policy.and_then(|bytes| std::str::from_utf8(bytes).ok());
        let policy = policy
            .filter(|policy| policy.len() < text.len())
            .unwrap_or("");
        let (word, bytes) = match policy.split_once('=') {
            Some((word, bytes)) => (word, Some(bytes)),
            None => (policy, None),
        };
        let Ok(when_full) = WhenFull::from_str(word, false) else {
            let path = text.into();
            return Ok(Out {
                path,
                when_full: None,
                queue: None,
            });
        };
        let path = &text.as_bytes()[..text.len() - policy.len() - 1];
        if path.is_empty() {
            return Err(format!("no file before ':{policy}'"));
        }
        Ok(Out {
            path: OsStr::from_bytes(path).into(),
            when_full: Some(when_full),
            queue: bytes.map(size).transpose()?,
        })
    }
}

/// A file that gets all of the trace.
pub struct Copy {
    path: PathBuf,
    queue: QueueConfig,
    subscription: Option<Subscription<Synced>>,
    /// Bytes that were written, and how far it was when it was seen to move, and when that was.
    written: Arc<AtomicU64>,
    moved: (u64, Instant),
    /// All was written, and waits for the disk to have it.
    is_syncing: Arc<AtomicBool>,
    /// How many generations were left out, of which was told.
    told: (u64, Instant),
}

type Fed = std::result::Result<(), SubscriberError>;

/// A file that says how far it was written.
struct Output {
    file: File,
    is_regular: bool,
    /// The name of one that was made for this, to be removed if no generation comes.
    made: Option<PathBuf>,
    written: Arc<AtomicU64>,
}

impl Output {
    /// What is given to a pipe at a time: about what it holds.
    const PIECE: usize = 64 << 10;

    fn count(&self, written: io::Result<usize>) -> io::Result<usize> {
        let count = *written.as_ref().unwrap_or(&0);
        self.written.fetch_add(count as u64, Ordering::Relaxed);
        written
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        self.count(written)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.is_regular {
            let written = self.file.write_vectored(slices);
            return self.count(written);
        }
        // A pipe has taken all when the write returns: of much, one would not know that it moves.
        let first = slices.iter().find(|slice| !slice.is_empty());
        let first = first.map_or(&[][..], |slice| slice);
        self.write(first.get(..Output::PIECE).unwrap_or(first))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl TakeBack for Output {
    fn take_back(&mut self, bytes: u64) -> io::Result<()> {
        self.file.take_back(bytes)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let identity = |there: std::fs::Metadata| (there.dev(), there.ino());
        let (Some(path), Ok(own)) = (&self.made, self.file.metadata()) else {
            return;
        };
        // A header is no trace; what somebody else put there in the meantime is theirs.
        let is_empty = own.is_file() && own.len() <= HEADER_LEN as u64;
        let own = identity(own);
        if is_empty
            && path
                .symlink_metadata()
                .is_ok_and(|there| identity(there) == own)
        {
            std::fs::remove_file(path).ok();
        }
    }
}

/// Writes a trace, and makes it survive the machine when it has ended.
struct Synced {
    writer: TraceWriter<Output>,
    path: PathBuf,
    is_syncing: Arc<AtomicBool>,
}

impl Synced {
    /// The trace that was written has ended.
    fn sync(&self) -> Fed {
        let Some(Output { file, .. }) = self.writer.writer().filter(|w| w.is_regular) else {
            return Ok(());
        };
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
            written: Arc::default(),
            moved: (0, Instant::now()),
            is_syncing: Arc::default(),
            told: (0, Instant::now()),
        })
    }

    pub fn start(&mut self, mux: &TraceMultiplexer) -> io::Result<()> {
        let path = self.path.clone();
        let written = Arc::clone(&self.written);
        let output = move |file: File, made: Option<PathBuf>| {
            Ok(Output {
                is_regular: file.metadata()?.is_file(),
                file,
                made,
                written: Arc::clone(&written),
            })
        };
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
                output(file, None)
            })
        } else {
            TraceWriter::parts_at_once(move |number| match number {
                0 => output(File::create(&path)?, Some(path.clone())),
                _ => create_next(&path).and_then(|(file, path)| output(file, Some(path))),
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

    /// Whether nothing was written for this long, or taken to be written.
    fn stands_still(&mut self, deadline: Duration) -> bool {
        let taken = self.subscription.as_ref().map_or(0, |s| s.stats().bytes);
        let now = taken + self.written.load(Ordering::Relaxed);
        if now != self.moved.0 {
            self.moved = (now, Instant::now());
        }
        self.moved.1.elapsed() >= deadline
    }

    /// Where the input waits for this copy, and nothing could be written for this long: lets it wait no
    /// more, and gives what is to be told of that.
    pub fn pass_over(&mut self, deadline: Duration) -> Option<String> {
        let is_waited_for = |copy: &Copy| {
            let subscription = copy.subscription.as_ref();
            subscription.is_some_and(Subscription::is_waited_for)
        };
        if !is_waited_for(self) {
            self.moved.1 = Instant::now();
            return None;
        }
        if !self.stands_still(deadline) || !self.subscription.as_ref()?.pass_over() {
            return None;
        }
        Some(format!(
            "{}: nothing could be written for {:.1} s: it is no longer waited for; until it can be written \
             again, generations are left out",
            self.name(),
            deadline.as_secs_f64()
        ))
    }

    /// Waits until all is written, or nothing more is for this long; gives why it ended.
    pub fn finish(&mut self, deadline: Duration) -> Option<EndReason> {
        self.moved.1 = Instant::now();
        signals::wait_until(Duration::MAX, || {
            let subscription = self.subscription.as_ref();
            subscription.is_none_or(Subscription::is_finished) || self.stands_still(deadline)
        });
        let Some(subscription) = &self.subscription else {
            return Some(EndReason::Left);
        };
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
fn create_next(path: &Path) -> io::Result<(File, PathBuf)> {
    let mut number = 1;
    loop {
        let name = with_number(path, number);
        let options = File::options().write(true).create_new(true).to_owned();
        match options.open(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            other => return other.map(|file| (file, name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_says_what_happens_when_it_is_slow() {
        let parse =
            |text: &str| Out::parse(text.into()).map(|out| (out.path, out.when_full, out.queue));
        let path = |text: &str| PathBuf::from(text);
        assert_eq!(parse("a:drop"), Ok((path("a"), Some(WhenFull::Drop), None)));
        assert_eq!(parse("-:wait"), Ok((path("-"), Some(WhenFull::Wait), None)));
        let sized = (path("/a:b/c"), Some(WhenFull::Drop), Some(3 << 20));
        assert_eq!(parse("/a:b/c:drop=3MiB"), Ok(sized));
        // A name that ends so has the policy behind it.
        let named = (path("a:drop"), Some(WhenFull::Wait), None);
        assert_eq!(parse("a:drop:wait"), Ok(named));
        for name in [
            "a",
            "-",
            "drop",
            "wait",
            "a:dropped",
            "a:b=1MiB",
            "a:",
            "12:30",
        ] {
            assert_eq!(parse(name), Ok((path(name), None, None)), "{name}");
        }
        for wrong in [":drop", "a:wait=", "a:wait=much"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
