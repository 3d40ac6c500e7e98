//! Files mapped into memory: a trace of any size, read without being copied.
//!
//! A map costs no memory of its own: the operating system loads what is touched, and may drop it
//! again. It does not take a copy either. Whoever writes to the file while it is mapped changes
//! the bytes under the reader's hands, which may then refuse the trace, or give events that never
//! were, but stays within the map. Whoever cuts the file short takes the bytes away: touching
//! them then ends the process with the signal `SIGBUS`, unless it has a handler for it. Map traces
//! that are complete, and read those that are still being written.
//!
//! ```
//! use gotrace::{Trace, mmap::MappedFile};
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gc-go1.27.trace");
//! let file = MappedFile::open(path)?;
//! let trace = Trace::new(&file)?;
//! assert_eq!(trace.len(), file.len() as u64);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`MappedArena`] is a file to record into.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Deref;
use std::path::Path;

/// A file mapped into memory for reading, as a slice of bytes.
#[derive(Debug)]
pub struct MappedFile {
    map: memmap2::Mmap,
}

impl MappedFile {
    /// Maps a file.
    ///
    /// Errors: those of opening and mapping, and [`InvalidInput`](io::ErrorKind::InvalidInput) for
    /// anything but a regular file.
    pub fn open(path: impl AsRef<Path>) -> io::Result<MappedFile> {
        MappedFile::new(&File::open(path)?)
    }

    /// Maps an open file, which may be closed afterwards.
    ///
    /// Errors: as for [`open`](MappedFile::open).
    #[allow(unsafe_code)]
    pub fn new(file: &File) -> io::Result<MappedFile> {
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "only a regular file can be mapped",
            ));
        }
        // SAFETY: the map is read-only and lives as long as the slices of it. That nobody else
        // changes the file cannot be had from any operating system; the module's documentation
        // says what happens then. Nothing in this crate relies on a byte being the same when it is
        // read twice: each index is checked against the slice when it is used.
        let map = unsafe { memmap2::Mmap::map(file)? };
        // A hint, which may be ignored.
        #[cfg(unix)]
        let _ = map.advise(memmap2::Advice::Sequential);
        Ok(MappedFile { map })
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// A file mapped into memory as the arena of a [`FlightRecorder`](crate::FlightRecorder): what was
/// recorded is in the file even if the process is killed.
///
/// The file is locked while this lives, so that no two recorders share it; whoever only reads it
/// need not ask. What was stored is not forced to the disk: it survives the process, not a crash of
/// the operating system.
///
/// ```
/// use gotrace::mmap::MappedArena;
/// use gotrace::recorder::{FlightRecorder, FlightRecorderConfig, arena_size_for};
///
/// # let path = std::env::temp_dir().join(format!("gotrace-doc-{}", std::process::id()));
/// let config = FlightRecorderConfig { max_bytes: 1 << 20, ..Default::default() };
/// let arena = MappedArena::open(&path, arena_size_for(config.max_bytes))?;
/// let mut recorder = FlightRecorder::new(arena, config)?;
/// recorder.write(include_bytes!("../tests/fixtures/gc-go1.27.trace"))?;
/// # std::mem::forget(recorder);
///
/// // After a crash:
/// let arena = std::fs::read(&path)?;
/// let recovered = FlightRecorder::recover(&arena)?;
/// assert_eq!(recovered.snapshot().generations().count(), 1);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MappedArena {
    map: memmap2::MmapMut,
    /// Holds the lock.
    _file: File,
}

impl MappedArena {
    /// Maps a file, which is made if there is none. One that is shorter than `len` bytes is made
    /// that long; one that is longer stays as it is, and is mapped as a whole.
    ///
    /// All of it is allocated, where the operating system can: a store into a map for which the disk
    /// has no room would end the process. With a `len` of 0 nothing is: that is for a look at what
    /// stands there.
    ///
    /// Errors: those of opening, extending and mapping, a full disk among them,
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for anything but a regular file, and
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) while another [`MappedArena`] maps it.
    #[allow(unsafe_code)]
    pub fn open(path: impl AsRef<Path>, len: usize) -> io::Result<MappedArena> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "only a regular file can be an arena",
            ));
        }
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::WouldBlock,
                "another process records into this file",
            ),
            TryLockError::Error(error) => error,
        })?;
        // What is only looked at stays as it is.
        if len > 0 {
            allocate(&file, metadata.len().max(crate::num::wide(len)))?;
        }
        // SAFETY: the map lives as long as the slices of it. The lock keeps other recorders away;
        // against other writers no operating system protects. Whatever they store, every index that
        // is read from an arena is checked against it when it is used.
        let map = unsafe { memmap2::MmapMut::map_mut(&file)? };
        Ok(MappedArena { map, _file: file })
    }
}

/// Makes a file so long at least, with room on the disk for all of it.
fn allocate(file: &File, len: u64) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::{Errno, retry_on_intr};
        match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, len)) {
            // Not on every file system.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            done => return done.map_err(io::Error::from),
        }
    }
    if file.metadata()?.len() < len {
        file.set_len(len)?;
    }
    Ok(())
}

impl AsRef<[u8]> for MappedArena {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

impl AsMut<[u8]> for MappedArena {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.map
    }
}
