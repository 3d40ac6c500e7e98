//! The traces of those who connect to a socket.

use super::{
    AdvanceUnsupported, Part, SourceControl, SourceError, StreamSource, TraceSource, locked,
};
use crate::wire::{HEADER_LEN, Version};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::{Condvar, Mutex};
use std::thread::{self, JoinHandle};

/// How many connections may be open that have not sent a trace's header yet. The oldest is closed for
/// one more.
const MOST_SILENT: usize = 64;

/// How many programs may wait, each with its header sent, while the trace of another is read.
const MOST_WAITING: usize = 16;

/// The traces of the programs that connect to a socket, one after the other.
///
/// A connection counts from the moment at which it has sent the header of a trace. Others (port
/// scans, health checks, those that connect and say nothing) disturb nothing: one that sends something
/// else is closed, and so is the oldest of more than 64 that are silent. One trace is read at a time; a
/// program that connects meanwhile must wait until the one before it has disconnected, and the 17th
/// that waits is closed. An idle TCP connection whose other end is gone is noticed by the operating
/// system (`SO_KEEPALIVE`).
///
/// The end of a connection is the [end of its trace](Part::Restart), and the source waits for the
/// next one: it ends when it is [interrupted](SourceControl::interrupt), or with the first trace if it
/// is for [one](ListenSource::once).
///
/// A thread accepts connections as long as the source lives. The socket is closed when it is dropped.
pub struct ListenSource {
    door: Arc<Door>,
    thread: Option<JoinHandle<()>>,
    /// The connection that is read.
    current: Option<StreamSource<File>>,
    once: bool,
    over: bool,
}

/// A connection that was closed because it is no trace, as [`ListenSource::on_refused`] reports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// It was closed at its other end, after so many bytes.
    Closed(usize),
    /// It sent something else than a trace's header: the first line, shortened to 100 bytes.
    Other(String),
    /// It said nothing, and there were too many like it.
    Silent,
    /// Too many programs waited already for their turn.
    Busy,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Closed(0) => f.write_str("it was closed without a byte sent"),
            Refused::Closed(bytes) => write!(f, "it was closed after {bytes} bytes"),
            Refused::Other(line) => write!(f, "it does not begin as a trace does: {line:?}"),
            Refused::Silent => f.write_str("it sent nothing, like many others"),
            Refused::Busy => f.write_str("too many programs wait for their turn already"),
        }
    }
}

type OnRefused = Box<dyn FnMut(Refused) + Send>;

/// What the thread that accepts shares with the source, and with who interrupts it.
struct Door {
    state: Mutex<Inside>,
    /// A connection is ready, or nothing more will be.
    changed: Condvar,
    wake: Mutex<PipeWriter>,
}

#[derive(Default)]
struct Inside {
    /// Connections that have sent a header, and what they sent.
    ready: VecDeque<(File, Vec<u8>)>,
    /// Interrupts the connection that is read.
    current: Option<Arc<dyn SourceControl>>,
    interrupted: bool,
    /// The socket failed.
    failed: Option<Arc<io::Error>>,
    /// No more connections are wanted.
    closed: bool,
    on_refused: Option<OnRefused>,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    fn accept(&self) -> io::Result<OwnedFd> {
        match self {
            Socket::Tcp(listener) => {
                let connection = listener.accept()?.0;
                // Without it, a connection to a machine that is gone would never end.
                rustix::net::sockopt::set_socket_keepalive(&connection, true)?;
                connection.set_nonblocking(true)?;
                Ok(connection.into())
            }
            Socket::Unix(listener) => {
                let connection = listener.accept()?.0;
                connection.set_nonblocking(true)?;
                Ok(connection.into())
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener) => listener.as_fd(),
        }
    }
}

impl ListenSource {
    /// Of those who connect to a TCP socket.
    ///
    /// Errors: no thread or no pipe can be had.
    pub fn tcp(listener: TcpListener) -> io::Result<ListenSource> {
        listener.set_nonblocking(true)?;
        ListenSource::new(Socket::Tcp(listener))
    }

    /// Of those who connect to a Unix socket. Its path stays when this is dropped.
    ///
    /// Errors: as for [`tcp`](ListenSource::tcp).
    pub fn unix(listener: UnixListener) -> io::Result<ListenSource> {
        listener.set_nonblocking(true)?;
        ListenSource::new(Socket::Unix(listener))
    }

