//! Results to standard output, errors to standard error, and the exit status that they amount to.

use super::{guard, hints};
use anstyle::{AnsiColor, Style};
use gotrace::generation::Ending;
use gotrace::mux::EndReason;
use gotrace::source::SourceError;
use gotrace::source::open::{InputError, InputErrorKind};
use gotrace::{ErrorKind, ReadError};
use indicatif::ProgressBar;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use tempfile::NamedTempFile;

/// The style of the word "error", the same as clap's.
const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Why a command fails.
#[derive(Debug)]
pub enum Failure {
    /// Something is wrong with a file.
    File {
        /// As [`name`] gives it.
        name: String,
        error: String,
        /// Where in a trace, if the error is about one.
        offset: Option<u64>,
    },
    /// A trace is sound as far as it goes, and ends before it should.
    Ending {
        /// As [`name`] gives it.
        name: String,
        ending: Ending,
    },
    /// Standard output cannot be written.
    Output(io::Error),
    /// What is wrong was reported when it was found.
    Reported,
    /// The same, where nothing is wrong but that traces end early.
    ReportedEarly,
    /// What must hold of a trace does not, as was reported.
    Asserted,
}

/// The exit status of a command that found nothing wrong but that a trace ends early.
const EARLY: u8 = 4;
/// The exit status of a command that found what was not to be: an assertion that fails.
const ASSERTED: u8 = 3;

impl Failure {
    /// `error` is wrong with the file at `path`.
    pub fn file(path: &Path, error: impl Display) -> Failure {
        Failure::File {
            name: name(path),
            error: error.to_string(),
            offset: None,
        }
    }

    /// The operating system refused something that is no file: a thread, memory, a descriptor.
    pub fn system(what: &str, error: impl Display) -> Failure {
        Failure::File {
            name: what.to_owned(),
            error: error.to_string(),
            offset: None,
        }
    }

    /// `error` came of reading the trace at `path`.
    pub fn trace(path: &Path, error: impl Into<ReadError>) -> Failure {
        if guard::is_shorter(path) {
            return Failure::file(path, guard::SHORTER_FILE);
        }
        let read = error.into();
        if let Some(ending) = early(&read) {
            let name = name(path);
            return Failure::Ending { name, ending };
        }
        let (name, error) = (name(path), hints::explain(path, &read));
        let offset = match read {
            ReadError::Trace(error) => Some(error.offset().0),
            _ => None,
        };
        Failure::File {
            name,
            error,
            offset,
        }
    }
}

impl Failure {
    /// A live trace of this name ended so.
    pub fn end(name: &str, end: &EndReason) -> Failure {
        let name = name.to_owned();
        match end {
            EndReason::Broken(SourceError::Trace(error)) if Ending::of(Some(*error)).is_early() => {
                let ending = Ending::of(Some(*error));
                Failure::Ending { name, ending }
            }
            other => Failure::File {
                name,
                error: other.to_string(),
                offset: None,
            },
        }
    }

    /// What is reported already, of several traces.
    pub fn reported(self, other: Failure) -> Failure {
        match (self, other) {
            (Failure::ReportedEarly, Failure::ReportedEarly) => Failure::ReportedEarly,
            _ => Failure::Reported,
        }
    }
}

/// The failures of a command that goes on after each, with another trace: each is printed when it is
/// found, and they say together how the command ends.
#[derive(Default)]
pub struct Failures(Option<Failure>);

impl Failures {
    /// Prints a failure. Flush the standard output before: both streams may be one terminal.
    pub fn add(&mut self, failure: Failure) {
        report(&failure);
        let now = match failure {
            Failure::Ending { .. } => Failure::ReportedEarly,
            _ => Failure::Reported,
        };
        self.0 = Some(match self.0.take() {
            Some(before) => now.reported(before),
            None => now,
        });
    }

    /// How the command ends.
    pub fn result(self) -> Result {
        self.0.map_or(Ok(()), Err)
    }
}

/// The failure that the way the trace at `path` ends is, where no error said so.
pub fn ends(path: &Path, ending: Ending) -> Result {
    match ending.is_early() {
        true => Err(Failure::Ending {
            name: name(path),
            ending,
        }),
        false => Ok(()),
    }
}

/// How a trace ends, if this error says no more than that it ends early.
fn early(error: &ReadError) -> Option<Ending> {
    match error {
        ReadError::Trace(error) => Some(Ending::of(Some(*error))).filter(Ending::is_early),
        _ => None,
    }
}

