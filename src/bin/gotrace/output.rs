//! Results to standard output, errors to standard error, and the exit status that they amount to.

use anstyle::{AnsiColor, Style};
use std::fmt::{self, Display};
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::Path;
use std::process::ExitCode;

/// The style of the word "error", the same as clap's.
const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Why a command fails.
#[derive(Debug)]
pub enum Failure {
    /// Something is wrong with a file. The first field is its name, as [`name`] gives it.
    File(String, String),
    /// Standard output cannot be written.
    Output(io::Error),
    /// What is wrong was reported when it was found.
    Reported,
}

impl Failure {
    /// `error` is wrong with the file at `path`.
    pub fn file(path: &Path, error: impl Display) -> Failure {
        Failure::File(name(path), error.to_string())
    }
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
            Failure::File(name, error) => write!(f, "{name}: {error}"),
            Failure::Output(error) => write!(f, "standard output: {error}"),
            Failure::Reported => f.write_str("see above"),
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

/// Prints an error for people.
pub fn report(failure: &Failure) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(
        anstream::stderr().lock(),
        "{ERROR}error{ERROR:#}: {failure}"
    );
}

/// The exit status of a command, whose error is printed here. That nobody reads the output any
/// more, as in `gotrace dump ... | head`, is no error.
pub fn exit_code(result: Result) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Reported) => ExitCode::FAILURE,
        Err(failure) => {
            report(&failure);
            ExitCode::FAILURE
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

    /// Adds a value as a line of JSON.
    pub fn json_line(&mut self, value: &impl serde::Serialize) -> Result {
        self.scratch.clear();
        serde_json::to_writer(&mut self.scratch, value).map_err(io::Error::from)?;
        // JSON is UTF-8.
        self.text
            .push_str(std::str::from_utf8(&self.scratch).unwrap_or_default());
        self.text.push('\n');
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

/// Prints a value as a line of JSON.
pub fn json_line(out: &mut impl Write, value: &impl serde::Serialize) -> Result {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}