    fn new(socket: Socket) -> io::Result<ListenSource> {
        let (woken, wake) = io::pipe()?;
        let door = Arc::new(Door {
            state: Mutex::default(),
            changed: Condvar::new(),
            wake: Mutex::new(wake),
        });
        let accepting = Arc::clone(&door);
        let thread = thread::Builder::new()
            .name("trace listener".into())
            .spawn(move || accepting.accept(&socket, &woken))?;
        Ok(ListenSource {
            door,
            thread: Some(thread),
            current: None,
            once: false,
            over: false,
        })
    }

    /// For the first program that sends a trace, and no other.
    #[must_use]
    pub fn once(mut self) -> ListenSource {
        self.once = true;
        self
    }

    /// Reports connections that are closed because they are no trace, from the thread that accepts.
    #[must_use]
    pub fn on_refused(self, report: impl FnMut(Refused) + Send + 'static) -> ListenSource {
        locked(&self.door.state).on_refused = Some(Box::new(report));
        self
    }

    /// Waits for a connection, and reads its header.
    fn open(&mut self) -> Result<Version, SourceError> {
        let (file, head) = self.door.next()?;
        let mut source = StreamSource::polled(file)?.after(&head);
        if self.once {
            source = source.once();
        }
        self.door.watch(Some(source.control()))?;
        let version = source.start()?;
        self.current = Some(source);
        if self.once {
            self.door.close();
        }
        Ok(version)
    }

    /// The connection ended, or broke.
    fn left(&mut self, reason: Result<(), SourceError>) -> Result<Option<Part>, SourceError> {
        self.current = None;
        self.door.watch(None)?;
        if self.once {
            self.over = true;
            return reason.map(|()| None);
        }
        Ok(Some(Part::Restart(reason.err())))
    }
}

impl TraceSource for ListenSource {
    fn start(&mut self) -> Result<Version, SourceError> {
        match &mut self.current {
            _ if self.over => Err(SourceError::Ended),
            Some(source) => source.start(),
            None => self.open(),
        }
    }

    fn next(&mut self) -> Result<Option<Part>, SourceError> {
        let Some(source) = &mut self.current else {
            return match self.over {
                true => Ok(None),
                false => Ok(Some(Part::Header(self.open()?))),
            };
        };
        match source.next() {
            Ok(Some(part)) => Ok(Some(part)),
            Ok(None) => self.left(Ok(())),
            Err(SourceError::Interrupted) => Err(SourceError::Interrupted),
            Err(error) => self.left(Err(error)),
        }
    }

    fn is_at_end(&self) -> bool {
        self.current.as_ref().is_some_and(StreamSource::is_at_end)
    }

    fn stop(&mut self) {}

    fn control(&self) -> Arc<dyn SourceControl> {
        Arc::<Door>::clone(&self.door)
    }
}

