//! The file header: sixteen bytes that name the format's version.

use crate::error::{Error, ErrorKind};
use crate::num;
use crate::string::UnknownName;
use core::fmt;

/// The length of the header in bytes.
pub const HEADER_LEN: usize = 16;

/// The version of the trace format, named after the Go release that introduced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Version {
    /// Go 1.11 to 1.18: an older format.
    Go111,
    /// Go 1.19 and 1.20: an older format.
    Go119,
    /// Go 1.21: an older format.
    Go121,
    /// Go 1.22: the first with generations.
    Go122,
    /// Go 1.23 and 1.24: coroutines, statuses with stacks, experiments.
    Go123,
    /// Go 1.25: clock snapshots.
    Go125,
    /// Go 1.26 and later: generations end with a marker.
    Go126,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: &[Version] = &[
        Version::Go111,
        Version::Go119,
        Version::Go121,
        Version::Go122,
        Version::Go123,
        Version::Go125,
        Version::Go126,
    ];

    /// The newest version that this crate writes.
    pub const CURRENT: Version = Version::Go126;

    /// N of `go 1.N` in the header.
    pub const fn minor(self) -> u8 {
        match self {
            Version::Go111 => 11,
            Version::Go119 => 19,
            Version::Go121 => 21,
            Version::Go122 => 22,
            Version::Go123 => 23,
            Version::Go125 => 25,
            Version::Go126 => 26,
        }
    }

    /// The version whose header says `go 1.N`.
    pub fn from_minor(minor: u64) -> Option<Version> {
        Self::ALL
            .iter()
            .copied()
            .find(|v| u64::from(v.minor()) == minor)
    }

    /// Whether this is one of the formats with generations (v2). The others this crate can only read,
    /// and as a whole.
    pub const fn has_generations(self) -> bool {
        !matches!(self, Version::Go111 | Version::Go119 | Version::Go121)
    }

    /// The version, if it is one of the formats with generations.
    ///
    /// Errors: [`NoGenerations`](ErrorKind::NoGenerations).
    pub(crate) fn needing_generations(self) -> Result<Version, Error> {
        if self.has_generations() {
            return Ok(self);
        }
        Err(Error::at(
            ErrorKind::NoGenerations,
            u64::from(self.minor()),
            0,
        ))
    }

    /// Whether sync batches hold a clock snapshot.
    pub(crate) const fn has_clock_snapshot(self) -> bool {
        matches!(self, Version::Go125 | Version::Go126)
    }

    /// Whether there can be batches of experiments.
    #[cfg(feature = "alloc")]
    pub(crate) fn has_experiments(self) -> bool {
        self >= Version::Go123
    }

    /// Whether Go's reader takes a generation without events: before Go 1.25 it ends there with "frontier is
    /// empty".
    #[cfg(feature = "alloc")]
    pub(crate) fn has_empty_generations(self) -> bool {
        self >= Version::Go125
    }

    /// Whether a marker ends each generation.
    pub(crate) const fn has_end_marker(self) -> bool {
        matches!(self, Version::Go126)
    }

    /// Reads the header at the start of `trace`.
    ///
    /// Errors: [`UnexpectedEnd`](ErrorKind::UnexpectedEnd) for the beginning of a header,
    /// [`NotATrace`](ErrorKind::NotATrace) for anything else that is none,
    /// [`OldVersion`](ErrorKind::OldVersion) for Go 1.5 to 1.10,
    /// [`NewerVersion`](ErrorKind::NewerVersion) for one of after [`CURRENT`](Version::CURRENT), and
    /// [`UnknownVersion`](ErrorKind::UnknownVersion) for any other.
    pub fn from_header(trace: &[u8]) -> Result<Version, Error> {
        let head = trace.get(..HEADER_LEN).unwrap_or(trace);
        let (known, rest) = head.split_at_checked(5).unwrap_or((head, &[]));
        if !b"go 1.".starts_with(known) {
            return Err(not_a_trace(head));
        }
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (number, tail) = rest.split_at_checked(digits).unwrap_or((rest, &[]));
        // Zero bytes fill what is left of the header, which is one more after a single digit.
        let filled = b" trace\0\0\0\0";
        let shorter = filled.len().saturating_sub(digits.saturating_sub(1));
        if digits > 2 || !filled.get(..shorter).is_some_and(|f| f.starts_with(tail)) {
            return Err(not_a_trace(head));
        }
        if head.len() < HEADER_LEN {
            let missing = num::wide(HEADER_LEN).saturating_sub(num::wide(head.len()));
            return Err(Error::at(
                ErrorKind::UnexpectedEnd,
                missing,
                num::wide(head.len()),
            ));
        }
        let minor = number.iter().fold(0u64, |n, digit| {
            n.wrapping_mul(10)
                .wrapping_add(u64::from(digit.wrapping_sub(b'0')))
        });
        Version::from_minor(minor).ok_or_else(|| {
            let kind = match minor {
                5..=10 => ErrorKind::OldVersion,
                _ if minor > u64::from(Version::CURRENT.minor()) => ErrorKind::NewerVersion,
                _ => ErrorKind::UnknownVersion,
            };
            Error::at(kind, minor, 5)
        })
    }

    /// The header that names this version.
    pub const fn header(self) -> &'static [u8; HEADER_LEN] {
        match self {
            Version::Go111 => b"go 1.11 trace\0\0\0",
            Version::Go119 => b"go 1.19 trace\0\0\0",
            Version::Go121 => b"go 1.21 trace\0\0\0",
            Version::Go122 => b"go 1.22 trace\0\0\0",
            Version::Go123 => b"go 1.23 trace\0\0\0",
            Version::Go125 => b"go 1.25 trace\0\0\0",
            Version::Go126 => b"go 1.26 trace\0\0\0",
        }
    }
}

