//! Reading the fields of a record one after the other: what [`Encoder`](super::Encoder) writes.

use crate::error::{Error, ErrorKind};
use crate::num;
use crate::varint::{self, Fault};

/// A payload being read: remembers where in the trace it is, so that errors say so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'t> {
    bytes: &'t [u8],
    at: usize,
    base: u64,
}

impl<'t> Fields<'t> {
    /// The fields of `bytes`, whose first one is `base` bytes from the start of the trace.
    #[inline]
    pub(crate) const fn new(bytes: &'t [u8], base: u64) -> Self {
        Fields { bytes, at: 0, base }
    }

    /// Bytes from the start of the trace.
    #[inline]
    pub(crate) fn offset(&self) -> u64 {
        self.base.wrapping_add(num::wide(self.at))
    }

    /// Bytes from the start of the payload.
    #[inline]
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// How many bytes are left.
    #[inline]
    pub(crate) const fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// What is left.
    #[inline]
    pub(crate) fn rest(&self) -> &'t [u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    /// An error of this kind where the next field is.
    #[cold]
    pub(crate) fn error(&self, kind: ErrorKind, value: u64) -> Error {
        Error::at(kind, value, self.offset())
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.overrun(1))?;
        self.at = self.at.wrapping_add(1);
        Ok(byte)
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Error> {
        let read = varint::read_at(self.bytes, self.at);
        let (value, at) = read.map_err(|fault| self.fault(fault))?;
        self.at = at;
        Ok(value)
    }

    #[cold]
    fn fault(&self, fault: Fault) -> Error {
        match fault {
            Fault::Short => self.overrun(1),
            Fault::Overflow => self.error(ErrorKind::VarintOverflow, 0),
        }
    }

    /// The error of a field that lacks so many bytes: it is where the bytes end.
    #[cold]
    fn overrun(&self, missing: u64) -> Error {
        let end = self.base.wrapping_add(num::wide(self.bytes.len()));
        Error::at(ErrorKind::BatchOverrun, missing, end)
    }

    /// The next `len` bytes.
    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'t [u8], Error> {
        let rest = self.rest();
        match rest.get(..len) {
            Some(bytes) => {
                self.at = self.at.wrapping_add(len);
                Ok(bytes)
            }
            None => {
                let missing = num::wide(len).saturating_sub(num::wide(rest.len()));
                Err(self.overrun(missing))
            }
        }
    }

    /// The bytes from a position of the payload to the next field.
    pub(crate) fn since(&self, position: usize) -> &'t [u8] {
        self.bytes.get(position..self.at).unwrap_or(&[])
    }

    /// Gives up: nothing is left.
    pub(crate) fn finish(&mut self) {
        self.at = self.bytes.len();
    }
}
