//! What everybody makes of a trace.

use crate::common::go::{Go, Serve};
use crate::validator::facts::{Fact, What};
use crate::validator::model::{Trust, Validator};
use gotrace::Trace;
use std::sync::{LazyLock, Mutex};

static GO: LazyLock<Option<Mutex<Serve>>> =
    LazyLock::new(|| Some(Mutex::new(Go::find()?.reference().serve())));

/// The trace without its first generations, for each number of them.
pub fn suffixes(trace: &[u8]) -> Vec<Vec<u8>> {
    let of = Trace::new(trace).expect("a header");
    let generations = of.generations().map(|g| g.expect("a generation").start.0);
    let suffix = |start: u64| [&trace[..16], &trace[start as usize..]].concat();
    generations.map(suffix).collect()
}

/// The events of a trace, which must be valid.
pub fn read(trace: &[u8]) -> Result<Vec<Fact>, String> {
    let of = Trace::new(trace).map_err(|e| e.to_string())?;
    let mut reader = of.reader();
    let mut validator = Validator::new(Trust::Program);
    let (mut facts, mut first) = (Vec::new(), None);
    while let Some(event) = reader.next().map_err(|e| e.to_string())? {
        let fact = Fact::of(&event);
        // States are learned in the first generation.
        if !matches!(fact.what, What::Sync(..)) {
            first = first.or(reader.generation());
        }
        let fact = Fact {
            first: first.is_none() || first == reader.generation(),
            ..fact
        };
        validator.see(fact.clone())?;
        facts.push(fact);
    }
    validator.end(false)?;
    Ok(facts)
}

/// Fails unless a trace and all its suffixes are accepted. Gives the events of the whole.
pub fn judge(trace: &[u8]) -> Result<Vec<Fact>, String> {
    for (n, suffix) in suffixes(trace).iter().enumerate() {
        read(suffix).map_err(|e| format!("without {n} generations: {e}"))?;
        if let Some(go) = &*GO {
            let mut go = go.lock().unwrap_or_else(|e| e.into_inner());
            if let Some(error) = go.verdict(suffix).error {
                return Err(format!("Go, without {n} generations: {error}"));
            }
        }
    }
    read(trace)
}
