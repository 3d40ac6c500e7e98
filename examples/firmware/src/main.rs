//! The firmware: decodes and reads a trace in flash, records another one into memory that survives a
//! reset, resets itself, and recovers what it recorded.
//!
//! Each part is a feature, so that its size can be told. Results are logged as `defmt` frames if the
//! feature `log` is on. Otherwise they are kept from being optimised away, and linking proves that
//! no panic can be reached: the panic handler needs a symbol that does not exist.
#![no_std]
#![no_main]
#![cfg_attr(
    not(any(feature = "decode", feature = "recorder", feature = "reader")),
    expect(dead_code, reason = "the frame alone")
)]

#[cfg(feature = "log")]
use defmt_semihosting as _;

use core::hint::black_box;
use gotrace::Error;
use semihosting::process;

mod stack;

/// What went wrong.
#[cfg_attr(feature = "log", derive(defmt::Format))]
#[cfg_attr(not(feature = "log"), expect(dead_code, reason = "only logged"))]
enum Failure {
    Trace(Error),
    #[cfg(feature = "recorder")]
    Arena(gotrace::recorder::ArenaError),
    /// A static that is taken already: a mistake in this file.
    #[cfg(feature = "reader")]
    Taken,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Trace(error)
    }
}

/// Logs a line, or at least what it holds.
macro_rules! tell {
    ($format:literal $(, $value:expr)*) => {{
        #[cfg(feature = "log")]
        defmt::info!($format $(, $value)*);
        #[cfg(not(feature = "log"))]
        { $(black_box(&$value);)* }
    }};
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let result = run();
    if let Err(failure) = result {
        tell!("failed: {}", failure);
        process::exit(1)
    }
    process::exit(0)
}

fn run() -> Result<(), Failure> {
    #[cfg(feature = "recorder")]
    let arena = recorder::arena();
    #[cfg(feature = "recovery")]
    if recorder::was_recording(arena) {
        return recorder::look_back(arena);
    }

    #[cfg(feature = "decode")]
    decode()?;
    #[cfg(feature = "reader")]
    reader::read_flash()?;
    #[cfg(feature = "recorder")]
    recorder::record_all(arena)?;
    #[cfg(feature = "recovery")]
    cortex_m::peripheral::SCB::sys_reset();
    #[cfg(not(feature = "recovery"))]
    Ok(())
}

// Each part is a function that is not inlined: stack that one part takes is not taken for another's.

#[cfg(feature = "decode")]
#[inline(never)]
fn decode() -> Result<(), Failure> {
    let (decoded, stack) = stack::measure(|| firmware::decode(black_box(firmware::READ)));
    tell!("decoded {}", decoded?);
    tell!("stack of decoding: {=u32}", stack);
    Ok(())
}

#[cfg(feature = "reader")]
mod reader {
    use super::{Failure, stack};
    use core::hint::black_box;
    use firmware::Counts;
    use gotrace::{Event, Reader, Trace};
    use static_cell::StaticCell;

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

    /// Too large for the stack.
    static READER: StaticCell<Reader<'static, Tables>> = StaticCell::new();

    #[inline(never)]
    pub fn read_flash() -> Result<(), Failure> {
        let flash = black_box(firmware::READ);
        let (counts, stack) = stack::measure(|| read(&Trace::new(flash)?, |_| ()));
        tell!("read {}", counts?);
        tell!("stack of reading: {=u32}", stack);
        Ok(())
    }

    pub fn read(
        trace: &Trace<'static>,
        show: impl FnMut(&Event<'_, '_>),
    ) -> Result<Counts, Failure> {
        // `init` would bring a panic with it.
        let place = READER.try_uninit().ok_or(Failure::Taken)?;
        Ok(firmware::read(place.write(Reader::new(trace)), show)?)
    }
}

