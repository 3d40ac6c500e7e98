//! `gotrace dump`: a trace as text.

use crate::events::Source;
use crate::filter::{Filter, Shown};
use crate::input::Input;
use crate::json::{Json, SCHEMA};
use crate::output::{Failure, Result, Text};
use crate::progress::Progress;
use gotrace::legacy::Records;
use gotrace::wire::Chunk;
use gotrace::wire::text::HeaderLine;
use gotrace::{Details, Event, EventKind, Stack, Trace, event::StateTransition, ids::StackId};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  gotrace dump --parsed app.trace | less
  gotrace dump --parsed --goroutine 17 --from 1.2s --to 1.3s app.trace
  gotrace dump --parsed --json --kind Log app.trace | jq -r .message
  gotrace dump --wire app.trace | grep -c GoBlock
  gotrace dump --wire --header app.trace > app.txt
  curl -s localhost:6060/debug/pprof/trace?seconds=5 | gotrace dump --parsed --kind Log -";

/// Print a trace as text, one line a record.
///
/// --wire prints what stands in the file, in the file's order, line for line as
/// "go tool trace -d=wire" does; "gotrace assemble" makes a trace of it again. Where Go's tool
/// stops at the first experimental event, this goes on. Of traces of before Go 1.22, for which Go's
/// tool has no such text, it prints the records in a form of its own, with the names of Go's source:
/// "GoStart dt=12 g=7 seq=3". No trace is made of that again.
///
/// --parsed prints the events in the order in which they happened, line for line as
/// "go tool trace -d=parsed" does, wall clocks in UTC; or as JSON.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("form").required(true)))]
#[command(after_long_help = format!("{EXAMPLES}\n\n{SCHEMA}"))]
pub struct Args {
    /// Print the records of the file
    #[arg(long, group = "form")]
    wire: bool,

    /// Print the events in order
    #[arg(long, group = "form")]
    parsed: bool,

    /// Print one JSON object an event, each on a line; --help tells the schema
    #[arg(long, conflicts_with = "wire")]
    json: bool,

    /// Print at most so many events
    #[arg(long, value_name = "N", conflicts_with = "wire")]
    limit: Option<u64>,

    /// Begin with the first generation of at least this number, as if the trace began there
    #[arg(long, value_name = "N", conflicts_with = "wire")]
    generation: Option<u64>,

    /// Begin with the line "Trace Go1.NN", which "gotrace assemble" reads the version from
    #[arg(long, conflicts_with = "parsed")]
    header: bool,

    /// The trace; "-" is the standard input
    file: PathBuf,

    // The last: its heading reaches to the end.
    #[command(flatten)]
    filter: Filter,
}

pub fn run(args: Args) -> Result {
    let progress = Progress::new([&args.file], std::io::stdout().is_terminal());
    if args.parsed {
        let mut source = Source::open(&args.file, args.generation.is_some(), &progress)?;
        let mut out = Text::stdout();
        let result = parsed(&args, &mut source, &mut out, &progress);
        drop(progress);
        out.flush()?;
        return source.finish(result);
    }
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
    if !trace.version().has_generations() {
        let mut records = Records::new(bytes).map_err(damaged)?;
        let mut done = 0;
        while let Some(record) = records.next().map_err(damaged)? {
            let _ = writeln!(out.buffer(), "{record}");
            out.relax()?;
            let offset = records.offset().0;
            progress.add(usize::try_from(offset - done).unwrap_or(0));
            done = offset;
        }
        return Ok(());
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

/// Prints the events selected, up to the first error.
fn parsed(args: &Args, source: &mut Source, out: &mut Text, progress: &Progress) -> Result {
    let mut events = source.events(&args.file, args.generation)?;
    let mut selection = args.filter.selection();
    let mut stacks = Stacks::default();
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut done = events.offset();
    while left > 0 {
        if events.will_wait() {
            // Somebody may be watching.
            out.flush()?;
        }
        let Some(event) = events.next().map_err(|e| Failure::trace(&args.file, e))? else {
            break;
        };
        if event.kind() == EventKind::Sync {
            // Another generation gives its stacks other ids.
            stacks = Stacks::default();
        }
        match selection.sees(&event) {
            Shown::Yes => {}
            Shown::No => continue,
            Shown::NoMore => break,
        }
        if args.json {
            out.json_line(&Json(&event))?;
        } else {
            stacks.write(&event, out.buffer());
        }
        left -= 1;
        out.relax()?;
        let offset = events.offset();
        if offset > done {
            progress.add(usize::try_from(offset - done).unwrap_or(0));
            done = offset;
        }
    }
    Ok(())
}

/// The stacks of a generation as text: most are printed many times.
#[derive(Default)]
struct Stacks {
    texts: HashMap<StackId, String>,
    bytes: usize,
}

impl Stacks {
    /// How much text is kept: a few thousand stacks.
    const LIMIT: usize = 8 << 20;

    /// Writes what displaying the event would, and a line's end.
    fn write(&mut self, event: &Event<'_, '_>, out: &mut String) {
        let _ = write!(out, "{}", event.line());
        if event.kind() == EventKind::StateTransition
            && let Details::StateTransition(StateTransition {
                stack: Some(stack), ..
            }) = event.details()
        {
            out.push_str("\nTransitionStack=\n");
            self.write_stack(&stack, out);
        }
        if let Some(stack) = event.stack() {
            out.push_str("\nStack=\n");
            self.write_stack(&stack, out);
        }
        out.push('\n');
    }

    fn write_stack(&mut self, stack: &Stack<'_, '_>, out: &mut String) {
        let Some(id) = stack.id() else { return };
        if let Some(text) = self.texts.get(&id) {
            out.push_str(text);
            return;
        }
        let mut text = String::new();
        let _ = write!(text, "{:#}", stack);
        out.push_str(&text);
        if self.bytes + text.len() > Self::LIMIT {
            self.texts.clear();
            self.bytes = 0;
        }
        self.bytes += text.len();
        self.texts.insert(id, text);
    }
}
