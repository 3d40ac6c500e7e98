//! Timed events by type, with their arguments by name: each line of the event table as a structure.
//!
//! What an argument means gives its type: a goroutine is a [`GoId`], a string that may be the empty
//! one an `Option<StringId>`. Names are those of Go's text form. When an event happens is not part of
//! it: [`BatchEncoder::event_at`](super::BatchEncoder::event_at) takes a time, and `after` makes a
//! [`TimedEvent`] of a time difference.
//!
//! ```
//! use gotrace::GoId;
//! use gotrace::wire::{EventType, TimedEvent, timed::GoUnblock};
//! let event = GoUnblock { g: GoId::new(7).unwrap(), g_seq: 3, stack: None };
//! let written = event.after(50);
//! assert_eq!(written, TimedEvent::new(EventType::GO_UNBLOCK, 50, [7, 3, 0, 0]));
//! assert_eq!(GoUnblock::read(&written), Some(event));
//! ```

use super::event::TimedEvent;
use super::spec::{self, EventType, MAX_TIMED_ARGS, event_table};
use crate::ids::{GoId, ProcId, StackId, StringId, TaskId, ThreadId};

/// An argument's type, and the number it is on the wire.
trait Argument: Sized {
    fn number(self) -> u64;
    /// Nothing for a number that the type does not have.
    fn from_number(number: u64) -> Option<Self>;
}

/// A typed event: its type's number and its arguments, which the encoder need not look up.
pub(crate) trait Typed {
    fn with<R>(self, write: impl FnOnce(u8, &[u64]) -> R) -> R;
}

macro_rules! arguments {
    ($($type:ty: $from:expr, $to:expr;)*) => {$(
        impl Argument for $type {
            #[inline(always)]
            fn number(self) -> u64 {
                $to(self)
            }

            #[inline(always)]
            fn from_number(number: u64) -> Option<Self> {
                $from(number)
            }
        }
    )*};
}

arguments! {
    u64: Some, |n| n;
    GoId: GoId::new, GoId::get;
    ProcId: ProcId::new, ProcId::get;
    TaskId: TaskId::new, TaskId::get;
    Option<ThreadId>: |n| Some(ThreadId::new(n)), ThreadId::raw;
    Option<StringId>: |n| Some(StringId::new(n)), |id: Option<StringId>| id.map_or(0, StringId::get);
    Option<StackId>: |n| Some(StackId::new(n)), |id: Option<StackId>| id.map_or(0, StackId::get);
    spec::GoStatus: |n| u8::try_from(n).ok().map(spec::GoStatus), |s: spec::GoStatus| u64::from(s.0);
    spec::ProcStatus: |n| u8::try_from(n).ok().map(spec::ProcStatus), |s: spec::ProcStatus| u64::from(s.0);
}

/// The type of an argument by its role.
macro_rules! type_of {
    (Thread) => { Option<ThreadId> };
    (Proc) => { ProcId };
    (Goroutine) => { GoId };
    (Sequence) => { u64 };
    (ProcStatus) => { spec::ProcStatus };
    (GoStatus) => { spec::GoStatus };
    (String) => { Option<StringId> };
    (Stack) => { Option<StackId> };
    (NewStack) => { Option<StackId> };
    (Task) => { TaskId };
    (Value) => { u64 };
    (Plain) => { u64 };
}

