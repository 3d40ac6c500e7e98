//! A recorder that threads share: one records, any of them may ask for a snapshot.

use super::{ArenaError, FlightRecorder, FlightRecorderConfig, Status, arena_size_for};
use crate::error::Error;
use crate::locks::{Condvar, Mutex, MutexGuard, lock, try_lock};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::io::{self, Write};

/// A flight recorder that threads share (`trace.FlightRecorder`), with the rules of Go's: it is
/// started and stopped, any number of times; one snapshot is written at a time.
///
/// - Recording never waits for a writer. [`write_to`](SharedRecorder::write_to) copies the window
///   first, and recording waits only for that copy: about a millisecond for each 10 MB.
/// - A snapshot that is being written is never torn: it is that copy.
/// - Memory: the arena while it is started, and while a snapshot is written a copy of its window,
///   which is never larger. So twice the arena at most.
///
/// Unlike Go's, it cannot make the traced program end its current generation: a snapshot ends with
/// the last one that came whole. What happened just now is in the next one, which
/// [`write_after`](SharedRecorder::write_after) waits for.
///
/// ```
/// use gotrace::recorder::{FlightRecorderConfig, SharedError, SharedRecorder};
///
/// let recorder = SharedRecorder::new(FlightRecorderConfig::default());
/// recorder.start()?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         let trace = include_bytes!("../../tests/fixtures/annotate-go1.27.trace");
///         for piece in trace.chunks(500) {
///             recorder.write(piece).expect("a trace");
///         }
///     });
///     // Meanwhile, here, when something goes wrong:
///     let second = std::time::Duration::from_secs(1);
///     recorder.write_after(&mut std::io::sink(), second).expect("a generation");
/// });
/// recorder.stop();
/// let result = recorder.write_to(&mut std::io::sink());
/// assert!(matches!(result, Err(SharedError::NotStarted)));
/// # Ok::<(), SharedError>(())
/// ```
pub struct SharedRecorder<A = Vec<u8>> {
    /// Held while starting and stopping. Locks are taken in the order of these fields.
    control: Mutex<Open<A>>,
    /// Held while a snapshot is written.
    writing: Mutex<()>,
    /// Held for each piece that is recorded, and while a window is copied.
    recording: Mutex<Option<FlightRecorder<A>>>,
    /// Notified when a generation is complete, and when recording stops.
    completed: Condvar,
    /// Never held for long.
    settings: Mutex<Settings>,
}

struct Settings {
    enabled: bool,
    /// Of the next start.
    config: FlightRecorderConfig,
}

/// Makes the recorder of a start.
type Open<A> =
    Box<dyn FnMut(FlightRecorderConfig) -> Result<FlightRecorder<A>, SharedError> + Send>;

impl SharedRecorder<Vec<u8>> {
    /// A stopped recorder (`trace.NewFlightRecorder`). Each start allocates an arena of
    /// [`arena_size_for`] its `max_bytes`, each stop frees it.
    pub fn new(config: FlightRecorderConfig) -> Self {
        Self::with_arena(config, |config| {
            let len = arena_size_for(config.max_bytes);
            let mut arena = Vec::new();
            arena
                .try_reserve_exact(len)
                .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
            arena.resize(len, 0);
            Ok(FlightRecorder::new(arena, config)?)
        })
    }
}

impl<A: AsRef<[u8]> + AsMut<[u8]> + Send> SharedRecorder<A> {
    /// A stopped recorder that records, from each start on, into what `open` gives: a recorder in an
    /// arena of any kind, new or [resumed](FlightRecorder::resume). The stop drops it.
    pub fn with_arena(
        config: FlightRecorderConfig,
        open: impl FnMut(FlightRecorderConfig) -> Result<FlightRecorder<A>, SharedError>
        + Send
        + 'static,
    ) -> Self {
        let open: Open<A> = Box::new(open);
        SharedRecorder {
            control: Mutex::new(open),
            writing: Mutex::new(()),
            recording: Mutex::new(None),
            completed: Condvar::new(),
            settings: Mutex::new(Settings {
                enabled: false,
                config,
            }),
        }
    }

