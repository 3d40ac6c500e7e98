//! From input to batches: splitting a stream, and refusing what cannot be recorded.

use super::layout::store;
use super::ring::{Core, Reserved};
use super::status::LossReason;
use crate::error::{Error, ErrorKind};
use crate::num;
use crate::wire::{BatchHead, EventType, HEADER_LEN, Head, Version};

/// Where in its input a recorder is.
pub(super) struct Intake {
    expect: Expect,
    /// Bytes of input since the trace's first one.
    offset: u64,
    /// The beginning of a header whose end has not come yet.
    held: [u8; BatchHead::MAX_LEN],
    held_len: usize,
    /// The batch whose payload is coming in.
    filling: Option<Filling>,
    /// The generation whose batches are not recorded.
    skip: Option<Skip>,
    /// The number of the generation that ended last, in this trace.
    last: Option<u64>,
}

/// What a stream's next byte belongs to.
#[derive(Clone, Copy)]
enum Expect {
    Header,
    Batch,
    /// Nobody knows, since this error.
    Nothing(Error),
}

#[derive(Clone, Copy)]
struct Filling {
    head: BatchHead,
    /// Where it goes; nowhere if its generation is skipped.
    place: Option<Reserved>,
    done: usize,
}

#[derive(Clone, Copy)]
struct Skip {
    /// `None` while no batch of it came.
    number: Option<u64>,
    reason: LossReason,
    /// Its bytes so far, those that were given up included.
    bytes: u64,
    /// Whether something unreadable may have been part of the next generation as well.
    and_next: bool,
}

impl Intake {
    /// Waits for a header.
    pub(super) const fn new() -> Self {
        Intake {
            expect: Expect::Header,
            offset: 0,
            held: [0; BatchHead::MAX_LEN],
            held_len: 0,
            filling: None,
            skip: None,
            last: None,
        }
    }

    /// Joins a trace at a place that nobody knows: records from the next generation on.
    pub(super) const fn amid() -> Self {
        let mut intake = Self::new();
        intake.skip = Some(Skip {
            number: None,
            reason: LossReason::Interrupted,
            bytes: 0,
            and_next: false,
        });
        intake
    }

    /// Waits for the header of another trace.
    pub(super) fn restart(&mut self, core: &mut Core, arena: &mut [u8]) {
        core.lose(arena, LossReason::Interrupted);
        core.fresh = true;
        *self = Self::new();
    }

    /// A trace's header, whole.
    pub(super) fn header(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
        bytes: &[u8],
    ) -> Result<(), Error> {
        let version = Version::from_header(bytes)?;
        if !version.has_generations() {
            let minor = u64::from(version.minor());
            return Err(Error::new(ErrorKind::OldVersion, minor, 0));
        }
        if let Some(more) = bytes.len().checked_sub(HEADER_LEN).filter(|n| *n > 0) {
            return Err(trailing(more, num::wide(HEADER_LEN)));
        }
        self.restart(core, arena);
        self.expect = Expect::Batch;
        self.offset = num::wide(HEADER_LEN);
        core.state.stream_version.set(u32::from(version.minor()));
        core.publish(arena);
        Ok(())
    }

    /// One batch or end marker, whole.
    pub(super) fn batch(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
        bytes: &[u8],
    ) -> Result<(), Error> {
        self.whole_so_far(core)?;
        let end = self.offset.saturating_add(num::wide(bytes.len()));
        let parsed = Head::parse(bytes).map_err(|e| self.located(e));
        let result = match parsed {
            Err(e) => Err(e),
            Ok(None) => Err(Error::new(ErrorKind::UnexpectedEnd, 1, end)),
            Ok(Some(head)) => {
                let len = total_len(&head);
                match (len.checked_sub(bytes.len()), bytes.len().checked_sub(len)) {
                    (Some(0), _) => return self.whole(core, arena, head, bytes),
                    (Some(missing), _) => {
                        let missing = num::wide(missing);
                        Err(Error::new(ErrorKind::UnexpectedEnd, missing, end))
                    }
                    (None, more) => {
                        let at = self.offset.saturating_add(num::wide(len));
                        Err(trailing(more.unwrap_or(0), at))
                    }
                }
            }
        };
        self.damaged(core, arena);
        self.offset = end;
        result
    }

