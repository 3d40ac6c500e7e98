//! The four profiles of `go tool trace -pprof`.

use super::rows::FrameRow;
use super::{Summarizer, number};
use crate::analysis::names::{Names, StackRef};
use crate::event::{Event, EventKind, GoState};
use crate::generation::Frame;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Which of Go's profiles: `go tool trace -pprof=KIND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProfileKind {
    /// Waiting for the network.
    Net,
    /// Waiting for channels, locks and select.
    Sync,
    /// In system calls.
    Syscall,
    /// Ready to run, waiting for a processor.
    Sched,
}

impl ProfileKind {
    /// Every kind.
    pub const ALL: &[ProfileKind] = &[
        ProfileKind::Net,
        ProfileKind::Sync,
        ProfileKind::Syscall,
        ProfileKind::Sched,
    ];

    /// The name in Go's option.
    pub const fn name(self) -> &'static str {
        match self {
            ProfileKind::Net => "net",
            ProfileKind::Sync => "sync",
            ProfileKind::Syscall => "syscall",
            ProfileKind::Sched => "sched",
        }
    }

    pub(crate) const fn state(self) -> GoState {
        match self {
            ProfileKind::Net | ProfileKind::Sync => GoState::Waiting,
            ProfileKind::Syscall => GoState::Syscall,
            ProfileKind::Sched => GoState::Runnable,
        }
    }

    /// Whether a stay with this reason counts.
    pub(crate) fn fits(self, reason: crate::GoStr<'_>) -> bool {
        match self {
            ProfileKind::Net => reason == "network",
            ProfileKind::Sync => ["chan", "sync", "select"]
                .iter()
                .any(|part| reason.contains(part)),
            ProfileKind::Syscall | ProfileKind::Sched => true,
        }
    }
}

/// What counts, if it does: it is known only when the goroutine's last life is.
#[derive(Clone, Copy, Debug)]
struct Span {
    goroutine: i64,
    from: i64,
    to: i64,
    stack: Option<StackRef>,
}

/// A profile as Go computes it. Keeps 32 bytes for each stay until the end.
#[derive(Debug)]
pub struct Profile {
    kind: ProfileKind,
    names: Names,
    open: BTreeMap<i64, (i64, Option<StackRef>)>,
    spans: Vec<Span>,
    sync: i64,
}

/// A stack with what was counted for it.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[cfg_attr(feature = "json", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct ProfileRow {
    /// The frames, the innermost first.
    pub stack: Vec<FrameRow>,
    /// How many stays.
    pub count: u64,
    /// How long in all.
    pub nanoseconds: i64,
}

impl Profile {
    /// An empty profile.
    pub fn new(kind: ProfileKind) -> Profile {
        Profile {
            kind,
            names: Names::new(),
            open: BTreeMap::new(),
            spans: Vec::new(),
            sync: 0,
        }
    }

    /// Takes in the next event. All events of a trace must be given, in order.
    pub fn add(&mut self, event: &Event<'_, '_>) {
        let time = event.time().0;
        if event.kind() == EventKind::Sync {
            self.names.next_generation();
            self.sync = time;
        }
        let Some(step) = event.go_step() else { return };
        let Some(id) = step.id else { return };
        let (id, state) = (number(Some(id)), self.kind.state());
        let Some((from, stack)) = self.open.get(&id).copied() else {
            if step.to == state {
                let reason = self.names.reason(event, step.reason);
                if self.kind.fits(self.names.text(reason)) {
                    let stack = self.names.stack_at(event);
                    self.open.insert(id, (time, stack));
                }
            }
            return;
        };
        if step.to == state {
            return;
        }
        self.open.remove(&id);
        self.spans.push(Span {
            goroutine: id,
            from,
            to: time,
            stack,
        });
    }

    /// The samples: what remains of each stay within the time from the goroutine's first running to
    /// its end, by stack. `summarizer` has seen the same events and is finished.
    fn samples(&self, summarizer: &Summarizer) -> BTreeMap<Vec<u64>, (Option<StackRef>, u64, i64)> {
        let end = summarizer.end_time().0;
        let mut samples: BTreeMap<Vec<u64>, (Option<StackRef>, u64, i64)> = BTreeMap::new();
        let mut by_stack: BTreeMap<Option<StackRef>, (usize, u64, i64)> = BTreeMap::new();
        for (at, span) in self.spans.iter().enumerate() {
            // Events beyond the last whole generation do not count.
            if span.to > end {
                continue;
            }
            let (started, ended) = summarizer.life(span.goroutine);
            let from = span.from.max(started);
            let to = span.to.min(if ended == 0 { end } else { ended });
            let time = to.saturating_sub(from);
            if time <= 0 {
                continue;
            }
            let (last, count, sum) = by_stack.entry(span.stack).or_default();
            *last = at;
            *count = count.saturating_add(1);
            *sum = sum.saturating_add(time);
        }
        let mut stacks: Vec<_> = by_stack.into_iter().collect();
        // Of stacks that are the same but for names, the last one's are shown.
        stacks.sort_by_key(|(_, (last, ..))| *last);
        for (stack, (_, count, time)) in stacks {
            let mut key: Vec<u64> = self.frames(stack).map(|frame| frame.pc).collect();
            while key.last() == Some(&0) {
                key.pop();
            }
            let sample = samples.entry(key).or_default();
            sample.0 = stack;
            sample.1 = sample.1.saturating_add(count);
            sample.2 = sample.2.saturating_add(time);
        }
        samples
    }

    fn frames(&self, stack: Option<StackRef>) -> impl Iterator<Item = Frame<'_>> {
        let frames = stack.map(|stack| self.names.frames(stack));
        frames.into_iter().flatten().take(128)
    }

    /// The profile, sorted by the stacks' program counters; `summarizer` has seen the same events and
    /// is [finished](Summarizer::finish).
    pub fn rows(&self, summarizer: &Summarizer) -> Vec<ProfileRow> {
        let samples = self.samples(summarizer).into_values();
        let rows = samples.map(|(stack, count, nanoseconds)| ProfileRow {
            stack: self.frames(stack).map(|f| FrameRow::of(&f)).collect(),
            count,
            nanoseconds,
        });
        rows.collect()
    }

    /// Each stack with how often and how long in nanoseconds, for other forms.
    pub fn each(&self, summarizer: &Summarizer, mut sample: impl FnMut(&[Frame<'_>], u64, i64)) {
        for (stack, count, time) in self.samples(summarizer).into_values() {
            let frames: Vec<Frame<'_>> = self.frames(stack).collect();
            sample(&frames, count, time);
        }
    }
}
