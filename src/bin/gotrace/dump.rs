//! `gotrace dump`: a trace as text.

use super::events::Source;
use super::filter;
use super::help;
use super::input::{Memory, Stream, Whole};
use super::lenient::{Findings, Items};
use super::output::{self, Failure, Result, Text};
use super::progress::Progress;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gotrace::export::json::{Lines, Stacks};
use gotrace::generation::Ends;
use gotrace::legacy::Records;
use gotrace::reader::StreamBatches;
use gotrace::select::{Filter, Moment, Selection, Verdict};
use gotrace::wire::Chunk;
use gotrace::wire::text::HeaderLine;
use gotrace::{Details, Event, EventKind, Stack, Time, event::StateTransition, ids::StackId};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  gotrace dump app.trace | less
  gotrace dump --goroutine 17 --from 1.2s --to 1.3s app.trace
  gotrace dump --where 'waiting(\"network\") > 10ms' app.trace
  gotrace dump --json --kind Log app.trace | jq -r .message
  gotrace dump --wire app.trace | grep -c GoBlock
  gotrace dump --wire --header app.trace > app.txt
  curl -s 'localhost:6060/debug/pprof/trace?seconds=5' | gotrace dump -";

/// The schema of JSON, for people: as `gotrace::export::json` documents it.
const SCHEMA: &str = "\
JSON schema:
  Each line is an object. An event has time (nanoseconds), kind,
  thread, proc, goroutine (numbers, or null for none), and stack
  if it has one. More members, by kind:

  Sync             n, experimental_batches (their number);
                   since Go 1.25 also trace, mono (nanoseconds)
                   and wall (RFC 3339)
  Metric           name, value
  Label            label, resource
  RangeBegin, RangeActive, RangeEnd
                   name, scope; at the end of a sweep also
                   bytes_swept, bytes_reclaimed
  TaskBegin, TaskEnd
                   task, parent (null for none), type
  RegionBegin, RegionEnd
                   task, type
  Log              task, category, message
  StateTransition  resource, from, to, reason, and
                   transition_stack if there is one
  Experimental     name, experiment, args (numbers by name)

  A stack is a number, which an object of kind Stack explains on a
  line before its first use, with id and frames. In each generation
  numbers mean other stacks: an object replaces an earlier one with
  the same id. With --stacks full, a stack is the frames.
  Frames have pc, func, file and line, the innermost is the first.

  A resource or scope is an object with one member, {\"goroutine\":5},
  or null for the whole program. Text that is not UTF-8 has U+FFFD
  where it is not. Members may be added.";

/// Print a trace as text, the events in order.
///
/// Prints the events in the order in which they happened, line for line as "go tool trace -d=parsed"
/// does, wall clocks in UTC; or as JSON.
///
/// With --wire, prints the records of the file in the file's order, line for line as "go tool trace
/// -d=wire" does; "gotrace assemble" makes a trace of it again. Go's tool stops at the first
/// experimental event; this goes on. Of traces of before Go 1.22, for which Go's tool has no such
/// text, it prints the records in a form of its own, with the names of Go's source: "GoStart dt=12 g=7
/// seq=3". No trace is made of that again.
///
/// If no event passes the filters, nothing is printed, the exit status is 0, and on a terminal a note
/// says so.
#[derive(clap::Args)]
#[command(after_help = help::page(&format!("{}\n\n{}\n\n{EXAMPLES}", filter::TIME, filter::EXPR)))]
#[command(after_long_help = help::page(&format!("{}\n\n{}\n\n{EXAMPLES}\n\n{SCHEMA}", filter::TIME, filter::EXPR)))]
pub struct Args {
    /// Print the events in order; this is the default
    #[arg(long, conflicts_with = "wire")]
    parsed: bool,

    /// Print the records of the file
    #[arg(long, conflicts_with = "kind", conflicts_with_all = filter::COMMON)]
    wire: bool,

    /// Print JSON, an object on each line; --help shows the schema
    #[arg(long, conflicts_with = "wire")]
    json: bool,

    /// How to print stacks: not at all; in JSON as numbers, each stack once; or in full. In JSON the
    /// default is id, in text full
    #[arg(long, value_name = "HOW", value_parser = stacks(), conflicts_with = "wire")]
    stacks: Option<Stacks>,

    /// Print at most N events
    #[arg(long, value_name = "N", conflicts_with = "wire")]
    limit: Option<u64>,

    /// Skip the generations before number N, as if the trace began there
    #[arg(long, value_name = "N", conflicts_with = "wire")]
    generation: Option<u64>,

    /// With --wire, begin with the line "Trace Go1.NN", from which "gotrace assemble" learns the
    /// version
    #[arg(long, conflicts_with = "parsed", requires = "wire")]
    header: bool,

    /// Read on behind damage, and print what is lost or made up to standard error: bytes that cannot be
    /// read, names that are missing, and events that the others need and the trace lacks, which are
    /// printed among the others
    #[arg(long, conflicts_with_all = ["wire", "generation"])]
    lenient: bool,

    #[command(flatten)]
    memory: Memory,

    /// The trace; "-" is the standard input
    file: PathBuf,

    // The last: its heading reaches to the end.
    #[command(flatten)]
    filter: filter::Options,
}

/// The forms of stacks by name.
fn stacks() -> impl TypedValueParser<Value = Stacks> {
    PossibleValuesParser::new(Stacks::ALL.iter().map(|s| s.name())).try_map(|name| {
        let found = Stacks::ALL.iter().find(|stacks| stacks.name() == name);
        found.copied().ok_or("there is no such form")
    })
}

pub fn run(args: Args) -> Result {
    let filter = match args.filter.filter() {
        Ok(filter) => filter,
        Err(why) => help::refuse("dump", &why),
    };
    if args.stacks == Some(Stacks::Id) && !args.json {
        help::refuse(
            "dump",
            "--stacks id needs --json: text has stacks in full, or none",
        );
    }
    let progress = Progress::new([&args.file], std::io::stdout().is_terminal());
    if args.wire {
        let input = args.memory.open(&args.file, &progress)?;
        let mut out = Text::stdout();
        let result = wire(&args, input, &mut out, &progress);
        drop(progress);
        out.flush()?;
        return result;
    }
    let mut source = Source::open(&args.file, &args.memory, &progress)?;
    let mut out = Text::stdout();
    let mut found = Found::default();
    let selection = filter::selection(&filter, &source, &args.file, &args.memory)?;
    let mut printer = Printer {
        args: &args,
        selection,
        lines: Lines::new(args.stacks.unwrap_or_default()),
        stacks: StackTexts::default(),
        out: &mut out,
        found: &mut found,
    };
    let result = match args.lenient {
        true => leniently(&mut printer, &mut Some(source), &progress),
        false => parsed(&mut printer, &mut source, &progress),
    };
    drop(progress);
    out.flush()?;
    if result.is_ok() && args.limit != Some(0) && std::io::stderr().is_terminal() {
        found.note(&filter);
    }
    result
}

/// What the filter left of the events read.
#[derive(Default)]
struct Found {
    read: u64,
    shown: u64,
    /// Of the first and the last event read.
    times: Option<(Time, Time)>,
}

impl Found {
    /// Says that nothing was shown, if so, and what there is instead.
    fn note(&self, filter: &Filter) {
        let Some((first, last)) = self.times.filter(|_| self.shown == 0) else {
            return;
        };
        let length = u64::try_from(last.since(first)).unwrap_or(0);
        let length = Moment::SinceStart(Duration::from_nanos(length));
        output::note(format_args!(
            "note: no event matches: {filter}; {} events were read, from @{first} to @{last}, {length}",
            self.read
        ));
    }
}

/// Prints all records up to the first error.
fn wire(args: &Args, mut input: Stream, out: &mut Text, progress: &Progress) -> Result {
    let damaged = |error| Failure::trace(&args.file, error);
    // What has no version is refused below.
    if let Ok(version) = input.version()
        && !version.has_generations()
    {
        if args.header {
            let _ = writeln!(out.buffer(), "{}", HeaderLine(version));
        }
        return old_wire(args, &args.memory.whole(&args.file, input)?, out, progress);
    }
    let mut batches = StreamBatches::new(input).map_err(damaged)?;
    if args.header {
        let _ = writeln!(out.buffer(), "{}", HeaderLine(batches.version()));
    }
    let mut ends = Ends::new(batches.version());
    loop {
        match batches.next() {
            Ok(Some(chunk)) => {
                ends.see(&chunk);
                wire_chunk(&chunk, out)?.map_err(|e| damaged(e.into()))?;
            }
            Ok(None) => return output::ends(&args.file, ends.ending(batches.offset())),
            Err(error) => {
                // What the cut left of a batch is whole records, and then nothing.
                if let Some(batch) = batches.cut().filter(|b| b.head.experiment.is_none()) {
                    let _ = wire_chunk(&Chunk::Batch(batch), out)?;
                }
                return Err(damaged(error));
            }
        }
    }
}

/// Prints a batch with its records, or a marker, up to the first error.
fn wire_chunk(
    chunk: &Chunk<'_>,
    out: &mut Text,
) -> Result<std::result::Result<(), gotrace::Error>> {
    let _ = writeln!(out.buffer(), "{chunk}");
    if let Chunk::Batch(batch) = chunk {
        let mut records = batch.records();
        loop {
            match records.next() {
                Ok(Some(record)) => {
                    let _ = record.write_to(out.buffer());
                    out.buffer().push('\n');
                    out.relax()?;
                }
                Ok(None) => break,
                Err(error) => return Ok(Err(error)),
            }
        }
    }
    Ok(Ok(()))
}

/// Prints all records of a trace of before Go 1.22 up to the first error.
fn old_wire(args: &Args, trace: &Whole, out: &mut Text, progress: &Progress) -> Result {
    let damaged = |error: gotrace::Error| Failure::trace(&args.file, error);
    let mut records = Records::new(trace.bytes()).map_err(damaged)?;
    let mut done = 0;
    while let Some(record) = records.next().map_err(damaged)? {
        let _ = writeln!(out.buffer(), "{record}");
        out.relax()?;
        let offset = records.offset().0;
        trace.count(offset - done, progress);
        done = offset;
    }
    Ok(())
}

/// Prints the events selected, up to the first error.
fn parsed(printer: &mut Printer<'_>, source: &mut Source, progress: &Progress) -> Result {
    let args = printer.args;
    let mut events = source.events(&args.file, args.generation)?;
    let mut done = events.uncounted();
    while printer.wants_more() {
        if events.will_wait() {
            // Somebody may be watching.
            printer.out.flush()?;
        }
        let event = match events.next() {
            Ok(Some(event)) => event,
            Ok(None) => return events.end(&args.file),
            Err(error) => return Err(events.failure(&args.file, error)),
        };
        if printer.print(&event)? {
            break;
        }
        let offset = events.uncounted();
        if offset > done {
            progress.add(usize::try_from(offset - done).unwrap_or(0));
            done = offset;
        }
    }
    Ok(())
}

/// Prints the events selected of a trace that may be damaged, and says what is missing.
fn leniently(
    printer: &mut Printer<'_>,
    source: &mut Option<Source>,
    progress: &Progress,
) -> Result {
    let file = &printer.args.file;
    let mut items = Items::new(file, source)?;
    let mut findings = Findings::default();
    let mut done = items.uncounted();
    while printer.wants_more() {
        let item = match items.next() {
            Ok(Some(item)) => item,
            Ok(None) => break,
            Err(error) => return Err(Failure::trace(file, error)),
        };
        findings.note(file, &item);
        if let Some(event) = item.event()
            && printer.print(&event)?
        {
            break;
        }
        let offset = items.uncounted();
        if offset > done {
            progress.add(usize::try_from(offset - done).unwrap_or(0));
            done = offset;
        }
    }
    printer.out.flush()?;
    findings.sum_up(file, &items.losses());
    Ok(())
}

/// Prints events that are selected.
struct Printer<'a> {
    args: &'a Args,
    selection: Selection<'a>,
    lines: Lines,
    stacks: StackTexts,
    out: &'a mut Text,
    found: &'a mut Found,
}

