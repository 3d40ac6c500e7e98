//! The bytes of a source as they are, and how far they were used.

use super::{Compression, InputError, InputErrorKind};
use crate::num;
use alloc::vec::Vec;
use std::io::{self, BufRead, Read};

/// The size of the buffer.
const BUFFER: usize = 32 << 10;

/// Reads of this size go past the buffer.
const LARGE: usize = 4 << 10;

/// How many bytes of compressed data may hold nothing. A seek table of zstd takes a few bytes for
/// each frame, so that this is enough for any file.
const MOST_EMPTY: u64 = 64 << 20;

/// A source with a buffer, which counts.
pub(super) struct Raw<R> {
    source: R,
    compression: Compression,
    /// What was read, and how much of it was used.
    buffer: Vec<u8>,
    used: usize,
    /// Bytes used altogether.
    offset: u64,
    /// Where the data begin that hold nothing so far.
    empty_since: u64,
}

impl<R> Raw<R> {
    pub(super) const fn new(source: R) -> Self {
        Raw {
            source,
            compression: Compression::Plain,
            buffer: Vec::new(),
            used: 0,
            offset: 0,
            empty_since: 0,
        }
    }

    /// How many bytes were used.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// What was used so far held something.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(super) const fn held_something(&mut self) {
        self.empty_since = self.offset;
    }

    /// What is wrong at an offset.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(super) const fn error(&self, kind: InputErrorKind, offset: u64) -> InputError {
        InputError::new(self.compression, kind, offset)
    }

    fn buffered(&self) -> &[u8] {
        self.buffer.get(self.used..).unwrap_or(&[])
    }
}

impl<R: Read> Raw<R> {
    /// Looks at the first bytes for what they are compressed with.
    pub(super) fn recognise(&mut self) -> io::Result<Compression> {
        while self.buffered().len() < Compression::LOOKS_AT && self.more()? > 0 {}
        self.compression = Compression::of(self.buffered());
        Ok(self.compression)
    }

    /// Reads behind what the buffer holds; gives how many bytes, 0 at the end.
    fn more(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.used.min(self.buffer.len()));
        self.used = 0;
        let len = self.buffer.len();
        self.buffer.resize(BUFFER, 0);
        let read = loop {
            match self
                .source
                .read(self.buffer.get_mut(len..).unwrap_or(&mut []))
            {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let end = read.as_ref().map_or(len, |read| len.saturating_add(*read));
        self.buffer.truncate(end);
        read
    }
}

impl<R: Read> BufRead for Raw<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let empty = self.offset.wrapping_sub(self.empty_since);
        if self.compression != Compression::Plain && empty > MOST_EMPTY {
            let kind = InputErrorKind::Empty(empty);
            return Err(InputError::new(self.compression, kind, self.offset).into());
        }
        if self.buffered().is_empty() {
            self.more()?;
        }
        Ok(self.buffered())
    }

    fn consume(&mut self, n: usize) {
        self.used = self.used.saturating_add(n).min(self.buffer.len());
        self.offset = self.offset.wrapping_add(num::wide(n));
    }
}

impl<R: Read> Read for Raw<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.buffered().is_empty() && buffer.len() >= LARGE {
            let read = self.source.read(buffer)?;
            self.offset = self.offset.wrapping_add(num::wide(read));
            return Ok(read);
        }
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}
