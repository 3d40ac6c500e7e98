//! Batches: runs of bytes that one thread wrote in one generation, found by hopping from header to
//! header.

use super::encoder::Encoder;
use super::header::{HEADER_LEN, Version};
use super::record::Records;
use super::spec::{EventType, MAX_BATCH_SIZE};
use crate::error::{Error, ErrorKind};
use crate::ids::{Experiment, GenerationId, Offset, ThreadId};
use crate::num;
use crate::time::Timestamp;
use crate::varint::{self, Fault};
use crate::wire::{Pieces, Place};
use core::iter::FusedIterator;

/// The header of a batch, or the marker that ends a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Head {
    /// A batch's header.
    Batch(BatchHead),
    /// The marker that ends a generation since Go 1.26: one byte.
    EndOfGeneration,
}

/// The header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BatchHead {
    /// The generation that the batch is part of.
    pub generation: GenerationId,
    /// The thread that wrote it; none for the tables of a generation.
    pub thread: Option<ThreadId>,
    /// The time that the first event counts from.
    pub time: Timestamp,
    /// The experiment whose data it holds, for an experimental batch.
    pub experiment: Option<Experiment>,
    /// The length of the header in bytes, 5 to [`BatchHead::MAX_LEN`].
    pub header_len: usize,
    /// The length of the payload that follows in bytes, 0 to [`MAX_BATCH_SIZE`].
    pub data_len: usize,
}

impl BatchHead {
    /// The longest header: type, experiment, and four numbers.
    pub const MAX_LEN: usize = 42;

    /// The head of a batch to be written, with the shortest header.
    pub const fn new(
        generation: GenerationId,
        thread: Option<ThreadId>,
        time: Timestamp,
    ) -> BatchHead {
        BatchHead {
            generation,
            thread,
            time,
            experiment: None,
            header_len: 0,
            data_len: 0,
        }
    }

    /// The length of the shortest header, with a payload of `data_len` bytes.
    pub const fn shortest_len(&self) -> usize {
        self.len_before_size()
            .saturating_add(varint::len(num::wide(self.data_len)))
    }

    /// The length of the header up to the payload's length.
    pub(super) const fn len_before_size(&self) -> usize {
        let first: usize = if self.experiment.is_some() { 2 } else { 1 };
        first
            .saturating_add(varint::len(self.generation.get()))
            .saturating_add(varint::len(ThreadId::raw(self.thread)))
            .saturating_add(varint::len(self.time.0))
    }

    /// The length of header and payload together, in bytes.
    #[inline]
    pub const fn total_len(&self) -> usize {
        self.header_len.saturating_add(self.data_len)
    }
}

impl Head {
    /// The length of the header in bytes; of the marker, which has no payload, 1.
    #[inline]
    pub const fn header_len(&self) -> usize {
        match self {
            Head::Batch(head) => head.header_len,
            Head::EndOfGeneration => 1,
        }
    }

    /// The length of header and payload together, in bytes; of the marker, 1.
    #[inline]
    pub const fn total_len(&self) -> usize {
        match self {
            Head::Batch(head) => head.total_len(),
            Head::EndOfGeneration => 1,
        }
    }

