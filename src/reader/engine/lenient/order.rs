//! The order of events where some are missing: who comes next, what is made up for it, and what is left
//! out.

use super::super::{Engine, after};
use super::{CANDIDATES, Forcing, Found, MOST_CAUSES, Nowhere, WINDOW, is_annotation, is_certain};
use crate::error::{Error, ErrorKind, Table};
use crate::event::{Event, Raw};
use crate::ids::TaskId;
use crate::num;
use crate::order::{Cause, Epoch, Fault, Misnested, OpenRegion, Verdict};
use crate::reader::lenient::{ClosedRegion, Lenient, OwnedFrame, RegionClosing};
use crate::reader::merge::{Cursor, Next};
use crate::tables::{Full, NIL, Storage};
use crate::time::Time;
use crate::wire::{EventType, Pieces, TimedEvent};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

/// The frames of a stack of the generation; of 0 none.
fn frames(event: &Event<'_, '_>, stack: u64) -> Vec<OwnedFrame> {
    event.stack_of(stack).frames().map(OwnedFrame::of).collect()
}

impl<S: Storage> Engine<S, Lenient> {
    /// From now on, events come next only if they are hardly later than the earliest.
    pub(super) fn bound(&mut self, input: &Pieces<'_>) -> Result<(), Error> {
        self.mode.bounded = true;
        self.scheduler.damaged = true;
        while let Some(at) = self.parking.earliest(&self.cursors) {
            if !self.parking.release(at, &self.cursors) {
                break;
            }
            let Some(cursor) = self.cursors.get(num::index(at)) else {
                break;
            };
            let (time, place) = (cursor.time, cursor.place());
            let back = self.frontier.insert(Next { time, cursor: at });
            back.map_err(|full| {
                let kind = ErrorKind::TableFull(Table::Threads);
                input.error(kind, full.capacity, place)
            })?;
        }
        Ok(())
    }

    /// What the model said of the event at `at` in the frontier, if it refused that.
    fn refused_at(&self, at: usize) -> Option<Fault> {
        let cursor = self.frontier.get(at)?.cursor;
        let (refused, fault) = self.mode.refused?;
        if refused != cursor {
            return None;
        }
        // The goroutine may yet end, on a thread whose clock is behind.
        let ty = self.cursors.get(num::index(cursor))?.raw.event.ty;
        let waits = fault.kind == ErrorKind::GoroutineExists && ty == EventType::GO_CREATE_SYSCALL;
        (!waits).then_some(fault)
    }

    /// Forces the event at `at` in the frontier, if it was refused and no other event can change that.
    pub(super) fn settle_refused(
        &mut self,
        input: &Pieces<'_>,
        at: usize,
        earliest: bool,
    ) -> Option<Result<bool, Error>> {
        let fault = self.refused_at(at)?;
        let certain = is_certain(fault.kind);
        if !certain && !earliest {
            return None;
        }
        if !certain {
            // Something is missing that nothing told of.
            if self.mode.rehearsal {
                self.mode.failed = true;
                let error = input.error(fault.kind, fault.value, self.place);
                return Some(self.fail(error));
            }
            if let Err(error) = self.bound(input) {
                return Some(self.fail(error));
            }
            return Some(self.wait_bounded(input));
        }
        Some(self.begin_forcing(input, at))
    }

    /// The earliest event must wait, in a generation of which something is missing: tries those that are
    /// hardly later, and then forces it.
    pub(super) fn wait_bounded(&mut self, input: &Pieces<'_>) -> Result<bool, Error> {
        self.ready.wake();
        let Some(first) = self.frontier.get(0) else {
            return Ok(false);
        };
        let limit = Time(first.time.0.saturating_add(WINDOW));
        let mut candidates = [(Time(i64::MAX), usize::MAX); CANDIDATES];
        let mut count = 0usize;
        self.frontier.up_to(limit, |at, next| {
            if let Some(slot) = candidates.get_mut(count) {
                *slot = (next.time, at);
                count = count.saturating_add(1);
            }
            count < CANDIDATES
        });
        let found = candidates.get_mut(..count).unwrap_or(&mut []);
        found.sort_unstable();
        for (_, at) in found.iter().filter(|(_, at)| *at != 0) {
            if self.try_advance(input, *at)? {
                return Ok(true);
            }
            if self
                .refused_at(*at)
                .is_some_and(|fault| is_certain(fault.kind))
            {
                return self.begin_forcing(input, *at);
            }
        }
        // What is said of the first is what its causes follow from.
        if self.try_advance(input, 0)? {
            return Ok(true);
        }
        self.begin_forcing(input, 0)
    }