/// As the header has it (`go 1.25`), as Go's releases are called (`go1.25`), or only the number
/// (`1.25`).
///
/// ```
/// use gotrace::wire::Version;
///
/// assert_eq!("go1.25".parse(), Ok(Version::Go125));
/// assert!("1.24".parse::<Version>().is_err()); // which writes the format of 1.23
/// ```
impl core::str::FromStr for Version {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let number = name.strip_prefix("go").unwrap_or(name);
        let minor = number.trim_start().strip_prefix("1.");
        let minor = minor.and_then(|minor| minor.parse().ok());
        minor.and_then(Version::from_minor).ok_or(UnknownName {
            what: "trace version",
        })
    }
}

fn not_a_trace(head: &[u8]) -> Error {
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(head) {
        *to = *from;
    }
    Error::at(ErrorKind::NotATrace, u64::from_be_bytes(first), 0)
}

/// As in `Go 1.26`.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Go 1.{}", self.minor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip() {
        for &version in Version::ALL {
            assert_eq!(Version::from_header(version.header()), Ok(version));
            for cut in 0..HEADER_LEN {
                let error = Version::from_header(&version.header()[..cut]).unwrap_err();
                assert_eq!(
                    (error.kind(), error.offset().0),
                    (ErrorKind::UnexpectedEnd, cut as u64)
                );
            }
        }
    }

    #[test]
    fn other_headers_are_refused() {
        let kind = |bytes: &[u8]| Version::from_header(bytes).map_err(|e| (e.kind(), e.value()));
        assert_eq!(
            kind(b"go 1.24 trace\0\0\0"),
            Err((ErrorKind::UnknownVersion, 24))
        );
        assert_eq!(
            kind(b"go 1.5 trace\0\0\0\0"),
            Err((ErrorKind::OldVersion, 5))
        );
        assert_eq!(
            kind(b"go 1.10 trace\0\0\0"),
            Err((ErrorKind::OldVersion, 10))
        );
        assert_eq!(
            kind(b"go 1.4 trace\0\0\0\0"),
            Err((ErrorKind::UnknownVersion, 4))
        );
        assert_eq!(
            kind(b"go 1.28 trace\0\0\0"),
            Err((ErrorKind::NewerVersion, 28))
        );
        assert_eq!(kind(b"go 1.5 tra"), Err((ErrorKind::UnexpectedEnd, 6)));
        assert_eq!(
            kind(b"go 1.5 trace\0\0\0").map_err(|e| e.0),
            Err(ErrorKind::UnexpectedEnd)
        );
        for shifted in [&b"go 1.5 trace\0\0\0x"[..], b"go 1. trace\0\0\0\0\0"] {
            assert_eq!(kind(shifted).map_err(|e| e.0), Err(ErrorKind::NotATrace));
        }
        let newer = Error::at(ErrorKind::NewerVersion, 28, 5);
        let newest = std::format!("up to go 1.{}:", Version::CURRENT.minor());
        assert!(std::format!("{newer}").contains(&newest), "{newer}");
        assert_eq!(
            kind(b"\x7fELF"),
            Err((ErrorKind::NotATrace, 0x7f45_4c46_0000_0000))
        );
        assert_eq!(
            kind(b"go 1.22 trace\0\0x").map_err(|e| e.0),
            Err(ErrorKind::NotATrace)
        );
    }
}
