//! The events of a trace, from wherever it comes.

use crate::input::{Input, Opened};
use crate::output::{self, Failure, Result};
use crate::progress::Progress;
use gotrace::{Event, Growing, ReadError, Reader, StreamReader, Trace};
use std::io::Read;
use std::path::Path;

/// A trace that is open: in memory, or a stream of which one generation at a time is held.
pub enum Source {
    Memory(Input),
    Stream(Box<StreamReader<Box<dyn Read>>>),
}

impl Source {
    /// Opens a trace; as a stream, where it comes as one, unless it is to be `entered` later than at
    /// its beginning.
    pub fn open(path: &Path, entered: bool, progress: &Progress) -> Result<Source> {
        if entered {
            return Ok(Source::Memory(Input::open(path, progress)?));
        }
        Ok(match Input::open_stream(path, progress)? {
            Opened::Memory(input) => Source::Memory(input),
            Opened::Stream(reader) => {
                let reader = StreamReader::new(reader).map_err(|e| Failure::trace(path, e))?;
                Source::Stream(Box::new(reader))
            }
        })
    }

    /// A reader of the events, from a generation on.
    pub fn events(&mut self, path: &Path, from: Option<u64>) -> Result<Events<'_>> {
        let input = match self {
            Source::Stream(reader) => return Ok(Events::Stream(reader)),
            Source::Memory(input) => input,
        };
        let damaged = |error: gotrace::Error| Failure::trace(path, error);
        let trace = Trace::new(input.bytes()).map_err(damaged)?;
        let Some(from) = from else {
            return Ok(Events::Memory(Box::new(trace.reader())));
        };
        let mut generations = trace.generations();
        while let Some(generation) = generations.next().map_err(damaged)? {
            if generation.number.get() >= from {
                let reader = Reader::starting_at(&trace, &generation);
                return Ok(Events::Memory(Box::new(reader)));
            }
        }
        Err(Failure::file(
            path,
            format!("the trace has no generation {from} or later"),
        ))
    }

    /// The result of a command that read all events: see [`Input::finish`].
    pub fn finish(self, result: Result) -> Result {
        match self {
            Source::Memory(input) => input.finish(result),
            Source::Stream(_) => result,
        }
    }
}

/// Reads events from either.
pub enum Events<'t> {
    Memory(Box<Reader<'t, Growing>>),
    Stream(&'t mut StreamReader<Box<dyn Read>>),
}

impl Events<'_> {
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

    /// How many generations were read so far.
    pub fn generations_read(&self) -> u64 {
        match self {
            Events::Memory(reader) => reader.generations_read(),
            Events::Stream(reader) => reader.generations_read(),
        }
    }

    /// An error that ended the reading, with what it is about.
    pub fn message(&self, error: &gotrace::Error) -> String {
        let explanation = match self {
            Events::Memory(reader) => reader.explain(),
            Events::Stream(reader) => reader.explain(),
        };
        match explanation {
            Some(explanation) => format!("{error}: {explanation}"),
            None => error.to_string(),
        }
    }

    /// The failure that such an error is.
    pub fn failure(&self, path: &Path, error: ReadError) -> Failure {
        match error {
            ReadError::Trace(error) => Failure::File {
                name: output::name(path),
                offset: Some(error.offset().0),
                error: self.message(&error),
            },
            other => Failure::trace(path, other),
        }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        match self {
            Events::Memory(reader) => reader.offset().0,
            Events::Stream(reader) => reader.offset().0,
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
