//! The command-line tool, or, built without its feature, word of how to get it.

#[cfg_attr(feature = "cli", path = "tool.rs")]
#[cfg_attr(not(feature = "cli"), path = "stub.rs")]
mod tool;

fn main() -> std::process::ExitCode {
    tool::main()
}
