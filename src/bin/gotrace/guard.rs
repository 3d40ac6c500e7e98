//! What happens when a file becomes shorter while it is mapped.
//!
//! Touching a page of a map that its file no longer has raises `SIGBUS`, which kills a process
//! unprepared for it. Here a handler puts an empty page in its place and counts it. What reads on finds
//! zeros, which are no trace and no arena; and whoever reads can ask afterwards whether that is why.

use super::output::{Failure, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A file is watched for as long as this lives.
#[must_use]
pub struct Watched {
    path: PathBuf,
    /// Keeps the map's file open, so that its place is nobody else's.
    _file: File,
    #[cfg(unix)]
    range: Option<Range>,
}

/// Files that became shorter.
static SHORTER: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
/// Those that are watched, by the slot of their range.
static WATCHED: Mutex<Vec<(usize, PathBuf)>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches a file that is mapped at this place.
pub fn watch(path: &Path, file: File, map: &[u8]) -> Watched {
    #[cfg(unix)]
    let range = Range::watch(map);
    #[cfg(unix)]
    if let Some(range) = &range {
        lock(&WATCHED).push((range.slot(), path.to_owned()));
    }
    #[cfg(not(unix))]
    let _ = map;
    Watched {
        path: path.to_owned(),
        _file: file,
        #[cfg(unix)]
        range,
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(range) = &self.range {
            if range.faults() > 0 {
                lock(&SHORTER).push(std::mem::take(&mut self.path));
            }
            lock(&WATCHED).retain(|(slot, _)| *slot != range.slot());
        }
    }
}

/// Whether this file was found shorter than it was when it was mapped.
pub fn is_shorter(path: &Path) -> bool {
    #[cfg(unix)]
    for (slot, watched) in lock(&WATCHED).iter() {
        if watched == path && signal::faults(*slot) > 0 {
            return true;
        }
    }
    lock(&SHORTER).iter().any(|shorter| shorter == path)
}

/// What is wrong with one that was.
pub const SHORTER_FILE: &str = "the file became shorter while it was being read";

/// The result of a command, which cannot be good if it was made of a file that became shorter.
pub fn verdict(result: Result) -> Result {
    result?;
    match lock(&SHORTER).first() {
        Some(path) => Err(Failure::file(path, SHORTER_FILE)),
        None => Ok(()),
    }
}

#[cfg(unix)]
pub use signal::Range;

#[cfg(unix)]
mod signal {
    use std::sync::Once;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A part of memory into which a file is mapped; it is watched for as long as this lives.
    #[must_use]
    pub struct Range(usize);

    struct Slot {
        /// 0 while it is free.
        start: AtomicUsize,
        end: AtomicUsize,
        faults: AtomicUsize,
    }

    /// As many as there are: a handler may take no memory. One more map is not watched.
    static SLOTS: [Slot; 64] = [const {
        Slot {
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            faults: AtomicUsize::new(0),
        }
    }; 64];

    static PAGE: AtomicUsize = AtomicUsize::new(0);

    impl Range {
        /// Watches a map; `None` if there are too many or the handler cannot be had, and then the
        /// signal ends the process as before.
        pub fn watch(map: &[u8]) -> Option<Range> {
            install();
            let start = map.as_ptr().addr();
            if map.is_empty() || PAGE.load(Ordering::Relaxed) == 0 {
                return None;
            }
            for (at, slot) in SLOTS.iter().enumerate() {
                let taken =
                    slot.start
                        .compare_exchange(0, start, Ordering::AcqRel, Ordering::Relaxed);
                if taken.is_ok() {
                    slot.faults.store(0, Ordering::Release);
                    slot.end.store(start + map.len(), Ordering::Release);
                    return Some(Range(at));
                }
            }
            None
        }

        pub fn slot(&self) -> usize {
            self.0
        }

        /// How many of its pages were touched that the file did not have.
        pub fn faults(&self) -> usize {
            faults(self.0)
        }
    }

    impl Drop for Range {
        fn drop(&mut self) {
            let slot = &SLOTS[self.0];
            slot.end.store(0, Ordering::Release);
            slot.start.store(0, Ordering::Release);
        }
    }

    pub fn faults(slot: usize) -> usize {
        SLOTS[slot].faults.load(Ordering::Acquire)
    }

    /// Installs the handler, once. Where that fails, the process stays as it was.
    ///
    /// Not through `signal-hook`, which runs the handler of Rust's runtime before, and that one gives
    /// the signal its default action back: the second fault would be the end.
    fn install() {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            // SAFETY: these calls read and write nothing but what is given here. The handler does
            // what may be done in one: it reads atomics and makes system calls.
            #[allow(unsafe_code)]
            unsafe {
                let page = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).unwrap_or(0);
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = handle as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigemptyset(&mut action.sa_mask);
                if libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut()) == 0 {
                    PAGE.store(page, Ordering::Relaxed);
                }
            }
        });
    }

    /// Puts an empty page where a file has none any more; after that, the store or load that failed is
    /// done again. A fault anywhere else has its default action when it comes again.
    extern "C" fn handle(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        let size = PAGE.load(Ordering::Relaxed);
        // SAFETY: the kernel gives a valid pointer to a handler with `SA_SIGINFO`.
        #[allow(unsafe_code)]
        let at = unsafe { (*info).si_addr() }.addr();
        for slot in &SLOTS {
            let (start, end) = (
                slot.start.load(Ordering::Acquire),
                slot.end.load(Ordering::Acquire),
            );
            if !(start..end).contains(&at) {
                continue;
            }
            let page = std::ptr::with_exposed_provenance_mut(at / size * size);
            // SAFETY: the page is one of a map that lives as long as its range is watched, and has no
            // memory behind it: nothing that Rust knows of is replaced by this.
            #[allow(unsafe_code)]
            let mapped = unsafe {
                libc::mmap(
                    page,
                    size,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                    -1,
                    0,
                )
            };
            if mapped != libc::MAP_FAILED {
                slot.faults.fetch_add(1, Ordering::AcqRel);
                return;
            }
        }
        // SAFETY: as when it was installed.
        #[allow(unsafe_code)]
        unsafe {
            libc::signal(libc::SIGBUS, libc::SIG_DFL);
        }
    }
}
