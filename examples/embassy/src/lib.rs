//! Embassy tasks as goroutines: the glue between embassy's hooks and an emitter, and some tasks.
//!
//! The same runs on a Cortex-M3 and on the host.
#![no_std]

#[cfg(not(target_os = "none"))]
extern crate std;

pub mod clock;
pub mod glue;
pub mod tasks;
