//! The flight recorder against real traces, a simple model, bad input, damaged arenas, and death.
mod damage;
mod endurance;
mod fixtures;
mod harm;
mod input;
#[cfg(all(unix, feature = "mmap"))]
mod kill;
mod model;
mod shared;
mod synth;
mod twin;
