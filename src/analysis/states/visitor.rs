//! What is reported of a trace.

use super::{
    Goroutine, OpenRange, OpenRegion, OpenTask, Proc, ProcStay, RangeEnd, RegionEnd, States, Stay,
    TaskEnd,
};
use crate::event::Event;

/// Is told what begins and what ends. Every method does nothing unless it is written.
///
/// What a method is given is as it is after the event, but for a goroutine that ends, which is still
/// there. Two visitors are a visitor: `(&mut a, &mut b)`.
#[expect(unused_variables, reason = "the names are documentation")]
pub trait Visitor {
    /// A goroutine is created, or the trace mentions one for the first time. `event` is what says so;
    /// its stack is the creator's.
    fn goroutine_began(&mut self, states: &States, goroutine: &Goroutine, event: &Event<'_, '_>) {}

    /// A goroutine left a state that it was in, also one that it was created in. At the end of a
    /// trace: it is still in it. The goroutine is as it is after that: in [`Stay::next`].
    fn stay(&mut self, states: &States, goroutine: &Goroutine, stay: &Stay) {}

    /// A goroutine ended. Its state is `NotExist`, and what regions it had open
    /// are still there. Its [slot](Goroutine::slot) may be that of another from now on.
    fn goroutine_ended(&mut self, states: &States, goroutine: &Goroutine) {}

    /// The trace is over, and this goroutine lives.
    fn goroutine_left(&mut self, states: &States, goroutine: &Goroutine) {}

    /// The trace mentions a proc for the first time, or again after it was removed.
    fn proc_began(&mut self, states: &States, proc: &Proc) {}

    /// A proc left a state. At the end of a trace: it is still in it.
    fn proc_stay(&mut self, states: &States, stay: &ProcStay) {}

    /// The trace says how large the heap is now: [`States::heap`].
    fn heap_changed(&mut self, states: &States) {}

    /// A range began, or was open when the trace began.
    fn range_began(&mut self, states: &States, range: &OpenRange) {}

    /// A range ended.
    fn range_ended(&mut self, states: &States, range: &RangeEnd) {}

    /// A task began.
    fn task_began(&mut self, states: &States, task: &OpenTask) {}

    /// A task ended.
    fn task_ended(&mut self, states: &States, task: &TaskEnd) {}

    /// A region began, in this goroutine: it is the last of [`Goroutine::regions`].
    fn region_began(&mut self, states: &States, goroutine: &Goroutine, region: &OpenRegion) {}

    /// A region ended, in this goroutine.
    fn region_ended(&mut self, states: &States, goroutine: &Goroutine, region: &RegionEnd) {}
}

/// Sees nothing.
impl Visitor for () {}

/// Every method with what it is given: for visitors that hand on all that they see.
macro_rules! every {
    ($forward:ident) => {
        $forward! {
            goroutine_began(goroutine: &Goroutine, event: &Event<'_, '_>);
            stay(goroutine: &Goroutine, stay: &Stay);
            goroutine_ended(goroutine: &Goroutine);
            goroutine_left(goroutine: &Goroutine);
            proc_began(proc: &Proc);
            proc_stay(stay: &ProcStay);
            range_began(range: &OpenRange);
            range_ended(range: &RangeEnd);
            task_began(task: &OpenTask);
            task_ended(task: &TaskEnd);
            region_began(goroutine: &Goroutine, region: &OpenRegion);
            region_ended(goroutine: &Goroutine, region: &RegionEnd);
            heap_changed();
        }
    };
}

macro_rules! both {
    ($($name:ident($($arg:ident: $ty:ty),*);)*) => {$(
        #[inline]
        fn $name(&mut self, states: &States, $($arg: $ty),*) {
            self.0.$name(states, $($arg),*);
            self.1.$name(states, $($arg),*);
        }
    )*};
}

impl<A: Visitor, B: Visitor> Visitor for (A, B) {
    every!(both);
}

macro_rules! through {
    ($($name:ident($($arg:ident: $ty:ty),*);)*) => {$(
        #[inline]
        fn $name(&mut self, states: &States, $($arg: $ty),*) {
            (**self).$name(states, $($arg),*);
        }
    )*};
}

impl<V: Visitor> Visitor for &mut V {
    every!(through);
}