    /// What there is of the payload in `bytes`, which begin with this header.
    #[inline]
    pub(crate) fn payload<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let end = self.total_len().min(bytes.len());
        bytes.get(self.header_len()..end).unwrap_or(&[])
    }

    /// Reads the header at the start of `bytes`; `None` if they end inside it. Nothing of the
    /// payload need be there.
    ///
    /// Errors, with offsets from the start of `bytes`: [`NotABatch`](ErrorKind::NotABatch),
    /// [`AnotherTrace`](ErrorKind::AnotherTrace), [`VarintOverflow`](ErrorKind::VarintOverflow), [`BatchTooLarge`](ErrorKind::BatchTooLarge),
    /// [`InvalidGeneration`](ErrorKind::InvalidGeneration).
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<Head>, Error> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let mut at = 1usize;
        let mut experiment = None;
        match EventType(first) {
            EventType::EVENT_BATCH => {}
            EventType::EXPERIMENTAL_BATCH => {
                let Some(&number) = bytes.get(1) else {
                    return Ok(None);
                };
                // Experiment 0 is none: such a batch is an ordinary one.
                experiment = (number != 0).then_some(Experiment(number));
                at = 2;
            }
            EventType::END_OF_GENERATION => return Ok(Some(Head::EndOfGeneration)),
            _ => return not_a_batch(bytes),
        }
        let mut numbers = [0u64; 4];
        for number in &mut numbers {
            match varint::read_at(bytes, at) {
                Ok((value, end)) => {
                    *number = value;
                    at = end;
                }
                Err(Fault::Short) => return Ok(None),
                Err(Fault::Overflow) => {
                    return Err(Error::at(ErrorKind::VarintOverflow, 0, num::wide(at)));
                }
            }
        }
        let [generation, thread, time, size] = numbers;
        if size > MAX_BATCH_SIZE {
            return Err(Error::at(ErrorKind::BatchTooLarge, size, 0));
        }
        let Some(generation) = GenerationId::new(generation) else {
            return Err(Error::at(ErrorKind::InvalidGeneration, 0, 0));
        };
        Ok(Some(Head::Batch(BatchHead {
            generation,
            thread: ThreadId::new(thread),
            time: Timestamp(time),
            experiment,
            header_len: at,
            data_len: num::narrow(size),
        })))
    }
}

/// What it means that there is neither a batch nor a marker at the start of `bytes`.
#[cold]
fn not_a_batch(bytes: &[u8]) -> Result<Option<Head>, Error> {
    const TRACE: &[u8] = b"go 1.";
    let len = bytes.len().min(TRACE.len());
    if bytes.get(..len) != TRACE.get(..len) {
        let first = bytes.first().copied().unwrap_or(0);
        return Err(Error::at(ErrorKind::NotABatch, u64::from(first), 0));
    }
    if len < TRACE.len() {
        return Ok(None);
    }
    Err(Error::at(ErrorKind::AnotherTrace, 0, 0))
}

/// A batch of a trace: a header and a payload that borrows from the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'t> {
    /// The header.
    pub head: BatchHead,
    /// The payload, untouched.
    pub data: &'t [u8],
    /// Where the header is in the trace.
    pub offset: Offset,
}

impl<'t> Batch<'t> {
    /// What there is of a batch that the end of its trace cuts off: its header, and as much of the
    /// payload as `rest` has, which is `offset` bytes into the trace. `None` if its header is not all
    /// there, or is no batch's.
    ///
    /// ```
    /// use gotrace::ids::Offset;
    /// use gotrace::wire::{Batch, Batches, Record};
    ///
    /// let bytes = [1, 1, 7, 10, 5, 11, 3, 11, 4];
    /// let mut batches = Batches::new(&bytes);
    /// assert!(batches.next().is_err());
    /// let batch = Batch::cut(&bytes, Offset(0)).unwrap();
    /// assert_eq!(batch.records().filter(Result::is_ok).count(), 2);
    /// ```
    pub fn cut(rest: &'t [u8], offset: Offset) -> Option<Batch<'t>> {
        let head = Head::parse(rest).ok()??;
        let data = head.payload(rest);
        match head {
            Head::Batch(head) => Some(Batch { head, data, offset }),
            Head::EndOfGeneration => None,
        }
    }

    /// Where the payload is in the trace.
    pub const fn data_offset(&self) -> Offset {
        Offset(self.offset.0.wrapping_add(num::wide(self.head.header_len)))
    }

    /// Where the batch ends in the trace.
    pub const fn end(&self) -> Offset {
        Offset(self.offset.0.wrapping_add(num::wide(self.head.total_len())))
    }

    /// What the payload holds.
    pub fn contents(&self) -> Contents {
        Contents::of(self.head.experiment, self.data)
    }

    /// The records of the payload, one by one. An experimental batch has none: its payload is
    /// opaque.
    pub fn records(&self) -> Records<'t> {
        let data = if self.head.experiment.is_some() {
            &[]
        } else {
            self.data
        };
        Records::new(data, self.data_offset())
    }
}

