//! Live inputs: where a running Go program's trace comes from, and what the commands that read them
//! share.

use super::input::size;
use super::listen::{self, Bound};
use super::output::{Failure, Result, is_same, note, report};
use super::signals;
use gotrace::recorder::{FlightRecorderConfig, LARGEST_MAX_BYTES};
use gotrace::source::{
    ListenSource, Part, Refused, SourceControl, SourceError, StreamSource, TraceSource,
};
use gotrace::wire::Version;
use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// What [`Live::HELP`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Live {
    Stdin,
    Path(PathBuf),
    Tcp(String),
    TcpListen(String),
    Unix(PathBuf),
    UnixListen(PathBuf),
}

impl Live {
    pub const HELP: &str = "\
INPUT is where the trace comes from:
  -                     the standard input
  FILE                  a file that another process writes, or a named pipe
  tcp:HOST:PORT         a TCP address to connect to
  tcp-listen:HOST:PORT  one to listen at for programs that connect
  unix:PATH             a Unix socket to connect to
  unix-listen:PATH      one to make, and to listen at for programs that connect

Where it listens, a connection counts once it has sent the header of a trace; others are closed. When
the program ends or is started again, its next trace is taken as a new one; so is another trace behind
the first in a pipe, in a file that is cut short and written anew, and in a file that takes the place of
FILE, as \"mv\" does it, also where FILE is damaged. --once takes one trace only.";

    /// Never fails: everything that is nothing else is a file.
    pub fn parse(text: &str) -> std::result::Result<Live, std::convert::Infallible> {
        Ok(match text.split_once(':') {
            _ if text == "-" => Live::Stdin,
            Some(("tcp", address)) => Live::Tcp(address.to_owned()),
            Some(("tcp-listen", address)) => Live::TcpListen(address.to_owned()),
            Some(("unix", path)) => Live::Unix(path.into()),
            Some(("unix-listen", path)) => Live::UnixListen(path.into()),
            _ => Live::Path(text.into()),
        })
    }

    /// As [`parse`](Live::parse); what is not UTF-8 is a file.
    pub fn of(path: &Path) -> Live {
        let parsed = path.to_str().map(Live::parse);
        parsed.map_or_else(|| Live::Path(path.to_owned()), |Ok(live)| live)
    }

    /// As people name it.
    pub fn name(&self) -> String {
        let path = |path: &Path| super::output::name(path);
        match self {
            Live::Stdin => "standard input".to_owned(),
            Live::Path(file) => path(file),
            Live::Tcp(address) | Live::TcpListen(address) => path(address.as_ref()),
            Live::Unix(socket) | Live::UnixListen(socket) => path(socket),
        }
    }

    fn metadata(&self) -> Option<std::fs::Metadata> {
        match self {
            Live::Stdin => {
                let stdin = io::stdin().as_fd().try_clone_to_owned();
                stdin.and_then(|stdin| File::from(stdin).metadata()).ok()
            }
            Live::Path(input) => input.metadata().ok(),
            _ => None,
        }
    }

    /// The file that it is, if it has a name.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Live::Path(path) => Some(path),
            _ => None,
        }
    }

    /// Whether it is a regular file, for which nobody is held up who writes it.
    pub fn is_regular(&self) -> bool {
        self.metadata().is_some_and(|there| there.is_file())
    }

    /// Whether it is this file, which must not be written then.
    pub fn is_file(&self, path: &Path) -> bool {
        match (self, self.metadata()) {
            (Live::Path(input), _) if is_same(input, path) => !path
                .metadata()
                .is_ok_and(|there| there.file_type().is_char_device()),
            (_, Some(input)) => path.metadata().is_ok_and(|there| {
                input.is_file() && (input.dev(), input.ino()) == (there.dev(), there.ino())
            }),
            _ => false,
        }
    }

    /// Opens it. A file that grows ends when nothing was added for as long as `idle`.
    fn open(&self, idle: Option<Duration>, once: bool) -> Result<Box<Source>> {
        self.try_open(idle, once)
            .map(Box::new)
            .map_err(|e| Failure::File {
                name: self.name(),
                error: e.to_string(),
                offset: None,
            })
    }

    /// Opens it on a thread of its own, since that may wait for another process, and sends a message
    /// with what that gives.
    pub fn open_aside<M: Send + 'static>(
        &self,
        idle: Option<Duration>,
        once: bool,
        sender: &Sender<M>,
        opened: fn(Result<Box<Source>>) -> M,
    ) -> Result {
        if let Live::TcpListen(_) | Live::UnixListen(_) = self {
            // That takes no time, and what is made there must not outlive this.
            sender.send(opened(self.open(idle, once))).ok();
            return Ok(());
        }
        let (input, sender) = (self.clone(), sender.clone());
        signals::spawn("input", move || {
            sender.send(opened(input.open(idle, once))).ok();
        })
    }

    fn try_open(&self, idle: Option<Duration>, once: bool) -> io::Result<Source> {
        let listening = |source: ListenSource, bound| {
            let source = source.on_refused(self.refusals());
            let source = if once { source.once() } else { source };
            Ok(Source::Listens(source, bound))
        };
        let stream: OwnedFd = match self {
            Live::Stdin => io::stdin().as_fd().try_clone_to_owned()?,
            Live::Path(path) => {
                let kind = path.metadata()?.file_type();
                if kind.is_socket() {
                    UnixStream::connect(path)?.into()
                } else {
                    if kind.is_file() {
                        let source = StreamSource::follow_path(path, idle)?;
                        return Ok(Source::stream(source, once));
                    }
                    File::open(path)?.into()
                }
            }
            Live::Tcp(address) => TcpStream::connect(address)?.into(),
            Live::TcpListen(address) => {
                return listening(ListenSource::tcp(TcpListener::bind(address)?)?, None);
            }
            Live::Unix(path) => UnixStream::connect(path)?.into(),
            Live::UnixListen(path) => {
                let (listener, bound) = listen::bind(path)?;
                return listening(ListenSource::unix(listener)?, Some(bound));
            }
        };
        // Whatever it is, it is read the same way.
        Ok(Source::stream(
            StreamSource::polled(File::from(stream))?,
            once,
        ))
    }

    /// Says which connections are closed, without end for the first few only: a health check comes
    /// each second.
    fn refusals(&self) -> impl FnMut(Refused) + Send + 'static {
        let name = self.name();
        let mut count = 0u64;
        move |refused| {
            count += 1;
            if count.is_power_of_two() {
                let which = match count {
                    1 | 2 => String::new(),
                    n => format!(" ({n} so far)"),
                };
                note(format_args!(
                    "{name}: a connection is closed{which}: {refused}"
                ));
            }
        }
    }
}

