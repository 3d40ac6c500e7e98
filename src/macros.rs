//! Macros that rooms share.

/// `defmt::Format` as `Debug` shows it, for types whose derived form would be too long or impossible.
#[cfg(feature = "defmt")]
macro_rules! format_as_debug {
    ($([$($params:tt)*] $ty:ty;)*) => {$(
        impl<$($params)*> defmt::Format for $ty {
            fn format(&self, f: defmt::Formatter<'_>) {
                defmt::write!(f, "{}", defmt::Debug2Format(self));
            }
        }
    )*};
}

#[cfg(not(feature = "defmt"))]
macro_rules! format_as_debug {
    ($($tokens:tt)*) => {};
}
