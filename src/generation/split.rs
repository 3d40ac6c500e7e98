//! Where a generation ends: the one place that knows.
//!
//! Everything that looks for generations asks a [`Splitter`], batch by batch. What it answers is what
//! Go's reader makes of the same bytes:
//!
//! | what comes | before Go 1.26 | since |
//! | --- | --- | --- |
//! | a batch of the same number | more of the generation | the same |
//! | a batch of the next number | ends the generation before it | an error |
//! | a batch of any other number | an error | an error |
//! | the marker, or a batch whose payload begins with it | an error | ends the generation after it |
//! | the marker where no generation has begun | an error | an error |
//! | the first batch of a later generation | has the next number | has any number |
//! | the end of the trace | ends the generation | must follow a marker |
//!
//! Go's reader is lenient about the end of a trace, in two cases that a trace which was cut short is
//! in: see [`Finish::Unended`].

use super::tables::sync_type;
use crate::error::{Error, ErrorKind};
use crate::ids::GenerationId;
use crate::num;
use crate::wire::{Chunk, EventType, Head, Version};

/// Follows a trace from batch to batch, and says which begin and end a generation. It keeps no bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Splitter {
    version: Version,
    open: Open,
    /// The generation has a batch of events.
    events: bool,
    /// Its latest batch holds strings, which Go writes last.
    strings: bool,
}

/// Where in a generation the trace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// In none; the next may have any number.
    Nothing,
    /// In none; before Go 1.26, the one after this must follow.
    After(GenerationId),
    /// Perhaps in one, whose number is not known.
    Unknown,
    /// In this one.
    Generation(GenerationId),
}

/// What a batch or a marker is in its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Split {
    /// A batch of the current generation, which it begins or not.
    Batch { first: bool },
    /// The current generation, if its number is known, ends behind this marker.
    Marker(Option<GenerationId>),
    /// The current generation ended before this batch, which is to be looked at again.
    Before(Option<GenerationId>),
}

/// What the end of a trace, after a whole batch or marker, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// No generation is open: none began, or the last has its marker.
    Closed,
    /// The end of the trace ends this generation; only before Go 1.26.
    Ends(GenerationId),
    /// This generation lacks its end: since Go 1.26 its marker, before that the strings that Go
    /// writes last. Where it is `forgiven`, Go's reader accepts the trace all the same: before Go 1.26
    /// always, since then if only tables of it are there, which it ignores.
    Unended {
        number: GenerationId,
        forgiven: bool,
    },
}

impl Splitter {
    /// For a trace from its first batch on, or from the first of a generation.
    pub(crate) const fn new(version: Version) -> Self {
        Splitter {
            version,
            open: Open::Nothing,
            events: false,
            strings: false,
        }
    }

    /// For a trace from any batch on, whose generation may have begun before.
    pub(crate) const fn amid(version: Version) -> Self {
        Splitter {
            open: Open::Unknown,
            ..Splitter::new(version)
        }
    }

    /// The generation that has begun and not ended, if its number is known.
    pub(crate) const fn current(&self) -> Option<GenerationId> {
        match self.open {
            Open::Generation(number) => Some(number),
            _ => None,
        }
    }

    /// Whether no generation has begun since the last ended.
    pub(crate) fn is_between(&self) -> bool {
        matches!(self.open, Open::Nothing | Open::After(_))
    }

    /// Whether a generation may have begun, but its number is not known.
    pub(crate) fn is_unknown(&self) -> bool {
        self.open == Open::Unknown
    }

    /// What comes next is part of this generation, wherever it began.
    pub(crate) const fn enter(&mut self, number: GenerationId) {
        self.open = Open::Generation(number);
    }

    /// What comes next may be part of a generation that has begun.
    pub(crate) const fn lose_track(&mut self) {
        self.open = Open::Unknown;
    }

    /// The current generation ends here, whether a marker says so or a source that is trusted. Gives
    /// its number, if it is known.
    pub(crate) fn end(&mut self) -> Option<GenerationId> {
        let ended = self.current();
        self.open = match self.open {
            Open::Generation(number) if !self.version.has_end_marker() => Open::After(number),
            Open::After(number) => Open::After(number),
            _ => Open::Nothing,
        };
        (self.events, self.strings) = (false, false);
        ended
    }

