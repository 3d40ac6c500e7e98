//! From input to batches: splitting a stream, and refusing what cannot be recorded.

use super::losses::LossReason;
use super::ring::{Core, Reserved};
use crate::error::{Error, ErrorKind};
use crate::num;
use crate::wire::{BatchHead, EventType, HEADER_LEN, Head, Version};

/// Where in its input a recorder is.
pub(super) struct Intake {
    expect: Expect,
    /// Bytes of the trace so far.
    pub(super) offset: u64,
    /// The beginning of a header whose end has not come yet.
    held: [u8; BatchHead::MAX_LEN],
    held_len: usize,
    /// The batch that is coming in.
    filling: Option<Filling>,
    /// The generation whose batches are not recorded.
    skip: Option<Skip>,
    /// The number of the generation that ended last, in this trace; 0 for none, or if not known.
    last: u64,
}

/// What a stream's next byte belongs to.
#[derive(Clone, Copy)]
enum Expect {
    Header,
    Batch,
    /// Nobody knows, since this error.
    Nothing(Error),
}

struct Filling {
    head: BatchHead,
    /// Where it goes; nowhere if its generation is skipped.
    place: Option<Reserved>,
    done: usize,
}

struct Skip {
    /// 0 while no batch of it came.
    number: u64,
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
            last: 0,
        }
    }

    /// Joins a trace at a place that nobody knows: records from the next generation on.
    pub(super) fn amid() -> Self {
        let mut intake = Self::new();
        intake.skip(0, LossReason::Interrupted);
        intake
    }

    /// Waits for the header of another trace.
    pub(super) fn restart(&mut self, core: &mut Core, arena: &mut [u8]) {
        self.forget(core, arena);
        core.state.stream_version = 0;
        core.publish(arena);
    }

    fn forget(&mut self, core: &mut Core, arena: &mut [u8]) {
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
        let version = Version::from_header(bytes)?.needing_generations()?;
        let len = num::wide(HEADER_LEN);
        let more = num::wide(bytes.len()).wrapping_sub(len);
        if more > 0 {
            return Err(Error::new(ErrorKind::TrailingBytes, more, len));
        }
        self.forget(core, arena);
        self.expect = Expect::Batch;
        self.offset = len;
        core.state.stream_version = version.minor();
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
        self.between_batches(core)?;
        let end = self.offset.wrapping_add(num::wide(bytes.len()));
        let error = match self.parse(core, bytes) {
            Ok(Some(head)) => {
                let len = match &head {
                    Head::Batch(head) => head.total_len(),
                    Head::EndOfGeneration => 1,
                };
                match (bytes.len().checked_sub(len), head) {
                    (Some(0), Head::Batch(head)) => return self.begin(core, arena, head, bytes),
                    (Some(0), Head::EndOfGeneration) => {
                        self.end(core, arena);
                        self.offset = end;
                        return Ok(());
                    }
                    (Some(more), _) => {
                        let more = num::wide(more);
                        Error::new(ErrorKind::TrailingBytes, more, end.wrapping_sub(more))
                    }
                    (None, _) => {
                        let missing = num::wide(len.wrapping_sub(bytes.len()));
                        Error::new(ErrorKind::UnexpectedEnd, missing, end)
                    }
                }
            }
            Ok(None) => Error::new(ErrorKind::UnexpectedEnd, 1, end),
            Err(error) => error,
        };
        self.damaged(core, arena);
        self.offset = end;
        Err(error)
    }

    /// The end of a generation, told by the source.
    pub(super) fn end_generation(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
    ) -> Result<(), Error> {
        self.between_batches(core)?;
        let open = self.skip.is_some() || core.state.progress.number.get() != 0;
        if open && core.marked() {
            // The marker that the source did not hand over is part of the trace.
            self.offset = self.offset.wrapping_add(1);
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
            let (taken, step) = match self.expect {
                Expect::Nothing(error) => (rest.len(), Err(error)),
                Expect::Header => self.take_header(core, arena, rest),
                Expect::Batch => self.take_batch(core, arena, rest),
            };
            if result.is_ok() {
                result = step;
            }
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
        if self.held_len < HEADER_LEN {
            return (taken, Ok(()));
        }
        let held = self.held;
        let result = self.header(core, arena, held.get(..HEADER_LEN).unwrap_or(&[]));
        if let Err(error) = result {
            self.expect = Expect::Nothing(error);
        }
        (taken, result)
    }

    /// More of a batch; says how many bytes of it there were.
    fn take_batch(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
        bytes: &[u8],
    ) -> (usize, Result<(), Error>) {
        if self.filling.is_some() {
            return (self.fill(core, arena, bytes), Ok(()));
        }
        // A header may be held in part; then it is looked at where it is held.
        let before = self.held_len;
        let held;
        let (start, taken) = if before > 0 {
            let taken = self.hold(bytes, BatchHead::MAX_LEN);
            held = self.held;
            (held.get(..self.held_len).unwrap_or(&[]), taken)
        } else {
            (bytes, bytes.len())
        };
        match self.parse(core, start) {
            Err(e) => {
                // Nothing can be read after what cannot.
                self.held_len = 0;
                self.damaged(core, arena);
                self.expect = Expect::Nothing(e);
                (taken, Err(e))
            }
            Ok(None) => {
                if before == 0 {
                    self.hold(bytes, BatchHead::MAX_LEN);
                }
                (taken, Ok(()))
            }
            Ok(Some(Head::Batch(head))) => {
                self.held_len = 0;
                let len = if before > 0 {
                    head.header_len
                } else {
                    head.total_len().min(start.len())
                };
                let part = start.get(..len).unwrap_or(&[]);
                let result = self.begin(core, arena, head, part);
                (len.wrapping_sub(before), result)
            }
            Ok(Some(Head::EndOfGeneration)) => {
                self.offset = self.offset.wrapping_add(1);
                self.end(core, arena);
                (1, Ok(()))
            }
        }
    }

    /// Begins a batch with its header and as much of its payload as there is.
    fn begin(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
        head: BatchHead,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let number = head.generation.get();
        let result = self.admit(core, arena, number);
        let mut place = None;
        if self.skip.is_none() {
            place = core.reserve(arena, num::slot(head.total_len()));
            if place.is_none() {
                self.give_up(core, arena, number, LossReason::TooLarge);
            }
        }
        let done = 0;
        self.filling = Some(Filling { head, place, done });
        self.fill(core, arena, bytes);
        result
    }

    /// More bytes of a batch: as many as it lacks. Says how many those were.
    fn fill(&mut self, core: &mut Core, arena: &mut [u8], bytes: &[u8]) -> usize {
        let Some(filling) = &mut self.filling else {
            return 0;
        };
        let len = filling.head.total_len();
        let taken = bytes.len().min(len.wrapping_sub(filling.done));
        if let Some(place) = filling.place {
            let bytes = bytes.get(..taken).unwrap_or(&[]);
            core.fill(arena, place, filling.done, bytes);
        }
        filling.done = filling.done.wrapping_add(taken);
        if filling.done >= len {
            let len = num::slot(len);
            self.offset = self.offset.wrapping_add(u64::from(len));
            if let Some(place) = filling.place {
                core.commit(arena, place, &filling.head, len);
            } else if let Some(skip) = &mut self.skip {
                skip.bytes = skip.bytes.wrapping_add(u64::from(len));
                core.state.saw(skip.bytes);
                core.lost(skip.reason).add(0, len);
            }
            self.filling = None;
        }
        taken
    }

    /// Decides what a batch of this generation means: more of the one in progress, or skipped; or
    /// the first of the next.
    fn admit(&mut self, core: &mut Core, arena: &mut [u8], number: u64) -> Result<(), Error> {
        let marked = core.marked();
        let progress = core.state.progress.number.get();
        let current = match &self.skip {
            Some(skip) => skip.number,
            None if progress != 0 => progress,
            None => self.last,
        };
        let follows = current.wrapping_add(1) == number;
        let jumped = match &self.skip {
            // Only now is it known which one it is that is skipped.
            Some(skip) if current == 0 => {
                self.lose_next(core, number, skip.reason);
                false
            }
            Some(_) if current == number => false,
            Some(skip) if follows && !marked => {
                if skip.and_next {
                    self.lose_next(core, number, LossReason::Damaged);
                } else {
                    self.end(core, arena);
                }
                false
            }
            Some(_) => true,
            None if progress == 0 => current != 0 && !follows,
            None if current == number => false,
            None if follows && !marked => {
                self.end(core, arena);
                false
            }
            None => true,
        };
        if jumped {
            core.lose(arena, LossReason::Damaged);
            // Whether this is its first batch, nobody knows.
            self.lose_next(core, number, LossReason::Damaged);
            return Err(Error::new(ErrorKind::GenerationOrder, number, self.offset));
        }
        Ok(())
    }

    /// Skips from now on the generation of this number, of which nothing was recorded.
    fn lose_next(&mut self, core: &mut Core, number: u64, reason: LossReason) {
        core.lost(reason).add(1, 0);
        self.skip(number, reason);
    }

    /// Loses the generation of this number, whether it is in progress already or about to begin,
    /// and skips what is to come of it.
    fn give_up(&mut self, core: &mut Core, arena: &mut [u8], number: u64, reason: LossReason) {
        if core.state.progress.number.get() == 0 {
            return self.lose_next(core, number, reason);
        }
        let bytes = core.state.progress.len.get();
        core.lose(arena, reason);
        self.skip(number, reason).bytes = u64::from(bytes);
    }

    fn skip(&mut self, number: u64, reason: LossReason) -> &mut Skip {
        self.skip.insert(Skip {
            number,
            reason,
            bytes: 0,
            and_next: false,
        })
    }

    /// Something came that is no batch: the generation it may belong to is not whole.
    fn damaged(&mut self, core: &mut Core, arena: &mut [u8]) {
        let progress = core.state.progress.number.get();
        if progress != 0 {
            self.give_up(core, arena, progress, LossReason::Damaged);
        }
        let marked = core.marked();
        match &mut self.skip {
            Some(skip) => skip.and_next |= !marked,
            None => {
                self.skip(0, LossReason::Damaged);
            }
        }
    }

    /// The current generation ends.
    fn end(&mut self, core: &mut Core, arena: &mut [u8]) {
        let progress = core.state.progress.number.get();
        if let Some(skip) = self.skip.take() {
            self.last = skip.number;
        } else if progress != 0 {
            self.last = progress;
            core.complete(arena);
        }
    }

    /// Errors without a header, and inside a batch of a stream.
    fn between_batches(&self, core: &Core) -> Result<(), Error> {
        if core.state.stream_version == 0 {
            return Err(Error::new(ErrorKind::NoHeader, 0, 0));
        }
        let (done, missing) = match &self.filling {
            Some(f) => (f.done, f.head.total_len().wrapping_sub(f.done)),
            None => (self.held_len, self.held_len.min(1)),
        };
        if missing > 0 {
            let end = self.offset.wrapping_add(num::wide(done));
            let missing = num::wide(missing);
            return Err(Error::new(ErrorKind::UnexpectedEnd, missing, end));
        }
        Ok(())
    }

    /// As [`Head::parse`], with the marker known only to the versions that have it, and errors that
    /// say where in the trace.
    fn parse(&self, core: &Core, bytes: &[u8]) -> Result<Option<Head>, Error> {
        let error = match Head::parse(bytes) {
            Ok(Some(Head::EndOfGeneration)) if !core.marked() => {
                let marker = u64::from(EventType::END_OF_GENERATION.0);
                Error::new(ErrorKind::NotABatch, marker, 0)
            }
            Err(error) => error,
            head => return head,
        };
        let offset = self.offset.wrapping_add(error.offset().0);
        Err(Error::new(error.kind(), error.value(), offset))
    }

    /// Holds bytes until there are `most`; says how many it took.
    fn hold(&mut self, bytes: &[u8], most: usize) -> usize {
        let free = self.held.get_mut(self.held_len..most).unwrap_or(&mut []);
        let taken = free.len().min(bytes.len());
        for (to, from) in free.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.held_len = self.held_len.wrapping_add(taken);
        taken
    }
}
