//! Traces, and what analyses make of them, in other formats.
//!
//! [`json`] writes events as lines of JSON, [`pprof`] writes profiles for `go tool pprof` and for tools
//! that draw flame graphs, [`perfetto`] writes traces for <https://ui.perfetto.dev>.

#[cfg(feature = "json")]
pub mod json;
#[cfg(feature = "perfetto")]
pub mod perfetto;
#[cfg(feature = "pprof")]
pub mod pprof;
