//! What an event says of a goroutine's state, by numbers: for analyses, which look at every event of
//! a trace and know the names of a generation by their ids.

use super::{Event, GoState};
use crate::generation::Stack;
use crate::ids::GoId;
use crate::num;
use crate::string::GoStr;
use crate::wire::{EventType, GoStatus, Meaning, Role, Spec, Who};

/// A goroutine's state transition: as [`StateTransition`](super::StateTransition), with the reason
/// and the stack by their numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GoStep {
    pub(crate) id: Option<GoId>,
    pub(crate) from: GoState,
    pub(crate) to: GoState,
    /// The string that is the reason; 0 for none, or for a text that is in no table.
    pub(crate) reason: u64,
    /// The stack on which it happened; 0 for none.
    pub(crate) stack: u64,
    /// The stack of the goroutine that changes; `None` if it is not known.
    pub(crate) own_stack: Option<u64>,
}

/// What the table of events says of a type whose events are goroutines' transitions: its states, and
/// which of its arguments are what. A number that no event has an argument for is for none.
#[derive(Clone, Copy)]
struct Row {
    says: Says,
    from: GoState,
    to: GoState,
    goroutine: u8,
    reason: u8,
    stack: u8,
    new_stack: u8,
    status: u8,
}

#[derive(Clone, Copy)]
enum Says {
    /// Nothing of a goroutine.
    Nothing,
    /// That of the thread on which it happens changes.
    Own,
    /// One that it names changes.
    Named,
    /// One that it names changes by a switch.
    Switch,
    /// One that it names is in a state.
    Status,
}

/// No argument.
const NONE: u8 = u8::MAX;

impl Row {
    const NOTHING: Row = Row {
        says: Says::Nothing,
        from: GoState::Undetermined,
        to: GoState::Undetermined,
        goroutine: NONE,
        reason: NONE,
        stack: NONE,
        new_stack: NONE,
        status: NONE,
    };

    const fn of(spec: &Spec) -> Row {
        let mut row = Row::NOTHING;
        (row.says, row.from, row.to) = match spec.meaning {
            Meaning::Go { who, from, to } => {
                let says = match who {
                    Who::Own => Says::Own,
                    Who::Named => Says::Named,
                };
                (says, GoState::of_row(from), GoState::of_row(to))
            }
            Meaning::GoSwitch(_) => (Says::Switch, GoState::Waiting, GoState::Runnable),
            Meaning::GoStatus => (Says::Status, GoState::Undetermined, GoState::Undetermined),
            _ => return row,
        };
        // The first of each role, counted without the time difference.
        let (mut args, mut at) = (spec.args, NONE);
        while let Some((arg, others)) = args.split_first() {
            let place = match arg.role {
                Role::Goroutine => Some(&mut row.goroutine),
                Role::String => Some(&mut row.reason),
                Role::Stack => Some(&mut row.stack),
                Role::NewStack => Some(&mut row.new_stack),
                Role::GoStatus => Some(&mut row.status),
                _ => None,
            };
            if let Some(place) = place
                && *place == NONE
            {
                *place = at;
            }
            at = at.wrapping_add(1);
            args = others;
        }
        row
    }
}

/// By the number of a type.
static ROWS: [Row; 256] = {
    let mut table = [Row::NOTHING; 256];
    let mut rest: &mut [Row] = &mut table;
    let mut number: u8 = 0;
    while let Some((row, others)) = rest.split_first_mut() {
        if let Some(spec) = EventType(number).spec() {
            *row = Row::of(spec);
        }
        number = number.wrapping_add(1);
        rest = others;
    }
    table
};

impl<'t> Event<'_, 't> {
    /// The goroutine's state transition that the event is, if it is one.
    #[inline]
    pub(crate) fn go_step(&self) -> Option<GoStep> {
        let raw = self.raw;
        let row = ROWS.get(usize::from(raw.event.ty.0))?;
        let arg = |at: u8| raw.arg(usize::from(at));
        let stack = arg(row.stack);
        let step = GoStep {
            id: GoId::new(arg(row.goroutine)),
            from: row.from,
            to: row.to,
            reason: 0,
            stack,
            own_stack: None,
        };
        Some(match row.says {
            Says::Nothing => return None,
            // Details say why: the order gives the rest of a switch.
            Says::Switch => step,
            Says::Status => GoStep {
                from: GoState::from_number(raw.from),
                to: GoState::of_known(GoStatus(num::low_byte(arg(row.status)))),
                own_stack: Some(stack).filter(|id| *id != 0),
                ..step
            },
            Says::Own => GoStep {
                id: raw.go,
                reason: arg(row.reason),
                own_stack: Some(stack).filter(|id| *id != 0),
                ..step
            },
            Says::Named => GoStep {
                reason: arg(row.reason),
                own_stack: Some(arg(row.new_stack)).filter(|_| row.new_stack != NONE),
                ..step
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