/// An input that is open.
pub enum Source {
    Stream(StreamSource<File>),
    /// The socket is removed when this is dropped.
    Listens(
        ListenSource,
        #[expect(dead_code, reason = "held")] Option<Bound>,
    ),
}

impl Source {
    fn stream(source: StreamSource<File>, once: bool) -> Source {
        Source::Stream(if once { source.once() } else { source })
    }
}

impl TraceSource for Source {
    fn start(&mut self) -> std::result::Result<Version, SourceError> {
        match self {
            Source::Stream(source) => source.start(),
            Source::Listens(source, _) => source.start(),
        }
    }

    fn next(&mut self) -> std::result::Result<Option<Part>, SourceError> {
        match self {
            Source::Stream(source) => source.next(),
            Source::Listens(source, _) => source.next(),
        }
    }

    fn is_at_end(&self) -> bool {
        match self {
            Source::Stream(source) => source.is_at_end(),
            Source::Listens(source, _) => source.is_at_end(),
        }
    }

    fn stop(&mut self) {
        match self {
            Source::Stream(source) => source.stop(),
            Source::Listens(source, _) => source.stop(),
        }
    }

    fn control(&self) -> Arc<dyn SourceControl> {
        match self {
            Source::Stream(source) => source.control(),
            Source::Listens(source, _) => source.control(),
        }
    }
}

/// Says that a trace ended, and that the next is waited for.
pub fn note_restart(input: &str, reason: Option<&SourceError>) {
    match reason {
        None => note(format_args!(
            "{input}: the trace ended; waiting for the next"
        )),
        Some(error) => note(format_args!(
            "{input}: the trace ended: {error}; waiting for the next"
        )),
    }
}

/// The first failure of two; the second is reported here, or nobody would learn of it.
pub fn both(first: Result, second: Result) -> Result {
    if let (Err(_), Err(failure)) = (&first, &second)
        && !matches!(failure, Failure::Reported)
    {
        report(failure);
    }
    first.and(second)
}

// No documentation of the struct itself: it would take the place of the command's.
#[derive(clap::Args)]
pub struct Window {
    /// Bytes up to which the recorder keeps generations, whatever their age
    #[arg(long, value_name = "SIZE", default_value = "10MiB", value_parser = size)]
    pub max_bytes: usize,

    /// Age up to which the recorder keeps generations, if --max-bytes allows
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub min_age: Duration,
}

impl Window {
    /// What was asked for, as far as there is an arena for it; says if it is less.
    pub fn config(&self) -> FlightRecorderConfig {
        let max_bytes = self.max_bytes.min(LARGEST_MAX_BYTES);
        if max_bytes < self.max_bytes {
            note(format_args!(
                "--max-bytes is {max_bytes}, not {}: an arena has at most 4 GiB, and room for two \
                 generations of that size",
                self.max_bytes
            ));
        }
        FlightRecorderConfig {
            min_age: self.min_age,
            max_bytes,
        }
    }
}

// As above.
#[derive(clap::Args)]
pub struct Input {
    /// Stop when nothing was added to the file for this long
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub idle: Option<Duration>,

    /// Take one trace, and end with it: do not wait for another one
    #[arg(long)]
    pub once: bool,

    /// Where the trace comes from
    #[arg(value_name = "INPUT", value_parser = Live::parse)]
    pub input: Live,
}

/// A time: `10s`, `500ms`, `2m`, `1.5h`.
pub fn duration(text: &str) -> std::result::Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let unit = match unit.trim_start() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        unit => return Err(format!("unknown unit '{unit}', use ms, s, m or h")),
    };
    let number: f64 = number.parse().map_err(|_| "no number".to_owned())?;
    let duration = Duration::try_from_secs_f64(number * unit).map_err(|e| e.to_string())?;
    if duration.is_zero() {
        return Err("must not be 0".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_and_times() {
        assert_eq!(Live::parse("-"), Ok(Live::Stdin));
        assert_eq!(Live::parse("a.trace"), Ok(Live::Path("a.trace".into())));
        assert_eq!(
            Live::parse("tcp:[::1]:80"),
            Ok(Live::Tcp("[::1]:80".into()))
        );
        assert_eq!(
            Live::parse("unix-listen:/run/x"),
            Ok(Live::UnixListen("/run/x".into()))
        );
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "10", "0s", "1e9s", "-1s", "999999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
