//! How many instructions an event costs. QEMU, told to count (`-icount shift=0`), lets a nanosecond
//! pass with each instruction.

use core::hint::black_box;
use cortex_m::peripheral::syst::SystClkSource;
use gotrace::emit::{Emitter, EmitterConfig, Pause, Sink};
use gotrace::ids::GenerationId;
use gotrace::time::{Timestamp, WallTime};
use gotrace::wire::{BatchEncoder, BatchHead, Version, timed};
use gotrace::{Fixed, GoId};

type Tables = Fixed<32, 0, 0, 0, 0, 1, 16, 8, 4>;

static EMITTER: critical_section::Mutex<core::cell::RefCell<Emitter<Tables, [u8; 16 << 10]>>> =
    critical_section::Mutex::new(core::cell::RefCell::new(Emitter::new([0; 16 << 10])));

/// Takes everything, and keeps nothing.
struct Nowhere(u64);

impl Sink for Nowhere {
    fn reserve(&mut self, _: usize) -> bool {
        true
    }

    fn put(&mut self, piece: &[u8]) {
        self.0 += black_box(piece).len() as u64;
    }
}

/// Events a round: few enough for the memory.
const ROUND: u32 = 1000;
const ROUNDS: u32 = 10;

pub fn measure() {
    let Some(mut peripherals) = cortex_m::Peripherals::take() else {
        return;
    };
    let syst = &mut peripherals.SYST;
    syst.set_clock_source(SystClkSource::Core);
    syst.set_reload(0xff_ffff);
    syst.clear_current();
    syst.enable_counter();
    let mut elapsed = |body: &mut dyn FnMut()| {
        let before = cortex_m::peripheral::SYST::get_current();
        body();
        before.wrapping_sub(cortex_m::peripheral::SYST::get_current()) & 0xff_ffff
    };
    // Two instructions each.
    let known = 1_000_000u32;
    let unit = elapsed(&mut || unsafe {
        core::arch::asm!("2:", "subs {0}, #1", "bne 2b", inout(reg) known => _)
    });
    let instructions = |ticks: u32| {
        (u64::from(ticks) * 2 * u64::from(known))
            .checked_div(u64::from(unit))
            .unwrap_or(0)
    };

    critical_section::with(|cs| {
        let Ok(mut emitter) = EMITTER.borrow(cs).try_borrow_mut() else {
            return;
        };
        let mut out = Nowhere(0);
        let mut now = 1_000_000u64;
        emitter.start(Timestamp(now), EmitterConfig::new(12_000_000));
        let Some(go) = emitter.create(Timestamp(now), 0, "measured") else {
            return;
        };
        let mut tell =
            |what: &str, events: u32, body: &mut dyn FnMut(&mut Emitter<_, _>, Timestamp)| {
                let (mut sum, mut bytes) = (0, out.0);
                for _ in 0..ROUNDS {
                    sum += elapsed(&mut || {
                        for _ in 0..ROUND.checked_div(events).unwrap_or(0) {
                            now += 100;
                            body(black_box(&mut *emitter), Timestamp(now));
                        }
                    });
                    bytes = out.0;
                    emitter.advance(Timestamp(now), WallTime::new(0, 0), &mut out);
                    bytes = out.0 - bytes;
                }
                let each = instructions(sum) / u64::from(ROUNDS * ROUND);
                lines(what, each, bytes as u32 / ROUND);
            };
        tell("wake, run and block", 3, &mut |e, now| {
            e.ready(now, 0, go);
            e.run(now, 0, go);
            e.pause(now, 0, Pause::Block("sleep"));
        });
        tell("nothing", 1, &mut |e, now| {
            black_box((e, now));
        });
        tell("heap", 1, &mut |e, now| {
            e.metric(now, 0, gotrace::emit::Metric::HeapAlloc, now.0);
        });
        emitter_lost(emitter.lost());
        encoder(&mut elapsed, instructions);
    });
}

/// The encoder alone: an event with a goroutine and a sequence number.
fn encoder(elapsed: &mut impl FnMut(&mut dyn FnMut()) -> u32, instructions: impl Fn(u32) -> u64) {
    let mut buffer = [0; 8 << 10];
    let Some(g) = GoId::new(7) else { return };
    let Some(generation) = GenerationId::new(1) else {
        return;
    };
    let head = BatchHead::new(generation, None, Timestamp(0));
    let Ok(mut batch) = BatchEncoder::new(&mut buffer[..], Version::CURRENT, &head) else {
        return;
    };
    let ticks = elapsed(&mut || {
        for n in 0..ROUND {
            let event = timed::GoStart {
                g,
                g_seq: u64::from(n & 63),
            }
            .after(90);
            let _ = black_box(&mut batch).event(black_box(&event));
        }
    });
    lines(
        "encoder",
        instructions(ticks) / u64::from(ROUND),
        batch.len() as u32 / ROUND,
    );
}

#[cfg(feature = "lines")]
fn lines(what: &str, instructions: u64, bytes: u32) {
    semihosting::println!("{what}: {instructions} instructions and {bytes} bytes an event");
}

#[cfg(not(feature = "lines"))]
fn lines(what: &str, instructions: u64, bytes: u32) {
    black_box((what, instructions, bytes));
}

#[cfg(feature = "lines")]
fn emitter_lost(lost: gotrace::emit::Lost) {
    if lost != Default::default() {
        semihosting::println!("lost {lost:?}");
        semihosting::process::exit(1);
    }
}

#[cfg(not(feature = "lines"))]
fn emitter_lost(lost: gotrace::emit::Lost) {
    black_box(lost);
}