impl Printer<'_> {
    fn wants_more(&self) -> bool {
        self.found.shown < self.args.limit.unwrap_or(u64::MAX)
    }

    /// Prints an event if it is selected; says whether none that follows will be.
    #[inline]
    fn print(&mut self, event: &Event<'_, '_>) -> Result<bool> {
        let (args, out, found) = (self.args, &mut *self.out, &mut *self.found);
        found.read += 1;
        if event.kind() == EventKind::Sync {
            // Another generation gives its stacks other ids.
            self.stacks = StackTexts::default();
            self.lines.skip(event);
        }
        let verdict = self.selection.sees(event);
        found.times = self.selection.times();
        match verdict.map_err(|e| Failure::file(&args.file, e))? {
            Verdict::Selected => {}
            Verdict::Skipped => return Ok(false),
            Verdict::Over => return Ok(true),
        }
        if args.json {
            out.add(|bytes| self.lines.write(event, bytes))?;
        } else if args.stacks != Some(Stacks::None) {
            self.stacks.write(event, out.buffer());
        } else {
            let _ = writeln!(out.buffer(), "{}", event.line());
        }
        found.shown += 1;
        out.relax()?;
        Ok(false)
    }
}

/// The stacks of a generation as text: most are printed many times.
#[derive(Default)]
struct StackTexts {
    texts: HashMap<StackId, String>,
    bytes: usize,
}

impl StackTexts {
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
