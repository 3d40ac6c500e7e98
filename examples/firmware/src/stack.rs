//! How deep the stack gets: painted before, looked at afterwards.

use core::ptr;

/// No return address, and no likely value.
const PAINT: u32 = 0x5ac3_a53c;

unsafe extern "C" {
    /// The lowest and the highest address of the stack, of the linker script: no memory stands
    /// behind these names.
    static _stack_end: u32;
    static _stack_start: u32;
}

/// Does something, and says how many bytes of stack were in use at most, those of all callers
/// included.
#[inline(never)]
pub fn measure<T>(run: impl FnOnce() -> T) -> (T, u32) {
    paint();
    let result = run();
    (result, depth())
}

#[inline(never)]
fn paint() {
    let mut at = (&raw const _stack_end).cast_mut();
    let end = cortex_m::register::msp::read() as usize;
    while at.addr() < end {
        // SAFETY: memory of the stack below its pointer, which nobody uses: no interrupt is on.
        unsafe { ptr::write_volatile(at, PAINT) };
        at = at.wrapping_add(1);
    }
}

#[inline(never)]
fn depth() -> u32 {
    let mut at = &raw const _stack_end;
    let end = &raw const _stack_start;
    // SAFETY: memory of the stack, all of which startup or `paint` has written.
    while at < end && unsafe { ptr::read_volatile(at) } == PAINT {
        at = at.wrapping_add(1);
    }
    u32::try_from(end.addr() - at.addr()).unwrap_or(u32::MAX)
}
