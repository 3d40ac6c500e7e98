//! The doctor: what is wrong with a program, as far as its trace shows.
//!
//! The [`Rule`]s look at the [`Metrics`] of a trace. Each has two limits, which [`Limits`] can change;
//! a number above the first is a [`Warning`](Severity::Warning), above the second an
//! [`Error`](Severity::Error). Limits are such that a healthy program, also a busy one on a loaded
//! machine, gives no finding above a [`Note`](Severity::Note). A [`Finding`] says the number, the limit,
//! where and when, and the command that shows more.
//!
//! ```
//! use gotrace::analysis::doctor::{Limits, Severity, examine};
//! use gotrace::analysis::metrics::Metrics;
//!
//! let bytes = include_bytes!("../../../tests/fixtures/http-go1.27.trace");
//! let trace = gotrace::Trace::new(bytes)?;
//! let (mut reader, mut metrics) = (trace.reader(), Metrics::new());
//! while let Some(event) = reader.next()? {
//!     metrics.add(&event);
//! }
//! metrics.finish();
//! let findings = examine(&metrics, &Limits::default());
//! assert!(findings.iter().all(|finding| finding.severity == Severity::Note));
//! # Ok::<(), gotrace::Error>(())
//! ```

mod limits;
mod rules;

pub use limits::{Limit, Limits, Rule};

use super::metrics::Metrics;
use crate::ids::GoId;
use crate::time::Time;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(all(feature = "json", feature = "serde"), derive(serde::Serialize))]
#[cfg_attr(
    all(feature = "json", feature = "serde"),
    serde(rename_all = "lowercase")
)]
pub enum Severity {
    /// Worth knowing: it may explain something, or says that other findings are to be trusted less.
    Note,
    /// Above the first limit.
    Warning,
    /// Above the second limit.
    Error,
}

impl Severity {
    /// The name: `note`, `warning`, `error`.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a number of a finding counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(all(feature = "json", feature = "serde"), derive(serde::Serialize))]
#[cfg_attr(
    all(feature = "json", feature = "serde"),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Measure {
    /// Nanoseconds.
    Nanoseconds,
    /// Millionths of the whole: 250,000 is a quarter.
    Millionths,
    /// Thousandths of one a second.
    PerSecond,
    /// A number of things.
    Count,
}

impl Measure {
    /// Its name, as in JSON: `per_second`.
    pub const fn name(self) -> &'static str {
        match self {
            Measure::Nanoseconds => "nanoseconds",
            Measure::Millionths => "millionths",
            Measure::PerSecond => "per_second",
            Measure::Count => "count",
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(all(feature = "json", feature = "serde"), derive(serde::Serialize))]
#[non_exhaustive]
pub struct Finding {
    /// The rule that found it.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in a sentence for people.
    pub message: String,
    /// The number, in the unit of the rule: [`Rule::measure`].
    pub number: u64,
    /// The limit that it is above; of a note, the first limit.
    pub limit: u64,
    /// When it was, or began, if that was at one moment.
    #[cfg_attr(all(feature = "json", feature = "serde"), serde(rename = "time"))]
    pub at: Option<Time>,
    /// The goroutine that did it, or one of them.
    pub goroutine: Option<GoId>,
    /// The function that this goroutine began with; empty if it is not known.
    pub function: String,
    /// Where: the functions of the stack, the innermost first.
    pub stack: Vec<String>,
    /// The command that shows more, with `FILE` for the trace.
    pub command: String,
}

/// What is found in a trace that was read to its end: the worst first, and of equals what is most above
/// its limit.
///
/// [`Metrics::finish`] must have been called.
pub fn examine(metrics: &Metrics, limits: &Limits) -> Vec<Finding> {
    let mut findings = rules::all(metrics, limits);
    findings.sort_by_key(|finding| {
        let thousandfold = u128::from(finding.number).saturating_mul(1_000);
        let excess = thousandfold.checked_div(u128::from(finding.limit));
        core::cmp::Reverse((finding.severity, excess.unwrap_or(u128::MAX)))
    });
    findings
}