/// What a batch holds, as the first byte of its payload says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Contents {
    /// Timed events; or nothing at all.
    Events,
    /// A section of the string table.
    Strings,
    /// A section of the stack table.
    Stacks,
    /// A section of CPU samples.
    Samples,
    /// The clock frequency, and since Go 1.25 a clock snapshot.
    Sync,
    /// Data of an experiment.
    Experiment(Experiment),
    /// An end-of-generation marker in a batch, which no Go release writes.
    EndOfGeneration,
}

impl Contents {
    #[inline]
    pub(crate) fn of(experiment: Option<Experiment>, data: &[u8]) -> Contents {
        if let Some(experiment) = experiment {
            return Contents::Experiment(experiment);
        }
        match data.first().copied().map(EventType) {
            Some(EventType::STRINGS) => Contents::Strings,
            Some(EventType::STACKS) => Contents::Stacks,
            Some(EventType::CPU_SAMPLES) => Contents::Samples,
            Some(EventType::FREQUENCY | EventType::SYNC) => Contents::Sync,
            Some(EventType::END_OF_GENERATION) => Contents::EndOfGeneration,
            _ => Contents::Events,
        }
    }
}

/// A part of a trace's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Chunk<'t> {
    /// A batch.
    Batch(Batch<'t>),
    /// The marker that ends a generation since Go 1.26, and where it is.
    EndOfGeneration(Offset),
}

impl<'t> Chunk<'t> {
    /// The header, and the payload that follows it.
    #[inline]
    pub(crate) fn parts(&self) -> (Head, &'t [u8]) {
        match self {
            Chunk::Batch(batch) => (Head::Batch(batch.head), batch.data),
            Chunk::EndOfGeneration(_) => (Head::EndOfGeneration, &[]),
        }
    }

    /// Where it begins in the trace.
    #[inline]
    pub(crate) const fn offset(&self) -> Offset {
        match self {
            Chunk::Batch(batch) => batch.offset,
            Chunk::EndOfGeneration(offset) => *offset,
        }
    }
}

/// The batches of a trace, in the order in which they are in it.
///
/// Only headers are read: a 64 KiB payload costs no more than an empty one. After an error there
/// is nothing more.
#[derive(Clone, Debug)]
pub struct Batches<'t> {
    input: Pieces<'t>,
    place: Place,
    offset: u64,
    done: bool,
    /// The version of a trace of before Go 1.22, whose batches are others.
    old: Option<Version>,
}

impl<'t> Batches<'t> {
    /// The batches of a trace without its file header; offsets count from the first byte given.
    pub const fn new(bytes: &'t [u8]) -> Self {
        Batches {
            input: Pieces::new(bytes),
            place: Place { piece: 0, at: 0 },
            offset: 0,
            done: false,
            old: None,
        }
    }

    /// The batches from an offset on, which must be where one begins.
    pub(crate) fn from_offset(input: Pieces<'t>, offset: u64) -> Self {
        Batches {
            input,
            place: input.place(offset),
            offset,
            done: false,
            old: None,
        }
    }

    /// The batches from a place on, which is at an offset, where one must begin.
    pub(crate) const fn resume(input: Pieces<'t>, place: Place, offset: u64) -> Self {
        Batches {
            input,
            place,
            offset,
            done: false,
            old: None,
        }
    }

    /// The batches after the file header.
    pub(crate) fn of_trace(input: Pieces<'t>) -> Self {
        Self::from_offset(input, num::wide(HEADER_LEN))
    }

    /// The same batches of a trace of this version: an error if it is of before Go 1.22.
    pub(crate) const fn of_version(self, version: Version) -> Self {
        let old = match version.has_generations() {
            true => None,
            false => Some(version),
        };
        Batches { old, ..self }
    }

    /// Where the next batch begins, and every one before it ends.
    #[inline]
    pub const fn offset(&self) -> Offset {
        Offset(self.offset)
    }

