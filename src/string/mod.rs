//! Go strings: bytes that are usually, but not always, UTF-8.

mod chunks;
pub(crate) mod printable;

use core::fmt;
use printable::is_printable;

/// A string of a trace: a slice of it, UTF-8 only by convention.
///
/// Displays lossily (an invalid byte as U+FFFD); [`quoted`](GoStr::quoted) displays everything
/// escaped on one line, as Go's `%q` does, safe to print to a terminal.
///
/// ```
/// use gotrace::GoStr;
/// let s = GoStr::new(b"gr\xc3\xbc\xc3\x9fe\n\xff");
/// assert_eq!(s.to_string(), "grüße\n\u{fffd}");
/// assert_eq!(s.quoted().to_string(), r#""grüße\n\xff""#);
/// assert_eq!(s.to_str(), None);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoStr<'t>(&'t [u8]);

impl<'t> GoStr<'t> {
    /// The empty string.
    pub const EMPTY: GoStr<'static> = GoStr(&[]);

    /// A string of these bytes.
    #[inline]
    pub const fn new(bytes: &'t [u8]) -> Self {
        GoStr(bytes)
    }

    /// The bytes.
    #[inline]
    pub const fn as_bytes(self) -> &'t [u8] {
        self.0
    }

    /// The string, if it is UTF-8.
    pub fn to_str(self) -> Option<&'t str> {
        core::str::from_utf8(self.0).ok()
    }

    /// Whether there are no bytes.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Displays the string quoted and escaped as Go's `strconv.Quote` does.
    pub const fn quoted(self) -> Quoted<'t> {
        Quoted {
            bytes: self.0,
            style: Style::Quoted,
        }
    }

    /// Displays the string as [`quoted`](GoStr::quoted) does, without the quotes around it.
    pub const fn escaped(self) -> Quoted<'t> {
        Quoted {
            bytes: self.0,
            style: Style::Inner,
        }
    }

    /// Displays the string as it is, except that what cannot be printed is escaped: for names that
    /// stand alone on a terminal.
    pub const fn printable(self) -> Quoted<'t> {
        Quoted {
            bytes: self.0,
            style: Style::Printable,
        }
    }
}

impl fmt::Display for GoStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        chunks::for_each(self.0, |text, invalid| {
            f.write_str(text)?;
            f.write_str(if invalid.is_empty() { "" } else { "\u{fffd}" })
        })
    }
}

impl fmt::Debug for GoStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.quoted().fmt(f)
    }
}

impl<'t> From<&'t str> for GoStr<'t> {
    fn from(s: &'t str) -> Self {
        GoStr(s.as_bytes())
    }
}

impl PartialEq<str> for GoStr<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for GoStr<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for GoStr<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self.to_str() {
            Some(s) => defmt::write!(f, "{=str}", s),
            None => defmt::write!(f, "{=[u8]:a}", self.0),
        }
    }
}

/// Displays bytes as Go's `strconv.Quote` does: see [`GoStr::quoted`].
#[derive(Clone, Copy)]
pub struct Quoted<'t> {
    bytes: &'t [u8],
    style: Style,
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    /// In quotes.
    Quoted,
    /// What stands between the quotes.
    Inner,
    /// Quotes and backslashes left as they are.
    Printable,
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quotes = if self.style == Style::Quoted {
            "\""
        } else {
            ""
        };
        f.write_str(quotes)?;
        chunks::for_each(self.bytes, |mut plain, invalid| {
            // What needs no escape is written in runs.
            let special = |c: char| match c {
                '"' | '\\' => self.style != Style::Printable,
                c => !is_printable(c),
            };
            while let Some((at, c)) = plain.char_indices().find(|(_, c)| special(*c)) {
                let (before, rest) = plain.split_at_checked(at).unwrap_or((plain, ""));
                f.write_str(before)?;
                escape(c, f)?;
                plain = rest.get(c.len_utf8()..).unwrap_or("");
            }
            f.write_str(plain)?;
            invalid
                .iter()
                .try_for_each(|byte| write!(f, "\\x{byte:02x}"))
        })?;
        f.write_str(quotes)
    }
}

impl fmt::Debug for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn escape(c: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match c {
        '"' => f.write_str("\\\""),
        '\\' => f.write_str("\\\\"),
        '\x07' => f.write_str("\\a"),
        '\x08' => f.write_str("\\b"),
        '\x0c' => f.write_str("\\f"),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\x0b' => f.write_str("\\v"),
        '\0'..=' ' | '\x7f' => write!(f, "\\x{:02x}", u32::from(c)),
        '\u{80}'..='\u{ffff}' => write!(f, "\\u{:04x}", u32::from(c)),
        _ => write!(f, "\\U{:08x}", u32::from(c)),
    }
}

format_as_debug! {
    [] Quoted<'_>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn quotes_as_go_does() {
        // Each right side was printed by Go's strconv.Quote.
        for (bytes, quoted) in [
            (&b""[..], r#""""#),
            (b"with \"quotes\" and \\", r#""with \"quotes\" and \\""#),
            (b"two\nlines\tand tab", r#""two\nlines\tand tab""#),
            (
                "grüße 世界 \u{a0}\u{200b}".as_bytes(),
                r#""grüße 世界 \u00a0\u200b""#,
            ),
            (b"\xff\xfe not utf-8", r#""\xff\xfe not utf-8""#),
            (b"\x00\x01\x7f\x1b[31m", r#""\x00\x01\x7f\x1b[31m""#),
            (
                "e\u{301} \u{301} \u{10ffff} \u{1f600} \u{85}".as_bytes(),
                "\"e\u{301} \u{301} \\U0010ffff \u{1f600} \\u0085\"",
            ),
            (
                b"\xe2\x82 cut \xf0\x9f\x98",
                r#""\xe2\x82 cut \xf0\x9f\x98""#,
            ),
        ] {
            assert_eq!(GoStr::new(bytes).quoted().to_string(), quoted);
        }
    }
}
