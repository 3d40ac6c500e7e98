//! Traces that the emitter writes: whole and without their first generations they are accepted by
//! the strict reader, by the independent validator, and by Go's reader where there is one.
#![cfg(feature = "std")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../validator/facts.rs"]
mod facts;
mod judge;
#[path = "../validator/model.rs"]
mod model;
mod random;
mod sequences;
mod texts;
