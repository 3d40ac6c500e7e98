//! What a trace means.
//!
//! [`states`] follows everything that happens through one pass over the events, and is the base of the
//! analyses; [`names`] keeps what they need of strings and stacks, [`histogram`] distributions of times.
//!
//! - [`overview`]: what a program did, in a page.
//! - [`explain`]: why a task, a region or a goroutine took as long as it did.
//! - [`blocked`]: where goroutines wait, for what, and who wakes them.
//! - [`latency`]: how long they wait for a processor.
//! - [`leaks`]: what was never seen again.
//! - [`at`]: what everything was doing at a moment.
//! - [`metrics`]: numbers with names, for assertions; [`doctor`]: what is wrong; `diff`: what changed.
//! - [`live`]: a running program, generation by generation.

pub mod as_go;
pub mod at;
pub mod blocked;
#[cfg(feature = "std")]
#[cfg_attr(docsrs, doc(cfg(feature = "std")))]
pub mod diff;
pub mod doctor;
pub mod explain;
pub mod gc;
pub mod histogram;
pub mod latency;
pub mod leaks;
pub mod live;
pub mod metrics;
pub mod names;
pub mod overview;
pub mod profile;
pub mod states;
pub mod summary;
pub mod utilization;