    /// The end of a generation, told by the source.
    pub(super) fn end_generation(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
    ) -> Result<(), Error> {
        self.whole_so_far(core)?;
        let open = self.skip.is_some() || core.state.progress.number.get() != 0;
        if open && core.version().is_some_and(Version::has_end_marker) {
            // The marker that the source did not hand over is part of the trace.
            self.offset = self.offset.saturating_add(1);
        }
        self.end(core, arena);
        Ok(())
    }

    /// Any piece of a stream. All of it is taken, whatever the result; the error is the first.
    pub(super) fn write(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
        piece: &[u8],
    ) -> Result<(), Error> {
        let mut result = Ok(());
        let mut rest = piece;
        while !rest.is_empty() {
            let (taken, step) = match (self.expect, self.filling.take()) {
                (Expect::Nothing(error), _) => return result.and(Err(error)),
                (Expect::Header, _) => self.take_header(core, arena, rest),
                (Expect::Batch, Some(filling)) => (self.fill(core, arena, filling, rest), Ok(())),
                (Expect::Batch, None) if self.held_len > 0 => self.take_held(core, arena, rest),
                (Expect::Batch, None) => self.take_batch(core, arena, rest),
            };
            result = result.and(step);
            rest = rest.get(taken..).unwrap_or(&[]);
        }
        result
    }

    fn take_header(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
        bytes: &[u8],
    ) -> (usize, Result<(), Error>) {
        let taken = self.hold(bytes, HEADER_LEN);
        let held = self.held;
        let header = held.get(..self.held_len).unwrap_or(&[]);
        match self.header(core, arena, header) {
            Err(e) if e.kind() == ErrorKind::UnexpectedEnd => (taken, Ok(())),
            Err(e) => {
                self.expect = Expect::Nothing(e);
                (taken, Err(e))
            }
            Ok(()) => (taken, Ok(())),
        }
    }

    /// The next batch of a stream, none of which was taken yet.
    fn take_batch(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
        bytes: &[u8],
    ) -> (usize, Result<(), Error>) {
        match self.parse(core, bytes) {
            Err(e) => self.lost_track(core, arena, e),
            Ok(None) => (self.hold(bytes, BatchHead::MAX_LEN), Ok(())),
            Ok(Some(head)) => match (bytes.get(..total_len(&head)), head) {
                (Some(whole), _) => (whole.len(), self.whole(core, arena, head, whole)),
                (None, Head::Batch(head)) => {
                    let header = bytes.get(..head.header_len).unwrap_or(&[]);
                    (header.len(), self.begin(core, arena, head, header))
                }
                // It is one byte, which is there.
                (None, Head::EndOfGeneration) => (bytes.len(), Ok(())),
            },
        }
    }

    /// As `take_batch` with the beginning of its header held.
    fn take_held(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
        bytes: &[u8],
    ) -> (usize, Result<(), Error>) {
        let before = self.held_len;
        let taken = self.hold(bytes, BatchHead::MAX_LEN);
        let held = self.held;
        let held = held.get(..self.held_len).unwrap_or(&[]);
        match self.parse(core, held) {
            Err(e) => self.lost_track(core, arena, e),
            Ok(None) => (taken, Ok(())),
            Ok(Some(Head::Batch(head))) => {
                self.held_len = 0;
                let header = held.get(..head.header_len).unwrap_or(&[]);
                let taken = head.header_len.saturating_sub(before);
                (taken, self.begin(core, arena, head, header))
            }
            // Its one byte would not have been held.
            Ok(Some(Head::EndOfGeneration)) => (taken, Ok(())),
        }
    }

    /// Begins a batch with its header; the payload is to come.
    fn begin(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
        head: BatchHead,
        header: &[u8],
    ) -> Result<(), Error> {
        let result = self.admit(core, arena, head.generation.get());
        let place = self.place(core, arena, &head);
        let done = 0;
        self.fill(core, arena, Filling { head, place, done }, header);
        result
    }

