//! Opening a trace wherever it is: a file, a pipe, plain or compressed.
//!
//! An [`Input`] is a [`Read`] of what its source holds. It recognises gzip and zstd by their first
//! bytes and decompresses as it is read, so that what the data expand to costs no memory:
//!
//! | | memory |
//! | --- | --- |
//! | plain | 32 KiB |
//! | gzip | 32 KiB, and the format's window of 32 KiB |
//! | zstd | 32 KiB, and the window that a frame names, up to [`DEFAULT_WINDOW`] or the limit that [`with_window_limit`](Input::with_window_limit) sets |
//!
//! Several gzip members or zstd frames follow each other as the tools write them, with zstd's
//! skippable frames and the zero bytes that pad a gzip file left out. Everything before a cut or
//! damage is given; then comes one [`InputError`] that says where in the compressed data it is.
//! Compressed data that go on and on without holding a byte are an error as well.
//!
//! The first bytes of a zstd frame are given before its window is full. [`Input::version`] looks at
//! the header of a trace, and reads no more than that needs: what is no trace is refused at once,
//! whatever it expands to.
//!
//! ```
//! use gotrace::{StreamReader, source::open::Input};
//!
//! let input = Input::open("tests/fixtures/gc-go1.23.trace")?;
//! let mut reader = StreamReader::new(input)?;
//! let mut events = 0;
//! while reader.next()?.is_some() {
//!     events += 1;
//! }
//! assert_eq!(events, 12367);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The features `gzip` and `zstd` bring the two formats; without them, compressed data is an error
//! that says so.

mod error;
#[cfg(feature = "gzip")]
mod gzip;
mod raw;
mod strange;
#[cfg(feature = "zstd")]
mod zstd;

pub use error::{InputError, InputErrorKind};
pub use strange::Strange;

use crate::num;
use crate::reader::ReadError;
use crate::wire::{HEADER_LEN, Version};
use alloc::vec::Vec;
use core::fmt;
use raw::Raw;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The largest window of a zstd frame that is accepted without being asked for: 128 MiB, as the
/// tool `zstd` does it. Its own highest level takes as much.
pub const DEFAULT_WINDOW: u64 = 128 << 20;

/// How the bytes of an [`Input`] are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    Plain,
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
}

impl Compression {
    /// How many bytes [`of`](Compression::of) looks at.
    pub const LOOKS_AT: usize = 4;

    /// What data that begin so are compressed with.
    pub fn of(bytes: &[u8]) -> Compression {
        match bytes {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            // A frame that is to be skipped; data follow it.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::Plain,
        }
    }
}

/// The name of the format, as in `gzip`.
impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Compression::Plain => "plain",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        })
    }
}

/// What a source holds, decompressed while it is read: see the [module](self).
///
/// A read gives what is there and waits only if nothing is. After an error, every further read
/// gives an error.
pub struct Input<R> {
    format: Format<R>,
    /// What was looked at before it was read.
    head: Vec<u8>,
    /// Bytes given.
    position: u64,
}

/// What the bytes come through.
enum Format<R> {
    Plain(Raw<R>),
    #[cfg(feature = "gzip")]
    Gzip(gzip::Members<R>),
    #[cfg(feature = "zstd")]
    Zstd(zstd::Frames<R>),
}

impl Input<File> {
    /// Opens a file.
    ///
    /// Errors: those of opening it, and as for [`new`](Input::new).
    pub fn open(path: impl AsRef<Path>) -> io::Result<Input<File>> {
        Input::new(File::open(path)?)
    }
}

