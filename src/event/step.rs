//! What an event says of a goroutine's state, by numbers: for analyses, which look at every event of
//! a trace and know the names of a generation by their ids.

use super::{Event, GoState};
use crate::generation::Stack;
use crate::ids::GoId;
use crate::num;
use crate::string::GoStr;
use crate::wire::{EventType, GoStatus, Meaning, Role, Who};

/// A goroutine's state transition: as [`StateTransition`](super::StateTransition), with the reason
/// and the stack by their numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GoStep {
    pub(crate) id: Option<GoId>,
    pub(crate) from: GoState,
    pub(crate) to: GoState,
    /// The string that is the reason; 0 for none, or for a text that is in no table.
    pub(crate) reason: u64,
    /// The stack of the goroutine that changes; `None` if it is not known.
    pub(crate) own_stack: Option<u64>,
}

impl<'t> Event<'_, 't> {
    /// The goroutine's state transition that the event is, if it is one.
    #[inline]
    pub(crate) fn go_step(&self) -> Option<GoStep> {
        let raw = self.raw;
        let arg = |role| raw.event.ty.arg(role).map_or(0, |at| raw.arg(at));
        let (who, from, to) = match raw.event.ty.meaning()? {
            Meaning::Go { who, from, to } => (who, GoState::of_row(from), GoState::of_row(to)),
            // Details say why: the order gives the rest of a switch.
            Meaning::GoSwitch(_) => {
                return Some(GoStep {
                    id: GoId::new(arg(Role::Goroutine)),
                    from: GoState::Waiting,
                    to: GoState::Runnable,
                    reason: 0,
                    own_stack: None,
                });
            }
            Meaning::GoStatus => {
                return Some(GoStep {
                    id: GoId::new(arg(Role::Goroutine)),
                    from: GoState::from_number(raw.from),
                    to: GoState::of_known(GoStatus(num::low_byte(arg(Role::GoStatus)))),
                    reason: 0,
                    own_stack: Some(self.stack_number()).filter(|id| *id != 0),
                });
            }
            _ => return None,
        };
        Some(GoStep {
            id: match who {
                Who::Own => raw.go,
                Who::Named => GoId::new(arg(Role::Goroutine)),
            },
            from,
            to,
            reason: arg(Role::String),
            own_stack: match raw.event.ty.arg(Role::NewStack) {
                Some(at) => Some(raw.arg(at)),
                None if who == Who::Own => Some(self.stack_number()).filter(|id| *id != 0),
                None => None,
            },
        })
    }

    /// The number of the stack on which it happened: 0 for none.
    #[inline]
    pub(crate) fn stack_number(&self) -> u64 {
        let raw = self.raw;
        if raw.event.ty == EventType::CPU_SAMPLE {
            return raw.arg(0);
        }
        raw.event.ty.arg(Role::Stack).map_or(0, |at| raw.arg(at))
    }

    /// The number of the first string that it names; 0 for none.
    #[inline]
    pub(crate) fn string_number(&self) -> u64 {
        let raw = self.raw;
        raw.event.ty.arg(Role::String).map_or(0, |at| raw.arg(at))
    }

    /// The reason of a transition that is in no table, as in traces of before Go 1.22; else empty.
    #[inline]
    pub(crate) fn loose_text(&self) -> GoStr<'t> {
        if self.raw.name.len == 0 || !self.tables.has_texts() {
            return GoStr::EMPTY;
        }
        GoStr::new(self.input.bytes_anywhere(self.raw.name))
    }

    /// The stack with this number, without frames if there is none.
    pub(crate) fn stack_numbered(&self, id: u64) -> Stack<'_, 't> {
        self.stack_of(id)
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use crate::{Details, Trace};

    /// By numbers it is the same as by details, for every event of these traces.
    #[test]
    fn steps_agree_with_details() {
        for bytes in [
            &include_bytes!("../../tests/fixtures/block-go1.27.trace")[..],
            include_bytes!("../../tests/fixtures/coro-go1.27.trace"),
            include_bytes!("../../tests/fixtures/syscalls-go1.22.trace"),
            include_bytes!("../../tests/fixtures/annotate-go1.21.trace"),
        ] {
            let trace = Trace::new(bytes).unwrap();
            let mut reader = trace.reader();
            let mut steps = 0;
            while let Some(event) = reader.next().unwrap() {
                let details = event.details();
                let transition = match &details {
                    Details::StateTransition(t) => t.goroutine().map(|g| (t, g)),
                    _ => None,
                };
                let step = event.go_step().filter(|step| step.id.is_some());
                assert_eq!(step.is_some(), transition.is_some(), "{event:?}");
                let (Some(step), Some((transition, (id, from, to)))) = (step, transition) else {
                    continue;
                };
                steps += 1;
                assert_eq!((step.id, step.from, step.to), (Some(id), from, to));
                let reason = match step.reason {
                    0 => event.loose_text(),
                    number => event.string(number),
                };
                assert_eq!(reason, transition.reason, "{event:?}");
                let own = step.own_stack.map(|number| event.stack_numbered(number));
                assert_eq!(own, transition.stack, "{event:?}");
                let number = event
                    .stack()
                    .and_then(|stack| stack.id())
                    .map_or(0, |id| id.get());
                assert_eq!(event.stack_number(), number);
            }
            assert!(steps > 20);
        }
    }
}
