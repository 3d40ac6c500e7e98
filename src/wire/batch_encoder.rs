//! Batches filled in place.

use super::batch::BatchHead;
use super::encoder::{Encoder, stage_event};
use super::event::TimedEvent;
use super::header::Version;
use super::record::Record;
use super::spec::MAX_BATCH_SIZE;
use crate::error::Error;
use crate::num;
use crate::time::Timestamp;
use crate::varint;

/// A payload's length takes three bytes, whatever it is, so that it can be filled in at the end.
const SIZE_LEN: usize = 3;

/// A batch that grows in a buffer: its header first, then records, one after the other.
///
/// A record that does not fit, in the buffer or in the 64 KiB that a batch may have, is refused and
/// leaves the batch as it was.
///
/// ```
/// use gotrace::ids::{GenerationId, ThreadId};
/// use gotrace::time::Timestamp;
/// use gotrace::wire::{BatchEncoder, BatchHead, Batches, Chunk, Version, timed};
/// use gotrace::{GoId, ProcId};
///
/// let head = BatchHead::new(GenerationId::new(1).unwrap(), ThreadId::new(7), Timestamp(1000));
/// let mut batch = BatchEncoder::new([0; 128], Version::CURRENT, &head)?;
/// let (p, g) = (ProcId::new(0).unwrap(), GoId::new(5).unwrap());
/// batch.event(&timed::ProcStart { p, p_seq: 1 }.after(20))?;
/// batch.event_at(Timestamp(1050), timed::GoStart { g, g_seq: 2 })?;
/// let Ok(Some(Chunk::Batch(read))) = Batches::new(batch.finish()).next() else { panic!() };
/// assert_eq!(read.data, [10, 20, 0, 1, 16, 30, 5, 2]);
/// # Ok::<(), gotrace::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchEncoder<B> {
    buffer: B,
    filling: Filling,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> BatchEncoder<B> {
    /// Begins a batch at the start of `buffer`, which is the caller's: an array, a slice, a vector
    /// of a fixed length. Of `head`, the lengths are not looked at.
    ///
    /// Errors: [`NoSpace`](crate::ErrorKind::NoSpace), if the header does not fit;
    /// [`NotInVersion`](crate::ErrorKind::NotInVersion) for an experimental batch before Go 1.23.
    pub fn new(mut buffer: B, version: Version, head: &BatchHead) -> Result<Self, Error> {
        let filling = Filling::begin(buffer.as_mut(), version, head)?;
        Ok(BatchEncoder { buffer, filling })
    }

    /// Begins another batch in the same buffer; what it held is gone.
    ///
    /// Errors: those of [`BatchEncoder::new`]; the batch before is then as it was, or gone.
    pub fn restart(&mut self, head: &BatchHead) -> Result<(), Error> {
        self.filling = Filling::begin(self.buffer.as_mut(), self.filling.version, head)?;
        Ok(())
    }

    /// Adds a timed event: at most [`TimedEvent::MAX_LEN`] bytes.
    ///
    /// Errors: those of [`Encoder::event`].
    #[inline]
    pub fn event(&mut self, event: &TimedEvent) -> Result<(), Error> {
        self.filling.event(self.buffer.as_mut(), event)
    }

    /// Adds an event that happens at `time`, or right after the one before it if that is later. At
    /// most [`TimedEvent::MAX_LEN`] bytes.
    ///
    /// Errors: those of [`Encoder::event`].
    #[inline]
    pub fn event_at(&mut self, time: Timestamp, event: impl Into<TimedEvent>) -> Result<(), Error> {
        self.filling
            .event_at(self.buffer.as_mut(), time, &event.into())
    }

    /// Adds a record of any kind: at most [`Record::encoded_len`] bytes.
    ///
    /// Errors: those of [`Encoder::record`].
    pub fn record(&mut self, record: &Record<'_>) -> Result<(), Error> {
        match record {
            Record::Event(event) => self.event(event),
            _ => self.write(|out| out.record(record)),
        }
    }

    /// Adds what `write` writes, all of it or nothing. Times of events in it are not looked at.
    ///
    /// Errors: those of `write`.
    pub fn write(
        &mut self,
        write: impl FnOnce(&mut Encoder<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut out = self.filling.encoder(self.buffer.as_mut());
        write(&mut out)?;
        self.filling.len = out.len();
        Ok(())
    }

    /// The time of the last event, or of the batch.
    pub const fn time(&self) -> Timestamp {
        Timestamp(self.filling.time)
    }

    /// How many bytes header and records take.
    pub const fn len(&self) -> usize {
        self.filling.len
    }

    /// Whether the batch has no record yet.
    pub const fn is_empty(&self) -> bool {
        self.filling.is_empty()
    }

    /// The batch, header and payload, as it stands in a trace. More can be added after this.
    pub fn finish(&mut self) -> &[u8] {
        self.filling.finish(self.buffer.as_mut())
    }

    /// Gives the buffer back, which holds the unfinished batch.
    pub fn into_buffer(self) -> B {
        self.buffer
    }
}

/// A [`BatchEncoder`] without its buffer, for who keeps several in one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filling {
    version: Version,
    /// Of header and records.
    len: usize,
    head_len: usize,
    /// Of header and records, with the longest payload.
    most: usize,
    time: u64,
}

