//! `gotrace completions` and `gotrace man`: what a packager installs beside the binary.

use crate::Cli;
use crate::output::{Failure, Result};
use clap::CommandFactory as _;
use std::io::Write as _;

/// Print a script that completes commands and options in a shell.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  gotrace completions bash > /etc/bash_completion.d/gotrace
  gotrace completions fish > ~/.config/fish/completions/gotrace.fish")]
pub struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

/// Print the manual page, in the format of man.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  gotrace man | man -l -
  gotrace man stat > /usr/local/share/man/man1/gotrace-stat.1")]
pub struct Man {
    /// The page of this subcommand, instead of that of gotrace
    subcommand: Option<String>,
}

pub fn completions(args: Completions) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "gotrace", &mut script);
    print(&script)
}

pub fn man(args: Man) -> Result {
    let mut command = Cli::command();
    command.build();
    if let Some(name) = &args.subcommand {
        let Some(found) = command.find_subcommand(name) else {
            let unknown = format!("there is no subcommand '{name}'");
            command
                .error(clap::error::ErrorKind::InvalidSubcommand, unknown)
                .exit();
        };
        command = found.clone();
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    print(&page)
}

/// What is printed was made in memory: the makers do not expect that writing fails.
fn print(bytes: &[u8]) -> Result {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(Failure::Output)
}
