//! gzip: one member after the other.

use super::error::repeat;
use super::raw::Raw;
use super::{InputError, InputErrorKind};
use alloc::boxed::Box;
use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, Read};

/// The data of all members.
pub(super) struct Members<R> {
    at: At<R>,
    /// What ended the reading, if it was not the end.
    failed: Option<io::Error>,
}

enum At<R> {
    /// The end of a member, or the start.
    Between(Raw<R>),
    Inside(Box<GzDecoder<Raw<R>>>),
    End,
}

impl<R: Read> Members<R> {
    pub(super) const fn new(raw: Raw<R>) -> Self {
        Members {
            at: At::Between(raw),
            failed: None,
        }
    }

    /// Enters the next member, if there is one.
    fn enter(&mut self, mut raw: Raw<R>) -> io::Result<()> {
        loop {
            let rest = raw.fill_buf()?;
            let Some(first) = rest.first() else {
                return Ok(());
            };
            match *first {
                0x1f => break,
                // What a member is filled up with.
                0 => {
                    let zeros = rest.iter().take_while(|byte| **byte == 0).count();
                    raw.consume(zeros);
                }
                _ => {
                    let error = raw.error(InputErrorKind::TrailingBytes, raw.offset());
                    return Err(error.into());
                }
            }
        }
        self.at = At::Inside(Box::new(GzDecoder::new(raw)));
        Ok(())
    }

    /// Reads on; 0 at the end.
    fn advance(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match core::mem::replace(&mut self.at, At::End) {
                At::End => return Ok(0),
                At::Between(raw) => self.enter(raw)?,
                At::Inside(mut decoder) => match decoder.read(buffer) {
                    Ok(0) => self.at = At::Between(decoder.into_inner()),
                    Ok(read) => {
                        decoder.get_mut().held_something();
                        self.at = At::Inside(decoder);
                        return Ok(read);
                    }
                    Err(error) => return Err(judged(error, decoder.get_ref())),
                },
            }
        }
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Some(error) = &mut self.failed {
            return Err(repeat(error));
        }
        self.advance(buffer)
            .map_err(|error| repeat(self.failed.insert(error)))
    }
}

/// What an error of decompressing means; one of the source is its own.
fn judged<R>(error: io::Error, raw: &Raw<R>) -> io::Error {
    let kind = match error.kind() {
        io::ErrorKind::UnexpectedEof => InputErrorKind::Cut,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
            if InputError::of(&error).is_none() =>
        {
            InputErrorKind::Damaged
        }
        _ => return error,
    };
    raw.error(kind, raw.offset()).into()
}
