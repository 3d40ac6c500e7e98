//! A Unix socket to listen at: who may, and what of it stays behind.
//!
//! Beside the socket is a file with `.lock` at the end of its name. Whoever has it locked listens; it
//! says which socket that one made, so that one left by a killed process is known for what it is. No
//! connection is made to find out: it would be taken for a program with a trace.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The right to listen at a path. When it is dropped, the socket is removed, if it still is the one
/// that was made.
pub struct Bound {
    path: PathBuf,
    lock: File,
    socket: Identity,
}

/// The device and the inode of a file.
type Identity = (u64, u64);

/// Makes a socket, also in the place of one that nobody listens at any more.
///
/// Errors: somebody listens there, or something else is there.
pub fn bind(path: &Path) -> io::Result<(UnixListener, Bound)> {
    let mut lock = lock(path)?;
    let mut left = String::new();
    lock.read_to_string(&mut left).ok();
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let there = path.symlink_metadata()?;
            let is_left = format!("{}:{}", there.dev(), there.ino()) == left.trim();
            if !there.file_type().is_socket() || !(is_left || is_deserted(path)) {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        result => result?,
    };
    let socket = identity(path)?;
    lock.set_len(0)?;
    lock.rewind()?;
    write!(lock, "{}:{}", socket.0, socket.1)?;
    let path = path.to_owned();
    Ok((listener, Bound { path, lock, socket }))
}

fn identity(path: &Path) -> io::Result<Identity> {
    let there = path.symlink_metadata()?;
    Ok((there.dev(), there.ino()))
}

/// Whether a socket that a process without a lock file made has nobody behind it.
fn is_deserted(path: &Path) -> bool {
    UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// The lock file, locked.
fn lock(path: &Path) -> io::Result<File> {
    let path = lock_path(path);
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let error = "another gotrace listens at this socket";
                return Err(io::Error::new(io::ErrorKind::AddrInUse, error));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The one before may have removed it between opening and locking it.
        let locked = file.metadata()?;
        if identity(&path).is_ok_and(|there| there == (locked.dev(), locked.ino())) {
            return Ok(file);
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|there| there == self.socket) {
            std::fs::remove_file(&self.path).ok();
        }
        // Before the lock goes, or it could be the next one's.
        std::fs::remove_file(lock_path(&self.path)).ok();
        self.lock.unlock().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_listens_at_a_time_and_leaves_nothing() {
        let dir = std::env::temp_dir().join(format!("gotrace-listen-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("s");
        let (first, bound) = bind(&path).unwrap();
        let error = bind(&path).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        // Nobody connected to find that out.
        first.set_nonblocking(true).unwrap();
        assert_eq!(
            first.accept().unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );

        // Another process takes the place of the socket: it is not removed.
        std::fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop((first, bound));
        assert!(path.exists() && !lock_path(&path).exists());
        // Nor does one that listens there lose its place.
        assert!(bind(&path).is_err());
        // Once it is killed, its socket is nobody's.
        drop(other);
        let (second, bound) = bind(&path).unwrap();
        // As after a kill: the lock is let go, and nothing is removed.
        bound.lock.unlock().unwrap();
        std::mem::forget(bound);
        drop(second);
        let (third, bound) = bind(&path).unwrap();
        drop((third, bound));
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
        // What is no socket stays.
        std::fs::write(&path, "mine").unwrap();
        assert!(bind(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
