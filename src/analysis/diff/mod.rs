//! What changed from some traces to others, and whether that is more than chance.
//!
//! [`Profile`] takes in the events of one trace. [`compare`] takes the profiles of each side, one or many,
//! and gives what changed most first: by function and state, by the place and reason of waits, by task,
//! region, stop-the-world reason and collection.
//!
//! Waits in one trace are not independent of each other: what is slow now is slow a moment later. A test
//! over single waits finds changes between two halves of one trace in most cases. So:
//!
//! - with [six traces](ENOUGH) a side and more, each trace gives one value, and the Mann-Whitney U test says
//!   how likely such a difference is by chance;
//! - with fewer, traces are cut into blocks of [100 ms](BLOCK), a moving-block bootstrap with a fixed seed
//!   says how much the ratio varies, and the result is called [indicative](Method::Blocks).
//!
//! What it takes to find something: the least probability that six traces a side can give is 0.002, and of
//! some twenty comparisons the first has to be below 0.0025 to be found. So with six a side, a change is
//! found if *every* value of one side is above every value of the other: if runs of one program differ by
//! less than what changed. With eight a side, a few pairs may be the other way round. The services of this crate's
//! tests, which for 60 requests in a row are up to 20 % slower or faster as a whole, run for 300 ms:
//! eight traces a side find in 19 of 20 cases that one function is 20 % slower. Longer traces vary less,
//! more traces bear more; percentiles above the median need more of either.
//!
//! Among many comparisons some differ by chance: the Benjamini-Hochberg procedure keeps the part of
//! false ones among those found at 5 % (with blocks 1 %). And a change counts only if it is at least 5 %
//! and also, in all, 0.5 % of the time, or 1 ms in a duration.
//!
//! ```
//! use gotrace::analysis::diff::{Options, Profile, compare};
//!
//! let bytes = include_bytes!("../../../tests/fixtures/http-go1.27.trace");
//! let trace = gotrace::Trace::new(bytes)?;
//! let profile = || -> Result<Profile, gotrace::Error> {
//!     let (mut reader, mut profile) = (trace.reader(), Profile::new());
//!     while let Some(event) = reader.next()? {
//!         profile.add(&event);
//!     }
//!     profile.finish();
//!     Ok(profile)
//! };
//! let comparison = compare(&[profile()?], &[profile()?], &Options::default());
//! assert!(comparison.changes.iter().all(|change| !change.found));
//! # Ok::<(), gotrace::Error>(())
//! ```

mod profile;
mod statistics;

pub use profile::{BLOCK, Profile, Unit, UnitKind};

use crate::num;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use profile::Series;
use statistics::{Random, benjamini_hochberg, mann_whitney, median, shift, two_sided};

/// How many traces a side are enough for a test across traces. With six, the least probability that the test
/// can give is 0.002; with four it is 0.03, which no correction for many comparisons leaves standing.
pub const ENOUGH: usize = 6;
/// The fewest blocks a side from which something can be said.
const FEWEST_BLOCKS: usize = 10;
/// How often the blocks are drawn again.
const DRAWS: usize = 500;

/// What is compared of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(all(feature = "json", feature = "serde"), derive(serde::Serialize))]
#[cfg_attr(
    all(feature = "json", feature = "serde"),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Value {
    /// Nanoseconds a second, of all goroutines; or nanoseconds for each piece of work ([`Options::per`]).
    Time,
    /// How often, a second; or for each piece of work.
    Rate,
    /// The mean duration, in nanoseconds.
    Mean,
    /// The median, in nanoseconds. Only compared across traces.
    P50,
    /// The 99th percentile, in nanoseconds. Only compared across traces.
    P99,
}

impl Value {
    /// The name: `time`, `rate`, `mean`, `p50`, `p99`.
    pub const fn name(self) -> &'static str {
        match self {
            Value::Time => "time",
            Value::Rate => "rate",
            Value::Mean => "mean",
            Value::P50 => "p50",
            Value::P99 => "p99",
        }
    }
}

/// How it was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(all(feature = "json", feature = "serde"), derive(serde::Serialize))]
#[cfg_attr(
    all(feature = "json", feature = "serde"),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Method {
    /// Mann-Whitney U test, a value for each trace.
    Traces,
    /// Moving-block bootstrap within traces: indicative, because what differs from run to run is not seen.
    Blocks,
    /// The traces are too short: nothing can be said but by how much they differ.
    Nothing,
}

/// What to compare by.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Count time and rates for each finished task or region of a type, instead of for each second: for
    /// runs in which more or less work was done.
    pub per: Option<Unit>,
}

