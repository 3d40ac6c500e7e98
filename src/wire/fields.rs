//! Reading the fields of a record one after the other, and writing them.

use crate::error::{Error, ErrorKind};
use crate::num;
use crate::varint::{self, Fault};
use zerocopy::IntoBytes;

/// A payload being read: remembers where in the trace it stands, so that errors say so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'t> {
    bytes: &'t [u8],
    at: usize,
    base: u64,
}

impl<'t> Fields<'t> {
    /// The fields of `bytes`, whose first one stands `base` bytes from the start of the trace.
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

    /// An error of this kind where the next field stands.
    #[cold]
    pub(crate) fn error(&self, kind: ErrorKind, value: u64) -> Error {
        Error::new(kind, value, self.offset())
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

    /// The error of a field that lacks so many bytes: it stands where the bytes end.
    #[cold]
    fn overrun(&self, missing: u64) -> Error {
        let end = self.base.wrapping_add(num::wide(self.bytes.len()));
        Error::new(ErrorKind::BatchOverrun, missing, end)
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

/// A buffer being filled with whole records: one that does not fit leaves it as it was.
///
/// ```
/// use gotrace::wire::{Encoder, TimedEvent, EventType};
/// let mut buffer = [0; 3];
/// let mut out = Encoder::new(&mut buffer);
/// out.event(&TimedEvent::new(EventType::PROC_STOP, 300, [0; 4])).unwrap();
/// assert!(out.event(&TimedEvent::new(EventType::PROC_STOP, 1, [0; 4])).is_err());
/// assert_eq!(out.bytes(), [11, 0xac, 0x02]);
/// ```
#[derive(Debug)]
pub struct Encoder<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl<'b> Encoder<'b> {
    /// An encoder that fills `buffer` from its start.
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Encoder { buffer, len: 0 }
    }

    /// What was written so far.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or(&[])
    }

    /// What was written so far, for as long as the buffer lives.
    pub fn into_bytes(self) -> &'b [u8] {
        let len = self.len;
        self.buffer.get(..len).unwrap_or(&[])
    }

    /// How many bytes were written so far.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written yet.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes what `record` writes, all of it or nothing.
    pub(crate) fn record(
        &mut self,
        record: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let start = self.len;
        record(self).inspect_err(|_| self.len = start)
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let free = self.buffer.get_mut(self.len..).unwrap_or(&mut []);
        // Unlike `copy_from_slice`, without a panic to link.
        if bytes.write_to_prefix(free).is_err() {
            let (len, at) = (num::wide(bytes.len()), num::wide(self.len));
            return Err(Error::new(ErrorKind::NoSpace, len, at));
        }
        self.len = self.len.wrapping_add(bytes.len());
        Ok(())
    }

    pub(crate) fn byte(&mut self, byte: u8) -> Result<(), Error> {
        self.put(&[byte])
    }

    pub(crate) fn varint(&mut self, value: u64) -> Result<(), Error> {
        let (bytes, len) = varint::encode(value);
        self.put(bytes.get(..len).unwrap_or(&[]))
    }
}
