//! Stacks of what happens: addresses at once, symbols when the generation ends.

use super::core::Core;
use crate::ids::StackId;
use crate::num;
use crate::wire::MAX_FRAMES;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::collections::HashMap;

/// Room for the tracer's own frames, which are left out later.
const DEPTH: usize = 16 + num::narrow(MAX_FRAMES);

/// The stack of the caller.
#[inline(never)]
pub(super) fn here(core: &Core, generation: u64) -> Option<StackId> {
    let (mut frames, mut depth) = ([0usize; DEPTH], 0usize);
    backtrace::trace(|frame| {
        if let Some(place) = frames.get_mut(depth) {
            *place = frame.ip().addr();
        }
        depth = depth.saturating_add(1);
        depth < DEPTH
    });
    let frames = frames.get(..depth).unwrap_or(&frames);
    StackId::new(core.names.trace(generation, frames))
}

/// A function that is called.
#[derive(Clone, Debug)]
pub(super) struct Symbol {
    pub(super) name: Arc<str>,
    pub(super) file: Arc<str>,
    pub(super) line: u64,
}

/// What addresses are, once they were asked for.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    known: HashMap<usize, Vec<(u64, Symbol)>>,
    /// One of each text.
    texts: HashMap<Arc<str>, ()>,
}

impl Symbols {
    /// The functions at an address, the innermost first: several where calls were inlined. Each has
    /// a program counter of its own.
    pub(super) fn of(&mut self, address: usize) -> &[(u64, Symbol)] {
        let texts = &mut self.texts;
        self.known.entry(address).or_insert_with(|| {
            let mut symbols = Vec::new();
            // It is a return address: the call is before it.
            let call = core::ptr::without_provenance_mut(address.saturating_sub(1));
            backtrace::resolve(call, |symbol| {
                let name = symbol.name().map(|name| alloc::format!("{name:#}"));
                let file = symbol.filename().map(|path| path.display().to_string());
                // Where readers know a frame by its counter, inlined ones need others.
                let inlined = num::wide(symbols.len()).wrapping_shl(56);
                let symbol = Symbol {
                    name: text(texts, name.as_deref().unwrap_or("?")),
                    file: text(texts, file.as_deref().unwrap_or("")),
                    line: u64::from(symbol.lineno().unwrap_or(0)),
                };
                symbols.push((num::wide(address) ^ inlined, symbol));
            });
            symbols
        })
    }
}

fn text(texts: &mut HashMap<Arc<str>, ()>, text: &str) -> Arc<str> {
    if let Some((known, ())) = texts.get_key_value(text) {
        return Arc::clone(known);
    }
    let new: Arc<str> = Arc::from(text);
    texts.insert(Arc::clone(&new), ());
    new
}

impl Symbol {
    /// Whether it is the tracer itself that is called, or what it calls: what a stack begins with.
    pub(super) fn is_own(&self) -> bool {
        let own = file!().trim_end_matches("stacks.rs");
        ["/library/", "/backtrace-", own]
            .iter()
            .any(|part| self.file.contains(part))
            || self.file.is_empty()
    }
}
