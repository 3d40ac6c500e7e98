//! `gotrace assemble`: text to a trace.

use crate::input::Input;
use crate::output::{Failure, Result, is_stdin, write_file};
use crate::progress::Progress;
use gotrace::wire::Version;
use gotrace::wire::text::{Assembler, TextError};
use std::io::Write as _;
use std::path::PathBuf;

/// Make a trace of its text form, as "gotrace dump --wire" prints it.
///
/// The trace is the same as the one dumped but for padding of numbers. The text may be written by
/// hand: white space is free, # opens a comment, and the arguments "size" of EventBatch and
/// "nframes" of Stack may be left out. Nothing is checked but the form of the text.
#[derive(clap::Args)]
#[command(after_help = crate::help::page("\
Examples:
  gotrace assemble --go-version 1.22 test.txt test.trace
  gotrace dump --wire --header app.trace | sed 's/secret/xxxxxx/' | gotrace assemble - new.trace"))]
pub struct Args {
    /// The version of a text that does not begin with the line "Trace Go1.NN"
    #[arg(long, value_name = "1.NN", value_parser = version)]
    go_version: Option<Version>,

    /// The text; "-" is the standard input
    text: PathBuf,

    /// The trace to write; "-" is the standard output
    out: PathBuf,
}

fn version(text: &str) -> std::result::Result<Version, String> {
    let known = Version::ALL.into_iter().filter(|v| v.has_generations());
    let name = |v: &Version| format!("1.{}", v.minor());
    known.clone().find(|v| name(v) == text).ok_or_else(|| {
        let names: Vec<String> = known.map(|v| name(&v)).collect();
        format!("the versions of the format are {}", names.join(", "))
    })
}

pub fn run(args: Args) -> Result {
    let progress = Progress::new([&args.text], false);
    let input = Input::open(&args.text, &progress)?;
    let text = std::str::from_utf8(input.bytes()).map_err(|e| {
        let before = input.bytes().get(..e.valid_up_to()).unwrap_or(&[]);
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        Failure::file(
            &args.text,
            format_args!("line {line}: the text is not UTF-8"),
        )
    })?;
    let trace =
        assemble(text, args.go_version, &progress).map_err(|e| Failure::file(&args.text, e))?;
    input.finish(Ok(()))?;
    drop(progress);
    if is_stdin(&args.out) {
        let mut out = std::io::stdout().lock();
        out.write_all(&trace)?;
        return Ok(out.flush()?);
    }
    write_file(&args.out, |mut file| file.write_all(&trace))
}

/// The whole trace, so that a text with an error leaves nothing behind.
fn assemble(
    text: &str,
    version: Option<Version>,
    progress: &Progress,
) -> std::result::Result<Vec<u8>, TextError> {
    let mut assembler = Assembler::new(text, version)?;
    let mut trace = Vec::new();
    let mut before = text.len();
    while let Some(piece) = assembler.next()? {
        trace.extend_from_slice(piece);
        let after = assembler.remaining();
        progress.add(before.saturating_sub(after));
        before = after;
    }
    Ok(trace)
}
