//! Events in, a trace out.

use super::model::{Collector, Model};
use super::names::Names;
use super::output::{EXACT, Output};
use super::{Report, refuse};
use crate::error::Error;
use crate::event::{Details, Event, SYNC};
use crate::ids::{GenerationId, GoId, ProcId, ThreadId};
use crate::tables::NIL;
use crate::time::{ClockSnapshot, Time, WallTime};
use crate::wire::{Encoder, EventType, Role, TimedEvent, Version};
use alloc::vec::Vec;

/// Writes a trace of events that come in order: see the [module](super).
pub struct Writer {
    pub(super) out: Output,
    pub(super) names: Names,
    pub(super) model: Model,
    pub(super) report: Report,
    /// The generation being written; 0 between two.
    pub(super) number: u64,
    /// The first generation that has events, or 0.
    first: u64,
    /// When the generation began, and when its last event happened.
    pub(super) start: u64,
    now: u64,
    /// What times are multiplied by.
    factor: u32,
    /// The clocks of the last generation.
    pub(super) clock: Option<ClockSnapshot>,
    /// The generation of the events that were skipped before the first that is written.
    pub(super) skipped: Option<GenerationId>,
    /// What is made up is not written.
    pub(super) silent: bool,
    /// The thread of the last event: most events are on the same one as the one before.
    last: (Option<ThreadId>, u32),
    /// How many of the events that come next are part of the last record.
    pub(super) part_of_record: u8,
    /// How many events a reader gives of the record being written besides the first: each has a time of
    /// its own.
    pub(super) further: u8,
    /// Of each type which arguments are strings, and which are stacks, in the high bits.
    ids: [u8; 256],
}

impl Writer {
    /// A writer of traces of this version, which need not be that of the events.
    ///
    /// Errors: [`NoGenerations`](crate::ErrorKind::NoGenerations) for the formats of before Go 1.22,
    /// which are not written.
    pub fn new(version: Version) -> Result<Writer, Error> {
        refuse(version)?;
        let mut ids = [0; 256];
        for (entry, number) in ids.iter_mut().zip(0u8..=u8::MAX) {
            *entry = ids_of(EventType(number));
        }
        Ok(Writer {
            out: Output::new(version),
            names: Names::new(),
            model: Model::new(),
            report: Report::default(),
            number: 0,
            first: 0,
            start: 0,
            now: 0,
            factor: 1,
            clock: None,
            skipped: None,
            silent: false,
            last: (None, NIL),
            part_of_record: 0,
            further: 0,
            ids,
        })
    }

    /// The same with all times multiplied, as a clock needs it that is wrong by this factor: see
    /// [`ClockCheck`](crate::generation::ClockCheck). At least 1.
    #[must_use]
    pub const fn with_time_factor(mut self, factor: u32) -> Writer {
        self.factor = if factor == 0 { 1 } else { factor };
        self
    }

    /// Writes an event: the next one of a reader. Sync events begin generations.
    ///
    /// What the trace lacks for the event to come next is made up, and written before it. An event that
    /// cannot come next in any case is left out. [`report`](Writer::report) counts both.
    #[inline]
    pub fn event(&mut self, event: &Event<'_, '_>) {
        match event.raw.event.ty {
            SYNC => self.sync(event),
            EventType::CPU_SAMPLE => self.sample(event),
            _ => self.timed(event, false),
        }
    }

    /// Writes an event that is not in the trace being read, but made up by its reader: as
    /// [`event`](Writer::event), with a stack that says so where the event has one.
    pub fn made_up(&mut self, event: &Event<'_, '_>) {
        self.timed(event, true);
    }

    /// Ends the trace: its last generation is complete then. A trace without a generation gets one
    /// without events.
    pub fn finish(&mut self) {
        if self.number == 0 && self.report.generations == 0 {
            self.begin(None, Time(1), None);
            self.report.made_up = self.report.made_up.saturating_add(1);
        }
        self.end();
    }

    /// The bytes that are ready, from the trace's header on, and not yet taken away: see
    /// [`clear`](Writer::clear).
    pub fn bytes(&self) -> &[u8] {
        &self.out.bytes
    }

