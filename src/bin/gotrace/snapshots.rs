//! Files for snapshots: named by a pattern, never over another file, and there only when complete.

use super::output::{Failure, Result, directory, is_stdin, name, note, sync, temporary};
use super::signals;
use super::trigger::Why;
use gotrace::recorder::{LossReason, SharedError, SharedRecorder, Status};
use gotrace::time::WallTime;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Where snapshots are written.
pub struct Snapshots {
    target: Target,
    /// The bound of the window that was asked for.
    max_bytes: u64,
    /// Held while one is written. They are written one after the other.
    turn: Mutex<Turn>,
}

#[derive(Default)]
struct Turn {
    /// How many were written.
    written: u64,
    /// The last one was.
    closed: bool,
}

enum Target {
    /// The standard output, one trace behind the other.
    Stdout,
    /// A pipe or a device, which is written as it is.
    Special(PathBuf),
    /// Files whose names follow this pattern.
    Files(String),
}

/// A snapshot that was written.
pub struct Taken {
    pub file: PathBuf,
    pub bytes: u64,
    /// What the recorder said.
    pub status: Status,
}

/// What is known of the input, for those who take snapshots of it.
#[derive(Default)]
pub struct Seen {
    /// Bytes of batches so far.
    pub bytes: AtomicU64,
    /// The number of traces that have begun.
    pub traces: AtomicU64,
    /// The number of the latest generation that has ended; 0 before the first of the trace.
    pub generation: AtomicU64,
    /// The number of the trace that the recorder's window is of: until a generation of a new trace is
    /// complete, the one before.
    pub window: AtomicU64,
    /// A trace is being received.
    pub live: AtomicBool,
}

impl Snapshots {
    /// `{number}` in the pattern stands for a number, `{time}` for the time in UTC; "-" is the standard
    /// output. What killed processes left half written where the files will be is removed.
    ///
    /// Errors: no file can be made there.
    pub fn new(pattern: &str, max_bytes: usize) -> Result<Snapshots> {
        let path = Path::new(pattern);
        let target = match path.metadata() {
            _ if is_stdin(path) => Target::Stdout,
            Ok(there) if there.file_type().is_fifo() || there.file_type().is_char_device() => {
                Target::Special(path.to_owned())
            }
            _ => Target::Files(pattern.to_owned()),
        };
        let snapshots = Snapshots {
            target,
            max_bytes: max_bytes as u64,
            turn: Mutex::default(),
        };
        if let Target::Files(_) = snapshots.target {
            let path = snapshots.names(&Why::End).next().unwrap_or_default();
            clean(directory(&path));
            // Now, not at the moment that counts.
            temporary(&path).map_err(|e| Failure::file(&path, e))?;
        }
        Ok(snapshots)
    }

