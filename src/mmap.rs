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

use std::fs::File;
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
