//! The command-line tool, run as a person or a script would run it.
#![cfg(feature = "cli")]

mod cli;
mod cli_events;
#[path = "../common/mod.rs"]
mod common;
mod endurance;
mod face;
mod legacy;
#[cfg(target_os = "linux")]
mod open;
mod record;
mod tee;
