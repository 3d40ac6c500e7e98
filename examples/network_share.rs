//! Which share of all blockings is on the network: reads a trace from the standard input.
//!
//! ```console
//! $ cargo run --example network_share < tests/fixtures/http-go1.27.trace
//! ```

use gotrace::event::{Change, GoState};
use gotrace::{Details, StreamReader};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut reader = StreamReader::new(std::io::stdin().lock())?;
    let (mut blockings, mut on_network) = (0u64, 0u64);
    while let Some(event) = reader.next()? {
        let Details::StateTransition(transition) = event.details() else {
            continue;
        };
        // From running to waiting: a goroutine that blocks.
        let blocks = matches!(
            transition.change,
            Change::Goroutine {
                from: GoState::Running,
                to: GoState::Waiting,
                ..
            }
        );
        blockings += u64::from(blocks);
        on_network += u64::from(blocks && transition.reason == "network");
    }
    let share = 100.0 * on_network as f64 / blockings.max(1) as f64;
    println!("{on_network} of {blockings} blockings are on the network: {share:.1} %");
    Ok(())
}
