//! From input to batches: splitting a stream, and refusing what cannot be recorded.

use super::losses::LossReason;
use super::ring::{Core, Reserved, version_of};
use crate::error::{Error, ErrorKind};
use crate::generation::{Split, Splitter, stray_marker};
use crate::ids::GenerationId;
use crate::num;
use crate::wire::{BatchHead, HEADER_LEN, Head, Version};

/// As much of a batch as it takes to know what it is: its header and one byte.
const HELD: usize = BatchHead::MAX_LEN + 1;

/// Where in its input a recorder is.
pub(super) struct Intake {
    expect: Expect,
    /// Bytes of the trace so far.
    pub(super) offset: u64,
    /// The beginning of a header whose end, or the first byte behind it, has not come yet.
    held: [u8; HELD],
    held_len: usize,
    /// The batch that is coming in.
    filling: Option<Filling>,
    /// Which generation it is in.
    splitter: Splitter,
    /// The batches of that generation are not recorded.
    skip: Option<Skip>,
}

/// What a stream's next byte belongs to.
#[derive(Clone, Copy)]
enum Expect {
    Header,
    Batch,
    /// Not known, since this error.
    Nothing(Error),
}

struct Filling {
    head: BatchHead,
    /// Where it goes; nowhere if its generation is skipped.
    place: Option<Reserved>,
    done: usize,
}

