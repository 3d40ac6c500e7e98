//! The command-line tool: argument parsing and printing around the library.
//!
//! One module a subcommand. What they share: [`input`] opens traces and [`events`] reads them,
//! [`filter`] has the options that select, [`help`] keeps examples whole, [`hints`] says what a strange
//! file is, [`output`] prints results and
//! errors, [`parallel`] works on several files at once, [`progress`] shows how far the work is,
//! [`live`] opens what a running program writes, [`pulse`] says how it is doing, [`signals`] and
//! [`snapshots`] are for those who keep the last of it, [`table`] prints rows as text, JSON and CSV,
//! [`guard`] turns a file that shrinks while mapped into an error message.
//! For those who record, [`arena`] keeps an eye on the arena's file, [`listen`] on who may listen at a
//! socket, [`trigger`] on the events, [`snapshotter`] takes the snapshots and [`control`] takes orders;
//! [`copy`] writes what `tee` copies.

mod answer;
mod answers;
#[cfg(unix)]
mod arena;
mod assemble;
mod assert;
mod at;
mod blocked;
mod cell;
mod check;
#[cfg(unix)]
mod control;
mod convert;
#[cfg(unix)]
mod copy;
mod diff;
mod docs;
mod doctor;
mod dump;
mod events;
mod explain;
mod explain_json;
mod export;
#[cfg(unix)]
mod feed;
mod figures;
mod filter;
mod first;
mod first_parts;
mod first_together;
#[cfg(unix)]
mod follow;
mod gc;
mod goroutines;
mod guard;
mod help;
mod hints;
mod input;
mod latency;
mod leaks;
mod lenient;
#[cfg(unix)]
mod listen;
#[cfg(unix)]
mod live;
mod needs;
mod output;
mod parallel;
mod pprof;
mod progress;
#[cfg(unix)]
mod pulse;
mod reading;
#[cfg(unix)]
mod record;
mod recover;
mod regions;
mod repair;
#[cfg(unix)]
mod signals;
#[cfg(unix)]
mod snapshots;
#[cfg(unix)]
mod snapshotter;
mod stat;
mod stat_old;
mod stat_scan;
#[cfg(unix)]
mod status_line;
mod table;
mod tasks;
#[cfg(unix)]
mod tee;
mod timeline;
#[cfg(unix)]
mod top;
#[cfg(unix)]
mod top_screen;
#[cfg(unix)]
mod trigger;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser, Subcommand};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// Reads, explains, records and assembles Go execution traces.
///
/// FILE is a trace as runtime/trace, net/http/pprof or a flight recorder writes it, or one
/// compressed with gzip or zstd. "-" is the standard input.
#[derive(Parser)]
#[command(
    name = "gotrace",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    override_usage = "gotrace <COMMAND>\n       gotrace <FILE>...    as \"gotrace summary <FILE>...\""
)]
#[command(after_help = help::page("\
Examples:
  gotrace app.trace
  gotrace dump app.trace | less
  gotrace check /var/traces/*.trace

Exit status:
  0  all went well; a filter may have matched nothing
  1  a trace is damaged or cannot be read
  2  bad usage
  3  an assertion does not hold (gotrace assert), or there is a finding
     (gotrace doctor --fail), or a change (gotrace diff --fail)
  4  a trace is sound, but ends before its last generation does

NO_COLOR=1 turns colours off; they are only used on a terminal."))]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Summary(first::Args),
    Dump(dump::Args),
    Check(check::Args),
    Stat(stat::Args),
    Doctor(doctor::Args),
    Diff(diff::Args),
    Assert(Box<assert::Args>),
    Explain(explain::Args),
    Blocked(blocked::Args),
    Latency(latency::Args),
    Leaks(leaks::Args),
    At(at::Args),
    Goroutines(goroutines::Args),
    Tasks(tasks::Args),
    Regions(regions::Args),
    Gc(gc::Args),
    Pprof(pprof::Args),
    Export(export::Args),
    #[cfg(unix)]
    Top(top::Args),
    Assemble(assemble::Args),
    #[cfg(unix)]
    Record(record::Args),
    Recover(recover::Args),
    Repair(repair::Args),
    #[cfg(unix)]
    Tee(tee::Args),
    Cut(convert::Cut),
    Convert(convert::Convert),
    Completions(docs::Completions),
    Man(docs::Man),
}

pub fn main() -> ExitCode {
    // A recorder is told what to do by signals, from the first moment on.
    #[cfg(unix)]
    if std::env::args_os()
        .nth(1)
        .is_some_and(|arg| arg == "record" || arg == "tee")
        && let Err(failure) = signals::install()
    {
        return output::exit_code(Err(failure));
    }
    let args = with_default(std::env::args_os().collect());
    let cli = Cli::try_parse_from(args).unwrap_or_else(|error| help::exit(&advise(error)));
    let result = match cli.command {
        Command::Summary(args) => first::run(args),
        Command::Dump(args) => dump::run(args),
        Command::Check(args) => check::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Stat(args) => stat::run(args),
        Command::Assert(args) => assert::run(*args),
        Command::Explain(args) => explain::run(args),
        Command::Blocked(args) => blocked::run(args),
        Command::Latency(args) => latency::run(args),
        Command::Leaks(args) => leaks::run(args),
        Command::At(args) => at::run(args),
        Command::Goroutines(args) => goroutines::run(args),
        Command::Tasks(args) => tasks::run(args),
        Command::Regions(args) => regions::run(args),
        Command::Gc(args) => gc::run(args),
        Command::Pprof(args) => pprof::run(args),
        Command::Export(args) => export::run(args),
        #[cfg(unix)]
        Command::Top(args) => top::run(args),
        Command::Assemble(args) => assemble::run(args),
        #[cfg(unix)]
        Command::Record(args) => record::run(args),
        Command::Recover(args) => recover::run(args),
        Command::Repair(args) => repair::run(args),
        #[cfg(unix)]
        Command::Tee(args) => tee::run(args),
        Command::Cut(args) => convert::cut(args),
        Command::Convert(args) => convert::convert(args),
        Command::Completions(args) => docs::completions(args),
        Command::Man(args) => docs::man(args),
    };
    output::exit_code(guard::verdict(result))
}

/// Puts in the command that is meant where a file is given instead of one: `summary`.
///
/// A command's name is always a command. What is not one is a file if there is one, or if it looks as
/// the name of one; a plain word that is neither is a command mistyped.
fn with_default(mut args: Vec<OsString>) -> Vec<OsString> {
    if args.get(1).is_some_and(|arg| is_file(arg)) {
        args.insert(1, "summary".into());
    }
    args
}

fn is_file(arg: &OsStr) -> bool {
    let text = arg.to_string_lossy();
    let is_command = text == "help" || Cli::command().find_subcommand(&*text).is_some();
    let is_option = text.starts_with('-') && text != "-";
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !is_command
        && !is_option
        && !text.is_empty()
        && (!text.chars().all(is_word) || text == "-" || Path::new(arg).exists())
}

/// Adds to an error of usage what the user may not know.
fn advise(mut error: clap::Error) -> clap::Error {
    let missing = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(names)) => names.iter().any(|name| name == "<INPUT>"),
        _ => false,
    };
    let mut args = std::env::args_os().skip(1);
    if missing && args.next().is_some_and(|arg| arg == "tee") && args.any(|arg| arg == "--out") {
        let tip = "--out takes all that follows it, also \"-\": name the INPUT before it, or after \"--\"";
        let tips = vec![tip.to_owned().into()];
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidArg)
        && let Some(tip) = filter::not_there(name, std::env::args().nth(1).as_deref())
    {
        let tips = vec![tip.into()];
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    if error.kind() == ErrorKind::InvalidSubcommand {
        let none = "there is no file of this name either: \"gotrace FILE\" summarizes one";
        let mut tips = match error.remove(ContextKind::Suggested) {
            Some(ContextValue::StyledStrs(tips)) => tips,
            _ => Vec::new(),
        };
        tips.push(none.to_owned().into());
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error
}
