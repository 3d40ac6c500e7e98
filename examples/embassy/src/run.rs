//! Both lives.

use core::arch::asm;
use core::mem::MaybeUninit;
use cortex_m::peripheral::{NVIC, SCB};
use cortex_m_rt::exception;
use embassy::glue::{self, Interrupt, named};
use embassy::{clock, tasks};
use embassy_executor::{Executor, InterruptExecutor};
use embassy_time::Timer;
use gotrace::{FlightRecorder, FlightRecorderConfig};
use lm3s6965::interrupt;
use semihosting::fs::File;
use semihosting::io::Write;
use semihosting::process;

const ARENA_LEN: usize = 16 << 10;

/// Startup code neither clears nor loads this section: after a reset it holds what it held before.
#[unsafe(link_section = ".uninit.arena")]
static mut ARENA: MaybeUninit<[u8; ARENA_LEN]> = MaybeUninit::uninit();

/// The arena, with whatever it holds. To be called once.
fn arena() -> &'static mut [u8] {
    let mut arena = (&raw mut ARENA).cast::<[u8; ARENA_LEN]>();
    // SAFETY: called once, so that nothing else borrows it. Memory has some value, and to the
    // compiler it is the assembly, which it does not look into, that stores it.
    unsafe {
        asm!("/* {0} */", inout(reg) arena);
        &mut *arena
    }
}

static TICK: Interrupt = Interrupt::new("SysTick");
static URGENT: InterruptExecutor = InterruptExecutor::new();

pub fn run() {
    let arena = arena();
    if FlightRecorder::recover(arena).is_ok_and(|found| found.was_recording()) {
        return look_back(arena);
    }
    let config = FlightRecorderConfig::default();
    let recorder = match FlightRecorder::new(arena, config) {
        Ok(recorder) => recorder,
        Err(error) => panic!("{error}"),
    };
    let Some(mut peripherals) = cortex_m::Peripherals::take() else {
        panic!("taken")
    };
    // 40 ms a generation, or what the emitter has room for.
    glue::start(clock::HERTZ / 25);
    // SAFETY: no critical section depends on priorities.
    unsafe {
        peripherals
            .NVIC
            .set_priority(lm3s6965::Interrupt::GPIOA, 64);
    }
    let urgent = URGENT.start(lm3s6965::Interrupt::GPIOA);
    if let Ok(token) = sampler() {
        urgent.spawn(named(token, "sampler"));
    }
    clock::start(&mut peripherals.SYST);

    static mut EXECUTOR: MaybeUninit<Executor> = MaybeUninit::uninit();
    // SAFETY: here alone, once.
    let executor = unsafe { (*(&raw mut EXECUTOR)).write(Executor::new()) };
    executor.run(|spawner| {
        tasks::spawn(spawner);
        if let (Ok(recorder), Ok(reset)) = (recording(recorder), reset()) {
            spawner.spawn(named(recorder, "recording"));
            spawner.spawn(named(reset, "reset"));
        }
    })
}

#[exception]
fn SysTick() {
    TICK.handle(clock::ticks);
}

#[interrupt]
fn GPIOA() {
    // SAFETY: this is the handler, and the executor was started before it could be called.
    unsafe { URGENT.on_interrupt() }
}

/// In an interrupt of a higher priority than threads.
#[embassy_executor::task]
async fn sampler() {
    loop {
        tasks::work(50);
        Timer::after_millis(2).await;
    }
}

/// Hands generations to the recorder.
#[embassy_executor::task]
async fn recording(mut recorder: FlightRecorder<&'static mut [u8]>) {
    loop {
        glue::advance_if_due(&mut recorder);
        Timer::after_millis(1).await;
    }
}

/// Something goes wrong.
#[embassy_executor::task]
async fn reset() {
    Timer::after_millis(700).await;
    semihosting::println!("lost {:?}", glue::lost());
    SCB::sys_reset();
}

/// The life after.
fn look_back(arena: &[u8]) {
    let saved = FlightRecorder::recover(arena).map(|found| {
        let snapshot = found.snapshot();
        semihosting::println!("recovered {snapshot:?}");
        let mut file = File::create(c"target/recovered.trace")?;
        let mut pieces = snapshot.pieces().iter();
        pieces.try_for_each(|piece| file.write_all(piece))
    });
    if !matches!(saved, Ok(Ok(()))) {
        process::exit(1);
    }
    // Whoever sees this is not mistaken for a reset.
    NVIC::mask(lm3s6965::Interrupt::GPIOA);
}
