//! Opening traces: files by map, everything else by reading; compressed ones as what they hold.

use crate::guard;
use crate::output::{Failure, Result, is_stdin, report};
use crate::progress::Progress;
use gotrace::mmap::MappedFile;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A trace, or a text, in memory.
pub struct Input {
    bytes: Bytes,
    /// What went wrong after the bytes that there are.
    damage: Option<Failure>,
}

enum Bytes {
    Mapped(
        MappedFile,
        #[expect(dead_code, reason = "held")] guard::Watched,
    ),
    Read(Vec<u8>),
}

/// A format of compression, recognised by how it begins.
enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    fn of(bytes: &[u8]) -> Option<Compression> {
        match bytes {
            [0x1f, 0x8b, ..] => Some(Compression::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Compression::Zstd),
            // A frame that is to be skipped; data follows it.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
            _ => None,
        }
    }
}

/// What [`Input::open_stream`] opened.
pub enum Opened {
    Memory(Input),
    /// Something that is not a file, whose bytes come as they come.
    Stream(Box<dyn Read>),
}

impl Input {
    /// Opens a file as [`open`](Input::open) does, but leaves what is neither a file nor compressed
    /// to be read as it comes.
    pub fn open_stream(path: &Path, progress: &Progress) -> Result<Opened> {
        let failed = |e| Failure::file(path, e);
        let mut reader: Box<dyn Read> = if is_stdin(path) {
            Box::new(io::stdin())
        } else {
            let file = File::open(path).map_err(failed)?;
            if file.metadata().map_err(failed)?.is_file() {
                return Ok(Opened::Memory(Input::open(path, progress)?));
            }
            Box::new(file)
        };
        let mut head = Vec::new();
        reader
            .by_ref()
            .take(4)
            .read_to_end(&mut head)
            .map_err(failed)?;
        if Compression::of(&head).is_none() {
            return Ok(Opened::Stream(Box::new(
                io::Cursor::new(head).chain(reader),
            )));
        }
        reader.read_to_end(&mut head).map_err(failed)?;
        progress.expect(head.len());
        Ok(Opened::Memory(Input::inside(
            path,
            Bytes::Read(head),
            progress,
        )))
    }

    /// Opens a file, or the standard input for "-".
    ///
    /// A compressed one that is damaged still gives what stands before the damage, and the error
    /// when it is [finished](Input::finish).
    pub fn open(path: &Path, progress: &Progress) -> Result<Input> {
        let bytes = Bytes::open(path, progress).map_err(|e| Failure::file(path, e))?;
        Ok(Input::inside(path, bytes, progress))
    }

    /// What the bytes are, or what they hold if they are compressed.
    fn inside(path: &Path, bytes: Bytes, progress: &Progress) -> Input {
        let Some(compression) = Compression::of(bytes.slice()) else {
            return Input {
                bytes,
                damage: None,
            };
        };
        let (inside, error) = decompress(bytes.slice(), compression, progress);
        progress.expect(inside.len());
        let damage = error.map(|e| Failure::file(path, e));
        Input {
            bytes: Bytes::Read(inside),
            damage,
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.slice()
    }

    /// The result of a command that used all bytes: its own, unless something is wrong with the
    /// file beyond them, which explains why the trace ends early.
    pub fn finish(self, result: Result) -> Result {
        match (self.damage, result) {
            (None, result) => result,
            (Some(damage), Err(failure @ Failure::File { .. })) => {
                report(&failure);
                Err(damage)
            }
            (Some(_), Err(other)) => Err(other),
            (Some(damage), Ok(())) => Err(damage),
        }
    }
}

impl Bytes {
    fn open(path: &Path, progress: &Progress) -> io::Result<Bytes> {
        if is_stdin(path) {
            return read(io::stdin().lock(), progress);
        }
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return read(file, progress);
        }
        // SAFETY: a trace that is complete does not change, and those that still grow are for streams.
        // If this one does change all the same, the reader stays within the map, and the guard
        // turns a file that becomes shorter into an error.
        #[allow(unsafe_code)]
        let map = unsafe { MappedFile::new(&file)? };
        let watched = guard::watch(path, file, map.len());
        Ok(Bytes::Mapped(map, watched))
    }

    fn slice(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map, _) => map,
            Bytes::Read(bytes) => bytes,
        }
    }
}

/// Everything that a pipe or a device gives.
fn read(mut reader: impl Read, progress: &Progress) -> io::Result<Bytes> {
    const BLOCK: u64 = 1 << 20;
    let mut bytes = Vec::new();
    loop {
        let n = reader.by_ref().take(BLOCK).read_to_end(&mut bytes)?;
        if n == 0 {
            return Ok(Bytes::Read(bytes));
        }
        // They are read now, and used later.
        progress.expect(2 * n);
        progress.add(n);
    }
}

/// What a compressed file holds, up to the error if there is one.
fn decompress(
    bytes: &[u8],
    compression: Compression,
    progress: &Progress,
) -> (Vec<u8>, Option<String>) {
    let mut source = Counted {
        rest: bytes,
        progress,
    };
    let mut inside = Vec::new();
    let result = match compression {
        Compression::Gzip => flate2::bufread::MultiGzDecoder::new(io::BufReader::new(source))
            .read_to_end(&mut inside)
            .map(drop)
            .map_err(|e| format!("damaged gzip data: {e}")),
        Compression::Zstd => {
            unzstd(&mut source, &mut inside).map_err(|e| format!("damaged zstd data: {e}"))
        }
    };
    (inside, result.err())
}

/// Frame by frame: the library reads one at a time.
fn unzstd(source: &mut Counted<'_>, inside: &mut Vec<u8>) -> std::result::Result<(), String> {
    use ruzstd::decoding::StreamingDecoder;
    use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
    while !source.rest.is_empty() {
        match StreamingDecoder::new(&mut *source) {
            Ok(mut frame) => {
                frame.read_to_end(inside).map_err(|e| e.to_string())?;
            }
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let rest = source.rest.get(length..);
                source.rest = rest.ok_or("a frame is cut short")?;
            }
            Err(e) => return Err(e.to_string()),
        }
    }
    Ok(())
}

/// Bytes whose reading is progress.
struct Counted<'a> {
    rest: &'a [u8],
    progress: &'a Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.rest.read(buffer)?;
        self.progress.add(n);
        Ok(n)
    }
}
