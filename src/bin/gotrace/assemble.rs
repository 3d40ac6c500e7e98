//! `gotrace assemble`: text to a trace.

use crate::input::{Memory, Stream};
use crate::output::{Failure, Result, is_stdin, write_file};
use crate::progress::Progress;
use gotrace::wire::Version;
use gotrace::wire::text::{DEFAULT_BATCH_LIMIT, ReadTextError, StreamAssembler};
use std::io::{self, BufWriter, Seek as _, Write};
use std::path::{Path, PathBuf};

/// Make a trace of its text form, as "gotrace dump --wire" prints it.
///
/// The trace is the same as the one dumped but for padding of numbers. The text may be written by
/// hand: white space is free, # opens a comment, and the arguments "size" of EventBatch and
/// "nframes" of Stack may be left out. Nothing is checked but the form of the text. If that is wrong,
/// no file is written; the standard output has what came before.
#[derive(clap::Args)]
#[command(after_help = crate::help::page("\
Examples:
  gotrace assemble --go-version 1.22 test.txt test.trace
  gotrace dump --wire --header app.trace | sed 's/secret/xxxxxx/' | gotrace assemble - new.trace"))]
pub struct Args {
    /// The version of a text that does not begin with the line "Trace Go1.NN"
    #[arg(long, value_name = "1.NN", value_parser = version)]
    go_version: Option<Version>,

    #[command(flatten)]
    memory: Memory,

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
    let text = args.memory.open(&args.text, &progress)?;
    let limit = args.memory.limit(DEFAULT_BATCH_LIMIT);
    let assembler = StreamAssembler::new(text, args.go_version).with_batch_limit(limit);
    let assemble = |out: &mut dyn Write| assemble(&args.text, assembler, out);
    if is_stdin(&args.out) {
        let mut out = std::io::stdout().lock();
        return Ok(assemble(&mut out)??);
    }
    // A text with an error leaves nothing behind, and what is there as it is.
    if args.out.symlink_metadata().is_ok_and(|out| !out.is_file()) {
        let written = tempfile::tempfile().and_then(|mut aside| {
            let result = assemble(&mut aside);
            aside.rewind()?;
            Ok((aside, result))
        });
        let (mut aside, result) = written.map_err(|e| Failure::file(&args.out, e))?;
        result?.map_err(|e| Failure::file(&args.out, e))?;
        return write_file(&args.out, |mut file| io::copy(&mut aside, &mut file)).map(drop);
    }
    let mut wrong = None;
    let written = write_file(&args.out, |mut file| {
        assemble(&mut file).unwrap_or_else(|failure| {
            wrong = Some(failure);
            Err(io::ErrorKind::InvalidData.into())
        })
    });
    wrong.map_or(written, Err)
}

/// Writes the trace. What is wrong with the text is a failure; inside is what is wrong with `out`.
fn assemble(
    path: &Path,
    mut text: StreamAssembler<Stream>,
    out: &mut dyn Write,
) -> Result<io::Result<()>> {
    let mut out = BufWriter::new(out);
    let wrong = |error| match error {
        ReadTextError::Io(error) => Failure::trace(path, error),
        error => Failure::file(path, error),
    };
    while let Some(piece) = text.next().map_err(wrong)? {
        if let Err(error) = out.write_all(piece) {
            return Ok(Err(error));
        }
    }
    Ok(out.flush())
}
