//! Pages of the generations of a trace, joined, are the page of the whole.

use crate::common;
use gotrace::Trace;
use gotrace::analysis::names::NameId;
use gotrace::analysis::overview::{Overview, Page};
use gotrace::analysis::states::States;
use gotrace::event::EventKind;
use proptest::prelude::*;

/// The pages of a trace, of which one ends before each sync event that `cuts` says, and after so many
/// events as it says otherwise.
fn pages(bytes: &[u8], cut: impl Fn(u64, bool) -> bool) -> Vec<Page> {
    let trace = Trace::new(bytes).unwrap();
    let (mut states, mut overview) = (States::new(), Overview::new());
    let (mut reader, mut pages, mut count) = (trace.reader(), Vec::new(), 0);
    while let Ok(Some(event)) = reader.next() {
        let is_sync = event.kind() == EventKind::Sync && states.syncs() > 0;
        states.add(&event, &mut overview);
        count += 1;
        if cut(count, is_sync) {
            pages.extend(overview.take(&states));
        }
    }
    pages.extend(overview.take(&states));
    pages
}

fn joined(pages: &[Page]) -> Page {
    let (first, others) = pages.split_first().unwrap();
    let mut page = first.clone();
    others.iter().for_each(|next| page.join(next));
    page
}

#[track_caller]
fn same(whole: &Page, joined: &Page, name: &str) {
    // Of functions that became known late, times are with the unknown ones: the sums of all are the
    // same, and those of each if there are none.
    let all = |page: &Page| -> Vec<i64> {
        let sums = page.functions.iter().map(|f| f.sums);
        let each = sums.map(|s| {
            [
                s.running,
                s.runnable,
                s.waiting,
                s.syscall,
                s.syscall_without_proc,
            ]
        });
        each.fold(vec![0; 5], |all, one| {
            all.iter().zip(one).map(|(a, b)| a + b).collect()
        })
    };
    assert_eq!(all(whole), all(joined), "{name}");
    let lived = |page: &Page| page.functions.iter().map(|f| f.count).sum::<u64>();
    assert_eq!(lived(whole), lived(joined), "{name}");
    let is_late = |page: &Page| page.functions.iter().any(|f| f.name == NameId::EMPTY);
    let mut joined = joined.clone();
    if is_late(&joined) {
        joined.functions = whole.functions.clone();
    }
    // Between the program and the collector, help that lasted over a cut may be parted otherwise.
    assert_eq!(whole.used.total(), joined.used.total(), "{name}");
    joined.used = whole.used;
    assert_eq!(whole, &joined, "{name}");
}

#[test]
fn generations_joined_are_the_whole() {
    let mut several = 0;
    for fixture in common::fixtures() {
        let bytes = fixture.bytes();
        let whole = pages(&bytes, |_, _| false);
        let parts = pages(&bytes, |_, is_sync| is_sync);
        several += usize::from(parts.len() > 2);
        same(&whole[0], &joined(&parts), &fixture.name);
    }
    assert!(several > 5, "{several}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Wherever it is cut, not only between generations, and however pages are put together.
    #[test]
    fn stretches_joined_are_the_whole(
        fixture: prop::sample::Index,
        every in 50u64..5_000,
        middle: prop::sample::Index,
    ) {
        let fixtures = common::fixtures();
        let fixture = fixture.get(&fixtures);
        let bytes = fixture.bytes();
        let whole = pages(&bytes, |_, _| false);
        let parts = pages(&bytes, |count, _| count % every == 0);
        let (left, right) = parts.split_at(middle.index(parts.len()));
        if !left.is_empty() && !right.is_empty() {
            let mut page = joined(left);
            page.join(&joined(right));
            same(&whole[0], &page, &fixture.name);
        }
    }
}
