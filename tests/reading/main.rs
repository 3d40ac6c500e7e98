//! From bytes to events, over slices and streams: everything decoded, ordered and shown.

#[cfg(feature = "std")]
mod analysis;
#[cfg(feature = "std")]
mod cases;
#[path = "../common/mod.rs"]
mod common;
#[cfg(all(feature = "expressions", feature = "std"))]
mod diff;
#[cfg(all(feature = "expressions", feature = "std"))]
mod doctor;
#[cfg(feature = "std")]
mod emit;
mod encoder;
#[cfg(feature = "std")]
mod endings;
mod examples;
#[cfg(feature = "std")]
mod faults;
mod legacy;
mod lenient;
mod mapped_changes;
#[cfg(all(feature = "gzip", feature = "zstd"))]
mod open;
mod order;
mod parallel;
mod programs;
mod reader;
#[cfg(feature = "std")]
mod repair;
#[cfg(feature = "std")]
mod rewrite;
#[cfg(all(feature = "expressions", feature = "std"))]
mod select;
mod tables;
mod validator;
#[cfg(feature = "alloc")]
mod values;
mod wire;
mod wire_dump;
#[cfg(all(feature = "expressions", feature = "std"))]
mod world;
