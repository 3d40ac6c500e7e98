//! Live traces: the flight recorder, and one source feeding many subscribers.
#![cfg(feature = "std")]

#[path = "../common/mod.rs"]
mod common;
mod mux;
mod mux_go;
mod recorder;
