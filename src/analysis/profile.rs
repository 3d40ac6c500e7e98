//! Where time goes, by call stack: profiles that pprof and flame graphs show.
//!
//! A [`Profile`] adds up stays of goroutines by the stack where they happened. The kinds that Go has
//! too (`go tool trace -pprof=net|sync|syscall|sched`) count more than Go's do: those leave out all
//! that happened before a goroutine first ran, half of the waiting for a processor on a busy server,
//! and all that was not over when the trace ended. [`as_go`](super::as_go) has Go's.
//!
//! ```
//! use gotrace::Trace;
//! use gotrace::analysis::{profile::{Kind, Profile}, states::States};
//!
//! let bytes = include_bytes!("../../tests/fixtures/block-go1.27.trace");
//! let trace = Trace::new(bytes)?;
//! let (mut reader, mut states) = (trace.reader(), States::new());
//! let mut profile = Profile::new(Kind::Sched);
//! while let Some(event) = reader.next()? {
//!     states.add(&event, &mut profile);
//! }
//! states.finish(&mut profile);
//! let waited: i64 = profile.samples().map(|sample| sample.nanoseconds).sum();
//! println!("waited for a processor: {waited} ns");
//! # Ok::<(), gotrace::Error>(())
//! ```

use super::as_go::ProfileKind;
use super::names::{NameId, Names, StackRef};
use super::states::{Goroutine, States, Stay, Visitor};
use crate::event::{Event, EventKind, GoState};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What a profile counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Waiting for the network, where it was waited.
    Net,
    /// Waiting for channels, locks and select, where it was waited.
    Sync,
    /// In system calls, where they were made.
    Syscall,
    /// Waiting for a processor, by the stack of what made it ready: the waker's or the creator's.
    Sched,
    /// Samples of the CPU profiler, if it ran while the trace was made. Ten milliseconds each, as Go
    /// takes them unless told otherwise.
    Cpu,
    /// All time of all goroutines, by their own stacks: running, by the stack where that ended.
    Wall,
    /// All time in which goroutines did not run: waiting for anything, or in a system call without a
    /// processor, by their own stacks.
    OffCpu,
}

impl Kind {
    /// Every kind.
    pub const ALL: &[Kind] = &[
        Kind::Net,
        Kind::Sync,
        Kind::Syscall,
        Kind::Sched,
        Kind::Cpu,
        Kind::Wall,
        Kind::OffCpu,
    ];

    /// The name of the tool's option.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Net => "net",
            Kind::Sync => "sync",
            Kind::Syscall => "syscall",
            Kind::Sched => "sched",
            Kind::Cpu => "cpu",
            Kind::Wall => "wall",
            Kind::OffCpu => "off-cpu",
        }
    }

    /// The same of Go's profiles.
    pub const fn as_go(self) -> Option<ProfileKind> {
        match self {
            Kind::Net => Some(ProfileKind::Net),
            Kind::Sync => Some(ProfileKind::Sync),
            Kind::Syscall => Some(ProfileKind::Syscall),
            Kind::Sched => Some(ProfileKind::Sched),
            Kind::Cpu | Kind::Wall | Kind::OffCpu => None,
        }
    }
}

/// What was counted for a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// The stack; `None` for what has none.
    pub stack: Option<StackRef>,
    /// The state.
    pub state: GoState,
    /// Why, in Go's words.
    pub reason: NameId,
    /// How many stays, or samples.
    pub count: u64,
    /// How long in all.
    pub nanoseconds: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    count: u64,
    time: i64,
}

impl Counted {
    const fn once(time: i64) -> Counted {
        Counted { count: 1, time }
    }
}

/// What is counted together.
type Key = (Option<StackRef>, GoState, NameId);

/// A profile of one kind. See the [module](self).
#[derive(Clone, Debug)]
pub struct Profile {
    kind: Kind,
    /// Of kinds that tell states and reasons apart.
    samples: BTreeMap<Key, Counted>,
    /// Of the others, by [`StackRef::index`]; that of no stack is 0.
    by_stack: Vec<(Option<StackRef>, Counted)>,
    /// Which reasons count, by [`NameId::index`].
    fits: Vec<Option<bool>>,
}

/// Between two samples of the CPU profiler.
const PERIOD: i64 = 10_000_000;

impl Profile {
    /// An empty profile.
    pub const fn new(kind: Kind) -> Profile {
        Profile {
            kind,
            samples: BTreeMap::new(),
            by_stack: Vec::new(),
            fits: Vec::new(),
        }
    }

