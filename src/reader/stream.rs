//! Reading a trace as it comes: from a file, a pipe, a socket.
use std::io;
pub struct StreamReader<R> {
    r: R,
}
pub struct ReadError(io::Error);
