//! A recorder that threads share: one records, any of them may ask for a snapshot.

use super::{ArenaError, FlightRecorder, FlightRecorderConfig, Status, arena_size_for};
use crate::error::Error;
use crate::locks::{Mutex, lock, try_lock};
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
/// the last one that came whole.
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
///     recorder.write_to(&mut std::io::sink()).expect("it is started");
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
        match &mut *lock(&self.recording) {
            Some(recorder) if self.enabled() => Ok(f(recorder)),
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
    /// may serve both, and nothing was written here; those of the writer; no memory for the copy.
    pub fn write_to(&self, mut writer: impl Write) -> Result<u64, SharedError> {
        let Some(_writing) = try_lock(&self.writing) else {
            return Err(if self.enabled() {
                SharedError::SnapshotActive
            } else {
                SharedError::NotStarted
            });
        };
        let copy = self.copy()?;
        writer.write_all(&copy)?;
        writer.flush()?;
        Ok(crate::num::wide(copy.len()))
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
