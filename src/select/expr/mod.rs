//! The expression language of filters, triggers and assertions: `g in 1..20 && duration > 10ms`.
//!
//! A [`Condition`] is an expression, parsed and checked against the [`Names`] that mean something where
//! it is used: [`EventNames`](super::EventNames) for filters of events and for triggers,
//! [`analysis::metrics`](crate::analysis) for assertions. It then holds, or does not, for any number of
//! [`Subject`]s. The chapter [expressions](crate::docs::expressions) describes the language for people.
//!
//! Limits: an expression has at most [16 KiB](Condition::MAX_LENGTH), and is nested at most
//! [64 deep](Condition::MAX_DEPTH). Regular expressions take time that grows linearly with what they
//! look at, and have a bound on their size.

mod check;
mod distance;
mod error;
mod eval;
mod literal;
mod pattern;
mod quantity;
mod syntax;

pub use error::{ExpressionError, ExpressionErrorKind};
pub use quantity::Quantity;

use crate::string::GoStr;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use pattern::Pattern;

/// The type of what a name means, which decides the literals that it can be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Type {
    /// True or false: used alone, or negated with `!`.
    Truth,
    /// A number without a unit, or a share: `5`, `0.25`, `25%`.
    Number,
    /// A duration, counted in nanoseconds: `10ms`.
    Duration,
    /// A size, counted in bytes: `64MiB`.
    Size,
    /// A text: `"chan receive"`.
    Text,
}

/// A value of something that a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Value<'v> {
    /// True or false.
    Truth(bool),
    /// A number; nanoseconds of a duration, bytes of a size.
    Number(Quantity),
    /// A text.
    Text(GoStr<'v>),
}

/// A name as it is written in an expression: `task("checkout").p99`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path<'p> {
    /// What is before the argument, or before the first dot if there is no argument: `task`.
    pub head: &'p str,
    /// The text in parentheses: `checkout`.
    pub argument: Option<&'p str>,
    /// What is behind, without the first dot: `p99`; empty if there is nothing.
    pub tail: &'p str,
}

/// Why a path means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NameError {
    /// There is no such name.
    Unknown,
    /// The name needs an argument: `task("checkout")`.
    NeedsArgument,
    /// The name has no argument.
    TakesNoArgument,
}

/// The names that can be used in an expression, and what each means.
pub trait Names {
    /// What a name means.
    type Name: Clone;

    /// What this name means, and of which type its values are.
    fn resolve(&self, path: Path<'_>) -> Result<(Self::Name, Type), NameError>;

    /// Whether this text can be a value of the name: refusing what never is finds typing mistakes. The
    /// error says what can be. Only asked for `==`, `!=` and `in`.
    fn check_text(&self, name: &Self::Name, text: &str) -> Result<(), String> {
        let _ = (name, text);
        Ok(())
    }

    /// Every name, to suggest one that was meant.
    fn all(&self) -> Vec<String>;
}

/// What a condition is asked about: it gives the values that names have.
pub trait Subject<N> {
    /// Passes each value of the name to `test`, until that returns true. A name can have several
    /// values, as the functions of a stack are, or none.
    fn values(&self, name: &N, test: &mut dyn FnMut(Value<'_>) -> bool);
}

/// An expression, parsed and checked.
///
/// Displays as it was written.
#[derive(Clone, Debug)]
pub struct Condition<N> {
    text: Box<str>,
    root: Node<N>,
}

impl<N> Condition<N> {
    /// The most bytes that an expression may have.
    pub const MAX_LENGTH: usize = 16 << 10;
    /// How deep parentheses and negations may be nested.
    pub const MAX_DEPTH: usize = 64;

    /// Parses an expression, and checks every name, type and unit in it.
    pub fn parse<T>(text: &str, names: &T) -> Result<Condition<N>, ExpressionError>
    where
        T: Names<Name = N> + ?Sized,
    {
        let tree = syntax::parse(text)?;
        let root = check::check(text, &tree, names)?;
        let text = text.into();
        Ok(Condition { text, root })
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What all names in it mean, in the order in which they are written.
    pub fn names(&self) -> impl Iterator<Item = &N> {
        let mut names = Vec::new();
        self.root.each(&mut |test| names.push(&test.name));
        names.into_iter()
    }

    /// Every test in it, as [`Test`]s, in the order in which they are written.
    pub fn tests(&self) -> Vec<Test<'_, N>> {
        let mut tests = Vec::new();
        self.root.each(&mut |test| tests.push(self.shown(test)));
        tests
    }

    /// Whether it holds. A test of a name that has no value does not, unless it has a `?`.
    pub fn holds(&self, subject: &(impl Subject<N> + ?Sized)) -> bool {
        // Without complaints about absent values, there are no errors.
        eval::holds(&self.root, subject, false).unwrap_or(false)
    }

    /// Whether it holds; an error names the first test, among those that decide, whose name has no
    /// value and no `?`.
    pub fn decide(&self, subject: &(impl Subject<N> + ?Sized)) -> Result<bool, Test<'_, N>> {
        eval::holds(&self.root, subject, true).map_err(|test| self.shown(test))
    }

    fn shown<'c>(&'c self, test: &'c Check<N>) -> Test<'c, N> {
        let text = self.text.get(test.start..test.end).unwrap_or("");
        let name_text = self.text.get(test.start..test.name_end).unwrap_or("");
        Test {
            name: &test.name,
            ty: test.ty,
            text,
            name_text,
        }
    }
}

/// Parses a value alone, as it is written in an expression: `10ms`, `25%`, `64MiB`.
///
/// ```
/// use gotrace::select::expr::{Quantity, Type, parse_value};
///
/// assert_eq!(parse_value("10ms", Type::Duration), Ok(Quantity::new(10_000_000)));
/// assert!(parse_value("10", Type::Duration).is_err());
/// ```
pub fn parse_value(text: &str, ty: Type) -> Result<Quantity, ExpressionError> {
    syntax::parse_number(text, ty)
}

/// One test of an expression, as in `stw.max < 1ms`.
#[derive(Debug)]
#[non_exhaustive]
pub struct Test<'c, N> {
    /// What its name means.
    pub name: &'c N,
    /// The type of the name's values.
    pub ty: Type,
    /// The test as it is written.
    pub text: &'c str,
    /// The name as it is written.
    pub name_text: &'c str,
}

impl<N> Clone for Test<'_, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Test<'_, N> {}

/// By what is written.
impl<N> PartialEq for Test<'_, N> {
    fn eq(&self, other: &Self) -> bool {
        (self.text, self.ty) == (other.text, other.ty)
    }
}

