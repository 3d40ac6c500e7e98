//! Files mapped into memory: a trace of any size, read without being copied.
//!
//! A map costs no memory of its own: the operating system loads what is touched, and may drop it
//! again. It takes no copy either: what another process does to the file shows through the map.
//!
//! # Why the constructors are unsafe
//!
//! A map is handed out as a slice, and Rust relies on a slice not changing while it is borrowed. No
//! operating system can promise that for a file that other processes may write to, so that the caller
//! has to: the file must not change while it is mapped. Traces that are complete are safe to map;
//! traces that are still being written are for a [`StreamReader`](crate::StreamReader).
//!
//! If the file does change, this is what this crate does about it:
//! - a file that is cut short takes its last bytes away: to touch them ends the process with the signal
//!   `SIGBUS`, unless it has a handler;
//! - a byte that changes is a byte of a damaged trace. Every length and position that is decoded is
//!   checked against the map when it is used, and nothing that was checked is relied on when bytes are
//!   read again, so that a reader gives errors or events that never happened, but stays within the map.
//!   Text is copied before it is checked and printed ([`GoStr`](crate::GoStr) as `Display`, `Quoted`).
//!   Only [`GoStr::to_str`](crate::GoStr::to_str) hands out the map itself as text: do not keep that
//!   where the file may change. A test reads and prints a file while another thread rewrites it.
//!
//! ```
//! use gotrace::{Trace, mmap::MappedFile};
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gc-go1.27.trace");
//! // SAFETY: nothing writes to this file any more.
//! let file = unsafe { MappedFile::open(path)? };
//! let trace = Trace::new(&file)?;
//! assert_eq!(trace.len(), file.len() as u64);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`MappedArena`] is a file to record into.

use alloc::vec::Vec;
use core::time::Duration;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::time::Instant;

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
    ///
    /// # Safety
    ///
    /// While the value lives, the file must not change and must not become shorter: see
    /// [the module](self).
    #[allow(unsafe_code)]
    pub unsafe fn open(path: impl AsRef<Path>) -> io::Result<MappedFile> {
        // SAFETY: as the caller promises.
        unsafe { MappedFile::new(&File::open(path)?) }
    }

    /// Maps an open file, which may be closed afterwards.
    ///
    /// Errors: as for [`open`](MappedFile::open).
    ///
    /// # Safety
    ///
    /// As for [`open`](MappedFile::open).
    #[allow(unsafe_code)]
    pub unsafe fn new(file: &File) -> io::Result<MappedFile> {
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "only a regular file can be mapped",
            ));
        }
        // SAFETY: the map is read-only and outlives the slices of it; the caller promises that the file
        // does not change.
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
/// The file is locked while this lives, so that no two recorders share it; those who only read it
/// need no lock. What was stored is not forced to the disk: it survives the process, not a crash of
/// the operating system.
///
/// ```
/// use gotrace::mmap::MappedArena;
/// use gotrace::recorder::{FlightRecorder, FlightRecorderConfig, arena_size_for};
///
/// # let path = std::env::temp_dir().join(format!("gotrace-doc-{}", std::process::id()));
/// let config = FlightRecorderConfig { max_bytes: 1 << 20, ..Default::default() };
/// // SAFETY: the lock keeps other recorders away, and nothing else writes to this file.
/// let arena = unsafe { MappedArena::open(&path, arena_size_for(config.max_bytes))? };
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
    file: File,
}

/// How long one that looks whether an arena is locked may hold up one that opens it.
const LOOK: Duration = Duration::from_millis(500);