/// How a trace ends, for programs. This is the schema of the JSON form: a field may be added, none
/// will change its meaning.
#[derive(serde::Serialize, Clone, Copy)]
pub struct EndingJson {
    /// `complete`, `header-only`, `cut`, `unended`, `another-trace` or `damaged`.
    kind: &'static str,
    /// Where, in bytes from the start of the trace; null for a complete one.
    offset: Option<u64>,
    /// The generation that lacks its end, of an unended one.
    generation: Option<u64>,
}

impl From<Ending> for EndingJson {
    fn from(ending: Ending) -> EndingJson {
        EndingJson {
            kind: ending.name(),
            offset: ending.offset().map(|at| at.0),
            generation: ending.generation().map(|number| number.get()),
        }
    }
}

/// What an error of reading says, and what can be done about it.
pub fn explain(error: &ReadError) -> String {
    let is_limit = match error {
        ReadError::Trace(error) => error.kind() == ErrorKind::GenerationTooLarge,
        ReadError::Io(error) => InputError::of(error).is_some_and(|e| {
            use InputErrorKind::{TooLarge, WindowTooLarge};
            matches!(e.kind(), WindowTooLarge { .. } | TooLarge { .. })
        }),
        _ => false,
    };
    let raise = if is_limit {
        "; --max-memory raises it"
    } else {
        ""
    };
    format!("{error}{raise}")
}

/// Errors of output are the only ones that `?` passes on: every other needs the file's name.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::File { name, error, .. } => write!(f, "{name}: {error}"),
            Failure::Ending { name, ending } => write!(f, "{name}: {ending}"),
            Failure::Output(error) => write!(f, "standard output: {error}"),
            Failure::Reported | Failure::ReportedEarly | Failure::Asserted => {
                f.write_str("see above")
            }
        }
    }
}

/// What a command gives back.
pub type Result<T = ()> = std::result::Result<T, Failure>;

/// The name of a file for people: "-" as what it is, and nothing in it that a terminal would obey.
pub fn name(path: &Path) -> String {
    if is_stdin(path) {
        return "standard input".to_owned();
    }
    let name = path.to_string_lossy();
    if name.chars().any(char::is_control) {
        return name.escape_debug().to_string();
    }
    name.into_owned()
}

/// Whether a path stands for the standard input, or output.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// What is shown in place on standard error; what is printed there stays above it.
static IN_PLACE: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Something is shown in place from now on, or no more.
pub fn show_in_place(bar: Option<&ProgressBar>) {
    *IN_PLACE.lock().unwrap_or_else(PoisonError::into_inner) = bar.cloned();
}

