//! The trace clock.

#[cfg(target_os = "none")]
pub(crate) use cycles::now;
#[cfg(target_os = "none")]
pub use cycles::{HERTZ, start, ticks};

/// SysTick: it interrupts once a millisecond, and counts cycles in between.
#[cfg(target_os = "none")]
mod cycles {
    use core::cell::{Cell, RefCell};
    use core::task::Waker;
    use cortex_m::peripheral::{SCB, SYST, syst::SystClkSource};
    use critical_section::{CriticalSection, Mutex};
    use embassy_time_driver::{Driver, time_driver_impl};
    use embassy_time_queue_utils::Queue;

    /// Cycles a second.
    pub const HERTZ: u64 = 12_000_000;
    const RELOAD: u32 = 12_000;

    struct Clock {
        ticks: Mutex<Cell<u64>>,
        queue: Mutex<RefCell<Queue>>,
    }

    time_driver_impl!(static CLOCK: Clock = Clock {
        ticks: Mutex::new(Cell::new(0)),
        queue: Mutex::new(RefCell::new(Queue::new())),
    });

    impl Driver for Clock {
        fn now(&self) -> u64 {
            critical_section::with(|cs| self.ticks.borrow(cs).get())
        }

        // Every tick looks at the queue: there is no alarm to set.
        fn schedule_wake(&self, at: u64, waker: &Waker) {
            critical_section::with(|cs| {
                self.queue.borrow(cs).borrow_mut().schedule_wake(at, waker);
            });
        }
    }

    /// Starts the clock.
    pub fn start(syst: &mut SYST) {
        syst.set_clock_source(SystClkSource::Core);
        syst.set_reload(RELOAD - 1);
        syst.clear_current();
        syst.enable_counter();
        syst.enable_interrupt();
    }

    /// A millisecond is over: for the interrupt handler.
    pub fn ticks() {
        critical_section::with(|cs| {
            let ticks = CLOCK.ticks.borrow(cs);
            ticks.set(ticks.get() + 1);
            CLOCK
                .queue
                .borrow(cs)
                .borrow_mut()
                .next_expiration(ticks.get());
        });
    }

    /// Cycles since the start. Where the interrupt is still to come, its millisecond counts.
    pub(crate) fn now(cs: CriticalSection<'_>) -> u64 {
        let ticks = CLOCK.ticks.borrow(cs).get();
        let before = SYST::get_current();
        let pending = u64::from(SCB::is_pendst_pending());
        let after = SYST::get_current();
        // It may have wrapped between the two.
        let left = if pending == 1 { after } else { before };
        (ticks + pending) * u64::from(RELOAD) + u64::from(RELOAD - 1 - left.min(RELOAD - 1))
    }
}

/// Nanoseconds a second.
#[cfg(not(target_os = "none"))]
pub const HERTZ: u64 = 1_000_000_000;

#[cfg(not(target_os = "none"))]
pub(crate) fn now(_: critical_section::CriticalSection<'_>) -> u64 {
    static START: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    1 + START.elapsed().as_nanos() as u64
}