    /// Whether the files are, or may become, this one.
    pub fn is_file(&self, path: &Path) -> bool {
        match &self.target {
            Target::Stdout => false,
            Target::Special(special) => super::output::is_same(special, path),
            Target::Files(pattern) => {
                !pattern.contains('{') && super::output::is_same(Path::new(pattern), path)
            }
        }
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many were written.
    pub fn written(&self) -> u64 {
        self.turn().written
    }

    /// Writes what a recorder keeps, if that is anything; says where. Nothing more is written after the
    /// `last`.
    pub fn take<A>(
        &self,
        recorder: &SharedRecorder<A>,
        seen: &Seen,
        why: &Why,
        last: bool,
    ) -> Result<Option<Taken>>
    where
        A: AsRef<[u8]> + AsMut<[u8]> + Send,
    {
        let mut turn = self.turn();
        if turn.closed {
            // That one has it all.
            return Ok(None);
        }
        turn.closed = last;
        let Ok(status) = recorder.status() else {
            note("nothing is recorded yet: no snapshot");
            return Ok(None);
        };
        let generations = status.window.generations;
        if generations == 0 {
            note(format_args!(
                "no generation is complete yet{}: no snapshot",
                losses(&status)
            ));
            self.advise(&status);
            return Ok(None);
        }
        let write = |file: &File| {
            recorder.write_to(file).map_err(|error| match error {
                SharedError::Io(error) => error,
                other => io::Error::other(other),
            })
        };
        let (file, bytes) = match &self.target {
            Target::Stdout => {
                let bytes = to_stdout(write).map_err(Failure::Output)?;
                (PathBuf::from("-"), bytes)
            }
            Target::Special(path) => {
                let bytes = to_special(path, write).map_err(|e| Failure::file(path, e))?;
                (path.clone(), bytes)
            }
            Target::Files(_) => write_new(self.names(why), write)?,
        };
        turn.written += 1;
        let shown = match is_stdin(&file) {
            true => "standard output".to_owned(),
            false => name(&file),
        };
        note(format_args!(
            "{shown}: {bytes} bytes, {generations} generations{}{}",
            losses(&status),
            staleness(&status, seen)
        ));
        self.advise(&status);
        Ok(Some(Taken {
            file,
            bytes,
            status,
        }))
    }

    /// Whether they are files of their own.
    pub fn are_files(&self) -> bool {
        matches!(self.target, Target::Files(_))
    }

    /// Writes a file that did not exist; gives its name, and what `write` gives: its length.
    pub fn write(&self, write: impl FnOnce(&File) -> io::Result<u64>) -> Result<(PathBuf, u64)> {
        let mut turn = self.turn();
        let written = write_new(self.names(&Why::Restart), write)?;
        turn.written += 1;
        Ok(written)
    }

    /// The same for what belongs after this snapshot, or after one that there is not, and is no
    /// trace that Go's tools open.
    pub fn write_incomplete(
        &self,
        snapshot: Option<&Path>,
        write: impl FnOnce(&File) -> io::Result<u64>,
    ) -> Result<(PathBuf, u64)> {
        let _turn = self.turn();
        let Some(snapshot) = snapshot.filter(|path| !is_stdin(path)) else {
            return write_new(
                self.names(&Why::Restart).map(|path| incomplete(&path)),
                write,
            );
        };
        let name = incomplete(snapshot);
        write_new((0..).map(|n| with_number(&name, n)), write)
    }

    /// Names for a snapshot that are free: no incomplete generation has them either, which would
    /// seem to belong to it. Where snapshots are no files, what else there is has names of its own.
    fn names(&self, why: &Why) -> impl Iterator<Item = PathBuf> {
        let pattern = match &self.target {
            Target::Files(pattern) => pattern,
            _ => "snapshot-{number}.trace",
        };
        let pattern = pattern.replace("{time}", &now());
        let label = match pattern.contains("{trigger}") {
            true => None,
            false => why.label().map(str::to_owned),
        };
        let pattern = pattern.replace("{trigger}", why.name());
        let all = (0..).map(move |n| match &label {
            Some(label) => with_label(&numbered(&pattern, n), label),
            None => numbered(&pattern, n),
        });
        all.filter(|path| is_free(path) && is_free(&incomplete(path)))
    }

    /// Says how to lose none.
    fn advise(&self, status: &Status) {
        let lost = |reason| status.losses.of(reason).generations > 0;
        let shorter = "make them smaller, with GODEBUG=traceadvanceperiod=100000000 (in nanoseconds) in \
                       the traced program's environment";
        if lost(LossReason::NoRoom) || lost(LossReason::TooLarge) {
            let largest = status.largest;
            let mebibytes = largest.div_ceil(1 << 20);
            if largest > gotrace::recorder::LARGEST_MAX_BYTES as u64 {
                note(format_args!(
                    "the largest generation has {largest} bytes, more than any arena holds: {shorter}"
                ));
            } else if largest > self.max_bytes {
                note(format_args!(
                    "the largest generation has {largest} bytes: --max-bytes {mebibytes}MiB has room \
                     for each; or {shorter}"
                ));
            }
        }
        if lost(LossReason::TableFull) {
            let seconds = status.span().map_or(0.0, |span| span.as_secs_f64());
            note(format_args!(
                "the {} generations that an arena of this size keeps last {seconds:.1} s: a longer \
                 GODEBUG=traceadvanceperiod makes them last longer, and a --min-age of no more than that \
                 asks for no more",
                status.window.generations
            ));
        }
    }
}

/// A few words for a window whose newest generation is not the latest there was.
fn staleness(status: &Status, seen: &Seen) -> String {
    let latest = seen.generation.load(Ordering::Relaxed);
    let newest = status.newest.map_or(0, |number| number.get());
    match latest.checked_sub(newest) {
        Some(behind) if behind > 0 && status.losses.total().generations > 0 => {
            format!("; it ends {behind} generations ago: those after it were lost")
        }
        _ => String::new(),
    }
}

/// How long a pipe may have no reader.
const PATIENCE: Duration = Duration::from_secs(3);

/// Writes to the standard output, of which the lock is not held: others print there as well.
fn to_stdout(write: impl FnOnce(&File) -> io::Result<u64>) -> io::Result<u64> {
    use std::os::fd::AsFd as _;
    let stdout = io::stdout();
    stdout.lock().flush()?;
    write(&File::from(stdout.as_fd().try_clone_to_owned()?))
}

/// Writes to a pipe or a device. A pipe must have a reader.
fn to_special(path: &Path, write: impl FnOnce(&File) -> io::Result<u64>) -> io::Result<u64> {
    let mut opened = None;
    signals::wait_until(PATIENCE, || {
        let mut options = File::options();
        // Without this, it would wait for a reader without end.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let file = options.write(true).custom_flags(nonblocking).open(path);
        let is_unread = |e: &io::Error| e.raw_os_error() == Some(libc::ENXIO);
        let again = file.as_ref().is_err_and(is_unread);
        opened = Some(file);
        !again
    });
    let file = match opened {
        Some(Err(error)) if error.raw_os_error() == Some(libc::ENXIO) => {
            return Err(io::Error::other("nobody reads the pipe"));
        }
        Some(file) => file?,
        None => return Err(io::Error::other("nobody reads the pipe")),
    };
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags.difference(rustix::fs::OFlags::NONBLOCK))?;
    write(&file)
}

