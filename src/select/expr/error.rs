//! What is wrong with an expression, and where.

use super::Type;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

/// Why a text is no expression, or not one that can be used here.
///
/// Displays as in `column 12: expected a value, as "network", 5 or 10ms`. With `{:#}`, the line and a
/// mark below that column follow, each on a line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    pub(super) text: Box<str>,
    pub(super) at: usize,
    pub(super) kind: Box<ExpressionErrorKind>,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpressionErrorKind {
    /// Something else must be here.
    Expected(&'static str),
    /// What is written here is written otherwise, as `=` for `==`.
    WrittenAs(&'static str),
    /// More bytes than an expression may have.
    TooLong,
    /// Parentheses or negations are nested too deep.
    TooDeep,
    /// A number has more digits than fit.
    TooLarge,
    /// A text has no end.
    NoEnd,
    /// A backslash in a text, and then what means nothing there.
    UnknownEscape,
    /// There is no such unit.
    UnknownUnit,
    /// No name is written like this.
    UnknownName {
        /// The name that was perhaps meant.
        meant: Option<String>,
    },
    /// The name needs an argument.
    NeedsArgument,
    /// The name takes no argument.
    TakesNoArgument,
    /// The name's values are of one type, what they are compared with is of another.
    WrongType {
        /// The type of the name.
        is: Type,
    },
    /// The operator cannot be used with values of this type.
    WrongOperator {
        /// The type of the name.
        is: Type,
    },
    /// A value that the name never has; the text says which it can have.
    UnknownValue(String),
    /// A regular expression that is none; the text says why.
    BadPattern(String),
    /// A span that no number is in.
    EmptySpan,
}

impl ExpressionError {
    pub(super) fn new(text: &str, at: usize, kind: ExpressionErrorKind) -> ExpressionError {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at = at.saturating_sub(1);
        }
        ExpressionError {
            text: text.into(),
            at,
            kind: Box::new(kind),
        }
    }

    /// What is wrong.
    pub fn kind(&self) -> &ExpressionErrorKind {
        &self.kind
    }

    /// Where: in characters from the expression's first, which is column 1.
    pub fn column(&self) -> usize {
        let before = self.text.get(..self.at).unwrap_or("");
        before.chars().count().saturating_add(1)
    }

    /// Where, in bytes from the start.
    pub const fn offset(&self) -> usize {
        self.at
    }
}

impl fmt::Display for ExpressionErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ExpressionErrorKind::{
            BadPattern, EmptySpan, Expected, NeedsArgument, NoEnd, TakesNoArgument, TooDeep,
            TooLarge, TooLong, UnknownEscape, UnknownName, UnknownUnit, UnknownValue, WrittenAs,
            WrongOperator, WrongType,
        };
        match self {
            Expected(what) => write!(f, "expected {what}"),
            WrittenAs(what) => f.write_str(what),
            TooLong => f.write_str("the expression is longer than 16 KiB"),
            TooDeep => f.write_str("parentheses and negations are nested more than 64 deep"),
            TooLarge => f.write_str("the number is too large"),
            NoEnd => f.write_str("the text has no closing quote"),
            UnknownEscape => f.write_str(
                "unknown escape: there are \\\\, \\\", \\', \\n, \\t, \\r and \\x with two digits; \
                 between backquotes nothing is escaped",
            ),
            UnknownUnit => f.write_str(
                "unknown unit: there are h, m, s, ms, us, ns; B, KB, MB, GB, KiB, MiB, GiB; and %",
            ),
            UnknownName { meant } => {
                f.write_str("there is no such name here")?;
                match meant {
                    Some(meant) => write!(f, "; did you mean {meant}?"),
                    None => Ok(()),
                }
            }
            NeedsArgument => f.write_str("the name needs an argument: name(\"text\")"),
            TakesNoArgument => f.write_str("the name takes no argument"),
            WrongType { is } => f.write_str(match is {
                Type::Truth => "this is true or false: write the name alone, or ! before it",
                Type::Number => "expected a number without a unit, as 5, 0.25 or 25%",
                Type::Duration => "expected a duration with its unit, as 10ms or 1.5s",
                Type::Size => "expected a number of bytes with its unit, as 4096B or 64MiB",
                Type::Text => "expected a text in quotes, as \"network\"",
            }),
            WrongOperator { is } => f.write_str(match is {
                Type::Truth => "this is true or false: write the name alone, or ! before it",
                Type::Text => "a text can be compared with ==, !=, =~, !~, contains and in",
                _ => "a number can be compared with ==, !=, <, <=, >, >= and in",
            }),
            UnknownValue(why) | BadPattern(why) => f.write_str(why),
            EmptySpan => f.write_str("nothing is in this span: it ends before it begins"),
        }
    }
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column(), self.kind)?;
        if f.alternate() {
            let before = self.text.get(..self.at).unwrap_or("");
            f.write_str("\n  ")?;
            // What a terminal would obey, or what would move the mark, is shown as a space.
            for c in self.text.chars() {
                fmt::Write::write_char(f, if c.is_control() { ' ' } else { c })?;
            }
            f.write_str("\n  ")?;
            for _ in before.chars() {
                f.write_str(" ")?;
            }
            f.write_str("^")?;
        }
        Ok(())
    }
}

impl core::error::Error for ExpressionError {}

#[cfg(feature = "defmt")]
impl defmt::Format for ExpressionError {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Display2Format(self));
    }
}