impl<R: Read> Input<R> {
    /// An input from anything that can be read. Reads its first [`Compression::LOOKS_AT`] bytes,
    /// or a few more. The source needs no buffer of its own.
    ///
    /// Errors: those of the source, and [`Unsupported`](InputErrorKind::Unsupported).
    pub fn new(source: R) -> io::Result<Input<R>> {
        let mut raw = Raw::new(source);
        let compression = raw.recognise()?;
        let format = match compression {
            #[cfg(feature = "gzip")]
            Compression::Gzip => Format::Gzip(gzip::Members::new(raw)),
            #[cfg(feature = "zstd")]
            Compression::Zstd => Format::Zstd(zstd::Frames::new(raw)),
            Compression::Plain => Format::Plain(raw),
            #[cfg(not(all(feature = "gzip", feature = "zstd")))]
            other => return Err(InputError::new(other, InputErrorKind::Unsupported, 0).into()),
        };
        Ok(Input {
            format,
            head: Vec::new(),
            position: 0,
        })
    }

    /// Sets the largest window of a zstd frame in bytes, in the place of [`DEFAULT_WINDOW`]: what
    /// decompressing may take. For the frames that are still to come.
    #[must_use]
    #[cfg_attr(
        not(feature = "zstd"),
        expect(unused_mut, unused_variables, reason = "only zstd has windows")
    )]
    pub fn with_window_limit(mut self, bytes: u64) -> Input<R> {
        #[cfg(feature = "zstd")]
        if let Format::Zstd(frames) = &mut self.format {
            frames.limit_window(bytes);
        }
        self
    }

    /// How the source is compressed.
    pub const fn compression(&self) -> Compression {
        match self.format {
            Format::Plain(_) => Compression::Plain,
            #[cfg(feature = "gzip")]
            Format::Gzip(_) => Compression::Gzip,
            #[cfg(feature = "zstd")]
            Format::Zstd(_) => Compression::Zstd,
        }
    }

    /// How many bytes were read from this: of a plain source, or of what a compressed one holds.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The version that the header of a trace names. It is read again by whatever reads the trace;
    /// to be asked before anything is read.
    ///
    /// Errors: those of the source if it does not hold a header's length, and of
    /// [`Version::from_header`].
    pub fn version(&mut self) -> Result<Version, ReadError> {
        let missing = HEADER_LEN.saturating_sub(self.head.len());
        let mut head = core::mem::take(&mut self.head);
        let read = (&mut self.format)
            .take(num::wide(missing))
            .read_to_end(&mut head);
        self.head = head;
        let version = Version::from_header(&self.head);
        match read {
            // What broke off the header is not the trace's fault.
            Err(error) if self.head.len() < HEADER_LEN => Err(error.into()),
            _ => Ok(version?),
        }
    }

    /// Everything, for what needs a trace in memory ([`Trace`](crate::Trace)): at most so many bytes.
    /// The header is looked at first.
    ///
    /// Errors: [`version`](Input::version)'s; those of the source and of damaged data, with nothing
    /// given then; [`TooLarge`](InputErrorKind::TooLarge).
    pub fn read_trace(mut self, limit: u64) -> Result<Vec<u8>, ReadError> {
        self.version()?;
        let mut bytes = Vec::new();
        let read = self.by_ref().take(limit).read_to_end(&mut bytes)?;
        if num::wide(read) == limit && self.read(&mut [0])? > 0 {
            let kind = InputErrorKind::TooLarge { limit };
            let error = InputError::new(self.compression(), kind, limit);
            return Err(io::Error::from(error).into());
        }
        Ok(bytes)
    }
}

impl<R: Read> Read for Format<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Format::Plain(raw) => raw.read(buffer),
            #[cfg(feature = "gzip")]
            Format::Gzip(members) => members.read(buffer),
            #[cfg(feature = "zstd")]
            Format::Zstd(frames) => frames.read(buffer),
        }
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = if self.head.is_empty() {
            self.format.read(buffer)?
        } else {
            let read = self.head.as_slice().read(buffer)?;
            self.head.drain(..read);
            read
        };
        self.position = self.position.saturating_add(num::wide(read));
        Ok(read)
    }
}

impl<R> fmt::Debug for Input<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