/// Removes what processes that were killed left half written in a directory.
fn clean(dir: &Path) {
    // One that is being made now may not be locked yet.
    const YOUNG: Duration = Duration::from_secs(10);
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let text = file_name.to_string_lossy();
        if !(text.starts_with(".gotrace-") && text.ends_with(".part")) {
            continue;
        }
        let age = entry.metadata().and_then(|there| there.modified());
        let age = age.ok().and_then(|at| at.elapsed().ok());
        let unused = || File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if age.is_some_and(|age| age > YOUNG) && unused() {
            std::fs::remove_file(entry.path()).ok();
        }
    }
}

fn is_free(path: &Path) -> bool {
    path.symlink_metadata().is_err()
}

/// The name of what was in progress when this snapshot was taken.
fn incomplete(snapshot: &Path) -> PathBuf {
    let mut name = snapshot.as_os_str().to_owned();
    name.push(".incomplete");
    name.into()
}

/// Writes a file under the first of these names that is free, when it is complete: a process that is
/// killed before leaves nothing under it. It is on the disk then, should the machine stop.
fn write_new(
    names: impl Iterator<Item = PathBuf>,
    write: impl FnOnce(&File) -> io::Result<u64>,
) -> Result<(PathBuf, u64)> {
    let mut names = names.skip_while(|path| !is_free(path));
    // There are more names than files.
    let mut path = names.next().unwrap_or_default();
    let failed = |path: &Path, e: io::Error| Failure::file(path, e);
    let mut part = temporary(&path).map_err(|e| failed(&path, e))?;
    let len = write(part.as_file()).map_err(|e| failed(&path, e))?;
    sync(&path, part.as_file()).map_err(|e| failed(&path, e))?;
    loop {
        match part.persist_noclobber(&path) {
            Ok(file) => {
                sync(&path, &file).map_err(|e| failed(&path, e))?;
                return Ok((path, len));
            }
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {
                part = e.file;
                path = names.next().unwrap_or_default();
            }
            Err(e) => return Err(failed(&path, e.error)),
        }
    }
}

