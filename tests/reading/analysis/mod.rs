//! What analyses make of traces, against what Go's make of them, and against themselves.

mod as_go;
mod parts;
mod pauses;
mod rows;
