//! Opening traces and texts: the one way for all commands that read them.
//!
//! What is a file and not compressed can be mapped, for those that go back and forth in it;
//! everything else is a stream.

use super::guard;
use super::output::{Failure, Result, is_stdin};
use super::progress::{Counter, Progress};
use gotrace::StreamReader;
use gotrace::mmap::MappedFile;
use gotrace::source::open::{Compression, DEFAULT_WINDOW, Input};
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::Path;

/// What a file, a pipe or a device holds, decompressed.
pub type Stream = Input<Counted>;

/// A file that is mapped.
pub struct Mapped {
    map: MappedFile,
    /// Where the trace begins.
    at: usize,
    #[expect(dead_code, reason = "held")]
    watched: guard::Watched,
}

impl Mapped {
    pub fn bytes(&self) -> &[u8] {
        self.map.get(self.at..).unwrap_or(&[])
    }
}

// No documentation of the struct itself: it would take the place of the command's.
#[derive(clap::Args)]
pub struct Memory {
    /// Memory that a single thing may take which must be held whole: a generation of a trace that
    /// is not mapped, or all of one of before Go 1.22 (1GiB without this option), the window of a
    /// zstd frame (128MiB), a batch of a text (64MiB)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_memory: Option<usize>,

    /// Read the trace that begins at this byte of the file, or of what a compressed one holds. All
    /// offsets count from there
    #[arg(
        long,
        value_name = "BYTE",
        default_value_t = 0,
        hide_default_value = true
    )]
    at: u64,
}

impl Memory {
    /// The limit, or what it is without the option.
    pub fn limit(&self, default: u64) -> u64 {
        self.max_memory.map_or(default, |bytes| bytes as u64)
    }

    /// The byte at which the trace begins, from which on its offsets count.
    pub const fn begins_at(&self) -> u64 {
        self.at
    }

    /// Opens a file, or the standard input for "-", as a stream. Its reading is progress.
    pub fn open(&self, path: &Path, progress: &Progress) -> Result<Stream> {
        let failed = |e| Failure::file(path, e);
        let source = Counted::open(path, progress).map_err(failed)?;
        let input = Input::new(source).map_err(failed)?;
        let mut input = input.with_window_limit(self.limit(DEFAULT_WINDOW));
        let skipped = io::copy(&mut input.by_ref().take(self.at), &mut io::sink());
        if skipped.map_err(|error| Failure::trace(path, error))? < self.at {
            return Err(self.too_short(path));
        }
        Ok(input)
    }

    /// Maps the trace, if it can be mapped: a file that is not compressed.
    pub fn map(&self, path: &Path) -> Result<Option<Mapped>> {
        let Some(mapped) = map(path)? else {
            return Ok(None);
        };
        let at = usize::try_from(self.at).unwrap_or(usize::MAX);
        if at > mapped.map.len() {
            return Err(self.too_short(path));
        }
        Ok(Some(Mapped { at, ..mapped }))
    }

    fn too_short(&self, path: &Path) -> Failure {
        Failure::file(path, format_args!("there is no byte {} in it", self.at))
    }

    /// All of a trace, from its input: mapped if it can be.
    pub fn whole(&self, path: &Path, input: Stream) -> Result<Whole> {
        if let Some(mapped) = self.map(path)? {
            return Ok(Whole::Mapped(mapped));
        }
        let limit = self.limit(gotrace::reader::DEFAULT_GENERATION_LIMIT);
        let bytes = input.read_trace(limit);
        bytes
            .map(Whole::Read)
            .map_err(|error| Failure::trace(path, error))
    }

    /// Opens the events of a trace as a stream.
    pub fn open_events(&self, path: &Path, progress: &Progress) -> Result<StreamReader<Stream>> {
        let input = self.open(path, progress)?;
        let reader = StreamReader::new(input).map_err(|e| Failure::trace(path, e))?;
        let limit = self.limit(gotrace::reader::DEFAULT_GENERATION_LIMIT);
        Ok(reader.with_generation_limit(limit))
    }
}

/// A trace of which all is at hand, as those of before Go 1.22 must be.
pub enum Whole {
    Mapped(Mapped),
    Read(Vec<u8>),
}

impl Whole {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Whole::Mapped(mapped) => mapped.bytes(),
            Whole::Read(bytes) => bytes,
        }
    }

    /// So many bytes more are done: progress, unless reading them was.
    pub fn count(&self, bytes: u64, progress: &Progress) {
        if let Whole::Mapped(_) = self {
            progress.add(usize::try_from(bytes).unwrap_or(0));
        }
    }
}

/// Maps a file, if it is one and not compressed. Its reading is for others to count.
fn map(path: &Path) -> Result<Option<Mapped>> {
    if is_stdin(path) {
        return Ok(None);
    }
    let map = || -> io::Result<Option<Mapped>> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        // SAFETY: a trace that is complete does not change, and those that still grow are for streams.
        // If this one does change all the same, the reader stays within the map, and the guard
        // turns a file that becomes shorter into an error.
        #[allow(unsafe_code)]
        let map = unsafe { MappedFile::new(&file)? };
        // Before it is touched.
        let watched = guard::watch(path, file, &map);
        let plain = Compression::of(&map) == Compression::Plain;
        let at = 0;
        Ok(plain.then_some(Mapped { map, at, watched }))
    };
    map().map_err(|e| Failure::file(path, e))
}

/// A source whose reading is progress.
pub struct Counted {
    source: Source,
    progress: Counter,
    /// Its length is among what is expected.
    is_expected: bool,
}

enum Source {
    Stdin(io::Stdin),
    File(File),
}

impl Counted {
    fn open(path: &Path, progress: &Progress) -> io::Result<Counted> {
        let (source, is_expected) = if is_stdin(path) {
            (Source::Stdin(io::stdin()), false)
        } else {
            let file = File::open(path)?;
            let is_file = file.metadata()?.is_file();
            (Source::File(file), is_file)
        };
        Ok(Counted {
            source,
            progress: progress.counter(),
            is_expected,
        })
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.source {
            Source::Stdin(stdin) => stdin
                .read(buffer)
                .inspect(|read| super::hints::keep(buffer.get(..*read).unwrap_or(&[]))),
            Source::File(file) => file.read(buffer),
        }?;
        if read == 0
            && self.is_expected
            && let Source::File(file) = &mut self.source
            && file.metadata()?.len() < file.stream_position()?
        {
            let error = "the file became shorter while it was being read";
            return Err(io::Error::other(error));
        }
        if !self.is_expected {
            self.progress.expect(read);
        }
        self.progress.add(read);
        Ok(read)
    }
}

/// A number of bytes: `64KiB`, `10MiB`, `1GB`, `4096`.
pub fn size(text: &str) -> std::result::Result<usize, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let unit: usize = match unit.trim_start() {
        "" | "B" => 1,
        "k" | "kB" | "KB" => 1000,
        "K" | "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "M" | "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "G" | "GiB" => 1 << 30,
        unit => return Err(format!("unknown unit '{unit}', use KiB, MiB or GiB")),
    };
    let number: usize = number.parse().map_err(|_| "no number".to_owned())?;
    match number.checked_mul(unit) {
        None => Err("too large".to_owned()),
        Some(0) => Err("must not be 0".to_owned()),
        Some(bytes) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes() {
        assert_eq!(size("10MiB"), Ok(10 << 20));
        assert_eq!(size("64 KiB"), Ok(64 << 10));
        assert_eq!(size("1GB"), Ok(1_000_000_000));
        assert_eq!(size("4096"), Ok(4096));
        for wrong in ["", "MiB", "0", "5 parsecs", "99999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
