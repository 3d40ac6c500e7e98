//! Live traces: the flight recorder, one source feeding many subscribers, this process as a source.
#![cfg(feature = "std")]

#[path = "../common/mod.rs"]
mod common;
mod mux;
mod mux_go;
mod recorder;
#[cfg(feature = "tracer")]
mod tracer;
#[cfg(feature = "tracer")]
mod validator;