struct Skip {
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
            held: [0; HELD],
            held_len: 0,
            filling: None,
            splitter: Splitter::new(Version::CURRENT),
            skip: None,
        }
    }

    /// Joins a trace at a place that is not known: records from the next generation on.
    pub(super) fn amid(core: &Core) -> Self {
        let version = version_of(core.state.stream_version).unwrap_or(Version::CURRENT);
        let mut intake = Intake {
            splitter: Splitter::amid(version),
            ..Self::new()
        };
        intake.skip(LossReason::Interrupted);
        intake
    }

    /// What was recorded of the current generation is gone: skips what is to come of it.
    pub(super) fn lose_track(&mut self) {
        if let Some(filling) = &mut self.filling {
            filling.place = None;
        }
        let begun = !self.splitter.is_between() || self.filling.is_some();
        if begun && self.skip.is_none() {
            self.skip(LossReason::Interrupted);
        }
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
            return Err(Error::at(ErrorKind::TrailingBytes, more, len));
        }
        self.forget(core, arena);
        self.expect = Expect::Batch;
        self.offset = len;
        self.splitter = Splitter::new(version);
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
                let len = head.total_len();
                match bytes.len().checked_sub(len) {
                    Some(0) => return self.begin(core, arena, &head, bytes),
                    Some(more) => {
                        let more = num::wide(more);
                        Error::at(ErrorKind::TrailingBytes, more, end.wrapping_sub(more))
                    }
                    None => {
                        let missing = num::wide(len.wrapping_sub(bytes.len()));
                        Error::at(ErrorKind::UnexpectedEnd, missing, end)
                    }
                }
            }
            Ok(None) => Error::at(ErrorKind::UnexpectedEnd, 1, end),
            Err(error) => error,
        };
        self.damaged(core, arena);
        self.offset = end;
        Err(error)
    }

    /// The end of a generation, as the source says.
    pub(super) fn end_generation(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
    ) -> Result<(), Error> {
        self.between_batches(core)?;
        if !self.splitter.is_between() && core.marked() {
            // The marker that the source did not hand over is part of the trace.
            self.offset = self.offset.wrapping_add(1);
        }
        self.splitter.end();
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
            let taken = self.hold(bytes, HELD);
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
            // What a batch is, its first byte shows.
            Ok(Some(head))
                if head.total_len() == head.header_len() || start.len() > head.header_len() =>
            {
                self.held_len = 0;
                let len = head.total_len().min(start.len());
                let result = self.begin(core, arena, &head, start.get(..len).unwrap_or(&[]));
                (len.wrapping_sub(before), result)
            }
            Ok(_) => {
                if before == 0 {
                    self.hold(bytes, HELD);
                }
                (taken, Ok(()))
            }
        }
    }

    /// Begins a batch with its header and as much of its payload as there is, or takes a marker.
    #[inline(never)]
    fn begin(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
        head: &Head,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let recorded = self.admit(core, arena, head, head.payload(bytes));
        let mut place = None;
        if let Ok(true) = recorded {
            place = core.reserve(arena, num::slot(head.total_len()));
            if place.is_none() {
                self.give_up(core, arena, LossReason::TooLarge);
            }
        }
        let done = 0;
        match *head {
            Head::Batch(head) => {
                self.filling = Some(Filling { head, place, done });
                self.fill(core, arena, bytes);
            }
            Head::EndOfGeneration => self.offset = self.offset.wrapping_add(1),
        }
        recorded.map(drop)
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

    /// Decides what a batch or marker means: more of the generation in progress, or skipped; the
    /// first of the next; or the end. Says whether it is to be recorded.
    fn admit(
        &mut self,
        core: &mut Core,
        arena: &mut [u8],
        head: &Head,
        payload: &[u8],
    ) -> Result<bool, Error> {
        let offset = self.offset;
        let mut unknown = self.splitter.is_unknown();
        loop {
            match self.splitter.step(head, payload) {
                Ok(Split::Batch { .. }) => {
                    if let (true, Some(skip)) = (unknown, &self.skip) {
                        // Only now is it known which one it is that is skipped.
                        self.lose_next(core, skip.reason);
                    }
                    return Ok(self.skip.is_none());
                }
                Ok(Split::Marker(_)) => {
                    self.end(core, arena);
                    return Ok(false);
                }
                Ok(Split::Before(_)) => {
                    unknown = false;
                    if self.skip.as_ref().is_some_and(|skip| skip.and_next) {
                        self.lose_next(core, LossReason::Damaged);
                    } else {
                        self.end(core, arena);
                    }
                }
                Err(error) => {
                    let ends_nothing = error.kind() == ErrorKind::NotABatch && core.marked();
                    if let (Head::Batch(batch), false) = (head, ends_nothing) {
                        self.misplaced(core, arena, batch.generation);
                    }
                    return Err(error.after(offset));
                }
            }
        }
    }

    /// A batch of this generation came where it cannot be: the generation in progress is not whole,
    /// nor, since this may not be its first batch, is that one.
    fn misplaced(&mut self, core: &mut Core, arena: &mut [u8], number: GenerationId) {
        if self.splitter.current() != Some(number) {
            core.lose(arena, LossReason::Damaged);
            self.lose_next(core, LossReason::Damaged);
            self.splitter.enter(number);
        } else if self.skip.is_none() {
            self.give_up(core, arena, LossReason::Damaged);
        }
    }

    /// Skips from now on a generation of which nothing was recorded.
    fn lose_next(&mut self, core: &mut Core, reason: LossReason) {
        core.lost(reason).add(1, 0);
        self.skip(reason);
    }

    /// Loses the current generation, whether it is in progress already or about to begin, and skips
    /// what is to come of it.
    fn give_up(&mut self, core: &mut Core, arena: &mut [u8], reason: LossReason) {
        if core.state.progress.number.get() == 0 {
            return self.lose_next(core, reason);
        }
        let bytes = core.state.progress.len.get();
        core.lose(arena, reason);
        self.skip(reason).bytes = u64::from(bytes);
    }

    fn skip(&mut self, reason: LossReason) -> &mut Skip {
        self.skip.insert(Skip {
            reason,
            bytes: 0,
            and_next: false,
        })
    }

    /// Something came that is no batch: the generation it may belong to is not whole.
    fn damaged(&mut self, core: &mut Core, arena: &mut [u8]) {
        if core.state.progress.number.get() != 0 {
            self.give_up(core, arena, LossReason::Damaged);
        }
        let marked = core.marked();
        match &mut self.skip {
            Some(skip) => skip.and_next |= !marked,
            None => {
                self.skip(LossReason::Damaged);
                self.splitter.lose_track();
            }
        }
    }

    /// The current generation ended.
    fn end(&mut self, core: &mut Core, arena: &mut [u8]) {
        if self.skip.take().is_none() && core.state.progress.number.get() != 0 {
            core.complete(arena);
        }
    }

    /// Errors without a header, and inside a batch of a stream.
    fn between_batches(&self, core: &Core) -> Result<(), Error> {
        if core.state.stream_version == 0 {
            return Err(Error::at(ErrorKind::NoHeader, 0, 0));
        }
        let (done, missing) = match &self.filling {
            Some(f) => (f.done, f.head.total_len().wrapping_sub(f.done)),
            None => (self.held_len, self.held_len.min(1)),
        };
        if missing > 0 {
            let end = self.offset.wrapping_add(num::wide(done));
            let missing = num::wide(missing);
            return Err(Error::at(ErrorKind::UnexpectedEnd, missing, end));
        }
        Ok(())
    }

    /// As [`Head::parse`], with the marker known only to the versions that have it, and errors that
    /// say where in the trace.
    // Once in a firmware, however many call it.
    #[inline(never)]
    fn parse(&self, core: &Core, bytes: &[u8]) -> Result<Option<Head>, Error> {
        match Head::parse(bytes) {
            Ok(Some(Head::EndOfGeneration)) if !core.marked() => Err(stray_marker(0)),
            head => head,
        }
        .map_err(|error| error.after(self.offset))
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
