//! The command-line tool, run as a person or a script would run it.
#![cfg(feature = "std")]

#[cfg(feature = "cli")]
mod answers;
#[cfg(feature = "cli")]
mod assert;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
mod cli_events;
#[cfg(feature = "cli")]
#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "cli")]
mod doctor;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod dying;
#[cfg(feature = "cli")]
mod endings;
#[cfg(feature = "cli")]
mod endurance;
#[cfg(feature = "cli")]
mod export;
#[cfg(feature = "cli")]
mod face;
#[cfg(feature = "cli")]
mod filters;
#[cfg(feature = "cli")]
mod legacy;
#[cfg(feature = "cli")]
mod oncall;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod oncall_go;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod open;
#[cfg(feature = "cli")]
mod record;
#[cfg(feature = "cli")]
mod repair;
#[cfg(feature = "cli")]
mod schema;
#[cfg(feature = "cli")]
mod several;
#[cfg(not(feature = "cli"))]
mod stub;
#[cfg(feature = "cli")]
mod summaries;
#[cfg(feature = "cli")]
mod tee;
#[cfg(feature = "cli")]
mod triggers;
