//! Flight recorders as subscribers.
//!
//! They get batches as they come, if the source waits for them: when the source breaks, the half
//! generation is in the arena, where [`recover`](FlightRecorder::recover) finds it, and in no
//! snapshot.
//!
//! What is wrong with the trace does not end their subscription: it costs the generation that it is
//! part of, which is [counted](crate::recorder::Status::losses), and recording goes on. To learn of
//! it at once, feed a recorder with [`record`](FlightRecorder::record).

use super::{QueueConfig, Subscriber, SubscriberError, Subscription, TraceMultiplexer};
use crate::error::{Error, ErrorKind};
use crate::ids::GenerationId;
use crate::recorder::{FlightRecorder, SharedError, SharedRecorder};
use crate::source::SharedBatches;
use crate::wire::{Head, Version};
use alloc::sync::Arc;

impl<A: AsRef<[u8]> + AsMut<[u8]>> FlightRecorder<A> {
    /// Records what a source handed over, batch by batch.
    ///
    /// All of it is taken, whatever the result, which is the first error.
    ///
    /// Errors: those of [`batch`](FlightRecorder::batch). After each of them recording goes on, with
    /// the generation after the one that it cost; except after
    /// [`NoHeader`](crate::ErrorKind::NoHeader), where nothing is recorded.
    pub fn record(&mut self, batches: &SharedBatches) -> Result<(), Error> {
        let mut result = Ok(());
        let mut rest = batches.as_bytes();
        while !rest.is_empty() {
            let len = match Head::parse(rest) {
                Ok(Some(Head::Batch(head))) => head.total_len().min(rest.len()),
                Ok(Some(Head::EndOfGeneration)) => 1,
                // Where the next one begins is not known.
                Ok(None) | Err(_) => rest.len(),
            };
            let (batch, more) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            result = result.and(self.batch(batch));
            rest = more;
        }
        result
    }
}

/// Leaves out the errors after which recording goes on.
fn go_on(result: Result<(), Error>) -> Result<(), Error> {
    result.or_else(|error| match error.kind() {
        ErrorKind::NoHeader => Err(error),
        _ => Ok(()),
    })
}

/// Records what it is fed. [`Outcome::subscriber`](super::Outcome::subscriber) gives it back.
impl<A: AsRef<[u8]> + AsMut<[u8]> + Send> Subscriber for FlightRecorder<A> {
    fn header(&mut self, version: Version) -> Result<(), SubscriberError> {
        Ok(FlightRecorder::header(self, version.header())?)
    }

    fn batches(&mut self, batches: &SharedBatches) -> Result<(), SubscriberError> {
        Ok(go_on(self.record(batches))?)
    }

    fn end_of_generation(&mut self, _: GenerationId) -> Result<(), SubscriberError> {
        Ok(self.end_generation()?)
    }
}

/// Records what it is fed, while it is started: when it is stopped, its subscription ends with
/// [`NotStarted`](SharedError::NotStarted); when it is [restarted](FlightRecorder::restart), with
/// [`NoHeader`](crate::ErrorKind::NoHeader). When the trace ends, it stays started, and keeps its
/// window.
impl<A: AsRef<[u8]> + AsMut<[u8]> + Send> Subscriber for Arc<SharedRecorder<A>> {
    fn header(&mut self, version: Version) -> Result<(), SubscriberError> {
        Ok(self.with(|recorder| recorder.header(version.header()))??)
    }

    fn batches(&mut self, batches: &SharedBatches) -> Result<(), SubscriberError> {
        Ok(self.with(|recorder| go_on(recorder.record(batches)))??)
    }

    fn end_of_generation(&mut self, _: GenerationId) -> Result<(), SubscriberError> {
        Ok(self.with(|recorder| recorder.end_generation())??)
    }
}

impl TraceMultiplexer {
    /// Writes a snapshot of a recorder that has in it what happens now
    /// ([`SharedRecorder::write_after`]): asks the source to end the current generation, if it can be
    /// asked, and waits for that, no longer than `patience`.
    ///
    /// Errors: as for [`SharedRecorder::write_to`].
    #[cfg(not(loom))]
    pub fn write_after<A: AsRef<[u8]> + AsMut<[u8]> + Send>(
        &self,
        recorder: &SharedRecorder<A>,
        writer: impl std::io::Write,
        patience: core::time::Duration,
    ) -> Result<u64, SharedError> {
        // Where the source cannot be asked, the generation ends when it does.
        let _ = self.advance();
        recorder.write_after(writer, patience)
    }

