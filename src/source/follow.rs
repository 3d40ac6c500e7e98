//! Files that are read while another process writes them.

use crate::num;
use crate::wire::HEADER_LEN;
use alloc::boxed::Box;
use alloc::vec::Vec;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
#[cfg(unix)]
use std::path::Path;

/// How much is kept of the beginning of a file, to know it again: the header of the first batch, with
/// its time, is in it.
const FRONT: usize = 64;

/// Gives the file that has taken the place of this one, if one has.
type Successor<R> = Box<dyn FnMut(&R) -> io::Result<Option<R>> + Send>;

/// A file that may be written anew, or be replaced by another.
pub(super) struct Followed<R> {
    /// Its beginning, behind the trace's header.
    front: Vec<u8>,
    read_front: fn(&R) -> io::Result<Vec<u8>>,
    rewind: fn(&R) -> io::Result<()>,
    /// For one that is followed by its name.
    successor: Option<Successor<R>>,
    /// The file that is read next, when nothing more came of the one before.
    next: Option<R>,
    /// That one is read now, and has not begun.
    replaced: bool,
}

impl<R> Followed<R> {
    /// Whether another trace is written in the file than the one whose beginning is remembered.
    pub(super) fn is_another(&self, reader: &R) -> io::Result<bool> {
        Ok(!self.front.is_empty() && !(self.read_front)(reader)?.starts_with(&self.front))
    }

    pub(super) fn rewind(&self, reader: &R) -> io::Result<()> {
        (self.rewind)(reader)
    }

    /// Remembers how a trace begins, if that is not known.
    pub(super) fn remember(&mut self, bytes: &[u8]) {
        if self.front.is_empty() {
            let front = bytes.get(..FRONT).unwrap_or(bytes);
            self.front.extend_from_slice(front);
        }
    }

    /// As [`remember`](Self::remember), what the file has now.
    pub(super) fn remember_start(&mut self, reader: &R) -> io::Result<()> {
        if self.front.is_empty() {
            self.front = (self.read_front)(reader)?;
        }
        Ok(())
    }

    /// The file has another beginning.
    pub(super) fn forget(&mut self) {
        self.front.clear();
    }

    /// Called where the file ends: says whether it will not grow, because another has its name. That is
    /// found at one call; only at the next one, when what was written in between was read, the other
    /// takes the reader's place, unless the source is for one trace `only`.
    pub(super) fn take_successor(&mut self, reader: &mut R, only: bool) -> io::Result<bool> {
        if let Some(next) = self.next.take() {
            if !only {
                *reader = next;
                self.replaced = true;
            }
            return Ok(true);
        }
        if let Some(successor) = &mut self.successor {
            self.next = successor(reader)?;
        }
        Ok(false)
    }

    /// Whether the reader was replaced; it is asked once.
    pub(super) fn has_successor(&mut self) -> bool {
        let is_next = core::mem::take(&mut self.replaced);
        if is_next {
            self.forget();
        }
        is_next
    }
}

impl Followed<File> {
    /// A file of which no name is known.
    pub(super) fn file() -> Followed<File> {
        Followed {
            front: Vec::new(),
            read_front,
            rewind: |mut file| file.rewind(),
            successor: None,
            next: None,
            replaced: false,
        }
    }

    /// The file with this name.
    #[cfg(unix)]
    pub(super) fn path(path: &Path) -> Followed<File> {
        let path = path.to_path_buf();
        Followed {
            successor: Some(Box::new(move |file| successor(file, &path))),
            ..Followed::file()
        }
    }
}

/// The file with this name, if it is a regular one and not the one that is read.
#[cfg(unix)]
fn successor(file: &File, path: &Path) -> io::Result<Option<File>> {
    use std::os::unix::fs::MetadataExt as _;
    let before = file.metadata()?;
    let is_next = |now: &std::fs::Metadata| {
        now.is_file() && (now.dev(), now.ino()) != (before.dev(), before.ino())
    };
    let opened = match path.metadata() {
        Ok(now) if is_next(&now) => File::open(path).map(Some),
        Ok(_) => Ok(None),
        Err(error) => Err(error),
    };
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened,
    }
}

/// What the file has behind the trace's header, as much as is remembered.
fn read_front(mut file: &File) -> io::Result<Vec<u8>> {
    let mut front = Vec::with_capacity(FRONT);
    let place = file.stream_position()?;
    file.seek(SeekFrom::Start(num::wide(HEADER_LEN)))?;
    let read = file.take(num::wide(FRONT)).read_to_end(&mut front);
    file.seek(SeekFrom::Start(place))?;
    read.map(|_| front)
}
