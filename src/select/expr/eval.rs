//! Asking a subject whether an expression holds.

use super::{Check, How, Node, Subject, Value};

/// Whether it holds. If `strict`, the error is the first test asked whose name has no value.
///
/// As deep as the expression is nested, which parsing bounds.
pub(super) fn holds<'n, N, S: Subject<N> + ?Sized>(
    node: &'n Node<N>,
    subject: &S,
    strict: bool,
) -> Result<bool, &'n Check<N>> {
    match node {
        Node::Any(nodes) => {
            for node in nodes {
                if holds(node, subject, strict)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Node::All(nodes) => {
            for node in nodes {
                if !holds(node, subject, strict)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Node::Not(node) => Ok(!holds(node, subject, strict)?),
        Node::Test(test) => {
            let (any, found) = test.ask(subject);
            match test.how {
                _ if any => Ok(match test.how {
                    How::NotIn(_) | How::NotText(_) | How::MatchesNot(_) => !found,
                    _ => found,
                }),
                _ if test.optional => Ok(true),
                // Whether there is a value is what it asks.
                How::Is => Ok(false),
                _ if strict => Err(test),
                _ => Ok(false),
            }
        }
    }
}

impl<N> Check<N> {
    /// Whether the name has a value, and whether one is found that fits.
    fn ask<S: Subject<N> + ?Sized>(&self, subject: &S) -> (bool, bool) {
        let (mut any, mut found) = (false, false);
        subject.values(&self.name, &mut |value| {
            any = true;
            found = found || self.how.fits(value);
            found
        });
        (any, found)
    }
}

impl How {
    /// Whether a value is what is looked for, also where that is not wanted.
    fn fits(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (How::Is, Value::Truth(truth)) => truth,
            (How::Is, _) => true,
            (How::In(spans) | How::NotIn(spans), Value::Number(number)) => {
                spans.iter().any(|span| span.has(number))
            }
            (How::Text(texts) | How::NotText(texts), Value::Text(value)) => {
                texts.iter().any(|text| text.as_bytes() == value.as_bytes())
            }
            (How::Contains(text), Value::Text(value)) => value.contains(text.as_bytes()),
            (How::Matches(pattern) | How::MatchesNot(pattern), Value::Text(value)) => {
                pattern.is_match(value.as_bytes())
            }
            _ => false,
        }
    }
}
