//! Traces in other formats.
//!
//! [`json`] writes events as lines of JSON.

pub mod json;
