//! Orders from elsewhere: lines on a socket, or HTTP.

use super::listen::{self, Bound};
use super::output::{Failure, Result, name};
use super::signals;
use super::snapshotter::{Request, Snapshotter};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

/// How many may give orders at a time.
const MOST: usize = 16;
/// The longest line.
const LINE: u64 = 4096;
/// The most lines of a request's head.
const HEAD: usize = 100;
/// How long one that says nothing is listened to, and how long an answer may take to be written.
const SILENT: Duration = Duration::from_secs(10);
/// How long a snapshot may take.
const SLOW: Duration = Duration::from_secs(60);

/// What orders are about.
pub struct Orders {
    pub snapshotter: Snapshotter,
    /// What is recorded, as JSON.
    pub status: Box<dyn Fn() -> String + Send + Sync>,
}

/// Takes orders at an address until the process ends. A Unix socket is removed when what this gives is
/// dropped.
pub fn serve(address: &str, orders: Orders) -> Result<Option<Bound>> {
    let path = Path::new(address);
    let failed = |error: io::Error| Failure::file(path, error);
    let orders = Arc::new(orders);
    // No path of a socket has a port at its end.
    let port = address.rsplit_once(':').map(|(_, port)| port);
    if port.is_some_and(|port| port.parse::<u16>().is_ok()) {
        let listener = TcpListener::bind(address).map_err(failed)?;
        let accept = move || Ok(Connection::Tcp(listener.accept()?.0));
        signals::spawn("control", move || accept_all(accept, &orders))?;
        return Ok(None);
    }
    let (listener, bound): (UnixListener, Bound) = listen::bind(path).map_err(failed)?;
    let accept = move || Ok(Connection::Unix(listener.accept()?.0));
    signals::spawn("control", move || accept_all(accept, &orders))?;
    Ok(Some(bound))
}

enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    /// Nobody can hold this up for long.
    fn limit(&self) -> io::Result<()> {
        let time = Some(SILENT);
        match self {
            Connection::Tcp(stream) => {
                stream.set_read_timeout(time)?;
                stream.set_write_timeout(time)
            }
            Connection::Unix(stream) => {
                stream.set_read_timeout(time)?;
                stream.set_write_timeout(time)
            }
        }
    }
}

impl Read for &Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Connection::Tcp(stream) => (&mut &*stream).read(buffer),
            Connection::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }
}

impl Write for &Connection {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Connection::Tcp(stream) => (&mut &*stream).write(buffer),
            Connection::Unix(stream) => (&mut &*stream).write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn accept_all(accept: impl Fn() -> io::Result<Connection>, orders: &Arc<Orders>) {
    let busy = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok(connection) = accept() else {
            // Descriptors may be had again.
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        if busy.fetch_add(1, Ordering::AcqRel) >= MOST {
            busy.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let (orders, done) = (Arc::clone(orders), Arc::clone(&busy));
        let spawned = signals::spawn("order", move || {
            // Whoever breaks off needs no answer.
            obey(&connection, &orders).ok();
            done.fetch_sub(1, Ordering::AcqRel);
        });
        if spawned.is_err() {
            busy.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A line, without its end; none at the end of the connection.
fn line(input: &mut BufReader<&Connection>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = input.by_ref().take(LINE).read_until(b'\n', &mut line)?;
    if read as u64 == LINE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let text = String::from_utf8_lossy(&line);
    Ok((read > 0).then(|| text.trim_end().to_owned()))
}

/// Answers line by line, or one request of HTTP.
fn obey(connection: &Connection, orders: &Orders) -> io::Result<()> {
    connection.limit()?;
    let mut input = BufReader::new(connection);
    let mut output = connection;
    while let Some(order) = line(&mut input)? {
        let mut words = order.split_whitespace();
        let words = (words.next(), words.next(), words.next());
        if let (Some(method), Some(path), Some(version)) = words
            && version.starts_with("HTTP/1.")
        {
            // What else it says does not matter, but it is to be read before it is answered.
            let mut lines = 0;
            while line(&mut input)?.is_some_and(|line| !line.is_empty()) && lines < HEAD {
                lines += 1;
            }
            let (status, body) = answer_http(method, path, orders);
            return write!(
                output,
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                body.len()
            );
        }
        let answer = match order.as_str() {
            "snapshot" => match snapshot(orders) {
                Some(file) => format!("ok {file}\n"),
                None => "error no snapshot\n".to_owned(),
            },
            "status" => (orders.status)(),
            _ => "error unknown order: there are \"snapshot\" and \"status\"\n".to_owned(),
        };
        output.write_all(answer.as_bytes())?;
    }
    Ok(())
}

fn answer_http(method: &str, path: &str, orders: &Orders) -> (&'static str, String) {
    match (method, path) {
        ("POST", "/snapshot") => match snapshot(orders) {
            Some(file) => (
                "200 OK",
                format!("{}\n", serde_json::json!({ "file": file })),
            ),
            None => (
                "503 Service Unavailable",
                "{\"error\":\"no snapshot\"}\n".to_owned(),
            ),
        },
        ("GET", "/status") => ("200 OK", (orders.status)()),
        // A page that somebody looks at must not give orders.
        (_, "/snapshot") => (
            "405 Method Not Allowed",
            "{\"error\":\"use POST\"}\n".to_owned(),
        ),
        (_, "/status") => (
            "405 Method Not Allowed",
            "{\"error\":\"use GET\"}\n".to_owned(),
        ),
        _ => ("404 Not Found", "{\"error\":\"no such path\"}\n".to_owned()),
    }
}

/// Has a snapshot taken; gives its file.
fn snapshot(orders: &Orders) -> Option<String> {
    let (answer, answered) = channel();
    orders.snapshotter.ask(Request::Control(answer));
    let file = answered.recv_timeout(SLOW).ok().flatten();
    file.map(|file| name(&file))
}
