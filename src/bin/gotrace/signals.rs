//! Signals of the operating system as messages, for commands that follow a live trace.

use super::output::Result;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::{flag, low_level::pipe};
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::thread;

/// Sends a message at SIGUSR1, and one at SIGINT and SIGTERM. The second of those that ask to leave
/// ends the process.
pub fn listen<M: Send + 'static>(
    sender: &Sender<M>,
    snapshot: fn() -> M,
    stop: fn() -> M,
) -> Result {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&asked))?;
        flag::register(signal, Arc::clone(&asked))?;
    }
    for (signals, message) in [(&[SIGUSR1][..], snapshot), (&[SIGINT, SIGTERM], stop)] {
        let (mut told, tell) = UnixStream::pair()?;
        for signal in signals {
            pipe::register(*signal, tell.try_clone()?)?;
        }
        let sender = sender.clone();
        spawn("signals", move || {
            while told.read_exact(&mut [0]).is_ok() && sender.send(message()).is_ok() {}
        })?;
    }
    Ok(())
}

/// Starts a thread that nobody waits for.
pub fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result {
    thread::Builder::new().name(name.to_owned()).spawn(run)?;
    Ok(())
}
