//! Work on several things at once, with results in order.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// How many threads to use: as many as are asked for, or as there are processors.
pub fn threads(wanted: Option<NonZero<usize>>) -> usize {
    let wanted = wanted.or_else(|| thread::available_parallelism().ok());
    wanted.map_or(1, NonZero::get)
}

/// Does `work` on each item, on so many [`threads`], and gives each result to
/// `done` in the order of the items, as soon as those before it are there. Ends early if `done`
/// fails.
pub fn in_order<T: Sync, R: Send, E>(
    items: &[T],
    wanted: Option<NonZero<usize>>,
    work: impl Fn(&T) -> R + Sync,
    mut done: impl FnMut(&T, R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads(wanted);
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(n) else { break };
                    if sender.send((n, work(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        // Results wait here for those before them.
        let mut waiting = BTreeMap::new();
        let mut expected = 0;
        for (n, result) in receiver {
            waiting.insert(n, result);
            while let Some(result) = waiting.remove(&expected) {
                if let Some(item) = items.get(expected) {
                    done(item, result)?;
                }
                expected += 1;
            }
        }
        Ok(())
    })
}