/// A value of a unit, on both sides.
#[derive(Clone, Debug)]
#[cfg_attr(all(feature = "json", feature = "serde"), derive(serde::Serialize))]
#[non_exhaustive]
pub struct Change {
    /// Of what.
    #[cfg_attr(all(feature = "json", feature = "serde"), serde(flatten))]
    pub unit: Unit,
    /// Which value.
    pub value: Value,
    /// On the first side: of several traces, the median.
    pub before: f64,
    /// On the second side.
    pub after: f64,
    /// How much more it is: of several traces, the median of all differences (Hodges-Lehmann).
    pub shift: f64,
    /// What it means in all: by how many nanoseconds the unit's [time](Value::Time) differs.
    pub effect: f64,
    /// How likely such a difference is by chance; `None` if that cannot be said.
    pub p: Option<f64>,
    /// It is large enough to matter, and unlikely to be chance among all that was compared.
    pub found: bool,
}

impl Change {
    /// The second side over the first; `None` if there was nothing on the first.
    pub fn ratio(&self) -> Option<f64> {
        (self.before > 0.0).then_some(self.after / self.before)
    }
}

/// What changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// Everything compared: first what was found, and of these what makes the largest difference in all.
    pub changes: Vec<Change>,
    /// How.
    pub method: Method,
    /// How many traces there were on each side.
    pub traces: (usize, usize),
}

/// Compares the traces of two sides. [`Profile::finish`] must have been called for each.
pub fn compare(before: &[Profile], after: &[Profile], options: &Options) -> Comparison {
    let per = options.per.as_ref();
    let blocks = |side: &[Profile]| side.iter().map(Profile::blocks).sum::<usize>();
    let method = if before.len() >= ENOUGH && after.len() >= ENOUGH {
        Method::Traces
    } else if blocks(before) >= FEWEST_BLOCKS && blocks(after) >= FEWEST_BLOCKS {
        Method::Blocks
    } else {
        Method::Nothing
    };
    let units: BTreeSet<&Unit> = before
        .iter()
        .chain(after)
        .flat_map(Profile::units)
        .collect();
    let mut changes = Vec::new();
    for unit in units {
        let sides = Sides { before, after, per };
        sides.unit(unit, method, &mut changes);
    }
    let level = match method {
        Method::Blocks => 0.01,
        _ => 0.05,
    };
    let unlikely = benjamini_hochberg(changes.iter().map(|change| change.p), level);
    for (change, unlikely) in changes.iter_mut().zip(unlikely) {
        change.found = unlikely && matters(change, per.is_some());
    }
    changes.sort_by(|a, b| {
        let size = |change: &Change| (change.found, Finite(change.effect.abs()));
        size(b)
            .cmp(&size(a))
            .then(a.unit.cmp(&b.unit))
            .then(a.value.cmp(&b.value))
    });
    let traces = (before.len(), after.len());
    Comparison {
        changes,
        method,
        traces,
    }
}

/// Whether a change is large enough to be of interest.
fn matters(change: &Change, is_per: bool) -> bool {
    let larger = change.before.max(change.after);
    let smaller = change.before.min(change.after);
    // 5 % one way or the other.
    if larger < smaller * 1.05 || larger <= 0.0 {
        return false;
    }
    // 0.5 % of a second; of a piece of work, that of its own time.
    let least = if is_per { larger * 0.005 } else { 5e6 };
    let is_long = matches!(change.value, Value::Mean | Value::P50 | Value::P99);
    change.effect.abs() >= least || (is_long && change.shift.abs() >= 1e6)
}

/// Numbers that are never NaN, in order.
#[derive(PartialEq)]
struct Finite(f64);

impl Eq for Finite {}

impl PartialOrd for Finite {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Finite {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

struct Sides<'p> {
    before: &'p [Profile],
    after: &'p [Profile],
    per: Option<&'p Unit>,
}

impl Sides<'_> {
    fn unit(&self, unit: &Unit, method: Method, changes: &mut Vec<Change>) {
        let time = |side| self.values(side, unit, Value::Time);
        // The median of one trace is its value.
        let (times_before, times_after) = (time(self.before), time(self.after));
        let effect = median(&times_after).unwrap_or(0.0) - median(&times_before).unwrap_or(0.0);
        // What hardly takes time cannot matter by its rate: fewer tests find more.
        let most = times_before
            .iter()
            .chain(&times_after)
            .fold(0.0f64, |a, b| a.max(*b));
        let is_rare = self.per.is_none() && most < 5e6;
        let values: &[Value] = match method {
            Method::Traces if !is_rare => &[
                Value::Time,
                Value::Rate,
                Value::Mean,
                Value::P50,
                Value::P99,
            ],
            Method::Blocks if !is_rare => &[Value::Time, Value::Rate, Value::Mean],
            _ => &[Value::Time, Value::Mean],
        };
        for value in values {
            let before = self.values(self.before, unit, *value);
            let after = self.values(self.after, unit, *value);
            let (Some(a), Some(b)) = (median(&before), median(&after)) else {
                continue;
            };
            let p = match method {
                Method::Nothing => None,
                // It is listed, not tested.
                _ if is_rare && *value == Value::Time => None,
                Method::Traces => Some(mann_whitney(&before, &after)),
                Method::Blocks => self.blocks(unit, *value),
            };
            changes.push(Change {
                unit: unit.clone(),
                value: *value,
                before: a,
                after: b,
                shift: shift(&before, &after),
                effect,
                p,
                found: false,
            });
        }
    }

