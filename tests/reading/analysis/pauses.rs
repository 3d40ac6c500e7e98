//! How long the world stood is the same number wherever it is shown.
#![cfg(feature = "expressions")]

use crate::common;
use gotrace::Trace;
use gotrace::analysis::gc::Gc;
use gotrace::analysis::metrics::{MetricCondition, MetricNames, Metrics};
use gotrace::analysis::overview::Overview;
use gotrace::analysis::states::States;

/// The first screen, `gotrace gc` and the metric `stw.max` agree on every trace, and none of them takes
/// the range for the pause.
#[test]
fn every_analysis_has_the_same_pauses() {
    let (mut stops, mut shorter) = (0, 0);
    for fixture in common::fixtures() {
        let bytes = fixture.bytes();
        let trace = Trace::new(&bytes).unwrap();
        let mut reader = trace.reader();
        let (mut states, mut metrics) = (States::new(), Metrics::new());
        let mut both = (Overview::new(), Gc::new());
        while let Ok(Some(event)) = reader.next() {
            states.add(&event, &mut both);
            metrics.add(&event);
        }
        let page = both.0.take(&states).unwrap();
        states.finish(&mut both.1);
        metrics.finish();
        let pauses = both.1.pauses();
        let lengths = pauses.iter().map(|pause| pause.pause);
        let longest = lengths.clone().max().unwrap_or(0);
        assert_eq!(page.gc.stops, pauses.len() as u64, "{}", fixture.name);
        assert_eq!(page.gc.longest_stop, longest, "{}", fixture.name);
        assert_eq!(page.gc.stopped, lengths.sum::<i64>(), "{}", fixture.name);
        if !pauses.is_empty() {
            let text = format!("stw.max == {longest}ns && stw.count == {}", pauses.len());
            let equal = MetricCondition::parse(&text, &MetricNames).unwrap();
            assert_eq!(equal.decide(&metrics), Ok(true), "{}: {text}", fixture.name);
        }
        stops += pauses.len();
        shorter += pauses.iter().filter(|p| p.pause < p.range()).count();
    }
    assert!(stops > 100 && shorter > 20, "{stops} {shorter}");
}
