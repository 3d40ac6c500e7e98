//! Files for snapshots: named by a pattern, never over another file, and there only when complete.

use crate::output::{Failure, Result, name, note, write_file};
use gotrace::WallTime;
use gotrace::recorder::{LossReason, SharedError, SharedRecorder, Status};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
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

    /// Names like these, for what is no trace that Go's tools open.
    pub fn incomplete(&self) -> Snapshots {
        Snapshots {
            pattern: format!("{}.incomplete", self.pattern),
        }
    }

    /// Writes what a recorder keeps, if that is anything.
    pub fn take<A>(&self, recorder: &SharedRecorder<A>) -> Result
    where
        A: AsRef<[u8]> + AsMut<[u8]> + Send,
    {
        let Ok(status) = recorder.status() else {
            note("nothing is recorded yet: no snapshot");
            return Ok(());
        };
        let generations = status.window.generations;
        if generations == 0 {
            note(format_args!(
                "no generation is complete yet{}: no snapshot",
                losses(&status)
            ));
            advise(&status);
            return Ok(());
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
        Ok(())
    }

    /// Writes a file that did not exist; gives its name, and what `write` gives: its length.
    pub fn write(&self, write: impl FnOnce(&File) -> io::Result<u64>) -> Result<(PathBuf, u64)> {
        let pattern = self.pattern.replace("{time}", &now());
        let mut number = 0u64;
        loop {
            let path = numbered(&pattern, number);
            number += 1;
            // Its name is taken first, and its contents are there all at once.
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(Failure::file(&path, e)),
                Ok(_) => {}
            }
            return match write_file(&path, write) {
                Ok(len) => Ok((path, len)),
                Err(failure) => {
                    std::fs::remove_file(&path).ok();
                    Err(failure)
                }
            };
        }
    }
}

/// What was lost and why, as in `, 3 lost (larger than the arena)`.
pub fn losses(status: &Status) -> String {
    let mut text = String::new();
    for reason in LossReason::ALL {
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
    let path = PathBuf::from(pattern);
    match (before, path.file_stem(), path.extension()) {
        (0, _, _) | (_, None, _) => path,
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

    #[test]
    fn names_have_numbers() {
        let name = |pattern, n| numbered(pattern, n).to_str().unwrap().to_owned();
        assert_eq!(name("a-{number}.trace", 0), "a-1.trace");
        assert_eq!(name("d.d/a.trace", 0), "d.d/a.trace");
        assert_eq!(name("d.d/a.trace", 1), "d.d/a-2.trace");
        assert_eq!(name("d.d/a", 2), "d.d/a-3");
        assert_eq!(now().len(), "20261121T080901Z".len());
    }
}
