//! Files for snapshots: named by a pattern, never over another file, and there only when complete.

use super::output::{Failure, Result, name, note, temporary};
use gotrace::recorder::{LossReason, SharedError, SharedRecorder, Status};
use gotrace::time::WallTime;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The pattern of their names.
pub struct Snapshots {
    pattern: String,
}

impl Snapshots {
    /// `{number}` in the pattern stands for a number, `{time}` for the time in UTC.
    pub fn new(pattern: &str) -> Snapshots {
        Snapshots {
            pattern: pattern.to_owned(),
        }
    }

    /// Writes what a recorder keeps, if that is anything; says where.
    pub fn take<A>(&self, recorder: &SharedRecorder<A>) -> Result<Option<PathBuf>>
    where
        A: AsRef<[u8]> + AsMut<[u8]> + Send,
    {
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
            advise(&status);
            return Ok(None);
        }
        let (file, bytes) = self.write(|file| {
            recorder.write_to(file).map_err(|error| match error {
                SharedError::Io(error) => error,
                other => io::Error::other(other),
            })
        })?;
        note(format_args!(
            "{}: {bytes} bytes, {generations} generations{}",
            name(&file),
            losses(&status)
        ));
        advise(&status);
        Ok(Some(file))
    }

    /// Writes a file that did not exist; gives its name, and what `write` gives: its length.
    pub fn write(&self, write: impl FnOnce(&File) -> io::Result<u64>) -> Result<(PathBuf, u64)> {
        write_new(self.names(), write)
    }

    /// The same for what belongs after this snapshot, or after one that there is not, and is no
    /// trace that Go's tools open.
    pub fn write_incomplete(
        &self,
        snapshot: Option<&Path>,
        write: impl FnOnce(&File) -> io::Result<u64>,
    ) -> Result<(PathBuf, u64)> {
        let Some(snapshot) = snapshot else {
            return write_new(self.names().map(|path| incomplete(&path)), write);
        };
        let name = incomplete(snapshot);
        write_new((0..).map(|n| with_number(&name, n)), write)
    }

    /// Names for a snapshot that are free: no incomplete generation has them either, which would
    /// seem to belong to it.
    fn names(&self) -> impl Iterator<Item = PathBuf> {
        let pattern = self.pattern.replace("{time}", &now());
        let all = (0..).map(move |n| numbered(&pattern, n));
        all.filter(|path| is_free(path) && is_free(&incomplete(path)))
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
/// killed before leaves nothing under it.
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
    loop {
        match part.persist_noclobber(&path) {
            Ok(_) => return Ok((path, len)),
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

/// Says how to lose none for want of room.
fn advise(status: &Status) {
    let lost = [LossReason::NoRoom, LossReason::TooLarge]
        .iter()
        .any(|reason| status.losses.of(*reason).generations > 0);
    if lost {
        let mebibytes = status.largest.div_ceil(1 << 20);
        note(format_args!(
            "the largest generation has {} bytes: --max-bytes {mebibytes}MiB has room for each; or \
             make them smaller, with GODEBUG=traceadvanceperiod=100000000 (in nanoseconds) in the \
             traced program's environment",
            status.largest
        ));
    }
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

fn with_number(path: &Path, before: u64) -> PathBuf {
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

/// `20261121T080901Z`
fn now() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    let text = WallTime::new(seconds, 0).to_string();
    text.replace(['-', ':'], "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

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
        let snapshots = Snapshots::new(pattern.to_str().unwrap());
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