    /// More bytes of a batch: as many as it lacks. Says how many those were.
    fn fill(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
        mut filling: Filling,
        bytes: &[u8],
    ) -> usize {
        let total = filling.head.total_len();
        let taken = bytes.len().min(total.saturating_sub(filling.done));
        let bytes = bytes.get(..taken).unwrap_or(&[]);
        if let Some(place) = filling.place {
            let at = num::narrow(place.at).saturating_add(filling.done);
            store(arena, core.geometry.ring.saturating_add(at), bytes);
        }
        filling.done = filling.done.saturating_add(taken);
        if filling.done < total {
            self.filling = Some(filling);
        } else {
            self.finish(core, arena, &filling.head, filling.place);
        }
        taken
    }

    /// A batch or marker that is there as a whole.
    fn whole(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
        head: Head,
        bytes: &[u8],
    ) -> Result<(), Error> {
        match head {
            Head::Batch(head) => {
                let result = self.admit(core, arena, head.generation.get());
                let place = self.place(core, arena, &head);
                if let Some(place) = place {
                    let at = core.geometry.ring.saturating_add(num::narrow(place.at));
                    store(arena, at, bytes);
                }
                self.finish(core, arena, &head, place);
                result
            }
            Head::EndOfGeneration => {
                let marker = u64::from(EventType::END_OF_GENERATION.0);
                let error = Error::new(ErrorKind::NotABatch, marker, self.offset);
                self.offset = self.offset.saturating_add(1);
                if !core.version().is_some_and(Version::has_end_marker) {
                    self.damaged(core, arena);
                    return Err(error);
                }
                self.end(core, arena);
                Ok(())
            }
        }
    }

    /// Where an admitted batch goes; nowhere if its generation is skipped, or is now because there
    /// is no room.
    fn place(&mut self, core: &mut Core, arena: &mut [u8], head: &BatchHead) -> Option<Reserved> {
        if self.skip.is_some() {
            return None;
        }
        let place = core.reserve(arena, head.total_len());
        if place.is_none() {
            self.give_up(core, arena, head.generation.get(), LossReason::TooLarge);
        }
        place
    }

    /// A batch has come whole.
    fn finish(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
        head: &BatchHead,
        place: Option<Reserved>,
    ) {
        let len = head.total_len();
        self.offset = self.offset.saturating_add(num::wide(len));
        match (place, &mut self.skip) {
            (Some(place), _) => core.commit(arena, place, head, len),
            (None, Some(skip)) => {
                let len = num::wide(len);
                skip.bytes = skip.bytes.saturating_add(len);
                let largest = core.state.largest.get().max(skip.bytes);
                core.state.largest.set(largest);
                core.lost(skip.reason).add(0, len);
            }
            (None, None) => {}
        }
    }

    /// Decides what a batch of this generation means: more of the one in progress, or skipped; or
    /// the first of the next.
    fn admit(&mut self, core: &mut Core, arena: &mut [u8], number: u64) -> Result<(), Error> {
        let marked = core.version().is_some_and(Version::has_end_marker);
        let follows = |n: u64| n.checked_add(1) == Some(number);
        let progress = core.state.progress.number.get();
        let jumped = match (&self.skip, progress) {
            (Some(skip), _) => match skip.number {
                Some(n) if n == number => false,
                Some(n) if !marked && follows(n) => {
                    if skip.and_next {
                        self.skip_on(core, number, LossReason::Damaged);
                    } else {
                        self.skip = None;
                        self.last = Some(n);
                    }
                    false
                }
                Some(_) => true,
                None => {
                    self.skip_on(core, number, skip.reason);
                    false
                }
            },
            (None, 0) => self.last.is_some_and(|n| !follows(n)),
            (None, n) if n == number => false,
            (None, n) if !marked && follows(n) => {
                self.end(core, arena);
                false
            }
            (None, _) => true,
        };
        if jumped {
            core.lose(arena, LossReason::Damaged);
            // Whether this is its first batch, nobody knows.
            self.skip_on(core, number, LossReason::Damaged);
            return Err(Error::new(ErrorKind::GenerationOrder, number, self.offset));
        }
        Ok(())
    }

