//! What tables and other answers are made of: values, and how people and programs see them.

use gotrace::{GoId, GoStr};
use serde::ser::{Serialize, Serializer};
use std::borrow::Cow;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// A goroutine as every command shows it: `G12 main.worker`.
pub fn goroutine(id: GoId, function: &str) -> String {
    if function.is_empty() {
        format!("G{id}")
    } else {
        format!("G{id} {function}")
    }
}

/// A time for people: `1.234ms`.
pub fn duration(nanoseconds: i64) -> String {
    let n = nanoseconds as f64;
    match nanoseconds.unsigned_abs() {
        0..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => format!("{:.3}\u{b5}s", n / 1e3),
        1_000_000..1_000_000_000 => format!("{:.3}ms", n / 1e6),
        _ => format!("{:.3}s", n / 1e9),
    }
}

/// A number of bytes for people: `3.2 MiB`.
pub fn bytes(n: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, bits)| n >> bits > 0) {
        Some((unit, bits)) => format!("{:.1} {unit}", n as f64 / (1u64 << bits) as f64),
        None => format!("{n} B"),
    }
}

/// A share for people: `12.3 %`.
pub fn share(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Text of a trace, or other text.
    Text(String),
    /// A number: of things, or an id.
    Count(u64),
    /// An id that may be negative, as Go prints it.
    Signed(i64),
    /// A length of time, in nanoseconds.
    Duration(i64),
    /// A moment, in nanoseconds since the trace began.
    Time(i64),
    Bytes(u64),
    /// A part of a whole, 0 to 1.
    Share(f64),
    /// A number that is not whole.
    Float(f64),
    /// A number as JSON has it.
    Number(serde_json::Number),
    /// Whether something is so.
    Flag(bool),
    /// It is not known, or there is none.
    None,
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Cell {
        Cell::Text(text.into())
    }

    /// A length of time that may not be known.
    pub fn duration(nanoseconds: Option<i64>) -> Cell {
        nanoseconds.map_or(Cell::None, Cell::Duration)
    }

    /// For people; nothing in it that a terminal would obey.
    pub fn shown(&self) -> Cow<'_, str> {
        Cow::Owned(match self {
            Cell::Text(text) => return printable(text),
            Cell::Count(n) => n.to_string(),
            Cell::Signed(n) => n.to_string(),
            Cell::Duration(n) => duration(*n),
            Cell::Time(n) => format!("{:.6}s", *n as f64 / 1e9),
            Cell::Bytes(n) => bytes(*n),
            Cell::Share(part) => share(*part),
            Cell::Float(n) => format!("{n:.1}"),
            Cell::Number(n) => n.to_string(),
            Cell::Flag(true) => return Cow::Borrowed("yes"),
            Cell::Flag(false) | Cell::None => return Cow::Borrowed("-"),
        })
    }

    /// For CSV.
    pub fn plain(&self) -> Cow<'_, str> {
        Cow::Owned(match self {
            Cell::Text(text) => return Cow::Borrowed(text),
            Cell::Count(n) | Cell::Bytes(n) => n.to_string(),
            Cell::Signed(n) | Cell::Duration(n) | Cell::Time(n) => n.to_string(),
            Cell::Share(n) | Cell::Float(n) => n.to_string(),
            Cell::Number(n) => n.to_string(),
            Cell::Flag(flag) => flag.to_string(),
            Cell::None => return Cow::Borrowed(""),
        })
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Cell::Text(text) => to.serialize_str(text),
            Cell::Count(n) | Cell::Bytes(n) => to.serialize_u64(*n),
            Cell::Signed(n) | Cell::Duration(n) | Cell::Time(n) => to.serialize_i64(*n),
            Cell::Share(n) | Cell::Float(n) => to.serialize_f64(*n),
            Cell::Number(n) => n.serialize(to),
            Cell::Flag(flag) => to.serialize_bool(*flag),
            Cell::None => to.serialize_none(),
        }
    }
}

/// Text as it may be shown on a terminal.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(GoStr::new(text.as_bytes()).printable().to_string())
}

/// Where a cell that is too wide loses something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Never,
    /// The name of a function: first the folders of its package, then the beginning.
    Function,
    End,
}

/// Text of at most `width` columns.
pub fn fitted(text: &str, width: usize, cut: Cut) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    match cut {
        Cut::Never => Cow::Borrowed(text),
        Cut::End => Cow::Owned(head(text, width)),
        Cut::Function => {
            let (goroutine, function) = match text.split_once(' ') {
                Some((id, rest)) if id.starts_with('G') => (&text[..id.len() + 1], rest),
                _ => ("", text),
            };
            let package = function.rfind('/').map_or(0, |slash| slash + 1);
            let short = &function[package..];
            let room = width.saturating_sub(goroutine.width());
            Cow::Owned(format!("{goroutine}{}", tail(short, room)))
        }
    }
}

/// The beginning of a text that is too wide.
pub fn head(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let mut kept = String::new();
    for c in text.chars() {
        match left.checked_sub(c.width().unwrap_or(0)) {
            Some(rest) => left = rest,
            None => break,
        }
        kept.push(c);
    }
    kept.push('\u{2026}');
    kept
}

/// The end of a text that is too wide.
pub fn tail(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let mut start = text.len();
    for (at, c) in text.char_indices().rev() {
        match left.checked_sub(c.width().unwrap_or(0)) {
            Some(rest) => left = rest,
            None => break,
        }
        start = at;
    }
    format!("\u{2026}{}", &text[start..])
}

/// A function's name in at most `width` columns: without the folders of its package if it is too long,
/// then without its beginning.
pub fn function(text: &str, width: usize) -> String {
    fitted(&printable(text), width, Cut::Function).into_owned()
}
