//! The firmware: tasks on two executors and interrupts, traced into a flight recorder whose arena
//! survives a reset.
//!
//! The first life is cut off by a reset, amid a generation. The life after writes what the recorder
//! had, as a file of the host.
#![no_std]
#![no_main]

#[cfg(feature = "measure")]
mod measure;
#[cfg(not(any(feature = "measure", feature = "frame")))]
mod run;

// The table of interrupts.
use lm3s6965 as _;
use semihosting::process;

#[cortex_m_rt::entry]
fn main() -> ! {
    #[cfg(feature = "measure")]
    measure::measure();
    #[cfg(not(any(feature = "measure", feature = "frame")))]
    run::run();
    process::exit(0)
}

#[cfg(any(not(any(feature = "measure", feature = "frame")), feature = "lines"))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    semihosting::eprintln!("{info}");
    process::exit(101)
}

#[cfg(all(any(feature = "measure", feature = "frame"), not(feature = "lines")))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        safe fn a_panic_is_reachable() -> !;
    }
    a_panic_is_reachable()
}