    /// What a batch or marker is. Of the payload, it takes the first byte, if there is any.
    ///
    /// Errors, with offsets from the start of the header: [`NotABatch`](ErrorKind::NotABatch) for a
    /// marker that the version does not have or that ends nothing,
    /// [`GenerationOrder`](ErrorKind::GenerationOrder). Nothing has changed then.
    #[inline]
    pub(crate) fn step(&mut self, head: &Head, payload: &[u8]) -> Result<Split, Error> {
        let Head::Batch(batch) = head else {
            return self.marker(0);
        };
        let ty = match (batch.experiment, payload.first()) {
            (None, Some(first)) => EventType(*first),
            // Where there is nothing, there are no events; but Go counts such a batch as some.
            (None, None) => EventType::EVENT_BATCH,
            (Some(_), _) => EventType::EXPERIMENTAL_BATCH,
        };
        let marked = self.version.has_end_marker();
        if ty == EventType::END_OF_GENERATION && marked {
            return self.marker(batch.header_len);
        }
        let number = batch.generation;
        let first = self.open != Open::Generation(number);
        match self.open {
            Open::Generation(open) if first => {
                if marked || open.next() != Some(number) {
                    return Err(Error::at(ErrorKind::GenerationOrder, number.get(), 0));
                }
                return Ok(Split::Before(self.end()));
            }
            Open::After(ended) if ended.next() != Some(number) => {
                return Err(Error::at(ErrorKind::GenerationOrder, number.get(), 0));
            }
            _ => {}
        }
        if ty == EventType::END_OF_GENERATION {
            return Err(stray_marker(batch.header_len));
        }
        self.open = Open::Generation(number);
        self.strings = ty == EventType::STRINGS;
        self.events |= !is_table(ty, self.version);
        Ok(Split::Batch { first })
    }

    /// As [`step`](Self::step), with offsets from the start of the trace.
    #[inline]
    pub(crate) fn chunk(&mut self, chunk: &Chunk<'_>) -> Result<Split, Error> {
        let (head, payload) = chunk.parts();
        let result = self.step(&head, payload);
        result.map_err(|error| error.after(chunk.offset().0))
    }

    /// What a batch or marker of a damaged generation, or after it, is. The splitter must have begun
    /// where that generation does.
    pub(crate) fn skip(&mut self, head: &Head, payload: &[u8]) -> Skip {
        match self.step(head, payload) {
            Ok(Split::Batch { .. }) => Skip::Over,
            Ok(Split::Marker(_)) => Skip::Behind,
            Ok(Split::Before(_)) => Skip::Here,
            // Another number: here its end is missing, and another begins.
            Err(error) if error.kind() == ErrorKind::GenerationOrder => Skip::Here,
            // A marker that has no place here: by itself it is all that is damaged.
            Err(_) if self.is_between() => Skip::Behind,
            Err(_) => Skip::Over,
        }
    }

    /// A marker whose type is at `at`.
    fn marker(&mut self, at: usize) -> Result<Split, Error> {
        if !self.version.has_end_marker() || self.is_between() {
            return Err(stray_marker(at));
        }
        Ok(Split::Marker(self.end()))
    }

    /// Whether a marker ends each generation.
    pub(crate) const fn has_end_marker(&self) -> bool {
        self.version.has_end_marker()
    }

    /// What it means that the trace ends here, at the end of a batch or marker.
    pub(crate) const fn finish(&self) -> Finish {
        let Some(number) = self.current() else {
            return Finish::Closed;
        };
        match (self.version.has_end_marker(), self.strings) {
            (false, true) => Finish::Ends(number),
            (marked, _) => Finish::Unended {
                number,
                forgiven: !marked || !self.events,
            },
        }
    }
}

/// The error of a marker that has no place where it is.
#[cold]
pub(crate) fn stray_marker(at: usize) -> Error {
    let marker = u64::from(EventType::END_OF_GENERATION.0);
    Error::at(ErrorKind::NotABatch, marker, num::wide(at))
}

/// Whether a batch that begins with this type holds no events, as Go sees it.
fn is_table(first: EventType, version: Version) -> bool {
    match first {
        EventType::STRINGS
        | EventType::STACKS
        | EventType::CPU_SAMPLES
        | EventType::EXPERIMENTAL_BATCH => true,
        other => other == sync_type(version),
    }
}

/// What a batch or a marker is to a reader that leaves out the rest of a damaged generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skip {
    /// A part of that generation.
    Over,
    /// The next generation begins with it.
    Here,
    /// The next generation begins behind it.
    Behind,
}

/// What comes next in a stream of bytes.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A batch of the current generation, all of it there, of so many bytes.
    Batch(usize),
    /// The current generation ended, and so many bytes more are part of it: its marker; none before
    /// Go 1.26, where the next batch ends it.
    End {
        number: Option<GenerationId>,
        marker_len: usize,
    },
    /// At least so many bytes more are needed to say.
    Need(usize),
}

#[cfg(feature = "std")]
impl Splitter {
    /// What is at the start of `bytes`, where the batch or marker before ended.
    ///
    /// Errors, with offsets from the start of `bytes`: those of [`Head::parse`] and of
    /// [`step`](Self::step).
    #[inline]
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<Piece, Error> {
        let Some(head) = Head::parse(bytes)? else {
            return Ok(Piece::Need(1));
        };
        let len = head.total_len();
        // Before 1.26 the next generation's header ends this one, but only a look at the whole batch
        // shows whether it is sound.
        let Some(whole) = bytes.get(..len) else {
            return Ok(Piece::Need(len.saturating_sub(bytes.len())));
        };
        Ok(match self.step(&head, head.payload(whole))? {
            Split::Batch { .. } => Piece::Batch(len),
            Split::Marker(number) => Piece::End {
                number,
                marker_len: len,
            },
            Split::Before(number) => Piece::End {
                number,
                marker_len: 0,
            },
        })
    }
}
