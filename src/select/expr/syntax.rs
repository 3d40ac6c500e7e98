//! From text to a tree, which says nothing about what names mean.

use super::ExpressionErrorKind as Kind;
use super::literal::{Literal, literal};
use super::{Condition, Edge, ExpressionError, Quantity, Type};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use winnow::Parser as _;
use winnow::combinator::{alt, opt, peek};
use winnow::error::{ErrMode, ParserError};
use winnow::stream::{LocatingSlice, Location as _, Stateful, Stream as _};
use winnow::token::{any, take_while};

/// The rest of an expression, and how deep it is nested there.
pub(super) type Input<'i> = Stateful<LocatingSlice<&'i str>, usize>;
pub(super) type Parsed<T> = Result<T, ErrMode<Wrong>>;

/// What is wrong, and at which byte.
#[derive(Debug)]
pub(super) struct Wrong {
    at: usize,
    kind: Kind,
}

impl<'i> ParserError<Input<'i>> for Wrong {
    type Inner = Wrong;

    fn from_input(input: &Input<'i>) -> Wrong {
        Wrong {
            at: input.current_token_start(),
            kind: Kind::Expected("something else"),
        }
    }

    fn into_inner(self) -> Result<Wrong, Wrong> {
        Ok(self)
    }
}

/// Ends parsing: nothing else could have been meant.
pub(super) const fn fail<T>(at: usize, kind: Kind) -> Parsed<T> {
    Err(ErrMode::Cut(Wrong { at, kind }))
}

/// An expression as it is written.
#[derive(Debug)]
pub(super) enum Tree {
    Any(Vec<Tree>),
    All(Vec<Tree>),
    Not(Box<Tree>),
    Test(Written),
}

/// A test as it is written: a name, and with what its values are compared.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) head: Range<usize>,
    pub(super) argument: Option<String>,
    pub(super) tail: Range<usize>,
    pub(super) name_end: usize,
    pub(super) optional: bool,
    pub(super) operator: Option<Operator>,
    pub(super) operator_at: usize,
    pub(super) values: Vec<Operand>,
    pub(super) end: usize,
}

/// A value, or a span from one to another.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) at: usize,
    pub(super) value: Literal,
    pub(super) to: Option<(Edge, usize, Literal)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Matches,
    MatchesNot,
    Contains,
    In,
}

pub(super) fn parse(text: &str) -> Result<Tree, ExpressionError> {
    let error = |at, kind| Err(ExpressionError::new(text, at, kind));
    if text.len() > Condition::<()>::MAX_LENGTH {
        return Err(ExpressionError::new("", 0, Kind::TooLong));
    }
    let mut input = Input {
        input: LocatingSlice::new(text),
        state: 0,
    };
    match whole(&mut input) {
        Ok(tree) => Ok(tree),
        Err(ErrMode::Cut(wrong) | ErrMode::Backtrack(wrong)) => error(wrong.at, wrong.kind),
        // The input is never partial.
        Err(ErrMode::Incomplete(_)) => error(text.len(), Kind::Expected("more")),
    }
}

/// A number alone, with a unit that fits a type.
pub(super) fn parse_number(text: &str, ty: Type) -> Result<Quantity, ExpressionError> {
    let error = |at, kind| Err(ExpressionError::new(text, at, kind));
    let mut input = Input {
        input: LocatingSlice::new(text),
        state: 0,
    };
    let mut value = || {
        spaces(&mut input)?;
        let value = literal(&mut input)?;
        spaces(&mut input)?;
        Ok((value, input.current_token_start()))
    };
    match value() {
        Ok((_, end)) if end < text.len() => error(end, Kind::Expected("the end")),
        Ok((Literal::Number(number, unit), _)) if unit.fits(ty, number) => Ok(number),
        Ok(_) => error(0, Kind::WrongType { is: ty }),
        Err(ErrMode::Cut(wrong) | ErrMode::Backtrack(wrong)) => error(wrong.at, wrong.kind),
        Err(ErrMode::Incomplete(_)) => error(text.len(), Kind::Expected("more")),
    }
}

fn whole(input: &mut Input<'_>) -> Parsed<Tree> {
    spaces(input)?;
    let tree = any_of(input)?;
    let at = input.current_token_start();
    let rest = *input.input.as_ref();
    let follows = |text: &str| {
        let rest = rest.strip_prefix(text);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
    };
    match rest {
        "" => Ok(tree),
        _ if follows("and") || rest.starts_with('&') => {
            fail(at, Kind::WrittenAs("\"and\" is written as &&"))
        }
        _ if follows("or") || rest.starts_with('|') => {
            fail(at, Kind::WrittenAs("\"or\" is written as ||"))
        }
        _ => fail(at, Kind::Expected("&&, || or the end")),
    }
}

/// Spaces between what means something.
pub(super) fn spaces(input: &mut Input<'_>) -> Parsed<()> {
    take_while(0.., char::is_whitespace)
        .void()
        .parse_next(input)
}

/// Letters, at least one.
pub(super) fn word<'i>(input: &mut Input<'i>) -> Parsed<&'i str> {
    take_while(1.., char::is_alphabetic).parse_next(input)
}

/// A sign, with the spaces behind it; whether it is there.
fn sign(input: &mut Input<'_>, text: &'static str) -> Parsed<bool> {
    let found = opt(text).parse_next(input)?.is_some();
    if found {
        spaces(input)?;
    }
    Ok(found)
}

fn any_of(input: &mut Input<'_>) -> Parsed<Tree> {
    chain(input, "||", all_of, Tree::Any)
}

fn all_of(input: &mut Input<'_>) -> Parsed<Tree> {
    chain(input, "&&", primary, Tree::All)
}