/// Each line of the table.
macro_rules! timed_events {
    ($(
        $(#[$doc:meta])*
        $number:literal $konst:ident $name:ident $since:ident $class:ident $experiment:expr,
        ($($args:tt)*), $meaning:expr;
    )*) => {
        $(timed_event! { $class $(#[$doc])* $konst $name ($($args)*) })*
    };
}

/// Arguments as an event has them: 0 past the last.
macro_rules! padded {
    () => {
        [0; MAX_TIMED_ARGS - 1]
    };
    ($a:expr) => {
        [$a.number(), 0, 0, 0]
    };
    ($a:expr, $b:expr) => {
        [$a.number(), $b.number(), 0, 0]
    };
    ($a:expr, $b:expr, $c:expr) => {
        [$a.number(), $b.number(), $c.number(), 0]
    };
    ($a:expr, $b:expr, $c:expr, $d:expr) => {
        [$a.number(), $b.number(), $c.number(), $d.number()]
    };
}

macro_rules! timed_event {
    (Structural $($line:tt)*) => {};
    (
        Timed $(#[$doc:meta])* $konst:ident $name:ident
        (dt: Delta $(, $arg:ident: $role:ident)*)
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[allow(missing_docs, reason = "the table explains the arguments, by their roles")]
        pub struct $name {
            $(pub $arg: type_of!($role),)*
        }

        impl $name {
            /// The type on the wire.
            pub const TYPE: EventType = EventType::$konst;

            /// The event, so many trace clock units after the one before it in its batch.
            #[inline(always)]
            pub fn after(self, dt: u64) -> TimedEvent {
                TimedEvent::new(Self::TYPE, dt, padded!($(self.$arg),*))
            }

            /// What an event says; nothing if it is of another type, or an argument is none that
            /// this type can have.
            #[inline]
            pub fn read(event: &TimedEvent) -> Option<Self> {
                if event.ty != Self::TYPE {
                    return None;
                }
                #[allow(unused_mut, unused_variables)]
                let mut args = event.args.into_iter();
                Some($name { $($arg: Argument::from_number(args.next()?)?,)* })
            }
        }

        impl Typed for $name {
            #[inline(always)]
            fn with<R>(self, write: impl FnOnce(u8, &[u64]) -> R) -> R {
                write(Self::TYPE.0, &[$(self.$arg.number()),*])
            }
        }

        /// At the time of the event before it.
        impl From<$name> for TimedEvent {
            #[inline(always)]
            fn from(event: $name) -> TimedEvent {
                event.after(0)
            }
        }
    };
}

event_table!(timed_events);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Class, Role};
    use std::vec::Vec;

    /// What `read` and `after` make of an event of each type.
    macro_rules! again_by_type {
        ($(
            $(#[$doc:meta])*
            $number:literal $konst:ident $name:ident $since:ident $class:ident $experiment:expr,
            ($($args:tt)*), $meaning:expr;
        )*) => {
            &[$((EventType($number), again!($class $name))),*]
        };
    }
    macro_rules! again {
        (Structural $name:ident) => {
            |_| None
        };
        (Timed $name:ident) => {
            |event| Some($name::read(event)?.after(event.dt))
        };
    }
    type Again = fn(&TimedEvent) -> Option<TimedEvent>;
    const AGAIN: &[(EventType, Again)] = event_table!(again_by_type);

    #[test]
    fn every_line_of_the_table_is_a_structure_that_keeps_its_arguments() {
        for (ty, again) in AGAIN {
            let spec = ty.spec().unwrap();
            let numbers: Vec<u64> = (3..).take(spec.args.len().saturating_sub(1)).collect();
            let mut event = TimedEvent::new(*ty, 9, [0; 4]);
            event.args[..numbers.len()].copy_from_slice(&numbers);
            let timed = spec.class == Class::Timed;
            assert_eq!(again(&event), timed.then_some(event), "{ty}");
            // Of another type.
            assert_eq!(again(&TimedEvent::new(EventType(0), 9, [0; 4])), None);
            // All ones is no goroutine, proc, task or status, and any other argument.
            for (at, arg) in spec.args.iter().skip(1).enumerate().filter(|_| timed) {
                let mut event = event;
                event.args[at] = u64::MAX;
                let refused = matches!(
                    arg.role,
                    Role::Goroutine | Role::Proc | Role::Task | Role::GoStatus | Role::ProcStatus
                );
                assert_eq!(
                    again(&event),
                    (!refused).then_some(event),
                    "{ty} {}",
                    arg.name
                );
            }
        }
    }
}
