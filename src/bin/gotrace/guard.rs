//! What happens when a file shrinks while it is mapped.
//!
//! Touching a page of a map that its file no longer has raises `SIGBUS`, which kills a process
//! unprepared for it. Here a handler holds the thread that touched it, and another one says what
//! happened, naming the file, and ends the process with the status of a bad trace.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The files that are mapped, each with what it takes to see whether it is still what it was.
static MAPPED: Mutex<Vec<Mapped>> = Mutex::new(Vec::new());

struct Mapped {
    id: u64,
    path: PathBuf,
    file: File,
    len: u64,
}

/// A file is watched for as long as this lives.
#[must_use]
pub struct Watched(u64);

impl Drop for Watched {
    fn drop(&mut self) {
        mapped().retain(|m| m.id != self.0);
    }
}

fn mapped() -> MutexGuard<'static, Vec<Mapped>> {
    MAPPED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches a file that is mapped with this length.
pub fn watch(path: &Path, file: File, len: usize) -> Watched {
    #[cfg(unix)]
    signal::install();
    let mut mapped = mapped();
    let id = mapped.last().map_or(0, |m| m.id.wrapping_add(1));
    mapped.push(Mapped {
        id,
        path: path.to_owned(),
        file,
        len: len as u64,
    });
    Watched(id)
}

#[cfg(unix)]
mod signal {
    use super::super::output::{Failure, report};
    use super::{Mapped, mapped};
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::sync::Once;
    use std::time::Duration;

    /// Installs the handler, once. Where that fails, the process stays as it was.
    pub fn install() {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            let _ = try_install();
        });
    }

    fn try_install() -> std::io::Result<()> {
        let (tell, told) = UnixStream::pair()?;
        std::thread::Builder::new()
            .name("mapped files".to_owned())
            .spawn(move || explain(told))?;
        // Rust's own handler runs before this one and gives the signal back its default action, so
        // that a second fault would be the end.
        let action = move || {
            let _ = (&tell).write_all(&[1]);
            // To return would be to touch the page again.
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        };
        // SAFETY: the action writes a byte to a socket and sleeps. That is system calls: it takes
        // no memory and no lock.
        #[allow(unsafe_code)]
        unsafe {
            signal_hook::low_level::register(signal_hook::consts::SIGBUS, action)?;
        }
        Ok(())
    }

    /// Waits for a fault, says what it means, and ends the process.
    fn explain(mut told: UnixStream) {
        if told.read_exact(&mut [0]).is_err() {
            return;
        }
        let mapped = mapped();
        let is_shorter = |m: &&Mapped| m.file.metadata().is_ok_and(|now| now.len() < m.len);
        let shorter: Vec<&Mapped> = mapped.iter().filter(is_shorter).collect();
        for m in &shorter {
            let error = "the file became shorter while it was being read";
            report(&Failure::file(&m.path, error));
        }
        if shorter.is_empty() {
            // The device failed, perhaps; it is not known on which file.
            for m in mapped.iter() {
                report(&Failure::file(&m.path, "reading the mapped file failed"));
            }
        }
        std::process::exit(1);
    }
}