    /// Starts a recorder, and feeds it from the next generation on (`FlightRecorder.Start`). The
    /// source waits for it. To end that, drop the subscription and
    /// [stop](SharedRecorder::stop) the recorder.
    ///
    /// Errors: it is started already; it gets no arena; no thread can be had.
    ///
    /// ```
    /// use gotrace::mux::TraceMultiplexer;
    /// use gotrace::recorder::{FlightRecorderConfig, SharedRecorder};
    /// use gotrace::source::Playback;
    /// use std::sync::Arc;
    ///
    /// let trace = std::fs::read("tests/fixtures/annotate-go1.27.trace")?;
    /// let mux = TraceMultiplexer::new(Playback::new(trace.clone())?)?;
    /// let recorder = Arc::new(SharedRecorder::new(FlightRecorderConfig::default()));
    /// mux.record(&recorder)?.wait();
    ///
    /// let mut snapshot = Vec::new();
    /// recorder.write_to(&mut snapshot)?;
    /// assert_eq!(snapshot, trace);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn record<A: AsRef<[u8]> + AsMut<[u8]> + Send + 'static>(
        &self,
        recorder: &Arc<SharedRecorder<A>>,
    ) -> Result<Subscription<Arc<SharedRecorder<A>>>, SharedError> {
        recorder.start()?;
        let subscription = self.subscribe(Arc::clone(recorder), QueueConfig::default());
        subscription.map_err(|error| {
            recorder.stop();
            error.into()
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::generation::Trace;
    use crate::recorder::{FlightRecorderConfig, LossReason, arena_size_for};
    use std::vec;
    use std::vec::Vec;

    const TRACE: &[u8] = include_bytes!("../../tests/fixtures/annotate-go1.27.trace");

    /// Feeds the three generations with something unreadable after the first; gives what is to be
    /// kept. Whether that was part of the second is not known: it is lost, and what is before it.
    fn feed(to: &mut impl Subscriber) -> Vec<u8> {
        let trace = Trace::new(TRACE).unwrap();
        let header = trace.version().header();
        to.header(trace.version()).unwrap();
        let (mut start, mut last) = (header.len(), &[][..]);
        for generation in trace.generations() {
            let generation = generation.unwrap();
            let end = usize::try_from(generation.end.0).unwrap();
            last = &TRACE[start..end];
            to.batches(&SharedBatches::from(last.to_vec())).unwrap();
            to.end_of_generation(generation.number).unwrap();
            if generation.number.get() == 1 {
                to.batches(&SharedBatches::from(vec![0; 10])).unwrap();
            }
            start = end;
        }
        [header, last].concat()
    }

    #[test]
    fn bad_input_does_not_end_the_recording() {
        let config = FlightRecorderConfig::default();
        let arena = vec![0; arena_size_for(0)];
        let mut recorder = FlightRecorder::new(arena, config).unwrap();
        let expected = feed(&mut recorder);
        let mut snapshot = Vec::new();
        recorder.write_to(&mut snapshot).unwrap();
        assert!(snapshot == expected);
        let lost = |reason| recorder.status().losses.of(reason).generations;
        assert_eq!(lost(LossReason::Damaged), 1);
        assert_eq!(lost(LossReason::Gap), 1);

        let mut shared = Arc::new(SharedRecorder::new(config));
        shared.start().unwrap();
        assert!(feed(&mut shared) == expected);
        let mut snapshot = Vec::new();
        shared.write_to(&mut snapshot).unwrap();
        assert!(snapshot == expected);

        // Where nothing is recorded any more, that is an error.
        let batches = SharedBatches::from(TRACE[16..].to_vec());
        shared.with(FlightRecorder::restart).unwrap();
        assert!(shared.batches(&batches).is_err());
        recorder.restart();
        assert!(Subscriber::batches(&mut recorder, &batches).is_err());
    }
}