    /// The value in each trace that has one.
    fn values(&self, side: &[Profile], unit: &Unit, value: Value) -> Vec<f64> {
        let of = |profile: &Profile| {
            let series = profile.series(unit);
            let work = profile.work(self.per)?;
            let none = Series::default();
            let spread = &series.unwrap_or(&none).spread;
            let float = |n: Option<i64>| n.map(|n| num::float(n.unsigned_abs()));
            match value {
                Value::Time => Some(num::float(spread.sum().unsigned_abs()) / work),
                Value::Rate => Some(num::float(spread.len()) / work),
                Value::Mean => float(spread.mean()),
                Value::P50 => float(spread.quantile(0.5)),
                Value::P99 => float(spread.quantile(0.99)),
            }
        };
        side.iter().filter_map(of).collect()
    }

    /// How likely the ratio of a value is by chance, from how it varies over blocks of time.
    fn blocks(&self, unit: &Unit, value: Value) -> Option<f64> {
        let gather = |side: &[Profile]| -> Vec<[f64; 3]> {
            let all = side
                .iter()
                .flat_map(|profile| profile.cells(unit, self.per));
            all.collect()
        };
        let (before, after) = (gather(self.before), gather(self.after));
        if let Some(p) = appears(&before, &after) {
            return Some(p);
        }
        let of = |cells: &mut dyn Iterator<Item = [f64; 3]>| -> Option<f64> {
            let mut sum = [0.0f64; 3];
            for cell in cells {
                for (sum, part) in sum.iter_mut().zip(cell) {
                    *sum += part;
                }
            }
            let [count, time, work] = sum;
            let (part, whole) = match value {
                Value::Rate => (count, work),
                Value::Mean => (time, count),
                _ => (time, work),
            };
            (part > 0.0 && whole > 0.0).then(|| (part / whole).ln())
        };
        let observed = of(&mut after.iter().copied())? - of(&mut before.iter().copied())?;
        let mut random = Random::new();
        let mut draws = Vec::with_capacity(DRAWS);
        for _ in 0..DRAWS {
            let a = of(&mut random.blocks(&before));
            let b = of(&mut random.blocks(&after));
            draws.extend(b.zip(a).map(|(b, a)| b - a));
        }
        // A unit that most draws do not have is too rare.
        if draws.len() < DRAWS / 2 {
            return None;
        }
        let n = num::float(num::wide(draws.len()));
        let mean = draws.iter().sum::<f64>() / n;
        let variance = draws.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / n;
        // Blocks that are drawn again vary less than new ones would.
        let few = num::float(num::wide(before.len().min(after.len())));
        let deviation = (variance * few / (few - 1.0).max(1.0)).sqrt();
        if deviation <= 0.0 {
            return (observed == 0.0).then_some(1.0);
        }
        Some(two_sided(observed / deviation))
    }
}

/// For what only one side has: how likely it is that by chance no block of the other has it, given in how
/// many blocks it is on its side.
fn appears(before: &[[f64; 3]], after: &[[f64; 3]]) -> Option<f64> {
    let has = |cells: &[[f64; 3]]| cells.iter().filter(|[count, ..]| *count > 0.0).count();
    let (with, without) = match (has(before), has(after)) {
        (0, with) if with > 0 => ((with, after.len()), before.len()),
        (with, 0) if with > 0 => ((with, before.len()), after.len()),
        _ => return None,
    };
    let float = |n| num::float(num::wide(n));
    let absent = 1.0 - float(with.0) / float(with.1);
    Some(absent.powf(float(without)))
}

/// The unit that a text names for [`Options::per`]: `task:request`, `region:TYPE`.
pub fn parse_work(text: &str) -> Option<Unit> {
    let (kind, name) = text.split_once(':')?;
    let kind = match kind {
        "task" => UnitKind::Task,
        "region" => UnitKind::Region,
        _ => return None,
    };
    Some(Unit {
        kind,
        name: name.into(),
        reason: String::new(),
    })
}