/// One or more, with a sign between each two.
fn chain(
    input: &mut Input<'_>,
    between: &'static str,
    part: fn(&mut Input<'_>) -> Parsed<Tree>,
    join: fn(Vec<Tree>) -> Tree,
) -> Parsed<Tree> {
    let first = part(input)?;
    let mut parts = Vec::new();
    while sign(input, between)? {
        parts.push(part(input)?);
    }
    if parts.is_empty() {
        return Ok(first);
    }
    parts.insert(0, first);
    Ok(join(parts))
}

fn primary(input: &mut Input<'_>) -> Parsed<Tree> {
    let at = input.current_token_start();
    match opt(peek(any)).parse_next(input)? {
        Some('!') => {
            let _ = sign(input, "!")?;
            deeper(input, at, primary).map(|tree| Tree::Not(Box::new(tree)))
        }
        Some('(') => {
            let _ = sign(input, "(")?;
            let tree = deeper(input, at, any_of)?;
            let end = input.current_token_start();
            match sign(input, ")")? {
                true => Ok(tree),
                false => fail(end, Kind::Expected("&&, || or )")),
            }
        }
        Some('a'..='z' | 'A'..='Z' | '_') => test(input).map(Tree::Test),
        _ => fail(
            at,
            Kind::Expected("a name, as in duration > 10ms, or ! or ("),
        ),
    }
}

fn deeper(
    input: &mut Input<'_>,
    at: usize,
    part: fn(&mut Input<'_>) -> Parsed<Tree>,
) -> Parsed<Tree> {
    if input.state >= Condition::<()>::MAX_DEPTH {
        return fail(at, Kind::TooDeep);
    }
    input.state = input.state.saturating_add(1);
    let tree = part(input);
    input.state = input.state.saturating_sub(1);
    tree
}

/// A part of a name; where it is.
fn part(input: &mut Input<'_>) -> Parsed<Range<usize>> {
    let at = input.current_token_start();
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name: &str = take_while(0.., name).parse_next(input)?;
    match name {
        "" => fail(at, Kind::Expected("a name")),
        _ => Ok(at..input.current_token_start()),
    }
}

fn test(input: &mut Input<'_>) -> Parsed<Written> {
    let head = part(input)?;
    let mut argument = None;
    if sign(input, "(")? {
        let at = input.current_token_start();
        match literal(input)? {
            Literal::Text(text) => argument = Some(text),
            Literal::Number(..) => return fail(at, Kind::Expected("a text in quotes")),
        }
        spaces(input)?;
        let at = input.current_token_start();
        if opt(')').parse_next(input)?.is_none() {
            return fail(at, Kind::Expected(")"));
        }
    }
    let mut tail = None;
    while opt('.').parse_next(input)?.is_some() {
        let next = part(input)?;
        let start = tail.map_or(next.start, |tail: Range<usize>| tail.start);
        tail = Some(start..next.end);
    }
    let name_end = input.current_token_start();
    let tail = tail.unwrap_or(name_end..name_end);
    let optional = opt('?').parse_next(input)?.is_some();
    let mut end = input.current_token_start();
    spaces(input)?;
    let operator_at = input.current_token_start();
    let operator = operator(input)?;
    let mut values = Vec::new();
    match operator {
        None => {
            if opt(peek('=')).parse_next(input)?.is_some() {
                return fail(operator_at, Kind::WrittenAs("\"equal\" is written as =="));
            }
        }
        Some(Operator::In) => {
            spaces(input)?;
            if sign(input, "[")? {
                loop {
                    values.push(operand(input)?);
                    spaces(input)?;
                    let at = input.current_token_start();
                    if !sign(input, ",")? {
                        match opt(']').parse_next(input)? {
                            Some(_) => break,
                            None => return fail(at, Kind::Expected(", or ]")),
                        }
                    }
                }
            } else {
                values.push(operand(input)?);
            }
        }
        Some(_) => {
            spaces(input)?;
            let at = input.current_token_start();
            let value = literal(input)?;
            let to = None;
            values.push(Operand { at, value, to });
        }
    }
    if operator.is_some() {
        end = input.current_token_start();
        spaces(input)?;
    }
    Ok(Written {
        head,
        argument,
        tail,
        name_end,
        optional,
        operator,
        operator_at,
        values,
        end,
    })
}

fn operator(input: &mut Input<'_>) -> Parsed<Option<Operator>> {
    // What begins with another one comes before that.
    opt(alt((
        "==".value(Operator::Equal),
        "!=".value(Operator::NotEqual),
        "=~".value(Operator::Matches),
        "!~".value(Operator::MatchesNot),
        "<=".value(Operator::AtMost),
        ">=".value(Operator::AtLeast),
        "<".value(Operator::Less),
        ">".value(Operator::Greater),
        word.verify_map(|word| match word {
            "in" => Some(Operator::In),
            "contains" => Some(Operator::Contains),
            _ => None,
        }),
    )))
    .parse_next(input)
}

/// A value, or two with dots between them.
fn operand(input: &mut Input<'_>) -> Parsed<Operand> {
    let at = input.current_token_start();
    let value = literal(input)?;
    let start = input.checkpoint();
    spaces(input)?;
    let edge = opt(alt((
        "..=".value(Edge::Included),
        "..".value(Edge::Excluded),
    )))
    .parse_next(input)?;
    let Some(edge) = edge else {
        input.reset(&start);
        let to = None;
        return Ok(Operand { at, value, to });
    };
    spaces(input)?;
    let to_at = input.current_token_start();
    let to = Some((edge, to_at, literal(input)?));
    Ok(Operand { at, value, to })
}