    /// Starts (`FlightRecorder.Start`): waits for a trace, which [`write`](SharedRecorder::write)
    /// begins with its header. Waits for a stop that is under way.
    ///
    /// Errors: [`AlreadyStarted`](SharedError::AlreadyStarted), or that no arena can be had.
    pub fn start(&self) -> Result<(), SharedError> {
        let mut open = lock(&self.control);
        if self.enabled() {
            return Err(SharedError::AlreadyStarted);
        }
        let config = lock(&self.settings).config;
        let recorder = open(config)?;
        *lock(&self.recording) = Some(recorder);
        lock(&self.settings).enabled = true;
        Ok(())
    }

    /// Stops, and drops the window (`FlightRecorder.Stop`). Waits for a snapshot that is being
    /// written. Does nothing if it is stopped.
    pub fn stop(&self) {
        let _control = lock(&self.control);
        lock(&self.settings).enabled = false;
        let _writing = lock(&self.writing);
        let recorder = lock(&self.recording).take();
        self.completed.notify_all();
        drop(recorder);
    }

    /// Whether it was started and not stopped since (`FlightRecorder.Enabled`).
    pub fn enabled(&self) -> bool {
        lock(&self.settings).enabled
    }

    /// Sets the bytes up to which generations are kept, from the next start on (`SetSize` of
    /// `golang.org/x/exp/trace`): [`max_bytes`](FlightRecorderConfig::max_bytes).
    pub fn set_size(&self, max_bytes: usize) {
        lock(&self.settings).config.max_bytes = max_bytes;
    }

    /// Sets the age up to which generations are kept, from the next start on (`SetPeriod` of
    /// `golang.org/x/exp/trace`): [`min_age`](FlightRecorderConfig::min_age).
    pub fn set_period(&self, min_age: Duration) {
        lock(&self.settings).config.min_age = min_age;
    }

    /// Records any piece of a trace: see [`FlightRecorder::write`].
    ///
    /// Errors: [`NotStarted`](SharedError::NotStarted); what is wrong with the trace.
    pub fn write(&self, piece: &[u8]) -> Result<(), SharedError> {
        self.with(|recorder| recorder.write(piece))?
            .map_err(SharedError::Trace)
    }

    /// Does something with the recorder, which waits for it.
    ///
    /// Errors: [`NotStarted`](SharedError::NotStarted).
    pub fn with<R>(&self, f: impl FnOnce(&mut FlightRecorder<A>) -> R) -> Result<R, SharedError> {
        let mut recording = lock(&self.recording);
        let before = self.complete(&recording)?;
        let Some(recorder) = &mut *recording else {
            return Err(SharedError::NotStarted);
        };
        let result = f(recorder);
        let now = self.complete(&recording);
        drop(recording);
        if now.is_ok_and(|now| now != before) {
            self.completed.notify_all();
        }
        Ok(result)
    }

    /// How many generations were completed.
    fn complete(
        &self,
        recording: &MutexGuard<'_, Option<FlightRecorder<A>>>,
    ) -> Result<u64, SharedError> {
        match &**recording {
            Some(recorder) if self.enabled() => Ok(recorder.core.state.recorded.generations.get()),
            _ => Err(SharedError::NotStarted),
        }
    }

    /// What the recorder holds, has recorded and has lost since the start.
    ///
    /// Errors: [`NotStarted`](SharedError::NotStarted).
    pub fn status(&self) -> Result<Status, SharedError> {
        self.with(|recorder| recorder.status())
    }

    /// Writes a snapshot (`FlightRecorder.WriteTo`), and says how many bytes it has. What is
    /// recorded meanwhile is not in it.
    ///
    /// Errors: [`NotStarted`](SharedError::NotStarted);
    /// [`SnapshotActive`](SharedError::SnapshotActive) while another thread writes one, which then
    /// may serve both, and nothing was written here; [`Empty`](SharedError::Empty) before the first
    /// generation is complete; those of the writer; no memory for the copy.
    pub fn write_to(&self, mut writer: impl Write) -> Result<u64, SharedError> {
        let Some(_writing) = try_lock(&self.writing) else {
            return Err(if self.enabled() {
                SharedError::SnapshotActive
            } else {
                SharedError::NotStarted
            });
        };
        let copy = self.copy()?;
        if copy.len() <= crate::wire::HEADER_LEN {
            return Err(SharedError::Empty);
        }
        writer.write_all(&copy)?;
        writer.flush()?;
        Ok(crate::num::wide(copy.len()))
    }