    /// Takes away the bytes that [`bytes`](Writer::bytes) gave.
    pub fn clear(&mut self) {
        self.out.bytes.clear();
    }

    /// What was written so far.
    pub fn report(&self) -> Report {
        Report {
            missing_names: self.names.missing,
            ..self.report
        }
    }

    /// The version being written.
    pub const fn version(&self) -> Version {
        self.out.version
    }

    /// Whether states are news: no generation with events is complete.
    pub(super) const fn is_first(&self) -> bool {
        self.first == 0 || self.first == self.number
    }

    /// A moment after everything that was written.
    pub(super) fn tick(&mut self) -> u64 {
        self.at(0)
    }

    /// The time of an event that happened at `wanted`: no two have the same one.
    #[inline(always)]
    fn at(&mut self, wanted: u64) -> u64 {
        let wanted = if wanted > LATEST { LATEST } else { wanted };
        let next = self.now.saturating_add(1);
        let time = if wanted > next { wanted } else { next };
        let time = representable(time);
        self.now = time;
        time
    }

    /// A time of a reader, as the trace is to have it.
    #[inline(always)]
    fn scaled(&self, time: Time) -> u64 {
        let time = u64::try_from(time.0).unwrap_or(0);
        if self.factor == 1 {
            return time;
        }
        time.saturating_mul(u64::from(self.factor))
    }

    /// Writes a record on a thread.
    #[inline(always)]
    pub(super) fn emit(&mut self, thread: u32, time: u64, ty: EventType, args: &[u64; 4]) {
        if self.first == 0 {
            self.first = self.number;
        }
        if let Some(thread) = self.model.threads.get_mut(thread) {
            thread.events.add(&mut self.out, thread.id, time, ty, args);
        }
    }

    /// A generation begins, unless this is the event that ends a trace.
    fn sync(&mut self, event: &Event<'_, '_>) {
        self.part_of_record = 0;
        let Some(number) = event.generation() else {
            return;
        };
        let Details::Sync(sync) = event.details() else {
            return;
        };
        self.end();
        if self.skipped.take().is_some() {
            // A generation says itself what is so when it begins.
            self.model = Model::new();
            self.last = (None, NIL);
        }
        self.begin(Some(number), event.time(), sync.clock);
        for batch in sync.experimental_batches() {
            if self.out.version.has_experiments() {
                let start = self.start;
                self.out
                    .batch(batch.thread, start, Some(batch.experiment), batch.data);
            }
        }
    }

    /// Begins a generation: of the same number if the version lets it have any.
    pub(super) fn begin(
        &mut self,
        number: Option<GenerationId>,
        time: Time,
        clock: Option<ClockSnapshot>,
    ) {
        let last = self.out.generation;
        let number = number.filter(|number| number.get() <= LAST_NUMBER);
        let next = match number {
            number if self.report.generations == 0 => number,
            Some(number) if self.out.version.has_end_marker() && number > last => Some(number),
            _ => last.next(),
        };
        self.out.generation = next.unwrap_or(last);
        self.number = self.out.generation.get();
        self.report.generations = self.report.generations.saturating_add(1);
        let clock = clock.or_else(|| {
            // What is missing is taken to have gone on since the last one.
            let last = self.clock?;
            let since = u64::try_from(time.since(last.trace)).ok()?;
            Some(ClockSnapshot {
                trace: time,
                mono: last.mono.saturating_add(since),
                wall: last.wall_at(time),
            })
        });
        self.clock = clock;
        let shown = clock.map(|clock| {
            let shown = self.scaled(clock.trace).min(LATEST);
            (representable(shown), clock.mono, clock.wall)
        });
        let shown = shown.filter(|(shown, ..)| *shown > 0);
        // A generation begins with its earliest batch, and a batch with what is in it.
        let wanted = self.scaled(time);
        self.start = self.at(shown.map_or(wanted, |(shown, ..)| wanted.min(shown)));
        let start = self.start;
        // What Go's clocks show at the same time, where the trace does not say.
        let (shown, mono, wall) = shown.unwrap_or((start, start, WallTime::new(0, 0)));
        let is_near = shown.saturating_sub(start) < EXACT;
        let shown = if is_near { shown } else { start };
        let time = start.min(shown);
        let mut buffer = [0; Encoder::SYNC_LEN + 16];
        let mut sync = Encoder::for_version(&mut buffer, self.out.version);
        if sync.section(EventType::SYNC).is_ok() {
            let seconds = wall.seconds.cast_unsigned();
            let args = [mono, seconds, u64::from(wall.nanoseconds), 0];
            let dt = shown.saturating_sub(time);
            let _ = sync.frequency(HERTZ);
            let _ = sync.event(&TimedEvent::new(EventType::CLOCK_SNAPSHOT, dt, args));
        } else {
            let _ = sync.frequency(HERTZ);
        }
        self.out.batch(None, time, None, sync.bytes());
    }

