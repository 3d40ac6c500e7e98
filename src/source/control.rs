//! The interruption of a source that waits.

use super::{AdvanceUnsupported, SourceControl, SourceError};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// A flag that is raised once, and that can be waited for.
#[derive(Default)]
pub(super) struct Interrupt {
    raised: Mutex<bool>,
    condvar: Condvar,
    /// Becomes readable at its other end when the flag is raised.
    #[cfg(unix)]
    wake: OnceLock<std::io::PipeWriter>,
}

impl Interrupt {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Errors: [`SourceError::Interrupted`] if the flag is up.
    pub(super) fn check(&self) -> Result<(), SourceError> {
        match *self.lock() {
            true => Err(SourceError::Interrupted),
            false => Ok(()),
        }
    }

    /// Waits so long. Errors: as [`check`](Self::check), as soon as it is so.
    pub(super) fn wait(&self, time: Duration) -> Result<(), SourceError> {
        let waited = self
            .condvar
            .wait_timeout_while(self.lock(), time, |raised| !*raised);
        match *waited.unwrap_or_else(PoisonError::into_inner).0 {
            true => Err(SourceError::Interrupted),
            false => Ok(()),
        }
    }

    /// Waits until this moment. Errors: as [`check`](Self::check).
    pub(super) fn wait_until(&self, moment: Instant) -> Result<(), SourceError> {
        match moment.checked_duration_since(Instant::now()) {
            Some(time) if !time.is_zero() => self.wait(time),
            _ => self.check(),
        }
    }

    /// What to wake when the flag is raised.
    #[cfg(unix)]
    pub(super) fn wakes(&self, writer: std::io::PipeWriter) {
        // There is one source, which calls this once.
        let _ = self.wake.set(writer);
    }
}

impl SourceControl for Interrupt {
    fn advance(&self) -> Result<(), AdvanceUnsupported> {
        Err(AdvanceUnsupported)
    }

    fn interrupt(&self) {
        *self.lock() = true;
        self.condvar.notify_all();
        #[cfg(unix)]
        if let Some(mut wake) = self.wake.get() {
            use std::io::Write as _;
            // It has room: nothing was written before, or it woke already.
            let _ = wake.write(&[1]);
        }
    }
}
