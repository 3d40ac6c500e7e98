//! Which name was meant.

use alloc::string::String;
use alloc::vec::Vec;

/// The name that is written most alike, if any is alike enough to have been meant.
pub(super) fn nearest(typed: &str, names: Vec<String>) -> Option<String> {
    // Names are short: nothing that is longer was meant to be one.
    if typed.len() > 64 {
        return None;
    }
    let close = |name: String| Some((distance(typed, &name), name));
    let (distance, name) = names
        .into_iter()
        .filter_map(close)
        .min_by_key(|(distance, _)| *distance)?;
    let most = typed.chars().count().div_ceil(3);
    (distance <= most).then_some(name)
}

/// How many characters must be put in, left out or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (n, x) in a.chars().enumerate() {
        let mut diagonal = n;
        let mut before = n.saturating_add(1);
        if let Some(first) = row.first_mut() {
            *first = before;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let replaced = diagonal.saturating_add(usize::from(x != y));
            diagonal = *cell;
            before = replaced
                .min(cell.saturating_add(1))
                .min(before.saturating_add(1));
            *cell = before;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};
    use std::string::ToString as _;

    #[test]
    fn what_is_alike_is_suggested() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        let names = || std::vec!["duration".to_string(), "reason".to_string()];
        assert_eq!(nearest("duraton", names()).as_deref(), Some("duration"));
        assert_eq!(nearest("goroutine", names()), None);
    }
}