    /// Ends the generation, if there is one.
    fn end(&mut self) {
        if self.number == 0 {
            return;
        }
        let threads = &self.model.threads;
        if !self.out.version.has_empty_generations()
            && threads.iter().all(|(_, thread)| thread.events.is_empty())
        {
            self.announce_any_proc();
        }
        // In the order of their events, which does not depend on what was left out.
        let mut filled: Vec<_> = self.model.threads.values_mut().collect();
        filled.retain(|thread| !thread.events.is_empty());
        filled.sort_unstable_by_key(|thread| thread.events.first());
        for thread in filled {
            thread.events.flush(&mut self.out, thread.id);
        }
        self.names.finish(&mut self.out, self.start);
        self.out.end_of_generation();
        self.number = 0;
    }

    /// A generation must have begun.
    fn begun(&mut self, time: Time) {
        if self.skipped.is_some() {
            self.begin_amid(time);
        }
        if self.number == 0 {
            self.begin(None, time, None);
        }
    }

    fn sample(&mut self, event: &Event<'_, '_>) {
        self.begun(event.time());
        let raw = event.raw;
        let stack = raw.arg(0);
        // Nothing checks whether it exists: one that does not gets a placeholder, as those of events do.
        self.names.stack(&mut self.out, self.start, event, stack);
        let wanted = self.scaled(raw.time);
        let time = self.at(wanted);
        let numbers = [
            time,
            ThreadId::raw(raw.thread),
            ProcId::raw(raw.proc),
            raw.go.map_or(0, GoId::get),
            stack,
        ];
        self.names.sample(&mut self.out, self.start, numbers);
        self.report.events = self.report.events.saturating_add(1);
    }

    /// Writes an event that came of a record.
    #[inline]
    fn timed(&mut self, event: &Event<'_, '_>, made_up: bool) {
        let raw = event.raw;
        self.begun(raw.time);
        let thread = if self.last.1 != NIL && self.last.0 == raw.thread {
            self.last.1
        } else {
            let slot = self.model.thread(raw.thread);
            self.last = (raw.thread, slot);
            slot
        };
        let Some(mut step) = self.prepare(event, thread, made_up) else {
            return;
        };
        if step.ty == EventType(0) {
            return;
        }
        let ids = self.ids.get(usize::from(step.ty.0)).copied().unwrap_or(0);
        if ids != 0 {
            self.note(event, &mut step.args, ids, made_up);
        }
        let wanted = self.scaled(raw.time);
        let time = self.at(wanted);
        if time != wanted {
            self.report.moved = self.report.moved.saturating_add(1);
        }
        self.emit(step.thread, time, step.ty, &step.args);
        let further = core::mem::take(&mut self.further);
        self.now = self.now.saturating_add(u64::from(further));
        if made_up {
            self.report.made_up = self.report.made_up.saturating_add(1);
        } else {
            self.report.events = self.report.events.saturating_add(1);
        }
    }

