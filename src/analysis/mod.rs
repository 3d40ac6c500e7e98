//! What a trace means: how a program spent its time, and why.
//!
//! [`states`] follows everything that happens through one pass over the events, and is the base of the
//! analyses, each of which is a [`Visitor`](states::Visitor) of it; [`names`] keeps what they need of
//! strings and stacks, [`histogram`] distributions of times.
//!
//! - [`scope`]: what part of a trace an analysis is about.
//! - [`overview`]: what a program did, in a page.
//! - [`summary`]: goroutines by the function they started with, tasks and regions by type: how many,
//!   how long, in which states.
//! - [`profile`]: where time goes, by call stack.
//! - [`gc`]: the garbage collector, and stops of the world: how long, who delayed them.
//! - [`utilization`]: which part of the processors is left to the program, at worst, in any window of
//!   time.
//! - [`explain`]: why a task, a region or a goroutine took as long as it did.
//! - [`blocked`]: where goroutines wait, for what, and who wakes them.
//! - [`latency`]: how long they wait for a processor.
//! - [`leaks`]: what was never seen again.
//! - [`at`]: what everything was doing at a moment.
//! - [`metrics`]: numbers with names, for assertions; [`doctor`]: what is wrong; `diff`: what changed.
//! - [`live`]: a running program, generation by generation.
//! - [`as_go`]: what Go's own tools compute, as they do, for comparing.

pub mod as_go;
pub mod at;
pub mod blocked;
mod convoys;
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
pub mod scope;
pub mod states;
mod stops;
pub mod summary;
pub mod utilization;
