//! Where a trace begins in the middle of another: what is so at that time is announced.

use super::model::{Collector, Table};
use super::writer::Writer;
use crate::event::{Details, Event, SYNC};
use crate::ids::GenerationId;
use crate::tables::NIL;
use crate::time::Time;
use crate::wire::EventType;
use alloc::vec::Vec;

impl Writer {
    /// Takes note of an event that is not written: one before the trace being written begins.
    ///
    /// The first event that is written after that begins a generation, in which the states of all
    /// goroutines and procs that exist then are announced, right before it. Tasks and regions that are
    /// open then have no beginning in the trace. Has no effect once an event was written.
    ///
    /// ```
    /// use gotrace::{Time, Trace, rewrite::Writer};
    ///
    /// let trace = Trace::new(include_bytes!("../../tests/fixtures/http-go1.27.trace"))?;
    /// let mut reader = trace.reader();
    /// let mut writer = Writer::new(trace.version())?;
    /// let mut read = 0;
    /// while let Some(event) = reader.next()? {
    ///     read += 1;
    ///     match read {
    ///         ..=40_000 => writer.skip(&event),
    ///         _ => writer.event(&event),
    ///     }
    /// }
    /// writer.finish();
    ///
    /// let rest = Trace::new(writer.bytes())?;
    /// let mut events = rest.reader();
    /// while events.next()?.is_some() {}
    /// assert!(writer.bytes().len() < trace.len() as usize * 2 / 3);
    /// # Ok::<(), gotrace::Error>(())
    /// ```
    pub fn skip(&mut self, event: &Event<'_, '_>) {
        if self.report.generations > 0 {
            return;
        }
        let raw = event.raw;
        match raw.event.ty {
            SYNC => {
                if let Details::Sync(sync) = event.details()
                    && let Some(number) = event.generation()
                {
                    self.clock = sync.clock.or(self.clock);
                    self.skipped = Some(number);
                }
                self.part_of_record = 0;
            }
            EventType::CPU_SAMPLE => {}
            _ => {
                // One generation, as far as anything is announced.
                let report = self.report;
                self.number = 1;
                self.silent = true;
                let thread = self.model.thread(raw.thread);
                let _ = self.prepare(event, thread, false);
                self.silent = false;
                self.number = 0;
                self.report = report;
                // A trace that begins without a sync event.
                self.skipped = self.skipped.or(Some(GenerationId::FIRST));
            }
        }
    }

    /// Begins the trace at an event that happened at this time, after others that were skipped.
    #[cold]
    pub(super) fn begin_amid(&mut self, time: Time) {
        let Some(number) = self.skipped.take() else {
            return;
        };
        let procs = slots(&self.model.procs);
        let goroutines = slots(&self.model.goroutines);
        // Each announcement has a time of its own, before the event.
        let room = procs.len().saturating_add(goroutines.len());
        let room = i64::try_from(room.saturating_mul(2).saturating_add(4)).unwrap_or(0);
        // The clocks of the generation that is cut: a later moment could be after the next one's.
        let clock = self.clock;
        self.begin(Some(number), Time(time.0.saturating_sub(room)), clock);
        let made_up = self.report.made_up;
        for proc in procs {
            let Some(known) = self.model.procs.get_mut(proc) else {
                continue;
            };
            known.generation = 0;
            let (thread, sweeps) = (known.thread, known.sweeps);
            self.announce_proc(proc);
            if sweeps {
                let on = if thread == NIL {
                    self.nowhere()
                } else {
                    thread
                };
                let id = self.model.proc_id(proc);
                self.make_up(on, EventType::GC_SWEEP_ACTIVE, [id, 0, 0, 0]);
            }
        }
        for go in goroutines {
            let Some(known) = self.model.goroutines.get_mut(go) else {
                continue;
            };
            known.generation = 0;
            // Both may end without a beginning, or their end is left out.
            known.regions = Vec::new();
            known.ranges = Vec::new();
            let (thread, assists) = (known.thread, known.assists);
            self.announce_go(go);
            if assists {
                let on = if thread == NIL {
                    self.nowhere()
                } else {
                    thread
                };
                let id = self.model.go_id(go);
                self.make_up(on, EventType::GC_MARK_ASSIST_ACTIVE, [id, 0, 0, 0]);
            }
        }
        match self.model.gc {
            Collector::Running => {
                let (on, sequence) = (self.nowhere(), self.model.gc_sequence);
                self.make_up(on, EventType::GC_ACTIVE, [sequence, 0, 0, 0]);
            }
            // The next number is the trace's own.
            _ => self.model.gc = Collector::Undetermined,
        }
        self.model.tasks.clear();
        // They say what is so.
        let announced = self.report.made_up.saturating_sub(made_up);
        self.report.made_up = made_up;
        self.report.announced = announced;
    }
}

/// The slots that are in use.
fn slots<T>(table: &Table<T>) -> Vec<u32> {
    table.iter().map(|(slot, _)| slot).collect()
}
