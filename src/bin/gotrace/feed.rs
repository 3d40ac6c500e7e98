//! What a recorder is fed with.

use super::output::note;
use super::snapshots::Seen;
use gotrace::ErrorKind;
use gotrace::ids::GenerationId;
use gotrace::mux::{EndReason, Subscriber, SubscriberError};
use gotrace::recorder::SharedRecorder;
use gotrace::source::{SharedBatches, SourceError};
use gotrace::wire::Version;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Feeds a recorder, and tells of the first thing that is wrong with the trace: what there is of
/// them costs the generations that [`losses`](super::snapshots::losses) counts, and no other.
pub struct Feed<A> {
    pub recorder: Arc<SharedRecorder<A>>,
    pub seen: Arc<Seen>,
    pub tell: Option<Tell>,
    /// What is done when a trace has ended and another one may come. What was recorded is still there.
    pub restarts: Restarts,
}

pub type Tell = Box<dyn FnOnce(gotrace::Error) + Send>;
pub type Restarts = Box<dyn FnMut(Option<&SourceError>) + Send>;

impl<A: AsRef<[u8]> + AsMut<[u8]> + Send> Subscriber for Feed<A> {
    fn header(&mut self, version: Version) -> std::result::Result<(), SubscriberError> {
        self.seen.generation.store(0, Ordering::Relaxed);
        self.seen.traces.fetch_add(1, Ordering::Relaxed);
        self.seen.live.store(true, Ordering::Release);
        Ok(self.recorder.with(|r| r.header(version.header()))??)
    }

    fn batches(&mut self, batches: &SharedBatches) -> std::result::Result<(), SubscriberError> {
        match self.recorder.with(|r| r.record(batches))? {
            Err(error) if error.kind() == ErrorKind::NoHeader => return Err(error.into()),
            Err(error) => {
                if let Some(tell) = self.tell.take() {
                    tell(error);
                }
            }
            Ok(()) => {}
        }
        let bytes = batches.len() as u64;
        self.seen.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn end_of_generation(
        &mut self,
        number: GenerationId,
    ) -> std::result::Result<(), SubscriberError> {
        self.recorder.with(|r| r.end_generation())??;
        self.seen.generation.store(number.get(), Ordering::Relaxed);
        let trace = self.seen.traces.load(Ordering::Relaxed);
        self.seen.window.store(trace, Ordering::Release);
        Ok(())
    }

    fn restart(
        &mut self,
        reason: Option<&SourceError>,
    ) -> std::result::Result<(), SubscriberError> {
        self.seen.live.store(false, Ordering::Release);
        (self.restarts)(reason);
        Ok(())
    }

    fn end_of_trace(&mut self, _: &EndReason) -> std::result::Result<(), SubscriberError> {
        self.seen.live.store(false, Ordering::Release);
        Ok(())
    }
}

/// Prints what a [`Feed`] told, about the input of this name.
pub fn note_damage(input: &str, error: gotrace::Error) {
    note(format_args!(
        "{input}: {error}: what this is part of is lost, recording goes on"
    ));
}
