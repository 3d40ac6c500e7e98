//! What can be wrong with compressed data.

use super::Compression;
use core::fmt;
use std::io;

/// What is wrong with an [`Input`](super::Input), and where.
///
/// It comes as the inner error of an [`io::Error`], and displays as one line, for example `the zstd
/// data are cut short, at byte 13676 of the compressed data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputError {
    compression: Compression,
    kind: InputErrorKind,
    offset: u64,
}

/// What is wrong with an [`Input`](super::Input).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputErrorKind {
    /// This crate was built without the feature for the format.
    Unsupported,
    /// The data end inside a gzip member, or a zstd frame.
    Cut,
    /// They are not as the format wants them.
    Damaged,
    /// They expand to something, but not to what was compressed.
    Checksum,
    /// What follows the end of a member or frame is not another one.
    TrailingBytes,
    /// A zstd frame needs a dictionary, which it names by this number.
    Dictionary(u32),
    /// A zstd frame needs a window of more bytes than the limit.
    WindowTooLarge {
        /// What the frame needs.
        window: u64,
        /// What [`with_window_limit`](super::Input::with_window_limit) allows.
        limit: u64,
    },
    /// There is no memory for the window that a zstd frame needs, of so many bytes.
    NoMemory(u64),
    /// They go on for so many bytes without holding anything.
    Empty(u64),
    /// They hold more than so many bytes, which were to be held in memory.
    TooLarge {
        /// What the caller allows.
        limit: u64,
    },
}

impl InputError {
    pub(super) const fn new(compression: Compression, kind: InputErrorKind, offset: u64) -> Self {
        InputError {
            compression,
            kind,
            offset,
        }
    }

    /// The format of the data.
    pub const fn compression(&self) -> Compression {
        self.compression
    }

    /// What is wrong.
    pub const fn kind(&self) -> InputErrorKind {
        self.kind
    }

    /// Where: bytes from the start of the data as they are, compressed. Of damage, where the zstd
    /// block or frame begins that it is in, or how far gzip was read when it was found. Of
    /// [`TooLarge`](InputErrorKind::TooLarge) the limit.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The one that an error of reading holds.
    pub fn of(error: &io::Error) -> Option<InputError> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.compression;
        match self.kind {
            InputErrorKind::Unsupported => {
                return write!(
                    f,
                    "the data are compressed with {name}, which this was built without"
                );
            }
            InputErrorKind::Cut => write!(f, "the {name} data are cut short")?,
            InputErrorKind::Damaged => write!(f, "the {name} data are damaged")?,
            InputErrorKind::Checksum => {
                write!(f, "the {name} data are damaged: their checksum is another")?;
            }
            InputErrorKind::TrailingBytes => {
                write!(f, "what follows the {name} data is something else")?;
            }
            InputErrorKind::Dictionary(id) => {
                write!(f, "the {name} data need dictionary {id}")?;
            }
            InputErrorKind::WindowTooLarge { window, limit } => write!(
                f,
                "the {name} data need a window of {window} bytes, the limit is {limit}"
            )?,
            InputErrorKind::NoMemory(window) => write!(
                f,
                "no memory for the window of {window} bytes that the {name} data need"
            )?,
            InputErrorKind::Empty(bytes) => {
                write!(f, "the {name} data hold nothing in {bytes} bytes")?;
            }
            InputErrorKind::TooLarge { limit } => {
                return write!(f, "the data are longer than {limit} bytes, the limit");
            }
        }
        write!(f, ", at byte {} of the compressed data", self.offset)
    }
}

impl core::error::Error for InputError {}

impl From<InputError> for io::Error {
    fn from(error: InputError) -> io::Error {
        let kind = match error.kind {
            InputErrorKind::Unsupported => io::ErrorKind::Unsupported,
            InputErrorKind::Cut => io::ErrorKind::UnexpectedEof,
            InputErrorKind::NoMemory(_) => io::ErrorKind::OutOfMemory,
            InputErrorKind::WindowTooLarge { .. } | InputErrorKind::TooLarge { .. } => {
                io::ErrorKind::FileTooLarge
            }
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

/// Gives an error, and leaves one to be given again.
#[cfg(any(feature = "gzip", feature = "zstd"))]
pub(super) fn repeat(error: &mut io::Error) -> io::Error {
    let again = match InputError::of(error) {
        Some(same) => same.into(),
        None => io::Error::from(error.kind()),
    };
    core::mem::replace(error, again)
}
