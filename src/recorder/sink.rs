//! A recorder as the place where a trace of one's own goes: a black box.

use super::FlightRecorder;
use crate::emit::Sink;
use crate::num;
use crate::wire::Version;

/// Keeps the newest generations. One that is larger than the arena is refused, so that the others are
/// still a trace. One that does not fit beside the newest one is lost and counted, and those before
/// it with it, as of any trace: with three times the largest generation,
/// [`capacity`](super::Status::capacity) is enough for all.
impl<A: AsRef<[u8]> + AsMut<[u8]>> Sink for FlightRecorder<A> {
    fn reserve(&mut self, len: usize) -> bool {
        num::wide(len) <= self.status().capacity
    }

    fn put(&mut self, piece: &[u8]) {
        // What goes wrong is counted in the recorder's losses. A valid trace goes right.
        let result = self.write(piece);
        debug_assert!(result.is_ok());
    }

    fn begin(&mut self, version: Version) {
        let result = self.header(version.header());
        debug_assert!(result.is_ok());
    }
}
