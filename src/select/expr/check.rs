//! From a tree to a condition: what names mean, and whether values fit them.

use super::ExpressionErrorKind as Kind;
use super::distance::nearest;
use super::literal::{Literal, Unit};
use super::syntax::{Operand, Operator, Tree, Written};
use super::{
    Check, Edge, ExpressionError, How, NameError, Names, Node, Path, Pattern, Quantity, Span, Type,
};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// As deep as the tree is nested, which parsing bounds.
pub(super) fn check<T: Names + ?Sized>(
    text: &str,
    tree: &Tree,
    names: &T,
) -> Result<Node<T::Name>, ExpressionError> {
    let all = |trees: &[Tree]| -> Result<Vec<_>, ExpressionError> {
        trees.iter().map(|tree| check(text, tree, names)).collect()
    };
    Ok(match tree {
        Tree::Any(trees) => Node::Any(all(trees)?),
        Tree::All(trees) => Node::All(all(trees)?),
        Tree::Not(tree) => Node::Not(Box::new(check(text, tree, names)?)),
        Tree::Test(written) => Node::Test(test(text, written, names)?),
    })
}

fn test<T: Names + ?Sized>(
    text: &str,
    written: &Written,
    names: &T,
) -> Result<Check<T::Name>, ExpressionError> {
    let fail = |at, kind| ExpressionError::new(text, at, kind);
    let start = written.head.start;
    let path = Path {
        head: text.get(written.head.clone()).unwrap_or(""),
        argument: written.argument.as_deref(),
        tail: text.get(written.tail.clone()).unwrap_or(""),
    };
    let resolved = names.resolve(path);
    let (name, ty) = resolved.map_err(|error| {
        let kind = match error {
            NameError::Unknown => Kind::UnknownName {
                meant: meant(text, written, names),
            },
            NameError::NeedsArgument => Kind::NeedsArgument,
            NameError::TakesNoArgument => Kind::TakesNoArgument,
        };
        fail(start, kind)
    })?;
    let wrong_operator = || fail(written.operator_at, Kind::WrongOperator { is: ty });
    let texts = |known: bool| -> Result<Vec<Box<str>>, ExpressionError> {
        let text_of = |operand: &Operand| {
            let (Literal::Text(value), None) = (&operand.value, &operand.to) else {
                return Err(fail(operand.at, Kind::WrongType { is: ty }));
            };
            if known {
                let checked = names.check_text(&name, value);
                checked.map_err(|why| fail(operand.at, Kind::UnknownValue(why)))?;
            }
            Ok(value.as_str().into())
        };
        written.values.iter().map(text_of).collect()
    };
    let only = |mut texts: Vec<Box<str>>| texts.pop().unwrap_or_default();
    let pattern = || -> Result<Pattern, ExpressionError> {
        let at = written.values.first().map_or(0, |value| value.at);
        Pattern::new(&only(texts(false)?)).map_err(|why| fail(at, Kind::BadPattern(why)))
    };
    let how = match (written.operator, ty) {
        (None, _) => How::Is,
        (Some(_), Type::Truth) => return Err(wrong_operator()),
        (Some(operator), Type::Text) => match operator {
            Operator::Equal | Operator::In => How::Text(texts(true)?),
            Operator::NotEqual => How::NotText(texts(true)?),
            Operator::Contains => How::Contains(only(texts(false)?)),
            Operator::Matches => How::Matches(pattern()?),
            Operator::MatchesNot => How::MatchesNot(pattern()?),
            _ => return Err(wrong_operator()),
        },
        (Some(operator), _) => {
            let spans = spans(text, written, operator, ty);
            match operator {
                Operator::Matches | Operator::MatchesNot | Operator::Contains => {
                    return Err(wrong_operator());
                }
                Operator::NotEqual => How::NotIn(spans?),
                _ => How::In(spans?),
            }
        }
    };
    Ok(Check {
        name,
        ty,
        optional: written.optional,
        how,
        start,
        name_end: written.name_end,
        end: written.end,
    })
}

/// The name that was perhaps meant.
fn meant<T: Names + ?Sized>(text: &str, written: &Written, names: &T) -> Option<String> {
    let typed = text.get(written.head.start..written.name_end)?;
    // Names are listed with an argument of their own.
    nearest(typed, names.all())
}

/// The numbers that an operator asks for.
fn spans(
    text: &str,
    written: &Written,
    operator: Operator,
    ty: Type,
) -> Result<Vec<Span>, ExpressionError> {
    let number = |literal: &Literal, at| match literal {
        Literal::Number(number, unit) if unit_fits(*unit, ty, *number) => Ok(*number),
        _ => Err(ExpressionError::new(text, at, Kind::WrongType { is: ty })),
    };
    let span = |operand: &Operand| {
        let first = number(&operand.value, operand.at)?;
        let open = |from, to| Ok(Span { from, to });
        if let Some((edge, at, to)) = &operand.to {
            let to = number(to, *at)?;
            let span = Span {
                from: Some((first, Edge::Included)),
                to: Some((to, *edge)),
            };
            if !span.has(first) {
                return Err(ExpressionError::new(text, operand.at, Kind::EmptySpan));
            }
            return Ok(span);
        }
        match operator {
            Operator::Less => open(None, Some((first, Edge::Excluded))),
            Operator::AtMost => open(None, Some((first, Edge::Included))),
            Operator::Greater => open(Some((first, Edge::Excluded)), None),
            Operator::AtLeast => open(Some((first, Edge::Included)), None),
            _ => Ok(Span::only(first)),
        }
    };
    written.values.iter().map(span).collect()
}

fn unit_fits(unit: Unit, ty: Type, number: Quantity) -> bool {
    unit.fits(ty, number)
}