impl Drop for ListenSource {
    fn drop(&mut self) {
        self.door.close();
        if let Some(thread) = self.thread.take() {
            // It does not panic, but for what it reports to.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for ListenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenSource")
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

impl SourceControl for Door {
    fn advance(&self) -> Result<(), AdvanceUnsupported> {
        Err(AdvanceUnsupported)
    }

    fn interrupt(&self) {
        let mut state = locked(&self.state);
        state.interrupted = true;
        if let Some(current) = &state.current {
            current.interrupt();
        }
        drop(state);
        self.changed.notify_all();
    }
}

/// A connection that has not sent all of a header yet.
struct Silent {
    file: File,
    head: Vec<u8>,
}

impl Door {
    /// Waits for a connection that has sent its header.
    fn next(&self) -> Result<(File, Vec<u8>), SourceError> {
        let mut state = locked(&self.state);
        loop {
            if state.interrupted {
                return Err(SourceError::Interrupted);
            }
            if let Some(ready) = state.ready.pop_front() {
                return Ok(ready);
            }
            if let Some(error) = &state.failed {
                return Err(SourceError::Io(Arc::clone(error)));
            }
            if state.closed {
                return Err(SourceError::Ended);
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// From now on, an interruption is for this connection as well.
    fn watch(&self, current: Option<Arc<dyn SourceControl>>) -> Result<(), SourceError> {
        let mut state = locked(&self.state);
        state.current = current;
        match state.interrupted {
            true => Err(SourceError::Interrupted),
            false => Ok(()),
        }
    }

    /// Ends the thread that accepts.
    fn close(&self) {
        locked(&self.state).closed = true;
        // It has room for the few that are ever written.
        let _ = locked(&self.wake).write(&[1]);
    }

    fn is_closed(&self) -> bool {
        locked(&self.state).closed
    }

    /// Accepts connections until all is closed.
    fn accept(&self, socket: &Socket, woken: &PipeReader) {
        let mut silent: Vec<Silent> = Vec::new();
        while !self.is_closed() {
            let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(silent.len().saturating_add(2));
            fds.push(PollFd::new(woken, PollFlags::IN));
            fds.push(PollFd::new(socket, PollFlags::IN));
            fds.extend(silent.iter().map(|s| PollFd::new(&s.file, PollFlags::IN)));
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return self.fail(error.into()),
            }
            let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
            let (_, connects) = (ready.next(), ready.next() == Some(true));
            let mut ready = ready.collect::<Vec<bool>>().into_iter();
            let mut left = Vec::with_capacity(silent.len());
            for connection in silent {
                if ready.next() == Some(true) {
                    left.extend(self.look(connection));
                } else {
                    left.push(connection);
                }
            }
            silent = left;
            if connects {
                match socket.accept() {
                    Ok(connection) => {
                        if silent.len() >= MOST_SILENT {
                            silent.remove(0);
                            self.refuse(Refused::Silent);
                        }
                        silent.push(Silent {
                            file: File::from(connection),
                            head: Vec::new(),
                        });
                    }
                    Err(error) if goes_on(&error) => {
                        // With no descriptors left, asking again at once would be all it does.
                        if error.kind() != io::ErrorKind::WouldBlock {
                            thread::sleep(Duration::from_millis(20));
                        }
                    }
                    Err(error) => return self.fail(error),
                }
            }
        }
    }

    /// Looks at what a connection has sent; gives it back if that is not enough to say.
    fn look(&self, mut connection: Silent) -> Option<Silent> {
        let mut bytes = [0; HEADER_LEN];
        let missing = HEADER_LEN.saturating_sub(connection.head.len());
        let read = connection
            .file
            .read(bytes.get_mut(..missing).unwrap_or(&mut []));
        let read = match read {
            Ok(0) => {
                self.refuse(Refused::Closed(connection.head.len()));
                return None;
            }
            Ok(read) => read,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                return Some(connection);
            }
            Err(_) => {
                self.refuse(Refused::Closed(connection.head.len()));
                return None;
            }
        };
        let head = &mut connection.head;
        head.extend_from_slice(bytes.get(..read).unwrap_or(&[]));
        const BEGINS: &[u8] = b"go 1.";
        if !head
            .get(..BEGINS.len())
            .map_or(BEGINS.starts_with(head), |front| front == BEGINS)
        {
            let line = self.line(connection);
            self.refuse(Refused::Other(line));
            return None;
        }
        if head.len() < HEADER_LEN {
            return Some(connection);
        }
        let Silent { file, head } = connection;
        if set_blocking(&file).is_err() {
            return None;
        }
        let mut state = locked(&self.state);
        if state.ready.len() >= MOST_WAITING {
            drop(state);
            self.refuse(Refused::Busy);
            return None;
        }
        state.ready.push_back((file, head));
        drop(state);
        self.changed.notify_all();
        None
    }

    /// The first line that a connection has sent, as far as it is there.
    fn line(&self, mut connection: Silent) -> String {
        let mut more = [0; 100];
        let read = connection.file.read(&mut more).unwrap_or(0);
        let mut line = connection.head;
        line.extend_from_slice(more.get(..read).unwrap_or(&[]));
        let line = line.split(|b| *b == b'\n').next().unwrap_or(&[]);
        let line = line.get(..100).unwrap_or(line);
        String::from_utf8_lossy(line).trim_end().into()
    }

    fn refuse(&self, refused: Refused) {
        // Whoever is told may take its time, or ask for something here.
        let report = locked(&self.state).on_refused.take();
        if let Some(mut report) = report {
            report(refused);
            locked(&self.state).on_refused.get_or_insert(report);
        }
    }

    fn fail(&self, error: io::Error) {
        locked(&self.state).failed = Some(Arc::new(error));
        self.changed.notify_all();
    }
}

/// Whether a socket can be asked again after this error of accepting.
fn goes_on(error: &io::Error) -> bool {
    use rustix::io::Errno;
    // A connection that is gone already; signals; and a want of memory or descriptors, which passes.
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::OutOfMemory
    ) || [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::PROTO]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn set_blocking(file: &File) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    let flags = flags.difference(rustix::fs::OFlags::NONBLOCK);
    Ok(rustix::fs::fcntl_setfl(file, flags)?)
}
