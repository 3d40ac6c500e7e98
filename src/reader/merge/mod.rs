//! The merge of the threads' events: a cursor for each thread, the earliest first, and a place for
//! those that must wait.

mod cursor;
mod frontier;
mod parking;
mod ready;

pub(super) use cursor::{BatchEntry, Cursor};
pub(super) use frontier::{Frontier, Next};
pub(super) use parking::{EXACT, Parking};
pub(super) use ready::Ready;
