//! Traces of this process: tasks, regions, logs, system calls, futures.
//!
//! What Go's `runtime/trace` is for a Go program, this is for a Rust program, in the same format: its
//! traces are read by this crate, `go tool trace` and other viewers. Threads and asynchronous tasks
//! are goroutines, by their names; what they wait for and who wakes them is part of the trace.
//!
//! A service that keeps a flight recorder of itself, and writes what led to a slow request:
//!
//! ```
//! use gotrace::recorder::{FlightRecorderConfig, SharedRecorder};
//! use gotrace::tracer::{self, Task};
//! use std::sync::Arc;
//! use std::time::{Duration, Instant};
//!
//! // The last ten seconds, in 16 MiB at most.
//! let config = FlightRecorderConfig {
//!     min_age: Duration::from_secs(10),
//!     ..FlightRecorderConfig::default()
//! };
//! let recorder = Arc::new(SharedRecorder::new(config));
//! let recording = tracer::record(&recorder)?;
//!
//! let handle = |path: &str| -> std::io::Result<()> {
//!     let task = Task::new("request");
//!     let _entered = task.enter();
//!     tracer::log("path", path);
//!     let start = Instant::now();
//!     {
//!         let _region = tracer::region("db query");
//!         // ..
//!     }
//!     if start.elapsed() > Duration::from_millis(300) {
//!         recorder.write_to(&mut std::fs::File::create("slow.trace")?).ok();
//!     }
//!     Ok(())
//! };
//! handle("/index")?;
//! # recording.stop();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In Go's words: [`start`] and [`Subscription::stop`] are `trace.Start` and `trace.Stop`;
//! [`is_enabled`] is `trace.IsEnabled`; [`Task`] is what `trace.NewTask` makes; [`region`] is
//! `trace.StartRegion`, [`with_region`] is `trace.WithRegion`; [`log`] and [`log_fmt`] are
//! `trace.Log` and `trace.Logf`. Where Go has a context that carries the task, a thread has the task
//! that it [entered](Task::enter), and a future the one that it is [instrumented](Task::instrument)
//! with.
//!
//! - **There may be any number of consumers**: writers, recorders and live readers, which
//!   [`multiplexer`] feeds. The first to come starts the tracer, the last to leave stops it.
//! - **Off, an annotation costs about a nanosecond or less**; on, ten to fifty, by machine, and no lock
//!   that another thread holds for long. `benches/tracer` measures it beside Go's.
//! - **Memory is bounded**: by 64 MiB, or what [`configure`] says. Where that is used up, events are
//!   counted in [`lost`] instead of recorded, until there is room; the trace goes on from what it had
//!   said, and stays valid.
//! - **A thread that ends loses nothing**, and [`Subscription::stop`] returns when everything is
//!   written. After [`start`] has returned, everything is recorded.
//! - **In a child process made by `fork` nothing is traced**; the parent goes on.
//!
//! A thread is seen from its first annotation on. It has a proc as long as it does not wait in
//! [`blocked`]: waits that are not told are not in the trace. `go tool trace` shows a goroutine by
//! the thread's name, or that given to [`goroutine`].
//!
//! [`Subscription::stop`]: crate::mux::Subscription::stop

// What is left out there is what uses the rest.
#![cfg_attr(loom, allow(dead_code))]

// What `loom` tries out is the part of this that needs no thread of its own.
#[cfg(not(loom))]
mod annotations;
mod buffers;
mod calls;
mod clock;
#[cfg(not(loom))]
mod control;
mod core;
#[cfg(not(loom))]
mod futures;
mod goroutines;
#[cfg(all(feature = "tracing", not(loom)))]
mod layer;
#[cfg(not(loom))]
mod local;
#[cfg(all(test, loom))]
mod model;
mod names;
mod procs;
mod running;
mod short;
#[cfg(not(loom))]
mod source;
#[cfg(feature = "backtrace")]
mod stacks;
#[cfg(all(test, not(loom)))]
mod tests;
mod thread;
#[cfg(all(feature = "tokio", not(loom)))]
pub mod tokio;

pub use crate::emit::Metric;
#[cfg(all(feature = "tracing", not(loom)))]
pub use layer::{Layer, WhileTraced};
#[cfg(not(loom))]
pub use {
    annotations::{
        Blocked, Entered, Reason, Region, Syscall, Task, TaskContext, blocked, current_task, log,
        log_fmt, metric, region, syscall, with_region,
    },
    control::{
        Config, Lost, Running, advance, configure, is_enabled, lost, multiplexer, record, start,
    },
    futures::{Goroutine, InRegion, Instrumented, Waiting, goroutine, in_region, waiting},
};
