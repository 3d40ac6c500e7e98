//! Help as it was written: examples and tables keep their lines, however narrow the terminal.
//!
//! clap wraps every text at the terminal's width. What follows the options is written in blocks:
//! lines that begin with two spaces are commands and tables, which stay whole; all others are prose.
//! In those lines, spaces travel through clap as no-break spaces, where it does not wrap, and
//! [`plain`] makes spaces of them again, when all is laid out.

use clap::builder::StyledStr;
use std::io::Write as _;

/// A space at which no line ends.
const FIXED: char = '\u{a0}';

/// A text for clap to show behind the options.
pub fn page(text: &str) -> String {
    let lines = text.lines().map(|line| {
        if is_fixed(line) {
            line.replace(' ', "\u{a0}")
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What was laid out, with plain spaces.
pub fn plain(text: &str) -> String {
    text.replace(FIXED, " ")
}

/// Whether a line is to stay as it is.
pub fn is_fixed(line: &str) -> bool {
    line.starts_with("  ") || line.starts_with(FIXED)
}

/// Prints what clap has to say, to where it would, and ends the process as it would.
pub fn exit(error: &clap::Error) -> ! {
    let text: StyledStr = error.render();
    let text = plain(&text.ansi().to_string());
    // Whether it was read or not, the status is the same.
    let _ = if error.use_stderr() {
        anstream::stderr().lock().write_all(text.as_bytes())
    } else {
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    };
    std::process::exit(error.exit_code())
}

/// Bad usage that clap cannot know of, of a subcommand.
pub fn refuse(subcommand: &str, message: &str) -> ! {
    use clap::CommandFactory as _;
    let mut command = crate::Cli::command();
    command.build();
    let kind = clap::error::ErrorKind::ValueValidation;
    let error = match command.find_subcommand_mut(subcommand) {
        Some(found) => found.error(kind, message),
        None => command.error(kind, message),
    };
    exit(&error)
}