    /// The place of the next batch.
    #[inline]
    pub(crate) const fn place(&self) -> Place {
        self.place
    }

    /// The next batch or marker; `None` at the end of the trace.
    ///
    /// Errors: those of [`Head::parse`], [`UnexpectedEnd`](ErrorKind::UnexpectedEnd) if the trace
    /// ends inside a batch, [`SplitBatch`](ErrorKind::SplitBatch) if a piece of it does.
    #[expect(
        clippy::should_implement_trait,
        reason = "fallible: see `Iterator` below"
    )]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Chunk<'t>>, Error> {
        if self.done {
            return Ok(None);
        }
        let result = match self.old {
            None => self.step(),
            Some(old) => old.needing_generations().map(|_| None),
        };
        if !matches!(result, Ok(Some(_))) {
            self.done = true;
        }
        result
    }

    #[inline]
    fn step(&mut self) -> Result<Option<Chunk<'t>>, Error> {
        let rest = loop {
            let Some(piece) = self.input.piece(self.place.piece) else {
                return Ok(None);
            };
            match piece.get(self.place.at..) {
                Some(rest) if !rest.is_empty() => break rest,
                _ => {
                    self.place = Place {
                        piece: self.place.piece.saturating_add(1),
                        at: 0,
                    }
                }
            }
        };
        let offset = Offset(self.offset);
        let head = Head::parse(rest).map_err(|error| error.after(self.offset))?;
        let (chunk, len) = match head {
            Some(Head::EndOfGeneration) => (Chunk::EndOfGeneration(offset), 1),
            Some(Head::Batch(head)) => {
                let len = head.total_len();
                let Some(data) = rest.get(head.header_len..len) else {
                    return Err(self.cut(len.saturating_sub(rest.len()), rest.len()));
                };
                (Chunk::Batch(Batch { head, data, offset }), len)
            }
            None => return Err(self.cut(1, rest.len())),
        };
        self.place = self.place.plus(len);
        self.offset = self.offset.wrapping_add(num::wide(len));
        Ok(Some(chunk))
    }

    /// The error of a batch that lacks `missing` bytes, of which there are `present`.
    #[cold]
    fn cut(&self, missing: usize, present: usize) -> Error {
        let last = self
            .input
            .piece(self.place.piece.saturating_add(1))
            .is_none();
        let kind = if last {
            ErrorKind::UnexpectedEnd
        } else {
            ErrorKind::SplitBatch
        };
        Error::at(
            kind,
            num::wide(missing),
            self.offset.saturating_add(num::wide(present)),
        )
    }
}

impl<'t> Iterator for Batches<'t> {
    type Item = Result<Chunk<'t>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Batches::next(self).transpose()
    }
}

impl FusedIterator for Batches<'_> {}