/// Prints a line to standard error.
fn print(line: impl Display) {
    let bar = IN_PLACE.lock().unwrap_or_else(PoisonError::into_inner);
    // Nobody is left to tell if this fails.
    let print = || drop(writeln!(anstream::stderr().lock(), "{line}"));
    match &*bar {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

/// Prints an error for people.
pub fn report(failure: &Failure) {
    print(format_args!("{ERROR}error{ERROR:#}: {failure}"));
}

/// Prints what people may want to know, and no program: to standard error.
pub fn note(text: impl Display) {
    print(text);
}

/// The exit status of a command, whose error is printed here. That nobody reads the output any
/// more, as in `gotrace dump ... | head`, is no error.
pub fn exit_code(result: Result) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Reported) => ExitCode::FAILURE,
        Err(Failure::ReportedEarly) => ExitCode::from(EARLY),
        Err(Failure::Asserted) => ExitCode::from(ASSERTED),
        Err(failure) => {
            report(&failure);
            match failure {
                Failure::Ending { .. } => ExitCode::from(EARLY),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Standard output for text that is written piece by piece: what is formatted gathers in a string
/// and goes out in large blocks.
pub struct Text {
    text: String,
    /// Where JSON is made.
    scratch: Vec<u8>,
    out: StdoutLock<'static>,
}

impl Text {
    const BLOCK: usize = 256 << 10;

    pub fn stdout() -> Text {
        Text {
            text: String::with_capacity(Self::BLOCK + (64 << 10)),
            scratch: Vec::new(),
            out: io::stdout().lock(),
        }
    }

    /// Where to format to. Writing to a string never fails.
    pub fn buffer(&mut self) -> &mut String {
        &mut self.text
    }

    /// Adds what is written as bytes of UTF-8.
    pub fn add(&mut self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Result {
        self.scratch.clear();
        write(&mut self.scratch)?;
        // JSON is UTF-8.
        self.text
            .push_str(std::str::from_utf8(&self.scratch).unwrap_or_default());
        Ok(())
    }

    /// Writes out what has gathered, if it is much.
    #[inline]
    pub fn relax(&mut self) -> Result {
        if self.text.len() < Self::BLOCK {
            return Ok(());
        }
        self.flush()
    }

    /// Writes out what has gathered.
    pub fn flush(&mut self) -> Result {
        let result = self.out.write_all(self.text.as_bytes());
        self.text.clear();
        Ok(result.and_then(|()| self.out.flush())?)
    }
}

/// Standard output for a page or two, where a style reaches only a terminal that wants it.
pub fn styled() -> impl Write {
    BufWriter::new(anstream::stdout().lock())
}

/// Standard output of a command whose exit status is its answer, as that of `check` is: it is found out and
/// given even if nobody reads the output to its end, as in `gotrace check ... | head -1`.
pub fn verdict(out: impl Write) -> impl Write {
    Unread(out)
}

/// Takes what nobody reads any more as written.
struct Unread<W>(W);

fn unless_unread<T>(result: io::Result<T>, otherwise: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(otherwise),
        result => result,
    }
}

impl<W: Write> Write for Unread<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_unread(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_unread(self.0.flush(), ())
    }
}

/// Prints a value as a line of JSON.
pub fn json_line(out: &mut impl Write, value: &impl serde::Serialize) -> Result {
    Ok(gotrace::export::json::line(value, out)?)
}

/// A file beside this one, with a name of its own, which is removed unless it takes a place. It is
/// locked while it is in use: what a killed process leaves is not.
pub fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    let mut options = tempfile::Builder::new();
    options.prefix(".gotrace-").suffix(".part");
    // The user's mask takes away from it what it is to, as from any new file.
    #[cfg(unix)]
    options.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let part = options.tempfile_in(directory(path))?;
    // Not on every file system.
    let _ = part.as_file().try_lock();
    Ok(part)
}

/// Where a file is.
pub fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    }
}

/// Makes what was written survive the machine, not only this process, as far as the file system can.
pub fn sync(path: &Path, file: &File) -> io::Result<()> {
    let unsupported = |error: &io::Error| {
        use io::ErrorKind::{InvalidInput, Unsupported};
        matches!(error.kind(), InvalidInput | Unsupported)
    };
    match file.sync_all() {
        Err(error) if !unsupported(&error) => return Err(error),
        _ => {}
    }
    // Of the directory, the file's name.
    #[cfg(unix)]
    if let Ok(dir) = File::open(directory(path)) {
        let _ = dir.sync_all();
    }
    Ok(())
}

/// Whether two names are of the same file, or will be.
pub fn is_same(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(a), Ok(b)) = (a.metadata(), b.metadata()) {
        use std::os::unix::fs::MetadataExt as _;
        return (a.dev(), a.ino()) == (b.dev(), b.ino());
    }
    let place = |path: &Path| {
        let dir = directory(path).canonicalize().ok()?;
        Some((dir, path.file_name()?.to_owned()))
    };
    let place = |path: &Path| {
        path.canonicalize()
            .ok()
            .or_else(|| place(path).map(|(d, n)| d.join(n)))
    };
    matches!((place(a), place(b)), (Some(a), Some(b)) if a == b)
}

/// Writes a file whose contents are there all at once, or not at all; gives what `write` gives.
pub fn write_file<T>(path: &Path, write: impl FnOnce(&File) -> io::Result<T>) -> Result<T> {
    let failed = |e: io::Error| Failure::file(path, e);
    let there = std::fs::symlink_metadata(path).ok();
    // What is no file, or a link to one, stays what it is; and nothing is made beside it.
    let is_file = there.as_ref().is_none_or(|there| there.is_file());
    let part = match is_file.then(|| temporary(path)).transpose() {
        Ok(part) => part,
        // A directory may refuse what a file in it allows.
        Err(_) if there.is_some() => None,
        Err(error) => return Err(failed(error)),
    };
    let Some(part) = part else {
        return File::create(path)
            .and_then(|file| write(&file))
            .map_err(failed);
    };
    if let Some(there) = there {
        let same = part.as_file().set_permissions(there.permissions());
        same.map_err(failed)?;
    }
    let result = write(part.as_file()).map_err(failed)?;
    part.persist(path).map_err(|e| failed(e.error))?;
    Ok(result)
}