    /// Writes a snapshot that has in it what happens now: waits until the generation in progress is
    /// complete, but for no longer than `patience`, and writes then what
    /// [`write_to`](SharedRecorder::write_to) does. With Go's default that takes about a second; a program
    /// that writes its trace to a [multiplexer's](crate::mux::TraceMultiplexer) source that can be asked
    /// to [advance](crate::source::SourceControl::advance) should be asked to before.
    ///
    /// Errors: as for [`write_to`](SharedRecorder::write_to).
    #[cfg(not(loom))]
    pub fn write_after(&self, writer: impl Write, patience: Duration) -> Result<u64, SharedError> {
        self.wait_for_generation(patience)?;
        self.write_to(writer)
    }

    /// Waits until the generation in progress is complete; says whether it came in time.
    ///
    /// What Go writes of a generation comes late, at its end for the most part. So that one which is
    /// complete less than a tenth of a second after the call may have ended before it: then this waits
    /// for the next as well.
    ///
    /// Errors: [`NotStarted`](SharedError::NotStarted), also when it is stopped meanwhile.
    #[cfg(not(loom))]
    pub fn wait_for_generation(&self, patience: Duration) -> Result<bool, SharedError> {
        const LATE: Duration = Duration::from_millis(100);
        let asked = std::time::Instant::now();
        let mut recording = lock(&self.recording);
        let mut before = self.complete(&recording)?;
        loop {
            let now = self.complete(&recording)?;
            if now != before {
                if asked.elapsed() >= LATE {
                    return Ok(true);
                }
                before = now;
            }
            let left = patience.saturating_sub(asked.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            let waited = self.completed.wait_timeout(recording, left);
            recording = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// The window as it is now.
    fn copy(&self) -> Result<Vec<u8>, SharedError> {
        let mut copy = Vec::new();
        loop {
            let missing = self.with(|recorder| {
                let snapshot = recorder.snapshot();
                let len = crate::num::narrow(snapshot.len());
                if copy.capacity() >= len {
                    for piece in snapshot.pieces() {
                        copy.extend_from_slice(piece);
                    }
                    return None;
                }
                // Memory is had without the lock; the window may have grown then, by less than is
                // had in excess, or by more: never beyond the arena.
                let more = len.saturating_add(len.wrapping_div(4));
                Some(more.min(recorder.arena().len()).max(len))
            })?;
            let Some(missing) = missing else {
                return Ok(copy);
            };
            // What was had before goes first: there is never more than one copy.
            copy = Vec::new();
            copy.try_reserve_exact(missing)
                .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        }
    }
}

impl<A> fmt::Debug for SharedRecorder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRecorder")
            .field("enabled", &lock(&self.settings).enabled)
            .finish_non_exhaustive()
    }
}

/// Why a [`SharedRecorder`] does not do what it is asked to.
#[derive(Debug)]
#[non_exhaustive]
pub enum SharedError {
    /// It is started.
    AlreadyStarted,
    /// It is not started.
    NotStarted,
    /// Another snapshot is being written.
    SnapshotActive,
    /// No generation is complete yet: there is nothing to write.
    Empty,
    /// What was to be recorded is wrong.
    Trace(Error),
    /// The arena cannot be recorded into.
    Arena(ArenaError),
    /// The snapshot could not be written, or memory could not be had.
    Io(io::Error),
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SharedError::AlreadyStarted => f.write_str("the flight recorder is started already"),
            SharedError::NotStarted => f.write_str("the flight recorder is not started"),
            SharedError::SnapshotActive => f.write_str("another snapshot is being written"),
            SharedError::Empty => f.write_str("no generation is complete yet"),
            SharedError::Trace(error) => error.fmt(f),
            SharedError::Arena(error) => error.fmt(f),
            SharedError::Io(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SharedError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            SharedError::Trace(error) => Some(error),
            SharedError::Arena(error) => Some(error),
            SharedError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Error> for SharedError {
    fn from(error: Error) -> Self {
        SharedError::Trace(error)
    }
}

impl From<ArenaError> for SharedError {
    fn from(error: ArenaError) -> Self {
        SharedError::Arena(error)
    }
}

impl From<io::Error> for SharedError {
    fn from(error: io::Error) -> Self {
        SharedError::Io(error)
    }
}