    /// Makes the event at `at` in the frontier come next.
    fn begin_forcing(&mut self, input: &Pieces<'_>, at: usize) -> Result<bool, Error> {
        self.ready.wake();
        let Some(next) = self.frontier.get(at) else {
            return Ok(false);
        };
        let place = self
            .cursors
            .get(num::index(next.cursor))
            .map_or(self.place, Cursor::place);
        let error = match self
            .mode
            .refused
            .filter(|(cursor, _)| *cursor == next.cursor)
        {
            Some((_, fault)) => input.error(fault.kind, fault.value, place),
            None => input.error(ErrorKind::NoProgress, num::wide(self.frontier.len()), place),
        };
        // A region that is closed late is no reason to doubt the rest.
        self.scheduler.damaged |= !is_annotation(error.kind());
        self.mode.made.begin();
        self.mode.forcing = Some(Forcing {
            at,
            cursor: next.cursor,
            stops: NIL,
            error,
            steps: 0,
        });
        self.give_due(input)
    }

    /// Goes a step on with what is being forced; says whether that gives something.
    pub(super) fn force(&mut self, input: &Pieces<'_>) -> Result<bool, Error> {
        let Some(mut forcing) = self.mode.forcing.take() else {
            return Ok(false);
        };
        let stops = forcing.stops != NIL;
        if !stops {
            self.mode.refused = None;
            if self.offer(input, forcing.cursor)? {
                self.moved = num::slot(forcing.at);
                return Ok(true);
            }
        }
        let again = forcing.steps > 0;
        forcing.steps = forcing.steps.saturating_add(1);
        let cause = match forcing.steps > MOST_CAUSES {
            true => Cause::None,
            false => self.cause(input, &forcing, again)?,
        };
        let (event, slot) = match cause {
            Cause::Event(event, slot) => (event, slot),
            Cause::RegionEnd(misnested) => return self.close_region(input, misnested, forcing),
            Cause::Corrected => {
                self.mode.forcing = Some(forcing);
                return Ok(false);
            }
            Cause::None if stops => return Ok(false),
            Cause::None => return Ok(self.leave_out(&forcing)),
        };
        if self.make_up(input, event, slot, &forcing) {
            self.mode.forcing = Some(forcing);
            return Ok(true);
        }
        // It cannot be made up either.
        if stops {
            return Ok(false);
        }
        Ok(self.leave_out(&forcing))
    }

    /// Ends the innermost region, because one around it ends.
    #[cold]
    fn close_region(
        &mut self,
        input: &Pieces<'_>,
        misnested: Misnested,
        forcing: Forcing,
    ) -> Result<bool, Error> {
        let OpenRegion { task, name, .. } = misnested.innermost;
        let id = self.tables.add_string_after(name).map_err(|full| {
            let kind = ErrorKind::TableFull(Table::Strings);
            Error::new(kind, full.capacity, self.start)
        })?;
        let event = TimedEvent::new(EventType::USER_REGION_END, 0, [task, id, 0, 0]);
        let slot = self.slot_of(forcing.cursor);
        if !self.make_up(input, event, slot, &forcing) {
            return Ok(self.leave_out(&forcing));
        }
        let ends = self.cursors.get(num::index(forcing.cursor));
        let ends = ends.map_or(0, |cursor| cursor.raw.arg(2));
        let input = self.with_names(*input);
        let event = Event {
            raw: &self.mode.raw,
            tables: &self.tables,
            input,
        };
        let region = |region: OpenRegion| ClosedRegion {
            task: TaskId::new(region.task),
            name: String::from_utf8_lossy(input.bytes(region.name)).into_owned(),
            began: frames(&event, region.began),
        };
        self.mode.closing = Some(RegionClosing {
            goroutine: event.goroutine(),
            innermost: region(misnested.innermost),
            ending: region(misnested.ending),
            ends: frames(&event, ends),
            time: event.time(),
            error: forcing.error,
        });
        self.mode.found = Found::RegionClosed(forcing.error);
        self.mode.forcing = Some(forcing);
        Ok(true)
    }

    fn slot_of(&self, cursor: u32) -> u32 {
        let cursor = self.cursors.get(num::index(cursor));
        cursor.map_or(NIL, |cursor| cursor.thread_slot)
    }

    const fn epoch(&self) -> Epoch {
        Epoch {
            generation: self.number,
            first: self.number == self.first,
        }
    }

