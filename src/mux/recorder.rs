//! A flight recorder as a subscriber.

use super::{Subscriber, SubscriberError};
use crate::ids::GenerationId;
use crate::recorder::FlightRecorder;
use crate::source::SharedBatches;
use crate::wire::Version;

/// Records what it is fed. It gets batches as they come, if the source waits for it: when the source
/// breaks, the half generation is in the arena, where [`recover`](FlightRecorder::recover) finds it,
/// and in no snapshot.
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
