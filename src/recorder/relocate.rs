//! Moving to another arena while recording goes on.

use super::recover::Recovered;
use super::{ArenaError, FlightRecorder};
use crate::num;

impl<A: AsRef<[u8]> + AsMut<[u8]>> FlightRecorder<A> {
    /// Whether all that is kept, and the generation in progress, still is what was recorded: compares it
    /// with its checksums, which reads it once. To be asked before a snapshot is taken of an arena that
    /// others can write to, such as a mapped file; if it is not so, [`relocate`](Self::relocate) leaves
    /// out what is not.
    pub fn is_sound(&self) -> bool {
        Recovered::examine(self.arena.as_ref(), self.core.clone()).is_whole()
    }

    /// Goes on in another arena, which must be as long as this one; gives this one back.
    ///
    /// Everything is copied, and read once: what does not check out any more (a file behind the arena
    /// was cut short or written over) is not kept, and counted as
    /// [damaged](super::LossReason::Damaged). The generation in progress is kept only if everything
    /// checks out; recording goes on with the one after it otherwise.
    ///
    /// Errors: [`TooSmall`](ArenaError::TooSmall), and nothing has changed then.
    pub fn relocate(&mut self, mut arena: A) -> Result<A, ArenaError> {
        let len = num::index(self.core.state.arena_len.get());
        let new = match arena.as_mut().get_mut(..len) {
            Some(new) => new,
            None => return Err(ArenaError::TooSmall { smallest: len }),
        };
        let old = self.arena.as_ref();
        let common = old.len().min(len);
        if let (Some(to), Some(from)) = (new.get_mut(..common), old.get(..common)) {
            to.copy_from_slice(from);
        }
        let mut core = self.core.clone();
        let recovered = Recovered::examine(new, core.clone());
        if !recovered.is_whole() {
            let (first, count) = recovered.newest();
            core.keep(new, first, count);
            self.intake.lose_track();
        }
        core.publish_all(new);
        self.core = core;
        Ok(core::mem::replace(&mut self.arena, arena))
    }
}
