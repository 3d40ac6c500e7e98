//! What the emitter remembers of goroutines, cores, regions and tasks.

use crate::ids::{GoId, TaskId};

/// A goroutine that an emitter created. It stays a handle of this one: after the goroutine's end,
/// calls with it do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Go {
    pub(super) id: GoId,
    pub(super) slot: u32,
}

impl Go {
    /// The goroutine's id in the trace.
    pub const fn id(self) -> GoId {
        self.id
    }
}

/// What a goroutine does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// It does not exist, or not any more.
    #[default]
    Absent,
    Waiting,
    Runnable,
    /// On this core.
    Running(u8),
}

/// Three views of one thing: what is; what the open generation says; what the generations before
/// it, which the sink has, say. The last is what a reader believes when a generation begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Views<T> {
    pub(super) real: T,
    pub(super) written: T,
    pub(super) told: T,
}

impl<T: Copy + PartialEq + Default> Views<T> {
    /// The open generation was taken by the sink, or is lost.
    pub(super) fn settle(&mut self, taken: bool) {
        match taken {
            true => self.told = self.written,
            false => self.written = self.told,
        }
    }

    /// Whether there is nothing left to say: it is as if it never was.
    pub(super) fn is_over(&self) -> bool {
        *self == Views::default()
    }

    pub(super) fn in_step(&self) -> bool {
        self.real == self.written
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Goroutine {
    pub(super) id: Option<GoId>,
    /// Its slot in the table of names.
    pub(super) name: u32,
    pub(super) state: Views<State>,
    /// The last sequence number of this generation.
    pub(super) sequence: u32,
    /// It became ready while it ran.
    pub(super) woken: bool,
    /// It is among those that a core goes on with.
    pub(super) preempted: bool,
    /// Regions open in it that found no place in the table.
    pub(super) untracked: u16,
}

impl Goroutine {
    /// The next sequence number.
    pub(super) fn next(&mut self) -> u64 {
        self.sequence = self.sequence.wrapping_add(1);
        u64::from(self.sequence)
    }
}

/// A region that is open, or that a reader believes to be. Those of one goroutine are in the order
/// in which they began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    /// The goroutine's slot.
    pub(super) slot: u32,
    pub(super) task: TaskId,
    pub(super) name: u32,
    pub(super) open: Views<bool>,
}

/// A task that is open, or that a reader believes to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) id: TaskId,
    pub(super) parent: TaskId,
    pub(super) name: u32,
    pub(super) open: Views<bool>,
}
