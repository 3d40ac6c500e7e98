//! What an error is about, in more words than an error holds.

use crate::ids::{GoId, TaskId};
use crate::string::GoStr;
use core::fmt;

/// What the error that ended a reading is about: [`Reader::explain`](crate::Reader::explain).
///
/// Displays as what to add to the error's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Explanation<'t> {
    /// [`RegionMismatch`](crate::ErrorKind::RegionMismatch): regions of a goroutine overlap.
    RegionMismatch {
        /// The goroutine.
        goroutine: GoId,
        /// The region that ends.
        ended: Region<'t>,
        /// The region that must end before it.
        innermost: Region<'t>,
    },
}

/// A region of a goroutine, as its events name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Region<'t> {
    /// The task that it is part of.
    pub task: Option<TaskId>,
    /// Its type: the name that the program gave it.
    pub name: GoStr<'t>,
}

impl<'t> Region<'t> {
    pub(super) fn new(task: u64, name: &'t [u8]) -> Region<'t> {
        Region {
            task: TaskId::new(task),
            name: GoStr::new(name),
        }
    }
}

/// Its type, quoted, and its task.
impl fmt::Display for Region<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.quoted().fmt(f)?;
        match self.task {
            Some(task) => write!(f, " of task {task}"),
            None => f.write_str(" of no task"),
        }
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Explanation::RegionMismatch {
                goroutine,
                ended,
                innermost,
            } => write!(
                f,
                "goroutine {goroutine} ends region {ended} while region {innermost} is its innermost"
            ),
        }
    }
}
