//! Flight recorders as subscribers.
//!
//! They get batches as they come, if the source waits for them: when the source breaks, the half
//! generation is in the arena, where [`recover`](FlightRecorder::recover) finds it, and in no
//! snapshot.

use super::{QueueConfig, Subscriber, SubscriberError, Subscription, TraceMultiplexer};
use crate::ids::GenerationId;
use crate::recorder::{FlightRecorder, SharedError, SharedRecorder};
use crate::source::SharedBatches;
use crate::wire::Version;
use alloc::sync::Arc;

/// Records what it is fed. [`Outcome::subscriber`](super::Outcome::subscriber) gives it back.
impl<A: AsRef<[u8]> + AsMut<[u8]> + Send> Subscriber for FlightRecorder<A> {
    fn header(&mut self, version: Version) -> Result<(), SubscriberError> {
        Ok(FlightRecorder::header(self, version.header())?)
    }

    fn batches(&mut self, batches: &SharedBatches) -> Result<(), SubscriberError> {
        Ok(self.write(batches.as_bytes())?)
    }

    fn end_of_generation(&mut self, _: GenerationId) -> Result<(), SubscriberError> {
        Ok(self.end_generation()?)
    }
}

/// Records what it is fed, while it is started: when it is stopped, its subscription ends with
/// [`NotStarted`](SharedError::NotStarted). When the trace ends, it stays started, and keeps its
/// window.
impl<A: AsRef<[u8]> + AsMut<[u8]> + Send> Subscriber for Arc<SharedRecorder<A>> {
    fn header(&mut self, version: Version) -> Result<(), SubscriberError> {
        Ok(self.with(|recorder| recorder.header(version.header()))??)
    }

    fn batches(&mut self, batches: &SharedBatches) -> Result<(), SubscriberError> {
        Ok(self.write(batches.as_bytes())?)
    }

    fn end_of_generation(&mut self, _: GenerationId) -> Result<(), SubscriberError> {
        Ok(self.with(|recorder| recorder.end_generation())??)
    }
}

impl TraceMultiplexer {
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