impl Encoder<'_> {
    /// Writes a trace's header: 16 bytes.
    ///
    /// Errors: [`NoSpace`](ErrorKind::NoSpace).
    pub fn header(&mut self, version: Version) -> Result<(), Error> {
        self.put(version.header())
    }

    /// Writes a batch: its header, of at most [`BatchHead::MAX_LEN`] bytes, and its payload.
    ///
    /// The header is as long as `head` says, if the payload's length can be padded to make it so:
    /// Go's runtime pads it to ten bytes. 0 gives the shortest. The length of the payload is that of
    /// `data`, whatever `head` says.
    ///
    /// Errors: [`NoSpace`](ErrorKind::NoSpace), [`BatchTooLarge`](ErrorKind::BatchTooLarge)
    /// for a payload beyond [`MAX_BATCH_SIZE`], [`NotInVersion`](ErrorKind::NotInVersion) for an
    /// experimental batch before Go 1.23.
    pub fn batch(&mut self, head: &BatchHead, data: &[u8]) -> Result<(), Error> {
        let size = num::wide(data.len());
        if size > MAX_BATCH_SIZE {
            return Err(self.error(ErrorKind::BatchTooLarge, size));
        }
        self.whole(|out| {
            out.head(head, size)?;
            out.put(data)
        })
    }

    /// Writes a batch's header for a payload of `size` bytes.
    pub(crate) fn head(&mut self, head: &BatchHead, size: u64) -> Result<(), Error> {
        match head.experiment {
            None => self.byte(EventType::EVENT_BATCH.0)?,
            Some(experiment) => {
                self.since(EventType::EXPERIMENTAL_BATCH)?;
                self.put(&[EventType::EXPERIMENTAL_BATCH.0, experiment.0])?;
            }
        }
        self.varint(head.generation.get())?;
        self.varint(ThreadId::raw(head.thread))?;
        self.varint(head.time.0)?;
        self.padded(size, head.header_len.saturating_sub(head.len_before_size()))
    }

    /// Writes the marker that ends a generation since Go 1.26: one byte.
    ///
    /// Errors: [`NoSpace`](ErrorKind::NoSpace), [`NotInVersion`](ErrorKind::NotInVersion).
    pub fn end_of_generation(&mut self) -> Result<(), Error> {
        self.since(EventType::END_OF_GENERATION)?;
        self.byte(EventType::END_OF_GENERATION.0)
    }

    /// An error if the encoder's version does not have this type, which is not a timed one.
    pub(super) fn since(&self, ty: EventType) -> Result<(), Error> {
        let since = match ty {
            EventType::EXPERIMENTAL_BATCH => Version::Go123,
            EventType::SYNC => Version::Go125,
            EventType::END_OF_GENERATION => Version::Go126,
            _ => return Ok(()),
        };
        match self.has(since.minor()) {
            true => Ok(()),
            false => Err(self.error(ErrorKind::NotInVersion, u64::from(ty.0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(
        generation: u64,
        thread: u64,
        experiment: Option<u8>,
        data: &[u8],
    ) -> std::vec::Vec<u8> {
        let mut buffer = [0; 256];
        let mut out = Encoder::new(&mut buffer);
        let head = BatchHead {
            generation: GenerationId::new(generation).unwrap(),
            thread: ThreadId::new(thread),
            time: Timestamp(7),
            experiment: experiment.map(Experiment),
            header_len: 0,
            data_len: 0,
        };
        out.batch(&head, data).unwrap();
        out.into_bytes().to_vec()
    }

    #[test]
    fn batches_round_trip() {
        let mut bytes = batch(1, u64::MAX, None, b"abc");
        bytes.extend(batch(300, 5, Some(1), b""));
        bytes.push(EventType::END_OF_GENERATION.0);
        let mut batches = Batches::new(&bytes);
        let Ok(Some(Chunk::Batch(first))) = batches.next() else {
            panic!()
        };
        assert_eq!(
            (first.head.thread, first.data, first.head.time),
            (None, &b"abc"[..], Timestamp(7))
        );
        let Ok(Some(Chunk::Batch(second))) = batches.next() else {
            panic!()
        };
        assert_eq!(
            (second.head.generation.get(), second.head.experiment),
            (300, Some(Experiment::ALLOC_FREE))
        );
        assert_eq!(second.offset, first.end());
        assert_eq!(
            batches.next(),
            Ok(Some(Chunk::EndOfGeneration(second.end())))
        );
        assert_eq!(batches.next(), Ok(None));
    }

    #[test]
    fn a_cut_batch_says_how_much_is_missing_and_where() {
        let bytes = batch(1, 2, None, b"abcdef");
        for cut in 1..bytes.len() {
            let error = Batches::new(&bytes[..cut]).next().unwrap_err();
            assert_eq!(
                (error.kind(), error.offset().0),
                (ErrorKind::UnexpectedEnd, cut as u64)
            );
            if cut >= 5 {
                assert_eq!(error.value(), (bytes.len() - cut) as u64);
            }
        }
        let pieces = [&bytes[..6], &bytes[6..]];
        let mut split = Batches::from_offset(Pieces::from_pieces(&pieces), 0);
        assert_eq!(split.next().unwrap_err().kind(), ErrorKind::SplitBatch);
        assert_eq!(split.next(), Ok(None));
    }
}
