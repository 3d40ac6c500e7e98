//! The memory that is recorded into: of this process, or a file that survives it.

use super::guard::Range;
use super::output::{Failure, Result, name, note, report};
use gotrace::mmap::MappedArena;
use gotrace::recorder::SharedRecorder;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// An arena in memory, or in a file.
pub enum Memory {
    Anonymous(memmap2::MmapMut),
    Mapped {
        /// Goes before the map.
        _range: Option<Arc<Range>>,
        map: MappedArena,
    },
}

impl Memory {
    /// Memory of this process.
    pub fn anonymous(len: usize) -> io::Result<Memory> {
        memmap2::MmapMut::map_anon(len).map(Memory::Anonymous)
    }

    /// A file, which is locked and watched; with a length of 0, as it is.
    pub fn open(path: &Path, len: usize) -> io::Result<Memory> {
        // SAFETY: the file is this recorder's own, its lock keeps other recorders away. Should it be
        // written to or cut short all the same, every index that is read from an arena is checked, and
        // a page that is gone is replaced.
        #[allow(unsafe_code)]
        let map = unsafe { MappedArena::open(path, len)? };
        let range = Range::watch(map.as_ref()).map(Arc::new);
        Ok(Memory::Mapped { _range: range, map })
    }

    /// Makes a file long enough to record into.
    pub fn grow(self, len: usize) -> io::Result<Memory> {
        match self {
            Memory::Mapped { _range, mut map } => {
                drop(_range);
                map.grow(len)?;
                let range = Range::watch(map.as_ref()).map(Arc::new);
                Ok(Memory::Mapped { _range: range, map })
            }
            other => Ok(other),
        }
    }
}

impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        match self {
            Memory::Anonymous(map) => map,
            Memory::Mapped { map, .. } => map.as_ref(),
        }
    }
}

impl AsMut<[u8]> for Memory {
    fn as_mut(&mut self) -> &mut [u8] {
        match self {
            Memory::Anonymous(map) => map,
            Memory::Mapped { map, .. } => map.as_mut(),
        }
    }
}

/// Sees to it that the file of an arena stays what it is, or that recording goes on elsewhere.
#[derive(Default)]
pub struct Keeper(Mutex<Option<Watched>>);

struct Watched {
    path: PathBuf,
    /// The file that is mapped.
    file: (u64, u64),
    len: u64,
    range: Option<Arc<Range>>,
}

impl Keeper {
    /// For the arena of this recorder, if it is in a file.
    pub fn new(path: Option<&Path>, recorder: &SharedRecorder<Memory>) -> Keeper {
        let watched = path.and_then(|path| watch(path, recorder));
        Keeper(Mutex::new(watched))
    }

    /// Whether there is a file to be looked at from time to time.
    pub fn has_file(&self) -> bool {
        let watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.is_some()
    }

    /// Looks at the file, and with `all` at what is in it. If something is wrong, says what, and moves the
    /// recording: what still checks out goes to a new arena in the file's place, or else into memory.
    pub fn mind(&self, recorder: &SharedRecorder<Memory>, all: bool) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(now) = &*watched else { return };
        let sound = || !all || recorder.with(|r| r.is_sound()).unwrap_or(true);
        let Some(trouble) = now
            .trouble()
            .or_else(|| (!sound()).then_some(Trouble::Changed))
        else {
            return;
        };
        let (path, len) = (now.path.clone(), now.len as usize);
        let kept = || recorder.status().map_or(0, |s| s.window.generations);
        let before = kept();
        let moved = Memory::anonymous(len).and_then(|memory| relocate(recorder, memory));
        if let Err(error) = moved {
            let error = format!("{trouble}, and there is no memory to go on in: {error}");
            return report(&Failure::file(&path, error));
        }
        let lost = before.saturating_sub(kept());
        let what = match lost {
            0 => "nothing complete is lost".to_owned(),
            n => format!("{n} generations in it are lost"),
        };
        *watched = None;
        let again = match trouble {
            Trouble::Removed | Trouble::Shorter => reopen(&path, len, recorder),
            // Somebody else's, now.
            Trouble::Replaced | Trouble::Changed => Ok(false),
        };
        let place = match again {
            Ok(true) => {
                *watched = watch(&path, recorder);
                "recording goes on in a new one there"
            }
            _ => "recording goes on in memory only",
        };
        note(format_args!("{}: {trouble}: {what}; {place}", name(&path)));
    }
}

/// What is wrong with the file.
#[derive(Clone, Copy)]
enum Trouble {
    Removed,
    Replaced,
    Shorter,
    Changed,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Trouble::Removed => "the arena was removed",
            Trouble::Replaced => "another file has taken the place of the arena",
            Trouble::Shorter => "the arena was cut short",
            Trouble::Changed => "another process has written to the arena",
        })
    }
}

impl Watched {
    fn trouble(&self) -> Option<Trouble> {
        let faults = self.range.as_ref().map_or(0, |range| range.faults());
        match self.path.metadata() {
            Ok(there) if identity(&there) != self.file => Some(Trouble::Replaced),
            Ok(there) if there.len() < self.len || faults > 0 => Some(Trouble::Shorter),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Trouble::Removed),
            _ => None,
        }
    }
}

fn identity(there: &Metadata) -> (u64, u64) {
    (there.dev(), there.ino())
}

fn watch(path: &Path, recorder: &SharedRecorder<Memory>) -> Option<Watched> {
    let watched = recorder.with(|recorder| match recorder.memory() {
        Memory::Mapped { _range, map } => {
            let there = map.file().metadata().ok()?;
            Some(Watched {
                path: path.to_owned(),
                file: identity(&there),
                len: map.as_ref().len() as u64,
                range: _range.clone(),
            })
        }
        Memory::Anonymous(_) => None,
    });
    watched.ok().flatten()
}

fn relocate(recorder: &SharedRecorder<Memory>, memory: Memory) -> io::Result<()> {
    let moved = recorder.with(|recorder| recorder.relocate(memory));
    match moved {
        Ok(Ok(old)) => {
            drop(old);
            Ok(())
        }
        Ok(Err(error)) => Err(io::Error::other(error)),
        // It is stopped: nothing is to be moved.
        Err(_) => Ok(()),
    }
}

/// Makes a new arena where the one before was, if nothing else is there; says whether.
fn reopen(path: &Path, len: usize, recorder: &SharedRecorder<Memory>) -> io::Result<bool> {
    let looked = Memory::open(path, 0)?;
    let begins = looked.as_ref();
    // What the same file still holds of the arena, or nothing.
    let ours = begins.is_empty()
        || begins.starts_with(b"gotraceR")
        || begins.iter().all(|byte| *byte == 0);
    if !ours {
        return Ok(false);
    }
    relocate(recorder, looked.grow(len)?)?;
    Ok(true)
}

/// Opens an arena for a start; gives it with what `save` makes of what is in it before.
pub fn open(path: &Path, len: usize, save: impl FnOnce(&[u8]) -> Result) -> Result<Memory> {
    let failed = |e: io::Error| Failure::file(path, e);
    // As it is, before it is made longer: it may be no arena. The lock is held from here on.
    let memory = Memory::open(path, 0).map_err(failed)?;
    save(memory.as_ref())?;
    memory.grow(len).map_err(failed)
}
