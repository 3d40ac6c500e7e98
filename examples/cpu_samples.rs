//! The samples of the CPU profiler in a trace, each stack once, the most frequent first.
//!
//! ```console
//! $ cargo run --example cpu_samples -- tests/fixtures/profile-go1.27.trace
//! ```

use gotrace::generation::GenerationTables;
use gotrace::{Growing, Trace};
use std::collections::HashMap;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which trace?")?;
    let bytes = std::fs::read(path)?;
    let trace = Trace::new(&bytes)?;
    let mut counts: HashMap<String, u64> = HashMap::new();
    // Samples are in tables: no event needs to be read.
    for generation in trace.generations() {
        let tables = GenerationTables::<Growing>::load(&trace, &generation?)?;
        for sample in tables.samples() {
            let stack = sample.stack.map(|stack| stack.to_string());
            *counts.entry(stack.unwrap_or_default()).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    for (stack, count) in counts {
        println!("{count} samples\n{stack}");
    }
    Ok(())
}