    fn cause(
        &mut self,
        input: &Pieces<'_>,
        forcing: &Forcing,
        again: bool,
    ) -> Result<Cause, Error> {
        let epoch = self.epoch();
        let made = &mut self.mode.made;
        let cause = match self.cursors.get(num::index(forcing.cursor)) {
            Some(cursor) => {
                let (raw, slot) = (&cursor.raw, cursor.thread_slot);
                let scheduler = &mut self.scheduler;
                scheduler.cause(raw, slot, epoch, again, made, &self.tables, input)
            }
            None => self.scheduler.before_stopped(forcing.stops, epoch, made),
        };
        // Only a table that is full.
        cause.or_else(|fault| {
            let error = input.error(fault.kind, fault.value, self.place);
            self.fail(error)
        })
    }

    /// Gives an event that the trace does not have; says whether the model lets it pass.
    fn make_up(
        &mut self,
        input: &Pieces<'_>,
        event: TimedEvent,
        slot: u32,
        forcing: &Forcing,
    ) -> bool {
        let epoch = self.epoch();
        let cursor = self.cursors.get(num::index(forcing.cursor));
        let (time, place) = match cursor {
            Some(cursor) => (cursor.time, cursor.place()),
            None => (self.last_time, input.place(forcing.error.offset().0)),
        };
        let mut raw = Raw {
            time: after(self.last_time, time),
            thread: self.scheduler.thread_id(slot),
            event,
            piece: place.piece,
            at: place.at,
            ..Raw::default()
        };
        let passed = self.scheduler.advance::<false, false>(
            &mut raw,
            slot,
            &self.tables,
            input,
            epoch,
            &mut Nowhere,
        );
        if !matches!(passed, Ok(Verdict::Pass)) {
            return false;
        }
        self.last_time = raw.time;
        self.mode.raw = raw;
        self.mode.found = Found::MadeUp(forcing.error);
        true
    }

    /// Gives an event that nothing makes possible.
    fn leave_out(&mut self, forcing: &Forcing) -> bool {
        if let Some(cursor) = self.cursors.get(num::index(forcing.cursor)) {
            self.mode.raw = cursor.raw;
            self.mode.raw.time = cursor.time;
        }
        self.mode.found = Found::LeftOut(forcing.error);
        self.moved = num::slot(forcing.at);
        true
    }

    /// Whether all events of the generation find their turn without any being forced: tried with a copy
    /// of what is known.
    #[cold]
    pub(super) fn rehearse(&mut self, input: &Pieces<'_>) -> Result<bool, Error> {
        let start = self.start;
        let full =
            |full: Full| Error::new(ErrorKind::TableFull(Table::Threads), full.capacity, start);
        let mut copy: Box<Engine<S, Lenient>> =
            Box::new(Engine::new(self.version, self.place, self.offset));
        copy.scheduler = self.scheduler.copied().map_err(full)?;
        copy.cursors = crate::tables::copied(&self.cursors).map_err(full)?;
        copy.frontier = self.frontier.copied().map_err(full)?;
        copy.parking = self.parking.copied().map_err(full)?;
        copy.frequency = self.frequency;
        copy.samples_given = self.tables.samples().len();
        (copy.number, copy.first, copy.start) = (self.number, self.first, self.start);
        copy.last_time = self.last_time;
        copy.mode.made = self.mode.made;
        copy.mode.rehearsal = true;
        copy.mode.vetted = true;
        copy.mode.torn = mem::take(&mut self.mode.torn);
        copy.mode.names = mem::take(&mut self.mode.names);
        // These do not change, but for placeholders.
        copy.mode.scanned = self.mode.scanned;
        mem::swap(&mut copy.tables, &mut self.tables);
        mem::swap(&mut copy.batches, &mut self.batches);
        mem::swap(&mut copy.by_thread, &mut self.by_thread);
        let result = loop {
            copy.mode.found = Found::Event;
            match copy.step(input, true) {
                Ok(true) => {}
                Ok(false) => break Ok(true),
                Err(_) if copy.mode.failed => break Ok(false),
                Err(error) => break Err(error),
            }
        };
        mem::swap(&mut copy.tables, &mut self.tables);
        mem::swap(&mut copy.batches, &mut self.batches);
        mem::swap(&mut copy.by_thread, &mut self.by_thread);
        self.mode.names = mem::take(&mut copy.mode.names);
        self.mode.torn = mem::take(&mut copy.mode.torn);
        self.mode.scanned = copy.mode.scanned;
        if let Some(lacking) = copy.mode.lacking.take() {
            self.tell_incomplete(lacking);
        }
        result
    }
}
