//! `gotrace completions` and `gotrace man`: what a packager installs beside the binary.

use crate::output::{Failure, Result};
use crate::{Cli, help};
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::io::Write as _;

/// Print a script that completes commands and options in a shell.
#[derive(clap::Args)]
#[command(after_help = help::page("\
Examples:
  gotrace completions bash > /etc/bash_completion.d/gotrace
  gotrace completions fish > ~/.config/fish/completions/gotrace.fish"))]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// Print the manual page, in the format of man.
#[derive(clap::Args)]
#[command(after_help = help::page("\
Examples:
  gotrace man | man -l -
  gotrace man stat > /usr/local/share/man/man1/gotrace-stat.1"))]
pub struct Man {
    /// The page of this subcommand, instead of that of gotrace
    subcommand: Option<String>,
}

pub fn completions(args: Completions) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "gotrace", &mut script);
    if args.shell == Shell::Fish {
        // clap completes no files where a command may be; `gotrace FILE` wants them.
        let files = "complete -c gotrace -n \"__fish_gotrace_needs_command\" -F\n";
        script.extend_from_slice(files.as_bytes());
    }
    print(&script)
}

pub fn man(args: Man) -> Result {
    // There is no page of the help that clap has for each command.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    if let Some(name) = &args.subcommand {
        let Some(found) = command.find_subcommand(name) else {
            let unknown = format!("there is no subcommand '{name}'");
            let kind = clap::error::ErrorKind::InvalidSubcommand;
            help::exit(&command.error(kind, unknown));
        };
        command = found.clone();
    }
    print(page(command)?.as_bytes())
}

/// A manual page. All but what follows the options is as clap_mangen makes it: that flows every text
/// into paragraphs, examples and tables too.
fn page(command: clap::Command) -> Result<String> {
    let extra = command.get_after_long_help().or(command.get_after_help());
    let extra = extra.map(|text| extra_sections(&help::plain(&text.to_string())));
    let has_commands = command.has_subcommands();
    let man = clap_mangen::Man::new(command);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
        man.render_version_section(&mut page)?;
    }
    let mut page = String::from_utf8_lossy(&page).into_owned();
    page.push_str(&extra.unwrap_or_default());
    Ok(page)
}

/// What follows the options, in the format of man: a line that ends with a colon above lines that
/// keep their form is the heading of a section, if it is short; paragraphs flow.
fn extra_sections(text: &str) -> String {
    let mut out = String::new();
    let lines: Vec<&str> = text.lines().collect();
    let mut fixed = false;
    let mut begun = false;
    for (n, line) in lines.iter().enumerate() {
        let is_fixed = help::is_fixed(line);
        if fixed && !is_fixed {
            out.push_str(".EE\n");
        }
        if is_fixed && !fixed {
            out.push_str(".PP\n.EX\n");
        }
        fixed = is_fixed;
        let heading = line.strip_suffix(':').filter(|title| {
            let above = lines.get(n + 1).is_some_and(|next| help::is_fixed(next));
            above && title.split(' ').count() <= 2
        });
        match heading {
            Some(title) => out.push_str(&format!(".SH {}\n", title.to_uppercase())),
            None if line.is_empty() => out.push_str(".PP\n"),
            None => {
                if !begun {
                    out.push_str(".SH NOTES\n");
                }
                // A line of a table keeps what it has beyond the first two spaces.
                let text = line.strip_prefix("  ").unwrap_or(line);
                out.push_str(&literal(text));
                out.push('\n');
            }
        }
        begun = true;
    }
    if fixed {
        out.push_str(".EE\n");
    }
    out
}

/// A line of text in the format of man, that nothing in it is taken for a command of.
fn literal(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq")
        .replace('^', "\\(ha")
        .replace('~', "\\(ti")
        .replace('`', "\\(ga");
    if escaped.starts_with('.') {
        format!("\\&{escaped}")
    } else {
        escaped
    }
}

/// What is printed was made in memory: the makers do not expect that writing fails.
fn print(bytes: &[u8]) -> Result {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(Failure::Output)
}
