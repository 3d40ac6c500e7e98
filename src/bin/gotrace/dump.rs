//! `gotrace dump`: a trace as text.

use crate::input::Input;
use crate::output::{Failure, Result, Text};
use crate::progress::Progress;
use gotrace::Trace;
use gotrace::wire::Chunk;
use gotrace::wire::text::HeaderLine;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::PathBuf;

/// Print a trace as text, one line a record.
///
/// --wire prints what stands in the file, in the file's order, line for line as
/// "go tool trace -d=wire" does; "gotrace assemble" makes a trace of it again. Where Go's tool
/// stops at the first experimental event, this goes on.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("form").required(true)))]
#[command(after_help = "\
Examples:
  gotrace dump --wire app.trace | grep -c GoBlock
  gotrace dump --wire --header app.trace > app.txt
  curl -s localhost:6060/debug/pprof/trace?seconds=5 | gotrace dump --wire -")]
pub struct Args {
    /// Print the records of the file
    #[arg(long, group = "form")]
    wire: bool,

    /// Begin with the line "Trace Go1.NN", which "gotrace assemble" reads the version from
    #[arg(long, requires = "wire")]
    header: bool,

    /// The trace; "-" is the standard input
    file: PathBuf,
}

pub fn run(args: Args) -> Result {
    let progress = Progress::new([&args.file], std::io::stdout().is_terminal());
    let input = Input::open(&args.file, &progress)?;
    let mut out = Text::stdout();
    let result = wire(&args, input.bytes(), &mut out, &progress);
    drop(progress);
    out.flush()?;
    input.finish(result)
}

/// Prints all records up to the first error.
fn wire(args: &Args, bytes: &[u8], out: &mut Text, progress: &Progress) -> Result {
    let damaged = |error| Failure::file(&args.file, error);
    let trace = Trace::new(bytes).map_err(damaged)?;
    if args.header {
        let _ = writeln!(out.buffer(), "{}", HeaderLine(trace.version()));
    }
    for chunk in trace.batches() {
        let chunk = chunk.map_err(damaged)?;
        let _ = writeln!(out.buffer(), "{chunk}");
        if let Chunk::Batch(batch) = chunk {
            let mut records = batch.records();
            while let Some(record) = records.next().map_err(damaged)? {
                let _ = record.write_to(out.buffer());
                out.buffer().push('\n');
                out.relax()?;
            }
            progress.add(batch.head.total_len());
        }
    }
    Ok(())
}
