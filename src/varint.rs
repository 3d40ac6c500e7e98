//! Variable-length numbers: seven bits a byte, low bits first, the top bit set on all but the last.
//!
//! The encoding of Go's `encoding/binary`: at most ten bytes, and padding with zero bits is
//! allowed, which Go's runtime uses for lengths that it fills in later.

use crate::num;

/// The longest encoding, in bytes.
pub const MAX_LEN: usize = 10;

/// Why no number could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Fault {
    /// The bytes end inside the number.
    Short,
    /// The number does not fit 64 bits.
    Overflow,
}

/// Reads the number at the start of `bytes`, and says how many bytes it takes, 1 to [`MAX_LEN`].
///
/// ```
/// use gotrace::wire::varint;
/// assert_eq!(varint::read(&[0xac, 0x02, 0xff]), Ok((300, 2)));
/// assert_eq!(varint::read(&[0xac]), Err(varint::Fault::Short));
/// ```
#[inline(always)]
pub fn read(bytes: &[u8]) -> Result<(u64, usize), Fault> {
    read_at(bytes, 0)
}

/// Reads the number at `at`, and says where it ends.
///
/// Nearly every number of a trace has one to four bytes. Which, the processor predicts well: to
/// look at one byte after the other is faster than any way to find the end without branches.
#[inline(always)]
pub(crate) fn read_at(bytes: &[u8], at: usize) -> Result<(u64, usize), Fault> {
    let byte = |at: usize| bytes.get(at).map(|b| u64::from(*b)).ok_or(Fault::Short);
    let a = byte(at)?;
    let at_b = at.wrapping_add(1);
    if a < 0x80 {
        return Ok((a, at_b));
    }
    let b = byte(at_b)?;
    let at_c = at.wrapping_add(2);
    if b < 0x80 {
        return Ok((a & 0x7f | b << 7, at_c));
    }
    let c = byte(at_c)?;
    let at_d = at.wrapping_add(3);
    if c < 0x80 {
        return Ok((a & 0x7f | (b & 0x7f) << 7 | c << 14, at_d));
    }
    let d = byte(at_d)?;
    if d < 0x80 {
        let low = a & 0x7f | (b & 0x7f) << 7;
        return Ok((low | (c & 0x7f) << 14 | d << 21, at.wrapping_add(4)));
    }
    read_long(bytes, at)
}

/// Numbers of any length.
#[cold]
fn read_long(bytes: &[u8], at: usize) -> Result<(u64, usize), Fault> {
    let rest = bytes.get(at..).unwrap_or(&[]);
    let mut value = 0u64;
    let mut shift = 0u32;
    for &byte in rest.iter().take(MAX_LEN) {
        if byte < 0x80 {
            if shift == 63 && byte > 1 {
                return Err(Fault::Overflow);
            }
            let value = value | u64::from(byte).wrapping_shl(shift);
            let len = num::index(shift.wrapping_div(7)).wrapping_add(1);
            return Ok((value, at.wrapping_add(len)));
        }
        value |= u64::from(byte & 0x7f).wrapping_shl(shift);
        shift = shift.wrapping_add(7);
    }
    Err(if rest.len() < MAX_LEN {
        Fault::Short
    } else {
        Fault::Overflow
    })
}

/// The shortest encoding of `value`: the first so many bytes of the array.
///
/// ```
/// use gotrace::wire::varint;
/// let (bytes, len) = varint::encode(300);
/// assert_eq!(bytes[..len], [0xac, 0x02]);
/// ```
pub fn encode(value: u64) -> ([u8; MAX_LEN], usize) {
    let mut bytes = [0; MAX_LEN];
    let mut left = value;
    let mut len = 0usize;
    for byte in &mut bytes {
        *byte = num::low_byte(left & 0x7f);
        left = left.wrapping_shr(7);
        len = len.wrapping_add(1);
        if left == 0 {
            break;
        }
        *byte |= 0x80;
    }
    (bytes, len)
}

/// How many bytes [`encode`] gives, 1 to [`MAX_LEN`].
pub const fn len(value: u64) -> usize {
    let bits = 64u32.saturating_sub((value | 1).leading_zeros());
    num::index(bits.div_ceil(7))
}
