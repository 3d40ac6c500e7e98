//! The conversions between integer widths that the crate needs, each total.
//!
//! `as` is denied everywhere else: here, each use stands beside the reason why it loses nothing that
//! matters.
#![allow(clippy::as_conversions)]

/// A length or position in memory, as a 64-bit number. No supported target has a wider `usize`.
#[inline(always)]
pub(crate) const fn wide(n: usize) -> u64 {
    n as u64
}

/// A number read from a trace, as a length in memory; one that this target cannot address becomes
/// `usize::MAX`, which no slice reaches.
#[inline(always)]
pub(crate) const fn narrow(n: u64) -> usize {
    if n > usize::MAX as u64 {
        usize::MAX
    } else {
        n as usize
    }
}

/// A table index from a `u32`.
#[inline(always)]
pub(crate) const fn index(n: u32) -> usize {
    n as usize
}

/// A table length as a `u32` index; tables stop growing before this saturates.
#[inline(always)]
pub(crate) const fn slot(n: usize) -> u32 {
    if n > u32::MAX as usize {
        u32::MAX
    } else {
        n as u32
    }
}

/// A byte, for constants.
#[inline(always)]
pub(crate) const fn byte(n: u8) -> u32 {
    n as u32
}

/// The low byte.
#[inline(always)]
pub(crate) const fn low_byte(n: u64) -> u8 {
    n as u8
}

/// The same bits, signed: what Go prints for its `int64` ids.
#[inline(always)]
pub(crate) const fn signed(n: u64) -> i64 {
    n as i64
}

/// A float as an integer the way Go on amd64 converts it: what does not fit becomes the smallest.
#[inline(always)]
pub(crate) fn float_to_i64(x: f64) -> i64 {
    // 2^63 is exact as a float; the comparison also refuses NaN.
    if x.abs() < 9_223_372_036_854_775_808.0 {
        x as i64
    } else {
        i64::MIN
    }
}

/// The float as an integer if it is a whole number below a million, else 0.
pub(crate) const fn whole(x: f64) -> u64 {
    let n = x as u64;
    if n < 1_000_000 && n as f64 == x { n } else { 0 }
}

/// The nearest float.
#[inline(always)]
pub(crate) const fn float(n: u64) -> f64 {
    n as f64
}
