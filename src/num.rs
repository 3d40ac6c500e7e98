//! The conversions between integer widths that the crate needs, each total.
//!
//! `as` is denied everywhere else: here, each use is beside the reason why it loses nothing that
//! matters.
#![allow(clippy::as_conversions)]

/// The conversions from and to the integer that counts bytes in memory: `usize`, or in a test one as
/// narrow as that of a 16-bit target.
macro_rules! of_size {
    ($size:ty) => {
        /// A length or position in memory, as a 64-bit number. No supported target has a wider
        /// `usize`.
        #[inline(always)]
        pub(crate) const fn wide(n: $size) -> u64 {
            n as u64
        }

        /// A number read from a trace, as a length in memory; one that this target cannot address
        /// becomes the largest, which no slice reaches.
        #[inline(always)]
        pub(crate) const fn narrow(n: u64) -> $size {
            if n > <$size>::MAX as u64 {
                <$size>::MAX
            } else {
                n as $size
            }
        }

        /// A table index or a position from a `u32`, as [`narrow`] does it.
        #[inline(always)]
        pub(crate) const fn index(n: u32) -> $size {
            narrow(n as u64)
        }

        /// A table length as a `u32` index; tables stop growing before this saturates.
        #[inline(always)]
        pub(crate) const fn slot(n: $size) -> u32 {
            if n as u64 > u32::MAX as u64 {
                u32::MAX
            } else {
                n as u32
            }
        }
    };
}

of_size!(usize);

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

/// The low half as a signed number: what Go makes of it where it takes 32 bits.
#[cfg(feature = "alloc")]
#[inline(always)]
pub(crate) const fn sign_extend(n: u64) -> u64 {
    n as i32 as u64
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

/// The smallest integer that is not below it: 0 for what is negative or no number, the largest for
/// what is too large.
#[cfg(feature = "alloc")]
pub(crate) fn ceiling(x: f64) -> u64 {
    let n = x as u64;
    if (n as f64) < x {
        n.saturating_add(1)
    } else {
        n
    }
}

/// The nearest float.
#[inline(always)]
pub(crate) const fn float(n: u64) -> f64 {
    n as f64
}

/// The nearest float.
#[cfg(feature = "alloc")]
#[inline(always)]
pub(crate) const fn float_of(n: i64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    mod sixteen {
        of_size!(u16);
    }

    mod thirty_two {
        of_size!(u32);
    }

    /// No length or position becomes a smaller one: what is out of reach stays out of reach.
    #[test]
    fn narrow_targets_saturate() {
        for n in [
            0,
            1,
            0xfffe,
            0xffff,
            0x1_0000,
            0xffff_ffff,
            0x1_0000_0000,
            u64::MAX,
        ] {
            assert_eq!(u64::from(sixteen::narrow(n)), n.min(0xffff));
            assert_eq!(u64::from(thirty_two::narrow(n)), n.min(0xffff_ffff));
            assert_eq!(sixteen::wide(sixteen::narrow(n)), n.min(0xffff));
            assert_eq!(thirty_two::wide(thirty_two::narrow(n)), n.min(0xffff_ffff));
            if let Ok(n) = u32::try_from(n) {
                assert_eq!(u32::from(sixteen::index(n)), n.min(0xffff));
                assert_eq!(thirty_two::index(n), n);
                assert_eq!(super::index(n) as u64, u64::from(n));
                assert_eq!(thirty_two::slot(n), n);
            }
        }
        assert_eq!(sixteen::slot(u16::MAX), 0xffff);
        assert_eq!(super::slot(usize::MAX), u32::MAX);
    }
}