/// By the text: equal texts mean the same.
impl<N> PartialEq for Condition<N> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<N> Eq for Condition<N> {}

impl<N> fmt::Display for Condition<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(feature = "defmt")]
impl<N> defmt::Format for Condition<N> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=str}", self.text());
    }
}

/// A checked expression. Chains of `&&` are one node, so that only nesting makes it deep.
#[derive(Clone, Debug)]
enum Node<N> {
    Any(Vec<Node<N>>),
    All(Vec<Node<N>>),
    Not(Box<Node<N>>),
    Test(Check<N>),
}

impl<N> Node<N> {
    fn each<'n>(&'n self, visit: &mut dyn FnMut(&'n Check<N>)) {
        match self {
            Node::Any(nodes) | Node::All(nodes) => {
                for node in nodes {
                    node.each(visit);
                }
            }
            Node::Not(node) => node.each(visit),
            Node::Test(test) => visit(test),
        }
    }
}

/// A test of one name's values, with its place in the text.
#[derive(Clone, Debug)]
struct Check<N> {
    name: N,
    ty: Type,
    /// With a `?`: it holds if there is no value.
    optional: bool,
    how: How,
    start: usize,
    name_end: usize,
    end: usize,
}

/// How values are tested.
#[derive(Clone, Debug)]
enum How {
    /// There is one; of a truth, one that is true.
    Is,
    /// One is in one of these.
    In(Vec<Span>),
    /// None is, of at least one.
    NotIn(Vec<Span>),
    /// One is one of these texts.
    Text(Vec<Box<str>>),
    /// None is, of at least one.
    NotText(Vec<Box<str>>),
    /// This text is in one.
    Contains(Box<str>),
    Matches(Pattern),
    MatchesNot(Pattern),
}

/// Numbers from one to another.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: Option<(Quantity, Edge)>,
    to: Option<(Quantity, Edge)>,
}

/// Whether a span's end is part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    Included,
    Excluded,
}

impl Span {
    const fn only(number: Quantity) -> Span {
        Span {
            from: Some((number, Edge::Included)),
            to: Some((number, Edge::Included)),
        }
    }

    fn has(&self, number: Quantity) -> bool {
        let from = self.from.is_none_or(|(from, edge)| match edge {
            Edge::Included => from <= number,
            Edge::Excluded => from < number,
        });
        let to = self.to.is_none_or(|(to, edge)| match edge {
            Edge::Included => number <= to,
            Edge::Excluded => number < to,
        });
        from && to
    }
}