    /// Notes the strings and stacks that a record names.
    #[inline(always)]
    fn note(&mut self, event: &Event<'_, '_>, args: &mut [u64; 4], ids: u8, made_up: bool) {
        let start = self.start;
        for (at, arg) in (0u32..).zip(args.iter_mut()) {
            let bits = ids.wrapping_shr(at);
            if bits & 0x10 != 0 {
                if made_up && *arg == 0 {
                    *arg = self.names.made_up(&mut self.out, start);
                } else {
                    self.names.stack(&mut self.out, start, event, *arg);
                }
            } else if bits & 1 != 0 {
                if *arg == 0 && event.tables.has_texts() {
                    let text = event.input.bytes_anywhere(event.raw.name);
                    *arg = self.names.text(&mut self.out, start, event, text);
                } else {
                    self.names.string(&mut self.out, start, event, *arg);
                }
            }
        }
    }

    /// The event is not written.
    #[cold]
    pub(super) fn leave_out<T>(&mut self) -> Option<T> {
        self.report.left_out = self.report.left_out.saturating_add(1);
        None
    }

    /// The version has no such event.
    #[cold]
    pub(super) fn not_in_version<T>(&mut self) -> Option<T> {
        self.report.not_in_version = self.report.not_in_version.saturating_add(1);
        None
    }

    /// Where the garbage collector is.
    pub(super) const fn collector(&self) -> Collector {
        self.model.gc
    }
}

/// Of a nanosecond: so that times are written as readers give them.
const HERTZ: u64 = 1_000_000_000;

/// No event is written as later than this, but for those after another one that is: so that each can be
/// later than the one before, up to 2^50 of them.
const LATEST: u64 = i64::MAX.cast_unsigned() - (1 << 60);

/// Generations get no numbers beyond this, unless they follow one that has: so that each has one of its
/// own.
const LAST_NUMBER: u64 = u64::MAX - (1 << 32);

/// The first time from this one on that readers give exactly: they calculate with 53 bits.
#[inline(always)]
const fn representable(time: u64) -> u64 {
    let zeros = time.leading_zeros();
    if zeros >= 11 {
        return time;
    }
    let below = 1u64.wrapping_shl(11u32.wrapping_sub(zeros)).wrapping_sub(1);
    time.saturating_add(below) & !below
}

/// A bit for each argument that is a string; those of stacks are four bits higher.
fn ids_of(ty: EventType) -> u8 {
    let mut ids = 0u8;
    let args = ty.spec().map_or(&[][..], |spec| spec.args);
    for (at, arg) in (0u32..).zip(args.iter().skip(1)) {
        match arg.role {
            Role::String => ids |= 1u8.wrapping_shl(at),
            Role::Stack | Role::NewStack => ids |= 0x10u8.wrapping_shl(at),
            _ => {}
        }
    }
    ids
}

/// What is written of an event: on which thread, and which record.
pub(super) struct Step {
    pub(super) thread: u32,
    pub(super) ty: EventType,
    pub(super) args: [u64; 4],
}

impl core::fmt::Debug for Writer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Writer")
            .field("version", &self.version())
            .field("report", &self.report())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_says_what_its_arguments_name() {
        assert_eq!(ids_of(EventType::USER_LOG), 0b1000_0110);
        assert_eq!(ids_of(EventType::GO_CREATE), 0b0110_0000);
        assert_eq!(ids_of(EventType::GO_STOP), 0b0010_0001);
        assert_eq!(ids_of(EventType::GO_STATUS_STACK), 0b1000_0000);
        assert_eq!(ids_of(EventType::PROC_START), 0);
    }

    /// Times differ after they were rounded to 53 bits.
    #[test]
    fn times_differ_however_large_they_are() {
        let mut writer = Writer::new(Version::CURRENT).unwrap();
        let frequency = crate::time::Frequency::from_hertz(HERTZ);
        for start in [0, 1 << 52, (1 << 53) - 3, 1 << 60, i64::MAX as u64 - 20_000] {
            writer.now = start;
            let mut last = None;
            for _ in 0..3 {
                let time = frequency.time(crate::time::Timestamp(writer.tick()));
                assert!(last < Some(time), "{start}");
                last = Some(time);
            }
        }
    }
}
