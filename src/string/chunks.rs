//! Text among bytes, each byte of which is read once.

use core::fmt;

/// How many bytes are copied at once: more than the longest character has.
const WINDOW: usize = 64;

/// Shows `each` the bytes in pieces, in order: text, then bytes that are no text, either of which may
/// be empty.
///
/// Bytes of a mapped file can change between two looks. What is taken for text here is a copy that was
/// checked, so that text stays text.
pub(super) fn for_each(
    bytes: &[u8],
    mut each: impl FnMut(&str, &[u8]) -> fmt::Result,
) -> fmt::Result {
    let mut rest = bytes;
    let mut window = [0; WINDOW];
    while !rest.is_empty() {
        let len = rest.len().min(WINDOW);
        for (to, from) in window.iter_mut().zip(rest) {
            *to = *from;
        }
        // The compiler must not look at the bytes themselves instead of the copy.
        let copy = core::hint::black_box(&window).get(..len).unwrap_or(&[]);
        let Some(chunk) = copy.utf8_chunks().next() else {
            break;
        };
        let (valid, mut invalid) = (chunk.valid(), chunk.invalid());
        // Where the window ends inside a character, it goes on with the next window.
        if len < rest.len() && valid.len().saturating_add(invalid.len()) == len {
            invalid = &[];
        }
        each(valid, invalid)?;
        let used = valid.len().saturating_add(invalid.len());
        rest = rest.get(used..).unwrap_or(&[]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::String;
    use std::vec::Vec;

    fn shown(bytes: &[u8]) -> (String, Vec<u8>) {
        let (mut text, mut other) = (String::new(), Vec::new());
        for_each(bytes, |valid, invalid| {
            text.push_str(valid);
            text.extend(invalid.iter().map(|_| '\u{fffd}'));
            other.extend_from_slice(invalid);
            Ok(())
        })
        .unwrap();
        (text, other)
    }

    proptest! {
        #[test]
        fn windows_do_not_show(
            parts in prop::collection::vec(
                prop_oneof![
                    any::<String>().prop_map(String::into_bytes),
                    prop::collection::vec(any::<u8>(), 0..8),
                    Just("\u{10ffff}".repeat(20).into_bytes()),
                ],
                0..6,
            ),
        ) {
            let bytes = parts.concat();
            let (mut text, mut other) = (String::new(), Vec::new());
            for chunk in bytes.utf8_chunks() {
                text.push_str(chunk.valid());
                text.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
                other.extend_from_slice(chunk.invalid());
            }
            prop_assert_eq!(shown(&bytes), (text, other));
        }
    }
}
