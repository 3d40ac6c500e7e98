//! Goroutines: what a trace says of each, and those that are alive.

use super::names::Name;
use super::short::{Guard, Short};
use crate::ids::GoId;
use crate::locks::{Mutex, lock};
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::atomic::{AtomicU64, Ordering};

/// A goroutine: a thread's own, or an asynchronous task.
#[derive(Debug)]
pub(super) struct Go {
    pub(super) id: GoId,
    pub(super) name: Arc<Name>,
    state: Short<GoState>,
}

/// What the trace says of a goroutine, which is what a reader believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing yet.
    Unborn,
    Waiting,
    Runnable,
    /// On a thread, which has it as the one that runs.
    Running,
    /// It has ended.
    Dead,
}

#[derive(Debug)]
pub(super) struct GoState {
    /// The generation that mentioned it last.
    pub(super) generation: u64,
    /// Of its last event in that generation.
    pub(super) sequence: u64,
    pub(super) told: Told,
    /// It was woken while it ran.
    pub(super) woken: bool,
    /// It has ended, whatever the trace says.
    pub(super) dead: bool,
    /// How often events had been lost when it ran last.
    pub(super) losses: u64,
    /// Regions that are open, the innermost last, while it does not run: else its thread has them.
    pub(super) regions: Vec<Region>,
    /// Where it is among those alive.
    place: (usize, usize),
}

/// An open region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    /// What its guard knows it by.
    pub(super) number: u64,
    pub(super) task: u64,
    pub(super) name: &'static str,
    /// Its end could not be written when it ended.
    pub(super) over: bool,
}

impl Go {
    pub(super) fn new(name: Arc<Name>) -> Option<Arc<Go>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = GoId::new(NEXT.fetch_add(1, Ordering::Relaxed))?;
        Some(Arc::new(Go {
            id,
            name,
            state: Short::new(GoState {
                generation: 0,
                sequence: 0,
                told: Told::Unborn,
                woken: false,
                dead: false,
                losses: 0,
                regions: Vec::new(),
                place: (0, 0),
            }),
        }))
    }

    #[inline(always)]
    pub(super) fn lock(&self) -> Guard<'_, GoState> {
        self.state.lock()
    }
}

/// So many parts, each with a lock of its own.
const SHARDS: usize = if cfg!(loom) { 1 } else { 32 };

/// Those that are alive.
#[derive(Debug)]
pub(super) struct Alive([Mutex<Shard>; SHARDS]);

#[derive(Debug, Default)]
struct Shard {
    places: Vec<Option<Arc<Go>>>,
    free: Vec<usize>,
}

impl Alive {
    pub(super) fn new() -> Alive {
        Alive(core::array::from_fn(|_| Mutex::new(Shard::default())))
    }

    /// Adds one.
    ///
    /// Its creator looks which generation is open after this: so whoever ends one, and looks at all
    /// goroutines after that, sees this one if that one's events can be in the generation.
    pub(super) fn insert(&self, go: &Arc<Go>) {
        let number = crate::num::narrow(go.id.get()) % SHARDS;
        let Some(shard) = self.0.get(number) else {
            return;
        };
        let mut shard = lock(shard);
        let place = match shard.free.pop() {
            Some(place) => place,
            None => {
                shard.places.push(None);
                shard.places.len().saturating_sub(1)
            }
        };
        if let Some(entry) = shard.places.get_mut(place) {
            *entry = Some(Arc::clone(go));
        }
        go.lock().place = (number, place);
    }

    /// Removes one. Nobody may hold its lock.
    pub(super) fn remove(&self, go: &Arc<Go>) {
        let (number, place) = go.lock().place;
        let Some(shard) = self.0.get(number) else {
            return;
        };
        let mut shard = lock(shard);
        if let Some(entry) = shard.places.get_mut(place)
            && entry.as_ref().is_some_and(|there| Arc::ptr_eq(there, go))
        {
            *entry = None;
            shard.free.push(place);
        }
    }

    /// Calls `see` with each, without a lock of this.
    pub(super) fn each(&self, mut see: impl FnMut(&Arc<Go>)) {
        let mut some = Vec::new();
        for shard in &self.0 {
            some.extend(lock(shard).places.iter().flatten().cloned());
            some.drain(..).for_each(|go| see(&go));
        }
    }
}
