//! What a trace means.
//!
//! [`states`] follows everything that happens through one pass over the events, and is the base of the
//! analyses; [`names`] keeps what they need of strings and stacks. [`live`] summarizes a running
//! program, generation by generation, from the events of its trace.

pub mod live;
pub mod names;
pub mod states;
