//! Which share of all blockings is on the network: reads a trace from the standard input.
//!
//! ```console
//! $ cargo run --example network_share < tests/fixtures/http-go1.27.trace
//! ```

use gotrace::StreamReader;
use gotrace::event::GoState;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut reader = StreamReader::new(std::io::stdin().lock())?;
    let (mut blockings, mut on_network) = (0u64, 0u64);
    while let Some(event) = reader.next()? {
        let details = event.details();
        let Some(transition) = details.as_state_transition() else {
            continue;
        };
        // From running to waiting: a goroutine that blocks.
        if let Some((_, GoState::Running, GoState::Waiting)) = transition.goroutine() {
            blockings += 1;
            on_network += u64::from(transition.reason == "network");
        }
    }
    let share = 100.0 * on_network as f64 / blockings.max(1) as f64;
    println!("{on_network} of {blockings} blockings are on the network: {share:.1} %");
    Ok(())
}
