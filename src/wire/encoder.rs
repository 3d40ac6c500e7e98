//! Writing the fields of a record one after the other: what `Fields` reads.

use super::header::Version;
use crate::error::{Error, ErrorKind};
use crate::num;
use crate::varint;
use zerocopy::IntoBytes;

/// The space in which a record of fixed size is put together: that of the largest, and more, so
/// that a position in it is a mask away from being in range.
pub(crate) const STAGE: usize = 64;

/// A buffer being filled with whole records: one that does not fit leaves it as it was.
///
/// Records of types that the encoder's [version](Encoder::for_version) does not have are refused
/// with [`NotInVersion`](ErrorKind::NotInVersion).
///
/// ```
/// use gotrace::wire::{Encoder, timed};
/// let mut buffer = [0; 3];
/// let mut out = Encoder::new(&mut buffer);
/// out.event(&timed::ProcStop {}.after(300)).unwrap();
/// assert!(out.event(&timed::ProcStop {}.after(1)).is_err());
/// assert_eq!(out.bytes(), [11, 0xac, 0x02]);
/// ```
#[derive(Debug)]
pub struct Encoder<'b> {
    buffer: &'b mut [u8],
    len: usize,
    minor: u8,
}

impl<'b> Encoder<'b> {
    /// An encoder that fills `buffer` from its start, for traces of the newest version.
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self::for_version(buffer, Version::CURRENT)
    }

    /// An encoder that fills `buffer` from its start, and refuses what `version` does not have.
    pub const fn for_version(buffer: &'b mut [u8], version: Version) -> Self {
        Self::resume(buffer, 0, version)
    }

    /// An encoder of a buffer that holds `len` bytes already.
    #[inline(always)]
    pub(super) const fn resume(buffer: &'b mut [u8], len: usize, version: Version) -> Self {
        Encoder {
            buffer,
            len,
            minor: version.minor(),
        }
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
    #[inline(always)]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written yet.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the encoder's version has what came with Go 1.`minor`.
    #[inline(always)]
    pub(super) const fn has(&self, minor: u8) -> bool {
        minor <= self.minor
    }

    /// An error about what would be written next.
    #[cold]
    pub(super) fn error(&self, kind: ErrorKind, value: u64) -> Error {
        Error::at(kind, value, num::wide(self.len))
    }

    /// Writes what `record` writes, all of it or nothing.
    pub(super) fn whole(
        &mut self,
        record: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let start = self.len;
        record(self).inspect_err(|_| self.len = start)
    }

    /// Writes a record of a type and numbers, at most six.
    #[inline]
    pub(super) fn numbers(&mut self, ty: u8, numbers: &[u64]) -> Result<(), Error> {
        self.staged(|stage| stage_numbers(stage, 1, ty, numbers))
    }

    /// Writes a record of a type, a number, and others, at most five.
    #[inline(always)]
    pub(super) fn timed(&mut self, ty: u8, dt: u64, numbers: &[u64]) -> Result<(), Error> {
        self.staged(|stage| stage_event(stage, ty, dt, numbers))
    }

    /// Writes what `write` puts at the start of a stage; it says how long that is.
    #[inline(always)]
    fn staged(&mut self, write: impl Fn(&mut [u8; STAGE]) -> usize) -> Result<(), Error> {
        let place = self.buffer.get_mut(self.len..);
        if let Some(stage) = place.and_then(<[u8]>::first_chunk_mut) {
            let len = write(stage);
            self.len = self.len.wrapping_add(len);
            return Ok(());
        }
        // The buffer is nearly full.
        let mut stage = [0; STAGE];
        let len = write(&mut stage);
        self.put(stage.get(..len).unwrap_or(&[]))
    }

    /// How many bytes can still be written.
    pub(crate) fn room(&self) -> usize {
        self.buffer.len().saturating_sub(self.len)
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let free = self.buffer.get_mut(self.len..).unwrap_or(&mut []);
        // Unlike `copy_from_slice`, without a panic to link.
        if bytes.write_to_prefix(free).is_err() {
            return Err(self.error(ErrorKind::NoSpace, num::wide(bytes.len())));
        }
        self.len = self.len.wrapping_add(bytes.len());
        Ok(())
    }

    pub(super) fn byte(&mut self, byte: u8) -> Result<(), Error> {
        self.put(&[byte])
    }

    pub(super) fn varint(&mut self, value: u64) -> Result<(), Error> {
        let (bytes, len) = varint::encode(value);
        self.put(bytes.get(..len).unwrap_or(&[]))
    }

    /// A number in `len` bytes, or as few more as it takes.
    pub(super) fn padded(&mut self, value: u64, len: usize) -> Result<(), Error> {
        let (mut bytes, shortest) = varint::encode(value);
        // `clamp` would bring a panic with it.
        let len = len.max(shortest).min(varint::MAX_LEN);
        for at in shortest.wrapping_sub(1)..len.wrapping_sub(1) {
            if let Some(byte) = bytes.get_mut(at) {
                *byte |= 0x80;
            }
        }
        self.put(bytes.get(..len).unwrap_or(&[]))
    }
}

/// Puts a timed event at the start of `stage`, and says how long it is.
#[inline(always)]
pub(super) fn stage_event(stage: &mut [u8; STAGE], ty: u8, dt: u64, numbers: &[u64]) -> usize {
    let at = stage_number(stage, 1, dt);
    stage_numbers(stage, at, ty, numbers)
}

/// Puts a type at the start of `stage`, and numbers at `at`; says where they end.
#[inline(always)]
fn stage_numbers(stage: &mut [u8; STAGE], at: usize, ty: u8, numbers: &[u64]) -> usize {
    set(stage, 0, ty);
    let put = |at, number: &u64| stage_number(stage, at, *number);
    numbers.iter().fold(at, put)
}

/// Most numbers have one to four bytes, and processors of 32 bits deal with these faster.
#[inline(always)]
fn stage_number(stage: &mut [u8; STAGE], at: usize, number: u64) -> usize {
    match u32::try_from(number) {
        Ok(mut left) => {
            let mut at = at;
            while left >= 0x80 {
                set(stage, at, num::low_byte(u64::from(left)) | 0x80);
                left = left.wrapping_shr(7);
                at = at.wrapping_add(1);
            }
            set(stage, at, num::low_byte(u64::from(left)));
            at.wrapping_add(1)
        }
        Err(_) => stage_long(stage, at, number),
    }
}

#[inline(never)]
fn stage_long(stage: &mut [u8; STAGE], at: usize, number: u64) -> usize {
    let (bytes, len) = varint::encode(number);
    bytes.iter().take(len).fold(at, |at, byte| {
        set(stage, at, *byte);
        at.wrapping_add(1)
    })
}

#[inline(always)]
fn set(stage: &mut [u8; STAGE], at: usize, byte: u8) {
    // The mask changes no position that is in range, and spares the check.
    if let Some(place) = stage.get_mut(at & (STAGE - 1)) {
        *place = byte;
    }
}
