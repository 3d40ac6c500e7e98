//! Reading damaged traces: `--lenient`.

use super::events::Source;
use super::input::{Memory, Stream};
use super::output::{self, Failure, Result, is_stdin};
use super::progress::Progress;
use gotrace::reader::{Item, Lenient, Losses};
use gotrace::{Growing, ReadError, Reader, StreamReader, Trace};
use std::path::{Path, PathBuf};

/// How many findings of a kind are printed of a trace; the others are counted.
pub const MOST: u64 = 100;

/// A lenient reader of a trace.
pub enum Items<'t> {
    Memory(Box<Reader<'t, Growing, Lenient>>),
    Stream(Box<StreamReader<Stream, Growing, Lenient>>),
}

impl<'t> Items<'t> {
    /// A reader of a source of which nothing was read.
    pub fn new(path: &Path, source: &'t mut Option<Source>) -> Result<Items<'t>> {
        if let Some(Source::Stream(_)) = source
            && let Some(Source::Stream(reader)) = source.take()
        {
            return Ok(Items::Stream(Box::new(reader.lenient())));
        }
        match source {
            Some(Source::Mapped(mapped)) => {
                let trace = Trace::new(mapped.bytes()).map_err(|e| Failure::trace(path, e))?;
                Ok(Items::of(&trace))
            }
            _ => Err(Failure::file(path, "it was read already")),
        }
    }

    /// A reader of a trace in memory.
    pub fn of(trace: &Trace<'t>) -> Items<'t> {
        Items::Memory(Box::new(trace.reader().lenient()))
    }

    #[inline]
    pub fn next(&mut self) -> std::result::Result<Option<Item<'_>>, ReadError> {
        match self {
            Items::Memory(reader) => Ok(reader.next()?),
            Items::Stream(reader) => reader.next(),
        }
    }

    pub fn losses(&self) -> Losses {
        match self {
            Items::Memory(reader) => reader.losses(),
            Items::Stream(reader) => reader.losses(),
        }
    }

    pub fn generations_read(&self) -> u64 {
        match self {
            Items::Memory(reader) => reader.generations_read(),
            Items::Stream(reader) => reader.generations_read(),
        }
    }

    /// As [`Events::uncounted`](super::events::Events::uncounted).
    pub fn uncounted(&self) -> u64 {
        match self {
            Items::Memory(reader) => reader.offset().0,
            Items::Stream(_) => 0,
        }
    }
}

/// What is found besides events, in words, up to a number of each kind.
#[derive(Default)]
pub struct Findings {
    counts: [u64; 4],
}

impl Findings {
    /// An item in words and where it is, if it is no event of the trace, and if not too many came before.
    pub fn describe(&mut self, item: &Item<'_>) -> Option<(String, u64)> {
        let kind = match item {
            Item::MadeUp(..) | Item::RegionClosed(..) => 0,
            Item::LeftOut(..) => 1,
            Item::Gap(_) => 2,
            Item::Incomplete(_) | Item::NewTrace(_) => 3,
            _ => return None,
        };
        let count = &mut self.counts[kind];
        *count += 1;
        if *count > MOST {
            return None;
        }
        Some(match item {
            Item::MadeUp(event, error) => {
                let text = format!("made up, because {error}: {}", event.line());
                (text, error.offset().0)
            }
            Item::RegionClosed(_, closing) => (format!("{closing:#}"), closing.error.offset().0),
            Item::LeftOut(event, error) => {
                let text = format!("left out, because {error}: {}", event.line());
                (text, error.offset().0)
            }
            Item::Gap(gap) => (gap.to_string(), gap.from.0),
            Item::Incomplete(lack) => (lack.to_string(), 0),
            Item::NewTrace(new) => (new.to_string(), new.offset.0),
            _ => return None,
        })
    }

    /// How many were not described.
    pub fn others(&self) -> u64 {
        self.counts.iter().map(|n| n.saturating_sub(MOST)).sum()
    }

    /// Says of an item what it is, to standard error.
    pub fn note(&mut self, path: &Path, item: &Item<'_>) {
        if let Some((text, _)) = self.describe(item) {
            output::note(format_args!("{}: {text}", output::name(path)));
        }
    }

    /// Says in the end what was given and lost, if anything was lost.
    pub fn sum_up(&self, path: &Path, losses: &Losses) {
        if losses.is_nothing() {
            return;
        }
        let name = output::name(path);
        match self.others() {
            0 => {}
            n => output::note(format_args!("{name}: {n} more of these are not listed")),
        }
        output::note(format_args!("{name}: read leniently: {losses}"));
    }
}

/// What a lenient reader gives and loses of a trace that can be read twice. Standard error says it, too.
pub fn losses(path: &Path, memory: &Memory) -> Result<Losses> {
    if is_stdin(path) {
        let error = "--lenient needs a trace that can be read twice: save it in a file first";
        return Err(Failure::file(path, error));
    }
    let none = Progress::new(&[] as &[PathBuf], false);
    let mut source = Some(Source::open(path, memory, &none)?);
    let mut items = Items::new(path, &mut source)?;
    while items
        .next()
        .map_err(|error| Failure::trace(path, error))?
        .is_some()
    {}
    let losses = items.losses();
    Findings::default().sum_up(path, &losses);
    Ok(losses)
}

/// What a lenient reader gives of a trace that is damaged, in a few words, if that is more than so many
/// events.
pub fn would_give(bytes: &[u8], events: u64) -> Option<String> {
    let mut reader = Trace::new(bytes).ok()?.reader().lenient();
    while let Ok(Some(_)) = reader.next() {}
    let (losses, generations) = (reader.losses(), reader.generations_read());
    if losses.events <= events {
        return None;
    }
    let s = |n: u64| if n == 1 { "" } else { "s" };
    Some(format!(
        "--lenient gives {} event{} of {generations} generation{}; {} byte{} {} lost",
        losses.events,
        s(losses.events),
        s(generations),
        losses.bytes_lost,
        s(losses.bytes_lost),
        if losses.bytes_lost == 1 { "is" } else { "are" },
    ))
}
