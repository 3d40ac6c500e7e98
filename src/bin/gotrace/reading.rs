//! Reading a trace for an answer: the one loop of all commands that answer questions.

use super::events::{Events, Source};
use super::input::{Memory, Stream, Whole};
use super::lenient::{Findings, Items};
use super::output::{self, Failure, Result};
use super::progress::Progress;
use gotrace::reader::Item;
use gotrace::{Event, Trace};
use std::path::Path;

/// How a trace is read.
// No documentation of the struct itself: it would take the place of the command's.
#[derive(clap::Args)]
pub struct Reading {
    /// Read on behind damage: what is left of the trace counts, with what is made up because other
    /// events need it. Standard error says what is lost, and the exit status is 0
    #[arg(long)]
    pub lenient: bool,

    #[command(flatten)]
    pub memory: Memory,
}

/// What ended the reading too early, if anything did. What was read before counts all the same.
pub type Ended = Option<Failure>;

/// After so many events the progress is told of them.
const OFTEN: u32 = 1024;

impl Reading {
    /// Gives `each` every event of a trace, in order, until the trace ends or is damaged, or `each`
    /// wants no more. Errors: the trace cannot be opened, or `each` fails.
    pub fn events(
        &self,
        file: &Path,
        progress: &Progress,
        each: impl FnMut(&Event<'_, '_>) -> Result<bool>,
    ) -> Result<Ended> {
        let source = Source::open(file, &self.memory, progress)?;
        self.source(file, source, progress, each)
    }

    /// The same of a trace that is open, and of which nothing was read.
    pub fn source(
        &self,
        file: &Path,
        mut source: Source,
        progress: &Progress,
        each: impl FnMut(&Event<'_, '_>) -> Result<bool>,
    ) -> Result<Ended> {
        let count = |bytes| progress.add(usize::try_from(bytes).unwrap_or(0));
        if self.lenient {
            let mut source = Some(source);
            return leniently(file, Items::new(file, &mut source)?, true, count, each);
        }
        strictly(file, source.events(file, None)?, count, each)
    }

    /// Opens a trace that is to be read twice: what is no file is held in memory.
    pub fn whole(&self, file: &Path, progress: &Progress) -> Result<Whole> {
        let input: Stream = self.memory.open(file, progress)?;
        self.memory.whole(file, input)
    }

    /// As [`events`](Reading::events), of a trace that is at hand as a whole. What a lenient reader
    /// lost is said if it `is_new`.
    pub fn events_of(
        &self,
        file: &Path,
        whole: &Whole,
        is_new: bool,
        progress: &Progress,
        each: impl FnMut(&Event<'_, '_>) -> Result<bool>,
    ) -> Result<Ended> {
        let trace = Trace::new(whole.bytes()).map_err(|error| Failure::trace(file, error))?;
        let count = |bytes| whole.count(bytes, progress);
        if self.lenient {
            return leniently(file, Items::of(&trace), is_new, count, each);
        }
        strictly(file, Events::of(&trace), count, each)
    }
}

fn strictly(
    file: &Path,
    mut events: Events<'_>,
    count: impl Fn(u64),
    mut each: impl FnMut(&Event<'_, '_>) -> Result<bool>,
) -> Result<Ended> {
    let (mut done, mut since) = (events.uncounted(), 0u32);
    loop {
        match events.next() {
            Ok(Some(event)) => {
                if !each(&event)? {
                    return Ok(None);
                }
            }
            Ok(None) => return Ok(events.end(file).err()),
            Err(error) => return Ok(Some(events.failure(file, error))),
        }
        since = since.wrapping_add(1);
        if since.is_multiple_of(OFTEN) {
            let offset = events.uncounted();
            count(offset.saturating_sub(done));
            done = done.max(offset);
        }
    }
}

fn leniently(
    file: &Path,
    mut items: Items<'_>,
    is_new: bool,
    count: impl Fn(u64),
    mut each: impl FnMut(&Event<'_, '_>) -> Result<bool>,
) -> Result<Ended> {
    let (mut done, mut since) = (items.uncounted(), 0u32);
    loop {
        match items.next() {
            Ok(Some(Item::NewTrace(new))) => {
                if !is_new {
                    break;
                }
                // Its times have nothing to do with those before it.
                let (name, at) = (output::name(file), new.offset);
                output::note(format_args!(
                    "{name}: another trace begins at byte {at}, which is left out: --at {at} reads it"
                ));
                break;
            }
            Ok(Some(item)) => {
                if let Some(event) = item.event()
                    && !each(&event)?
                {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => return Ok(Some(Failure::trace(file, error))),
        }
        since = since.wrapping_add(1);
        if since.is_multiple_of(OFTEN) {
            let offset = items.uncounted();
            count(offset.saturating_sub(done));
            done = done.max(offset);
        }
    }
    if is_new {
        Findings::default().sum_up(file, &items.losses());
    }
    Ok(None)
}
