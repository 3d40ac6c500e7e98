//! `gotrace export`: traces in other formats, for other programs.

use super::answers;
use super::filter;
use super::help;
use super::output::{self, Failure, Result};
use super::progress::Progress;
use super::reading::{Ended, Reading};
use flate2::Compression;
use flate2::write::GzEncoder;
use gotrace::analysis::states::States;
use gotrace::export::perfetto::{Done, Exporter, Options};
use gotrace::select::Filter;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Convert a trace for another program.
#[derive(clap::Args)]
#[command(subcommand_required = true)]
pub struct Args {
    #[command(subcommand)]
    format: Format,
}

#[derive(clap::Subcommand)]
enum Format {
    Perfetto(Perfetto),
}

/// Convert a trace for Perfetto's interface, ui.perfetto.dev, and for its trace processor.
///
/// There is a track for each proc, with what ran on it; for each goroutine, with its states and regions;
/// for tasks, garbage collection and stop-the-world; counters; and CPU samples. Arrows lead from what made
/// a goroutine ready to where it ran then. Of a trace that is damaged, all before the damage is written,
/// and the exit status says so.
#[derive(clap::Args)]
#[command(after_help = help::page("\
Examples:
  gotrace export perfetto app.trace app.pftrace
  gotrace export perfetto app.trace app.pftrace.gz
  gotrace export perfetto --goroutines 0 large.trace large.pftrace.gz
  gotrace export perfetto --from 2s --to 2.5s app.trace slow.pftrace"))]
struct Perfetto {
    /// Tracks for so many goroutines, the first of the trace. With very many, the interface becomes slow
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    goroutines: u64,

    /// Leave out the arrows, which are a quarter of the file without tracks for goroutines
    #[arg(long)]
    no_flows: bool,

    /// Leave out call stacks and CPU samples
    #[arg(long)]
    no_stacks: bool,

    #[command(flatten)]
    reading: Reading,

    /// The trace; "-" is the standard input
    file: PathBuf,

    /// Where to write; "-" is the standard output. A name that ends with .gz: compressed with gzip
    output: PathBuf,

    // The last: its heading reaches to the end.
    #[command(flatten)]
    filter: filter::Times,
}

pub fn run(args: Args) -> Result {
    let Format::Perfetto(args) = args.format;
    if output::is_same(&args.file, &args.output) {
        let name = output::name(&args.file);
        help::refuse(
            "export",
            &format!("{name} would be overwritten with what is read from it"),
        );
    }
    let filter = args.filter.of("export");
    let progress = Progress::new([&args.file], false);
    let (packets, left_out, ended) = write(&args, &filter, &progress)?;
    drop(progress);
    if packets > MANY {
        output::note(format_args!(
            "{packets} packets: Perfetto's interface may run out of memory; --goroutines 0 makes it less, \
             and so do --from and --to"
        ));
    }
    if left_out > 0 && args.goroutines > 0 {
        output::note(format_args!(
            "{left_out} goroutines have no track of their own: --goroutines N allows for more"
        ));
    }
    ended.map_or(Ok(()), Err)
}

/// From so many packets on the interface may run out of memory, which is 4 GB there.
const MANY: u64 = 10_000_000;

/// How many packets were written, how many goroutines have no track, and what ended the reading.
type Written = (u64, u64, Ended);

fn write(args: &Perfetto, filter: &Filter, progress: &Progress) -> Result<Written> {
    if args.output == Path::new("-") {
        return export(args, filter, progress, io::stdout().lock());
    }
    // What fails as it is read is told as that, not as a failure of the output.
    let mut failure = None;
    let written = output::write_file(&args.output, |file| {
        export(args, filter, progress, file).map_err(|error| {
            failure = Some(error);
            io::Error::other("not written")
        })
    });
    match failure {
        Some(failure) => Err(failure),
        None => written,
    }
}

fn export(
    args: &Perfetto,
    filter: &Filter,
    progress: &Progress,
    to: impl Write,
) -> Result<Written> {
    let to = BufWriter::with_capacity(1 << 16, to);
    if args.output.extension().is_some_and(|e| e == "gz") {
        let to = GzEncoder::new(to, Compression::fast());
        let (done, ended) = convert(args, filter, progress, to)?;
        let (packets, left_out) = (done.packets, done.goroutines_left_out);
        let finished = done.to.finish().and_then(|mut to| to.flush());
        finished.map_err(|error| Failure::file(&args.output, error))?;
        return Ok((packets, left_out, ended));
    }
    let (done, ended) = convert(args, filter, progress, to)?;
    Ok((done.packets, done.goroutines_left_out, ended))
}

fn convert<W: Write>(
    args: &Perfetto,
    filter: &Filter,
    progress: &Progress,
    to: W,
) -> Result<(Done<W>, Ended)> {
    let process = args.file.file_name().unwrap_or(args.file.as_os_str());
    let options = Options::new(&process.to_string_lossy())
        .with_goroutines(args.goroutines)
        .with_flows(!args.no_flows)
        .with_stacks(!args.no_stacks);
    let mut exporter = Exporter::new(to, options);
    let mut states = States::new();
    let (mut scope, ended) = answers::scoped(
        &args.file,
        &args.reading,
        filter,
        progress,
        |event, scope| {
            let wants_more = scope.add(event, &mut states, &mut exporter)?;
            if wants_more {
                exporter.event(event, &mut states);
            }
            Ok(wants_more && !exporter.has_failed())
        },
    )?;
    scope.finish(&mut states, &mut exporter);
    answers::note_empty(&args.file, &states, &scope);
    let done = exporter.finish(&states);
    let done = done.map_err(|error| Failure::file(&args.output, error))?;
    Ok((done, ended))
}
