//! What a trace means.
//!
//! [`live`] summarizes a running program, generation by generation, from the events of its trace.

pub mod live;
