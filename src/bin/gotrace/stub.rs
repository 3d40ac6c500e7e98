//! What `cargo install gotrace` installs: the features of the tool are too many for a library's
//! default, and cargo cannot ask for them by itself.

use std::io::Write as _;
use std::process::ExitCode;

/// Says what to do.
pub fn main() -> ExitCode {
    // Whether it is read or not, the status is the same.
    let _ = writeln!(
        std::io::stderr(),
        "gotrace: the tool was built without the feature `cli`: cargo install gotrace --features cli"
    );
    ExitCode::from(2)
}
