//! The command-line tool: argument parsing and printing around the library.
//!
//! One module a subcommand. What they share: [`input`] opens traces and [`events`] reads them,
//! [`filter`] selects, [`output`] prints results and
//! errors, [`parallel`] works on several files at once, [`progress`] shows how far the work is,
//! [`live`] opens what a running program writes, [`pulse`] says how it is doing, [`signals`] and
//! [`snapshots`] are for those who keep the last of it,
//! [`guard`] turns a file that shrinks while mapped into an error message.

mod assemble;
mod check;
mod docs;
mod dump;
mod events;
mod filter;
#[cfg(unix)]
mod follow;
mod guard;
mod input;
mod json;
#[cfg(unix)]
mod live;
mod output;
mod parallel;
mod progress;
#[cfg(unix)]
mod pulse;
#[cfg(unix)]
mod record;
mod recover;
#[cfg(unix)]
mod signals;
#[cfg(unix)]
mod snapshots;
mod stat;
#[cfg(unix)]
mod tee;

use clap::error::{ContextKind, ContextValue};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Reads, summarizes, records and assembles Go execution traces.
///
/// FILE is a trace as runtime/trace, net/http/pprof or a flight recorder writes it, or one
/// compressed with gzip or zstd. "-" is the standard input.
#[derive(Parser)]
#[command(
    name = "gotrace",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
#[command(after_help = "\
Exit status: 0 if all went well, 1 for a trace that is damaged or cannot be read, 2 for bad usage.
NO_COLOR=1 turns colours off; they are only used on a terminal.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Dump(dump::Args),
    Check(check::Args),
    Stat(stat::Args),
    Assemble(assemble::Args),
    #[cfg(unix)]
    Record(record::Args),
    Recover(recover::Args),
    #[cfg(unix)]
    Tee(tee::Args),
    Completions(docs::Completions),
    Man(docs::Man),
}

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| advise(error).exit());
    let result = match cli.command {
        Command::Dump(args) => dump::run(args),
        Command::Check(args) => check::run(args),
        Command::Stat(args) => stat::run(args),
        Command::Assemble(args) => assemble::run(args),
        #[cfg(unix)]
        Command::Record(args) => record::run(args),
        Command::Recover(args) => recover::run(args),
        #[cfg(unix)]
        Command::Tee(args) => tee::run(args),
        Command::Completions(args) => docs::completions(args),
        Command::Man(args) => docs::man(args),
    };
    output::exit_code(result)
}

/// Adds to an error of usage what the user may not know.
fn advise(mut error: clap::Error) -> clap::Error {
    let missing = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(names)) => names.iter().any(|name| name == "<INPUT>"),
        _ => false,
    };
    let mut args = std::env::args_os().skip(1);
    if missing && args.next().is_some_and(|arg| arg == "tee") && args.any(|arg| arg == "--out") {
        let tip = "--out takes all that follows it, also \"-\": name the INPUT before it, or behind \"--\"";
        let tips = vec![tip.to_owned().into()];
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error
}
