//! Identifiers: newtypes over the numbers that a trace uses, with absence as `None`.

use crate::num;
use core::fmt;
use core::num::NonZeroU64;

/// Ids whose absent value on the wire is all ones (Go's -1). The complement is stored, so that
/// `Option` of one is as small as the id itself.
macro_rules! complement_id {
    ($($(#[$doc:meta])* $name:ident displays $shown:path;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(NonZeroU64);

        impl $name {
            /// The id with this number on the wire; `None` for `u64::MAX`, which stands for none.
            #[inline(always)]
            pub const fn new(raw: u64) -> Option<Self> {
                match NonZeroU64::new(!raw) {
                    Some(n) => Some(Self(n)),
                    None => None,
                }
            }

            /// The number on the wire, 0 to `u64::MAX - 1`.
            #[inline(always)]
            pub const fn get(self) -> u64 {
                !self.0.get()
            }

            /// The number on the wire of an id that may be absent: `u64::MAX` for none.
            #[inline(always)]
            pub const fn raw(id: Option<Self>) -> u64 {
                match id {
                    Some(id) => id.get(),
                    None => u64::MAX,
                }
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> core::cmp::Ordering {
                self.get().cmp(&other.get())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.get())
            }
        }

        /// As Go prints it: a 64-bit number, signed but for tasks.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $shown(self.get()).fmt(f)
            }
        }

        /// As the number on the wire.
        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_u64(self.get())
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let raw = <u64 as serde::Deserialize>::deserialize(from)?;
                $name::new(raw).ok_or_else(|| serde::de::Error::custom("the number of no id"))
            }
        }

        #[cfg(feature = "defmt")]
        impl defmt::Format for $name {
            fn format(&self, f: defmt::Formatter<'_>) {
                defmt::write!(f, "{=u64}", self.get());
            }
        }
    )*};
}

complement_id! {
    /// A goroutine (`trace.GoID` in Go's API).
    GoId displays num::signed;
    /// A proc: one of the GOMAXPROCS scheduling slots (`trace.ProcID`).
    ProcId displays num::signed;
    /// An operating system thread, an M in Go's words (`trace.ThreadID`).
    ThreadId displays num::signed;
    /// A user task (`trace.TaskID`). See [`TaskId::BACKGROUND`].
    TaskId displays u64::from;
}

impl TaskId {
    /// The task of regions and logs that were given none (`trace.BackgroundTask`): 0.
    pub const BACKGROUND: TaskId = match TaskId::new(0) {
        Some(id) => id,
        None => unreachable!(),
    };
}

/// Ids whose absent value on the wire is 0.
macro_rules! nonzero_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name(NonZeroU64);

        impl $name {
            /// The id with this number on the wire; `None` for 0, which stands for none.
            #[inline(always)]
            pub const fn new(raw: u64) -> Option<Self> {
                match NonZeroU64::new(raw) {
                    Some(n) => Some(Self(n)),
                    None => None,
                }
            }

            /// The number on the wire, 1 to `u64::MAX`.
            #[inline(always)]
            pub const fn get(self) -> u64 {
                self.0.get()
            }

            /// The first id that a table gives: 1.
            pub const FIRST: $name = $name(NonZeroU64::MIN);
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.get().fmt(f)
            }
        }
    )*};
}

nonzero_id! {
    /// A string in its generation's string table. 0 on the wire is the empty string.
    StringId;
    /// A call stack in its generation's stack table. 0 on the wire is no stack.
    StackId;
    /// A generation: a part of a trace, about a second long, that can be read on its own. Numbers
    /// grow by one from generation to generation; a flight recording does not start at 1.
    GenerationId;
}

impl GenerationId {
    /// The number of the generation that follows.
    #[inline]
    pub const fn next(self) -> Option<GenerationId> {
        GenerationId::new(self.get().wrapping_add(1))
    }
}

/// An experiment that experimental batches and events belong to (`tracev2.Experiment`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Experiment(pub u8);

impl Experiment {
    /// Allocation and free events (`GODEBUG=traceallocfree=1`, since Go 1.23).
    pub const ALLOC_FREE: Experiment = Experiment(1);

    /// The name in Go's API, if Go knows the experiment.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Experiment::ALLOC_FREE => Some("AllocFree"),
            _ => None,
        }
    }
}

/// A position in a trace: bytes from its first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Offset(pub u64);

impl From<u64> for Offset {
    fn from(bytes: u64) -> Self {
        Offset(bytes)
    }
}

impl From<Offset> for u64 {
    fn from(offset: Offset) -> Self {
        offset.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_ids_are_none_and_cost_nothing() {
        assert_eq!(GoId::new(u64::MAX), None);
        assert_eq!(GoId::new(0).map(GoId::get), Some(0));
        assert_eq!(size_of::<Option<ThreadId>>(), 8);
        assert_eq!(size_of::<Option<StackId>>(), 8);
        assert!(GoId::new(1) < GoId::new(2));
        assert_eq!(TaskId::BACKGROUND.get(), 0);
    }
}
