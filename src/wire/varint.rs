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
    match bytes.split_first() {
        None => Err(Fault::Short),
        Some((&first, rest)) if first < 0x80 => {
            let _ = rest;
            Ok((u64::from(first), 1))
        }
        Some(_) => read_long(bytes),
    }
}

/// Numbers of two bytes and more.
#[inline]
fn read_long(bytes: &[u8]) -> Result<(u64, usize), Fault> {
    let mut value = 0u64;
    let mut shift = 0u32;
    for &byte in bytes.iter().take(MAX_LEN) {
        if byte < 0x80 {
            if shift == 63 && byte > 1 {
                return Err(Fault::Overflow);
            }
            let value = value | u64::from(byte).wrapping_shl(shift);
            let len = num::index(shift.wrapping_div(7)).wrapping_add(1);
            return Ok((value, len));
        }
        value |= u64::from(byte & 0x7f).wrapping_shl(shift);
        shift = shift.wrapping_add(7);
    }
    Err(if bytes.len() < MAX_LEN {
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
