//! Live inputs: where a running Go program's trace comes from, and what the commands that read them
//! share.

use crate::input::size;
use crate::output::{Failure, Result, report};
use crate::signals;
use gotrace::recorder::FlightRecorderConfig;
use gotrace::source::StreamSource;
use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
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
  tcp-listen:HOST:PORT  one to wait at for a connection
  unix:PATH             a Unix socket to connect to
  unix-listen:PATH      one to make, and to wait at for a connection";

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
        let path = |path: &Path| crate::output::name(path);
        match self {
            Live::Stdin => "standard input".to_owned(),
            Live::Path(file) => path(file),
            Live::Tcp(address) | Live::TcpListen(address) => path(address.as_ref()),
            Live::Unix(socket) | Live::UnixListen(socket) => path(socket),
        }
    }

    /// Whether it is this file, which must not be written then.
    pub fn is_file(&self, path: &Path) -> bool {
        let input = match self {
            Live::Stdin => {
                let stdin = io::stdin().as_fd().try_clone_to_owned();
                stdin.and_then(|stdin| File::from(stdin).metadata())
            }
            Live::Path(input) => input.metadata(),
            _ => return false,
        };
        match (input, path.metadata()) {
            (Ok(a), Ok(b)) => a.is_file() && (a.dev(), a.ino()) == (b.dev(), b.ino()),
            _ => false,
        }
    }

    /// Opens it; waits for a connection if it is to. A file that grows ends when nothing was added
    /// for as long as `idle`.
    pub fn open(&self, idle: Option<Duration>) -> Result<StreamSource<File>> {
        self.try_open(idle).map_err(|e| Failure::File {
            name: self.name(),
            error: e.to_string(),
            offset: None,
        })
    }

    /// Opens it on a thread of its own, since nobody must wait for a connection, and sends a message
    /// with what that gives.
    pub fn open_aside<M: Send + 'static>(
        &self,
        idle: Option<Duration>,
        sender: &Sender<M>,
        opened: fn(Result<StreamSource<File>>) -> M,
    ) -> Result {
        let (input, sender) = (self.clone(), sender.clone());
        signals::spawn("input", move || {
            sender.send(opened(input.open(idle))).ok();
        })
    }

    fn try_open(&self, idle: Option<Duration>) -> io::Result<StreamSource<File>> {
        let stream: OwnedFd = match self {
            Live::Stdin => io::stdin().as_fd().try_clone_to_owned()?,
            Live::Path(path) => {
                let kind = path.metadata()?.file_type();
                if kind.is_socket() {
                    UnixStream::connect(path)?.into()
                } else {
                    let file = File::open(path)?;
                    if kind.is_file() {
                        return Ok(StreamSource::follow(file, idle));
                    }
                    file.into()
                }
            }
            Live::Tcp(address) => TcpStream::connect(address)?.into(),
            Live::TcpListen(address) => TcpListener::bind(address)?.accept()?.0.into(),
            Live::Unix(path) => UnixStream::connect(path)?.into(),
            Live::UnixListen(path) => {
                let listener = listen(path)?;
                let accepted = listener.accept();
                // One connection is all there is.
                std::fs::remove_file(path).ok();
                accepted?.0.into()
            }
        };
        // Whatever it is, it is read the same way.
        StreamSource::polled(File::from(stream))
    }
}

/// Makes a socket; also where one stands that nobody listens at any more.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            let is_socket = path.symlink_metadata()?.file_type().is_socket();
            if !is_socket || UnixStream::connect(path).is_ok() {
                return Err(e);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
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
    pub fn config(&self) -> FlightRecorderConfig {
        FlightRecorderConfig {
            min_age: self.min_age,
            max_bytes: self.max_bytes,
        }
    }
}

// As above.
#[derive(clap::Args)]
pub struct Input {
    /// Stop when nothing was added to the file for this long
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub idle: Option<Duration>,

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