    /// Skips from now on the generation of this number, which counts as lost.
    fn skip_on(&mut self, core: &mut Core, number: u64, reason: LossReason) {
        core.lost(reason).add(1, 0);
        self.skip = Some(Skip {
            number: Some(number),
            reason,
            bytes: 0,
            and_next: false,
        });
    }

    /// Loses the generation of this number, whether it is in progress already or about to begin,
    /// and skips what is to come of it.
    fn give_up(&mut self, core: &mut Core, arena: &mut [u8], number: u64, reason: LossReason) {
        let run = core.state.progress;
        if run.number.get() == 0 {
            core.lost(reason).add(1, 0);
        }
        core.lose(arena, reason);
        self.skip = Some(Skip {
            number: Some(number),
            reason,
            bytes: run.len.get(),
            and_next: false,
        });
    }

    /// Something came that is no batch: the generation it may belong to is not whole.
    fn damaged(&mut self, core: &mut Core, arena: &mut [u8]) {
        let marked = core.version().is_some_and(Version::has_end_marker);
        let progress = core.state.progress.number.get();
        match &mut self.skip {
            Some(skip) => skip.and_next |= !marked,
            None if progress != 0 => {
                self.give_up(core, arena, progress, LossReason::Damaged);
                if let Some(skip) = &mut self.skip {
                    skip.and_next = !marked;
                }
            }
            None => {
                self.skip = Some(Skip {
                    number: None,
                    reason: LossReason::Damaged,
                    bytes: 0,
                    and_next: false,
                });
            }
        }
    }

    /// The current generation ends.
    fn end(&mut self, core: &mut Core, arena: &mut [u8]) {
        match (self.skip.take(), core.state.progress.number.get()) {
            (Some(skip), _) => self.last = skip.number,
            (None, 0) => {}
            (None, number) => {
                self.last = Some(number);
                core.complete(arena);
            }
        }
    }

    /// In a stream, nothing can be read after what cannot.
    fn lost_track(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
        error: Error,
    ) -> (usize, Result<(), Error>) {
        self.held_len = 0;
        self.damaged(core, arena);
        self.expect = Expect::Nothing(error);
        (0, Err(error))
    }

    /// Errors before the first header, and inside a batch of a stream.
    fn whole_so_far(&self, core: &Core) -> Result<(), Error> {
        if core.version().is_none() {
            return Err(Error::new(ErrorKind::NoHeader, 0, 0));
        }
        let (done, missing) = match &self.filling {
            Some(f) => (f.done, f.head.total_len().saturating_sub(f.done)),
            None => (self.held_len, self.held_len.min(1)),
        };
        if missing == 0 {
            return Ok(());
        }
        let end = self.offset.saturating_add(num::wide(done));
        Err(Error::new(
            ErrorKind::UnexpectedEnd,
            num::wide(missing),
            end,
        ))
    }

    /// As [`Head::parse`], with the marker known only to the versions that have it.
    fn parse(&self, core: &Core, bytes: &[u8]) -> Result<Option<Head>, Error> {
        let marked = core.version().is_some_and(Version::has_end_marker);
        match Head::parse(bytes).map_err(|e| self.located(e))? {
            Some(Head::EndOfGeneration) if !marked => {
                let marker = u64::from(EventType::END_OF_GENERATION.0);
                Err(Error::new(ErrorKind::NotABatch, marker, self.offset))
            }
            head => Ok(head),
        }
    }

    /// An error whose offset counts from the start of the trace.
    fn located(&self, e: Error) -> Error {
        let offset = self.offset.saturating_add(e.offset().0);
        Error::new(e.kind(), e.value(), offset)
    }

    /// Holds bytes until there are `most`; says how many it took.
    fn hold(&mut self, bytes: &[u8], most: usize) -> usize {
        let free = self.held.get_mut(self.held_len..most).unwrap_or(&mut []);
        let taken = free.len().min(bytes.len());
        for (to, from) in free.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.held_len = self.held_len.saturating_add(taken);
        taken
    }
}

fn total_len(head: &Head) -> usize {
    match head {
        Head::Batch(head) => head.total_len(),
        Head::EndOfGeneration => 1,
    }
}

#[cold]
fn trailing(more: usize, offset: u64) -> Error {
    Error::new(ErrorKind::TrailingBytes, num::wide(more), offset)
}