impl MappedArena {
    /// Maps a file, which is made if there is none. One that is shorter than `len` bytes is made
    /// that long; one that is longer stays as it is, and is mapped as a whole.
    ///
    /// All of it is allocated, holes are filled: a store into a map for which the disk has no room
    /// would end the process. With a `len` of 0 nothing is: that is for a look at what is there, after
    /// which [`grow`](MappedArena::grow) makes it as long as it is to be.
    ///
    /// Errors: those of opening, extending and mapping, a full disk among them,
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for anything but a regular file, and
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) while another [`MappedArena`] maps it.
    ///
    /// # Safety
    ///
    /// While the value lives, nothing but this map may write to the file or make it shorter. A lock
    /// keeps other values of this type away, in every process; against others no operating system
    /// protects: see [the module](self).
    #[allow(unsafe_code)]
    pub unsafe fn open(path: impl AsRef<Path>, len: usize) -> io::Result<MappedArena> {
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
        lock(&file)?;
        // SAFETY: as the caller promises.
        let map = unsafe { map(&file, len)? };
        Ok(MappedArena { map, file })
    }

    /// Makes the file `len` bytes long, if it is shorter, and maps all of it anew. The lock is held all
    /// the time.
    ///
    /// Errors: those of extending and mapping.
    #[allow(unsafe_code)]
    pub fn grow(&mut self, len: usize) -> io::Result<()> {
        // SAFETY: as `open`'s caller promised for as long as this lives; `self` is borrowed, so that no
        // slice of the old map is.
        self.map = unsafe { map(&self.file, len)? };
        Ok(())
    }

    /// The file, to see whether it is still what it was.
    pub const fn file(&self) -> &File {
        &self.file
    }
}

/// Locks a file, against all who record into it; not against those who only look whether one does,
/// for a moment.
fn lock(file: &File) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOOK => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(
                    io::ErrorKind::WouldBlock,
                    "another process records into this file",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Maps a file of at least `len` bytes.
///
/// # Safety
///
/// As for [`MappedArena::open`].
#[allow(unsafe_code)]
unsafe fn map(file: &File, len: usize) -> io::Result<memmap2::MmapMut> {
    // What is only looked at stays as it is.
    if len > 0 {
        allocate(file, file.metadata()?.len().max(crate::num::wide(len)))?;
    }
    // SAFETY: the map outlives the slices of it; the lock keeps other recorders away, and the caller
    // promises the same of everything else. Whatever is stored there, every index that is read from
    // an arena is checked against it when it is used.
    unsafe { memmap2::MmapMut::map_mut(file) }
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
    fill(file, len)
}

/// The same by writing zeros over what holds none, holes included.
fn fill(mut file: &File, len: u64) -> io::Result<()> {
    use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
    const BLOCK: u64 = 64 << 10;
    const PAGE: usize = 4 << 10;
    if file.metadata()?.len() < len {
        file.set_len(len)?;
    }
    let mut at = 0;
    let mut block = Vec::new();
    while at < len {
        file.seek(SeekFrom::Start(at))?;
        block.clear();
        let read = file
            .take(BLOCK.min(len.saturating_sub(at)))
            .read_to_end(&mut block)?;
        if read == 0 {
            break;
        }
        // A hole is as large as a page at least.
        let has_hole = |page: &[u8]| page.iter().all(|byte| *byte == 0);
        if block.chunks(PAGE).any(has_hole) {
            file.seek(SeekFrom::Start(at))?;
            file.write_all(&block)?;
        }
        at = at.saturating_add(crate::num::wide(read));
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};

    /// As on a file system that cannot allocate.
    #[test]
    fn holes_are_filled() {
        let path = std::env::temp_dir().join(std::format!("gotrace-holes-{}", std::process::id()));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).open(&path);
        let file = file.unwrap();
        std::fs::remove_file(&path).unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(b"kept", 300_000).unwrap();
        let blocks = || file.metadata().unwrap().blocks() * 512;
        assert!(blocks() < 1 << 19);
        fill(&file, 2 << 20).unwrap();
        assert!(blocks() >= 2 << 20, "{}", blocks());
        let mut kept = [0; 6];
        file.read_exact_at(&mut kept, 299_999).unwrap();
        assert_eq!(&kept, b"\0kept\0");
    }
}
