//! The events of a trace, from wherever it comes.

use super::hints;
use super::input::{Mapped, Memory, Stream};
use super::output::{self, Failure, Result};
use super::progress::Progress;
use gotrace::generation::Ending;
use gotrace::tables::Capacities;
use gotrace::wire::Version;
use gotrace::{Event, Growing, ReadError, Reader, StreamReader, Trace, ids::GenerationId};
use std::path::Path;

/// A trace that is open: in memory, or a stream of which one generation at a time is held.
pub enum Source {
    Mapped(Mapped),
    Stream(Box<StreamReader<Stream>>),
}

impl Source {
    /// Opens a trace: a file that is not compressed by mapping it, everything else as a stream.
    pub fn open(path: &Path, memory: &Memory, progress: &Progress) -> Result<Source> {
        Ok(match memory.map(path)? {
            Some(mapped) => Source::Mapped(mapped),
            None => Source::Stream(Box::new(memory.open_events(path, progress)?)),
        })
    }

    /// A reader of the events, from a generation on.
    pub fn events(&mut self, path: &Path, from: Option<u64>) -> Result<Events<'_>> {
        let absent = |from| {
            let error = format!("the trace has no generation {from} or later");
            Failure::file(path, error)
        };
        let mapped = match self {
            Source::Stream(reader) => {
                if let Some(from) = from
                    && let Some(number) = GenerationId::new(from)
                    && !reader
                        .skip_to(number)
                        .map_err(|e| Failure::trace(path, e))?
                {
                    return Err(absent(from));
                }
                return Ok(Events::Stream(reader));
            }
            Source::Mapped(mapped) => mapped,
        };
        let damaged = |error: gotrace::Error| Failure::trace(path, error);
        let trace = Trace::new(mapped.bytes()).map_err(damaged)?;
        let Some(from) = from else {
            return Ok(Events::of(&trace));
        };
        if !trace.version().has_generations() {
            // All of it is generation 1.
            return match from {
                ..=1 => Ok(Events::of(&trace)),
                _ => Err(absent(from)),
            };
        }
        let mut generations = trace.generations();
        while let Some(generation) = generations.next().map_err(damaged)? {
            if generation.number.get() >= from {
                let reader = Reader::starting_at(&trace, &generation);
                return Ok(Events::Memory(Box::new(reader)));
            }
        }
        Err(absent(from))
    }
}

/// Reads events from either.
pub enum Events<'t> {
    Memory(Box<Reader<'t, Growing>>),
    Stream(&'t mut StreamReader<Stream>),
}

impl<'t> Events<'t> {
    /// A reader of a trace in memory.
    pub fn of(trace: &Trace<'t>) -> Events<'t> {
        Events::Memory(Box::new(trace.reader()))
    }

    #[inline]
    pub fn next(&mut self) -> std::result::Result<Option<Event<'_, '_>>, ReadError> {
        match self {
            Events::Memory(reader) => Ok(reader.next()?),
            Events::Stream(reader) => reader.next(),
        }
    }

    /// Whether the next event may be long in coming.
    #[inline]
    pub fn will_wait(&self) -> bool {
        match self {
            Events::Memory(_) => false,
            Events::Stream(reader) => reader.will_read(),
        }
    }

    /// Reads on through the next sync event, and counts events; says whether there was one.
    pub fn skim(&mut self, count: &mut u64) -> std::result::Result<bool, ReadError> {
        /// One loop for each kind of reader, so that neither asks at every event which it is.
        macro_rules! skim {
            ($reader:expr) => {
                while let Some(event) = $reader.next()? {
                    *count += 1;
                    if event.wire_type().is_none() {
                        return Ok(true);
                    }
                }
            };
        }
        match self {
            Events::Memory(reader) => skim!(reader),
            Events::Stream(reader) => skim!(reader),
        }
        Ok(false)
    }

    /// The capacities that fixed tables need for what was read so far. No such tables can read a
    /// trace of before Go 1.22.
    pub fn needs(&self) -> Option<Capacities> {
        let (version, needs) = match self {
            Events::Memory(reader) => (reader.version(), reader.needs()),
            Events::Stream(reader) => (reader.version(), reader.needs()),
        };
        version.has_generations().then_some(needs)
    }

    /// The version of the format.
    pub fn version(&self) -> Version {
        match self {
            Events::Memory(reader) => reader.version(),
            Events::Stream(reader) => reader.version(),
        }
    }

    /// How many generations were read so far.
    pub fn generations_read(&self) -> u64 {
        match self {
            Events::Memory(reader) => reader.generations_read(),
            Events::Stream(reader) => reader.generations_read(),
        }
    }

    /// An error that ended the reading, with what it is about.
    pub fn message(&self, path: &Path, error: &ReadError) -> String {
        let explanation = match self {
            Events::Memory(reader) => reader.explain(),
            Events::Stream(reader) => reader.explain(),
        };
        match explanation {
            Some(explanation) => format!("{error}: {explanation}"),
            None => hints::explain(path, error),
        }
    }

    /// How the trace ends, when there are no more events or after this error.
    pub fn ending(&self, error: Option<&ReadError>) -> Option<Ending> {
        let error = match error {
            Some(ReadError::Trace(error)) => Some(*error),
            Some(_) => return None,
            None => None,
        };
        Some(match self {
            Events::Memory(reader) => reader.ending(error),
            Events::Stream(reader) => reader.ending(error),
        })
    }

    /// The failure that the way a trace ends is, when there are no more events.
    pub fn end(&self, path: &Path) -> Result {
        self.ending(None)
            .map_or(Ok(()), |ending| output::ends(path, ending))
    }

    /// The failure that such an error is.
    pub fn failure(&self, path: &Path, error: ReadError) -> Failure {
        match &error {
            ReadError::Trace(trace) if !Ending::of(Some(*trace)).is_early() => Failure::File {
                name: output::name(path),
                offset: Some(trace.offset().0),
                error: self.message(path, &error),
            },
            _ => Failure::trace(path, error),
        }
    }

    /// Bytes read so far that the [`Progress`] does not know of: those of a stream are counted where
    /// they are read.
    pub fn uncounted(&self) -> u64 {
        match self {
            Events::Memory(reader) => reader.offset().0,
            Events::Stream(_) => 0,
        }
    }

    /// After an error, goes on behind the damage if that is possible.
    pub fn skip_generation(&mut self) -> bool {
        match self {
            Events::Memory(reader) => reader.skip_generation(),
            Events::Stream(reader) => reader.skip_generation(),
        }
    }
}