impl Filling {
    /// No batch, and no room for one.
    pub(crate) const NONE: Filling = Filling {
        version: Version::CURRENT,
        len: 0,
        head_len: 0,
        most: 0,
        time: 0,
    };

    pub(crate) fn begin(
        buffer: &mut [u8],
        version: Version,
        head: &BatchHead,
    ) -> Result<Filling, Error> {
        let header_len = head.len_before_size().saturating_add(SIZE_LEN);
        let mut out = Encoder::for_version(buffer, version);
        out.head(
            &BatchHead {
                header_len,
                ..*head
            },
            0,
        )?;
        Ok(Filling {
            version,
            len: out.len(),
            head_len: out.len(),
            most: out.len().saturating_add(num::narrow(MAX_BATCH_SIZE)),
            time: head.time.0,
        })
    }

    #[inline(always)]
    fn encoder<'b>(&self, buffer: &'b mut [u8]) -> Encoder<'b> {
        let end = self.most.min(buffer.len());
        let room = buffer.get_mut(..end).unwrap_or(&mut []);
        Encoder::resume(room, self.len, self.version)
    }

    #[inline(always)]
    pub(crate) fn event(&mut self, buffer: &mut [u8], event: &TimedEvent) -> Result<(), Error> {
        self.event_after(buffer, event.dt, event)
    }

    #[inline(always)]
    fn event_after(&mut self, buffer: &mut [u8], dt: u64, event: &TimedEvent) -> Result<(), Error> {
        let mut out = self.encoder(buffer);
        out.event_after(dt, event)?;
        self.len = out.len();
        self.time = self.time.wrapping_add(dt);
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn event_at(
        &mut self,
        buffer: &mut [u8],
        time: Timestamp,
        event: &TimedEvent,
    ) -> Result<(), Error> {
        let dt = time.0.saturating_sub(self.time);
        self.event_after(buffer, dt, event)
    }

    /// Adds an event of the newest version to a batch that is small enough, if `buffer` has room for
    /// the longest; whether it has.
    #[inline(always)]
    pub(crate) fn numbers_at(
        &mut self,
        buffer: &mut [u8],
        time: Timestamp,
        ty: u8,
        numbers: &[u64],
    ) -> bool {
        let place = buffer.get_mut(self.len..);
        let Some(stage) = place.and_then(<[u8]>::first_chunk_mut) else {
            return false;
        };
        let dt = time.0.saturating_sub(self.time);
        self.len = self.len.wrapping_add(stage_event(stage, ty, dt, numbers));
        self.time = self.time.wrapping_add(dt);
        true
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == self.head_len
    }

    #[inline(always)]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Fills in the payload's length, and gives the batch.
    pub(crate) fn finish<'b>(&self, buffer: &'b mut [u8]) -> &'b [u8] {
        let size = num::wide(self.len.saturating_sub(self.head_len));
        let start = self.head_len.saturating_sub(SIZE_LEN);
        if let Some(place) = buffer.get_mut(start..self.head_len) {
            let mut out = Encoder::new(place);
            // Three bytes are enough for the longest payload.
            let filled = out.padded(size, SIZE_LEN);
            debug_assert!(filled.is_ok());
        }
        buffer.get(..self.len).unwrap_or(&[])
    }
}

const _: () = assert!(varint::len(MAX_BATCH_SIZE) == SIZE_LEN);
