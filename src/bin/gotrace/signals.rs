//! Signals of the operating system as messages, for commands that follow a live trace.

use super::output::{Failure, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::low_level::{self, pipe};
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Where the signals arrive that came since [`install`].
struct Arriving {
    snapshot: UnixStream,
    stop: UnixStream,
}

static ARRIVING: Mutex<Option<Arriving>> = Mutex::new(None);

/// How often this was asked to leave.
static STOPS: AtomicU32 = AtomicU32::new(0);

/// Those that ask to leave. SIGHUP does not where it was ignored from the start, as `nohup` wants it.
const STOP: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Catches the signals, before anything else is done: one that comes earlier than this kills the
/// process. They are kept until [`listen`] hands them over.
///
/// A size limit of files (`ulimit -f`) is an error of the write then, and no signal that kills.
pub fn install() -> Result {
    let failed = |error: io::Error| Failure::system("catching signals", error);
    let (told, tell) = UnixStream::pair().map_err(failed)?;
    pipe::register(SIGUSR1, tell).map_err(failed)?;
    let (stop, tell) = UnixStream::pair().map_err(failed)?;
    for signal in STOP {
        if signal == SIGHUP && is_ignored(signal) {
            continue;
        }
        let tell = tell.try_clone().map_err(failed)?;
        pipe::register(signal, tell).map_err(failed)?;
    }
    // SAFETY: the action does nothing.
    #[allow(unsafe_code)]
    unsafe {
        low_level::register(SIGXFSZ, || {}).map_err(failed)?;
    }
    let arriving = Arriving {
        snapshot: told,
        stop,
    };
    *ARRIVING.lock().unwrap_or_else(PoisonError::into_inner) = Some(arriving);
    Ok(())
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: with no new action, the call only writes the present one to where it is told to.
    #[allow(unsafe_code)]
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut now) == 0
            && now.sa_sigaction == libc::SIG_IGN
    }
}

/// Sends a message at SIGUSR1, and one each time that this is asked to leave (SIGHUP, SIGINT, SIGQUIT,
/// SIGTERM). The third ends the process: whatever it does then is stuck.
pub fn listen<M: Send + 'static>(
    sender: &Sender<M>,
    snapshot: fn() -> M,
    stop: fn() -> M,
) -> Result {
    let mut arriving = ARRIVING.lock().unwrap_or_else(PoisonError::into_inner);
    if arriving.is_none() {
        drop(arriving);
        install()?;
        arriving = ARRIVING.lock().unwrap_or_else(PoisonError::into_inner);
    }
    let Some(arriving) = arriving.take() else {
        return Ok(());
    };
    let mut told = arriving.snapshot;
    let snapshots = sender.clone();
    spawn("snapshots", move || {
        while told.read_exact(&mut [0]).is_ok() && snapshots.send(snapshot()).is_ok() {}
    })?;
    let mut told = arriving.stop;
    let sender = sender.clone();
    spawn("signals", move || {
        while told.read_exact(&mut [0]).is_ok() {
            if STOPS.fetch_add(1, Ordering::AcqRel) >= 2 {
                std::process::exit(1);
            }
            // That nobody takes it any more is no reason not to count the next.
            sender.send(stop()).ok();
        }
    })
}

/// Whether this was asked a second time to leave: nothing is to be waited for any more.
pub fn is_hurried() -> bool {
    STOPS.load(Ordering::Acquire) >= 2
}

/// Waits until this is so, for at most this long, or until there is a hurry. Says whether it is so.
pub fn wait_until(time: Duration, mut done: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if done() {
            return true;
        }
        if is_hurried() || begun.elapsed() >= time {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Starts a thread that nobody waits for.
pub fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread
        .map(drop)
        .map_err(|error| Failure::system("starting a thread", error))
}