/// What was lost and why, as in `, 3 lost (larger than the arena)`.
pub fn losses(status: &Status) -> String {
    let mut text = String::new();
    for &reason in LossReason::ALL {
        let lost = status.losses.of(reason);
        if lost.generations > 0 {
            text += &format!(", {} lost ({reason})", lost.generations);
        }
    }
    text
}

/// The name with a number, counting from 1; one without a place for it gets it from the second on.
fn numbered(pattern: &str, before: u64) -> PathBuf {
    if pattern.contains("{number}") {
        return pattern
            .replace("{number}", &(before + 1).to_string())
            .into();
    }
    with_number(Path::new(pattern), before)
}

pub fn with_number(path: &Path, before: u64) -> PathBuf {
    match (before, path.file_stem(), path.extension()) {
        (0, _, _) => path.to_owned(),
        // A directory in any case.
        (n, None, _) => path.join((n + 1).to_string()),
        (n, Some(stem), extension) => {
            let mut name = stem.to_owned();
            name.push(format!("-{}", n + 1));
            if let Some(extension) = extension {
                name.push(".");
                name.push(extension);
            }
            path.with_file_name(name)
        }
    }
}

/// The name with a word before its extension.
fn with_label(path: &Path, label: &str) -> PathBuf {
    let Some(stem) = path.file_stem() else {
        return path.join(label);
    };
    let mut name = stem.to_owned();
    name.push(format!("-{label}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// `2026-11-21T08:09:01Z`
pub fn utc() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    WallTime::new(seconds, 0).to_string()
}

/// `20261121T080901Z`
fn now() -> String {
    utc().replace(['-', ':'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_numbers() {
        let name = |pattern, n| numbered(pattern, n).to_str().unwrap().to_owned();
        assert_eq!(name("a-{number}.trace", 0), "a-1.trace");
        assert_eq!(name("d.d/a.trace", 0), "d.d/a.trace");
        assert_eq!(name("d.d/a.trace", 1), "d.d/a-2.trace");
        assert_eq!(name("d.d/a", 2), "d.d/a-3");
        assert_eq!(name("..", 1), "../2");
        assert_eq!(now().len(), "20261121T080901Z".len());
    }

    #[test]
    fn a_file_has_its_name_when_it_is_complete() {
        let dir = std::env::temp_dir().join(format!("gotrace-names-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let pattern = dir.join("s-{number}");
        let snapshots = Snapshots::new(pattern.to_str().unwrap(), 0).unwrap();
        let there = || {
            let entries = std::fs::read_dir(&dir).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort_unstable();
            names
        };
        let bytes = |mut file: &File| file.write_all(b"trace").map(|()| 5);
        let (path, len) = snapshots
            .write(|file| {
                assert!(!there().contains(&"s-1".to_owned()));
                // Somebody else is faster.
                std::fs::write(dir.join("s-1"), "other").unwrap();
                bytes(file)
            })
            .unwrap();
        assert_eq!((&path, len), (&dir.join("s-2"), 5));
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
        assert_eq!((&*read("s-1"), &*read("s-2")), ("other", "trace"));

        let (path, _) = snapshots.write_incomplete(Some(&path), bytes).unwrap();
        assert_eq!(path, dir.join("s-2.incomplete"));
        let (path, _) = snapshots.write_incomplete(None, bytes).unwrap();
        assert_eq!(path, dir.join("s-3.incomplete"));
        // That is no part of another snapshot.
        let (path, _) = snapshots.write(bytes).unwrap();
        assert_eq!(path, dir.join("s-4"));

        let failed = snapshots.write(|_| Err(io::Error::other("no")));
        assert_eq!(
            failed.unwrap_err().to_string(),
            format!("{}: no", dir.join("s-5").display())
        );
        let names = ["s-1", "s-2", "s-2.incomplete", "s-3.incomplete", "s-4"];
        assert_eq!(there(), names);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
