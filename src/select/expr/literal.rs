//! Values as they are written: numbers with their units, texts in quotes.

use super::ExpressionErrorKind as Kind;
use super::syntax::{Input, Parsed, fail, spaces, word};
use super::{Quantity, Type};
use crate::select::moment::UNITS;
use alloc::string::String;
use winnow::Parser as _;
use winnow::combinator::{opt, peek, preceded};
use winnow::stream::{Location as _, Stream as _};
use winnow::token::{any, take_while};

/// A value as it is written.
#[derive(Debug)]
pub(super) enum Literal {
    Number(Quantity, Unit),
    Text(String),
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    None,
    Percent,
    Time,
    Bytes,
}

impl Unit {
    /// Whether a number of this unit can be compared with values of a type. Zero needs no unit.
    pub(super) fn fits(self, ty: Type, number: Quantity) -> bool {
        match self {
            Unit::None => {
                let of_unit = matches!(ty, Type::Duration | Type::Size);
                ty == Type::Number || (of_unit && number == Quantity::ZERO)
            }
            Unit::Percent => ty == Type::Number,
            Unit::Time => ty == Type::Duration,
            Unit::Bytes => ty == Type::Size,
        }
    }
}

const SIZES: [(&str, u64); 8] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// What a number with this unit is to be multiplied by, in billionths.
fn unit(name: &str) -> Option<(i128, Unit)> {
    let find = |table: &[(&str, u64)], unit| {
        let found = table.iter().find(|(known, _)| *known == name);
        found.map(|(_, scale)| (Quantity::new(*scale).billionths(), unit))
    };
    match name {
        "" => Some((Quantity::ONE, Unit::None)),
        "%" => Some((Quantity::ONE.checked_div(100)?, Unit::Percent)),
        _ => find(&UNITS, Unit::Time).or_else(|| find(&SIZES, Unit::Bytes)),
    }
}

pub(super) fn literal(input: &mut Input<'_>) -> Parsed<Literal> {
    let at = input.current_token_start();
    let first = opt(peek(any)).parse_next(input)?;
    match first {
        Some(quote @ ('"' | '\'')) => escaped(input, quote).map(Literal::Text),
        Some('`') => raw(input).map(Literal::Text),
        Some('0'..='9') => number(input),
        _ => fail(at, Kind::Expected("a value, as \"network\", 5 or 10ms")),
    }
}

/// Decimal digits, perhaps none.
fn digits<'i>(input: &mut Input<'i>) -> Parsed<&'i str> {
    take_while(0.., '0'..='9').parse_next(input)
}

fn number(input: &mut Input<'_>) -> Parsed<Literal> {
    let at = input.current_token_start();
    let whole = digits(input)?;
    let start = input.checkpoint();
    let fraction = match opt(preceded('.', digits)).parse_next(input)? {
        // Two dots are a span.
        Some("") | None => {
            input.reset(&start);
            ""
        }
        Some(fraction) => fraction,
    };
    let unit_at = input.current_token_start();
    let start = input.checkpoint();
    spaces(input)?;
    let is_near = input.current_token_start() == unit_at;
    let name = opt(winnow::combinator::alt(("%", word))).parse_next(input)?;
    let found = unit(name.unwrap_or(""));
    let (scale, unit) = match found {
        Some(unit) => unit,
        None if is_near => return fail(unit_at, Kind::UnknownUnit),
        // Something else follows.
        None => {
            input.reset(&start);
            (Quantity::ONE, Unit::None)
        }
    };
    match scaled(whole, fraction, scale) {
        Some(number) => Ok(Literal::Number(number, unit)),
        None => fail(at, Kind::TooLarge),
    }
}

/// A decimal number times a scale in billionths; what is less than a billionth is cut off.
fn scaled(whole: &str, fraction: &str, scale: i128) -> Option<Quantity> {
    let whole: i128 = whole.parse().ok()?;
    let mut sum = whole.checked_mul(scale)?;
    let mut part = scale;
    for digit in fraction.bytes() {
        part = part.checked_div(10)?;
        let digit = i128::from(digit.checked_sub(b'0')?);
        sum = sum.checked_add(part.checked_mul(digit)?)?;
    }
    // Sums of a few of them still fit.
    (sum < i128::MAX.checked_div(1 << 16)?).then_some(Quantity::from_billionths(sum))
}

/// A text between quotes, in which a backslash escapes as in Go.
fn escaped(input: &mut Input<'_>, quote: char) -> Parsed<String> {
    let start = input.current_token_start();
    let mut text = String::new();
    let _ = any.parse_next(input)?;
    loop {
        let at = input.current_token_start();
        match input.next_token() {
            None => return fail(start, Kind::NoEnd),
            Some(c) if c == quote => return Ok(text),
            Some('\\') => text.push(match input.next_token() {
                Some(c @ ('\\' | '"' | '\'')) => c,
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('x') => match hex(input)? {
                    // What is no ASCII is no character of its own.
                    Some(byte) if byte.is_ascii() => char::from(byte),
                    _ => return fail(at, Kind::UnknownEscape),
                },
                _ => return fail(at, Kind::UnknownEscape),
            }),
            Some(c) => text.push(c),
        }
    }
}

fn hex(input: &mut Input<'_>) -> Parsed<Option<u8>> {
    let digits = take_while(0..=2, |c: char| c.is_ascii_hexdigit()).parse_next(input)?;
    let byte = u8::from_str_radix(digits, 16).ok();
    Ok(byte.filter(|_| digits.len() == 2))
}

/// A text between backquotes, in which nothing is escaped.
fn raw(input: &mut Input<'_>) -> Parsed<String> {
    let start = input.current_token_start();
    let _ = any.parse_next(input)?;
    let text = take_while(0.., |c| c != '`').parse_next(input)?;
    match input.next_token() {
        Some(_) => Ok(String::from(text)),
        None => fail(start, Kind::NoEnd),
    }
}