#[cfg(feature = "recorder")]
mod recorder {
    use super::{Failure, stack};
    use core::arch::asm;
    use core::hint::black_box;
    use core::mem::MaybeUninit;
    #[cfg(feature = "recovery")]
    use firmware::Found;
    use firmware::{ARENA_LEN, Kept};
    use gotrace::{FlightRecorder, FlightRecorderConfig};

    /// Startup code neither clears nor loads this section: after a reset it holds what it held before.
    #[unsafe(link_section = ".uninit.arena")]
    static mut ARENA: MaybeUninit<[u8; ARENA_LEN]> = MaybeUninit::uninit();

    /// The arena, with whatever it holds. To be called once.
    pub fn arena() -> &'static mut [u8] {
        let mut arena = (&raw mut ARENA).cast::<[u8; ARENA_LEN]>();
        // SAFETY: called once, so that nothing else borrows it. Memory has some value, and to the
        // compiler it is the assembly, which it does not look into, that stores it.
        unsafe {
            asm!("/* {0} */", inout(reg) arena);
            &mut *arena
        }
    }

    /// Records a trace that ends amid a generation.
    #[inline(never)]
    pub fn record_all(arena: &mut [u8]) -> Result<(), Failure> {
        let (kept, stack) = stack::measure(|| record(arena, black_box(firmware::RECORDED)));
        tell!("recorded {}", kept?);
        tell!("stack of recording: {=u32}", stack);
        Ok(())
    }

    fn record(arena: &mut [u8], bytes: &[u8]) -> Result<Kept, Failure> {
        let config = FlightRecorderConfig::default();
        let mut recorder = FlightRecorder::new(arena, config).map_err(Failure::Arena)?;
        firmware::record(&mut recorder, bytes)?;
        Ok(Kept::of(&recorder.snapshot()))
    }

    /// Whether this is the life after: memory holds a generation's beginning.
    #[cfg(feature = "recovery")]
    #[inline(never)]
    pub fn was_recording(arena: &[u8]) -> bool {
        FlightRecorder::recover(arena).is_ok_and(|recovered| recovered.in_progress().is_some())
    }

    /// What was recorded before the reset.
    #[cfg(feature = "recovery")]
    #[inline(never)]
    pub fn look_back(arena: &'static mut [u8]) -> Result<(), Failure> {
        let (found, stack) = stack::measure(|| {
            FlightRecorder::recover(black_box(&*arena)).map(|recovered| Found::of(&recovered))
        });
        tell!("recovered {}", found.map_err(Failure::Arena)?);
        tell!("stack of recovering: {=u32}", stack);
        #[cfg(feature = "reader")]
        read_snapshot(arena)?;
        Ok(())
    }

    /// Reads the snapshot where it stands.
    #[cfg(all(feature = "reader", feature = "recovery"))]
    #[inline(never)]
    fn read_snapshot(arena: &'static [u8]) -> Result<(), Failure> {
        use gotrace::Details;
        use gotrace::recorder::{Recovered, Snapshot};
        use static_cell::StaticCell;

        static RECOVERED: StaticCell<Recovered<'static>> = StaticCell::new();
        static SNAPSHOT: StaticCell<Snapshot<'static>> = StaticCell::new();

        let recovered = FlightRecorder::recover(arena).map_err(Failure::Arena)?;
        let recovered = RECOVERED.try_init(recovered).ok_or(Failure::Taken)?;
        tell!("status {}", recovered.status());
        let snapshot = SNAPSHOT
            .try_init(recovered.snapshot())
            .ok_or(Failure::Taken)?;
        let counts = super::reader::read(&snapshot.trace()?, |event| {
            if let Details::Log(log) = event.details() {
                tell!("{} {}", event, log);
            }
        })?;
        tell!("read {}", counts);
        Ok(())
    }
}

#[cfg(feature = "log")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    process::exit(101)
}

#[cfg(not(feature = "log"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        safe fn a_panic_is_reachable() -> !;
    }
    a_panic_is_reachable()
}
