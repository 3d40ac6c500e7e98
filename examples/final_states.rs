//! The state in which each goroutine was last, with the time since then and where it waits.
//!
//! ```console
//! $ cargo run --example final_states -- tests/fixtures/block-go1.27.trace
//! ```

use gotrace::event::GoState;
use gotrace::{GoId, Time, Trace};
use std::collections::BTreeMap;

/// What is known of a goroutine: its state, since when, why, and the function where it stopped.
struct Last {
    state: GoState,
    since: Time,
    reason: String,
    function: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which trace?")?;
    let bytes = std::fs::read(path)?;
    let trace = Trace::new(&bytes)?;
    let mut reader = trace.reader();
    let mut goroutines: BTreeMap<GoId, Last> = BTreeMap::new();
    let mut end = Time(0);
    while let Some(event) = reader.next()? {
        end = event.time();
        let details = event.details();
        let Some(transition) = details.as_state_transition() else {
            continue;
        };
        let Some((id, _, to)) = transition.goroutine() else {
            continue;
        };
        // Each generation announces every goroutine again: nothing changes then, and "since" must
        // not begin anew.
        if transition.is_announcement() && goroutines.contains_key(&id) {
            continue;
        }
        if to == GoState::NotExist {
            goroutines.remove(&id);
            continue;
        }
        let top = transition.stack.and_then(|stack| stack.frames().next());
        let last = Last {
            state: to,
            since: event.time(),
            reason: transition.reason.to_string(),
            function: top.map(|frame| frame.func.to_string()).unwrap_or_default(),
        };
        goroutines.insert(id, last);
    }
    for (id, last) in &goroutines {
        let seconds = end.since(last.since) as f64 / 1e9;
        let Last {
            state,
            reason,
            function,
            ..
        } = last;
        println!("{id:>6} {state:<12} {seconds:>10.6} s  {reason:<20} {function}");
    }
    Ok(())
}