    /// Adds the profile of another trace of the same kind, whose names are `theirs`; those of this one
    /// are `ours`.
    pub fn merge(&mut self, ours: &mut Names, other: &Profile, theirs: &Names) {
        for sample in other.samples() {
            let stack = sample
                .stack
                .and_then(|stack| ours.copy_stack(theirs, stack));
            let reason = ours.add(theirs.text(sample.reason));
            let counted = Counted {
                count: sample.count,
                time: sample.nanoseconds,
            };
            self.count((stack, sample.state, reason), counted);
        }
    }

    /// What it counts.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What was counted, by stack, state and reason.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        let state = match self.kind {
            Kind::Net | Kind::Sync => GoState::Waiting,
            Kind::Syscall => GoState::Syscall,
            Kind::Sched => GoState::Runnable,
            Kind::Cpu | Kind::Wall | Kind::OffCpu => GoState::Running,
        };
        let by_stack = self.by_stack.iter().filter(|(_, n)| n.count > 0);
        let by_stack = by_stack.map(move |(stack, n)| ((*stack, state, NameId::EMPTY), *n));
        let labelled = self.samples.iter().map(|(key, n)| (*key, *n));
        let all = by_stack.chain(labelled);
        all.map(|((stack, state, reason), counted)| Sample {
            stack,
            state,
            reason,
            count: counted.count,
            nanoseconds: counted.time,
        })
    }

    /// Takes in an event that is a sample of the CPU profiler; others are left to the visitor.
    pub fn sample(&mut self, event: &Event<'_, '_>, states: &mut States) {
        if self.kind != Kind::Cpu || event.kind() != EventKind::StackSample {
            return;
        }
        let stack = states.names_mut().stack_at(event);
        self.count(
            (stack, GoState::Running, NameId::EMPTY),
            Counted::once(PERIOD),
        );
    }

    fn count(&mut self, key: Key, more: Counted) {
        let counted = if matches!(self.kind, Kind::Wall | Kind::OffCpu) {
            self.samples.entry(key).or_default()
        } else {
            let at = key.0.map_or(0, StackRef::index);
            if self.by_stack.len() <= at {
                let none = (None, Counted::default());
                self.by_stack.resize(at.saturating_add(1), none);
            }
            let Some((stack, counted)) = self.by_stack.get_mut(at) else {
                return;
            };
            *stack = key.0;
            counted
        };
        counted.count = counted.count.saturating_add(more.count);
        counted.time = counted.time.saturating_add(more.time);
    }

    /// Whether a reason counts for this kind.
    fn reason_fits(&mut self, names: &Names, reason: NameId) -> bool {
        let Some(kind) = self.kind.as_go() else {
            return true;
        };
        let at = reason.index();
        if let Some(Some(fits)) = self.fits.get(at) {
            return *fits;
        }
        let fits = kind.fits(names.text(reason));
        if self.fits.len() <= at {
            self.fits.resize(at.saturating_add(1), None);
        }
        if let Some(known) = self.fits.get_mut(at) {
            *known = Some(fits);
        }
        fits
    }
}

impl Visitor for Profile {
    #[inline]
    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {
        let wanted = match self.kind {
            Kind::Net | Kind::Sync => stay.state == GoState::Waiting,
            Kind::Syscall => stay.state == GoState::Syscall,
            Kind::Sched => stay.state == GoState::Runnable,
            Kind::Cpu => false,
            Kind::Wall => true,
            Kind::OffCpu => stay.state != GoState::Running,
        };
        if !wanted || !stay.counts || !self.reason_fits(states.names(), stay.reason) {
            return;
        }
        let mut from = stay.from;
        if self.kind == Kind::OffCpu && stay.state == GoState::Syscall {
            let Some(since) = stay.without_proc else {
                return;
            };
            from = since;
        }
        let time = stay.to.since(from);
        if time <= 0 {
            return;
        }
        let stack = match (self.kind, stay.state) {
            // Where it stops is known, where it goes on is not.
            (Kind::Wall, GoState::Running) => goroutine.own_stack,
            (Kind::Wall | Kind::OffCpu, _) => stay.own_stack.or(stay.stack),
            _ => stay.stack,
        };
        let reason = match self.kind {
            // One sample a stack, as Go has it.
            Kind::Net | Kind::Sync | Kind::Syscall | Kind::Sched | Kind::Cpu => NameId::EMPTY,
            Kind::Wall | Kind::OffCpu => stay.reason,
        };
        self.count((stack, stay.state, reason), Counted::once(time));
    }
}
