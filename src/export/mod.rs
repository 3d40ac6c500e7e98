//! Traces, and what analyses make of them, in other formats.
//!
//! [`json`] writes events as lines of JSON, [`pprof`] writes profiles for `go tool pprof` and for tools
//! that draw flame graphs.

#[cfg(feature = "json")]
pub mod json;
#[cfg(feature = "pprof")]
pub mod pprof;
