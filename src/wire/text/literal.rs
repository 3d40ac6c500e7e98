//! Go's string literals.

use core::fmt;

/// A Go string literal whose escapes are known to be valid: the trailer of a string or of an
/// experimental batch in the text form.
///
/// Both forms of Go are read, `"with \x00 escapes"` and `` `raw` ``.
#[derive(Clone, Copy)]
pub struct Literal<'a> {
    /// From the opening quote on, what follows the closing quote included.
    text: &'a str,
    len: usize,
}

/// What is not a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'a> Literal<'a> {
    /// No bytes at all.
    pub const EMPTY: Literal<'static> = Literal {
        text: "\"\"",
        len: 0,
    };

    /// The literal at the start of `text`, and what follows it.
    pub(super) fn parse(text: &'a str) -> Result<(Self, &'a str), Malformed> {
        let mut len = 0usize;
        let rest = unquote(text, &mut |bytes| {
            len = len.saturating_add(bytes.len());
            Ok(())
        })?;
        Ok((Literal { text, len }, rest))
    }

    /// The number of bytes that it means.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it means no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Gives the bytes that it means, in runs.
    ///
    /// Errors: the first that `put` gives.
    pub fn try_for_each<E>(&self, mut put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut error = None;
        let result = unquote(self.text, &mut |bytes| {
            put(bytes).map_err(|e| {
                error = Some(e);
                Malformed
            })
        });
        debug_assert!(result.is_ok() || error.is_some(), "it was valid once");
        error.map_or(Ok(()), Err)
    }
}

/// The quoted text.
impl fmt::Debug for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// Gives the bytes that the literal at the start of `text` means, in runs, and what follows
/// it.
fn unquote<'a>(
    text: &'a str,
    put: &mut impl FnMut(&[u8]) -> Result<(), Malformed>,
) -> Result<&'a str, Malformed> {
    if let Some(raw) = text.strip_prefix('`') {
        let (raw, rest) = raw.split_once('`').ok_or(Malformed)?;
        // Go drops these from raw strings.
        for run in raw.split('\r') {
            put(run.as_bytes())?;
        }
        return Ok(rest);
    }
    let mut rest = text.strip_prefix('"').ok_or(Malformed)?;
    loop {
        let run = memchr::memchr2(b'"', b'\\', rest.as_bytes()).ok_or(Malformed)?;
        let (plain, quote) = rest.split_at_checked(run).ok_or(Malformed)?;
        put(plain.as_bytes())?;
        if let Some(rest) = quote.strip_prefix('"') {
            return Ok(rest);
        }
        rest = escape(quote.get(1..).ok_or(Malformed)?, put)?;
    }
}

/// Gives the bytes of the escape at the start of `text`, which follows a backslash.
fn escape<'a>(
    text: &'a str,
    put: &mut impl FnMut(&[u8]) -> Result<(), Malformed>,
) -> Result<&'a str, Malformed> {
    let mut chars = text.chars();
    let first = chars.next().ok_or(Malformed)?;
    let rest = chars.as_str();
    let byte = match first {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '"' => b'"',
        'x' => {
            let (number, rest) = number(rest, 2, 16)?;
            put(&[u8::try_from(number).map_err(|_| Malformed)?])?;
            return Ok(rest);
        }
        '0'..='7' => {
            let (number, rest) = number(text, 3, 8)?;
            put(&[u8::try_from(number).map_err(|_| Malformed)?])?;
            return Ok(rest);
        }
        'u' | 'U' => {
            let (number, rest) = number(rest, if first == 'u' { 4 } else { 8 }, 16)?;
            let c = char::from_u32(number).ok_or(Malformed)?;
            put(c.encode_utf8(&mut [0; 4]).as_bytes())?;
            return Ok(rest);
        }
        _ => return Err(Malformed),
    };
    put(&[byte])?;
    Ok(rest)
}

/// The number of exactly `digits` digits at the start of `text`.
fn number(text: &str, digits: usize, radix: u32) -> Result<(u32, &str), Malformed> {
    let (number, rest) = text.split_at_checked(digits).ok_or(Malformed)?;
    if !number.chars().all(|c| c.is_digit(radix)) {
        return Err(Malformed);
    }
    let number = u32::from_str_radix(number, radix).map_err(|_| Malformed)?;
    Ok((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::string::GoStr;
    use proptest::prelude::*;
    use std::string::ToString;
    use std::vec::Vec;

    fn bytes(text: &str) -> Option<Vec<u8>> {
        let (literal, rest) = Literal::parse(text).ok()?;
        let mut bytes = Vec::new();
        literal
            .try_for_each(|run| {
                bytes.extend_from_slice(run);
                Ok::<(), ()>(())
            })
            .unwrap();
        assert_eq!(bytes.len(), literal.len());
        rest.is_empty().then_some(bytes)
    }

    #[test]
    fn literals_are_read_as_go_reads_them() {
        // What Go's strconv.Unquote makes of the left side.
        for (text, expected) in [
            (r#""""#, Some(&b""[..])),
            (r#""plain ü""#, Some("plain ü".as_bytes())),
            (
                r#""\a\b\f\n\r\t\v\\\"""#,
                Some(b"\x07\x08\x0c\n\r\t\x0b\\\""),
            ),
            (r#""\x00\xfF\101\377""#, Some(b"\x00\xffA\xff")),
            (r#""\u00e9\U0001f600""#, Some("é😀".as_bytes())),
            ("`raw \\n \" \r`", Some(b"raw \\n \" ")),
            (r#"""#, None),
            (r#""open"#, None),
            (r#""open\"#, None),
            (r#""\'""#, None),
            (r#""\400""#, None),
            (r#""\x+1""#, None),
            (r#""\18""#, None),
            (r#""\ud800""#, None),
            (r#""\U00110000""#, None),
            (r#""\xé""#, None),
            ("`open", None),
            ("plain", None),
        ] {
            assert_eq!(bytes(text).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_unquoted(data: Vec<u8>) {
            let quoted = GoStr::new(&data).quoted().to_string();
            prop_assert_eq!(bytes(&quoted), Some(data));
        }

        #[test]
        fn any_text_is_a_literal_or_none(text in r#"["`\\axuU01é"]{0,12}"#) {
            bytes(&text);
        }
    }
}
