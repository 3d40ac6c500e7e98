//! The metrics of a trace, read by the commands that judge.

use super::answers::{note_empty, scoped};
use super::output::Result;
use super::progress::Progress;
use super::reading::{Ended, Reading};
use super::table;
use gotrace::analysis::metrics::Metrics;
use gotrace::select::expr::Type;
use gotrace::select::{Filter, Quantity};
use std::path::Path;

/// The metrics of a trace as far as it can be read, and what ended that too early.
pub fn read(
    file: &Path,
    reading: &Reading,
    filter: &Filter,
    progress: &Progress,
) -> Result<(Metrics, Ended)> {
    let mut metrics = Metrics::new();
    let (mut scope, ended) = scoped(file, reading, filter, progress, |event, scope| {
        metrics.add_in(scope, event)
    })?;
    metrics.finish_in(&mut scope);
    note_empty(file, metrics.states(), &scope);
    Ok((metrics, ended))
}

/// A value for people: `1.234ms`, `12.3 MiB`, `0.25`.
pub fn shown(value: Quantity, ty: Type) -> String {
    let whole = value.whole().unwrap_or(0);
    match ty {
        Type::Duration => table::duration(i64::try_from(whole).unwrap_or(i64::MAX)),
        Type::Size => table::bytes(whole),
        _ if value == Quantity::new(whole) => whole.to_string(),
        _ => format!("{value:.4}"),
    }
}

/// A value for programs.
pub fn number(value: Quantity) -> serde_json::Number {
    match value.whole() {
        Some(whole) if value == Quantity::new(whole) => whole.into(),
        _ => {
            let float = value.billionths() as f64 / 1e9;
            serde_json::Number::from_f64(float).unwrap_or_else(|| 0.into())
        }
    }
}

/// The unit of a value, for programs.
pub fn unit(ty: Type) -> &'static str {
    match ty {
        Type::Duration => "ns",
        Type::Size => "bytes",
        _ => "",
    }
}
