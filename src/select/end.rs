//! When a trace ends.

use crate::generation::Trace;
use crate::reader::Reader;
use crate::tables::Growing;
use crate::time::Time;

/// The time of the last event of a trace, as far as it can be read: for
/// [`Selection::with_end`](super::Selection::with_end). `None` if there is no event.
///
/// Finds the last generation from batch header to batch header, and orders that one alone: quick, and
/// the same time as reading everything gives, but for a few nanoseconds where clocks went backwards.
/// Reads everything if the trace has no generations, or if the last ones cannot be read.
///
/// ```
/// use gotrace::{Trace, select::last_time};
///
/// let bytes = include_bytes!("../../tests/fixtures/block-go1.27.trace");
/// let trace = Trace::new(bytes)?;
/// let (mut reader, mut last) = (trace.reader(), None);
/// while let Some(event) = reader.next()? {
///     last = Some(event.time());
/// }
/// assert_eq!(last_time(&trace), last);
/// # Ok::<(), gotrace::Error>(())
/// ```
pub fn last_time(trace: &Trace<'_>) -> Option<Time> {
    let last = |mut reader: Reader<'_, Growing>| {
        let mut last = None;
        // Up to an error is as far as it can be read.
        while let Ok(Some(event)) = reader.next() {
            last = Some(event.time());
        }
        last
    };
    if trace.version().has_generations() {
        let mut generations = trace.generations();
        let mut found = None;
        while let Ok(Some(generation)) = generations.next() {
            found = Some(generation);
        }
        let time = found.and_then(|found| last(Reader::starting_at(trace, &found)));
        if time.is_some() {
            return time;
        }
    }
    last(trace.reader())
}
