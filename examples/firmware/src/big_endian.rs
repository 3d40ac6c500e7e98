//! What the firmware does, on a processor that stores the most significant byte first.
//!
//! A trace and an arena are made of bytes whose order is the format's, so all must be as on the host,
//! the arena byte for byte.
#![no_std]
#![no_main]

use core::arch::global_asm;
use core::fmt::{self, Write};
use core::hint::black_box;
use firmware::{ARENA_LEN, Image, Kept, READ, RECORDED};
use gotrace::{FlightRecorder, FlightRecorderConfig, Reader, Trace};
use semihosting::process;
use semihosting::sys::arm_compat::sys_writec;

// Data are big-endian from here on, instructions always little-endian.
global_asm!(
    ".section .start, \"ax\"",
    ".global _start",
    "_start:",
    "setend be",
    "mov sp, #0x800000",
    "bl begin",
);

type Tables = gotrace::tables! {
    strings: 128,
    stacks: 48,
    samples: 4,
    batches: 16,
    threads: 8,
    procs: 8,
    goroutines: 48,
    regions: 16,
    tasks: 16,
};

#[unsafe(no_mangle)]
extern "C" fn begin() -> ! {
    // The status is a number in memory, too: the lines must tell.
    run(black_box(READ), black_box(RECORDED));
    process::exit(0)
}

fn run(read: &[u8], recorded: &[u8]) -> Option<()> {
    const { assert!(cfg!(target_endian = "big")) };
    let trace = Trace::new(read).ok()?;
    tell(format_args!("{:?}", firmware::decode(read).ok()?))?;
    let mut reader = Reader::<Tables>::new(&trace);
    tell(format_args!(
        "{:?}",
        firmware::read(&mut reader, |_| ()).ok()?
    ))?;
    let mut arena = [0; ARENA_LEN];
    let config = FlightRecorderConfig::default();
    let mut recorder = FlightRecorder::new(&mut arena[..], config).ok()?;
    firmware::record(&mut recorder, recorded).ok()?;
    tell(format_args!("{:?}", Kept::of(&recorder.snapshot())))?;
    tell(format_args!("{:?}", Image::of(recorder.arena())))
}

/// Prints a line, by the one call that has no numbers in memory, whose order QEMU gets wrong.
fn tell(line: fmt::Arguments<'_>) -> Option<()> {
    writeln!(Console, "{line}").ok()
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        s.bytes().for_each(sys_writec);
        Ok(())
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    process::exit(101)
}
