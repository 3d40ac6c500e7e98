//! Where batches and generations end in a stream of bytes.

use crate::error::{Error, ErrorKind};
use crate::ids::GenerationId;
use crate::num;
use crate::wire::{BatchHead, Contents, EventType, Head, Version};

/// Follows a stream that begins where a batch does, and finds the end of each batch and of each
/// generation. It keeps no bytes: it is shown those that follow, as many as there are.
#[derive(Clone, Debug)]
pub(crate) struct Splitter {
    version: Version,
    /// The generation that has begun and not ended.
    current: Option<GenerationId>,
    /// What the latest batch of the current generation holds.
    latest: Contents,
}

/// What stands next in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Split {
    /// A batch of the current generation, all of it there.
    Batch(BatchHead),
    /// The current generation ended, and so many bytes more are part of it: its marker; none before
    /// Go 1.26, where the number of the next batch tells.
    End {
        number: GenerationId,
        marker_len: usize,
    },
    /// At least so many bytes more are needed to tell.
    Need(usize),
}

impl Splitter {
    pub(crate) const fn new(version: Version) -> Self {
        Splitter {
            version,
            current: None,
            latest: Contents::Events,
        }
    }

    /// What stands at the start of `bytes`, where the one before ended.
    ///
    /// Errors, with offsets from the start of `bytes`: those of [`Head::parse`],
    /// [`NotABatch`](ErrorKind::NotABatch) for a marker that the version does not have or that ends
    /// nothing, [`GenerationOrder`](ErrorKind::GenerationOrder).
    #[inline]
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<Split, Error> {
        let head = match Head::parse(bytes)? {
            None => return Ok(Split::Need(1)),
            Some(Head::EndOfGeneration) => return self.marker(1, 0),
            Some(Head::Batch(head)) => head,
        };
        let len = head.total_len();
        // Before 1.26 the next generation's header ends this one, but only a look at the whole
        // batch tells whether it is sound.
        let Some(data) = bytes.get(head.header_len..len) else {
            return Ok(Split::Need(len.saturating_sub(bytes.len())));
        };
        let contents = Contents::of(head.experiment, data);
        if contents == Contents::EndOfGeneration
            && self
                .current
                .is_none_or(|current| current == head.generation)
        {
            return self.marker(len, head.header_len);
        }
        let current = *self.current.get_or_insert(head.generation);
        if head.generation != current {
            if !self.version.has_end_marker() && Some(head.generation) == current.next() {
                self.current = None;
                return Ok(Split::End {
                    number: current,
                    marker_len: 0,
                });
            }
            let number = head.generation.get();
            return Err(Error::new(ErrorKind::GenerationOrder, number, 0));
        }
        self.latest = contents;
        Ok(Split::Batch(head))
    }

    /// A marker of `len` bytes whose type stands at `at`.
    #[cold]
    fn marker(&mut self, marker_len: usize, at: usize) -> Result<Split, Error> {
        match self.current.take() {
            Some(number) if self.version.has_end_marker() => Ok(Split::End { number, marker_len }),
            _ => {
                let marker = u64::from(EventType::END_OF_GENERATION.0);
                Err(Error::new(ErrorKind::NotABatch, marker, num::wide(at)))
            }
        }
    }

    /// The stream ends here, at the end of a batch: the generation that this completes, if there is
    /// one that has begun.
    ///
    /// Before Go 1.26 nothing says so; but Go writes the strings of a generation last, so that one
    /// that ends with anything else was cut short.
    ///
    /// Errors: [`IncompleteGeneration`](ErrorKind::IncompleteGeneration), with offset 0.
    pub(crate) fn finish(&mut self) -> Result<Option<GenerationId>, Error> {
        let Some(number) = self.current.take() else {
            return Ok(None);
        };
        if self.version.has_end_marker() || self.latest != Contents::Strings {
            return Err(Error::new(ErrorKind::IncompleteGeneration, number.get(), 0));
        }
        Ok(Some(number))
    }
}
