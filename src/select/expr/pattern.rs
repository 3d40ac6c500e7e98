//! Regular expressions, of bounded size.

use alloc::string::{String, ToString as _};
use regex::bytes::{Regex, RegexBuilder};

/// A regular expression over bytes: names in a trace need not be UTF-8.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// The most bytes that one takes when compiled.
    const MAX_SIZE: usize = 256 << 10;
    /// How deep its groups may be nested.
    const MAX_DEPTH: u32 = 64;

    /// Compiles it; the error says what is wrong, on one line.
    pub(super) fn new(text: &str) -> Result<Pattern, String> {
        let built = RegexBuilder::new(text)
            .unicode(false)
            .size_limit(Self::MAX_SIZE)
            .nest_limit(Self::MAX_DEPTH)
            .build();
        built.map(Pattern).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => String::from("the pattern is too large"),
            // The last line says what is wrong; those before point at it in several lines.
            error => {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or("");
                last.strip_prefix("error: ").unwrap_or(last).to_string()
            }
        })
    }

    pub(super) fn is_match(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }
}
