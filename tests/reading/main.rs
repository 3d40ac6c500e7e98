//! From bytes to events, over slices and streams: everything decoded, ordered and shown.

#[cfg(feature = "std")]
mod cases;
#[path = "../common/mod.rs"]
mod common;
mod examples;
mod mapped_changes;
mod order;
mod reader;
mod tables;
mod validator;
mod wire;
mod wire_dump;
