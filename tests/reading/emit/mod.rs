//! Traces that the emitter writes: whole and without their first generations they are accepted by
//! the strict reader, by the independent validator, and by Go's reader where there is one.

mod judge;
mod random;
mod sequences;
mod texts;
