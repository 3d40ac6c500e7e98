//! What `gotrace stat` counts in traces of before Go 1.22.

use super::input::Whole;
use super::progress::Progress;
use gotrace::legacy::{Event, EventType, Record, Records};
use gotrace::{Error, Trace};
use std::collections::{BTreeMap, HashSet};

/// How many events a trace in memory has, and how many of them are sync events.
pub fn events_of(bytes: &[u8]) -> Result<(u64, u64), Error> {
    let trace = Trace::new(bytes)?;
    let mut reader = trace.reader();
    let (mut events, mut syncs) = (0, 0);
    while let Some(event) = reader.next()? {
        events += 1;
        syncs += u64::from(event.wire_type().is_none());
    }
    Ok((events, syncs))
}

/// What one pass over the records of a trace counts.
#[derive(Default)]
pub struct OldScan {
    /// Records and their bytes.
    pub types: BTreeMap<EventType, [u64; 2]>,
    pub threads: HashSet<u64>,
    /// The clock in the batch being read.
    clock: u64,
    /// Of the first and the last event, in clock units.
    clocks: Option<(u64, u64)>,
    frequency: Option<u64>,
}

impl OldScan {
    /// Counts all records up to the first error.
    pub fn read(&mut self, trace: &Whole, progress: &Progress) -> Result<(), Error> {
        let mut records = Records::new(trace.bytes())?;
        let mut at = records.offset().0;
        while let Some(record) = records.next()? {
            let len = records.offset().0 - at;
            at += len;
            trace.count(len, progress);
            let [count, bytes] = self.types.entry(record.ty()).or_default();
            *count += 1;
            *bytes += len;
            if let Record::Event(event) = record {
                self.add(&event);
            }
        }
        Ok(())
    }

    fn add(&mut self, event: &Event<'_>) {
        let [first, second, ..] = event.args;
        match event.ty {
            EventType::BATCH => self.clock = second,
            EventType::FREQUENCY => self.frequency = Some(first),
            EventType::TIMER_GOROUTINE | EventType::CPU_SAMPLE => {}
            ty => {
                self.clock = self.clock.wrapping_add(first);
                let (earlier, later) = self.clocks.unwrap_or((self.clock, self.clock));
                self.clocks = Some((earlier.min(self.clock), later.max(self.clock)));
                if ty == EventType::PROC_START {
                    self.threads.insert(second);
                }
            }
        }
    }

    /// From the first event to the last, in nanoseconds.
    pub fn duration(&self) -> Option<i64> {
        let (first, last) = self.clocks?;
        let nanoseconds = (last - first) as f64 * (1e9 / self.frequency? as f64);
        Some(nanoseconds as i64)
    }
}
